//! What is missing: each stage, what its result is cached under, and how much of it remains.

use crate::config::Spec;
use crate::error::{Error, Result};
use crate::runs::lookup::{self, Upto};
use crate::runs::references;
use crate::stage::adapt::{Recipe, checkpoint};
use crate::stage::frozen::FrozenTable;
use crate::stage::pictures::Pictures;
use crate::stage::progress::{BYTE, Progress};
use crate::stage::{describe, frozen, ingest, neighbours};
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::text::numbers::{counted, size};
use crate::workspace::on_hub::{self, Need, ToFetch};
use crate::workspace::{Opened, ids};

/// One row of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    /// The stage's name.
    pub stage: String,
    /// What its result is cached under.
    pub key: String,
    /// Units that are done already.
    pub cached: u64,
    /// Units to do.
    pub todo: u64,
    /// What a unit is.
    pub unit: &'static str,
    /// A remark about the stage.
    pub note: String,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its stages.
    pub rows: Vec<PlanRow>,
    /// What it would say of its inputs.
    pub notes: Vec<String>,
}

/// Returns what a run would do.
///
/// # Errors
/// Fails as the run would before its first forward pass, but that nothing is fetched: if the
/// source, the model, the sentences or the recipe cannot be used, or the store not be made. A store
/// that is there and may only be read has a plan all the same, with a warning.
pub async fn plan(spec: &Spec, stop: &Stop, progress: &dyn Progress) -> Result<Plan> {
    let read_only = match Store::require_openable(&spec.store) {
        Err(error) if spec.store.is_dir() => Some(format!("warning: a run would be refused: {error}")),
        checked => checked.map(|()| None)?,
    };
    let located = on_hub::locate(spec, Need::All, stop, progress)?;
    let to_fetch = located.to_fetch();
    if !to_fetch.is_empty() {
        return Ok(Plan { rows: fetching(spec, &to_fetch), notes: read_only.into_iter().collect() });
    }
    let spec = &located.spec;
    let opened = Opened::new(spec)?;
    ingest::require_training(opened.source.as_ref())?;
    let recipe = opened.recipe(spec)?;
    if let Some(recipe) = &recipe {
        recipe.statement.validate().await?;
    }
    let store = Store::open_read(&spec.store)?;
    let mut notes = notes(&opened, spec, &store)?;
    notes.extend(read_only);
    Ok(Plan { rows: rows(spec, opened, recipe.as_ref(), &store).await?, notes })
}

/// Returns the plan of a run that fetches models or pictures first: what is to be done with them is
/// known once they are there.
fn fetching(spec: &Spec, to_fetch: &[ToFetch]) -> Vec<PlanRow> {
    let later = "known once it is fetched";
    let row = |stage: &str, key: String, unit: &'static str| PlanRow {
        stage: stage.to_owned(),
        key,
        cached: 0,
        todo: 0,
        unit,
        note: later.to_owned(),
    };
    let fetch = to_fetch.iter().map(|ToFetch { name, missing }| PlanRow {
        stage: "fetch".to_owned(),
        key: name.clone(),
        cached: missing.there,
        todo: missing.bytes,
        unit: BYTE,
        note: format!("{}, {}", counted(missing.files as u64, "file"), size(missing.bytes)),
    });
    let pictures = ids::dataset(spec);
    let stages =
        [("ingest", pictures, "image"), ("describe", String::new(), "sentence"), ("embed", String::new(), "image")];
    let adapt = PlanRow { todo: spec.adapt.epochs, ..row("adapt", spec.name.clone(), "epoch") };
    fetch.chain(stages.map(|(stage, key, unit)| row(stage, key, unit))).chain([adapt]).collect()
}

/// Returns what the run would say of its inputs.
fn notes(opened: &Opened, spec: &Spec, store: &Store) -> Result<Vec<String>> {
    let Opened { workspace, source, ingest, sentences, .. } = opened;
    let mut notes = opened.notes()?;
    notes.extend(ingest::notes(source.as_ref(), ingest)?);
    notes.extend(sentences.too_long(&workspace.clip.tokenizer)?.map(|cut| format!("warning: {cut}")));
    notes.extend(references::changed_weights(spec, workspace, store)?);
    Ok(notes)
}

async fn rows(spec: &Spec, opened: Opened, recipe: Option<&Recipe>, store: &Store) -> Result<Vec<PlanRow>> {
    let workspace = &opened.workspace;
    let row = |stage: &str, key: String, cached: u64, todo: u64, unit: &'static str, note: &str| PlanRow {
        stage: stage.to_owned(),
        key,
        cached,
        todo,
        unit,
        note: note.to_owned(),
    };
    let Some(found) = opened.known(store)? else {
        ingest::require_readable(opened.source, &opened.ingest).await?;
        let later = "known once the pictures are ingested";
        let mut rows = vec![
            row("ingest", opened.ingest.dataset, 0, 1, "dataset", "the source is new or has changed"),
            row("describe", workspace.text_space.id(), 0, 0, "sentence", later),
        ];
        rows.extend(workspace.frozen.made().iter().map(|t| row(t.stage(), t.space().id(), 0, 0, "image", later)));
        rows.push(row(neighbours::TABLE, String::new(), 0, 0, "image", later));
        rows.push(row("adapt", spec.name.clone(), 0, spec.adapt.epochs, "epoch", later));
        return Ok(rows);
    };
    let pictures = Pictures::open(&store.partition("images", &workspace.dataset)?, spec.dataset.decoding())?;
    pictures.training()?;
    let sentences = &opened.sentences;
    let run = opened.run_id(spec, recipe)?;
    let passes = recipe.map(|recipe| recipe.adapt.passes());
    // Files that the run would set aside do not count as its outcome.
    let finished = lookup::whole(store, &run, recipe, Upto::Evaluate).is_ok_and(|whole| whole.is_some());
    let cached = |stage: &str, key: String, all: u64, missing: Result<u64>, unit: &'static str| {
        Ok::<_, Error>(match missing {
            // A finished run reads none of it.
            missing if finished => {
                let missing = missing.unwrap_or(all);
                let note = if missing > 0 { "not needed: the run is finished" } else { "" };
                row(stage, key, all.saturating_sub(missing), 0, unit, note)
            }
            missing => {
                let missing = missing?;
                row(stage, key, all.saturating_sub(missing), missing, unit, "")
            }
        })
    };
    let new = describe::missing(sentences, &workspace.text_space, store);
    let key = sentences.partition(&workspace.text_space);
    let mut rows = vec![
        row("ingest", opened.ingest.dataset.clone(), found.images, 0, "image", "unchanged"),
        cached("describe", key, sentences.count(), new, "sentence")?,
    ];
    for table in workspace.frozen.made() {
        let partition = table.partition(store)?;
        let missing = frozen::missing(&pictures, &partition).map(|todo| todo.len() as u64);
        let mut planned = cached(table.stage(), table.space().id(), found.images, missing, "image")?;
        if planned.todo > 0 && table.composing().is_some() {
            planned.note = derived(table.as_ref(), &pictures, store)?;
        }
        rows.push(planned);
    }
    let space = workspace.neighbours(spec, store)?;
    let todo = if neighbours::is_filled(&space, store)? { 0 } else { found.images };
    rows.push(cached(neighbours::TABLE, space.id(), found.images, Ok(todo), "image")?);
    if let Some(passes) = passes {
        let done = checkpoint::passes_done(&store.checkpoints_of(&run)?)?;
        rows.push(row("adapt", run, done, passes.saturating_sub(done), "pass", spec.adapt.tune.name()));
    }
    Ok(rows)
}

/// Says how many of the missing composites take no forward pass.
fn derived(table: &dyn FrozenTable, pictures: &Pictures, store: &Store) -> Result<String> {
    let crops = table.need_no_forward(store, None)?;
    let missing = frozen::missing(pictures, &table.partition(store)?)?;
    let kept = missing.iter().filter(|&&n| crops.contains(&pictures.rows()[n].id)).count();
    Ok(match kept {
        0 => String::new(),
        kept => format!("{kept} of stored crops, without a forward pass"),
    })
}
