//! Every registered model in train form and in deploy form, on the same weights.
//!
//! A ResNet-50 has 53 convolutions. A light RepMLP stands in place of three with two around it, a bottleneck
//! in place of three with four.

use mixfold_model::{Form, Gelu, Loader, ResNetConfig};

use crate::common::agreement::{agrees_with_the_reference, both_forms_agree};
use crate::common::{images, logits};

#[test]
fn resnet50() {
    both_forms_agree::<ResNetConfig>("resnet50", (0, 53));
}

#[test]
fn light() {
    both_forms_agree::<ResNetConfig>("repmlp_res50_light_224", (8, 53 - 8));
}

#[test]
#[ignore = "writes 0.4 GB to the folder for temporary files"]
fn light_of_eight_groups() {
    both_forms_agree::<ResNetConfig>("repmlp_res50_light_224_g8", (8, 53 - 8));
}

#[test]
fn bottleneck() {
    both_forms_agree::<ResNetConfig>("repmlp_res50_bottleneck_224", (8, 53 + 8));
}

#[test]
#[ignore = "writes 0.5 GB to the folder for temporary files"]
fn bottleneck_of_320_pixels() {
    both_forms_agree::<ResNetConfig>("repmlp_res50_bottleneck_320_g8_16", (8, 53 + 8));
}

#[test]
#[ignore = "billions of multiply-adds in plain loops"]
fn whole_models_against_the_reference() {
    for name in ["resnet50", "repmlp_res50_light_224", "repmlp_res50_bottleneck_224"] {
        agrees_with_the_reference::<ResNetConfig>(name);
    }
}

/// Weights drawn at random give ordinary activations in every layer, and the same for the same seed.
#[test]
fn random_weights() {
    for name in ["resnet50", "repmlp_res50_bottleneck_224"] {
        for form in [Form::Train, Form::Deploy] {
            let loader = Loader::new().form(form);
            let model = loader.random(name, 1).unwrap();
            assert_eq!((model.name(), model.form(), model.gelu()), (name, Some(form), Gelu::Erf));
            let images = images(&model, 1);
            let mut found = vec![f32::NAN; model.classes()];
            let mut layers = Vec::new();
            let mut plan = model.plan(1).unwrap();
            plan.run_observed(&images, &mut found, |layer, _, _, values| {
                let power = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
                let power = power / values.len() as f64;
                assert!((1e-3..1e3).contains(&power), "{name}, {form}, {layer}: {power}");
                layers.push(layer);
            })
            .unwrap();
            assert_eq!(layers, model.layers());
            assert_eq!(logits(&loader.random(name, 1).unwrap(), &images, 1), found);
            assert_ne!(logits(&loader.random(name, 2).unwrap(), &images, 1), found);
        }
    }
}
