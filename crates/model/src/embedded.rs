//! The models that are part of the program. `assets/README.md` tells how they were made.

use crate::registry::ModelInfo;

/// The weights of a model, if they are part of the program.
pub(crate) fn weights(model: &ModelInfo) -> Option<&'static [u8]> {
    match model.name {
        "mixer_fashion" => Some(include_bytes!("../assets/mixer_fashion.safetensors")),
        "repmlpnet_fashion" => Some(include_bytes!("../assets/repmlpnet_fashion.safetensors")),
        _ => None,
    }
}
