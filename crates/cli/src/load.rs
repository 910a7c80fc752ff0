//! Measuring how a model is loaded.

use std::path::Path;
use std::time::{Duration, Instant};

use mixfold_gemm::Context;
use mixfold_model::checkpoint::Dtype;
use mixfold_model::{Checkpoint, CheckpointError, Model, ModelError};
use serde::Serialize;

use crate::speed::{self, Timed};

/// The way of a model from its file to the first logits.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    /// Bytes of the file.
    file_bytes: u64,
    /// From opening the file until the model can run.
    ready_ms: f64,
    /// The bytes of the file over that time.
    gb_per_s: f64,
    /// Reading all tensors without packing them, for comparison.
    read_ms: f64,
    /// From opening the file until the logits of the first batch.
    first_logits_ms: f64,
    /// The most memory of the process until then, where the system tells.
    peak_bytes: Option<u64>,
    /// Over the bytes of the parameters as f32.
    peak_over_weights: Option<f64>,
}

impl Load {
    /// Of a model that was loaded from `file` in the time `ready` since `start`; runs it once.
    pub(crate) fn measure(
        model: &Model,
        batch: usize,
        file: &Path,
        (start, ready): (Instant, Duration),
    ) -> Result<Self, ModelError> {
        let images = speed::images(model, batch)?;
        Timed::new(model, batch, &images)?.run()?;
        let first_logits = start.elapsed();
        let peak_bytes = peak_bytes();
        let weights = size_of::<f32>() as f64 * model.parameters() as f64;
        let (file_bytes, read) = read(file, model.context())?;
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        Ok(Load {
            file_bytes,
            ready_ms: ms(ready),
            gb_per_s: file_bytes as f64 / ready.as_secs_f64() / 1e9,
            read_ms: ms(read),
            first_logits_ms: ms(first_logits),
            peak_bytes,
            peak_over_weights: peak_bytes.map(|bytes| bytes as f64 / weights),
        })
    }

    /// Rows of a table: name, value, note.
    pub(crate) fn rows(&self) -> Vec<[String; 3]> {
        let row = |name: &str, value: f64, note: String| [name.into(), format!("{value:.1}"), note];
        let megabytes = 1e-6 * self.file_bytes as f64;
        let mut rows = vec![
            row(
                "ready, ms",
                self.ready_ms,
                format!("{:.2} GB/s of {megabytes:.0} MB", self.gb_per_s),
            ),
            row("", self.read_ms, "reading alone".into()),
            row("first logits, ms", self.first_logits_ms, "since the file was opened".into()),
        ];
        if let (Some(bytes), Some(over)) = (self.peak_bytes, self.peak_over_weights) {
            let note = format!("{over:.2} times the weights in f32, until then");
            rows.push(row("peak memory, MB", 1e-6 * bytes as f64, note));
        }
        rows
    }
}

/// The bytes of a file, and the time that reading all its tensors takes on the threads of `ctx`.
fn read(path: &Path, ctx: &Context) -> Result<(u64, Duration), CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.into(), source };
    let bytes = path.metadata().map_err(io)?.len();
    let start = Instant::now();
    let mut file = Checkpoint::open(path)?;
    let is_read = |dtype: &Dtype| !matches!(dtype, Dtype::Other(_));
    let entries = file.entries().filter(|(_, entry)| is_read(entry.dtype()));
    let names: Vec<_> = entries.map(|(name, _)| name.to_owned()).collect();
    let mut values = Vec::new();
    for name in names {
        file.read_f32_on(ctx.pool(), &name, &mut values)?;
    }
    Ok((bytes, start.elapsed()))
}

/// The most memory that the process has had in the machine's at once, as Linux tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
