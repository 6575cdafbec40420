//! Predict: runs an adapted model on pictures that are in no table.
//!
//! A picture goes the same way as through `embed`, `views` and evaluation, in the same number
//! types, so that it is answered as if it were in the dataset; nothing is written to the store.

use std::sync::Arc;

use futures::StreamExt;
use tch::{Kind as Number, Tensor};

use crate::cores::{self, PerThread};
use crate::device::guarded;
use crate::error::{Error, Kind, Result};
use crate::fusion::design::{Coarse, StartsFrom};
use crate::fusion::model::{Model, Seen};
use crate::fusion::{class_bias, composite, normalize};
use crate::image::{Crops, Decoding, ImageId, Preprocess, Rejection, Rgb, crops};
use crate::source::Item;
use crate::stage::adapt::pick;
use crate::stage::answers::Mixture;
use crate::stage::encoded::{self, Encoded};
use crate::stage::frozen::FrozenTower;
use crate::stage::pixels::Normaliser;
use crate::stop::Stop;

/// An adapted model, ready for pictures.
pub struct Predictor {
    /// The model.
    pub model: Model,
    /// The frozen tower in the precision of its space, with its normaliser; not needed if the
    /// adapted tower sees pixels and no prior is mixed in.
    pub frozen: Option<Arc<FrozenTower>>,
    /// Normaliser of the adapted tower's input.
    pub normaliser: Normaliser,
    /// How a picture is resized to the towers' input.
    pub preprocess: Preprocess,
    /// How pictures become pixels.
    pub decoding: Decoding,
    /// The seed of the run.
    pub seed: u64,
    /// How a picture's crops are drawn, if the coarse feature or the prior needs them.
    pub crops: Option<Crops>,
    /// The prior, if answers are mixed with it.
    pub prior: Option<Prior>,
}

/// The frozen model's classifier, and its weight in answers.
pub struct Prior {
    /// `W_LLM`, (C, d) with unit rows, on the CPU.
    pub head: Tensor,
    /// The biases of its classes, (C) on the CPU, if they are taken out.
    pub bias: Option<Tensor>,
    /// The prior's share in the answer.
    pub gamma: f64,
}

impl Prior {
    fn shallow_clone(&self) -> Self {
        let Prior { head, bias, gamma } = self;
        Prior { head: head.shallow_clone(), bias: bias.as_ref().map(Tensor::shallow_clone), gamma: *gamma }
    }
}

/// A picture's pixels, ready for the towers.
struct Prepared {
    id: ImageId,
    centre: Vec<u8>,
    crops: Vec<u8>,
}

/// An adapted model's intermediate results for B pictures; fp32 on the CPU.
#[derive(Debug)]
pub struct Insight {
    /// Features that are classified, (B, d), of unit length.
    pub features: Tensor,
    /// Foreground masks, (B, N): 1 if a patch is foreground.
    pub masks: Tensor,
    /// SOAP's attention to the patches and to the sink, (B, N + 1); `None` if patches are pooled
    /// without attention.
    pub attention: Option<Tensor>,
}

/// A picture's logits (C), or why it cannot be read.
pub type Answer = Result<Vec<f32>, Rejection>;

impl Predictor {
    /// Answers pictures in order, `batch` at a time, and passes each batch's answers to `give`.
    /// Ends early if `give` returns false.
    ///
    /// # Errors
    /// Fails if the device, `give` or the source of the items fails, or a stop was requested. A
    /// picture that cannot be read is an [`Answer`], not an error.
    pub async fn predict(
        &self,
        items: impl Iterator<Item = Result<Item>> + Send,
        batch: usize,
        stop: &Stop,
        mut give: impl FnMut(&[(String, Answer)]) -> Result<bool>,
    ) -> Result<()> {
        let (preprocess, decoding, crops) = (self.preprocess.clone(), self.decoding, self.crops);
        let prepared = encoded::each(items, decoding.limits, move |item, encoded| {
            let prepared = match encoded {
                Ok(encoded) => prepare(&encoded, &preprocess, &decoding, crops.as_ref())?,
                Err(rejection) => Err(rejection),
            };
            Ok((item.path, prepared))
        });
        let batches = prepared.chunks(batch).map(|pictures| {
            stop.check()?;
            pictures.into_iter().collect::<Result<Vec<_>>>()
        });
        let workers = cores::workers(self.model.device());
        let model = PerThread::new(self.shallow_clone(), Predictor::shallow_clone);
        let answered = cores::buffered(batches, workers, move |pictures| model.with(|model| model.answer(pictures)));
        let mut answered = std::pin::pin!(answered);
        while let Some(answers) = answered.next().await {
            if !give(&answers?)? {
                break;
            }
        }
        Ok(())
    }

    /// Returns a copy for another thread, which shares the tensors.
    fn shallow_clone(&self) -> Self {
        Predictor {
            model: self.model.shallow_clone(),
            frozen: self.frozen.clone(),
            normaliser: self.normaliser.shallow_clone(),
            preprocess: self.preprocess.clone(),
            decoding: self.decoding,
            seed: self.seed,
            crops: self.crops,
            prior: self.prior.as_ref().map(Prior::shallow_clone),
        }
    }

    fn answer(&self, pictures: Vec<(String, Result<Prepared, Rejection>)>) -> Result<Vec<(String, Answer)>> {
        let mut answers = Vec::with_capacity(pictures.len());
        let mut good = Vec::new();
        for (path, prepared) in pictures {
            match prepared {
                Ok(prepared) => {
                    good.push(prepared);
                    answers.push((path, Ok(Vec::new())));
                }
                Err(rejection) => answers.push((path, Err(rejection))),
            }
        }
        if good.is_empty() {
            return Ok(answers);
        }
        let logits = guarded("answering pictures", || {
            let _no_grad = tch::no_grad_guard();
            self.logits(&good)
        })?;
        let places = answers.iter_mut().filter_map(|(_, answer)| answer.as_mut().ok());
        for (row, place) in (0..).zip(places) {
            *place = crate::table::tensor::numbers(&logits.get(row))?;
        }
        Ok(answers)
    }

    /// Returns what the model computes for pictures besides the answer. None of it is in the
    /// tables.
    ///
    /// # Errors
    /// Fails if the device fails, or a picture is too long and thin to be resized.
    pub fn insight(&self, pictures: &[(ImageId, Rgb)]) -> Result<Insight> {
        let prepare = |(id, picture): &(ImageId, Rgb)| prepared(*id, picture, &self.preprocess, self.crops.as_ref());
        let pictures: Vec<Prepared> = pictures.iter().map(prepare).collect::<Result<_>>()?;
        guarded("looking at pictures", || {
            let _no_grad = tch::no_grad_guard();
            let (seen, _) = self.see(&pictures)?;
            let cpu = |t: Tensor| t.to_kind(Number::Float).to_device(tch::Device::Cpu);
            Ok(Insight {
                features: cpu(self.model.feature(&self.model.tokens(&seen))),
                masks: cpu(seen.mask.shallow_clone()),
                attention: self.model.attention(&seen).map(cpu),
            })
        })
    }

    /// Returns the logits (B, C), fp32 on the CPU.
    fn logits(&self, pictures: &[Prepared]) -> Result<Tensor> {
        let (seen, composite) = self.see(pictures)?;
        let cpu = tch::Device::Cpu;
        let adapted = self.model.logits(&self.model.tokens(&seen)).to_kind(Number::Float).to_device(cpu);
        match (&self.prior, &composite) {
            (Some(Prior { head, bias, gamma }), Some(composite)) => {
                let scale = self.model.design().scale;
                let mut cosines = composite.to_device(cpu).matmul(&head.tr());
                if let Some(bias) = bias {
                    cosines = class_bias::apply(&cosines, bias, scale);
                }
                Ok(Mixture { gamma: *gamma, scale }.of(&cosines, &adapted))
            }
            _ => Ok(adapted),
        }
    }

    /// Returns what the model sees, and the composite feature of the crops (B, d), if there are
    /// crops.
    fn see(&self, pictures: &[Prepared]) -> Result<(Seen, Option<Tensor>)> {
        let joined = |of: fn(&Prepared) -> &Vec<u8>| pictures.iter().flat_map(of).copied().collect::<Vec<u8>>();
        let centre = joined(|p| &p.centre);
        let picks: Vec<i64> = pictures.iter().map(|p| pick(self.seed, &p.id.to_string())).collect();
        let picks = Tensor::from_slice(&picks).to_device(self.model.device());

        // What the tables would hold for these pictures.
        let design = self.model.design();
        let frozen = match &self.frozen {
            Some(tower) if design.starts_from == StartsFrom::Features || self.crops.is_some() => {
                Some(tower.see(&centre, pictures.len())?)
            }
            _ => None,
        };
        let cls = frozen.as_ref().map(|seen| normalize(&seen.cls.to_kind(Number::Float)));
        let composite = match (&self.frozen, &self.crops, &cls) {
            (Some(tower), Some(spec), Some(cls)) => {
                let crops = joined(|p| &p.crops);
                let features = tower.see(&crops, pictures.len() * spec.count)?.cls.to_kind(Number::Float);
                let features = normalize(&features).view([pictures.len() as i64, -1, cls.size()[1]]);
                Some(composite::composite(&features, cls))
            }
            _ => None,
        };
        let seen = match (design.starts_from, frozen, cls) {
            (StartsFrom::Features, Some(seen), Some(cls)) => {
                let tokens = seen.patch_tokens.to_kind(Number::Half);
                Seen {
                    coarse: match (design.fusion.coarse, &composite) {
                        (Coarse::Composite, Some(composite)) => composite.shallow_clone(),
                        _ => cls,
                    },
                    cls_token: seen.cls_token.to_kind(Number::Float),
                    mask: design.saliency.cut(&tokens).mask,
                    patch_tokens: tokens.to_kind(Number::Float),
                    picks,
                }
            }
            (StartsFrom::Block(block), _, _) => {
                let Some(tower) = &self.frozen else { return Err(no_tower()) };
                let tokens = tower.tokens_at(block, &centre, pictures.len())?.to_kind(Number::Half);
                self.model.see_from(block, &tokens.to_kind(Number::Float), &picks)
            }
            (StartsFrom::Pixels, _, _) => self.model.see(&self.normaliser.forward(&centre)?, &picks),
            (StartsFrom::Features, _, _) => return Err(no_tower()),
        };
        Ok((seen, composite))
    }
}

fn no_tower() -> Error {
    Error::new(Kind::Model, "the run answers from cached tokens, and the frozen tower was not opened")
}

/// Decodes a picture and cuts its views.
fn prepare(
    encoded: &Encoded,
    preprocess: &Preprocess,
    decoding: &Decoding,
    crops: Option<&Crops>,
) -> Result<Result<Prepared, Rejection>> {
    let id = encoded.id;
    let picture = match decoding.picture(&encoded.bytes) {
        Ok(picture) => picture,
        Err(rejection) => return Ok(Err(rejection)),
    };
    prepared(id, &picture, preprocess, crops).map(Ok)
}

/// Cuts a picture's views.
fn prepared(id: ImageId, picture: &Rgb, preprocess: &Preprocess, crops: Option<&Crops>) -> Result<Prepared> {
    let cuts = crops.map_or_else(Vec::new, |spec| crops::boxes(spec, &id, picture.width, picture.height));
    let crops = crops::crops(picture, &cuts, preprocess.crop, preprocess.filter)?;
    Ok(Prepared { id, centre: preprocess.centre_view(picture)?, crops })
}
