//! The state dict in a PyTorch file.

use std::path::Path;

use super::super::CheckpointError;
use super::super::pickle::{Pickle, Tensor};

/// Where training scripts put a state dict, beside the epoch and the optimizer's state, in the order
/// in which they are looked for.
const WRAPPERS: [&str; 3] = ["model", "state_dict", "model_ema"];

/// What `DataParallel` puts in front of all names.
const PARALLEL: &str = "module.";

/// The tensors of the state dict by name: of the whole dict if it has nothing but tensors, else of the
/// first of [`WRAPPERS`] that is a dict. [`PARALLEL`] is cut off if all names begin with it.
pub(super) fn tensors<'p, 'a>(
    pickle: &'p Pickle<'a>,
    path: &Path,
) -> Result<Vec<(&'a str, &'p Tensor<'a>)>, CheckpointError> {
    let Some(root) = pickle.dict(pickle.root) else {
        let found = pickle.kind(pickle.root);
        return Err(CheckpointError::NoStateDict { path: path.into(), found });
    };
    let is_tensor = |value| pickle.tensor(value).is_some();
    let state = match root.clone().all(|(_, value)| is_tensor(value)) {
        true => pickle.root,
        false => WRAPPERS
            .iter()
            .filter_map(|wrapper| root.clone().filter(|(key, _)| key == wrapper).last())
            .map(|(_, value)| value)
            .find(|&value| pickle.dict(value).is_some())
            .unwrap_or(pickle.root),
    };
    let mut tensors = Vec::new();
    for (name, value) in pickle.dict(state).into_iter().flatten() {
        let Some(tensor) = pickle.tensor(value) else {
            let (name, found) = (name.to_owned(), pickle.kind(value));
            return Err(CheckpointError::NoTensor { path: path.into(), name, found });
        };
        tensors.push((name, tensor));
    }
    if tensors.iter().all(|(name, _)| name.starts_with(PARALLEL)) {
        for (name, _) in &mut tensors {
            *name = &name[PARALLEL.len()..];
        }
    }
    Ok(tensors)
}
