//! What follows from the list of a network's tensors and from its sizes.

use super::{Names, Tensors, TokenFamily};
use crate::network::Phase;
use crate::sizes::product;
use crate::weights::Spec;

/// The tensors of so many blocks and of what is before and behind them, with heads of `classes`.
fn tensors<F: TokenFamily>(family: &F, blocks: usize, names: Names, classes: usize) -> Tensors {
    let trunk = family.trunk();
    let mut list = Tensors::new(names);
    list.layer(F::STEM, &[trunk.channels, trunk.image_channels, trunk.patch, trunk.patch]);
    for i in 0..blocks {
        family.block_tensors(&format!("blocks.{i}"), &mut list);
    }
    family.ends(&mut list);
    for head in family.heads() {
        list.layer(head, &[classes, trunk.channels]);
    }
    list
}

/// All tensors of a file with these names.
pub(crate) fn specs<F: TokenFamily>(family: &F, names: Names, classes: usize) -> Vec<Spec> {
    let list = tensors(family, family.trunk().depth, names, classes);
    let spec = |(name, shape): (String, Vec<usize>)| {
        let (file_name, layout) = F::file_name(names, &name);
        let stored = family.stored(names, &name);
        Spec { name, shape, file_name, layout, stored, optional: false }
    };
    list.into_inner().into_iter().map(spec).collect()
}

/// Number of parameters, with heads of `classes`; `u64::MAX` if there are more.
pub(crate) fn parameters<F: TokenFamily>(family: &F, classes: usize) -> u64 {
    let with = |blocks| tensors(family, blocks, Names::Usual, classes).elements();
    let (ends, block) = (with(0), with(1).saturating_sub(with(0)));
    block.saturating_mul(family.trunk().depth as u64).saturating_add(ends)
}

/// Multiply-adds of convolutions, matrices and attention for one image in a phase, with heads of
/// `classes`; `u64::MAX` if there are more.
pub(crate) fn macs<F: TokenFamily>(family: &F, classes: usize, phase: Phase) -> u64 {
    with_last_block(family, classes, phase, family.block_macs())
}

/// Those that are computed: the last block may be spared some.
pub(crate) fn computed_macs<F: TokenFamily>(family: &F, classes: usize, phase: Phase) -> u64 {
    with_last_block(family, classes, phase, family.last_block_macs())
}

fn with_last_block<F: TokenFamily>(
    family: &F,
    classes: usize,
    phase: Phase,
    last: [u64; 2],
) -> u64 {
    let (trunk, [tokens, channels]) = (family.trunk(), family.block_macs());
    let all = |block: u64, last: u64| match trunk.depth as u64 {
        0 => 0,
        depth => block.saturating_mul(depth - 1).saturating_add(last),
    };
    match phase {
        Phase::Stem => trunk.stem_macs(),
        Phase::Tokens => all(tokens, last[0]),
        Phase::Channels => all(channels, last[1]),
        Phase::Head => product([family.heads().len(), trunk.channels, classes]),
    }
}
