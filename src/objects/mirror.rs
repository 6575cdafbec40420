//! The folder of this machine that mirrors an address.
//!
//! A file has its name only once it is whole, and is [noted](journal) then. Each address has a
//! folder of its own, in which nothing lies that is not on the other side, so that no other
//! pipeline, killed process or person decides what is read.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use futures::{StreamExt, TryStreamExt};
use object_store::{Error as Theirs, GetOptions, ObjectStore};
use tempfile::NamedTempFile;
use tokio::runtime::Builder;
use walkdir::{DirEntry, WalkDir};

use super::address::Address;
use super::client::{self, BLOCK};
use super::journal::{self, Fetched, Journal, Known};
use super::listing::{self, AT_ONCE, Listing, Object};
use super::refused::{changed, refused};
use super::{Wanted, cache};
use crate::error::{Context, Error, Kind, Result};
use crate::net::{Missing, Watch};
use crate::stop::{OFTEN, Stop};
use crate::text::numbers::counted;

/// The permissions of what was fetched, less what the user's mask takes.
const READABLE: u32 = 0o666;

/// What the thread that fetches tells the one that waits for it.
enum Event {
    Begin(u64),
    Advance(u64),
    Say(String),
}

/// Fetches what an address means, and removes what was fetched from it and is gone.
///
/// # Errors
/// Returns [`Kind::Network`] if the service is not reached or does not give an object,
/// [`Kind::Input`] if there is nothing, [`Kind::System`] if a file cannot be written,
/// [`Kind::Interrupted`] if a stop was requested. What was fetched by then is kept.
pub fn fetch(address: &Address, wanted: Wanted, stop: &Stop, watch: &dyn Watch) -> Result<()> {
    watched(watch, |events| on_a_runtime(stop, mirrored(address, wanted, stop, events)))
}

/// Fetches some files of what an address means, each by its path in the folder that mirrors it: if
/// it is not there yet, or has changed. The others are left as they are, and nothing is listed.
///
/// # Errors
/// Fails as [`fetch`] does; with [`Kind::Input`] if the address has no such file any more.
pub fn fetch_some(address: &Address, files: &[PathBuf], stop: &Stop, watch: &dyn Watch) -> Result<()> {
    watched(watch, |events| on_a_runtime(stop, mirrored_some(address, files, stop, events)))
}

/// Does what fetches on a thread of its own, and tells of it.
fn watched(watch: &dyn Watch, work: impl FnOnce(Sender<Event>) -> Result<String> + Send) -> Result<()> {
    let (events, received) = channel();
    let mut begun = false;
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| work(events));
        loop {
            match received.recv_timeout(OFTEN) {
                Ok(Event::Begin(bytes)) => {
                    begun = true;
                    watch.begin(bytes);
                }
                Ok(Event::Advance(bytes)) => watch.advance(bytes),
                Ok(Event::Say(line)) => watch.say(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        work.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "fetching ended in a panic")))
    });
    if begun {
        watch.end(outcome.as_deref().unwrap_or("not all was fetched"));
    }
    outcome.map(drop)
}

/// Returns what is to be fetched of an address, and fetches nothing.
///
/// # Errors
/// Fails as [`fetch`] does before it fetches.
pub fn missing(address: &Address, wanted: Wanted, stop: &Stop) -> Result<Missing> {
    on_a_runtime(stop, async {
        let store = client::open(address)?;
        let listing = listing::list(&store, address, wanted).await?;
        let root = cache()?.join(address.root());
        let known = journal::known(&root)?;
        let mut all = Missing::default();
        listing.objects.iter().for_each(|object| all.count(object.meta.size, is_there(&root, object, &known)));
        Ok(all)
    })
}

/// Runs requests to their end, or to a stop. The caller's own runtime, if it has one, may be waited
/// for on this thread.
fn on_a_runtime<T: Send>(stop: &Stop, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    thread::scope(|scope| {
        let run = || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.context(Kind::System, || "cannot start a runtime".to_owned())?.block_on(stop.or(work))
        };
        scope.spawn(run).join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "fetching ended in a panic")))
    })
}

/// Returns whether an object's file is what was fetched, and the object has not changed since.
fn is_there(root: &Path, object: &Object, known: &Known) -> bool {
    let found = fs::metadata(root.join(&object.name)).ok().filter(|found| found.is_file());
    let (Some(found), Some(fetched), version) = (found, known.get(&object.name), object.version()) else {
        return false;
    };
    let same = !version.is_empty() && fetched.version == version && fetched.written_ns == written_ns(&found);
    same && found.len() == object.meta.size
}

/// Makes the folder a mirror of the address, and says what was done.
async fn mirrored(address: &Address, wanted: Wanted, stop: &Stop, events: Sender<Event>) -> Result<String> {
    let store = client::open(address)?;
    let root = cache()?.join(address.root());
    fs::create_dir_all(&root).at(Kind::System, "cannot make", &root)?;
    let waits = || {
        let _ = events.send(Event::Say(format!("another process fetches {address}: waiting for it")));
    };
    let mut journal = Journal::open(&root, stop, waits)?;
    // What was listed before another process fetched is old.
    let Listing { objects, all } = listing::list(&store, address, wanted).await?;
    let gone = remove_gone(&store, address, &root, &all).await?;
    if gone > 0 {
        let _ = events.send(Event::Say(format!("{address} has {} no more: removed here, too", counted(gone, "file"))));
    }
    fetch_missing(&*store, address, &root, objects, &mut journal, &events).await
}

/// Brings some files of the folder up to date with the address, and says what was done.
async fn mirrored_some(address: &Address, files: &[PathBuf], stop: &Stop, events: Sender<Event>) -> Result<String> {
    let store = client::open(address)?;
    let root = cache()?.join(address.root());
    fs::create_dir_all(&root).at(Kind::System, "cannot make", &root)?;
    let names = files.iter().filter_map(|file| file.strip_prefix(&root).ok()?.to_str());
    let ask = |name: &str| {
        let (store, name) = (&store, name.to_owned());
        async move {
            let meta = listing::head(store, address, &name).await?;
            let meta =
                meta.ok_or_else(|| Error::new(Kind::Input, format!("there is no {} any more", address.at(&name))))?;
            Ok::<_, Error>(Object { name, meta })
        }
    };
    let asked = futures::stream::iter(names.map(ask).collect::<Vec<_>>()).buffered(AT_ONCE);
    let objects: Vec<Object> = asked.try_collect().await?;
    // Whoever else fetches into the folder does not take long, and need not be told of.
    let mut journal = Journal::open(&root, stop, || {})?;
    fetch_missing(&*store, address, &root, objects, &mut journal, &events).await
}

/// Fetches those of some objects that are not in the folder as they are now, and says what was
/// done.
async fn fetch_missing(
    store: &dyn ObjectStore,
    address: &Address,
    root: &Path,
    objects: Vec<Object>,
    journal: &mut Journal,
    events: &Sender<Event>,
) -> Result<String> {
    let todo: Vec<Object> = objects.into_iter().filter(|object| !is_there(root, object, journal.known())).collect();
    let files = todo.len() as u64;
    let unfinished = journal.unfinished();
    if files > 0 {
        // What a process that was killed has left is of no use.
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).at(Kind::System, "cannot make", &unfinished)?;
        let bytes = todo.iter().fold(0, |sum: u64, object| sum.saturating_add(object.meta.size));
        let _ = events.send(Event::Begin(bytes));
    }
    let given_up = AtomicBool::new(false);
    let one = |object: Object| {
        let unfinished = &unfinished;
        let begun = !given_up.load(Ordering::Relaxed);
        async move {
            if !begun {
                return Ok(None);
            }
            let Some(file) = fetched(store, &object, address, unfinished, events).await? else { return Ok(None) };
            let written_ns = named(file, &object, &root.join(&object.name))?;
            Ok(Some((Fetched { version: object.version(), written_ns }, object.name)))
        }
    };
    let mut fetching = futures::stream::iter(todo).map(one).buffer_unordered(AT_ONCE);
    let mut outcome = Ok(());
    while let Some(fetched) = fetching.next().await {
        match fetched {
            Ok(Some((fetched, name))) => journal.note(&name, fetched)?,
            Ok(None) => {}
            // Those that are under way come to their end, and are kept.
            Err(error) => {
                given_up.store(true, Ordering::Relaxed);
                outcome = outcome.and(Err(error));
            }
        }
    }
    drop(fetching);
    let _ = fs::remove_dir(&unfinished);
    outcome?;
    Ok(format!("{} fetched", counted(files, "file")))
}

/// Removes the files that the address has no more, however they came here, and the folders that are
/// empty then. Returns their number.
///
/// # Errors
/// Returns [`Kind::Network`] if one of them is there: then the listing was not whole.
async fn remove_gone(store: &dyn ObjectStore, address: &Address, root: &Path, all: &HashSet<String>) -> Result<u64> {
    let is_visible = |entry: &DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
    let entries = WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter().filter_entry(is_visible);
    let mut gone = Vec::new();
    for entry in entries {
        let entry = entry.at(Kind::System, "cannot look through", root)?;
        let name = entry.path().strip_prefix(root).ok().and_then(Path::to_str);
        if !entry.file_type().is_dir() && name.is_none_or(|name| !all.contains(name)) {
            gone.push((entry.path().to_owned(), name.map(str::to_owned)));
        }
    }
    let ask =
        |name: String| async move { Ok::<_, Error>((listing::head(store, address, &name).await?.is_some(), name)) };
    let names: Vec<String> = gone.iter().filter_map(|(_, name)| name.clone()).collect();
    let mut asked = futures::stream::iter(names.into_iter().map(ask)).buffered(AT_ONCE);
    while let Some(found) = asked.next().await {
        if let (true, name) = found? {
            let what =
                format!("{address} was not listed as a whole: {} is there, and not in the list", address.at(&name));
            return Err(Error::new(Kind::Network, what).hint("run again"));
        }
    }
    drop(asked);
    for (path, _) in &gone {
        fs::remove_file(path).at(Kind::System, "cannot remove", path)?;
        // A folder that is empty now may be in the way of an object of its name.
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != root);
        let _ = folders.map(fs::remove_dir).take_while(std::io::Result::is_ok).count();
    }
    Ok(gone.len() as u64)
}

/// Fetches an object into a file without a name, block by block, each of the object that was
/// listed; `None` if there is nothing, which is what a console makes of an empty folder.
async fn fetched(
    store: &dyn ObjectStore,
    object: &Object,
    address: &Address,
    unfinished: &Path,
    events: &Sender<Event>,
) -> Result<Option<NamedTempFile>> {
    let (place, size) = (address.at(&object.name), object.meta.size);
    let not_written = || format!("cannot write {place} into {}", unfinished.display());
    let mut temporary = tempfile::Builder::new();
    temporary.permissions(fs::Permissions::from_mode(READABLE));
    let mut file = temporary.tempfile_in(unfinished).context(Kind::System, not_written)?;
    let (mut written, mut block) = (0_u64, BLOCK);
    loop {
        let end = written.saturating_add(block).min(size);
        let range = (size > block).then_some((written..end).into());
        let asked = store.get_opts(&object.meta.location, GetOptions { range, ..GetOptions::default() }).await;
        let got = match asked {
            // Some servers of HTTP give nothing but whole files.
            Err(Theirs::NotSupported { .. }) if written == 0 && block < size => {
                block = size;
                continue;
            }
            Err(Theirs::NotFound { .. }) if size == 0 => return Ok(None),
            asked => asked.map_err(|error| refused("cannot fetch", &place, &error))?,
        };
        if !object.is(&got.meta) {
            return Err(changed(&place));
        }
        let mut blocks = got.into_stream();
        while let Some(block) = blocks.next().await {
            let block = block.map_err(|error| refused("cannot fetch", &place, &error))?;
            file.write_all(&block).context(Kind::System, not_written)?;
            written += block.len() as u64;
            let _ = events.send(Event::Advance(block.len() as u64));
        }
        if written != end {
            let what = format!("{place} ended after {written} bytes of {size}");
            return Err(Error::new(Kind::Network, what).hint("run again: what was fetched is kept"));
        }
        if written == size {
            return Ok(Some(file));
        }
    }
}

/// Gives a file that is whole its name, and returns when it was written: when its object was, so
/// that the pictures of several machines, which are known by that, are the same.
fn named(file: NamedTempFile, object: &Object, path: &Path) -> Result<i64> {
    if object.meta.last_modified.timestamp() > 0 {
        file.as_file().set_modified(object.meta.last_modified.into()).at(Kind::System, "cannot write", path)?;
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(Kind::System, "cannot make", folder)?;
    }
    let file = file.persist(path).map_err(|error| error.error).at(Kind::System, "cannot write", path)?;
    Ok(written_ns(&file.metadata().at(Kind::System, "cannot read", path)?))
}

fn written_ns(found: &Metadata) -> i64 {
    found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec())
}
