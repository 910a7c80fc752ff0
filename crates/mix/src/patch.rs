//! Patch embedding: a convolution whose stride is its kernel.

use mixfold_gemm::{
    Accum, Bias, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedRhs, Scratch,
    ScratchLen, TilesMut, multiply, par_rows, sums_len, tiles_len,
};
use mixfold_simd::Isa;

use crate::task::{Cut, Memory, Parts, rows_of_task};
use crate::{Axes, MixError};

/// Cuts images into patches and maps each one to a token (Dosovitskiy et al., 2021): a convolution
/// with kernel and stride `(height, width)` and no padding,
/// `y[n, t, c] = b[c] + Σ w[c, i, u, v] · x[n, i, row(t)·height + u, col(t)·width + v]`,
/// from `[batch, channels, image height, image width]` to `[batch, tokens, out]` with the tokens in
/// raster order.
///
/// A product of matrices that gathers the patches while it packs them: there is no tensor of
/// patches. Accuracy and determinism are those of [`mixfold_gemm::gemm`].
#[derive(Debug)]
pub struct PatchEmbed {
    isa: Isa,
    weight: PackedRhs<f32>,
    bias: Vec<f32>,
    channels: usize,
    patch: (usize, usize),
}

impl PatchEmbed {
    /// With a `weight` of `[out, channels · height · width]` (a convolution's `[out, channels, height,
    /// width]`), a bias of `out` elements, and patches of `(height, width)`.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn pack(
        isa: Isa,
        weight: MatRef<'_, f32>,
        bias: &[f32],
        channels: usize,
        patch: (usize, usize),
    ) -> Result<Self, MixError> {
        let axes = Axes { outer: channels, axis: patch.0, inner: patch.1 };
        let (expected, found) = (axes.elements()?, weight.cols());
        if expected != found {
            return Err(MixError::Parameter { what: "row of the patch weight", expected, found });
        }
        if bias.len() != weight.rows() {
            let (expected, found) = (weight.rows(), bias.len());
            return Err(MixError::Parameter { what: "bias", expected, found });
        }
        let weight = PackedRhs::pack(isa, weight.transpose())?;
        Ok(PatchEmbed { isa, weight, bias: bias.to_vec(), channels, patch })
    }

    /// Number of tokens of an image of `(height, width)`.
    ///
    /// # Errors
    /// [`MixError::Patches`] if patches do not fill it, [`MixError::Overflow`] if there are too many.
    pub fn tokens(&self, image: (usize, usize)) -> Result<usize, MixError> {
        let whole = |image: usize, patch: usize| patch > 0 && image.is_multiple_of(patch);
        if !whole(image.0, self.patch.0) || !whole(image.1, self.patch.1) {
            return Err(MixError::Patches { image, patch: self.patch });
        }
        let (down, across) = (image.0 / self.patch.0, image.1 / self.patch.1);
        Axes { outer: 1, axis: down, inner: across }.elements()
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.weight.bytes()
    }

    /// Shapes of input and output.
    fn shapes(
        &self,
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<(Axes, Axes), MixError> {
        if self.isa != ctx.isa() {
            return Err(MixError::Isa { packed: self.isa.name(), wanted: ctx.isa().name() });
        }
        let tokens = self.tokens(image)?;
        let pixels = Axes { outer: 1, axis: image.0, inner: image.1 }.elements()?;
        let x = Axes { outer: batch, axis: self.channels, inner: pixels };
        let y = Axes { outer: batch, axis: tokens, inner: self.weight.cols() };
        x.elements()?;
        y.elements()?;
        Ok((x, y))
    }

    /// Tasks of some tokens each.
    fn cut(&self, y: Axes, ctx: &Context) -> Result<Cut, MixError> {
        let (k, tokens) = (self.weight.as_panels().k(), y.outer * y.axis);
        let rows = rows_of_task(tokens, ctx.workers());
        let sums = sums_len(KernelId::of::<f32>(ctx.isa()), rows, k, y.inner)?;
        let parts = Parts { input: tiles_len(rows, k)?, sums, ..Parts::default() };
        Ok(Cut::new(rows, tokens.div_ceil(rows), 0, parts, ctx))
    }

    /// Memory for [`apply`](Self::apply), so that it allocates nothing.
    ///
    /// # Errors
    /// If patches do not fill the image, the shape does not fit the address space, or the weights
    /// were packed for another instruction set than the context's.
    pub fn scratch_len(
        &self,
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<ScratchLen, MixError> {
        let (_, y) = self.shapes(batch, image, ctx)?;
        self.cut(y, ctx).map(|cut| cut.scratch)
    }

    /// Embeds `batch` images of `(height, width)`.
    ///
    /// # Errors
    /// If patches do not fill the image, or `x` or `y` does not have the length of its shape, or the
    /// weights were packed for another instruction set than the context's.
    pub fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (x_shape, y_shape) = self.shapes(batch, image, ctx)?;
        x_shape.check("input", x.len())?;
        y_shape.check("output", y.len())?;
        let Cut { size: rows, parts, scratch: len } = self.cut(y_shape, ctx)?;
        let (_, workers) = scratch.take(len)?;
        let y = MatMut::row_major(y, batch * y_shape.axis, y_shape.inner)?;
        let pixels = Pixels { x, channels: self.channels, image, patch: self.patch };
        par_rows(ctx.pool(), y, rows, workers, |memory, at, block| {
            self.task(pixels, at.row, block, parts.carve(memory))
                .expect("shapes have been compared");
        })?;
        Ok(())
    }

    /// Computes the tokens from number `first` on.
    fn task(
        &self,
        pixels: Pixels<'_>,
        first: usize,
        block: MatMut<'_, f32>,
        memory: Memory<'_>,
    ) -> Result<(), GemmError> {
        let weight = self.weight.as_panels();
        let mut patches = TilesMut::new(self.isa, memory.input, block.rows(), weight.k())?;
        patches.gather(|row, from, values| pixels.gather(first + row, from, values));
        let epilogue = Epilogue { bias: Bias::PerColumn(&self.bias), ..Epilogue::NONE };
        let out = Out::Matrix(block, Accum::Replace);
        multiply(self.isa, patches.as_ref(), weight, &epilogue, out, memory.sums)
    }
}

#[derive(Clone, Copy)]
struct Pixels<'a> {
    x: &'a [f32],
    channels: usize,
    image: (usize, usize),
    patch: (usize, usize),
}

impl Pixels<'_> {
    /// Copies values of a patch, from number `from` on in the order (channel, row, column).
    fn gather(&self, token: usize, mut from: usize, mut values: &mut [f32]) {
        let ((height, width), (ph, pw)) = (self.image, self.patch);
        let (down, across) = (height / ph, width / pw);
        let (n, t) = (token / (down * across), token % (down * across));
        let (top, left) = (t / across * ph, t % across * pw);
        while !values.is_empty() {
            let (channel, row, col) = (from / (ph * pw), from / pw % ph, from % pw);
            let run = (pw - col).min(values.len());
            let line = (n * self.channels + channel) * height + top + row;
            let (head, tail) = values.split_at_mut(run);
            head.copy_from_slice(&self.x[line * width + left + col..][..run]);
            values = tail;
            from += run;
        }
    }
}
