//! Embedding one shard of a dataset's pictures, while other processes embed the others.
//!
//! What all shards need is done by whichever process comes first, while the others wait: the
//! dataset's tables and the features of sentences before, and the nearest neighbours after, by the
//! process after which no picture is missing.

use super::begin;
use super::outcome::Outcome;
use super::run::{Options, Stages};
use super::wait_for_lock::{self, Waiting, claim};
use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::runs::lookup::Upto;
use crate::runs::record::Forwards;
use crate::stage::frozen::{self, Filling, FrozenTable};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::{describe, ingest};
use crate::store::layout::Store;
use crate::store::{Claim, Claimed, Shard, Work, scratch};
use crate::text::numbers::counted;
use crate::workspace::on_hub::{self, Need};
use crate::workspace::{Opened, ids};

/// Embeds a shard up to a step, embedding of pictures or all that is frozen. Rows are the same as
/// those of [`run`](super::run::run), which then has nothing to compute.
///
/// # Errors
/// Returns [`Kind::Store`] if another process embeds pictures of the shard; otherwise fails like
/// [`run`](super::run::run).
pub async fn embed_shard(spec: &Spec, shard: Shard, upto: Upto, options: &Options) -> Result<Outcome> {
    spec.device.set_limits();
    scratch::set_folder(&Store::folder(&spec.store)?);
    let Options { stop, progress, .. } = options;
    let spec = &on_hub::fetched(spec, Need::All, stop, progress.as_ref())?;
    let store = wait_for_lock::take(&spec.store, stop, progress).await?;
    let job = Job { store: &store, stop, progress };
    let dataset = ids::dataset(spec);
    let _ours = claim_shard(&dataset, shard, job).await?;
    let opened = Opened::new(spec)?;
    opened.notes()?.iter().for_each(|note| progress.say(note));
    let prior = opened.prior(spec)?;
    let Opened { workspace: w, source, ingest: settings, snapshot, sentences, .. } = opened;
    // Before the first tensor is made.
    w.device()?;
    let stages = Stages {
        spec,
        workspace: &w,
        recipe: None,
        run: "",
        prior: &prior,
        upto,
        job,
        snapshot: &snapshot,
        cluster: None,
    };

    // All shards compare what they read, each for itself and without waiting for the others.
    stages.compare_inputs(ingest::known(&snapshot, &settings, &store)?.is_some(), &dataset)?;
    let common = Work::Common(dataset.clone());
    let first = claim(&store, std::slice::from_ref(&common), stop, progress).await?;
    let found = match ingest::known(&snapshot, &settings, &store)? {
        Some(known) => ingest::unchanged(known, &settings, job)?,
        None => {
            let _replacing = begin::to_replace(spec, &snapshot, true, job).await?;
            ingest::ingest(source, &settings, job).await?
        }
    };
    let texts = {
        let _sentences = claim(&store, &[Work::Sentences(w.text_space.id())], stop, progress).await?;
        let about = describe::About { sentences: &sentences, dataset: &dataset };
        describe::describe(about, &w.text_space, &w.clip.tokenizer, || w.sentence_tower(), job)?.1
    };
    let relying = claim(&store, &[Work::Relying(dataset.clone())], stop, progress).await?;
    drop(first);

    let mut outcome = Outcome::of(&found);
    let images = store.partition("images", &dataset)?;
    let pictures = Pictures::open_some(&images, spec.dataset.decoding(), |id| shard.has(id.as_bytes()))?;
    progress.say(&format!("shard {shard}: {} of {}", counted(pictures.rows().len() as u64, "image"), found.images));
    let mut tables = w.frozen.filled();
    if upto == Upto::Pictures {
        tables.truncate(1);
    } else {
        w.frozen.composites.compare_what_is_read(&pictures, job)?;
    }
    let filling = Filling { sizes: spec.embed, job };
    let images = frozen::fill(filling, &pictures, &tables, |eyes| w.towers(eyes)).await?;
    if upto > Upto::Pictures {
        w.frozen.composites.derive(&pictures, filling)?;
    }
    outcome.say_forwards(Forwards { images, sentences: texts });

    // Whoever replaces the dataset's tables may wait for this shard while it has what is common.
    drop(relying);
    let _last = claim(&store, &[common], stop, progress).await?;
    let all = Pictures::open(&store.partition("images", &dataset)?, spec.dataset.decoding())?;
    begin::all_there(&found, &all)?;
    let missing = frozen::missing(&all, &w.frozen.embeddings.partition(&store)?)?.len() as u64;
    match missing {
        0 => spec.neighbours.fill(&all, &w.frozen.embeddings, job)?,
        missing => outcome.notes.push(format!(
            "{} of other shards to embed: `embed` without --shard, or `run`, embeds what is left",
            counted(missing, "image")
        )),
    }
    outcome.tolerated(spec, &found)
}

/// Claims a shard, once no process brings the whole dataset up to date.
///
/// # Errors
/// Returns [`Kind::Store`] if another process embeds pictures of the shard: this one would wait
/// only to find nothing to do.
async fn claim_shard(dataset: &str, shard: Shard, job: Job<'_>) -> Result<Vec<Claim>> {
    let Job { store, stop, progress } = job;
    let work = Work::Shard(dataset.to_owned(), shard);
    let mut waiting = Waiting::new(stop, progress);
    loop {
        match store.try_claim(std::slice::from_ref(&work))? {
            Claimed::Ours(claims) => return Ok(claims),
            Claimed::Busy(holder) => match &holder.work {
                Some(Work::Shard(_, theirs)) => return Err(taken(shard, *theirs, &holder, store)),
                _ => waiting.once_more(&store.place(), &holder).await?,
            },
        }
    }
}

fn taken(shard: Shard, theirs: Shard, holder: &crate::store::Holder, store: &Store) -> Error {
    let what = format!("{holder} works on the store {}{}", store.place().display(), holder.details());
    let hint = match shard == theirs {
        true => "each shard is for one process; begin this one again once that has ended, or another shard",
        false => "shards are dealt anew for another number of processes: let those end first that have the others",
    };
    Error::new(Kind::Store, what).hint(hint)
}
