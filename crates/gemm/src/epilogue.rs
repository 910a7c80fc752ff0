//! What happens to a register tile before it is written: bias, activation, scale, and what it meets in
//! the output.

use core::ops::Range;

use mixfold_simd::Element;
use mixfold_simd::math::{GeluErf, GeluTanh, Identity, Relu, Sigmoid, Silu, Unary};

use crate::operand::same_shape;
use crate::{GemmError, MatRef};

/// What goes along with the elements of a matrix: one number for all, for each row or each column.
#[derive(Clone, Copy, Debug, Default)]
pub enum Broadcast<'a, T> {
    /// Nothing.
    #[default]
    None,
    /// The same number with all.
    Uniform(T),
    /// Element i goes with row i.
    PerRow(&'a [T]),
    /// Element j goes with column j.
    PerColumn(&'a [T]),
}

/// Added to the product: per column for weights on the right, per row for weights on the left.
pub type Bias<'a, T> = Broadcast<'a, T>;

/// Multiplied after the activation.
pub type Scale<'a, T> = Broadcast<'a, T>;

impl<T: Element> Broadcast<'_, T> {
    pub(crate) fn check(
        &self,
        what: &'static str,
        rows: usize,
        cols: usize,
    ) -> Result<(), GemmError> {
        let (expected, found) = match self {
            Broadcast::None | Broadcast::Uniform(_) => return Ok(()),
            Broadcast::PerRow(values) => (rows, values.len()),
            Broadcast::PerColumn(values) => (cols, values.len()),
        };
        if expected == found { Ok(()) } else { Err(GemmError::Vector { what, expected, found }) }
    }

    /// What goes with a block of the rows and columns.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        match self {
            Broadcast::None => Broadcast::None,
            &Broadcast::Uniform(value) => Broadcast::Uniform(value),
            Broadcast::PerRow(values) => Broadcast::PerRow(&values[rows]),
            Broadcast::PerColumn(values) => Broadcast::PerColumn(&values[cols]),
        }
    }
}

/// A floating point type with its activations: `f32` or `f64`.
pub trait Scalar: Element {
    /// The functions that can follow a product.
    type Activation: Activate<Self>;
}

impl Scalar for f32 {
    type Activation = Activation;
}

impl Scalar for f64 {
    type Activation = Activation64;
}

/// The function that follows a product of `f32`. Their formulas and accuracy are those of
/// [`mixfold_simd::math`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
    /// x·Φ(x), exact to f32
    GeluErf,
    /// The tanh approximation of GELU
    GeluTanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// x / (1 + e⁻ˣ)
    Silu,
}

/// The function that follows a product of `f64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation64 {
    /// x
    #[default]
    Identity,
    /// max(x, 0)
    Relu,
}

/// The choice of an activation at run time, once per tile. Implemented by [`Activation`] and
/// [`Activation64`].
pub trait Activate<T: Element>: Copy + PartialEq + core::fmt::Debug + Send + Sync {
    /// The activation that does nothing.
    const IDENTITY: Self;

    /// Passes the function to `with`.
    fn choose<W: WithUnary<T>>(self, with: W);
}

/// Work that is compiled once per activation.
pub trait WithUnary<T: Element> {
    /// Does the work.
    fn run(self, f: impl Unary<T>);
}

impl Activate<f32> for Activation {
    const IDENTITY: Self = Activation::Identity;

    #[inline(always)]
    fn choose<W: WithUnary<f32>>(self, with: W) {
        match self {
            Activation::Identity => with.run(Identity),
            Activation::Relu => with.run(Relu),
            Activation::GeluErf => with.run(GeluErf),
            Activation::GeluTanh => with.run(GeluTanh),
            Activation::Sigmoid => with.run(Sigmoid),
            Activation::Silu => with.run(Silu),
        }
    }
}

impl Activate<f64> for Activation64 {
    const IDENTITY: Self = Activation64::Identity;

    #[inline(always)]
    fn choose<W: WithUnary<f64>>(self, with: W) {
        match self {
            Activation64::Identity => with.run(Identity),
            Activation64::Relu => with.run(Relu),
        }
    }
}

/// What follows a product, in this order: `+ bias`, `activation`, `· scale`; then what [`Accum`]
/// says; then `last`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T: Scalar> {
    /// Added to the product.
    pub bias: Bias<'a, T>,
    /// Applied to the sum.
    pub activation: T::Activation,
    /// Multiplied: a layer scale or a gate.
    pub scale: Scale<'a, T>,
    /// Applied to what [`Accum`] gives: the end of a residual block, `relu(y + product)`.
    pub last: T::Activation,
}

impl<T: Scalar> Epilogue<'_, T> {
    /// The product as it is.
    pub const NONE: Self = Epilogue {
        bias: Bias::None,
        activation: T::Activation::IDENTITY,
        scale: Scale::None,
        last: T::Activation::IDENTITY,
    };

    /// Whether nothing follows.
    pub(crate) fn is_none(&self) -> bool {
        let none = T::Activation::IDENTITY;
        matches!((self.bias, self.scale), (Broadcast::None, Broadcast::None))
            && self.activation == none
            && self.last == none
    }

    /// What follows a block of the rows and columns.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Self {
        Epilogue {
            bias: self.bias.block(rows.clone(), cols.clone()),
            activation: self.activation,
            scale: self.scale.block(rows, cols),
            last: self.last,
        }
    }

    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<(), GemmError> {
        self.bias.check("bias", rows, cols)?;
        self.scale.check("scale", rows, cols)
    }
}

/// How a result meets what stood in the output.
#[derive(Clone, Copy, Debug, Default)]
pub enum Accum<'a, T> {
    /// Takes its place. The old contents are not read.
    #[default]
    Replace,
    /// Is added to it: a residual connection in place.
    Add,
    /// Is multiplied with it: a gate for each element, in place.
    Multiply,
    /// Takes its place, added to another matrix: a residual connection to elsewhere.
    Onto(MatRef<'a, T>),
}

impl<T: Element> Accum<'_, T> {
    /// That a product of these rows and columns can meet it so.
    pub(crate) fn check(&self, rows: usize, cols: usize) -> Result<(), GemmError> {
        match self {
            Accum::Replace | Accum::Add | Accum::Multiply => Ok(()),
            Accum::Onto(residual) => {
                same_shape("residual", (rows, cols), (residual.rows(), residual.cols()))
            }
        }
    }

    /// How a block of the result meets the same block of the output.
    ///
    /// # Errors
    /// [`GemmError::Shape`] if the block reaches beyond the matrix that the result is added to.
    pub fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Result<Self, GemmError> {
        Ok(match self {
            Accum::Replace => Accum::Replace,
            Accum::Add => Accum::Add,
            Accum::Multiply => Accum::Multiply,
            Accum::Onto(residual) => {
                Accum::Onto(residual.block(rows.start, cols.start, rows.len(), cols.len())?)
            }
        })
    }
}
