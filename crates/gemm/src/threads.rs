//! Threads of our own, which wait for the next operation awake.

use core::fmt;
use core::hint::spin_loop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Pool;

/// How long a thread stays awake without work: longer than what lies between two operations of a
/// model, shorter than anyone would notice.
const AWAKE: Duration = Duration::from_micros(200);

/// Threads of its own for [`Context`](crate::Context), for products and models that follow one another
/// closely. Between two calls a thread stays awake for 0.2 ms before it sleeps, so that the next call
/// starts within a microsecond; a thread of `rayon` sleeps sooner and has to be woken.
///
/// A call while another one runs, as from within a task, is done by the calling thread alone.
pub struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
    /// Held while the threads work for a call.
    busy: Mutex<()>,
}

/// The work of the present call, on the stack of the calling thread.
struct Job<'a>(&'a (dyn Fn() + Sync));

struct Shared {
    /// Number of the call in the upper half; then whether it can still be joined, and how many threads
    /// have joined and not yet left.
    state: AtomicU64,
    /// Valid while the call can be joined or threads are in it.
    job: AtomicPtr<Job<'static>>,
    panic: Mutex<Option<Box<dyn core::any::Any + Send>>>,
    /// Threads asleep.
    asleep: Mutex<usize>,
    wake: Condvar,
    any_asleep: AtomicBool,
    stop: AtomicBool,
}

const OPEN: u64 = 1 << 31;
const JOINED: u64 = OPEN - 1;
const CALL: u64 = 1 << 32;

impl Threads {
    /// A pool of `threads` threads in all: the calling one and `threads − 1` more.
    ///
    /// # Errors
    /// If the system does not give the threads.
    pub fn new(threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(null_mut()),
            panic: Mutex::new(None),
            asleep: Mutex::new(0),
            wake: Condvar::new(),
            any_asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut pool = Threads { shared, handles: Vec::new(), busy: Mutex::new(()) };
        for i in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let builder = std::thread::Builder::new().name(format!("mixfold-{i}"));
            pool.handles.push(builder.spawn(move || shared.serve())?);
        }
        Ok(pool)
    }
}

impl Pool for Threads {
    fn workers(&self) -> usize {
        self.handles.len() + 1
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        let Ok(_busy) = self.busy.try_lock() else { return work() };
        if self.handles.is_empty() {
            return work();
        }
        /// Ends the call, whether or not the calling thread's part of it panicked.
        struct Call<'a>(&'a Shared);
        impl Drop for Call<'_> {
            fn drop(&mut self) {
                self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
                while self.0.state.load(Ordering::Acquire) & JOINED != 0 {
                    spin_loop();
                }
            }
        }
        let job = Job(work);
        let shared = &*self.shared;
        shared.job.store((&raw const job).cast_mut().cast(), Ordering::Relaxed);
        let call = Call(shared);
        let next = (shared.state.load(Ordering::Relaxed) & !(CALL - 1)).wrapping_add(CALL) | OPEN;
        shared.state.store(next, Ordering::SeqCst);
        if shared.any_asleep.load(Ordering::SeqCst) {
            drop(shared.asleep.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        work();
        drop(call);
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Shared {
    /// What a thread does until the pool is dropped.
    fn serve(&self) {
        let mut seen = 0;
        while let Some(state) = self.wait(seen) {
            seen = state & !(CALL - 1);
            let joined = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state & !JOINED == seen | OPEN).then_some(state + 1)
            });
            if joined.is_err() {
                continue;
            }
            // SAFETY: the call was open, and it does not return before this thread has left it.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.0)())) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.state.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The state as soon as a call after `seen` can be joined; None when the pool is dropped.
    fn wait(&self, seen: u64) -> Option<u64> {
        let ready = || {
            let state = self.state.load(Ordering::SeqCst);
            (state & OPEN != 0 && state & !(CALL - 1) != seen).then_some(state)
        };
        let start = Instant::now();
        loop {
            for _ in 0..64 {
                if let Some(state) = ready() {
                    return Some(state);
                }
                if self.stop.load(Ordering::SeqCst) {
                    return None;
                }
                spin_loop();
            }
            if start.elapsed() >= AWAKE {
                break;
            }
        }
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *asleep += 1;
        self.any_asleep.store(true, Ordering::SeqCst);
        let state = loop {
            if self.stop.load(Ordering::SeqCst) {
                break None;
            }
            if let Some(state) = ready() {
                break Some(state);
            }
            asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        };
        *asleep -= 1;
        self.any_asleep.store(*asleep > 0, Ordering::SeqCst);
        state
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(self.shared.asleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        for handle in self.handles.drain(..) {
            // Its panics have been handed to the callers.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("threads", &self.workers()).finish()
    }
}
