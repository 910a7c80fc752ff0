//! What loading asks of the sizes of a RepMLPNet.

use mixfold_gemm::{Activation, Packer};

use super::{Fc3Sizes, RepMlpNet, RepMlpNetConfig, RepMlpNetStage, fold, names};
use crate::architecture::{Architecture, Kind, Stored};
use crate::config::Form;
use crate::folding::Folding;
use crate::layer_weights::TokenLayer;
use crate::network::Network;
use crate::tokens::Names;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError};

impl Architecture for RepMlpNetConfig {
    fn family(&self) -> &'static str {
        "RepMLPNet"
    }

    fn input(&self) -> [usize; 3] {
        let [height, width] = self.image;
        [self.image_channels, height, width]
    }

    fn forms(&self) -> &'static [Form] {
        &[Form::Train, Form::Deploy]
    }

    fn folding(&self) -> Option<&dyn Folding> {
        Some(self)
    }

    fn parameters(&self, classes: usize, form: Form) -> u64 {
        RepMlpNetConfig::parameters(self, classes, form)
    }

    fn macs(&self, classes: usize, form: Form) -> u64 {
        RepMlpNetConfig::macs(self, classes, form)
    }

    fn describe(&self) -> String {
        let RepMlpNetConfig { image: [height, width], image_channels, patch, .. } = self;
        let stages = self.stages.iter().map(|stage| {
            let RepMlpNetStage { channels, depth, share_sets } = stage;
            format!("{depth} units of {channels} channels in {share_sets} share-sets")
        });
        let stages = stages.collect::<Vec<_>>().join(", ");
        let kernels = match &self.kernels[..] {
            [] => String::new(),
            kernels => format!("kernels {kernels:?}, "),
        };
        format!(
            "a RepMLPNet for images of {image_channels} x {height} x {width} in patches of {patch} \
             with stages of {stages}; {kernels}gates reduced {} times, perceptrons expanded {} times",
            self.gate_reduction, self.ffn_expansion
        )
    }

    fn check(&self) -> Result<(), ModelError> {
        RepMlpNetConfig::check(self)
    }

    fn blocks(&self) -> usize {
        self.stages.iter().fold(0, |sum: usize, stage| sum.saturating_add(stage.depth))
    }

    fn stem(&self) -> &'static str {
        "conv_embedding.conv"
    }

    fn token_layers(&self) -> Vec<TokenLayer> {
        self.fc3s().into_iter().map(TokenLayer::Fc3).collect()
    }

    fn fc3s(&self) -> Vec<Fc3Sizes> {
        fold::blocks(self).map(|(block, stage)| self.fc3(&block, stage)).collect()
    }

    fn kind(&self, file: &Checkpoint) -> Kind {
        let (form, classes) = (names::form(file), names::classes(file).unwrap_or(1000));
        Kind { names: Names::Usual, form, classes }
    }

    fn specs(&self, kind: Kind) -> Vec<Spec> {
        names::specs(self, kind.classes, kind.form)
    }

    fn load(
        &self,
        stored: Stored<'_>,
        form: Form,
        gelu: Activation,
        packer: Packer<'_>,
    ) -> Result<Box<dyn Network>, ModelError> {
        Ok(Box::new(RepMlpNet::load(self.clone(), stored, form, gelu, packer)?))
    }
}
