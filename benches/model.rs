//! Whole models with random weights, from prepared images to logits, on the fastest instruction
//! set.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, context, criterion, fastest_isa, has_threads, id};
use mixfold_model::Loader;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_secs(3));
    let mut group = Group::new(&mut criterion, "model");
    for (name, batch, threads) in [
        ("mixer_s32_224", 1, 1),
        ("mixer_s32_224", 8, 1),
        ("mixer_s32_224", 8, 2),
        ("mixer_b16_224", 1, 1),
        ("mixer_b16_224", 1, 2),
    ] {
        if has_threads(threads) {
            bench(&mut group, name, batch, threads)?;
        }
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}

fn bench(
    group: &mut Group,
    name: &str,
    batch: usize,
    threads: usize,
) -> Result<(), Box<dyn Error>> {
    let ctx = context(fastest_isa(), threads);
    let model = Loader::new().context(ctx.clone()).random(name, 0)?;
    let images = batch * model.input().iter().product::<usize>();
    let images: Vec<f32> = Inputs::default().uniform(images, 1.0);
    let mut logits = vec![0.0; batch * model.classes()];
    let mut plan = model.plan(batch)?;
    let id = id::<f32>(&ctx, format_args!("{name}/batch={batch}"));
    let (throughput, flops) = (Throughput::Elements(batch as u64), 2 * batch as u64 * model.macs());
    group.bench(id, throughput, flops, Peak::of::<f32>(&ctx), || {
        plan.run(&images, &mut logits).expect("the lengths agree");
    });
    Ok(())
}
