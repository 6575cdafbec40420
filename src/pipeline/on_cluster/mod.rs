//! Work of a pipeline that executors of a [cluster](crate::cluster) do.
//!
//! The driver works out what is missing and asks for it in units ([`drive`]); an executor's
//! [`Worker`] opens the same pipeline and does a unit by the code that does all of them on one
//! machine. Both commit to the store, where a unit that is already done stays as it is, so the
//! driver's own next step is that of a run without a cluster, which finds nothing missing.

pub mod drive;
mod order;
mod passes;
mod prepared;
mod worker;

pub use worker::Worker;

use crate::error::{Error, Kind, Result};
use crate::stage::ingest;
use crate::store::{Partition, Store};

/// Checks that an executor sees the pictures that its driver has listed.
///
/// # Errors
/// Returns [`Kind::Input`] if the store has others, or none.
fn require_snapshot(store: &Store, images: &Partition, snapshot: &str) -> Result<()> {
    if ingest::snapshot_in(images)?.as_deref() == Some(snapshot) {
        return Ok(());
    }
    let what = format!("the store {} has other pictures than the driver listed, or none", store.place().display());
    Err(Error::new(Kind::Input, what)
        .hint("an executor must see the driver's store under the same path, or at the same address"))
}
