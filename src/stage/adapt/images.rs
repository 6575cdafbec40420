//! Pictures as the model in training sees them: cached features, cached tokens of an earlier block,
//! or pixels through the current tower.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tch::{Device, Kind as Number, Tensor};
use tokio::sync::mpsc::Receiver;

use crate::cores::{self, PerThread};
use crate::device::{guarded, upload};
use crate::error::{Error, Kind, Result};
use crate::fusion::design::{Coarse, StartsFrom};
use crate::fusion::model::{Model, Seen, Tokens};
use crate::image::seed::rng;
use crate::image::{Preprocess, weak_view};
use crate::stage::adapt::Recipe;
use crate::stage::features;
use crate::stage::feed::{PixelBatch, Views, feed};
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stage::prior::MultiView;
use crate::stop::Stop;
use crate::store::layout::Partition;

/// The frozen tower's outputs for a dataset's pictures.
#[derive(Debug)]
pub struct Frozen<'a> {
    /// Outputs that are already in memory.
    pub seen: &'a MultiView,
    /// Partition of `embeddings`, which has the rest.
    pub embeddings: Partition,
    /// Partition of `block_tokens`, if training starts from a block.
    pub blocks: Option<Partition>,
}

/// Pictures for adaptation or evaluation, in a fixed order.
pub struct Images {
    pictures: Arc<Pictures>,
    rows: Arc<Vec<usize>>,
    preprocess: Preprocess,
    normaliser: Normaliser,
    known: Known,
}

/// Everything known of each of the dataset's pictures before the model sees it.
struct Known {
    source: Source,
    /// A number for each picture, (rows), derived from its id and the seed.
    picks: Tensor,
    /// Device of the tensors.
    place: Device,
}

/// What a forward pass starts from.
enum Source {
    /// Cached outputs of the frozen tower.
    Cached { coarse: Tensor, cls_token: Tensor, patch_tokens: Tensor, mask: Tensor },
    /// The number of a block, and its input (rows, 1 + N, D).
    Block(usize, Tensor),
    /// The picture itself.
    Pixels,
}

/// The model's input for B pictures, on the model's device; picks as in [`Seen`].
pub(super) enum Input {
    /// Normalised pixels, (B, 3, S, S), and picks.
    Pixels(Tensor, Tensor),
    /// The number of a block, its input (B, 1 + N, D), and picks.
    Block(usize, Tensor, Tensor),
    /// Cached outputs of the frozen tower.
    Seen(Seen),
}

impl Input {
    /// Returns what the current model sees in the input.
    pub(super) fn see(self, model: &Model) -> Seen {
        match self {
            Input::Pixels(pixels, picks) => model.see(&pixels, &picks),
            Input::Block(block, tokens, picks) => model.see_from(block, &tokens, &picks),
            Input::Seen(seen) => seen,
        }
    }
}

impl Known {
    /// Returns a copy for another thread, which shares the tensors.
    fn shallow_clone(&self) -> Self {
        Known { source: self.source.map(&Tensor::shallow_clone), picks: self.picks.shallow_clone(), place: self.place }
    }

    /// Moves the tensors to `device` if there is room for them.
    fn nearer(self, device: Device) -> Self {
        if device == Device::Cpu || self.source.bytes() > ON_A_GPU {
            return self;
        }
        let moved = guarded("bringing features to the GPU", || {
            let to = |tensor: &Tensor| tensor.to_device(device);
            Ok(Known { source: self.source.map(&to), picks: to(&self.picks), place: device })
        });
        moved.unwrap_or(self)
    }

    /// Returns the input of some pictures for a model on `device`; `None` if it starts from pixels.
    fn input(&self, rows: &[i64], device: Device) -> Result<Option<Input>> {
        let index = self.index(rows)?;
        let pick = |all: &Tensor| upload(&all.index_select(0, &index), device);
        let float = |all: &Tensor| Ok(pick(all)?.to_kind(Number::Float));
        Ok(match &self.source {
            Source::Pixels => None,
            Source::Block(block, tokens) => Some(Input::Block(*block, float(tokens)?, pick(&self.picks)?)),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => Some(Input::Seen(Seen {
                coarse: pick(coarse)?,
                cls_token: pick(cls_token)?,
                patch_tokens: float(patch_tokens)?,
                mask: pick(mask)?,
                picks: pick(&self.picks)?,
            })),
        })
    }

    /// Returns the numbers of some rows, on the tensors' device.
    fn index(&self, rows: &[i64]) -> Result<Tensor> {
        upload(&Tensor::from_slice(rows), self.place)
    }

    /// Returns the picks of some pictures, on `device`.
    fn picks(&self, rows: &[i64], device: Device) -> Result<Tensor> {
        let index = self.index(rows)?;
        upload(&self.picks.index_select(0, &index), device)
    }
}

impl Source {
    /// Returns a copy with every tensor replaced by `f` of it.
    fn map(&self, f: &dyn Fn(&Tensor) -> Tensor) -> Self {
        match self {
            Source::Pixels => Source::Pixels,
            Source::Block(block, tokens) => Source::Block(*block, f(tokens)),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => Source::Cached {
                coarse: f(coarse),
                cls_token: f(cls_token),
                patch_tokens: f(patch_tokens),
                mask: f(mask),
            },
        }
    }

    /// Returns the bytes of the tensors.
    fn bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        match self {
            Source::Pixels => 0,
            Source::Block(_, tokens) => of(tokens),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => {
                [coarse, cls_token, patch_tokens, mask].into_iter().map(of).sum()
            }
        }
    }
}

/// Maximum bytes of features kept on a GPU: enough for most datasets of this kind, and little
/// enough that a GPU of 8 GB has room to compute.
const ON_A_GPU: usize = 2 << 30;

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
        let source = match recipe.design.starts_from {
            StartsFrom::Features => cached(pictures, recipe.design.fusion.coarse, frozen, stop)?,
            StartsFrom::Block(block) => {
                let tokens = frozen.blocks.as_ref().ok_or_else(|| {
                    Error::new(Kind::Internal, format!("no table has the tokens before block {block}"))
                })?;
                Source::Block(block, features::block_tokens(tokens, pictures, stop)?)
            }
            StartsFrom::Pixels => Source::Pixels,
        };
        let picks = pictures.rows().iter().map(|picture| pick(recipe.seed, &picture.image_id));
        let picks = Tensor::from_slice(&picks.collect::<Vec<i64>>());
        let known = Known { source, picks, place: Device::Cpu }.nearer(normaliser.device());
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
        matches!(self.known.source, Source::Pixels)
    }

    /// Returns whether blocks of the tower run on a CPU, where each core has its own pictures.
    fn runs_tower_on_cores(&self, device: Device) -> bool {
        device == Device::Cpu && !matches!(self.known.source, Source::Cached { .. })
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

    /// Returns the numbers of some pictures, for [`Seen::picks`].
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

    /// Returns the fused cosines (rows, C) of the weak views (resized, cropped at random), from
    /// which the pass's pseudo-labels are made.
    ///
    /// # Errors
    /// Fails if a picture or the device fails, or a stop was requested.
    pub async fn fusion_logits(&self, model: &Model, seed: u64, pass: u64, stop: &Stop) -> Result<Tensor> {
        let (side, filter, run_seed) = (self.preprocess.crop, self.preprocess.filter, seed);
        let view = move |pictures: &Pictures, n: usize| {
            let picture = pictures.load(n)?;
            let mut rng = rng(run_seed, &pictures.rows()[n].id, pass, "weak");
            weak_view(&picture, side, filter, &mut rng)
        };
        self.forward(model, view, stop, |model, tokens| model.fusion_logits(tokens)).await
    }

    /// Returns the logits (rows, C) of the centre views, for evaluation and prediction.
    ///
    /// # Errors
    /// Fails if a picture or the device fails, or a stop was requested.
    pub async fn logits(&self, model: &Model, stop: &Stop) -> Result<Tensor> {
        let preprocess = self.preprocess.clone();
        let view = move |pictures: &Pictures, n: usize| preprocess.centre_view(&pictures.load(n)?);
        self.forward(model, view, stop, |model, tokens| model.logits(tokens)).await
    }

    /// Runs all pictures through the current model, without gradients.
    async fn forward(
        &self,
        model: &Model,
        view: impl Fn(&Pictures, usize) -> Result<Vec<u8>> + Send + Sync + 'static,
        stop: &Stop,
        read: fn(&Model, &Tokens) -> Tensor,
    ) -> Result<Tensor> {
        let device = model.device();
        let model = (model.shallow_clone(), self.normaliser.shallow_clone(), self.known.shallow_clone());
        let model = PerThread::new(model, |(model, normaliser, known)| {
            (model.shallow_clone(), normaliser.shallow_clone(), known.shallow_clone())
        });
        let rows = self.rows.clone();
        let batches = self.batches(device, view).map(|batch| stop.check().and(batch));
        let scored = cores::buffered(batches, cores::workers(device), move |batch: PixelBatch| {
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
        let rows: Vec<Tensor> = scored.try_collect().await?;
        Ok(Tensor::cat(&rows, 0))
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
    ) -> Receiver<Result<PixelBatch>> {
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

/// Returns the whole number by which a run with this seed picks a patch of a picture, for
/// [`Seen::picks`].
pub fn pick(seed: u64, image_id: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"patch").update(&seed.to_le_bytes());
    hasher.update(image_id.as_bytes());
    let bytes = hasher.finalize();
    i64::from(u32::from_le_bytes([bytes.as_bytes()[0], bytes.as_bytes()[1], bytes.as_bytes()[2], 0]))
}

fn cached(pictures: &Arc<Pictures>, coarse: Coarse, frozen: &Frozen<'_>, stop: &Stop) -> Result<Source> {
    let (embeddings, seen) = (&frozen.embeddings, frozen.seen);
    let coarse = match coarse {
        Coarse::Cls => seen.cls.shallow_clone(),
        Coarse::Composite => seen.composite.shallow_clone(),
    };
    Ok(Source::Cached {
        coarse,
        cls_token: features::vectors(embeddings, "cls_token", pictures, stop)?,
        patch_tokens: features::patch_tokens(embeddings, pictures, stop)?,
        mask: features::masks(embeddings, pictures, stop)?,
    })
}
