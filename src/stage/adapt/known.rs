//! What is known of each picture before the model in training sees it: cached features, cached
//! tokens of an earlier block, or nothing but its pixels.

use tch::{Device, Kind as Number, Tensor};

use crate::device::{guarded, upload};
use crate::error::{Error, Kind, Result};
use crate::fusion::design::{Design, StartsFrom};
use crate::fusion::matrix::Matrix;
use crate::fusion::model::{Model, Seen};
use crate::stage::adapt::Recipe;
use crate::stage::features;
use crate::stage::pictures::Pictures;
use crate::stage::prior::MultiView;
use crate::stage::stored_tensors::StoredTensors;
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
    /// The tower's width, D.
    pub width: i64,
}

/// Maximum bytes of features kept on a GPU: enough for most datasets of this kind, and little
/// enough that a GPU of 8 GB has room to compute.
const ON_A_GPU: usize = 2 << 30;

/// Everything known of each of the dataset's pictures before the model sees it.
pub(super) struct Known {
    source: Source,
    /// A number for each picture, (rows), derived from its id and the seed.
    picks: Rows,
}

/// What a forward pass starts from.
enum Source {
    /// Cached outputs of the frozen tower.
    Cached { coarse: Rows, cls_token: Rows, patch_tokens: Rows, mask: Rows },
    /// The number of a block, and its input (rows, 1 + N, D).
    Block(usize, Rows),
    /// The picture itself.
    Pixels,
}

/// A row for each picture.
enum Rows {
    /// In memory, on the model's device if there is room.
    Near(Tensor),
    /// Vectors on the CPU, in memory or in the store.
    Vectors(Matrix),
    /// Tensors on the CPU, in memory or in the store.
    Tensors(StoredTensors),
    /// The same ones for each picture, in place of what the model does not look at.
    Ones(Vec<i64>),
}

impl Rows {
    fn shallow_clone(&self) -> Self {
        match self {
            Rows::Near(all) => Rows::Near(all.shallow_clone()),
            Rows::Vectors(all) => Rows::Vectors(all.clone()),
            Rows::Tensors(all) => Rows::Tensors(all.shallow_clone()),
            Rows::Ones(shape) => Rows::Ones(shape.clone()),
        }
    }

    fn bytes(&self, count: usize) -> usize {
        match self {
            Rows::Near(all) => all.numel() * all.kind().elt_size_in_bytes(),
            Rows::Vectors(all) => count * all.size().1 as usize * size_of::<f32>(),
            Rows::Tensors(all) => all.bytes() as usize,
            Rows::Ones(_) => 0,
        }
    }

    /// Returns these rows, on `device`.
    fn of(&self, rows: &[i64], device: Device) -> Result<Tensor> {
        match self {
            Rows::Near(all) => {
                let index = upload(&Tensor::from_slice(rows), all.device())?;
                upload(&all.index_select(0, &index), device)
            }
            Rows::Vectors(all) => upload(&all.rows(&Tensor::from_slice(rows))?, device),
            Rows::Tensors(all) => upload(&all.rows(rows)?, device),
            Rows::Ones(shape) => {
                let shape: Vec<i64> = [rows.len() as i64].iter().chain(shape).copied().collect();
                Ok(Tensor::ones(shape, (Number::Float, device)))
            }
        }
    }

    /// Returns all rows on a GPU.
    fn nearer(&self, count: usize, device: Device) -> Result<Self> {
        Ok(match self {
            Rows::Near(all) => Rows::Near(upload(all, device)?),
            Rows::Ones(_) => self.shallow_clone(),
            Rows::Vectors(_) | Rows::Tensors(_) => {
                Rows::Near(self.of(&(0..count as i64).collect::<Vec<i64>>(), device)?)
            }
        })
    }
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
    /// Reads the frozen tower's outputs, if training starts from them, and keeps them on `device`
    /// if there is room.
    ///
    /// # Errors
    /// Fails if the store lacks a picture's tokens, or a stop was requested.
    pub(super) fn read(
        pictures: &Pictures,
        recipe: &Recipe,
        frozen: &Frozen<'_>,
        device: Device,
        stop: &Stop,
    ) -> Result<Self> {
        let source = match recipe.design.starts_from {
            StartsFrom::Features => cached(pictures, recipe.design, frozen, stop)?,
            StartsFrom::Block(block) => {
                let tokens = frozen.blocks.as_ref().ok_or_else(|| {
                    Error::new(Kind::Internal, format!("no table has the tokens before block {block}"))
                })?;
                Source::Block(block, Rows::Tensors(features::tensors(tokens, "tokens", pictures, stop)?))
            }
            StartsFrom::Pixels => Source::Pixels,
        };
        let picks = pictures.rows().iter().map(|picture| pick(recipe.seed, &picture.image_id));
        let picks = Tensor::from_slice(&picks.collect::<Vec<i64>>());
        Ok(Known { source, picks: Rows::Near(picks) }.nearer(pictures.rows().len(), device))
    }

    /// Returns whether a forward pass starts from pixels.
    pub(super) fn needs_pixels(&self) -> bool {
        matches!(self.source, Source::Pixels)
    }

    /// Returns whether a forward pass runs blocks of the tower.
    pub(super) fn runs_tower(&self) -> bool {
        !matches!(self.source, Source::Cached { .. })
    }

    /// Returns a copy for another thread, which shares the tensors.
    pub(super) fn shallow_clone(&self) -> Self {
        let source = self.source.map(&|rows| Ok(rows.shallow_clone())).unwrap_or(Source::Pixels);
        Known { source, picks: self.picks.shallow_clone() }
    }

    /// Moves the rows, `count` of each, to `device` if there is room for them.
    fn nearer(self, count: usize, device: Device) -> Self {
        if device == Device::Cpu || self.source.bytes(count) > ON_A_GPU {
            return self;
        }
        let moved = guarded("bringing features to the GPU", || {
            let source = self.source.map(&|rows| rows.nearer(count, device))?;
            Ok(Known { source, picks: self.picks.nearer(count, device)? })
        });
        moved.unwrap_or(self)
    }

    /// Returns the input of some pictures for a model on `device`; `None` if it starts from pixels.
    pub(super) fn input(&self, rows: &[i64], device: Device) -> Result<Option<Input>> {
        let pick = |all: &Rows| all.of(rows, device);
        let float = |all: &Rows| Ok(pick(all)?.to_kind(Number::Float));
        Ok(match &self.source {
            Source::Pixels => None,
            Source::Block(block, tokens) => Some(Input::Block(*block, float(tokens)?, self.picks(rows, device)?)),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => Some(Input::Seen(Seen {
                coarse: pick(coarse)?,
                cls_token: pick(cls_token)?,
                patch_tokens: float(patch_tokens)?,
                mask: pick(mask)?.to_kind(Number::Bool),
                picks: self.picks(rows, device)?,
            })),
        })
    }

    /// Returns the picks of some pictures, on `device`.
    pub(super) fn picks(&self, rows: &[i64], device: Device) -> Result<Tensor> {
        self.picks.of(rows, device)
    }
}

impl Source {
    /// Returns a copy with all rows replaced by `f` of them.
    fn map(&self, f: &dyn Fn(&Rows) -> Result<Rows>) -> Result<Self> {
        Ok(match self {
            Source::Pixels => Source::Pixels,
            Source::Block(block, tokens) => Source::Block(*block, f(tokens)?),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => Source::Cached {
                coarse: f(coarse)?,
                cls_token: f(cls_token)?,
                patch_tokens: f(patch_tokens)?,
                mask: f(mask)?,
            },
        })
    }

    /// Returns the bytes of the rows of `count` pictures.
    fn bytes(&self, count: usize) -> usize {
        match self {
            Source::Pixels => 0,
            Source::Block(_, tokens) => tokens.bytes(count),
            Source::Cached { coarse, cls_token, patch_tokens, mask } => {
                [coarse, cls_token, patch_tokens, mask].into_iter().map(|rows| rows.bytes(count)).sum()
            }
        }
    }
}

/// Opens what the cache has of the pictures. What the model does not look at is not read.
fn cached(pictures: &Pictures, design: Design, frozen: &Frozen<'_>, stop: &Stop) -> Result<Source> {
    let (embeddings, seen) = (&frozen.embeddings, frozen.seen);
    let coarse = if design.fuses_composite() { &seen.composite } else { &seen.cls };
    let tensors = |column| Ok(Rows::Tensors(features::tensors(embeddings, column, pictures, stop)?));
    let (patch_tokens, mask) = match design.needs_patches() {
        true => (tensors("patch_tokens")?, tensors("mask")?),
        false => (Rows::Ones(vec![1, frozen.width]), Rows::Ones(vec![1])),
    };
    let cls_token = match design.needs_cls_token() {
        true => Rows::Vectors(features::vectors(embeddings, "cls_token", pictures, stop)?),
        false => Rows::Ones(vec![frozen.width]),
    };
    Ok(Source::Cached { coarse: Rows::Vectors(coarse.clone()), cls_token, patch_tokens, mask })
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
