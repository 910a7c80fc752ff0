//! Layers along an axis of one image, in place as models run them: the perceptrons of MLP-Mixer and
//! the gated ones of gMixer with norm and residual, single matrices with bias and residual, that of
//! ResMLP between its affine and its layer scale, and the gate of gMLP on half of the channels; and
//! the convolutions of RepMLPNet and ResNet with bias and ReLU, and the latter's max pooling.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use mixfold_benches::layers::{Convolution, EPS, Kind, Layer};
use mixfold_benches::{
    Group, Inputs, Peak, cases, context, criterion, fastest_isa, has_threads, id, isas,
};
use mixfold_gemm::{Accum, Context, MatMut, MatRef, Scratch};
use mixfold_mix::{Axes, AxisLinear, MaxPool2d, MixError, Norm, Side};
use mixfold_model::{Config, registry};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(250));
    for (name, side, has_hidden) in [
        ("mix/tokens-mlp", Side::Left, true),
        ("mix/channels-mlp", Side::Right, true),
        ("mix/tokens-linear", Side::Left, false),
        ("mix/channels-linear", Side::Right, false),
    ] {
        let mut group = Group::new(&mut criterion, name);
        for model in cases::MIXERS {
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
    }
    for (group, model, layer) in cases::LAYERS {
        bench(&mut Group::new(&mut criterion, group), model, layer)?;
    }
    let mut group = Group::new(&mut criterion, "mix/tokens-gate");
    let (model, axes) = cases::GATE;
    bench_gate(&mut group, model, axes)?;
    drop(group);
    let mut group = Group::new(&mut criterion, "mix/conv");
    for convolution in cases::CONVS_REPMLPNET {
        for isa in isas() {
            bench_convolution(&mut group, convolution, &context(isa, 1))?;
        }
    }
    for convolution in cases::CONVS_RESNET {
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

/// Elements are those of the output.
fn bench_max_pool(criterion: &mut Criterion) -> Result<(), MixError> {
    let [window, stride, padding, planes, side] = cases::MAX_POOL;
    let pool =
        MaxPool2d::new((window, window))?.stride((stride, stride))?.padding((padding, padding))?;
    let image = (side, side);
    let what = format!("{window}x{window}-stride={stride}-{planes}x{side}x{side}");
    let (height, width) = pool.output(image)?;
    let x: Vec<f32> = Inputs::default().uniform(planes * image.0 * image.1, 1.0);
    let mut y = vec![0.0; planes * height * width];
    let mut group = criterion.benchmark_group("mix/max-pool");
    group.throughput(Throughput::Elements(y.len() as u64));
    for isa in isas() {
        let ctx = context(isa, 1);
        let mut scratch = Scratch::with_len(pool.scratch_len(planes, image, &ctx)?)?;
        group.bench_function(BenchmarkId::new(isa.name(), &what), |bencher| {
            bencher.iter(|| {
                pool.apply(&x, &mut y, planes, image, &ctx, &mut scratch)
                    .expect("the shapes agree");
            });
        });
    }
    Ok(())
}
