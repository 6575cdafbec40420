//! Embed: every picture's [CLS] feature, patch tokens and foreground, once per space.

use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use tch::Kind as Number;

use crate::clip::{ClipConfig, VisionTower};
use crate::device::{FewerThreads, guarded};
use crate::error::{Context, Kind, Result};
use crate::fusion::foreground::Saliency;
use crate::fusion::normalize;
use crate::image::{Preprocess, Rgb};
use crate::source::Source;
use crate::stage::feed::{Batcher, Views};
use crate::stage::forward::{self, Grouping, Hands, Target, Work};
use crate::stage::ingest::{self, IngestSettings, Ingested, Tap};
use crate::stage::pictures::{self, Pictures};
use crate::stage::pixels::Normaliser;
use crate::stage::progress::Progress;
use crate::stage::stop::Stop;
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
    tower: impl FnOnce() -> Result<(VisionTower, Normaliser)>,
) -> Result<u64> {
    let target = embedding.target(work.store)?;
    let todo = forward::missing(work.pictures, &target.partition)?;
    let prepared = work.preprocess.clone();
    let make = move |pictures: &Pictures, index| {
        let pixels = prepared.centre_view(&pictures.load(index)?)?;
        Ok(Views { pixels, boxes: Vec::new() })
    };
    let model = if todo.is_empty() { None } else { Some(tower()?) };
    let schema = target.schema.clone();
    let rows = work.pictures.rows();
    let _threads = embedding.threads(rows.len() as u64, rows.iter().map(|picture| picture.byte_len).sum());
    forward::stream(work, todo, target, make, |batch, ids| {
        let Some(model) = &model else { unreachable!("without pictures there are no batches") };
        embedding.rows(model, &batch.pixels, &ids, &schema)
    })
    .await
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
    tower: impl FnOnce() -> Result<(VisionTower, Normaliser)>,
) -> Result<(Ingested, u64)> {
    let Ingesting { source, snapshot, settings, preprocess, grouping, store, stop, progress } = ingesting;
    let target = embedding.target(store)?;
    let have = pictures::present(&target.partition)?;
    let preprocess = preprocess.clone();
    let make = move |picture: &Rgb| Ok(Views { pixels: preprocess.centre_view(picture)?, boxes: Vec::new() });
    let (batches, receive) = Batcher::new(grouping.batch);
    let tap = Tap { have: Arc::new(have), make: Arc::new(make), batches };
    let (schema, mut tower, mut model) = (target.schema.clone(), Some(tower), None);
    let _threads = embedding.threads(source.listing().items, source.listing().bytes);
    let hands = Hands { grouping, stop, progress: progress.as_ref() };
    let consumed = forward::consume(hands, receive, target, |batch| {
        if let Some(tower) = tower.take() {
            model = Some(tower()?);
        }
        let Some(model) = &model else { unreachable!("the first batch builds the tower, or fails") };
        embedding.rows(model, &batch.pixels, &batch.pictures, &schema)
    });
    let read = ingest::read(source, snapshot, settings, store, stop, progress, Some(tap));
    let (read, forwards) = tokio::join!(read, consumed);
    // Where the tower or the store failed, that is why nobody took pictures any more.
    let forwards = forwards?;
    let ingested = read?.write(settings, store)?;
    progress.end(&format!("{ingested}, {forwards} embedded on the way"));
    Ok((ingested, forwards))
}

/// What a megabyte of encoded photographs costs to decode and resize, in GFLOP of a tower that takes as long.
const GFLOP_A_MEGABYTE: f64 = 1.1;

impl Embedding<'_> {
    /// Leaves cores to decoding where that is most of the work. Decided by sizes alone, so that the same pictures are always
    /// embedded by the same kernels.
    fn threads(&self, pictures: u64, bytes: u64) -> Option<FewerThreads> {
        let megabytes = bytes as f64 / 1e6 / pictures.max(1) as f64;
        (self.config.vision.gflop() < megabytes * GFLOP_A_MEGABYTE).then(FewerThreads::beside_decoding)
    }

    fn target(&self, store: &Store) -> Result<Target> {
        Ok(Target {
            stage: "embed",
            partition: store.partition("embeddings", &self.space.id())?,
            schema: table::table("embeddings")?.arrow(&dims(self.config))?,
            footer: self.space.footer(),
        })
    }

    /// Rows of `embeddings` of a batch's centre views.
    fn rows(
        &self,
        (tower, normaliser): &(VisionTower, Normaliser),
        pixels: &[u8],
        ids: &[String],
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        guarded("embedding pictures", || {
            let _no_grad = tch::no_grad_guard();
            let seen = tower.forward(&normaliser.forward(pixels)?);
            // Computed from what is stored, so that whoever reads the tokens back finds the same mask.
            let tokens = seen.patch_tokens.to_kind(Number::Half);
            let cut = self.saliency.cut(&tokens);
            let columns = vec![
                arrays::repeated(&self.space.id(), ids.len()),
                arrays::text(ids),
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
