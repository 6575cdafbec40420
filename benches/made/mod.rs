//! A data set and its frozen tables, made without a forward pass, of any number of pictures: so
//! that everything from the prior on can be measured at the size of ImageNet on a small machine.
//!
//! The pictures are real, if small, and ingest reads them as any others ([`pictures`]). Their
//! features are drawn around their classes ([`features`]).

pub mod features;
pub mod pictures;
