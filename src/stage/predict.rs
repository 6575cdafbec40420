//! Predict: runs an adapted model on pictures that are in no table.
//!
//! A picture goes the same way as through `embed`, `views` and evaluation, in the same number
//! types, so that it is answered as if it were in the dataset; nothing is written to the store.

use std::sync::Arc;

use futures::StreamExt;
use tch::{Kind as Number, Tensor};

use crate::clip::SecondFeatures;
use crate::cores::{self, PerThread};
use crate::device::guarded;
use crate::dino;
use crate::error::{Error, Kind, Result};
use crate::fusion::design::StartsFrom;
use crate::fusion::joint_transport::Joint;
use crate::fusion::model::{Model, Seen};
use crate::fusion::{class_bias, composite, normalize};
use crate::image::{Crops, Decoding, ImageId, Preprocess, Rejection, Rgb, crops};
use crate::source::Item;
use crate::stage::adapt::pick;
use crate::stage::answers::Mixture;
use crate::stage::encoded::{self, Encoded, Next};
use crate::stage::frozen::FrozenTower;
use crate::stage::pixels::Normaliser;
use crate::stage::second;
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
    /// The second vision model, if there is one.
    pub second: Option<Second>,
    /// The prior's share in the answer.
    pub gamma: f64,
}

/// The second vision model, with the classes in its space.
pub struct Second {
    /// The tower, in the precision of its space.
    pub tower: Arc<FrozenTower<dino::Tower>>,
    /// How a picture is resized to its input.
    pub preprocess: Preprocess,
    /// What of its output is compared.
    pub features: SecondFeatures,
    /// The classes, on the CPU.
    pub classes: Joint,
}

impl Prior {
    fn shallow_clone(&self) -> Self {
        let Prior { head, bias, second, gamma } = self;
        let second = second.as_ref().map(|Second { tower, preprocess, features, classes }| Second {
            tower: tower.clone(),
            preprocess: preprocess.clone(),
            features: *features,
            classes: classes.shallow_clone(),
        });
        Prior { head: head.shallow_clone(), bias: bias.as_ref().map(Tensor::shallow_clone), second, gamma: *gamma }
    }

    /// Returns the prior's cosine-like logits (B, C) of pictures whose composite features (B, d)
    /// are on the CPU; `second` has their pixels as the second model takes them.
    fn logits(&self, composite: &Tensor, second: &[u8], scale: f64) -> Result<Tensor> {
        let cosines = composite.matmul(&self.head.tr());
        match (&self.second, &self.bias) {
            (Some(Second { tower, features, classes, .. }), _) => {
                let seen = tower.look(second, composite.size()[0] as usize)?;
                let [cls, mean] = seen.map(|t| t.to_device(tch::Device::Cpu));
                let (stop, compared) = (Stop::default(), second::compared(*features, &cls, &mean));
                classes.answer(&cosines.into(), &compared.into(), scale, &stop)?.in_memory(&stop)
            }
            (None, Some(bias)) => Ok(class_bias::apply(&cosines, bias, scale)),
            (None, None) => Ok(cosines),
        }
    }
}

/// A picture's pixels, ready for the towers.
struct Prepared {
    id: ImageId,
    centre: Vec<u8>,
    crops: Vec<u8>,
    /// The centre as the second model takes it; empty if there is none.
    second: Vec<u8>,
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
        let (cuts, decoding) = (self.cuts(), self.decoding);
        let items = items.map(|item| item.map(Next::Read));
        let prepared = encoded::each(items, decoding.limits, move |item, encoded| {
            let prepared = match encoded {
                Ok(encoded) => prepare(&encoded, &cuts, &decoding)?,
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

    fn cuts(&self) -> Cuts {
        let second = self.prior.as_ref().and_then(|prior| prior.second.as_ref());
        let second = second.map(|second| second.preprocess.clone());
        Cuts { preprocess: self.preprocess.clone(), crops: self.crops, second }
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
        let cuts = Cuts { second: None, ..self.cuts() };
        let prepare = |(id, picture): &(ImageId, Rgb)| cuts.of(*id, picture);
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
            (Some(prior), Some(composite)) => {
                let scale = self.model.design().scale;
                let second: Vec<u8> = pictures.iter().flat_map(|picture| &picture.second).copied().collect();
                let cosines = prior.logits(&composite.to_device(cpu), &second, scale)?;
                Ok(Mixture { gamma: prior.gamma, scale }.of(&cosines, &adapted))
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
                    coarse: match &composite {
                        Some(composite) if design.fuses_composite() => composite.shallow_clone(),
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

/// What is cut from a picture.
#[derive(Clone)]
struct Cuts {
    /// How it is resized to the CLIP's towers' input.
    preprocess: Preprocess,
    /// How its crops are drawn, if they are needed.
    crops: Option<Crops>,
    /// How it is resized to the second model's input, if there is one.
    second: Option<Preprocess>,
}

impl Cuts {
    /// Cuts a picture's views.
    fn of(&self, id: ImageId, picture: &Rgb) -> Result<Prepared> {
        let Cuts { preprocess, crops, second } = self;
        let cuts = crops.as_ref().map_or_else(Vec::new, |spec| crops::boxes(spec, &id, picture.width, picture.height));
        let crops = crops::crops(picture, &cuts, preprocess.crop, preprocess.filter)?;
        let second = second.as_ref().map(|preprocess| preprocess.centre_view(picture)).transpose()?;
        Ok(Prepared { id, centre: preprocess.centre_view(picture)?, crops, second: second.unwrap_or_default() })
    }
}

/// Decodes a picture and cuts its views.
fn prepare(encoded: &Encoded, cuts: &Cuts, decoding: &Decoding) -> Result<Result<Prepared, Rejection>> {
    match decoding.picture(&encoded.bytes) {
        Ok(picture) => cuts.of(encoded.id, &picture).map(Ok),
        Err(rejection) => Ok(Err(rejection)),
    }
}
