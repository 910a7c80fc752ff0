//! The pixels under a kernel as an operand of a product.

use mixfold_gemm::{GemmError, MatRef, PanelsMut, Prologue};
use mixfold_simd::Isa;

use super::direct::Seen;
use super::stencil::Stencil;
use super::window::Window;
use crate::taps::Sizes;

/// What some outputs read, as the right operand of a product: the outputs are its columns, channels
/// and the taps of each its rows.
pub(super) struct Pixels<'a> {
    sizes: Sizes,
    /// First output, and how many.
    outputs: (usize, usize),
    /// None where the outputs read all pixels in their order.
    window: Option<Window<'a>>,
}

impl<'a> Pixels<'a> {
    /// For `outputs.1` pixels of the output from number `outputs.0` on, with memory of
    /// [`Stencil::window_len`] elements.
    pub(super) fn new(
        stencil: &'a Stencil,
        sizes: Sizes,
        outputs: (usize, usize),
        memory: &'a mut [f32],
    ) -> Self {
        let window = match stencil.is_pointwise() {
            true => None,
            false => Some(Window::new(stencil, sizes, outputs, memory)),
        };
        Pixels { sizes, outputs, window }
    }

    /// Number of outputs.
    pub(super) fn cols(&self) -> usize {
        self.outputs.1
    }

    /// What the outputs see of `channel`.
    pub(super) fn see<'b>(&'b mut self, isa: Isa, channel: &'b [f32]) -> Seen<'b> {
        let (first, outputs) = self.outputs;
        match &mut self.window {
            Some(window) => window.see(isa, channel),
            None => {
                let data = &channel[first..][..outputs];
                Seen { data, places: &[(0, 0)], span: 0, pitch: 0, width: outputs, first: 0 }
            }
        }
    }

    /// Fills `panels` with as many channels as it has rows for, from number `first` of `x` on.
    pub(super) fn pack(
        &mut self,
        isa: Isa,
        x: &[f32],
        first: usize,
        panels: &mut PanelsMut<'_, f32>,
    ) -> Result<(), GemmError> {
        let pixels = self.sizes.image.0 * self.sizes.image.1;
        let x = &x[first * pixels..];
        match &mut self.window {
            Some(window) => window.gather(isa, x, panels),
            None => {
                let k = panels.as_ref().k();
                let x =
                    MatRef::row_major(x, k, pixels)?.block(0, self.outputs.0, k, self.outputs.1);
                panels.pack(isa, x?, &Prologue::NONE)?;
            }
        }
        Ok(())
    }
}
