//! The frozen vision towers as the streaming stages use them: shared by all cores, and run on
//! batches of one size.

use std::borrow::Cow;

use tch::{Device, Kind as Number, Tensor};

use crate::clip::{VisionOutput, VisionTower};
use crate::cores::{self, PerThread};
use crate::dino;
use crate::error::{Error, Kind, Result};
use crate::stage::pixels::Normaliser;

/// Maximum number of pictures per forward pass on one core: enough for its matrix products to be
/// fast.
const ON_A_CORE: usize = 32;

/// A frozen tower and its normaliser.
#[derive(Debug)]
pub struct FrozenTower<T = VisionTower> {
    model: PerThread<(T, Normaliser)>,
    device: Device,
}

/// Whose tower fills a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eye {
    /// The CLIP's.
    Clip,
    /// The second model's.
    Second,
}

/// The towers that some tables need.
#[derive(Debug)]
pub struct Towers {
    /// The CLIP's.
    pub clip: Option<FrozenTower>,
    /// The second model's.
    pub second: Option<FrozenTower<dino::Tower>>,
}

impl Towers {
    /// Returns how many batches are worth computing at once.
    pub fn workers(&self) -> usize {
        let clip = self.clip.as_ref().map(FrozenTower::workers);
        clip.or(self.second.as_ref().map(FrozenTower::workers)).unwrap_or(1)
    }

    /// Returns the CLIP's tower.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if it was not asked for.
    pub fn clip(&self) -> Result<&FrozenTower> {
        self.clip.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the CLIP's tower was not opened"))
    }

    /// Returns the second model's tower.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if it was not asked for.
    pub fn second(&self) -> Result<&FrozenTower<dino::Tower>> {
        self.second.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the second model's tower was not opened"))
    }
}

impl FrozenTower<dino::Tower> {
    /// Wraps a second model's tower, whose tensors are no longer written to.
    pub fn of_second(tower: dino::Tower, normaliser: Normaliser) -> Self {
        let device = tower.cls_token.device();
        let model = PerThread::new((tower, normaliser), |(tower, normaliser)| {
            (tower.shallow_clone(), normaliser.shallow_clone())
        });
        FrozenTower { model, device }
    }

    /// Returns `[CLS]` and the mean of the patch tokens of pictures, both (B, D); otherwise like
    /// [`see`](FrozenTower::see).
    ///
    /// # Errors
    /// Fails if the bytes are not whole pictures, or the device fails.
    pub fn look(&self, pixels: &[u8], batch: usize) -> Result<[Tensor; 2]> {
        self.run(pixels, batch, |tower, pixels| {
            let dino::Output { cls, patches } = tower.forward(pixels);
            let mean = patches.to_kind(Number::Float).mean_dim([1i64].as_slice(), false, Number::Float);
            [cls.to_kind(Number::Float), mean]
        })
    }
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
}

impl<T> FrozenTower<T> {
    /// Returns how many batches are worth computing at once.
    pub fn workers(&self) -> usize {
        cores::workers(self.device)
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
        forward: impl Fn(&T, &Tensor) -> [Tensor; N],
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
