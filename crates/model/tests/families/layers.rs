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

/// The kind of work of each part, and the multiply-adds of each kind, by the formulas.
#[test]
fn phases_of_parts() {
    use Phase::{Channels, Head, Stem, Tokens};
    for network in networks() {
        let (phases, trunk, [tokens, channels]): (&[Phase], _, _) = match &network.config {
            Config::Mixer(config) => {
                let (n, c) = (config.trunk.patches(), config.trunk.channels);
                let macs = [config.token_hidden, config.channel_hidden].map(|h| 2 * n * c * h);
                (&[Tokens, Channels], config.trunk, macs)
            }
            Config::GMixer(config) => {
                let (n, c) = (config.trunk.patches(), config.trunk.channels);
                let macs = [config.token_hidden, config.channel_hidden];
                (&[Tokens, Channels], config.trunk, macs.map(|h| n * c * (h + h / 2)))
            }
            Config::FfOnly(config) => {
                let (n, c) = (config.trunk.patches() + 1, config.trunk.channels);
                let macs = [config.token_hidden, config.channel_hidden].map(|h| 2 * n * c * h);
                (&[Channels, Tokens], config.trunk, macs)
            }
            Config::AttentionOnly(config) => {
                let (n, c) = (config.trunk.patches() + 1, config.trunk.channels);
                let macs = [[n, c], [c, n]].map(|[n, c]| 4 * n * c * c + 2 * n * n * c);
                (&[Tokens, Channels], config.trunk, macs)
            }
            Config::Vit(config) => {
                let prefix = if config.distilled { 2 } else { 1 };
                let (n, c) = (config.trunk.patches() + prefix, config.trunk.channels);
                let macs = [4 * n * c * c + 2 * n * n * c, 2 * n * c * config.hidden];
                (&[Tokens, Channels], config.trunk, macs)
            }
            Config::ResMlp(config) => {
                let (n, c) = (config.trunk.patches(), config.trunk.channels);
                (&[Tokens, Channels], config.trunk, [n * n * c, 2 * n * c * config.hidden])
            }
            Config::Gmlp(config) => {
                let (n, c) = (config.trunk.patches(), config.trunk.channels);
                let half = config.hidden / 2;
                let macs = [n * n * half, n * c * 3 * half];
                (&[Channels, Tokens, Channels], config.trunk, macs)
            }
            config => panic!("{config:?}"),
        };
        let model = network.load(&Loader::new());
        let found: Vec<_> = model.layers().iter().map(|layer| layer.phase()).collect();
        let blocks = phases.repeat(trunk.depth);
        assert_eq!(found[..=blocks.len()], [&[Stem], &blocks[..]].concat(), "{:?}", network.config);
        assert!(found[blocks.len() + 1..].iter().all(|&phase| phase == Head));

        let spared = match &network.config {
            Config::FfOnly(config) => trunk.patches() * trunk.channels * config.token_hidden,
            _ => 0,
        };
        let macs = [trunk.depth * tokens - spared, trunk.depth * channels];
        let found = [Tokens, Channels].map(|phase| model.phase_macs(phase));
        assert_eq!(found, macs.map(|macs| macs as u64), "{:?}", network.config);
    }
}
