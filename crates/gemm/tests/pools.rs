//! Threads of every kind of caller: whatever a pool does, each task runs once, or the caller knows.

#![forbid(unsafe_code)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::{CANARY, Layout, Matrix, PACKINGS, plain, same_bits};
use mixfold_gemm::{
    Accum, Block, Context, Epilogue, MatMut, PackedLhs, PackedRhs, Pool, Scratch, Sequential,
    Threads, for_each, gemm, par_blocks, par_columns, par_rows,
};
use mixfold_simd::Isa;
use proptest::prelude::*;
use proptest::sample::select;

/// Pools that keep what the trait demands, in the strangest ways.
#[derive(Clone, Copy, Debug)]
enum Strange {
    /// Makes no call.
    Idle,
    /// Makes a hundred calls at once.
    Crowd,
    /// Makes a hundred calls, one after the other.
    Patient,
    /// Has no threads, it says.
    Denying,
    /// Has more threads than there are numbers, it says.
    Boasting,
    /// Makes its second call when the first has returned, on another thread.
    Late,
}

impl Strange {
    const ALL: [Strange; 6] = [
        Strange::Idle,
        Strange::Crowd,
        Strange::Patient,
        Strange::Denying,
        Strange::Boasting,
        Strange::Late,
    ];
}

impl Pool for Strange {
    fn workers(&self) -> usize {
        match self {
            Strange::Denying => 0,
            Strange::Boasting => usize::MAX,
            _ => 7,
        }
    }

    fn run(&self, work: &(dyn Fn() + Sync)) {
        match self {
            Strange::Idle => {}
            Strange::Crowd => std::thread::scope(|scope| {
                for _ in 0..100 {
                    scope.spawn(work);
                }
            }),
            Strange::Patient => (0..100).for_each(|_| work()),
            Strange::Denying | Strange::Boasting => work(),
            Strange::Late => std::thread::scope(|scope| {
                scope.spawn(work).join().unwrap();
                work();
            }),
        }
    }
}

/// Panics before or after the work is done.
#[derive(Debug)]
struct Panicking {
    before: bool,
}

impl Pool for Panicking {
    fn workers(&self) -> usize {
        3
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        if !self.before {
            work();
        }
        panic!("no more threads");
    }
}

/// Hides panics of the work.
#[derive(Debug)]
struct Hiding;

impl Pool for Hiding {
    fn workers(&self) -> usize {
        3
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        for _ in 0..2 {
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}

#[test]
fn strange_pools_compute_the_same_product() {
    let (m, n, k) = (400, 1600, 20);
    let a = Matrix::<f32>::new(Layout::RowMajor, m, k, 1);
    let b = Matrix::<f32>::new(Layout::ColumnMajor, k, n, 2);
    let expected = plain(Isa::best(), a.view(), b.view());
    for pool in Strange::ALL {
        let ctx = Context::new().with_pool(pool);
        for packed in PACKINGS {
            let mut out = Matrix::filled(Layout::RowsApart, m, n, CANARY as f32);
            let operands = (a.view(), b.view());
            common::run(&ctx, packed, operands, &Epilogue::NONE, out.view_mut(), Accum::Replace);
            assert!(same_bits(&out.elements(), &expected.data), "{pool:?}");
            assert!(out.gaps().iter().all(|&x| x == CANARY as f32), "{pool:?}");
        }
    }
}

/// Operands that are packed in parts, of which the last ones are smaller.
#[test]
fn strange_pools_pack_the_same_operands() {
    let (m, n, k) = (211, 333, 1001);
    let (isa, ctx) = (Isa::best(), Context::new().sequential());
    for layout in [Layout::RowMajor, Layout::ColumnMajor] {
        let a = Matrix::<f32>::new(layout, m, k, 1);
        let b = Matrix::<f32>::new(layout, k, n, 2);
        let expected = plain(isa, a.view(), b.view());
        for pool in Strange::ALL {
            let threads = ctx.clone().with_pool(pool);
            let whole = (PackedLhs::pack(&threads, a.view()), PackedRhs::pack(&threads, b.view()));
            let halves = [a.view().rows_at(0, 100), a.view().rows_at(100, m - 100)];
            let halves = halves.map(Result::unwrap);
            let halves = PackedLhs::pack_all(&threads, &halves).unwrap();
            let (whole, right) = (whole.0.unwrap(), whole.1.unwrap());
            let multiply = |left: &PackedLhs<f32>| {
                let mut out = vec![0.0; left.rows() * n];
                let place = MatMut::row_major(&mut out, left.rows(), n).unwrap();
                let none = &Epilogue::NONE;
                let scratch = &mut Scratch::new();
                gemm(place, Accum::Replace, left, &right, none, &ctx, scratch).unwrap();
                out
            };
            let of_halves: Vec<_> = halves.iter().flat_map(multiply).collect();
            assert!(same_bits(&multiply(&whole), &expected.data), "{pool:?}, {layout:?}");
            assert!(same_bits(&of_halves, &expected.data), "{pool:?}, {layout:?}");
        }
    }
}

#[test]
fn panics_of_a_pool_reach_the_caller() {
    let a = Matrix::<f32>::new(Layout::RowMajor, 400, 20, 1);
    for before in [true, false] {
        let ctx = Context::new().with_pool(Panicking { before });
        let mut out = Matrix::filled(Layout::RowMajor, 400, 400, 0.0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let operands = (a.view(), a.view().transpose());
            common::run(&ctx, (true, true), operands, &Epilogue::NONE, out.view_mut(), Accum::Add);
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"no more threads"));
    }
}

#[test]
fn panics_of_a_task_reach_the_caller() {
    let pools: Vec<Box<dyn Pool>> = vec![
        Box::new(Sequential),
        Box::new(Hiding),
        #[cfg(feature = "rayon")]
        Box::new(mixfold_gemm::Rayon::with_threads(2).unwrap()),
        Box::new(Threads::new(3).unwrap()),
    ];
    for pool in pools {
        for bad in [0, 5, 9] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                for_each(&*pool, 10, &mut [(); 3], |(), i| assert!(i != bad, "task {i}"));
            }));
            assert!(result.is_err(), "{pool:?} hid the panic of task {bad}");
        }
    }
}

#[test]
fn tasks_need_a_state() {
    for_each(&Sequential, 0, &mut [(); 0], |(), _| unreachable!());
    let result = catch_unwind(|| for_each(&Sequential, 2, &mut [(); 0], |(), _| ()));
    assert!(result.is_err());
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Blocks,
    Rows,
    Columns,
}

fn any_pool() -> impl Strategy<Value = Strange> {
    select(&Strange::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    /// A state belongs to one thread: no count is lost.
    #[test]
    fn each_task_runs_once(tasks in 0..300_usize, states in 1..20_usize, pool in any_pool()) {
        let mut seen = vec![Vec::new(); states];
        for_each(&pool, tasks, &mut seen, |seen, i| seen.push(i));
        let mut seen = seen.concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..tasks).collect::<Vec<_>>());
    }

    #[test]
    fn blocks_cover_a_matrix_once(
        (rows, cols) in (0..50_usize, 0..50_usize),
        size in (1..60_usize, 1..60_usize),
        layout in select(&Layout::DISTINCT[..]),
        pool in any_pool(),
        cut in select(&[Cut::Blocks, Cut::Rows, Cut::Columns][..]),
    ) {
        // Each block adds i · cols + j + 1 to its elements, as the product of (i, 1) and (cols, j + 1).
        let mut left = Matrix::filled(Layout::RowMajor, rows, 2, 1.0_f64);
        let mut right = Matrix::filled(Layout::RowMajor, 2, cols, cols as f64);
        (0..rows).for_each(|i| left.set((i, 0), i as f64));
        (0..cols).for_each(|j| right.set((1, j), j as f64 + 1.0));
        let ctx = Context::new().sequential();
        let add = |(): &mut (), at: Block, block: MatMut<'_, f64>| {
            let left = left.view().rows_at(at.row, block.rows()).unwrap();
            let right = right.view().block(0, at.col, 2, block.cols()).unwrap();
            common::run(&ctx, (false, false), (left, right), &Epilogue::NONE, block, Accum::Add);
        };
        let mut matrix = Matrix::filled(layout, rows, cols, 0.0);
        let states = &mut [(); 4];
        match cut {
            Cut::Blocks => par_blocks(&pool, matrix.view_mut(), size, states, add)?,
            Cut::Rows => par_rows(&pool, matrix.view_mut(), size.0, states, add)?,
            Cut::Columns => par_columns(&pool, matrix.view_mut(), size.1, states, add)?,
        }
        for (i, j) in matrix.places() {
            prop_assert_eq!(matrix.at((i, j)), (i * cols + j + 1) as f64, "at {}, {}", i, j);
        }
        prop_assert!(matrix.gaps().iter().all(|&x| x == 0.0));
    }
}

/// The threads are awake, asleep or about to fall asleep, and several callers want them at once.
#[test]
fn threads_of_our_own_do_all_tasks_of_each_call() {
    let pool = Threads::new(3).unwrap();
    assert_eq!(pool.workers(), 3);
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let pool = &pool;
            scope.spawn(move || {
                for call in 0..300 {
                    let mut sums = [0; 3];
                    for_each(pool, 20, &mut sums, |sum, i| *sum += i);
                    assert_eq!(sums.iter().sum::<usize>(), 190);
                    std::thread::sleep(Duration::from_micros(call % 7 * 70 * caller));
                }
            });
        }
    });
}

#[test]
fn threads_of_our_own_go_on_after_a_panic() {
    let pool = Threads::new(2).unwrap();
    for call in 0..50 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            for_each(&pool, 8, &mut [(); 2], |(), i| assert!(i != 3 || call % 2 == 0, "task {i}"));
        }));
        assert_eq!(result.is_ok(), call % 2 == 0);
    }
}

/// Products inside of tasks, inside of the tasks of a caller's own threads.
#[cfg(feature = "rayon")]
#[test]
fn nested_use_of_threads_ends() {
    use mixfold_gemm::Rayon;
    use rayon::prelude::*;

    fn products(ctx: &Context) {
        let a = Matrix::<f32>::new(Layout::RowMajor, 230, 40, 1);
        let expected = plain(ctx.isa(), a.view(), a.view().transpose());
        for_each(ctx.pool(), 8, &mut [(); 4], |(), _| {
            let mut out = Matrix::filled(Layout::RowMajor, 230, 230, f32::NAN);
            let operands = (a.view(), a.view().transpose());
            common::run(
                ctx,
                (false, false),
                operands,
                &Epilogue::NONE,
                out.view_mut(),
                Accum::Replace,
            );
            assert!(same_bits(&out.data, &expected.data));
        });
    }

    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let callers = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let own = Context::new().with_pool(Rayon::with_threads(2).unwrap());
        let awake = Context::new().with_pool(Threads::new(2).unwrap());
        for ctx in [Context::new(), own, awake] {
            products(&ctx);
            callers.install(|| (0..6).into_par_iter().for_each(|_| products(&ctx)));
        }
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("the threads wait for each other");
}
