//! Colours of weights.

pub(crate) type Color = [u8; 3];

/// Of weights that are not finite: in neither scale.
pub(crate) const NOT_FINITE: Color = [0, 170, 80];

/// From −1 over 0 to 1: blue, nearly white, red. Of even lightness (0.40, 0.66, 0.97 in OKLab) on both
/// sides.
const DIVERGING: [Color; 5] =
    [[33, 68, 135], [66, 153, 220], [245, 245, 245], [226, 104, 74], [131, 26, 24]];

/// From 0 to 1, lighter and lighter (0.12, 0.35, 0.58, 0.78, 0.97 in OKLab).
const SEQUENTIAL: [Color; 5] =
    [[6, 4, 16], [73, 28, 123], [209, 55, 96], [252, 158, 71], [253, 249, 186]];

/// The colour at a place from 0 to 1, in a straight line between its neighbours.
fn between(anchors: &[Color; 5], place: f64) -> Color {
    if place.is_nan() {
        return NOT_FINITE;
    }
    let place = place.clamp(0.0, 1.0) * 4.0;
    let low = (place as usize).min(3);
    let part = place - low as f64;
    let mix = |i: usize| {
        let [a, b] = [anchors[low][i], anchors[low + 1][i]].map(f64::from);
        (a + (b - a) * part).round() as u8
    };
    [mix(0), mix(1), mix(2)]
}

/// The colour of a value from −1 to 1.
pub(crate) fn diverging(value: f64) -> Color {
    between(&DIVERGING, 0.5 + 0.5 * value)
}

/// The colour of a value from 0 to 1.
pub(crate) fn sequential(value: f64) -> Color {
    between(&SEQUENTIAL, value)
}

/// The weights divided by the largest absolute value of the finite ones, so that 0 stays 0. Those that
/// are not finite become NaN.
pub(crate) fn symmetric(weights: &[f32]) -> Vec<f64> {
    let largest = weights.iter().filter(|w| w.is_finite()).fold(0.0_f32, |a, w| a.max(w.abs()));
    let largest = if largest > 0.0 { f64::from(largest) } else { 1.0 };
    let scaled = |&w: &f32| if w.is_finite() { f64::from(w) / largest } else { f64::NAN };
    weights.iter().map(scaled).collect()
}

/// `ln(|w| / m)`, where m is the smallest absolute value in all images but 0; of 0 it is that of m, of
/// what is not finite NaN. And the largest of them.
pub(crate) fn logarithms(images: &[Vec<f32>]) -> (Vec<Vec<f64>>, f64) {
    let sizes = images.iter().flatten().map(|w| f64::from(w.abs()));
    let smallest = sizes.filter(|&w| w > 0.0 && w.is_finite()).fold(f64::INFINITY, f64::min);
    let logarithm = |w: &f32| match f64::from(w.abs()) {
        w if !w.is_finite() => f64::NAN,
        0.0 => 0.0,
        w => (w / smallest).ln(),
    };
    let logarithms: Vec<Vec<_>> =
        images.iter().map(|image| image.iter().map(logarithm).collect()).collect();
    let largest = logarithms.iter().flatten().copied().fold(0.0, f64::max);
    (logarithms, largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_in_the_middle_and_signs_have_their_sides() {
        assert_eq!([-1.0, 0.0, 1.0].map(diverging), [DIVERGING[0], DIVERGING[2], DIVERGING[4]]);
        assert_eq!([0.0, 1.0].map(sequential), [SEQUENTIAL[0], SEQUENTIAL[4]]);
        assert_eq!([diverging(f64::NAN), sequential(f64::NAN)], [NOT_FINITE; 2]);
        let scaled = symmetric(&[-2.0, 0.0, 1.0, f32::INFINITY]);
        assert_eq!(scaled[..3], [-1.0, 0.0, 0.5]);
        assert!(scaled[3].is_nan());
        assert_eq!(symmetric(&[0.0; 2]), [0.0; 2]);
        assert_eq!(symmetric(&[f32::MAX, f32::from_bits(1)])[0], 1.0);
    }

    #[test]
    fn logarithms_have_one_scale() {
        let (found, largest) = logarithms(&[vec![-0.5, 0.0], vec![2.0, f32::NAN]]);
        assert_eq!(
            (&found[0][..], found[1][0], largest),
            (&[0.0, 0.0][..], 4_f64.ln(), 4_f64.ln())
        );
        assert!(found[1][1].is_nan());
        assert_eq!(logarithms(&[vec![0.0]]), (vec![vec![0.0]], 0.0));
    }
}
