//! `model`: models of the hub.

use clap::{Args, Subcommand};

use super::EXIT_CODES;
use super::align::{Side, align};
use super::printer::Printer;
use super::size::in_words;
use crate::cli::signal;
use crate::error::Result;
use crate::hub::{Cached, short};
use crate::stop::Stop;
use crate::text::numbers::counted;
use crate::tools::models::{self, Models, Pulled};

const LONG_ABOUT: &str = "\
Fetches models of the Hugging Face Hub, and says which of those in the cache are read here.

A pipeline file names a model as `model.path = \"openai/clip-vit-base-patch32\"`, and a run fetches what of it is missing. The \
cache is the one of Python's huggingface_hub, so what transformers has fetched is not fetched again, and the other way round.

The environment says where and how: HF_HOME or HF_HUB_CACHE name the cache, HF_TOKEN is for models that are private or gated, \
HF_ENDPOINT names another hub, and HF_HUB_OFFLINE=1 makes no request.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe model pull openai/clip-vit-base-patch32
      Fetches it, and prints its folder.
  microclip-pipe model pull hf://laion/CLIP-ViT-B-32-laion2B-s34B-b79K@main
      At a branch, a tag or a commit.
  microclip-pipe model ls
      What the cache has, and what of it is read here.";

/// Fetch models of the Hugging Face Hub, and list those that are here
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Model {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// List the models in the cache, and whether they are read here
    ///
    /// A line for each commit of a model. `no` in the last column is followed by the reason.
    Ls,
    /// Fetch a model by its name, and print its folder
    ///
    /// Only what is needed of it: the weights in safetensors, and the small files beside them. What
    /// is there already is not fetched again; a transfer that was stopped goes on where it was.
    Pull(Pull),
}

#[derive(Debug, Args)]
struct Pull {
    /// ORG/NAME, or hf://ORG/NAME@REVISION
    #[arg(value_name = "NAME")]
    name: String,
}

impl Model {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let (stop, progress) = (Stop::default(), printer.progress());
        signal::watch(stop.clone(), progress.clone())?;
        match &self.task {
            Task::Ls => {
                let Models { cache, models } = models::list(&stop, progress.as_ref())?;
                printer.note(&format!("the cache is {}", cache.display()));
                printer.result(&table(&models))
            }
            Task::Pull(Pull { name }) => {
                let Pulled { name, folder, what } = models::pull(name, &stop, progress.as_ref())?;
                printer.note(&format!("{name}: {what}"));
                printer.result(&folder.display().to_string())
            }
        }
    }
}

/// Writes a line for each model.
fn table(models: &[(Cached, Result<String>)]) -> String {
    let titles = ["model", "revision", "commit", "size", "read here"].map(str::to_owned).to_vec();
    let lines = models.iter().map(|(Cached { name, revisions, folder, bytes }, what)| {
        let read = match what {
            Ok(what) => format!("yes: {what}"),
            // The folder is long, and the same on the whole line.
            Err(error) => {
                let folder = folder.display().to_string();
                let error = error.to_string().replace(&format!("{folder}/"), "").replace(&folder, "its folder");
                format!("no: {error}")
            }
        };
        let revisions = if revisions.is_empty() { "-".to_owned() } else { revisions.join(", ") };
        let commit = short(name.revision()).to_owned();
        vec![name.id().to_owned(), revisions, commit, in_words(*bytes), read]
    });
    let lines: Vec<_> = std::iter::once(titles).chain(lines).collect();
    let sides = [Side::Left, Side::Left, Side::Left, Side::Right, Side::Left];
    let bytes = models.iter().map(|(cached, _)| cached.bytes).sum();
    format!("{}{}, {}", align(&sides, &lines), counted(models.len() as u64, "model"), in_words(bytes))
}
