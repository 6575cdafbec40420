//! Waiting for a store: one process works on it at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::store::Turn;
use crate::store::layout::Store;

/// How often to ask for a store that another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Takes the store for this process alone, once no other works on it.
///
/// # Errors
/// Fails if the store cannot be made or written to; with [`crate::error::Kind::Interrupted`] if a
/// stop was requested meanwhile.
pub(crate) async fn take(store: &Path, stop: &Stop, progress: &Arc<dyn Progress>) -> Result<Store> {
    let said = progress.clone();
    let say: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(move |text| said.say(text));
    let mut waiting = false;
    loop {
        match Store::try_lock(store, say.clone())? {
            Turn::Ours(store) => return Ok(store),
            Turn::Busy(holder) if !waiting => {
                waiting = true;
                progress.say(&format!("waiting for {holder}, which works on the store {}", store.display()));
            }
            Turn::Busy(_) => {}
        }
        stop.check()?;
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
