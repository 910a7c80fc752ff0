//! Loading holds the packed weights and little more: a file is never in memory as a whole.

mod common;
#[path = "../../gemm/tests/common/allocator.rs"]
mod count;

use mixfold_model::{Checkpoint, Form, Loader, MixerConfig, Preprocess, RepMlpNetConfig, Trunk};
use zip::CompressionMethod::{Deflated, Stored};

use common::two_forms;
use common::{files, repmlpnet};

/// 4 million parameters, 16 MB, the largest tensor 1 MB. No layer fills a huge page: memory in such pages
/// is the system's and not the allocator's, which counts.
const CONFIG: MixerConfig = MixerConfig {
    trunk: Trunk { image: [96, 96], image_channels: 3, patch: 16, channels: 256, depth: 9 },
    token_hidden: 176,
    channel_hidden: 700,
};
const CLASSES: usize = 1000;

#[test]
fn at_most_three_tensors_beside_the_packed_weights() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let timm = common::tensors(&CONFIG, CLASSES);
    let flax: Vec<_> = timm.iter().map(files::flax).collect();
    let legacy: Vec<_> = timm.iter().map(files::legacy).collect();
    files::safetensors(&path("timm.safetensors"), &timm);
    files::npz(&path("timm.npz"), &timm, Stored);
    files::npz(&path("flax.npz"), &flax, Stored);
    files::npz(&path("flax_compressed.npz"), &flax, Deflated);
    files::npz(&path("legacy.npz"), &legacy, Stored);
    let bytes = |tensor: &files::Tensor| 4 * tensor.values.len();
    let largest = timm.iter().map(bytes).max().unwrap();
    // Norms and biases are not packed; the first ones are held once, the second ones up to twice.
    let vectors: usize = timm.iter().filter(|t| t.shape.len() == 1).map(bytes).sum();
    drop((timm, flax, legacy));

    for isa in mixfold_simd::env::isas_under_test() {
        let loader = Loader::new().context(mixfold_gemm::Context::with_isa(isa).sequential());
        for file in
            ["timm.safetensors", "timm.npz", "flax.npz", "flax_compressed.npz", "legacy.npz"]
        {
            let path = path(file);
            let (peak, model) = count::peak(|| {
                loader.load_config("mid-size", CONFIG, Preprocess::IMAGENET, path).unwrap()
            });
            let packed = model.packed_bytes();
            let beside = peak.checked_sub(packed).unwrap();
            println!("{isa}, {file}: {peak} bytes, {packed} packed, largest tensor {largest}");
            assert!(
                beside <= 3 * largest + 2 * vectors + (256 << 10),
                "{isa}, {file}: {beside} beside the packed weights; the largest tensor has {largest}"
            );
        }
    }
}

/// 1.2 million parameters, 5 MB, the largest tensors 1.3 MB and among the last ones. No layer fills a huge
/// page.
fn repmlpnet_config() -> RepMlpNetConfig {
    RepMlpNetConfig {
        image: [96, 96],
        image_channels: 3,
        patch: 4,
        stages: repmlpnet::stages(&[[64, 2, 1], [128, 2, 16]]).into(),
        kernels: vec![1, 3].into(),
        gate_reduction: 4,
        ffn_expansion: 4,
    }
}

/// Bytes of what is not packed, once: all vectors, and for each row of a fully connected layer a bias and,
/// in train form, the norm behind it.
fn vectors(config: &RepMlpNetConfig, stored: Form) -> usize {
    let shapes = two_forms::shapes(config, CLASSES, stored);
    let of_tensor = |(name, shape): &(String, Vec<usize>)| match shape[..] {
        [len] => len,
        [rows, ..] if name.ends_with(".fc3.weight") => 3 * rows,
        _ => 0,
    };
    4 * shapes.iter().map(of_tensor).sum::<usize>()
}

/// Folding convolutions in takes no more memory than reading the tensor into which they go.
#[test]
fn at_most_a_tensor_of_a_repmlpnet_beside_the_packed_weights() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let config = repmlpnet_config();
    for stored in [Form::Train, Form::Deploy] {
        two_forms::write(&path, &config, CLASSES, stored, 1);
        let shapes = two_forms::shapes(&config, CLASSES, stored);
        let bytes = |shape: &[usize]| 4 * shape.iter().product::<usize>();
        let largest = shapes.iter().map(|(_, shape)| bytes(shape)).max().unwrap();
        let vectors = vectors(&config, stored);
        for isa in mixfold_simd::env::isas_under_test() {
            let ctx = mixfold_gemm::Context::with_isa(isa).sequential();
            for form in [stored, Form::Deploy] {
                let loader = Loader::new().context(ctx.clone()).form(form);
                let load = || {
                    let preprocess = Preprocess::IMAGENET;
                    loader.load_config("mid-size", config.clone(), preprocess, &path).unwrap()
                };
                let (peak, model) = count::peak(load);
                let beside = peak.checked_sub(model.packed_bytes()).unwrap();
                drop(model);
                let (held, model) = count::held(load);
                let left = held - model.packed_bytes();
                let what = format!("{isa}, {stored} as {form}");
                println!("{what}: {beside} bytes beside the packed weights, {left} stay");
                assert!(beside <= largest + 2 * vectors + (256 << 10), "{what}: {beside} beside");
                assert!(left <= 2 * vectors + (64 << 10), "{what}: {left} stay");
            }
        }
    }
}

#[test]
fn what_stays_is_the_packed_weights() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let timm = common::tensors(&CONFIG, CLASSES);
    files::safetensors(&path, &timm);
    let vectors = timm.iter().filter(|t| t.shape.len() == 1).map(|t| 4 * t.values.len());
    let vectors: usize = vectors.sum();
    drop(timm);
    let (held, model) = count::held(|| {
        Loader::new().load_config("mid-size", CONFIG, Preprocess::IMAGENET, &path).unwrap()
    });
    let beside = held - model.packed_bytes();
    assert!(beside <= 2 * vectors + (64 << 10), "{beside} bytes beside the packed weights");
}

#[test]
fn the_table_of_a_large_file_is_small() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    let tensors: Vec<_> = (0..1000).map(|i| (format!("tensor.{i}"), [1000, 250])).collect();
    files::sparse_safetensors(&path, tensors.iter().map(|(name, shape)| (&name[..], &shape[..])));
    let (peak, file) = count::peak(|| Checkpoint::open(&path).unwrap());
    assert_eq!(file.names().count(), 1000);
    assert!(peak < 2 << 20, "{peak} bytes for the table of a file of 1 GB");
}
