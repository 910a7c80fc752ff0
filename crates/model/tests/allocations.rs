//! No allocation in a run. The one test of its process, because it counts those of all threads.

mod common;
#[path = "../../gemm/tests/common/allocator.rs"]
mod count;

use mixfold_model::{Form, Loader, MixerConfig, Model, RepMlpNetConfig, Trunk, registry};

use common::two_forms;
use common::{GOLDEN, families, images, load, repmlpnet, resnet};

/// 50 tokens: groups of 4 images, of which the last one of a batch is smaller. Small groups are cut
/// into larger tasks than whole ones here, so that they need more memory.
const CONFIG: MixerConfig = MixerConfig {
    trunk: Trunk { image: [20, 40], patch: 4, channels: 48, ..GOLDEN.trunk },
    channel_hidden: 300,
    ..GOLDEN
};

/// Maps of 60 and 15 places, groups of 5 images.
fn repmlpnet_config() -> RepMlpNetConfig {
    let stages = repmlpnet::stages(&[[40, 1, 1], [66, 2, 3]]);
    RepMlpNetConfig { stages: stages.into(), ..repmlpnet::small() }
}

/// Mixers, and RepMLPNets and ResNets in all ways of running them.
fn models(loader: &Loader) -> Vec<Model> {
    let mut models = vec![
        load(loader, CONFIG, 7),
        loader.embedded(registry::DEFAULT).unwrap(),
        two_forms::load(loader, &repmlpnet_config(), 7, Form::Deploy, 3),
        two_forms::load(loader, &resnet::plain(), 7, Form::Deploy, 3),
    ];
    models.extend(families::networks().iter().map(|network| network.load(loader)));
    for form in [Form::Train, Form::Deploy] {
        let loader = loader.clone().form(form);
        models.push(loader.embedded("repmlpnet_fashion").unwrap());
        models.push(two_forms::load(&loader, &repmlpnet_config(), 7, Form::Train, 3));
        models.push(two_forms::load(&loader, &resnet::small(), 7, Form::Train, 3));
    }
    models
}

fn name(model: &Model) -> String {
    let form = model.form().map_or(String::new(), |form| format!(" in {form} form"));
    model.name().to_owned() + &form
}

#[test]
fn a_run_allocates_nothing() {
    assert!(count::allocations(|| drop(vec![0; 10])) > 0, "nothing is counted");
    on_the_calling_thread();
    #[cfg(feature = "rayon")]
    on_threads::of_rayon();
}

/// Not even in the first run.
fn on_the_calling_thread() {
    for isa in mixfold_simd::env::isas_under_test() {
        let ctx = mixfold_gemm::Context::with_isa(isa).sequential();
        for model in models(&Loader::new().context(ctx)) {
            for batch in [1, 2, 3, 4, 5, 9] {
                let images = images(&model, batch);
                let mut logits = vec![0.0; batch * model.classes()];
                let mut plan = model.plan(batch).unwrap();
                let what = format!("{}, {isa}, batch {batch}", name(&model));
                for turn in 0..3 {
                    let run = || plan.run(&images, &mut logits).unwrap();
                    assert_eq!(count::allocations(run), 0, "{what}, run {turn}");
                }
                let mut observed =
                    || plan.run_observed(&images, &mut logits, |_, _, _, _| {}).unwrap();
                // The first one may need memory for all threads, if the plan had none.
                observed();
                assert_eq!(count::allocations(observed), 0, "{what}, observed again");
            }
        }
    }
}

#[cfg(feature = "rayon")]
mod on_threads {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, Mutex};

    use mixfold_gemm::{Context, Pool, Rayon};
    use mixfold_model::{Loader, Model};

    use super::{count, images, models, name};

    const RUNS: usize = 20;

    /// A pool of rayon's that counts how often it is called.
    #[derive(Clone, Debug)]
    struct Counted {
        pool: Arc<Rayon>,
        calls: Arc<AtomicUsize>,
    }

    impl Pool for Counted {
        fn workers(&self) -> usize {
            self.pool.workers()
        }
        fn run(&self, work: &(dyn Fn() + Sync)) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.pool.run(work);
        }
    }

    /// mixfold allocates nothing. Rayon does when a thread that is not its own calls it: it queues
    /// the call, and the queue takes a block of memory for every 63 calls.
    pub(crate) fn of_rayon() {
        let calls = Arc::new(AtomicUsize::new(0));
        let pool = Arc::new(Rayon::with_threads(2).unwrap());
        // Both threads are there and have what they need for themselves.
        let meeting = Barrier::new(2);
        pool.run(&|| {
            meeting.wait();
        });
        let ctx = Context::new().with_pool(Counted { pool: pool.clone(), calls: calls.clone() });
        for model in models(&Loader::new().context(ctx)) {
            check(&model, &pool, &calls);
        }
    }

    fn check(model: &Model, pool: &Rayon, calls: &AtomicUsize) {
        let what = name(model);
        for batch in [1, 4, 9, 16] {
            calls.store(0, Ordering::Relaxed);
            let outside = count::allocations_of_all_threads(runs(model, batch, RUNS));
            let queued = calls.load(Ordering::Relaxed);
            println!("{what}, batch {batch}: {outside} allocations in {queued} calls of rayon");
            assert!(queued >= RUNS, "the pool is used");
            assert!(outside <= queued / 63 + 1, "{what}, batch {batch}: {outside} in {queued}");

            let work = Mutex::new(Some(runs(model, batch, RUNS)));
            let found = Mutex::new(None);
            pool.run(&|| {
                if let Some(work) = work.lock().unwrap().take() {
                    let inside = count::allocations_of_all_threads(work);
                    *found.lock().unwrap() = Some(inside);
                }
            });
            assert_eq!(found.into_inner().unwrap(), Some(0), "{what}, batch {batch}, in the pool");
        }
    }

    /// Runs of a plan that has been run once before.
    fn runs(model: &Model, batch: usize, times: usize) -> impl FnOnce() + Send {
        let (images, mut logits) = (images(model, batch), vec![0.0; batch * model.classes()]);
        let mut plan = model.plan(batch).unwrap();
        plan.run(&images, &mut logits).unwrap();
        move || {
            for _ in 0..times {
                plan.run(&images, &mut logits).unwrap();
            }
        }
    }
}
