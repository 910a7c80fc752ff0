//! Loads and stores of [`Vector`] touch exactly the lanes that they should.

use core::marker::PhantomData;

use mixfold_simd::{Kernel, Simd, V, Vector, env};

use crate::float::Float;

/// How a vector is read or written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    /// `load`, `store`: all lanes.
    Full,
    /// `load_first`, `store_first`: a number of lanes that may exceed those there are.
    First(usize),
    /// `from_slice`, `write_to`: a slice of a length that may exceed the number of lanes.
    Slice(usize),
}

impl Access {
    /// All accesses worth a test with `lanes` lanes.
    fn all(lanes: usize) -> impl Iterator<Item = Access> {
        let partial = (0..=lanes + 3).flat_map(|n| [Access::First(n), Access::Slice(n)]);
        partial.chain([Access::Full, Access::First(usize::MAX)])
    }

    /// The number of values that it touches.
    fn len(self, lanes: usize) -> usize {
        match self {
            Access::Full => lanes,
            Access::First(n) | Access::Slice(n) => n.min(lanes),
        }
    }

    /// Reads a vector at the start of `memory`.
    #[inline(always)]
    fn read<S: Simd, T: Float>(self, s: S, memory: &[T]) -> V<T, S> {
        assert!(self.len(V::<T, S>::LANES) <= memory.len());
        match self {
            // SAFETY: 1. by the assertion.
            Access::Full => unsafe { V::<T, S>::load(s, memory.as_ptr()) },
            // SAFETY: 1. by the assertion.
            Access::First(n) => unsafe { V::<T, S>::load_first(s, memory.as_ptr(), n) },
            Access::Slice(n) => V::<T, S>::from_slice(s, &memory[..n.min(memory.len())]),
        }
    }

    /// Writes a vector to the start of `memory`.
    #[inline(always)]
    fn write<S: Simd, T: Float>(self, vector: V<T, S>, memory: &mut [T]) {
        assert!(self.len(V::<T, S>::LANES) <= memory.len());
        match self {
            // SAFETY: 1. by the assertion.
            Access::Full => unsafe { vector.store(memory.as_mut_ptr()) },
            // SAFETY: 1. by the assertion.
            Access::First(n) => unsafe { vector.store_first(memory.as_mut_ptr(), n) },
            Access::Slice(n) => {
                let n = n.min(memory.len());
                vector.write_to(&mut memory[..n]);
            }
        }
    }
}

/// The value number `i`, different from all others and from 0.
fn value<T: Float>(i: usize) -> T {
    T::from_i32(i as i32 + 1)
}

/// Reads and writes in the midst of canaries, at all offsets from the alignment of a vector.
struct AmongCanaries<T>(PhantomData<T>);

impl<T: Float> Kernel for AmongCanaries<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        let canary = T::from_bits(u64::MAX);
        for access in Access::all(lanes) {
            let len = access.len(lanes);
            for offset in 0..=lanes {
                let mut memory = vec![canary; offset + len + lanes + 3];
                for i in 0..len {
                    memory[offset + i] = value(i);
                }
                let mut read = [canary; 16];
                access.read(s, &memory[offset..]).write_to(&mut read[..lanes]);
                for (i, &x) in read[..lanes].iter().enumerate() {
                    let expected = if i < len { value(i) } else { T::default() };
                    assert!(x.same(expected), "{} {access:?}: lane {i} is {x:?}", S::NAME);
                }

                let values: [T; 16] = core::array::from_fn(value);
                let vector = V::<T, S>::from_slice(s, &values);
                memory.fill(canary);
                access.write::<S, T>(vector, &mut memory[offset..]);
                for (i, &x) in memory.iter().enumerate() {
                    let touched = (offset..offset + len).contains(&i);
                    let expected = if touched { value(i - offset) } else { canary };
                    assert_eq!(x.bits(), expected.bits(), "{} {access:?} at {i}", S::NAME);
                }
            }
        }
    }
}

#[test]
fn among_canaries_f32() {
    for isa in env::isas_under_test() {
        isa.run(AmongCanaries::<f32>(PhantomData));
    }
}

#[test]
fn among_canaries_f64() {
    for isa in env::isas_under_test() {
        isa.run(AmongCanaries::<f64>(PhantomData));
    }
}

/// Transposes a block among canaries.
struct Transpose<T>(PhantomData<T>);

impl<T: Float> Kernel for Transpose<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lanes = V::<T, S>::LANES;
        let canary = T::from_bits(u64::MAX);
        for (from, to) in [(lanes, lanes), (lanes + 1, lanes + 5), (100, lanes + 2)] {
            let source: Vec<T> = (0..lanes * from).map(value).collect();
            let mut target = vec![canary; lanes * to];
            V::<T, S>::transpose_slices(s, (&source, from), (&mut target, to));
            for (at, &x) in target.iter().enumerate() {
                let (row, col) = (at / to, at % to);
                let expected = if col < lanes { source[col * from + row] } else { canary };
                assert_eq!(x.bits(), expected.bits(), "{} at {row}, {col}", S::NAME);
            }
        }
    }
}

#[test]
fn transpose_f32() {
    for isa in env::isas_under_test() {
        isa.run(Transpose::<f32>(PhantomData));
    }
}

#[test]
fn transpose_f64() {
    for isa in env::isas_under_test() {
        isa.run(Transpose::<f64>(PhantomData));
    }
}

/// Reads and writes beside memory that must not be touched: a stray access ends the process.
#[cfg(unix)]
mod guarded {
    use super::*;

    /// One page between two that allow no access.
    struct GuardedPage {
        start: *mut u8,
        size: usize,
    }

    impl GuardedPage {
        fn new() -> Self {
            // SAFETY: a query without arguments in memory.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.try_into().unwrap();
            let (access, kind) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping, anywhere.
            let map = unsafe { libc::mmap(core::ptr::null_mut(), 3 * size, access, kind, -1, 0) };
            assert_ne!(map, libc::MAP_FAILED);
            // SAFETY: the mapping is three pages long.
            let start = unsafe { map.cast::<u8>().add(size) };
            // SAFETY: the second page of a mapping that is this function's own.
            let opened =
                unsafe { libc::mprotect(start.cast(), size, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(opened, 0);
            Self { start, size }
        }

        fn values<T: Float>(&mut self) -> &mut [T] {
            let len = self.size / size_of::<T>();
            // SAFETY: the page is mapped for reading and writing, zeroed, a valid `f32` or `f64`
            // in every bit pattern, aligned to its size, and borrowed from `self`.
            unsafe { core::slice::from_raw_parts_mut(self.start.cast(), len) }
        }
    }

    impl Drop for GuardedPage {
        fn drop(&mut self) {
            // SAFETY: the mapping of `new`, of which no borrow is left.
            let unmapped = unsafe { libc::munmap(self.start.sub(self.size).cast(), 3 * self.size) };
            assert_eq!(unmapped, 0);
        }
    }

    /// Accesses the first and the last values of a page.
    struct AtTheEdges<'a, T>(&'a mut [T]);

    impl<T: Float> Kernel for AtTheEdges<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let lanes = V::<T, S>::LANES;
            for access in Access::all(lanes) {
                let last = self.0.len() - access.len(lanes);
                for at in [0, last] {
                    let mut read = [T::default(); 16];
                    access.read(s, &self.0[at..]).write_to(&mut read);
                    core::hint::black_box(read);
                    access.write::<S, T>(V::<T, S>::splat(s, value(0)), &mut self.0[at..]);
                    core::hint::black_box(&mut *self.0);
                }
            }
        }
    }

    #[test]
    fn between_pages_without_access() {
        let mut page = GuardedPage::new();
        for isa in env::isas_under_test() {
            isa.run(AtTheEdges(page.values::<f32>()));
            isa.run(AtTheEdges(page.values::<f64>()));
        }
    }
}
