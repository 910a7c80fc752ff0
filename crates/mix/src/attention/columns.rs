//! Positions along the inner axis: queries are the columns of the scores, and positions adjacent.
//!
//! `Sᵀ = K·Qᵀ` comes out in the layout of the right operand that `Yᵀ = Vᵀ·softmax(S)ᵀ` takes.

use mixfold_gemm::{
    Accum, Broadcast, Epilogue, GemmError, KernelId, MatMut, Out, PanelsMut, Prologue, TilesMut,
    multiply,
};
use mixfold_simd::{Isa, Kernel, Simd, Vector};

use super::Head;
use super::cut::Memory;
use super::softmax::Columns;

/// Fills `y`, the queries' columns of the output.
pub(super) fn run(
    isa: Isa,
    head: Head<'_>,
    scale: f32,
    mut y: MatMut<'_, f32>,
    memory: Memory<'_>,
) -> Result<(), GemmError> {
    let Memory { blocks, mut keys, mut values, queries, scores, total, sums, mut running } = memory;
    let (width, panel) = (head.queries.cols(), KernelId::of::<f32>(isa).cols);
    for (i, range) in blocks.ranges().enumerate() {
        let len = range.len();
        let rows = head.keys.rows_at(range.start, len)?;
        TilesMut::new(isa, keys.block(i), len, width)?.pack(isa, rows, &Prologue::NONE)?;
        let rows = head.values.rows_at(range.start, len)?;
        TilesMut::new(isa, values.block(i), width, len)?.pack(
            isa,
            rows.transpose(),
            &Prologue::NONE,
        )?;
    }
    let scaled = Prologue { gain: Broadcast::Uniform(scale), ..Prologue::NONE };
    for first in (0..head.queries.rows()).step_by(panel) {
        let cols = panel.min(head.queries.rows() - first);
        let mut packed = PanelsMut::new(isa, &mut *queries, width, cols)?;
        packed.pack(isa, head.queries.rows_at(first, cols)?.transpose(), &scaled)?;
        let packed = packed.as_ref();
        // Columns beyond the last query are numbers that nothing depends on.
        let mut running = running.start(panel);
        for (i, range) in blocks.ranges().enumerate() {
            let len = range.len();
            let keys = TilesMut::new(isa, keys.block(i), len, width)?;
            let values = TilesMut::new(isa, values.block(i), width, len)?;
            let out = Out::Panels(PanelsMut::new(isa, &mut *scores, len, cols)?, Accum::Replace);
            multiply(isa, keys.as_ref(), packed, &Epilogue::NONE, out, sums)?;
            let of_block = &mut scores[..len * panel];
            isa.run(Columns { scores: of_block, running: running.reborrow() });
            let accum = if i == 0 {
                Accum::Replace
            } else {
                isa.run(ScaleColumns { x: &mut *total, by: running.decay });
                Accum::Add
            };
            let weights = PanelsMut::new(isa, &mut *scores, len, cols)?;
            let out = Out::Matrix(MatMut::new(&mut *total, width, cols, panel, 1)?, accum);
            multiply(isa, values.as_ref(), weights.as_ref(), &Epilogue::NONE, out, &mut [])?;
        }
        isa.run(ScaleColumns { x: &mut *total, by: running.reciprocal() });
        for (i, total) in total.chunks_exact(panel).enumerate() {
            let row = y.row_mut(i).unwrap_or_default();
            row[first..first + cols].copy_from_slice(&total[..cols]);
        }
    }
    Ok(())
}

/// Multiplies each column with a number of its own, of which there are whole vectors.
struct ScaleColumns<'a> {
    x: &'a mut [f32],
    by: &'a [f32],
}

impl Kernel for ScaleColumns<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.x.chunks_exact_mut(self.by.len()) {
            let lanes = S::F32::LANES;
            for (x, by) in x.chunks_exact_mut(lanes).zip(self.by.chunks_exact(lanes)) {
                (S::F32::from_slice(s, x) * S::F32::from_slice(s, by)).write_to(x);
            }
        }
    }
}
