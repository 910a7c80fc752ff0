//! Every error of a convolution, with its numbers, and nothing written.

use mixfold_gemm::{Activation, GemmError, MatRef, Scratch};
use mixfold_mix::{Conv2d, MixError};
use mixfold_simd::{Isa, env};

use crate::case::{sequential, view};
use crate::errors::{MAX, axes};

#[test]
fn descriptions() {
    let weight = [0.0; 24];
    let conv = || Conv2d::new(view(&weight, 4, 6), (2, 3)).unwrap();
    for kernel in [(2, 2), (0, 3), (3, 0), (4, 3), (MAX, 2), (MAX, MAX)] {
        let error = Conv2d::new(view(&weight, 4, 6), kernel).unwrap_err();
        assert_eq!(error, MixError::Kernel { columns: 6, kernel });
    }
    for groups in [0, 3, 8, MAX] {
        assert_eq!(conv().groups(groups).unwrap_err(), MixError::Groups { groups, rows: 4 });
    }
    for found in [(0, 1), (1, 0), (0, 0)] {
        let step = |what| MixError::Step { what, found };
        assert_eq!(conv().stride(found).unwrap_err(), step("stride"));
        assert_eq!(conv().dilation(found).unwrap_err(), step("dilation"));
    }
    for found in [0, 3, 5] {
        let bias = vec![0.0; found];
        let error = MixError::Parameter { what: "bias", expected: 4, found };
        assert_eq!(conv().bias(&bias).unwrap_err(), error);
    }

    let isa = Isa::best();
    // No outputs in many groups, and no channels under a large kernel.
    let none = MatRef::row_major(&[], 0, 6).unwrap();
    let groups = Conv2d::new(none, (1, 1)).unwrap().groups(MAX).unwrap();
    let error = MixError::Overflow { axes: axes(MAX, 6, 1) };
    assert_eq!(groups.pack(isa).unwrap_err(), error);
    let groups = Conv2d::new(none, (1, 1)).unwrap().groups(MAX / 6).unwrap();
    assert_eq!(groups.pack(isa).unwrap().out(), 0);
    // Neither outputs nor channels, in more images than can be counted with their groups.
    let none = MatRef::row_major(&[], 0, 0).unwrap();
    let groups = Conv2d::new(none, (1, 1)).unwrap().groups(2).unwrap().pack(isa).unwrap();
    let (ctx, mut scratch) = (sequential(isa), Scratch::new());
    assert_eq!(groups.apply(&[], &mut [], MAX, (2, 2), &ctx, &mut scratch), Ok(()));
    assert!(groups.scratch_len(MAX, (2, 2), &ctx).is_ok());
    let none = MatRef::row_major(&[], 3, 0).unwrap();
    let error = Conv2d::new(none, (MAX / 2, 2)).unwrap().pack(isa).unwrap_err();
    assert!(matches!(error, MixError::Gemm(GemmError::Memory { bytes: MAX })), "{error}");
}

/// What is for a sum does not replace.
#[test]
fn no_sum() {
    let (weight, x) = ([1.0, 2.0], [1.0, -4.0]);
    let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
    let conv = Conv2d::new(view(&weight, 1, 2), (1, 2)).unwrap();
    let conv = conv.activation_of_sum(Activation::Relu).pack(ctx.isa()).unwrap();
    for (before, after) in [(9.0, 2.0), (6.0, 0.0)] {
        let mut y = [before];
        let error = conv.apply(&x, &mut y, 1, (1, 2), &ctx, &mut scratch).unwrap_err();
        assert_eq!((error, y), (MixError::NoSum, [before]));
        conv.apply_add(&x, &mut y, 1, (1, 2), &ctx, &mut scratch).unwrap();
        assert_eq!(y, [after]);
    }
}

#[test]
fn tensors_and_images() {
    let isas = env::isas_under_test();
    for (packed, wanted) in isas.iter().flat_map(|&a| isas.iter().map(move |&b| (a, b))) {
        let weight = [1.0; 24];
        let conv = Conv2d::new(view(&weight, 4, 6), (2, 3)).unwrap().pack(packed).unwrap();
        let (ctx, mut scratch) = (sequential(wanted), Scratch::new());
        let mut refused = |(x, y), batch, image, error: MixError| {
            let (x, mut y) = (vec![2.0; x], vec![3.0; y]);
            let result = conv.apply(&x, &mut y, batch, image, &ctx, &mut scratch);
            assert_eq!(result, Err(error.clone()));
            let result = conv.apply_add(&x, &mut y, batch, image, &ctx, &mut scratch);
            assert_eq!(result, Err(error.clone()));
            assert!(y.iter().all(|&y| y == 3.0) && scratch.is_empty(), "{error}");
            if !matches!(error, MixError::Tensor { .. }) {
                assert_eq!(conv.scratch_len(batch, image, &ctx), Err(error));
            }
        };
        if packed != wanted {
            let error = MixError::Isa { packed: packed.name(), wanted: wanted.name() };
            refused((20, 36), 1, (4, 5), error);
            continue;
        }
        let tensor = |what, axes, found| MixError::Tensor { what, axes, found };
        refused((19, 36), 1, (4, 5), tensor("input", axes(1, 1, 20), 19));
        refused((20, 37), 1, (4, 5), tensor("output", axes(1, 4, 9), 37));
        refused((20, 36), 2, (4, 5), tensor("input", axes(2, 1, 20), 20));
        for image in [(1, 3), (2, 2), (0, 0), (0, 9)] {
            refused((0, 0), 1, image, MixError::Reach { padded: image, reach: (2, 3) });
        }
        refused((0, 0), MAX, (2, 3), MixError::Overflow { axes: axes(MAX, 1, 6) });
        let wide = MAX / 2;
        refused((0, 0), 1, (2, wide), MixError::Overflow { axes: axes(1, 4, wide - 2) });
        refused((0, 0), 1, (wide, wide), MixError::Overflow { axes: axes(1, wide, wide) });
    }
}

/// Sizes that cannot be counted, and those whose memory cannot.
#[test]
fn beyond_the_address_space() {
    let (isa, weight) = (Isa::best(), [1.0; 9]);
    let ctx = sequential(isa);
    let conv = || Conv2d::new(view(&weight, 1, 9), (3, 3)).unwrap();
    let half = MAX / 2 + 1;
    let padded = conv().padding((half, 1)).pack(isa).unwrap();
    let error = MixError::Overflow { axes: axes(1, MAX, 6) };
    assert_eq!(padded.output((5, 4)), Err(error.clone()));
    assert_eq!(padded.scratch_len(1, (5, 4), &ctx), Err(error));
    for dilation in [MAX, half, half / 2] {
        let dilated = conv().dilation((1, dilation)).unwrap().pack(isa).unwrap();
        let reach = dilation.checked_mul(2).map_or(MAX, |reach| reach + 1);
        let error = MixError::Reach { padded: (5, 4), reach: (3, reach) };
        assert_eq!(dilated.output((5, 4)), Err(error));
    }
    // Few outputs, whose kernel reaches far.
    let far = conv().dilation((half / 2, 1)).unwrap().padding((half / 2, 0)).pack(isa).unwrap();
    assert_eq!(far.output((1, 3)), Err(MixError::Overflow { axes: axes(1, half + 1, 3) }));
    let far = conv().dilation((half / 4, 1)).unwrap().padding((half / 4, 0)).pack(isa).unwrap();
    assert_eq!(far.output((1, 3)), Ok((1, 1)));
    let (mut y, mut scratch) = ([3.0], Scratch::new());
    let error = far.apply(&[2.0; 3], &mut y, 1, (1, 3), &ctx, &mut scratch).unwrap_err();
    assert!(matches!(error, MixError::Gemm(GemmError::Overflow { .. })), "{error}");
    assert_eq!(y, [3.0]);
}
