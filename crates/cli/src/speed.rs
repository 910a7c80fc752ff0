//! Measuring the speed of models.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use mixfold_gemm::{Buffer, Context};
use mixfold_model::{Model, ModelError, Phase, Plan};
use mixfold_simd::peak;
use serde::Serialize;

use crate::numbers::median;

/// The time that the default number of a model's runs takes, where a run is short.
const DURATION: Duration = Duration::from_secs(3);
const LEAST_RUNS: usize = 3;

/// How long a measurement of the peak takes, and the least number of them.
pub(crate) const WINDOW: Duration = Duration::from_millis(5);
const LEAST_WINDOWS: usize = 20;

/// A model and a batch size, with all memory that runs need.
#[derive(Debug)]
pub(crate) struct Timed<'a> {
    plan: Plan<'a>,
    images: &'a [f32],
    logits: Buffer<f32>,
}

/// The values that a batch of the model's images has, in the range of ordinary ones: from -1 to 1.
/// Those of a smaller batch are the first of them.
pub(crate) fn images(model: &Model, batch: usize) -> Result<Buffer<f32>, ModelError> {
    let mut images = Buffer::zeroed(len(model, batch))?;
    for (i, value) in images.iter_mut().enumerate() {
        *value = (i * 7919 % 256) as f32 / 127.5 - 1.0;
    }
    Ok(images)
}

fn len(model: &Model, batch: usize) -> usize {
    model.input().iter().product::<usize>().saturating_mul(batch)
}

impl<'a> Timed<'a> {
    /// `images` are as many as the batch has, or more.
    pub(crate) fn new(
        model: &'a Model,
        batch: usize,
        images: &'a [f32],
    ) -> Result<Self, ModelError> {
        let images = &images[..len(model, batch)];
        let logits = Buffer::zeroed(model.classes().saturating_mul(batch))?;
        Ok(Timed { plan: model.plan(batch)?, images, logits })
    }

    /// The seconds of a run.
    pub(crate) fn run(&mut self) -> Result<f64, ModelError> {
        let start = Instant::now();
        self.plan.run(self.images, &mut self.logits)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// The seconds spent in each phase of a run in which the layers follow one another.
    pub(crate) fn phases(&mut self) -> Result<[f64; Phase::ALL.len()], ModelError> {
        let mut seconds = [0.0; Phase::ALL.len()];
        let mut last = Instant::now();
        self.plan.run_observed(self.images, &mut self.logits, |layer, _, _, _| {
            let now = Instant::now();
            if let Some(phase) = Phase::ALL.iter().position(|&phase| phase == layer.phase()) {
                seconds[phase] += (now - last).as_secs_f64();
            }
            last = now;
        })?;
        Ok(seconds)
    }
}

/// As many runs as take about three seconds, if one takes `seconds` with all that belongs to it; at
/// least three.
pub(crate) fn default_runs(seconds: f64) -> usize {
    LEAST_RUNS.max((DURATION.as_secs_f64() / seconds) as usize)
}

/// The best rate of f32 multiply-adds on registers, on all threads at once.
#[derive(Debug)]
pub(crate) struct Peak<'a> {
    ctx: &'a Context,
    windows: usize,
    gflops: f64,
}

impl<'a> Peak<'a> {
    /// To be measured so many times.
    pub(crate) fn new(ctx: &'a Context, times: usize) -> Self {
        Peak { ctx, windows: LEAST_WINDOWS.div_ceil(times.max(1)), gflops: 0.0 }
    }

    /// Looks whether the rate is better now.
    pub(crate) fn measure(&mut self) {
        for _ in 0..self.windows {
            self.gflops = self.gflops.max(self.window());
        }
    }

    fn window(&self) -> f64 {
        let threads = self.ctx.workers();
        let barrier = Barrier::new(threads);
        let one = || {
            barrier.wait();
            peak::fma_gflops(self.ctx.isa(), WINDOW)
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
            let own = one();
            own + others.into_iter().filter_map(|other| other.join().ok()).sum::<f64>()
        })
    }

    /// The best so far, in GFLOP/s.
    pub(crate) fn gflops(&self) -> f64 {
        self.gflops
    }
}

/// The speed of a model's runs.
#[derive(Debug, Serialize)]
pub(crate) struct Speed {
    /// Of the fastest run, as all figures but the median.
    pub(crate) images_per_s: f64,
    pub(crate) images_per_s_median: f64,
    pub(crate) gflops: f64,
    pub(crate) peak_fraction: f64,
}

impl Speed {
    /// Of runs that took so many seconds each, beside a peak in GFLOP/s.
    pub(crate) fn new(model: &Model, batch: usize, mut runs: Vec<f64>, peak: f64) -> Self {
        runs.sort_by(f64::total_cmp);
        let images_per_s = |seconds: f64| batch as f64 / seconds;
        let gflops = gflops(model.macs(), batch, runs[0]);
        Speed {
            images_per_s: images_per_s(runs[0]),
            images_per_s_median: images_per_s(median(&runs)),
            gflops,
            peak_fraction: gflops / peak,
        }
    }
}

/// Two operations for each multiply-add of each image.
pub(crate) fn gflops(macs: u64, batch: usize, seconds: f64) -> f64 {
    2.0 * macs as f64 * batch as f64 / seconds / 1e9
}

/// A fraction of the peak, for people.
pub(crate) fn of_peak(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_take_three_seconds_or_are_three() {
        assert_eq!([0.01, 0.5, 1.0, 100.0].map(default_runs), [300, 6, 3, 3]);
    }

    #[test]
    fn what_is_too_large_for_memory_is_an_error() {
        let model = Model::embedded().unwrap();
        let error = images(&model, usize::MAX / 9 / len(&model, 1)).unwrap_err();
        assert!(error.to_string().contains("no memory"), "{error}");
    }
}
