//! Waiting for other processes that work on a store: for one that has it alone, and for those that
//! do what this one wants to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::{Claim, Claimed, Holder, Turn, Work};

/// How often to ask for what another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Opens a store to work on it together with other processes, once none has it alone.
///
/// # Errors
/// Fails if the store cannot be made or written to; with [`crate::error::Kind::Interrupted`] if a
/// stop was requested meanwhile.
pub(crate) async fn take(store: &Path, stop: &Stop, progress: &Arc<dyn Progress>) -> Result<Store> {
    let mut waiting = Waiting::new(stop, progress);
    loop {
        match Store::try_share(store, saying(progress))? {
            Turn::Ours(store) => return Ok(store),
            Turn::Busy(holder) => waiting.once_more(store, &holder).await?,
        }
    }
}

/// Takes a store for this process alone.
///
/// # Errors
/// Returns [`Kind::Store`] if another process works on it, or it cannot be made or written to.
pub(crate) fn alone(store: &Path, progress: &Arc<dyn Progress>) -> Result<Store> {
    match Store::try_lock(store, saying(progress))? {
        Turn::Ours(store) => Ok(store),
        Turn::Busy(holder) => {
            let what = format!("{holder} works on the store {}{}", store.display(), holder.details());
            Err(Error::new(Kind::Store, what).hint("nothing was changed; try again once it has ended"))
        }
    }
}

/// Claims all of `works`, once no other process does what excludes them. Returns the claims, in the
/// order of the works, and whether it had to wait, so that what was read before may be out of date.
///
/// # Errors
/// Fails if the store cannot be written to, or a stop was requested meanwhile.
pub(crate) async fn claim(
    store: &Store,
    works: &[Work],
    stop: &Stop,
    progress: &Arc<dyn Progress>,
) -> Result<(Vec<Claim>, bool)> {
    let mut waiting = Waiting::new(stop, progress);
    loop {
        match store.try_claim(works)? {
            Claimed::Ours(claims) => return Ok((claims, waiting.said.is_some())),
            Claimed::Busy(holder) => waiting.once_more(&store.place(), &holder).await?,
        }
    }
}

fn saying(progress: &Arc<dyn Progress>) -> Arc<dyn Fn(&str) + Send + Sync> {
    let said = progress.clone();
    Arc::new(move |text| said.say(text))
}

/// A wait, of which the user is told once for each process.
pub(super) struct Waiting<'a> {
    stop: &'a Stop,
    progress: &'a Arc<dyn Progress>,
    said: Option<Holder>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(stop: &'a Stop, progress: &'a Arc<dyn Progress>) -> Self {
        Waiting { stop, progress, said: None }
    }

    /// Waits a moment for what `holder` holds.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub(super) async fn once_more(&mut self, store: &Path, holder: &Holder) -> Result<()> {
        if self.said.as_ref() != Some(holder) {
            let (store, details) = (store.display(), holder.details());
            self.progress.say(&format!("waiting for {holder}, which works on the store {store}{details}"));
            self.said = Some(holder.clone());
        }
        self.stop.check()?;
        tokio::time::sleep(ASK_AGAIN).await;
        Ok(())
    }
}
