//! Any number of images through a model.

use mixfold_model::{Model, ModelError, Plan};

/// A model with the plan of the last batch size. Batches of the same size allocate nothing.
#[derive(Debug)]
pub(crate) struct Batches<'m> {
    model: &'m Model,
    plan: Option<Plan<'m>>,
    logits: Vec<f32>,
}

impl<'m> Batches<'m> {
    pub(crate) fn new(model: &'m Model) -> Self {
        Batches { model, plan: None, logits: Vec::new() }
    }

    /// Values of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.model.input().iter().product()
    }

    /// The plan for `batch` images, and room for their logits.
    pub(crate) fn plan(&mut self, batch: usize) -> Result<(&mut Plan<'m>, &mut [f32]), ModelError> {
        self.logits.resize(batch.saturating_mul(self.model.classes()), 0.0);
        let plan = match self.plan.take().filter(|plan| plan.batch() == batch) {
            Some(plan) => plan,
            None => self.model.plan(batch)?,
        };
        Ok((self.plan.insert(plan), &mut self.logits))
    }

    /// The logits `[batch, classes]` of as many images as there are.
    pub(crate) fn run(&mut self, images: &[f32]) -> Result<&[f32], ModelError> {
        let batch = images.len() / self.image_len().max(1);
        let (plan, logits) = self.plan(batch)?;
        plan.run(images, logits)?;
        Ok(logits)
    }
}
