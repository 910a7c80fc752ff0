//! What a comparison has found: as JSON, as text, as a drawing.

use std::io::{self, Write};
use std::path::Path;

use mixfold_model::checkpoint::Replacement;
use mixfold_model::{Form, Model, registry};
use serde::Serialize;

use crate::error::CliError;
use crate::numbers::median;
use crate::output::Output;
use crate::plot::{Bars, Group, Value};
use crate::speed::{self, Speed};
use crate::text::{self, Align};

#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    threads: usize,
    isa: &'static str,
    dtype: &'static str,
    /// Of each model with each batch size.
    runs: usize,
    /// Of all threads together.
    fma_peak_gflops: f64,
    models: Vec<Compared>,
}

#[derive(Debug, Serialize)]
struct Compared {
    model: String,
    family: &'static str,
    /// `train` or `deploy`, of a model that has both.
    form: Option<String>,
    /// The file; `embedded`, or `random`.
    weights: String,
    /// Channels, height, width.
    input: [usize; 3],
    parameters: u64,
    macs: u64,
    packed_bytes: usize,
    batches: Vec<Batch>,
}

#[derive(Debug, Serialize)]
struct Batch {
    batch: usize,
    #[serde(flatten)]
    speed: Speed,
    /// Of a batch, the median.
    latency_ms: f64,
    /// How many times as fast as the first model.
    times_first: f64,
}

impl Batch {
    /// `first` are the seconds of the first model's runs in the same rounds.
    fn new(model: &Model, batch: usize, seconds: &[f64], first: &[f64], peak: f64) -> Self {
        let speed = Speed::new(model, batch, seconds.to_vec(), peak);
        let latency_ms = 1e3 * batch as f64 / speed.images_per_s_median;
        Batch { batch, speed, latency_ms, times_first: times(first, seconds) }
    }
}

/// How many times as fast, where both have been measured in the same rounds: the median over them.
fn times(first: &[f64], seconds: &[f64]) -> f64 {
    let mut ratios: Vec<_> = first.iter().zip(seconds).map(|(first, own)| first / own).collect();
    ratios.sort_by(f64::total_cmp);
    median(&ratios)
}

impl Compared {
    fn new(model: &Model, file: Option<&Path>, batches: Vec<Batch>) -> Self {
        let info = registry::model(model.name());
        let weights = match file {
            Some(file) => file.display().to_string(),
            None if info.is_some_and(|info| info.is_embedded()) => "embedded".into(),
            None => "random".into(),
        };
        Compared {
            model: model.name().to_owned(),
            family: info.map_or("", |info| info.family()),
            form: model.form().as_ref().map(Form::to_string),
            weights,
            input: model.input(),
            parameters: model.parameters(),
            macs: model.macs(),
            packed_bytes: model.packed_bytes(),
            batches,
        }
    }

    fn title(&self) -> String {
        text::model(&self.model, self.form.as_deref())
    }
}

impl Comparison {
    /// `files` are the weights of each model that has some; `seconds` those of the runs of each model
    /// with the first batch size, with the second, and so on.
    pub(super) fn new(
        models: &[Model],
        files: &[Option<&Path>],
        batches: &[usize],
        seconds: &[Vec<f64>],
        peak: f64,
    ) -> Self {
        let compared = |(i, model): (usize, &Model)| {
            let of_batches = batches.iter().zip(seconds.chunks(models.len()));
            let batch = |(&batch, seconds): (&usize, &[Vec<f64>])| {
                Batch::new(model, batch, &seconds[i], &seconds[0], peak)
            };
            Compared::new(model, files[i], of_batches.map(batch).collect())
        };
        let ctx = models[0].context();
        Comparison {
            threads: ctx.workers(),
            isa: ctx.isa().name(),
            dtype: "f32",
            runs: seconds[0].len(),
            fma_peak_gflops: peak,
            models: models.iter().enumerate().map(compared).collect(),
        }
    }

    /// The batch sizes, which are those of every model.
    fn batches(&self) -> impl Iterator<Item = usize> {
        self.models[0].batches.iter().map(|measured| measured.batch)
    }

    pub(super) fn print(&self, out: &mut Output) -> Result<(), CliError> {
        use Align::{Left, Right};
        out.line(format_args!(
            "{}, {}, {}, {} of each; peak of multiply-adds, measured: {:.1} GFLOP/s",
            text::count(self.threads, "thread"),
            self.isa,
            self.dtype,
            text::count(self.runs, "run"),
            self.fma_peak_gflops
        ))?;
        out.line("")?;
        let header = ["MODEL", "FAMILY", "INPUT", "PARAMETERS", "MACS", "PACKED BYTES", "WEIGHTS"];
        let rows = self.models.iter().map(|model| {
            [
                model.title(),
                model.family.to_owned(),
                text::shape(&model.input),
                text::metric(model.parameters),
                text::metric(model.macs),
                text::metric(model.packed_bytes as u64),
                model.weights.clone(),
            ]
        });
        let rows: Vec<_> = [header.map(String::from)].into_iter().chain(rows).collect();
        out.table([Left, Left, Right, Right, Right, Right, Left], &rows)?;

        for (i, batch) in self.batches().enumerate() {
            out.line("")?;
            let header = [
                &format!("BATCH {batch}"),
                "IMAGES/S",
                "MEDIAN",
                "MS/BATCH",
                "GFLOP/S",
                "OF PEAK",
                "TIMES FIRST",
            ];
            let rows = self.models.iter().map(|model| {
                let Batch { speed, latency_ms, times_first, .. } = &model.batches[i];
                [
                    model.title(),
                    format!("{:.1}", speed.images_per_s),
                    format!("{:.1}", speed.images_per_s_median),
                    format!("{latency_ms:.3}"),
                    format!("{:.1}", speed.gflops),
                    speed::of_peak(speed.peak_fraction),
                    format!("{times_first:.3}"),
                ]
            });
            let rows: Vec<_> = [header.map(String::from)].into_iter().chain(rows).collect();
            out.table([Left, Right, Right, Right, Right, Right, Right], &rows)?;
        }
        out.line("")?;
        out.line(
            "Images/s: of the fastest run, as GFLOP/s; then, as the time of a batch, the median.",
        )
    }

    /// Draws the images per second into a file.
    pub(super) fn plot(&self, path: &Path) -> Result<(), CliError> {
        let io = |source| CliError::Io { path: path.into(), source };
        let series: Vec<_> = self.batches().map(|batch| format!("batch {batch}")).collect();
        let of_all = if let [only] = &series[..] { format!(", {only}") } else { String::new() };
        let groups = self.models.iter().map(|model| {
            let value = |Batch { speed, .. }: &Batch| Value {
                bar: speed.images_per_s,
                line: speed.images_per_s_median,
            };
            let (parameters, macs) = (text::metric(model.parameters), text::metric(model.macs));
            Group {
                label: model.title(),
                note: format!("{parameters} parameters, {macs} MACs"),
                values: model.batches.iter().map(value).collect(),
            }
        });
        let bars = Bars {
            title: "Images per second".into(),
            subtitle: format!(
                "{}, {}{of_all}, {}; fastest of {}, median as a line",
                self.isa,
                text::count(self.threads, "thread"),
                self.dtype,
                text::count(self.runs, "run")
            ),
            series,
            groups: groups.collect(),
        };
        let svg = bars.svg().map_err(|error| io(io::Error::other(error.to_string())))?;
        let mut file = Replacement::begin(path).map_err(io)?;
        file.write_all(svg.as_bytes()).map_err(io)?;
        file.finish().map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round() {
        // 1/2, 2 and 3; the ratio of the medians is another one.
        assert_eq!(times(&[1.0, 10.0, 3.0], &[2.0, 5.0, 1.0]), 2.0);
    }
}
