//! The frozen vision tower as the streaming stages use it: shared by all cores, and run on batches
//! of one size.

use std::borrow::Cow;

use tch::{Device, Tensor};

use crate::clip::{VisionOutput, VisionTower};
use crate::cores::{self, PerThread};
use crate::error::Result;
use crate::stage::pixels::Normaliser;

/// Maximum number of pictures per forward pass on one core: enough for its matrix products to be
/// fast.
const ON_A_CORE: usize = 32;

/// The frozen tower and its normaliser.
#[derive(Debug)]
pub struct FrozenTower {
    model: PerThread<(VisionTower, Normaliser)>,
    device: Device,
}

impl FrozenTower {
    /// Wraps a tower whose tensors are no longer written to.
    pub fn new(tower: VisionTower, normaliser: Normaliser) -> Self {
        let device = tower.projection.device();
        let model = PerThread::new((tower, normaliser), |(tower, normaliser)| {
            (tower.shallow_clone(), normaliser.shallow_clone())
        });
        FrozenTower { model, device }
    }

    /// Returns how many batches are worth computing at once.
    pub fn workers(&self) -> usize {
        cores::workers(self.device)
    }

    /// Returns the tower's outputs for pictures (B) of the normaliser's size, 8-bit RGB. `batch`
    /// sets the size of forward passes, whatever B is: kernels are chosen by size, and a picture's
    /// features must not depend on how many come with it.
    ///
    /// # Errors
    /// Fails if the bytes are not whole pictures, or the device fails.
    pub fn see(&self, pixels: &[u8], batch: usize) -> Result<VisionOutput> {
        self.run(pixels, batch, |tower, pixels| {
            let VisionOutput { cls, cls_token, patch_tokens } = tower.forward(pixels);
            [cls, cls_token, patch_tokens]
        })
        .map(|[cls, cls_token, patch_tokens]| VisionOutput { cls, cls_token, patch_tokens })
    }

    /// Returns the input (B, 1 + N, D) of block `block`; otherwise like [`see`](Self::see).
    ///
    /// # Errors
    /// Fails as [`see`](Self::see) does.
    pub fn tokens_at(&self, block: usize, pixels: &[u8], batch: usize) -> Result<Tensor> {
        self.run(pixels, batch, |tower, pixels| [tower.tokens_at(block, pixels)]).map(|[tokens]| tokens)
    }

    /// Returns the number of pictures per forward pass. On a CPU a batch is split into equal parts,
    /// so that little is wasted on padding the last one, and a core's working set fits its cache
    /// better.
    fn at_once(&self, batch: usize) -> usize {
        let batch = batch.max(1);
        match self.device {
            Device::Cpu => batch.div_ceil(batch.div_ceil(ON_A_CORE)),
            _ => batch,
        }
    }

    /// Runs `forward` on batches of one size, and drops its outputs for the pictures that pad the
    /// last one.
    fn run<const N: usize>(
        &self,
        pixels: &[u8],
        batch: usize,
        forward: impl Fn(&VisionTower, &Tensor) -> [Tensor; N],
    ) -> Result<[Tensor; N]> {
        self.model.with(|(tower, normaliser)| {
            let (size, batch) = (normaliser.picture_bytes(), self.at_once(batch));
            let mut outputs: [Vec<Tensor>; N] = std::array::from_fn(|_| Vec::new());
            for pictures in pixels.chunks(batch * size) {
                let count = (pictures.len() / size) as i64;
                let mut full = Cow::Borrowed(pictures);
                if full.len() < batch * size {
                    full.to_mut().resize(batch * size, 0);
                }
                for (all, output) in outputs.iter_mut().zip(forward(tower, &normaliser.forward(&full)?)) {
                    all.push(output.narrow(0, 0, count));
                }
            }
            Ok(outputs.map(|all| Tensor::cat(&all, 0)))
        })
    }
}
