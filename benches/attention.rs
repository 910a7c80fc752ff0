//! Self-attention of one image, from queries, keys and values to the sum of values: of vision
//! transformers over tokens, and over the features of one.

#![forbid(unsafe_code)]

use core::error::Error;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::layers::Attention;
use mixfold_benches::{Group, Inputs, Peak, cases, context, criterion, has_threads, id, isas};
use mixfold_gemm::Scratch;
use mixfold_mix::{MixError, SelfAttention};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(250));
    let mut group = Group::new(&mut criterion, "attention/self");
    for shape in cases::ATTENTIONS {
        for threads in [1, 2].into_iter().filter(|&threads| has_threads(threads)) {
            bench(&mut group, shape, threads)?;
        }
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}

fn bench(group: &mut Group, shape: Attention, threads: usize) -> Result<(), MixError> {
    let attention = SelfAttention::new(shape.heads, shape.heads * shape.width, shape.positions)?;
    let axes = shape.axes();
    for isa in isas() {
        let ctx = context(isa, threads);
        let mut scratch = Scratch::with_len(attention.scratch_len(axes, &ctx)?)?;
        let qkv: Vec<f32> = Inputs::default().uniform(attention.input(axes)?.elements()?, 2.0);
        let mut y = vec![0.0; axes.elements()?];
        let (id, peak) = (id::<f32>(&ctx, shape), Peak::of::<f32>(&ctx));
        group.bench(id, Throughput::Elements(shape.flops()), shape.flops(), peak, || {
            attention.apply(&qkv, &mut y, axes, &ctx, &mut scratch).expect("the shapes agree");
        });
    }
    Ok(())
}
