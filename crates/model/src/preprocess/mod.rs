//! From an image file to a model's input, as timm's evaluation pipeline does it.
//!
//! 1. Decode JPEG or PNG, turn the image upright by its EXIF orientation, and take its samples as
//!    8-bit RGB (or grey).
//! 2. Resize, so that the centre crop leaves the margin that the model was evaluated with, by
//!    Pillow's antialiased filters.
//! 3. Crop the centre.
//! 4. Scale to `[0, 1]`, subtract the mean, divide by the standard deviation, one plane per channel.
//!
//! Sizes and offsets are those of torchvision, sample by sample: the resized image is never held,
//! only the part of it that the crop shows, so that an image of 1 x 30000 pixels costs no more than
//! any other.
//!
//! Where it departs from timm: timm ignores the EXIF orientation; and Pillow cuts 16-bit grey
//! samples off at 255, which turns most such images white, where here the upper byte is taken, as
//! Pillow itself does for 16-bit colour.

mod decode;
mod error;
mod geometry;
mod images;
mod jpeg;
mod resample;
mod samples;
mod timm;

use std::path::Path;

use image::DynamicImage;

pub use decode::{MAX_PIXELS, open_image};
pub use error::PreprocessError;
pub use images::Images;
pub use resample::Interpolation;
pub use samples::Color;
pub use timm::{ConfigError, TimmConfig};

use geometry::Axis;

/// The largest height or width of a model's input.
const MAX_SIZE: usize = 8192;

/// The largest size that an image's shorter side can be resized to.
const MAX_RESIZED: f64 = (1 << 20) as f64;

/// How a model wants its images. [`Preprocess::IMAGENET`] is timm's default.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height and width of the model's input, 1 to 8192 each.
    pub size: [usize; 2],
    /// The channels of the model's input.
    pub color: Color,
    /// What the resizing keeps.
    pub resize: Resize,
    /// The crop's part of the resized image (timm's `crop_pct`): the image is resized to
    /// `floor(size / crop_fraction)`. With 1 nothing is cut off the shorter side; beyond 1, a black
    /// border is added.
    pub crop_fraction: f64,
    /// The filter used for resizing.
    pub interpolation: Interpolation,
    /// Subtracted from each channel, of values in `[0, 1]`. A grey image's is the first.
    pub mean: [f32; 3],
    /// What each channel is then divided by.
    pub std: [f32; 3],
}

/// What resizing keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resize {
    /// The aspect ratio: the shorter side is fitted, the crop cuts the longer one (timm's crop mode
    /// `center`).
    ShorterSide,
    /// The whole image: both sides are fitted (timm's crop mode `squash`).
    Squash,
}

/// Memory that [`Preprocess::apply_into`] reuses from image to image.
#[derive(Debug, Default)]
pub struct Buffers {
    samples: Vec<u8>,
    resampler: resample::Resampler,
    crop: Vec<u8>,
}

impl Preprocess {
    /// timm's default: 224 x 224 RGB, shorter side resized to 256, bicubic, ImageNet's mean and
    /// standard deviation.
    pub const IMAGENET: Self = Self {
        size: [224, 224],
        color: Color::Rgb,
        resize: Resize::ShorterSide,
        crop_fraction: 0.875,
        interpolation: Interpolation::Bicubic,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    /// The settings in timm's `config.json`, given as its text; [`Preprocess::IMAGENET`]'s where it
    /// has none. [`TimmConfig`] reads the rest of the file.
    ///
    /// # Errors
    /// The text is not JSON, or a setting has the wrong type or a value that is not supported.
    pub fn from_timm_config(json: &str) -> Result<Self, ConfigError> {
        Ok(TimmConfig::parse(json)?.preprocess(Self::IMAGENET))
    }

    /// Opens one image file as the model's input, `[1, channels, height, width]`.
    ///
    /// # Errors
    /// The file is no JPEG or PNG, is damaged, or has more than [`MAX_PIXELS`] pixels; or these
    /// settings are impossible.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Images, PreprocessError> {
        self.open_all([path])
    }

    /// Opens image files as one batch, `[n, channels, height, width]`.
    ///
    /// # Errors
    /// As [`open`](Self::open), for the first file that fails.
    pub fn open_all(
        &self,
        paths: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Result<Images, PreprocessError> {
        self.check()?;
        let mut buffers = Buffers::default();
        let (mut count, mut values) = (0, Vec::new());
        for path in paths {
            let image = open_image(path)?;
            let start = values.len();
            values.resize(start + self.image_len(), 0.0);
            self.apply_into(&image, &mut buffers, &mut values[start..])?;
            count += 1;
        }
        let [height, width] = self.size;
        Images::new([count, self.color.channels(), height, width], values)
    }

    /// The model's input, `[1, channels, height, width]`, for a decoded image.
    ///
    /// # Errors
    /// The image is empty, or these settings are impossible.
    pub fn apply(&self, image: &DynamicImage) -> Result<Images, PreprocessError> {
        self.check()?;
        let mut values = vec![0.0; self.image_len()];
        self.apply_into(image, &mut Buffers::default(), &mut values)?;
        let [height, width] = self.size;
        Images::new([1, self.color.channels(), height, width], values)
    }

    /// As [`apply`](Self::apply), into memory of the caller's: `output` is `[channels, height,
    /// width]`. `buffers` keep the memory for the samples from image to image.
    ///
    /// Each value is `(sample / 255 - mean) / std`, rounded to f32 after each operation: the bits
    /// that torchvision gives for the same sample.
    ///
    /// # Errors
    /// As `apply`, or `output` has another length than [`image_len`](Self::image_len).
    pub fn apply_into(
        &self,
        image: &DynamicImage,
        buffers: &mut Buffers,
        output: &mut [f32],
    ) -> Result<(), PreprocessError> {
        self.check()?;
        if output.len() != self.image_len() {
            return Err(PreprocessError::Output {
                expected: self.image_len(),
                found: output.len(),
            });
        }
        let crop = self.crop(image, buffers)?;
        let plane = crop.len() / self.color.channels();
        let planes = output.chunks_exact_mut(plane).zip(crop.chunks_exact(plane));
        for ((output, crop), (mean, std)) in planes.zip(self.mean.iter().zip(&self.std)) {
            let normalized: [f32; 256] =
                std::array::from_fn(|sample| (sample as f32 / 255.0 - mean) / std);
            for (value, &sample) in output.iter_mut().zip(crop) {
                *value = normalized[usize::from(sample)];
            }
        }
        Ok(())
    }

    /// What the model is shown, before normalisation: the resized and cropped samples,
    /// `[channels, height, width]`.
    ///
    /// From the same decoded samples, each is within one of what torchvision with Pillow 13 gives. PNG
    /// is decoded without loss; of JPEG, decoders make slightly different samples. From this crate's
    /// ([`open_image`]) and Pillow's (libjpeg-turbo), results for the test images differ by at most
    /// one where colour planes have the size of the image, by at most two where they have half of it.
    /// For synthetic photographs of qualities 75 to 95, shown at 224 × 224, the differences were
    ///
    /// | colour planes | largest | mean | above one, worst image |
    /// |---|---|---|---|
    /// | none (grey) | 1 | 0.01 | none of the samples |
    /// | of the image's size (4:4:4) | 3 | 0.02 | 0.1 % |
    /// | of half the width (4:2:2) | 3 | 0.2 | 2.3 % |
    /// | of half the width and height (4:2:0) | 4 | 0.4 | 6.3 % |
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn crop<'a>(
        &self,
        image: &DynamicImage,
        buffers: &'a mut Buffers,
    ) -> Result<&'a [u8], PreprocessError> {
        self.check()?;
        let (width, height) = (image.width(), image.height());
        if width == 0 || height == 0 {
            return Err(PreprocessError::Empty { width, height });
        }
        let samples = samples::interleaved(image, self.color, &mut buffers.samples);
        let [rows, columns] = self.axes(height, width);
        let channels = self.color.channels();
        let visible =
            buffers.resampler.resample(samples, channels, &columns, &rows, self.interpolation)?;

        let [crop_height, crop_width] = self.size;
        buffers.crop.clear();
        buffers.crop.resize(self.image_len(), 0);
        let planes = buffers.crop.chunks_exact_mut(crop_height * crop_width);
        for (to, from) in planes.zip(visible.chunks_exact(rows.visible() * columns.visible())) {
            let to = to.chunks_exact_mut(crop_width).skip(rows.padding());
            for (to, from) in to.zip(from.chunks_exact(columns.visible())) {
                to[columns.padding()..][..from.len()].copy_from_slice(from);
            }
        }
        Ok(&buffers.crop)
    }

    /// The number of values of one image: `channels * height * width`.
    pub fn image_len(&self) -> usize {
        self.color.channels().saturating_mul(self.size[0]).saturating_mul(self.size[1])
    }

    /// Rows and columns of an image: what they are resized to, and what of that is seen.
    fn axes(&self, height: u32, width: u32) -> [Axis; 2] {
        let scaled = self.size.map(|size| (size as f64 / self.crop_fraction).floor());
        let source = [height, width];
        let resized = match self.resize {
            Resize::Squash => scaled.map(|size| size as u64),
            Resize::ShorterSide => geometry::fit_shorter_side(source, scaled),
        };
        [0, 1].map(|axis| Axis::new(source[axis], resized[axis], self.size[axis]))
    }

    /// Whether these settings are possible; all other functions check this themselves.
    ///
    /// # Errors
    /// [`PreprocessError::Setting`], which says what each can be.
    pub fn check(&self) -> Result<(), PreprocessError> {
        let setting =
            |name, value: String, expected| Err(PreprocessError::Setting { name, value, expected });
        if self.size.iter().any(|&size| size == 0 || size > MAX_SIZE) {
            return setting("size", format!("{:?}", self.size), "1 to 8192 each");
        }
        let fraction = self.crop_fraction;
        let fits = |&size: &usize| (1.0..=MAX_RESIZED).contains(&(size as f64 / fraction));
        if !(fraction > 0.0 && self.size.iter().all(fits)) {
            return setting(
                "crop_fraction",
                fraction.to_string(),
                "size / fraction in 1..=1048576",
            );
        }
        if self.mean.iter().any(|mean| !mean.is_finite()) {
            return setting("mean", format!("{:?}", self.mean), "finite numbers");
        }
        if self.std.iter().any(|std| !std.is_normal()) {
            return setting("std", format!("{:?}", self.std), "finite numbers other than 0");
        }
        Ok(())
    }
}
