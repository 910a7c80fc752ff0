//! No allocation in a run of a RepMLP block. The one test of its process, because it counts those of
//! all threads.

mod common;
#[path = "../../gemm/tests/common/allocator.rs"]
mod count;

use mixfold_gemm::Context;
use mixfold_model::{Form, RepMlpBlock, RepMlpBlockConfig};
use mixfold_reference::fill;

use common::repmlp::{file, tensors};

#[test]
fn a_run_allocates_nothing() {
    assert!(count::allocations(|| drop(vec![0; 10])) > 0, "nothing is counted");
    on_the_calling_thread();
    #[cfg(feature = "rayon")]
    on_threads();
}

/// Blocks of several partitions and of one, in both forms.
fn blocks(ctx: &Context) -> Vec<RepMlpBlock> {
    let cut = RepMlpBlockConfig {
        channels: 24,
        out_channels: 12,
        map: [28, 28],
        partition: [7, 7],
        groups: 4,
        kernels: vec![1, 3, 5],
        reduction: 1,
    };
    let mut blocks = Vec::new();
    for config in [RepMlpBlockConfig { map: [7, 7], ..cut.clone() }, cut] {
        let mut weights = fill::Weights::default();
        let mut file = file(&tensors(&config, |name, shape| weights.tensor(name, shape)));
        for form in [Form::Train, Form::Deploy] {
            blocks.push(RepMlpBlock::load(&mut file, "", &config, Some(form), ctx).unwrap());
        }
    }
    blocks
}

/// Runs of a new plan.
fn runs(block: &RepMlpBlock, batch: usize, times: usize) -> impl FnOnce() + Send {
    let RepMlpBlockConfig { channels, out_channels, map: [height, width], .. } = block.config();
    let [x, mut y] =
        [channels, out_channels].map(|channels| vec![0.5; batch * channels * height * width]);
    let mut plan = block.plan(batch).unwrap();
    move || (0..times).for_each(|_| plan.run(&x, &mut y).unwrap())
}

/// Not even in the first run.
fn on_the_calling_thread() {
    for isa in mixfold_simd::env::isas_under_test() {
        for block in blocks(&Context::with_isa(isa).sequential()) {
            for batch in 0..=5 {
                let what = format!("{:?}, {}, {isa}, {batch}", block.config(), block.form());
                assert_eq!(count::allocations(runs(&block, batch, 2)), 0, "{what}");
            }
        }
    }
}

/// Called by one of rayon's threads, so that rayon has nothing to queue.
#[cfg(feature = "rayon")]
fn on_threads() {
    use std::sync::{Arc, Barrier, Mutex};

    use mixfold_gemm::{Pool, Rayon};

    #[derive(Clone, Debug)]
    struct Shared(Arc<Rayon>);

    impl Pool for Shared {
        fn workers(&self) -> usize {
            self.0.workers()
        }
        fn run(&self, work: &(dyn Fn() + Sync)) {
            self.0.run(work);
        }
    }

    let pool = Shared(Arc::new(Rayon::with_threads(2).unwrap()));
    // Both threads are there and have what they need for themselves.
    let meeting = Barrier::new(2);
    pool.run(&|| {
        meeting.wait();
    });
    for block in blocks(&Context::new().with_pool(pool.clone())) {
        for batch in [1, 2, 5, 8] {
            // The first run may give a thread what it keeps for itself.
            runs(&block, batch, 1)();
            let (work, found) = (Mutex::new(Some(runs(&block, batch, 50))), Mutex::new(None));
            pool.run(&|| {
                if let Some(work) = work.lock().unwrap().take() {
                    *found.lock().unwrap() = Some(count::allocations_of_all_threads(work));
                }
            });
            let what = format!("{:?}, {}, {batch}", block.config(), block.form());
            assert_eq!(found.into_inner().unwrap(), Some(0), "{what}");
        }
    }
}
