//! Operands packed once, that own their memory.

use mixfold_simd::{Element, Isa};

use super::{Panels, PanelsMut, RowSplit, Tiles, TilesMut, panels_len, tiles_len};
use crate::buffer::Buffer;
use crate::kernel::KernelId;
use crate::{GemmError, MatRef, Prologue};

/// A left operand, packed once for one instruction set.
#[derive(Debug)]
pub struct PackedLhs<T> {
    data: Buffer<T>,
    rows: usize,
    k: usize,
    kernel: KernelId,
}

impl<T: Element> PackedLhs<T> {
    /// Packs a `rows` × `k` matrix for the kernel of `isa`.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack(isa: Isa, view: MatRef<'_, T>) -> Result<Self, GemmError> {
        let (rows, k) = (view.rows(), view.cols());
        let len = tiles_len(rows, k)?;
        let mut data = Buffer::zeroed(len)?;
        let mut tiles = TilesMut::new(isa, &mut data, rows, k)?;
        tiles.pack(isa, view, &Prologue::NONE)?;
        Ok(PackedLhs { data, rows, k, kernel: KernelId::of::<T>(isa) })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The operand for reading.
    pub fn as_tiles(&self) -> Tiles<'_, T> {
        let split = RowSplit::new(self.rows, self.kernel);
        Tiles::whole(&self.data, split, self.k, self.kernel)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.data)
    }
}

/// A right operand, packed once for one instruction set.
#[derive(Debug)]
pub struct PackedRhs<T> {
    data: Buffer<T>,
    k: usize,
    cols: usize,
    kernel: KernelId,
}

impl<T: Element> PackedRhs<T> {
    /// Packs a `k` × `cols` matrix for the kernel of `isa`. A weight that a checkpoint stores as
    /// `[out, in]` is passed transposed.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn pack(isa: Isa, view: MatRef<'_, T>) -> Result<Self, GemmError> {
        let (k, cols, kernel) = (view.rows(), view.cols(), KernelId::of::<T>(isa));
        let len = panels_len(kernel, k, cols)?;
        let mut data = Buffer::zeroed(len)?;
        let mut panels = PanelsMut::new(isa, &mut data, k, cols)?;
        panels.pack(isa, view, &Prologue::NONE)?;
        Ok(PackedRhs { data, k, cols, kernel })
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The operand for reading.
    pub fn as_panels(&self) -> Panels<'_, T> {
        Panels::whole(&self.data, self.k, self.cols, self.kernel)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.data)
    }
}
