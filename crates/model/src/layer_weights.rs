//! The weights of single layers, to look at.

use crate::architecture::Stored;
use crate::config::Form;
use crate::repmlp::{self, Fc3};
use crate::weights::Weights;
use crate::{Checkpoint, Config, ModelError, detect, registry};

/// A layer that mixes tokens, or the places of a map: what its first matrix is called, and what a row of
/// it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenLayer {
    /// The module, under its usual name.
    pub module: String,
    /// Places below and beside each other.
    pub grid: [usize; 2],
    /// Columns in front of those of the places, for learned tokens.
    pub prefix: usize,
    /// The stage of a RepMLPNet, whose matrix has a train form.
    pub stage: Option<usize>,
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

/// The filters of a patch embedding, as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StemFilters {
    /// The layer, under its usual name.
    pub layer: String,
    /// Channels of the images.
    pub channels: usize,
    /// Height and width of a patch.
    pub patch: [usize; 2],
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

    /// Number of layers that mix tokens by a matrix along them, 0 if the model mixes them by attention
    /// alone.
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
        let TokenLayer { module, grid, prefix, stage } = self.token_layer(layer)?;
        let weights = &mut self.stored.weights;
        let rows = match (stage, form) {
            (None, None) => {
                let rows = weights.rows(&format!("{module}.weight"))?;
                without_first(rows, prefix, grid[0] * grid[1])
            }
            (None, Some(_)) => return Err(ModelError::OneForm { model: self.model.clone() }),
            (Some(_), form) => {
                let fc3 = self.fc3(layer)?;
                match (form, fc3.trained) {
                    (Some(Form::Train), Some(trained)) => trained,
                    (Some(Form::Train), None) => return Err(ModelError::Folded),
                    _ => fc3.folded,
                }
            }
        };
        Ok(TokenUnits { layer: module, grid, rows })
    }

    /// FC3 of a RepMLPNet's block, counted from 0, as it was trained (of weights in train form) and with
    /// the convolutions folded in.
    ///
    /// # Errors
    /// [`ModelError::OneForm`] if the model is no RepMLPNet; [`ModelError::NoSuchLayer`]; if the tensors
    /// cannot be read or folded.
    pub fn fc3(&mut self, layer: usize) -> Result<Fc3, ModelError> {
        let Config::RepMlpNet(config) = &self.config else {
            return Err(ModelError::OneForm { model: self.model.clone() });
        };
        let config = config.clone();
        let TokenLayer { module, stage, .. } = self.token_layer(layer)?;
        let block = module.strip_suffix(".fc3").unwrap_or(&module);
        let form = self.stored.kind.form;
        repmlp::net_fc3(&mut self.stored.weights, &config, block, stage.unwrap_or(0), form)
    }

    /// The filters of the patch embedding. Batch norms behind it are not folded in.
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
        Ok(StemFilters { layer: layer.to_owned(), channels, patch: [height, width], values })
    }

    fn token_layer(&self, layer: usize) -> Result<TokenLayer, ModelError> {
        let mut layers = self.config.architecture().token_layers();
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
