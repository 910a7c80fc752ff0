//! One number for each outer index, added to a tensor or multiplied with it.

use mixfold_simd::{Isa, Kernel, Simd, Vector};

use crate::{Axes, MixError};

/// `x[o, a, i] += v[o]`: a global perceptron's answer, added to all places of a channel.
///
/// Rounded once.
///
/// # Errors
/// If `x` does not have the length of its shape, or `v` not that of the outer axis.
pub fn add_outer(x: &mut [f32], v: &[f32], axes: Axes, isa: Isa) -> Result<(), MixError> {
    axes.check("input", x.len())?;
    check("outer values", v, axes)?;
    isa.run(AddOuter { x, v, slab: axes.axis * axes.inner });
    Ok(())
}

/// `x[o, a, i] += y[o, a, i] · gate[o]`: a gated branch and its residual connection.
///
/// Rounded once on a fused instruction set, else twice.
///
/// # Errors
/// If `x` or `y` does not have the length of its shape, or `gate` not that of the outer axis.
pub fn add_gated(
    x: &mut [f32],
    y: &[f32],
    gate: &[f32],
    axes: Axes,
    isa: Isa,
) -> Result<(), MixError> {
    axes.check("output", x.len())?;
    axes.check("input", y.len())?;
    check("gate", gate, axes)?;
    isa.run(AddGated { x, y, gate, slab: axes.axis * axes.inner });
    Ok(())
}

fn check(what: &'static str, values: &[f32], axes: Axes) -> Result<(), MixError> {
    let (expected, found) = (axes.outer, values.len());
    if expected == found { Ok(()) } else { Err(MixError::Parameter { what, expected, found }) }
}

struct AddOuter<'a> {
    x: &'a mut [f32],
    v: &'a [f32],
    slab: usize,
}

impl Kernel for AddOuter<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AddOuter { x, v, slab } = self;
        for (x, &v) in x.chunks_exact_mut(slab.max(1)).zip(v) {
            let v = S::F32::splat(s, v);
            for x in x.chunks_mut(S::F32::LANES) {
                (S::F32::from_slice(s, x) + v).write_to(x);
            }
        }
    }
}

struct AddGated<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
    gate: &'a [f32],
    slab: usize,
}

impl Kernel for AddGated<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let AddGated { x, y, gate, slab } = self;
        let slabs = x.chunks_exact_mut(slab.max(1)).zip(y.chunks_exact(slab.max(1)));
        for ((x, y), &gate) in slabs.zip(gate) {
            let gate = S::F32::splat(s, gate);
            for (x, y) in x.chunks_mut(S::F32::LANES).zip(y.chunks(S::F32::LANES)) {
                let y = S::F32::from_slice(s, y);
                y.mul_add(gate, S::F32::from_slice(s, x)).write_to(x);
            }
        }
    }
}
