//! The families of models at equal size, side by side, with random weights, on the fastest instruction
//! set.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, cases, context, criterion, fastest_isa, id};
use mixfold_model::Loader;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Group::new(&mut criterion, "families");
    let ctx = context(fastest_isa(), 1);
    for (name, config) in cases::FAMILIES {
        let model =
            Loader::new().context(ctx.clone()).random_config(name, config, cases::CLASSES, 0)?;
        let images: Vec<f32> = Inputs::default().uniform(model.input().iter().product(), 1.0);
        let (mut logits, mut plan) = (vec![0.0; cases::CLASSES], model.plan(1)?);
        let id = id::<f32>(&ctx, format_args!("{name}"));
        group.bench(id, Throughput::Elements(1), 2 * model.macs(), Peak::of::<f32>(&ctx), || {
            plan.run(&images, &mut logits).expect("the lengths agree");
        });
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}
