//! The parts of a matrix product, each alone, as fractions of the peak of the same moment: the register
//! tile, products of packed operands with each ending, and packing with and without a layer norm; and
//! what weights cost that are not in the caches. On one thread.

#![forbid(unsafe_code)]

use core::error::Error;
use core::hint::black_box;

use mixfold_benches::cases::Tail;
use mixfold_benches::cases::parts::{COLD, COLD_BYTES, PACKED, PRODUCTS, TILE_STEPS};
use mixfold_benches::layers::EPS;
use mixfold_benches::{Float, Inputs, Product, Turns, context, isas};
use mixfold_gemm::{
    Accum, Activation, Bias, Broadcast, Buffer, Epilogue, GemmError, KernelId, MatMut, MatRef, Out,
    PackedLhs, PackedRhs, PanelsMut, PartialSums, Prologue, Scratch, TilesMut, gemm, multiply,
    panels_len, sums_len, tiles_len,
};
use mixfold_mix::Side;
use mixfold_simd::Isa;
use mixfold_simd::moments::Moments;

fn main() -> Result<(), Box<dyn Error>> {
    let turns = Turns::from_args();
    for isa in isas() {
        for k in TILE_STEPS {
            tile::<f32>(&turns, isa, k)?;
            tile::<f64>(&turns, isa, k)?;
        }
        for (weights, shape) in PRODUCTS {
            for end in [End::Sums, End::Nothing, End::Bias, End::Gelu, End::Add] {
                product(&turns, isa, weights, shape, end)?;
            }
        }
        pack(&turns, isa)?;
        for (shape, tail) in COLD {
            cold(&turns, isa, shape, tail)?;
        }
    }
    Ok(())
}

fn name<T: Float>(part: &str, isa: Isa, what: &str) -> String {
    format!("parts/{part}/{}/{what}", KernelId::of::<T>(isa))
}

/// The micro-kernel on one tile, whose operands stay in the first level cache as far as they fit.
fn tile<T: Float>(turns: &Turns, isa: Isa, k: usize) -> Result<(), GemmError> {
    let kernel = KernelId::of::<T>(isa);
    let (rows, cols) = (kernel.rows, kernel.cols);
    let product = Product::<T>::new([rows, cols, k], Side::Left);
    let name = name::<T>("tile", isa, &product.to_string());
    if !turns.call(&name) {
        return Ok(());
    }
    let (lhs, rhs) = (PackedLhs::pack(isa, product.lhs()?)?, PackedRhs::pack(isa, product.rhs()?)?);
    let mut data = Buffer::<T>::zeroed(panels_len(kernel, rows, cols)?)?;
    turns.fraction::<T>(&name, isa, product.flops(), || {
        let mut sums = PartialSums::new(isa, &mut data, rows, cols).expect("its length");
        sums.add(isa, lhs.as_tiles(), rhs.as_panels()).expect("the shapes agree");
        black_box(&mut sums);
    });
    Ok(())
}

/// What becomes of the sums of a product.
#[derive(Clone, Copy, Debug)]
enum End {
    /// They are kept as they are, of all k at once, even where `multiply` takes k in blocks.
    Sums,
    /// They are written into the layout of the next product.
    Nothing,
    /// Likewise, with a bias.
    Bias,
    /// Likewise, with a bias and GELU.
    Gelu,
    /// They are added to a matrix, with a bias.
    Add,
}

/// A product of packed operands; one panel of it, if the weights stand on the left.
fn product(
    turns: &Turns,
    isa: Isa,
    weights: Side,
    shape: [usize; 3],
    end: End,
) -> Result<(), GemmError> {
    let (kernel, [m, width, k]) = (KernelId::of::<f32>(isa), shape);
    let (part, n) = match weights {
        Side::Left => ("left", kernel.cols),
        Side::Right => ("right", width),
    };
    let ending = match end {
        End::Sums => "sums",
        End::Nothing => "none",
        End::Bias => "bias",
        End::Gelu => "gelu",
        End::Add => "add",
    };
    let name = name::<f32>(&format!("{part}-{ending}"), isa, &format!("{m}x{n}x{k}"));
    if !turns.call(&name) {
        return Ok(());
    }
    let product = Product::<f32>::new([m, n, k], weights);
    let (lhs, rhs) = (PackedLhs::pack(isa, product.lhs()?)?, PackedRhs::pack(isa, product.rhs()?)?);
    let (tiles, panels) = (lhs.as_tiles(), rhs.as_panels());
    let bias = Inputs::default().uniform::<f32>(m.max(n), 1.0);
    let bias = match (end, weights) {
        (End::Sums | End::Nothing, _) => Bias::None,
        (_, Side::Left) => Bias::PerRow(&bias[..m]),
        (_, Side::Right) => Bias::PerColumn(&bias[..n]),
    };
    let activation = match end {
        End::Gelu => Activation::GeluErf,
        _ => Activation::Identity,
    };
    let epilogue = Epilogue { bias, activation, ..Epilogue::NONE };
    let out_len = panels_len(kernel, m, n)?.max(tiles_len(m, n)?).max(m * width);
    let mut out = Buffer::<f32>::zeroed(out_len)?;
    let mut sums = Buffer::<f32>::zeroed(sums_len(kernel, m, k, n)?)?;
    let mut run = || -> Result<(), GemmError> {
        let out = match (end, weights) {
            (End::Sums, _) => {
                return PartialSums::new(isa, &mut out, m, n)?.add(isa, tiles, panels);
            }
            (End::Add, _) => Out::Matrix(MatMut::new(&mut out, m, n, width, 1)?, Accum::Add),
            (_, Side::Left) => Out::Panels(PanelsMut::new(isa, &mut out, m, n)?, Accum::Replace),
            (_, Side::Right) => Out::Tiles(TilesMut::new(isa, &mut out, m, n)?, Accum::Replace),
        };
        multiply(isa, tiles, panels, &epilogue, out, &mut sums)
    };
    turns.fraction::<f32>(&name, isa, product.flops(), || run().expect("the shapes agree"));
    Ok(())
}

/// Packing the tokens of an image as they are and through a layer norm, for token mixing panel by panel
/// and for channel mixing at once, and the moments of the norm. Compared with the products of the layer.
fn pack(turns: &Turns, isa: Isa) -> Result<(), GemmError> {
    let ([tokens, channels, token_hidden, channel_hidden], mut inputs) =
        (PACKED, Inputs::default());
    let (kernel, x) = (KernelId::of::<f32>(isa), inputs.uniform::<f32>(tokens * channels, 1.0));
    let x = MatRef::row_major(&x, tokens, channels)?;
    let (gamma, beta) = (inputs.uniform::<f32>(channels, 1.0), inputs.uniform(channels, 1.0));
    let moments = |row| Moments::of(isa, x.row(row).expect("a row of adjacent elements"));
    let means: Vec<f32> = (0..tokens).map(|row| moments(row).mean).collect();
    let rstd: Vec<f32> = (0..tokens).map(|row| moments(row).rstd(EPS)).collect();
    let norm = |from: usize, to: usize| Prologue {
        center: Broadcast::PerRow(&means),
        scale: Broadcast::PerRow(&rstd),
        gain: Broadcast::PerColumn(&gamma[from..to]),
        offset: Broadcast::PerColumn(&beta[from..to]),
    };
    let flops = |hidden: usize| 4 * (tokens * channels * hidden) as u64;
    let what = format!("{tokens}x{channels}");

    let mut panel = Buffer::<f32>::zeroed(panels_len(kernel, tokens, kernel.cols)?)?;
    let mut tiles = Buffer::<f32>::zeroed(tiles_len(tokens, channels)?)?;
    for (is_normed, end) in [(false, "none"), (true, "norm")] {
        let prologue = |from, to| if is_normed { norm(from, to) } else { Prologue::NONE };
        let mut pack_panels = || -> Result<(), GemmError> {
            for from in (0..channels).step_by(kernel.cols) {
                let to = channels.min(from + kernel.cols);
                let view = x.block(0, from, tokens, to - from)?;
                PanelsMut::new(isa, &mut panel, tokens, to - from)?.pack(
                    isa,
                    view,
                    &prologue(from, to),
                )?;
            }
            Ok(())
        };
        let name_panels = name::<f32>(&format!("pack-panels-{end}"), isa, &what);
        if turns.call(&name_panels) {
            turns.share::<f32>(&name_panels, isa, flops(token_hidden), || {
                pack_panels().expect("the shapes agree");
            });
        }
        let name_tiles = name::<f32>(&format!("pack-tiles-{end}"), isa, &what);
        if turns.call(&name_tiles) {
            turns.share::<f32>(&name_tiles, isa, flops(channel_hidden), || {
                TilesMut::new(isa, &mut tiles, tokens, channels)
                    .and_then(|mut tiles| tiles.pack(isa, x, &prologue(0, channels)))
                    .expect("the shapes agree");
            });
        }
    }
    let name = name::<f32>("moments", isa, &what);
    if turns.call(&name) {
        turns.share::<f32>(&name, isa, flops(token_hidden), || {
            (0..tokens).for_each(|row| {
                black_box(moments(row));
            });
        });
    }
    Ok(())
}

/// A product with the same weights again and again, and with others each time, as many as the caches
/// do not hold; all of them in one block of memory, as those of a model are.
fn cold(
    turns: &Turns,
    isa: Isa,
    [m, n, k]: [usize; 3],
    tail: Tail<Activation>,
) -> Result<(), GemmError> {
    let end = match tail {
        Tail::Activation(_) => "gelu",
        Tail::Residual => "add",
    };
    let name = name::<f32>(&format!("cold-{end}"), isa, &format!("{m}x{n}x{k}"));
    if !turns.call(&name) {
        return Ok(());
    }
    let (product, ctx) = (Product::<f32>::new([m, n, k], Side::Right), context(isa, 1));
    let copies = COLD_BYTES.div_ceil(size_of::<f32>() * n * k);
    let weights = PackedRhs::pack_all(isa, &vec![product.rhs()?; copies])?;
    let mut inputs = Inputs::default();
    let (bias, residual) = (inputs.uniform::<f32>(n, 1.0), inputs.uniform::<f32>(m * n, 1.0));
    let residual = MatRef::row_major(&residual, m, n)?;
    let (accum, activation) = match tail {
        Tail::Activation(activation) => (Accum::Replace, activation),
        Tail::Residual => (Accum::Onto(residual), Activation::Identity),
    };
    let epilogue = Epilogue { bias: Bias::PerColumn(&bias), activation, ..Epilogue::NONE };
    let (lhs, mut out) = (product.lhs()?, vec![0.0; m * n]);
    let mut scratch = Scratch::for_gemm(&ctx, m, n, k)?;
    turns.cold(&name, &weights, |weights| {
        MatMut::row_major(&mut out, m, n)
            .and_then(|out| gemm(out, accum, lhs, weights, &epilogue, &ctx, &mut scratch))
            .expect("the shapes agree");
    });
    Ok(())
}
