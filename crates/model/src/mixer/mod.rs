//! MLP-Mixer (Tolstikhin et al., *MLP-Mixer: An all-MLP Architecture for Vision*, 2021).
//!
//! ```text
//! x = patches(image) · W + b                        [tokens, channels]
//! depth times:
//!     x = x + W₂·gelu(W₁·norm(x) + b₁) + b₂         along the tokens
//!     x = x + W₄·gelu(W₃·norm(x) + b₃) + b₄         along the channels
//! logits = head(mean over tokens of norm(x))
//! ```

mod config;
mod names;

use mixfold_gemm::{Activation, Context};
use mixfold_mix::{Axes, AxisLinear, AxisMlp, AxisOp, Norm, PatchEmbed, Side, mean_axis};
use mixfold_simd::Isa;

pub use config::MixerConfig;
pub(crate) use names::Names;

use crate::network::{Layer, Network, Observe, Phase, Workspace};
use crate::weights::{Weights, check_blocks, compare};
use crate::{Checkpoint, ModelError};

/// ε of every layer norm.
const EPS: f32 = 1e-6;

/// A Mixer with its weights packed.
#[derive(Debug)]
pub(crate) struct Mixer {
    config: MixerConfig,
    classes: usize,
    stem: PatchEmbed,
    blocks: Vec<Block>,
    norm: Norm,
    head: AxisOp,
}

#[derive(Debug)]
struct Block {
    tokens: AxisOp,
    channels: AxisOp,
}

impl Mixer {
    /// The weights in a file: all tensors of the configuration, with a head of any size.
    pub(crate) fn find<'a>(
        file: &'a mut Checkpoint,
        model: &str,
        config: &MixerConfig,
    ) -> Result<Weights<'a>, ModelError> {
        config.check()?;
        check_blocks(file, config.depth)?;
        let names = Names::of(file).unwrap_or(Names::Timm);
        let classes = names.classes(file).unwrap_or(1000);
        if classes == 0 {
            return Err(ModelError::Config(format!(
                "{}: the head has no class",
                file.path().display()
            )));
        }
        Weights::find(file, model, names.specs(config, classes), names.squeezes())
    }

    /// Compares the tensors of a file with those of the configuration; returns the classes of its
    /// head.
    pub(crate) fn compare(
        file: &Checkpoint,
        model: &str,
        config: &MixerConfig,
    ) -> Result<usize, ModelError> {
        let names = Names::of(file).unwrap_or(Names::Timm);
        let classes = names.classes(file).unwrap_or(1000);
        let specs = names.specs(config, classes);
        compare(file, &specs, names.squeezes()).into_result(file, model)?;
        Ok(classes)
    }

    /// Weights drawn at random.
    pub(crate) fn random(config: &MixerConfig, classes: usize, seed: u64) -> Weights<'static> {
        Weights::random(Names::Timm.specs(config, classes), seed)
    }

    /// Reads and packs weights, tensor by tensor.
    pub(crate) fn load(
        config: MixerConfig,
        mut weights: Weights<'_>,
        gelu: Activation,
        isa: Isa,
    ) -> Result<Self, ModelError> {
        let classes = weights.shape("head.bias")[0];
        let mut read = Reader { weights: &mut weights, buffers: Default::default() };

        let patch = (config.patch, config.patch);
        let [weight, bias, ..] = &mut read.buffers;
        read.weights.vector("stem.proj.bias", bias)?;
        let weight = read.weights.matrix("stem.proj.weight", weight)?;
        let stem = PatchEmbed::pack(isa, weight, bias, config.image_channels, patch)?;
        let blocks = (0..config.depth)
            .map(|i| {
                let norm1 = read.norm(&format!("blocks.{i}.norm1"), Norm::layer_inner)?;
                let tokens =
                    read.mlp(&format!("blocks.{i}.mlp_tokens"), norm1, gelu, isa, Side::Left)?;
                let norm2 = read.norm(&format!("blocks.{i}.norm2"), Norm::layer_axis)?;
                let channels =
                    read.mlp(&format!("blocks.{i}.mlp_channels"), norm2, gelu, isa, Side::Right)?;
                Ok(Block { tokens, channels })
            })
            .collect::<Result<_, ModelError>>()?;
        let norm = read.norm("norm", Norm::layer_inner)?;
        let [weight, bias, ..] = &mut read.buffers;
        read.weights.vector("head.bias", bias)?;
        let weight = read.weights.matrix("head.weight", weight)?;
        let head = AxisLinear::new(weight).bias(bias)?.pack(isa, Side::Right)?;
        Ok(Mixer { config, classes, stem, blocks, norm, head })
    }

    /// The configuration that the tensors of a file have, if images are square, or why none.
    pub(crate) fn detect(file: &Checkpoint) -> Result<MixerConfig, String> {
        let names = Names::of(file).ok_or("no stem")?;
        let shape = |name: &str| names.shape(file, name).ok_or(format!("no `{name}`"));
        let [channels, image_channels, patch, _] = shape("stem.proj.weight")?[..] else {
            return Err("the stem is no convolution".into());
        };
        let [token_hidden, tokens] = shape("blocks.0.mlp_tokens.fc1.weight")?[..] else {
            return Err("token mixing is no matrix".into());
        };
        let [channel_hidden, _] = shape("blocks.0.mlp_channels.fc1.weight")?[..] else {
            return Err("channel mixing is no matrix".into());
        };
        let has_block = |i: &usize| names.shape(file, &format!("blocks.{i}.norm1.bias")).is_some();
        let depth = (0..).take_while(has_block).count();
        let side = tokens.isqrt().checked_mul(patch).ok_or(format!("patches of {patch}"))?;
        let config = MixerConfig {
            image: [side, side],
            image_channels,
            patch,
            channels,
            token_hidden,
            channel_hidden,
            depth,
        };
        if config.tokens() != tokens {
            return Err(format!("{tokens} tokens are no square image"));
        }
        Ok(config)
    }

    fn axes(&self, batch: usize) -> (Axes, Axes) {
        let (tokens, channels) = (self.config.tokens(), self.config.channels);
        (
            Axes { outer: batch, axis: tokens, inner: channels },
            Axes { outer: batch * tokens, axis: channels, inner: 1 },
        )
    }
}

/// Reads tensors into buffers that it uses again.
struct Reader<'a, 'b> {
    weights: &'a mut Weights<'b>,
    buffers: [Vec<f32>; 4],
}

impl Reader<'_, '_> {
    fn norm(
        &mut self,
        module: &str,
        norm: impl Fn(&[f32], &[f32], f32) -> Norm,
    ) -> Result<Norm, ModelError> {
        let [gamma, beta, ..] = &mut self.buffers;
        self.weights.vector(&format!("{module}.weight"), gamma)?;
        self.weights.vector(&format!("{module}.bias"), beta)?;
        Ok(norm(gamma, beta, EPS))
    }

    fn mlp(
        &mut self,
        module: &str,
        norm: Norm,
        gelu: Activation,
        isa: Isa,
        side: Side,
    ) -> Result<AxisOp, ModelError> {
        let [first, second, hidden_bias, bias] = &mut self.buffers;
        self.weights.vector(&format!("{module}.fc1.bias"), hidden_bias)?;
        self.weights.vector(&format!("{module}.fc2.bias"), bias)?;
        let first = self.weights.matrix(&format!("{module}.fc1.weight"), first)?;
        let second = self.weights.matrix(&format!("{module}.fc2.weight"), second)?;
        let mlp = AxisMlp::new(first, second)?.bias(hidden_bias, bias)?.norm(norm)?;
        Ok(mlp.activation(gelu).residual().pack(isa, side)?)
    }
}

impl Network for Mixer {
    fn input(&self) -> [usize; 3] {
        let [height, width] = self.config.image;
        [self.config.image_channels, height, width]
    }

    fn fixed_size(&self) -> &'static str {
        "its token-mixing weights are bound to the number of patches"
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn layers(&self) -> Vec<Layer> {
        let blocks = (0..self.config.depth).flat_map(|i| [Layer::Tokens(i), Layer::Block(i)]);
        [Layer::Stem]
            .into_iter()
            .chain(blocks)
            .chain([Layer::Norm, Layer::Mean, Layer::Head])
            .collect()
    }

    fn parameters(&self) -> u64 {
        self.config.parameters(self.classes)
    }

    fn macs(&self, phase: Option<Phase>) -> u64 {
        let config = &self.config;
        match phase {
            None => config.macs(self.classes),
            Some(Phase::Stem) => config.stem_macs(),
            Some(Phase::Tokens) => config.depth as u64 * config.token_macs(),
            Some(Phase::Channels) => config.depth as u64 * config.channel_macs(),
            Some(Phase::Head) => (config.channels * self.classes) as u64,
        }
    }

    fn packed_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|b| b.tokens.bytes() + b.channels.bytes());
        self.stem.bytes() + blocks.sum::<usize>() + self.head.bytes()
    }

    fn rows(&self) -> usize {
        self.config.tokens()
    }

    fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError> {
        let (tokens, _) = self.axes(batch);
        let mut workspace = Workspace::new(&[tokens.elements()?, batch * self.config.channels])?;
        // Fewer images can be cut into larger tasks, which need more memory.
        for batch in 1..=batch {
            let (tokens, channels) = self.axes(batch);
            let [height, width] = self.config.image;
            workspace.reserve(self.stem.scratch_len(batch, (height, width), ctx)?)?;
            if let Some(block) = self.blocks.first() {
                workspace.reserve(block.tokens.scratch_len(tokens, ctx)?)?;
                workspace.reserve(block.channels.scratch_len(channels, ctx)?)?;
            }
            workspace.reserve(self.norm.scratch_len(tokens, ctx)?)?;
            let pooled = Axes { outer: batch, axis: self.config.channels, inner: 1 };
            workspace.reserve(self.head.scratch_len(pooled, ctx)?)?;
        }
        Ok(workspace)
    }

    fn forward(
        &self,
        images: &[f32],
        logits: &mut [f32],
        batch: usize,
        workspace: &mut Workspace,
        ctx: &Context,
        observe: Observe<'_>,
    ) -> Result<(), ModelError> {
        let (tokens, channels) = self.axes(batch);
        let [height, width] = self.config.image;
        let ([x, pooled], scratch) = workspace.parts();
        let x = &mut x[..tokens.elements()?];
        let pooled = &mut pooled[..batch * self.config.channels];
        let shape = [batch, self.config.tokens(), self.config.channels];

        self.stem.apply(images, x, batch, (height, width), ctx, scratch)?;
        observe(Layer::Stem, &shape, x);
        for (i, block) in self.blocks.iter().enumerate() {
            block.tokens.apply(x, tokens, ctx, scratch)?;
            observe(Layer::Tokens(i), &shape, x);
            block.channels.apply(x, channels, ctx, scratch)?;
            observe(Layer::Block(i), &shape, x);
        }
        self.norm.apply(x, tokens, ctx, scratch)?;
        observe(Layer::Norm, &shape, x);
        mean_axis(x, pooled, tokens, ctx.isa())?;
        observe(Layer::Mean, &[batch, self.config.channels], pooled);
        let pooled_axes = Axes { outer: batch, axis: self.config.channels, inner: 1 };
        self.head.apply_to(pooled, logits, pooled_axes, ctx, scratch)?;
        observe(Layer::Head, &[batch, self.classes], logits);
        Ok(())
    }
}
