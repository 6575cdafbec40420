//! The released code's recipe, where everything is live. At every step the weak view and the
//! prior's crops go through the current tower, the statement makes the batch's pseudo-labels, and
//! the strong view is trained on them: `2 + V` forwards and one backward per picture, where a
//! cached prior needs one of each.

use tch::{Kind as Number, Tensor};
use tokio::task::block_in_place;

use crate::cores;
use crate::device::guarded;
use crate::dka::{PassInput, PseudoLabels, Steps, pseudo_labels};
use crate::error::Result;
use crate::fusion::design::MixedHeads;
use crate::fusion::matrix::Writer;
use crate::fusion::model::{Model, Tokens};
use crate::fusion::{composite, normalize};
use crate::image::{crops, seed, weak_view};
use crate::stage::adapt::epoch::{Learner, Step, Totals, shuffled};
use crate::stage::adapt::strong_views::Drawn;
use crate::stage::adapt::{Done, Pass, Recipe, Start};
use crate::stage::feed::PixelBatch;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;

/// Crops per forward pass without gradients.
const FORWARD: i64 = 128;

/// Runs the epochs of one pass. Returns their totals, and the logits and labels that the steps of
/// the last epoch saw.
pub(super) async fn pass(pass: Pass<'_>, learner: &mut Learner<'_>, stop: &Stop) -> Result<Done> {
    let mut totals = Totals::default();
    let mut last = None;
    for epoch in pass.epochs(learner.recipe) {
        let Done { fusion, labels, totals: of_epoch } = train(&pass, learner, epoch, stop).await?;
        totals.add(&of_epoch);
        last = Some((fusion, labels));
    }
    match last {
        Some((fusion, labels)) => Ok(Done { fusion, labels, totals }),
        None => Ok(Done { fusion: None, labels: Steps::default().finish(Vec::new(), 0)?, totals }),
    }
}

async fn train(pass: &Pass<'_>, learner: &mut Learner<'_>, epoch: u64, stop: &Stop) -> Result<Done> {
    let Pass { start: Start { images, prior, .. }, shares, .. } = *pass;
    let recipe = learner.recipe;
    let places: Vec<usize> = (0..images.len()).collect();
    let order = shuffled(&places, recipe.seed, epoch);
    let (strong, spec, run_seed) = (recipe.strong, recipe.crops, recipe.seed);
    let (side, filter) = (images.preprocess().crop, images.preprocess().filter);
    let drawn = Drawn::of(images);
    let draw = drawn.clone();
    // The weak view, the strong view and the crops of one picture, from one decode.
    let make = move |pictures: &Pictures, n: usize| {
        let (picture, id) = (pictures.load(n)?, &pictures.rows()[n].id);
        let stream = |purpose| seed::rng(run_seed, id, epoch, purpose);
        let mut pixels = weak_view(&picture, side, filter, &mut stream("weak"))?;
        pixels.extend(draw.strong_view(&strong, &picture, n, &mut stream("strong"))?);
        let cuts = crops::draw(&spec, &mut stream("live views"), picture.width, picture.height);
        pixels.extend(crops::crops(&picture, &cuts, side, filter)?);
        Ok(pixels)
    };
    let mut batches = images.feed(&order, recipe.adapt.batch, make);
    let mut made = Made::new(images.len(), prior.size().1)?;
    let steps = order.len().div_ceil(recipe.adapt.batch) as u64;
    let mut step = Step::begin(learner.model, learner.optimiser, recipe, shares, epoch, steps);
    while let Some(batch) = batches.recv().await {
        stop.check()?;
        let batch = batch?;
        let at: Vec<usize> = batch.pictures.iter().map(|&place| order[place]).collect();
        let live = block_in_place(|| Live::of(&batch, &at, pass, step.model))?;
        let labels = stop.or(labels(&live, pass, &at, learner.recipe)).await?;
        made.add(&at, &live.fusion, &labels)?;
        // Pictures that the statement leaves out are not trained on.
        let kept: Vec<i64> =
            (0..).zip(&labels.class_ids).filter(|(_, class)| **class >= 0).map(|(row, _)| row).collect();
        if kept.is_empty() {
            continue;
        }
        let classes: Vec<i64> = kept.iter().map(|&row| i64::from(labels.class_ids[row as usize])).collect();
        let places: Vec<i64> = kept.iter().map(|&row| at[row as usize] as i64).collect();
        let (strong, picks) = live.of_rows(&kept);
        let touched = drawn.at(images, &places);
        block_in_place(|| step.take(images.inputs_of_pixels(&strong, &picks), &classes, Some(&touched)))?;
    }
    let totals = guarded("an epoch's sums", || step.finish())?;
    let labels = made.steps.finish(made.class_ids, prior.size().1 as usize)?;
    Ok(Done { fusion: Some(made.fusion.finish()?), labels, totals })
}

/// Logits and labels that the steps of an epoch made, by picture.
struct Made {
    fusion: Writer,
    class_ids: Vec<i32>,
    steps: Steps,
}

impl Made {
    fn new(rows: usize, classes: i64) -> Result<Self> {
        let fusion = Writer::of_zeros(rows as i64, classes)?;
        Ok(Made { fusion, class_ids: vec![-1; rows], steps: Steps::default() })
    }

    fn add(&mut self, at: &[usize], fusion: &Tensor, labels: &PseudoLabels) -> Result<()> {
        let places: Vec<i64> = at.iter().map(|&at| at as i64).collect();
        self.fusion.put(&places, fusion)?;
        for (&at, &class) in at.iter().zip(&labels.class_ids) {
            self.class_ids[at] = class;
        }
        self.steps.add(labels);
        Ok(())
    }
}

/// The current model's outputs for a batch, and the inputs of the training step.
struct Live {
    /// Cosines (B, C) of the crops' composite.
    prior: Tensor,
    /// Cosines (B, C) of the weak view's fused feature.
    fusion: Tensor,
    /// Normalised pixels of the strong view.
    strong: Tensor,
    /// Picks for a random query, (B).
    picks: Tensor,
}

impl Live {
    /// Runs the current model on a batch, in shards that run on separate cores.
    fn of(batch: &PixelBatch, at: &[usize], pass: &Pass<'_>, model: &Model) -> Result<Live> {
        let images = pass.start.images;
        let (all, picks) = guarded("a batch's pixels", || {
            let places: Vec<i64> = at.iter().map(|&at| at as i64).collect();
            Ok((images.pixels(batch)?, images.picks(model, &places)?))
        })?;
        let (pictures, size) = (batch.pictures.len() as i64, all.size());
        let views = all.view([pictures, -1, size[1], size[2], size[3]]);
        let head = match pass.heads {
            MixedHeads::Learnable => model.classifier(),
            MixedHeads::Both | MixedHeads::Frozen => pass.start.frozen.shallow_clone(),
        };
        let shard = images.shard(at.len(), model.device()) as i64;
        let shards = views.split(shard, 0).into_iter().zip(picks.split(shard, 0));
        let shards = shards.map(|(views, picks)| (model.shallow_clone(), head.shallow_clone(), views, picks));
        let seen = cores::map(shards.collect(), |(model, head, views, picks)| {
            guarded("a live prior", || Ok(believed(&model, &head, &views, &picks)))
        })?;
        let (prior, fusion): (Vec<Tensor>, Vec<Tensor>) = seen.into_iter().unzip();
        let strong = views.select(1, 1).contiguous();
        Ok(Live { prior: Tensor::cat(&prior, 0), fusion: Tensor::cat(&fusion, 0), strong, picks })
    }

    /// Returns the strong views and picks of some of the pictures.
    fn of_rows(&self, rows: &[i64]) -> (Tensor, Tensor) {
        if rows.len() as i64 == self.picks.size()[0] {
            return (self.strong.shallow_clone(), self.picks.shallow_clone());
        }
        let rows = Tensor::from_slice(rows).to_device(self.strong.device());
        (self.strong.index_select(0, &rows), self.picks.index_select(0, &rows))
    }
}

/// Returns the current model's cosines (B, C) for views (B, 2 + V, 3, S, S) of pictures, weak,
/// strong and crops: those of the crops' composite to `head` (C, d), and those of the weak view's
/// fused feature to W*.
fn believed(model: &Model, head: &Tensor, views: &Tensor, picks: &Tensor) -> (Tensor, Tensor) {
    let _no_grad = tch::no_grad_guard();
    let weak = model.tokens(&model.see(&views.select(1, 0), picks));
    let crops = views.narrow(1, 2, views.size()[1] - 2).flatten(0, 1);
    let prior = live_prior(model, &crops, &weak, head).to_device(tch::Device::Cpu);
    (prior, model.fusion_logits(&weak).to_device(tch::Device::Cpu))
}

/// Returns the cosines (B, C) to a classifier (C, d) of the composite of crops (B * V, 3, S, S), as
/// the current tower sees them.
fn live_prior(model: &Model, crops: &Tensor, weak: &Tokens, head: &Tensor) -> Tensor {
    let features: Vec<Tensor> =
        crops.split(FORWARD, 0).iter().map(|crops| normalize(&model.tower.forward(crops).cls)).collect();
    let features = Tensor::cat(&features, 0);
    let width = features.size()[1];
    composite::prior_logits(&features.view([weak.coarse.size()[0], -1, width]), &weak.coarse, head)
        .to_kind(Number::Float)
}

/// Runs the statement to make the batch's pseudo-labels.
async fn labels(live: &Live, pass: &Pass<'_>, at: &[usize], recipe: &Recipe) -> Result<PseudoLabels> {
    let ids: Vec<String> = at.iter().map(|&at| pass.ids[at].clone()).collect();
    let previous = pass.previous.map(|labels| at.iter().map(|&at| labels[at]).collect::<Vec<i32>>());
    let input = PassInput {
        run: pass.start.run,
        pass: pass.pass as i32,
        image_ids: &ids,
        prior: live.prior.shallow_clone().into(),
        fusion: live.fusion.shallow_clone().into(),
        parameters: recipe.parameters,
        previous: previous.as_deref(),
    };
    pseudo_labels(&recipe.statement, input).await
}
