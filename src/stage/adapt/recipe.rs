//! The adaptation recipe: the pipeline's training settings, and what is derived from them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::device::{Hardware, Precision, PrecisionChoice};
use crate::dka::{Balance, LOGIT_SCALE, Parameters, Statement};
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::design::{Design, StartsFrom};
use crate::fusion::loss::LossWeights;
use crate::image::{Crops, Strong, StrongView};
use crate::settings::{Must, SHARE, Want, above, choice, from, settings, whole};
use crate::stage::adapt::Keep;
use crate::text::file as text_file;
use crate::text::json::Pairs;
use crate::text::list::some_of;
use crate::text::names::plain;
use crate::text::terminal::in_line;

choice! {
    /// Whose settings a pipeline begins with; any key that it sets itself wins.
    BaseRecipe {
        /// The one that measured best over several data sets without labels, and the default: the
        /// classifier is trained on cached features of many crops, from a prior whose preference
        /// for some names is taken out.
        Recommended = "recommended",
        /// The paper's: LayerNorms of the vision tower are trained on augmented views.
        Paper = "paper",
        /// The released code's, step by step, with its saliency.
        Released = "released",
    }
}

choice! {
    /// What is trained (method section 9).
    Tune {
        /// Every LayerNorm of the vision tower, the pooling's projections and the head, as in the
        /// paper.
        LayerNorm = "layernorm",
        /// The pooling's projections and the head only, on cached features: seconds instead of
        /// minutes.
        Head = "head",
        /// The released code's recipe: as `layernorm`, with the weak view and the prior's crops
        /// through the model as it stands, and pseudo-labels made anew, at every step.
        Reference = "reference",
        /// Nothing: the baselines are evaluated and no pass is made.
        None = "none",
    }
}

choice! {
    /// The class distribution that the mean prediction is pulled towards.
    ClassPrior {
        /// Every class as often as any other, as in the paper.
        Uniform = "uniform",
        /// Estimated by clustering the pictures from the prior's answers, without a label.
        Estimated = "estimated",
        /// The mean of the prior's answers, with the biases of `dka.balance` taken out: as even as
        /// the pictures allow.
        Prior = "prior",
        /// Given in the file that `adapt.class_shares` names.
        Table = "table",
    }
}

settings! {
    /// How the model is trained on the pseudo-labels.
    Adapt {
        /// Whose settings stand where this file says nothing: a word for many keys.
        recipe: BaseRecipe = BaseRecipe::Recommended, BaseRecipe::WANT, Nothing;
        /// What is trained.
        tune: Tune = Tune::Head, Tune::WANT, Answers;
        /// For `layernorm`: the first block that runs while training, on cached tokens of the
        /// centre view; only LayerNorms from there on are trained. 0 runs the whole tower on
        /// augmented views.
        from_block: usize = 0, whole(0, 1_000), Answers;
        /// Number type of the tower's products while training; `auto` is fp32 but for `layernorm`.
        /// What is trained, LayerNorms and the residual stream are fp32 in any case.
        precision: PrecisionChoice = PrecisionChoice::Auto, PrecisionChoice::WANT, ByContent;
        /// Epochs over the training split.
        epochs: u64 = 15, whole(1, 100_000), Answers;
        /// Epochs between two makings of pseudo-labels.
        epochs_per_pass: u64 = 1, whole(1, 100_000), Answers;
        /// Pictures of a training step.
        batch: usize = 16, whole(1, 65_536), Answers;
        /// AdamW's learning rate at the first step; a cosine leads to `adapt.min_lr`.
        lr: f64 = 1e-4, above(0.0, 1.0), Answers;
        /// Factor of both learning rates for the classifier.
        head_lr_factor: f64 = 10.0, above(0.0, 1_000.0), Answers;
        /// AdamW's learning rate at the last step.
        min_lr: f64 = 2e-6, from(0.0, 1.0), Answers;
        /// AdamW's weight decay, on everything trained.
        weight_decay: f64 = 0.1, from(0.0, 1.0), Answers;
        /// Weight of the cross-entropy against the pseudo-labels.
        ce_weight: f64 = 1.0, from(0.0, 1_000.0), Answers;
        /// Weight of the fairness term, which pulls the mean prediction towards the class prior.
        fairness_weight: f64 = 1.0, from(0.0, 1_000.0), Answers;
        /// Share of the running average in the mean prediction that the fairness term sees.
        fairness_momentum: f64 = 0.5, SHARE, Answers;
        /// The class distribution that the fairness term pulls towards.
        class_prior: ClassPrior = ClassPrior::Prior, ClassPrior::WANT, Answers;
        /// For `adapt.class_prior = "table"`: a JSON file `{"class name": share}`; shares are
        /// scaled to sum to 1.
        class_shares: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// What cosines are multiplied by before a softmax: in training, answers and pseudo-labels
        /// (`$scale`).
        logit_scale: f64 = LOGIT_SCALE, above(0.0, 1_000.0), Answers;
        /// What is kept of `fusion_logits`, the largest table of a run: `"all"` of every pass,
        /// those of the `"last"` one, or in `top_logits` the K largest of each picture
        /// (`"top:32"`), with those of the last pass whole until the run ends. What is removed is
        /// not brought back.
        keep: Keep = Keep::All, Keep::WANT, Nothing;
        [strong]: Strong;
    }
}

impl Adapt {
    /// Returns how many passes a run makes; 0 if nothing is trained.
    pub fn passes(&self) -> u64 {
        match self.tune {
            Tune::None => 0,
            _ => self.epochs.div_ceil(self.epochs_per_pass.max(1)),
        }
    }

    /// Returns the precision of a tower of this width during training. The released recipe is fp32,
    /// and `head` runs no tower.
    pub fn tower_precision(&self, hardware: Hardware, width: i64) -> Precision {
        match (self.precision, self.tune) {
            (PrecisionChoice::Auto, Tune::Head | Tune::Reference | Tune::None) => Precision::Fp32,
            (choice, _) => choice.resolve(hardware, width),
        }
    }

    /// Returns what a forward pass of the model starts from; `None` if there is no model to adapt.
    /// The vision tower has `blocks` blocks.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the vision tower has no block `adapt.from_block`.
    pub fn starts_from(&self, blocks: usize) -> Result<Option<StartsFrom>> {
        let from = self.from_block;
        Ok(Some(match self.tune {
            Tune::None => return Ok(None),
            Tune::Head => StartsFrom::Features,
            Tune::Reference => StartsFrom::Pixels,
            Tune::LayerNorm if from == 0 => StartsFrom::Pixels,
            Tune::LayerNorm if from < blocks => StartsFrom::Block(from),
            Tune::LayerNorm => {
                let what =
                    format!("adapt.from_block = {from}: the vision tower has {blocks} blocks, 0 to {}", blocks - 1);
                return Err(Error::new(Kind::Usage, what).hint("adapt.tune = \"head\" trains without any block"));
            }
        }))
    }

    /// Returns the shares of the classes that fairness pulls towards, by class id and summing to 1,
    /// if the pipeline gives them.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read, lacks a class, names an unknown class,
    /// or has a share that is not above 0.
    pub fn class_shares(&self, classes: &[String]) -> Result<Option<Vec<f32>>> {
        match (self.class_prior, &self.class_shares) {
            (ClassPrior::Table, Some(path)) => class_shares(path, classes).map(Some),
            _ => Ok(None),
        }
    }
}

/// All settings of adaptation.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// How the model is trained.
    pub adapt: Adapt,
    /// The model's parts, and which of them are trained.
    pub design: Design,
    /// Shares of the classes, by class id, if the pipeline gives them.
    pub class_shares: Option<Vec<f32>>,
    /// Values of the statement's parameters.
    pub parameters: Parameters,
    /// How strongly the classes are balanced.
    pub balance: Balance,
    /// The SQL that makes pseudo-labels.
    pub statement: Statement,
    /// The strong view that training steps see.
    pub strong: StrongView,
    /// The crops of [`Tune::Reference`], which are drawn again at every step.
    pub crops: Crops,
    /// Seed of batch order and augmentation.
    pub seed: u64,
}

impl Recipe {
    /// Returns the weights of the loss's terms.
    pub fn loss(&self) -> LossWeights {
        LossWeights { ce: self.adapt.ce_weight, fairness: self.adapt.fairness_weight }
    }

    /// Returns whether each pass re-estimates the biases of the classes from its mixture. The steps
    /// of [`Tune::Reference`] make labels of a batch at a time, which is too few pictures.
    pub fn rebalances(&self) -> bool {
        self.balance.is_on() && self.adapt.tune != Tune::Reference
    }

    /// Returns whether a pass pulls towards a uniform distribution although another one was
    /// estimated: labels of the first passes carry the sentences' bias, which a uniform pull
    /// removes and an estimate does not.
    pub(super) fn balances(&self, pass: u64) -> bool {
        self.adapt.class_prior == ClassPrior::Estimated && (pass as f64) < UNIFORM_PASSES * self.adapt.passes() as f64
    }
}

/// Share of the passes, from the first on, that pull towards a uniform distribution instead of an
/// estimated one.
const UNIFORM_PASSES: f64 = 0.3;

/// Maximum bytes of a file of shares: enough for a million classes.
const LONGEST: u64 = 64 << 20;

/// Reads shares, matches them to `classes` by name, and scales them to sum to 1.
fn class_shares(path: &Path, classes: &[String]) -> Result<Vec<f32>> {
    let refuse = |what: String| Error::new(Kind::Input, format!("{}: {what}", path.display()));
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let given: Pairs<f64> =
        serde_json::from_str(&text).at(Kind::Input, "not class shares, {class name: share}:", path)?;
    if let Some(again) = given.again() {
        return Err(refuse(format!("the share of '{}' stands twice", in_line(&given.0[again].0))).hint("remove one"));
    }
    let given: BTreeMap<String, f64> = given.0.into_iter().collect();
    if let Some((name, share)) = given.iter().find(|(_, share)| !share.is_finite() || **share <= 0.0) {
        return Err(refuse(format!("the share of '{}' is {share}; shares are above 0", in_line(name))));
    }
    let alike: HashMap<String, f64> = given.iter().map(|(name, share)| (plain(name), *share)).collect();
    let known: HashSet<String> = classes.iter().map(|class| plain(class)).collect();
    if let Some(name) = given.keys().find(|name| !known.contains(&plain(name))) {
        return Err(refuse(format!("'{}' is no class of the dataset", in_line(name)))
            .hint(format!("the classes are {}", some_of(classes, usize::MAX))));
    }
    // All of them are classes, so that one of them is named twice.
    if given.len() > classes.len() {
        return Err(refuse(format!("{} shares of {} classes", given.len(), classes.len()))
            .hint("name each class once: names are the same in any case, and with spaces for underscores"));
    }
    let sum: f64 = given.values().sum();
    let scaled = |name: &String| {
        let share = given.get(name).or_else(|| alike.get(&plain(name)));
        let share = share.ok_or_else(|| refuse(format!("no share of class '{}'", in_line(name))))?;
        // A sum that overflows turns every share into 0.
        Some((share / sum) as f32).filter(|scaled| *scaled > 0.0).ok_or_else(|| {
            refuse(format!("the share of '{}' is {share:e}: nothing beside the sum of {sum:e}", in_line(name)))
        })
    };
    classes.iter().map(scaled).collect()
}
