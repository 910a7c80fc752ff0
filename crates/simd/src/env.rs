//! Every environment variable that mixfold reads. Nothing is read but on request, by the functions
//! of this module.

use crate::{Isa, IsaError};

/// An environment variable of mixfold.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}

/// Chooses the instruction set.
pub const ISA: Variable = Variable {
    name: "MIXFOLD_ISA",
    meaning: "the instruction set to use: portable, neon, avx2 or avx512; \
              an unknown or absent one is an error (default: the fastest of the CPU)",
};

/// Makes an absent instruction set fail the tests.
pub const REQUIRE_ISA: Variable = Variable {
    name: "MIXFOLD_REQUIRE_ISA",
    meaning: "instruction sets, separated by commas, without which the tests fail \
              instead of skipping them (default: none)",
};

/// All variables.
pub const VARIABLES: [Variable; 2] = [ISA, REQUIRE_ISA];

/// The instruction set named by `MIXFOLD_ISA`, or the fastest of the CPU if it is not set or empty.
///
/// # Errors
/// If the name is unknown or the CPU does not have the instruction set.
pub fn isa() -> Result<Isa, IsaError> {
    read(ISA).map_or_else(|| Ok(Isa::best()), |name| Isa::named(&name))
}

/// The instruction set named by `MIXFOLD_ISA`, or all of the CPU, slowest first, if it is not set or
/// empty: what a benchmark compares.
///
/// # Errors
/// As [`isa`].
pub fn isas() -> Result<Vec<Isa>, IsaError> {
    match read(ISA) {
        Some(name) => Isa::named(&name).map(|isa| vec![isa]),
        None => Ok(Isa::available().collect()),
    }
}

/// The instruction sets that a test has to run on: all of the CPU, slowest first.
///
/// # Panics
/// If one that `MIXFOLD_REQUIRE_ISA` names is not among them, so that no instruction set is skipped
/// in silence.
pub fn isas_under_test() -> Vec<Isa> {
    for name in read(REQUIRE_ISA).unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        if let Err(error) = Isa::named(name.trim()) {
            panic!("{}: {error}", REQUIRE_ISA.name);
        }
    }
    Isa::available().collect()
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn read(variable: Variable) -> Option<String> {
    let value = std::env::var_os(variable.name)?;
    let value = value.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}
