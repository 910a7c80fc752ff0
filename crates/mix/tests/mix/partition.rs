//! [`Partitions`] against loops over all six axes, on any threads.

use mixfold_mix::{Axes, MixError, Partitions};
use mixfold_simd::Isa;
use proptest::prelude::*;

use crate::bits::contexts;
use crate::case::{assert_same, numbers, sequential};

/// Each element of the partitions with its place in the maps, by the definition.
fn places(parts: Partitions) -> Vec<usize> {
    let Partitions { batch, channels, map: (height, width), partition: (rows, cols) } = parts;
    let (down, across) = (height / rows, width / cols);
    let mut places = Vec::new();
    for n in 0..batch {
        for a in 0..down {
            for b in 0..across {
                for c in 0..channels {
                    for y in 0..rows {
                        for z in 0..cols {
                            let (row, col) = (a * rows + y, b * cols + z);
                            places.push(((n * channels + c) * height + row) * width + col);
                        }
                    }
                }
            }
        }
    }
    places
}

fn check(parts: Partitions) {
    let x = numbers(1, parts.elements().unwrap());
    let expected: Vec<f32> = places(parts).into_iter().map(|place| x[place]).collect();
    let on_threads = contexts(Isa::best()).map(|(_, ctx)| ctx.clone());
    for ctx in [sequential(Isa::best())].into_iter().chain(on_threads) {
        let (mut y, mut back) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
        parts.partition(&x, &mut y, &ctx).unwrap();
        assert_same(&expected, &y, &(parts, ctx.workers()));
        parts.unpartition(&y, &mut back, &ctx).unwrap();
        assert_same(&x, &back, &(parts, ctx.workers()));
    }
}

proptest! {
    #[test]
    fn any_shape(
        batch in 0_usize..4,
        channels in 0_usize..5,
        grid in (0_usize..4, 0_usize..4),
        partition in (1_usize..6, 1_usize..10),
    ) {
        let map = (grid.0 * partition.0, grid.1 * partition.1);
        let parts = Partitions { batch, channels, map, partition };
        prop_assert_eq!(parts.grid(), Ok(grid));
        check(parts);
    }
}

/// More than a task takes, of many pieces or of few.
#[test]
fn many_tasks() {
    check(Partitions { batch: 2, channels: 33, map: (28, 30), partition: (7, 10) });
    check(Partitions { batch: 1, channels: 2, map: (200, 300), partition: (200, 150) });
}

#[test]
fn errors() {
    let parts = Partitions { batch: 2, channels: 3, map: (4, 6), partition: (2, 3) };
    let axes = Axes { outer: 6, axis: 4, inner: 6 };
    let (x, mut y, ctx) = ([1.0; 144], [2.0; 144], sequential(Isa::best()));
    let tensor = |what, found| Err(MixError::Tensor { what, axes, found });
    assert_eq!(parts.partition(&x[1..], &mut y, &ctx), tensor("input", 143));
    assert_eq!(parts.partition(&x, &mut y[1..], &ctx), tensor("output", 143));
    assert_eq!(parts.unpartition(&x[1..], &mut y, &ctx), tensor("input", 143));
    assert_eq!(parts.unpartition(&x, &mut y[1..], &ctx), tensor("output", 143));
    for partition in [(3, 3), (2, 4), (0, 3), (2, 0), (8, 6)] {
        let parts = Partitions { partition, ..parts };
        let refused = MixError::Patches { image: (4, 6), patch: partition };
        assert_eq!(parts.grid(), Err(refused.clone()));
        assert_eq!(parts.partition(&x, &mut y, &ctx), Err(refused.clone()));
        assert_eq!(parts.unpartition(&x, &mut y, &ctx), Err(refused));
    }
    assert_eq!(y, [2.0; 144]);
    let many = Partitions { batch: usize::MAX / 2, ..parts };
    let axes = Axes { outer: usize::MAX, axis: 4, inner: 6 };
    assert_eq!(many.elements(), Err(MixError::Overflow { axes }));
    assert_eq!(many.partition(&x, &mut y, &ctx), Err(MixError::Overflow { axes }));
    // A map without rows, whose partitions do not fit the address space.
    let (map, partition) = ((0, 1 << 40), (1 << 40, 1 << 40));
    let none = Partitions { batch: 1, channels: 1, map, partition };
    assert_eq!(none.partition(&[], &mut [], &ctx), Ok(()));
    assert_eq!(none.unpartition(&[], &mut [], &ctx), Ok(()));
}
