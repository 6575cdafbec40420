//! The model that adaptation trains: a vision tower with SOAP, TokenFusion and the learnable head on top.
//!
//! What is trained depends on [`Tune`]; all else is frozen and shares its memory with the tower it was made from.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::VisionTower;
use crate::error::{Error, Kind, Result};
use crate::fusion::foreground::{self, Saliency};
use crate::fusion::soap::{Pooling, Soap};
use crate::fusion::{normalize, token_fusion};

/// What is trained (method section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tune {
    /// Wq, Wk, Wv and W*: nothing of the tower runs, patch tokens come from the cache.
    Head,
    /// Those, and the LayerNorms of the vision tower that follow the input of this block; from 0, all of them.
    LayerNorm {
        /// The first block that is run while training; the tokens before it are frozen.
        from_block: usize,
    },
    /// All of them, with everything live: the prior's crops and the weak view go through the tower as it stands at every step.
    Reference,
}

impl Tune {
    /// The block whose input training starts from; `None` where no block is run.
    pub fn from_block(self) -> Option<usize> {
        match self {
            Tune::Head => None,
            Tune::LayerNorm { from_block } => Some(from_block),
            Tune::Reference => Some(0),
        }
    }
}

/// What SOAP looks for in the patches: the token (D) that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// The mean of the foreground's patches: the paper's.
    Foreground,
    /// The mean of all patches.
    All,
    /// The [CLS] token.
    Cls,
    /// One patch, drawn for each picture.
    Random,
}

/// The parts of the model that a pipeline chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// What is trained.
    pub tune: Tune,
    /// The cut of the patch graph.
    pub saliency: Saliency,
    /// The token that asks.
    pub query: Query,
    /// How patches become one token.
    pub pooling: Pooling,
    /// Whether the token that stands for "nowhere" is learned rather than zero.
    pub learned_sink: bool,
    /// Share of [FG] in the fusion.
    pub ratio: f64,
    /// Factor of the logits.
    pub scale: f64,
    /// Whether W* is trained; it stays at its start otherwise.
    pub train_head: bool,
}

/// What the tower saw of B pictures.
#[derive(Debug)]
pub struct Seen {
    /// The coarse feature, (B, d), of unit length: [CLS] projected, or what stands in for it.
    pub coarse: Tensor,
    /// The [CLS] token before the projection, (B, D): the query of [`Query::Cls`], of no use to others.
    pub cls_token: Tensor,
    /// Patch tokens by the value path, (B, N, D).
    pub patch_tokens: Tensor,
    /// Whether a patch is foreground, (B, N), bool.
    pub mask: Tensor,
    /// A whole number for each picture, (B): it picks the patch of [`Query::Random`].
    pub picks: Tensor,
}

/// The two image features of B pictures, each (B, d) and of unit length.
#[derive(Debug)]
pub struct Tokens {
    /// From [CLS], or what stands in for it.
    pub coarse: Tensor,
    /// From the foreground.
    pub fg: Tensor,
}

/// The trainable model.
#[derive(Debug)]
pub struct Adapter {
    /// The tower; its LayerNorms are trained unless [`Tune::Head`].
    pub tower: VisionTower,
    /// The pooling's maps.
    pub soap: Soap,
    /// W*, (C, d); normalised at each use.
    pub head: Tensor,
    design: Design,
    names: Vec<String>,
    parameters: Vec<Tensor>,
}

impl Adapter {
    /// A model before its first step. `head` is W* at its start, (C, d).
    pub fn new(tower: &VisionTower, head: &Tensor, design: Design) -> Self {
        let mut adapter = Adapter {
            tower: tower.shallow_clone(),
            soap: Soap::identity(tower.config.width, design.learned_sink, head.device()),
            head: head.shallow_clone(),
            design,
            names: Vec::new(),
            parameters: Vec::new(),
        };
        adapter.make_trainable();
        adapter
    }

    /// The same model for another thread: its tensors are shared, and a step on either is a step of both.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Adapter {
            tower: self.tower.shallow_clone(),
            soap: self.soap.shallow_clone(),
            head: self.head.shallow_clone(),
            design: self.design,
            names: self.names.clone(),
            parameters: self.parameters.iter().map(Tensor::shallow_clone).collect(),
        }
    }

    /// Replaces what is trained by leaves of their own that ask for gradients.
    fn make_trainable(&mut self) {
        let (mut names, mut parameters) = (Vec::new(), Vec::new());
        let mut train = |name: String, tensor: &mut Tensor| {
            *tensor = tensor.detach().copy().set_requires_grad(true);
            names.push(name);
            parameters.push(tensor.shallow_clone());
        };
        if let Some(from) = self.design.tune.from_block() {
            for (name, norm) in self.tower.layer_norms_mut(from) {
                train(format!("visual.{name}.weight"), &mut norm.weight);
                train(format!("visual.{name}.bias"), &mut norm.bias);
            }
        }
        train("query_proj.weight".into(), &mut self.soap.query);
        train("key_proj.weight".into(), &mut self.soap.key);
        train("value_proj.weight".into(), &mut self.soap.value);
        if let Some(sink) = &mut self.soap.sink {
            train("sink".into(), sink);
        }
        if self.design.train_head {
            train("classifier".into(), &mut self.head);
        }
        (self.names, self.parameters) = (names, parameters);
    }

    /// The parts that the pipeline chose.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// Names of what is trained, in a fixed order; the tower's are in OpenAI's naming.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is trained, in the order of [`Adapter::names`]. The tensors are the model's own: a step on them is a step of
    /// the model.
    pub fn parameters_mut(&mut self) -> &mut [Tensor] {
        &mut self.parameters
    }

    /// What is trained, in the order of [`Adapter::names`].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// Overwrites what is trained with values read from a checkpoint, in the order of [`Adapter::names`].
    ///
    /// # Errors
    /// [`Kind::Store`] where their number or a shape differs.
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

    /// Where the model lives.
    pub fn device(&self) -> Device {
        self.head.device()
    }

    /// What the tower as it stands sees in normalised pixels (B, 3, S, S); `picks` as in [`Seen`].
    pub fn see(&self, pixels: &Tensor, picks: &Tensor) -> Seen {
        self.see_from(0, &self.tower.tokens_at(0, pixels), picks)
    }

    /// The same from the input (B, 1 + N, D) of block `block`.
    pub fn see_from(&self, block: usize, tokens: &Tensor, picks: &Tensor) -> Seen {
        let seen = self.tower.forward_from(block, tokens);
        let mask = self.design.saliency.cut(&seen.patch_tokens).mask;
        Seen {
            coarse: normalize(&seen.cls),
            cls_token: seen.cls_token,
            patch_tokens: seen.patch_tokens,
            mask,
            picks: picks.shallow_clone(),
        }
    }

    /// Both features of what was seen.
    pub fn tokens(&self, seen: &Seen) -> Tokens {
        let (patches, projection) = (&seen.patch_tokens, &self.tower.projection);
        let fg = match self.design.pooling {
            Pooling::Mean => {
                let all = patches.mean_dim([1i64].as_slice(), false, None::<Number>);
                self.soap.feature(&all, projection)
            }
            Pooling::ForegroundMean => self.soap.feature(&foreground::mean(patches, &seen.mask), projection),
            Pooling::Attention => self.soap.forward(&self.query(seen), patches, projection),
        };
        Tokens { coarse: seen.coarse.shallow_clone(), fg }
    }

    /// Where SOAP looks in what was seen, (B, N + 1), the last being the sink; `None` where patches are pooled without attention.
    pub fn attention(&self, seen: &Seen) -> Option<Tensor> {
        let attends = self.design.pooling == Pooling::Attention;
        attends.then(|| self.soap.attention(&self.query(seen), &seen.patch_tokens))
    }

    /// The token that asks, (B, D).
    fn query(&self, seen: &Seen) -> Tensor {
        let patches = &seen.patch_tokens;
        match self.design.query {
            Query::Foreground => foreground::mean(patches, &seen.mask),
            Query::All => patches.mean_dim([1i64].as_slice(), false, None::<Number>),
            Query::Cls => seen.cls_token.shallow_clone(),
            Query::Random => picked(patches, &seen.picks),
        }
    }

    /// The fused feature (B, d), of unit length, that pictures are told apart by.
    pub fn feature(&self, tokens: &Tokens) -> Tensor {
        token_fusion::feature(&tokens.coarse, &tokens.fg, self.design.ratio)
    }

    /// Logits (B, C) for training and inference.
    pub fn logits(&self, tokens: &Tokens) -> Tensor {
        let Design { ratio, scale, .. } = self.design;
        token_fusion::logits(&tokens.coarse, &tokens.fg, ratio, &normalize(&self.head), scale)
    }

    /// The fused feature's cosines to W*, (B, C): what DKA mixes with the prior.
    pub fn fusion_logits(&self, tokens: &Tokens) -> Tensor {
        self.feature(tokens).matmul(&normalize(&self.head).tr()).to_kind(Number::Float)
    }
}

/// One patch token of each picture, (B, D): the number in `picks` (B), counted round.
fn picked(patch_tokens: &Tensor, picks: &Tensor) -> Tensor {
    let size = patch_tokens.size();
    let (patches, width) = (size[1], size[2]);
    let index = picks.remainder(patches).view([-1, 1, 1]).expand([-1, 1, width], false);
    patch_tokens.gather(1, &index, false).squeeze_dim(1)
}
