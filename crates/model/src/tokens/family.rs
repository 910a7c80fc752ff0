//! What tells a family of networks of tokens from the others.

use std::fmt::Debug;

use mixfold_mix::{Norm, PatchEmbed};

use super::{Found, Names, Part, Reader, Tensors, Trunk};
use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::network::Phase;
use crate::weights::Layout;

/// What the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readout {
    /// The mean over all tokens.
    Mean,
    /// So many learned tokens, which stand in front of the patches. Each has a head of its own, and
    /// the logits are the mean of theirs.
    Prefix(usize),
}

impl Readout {
    /// Learned tokens in front of the patches.
    pub(crate) fn prefix(self) -> usize {
        match self {
            Readout::Mean => 0,
            Readout::Prefix(count) => count,
        }
    }
}

/// The sizes of a network of tokens, and what its family makes of them.
pub(crate) trait TokenFamily:
    Copy + PartialEq + Debug + Send + Sync + Into<Config> + 'static
{
    /// The paper's name of the architecture.
    const NAME: &'static str;
    /// Whose names its checkpoints can have; the usual ones first.
    const NAMES: &'static [Names] = &[Names::Usual];
    /// The patch embedding, under its usual name.
    const STEM: &'static str;
    /// The first matrix along the tokens in a block, nothing if attention mixes them.
    const TOKEN_MATRIX: Option<&'static str> = None;
    /// Why images of no other size can be run.
    const FIXED_SIZE: &'static str;
    /// The parts of a block by name, with the kind of work that leads to what they write. The last one
    /// has no name: it writes the block's output.
    const PARTS: &'static [(&'static str, Phase)];

    /// The sizes that all networks of tokens have.
    fn trunk(&self) -> &Trunk;

    /// What the heads read.
    fn readout(&self) -> Readout {
        Readout::Mean
    }

    /// The modules of the heads: one, or one for each token that is read out.
    fn heads(&self) -> &'static [&'static str] {
        &["head"]
    }

    /// What is wrong with the sizes, if anything is beside those of the trunk.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Number of tokens.
    fn tokens(&self) -> usize {
        self.trunk().patches().saturating_add(self.readout().prefix())
    }

    /// Whether the tensors of a file can be a model's of this family.
    fn recognised(file: &Checkpoint) -> bool;

    /// The sizes that the tensors of a file have, if images are square, or why there are none.
    fn detect(found: &Found<'_>) -> Result<Self, String>;

    /// The sizes beside those of the trunk, for people.
    fn further_sizes(&self) -> String;

    /// The file's name and layout of the tensor with this usual name.
    fn file_name(_names: Names, name: &str) -> (String, Layout) {
        (name.to_owned(), Layout::Same)
    }

    /// The shape in which a file has the tensor with this usual name, if it is another one than the
    /// layout says: a matrix whose rows or columns are split in heads.
    fn stored(&self, _names: Names, _name: &str) -> Option<Vec<usize>> {
        None
    }

    /// The modules that stand, one below the other, for this module of the usual names in a file with
    /// these names: itself, unless such files have a matrix in pieces.
    fn pieces(_names: Names, module: &str) -> Vec<String> {
        vec![module.to_owned()]
    }

    /// The tensors before and behind the blocks, but those of stem and heads: a last layer norm.
    fn ends(&self, list: &mut Tensors) {
        list.layer("norm", &[self.trunk().channels]);
    }

    /// The tensors of a block, whose names begin with `block` and a full stop.
    fn block_tensors(&self, block: &str, list: &mut Tensors);

    /// Multiply-adds of a block along the tokens and along the channels.
    fn block_macs(&self) -> [u64; 2];

    /// Those of the last block: fewer where it computes only the tokens that are read out.
    fn last_block_macs(&self) -> [u64; 2] {
        self.block_macs()
    }

    /// Reads the patch embedding.
    fn stem(&self, read: &mut Reader<'_, '_>) -> Result<PatchEmbed, ModelError> {
        read.stem(Self::STEM, self.trunk())
    }

    /// Reads a block: the parts of [`PARTS`](Self::PARTS).
    fn block(&self, number: usize, read: &mut Reader<'_, '_>) -> Result<Vec<Part>, ModelError>;

    /// Reads the last norm, with γ and β along the inner axis.
    fn norm(&self, read: &mut Reader<'_, '_>) -> Result<Norm, ModelError> {
        read.layer_norm("norm", Norm::layer_inner)
    }
}
