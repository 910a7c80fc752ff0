//! [`Partitions`] against loops over all six axes.

use mixfold_mix::{Axes, MixError, Partitions};
use proptest::prelude::*;

use crate::case::{assert_same, numbers};

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
        let x = numbers(1, parts.elements().unwrap());
        let mut y = vec![f32::NAN; x.len()];
        parts.partition(&x, &mut y).unwrap();
        let expected: Vec<f32> = places(parts).into_iter().map(|place| x[place]).collect();
        assert_same(&expected, &y, &parts);
        let mut back = vec![f32::NAN; x.len()];
        parts.unpartition(&y, &mut back).unwrap();
        assert_same(&x, &back, &parts);
    }
}

#[test]
fn errors() {
    let parts = Partitions { batch: 2, channels: 3, map: (4, 6), partition: (2, 3) };
    let axes = Axes { outer: 6, axis: 4, inner: 6 };
    let (x, mut y) = ([1.0; 144], [2.0; 144]);
    let tensor = |what, found| Err(MixError::Tensor { what, axes, found });
    assert_eq!(parts.partition(&x[1..], &mut y), tensor("input", 143));
    assert_eq!(parts.partition(&x, &mut y[1..]), tensor("output", 143));
    assert_eq!(parts.unpartition(&x[1..], &mut y), tensor("input", 143));
    assert_eq!(parts.unpartition(&x, &mut y[1..]), tensor("output", 143));
    for partition in [(3, 3), (2, 4), (0, 3), (2, 0), (8, 6)] {
        let parts = Partitions { partition, ..parts };
        let refused = MixError::Patches { image: (4, 6), patch: partition };
        assert_eq!(parts.grid(), Err(refused.clone()));
        assert_eq!(parts.partition(&x, &mut y), Err(refused.clone()));
        assert_eq!(parts.unpartition(&x, &mut y), Err(refused));
    }
    assert_eq!(y, [2.0; 144]);
    let many = Partitions { batch: usize::MAX / 2, ..parts };
    let axes = Axes { outer: usize::MAX, axis: 4, inner: 6 };
    assert_eq!(many.elements(), Err(MixError::Overflow { axes }));
    assert_eq!(many.partition(&x, &mut y), Err(MixError::Overflow { axes }));
}
