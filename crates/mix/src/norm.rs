//! Norms, in front of an operator or alone.

use mixfold_gemm::{Broadcast, Context, MatMut, MatRef, Prologue, Scratch, ScratchLen, par_rows};
use mixfold_simd::moments::{Moments, Of};
use mixfold_simd::{Isa, Kernel, Simd, Vector};

use crate::{Axes, MixError};

/// A norm of a tensor `[outer, axis, inner]`: `y = (x − μ) / √(σ² + eps) · γ + β`, or an affine
/// `y = x · γ + β` without statistics.
///
/// Mean μ and biased variance σ² are those of [`Moments`], over the axis that the constructor names;
/// γ and β go along that same axis. `(x − μ) · (1/√(σ² + eps))` is rounded twice, then `· γ + β` once
/// on a fused instruction set.
#[derive(Clone, Debug)]
pub struct Norm {
    along: Along,
    /// None for an affine.
    eps: Option<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    Outer,
    Axis,
    Inner,
}

impl Norm {
    /// Layer norm (Ba, Kiros and Hinton, 2016) over the inner axis: in token mixing, each token over
    /// its channels.
    pub fn layer_inner(gamma: &[f32], beta: &[f32], eps: f32) -> Self {
        Norm::new(Along::Inner, Some(eps), gamma, beta)
    }

    /// Layer norm over the mixed axis: in channel mixing, each token over its channels; in FF-only's
    /// token mixing, each channel over the tokens.
    pub fn layer_axis(gamma: &[f32], beta: &[f32], eps: f32) -> Self {
        Norm::new(Along::Axis, Some(eps), gamma, beta)
    }

    /// `x · γ + β`, one γ and β for each place of the inner axis.
    pub fn affine_inner(gamma: &[f32], beta: &[f32]) -> Self {
        Norm::new(Along::Inner, None, gamma, beta)
    }

    /// `x · γ + β` with one γ and β for each outer index; they repeat, so that outer index o has those
    /// of o mod their number: of channels, where the outer axis is batch times channels.
    pub fn affine_outer(gamma: &[f32], beta: &[f32]) -> Self {
        Norm::new(Along::Outer, None, gamma, beta)
    }

    /// `x · γ + β`, one γ and β for each place of the mixed axis.
    pub fn affine_axis(gamma: &[f32], beta: &[f32]) -> Self {
        Norm::new(Along::Axis, None, gamma, beta)
    }

    fn new(along: Along, eps: Option<f32>, gamma: &[f32], beta: &[f32]) -> Self {
        Norm { along, eps, gamma: gamma.to_vec(), beta: beta.to_vec() }
    }

    pub(crate) fn along(&self) -> Along {
        self.along
    }

    /// eps, if the norm has statistics over the axis `along`.
    pub(crate) fn statistics(&self, along: Along) -> Option<f32> {
        self.eps.filter(|_| self.along == along)
    }

    /// Compares the lengths of γ and β with the axis that they go along, as far as it is known.
    pub(crate) fn check(&self, axis: usize, axes: Option<Axes>) -> Result<(), MixError> {
        let any = self.gamma.len();
        let expected = match self.along {
            Along::Outer => any,
            Along::Axis => axis,
            Along::Inner => axes.map_or(any, |axes| axes.inner),
        };
        for (what, values) in [("gamma", &self.gamma), ("beta", &self.beta)] {
            if values.len() != expected {
                return Err(MixError::Parameter { what, expected, found: values.len() });
            }
        }
        match axes {
            Some(Axes { outer, .. })
                if self.along == Along::Outer && outer > 0 && !outer.is_multiple_of(any) =>
            {
                Err(MixError::Period { what: "gamma", period: any, outer })
            }
            _ => Ok(()),
        }
    }

    /// γ and β of an outer index.
    pub(crate) fn of_outer(&self, index: usize) -> (f32, f32) {
        let i = index % self.gamma.len();
        (self.gamma[i], self.beta[i])
    }

    /// The norm as a prologue, with the statistics taken before and `len` of γ and β from `first` on.
    pub(crate) fn prologue<'a>(
        &'a self,
        (mean, rstd): (Broadcast<'a, f32>, Broadcast<'a, f32>),
        along: impl Fn(&'a [f32]) -> Broadcast<'a, f32>,
        (first, len): (usize, usize),
    ) -> Prologue<'a, f32> {
        let (gamma, beta) = self.parameters(first, len);
        let (center, scale) = match self.eps {
            Some(_) => (mean, rstd),
            None => (Broadcast::None, Broadcast::None),
        };
        Prologue { center, scale, gain: along(gamma), offset: along(beta) }
    }

    /// γ and β from `first` on, `len` of them.
    pub(crate) fn parameters(&self, first: usize, len: usize) -> (&[f32], &[f32]) {
        (&self.gamma[first..][..len], &self.beta[first..][..len])
    }

    /// How [`apply`](Self::apply) sees the tensor.
    fn matrix(&self, axes: Axes) -> Matrix {
        let Axes { outer, axis, inner } = axes;
        match (self.along, inner) {
            // An inner axis of length 1 leaves the mixed one adjacent.
            (Along::Axis, 1) => Matrix { along: Along::Inner, rows: outer, width: axis },
            (Along::Outer, _) => {
                Matrix { along: Along::Outer, rows: outer, width: axis.saturating_mul(inner) }
            }
            (along, _) => Matrix { along, rows: outer.saturating_mul(axis), width: inner },
        }
    }

    /// Memory for [`apply`](Self::apply), so that it allocates nothing.
    ///
    /// # Errors
    /// If γ and β do not have the length of their axis, or the shape does not fit the address space.
    pub fn scratch_len(&self, axes: Axes, ctx: &Context) -> Result<ScratchLen, MixError> {
        axes.elements()?;
        self.check(axes.axis, Some(axes))?;
        let Matrix { along, rows, width } = self.matrix(axes);
        let (each, tasks) = match along {
            Along::Axis => (width.saturating_mul(2), axes.outer),
            Along::Outer | Along::Inner => (0, rows),
        };
        Ok(ScratchLen { shared: 0, each, workers: ctx.workers().min(tasks) })
    }

    /// Normalises `x` in place.
    ///
    /// # Errors
    /// If γ and β do not have the length of their axis, or `x` not that of its shape.
    pub fn apply(
        &self,
        x: &mut [f32],
        axes: Axes,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        axes.check("input", x.len())?;
        let len = self.scratch_len(axes, ctx)?;
        if x.is_empty() {
            return Ok(());
        }
        let Matrix { along, rows, width } = self.matrix(axes);
        let matrix = MatMut::row_major(x, rows, width)?;
        let (_, workers) = scratch.take(len)?;
        let rows = match along {
            Along::Axis => axes.axis,
            Along::Outer | Along::Inner => rows.div_ceil(workers.len()),
        };
        par_rows(ctx.pool(), matrix, rows, workers, |memory, at, block| {
            let x = block.into_slice().unwrap_or_default();
            match along {
                Along::Outer => ctx.isa().run(Slabs { norm: self, x, width, first: at.row }),
                Along::Inner => ctx.isa().run(Rows { norm: self, x, width }),
                Along::Axis => {
                    let (mean, rstd) = memory[..2 * width].split_at_mut(width);
                    if let Some(eps) = self.eps {
                        let x = MatRef::row_major(x, axes.axis, width).expect("a whole image");
                        column_statistics(ctx.isa(), x, eps, mean, rstd);
                    }
                    ctx.isa().run(Columns { norm: self, x, mean, rstd });
                }
            }
        })?;
        Ok(())
    }
}

/// A tensor as a matrix of `rows` rows; γ and β go along the row, down ([`Along::Axis`]), or are one
/// for each row ([`Along::Outer`]).
struct Matrix {
    along: Along,
    rows: usize,
    width: usize,
}

/// Mean and 1/√(σ² + eps) of each column of a matrix whose columns are adjacent.
pub(crate) fn column_statistics(
    isa: Isa,
    x: MatRef<'_, f32>,
    eps: f32,
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    const GROUP: usize = 64;
    let mut moments = [Moments::default(); GROUP];
    let groups = mean.chunks_mut(GROUP).zip(rstd.chunks_mut(GROUP));
    for (group, (mean, rstd)) in groups.enumerate() {
        let moments = &mut moments[..mean.len()];
        Moments::of_columns(
            isa,
            x.rows(),
            |i| &x.row(i).unwrap_or_default()[group * GROUP..],
            moments,
        );
        for ((moments, mean), rstd) in moments.iter().zip(mean).zip(rstd) {
            (*mean, *rstd) = (moments.mean, moments.rstd(eps));
        }
    }
}

/// Mean and 1/√(σ² + eps) of each row of a matrix of adjacent rows.
pub(crate) fn row_statistics<'a>(
    isa: Isa,
    rows: impl Iterator<Item = &'a [f32]>,
    eps: f32,
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    for ((row, mean), rstd) in rows.zip(mean).zip(rstd) {
        let moments = Moments::of(isa, row);
        (*mean, *rstd) = (moments.mean, moments.rstd(eps));
    }
}

/// Scales each row of a matrix by its γ and adds its β; the first row is outer index `first`.
struct Slabs<'a> {
    norm: &'a Norm,
    x: &'a mut [f32],
    width: usize,
    first: usize,
}

impl Kernel for Slabs<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Slabs { norm, x, width, first } = self;
        for (i, row) in x.chunks_exact_mut(width).enumerate() {
            let (gamma, beta) = norm.of_outer(first + i);
            let (gamma, beta) = (S::F32::splat(s, gamma), S::F32::splat(s, beta));
            for x in row.chunks_mut(S::F32::LANES) {
                S::F32::from_slice(s, x).mul_add(gamma, beta).write_to(x);
            }
        }
    }
}

/// Normalises each row of a matrix; γ and β go along the row.
struct Rows<'a> {
    norm: &'a Norm,
    x: &'a mut [f32],
    width: usize,
}

impl Kernel for Rows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Rows { norm, x, width } = self;
        for row in x.chunks_exact_mut(width) {
            let (mean, rstd) = match norm.eps {
                Some(eps) => {
                    let moments = s.enter(Of(row));
                    (moments.mean, moments.rstd(eps))
                }
                None => (0.0, 1.0),
            };
            let (mean, rstd) = (S::F32::splat(s, mean), S::F32::splat(s, rstd));
            for (i, x) in row.chunks_mut(S::F32::LANES).enumerate() {
                let (gamma, beta) = norm.parameters(i * S::F32::LANES, x.len());
                let mut y = S::F32::from_slice(s, x);
                if norm.eps.is_some() {
                    y = (y - mean) * rstd;
                }
                y.mul_add(S::F32::from_slice(s, gamma), S::F32::from_slice(s, beta)).write_to(x);
            }
        }
    }
}

/// Normalises each column of a matrix; γ and β go down the column.
struct Columns<'a> {
    norm: &'a Norm,
    x: &'a mut [f32],
    mean: &'a [f32],
    rstd: &'a [f32],
}

impl Kernel for Columns<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Columns { norm, x, mean, rstd } = self;
        let parameters = norm.gamma.iter().zip(&norm.beta);
        for (row, (&gamma, &beta)) in x.chunks_exact_mut(mean.len()).zip(parameters) {
            let (gamma, beta) = (S::F32::splat(s, gamma), S::F32::splat(s, beta));
            for (i, x) in row.chunks_mut(S::F32::LANES).enumerate() {
                let mut y = S::F32::from_slice(s, x);
                if norm.eps.is_some() {
                    let mean = &mean[i * S::F32::LANES..][..x.len()];
                    let rstd = &rstd[i * S::F32::LANES..][..x.len()];
                    y = (y - S::F32::from_slice(s, mean)) * S::F32::from_slice(s, rstd);
                }
                y.mul_add(gamma, beta).write_to(x);
            }
        }
    }
}
