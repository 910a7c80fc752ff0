//! Whose names the tensors of a checkpoint have.

use crate::checkpoint::Checkpoint;
use crate::weights::Layout;

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// timm's, or those of the paper's authors where timm does not have the model; in PyTorch's
    /// layouts: convolutions `[out, in, height, width]`, matrices `[out, in]`.
    Usual,
    /// Those of the official Flax checkpoints, in Flax's layouts: convolutions
    /// `[height, width, in, out]`, matrices `[in, out]`.
    Flax,
    /// Those of the official checkpoints from before Flax's Linen, in the same layouts. Shapes may
    /// have further lengths of 1.
    LegacyFlax,
    /// Those of the ResMLP checkpoints of its authors, in PyTorch's layouts. Shapes may lack lengths
    /// of 1.
    Facebook,
}

impl Names {
    /// Whether lengths of 1 do not count in shapes.
    pub(crate) fn squeezes(self) -> bool {
        matches!(self, Names::LegacyFlax | Names::Facebook)
    }
}

/// A file and whose names it uses for a family's tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub file: &'a Checkpoint,
    pub names: Names,
    pub file_name: fn(Names, &str) -> (String, Layout),
}

impl Found<'_> {
    /// The shape that the tensor with this usual name has in the usual layout.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        let (file_name, layout) = (self.file_name)(self.names, name);
        let entry = self.file.entry(&file_name).ok_or_else(|| format!("no `{file_name}`"))?;
        let mut shape = entry.shape().to_vec();
        if self.names.squeezes() && layout == Layout::Transposed {
            shape.retain(|&len| len != 1);
        }
        Ok(match (layout, &shape[..]) {
            (Layout::Transposed, &[axis, out]) => vec![out, axis],
            (Layout::Hwio, &[height, width, channels, out]) => vec![out, channels, height, width],
            _ => shape,
        })
    }

    /// The rows and columns of a matrix.
    pub(crate) fn matrix(&self, name: &str, what: &str) -> Result<[usize; 2], String> {
        let shape = self.shape(name)?;
        shape.try_into().map_err(|_| format!("{what} is no matrix"))
    }

    /// Number of blocks that have this tensor, from the first one on.
    pub(crate) fn blocks(&self, tensor: &str) -> usize {
        (0..).take_while(|i| self.shape(&format!("blocks.{i}.{tensor}")).is_ok()).count()
    }
}
