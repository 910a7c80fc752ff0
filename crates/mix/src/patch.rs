//! Patch embedding: a convolution whose stride is its kernel.

use mixfold_gemm::{
    Accum, Bias, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedRhs, Packer,
    Scratch, ScratchLen, TilesMut, multiply, par_rows, sums_len, tiles_len,
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
/// In front of an image's patches there can be tokens that do not depend on it
/// ([`prefix`](Self::prefix)), and each patch can have a position that is added to it
/// ([`positions`](Self::positions)).
///
/// A product of matrices that gathers the patches while it packs them: there is no tensor of
/// patches. Accuracy and determinism are those of [`mixfold_gemm::gemm`].
///
/// # Example
/// ```
/// use mixfold_gemm::{Context, MatRef, Scratch};
/// use mixfold_mix::PatchEmbed;
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// // A class token in front of the two patches of 1 x 2 pixels of an image of 1 x 4.
/// let (weight, ctx) = (MatRef::row_major(&[1.0, 1.0], 1, 2)?, Context::new());
/// let embed = PatchEmbed::pack(ctx.isa(), weight, &[0.5], 1, (1, 2))?
///     .prefix(&[7.0])?
///     .positions(&[10.0, 20.0])?;
///
/// let (batch, image) = (1, (1, 4));
/// assert_eq!(embed.tokens(image)?, 3);
/// let mut y = [0.0; 3];
/// let mut scratch = Scratch::with_len(embed.scratch_len(batch, image, &ctx)?)?;
/// embed.apply(&[1.0, 2.0, 3.0, 4.0], &mut y, batch, image, &ctx, &mut scratch)?;
/// assert_eq!(y, [7.0, 3.5 + 10.0, 7.5 + 20.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PatchEmbed {
    isa: Isa,
    weight: PackedRhs<f32>,
    bias: Vec<f32>,
    channels: usize,
    patch: (usize, usize),
    /// `[count, out]`
    prefix: Vec<f32>,
    /// `[patches, out]`
    positions: Option<Vec<f32>>,
}

impl PatchEmbed {
    /// With a `weight` of `[out, channels · height · width]` (a convolution's `[out, channels, height,
    /// width]`), a bias of `out` elements, and patches of `(height, width)`. Packed for one instruction
    /// set, on its threads if `packer` is a [`Context`](mixfold_gemm::Context).
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn pack<'p>(
        packer: impl Into<Packer<'p>>,
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
        let packer = packer.into();
        let (isa, weight) = (packer.isa(), PackedRhs::pack(packer, weight.transpose())?);
        let bias = bias.to_vec();
        Ok(PatchEmbed { isa, weight, bias, channels, patch, prefix: Vec::new(), positions: None })
    }

    /// With the tokens `[count, out]` in front of each image's patches, copied as they are: a class
    /// token, say, to which its position has been added.
    ///
    /// # Errors
    /// [`MixError::Rows`] if they are not whole tokens.
    pub fn prefix(self, tokens: &[f32]) -> Result<Self, MixError> {
        self.check_rows("prefix", tokens)?;
        Ok(PatchEmbed { prefix: tokens.to_vec(), ..self })
    }

    /// With `values` of `[patches, out]` that are added to the patches of each image, behind the
    /// bias: the sum is rounded as (product + bias) + position. Images must have as many patches.
    ///
    /// # Errors
    /// [`MixError::Rows`] if they are not whole tokens.
    pub fn positions(self, values: &[f32]) -> Result<Self, MixError> {
        self.check_rows("positions", values)?;
        Ok(PatchEmbed { positions: Some(values.to_vec()), ..self })
    }

    /// That there are values for some tokens, each as a whole.
    fn check_rows(&self, what: &'static str, values: &[f32]) -> Result<(), MixError> {
        let (columns, found) = (self.weight.cols(), values.len());
        if found.is_multiple_of(columns) {
            Ok(())
        } else {
            Err(MixError::Rows { what, columns, found })
        }
    }

    /// Number of tokens of an image of `(height, width)`: those of the prefix and its patches.
    ///
    /// # Errors
    /// [`MixError::Patches`] if patches do not fill it, [`MixError::Parameter`] if there are
    /// positions for another number of patches, [`MixError::Overflow`] if there are too many tokens.
    pub fn tokens(&self, image: (usize, usize)) -> Result<usize, MixError> {
        let patches = self.patches(image)?;
        let axes = Axes { outer: 1, axis: patches, inner: self.weight.cols() };
        if let Some(positions) = &self.positions {
            let (expected, found) = (axes.elements()?, positions.len());
            if expected != found {
                return Err(MixError::Parameter { what: "positions", expected, found });
            }
        }
        self.ahead().checked_add(patches).ok_or(MixError::Overflow { axes })
    }

    /// Tokens of the prefix.
    fn ahead(&self) -> usize {
        self.prefix.len() / self.weight.cols().max(1)
    }

    /// Number of patches of an image.
    fn patches(&self, image: (usize, usize)) -> Result<usize, MixError> {
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
    /// If patches do not fill the image or are not as many as the positions, the shape does not fit
    /// the address space, or the weights were packed for another instruction set than the context's.
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
    /// If patches do not fill the image or are not as many as the positions, or `x` or `y` does not
    /// have the length of its shape, or the weights were packed for another instruction set than the
    /// context's.
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
            self.task(pixels, y_shape.axis, at.row, block, parts.carve(memory))
                .expect("shapes have been compared");
        })?;
        Ok(())
    }

    /// Computes the tokens from number `first` on, where an image has `tokens`.
    fn task(
        &self,
        pixels: Pixels<'_>,
        tokens: usize,
        first: usize,
        mut block: MatMut<'_, f32>,
        mut memory: Memory<'_>,
    ) -> Result<(), GemmError> {
        let (ahead, out) = (self.ahead(), self.weight.cols());
        if ahead == 0 && self.positions.is_none() {
            return self.product(pixels, first, block, Accum::Replace, &mut memory);
        }
        let positions = self.positions.as_deref();
        let positions =
            positions.map(|values| MatRef::row_major(values, tokens - ahead, out)).transpose()?;
        let mut token = first;
        while block.rows() > 0 {
            // What the task has of an image's prefix, or of its patches.
            let (image, at) = (token / tokens, token % tokens);
            let end = if at < ahead { ahead } else { tokens };
            let (part, rest) = block.split_rows(end - at);
            let rows = part.rows();
            if at < ahead {
                let prefix = &self.prefix[at * out..][..rows * out];
                part.into_slice().unwrap_or_default().copy_from_slice(prefix);
            } else {
                let at = at - ahead;
                let accum = match positions {
                    Some(positions) => Accum::Onto(positions.rows_at(at, rows)?),
                    None => Accum::Replace,
                };
                let patch = image * (tokens - ahead) + at;
                self.product(pixels, patch, part, accum, &mut memory)?;
            }
            block = rest;
            token += rows;
        }
        Ok(())
    }

    /// Embeds the patches from number `first` on among those of all images.
    fn product(
        &self,
        pixels: Pixels<'_>,
        first: usize,
        block: MatMut<'_, f32>,
        accum: Accum<'_, f32>,
        memory: &mut Memory<'_>,
    ) -> Result<(), GemmError> {
        let weight = self.weight.as_panels();
        let mut patches = TilesMut::new(self.isa, memory.input, block.rows(), weight.k())?;
        patches.gather(|row, from, values| pixels.gather(first + row, from, values));
        let epilogue = Epilogue { bias: Bias::PerColumn(&self.bias), ..Epilogue::NONE };
        let out = Out::Matrix(block, accum);
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
    fn gather(&self, patch: usize, mut from: usize, mut values: &mut [f32]) {
        let ((height, width), (ph, pw)) = (self.image, self.patch);
        let (down, across) = (height / ph, width / pw);
        let (n, at) = (patch / (down * across), patch % (down * across));
        let (top, left) = (at / across * ph, at % across * pw);
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
