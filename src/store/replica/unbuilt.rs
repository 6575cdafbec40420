//! Stands for stores on objects where the program was built without them: there are none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::path::Path as ObjectPath;

use crate::error::Result;
use crate::objects::{self, Address};
use crate::store::claim::Holder;
use crate::store::temporary::Temporary;
use crate::store::work::Work;

/// A store on objects.
#[derive(Debug)]
pub enum Replica {}

/// A lease of a store on objects.
#[derive(Debug)]
pub enum Lease {}

/// An object that is read by ranges.
#[derive(Debug)]
pub enum Ranges {}

/// Refuses an address.
///
/// # Errors
/// Returns [`Kind::Usage`](crate::error::Kind::Usage) if the path is one.
pub(super) fn open(path: &Path) -> Result<Option<Arc<Replica>>> {
    Address::in_place_of(path).map_or(Ok(None), |address| Err(objects::unbuilt(&address)))
}

/// Returns nothing: no path is in a store on objects.
pub(super) fn of(_: &Path) -> Option<Arc<Replica>> {
    None
}

/// Waits for nobody: no process of another machine is ever faster.
pub(super) fn pause(_: u32) {}

impl Ranges {
    pub(in crate::store) fn len(&self) -> u64 {
        match *self {}
    }

    pub(in crate::store) fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        match *self {}
    }
}

impl Replica {
    pub(super) fn root(&self) -> &Path {
        match *self {}
    }

    pub(super) fn address(&self) -> &Address {
        match *self {}
    }

    pub(super) fn require_writable(&self) -> Result<()> {
        match *self {}
    }

    pub(super) fn shown(&self, _: &Path) -> String {
        match *self {}
    }

    pub(super) fn entries(&self, _: &Path) -> Result<Vec<PathBuf>> {
        match *self {}
    }

    #[cfg(feature = "flight")]
    pub(crate) fn objects(&self) -> Result<Vec<(String, String)>> {
        match *self {}
    }

    pub(super) fn folders(&self, _: &Path) -> Result<Vec<PathBuf>> {
        match *self {}
    }

    pub(super) fn fetch(&self, _: &Path) -> Result<()> {
        match *self {}
    }

    pub(super) fn renew(&self, _: &Path) -> Result<bool> {
        match *self {}
    }

    pub(super) fn ranges(&self, _: &Path) -> Result<Option<Arc<Ranges>>> {
        match *self {}
    }

    pub(super) fn publish(&self, _: Temporary, _: &Path) -> Result<()> {
        match *self {}
    }

    pub(super) fn append(&self, _: &Path, _: &Path) -> Result<bool> {
        match *self {}
    }

    pub(super) fn remove(&self, _: &Path) -> Result<()> {
        match *self {}
    }

    pub(super) fn set_aside(&self, _: &Path, _: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
        match *self {}
    }

    pub(super) fn version(&self, _: &Path) -> Option<String> {
        match *self {}
    }

    pub(super) fn size(&self, _: &Path) -> Option<u64> {
        match *self {}
    }

    pub(super) fn written(&self, _: &Path) -> Option<SystemTime> {
        match *self {}
    }

    pub(super) fn lease(&self, _: &[Work]) -> Result<Result<Vec<Lease>, Holder>> {
        match *self {}
    }

    pub(super) fn lease_alone(&self, _: &dyn Fn(&str)) -> Result<Result<Vec<Lease>, Holder>> {
        match *self {}
    }

    pub(crate) fn for_sql(self: &Arc<Self>) -> Result<(ObjectStoreUrl, Arc<dyn ObjectStore>)> {
        match **self {}
    }

    pub(crate) fn location(&self, _: &Path) -> ObjectPath {
        match *self {}
    }
}
