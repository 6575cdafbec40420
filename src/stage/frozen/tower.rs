//! The frozen vision tower as the streaming stages use it: shared by all cores, and run on batches of one size.

use std::borrow::Cow;

use tch::{Device, Tensor};

use crate::clip::{VisionOutput, VisionTower};
use crate::cores::{self, PerThread};
use crate::error::Result;
use crate::stage::pixels::Normaliser;

/// Pictures of a forward pass on one core at most: enough for its products to be fast.
const ON_A_CORE: usize = 32;

/// The frozen tower, and what feeds it.
#[derive(Debug)]
pub struct FrozenTower {
    model: PerThread<(VisionTower, Normaliser)>,
    device: Device,
}

impl FrozenTower {
    /// A tower whose tensors nobody writes to any more.
    pub fn new(tower: VisionTower, normaliser: Normaliser) -> Self {
        let device = tower.projection.device();
        let model = PerThread::new((tower, normaliser), |(tower, normaliser)| {
            (tower.shallow_clone(), normaliser.shallow_clone())
        });
        FrozenTower { model, device }
    }

    /// Batches that it is worth to compute at once.
    pub fn workers(&self) -> usize {
        cores::workers(self.device)
    }

    /// What the tower sees in pictures (B) of the normaliser's size, 8-bit RGB. It is run on as many at a time as
    /// `batch` says, whatever B is: kernels are chosen by sizes, and a picture's features must not depend on how many
    /// come with it.
    ///
    /// # Errors
    /// Where the bytes are not whole pictures, or the device fails.
    pub fn see(&self, pixels: &[u8], batch: usize) -> Result<VisionOutput> {
        self.run(pixels, batch, |tower, pixels| {
            let VisionOutput { cls, cls_token, patch_tokens } = tower.forward(pixels);
            [cls, cls_token, patch_tokens]
        })
        .map(|[cls, cls_token, patch_tokens]| VisionOutput { cls, cls_token, patch_tokens })
    }

    /// The input (B, 1 + N, D) of block `block`; everything else as in [`see`](Self::see).
    ///
    /// # Errors
    /// As [`see`](Self::see).
    pub fn tokens_at(&self, block: usize, pixels: &[u8], batch: usize) -> Result<Tensor> {
        self.run(pixels, batch, |tower, pixels| [tower.tokens_at(block, pixels)]).map(|[tokens]| tokens)
    }

    /// Pictures of a forward pass: on a CPU a batch is gone through in equal parts, so that what is computed for
    /// nothing to fill up the last one is little, and what a core holds fits its cache better.
    fn at_once(&self, batch: usize) -> usize {
        let batch = batch.max(1);
        match self.device {
            Device::Cpu => batch.div_ceil(batch.div_ceil(ON_A_CORE)),
            _ => batch,
        }
    }

    /// `forward` on batches of one size; what it makes of the pictures that fill up the last one is left out.
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
