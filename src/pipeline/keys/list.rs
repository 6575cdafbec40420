//! The keys themselves, with a sentence about each: the one source of what editors show ([`json_schema`](super::super::json_schema))
//! and of `docs/settings.md` ([`settings_page`](super::super::settings_page)).

use super::super::spec::{
    Affinity, ClassPrior, Coarse, DeviceKind, Heads, Orientation, Policy, Pooling, Precision, Prototypes, Query, Sink,
    SourceKind, Threshold, Tune,
};
use super::{Bounds, Key, Must, SEED, Want};

const fn optional(name: &'static str, want: Want, about: &'static str) -> Key {
    Key { name, want, required: false, about }
}

const fn required(name: &'static str, want: Want, about: &'static str) -> Key {
    Key { name, want, required: true, about }
}

const fn from(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: true, greatest })
}

const fn above(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: false, greatest })
}

/// Tables of the pipeline file that hold keys.
pub(in crate::pipeline) const SECTIONS: &[&str] = &[
    "dataset",
    "dataset.limits",
    "model",
    "text",
    "embed",
    "views",
    "saliency",
    "fusion",
    "dka",
    "adapt",
    "adapt.strong",
    "transduction",
    "predict",
    "device",
];

/// Every key, in the order of the documentation.
pub(in crate::pipeline) const KEYS: &[Key] = &[
    required("name", Want::Name, "The pipeline's name; runs are named by it."),
    optional(
        "store",
        Want::Path(Must::MayBeNew),
        "The folder of all tables and checkpoints; several pipelines may share it.",
    ),
    optional(
        "seed",
        SEED,
        "Seed of initialisation, batch order and augmentation. Crops have a seed of their own, `views.seed`.",
    ),
    required("dataset.kind", Want::Choice(SourceKind::CHOICES), "How the pictures are stored."),
    required(
        "dataset.path",
        Want::Path(Must::Exist),
        "The folder of pictures, the CSV file, or the Parquet file or folder.",
    ),
    optional(
        "dataset.root",
        Want::Path(Must::BeFolder),
        "For `list`: where the list's relative paths start. By default the list's own folder.",
    ),
    optional(
        "dataset.classes",
        Want::Path(Must::BeFile),
        "A text file with one class name a line. Needed where the source itself has no labels.",
    ),
    optional(
        "dataset.tolerance",
        from(0.0, 1.0),
        "The share of files that may be rejected before the run ends with exit code 3.",
    ),
    optional("dataset.limits.max_side", Want::Whole(1, 1_000_000), "The longest side, in pixels."),
    optional("dataset.limits.max_pixels", Want::Whole(1, 1_000_000_000_000), "Width times height, in pixels."),
    optional("dataset.limits.max_bytes", Want::Whole(1, 1 << 40), "The encoded picture, in bytes."),
    required(
        "model.path",
        Want::Path(Must::Exist),
        "A Hugging Face directory, or a `.safetensors` file in OpenAI's naming.",
    ),
    optional(
        "model.tokenizer",
        Want::Path(Must::BeFile),
        "A `tokenizer.json`, where it does not lie beside the weights.",
    ),
    optional(
        "model.preprocessor",
        Want::Path(Must::BeFile),
        "A `preprocessor_config.json`, where it does not lie beside the weights.",
    ),
    optional("model.precision", Want::Choice(Precision::CHOICES), "Number type of the frozen encoder."),
    required(
        "text.descriptions",
        Want::Path(Must::BeFile),
        "A JSON file `{\"class name\": [\"sentence\", ...]}`, as a language model wrote them.",
    ),
    optional("text.templates", Want::Templates, "Prompts for the class name, which takes the place of `{}`."),
    optional("text.prototypes", Want::Choice(Prototypes::CHOICES), "What both classifiers are made from."),
    optional("embed.batch", Want::Whole(1, 65_536), "Pictures of a forward pass of the frozen encoder."),
    optional(
        "embed.part_rows",
        Want::Whole(1, 1_000_000),
        "Pictures of a part on disk: what an interrupted run loses at most.",
    ),
    optional("views.count", Want::Whole(1, 1_024), "Square crops of each picture."),
    optional(
        "views.scale",
        Want::Span,
        "A crop's side as a share of the picture's shorter edge: least and greatest, drawn uniformly.",
    ),
    optional("views.seed", SEED, "Seed of the crops; apart from `seed`, so that seeds share cached crops."),
    optional("saliency.affinity", Want::Choice(Affinity::CHOICES), "How alike two patch tokens are."),
    optional(
        "saliency.threshold",
        Want::Choice(Threshold::CHOICES),
        "Where the Fiedler vector is cut into foreground and background.",
    ),
    optional("saliency.orientation", Want::Choice(Orientation::CHOICES), "Which side of the cut is the foreground."),
    optional("saliency.tau", from(-1e6, 1e6), "Two patches are joined where their affinity exceeds this."),
    optional(
        "saliency.eps",
        above(0.0, 1.0),
        "Weight between patches that are not joined; it keeps the graph connected.",
    ),
    optional("fusion.ratio", from(0.0, 1.0), "Share of `[FG]` in the fused feature; the coarse feature has the rest."),
    optional("fusion.coarse", Want::Choice(Coarse::CHOICES), "The feature that `[FG]` is fused with."),
    optional("fusion.query", Want::Choice(Query::CHOICES), "What SOAP asks the patches for."),
    optional("fusion.pooling", Want::Choice(Pooling::CHOICES), "How patches become the `[FG]` token."),
    optional("fusion.sink", Want::Choice(Sink::CHOICES), "The token beside the patches that attention may go to."),
    optional("fusion.heads", Want::Choice(Heads::CHOICES), "The classifiers that are mixed."),
    optional(
        "dka.gamma",
        from(0.0, 1.0),
        "The prior's share in the pseudo-logits; the model under training has the rest.",
    ),
    optional(
        "dka.policy",
        Want::Choice(Policy::CHOICES),
        "The statement that makes pseudo-labels; `argmax` where neither it nor `dka.statement` is given.",
    ),
    optional("dka.k", Want::Whole(1, 1_000_000), "`$k` of the statement: pictures of a class."),
    optional("dka.floor", from(0.0, 1.0), "`$floor` of the statement: least probability."),
    optional(
        "dka.statement",
        Want::Path(Must::BeFile),
        "A SQL file whose statement makes the pseudo-labels in place of a shipped one.",
    ),
    optional("adapt.tune", Want::Choice(Tune::CHOICES), "What is trained."),
    optional(
        "adapt.from_block",
        Want::Whole(0, 1_000),
        "For `layernorm`: the first block that runs while training, on cached tokens of the centre view; only LayerNorms from there on are trained. 0 runs the whole tower on augmented views.",
    ),
    optional(
        "adapt.precision",
        Want::Choice(Precision::CHOICES),
        "Number type of the tower's products while training; `auto` is fp32 but for `layernorm`. What is trained, LayerNorms and the residual stream are fp32 in any case.",
    ),
    optional("adapt.epochs", Want::Whole(1, 100_000), "Epochs over the training split."),
    optional("adapt.epochs_per_pass", Want::Whole(1, 100_000), "Epochs between two makings of pseudo-labels."),
    optional("adapt.batch", Want::Whole(1, 65_536), "Pictures of a training step."),
    optional("adapt.lr", above(0.0, 1.0), "AdamW's learning rate at the first step; a cosine leads to `adapt.min_lr`."),
    optional("adapt.head_lr_factor", above(0.0, 1_000.0), "Factor of both learning rates for the classifier."),
    optional("adapt.min_lr", from(0.0, 1.0), "AdamW's learning rate at the last step."),
    optional("adapt.weight_decay", from(0.0, 1.0), "AdamW's weight decay, on everything trained."),
    optional("adapt.ce_weight", from(0.0, 1_000.0), "Weight of the cross-entropy against the pseudo-labels."),
    optional(
        "adapt.fairness_weight",
        from(0.0, 1_000.0),
        "Weight of the fairness term, which pulls the mean prediction towards the class prior.",
    ),
    optional(
        "adapt.fairness_momentum",
        from(0.0, 1.0),
        "Share of the running average in the mean prediction that the fairness term sees.",
    ),
    optional(
        "adapt.class_prior",
        Want::Choice(ClassPrior::CHOICES),
        "The class distribution that the fairness term pulls towards.",
    ),
    optional(
        "adapt.class_shares",
        Want::Path(Must::BeFile),
        "For `adapt.class_prior = \"table\"`: a JSON file `{\"class name\": share}`; shares are scaled to sum to 1.",
    ),
    optional(
        "adapt.logit_scale",
        above(0.0, 1_000.0),
        "What cosines are multiplied by before a softmax: in training, answers and pseudo-labels (`$scale`).",
    ),
    optional(
        "adapt.strong.scale",
        Want::Span,
        "Area of the random resized crop as a share of the picture's: least and greatest.",
    ),
    optional("adapt.strong.flip", from(0.0, 1.0), "Probability of a horizontal flip."),
    optional("adapt.strong.rand_augment", Want::Flag, "Whether RandAugment follows."),
    optional("adapt.strong.magnitude", from(0.0, 10.0), "RandAugment's magnitude."),
    optional(
        "adapt.strong.magnitude_std",
        from(0.0, 10.0),
        "Standard deviation of the magnitude, drawn anew for each operation.",
    ),
    optional("adapt.strong.ops", Want::Whole(1, 16), "RandAugment's operations for each picture."),
    optional("transduction.prior", Want::Flag, "StatA makes the prior: before adaptation, on the training pictures."),
    optional(
        "transduction.predictions",
        Want::Flag,
        "StatA makes the answers: after adaptation, on the pictures of each split.",
    ),
    optional(
        "transduction.neighbours",
        Want::Whole(1, 1_000),
        "Neighbours of a picture whose answers pull at its own.",
    ),
    optional("transduction.iterations", Want::Whole(1, 10_000), "Times that the classes' Gaussians are fitted anew."),
    optional("predict.gamma", from(0.0, 1.0), "The prior's share in the answer: DKA's mixture, at prediction."),
    optional("device.kind", Want::Choice(DeviceKind::CHOICES), "Where tensors live."),
    optional(
        "device.threads",
        Want::Whole(0, 1_024),
        "Cores to use, for decoding, hashing, SQL and computing; 0: all that the machine gives (its quota, its affinity). Results are the same to the bit whatever the number.",
    ),
];

/// A sentence about a table of the pipeline file; empty for the top.
pub(in crate::pipeline) fn about_section(section: &str) -> &'static str {
    match section {
        "dataset" => "Where the pictures come from.",
        "dataset.limits" => "What a picture's header may claim; checked before memory is taken to decode it.",
        "model" => "The CLIP to adapt.",
        "text" => "The classes in words.",
        "embed" => "Sizes of the streaming stages. They change speed and memory, not the result.",
        "views" => "The random crops whose features make the prior (multi-view alignment).",
        "saliency" => "How the foreground is found in the patch tokens: the normalized cut of the patch graph.",
        "fusion" => "TokenFusion: how `[CLS]` and `[FG]` are fused.",
        "dka" => "Dynamic Knowledge Aggregation: how pseudo-labels are made.",
        "adapt" => "How the model is trained on the pseudo-labels.",
        "adapt.strong" => "The augmentation that training steps see; timm's `rand-m9-mstd0.5-inc1` by default.",
        "transduction" => "StatA on the tables of cosines: training-free refinement over all pictures at once.",
        "predict" => "How answers are made from logits.",
        "device" => "What it runs on.",
        _ => "",
    }
}
