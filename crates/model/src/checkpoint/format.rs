//! What a file is, told from its first bytes.

use std::fmt;

use super::pth;

/// The file formats that [`Checkpoint::open`](super::Checkpoint::open) tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The safetensors format: a JSON header, then the tensors' bytes.
    Safetensors,
    /// A zip archive of `.npy` arrays, as `numpy.savez` and `numpy.savez_compressed` write.
    Npz,
    /// A zip archive of a pickle and of storages, as `torch.save` writes: a state dict, or a dict
    /// that has one under `model`, `state_dict` or `model_ema`, of which the first counts. Names
    /// are without `module.` if all begin with it. Files from before PyTorch 1.6 are refused.
    Pth,
}

/// What the first bytes of a file say of its format.
pub(super) enum Start {
    Safetensors,
    Zip,
    LegacyPth,
    Unknown,
}

impl Start {
    pub(super) fn of(start: &[u8]) -> Self {
        // A safetensors file starts with its header's length in eight bytes, then the header, an
        // object. A zip archive holds a compression method in the same ninth byte, never '{'.
        match start {
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ if pth::is_legacy(start) => Self::LegacyPth,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
            Self::Pth => "pth",
        })
    }
}
