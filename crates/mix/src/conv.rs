//! Convolution in two dimensions, described with borrowed weights.

mod direct;
mod op;
mod pixels;
mod stencil;
mod window;

use mixfold_gemm::{Activation, MatRef, Packer};

use crate::MixError;
use crate::taps::{Taps, positive};
use stencil::Stencil;

pub use op::Conv2dOp;

/// A convolution in two dimensions: output (`r`, `s`) of channel `o` of image `n` is
///
/// `y[n, o, r, s] = activation(b[o] + Σ w[o, c, u, v] · x[n, first(o) + c, r·stride.0 + u·dilation.0 −
/// padding.0, s·stride.1 + v·dilation.1 − padding.1])`
///
/// with the sum over `c`, `u`, `v` and zeros outside of the image: a cross-correlation, as in PyTorch
/// (the kernel is not flipped). Pairs are `(vertical, horizontal)`. The channels are cut into `groups`
/// of adjacent ones, each with its own kernels: `first(o) = o / (out / groups) · (channels / groups)`.
///
/// Input is `[batch, channels, height, width]`, output `[batch, out, out height, out width]`, both
/// contiguous, where a side of length L becomes
/// `(L + 2·padding − dilation·(kernel − 1) − 1) / stride + 1`, rounded down.
///
/// A description with borrowed weights; [`pack`](Self::pack) makes it ready to run.
///
/// # Example
/// ```
/// use mixfold_gemm::{Activation, Context, MatRef, Scratch};
/// use mixfold_mix::Conv2d;
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// // 3 channels to 8 with kernels of 3 x 3, at half of the height and width.
/// let (weight, bias) = (vec![0.5; 8 * 3 * 3 * 3], vec![1.0; 8]);
/// let ctx = Context::new();
/// let conv = Conv2d::new(MatRef::row_major(&weight, 8, 3 * 3 * 3)?, (3, 3))?
///     .stride((2, 2))?
///     .padding((1, 1))
///     .bias(&bias)?
///     .activation(Activation::Relu)
///     .pack(ctx.isa())?;
///
/// let (batch, image) = (2, (28, 28));
/// let (height, width) = conv.output(image)?;
/// assert_eq!((height, width), (14, 14));
/// let x = vec![1.0; batch * 3 * 28 * 28];
/// let mut y = vec![0.0; batch * 8 * height * width];
/// let mut scratch = Scratch::with_len(conv.scratch_len(batch, image, &ctx)?)?;
/// conv.apply(&x, &mut y, batch, image, &ctx, &mut scratch)?;
/// assert_eq!((y[0], y[15]), (1.0 + 0.5 * 12.0, 1.0 + 0.5 * 27.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d<'a> {
    weight: MatRef<'a, f32>,
    rows: Taps,
    cols: Taps,
    groups: usize,
    bias: Vec<f32>,
    activation: Activation,
    of_sum: Option<Activation>,
}

impl<'a> Conv2d<'a> {
    /// With a `weight` of `[out, channels / groups · height · width]`, the memory of PyTorch's
    /// `[out, channels / groups, height, width]`, for a `kernel` of `(height, width)`; in one group,
    /// with stride and dilation 1, and without padding, bias and activation.
    ///
    /// # Errors
    /// [`MixError::Kernel`] if a row of the weight is not made of whole kernels, or a side of the
    /// kernel is 0.
    pub fn new(weight: MatRef<'a, f32>, kernel: (usize, usize)) -> Result<Self, MixError> {
        let columns = weight.cols();
        let is_whole = |taps: usize| taps > 0 && columns.is_multiple_of(taps);
        if !kernel.0.checked_mul(kernel.1).is_some_and(is_whole) {
            return Err(MixError::Kernel { columns, kernel });
        }
        let taps = |kernel| Taps { kernel, stride: 1, padding: 0, dilation: 1 };
        Ok(Conv2d {
            weight,
            rows: taps(kernel.0),
            cols: taps(kernel.1),
            groups: 1,
            bias: vec![0.0; weight.rows()],
            activation: Activation::Identity,
            of_sum: None,
        })
    }

    /// In so many groups of channels: with as many groups as channels, a depthwise convolution.
    ///
    /// # Errors
    /// [`MixError::Groups`] if they do not divide the outputs.
    pub fn groups(self, groups: usize) -> Result<Self, MixError> {
        let out = self.weight.rows();
        if groups == 0 || !out.is_multiple_of(groups) {
            return Err(MixError::Groups { groups, rows: out });
        }
        Ok(Conv2d { groups, ..self })
    }

    /// With a distance between the pixels of neighbouring outputs.
    ///
    /// # Errors
    /// [`MixError::Step`] if it is 0 in a direction.
    pub fn stride(mut self, stride: (usize, usize)) -> Result<Self, MixError> {
        (self.rows.stride, self.cols.stride) = positive("stride", stride)?;
        Ok(self)
    }

    /// With so many zeros on each side of the image: `.0` above and below, `.1` left and right.
    pub fn padding(mut self, padding: (usize, usize)) -> Self {
        (self.rows.padding, self.cols.padding) = padding;
        self
    }

    /// With a distance between the pixels of neighbouring elements of the kernel.
    ///
    /// # Errors
    /// [`MixError::Step`] if it is 0 in a direction.
    pub fn dilation(mut self, dilation: (usize, usize)) -> Result<Self, MixError> {
        (self.rows.dilation, self.cols.dilation) = positive("dilation", dilation)?;
        Ok(self)
    }

    /// With a bias, one number for each channel of the output.
    ///
    /// # Errors
    /// [`MixError::Parameter`] if it does not have as many elements.
    pub fn bias(self, bias: &[f32]) -> Result<Self, MixError> {
        let (expected, found) = (self.weight.rows(), bias.len());
        if expected != found {
            return Err(MixError::Parameter { what: "bias", expected, found });
        }
        Ok(Conv2d { bias: bias.to_vec(), ..self })
    }

    /// With an activation behind the bias.
    pub fn activation(self, activation: Activation) -> Self {
        Conv2d { activation, ..self }
    }

    /// With an activation of the sum where the result is added to something, the end of a residual
    /// block: [`Conv2dOp::apply_add`] computes `y = of_sum(y + conv(x))`. There is no
    /// [`Conv2dOp::apply`] then, which has no sum.
    pub fn activation_of_sum(self, of_sum: Activation) -> Self {
        Conv2d { of_sum: Some(of_sum), ..self }
    }

    /// Packs the weights for one instruction set, on its threads if `packer` is a
    /// [`Context`](mixfold_gemm::Context).
    ///
    /// # Errors
    /// If there is not so much memory, or not as many channels can be counted.
    pub fn pack<'p>(self, packer: impl Into<Packer<'p>>) -> Result<Conv2dOp, MixError> {
        let stencil = Stencil::new(self.rows, self.cols)?;
        let activations = (self.activation, self.of_sum);
        Conv2dOp::new(packer.into(), self.weight, self.groups, stencil, self.bias, activations)
    }
}
