//! The model that adaptation trains: a vision tower with SOAP, TokenFusion and the learnable head on top.
//!
//! What is trained depends on [`Tune`]; all else is frozen and shares its memory with the tower it was made from.

use tch::{Device, Kind as Number, Tensor};

use crate::clip::VisionTower;
use crate::error::{Error, Kind, Result};
use crate::fusion::foreground::{self, Saliency};
use crate::fusion::soap::Soap;
use crate::fusion::{normalize, token_fusion};

/// What is trained (method section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tune {
    /// Wq, Wk, Wv and W*: nothing of the tower runs, patch tokens come from the cache.
    Head,
    /// Those, and every LayerNorm of the vision tower.
    LayerNorm,
}

/// The two image features of B pictures, each (B, d) and of unit length.
#[derive(Debug)]
pub struct Tokens {
    /// From [CLS].
    pub cls: Tensor,
    /// From the foreground.
    pub fg: Tensor,
}

/// The trainable model.
#[derive(Debug)]
pub struct Adapter {
    /// The tower; its LayerNorms are trained under [`Tune::LayerNorm`].
    pub tower: VisionTower,
    /// The pooling's maps.
    pub soap: Soap,
    /// W*, (C, d); normalised at each use.
    pub head: Tensor,
    saliency: Saliency,
    ratio: f64,
    scale: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
}

impl Adapter {
    /// A model before its first step. `head` is W* at its start, (C, d); `ratio` the share of [FG] in the fusion;
    /// `scale` the factor of the logits.
    pub fn new(tower: &VisionTower, head: &Tensor, tune: Tune, saliency: Saliency, ratio: f64, scale: f64) -> Self {
        let device = head.device();
        let mut adapter = Adapter {
            tower: tower.shallow_clone(),
            soap: Soap::identity(tower.config.width, device),
            head: head.shallow_clone(),
            saliency,
            ratio,
            scale,
            names: Vec::new(),
            parameters: Vec::new(),
        };
        adapter.make_trainable(tune);
        adapter
    }

    /// Replaces what `tune` trains by leaves of their own that ask for gradients.
    fn make_trainable(&mut self, tune: Tune) {
        let (mut names, mut parameters) = (Vec::new(), Vec::new());
        let mut train = |name: String, tensor: &mut Tensor| {
            *tensor = tensor.detach().copy().set_requires_grad(true);
            names.push(name);
            parameters.push(tensor.shallow_clone());
        };
        if tune == Tune::LayerNorm {
            for (name, norm) in self.tower.layer_norms_mut() {
                train(format!("visual.{name}.weight"), &mut norm.weight);
                train(format!("visual.{name}.bias"), &mut norm.bias);
            }
        }
        train("query_proj.weight".into(), &mut self.soap.query);
        train("key_proj.weight".into(), &mut self.soap.key);
        train("value_proj.weight".into(), &mut self.soap.value);
        train("classifier".into(), &mut self.head);
        (self.names, self.parameters) = (names, parameters);
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

    /// Both features of normalised pixels (B, 3, S, S), through the tower as it stands.
    pub fn tokens_of_pixels(&self, pixels: &Tensor) -> Tokens {
        let seen = self.tower.forward(pixels);
        let mask = self.saliency.cut(&seen.patch_tokens).mask;
        self.tokens(&normalize(&seen.cls), &seen.patch_tokens, &mask)
    }

    /// Both features from a [CLS] feature (B, d) of unit length, patch tokens (B, N, D) and their mask (B, N).
    pub fn tokens(&self, cls: &Tensor, patch_tokens: &Tensor, mask: &Tensor) -> Tokens {
        let query = foreground::mean(patch_tokens, mask);
        Tokens { cls: cls.shallow_clone(), fg: self.soap.forward(&query, patch_tokens, &self.tower.projection) }
    }

    /// Logits (B, C) for training and inference.
    pub fn logits(&self, tokens: &Tokens) -> Tensor {
        token_fusion::logits(&tokens.cls, &tokens.fg, self.ratio, &normalize(&self.head), self.scale)
    }

    /// The fused feature's cosines to W*, (B, C): what DKA mixes with the prior.
    pub fn fusion_logits(&self, tokens: &Tokens) -> Tensor {
        let feature = token_fusion::feature(&tokens.cls, &tokens.fg, self.ratio);
        feature.matmul(&normalize(&self.head).tr()).to_kind(Number::Float)
    }
}
