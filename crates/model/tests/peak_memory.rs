//! The memory of a process that loads a model and runs it on one image, as the system counts it: the
//! packed weights, and little beside. The one test of its process.

#![cfg(target_os = "linux")]

mod common;

use common::files;
use mixfold_model::Model;

/// The tensors of Mixer-S/16.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut layer = |module: &str, shape: &[usize]| {
        shapes.push((format!("{module}.weight"), shape.to_vec()));
        shapes.push((format!("{module}.bias"), shape[..1].to_vec()));
    };
    layer("stem.proj", &[512, 3, 16, 16]);
    for i in 0..8 {
        layer(&format!("blocks.{i}.norm1"), &[512]);
        layer(&format!("blocks.{i}.mlp_tokens.fc1"), &[256, 196]);
        layer(&format!("blocks.{i}.mlp_tokens.fc2"), &[196, 256]);
        layer(&format!("blocks.{i}.norm2"), &[512]);
        layer(&format!("blocks.{i}.mlp_channels.fc1"), &[2048, 512]);
        layer(&format!("blocks.{i}.mlp_channels.fc2"), &[512, 2048]);
    }
    layer("norm", &[512]);
    layer("head", &[1000, 512]);
    shapes
}

/// The most memory that the process has had in the machine's at once.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap()
}

#[test]
fn at_most_a_third_beside_the_weights() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let shapes = shapes();
    files::sparse_safetensors(&path, shapes.iter().map(|(name, shape)| (&name[..], &shape[..])));
    let before = peak();

    let model = Model::load("mixer_s16_224", &path).unwrap();
    let images = common::images(&model, 1);
    let mut logits = vec![1.0; model.classes()];
    model.plan(1).unwrap().run(&images, &mut logits).unwrap();
    assert_eq!(logits, vec![0.0; model.classes()], "all weights are 0");

    let (peak, weights) = (peak(), 4 * model.parameters());
    println!("{peak} bytes, {before} before, {weights} of weights");
    assert!(peak > weights, "nothing is counted");
    assert!(10 * peak < 13 * weights, "{peak} bytes for {weights} of weights");
}
