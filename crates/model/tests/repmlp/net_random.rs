//! Registered RepMLPNets with weights drawn at random.

use mixfold_gemm::Context;
use mixfold_model::{Form, Gelu, Loader, Phase, RepMlpNetConfig};

use crate::common::two_forms::registered;
use crate::common::{images, logits};

/// Ordinary activations in every layer, in the form that is asked for, and the same for the same seed.
fn ordinary(name: &str) {
    let (info, _) = registered::<RepMlpNetConfig>().find(|(info, _)| info.name == name).unwrap();
    for form in [Form::Train, Form::Deploy] {
        let loader = Loader::new().form(form);
        let model = loader.random(name, 1).unwrap();
        assert_eq!((model.name(), model.form(), model.gelu()), (name, Some(form), Gelu::Erf));
        assert_eq!((model.input(), model.classes()), (info.config.input(), info.classes));
        let counts = match form {
            Form::Train => (info.train_parameters().unwrap(), info.train_macs().unwrap()),
            Form::Deploy => (info.parameters(), info.macs()),
        };
        assert_eq!((model.parameters(), model.macs()), counts);
        let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
        assert_eq!(phases, counts.1);

        let images = images(&model, 1);
        let mut found = vec![f32::NAN; info.classes];
        let mut layers = Vec::new();
        let mut plan = model.plan(1).unwrap();
        plan.run_observed(&images, &mut found, |layer, _, _, values| {
            let power = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            let power = power / values.len() as f64;
            println!("{name}, {form}, {layer}: {power:.2e}");
            assert!((1e-3..1e3).contains(&power), "{name}, {form}, {layer}: {power}");
            layers.push(layer);
        })
        .unwrap();
        assert_eq!(layers, model.layers());
        assert!(found.iter().all(|logit| logit.is_finite()));

        let sequential = loader.clone().context(Context::new().sequential());
        assert_eq!(logits(&sequential.random(name, 1).unwrap(), &images, 1), found);
        assert_ne!(logits(&loader.random(name, 2).unwrap(), &images, 1), found);
    }
    // Without a form, the deploy form.
    let model = Loader::new().random(name, 1).unwrap();
    assert_eq!(model.form(), Some(Form::Deploy));
}

#[test]
fn repmlpnet_fashion() {
    ordinary("repmlpnet_fashion");
}

#[test]
fn repmlpnet_t224() {
    ordinary("repmlpnet_t224");
}

#[test]
#[ignore = "gigabytes of memory"]
fn larger_ones() {
    for (info, _) in registered::<RepMlpNetConfig>() {
        ordinary(info.name);
    }
}
