//! Self-attention of one image, from queries, keys and values to the sum of values: of vision
//! transformers over tokens, and over the features of one.

#![forbid(unsafe_code)]

use core::error::Error;
use core::fmt;
use core::time::Duration;

use criterion::Throughput;
use mixfold_benches::{Group, Inputs, Peak, context, criterion, has_threads, id, isas};
use mixfold_gemm::Scratch;
use mixfold_mix::{Axes, MixError, Positions, SelfAttention};

/// An attention of one image.
#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    width: usize,
    count: usize,
    positions: Positions,
}

/// ViT-B/16 (and DeiT-B/16), DeiT-Ti/16, ViT-B/16 on 384×384, and DeiT-Ti/16 with the tokens as the
/// features.
const SHAPES: [Shape; 4] = [
    Shape { heads: 12, width: 64, count: 197, positions: Positions::Axis },
    Shape { heads: 3, width: 64, count: 197, positions: Positions::Axis },
    Shape { heads: 12, width: 64, count: 577, positions: Positions::Axis },
    Shape { heads: 1, width: 197, count: 192, positions: Positions::Inner },
];

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { heads, width, count, positions } = self;
        let along = match positions {
            Positions::Axis => "axis",
            Positions::Inner => "inner",
        };
        write!(f, "{count}x{width}-heads={heads}-{along}")
    }
}

impl Shape {
    fn axes(self) -> Axes {
        let channels = self.heads * self.width;
        match self.positions {
            Positions::Axis => Axes { outer: 1, axis: self.count, inner: channels },
            Positions::Inner => Axes { outer: 1, axis: channels, inner: self.count },
        }
    }

    /// Floating point operations of its two products.
    fn flops(self) -> u64 {
        4 * (self.heads * self.width * self.count * self.count) as u64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion(Duration::from_millis(250));
    let mut group = Group::new(&mut criterion, "attention/self");
    for shape in SHAPES {
        for threads in [1, 2].into_iter().filter(|&threads| has_threads(threads)) {
            bench(&mut group, shape, threads)?;
        }
    }
    drop(group);
    criterion.final_summary();
    Ok(())
}

fn bench(group: &mut Group, shape: Shape, threads: usize) -> Result<(), MixError> {
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
