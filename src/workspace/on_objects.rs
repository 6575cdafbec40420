//! What a pipeline names by an address, pictures and models: fetched, or counted.

use super::on_hub::{Holds, Need, ToFetch, places};
use crate::clip::repository;
use crate::config::Spec;
use crate::error::Result;
use crate::objects::{self, Address, Wanted};
use crate::source;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;

/// Returns the addresses of what is needed, and which files there are read.
fn addresses(spec: &Spec, need: Need) -> Vec<(Address, Wanted)> {
    let of = |holds: Holds| match holds {
        Holds::Pictures => source::wanted(spec.dataset.kind),
        Holds::Clip | Holds::Second => repository::at_address(),
    };
    places(&mut spec.clone())
        .filter(|(holds, _)| holds.is_part_of(need))
        .filter_map(|(holds, place)| Some((Address::in_place_of(place)?, of(holds))))
        .collect()
}

/// Fetches what is needed and has an address: files that are not here yet, or have changed.
///
/// # Errors
/// Fails as [`objects::fetch`] does.
pub(super) fn fetch(spec: &Spec, need: Need, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let each = addresses(spec, need);
    each.iter().try_for_each(|(address, wanted)| objects::fetch(address, *wanted, stop, &progress))
}

/// Fetches the files of some pictures, if the pictures have an address: those that are not here
/// yet, or have changed.
///
/// # Errors
/// Fails as [`objects::fetch_some`] does.
pub(crate) fn fetch_some(spec: &Spec, pictures: &Pictures, stop: &Stop, progress: &dyn Progress) -> Result<()> {
    let Some(address) = Address::in_place_of(&spec.dataset.path) else { return Ok(()) };
    objects::fetch_some(&address, &pictures.paths(), stop, &progress)
}

/// Returns what [`fetch`] would fetch, by address.
///
/// # Errors
/// Fails as [`objects::missing`] does.
pub(super) fn to_fetch(spec: &Spec, need: Need, stop: &Stop) -> Result<Vec<ToFetch>> {
    let mut found = Vec::new();
    for (address, wanted) in addresses(spec, need) {
        let missing = objects::missing(&address, wanted, stop)?;
        if missing.files > 0 {
            found.push(ToFetch { name: address.to_string(), missing });
        }
    }
    Ok(found)
}
