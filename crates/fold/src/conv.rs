//! Convolution kernels: the caller's, and those that folding makes.

use num_traits::Float;

use crate::number::{round, widen};
use crate::sizes::{elements, nonzero, same_length};
use crate::{BatchNorm, FoldError, LinearMut};

/// The weight of a convolution as checkpoints store it, with its groups and its bias.
///
/// Cross-correlation, as in all frameworks: the kernel is not flipped. Padding, stride and dilation
/// belong to a [`Geometry`](crate::Geometry).
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a, T> {
    weight: &'a [T],
    bias: Option<&'a [T]>,
    shape: [usize; 4],
    groups: usize,
}

impl<'a, T: Float> Conv<'a, T> {
    /// One group, no bias. The `shape` is that of the weight in the checkpoint,
    /// `[output channels, input channels of a group, kernel height, kernel width]`.
    ///
    /// # Errors
    /// [`FoldError::Zero`] for a size of 0, [`FoldError::Length`] if `weight` does not have as many
    /// elements as the shape, [`FoldError::Overflow`] if nothing could have.
    pub fn new(weight: &'a [T], shape: [usize; 4]) -> Result<Self, FoldError> {
        let [out_channels, in_channels, height, width] = shape;
        nonzero("channels", [out_channels, in_channels])?;
        nonzero("kernel", [height, width])?;
        same_length("kernel", elements("kernel", &shape)?, weight.len())?;
        Ok(Conv { weight, bias: None, shape, groups: 1 })
    }

    /// Splits the output channels, and `groups` times the input channels of the shape, into groups.
    ///
    /// # Errors
    /// [`FoldError::Zero`] for none, [`FoldError::Groups`] if they do not divide the output channels.
    pub fn groups(self, groups: usize) -> Result<Self, FoldError> {
        nonzero("groups", [groups; 2])?;
        let out_channels = self.shape[0];
        if !out_channels.is_multiple_of(groups) {
            return Err(FoldError::Groups { out_channels, groups });
        }
        Ok(Conv { groups, ..self })
    }

    /// Adds a bias to each output channel.
    ///
    /// # Errors
    /// [`FoldError::Length`] if it does not have one element for each.
    pub fn bias(self, bias: &'a [T]) -> Result<Self, FoldError> {
        same_length("bias", self.shape[0], bias.len())?;
        Ok(Conv { bias: Some(bias), ..self })
    }

    /// The same kernel in `f64`.
    pub fn kernel(&self) -> Kernel {
        let bias = self.bias.map_or_else(|| vec![0.0; self.shape[0]], widen);
        Kernel { weight: widen(self.weight), bias, shape: self.shape, groups: self.groups }
    }

    /// The kernel of the convolution and a batch norm behind it, `F'[o] = s[o]·F[o]` and
    /// `b'[o] = s[o]·b[o] + t[o]`, in `f64`.
    ///
    /// # Errors
    /// As [`BatchNorm::affine`], and [`FoldError::Length`] if the norm does not have the output
    /// channels.
    pub fn kernel_bn(&self, norm: &BatchNorm<'_, T>) -> Result<Kernel, FoldError> {
        let affine = norm.affine()?;
        same_length("norm", self.shape[0], affine.channels())?;
        let mut kernel = self.kernel();
        LinearMut::new(&mut kernel.weight, &mut kernel.bias)?.followed_by(&affine)?;
        Ok(kernel)
    }
}

/// A convolution kernel in `f64`, with a bias: what the branches of a block come to, before it is
/// rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) shape: [usize; 4],
    pub(crate) groups: usize,
}

impl Kernel {
    /// `[output channels, input channels of a group, kernel height, kernel width]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The weight, row major.
    pub fn weight(&self) -> &[f64] {
        &self.weight
    }

    /// The bias of each output channel.
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// Weight and bias in the caller's type, each number rounded once: one convolution instead of
    /// all branches.
    pub fn rounded<T: Float>(&self) -> (Vec<T>, Vec<T>) {
        let rounded = |values: &[f64]| values.iter().map(|&x| round(x)).collect();
        (rounded(&self.weight), rounded(&self.bias))
    }
}
