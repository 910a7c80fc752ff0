//! Weights on the right: blocks of rows, one after the other.
//!
//! A task takes some rows of the `[outer, axis]` matrix, packs them with the norm on the way, and
//! computes the layers on them. The rows stay in the second level cache while the weights pass by,
//! once per task. Of a perceptron, a chunk of hidden units is computed in the layout that the second
//! product reads, and added to the sums of the second one, so that the hidden units of a task are
//! never all there.

use mixfold_gemm::{
    Bias, Broadcast, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedRhs,
    PartialSums, Prologue, Scratch, ScratchLen, TilesMut, multiply, panels_len, par_rows, sums_len,
    tiles_len,
};
use mixfold_simd::Isa;

use crate::memory::{Memory, Parts};
use crate::norm::{Along, row_statistics};
use crate::op::input;
use crate::{Axes, AxisOp, MixError, Norm};

/// Rows of a task, about: enough to use each weight often, few enough to stay in the second level
/// cache.
const ROWS: usize = 196;
/// Hidden units of a chunk.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(crate) enum Layers {
    Linear(PackedRhs<f32>),
    /// The two matrices, cut along the hidden units.
    Mlp(Vec<(PackedRhs<f32>, PackedRhs<f32>)>),
}

impl Layers {
    pub(crate) fn mlp(
        isa: Isa,
        first: MatRef<'_, f32>,
        second: MatRef<'_, f32>,
    ) -> Result<Self, GemmError> {
        let hidden = first.rows();
        let cut = |start: usize| {
            let len = CHUNK.min(hidden - start);
            Ok((
                PackedRhs::pack(isa, first.block(start, 0, len, first.cols())?.transpose())?,
                PackedRhs::pack(isa, second.block(0, start, second.rows(), len)?.transpose())?,
            ))
        };
        (0..hidden).step_by(CHUNK).map(cut).collect::<Result<_, _>>().map(Layers::Mlp)
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Layers::Linear(weight) => weight.bytes(),
            Layers::Mlp(chunks) => chunks.iter().map(|(a, b)| a.bytes() + b.bytes()).sum(),
        }
    }
}

/// How the work is cut, and which memory it needs.
pub(crate) struct Cut {
    /// Rows of a task.
    rows: usize,
    parts: Parts,
    pub(crate) scratch: ScratchLen,
}

impl Cut {
    pub(crate) fn new(
        op: &AxisOp,
        layers: &Layers,
        axes: Axes,
        ctx: &Context,
    ) -> Result<Self, MixError> {
        axes.elements()?;
        let (kernel, axis, out) = (KernelId::of::<f32>(ctx.isa()), op.axis(), op.out());
        // Tasks enough for all workers, if the rows are as many; of whole tiles, if there are more.
        let tasks = axes.outer.div_ceil(ROWS).next_multiple_of(ctx.workers()).max(1);
        let rows = axes.outer.div_ceil(tasks).max(1);
        let mut parts = match layers {
            Layers::Linear(_) => {
                Parts { sums: sums_len(kernel, rows, axis, out)?, ..Parts::default() }
            }
            Layers::Mlp(chunks) => {
                let chunk = chunks.first().map_or(0, |(first, _)| first.cols());
                let (total, second) = match chunks.len() {
                    1 => (0, sums_len(kernel, rows, chunk, out)?),
                    _ => (panels_len(kernel, rows, out)?, 0),
                };
                let sums = sums_len(kernel, rows, axis, chunk)?.max(second);
                Parts { hidden: tiles_len(rows, chunk)?, total, sums, ..Parts::default() }
            }
        };
        parts.input = tiles_len(rows, axis)?;
        parts.statistics = if op.norm.is_some() { rows } else { 0 };
        let scratch = ScratchLen { shared: 0, each: parts.len(), workers: ctx.workers() };
        Ok(Cut { rows, parts, scratch })
    }
}

pub(crate) fn run(
    op: &AxisOp,
    layers: &Layers,
    x: Option<&[f32]>,
    y: &mut [f32],
    axes: Axes,
    ctx: &Context,
    scratch: &mut Scratch<f32>,
) -> Result<(), MixError> {
    let cut = Cut::new(op, layers, axes, ctx)?;
    let (_, workers) = scratch.take(cut.scratch)?;
    let x = x.map(|x| MatRef::row_major(x, axes.outer, axes.axis)).transpose()?;
    let y = MatMut::row_major(y, axes.outer, op.out())?;
    par_rows(ctx.pool(), y, cut.rows, workers, |memory, at, block| {
        let part = || {
            let x = x.map(|x| x.rows_at(at.row, block.rows())).transpose()?;
            task(op, layers, ctx.isa(), (x, block), cut.parts.carve(memory))
        };
        part().expect("shapes have been compared");
    })?;
    Ok(())
}

/// Computes the output's `block` from `x` or in place.
fn task(
    op: &AxisOp,
    layers: &Layers,
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
    match layers {
        Layers::Linear(weight) => {
            let epilogue = Epilogue { activation: op.activation, ..last };
            multiply(isa, packed, weight.as_panels(), &epilogue, out, sums)
        }
        Layers::Mlp(chunks) => {
            let mut total = match chunks.len() {
                1 => None,
                _ => Some(PartialSums::new(isa, total, rows, op.out())?),
            };
            let mut first_unit = 0;
            for (i, (first, second)) in chunks.iter().enumerate() {
                let (first, second) = (first.as_panels(), second.as_panels());
                let after = chunks.get(i + 1).unwrap_or(&chunks[0]).0.as_panels();
                let units = first_unit..first_unit + first.cols();
                first_unit = units.end;
                let bias = Bias::PerColumn(&op.hidden_bias[units.clone()]);
                let epilogue = Epilogue { bias, activation: op.activation, ..Epilogue::NONE };
                let mut target = TilesMut::new(isa, &mut *hidden, rows, units.len())?;
                let (first, second) = (first.followed_by(second), second.followed_by(after));
                multiply(isa, packed, first, &epilogue, Out::Tiles(target.reborrow()), sums)?;
                match &mut total {
                    Some(total) => total.add(isa, target.as_ref(), second)?,
                    None => return multiply(isa, target.as_ref(), second, &last, out, sums),
                }
            }
            total.map_or(Ok(()), |total| total.finish(isa, &last, out))
        }
    }
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
