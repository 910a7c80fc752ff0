//! Max pooling in two dimensions.

use mixfold_gemm::{Context, MatMut, par_rows};
use mixfold_simd::{Kernel, Simd};

use crate::taps::{Sizes, Taps, positive, with_every};
use crate::{Axes, MixError};

/// Max pooling in two dimensions: pixel (`r`, `s`) of plane `p` of the output is
///
/// `y[p, r, s] = max x[p, r·stride.0 + u − padding.0, s·stride.1 + v − padding.1]`
///
/// over `u < kernel.0` and `v < kernel.1`, where they are inside of the image: the padding counts as
/// −∞. Pairs are `(vertical, horizontal)`. NaN is larger than every number, as in PyTorch.
///
/// Input is `[planes, height, width]`, output `[planes, out height, out width]`, both contiguous; the
/// planes are the channels of all images. A side of length L becomes
/// `(L + 2·padding − kernel) / stride + 1`, rounded down.
///
/// # Example
/// ```
/// use mixfold_gemm::Context;
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
/// pool.apply(&x, &mut y, planes, image, &Context::new())?;
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

    /// `y = pool(x)` for so many planes of `(height, width)`, on the threads of the context.
    ///
    /// The result is one of the pixels, the first of the largest where zeros of both signs meet: the
    /// same bits for any number of threads and instruction set. Only for an image without pixels it is
    /// −∞.
    ///
    /// # Errors
    /// As [`output`](Self::output), and if `x` or `y` does not have the length of its shape.
    pub fn apply(
        &self,
        x: &[f32],
        y: &mut [f32],
        planes: usize,
        image: (usize, usize),
        ctx: &Context,
    ) -> Result<(), MixError> {
        let sizes = Sizes::new(self.rows, self.cols, image)?;
        let shape = |(axis, inner)| Axes { outer: planes, axis, inner };
        shape(image).elements()?;
        shape(sizes.output).elements()?;
        shape(image).check("input", x.len())?;
        shape(sizes.output).check("output", y.len())?;
        if x.is_empty() {
            y.fill(f32::NEG_INFINITY);
            return Ok(());
        }
        let pixels = image.0 * image.1;
        let y = MatMut::row_major(y, planes, sizes.pixels())?;
        let workers = ctx.workers().min(planes);
        let planes = planes.div_ceil(workers.saturating_mul(TASKS)).max(1);
        let mut workers = vec![(); workers];
        par_rows(ctx.pool(), y, planes, &mut workers, |(), at, block| {
            let x = &x[at.row * pixels..][..block.rows() * pixels];
            let y = block.into_slice().unwrap_or_default();
            ctx.isa().run(Planes { pool: self, sizes, x, y });
        })?;
        Ok(())
    }
}

/// Tasks of each worker, for when others are late.
const TASKS: usize = 4;

/// The planes of a task.
struct Planes<'a> {
    pool: &'a MaxPool2d,
    sizes: Sizes,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.pool.cols.stride {
            1 => self.with_stride::<1>(),
            2 => self.with_stride::<2>(),
            _ => self.with_stride::<0>(),
        }
    }
}

impl Planes<'_> {
    /// With a stride across the image that is known, or 0 if it is not.
    #[inline(always)]
    fn with_stride<const STRIDE: usize>(self) {
        let Planes { pool: &MaxPool2d { rows, mut cols }, sizes, x, y } = self;
        if STRIDE != 0 {
            cols.stride = STRIDE;
        }
        let ((height, width), out_width) = (sizes.image, sizes.output.1);
        for (i, line) in y.chunks_exact_mut(out_width).enumerate() {
            let (plane, r) = (i / sizes.output.0, i % sizes.output.0);
            let x = &x[plane * height * width..][..height * width];
            line.fill(f32::NEG_INFINITY);
            let top = r * rows.stride;
            let under = top.max(rows.padding)..(top + rows.kernel).min(rows.padding + height);
            for row in under {
                let x = &x[(row - rows.padding) * width..][..width];
                for tap in 0..cols.kernel {
                    let (inside, left) = cols.inside(tap, 0, out_width, width);
                    with_every(cols.stride, &x[left..], &mut line[inside], |max, x| {
                        if x > *max || x.is_nan() {
                            *max = x;
                        }
                    });
                }
            }
        }
    }
}
