//! Matrix multiplication for inference: safe, strided, with operands packed once and a fused
//! epilogue, on the fastest instruction set of the CPU.
//!
//! Start with [`gemm`]. Below it stand the parts that fused operations are made of:
//! [`TilesMut::pack`] and [`PanelsMut::pack`] copy an operand into the layout of the micro-kernel
//! with a norm on the way ([`Prologue`]), [`TilesMut::gather`] and [`PanelsMut::gather`] do so for
//! what is no strided matrix in memory, [`multiply`] computes a product of packed operands on one
//! thread and writes it to a matrix or straight into the layout of the next product ([`Out`]),
//! [`PartialSums`] does so for operands that come in pieces, and [`par_rows`], [`par_columns`] and
//! [`for_each`] hand disjoint parts of an output to the threads of a [`Pool`].
//!
//! # Words
//! * **m, n, k**: `out` is m × n, the left operand m × k, the right one k × n.
//! * **row stride, column stride**: elements from one row, or column, to the next.
//! * **tile**: the part of the output that the registers hold; also the rows of the left operand
//!   that belong to it. **Panel**: the columns of the right operand that belong to a tile.
//!   **Block**: many tiles, the work of one task.
//! * **left, right**: weights stand on the right (`X·W`) to mix the last axis of a tensor, and on
//!   the left (`W·X`) to mix another one. Neither needs the tensor transposed.

mod block;
mod buffer;
mod context;
mod epilogue;
mod error;
mod finish;
mod gemm;
mod kernel;
mod operand;
mod pack;
mod pool;
mod product;
mod prologue;
mod threads;
mod view;

pub use buffer::{Buffer, Scratch, ScratchLen, carve, padded};
pub use context::Context;
pub use epilogue::{
    Accum, Activate, Activation, Activation64, Bias, Broadcast, Epilogue, Scalar, Scale, WithUnary,
};
pub use error::GemmError;
pub use gemm::{Lhs, Rhs, gemm};
pub use kernel::KernelId;
pub use operand::{
    PackedLhs, PackedRhs, Packer, Panels, PanelsMut, Tiles, TilesMut, panels_len, tiles_len,
};
#[cfg(feature = "rayon")]
pub use pool::Rayon;
pub use pool::{Block, Pool, Sequential, for_each, par_blocks, par_columns, par_rows};
pub use product::{Out, PartialSums, multiply, sums_len};
pub use prologue::Prologue;
pub use threads::Threads;
pub use view::{MatMut, MatRef};
