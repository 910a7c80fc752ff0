//! A batch norm with fixed statistics, and the affine map that it is.

use num_traits::Float;

use crate::FoldError;
use crate::number::{wide, widen};
use crate::sizes::same_length;

/// A batch norm as it acts once trained: `y = γ·(x − μ) / √(var + eps) + β` for each channel, with
/// the running statistics. (In training it takes those of the batch, and is no fixed map.)
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a, T> {
    /// The scale γ, PyTorch's `weight`.
    pub gamma: &'a [T],
    /// The shift β, PyTorch's `bias`.
    pub beta: &'a [T],
    /// The mean μ, PyTorch's `running_mean`.
    pub mean: &'a [T],
    /// The variance, PyTorch's `running_var`.
    pub var: &'a [T],
    /// Added to the variance. PyTorch's default is 1e-5.
    pub eps: f64,
}

impl<T: Float> BatchNorm<'_, T> {
    /// The same map as `y = s·x + t`, with `s = γ / √(var + eps)` and `t = β − μ·s`, in `f64`.
    ///
    /// # Errors
    /// [`FoldError::Length`] if the four slices are not equally long, [`FoldError::Variance`] for a
    /// channel whose `var + eps` is 0, negative or NaN. Other values that are not finite go through
    /// the formula.
    pub fn affine(&self) -> Result<Affine, FoldError> {
        let BatchNorm { gamma, beta, mean, var, eps } = *self;
        let channels = gamma.len();
        for (what, slice) in [("beta", beta), ("mean", mean), ("var", var)] {
            same_length(what, channels, slice.len())?;
        }
        let mut affine =
            Affine { scale: Vec::with_capacity(channels), shift: Vec::with_capacity(channels) };
        for channel in 0..channels {
            let var = wide(var[channel]);
            let positive = var + eps > 0.0;
            if !positive {
                return Err(FoldError::Variance { channel, var, eps });
            }
            let scale = wide(gamma[channel]) / (var + eps).sqrt();
            affine.scale.push(scale);
            affine.shift.push(wide(beta[channel]) - wide(mean[channel]) * scale);
        }
        Ok(affine)
    }
}

/// A map of each channel by itself, `y = scale·x + shift`, in `f64`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Affine {
    /// With a scale and a shift for each channel.
    ///
    /// # Errors
    /// [`FoldError::Length`] if they are not equally many.
    pub fn new<T: Float>(scale: &[T], shift: &[T]) -> Result<Self, FoldError> {
        same_length("shift", scale.len(), shift.len())?;
        Ok(Affine { scale: widen(scale), shift: widen(shift) })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.scale.len()
    }

    /// The factor of each channel.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// What is added to each channel.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }
}
