//! Every key of the pipeline file, with what its value must be. Types alone cannot say `in [0, 1]` or `a file that is
//! there`, and serde stops at the first mistake; this table lets all mistakes be found at once and named alike.

use super::spec::{
    Affinity, ClassPrior, Coarse, DeviceKind, Heads, Orientation, Policy, Pooling, Precision, Prototypes, Query, Sink,
    SourceKind, Threshold, Tune,
};

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// Lower-case letters, digits and hyphens.
    Name,
    /// A path; relative ones start at the pipeline file's folder.
    Path(Must),
    /// A whole number, both ends included.
    Whole(u64, u64),
    /// A finite number.
    Number(Bounds),
    /// `true` or `false`.
    Flag,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// A list of sentences, each with `{}` for the class name.
    Templates,
    /// `[least, greatest]`, both in `(0, 1]`.
    Span,
}

/// What must lie at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// Nothing need be there yet.
    MayBeNew,
    /// A file or a folder.
    Exist,
    /// A file.
    BeFile,
    /// A folder.
    BeFolder,
}

/// The interval of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: f64,
    /// Whether `least` itself is allowed.
    pub(super) closed: bool,
    pub(super) greatest: f64,
}

/// One key of the pipeline file.
#[derive(Debug)]
pub(super) struct Key {
    /// Dotted, from the top of the file.
    pub(super) name: &'static str,
    pub(super) want: Want,
    pub(super) required: bool,
}

const fn optional(name: &'static str, want: Want) -> Key {
    Key { name, want, required: false }
}

const fn required(name: &'static str, want: Want) -> Key {
    Key { name, want, required: true }
}

const fn from(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: true, greatest })
}

const fn above(least: f64, greatest: f64) -> Want {
    Want::Number(Bounds { least, closed: false, greatest })
}

/// TOML's whole numbers end here.
pub(super) const SEED: Want = Want::Whole(0, i64::MAX as u64);

/// Tables of the pipeline file that hold keys.
pub(super) const SECTIONS: &[&str] = &[
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
pub(super) const KEYS: &[Key] = &[
    required("name", Want::Name),
    optional("store", Want::Path(Must::MayBeNew)),
    optional("seed", SEED),
    required("dataset.kind", Want::Choice(SourceKind::NAMES)),
    required("dataset.path", Want::Path(Must::Exist)),
    optional("dataset.root", Want::Path(Must::BeFolder)),
    optional("dataset.classes", Want::Path(Must::BeFile)),
    optional("dataset.tolerance", from(0.0, 1.0)),
    optional("dataset.limits.max_side", Want::Whole(1, 1_000_000)),
    optional("dataset.limits.max_pixels", Want::Whole(1, 1_000_000_000_000)),
    optional("dataset.limits.max_bytes", Want::Whole(1, 1 << 40)),
    required("model.path", Want::Path(Must::Exist)),
    optional("model.tokenizer", Want::Path(Must::BeFile)),
    optional("model.preprocessor", Want::Path(Must::BeFile)),
    optional("model.precision", Want::Choice(Precision::NAMES)),
    required("text.descriptions", Want::Path(Must::BeFile)),
    optional("text.templates", Want::Templates),
    optional("text.prototypes", Want::Choice(Prototypes::NAMES)),
    optional("embed.batch", Want::Whole(1, 65_536)),
    optional("embed.part_rows", Want::Whole(1, 1_000_000)),
    optional("views.count", Want::Whole(1, 1_024)),
    optional("views.scale", Want::Span),
    optional("views.seed", SEED),
    optional("saliency.affinity", Want::Choice(Affinity::NAMES)),
    optional("saliency.threshold", Want::Choice(Threshold::NAMES)),
    optional("saliency.orientation", Want::Choice(Orientation::NAMES)),
    optional("saliency.tau", from(-1e6, 1e6)),
    optional("saliency.eps", above(0.0, 1.0)),
    optional("fusion.ratio", from(0.0, 1.0)),
    optional("fusion.coarse", Want::Choice(Coarse::NAMES)),
    optional("fusion.query", Want::Choice(Query::NAMES)),
    optional("fusion.pooling", Want::Choice(Pooling::NAMES)),
    optional("fusion.sink", Want::Choice(Sink::NAMES)),
    optional("fusion.heads", Want::Choice(Heads::NAMES)),
    optional("dka.gamma", from(0.0, 1.0)),
    optional("dka.policy", Want::Choice(Policy::NAMES)),
    optional("dka.k", Want::Whole(1, 1_000_000)),
    optional("dka.floor", from(0.0, 1.0)),
    optional("dka.statement", Want::Path(Must::BeFile)),
    optional("adapt.tune", Want::Choice(Tune::NAMES)),
    optional("adapt.from_block", Want::Whole(0, 1_000)),
    optional("adapt.precision", Want::Choice(Precision::NAMES)),
    optional("adapt.epochs", Want::Whole(1, 100_000)),
    optional("adapt.epochs_per_pass", Want::Whole(1, 100_000)),
    optional("adapt.batch", Want::Whole(1, 65_536)),
    optional("adapt.lr", above(0.0, 1.0)),
    optional("adapt.head_lr_factor", above(0.0, 1_000.0)),
    optional("adapt.min_lr", from(0.0, 1.0)),
    optional("adapt.weight_decay", from(0.0, 1.0)),
    optional("adapt.ce_weight", from(0.0, 1_000.0)),
    optional("adapt.fairness_weight", from(0.0, 1_000.0)),
    optional("adapt.fairness_momentum", from(0.0, 1.0)),
    optional("adapt.class_prior", Want::Choice(ClassPrior::NAMES)),
    optional("adapt.class_shares", Want::Path(Must::BeFile)),
    optional("adapt.logit_scale", above(0.0, 1_000.0)),
    optional("adapt.strong.scale", Want::Span),
    optional("adapt.strong.flip", from(0.0, 1.0)),
    optional("adapt.strong.rand_augment", Want::Flag),
    optional("adapt.strong.magnitude", from(0.0, 10.0)),
    optional("adapt.strong.magnitude_std", from(0.0, 10.0)),
    optional("adapt.strong.ops", Want::Whole(1, 16)),
    optional("transduction.prior", Want::Flag),
    optional("transduction.predictions", Want::Flag),
    optional("transduction.neighbours", Want::Whole(1, 1_000)),
    optional("transduction.iterations", Want::Whole(1, 10_000)),
    optional("predict.gamma", from(0.0, 1.0)),
    optional("device.kind", Want::Choice(DeviceKind::NAMES)),
    optional("device.threads", Want::Whole(0, 1_024)),
];

/// The key of this dotted name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// A dotted name from a table's name and a key in it, quoted where TOML needs quotes, so that `"a.b"` is not `a.b`.
pub(super) fn join(section: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

/// The table that a dotted name stands in (`""` for the top) and its last part.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

impl Want {
    /// The end of the sentence "... must be".
    pub(super) fn describe(self) -> String {
        match self {
            Want::Name => "a name of lower-case letters, digits and hyphens".into(),
            Want::Path(Must::MayBeNew | Must::Exist) => "a path".into(),
            Want::Path(Must::BeFile) => "the path of a file".into(),
            Want::Path(Must::BeFolder) => "the path of a folder".into(),
            Want::Whole(least, greatest) if greatest == i64::MAX as u64 => {
                format!("a whole number of at least {least}")
            }
            Want::Whole(least, greatest) => format!("a whole number from {least} to {greatest}"),
            Want::Number(Bounds { least, closed, greatest }) => {
                format!("a number in {}{least}, {greatest}]", if closed { '[' } else { '(' })
            }
            Want::Flag => "true or false".into(),
            Want::Choice(names) => format!("one of {}", names.join(", ")),
            Want::Templates => "a list of sentences, each with {} where the class name goes".into(),
            Want::Span => "[least, greatest] with 0 < least <= greatest <= 1".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::pipeline::spec::Spec;

    fn names(section: &str, value: &Value, keys: &mut BTreeSet<String>, sections: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().unwrap() {
            let name = join(section, key);
            if value.is_object() {
                sections.insert(name.clone());
                names(&name, value, keys, sections);
            } else {
                keys.insert(name);
            }
        }
    }

    #[test]
    fn every_key_is_documented() {
        let page = include_str!("../../docs/settings.md");
        let missing: Vec<&str> =
            KEYS.iter().map(|key| key.name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/settings.md lacks {missing:?}");
    }

    #[test]
    fn keys_are_the_fields_of_the_spec() {
        let minimal = serde_json::json!({
            "name": "a", "dataset": { "kind": "folder", "path": "a" },
            "model": { "path": "a" }, "text": { "descriptions": "a" },
        });
        let spec: Spec = serde_json::from_value(minimal).unwrap();
        let (mut keys, mut sections) = (BTreeSet::new(), BTreeSet::new());
        names("", &serde_json::to_value(&spec).unwrap(), &mut keys, &mut sections);
        assert_eq!(keys, KEYS.iter().map(|key| key.name.to_owned()).collect());
        assert_eq!(sections, SECTIONS.iter().map(|name| (*name).to_owned()).collect());
    }
}
