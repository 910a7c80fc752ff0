//! What a computation runs on.

use std::sync::Arc;

use mixfold_simd::{Isa, IsaError, env};

use crate::pool::{Pool, Sequential};

/// An instruction set and the threads that a caller lends.
#[derive(Clone, Debug)]
pub struct Context {
    isa: Isa,
    pool: Arc<dyn Pool>,
}

impl Context {
    /// The fastest instruction set of the CPU, and the threads of `rayon` (without the feature
    /// `rayon`: the calling thread).
    pub fn new() -> Self {
        Context::with_isa(Isa::best())
    }

    /// Like [`new`](Self::new), with the instruction set that `MIXFOLD_ISA` names, if it is set.
    ///
    /// # Errors
    /// If the CPU does not have it.
    pub fn from_env() -> Result<Self, IsaError> {
        env::isa().map(Context::with_isa)
    }

    /// Like [`new`](Self::new), with this instruction set.
    pub fn with_isa(isa: Isa) -> Self {
        #[cfg(feature = "rayon")]
        let pool = Arc::new(crate::Rayon::current());
        #[cfg(not(feature = "rayon"))]
        let pool = Arc::new(Sequential);
        Context { isa, pool }
    }

    /// The same instruction set on other threads.
    pub fn with_pool(self, pool: impl Pool + 'static) -> Self {
        Context { pool: Arc::new(pool), ..self }
    }

    /// The same instruction set on the calling thread alone.
    pub fn sequential(&self) -> Self {
        Context { isa: self.isa, pool: Arc::new(Sequential) }
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads.
    pub fn pool(&self) -> &dyn Pool {
        &*self.pool
    }

    /// Number of threads, at least 1.
    pub fn workers(&self) -> usize {
        self.pool.workers().max(1)
    }
}

impl Default for Context {
    fn default() -> Self {
        Context::new()
    }
}
