//! Layers along an axis of one image, in place as models run them: the perceptrons of MLP-Mixer
//! with norm and residual, and single matrices with bias and residual.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, context, criterion, id, isas};
use mixfold_gemm::{MatRef, Scratch};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, MixError, Norm, Side};
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
