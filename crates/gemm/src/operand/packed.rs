//! Operands packed once, that own their memory.

use core::ops::Range;
use std::sync::Arc;

use mixfold_simd::Element;

use super::{Packer, Panels, PanelsMut, RowSplit, Tiles, TilesMut, panels_len, tiles_len};
use crate::buffer::{Buffer, carve, padded};
use crate::kernel::KernelId;
use crate::{GemmError, MatRef, Prologue};

/// A part of a block of memory that several operands share.
#[derive(Debug)]
struct Part<T> {
    block: Arc<Buffer<T>>,
    range: Range<usize>,
}

impl<T> Part<T> {
    fn as_slice(&self) -> &[T] {
        &self.block[self.range.clone()]
    }
}

/// One block of memory, cut into parts of these lengths in this order, which `fill` fills.
fn parts<T: Element>(
    lens: &[usize],
    fill: impl FnOnce(Vec<&mut [T]>) -> Result<(), GemmError>,
) -> Result<impl Iterator<Item = Part<T>>, GemmError> {
    let total = lens.iter().try_fold(0, |sum: usize, &len| sum.checked_add(padded::<T>(len)));
    let mut block =
        Buffer::zeroed(total.ok_or(GemmError::Overflow { rows: 1, cols: usize::MAX })?)?;
    let mut rest = &mut *block;
    fill(lens.iter().map(|&len| carve(&mut rest, len)).collect())?;
    let (block, mut start) = (Arc::new(block), 0);
    let part = move |&len: &usize| {
        let range = start..start + len;
        start += padded::<T>(len);
        Part { block: Arc::clone(&block), range }
    };
    Ok(lens.iter().map(part).collect::<Vec<_>>().into_iter())
}

/// A left operand, packed once for one instruction set.
#[derive(Debug)]
pub struct PackedLhs<T> {
    data: Part<T>,
    rows: usize,
    k: usize,
    kernel: KernelId,
}

impl<T: Element> PackedLhs<T> {
    /// Packs a `rows` × `k` matrix for an instruction set, on its threads if `packer` is a context.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack<'p>(packer: impl Into<Packer<'p>>, view: MatRef<'_, T>) -> Result<Self, GemmError> {
        Ok(PackedLhs::pack_all(packer, &[view])?.remove(0))
    }

    /// Packs several matrices, one behind the other in one block of memory: operands that are used in
    /// this order are then read as one stream. The memory is freed with the last of them.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack_all<'p>(
        packer: impl Into<Packer<'p>>,
        views: &[MatRef<'_, T>],
    ) -> Result<Vec<Self>, GemmError> {
        let packer = packer.into();
        let isa = packer.isa();
        let shape = |view: &MatRef<'_, T>| (view.rows(), view.cols());
        let len = |view| tiles_len(shape(view).0, shape(view).1);
        let lens = views.iter().map(len).collect::<Result<Vec<_>, _>>()?;
        let parts = parts(&lens, |memory| {
            let mut tasks = Vec::new();
            for (data, &view) in memory.into_iter().zip(views) {
                let (len, (rows, k)) = (packer.task::<T>(data.len()), shape(&view));
                tasks.extend(TilesMut::new(isa, data, rows, k)?.parts(view, len)?);
            }
            packer.run(tasks, |mut tiles, view| tiles.pack(isa, view, &Prologue::NONE))
        })?;
        let kernel = KernelId::of::<T>(isa);
        let packed = |(data, (rows, k))| PackedLhs { data, rows, k, kernel };
        Ok(parts.zip(views.iter().map(shape)).map(packed).collect())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The operand for reading.
    pub fn as_tiles(&self) -> Tiles<'_, T> {
        let split = RowSplit::new(self.rows, self.kernel);
        Tiles::whole(self.data.as_slice(), split, self.k, self.kernel)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}

/// A right operand, packed once for one instruction set.
#[derive(Debug)]
pub struct PackedRhs<T> {
    data: Part<T>,
    k: usize,
    cols: usize,
    kernel: KernelId,
}

impl<T: Element> PackedRhs<T> {
    /// Packs a `k` × `cols` matrix for an instruction set, on its threads if `packer` is a context. A
    /// weight that a checkpoint stores as `[out, in]` is passed transposed.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack<'p>(packer: impl Into<Packer<'p>>, view: MatRef<'_, T>) -> Result<Self, GemmError> {
        Ok(PackedRhs::pack_all(packer, &[view])?.remove(0))
    }

    /// Packs several matrices, one behind the other in one block of memory: operands that are used in
    /// this order are then read as one stream. The memory is freed with the last of them.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack_all<'p>(
        packer: impl Into<Packer<'p>>,
        views: &[MatRef<'_, T>],
    ) -> Result<Vec<Self>, GemmError> {
        let packer = packer.into();
        let isa = packer.isa();
        let kernel = KernelId::of::<T>(isa);
        let shape = |view: &MatRef<'_, T>| (view.rows(), view.cols());
        let len = |view| panels_len(kernel, shape(view).0, shape(view).1);
        let lens = views.iter().map(len).collect::<Result<Vec<_>, _>>()?;
        let parts = parts(&lens, |memory| {
            let mut tasks = Vec::new();
            for (data, &view) in memory.into_iter().zip(views) {
                let (len, (k, cols)) = (packer.task::<T>(data.len()), shape(&view));
                tasks.extend(PanelsMut::new(isa, data, k, cols)?.parts(view, len)?);
            }
            packer.run(tasks, |mut panels, view| panels.pack(isa, view, &Prologue::NONE))
        })?;
        let packed = |(data, (k, cols))| PackedRhs { data, k, cols, kernel };
        Ok(parts.zip(views.iter().map(shape)).map(packed).collect())
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The operand for reading.
    pub fn as_panels(&self) -> Panels<'_, T> {
        Panels::whole(self.data.as_slice(), self.k, self.cols, self.kernel)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}
