//! Embed: every picture's [CLS] feature, patch tokens and foreground, once per space.

use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch};
use tch::Kind as Number;

use crate::clip::ClipConfig;
use crate::device::guarded;
use crate::error::{Context, Kind, Result};
use crate::fusion::foreground::Saliency;
use crate::fusion::normalize;
use crate::image::{Preprocess, Rgb};
use crate::source::Source;
use crate::stage::feed::{Batcher, PixelBatch, Views};
use crate::stage::forward::{self, Grouping, Hands, Target, Work};
use crate::stage::frozen::FrozenTower;
use crate::stage::ingest::{self, IngestSettings, Ingested, Tap};
use crate::stage::pictures::{self, Pictures};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::space::Space;
use crate::table::{self, Dims, arrays, tensor};

/// The sizes that a schema of image features is bound to.
pub fn dims(config: &ClipConfig) -> Dims {
    Dims::new()
        .with("d", config.joint as usize)
        .with("D", config.vision.width as usize)
        .with("N", config.vision.patches() as usize)
}

/// What embedding needs besides the pictures.
#[derive(Clone, Copy)]
pub struct Embedding<'a> {
    /// Where the rows go.
    pub space: &'a Space,
    /// The model's sizes.
    pub config: &'a ClipConfig,
    /// The cut of the patch graph.
    pub saliency: Saliency,
}

/// Embeds the pictures that the space does not have. `tower` is built only where there are some. Returns the number of
/// pictures that went through it.
///
/// # Errors
/// Where a picture, the tower or the store fails, or stopping was asked for.
pub async fn embed(
    work: Work<'_>,
    embedding: Embedding<'_>,
    tower: impl FnOnce() -> Result<FrozenTower>,
) -> Result<u64> {
    let target = embedding.target(work.store)?;
    let todo = forward::missing(work.pictures, &target.partition)?;
    let prepared = work.preprocess.clone();
    let make = move |pictures: &Pictures, index| {
        let pixels = prepared.centre_view(&pictures.load(index)?)?;
        Ok(Views { pixels, boxes: Vec::new() })
    };
    let rows = embedding.rows(&target, work.grouping);
    forward::stream(work, todo, target, make, tower, rows).await
}

/// What ingest needs, for [`while_ingesting`].
pub struct Ingesting<'a> {
    /// Where pictures come from.
    pub source: Box<dyn Source>,
    /// What [`ingest::snapshot`] says of it.
    pub snapshot: String,
    /// How they are ingested.
    pub settings: &'a IngestSettings,
    /// How they are prepared for the tower.
    pub preprocess: &'a Preprocess,
    /// How they are grouped.
    pub grouping: Grouping,
    /// Where the tables are.
    pub store: &'a Store,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// Where is said how far it is.
    pub progress: &'a Arc<dyn Progress>,
}

/// Ingests a source and embeds its pictures on the way, from one decode. Batches and parts are those that [`embed`] makes. Returns what
/// ingest found, and the number of pictures that went through the tower.
///
/// A picture of which the space has a row is known to decode: where this is cut short and done again, such a picture is read and hashed,
/// no more.
///
/// # Errors
/// As [`ingest::ingest`] and [`embed`]; what was embedded until then is kept.
pub async fn while_ingesting(
    ingesting: Ingesting<'_>,
    embedding: Embedding<'_>,
    tower: impl FnOnce() -> Result<FrozenTower>,
) -> Result<(Ingested, u64)> {
    let Ingesting { source, snapshot, settings, preprocess, grouping, store, stop, progress } = ingesting;
    let target = embedding.target(store)?;
    let have = pictures::present(&target.partition)?;
    let preprocess = preprocess.clone();
    let make = move |picture: &Rgb| Ok(Views { pixels: preprocess.centre_view(picture)?, boxes: Vec::new() });
    let (batches, receive) = Batcher::new(grouping.batch);
    let tap = Tap { have: Arc::new(have), make: Arc::new(make), batches };
    let rows = embedding.rows(&target, grouping);
    let hands = Hands { grouping, stop, progress: progress.as_ref() };
    let consumed = forward::consume(hands, receive, target, tower, Box::new(rows));
    let read = ingest::read(source, snapshot, settings, store, stop, progress, Some(tap));
    let (read, forwards) = tokio::join!(read, consumed);
    // Where the tower or the store failed, that is why nobody took pictures any more.
    let forwards = forwards?;
    let ingested = read?.write(settings, store)?;
    progress.end(&format!("{ingested}, {forwards} embedded on the way"));
    Ok((ingested, forwards))
}

impl Embedding<'_> {
    fn target(&self, store: &Store) -> Result<Target> {
        Ok(Target {
            stage: "embed",
            partition: store.partition("embeddings", &self.space.id())?,
            schema: table::table("embeddings")?.arrow(&dims(self.config))?,
            footer: self.space.footer(),
        })
    }

    /// Makes rows of `embeddings` of a batch's centre views.
    fn rows(
        &self,
        target: &Target,
        grouping: Grouping,
    ) -> impl Fn(&FrozenTower, PixelBatch<String>) -> Result<RecordBatch> + Send + Sync + use<> {
        let (space, saliency, schema) = (self.space.id(), self.saliency, target.schema.clone());
        move |tower, PixelBatch { pictures, pixels, .. }| {
            guarded("embedding pictures", || {
                let _no_grad = tch::no_grad_guard();
                let seen = tower.see(&pixels, grouping.batch)?;
                // Computed from what is stored, so that whoever reads the tokens back finds the same mask.
                let tokens = seen.patch_tokens.to_kind(Number::Half);
                let cut = saliency.cut(&tokens);
                let columns = vec![
                    arrays::repeated(&space, pictures.len()),
                    arrays::text(&pictures),
                    tensor::to_vectors(&normalize(&seen.cls.to_kind(Number::Float)))?,
                    tensor::to_vectors(&seen.cls_token.to_kind(Number::Float))?,
                    tensor::to_tensors_f16(&tokens)?,
                    Arc::new(Float32Array::from(tensor::numbers(&cut.gap)?)),
                    tensor::to_tensors_u8(&cut.mask)?,
                ];
                RecordBatch::try_new(schema.clone(), columns)
                    .context(Kind::Store, || "cannot make table embeddings".to_owned())
            })
        }
    }
}
