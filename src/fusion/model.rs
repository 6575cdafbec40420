//! The model that adaptation trains: a vision tower with SOAP, TokenFusion and the learnable head
//! on top.
//!
//! The [`Design`] determines what is trained; everything else is frozen and shares its memory with
//! the original tower.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::VisionTower;
use crate::error::{Error, Kind, Result};
use crate::fusion::design::{Design, Query, Sink, StartsFrom};
use crate::fusion::foreground;
use crate::fusion::soap::{Pooling, Soap};
use crate::fusion::{normalize, token_fusion};

/// The tower's view of B pictures.
#[derive(Debug)]
pub struct Seen {
    /// The coarse feature, (B, d), of unit length: the projected [CLS], or its substitute.
    pub coarse: Tensor,
    /// The [CLS] token before the projection, (B, D): used by [`Query::Cls`] only.
    pub cls_token: Tensor,
    /// The patch tokens of the value path, (B, N, D).
    pub patch_tokens: Tensor,
    /// Whether a patch is foreground, (B, N), bool.
    pub mask: Tensor,
    /// An integer for each picture, (B), which picks the patch of [`Query::Random`].
    pub picks: Tensor,
}

/// The two image features of B pictures, each (B, d) and of unit length.
#[derive(Debug)]
pub struct Tokens {
    /// The feature of [CLS], or its substitute.
    pub coarse: Tensor,
    /// The feature of the foreground.
    pub fg: Tensor,
}

/// The trainable model.
#[derive(Debug)]
pub struct Model {
    /// The tower; the LayerNorms of the part that runs are trained.
    pub tower: VisionTower,
    /// The pooling's maps.
    pub soap: Soap,
    /// The head W*, (C, d); normalised at each use.
    pub head: Tensor,
    design: Design,
    names: Vec<String>,
    parameters: Vec<Tensor>,
}

impl Model {
    /// Returns a model before its first step. `head` is the start of W*, (C, d).
    pub fn new(tower: &VisionTower, head: &Tensor, design: Design) -> Self {
        let mut model = Model {
            tower: tower.shallow_clone(),
            soap: Soap::identity(tower.config.width, design.fusion.sink == Sink::Learned, head.device()),
            head: head.shallow_clone(),
            design,
            names: Vec::new(),
            parameters: Vec::new(),
        };
        model.make_trainable();
        model
    }

    /// Returns the same model for another thread: its tensors are shared, so a step on either is a
    /// step of both.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Model {
            tower: self.tower.shallow_clone(),
            soap: self.soap.shallow_clone(),
            head: self.head.shallow_clone(),
            design: self.design,
            names: self.names.clone(),
            parameters: self.parameters.iter().map(Tensor::shallow_clone).collect(),
        }
    }

    /// Replaces the trained tensors by copies that require gradients.
    fn make_trainable(&mut self) {
        let (mut names, mut parameters) = (Vec::new(), Vec::new());
        let mut train = |name: String, tensor: &mut Tensor| {
            *tensor = tensor.detach().copy().set_requires_grad(true);
            names.push(name);
            parameters.push(tensor.shallow_clone());
        };
        let norms = match self.design.starts_from {
            StartsFrom::Features => Vec::new(),
            StartsFrom::Block(block) => self.tower.layer_norms_mut(block),
            StartsFrom::Pixels => self.tower.layer_norms_mut(0),
        };
        for (name, norm) in norms {
            train(format!("visual.{name}.weight"), &mut norm.weight);
            train(format!("visual.{name}.bias"), &mut norm.bias);
        }
        train("query_proj.weight".into(), &mut self.soap.query);
        train("key_proj.weight".into(), &mut self.soap.key);
        train("value_proj.weight".into(), &mut self.soap.value);
        if let Some(sink) = &mut self.soap.sink {
            train("sink".into(), sink);
        }
        if self.design.trains_head() {
            train("classifier".into(), &mut self.head);
        }
        (self.names, self.parameters) = (names, parameters);
    }

    /// Returns the parts that the pipeline chose.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// Returns the names of the trained tensors, in a fixed order; the tower's are in OpenAI's
    /// naming.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the trained tensors, in the order of [`Model::names`]. They are the model's own: a
    /// step on them is a step of the model.
    pub fn parameters_mut(&mut self) -> &mut [Tensor] {
        &mut self.parameters
    }

    /// Returns the trained tensors, in the order of [`Model::names`].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// Overwrites the trained tensors with values read from a checkpoint, in the order of
    /// [`Model::names`].
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if their number or a shape differs.
    pub fn restore(&mut self, values: &[Tensor]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        if values.len() != self.parameters.len() {
            let (found, expected) = (values.len(), self.parameters.len());
            return Err(Error::new(Kind::Store, format!("checkpoint has {found} parameters, the model {expected}")));
        }
        for ((name, parameter), value) in self.names.iter().zip(&mut self.parameters).zip(values) {
            if parameter.size() != value.size() {
                let (found, expected) = (value.size(), parameter.size());
                return Err(Error::new(
                    Kind::Store,
                    format!("checkpoint's '{name}' is {found:?}, the model's {expected:?}"),
                ));
            }
            parameter.copy_(value);
        }
        Ok(())
    }

    /// Returns the model's device.
    pub fn device(&self) -> Device {
        self.head.device()
    }

    /// Returns W* as answers use it: (C, d) with unit rows, without gradients.
    pub fn classifier(&self) -> Tensor {
        normalize(&self.head.detach())
    }

    /// Runs the current tower on normalised pixels (B, 3, S, S); `picks` as in [`Seen`].
    pub fn see(&self, pixels: &Tensor, picks: &Tensor) -> Seen {
        self.see_from(0, &self.tower.tokens_at(0, pixels), picks)
    }

    /// Like [`see`](Self::see), from the input (B, 1 + N, D) of block `block`.
    pub fn see_from(&self, block: usize, tokens: &Tensor, picks: &Tensor) -> Seen {
        let seen = self.tower.forward_from(block, tokens);
        let mask = self.design.saliency.mask(&seen.patch_tokens);
        Seen {
            coarse: normalize(&seen.cls),
            cls_token: seen.cls_token,
            patch_tokens: seen.patch_tokens,
            mask,
            picks: picks.shallow_clone(),
        }
    }

    /// Returns both features of what was seen.
    pub fn tokens(&self, seen: &Seen) -> Tokens {
        let (patches, projection) = (&seen.patch_tokens, &self.tower.projection);
        let fg = match self.design.fusion.pooling {
            Pooling::Mean => {
                let all = patches.mean_dim([1i64].as_slice(), false, None::<Number>);
                self.soap.feature(&all, projection)
            }
            Pooling::ForegroundMean => self.soap.feature(&foreground::mean(patches, &seen.mask), projection),
            Pooling::Attention => self.soap.forward(&self.query(seen), patches, projection),
        };
        Tokens { coarse: seen.coarse.shallow_clone(), fg }
    }

    /// Returns SOAP's attention, (B, N + 1), the last entry being the sink; `None` if patches are
    /// pooled without attention.
    pub fn attention(&self, seen: &Seen) -> Option<Tensor> {
        let attends = self.design.fusion.pooling == Pooling::Attention;
        attends.then(|| self.soap.attention(&self.query(seen), &seen.patch_tokens))
    }

    /// Returns the query token, (B, D).
    fn query(&self, seen: &Seen) -> Tensor {
        let patches = &seen.patch_tokens;
        match self.design.fusion.query {
            Query::Foreground => foreground::mean(patches, &seen.mask),
            Query::All => patches.mean_dim([1i64].as_slice(), false, None::<Number>),
            Query::Cls => seen.cls_token.shallow_clone(),
            Query::Random => picked(patches, &seen.picks),
        }
    }

    /// Returns the fused feature (B, d), of unit length, by which pictures are classified.
    pub fn feature(&self, tokens: &Tokens) -> Tensor {
        token_fusion::feature(&tokens.coarse, &tokens.fg, self.design.fusion.ratio)
    }

    /// Returns the logits (B, C) for training and inference.
    pub fn logits(&self, tokens: &Tokens) -> Tensor {
        let Design { fusion, scale, .. } = self.design;
        token_fusion::logits(&tokens.coarse, &tokens.fg, fusion.ratio, &normalize(&self.head), scale)
    }

    /// Returns the fused feature's cosines to W*, (B, C), which DKA mixes with the prior.
    pub fn fusion_logits(&self, tokens: &Tokens) -> Tensor {
        self.feature(tokens).matmul(&normalize(&self.head).tr()).to_kind(Number::Float)
    }
}

/// Returns one patch token of each picture, (B, D), at the index in `picks` (B) modulo N.
fn picked(patch_tokens: &Tensor, picks: &Tensor) -> Tensor {
    let size = patch_tokens.size();
    let (patches, width) = (size[1], size[2]);
    let index = picks.remainder(patches).view([-1, 1, 1]).expand([-1, 1, width], false);
    patch_tokens.gather(1, &index, false).squeeze_dim(1)
}
