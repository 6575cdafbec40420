//! Beginning a run: opening what it is made of, and claiming what it writes.

use super::wait_for_lock::claim;
use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::runs::lookup::Upto;
use crate::runs::record::Started;
use crate::stage::adapt::Recipe;
use crate::stage::ingest::{self, Ingested};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::store::{Claim, Work};
use crate::workspace::{Opened, ids, opened};

/// A run that was opened.
pub(super) struct Ready {
    pub(super) started: Started,
    pub(super) opened: Opened,
    /// The recipe of adaptation; `None` if nothing is trained.
    pub(super) recipe: Option<Recipe>,
    /// The run's id.
    pub(super) run: String,
}

/// What a run writes.
pub(super) struct Claims {
    /// That this process brings the dataset up to date.
    pub(super) dataset: Claim,
    /// That it adapts the run, if that is among its steps.
    pub(super) _run: Option<Claim>,
}

/// Opens a pipeline for a run up to a step, and claims what it writes, once no other process writes
/// the same.
///
/// # Errors
/// Fails if the pipeline cannot be used, or a stop was requested while it waited.
pub(super) async fn begin(spec: &Spec, upto: Upto, job: Job<'_>) -> Result<(Ready, Claims)> {
    let Job { store, stop, progress } = job;
    let mut ready = Ready::open(spec, upto).await?;
    loop {
        let mut works = vec![Work::Dataset(ready.opened.workspace.dataset.clone())];
        works.extend((upto >= Upto::Adapt).then(|| Work::Run(ready.run.clone())));
        let (claims, waited) = claim(store, &works, stop, progress).await?;
        let claimed = ready.run.clone();
        if waited {
            // What lies on the disk may have changed since. Waiting is no time of the run.
            ready = Ready::open(spec, upto).await?;
        }
        let mut claims = claims.into_iter();
        if let (Some(dataset), run) = (claims.next(), claims.next())
            && ready.run == claimed
        {
            return Ok((ready, Claims { dataset, _run: run }));
        }
    }
}

/// Claims that the dataset's tables are replaced by those of the pictures of a snapshot. Lists them
/// again if others may have replaced them since: if `others` work on the same dataset, or if this
/// process had to wait.
///
/// # Errors
/// Returns [`Kind::Input`] if there are other pictures by now; fails with [`Kind::Interrupted`] if
/// a stop was requested meanwhile.
pub(super) async fn to_replace(spec: &Spec, snapshot: &str, others: bool, job: Job<'_>) -> Result<Vec<Claim>> {
    let works = [Work::Replacing(ids::dataset(spec))];
    let (claims, waited) = claim(job.store, &works, job.stop, job.progress).await?;
    if others || waited {
        let (source, settings) = opened::pictures(spec)?;
        if ingest::snapshot(source.as_ref(), &settings)? != snapshot {
            let what = "the pictures have changed since this process listed them";
            return Err(Error::new(Kind::Input, what).hint("run again"));
        }
    }
    Ok(claims)
}

/// Checks that the pictures which were found are those of the dataset's tables.
///
/// # Errors
/// Returns [`Kind::Store`] if another process has set the tables aside meanwhile.
pub(super) fn all_there(found: &Ingested, pictures: &Pictures) -> Result<()> {
    if found.images > 0 && pictures.rows().is_empty() {
        let what = "the dataset's tables are gone: another process has found a picture that changed";
        return Err(Error::new(Kind::Store, what).hint("run again: the dataset is read anew"));
    }
    Ok(())
}

impl Ready {
    /// Opens a pipeline, and works out the run's id.
    async fn open(spec: &Spec, upto: Upto) -> Result<Ready> {
        let started = Started::now();
        let opened = Opened::new(spec)?;
        if upto >= Upto::Adapt {
            ingest::require_training(opened.source.as_ref())?;
        }
        let recipe = opened.recipe(spec)?;
        if let Some(recipe) = &recipe {
            recipe.statement.validate().await?;
        }
        let run = opened.run_id(spec, recipe.as_ref())?;
        Ok(Ready { started, opened, recipe, run })
    }
}
