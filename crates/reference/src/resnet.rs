//! ResNet-50 (He et al., arXiv 1512.03385) and its kind, with or without the RepMLPs of Ding et al.
//! (arXiv 2105.01883), with the parameters of the latter.
//!
//! ```text
//! x = max_pool(relu(conv_bn(images)))              7 x 7 at half the size; 3 x 3, at half again
//! for each stage, for each of its blocks:
//!     x = relu(shortcut(x) + block(x))             shortcut = conv_bn where the shape changes, or x
//! logits = linear(mean over pixels(x))
//!
//! base:        conv_bn 1 x 1, relu, conv_bn 3 x 3, relu, conv_bn 1 x 1
//! light:       conv_bn 1 x 1, relu, RepMLP, relu, conv_bn 1 x 1
//! bottleneck:  conv_bn 1 x 1, relu, conv_bn 3 x 3, relu, RepMLP, relu, conv_bn 3 x 3, relu, conv_bn 1 x 1
//! ```
//!
//! Where a stage halves the map, it is its first block's 3 x 3 convolution, and the shortcut, that has a
//! stride. `conv_bn` is a convolution and its batch norm; in the deploy form, a convolution with a bias.

use crate::activation::relu;
use crate::axis::{Axes, linear};
use crate::conv2d::{Conv2d, Nchw, conv2d};
use crate::fc3::Form;
use crate::max_pool2d::{MaxPool2d, max_pool2d};
use crate::parameters::{ConvBn, Layer, asked, within};
use crate::repmlp::{RepMlp, RepMlpConfig};
use crate::{Real, add, mean, product};

/// Between stem and stages.
const POOL: MaxPool2d = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };

/// The sizes of a ResNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels behind the first convolution: 64 in the official models.
    pub stem: usize,
    /// The stages, the largest map first.
    pub stages: Vec<Stage>,
    /// Sides of the kernels of the convolutions in a RepMLP, odd.
    pub kernels: Vec<usize>,
    /// Number of logits.
    pub classes: usize,
}

/// The sizes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Channels of its map, a multiple of 4.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// In all blocks but the first.
    pub repmlp: Option<StageRepMlp>,
}

/// The RepMLPs of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageRepMlp {
    /// Whether 3 x 3 convolutions stand around it.
    pub bottleneck: bool,
    /// Its channels.
    pub channels: usize,
    /// Rows and columns of a partition.
    pub partition: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
}

impl ResNetConfig {
    /// Name and shape of each tensor, in the order of the official state dict. Its
    /// `num_batches_tracked` is no parameter.
    ///
    /// # Panics
    /// As [`ResNet::new`].
    pub fn tensors(&self, form: Form) -> Vec<(String, Vec<usize>)> {
        asked(|tensor| ResNet::new(self.clone(), form, tensor))
    }

    /// Images.
    pub fn images(&self, batch: usize) -> Nchw {
        Nchw { batch, channels: self.in_channels, height: self.height, width: self.width }
    }
}

/// A convolution and its batch norm, in either form.
#[derive(Debug, Clone, PartialEq)]
pub enum Conv<T> {
    /// As it is trained.
    Train(ConvBn<T>),
    /// As it is deployed: with a bias.
    Deploy(Conv2d, Layer<T>),
}

impl<T> Conv<T> {
    fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        name: &str,
        in_channels: usize,
        conv: Conv2d,
        form: Form,
    ) -> Self {
        match form {
            Form::Train => Self::Train(ConvBn::read(tensor, name, in_channels, conv)),
            Form::Deploy => {
                let shape = [conv.out_channels, in_channels, conv.kernel[0], conv.kernel[1]];
                Self::Deploy(conv, Layer::read(tensor, &format!("{name}.conv"), &shape))
            }
        }
    }

    /// What the convolution is.
    pub fn conv(&self) -> &Conv2d {
        match self {
            Self::Train(conv) => &conv.conv,
            Self::Deploy(conv, _) => conv,
        }
    }
}

impl<T: Real> Conv<T> {
    /// Sizes as [`Conv2d::output`].
    ///
    /// # Panics
    /// As [`conv2d`].
    pub fn forward(&self, x: &[T], input: Nchw) -> (Vec<T>, Nchw) {
        let y = match self {
            Self::Train(conv) => conv.forward(x, input),
            Self::Deploy(conv, layer) => conv2d(x, input, conv, &layer.weight, Some(&layer.bias)),
        };
        (y, self.conv().output(input))
    }
}

/// A part of a block, with a ReLU behind it.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<T> {
    /// `conv1`, `light_conv1` and so on.
    Conv(Conv<T>),
    /// `light_repmlp`, `btnk_repmlp`.
    RepMlp(Box<RepMlp<T>>),
}

impl<T: Real> Part<T> {
    /// The part with its ReLU.
    ///
    /// # Panics
    /// If `x` does not have that size.
    pub fn forward(&self, x: &[T], input: Nchw) -> (Vec<T>, Nchw) {
        let (y, output) = match self {
            Self::Conv(conv) => conv.forward(x, input),
            Self::RepMlp(repmlp) => (repmlp.forward(x, input.batch), input),
        };
        (y.into_iter().map(relu).collect(), output)
    }
}

/// A block with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Block<T> {
    /// `shortcut`, where the shape changes.
    pub shortcut: Option<Conv<T>>,
    /// All but the last convolution, with their names.
    pub parts: Vec<(&'static str, Part<T>)>,
    /// The last convolution.
    pub last: Conv<T>,
}

impl<T> Block<T> {
    /// A block without a RepMLP.
    fn base(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        in_channels: usize,
        channels: usize,
        stride: usize,
        form: Form,
    ) -> Self {
        let stride = [stride, stride];
        let middle = channels / 4;
        let shortcut = (stride != [1, 1] || in_channels != channels).then(|| {
            let conv = Conv2d { stride, ..Conv2d::new(channels, [1, 1]) };
            Conv::read(tensor, "shortcut", in_channels, conv, form)
        });
        let conv2 = Conv2d { stride, ..three(middle) };
        let parts = [("conv1", in_channels, Conv2d::new(middle, [1, 1])), ("conv2", middle, conv2)];
        let parts = parts.map(|(name, inputs, conv)| {
            (name, Part::Conv(Conv::read(tensor, name, inputs, conv, form)))
        });
        let last = Conv::read(tensor, "conv3", middle, Conv2d::new(channels, [1, 1]), form);
        Self { shortcut, parts: parts.into(), last }
    }

    fn light(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        channels: usize,
        repmlp: RepMlpConfig,
        form: Form,
    ) -> Self {
        let few = repmlp.in_channels;
        let first = Conv::read(tensor, "light_conv1", channels, Conv2d::new(few, [1, 1]), form);
        let repmlp = RepMlp::new(repmlp, form, within("light_repmlp".to_owned(), tensor));
        let last = Conv::read(tensor, "light_conv3", few, Conv2d::new(channels, [1, 1]), form);
        let parts =
            vec![("light_conv1", Part::Conv(first)), ("light_repmlp", Part::RepMlp(repmlp.into()))];
        Self { shortcut: None, parts, last }
    }

    fn bottleneck(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        channels: usize,
        repmlp: RepMlpConfig,
        form: Form,
    ) -> Self {
        let (middle, few) = (channels / 4, repmlp.in_channels);
        let conv1 = Conv::read(tensor, "btnk_conv1", channels, Conv2d::new(middle, [1, 1]), form);
        let conv2 = Conv::read(tensor, "btnk_conv2", middle, three(few), form);
        let repmlp = RepMlp::new(repmlp, form, within("btnk_repmlp".to_owned(), tensor));
        let conv4 = Conv::read(tensor, "btnk_conv4", few, three(middle), form);
        let last = Conv::read(tensor, "btnk_conv5", middle, Conv2d::new(channels, [1, 1]), form);
        let parts = vec![
            ("btnk_conv1", Part::Conv(conv1)),
            ("btnk_conv2", Part::Conv(conv2)),
            ("btnk_repmlp", Part::RepMlp(repmlp.into())),
            ("btnk_conv4", Part::Conv(conv4)),
        ];
        Self { shortcut: None, parts, last }
    }
}

/// A kernel of 3 x 3 that keeps the size of a map.
fn three(out_channels: usize) -> Conv2d {
    Conv2d { padding: [1, 1], ..Conv2d::new(out_channels, [3, 3]) }
}

impl<T: Real> Block<T> {
    /// Output and its sizes.
    ///
    /// # Panics
    /// If `x` does not have its size.
    pub fn forward(&self, x: &[T], input: Nchw) -> (Vec<T>, Nchw) {
        let (mut y, mut map) = (x.to_vec(), input);
        for (_, part) in &self.parts {
            (y, map) = part.forward(&y, map);
        }
        (y, map) = self.last.forward(&y, map);
        match &self.shortcut {
            Some(shortcut) => add(&mut y, &shortcut.forward(x, input).0),
            None => add(&mut y, x),
        }
        (y.into_iter().map(relu).collect(), map)
    }
}

/// A ResNet with its parameters, under the official names of its RepMLP kind.
#[derive(Debug, Clone, PartialEq)]
pub struct ResNet<T> {
    /// The sizes.
    pub config: ResNetConfig,
    /// `stage0.0`
    pub stem: Conv<T>,
    /// The blocks of `stage1` and so on.
    pub stages: Vec<Vec<Block<T>>>,
    /// `linear`, `[classes, channels of the last stage]`.
    pub linear: Layer<T>,
}

impl<T> ResNet<T> {
    /// Asks `tensor` for each parameter by its official name and shape, in the order of
    /// [`ResNetConfig::tensors`], for example `("stage1.0.conv2.conv.weight", &[64, 64, 3, 3])`.
    ///
    /// # Panics
    /// If there is no stage, the partitions of a RepMLP do not fill its map or its groups do not divide
    /// the channels, a kernel is even, or a tensor does not have as many elements as its shape.
    pub fn new(
        config: ResNetConfig,
        form: Form,
        mut tensor: impl FnMut(&str, &[usize]) -> Vec<T>,
    ) -> Self {
        let tensor = &mut tensor;
        let conv = Conv2d { stride: [2, 2], padding: [3, 3], ..Conv2d::new(config.stem, [7, 7]) };
        let stem = Conv::read(tensor, "stage0.0", config.in_channels, conv, form);
        let mut map = POOL.output(conv.output(config.images(1)));
        let mut stages = Vec::new();
        for (i, &Stage { channels, blocks, repmlp }) in config.stages.iter().enumerate() {
            let mut stage = Vec::new();
            for j in 0..blocks {
                let mut tensor = within(format!("stage{}.{j}", i + 1), tensor);
                let block = match repmlp {
                    Some(repmlp) if j > 0 => {
                        let sizes = RepMlpConfig {
                            in_channels: repmlp.channels,
                            out_channels: repmlp.channels,
                            height: map.height,
                            width: map.width,
                            partition: repmlp.partition,
                            reduction: 1,
                            groups: repmlp.groups,
                            kernels: config.kernels.clone(),
                        };
                        let new = if repmlp.bottleneck { Block::bottleneck } else { Block::light };
                        new(&mut tensor, channels, sizes, form)
                    }
                    _ => {
                        let stride = if i > 0 && j == 0 { 2 } else { 1 };
                        Block::base(&mut tensor, map.channels, channels, stride, form)
                    }
                };
                map = block
                    .parts
                    .iter()
                    .filter_map(|(_, part)| match part {
                        Part::Conv(conv) => Some(conv.conv()),
                        Part::RepMlp(_) => None,
                    })
                    .chain([block.last.conv()])
                    .fold(map, |map, conv| conv.output(map));
                stage.push(block);
            }
            stages.push(stage);
        }
        let last = config.stages.last().expect("no stages").channels;
        let linear = Layer::read(tensor, "linear", &[config.classes, last]);
        Self { config, stem, stages, linear }
    }
}

impl<T: Real> ResNet<T> {
    /// What the first block is applied to, before the pool and behind it, with sizes.
    ///
    /// # Panics
    /// If `images` does not have its size.
    pub fn front(&self, images: &[T], batch: usize) -> [(Vec<T>, Nchw); 2] {
        let (x, map) = self.stem.forward(images, self.config.images(batch));
        let x: Vec<T> = x.into_iter().map(relu).collect();
        let pooled = max_pool2d(&x, map, &POOL);
        [(x, map), (pooled, POOL.output(map))]
    }

    /// Means of each channel, and logits `[batch, classes]`, of the last map.
    ///
    /// # Panics
    /// If `x` does not have its size.
    pub fn head(&self, x: &[T], map: Nchw) -> [Vec<T>; 2] {
        let pixels = product(&[map.height, map.width]);
        let means: Vec<T> =
            x.chunks_exact(pixels).map(|map| mean(map.iter().copied(), pixels)).collect();
        let axes = Axes { outer: map.batch, axis: map.channels, inner: 1 };
        let logits = linear(&means, axes, &self.linear.linear(map.channels));
        [means, logits]
    }

    /// Logits `[batch, classes]` of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let [_, (mut x, mut map)] = self.front(images, batch);
        for block in self.stages.iter().flatten() {
            (x, map) = block.forward(&x, map);
        }
        let [_, logits] = self.head(&x, map);
        logits
    }
}
