//! Tensors to be written into a safetensors file.

use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind as Number, Tensor};

use crate::error::{Context, Kind, Result};

/// A tensor as the file stores it: fp32, in row order.
pub struct Stored {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    /// Copies a tensor to the CPU, as fp32.
    ///
    /// # Errors
    /// Returns [`Kind::Torch`] if the tensor cannot be copied.
    pub fn of(name: impl Into<String>, tensor: &Tensor) -> Result<Self> {
        let name = name.into();
        let flat = tensor.detach().to_device(Device::Cpu).to_kind(Number::Float).contiguous();
        let mut bytes = vec![0u8; flat.numel() * 4];
        flat.f_copy_data_u8(&mut bytes, flat.numel()).context(Kind::Torch, || format!("cannot copy tensor {name}"))?;
        Ok(Stored { name, shape: flat.size().iter().map(|&n| n as usize).collect(), bytes })
    }

    /// Returns the tensor's name, and the view that the safetensors crate writes.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the crate refuses the tensor.
    pub fn view(&self) -> Result<(&str, TensorView<'_>)> {
        let view = TensorView::new(Dtype::F32, self.shape.clone(), &self.bytes);
        Ok((&self.name, view.context(Kind::Store, || format!("cannot store tensor {}", self.name))?))
    }
}
