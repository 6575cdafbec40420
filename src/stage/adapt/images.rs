//! Pictures as the model in training sees them, in batches and shards.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tch::{Device, Kind as Number, Tensor};
use tokio::sync::mpsc::{self, Receiver};

use crate::cores::{self, PerThread};
use crate::device::guarded;
use crate::error::Result;
use crate::fusion::matrix::{Matrix, Writer};
use crate::fusion::model::{Model, Tokens};
use crate::image::seed::rng;
use crate::image::{Preprocess, weak_view};
use crate::stage::adapt::Recipe;
use crate::stage::adapt::known::{Frozen, Input, Known};
use crate::stage::feed::{Batches, PixelBatch, Views, feed};
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stop::Stop;

/// Pictures for adaptation or evaluation, in a fixed order.
pub struct Images {
    pictures: Arc<Pictures>,
    rows: Arc<Vec<usize>>,
    preprocess: Preprocess,
    normaliser: Normaliser,
    known: Known,
}

/// Pictures per forward pass without gradients, on a GPU or if no block of the tower runs.
const FORWARD: usize = 128;

/// Pictures per forward pass without gradients, if the tower runs on a CPU: enough for its matrix
/// products to be fast, and few enough for every core to have some.
const FORWARD_ON_A_CORE: usize = 16;

/// Pictures whose gradients one core computes at a time. A batch's sums are sums over shards of
/// this size, in order, however many cores there are.
const SHARD: usize = 8;

impl Images {
    /// Opens all pictures of the dataset. Reads the frozen tower's outputs if training starts from
    /// them; otherwise pixels are decoded again whenever they are needed.
    ///
    /// # Errors
    /// Fails if the store lacks a picture's tokens, or a stop was requested.
    pub fn open(
        pictures: &Arc<Pictures>,
        recipe: &Recipe,
        frozen: &Frozen<'_>,
        preprocess: &Preprocess,
        normaliser: Normaliser,
        stop: &Stop,
    ) -> Result<Self> {
        let known = Known::read(pictures, recipe, frozen, normaliser.device(), stop)?;
        Ok(Images {
            pictures: pictures.clone(),
            rows: Arc::new((0..pictures.rows().len()).collect()),
            preprocess: preprocess.clone(),
            normaliser,
            known,
        })
    }

    /// Returns the pictures at these places, sharing what is known of them.
    #[must_use]
    pub fn of(&self, places: &[i64]) -> Self {
        Images {
            pictures: self.pictures.clone(),
            rows: Arc::new(places.iter().map(|&place| self.rows[place as usize]).collect()),
            preprocess: self.preprocess.clone(),
            normaliser: self.normaliser.shallow_clone(),
            known: self.known.shallow_clone(),
        }
    }

    /// Returns the number of pictures.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the pictures' ids, in order.
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|&n| self.pictures.rows()[n].image_id.clone()).collect()
    }

    /// Returns the pictures' rows in the dataset.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Returns the side of the model's input, and how pictures are resized to it.
    pub(super) fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns whether a forward pass starts from pixels.
    pub(super) fn needs_pixels(&self) -> bool {
        self.known.needs_pixels()
    }

    /// Returns whether a forward pass runs blocks of the tower.
    pub(super) fn runs_tower(&self) -> bool {
        self.known.runs_tower()
    }

    /// Returns whether blocks of the tower run on a CPU, where each core has its own pictures.
    fn runs_tower_on_cores(&self, device: Device) -> bool {
        device == Device::Cpu && self.known.runs_tower()
    }

    /// Returns the number of pictures per shard of a batch. The batch is one shard on a GPU, or if
    /// the tower does not run.
    pub(super) fn shard(&self, batch: usize, device: Device) -> usize {
        if self.runs_tower_on_cores(device) { SHARD } else { batch.max(1) }
    }

    /// Returns the inputs of some pictures for a model on `device`, one per shard; empty if it
    /// starts from pixels.
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub(super) fn inputs(&self, places: &[i64], device: Device) -> Result<Vec<Input>> {
        let shards = places.chunks(self.shard(places.len(), device));
        shards.filter_map(|places| self.known.input(&rows_at(&self.rows, places), device).transpose()).collect()
    }

    /// Like [`inputs`](Self::inputs), but from the normalised pixels (B, 3, S, S) of these
    /// pictures.
    pub(super) fn inputs_of_pixels(&self, pixels: &Tensor, picks: &Tensor) -> Vec<Input> {
        let shard = self.shard(picks.size()[0] as usize, pixels.device()) as i64;
        let shards = pixels.split(shard, 0).into_iter().zip(picks.split(shard, 0));
        shards.map(|(pixels, picks)| Input::Pixels(pixels, picks)).collect()
    }

    /// Returns the numbers of some pictures, for
    /// [`Seen::picks`](crate::fusion::model::Seen::picks).
    ///
    /// # Errors
    /// Fails if libtorch reports an error.
    pub(super) fn picks(&self, model: &Model, places: &[i64]) -> Result<Tensor> {
        self.known.picks(&rows_at(&self.rows, places), model.device())
    }

    /// Returns the normalised pixels of a batch.
    pub(super) fn pixels(&self, batch: &PixelBatch) -> Result<Tensor> {
        self.normaliser.forward(&batch.pixels)
    }

    /// Computes the fused cosines (rows, C) of the weak views (resized, cropped at random), from
    /// which the pass's pseudo-labels are made, and passes them to `give`, some rows at a time, in
    /// order.
    ///
    /// # Errors
    /// Fails if a picture or the device fails, or a stop was requested.
    pub async fn fusion_logits(
        &self,
        model: &Model,
        seed: u64,
        pass: u64,
        stop: &Stop,
        give: impl FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        let (side, filter, run_seed) = (self.preprocess.crop, self.preprocess.filter, seed);
        let view = move |pictures: &Pictures, n: usize| {
            let picture = pictures.load(n)?;
            let mut rng = rng(run_seed, &pictures.rows()[n].id, pass, "weak");
            weak_view(&picture, side, filter, &mut rng)
        };
        self.forward(model, view, stop, |model, tokens| model.fusion_logits(tokens), give).await
    }

    /// Returns the logits (rows, C) of the centre views, for evaluation. `advance` is told of
    /// pictures that are done.
    ///
    /// # Errors
    /// Fails if a picture, the device or the disk fails, or a stop was requested.
    pub async fn logits(&self, model: &Model, stop: &Stop, advance: impl Fn(u64)) -> Result<Matrix> {
        let preprocess = self.preprocess.clone();
        let view = move |pictures: &Pictures, n: usize| preprocess.centre_view(&pictures.load(n)?);
        let classes = model.classifier().size()[0];
        let mut writer = Writer::begin(self.len() as i64, classes)?;
        let give = |rows: Tensor| {
            advance(rows.size()[0].cast_unsigned());
            writer.push(&rows)
        };
        self.forward(model, view, stop, |model, tokens| model.logits(tokens), give).await?;
        writer.finish()
    }

    /// Runs all pictures through the current model, without gradients, and passes the rows that
    /// `read` makes of its tokens to `give`, in order.
    async fn forward(
        &self,
        model: &Model,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
        stop: &Stop,
        read: fn(&Model, &Tokens) -> Tensor,
        give: impl FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        let device = model.device();
        let model = (model.shallow_clone(), self.normaliser.shallow_clone(), self.known.shallow_clone());
        let model = PerThread::new(model, |(model, normaliser, known)| {
            (model.shallow_clone(), normaliser.shallow_clone(), known.shallow_clone())
        });
        let rows = self.rows.clone();
        let batches = self.batches(device, view).map(|batch| stop.check().and(batch));
        let mut give = give;
        let mut scored = cores::buffered(batches, cores::workers(device), move |batch: PixelBatch| {
            guarded("scoring pictures", || {
                let _span = tracing::debug_span!("forward", pictures = batch.pictures.len()).entered();
                let _no_grad = tch::no_grad_guard();
                let wanted: Vec<i64> = batch.pictures.iter().map(|&at| rows[at] as i64).collect();
                model.with(|(model, normaliser, known)| {
                    let input = match known.input(&wanted, device)? {
                        Some(input) => input,
                        None => Input::Pixels(normaliser.forward(&batch.pixels)?, known.picks(&wanted, device)?),
                    };
                    Ok(read(model, &model.tokens(&input.see(model))).to_kind(Number::Float).to_device(Device::Cpu))
                })
            })
        });
        while let Some(rows) = scored.try_next().await? {
            give(rows)?;
        }
        Ok(())
    }

    /// Returns the places of batches' pictures and their normalised pixels, on the model's device.
    /// The next ones are brought there while the caller works on those that it has.
    pub(super) fn normalised(&self, mut batches: Batches) -> Receiver<Result<(Vec<usize>, Tensor)>> {
        let (send, receive) = mpsc::channel(1);
        let normaliser = Arc::new(PerThread::new(self.normaliser.shallow_clone(), Normaliser::shallow_clone));
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                let normaliser = normaliser.clone();
                let normalise = move |PixelBatch { pictures, pixels, .. }| {
                    let pixels = guarded("a batch's pixels", || normaliser.with(|n| n.forward(&pixels)))?;
                    Ok((pictures, pixels))
                };
                let made = match batch {
                    Ok(batch) => cores::run(move || normalise(batch)).await.flatten(),
                    Err(error) => Err(error),
                };
                let failed = made.is_err();
                if send.send(made).await.is_err() || failed {
                    return;
                }
            }
        });
        receive
    }

    /// Returns all pictures in order, in batches for a model on `device`, with pixels if it starts
    /// from them.
    fn batches(
        &self,
        device: Device,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<PixelBatch>> {
        let size = if self.runs_tower_on_cores(device) { FORWARD_ON_A_CORE } else { FORWARD };
        let order: Vec<usize> = (0..self.len()).collect();
        if self.needs_pixels() {
            let mut batches = self.feed(&order, size, view);
            return futures::stream::poll_fn(move |context| batches.poll_recv(context)).boxed();
        }
        let batch =
            |places: &[usize]| Ok(PixelBatch { pictures: places.to_vec(), pixels: Vec::new(), boxes: Vec::new() });
        futures::stream::iter(order.chunks(size).map(batch).collect::<Vec<_>>()).boxed()
    }

    /// Returns views of these pictures, identified by their place in `places`, in batches.
    pub(super) fn feed(
        &self,
        places: &[usize],
        batch: usize,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Batches {
        let pictures = self.pictures.clone();
        let rows: Vec<usize> = places.iter().map(|&place| self.rows[place]).collect();
        let size = {
            let (pictures, rows) = (pictures.clone(), rows.clone());
            move |at: usize| pictures.rows()[rows[at]].size()
        };
        feed(rows.len(), batch, size, move |at| {
            view(&pictures, rows[at]).map(|pixels| Views { pixels, boxes: Vec::new() })
        })
    }
}

/// Returns the dataset's rows of the pictures at these places.
fn rows_at(rows: &[usize], places: &[i64]) -> Vec<i64> {
    places.iter().map(|&place| rows[place as usize] as i64).collect()
}
