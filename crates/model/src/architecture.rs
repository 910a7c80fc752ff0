//! What loading asks of a model's sizes, whatever its family.

use mixfold_gemm::{Activation, Packer};

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::{Config, Form};
use crate::families::{
    AttentionOnlyConfig, FfOnlyConfig, GMixerConfig, GmlpConfig, MixerConfig, ResMlpConfig,
    VitConfig,
};
use crate::folding::Folding;
use crate::layer_weights::TokenLayer;
use crate::network::{Network, Phase};
use crate::repmlp::{self, Fc3Sizes};
use crate::resnet;
use crate::sizes::sum;
use crate::tokens::{self, Found, Names, TokenFamily, TokenNet};
use crate::weights::{Spec, Weights, check_blocks, compare};

/// What weights tell of themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Whose names they have.
    pub names: Names,
    /// The form of a model that has two.
    pub form: Form,
    /// Classes of the head.
    pub classes: usize,
}

/// Weights that are all there and of the right shapes.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub weights: Weights<'a>,
    pub kind: Kind,
}

/// The sizes of a model, and what its family makes of them.
pub(crate) trait Architecture {
    /// The paper's name.
    fn family(&self) -> &'static str;
    /// Channels, height and width of the images.
    fn input(&self) -> [usize; 3];
    /// The forms that the weights can have, none if there is but one.
    fn forms(&self) -> &'static [Form];
    /// How the one form is made of the other, if there are two.
    fn folding(&self) -> Option<&dyn Folding> {
        None
    }
    /// See [`Config::parameters`].
    fn parameters(&self, classes: usize, form: Form) -> u64;
    /// See [`Config::macs`].
    fn macs(&self, classes: usize, form: Form) -> u64;
    /// The sizes that tell the family's models apart.
    fn describe(&self) -> String;
    /// That a model can have these sizes.
    fn check(&self) -> Result<(), ModelError>;
    /// Number of blocks.
    fn blocks(&self) -> usize;
    /// The patch embedding, under its usual name.
    fn stem(&self) -> &'static str;
    /// The layers that mix tokens by a matrix along them alone, in order; none if there are other ways.
    fn token_layers(&self) -> Vec<TokenLayer> {
        Vec::new()
    }
    /// FC3 of each RepMLP, in order.
    fn fc3s(&self) -> Vec<Fc3Sizes> {
        Vec::new()
    }
    /// What a file tells of its weights; the usual where it does not tell.
    fn kind(&self, file: &Checkpoint) -> Kind;
    /// All tensors of such weights.
    fn specs(&self, kind: Kind) -> Vec<Spec>;

    /// The modules of a file with these names that stand, one below the other, for one of the usual names.
    fn pieces(&self, _names: Names, module: &str) -> Vec<String> {
        vec![module.to_owned()]
    }

    /// The weights in a file: all tensors of the configuration, with a head of any size.
    fn find<'a>(&self, file: &'a mut Checkpoint, model: &str) -> Result<Stored<'a>, ModelError> {
        self.check()?;
        check_blocks(file, self.blocks())?;
        let kind = self.kind(file);
        check_classes(file, kind.classes)?;
        let weights = Weights::find(file, model, self.specs(kind), kind.names.squeezes())?;
        Ok(Stored { weights, kind })
    }

    /// Compares the tensors of a file with those of the configuration; returns the classes of its
    /// head.
    fn compare(&self, file: &Checkpoint, model: &str) -> Result<usize, ModelError> {
        let kind = self.kind(file);
        compare(file, &self.specs(kind), kind.names.squeezes()).into_result(file, model)?;
        check_classes(file, kind.classes)?;
        Ok(kind.classes)
    }

    /// Weights drawn at random, of sizes that have been checked.
    fn random(&self, classes: usize, form: Form, seed: u64) -> Stored<'static> {
        let kind = Kind { names: Names::Usual, form, classes };
        Stored { weights: Weights::random(self.specs(kind), seed), kind }
    }

    /// Reads and packs weights, tensor by tensor, to be run in this form.
    fn load(
        &self,
        stored: Stored<'_>,
        form: Form,
        gelu: Activation,
        packer: Packer<'_>,
    ) -> Result<Box<dyn Network>, ModelError>;
}

impl Config {
    pub(crate) fn architecture(&self) -> &dyn Architecture {
        match self {
            Config::FfOnly(config) => config,
            Config::AttentionOnly(config) => config,
            Config::Mixer(config) => config,
            Config::RepMlpNet(config) => config,
            Config::ResNet(config) => config,
            Config::Vit(config) => config,
            Config::ResMlp(config) => config,
            Config::Gmlp(config) => config,
            Config::GMixer(config) => config,
        }
    }
}

/// The sizes that the tensors of a file have, or why none; nothing if they are not called like those of
/// one family.
type Detect = fn(&Checkpoint) -> Option<Result<Config, String>>;

const FAMILIES: [Detect; 9] = [
    detect_repmlpnet,
    detect_resnet,
    detect_tokens::<FfOnlyConfig>,
    detect_tokens::<AttentionOnlyConfig>,
    detect_tokens::<VitConfig>,
    detect_tokens::<ResMlpConfig>,
    detect_tokens::<GmlpConfig>,
    detect_tokens::<GMixerConfig>,
    detect_tokens::<MixerConfig>,
];

const TORCHVISION: &str = "its tensors are named like those of torchvision's ResNets, and have to be \
                           renamed: `layer1.0.conv1.weight` is called `stage1.0.conv1.conv.weight`";

/// The sizes that the tensors of a file have, or why there are none.
pub(crate) fn detect(file: &Checkpoint) -> Result<Config, String> {
    let unknown = || match file.entry("layer1.0.conv1.weight") {
        Some(_) => Err(TORCHVISION.to_owned()),
        None => Err("its tensors are not named like those of any family".to_owned()),
    };
    FAMILIES.iter().find_map(|detect| detect(file)).unwrap_or_else(unknown)
}

fn detect_repmlpnet(file: &Checkpoint) -> Option<Result<Config, String>> {
    repmlp::recognised(file).then(|| repmlp::detect(file).map(Config::RepMlpNet))
}

fn detect_resnet(file: &Checkpoint) -> Option<Result<Config, String>> {
    resnet::recognised(file).then(|| resnet::detect(file).map(Config::ResNet))
}

fn detect_tokens<F: TokenFamily>(file: &Checkpoint) -> Option<Result<Config, String>> {
    F::recognised(file).then(|| {
        let names = names::<F>(file).ok_or("no stem")?;
        F::detect(&Found { file, names, file_name: F::file_name }).map(F::into)
    })
}

/// That the head of a file has a class.
fn check_classes(file: &Checkpoint, classes: usize) -> Result<(), ModelError> {
    if classes > 0 {
        return Ok(());
    }
    let path = file.path().display();
    Err(ModelError::Config(format!("{path}: the head has no class")))
}

/// Whose names a file uses, told by the stem's.
fn names<F: TokenFamily>(file: &Checkpoint) -> Option<Names> {
    let stem = format!("{}.weight", F::STEM);
    F::NAMES.iter().copied().find(|&names| file.entry(&F::file_name(names, &stem).0).is_some())
}

impl<F: TokenFamily> Architecture for F {
    fn family(&self) -> &'static str {
        F::NAME
    }

    fn input(&self) -> [usize; 3] {
        let [height, width] = self.trunk().image;
        [self.trunk().image_channels, height, width]
    }

    fn forms(&self) -> &'static [Form] {
        &[]
    }

    fn parameters(&self, classes: usize, _: Form) -> u64 {
        tokens::parameters(self, classes)
    }

    fn macs(&self, classes: usize, _: Form) -> u64 {
        sum(Phase::ALL.map(|phase| tokens::macs(self, classes, phase)))
    }

    fn describe(&self) -> String {
        format!("{} with {}, {}", F::NAME, self.trunk().describe(), self.further_sizes())
    }

    fn check(&self) -> Result<(), ModelError> {
        let sizes = self.trunk().check().and_then(|()| TokenFamily::check(self));
        sizes.map_err(ModelError::Config)
    }

    fn blocks(&self) -> usize {
        self.trunk().depth
    }

    fn stem(&self) -> &'static str {
        F::STEM
    }

    fn token_layers(&self) -> Vec<TokenLayer> {
        let Some(module) = F::TOKEN_MATRIX else { return Vec::new() };
        let layer = |i| TokenLayer::Matrix {
            module: format!("blocks.{i}.{module}"),
            grid: self.trunk().grid(),
            prefix: self.readout().prefix(),
        };
        (0..self.trunk().depth).map(layer).collect()
    }

    fn kind(&self, file: &Checkpoint) -> Kind {
        let names = names::<F>(file).unwrap_or(Names::Usual);
        let head = file.entry(&F::file_name(names, "head.bias").0);
        let classes = head.map_or(1000, |head| head.elements());
        Kind { names, form: Form::Deploy, classes }
    }

    fn pieces(&self, names: Names, module: &str) -> Vec<String> {
        F::pieces(names, module)
    }

    fn specs(&self, kind: Kind) -> Vec<Spec> {
        tokens::specs(self, kind.names, kind.classes)
    }

    fn load(
        &self,
        stored: Stored<'_>,
        _: Form,
        gelu: Activation,
        packer: Packer<'_>,
    ) -> Result<Box<dyn Network>, ModelError> {
        let Stored { weights, kind } = stored;
        Ok(Box::new(TokenNet::load(*self, weights, kind.names, gelu, packer)?))
    }
}
