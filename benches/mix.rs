//! Layers along an axis of one image, in place as models run them: the perceptrons of MLP-Mixer
//! with norm and residual, and single matrices with bias and residual; and the convolutions of
//! RepMLPNet and ResNet with bias and ReLU.

#![forbid(unsafe_code)]

use core::error::Error;
use core::fmt;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, context, criterion, id, isas};
use mixfold_gemm::{Activation, MatRef, Scratch};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, Conv2d, Conv2dOp, MixError, Norm, Side};
use mixfold_model::{Config, registry};
use mixfold_simd::Isa;

/// Of the layer norms.
const EPS: f32 = 1e-6;

/// A layer along one axis of a model.
#[derive(Clone, Copy)]
struct Layer {
    side: Side,
    axes: Axes,
    /// Units of the hidden layer, if it has one.
    hidden: Option<usize>,
}

impl Layer {
    /// Floating point operations of its matrices.
    fn flops(self) -> u64 {
        let Axes { outer, axis, inner } = self.axes;
        let products = match self.hidden {
            Some(hidden) => 2 * hidden,
            None => axis,
        };
        2 * (outer * axis * inner) as u64 * products as u64
    }

    fn pack(self, isa: Isa) -> Result<AxisOp, MixError> {
        let (Layer { side, axes, hidden }, mut inputs) = (self, Inputs::default());
        let (axis, bias) = (axes.axis, inputs.uniform::<f32>(axes.axis, 1.0));
        let Some(hidden) = hidden else {
            let weight = inputs.weight(axis * axis, axis);
            let weight = MatRef::row_major(&weight, axis, axis)?;
            return AxisLinear::new(weight).bias(&bias)?.residual().pack(isa, side);
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
        let (first, second) =
            (inputs.weight(hidden * axis, axis), inputs.weight(axis * hidden, hidden));
        AxisMlp::new(
            MatRef::row_major(&first, hidden, axis)?,
            MatRef::row_major(&second, axis, hidden)?,
        )?
        .bias(&inputs.uniform(hidden, 1.0), &bias)?
        .norm(norm)?
        .gelu()
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
/// so are a batch of one channel), then the 3×3 of the first stage and the stem of ResNet.
const CONVOLUTIONS: [Convolution; 5] = [
    Convolution { batch: 1, channels: 3, out: 96, kernel: 4, stride: 4, padding: 0, image: 256 },
    Convolution { batch: 1, channels: 96, out: 192, kernel: 2, stride: 2, padding: 0, image: 64 },
    Convolution { batch: 96, channels: 1, out: 1, kernel: 3, stride: 1, padding: 1, image: 64 },
    Convolution { batch: 1, channels: 64, out: 64, kernel: 3, stride: 1, padding: 1, image: 56 },
    Convolution { batch: 1, channels: 3, out: 64, kernel: 7, stride: 2, padding: 3, image: 224 },
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
    let mut criterion = criterion(Duration::from_millis(400));
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
            let (tokens, channels) = (config.tokens(), config.channels);
            let (axes, hidden) = match side {
                Side::Left => {
                    (Axes { outer: 1, axis: tokens, inner: channels }, config.token_hidden)
                }
                Side::Right => {
                    (Axes { outer: tokens, axis: channels, inner: 1 }, config.channel_hidden)
                }
            };
            let layer = Layer { side, axes, hidden: has_hidden.then_some(hidden) };
            bench(&mut group, model, layer)?;
        }
    }
    let mut group = Group::new(&mut criterion, "mix/conv");
    for convolution in CONVOLUTIONS {
        bench_convolution(&mut group, convolution)?;
    }
    drop(group);
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

fn bench_convolution(group: &mut Group, convolution: Convolution) -> Result<(), MixError> {
    let Convolution { batch, channels, out, kernel, image, .. } = convolution;
    let (size, mut inputs) = ((image, image), Inputs::default());
    for isa in isas() {
        let (ctx, op) = (context(isa, 1), convolution.pack(isa)?);
        let mut scratch = Scratch::with_len(op.scratch_len(batch, size, &ctx)?)?;
        let (height, width) = op.output(size)?;
        let x: Vec<f32> = inputs.uniform(batch * channels * image * image, 1.0);
        let mut y = vec![0.0; batch * out * height * width];
        // Zeros outside of the image count like pixels.
        let flops = 2 * (y.len() * channels * kernel * kernel) as u64;
        let (id, peak) = (id::<f32>(&ctx, convolution), Peak::of::<f32>(&ctx));
        group.bench(id, Throughput::Elements(flops), flops, peak, || {
            op.apply(&x, &mut y, batch, size, &ctx, &mut scratch).expect("the shapes agree");
        });
    }
    Ok(())
}
