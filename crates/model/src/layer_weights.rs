//! The weights of single layers, to look at.

use crate::architecture::Stored;
use crate::config::Form;
use crate::repmlp::{Fc3, Fc3Sizes};
use crate::weights::Weights;
use crate::{Checkpoint, Config, ModelError, detect, registry};

/// A layer that mixes tokens by a matrix along them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenLayer {
    /// The rows of a stored matrix.
    Matrix {
        /// The module, under its usual name.
        module: String,
        /// Places below and beside each other.
        grid: [usize; 2],
        /// Columns in front of those of the places, for learned tokens.
        prefix: usize,
    },
    /// The rows of FC3 of a RepMLPNet, in one of its forms.
    Fc3(Fc3Sizes),
}

/// The weights of a model in a file, layer by layer: all tensors are there and of the right shapes, none
/// has been read.
///
/// ```no_run
/// use mixfold_model::{Checkpoint, LayerWeights};
///
/// # fn main() -> Result<(), mixfold_model::ModelError> {
/// let mut file = Checkpoint::open("mixer_b16_224.safetensors")?;
/// let mut weights = LayerWeights::find(&mut file, None)?;
/// let units = weights.token_units(0, None)?;
/// assert_eq!((units.grid, units.rows.len()), ([14, 14], 384 * 14 * 14));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LayerWeights<'a> {
    model: String,
    config: Config,
    stored: Stored<'a>,
}

/// The first matrix of a layer along the tokens: each row is a unit, with a weight for each place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenUnits {
    /// The layer, under its usual name.
    pub layer: String,
    /// Places below and beside each other.
    pub grid: [usize; 2],
    /// `[units, height, width]`; weights of class tokens are left out.
    pub rows: Vec<f32>,
}

/// The filters of a patch embedding or of a first convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct StemFilters {
    /// The layer, under its usual name.
    pub layer: String,
    /// Channels of the images.
    pub channels: usize,
    /// Height and width of a filter.
    pub kernel: [usize; 2],
    /// `[filters, channels, height, width]`
    pub values: Vec<f32>,
}

impl<'a> LayerWeights<'a> {
    /// Finds the weights of the model called `name`, or of the one that the tensors fit.
    ///
    /// # Errors
    /// As [`Model::load`](crate::Model::load) and [`detect`].
    pub fn find(file: &'a mut Checkpoint, name: Option<&str>) -> Result<Self, ModelError> {
        let info = match name {
            Some(name) => registry::find(name)?.clone(),
            None => detect(file)?,
        };
        Self::find_config(file, info.name, info.config)
    }

    /// Finds the weights of a model of other sizes than those of [`registry::models`], under a name of
    /// your choice.
    ///
    /// # Errors
    /// As [`Loader::load_config`](crate::Loader::load_config).
    pub fn find_config(
        file: &'a mut Checkpoint,
        name: &str,
        config: impl Into<Config>,
    ) -> Result<Self, ModelError> {
        let config = config.into();
        let stored = config.architecture().find(file, name)?;
        Ok(LayerWeights { model: name.to_owned(), config, stored })
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The form of the weights, of a model that has two.
    pub fn form(&self) -> Option<Form> {
        (!self.config.forms().is_empty()).then_some(self.stored.kind.form)
    }

    /// Number of layers that mix tokens by a matrix along them alone; 0 of a model that mixes them by
    /// attention or by convolutions, or together with channels, as the RepMLPs of a ResNet do.
    pub fn token_layers(&self) -> usize {
        self.config.architecture().token_layers().len()
    }

    /// The units of a layer along the tokens, counted from 0: the rows of its first matrix. Of a
    /// RepMLPNet that is FC3 with a row for each share-set and place, in deploy form unless the train
    /// form is asked for, which has convolutions beside it.
    ///
    /// # Errors
    /// [`ModelError::NoSuchLayer`]; [`ModelError::OneForm`] if a form is asked for of a model that has
    /// but one; [`ModelError::Folded`] if the train form is asked for, of weights in deploy form; if the
    /// tensors cannot be read.
    pub fn token_units(
        &mut self,
        layer: usize,
        form: Option<Form>,
    ) -> Result<TokenUnits, ModelError> {
        let layers = self.config.architecture().token_layers();
        let sizes = match (self.one_of(layers, layer)?, form) {
            (TokenLayer::Fc3(sizes), _) => sizes,
            (TokenLayer::Matrix { .. }, Some(_)) => {
                return Err(ModelError::OneForm { model: self.model.clone() });
            }
            (TokenLayer::Matrix { module, grid, prefix }, None) => {
                let rows = self.stored.weights.rows(&format!("{module}.weight"))?;
                let rows = without_first(rows, prefix, grid[0] * grid[1]);
                return Ok(TokenUnits { layer: module, grid, rows });
            }
        };
        let Fc3 { layer, partition, trained, folded, .. } =
            sizes.read(&mut self.stored.weights, self.stored.kind.form)?;
        let rows = match form {
            Some(Form::Train) => trained.ok_or(ModelError::Folded)?,
            Some(Form::Deploy) | None => folded,
        };
        Ok(TokenUnits { layer, grid: partition, rows })
    }

    /// Number of FC3 layers: one for each RepMLP of a RepMLPNet or of a ResNet.
    pub fn fc3_layers(&self) -> usize {
        self.config.architecture().fc3s().len()
    }

    /// FC3 of a RepMLP, counted from 0 in the order of the network, as it was trained (of weights in
    /// train form) and with the convolutions folded in.
    ///
    /// # Errors
    /// [`ModelError::NoSuchLayer`]; if the tensors cannot be read or folded.
    pub fn fc3(&mut self, layer: usize) -> Result<Fc3, ModelError> {
        let sizes = self.one_of(self.config.architecture().fc3s(), layer)?;
        sizes.read(&mut self.stored.weights, self.stored.kind.form)
    }

    /// The filters of the patch embedding, or of the first convolution of a ResNet. They are as they are
    /// stored: a batch norm behind them is folded in only where that is part of the deploy form.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn stem(&mut self) -> Result<StemFilters, ModelError> {
        let layer = self.config.architecture().stem();
        let weights: &mut Weights<'_> = &mut self.stored.weights;
        let name = format!("{layer}.weight");
        let &[_, channels, height, width] = weights.shape(&name) else {
            unreachable!("a convolution has four dimensions");
        };
        let values = weights.rows(&name)?;
        Ok(StemFilters { layer: layer.to_owned(), channels, kernel: [height, width], values })
    }

    fn one_of<T>(&self, mut layers: Vec<T>, layer: usize) -> Result<T, ModelError> {
        if layer < layers.len() {
            return Ok(layers.swap_remove(layer));
        }
        let (model, layers) = (self.model.clone(), layers.len());
        Err(ModelError::NoSuchLayer { model, layer, layers })
    }
}

/// The rows of a matrix without their first `prefix` columns, in front of `len` others.
fn without_first(rows: Vec<f32>, prefix: usize, len: usize) -> Vec<f32> {
    if prefix == 0 {
        return rows;
    }
    rows.chunks_exact(prefix + len).flat_map(|row| &row[prefix..]).copied().collect()
}
