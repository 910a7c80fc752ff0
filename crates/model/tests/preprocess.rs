//! Images against Pillow, torchvision and timm, and images that lie.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, RgbImage};
use mixfold_model::preprocess::{
    Buffers, Color, ConfigError, Interpolation, Resize, TimmConfig, open_image,
};
use mixfold_model::{Images, Preprocess, PreprocessError};
use proptest::prelude::*;

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// The largest difference from timm's samples and the mean of all differences.
fn compare(samples: &[u8], expected: &[u8]) -> (u8, f64) {
    assert_eq!(samples.len(), expected.len());
    let differences = || samples.iter().zip(expected).map(|(&a, &b)| a.abs_diff(b));
    let sum: u64 = differences().map(u64::from).sum();
    (differences().max().unwrap(), sum as f64 / samples.len() as f64)
}

/// How far samples may be from Pillow's, at most and on average, before resizing. Decoders of JPEG
/// differ in the inverse transform and, more, in how they enlarge colour planes of half the size.
fn decoding(image: &str) -> (u8, f64) {
    match image {
        "subsampled.jpg" => (7, 0.33),
        "subsampled_across.jpg" => (3, 0.16),
        _ => (2, 0.02),
    }
}

/// The same from timm's, after resizing.
fn decoding_and_resizing(image: &str) -> (u8, f64) {
    match image {
        "subsampled.jpg" | "subsampled_across.jpg" => (2, 0.33),
        _ => RESIZING,
    }
}

/// The same from samples that Pillow has decoded.
const RESIZING: (u8, f64) = (1, 0.05);

/// Pillow's own samples of an image, where decoders differ.
fn decoded_by_pillow(image: &str) -> Option<DynamicImage> {
    let name = image.strip_suffix(".jpg")?;
    Some(open_image(images().join(format!("decoded_{name}.png"))).unwrap())
}

#[test]
fn decoders_of_jpeg_differ_little() {
    let mut count = 0;
    for entry in std::fs::read_dir(images()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(expected) = decoded_by_pillow(&name) else { continue };
        let image = open_image(images().join(&name)).unwrap();
        assert_eq!(image.color(), expected.color(), "{name}");
        assert_eq!((image.width(), image.height()), (expected.width(), expected.height()));
        let (largest, mean) = compare(image.as_bytes(), expected.as_bytes());
        let (largest_allowed, mean_allowed) = decoding(&name);
        assert!(largest <= largest_allowed && mean <= mean_allowed, "{largest} {mean} {name}");
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn the_samples_that_timm_shows_a_model() {
    let folder = images();
    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() > 40);
    let mut buffers = Buffers::default();
    for case in cases {
        let name = case["image"].as_str().unwrap();
        let preprocess = Preprocess::from_timm_config(&case["timm"].to_string()).unwrap();
        let expected = image::open(folder.join(case["expected"].as_str().unwrap())).unwrap();
        let expected = match preprocess.color {
            Color::Grey => expected.into_luma8().into_raw(),
            Color::Rgb => planes(&expected.into_rgb8()),
        };
        let mut check = |image: &DynamicImage, (largest_allowed, mean_allowed)| {
            let samples = preprocess.crop(image, &mut buffers).unwrap();
            let (largest, mean) = compare(samples, &expected);
            assert!(largest <= largest_allowed && mean <= mean_allowed, "{largest} {mean} {case}");
        };
        check(&open_image(folder.join(name)).unwrap(), decoding_and_resizing(name));
        if let Some(image) = decoded_by_pillow(name) {
            check(&image, RESIZING);
        }
    }
}

fn planes(image: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| image.pixels().map(move |pixel| pixel[channel])).collect()
}

#[test]
fn an_image_of_the_models_size_is_only_normalised() {
    let image = open_image(images().join("exact.png")).unwrap();
    let preprocess =
        Preprocess { size: [32, 32], crop_fraction: 1.0, ..Preprocess::IMAGENET.clone() };
    let input = preprocess.open(images().join("exact.png")).unwrap();
    assert_eq!(input, preprocess.apply(&image).unwrap());
    assert_eq!(input.shape(), [1, 3, 32, 32]);
    for (i, (&value, sample)) in
        input.values().iter().zip(planes(image.as_rgb8().unwrap())).enumerate()
    {
        let (mean, std) = (preprocess.mean[i / 1024], preprocess.std[i / 1024]);
        // ToTensor, then Normalize, each operation in f32.
        let expected = (f32::from(sample) / 255.0 - mean) / std;
        assert_eq!(value.to_bits(), expected.to_bits());
    }
}

#[test]
fn batches_are_single_images_in_order() {
    let preprocess = Preprocess { size: [28, 20], ..Preprocess::IMAGENET };
    let names = ["rgb.png", "tall.png", "grey.jpg"];
    let batch = preprocess.open_all(names.map(|name| images().join(name))).unwrap();
    assert_eq!(batch.shape(), [3, 3, 28, 20]);
    let singles = names.map(|name| preprocess.open(images().join(name)).unwrap().into_values());
    assert_eq!(batch.into_values(), singles.concat());

    let none: [PathBuf; 0] = [];
    assert_eq!(preprocess.open_all(none).unwrap().shape(), [0, 3, 28, 20]);
    assert!(matches!(
        Images::new([2, 3, usize::MAX, 2], vec![0.0; 12]),
        Err(PreprocessError::Shape { values: 12, .. })
    ));
    assert!(matches!(
        preprocess.apply_into(&small(), &mut Buffers::default(), &mut [0.0; 9]),
        Err(PreprocessError::Output { expected: 1680, found: 9 })
    ));
}

fn small() -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::new(4, 4))
}

#[test]
fn a_border_is_black_before_normalisation() {
    let image = DynamicImage::ImageLuma8(GrayImage::from_pixel(10, 10, image::Luma([255])));
    let preprocess = Preprocess {
        size: [7, 7],
        color: Color::Grey,
        crop_fraction: 1.4, // to 5 x 5, with a border of one
        mean: [0.5; 3],
        std: [0.25; 3],
        ..Preprocess::IMAGENET
    };
    let input = preprocess.apply(&image).unwrap();
    for (i, &value) in input.values().iter().enumerate() {
        let inside = (1..6).contains(&(i / 7)) && (1..6).contains(&(i % 7));
        assert_eq!(value, if inside { 2.0 } else { -2.0 });
    }
}

#[test]
fn extreme_shapes() {
    let mut buffers = Buffers::default();
    for (width, height) in [(1, 3000), (3000, 1), (1, 1), (2, 40_000), (1, 700_000), (700_000, 1)] {
        let image =
            DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, [9, 99, 255].into()));
        for resize in [Resize::ShorterSide, Resize::Squash] {
            let preprocess = Preprocess { resize, ..Preprocess::IMAGENET };
            let samples = preprocess.crop(&image, &mut buffers).unwrap();
            for (plane, level) in samples.chunks_exact(224 * 224).zip([9, 99, 255]) {
                assert!(plane.iter().all(|&sample| sample == level), "{width} x {height}");
            }
        }
    }
}

#[test]
fn impossible_settings() {
    let good = Preprocess::IMAGENET;
    for (name, preprocess) in [
        ("size", Preprocess { size: [0, 224], ..good.clone() }),
        ("size", Preprocess { size: [224, usize::MAX], ..good.clone() }),
        ("crop_fraction", Preprocess { crop_fraction: 0.0, ..good.clone() }),
        ("crop_fraction", Preprocess { crop_fraction: -1.0, ..good.clone() }),
        ("crop_fraction", Preprocess { crop_fraction: f64::NAN, ..good.clone() }),
        ("crop_fraction", Preprocess { crop_fraction: 1e-9, ..good.clone() }),
        ("crop_fraction", Preprocess { crop_fraction: 225.0, ..good.clone() }),
        ("mean", Preprocess { mean: [0.0, f32::NAN, 0.0], ..good.clone() }),
        ("std", Preprocess { std: [1.0, 1.0, 0.0], ..good.clone() }),
    ] {
        let error = preprocess.apply(&small()).unwrap_err();
        let PreprocessError::Setting { name: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, name);
        assert!(matches!(preprocess.open("absent"), Err(PreprocessError::Setting { .. })));
    }
}

#[test]
fn files_that_are_no_images() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open_image(&path)
    };
    for bytes in [&b""[..], b"GIF89a", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9"] {
        assert!(matches!(open(bytes), Err(PreprocessError::Decode { .. })), "{bytes:?}");
    }
    assert!(matches!(open_image("absent"), Err(PreprocessError::Io { .. })));
    let good = std::fs::read(images().join("rgb.png")).unwrap();
    assert!(matches!(open(&good[..good.len() / 2]), Err(PreprocessError::Decode { .. })));

    // The dimensions in a PNG's first chunk, with the checksum that belongs to them.
    let (width, height) = (60_000_u32, 60_000_u32);
    let chunk = [b"IHDR", &width.to_be_bytes()[..], &height.to_be_bytes(), &good[24..29]].concat();
    let checksum = crc32(&chunk).to_be_bytes();
    let lie = [&good[..12], &chunk, &checksum, &good[33..]].concat();
    let error = open(&lie).unwrap_err();
    assert!(
        matches!(error, PreprocessError::TooLarge { width: 60_000, height: 60_000, .. }),
        "{error:?}"
    );
}

#[test]
fn files_that_are_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    for name in ["grey.jpg", "turned.jpg", "palette.png"] {
        let bytes = std::fs::read(images().join(name)).unwrap();
        // The checksum of a PNG's last, empty chunk is not missed.
        let least = if name.ends_with(".png") { bytes.len() - 12 } else { bytes.len() };
        for end in (0..least).step_by(97).chain([least - 1]) {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(open_image(&path).is_err(), "{name} cut off at {end}");
        }
        std::fs::write(&path, [&bytes[..], b"\xff\xda and more"].concat()).unwrap();
        let (image, expected) = (open_image(&path), open_image(images().join(name)));
        assert_eq!(image.unwrap().as_bytes(), expected.unwrap().as_bytes(), "{name}");
    }
    let bytes = std::fs::read(images().join("full.jpg")).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(open_image(&path), Err(PreprocessError::Truncated { .. })));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_hubs_configuration() {
    let config = TimmConfig::parse(
        r#"{
            "architecture": "mixer_b16_224",
            "num_classes": 3,
            "num_features": 768,
            "label_names": {"0": "a", "2": "c", "1": "b"},
            "pretrained_cfg": {
                "tag": "miil_in21k_ft_in1k",
                "input_size": [3, 224, 192],
                "fixed_input_size": true,
                "interpolation": "bilinear",
                "crop_pct": 0.9,
                "crop_mode": "squash",
                "mean": [0.0, 0.25, 0.5],
                "std": [1.0, 2, 3.5],
                "num_classes": 7,
                "pool_size": null
            }
        }"#,
    )
    .unwrap();
    assert_eq!(config.architecture.as_deref(), Some("mixer_b16_224"));
    assert_eq!(config.num_classes, Some(3), "the root's counts");
    assert_eq!(config.label_names.as_ref().unwrap(), &["a", "b", "c"]);
    let expected = Preprocess {
        size: [224, 192],
        color: Color::Rgb,
        resize: Resize::Squash,
        crop_fraction: 0.9,
        interpolation: Interpolation::Bilinear,
        mean: [0.0, 0.25, 0.5],
        std: [1.0, 2.0, 3.5],
    };
    assert_eq!(config.preprocess(Preprocess::IMAGENET), expected);
}

#[test]
fn flat_and_partial_configurations() {
    let config =
        TimmConfig::parse(r#"{"mean": [0.5], "labels": ["x"], "num_classes": 1}"#).unwrap();
    assert_eq!(config.label_names.as_ref().unwrap(), &["x"]);
    let base = Preprocess { crop_fraction: 0.75, ..Preprocess::IMAGENET };
    let expected = Preprocess { mean: [0.5; 3], ..base.clone() };
    assert_eq!(config.preprocess(base), expected);

    let grey =
        Preprocess::from_timm_config(r#"{"input_size": [1, 8, 9], "mean": [0.1, 0.2, 0.6]}"#);
    let grey = grey.unwrap();
    assert_eq!((grey.color, grey.size), (Color::Grey, [8, 9]));
    assert!((grey.mean[0] - 0.3).abs() < 1e-7, "timm's average");

    assert_eq!(TimmConfig::parse("{}").unwrap(), TimmConfig::default());
    let nulls = r#"{"mean": null, "pretrained_cfg": null, "num_classes": null}"#;
    assert_eq!(TimmConfig::parse(nulls).unwrap(), TimmConfig::default());
}

#[test]
fn configurations_of_wrong_types() {
    for (json, key) in [
        ("[]", "(root)"),
        (r#"{"pretrained_cfg": "mixer"}"#, "pretrained_cfg"),
        (r#"{"architecture": 1}"#, "architecture"),
        (r#"{"num_classes": -1}"#, "num_classes"),
        (r#"{"num_classes": 1.5}"#, "num_classes"),
        (r#"{"label_names": "a"}"#, "label_names"),
        (r#"{"label_names": ["a", 1]}"#, "label_names"),
        (r#"{"label_names": {"0": "a", "2": "b"}}"#, "label_names"),
        (r#"{"pretrained_cfg": {"input_size": [3, 224]}}"#, "input_size"),
        (r#"{"input_size": [4, 224, 224]}"#, "input_size"),
        (r#"{"input_size": 224}"#, "input_size"),
        (r#"{"crop_mode": "border"}"#, "crop_mode"),
        (r#"{"crop_pct": "0.9"}"#, "crop_pct"),
        (r#"{"crop_pct": 0}"#, "crop_pct"),
        (r#"{"interpolation": "lanczos"}"#, "interpolation"),
        (r#"{"mean": [0.5, 0.5]}"#, "mean"),
        (r#"{"mean": ["0.5"]}"#, "mean"),
        (r#"{"mean": 1e300}"#, "mean"),
        (r#"{"std": [0, 0, 0]}"#, "std"),
    ] {
        let error = TimmConfig::parse(json).unwrap_err();
        let ConfigError::Setting { key: found, .. } = &error else { panic!("{json}: {error:?}") };
        assert_eq!(*found, key, "{json}");
        assert!(error.to_string().starts_with("config.json: "), "{error}");
    }
    assert!(matches!(TimmConfig::parse("{"), Err(ConfigError::Json { .. })));
    assert!(matches!(TimmConfig::read("absent.json"), Err(ConfigError::Io { .. })));
}

proptest! {
    /// Any image with any settings: the weights of every filter add up to one, nothing panics.
    #[test]
    fn a_plain_image_stays_plain(
        (width, height) in (1..400_u32, 1..400_u32),
        size in [1..64_usize, 1..64],
        crop_fraction in 0.3..1.0_f64,
        bicubic: bool,
        squash: bool,
        level: u8,
    ) {
        let preprocess = Preprocess {
            size,
            crop_fraction,
            resize: if squash { Resize::Squash } else { Resize::ShorterSide },
            interpolation:
                if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear },
            ..Preprocess::IMAGENET
        };
        let image = GrayImage::from_pixel(width, height, image::Luma([level]));
        let mut buffers = Buffers::default();
        let samples = preprocess.crop(&DynamicImage::ImageLuma8(image), &mut buffers).unwrap();
        prop_assert_eq!(samples.len(), 3 * size[0] * size[1]);
        prop_assert!(samples.iter().all(|&sample| sample == level));
    }
}
