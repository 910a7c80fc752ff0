//! What can be observed on the way.

use mixfold_model::{Config, FfOnlyConfig, Form, Layer, Loader, Phase, Trunk, VitConfig};

use crate::common::families::{CLASSES, Network, networks};
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

/// The multiply-adds that the last block is spared along the tokens and along the channels, because only
/// the tokens that the head reads are computed there.
fn spared(config: &Config) -> [usize; 2] {
    match config {
        Config::FfOnly(config) => {
            [config.trunk.patches() * config.trunk.channels * config.token_hidden, 0]
        }
        Config::Vit(config) => {
            // Queries, scores, weighted sums and the last matrix of all other tokens.
            let (n, c) = (config.trunk.patches(), config.trunk.channels);
            let tokens = n + if config.distilled { 2 } else { 1 };
            [2 * n * c * c + 2 * n * tokens * c, 2 * n * c * config.hidden]
        }
        _ => [0, 0],
    }
}

/// The multiply-adds of the phases are those of the model: those of its sizes, but what the last block
/// is spared.
#[test]
fn phases_sum_up() {
    for network in networks() {
        let model = network.load(&Loader::new());
        let phases: u64 = Phase::ALL.iter().map(|&phase| model.phase_macs(phase)).sum();
        assert_eq!(phases, model.macs(), "{:?}", network.config);
        let form = mixfold_model::Form::Deploy;
        let of_sizes = network.config.macs(model.classes(), form);
        let spared: usize = spared(&network.config).iter().sum();
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

        let spared = spared(&network.config);
        let macs = [trunk.depth * tokens - spared[0], trunk.depth * channels - spared[1]];
        let found = [Tokens, Channels].map(|phase| model.phase_macs(phase));
        assert_eq!(found, macs.map(|macs| macs as u64), "{:?}", network.config);
    }
}

/// In the last block only the tokens that the heads read are computed, as another block behind it would
/// find them.
#[test]
fn the_last_block() {
    let shown = |config: &Config, name: &str| {
        let model = Network::new(config, CLASSES).unwrap().load(&Loader::new());
        let (images, mut logits) = (images(&model, 1), vec![0.0; CLASSES]);
        let mut found = None;
        let observe = |layer: Layer, _, shape: &[usize], values: &[f32]| {
            if layer.to_string() == name {
                found = Some((shape.to_vec(), values.to_vec()));
            }
        };
        model.plan(1).unwrap().run_observed(&images, &mut logits, observe).unwrap();
        found.unwrap()
    };
    let mut count = 0;
    for network in networks() {
        let deeper = |trunk: Trunk| Trunk { depth: trunk.depth + 1, ..trunk };
        let (trunk, read, deeper) = match network.config {
            Config::FfOnly(config) => {
                let trunk = deeper(config.trunk);
                (config.trunk, 1, FfOnlyConfig { trunk, ..config }.into())
            }
            Config::Vit(config) => {
                let trunk = deeper(config.trunk);
                let read = if config.distilled { 2 } else { 1 };
                (config.trunk, read, VitConfig { trunk, ..config }.into())
            }
            _ => continue,
        };
        let name = format!("blocks.{}", trunk.depth - 1);
        let (shape, alone) = shown(&network.config, &name);
        assert_eq!(shape, [1, read, trunk.channels]);
        let (shape, all) = shown(&deeper, &name);
        assert_eq!(shape, [1, read + trunk.patches(), trunk.channels]);
        assert_eq!(alone, all[..alone.len()], "{:?}", network.config);
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

/// All weights are counted, those of each head too.
#[test]
fn bytes_of_the_heads() {
    for network in networks() {
        let bytes = |classes| {
            let config = network.config.clone();
            Loader::new().random_config("heads", config, classes, 0).unwrap().packed_bytes()
        };
        let parameters = |classes| network.config.parameters(classes, Form::Deploy) as usize;
        // The weights of a head and its bias, which is not packed with them.
        let heads = parameters(1000) - parameters(200) - 2 * 800;
        assert!(bytes(1000) - bytes(200) >= 4 * heads, "{:?}", network.config);
    }
}
