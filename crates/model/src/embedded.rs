//! The model that is part of the program.

/// `assets/mixer_fashion.safetensors`; `assets/README.md` tells how it was made.
pub(crate) const WEIGHTS: &[u8] = include_bytes!("../assets/mixer_fashion.safetensors");
