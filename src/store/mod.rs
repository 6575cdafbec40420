//! What is on disk, and when it counts as there.
//!
//! `<store>/<table>/<partition>/<part>.parquet`, where a partition is a dataset, a space or a run. **A part exists if and
//! only if it is whole** ([`part`]); there is no log beside it. Each carries a checksum of itself ([`seal`]), which the one
//! process that works on a store ([`lock`]) compares before it reads a part's rows; [`inventory`] is for looking after it all.
//! [`space`] is the identity of embeddings, [`reader`] reads parts one after the other, [`pictures`] one picture at a time.

pub mod encoding;
pub mod inventory;
pub mod layout;
pub mod lock;
pub mod part;
pub mod pictures;
pub mod reader;
pub mod seal;
pub mod sound;
pub mod space;
pub mod temporary;

pub use layout::{Partition, Store};
pub use lock::{Turn, Watch};
pub use part::{PartInfo, PartWriter};
pub use pictures::PictureReader;
pub use space::Space;
