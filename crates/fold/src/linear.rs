//! Folding into a matrix and its bias, in place.

use num_traits::Float;

use crate::band::Band;
use crate::number::{round, wide};
use crate::{Affine, FoldError, Geometry, Kernel};

/// A linear layer to fold into, `y = W·x + b`: fully connected, or a convolution, whose kernel
/// `[out, in / groups, height, width]` is a matrix of as many rows as output channels.
///
/// Each number is computed in `f64` and rounded once. Nothing but O(rows + columns) is allocated.
#[derive(Debug)]
pub struct LinearMut<'a, T> {
    weight: &'a mut [T],
    bias: &'a mut [T],
    cols: usize,
}

impl<'a, T: Float> LinearMut<'a, T> {
    /// A row-major weight with as many rows as there are biases. For a layer without bias, give it
    /// one of zeros: a fold needs a place for what it adds.
    ///
    /// # Errors
    /// [`FoldError::Ragged`] if they do not divide the weight.
    pub fn new(weight: &'a mut [T], bias: &'a mut [T]) -> Result<Self, FoldError> {
        let (rows, elements) = (bias.len(), weight.len());
        match elements.checked_div(rows) {
            Some(cols) if cols * rows == elements => Ok(LinearMut { weight, bias, cols }),
            None if elements == 0 => Ok(LinearMut { weight, bias, cols: 0 }),
            _ => Err(FoldError::Ragged { rows, elements }),
        }
    }

    /// Rows of the weight.
    pub fn rows(&self) -> usize {
        self.bias.len()
    }

    /// Columns of the weight.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Folds an affine map of the outputs, `s·(W·x + b) + t`: a batch norm behind the layer.
    ///
    /// `W'[r, :] = s[r]·W[r, :]`, `b'[r] = s[r]·b[r] + t[r]`. If the map has fewer channels than the
    /// layer has rows, each stands for as many consecutive rows, as in a batch norm of a map behind a
    /// layer that makes the map.
    ///
    /// # Errors
    /// [`FoldError::Share`] if the channels do not divide the rows.
    pub fn followed_by(&mut self, after: &Affine) -> Result<(), FoldError> {
        let shared = share("rows", self.rows(), after.channels())?;
        for (r, (row, bias)) in self.rows_mut().enumerate() {
            let (scale, shift) = (after.scale()[r / shared], after.shift()[r / shared]);
            scale_all(row, scale);
            *bias = round(wide(*bias) * scale + shift);
        }
        Ok(())
    }

    /// Folds an affine map of the inputs, `W·(s·x + t) + b`: a batch norm in front of the layer.
    ///
    /// `W'[:, k] = W[:, k]·s[k]`, `b' = b + Σ W[:, k]·t[k]`, with the sum in the order of k. If the
    /// map has fewer channels than the layer has columns, each stands for as many consecutive
    /// columns: inputs `[channels, height, width]` as one vector, or the kernel of an ungrouped
    /// convolution. A convolution must not be padded: the map in front would shift its zeros too.
    ///
    /// # Errors
    /// [`FoldError::Share`] if the channels do not divide the columns.
    pub fn preceded_by(&mut self, before: &Affine) -> Result<(), FoldError> {
        self.columns(before, |_| (1.0, 0.0))
    }

    /// Folds an affine map of the inputs and one of the outputs, `s'·(W·(s·x + t) + b) + t'`, with one
    /// rounding for both.
    ///
    /// # Errors
    /// Those of [`preceded_by`](Self::preceded_by) and [`followed_by`](Self::followed_by).
    pub fn between(&mut self, before: &Affine, after: &Affine) -> Result<(), FoldError> {
        let shared = share("rows", self.rows(), after.channels())?;
        self.columns(before, |r| (after.scale()[r / shared], after.shift()[r / shared]))
    }

    fn columns(
        &mut self,
        before: &Affine,
        after: impl Fn(usize) -> (f64, f64),
    ) -> Result<(), FoldError> {
        let shared = share("columns", self.cols, before.channels())?;
        let spread = |values: &[f64]| -> Vec<f64> {
            values.iter().flat_map(|&value| core::iter::repeat_n(value, shared)).collect()
        };
        let (scales, shifts) = (spread(before.scale()), spread(before.shift()));
        for (r, (row, bias)) in self.rows_mut().enumerate() {
            let (scale, shift) = after(r);
            let mut sum = wide(*bias);
            for (weight, t) in row.iter().zip(&shifts) {
                sum += wide(*weight) * t;
            }
            *bias = round(sum * scale + shift);
            for (weight, s) in row.iter_mut().zip(&scales) {
                *weight = round(wide(*weight) * s * scale);
            }
        }
        Ok(())
    }

    /// Folds a convolution beside the layer, `s·(W·x + b) + t + conv(x)`: RepMLP's local perceptron
    /// and the batch norm of its fully connected layer.
    ///
    /// `W' = round(s·W + W_F)`, `b' = round(s·b + t + b_F)`, with `W_F` and `b_F` of
    /// [`conv_to_fc`](crate::conv_to_fc). One pass over the weight; the matrix `W_F` is never made.
    ///
    /// # Errors
    /// Those of [`Geometry::fc_shape`]; [`FoldError::Matrix`] if the layer does not have that shape;
    /// [`FoldError::Share`] as [`followed_by`](Self::followed_by).
    pub fn add_conv(
        &mut self,
        after: Option<&Affine>,
        kernel: &Kernel,
        geometry: Geometry,
    ) -> Result<(), FoldError> {
        let shape = geometry.fc_shape(kernel.shape())?;
        let (expected, found) = ([shape.rows, shape.cols], [self.rows(), self.cols()]);
        if expected != found {
            return Err(FoldError::Matrix { expected, found });
        }
        let shared = match after {
            Some(after) => share("rows", self.rows(), after.channels())?,
            None => 1,
        };
        let band = Band::new(kernel, geometry)?;
        let mut entries: Vec<(usize, T)> = Vec::new();
        for (r, ((weight, bias), row)) in self.rows_mut().zip(band.rows()).enumerate() {
            let (scale, shift) = match after {
                Some(after) => (after.scale()[r / shared], after.shift()[r / shared]),
                None => (1.0, 0.0),
            };
            // From the weights that have not been rounded yet.
            entries.clear();
            row.entries(|col, tap| entries.push((col, round(wide(weight[col]) * scale + tap))));
            if after.is_some() {
                scale_all(weight, scale);
            }
            for &(col, value) in &entries {
                weight[col] = value;
            }
            *bias = round(wide(*bias) * scale + shift + row.bias());
        }
        Ok(())
    }

    /// Each row with its bias.
    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [T], &mut T)> {
        let (cols, mut rest) = (self.cols, &mut *self.weight);
        self.bias.iter_mut().map(move |bias| {
            let (row, behind) = core::mem::take(&mut rest).split_at_mut(cols);
            rest = behind;
            (row, bias)
        })
    }
}

/// How many consecutive rows or columns a channel of a norm stands for.
fn share(what: &'static str, len: usize, channels: usize) -> Result<usize, FoldError> {
    if len == 0 && channels == 0 {
        return Ok(1);
    }
    match len.checked_div(channels) {
        Some(shared) if shared > 0 && shared * channels == len => Ok(shared),
        _ => Err(FoldError::Share { what, len, channels }),
    }
}

fn scale_all<T: Float>(row: &mut [T], scale: f64) {
    for weight in row {
        *weight = round(wide(*weight) * scale);
    }
}
