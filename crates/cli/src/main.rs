//! The command line program: classify images with vision MLPs, run and inspect checkpoints, and
//! measure the kernels.
//!
//! Text for people goes to standard output; `--json` gives the same to programs. Errors are one
//! line on standard error each. The program ends with 0, with 1 if some of the work failed, and
//! with 2 if it was called wrongly.

#![forbid(unsafe_code)]

mod batches;
mod colors;
mod commands;
mod compute;
mod dump;
mod error;
mod idx;
mod image_files;
mod load;
mod model_args;
mod numbers;
mod output;
mod picture;
mod plot;
mod preprocess_args;
mod progress;
mod speed;
mod text;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mixfold_simd::env;

use commands::{
    bench, classify, compare, convert, demo, eval, fold, inspect, models, run, visualize,
};
use error::{CliError, Outcome};
use output::Output;

/// Classify images with vision MLPs on the CPU
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100, after_help = environment())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Classify(classify::Args),
    Eval(eval::Args),
    Run(run::Args),
    Fold(fold::Args),
    Convert(convert::Args),
    Inspect(inspect::Args),
    Models(models::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Visualize(visualize::Args),
    Demo(demo::Args),
}

fn environment() -> String {
    format!("Environment:\n  {}  {}", env::ISA.name, env::ISA.meaning)
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error),
    };
    let mut out = Output::new();
    let result = execute(&cli.command, &mut out).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(error::FAILED),
        Err(error) => {
            // What has been found out before the error is printed before it.
            let _ = out.flush();
            error.conclude()
        }
    }
}

fn execute(command: &Command, out: &mut Output) -> Result<Outcome, CliError> {
    match command {
        Command::Classify(args) => classify::run(args, out),
        Command::Eval(args) => eval::run(args, out),
        Command::Run(args) => run::run(args, out),
        Command::Fold(args) => fold::run(args, out),
        Command::Convert(args) => convert::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Models(args) => models::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        Command::Compare(args) => compare::run(args, out),
        Command::Visualize(args) => visualize::run(args, out),
        Command::Demo(args) => demo::run(args, out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
