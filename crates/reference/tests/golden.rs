//! Outputs of the official Mixers in `f64`, on the contents of [`fill`].

use mixfold_reference::activation::Activation::{self, GeluErf, GeluTanh};
use mixfold_reference::fill;
use mixfold_reference::mixer::{Mixer, MixerConfig};

fn assert_close(computed: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(computed.len(), expected.len());
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        assert!((c - e).abs() <= tolerance, "[{i}]: {c} instead of {e}");
    }
}

fn config(activation: Activation) -> MixerConfig {
    MixerConfig {
        height: 16,
        width: 24,
        in_channels: 3,
        patch: 8,
        channels: 6,
        token_hidden: 3,
        channel_hidden: 12,
        depth: 2,
        classes: 3,
        eps: 1e-6,
        activation,
    }
}

#[test]
fn mixer_agrees_with_timm_and_flax() {
    let expected = [
        (GeluErf, [-0.050799989, 0.371133512, 0.008134209, -0.064618653, 0.383173191, 0.010147706]),
        (
            GeluTanh,
            [-0.050830940, 0.371157000, 0.008142129, -0.064638571, 0.383185510, 0.010155546],
        ),
    ];
    for (activation, logits) in expected {
        let mut weights = fill::Weights::default();
        let mut names = Vec::new();
        let mixer = Mixer::<f64>::new(config(activation), |name, shape| {
            names.push(name.to_owned());
            weights.tensor(name, shape)
        });
        assert_eq!(names.len(), 30);
        assert_eq!(names[2], "blocks.0.norm1.weight");
        assert_eq!(names[25], "blocks.1.mlp_channels.fc2.bias");
        assert_close(&mixer.forward(&fill::input(2 * 3 * 16 * 24), 2), &logits, 1e-8);
    }
}

#[test]
fn mixer_in_f32_is_close_to_f64() {
    let (mut wide, mut narrow) = (fill::Weights::default(), fill::Weights::default());
    let wide = Mixer::<f64>::new(config(GeluErf), |name, shape| wide.tensor(name, shape));
    let narrow = Mixer::<f32>::new(config(GeluErf), |name, shape| narrow.tensor(name, shape));
    let expected = wide.forward(&fill::input(2 * 3 * 16 * 24), 2);
    let computed = narrow.forward(&fill::input(2 * 3 * 16 * 24), 2);
    let computed: Vec<f64> = computed.into_iter().map(f64::from).collect();
    assert_close(&computed, &expected, 2e-6);
}

/// Appendix C of the Mixer paper: a model for images `k` times as large, with block-diagonal token
/// MLPs, gives the mean of the logits of the `k²` tiles.
#[test]
fn enlarged_mixer_averages_its_tiles() {
    let (k, base) = (2, config(GeluErf));
    let (rows, cols) = (base.height / base.patch, base.width / base.patch);
    let (tokens, hidden) = (base.tokens(), base.token_hidden);
    let mut weights = fill::Weights::default();
    let small = Mixer::<f64>::new(base, |name, shape| weights.tensor(name, shape));

    let mut large = small.clone();
    large.config = MixerConfig {
        height: k * base.height,
        width: k * base.width,
        token_hidden: k * k * hidden,
        ..base
    };
    let (large_tokens, large_hidden) = (k * k * tokens, k * k * hidden);
    for (block, old) in large.blocks.iter_mut().zip(&small.blocks) {
        let [fc1, fc2] = &mut block.mlp_tokens;
        fc1.weight = vec![0.0; large_hidden * large_tokens];
        fc2.weight = fc1.weight.clone();
        fc1.bias = old.mlp_tokens[0].bias.repeat(k * k);
        fc2.bias = vec![0.0; large_tokens];
        for token in 0..large_tokens {
            let (y, x) = (token / (k * cols), token % (k * cols));
            let (tile, inside) = (y / rows * k + x / cols, y % rows * cols + x % cols);
            fc2.bias[token] = old.mlp_tokens[1].bias[inside];
            for unit in 0..hidden {
                let large_unit = tile * hidden + unit;
                fc1.weight[large_unit * large_tokens + token] =
                    old.mlp_tokens[0].weight[unit * tokens + inside];
                fc2.weight[token * large_hidden + large_unit] =
                    old.mlp_tokens[1].weight[inside * hidden + unit];
            }
        }
    }

    let (height, width) = (small.config.height, small.config.width);
    let image: Vec<f64> = fill::input(3 * k * height * k * width);
    let mut tiles = Vec::new();
    for (ty, tx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for c in 0..3 {
            for y in ty * height..(ty + 1) * height {
                let at = (c * k * height + y) * k * width + tx * width;
                tiles.extend_from_slice(&image[at..at + width]);
            }
        }
    }
    let logits = small.forward(&tiles, k * k);
    let mean: Vec<f64> =
        (0..3).map(|c| (0..4).map(|t| logits[3 * t + c]).sum::<f64>() / 4.0).collect();
    assert_close(&large.forward(&image, 1), &mean, 1e-12);
    assert!((0..3).any(|c| (logits[c] - mean[c]).abs() > 1e-4), "the tiles should differ");
}
