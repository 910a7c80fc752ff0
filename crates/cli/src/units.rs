//! Which units to show first: an order by spatial frequency, with opposite phases side by side.

use std::f64::consts::TAU;

/// Sizes of a unit: `[channels, height, width]`.
pub(crate) type Shape = [usize; 3];

/// How fine the pattern of a unit is: the mean radius of its two-dimensional spectrum, weighted by power,
///
/// `Σ |F(k, l)|² · √(f(k, h)² + f(l, w)²) / Σ |F(k, l)|²`, `f(k, n) = min(k, n − k) / n`,
///
/// over all frequencies and channels, where F is the discrete Fourier transform of a channel without its
/// mean. Cycles per weight, from 0 (constant) to √½ (checkerboard); infinite if a weight is not finite.
pub(crate) fn frequency(unit: &[f32], [_, height, width]: Shape) -> f64 {
    if unit.iter().any(|weight| !weight.is_finite()) {
        return f64::INFINITY;
    }
    let (mut power, mut moment) = (0.0, 0.0);
    let waves = [height, width].map(waves);
    for channel in unit.chunks_exact((height * width).max(1)) {
        // Along the rows, then down the columns.
        let channel = without_mean(channel);
        let mut rows = vec![(0.0, 0.0); height * width];
        for (y, row) in channel.chunks_exact(width).enumerate() {
            for l in 0..width {
                rows[y * width + l] = row.iter().enumerate().fold((0.0, 0.0), |sum, (x, value)| {
                    let (cos, sin) = waves[1][l * x % width];
                    (sum.0 + value * cos, sum.1 - value * sin)
                });
            }
        }
        for k in 0..height {
            for l in 0..width {
                let (mut re, mut im) = (0.0, 0.0);
                for y in 0..height {
                    let ((a, b), (cos, sin)) = (rows[y * width + l], waves[0][k * y % height]);
                    re += a * cos + b * sin;
                    im += b * cos - a * sin;
                }
                let square = re * re + im * im;
                power += square;
                moment += square * cycles(k, height).hypot(cycles(l, width));
            }
        }
    }
    if power > 0.0 { moment / power } else { 0.0 }
}

/// Cosine and sine of each n-th of a turn.
fn waves(n: usize) -> Vec<(f64, f64)> {
    (0..n).map(|i| (TAU * i as f64 / n as f64).sin_cos()).map(|(sin, cos)| (cos, sin)).collect()
}

fn cycles(k: usize, n: usize) -> f64 {
    k.min(n - k) as f64 / n as f64
}

fn without_mean(values: &[f32]) -> Vec<f64> {
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    // A constant has no pattern, not that of its rounding.
    let constant = values.iter().all(|value| value == &values[0]);
    values.iter().map(|&value| if constant { 0.0 } else { f64::from(value) - mean }).collect()
}

/// The first `limit` of all units in the order in which they are shown: the one of lowest [`frequency`],
/// then the one that is closest to its negative (the most negative cosine, without means), and so on
/// with those that are left. Of equal ones, the first in the matrix is taken; those with weights that are
/// not finite come last.
pub(crate) fn order(units: &[f32], shape: Shape, limit: usize) -> Vec<usize> {
    let len = shape.iter().product::<usize>().max(1);
    let plane = (shape[1] * shape[2]).max(1);
    let units: Vec<_> = units.chunks_exact(len).collect();
    let frequencies: Vec<_> = units.iter().map(|unit| frequency(unit, shape)).collect();
    let directions: Vec<Vec<f64>> = units
        .iter()
        .map(|unit| {
            let centred: Vec<_> = unit.chunks_exact(plane).flat_map(without_mean).collect();
            let norm = centred.iter().map(|value| value * value).sum::<f64>().sqrt();
            let norm = if norm > 0.0 { norm } else { 1.0 };
            centred.iter().map(|value| value / norm).collect()
        })
        .collect();
    let mut left: Vec<_> = (0..units.len()).collect();
    left.sort_by(|&a, &b| frequencies[a].total_cmp(&frequencies[b]));
    let finite = left.partition_point(|&unit| frequencies[unit].is_finite());
    let broken = left.split_off(finite);
    let mut order = Vec::with_capacity(units.len());
    while !left.is_empty() && order.len() < limit {
        let first = left.remove(0);
        order.push(first);
        let cosine = |&unit: &usize| -> f64 {
            directions[first].iter().zip(&directions[unit]).map(|(a, b)| a * b).sum()
        };
        let cosines: Vec<_> = left.iter().map(cosine).collect();
        let partner = (0..left.len())
            .min_by(|&a, &b| cosines[a].total_cmp(&cosines[b]).then(left[a].cmp(&left[b])));
        if let Some(partner) = partner {
            order.push(left.remove(partner));
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
