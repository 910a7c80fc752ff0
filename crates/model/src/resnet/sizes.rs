//! What a block of a ResNet consists of: whatever is counted, named, read or run follows from it.

use super::config::{EXPANSION, RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage};
use crate::RepMlpBlockConfig;
use crate::config::Form;
use crate::sizes::product;

/// A convolution with its batch norm. Zeros of half a kernel stand around its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvSizes {
    /// Its name in the block.
    pub name: &'static str,
    pub channels: usize,
    pub out: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    pub stride: usize,
}

/// A block, in order: `relu(shortcut(x) + back(relu(repmlp(front(x)))))`, where each convolution but the
/// last has a ReLU behind it.
#[derive(Clone, Debug)]
pub(super) struct BlockSizes {
    /// If not, the input itself is added.
    pub shortcut: Option<ConvSizes>,
    pub front: Vec<ConvSizes>,
    /// Name and sizes.
    pub repmlp: Option<(&'static str, RepMlpBlockConfig)>,
    pub back: Vec<ConvSizes>,
}

/// The first convolution of a network.
pub(super) fn stem(config: &ResNetConfig) -> ConvSizes {
    let (channels, out) = (config.image_channels, config.stem);
    ConvSizes { name: "stage0.0", channels, out, kernel: 7, stride: 2 }
}

impl ConvSizes {
    /// Shape of the weight.
    pub(super) fn shape(&self) -> [usize; 4] {
        [self.out, self.channels, self.kernel, self.kernel]
    }

    /// Height and width of what becomes of a map.
    pub(super) fn output(&self, map: [usize; 2]) -> [usize; 2] {
        map.map(|side| side.div_ceil(self.stride))
    }

    /// Multiply-adds for a map.
    pub(super) fn macs(&self, map: [usize; 2]) -> u64 {
        let [height, width] = self.output(map);
        product([self.out, self.channels, self.kernel, self.kernel, height, width])
    }
}

impl BlockSizes {
    /// The convolutions, the shortcut first, as they are stored.
    pub(super) fn convs(&self) -> impl Iterator<Item = &ConvSizes> {
        self.shortcut.iter().chain(&self.front).chain(&self.back)
    }

    /// Multiply-adds of the convolutions and of the RepMLP for a map.
    pub(super) fn macs(&self, map: [usize; 2], form: Form) -> [u64; 2] {
        let mut convs = self.shortcut.map_or(0, |conv| conv.macs(map));
        let mut map = map;
        for conv in self.front.iter().chain(&self.back) {
            convs = convs.saturating_add(conv.macs(map));
            map = conv.output(map);
        }
        [convs, self.repmlp.as_ref().map_or(0, |(_, repmlp)| repmlp.macs(form))]
    }
}

impl ResNetConfig {
    /// A block of a stage.
    pub(super) fn block(&self, stage: usize, number: usize) -> BlockSizes {
        let ResNetStage { channels, repmlp, .. } = self.stages[stage];
        match repmlp {
            Some(repmlp) if number > 0 => self.with_repmlp(stage, repmlp),
            _ => {
                let first = number == 0;
                let inputs = if first { self.inputs(stage) } else { channels };
                base(inputs, channels, if first && stage > 0 { 2 } else { 1 })
            }
        }
    }

    fn with_repmlp(&self, stage: usize, repmlp: ResNetRepMlp) -> BlockSizes {
        let ResNetRepMlp { place, reduction, partition, groups } = repmlp;
        let channels = self.stages[stage].channels;
        let middle = channels / EXPANSION;
        let (name, whole) = match place {
            RepMlpPlace::Light => ("light_repmlp", channels),
            RepMlpPlace::Bottleneck => ("btnk_repmlp", middle),
        };
        let few = whole.checked_div(reduction).unwrap_or(0);
        let (front, back) = match place {
            RepMlpPlace::Light => (
                vec![conv("light_conv1", [channels, few], 1)],
                vec![conv("light_conv3", [few, channels], 1)],
            ),
            RepMlpPlace::Bottleneck => (
                vec![
                    conv("btnk_conv1", [channels, middle], 1),
                    conv("btnk_conv2", [middle, few], 3),
                ],
                vec![
                    conv("btnk_conv4", [few, middle], 3),
                    conv("btnk_conv5", [middle, channels], 1),
                ],
            ),
        };
        let config = RepMlpBlockConfig {
            channels: few,
            out_channels: few,
            map: self.map(stage),
            partition,
            groups,
            kernels: self.kernels.to_vec(),
            reduction: 1,
        };
        BlockSizes { shortcut: None, front, repmlp: Some((name, config)), back }
    }
}

/// A block without a RepMLP.
fn base(inputs: usize, channels: usize, stride: usize) -> BlockSizes {
    let middle = channels / EXPANSION;
    let shortcut = ConvSizes { stride, ..conv("shortcut", [inputs, channels], 1) };
    let strided = ConvSizes { stride, ..conv("conv2", [middle, middle], 3) };
    BlockSizes {
        shortcut: (stride > 1 || inputs != channels).then_some(shortcut),
        front: vec![conv("conv1", [inputs, middle], 1), strided],
        repmlp: None,
        back: vec![conv("conv3", [middle, channels], 1)],
    }
}

fn conv(name: &'static str, [channels, out]: [usize; 2], kernel: usize) -> ConvSizes {
    ConvSizes { name, channels, out, kernel, stride: 1 }
}
