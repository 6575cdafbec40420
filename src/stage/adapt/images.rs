//! Pictures as the model under training sees them: cached tokens, cached tokens of an earlier block, or pixels through the
//! tower as it stands.

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
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::pixels::Normaliser;
use crate::stage::prior::MultiView;
use crate::stop::Stop;
use crate::store::layout::Partition;

/// What the frozen tower made of a dataset's pictures.
#[derive(Debug)]
pub struct Frozen<'a> {
    /// What was read of it already.
    pub seen: &'a MultiView,
    /// The rest of it: the partition of `embeddings`.
    pub embeddings: Partition,
    /// The partition of `block_tokens`, where training starts from a block.
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

/// What is known of each picture before the model sees it.
struct Known {
    source: Source,
    /// A number for each picture, (rows), by its id and the seed.
    picks: Tensor,
    /// The rows of these tensors that the pictures have, where those are some of them and not all.
    at: Option<Arc<Vec<i64>>>,
    /// Where its tensors are.
    place: Device,
}

/// What a forward pass starts from.
enum Source {
    /// What the frozen tower saw of each picture.
    Cached { coarse: Tensor, cls_token: Tensor, patch_tokens: Tensor, mask: Tensor },
    /// The input of a block, (rows, 1 + N, D).
    Block(usize, Tensor),
    /// The picture itself.
    Pixels,
}

/// What the model is given of B pictures, where the model is; picks as in [`Seen`].
pub(super) enum Input {
    /// Normalised pixels, (B, 3, S, S), and picks.
    Pixels(Tensor, Tensor),
    /// The number of a block, its input (B, 1 + N, D), and picks.
    Block(usize, Tensor, Tensor),
    /// What the frozen tower saw.
    Seen(Seen),
}

impl Input {
    /// What the model as it stands sees in it.
    pub(super) fn see(self, model: &Model) -> Seen {
        match self {
            Input::Pixels(pixels, picks) => model.see(&pixels, &picks),
            Input::Block(block, tokens, picks) => model.see_from(block, &tokens, &picks),
            Input::Seen(seen) => seen,
        }
    }
}

impl Known {
    /// The same for another thread; the tensors are shared.
    fn shallow_clone(&self) -> Self {
        Known {
            source: self.source.map(&Tensor::shallow_clone),
            picks: self.picks.shallow_clone(),
            at: self.at.clone(),
            place: self.place,
        }
    }

    /// The same on `device`, where it has room.
    fn nearer(self, device: Device) -> Self {
        if device == Device::Cpu || self.source.bytes() > ON_A_GPU {
            return self;
        }
        let moved = guarded("bringing features to the GPU", || {
            let to = |tensor: &Tensor| tensor.to_device(device);
            Ok(Known { source: self.source.map(&to), picks: to(&self.picks), at: self.at.clone(), place: device })
        });
        moved.unwrap_or(self)
    }

    /// What a model on `device` is given of some pictures without their pixels; `None` where it starts from these.
    fn input(&self, pictures: &[i64], device: Device) -> Result<Option<Input>> {
        let index = self.index(pictures)?;
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

    /// The row of these tensors that a picture has.
    fn at(&self, picture: i64) -> i64 {
        self.at.as_ref().map_or(picture, |at| at[picture as usize])
    }

    /// The rows of some pictures, where the tensors are.
    fn index(&self, pictures: &[i64]) -> Result<Tensor> {
        let rows: Vec<i64> = pictures.iter().map(|&picture| self.at(picture)).collect();
        upload(&Tensor::from_slice(&rows), self.place)
    }

    /// The numbers of some pictures.
    fn picks(&self, pictures: &[i64], device: Device) -> Result<Tensor> {
        let index = self.index(pictures)?;
        upload(&self.picks.index_select(0, &index), device)
    }
}

impl Source {
    /// The same with every tensor replaced by `f` of it.
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

    /// What its tensors take.
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

/// Bytes of features that are kept on a GPU: most data sets of this kind, and little enough for a GPU of 8 GB to compute besides.
const ON_A_GPU: usize = 2 << 30;

/// Pictures of a forward pass without gradients, where no block of the tower is run.
const FORWARD: usize = 128;

/// The same where the tower is run, on a CPU: enough for its products to be fast, and few enough for every core to have some.
const FORWARD_ON_A_CORE: usize = 16;

/// Pictures whose gradients one core works out at a time. The sums over a batch are made of sums over so many, in their order,
/// however many cores there are.
const SHARD: usize = 8;

impl Images {
    /// Opens all pictures of the dataset. What the frozen tower saw of them is read where training does not need more; otherwise
    /// pixels are decoded anew whenever they are needed.
    ///
    /// # Errors
    /// Where the store lacks a picture's tokens, or stopping was asked for.
    pub fn open(
        pictures: &Arc<Pictures>,
        recipe: &Recipe,
        frozen: &Frozen<'_>,
        preprocess: &Preprocess,
        normaliser: Normaliser,
        stop: &Stop,
    ) -> Result<Self> {
        let rows: Vec<usize> = (0..pictures.rows().len()).collect();
        let source = match recipe.design.starts_from {
            StartsFrom::Features => cached(pictures, &rows, recipe.design.fusion.coarse, frozen, stop)?,
            StartsFrom::Block(block) => {
                let tokens = frozen.blocks.as_ref().ok_or_else(|| {
                    Error::new(Kind::Internal, format!("no table has the tokens before block {block}"))
                })?;
                Source::Block(block, features::block_tokens(tokens, pictures, &rows, stop)?)
            }
            StartsFrom::Pixels => Source::Pixels,
        };
        let picks = rows.iter().map(|&n| pick(recipe.seed, &pictures.rows()[n].image_id));
        let picks = Tensor::from_slice(&picks.collect::<Vec<i64>>());
        let known = Known { source, picks, at: None, place: Device::Cpu }.nearer(normaliser.device());
        Ok(Images {
            pictures: pictures.clone(),
            rows: Arc::new(rows),
            preprocess: preprocess.clone(),
            normaliser,
            known,
        })
    }

    /// Returns some of them, by their places; what is known of them is shared.
    #[must_use]
    pub fn of(&self, places: &[i64]) -> Self {
        let at: Vec<i64> = places.iter().map(|&place| self.known.at(place)).collect();
        Images {
            pictures: self.pictures.clone(),
            rows: Arc::new(places.iter().map(|&place| self.rows[place as usize]).collect()),
            preprocess: self.preprocess.clone(),
            normaliser: self.normaliser.shallow_clone(),
            known: Known { at: Some(Arc::new(at)), ..self.known.shallow_clone() },
        }
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

    /// The side of the model's input and how pictures are brought to it.
    pub(super) fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Whether a forward pass starts from pixels.
    pub(super) fn needs_pixels(&self) -> bool {
        matches!(self.known.source, Source::Pixels)
    }

    /// Whether blocks of the tower are run, and on a CPU: then each core has pictures of its own.
    fn runs_tower_on_cores(&self, device: Device) -> bool {
        device == Device::Cpu && !matches!(self.known.source, Source::Cached { .. })
    }

    /// The batch's pictures by the shares in which cores work on them: all at once where the tower is not run, and on a GPU.
    pub(super) fn shard(&self, batch: usize, device: Device) -> usize {
        if self.runs_tower_on_cores(device) { SHARD } else { batch.max(1) }
    }

    /// What a model on `device` is given of some pictures, in shards; none where it starts from pixels.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub(super) fn inputs(&self, places: &[i64], device: Device) -> Result<Vec<Input>> {
        let shards = places.chunks(self.shard(places.len(), device));
        shards.filter_map(|places| self.known.input(places, device).transpose()).collect()
    }

    /// The same from the normalised pixels (B, 3, S, S) of these pictures.
    pub(super) fn inputs_of_pixels(&self, pixels: &Tensor, picks: &Tensor) -> Vec<Input> {
        let shard = self.shard(picks.size()[0] as usize, pixels.device()) as i64;
        let shards = pixels.split(shard, 0).into_iter().zip(picks.split(shard, 0));
        shards.map(|(pixels, picks)| Input::Pixels(pixels, picks)).collect()
    }

    /// The numbers of some pictures, for [`Seen::picks`].
    ///
    /// # Errors
    /// Where libtorch fails.
    pub(super) fn picks(&self, model: &Model, places: &[i64]) -> Result<Tensor> {
        self.known.picks(places, model.device())
    }

    /// Normalised pixels of a batch.
    pub(super) fn pixels(&self, batch: &PixelBatch) -> Result<Tensor> {
        self.normaliser.forward(&batch.pixels)
    }

    /// Fused cosines (rows, C) of the weak views, from which the pass's pseudo-labels are made: resized, cropped at random.
    ///
    /// # Errors
    /// Where a picture or the device fails, or stopping was asked for.
    pub async fn fusion_logits(&self, model: &Model, seed: u64, pass: u64, stop: &Stop) -> Result<Tensor> {
        let (side, filter, run_seed) = (self.preprocess.crop, self.preprocess.filter, seed);
        let view = move |pictures: &Pictures, n: usize| {
            let picture = pictures.load(n)?;
            let mut rng = rng(run_seed, &pictures.rows()[n].id, pass, "weak");
            weak_view(&picture, side, filter, &mut rng)
        };
        self.forward(model, view, stop, |model, tokens| model.fusion_logits(tokens)).await
    }

    /// Logits (rows, C) of the centre views: what is evaluated and predicted.
    ///
    /// # Errors
    /// Where a picture or the device fails, or stopping was asked for.
    pub async fn logits(&self, model: &Model, stop: &Stop) -> Result<Tensor> {
        let preprocess = self.preprocess.clone();
        let view = move |pictures: &Pictures, n: usize| preprocess.centre_view(&pictures.load(n)?);
        self.forward(model, view, stop, |model, tokens| model.logits(tokens)).await
    }

    /// The same, with progress: the adapted model's answers of a run.
    ///
    /// # Errors
    /// As [`Images::logits`].
    pub async fn evaluated(&self, model: &Model, run: &str, job: Job<'_>) -> Result<Tensor> {
        let Job { stop, progress, .. } = job;
        progress.begin("evaluate", "image", self.len() as u64, 0);
        let logits = self.logits(model, stop).await?;
        progress.advance(self.len() as u64);
        progress.end(&format!("{} images by the adapted model of {run}", self.len()));
        Ok(logits)
    }

    /// All pictures through the model as it stands, without gradients.
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
        let batches = self.batches(device, view).map(|batch| stop.check().and(batch));
        let scored = cores::buffered(batches, cores::workers(device), move |batch: PixelBatch| {
            guarded("scoring pictures", || {
                let _no_grad = tch::no_grad_guard();
                let places: Vec<i64> = batch.pictures.iter().map(|&at| at as i64).collect();
                model.with(|(model, normaliser, known)| {
                    let input = match known.input(&places, device)? {
                        Some(input) => input,
                        None => Input::Pixels(normaliser.forward(&batch.pixels)?, known.picks(&places, device)?),
                    };
                    Ok(read(model, &model.tokens(&input.see(model))).to_kind(Number::Float).to_device(Device::Cpu))
                })
            })
        });
        let rows: Vec<Tensor> = scored.try_collect().await?;
        Ok(Tensor::cat(&rows, 0))
    }

    /// All pictures in their order, in batches for a model on `device`: with pixels where it starts from these.
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

    /// Views of each of these pictures, by their place in this list, in batches.
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

/// The whole number by which a run with this seed picks a patch of a picture, for [`Seen::picks`].
pub fn pick(seed: u64, image_id: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"patch").update(&seed.to_le_bytes());
    hasher.update(image_id.as_bytes());
    let bytes = hasher.finalize();
    i64::from(u32::from_le_bytes([bytes.as_bytes()[0], bytes.as_bytes()[1], bytes.as_bytes()[2], 0]))
}

fn cached(
    pictures: &Arc<Pictures>,
    rows: &[usize],
    coarse: Coarse,
    frozen: &Frozen<'_>,
    stop: &Stop,
) -> Result<Source> {
    let (embeddings, seen) = (&frozen.embeddings, frozen.seen);
    let coarse = match coarse {
        Coarse::Cls => seen.cls.shallow_clone(),
        Coarse::Composite => seen.composite.shallow_clone(),
    };
    Ok(Source::Cached {
        coarse,
        cls_token: features::vectors(embeddings, "cls_token", pictures, rows, stop)?,
        patch_tokens: features::patch_tokens(embeddings, pictures, rows, stop)?,
        mask: features::masks(embeddings, pictures, rows, stop)?,
    })
}
