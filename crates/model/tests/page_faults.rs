//! No page fault in a run: all memory of a plan has been touched, and stays. The one test of its
//! process.

#![cfg(unix)]

mod common;

use std::ffi::c_long;

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model};
use nix::sys::resource::{UsageWho, getrusage};

/// Whose faults: where the system can tell, those of the calling thread.
#[cfg(target_os = "linux")]
const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
#[cfg(not(target_os = "linux"))]
const WHO: UsageWho = UsageWho::RUSAGE_SELF;

/// Page faults without input or output, that `work` causes.
fn faults(work: impl FnOnce()) -> c_long {
    let so_far = || getrusage(WHO).unwrap().minor_page_faults();
    let before = so_far();
    work();
    so_far() - before
}

#[test]
fn a_run_faults_no_page() {
    let touched = faults(|| drop(std::hint::black_box(vec![1_u8; 64 << 20])));
    assert!(touched > 0, "nothing is counted");

    let loader = Loader::new().context(Context::new().sequential());
    let [train, deploy] = [Form::Train, Form::Deploy].map(|form| loader.clone().form(form));
    check(&loader.random("mixer_s32_224", 0).unwrap(), 20);
    for loader in [train, deploy] {
        check(&loader.embedded("repmlpnet_fashion").unwrap(), 20);
        check(&loader.random("repmlpnet_t224", 0).unwrap(), 2);
        check(&loader.random("repmlp_res50_bottleneck_224", 0).unwrap(), 1);
    }
}

fn check(model: &Model, runs: usize) {
    const BATCH: usize = 5;
    let images = common::images(model, BATCH);
    let mut logits = vec![0.0; BATCH * model.classes()];
    let mut plan = model.plan(BATCH).unwrap();
    let mut run = || plan.run(&images, &mut logits).unwrap();
    run();
    // The system may move pages behind a process's back, but hardly every time.
    let fewest = (0..5).map(|_| faults(|| (0..runs).for_each(|_| run()))).find(|&n| n == 0);
    assert_eq!(fewest, Some(0), "{}: every {runs} runs fault", model.name());
}
