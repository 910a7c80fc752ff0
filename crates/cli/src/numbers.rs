//! What reports say of many numbers.

/// The middle of sorted values, or the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// The largest absolute value; 0 of none, NaN if there is one.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    let larger = |most: f64, x: f64| if x > most || x.is_nan() { x } else { most };
    values.map(f64::abs).fold(0.0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }

    #[test]
    fn the_largest_of_values() {
        let largest = |values: &[f64]| largest(values.iter().copied());
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 3.0);
        assert_eq!(largest(&[]), 0.0);
        for nan in [f64::NAN, -f64::NAN] {
            assert!(largest(&[nan, 1.0]).is_nan() && largest(&[1.0, nan]).is_nan());
        }
    }
}
