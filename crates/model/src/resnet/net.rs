//! A ResNet, with or without RepMLPs (Ding et al., *RepMLP: Re-parameterizing Convolutions into
//! Fully-connected Layers for Image Recognition*, 2021).
//!
//! ```text
//! x = pool(relu(conv(image)))                          7 × 7 at half the size; maxima of 3 × 3, at half
//! for each stage:                                      the first block of all but the first halves the map
//!     depth times:
//!         x = relu(shortcut(x) + block(x))             shortcut: conv 1 × 1 where the shape changes
//! logits = linear(mean(x))
//!
//! base(x)       = conv(relu(conv(relu(conv(x)))))      1 × 1, 3 × 3, 1 × 1
//! light(x)      = conv(relu(repmlp(relu(conv(x)))))    1 × 1, 1 × 1
//! bottleneck(x) = conv(relu(conv(relu(repmlp(relu(conv(relu(conv(x)))))))))
//!                                                      1 × 1, 3 × 3, 3 × 3, 1 × 1
//! ```
//!
//! Behind each convolution is a batch norm with its running statistics, which is folded into it when
//! the model is loaded, whatever the form. The form is that of the RepMLPs.

use mixfold_gemm::{Activation, Context, Packer};
use mixfold_mix::{Axes, AxisOp, Conv2dOp, MaxPool2d, mean_axis};

use super::ResNetConfig;
use super::block::{Block, Map, Memory, Relu, read_conv};
use super::names::{self, HEAD};
use super::sizes::stem;
use crate::ModelError;
use crate::architecture::{Kind, Stored};
use crate::config::Form;
use crate::network::{Layer, Network, Observe, Phase, Workspace};
use crate::repmlp::read::Reader;

const STEM: Layer = Layer::Module("stage0.0", Phase::Stem);
const POOL: Layer = Layer::Module("stage0.1", Phase::Stem);
const MEAN: Layer = Layer::Module("gap", Phase::Head);
const LOGITS: Layer = Layer::Module(HEAD, Phase::Head);

/// A ResNet with its weights packed.
#[derive(Debug)]
pub(super) struct ResNet {
    config: ResNetConfig,
    form: Form,
    classes: usize,
    stem: Conv2dOp,
    pool: MaxPool2d,
    stages: Vec<Vec<Block>>,
    head: AxisOp,
}

impl ResNet {
    /// Reads and packs weights, to be run in this form.
    ///
    /// # Errors
    /// If the stored form is deploy and the other one train: what was folded in cannot be told apart
    /// again.
    pub(super) fn load(
        config: ResNetConfig,
        stored: Stored<'_>,
        form: Form,
        packer: Packer<'_>,
    ) -> Result<Self, ModelError> {
        let Stored { mut weights, kind: Kind { form: stored, classes, .. } } = stored;
        if (stored, form) == (Form::Deploy, Form::Train) {
            return Err(ModelError::Folded);
        }
        let first = stem(&config);
        let conv = read_conv(&mut weights, first.name, &first, stored, Relu::Behind, packer)?;
        let pool = MaxPool2d::new((3, 3))?.stride((2, 2))?.padding((1, 1))?;
        let mut stages = Vec::new();
        for (i, stage) in config.stages.iter().enumerate() {
            let blocks = (0..stage.depth).map(|j| {
                let sizes = config.block(i, j);
                Block::read(&mut weights, &names::block(i, j), &sizes, (stored, form), packer)
            });
            stages.push(blocks.collect::<Result<_, _>>()?);
        }
        let head =
            Reader::new(&mut weights).linear(HEAD, true)?.pack(Activation::Identity, packer)?;
        Ok(ResNet { config, form, classes, stem: conv, pool, stages, head })
    }

    fn images(&self, batch: usize) -> Map {
        let [height, width] = self.config.image;
        Map { batch, channels: self.config.image_channels, height, width }
    }

    /// What the pool makes of a map.
    fn pooled(&self, map: Map) -> Result<Map, ModelError> {
        let (height, width) = self.pool.output(map.image())?;
        Ok(Map { height, width, ..map })
    }

    /// The channels of each place, and those of the means.
    fn means(map: Map) -> (Axes, Axes) {
        let Map { batch, channels, height, width } = map;
        let outer = batch.saturating_mul(channels);
        let places = Axes { outer, axis: height.saturating_mul(width), inner: 1 };
        (places, Axes { outer: batch, axis: channels, inner: 1 })
    }

    fn blocks(&self) -> impl Iterator<Item = (usize, usize, &Block)> {
        let stages = self.stages.iter().enumerate();
        stages.flat_map(|(i, blocks)| {
            blocks.iter().enumerate().map(move |(j, block)| (i + 1, j, block))
        })
    }
}

impl Network for ResNet {
    fn input(&self) -> [usize; 3] {
        let [height, width] = self.config.image;
        [self.config.image_channels, height, width]
    }

    fn fixed_size(&self) -> &'static str {
        if self.config.stages.iter().any(|stage| stage.repmlp.is_some()) {
            "its matrices are bound to the partitions of a map, and the perceptrons beside them to their \
             number"
        } else {
            "its memory is laid out for one size, which another configuration may set"
        }
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn form(&self) -> Option<Form> {
        Some(self.form)
    }

    fn layers(&self) -> Vec<Layer> {
        let mut layers = vec![STEM, POOL];
        for (stage, number, block) in self.blocks() {
            let part = |(name, phase)| Layer::StagePart(stage, number, name, phase);
            layers.extend(block.parts().map(part));
            layers.push(Layer::StageBlock(stage, number));
        }
        layers.extend([MEAN, LOGITS]);
        layers
    }

    fn parameters(&self) -> u64 {
        self.config.parameters(self.classes, self.form)
    }

    fn macs(&self, phase: Option<Phase>) -> u64 {
        match phase {
            None => self.config.macs(self.classes, self.form),
            Some(phase) => self.config.phase_macs(self.classes, self.form, phase),
        }
    }

    fn packed_bytes(&self) -> usize {
        let blocks: usize = self.blocks().map(|(.., block)| block.bytes()).sum();
        self.stem.bytes() + blocks + self.head.bytes()
    }

    fn rows(&self) -> usize {
        // The places of the last map, where most of the weights are.
        let [height, width] = self.config.map(self.config.stages.len().saturating_sub(1));
        height.saturating_mul(width)
    }

    fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError> {
        let stem = self.images(batch).behind(&self.stem)?;
        let mut map = self.pooled(stem)?;
        let mut lens = [map.len(), stem.len(), 0, 0];
        for (.., block) in self.blocks() {
            map = block.measure(map, &mut lens)?;
        }
        let (_, means) = Self::means(map);
        // The first two change places.
        let [x, a, b, mut global] = lens;
        global = global.max(means.elements()?);
        let mut workspace = Workspace::new(&[x.max(a), x.max(a), b, global])?;
        // Fewer images can be cut into larger tasks, which need more memory.
        for batch in 1..=batch {
            let images = self.images(batch);
            workspace.reserve(self.stem.scratch_len(batch, images.image(), ctx)?)?;
            let stem = images.behind(&self.stem)?;
            workspace.reserve(self.pool.scratch_len(
                batch * stem.channels,
                stem.image(),
                ctx,
            )?)?;
            let mut map = self.pooled(stem)?;
            for (.., block) in self.blocks() {
                block.reserve(&mut workspace, map, ctx)?;
                map = block.measure(map, &mut lens)?;
            }
            workspace.reserve(self.head.scratch_len(Self::means(map).1, ctx)?)?;
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
        let ([x, a, b, means], scratch) = workspace.parts();
        let (input, stem) = (self.images(batch), self.images(batch).behind(&self.stem)?);
        self.stem.apply(images, &mut a[..stem.len()], batch, input.image(), ctx, scratch)?;
        observe(STEM, &stem.shape(), &a[..stem.len()]);
        let mut map = self.pooled(stem)?;
        let planes = batch * map.channels;
        let y = &mut x[..map.len()];
        self.pool.apply(&a[..stem.len()], y, planes, stem.image(), ctx, scratch)?;
        observe(POOL, &map.shape(), &x[..map.len()]);

        let mut memory = Memory { maps: [x, a, b], means };
        for (stage, number, block) in self.blocks() {
            let mut part = |name, phase, map: Map, values: &[f32]| {
                observe(Layer::StagePart(stage, number, name, phase), &map.shape(), values);
            };
            map = block.apply(&mut memory, map, ctx, scratch, &mut part)?;
            observe(Layer::StageBlock(stage, number), &map.shape(), &memory.maps[0][..map.len()]);
        }
        let (places, axes) = Self::means(map);
        let means = &mut memory.means[..places.outer];
        mean_axis(&memory.maps[0][..map.len()], means, places, ctx.isa())?;
        observe(MEAN, &[batch, map.channels], means);
        self.head.apply_to(means, logits, axes, ctx, scratch)?;
        observe(LOGITS, &[batch, self.classes], logits);
        Ok(())
    }
}
