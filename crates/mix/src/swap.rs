//! Exchanging the last two axes of a tensor.

use mixfold_gemm::{Context, MatMut, par_rows};
use mixfold_simd::{Kernel, Simd, Vector};

use crate::{Axes, MixError};

/// A multiple of the lanes of every vector, as are the rows of a task.
const SQUARE: usize = 16;
/// Elements of a task, about.
const TASK: usize = 16_384;

/// `y[o, i, a] = x[o, a, i]`: from `[outer, axis, inner]` to `[outer, inner, axis]`, as from NCHW to NHWC,
/// and back with the two lengths exchanged. On the threads of `ctx`; allocates nothing.
///
/// # Errors
/// If `x` or `y` does not have the length of the shape.
pub fn swap_axes(x: &[f32], y: &mut [f32], axes: Axes, ctx: &Context) -> Result<(), MixError> {
    axes.check("input", x.len())?;
    axes.check("output", y.len())?;
    if y.is_empty() {
        return Ok(());
    }
    let Axes { outer, axis, inner } = axes;
    // Whole squares, as far as there are rows enough for all threads.
    let share = (outer * inner).div_ceil(ctx.workers());
    let rows = (TASK / axis).clamp(1, share).next_multiple_of(SQUARE);
    let y = MatMut::row_major(y, outer * inner, axis)?;
    // Tasks need no memory: one state for each thread, of no size.
    let mut states = vec![(); ctx.workers()];
    par_rows(ctx.pool(), y, rows, &mut states, |(), at, block| {
        let (mut row, mut y) = (at.row, block.into_slice().unwrap_or_default());
        while !y.is_empty() {
            // What the task has of an outer index.
            let (index, from) = (row / inner, row % inner);
            let rows = (inner - from).min(y.len() / axis);
            let (part, rest) = y.split_at_mut(rows * axis);
            let x = &x[index * axis * inner..][..axis * inner];
            ctx.isa().run(Swap { x, y: part, axis, inner, from });
            y = rest;
            row += rows;
        }
    })?;
    Ok(())
}

/// Writes columns of `x` of `axis` × `inner`, from number `from` on, as the rows of `y`.
struct Swap<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    axis: usize,
    inner: usize,
    from: usize,
}

impl Kernel for Swap<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (Swap { x, y, axis, inner, from }, lanes) = (self, S::F32::LANES);
        for (strip, y) in y.chunks_mut(lanes * axis).enumerate() {
            let col = from + strip * lanes;
            let cols = y.len() / axis;
            for a in (0..axis).step_by(lanes) {
                let rows = lanes.min(axis - a);
                let x = &x[a * inner + col..];
                if rows == lanes && cols == lanes {
                    S::F32::transpose_slices(s, (x, inner), (&mut y[a..], axis));
                    continue;
                }
                for (j, y) in y.chunks_exact_mut(axis).enumerate() {
                    for (i, y) in y[a..a + rows].iter_mut().enumerate() {
                        *y = x[i * inner + j];
                    }
                }
            }
        }
    }
}
