//! `report`: a run as one HTML page.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::common::{Common, runtime};
use super::output::Target;
use super::printer::Printer;
use super::{EXIT_CODES, browser};
use crate::cli::signal;
use crate::error::{Context, Kind, Result};
use crate::report::{Looked, report};
use crate::runs::stored_run::{self, StoredRun};
use crate::stop::Stop;

const LONG_ABOUT: &str = "\
Writes a run as one HTML file that needs no network and nothing beside it, and prints its path: accuracies and \
pseudo-labels pass by pass, the loss, how sure answers are and how often that is right, every class against zero-shot, the \
classes that are taken for each other, a map of the embeddings before and after, the pictures that a person should look at, \
and where the model looks in some. Without labels it has all that does without them.

Figures come from the tables. The map and the pictures that are looked into go through the model, which must be where it was; \
where it is not, they are left out. Thumbnails of the pictures are in the file: mind who may see them.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe report pipelines/flowers.toml
      The newest run that is finished, below the store.
  microclip-pipe report pipelines/flowers.toml --open
      The same, shown in the browser.
  microclip-pipe report pipelines/flowers.toml --run flowers-head-s1 --output seed-1.html
      The run whose id begins so.";

/// Show a run as one HTML page
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Report {
    #[command(flatten)]
    common: Common,

    /// The run, by its id, or a beginning or an end that no other run of the store has; by default
    /// the newest of the pipeline that is finished
    #[arg(long, value_name = "ID")]
    run: Option<String>,

    /// Write the page to this file; by default STORE/reports/RUN.html, or RUN.html here if the
    /// store is an address
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Open the page in the browser
    #[arg(long)]
    open: bool,

    /// How many pictures the map of embeddings shows; each goes through the model, and 0 leaves the
    /// map out
    #[arg(long, value_name = "N", default_value_t = Looked::default().mapped as u64, value_parser = clap::value_parser!(u64).range(..=20_000))]
    map: u64,

    /// How many pictures the page looks at for what takes a number for each class and pass; it says
    /// so where there are more
    #[arg(long, value_name = "N", default_value_t = Looked::default().sampled, value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,
}

impl Report {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let spec = self.common.load_without_sentences()?;
        let chosen = match &self.run {
            Some(run) => stored_run::named(&spec.store, run)?,
            None => stored_run::newest(&spec, |run| format!("--run {run}"))?,
        };
        chosen.notes.iter().for_each(|note| printer.note(note));
        let (stop, progress) = (Stop::default(), printer.progress());
        signal::watch(stop.clone(), progress.clone())?;
        let mapped = usize::try_from(self.map).unwrap_or(usize::MAX);
        let looked = Looked { mapped, sampled: self.sample };
        let page = runtime()?.block_on(report(&chosen, looked, &stop, progress.as_ref()))?;
        let path = write(&page, self.output.as_deref(), &chosen)?;
        printer.result(&path.display().to_string())?;
        if self.open {
            browser::open(&path, printer);
        }
        Ok(())
    }
}

/// Writes the page of a run, by default into the store, and returns its path.
///
/// # Errors
/// Returns [`Kind::System`] if the file cannot be written.
pub(super) fn write(page: &str, output: Option<&Path>, chosen: &StoredRun) -> Result<PathBuf> {
    let path = match output {
        Some(path) => path.to_owned(),
        // What stands for a store on objects is no place where anybody would look.
        None if chosen.store.is_on_objects() => PathBuf::from(format!("{}.html", chosen.run)),
        None => {
            let folder = chosen.store.root().join("reports");
            std::fs::create_dir_all(&folder).at(Kind::System, "cannot make", &folder)?;
            folder.join(format!("{}.html", chosen.run))
        }
    };
    let mut target = Target::open(Some(path.clone()))?;
    target.write_all(page.as_bytes()).at(Kind::System, "cannot write", &path)?;
    target.finish()?;
    Ok(path)
}
