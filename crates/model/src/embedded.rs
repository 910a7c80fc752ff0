//! The models that are part of the program. `assets/README.md` tells how they were made.

use crate::registry::{self, ModelInfo};
use crate::{Checkpoint, ModelError};

/// The weights of a model, if they are part of the program.
pub(crate) fn weights(model: &ModelInfo) -> Option<&'static [u8]> {
    match model.name {
        "mixer_fashion" => Some(include_bytes!("../assets/mixer_fashion.safetensors")),
        "repmlpnet_fashion" => Some(include_bytes!("../assets/repmlpnet_fashion.safetensors")),
        _ => None,
    }
}

impl Checkpoint {
    /// The weights of a small model that are part of the program, see
    /// [`Loader::embedded`](crate::Loader::embedded).
    ///
    /// # Errors
    /// If the model is unknown or its weights are not part of the program.
    pub fn embedded(name: &str) -> Result<Checkpoint, ModelError> {
        let info = registry::find(name)?;
        let bytes =
            weights(info).ok_or_else(|| ModelError::NotEmbedded { model: name.to_owned() })?;
        Ok(Checkpoint::from_bytes(name, bytes)?)
    }
}
