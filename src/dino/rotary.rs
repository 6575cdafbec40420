//! Rotary positions of DINOv3: queries and keys of patch tokens are turned by angles that grow with
//! the patch's place (arXiv 2104.09864, in two dimensions).

use std::f64::consts::PI;

use tch::{Device, Kind as Number, Tensor};

/// The turns of one grid of patches.
#[derive(Debug)]
pub struct Rotary {
    /// Cosines of the angles, (N, D / heads).
    cos: Tensor,
    /// Sines of the angles, (N, D / heads).
    sin: Tensor,
}

impl Rotary {
    /// Returns the turns of a square grid of patches, as transformers'
    /// `DINOv3ViTRopePositionEmbedding` makes them; fp32 on the CPU. Centres of patches lie between
    /// -1 and 1 on both axes; `head` is the width of a head, `theta` the base of the frequencies.
    pub fn new(grid: i64, head: i64, theta: f64) -> Self {
        let options = (Number::Float, Device::Cpu);
        let centres = (Tensor::arange(grid, options) + 0.5) / grid as f64 * 2.0 - 1.0;
        let quarter = head / 4;
        let exponents = Tensor::arange(quarter, options) * (4.0 / head as f64);
        let frequencies = (exponents * -theta.ln()).exp() * (2.0 * PI);
        // The first half of a half-head turns with the row, the second with the column.
        let angles = centres.unsqueeze(1) * frequencies;
        let rows = angles.unsqueeze(1).expand([grid, grid, quarter], false);
        let columns = angles.unsqueeze(0).expand([grid, grid, quarter], false);
        let angles = Tensor::cat(&[rows, columns], 2).view([grid * grid, 2 * quarter]);
        let angles = Tensor::cat(&[&angles, &angles], 1);
        Rotary { cos: angles.cos(), sin: angles.sin() }
    }

    /// Turns the patch tokens of queries or keys (B, heads, T, D / heads), which come last; `[CLS]`
    /// and registers, which come first, have no place.
    pub fn turn(&self, x: &Tensor) -> Tensor {
        let (tokens, patches) = (x.size()[2], self.cos.size()[0]);
        let (first, x) = (x.narrow(2, 0, tokens - patches), x.narrow(2, tokens - patches, patches));
        let halves = x.chunk(2, -1);
        let across = Tensor::cat(&[-&halves[1], halves[0].shallow_clone()], -1);
        Tensor::cat(&[first, x * &self.cos + across * &self.sin], 2)
    }

    /// Returns the turns with `f` applied to every tensor.
    #[must_use]
    pub fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        Rotary { cos: f(&self.cos), sin: f(&self.sin) }
    }
}
