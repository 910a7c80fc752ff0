//! What FF-only has in front of its blocks.

use crate::axis::Axes;
use crate::parameters::{Layer, read};
use crate::tokens::{Patches, prepend};
use crate::{Real, add, product, total};

/// A class token, then the patches of an image, with learnt positions: `[batch, tokens, channels]`.
///
/// The positions of patches are stored as a map of any size, which is resized bilinearly to the
/// patches of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding<T> {
    /// Images and patches.
    pub patches: Patches,
    /// Rows and columns of `pos_embed`.
    pub position_grid: [usize; 2],
    /// First of the tokens.
    pub cls_token: Vec<T>,
    /// Patch embedding, `[channels, in_channels, patch, patch]`.
    pub patch_embed: Layer<T>,
    /// Added to the patches, `[channels, rows, columns]`.
    pub pos_embed: Vec<T>,
    /// Added to the class token.
    pub cls_pos_embed: Vec<T>,
}

impl<T> Embedding<T> {
    pub(crate) fn read(
        tensor: &mut impl FnMut(&str, &[usize]) -> Vec<T>,
        patches: Patches,
        position_grid: [usize; 2],
    ) -> Self {
        let (channels, [rows, cols]) = (patches.channels, position_grid);
        Self {
            patches,
            position_grid,
            cls_token: read(tensor, "cls_token", &[1, 1, channels]),
            patch_embed: patches.read(tensor, "patch_embed.proj"),
            pos_embed: read(tensor, "pos_encoding.pos_embed", &[1, channels, rows, cols]),
            cls_pos_embed: read(tensor, "pos_encoding.cls_pos_embed", &[1, 1, channels]),
        }
    }

    /// The tokens of `batch` images, viewed along the tokens.
    pub fn axes(&self, batch: usize) -> Axes {
        let axes = self.patches.axes(batch);
        Axes { axis: total(&[axes.axis, 1]), ..axes }
    }
}

impl<T: Real> Embedding<T> {
    /// The tokens of the images, `[batch, in_channels, height, width]`.
    ///
    /// # Panics
    /// If `images` does not have that size.
    pub fn forward(&self, images: &[T], batch: usize) -> Vec<T> {
        let x = self.patches.embed(images, batch, &self.patch_embed);
        let mut x = prepend(&[&self.cls_token], &x, self.patches.axes(batch));
        add(&mut x, &self.positions().repeat(batch));
        x
    }

    /// What is added to the tokens of an image, `[tokens, channels]`.
    fn positions(&self) -> Vec<T> {
        let (channels, grid) = (self.patches.channels, self.patches.grid());
        let maps = resize_bilinear(&self.pos_embed, channels, self.position_grid, grid);
        let pixels = product(&grid);
        let mut positions = self.cls_pos_embed.clone();
        for s in 0..pixels {
            positions.extend((0..channels).map(|c| maps[c * pixels + s]));
        }
        positions
    }
}

/// Maps `[channels, from]` to `[channels, to]`, as PyTorch's `interpolate` does with
/// `mode="bilinear", align_corners=False`: pixel `i` of an axis of `m` is the value at
/// `max((i + ½)·n/m − ½, 0)` of the `n` pixels it is made of, on the line between the two nearest,
/// and that of the last pixel beyond it. Half as many pixels are the means of 2 × 2.
///
/// # Panics
/// If `x` does not have its size, or there is nothing to resize.
pub fn resize_bilinear<T: Real>(
    x: &[T],
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
) -> Vec<T> {
    assert_eq!(x.len(), product(&[channels, from[0], from[1]]), "{channels} maps of {from:?}");
    // The two nearest pixels, and how far from the first to the second.
    let between = |d: usize, i: usize| {
        let at = ((i as f64 + 0.5) * from[d] as f64 / to[d] as f64 - 0.5).max(0.0);
        let first = (at as usize).min(from[d] - 1);
        (first, (first + 1).min(from[d] - 1), T::of(at - first as f64))
    };
    let mix = |a: T, b: T, t: T| (T::one() - t) * a + t * b;
    let mut y = Vec::with_capacity(product(&[channels, to[0], to[1]]));
    for c in 0..channels {
        let at = |row: usize, col: usize| x[(c * from[0] + row) * from[1] + col];
        for row in 0..to[0] {
            let (above, below, down) = between(0, row);
            for col in 0..to[1] {
                let (left, right, across) = between(1, col);
                let upper = mix(at(above, left), at(above, right), across);
                let lower = mix(at(below, left), at(below, right), across);
                y.push(mix(upper, lower, down));
            }
        }
    }
    y
}
