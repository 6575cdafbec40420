//! A pipeline that an executor has opened for the units of a job.

use std::sync::{Arc, Mutex};

use super::order::{Frozen, Range, Table};
use crate::config::Spec;
use crate::device::DeviceSettings;
use crate::error::{Error, Kind, Result};
use crate::image::ImageId;
use crate::objects::Address;
use crate::panics::guard;
use crate::pipeline::wait_for_lock;
use crate::stage::frozen::{self, Eye, Filling, FrozenTable, Towers};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::text::numbers::counted;
use crate::workspace::Workspace;
use crate::workspace::on_hub::{self, Need};
use crate::workspace::on_objects;

/// A dataset whose frozen tables are filled.
pub(super) struct Prepared {
    spec: Spec,
    workspace: Workspace,
    tables: Vec<Arc<dyn FrozenTable>>,
    pictures: Arc<Pictures>,
    /// The towers, once a unit needs them; all units share them.
    towers: Mutex<Option<Arc<Towers>>>,
}

impl Prepared {
    /// Opens the driver's pipeline here, to compute on this machine's own `device`.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the driver's features would be others here, [`Kind::Input`] if
    /// the store has other pictures than the driver listed; fails if the model, the pictures or the
    /// store cannot be opened.
    pub(super) async fn open(
        order: Frozen,
        device: DeviceSettings,
        stop: &Stop,
        progress: &Arc<dyn Progress>,
    ) -> Result<Prepared> {
        let Frozen { spec, snapshot, tables } = order;
        let spec = Spec { device, ..spec };
        // Pictures at an address are fetched unit by unit.
        let need = if has_address(&spec) { Need::Models } else { Need::All };
        let spec = on_hub::fetched(&spec, need, stop, progress.as_ref())?;
        let workspace = Workspace::open(&spec)?;
        // Before the first tensor is made.
        workspace.device()?;
        let tables = tables.iter().map(|table| find(&workspace, table)).collect::<Result<_>>()?;
        let store = wait_for_lock::take(&spec.store, stop, progress).await?;
        let images = store.partition("images", &workspace.dataset)?;
        super::require_snapshot(&store, &images, &snapshot)?;
        let pictures = Pictures::open(&images, spec.dataset.decoding())?;
        Ok(Prepared { spec, workspace, tables, pictures, towers: Mutex::default() })
    }

    /// Makes the rows that the tables lack of a range of pictures, and returns what was done.
    ///
    /// # Errors
    /// Fails as [`frozen::fill`] does.
    pub(super) async fn fill(&self, range: &Range, stop: &Stop, progress: &Arc<dyn Progress>) -> Result<String> {
        let id = |text: &str| {
            ImageId::parse(text).ok_or_else(|| Error::new(Kind::Internal, format!("'{text}' is no image id")))
        };
        let pictures = self.pictures.between(&id(&range.first)?, &id(&range.last)?);
        let store = wait_for_lock::take(&self.spec.store, stop, progress).await?;
        // Of pictures at an address, each machine fetches those that it sees.
        if has_address(&self.spec) && !frozen::lacking(&store, &pictures, &self.tables)?.is_empty() {
            on_objects::fetch_some(&self.spec, &pictures, stop, progress.as_ref())?;
        }
        let filling = Filling { sizes: self.spec.embed, job: Job { store: &store, stop, progress } };
        let forwards = frozen::fill(filling, &pictures, &self.tables, |_| self.towers()).await?;
        let pictures = counted(pictures.rows().len() as u64, "image");
        Ok(format!("{pictures}, {}", counted(forwards, "image forward")))
    }

    /// Returns the towers of all tables, which are built once: a unit that another executor has
    /// begun may need only some of them, and the next one others.
    fn towers(&self) -> Result<Arc<Towers>> {
        let mut built = guard(&self.towers);
        if let Some(towers) = built.as_ref() {
            return Ok(towers.clone());
        }
        let eyes: Vec<Eye> = self.tables.iter().map(|table| table.eye()).collect();
        Ok(built.insert(self.workspace.towers(&eyes)?).clone())
    }
}

/// Returns whether the pictures are at an address.
fn has_address(spec: &Spec) -> bool {
    Address::in_place_of(&spec.dataset.path).is_some()
}

/// Returns the table that a driver wants filled.
fn find(workspace: &Workspace, wanted: &Table) -> Result<Arc<dyn FrozenTable>> {
    let table = workspace.frozen.all().into_iter().find(|table| table.table() == wanted.name);
    let table = table.ok_or_else(|| {
        Error::new(Kind::Usage, format!("the driver wants `{}`, which this pipeline does not fill here", wanted.name))
            .hint("all processes of a cluster must be of one version")
    })?;
    wanted.require(table.space())?;
    Ok(table)
}
