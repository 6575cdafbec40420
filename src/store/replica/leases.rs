//! Leases: what the processes of several machines say that they do to a store on objects, so that
//! no two write the same, as [claims](crate::store::claim) are for those of one machine.
//!
//! All leases are in one object, `locks/leases`, which is replaced by requests that only succeed if
//! nobody else has replaced it meanwhile: leases are taken all at once or not at all, and two
//! processes never take what excludes each other. A process renews its leases as long as it lives.
//! One that has not been renewed for its time, by the clock of the process that watches it, may be
//! taken over, and so may, at once, that of a process of this machine that is gone. Who has lost a
//! lease writes nothing any more.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Replica;
use crate::error::{Context, Error, Kind, Result};
use crate::net::machine;
use crate::objects::{Bucket, Created};
use crate::panics::guard;
use crate::store::claim::{self, Holder};
use crate::store::work::Work;

/// The object that has all leases.
const LEASES: &str = "locks/leases";

/// The work of a process that has the store alone.
const ALONE: &str = "alone";

/// The file that names the folder which stands for the store.
const FOLDER: &str = "folder";

/// How long a lease lasts that is not renewed, unless [`SECONDS`] says otherwise.
const LASTS: Duration = Duration::from_secs(60);

/// The variable that says how many seconds a lease lasts.
const SECONDS: &str = "MICROCLIP_LEASE_SECONDS";

/// How often to ask for a lease that another process has.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How often to try to replace the leases while others do.
const TRIES: u32 = 100;

/// All leases of a store.
#[derive(Debug, Default, Serialize, Deserialize)]
struct All {
    leases: Vec<Said>,
}

/// What a process says of one thing that it does.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    /// Of this lease alone.
    id: String,
    work: String,
    process: u32,
    machine: String,
    since: String,
    /// The folder that stands for the store, by a name of its own: processes of the same know by
    /// their claims who is gone.
    folder: String,
    /// How long it lasts, in seconds, unless it is renewed.
    lasts: f64,
    /// How often it was renewed.
    renewed: u64,
}

/// The leases of this process, and what it has seen of those of others.
pub(super) struct Leases {
    bucket: Bucket,
    /// The folder that stands for the store.
    root: PathBuf,
    lasts: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ours: BTreeSet<String>,
    /// When all of ours were last known to be there.
    renewed: Option<Moment>,
    /// Why this process may not write any more.
    lost: Option<String>,
    /// What was seen of the leases of others.
    seen: HashMap<String, Seen>,
    /// Who was in the way when this process last asked, by what lease, and when that was.
    busy: Option<(Instant, Holder, String)>,
    is_renewing: bool,
}

/// A moment by two clocks: the first stands still while the machine sleeps, the second is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Instant, SystemTime);

impl Moment {
    fn now() -> Moment {
        Moment(Instant::now(), SystemTime::now())
    }

    /// Returns how long ago that was, at most.
    fn age(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// What this process has seen of a lease of another.
struct Seen {
    /// How often it had been renewed.
    renewed: u64,
    /// Since when that was seen.
    since: Instant,
    /// Whether a renewal was seen.
    is_alive: bool,
}

/// A lease of this process. Given up on drop.
#[must_use]
pub struct Lease {
    leases: Arc<Leases>,
    id: String,
}

/// Returns a word that no other process and no other call returns.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let of = format!("{} {} {count} {}", machine(), std::process::id(), Timestamp::now().as_nanosecond());
    blake3::hash(of.as_bytes()).to_hex()[..16].to_owned()
}

/// Waits before what another process was faster at is tried again, each process for a time of its
/// own.
pub(in crate::store) fn pause(tried: u32) {
    let mixed = blake3::hash(unique().as_bytes()).as_bytes()[0];
    thread::sleep(Duration::from_millis(u64::from(mixed) * u64::from(tried.min(8) + 1) / 8));
}

/// Returns the name of the folder that has this file. It is no copy's, such as that of a cloned
/// machine, and no other machine's that mounts the same disk: their processes are not seen by
/// claims.
fn named_here(file: &Path, name: &str) -> Result<String> {
    let about = fs::metadata(file).at(Kind::Store, "cannot read", file)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let of = format!("{name} {} {} {}", about.dev(), about.ino(), kernel.trim());
    Ok(blake3::hash(of.as_bytes()).to_hex()[..16].to_owned())
}

impl Replica {
    /// Takes a lease of each of `works`, unless a process of another machine does what excludes
    /// one of them; no process of this machine does. Returns who is in the way.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the service is not reached or takes nothing, [`Kind::Store`] if
    /// the object of all leases is not as this program writes it.
    pub(in crate::store) fn lease(&self, works: &[Work]) -> Result<Result<Vec<Lease>, Holder>> {
        let names = works.iter().map(Work::name).collect();
        self.leases.take(names, |theirs| match Work::parse(theirs) {
            Some(theirs) => works.iter().any(|work| work.excludes(&theirs)),
            // This machine's claims have no such work, so it is another's: `alone`, or of a later
            // version.
            None => true,
        })
    }

    /// Takes the lease of the whole store. Returns who is in the way. If that may be a process that
    /// is gone, waits until it is renewed or its time is over, and tells `say` so.
    ///
    /// # Errors
    /// Fails like [`lease`](Self::lease).
    pub(in crate::store) fn lease_alone(&self, say: &dyn Fn(&str)) -> Result<Result<Vec<Lease>, Holder>> {
        let mut is_said = false;
        loop {
            let holder = match self.leases.take(vec![ALONE.to_owned()], |_| true)? {
                Err(holder) if !self.leases.is_alive() => holder,
                taken => return Ok(taken),
            };
            if !std::mem::replace(&mut is_said, true) {
                say(&format!("{holder} has left a lease on {}: waiting whether it is renewed", self.address()));
            }
            thread::sleep(self.leases.lasts / 8);
        }
    }
}

impl Leases {
    /// # Errors
    /// Returns [`Kind::Usage`] if the environment sets a time that cannot be meant.
    pub(super) fn new(bucket: &Bucket, root: &Path) -> Result<Arc<Leases>> {
        let lasts = match std::env::var(SECONDS).ok().filter(|set| !set.trim().is_empty()) {
            None => LASTS,
            Some(set) => match set.trim().parse() {
                Ok(seconds) if (1.0..=86_400.0).contains(&seconds) => Duration::from_secs_f64(seconds),
                _ => {
                    let what = format!("{SECONDS} is {set:?}, which is no number of seconds from 1 to 86400");
                    return Err(Error::new(Kind::Usage, what).hint("unset it, or write a number"));
                }
            },
        };
        // A server that says nothing must not keep a lease from being renewed by another request.
        let bucket = bucket.within(lasts / 3);
        Ok(Arc::new(Leases { bucket, root: root.to_owned(), lasts, state: Mutex::default() }))
    }

    /// Returns the name that the folder has among those that stand for the store on all machines.
    fn folder(&self) -> Result<String> {
        let file = self.root.join(FOLDER);
        if let Ok(name) = fs::read_to_string(&file) {
            return named_here(&file, &name);
        }
        // A link fails where another process is faster, and then has the name.
        let mine = self.root.join(unique());
        let written = fs::write(&mine, unique()).map(|()| fs::hard_link(&mine, &file));
        let _ = fs::remove_file(&mine);
        written.at(Kind::Store, "cannot write", &file)?.or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error).at(Kind::Store, "cannot write", &file),
        })?;
        named_here(&file, &fs::read_to_string(&file).at(Kind::Store, "cannot read", &file)?)
    }

    fn take(
        self: &Arc<Self>,
        works: Vec<String>,
        excluded: impl Fn(&str) -> bool,
    ) -> Result<Result<Vec<Lease>, Holder>> {
        if let Some((asked, holder, _)) = &guard(&self.state).busy
            && asked.elapsed() < ASK_AGAIN.min(self.lasts / 4)
        {
            return Ok(Err(holder.clone()));
        }
        let folder = self.folder()?;
        let since = claim::now();
        let ours: Vec<Said> = works
            .into_iter()
            .map(|work| Said {
                id: unique(),
                work,
                process: std::process::id(),
                machine: machine(),
                since: since.clone(),
                folder: folder.clone(),
                lasts: self.lasts.as_secs_f64(),
                renewed: 0,
            })
            .collect();
        let mut busy = None;
        let asked = Moment::now();
        self.change(|all| {
            busy = None;
            all.leases.retain(|theirs| !excluded(&theirs.work) || !self.is_gone(theirs, &folder));
            match all.leases.iter().find(|theirs| excluded(&theirs.work)) {
                Some(theirs) => busy = Some((theirs.holder(), theirs.id.clone())),
                None => all.leases.extend(ours.iter().cloned()),
            }
            busy.is_none()
        })?;
        let mut state = guard(&self.state);
        if let Some((holder, id)) = busy {
            state.busy = Some((Instant::now(), holder.clone(), id));
            return Ok(Err(holder));
        }
        state.busy = None;
        state.renewed =
            Some(state.renewed.filter(|_| !state.ours.is_empty()).map_or(asked, |before| before.min(asked)));
        state.ours.extend(ours.iter().map(|said| said.id.clone()));
        if !std::mem::replace(&mut state.is_renewing, true) {
            let leases = Arc::downgrade(self);
            let named = thread::Builder::new().name("leases".to_owned());
            named.spawn(move || renew_all(&leases)).context(Kind::System, || "cannot start a thread".to_owned())?;
        }
        Ok(Ok(ours.into_iter().map(|said| Lease { leases: self.clone(), id: said.id }).collect()))
    }

    /// Returns whether a lease may be taken over. It is in the way of work that no process of this
    /// folder does, by their claims.
    fn is_gone(&self, theirs: &Said, folder: &str) -> bool {
        let mut state = guard(&self.state);
        if state.ours.contains(&theirs.id) {
            return false;
        }
        if theirs.folder == folder {
            return true;
        }
        let (now, renewed) = (Instant::now(), theirs.renewed);
        let first = || Seen { renewed, since: now, is_alive: false };
        let seen = state.seen.entry(theirs.id.clone()).or_insert_with(first);
        if seen.renewed != renewed {
            *seen = Seen { renewed, since: now, is_alive: true };
        }
        now.duration_since(seen.since) > Duration::from_secs_f64(theirs.lasts.clamp(0.1, 86_400.0))
    }

    /// Returns whether the lease that was in the way when this process last asked was seen to be
    /// renewed.
    fn is_alive(&self) -> bool {
        let state = guard(&self.state);
        state.busy.as_ref().and_then(|(.., id)| state.seen.get(id)).is_some_and(|seen| seen.is_alive)
    }

    /// Changes the leases, unless `change` says that there is nothing to change. It may be called
    /// several times, each time with what the others have made of them.
    fn change(&self, mut change: impl FnMut(&mut All) -> bool) -> Result<()> {
        for tried in 0..TRIES {
            let read = self.bucket.get(LEASES)?;
            let mut all = match &read {
                None => All::default(),
                Some((bytes, _)) => serde_json::from_slice(bytes).map_err(|cause| {
                    let place = self.bucket.address().below(LEASES);
                    Error::new(Kind::Store, format!("{place} has no leases in it")).cause(cause).hint(
                        "if no process works on the store, remove that object; if one does, it may be of a later version",
                    )
                })?,
            };
            if !change(&mut all) {
                return Ok(());
            }
            let bytes = serde_json::to_vec_pretty(&all).context(Kind::Internal, || "cannot write leases".to_owned())?;
            let done = match &read {
                None => matches!(self.bucket.create(LEASES, bytes.into())?, Created::New(_)),
                Some((_, version)) => self.bucket.replace(LEASES, version, bytes.into())?,
            };
            if done {
                return Ok(());
            }
            pause(tried);
        }
        let what = format!("the leases of {} were replaced by others {TRIES} times in a row", self.bucket.address());
        Err(Error::new(Kind::Network, what).hint("run again"))
    }

    /// Renews all leases of this process, and notes those that are gone.
    fn renew(&self) -> Result<()> {
        let ours = guard(&self.state).ours.clone();
        if ours.is_empty() {
            return Ok(());
        }
        let asked = Moment::now();
        let mut there = BTreeSet::new();
        self.change(|all| {
            there.clear();
            for said in all.leases.iter_mut().filter(|said| ours.contains(&said.id)) {
                said.renewed += 1;
                there.insert(said.id.clone());
            }
            !there.is_empty()
        })?;
        let mut state = guard(&self.state);
        // One that was given up meanwhile is not lost.
        if ours.iter().any(|id| !there.contains(id) && state.ours.contains(id)) {
            state.lost = Some("another process has taken it over, since it was not renewed in time".to_owned());
        }
        state.renewed = Some(asked);
        Ok(())
    }

    /// Refuses to go on if a lease of this process is lost, or may be.
    pub(super) fn require(&self) -> Result<()> {
        let is_late = {
            let state = guard(&self.state);
            let age = state.renewed.filter(|_| !state.ours.is_empty()).map(|renewed| renewed.age());
            age.is_some_and(|age| age > self.lasts.mul_f64(0.75))
        };
        if is_late {
            // This process was stopped for a while, or the service does not answer.
            self.renew()?;
        }
        match &guard(&self.state).lost {
            None => Ok(()),
            Some(why) => {
                let what =
                    format!("what this process does to {} is not its own any more: {why}", self.bucket.address());
                Err(Error::new(Kind::Store, what).hint("run again: what was written is kept"))
            }
        }
    }
}

impl Said {
    fn holder(&self) -> Holder {
        let process = claim::process(&self.process.to_string(), &self.machine);
        Holder { process, work: Work::parse(&self.work), since: Some(self.since.clone()) }
    }
}

/// Renews leases for as long as this process has the store.
fn renew_all(leases: &Weak<Leases>) {
    while let Some(leases) = leases.upgrade() {
        let pause = leases.lasts / 4;
        // What fails is tried again; a writer asks whether it was in time.
        if let Err(error) = leases.renew() {
            tracing::debug!(%error, "leases were not renewed");
        }
        drop(leases);
        thread::sleep(pause);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = guard(&self.leases.state);
        state.ours.remove(&self.id);
        let is_reached = state.renewed.is_some_and(|renewed| renewed.age() < self.leases.lasts / 2);
        drop(state);
        if !is_reached {
            return;
        }
        // One that stays is taken over in time.
        let _ = self.leases.change(|all| {
            let before = all.leases.len();
            all.leases.retain(|said| said.id != self.id);
            all.leases.len() < before
        });
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).finish_non_exhaustive()
    }
}
