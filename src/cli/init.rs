//! `init`: a first pipeline file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::printer::Printer;
use super::{EXIT_CODES, next, several, signal};
use crate::error::{Error, Kind, Result};
use crate::hub::{self, Name, RepoType};
use crate::objects::Address;
use crate::runs::next_steps::NextStep;
use crate::stop::Stop;
use crate::text::file::{INTO_A_FILE, special};
use crate::text::shell;
use crate::tools::init::{Wanted, Written, init};

const LONG_ABOUT: &str = "\
Looks at the pictures that are named, and writes a pipeline file for them, with comments, and beside it what is still to be filled in: \
the sentences about each class, and the class names where the pictures have no labels. Where labels are numbers, or have \
numbers before them or underscores in them, a table says what each class is called. Until the sentences are there, the class names in the \
templates stand in for them.

Pictures are a folder, a list, a Parquet file or a folder of them, shards of WebDataset (a tar, a folder of some, or a pattern in quotes), the \
binary version of CIFAR, or a data set on the Hugging Face Hub, which is not fetched; or the address of any of them on a store of objects, \
s3://BUCKET/FOLDER, which is. Of a folder with a list in it or beside it, as \
CoOp lays out data sets, the list is taken, with the folder in which its pictures are found. Nothing is computed, and no picture is read.

Prints the files that were written; says what it found and assumed (the kind of the source, its splits, where its pictures start, the \
model, what kind of thing the classes are), and the next command. A file that is there already is only overwritten with --force, \
which keeps a copy of it; if a new file cannot be written, none is.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe init pictures --model openai/clip-vit-base-patch32
      Writes pictures.toml and pictures-sentences.json.
  microclip-pipe init pictures --model clip-vit-large-patch14 --force \\
      --descriptions pictures-sentences.json
      Writes pictures.toml anew, for another model, and leaves the sentences as they are.
  microclip-pipe init shots.csv --model ../clip --classes classes.txt --output run/shots.toml
  microclip-pipe init 'shards/{train,val}-{000..099}.tar' --model ../clip
      The quotes keep the shell from expanding the pattern.
  microclip-pipe init hf://datasets/ORG/NAME --model openai/clip-vit-base-patch32";

/// Write a pipeline file for a folder of pictures
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Init {
    /// The folder of pictures, the list, the Parquet, the shards, or hf://datasets/ORG/NAME
    #[arg(value_name = "PICTURES", value_hint = ValueHint::AnyPath)]
    pictures: PathBuf,

    // What a shell makes of a pattern without quotes, and of which the parser has nothing to say.
    #[arg(hide = true, value_name = "PICTURES")]
    more: Vec<PathBuf>,

    /// The CLIP: a Hugging Face directory, a .safetensors file, ORG/NAME on the hub, or
    /// s3://BUCKET/FOLDER; by default the only one beside the pipeline file, or else in the hub's
    /// cache
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,

    /// A file with one class name a line; by default the pictures' labels, or a list to fill in
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    classes: Option<PathBuf>,

    /// A JSON file {class name: [sentence, ...]}; by default one to fill in
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    descriptions: Option<PathBuf>,

    /// Write this pipeline file; by default one named after the pictures, in the current folder
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Overwrite files that are there already; copies of what they held are kept, as FILE.old
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let Init { pictures, more, model, classes, descriptions, output, force } = self;
        if !more.is_empty() {
            let paths = [std::slice::from_ref(pictures), more].concat();
            return Err(several::error("microclip-pipe init", &paths, &self.options()));
        }
        for (option, file) in [("--classes", classes), ("--descriptions", descriptions)] {
            let Some((file, what)) = file.as_ref().and_then(|file| Some((file, special(file)?))) else { continue };
            let what = format!("{option}: {} is {what}, and no file", file.display());
            return Err(Error::new(Kind::Usage, what).hint(INTO_A_FILE));
        }
        let wanted = Wanted {
            pictures: pictures.clone(),
            model: model.clone(),
            classes: classes.clone(),
            descriptions: descriptions.clone(),
            output: output.clone(),
            force: *force,
        };
        let (stop, progress) = (Stop::default(), printer.progress());
        signal::watch(stop.clone(), progress.clone())?;
        let written = init(&wanted, &stop, progress.as_ref()).map_err(|error| not_a_path(pictures, error))?;
        let Written { pipeline, classes, class_names, descriptions, kept, assumed, trouble, .. } = &written;
        let files = [Some(pipeline), classes.as_ref(), class_names.as_ref(), descriptions.as_ref()];
        let files: Vec<String> = files.into_iter().flatten().map(|path| short(path)).collect();
        printer.result(&files.join("\n"))?;
        assumed.iter().for_each(|line| printer.note(line));
        if let Some(class_names) = class_names.as_ref().filter(|_| !written.numbered) {
            let file = short(class_names);
            printer.note(&format!(
                "{file} names the classes, without the numbers and underscores of their labels: correct it"
            ));
        }
        if !kept.is_empty() {
            let copies: Vec<String> = kept.iter().map(|path| short(path)).collect();
            printer.note(&format!("what the files held before is in {}", copies.join(", ")));
        }
        if let Some(trouble) = trouble {
            let hint = trouble.own_hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            printer.note(&format!("as it is, a run would be refused: {trouble}{hint}"));
        }
        let (first, steps) = next_steps(&written);
        next::say(&first, &steps, printer);
        Ok(())
    }
}

impl Init {
    /// Returns the options as they are to be typed behind the pictures.
    fn options(&self) -> String {
        let Init { pictures: _, more: _, model, classes, descriptions, output, force } = self;
        let paths = [("model", model), ("classes", classes), ("descriptions", descriptions), ("output", output)];
        let typed = |(option, path): (&str, &Option<PathBuf>)| {
            Some(format!(" --{option} {}", shell::word(&path.as_ref()?.to_string_lossy())))
        };
        let force = if *force { " --force" } else { "" };
        paths.into_iter().filter_map(typed).collect::<String>() + force
    }
}

/// Says what is read, where the pictures that are not there are an address, or read like a name on
/// the hub.
fn not_a_path(pictures: &Path, error: Error) -> Error {
    let Some(text) = pictures.to_str().filter(|_| !pictures.exists()) else { return error };
    if Address::parse(text).is_some() && Name::parse(text).is_none() {
        return error;
    }
    if let Some(hint) = hub::instead_of_address(text, Some(RepoType::Dataset)) {
        return Error::new(Kind::Usage, format!("{text} is an address, and no path")).hint(hint);
    }
    if Name::parse(text).is_some_and(|name| name.is_err()) {
        return error.hint("a data set is hf://datasets/ORG/NAME, or hf://datasets/ORG/NAME@REVISION");
    }
    match hub::meant_data_set(text) {
        Some(name) => error.hint(format!("a data set on the hub is named so: {name}")),
        None => error,
    }
}

/// Returns a path as it is shown and typed: from the current folder, and never like an option.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shown = path.strip_prefix(here).unwrap_or(path).display().to_string();
    if shown.starts_with('-') { format!("./{shown}") } else { shown }
}

/// Returns what is to be done first, and the commands that are then next.
fn next_steps(written: &Written) -> (String, Vec<NextStep>) {
    let pipeline = short(&written.pipeline);
    let step = |verb: &str, why: &str| NextStep {
        command: format!("microclip-pipe {verb} {}", shell::word(&pipeline)),
        why: why.to_owned(),
    };
    let first = match written {
        Written { trouble: Some(_), .. } => "next, once that is mended".to_owned(),
        Written { classes: Some(classes), .. } => {
            format!("next, write the names of the classes into {}, one a line; then", short(classes))
        }
        Written { class_names: Some(names), numbered: true, .. } => {
            format!("next, write what each class is called into {}, in place of its number; then", short(names))
        }
        _ => "next".to_owned(),
    };
    if written.trouble.is_some() {
        return (first, vec![step("doctor", "checks what a run needs")]);
    }
    let mut steps = Vec::new();
    if written.unfetched {
        steps.push(step("ingest", "fetches the pictures, and says of how many classes they are"));
    }
    if written.unwritten {
        steps.push(step("describe", "asks a language model what each class looks like"));
    }
    let run = if written.unwritten {
        "with those sentences, or without any"
    } else {
        "embeds the pictures, adapts the model, and measures"
    };
    steps.push(step("run", run));
    (first, steps)
}
