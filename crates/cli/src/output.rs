//! Standard output.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::error::CliError;
use crate::text::{self, Align};

/// Standard output, buffered. Every error is [`CliError::Output`], by which a closed pipe ends the
/// program in silence.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Output { writer: BufWriter::new(io::stdout().lock()) }
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), CliError> {
        let line = line.to_string();
        writeln!(self.writer, "{}", text::printable(&line)).map_err(CliError::Output)
    }

    /// Aligned lines for people.
    pub(crate) fn table<const N: usize>(
        &mut self,
        columns: [Align; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        text::table(columns, rows).into_iter().try_for_each(|line| self.line(line))
    }

    /// A line of JSON for programs.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer(&mut self.writer, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(self.writer))
            .map_err(CliError::Output)
    }

    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(CliError::Output)
    }
}
