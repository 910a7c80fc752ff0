//! What loading asks of the sizes of a ResNet.

use mixfold_gemm::{Activation, Packer};

use super::net::ResNet;
use super::{RepMlpPlace, ResNetConfig, ResNetRepMlp, ResNetStage, fold, names};
use crate::architecture::{Architecture, Kind, Stored};
use crate::config::Form;
use crate::folding::Folding;
use crate::network::Network;
use crate::repmlp::Fc3Sizes;
use crate::tokens::Names;
use crate::weights::Spec;
use crate::{Checkpoint, ModelError, RepMlpBlockConfig};

impl Architecture for ResNetConfig {
    fn family(&self) -> &'static str {
        if self.stages.iter().any(|stage| stage.repmlp.is_some()) { "RepMLP" } else { "ResNet" }
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
        ResNetConfig::parameters(self, classes, form)
    }

    fn macs(&self, classes: usize, form: Form) -> u64 {
        ResNetConfig::macs(self, classes, form)
    }

    fn describe(&self) -> String {
        let ResNetConfig { image: [height, width], image_channels, stem, .. } = self;
        let stages = self.stages.iter().map(|stage| {
            let ResNetStage { channels, depth, repmlp } = stage;
            format!("{depth} blocks of {channels} channels{}", with_repmlp(*repmlp))
        });
        let stages = stages.collect::<Vec<_>>().join(", ");
        let kernels = match &self.kernels[..] {
            [] => String::new(),
            kernels => format!("; kernels {kernels:?}"),
        };
        format!(
            "a ResNet for images of {image_channels} x {height} x {width} with {stem} channels in front of \
             {stages}{kernels}"
        )
    }

    fn check(&self) -> Result<(), ModelError> {
        ResNetConfig::check(self)
    }

    fn blocks(&self) -> usize {
        self.stages.iter().fold(0, |sum: usize, stage| sum.saturating_add(stage.depth))
    }

    fn stem(&self) -> &'static str {
        "stage0.0.conv"
    }

    fn fc3s(&self) -> Vec<Fc3Sizes> {
        let fc3 = |(name, repmlp): (String, RepMlpBlockConfig)| repmlp.fc3(&format!("{name}."));
        fold::repmlps(self).into_iter().map(fc3).collect()
    }

    fn kind(&self, file: &Checkpoint) -> Kind {
        let head = file.entry(&format!("{}.bias", names::HEAD));
        let classes = head.map_or(1000, |bias| bias.elements());
        Kind { names: Names::Usual, form: names::form(file), classes }
    }

    fn specs(&self, kind: Kind) -> Vec<Spec> {
        names::specs(self, kind.classes, kind.form)
    }

    fn load(
        &self,
        stored: Stored<'_>,
        form: Form,
        _: Activation,
        packer: Packer<'_>,
    ) -> Result<Box<dyn Network>, ModelError> {
        Ok(Box::new(ResNet::load(self.clone(), stored, form, packer)?))
    }
}

fn with_repmlp(repmlp: Option<ResNetRepMlp>) -> String {
    let Some(ResNetRepMlp { place, reduction, partition: [height, width], groups }) = repmlp else {
        return String::new();
    };
    let place = match place {
        RepMlpPlace::Light => "light",
        RepMlpPlace::Bottleneck => "bottleneck",
    };
    format!(
        " with {place} RepMLPs (reduced {reduction} times, partitions of {height} x {width}, {groups} \
         groups)"
    )
}
