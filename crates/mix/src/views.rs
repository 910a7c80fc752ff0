//! Operators on parts of tensors.

use mixfold_gemm::{Accum, Context, GemmError, MatMut, MatRef, Scratch};

use crate::op::Call;
use crate::{Axes, AxisOp, Gated, MixError};

impl AxisOp {
    /// Applies the operator to parts of tensors: half of the channels of each token, or one token of
    /// each image.
    ///
    /// `x` and `y` are matrices with adjacent columns and rows any stride apart. For weights on the
    /// left, `x` is `[outer · axis, inner]` and `y` has the new length of the axis for the old one;
    /// for weights on the right, `x` is `[outer, axis]` and `y` is `[outer, new axis]`. `accum` says
    /// how the result meets what stood in `y`. Nothing between the rows is read or written.
    ///
    /// gMLP's spatial gating unit (Liu et al., 2021) keeps the gate v beside the values u, as the two
    /// halves of the channels, and multiplies with the mixed gate in place:
    /// ```
    /// use mixfold_gemm::{Accum, Context, MatMut, MatRef, Scratch};
    /// use mixfold_mix::{Axes, AxisLinear, MixError, Norm, Side};
    ///
    /// # fn main() -> Result<(), MixError> {
    /// let (batch, tokens, channels) = (2, 3, 4);
    /// let (weight, ones) = ([0.0; 9], [1.0; 4]);
    /// let ctx = Context::new();
    /// let gate = AxisLinear::new(MatRef::row_major(&weight, tokens, tokens)?)
    ///     .bias(&[5.0; 3])?
    ///     .norm(Norm::layer_inner(&ones, &ones, 1e-5))?
    ///     .pack(ctx.isa(), Side::Left)?;
    ///
    /// let mut hidden = vec![2.0; batch * tokens * 2 * channels];
    /// let halves = MatMut::row_major(&mut hidden, batch * tokens, 2 * channels)?;
    /// let (u, v) = halves.split_cols(channels);
    /// let axes = Axes { outer: batch, axis: tokens, inner: channels };
    /// gate.apply_views(v.as_ref(), u, Accum::Multiply, axes, &ctx, &mut Scratch::new())?;
    /// assert_eq!(hidden[..8], [10.0, 10.0, 10.0, 10.0, 2.0, 2.0, 2.0, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If shapes, strides, side or instruction set do not agree; if an operator with a residual
    /// connection is to do anything but replace `y`; if an operator with groups on the right has rows
    /// that do not follow each other.
    pub fn apply_views(
        &self,
        x: MatRef<'_, f32>,
        y: MatMut<'_, f32>,
        accum: Accum<'_, f32>,
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.run_views(Call { x: Some(x), y, accum, gate: None, axes }, ctx, scratch)
    }

    /// Compares the matrices with the operator, and applies it.
    fn run_views(
        &self,
        call: Call<'_>,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (axes, after) = (call.axes, call.axes.with_axis(self.out()));
        axes.elements()?;
        after.elements()?;
        self.check(axes, ctx)?;
        let adjacent =
            [call.x.map(|x| ("input", x, axes)), Some(("output", call.y.as_ref(), after))];
        let residual = match call.accum {
            Accum::Onto(residual) => Some(("residual", residual, after)),
            Accum::Replace | Accum::Add | Accum::Multiply => None,
        };
        for (what, matrix, axes) in adjacent.into_iter().chain([residual]).flatten() {
            let (expected, found) = (self.shape(axes), (matrix.rows(), matrix.cols()));
            if expected != found {
                return Err(GemmError::Shape { what, expected, found }.into());
            }
        }
        for (what, matrix, _) in adjacent.into_iter().flatten() {
            let col_stride = matrix.col_stride();
            if col_stride != 1 {
                return Err(MixError::Columns { what, col_stride });
            }
        }
        self.run(call, ctx, scratch)
    }
}

impl Gated<'_> {
    /// As [`AxisOp::apply_views`].
    ///
    /// # Errors
    /// As [`AxisOp::apply_views`], and if the gate does not have one element for each outer index, or
    /// the operator has a scale.
    pub fn apply_views(
        &self,
        x: MatRef<'_, f32>,
        y: MatMut<'_, f32>,
        accum: Accum<'_, f32>,
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let gate = Some(self.gate);
        self.op.run_views(Call { x: Some(x), y, accum, gate, axes }, ctx, scratch)
    }
}
