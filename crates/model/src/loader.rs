//! Loading a model.

use std::path::Path;

use mixfold_gemm::{Activation, Context, GemmError, Packer};

use crate::config::{Config, Form};
use crate::network::Network;
use crate::preprocess::{Color, Preprocess, TimmConfig};
use crate::registry::ModelInfo;
use crate::{Checkpoint, Gelu, Model, ModelError, architecture, registry, repmlp, resnet};

/// How to load a model: with which instruction set and threads, and which GELU.
///
/// ```no_run
/// use mixfold_model::{Gelu, Loader};
///
/// let model = Loader::new().gelu(Gelu::Tanh).load("mixer_b16_224", "mixer_b16_224.safetensors")?;
/// # Ok::<(), mixfold_model::ModelError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loader {
    ctx: Context,
    gelu: Option<Gelu>,
    form: Option<Form>,
}

impl Loader {
    /// The fastest instruction set of the CPU, all threads, and the GELU that the metadata of the
    /// checkpoint says ([`Gelu::METADATA`]), or else the one that goes with its names: exact for timm's,
    /// tanh for Flax's.
    pub fn new() -> Self {
        Loader::default()
    }

    /// With this instruction set and these threads.
    pub fn context(self, ctx: Context) -> Self {
        Loader { ctx, ..self }
    }

    /// With this GELU.
    pub fn gelu(self, gelu: Gelu) -> Self {
        Loader { gelu: Some(gelu), ..self }
    }

    /// Run in this form, if the model has two. Without it, in deploy form: the convolutions of weights
    /// in train form are folded in when they are loaded. The train form is slower and computes the
    /// same, up to rounding.
    pub fn form(self, form: Form) -> Self {
        Loader { form: Some(form), ..self }
    }

    /// Loads the weights of the model called `name`, as [`Model::load`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, name: &str, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let info = registry::find(name)?;
        let (config, preprocess) = (&info.config, info.preprocess.clone());
        self.read_file(info.name, config, preprocess, Checkpoint::open(path)?)
    }

    /// Loads weights and finds out from their names and shapes which model they are.
    ///
    /// # Errors
    /// As [`Model::load`], and if they fit no model.
    pub fn detect(&self, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let file = Checkpoint::open(path)?;
        let info = detect(&file)?;
        self.read_file(info.name, &info.config, info.preprocess, file)
    }

    /// Loads weights of a model of other sizes than those of [`registry::models`], under a name of your
    /// choice. Size and colour of `preprocess` are replaced by those of the images in `config`.
    ///
    /// # Errors
    /// As [`Model::load`], and if the sizes do not go together.
    pub fn load_config(
        &self,
        name: &str,
        config: impl Into<Config>,
        preprocess: Preprocess,
        path: impl AsRef<Path>,
    ) -> Result<Model, ModelError> {
        self.read_file(name, &config.into(), preprocess, Checkpoint::open(path)?)
    }

    /// A small model whose weights are part of the program: `mixer_fashion` or `repmlpnet_fashion`.
    /// They tell ten kinds of clothes apart in grey images of 28 × 28 pixels, and were trained on
    /// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017).
    ///
    /// # Errors
    /// If the model is unknown or its weights are not part of the program.
    pub fn embedded(&self, name: &str) -> Result<Model, ModelError> {
        let info = registry::find(name)?;
        let mut file = Checkpoint::embedded(info.name)?;
        let info = detect(&file)?;
        self.read(info.name, &info.config, info.preprocess, &mut file)
    }

    /// The model called `name` without a file, with weights drawn at random: to measure it, or to
    /// compare two ways of running it. The same seed gives the same weights, of a size at which
    /// activations stay ordinary (neither infinite nor subnormal).
    ///
    /// # Errors
    /// If the name is unknown or memory runs out.
    pub fn random(&self, name: &str, seed: u64) -> Result<Model, ModelError> {
        let info = registry::find(name)?;
        let network = self.draw(&info.config, info.classes, seed)?;
        Ok(self.model(info.name, network, info.preprocess.clone(), Gelu::Erf))
    }

    /// As [`random`](Self::random), a model of other sizes than those of [`registry::models`], under a
    /// name of your choice.
    ///
    /// # Errors
    /// If the sizes do not go together or memory runs out.
    pub fn random_config(
        &self,
        name: &str,
        config: impl Into<Config>,
        classes: usize,
        seed: u64,
    ) -> Result<Model, ModelError> {
        let network = self.draw(&config.into(), classes, seed)?;
        Ok(self.model(name, network, Preprocess::IMAGENET, Gelu::Erf))
    }

    /// A network with weights drawn at random.
    fn draw(
        &self,
        config: &Config,
        classes: usize,
        seed: u64,
    ) -> Result<Box<dyn Network>, ModelError> {
        let (form, gelu) = (self.form.unwrap_or(Form::Deploy), self.activation(Gelu::Erf));
        let architecture = config.architecture();
        architecture.check()?;
        if classes == 0 {
            return Err(ModelError::Config("a head without classes".to_owned()));
        }
        check_memory(architecture.parameters(classes, form))?;
        let stored = architecture.random(classes, form, seed);
        architecture.load(stored, form, gelu, Packer::from(&self.ctx))
    }

    /// As [`read`](Self::read), from a file that a configuration may lie beside.
    fn read_file(
        &self,
        name: &str,
        config: &Config,
        preprocess: Preprocess,
        mut file: Checkpoint,
    ) -> Result<Model, ModelError> {
        let mut model = self.read(name, config, preprocess, &mut file)?;
        let path = file.path().with_file_name("config.json");
        if path.is_file()
            && let Some(config) = TimmConfig::read_for(name, &path)?
        {
            model.configure(config, file.path(), &path)?;
        }
        Ok(model)
    }

    fn read(
        &self,
        name: &str,
        config: &Config,
        preprocess: Preprocess,
        file: &mut Checkpoint,
    ) -> Result<Model, ModelError> {
        let architecture = config.architecture();
        let stated = Gelu::stated(file)?;
        let mut stored = architecture.find(file, name)?;
        stored.weights = stored.weights.on(self.ctx.pool());
        let usual = stated.unwrap_or(Gelu::usual(stored.kind.names));
        let form = self.form.unwrap_or(Form::Deploy);
        let (gelu, packer) = (self.activation(usual), Packer::from(&self.ctx));
        let network = architecture.load(stored, form, gelu, packer)?;
        let mut model = self.model(name, network, preprocess, usual);
        model.describe(file.metadata());
        Ok(model)
    }

    fn activation(&self, usual: Gelu) -> Activation {
        match self.gelu.unwrap_or(usual) {
            Gelu::Erf => Activation::GeluErf,
            Gelu::Tanh => Activation::GeluTanh,
        }
    }

    fn model(
        &self,
        name: &str,
        network: Box<dyn Network>,
        mut preprocess: Preprocess,
        usual: Gelu,
    ) -> Model {
        let [channels, height, width] = network.input();
        preprocess.size = [height, width];
        preprocess.color = match channels {
            1 => Color::Grey,
            3 => Color::Rgb,
            _ => preprocess.color,
        };
        let (name, ctx, gelu) = (name.into(), self.ctx.clone(), self.gelu.unwrap_or(usual));
        Model { name, network, gelu, preprocess, labels: None, ctx }
    }
}

/// That there is memory for so many parameters, before the first of them is drawn.
fn check_memory(parameters: u64) -> Result<(), ModelError> {
    let len = usize::try_from(parameters).unwrap_or(usize::MAX);
    let mut values = Vec::<f32>::new();
    let reserved = values.try_reserve_exact(len);
    // An allocation that nothing looks at could be left out.
    std::hint::black_box(values);
    let bytes = len.saturating_mul(size_of::<f32>());
    reserved.map_err(|_| GemmError::Memory { bytes }.into())
}

/// The model whose tensors a file has, by their names and shapes; no tensor is read. Its
/// [`classes`](ModelInfo::classes) are those of the file's head. Of two models of the same sizes, a ViT and
/// a DeiT, it is the ViT, unless timm's `config.json` beside the file names the other one.
///
/// # Errors
/// [`ModelError::Undetected`] if the sizes are those of none of [`registry::models`],
/// [`ModelError::Mismatch`] if they are one's, and the tensors are not exactly those,
/// [`ModelError::Config`] if they are, and the head has no class.
pub fn detect(file: &Checkpoint) -> Result<ModelInfo, ModelError> {
    let undetected = |reason| ModelError::Undetected { path: file.path().to_owned(), reason };
    let config = architecture::detect(file).map_err(undetected)?;
    let mut same = registry::models().iter().filter(|model| model.config.is(&config));
    let first = same.next().ok_or_else(|| undetected(config.architecture().describe()))?;
    let found = match same.find_map(|model| is_named(model, file).transpose()) {
        Some(model) => model?,
        None => first,
    };
    let classes = found.config.architecture().compare(file, found.name)?;
    Ok(ModelInfo { classes, ..found.clone() })
}

/// The model, if timm's configuration beside a file says that it is the one.
fn is_named<'m>(
    model: &'m ModelInfo,
    file: &Checkpoint,
) -> Result<Option<&'m ModelInfo>, ModelError> {
    let path = file.path().with_file_name("config.json");
    let named = path.is_file() && TimmConfig::read_for(model.name, &path)?.is_some();
    Ok(named.then_some(model))
}

/// The form of the tensors in a file, if they are of a model that has two; no tensor is read.
pub fn form(file: &Checkpoint) -> Option<Form> {
    if repmlp::recognised(file) {
        Some(repmlp::form(file))
    } else {
        resnet::recognised(file).then(|| resnet::form(file))
    }
}
