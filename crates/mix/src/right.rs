//! Weights on the right: blocks of rows, one after the other.
//!
//! A task takes some rows of the `[outer, axis]` matrix, packs them with the norm on the way, and
//! computes the layers on them. The rows stay in the second level cache while the weights pass by,
//! once per task. Of a perceptron, a chunk of hidden units is computed in the layout that the second
//! product reads, and added to the sums of the second one, so that the hidden units of a task are
//! never all there.

use mixfold_gemm::{
    Accum, Broadcast, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedRhs,
    PartialSums, Prologue, Scratch, ScratchLen, TilesMut, multiply, panels_len, par_blocks,
    sums_len, tiles_len,
};
use mixfold_simd::Isa;

use crate::layers::{Factor, Layers, meets};
use crate::norm::{Along, row_statistics};
use crate::op::{Call, input};
use crate::task::{Cut, Memory, Parts, ROWS, rows_of_task};
use crate::{Axes, AxisOp, MixError};

/// Hidden units of a chunk.
pub(crate) const CHUNK: usize = 512;

/// Tasks of some rows of a group each. Where there are few rows, and the output is not where the
/// input is still to be read, the tasks share the columns, so that each weight is read by one.
struct RightCut {
    rows: usize,
    cols: usize,
    parts: Parts,
    scratch: ScratchLen,
}

impl RightCut {
    fn new(
        op: &AxisOp,
        layers: &Layers<PackedRhs<f32>>,
        axes: Axes,
        in_place: bool,
        ctx: &Context,
    ) -> Result<Self, MixError> {
        let (kernel, axis, out) = (KernelId::of::<f32>(ctx.isa()), op.axis(), op.out());
        let height = axes.outer / op.groups();
        let workers = ctx.workers().div_ceil(op.groups());
        let few = height < ROWS.saturating_mul(workers) && matches!(layers, Layers::Linear(_));
        let (rows, cols) = if few && op.groups() == 1 && !in_place {
            let across = workers.div_ceil(height.div_ceil(ROWS).max(1));
            (rows_of_task(height, 1), out.div_ceil(across).next_multiple_of(kernel.cols).min(out))
        } else {
            (rows_of_task(height, workers), out)
        };
        let [first, second] = layers.shapes(axis, cols).map(|(n, k)| sums_len(kernel, rows, k, n));
        let has_norm = op.norm.is_some();
        let parts = Parts {
            input: tiles_len(rows, axis)?,
            hidden: tiles_len(rows, layers.units())?,
            total: if layers.sums_chunks() { panels_len(kernel, rows, out)? } else { 0 },
            sums: first?.max(second?),
            statistics: if has_norm { rows } else { 0 },
            gate: rows,
        };
        let tasks = (op.groups() * height.div_ceil(rows)).saturating_mul(out.div_ceil(cols.max(1)));
        let Cut { parts, scratch, .. } = Cut::new(rows, tasks, 0, parts, ctx);
        Ok(RightCut { rows, cols, parts, scratch })
    }
}

/// Memory for work in place or not.
pub(crate) fn scratch_len(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    axes: Axes,
    ctx: &Context,
) -> Result<ScratchLen, MixError> {
    let [a, b] = [true, false].map(|in_place| RightCut::new(op, layers, axes, in_place, ctx));
    let (a, b) = (a?.scratch, b?.scratch);
    Ok(ScratchLen { shared: 0, each: a.each.max(b.each), workers: a.workers.max(b.workers) })
}

pub(crate) fn run(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    call: Call<'_>,
    ctx: &Context,
    scratch: &mut Scratch<f32>,
) -> Result<(), MixError> {
    let Call { x, y, accum, gate, axes } = call;
    let RightCut { rows, cols, parts, scratch: len } =
        RightCut::new(op, layers, axes, x.is_none(), ctx)?;
    let (axis, groups) = (axes.axis, op.groups());
    let x = x.map(|x| side_by_side("input", x, groups)).transpose()?;
    let accum = match accum {
        Accum::Onto(residual) => Accum::Onto(side_by_side("residual", residual, groups)?),
        in_place => in_place,
    };
    let y = side_by_side_mut("output", y, groups)?;
    let (_, workers) = scratch.take(len)?;
    par_blocks(ctx.pool(), y, (rows, cols), workers, |memory, at, block| {
        let (group, col) = (at.col / op.out(), at.col % op.out());
        let place = Place { group, row: at.row, col, gate };
        let part = || {
            let (rows, cols) = (block.rows(), block.cols());
            let accum = accum.block(at.row..at.row + rows, at.col..at.col + cols)?;
            let x = x.map(|x| x.block(at.row, group * axis, rows, axis)).transpose()?;
            task(op, layers, ctx.isa(), x, (block, accum), place, parts.carve(memory))
        };
        part().expect("shapes have been compared");
    })?;
    Ok(())
}

/// `groups` rows at a time as one, so that the rows of a group are those of some columns.
fn side_by_side<'a>(
    what: &'static str,
    matrix: MatRef<'a, f32>,
    groups: usize,
) -> Result<MatRef<'a, f32>, MixError> {
    if groups == 1 {
        return Ok(matrix);
    }
    let (rows, cols, row_stride) = (matrix.rows(), matrix.cols(), matrix.row_stride());
    let elements = matrix.as_slice().ok_or(MixError::RowStride { what, cols, row_stride })?;
    Ok(MatRef::row_major(elements, rows / groups, groups * cols)?)
}

/// [`side_by_side`] of a matrix that is written.
fn side_by_side_mut<'a>(
    what: &'static str,
    matrix: MatMut<'a, f32>,
    groups: usize,
) -> Result<MatMut<'a, f32>, MixError> {
    if groups == 1 {
        return Ok(matrix);
    }
    let (rows, cols, row_stride) = (matrix.rows(), matrix.cols(), matrix.as_ref().row_stride());
    let elements = matrix.into_slice().ok_or(MixError::RowStride { what, cols, row_stride })?;
    Ok(MatMut::row_major(elements, rows / groups, groups * cols)?)
}

/// Where a task's rows and columns stand.
#[derive(Clone, Copy)]
struct Place<'a> {
    group: usize,
    /// The first row among those of the group.
    row: usize,
    /// The first column of the output.
    col: usize,
    gate: Option<&'a [f32]>,
}

impl Place<'_> {
    /// The outer index of the group's row number `i` from the first one on.
    fn index(self, op: &AxisOp, i: usize) -> usize {
        (self.row + i) * op.groups() + self.group
    }
}

/// Computes the output's `block` from `x` or in place.
fn task(
    op: &AxisOp,
    layers: &Layers<PackedRhs<f32>>,
    isa: Isa,
    x: Option<MatRef<'_, f32>>,
    (block, accum): (MatMut<'_, f32>, Accum<'_, f32>),
    place: Place<'_>,
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { input: packed, hidden, total, sums, statistics, gate: gates } = memory;
    let rows = block.rows();
    let mut packed = TilesMut::new(isa, packed, rows, op.axis())?;
    pack(op, isa, input(x, &block), &mut packed, place, statistics)?;
    let packed = packed.as_ref();

    let outputs = place.col..place.col + block.cols();
    let bias = Broadcast::PerColumn(op.bias(place.group, outputs.clone()));
    let scale = match (place.gate, op.scale(place.group, outputs.clone())) {
        (Some(gate), _) => {
            for (i, to) in gates[..rows].iter_mut().enumerate() {
                *to = gate[place.index(op, i)];
            }
            Broadcast::PerRow(&gates[..rows])
        }
        (None, Some(scale)) => Broadcast::PerColumn(scale),
        (None, None) => Broadcast::None,
    };
    let last = Epilogue { bias, scale, ..Epilogue::NONE };
    let out = Out::Matrix(block, accum);
    let chunks = match layers {
        Layers::Linear(weights) => {
            let epilogue = Epilogue { activation: op.activation, ..last };
            let weight = weights[place.group].as_panels().columns(outputs.start, outputs.end)?;
            return multiply(isa, packed, weight, &epilogue, out, sums);
        }
        Layers::Mlp(chunks) => chunks,
    };
    let mut total = match layers.sums_chunks() {
        true => Some(PartialSums::new(isa, total, rows, op.out())?),
        false => None,
    };
    for (i, chunk) in chunks.iter().enumerate() {
        let mut units = TilesMut::new(isa, &mut *hidden, rows, chunk.units)?;
        // The next task starts over with the first chunk.
        let next = chunks.get(i + 1).unwrap_or(&chunks[0]).factors[0].weight.as_panels();
        let second = chunk.second.as_panels().followed_by(next);
        for (j, Factor { weight, bias, activation }) in chunk.factors.iter().enumerate() {
            let next = chunk.factors.get(j + 1).map_or(second, |next| next.weight.as_panels());
            let weight = weight.as_panels().followed_by(next);
            let bias = Broadcast::PerColumn(&bias[..]);
            let epilogue = Epilogue { bias, activation: *activation, ..Epilogue::NONE };
            let target = Out::Tiles(units.reborrow(), meets(j));
            multiply(isa, packed, weight, &epilogue, target, sums)?;
        }
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
    op: &AxisOp,
    isa: Isa,
    x: MatRef<'_, f32>,
    target: &mut TilesMut<'_, f32>,
    place: Place<'_>,
    (means, rstds): (&mut [f32], &mut [f32]),
) -> Result<(), GemmError> {
    let Some(norm) = &op.norm else { return target.pack(isa, x, &Prologue::NONE) };
    let (means, rstds) = (&mut means[..x.rows()], &mut rstds[..x.rows()]);
    let prologue = if norm.along() == Along::Outer {
        for (i, (gamma, beta)) in means.iter_mut().zip(&mut *rstds).enumerate() {
            (*gamma, *beta) = norm.of_outer(place.index(op, i));
        }
        let (gain, offset) = (Broadcast::PerRow(&*means), Broadcast::PerRow(&*rstds));
        Prologue { gain, offset, ..Prologue::NONE }
    } else {
        if let Some(eps) = norm.statistics(Along::Axis) {
            let rows = (0..x.rows()).map_while(|i| x.row(i));
            row_statistics(isa, rows, eps, means, rstds);
        }
        let statistics = (Broadcast::PerRow(&*means), Broadcast::PerRow(&*rstds));
        norm.prologue(statistics, Broadcast::PerColumn, (0, x.cols()))
    };
    target.pack(isa, x, &prologue)
}
