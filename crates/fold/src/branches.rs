//! Parallel convolutions of one input whose outputs are added: one convolution.

use num_traits::Float;

use crate::sizes::{elements, same_length, zeros};
use crate::{Affine, BatchNorm, Conv, FoldError, Kernel};

/// Branches side by side, `y = Σ branch(x)`: convolutions of odd sizes, each with its batch norm or
/// without, and identities.
///
/// The branches are aligned at their centres, as they are if each is padded by half its own size to
/// keep the map. [`merge`](Self::merge) surrounds smaller kernels with zeros and adds all of them;
/// padding, stride and dilation are then those of the largest.
///
/// ```
/// use mixfold_fold::{BatchNorm, Branches, Conv};
///
/// # fn main() -> Result<(), mixfold_fold::FoldError> {
/// let (k3, k1) = (vec![0.5_f32; 8 * 4 * 3 * 3], vec![0.25_f32; 8 * 4]);
/// let (gamma, beta, mean, var) = (vec![1.5_f32; 8], vec![0.1; 8], vec![0.2; 8], vec![0.9; 8]);
/// let norm = BatchNorm { gamma: &gamma, beta: &beta, mean: &mean, var: &var, eps: 1e-5 };
/// let kernel = Branches::new()
///     .conv_bn(&Conv::new(&k3, [8, 4, 3, 3])?.groups(2)?, &norm)?
///     .conv_bn(&Conv::new(&k1, [8, 4, 1, 1])?.groups(2)?, &norm)?
///     .identity()
///     .merge()?;
/// assert_eq!(kernel.shape(), [8, 4, 3, 3]);
/// let (weight, bias) = kernel.rounded::<f32>();
/// # assert_eq!((weight.len(), bias.len()), (288, 8));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Branches {
    kernels: Vec<Kernel>,
    /// With their norms.
    identities: Vec<Option<Affine>>,
}

impl Branches {
    /// No branch.
    pub fn new() -> Self {
        Branches::default()
    }

    /// Adds a convolution, with its bias if it has one.
    ///
    /// # Errors
    /// [`FoldError::Even`] if the kernel has no centre, [`FoldError::Branch`] if its channels or
    /// groups are not those of the convolutions before.
    pub fn conv<T: Float>(self, conv: &Conv<'_, T>) -> Result<Self, FoldError> {
        self.kernel(conv.kernel())
    }

    /// Adds a convolution with a batch norm behind it.
    ///
    /// # Errors
    /// Those of [`conv`](Self::conv) and of [`Conv::kernel_bn`].
    pub fn conv_bn<T: Float>(
        self,
        conv: &Conv<'_, T>,
        norm: &BatchNorm<'_, T>,
    ) -> Result<Self, FoldError> {
        self.kernel(conv.kernel_bn(norm)?)
    }

    /// Adds a kernel with its bias, such as one that a batch norm was folded into.
    ///
    /// # Errors
    /// As [`conv`](Self::conv).
    pub fn kernel(mut self, kernel: Kernel) -> Result<Self, FoldError> {
        let [.., height, width] = kernel.shape;
        if height.is_multiple_of(2) || width.is_multiple_of(2) {
            return Err(FoldError::Even { kernel: [height, width] });
        }
        if let Some(first) = self.kernels.first() {
            let channels = |kernel: &Kernel| [kernel.shape[0], kernel.shape[1], kernel.groups];
            let (expected, found) = (channels(first), channels(&kernel));
            if expected != found {
                return Err(FoldError::Branch { expected, found });
            }
        }
        self.kernels.push(kernel);
        Ok(self)
    }

    /// Adds the input itself.
    #[must_use]
    pub fn identity(mut self) -> Self {
        self.identities.push(None);
        self
    }

    /// Adds the input with a batch norm.
    ///
    /// # Errors
    /// Those of [`BatchNorm::affine`].
    pub fn identity_bn<T: Float>(mut self, norm: &BatchNorm<'_, T>) -> Result<Self, FoldError> {
        self.identities.push(Some(norm.affine()?));
        Ok(self)
    }

    /// The convolution that does the work of all branches, summed in `f64`: convolutions in the order
    /// in which they were added, then identities.
    ///
    /// # Errors
    /// [`FoldError::NoConvolution`] if none tells the channels; with an identity,
    /// [`FoldError::Identity`] if the convolutions have other channels behind than in front, or
    /// [`FoldError::Length`] if its norm has others; [`FoldError::Overflow`] or
    /// [`FoldError::Memory`] if the kernel, as high as the highest and as wide as the widest, is too
    /// large.
    pub fn merge(self) -> Result<Kernel, FoldError> {
        let first = self.kernels.first().ok_or(FoldError::NoConvolution)?;
        let ([out, inp, ..], groups) = (first.shape, first.groups);
        let largest = |d: usize| self.kernels.iter().map(|kernel| kernel.shape[d]).max();
        let shape = [out, inp, largest(2).unwrap_or(1), largest(3).unwrap_or(1)];
        let weight = zeros(elements("kernel", &shape)?)?;
        let mut merged = Kernel { weight, bias: vec![0.0; out], shape, groups };
        for kernel in &self.kernels {
            merged.add(kernel);
        }
        for identity in &self.identities {
            if inp * groups != out {
                return Err(FoldError::Identity { in_channels: inp * groups, out_channels: out });
            }
            if let Some(affine) = identity {
                same_length("norm", out, affine.channels())?;
            }
            merged.add_identity(identity.as_ref());
        }
        Ok(merged)
    }
}

impl Kernel {
    /// Adds a kernel that is nowhere larger, centre on centre.
    fn add(&mut self, other: &Kernel) {
        let ([.., height, width], [.., h, w]) = (self.shape, other.shape);
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        for (line, values) in other.weight.chunks_exact(w).enumerate() {
            let (plane, row) = (line / h, line % h);
            let at = (plane * height + top + row) * width + left;
            for (sum, value) in self.weight[at..at + w].iter_mut().zip(values) {
                *sum += value;
            }
        }
        for (sum, bias) in self.bias.iter_mut().zip(&other.bias) {
            *sum += bias;
        }
    }

    /// Adds an identity, with its norm.
    fn add_identity(&mut self, norm: Option<&Affine>) {
        let [out, inp, height, width] = self.shape;
        for o in 0..out {
            let plane = o * inp + o % inp;
            let centre = (plane * height + height / 2) * width + width / 2;
            self.weight[centre] += norm.map_or(1.0, |norm| norm.scale()[o]);
            self.bias[o] += norm.map_or(0.0, |norm| norm.shift()[o]);
        }
    }
}
