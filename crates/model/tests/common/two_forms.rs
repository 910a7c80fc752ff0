//! Networks with reproducible weights in train and deploy form, whatever their family, and the reference
//! to compare with.

use std::fmt::Debug;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mixfold_model::{
    Config, Form, Loader, Mismatch, Model, ModelError, ModelInfo, Preprocess, registry,
};
use mixfold_reference::fc3;
use tempfile::TempDir;

use super::files::{self, Tensor};

/// Which weights are read, and as what they are run.
pub(crate) const FORMS: [(Form, Form); 3] =
    [(Form::Train, Form::Train), (Form::Train, Form::Deploy), (Form::Deploy, Form::Deploy)];

/// Names of tensors with their shapes.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// The sizes of a network of a family with two forms.
pub(crate) trait TwoForms: Clone + Debug + Into<Config> + 'static {
    /// The network in the reference.
    type Reference;

    /// These sizes, if a configuration is of the family.
    fn of(config: &'static Config) -> Option<&'static Self>;

    /// Names and shapes of all tensors under their official names, without counters.
    fn shapes(&self, classes: usize, form: fc3::Form) -> Shapes;

    /// The values of a tensor: they depend on its name and on `seed` alone.
    fn values(name: &str, shape: &[usize], seed: u64) -> Vec<f32>;

    /// The network of these tensors.
    fn reference(
        &self,
        classes: usize,
        form: fc3::Form,
        tensor: impl FnMut(&str, &[usize]) -> Vec<f64>,
    ) -> Self::Reference;

    /// The reference's logits.
    fn logits(net: &Self::Reference, images: &[f64], batch: usize) -> Vec<f64>;
}

/// The same form for the reference.
pub(crate) fn reference_form(form: Form) -> fc3::Form {
    match form {
        Form::Train => fc3::Form::Train,
        Form::Deploy => fc3::Form::Deploy,
    }
}

/// All registered models of a family.
pub(crate) fn registered<F: TwoForms>() -> impl Iterator<Item = (&'static ModelInfo, &'static F)> {
    registry::models().iter().filter_map(|model| Some((model, F::of(&model.config)?)))
}

/// The registered model of this name.
pub(crate) fn registered_as<F: TwoForms>(name: &str) -> (&'static ModelInfo, &'static F) {
    registered().find(|(model, _)| model.name == name).unwrap()
}

/// See [`TwoForms::shapes`].
pub(crate) fn shapes(config: &impl TwoForms, classes: usize, form: Form) -> Shapes {
    config.shapes(classes, reference_form(form))
}

/// With the counter that PyTorch keeps for every batch norm.
pub(crate) fn counted(shapes: &Shapes) -> Shapes {
    let counters = shapes.iter().filter_map(|(name, _)| {
        let module = name.strip_suffix(".running_var")?;
        Some((format!("{module}.num_batches_tracked"), Vec::new()))
    });
    shapes.iter().cloned().chain(counters).collect()
}

/// A file of which nothing but the table is there: no tensor can be read for what it is.
pub(crate) fn sparse(shapes: &Shapes) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let shapes = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    files::sparse_safetensors(&path, shapes);
    (directory, path)
}

/// A file with these tensors.
pub(crate) fn file(tensors: &[Tensor]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    files::safetensors(&path, tensors);
    (directory, path)
}

/// The differences that loading a file as a network of these sizes complains about, in either form.
pub(crate) fn mismatch(config: &impl TwoForms, path: &Path) -> Mismatch {
    let [train, deploy] = [Form::Train, Form::Deploy].map(|form| {
        let loader = Loader::new().form(form);
        let error = loader.load_config("small", config.clone(), Preprocess::IMAGENET, path);
        let error = error.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("small") && text.contains(path.to_str().unwrap()), "{text}");
        let ModelError::Mismatch { mismatch, model, path: of } = error else { panic!("{error}") };
        assert_eq!((&model[..], &*of), ("small", path));
        *mismatch
    });
    assert_eq!(train, deploy);
    train
}

/// All tensors with the contents of [`TwoForms::values`].
pub(crate) fn tensors<F: TwoForms>(
    config: &F,
    classes: usize,
    form: Form,
    seed: u64,
) -> Vec<Tensor> {
    let shapes = shapes(config, classes, form).into_iter();
    shapes.map(|(name, shape)| Tensor::new(&name, &shape, F::values(&name, &shape, seed))).collect()
}

/// Writes a safetensors file with the contents of [`TwoForms::values`], of which one tensor at a time is
/// in memory.
pub(crate) fn write<F: TwoForms>(path: &Path, config: &F, classes: usize, form: Form, seed: u64) {
    let shapes = shapes(config, classes, form);
    let mut file = BufWriter::new(File::create(path).unwrap());
    let table = shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..]));
    file.write_all(&files::header(table).0).unwrap();
    for (name, shape) in &shapes {
        for value in F::values(name, shape, seed) {
            file.write_all(&value.to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

/// A network of these sizes with the weights of [`write`].
pub(crate) fn load<F: TwoForms>(
    loader: &Loader,
    config: &F,
    classes: usize,
    stored: Form,
    seed: u64,
) -> Model {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    write(&path, config, classes, stored, seed);
    loader.load_config("test", config.clone(), Preprocess::IMAGENET, path).unwrap()
}

/// The same network in the reference, in f64.
pub(crate) fn reference<F: TwoForms>(
    config: &F,
    classes: usize,
    form: Form,
    seed: u64,
) -> F::Reference {
    config.reference(classes, reference_form(form), |name, shape| {
        F::values(name, shape, seed).into_iter().map(f64::from).collect()
    })
}
