//! Layers to measure: matrices and perceptrons along an axis, convolutions, attentions.

use core::fmt;

use mixfold_gemm::{Activation, MatRef};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, AxisOp, Conv2d, Conv2dOp, MixError, Norm, Positions, Side,
};
use mixfold_simd::Isa;

use crate::Inputs;

/// Of the layer norms.
pub const EPS: f32 = 1e-6;

/// The matrices of a layer and what surrounds them.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One with bias and residual.
    Linear,
    /// One between an affine and a layer scale, with bias and residual.
    Scaled,
    /// Two with so many hidden units, norm, GELU and residual.
    Mlp(usize),
    /// The same, with units that SiLU of others gates.
    Glu(usize),
}

/// A layer along one axis of a model.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Where the weights stand.
    pub side: Side,
    /// The tensor.
    pub axes: Axes,
    /// What is computed along the axis.
    pub kind: Kind,
}

impl Layer {
    /// Floating point operations of its matrices.
    pub fn flops(self) -> u64 {
        let Axes { outer, axis, inner } = self.axes;
        let products = match self.kind {
            Kind::Linear | Kind::Scaled => axis,
            Kind::Mlp(hidden) => 2 * hidden,
            Kind::Glu(hidden) => 3 * hidden,
        };
        2 * (outer * axis * inner) as u64 * products as u64
    }

    /// The layer with pseudo-random weights.
    ///
    /// # Errors
    /// None, if a vector of each length fits in memory.
    pub fn pack(self, isa: Isa) -> Result<AxisOp, MixError> {
        let (Layer { side, axes, kind }, mut inputs) = (self, Inputs::default());
        let (axis, bias) = (axes.axis, inputs.uniform::<f32>(axes.axis, 1.0));
        let (hidden, is_gated) = match kind {
            Kind::Mlp(hidden) => (hidden, false),
            Kind::Glu(hidden) => (hidden, true),
            Kind::Linear | Kind::Scaled => {
                let weight = inputs.weight(axis * axis, axis);
                let weight = MatRef::row_major(&weight, axis, axis)?;
                let mut linear = AxisLinear::new(weight).bias(&bias)?.residual();
                if matches!(kind, Kind::Scaled) {
                    let (ones, zeros) = (vec![1.0; axes.inner], vec![0.0; axes.inner]);
                    let scale = vec![1e-5; axes.inner];
                    linear = linear.norm(Norm::affine_inner(&ones, &zeros))?.scale_inner(&scale)?;
                }
                return linear.pack(isa, side);
            }
        };
        let norm = |channels: usize| (vec![1.0; channels], vec![0.0; channels]);
        let norm = match side {
            Side::Left => {
                let (gamma, beta) = norm(axes.inner);
                Norm::layer_inner(&gamma, &beta, EPS)
            }
            Side::Right => {
                let (gamma, beta) = norm(axis);
                Norm::layer_axis(&gamma, &beta, EPS)
            }
        };
        let (rows, activation) = match is_gated {
            false => (hidden, Activation::GeluErf),
            true => (2 * hidden, Activation::Silu),
        };
        let (first, second) =
            (inputs.weight(rows * axis, axis), inputs.weight(axis * hidden, hidden));
        let first = MatRef::row_major(&first, rows, axis)?;
        let second = MatRef::row_major(&second, axis, hidden)?;
        let mlp = if is_gated { AxisMlp::glu(first, second) } else { AxisMlp::new(first, second) };
        mlp?.bias(&inputs.uniform(rows, 1.0), &bias)?
            .norm(norm)?
            .activation(activation)
            .residual()
            .pack(isa, side)
    }
}

/// A convolution of square images with square kernels, in one group.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Their channels.
    pub channels: usize,
    /// Channels of the output.
    pub out: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Pixels from one place of the kernel to the next.
    pub stride: usize,
    /// Zeros on each side of an image.
    pub padding: usize,
    /// Side of an image.
    pub image: usize,
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Convolution { batch, channels, out, kernel, stride, image, .. } = self;
        write!(f, "{out}x{channels}x{kernel}x{kernel}-stride={stride}")?;
        write!(f, "-images={batch}x{image}x{image}")
    }
}

impl Convolution {
    /// The convolution with pseudo-random weights and bias, and ReLU.
    ///
    /// # Errors
    /// None, if a vector of each length fits in memory.
    pub fn pack(self, isa: Isa) -> Result<Conv2dOp, MixError> {
        let Convolution { channels, out, kernel, stride, padding, .. } = self;
        let (k, mut inputs) = (channels * kernel * kernel, Inputs::default());
        let (weight, bias) = (inputs.weight(out * k, k), inputs.uniform::<f32>(out, 1.0));
        Conv2d::new(MatRef::row_major(&weight, out, k)?, (kernel, kernel))?
            .stride((stride, stride))?
            .padding((padding, padding))
            .bias(&bias)?
            .activation(Activation::Relu)
            .pack(isa)
    }
}

/// An attention of one image.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// Features of each.
    pub width: usize,
    /// Number of positions.
    pub count: usize,
    /// The axis that they stand along.
    pub positions: Positions,
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attention { heads, width, count, positions } = self;
        let along = match positions {
            Positions::Axis => "axis",
            Positions::Inner => "inner",
        };
        write!(f, "{count}x{width}-heads={heads}-{along}")
    }
}

impl Attention {
    /// The output.
    pub fn axes(self) -> Axes {
        let channels = self.heads * self.width;
        match self.positions {
            Positions::Axis => Axes { outer: 1, axis: self.count, inner: channels },
            Positions::Inner => Axes { outer: 1, axis: channels, inner: self.count },
        }
    }

    /// Floating point operations of its two products.
    pub fn flops(self) -> u64 {
        4 * (self.heads * self.width * self.count * self.count) as u64
    }
}
