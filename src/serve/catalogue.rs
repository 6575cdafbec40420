//! The tables that are served: a session for each pipeline, opened anew when a store has changed.

use std::sync::Arc;
use std::time::Instant;

use datafusion::execution::context::SessionContext;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::metrics::Metrics;
use super::stamp::stamp;
use crate::config::Spec;
use crate::error::{Context, Error, Kind, Result};
use crate::net::Told;
use crate::runs::sql_scope::{SqlScope, scope};
use crate::store::Store;
use crate::table::session::{Bounds, Content, contents};
use crate::table::{session_in, warnings};
use crate::text::nearest;

/// How often to try to open tables that change meanwhile.
const TRIES: usize = 3;

/// The pipelines that are served.
pub(super) struct Catalogue {
    pipelines: Vec<Spec>,
    bounds: Bounds,
    /// Where sessions are opened.
    runtime: Handle,
    opened: Mutex<Option<Arc<Opened>>>,
    metrics: Arc<Metrics>,
    told: Arc<dyn Told>,
}

/// The sessions, as of one moment.
pub(super) struct Opened {
    /// What the stores were then.
    stamps: Vec<blake3::Hash>,
    sessions: Vec<Session>,
}

/// A pipeline's session.
#[derive(Clone)]
pub(super) struct Session {
    /// The pipeline's name, which is that of its catalog.
    pub(super) name: String,
    pub(super) context: SessionContext,
    /// What a user should know who reads its tables.
    pub(super) notes: Vec<String>,
}

impl Catalogue {
    /// # Errors
    /// Returns [`Kind::Usage`] if two pipelines have the same name.
    pub(super) fn new(
        pipelines: Vec<Spec>,
        bounds: Bounds,
        runtime: Handle,
        metrics: Arc<Metrics>,
        told: Arc<dyn Told>,
    ) -> Result<Self> {
        let names: Vec<&str> = pipelines.iter().map(|spec| spec.name.as_str()).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::new(Kind::Usage, format!("two of the pipelines are named `{twice}`"))
                .hint("each is a catalog of its name: give one of them another, or serve them by two servers"));
        }
        Ok(Catalogue { pipelines, bounds, runtime, opened: Mutex::default(), metrics, told })
    }

    /// Returns the sessions over what the stores have now. One client at a time opens them, and is
    /// not waited for if it goes.
    ///
    /// # Errors
    /// Fails if a store cannot be read.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Opened>> {
        let this = self.clone();
        let opening = tokio::spawn(async move {
            let mut opened = this.opened.lock().await;
            let mut tries = TRIES;
            loop {
                let worker = this.clone();
                let stamps = blocking(&this.runtime, move || worker.stamps()).await?;
                if let Some(opened) = opened.as_ref().filter(|opened| opened.stamps == stamps) {
                    return Ok(opened.clone());
                }
                let (worker, runtime, of) = (this.clone(), this.runtime.clone(), stamps.clone());
                let began = Instant::now();
                match blocking(&this.runtime, move || runtime.block_on(worker.open(of))).await {
                    Ok(now) => {
                        this.metrics.opened(began.elapsed());
                        this.tell(opened.as_deref(), &now);
                        let now = Arc::new(now);
                        *opened = Some(now.clone());
                        return Ok(now);
                    }
                    // A run removes parts, too: then what was looked at is not what was opened.
                    Err(error) => {
                        tries -= 1;
                        let worker = this.clone();
                        if tries == 0 || blocking(&this.runtime, move || worker.stamps()).await? == stamps {
                            return Err(error);
                        }
                    }
                }
            }
        });
        opening.await.context(Kind::Internal, || "the tables could not be opened".to_owned())?
    }

    fn stamps(&self) -> Result<Vec<blake3::Hash>> {
        self.pipelines.iter().map(|spec| stamp(&Store::open_read(&spec.store)?)).collect()
    }

    /// Opens every pipeline's session. Each has its own tables by their bare names, and those of
    /// all in catalogs by the pipelines' names.
    async fn open(&self, stamps: Vec<blake3::Hash>) -> Result<Opened> {
        let mut sessions = Vec::new();
        for spec in &self.pipelines {
            let SqlScope { store, visible, mut notes } = scope(spec)?;
            let context = session_in(&spec.name, &self.bounds, &store, &visible).await?;
            notes.extend(warnings(&context));
            let notes = notes.into_iter().map(|note| note.trim_start_matches("warning: ").to_owned());
            sessions.push(Session { name: spec.name.clone(), context, notes: notes.collect() });
        }
        for session in &sessions {
            for other in sessions.iter().filter(|other| other.name != session.name) {
                if let Some(catalog) = other.context.catalog(&other.name) {
                    session.context.register_catalog(&other.name, catalog);
                }
            }
        }
        Ok(Opened { stamps, sessions })
    }

    /// Says the notes that were not said before.
    fn tell(&self, before: Option<&Opened>, now: &Opened) {
        for Session { name, notes, .. } in &now.sessions {
            let said = before.and_then(|before| before.sessions.iter().find(|session| session.name == *name));
            let said = said.map_or(&[][..], |session| &session.notes);
            notes
                .iter()
                .filter(|note| !said.contains(note))
                .for_each(|note| self.told.note(&format!("warning: {name}: {note}")));
        }
    }
}

impl Opened {
    /// Returns the session of a pipeline; without a name, that of the first.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if none has the name.
    pub(super) fn session(&self, name: Option<&str>) -> Result<&Session> {
        let found = self.sessions.iter().find(|session| name.is_none_or(|name| session.name == name));
        found.ok_or_else(|| {
            let (name, names) = (name.unwrap_or_default(), self.sessions.iter().map(|session| session.name.as_str()));
            let error = Error::new(Kind::Usage, format!("no pipeline `{name}` is served"));
            match nearest::hint("pipelines", name, names) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    /// Returns all sessions, in the order in which the pipelines were named.
    pub(super) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Returns how much there is of each pipeline's tables.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, Vec<Content>)> {
        self.sessions.iter().map(|session| (session.name.as_str(), contents(&session.context)))
    }
}

/// Does what may take long without yielding, on a thread that has the stack for plans.
async fn blocking<T: Send + 'static>(runtime: &Handle, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = runtime.spawn_blocking(work).await;
    done.context(Kind::Internal, || "the tables could not be opened".to_owned())?
}
