//! How images are prepared, where that shall differ from what the model asks for.

use clap::{Args, ValueEnum};
use mixfold_model::preprocess::Interpolation;
use mixfold_model::{Model, PreprocessError};

use crate::error::CliError;

/// Changes to a model's preprocessing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Preprocessing (default: the model's own)")]
pub(crate) struct PreprocessArgs {
    /// The centre crop's part of the resized image, such as 0.875
    #[arg(long, value_name = "FRACTION")]
    crop: Option<f64>,

    /// Filter to resize with
    #[arg(long, value_name = "FILTER")]
    interpolation: Option<InterpolationArg>,

    /// Mean of the channels, of values from 0 to 1: one number for all, or R,G,B
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,

    /// Standard deviation of the channels: one number for all, or R,G,B
    #[arg(long, value_delimiter = ',', num_args = 1)]
    std: Option<Vec<f32>>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InterpolationArg {
    Bicubic,
    Bilinear,
}

impl PreprocessArgs {
    /// Changes the model's preprocessing.
    pub(crate) fn apply(&self, model: &mut Model) -> Result<(), CliError> {
        let [channels, ..] = model.input();
        let preprocess = model.preprocess_mut();
        if let Some(crop) = self.crop {
            preprocess.crop_fraction = crop;
        }
        if let Some(interpolation) = self.interpolation {
            preprocess.interpolation = match interpolation {
                InterpolationArg::Bicubic => Interpolation::Bicubic,
                InterpolationArg::Bilinear => Interpolation::Bilinear,
            };
        }
        if let Some(mean) = &self.mean {
            preprocess.mean = per_channel("--mean", mean, channels)?;
        }
        if let Some(std) = &self.std {
            preprocess.std = per_channel("--std", std, channels)?;
        }
        preprocess.check().map_err(|error| match error {
            PreprocessError::Setting { name, value, expected } => {
                let option = if name == "crop_fraction" { "crop" } else { name };
                CliError::Usage(format!("--{option} is {value}, expected {expected}"))
            }
            other => other.into(),
        })
    }
}

fn per_channel(option: &str, values: &[f32], channels: usize) -> Result<[f32; 3], CliError> {
    match *values {
        [all] => Ok([all; 3]),
        [r, g, b] if channels == 3 => Ok([r, g, b]),
        _ => Err(CliError::Usage(format!(
            "{option} has {} values; give one for all channels{}",
            values.len(),
            if channels == 3 { ", or three" } else { "" }
        ))),
    }
}
