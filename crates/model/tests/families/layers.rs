//! What can be observed on the way.

use mixfold_model::{Config, Layer, Loader, Phase};

use crate::common::families::networks;
use crate::common::images;

/// The names of what is observed in a network of two blocks.
fn expected(config: &Config) -> Vec<String> {
    let (parts, readout): (&[&str], &[&str]) = match config {
        Config::Mixer(_) | Config::GMixer(_) => (&["mlp_tokens"], &["norm", "mean", "head"]),
        Config::ResMlp(_) => (&["linear_tokens"], &["norm", "mean", "head"]),
        Config::Gmlp(_) => (&["mlp_channels.act", "mlp_channels.gate"], &["norm", "mean", "head"]),
        Config::FfOnly(_) => (&["mlp1"], &["norm", "head"]),
        Config::Vit(_) | Config::AttentionOnly(_) => (&["attn"], &["norm", "head"]),
        config => panic!("{config:?}"),
    };
    let block = |i| {
        let parts = parts.iter().map(move |part| format!("blocks.{i}.{part}"));
        parts.chain([format!("blocks.{i}")])
    };
    let readout = readout.iter().map(ToString::to_string);
    ["stem".to_owned()].into_iter().chain((0..2).flat_map(block)).chain(readout).collect()
}

#[test]
fn every_part_in_order_with_its_shape() {
    for network in networks() {
        let model = network.load(&Loader::new());
        let names: Vec<_> = model.layers().iter().map(Layer::to_string).collect();
        assert_eq!(names, expected(&network.config), "{:?}", network.config);
        let images = images(&model, 2);
        let (mut logits, mut seen) = (vec![0.0; 2 * model.classes()], Vec::new());
        let mut plan = model.plan(2).unwrap();
        plan.run_observed(&images, &mut logits, |layer, first, shape, values| {
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{layer}");
            assert!(values.iter().all(|value| value.is_finite()), "{layer}");
            if first == 0 {
                seen.push(layer);
            }
        })
        .unwrap();
        assert_eq!(seen, model.layers(), "{:?}", network.config);
    }
}

/// The multiply-adds of the phases are those of the model: those of its sizes, but what the last block
/// of an FF-only is spared.
#[test]
fn phases_sum_up() {
    for network in networks() {
        let model = network.load(&Loader::new());
        let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
        assert_eq!(phases, model.macs(), "{:?}", network.config);
        let form = mixfold_model::Form::Deploy;
        let of_sizes = network.config.macs(model.classes(), form);
        let spared = match &network.config {
            Config::FfOnly(config) => {
                config.trunk.patches() * config.trunk.channels * config.token_hidden
            }
            _ => 0,
        };
        assert_eq!(model.macs() + spared as u64, of_sizes, "{:?}", network.config);
        let parameters = network.config.parameters(model.classes(), form);
        let stored: usize = network.tensors().iter().map(|tensor| tensor.values.len()).sum();
        assert_eq!((model.parameters(), parameters), (stored as u64, stored as u64));
    }
}
