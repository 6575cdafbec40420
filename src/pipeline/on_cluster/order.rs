//! What a driver asks of executors, as it travels.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Spec;
use crate::error::{Context, Error, Kind, Result};
use crate::store::space::Space;

/// What all units of a job have in common.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The version of the driver's program.
    version: String,
    pub(super) what: What,
}

impl Order {
    pub(super) fn new(what: What) -> Self {
        Order { version: env!("CARGO_PKG_VERSION").to_owned(), what }
    }

    /// Checks that the driver is of this version.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if it is of another.
    pub(super) fn require_version(&self) -> Result<()> {
        let (theirs, here) = (&self.version, env!("CARGO_PKG_VERSION"));
        if theirs == here {
            return Ok(());
        }
        Err(Error::new(Kind::Usage, format!("the driver is of version {theirs}, and this is {here}"))
            .hint("all processes of a cluster must be of one version"))
    }
}

/// What is to be done with the pipeline.
#[derive(Serialize, Deserialize)]
pub(super) enum What {
    /// Frozen tables are to be filled; a unit is a [`Range`] of pictures.
    Frozen(Box<Frozen>),
    /// Fusion logits of a run's passes are to be made; a unit is a [`Logits`].
    Passes(Box<Passes>),
    /// Whole runs are to be made; a unit is a [`Run`].
    Runs,
}

/// The passes of a run.
#[derive(Serialize, Deserialize)]
pub(super) struct Passes {
    /// The driver's settings, as for [`Frozen`].
    pub(super) spec: Spec,
    pub(super) snapshot: String,
    pub(super) run: String,
}

/// Training pictures of a unit, by their places: from the first to before the last.
#[derive(Serialize, Deserialize)]
pub(super) struct Logits {
    pub(super) pass: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    /// The part that their logits are written to.
    pub(super) part: String,
}

/// Frozen tables of a dataset.
#[derive(Serialize, Deserialize)]
pub(super) struct Frozen {
    /// The driver's settings. Precisions that its hardware has chosen are written out.
    pub(super) spec: Spec,
    /// Identity of the dataset's pictures.
    pub(super) snapshot: String,
    pub(super) tables: Vec<Table>,
}

/// A run of a pipeline.
#[derive(Serialize, Deserialize)]
pub(super) struct Run {
    /// What it is called where it was asked for.
    pub(super) title: String,
    pub(super) spec: Spec,
}

/// A table, and the space of its rows, which an executor must agree with.
#[derive(Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) space: String,
    /// What the space is made of, to say in what an executor differs.
    pub(super) parts: BTreeMap<String, String>,
}

impl Table {
    pub(super) fn of(name: &str, space: &Space) -> Self {
        Table { name: name.to_owned(), space: space.id(), parts: space.parts.clone() }
    }

    /// Checks that rows of this space are those that the driver wants.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if they are others.
    pub(super) fn require(&self, here: &Space) -> Result<()> {
        if self.space == here.id() {
            return Ok(());
        }
        let differs = |part: &&String| self.parts.get(*part) != here.parts.get(*part);
        let names: BTreeSet<&str> =
            self.parts.keys().chain(here.parts.keys()).filter(differs).map(String::as_str).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("`{}` would be made of other {names} here than at the driver", self.name);
        Err(Error::new(Kind::Model, what).hint(
            "the same model must lie under the same path on every machine, or be named on the hub as hf://OWNER/NAME, or lie at an \
             address, where it stays as it is while executors work",
        ))
    }
}

/// Pictures of a unit: from the first of two ids to the last, both included.
#[derive(Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) first: String,
    pub(super) last: String,
}

/// Writes what travels.
///
/// # Errors
/// Returns [`Kind::Internal`] if it cannot be written.
pub(super) fn written(what: &impl Serialize) -> Result<String> {
    serde_json::to_string(what).context(Kind::Internal, || "cannot write an order".to_owned())
}

/// Reads what [`written`] wrote.
///
/// # Errors
/// Returns [`Kind::Usage`] if another version wrote it.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| {
        Error::new(Kind::Usage, "cannot read what the driver asks for")
            .cause(cause)
            .hint("driver and executors must be of one version: `microclip-pipe --version`")
    })
}
