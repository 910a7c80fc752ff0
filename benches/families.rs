//! The families of models at equal size, side by side: 12 blocks of 384 channels on the 196 patches of
//! 16 × 16 pixels of an image, with random weights, on the fastest instruction set.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, context, criterion, fastest_isa, id};
use mixfold_model::{
    AttentionOnlyConfig, Config, FfOnlyConfig, GMixerConfig, GmlpConfig, Loader, MixerConfig,
    ResMlpConfig, Trunk, VitConfig,
};

const DEPTH: usize = 12;
const PATCH: usize = 16;
const CHANNELS: usize = 384;
const CLASSES: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Group::new(&mut criterion, "families");
    let trunk = Trunk::imagenet(DEPTH, PATCH, CHANNELS);
    let configs: [(&str, Config); 7] = [
        ("mixer", MixerConfig::imagenet(DEPTH, PATCH, CHANNELS).into()),
        ("ff-only", FfOnlyConfig::imagenet(DEPTH, PATCH, CHANNELS).into()),
        ("vit", VitConfig::imagenet(DEPTH, PATCH, CHANNELS).into()),
        ("attention-only", AttentionOnlyConfig::imagenet(DEPTH, PATCH, CHANNELS).into()),
        ("resmlp", ResMlpConfig::imagenet(DEPTH, PATCH, CHANNELS).into()),
        ("gmlp", GmlpConfig { trunk, hidden: 6 * CHANNELS }.into()),
        ("gmixer", GMixerConfig { trunk, ..GMixerConfig::imagenet(DEPTH) }.into()),
    ];
    let ctx = context(fastest_isa(), 1);
    for (name, config) in configs {
        let model = Loader::new().context(ctx.clone()).random_config(name, config, CLASSES, 0)?;
        let images: Vec<f32> = Inputs::default().uniform(model.input().iter().product(), 1.0);
        let (mut logits, mut plan) = (vec![0.0; CLASSES], model.plan(1)?);
        let id = id::<f32>(&ctx, format_args!("{name}"));
        group.bench(id, Throughput::Elements(1), 2 * model.macs(), Peak::of::<f32>(&ctx), || {
            plan.run(&images, &mut logits).expect("the lengths agree");
        });
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}
