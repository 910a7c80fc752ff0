//! Packing several matrices on several threads.

use std::sync::Mutex;

use mixfold_simd::{Element, Isa};

use crate::pool::for_each;
use crate::{Context, GemmError, MatRef, Pool, Sequential};

/// Bytes of packed memory that are a task of their own: some tens of microseconds.
const TASK: usize = 256 << 10;

/// What weights are packed for and by: an instruction set, and threads.
///
/// From an [`Isa`] it packs on the calling thread, from a [`Context`] on its threads. The packed
/// operands are the same.
#[derive(Clone, Copy, Debug)]
pub struct Packer<'a> {
    isa: Isa,
    pool: &'a dyn Pool,
}

impl From<Isa> for Packer<'static> {
    fn from(isa: Isa) -> Self {
        Packer { isa, pool: &Sequential }
    }
}

impl<'a> From<&'a Context> for Packer<'a> {
    fn from(ctx: &'a Context) -> Self {
        Packer { isa: ctx.isa(), pool: ctx.pool() }
    }
}

impl<'a> Packer<'a> {
    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The threads.
    pub fn pool(self) -> &'a dyn Pool {
        self.pool
    }

    /// Elements of packed memory that are a task, of an operand of `elements`.
    pub(super) fn task<T>(self, elements: usize) -> usize {
        if self.pool.workers() <= 1 { elements } else { TASK / size_of::<T>() }
    }

    /// Packs each part, on all threads.
    pub(super) fn run<'v, T: Element, P: Send>(
        self,
        parts: Vec<(P, MatRef<'v, T>)>,
        pack: impl Fn(P, MatRef<'v, T>) -> Result<(), GemmError> + Sync,
    ) -> Result<(), GemmError> {
        let parts: Vec<_> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
        let mut results = vec![Ok(()); self.pool.workers().clamp(1, parts.len().max(1))];
        for_each(self.pool, parts.len(), &mut results, |result, i| {
            // Each part is taken once.
            let Ok(Some((part, view))) = parts[i].lock().map(|mut part| part.take()) else {
                return;
            };
            if let Err(error) = pack(part, view) {
                *result = Err(error);
            }
        });
        results.into_iter().collect()
    }
}
