//! Loading a model.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use mixfold_gemm::{Activation, Context};

use crate::mixer::{Mixer, MixerConfig, Names};
use crate::network::{Layer, Network, Phase};
use crate::preprocess::{Color, Preprocess, TimmConfig};
use crate::registry::ModelInfo;
use crate::weights::Weights;
use crate::{Checkpoint, ModelError, Plan, labels, registry};

/// Which GELU a model computes. They differ by up to 4.7e-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// ½·x·(1 + erf(x/√2)), as timm runs every Mixer.
    Erf,
    /// The tanh approximation, as the official Flax models were trained.
    Tanh,
}

/// A model with its weights packed, ready for any number of threads to use.
#[derive(Debug)]
pub struct Model {
    name: String,
    network: Box<dyn Network>,
    gelu: Gelu,
    preprocess: Preprocess,
    labels: Option<Vec<String>>,
    ctx: Context,
}

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
}

impl Loader {
    /// The fastest instruction set of the CPU, all threads, and the GELU that goes with the names in
    /// the checkpoint: exact for timm's, tanh for Flax's.
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

    /// Loads the weights of the model called `name`, as [`Model::load`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, name: &str, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let info = registry::find(name)?;
        self.read_file(info.name, info.config, info.preprocess.clone(), Checkpoint::open(path)?)
    }

    /// Loads weights and finds out from their names and shapes which model they are.
    ///
    /// # Errors
    /// As [`Model::load`], and if they fit no model.
    pub fn detect(&self, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let file = Checkpoint::open(path)?;
        let info = detect(&file)?;
        self.read_file(info.name, info.config, info.preprocess, file)
    }

    /// Loads weights of a Mixer of other sizes than those of [`registry::models`], under a name of
    /// your choice. Size and colour of `preprocess` are replaced by those of the images in `config`.
    ///
    /// # Errors
    /// As [`Model::load`], and if the sizes do not go together.
    pub fn load_mixer(
        &self,
        name: &str,
        config: MixerConfig,
        preprocess: Preprocess,
        path: impl AsRef<Path>,
    ) -> Result<Model, ModelError> {
        self.read_file(name, config, preprocess, Checkpoint::open(path)?)
    }

    /// The small model that is part of the program: an MLP-Mixer that tells ten kinds of clothes
    /// apart in grey images of 28 × 28 pixels, trained on Fashion-MNIST.
    ///
    /// # Errors
    /// None, unless memory runs out.
    pub fn embedded(&self) -> Result<Model, ModelError> {
        let mut file = Checkpoint::from_bytes(registry::EMBEDDED, crate::embedded::WEIGHTS)?;
        let info = detect(&file)?;
        self.read(info.name, info.config, info.preprocess, &mut file)
    }

    /// The model called `name` without a file, with weights drawn at random: to measure it, or to
    /// compare two ways of running it. The same seed gives the same weights, of a size at which
    /// activations stay ordinary (neither infinite nor subnormal).
    ///
    /// # Errors
    /// If the name is unknown or memory runs out.
    pub fn random(&self, name: &str, seed: u64) -> Result<Model, ModelError> {
        let info = registry::find(name)?;
        let weights = Mixer::random(&info.config, info.classes, seed);
        self.pack(info.name, info.config, info.preprocess.clone(), weights, Gelu::Erf)
    }

    /// As [`read`](Self::read), from a file that a configuration may lie beside.
    fn read_file(
        &self,
        name: &str,
        config: MixerConfig,
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
        config: MixerConfig,
        preprocess: Preprocess,
        file: &mut Checkpoint,
    ) -> Result<Model, ModelError> {
        let usual = match Names::of(file) {
            Some(Names::Flax | Names::LegacyFlax) => Gelu::Tanh,
            _ => Gelu::Erf,
        };
        let weights = Mixer::find(file, name, &config)?;
        let mut model = self.pack(name, config, preprocess, weights, usual)?;
        model.describe(file.metadata());
        Ok(model)
    }

    fn pack(
        &self,
        name: &str,
        config: MixerConfig,
        mut preprocess: Preprocess,
        weights: Weights<'_>,
        usual: Gelu,
    ) -> Result<Model, ModelError> {
        let gelu = self.gelu.unwrap_or(usual);
        let activation = match gelu {
            Gelu::Erf => Activation::GeluErf,
            Gelu::Tanh => Activation::GeluTanh,
        };
        preprocess.size = config.image;
        preprocess.color = match config.image_channels {
            1 => Color::Grey,
            3 => Color::Rgb,
            _ => preprocess.color,
        };
        let network = Box::new(Mixer::load(config, weights, activation, self.ctx.isa())?);
        let (name, ctx) = (name.into(), self.ctx.clone());
        Ok(Model { name, network, gelu, preprocess, labels: None, ctx })
    }
}

/// The model whose tensors a file has, by their names and shapes; no tensor is read. Its
/// [`classes`](ModelInfo::classes) are those of the file's head.
///
/// # Errors
/// [`ModelError::Undetected`] if the sizes are those of none of [`registry::models`],
/// [`ModelError::Mismatch`] if they are one's, and the tensors are not exactly those.
pub fn detect(file: &Checkpoint) -> Result<ModelInfo, ModelError> {
    let undetected = |reason| ModelError::Undetected { path: file.path().to_owned(), reason };
    let config = Mixer::detect(file).map_err(undetected)?;
    let found = registry::models().iter().find(|model| model.config == config);
    let found = found.ok_or_else(|| {
        undetected(format!(
            "a Mixer with {} blocks of {} channels, {} tokens and patches of {}",
            config.depth,
            config.channels,
            config.tokens(),
            config.patch
        ))
    })?;
    let classes = Mixer::compare(file, found.name, &found.config)?;
    Ok(ModelInfo { classes, ..found.clone() })
}

impl Model {
    /// Loads the weights of the model called `name` (see [`registry::models`]) and packs them.
    ///
    /// The file is safetensors with timm's names or `.npz` with the official Flax names; the number
    /// of classes is that of its head. timm's `config.json` in the same folder, if it is about this
    /// model, sets the preprocessing and the names of the classes.
    ///
    /// # Errors
    /// If the name is unknown, the file cannot be read, or its tensors are not exactly those of the
    /// model: all differences are listed.
    pub fn load(name: &str, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        Loader::new().load(name, path)
    }

    /// Loads weights and finds out from their names and shapes which model they are.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if they fit no model.
    pub fn detect(path: impl AsRef<Path>) -> Result<Model, ModelError> {
        Loader::new().detect(path)
    }

    /// The small model that is part of the program, see [`Loader::embedded`].
    ///
    /// # Errors
    /// None, unless memory runs out.
    pub fn embedded() -> Result<Model, ModelError> {
        Loader::new().embedded()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Channels, height and width of its images.
    pub fn input(&self) -> [usize; 3] {
        self.network.input()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// The steps after which [`Plan::run_observed`] shows the activations, in order.
    pub fn layers(&self) -> Vec<Layer> {
        self.network.layers()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.network.parameters()
    }

    /// Multiply-adds of convolutions and matrices for one image.
    pub fn macs(&self) -> u64 {
        self.network.macs(None)
    }

    /// The part of [`macs`](Self::macs) that belongs to a phase.
    pub fn phase_macs(&self, phase: Phase) -> u64 {
        self.network.macs(Some(phase))
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.network.packed_bytes()
    }

    /// Which GELU it computes.
    pub fn gelu(&self) -> Gelu {
        self.gelu
    }

    /// What it runs on.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    pub(crate) fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// How images are prepared for it.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The same, to be changed. With another size than that of [`input`](Self::input) its images
    /// will not fit.
    pub fn preprocess_mut(&mut self) -> &mut Preprocess {
        &mut self.preprocess
    }

    /// The names of the classes, if they are known.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// The name of a class, or `class 7` if it is not known.
    pub fn label(&self, class: usize) -> Cow<'_, str> {
        match self.labels.as_ref().and_then(|labels| labels.get(class)) {
            Some(label) => Cow::Borrowed(label),
            None => Cow::Owned(format!("class {class}")),
        }
    }

    /// Reads the names of the classes from a file: one to a line, or a JSON list.
    ///
    /// # Errors
    /// If it cannot be read or has another number of names than the model has classes.
    pub fn read_labels(&mut self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        self.labels = Some(labels::read(path, self.classes())?);
        Ok(())
    }

    /// All memory for `batch` images at a time.
    ///
    /// # Errors
    /// If it does not fit the address space, or the system does not have it.
    pub fn plan(&self, batch: usize) -> Result<Plan<'_>, ModelError> {
        Plan::new(self, batch)
    }

    /// Compares the shape of a tensor with `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`ModelError::Input`], which says why no other size can be run.
    pub fn check_input(&self, shape: &[usize]) -> Result<(), ModelError> {
        let [channels, height, width] = self.input();
        let expected = [shape.first().copied().unwrap_or(1), channels, height, width];
        if shape == expected {
            return Ok(());
        }
        Err(ModelError::Input { model: self.name.clone(), expected, found: shape.to_vec() })
    }

    /// Takes from a file's metadata the names of the classes, mean and standard deviation, as the
    /// training scripts of this crate write them.
    fn describe(&mut self, metadata: &BTreeMap<String, String>) {
        if metadata.get("model") != Some(&self.name) {
            return;
        }
        let list = |key| metadata.get(key).map(String::as_str).unwrap_or_default();
        let numbers = |key| serde_json::from_str::<Vec<f32>>(list(key)).ok();
        let names = serde_json::from_str::<Vec<String>>(list("classes")).ok();
        self.labels = names.filter(|names| names.len() == self.classes());
        let channels = self.input()[0];
        for (key, target) in
            [("mean", &mut self.preprocess.mean), ("std", &mut self.preprocess.std)]
        {
            if let Some(values) = numbers(key).filter(|values| values.len() == channels) {
                target[..channels.min(3)].copy_from_slice(&values[..channels.min(3)]);
            }
        }
    }

    /// Takes what timm's configuration says; the weights decide on the size.
    fn configure(
        &mut self,
        config: TimmConfig,
        weights: &Path,
        path: &Path,
    ) -> Result<(), ModelError> {
        let classes = self.classes();
        if let Some(expected) = config.num_classes.filter(|&n| n != classes) {
            let path = weights.to_owned();
            return Err(ModelError::Classes { path, expected, found: classes });
        }
        let config = TimmConfig { size: None, color: None, ..config };
        self.preprocess = config.preprocess(self.preprocess.clone());
        if let Some(names) = config.label_names {
            if names.len() != classes {
                let (path, found) = (path.to_owned(), names.len());
                return Err(labels::LabelsError::Count { path, found, classes }.into());
            }
            self.labels = Some(names);
        }
        Ok(())
    }
}
