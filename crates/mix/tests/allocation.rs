//! No allocation with scratch memory that is there already.

#[path = "../../gemm/tests/common/allocator.rs"]
mod count;

use mixfold_gemm::{Accum, Context, MatMut, MatRef, Scratch};
use mixfold_mix::{
    Axes, AxisLinear, AxisMlp, Conv2d, MaxPool2d, MixError, Norm, Partitions, PatchEmbed,
    Positions, SelfAttention, Side, mean_axis, swap_axes,
};
use mixfold_simd::env;

use count::allocations;

/// `work` allocates in the first call with new scratch memory, if it needs any, but not in the
/// second one; and not at all with the memory that `len` says.
fn check(
    what: &str,
    ctx: &Context,
    scratch: Scratch<f32>,
    mut work: impl FnMut(&Context, &mut Scratch<f32>),
) {
    let mut ready = scratch;
    assert_eq!(allocations(|| work(ctx, &mut ready)), 0, "{what}, {}: first", ctx.isa());
    let mut grown = Scratch::new();
    let first = allocations(|| work(ctx, &mut grown));
    assert!(first > 0, "{what}, {}: nothing is counted", ctx.isa());
    assert_eq!(allocations(|| work(ctx, &mut grown)), 0, "{what}, {}: second", ctx.isa());
    assert_eq!(grown.len(), ready.len(), "{what}, {}: elements", ctx.isa());
}

#[test]
fn only_scratch_memory_is_allocated() -> Result<(), MixError> {
    let weight = vec![0.01; 1100 * 600];
    let matrix = |rows, cols| MatRef::row_major(&weight, rows, cols);
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa).sequential();
        for (side, inner) in [(Side::Left, 40), (Side::Right, 1)] {
            // In one chunk; in several; with sums of several blocks of k.
            for (axis, hidden) in [(20, 30), (300, 600), (1100, 300)] {
                let axes = Axes { outer: 3, axis, inner };
                let (of_axis, of_inner) = (vec![1.0; axis], vec![1.0; inner]);
                let norm = match side {
                    Side::Left if axis > 20 => Norm::layer_inner(&of_inner, &of_inner, 1e-6),
                    _ => Norm::layer_axis(&of_axis, &of_axis, 1e-6),
                };
                let mlp = AxisMlp::new(matrix(hidden, axis)?, matrix(axis, hidden)?)?.gelu();
                let mlp = mlp.norm(norm.clone())?.residual().pack(isa, side)?;
                let mut glu = AxisMlp::glu(matrix(2 * hidden, axis)?, matrix(axis, hidden)?)?;
                if side == Side::Left {
                    glu = glu.scale_inner(&of_inner)?;
                }
                let glu = glu.norm(norm.clone())?.residual().pack(isa, side)?;
                let linear = AxisLinear::new(matrix(20, axis)?).norm(norm)?.pack(isa, side)?;
                let (mut x, mut y) = (vec![1.0; 3 * axis * inner], vec![0.0; 3 * 20 * inner]);
                let what = format!("{hidden} units along {axis} on the {side}");
                let scratch = Scratch::with_len(mlp.scratch_len(axes, &ctx)?)?;
                check(&what, &ctx, scratch, |ctx, scratch| {
                    mlp.apply(&mut x, axes, ctx, scratch).unwrap();
                });
                let what = format!("{hidden} gated units along {axis} on the {side}");
                let scratch = Scratch::with_len(glu.scratch_len(axes, &ctx)?)?;
                check(&what, &ctx, scratch, |ctx, scratch| {
                    glu.apply(&mut x, axes, ctx, scratch).unwrap();
                });
                let what = format!("linear along {axis} on the {side}");
                let scratch = Scratch::with_len(linear.scratch_len(axes, &ctx)?)?;
                check(&what, &ctx, scratch, |ctx, scratch| {
                    linear.apply_to(&x, &mut y, axes, ctx, scratch).unwrap();
                });
                let (rows, rows_after, cols, cols_after) = match side {
                    Side::Left => (3 * axis, 3 * 20, inner, inner),
                    Side::Right => (3, 3, axis, 20),
                };
                let what = format!("views along {axis} on the {side}");
                let scratch = Scratch::with_len(linear.scratch_len(axes, &ctx)?)?;
                check(&what, &ctx, scratch, |ctx, scratch| {
                    let x = MatRef::row_major(&x, rows, cols).unwrap();
                    let y = MatMut::row_major(&mut y, rows_after, cols_after).unwrap();
                    linear.apply_views(x, y, Accum::Multiply, axes, ctx, scratch).unwrap();
                });
            }
        }

        let axes = Axes { outer: 3, axis: 20, inner: 40 };
        let (mut x, mut y) = (vec![1.0; 3 * 20 * 40], vec![0.0; 3 * 40]);
        for norm in [
            Norm::layer_axis(&[1.0; 20], &[1.0; 20], 1e-6),
            Norm::layer_inner(&[1.0; 40], &[1.0; 40], 1e-6),
            Norm::affine_axis(&[1.0; 20], &[1.0; 20]),
            Norm::affine_inner(&[1.0; 40], &[1.0; 40]),
        ] {
            let scratch = Scratch::with_len(norm.scratch_len(axes, &ctx)?)?;
            check("norm", &ctx, scratch, |ctx, scratch| {
                norm.apply(&mut x, axes, ctx, scratch).unwrap();
            });
        }
        assert_eq!(allocations(|| mean_axis(&x, &mut y, axes, isa).unwrap()), 0, "{isa}: mean");

        let maps = Partitions { batch: 1, channels: 3, map: (20, 40), partition: (4, 5) };
        let mut parts = x.clone();
        let partition = || maps.partition(&x, &mut parts, &ctx).unwrap();
        assert_eq!(allocations(partition), 0, "{isa}: partition");
        let unpartition = || maps.unpartition(&parts, &mut x, &ctx).unwrap();
        assert_eq!(allocations(unpartition), 0, "{isa}: unpartition");

        let swap = || swap_axes(&x, &mut parts, axes, &ctx).unwrap();
        assert_eq!(allocations(swap), 0, "{isa}: swap");

        let embed = PatchEmbed::pack(isa, matrix(30, 3072)?, &[0.0; 30], 3, (32, 32))?;
        let (images, mut y) = (vec![1.0; 2 * 3 * 64 * 96], vec![0.0; 2 * 6 * 30]);
        let scratch = Scratch::with_len(embed.scratch_len(2, (64, 96), &ctx)?)?;
        check("patches", &ctx, scratch, |ctx, scratch| {
            embed.apply(&images, &mut y, 2, (64, 96), ctx, scratch).unwrap();
        });
        let embed = embed.prefix(&[1.0; 2 * 30])?.positions(&[1.0; 6 * 30])?;
        let mut y = vec![0.0; 2 * 8 * 30];
        let scratch = Scratch::with_len(embed.scratch_len(2, (64, 96), &ctx)?)?;
        check("patches behind tokens", &ctx, scratch, |ctx, scratch| {
            embed.apply(&images, &mut y, 2, (64, 96), ctx, scratch).unwrap();
        });

        // Without gathering, with it, and with sums of several chunks of channels.
        for (channels, kernel) in [(20, 1), (20, 3), (120, 3)] {
            let k = channels * kernel * kernel;
            let conv = Conv2d::new(matrix(30, k)?, (kernel, kernel))?.groups(3)?.pack(isa)?;
            let image = (9, 20);
            let (height, width) = conv.output(image)?;
            let (x, mut y) =
                (vec![1.0; 2 * 3 * channels * 180], vec![0.0; 2 * 30 * height * width]);
            let what = format!("{kernel} x {kernel} on {channels} channels");
            let scratch = Scratch::with_len(conv.scratch_len(2, image, &ctx)?)?;
            check(&what, &ctx, scratch, |ctx, scratch| {
                conv.apply(&x, &mut y, 2, image, ctx, scratch).unwrap();
                conv.apply_add(&x, &mut y, 2, image, ctx, scratch).unwrap();
            });
        }

        let pool = MaxPool2d::new((3, 3))?.stride((2, 2))?.padding((1, 1))?;
        let (x, mut y) = (vec![1.0; 5 * 9 * 20], vec![0.0; 5 * 5 * 10]);
        let scratch = Scratch::with_len(pool.scratch_len(5, (9, 20), &ctx)?)?;
        check("max pooling", &ctx, scratch, |ctx, scratch| {
            pool.apply(&x, &mut y, 5, (9, 20), ctx, scratch).unwrap();
        });

        // One block of keys, and several.
        for positions in [Positions::Axis, Positions::Inner] {
            for count in [20, 300] {
                let attention = SelfAttention::new(2, 20, positions)?;
                let axes = match positions {
                    Positions::Axis => Axes { outer: 2, axis: count, inner: 20 },
                    Positions::Inner => Axes { outer: 2, axis: 20, inner: count },
                };
                let (x, mut y) = (vec![1.0; 3 * 2 * count * 20], vec![0.0; 2 * count * 20]);
                let scratch = Scratch::with_len(attention.scratch_len(axes, &ctx)?)?;
                check("attention", &ctx, scratch, |ctx, scratch| {
                    attention.apply(&x, &mut y, axes, ctx, scratch).unwrap();
                });
            }
        }
    }
    Ok(())
}
