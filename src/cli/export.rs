//! `export`: an adapted model as a folder for other programs.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::printer::Printer;
use super::which_run::WhichRun;
use crate::cli::signal;
use crate::error::Result;
use crate::stop::Stop;
use crate::tools::export::export;

const LONG_ABOUT: &str = "\
Writes the adapted model of a run into a new folder:

  model.safetensors, config.json, preprocessor_config.json, tokenizer.json
      the adapted CLIP as a Hugging Face directory, which transformers' CLIPModel and this program load; weights in \
OpenAI's layout are converted
  classifier.safetensors
      the classifier W*, a unit row per class, and SOAP's maps
  classes.json
      names of the classes, in the order of the classifier's rows
  README.md
      a model card with the run's figures and settings

Weights are fp32. The folder has its name only once it is whole. The store is not written to.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe export pipelines/flowers.toml --output flowers-clip
      The newest run of the pipeline that is finished.
  microclip-pipe export flowers-layernorm-s0 --store .store --output flowers-clip
      The run whose id begins so.";

/// Write an adapted model for other programs
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Export {
    #[command(flatten)]
    run: WhichRun,

    /// The folder to write, which must not be there yet, or be empty
    #[arg(long, short, value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    output: PathBuf,
}

impl Export {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let chosen = self.run.find()?;
        chosen.notes.iter().for_each(|note| printer.note(note));
        let stop = Stop::default();
        signal::watch(stop.clone(), printer.progress())?;
        let chosen = chosen.with_models_fetched(&stop, printer.progress().as_ref())?;
        let notes = export(&chosen, &self.output, &stop)?;
        printer.note(&format!("run {} is in {}", chosen.run, self.output.display()));
        notes.iter().for_each(|note| printer.note(note));
        Ok(())
    }
}
