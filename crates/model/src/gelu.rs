//! Which GELU goes with a file.

use std::fmt;

use crate::tokens::Names;
use crate::{Checkpoint, ModelError};

/// Which GELU a model computes. They differ by up to 4.7e-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// ½·x·(1 + erf(x/√2)), as timm runs every Mixer.
    Erf,
    /// The tanh approximation, as the official Flax models were trained.
    Tanh,
}

impl Gelu {
    /// The key under which the metadata of a safetensors file says `erf` or `tanh`: which one the model
    /// was trained with, if its tensors have other names than at that time.
    pub const METADATA: &'static str = "mixfold.gelu";

    /// The one that goes with names.
    pub(crate) fn usual(names: Names) -> Self {
        match names {
            Names::Flax | Names::LegacyFlax => Gelu::Tanh,
            Names::Usual | Names::Facebook => Gelu::Erf,
        }
    }

    /// What the metadata of a file says, if it does.
    pub(crate) fn stated(file: &Checkpoint) -> Result<Option<Self>, ModelError> {
        match file.metadata().get(Self::METADATA).map(String::as_str) {
            None => Ok(None),
            Some("erf") => Ok(Some(Gelu::Erf)),
            Some("tanh") => Ok(Some(Gelu::Tanh)),
            Some(found) => {
                let (path, found) = (file.path().to_owned(), found.to_owned());
                Err(ModelError::Gelu { path, found })
            }
        }
    }
}

impl fmt::Display for Gelu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gelu::Erf => "erf",
            Gelu::Tanh => "tanh",
        })
    }
}
