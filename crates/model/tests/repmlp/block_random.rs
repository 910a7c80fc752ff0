//! Blocks of any sizes within a bound of the reference, and the same bits however they run.

use mixfold_gemm::Context;
use mixfold_model::{Form, RepMlpBlock, RepMlpBlockConfig};
use mixfold_simd::env;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::blocks::{deploy_tensors, expected, run};
use crate::common::files::Tensor;
use crate::common::repmlp::{file, tensors};
use crate::common::{contexts, distance, largest};

/// Numbers in −1..1 that depend on `seed` and their place only.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let number = |i: u64| {
        let mixed = (seed << 32 ^ (i + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n as u64).map(number).collect()
}

/// Weights of the train form; variances from 0.1 on.
fn weights(config: &RepMlpBlockConfig, seed: u64) -> Vec<Tensor> {
    let mut tensor = 1000 * seed;
    tensors(config, |name, shape| {
        tensor += 1;
        let mut values = numbers(tensor, shape.iter().product());
        if name.ends_with("running_var") {
            values.iter_mut().for_each(|x| *x += 1.1);
        }
        values
    })
}

fn input(config: &RepMlpBlockConfig, batch: usize) -> Vec<f32> {
    numbers(0, batch * config.channels * config.map[0] * config.map[1])
}

fn configs() -> impl Strategy<Value = RepMlpBlockConfig> {
    (
        select(vec![1_usize, 2, 3, 4]),
        [1_usize..4, 1_usize..4],
        [1_usize..4, 1_usize..4],
        [1_usize..6, 1_usize..9],
        subsequence(vec![1, 3, 5, 7], 0..=4).prop_shuffle(),
        1_usize..4,
    )
        .prop_map(|(groups, channels, grid, partition, kernels, reduction)| {
            RepMlpBlockConfig {
                channels: groups * channels[0],
                out_channels: groups * channels[1],
                map: [grid[0] * partition[0], grid[1] * partition[1]],
                partition,
                groups,
                kernels,
                reduction: reduction.min(groups * channels[0]),
            }
        })
}

proptest! {
    #[test]
    fn any_sizes(config in configs(), batch in 0_usize..4, seed in 1_u64..1000) {
        let train = weights(&config, seed);
        let deploy = deploy_tensors(&train, &config);
        let x = input(&config, batch);
        let (values, bounds) = expected(&train, &config, &x, batch);
        for isa in env::isas_under_test() {
            let ctx = Context::with_isa(isa).sequential();
            let mut outputs = Vec::new();
            for (tensors, form) in
                [(&train, Form::Train), (&train, Form::Deploy), (&deploy, Form::Deploy)]
            {
                let block = RepMlpBlock::load(&mut file(tensors), "", &config, Some(form), &ctx);
                let y = run(&block.unwrap(), &x, batch);
                prop_assert_eq!(y.len(), values.len());
                for (i, ((&y, value), bound)) in y.iter().zip(&values).zip(&bounds).enumerate() {
                    let error = (f64::from(y) - value).abs();
                    prop_assert!(
                        error <= *bound,
                        "{}, {}: {}: {} instead of {}, bound {}", isa, form, i, y, value, bound
                    );
                }
                outputs.push(y);
            }
            let difference = distance(&outputs[0], &outputs[1]);
            prop_assert!(difference <= 1e-5 * largest(&values), "{}: {:e}", isa, difference);
            prop_assert_eq!(&outputs[1], &outputs[2]);
        }
    }
}

#[test]
fn any_threads_batch_position_and_fused_instruction_set() {
    let config = RepMlpBlockConfig {
        channels: 12,
        out_channels: 20,
        map: [14, 24],
        partition: [7, 8],
        groups: 4,
        kernels: vec![1, 3, 5],
        reduction: 2,
    };
    same_bits(&config);
    // One partition.
    same_bits(&RepMlpBlockConfig { map: [7, 8], ..config });
}

fn same_bits(config: &RepMlpBlockConfig) {
    let (weights, x) = (weights(config, 7), input(config, 5));
    for form in [Form::Train, Form::Deploy] {
        let mut first: [Option<Vec<f32>>; 2] = [None, None];
        for case in contexts() {
            let block =
                RepMlpBlock::load(&mut file(&weights), "", config, Some(form), &case.ctx).unwrap();
            let what = format!("{}, {form}", case.name);
            let y = run(&block, &x, 5);
            assert!(y.iter().all(|y| y.is_finite()), "{what}");
            let expected = first[usize::from(case.fused)].get_or_insert(y.clone());
            assert_eq!(&y, expected, "{what}");
            let (before, after) = (x.len() / 5, y.len() / 5);
            for batch in 1..5 {
                let images = x.chunks(before * batch).zip(y.chunks(after * batch));
                for (x, y) in images {
                    assert_eq!(run(&block, x, x.len() / before), y, "{what}, {batch} at once");
                }
            }
            // Again, with what the first run left behind.
            let (mut plan, mut again) = (block.plan(5).unwrap(), vec![f32::NAN; y.len()]);
            for _ in 0..2 {
                plan.run(&x, &mut again).unwrap();
                assert_eq!(again, y, "{what}, again");
            }
        }
    }
}

/// Maps of which a thread does not take all at once, in any step.
#[test]
fn larger_than_a_task() {
    let config = RepMlpBlockConfig {
        channels: 32,
        out_channels: 16,
        map: [28, 42],
        partition: [7, 6],
        groups: 4,
        kernels: vec![1, 3],
        reduction: 4,
    };
    let (weights, x) = (weights(&config, 5), input(&config, 2));
    let (values, bounds) = expected(&weights, &config, &x, 2);
    for case in contexts() {
        for form in [Form::Train, Form::Deploy] {
            let block = RepMlpBlock::load(&mut file(&weights), "", &config, Some(form), &case.ctx);
            let y = run(&block.unwrap(), &x, 2);
            for (i, ((&y, value), bound)) in y.iter().zip(&values).zip(&bounds).enumerate() {
                let error = (f64::from(y) - value).abs();
                let what = format!("{}, {form}: {i}", case.name);
                assert!(error <= *bound, "{what}: {y} instead of {value}, bound {bound}");
            }
        }
    }
}

/// A number that is not finite stays in its image.
#[test]
fn special_numbers() {
    let config = RepMlpBlockConfig {
        channels: 4,
        out_channels: 6,
        map: [4, 6],
        partition: [2, 3],
        groups: 2,
        kernels: vec![1, 3],
        reduction: 1,
    };
    let (weights, clean) = (weights(&config, 3), input(&config, 3));
    let image = clean.len() / 3;
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa).sequential();
        for form in [Form::Train, Form::Deploy] {
            let block =
                RepMlpBlock::load(&mut file(&weights), "", &config, Some(form), &ctx).unwrap();
            let expected = run(&block, &clean, 3);
            for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = clean.clone();
                x[image + 5] = special;
                let (y, third) = (run(&block, &x, 3), expected.len() / 3);
                assert_eq!(y[..third], expected[..third], "{isa}, {form}");
                assert_eq!(y[2 * third..], expected[2 * third..], "{isa}, {form}");
                assert!(y[third..2 * third].iter().any(|y| !y.is_finite()), "{isa}, {form}");
            }
        }
    }
}
