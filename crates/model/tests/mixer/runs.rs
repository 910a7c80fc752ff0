//! Plans: wrong lengths, no images, and pools that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mixfold_gemm::{Context, Pool};
use mixfold_model::{Images, Loader, MixerConfig, ModelError, Preprocess, Trunk};

use crate::common::{self, GOLDEN, files, golden, images, load, logits};

#[test]
fn slices_of_another_length_are_refused_and_nothing_is_written() {
    let model = load(&Loader::new(), GOLDEN, 3);
    let mut plan = model.plan(2).unwrap();
    assert_eq!(plan.batch(), 2);
    assert!(plan.bytes() > 0);
    let image = 3 * 16 * 24;
    for (pixels, classes, expected_what, expected_len) in [
        (image, 6, "images", 2 * image),
        (3 * image, 6, "images", 2 * image),
        (0, 6, "images", 2 * image),
        (2 * image, 5, "logits", 6),
        (2 * image, 7, "logits", 6),
        (2 * image, 0, "logits", 6),
    ] {
        let (pixels, mut logits) = (vec![0.0; pixels], vec![7.0; classes]);
        for observed in [false, true] {
            let error = match observed {
                false => plan.run(&pixels, &mut logits),
                true => plan.run_observed(&pixels, &mut logits, |_, _, _, _| panic!("a run")),
            };
            let error = error.unwrap_err();
            let ModelError::Length { what, expected, found } = error else { panic!("{error}") };
            assert_eq!((what, expected), (expected_what, expected_len));
            assert_eq!(found, if what == "images" { pixels.len() } else { classes });
            let text = error.to_string();
            assert!(
                [what, &expected.to_string(), &found.to_string()].iter().all(|s| text.contains(*s))
            );
            assert!(logits.iter().all(|&logit| logit == 7.0));
        }
    }
}

#[test]
fn the_size_of_an_image_is_fixed_and_the_error_says_why() {
    let model = load(&Loader::new(), GOLDEN, 3);
    for shape in [[1, 3, 24, 16], [2, 3, 32, 48], [1, 1, 16, 24], [0, 3, 16, 16]] {
        let images = Images::new(shape, vec![0.0; shape.iter().product()]).unwrap();
        let error = model.forward(&images).unwrap_err();
        let ModelError::Input { model, expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(
            (&model[..], *expected, &found[..]),
            ("test", [shape[0], 3, 16, 24], &shape[..])
        );
        let text = error.to_string();
        // Images of other channels do not become right by another size.
        let reason = text.contains("token-mixing weights are bound to the number of patches");
        assert_eq!(reason, shape[1] == 3, "{text}");
        assert!(text.contains(&format!("{shape:?}")) && text.contains("3, 16, 24"), "{text}");
    }
    for shape in [&[][..], &[3, 16, 24], &[1, 1, 3, 16, 24]] {
        assert!(matches!(model.check_input(shape), Err(ModelError::Input { .. })), "{shape:?}");
    }
    model.check_input(&[usize::MAX, 3, 16, 24]).unwrap();

    // More images than there is memory for; the plan itself needs that of a few.
    let mut plan = model.plan(usize::MAX).unwrap();
    assert!(matches!(plan.run(&[0.0], &mut [0.0]), Err(ModelError::Length { what: "images", .. })));
}

#[test]
fn no_images_have_no_logits() {
    let model = load(&Loader::new(), GOLDEN, 3);
    let mut plan = model.plan(0).unwrap();
    plan.run(&[], &mut []).unwrap();
    plan.run_observed(&[], &mut [], |_, _, _, _| panic!("nothing to see")).unwrap();
    assert_eq!((plan.batch(), plan.bytes()), (0, 0));
    let images = Images::new([0, 3, 16, 24], Vec::new()).unwrap();
    let logits = model.forward(&images).unwrap();
    assert_eq!((logits.classes(), logits.rows().len()), (3, 0));
    assert!(logits.top(3).is_empty());
}

#[test]
fn sizes_that_cannot_run_are_refused_before_the_file_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights");
    files::safetensors(&path, &common::tensors(&GOLDEN, 3));
    let load = |config| {
        let loader = Loader::new();
        loader.load_config("test", config, Preprocess::IMAGENET, &path).map(|_| ()).unwrap_err()
    };
    for (config, reason) in [
        (golden(Trunk { patch: 0, ..GOLDEN.trunk }), "patches of 0 x 0"),
        (
            golden(Trunk { patch: 7, ..GOLDEN.trunk }),
            "patches of 7 x 7 do not fill images of 16 x 24",
        ),
        (golden(Trunk { image: [0, 24], ..GOLDEN.trunk }), "images of 0 x 24"),
        (golden(Trunk { image: [16, 28], ..GOLDEN.trunk }), "images of 16 x 28"),
        (golden(Trunk { image_channels: 0, ..GOLDEN.trunk }), "images without channels"),
        (golden(Trunk { channels: 0, ..GOLDEN.trunk }), "0 channels"),
        (golden(Trunk { channels: 1, ..GOLDEN.trunk }), "1 channels"),
        (golden(Trunk { depth: 1001, ..GOLDEN.trunk }), "1001 blocks"),
        (golden(Trunk { depth: usize::MAX, ..GOLDEN.trunk }), "has 30 tensors"),
    ] {
        let error = load(config);
        assert!(matches!(error, ModelError::Config(_)), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let huge = 1 << (usize::BITS - 2);
    for config in [
        golden(Trunk { image: [huge, huge], patch: 1, ..GOLDEN.trunk }),
        golden(Trunk { image: [huge, huge], patch: huge, ..GOLDEN.trunk }),
        MixerConfig { channel_hidden: huge, ..golden(Trunk { channels: huge, ..GOLDEN.trunk }) },
        MixerConfig {
            token_hidden: usize::MAX,
            ..golden(Trunk { image_channels: huge, ..GOLDEN.trunk })
        },
    ] {
        assert!(matches!(load(config), ModelError::Mismatch { .. }), "{config:?}");
    }
}

/// A Mixer may have no block, and no hidden units: nothing is then added to x but the last bias.
#[test]
fn empty_parts() {
    for config in [
        golden(Trunk { depth: 0, ..GOLDEN.trunk }),
        MixerConfig { token_hidden: 0, ..GOLDEN },
        MixerConfig { channel_hidden: 0, ..GOLDEN },
    ] {
        let model = load(&Loader::new(), config, 3);
        let images = images(&model, 2);
        let reference = common::reference_config(&config, 3, model.gelu());
        let mut tensors = common::tensors(&config, 3).into_iter();
        let reference =
            mixfold_reference::mixer::Mixer::new(reference, |_, _| tensors.next().unwrap().values);
        let expected = reference.forward(&images, 2);
        let distance = common::distance(&logits(&model, &images, 2), &expected);
        assert!(distance <= 1e-6 * common::largest(&expected), "{config:?}: {distance:e}");
    }
}

/// Threads come and go, as those of rayon's current pool do when a plan is taken to another one.
#[derive(Clone, Debug)]
struct Changing(Arc<AtomicUsize>);

impl Pool for Changing {
    fn workers(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
    fn run(&self, work: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for _ in 1..self.workers() {
                scope.spawn(work);
            }
            work();
        });
    }
}

#[test]
fn a_pool_may_change_between_plan_and_run() {
    let workers = Arc::new(AtomicUsize::new(1));
    let ctx = Context::new().with_pool(Changing(workers.clone()));
    // One image goes alone; three go together.
    let trunk = Trunk { image: [16, 16], patch: 2, ..GOLDEN.trunk };
    let config = golden(trunk);
    for config in [config, golden(Trunk { image: [32, 32], ..trunk })] {
        let model = load(&Loader::new().context(ctx.clone()), config, 3);
        let images = images(&model, 8);
        workers.store(1, Ordering::Relaxed);
        let expected = logits(&model, &images, 8);
        for batch in 1..=8 {
            let (pixels, expected) = (images.len() / 8 * batch, &expected[..3 * batch]);
            for (planned, running) in [(1, 3), (3, 1), (2, 3), (3, 2), (4, 1), (1, 4)] {
                workers.store(planned, Ordering::Relaxed);
                let mut plan = model.plan(batch).unwrap();
                workers.store(running, Ordering::Relaxed);
                let mut logits = vec![f32::NAN; 3 * batch];
                plan.run(&images[..pixels], &mut logits).unwrap();
                assert_eq!(logits, expected, "{batch} images, {planned} then {running} threads");
            }
        }
    }
}
