//! Weights on the right: blocks of rows, one after the other.
//!
//! A task takes some rows of the `[outer, axis]` matrix, packs them with the norm on the way, and
//! computes the layers on them. The rows stay in the second level cache while the weights pass by,
//! once per task. Of a perceptron, a chunk of hidden units is computed in the layout that the second
//! product reads, and added to the sums of the second one, so that the hidden units of a task are
//! never all there.

use mixfold_gemm::{
    Bias, Broadcast, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedRhs,
    PartialSums, Prologue, Scratch, TilesMut, multiply, panels_len, par_rows, sums_len, tiles_len,
};
use mixfold_simd::Isa;

use crate::layers::Layers;
use crate::norm::{Along, row_statistics};
use crate::op::input;
use crate::task::{Cut, Memory, Parts, rows_of_task};
use crate::{Axes, AxisOp, MixError, Norm};

/// Hidden units of a chunk.
pub(crate) const CHUNK: usize = 256;

/// Tasks of some rows each.
pub(crate) fn cut(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    axes: Axes,
    ctx: &Context,
) -> Result<Cut, MixError> {
    let (kernel, axis, out) = (KernelId::of::<f32>(ctx.isa()), op.axis(), op.out());
    let rows = rows_of_task(axes.outer, ctx.workers());
    let [first, second] = layers.shapes(axis, out).map(|(n, k)| sums_len(kernel, rows, k, n));
    let parts = Parts {
        input: tiles_len(rows, axis)?,
        hidden: tiles_len(rows, layers.units())?,
        total: if layers.sums_chunks() { panels_len(kernel, rows, out)? } else { 0 },
        sums: first?.max(second?),
        statistics: if op.norm.is_some() { rows } else { 0 },
    };
    Ok(Cut::new(rows, axes.outer.div_ceil(rows), 0, parts, ctx))
}

pub(crate) fn run(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    x: Option<&[f32]>,
    y: &mut [f32],
    axes: Axes,
    ctx: &Context,
    scratch: &mut Scratch<f32>,
) -> Result<(), MixError> {
    let Cut { size: rows, parts, scratch: len } = cut(op, layers, axes, ctx)?;
    let (_, workers) = scratch.take(len)?;
    let x = x.map(|x| MatRef::row_major(x, axes.outer, axes.axis)).transpose()?;
    let y = MatMut::row_major(y, axes.outer, op.out())?;
    par_rows(ctx.pool(), y, rows, workers, |memory, at, block| {
        let part = || {
            let x = x.map(|x| x.rows_at(at.row, block.rows())).transpose()?;
            task(op, layers, ctx.isa(), (x, block), parts.carve(memory))
        };
        part().expect("shapes have been compared");
    })?;
    Ok(())
}

/// Computes the output's `block` from `x` or in place.
fn task(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    isa: Isa,
    (x, block): (Option<MatRef<'_, f32>>, MatMut<'_, f32>),
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { input: packed, hidden, total, sums, statistics } = memory;
    let rows = block.rows();
    let mut packed = TilesMut::new(isa, packed, rows, op.axis())?;
    pack(op.norm.as_ref(), isa, input(x, &block), &mut packed, statistics)?;
    let packed = packed.as_ref();

    let last = Epilogue { bias: Bias::PerColumn(&op.bias), ..Epilogue::NONE };
    let out = Out::Matrix(block, op.accum(x));
    let chunks = match layers {
        Layers::Linear(weight) => {
            let epilogue = Epilogue { activation: op.activation, ..last };
            return multiply(isa, packed, weight.as_panels(), &epilogue, out, sums);
        }
        Layers::Mlp(chunks) => chunks,
    };
    let mut total = match layers.sums_chunks() {
        true => Some(PartialSums::new(isa, total, rows, op.out())?),
        false => None,
    };
    for (i, chunk) in chunks.iter().enumerate() {
        let bias = Bias::PerColumn(&chunk.bias);
        let epilogue = Epilogue { bias, activation: op.activation, ..Epilogue::NONE };
        let mut units = TilesMut::new(isa, &mut *hidden, rows, chunk.units)?;
        let target = Out::Tiles(units.reborrow());
        // The next task starts over with the first chunk.
        let next = chunks.get(i + 1).unwrap_or(&chunks[0]).first.as_panels();
        let second = chunk.second.as_panels().followed_by(next);
        let first = chunk.first.as_panels().followed_by(second);
        multiply(isa, packed, first, &epilogue, target, sums)?;
        let units = units.as_ref();
        match &mut total {
            Some(total) => total.add(isa, units, second)?,
            None => return multiply(isa, units, second, &last, out, sums),
        }
    }
    total.map_or(Ok(()), |total| total.finish(isa, &last, out))
}

/// Packs `x` with the norm on the way.
fn pack(
    norm: Option<&Norm>,
    isa: Isa,
    x: MatRef<'_, f32>,
    target: &mut TilesMut<'_, f32>,
    (means, rstds): (&mut [f32], &mut [f32]),
) -> Result<(), GemmError> {
    let prologue = match norm {
        None => Prologue::NONE,
        Some(norm) => {
            let (means, rstds) = (&mut means[..x.rows()], &mut rstds[..x.rows()]);
            if let Some(eps) = norm.statistics(Along::Axis) {
                let rows = (0..x.rows()).map_while(|i| x.row(i));
                row_statistics(isa, rows, eps, means, rstds);
            }
            norm.prologue(
                (Broadcast::PerRow(means), Broadcast::PerRow(rstds)),
                Broadcast::PerColumn,
                (0, x.cols()),
            )
        }
    };
    target.pack(isa, x, &prologue)
}
