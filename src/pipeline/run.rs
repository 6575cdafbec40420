//! Running a pipeline: the stages in their order, and nothing else.

use std::sync::Arc;

use tch::Tensor;

use super::begin::{self, Ready};
use super::on_cluster::drive;
use super::outcome::Outcome;
use super::wait_for_lock::{self, claim};
use crate::cluster::Joining;
use crate::config::Spec;
use crate::error::Result;
use crate::runs::lookup::{MetricRow, Upto};
use crate::runs::record::{Ended, Forwards, Record};
use crate::runs::references::{self, readers_of_prior};
use crate::stage::adapt::elsewhere::Elsewhere;
use crate::stage::adapt::{self, Recipe};
use crate::stage::answers::{AdaptedLogits, Answering};
use crate::stage::describe::{self, Heads};
use crate::stage::frozen::{self, Filling};
use crate::stage::ingest;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stage::{calibrate, class_bias, evaluate, prior, second};
use crate::stop::Stop;
use crate::store::space::Space;
use crate::store::{Store, Work, scratch};
use crate::workspace::on_hub::{self, Need};
use crate::workspace::{Opened, Workspace, ids, opened};

/// What a run takes besides the pipeline file.
pub struct Options {
    /// Asks the run to stop.
    pub stop: Stop,
    /// Receives its progress.
    pub progress: Arc<dyn Progress>,
    /// The cluster whose executors make what the frozen towers have to give; this process alone
    /// does it if there is none.
    pub cluster: Option<Joining>,
}

/// Runs a pipeline up to a step. What the store holds is not computed again, and if it holds the
/// whole run, only the outcome is read.
///
/// # Errors
/// Fails if a stage does; with [`crate::error::Kind::Tolerance`] if more pictures were rejected
/// than the file tolerates, after everything else was done; with
/// [`crate::error::Kind::Interrupted`] if a stop was requested.
pub async fn run(spec: &Spec, upto: Upto, options: &Options) -> Result<Outcome> {
    spec.device.set_limits();
    scratch::set_folder(&Store::folder(&spec.store)?);
    let Options { stop, progress, cluster } = options;
    let need = if upto == Upto::Ingest { Need::Pictures } else { Need::All };
    let spec = &on_hub::fetched(spec, need, stop, progress.as_ref())?;
    let store = wait_for_lock::take(&spec.store, stop, progress).await?;
    let job = Job { store: &store, stop, progress };
    if upto == Upto::Ingest {
        let _ours = claim(&store, &[Work::Dataset(ids::dataset(spec))], stop, progress).await?;
        let (source, settings) = opened::pictures(spec)?;
        let snapshot = ingest::snapshot(source.as_ref(), &settings)?;
        let _replacing = match ingest::known(&snapshot, &settings, &store)? {
            Some(_) => None,
            None => Some(begin::to_replace(spec, &snapshot, false, job).await?),
        };
        let found = ingest::ingest(source, &settings, job).await?;
        return Outcome::of(&found).tolerated(spec, &found);
    }

    let (Ready { started, opened, recipe, run }, claims) = begin::begin(spec, upto, job).await?;
    opened.notes()?.iter().for_each(|note| progress.say(note));
    let prior = opened.prior(spec)?;
    let prior_id = prior.id();
    let record = Record::begin(spec, &store, (&run, &prior_id), &opened, started)?;
    let known = opened.known(&store)?;
    let Opened { workspace: w, source, ingest: settings, snapshot, sentences, .. } = opened;
    let stages = Stages {
        spec,
        workspace: &w,
        recipe: recipe.as_ref(),
        run: &run,
        prior: &prior,
        upto,
        job,
        snapshot: &snapshot,
        cluster: cluster.as_ref(),
    };
    if let Some((found, whole)) = stages.finished(known.as_ref(), &settings)? {
        let temperature = whole.temperature;
        stages.neighbours_of_finished()?;
        stages.thin_finished()?;
        record.write(Some(Ended { images: found.images, temperature, ..Ended::default() }))?;
        return Outcome::of_finished(run, upto, &found, whole).tolerated(spec, &found);
    }
    if let Some(joining) = cluster {
        drive::reach(joining).await?;
    }
    // Before the first tensor is made.
    w.device()?;
    let changed = references::changed_weights(spec, &w, &store)?;
    changed.iter().for_each(|warning| progress.say(warning));
    // Written now too, so that a killed run is on record.
    if upto >= Upto::Adapt {
        record.write(None)?;
    }

    stages.compare_inputs(known.is_some(), &settings.dataset)?;
    let filling = Filling { sizes: spec.embed, job };
    let mut tables = w.frozen.filled();
    if upto == Upto::Pictures {
        tables.truncate(1);
    }
    let (found, on_the_way) = match known {
        Some(known) => (ingest::unchanged(known, &settings, job)?, 0),
        None => {
            let _replacing = begin::to_replace(spec, &snapshot, false, job).await?;
            match cluster {
                // Executors read the pictures themselves.
                Some(_) => (ingest::ingest(source, &settings, job).await?, 0),
                None => {
                    let ingesting = frozen::Ingesting { source, snapshot: snapshot.clone(), settings: &settings };
                    frozen::fill_while_ingesting(filling, ingesting, &tables, |eyes| w.towers(eyes)).await?
                }
            }
        }
    };
    let mut outcome = Outcome::of(&found);

    let pictures = Pictures::open(&store.partition("images", &w.dataset)?, spec.dataset.decoding())?;
    begin::all_there(&found, &pictures)?;
    if upto >= Upto::Adapt {
        pictures.training()?;
        stages.compare_what_is_read(&pictures)?;
    }
    let (heads, texts) = {
        let _sentences = claim(&store, &[Work::Sentences(w.text_space.id())], stop, progress).await?;
        let about = describe::About { sentences: &sentences, dataset: &w.dataset };
        describe::describe(about, &w.text_space, &w.clip.tokenizer, || w.sentence_tower(), job)?
    };
    if upto > Upto::Pictures {
        w.frozen.composites.compare_what_is_read(&pictures, job)?;
    }
    if let Some(joining) = cluster {
        let of = drive::Frozen { spec, workspace: &w, snapshot: &found.snapshot };
        outcome.notes.extend(drive::fill(joining, &of, &pictures, &tables, job).await?);
    }
    let later = frozen::fill(filling, &pictures, &tables, |eyes| w.towers(eyes)).await?;
    if upto > Upto::Pictures {
        w.frozen.composites.derive(&pictures, filling)?;
    }
    let forwards = Forwards { images: on_the_way + later, sentences: texts };
    spec.neighbours.fill(&pictures, &w.frozen.embeddings, job)?;
    outcome.say_forwards(forwards);

    if upto >= Upto::Adapt {
        // Other runs of the dataset may go on from here, but not with other pictures.
        let _relying = claim(&store, &[Work::Relying(w.dataset.clone())], stop, progress).await?;
        drop(claims.dataset);
        outcome = stages.adapt_and_evaluate(&pictures, &heads, outcome).await?;
        record.write(Some(Ended { images: found.images, forwards, temperature: outcome.temperature }))?;
    }
    outcome.tolerated(spec, &found)
}

/// What all stages of a run share.
pub(super) struct Stages<'a> {
    pub(super) spec: &'a Spec,
    pub(super) workspace: &'a Workspace,
    /// The recipe of adaptation; `None` if nothing is trained.
    pub(super) recipe: Option<&'a Recipe>,
    /// The run's id.
    pub(super) run: &'a str,
    /// What its prior depends on.
    pub(super) prior: &'a Space,
    /// The last step.
    pub(super) upto: Upto,
    pub(super) job: Job<'a>,
    /// Identity of the dataset's pictures.
    pub(super) snapshot: &'a str,
    /// The cluster whose executors share in the forwards of passes.
    pub(super) cluster: Option<&'a Joining>,
}

impl Stages<'_> {
    /// Adapts the model to the training pictures, and measures it on all.
    async fn adapt_and_evaluate(&self, pictures: &Arc<Pictures>, heads: &Heads, outcome: Outcome) -> Result<Outcome> {
        let Stages { spec, workspace: w, recipe, run, prior, upto, job, snapshot, cluster } = *self;
        let mut outcome = Outcome { run: run.to_owned(), ..outcome };
        let train = pictures.training()?;
        // Read once: training sees some of its rows, evaluation all of them.
        let seen = w.multi_view(pictures, heads, job)?;
        // Runs that begin at the same time and have the same prior compute it once.
        let ours = claim(job.store, &[Work::Prior(prior.id())], job.stop, job.progress).await?;
        let known = prior::known(prior, pictures, &train, job)?;
        let bias = match &known {
            Some(_) => w.known_class_bias(spec, &readers_of_prior(job.store, &prior.id())?, &seen, &train, job)?,
            None => None,
        };
        let bias = bias.map_or_else(|| w.class_bias(spec, pictures, heads, &seen, &train, job), Ok)?;
        class_bias::write(run, &bias, job.store)?;
        let second = w.second_space(spec, pictures, &seen, &bias, &train, job)?;
        if let Some((classes, _)) = &second {
            second::write(run, classes, job.store)?;
        }
        let answering = Answering {
            pictures,
            seen: &seen,
            bias: spec.dka.balance.is_on().then_some(&bias),
            second: second.as_ref().map(|(_, logits)| logits),
            heads,
            transduction: spec.transduction,
            predict: spec.predict,
            scale: spec.adapt.logit_scale,
            stop: job.stop,
        };
        let prior = match known {
            Some(known) => known,
            None => prior::write(prior, pictures, &train, &answering.prior(&train)?, job)?,
        };
        drop(ours);

        let mut adapted = None;
        if let Some(recipe) = recipe {
            let all = w.images(pictures, recipe, &seen, job)?;
            let elsewhere = cluster.map(|joining| drive::Passes { joining, spec, snapshot, run, job });
            let start = adapt::Start {
                run,
                images: &all.of(&train),
                prior: &prior,
                bias: &bias,
                composite: &seen.composite.picked(&Tensor::from_slice(&train)),
                tower: &w.tower(spec)?,
                head: &heads.descriptions,
                frozen: &heads.frozen,
                elsewhere: elsewhere.as_ref().map(|elsewhere| elsewhere as &dyn Elsewhere),
            };
            let made = adapt::adapt(start, recipe, job).await?;
            outcome.resume = made.went_on(recipe.adapt.passes());
            adapted = Some((all, made.model));
        }
        if upto < Upto::Evaluate {
            return Ok(outcome);
        }

        let last = recipe.map_or(0, |recipe| recipe.adapt.passes().saturating_sub(1)) as i32;
        let (mut named, prior) = answering.baselines()?;
        if let Some((all, model)) = adapted {
            let logits = AdaptedLogits::of(&all, &model, run, job).await?;
            let (places, labels) = calibrate::last_labels(run, last, pictures, job.store, job.stop)?;
            let answers = answering.adapted(&prior, logits, (&places, &labels))?;
            let zero_shot = &named[0].1;
            evaluate::write_predictions(run, pictures, &answers.logits, zero_shot, job.store, job.stop)?;
            outcome.temperature = answers.temperature;
            named.extend(answers.named);
        }
        let scores = evaluate::measure(run, last, &named, pictures, &w.dataset, job)?;
        Ok(outcome.with_table(scores.into_iter().map(MetricRow::from).collect()))
    }
}
