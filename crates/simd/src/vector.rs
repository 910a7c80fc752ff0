//! The traits over which every kernel is written.

use core::fmt::Debug;
use core::ops::{Add, Div, Mul, Sub};

/// An instruction set, held as proof that the CPU has it.
///
/// Implemented by the tokens of this crate alone. Code inside a kernel that takes a token must be
/// `#[inline(always)]` down to the last helper: a function that is not inlined into
/// [`enter`](Self::enter) is compiled without the instruction set. A closure cannot carry the
/// attribute, so vectors are best kept out of closures.
pub trait Simd: Copy + Debug + Send + Sync + 'static + sealed::Sealed {
    /// Lower-case name: `portable`, `neon`, `avx2`, `avx512`.
    const NAME: &'static str;
    /// How many vectors the registers hold; decides the size of register tiles.
    const REGISTERS: usize;
    /// Whether [`Vector::mul_add`] rounds once.
    const FUSED: bool;
    /// Vector of `f32`.
    type F32: Vector<Self, f32>;
    /// Vector of `f64`.
    type F64: Vector<Self, f64>;

    /// Runs `kernel` as a function of its own, compiled with this instruction set. May be nested.
    ///
    /// A kernel entered inside another gets a register allocation that no surrounding code can
    /// disturb, for the price of a call.
    fn enter<K: Kernel>(self, kernel: K) -> K::Out;

    /// Hints that the cache line at `p` will be read soon, and brings it into a cache. Any address is
    /// allowed; does nothing where there is no such instruction.
    fn prefetch<T>(self, p: *const T, to: Cache);
}

/// Where memory is brought before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The first level, for what is read next.
    First,
    /// The second level.
    Second,
}

pub(crate) mod sealed {
    /// Keeps [`Simd`](super::Simd) to the tokens of this crate.
    pub trait Sealed {}
}

/// A computation that is compiled once per instruction set. Its arguments are its fields.
pub trait Kernel {
    /// What it returns.
    type Out;
    /// Does the work. Implementations carry `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// A register of [`LANES`](Self::LANES) values of type `T`, made from a token `S`.
///
/// All operations act lane by lane.
pub trait Vector<S, T>:
    Copy + Debug + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
where
    T: Copy + Default,
{
    /// Number of lanes, at most [`MAX_LANES`](Self::MAX_LANES).
    const LANES: usize;
    /// An upper bound of [`LANES`](Self::LANES) on every instruction set.
    const MAX_LANES: usize = 16;

    /// `x` in every lane.
    fn splat(s: S, x: T) -> Self;

    /// Reads `LANES` values from `p`.
    ///
    /// # Safety
    /// 1. `p` is aligned for one `T` and valid for reads of `LANES` values.
    unsafe fn load(s: S, p: *const T) -> Self;

    /// Reads the first `n` lanes from `p` and sets the others to zero.
    ///
    /// # Safety
    /// 1. `p` is aligned for one `T` and valid for reads of `min(n, LANES)` values.
    unsafe fn load_first(s: S, p: *const T, n: usize) -> Self;

    /// Writes all lanes to `p`.
    ///
    /// # Safety
    /// 1. `p` is aligned for one `T` and valid for writes of `LANES` values.
    unsafe fn store(self, p: *mut T);

    /// Writes the first `n` lanes to `p`.
    ///
    /// # Safety
    /// 1. `p` is aligned for one `T` and valid for writes of `min(n, LANES)` values.
    unsafe fn store_first(self, p: *mut T, n: usize);

    /// Transposes a block of `LANES` × `LANES` values in memory, whose rows are `source_stride` and
    /// `target_stride` values apart.
    ///
    /// # Safety
    /// 1. At `LANES` rows of the source, `LANES` values are valid for reads; `source` is aligned for
    ///    one `T`.
    /// 2. At `LANES` rows of the target, as many are valid for writes, none of which is one of the
    ///    source; `target` is aligned for one `T`.
    unsafe fn transpose(
        s: S,
        source: *const T,
        source_stride: usize,
        target: *mut T,
        target_stride: usize,
    );

    /// `self · b + c`, with one rounding where [`Simd::FUSED`].
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// `c − self · b`, with one rounding where [`Simd::FUSED`].
    fn neg_mul_add(self, b: Self, c: Self) -> Self;

    /// The smaller value; `b` if `b` is NaN. Unspecified: the result if only `self` is NaN, and the
    /// sign of zero if the operands are zeros of different sign.
    fn min(self, b: Self) -> Self;

    /// The larger value; `b` if `b` is NaN. Unspecified: the result if only `self` is NaN, and the
    /// sign of zero if the operands are zeros of different sign.
    fn max(self, b: Self) -> Self;

    /// `b` where it is larger than `self` or NaN, else `self`.
    ///
    /// So it keeps a NaN, and of equal values the first one: zeros of different sign are equal.
    fn max_or_nan(self, b: Self) -> Self;

    /// The absolute value.
    fn abs(self) -> Self;

    /// Adds the lowest bits of the representation of `t` to the exponent of `self`.
    ///
    /// With `t = n +` [`Element::ROUND`] for an integer `n`, this is `self · 2ⁿ`, provided that
    /// `self` and the result are normal numbers.
    fn mul_pow2(self, t: Self) -> Self;

    /// [`transpose`](Self::transpose) between slices that begin with the first of their rows.
    ///
    /// # Panics
    /// If one of them ends before its last row does.
    #[inline(always)]
    fn transpose_slices(
        s: S,
        (source, source_stride): (&[T], usize),
        (target, target_stride): (&mut [T], usize),
    ) {
        let needed =
            |stride: usize| stride.saturating_mul(Self::LANES - 1).saturating_add(Self::LANES);
        assert!(source.len() >= needed(source_stride), "{} values of the source", source.len());
        assert!(target.len() >= needed(target_stride), "{} values of the target", target.len());
        // SAFETY: 1. and 2. both hold all rows, and they are different slices.
        unsafe {
            let (source, target) = (source.as_ptr(), target.as_mut_ptr());
            Self::transpose(s, source, source_stride, target, target_stride);
        }
    }

    /// Reads the first `min(x.len(), LANES)` lanes from a slice and sets the others to zero.
    #[inline(always)]
    fn from_slice(s: S, x: &[T]) -> Self {
        if x.len() >= Self::LANES {
            // SAFETY: 1. the slice holds LANES values.
            unsafe { Self::load(s, x.as_ptr()) }
        } else {
            // SAFETY: 1. the slice holds x.len() values.
            unsafe { Self::load_first(s, x.as_ptr(), x.len()) }
        }
    }

    /// Writes the first `min(y.len(), LANES)` lanes to a slice.
    #[inline(always)]
    fn write_to(self, y: &mut [T]) {
        if y.len() >= Self::LANES {
            // SAFETY: 1. the slice holds LANES values.
            unsafe { self.store(y.as_mut_ptr()) }
        } else {
            // SAFETY: 1. the slice holds y.len() values.
            unsafe { self.store_first(y.as_mut_ptr(), y.len()) }
        }
    }
}

/// A floating point type that kernels work on: `f32` or `f64`.
pub trait Element:
    Copy + Debug + Default + PartialEq + PartialOrd + Send + Sync + 'static + sealed::Sealed
{
    /// The vector of this type on instruction set `S`.
    type Vector<S: Simd>: Vector<S, Self>;
    /// `f32` or `f64`.
    const NAME: &'static str;
    /// 1.5 · 2^(digits−1): adding it rounds a small number to an integer, which then stands in the
    /// lowest bits of the sum.
    const ROUND: Self;
}

impl sealed::Sealed for f32 {}
impl Element for f32 {
    type Vector<S: Simd> = S::F32;
    const NAME: &'static str = "f32";
    const ROUND: f32 = 12_582_912.0;
}

impl sealed::Sealed for f64 {}
impl Element for f64 {
    type Vector<S: Simd> = S::F64;
    const NAME: &'static str = "f64";
    const ROUND: f64 = 6_755_399_441_055_744.0;
}

/// The vector of `T` on instruction set `S`.
pub type V<T, S> = <T as Element>::Vector<S>;
