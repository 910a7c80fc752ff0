//! Which model a command uses.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mixfold_gemm::Context;
use mixfold_model::{Form, Gelu, Loader, Model, registry};

use crate::error::CliError;

/// A model by name, by its weights, or by both.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Model, see `mixfold models` [default: told from the weights; without weights, mixer_fashion]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights: safetensors with timm's names (RepMLPNet: the official ones), or npz with the official
    /// Flax names
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// GELU to compute [default: erf for timm's weights, tanh for Flax's]
    #[arg(long, value_name = "WHICH")]
    gelu: Option<GeluArg>,

    /// Form to run a RepMLPNet in: deploy folds the convolutions of weights in train form when they
    /// are loaded, train keeps them [default: deploy]
    #[arg(long, value_name = "FORM")]
    form: Option<FormArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    Train,
    Deploy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GeluArg {
    Erf,
    Tanh,
}

impl ModelArgs {
    /// Loads the model with its weights.
    pub(crate) fn load(&self, ctx: &Context) -> Result<Model, CliError> {
        self.load_or(ctx, |_, name| {
            Err(CliError::Usage(format!(
                "{name} needs --weights FILE: they are not part of the program"
            )))
        })
    }

    /// Loads the model, with random weights if it is named and has none.
    pub(crate) fn load_or_random(&self, ctx: &Context) -> Result<Model, CliError> {
        self.load_or(ctx, |loader, name| Ok(loader.random(name, 0)?))
    }

    fn load_or(
        &self,
        ctx: &Context,
        without_weights: impl FnOnce(&Loader, &str) -> Result<Model, CliError>,
    ) -> Result<Model, CliError> {
        let mut loader = Loader::new().context(ctx.clone());
        if let Some(gelu) = self.gelu {
            loader = loader.gelu(match gelu {
                GeluArg::Erf => Gelu::Erf,
                GeluArg::Tanh => Gelu::Tanh,
            });
        }
        if let Some(form) = self.form {
            loader = loader.form(match form {
                FormArg::Train => Form::Train,
                FormArg::Deploy => Form::Deploy,
            });
        }
        let model = match (self.model.as_deref(), &self.weights) {
            (Some(name), Some(weights)) => loader.load(name, weights).map_err(CliError::from),
            (None, Some(weights)) => Ok(loader.detect(weights)?),
            (name, None) => {
                let name = name.unwrap_or(registry::DEFAULT);
                match registry::model(name) {
                    Some(info) if !info.is_embedded() => without_weights(&loader, name),
                    _ => Ok(loader.embedded(name)?),
                }
            }
        }?;
        match self.form {
            Some(_) if model.form().is_none() => {
                Err(CliError::Usage(format!("--form: {} has one form only", model.name())))
            }
            _ => Ok(model),
        }
    }
}
