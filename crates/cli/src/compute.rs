//! What a command computes on.

use clap::Args;
use mixfold_gemm::{Context, Rayon};

use crate::error::CliError;

/// The threads and the instruction set.
#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Compute on N threads; the results are the same [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Compute {
    /// As asked for by the arguments and the environment.
    pub(crate) fn context(&self) -> Result<Context, CliError> {
        let ctx = Context::from_env()?;
        match self.threads {
            None => Ok(ctx),
            Some(1) => Ok(ctx.sequential()),
            Some(threads) => match Rayon::with_threads(threads.into()) {
                Ok(pool) => Ok(ctx.with_pool(pool)),
                Err(source) => Err(CliError::Threads { threads, source: source.into() }),
            },
        }
    }
}

/// How many images go through a model together.
#[derive(Debug, Args)]
pub(crate) struct Batch<const DEFAULT: u16> {
    /// Images that go through the model together; the results are the same [default: 64 for eval,
    /// else 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
}

impl<const DEFAULT: u16> Batch<DEFAULT> {
    pub(crate) fn size(&self) -> usize {
        self.batch.unwrap_or(DEFAULT).into()
    }
}
