//! [`Conv2d`] against the reference, on every instruction set, and its promise of same bits.

use mixfold_gemm::{Activation, Context};
use mixfold_mix::{Axes, AxisLinear, Conv2d, Conv2dOp, MixError, Side};
use mixfold_reference::conv2d::{self, Nchw, conv2d};
use mixfold_reference::gemm::dot_bound;
use mixfold_simd::{Isa, env};
use proptest::prelude::*;
use proptest::sample::select;

use crate::bits::contexts;
use crate::bound::{Real, U, activate, add, exact, wide};
use crate::case::{ACTIVATIONS, assert_allowed, assert_same, dirty, numbers, sequential, view};
use crate::special::Boundless;

/// A convolution of `channels` to `out` channels in each group.
#[derive(Clone, Debug)]
struct Case {
    batch: usize,
    groups: usize,
    channels: usize,
    out: usize,
    image: (usize, usize),
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
    activation: Activation,
    /// Whether the result is added to what is there.
    add: bool,
    /// The activation of that sum.
    of_sum: Option<Activation>,
}

impl Case {
    /// One group, stride and dilation 1, no padding, no activation.
    fn plain(channels: usize, out: usize, image: (usize, usize), kernel: (usize, usize)) -> Self {
        Case {
            batch: 1,
            groups: 1,
            channels,
            out,
            image,
            kernel,
            stride: (1, 1),
            padding: (0, 0),
            dilation: (1, 1),
            activation: Activation::Identity,
            add: false,
            of_sum: None,
        }
    }

    /// The outputs of the same size as the image, for odd kernels.
    fn same(channels: usize, out: usize, image: (usize, usize), kernel: usize) -> Self {
        let padding = (kernel / 2, kernel / 2);
        Case { padding, ..Case::plain(channels, out, image, (kernel, kernel)) }
    }

    fn k(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }

    fn nchw(&self) -> Nchw {
        let (height, width) = self.image;
        Nchw { batch: self.batch, channels: self.groups * self.channels, height, width }
    }

    fn reference(&self) -> conv2d::Conv2d {
        conv2d::Conv2d {
            out_channels: self.groups * self.out,
            kernel: self.kernel.into(),
            stride: self.stride.into(),
            padding: self.padding.into(),
            dilation: self.dilation.into(),
            groups: self.groups,
        }
    }

    /// Whether the kernel is within the padded image.
    fn fits(&self) -> bool {
        let fits = |image, padding, kernel, dilation| image + 2 * padding > dilation * (kernel - 1);
        fits(self.image.0, self.padding.0, self.kernel.0, self.dilation.0)
            && fits(self.image.1, self.padding.1, self.kernel.1, self.dilation.1)
    }

    fn input(&self) -> Vec<f32> {
        numbers(1, self.nchw().elements())
    }

    fn weight(&self) -> Vec<f32> {
        numbers(2, self.groups * self.out * self.k())
    }

    fn bias(&self) -> Vec<f32> {
        numbers(3, self.groups * self.out)
    }

    /// What is in the output before.
    fn before(&self) -> Vec<f32> {
        let output = self.reference().output(self.nchw());
        if self.add { numbers(4, output.elements()) } else { vec![f32::NAN; output.elements()] }
    }

    fn op(&self, isa: Isa) -> Conv2dOp {
        let (weight, out) = (self.weight(), self.groups * self.out);
        let pack = || {
            let conv = Conv2d::new(view(&weight, out, self.k()), self.kernel)?
                .groups(self.groups)?
                .stride(self.stride)?
                .padding(self.padding)
                .dilation(self.dilation)?
                .bias(&self.bias())?
                .activation(self.activation);
            match self.of_sum {
                Some(of_sum) => conv.activation_of_sum(of_sum).pack(isa),
                None => conv.pack(isa),
            }
        };
        pack().unwrap()
    }

    fn run(&self, op: &Conv2dOp, x: &[f32], ctx: &Context) -> Vec<f32> {
        let output = self.reference().output(self.nchw());
        assert_eq!(op.output(self.image), Ok((output.height, output.width)));
        assert_eq!((op.channels(), op.out()), (self.nchw().channels, output.channels));
        let mut scratch = dirty(op.scratch_len(self.batch, self.image, ctx).unwrap());
        let mut y = self.before();
        let apply = if self.add { Conv2dOp::apply_add } else { Conv2dOp::apply };
        apply(op, x, &mut y, self.batch, self.image, ctx, &mut scratch).unwrap();
        y
    }

    /// The reference with the bound of a dot product and its bias, then of what follows.
    fn expected(&self, x: &[f32]) -> Vec<Real> {
        let convolve = |x: &[f64], weight: &[f64], bias: &[f64]| {
            conv2d(x, self.nchw(), &self.reference(), weight, Some(bias))
        };
        let [x, weight, bias] = [x, &self.weight(), &self.bias()].map(wide);
        let abs = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let sizes = convolve(&abs(&x), &abs(&weight), &abs(&bias));
        let values = convolve(&x, &weight, &bias);
        let real = |(value, size)| Real::new(value, dot_bound(self.k() + 1, size, 2.0 * U));
        let sums: Vec<Real> = values.into_iter().zip(sizes).map(real).collect();
        let y = activate(&sums, self.activation);
        let y = if self.add { add(&y, &exact(&self.before())) } else { y };
        self.of_sum.map_or(y.clone(), |of_sum| activate(&y, of_sum))
    }

    /// Within bounds, with the same bits on all threads and fused instruction sets.
    fn check(&self) {
        let x = self.input();
        let expected = self.expected(&x);
        let mut fused: Option<Vec<f32>> = None;
        for isa in env::isas_under_test() {
            let op = self.op(isa);
            let y = self.run(&op, &x, &sequential(isa));
            assert_allowed(&expected, &y, &(isa, self));
            for (threads, ctx) in contexts(isa) {
                assert_same(&y, &self.run(&op, &x, ctx), &(threads, isa, self));
            }
            if isa.is_fused() {
                assert_same(fused.get_or_insert(y.clone()), &y, &(isa, self));
            }
        }
    }

    /// An image alone gives what it gives among others.
    fn check_alone(&self) {
        let x = self.input();
        for isa in env::isas_under_test() {
            let replacing = Case { add: false, of_sum: None, ..self.clone() };
            let (op, ctx) = (replacing.op(isa), sequential(isa));
            let all = replacing.run(&op, &x, &ctx);
            let one = Case { batch: 1, ..replacing };
            for n in 0..self.batch {
                let x = &x[n * x.len() / self.batch..][..x.len() / self.batch];
                let y = one.run(&op, x, &ctx);
                assert_same(&all[n * y.len()..][..y.len()], &y, &(n, isa, self));
            }
        }
    }

    /// Where a number that is not finite stays: in the outputs whose kernel covers it. The others
    /// have the bits that they have without it.
    fn check_special(&self, place: usize, special: f32) {
        let clean = self.input();
        if clean.is_empty() {
            return;
        }
        let (mut x, place) = (clean.clone(), place % clean.len());
        x[place] = special;
        let expected = self.expected(&x);
        let sums =
            Case { activation: Activation::Identity, add: false, of_sum: None, ..self.clone() };
        let sums = sums.expected(&x);
        for isa in env::isas_under_test() {
            let (op, ctx) = (self.op(isa), sequential(isa));
            let (y, clean) = (self.run(&op, &x, &ctx), self.run(&op, &clean, &ctx));
            let what = (place, special, isa, self);
            assert_allowed(&expected, &y, &what);
            for (i, sum) in sums.iter().enumerate() {
                let reached = !sum.value.is_finite();
                assert!(reached || y[i].to_bits() == clean[i].to_bits(), "{what:?}: {i}");
            }
        }
    }
}

fn pair<S: Strategy<Value = usize> + Clone>(sizes: S) -> impl Strategy<Value = (usize, usize)> {
    (sizes.clone(), sizes)
}

/// Convolutions with at most some thousand outputs, whose rows end around panels of 8, 16 and 32.
fn cases() -> impl Strategy<Value = Case> {
    let side = prop_oneof![3 => 1_usize..12, 1 => select(vec![0, 15, 16, 17, 31, 32, 33])];
    let channels = (1_usize..5, 0_usize..4, select(vec![0, 1, 2, 3, 6, 7, 14, 15]));
    let window = (pair(1_usize..5), pair(1_usize..5), pair(0_usize..4), pair(1_usize..4));
    let of_sum = proptest::option::of(select(&ACTIVATIONS[..]));
    let rest = (select(&ACTIVATIONS[..]), any::<bool>(), of_sum);
    (0_usize..4, channels, pair(side), window, rest).prop_map(
        |(batch, (groups, channels, out), image, window, (activation, add, of_sum))| {
            let (kernel, stride, padding, dilation) = window;
            Case {
                batch,
                groups,
                channels,
                out,
                image,
                kernel,
                stride,
                padding,
                dilation,
                activation,
                add,
                of_sum: of_sum.filter(|_| add),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_shape(case in cases()) {
        if case.fits() {
            case.check();
        } else {
            let error = case.op(Isa::best()).output(case.image).unwrap_err();
            assert!(matches!(error, MixError::Reach { .. }), "{error}");
        }
    }

    #[test]
    fn any_place_of_the_batch(case in cases()) {
        prop_assume!(case.fits());
        case.check_alone();
    }

    #[test]
    fn not_finite(
        case in cases(),
        place in any::<usize>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        prop_assume!(case.fits());
        case.check_special(place, special);
    }
}

/// Those of RepMLPNet and of ResNet, on smaller images.
#[test]
fn usual_convolutions() {
    let kernel_is_stride = |channels, out, image, size| {
        let stride = (size, size);
        Case { stride, ..Case::plain(channels, out, image, stride) }
    };
    kernel_is_stride(3, 33, (32, 28), 4).check();
    kernel_is_stride(6, 12, (14, 18), 2).check();
    let stem = Case { stride: (2, 2), batch: 2, ..Case::same(3, 20, (31, 30), 7) };
    stem.check();
    Case { stride: (2, 2), ..Case::plain(40, 35, (15, 15), (1, 1)) }.check();
    Case { batch: 2, ..Case::same(16, 16, (14, 14), 3) }.check();
    // Depthwise: several groups are one task.
    for size in [1, 3, 5, 7] {
        Case { batch: 3, groups: 9, ..Case::same(1, 1, (7, 7), size) }.check();
        Case { batch: 5, ..Case::same(1, 1, (16, 16), size) }.check();
    }
}

/// A kernel that covers all of a small image, and one that has more zeros than pixels under it.
#[test]
fn kernels_beyond_the_image() {
    Case { padding: (3, 1), ..Case::plain(2, 3, (2, 3), (8, 5)) }.check();
    Case { padding: (9, 11), dilation: (9, 11), ..Case::plain(2, 3, (5, 4), (3, 3)) }.check();
    Case { padding: (7, 7), stride: (5, 6), ..Case::plain(2, 3, (1, 1), (2, 3)) }.check();
    // Nothing but zeros.
    for image in [(0, 0), (0, 3), (3, 0)] {
        Case { padding: (2, 2), batch: 2, ..Case::plain(2, 3, image, (2, 2)) }.check();
    }
}

/// Sums of several chunks of channels, of one channel with more than 1024 taps, and of none.
#[test]
fn long_sums() {
    for (channels, out) in [(113, 5), (114, 5), (115, 9), (300, 20), (40, 1700)] {
        Case { batch: 2, add: true, ..Case::same(channels, out, (5, 9), 3) }.check();
    }
    Case { groups: 2, ..Case::same(2, 3, (9, 40), 33) }.check();
    Case { groups: 2, batch: 2, ..Case::plain(1100, 3, (5, 8), (1, 1)) }.check();
    Case { groups: 2, batch: 2, ..Case::same(0, 3, (5, 8), 3) }.check();
}

/// More pixels than a task takes, in rows that are shorter and longer than a task.
#[test]
fn several_tasks() {
    Case::same(8, 9, (75, 70), 3).check();
    Case { stride: (1, 2), ..Case::same(113, 3, (3, 1300), 3) }.check();
}

/// Fewer pixels than threads have use for, and many channels, in one chunk and many.
#[test]
fn few_pixels() {
    for (channels, out, image) in [
        (40, 130, (1, 1)),
        (300, 200, (1, 1)),
        (7, 333, (2, 3)),
        (130, 470, (7, 7)),
        (20, 64, (7, 7)),
    ] {
        Case::same(channels, out, image, 3).check();
        Case { batch: 2, groups: 2, add: true, ..Case::same(channels, out, image, 1) }.check();
    }
    // Sums of several blocks of k, and of chunks.
    Case { activation: Activation::Relu, ..Case::plain(1030, 150, (1, 2), (1, 1)) }.check();
    Case { of_sum: Some(Activation::Relu), add: true, ..Case::same(230, 190, (2, 2), 3) }.check();
}

/// As the same matrix along the channels.
#[test]
fn pointwise_is_a_matrix_along_the_channels() {
    for (channels, out, image) in [(20, 17, (6, 7)), (300, 40, (9, 9)), (1100, 15, (3, 11))] {
        let case = Case { batch: 2, ..Case::plain(channels, out, image, (1, 1)) };
        let axes = Axes { outer: 2, axis: channels, inner: image.0 * image.1 };
        let (x, weight) = (case.input(), case.weight());
        for isa in env::isas_under_test() {
            let ctx = sequential(isa);
            let linear = AxisLinear::new(view(&weight, out, channels)).bias(&case.bias()).unwrap();
            let linear = linear.pack(isa, Side::Left).unwrap();
            let mut scratch = dirty(linear.scratch_len(axes, &ctx).unwrap());
            let mut y = vec![f32::NAN; axes.with_axis(out).elements().unwrap()];
            linear.apply_to(&x, &mut y, axes, &ctx, &mut scratch).unwrap();
            assert_same(&y, &case.run(&case.op(isa), &x, &ctx), &(isa, &case));
        }
    }
}

/// With and without gathering.
#[test]
fn pointwise_is_the_inside_of_padded() {
    let pointwise = Case { batch: 2, ..Case::plain(30, 17, (6, 7), (1, 1)) };
    let padded = Case { padding: (1, 2), ..pointwise.clone() };
    let x = pointwise.input();
    for isa in env::isas_under_test() {
        let ctx = sequential(isa);
        let outer = padded.run(&padded.op(isa), &x, &ctx);
        let rows = outer.chunks_exact(11).enumerate().filter(|(i, _)| !matches!(i % 8, 0 | 7));
        let inside: Vec<f32> = rows.flat_map(|(_, row)| &row[2..9]).copied().collect();
        assert_same(&pointwise.run(&pointwise.op(isa), &x, &ctx), &inside, &isa);
    }
}

/// Memory is for as many threads as there are tasks.
#[test]
fn boundless_workers() {
    for case in [Case::same(3, 5, (9, 40), 3), Case { batch: 3, ..Case::same(2, 5, (7, 7), 1) }] {
        for isa in env::isas_under_test() {
            let (op, x) = (case.op(isa), case.input());
            let ctx = Context::with_isa(isa).with_pool(Boundless);
            let workers = op.scratch_len(case.batch, case.image, &ctx).unwrap().workers;
            assert!(workers <= case.batch * case.image.0 * case.image.1, "{workers}");
            let expected = case.run(&op, &x, &sequential(isa));
            assert_same(&expected, &case.run(&op, &x, &ctx), &(isa, &case));
        }
    }
}
