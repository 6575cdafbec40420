//! Pictures as the model under training sees them: cached tokens, or pixels through the tower as it stands.

use std::sync::Arc;

use tch::{Kind as Number, Tensor};
use tokio::sync::mpsc::Receiver;
use tokio::task::block_in_place;

use crate::device::guarded;
use crate::error::Result;
use crate::fusion::adapter::{Adapter, Tokens, Tune};
use crate::image::{Preprocess, seed, weak_view};
use crate::stage::adapt::AdaptSettings;
use crate::stage::features;
use crate::stage::feed::{PixelBatch, Views, feed};
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stage::stop::Stop;
use crate::store::layout::Partition;

/// Pictures for adaptation or evaluation, in a fixed order.
pub struct Images {
    pictures: Arc<Pictures>,
    rows: Arc<Vec<usize>>,
    preprocess: Preprocess,
    normaliser: Normaliser,
    cached: Option<Cached>,
}

/// What the frozen tower saw of each picture.
struct Cached {
    cls: Tensor,
    tokens: Tensor,
    mask: Tensor,
}

/// Pictures of a forward pass without gradients.
const FORWARD: usize = 128;

impl Images {
    /// `rows` of the dataset. Under [`Tune::Head`] their cached tokens are read from the `embeddings` partition; otherwise
    /// pixels are decoded anew whenever they are needed.
    ///
    /// # Errors
    /// Where the store lacks a picture's tokens.
    pub fn open(
        pictures: &Arc<Pictures>,
        rows: Vec<usize>,
        tune: Tune,
        embeddings: &Partition,
        preprocess: &Preprocess,
        normaliser: Normaliser,
    ) -> Result<Self> {
        let cached = match tune {
            Tune::LayerNorm => None,
            Tune::Head => Some(Cached {
                cls: features::vectors(embeddings, "cls_feature", pictures, &rows)?,
                tokens: features::patch_tokens(embeddings, pictures, &rows)?,
                mask: features::masks(embeddings, pictures, &rows)?,
            }),
        };
        Ok(Images {
            pictures: pictures.clone(),
            rows: Arc::new(rows),
            preprocess: preprocess.clone(),
            normaliser,
            cached,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Their ids, in order.
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|&n| self.pictures.rows()[n].image_id.clone()).collect()
    }

    /// The dataset's rows they are.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The model's features of some of them from the cache, where there is one.
    pub(super) fn cached_tokens(&self, adapter: &Adapter, places: &[i64]) -> Option<Tokens> {
        let cached = self.cached.as_ref()?;
        let index = Tensor::from_slice(places);
        let pick = |all: &Tensor| all.index_select(0, &index).to_device(adapter.device());
        let tokens = pick(&cached.tokens).to_kind(Number::Float);
        Some(adapter.tokens(&pick(&cached.cls), &tokens, &pick(&cached.mask)))
    }

    /// Normalised pixels of a batch.
    pub(super) fn pixels(&self, batch: &PixelBatch) -> Result<Tensor> {
        self.normaliser.forward(&batch.pixels)
    }

    /// Fused cosines (rows, C) of the weak views, from which the pass's pseudo-labels are made: resized, cropped at random.
    ///
    /// # Errors
    /// Where a picture or the device fails, or stopping was asked for.
    pub async fn fusion_logits(
        &self,
        adapter: &Adapter,
        settings: &AdaptSettings,
        pass: u64,
        stop: &Stop,
    ) -> Result<Tensor> {
        let (side, filter, run_seed) = (self.preprocess.crop, self.preprocess.filter, settings.seed);
        let view = move |pictures: &Pictures, n: usize| {
            let picture = pictures.load(n)?;
            let mut rng = seed::rng(run_seed, &pictures.rows()[n].id, pass, "weak");
            weak_view(&picture, side, filter, &mut rng)
        };
        self.forward(adapter, view, stop, |adapter, tokens| adapter.fusion_logits(tokens)).await
    }

    /// Logits (rows, C) of the centre views: what is evaluated and predicted.
    ///
    /// # Errors
    /// Where a picture or the device fails, or stopping was asked for.
    pub async fn logits(&self, adapter: &Adapter, stop: &Stop) -> Result<Tensor> {
        let preprocess = self.preprocess.clone();
        let view = move |pictures: &Pictures, n: usize| preprocess.centre_view(&pictures.load(n)?);
        self.forward(adapter, view, stop, |adapter, tokens| adapter.logits(tokens)).await
    }

    /// All pictures through the model as it stands, without gradients.
    async fn forward(
        &self,
        adapter: &Adapter,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
        stop: &Stop,
        read: impl Fn(&Adapter, &Tokens) -> Tensor,
    ) -> Result<Tensor> {
        let mut rows = Vec::new();
        let finish = |tokens: &Tokens| read(adapter, tokens).to_kind(Number::Float).to_device(tch::Device::Cpu);
        if self.cached.is_some() {
            let places: Vec<i64> = (0..self.len() as i64).collect();
            for places in places.chunks(FORWARD) {
                stop.check()?;
                rows.push(guarded("scoring pictures", || {
                    let _no_grad = tch::no_grad_guard();
                    Ok(self.cached_tokens(adapter, places).map(|tokens| finish(&tokens)))
                })?);
            }
            let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
            return Ok(Tensor::cat(&rows, 0));
        }
        let order: Vec<usize> = (0..self.len()).collect();
        let mut batches = self.feed(&order, FORWARD, view);
        while let Some(batch) = batches.recv().await {
            stop.check()?;
            let batch = batch?;
            rows.push(block_in_place(|| {
                guarded("scoring pictures", || {
                    let _no_grad = tch::no_grad_guard();
                    Ok(Some(finish(&adapter.tokens_of_pixels(&self.pixels(&batch)?))))
                })
            })?);
        }
        let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
        Ok(Tensor::cat(&rows, 0))
    }

    /// One view of each of these pictures, by their place in this list, in batches.
    pub(super) fn feed(
        &self,
        places: &[usize],
        batch: usize,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Receiver<Result<PixelBatch>> {
        let pictures = self.pictures.clone();
        let rows: Vec<usize> = places.iter().map(|&place| self.rows[place]).collect();
        feed(rows.len(), batch, move |at| view(&pictures, rows[at]).map(|pixels| Views { pixels, boxes: Vec::new() }))
    }
}
