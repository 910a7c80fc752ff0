//! Memory of the kernels: aligned to cache lines, allocated once, used again.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use mixfold_simd::Element;

use crate::GemmError;

/// Alignment in bytes: a cache line, and the widest vector.
pub(crate) const ALIGN: usize = 64;

/// Bytes of a huge page. Buffers of at least that size ask the system for such pages, which save most
/// look-ups of addresses when weights are streamed.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// A vector of floats that starts at a cache line.
#[derive(Debug)]
pub struct Buffer<T> {
    data: NonNull<T>,
    len: usize,
    memory: Memory,
}

/// What a [`Buffer`] lives in.
#[derive(Debug)]
enum Memory {
    /// Nothing, if the buffer is empty, or a block of the global allocator.
    Heap,
    /// Pages of the buffer alone, which `data` alone reaches.
    #[cfg(target_os = "linux")]
    Pages(#[expect(dead_code, reason = "owns the memory")] memmap2::MmapMut),
}

// SAFETY: a Buffer owns its elements.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: through a shared Buffer elements can only be read.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T: Element> Buffer<T> {
    /// No elements.
    pub const fn empty() -> Self {
        Buffer { data: NonNull::dangling(), len: 0, memory: Memory::Heap }
    }

    /// `len` zeros. Where they fill huge pages and the system has such pages, they are asked for.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] if so many do not fit the address space, [`GemmError::Memory`] if the
    /// system does not give them.
    pub fn zeroed(len: usize) -> Result<Self, GemmError> {
        if len == 0 {
            return Ok(Buffer::empty());
        }
        let layout = Self::layout(len).ok_or(GemmError::Overflow { rows: 1, cols: len })?;
        let memory = || GemmError::Memory { bytes: layout.size() };
        #[cfg(target_os = "linux")]
        if layout.size() >= HUGE_PAGE {
            return Self::pages(len, layout.size()).ok_or_else(memory);
        }
        // SAFETY: the layout is not empty.
        let data = unsafe { alloc_zeroed(layout) };
        // All bits zero is the number 0 of every Element.
        let data = NonNull::new(data.cast()).ok_or_else(memory)?;
        Ok(Buffer { data, len, memory: Memory::Heap })
    }

    /// `len` zeros of `bytes` bytes from the border of a huge page on.
    #[cfg(target_os = "linux")]
    fn pages(len: usize, bytes: usize) -> Option<Self> {
        // Pages that nothing touches, as those before the border, take no memory.
        let mut pages = memmap2::MmapMut::map_anon(bytes.checked_add(HUGE_PAGE)?).ok()?;
        let skipped = pages.as_ptr().align_offset(HUGE_PAGE);
        // A system without huge pages works as well, only slower.
        let _ = pages.advise_range(memmap2::Advice::HugePage, skipped, bytes);
        let data = NonNull::from(pages.get_mut(skipped..)?.get_mut(..bytes)?).cast();
        Some(Buffer { data, len, memory: Memory::Pages(pages) })
    }

    /// Makes room for `len` elements; what was there is lost if there was none.
    fn grow(&mut self, len: usize) -> Result<(), GemmError> {
        if len > self.len {
            *self = Buffer::empty();
            *self = Buffer::zeroed(len)?;
        }
        Ok(())
    }

    fn layout(len: usize) -> Option<Layout> {
        Layout::array::<T>(len).ok()?.align_to(ALIGN).ok()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.len > 0 && matches!(self.memory, Memory::Heap) {
            let bytes = self.len * size_of::<T>();
            // SAFETY: the same size and alignment were valid in `zeroed`, which allocated `data`.
            unsafe {
                let layout = Layout::from_size_align_unchecked(bytes, ALIGN);
                dealloc(self.data.as_ptr().cast(), layout);
            }
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `data` points to `len` initialised elements, or `len` is 0.
        unsafe { core::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `data` points to `len` initialised elements, or `len` is 0.
        unsafe { core::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

/// Working memory of a product or of a fused operation: some that all threads share, and some for
/// each thread.
///
/// It grows to the largest need seen and is then used again, so that a repeated computation
/// allocates nothing. Contents between two uses are unspecified.
#[derive(Debug)]
pub struct Scratch<T> {
    shared: Buffer<T>,
    workers: Vec<Buffer<T>>,
}

/// How many elements of [`Scratch`] a computation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScratchLen {
    /// Elements that all threads share.
    pub shared: usize,
    /// Elements of each thread.
    pub each: usize,
    /// Threads.
    pub workers: usize,
}

impl<T: Element> Scratch<T> {
    /// No memory yet.
    pub const fn new() -> Self {
        Scratch { shared: Buffer::empty(), workers: Vec::new() }
    }

    /// Memory of this size.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn with_len(len: ScratchLen) -> Result<Self, GemmError> {
        let mut scratch = Scratch::new();
        scratch.take(len)?;
        Ok(scratch)
    }

    /// Elements allocated.
    pub fn len(&self) -> usize {
        self.shared.len() + self.workers.iter().map(|worker| worker.len()).sum::<usize>()
    }

    /// Whether nothing is allocated.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shared memory, of exactly `len.shared` elements, and `len.workers` buffers of at least
    /// `len.each` elements, allocated if they are not there yet.
    ///
    /// # Errors
    /// [`GemmError::Overflow`] or [`GemmError::Memory`] if there is not so much memory.
    pub fn take(&mut self, len: ScratchLen) -> Result<(&mut [T], &mut [Buffer<T>]), GemmError> {
        self.shared.grow(len.shared)?;
        if let Some(more) = len.workers.checked_sub(self.workers.len()) {
            let bytes = len.workers.saturating_mul(size_of::<Buffer<T>>());
            self.workers.try_reserve(more).map_err(|_| GemmError::Memory { bytes })?;
            self.workers.resize_with(len.workers, Buffer::empty);
        }
        for worker in &mut self.workers[..len.workers] {
            worker.grow(len.each)?;
        }
        Ok((&mut self.shared[..len.shared], &mut self.workers[..len.workers]))
    }
}

impl<T: Element> Default for Scratch<T> {
    fn default() -> Self {
        Scratch::new()
    }
}

/// `len` rounded up so that what follows starts at a cache line.
pub fn padded<T>(len: usize) -> usize {
    len.saturating_add(ALIGN / size_of::<T>() - 1) & !(ALIGN / size_of::<T>() - 1)
}

/// Cuts `len` elements from the front of `rest`, so that `rest` starts at a cache line again.
///
/// # Panics
/// If `rest` is shorter than [`padded`]`(len)`.
pub fn carve<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, back) = core::mem::take(rest).split_at_mut(padded::<T>(len));
    *rest = back;
    &mut front[..len]
}
