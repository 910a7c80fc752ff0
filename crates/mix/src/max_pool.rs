//! Max pooling in two dimensions.

use mixfold_gemm::{Context, MatMut, Scratch, ScratchLen, par_rows};
use mixfold_simd::{Kernel, Simd, Vector};

use crate::taps::{Sizes, Taps, positive, with_every};
use crate::{Axes, MixError};

/// Max pooling in two dimensions: pixel (`r`, `s`) of plane `p` of the output is
///
/// `y[p, r, s] = max x[p, r·stride.0 + u − padding.0, s·stride.1 + v − padding.1]`
///
/// over `u < kernel.0` and `v < kernel.1`, where they are inside of the image: the padding counts as
/// −∞. Pairs are `(vertical, horizontal)`.
///
/// * The result is one of the pixels; only for an image without pixels it is −∞.
/// * NaN if a pixel of the window is NaN, as in PyTorch.
/// * Where the largest are zeros of both signs, the first of them, column by column: that of the
///   leftmost column, and the topmost there.
/// * Same bits for any number of threads and instruction set, except the payload of a NaN.
///
/// Input is `[planes, height, width]`, output `[planes, out height, out width]`, both contiguous; the
/// planes are the channels of all images. A side of length L becomes
/// `(L + 2·padding − kernel) / stride + 1`, rounded down.
///
/// # Example
/// ```
/// use mixfold_gemm::{Context, Scratch};
/// use mixfold_mix::MaxPool2d;
///
/// # fn main() -> Result<(), mixfold_mix::MixError> {
/// // That of ResNet: windows of 3 x 3, at half of the height and width.
/// let pool = MaxPool2d::new((3, 3))?.stride((2, 2))?.padding((1, 1))?;
/// let (planes, image) = (2, (4, 6));
/// assert_eq!(pool.output(image)?, (2, 3));
///
/// let x: Vec<f32> = (0..2 * 4 * 6).map(|i| i as f32).collect();
/// let mut y = [0.0; 2 * 2 * 3];
/// let ctx = Context::new();
/// let mut scratch = Scratch::with_len(pool.scratch_len(planes, image, &ctx)?)?;
/// pool.apply(&x, &mut y, planes, image, &ctx, &mut scratch)?;
/// assert_eq!(y[..6], [7.0, 9.0, 11.0, 19.0, 21.0, 23.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    rows: Taps,
    cols: Taps,
}

impl MaxPool2d {
    /// With windows of `(height, width)` that follow each other: the stride is the kernel. Without
    /// padding.
    ///
    /// # Errors
    /// [`MixError::Step`] if a side of the kernel is 0.
    pub fn new(kernel: (usize, usize)) -> Result<Self, MixError> {
        let (height, width) = positive("kernel", kernel)?;
        let taps = |kernel| Taps { kernel, stride: kernel, padding: 0, dilation: 1 };
        Ok(MaxPool2d { rows: taps(height), cols: taps(width) })
    }

    /// With a distance between the pixels of neighbouring outputs.
    ///
    /// # Errors
    /// [`MixError::Step`] if it is 0 in a direction.
    pub fn stride(mut self, stride: (usize, usize)) -> Result<Self, MixError> {
        (self.rows.stride, self.cols.stride) = positive("stride", stride)?;
        Ok(self)
    }

    /// With so many pixels of −∞ on each side of the image: `.0` above and below, `.1` left and right.
    ///
    /// # Errors
    /// [`MixError::Padding`] if it is more than half of the kernel in a direction.
    pub fn padding(mut self, padding: (usize, usize)) -> Result<Self, MixError> {
        let kernel = (self.rows.kernel, self.cols.kernel);
        if padding.0 > kernel.0 / 2 || padding.1 > kernel.1 / 2 {
            return Err(MixError::Padding { padding, kernel });
        }
        (self.rows.padding, self.cols.padding) = padding;
        Ok(self)
    }

    /// Height and width of what becomes of an `image` of `(height, width)`.
    ///
    /// # Errors
    /// [`MixError::Reach`] if the image with its padding is smaller than the kernel,
    /// [`MixError::Overflow`] if it is too large.
    pub fn output(&self, image: (usize, usize)) -> Result<(usize, usize), MixError> {
        Sizes::new(self.rows, self.cols, image).map(|sizes| sizes.output)
    }

    /// Sizes of an image and its output, and elements of all planes of both.
    fn shapes(
        &self,
        planes: usize,
        image: (usize, usize),
    ) -> Result<(Sizes, Axes, Axes), MixError> {
        let sizes = Sizes::new(self.rows, self.cols, image)?;
        let shape = |(axis, inner)| Axes { outer: planes, axis, inner };
        let (x, y) = (shape(image), shape(sizes.output));
        x.elements()?;
        y.elements()?;
        Ok((sizes, x, y))
    }

    /// Planes of a task, and the memory of all tasks.
    fn cut(&self, planes: usize, image: (usize, usize), ctx: &Context) -> (usize, ScratchLen) {
        let workers = ctx.workers().min(planes);
        let task = planes.div_ceil(workers.saturating_mul(TASKS).max(1)).max(1);
        // Vectors reach beyond the last column.
        let each = self.cols.padded(image.1).saturating_add(MAX_LANES);
        (task, ScratchLen { shared: 0, each, workers })
    }

    /// Memory for [`apply`](Self::apply), so that it allocates nothing.
    ///
    /// # Errors
    /// As [`output`](Self::output), and if a shape does not fit the address space.
    pub fn scratch_len(
        &self,
        planes: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<ScratchLen, MixError> {
        self.shapes(planes, image)?;
        Ok(self.cut(planes, image, ctx).1)
    }

    /// `y = pool(x)` for so many planes of `(height, width)`, on the threads of the context.
    ///
    /// # Errors
    /// As [`scratch_len`](Self::scratch_len), and if `x` or `y` does not have the length of its shape.
    pub fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        planes: usize,
        image: (usize, usize),
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (sizes, x_shape, y_shape) = self.shapes(planes, image)?;
        x_shape.check("input", x.len())?;
        y_shape.check("output", y.len())?;
        if x.is_empty() {
            y.fill(f32::NEG_INFINITY);
            return Ok(());
        }
        let pixels = image.0 * image.1;
        let (task, len) = self.cut(planes, image, ctx);
        let (_, workers) = scratch.take(len)?;
        let y = MatMut::row_major(y, planes, sizes.pixels())?;
        par_rows(ctx.pool(), y, task, workers, |line, at, block| {
            let x = &x[at.row * pixels..][..block.rows() * pixels];
            let y = block.into_slice().unwrap_or_default();
            ctx.isa().run(Planes { pool: self, sizes, x, y, line: &mut line[..len.each] });
        })?;
        Ok(())
    }
}

/// Tasks of each worker, for when others are late.
const TASKS: usize = 4;

const MAX_LANES: usize = <<mixfold_simd::Portable as Simd>::F32 as Vector<_, _>>::MAX_LANES;

/// The planes of a task.
struct Planes<'a> {
    pool: &'a MaxPool2d,
    sizes: Sizes,
    x: &'a [f32],
    y: &'a mut [f32],
    /// A row of the image with its padding, and what vectors reach beyond.
    line: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Planes { pool: &MaxPool2d { rows, cols }, sizes, x, y, line } = self;
        let ((height, width), out_width) = (sizes.image, sizes.output.1);
        let planes = x.chunks_exact(height * width).zip(y.chunks_exact_mut(sizes.pixels()));
        for (x, y) in planes {
            for (r, y) in y.chunks_exact_mut(out_width).enumerate() {
                let top = r * rows.stride;
                let under = top.saturating_sub(rows.padding)
                    ..(top + rows.kernel).saturating_sub(rows.padding).min(height);
                let (before, rest) = line.split_at_mut(cols.padding);
                let (inside, behind) = rest.split_at_mut(width);
                before.fill(f32::NEG_INFINITY);
                behind.fill(f32::NEG_INFINITY);
                down(s, &x[under.start * width..under.end * width], inside);
                along(s, line, (out_width - 1) * cols.stride + 1, cols.kernel);
                match cols.stride {
                    1 => y.copy_from_slice(&line[..out_width]),
                    2 => with_every(2, line, y, |y, max| *y = max),
                    stride => with_every(stride, line, y, |y, max| *y = max),
                }
            }
        }
    }
}

/// The maxima of each column of rows as long as `max`, of which there is one at least.
#[inline(always)]
fn down<S: Simd>(s: S, rows: &[f32], max: &mut [f32]) {
    let (width, lanes) = (max.len(), S::F32::LANES);
    for from in (0..width).step_by(lanes) {
        // The last vector covers some columns once more.
        let from = from.min(width.saturating_sub(lanes));
        let mut column = S::F32::from_slice(s, &rows[from..]);
        for row in rows.chunks_exact(width).skip(1) {
            column = column.max_or_nan(S::F32::from_slice(s, &row[from..]));
        }
        column.write_to(&mut max[from..]);
    }
}

/// Replaces the first `windows` elements of a line by the maxima of as many as the kernel has, from
/// there on. Behind the last element that a window covers there are as many as a vector has.
#[inline(always)]
fn along<S: Simd>(s: S, line: &mut [f32], windows: usize, kernel: usize) {
    // Elements are maxima of `reach` from there on; two such windows make one of up to twice the reach.
    let mut reach = 1;
    while reach < kernel {
        let shift = reach.min(kernel - reach);
        reach += shift;
        for from in (0..windows + (kernel - reach)).step_by(S::F32::LANES) {
            let first = S::F32::from_slice(s, &line[from..]);
            let second = S::F32::from_slice(s, &line[from + shift..]);
            first.max_or_nan(second).write_to(&mut line[from..]);
        }
    }
}
