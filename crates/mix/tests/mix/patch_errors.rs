//! Every error of [`PatchEmbed`], with its numbers, and nothing written.

use mixfold_gemm::Scratch;
use mixfold_mix::{MixError, PatchEmbed};
use mixfold_simd::Isa;

use crate::case::{sequential, view};
use crate::errors::{MAX, axes};

#[test]
fn patches() {
    let isa = Isa::best();
    let weight = vec![1.0; 3 * 24];
    let pack = |bias: usize, channels, patch| {
        PatchEmbed::pack(isa, view(&weight, 3, 24), &vec![0.0; bias], channels, patch)
    };
    let what = "row of the patch weight";
    let error = MixError::Parameter { what, expected: 18, found: 24 };
    assert_eq!(pack(3, 3, (2, 3)).unwrap_err(), error);
    let error = MixError::Parameter { what: "bias", expected: 3, found: 4 };
    assert_eq!(pack(4, 4, (2, 3)).unwrap_err(), error);
    let error = MixError::Overflow { axes: axes(3, MAX, 2) };
    assert_eq!(pack(3, 3, (MAX, 2)).unwrap_err(), error);

    let embed = pack(3, 4, (2, 3)).unwrap();
    let (ctx, mut scratch) = (sequential(isa), Scratch::new());
    let mut refused = |x: usize, y: usize, batch, image, error: MixError| {
        let (x, mut y) = (vec![2.0; x], vec![3.0; y]);
        let result = embed.apply(&x, &mut y, batch, image, &ctx, &mut scratch);
        assert_eq!(result, Err(error.clone()));
        assert!(y.iter().all(|&y| y == 3.0));
        if !matches!(error, MixError::Tensor { .. }) {
            assert_eq!(embed.scratch_len(batch, image, &ctx), Err(error));
        }
    };
    for image in [(4, 7), (5, 6), (1, 3), (2, 1)] {
        let patch = (2, 3);
        refused(0, 0, 1, image, MixError::Patches { image, patch });
    }
    let tensor = |what, axes, found| MixError::Tensor { what, axes, found };
    refused(95, 12, 1, (4, 6), tensor("input", axes(1, 4, 24), 95));
    refused(96, 11, 1, (4, 6), tensor("output", axes(1, 4, 3), 11));
    refused(96, 12, 2, (4, 6), tensor("input", axes(2, 4, 24), 96));
    let side = MAX / 6 * 6;
    refused(0, 0, 1, (side, side), MixError::Overflow { axes: axes(1, side / 2, side / 3) });
    refused(0, 0, MAX, (2, 3), MixError::Overflow { axes: axes(MAX, 4, 6) });

    let nothing = PatchEmbed::pack(isa, view(&[], 3, 0), &[0.0; 3], 1, (0, 3)).unwrap();
    let error = MixError::Patches { image: (0, 3), patch: (0, 3) };
    assert_eq!(nothing.tokens((0, 3)), Err(error));
}

#[test]
fn prefixes_and_positions() {
    let isa = Isa::best();
    let weight = [1.0; 3 * 6];
    let pack = || PatchEmbed::pack(isa, view(&weight, 3, 6), &[0.0; 3], 1, (2, 3)).unwrap();
    let rows = |what, found| MixError::Rows { what, columns: 3, found };
    for found in [1, 2, 4, 7] {
        let values = vec![1.0; found];
        assert_eq!(pack().prefix(&values).unwrap_err(), rows("prefix", found));
        assert_eq!(pack().positions(&values).unwrap_err(), rows("positions", found));
    }
    let nothing = || PatchEmbed::pack(isa, view(&[], 0, 6), &[], 1, (2, 3)).unwrap();
    let rows = |what| MixError::Rows { what, columns: 0, found: 1 };
    assert_eq!(nothing().prefix(&[1.0]).unwrap_err(), rows("prefix"));
    assert_eq!(nothing().positions(&[1.0]).unwrap_err(), rows("positions"));

    // Four patches, with positions for other numbers of them.
    let (ctx, mut scratch, image) = (sequential(isa), Scratch::new(), (4, 6));
    for found in [0, 3, 9, 15] {
        let embed = pack().prefix(&[1.0; 3]).unwrap().positions(&vec![1.0; found]).unwrap();
        let error = MixError::Parameter { what: "positions", expected: 12, found };
        assert_eq!(embed.tokens(image), Err(error.clone()));
        assert_eq!(embed.scratch_len(2, image, &ctx), Err(error.clone()));
        let mut y = [3.0; 30];
        let result = embed.apply(&[2.0; 48], &mut y, 2, image, &ctx, &mut scratch);
        assert_eq!(result, Err(error));
        assert!(y == [3.0; 30] && scratch.is_empty());
    }
    // The output has room for the patches alone, or for one prefix.
    let embed = pack().prefix(&[1.0; 3]).unwrap().positions(&[1.0; 12]).unwrap();
    for found in [24, 27] {
        let mut y = vec![3.0; found];
        let error = MixError::Tensor { what: "output", axes: axes(2, 5, 3), found };
        let result = embed.apply(&[2.0; 48], &mut y, 2, image, &ctx, &mut scratch);
        assert_eq!(result, Err(error));
        assert!(y.iter().all(|&y| y == 3.0) && scratch.is_empty());
    }
    // As many patches as can be counted, and more.
    let pixels = PatchEmbed::pack(isa, view(&[1.0], 1, 1), &[0.0], 1, (1, 1)).unwrap();
    let error = Err(MixError::Overflow { axes: axes(1, MAX, 1) });
    assert_eq!(pixels.tokens((MAX, 1)), Ok(MAX));
    assert_eq!(pixels.prefix(&[1.0]).unwrap().tokens((MAX, 1)), error);
}
