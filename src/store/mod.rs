//! Stores parts on disk, and defines when one exists.
//!
//! The layout is `<store>/<table>/<partition>/<part>.parquet`, where a partition is a dataset, a
//! space or a run. **A part exists if and only if it is whole** ([`part`]); there is no separate
//! log. Each part carries a checksum of itself ([`seal`]), which a process that works on a store
//! ([`lock`]) verifies before it reads the part's rows; no two write the same ([`claim`], [`work`],
//! [`once`]), and several may each compute a [`shard`] of the pictures. [`inventory`] lists, checks
//! and removes files. A store may lie on a store of objects, which a folder stands for
//! ([`replica`], [`files`]). [`space`] identifies embeddings, [`reader`] reads parts one after
//! another, [`column`] any rows of a column of numbers, [`row_groups`] some rows of one,
//! [`pictures`] one picture at a time, [`positioned`] for several threads at once. [`scratch`]
//! holds what is too large for memory and is gone with the process.

pub mod claim;
pub mod column;
pub mod encoding;
pub(crate) mod files;
pub mod inventory;
pub mod layout;
pub mod lock;
pub mod once;
pub mod open_files;
pub mod part;
pub mod pictures;
pub mod positioned;
pub mod reader;
#[cfg(feature = "stores")]
pub mod replica;
#[cfg(not(feature = "stores"))]
#[path = "replica/unbuilt.rs"]
pub mod replica;
pub mod row_groups;
pub mod scratch;
pub mod seal;
pub mod shard;
pub mod sound;
pub mod space;
pub mod span;
pub mod temporary;
pub mod work;

pub use claim::{Claim, Claimed, Holder};
pub use layout::{Partition, Store};
pub use lock::{Turn, Watch};
pub use part::{PartInfo, PartWriter};
pub use pictures::PictureReader;
pub use shard::Shard;
pub use space::Space;
pub use work::Work;
