//! What is measured: the shapes and models of all benchmarks, with what they are taken from.
//!
//! Nothing else in this package names a size. Mixer stands for MLP-Mixer on 224 × 224 images.

use mixfold_gemm::{Activation, Scalar};
use mixfold_mix::{Axes, Positions, Side};
use mixfold_model::{
    AttentionOnlyConfig, Config, FfOnlyConfig, Form, GMixerConfig, GmlpConfig, MixerConfig,
    ResMlpConfig, Trunk, VitConfig,
};

use crate::layers::{Attention, Convolution, Kind, Layer};

/// Products `[m, n, k]` of Mixer-B/16: to the hidden units of channel mixing and back, and those of
/// token mixing.
const CHANNELS_UP: [usize; 3] = [196, 3072, 768];
const CHANNELS_DOWN: [usize; 3] = [196, 768, 3072];
const TOKENS_UP: [usize; 3] = [384, 768, 196];
const TOKENS_DOWN: [usize; 3] = [196, 768, 384];
/// The largest product of Mixer-S/32.
const CHANNELS_UP_S32: [usize; 3] = [49, 2048, 512];

/// What follows a product with packed weights and a bias.
#[derive(Clone, Copy, Debug)]
pub enum Tail<A> {
    /// An activation.
    Activation(A),
    /// What the product is added to.
    Residual,
}

/// A product with packed weights, a bias along their outputs and a tail.
#[derive(Clone, Copy, Debug)]
pub struct Fused<T: Scalar> {
    /// The group of the benchmark.
    pub group: &'static str,
    /// Where the weights stand.
    pub weights: Side,
    /// What follows.
    pub tail: Tail<T::Activation>,
    /// `[m, n, k]`
    pub shape: [usize; 3],
    /// On how many threads.
    pub threads: usize,
}

/// The products of Mixer in `f32` (`gemm`).
pub const FUSED_F32: [Fused<f32>; 7] = {
    let right_gelu = Fused {
        group: "gemm/right-gelu",
        weights: Side::Right,
        tail: Tail::Activation(Activation::GeluErf),
        shape: CHANNELS_UP,
        threads: 1,
    };
    let right_add =
        Fused { group: "gemm/right-add", tail: Tail::Residual, shape: CHANNELS_DOWN, ..right_gelu };
    let left_gelu =
        Fused { group: "gemm/left-gelu", weights: Side::Left, shape: TOKENS_UP, ..right_gelu };
    let left_add =
        Fused { group: "gemm/left-add", tail: Tail::Residual, shape: TOKENS_DOWN, ..left_gelu };
    [
        right_gelu,
        Fused { threads: 2, ..right_gelu },
        Fused { shape: CHANNELS_UP_S32, ..right_gelu },
        right_add,
        left_gelu,
        Fused { threads: 2, ..left_gelu },
        left_add,
    ]
};

/// The same in `f64` (`gemm`).
pub const FUSED_F64: [Fused<f64>; 2] = {
    let right_add = Fused {
        group: "gemm/right-add",
        weights: Side::Right,
        tail: Tail::Residual,
        shape: CHANNELS_DOWN,
        threads: 1,
    };
    let left_add =
        Fused { group: "gemm/left-add", weights: Side::Left, shape: TOKENS_DOWN, ..right_add };
    [right_add, left_add]
};

/// Products of views with nothing behind them, beside those of other libraries (`gemm/unpacked`): where
/// the weights stand, and `[m, n, k]`.
pub const PLAIN_F32: [(Side, [usize; 3]); 10] = [
    (Side::Right, CHANNELS_UP),
    (Side::Right, CHANNELS_DOWN),
    (Side::Left, TOKENS_UP),
    (Side::Left, TOKENS_DOWN),
    (Side::Right, CHANNELS_UP_S32),
    // Squares, as other libraries show them.
    (Side::Left, [1024; 3]),
    (Side::Left, [8; 3]),
    (Side::Left, [16; 3]),
    (Side::Left, [32; 3]),
    (Side::Left, [64; 3]),
];

/// The same in `f64`.
pub const PLAIN_F64: [(Side, [usize; 3]); 1] = [(Side::Left, [1024; 3])];

/// Parts of the products above, each alone (`parts`).
pub mod parts {
    use super::*;

    /// Steps of k of a register tile: those of `TOKENS_UP`, `TOKENS_DOWN` and `CHANNELS_UP`.
    pub const TILE_STEPS: [usize; 3] = [196, 384, 768];

    /// Products of packed operands: where the weights stand, and `[m, n, k]`. Those with the weights on
    /// the left are computed one panel at a time, as token mixing does.
    pub const PRODUCTS: [(Side, [usize; 3]); 5] = [
        (Side::Left, TOKENS_UP),
        (Side::Left, TOKENS_DOWN),
        (Side::Right, CHANNELS_UP),
        (Side::Right, CHANNELS_DOWN),
        (Side::Right, CHANNELS_UP_S32),
    ];

    /// Tokens, channels, and the hidden units of token mixing and of channel mixing of Mixer-B/16, whose
    /// tokens are packed.
    pub const PACKED: [usize; 4] = [196, 768, 384, 3072];

    /// Products `[m, n, k]` with weights on the right that lie in the caches, or do not, and what follows.
    pub const COLD: [([usize; 3], Tail<Activation>); 3] = [
        (CHANNELS_UP, Tail::Activation(Activation::GeluErf)),
        (CHANNELS_DOWN, Tail::Residual),
        (CHANNELS_UP_S32, Tail::Activation(Activation::GeluErf)),
    ];

    /// Bytes of all copies of such weights.
    pub const COLD_BYTES: usize = 300_000_000;
}

/// Weights `[out, in]` to pack for a side (`pack`): channel mixing and token mixing of Mixer-B/16.
pub const PACKED: [(&str, Side, [usize; 2]); 2] =
    [("pack/right", Side::Right, [3072, 768]), ("pack/left", Side::Left, [384, 196])];

/// Models whose token mixing and channel mixing run (`mix/{tokens,channels}-{mlp,linear}`).
pub const MIXERS: [&str; 4] = ["mixer_s32_224", "mixer_s16_224", "mixer_b16_224", "mixer_l16_224"];

/// Layers of other models: group, model and layer (`mix`).
pub const LAYERS: [(&str, &str, Layer); 3] = {
    let tokens = Axes { outer: 1, axis: 196, inner: 384 };
    let channels = Axes { outer: 196, axis: 384, inner: 1 };
    [
        // Token mixing of ResMLP-24.
        (
            "mix/tokens-linear",
            "resmlp_24_224",
            Layer { side: Side::Left, axes: tokens, kind: Kind::Scaled },
        ),
        // Both mixings of gMixer-24.
        (
            "mix/tokens-glu",
            "gmixer_24_224",
            Layer { side: Side::Left, axes: tokens, kind: Kind::Glu(192) },
        ),
        (
            "mix/channels-glu",
            "gmixer_24_224",
            Layer { side: Side::Right, axes: channels, kind: Kind::Glu(768) },
        ),
    ]
};

/// The gate of gMLP-S/16: one half of the hidden channels, which gates the other one
/// (`mix/tokens-gate`).
pub const GATE: (&str, Axes) = ("gmlp_s16_224", Axes { outer: 1, axis: 196, inner: 768 });

/// The stem, an embedding and a depthwise branch of RepMLPNet (its 96 channels share one kernel, and
/// so are a batch of one channel), on all instruction sets (`mix/conv`).
pub const CONVS_REPMLPNET: [Convolution; 3] = [
    Convolution { batch: 1, channels: 3, out: 96, kernel: 4, stride: 4, padding: 0, image: 256 },
    Convolution { batch: 1, channels: 96, out: 192, kernel: 2, stride: 2, padding: 0, image: 64 },
    Convolution { batch: 96, channels: 1, out: 1, kernel: 3, stride: 1, padding: 1, image: 64 },
];

/// The convolutions of ResNet-50 for an image of 224 pixels, the largest of each kind, on the fastest
/// instruction set (`mix/conv`).
pub const CONVS_RESNET: [Convolution; 13] = [
    Convolution { batch: 1, channels: 3, out: 64, kernel: 7, stride: 2, padding: 3, image: 224 },
    Convolution { batch: 1, channels: 64, out: 64, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 64, out: 256, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 256, out: 64, kernel: 1, stride: 1, padding: 0, image: 56 },
    Convolution { batch: 1, channels: 64, out: 64, kernel: 3, stride: 1, padding: 1, image: 56 },
    Convolution { batch: 1, channels: 128, out: 128, kernel: 3, stride: 2, padding: 1, image: 56 },
    Convolution { batch: 1, channels: 128, out: 128, kernel: 3, stride: 1, padding: 1, image: 28 },
    Convolution { batch: 1, channels: 256, out: 256, kernel: 3, stride: 1, padding: 1, image: 14 },
    Convolution { batch: 1, channels: 512, out: 512, kernel: 3, stride: 1, padding: 1, image: 7 },
    Convolution { batch: 1, channels: 256, out: 512, kernel: 1, stride: 2, padding: 0, image: 56 },
    Convolution {
        batch: 1,
        channels: 1024,
        out: 2048,
        kernel: 1,
        stride: 2,
        padding: 0,
        image: 14,
    },
    Convolution { batch: 1, channels: 2048, out: 512, kernel: 1, stride: 1, padding: 0, image: 7 },
    Convolution { batch: 1, channels: 512, out: 2048, kernel: 1, stride: 1, padding: 0, image: 7 },
];

/// The pooling of ResNet on an image of 224 pixels (`mix/max-pool`): window, stride, padding, planes
/// and their side.
pub const MAX_POOL: [usize; 5] = [3, 2, 1, 64, 112];

/// Attentions of one image (`attention`).
pub const ATTENTIONS: [Attention; 4] = [
    // ViT-B/16 and DeiT-B/16
    Attention { heads: 12, width: 64, count: 197, positions: Positions::Axis },
    // DeiT-Ti/16
    Attention { heads: 3, width: 64, count: 197, positions: Positions::Axis },
    // ViT-B/16 on 384 × 384
    Attention { heads: 12, width: 64, count: 577, positions: Positions::Axis },
    // DeiT-Ti/16 with the tokens as the features
    Attention { heads: 1, width: 197, count: 192, positions: Positions::Inner },
];

/// Share-sets and side of the map of each stage of RepMLPNet, T224, then B256 (`fold`).
pub const FOLDED: [[usize; 2]; 8] =
    [[1, 56], [4, 28], [16, 14], [128, 7], [1, 64], [4, 32], [32, 16], [128, 8]];

/// Whole models of the registry: name, form if it has two, batch and threads (`model`).
pub const MODELS: [(&str, Option<Form>, usize, usize); 9] = [
    ("mixer_s32_224", None, 1, 1),
    ("mixer_s32_224", None, 8, 1),
    ("mixer_s32_224", None, 8, 2),
    ("mixer_b16_224", None, 1, 1),
    ("mixer_b16_224", None, 1, 2),
    ("repmlpnet_t224", Some(Form::Train), 1, 1),
    ("repmlpnet_t224", Some(Form::Deploy), 1, 1),
    ("repmlpnet_b256", Some(Form::Train), 1, 1),
    ("repmlpnet_b256", Some(Form::Deploy), 1, 1),
];

/// Outputs of [`FAMILIES`].
pub const CLASSES: usize = 1000;

/// One model of each family at equal size: 12 blocks of 384 channels on the 196 patches of 16 × 16
/// pixels of an image (`families`).
pub const FAMILIES: [(&str, Config); 7] = {
    const DEPTH: usize = 12;
    const PATCH: usize = 16;
    const CHANNELS: usize = 384;
    let trunk = Trunk::imagenet(DEPTH, PATCH, CHANNELS);
    [
        ("mixer", Config::Mixer(MixerConfig::imagenet(DEPTH, PATCH, CHANNELS))),
        ("ff-only", Config::FfOnly(FfOnlyConfig::imagenet(DEPTH, PATCH, CHANNELS))),
        ("vit", Config::Vit(VitConfig::imagenet(DEPTH, PATCH, CHANNELS))),
        (
            "attention-only",
            Config::AttentionOnly(AttentionOnlyConfig::imagenet(DEPTH, PATCH, CHANNELS)),
        ),
        ("resmlp", Config::ResMlp(ResMlpConfig::imagenet(DEPTH, PATCH, CHANNELS))),
        ("gmlp", Config::Gmlp(GmlpConfig { trunk, hidden: 6 * CHANNELS })),
        ("gmixer", Config::GMixer(GMixerConfig { trunk, ..GMixerConfig::imagenet(DEPTH) })),
    ]
};

/// Work whose instructions are counted (`instructions`): small, since a simulator runs it. Sizes leave a
/// rest in every direction.
pub mod counted {
    use super::*;

    /// A product `[m, n, k]` of two packed operands, the micro-kernel alone.
    pub const PRODUCT: [usize; 3] = [83, 72, 250];

    /// Token mixing and channel mixing of a small Mixer.
    pub const LAYERS: [(&str, Layer); 2] = {
        let tokens = Axes { outer: 1, axis: 49, inner: 104 };
        let channels = Axes { outer: 49, axis: 104, inner: 1 };
        [
            ("tokens-mlp", Layer { side: Side::Left, axes: tokens, kind: Kind::Mlp(52) }),
            ("channels-mlp", Layer { side: Side::Right, axes: channels, kind: Kind::Mlp(208) }),
        ]
    };

    /// Rows of a layer norm.
    pub const NORM: Axes = Axes { outer: 49, axis: 300, inner: 1 };

    /// Elements of a GELU.
    pub const GELU: usize = 10_001;

    /// Weights `[out, in]` to pack for a side.
    pub const PACKED: [(&str, Side, [usize; 2]); 2] =
        [("right", Side::Right, [200, 104]), ("left", Side::Left, [104, 49])];

    /// An attention.
    pub const ATTENTION: Attention =
        Attention { heads: 2, width: 32, count: 50, positions: Positions::Axis };

    /// A convolution.
    pub const CONVOLUTION: Convolution =
        Convolution { batch: 1, channels: 8, out: 24, kernel: 3, stride: 1, padding: 1, image: 28 };

    /// A whole model and its outputs: a Mixer of 16 tokens.
    pub const MODEL: (Config, usize) = {
        let trunk = Trunk { image: [64, 64], image_channels: 3, patch: 16, channels: 64, depth: 2 };
        (Config::Mixer(MixerConfig { trunk, token_hidden: 32, channel_hidden: 256 }), 10)
    };
}
