//! Reads a pipeline file into a [`Spec`].

use std::path::Path;

use serde::Deserialize;
use toml::Value;

use super::absent;
use super::check::{Check, goes_without_sentences};
use super::document::Document;
use super::lines::Lines;
use super::mistakes::Mistakes;
use super::overrides::{self, Applied};
use super::recipes;
use super::{DEFAULT_STORE, Spec};
use crate::dka::Policy;
use crate::error::{Context, Kind, Result};
use crate::fusion::design::Coarse;
use crate::hub::Name;
use crate::objects::{Address, Service};
use crate::source::SourceKind;
use crate::source::list::metadata_lists;
use crate::stage::adapt::{ClassPrior, Tune};
use crate::text::pattern;

/// Reads the pipeline file at `path`, applies each `KEY=VALUE` of `overrides`, and checks the
/// result.
///
/// Relative paths, including those in overrides, start at the file's folder.
///
/// # Errors
/// Returns [`Kind::Usage`] if the file cannot be read, is not UTF-8 or not TOML; if a key is
/// unknown or missing; if a value has the wrong type or is out of range; or if a file it names does
/// not exist. All mistakes of one kind of check are reported together, each with its line.
pub fn load(path: &Path, overrides: &[String]) -> Result<Spec> {
    read(path, overrides, true)
}

/// Like [`load`], for work that needs no sentences about the classes: their file need not be named,
/// nor exist.
///
/// # Errors
/// Fails like [`load`] otherwise.
pub fn load_without_sentences(path: &Path, overrides: &[String]) -> Result<Spec> {
    read(path, overrides, false)
}

fn read(path: &Path, overrides: &[String], sentences: bool) -> Result<Spec> {
    let Document { mut table, lines, folder } = Document::read(path, "pipeline file")?;
    table.entry("store").or_insert_with(|| Value::String(DEFAULT_STORE.to_owned()));

    let mut mistakes = Mistakes::new(path);
    let applied = overrides::apply(&mut table, overrides, &mut mistakes);
    recipes::fill(&mut table);
    let sentences = sentences && !goes_without_sentences(&table);
    let obtain = absent::obtain(&table);
    Check { base: &folder, lines: &lines, applied: &applied, sentences, obtain, mistakes: &mut mistakes }
        .all(&mut table);
    mistakes.finish()?;

    // serde accepts what passed the check, since both use the same declarations.
    let mut spec = Spec::deserialize(table).at(Kind::Usage, "cannot read", path)?;
    match (applied.contains_key("dka.policy"), applied.contains_key("dka.statement")) {
        // --set replaces what the file says, even under the other key.
        (true, false) => spec.dka.statement = None,
        (false, true) => spec.dka.policy = None,
        _ => {}
    }
    relations(path, &spec, &lines, &applied)?;
    Ok(spec)
}

/// Checks what depends on more than one key.
fn relations(path: &Path, spec: &Spec, lines: &Lines, applied: &Applied) -> Result<()> {
    let mut mistakes = Mistakes::new(path);
    let base = Path::new("");
    let mut check = Check { base, lines, applied, sentences: false, obtain: None, mistakes: &mut mistakes };
    let dataset = &spec.dataset;
    let on_hub = Name::in_place_of(&dataset.path).is_some();
    let address = Address::in_place_of(&dataset.path);
    let is_unlisted = address.as_ref().is_some_and(|address| address.service() == Service::Http);
    let wrong = match dataset.kind {
        SourceKind::HfParquet => None,
        SourceKind::Folder | SourceKind::Cifar | SourceKind::List if is_unlisted => {
            Some("on a store that lists its objects")
        }
        _ if address.is_some() => None,
        _ if on_hub => Some("on this disk"),
        SourceKind::Folder | SourceKind::Cifar if !dataset.path.is_dir() => Some("a folder"),
        SourceKind::List
            if !dataset.path.is_file()
                && (dataset.path.exists() || pattern::folder(&dataset.path).is_none())
                && metadata_lists(&dataset.path).is_empty() =>
        {
            Some("a file")
        }
        _ => None,
    };
    if let Some(expected) = wrong {
        let what = format!("'dataset.path' must be {expected} for kind = \"{}\"", dataset.kind);
        let hint = match (on_hub, is_unlisted) {
            (true, _) => Some("kind = \"hf-parquet\" reads data sets of the hub"),
            (_, true) => Some("a server of HTTP does not say which files it has: name Parquet files or shards there"),
            _ => None,
        };
        let hint = hint.map(str::to_owned);
        check.mistake("dataset.path", (what, hint));
    }
    let of_rows = [
        ("dataset.root", dataset.root.is_some()),
        ("dataset.image_column", dataset.image_column.is_some()),
        ("dataset.label_column", dataset.label_column.is_some()),
        ("dataset.split_column", dataset.split_column.is_some()),
    ];
    let of_parquet = [("dataset.config", dataset.config.is_some()), ("dataset.split", dataset.split.is_some())];
    for (name, _) in of_parquet.iter().filter(|(_, given)| *given && dataset.kind != SourceKind::HfParquet) {
        let what = format!("'{name}' is for kind = \"hf-parquet\", not for \"{}\"", dataset.kind);
        check.mistake(name, (what, Some("remove it".to_owned())));
    }
    // What shards have of these are fields of their samples; their names say the splits.
    let without = |name: &str| match dataset.kind {
        SourceKind::Folder | SourceKind::Cifar => true,
        SourceKind::WebDataset => ["dataset.root", "dataset.split_column"].contains(&name),
        SourceKind::List | SourceKind::HfParquet => false,
    };
    for (name, _) in of_rows.iter().filter(|(name, given)| *given && without(name)) {
        let kinds = match *name {
            "dataset.image_column" | "dataset.label_column" => "\"list\", \"hf-parquet\" and \"webdataset\"",
            _ => "\"list\" and \"hf-parquet\"",
        };
        let what = format!("'{name}' is for kind = {kinds}, not for \"{}\"", dataset.kind);
        check.mistake(name, (what, Some("remove it".to_owned())));
    }
    if let (Some(policy), Some(_)) = (spec.dka.policy, &spec.dka.statement) {
        let what = format!("'dka.policy' (\"{policy}\") and 'dka.statement' cannot both say how pictures are labelled");
        check.mistake(
            "dka.policy",
            (what, Some("remove one of them; dka.gamma, dka.k and dka.floor go with either".to_owned())),
        );
    }
    let adapt = &spec.adapt;
    if adapt.min_lr > adapt.lr {
        let given = |name: &str| lines.get(name).is_some() || applied.contains_key(name);
        let name = if given("adapt.min_lr") { "adapt.min_lr" } else { "adapt.lr" };
        let what = format!("'adapt.min_lr' ({:e}) must not exceed 'adapt.lr' ({:e})", adapt.min_lr, adapt.lr);
        check.mistake(name, (what, None));
    }
    settings_that_need_others(spec, &mut check);
    mistakes.finish()
}

/// Checks settings that mean nothing, or not what they say, without another setting.
fn settings_that_need_others(spec: &Spec, check: &mut Check<'_>) {
    let mut wrong = |name: &str, what: String, hint: &str| check.mistake(name, (what, Some(hint.to_owned())));
    let adapt = &spec.adapt;
    if spec.fusion.coarse == Coarse::Composite && !matches!(adapt.tune, Tune::Head | Tune::None) {
        let what = format!("'fusion.coarse' = \"composite\" is not for adapt.tune = \"{}\"", adapt.tune);
        wrong("fusion.coarse", what, "the crops are cached features of the frozen tower: set adapt.tune = \"head\"");
    }
    if adapt.from_block > 0 && adapt.tune != Tune::LayerNorm && adapt.tune != Tune::None {
        let what = format!("'adapt.from_block' is for adapt.tune = \"layernorm\", not for \"{}\"", adapt.tune);
        wrong("adapt.from_block", what, "remove it");
    }
    if spec.dka.policy == Some(Policy::Balanced) {
        if !spec.dka.balance.is_on() {
            let what = "'dka.policy' = \"balanced\" needs a 'dka.balance' above 0: nothing is balanced".to_owned();
            wrong(
                "dka.policy",
                what,
                "set dka.balance = \"auto\", or a pull such as 0.8; policy = \"argmax\" needs none",
            );
        }
        if adapt.tune == Tune::Reference {
            let what = "'dka.policy' = \"balanced\" is not for adapt.tune = \"reference\"".to_owned();
            wrong(
                "dka.policy",
                what,
                "its labels are made a batch at a time, and a batch is too few pictures to balance",
            );
        }
    }
    match (adapt.class_prior, &adapt.class_shares) {
        (ClassPrior::Table, None) => {
            let what = "'adapt.class_prior' = \"table\" needs 'adapt.class_shares'".to_owned();
            wrong("adapt.class_prior", what, "name a JSON file {class name: share}");
        }
        (ClassPrior::Uniform | ClassPrior::Estimated | ClassPrior::Prior, Some(_)) => {
            let what = "'adapt.class_shares' is for adapt.class_prior = \"table\"".to_owned();
            wrong("adapt.class_shares", what, "set adapt.class_prior = \"table\", or remove it");
        }
        _ => {}
    }
}
