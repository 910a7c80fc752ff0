//! RepMLPNet (Ding et al., *RepMLPNet: Hierarchical Vision MLP with Re-parameterized Locality*,
//! 2022).
//!
//! ```text
//! x = relu(norm(conv(image)))                          patches, no overlap
//! for each stage:
//!     depth times:
//!         u = norm(x)
//!         g = sigmoid(W₂·relu(W₁·mean(u) + b₁) + b₂)   along the channels, mean over the places
//!         x = x + g · (norm(W·u) + Σ norm(conv(u)))    along the places; W of channel c is number
//!                                                      c mod S; the convolutions go channel by channel
//!         x = x + norm(V₂·gelu(norm(V₁·norm(x))))      along the channels
//!     x = relu(norm(conv(x)))                          2 × 2, no overlap; not behind the last stage
//! logits = head(mean(norm(x)))
//! ```
//!
//! All norms are batch norms with their running statistics. In deploy form, W has the convolutions
//! and the norms of its line folded in, and there is a bias. Of either form, all other norms but the
//! first of a unit are folded into the layers beside them when the model is loaded.

use mixfold_gemm::{Activation, Context, Packer};
use mixfold_mix::{Axes, AxisOp, Conv2dOp};

use super::RepMlpNetConfig;
use super::names::unit;
use super::read::Reader;
use super::unit::{Map, Unit, means};
use crate::ModelError;
use crate::architecture::{Kind, Stored};
use crate::config::Form;
use crate::network::{Layer, Network, Observe, Phase, Workspace};

/// A RepMLPNet with its weights packed.
#[derive(Debug)]
pub(crate) struct RepMlpNet {
    config: RepMlpNetConfig,
    form: Form,
    classes: usize,
    /// In front of each stage.
    embeds: Vec<Conv2dOp>,
    stages: Vec<Vec<Unit>>,
    head: AxisOp,
}

impl RepMlpNet {
    /// Reads and packs weights, to be run in this form.
    ///
    /// # Errors
    /// If the stored form is deploy and the other one train: the branches cannot be told apart again.
    pub(crate) fn load(
        config: RepMlpNetConfig,
        stored: Stored<'_>,
        form: Form,
        gelu: Activation,
        packer: Packer<'_>,
    ) -> Result<Self, ModelError> {
        let Stored { mut weights, kind: Kind { form: stored, .. } } = stored;
        if (stored, form) == (Form::Deploy, Form::Train) {
            return Err(ModelError::Folded);
        }
        let classes = weights.shape("head.bias")[0];
        let mut read = Reader::new(&mut weights);
        let mut embeds = vec![read.embedding("conv_embedding", packer)?];
        let mut stages = Vec::new();
        for (i, stage) in config.stages.iter().enumerate() {
            let units = (0..stage.depth).map(|j| {
                Unit::read(&mut read, &unit(i, j), (&config, i), (stored, form), (gelu, packer))
            });
            stages.push(units.collect::<Result<_, _>>()?);
            if i + 1 < config.stages.len() {
                embeds.push(read.embedding(&format!("embeds.{i}"), packer)?);
            }
        }
        let norm = read.affine("head_norm")?;
        let mut head = read.linear("head", true)?;
        head.fold("head", |head| head.preceded_by(&norm))?;
        let head = head.pack(Activation::Identity, packer)?;
        Ok(RepMlpNet { config, form, classes, embeds, stages, head })
    }

    fn map(&self, stage: usize, batch: usize) -> Map {
        let [height, width] = self.config.map(stage);
        let channels = self.config.stages[stage].channels;
        Map { batch, channels, places: self.config.places(stage), height, width }
    }

    fn last(&self, batch: usize) -> Map {
        self.map(self.config.stages.len() - 1, batch)
    }

    /// What an embedding is applied to: the image, or the map of the stage before.
    fn source(&self, stage: usize) -> (usize, usize) {
        let [height, width] = match stage.checked_sub(1) {
            Some(before) => self.config.map(before),
            None => self.config.image,
        };
        (height, width)
    }
}

impl Network for RepMlpNet {
    fn input(&self) -> [usize; 3] {
        let [height, width] = self.config.image;
        [self.config.image_channels, height, width]
    }

    fn fixed_size(&self) -> &'static str {
        "its matrices along the places of a map are bound to the size of the map, and the partitions \
         that a larger one would be cut into are put together in another order by the official code"
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn form(&self) -> Option<Form> {
        Some(self.form)
    }

    fn layers(&self) -> Vec<Layer> {
        let mut layers = vec![Layer::Stem];
        for (stage, units) in self.stages.iter().enumerate() {
            if stage > 0 {
                layers.push(Layer::Embed(stage - 1));
            }
            for unit in 0..units.len() {
                layers.extend([Layer::UnitTokens(stage, unit), Layer::Unit(stage, unit)]);
            }
        }
        layers.extend([Layer::Mean, Layer::Head]);
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
        let embeds: usize = self.embeds.iter().map(Conv2dOp::bytes).sum();
        let units: usize = self.stages.iter().flatten().map(Unit::bytes).sum();
        embeds + units + self.head.bytes()
    }

    fn rows(&self) -> usize {
        self.config.stages.first().map_or(1, |stage| stage.channels / stage.share_sets)
    }

    fn workspace(&self, batch: usize, ctx: &Context) -> Result<Workspace, ModelError> {
        let stages = 0..self.config.stages.len();
        let (mut map, mut pooled, mut hidden) = (0, 0, 0);
        for stage in stages.clone() {
            let sizes = self.map(stage, batch);
            let Axes { outer, .. } = sizes.places();
            map = map.max(sizes.places().elements()?);
            pooled = pooled.max(outer);
            hidden = hidden.max(batch * self.config.gate_hidden(sizes.channels));
        }
        let input = if self.form == Form::Train { map } else { 0 };
        let mut workspace = Workspace::new(&[map, map, input, pooled, hidden, pooled])?;
        // Fewer images can be cut into larger tasks, which need more memory.
        for batch in 1..=batch {
            for stage in stages.clone() {
                let image = self.source(stage);
                workspace.reserve(self.embeds[stage].scratch_len(batch, image, ctx)?)?;
                if let Some(unit) = self.stages[stage].first() {
                    unit.reserve(&mut workspace, self.map(stage, batch), ctx)?;
                }
            }
            workspace.reserve(self.head.scratch_len(self.last(batch).pooled(), ctx)?)?;
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
        let ([x, y, input, pooled, hidden, gate], scratch) = workspace.parts();
        let mut maps = [x, y, input];
        for (stage, units) in self.stages.iter().enumerate() {
            let (map, image) = (self.map(stage, batch), self.source(stage));
            let [x, y, _] = &mut maps;
            if stage == 0 {
                self.embeds[0].apply(images, &mut x[..map.len()], batch, image, ctx, scratch)?;
                observe(Layer::Stem, &map.shape(), &x[..map.len()]);
            } else {
                let before = &x[..self.map(stage - 1, batch).len()];
                let after = &mut y[..map.len()];
                self.embeds[stage].apply(before, after, batch, image, ctx, scratch)?;
                observe(Layer::Embed(stage - 1), &map.shape(), after);
                std::mem::swap(x, y);
            }
            let channels = batch * map.channels;
            let hidden_len = batch * self.config.gate_hidden(map.channels);
            for (i, unit) in units.iter().enumerate() {
                let pooled =
                    [&mut pooled[..channels], &mut hidden[..hidden_len], &mut gate[..channels]];
                unit.mix_places(&mut maps, pooled, map, ctx, scratch)?;
                observe(Layer::UnitTokens(stage, i), &map.shape(), &maps[0][..map.len()]);
                unit.mix_channels(&mut maps, map, ctx, scratch)?;
                observe(Layer::Unit(stage, i), &map.shape(), &maps[0][..map.len()]);
            }
        }
        let map = self.last(batch);
        let pooled = &mut pooled[..batch * map.channels];
        means(&maps[0][..map.len()], pooled, map.places(), ctx)?;
        observe(Layer::Mean, &[batch, map.channels], pooled);
        self.head.apply_to(pooled, logits, map.pooled(), ctx, scratch)?;
        observe(Layer::Head, &[batch, self.classes], logits);
        Ok(())
    }
}
