//! The objects below an address, read and written one by one by code that waits for each answer.
//!
//! What a store of results needs of a service beyond reading is one promise: of several writers
//! that make an object which is to be new, one does, and the others learn it ([`Bucket::create`]);
//! likewise of those that replace a version which they have read ([`Bucket::replace`]). Services
//! that do not keep it are [found out](Bucket::require_conditions).

use std::fs::File;
use std::future::Future;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Location;
use object_store::prefix::PrefixStore;
use object_store::{
    Error as Theirs, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};

use super::address::{Address, STORES, Service};
use super::client::{self, BLOCK};
use super::refused::refused_to_store as refused;
use crate::error::{Context, Error, Kind, Result};

/// The bytes of an object.
pub type Bytes = <PutPayload as IntoIterator>::Item;

/// How long a request that a server does not answer is made again.
const AGAIN: Duration = Duration::from_secs(90);

/// Blocks of one object that are fetched at once.
const BLOCKS: usize = 4;

/// How often to look whether an object is there whose answer was lost, and to send it again.
const TRIES: u32 = 4;

/// What to do about a service that a store cannot be on.
const ANOTHER: &str = "Amazon's, Google's and Azure's own services answer rightly, and so do MinIO, R2 and SeaweedFS; \
                       or name a folder as the store";

/// The objects below an address. Clones are of the same.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: Address,
    objects: Arc<dyn ObjectStore>,
    /// How long anything may take.
    limit: Duration,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the address.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// What its content is known by.
    pub tag: String,
    /// When it was written.
    pub modified: SystemTime,
}

/// What came of making a new object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there now, known by this tag.
    New(String),
    /// Another object of its name was there before.
    Taken,
}

/// A version of an object that was read.
#[derive(Debug, Clone)]
pub struct Version(UpdateVersion);

/// Where requests run, whatever the thread that waits for them does otherwise.
static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("objects").enable_all().build());

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| Error::new(Kind::System, format!("cannot start a runtime: {error}")))
}

impl Bucket {
    /// Returns what is below an address. Makes no request.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a variable of the environment cannot be meant, or the address is
    /// a server of HTTP, which takes and lists nothing.
    pub fn open(address: &Address) -> Result<Bucket> {
        if address.service() == Service::Http {
            return Err(Error::new(
                Kind::Usage,
                format!("a store cannot be on {address}: a server of HTTP only gives"),
            )
            .hint(STORES));
        }
        let whole = client::open_on(runtime()?.handle(), address, AGAIN)?;
        let objects = Arc::new(PrefixStore::new(whole, place(&address.key)));
        Ok(Bucket { address: address.clone(), objects, limit: Duration::from_secs(7_200) })
    }

    /// Returns the same objects, of which nothing that is asked may take longer.
    pub fn within(&self, limit: Duration) -> Bucket {
        Bucket { limit, ..self.clone() }
    }

    /// Waits for requests to end, for as long as they may take. May be called by threads of a
    /// runtime, which are held up meanwhile, as they are by reading a file.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (send, receive) = sync_channel(1);
        let limit = self.limit;
        runtime()?.spawn(async move {
            let _ = send.send(tokio::time::timeout(limit, work).await);
        });
        match receive.recv() {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => {
                let what = format!("{} did not answer for {:.0} s", self.address, limit.as_secs_f64());
                Err(Error::new(Kind::Network, what).hint("run again: what was written is kept"))
            }
            Err(_) => Err(Error::new(Kind::Internal, "a request to a store of objects ended in a panic")),
        }
    }

    /// Returns the address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the objects for a reader of object_store; paths are below the address.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    fn at(&self, key: &str) -> Address {
        self.address.below(key)
    }

    /// Lists the objects in and below a folder.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not list them.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let (bucket, folder) = (self.clone(), folder.to_owned());
        self.wait(async move {
            let listed = bucket.objects.list(Some(&place(&folder))).map_ok(listed).try_collect().await;
            listed.map_err(|error| refused("cannot list", &bucket.at(&folder), &error))
        })
    }

    /// Returns the names of the folders in a folder.
    ///
    /// # Errors
    /// Fails like [`list`](Self::list).
    pub fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let (bucket, folder) = (self.clone(), folder.to_owned());
        self.wait(async move {
            let found = bucket.objects.list_with_delimiter(Some(&place(&folder))).await;
            let found = found.map_err(|error| refused("cannot list", &bucket.at(&folder), &error))?;
            Ok(found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
        })
    }

    /// Returns what is said of an object, or `None` if there is none.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not say it.
    pub fn head(&self, key: &str) -> Result<Option<Listed>> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move { bucket.asked(&key).await })
    }

    async fn asked(&self, key: &str) -> Result<Option<Listed>> {
        match self.objects.head(&place(key)).await {
            // Its place is that of the whole bucket here, and of the address in a list.
            Ok(meta) => Ok(Some(Listed { key: key.to_owned(), ..listed(meta) })),
            Err(Theirs::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused("cannot look at", &self.at(key), &error)),
        }
    }

    /// Returns an object's bytes and the version that they are of, or `None` if there is none.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not give them.
    pub fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move {
            let mut tries = 0;
            loop {
                tries += 1;
                match bucket.given(&key).await {
                    Ok(given) => return Ok(Some(given)),
                    Err(Theirs::NotFound { .. }) => return Ok(None),
                    // It was replaced while it was read, and what began is not gone on with.
                    Err(Theirs::Precondition { .. }) if tries < TRIES => {}
                    Err(error) => return Err(refused("cannot read", &bucket.at(&key), &error)),
                }
            }
        })
    }

    async fn given(&self, key: &str) -> Result<(Bytes, Version), Theirs> {
        let got = self.objects.get(&place(key)).await?;
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        Ok((got.bytes().await?, Version(version)))
    }

    /// Returns some bytes of the object that is known by `tag`.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if it is another object by now, or the service does not give them.
    pub fn range(&self, key: &str, tag: &str, range: Range<u64>) -> Result<Bytes> {
        let (bucket, key, tag) = (self.clone(), key.to_owned(), tag.to_owned());
        self.wait(async move { bucket.block(&key, &tag, range).await })
    }

    async fn block(&self, key: &str, tag: &str, range: Range<u64>) -> Result<Bytes> {
        let refused = |error| refused("cannot read", &self.at(key), &error);
        let asked = range.end - range.start;
        let options = GetOptions::new().with_if_match(Some(tag)).with_range(Some(range));
        let got = self.objects.get_opts(&place(key), options).await.map_err(refused)?;
        let bytes = got.bytes().await.map_err(refused)?;
        if bytes.len() as u64 != asked {
            let what = format!("{} ended after {} bytes of {asked}", self.at(key), bytes.len());
            return Err(Error::new(Kind::Network, what).hint("run again"));
        }
        Ok(bytes)
    }

    /// Fetches the object that was listed into a file.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if it is another object by now, or the service does not give it;
    /// [`Kind::Store`] if the file cannot be written.
    pub fn fetch(&self, object: &Listed, into: &File) -> Result<()> {
        let (bucket, object) = (self.clone(), object.clone());
        let into = into.try_clone().context(Kind::Store, || "cannot write what is fetched".to_owned())?;
        self.wait(async move {
            let Listed { key, size, tag, .. } = &object;
            let starts = (0..*size).step_by(BLOCK as usize);
            let one = |start: u64| {
                let bucket = &bucket;
                async move { Ok((start, bucket.block(key, tag, start..(start + BLOCK).min(*size)).await?)) }
            };
            let blocks = futures::stream::iter(starts.map(one)).buffer_unordered(BLOCKS);
            let written = blocks.try_for_each(|(start, bytes): (u64, Bytes)| {
                let written = into.write_all_at(&bytes, start);
                std::future::ready(written.context(Kind::Store, || format!("cannot write {}", bucket.at(key))))
            });
            written.await
        })
    }

    /// Makes an object, unless there is one of its name. One of the same bytes is taken to be this
    /// one: the answer to an earlier request may have been lost on the way.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not take it. It may be there
    /// all the same.
    pub fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move {
            let place = place(&key);
            let mut tries = 0;
            loop {
                let put = bucket.objects.put_opts(&place, bytes.clone().into(), PutMode::Create.into()).await;
                let refused = match put {
                    Ok(put) => return bucket.tag(&key, put).await.map(Created::New),
                    Err(Theirs::AlreadyExists { .. }) => None,
                    Err(error) => Some(refused("cannot write", &bucket.at(&key), &error)),
                };
                tries += 1;
                match (bucket.asked(&key).await, refused) {
                    (Ok(Some(there)), _) => {
                        let same = there.size == bytes.len() as u64
                            && (there.size == 0 || bucket.block(&key, &there.tag, 0..there.size).await? == bytes);
                        return Ok(if same { Created::New(there.tag) } else { Created::Taken });
                    }
                    // It was removed meanwhile, or the request was lost on its way there.
                    (Ok(None), None) if tries < TRIES => {}
                    (Ok(None), Some(_)) if tries < TRIES => tokio::time::sleep(Duration::from_secs(1 << tries)).await,
                    (_, Some(error)) | (Err(error), None) => return Err(error),
                    (Ok(None), None) => {
                        let what = format!("{} is there and is not, by turns", bucket.at(&key));
                        return Err(Error::new(Kind::Network, what).hint(ANOTHER));
                    }
                }
            }
        })
    }

    /// Writes an object, in the place of one that may be there, and returns what it is known by.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not take it.
    pub fn write(&self, key: &str, bytes: Bytes) -> Result<String> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move {
            let put = bucket.objects.put(&place(&key), bytes.into()).await;
            bucket.tag(&key, put.map_err(|error| refused("cannot write", &bucket.at(&key), &error))?).await
        })
    }

    /// Writes an object in the place of a version that was read, and returns whether it was still
    /// that one.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not take it. It may be there
    /// all the same.
    pub fn replace(&self, key: &str, read: &Version, bytes: Bytes) -> Result<bool> {
        let (bucket, key, read) = (self.clone(), key.to_owned(), read.0.clone());
        self.wait(async move {
            let place = place(&key);
            match bucket.objects.put_opts(&place, bytes.into(), PutMode::Update(read).into()).await {
                Ok(_) => Ok(true),
                Err(Theirs::Precondition { .. } | Theirs::AlreadyExists { .. } | Theirs::NotFound { .. }) => Ok(false),
                Err(error) => Err(refused("cannot write", &bucket.at(&key), &error)),
            }
        })
    }

    /// Removes an object; none is as good.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or does not remove it.
    pub fn remove(&self, key: &str) -> Result<()> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move {
            match bucket.objects.delete(&place(&key)).await {
                Ok(()) | Err(Theirs::NotFound { .. }) => Ok(()),
                Err(error) => Err(refused("cannot remove", &bucket.at(&key), &error)),
            }
        })
    }

    /// Refuses a service that lets two writers make the same object, or replace a version that is
    /// not there any more: it would lose what one of them has written. Tries both on an object of
    /// its own, `key`.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached, takes nothing, or is such a one.
    pub fn require_conditions(&self, key: &str) -> Result<()> {
        let (bucket, key) = (self.clone(), key.to_owned());
        self.wait(async move {
            let place = place(&key);
            let writes = |text: &'static str, mode: PutMode| bucket.objects.put_opts(&place, text.into(), mode.into());
            let refused = |error: Theirs| refused("cannot write to", &bucket.address, &error);
            let careless = |what: &str| {
                let what = format!("a store cannot be on {}: the service {what}", bucket.address);
                Err(Error::new(Kind::Network, what).hint(ANOTHER))
            };
            let first = writes("first", PutMode::Create).await.map_err(refused)?;
            let old = UpdateVersion { e_tag: first.e_tag, version: first.version };
            let outcome = match writes("again", PutMode::Create).await {
                Ok(_) => careless("overwrites an object that is to be new (If-None-Match is ignored)"),
                Err(Theirs::AlreadyExists { .. }) => match writes("second", PutMode::Update(old.clone())).await {
                    Err(error) => Err(refused(error)),
                    Ok(_) => match writes("third", PutMode::Update(old)).await {
                        Ok(_) => {
                            careless("overwrites another version than the one that was read (If-Match is ignored)")
                        }
                        Err(Theirs::Precondition { .. } | Theirs::AlreadyExists { .. }) => Ok(()),
                        Err(error) => Err(refused(error)),
                    },
                },
                Err(error) => Err(refused(error)),
            };
            // What is left of it does no harm.
            let _ = bucket.objects.delete(&place).await;
            outcome
        })
    }

    /// Returns what an object is known by that was written.
    async fn tag(&self, key: &str, put: PutResult) -> Result<String> {
        match put.e_tag {
            Some(tag) if !tag.is_empty() => Ok(tag),
            _ => Ok(self.asked(key).await?.map(|there| there.tag).unwrap_or_default()),
        }
    }
}

/// Returns where the object of a name is. The name is taken as it is, as it is in an address of
/// pictures and by other programs; `Location::from` would write `%C3%BC` for `ü` into it.
fn place(key: &str) -> Location {
    Location::parse(key).unwrap_or_else(|_| Location::from(key))
}

fn listed(meta: ObjectMeta) -> Listed {
    let modified = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
    Listed {
        key: meta.location.to_string(),
        size: meta.size,
        // A service that gives no tags says when it was written.
        tag: meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339()),
        modified: SystemTime::UNIX_EPOCH + Duration::from_millis(modified),
    }
}
