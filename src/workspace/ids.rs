//! The names under which results are kept: those of a dataset, of spaces and of runs.
//!
//! They are made only of what changes results, spelled as in the pipeline file, without the
//! defaults ([`identity_of`]): each setting declares what changes with it ([`Changes`]). A test
//! below pins known names.

use super::Workspace;
use crate::clip::Clip;
use crate::config::Spec;
use crate::device::Precision;
use crate::dino::Dino;
use crate::error::Result;
use crate::hub::Name;
use crate::settings::{identity, identity_of, identity_of_features};
use crate::stage::adapt::Recipe;
use crate::stage::describe::Sentences;
use crate::stage::frozen::{FrozenTable, FrozenTables};
use crate::store::space::Space;

/// Raised whenever the same settings adapt or measure differently than before, or the default of a
/// key that changes answers is changed: a run of an earlier program is then another run, not a
/// finished one.
const METHOD: u32 = 6;

/// Raised whenever the same settings make other features than before, or the default of a key that
/// changes features is changed: features of an earlier program are then in another space.
const FEATURES: u32 = 2;

/// Returns the partition of a dataset's tables: the pipeline's name for people, and a digest that
/// tells two of that name apart.
pub(crate) fn dataset(spec: &Spec) -> String {
    format!("{}-{}", spec.name, place(spec))
}

/// Returns a digest of where a dataset is, and of the columns that are read of it.
fn place(spec: &Spec) -> String {
    let place = &spec.dataset;
    let root = place.root.as_ref().map(|root| format!("; root = {}", root.display())).unwrap_or_default();
    let columns = [&place.image_column, &place.label_column, &place.split_column];
    let columns = columns.map(|column| column.as_ref().map(|name| format!("{} {name}", name.len())));
    let columns = if columns == [const { None }; 3] { String::new() } else { format!("; columns = {columns:?}") };
    // A data set of the hub is the same one at another revision, with other pictures.
    let path =
        Name::in_place_of(&place.path).map_or(place.path.display().to_string(), |name| name.anywhere().to_string());
    let part = [("config", &place.config), ("split", &place.split)];
    let part: String =
        part.iter().filter_map(|(key, value)| Some(format!("; {key} = {:?}", value.as_ref()?))).collect();
    let text = format!("kind = {}; path = {path}{root}{columns}{part}", place.kind);
    blake3::hash(text.as_bytes()).to_hex()[..8].to_owned()
}

/// The table of the pipeline file whose settings are part of the space of sentences alone.
const OF_SENTENCES: &str = "text";

/// Returns what the spaces of all tables of the frozen vision tower have in common. A table of the
/// pipeline file that affects one of them alone says so ([`FrozenTables::SETTINGS`]).
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a setting cannot be written.
pub(super) fn vision(spec: &Spec, clip: &Clip, precision: Precision) -> Result<Space> {
    Ok(features("vision", clip.weights_hash())
        .with("architecture", clip.config.vision.canonical())
        .with("preprocessing", clip.preprocess.canonical())
        .with("precision", precision.as_str())
        .with("settings", of_pictures(spec)?))
}

/// Returns the space of the second vision model's features.
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a setting cannot be written.
pub(super) fn second(spec: &Spec, dino: &Dino, precision: Precision) -> Result<Space> {
    Ok(features("second", dino.weights_hash())
        .with("architecture", dino.config.canonical())
        .with("preprocessing", dino.preprocess.canonical())
        .with("precision", precision.as_str())
        .with("settings", of_pictures(spec)?))
}

/// Returns the settings that change features of pictures, without those of one table's space alone.
fn of_pictures(spec: &Spec) -> Result<String> {
    identity_of(spec, |given| {
        let (table, _) = given.name.split_once('.').unwrap_or_default();
        given.changes_features() && table != OF_SENTENCES && !FrozenTables::SETTINGS.contains(&table)
    })
}

/// Returns the space of the features of sentences.
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a setting cannot be written.
pub(super) fn text(spec: &Spec, clip: &Clip, precision: Precision) -> Result<Space> {
    Ok(features("txt", clip.weights_hash())
        .with("architecture", clip.config.text.canonical())
        .with("tokenizer", clip.tokenizer.identity().to_hex())
        .with("precision", precision.as_str())
        .with("settings", identity_of_features(OF_SENTENCES, &spec.text)?))
}

/// Returns a space of what a model computes.
fn features(kind: &str, weights: blake3::Hash) -> Space {
    Space::new(kind).with("features", FEATURES).with("weights", weights.to_hex())
}

/// Returns the id of the run that these settings make of a snapshot of the dataset. The same
/// settings on the same data are the same run, which is how a stopped run is found again.
///
/// # Errors
/// Returns [`Kind::Internal`](crate::error::Kind::Internal) if a setting cannot be written.
pub(super) fn run(
    spec: &Spec,
    workspace: &Workspace,
    snapshot: &str,
    sentences: &Sentences,
    recipe: Option<&Recipe>,
) -> Result<String> {
    // What a setting names replaces its value: a statement's text, the shares of a file, the
    // precision that was chosen.
    let statement = recipe.map_or("none", |recipe| recipe.statement.sql());
    let shares = recipe.and_then(|recipe| recipe.class_shares.as_deref());
    let shares = shares.map_or("none".to_owned(), spelled);
    // Left out where there is none, so that earlier runs keep their ids.
    let second = workspace.frozen.second_features.as_ref().map(|table| ("second_features", table.space().id()));
    let parts = [
        ("method", METHOD.to_string()),
        ("pictures", snapshot.to_owned()),
        ("embeddings", workspace.frozen.embeddings.space().id()),
        ("view_features", workspace.frozen.view_features.space().id()),
        ("text_features", workspace.text_space.id()),
        ("sentences", sentences.identity().to_hex().to_string()),
        ("settings", identity(spec)?),
        ("statement", statement.to_owned()),
        ("class_shares", shares),
        ("precision", workspace.adapt_precision(spec).as_str().to_owned()),
        ("device", workspace.hardware.as_str().to_owned()),
    ];
    let mut hasher = blake3::Hasher::new();
    // Lengths are hashed too, so that no two different lists of parts give the same bytes.
    for text in parts.iter().chain(&second).flat_map(|(part, value)| [*part, value.as_str()]) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let digest = hasher.finalize().to_hex();
    Ok(format!("{}-{}-s{}-{}", spec.name, spec.adapt.tune, spec.seed, &digest[..8]))
}

/// The settings that the prior depends on, if it is not transduced.
const OF_PRIOR: [&str; 4] = ["dka.balance", "adapt.class_prior", "adapt.logit_scale", "model.second.features"];

/// Returns what the prior of a snapshot's training pictures depends on, with the biases that are
/// taken out of it: neither the seed nor anything of training. `classes` are the dataset's class
/// names.
///
/// # Errors
/// Fails if the shares of the classes cannot be read, or a setting cannot be written.
pub(super) fn prior(
    spec: &Spec,
    workspace: &Workspace,
    snapshot: &str,
    sentences: &Sentences,
    classes: &[String],
) -> Result<Space> {
    let transduced = spec.transduction.prior;
    let settings = identity_of(spec, |given| match given.name.split_once('.') {
        Some(("transduction", key)) => transduced && key != "predictions",
        _ => OF_PRIOR.contains(&given.name.as_str()),
    })?;
    let mut space = Space::new("prior")
        .with("method", METHOD)
        .with("dataset", place(spec))
        .with("pictures", snapshot)
        .with("composites", workspace.frozen.composites.space().id())
        .with("text_features", workspace.text_space.id())
        .with("sentences", sentences.identity().to_hex())
        .with("settings", settings);
    if let Some(shares) = spec.adapt.class_shares(classes)? {
        space = space.with("class_shares", blake3::hash(spelled(&shares).as_bytes()).to_hex());
    }
    Ok(match &workspace.frozen.second_features {
        Some(second) => space.with("second_features", second.space().id()),
        None => space,
    })
}

/// Writes shares of classes as part of an id.
fn spelled(shares: &[f32]) -> String {
    shares.iter().map(|share| format!("{share} ")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::keys::KEYS;
    use crate::settings::Want;
    use crate::workspace::recipe;

    /// Makes a pipeline whose ids depend on no path of this machine.
    fn spec(set: serde_json::Value) -> Spec {
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
        let mut spec = serde_json::json!({
            "name": "flowers", "dataset": {"kind": "folder", "path": "/pictures"}, "model": {"path": model},
            "text": {"descriptions": "/sentences.json"}, "device": {"kind": "cpu"},
        });
        for (key, value) in set.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    /// Returns the ids of the image, view and text spaces, of the block tokens' space if there is
    /// one, and of the run.
    fn ids(set: serde_json::Value) -> String {
        let spec = spec(set);
        let workspace = Workspace::open(&spec).unwrap();
        let classes = ["rose".to_owned(), "aster".to_owned()];
        let sentences = Sentences::of_templates(&classes, &spec.text.templates);
        let recipe = recipe(&spec, &workspace, &classes).unwrap();
        let run = run(&spec, &workspace, "snapshot", &sentences, recipe.as_ref()).unwrap();
        let block = workspace.frozen.block_tokens.map(|table| format!(" {}", table.space().id())).unwrap_or_default();
        let FrozenTables { embeddings, view_features, .. } = workspace.frozen;
        let [image, view, text] = [embeddings.space(), view_features.space(), &workspace.text_space].map(Space::id);
        format!("{image} {view} {text}{block} {run}")
    }

    #[test]
    fn known_ids_stay() {
        insta::assert_snapshot!(dataset(&spec(serde_json::json!({}))), @"flowers-b45f0a75");
        // Two columns of labels of one table are two datasets.
        let by = |key: &str, column: &str| {
            let mut spec = spec(serde_json::json!({}));
            let column = Some(column.to_owned());
            match key {
                "label" => spec.dataset.label_column = column,
                _ => spec.dataset.image_column = column,
            }
            dataset(&spec)
        };
        let datasets =
            [by("label", "species"), by("label", "genus"), by("image", "genus"), dataset(&spec(serde_json::json!({})))];
        assert_eq!(datasets.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{datasets:?}");
        insta::assert_snapshot!(ids(serde_json::json!({})), @"img-e3dde2501739c39e view-39ae451d943faccc txt-9573dc591bff4f03 flowers-head-s0-564b8036");
        // Features of sentences in another precision are in another space.
        let bf16 = serde_json::json!({"model": {"path": spec(serde_json::json!({})).model.path, "precision": "bf16"}});
        assert!(!ids(bf16).contains("txt-9573dc591bff4f03"));
        insta::assert_snapshot!(ids(serde_json::json!({"saliency": {"tau": 0.3}, "views": {"count": 4}})), @"img-bd08fcaf5a09489a view-1db1451481ffb2e2 txt-9573dc591bff4f03 flowers-head-s0-cb6e0f2e");
        insta::assert_snapshot!(ids(serde_json::json!({"adapt": {"tune": "layernorm", "from_block": 2, "epochs": 3}, "seed": 7})), @"img-e3dde2501739c39e view-39ae451d943faccc txt-9573dc591bff4f03 blk-9d9fb40fca012432 flowers-layernorm-s7-aabca2d0");
    }

    /// They are all that is kept of the crops, so that another name of theirs is a forward pass for
    /// each crop.
    #[test]
    fn composites_keep_their_id_whether_crops_are_kept_or_not() {
        let id = |set| Workspace::open(&spec(set)).unwrap().frozen.composites.space().id();
        let plain = id(serde_json::json!({}));
        insta::assert_snapshot!(plain, @"comp-8efb505126b8e6d2");
        assert_eq!(id(serde_json::json!({"views": {"keep": true}, "saliency": {"tau": 0.3}})), plain);
        assert_ne!(id(serde_json::json!({"views": {"count": 4}})), plain);
        assert_eq!(ids(serde_json::json!({"views": {"keep": true}})), ids(serde_json::json!({})));
    }

    #[test]
    fn the_prior_keeps_its_id_whatever_is_trained() {
        let id = |set| {
            let spec = spec(set);
            let workspace = Workspace::open(&spec).unwrap();
            let classes = ["rose".to_owned(), "aster".to_owned()];
            let sentences = Sentences::of_templates(&classes, &spec.text.templates);
            prior(&spec, &workspace, "snapshot", &sentences, &classes).unwrap().id()
        };
        let plain = id(serde_json::json!({}));
        insta::assert_snapshot!(plain, @"prior-6169f3eb64fc181e");
        for set in [
            serde_json::json!({"seed": 7, "adapt": {"epochs": 3, "tune": "none", "keep": "last"}}),
            serde_json::json!({"dka": {"gamma": 0.5, "policy": "revive"}, "predict": {"gamma": 0.25}}),
            serde_json::json!({"transduction": {"predictions": false, "method": "stata"}, "fusion": {"ratio": 0.25}}),
        ] {
            assert_eq!(id(set.clone()), plain, "{set}");
        }
        for set in [
            serde_json::json!({"dka": {"balance": 0.5}}),
            serde_json::json!({"views": {"count": 4}}),
            serde_json::json!({"transduction": {"prior": true}}),
            serde_json::json!({"adapt": {"logit_scale": 90.0}}),
        ] {
            assert_ne!(id(set.clone()), plain, "{set}");
        }
    }

    #[test]
    fn an_id_changes_with_what_changes_results_alone() {
        let plain = ids(serde_json::json!({}));
        let same = [
            serde_json::json!({"embed": {"batch": 8}, "store": "/elsewhere"}),
            serde_json::json!({"adapt": {"epochs": 15, "strong": {"flip": 0.5}}, "views": {"seed": 0}}),
            serde_json::json!({"dka": {"policy": "balanced"}}),
            serde_json::json!({"adapt": {"keep": "top:32"}}),
            serde_json::json!({"device": {"kind": "cpu", "threads": 3}}),
        ];
        for set in same {
            assert_eq!(ids(set.clone()), plain, "{set}");
        }
        // Which ids should differ: those of the image, view and text spaces, and the run's.
        let parts = |ids: &str| ids.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (set, differs) in [
            (serde_json::json!({"saliency": {"eps": 1e-5}}), [true, false, false, true]),
            (serde_json::json!({"views": {"scale": [0.4, 0.9]}}), [false, true, false, true]),
            (serde_json::json!({"predict": {"gamma": 0.25}}), [false, false, false, true]),
            (serde_json::json!({"dka": {"policy": "revive"}}), [false, false, false, true]),
            (
                serde_json::json!({"text": {"descriptions": "/a.json", "templates": ["{}"]}}),
                [false, false, false, true],
            ),
        ] {
            let found = parts(&ids(set.clone())).into_iter().zip(parts(&plain)).map(|(a, b)| a != b);
            assert_eq!(found.collect::<Vec<_>>(), differs, "{set}");
        }
    }

    /// Ids leave defaults out. So changing one of these must raise [`FEATURES`] for a key of
    /// features, [`METHOD`] for one of answers, and the version of snapshots for `dataset.limits`;
    /// a new key is only added here, and orphans nothing.
    #[test]
    fn defaults_stay() {
        let lines: Vec<String> = KEYS
            .iter()
            .filter(|key| !matches!(key.of.want, Want::Path(_)))
            .filter_map(|key| Some(format!("{} = {} ({:?})", key.name, key.of.default?(), key.of.changes)))
            .filter(|line| !line.ends_with("(Nothing)"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        seed = 0 (Answers)
        dataset.config = null (ByContent)
        dataset.split = null (ByContent)
        dataset.image_column = null (ByContent)
        dataset.label_column = null (ByContent)
        dataset.split_column = null (ByContent)
        dataset.validation = "apart" (ByContent)
        dataset.orientation = "apply" (Features)
        dataset.limits.max_side = 20000 (ByContent)
        dataset.limits.max_pixels = 178956970 (ByContent)
        dataset.limits.max_bytes = 67108864 (ByContent)
        model.precision = "auto" (ByContent)
        model.second.precision = "auto" (ByContent)
        model.second.features = "both" (Answers)
        text.layout = "sentences" (ByContent)
        text.templates = ["a photo of a {}."] (ByContent)
        text.prototypes = "descriptions" (ByContent)
        neighbours.k = 10 (ByContent)
        views.count = 8 (Features)
        views.scale = [0.5,0.9] (Features)
        views.seed = 0 (Features)
        saliency.affinity = "cosine" (Features)
        saliency.threshold = "mean" (Features)
        saliency.orientation = "seed" (Features)
        saliency.tau = 0.2 (Features)
        saliency.eps = 1e-6 (Features)
        fusion.ratio = 0.5 (Answers)
        fusion.coarse = "auto" (Answers)
        fusion.query = "foreground" (Answers)
        fusion.pooling = "attention" (Answers)
        fusion.sink = "zero" (Answers)
        fusion.heads = "both" (Answers)
        dka.gamma = 0.75 (Answers)
        dka.balance = "auto" (Answers)
        dka.policy = null (ByContent)
        dka.k = 16 (Answers)
        dka.floor = 0.5 (Answers)
        adapt.tune = "head" (Answers)
        adapt.from_block = 0 (Answers)
        adapt.precision = "auto" (ByContent)
        adapt.epochs = 15 (Answers)
        adapt.epochs_per_pass = 1 (Answers)
        adapt.batch = 16 (Answers)
        adapt.lr = 0.0001 (Answers)
        adapt.head_lr_factor = 10.0 (Answers)
        adapt.min_lr = 2e-6 (Answers)
        adapt.weight_decay = 0.1 (Answers)
        adapt.ce_weight = 1.0 (Answers)
        adapt.fairness_weight = 1.0 (Answers)
        adapt.fairness_momentum = 0.5 (Answers)
        adapt.class_prior = "prior" (Answers)
        adapt.logit_scale = 100.0 (Answers)
        adapt.strong.scale = [0.3,1.0] (Answers)
        adapt.strong.flip = 0.5 (Answers)
        adapt.strong.rand_augment = true (Answers)
        adapt.strong.magnitude = 9.0 (Answers)
        adapt.strong.magnitude_std = 0.5 (Answers)
        adapt.strong.ops = 2 (Answers)
        transduction.prior = false (Answers)
        transduction.predictions = true (Answers)
        transduction.method = "propagation" (Answers)
        transduction.neighbours = 5 (Answers)
        transduction.iterations = 10 (Answers)
        transduction.alpha = 0.5 (Answers)
        predict.gamma = 0.5 (Answers)
        device.kind = "auto" (ByContent)
        "#);
    }
}
