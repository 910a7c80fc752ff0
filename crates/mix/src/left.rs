//! Weights on the left: panels of the inner axis, one after the other.
//!
//! A task takes some columns of one `[axis, inner]` matrix, packs them with the norm on the way, and
//! computes the layers on them. The hidden rows come out in the layout that the second product
//! reads. Where the weights fit the second level cache, a task is one panel, and the weights stay
//! there; where not, a task is as wide as the cache allows, and the weights pass once per task, a
//! chunk of hidden units at a time.

use mixfold_gemm::{
    Bias, Broadcast, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedLhs,
    PanelsMut, PartialSums, Scratch, ScratchLen, multiply, panels_len, par_blocks, par_columns,
    sums_len,
};
use mixfold_simd::Isa;

use crate::memory::{Memory, Parts};
use crate::norm::{Along, column_statistics, row_statistics};
use crate::op::input;
use crate::{Axes, AxisOp, MixError, Norm};

/// Elements that may stay in the second level cache beside what passes through.
const CACHE: usize = 350_000;
/// Hidden units of a chunk, where the weights do not fit.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(crate) enum Layers {
    Linear(PackedLhs<f32>),
    /// The two matrices, cut along the hidden units.
    Mlp(Vec<(PackedLhs<f32>, PackedLhs<f32>)>),
}

impl Layers {
    pub(crate) fn mlp(
        isa: Isa,
        first: MatRef<'_, f32>,
        second: MatRef<'_, f32>,
    ) -> Result<Self, GemmError> {
        let hidden = first.rows();
        let weights = hidden.saturating_mul(first.cols().saturating_add(second.rows()));
        let chunk = if weights <= CACHE { hidden.max(1) } else { CHUNK };
        let cut = |start: usize| {
            let len = chunk.min(hidden - start);
            Ok((
                PackedLhs::pack(isa, first.block(start, 0, len, first.cols())?)?,
                PackedLhs::pack(isa, second.block(0, start, second.rows(), len)?)?,
            ))
        };
        (0..hidden).step_by(chunk).map(cut).collect::<Result<_, _>>().map(Layers::Mlp)
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
    /// Columns of a task.
    width: usize,
    parts: Parts,
    /// Rows of which statistics are taken before the tasks.
    rows: usize,
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
        let width = kernel.cols;
        let (width, mut parts) = match layers {
            Layers::Linear(_) => {
                (width, Parts { sums: sums_len(kernel, out, axis, width)?, ..Parts::default() })
            }
            Layers::Mlp(chunks) => {
                let chunk = chunks.first().map_or(0, |(first, _)| first.rows());
                let (width, total, second) = if chunks.len() == 1 {
                    (width, 0, sums_len(kernel, out, chunk, width)?)
                } else {
                    // Tasks enough for all workers, if the columns are as many.
                    let columns = axes.inner.div_ceil(ctx.workers().div_ceil(axes.outer.max(1)));
                    let fits = CACHE / (axis + chunk + out).max(1);
                    let width = fits.min(columns).max(1).next_multiple_of(width);
                    (width, panels_len(kernel, out, width)?, 0)
                };
                let sums = sums_len(kernel, chunk, axis, width)?.max(second);
                let hidden = panels_len(kernel, chunk, width)?;
                (width, Parts { hidden, total, sums, ..Parts::default() })
            }
        };
        parts.input = panels_len(kernel, axis, width)?;
        let norm = op.norm.as_ref();
        let statistics = |along| norm.is_some_and(|norm| norm.statistics(along).is_some());
        parts.statistics = if statistics(Along::Axis) { width } else { 0 };
        let rows = if statistics(Along::Inner) { axes.outer * axis } else { 0 };
        let (shared, each) = (rows.saturating_mul(2), parts.len());
        let scratch = ScratchLen { shared, each, workers: ctx.workers() };
        Ok(Cut { width, parts, rows, scratch })
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
    let (shared, workers) = scratch.take(cut.scratch)?;
    let Axes { outer, axis, inner } = axes;
    let x = x.map(|x| MatRef::row_major(x, outer * axis, inner)).transpose()?;
    let y = MatMut::row_major(y, outer * op.out(), inner)?;
    if let Some(eps) = op.norm.as_ref().and_then(|norm| norm.statistics(Along::Inner)) {
        let source = input(x, &y);
        let statistics = MatMut::row_major(shared, 2, cut.rows)?;
        let share = cut.rows.div_ceil(ctx.workers()).max(1);
        par_columns(ctx.pool(), statistics, share, workers, |_, at, block| {
            let rows = (at.col..at.col + block.cols()).map_while(|i| source.row(i));
            let (mean, rstd) = block.split_rows(1);
            let mean = mean.into_slice().unwrap_or_default();
            row_statistics(ctx.isa(), rows, eps, mean, rstd.into_slice().unwrap_or_default());
        })?;
    }
    let (means, rstds) = shared.split_at(cut.rows);
    par_blocks(ctx.pool(), y, (op.out(), cut.width), workers, |memory, at, block| {
        let top = at.row / op.out() * axis;
        let of_image = |all| <[f32]>::get(all, top..top + axis).unwrap_or_default();
        let rows = (of_image(means), of_image(rstds));
        let part = || {
            let x = x.map(|x| x.block(top, at.col, axis, block.cols())).transpose()?;
            task(op, layers, ctx.isa(), (x, block), at.col, rows, cut.parts.carve(memory))
        };
        part().expect("shapes have been compared");
    })?;
    Ok(())
}

/// Computes the output's `block`, whose first column is `col`, from `x` or in place.
fn task(
    op: &AxisOp,
    layers: &Layers,
    isa: Isa,
    (x, block): (Option<MatRef<'_, f32>>, MatMut<'_, f32>),
    col: usize,
    rows: (&[f32], &[f32]),
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { input: packed, hidden, total, sums, statistics } = memory;
    let width = block.cols();
    let mut packed = PanelsMut::new(isa, packed, op.axis(), width)?;
    pack(op.norm.as_ref(), isa, input(x, &block), &mut packed, col, rows, statistics)?;
    let packed = packed.as_ref();

    let last = Epilogue { bias: Bias::PerRow(&op.bias), ..Epilogue::NONE };
    let out = Out::Matrix(block, op.accum(x));
    let mut first_unit = 0;
    let mut hidden_units =
        |first: &PackedLhs<f32>, target: &mut PanelsMut<'_, f32>, sums: &mut _| {
            let units = first_unit..first_unit + first.rows();
            first_unit = units.end;
            let bias = Bias::PerRow(&op.hidden_bias[units]);
            let epilogue = Epilogue { bias, activation: op.activation, ..Epilogue::NONE };
            multiply(isa, first.as_tiles(), packed, &epilogue, Out::Panels(target.reborrow()), sums)
        };
    match layers {
        Layers::Linear(weight) => {
            let epilogue = Epilogue { activation: op.activation, ..last };
            multiply(isa, weight.as_tiles(), packed, &epilogue, out, sums)
        }
        Layers::Mlp(chunks) => match &chunks[..] {
            [(first, second)] => {
                let mut target = PanelsMut::new(isa, hidden, first.rows(), width)?;
                hidden_units(first, &mut target, sums)?;
                multiply(isa, second.as_tiles(), target.as_ref(), &last, out, sums)
            }
            chunks => {
                let mut total = PartialSums::new(isa, total, op.out(), width)?;
                for (first, second) in chunks {
                    let mut target = PanelsMut::new(isa, &mut *hidden, first.rows(), width)?;
                    hidden_units(first, &mut target, sums)?;
                    total.add(isa, second.as_tiles(), target.as_ref())?;
                }
                total.finish(isa, &last, out)
            }
        },
    }
}

/// Packs `x`, whose first column is `col` of the tensor, with the norm on the way.
fn pack(
    norm: Option<&Norm>,
    isa: Isa,
    x: MatRef<'_, f32>,
    target: &mut PanelsMut<'_, f32>,
    col: usize,
    (row_means, row_rstds): (&[f32], &[f32]),
    (means, rstds): (&mut [f32], &mut [f32]),
) -> Result<(), GemmError> {
    let prologue = match norm {
        None => mixfold_gemm::Prologue::NONE,
        Some(norm) => {
            let (axis, width) = (x.rows(), x.cols());
            if let Some(eps) = norm.statistics(Along::Axis) {
                column_statistics(isa, x, eps, &mut means[..width], &mut rstds[..width]);
            }
            match norm.along() {
                Along::Inner => norm.prologue(
                    (Broadcast::PerRow(row_means), Broadcast::PerRow(row_rstds)),
                    Broadcast::PerColumn,
                    (col, width),
                ),
                Along::Axis => norm.prologue(
                    (Broadcast::PerColumn(&means[..width]), Broadcast::PerColumn(&rstds[..width])),
                    Broadcast::PerRow,
                    (0, axis),
                ),
            }
        }
    };
    target.pack(isa, x, &prologue)
}
