//! Every layer of networks with two forms against the reference in f64, within bounds of the rounding
//! errors.

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model};
use mixfold_simd::env;
use proptest::prelude::*;

use super::bound::Real;
use super::two_forms::{FORMS, TwoForms, load, reference};
use super::{distance, images, largest};

/// Names of layers with their activations.
pub(crate) type Activations<T> = Vec<(String, Vec<T>)>;

/// The layers of a family, as an observer sees them.
pub(crate) trait Layers: TwoForms {
    /// The reference's activations.
    fn exact(net: &Self::Reference, images: &[f64], batch: usize) -> Activations<f64>;

    /// Follows what the engine computes in this form, with bounds of its errors. `next` is given what each
    /// layer makes, and returns what the next one starts from.
    fn walk(
        net: &Self::Reference,
        images: &[f32],
        batch: usize,
        form: Form,
        next: impl FnMut(&str, Vec<Real>) -> Vec<Real>,
    );
}

/// What an observer sees, all groups of images together.
pub(crate) fn observed(model: &Model, images: &[f32], batch: usize) -> Activations<f32> {
    let mut seen: Activations<f32> =
        model.layers().iter().map(|layer| (layer.to_string(), Vec::new())).collect();
    let mut logits = vec![f32::NAN; batch * model.classes()];
    let mut plan = model.plan(batch).unwrap();
    plan.run_observed(images, &mut logits, |layer, _, _, values| {
        let name = layer.to_string();
        seen.iter_mut().find(|seen| seen.0 == name).unwrap().1.extend(values);
    })
    .unwrap();
    seen
}

/// Where `found` is not within the bounds.
fn outside(found: &[f32], allowed: &[Real]) -> Option<String> {
    assert_eq!(found.len(), allowed.len());
    let wrong = |(y, real): &(&f32, &Real)| {
        assert!(real.bound.is_finite());
        let within = (f64::from(**y) - real.value).abs() <= real.bound;
        !within
    };
    let first = found.iter().zip(allowed).enumerate().find(|(_, pair)| wrong(pair))?;
    Some(format!("{first:?}"))
}

/// The bound of the logits from the images on grows with the product of the layers' norms and says
/// little of a deep network. Roundings seldom conspire, though: what is promised is 1e-5 of the largest
/// logit, which no network of thousands has come nearer to than to a third. (One of a few logits must not
/// be near 0 by chance.)
const PROMISED: f64 = 1e-5;

/// In all forms on one thread of every instruction set: see [`check_form`]; and what is promised.
pub(crate) fn check<F: Layers>(
    config: &F,
    classes: usize,
    seed: u64,
    batch: usize,
) -> Result<(), TestCaseError> {
    for isa in env::isas_under_test() {
        check_on(config, classes, seed, batch, &Context::with_isa(isa).sequential())?;
    }
    Ok(())
}

/// As [`check`], on one thread and on all.
pub(crate) fn check_on_threads<F: Layers>(config: &F, classes: usize, seed: u64, batch: usize) {
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa);
        for ctx in [ctx.sequential(), ctx] {
            check_on(config, classes, seed, batch, &ctx).unwrap();
        }
    }
}

fn check_on<F: Layers>(
    config: &F,
    classes: usize,
    seed: u64,
    batch: usize,
    ctx: &Context,
) -> Result<(), TestCaseError> {
    for forms in FORMS {
        let error = check_form(config, classes, seed, batch, ctx, forms)?;
        let isa = ctx.isa();
        prop_assert!(classes < 5 || error <= PROMISED, "{:?}, {}: {:e}", config, isa, error);
    }
    Ok(())
}

/// Runs a network and compares every layer with the reference, in two ways: each layer by itself, applied
/// to what the engine has computed before it, and all layers from the images on. Returns the largest
/// error of the logits in units of the largest one.
fn check_form<F: Layers>(
    config: &F,
    classes: usize,
    seed: u64,
    batch: usize,
    ctx: &Context,
    (stored, form): (Form, Form),
) -> Result<f64, TestCaseError> {
    let loader = Loader::new().context(ctx.clone()).form(form);
    let model = load(&loader, config, classes, stored, seed);
    let net = reference(config, classes, stored, seed);
    let images = images(&model, batch);
    let mut observed = observed(&model, &images, batch).into_iter();
    let wide: Vec<f64> = images.iter().map(|&x| x.into()).collect();
    let mut exact = F::exact(&net, &wide, batch).into_iter();
    let mut from_images: Activations<Real> = Vec::new();
    F::walk(&net, &images, batch, form, |name, values| {
        from_images.push((name.to_owned(), values.clone()));
        values
    });
    let mut from_images = from_images.into_iter();
    let mut wrong = Vec::new();
    let mut error = f64::INFINITY;
    F::walk(&net, &images, batch, form, |name, alone| {
        let (seen, found) = observed.next().expect("a layer is not observed");
        let (layer, exact) = exact.next().expect("a layer that the reference does not have");
        let (bounded, chained) = from_images.next().expect("the same walk");
        assert_eq!([&seen, &layer, &bounded], [name; 3]);
        // The analysis is about the right numbers: its formulas are folded, those of the reference not.
        // Both round as often as `f32` may, to 29 bits more, or a few times more often in folding.
        for (real, exact) in chained.iter().zip(&exact) {
            let allowed = 8.0 * real.bound * 2.0_f64.powi(-29);
            assert!((real.value - exact).abs() <= allowed, "{name}: {real:?}, {exact}");
        }
        for (how, allowed) in [("alone", &alone), ("from the images on", &chained)] {
            wrong.extend(outside(&found, allowed).map(|at| format!("{name}, {how}: {at}")));
        }
        error = distance(&found, &exact) / largest(&exact);
        found.into_iter().map(|x| Real::exact(x.into())).collect()
    });
    prop_assert!(wrong.is_empty(), "{}: {}", ctx.isa(), wrong.join("; "));
    prop_assert!(observed.next().is_none());
    Ok(error)
}
