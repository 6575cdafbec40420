//! The report of a run: one self-contained HTML file with its curves, classes, embeddings and
//! pictures.
//!
//! Figures come from the SQL views and tables ([`overview`], [`passes`], [`confidence`],
//! [`classes`], [`gallery`]); what only the model can say comes from the model ([`insight`]): where
//! it looks, and where it puts pictures ([`map`]). [`chart`] turns figures into geometry, and
//! [`page`] puts all of it into the template. Every section works without labels.

mod axis;
mod chart;
mod classes;
mod confidence;
mod gallery;
mod insight;
mod map;
mod overview;
mod page;
mod passes;
mod sample;
mod thumbnail;

use std::collections::HashSet;

use serde::Serialize;

use crate::error::Result;
use crate::image::ImageId;
use crate::runs::sql_scope::{SqlScope, scope_of_run};
use crate::runs::stored_run::StoredRun;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::table::{session, warnings};

use sample::Sample;

/// Everything that the page shows.
#[derive(Serialize)]
struct Report {
    overview: overview::Overview,
    passes: passes::Passes,
    confidence: confidence::Confidence,
    classes: classes::Classes,
    galleries: gallery::Galleries,
    looks: Vec<insight::Look>,
    map: Option<map::Map>,
    /// Why something is missing.
    notes: Vec<String>,
}

/// How many pictures the page looks at.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    /// Those in the map of embeddings, at most; each of them goes through the model, and 0 leaves
    /// the map out.
    pub mapped: usize,
    /// Those whose logits and neighbours are read, at most: a number for each class, pass and
    /// picture, and the pairs of a picture in each pass.
    pub sampled: u64,
}

impl Default for Looked {
    /// Looks at as many as `report` does by itself.
    fn default() -> Self {
        Looked { mapped: 600, sampled: 20_000 }
    }
}

/// Makes the page of a run.
///
/// # Errors
/// Fails like [`StoredRun::require_its_classes`]; with [`crate::error::Kind::Query`] or
/// [`crate::error::Kind::Store`] if a table cannot be read; with
/// [`crate::error::Kind::Interrupted`] if a stop was requested. If the model or pictures are gone,
/// what needs them is left out.
pub async fn report(chosen: &StoredRun, looked: Looked, stop: &Stop, progress: &dyn Progress) -> Result<String> {
    chosen.require_its_classes()?;
    let SqlScope { store, visible, notes: mut missing } = scope_of_run(chosen)?;
    let ctx = session(&store, &visible).await?;
    let embeddings = visible.spaces.get("embeddings").map(|space| store.partition("embeddings", space)).transpose()?;
    missing.extend(warnings(&ctx));
    if !chosen.reached.is_finished() {
        missing.push(format!("the run is not finished: this is what it came to {}", chosen.reached));
    }
    let sampled = Sample::draw(&ctx, &chosen.run, looked.sampled).await?;
    missing.extend(sampled.note());

    let overview = overview::read(&ctx, chosen).await?;
    let labelled = overview.labelled;
    let passes = passes::read(&ctx, &sampled, labelled).await?;
    missing.extend(passes::without_answers(&ctx).await?);
    let confidence = confidence::read(&ctx, labelled).await?;
    let classes = classes::read(&ctx, labelled).await?;
    let mut galleries = gallery::read(&ctx, &sampled).await?;
    let sample = map::sample(&ctx, &sampled, looked.mapped, embeddings.as_ref()).await?;
    let asked = insight::choose(&ctx).await?;
    let ids = galleries.image_ids().chain(asked.iter().map(|row| row.image_id.as_str()));
    let wanted: HashSet<ImageId> =
        ids.chain(sample.iter().map(|place| place.image_id.as_str())).filter_map(ImageId::parse).collect();
    let pictures = chosen.pictures_of(&wanted)?;
    let thumbnails = thumbnail::Thumbnails::new(&pictures);
    galleries.illustrate(&thumbnails);
    let (looks, map) = match insight::look(chosen, &thumbnails, &asked, &sample, stop, progress).await {
        Ok(seen) => {
            if seen.gone {
                missing.push("pictures whose files are gone or have changed since are left out".to_owned());
            }
            let map = map::draw(&sample, seen.features, &classes.names)?;
            (seen.looks, map)
        }
        Err(error) if error.kind() == crate::error::Kind::Interrupted => return Err(error),
        Err(error) => {
            let hint = error.own_hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            let what = format!("the map and the attention are left out: {error}{hint}");
            progress.say(&format!("warning: {what}"));
            missing.push(what);
            (Vec::new(), None)
        }
    };
    page::render(&Report { overview, passes, confidence, classes, galleries, looks, map, notes: missing })
}
