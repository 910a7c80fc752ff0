//! What loading asks of the sizes of a RepMLPNet.

use mixfold_gemm::Activation;
use mixfold_simd::Isa;

use super::{RepMlpNet, RepMlpNetConfig, RepMlpNetStage, names};
use crate::architecture::{Architecture, Stored, check_classes};
use crate::config::Form;
use crate::network::Network;
use crate::tokens::Names;
use crate::weights::{Weights, check_blocks, compare};
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

    fn find<'a>(&self, file: &'a mut Checkpoint, model: &str) -> Result<Stored<'a>, ModelError> {
        RepMlpNetConfig::check(self)?;
        let units = self.stages.iter().fold(0, |sum: usize, stage| sum.saturating_add(stage.depth));
        check_blocks(file, units)?;
        let (form, classes) = (names::form(file), names::classes(file).unwrap_or(1000));
        check_classes(file, classes)?;
        let specs = names::specs(self, classes, form);
        let weights = Weights::find(file, model, specs, false)?;
        Ok(Stored { weights, form, names: Names::Usual })
    }

    fn compare(&self, file: &Checkpoint, model: &str) -> Result<usize, ModelError> {
        let (form, classes) = (names::form(file), names::classes(file).unwrap_or(1000));
        let specs = names::specs(self, classes, form);
        compare(file, &specs, false).into_result(file, model)?;
        Ok(classes)
    }

    fn check(&self, classes: usize) -> Result<(), ModelError> {
        RepMlpNetConfig::check(self)?;
        match classes {
            0 => Err(ModelError::Config("a head without classes".to_owned())),
            _ => Ok(()),
        }
    }

    fn random(&self, classes: usize, form: Form, seed: u64) -> Stored<'static> {
        let weights = Weights::random(names::specs(self, classes, form), seed);
        Stored { weights, form, names: Names::Usual }
    }

    fn load(
        &self,
        stored: Stored<'_>,
        form: Form,
        gelu: Activation,
        isa: Isa,
    ) -> Result<Box<dyn Network>, ModelError> {
        Ok(Box::new(RepMlpNet::load(self.clone(), stored, form, gelu, isa)?))
    }
}
