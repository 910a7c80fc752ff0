//! What a command computes on.

use clap::Args;
use mixfold_gemm::{Context, Threads};

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
        let threads = self.threads.unwrap_or_else(processors);
        if threads == 1 {
            return Ok(ctx.sequential());
        }
        match Threads::new(threads.into()) {
            Ok(pool) => Ok(ctx.with_pool(pool)),
            Err(source) => Err(CliError::Threads { threads, source }),
        }
    }
}

/// Processors that this program may use.
fn processors() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, |processors| processors.get());
    processors.min(1024) as u16
}

/// Parses how many images go through a model together.
pub(crate) fn batch(argument: &str) -> Result<usize, String> {
    const LIMIT: usize = 4096;
    match argument.parse() {
        Ok(batch @ 1..=LIMIT) => Ok(batch),
        _ => Err(format!("expected a number from 1 to {LIMIT}")),
    }
}
