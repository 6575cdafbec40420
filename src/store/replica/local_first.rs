//! What statements read a store on objects by: files that are on this machine from there, ranges of
//! all others from the service.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use futures::stream::BoxStream;

use super::Replica;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LocalFirst {
    replica: Arc<Replica>,
    objects: Arc<dyn ObjectStore>,
}

impl LocalFirst {
    pub(super) fn new(replica: Arc<Replica>, objects: Arc<dyn ObjectStore>) -> Self {
        LocalFirst { replica, objects }
    }

    /// Returns what reads this machine's copy of an object, if there is one.
    fn local(&self, location: &Path) -> Option<LocalFileSystem> {
        let path = self.replica.path(location.as_ref());
        self.replica.is_here(&path).then(|| LocalFileSystem::new_with_prefix(&self.replica.root).ok()).flatten()
    }
}

impl fmt::Display for LocalFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.replica.address())
    }
}

#[async_trait]
impl ObjectStore for LocalFirst {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(local) = self.local(location)
            && let Ok(got) = local.get_opts(location, options.clone()).await
        {
            return Ok(got);
        }
        // What is read in several ranges is of one version.
        let if_match = options.if_match.clone().or_else(|| self.replica.tag(location.as_ref()));
        self.objects.get_opts(location, GetOptions { if_match, ..options }).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    // Statements read: nothing below is asked of it, and the service would decide.

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
