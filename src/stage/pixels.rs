//! Turns 8-bit pixels into a tower's input.

use tch::{Device, Kind as Number, Tensor};

use crate::device::upload;
use crate::error::{Context, Kind, Result};
use crate::image::Preprocess;

/// Normalises pixels on the device, so that they travel as bytes, a quarter of the size of floats.
#[derive(Debug)]
pub struct Normaliser {
    side: i64,
    /// `(x / 255 - mean) / std` as one product and one sum, each (3, 1, 1).
    scale: Tensor,
    shift: Tensor,
    device: Device,
    number: Number,
}

impl Normaliser {
    /// Returns a normaliser for a tower on `device` in number type `number`.
    pub fn new(preprocess: &Preprocess, device: Device, number: Number) -> Self {
        let Preprocess { mean, std, crop, .. } = preprocess;
        let channels = |value: fn(f64, f64) -> f64| {
            let values: Vec<f32> =
                mean.iter().zip(std).map(|(&m, &s)| value(f64::from(m), f64::from(s)) as f32).collect();
            Tensor::from_slice(&values).view([3, 1, 1]).to_device(device)
        };
        Normaliser {
            side: i64::from(*crop),
            scale: channels(|_, std| 1.0 / (255.0 * std)),
            shift: channels(|mean, std| -mean / std),
            device,
            number,
        }
    }

    /// Returns a copy for another thread, which shares the tensors.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let Normaliser { side, scale, shift, device, number } = self;
        let (scale, shift) = (scale.shallow_clone(), shift.shallow_clone());
        Normaliser { side: *side, scale, shift, device: *device, number: *number }
    }

    /// Returns the tower's device.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns the bytes of one picture.
    pub fn picture_bytes(&self) -> usize {
        (self.side * self.side * 3).max(1) as usize
    }

    /// Returns normalised pixels (B, 3, S, S) from B * S * S * 3 bytes in row order.
    ///
    /// # Errors
    /// Returns [`Kind::Torch`] if the bytes are not whole pictures, or the device is out of memory.
    pub fn forward(&self, pixels: &[u8]) -> Result<Tensor> {
        let count = pixels.len() as i64 / (self.side * self.side * 3).max(1);
        let bytes = Tensor::f_from_data_size(pixels, &[count, self.side, self.side, 3], Number::Uint8)
            .context(Kind::Torch, || format!("{} bytes are not pictures of {} px", pixels.len(), self.side))?;
        let bytes = upload(&bytes, self.device)?;
        let values = bytes.permute([0, 3, 1, 2]).to_kind(Number::Float);
        Ok(self.shift.addcmul(&values, &self.scale).contiguous().to_kind(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_a_sum_are_the_formula() {
        let preprocess = Preprocess::openai(2);
        let bytes: Vec<u8> = (0..12).map(|i| i * 23).collect();
        let got = Normaliser::new(&preprocess, Device::Cpu, Number::Float).forward(&bytes).unwrap();
        assert_eq!(got.size(), [1, 3, 2, 2]);
        for (i, &byte) in bytes.iter().enumerate() {
            let (pixel, channel) = (i / 3, i % 3);
            let want = (f32::from(byte) / 255.0 - preprocess.mean[channel]) / preprocess.std[channel];
            let value = got.double_value(&[0, channel as i64, (pixel / 2) as i64, (pixel % 2) as i64]);
            assert!((value - f64::from(want)).abs() < 1e-6, "{value} is not {want}");
        }
    }
}
