//! The published models have as many parameters as their authors and timm say.

use mixfold_reference::activation::Activation::GeluErf;
use mixfold_reference::attention_only::AttentionOnlyConfig;
use mixfold_reference::ff_only::FfOnlyConfig;
use mixfold_reference::gmixer::GMixerConfig;
use mixfold_reference::gmlp::GMlpConfig;
use mixfold_reference::mixer::MixerConfig;
use mixfold_reference::resmlp::ResMlpConfig;
use mixfold_reference::tokens::Patches;
use mixfold_reference::vit::VitConfig;

fn parameters(tensors: Vec<(String, Vec<usize>)>) -> usize {
    tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}

/// Patches of 224 × 224 images.
fn patches(patch: usize, channels: usize) -> Patches {
    Patches { height: 224, width: 224, in_channels: 3, patch, channels }
}

#[test]
fn mixer() {
    let models = [
        ("S/32", 8, 32, 512, 19_104_624),
        ("S/16", 8, 16, 512, 18_528_264),
        ("B/32", 12, 32, 768, 60_293_428),
        ("B/16", 12, 16, 768, 59_880_472),
        ("L/32", 24, 32, 1024, 206_939_264),
        ("L/16", 24, 16, 1024, 208_196_168),
        ("H/14", 32, 14, 1280, 432_350_952),
    ];
    for (name, depth, patch, channels, expected) in models {
        let config = MixerConfig {
            height: 224,
            width: 224,
            in_channels: 3,
            patch,
            channels,
            token_hidden: channels / 2,
            channel_hidden: 4 * channels,
            depth,
            classes: 1000,
            eps: 1e-6,
            activation: GeluErf,
        };
        assert_eq!(parameters(config.tensors()), expected, "{name}");
    }
}

#[test]
fn ff_only() {
    let models = [
        ("tiny", 16, 192, 12, 7_676_332),
        ("base", 16, 768, 12, 61_943_020),
        ("large", 32, 1024, 24, 206_363_576),
    ];
    for (name, patch, channels, depth, expected) in models {
        let patches = patches(patch, channels);
        let config = FfOnlyConfig {
            patches,
            position_grid: [14, 14],
            channel_hidden: 4 * channels,
            token_hidden: 4 * (patches.tokens() + 1),
            depth,
            classes: 1000,
        };
        assert_eq!(parameters(config.tensors()), expected, "{name}");
    }
}

/// "4.0 million" in the paper. With the norm before the second attention over channels it would be
/// 120 fewer; without the biases of queries, keys and values, 4,025,356.
#[test]
fn attention_only() {
    let config = AttentionOnlyConfig {
        patches: patches(16, 192),
        position_grid: [14, 14],
        heads: 3,
        depth: 12,
        classes: 1000,
    };
    let tensors = config.tensors();
    let qkv_biases: Vec<_> =
        tensors.iter().filter(|(name, _)| name.ends_with("qkv.bias")).cloned().collect();
    assert_eq!(parameters(qkv_biases), 4_039_360 - 4_025_356);
    assert_eq!(parameters(tensors), 4_039_360);
}

#[test]
fn vit() {
    let models = [
        ("tiny/16", 16, 192, 12, 3, false, 5_717_416),
        ("small/16", 16, 384, 12, 6, false, 22_050_664),
        ("base/16", 16, 768, 12, 12, false, 86_567_656),
        ("base/32", 32, 768, 12, 12, false, 88_224_232),
        ("large/16", 16, 1024, 24, 16, false, 304_326_632),
        ("large/32", 32, 1024, 24, 16, false, 306_535_400),
        ("tiny/16 distilled", 16, 192, 12, 3, true, 5_910_800),
        ("small/16 distilled", 16, 384, 12, 6, true, 22_436_432),
        ("base/16 distilled", 16, 768, 12, 12, true, 87_338_192),
    ];
    for (name, patch, channels, depth, heads, distilled, expected) in models {
        let config = VitConfig {
            patches: patches(patch, channels),
            heads,
            hidden: 4 * channels,
            depth,
            classes: 1000,
            distilled,
            activation: GeluErf,
        };
        assert_eq!(parameters(config.tensors()), expected, "{name}");
    }
}

#[test]
fn resmlp() {
    let models = [
        ("12", 16, 384, 12, 15_350_872),
        ("24", 16, 384, 24, 30_020_680),
        ("36", 16, 384, 36, 44_690_488),
        ("big 24", 8, 768, 24, 129_138_280),
    ];
    for (name, patch, channels, depth, expected) in models {
        let patches = patches(patch, channels);
        let config = ResMlpConfig { patches, hidden: 4 * channels, depth, classes: 1000 };
        assert_eq!(parameters(config.tensors()), expected, "{name}");
    }
}

#[test]
fn gmlp() {
    for (channels, expected) in [(128, 5_867_328), (256, 19_422_656), (512, 73_075_392)] {
        let patches = patches(16, channels);
        let config = GMlpConfig { patches, hidden: 6 * channels, depth: 30, classes: 1000 };
        assert_eq!(parameters(config.tensors()), expected, "{channels} channels");
    }
}

#[test]
fn gmixer() {
    for (depth, expected) in [(12, 12_701_080), (24, 24_721_096)] {
        let config = GMixerConfig {
            patches: patches(16, 384),
            token_hidden: 384,
            channel_hidden: 1536,
            depth,
            classes: 1000,
        };
        assert_eq!(parameters(config.tensors()), expected, "{depth} blocks");
    }
}
