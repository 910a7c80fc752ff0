//! The choice among instruction sets, made at run time.

use core::fmt;

use crate::Portable;
use crate::vector::{Kernel, Simd};
#[cfg(target_arch = "x86_64")]
use crate::x86::{Avx2, Avx512};

/// An instruction set that this CPU has.
///
/// [`Isa::available`] lists them; [`Isa::best`] is the one to use if nothing speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Token);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// The names of all instruction sets that mixfold has code for, on any processor.
const KNOWN: [&str; 4] = ["portable", "neon", "avx2", "avx512"];

impl Isa {
    /// The instruction sets of this CPU, slowest first. Never empty.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        #[cfg(target_arch = "x86_64")]
        let more = [Avx2::detect().map(Token::Avx2), Avx512::detect().map(Token::Avx512)];
        #[cfg(not(target_arch = "x86_64"))]
        let more: [Option<Token>; 0] = [];
        core::iter::once(Isa::from(Portable)).chain(more.into_iter().flatten().map(Isa))
    }

    /// The fastest instruction set of this CPU.
    pub fn best() -> Isa {
        Isa::available().next_back().unwrap_or(Isa::from(Portable))
    }

    /// The instruction set called `name`, in lower case. `portable` is always there; on aarch64 it
    /// is the same as `neon`.
    ///
    /// # Errors
    /// [`IsaError::Unknown`] for a name that mixfold does not know, [`IsaError::Absent`] for one
    /// that this CPU does not have.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        if name == "portable" {
            return Ok(Isa::from(Portable));
        }
        Isa::available().find(|isa| isa.name() == name).ok_or_else(|| {
            let name = name.to_owned();
            if KNOWN.contains(&name.as_str()) {
                IsaError::Absent { name }
            } else {
                IsaError::Unknown { name }
            }
        })
    }

    /// Lower-case name: `portable`, `neon`, `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        struct Name;
        impl Kernel for Name {
            type Out = &'static str;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> &'static str {
                S::NAME
            }
        }
        self.run(Name)
    }

    /// Whether [`Vector::mul_add`](crate::Vector::mul_add) rounds once. Results of mixfold's
    /// kernels are bitwise equal among all fused instruction sets.
    pub fn is_fused(self) -> bool {
        struct Fused;
        impl Kernel for Fused {
            type Out = bool;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> bool {
                S::FUSED
            }
        }
        self.run(Fused)
    }

    /// Runs `kernel` with this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            Token::Portable(s) => s.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(s) => s.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(s) => s.enter(kernel),
        }
    }
}

impl From<Portable> for Isa {
    fn from(token: Portable) -> Isa {
        Isa(Token::Portable(token))
    }
}

#[cfg(target_arch = "x86_64")]
impl From<Avx2> for Isa {
    fn from(token: Avx2) -> Isa {
        Isa(Token::Avx2(token))
    }
}

#[cfg(target_arch = "x86_64")]
impl From<Avx512> for Isa {
    fn from(token: Avx512) -> Isa {
        Isa(Token::Avx512(token))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an instruction set cannot be had by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// mixfold has no instruction set of this name.
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// This CPU does not have the instruction set.
    Absent {
        /// The name asked for.
        name: String,
    },
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IsaError::Unknown { name } => {
                write!(f, "unknown instruction set `{name}`; this CPU has")?
            }
            IsaError::Absent { name } => {
                write!(f, "this CPU has no instruction set `{name}`; it has")?
            }
        }
        for (i, isa) in Isa::available().enumerate() {
            write!(f, "{} {isa}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl core::error::Error for IsaError {}
