//! The Hugging Face Hub: models and data sets by their names, fetched once into the cache that
//! Python's `huggingface_hub` keeps.
//!
//! A name is first [found](Hub::find): its revision becomes a commit, by one request at most. What
//! is missing of the commit is then [fetched](Hub::fetch). Everything after that works on
//! [the folder](local) of the commit in the cache, without the network.

mod address;
mod cache;
mod client;
mod conversion;
mod environment;
mod hash;
mod listing;
mod name;
mod refused;
mod transfer;
mod unfinished;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ureq::http::HeaderMap;

pub use address::{instead_of_address, meant_data_set};
pub use cache::Cached;
pub use listing::Listing;
pub(crate) use name::{CONVERTED, short};
pub use name::{Name, RepoType};

use self::cache::Repository;
use self::client::{Client, Trouble, escaped};
use self::environment::Environment;
use self::listing::commit_of_answer;
use self::refused::{refused, unanswered};
use self::transfer::Transfer;
use crate::error::{Error, Kind, Result};
use crate::net::{self, Missing, Retries, Watch};
use crate::panics::guard;
use crate::stop::Stop;
use crate::text::numbers::counted;

/// The longest answer of the API that is read. A page of a list has a thousand files.
const LONGEST_ANSWER: usize = 64 << 20;

/// The most pages of a list: ten million files.
const PAGES: usize = 10_000;

/// How often the API is asked again: rarely where the cache has an answer, too.
const ATTEMPTS: [u32; 2] = [4, 1];

/// The hub, and the cache of what was fetched from it.
pub struct Hub<'a> {
    environment: Environment,
    client: OnceCell<Client>,
    stop: &'a Stop,
    watch: Box<dyn Watch + 'a>,
}

/// A repository at a commit.
#[derive(Debug)]
pub struct Found {
    /// The repository's name, with the commit as its revision.
    pub name: Name,
    /// Its files; `None` if no request was made, and the cache does not know.
    pub listing: Option<Listing>,
    repository: Repository,
    commit: String,
    /// The branch or tag that had this commit just now.
    revision: Option<String>,
}

/// The commits that this process has found: it sees one commit of a revision as long as it runs.
static SEEN: Mutex<BTreeMap<(PathBuf, Name), String>> = Mutex::new(BTreeMap::new());

impl<'a> Hub<'a> {
    /// Returns the hub that the environment names. Makes no request.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a variable of the environment cannot be meant; [`Kind::System`]
    /// if it does not say where the cache is.
    pub fn open(stop: &'a Stop, watch: impl Watch + 'a) -> Result<Self> {
        let watch = Box::new(watch);
        Ok(Hub { environment: Environment::read()?, client: OnceCell::new(), stop, watch })
    }

    /// Returns the folder of the cache.
    pub fn cache(&self) -> &Path {
        &self.environment.cache
    }

    /// Returns whether requests are forbidden.
    pub fn is_offline(&self) -> bool {
        self.environment.offline
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.environment))
    }

    /// Finds the commit that a name means. Makes no request if the revision is a commit, was asked
    /// for by this process before, or requests are forbidden; else one. If that is not answered,
    /// the commit of last time is taken, with a warning.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if the hub does not know the name, does not give it to this user,
    /// or is not reached, and the cache does not know the revision either; [`Kind::Interrupted`] if
    /// a stop was requested.
    pub fn find(&self, name: &Name) -> Result<Found> {
        if let Some(commit) = name.commit() {
            return Ok(Found::known(self.cache(), name, commit));
        }
        let key = (self.environment.cache.clone(), name.clone());
        let seen = guard(&SEEN).get(&key).cloned();
        if let Some(commit) = seen {
            return Ok(Found::known(self.cache(), name, &commit));
        }
        let before = Repository::new(self.cache(), name).commit_of(name.revision());
        let found = match (self.environment.offline, before) {
            (true, Some(commit)) => Found::known(self.cache(), name, &commit),
            (true, None) => return Err(offline(name, "its commit is not known")),
            (false, before) => match (self.ask(name, before.is_some()), before) {
                (Ok(found), _) => found,
                (Err(Unanswered::ForNow(error)), Some(commit)) => {
                    let commit_in_words = short(&commit);
                    self.watch.say(&format!(
                        "warning: {error}: the commit of last time is used, {commit_in_words}; newer ones are not seen"
                    ));
                    Found::known(self.cache(), name, &commit)
                }
                (Err(Unanswered::ForNow(error) | Unanswered::ForGood(error)), _) => return Err(error),
            },
        };
        guard(&SEEN).insert(key, found.commit.clone());
        Ok(found)
    }

    /// Asks the hub for the files of a commit if they are not known.
    ///
    /// # Errors
    /// Fails as [`find`](Self::find) does; with [`Kind::Network`] if requests are forbidden.
    pub fn list(&self, found: Found) -> Result<Found> {
        if found.listing.is_some() {
            return Ok(found);
        }
        if self.environment.offline {
            return Err(offline(&found.name, "the cache does not know which files it has"));
        }
        let listing = Some(self.files(&found.name)?);
        Ok(Found { listing, ..found })
    }

    /// Asks for the commit of a revision.
    fn ask(&self, name: &Name, is_cached: bool) -> Result<Found, Unanswered> {
        let path = format!("/api/{}/{}/revision/{}", name.of().plural(), name.id(), escaped(name.revision()));
        let what = format!("the commit of {}", name.revision());
        let (json, _) = self.api(name, &path, &what, is_cached)?;
        let commit = commit_of_answer(&json).map_err(|why| Unanswered::ForGood(self.nonsense(name, &why)))?;
        let revision = Some(name.revision().to_owned());
        Ok(Found { revision, ..Found::known(self.cache(), name, &commit) })
    }

    /// Asks for the files of a commit, a page of them after the other.
    fn files(&self, name: &Name) -> Result<Listing> {
        let mut listing = Listing::empty();
        let mut path =
            format!("/api/{}/{}/tree/{}?recursive=true", name.of().plural(), name.id(), escaped(name.revision()));
        for _ in 0..PAGES {
            let asked = self.api(name, &path, "the list of files", false);
            let (json, next) = asked.map_err(Unanswered::error)?;
            listing.add_page(&json).map_err(|why| self.nonsense(name, &why))?;
            match next {
                Some(next) => path = next,
                None => return Ok(listing),
            }
        }
        Err(self.nonsense(name, "its list of files does not end"))
    }

    fn nonsense(&self, name: &Name, why: &str) -> Error {
        let what = format!("{} answers about {name}, but not as a hub: {why}", self.environment.endpoint);
        Error::new(Kind::Network, what).hint("HF_ENDPOINT names the hub; unset, it is https://huggingface.co")
    }

    /// Asks the API for `what`, at a path, and again where the hub is busy. It is not worth a long
    /// wait if the cache has an answer, too. Returns the answer, and the path of its next page.
    fn api(
        &self,
        name: &Name,
        path: &str,
        what: &str,
        is_cached: bool,
    ) -> Result<(Vec<u8>, Option<String>), Unanswered> {
        let client = self.client();
        let mut retries = Retries::new(ATTEMPTS[usize::from(is_cached)]);
        loop {
            let answered = client.get(path, None, self.stop).and_then(|answer| match answer.incoming.status {
                200 => Ok(Ok((answer.all(LONGEST_ANSWER, self.stop)?, next_page(&answer.incoming.headers)))),
                _ => Ok(Err(answer.incoming)),
            });
            let (error, asked) = match answered {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(answer)) => {
                    let error = refused(answer.status, &answer.headers, what, name, client);
                    match net::is_busy(answer.status) {
                        true => (error, net::retry_after(&answer.headers)),
                        false => return Err(Unanswered::ForGood(error)),
                    }
                }
                Err(Trouble::Ours(error)) => return Err(Unanswered::ForGood(error)),
                Err(Trouble::Theirs(cause)) => {
                    let may_pass = net::may_pass(&cause);
                    let error = unanswered(what, name, client, cause);
                    match may_pass {
                        true => (error, None),
                        false => return Err(Unanswered::ForNow(error)),
                    }
                }
            };
            match retries.wait(asked.filter(|_| !is_cached)) {
                Some(wait) => self.stop.sleep(wait).map_err(Unanswered::ForGood)?,
                None => return Err(Unanswered::ForNow(error)),
            }
        }
    }

    /// Fetches files of a commit that are not there, the last of them last, and returns the
    /// commit's folder. With these, the commit is whole.
    ///
    /// # Errors
    /// Returns [`Kind::Network`] if one cannot be fetched, or requests are forbidden;
    /// [`Kind::System`] if it cannot be written; [`Kind::Interrupted`] if a stop was requested.
    /// What has come by then is kept.
    pub fn fetch(&self, found: &Found, files: &[String]) -> Result<PathBuf> {
        let folder = self.fetch_only(found, files)?;
        // Last: where the network is gone, the commit of a revision is one that is whole here.
        found.note_revision();
        if found.is_of_main() {
            found.repository.note_stand_in(None);
        }
        Ok(folder)
    }

    /// Like [`fetch`](Self::fetch), of another revision than the main one that was `named`: the
    /// cache then knows that it stands in for it.
    ///
    /// # Errors
    /// Fails as [`fetch`](Self::fetch) does.
    pub fn fetch_instead(&self, named: &Found, found: &Found, revision: &str, files: &[String]) -> Result<PathBuf> {
        let folder = self.fetch(found, files)?;
        if let Some(listing) = &named.listing {
            named.repository.note_listing(&named.commit, listing);
        }
        named.note_revision();
        named.repository.note_stand_in(Some(revision));
        Ok(folder)
    }

    /// Like [`fetch`](Self::fetch), but others are to follow.
    ///
    /// # Errors
    /// Fails as [`fetch`](Self::fetch) does.
    pub fn fetch_only(&self, found: &Found, files: &[String]) -> Result<PathBuf> {
        let Found { repository, name, commit, .. } = found;
        if let Some(listing) = &found.listing {
            repository.note_listing(commit, listing);
        }
        let Missing { files: missing, bytes, .. } = found.missing(files);
        if missing > 0 && self.environment.offline {
            let first = files.iter().find(|file| !found.has(file)).map_or("a file", String::as_str);
            return Err(offline(&found.name, &format!("{first} is missing")));
        }
        if missing > 0 {
            self.watch.begin(bytes);
            for path in files.iter().filter(|path| !found.has(path)) {
                let Some(listed) = found.listing.as_ref().and_then(|listing| listing.file(path)) else { continue };
                let (client, stop, watch) = (self.client(), self.stop, self.watch.as_ref());
                Transfer { client, repository, name, path, listed, stop, watch }.fetch()?;
                repository.link(commit, path, listed.etag())?;
            }
            self.watch.end(&format!("{} of {name}", counted(missing as u64, "file")));
        }
        Ok(found.folder())
    }

    /// Returns what the cache has of models or of data sets, by name and commit.
    pub fn cached(&self, of: RepoType) -> Vec<Cached> {
        cache::cached(self.cache(), of)
    }
}

/// Returns the path of the page that an answer's header `Link` calls the next. It is asked of the
/// same hub, whichever host a mirror may have left there.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|links| links.split(',')).find(|link| link.contains("rel=\"next\""))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    Some(address.get(address.find("/api/")?..)?.to_owned())
}

/// Why the API gave no answer, and whether it may give one later.
enum Unanswered {
    ForNow(Error),
    ForGood(Error),
}

impl Unanswered {
    fn error(self) -> Error {
        let (Unanswered::ForNow(error) | Unanswered::ForGood(error)) = self;
        error
    }
}

/// Returns the error for what is not in the cache while requests are forbidden.
fn offline(name: &Name, why: &str) -> Error {
    Error::new(
        Kind::Network,
        format!("{name} is not whole in the cache ({why}), and HF_HUB_OFFLINE forbids to fetch it"),
    )
    .hint("run once without HF_HUB_OFFLINE; HF_HOME or HF_HUB_CACHE name another cache")
}

impl Found {
    /// Returns what a cache knows of a commit.
    fn known(cache: &Path, name: &Name, commit: &str) -> Found {
        let repository = Repository::new(cache, name);
        let listing = repository.listing(commit);
        Found { name: name.at(commit), listing, repository, commit: commit.to_owned(), revision: None }
    }

    /// Returns whether the hub has just said which commit it is.
    pub fn was_asked_for(&self) -> bool {
        self.revision.is_some()
    }

    /// Returns the folder of the commit's files.
    pub fn folder(&self) -> PathBuf {
        self.repository.snapshot(&self.commit)
    }

    fn note_revision(&self) {
        if let Some(revision) = &self.revision {
            self.repository.note_revision(revision, &self.commit);
        }
    }

    /// Returns whether it was found as the main revision just now.
    fn is_of_main(&self) -> bool {
        self.revision.as_deref() == Some(name::MAIN)
    }

    /// Returns the hash of a file's bytes, if it is listed.
    fn hash_of(&self, file: &str) -> Option<&str> {
        Some(self.listing.as_ref()?.file(file)?.etag())
    }

    /// Returns whether both commits list files with the same bytes.
    fn agrees(&self, other: &Found, files: &[String]) -> bool {
        files.iter().all(|file| self.hash_of(file).is_some_and(|hash| other.hash_of(file) == Some(hash)))
    }

    /// Returns whether a file is in the cache, with the length that the hub lists.
    pub fn has(&self, file: &str) -> bool {
        let listed = self.listing.as_ref().and_then(|listing| listing.file(file));
        let is_whole =
            |found: std::fs::Metadata| found.is_file() && listed.is_none_or(|listed| listed.bytes() == found.len());
        std::fs::metadata(self.folder().join(file)).is_ok_and(is_whole)
    }

    /// Returns what is to be fetched of some files.
    pub fn missing(&self, files: &[String]) -> Missing {
        let mut all = Missing::default();
        for file in files {
            let bytes = self.listing.as_ref().and_then(|listing| listing.file(file)).map_or(0, |file| file.bytes());
            all.count(bytes, self.has(file));
        }
        all
    }
}

/// Returns the path that settings mean: the folder of the commit in the cache, if they name a
/// repository of the hub, and else the path itself. Makes no request.
///
/// # Errors
/// Returns [`Kind::Network`] if the cache does not have the repository at that revision.
pub fn local(path: &Path) -> Result<PathBuf> {
    let Some(name) = Name::in_place_of(path) else { return Ok(path.to_owned()) };
    Ok(in_cache(&name)?.folder())
}

/// Returns the commit of a name that is in the cache. Makes no request.
///
/// # Errors
/// Returns [`Kind::Network`] if the cache does not have the repository at that revision.
pub fn in_cache(name: &Name) -> Result<Found> {
    let cache = Environment::read()?.cache;
    let repository = Repository::new(&cache, name);
    let commit = name.commit().map(str::to_owned).or_else(|| {
        let revision = repository.stand_in().filter(|_| name.is_main());
        repository.commit_of(revision.as_deref().unwrap_or(name.revision()))
    });
    match commit.filter(|commit| repository.snapshot(commit).is_dir()) {
        Some(commit) => Ok(Found::known(&cache, name, &commit)),
        None => Err(Error::new(Kind::Network, format!("{name} is not in {}", cache.display())).hint(match name.of() {
            RepoType::Model => format!("microclip-pipe model pull {name} fetches it; so does a run"),
            RepoType::Dataset => "a run fetches it".to_owned(),
        })),
    }
}

/// Returns what the cache knows of the commit that a revision had when it was last asked for,
/// whether or not it has files of it. Makes no request.
pub(crate) fn known(name: &Name) -> Option<Found> {
    let cache = Environment::read().ok()?.cache;
    let commit = name.commit().map(str::to_owned).or_else(|| Repository::new(&cache, name).commit_of(name.revision()));
    Some(Found::known(&cache, name, &commit?))
}
