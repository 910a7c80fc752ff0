use mixfold_simd::moments::Of;
use mixfold_simd::{Isa, Kernel, Simd, Vector};

use crate::{Axes, MixError};

/// `y[o, i] = Σ x[o, a, i] / axis`, the mean over the mixed axis: global average pooling.
///
/// Where `inner` is 1, a mean is that of [`Moments`](mixfold_simd::moments::Moments). Elsewhere, each
/// sum goes in the order of the axis and is divided once; with u = 2⁻²⁴ its error is at most
/// axis·u·Σ|x|/axis to first order. The mean of no elements is NaN.
///
/// # Errors
/// If `x` or `y` does not have the length of its shape.
pub fn mean_axis(x: &[f32], y: &mut [f32], axes: Axes, isa: Isa) -> Result<(), MixError> {
    axes.check("input", x.len())?;
    axes.with_axis(1).check("output", y.len())?;
    if !y.is_empty() {
        isa.run(Mean { x, y, axes });
    }
    Ok(())
}

struct Mean<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    axes: Axes,
}

impl Kernel for Mean<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Axes { axis, inner, .. } = self.axes;
        if inner == 1 && axis > 0 {
            for (x, y) in self.x.chunks_exact(axis).zip(self.y) {
                *y = s.enter(Of(x)).mean;
            }
            return;
        }
        let count = S::F32::splat(s, axis as f32);
        for (o, y) in self.y.chunks_exact_mut(inner).enumerate() {
            let x = &self.x[o * axis * inner..][..axis * inner];
            for (i, y) in y.chunks_mut(S::F32::LANES).enumerate() {
                let mut sum = S::F32::splat(s, 0.0);
                for row in x.chunks_exact(inner) {
                    sum = sum + S::F32::from_slice(s, &row[i * S::F32::LANES..][..y.len()]);
                }
                (sum / count).write_to(y);
            }
        }
    }
}
