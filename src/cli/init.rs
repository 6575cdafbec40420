//! `init`: a first pipeline file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::printer::Printer;
use crate::error::Result;
use crate::text::shell;
use crate::tools::init::{Wanted, Written, init};

const LONG_ABOUT: &str = "\
Looks into a folder of pictures, a list, or Parquet, and writes a pipeline file for it, with \
comments, and beside it what is still to be filled in: the sentences about each class, and the class names where the pictures have \
no labels. Where labels have numbers before them or underscores in them, a table says what each class is called. Until the \
sentences are there, the class names in the templates stand in for them. Says what it found and assumed (the kind of the source, \
its splits, the model, what kind of thing the classes are), and what to do next.

Prints the files that were written. A file that is there already is only overwritten with --force; if a new file cannot be \
written, none is.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe init pictures --model openai/clip-vit-base-patch32
      Writes pictures.toml and pictures-sentences.json.
  microclip-pipe init pictures --model clip-vit-large-patch14 --force \\
      --descriptions pictures-sentences.json
      Writes pictures.toml anew, for another model, and leaves the sentences as they are.
  microclip-pipe init shots.csv --model ../clip --classes classes.txt --output run/shots.toml";

/// Write a pipeline file for a folder of pictures
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Init {
    /// The folder of pictures, the CSV file, or the folder of Parquet files
    #[arg(value_name = "FOLDER", value_hint = ValueHint::AnyPath)]
    pictures: PathBuf,

    /// The CLIP: a Hugging Face directory, a .safetensors file, or ORG/NAME on the hub; by default
    /// the only one beside the pipeline file, or else in the hub's cache
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

    /// Overwrite files that are there already
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let Init { pictures, model, classes, descriptions, output, force } = self;
        let wanted = Wanted {
            pictures: pictures.clone(),
            model: model.clone(),
            classes: classes.clone(),
            descriptions: descriptions.clone(),
            output: output.clone(),
            force: *force,
        };
        let Written { pipeline, classes, class_names, descriptions, kept, assumed, trouble } = init(&wanted)?;
        let short = |path: &Path| {
            let here = std::env::current_dir().unwrap_or_default();
            path.strip_prefix(here).unwrap_or(path).display().to_string()
        };
        let written: Vec<String> = [Some(&pipeline), classes.as_ref(), class_names.as_ref(), descriptions.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| short(path))
            .collect();
        printer.result(&written.join("\n"))?;
        assumed.iter().for_each(|line| printer.note(line));
        if let Some(class_names) = class_names {
            let file = short(&class_names);
            printer.note(&format!(
                "{file} names the classes, without the numbers and underscores of their labels: correct it"
            ));
        }
        if let Some(kept) = kept {
            printer.note(&format!("the sentences of before are in {}", short(&kept)));
        }
        if let Some(trouble) = &trouble {
            let hint = trouble.own_hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            printer.note(&format!("as it is, a run would be refused: {trouble}{hint}"));
        }
        let pipeline = short(&pipeline);
        let pipeline = shell::word(&pipeline);
        printer.note(&match (classes, descriptions) {
            (Some(classes), _) => format!("next: write the names of the classes into {}, one a line", short(&classes)),
            _ if trouble.is_some() => format!("next, once that is mended: microclip-pipe doctor {pipeline}"),
            (None, Some(_)) => format!(
                "next: microclip-pipe describe {pipeline}, which asks a language model for sentences about each class; or, \
                 without any, microclip-pipe run {pipeline}"
            ),
            (None, None) => format!("next: microclip-pipe run {pipeline}"),
        });
        Ok(())
    }
}
