//! Operands in the layouts that the micro-kernel reads.
//!
//! * Left, [`Tiles`]: the rows are split into tiles of nearly equal height, at most
//!   [`KernelId::rows`]. A tile is `[k / 32][rows of the tile][32]`: 32 values of a row, then 32 of
//!   the next one, so that rows are copied without being transposed.
//! * Right, [`Panels`]: the columns are split into panels of [`KernelId::cols`]. A panel is
//!   `[k][columns of the panel]`; the last one is filled up.

mod packed;
mod packer;
mod panels;
mod tiles;

pub use packed::{PackedLhs, PackedRhs};
pub use packer::Packer;
pub use panels::{Panels, PanelsMut, panels_len};
pub(crate) use tiles::RowSplit;
pub use tiles::{Tiles, TilesMut, tiles_len};

use crate::GemmError;
use crate::kernel::KernelId;

fn product(a: usize, b: usize, rows: usize, cols: usize) -> Result<usize, GemmError> {
    a.checked_mul(b).ok_or(GemmError::Overflow { rows, cols })
}

pub(crate) fn same_kernel(wanted: KernelId, packed: KernelId) -> Result<(), GemmError> {
    if wanted == packed { Ok(()) } else { Err(GemmError::Kernel { packed, wanted }) }
}

pub(crate) fn same_shape(
    what: &'static str,
    expected: (usize, usize),
    found: (usize, usize),
) -> Result<(), GemmError> {
    if expected == found { Ok(()) } else { Err(GemmError::Shape { what, expected, found }) }
}
