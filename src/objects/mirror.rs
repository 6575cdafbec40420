//! The folder of this machine that mirrors an address.
//!
//! A file has its name only once it is whole, and is [noted](journal) then. What was fetched and is
//! there no more is removed; nothing else is, so that addresses may overlap.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;

use futures::StreamExt;
use object_store::{GetOptions, ObjectStore};
use tempfile::NamedTempFile;
use tokio::runtime::Builder;

use super::address::Address;
use super::client::{self, BLOCK};
use super::journal::{self, Fetched, Journal, Known};
use super::listing::{self, Listing, Object};
use super::refused::{changed, refused};
use super::{Wanted, cache};
use crate::error::{Context, Error, Kind, Result};
use crate::net::{Missing, Watch};
use crate::stop::{OFTEN, Stop};
use crate::text::numbers::counted;

/// How many objects are fetched at once.
const AT_ONCE: usize = 16;

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
    let (events, received) = channel();
    let mut begun = false;
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| on_a_runtime(stop, mirrored(address, wanted, stop, events)));
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
        let store = client::open(address).map_err(|error| refused("cannot reach", address, &error))?;
        let listing = listing::list(&store, address, wanted).await?;
        let top = cache()?;
        let root = top.join(listing.folder.place());
        let known = journal::all(&root, &top)?;
        let mut all = Missing::default();
        listing.objects.iter().for_each(|object| all.count(object.bytes, is_there(&root, object, &known).is_some()));
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

/// Returns what a journal says of an object's file, if that is the object as it is now.
fn is_there(root: &Path, object: &Object, journals: &[Known]) -> Option<Fetched> {
    let found = fs::metadata(root.join(&object.name)).ok().filter(|found| found.is_file())?;
    let same = |fetched: &&Fetched| {
        !object.version.is_empty() && fetched.version == object.version && fetched.written_ns == written_ns(&found)
    };
    let known = || journals.iter().filter_map(|known| known.get(&object.name)).find(same).cloned();
    if found.len() == object.bytes { known() } else { None }
}

/// Makes the folder a mirror of the address, and says what was done.
async fn mirrored(address: &Address, wanted: Wanted, stop: &Stop, events: Sender<Event>) -> Result<String> {
    let store = client::open(address).map_err(|error| refused("cannot reach", address, &error))?;
    let Listing { folder, objects, all } = listing::list(&store, address, wanted).await?;
    let top = cache()?;
    let root = top.join(folder.place());
    fs::create_dir_all(&root).at(Kind::System, "cannot make", &root)?;
    let waits = || {
        let _ = events.send(Event::Say(format!("another process fetches {address}: waiting for it")));
    };
    let mut journal = Journal::open(journal::place(&root, address), stop, waits)?;
    let journals = journal::all(&root, &top)?;
    if let Some(all) = all {
        let gone = remove_gone(&root, &mut journal, &journals, &all)?;
        if gone > 0 {
            let _ =
                events.send(Event::Say(format!("{address} has {} no more: removed here, too", counted(gone, "file"))));
        }
    }
    let mut todo = Vec::new();
    for object in objects {
        match is_there(&root, &object, &journals) {
            Some(fetched) if journal.known().get(&object.name) == Some(&fetched) => {}
            Some(fetched) => journal.note(&object.name, fetched)?,
            None => todo.push(object),
        }
    }
    // What a process that was killed has left is of no use.
    let unfinished = journal.unfinished();
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).at(Kind::System, "cannot make", &unfinished)?;
    let (files, bytes) = (todo.len(), todo.iter().map(|object| object.bytes).sum());
    if files > 0 {
        let _ = events.send(Event::Begin(bytes));
    }
    let given_up = AtomicBool::new(false);
    let one = |object: Object| {
        let (store, root, unfinished, folder, events) = (&store, &root, &unfinished, &folder, &events);
        let begun = !given_up.load(Ordering::Relaxed);
        async move {
            if !begun {
                return Ok(None);
            }
            let place = folder.at([&folder.key, object.name.as_str()].join("/").trim_start_matches('/'));
            let file = fetched(store, &object, &place, unfinished, events).await?;
            let written_ns = named(file, &root.join(&object.name))?;
            Ok(Some((object.name, Fetched { version: object.version, written_ns })))
        }
    };
    let mut fetching = futures::stream::iter(todo).map(one).buffer_unordered(AT_ONCE);
    let mut outcome = Ok(());
    while let Some(fetched) = fetching.next().await {
        match fetched {
            Ok(Some((name, fetched))) => journal.note(&name, fetched)?,
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
    Ok(format!("{} fetched", counted(files as u64, "file")))
}

/// Removes the files that were fetched, from whichever address, and are gone there. Returns their
/// number.
fn remove_gone(root: &Path, journal: &mut Journal, journals: &[Known], all: &HashSet<String>) -> Result<u64> {
    let gone: BTreeSet<&String> = journals.iter().flat_map(Known::keys).filter(|name| !all.contains(*name)).collect();
    let mut removed = 0;
    for name in gone {
        let path = root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error).at(Kind::System, "cannot remove", &path),
        }
        // A folder that is empty now may be in the way of an object of its name.
        let folders = Path::new(name).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        for folder in folders {
            if fs::remove_dir(root.join(folder)).is_err() {
                break;
            }
        }
        if journal.known().contains_key(name) {
            journal.note_gone(name)?;
        }
    }
    Ok(removed)
}

/// Fetches an object into a file without a name, block by block, each of the version that was
/// listed.
async fn fetched(
    store: &dyn ObjectStore,
    object: &Object,
    address: &Address,
    unfinished: &Path,
    events: &Sender<Event>,
) -> Result<NamedTempFile> {
    let not_written = || format!("cannot write {address} into {}", unfinished.display());
    let mut temporary = tempfile::Builder::new();
    temporary.permissions(fs::Permissions::from_mode(READABLE));
    let mut file = temporary.tempfile_in(unfinished).context(Kind::System, not_written)?;
    let mut written = 0;
    while written < object.bytes || object.bytes == 0 {
        let end = (written + BLOCK).min(object.bytes);
        let range = (object.bytes > BLOCK).then_some((written..end).into());
        let asked = store.get_opts(&object.location, GetOptions { range, ..GetOptions::default() }).await;
        let got = asked.map_err(|error| refused("cannot fetch", address, &error))?;
        if got.meta.size != object.bytes || listing::version(&got.meta) != object.version {
            return Err(changed(address));
        }
        let mut blocks = got.into_stream();
        while let Some(block) = blocks.next().await {
            let block = block.map_err(|error| refused("cannot fetch", address, &error))?;
            file.write_all(&block).context(Kind::System, not_written)?;
            written += block.len() as u64;
            let _ = events.send(Event::Advance(block.len() as u64));
        }
        if written != end {
            let what = format!("{address} ended after {written} bytes of {}", object.bytes);
            return Err(Error::new(Kind::Network, what).hint("run again: what was fetched is kept"));
        }
        if object.bytes == 0 {
            break;
        }
    }
    Ok(file)
}

/// Gives a file that is whole its name, and returns when it was written.
fn named(file: NamedTempFile, path: &Path) -> Result<i64> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(Kind::System, "cannot make", folder)?;
    }
    let file = file.persist(path).map_err(|error| error.error).at(Kind::System, "cannot write", path)?;
    Ok(written_ns(&file.metadata().at(Kind::System, "cannot read", path)?))
}

fn written_ns(found: &Metadata) -> i64 {
    found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec())
}
