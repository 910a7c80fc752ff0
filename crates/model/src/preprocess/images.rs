//! A batch of images as a model takes it.

use super::PreprocessError;

/// Images, `[n, channels, height, width]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Images {
    /// A batch of the given shape.
    ///
    /// # Errors
    /// There are not as many values as the shape says.
    pub fn new(shape: [usize; 4], values: Vec<f32>) -> Result<Self, PreprocessError> {
        match shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)) {
            Some(expected) if expected == values.len() => Ok(Self { shape, values }),
            _ => Err(PreprocessError::Shape { shape, values: values.len() }),
        }
    }

    /// `[n, channels, height, width]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, to keep.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
