//! Which units to show first: an order by spatial frequency, with opposite phases side by side.
//!
//! It is the same on every machine: sums have a fixed order, and no function of the platform is called.

use std::f64::consts::TAU;

/// Sizes of a unit: `[channels, height, width]`.
pub(crate) type Shape = [usize; 3];

/// How fine the pattern of a unit is: the mean radius of its two-dimensional spectrum, weighted by power,
///
/// `Σ |F(k, l)|² · √(f(k, h)² + f(l, w)²) / Σ |F(k, l)|²`, `f(k, n) = min(k, n − k) / n`,
///
/// over all frequencies and channels, where F is the discrete Fourier transform of a channel. Cycles per
/// weight, from 0 (constant) to √½ (checkerboard); infinite if a weight is not finite. The mean counts: a
/// unit that is nearly constant is a low frequency, whatever the noise on it.
pub(crate) fn frequency(unit: &[f32], [_, height, width]: Shape) -> f64 {
    if unit.iter().any(|weight| !weight.is_finite()) {
        return f64::INFINITY;
    }
    let (mut power, mut moment) = (0.0, 0.0);
    let waves = [height, width].map(waves);
    for channel in unit.chunks_exact((height * width).max(1)) {
        // The mean by itself, so that a constant has no pattern, not that of its roundings.
        let (mean, channel) = centred(channel);
        power += (mean * channel.len() as f64).powi(2);
        // Along the rows, then down the columns.
        let mut rows = vec![(0.0, 0.0); height * width];
        for (y, row) in channel.chunks_exact(width).enumerate() {
            for l in 0..=width / 2 {
                rows[y * width + l] = row.iter().enumerate().fold((0.0, 0.0), |sum, (x, value)| {
                    let (cos, sin) = waves[1][l * x % width];
                    (sum.0 + value * cos, sum.1 - value * sin)
                });
            }
        }
        for k in 0..height {
            for l in 0..=width / 2 {
                let (mut re, mut im) = (0.0, 0.0);
                for y in 0..height {
                    let ((a, b), (cos, sin)) = (rows[y * width + l], waves[0][k * y % height]);
                    re += a * cos + b * sin;
                    im += b * cos - a * sin;
                }
                // The spectrum of real values is the same at the opposite frequency.
                let twice = if l == 0 || 2 * l == width { 1.0 } else { 2.0 };
                let square = twice * (re * re + im * im);
                power += square;
                let (y, x) = (cycles(k, height), cycles(l, width));
                moment += square * (y * y + x * x).sqrt();
            }
        }
    }
    if power > 0.0 { moment / power } else { 0.0 }
}

/// Cosine and sine of each n-th of a turn, the same on every platform.
fn waves(n: usize) -> Vec<(f64, f64)> {
    let wave = |i| libm::sincos(TAU * i as f64 / n as f64);
    (0..n).map(wave).map(|(sin, cos)| (cos, sin)).collect()
}

fn cycles(k: usize, n: usize) -> f64 {
    k.min(n - k) as f64 / n as f64
}

/// The mean, and the values without it.
fn centred(values: &[f32]) -> (f64, Vec<f64>) {
    if values.iter().all(|value| value == &values[0]) {
        return (values[0].into(), vec![0.0; values.len()]);
    }
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|&value| f64::from(value) - mean).collect())
}

/// Partial sums of a scalar product.
const LANES: usize = 8;

/// The units as vectors of length 1, or 0.
struct Directions {
    /// Length of a unit with the zeros behind it.
    stride: usize,
    values: Vec<f64>,
}

impl Directions {
    fn new(units: &[&[f32]], len: usize) -> Self {
        let stride = len.next_multiple_of(LANES);
        let mut values = Vec::with_capacity(units.len() * stride);
        for (i, unit) in units.iter().enumerate() {
            let start = i * stride;
            values.extend(unit.iter().map(|&value| f64::from(value)));
            values.resize(start + stride, 0.0);
            let direction = &mut values[start..];
            let norm = dot(direction, direction).sqrt();
            if norm > 0.0 {
                direction.iter_mut().for_each(|value| *value /= norm);
            }
        }
        Directions { stride, values }
    }

    fn cosine(&self, a: usize, b: usize) -> f64 {
        let [a, b] = [a, b].map(|unit| &self.values[unit * self.stride..][..self.stride]);
        dot(a, b)
    }
}

/// The scalar product of vectors whose lengths are the same multiple of [`LANES`]; 0 has no sign.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + 0.0
}

/// The first `limit` of all units in the order in which they are shown: the one of lowest [`frequency`],
/// then the one that is closest to its negative (the most negative cosine), and so on with those that
/// are left. Of equal ones, the first in the matrix is taken; those with weights that are
/// not finite come last.
///
/// For n units of h × w weights, the frequencies take about `2 · n · h · w · (h + w)` multiply-adds, the
/// neighbours `limit / 2 · n · h · w`; memory is that of the units in `f64`.
pub(crate) fn order(units: &[f32], shape: Shape, limit: usize) -> Vec<usize> {
    let len = shape.iter().product::<usize>().max(1);
    let units: Vec<_> = units.chunks_exact(len).collect();
    let frequencies: Vec<_> = units.iter().map(|unit| frequency(unit, shape)).collect();
    let directions = Directions::new(&units, len);
    let mut sorted: Vec<_> = (0..units.len()).collect();
    sorted.sort_by(|&a, &b| frequencies[a].total_cmp(&frequencies[b]));
    let finite = sorted.partition_point(|&unit| frequencies[unit].is_finite());
    let broken = sorted.split_off(finite);
    let mut is_left: Vec<_> = frequencies.iter().map(|frequency| frequency.is_finite()).collect();
    let mut order = Vec::with_capacity(units.len());
    for first in sorted {
        if !is_left[first] {
            continue;
        }
        if order.len() >= limit {
            break;
        }
        is_left[first] = false;
        order.push(first);
        let left = (0..units.len()).filter(|&unit| is_left[unit]);
        let cosines = left.map(|unit| (unit, directions.cosine(first, unit)));
        if let Some((partner, _)) = cosines.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            is_left[partner] = false;
            order.push(partner);
        }
    }
    order.extend(broken);
    order.truncate(limit);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = [1, 4, 6];

    fn unit(f: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..24).map(|i| f(i / 6, i % 6)).collect()
    }

    fn checkerboard() -> Vec<f32> {
        unit(|y, x| if (y + x) % 2 == 0 { 1.0 } else { -1.0 })
    }

    #[test]
    fn frequencies_of_known_patterns() {
        let wave = unit(|_, x| (TAU * x as f64 / 6.0).cos() as f32);
        assert!((frequency(&wave, SHAPE) - 1.0 / 6.0).abs() < 24.0 * f64::from(f32::EPSILON));
        let high = frequency(&checkerboard(), SHAPE);
        assert!((high - 0.5_f64.sqrt()).abs() < 24.0 * f64::EPSILON, "{high}");
        assert_eq!(frequency(&unit(|_, _| 0.1), SHAPE), 0.0);
        assert_eq!(frequency(&unit(|_, _| f32::NAN), SHAPE), f64::INFINITY);
    }

    #[test]
    fn low_frequencies_come_first_and_opposites_side_by_side() {
        let gradient = unit(|_, x| 3.0 + x as f32);
        let negative: Vec<_> = gradient.iter().map(|w| 1.0 - 2.0 * w).collect();
        let opposite: Vec<_> = checkerboard().iter().map(|w| -w).collect();
        let broken = unit(|y, _| if y == 0 { f32::INFINITY } else { 0.0 });
        let units = [broken, checkerboard(), gradient, opposite, negative].concat();
        let found = order(&units, SHAPE, usize::MAX);
        assert_eq!(found[4], 0);
        assert!(matches!(found[..2], [2, 4] | [4, 2]), "{found:?}");
        assert!(matches!(found[2..4], [1, 3] | [3, 1]), "{found:?}");
        assert_eq!(order(&units, SHAPE, 3), found[..3]);
    }

    #[test]
    fn what_is_nearly_constant_is_low_and_has_its_opposite() {
        let noise = |i: usize| (i * 7919 % 101) as f32 / 101.0 - 0.5;
        let low = unit(|y, x| 1.0 + noise(6 * y + x));
        let negative = unit(|y, x| -0.7 - noise(6 * y + x + 50));
        let wave = |phase: f64| unit(move |_, x| (TAU * (x as f64 / 6.0 + phase)).cos() as f32);
        let units = [wave(0.0), low, wave(0.25), negative, wave(0.5), wave(0.75)].concat();
        let found = order(&units, SHAPE, usize::MAX);
        assert!(matches!(found[..2], [1, 3] | [3, 1]), "{found:?}");
        for pair in found[2..].chunks(2) {
            assert!(matches!(pair, [0, 4] | [4, 0] | [2, 5] | [5, 2]), "{found:?}");
        }
    }

    #[test]
    fn every_unit_is_there_once_and_always_in_the_same_place() {
        let units: Vec<f32> = (0..24 * 31)
            .map(|i| if i % 97 == 5 { f32::NAN } else { (i * 7919 % 101) as f32 })
            .collect();
        let found = order(&units, SHAPE, usize::MAX);
        assert_eq!(found, order(&units, SHAPE, usize::MAX));
        let mut sorted = found;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..31).collect::<Vec<_>>());
        assert!(order(&[], SHAPE, 3).is_empty());
        assert_eq!(order(&[f32::MAX; 48], SHAPE, 9), [0, 1]);
    }
}
