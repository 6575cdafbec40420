//! `describe`: sentences about the classes by a language model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::EXIT_CODES;
use super::align::{Side, align};
use super::common::{Common, runtime};
use super::printer::Printer;
use crate::cli::signal;
use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::language_model::Usage;
use crate::pipeline::describe::{Outcome, Plan, Wanted, describe, plan};
use crate::pipeline::run::Options;
use crate::stage::ask::Sentence;
use crate::stop::Stop;
use crate::text::list::{SHOWN, some_of};
use crate::text::numbers::{count, counted};
use crate::text::shell;

const LONG_ABOUT: &str = "\
Asks a language model what each class looks like, and puts its sentences into the file that `text.descriptions` names, \
which the next run reads. The server is any that speaks OpenAI's protocol (POST /chat/completions): OpenAI, vLLM, Ollama, \
llama.cpp. Settings are in the table [describe] of the pipeline file: the model, the domain of the questions, the number of \
sentences.

Every answer is stored as it comes, in the table `llm_answers`, and is not asked for again: a second call asks nothing, and \
one class more asks about one. Sentences are cleaned, and what is set aside (doubles, refusals, names of other classes, too \
long for the text tower) stands with its reason in the table `llm_sentences`. What you write, change or take out in the file \
stays so, and what is there of earlier answers stays until others stand in its place.

Environment:
  OPENAI_API_KEY   the key; it is sent to OpenAI, to OPENAI_BASE_URL and to this machine alone
  OPENAI_BASE_URL  the server, e.g. http://localhost:11434/v1, unless describe.endpoint names one";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe describe birds.toml --set describe.model=gpt-4.1-mini --dry-run
      How many questions, tokens and dollars.
  microclip-pipe describe birds.toml
      Asks, and fills the file; then `microclip-pipe run birds.toml` reads it.
  microclip-pipe describe birds.toml --contrast
      Asks what tells those classes apart that the last run confuses.
  microclip-pipe describe birds.toml --classes \"house wren\" --again
      Other answers about one class.";

/// Ask a language model for sentences about the classes
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Describe {
    #[command(flatten)]
    common: Common,

    /// Print what would be asked, and about how many tokens it takes; ask nothing
    ///
    /// Tokens are estimated: one for four characters of a question, and for an answer what its
    /// sentences took so far, or 30 each.
    #[arg(long)]
    dry_run: bool,

    /// Ask what tells look-alikes apart, for the N pairs that the newest run confuses most
    ///
    /// They are those of the view `look_alikes`, by the pseudo-labels and answers that moved
    /// between them, without looking at labels. The sentences are added to those of before.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    contrast: Option<u32>,

    /// Ask about these classes alone, even if their names are numbers or codes
    #[arg(long, value_name = "NAME", num_args = 1..)]
    classes: Vec<String>,

    /// Ask again what was answered already; the new sentences replace those of the old answers
    #[arg(long)]
    again: bool,

    /// Write the sentences to FILE instead of the file that the pipeline names
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Describe {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let spec = self.common.load_without_sentences()?;
        let wanted = Wanted {
            classes: self.classes.clone(),
            again: self.again,
            contrast: self.contrast.map(|most| most as usize),
            output: self.output.clone(),
        };
        if self.dry_run {
            return printer.result(&planned(&spec, &runtime()?.block_on(plan(&spec, &wanted))?));
        }
        let options = Options { stop: Stop::default(), progress: printer.progress(), cluster: None };
        signal::watch(options.stop.clone(), options.progress.clone())?;
        let outcome = runtime()?.block_on(describe(&spec, &wanted, &options))?;
        printer.result(&came_of(&spec, &outcome))?;
        outcome.notes.iter().for_each(|note| printer.note(note));
        let Outcome { ended, lacking, unasked, classes, .. } = outcome;
        let pipeline = self.common.pipeline.to_string_lossy();
        let pipeline = shell::word(&pipeline);
        if !unasked.is_empty() {
            printer.note(&format!(
                "{}, and a run is refused until all have one: microclip-pipe describe {pipeline} asks about them",
                without(&unasked, classes)
            ));
        }
        match (ended, lacking.as_slice()) {
            (Some(error), []) => Err(error),
            (Some(error), lacking) => {
                printer.note(&without(lacking, classes));
                Err(error)
            }
            (None, []) => Ok(()),
            (None, lacking) => Err(Error::new(Kind::Network, without(lacking, classes)).hint(format!(
                "microclip-pipe sql {} \"SELECT class, reason, sentence FROM llm_sentences WHERE reason IS NOT NULL\" says what was \
                 set aside (describe.names = \"any\" keeps what names a class), and SELECT class, problem FROM llm_answers WHERE problem IS \
                 NOT NULL what was not answered; `describe` asks that again, with --again all",
                pipeline
            ))),
        }
    }
}

fn without(lacking: &[String], classes: usize) -> String {
    let (many, names) = (lacking.len(), some_of(lacking, SHOWN));
    let lack = if many == 1 { "lacks" } else { "lack" };
    format!("{many} of {} {lack} a sentence: {names}", counted(classes as u64, "class"))
}

/// Writes what would be asked, and the first question.
fn planned(spec: &Spec, plan: &Plan) -> String {
    let Plan { host, model, classes, cached, questions, usage, pairs } = plan;
    let about = match pairs.len() {
        0 => counted(*classes as u64, "class"),
        many => format!("{} of look-alikes", counted(many as u64, "pair")),
    };
    let asked: usize = questions.iter().map(|question| question.wanted).sum();
    let mut lines = vec![
        ("model", format!("{model} at {host}")),
        ("about", about),
        ("questions", format!("{} to ask, {} answered already", count(questions.len() as u64), count(*cached as u64))),
        ("sentences", format!("{} to ask for", count(asked as u64))),
        ("tokens", tokens(*usage)),
        ("cost", cost(spec, *usage)),
    ];
    for (one, other) in pairs.iter().take(SHOWN) {
        lines.push(("pair", format!("{one}, {other}")));
    }
    let first =
        questions.first().map(|question| format!("\nthe first question:\n{}\n", question.text)).unwrap_or_default();
    format!("{}{first}", aligned(lines))
}

/// Writes what came of asking.
fn came_of(spec: &Spec, outcome: &Outcome) -> String {
    let Outcome { file, classes, described, asked, cached, sentences, in_file, usage, .. } = outcome;
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in sentences.iter().filter_map(|Sentence { reason, .. }| reason.as_deref()) {
        // What stands behind a colon differs from sentence to sentence.
        *reasons.entry(reason.split(':').next().unwrap_or(reason)).or_default() += 1;
    }
    let aside: u64 = reasons.values().sum();
    let why: Vec<String> = reasons.iter().map(|(reason, many)| format!("{many} {reason}")).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
    aligned(vec![
        ("questions", format!("{} asked, {} answered already", count(*asked as u64), count(*cached as u64))),
        ("tokens", tokens(*usage)),
        ("cost", cost(spec, *usage)),
        ("set aside", format!("{}{why}", count(aside))),
        (
            "sentences",
            format!(
                "{} about {} of {}",
                count(*in_file as u64),
                count(*described as u64),
                counted(*classes as u64, "class")
            ),
        ),
        ("file", file.display().to_string()),
    ])
}

fn tokens(usage: Usage) -> String {
    let about = if usage.estimated { ", estimated" } else { "" };
    format!("{} read, {} written{about}", count(usage.read), count(usage.written))
}

fn cost(spec: &Spec, usage: Usage) -> String {
    match spec.describe.prices().of(usage) {
        Some(cost) => format!("${cost:.4}"),
        None => "not known: describe.price_in and describe.price_out are not set".to_owned(),
    }
}

fn aligned(lines: Vec<(&str, String)>) -> String {
    let rows: Vec<Vec<String>> = lines.into_iter().map(|(what, text)| vec![what.to_owned(), text]).collect();
    align(&[Side::Left, Side::Left], &rows)
}
