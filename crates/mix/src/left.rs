//! Weights on the left: panels of the inner axis, one after the other.
//!
//! A task takes some columns of one `[axis, inner]` matrix, packs them with the norm on the way, and
//! computes the layers on them. The hidden rows come out in the layout that the second product
//! reads. Where the weights fit the second level cache, a task is one panel, and the weights stay
//! there; where not, a task is as wide as the cache allows, and the weights pass once per task, a
//! chunk of hidden units at a time.

use mixfold_gemm::{
    Accum, Broadcast, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedLhs,
    PanelsMut, PartialSums, Prologue, Scratch, multiply, panels_len, par_blocks, par_columns,
    sums_len,
};
use mixfold_simd::Isa;

use crate::layers::{Factor, Layers, meets};
use crate::norm::{Along, column_statistics, row_statistics};
use crate::op::{Call, input};
use crate::task::{Cut, Memory, Parts};
use crate::{Axes, AxisOp, MixError, Norm};

/// Elements that may stay in the second level cache beside what passes through.
const CACHE: usize = 350_000;
/// Hidden units of a chunk, where the weights do not fit.
const CHUNK: usize = 256;

/// Hidden units of a chunk, with so many weights for each: all where the weights stay in the cache.
pub(crate) fn chunk(hidden: usize, of_unit: usize) -> usize {
    let weights = hidden.saturating_mul(of_unit);
    if weights <= CACHE { hidden.max(1) } else { CHUNK }
}

/// Tasks of some columns each; what they share are the statistics of rows, if there are any.
pub(crate) fn cut(
    op: &AxisOp,
    layers: &Layers<PackedLhs<f32>>,
    axes: Axes,
    ctx: &Context,
) -> Result<Cut, MixError> {
    let (kernel, axis, out) = (KernelId::of::<f32>(ctx.isa()), op.axis(), op.out());
    let (panel, units) = (kernel.cols, layers.units());
    let width = if layers.sums_chunks() {
        // Tasks enough for all workers, if the columns are as many.
        let columns = axes.inner.div_ceil(ctx.workers().div_ceil(axes.outer.max(1)));
        let rows = axis.saturating_add(units).saturating_add(out);
        (CACHE / rows.max(1)).min(columns).max(1).next_multiple_of(panel)
    } else {
        panel
    };
    let norm = op.norm.as_ref();
    let along_axis = norm.is_some_and(|norm| norm.along() == Along::Axis);
    let [first, second] = layers.shapes(axis, out).map(|(m, k)| sums_len(kernel, m, k, width));
    let parts = Parts {
        input: panels_len(kernel, axis, width)?,
        hidden: panels_len(kernel, units, width)?,
        total: if layers.sums_chunks() { panels_len(kernel, out, width)? } else { 0 },
        sums: first?.max(second?),
        statistics: if along_axis { width } else { 0 },
        gate: 0,
    };
    let of_rows = norm.is_some_and(|norm| norm.statistics(Along::Inner).is_some());
    let rows = if of_rows { axes.outer * axis } else { 0 };
    let tasks = axes.outer.saturating_mul(axes.inner.div_ceil(width));
    Ok(Cut::new(width, tasks, rows.saturating_mul(2), parts, ctx))
}

pub(crate) fn run(
    op: &AxisOp,
    layers: &Layers<PackedLhs<f32>>,
    call: Call<'_>,
    ctx: &Context,
    scratch: &mut Scratch<f32>,
) -> Result<(), MixError> {
    let Call { x, y, accum, gate, axes } = call;
    let Cut { size: width, parts, scratch: len } = cut(op, layers, axes, ctx)?;
    let (shared, workers) = scratch.take(len)?;
    let (axis, rows) = (axes.axis, shared.len() / 2);
    if let Some(eps) = op.norm.as_ref().and_then(|norm| norm.statistics(Along::Inner)) {
        let source = input(x, &y);
        let statistics = MatMut::row_major(shared, 2, rows)?;
        let share = rows.div_ceil(workers.len()).max(1);
        par_columns(ctx.pool(), statistics, share, workers, |_, at, block| {
            let rows = (at.col..at.col + block.cols()).map_while(|i| source.row(i));
            let (mean, rstd) = block.split_rows(1);
            let mean = mean.into_slice().unwrap_or_default();
            row_statistics(ctx.isa(), rows, eps, mean, rstd.into_slice().unwrap_or_default());
        })?;
    }
    let (means, rstds) = shared.split_at(rows);
    par_blocks(ctx.pool(), y, (op.out(), width), workers, |memory, at, block| {
        let index = at.row / op.out();
        let top = index * axis;
        let of_image = |all| <[f32]>::get(all, top..top + axis).unwrap_or_default();
        let place = Place {
            index,
            col: at.col,
            of_rows: (of_image(means), of_image(rstds)),
            gate: gate.map(|gate| gate[index]),
        };
        let part = || {
            let (rows, cols) = (block.rows(), block.cols());
            let accum = accum.block(at.row..at.row + rows, at.col..at.col + cols)?;
            let x = x.map(|x| x.block(top, at.col, axis, cols)).transpose()?;
            task(op, layers, ctx.isa(), x, (block, accum), place, parts.carve(memory))
        };
        part().expect("shapes have been compared");
    })?;
    Ok(())
}

/// Where a task's columns stand, and what belongs to their outer index.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The outer index.
    index: usize,
    /// The first column.
    col: usize,
    /// Means of the rows, and 1/σ, if the norm has them.
    of_rows: (&'a [f32], &'a [f32]),
    gate: Option<f32>,
}

/// Computes the output's `block` from `x` or in place.
fn task(
    op: &AxisOp,
    layers: &Layers<PackedLhs<f32>>,
    isa: Isa,
    x: Option<MatRef<'_, f32>>,
    (block, accum): (MatMut<'_, f32>, Accum<'_, f32>),
    place: Place<'_>,
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { input: packed, hidden, total, sums, statistics, .. } = memory;
    let width = block.cols();
    let mut packed = PanelsMut::new(isa, packed, op.axis(), width)?;
    pack(op.norm.as_ref(), isa, input(x, &block), &mut packed, place, statistics)?;
    let packed = packed.as_ref();

    let group = place.index % op.groups();
    let bias = Broadcast::PerRow(op.bias(group, 0..op.out()));
    let scale = match (place.gate, op.scale(group, 0..op.out()), op.scale_inner()) {
        (Some(gate), ..) => Broadcast::Uniform(gate),
        (None, Some(scale), _) => Broadcast::PerRow(scale),
        (None, None, Some(scale)) => Broadcast::PerColumn(&scale[place.col..][..width]),
        (None, None, None) => Broadcast::None,
    };
    let last = Epilogue { bias, scale, ..Epilogue::NONE };
    let out = Out::Matrix(block, accum);
    let chunks = match layers {
        Layers::Linear(weights) => {
            let epilogue = Epilogue { activation: op.activation, ..last };
            return multiply(isa, weights[group].as_tiles(), packed, &epilogue, out, sums);
        }
        Layers::Mlp(chunks) => chunks,
    };
    let mut total = match layers.sums_chunks() {
        true => Some(PartialSums::new(isa, total, op.out(), width)?),
        false => None,
    };
    for chunk in chunks {
        let mut units = PanelsMut::new(isa, &mut *hidden, chunk.units, width)?;
        for (i, Factor { weight, bias, activation }) in chunk.factors.iter().enumerate() {
            let bias = Broadcast::PerRow(&bias[..]);
            let epilogue = Epilogue { bias, activation: *activation, ..Epilogue::NONE };
            let target = Out::Panels(units.reborrow(), meets(i));
            multiply(isa, weight.as_tiles(), packed, &epilogue, target, sums)?;
        }
        let (second, units) = (chunk.second.as_tiles(), units.as_ref());
        match &mut total {
            Some(total) => total.add(isa, second, units)?,
            None => return multiply(isa, second, units, &last, out, sums),
        }
    }
    total.map_or(Ok(()), |total| total.finish(isa, &last, out))
}

/// Packs `x` with the norm on the way.
fn pack(
    norm: Option<&Norm>,
    isa: Isa,
    x: MatRef<'_, f32>,
    target: &mut PanelsMut<'_, f32>,
    Place { index, col, of_rows: (row_means, row_rstds), .. }: Place<'_>,
    (means, rstds): (&mut [f32], &mut [f32]),
) -> Result<(), GemmError> {
    let (axis, width) = (x.rows(), x.cols());
    let prologue = match norm {
        None => Prologue::NONE,
        Some(norm) => match norm.along() {
            Along::Outer => {
                let (gamma, beta) = norm.of_outer(index);
                let (gain, offset) = (Broadcast::Uniform(gamma), Broadcast::Uniform(beta));
                Prologue { gain, offset, ..Prologue::NONE }
            }
            Along::Inner => norm.prologue(
                (Broadcast::PerRow(row_means), Broadcast::PerRow(row_rstds)),
                Broadcast::PerColumn,
                (col, width),
            ),
            Along::Axis => {
                let (means, rstds) = (&mut means[..width], &mut rstds[..width]);
                if let Some(eps) = norm.statistics(Along::Axis) {
                    column_statistics(isa, x, eps, means, rstds);
                }
                norm.prologue(
                    (Broadcast::PerColumn(means), Broadcast::PerColumn(rstds)),
                    Broadcast::PerRow,
                    (0, axis),
                )
            }
        },
    };
    target.pack(isa, x, &prologue)
}
