//! The adapted model of an earlier run, opened again.

use std::sync::Arc;

use tch::{Device, Tensor};

use crate::clip::{Clip, PREPROCESSOR_CONFIG};
use crate::error::{Error, Kind, Result};
use crate::fusion::adamw::AdamW;
use crate::fusion::design::StartsFrom;
use crate::fusion::model::Model;
use crate::runs::reached::Reached;
use crate::runs::record::{MadeFrom, differs};
use crate::runs::stored_run::StoredRun;
use crate::stage::adapt::checkpoint::{self, Checkpoint};
use crate::stage::describe::{self, Sentences};
use crate::stage::frozen::FrozenTower;
use crate::stage::ingest;
use crate::stage::pixels::Normaliser;
use crate::stage::predict::{Predictor, Prior, Second};
use crate::stage::{class_bias, second};
use crate::stop::Stop;
use crate::workspace::{Workspace, recipe};

/// The adapted model of a run.
pub struct AdaptedModel {
    /// How far the run had come at this checkpoint.
    pub reached: Reached,
    /// Temperature that calibrates the answers; `None` if the run was not measured at this
    /// checkpoint.
    pub temperature: Option<f64>,
    /// Names of the classes, by class id.
    pub classes: Vec<String>,
    pub(crate) clip: Clip,
    /// The model with the weights of the checkpoint.
    pub(crate) model: Model,
    /// The prior, if it is mixed into the answers.
    prior: Option<Prior>,
    frozen: Option<FrozenTower>,
    normaliser: Normaliser,
}

impl AdaptedModel {
    /// Opens the model of a run from its newest checkpoint. What answers depend on is compared with
    /// its checksums, or recomputed.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if nothing was trained; [`Kind::Model`] if the CLIP it was made from
    /// is gone or has changed; [`Kind::Input`] if its classes or sentences have changed;
    /// [`Kind::Store`] if the run has no checkpoint (no pass was completed), its newest one is
    /// damaged, or is not its last and the run was not asked for by its id; [`Kind::Interrupted`]
    /// if a stop was requested.
    pub fn open(chosen: &StoredRun, stop: &Stop) -> Result<Self> {
        let StoredRun { store, run, dataset, spec, .. } = chosen;
        store.partition("classes", dataset)?.require_sound()?;
        let classes = ingest::class_names(store, dataset)?;
        if classes.is_empty() {
            let what = format!("the store has no classes of dataset '{dataset}', which run '{run}' is about");
            return Err(Error::new(Kind::Store, what).hint("run the pipeline again: the dataset is ingested anew"));
        }
        let w = Workspace::open(spec)?;
        let Some(recipe) = recipe(spec, &w, &classes)? else {
            return Err(Error::new(
                Kind::Usage,
                format!("run '{run}' has adapt.tune = \"none\": it has no adapted model"),
            )
            .hint("run the pipeline with another adapt.tune, e.g. --set adapt.tune=head"));
        };
        // A trained classifier answers without sentences, unless the prior is mixed in.
        let answers_by_sentences = !recipe.design.trains_head() || spec.predict.gamma > 0.0;
        let sentences = answers_by_sentences.then(|| Sentences::of(&spec.text, &classes)).transpose()?;
        compare(chosen, &MadeFrom::of(&w, &classes, sentences.as_ref()))?;
        let Some(path) = checkpoint::latest(&store.checkpoints_of(run)?)? else {
            return Err(Error::new(
                Kind::Store,
                format!("run '{run}' has no checkpoint in {}", store.place().display()),
            )
            .hint("run the pipeline: it goes on from where the run ended"));
        };
        let checkpoint = Checkpoint::read(&path, run)?;
        let reached = Reached { passes: checkpoint.passes(), ..chosen.reached };
        if !reached.has_all_passes() && !chosen.asked {
            let what = format!("run '{run}' ended, but its newest checkpoint is {reached}");
            return Err(Error::new(Kind::Store, what)
                .hint("run the pipeline again: what is missing is computed; or ask for the run by its id"));
        }
        checkpoint.require_classes(classes.len())?;
        let device = w.device()?;
        let heads = |sentences| {
            describe::heads(sentences, &w.text_space, &w.clip.tokenizer, || w.sentence_tower(), store, stop)
        };
        let frozen_head = sentences.as_ref().map(heads).transpose()?.map(|heads| heads.frozen);
        // A placeholder for the trained head, which is restored below.
        let place = || Tensor::zeros([classes.len() as i64, w.clip.config.joint], tch::kind::FLOAT_CPU);
        let start = frozen_head.as_ref().map_or_else(place, Tensor::shallow_clone).to_device(device);
        let mut model = Model::new(&w.tower(spec)?, &start, recipe.design);
        let mut optimiser = AdamW::new(model.parameters(), 0.0);
        checkpoint.restore(&mut model, &mut optimiser)?;
        let cached = recipe.design.starts_from != StartsFrom::Pixels;
        let frozen = if cached || spec.predict.gamma > 0.0 { Some(w.frozen_tower()?) } else { None };
        let biased = spec.predict.gamma > 0.0 && spec.dka.balance.is_on();
        let bias = biased.then(|| class_bias::read(run, classes.len(), store)).transpose()?;
        let gamma = spec.predict.gamma;
        let second = if gamma > 0.0 { second_model(&w, chosen, classes.len())? } else { None };
        let prior = frozen_head.filter(|_| gamma > 0.0).map(|head| Prior { head, bias, second, gamma });
        let normaliser = w.normaliser()?;
        let temperature = chosen.temperature.filter(|_| reached.has_all_passes());
        Ok(AdaptedModel { clip: w.clip, model, reached, temperature, classes, prior, frozen, normaliser })
    }

    /// Returns the prior, if it is mixed into the answers.
    pub(crate) fn prior(&self) -> Option<&Prior> {
        self.prior.as_ref()
    }

    /// Returns W* as answers use it: (C, d) with unit rows, on the CPU.
    pub fn classifier(&self) -> Tensor {
        self.model.classifier().to_device(Device::Cpu)
    }

    /// Makes a predictor for pictures that are in no table.
    pub fn predictor(self, chosen: &StoredRun) -> Predictor {
        let AdaptedModel { clip, model, prior, frozen, normaliser, .. } = self;
        let composite = model.design().fuses_composite();
        Predictor {
            frozen: frozen.map(Arc::new),
            normaliser,
            preprocess: clip.preprocess,
            decoding: chosen.spec.dataset.decoding(),
            seed: chosen.spec.seed,
            crops: (composite || prior.is_some()).then_some(chosen.spec.views),
            prior,
            model,
        }
    }
}

/// Opens the second vision model of a run, if it has one, with the classes in its space.
fn second_model(w: &Workspace, chosen: &StoredRun, classes: usize) -> Result<Option<Second>> {
    let (Some(tower), Some((dino, _))) = (w.second_tower()?, &w.second) else { return Ok(None) };
    let classes = second::read(&chosen.run, classes, &chosen.store)?;
    let features = chosen.spec.model.second.features;
    Ok(Some(Second { tower: Arc::new(tower), preprocess: dino.preprocess.clone(), features, classes }))
}

/// Refuses inputs that the run was not made from: its answers would be wrong, but look right.
/// Sentences are compared only if answers use them.
fn compare(chosen: &StoredRun, now: &MadeFrom) -> Result<()> {
    let StoredRun { run, spec, made_from: then, .. } = chosen;
    let refuse = |kind, what: String| {
        Err(Error::new(kind, format!("{what} are not those that run '{run}' was made with"))
            .hint("put those back, or run the pipeline again"))
    };
    if differs(then.weights.as_ref(), now.weights.as_ref()) {
        return refuse(Kind::Model, format!("the weights at {}", spec.model.path.display()));
    }
    if differs(then.model.as_ref(), now.model.as_ref()) {
        let files = format!("config.json, {PREPROCESSOR_CONFIG} and tokenizer.json");
        return refuse(Kind::Model, format!("{files} of the model at {}", spec.model.path.display()));
    }
    if let (true, Some(path)) = (spec.predict.gamma > 0.0, &spec.model.second.path)
        && differs(then.second.as_ref(), now.second.as_ref())
    {
        return refuse(Kind::Model, format!("the files of the second model at {}", path.display()));
    }
    chosen.require_its_classes()?;
    if now.sentences.is_some() && differs(then.sentences.as_ref(), now.sentences.as_ref()) {
        return refuse(
            Kind::Input,
            match &spec.text.descriptions {
                Some(path) => format!("the sentences about the classes, now in {},", path.display()),
                None => "the templates about the classes".to_owned(),
            },
        );
    }
    Ok(())
}
