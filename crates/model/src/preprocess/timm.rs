//! timm's `config.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Color, Interpolation, Preprocess, Resize};
use crate::labels;

/// What timm's `config.json` says of a model: the hub's form, with the settings under
/// `pretrained_cfg`, or a flat one. What it does not say is `None`; unknown keys are ignored.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TimmConfig {
    /// timm's name for the model, such as `mixer_b16_224`.
    pub architecture: Option<String>,
    /// The number of classes; 0 for a model without a head.
    pub num_classes: Option<usize>,
    /// The names of the classes, in order.
    pub label_names: Option<Vec<String>>,
    /// Channels of the input.
    pub color: Option<Color>,
    /// Height and width of the input.
    pub size: Option<[usize; 2]>,
    /// From `crop_mode`.
    pub resize: Option<Resize>,
    /// From `crop_pct`.
    pub crop_fraction: Option<f64>,
    /// The resizing filter.
    pub interpolation: Option<Interpolation>,
    /// One value per channel, or one for all.
    pub mean: Option<Vec<f32>>,
    /// One value per channel, or one for all.
    pub std: Option<Vec<f32>>,
}

/// Why a `config.json` could not be understood.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The text is not JSON.
    #[error("{path}: {source}")]
    Json {
        /// The file, or `config.json` for a text.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A setting is of the wrong type, or has a value that is not supported.
    #[error("{path}: `{key}` is {found}, expected {expected}")]
    Setting {
        /// The file, or `config.json` for a text.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// What it is, shortened.
        found: String,
        /// What it can be.
        expected: &'static str,
    },
}

impl TimmConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        understand(&load(path)?, path)
    }

    /// Reads the file if it is about the model called `name` (a tag may follow, as in
    /// `mixer_b16_224.goog_in21k_ft_in1k`). Of other models it may say what it likes.
    ///
    /// # Errors
    /// The file cannot be read, is no JSON, or is about this model and cannot be understood.
    pub(crate) fn read_for(name: &str, path: &Path) -> Result<Option<Self>, ConfigError> {
        let root = load(path)?;
        let names = [root.get("architecture"), root.pointer("/pretrained_cfg/architecture")];
        let full = names.into_iter().flatten().find_map(Value::as_str);
        let tag = full.and_then(|full| full.strip_prefix(name));
        match tag.is_some_and(|tag| tag.is_empty() || tag.starts_with('.')) {
            true => understand(&root, path).map(Some),
            false => Ok(None),
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// The text is not JSON, or a setting has the wrong type or a value that is not supported.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let path = Path::new("config.json");
        understand(&parse(json, path)?, path)
    }

    /// `base` with the settings given here in place of its own. If mean or standard deviation have
    /// another number of channels than the input, their average is used, as timm does.
    pub fn preprocess(&self, base: Preprocess) -> Preprocess {
        let color = self.color.unwrap_or(base.color);
        let per_channel = |own: &Option<Vec<f32>>, base: [f32; 3]| {
            let values = own.as_deref().unwrap_or(&base);
            match (values, color) {
                (&[r, g, b], Color::Rgb) => [r, g, b],
                _ => {
                    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                    [(sum / values.len() as f64) as f32; 3]
                }
            }
        };
        Preprocess {
            size: self.size.unwrap_or(base.size),
            color,
            resize: self.resize.unwrap_or(base.resize),
            crop_fraction: self.crop_fraction.unwrap_or(base.crop_fraction),
            interpolation: self.interpolation.unwrap_or(base.interpolation),
            mean: per_channel(&self.mean, base.mean),
            std: per_channel(&self.std, base.std),
        }
    }
}

fn load(path: &Path) -> Result<Value, ConfigError> {
    let json =
        fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.into(), source })?;
    parse(&json, path)
}

fn parse(json: &str, path: &Path) -> Result<Value, ConfigError> {
    serde_json::from_str(json).map_err(|source| ConfigError::Json { path: path.into(), source })
}

fn understand(root: &Value, path: &Path) -> Result<TimmConfig, ConfigError> {
    let wrong = |key, value: &Value, expected| {
        let found = value.to_string().chars().take(60).collect();
        ConfigError::Setting { path: path.into(), key, found, expected }
    };
    let root = root.as_object().ok_or_else(|| wrong("(root)", root, "an object"))?;
    let inner = match present(root, "pretrained_cfg") {
        Some(value) => {
            value.as_object().ok_or_else(|| wrong("pretrained_cfg", value, "an object"))?
        }
        None => root,
    };
    let settings = Settings { root, inner, wrong: &wrong };
    let input = settings.input_size()?;
    Ok(TimmConfig {
        architecture: settings
            .read("architecture", "a name", |value| Some(value.as_str()?.to_owned()))?,
        num_classes: settings.read("num_classes", "a number of classes", natural)?,
        label_names: match settings.read("label_names", LABELS, labels::from_json)? {
            None => settings.read("labels", LABELS, labels::from_json)?,
            names => names,
        },
        color: input.map(|(color, _)| color),
        size: input.map(|(_, size)| size),
        resize: settings.read("crop_mode", "\"center\" or \"squash\"", |value| {
            match value.as_str()? {
                "center" => Some(Resize::ShorterSide),
                "squash" => Some(Resize::Squash),
                _ => None,
            }
        })?,
        crop_fraction: settings.read("crop_pct", "a number above 0", |value| {
            value.as_f64().filter(|&fraction| fraction > 0.0)
        })?,
        interpolation: settings.read("interpolation", "\"bicubic\" or \"bilinear\"", |value| {
            match value.as_str()? {
                "bicubic" => Some(Interpolation::Bicubic),
                "bilinear" => Some(Interpolation::Bilinear),
                _ => None,
            }
        })?,
        mean: settings.read("mean", "one or three numbers", numbers)?,
        std: settings.read("std", "one or three numbers other than 0", |value| {
            numbers(value).filter(|std| std.iter().all(|std| std.is_normal()))
        })?,
    })
}

const LABELS: &str = "a list of names, or an object of names by class number from 0 without gaps";

struct Settings<'a, F> {
    root: &'a Map<String, Value>,
    inner: &'a Map<String, Value>,
    wrong: &'a F,
}

impl<F: Fn(&'static str, &Value, &'static str) -> ConfigError> Settings<'_, F> {
    /// A setting at the root, else under `pretrained_cfg`, else `None`.
    fn read<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        present(self.root, key)
            .or_else(|| present(self.inner, key))
            .map(|value| convert(value).ok_or_else(|| (self.wrong)(key, value, expected)))
            .transpose()
    }

    fn input_size(&self) -> Result<Option<(Color, [usize; 2])>, ConfigError> {
        self.read("input_size", "[1 or 3, height, width]", |value| {
            let [channels, height, width] = value.as_array()?.as_slice() else { return None };
            let color = match natural(channels)? {
                1 => Color::Grey,
                3 => Color::Rgb,
                _ => return None,
            };
            Some((color, [natural(height)?, natural(width)?]))
        })
    }
}

/// A key's value, unless it is absent or null.
fn present<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|value| !value.is_null())
}

fn natural(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| {
        value.as_f64().map(|number| number as f32).filter(|number| number.is_finite())
    };
    let values: Vec<f32> = match value {
        Value::Array(values) => values.iter().map(number).collect::<Option<_>>()?,
        single => vec![number(single)?],
    };
    matches!(values.len(), 1 | 3).then_some(values)
}
