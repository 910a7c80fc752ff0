//! A unit of RepMLPNet: a gated mixing of places, then a perceptron along the channels.

use mixfold_gemm::{Activation, Context, Packer, Scratch};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, AxisOp, MixError, Norm, Side, add_gated, mean_axis, swap_axes,
};

use super::RepMlpNetConfig;
use super::block_ops::each;
use super::local::BranchOps;
use super::read::Reader;
use crate::ModelError;
use crate::config::Form;
use crate::network::Workspace;

/// A unit with its weights packed.
#[derive(Debug)]
pub(super) struct Unit {
    gate: [AxisOp; 2],
    tokens: Tokens,
    ffn: AxisOp,
}

/// Weights of a perceptron along the channels, from which on it has them on the right. Fewer stay in the
/// second level cache while the places pass by as they stand in memory.
const STREAMED: usize = 350_000;

/// `x + g · (norm(W·u) + Σ norm(conv(u)))` with `u = norm(x)`.
#[derive(Debug)]
enum Tokens {
    Folded(AxisOp),
    Branches(Norm, BranchOps),
}

/// Shapes of a stage.
#[derive(Clone, Copy)]
pub(super) struct Map {
    pub batch: usize,
    pub channels: usize,
    pub places: usize,
    pub height: usize,
    pub width: usize,
}

impl Map {
    /// Each channel's places as a vector.
    pub(super) fn places(self) -> Axes {
        Axes { outer: self.batch.saturating_mul(self.channels), axis: self.places, inner: 1 }
    }

    /// The channels of each place.
    pub(super) fn channels(self) -> Axes {
        Axes { outer: self.batch, axis: self.channels, inner: self.places }
    }

    /// The same where the places stand in front of the channels.
    pub(super) fn channels_last(self) -> Axes {
        Axes { outer: self.batch.saturating_mul(self.places), axis: self.channels, inner: 1 }
    }

    /// One vector of channels for each image.
    pub(super) fn pooled(self) -> Axes {
        Axes { outer: self.batch, axis: self.channels, inner: 1 }
    }

    pub(super) fn shape(self) -> [usize; 4] {
        [self.batch, self.channels, self.height, self.width]
    }

    pub(super) fn len(self) -> usize {
        self.batch * self.channels * self.places
    }
}

impl Unit {
    /// Reads and packs weights of the form `stored`, to be run in the form `form`.
    pub(super) fn read(
        read: &mut Reader<'_, '_>,
        unit: &str,
        (config, stage): (&RepMlpNetConfig, usize),
        (stored, form): (Form, Form),
        (gelu, packer): (Activation, Packer<'_>),
    ) -> Result<Self, ModelError> {
        let block = format!("{unit}.repmlp_block");
        let first = read.affine(&format!("{unit}.prebn1"))?;
        let mut hidden = read.linear(&format!("{block}.gp.fc1"), true)?;
        hidden.fold(&block, |hidden| hidden.preceded_by(&first))?;
        let gate = read.linear(&format!("{block}.gp.fc2"), true)?;
        let gate =
            [hidden.pack(Activation::Relu, packer)?, gate.pack(Activation::Sigmoid, packer)?];

        let [scale, shift] = [first.scale(), first.shift()]
            .map(|values| values.iter().map(|&x| x as f32).collect::<Vec<_>>());
        let norm = Norm::affine_outer(&scale, &shift);
        let fc3 = config.fc3(&block, stage);
        let tokens = if form == Form::Train {
            Tokens::Branches(norm, fc3.branches(read)?.pack(Activation::Identity, packer)?)
        } else {
            let fc = fc3.folded(read, stored)?;
            let map = AxisLinear::new(fc.matrix()?).groups(fc3.groups)?.bias(&fc.bias)?;
            Tokens::Folded(map.norm(norm)?.residual().pack(packer, Side::Right)?)
        };

        let second = read.affine(&format!("{unit}.prebn2"))?;
        let ffn = format!("{unit}.ffn_block");
        let behind = read.affine(&format!("{ffn}.ffn_fc1.bn"))?;
        let mut fc1 = read.linear(&format!("{ffn}.ffn_fc1.conv"), false)?;
        fc1.fold(&ffn, |fc1| fc1.between(&second, &behind))?;
        let fc2 = read.conv_bn(&format!("{ffn}.ffn_fc2"))?;
        let ffn = AxisMlp::new(fc1.matrix()?, fc2.matrix()?)?.bias(&fc1.bias, &fc2.bias)?;
        let streamed = fc1.weight.len() + fc2.weight.len() > STREAMED;
        let side = if streamed || config.places(stage) == 1 { Side::Right } else { Side::Left };
        let ffn = ffn.activation(gelu).residual().pack(packer, side)?;
        Ok(Unit { gate, tokens, ffn })
    }

    /// Memory for maps of these shapes.
    pub(super) fn reserve(
        &self,
        workspace: &mut Workspace,
        map: Map,
        ctx: &Context,
    ) -> Result<(), ModelError> {
        let Unit { gate: [hidden, gate], tokens, ffn } = self;
        let pooled = map.pooled();
        workspace.reserve(hidden.scratch_len(pooled, ctx)?)?;
        workspace.reserve(gate.scratch_len(pooled.with_axis(gate.axis()), ctx)?)?;
        match tokens {
            Tokens::Folded(fc3) => workspace.reserve(fc3.scratch_len(map.places(), ctx)?)?,
            Tokens::Branches(norm, branches) => {
                workspace.reserve(norm.scratch_len(map.places(), ctx)?)?;
                let images = map.places().outer / branches.groups();
                for len in branches.scratch_len(images, ctx)? {
                    workspace.reserve(len)?;
                }
            }
        }
        let axes = if ffn.side() == Side::Left { map.channels() } else { map.channels_last() };
        workspace.reserve(ffn.scratch_len(axes, ctx)?)
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        let Unit { gate: [hidden, gate], tokens, ffn } = self;
        let tokens = match tokens {
            Tokens::Folded(fc3) => fc3.bytes(),
            Tokens::Branches(_, branches) => branches.bytes(),
        };
        hidden.bytes() + gate.bytes() + tokens + ffn.bytes()
    }

    /// The first half: along the places. The result stands in `maps[0]`, which may change places with
    /// `maps[1]`.
    pub(super) fn mix_places(
        &self,
        maps: &mut [&mut [f32]; 3],
        [pooled, hidden, gate]: [&mut [f32]; 3],
        map: Map,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let [x, y, input] = maps.each_mut().map(|values| &mut values[..]);
        let (x, axes) = (&mut x[..map.len()], map.places());
        means(x, pooled, axes, ctx)?;
        let [to_hidden, to_gate] = &self.gate;
        to_hidden.apply_to(pooled, hidden, map.pooled(), ctx, scratch)?;
        let hidden_axes = map.pooled().with_axis(to_gate.axis());
        to_gate.apply_to(hidden, gate, hidden_axes, ctx, scratch)?;
        match &self.tokens {
            Tokens::Folded(fc3) => {
                fc3.gated(gate).apply_to(x, &mut y[..map.len()], axes, ctx, scratch)?;
                let [x, y, _] = maps;
                std::mem::swap(x, y);
            }
            Tokens::Branches(norm, branches) => {
                let (y, input) = (&mut y[..map.len()], &mut input[..map.len()]);
                let places = axes.axis;
                each(ctx, input, places, places, |first, input| {
                    input.copy_from_slice(&x[first * places..][..input.len()]);
                    Ok(())
                })?;
                norm.apply(input, axes, ctx, scratch)?;
                let images = axes.outer / branches.groups();
                branches.apply(input, y, images, ctx, scratch)?;
                each(ctx, x, places, places, |first, x| {
                    let axes = Axes { outer: x.len() / places, ..axes };
                    let y = &y[first * places..][..x.len()];
                    add_gated(x, y, &gate[first..][..axes.outer], axes, ctx.isa())
                })?;
            }
        }
        Ok(())
    }

    /// The second half: along the channels of `maps[0]`; `maps[1]` is working memory.
    pub(super) fn mix_channels(
        &self,
        [x, swapped, _]: &mut [&mut [f32]; 3],
        map: Map,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
    ) -> Result<(), MixError> {
        let (x, axes) = (&mut x[..map.len()], map.channels());
        if self.ffn.side() == Side::Left {
            return self.ffn.apply(x, axes, ctx, scratch);
        }
        // As rows, places need no filling up to whole vectors.
        let swapped = &mut swapped[..map.len()];
        swap_axes(x, swapped, axes, ctx)?;
        self.ffn.apply(swapped, map.channels_last(), ctx, scratch)?;
        let back = Axes { axis: axes.inner, inner: axes.axis, ..axes };
        swap_axes(swapped, x, back, ctx)
    }
}

/// The mean of each channel's places, on all threads.
pub(super) fn means(
    x: &[f32],
    means: &mut [f32],
    axes: Axes,
    ctx: &Context,
) -> Result<(), MixError> {
    let places = axes.axis;
    each(ctx, means, 1, places, |first, means| {
        let axes = Axes { outer: means.len(), ..axes };
        mean_axis(&x[first * places..][..means.len() * places], means, axes, ctx.isa())
    })
}
