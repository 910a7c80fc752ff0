//! Position embeddings that are stored on a grid.

/// The positions `[height · width, channels]` of a grid of patches, from those of a stored grid
/// `values` of `[channels, stored height, stored width]`: bilinear interpolation between the centres of
/// cells, without a filter in front, as PyTorch's `interpolate` with `align_corners=False` and
/// `antialias=False`.
///
/// Along each side, where `stored` cells become `wanted`, cell `i` is read at
///
/// `s = max((i + 0.5) · stored / wanted − 0.5, 0)`,
///
/// from the cells `⌊s⌋` and `min(⌊s⌋ + 1, stored − 1)` with the weights `1 − (s − ⌊s⌋)` and `s − ⌊s⌋`.
/// Computed in `f64` and rounded once. Between equal grids the values are the same, bit for bit.
///
/// `None` if `values` does not have the length of its shape, if there is nothing to read for a
/// patch, or if there is not so much memory.
pub(crate) fn interpolate(
    values: &[f32],
    channels: usize,
    stored: (usize, usize),
    wanted: (usize, usize),
) -> Option<Vec<f32>> {
    let cells = stored.0.checked_mul(stored.1)?;
    let len = wanted.0.checked_mul(wanted.1)?.checked_mul(channels)?;
    if cells.checked_mul(channels)? != values.len() || (cells == 0 && len > 0) {
        return None;
    }
    let mut positions = Vec::new();
    if len == 0 {
        return Some(positions);
    }
    positions.try_reserve_exact(len).ok()?;
    for down in (0..wanted.0).map(|i| Between::new(i, stored.0, wanted.0)) {
        for across in (0..wanted.1).map(|j| Between::new(j, stored.1, wanted.1)) {
            positions.extend((0..channels).map(|channel| {
                let row = |row| {
                    let at = |col| f64::from(values[(channel * stored.0 + row) * stored.1 + col]);
                    across.mix(at)
                };
                down.mix(row) as f32
            }));
        }
    }
    Some(positions)
}

/// A place between two neighbouring cells, or on one.
struct Between {
    low: usize,
    high: usize,
    /// Weight of the high one.
    weight: f64,
}

impl Between {
    /// Where cell `i` of `wanted` is read among those `stored`, of which there is at least one.
    fn new(i: usize, stored: usize, wanted: usize) -> Self {
        let place = ((i as f64 + 0.5) * stored as f64 / wanted as f64 - 0.5).max(0.0);
        let low = place as usize;
        Between { low, high: (low + 1).min(stored - 1), weight: place - low as f64 }
    }

    /// The value between those of two cells. A cell of weight 0 is not read.
    fn mix(&self, at: impl Fn(usize) -> f64) -> f64 {
        let low = at(self.low);
        if self.weight == 0.0 {
            low
        } else {
            (1.0 - self.weight) * low + self.weight * at(self.high)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers and halves without a pattern.
    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 37 % 101) as f32 / 2.0 - 25.0).collect()
    }

    /// Value of a channel at a place.
    fn at(values: &[f32], (height, width): (usize, usize), [c, i, j]: [usize; 3]) -> f32 {
        values[(c * height + i) * width + j]
    }

    #[test]
    fn the_same_grid_is_only_transposed() {
        let mut values = numbers(3 * 4 * 5);
        (values[7], values[21], values[40]) = (f32::INFINITY, -0.0, f32::MIN_POSITIVE / 4.0);
        let found = interpolate(&values, 3, (4, 5), (4, 5)).unwrap();
        for (place, found) in found.iter().enumerate() {
            let (token, channel) = (place / 3, place % 3);
            let expected = at(&values, (4, 5), [channel, token / 5, token % 5]);
            assert_eq!(found.to_bits(), expected.to_bits(), "{place}");
        }
    }

    #[test]
    fn half_of_each_side_is_a_mean_of_four() {
        let values = numbers(6 * 14 * 14);
        let found = interpolate(&values, 6, (14, 14), (7, 7)).unwrap();
        assert_eq!(found.len(), 49 * 6);
        for (place, &found) in found.iter().enumerate() {
            let (i, j, channel) = (place / 6 / 7, place / 6 % 7, place % 6);
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let corner = |(a, b)| at(&values, (14, 14), [channel, 2 * i + a, 2 * j + b]);
            assert_eq!(found, corners.map(corner).iter().sum::<f32>() / 4.0, "{place}");
        }
    }

    /// Each cell reaches as far as its neighbours: weight 1 − |distance|, or 0. Places beyond the
    /// outermost centres are moved there.
    fn by_distance(
        values: &[f32],
        stored: (usize, usize),
        wanted: (usize, usize),
        [c, i, j]: [usize; 3],
    ) -> f64 {
        let weight = |cell: usize, i: usize, stored: usize, wanted: usize| {
            let place = (2 * i + 1) as f64 * stored as f64 / (2 * wanted) as f64 - 0.5;
            let distance = (place.clamp(0.0, (stored - 1) as f64) - cell as f64).abs();
            (1.0 - distance).max(0.0)
        };
        let cells = (0..stored.0).flat_map(|a| (0..stored.1).map(move |b| (a, b)));
        let term = |(a, b)| {
            let weight = weight(a, i, stored.0, wanted.0) * weight(b, j, stored.1, wanted.1);
            weight * f64::from(at(values, stored, [c, a, b]))
        };
        cells.map(term).sum()
    }

    #[test]
    fn other_grids() {
        let channels = 3;
        for (stored, wanted) in [
            ((7, 7), (14, 14)),
            ((14, 14), (7, 7)),
            ((14, 14), (24, 24)),
            ((14, 14), (16, 9)),
            ((5, 3), (2, 8)),
            ((1, 6), (4, 1)),
            ((6, 1), (1, 5)),
            ((1, 1), (3, 2)),
            ((10, 11), (3, 1)),
        ] {
            let values = numbers(channels * stored.0 * stored.1);
            let largest = values.iter().fold(0.0_f64, |a, &b| a.max(f64::from(b).abs()));
            let found = interpolate(&values, channels, stored, wanted).unwrap();
            assert_eq!(found.len(), wanted.0 * wanted.1 * channels);
            for (place, &found) in found.iter().enumerate() {
                let (token, c) = (place / channels, place % channels);
                let (i, j) = (token / wanted.1, token % wanted.1);
                let expected = by_distance(&values, stored, wanted, [c, i, j]);
                // Rounded to f32 once. Before that, in f64: a place is rounded three times by each
                // of the two, on two sides, and moves a result by at most twice the largest value;
                // there are less than 16 other roundings.
                let roundings = 2 * 3 * 2 * 2 * stored.0.max(stored.1) + 16;
                let bound = expected.abs() / f64::from(1 << 24)
                    + roundings as f64 * largest * f64::EPSILON / 2.0;
                let distance = (f64::from(found) - expected).abs();
                assert!(distance <= bound, "{stored:?} to {wanted:?}: {found} at {c}, {i}, {j}");
            }
        }
    }

    /// ```text
    /// python -c "
    /// import torch
    /// for c, a, b, h, w in [(2, 2, 3, 3, 4), (1, 5, 3, 2, 4)]:
    ///     x = [i * 37 % 101 / 2 - 25 for i in range(c * a * b)]
    ///     x = torch.tensor(x, dtype=torch.float64).reshape(1, c, a, b)
    ///     y = torch.nn.functional.interpolate(x, size=(h, w), mode='bilinear', align_corners=False)
    ///     print(y.float().flatten(2).transpose(1, 2).flatten().tolist())"
    /// ```
    #[test]
    fn the_values_of_pytorch() {
        let wider = interpolate(&numbers(12), 2, (2, 3), (3, 4)).unwrap();
        #[rustfmt::skip]
        let expected = [
            -25.0, -15.0, -13.4375, -3.4375, 0.4375, 10.4375, 12.0, 22.0,
            -22.5, -12.5, -10.9375, -0.9375, 2.9375, 3.46875, 14.5, -0.75,
            -20.0, -10.0, -8.4375, 1.5625, 5.4375, -3.5, 17.0, -23.5,
        ];
        assert_eq!(wider, expected);
        let lower = interpolate(&numbers(15), 1, (5, 3), (2, 4)).unwrap();
        assert_eq!(lower, [-21.25, -9.6875, 4.1875, 15.75, -8.75, 2.8125, -2.25, -22.25]);
    }

    #[test]
    fn what_is_constant_stays_so() {
        for (stored, wanted) in [((14, 14), (24, 23)), ((14, 14), (5, 9)), ((1, 3), (7, 7))] {
            let constants = [0.1, -3.3e38, 1.0e-44];
            let values: Vec<f32> =
                constants.iter().flat_map(|&x| vec![x; stored.0 * stored.1]).collect();
            let found = interpolate(&values, 3, stored, wanted).unwrap();
            assert_eq!(found.len(), 3 * wanted.0 * wanted.1);
            assert!(
                found.chunks_exact(3).all(|token| token == constants),
                "{stored:?}, {wanted:?}"
            );
        }
    }

    #[test]
    fn lengths_and_sizes_of_zero() {
        let max = usize::MAX;
        assert_eq!(interpolate(&[1.0; 11], 2, (2, 3), (2, 3)), None);
        assert_eq!(interpolate(&[1.0; 13], 2, (2, 3), (2, 3)), None);
        assert_eq!(interpolate(&[], 2, (max, 3), (2, 3)), None);
        assert_eq!(interpolate(&[1.0; 2], 2, (1, 1), (max, 3)), None);
        assert_eq!(interpolate(&[1.0; 2], 2, (1, 1), (max, 1)), None);
        assert_eq!(interpolate(&[1.0], 1, (1, 1), (max, 1)), None);
        for (stored, wanted) in [((0, 3), (2, 2)), ((3, 0), (2, 2)), ((0, 0), (1, 1))] {
            assert_eq!(interpolate(&[], 2, stored, wanted), None);
        }
        for (stored, wanted) in [((0, 3), (0, 2)), ((3, 0), (0, 5)), ((0, 0), (2, 0))] {
            assert_eq!(interpolate(&[], 2, stored, wanted), Some(vec![]));
        }
        assert_eq!(interpolate(&[1.0; 2], 2, (1, 1), (0, 4)), Some(vec![]));
        assert_eq!(interpolate(&[], 0, (2, 3), (4, 5)), Some(vec![]));
    }
}
