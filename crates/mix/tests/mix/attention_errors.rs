//! Every error of [`SelfAttention`], with its numbers, and nothing written.

use mixfold_gemm::Scratch;
use mixfold_mix::{Axes, MixError, Positions, SelfAttention};
use mixfold_simd::Isa;

use crate::case::sequential;
use crate::errors::{MAX, axes};

#[test]
fn errors() {
    let new = |heads, channels| SelfAttention::new(heads, channels, Positions::Axis);
    for (heads, channels) in [(0, 4), (0, 0), (3, 4), (5, 4)] {
        assert_eq!(new(heads, channels).unwrap_err(), MixError::Heads { heads, channels });
    }
    assert_eq!(new(2, 6).map(|attention| (attention.heads(), attention.width())), Ok((2, 3)));
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    let mut refused =
        |positions, channels, shape: Axes, (x, y): (usize, usize), error: MixError| {
            let attention = SelfAttention::new(1, channels, positions).unwrap();
            let (x, mut y) = (vec![1.0; x], vec![3.0; y]);
            let result = attention.apply(&x, &mut y, shape, &ctx, &mut scratch);
            assert_eq!(result, Err(error.clone()));
            if !matches!(error, MixError::Tensor { .. }) {
                assert_eq!(attention.scratch_len(shape, &ctx), Err(error.clone()));
                assert_eq!(attention.input(shape), Err(error));
            }
            assert!(y.iter().all(|&y| y == 3.0));
        };
    let (axis, inner) = (Positions::Axis, Positions::Inner);
    let channels = |found| MixError::Channels { expected: 6, found };
    refused(axis, 6, axes(2, 6, 5), (180, 60), channels(5));
    refused(inner, 6, axes(2, 5, 6), (180, 60), channels(5));
    let shape = axes(2, 5, 6);
    let tensor = |what, axes, found| MixError::Tensor { what, axes, found };
    refused(axis, 6, shape, (179, 60), tensor("input", axes(2, 5, 18), 179));
    refused(axis, 6, shape, (180, 59), tensor("output", shape, 59));
    let shape = axes(2, 6, 5);
    refused(inner, 6, shape, (181, 60), tensor("input", axes(2, 18, 5), 181));
    refused(inner, 6, shape, (180, 61), tensor("output", shape, 61));
    // Of the first positions alone, the output is shorter.
    for (positions, all, first) in
        [(axis, axes(2, 5, 6), axes(2, 1, 6)), (inner, axes(2, 6, 5), axes(2, 6, 1))]
    {
        let attention = SelfAttention::new(1, 6, positions).unwrap().first(1);
        assert_eq!(attention.output(all), first);
        let (ctx, mut y) = (sequential(Isa::best()), [3.0; 60]);
        let result = attention.apply(&[1.0; 180], &mut y, all, &ctx, &mut Scratch::new());
        assert_eq!(result, Err(tensor("output", first, 60)));
        assert_eq!(y, [3.0; 60]);
    }
    let overflow = |axes| MixError::Overflow { axes };
    refused(axis, 6, axes(MAX, 2, 6), (0, 0), overflow(axes(MAX, 2, 6)));
    refused(axis, MAX, axes(0, 1, MAX), (0, 0), overflow(axes(0, 1, MAX)));
    refused(inner, MAX / 2, axes(1, MAX / 2, 1), (0, 0), overflow(axes(1, MAX / 2, 1)));
    // The input has too many elements, the output has not.
    let shape = axes(1, MAX / 6, 4);
    refused(axis, 4, shape, (0, 0), overflow(axes(1, MAX / 6, 12)));
}
