//! `doctor`: whether everything that a run needs is there, and what to do if not.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::align::{Side, align};
use super::common::{Overrides, runtime};
use super::printer::Printer;
use crate::error::{Error, Kind, Result};
use crate::tools::doctor::{self, Finding, State};

const LONG_ABOUT: &str = "\
Looks at what a run needs: libtorch, a GPU, the processor, and, of a pipeline, the model, the pictures and their classes, the \
sentences, the recipe, the store's folder, its disk, and every file in it. Nothing is computed or changed. Pictures are read up to the \
first that can be decoded.

A line each: `ok`; `note`, which is no obstacle; or `broken`, with the line that mends it. What a run would refuse before its first \
forward pass is broken here, in the same words. Fails where anything is broken.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe doctor
      The machine alone.
  microclip-pipe doctor pipelines/flowers.toml
      And all that the pipeline names.";

/// Check the machine, and all that a pipeline needs
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Doctor {
    /// The pipeline file (TOML); without one, the machine alone is looked at
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pipeline: Option<PathBuf>,

    #[command(flatten)]
    overrides: Overrides,
}

impl Doctor {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let Doctor { pipeline, overrides } = self;
        let spec = pipeline.as_ref().map(|file| overrides.load_without_sentences(file)).transpose();
        let mut findings = doctor::machine(spec.as_ref().ok().and_then(Option::as_ref));
        let mut wrong = None;
        match (spec, pipeline) {
            (Ok(Some(spec)), Some(file)) => {
                // Everything else can be looked at without the sentences.
                wrong = overrides.load(file).err();
                let looked = async { Ok(doctor::pipeline(&spec, wrong.as_ref(), printer.progress().as_ref()).await) };
                findings.extend(runtime()?.block_on(looked)?);
            }
            (Err(error), _) => {
                findings.push(Finding::broken("pipeline", &error));
                wrong = Some(error);
            }
            (Ok(_), _) => {}
        }
        printer.result(&show(&findings))?;
        let broken = findings.iter().filter(|finding| finding.state == State::Broken).count();
        match (broken, wrong) {
            (0, _) => Ok(()),
            // A wrong pipeline file has the same exit code as with every verb.
            (_, Some(error)) => Err(error),
            (1, _) => Err(Error::new(Kind::Store, "one thing is broken").hint("the line below it says what mends it")),
            (many, _) => Err(Error::new(Kind::Store, format!("{many} things are broken"))
                .hint("the line below each says what mends it")),
        }
    }
}

/// Writes a line for each finding, and below it how to fix it.
fn show(findings: &[Finding]) -> String {
    let lines = findings.iter().flat_map(|finding| {
        let state = match finding.state {
            State::Fine => "ok",
            State::Note => "note",
            State::Broken => "broken",
        };
        let line = vec![state.to_owned(), finding.what.to_owned(), finding.detail.clone()];
        let mend = finding.mend.as_ref().map(|mend| vec![String::new(), String::new(), format!("to mend: {mend}")]);
        std::iter::once(line).chain(mend)
    });
    align(&[Side::Left; 3], &lines.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mends_stands_below_what_is_broken() {
        let finding = |what, state, detail: &str, mend: Option<&str>| Finding {
            what,
            state,
            detail: detail.to_owned(),
            mend: mend.map(str::to_owned),
        };
        let shown = show(&[
            finding("libtorch", State::Fine, "2.11.0", None),
            finding("store", State::Broken, "cannot write to /", Some("--store DIR")),
        ]);
        insta::assert_snapshot!(shown, @r"
        ok      libtorch  2.11.0
        broken  store     cannot write to /
                          to mend: --store DIR
        ");
    }
}
