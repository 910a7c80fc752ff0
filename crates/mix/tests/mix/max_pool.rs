//! [`MaxPool2d`] against the reference, with the same bits everywhere, and its errors.

use mixfold_gemm::{Context, Scratch};
use mixfold_mix::{MaxPool2d, MixError};
use mixfold_reference::conv2d::Nchw;
use mixfold_reference::max_pool2d::{self, max_pool2d};
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::case::{assert_same, dirty, numbers, sequential};
use crate::errors::{MAX, axes};
use crate::special::Boundless;

#[derive(Clone, Debug)]
struct Case {
    planes: usize,
    image: (usize, usize),
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
}

impl Case {
    fn nchw(&self) -> Nchw {
        Nchw { batch: 1, channels: self.planes, height: self.image.0, width: self.image.1 }
    }

    fn reference(&self) -> max_pool2d::MaxPool2d {
        max_pool2d::MaxPool2d {
            kernel: self.kernel.into(),
            stride: self.stride.into(),
            padding: self.padding.into(),
        }
    }

    fn op(&self) -> MaxPool2d {
        let pool = || MaxPool2d::new(self.kernel)?.stride(self.stride)?.padding(self.padding);
        pool().unwrap()
    }

    fn run(&self, x: &[f32], ctx: &Context) -> Vec<f32> {
        let output = self.reference().output(self.nchw());
        assert_eq!(self.op().output(self.image), Ok((output.height, output.width)));
        let mut y = vec![f32::NAN; output.elements()];
        let mut scratch = dirty(self.op().scratch_len(self.planes, self.image, ctx).unwrap());
        self.op().apply(x, &mut y, self.planes, self.image, ctx, &mut scratch).unwrap();
        y
    }

    /// The largest pixels are exact, signs of zeros included.
    fn check(&self, x: &[f32]) {
        let x_wide: Vec<f64> = x.iter().copied().map(f64::from).collect();
        let expected = max_pool2d(&x_wide, self.nchw(), &self.reference());
        let expected: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
        for isa in env::isas_under_test() {
            assert_same(&expected, &self.run(x, &sequential(isa)), &(isa, self));
            for (threads, ctx) in contexts(isa) {
                assert_same(&expected, &self.run(x, ctx), &(threads, isa, self));
            }
            let boundless = Context::with_isa(isa).with_pool(Boundless);
            assert_same(&expected, &self.run(x, &boundless), &(isa, self));
        }
    }
}

fn pair<S: Strategy<Value = usize> + Clone>(sizes: S) -> impl Strategy<Value = (usize, usize)> {
    (sizes.clone(), sizes)
}

fn cases() -> impl Strategy<Value = Case> {
    let side = prop_oneof![3 => 1_usize..12, 1 => select(vec![15, 16, 17, 33, 64, 65, 130])];
    let width = prop_oneof![2 => side.clone(), 1 => 1_usize..71];
    let window = (pair(1_usize..6), pair(1_usize..5), any::<(usize, usize)>());
    (0_usize..12, (side, width), window).prop_map(|(planes, image, (kernel, stride, padding))| {
        let padding = (padding.0 % (kernel.0 / 2 + 1), padding.1 % (kernel.1 / 2 + 1));
        Case { planes, image, kernel, stride, padding }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_shape(
        case in cases(),
        special in proptest::collection::vec(
            (any::<usize>(), select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0])),
            0..9,
        ),
        zeros: bool,
    ) {
        let fits = |d: fn((usize, usize)) -> usize| {
            d(case.image) + 2 * d(case.padding) >= d(case.kernel)
        };
        if !fits(|pair| pair.0) || !fits(|pair| pair.1) {
            let error = case.op().output(case.image).unwrap_err();
            prop_assert!(matches!(error, MixError::Reach { .. }), "{error}");
            return Ok(());
        }
        let mut x = numbers(1, case.nchw().elements());
        if zeros {
            x.iter_mut().for_each(|x| *x = x.signum() * 0.0);
        }
        for (place, value) in special {
            let len = x.len().max(1);
            x.get_mut(place % len).into_iter().for_each(|x| *x = value);
        }
        case.check(&x);
    }
}

/// Rows that end around vectors, with special values everywhere.
#[test]
fn every_width() {
    const SPECIAL: [f32; 8] =
        [0.0, -0.0, -1.0, f32::NAN, f32::NEG_INFINITY, 1.0, f32::INFINITY, f32::MIN];
    for width in 1..=70 {
        for (kernel, stride, padding) in
            [((1, 1), 1, (0, 0)), ((2, 3), 1, (1, 1)), ((3, 3), 2, (1, 1)), ((2, 8), 3, (0, 4))]
        {
            let (stride, image) = ((stride, stride), (3, width));
            let case = Case { planes: 3, image, kernel, stride, padding };
            if width + 2 * padding.1 < kernel.1 {
                continue;
            }
            // Zeros of both signs only; numbers too; NaN too; all infinite.
            for kinds in [0..2, 0..3, 0..8, 4..5, 6..7] {
                let values = &SPECIAL[kinds];
                let noise = numbers(width as u64, case.nchw().elements());
                let place = |x: &f32| ((x + 1.0) * 4096.0) as usize % values.len();
                let x: Vec<f32> = noise.iter().map(|x| values[place(x)]).collect();
                case.check(&x);
            }
        }
    }
}

/// The pooling of ResNet, one that takes all of a map, and images without pixels.
#[test]
fn usual_and_extreme() {
    let case = |kernel, stride, padding, image| Case { planes: 5, image, kernel, stride, padding };
    for case in [
        case((3, 3), (2, 2), (1, 1), (112, 112)),
        case((3, 3), (1, 1), (1, 1), (56, 56)),
        case((20, 31), (1, 1), (0, 0), (20, 31)),
        case((20, 31), (9, 7), (10, 15), (20, 31)),
        case((2, 2), (1, 1), (1, 1), (0, 0)),
        case((4, 2), (3, 2), (2, 1), (0, 5)),
        case((4, 2), (3, 5), (2, 1), (6, 0)),
    ] {
        case.check(&numbers(2, case.nchw().elements()));
    }
}

#[test]
fn follows_without_a_stride() {
    let pool = MaxPool2d::new((2, 3)).unwrap();
    assert_eq!(pool.output((7, 11)), Ok((3, 3)));
}

#[test]
fn errors() {
    let pool = || MaxPool2d::new((3, 2)).unwrap();
    for found in [(0, 1), (1, 0), (0, 0)] {
        let step = |what| MixError::Step { what, found };
        assert_eq!(MaxPool2d::new(found).unwrap_err(), step("kernel"));
        assert_eq!(pool().stride(found).unwrap_err(), step("stride"));
    }
    for padding in [(2, 0), (0, 2), (MAX, MAX)] {
        let error = MixError::Padding { padding, kernel: (3, 2) };
        assert_eq!(pool().padding(padding).unwrap_err(), error);
    }
    let refused = |pool: MaxPool2d, (x, y), planes, image, error: MixError| {
        let (x, mut y) = (vec![2.0; x], vec![3.0; y]);
        let (ctx, mut scratch) = (sequential(Isa::best()), Scratch::new());
        let result = pool.apply(&x, &mut y, planes, image, &ctx, &mut scratch);
        assert_eq!(result, Err(error.clone()));
        assert!(y.iter().all(|&y| y == 3.0) && scratch.is_empty(), "{error}");
        if !matches!(error, MixError::Tensor { .. }) {
            assert_eq!(pool.scratch_len(planes, image, &ctx), Err(error));
        }
    };
    let pool = pool().stride((1, 1)).unwrap();
    let tensor = |what, axes, found| MixError::Tensor { what, axes, found };
    refused(pool, (39, 16), 2, (4, 5), tensor("input", axes(2, 4, 5), 39));
    refused(pool, (40, 17), 2, (4, 5), tensor("output", axes(2, 2, 4), 17));
    refused(pool, (2, 2), 1, (2, 1), MixError::Reach { padded: (2, 1), reach: (3, 2) });
    refused(pool, (0, 0), MAX, (3, 2), MixError::Overflow { axes: axes(MAX, 3, 2) });
    refused(pool, (0, 0), 1, (MAX, 2), MixError::Overflow { axes: axes(1, MAX, 2) });
    // More outputs than inputs.
    let grows = MaxPool2d::new((1, 2)).unwrap().stride((1, 1)).unwrap().padding((0, 1)).unwrap();
    refused(grows, (0, 0), MAX, (1, 1), MixError::Overflow { axes: axes(MAX, 1, 2) });
}
