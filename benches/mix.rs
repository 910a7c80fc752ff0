//! Layers along an axis of one image, in place as models run them: the perceptrons of MLP-Mixer and
//! the gated ones of gMixer with norm and residual, single matrices with bias and residual, that of
//! ResMLP between its affine and its layer scale, and the gate of gMLP on half of the channels; and
//! the convolutions of RepMLPNet and ResNet with bias and ReLU, and the latter's max pooling.

#![forbid(unsafe_code)]

use core::error::Error;
use core::fmt;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use mixfold_benches::{
    Group, Inputs, Peak, context, criterion, fastest_isa, has_threads, id, isas,
};
use mixfold_gemm::{Accum, Activation, Context, MatMut, MatRef, Scratch};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, AxisOp, Conv2d, Conv2dOp, MaxPool2d, MixError, Norm, Side,
};
use mixfold_model::{Config, registry};
use mixfold_simd::Isa;

/// Of the layer norms.
const EPS: f32 = 1e-6;

/// The matrices of a layer and what surrounds them.
#[derive(Clone, Copy)]
enum Kind {
    /// One with bias and residual.
    Linear,
    /// One between an affine and a layer scale, with bias and residual.
    Scaled,
    /// Two with so many hidden units, norm, GELU and residual.
    Mlp(usize),
    /// The same, with units that SiLU of others gates.
    Glu(usize),
}

/// A layer along one axis of a model.
#[derive(Clone, Copy)]
struct Layer {
    side: Side,
    axes: Axes,
    kind: Kind,
}

impl Layer {
    /// Floating point operations of its matrices.
    fn flops(self) -> u64 {
        let Axes { outer, axis, inner } = self.axes;
        let products = match self.kind {
            Kind::Linear | Kind::Scaled => axis,
            Kind::Mlp(hidden) => 2 * hidden,
            Kind::Glu(hidden) => 3 * hidden,
        };
        2 * (outer * axis * inner) as u64 * products as u64
    }

    fn pack(self, isa: Isa) -> Result<AxisOp, MixError> {
        let (Layer { side, axes, kind }, mut inputs) = (self, Inputs::default());
        let (axis, bias) = (axes.axis, inputs.uniform::<f32>(axes.axis, 1.0));
        let (hidden, is_gated) = match kind {
            Kind::Mlp(hidden) => (hidden, false),
            Kind::Glu(hidden) => (hidden, true),
            Kind::Linear | Kind::Scaled => {
                let weight = inputs.weight(axis * axis, axis);
                let weight = MatRef::row_major(&weight, axis, axis)?;
                let mut linear = AxisLinear::new(weight).bias(&bias)?.residual();
                if matches!(kind, Kind::Scaled) {
                    let (ones, zeros) = (vec![1.0; axes.inner], vec![0.0; axes.inner]);
                    let scale = vec![1e-5; axes.inner];
                    linear = linear.norm(Norm::affine_inner(&ones, &zeros))?.scale_inner(&scale)?;
                }
                return linear.pack(isa, side);
            }
        };
        let norm = |channels: usize| (vec![1.0; channels], vec![0.0; channels]);
        let norm = match side {
            Side::Left => {
                let (gamma, beta) = norm(axes.inner);
                Norm::layer_inner(&gamma, &beta, EPS)
            }
            Side::Right => {
                let (gamma, beta) = norm(axis);
                Norm::layer_axis(&gamma, &beta, EPS)
            }
        };
        let (rows, activation) = match is_gated {
            false => (hidden, Activation::GeluErf),
            true => (2 * hidden, Activation::Silu),
        };
        let (first, second) =
            (inputs.weight(rows * axis, axis), inputs.weight(axis * hidden, hidden));
        let first = MatRef::row_major(&first, rows, axis)?;
        let second = MatRef::row_major(&second, axis, hidden)?;
        let mlp = if is_gated { AxisMlp::glu(first, second) } else { AxisMlp::new(first, second) };
        mlp?.bias(&inputs.uniform(rows, 1.0), &bias)?
            .norm(norm)?
            .activation(activation)
            .residual()
            .pack(isa, side)
    }
}

/// A convolution of square images with square kernels, in one group.
#[derive(Clone, Copy)]
struct Convolution {
    batch: usize,
    channels: usize,
    out: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    image: usize,
}

/// The stem, an embedding and a depthwise branch of RepMLPNet (its 96 channels share one kernel, and
/// so are a batch of one channel).
const REPMLPNET: [Convolution; 3] = [
    Convolution { batch: 1, channels: 3, out: 96, kernel: 4, stride: 4, padding: 0, image: 256 },
    Convolution { batch: 1, channels: 96, out: 192, kernel: 2, stride: 2, padding: 0, image: 64 },
    Convolution { batch: 96, channels: 1, out: 1, kernel: 3, stride: 1, padding: 1, image: 64 },
];

/// The convolutions of ResNet-50 for an image of 224 pixels, the largest of each kind.
const RESNET: [Convolution; 13] = [
    Convolution { batch: 1, channels: 3, out: 64, kernel: 7, stride: 2, padding: 3, image: 224 },
    Convolution { batch: 1, channels: 64, out: 64, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 64, out: 256, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 256, out: 64, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 64, out: 64, kernel: 3, stride: 1, padding: 1, image: 56 },
    Convolution { batch: 1, channels: 128, out: 128, kernel: 3, stride: 2, padding: 1, image: 56 },
    Convolution { batch: 1, channels: 128, out: 128, kernel: 3, stride: 1, padding: 1, image: 28 },
    Convolution { batch: 1, channels: 256, out: 256, kernel: 3, stride: 1, padding: 1, image: 14 },
    Convolution { batch: 1, channels: 512, out: 512, kernel: 3, stride: 1, padding: 1, image: 7 },
    Convolution { batch: 1, channels: 256, out: 512, kernel: 1, stride: 2, padding: 0, image: 56 },
    Convolution {
        batch: 1,
        channels: 1024,
        out: 2048,
        kernel: 1,
        stride: 2,
        padding: 0,
        image: 14,
    },
    Convolution { batch: 1, channels: 2048, out: 512, kernel: 1, stride: 1, padding: 0, image: 7 },
    Convolution { batch: 1, channels: 512, out: 2048, kernel: 1, stride: 1, padding: 0, image: 7 },
];

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Convolution { batch, channels, out, kernel, stride, image, .. } = self;
        write!(f, "{out}x{channels}x{kernel}x{kernel}-stride={stride}")?;
        write!(f, "-images={batch}x{image}x{image}")
    }
}

impl Convolution {
    fn pack(self, isa: Isa) -> Result<Conv2dOp, MixError> {
        let Convolution { channels, out, kernel, stride, padding, .. } = self;
        let (k, mut inputs) = (channels * kernel * kernel, Inputs::default());
        let (weight, bias) = (inputs.weight(out * k, k), inputs.uniform::<f32>(out, 1.0));
        Conv2d::new(MatRef::row_major(&weight, out, k)?, (kernel, kernel))?
            .stride((stride, stride))?
            .padding((padding, padding))
            .bias(&bias)?
            .activation(Activation::Relu)
            .pack(isa)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(250));
    let models = ["mixer_s32_224", "mixer_s16_224", "mixer_b16_224", "mixer_l16_224"];
    for (name, side, has_hidden) in [
        ("mix/tokens-mlp", Side::Left, true),
        ("mix/channels-mlp", Side::Right, true),
        ("mix/tokens-linear", Side::Left, false),
        ("mix/channels-linear", Side::Right, false),
    ] {
        let mut group = Group::new(&mut criterion, name);
        for model in models {
            let info = registry::model(model).ok_or("a model of the registry")?;
            let Config::Mixer(config) = info.config else { continue };
            let (tokens, channels) = (config.tokens(), config.trunk.channels);
            let (axes, hidden) = match side {
                Side::Left => {
                    (Axes { outer: 1, axis: tokens, inner: channels }, config.token_hidden)
                }
                Side::Right => {
                    (Axes { outer: tokens, axis: channels, inner: 1 }, config.channel_hidden)
                }
            };
            let kind = if has_hidden { Kind::Mlp(hidden) } else { Kind::Linear };
            let layer = Layer { side, axes, kind };
            bench(&mut group, model, layer)?;
        }
        if !has_hidden && side == Side::Left {
            let axes = Axes { outer: 1, axis: 196, inner: 384 };
            bench(&mut group, "resmlp_24_224", Layer { side, axes, kind: Kind::Scaled })?;
        }
    }
    for (name, side, axes, hidden) in [
        ("mix/tokens-glu", Side::Left, Axes { outer: 1, axis: 196, inner: 384 }, 192),
        ("mix/channels-glu", Side::Right, Axes { outer: 196, axis: 384, inner: 1 }, 768),
    ] {
        let mut group = Group::new(&mut criterion, name);
        bench(&mut group, "gmixer_24_224", Layer { side, axes, kind: Kind::Glu(hidden) })?;
    }
    let mut group = Group::new(&mut criterion, "mix/tokens-gate");
    bench_gate(&mut group, "gmlp_s16_224", Axes { outer: 1, axis: 196, inner: 768 })?;
    drop(group);
    let mut group = Group::new(&mut criterion, "mix/conv");
    for convolution in REPMLPNET {
        for isa in isas() {
            bench_convolution(&mut group, convolution, &context(isa, 1))?;
        }
    }
    for convolution in RESNET {
        for threads in [1, 2].into_iter().filter(|&threads| has_threads(threads)) {
            bench_convolution(&mut group, convolution, &context(fastest_isa(), threads))?;
        }
    }
    drop(group);
    bench_max_pool(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn bench(group: &mut Group, model: &str, layer: Layer) -> Result<(), MixError> {
    for isa in isas() {
        let (ctx, op) = (context(isa, 1), layer.pack(isa)?);
        let mut scratch = Scratch::with_len(op.scratch_len(layer.axes, &ctx)?)?;
        let mut x: Vec<f32> = Inputs::default().uniform(layer.axes.elements()?, 1.0);
        let (id, peak) = (id::<f32>(&ctx, model), Peak::of::<f32>(&ctx));
        group.bench(id, Throughput::Elements(layer.flops()), layer.flops(), peak, || {
            op.apply(&mut x, layer.axes, &ctx, &mut scratch).expect("the shapes agree");
        });
    }
    Ok(())
}

/// The second half of the channels gates the first one, both of `axes`.
fn bench_gate(group: &mut Group, model: &str, axes: Axes) -> Result<(), MixError> {
    let (Axes { axis, inner, .. }, mut inputs) = (axes, Inputs::default());
    // Gates of 1 nearly: products of many of them stay ordinary numbers.
    let weight = inputs.uniform(axis * axis, 1e-8);
    let (ones, zeros) = (vec![1.0; inner], vec![0.0; inner]);
    let flops = 2 * (axes.elements()? * axis) as u64;
    for isa in isas() {
        let ctx = context(isa, 1);
        let op = AxisLinear::new(MatRef::row_major(&weight, axis, axis)?)
            .bias(&vec![1.0; axis])?
            .norm(Norm::layer_inner(&ones, &zeros, EPS))?
            .pack(isa, Side::Left)?;
        let mut scratch = Scratch::with_len(op.scratch_len(axes, &ctx)?)?;
        let mut hidden: Vec<f32> = inputs.uniform(2 * axes.elements()?, 1.0);
        let (id, peak) = (id::<f32>(&ctx, model), Peak::of::<f32>(&ctx));
        group.bench(id, Throughput::Elements(flops), flops, peak, || {
            let hidden = MatMut::row_major(&mut hidden, axis, 2 * inner).expect("both halves");
            let (u, v) = hidden.split_cols(inner);
            op.apply_views(v.as_ref(), u, Accum::Multiply, axes, &ctx, &mut scratch)
                .expect("the shapes agree");
        });
    }
    Ok(())
}

fn bench_convolution(
    group: &mut Group,
    convolution: Convolution,
    ctx: &Context,
) -> Result<(), MixError> {
    let Convolution { batch, channels, out, kernel, image, .. } = convolution;
    let (size, mut inputs) = ((image, image), Inputs::default());
    let op = convolution.pack(ctx.isa())?;
    let mut scratch = Scratch::with_len(op.scratch_len(batch, size, ctx)?)?;
    let (height, width) = op.output(size)?;
    let x: Vec<f32> = inputs.uniform(batch * channels * image * image, 1.0);
    let mut y = vec![0.0; batch * out * height * width];
    // Zeros outside of the image count like pixels.
    let flops = 2 * (y.len() * channels * kernel * kernel) as u64;
    let (id, peak) = (id::<f32>(ctx, convolution), Peak::of::<f32>(ctx));
    group.bench(id, Throughput::Elements(flops), flops, peak, || {
        op.apply(&x, &mut y, batch, size, ctx, &mut scratch).expect("the shapes agree");
    });
    Ok(())
}

/// That of ResNet on an image of 224 pixels; elements are those of the output.
fn bench_max_pool(criterion: &mut Criterion) -> Result<(), MixError> {
    let pool = MaxPool2d::new((3, 3))?.stride((2, 2))?.padding((1, 1))?;
    let (planes, image) = (64, (112, 112));
    let (height, width) = pool.output(image)?;
    let x: Vec<f32> = Inputs::default().uniform(planes * image.0 * image.1, 1.0);
    let mut y = vec![0.0; planes * height * width];
    let mut group = criterion.benchmark_group("mix/max-pool");
    group.throughput(Throughput::Elements(y.len() as u64));
    for isa in isas() {
        let ctx = context(isa, 1);
        let mut scratch = Scratch::with_len(pool.scratch_len(planes, image, &ctx)?)?;
        group.bench_function(BenchmarkId::new(isa.name(), "3x3-stride=2-64x112x112"), |bencher| {
            bencher.iter(|| {
                pool.apply(&x, &mut y, planes, image, &ctx, &mut scratch)
                    .expect("the shapes agree");
            });
        });
    }
    Ok(())
}
