//! A model with its weights.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use mixfold_gemm::Context;

use crate::config::Form;
use crate::loader::Loader;
use crate::network::{Layer, Network, Phase};
use crate::preprocess::{Preprocess, TimmConfig};
use crate::{Gelu, ModelError, Plan, labels, registry};

/// A model with its weights packed, ready for any number of threads to use.
#[derive(Debug)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) network: Box<dyn Network>,
    pub(crate) gelu: Gelu,
    pub(crate) preprocess: Preprocess,
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) ctx: Context,
}

impl Model {
    /// Loads the weights of the model called `name` (see [`registry::models`](crate::registry::models)) and packs them.
    ///
    /// The file is safetensors or PyTorch's `.pth` with timm's names or `.npz` with the official Flax
    /// names, of a RepMLPNet or ResNet one of the former two with the official names in either form; the
    /// number of classes is that of its head.
    /// The convolutions of a train form are folded in on the way, see [`Loader::form`]. timm's `config.json` in the same folder, if it is about this
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

    /// The small model that is taken where none is asked for, see [`Loader::embedded`].
    ///
    /// # Errors
    /// None, unless memory runs out.
    pub fn embedded() -> Result<Model, ModelError> {
        Loader::new().embedded(registry::DEFAULT)
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

    /// Number of parameters, in the form that is run.
    pub fn parameters(&self) -> u64 {
        self.network.parameters()
    }

    /// Multiply-adds of convolutions, matrices and attention for one image, as they are run: FF-only, ViT
    /// and DeiT have fewer than [`ModelInfo::macs`](crate::ModelInfo::macs) says, as their last block
    /// computes only the tokens that the head reads.
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

    /// The form that is run, of a model that has two.
    pub fn form(&self) -> Option<Form> {
        self.network.form()
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
        let (model, reason) = (self.name.clone(), self.network.fixed_size());
        Err(ModelError::Input { model, expected, found: shape.to_vec(), reason })
    }

    /// Takes from a file's metadata the names of the classes, mean and standard deviation, as the
    /// training scripts of this crate write them.
    pub(crate) fn describe(&mut self, metadata: &BTreeMap<String, String>) {
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
    pub(crate) fn configure(
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
