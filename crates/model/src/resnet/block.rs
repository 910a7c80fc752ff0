//! A block of a ResNet with its weights packed.

use mixfold_gemm::{Activation, Context, Packer, Scratch};
use mixfold_mix::{Conv2d, Conv2dOp};

use super::sizes::{BlockSizes, ConvSizes};
use crate::ModelError;
use crate::config::Form;
use crate::network::{Phase, Workspace};
use crate::repmlp::block_ops::BlockOps;
use crate::repmlp::block_read::BlockWeights;
use crate::repmlp::read::Reader;
use crate::weights::Weights;

/// `relu(shortcut(x) + last(steps(x)))`
#[derive(Debug)]
pub(super) struct Block {
    /// If not, the input itself is added.
    shortcut: Option<Conv2dOp>,
    /// Names in the block, and what they stand for: each with a ReLU behind it.
    steps: Vec<(&'static str, Step)>,
    /// With a ReLU behind the sum.
    last: Conv2dOp,
}

#[derive(Debug)]
enum Step {
    Conv(Conv2dOp),
    RepMlp(Box<BlockOps>),
}

/// Images of so many channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// The memory of a forward pass: maps, of which the first is the input and then the output of a block,
/// and the means of partitions.
pub(super) struct Memory<'m> {
    pub maps: [&'m mut [f32]; 3],
    pub means: &'m mut [f32],
}

/// Is shown the name of a step, the kind of work that it is, and the map that it makes.
pub(super) type ObserveStep<'a> = &'a mut dyn FnMut(&'static str, Phase, Map, &[f32]);

impl Map {
    pub(super) fn len(self) -> usize {
        let Map { batch, channels, height, width } = self;
        [channels, height, width].into_iter().fold(batch, usize::saturating_mul)
    }

    pub(super) fn shape(self) -> [usize; 4] {
        [self.batch, self.channels, self.height, self.width]
    }

    pub(super) fn image(self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// What a convolution makes of it.
    pub(super) fn behind(self, conv: &Conv2dOp) -> Result<Self, ModelError> {
        let (height, width) = conv.output(self.image())?;
        Ok(Map { channels: conv.out(), height, width, ..self })
    }
}

/// Reads and packs a convolution with its batch norm, of weights of the form `stored`, with a ReLU
/// behind it or, if asked for, behind what it is added to.
pub(super) fn read_conv(
    weights: &mut Weights<'_>,
    module: &str,
    conv: &ConvSizes,
    stored: Form,
    relu: Relu,
    packer: Packer<'_>,
) -> Result<Conv2dOp, ModelError> {
    let mut read = Reader::new(weights);
    let linear = match stored {
        Form::Train => read.conv_bn(module)?,
        Form::Deploy => read.linear(&format!("{module}.conv"), true)?,
    };
    let (kernel, stride, padding) = (conv.kernel, conv.stride, conv.kernel / 2);
    let conv = Conv2d::new(linear.matrix()?, (kernel, kernel))?.stride((stride, stride))?;
    let conv = conv.padding((padding, padding)).bias(&linear.bias)?;
    let conv = match relu {
        Relu::None => conv,
        Relu::Behind => conv.activation(Activation::Relu),
        Relu::OfSum => conv.activation_of_sum(Activation::Relu),
    };
    Ok(conv.pack(packer)?)
}

/// Where a convolution has a ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relu {
    None,
    Behind,
    OfSum,
}

impl Block {
    /// Reads and packs weights of the form `stored`, to be run in the form `form`.
    pub(super) fn read(
        weights: &mut Weights<'_>,
        block: &str,
        sizes: &BlockSizes,
        (stored, form): (Form, Form),
        packer: Packer<'_>,
    ) -> Result<Self, ModelError> {
        let module = |name: &str| format!("{block}.{name}");
        let mut conv = |conv: &ConvSizes, relu| {
            read_conv(weights, &module(conv.name), conv, stored, relu, packer)
        };
        let shortcut = sizes.shortcut.as_ref().map(|sizes| conv(sizes, Relu::None)).transpose()?;
        let mut step = |sizes: &ConvSizes| {
            Ok::<_, ModelError>((sizes.name, Step::Conv(conv(sizes, Relu::Behind)?)))
        };
        let mut steps = sizes.front.iter().map(&mut step).collect::<Result<Vec<_>, _>>()?;
        let (last, back) = sizes.back.split_last().expect("a block ends with a convolution");
        let back = back.iter().map(&mut step).collect::<Result<Vec<_>, _>>()?;
        let last = conv(last, Relu::OfSum)?;
        if let Some((name, config)) = &sizes.repmlp {
            let mut repmlp = BlockWeights::new(weights, &module(name), config);
            let ops = BlockOps::read(&mut repmlp, (stored, form), Activation::Relu, packer)?;
            steps.push((name, Step::RepMlp(ops.into())));
        }
        steps.extend(back);
        Ok(Block { shortcut, steps, last })
    }

    /// Names of the steps, and the kind of work that each is.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, Phase)> {
        self.steps.iter().map(|(name, step)| match step {
            Step::Conv(_) => (*name, Phase::Channels),
            Step::RepMlp(_) => (*name, Phase::Tokens),
        })
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        let convs = self.shortcut.iter().chain([&self.last]).map(Conv2dOp::bytes).sum::<usize>();
        let steps = self.steps.iter().map(|(_, step)| match step {
            Step::Conv(conv) => conv.bytes(),
            Step::RepMlp(repmlp) => repmlp.bytes(),
        });
        convs + steps.sum::<usize>()
    }

    /// The output for such an input. Makes the lengths of the maps and of the means as large as are
    /// needed for it.
    pub(super) fn measure(&self, input: Map, lens: &mut [usize; 4]) -> Result<Map, ModelError> {
        let mut take = |i: usize, len: usize| lens[i] = lens[i].max(len);
        let (mut map, mut to) = (input, 1);
        for (_, step) in &self.steps {
            match step {
                Step::Conv(conv) => map = map.behind(conv)?,
                Step::RepMlp(repmlp) => take(3, repmlp.lens(map.batch)?[2]),
            }
            take(to, map.len());
            to = 3 - to;
        }
        let output = map.behind(&self.last)?;
        take(0, input.len().max(output.len()));
        if self.shortcut.is_some() {
            take(to, input.len().max(output.len()));
        }
        Ok(output)
    }

    /// Scratch memory for such an input.
    pub(super) fn reserve(
        &self,
        workspace: &mut Workspace,
        input: Map,
        ctx: &Context,
    ) -> Result<(), ModelError> {
        let mut conv = |conv: &Conv2dOp, map: Map| {
            workspace.reserve(conv.scratch_len(map.batch, map.image(), ctx)?)
        };
        if let Some(shortcut) = &self.shortcut {
            conv(shortcut, input)?;
        }
        let mut map = input;
        for (_, step) in &self.steps {
            if let Step::Conv(op) = step {
                conv(op, map)?;
                map = map.behind(op)?;
            }
        }
        conv(&self.last, map)?;
        for (_, step) in &self.steps {
            if let Step::RepMlp(repmlp) = step {
                repmlp.reserve(workspace, input.batch, ctx)?;
            }
        }
        Ok(())
    }

    /// From the first map to the first map, which may change places with the others. Shows what each
    /// step makes.
    pub(super) fn apply(
        &self,
        Memory { maps, means }: &mut Memory<'_>,
        input: Map,
        ctx: &Context,
        scratch: &mut Scratch<f32>,
        observe: ObserveStep<'_>,
    ) -> Result<Map, ModelError> {
        let [x, a, b] = maps;
        let mut map = input;
        for (i, (name, step)) in self.steps.iter().enumerate() {
            let (from, to) = match i {
                0 => (&mut **x, &mut **a),
                _ if i % 2 == 1 => (&mut **a, &mut **b),
                _ => (&mut **b, &mut **a),
            };
            match step {
                Step::Conv(conv) => {
                    let next = map.behind(conv)?;
                    let (from, to) = (&from[..map.len()], &mut to[..next.len()]);
                    conv.apply(from, to, map.batch, map.image(), ctx, scratch)?;
                    map = next;
                    observe(name, Phase::Channels, map, to);
                }
                Step::RepMlp(repmlp) => {
                    let (from, to) = (&mut from[..map.len()], &mut to[..map.len()]);
                    run_repmlp(repmlp, from, to, means, map.batch, ctx, scratch)?;
                    observe(name, Phase::Tokens, map, to);
                }
            }
        }
        let (from, free) = if self.steps.len() % 2 == 1 { (a, b) } else { (b, a) };
        let (output, from) = (map.behind(&self.last)?, &from[..map.len()]);
        if let Some(shortcut) = &self.shortcut {
            let (x, sum) = (&x[..input.len()], &mut free[..output.len()]);
            shortcut.apply(x, sum, input.batch, input.image(), ctx, scratch)?;
        }
        let sum = if self.shortcut.is_some() { &mut *free } else { &mut *x };
        let sum = &mut sum[..output.len()];
        self.last.apply_add(from, sum, map.batch, map.image(), ctx, scratch)?;
        if self.shortcut.is_some() {
            std::mem::swap(x, free);
        }
        Ok(output)
    }
}

/// From `x` to `y`, which both are overwritten.
fn run_repmlp(
    repmlp: &BlockOps,
    x: &mut [f32],
    y: &mut [f32],
    means: &mut [f32],
    batch: usize,
    ctx: &Context,
    scratch: &mut Scratch<f32>,
) -> Result<(), ModelError> {
    if !repmlp.is_cut() {
        return Ok(repmlp.mix(x, y, batch, ctx, scratch)?);
    }
    let [_, _, count] = repmlp.lens(batch)?;
    repmlp.enter(x, [&mut *y, &mut means[..count]], batch, ctx, scratch)?;
    repmlp.mix(y, x, batch, ctx, scratch)?;
    Ok(repmlp.leave(x, y, batch, ctx)?)
}
