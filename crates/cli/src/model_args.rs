//! Which model a command uses.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mixfold_gemm::Context;
use mixfold_model::{Checkpoint, Form, Gelu, Loader, Model, detect, registry};

use crate::error::CliError;

/// A model by name, by its weights, or by both.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Model, see `mixfold models` [default: told from the weights; without weights, mixer_fashion]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights: safetensors or a PyTorch state dict with timm's names (RepMLPNet, RepMLP and its ResNet-50,
    /// FF-only: the official ones; ResMLP: either), or npz with the official Flax names of a Mixer or ViT
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// GELU to compute [default: what the weights' metadata say, else erf for timm's names, tanh for
    /// Flax's]
    #[arg(long, value_name = "WHICH")]
    gelu: Option<GeluArg>,

    /// Form to run a RepMLPNet or RepMLP in: deploy has its convolutions folded in, of weights in train form when
    /// they are loaded; train keeps them [default: deploy]
    #[arg(long, value_name = "FORM")]
    form: Option<FormArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormArg {
    Train,
    Deploy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GeluArg {
    Erf,
    Tanh,
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Self {
        match form {
            FormArg::Train => Form::Train,
            FormArg::Deploy => Form::Deploy,
        }
    }
}

impl ModelArgs {
    /// The model of this name, with these weights if there are any, in this form if one is asked for.
    pub(crate) fn named(name: &str, weights: Option<&Path>, form: Option<FormArg>) -> Self {
        let weights = weights.map(Path::to_owned);
        ModelArgs { model: Some(name.to_owned()), weights, gelu: None, form }
    }

    /// The file of the weights, if there is one.
    pub(crate) fn weights(&self) -> Option<&Path> {
        self.weights.as_deref()
    }

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
        self.check_form()?;
        let mut loader = Loader::new().context(ctx.clone());
        if let Some(gelu) = self.gelu {
            loader = loader.gelu(match gelu {
                GeluArg::Erf => Gelu::Erf,
                GeluArg::Tanh => Gelu::Tanh,
            });
        }
        if let Some(form) = self.form {
            loader = loader.form(form.into());
        }
        match (self.model.as_deref(), &self.weights) {
            (name, Some(weights)) => match name {
                Some(name) => loader.load(name, weights),
                None => loader.detect(weights),
            }
            .map_err(|error| CliError::of_weights(weights, error)),
            (name, None) => {
                let name = name.unwrap_or(registry::DEFAULT);
                match registry::model(name) {
                    Some(info) if !info.is_embedded() => without_weights(&loader, name),
                    _ => Ok(loader.embedded(name)?),
                }
            }
        }
    }

    /// That a form is asked for of a model that has two, before anything is loaded.
    fn check_form(&self) -> Result<(), CliError> {
        if self.form.is_none() {
            return Ok(());
        }
        let info = match (self.model.as_deref(), &self.weights) {
            (None, Some(weights)) => Some(detect(&Checkpoint::open(weights)?)?),
            (name, _) => registry::model(name.unwrap_or(registry::DEFAULT)).cloned(),
        };
        match info {
            Some(info) if info.config.forms().is_empty() => {
                Err(CliError::Usage(format!("{} has one form only; leave --form out", info.name)))
            }
            _ => Ok(()),
        }
    }
}
