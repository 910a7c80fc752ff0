//! The system's allocator, with a book of what each thread has taken. The one allocator of all suites
//! that count: a suite that includes this file runs with it.

#![allow(dead_code, reason = "each suite uses its part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static OF_ALL_THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes taken less bytes given back, which may be those of another thread.
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Memory that is zeroed or grows comes from `alloc` too, as the trait provides it: it counts as an
/// allocation, and what grows is held twice while it is copied.
//
// SAFETY: all memory is the system allocator's, and so is each layout; the counters neither allocate,
// nor unwind, nor have destructors.
unsafe impl GlobalAlloc for Counting {
    /// # Safety
    /// 1. The size of `layout` is not 0.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OF_ALL_THREADS.fetch_add(1, Ordering::Relaxed);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(BYTES.get()));
        // SAFETY: 1.
        unsafe { System.alloc(layout) }
    }
    /// # Safety
    /// 1. `data` comes from `alloc`, with this `layout`.
    /// 2. It has not been given back.
    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: 1. and 2.: `alloc` has it from the system.
        unsafe { System.dealloc(data, layout) }
    }
}

/// Allocations that `work` makes on the calling thread.
pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Allocations that all threads make during `work`.
pub(crate) fn allocations_of_all_threads(work: impl FnOnce()) -> usize {
    let before = OF_ALL_THREADS.load(Ordering::Relaxed);
    work();
    OF_ALL_THREADS.load(Ordering::Relaxed) - before
}

/// The most bytes that `work` holds at once on the calling thread, beyond those held before, and
/// what it returns.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = BYTES.get();
    PEAK.set(before);
    let result = work();
    (usize::try_from(PEAK.get() - before).unwrap(), result)
}

/// The bytes that `work` leaves behind on the calling thread, and what it returns.
pub(crate) fn held<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = BYTES.get();
    let result = work();
    (usize::try_from(BYTES.get() - before).unwrap(), result)
}
