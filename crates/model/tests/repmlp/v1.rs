//! Blocks of RepMLP: stored and golden outputs, and the reference in f64 within a bound, in both
//! forms and on every instruction set.

use mixfold_gemm::Context;
use mixfold_model::{Checkpoint, Form, RepMlpBlock, RepMlpBlockConfig};
use mixfold_reference::fill;
use mixfold_simd::env;

use crate::blocks::{deploy_tensors, run};
use crate::common::files::fixture;
use crate::common::repmlp::{file, reference_config, tensors};
use crate::common::two_forms::reference_form;
use crate::common::{distance, largest};

const FORMS: [Form; 2] = [Form::Train, Form::Deploy];

/// The sizes of the stored block.
pub(crate) fn stored() -> RepMlpBlockConfig {
    RepMlpBlockConfig {
        channels: 8,
        out_channels: 8,
        map: [14, 14],
        partition: [7, 7],
        groups: 4,
        kernels: vec![1, 3, 5],
        reduction: 1,
    }
}

/// Those of the golden vectors.
pub(crate) fn golden() -> RepMlpBlockConfig {
    RepMlpBlockConfig {
        channels: 4,
        out_channels: 4,
        map: [6, 6],
        partition: [3, 3],
        groups: 2,
        kernels: vec![1, 3],
        reduction: 1,
    }
}

#[test]
fn the_official_block_in_both_forms() {
    let mut io = Checkpoint::open(fixture("repmlp_v1_block_io.safetensors")).unwrap();
    let (mut x, mut stored_y) = (Vec::new(), Vec::new());
    io.read_f32("x", &mut x).unwrap();
    io.read_f32("y", &mut stored_y).unwrap();
    for isa in env::isas_under_test() {
        let ctx = Context::with_isa(isa).sequential();
        for form in [None, Some(Form::Train), Some(Form::Deploy)] {
            let path = fixture("repmlp_v1_block_train.safetensors");
            let mut file = Checkpoint::open(path).unwrap();
            let block = RepMlpBlock::load(&mut file, "", &stored(), form, &ctx).unwrap();
            assert_eq!(block.form(), form.unwrap_or(Form::Deploy));
            let error = distance(&run(&block, &x, 2), &stored_y) / largest(&stored_y);
            assert!(error <= 1e-5, "{isa}, {form:?}: {error}");
        }
    }
}

/// The numbers of golden vectors have nine digits.
fn assert_golden(what: &str, values: &[f32], first: &[f64], last: Option<f64>, tolerance: f64) {
    let allowed = tolerance * largest(values);
    let error = distance(&values[..first.len()], first);
    assert!(error <= allowed, "{what}: {:?} instead of {first:?}", &values[..first.len()]);
    if let (Some(last), Some(&found)) = (last, values.last()) {
        let error = (f64::from(found) - last).abs();
        assert!(error <= allowed, "{what}: {found} instead of {last} at the end");
    }
}

fn assert_sums(what: &str, values: &[f32], sum: f64, squares: Option<f64>, tolerance: f64) {
    let values = values.iter().map(|&x| f64::from(x));
    let size: f64 = values.clone().map(f64::abs).sum();
    let found: f64 = values.clone().sum();
    assert!((found - sum).abs() <= tolerance * size, "{what}: sum {found} instead of {sum}");
    if let Some(squares) = squares {
        let found: f64 = values.map(|x| x * x).sum();
        let error = (found - squares).abs();
        assert!(error <= 2.0 * tolerance * squares, "{what}: {found} instead of {squares}");
    }
}

#[test]
fn golden_outputs() {
    let config = golden();
    let mut weights = fill::Weights::default();
    let tensors = tensors(&config, |name, shape| weights.tensor(name, shape));
    assert_eq!(tensors.len(), 23);
    let x: Vec<f32> = fill::input(2 * 4 * 6 * 6);
    for isa in env::isas_under_test() {
        for form in FORMS {
            let ctx = Context::with_isa(isa).sequential();
            let block = RepMlpBlock::load(&mut file(&tensors), "", &config, Some(form), &ctx);
            let (y, what) = (run(&block.unwrap(), &x, 2), format!("{isa}, {form}"));
            let first =
                [0.237109743, 0.016447675, -0.115650233, 0.002355886, -0.275404665, -0.294830962];
            assert_golden(&what, &y, &first, Some(-0.700267605), 1e-5);
            assert_sums(&what, &y, 73.000661411, Some(296.415833205), 1e-5);
        }
    }
}

#[test]
fn golden_folds() {
    let config = golden();
    let mut weights = fill::Weights::default();
    let tensors = tensors(&config, |name, shape| weights.tensor(name, shape));
    let folded = RepMlpBlock::folded_tensors(&mut file(&tensors), "", &config).unwrap();
    let shapes: Vec<_> = folded.iter().map(|t| (t.name.as_str(), &t.shape[..])).collect();
    let expected: [(&str, &[usize]); 6] = [
        ("fc1_fc2.fc1.weight", &[16, 16]),
        ("fc1_fc2.fc1.bias", &[16]),
        ("fc1_fc2.fc2.weight", &[16, 16]),
        ("fc1_fc2.fc2.bias", &[16]),
        ("fc3.weight", &[36, 18, 1, 1]),
        ("fc3.bias", &[36]),
    ];
    assert_eq!(shapes, expected);
    let [fc1, fc1_bias, fc2, fc2_bias, fc3, fc3_bias] = &folded[..] else { unreachable!() };
    // Weights are those of the golden vectors rounded to f32, and so are results: ten roundings.
    let tolerance = 10.0 * f64::from(f32::EPSILON);
    let first = [0.403203775, 0.189510248, -0.113312909, -0.362843235, -0.436455571, -0.309122612];
    assert_golden("fc1", &fc1.values, &first, None, tolerance);
    let first = [0.033428922, -0.046689748, -0.307505347, -0.415236939, -0.121585648, 0.304464566];
    assert_golden("fc1 bias", &fc1_bias.values, &first, None, tolerance);
    assert_sums("fc1 bias", &fc1_bias.values, -0.142947924, None, tolerance);
    assert_eq!((&fc2.values, &fc2_bias.values), (&tensors[2].values, &tensors[3].values));
    let first = [-0.019245483, -0.028903601, 0.425702393, 0.025427730, 0.041168681, -0.086096564];
    assert_golden("fc3", &fc3.values, &first, Some(-0.108462545), tolerance);
    assert_sums("fc3", &fc3.values, 5.591319513, Some(63.195238447), tolerance);
    let first = [1.372458924, 1.333080731, 1.047914223, 0.744934736, 0.614187810, 0.668825486];
    assert_golden("fc3 bias", &fc3_bias.values, &first, Some(-0.254985354), tolerance);
    assert_sums("fc3 bias", &fc3_bias.values, 9.934776424, None, tolerance);
}

#[test]
fn folded_tensors_are_those_of_the_deploy_form() {
    let whole = RepMlpBlockConfig { map: [3, 3], kernels: vec![], ..golden() };
    let wide = RepMlpBlockConfig { out_channels: 6, map: [3, 9], reduction: 5, ..golden() };
    for config in [stored(), golden(), whole, wide] {
        let mut weights = fill::Weights::default();
        let train = tensors(&config, |name, shape| weights.tensor(name, shape));
        let deploy = deploy_tensors(&train, &config);
        let names = |form| reference_config(&config).tensors(form);
        let shapes: Vec<_> = deploy.iter().map(|t| (t.name.clone(), t.shape.clone())).collect();
        assert_eq!(shapes, names(mixfold_reference::fc3::Form::Deploy));
        let x: Vec<f32> = fill::input(2 * config.channels * config.map[0] * config.map[1]);
        let ctx = Context::new().sequential();
        // The same weights, folded while loading or before: the same bits.
        let [a, b] = [&train, &deploy].map(|tensors| {
            let block = RepMlpBlock::load(&mut file(tensors), "", &config, None, &ctx).unwrap();
            assert_eq!(block.form(), Form::Deploy);
            run(&block, &x, 2)
        });
        assert_eq!(a, b, "{config:?}");
    }
}

#[test]
fn sizes() {
    for config in [stored(), RepMlpBlockConfig { map: [7, 7], out_channels: 12, ..stored() }] {
        for form in FORMS {
            let elements = reference_config(&config)
                .tensors(reference_form(form))
                .into_iter()
                .filter(|(name, _)| !name.contains("running_"))
                .map(|(_, shape)| shape.iter().product::<usize>() as u64);
            assert_eq!(config.parameters(form), elements.sum::<u64>());
        }
    }
    // Two products of 32 x 32, and for each of 4 partitions 392 outputs of 98 inputs each.
    let matrices = 2 * 32 * 32 + 4 * 392 * 98;
    assert_eq!(stored().macs(Form::Deploy), matrices);
    // Each of 14 x 14 pixels of 8 channels sees 2 channels under kernels of 1, 9, 25 pixels.
    assert_eq!(stored().macs(Form::Train), matrices + 14 * 14 * 8 * 2 * (1 + 9 + 25));
    let whole = RepMlpBlockConfig { map: [7, 7], ..stored() };
    assert_eq!(whole.macs(Form::Deploy), 392 * 98);
    let mut file = Checkpoint::open(fixture("repmlp_v1_block_train.safetensors")).unwrap();
    for form in FORMS {
        let ctx = Context::new();
        let block = RepMlpBlock::load(&mut file, "", &stored(), Some(form), &ctx).unwrap();
        let found = (block.parameters(), block.macs(), block.config());
        assert_eq!(found, (stored().parameters(form), stored().macs(form), &stored()));
        assert!(block.packed_bytes() >= 4 * (2 * 32 * 32 + 392 * 98));
        let plan = block.plan(3).unwrap();
        assert_eq!(plan.batch(), 3);
        assert!(plan.bytes() >= 4 * 3 * 2 * 8 * 14 * 14);
    }
}

/// Neither input nor output is copied where a map is one partition.
#[test]
fn memory_of_plans() {
    let whole = RepMlpBlockConfig { map: [7, 7], ..stored() };
    for (config, copied) in [(stored(), true), (whole, false)] {
        let mut weights = fill::Weights::default();
        let tensors = tensors(&config, |name, shape| weights.tensor(name, shape));
        let ctx = Context::new().sequential();
        let block = RepMlpBlock::load(&mut file(&tensors), "", &config, None, &ctx).unwrap();
        let [few, many] = [1000, 2000].map(|batch| block.plan(batch).unwrap().bytes());
        let input = 4 * 1000 * 8 * config.map[0] * config.map[1];
        assert_eq!(many - few >= 2 * input, copied, "{few}, {many}");
        assert_eq!(many - few >= input, copied, "{few}, {many}");
    }
}
