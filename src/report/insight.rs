//! What only the model can say: where it looks in some pictures, and where it puts many.

use datafusion::execution::context::SessionContext;
use serde::Serialize;
use tch::Tensor;

use super::gallery::{Answered, end_of, least_certain_answers, surest_changed_answers};
use super::map::Place;
use super::thumbnail::{Thumbnails, jpeg, veil};
use crate::error::{Context, Kind, Result};
use crate::image::{ImageId, Rgb};
use crate::runs::adapted_model::AdaptedModel;
use crate::runs::stored_run::StoredRun;
use crate::stage::predict::Predictor;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::table::tensor::numbers;

/// Pictures of each kind that are looked into.
const SHOWN: usize = 6;

/// The side at which they are shown, in pixels.
const SIDE: u32 = 176;

/// Colour over the background.
const BACKGROUND: [u8; 3] = [12, 18, 28];

/// Colour over where the model looks.
const ATTENTION: [u8; 3] = [255, 120, 20];

/// A picture as the model's input has it, with its foreground, and where the model looks.
#[derive(Debug, Serialize)]
pub(super) struct Look {
    picture: String,
    path: String,
    answer: String,
    confidence: f64,
    zero_shot: Option<String>,
    truth: Option<String>,
    /// A veil that is dark over the background.
    mask: String,
    foreground: f64,
    /// A veil that is bright where the model looks; `None` if patches are pooled without attention.
    attention: Option<String>,
    /// The share of the attention that falls on the foreground, and the share that goes to no
    /// patch.
    on_foreground: Option<f64>,
    nowhere: Option<f64>,
}

/// The result of [`look`].
pub(super) struct Seen {
    pub(super) looks: Vec<Look>,
    /// Rows of the sample, and their adapted features (n, d).
    pub(super) features: Option<(Vec<usize>, Tensor)>,
    /// Whether pictures were left out because their files are gone or have changed.
    pub(super) gone: bool,
}

/// Chooses the pictures to look into: the surest of the answers that adaptation changed, then the
/// least certain ones.
pub(super) async fn choose(ctx: &SessionContext) -> Result<Vec<Answered>> {
    let mut asked = surest_changed_answers(ctx, SHOWN).await?;
    for row in least_certain_answers(ctx, SHOWN).await? {
        if asked.iter().all(|known| known.image_id != row.image_id) {
            asked.push(row);
        }
    }
    Ok(asked)
}

/// Runs pictures through the adapted model, leaving out those whose files are gone or have changed.
pub(super) async fn look(
    chosen: &StoredRun,
    pictures: &Thumbnails<'_>,
    asked: &[Answered],
    sample: &[Place],
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<Seen> {
    if asked.is_empty() && sample.is_empty() {
        return Ok(Seen { looks: Vec::new(), features: None, gone: false });
    }
    let chosen = &chosen.clone().with_models_fetched(stop, progress)?;
    let predictor = AdaptedModel::open(chosen, stop)?.predictor(chosen);
    let load = |image_id: &str| Some((ImageId::parse(image_id)?, pictures.whole(image_id)?));
    progress.begin("report", "image", (asked.len() + sample.len()) as u64, 0);
    let mut looks = Vec::new();
    for asked in asked {
        stop.check()?;
        if let Some(picture) = load(&asked.image_id) {
            looks.push(look_into(&predictor, asked, picture)?);
        }
        progress.advance(1);
    }
    let (mut of, mut features) = (Vec::new(), Vec::new());
    for (first, batch) in (0..).step_by(BATCH).zip(sample.chunks(BATCH)) {
        stop.check()?;
        let found = batch.iter().enumerate().filter_map(|(n, place)| Some((first + n, load(&place.image_id)?)));
        let (rows, found): (Vec<usize>, Vec<_>) = found.unzip();
        if !found.is_empty() {
            features.push(predictor.insight(&found)?.features);
            of.extend(rows);
        }
        progress.advance(batch.len() as u64);
    }
    progress.end(&format!("{} pictures looked into", looks.len() + of.len()));
    let gone = looks.len() + of.len() < asked.len() + sample.len();
    let features = (!of.is_empty()).then(|| (of, Tensor::cat(&features, 0)));
    Ok(Seen { looks, features, gone })
}

/// The most decoded pictures held at once.
const BATCH: usize = 32;

fn look_into(predictor: &Predictor, asked: &Answered, picture: (ImageId, Rgb)) -> Result<Look> {
    let side = predictor.preprocess.crop;
    let centre = Rgb::new(side, side, predictor.preprocess.centre_view(&picture.1)?)?;
    let insight = predictor.insight(&[picture])?;
    let mask = numbers(&insight.masks.get(0))?;
    let grid = mask.len().isqrt();
    let attention = insight.attention.map(|a| numbers(&a.get(0))).transpose()?;
    let attention = attention.as_deref().and_then(|all| all.split_last());
    let small = u32::try_from(grid).context(Kind::Model, || "too many patches".to_owned())?;
    let shade: Vec<u8> = mask.iter().map(|&m| if m > 0.5 { 0 } else { 190 }).collect();
    let glow = attention.map(|(_, patches)| {
        let most = patches.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        patches.iter().map(|a| (210.0 * (a / most).powf(0.8)) as u8).collect::<Vec<u8>>()
    });
    let on = |patches: &[f32]| patches.iter().zip(&mask).map(|(a, m)| f64::from(a * m)).sum::<f64>();
    Ok(Look {
        picture: jpeg(&centre, SIDE)?,
        path: end_of(&asked.path),
        answer: asked.answer.clone(),
        confidence: asked.confidence,
        zero_shot: asked.zero_shot.clone(),
        truth: asked.truth.clone(),
        mask: veil(BACKGROUND, &shade, small)?,
        foreground: f64::from(mask.iter().sum::<f32>()) / mask.len().max(1) as f64,
        attention: glow.map(|glow| veil(ATTENTION, &glow, small)).transpose()?,
        on_foreground: attention.map(|(_, patches)| on(patches)),
        nowhere: attention.map(|(sink, _)| f64::from(*sink)),
    })
}
