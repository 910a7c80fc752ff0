//! The networks other than Mixer and RepMLPNet.

mod golden;
mod layers;
mod sizes;

#[track_caller]
pub(crate) fn assert_close(computed: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(computed.len(), expected.len());
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        assert!((c - e).abs() <= tolerance, "[{i}]: {c} instead of {e}");
    }
}
