//! A source whose pictures for validation are taken for those of another split.

use super::fingerprint::Fingerprint;
use super::item::{Item, Split};
use super::{Listing, Source};
use crate::error::Result;

/// A source with one split less.
pub(super) struct Moved {
    source: Box<dyn Source>,
    to: Split,
    listing: Listing,
}

impl Moved {
    /// Takes the source's pictures for validation for those of the split `to`.
    pub(super) fn new(source: Box<dyn Source>, to: Split) -> Self {
        let mut listing = source.listing().clone();
        let moved = std::mem::take(&mut listing.validation);
        listing.training += if to == Split::Train { moved } else { 0 };
        Moved { source, to, listing }
    }
}

impl Source for Moved {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new("validation is");
        fingerprint.text(self.to.name());
        fingerprint.text(&self.source.fingerprint()?);
        Ok(fingerprint.finish())
    }

    fn items(self: Box<Self>) -> Box<dyn Iterator<Item = Result<Item>> + Send> {
        let Moved { source, to, .. } = *self;
        let split = move |split: Split| if split == Split::Validation { to } else { split };
        Box::new(source.items().map(move |item| item.map(|item| Item { split: item.split.map(split), ..item })))
    }
}
