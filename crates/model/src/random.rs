//! Weights drawn at random, to run a model without a file.

use mixfold_gemm::GemmError;

use crate::ModelError;
use crate::weights::Spec;

/// Replaces the contents of `values` by those of the tensor at `position` among a model's: they
/// depend on `seed`, `position` and the tensor's shape alone.
///
/// All are uniform. Matrices and convolutions have mean 0 and variance 1 / fan-in, so that they
/// keep the size of what they are applied to; gains and variances of norms lie in
/// `0.5..1.5`, biases and means in `-0.1..0.1`. What gives a RepMLPNet's residual branches their size,
/// which no norm of the input resets, is a quarter of that, as dozens of them follow each other.
pub(crate) fn tensor(
    spec: &Spec,
    seed: u64,
    position: usize,
    values: &mut Vec<f32>,
) -> Result<(), ModelError> {
    let (mean, bound) = match &spec.shape[..] {
        _ if spec.name.ends_with(".alpha") => (1.0, 0.5),
        _ if spec.name.ends_with(".beta") => (0.0, 0.1),
        [_, fan_in @ ..] if !fan_in.is_empty() => {
            (0.0, (3.0 / fan_in.iter().product::<usize>() as f32).sqrt())
        }
        _ if [".weight", ".running_var"].iter().any(|end| spec.name.ends_with(end)) => (1.0, 0.5),
        _ => (0.0, 0.1),
    };
    let gain = if scales_branch(&spec.name) { 0.25 } else { 1.0 };
    let (mean, bound) = (gain * mean, gain * bound);
    let len = spec.shape.iter().product();
    values.clear();
    values
        .try_reserve_exact(len)
        .map_err(|_| GemmError::Memory { bytes: len.saturating_mul(size_of::<f32>()) })?;
    let of_tensor = SplitMix64(seed).draw() ^ position as u64;
    let mut generator = SplitMix64(SplitMix64(of_tensor).draw());
    values.extend((0..len).map(|_| mean + bound * generator.symmetric()));
    Ok(())
}

/// Whether a tensor scales what a residual branch of a RepMLPNet adds.
fn scales_branch(name: &str) -> bool {
    let of_kernel = name.contains(".repmlp_block.repconv") && name.ends_with(".bn.weight");
    let ends = [".repmlp_block.fc3.weight", ".ffn_block.ffn_fc2.bn.weight"];
    of_kernel || ends.iter().any(|end| name.ends_with(end))
}

/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014.
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `-1..1`, a multiple of 2^-23.
    pub(crate) fn symmetric(&mut self) -> f32 {
        (self.draw() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Layout;

    fn tensor_of(name: &str, shape: &[usize], seed: u64, position: usize) -> Vec<f32> {
        let (name, file_name) = (name.to_owned(), name.to_owned());
        let shape = shape.to_vec();
        let spec =
            Spec { name, shape, file_name, layout: Layout::Same, stored: None, optional: false };
        let mut values = vec![f32::NAN; 3];
        tensor(&spec, seed, position, &mut values).unwrap();
        values
    }

    /// Mean and variance in f64.
    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = |values: &mut dyn Iterator<Item = f64>, n: usize| values.sum::<f64>() / n as f64;
        let n = values.len();
        let first = mean(&mut values.iter().map(|&v| f64::from(v)), n);
        let second = mean(&mut values.iter().map(|&v| (f64::from(v) - first).powi(2)), n);
        (first, second)
    }

    #[test]
    fn each_kind_of_tensor_has_its_mean_and_variance() {
        let cases: [(&str, &[usize], f64, f64); 9] = [
            ("blocks.0.norm1.alpha", &[1, 1, 120_000], 1.0, 0.25 / 3.0),
            ("blocks.0.norm1.beta", &[1, 1, 120_000], 0.0, 0.01 / 3.0),
            ("head.weight", &[300, 400], 0.0, 1.0 / 400.0),
            ("stem.proj.weight", &[300, 4, 10, 10], 0.0, 1.0 / 400.0),
            ("norm.weight", &[120_000], 1.0, 0.25 / 3.0),
            ("norm.bias", &[120_000], 0.0, 0.01 / 3.0),
            ("stages.0.0.repmlp_block.fc3.weight", &[300, 400, 1, 1], 0.0, 1.0 / 6400.0),
            ("a.repmlp_block.repconv3.bn.weight", &[120_000], 0.25, 0.25 / 48.0),
            ("a.repmlp_block.repconv3.conv.weight", &[300, 1, 20, 20], 0.0, 1.0 / 400.0),
        ];
        for (name, shape, mean, variance) in cases {
            let values = tensor_of(name, shape, 7, 3);
            assert_eq!(values.len(), 120_000, "{name}");
            let (found_mean, found_variance) = moments(&values);
            // Six standard errors: of a mean σ/√n, of a uniform variable's variance σ²·√(0.8/n).
            let n = 120_000.0_f64;
            assert!(
                (found_mean - mean).abs() < 6.0 * (variance / n).sqrt(),
                "{name}: {found_mean}"
            );
            let error = (found_variance - variance).abs();
            assert!(error < 6.0 * variance * (0.8 / n).sqrt(), "{name}: {found_variance}");
        }
    }

    #[test]
    fn values_depend_on_seed_and_position() {
        let values = tensor_of("head.weight", &[4, 4], 7, 3);
        assert_eq!(values, tensor_of("head.weight", &[4, 4], 7, 3));
        assert_ne!(values, tensor_of("head.weight", &[4, 4], 8, 3));
        assert_ne!(values, tensor_of("head.weight", &[4, 4], 7, 4));
    }
}
