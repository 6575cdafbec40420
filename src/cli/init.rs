//! `init`: a first pipeline file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::printer::Printer;
use crate::error::Result;
use crate::tools::init::{Wanted, Written, init};

const LONG_ABOUT: &str = "\
Looks into a folder of pictures, a list, or Parquet, and writes a pipeline file for it, with \
comments, and beside it what is still to be filled in: the sentences about each class, and the class names where the pictures have \
no labels. Where labels have numbers before them or underscores in them, a table says what each class is called. Until the \
sentences are there, the class names in the templates stand in for them.

Prints the files that were written. A file that is there already is only overwritten with --force; if a new file cannot be \
written, none is.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe init pictures --model clip-vit-base-patch16
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
    /// the only one beside the pipeline file
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
        let Written { pipeline, classes, class_names, descriptions, kept, trouble } = init(&wanted)?;
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
        if let Some(classes) = classes {
            printer.note(&format!("write the names of the classes into {}, one a line", short(&classes)));
        }
        if let Some(class_names) = class_names {
            let file = short(&class_names);
            printer.note(&format!(
                "{file} names the classes, without the numbers and underscores of their labels: correct it"
            ));
        }
        if let Some(descriptions) = descriptions {
            printer.note(&format!(
                "sentences about each class go into {}: `microclip-pipe describe` asks a language model for them",
                short(&descriptions)
            ));
        }
        if let Some(kept) = kept {
            printer.note(&format!("the sentences of before are in {}", short(&kept)));
        }
        if let Some(trouble) = trouble {
            let hint = trouble.own_hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            printer.note(&format!("as it is, a run would be refused: {trouble}{hint}"));
        }
        printer.note(&format!("then: microclip-pipe doctor {0}, microclip-pipe run {0}", short(&pipeline)));
        Ok(())
    }
}
