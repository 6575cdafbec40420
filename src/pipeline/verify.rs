//! What a run relies on: whether it is finished, and whether the files that it is about to read are
//! as they were written.

use std::collections::HashSet;
use std::path::PathBuf;

use super::run::Stages;
use crate::error::Result;
use crate::runs::lookup::{self, Upto, Whole};
use crate::stage::adapt;
use crate::stage::frozen::FrozenTable;
use crate::stage::ingest::{self, IngestSettings, Ingested};
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::stage::{checksums, describe, frozen, neighbours, prior};
use crate::store::layout::Partition;
use crate::store::reader;

impl Stages<'_> {
    /// Returns what is `known` of the dataset and what the run left behind if it was done before,
    /// or `None` if anything up to the last step is missing.
    pub(super) fn finished(
        &self,
        known: Option<&Ingested>,
        settings: &IngestSettings,
    ) -> Result<Option<(Ingested, Whole)>> {
        let (Some(known), true) = (known, self.upto >= Upto::Adapt) else { return Ok(None) };
        let Some(whole) = lookup::whole(self.job.store, self.run, self.recipe, self.upto)? else { return Ok(None) };
        // Asking for the run again counts as a use of what it was made from.
        self.features()?.iter().for_each(Partition::touch);
        Ok(Some((ingest::unchanged(known.clone(), settings, self.job)?, whole)))
    }

    /// Finds the neighbours of a finished run's pictures, if an earlier version made the run or
    /// `neighbours.k` has changed since. Does nothing if the features are gone.
    pub(super) fn neighbours_of_finished(&self) -> Result<()> {
        let Stages { spec, workspace: w, job, .. } = *self;
        if neighbours::is_filled(&w.neighbours(spec, job.store)?, job.store)? {
            return Ok(());
        }
        let embeddings = &w.frozen.embeddings;
        let pictures = Pictures::open(&job.store.partition("images", &w.dataset)?, spec.dataset.decoding())?;
        match frozen::missing(&pictures, &embeddings.partition(job.store)?)?.is_empty() {
            true => {
                // Before the first tensor is made: another run of this process may need it.
                w.device()?;
                spec.neighbours.fill(&pictures, embeddings, job)
            }
            false => Ok(()),
        }
    }

    /// Removes what need not stay of the logits of a finished run, if `adapt.keep` has changed
    /// since.
    pub(super) fn thin_finished(&self) -> Result<()> {
        let Some(recipe) = self.recipe else { return Ok(()) };
        let passes = recipe.adapt.passes();
        adapt::settle(self.run, recipe.adapt.keep, passes, passes, self.job)
    }

    /// Returns the partitions of the frozen model's features of pictures that runs read.
    fn features(&self) -> Result<Vec<Partition>> {
        self.workspace.frozen.read().iter().map(|table| table.partition(self.job.store)).collect()
    }

    /// Compares the tables of sentences, and those of the dataset if they are `known` to be up to
    /// date, with their checksums: what is damaged is ingested and embedded again.
    pub(super) fn compare_inputs(&self, known: bool, dataset: &str) -> Result<()> {
        let Stages { workspace: w, job: Job { store, .. }, .. } = *self;
        let mut tables = describe::partitions(&w.text_space, store)?;
        if known {
            tables.extend(ingest::partitions(store, dataset)?);
        }
        let files = tables.iter().map(Partition::listed).collect::<Result<Vec<_>>>()?;
        self.compare("dataset and sentences", files.concat())
    }

    /// Compares with their checksums what adaptation and evaluation read about these pictures, and
    /// what an earlier invocation of the run left, or an earlier run with its prior: what is
    /// damaged then counts as missing, and is recomputed.
    pub(super) fn compare_what_is_read(&self, pictures: &Pictures) -> Result<()> {
        let ids: HashSet<&str> = pictures.rows().iter().map(|picture| picture.image_id.as_str()).collect();
        let mut files = Vec::new();
        for partition in self.features()? {
            files.extend(reader::parts_with(&partition, |id| ids.contains(id))?);
        }
        for table in ["fusion_logits", "top_logits", "class_bias", "pseudo_labels", "passes"] {
            files.extend(self.job.store.partition(table, self.run)?.listed()?);
        }
        files.extend(self.job.store.partition(prior::TABLE, &self.prior.id())?.listed()?);
        self.compare("features and passes", files)
    }

    fn compare(&self, what: &str, files: Vec<PathBuf>) -> Result<()> {
        let Job { store, stop, progress } = self.job;
        checksums::compare(what, files, store, stop, progress.as_ref())
    }
}
