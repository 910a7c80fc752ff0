//! Measurements that take turns with one another: samples with the peak, cold runs with hot ones.
//! Criterion finishes one benchmark before the next, and clock and neighbours change meanwhile.

use core::time::Duration;
use std::time::Instant;

use mixfold_gemm::Scalar;
use mixfold_simd::{Isa, peak};

/// How long the peak is measured before and after each sample.
const PEAK_WINDOW: Duration = Duration::from_micros(300);
/// Length of a sample, unless one run takes longer.
const SAMPLE: Duration = Duration::from_millis(1);
/// Length of all samples of a case, and how many there are at least.
const SAMPLES: Duration = Duration::from_millis(100);
const MIN_SAMPLES: usize = 20;
/// Pairs of a cold and a hot run.
const PAIRS: usize = 30;

/// Which cases are measured, as the command line says, and how.
#[derive(Clone, Debug)]
pub struct Turns {
    action: Action,
    /// Parts of names; a case is called by any of them, and all cases if there are none.
    filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Measure,
    List,
    Nothing,
}

impl Turns {
    /// What the command line asks for: names of cases in part, and `--list` or `--bench`, which cargo
    /// passes. Nothing is measured without the latter, as in tests, nor with another option: those of
    /// criterion would have to be obeyed.
    pub fn from_args() -> Self {
        Turns::new(std::env::args().skip(1))
    }

    fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        let (options, filters): (Vec<_>, Vec<_>) =
            arguments.into_iter().partition(|argument| argument.starts_with('-'));
        let has = |option: &str| options.iter().any(|found| found == option);
        let action = if has("--list") {
            Action::List
        } else if has("--bench") && options.iter().all(|option| option == "--bench") {
            Action::Measure
        } else {
            Action::Nothing
        };
        Turns { action, filters }
    }

    /// Whether a case is to be measured. Prints its name if it is to be listed.
    pub fn call(&self, name: &str) -> bool {
        let is_called =
            self.filters.is_empty() || self.filters.iter().any(|part| name.contains(part));
        if is_called && self.action == Action::List {
            println!("{name}: benchmark");
        }
        is_called && self.action == Action::Measure
    }

    /// Measures `work`, which does `flops` floating point operations, and prints the fraction of the peak:
    /// the median and the 90th percentile of the samples. The peak is the better one of before and after
    /// a sample.
    pub fn fraction<T: Scalar>(&self, name: &str, isa: Isa, flops: u64, work: impl FnMut()) {
        let fractions = sorted(fractions::<T>(isa, flops, work));
        let [median, high] = [0.5, 0.9].map(|part| 100.0 * quantile(&fractions, part));
        println!("{name:56} median {median:5.1} %, p90 {high:5.1} % of the peak");
    }

    /// Measures `work` and prints the fraction of the time that `flops` take at the peak: the median and
    /// the 10th percentile of the samples.
    pub fn share<T: Scalar>(&self, name: &str, isa: Isa, flops: u64, work: impl FnMut()) {
        let fractions = fractions::<T>(isa, flops, work);
        let shares = sorted(fractions.into_iter().map(|fraction| 1.0 / fraction).collect());
        let [median, low] = [0.5, 0.1].map(|part| 100.0 * quantile(&shares, part));
        println!("{name:56} median {median:5.1} %, p10 {low:5.1} % of its products at the peak");
    }

    /// Runs `work` on the first of several operands, when the run before was on the same one, and on the
    /// others in rotation, in turns; prints the median of the ratio of both times.
    pub fn cold<O>(&self, name: &str, operands: &[O], mut work: impl FnMut(&O)) {
        let Some((hot, cold)) = operands.split_first() else { return };
        let mut time = |operand| {
            let start = Instant::now();
            work(operand);
            start.elapsed().as_secs_f64()
        };
        let pair = |cold| {
            time(hot);
            let hot = time(hot);
            time(cold) / hot
        };
        let ratios = sorted(cold.iter().cycle().take(PAIRS).map(pair).collect());
        if !ratios.is_empty() {
            println!("{name:56} median {:5.3} cold/hot", quantile(&ratios, 0.5));
        }
    }
}

/// The fraction of the peak of each sample.
fn fractions<T: Scalar>(isa: Isa, flops: u64, mut work: impl FnMut()) -> Vec<f64> {
    let lanes = size_of::<f32>() as f64 / size_of::<T>() as f64;
    let peak = || lanes * 1e9 * peak::fma_gflops(isa, PEAK_WINDOW);
    let mut seconds = |runs: usize| {
        let start = Instant::now();
        (0..runs).for_each(|_| work());
        start.elapsed().as_secs_f64() / runs as f64
    };
    seconds(1);
    let runs = ((SAMPLE.as_secs_f64() / seconds(1)) as usize).max(1);
    let (start, mut before, mut fractions) = (Instant::now(), peak(), Vec::new());
    while fractions.len() < MIN_SAMPLES || start.elapsed() < SAMPLES {
        let seconds = seconds(runs);
        let after = peak();
        fractions.push(flops as f64 / seconds / before.max(after));
        before = after;
    }
    fractions
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which `part` of the sorted values are.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(arguments: &[&str], name: &str) -> bool {
        Turns::new(arguments.iter().map(|&argument| argument.to_owned())).call(name)
    }

    #[test]
    fn cases_are_called_by_a_part_of_their_names() {
        assert!(called(&["--bench"], "parts/tile/k=196"));
        assert!(called(&["tile", "--bench"], "parts/tile/k=196"));
        assert!(called(&["cold", "k=1", "--bench"], "parts/tile/k=196"));
        assert!(!called(&["cold", "--bench"], "parts/tile/k=196"));
    }

    #[test]
    fn nothing_runs_in_tests_and_with_options_of_criterion() {
        for arguments in
            [&[][..], &["--test", "--bench"], &["--list", "--bench"], &["--bench", "--quiet"]]
        {
            assert!(!called(arguments, "parts/tile/k=196"), "{arguments:?}");
        }
    }

    #[test]
    fn quantiles_of_ten() {
        let values: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!([0.1, 0.5, 0.9, 1.0].map(|part| quantile(&values, part)), [1.0, 5.0, 9.0, 9.0]);
    }
}
