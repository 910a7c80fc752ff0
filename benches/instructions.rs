//! Work whose instructions `benches/count` counts, on each instruction set of the CPU that it is shown.
//! Prints the name of each piece of work, in order.

#![forbid(unsafe_code)]

use core::error::Error;
use core::hint::black_box;

use mixfold_benches::cases::counted;
use mixfold_benches::{Inputs, Product, context};
use mixfold_gemm::{Accum, Context, Epilogue, MatMut, MatRef, PackedLhs, PackedRhs, Scratch, gemm};
use mixfold_mix::{Norm, SelfAttention, Side};
use mixfold_model::Loader;
use mixfold_simd::Isa;
use mixfold_simd::math::{GeluErf, map};

fn main() -> Result<(), Box<dyn Error>> {
    for isa in Isa::available() {
        let ctx = context(isa, 1);
        product(&ctx)?;
        layers(&ctx)?;
        norm(&ctx)?;
        gelu(isa);
        pack(isa)?;
        attention(&ctx)?;
        convolution(&ctx)?;
        model(ctx)?;
    }
    Ok(())
}

/// Calls `work` twice, the second time with its instructions counted.
fn count<R>(isa: Isa, what: impl core::fmt::Display, mut work: impl FnMut() -> R) {
    black_box(work());
    println!("{isa}/{what}");
    counted_work(&mut || {
        black_box(work());
    });
}

/// What the simulator looks for.
#[inline(never)]
fn counted_work(work: &mut dyn FnMut()) {
    black_box(work)();
}

fn product(ctx: &Context) -> Result<(), Box<dyn Error>> {
    let ([m, n, k], isa) = (counted::PRODUCT, ctx.isa());
    let product = Product::<f32>::new([m, n, k], Side::Right);
    let (lhs, rhs) = (PackedLhs::pack(isa, product.lhs()?)?, PackedRhs::pack(isa, product.rhs()?)?);
    let (mut out, mut scratch) = (vec![0.0; m * n], Scratch::for_gemm(ctx, m, n, k)?);
    count(isa, format_args!("gemm/{product}"), || {
        let out = MatMut::row_major(&mut out, m, n).expect("its length");
        gemm(out, Accum::Replace, &lhs, &rhs, &Epilogue::NONE, ctx, &mut scratch)
            .expect("the shapes agree");
    });
    Ok(())
}

fn layers(ctx: &Context) -> Result<(), Box<dyn Error>> {
    for (name, layer) in counted::LAYERS {
        let op = layer.pack(ctx.isa())?;
        let mut scratch = Scratch::with_len(op.scratch_len(layer.axes, ctx)?)?;
        let mut x: Vec<f32> = Inputs::default().uniform(layer.axes.elements()?, 1.0);
        count(ctx.isa(), format_args!("mix/{name}"), || {
            op.apply(&mut x, layer.axes, ctx, &mut scratch).expect("the shapes agree");
        });
    }
    Ok(())
}

fn norm(ctx: &Context) -> Result<(), Box<dyn Error>> {
    let (ones, zeros) = (vec![1.0; counted::NORM.axis], vec![0.0; counted::NORM.axis]);
    let norm = Norm::layer_axis(&ones, &zeros, 1e-6);
    let mut scratch = Scratch::with_len(norm.scratch_len(counted::NORM, ctx)?)?;
    let mut x = Inputs::default().uniform::<f32>(counted::NORM.elements()?, 1.0);
    count(ctx.isa(), "mix/layer-norm", || {
        norm.apply(&mut x, counted::NORM, ctx, &mut scratch).expect("the shapes agree");
    });
    Ok(())
}

fn gelu(isa: Isa) {
    let mut x: Vec<f32> = Inputs::default().uniform(counted::GELU, 4.0);
    count(isa, "simd/gelu", || map(isa, GeluErf, &mut x));
}

fn pack(isa: Isa) -> Result<(), Box<dyn Error>> {
    for (name, side, [out, axis]) in counted::PACKED {
        let weight: Vec<f32> = Inputs::default().weight(out * axis, axis);
        let view = MatRef::row_major(&weight, out, axis)?;
        match side {
            Side::Left => count(isa, format_args!("pack/{name}"), || PackedLhs::pack(isa, view)),
            Side::Right => {
                count(isa, format_args!("pack/{name}"), || PackedRhs::pack(isa, view.transpose()));
            }
        }
    }
    Ok(())
}

fn attention(ctx: &Context) -> Result<(), Box<dyn Error>> {
    let (shape, axes) = (counted::ATTENTION, counted::ATTENTION.axes());
    let attention = SelfAttention::new(shape.heads, shape.heads * shape.width, shape.positions)?;
    let mut scratch = Scratch::with_len(attention.scratch_len(axes, ctx)?)?;
    let qkv: Vec<f32> = Inputs::default().uniform(attention.input(axes)?.elements()?, 2.0);
    let mut y = vec![0.0; axes.elements()?];
    count(ctx.isa(), "mix/attention", || {
        attention.apply(&qkv, &mut y, axes, ctx, &mut scratch).expect("the shapes agree");
    });
    Ok(())
}

fn convolution(ctx: &Context) -> Result<(), Box<dyn Error>> {
    let convolution = counted::CONVOLUTION;
    let (batch, size) = (convolution.batch, (convolution.image, convolution.image));
    let op = convolution.pack(ctx.isa())?;
    let mut scratch = Scratch::with_len(op.scratch_len(batch, size, ctx)?)?;
    let (height, width) = op.output(size)?;
    let pixels = batch * convolution.channels * size.0 * size.1;
    let x: Vec<f32> = Inputs::default().uniform(pixels, 1.0);
    let mut y = vec![0.0; batch * convolution.out * height * width];
    count(ctx.isa(), "mix/conv", || {
        op.apply(&x, &mut y, batch, size, ctx, &mut scratch).expect("the shapes agree");
    });
    Ok(())
}

fn model(ctx: Context) -> Result<(), Box<dyn Error>> {
    let (isa, (config, classes)) = (ctx.isa(), counted::MODEL);
    let model = Loader::new().context(ctx).random_config("small", config, classes, 0)?;
    let images = Inputs::default().uniform::<f32>(model.input().iter().product(), 1.0);
    let (mut logits, mut plan) = (vec![0.0; classes], model.plan(1)?);
    count(isa, "model/mixer", || {
        plan.run(&images, &mut logits).expect("the lengths agree");
    });
    Ok(())
}
