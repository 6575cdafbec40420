//! What is on disk, and when it counts as there.
//!
//! `<store>/<table>/<partition>/<part>.parquet`, where a partition is a dataset, a space or a run. **A part exists if and
//! only if it is whole** ([`part`]); there is no log beside it. [`space`] is the identity of embeddings, [`reader`] reads
//! parts one after the other, [`pictures`] one picture at a time.

pub mod encoding;
pub mod layout;
pub mod part;
pub mod pictures;
pub mod reader;
pub mod space;

pub use layout::{Partition, Store};
pub use part::{PartInfo, PartWriter};
pub use pictures::PictureReader;
pub use space::Space;
