//! Pictures that a pipeline names on a store of objects: fetched, or counted.

use super::on_hub::{Need, ToFetch};
use crate::config::Spec;
use crate::error::Result;
use crate::objects::{self, Address};
use crate::source;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;

/// Returns the address of the pictures, if they have one and are needed.
fn address(spec: &Spec, need: Need) -> Option<Address> {
    Address::in_place_of(&spec.dataset.path).filter(|_| need != Need::Models)
}

/// Fetches the pictures, if they have an address and are needed: those that are not here yet, or
/// have changed.
///
/// # Errors
/// Fails as [`objects::fetch`] does.
pub(super) fn fetch(spec: &Spec, need: Need, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let Some(address) = address(spec, need) else { return Ok(()) };
    objects::fetch(&address, source::wanted(spec.dataset.kind), stop, &progress)
}

/// Fetches the files of some pictures, if the pictures have an address: those that are not here
/// yet, or have changed.
///
/// # Errors
/// Fails as [`objects::fetch_some`] does.
pub(crate) fn fetch_some(spec: &Spec, pictures: &Pictures, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let Some(address) = address(spec, Need::Pictures) else { return Ok(()) };
    objects::fetch_some(&address, &pictures.paths(), stop, &progress)
}

/// Returns what [`fetch`] would fetch.
///
/// # Errors
/// Fails as [`objects::missing`] does.
pub(super) fn to_fetch(spec: &Spec, need: Need, stop: &Stop) -> Result<Option<ToFetch>> {
    let Some(address) = address(spec, need) else { return Ok(None) };
    let missing = objects::missing(&address, source::wanted(spec.dataset.kind), stop)?;
    Ok((missing.files > 0).then(|| ToFetch { name: address.to_string(), missing }))
}
