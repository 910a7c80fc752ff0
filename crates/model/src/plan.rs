//! A model, a batch size and all the memory that they need together.

use mixfold_gemm::{Context, MatMut, par_rows};

use crate::network::{Layer, Workspace};
use crate::{Logits, Model, ModelError};

/// Rows of the large products that a task should have: with fewer, images are taken together.
const ROWS: usize = 196;

/// A model made ready for a batch size, with all memory allocated: [`run`](Self::run) allocates
/// nothing.
///
/// Images go through the whole model one after the other (or few at a time, where they have few
/// tokens), so that their activations stay in the cache. As many of them as there are threads go at
/// once; what is left over is shared by all threads. Logits do not depend on the batch size, the
/// position in the batch or the number of threads, bit for bit.
///
/// A pool may allocate on its own account: rayon's queue does so once for every 63 calls by threads
/// that are not rayon's.
#[derive(Debug)]
pub struct Plan<'m> {
    model: &'m Model,
    batch: usize,
    /// Images that go through the model together.
    group: usize,
    /// Images whose groups go at once, one to a thread. Those behind them have all threads to
    /// themselves, one group after the other.
    split: usize,
    /// For each thread, if there are images before `split`.
    own: Vec<Workspace>,
    /// If there are images behind `split`.
    shared: Option<Workspace>,
    sequential: Context,
}

impl<'m> Plan<'m> {
    pub(crate) fn new(model: &'m Model, batch: usize) -> Result<Self, ModelError> {
        let network = model.network();
        let group = ROWS.div_ceil(network.rows().max(1)).clamp(1, batch.max(1));
        let (ctx, sequential) = (model.context(), model.context().sequential());
        let (workers, groups) = (ctx.workers(), batch.div_ceil(group));
        let at_once = groups - groups % workers;
        let split = at_once.saturating_mul(group).min(batch);
        let own = (0..workers.min(at_once)).map(|_| network.workspace(group, &sequential));
        let own = own.collect::<Result<_, _>>()?;
        let shared = (split < batch).then(|| network.workspace(group, ctx)).transpose()?;
        Ok(Plan { model, batch, group, split, own, shared, sequential })
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes of memory for activations and scratch.
    pub fn bytes(&self) -> usize {
        self.shared.iter().chain(&self.own).map(Workspace::bytes).sum()
    }

    /// Computes the logits `[batch, classes]` of `images` `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// If one of the slices has another length; nothing has been written then.
    pub fn run(&mut self, images: &[f32], logits: &mut [f32]) -> Result<(), ModelError> {
        self.check(images, logits)?;
        if self.batch == 0 {
            return Ok(());
        }
        let (group, split, sequential) = (self.group, self.split, &self.sequential);
        let (network, ctx) = (self.model.network(), self.model.context());
        let (image, classes) = (images.len() / self.batch, network.classes());
        let (first, rest) = logits.split_at_mut(split * classes);
        if split > 0 {
            let first = MatMut::row_major(first, split, classes)?;
            par_rows(ctx.pool(), first, group, &mut self.own, |workspace, at, logits| {
                let count = logits.rows();
                let images = &images[at.row * image..][..count * image];
                let logits = logits.into_slice().unwrap_or_default();
                network
                    .forward(images, logits, count, workspace, sequential, &mut |_, _, _| {})
                    .expect("the plan has been checked");
            })?;
        }
        if let Some(shared) = &mut self.shared {
            let images = images[split * image..].chunks(group * image);
            for (images, logits) in images.zip(rest.chunks_mut(group * classes)) {
                let count = logits.len() / classes;
                network.forward(images, logits, count, shared, ctx, &mut |_, _, _| {})?;
            }
        }
        Ok(())
    }

    /// Like [`run`](Self::run), and calls `observe(layer, first, shape, values)` after every layer
    /// of every group of images, where `first` is the number of the group's first image, and the
    /// activations have `shape`, beginning with the images of the group. The layers run on all
    /// threads, one after the other.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_observed(
        &mut self,
        images: &[f32],
        logits: &mut [f32],
        mut observe: impl FnMut(Layer, usize, &[usize], &[f32]),
    ) -> Result<(), ModelError> {
        self.check(images, logits)?;
        if self.batch == 0 {
            return Ok(());
        }
        let (network, ctx, group) = (self.model.network(), self.model.context(), self.group);
        let (image, classes) = (images.len() / self.batch, network.classes());
        if self.shared.is_none() {
            self.shared = Some(network.workspace(group, ctx)?);
        }
        let Some(workspace) = &mut self.shared else { return Ok(()) };
        for first in (0..self.batch).step_by(group) {
            let count = group.min(self.batch - first);
            let images = &images[first * image..][..count * image];
            let logits = &mut logits[first * classes..][..count * classes];
            let mut observe =
                |layer, shape: &[usize], values: &[f32]| observe(layer, first, shape, values);
            network.forward(images, logits, count, workspace, ctx, &mut observe)?;
        }
        Ok(())
    }

    fn check(&self, images: &[f32], logits: &[f32]) -> Result<(), ModelError> {
        let [channels, height, width] = self.model.input();
        let image = [self.batch, channels, height, width];
        let image = image.iter().try_fold(1_usize, |len, &n| len.checked_mul(n));
        let expected = image.unwrap_or(usize::MAX);
        if images.len() != expected {
            return Err(ModelError::Length { what: "images", expected, found: images.len() });
        }
        let expected = self.batch.saturating_mul(self.model.classes());
        if logits.len() != expected {
            return Err(ModelError::Length { what: "logits", expected, found: logits.len() });
        }
        Ok(())
    }
}

impl Model {
    /// The logits of `images`, with memory allocated for this one call. Use a [`Plan`] for many.
    ///
    /// # Errors
    /// If the images are not of the model's size.
    pub fn forward(&self, images: &crate::Images) -> Result<Logits, ModelError> {
        let [batch, ..] = images.shape();
        self.check_input(&images.shape())?;
        let mut values = vec![0.0; batch.saturating_mul(self.classes())];
        self.plan(batch)?.run(images.values(), &mut values)?;
        Ok(Logits::new(self.classes(), values))
    }
}
