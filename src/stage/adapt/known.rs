//! What is known of each picture before the model in training sees it: cached features, cached
//! tokens of an earlier block, or nothing but its pixels.

use tch::{Device, Kind as Number, Tensor};

use crate::device::{guarded, upload};
use crate::error::{Error, Kind, Result};
use crate::fusion::design::{Design, StartsFrom};
use crate::fusion::model::{Model, Seen};
use crate::stage::adapt::Recipe;
use crate::stage::features;
use crate::stage::pictures::Pictures;
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

/// Maximum bytes of features kept on a GPU: enough for most datasets of this kind, and little
/// enough that a GPU of 8 GB has room to compute.
const ON_A_GPU: usize = 2 << 30;

/// Everything known of each of the dataset's pictures before the model sees it.
pub(super) struct Known {
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
                Source::Block(block, features::block_tokens(tokens, pictures, stop)?)
            }
            StartsFrom::Pixels => Source::Pixels,
        };
        let picks = pictures.rows().iter().map(|picture| pick(recipe.seed, &picture.image_id));
        let picks = Tensor::from_slice(&picks.collect::<Vec<i64>>());
        Ok(Known { source, picks, place: Device::Cpu }.nearer(device))
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
    pub(super) fn input(&self, rows: &[i64], device: Device) -> Result<Option<Input>> {
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
    pub(super) fn picks(&self, rows: &[i64], device: Device) -> Result<Tensor> {
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

fn cached(pictures: &Pictures, design: Design, frozen: &Frozen<'_>, stop: &Stop) -> Result<Source> {
    let (embeddings, seen) = (&frozen.embeddings, frozen.seen);
    let coarse = if design.fuses_composite() { &seen.composite } else { &seen.cls };
    Ok(Source::Cached {
        coarse: coarse.shallow_clone(),
        cls_token: features::vectors(embeddings, "cls_token", pictures, stop)?,
        patch_tokens: features::patch_tokens(embeddings, pictures, stop)?,
        mask: features::masks(embeddings, pictures, stop)?,
    })
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
