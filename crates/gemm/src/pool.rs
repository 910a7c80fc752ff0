//! Threads, which belong to the caller.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use mixfold_simd::Element;

use crate::{GemmError, MatMut};

/// Threads that a caller lends.
///
/// Implement it to run mixfold on a pool of your own. Results never depend on the pool: every
/// output element is computed by one task in one order.
pub trait Pool: fmt::Debug + Send + Sync {
    /// How many calls of `work` can make progress at once; at least 1 is assumed.
    fn workers(&self) -> usize;

    /// Calls `work` up to [`workers`](Self::workers) times, at once if it can, and returns when all
    /// calls have returned. A call takes tasks until none are left, so that a late or missing call
    /// costs time only.
    fn run(&self, work: &(dyn Fn() + Sync));
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential;

impl Pool for Sequential {
    fn workers(&self) -> usize {
        1
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        work();
    }
}

/// The threads of `rayon`: the global pool or one of your own.
#[cfg(feature = "rayon")]
#[derive(Debug, Default)]
pub struct Rayon {
    pool: Option<rayon::ThreadPool>,
}

#[cfg(feature = "rayon")]
impl Rayon {
    /// The pool of the calling thread, which is rayon's global one unless the caller is itself in a
    /// rayon pool.
    pub fn current() -> Self {
        Rayon { pool: None }
    }

    /// A pool of its own with `threads` threads.
    ///
    /// # Errors
    /// If the system does not give the threads.
    pub fn with_threads(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Rayon { pool: Some(pool) })
    }
}

#[cfg(feature = "rayon")]
impl Pool for Rayon {
    fn workers(&self) -> usize {
        self.pool.as_ref().map_or_else(rayon::current_num_threads, |p| p.current_num_threads())
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        // Joins need no memory of their own, unlike spawned tasks.
        fn fan(calls: usize, work: &(dyn Fn() + Sync)) {
            if calls <= 1 {
                work();
            } else {
                rayon::join(|| fan(calls / 2, work), || fan(calls - calls / 2, work));
            }
        }
        let calls = self.workers();
        match &self.pool {
            Some(pool) => pool.install(|| fan(calls, work)),
            None => fan(calls, work),
        }
    }
}

/// Runs `task(state, i)` for every `i < tasks`, each exactly once, each state in one thread at a
/// time. There are as many threads as states, at most those of the pool.
///
/// # Panics
/// If `states` is empty and `tasks` is not 0, and if a task panics, even where the pool catches it.
pub fn for_each<W: Send>(
    pool: &dyn Pool,
    tasks: usize,
    states: &mut [W],
    task: impl Fn(&mut W, usize) + Sync,
) {
    assert!(tasks == 0 || !states.is_empty(), "{tasks} tasks need at least one state");
    struct States<W>(*mut W, usize);
    // SAFETY: each state is handed to one thread, below.
    unsafe impl<W: Send> Sync for States<W> {}
    impl<W> States<W> {
        /// # Safety
        /// 1. Each `i` is asked for at most once.
        #[expect(clippy::mut_from_ref, reason = "by precondition 1")]
        unsafe fn get(&self, i: usize) -> Option<&mut W> {
            // SAFETY: i is in range, and by 1 no other reference to it exists.
            (i < self.1).then(|| unsafe { &mut *self.0.add(i) })
        }
    }
    let states = States(states.as_mut_ptr(), states.len());
    let [next_state, next_task, finished] = [const { AtomicUsize::new(0) }; 3];
    let work = || {
        if next_task.load(Ordering::Relaxed) >= tasks {
            return;
        }
        // SAFETY: 1. a counter never gives a number twice (it would have to overflow).
        let Some(state) = (unsafe { states.get(next_state.fetch_add(1, Ordering::Relaxed)) })
        else {
            return;
        };
        loop {
            let i = next_task.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(state, i);
            finished.fetch_add(1, Ordering::Relaxed);
        }
    };
    if tasks == 1 || states.1 == 1 {
        work();
    } else {
        pool.run(&work);
        // Takes what a pool that made no call has left.
        work();
    }
    let finished = finished.into_inner();
    assert!(finished == tasks, "a task panicked: {finished} of {tasks} tasks were finished");
}

/// Where a block stands in its matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First row.
    pub row: usize,
    /// First column.
    pub col: usize,
}

/// Cuts `matrix` into blocks of `rows` × `cols` (those at the end may be smaller) and runs
/// `task(state, place, block)` for each of them, on the threads of `pool`.
///
/// # Errors
/// [`GemmError::Shape`] if `rows` or `cols` is 0 and the matrix is not empty.
///
/// # Panics
/// As [`for_each`].
pub fn par_blocks<T: Element, W: Send>(
    pool: &dyn Pool,
    matrix: MatMut<'_, T>,
    (rows, cols): (usize, usize),
    states: &mut [W],
    task: impl Fn(&mut W, Block, MatMut<'_, T>) + Sync,
) -> Result<(), GemmError> {
    if matrix.rows() == 0 || matrix.cols() == 0 {
        return Ok(());
    }
    if rows == 0 || cols == 0 {
        let expected = (matrix.rows(), matrix.cols());
        return Err(GemmError::Shape { what: "block", expected, found: (rows, cols) });
    }
    let down = matrix.rows().div_ceil(rows);
    let across = matrix.cols().div_ceil(cols);
    for_each(pool, down * across, states, |state, i| {
        let at = Block { row: i / across * rows, col: i % across * cols };
        let rows = rows.min(matrix.rows() - at.row);
        let cols = cols.min(matrix.cols() - at.col);
        // SAFETY: 1. by construction; 2. the blocks of two tasks are disjoint, each task runs
        // once, and `matrix` is not used but here.
        let block = unsafe { matrix.block_unchecked(at.row, at.col, rows, cols) };
        task(state, at, block);
    });
    Ok(())
}

/// [`par_blocks`] with blocks of whole rows.
///
/// # Errors
/// As [`par_blocks`].
pub fn par_rows<T: Element, W: Send>(
    pool: &dyn Pool,
    matrix: MatMut<'_, T>,
    rows: usize,
    states: &mut [W],
    task: impl Fn(&mut W, Block, MatMut<'_, T>) + Sync,
) -> Result<(), GemmError> {
    let cols = matrix.cols();
    par_blocks(pool, matrix, (rows, cols), states, task)
}

/// [`par_blocks`] with blocks of whole columns.
///
/// # Errors
/// As [`par_blocks`].
pub fn par_columns<T: Element, W: Send>(
    pool: &dyn Pool,
    matrix: MatMut<'_, T>,
    cols: usize,
    states: &mut [W],
    task: impl Fn(&mut W, Block, MatMut<'_, T>) + Sync,
) -> Result<(), GemmError> {
    let rows = matrix.rows();
    par_blocks(pool, matrix, (rows, cols), states, task)
}
