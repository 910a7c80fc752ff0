//! Models of other libraries with stored outputs, and the reference in f64.

use mixfold_gemm::Context;
use mixfold_model::{Checkpoint, Gelu, Loader, MixerConfig, Preprocess, Trunk};
use mixfold_reference::{Real, mixer as reference};

use crate::common::files::{fixture, flax_name, permute};
use crate::common::{distance, largest, logits, reference_config};

fn read(file: &mut Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let mut values = Vec::new();
    file.read_f32(name, &mut values).unwrap();
    (file.entry(name).unwrap().shape().to_vec(), values)
}

/// A model, and images with the logits that another library gave for them.
struct Fixture {
    weights: &'static str,
    config: MixerConfig,
    gelu: Gelu,
    batch: usize,
    images: Vec<f32>,
    logits: Vec<f32>,
}

/// timm's, whose logits were computed in f64.
fn timm() -> Fixture {
    let mut io = Checkpoint::open(fixture("timm_mixer_small_io.safetensors")).unwrap();
    let ((shape, images), (_, logits)) = (read(&mut io, "x"), read(&mut io, "y"));
    let config = MixerConfig {
        trunk: Trunk { image: [32, 32], image_channels: 3, patch: 4, channels: 32, depth: 2 },
        token_hidden: 16,
        channel_hidden: 128,
    };
    let weights = "timm_mixer_small.safetensors";
    Fixture { weights, config, gelu: Gelu::Erf, batch: shape[0], images, logits }
}

/// The official one, with a grid of 4 × 6 patches; its images are `[batch, height, width, channels]`
/// and its logits were computed in f32.
fn flax() -> Fixture {
    let mut io = Checkpoint::open(fixture("flax_mixer_tiny_io.npz")).unwrap();
    let ((shape, images), (_, logits)) = (read(&mut io, "x"), read(&mut io, "y"));
    let (shape, images) = permute(&shape, &images, &[0, 3, 1, 2]);
    assert_eq!(shape[1..], [3, 64, 96]);
    let config = MixerConfig {
        trunk: Trunk { image: [64, 96], image_channels: 3, patch: 16, channels: 64, depth: 2 },
        token_hidden: 32,
        channel_hidden: 256,
    };
    Fixture {
        weights: "flax_mixer_tiny.npz",
        config,
        gelu: Gelu::Tanh,
        batch: shape[0],
        images,
        logits,
    }
}

impl Fixture {
    /// The logits of the reference, in the precision of `T`.
    fn reference<T: Real + From<f32>>(&self) -> Vec<T> {
        let mut file = Checkpoint::open(fixture(self.weights)).unwrap();
        let config = reference_config(&self.config, self.logits.len() / self.batch, self.gelu);
        let mixer = reference::Mixer::new(config, |name, shape| {
            let values = match (self.gelu, shape.len()) {
                (Gelu::Erf, _) => read(&mut file, name).1,
                (Gelu::Tanh, rank) => {
                    let (stored, values) = read(&mut file, &flax_name(name, rank));
                    let order: &[usize] = match rank {
                        4 => &[3, 2, 0, 1],
                        2 => &[1, 0],
                        _ => &[0],
                    };
                    permute(&stored, &values, order).1
                }
            };
            values.into_iter().map(Into::into).collect()
        });
        let images: Vec<T> = self.images.iter().map(|&x| x.into()).collect();
        mixer.forward(&images, self.batch)
    }

    /// The logits on every instruction set, against those of the other library and of the reference.
    ///
    /// There is no useful bound of a whole model's rounding error, but a measure of it: the error
    /// that the same formulas make when they are evaluated in f32 with plain loops. Sums in another
    /// order and fused multiply-adds make other errors of the same size. The largest of a few dozen
    /// errors scatters, so that four times as much is allowed.
    fn check(&self, of_library: f64) {
        let exact = self.reference::<f64>();
        let size = largest(&exact);
        let plain = distance(&self.reference::<f32>(), &exact);
        assert!(plain <= 2e-6 * size, "the reference in f32: {plain:e} of {size}");
        assert!(distance(&self.logits, &exact) <= of_library * size, "the library's own logits");
        for isa in mixfold_simd::env::isas_under_test() {
            let model = Loader::new()
                .context(Context::with_isa(isa))
                .load_config("fixture", self.config, Preprocess::IMAGENET, fixture(self.weights))
                .unwrap();
            assert_eq!(model.gelu(), self.gelu);
            let logits = logits(&model, &self.images, self.batch);
            let error = distance(&logits, &exact);
            println!("{isa}: {error:e}, plain loops {plain:e}, of {size}");
            assert!(error <= 4.0 * plain, "{isa}: {error:e}, plain loops {plain:e}, of {size}");
            let error = distance(&logits, &self.logits);
            assert!(error <= 4.0 * plain + of_library * size, "{isa}: {error:e} from the library");
        }
    }
}

#[test]
fn timm_mixer_small() {
    // Rounded to f32 once.
    timm().check(1e-7);
}

#[test]
fn flax_mixer_tiny() {
    flax().check(2e-6);
}
