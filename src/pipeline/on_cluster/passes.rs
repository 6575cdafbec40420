//! A run that an executor has opened to make fusion logits of its passes.

use std::sync::Arc;

use super::order::{self, Logits};
use crate::config::Spec;
use crate::device::DeviceSettings;
use crate::error::{Error, Kind, Result};
use crate::pipeline::wait_for_lock;
use crate::stage::adapt::elsewhere::{Forwards, Slice};
use crate::stage::describe;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::progress::Progress;
use crate::stop::Stop;
use crate::text::numbers::counted;
use crate::workspace::Opened;
use crate::workspace::on_hub::{self, Need};

/// A run whose passes need logits.
pub(super) struct Passes {
    spec: Spec,
    forwards: Forwards,
}

impl Passes {
    /// Opens the driver's run here, to compute on this machine's own `device`. Reads what the
    /// frozen towers have given of all pictures.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the run would be another here; fails if the model, the pictures,
    /// the sentences or the store cannot be opened.
    pub(super) async fn open(
        order: order::Passes,
        device: DeviceSettings,
        stop: &Stop,
        progress: &Arc<dyn Progress>,
    ) -> Result<Passes> {
        let order::Passes { spec, snapshot, run } = order;
        let spec = Spec { device, ..spec };
        let spec = on_hub::fetched(&spec, Need::All, stop, progress.as_ref())?;
        let opened = Opened::new(&spec)?;
        let recipe = opened.recipe(&spec)?;
        let here = opened.run_id(&spec, recipe.as_ref())?;
        let (Some(recipe), true) = (recipe, here == run) else {
            let what = format!("the driver's run {run} would be {here} on this machine");
            return Err(Error::new(Kind::Model, what).hint(
                "runs of a GPU are others than those of a CPU: driver and executors must have the same, and see the same model, \
                 pictures and sentences",
            ));
        };
        let w = &opened.workspace;
        // Before the first tensor is made.
        w.device()?;
        let store = wait_for_lock::take(&spec.store, stop, progress).await?;
        let job = Job { store: &store, stop, progress };
        let images = store.partition("images", &w.dataset)?;
        super::require_snapshot(&store, &images, &snapshot)?;
        let pictures = Pictures::open(&images, spec.dataset.decoding())?;
        let tower = || w.sentence_tower();
        let heads = describe::heads(&opened.sentences, &w.text_space, &w.clip.tokenizer, tower, &store, stop)?;
        let seen = w.multi_view(&pictures, &heads, job)?;
        let images = w.images(&pictures, &recipe, &seen, job)?.of(&pictures.training()?);
        let forwards =
            Forwards { images, tower: w.tower(&spec)?, heads: [heads.descriptions, heads.frozen], recipe, run };
        Ok(Passes { spec, forwards })
    }

    /// Writes the logits of a unit, and returns what was done.
    ///
    /// # Errors
    /// Fails as [`Forwards::write`] does.
    pub(super) async fn write(&self, unit: &Logits, stop: &Stop, progress: &Arc<dyn Progress>) -> Result<String> {
        let store = wait_for_lock::take(&self.spec.store, stop, progress).await?;
        let slice = Slice { pass: unit.pass, places: (unit.from, unit.to) };
        self.forwards.write(slice, &unit.part, Job { store: &store, stop, progress }).await?;
        Ok(format!("logits of {} in pass {}", counted((unit.to - unit.from) as u64, "image"), unit.pass))
    }
}
