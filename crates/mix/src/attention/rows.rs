//! Positions along the axis: queries are the rows of the scores, and features adjacent.
//!
//! `S = Q·Kᵀ` comes out in the layout of the left operand that `Y = softmax(S)·V` takes.

use mixfold_gemm::{
    Accum, Broadcast, Epilogue, GemmError, KernelId, MatMut, Out, PanelsMut, Prologue, TilesMut,
    multiply,
};
use mixfold_simd::{Isa, Kernel, Simd, Vector};

use super::Head;
use super::cut::{Memory, Split};
use super::softmax::Rows;

/// Fills `y`, the queries' rows of the output.
pub(super) fn run(
    isa: Isa,
    head: Head<'_>,
    scale: f32,
    y: MatMut<'_, f32>,
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { blocks, mut keys, mut values, queries, scores, total, sums, mut running } = memory;
    let width = head.queries.cols();
    for (i, range) in blocks.ranges().enumerate() {
        let len = range.len();
        let rows = head.keys.rows_at(range.start, len)?;
        PanelsMut::new(isa, keys.block(i), width, len)?.pack(
            isa,
            rows.transpose(),
            &Prologue::NONE,
        )?;
        let rows = head.values.rows_at(range.start, len)?;
        PanelsMut::new(isa, values.block(i), len, width)?.pack(isa, rows, &Prologue::NONE)?;
    }
    let scaled = Prologue { gain: Broadcast::Uniform(scale), ..Prologue::NONE };
    let mut below = y;
    for tile in Split::new(head.queries.rows(), KernelId::of::<f32>(isa).rows).ranges() {
        let rows = tile.len();
        let mut packed = TilesMut::new(isa, &mut *queries, rows, width)?;
        packed.pack(isa, head.queries.rows_at(tile.start, rows)?, &scaled)?;
        let packed = packed.as_ref();
        let total = &mut total[..rows * width];
        let mut running = running.start(rows);
        for (i, range) in blocks.ranges().enumerate() {
            let len = range.len();
            let keys = PanelsMut::new(isa, keys.block(i), width, len)?;
            let values = PanelsMut::new(isa, values.block(i), len, width)?;
            let out = Out::Tiles(TilesMut::new(isa, &mut *scores, rows, len)?, Accum::Replace);
            multiply(isa, packed, keys.as_ref(), &Epilogue::NONE, out, sums)?;
            isa.run(Rows { scores: &mut *scores, keys: len, running: running.reborrow() });
            let accum = if i == 0 {
                Accum::Replace
            } else {
                isa.run(ScaleRows { x: &mut *total, width, by: running.decay });
                Accum::Add
            };
            let weights = TilesMut::new(isa, &mut *scores, rows, len)?;
            let out = Out::Matrix(MatMut::row_major(&mut *total, rows, width)?, accum);
            multiply(isa, weights.as_ref(), values.as_ref(), &Epilogue::NONE, out, &mut [])?;
        }
        isa.run(ScaleRows { x: &mut *total, width, by: running.reciprocal() });
        let (mut block, rest) = below.split_rows(rows);
        for (i, total) in total.chunks_exact(width).enumerate() {
            block.row_mut(i).unwrap_or_default().copy_from_slice(total);
        }
        below = rest;
    }
    Ok(())
}

/// Multiplies each row with a number of its own.
struct ScaleRows<'a> {
    x: &'a mut [f32],
    width: usize,
    by: &'a [f32],
}

impl Kernel for ScaleRows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, &by) in self.x.chunks_exact_mut(self.width).zip(self.by) {
            let by = S::F32::splat(s, by);
            for x in x.chunks_mut(S::F32::LANES) {
                (S::F32::from_slice(s, x) * by).write_to(x);
            }
        }
    }
}
