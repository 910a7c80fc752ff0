use crate::MixError;

/// A contiguous tensor viewed as `[outer, axis, inner]`: element (o, a, i) stands at
/// `(o · axis + a) · inner + i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes {
    /// What comes before the mixed axis: the batch, or batch times tokens.
    pub outer: usize,
    /// The axis that is mixed.
    pub axis: usize,
    /// What comes after the mixed axis.
    pub inner: usize,
}

impl Axes {
    /// Number of elements.
    ///
    /// # Errors
    /// [`MixError::Overflow`]
    pub fn elements(self) -> Result<usize, MixError> {
        let rows = self.outer.checked_mul(self.axis);
        rows.and_then(|rows| rows.checked_mul(self.inner)).ok_or(MixError::Overflow { axes: self })
    }

    /// The same tensor with another length of the mixed axis.
    pub fn with_axis(self, axis: usize) -> Self {
        Axes { axis, ..self }
    }

    pub(crate) fn check(self, what: &'static str, found: usize) -> Result<(), MixError> {
        let expected = self.elements()?;
        if expected == found { Ok(()) } else { Err(MixError::Tensor { what, axes: self, found }) }
    }
}
