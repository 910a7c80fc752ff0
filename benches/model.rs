//! Whole models with random weights, from prepared images to logits, on the fastest instruction
//! set. Those of two forms in both, one after the other.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{
    Group, Inputs, Peak, cases, context, criterion, fastest_isa, has_threads, id,
};
use mixfold_model::{Form, Loader};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_secs(2));
    let mut group = Group::new(&mut criterion, "model");
    for (name, form, batch, threads) in cases::MODELS {
        if has_threads(threads) {
            bench(&mut group, name, form, batch, threads)?;
        }
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}

fn bench(
    group: &mut Group,
    name: &str,
    form: Option<Form>,
    batch: usize,
    threads: usize,
) -> Result<(), Box<dyn Error>> {
    let ctx = context(fastest_isa(), threads);
    let loader = Loader::new().context(ctx.clone());
    let loader = form.into_iter().fold(loader, Loader::form);
    let model = loader.random(name, 0)?;
    let images = batch * model.input().iter().product::<usize>();
    let images: Vec<f32> = Inputs::default().uniform(images, 1.0);
    let mut logits = vec![0.0; batch * model.classes()];
    let mut plan = model.plan(batch)?;
    let form = form.map_or(String::new(), |form| format!("{form}/"));
    let id = id::<f32>(&ctx, format_args!("{name}/{form}batch={batch}"));
    let (throughput, flops) = (Throughput::Elements(batch as u64), 2 * batch as u64 * model.macs());
    group.bench(id, throughput, flops, Peak::of::<f32>(&ctx), || {
        plan.run(&images, &mut logits).expect("the lengths agree");
    });
    Ok(())
}
