//! A convolution, ready to run.
//!
//! The weights of a group stand on the left of a product, the pixels under the kernel on the right.
//! A task takes some pixels of the output of one group of channels, gathers what the kernel sees
//! from there, as columns, and multiplies. Where the weights of a group do not fit the second level
//! cache, both come in chunks of channels, of which the sums are kept.

use mixfold_gemm::{
    Accum, Activation, Bias, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out,
    PackedLhs, Packer, PanelsMut, PartialSums, Scratch, ScratchLen, carve, multiply, padded,
    panels_len, par_blocks, sums_len,
};
use mixfold_simd::Isa;

use super::direct;
use super::pixels::Pixels;
use super::stencil::Stencil;
use crate::taps::Sizes;
use crate::{Axes, MixError};

/// Elements of a chunk of the weights, about: they stay in the second level cache while the pixels of
/// a task pass by.
const WEIGHTS: usize = 200_000;
/// Elements of a task's pixels and sums, about.
const TASK: usize = 200_000;
/// Rows of pixels of a chunk, at most, where a channel has not more; an eighth of it at least.
const DEPTH: usize = 1024;

/// A [`Conv2d`](super::Conv2d) with its weights packed.
///
/// It is immutable and can be shared by threads. There is no tensor of the pixels under the kernel:
/// they are gathered while they are packed, and used while they are in the cache. A convolution with
/// a kernel of 1×1, stride 1 and no padding reads its input as it is.
///
/// * Accuracy: that of [`mixfold_gemm::gemm`] with `k = channels / groups · height · width` of the
///   kernel; zeros outside of the image count as terms.
/// * Same bits for any number of threads, position in the batch and, among fused instruction sets,
///   instruction set.
/// * A NaN or infinity in the input stays in the outputs whose kernel covers it. One in the weights
///   gives NaN where it meets the zeros outside of the image.
#[derive(Debug)]
pub struct Conv2dOp {
    isa: Isa,
    stencil: Stencil,
    groups: usize,
    /// Channels of a group, before and after.
    channels: usize,
    out: usize,
    /// Channels of a chunk, the last one of a group excepted.
    step: usize,
    weights: Weights,
    bias: Vec<f32>,
    /// Behind the bias, and of the sum.
    activations: (Activation, Option<Activation>),
}

#[derive(Debug)]
enum Weights {
    /// Chunks of each group, group after group.
    Chunks(Vec<PackedLhs<f32>>),
    /// The taps of each group, where it has one channel before and one after.
    Taps(Vec<f32>),
}

/// How an output is cut into tasks, and which memory they need.
struct Cut {
    /// Groups of a task; more than 1 if it takes all pixels.
    groups: usize,
    /// Pixels of a task.
    width: usize,
    window: usize,
    panels: usize,
    sums: usize,
    scratch: ScratchLen,
}

impl Conv2dOp {
    pub(super) fn new(
        packer: Packer<'_>,
        weight: MatRef<'_, f32>,
        groups: usize,
        stencil: Stencil,
        bias: Vec<f32>,
        activations: (Activation, Option<Activation>),
    ) -> Result<Self, MixError> {
        let taps = stencil.taps();
        let (channels, out) = (weight.cols() / taps, weight.rows() / groups);
        Axes { outer: groups, axis: channels, inner: taps }.elements()?;
        // As many chunks as are needed, of nearly equal size.
        let depth = (WEIGHTS / out.max(1)).clamp(DEPTH / 8, DEPTH);
        let most = (depth / taps).max(1);
        let step = channels.div_ceil(channels.div_ceil(most).max(1)).max(1);
        let mut chunks = Vec::new();
        for row in (0..weight.rows()).step_by(out.max(1)) {
            for first in (0..channels).step_by(step) {
                let columns = step.min(channels - first) * taps;
                chunks.push(weight.block(row, first * taps, out, columns)?);
            }
        }
        let rows = || (0..groups).map_while(|row| weight.row(row));
        let isa = packer.isa();
        let weights = if (channels, out) == (1, 1) && rows().count() == groups {
            Weights::Taps(rows().flatten().copied().collect())
        } else {
            Weights::Chunks(PackedLhs::pack_all(packer, &chunks)?)
        };
        Ok(Conv2dOp { isa, stencil, groups, channels, out, step, weights, bias, activations })
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        self.groups * self.channels
    }

    /// Channels of the output.
    pub fn out(&self) -> usize {
        self.groups * self.out
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Chunks(chunks) => chunks.iter().map(PackedLhs::bytes).sum(),
            Weights::Taps(taps) => size_of_val(&taps[..]),
        }
    }

    /// Height and width of what becomes of an `image` of `(height, width)`.
    ///
    /// # Errors
    /// [`MixError::Reach`] if the image with its padding is smaller than the kernel,
    /// [`MixError::Overflow`] if it is too large.
    pub fn output(&self, image: (usize, usize)) -> Result<(usize, usize), MixError> {
        self.stencil.sizes(image).map(|sizes| sizes.output)
    }

    /// Sizes of the images, and shapes of input and output.
    fn shapes(
        &self,
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<(Sizes, Axes, Axes), MixError> {
        if self.isa != ctx.isa() {
            return Err(MixError::Isa { packed: self.isa.name(), wanted: ctx.isa().name() });
        }
        let sizes = self.stencil.sizes(image)?;
        let pixels = |(axis, inner)| Axes { outer: 1, axis, inner }.elements();
        let x = Axes { outer: batch, axis: self.channels(), inner: pixels(image)? };
        let y = Axes { outer: batch, axis: self.out(), inner: pixels(sizes.output)? };
        x.elements()?;
        y.elements()?;
        Ok((sizes, x, y))
    }

    fn cut(&self, sizes: Sizes, batch: usize, ctx: &Context) -> Result<Cut, MixError> {
        let kernel = KernelId::of::<f32>(ctx.isa());
        let (taps, pixels) = (self.stencil.taps(), sizes.pixels());
        let instances = batch.saturating_mul(self.groups);
        let depth = self.step.min(self.channels) * taps;
        let most = (TASK / (depth + self.out).max(1)).max(1);
        // Tasks enough for all workers, if there are as many pixels.
        let across = ctx.workers().div_ceil(instances.max(1)).max(pixels.div_ceil(most));
        let width = pixels.div_ceil(across).max(1).next_multiple_of(kernel.cols);
        let groups = (most / pixels).clamp(1, instances.div_ceil(ctx.workers()).max(1));
        let tasks = instances.div_ceil(groups).saturating_mul(pixels.div_ceil(width));

        let outputs = width.min(pixels);
        let window = self.stencil.window_len(sizes, outputs)?;
        let (panels, sums) = match (&self.weights, self.chunks()) {
            (Weights::Taps(_), _) => (0, outputs),
            (_, 1) => {
                (panels_len(kernel, depth, width)?, sums_len(kernel, self.out, depth, width)?)
            }
            _ => (panels_len(kernel, depth, width)?, panels_len(kernel, self.out, width)?),
        };
        let each = [window, panels, sums]
            .into_iter()
            .fold(0, |sum: usize, part| sum.saturating_add(padded::<f32>(part)));
        let scratch = ScratchLen { shared: 0, each, workers: ctx.workers().min(tasks) };
        Ok(Cut { groups, width, window, panels, sums, scratch })
    }

    /// Chunks of the channels of a group.
    fn chunks(&self) -> usize {
        self.channels.div_ceil(self.step)
    }

    /// Memory for [`apply`](Self::apply) and [`apply_add`](Self::apply_add), so that they allocate
    /// nothing.
    ///
    /// # Errors
    /// If the image with its padding is smaller than the kernel, a shape or the memory does not fit
    /// the address space, or the weights were packed for another instruction set than the context's.
    pub fn scratch_len(
        &self,
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<ScratchLen, MixError> {
        let (sizes, ..) = self.shapes(batch, image, ctx)?;
        self.cut(sizes, batch, ctx).map(|cut| cut.scratch)
    }

    /// `y = conv(x)` for `batch` images of `(height, width)`.
    ///
    /// # Errors
    /// As [`scratch_len`](Self::scratch_len), and if `x` or `y` does not have the length of its shape,
    /// or there is an [activation of the sum](super::Conv2d::activation_of_sum).
    pub fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        if self.activations.1.is_some() {
            return Err(MixError::NoSum);
        }
        self.run(x, (y, Accum::Replace), batch, image, ctx, scratch)
    }

    /// `y += conv(x)`, with the activation before the addition: for a residual connection, and for
    /// branches that are summed up. With an
    /// [activation of the sum](super::Conv2d::activation_of_sum), `y = of_sum(y + conv(x))`.
    ///
    /// # Errors
    /// As [`scratch_len`](Self::scratch_len), and if `x` or `y` does not have the length of its shape.
    pub fn apply_add(
        &self,
        x: &[f32],
        y: &mut [f32],
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        self.run(x, (y, Accum::Add), batch, image, ctx, scratch)
    }

    fn run(
        &self,
        x: &[f32],
        (y, accum): (&mut [f32], Accum<'_, f32>),
        batch: usize,
        image: (usize, usize),
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (sizes, x_shape, y_shape) = self.shapes(batch, image, ctx)?;
        x_shape.check("input", x.len())?;
        y_shape.check("output", y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        let cut = self.cut(sizes, batch, ctx)?;
        let (_, workers) = scratch.take(cut.scratch)?;
        let y = MatMut::row_major(y, batch * y_shape.axis, y_shape.inner)?;
        par_blocks(
            ctx.pool(),
            y,
            (cut.groups * self.out, cut.width),
            workers,
            |memory, at, block| {
                let mut memory = &mut memory[..];
                let [window, panels, sums] =
                    [cut.window, cut.panels, cut.sums].map(|len| carve(&mut memory, len));
                let memory = Memory { window, panels, sums };
                self.task(sizes, x, (at.row / self.out, at.col), (block, accum), memory)
                    .expect("shapes have been compared");
            },
        )?;
        Ok(())
    }

    /// Computes a block of the output: pixels from `col` on, of whole groups from number `first` of
    /// the batch on.
    fn task(
        &self,
        sizes: Sizes,
        x: &[f32],
        (first, col): (usize, usize),
        (mut block, accum): (MatMut<'_, f32>, Accum<'_, f32>),
        Memory { window, panels, sums }: Memory<'_>,
    ) -> Result<(), GemmError> {
        let len = self.channels * sizes.image.0 * sizes.image.1;
        let mut pixels = Pixels::new(&self.stencil, sizes, (col, block.cols()), window);
        for group in first..first + block.rows() / self.out {
            let (part, rest) = block.split_rows(self.out);
            block = rest;
            let x = &x[group * len..][..len];
            match &self.weights {
                Weights::Chunks(chunks) => {
                    let out = Out::Matrix(part, accum);
                    let memory = (&mut *panels, &mut *sums);
                    self.group((chunks, group % self.groups), x, &mut pixels, out, memory)?;
                }
                Weights::Taps(taps) => {
                    let weights = (&taps[..], group % self.groups);
                    self.channel(weights, x, &mut pixels, (part, accum), sums);
                }
            }
        }
        Ok(())
    }

    /// Computes outputs of the only channel of a group from the only one before.
    fn channel(
        &self,
        (taps, group): (&[f32], usize),
        x: &[f32],
        pixels: &mut Pixels<'_>,
        (mut part, accum): (MatMut<'_, f32>, Accum<'_, f32>),
        sums: &mut [f32],
    ) {
        let len = self.stencil.taps();
        let weights = (&taps[group * len..][..len], self.bias[group]);
        let (activation, of_sum) = self.activations;
        let y = part.row_mut(0).unwrap_or_default();
        let seen = pixels.see(self.isa, x);
        if matches!(accum, Accum::Add) {
            let sums = &mut sums[..y.len()];
            direct::fill(self.isa, seen, weights, activation, sums);
            direct::add(self.isa, sums, y);
        } else {
            direct::fill(self.isa, seen, weights, activation, y);
        }
        direct::apply(self.isa, of_sum.unwrap_or_default(), y);
    }

    /// Computes outputs of one group from its channels.
    fn group(
        &self,
        (chunks, group): (&[PackedLhs<f32>], usize),
        x: &[f32],
        pixels: &mut Pixels<'_>,
        out: Out<'_, f32>,
        (panels, sums): (&mut [f32], &mut [f32]),
    ) -> Result<(), GemmError> {
        let bias = Bias::PerRow(&self.bias[group * self.out..][..self.out]);
        let (activation, of_sum) = self.activations;
        let last = of_sum.unwrap_or_default();
        let epilogue = Epilogue { bias, activation, last, ..Epilogue::NONE };
        let chunks = &chunks[group * self.chunks()..][..self.chunks()];
        let cols = pixels.cols();
        let (mut total, sums) = match chunks.len() {
            1 => (None, sums),
            _ => (Some(PartialSums::new(self.isa, sums, self.out, cols)?), &mut [][..]),
        };
        for (i, weight) in chunks.iter().enumerate() {
            let weight = weight.as_tiles();
            let mut packed = PanelsMut::new(self.isa, &mut *panels, weight.k(), cols)?;
            pixels.pack(self.isa, x, i * self.step, &mut packed)?;
            match &mut total {
                Some(total) => total.add(self.isa, weight, packed.as_ref())?,
                None => {
                    return multiply(self.isa, weight, packed.as_ref(), &epilogue, out, sums);
                }
            }
        }
        total.map_or(Ok(()), |total| total.finish(self.isa, &epilogue, out))
    }
}

/// A task's memory.
struct Memory<'a> {
    window: &'a mut [f32],
    panels: &'a mut [f32],
    sums: &'a mut [f32],
}
