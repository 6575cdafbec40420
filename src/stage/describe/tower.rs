//! The text tower as sentences are embedded by it: on the run's device, and shared by all cores.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::{TextConfig, TextTower};
use crate::cores::{self, PerThread};
use crate::device::{Precision, guarded};
use crate::error::Result;
use crate::fusion::normalize;
use crate::table::tensor;

/// Maximum sentences per forward pass on a core, and on a GPU.
const ON_A_CORE: usize = 128;
const ON_A_GPU: usize = 256;

/// Maximum GFLOP per forward pass on a core: half a second, or about two on a busy machine, between
/// two checks for a stop. At B/32's width, that is 320 tokens, which its products need to be fast.
const GFLOP_ON_A_CORE: f64 = 24.0;

/// A text tower whose tensors are no longer written to.
#[derive(Debug)]
pub struct SentenceTower {
    model: PerThread<TextTower>,
    config: TextConfig,
    device: Device,
}

impl SentenceTower {
    /// Brings a tower to a device, with the products of its blocks in `precision`: norms, the
    /// residual stream and the projection, which cost little, stay in fp32.
    pub fn new(tower: TextTower, device: Device, precision: Precision) -> Self {
        let tower = tower.map(&|t| t.to_device(device));
        let tower = match precision {
            Precision::Fp32 => tower,
            bf16 @ Precision::Bf16 => tower.with_products_in(bf16.number()),
        };
        let config = tower.config.clone();
        SentenceTower { model: PerThread::new(tower, |tower| tower.map(&Tensor::shallow_clone)), config, device }
    }

    /// Returns how many batches are worth computing at once.
    pub(super) fn workers(&self) -> usize {
        cores::workers(self.device)
    }

    /// Returns how many sentences of these lengths, which rise, make the next batch: at least one.
    pub(super) fn batch_of(&self, lengths: impl Iterator<Item = usize>) -> usize {
        let fits = |n: usize, longest: usize| match self.device {
            Device::Cpu => n <= ON_A_CORE && n as f64 * self.config.gflop(longest) <= GFLOP_ON_A_CORE,
            _ => n <= ON_A_GPU,
        };
        (1..).zip(lengths).take_while(|&(n, longest)| fits(n, longest)).count().max(1)
    }

    /// Returns the features of token sequences, each of unit length. Several threads may call this
    /// at the same time.
    ///
    /// # Errors
    /// Fails if the device fails.
    pub fn features(&self, sequences: &[Vec<i64>]) -> Result<Vec<Vec<f32>>> {
        let features = guarded("embedding sentences", || {
            let _no_grad = tch::no_grad_guard();
            let features = self.model.with(|tower| tower.forward(sequences, self.device));
            tensor::numbers(&normalize(&features.to_kind(Number::Float)))
        })?;
        let width = features.len() / sequences.len().max(1);
        Ok(features.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
    }
}
