//! Turns logits into answers: mixture with the prior, transduction and temperature, each
//! implemented once.
//!
//! Logits are cosines times the pipeline's `adapt.logit_scale`, unless they are called cosines or
//! cosine-like.

use tch::{Device, Kind as Number, Tensor};

use crate::device::guarded;
use crate::error::Result;
use crate::fusion::class_bias::{self, ClassBias};
use crate::fusion::matrix::Matrix;
use crate::fusion::model::Model;
use crate::fusion::transduction::Transduction;
use crate::settings::{SHARE, settings};
use crate::stage::adapt::Images;
use crate::stage::describe::Heads;
use crate::stage::evaluate::Named;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::prior::MultiView;
use crate::stage::{calibrate, evaluate};
use crate::stop::Stop;
use crate::text::numbers::counted;

settings! {
    /// How answers are made from logits.
    Predict: Copy {
        /// The prior's share in the answer: DKA's mixture, at prediction.
        gamma: f64 = 0.5, SHARE, Answers;
    }
}

/// DKA's mixture at prediction: `gamma` weights the prior, `1 - gamma` the adapted model.
#[derive(Debug, Clone, Copy)]
pub struct Mixture {
    /// The prior's share.
    pub gamma: f64,
    /// Factor that turns the prior's cosines into logits; the adapted model's logits already
    /// include it.
    pub scale: f64,
}

impl Mixture {
    /// Returns the mixed logits (B, C) of the prior's cosines and the adapted model's logits, both
    /// (B, C).
    pub fn of(self, prior: &Tensor, adapted: &Tensor) -> Tensor {
        prior * (self.gamma * self.scale) + adapted * (1.0 - self.gamma)
    }

    /// Like [`of`](Self::of), of tables of all pictures, where they are read.
    pub fn of_all(self, prior: &Matrix, adapted: &Matrix) -> Matrix {
        prior.mixed(self.gamma * self.scale, adapted, 1.0 - self.gamma)
    }
}

/// Returns cosine-like logits (rows, C) after transduction ([`Transduction`]), which answers all
/// pictures at once, from their composite features (rows, d), first cosines (rows, C), and
/// prototypes (C, d). An answer becomes `ln(answer) / scale`, whose softmax at that scale is the
/// answer.
///
/// # Errors
/// Fails if a stop was requested.
pub fn transduced(
    composite: &Matrix,
    first: &Matrix,
    prototypes: &Tensor,
    transduction: Transduction,
    scale: f64,
    stop: &Stop,
) -> Result<Matrix> {
    let first = first.mapped(|cosines, scale| (cosines * scale).softmax(-1, None::<Number>), scale);
    let answers = transduction.answers(composite, prototypes, &first, stop)?;
    Ok(answers.mapped(|answers, scale| answers.clamp_min(LEAST).log() / scale, scale))
}

/// Lower bound of answers, so that no logit is infinite.
const LEAST: f64 = 1e-12;

/// The adapted model's logits of all pictures, and its classifier.
pub struct AdaptedLogits {
    /// Logits, (rows, C).
    logits: Matrix,
    /// Classifier, (C, d) with unit rows, on the CPU.
    head: Tensor,
}

impl AdaptedLogits {
    /// Runs all pictures through the adapted model of a run.
    ///
    /// # Errors
    /// Fails as [`Images::logits`] does.
    #[tracing::instrument(name = "stage", skip_all, fields(stage = "evaluate"))]
    pub async fn of(images: &Images, model: &Model, run: &str, job: Job<'_>) -> Result<Self> {
        let Job { stop, progress, .. } = job;
        progress.begin("evaluate", "image", images.len() as u64, 0);
        let logits = images.logits(model, stop, |done| progress.advance(done)).await?;
        progress.end(&format!("{} by the adapted model of {run}", counted(images.len() as u64, "image")));
        Ok(AdaptedLogits { logits, head: model.classifier().to_device(Device::Cpu) })
    }
}

/// What the adapted model answers about all pictures.
pub struct AdaptedAnswers {
    /// The classes that it predicts by itself, and those of the answers if they are not the same.
    pub named: Named,
    /// Logits (rows, C) that answers are taken from.
    pub logits: Matrix,
    /// Temperature that calibrates answers about single pictures; `None` without pseudo-labels.
    pub temperature: Option<f64>,
}

/// Inputs from which all pictures are answered.
pub struct Answering<'a> {
    /// The pictures.
    pub pictures: &'a Pictures,
    /// The frozen model's features and logits of the pictures.
    pub seen: &'a MultiView,
    /// The biases of the prior's classes, if they are taken out.
    pub bias: Option<&'a ClassBias>,
    /// The prior's cosine-like logits of the pictures in both spaces, (rows, C), if there is a
    /// second vision model.
    pub second: Option<&'a Matrix>,
    /// The classifiers made from sentences.
    pub heads: &'a Heads,
    /// The pipeline's transduction settings.
    pub transduction: Transduction,
    /// The pipeline's prediction settings.
    pub predict: Predict,
    /// The pipeline's logit scale.
    pub scale: f64,
    /// Tells whether to stop.
    pub stop: &'a Stop,
}

impl Answering<'_> {
    /// Returns the prior's cosine-like logits of the training pictures at the places `train`, after
    /// transduction if the pipeline asks for it.
    ///
    /// # Errors
    /// Fails if libtorch reports an error, or a stop was requested.
    pub fn prior(&self, train: &[i64]) -> Result<Matrix> {
        let train = Tensor::from_slice(train);
        let (composite, logits) = (self.seen.composite.picked(&train), self.cosines().picked(&train));
        if !self.transduction.prior {
            return Ok(logits);
        }
        let Self { heads, transduction, scale, stop, .. } = *self;
        guarded("transduction before adaptation", || {
            transduced(&composite, &logits, &heads.frozen, transduction, scale, stop)
        })
    }

    /// Returns the classes that the frozen models predict, and the prior's cosine-like logits of
    /// all pictures, to be mixed with the adapted model's.
    ///
    /// # Errors
    /// Fails if libtorch reports an error, or a stop was requested.
    pub fn baselines(&self) -> Result<(Named, Matrix)> {
        let Self { seen, heads, transduction, stop, .. } = *self;
        let mut named = vec![
            ("zero_shot", evaluate::nearest(&seen.cls, &heads.names, stop)?),
            ("descriptions", evaluate::nearest(&seen.cls, &heads.descriptions, stop)?),
            ("multi_view", evaluate::answers(&seen.logits, stop)?),
        ];
        if self.bias.is_some() {
            named.push(("balanced", evaluate::answers(&self.balanced(), stop)?));
        }
        let mut prior = self.cosines();
        if self.second.is_some() {
            named.push(("second", evaluate::answers(&prior, stop)?));
        }
        if transduction.prior || transduction.predictions {
            let transduced = self.by_split(&prior, &heads.frozen, self.scale)?;
            named.push(("transductive", evaluate::answers(&transduced, stop)?));
            if transduction.prior {
                prior = transduced;
            }
        }
        Ok((named, prior))
    }

    /// Returns the adapted model's answers. `prior` has the prior's cosine-like logits (rows, C) of
    /// all pictures; `labelled` are the places of those with a pseudo-label, and the labels.
    ///
    /// # Errors
    /// Fails if libtorch reports an error, or a stop was requested.
    pub fn adapted(
        &self,
        prior: &Matrix,
        adapted: AdaptedLogits,
        labelled: (&[i64], &[i64]),
    ) -> Result<AdaptedAnswers> {
        let mut named = vec![("adapted", evaluate::answers(&adapted.logits, self.stop)?)];
        let predicted = self.predicted(prior, &adapted)?;
        if let Some(logits) = &predicted {
            named.push(("predicted", evaluate::answers(logits, self.stop)?));
        }
        let temperature = self.temperature(&adapted, labelled)?;
        Ok(AdaptedAnswers { named, logits: predicted.unwrap_or(adapted.logits), temperature })
    }

    /// Returns the logits (rows, C) that answers are taken from: mixed with the prior's, then
    /// transduced about the adapted classifier. Returns `None` if they are the adapted model's own.
    fn predicted(&self, prior: &Matrix, adapted: &AdaptedLogits) -> Result<Option<Matrix>> {
        if self.predict.gamma == 0.0 && !self.transduction.predictions {
            return Ok(None);
        }
        let mixed = self.mixture().of_all(prior, &adapted.logits);
        Ok(Some(match self.transduction.predictions {
            false => mixed,
            true => self.by_split(&mixed, &adapted.head, 1.0)?,
        }))
    }

    /// Returns the temperature for answering a picture on its own (mixed with the prior's logits if
    /// the pipeline asks for it, and not transduced), from the pseudo-labels of pictures at these
    /// places. Returns `None` without pseudo-labels.
    fn temperature(&self, adapted: &AdaptedLogits, (places, labels): (&[i64], &[i64])) -> Result<Option<f64>> {
        guarded("calibration", || {
            let places = Tensor::from_slice(places);
            let mixed = self.mixture().of_all(&self.cosines(), &adapted.logits);
            calibrate::temperature(&mixed.picked(&places), labels, self.stop)
        })
    }

    /// Returns the prior's cosine-like logits (rows, C) of all pictures: those in both spaces if
    /// there is a second one, without the biases of its classes otherwise.
    fn cosines(&self) -> Matrix {
        self.second.map_or_else(|| self.balanced(), Matrix::clone)
    }

    /// Returns the CLIP's cosine-like logits (rows, C) of all pictures, without the biases of its
    /// classes.
    fn balanced(&self) -> Matrix {
        match self.bias {
            Some(ClassBias { bias, .. }) => class_bias::applied(&self.seen.logits, bias, self.scale),
            None => self.seen.logits.clone(),
        }
    }

    fn mixture(&self) -> Mixture {
        Mixture { gamma: self.predict.gamma, scale: self.scale }
    }

    /// Returns the logits (rows, C) of all pictures after transduction within their split; as the
    /// first ones, they are logits when multiplied by `scale`.
    fn by_split(&self, first: &Matrix, prototypes: &Tensor, scale: f64) -> Result<Matrix> {
        guarded("transduction", || {
            evaluate::by_split(evaluate::splits(self.pictures), first.size().0, |places| {
                let (composite, first) = (self.seen.composite.picked(places), first.picked(places));
                transduced(&composite, &first, prototypes, self.transduction, scale, self.stop)
            })
        })
    }
}
