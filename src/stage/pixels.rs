//! From 8-bit pixels to a tower's input.

use tch::{Device, Kind as Number, Tensor};

use crate::error::{Context, Kind, Result};
use crate::image::Preprocess;

/// Normalises pixels on the device: they travel as bytes, a quarter of what floats would be.
#[derive(Debug)]
pub struct Normaliser {
    side: i64,
    mean: Tensor,
    deviation: Tensor,
    device: Device,
    number: Number,
}

impl Normaliser {
    /// For a tower that lives on `device` in number type `number`.
    pub fn new(preprocess: &Preprocess, device: Device, number: Number) -> Self {
        let channels = |values: &[f32; 3]| Tensor::from_slice(values).view([3, 1, 1]).to_device(device);
        Normaliser {
            side: i64::from(preprocess.crop),
            mean: channels(&preprocess.mean),
            deviation: channels(&preprocess.std),
            device,
            number,
        }
    }

    /// (B, 3, S, S) from B * S * S * 3 bytes in row order.
    ///
    /// # Errors
    /// [`Kind::Torch`] where the bytes are not whole pictures, or the device is out of memory.
    pub fn forward(&self, pixels: &[u8]) -> Result<Tensor> {
        let count = pixels.len() as i64 / (self.side * self.side * 3).max(1);
        let bytes = Tensor::f_from_data_size(pixels, &[count, self.side, self.side, 3], Number::Uint8)
            .context(Kind::Torch, || format!("{} bytes are not pictures of {} px", pixels.len(), self.side))?;
        let unit = bytes.to_device(self.device).permute([0, 3, 1, 2]).to_kind(Number::Float) / 255.0;
        Ok(((unit - &self.mean) / &self.deviation).contiguous().to_kind(self.number))
    }
}
