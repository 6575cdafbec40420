//! `cache`: what the store holds, whether it is intact, and what can be removed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueHint};
use jiff::Timestamp;

use super::EXIT_CODES;
use super::align::{Side, align};
use super::common::Common;
use super::printer::Printer;
use super::size::{self, in_words};
use crate::error::{Error, Kind, Result};
use crate::objects::Address;
use crate::pipeline::wait_for_lock;
use crate::runs::holdings::{Examined, examine, holdings};
use crate::runs::references::{References, Reuse, readers_of_priors};
use crate::store::inventory::{self, Holding, Removed};
use crate::store::{Store, files};
use crate::text::nearest::nearest;
use crate::text::numbers::counted;

const LONG_ABOUT: &str = "\
Looks after the store: what it holds, whether every file is as it was written, and what can go.

A store is shared by pipelines: embeddings are kept by what they depend on (a space), so that pipelines with the same \
model and preprocessing share them. A run removes nothing but files that it replaces itself and its own logits that `adapt.keep` does not keep; these \
verbs remove what you tell them to, and never a file that this program did not write.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe cache ls pipelines/flowers.toml
      What the store holds, and what of it the pipeline uses.
  microclip-pipe cache verify pipelines/flowers.toml
      Compares every file with its checksum.
  microclip-pipe cache gc pipelines/flowers.toml --older-than 30 --dry-run
      What the pipeline does not refer to, and no run has used for 30 days.
  microclip-pipe cache rm pipelines/flowers.toml quarantine
      Removes what was set aside.";

/// List, verify and clear what the store holds
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Cache {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// List what the store holds, and whether the pipeline uses it
    ///
    /// A line for each table and partition: a dataset, a space of embeddings, or a run. `yes` in
    /// the last column says that the next run reads it; otherwise it says what differs.
    Ls(Ls),
    /// Compare every file with its checksum
    ///
    /// Names each file that is not as it was written, and then fails. Nothing is changed: the next
    /// run that comes across such a file moves it to the folder `quarantine` of the store, and
    /// computes what was in it anew.
    Verify(Ls),
    /// Remove what the pipeline does not refer to, by age, by size, or all of it
    ///
    /// What belongs to the pipeline (its dataset, its spaces, all its runs) is never removed, nor
    /// what belongs to those named with --also. At least one of --unreferenced, --older-than and
    /// --max-size says what goes of the rest.
    Gc(Gc),
    /// Remove what has one of these names, as `ls` shows them, from all tables
    Rm(Rm),
}

#[derive(Debug, Args)]
struct Ls {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Gc {
    #[command(flatten)]
    common: Common,

    /// Keep also what this pipeline refers to; repeatable
    #[arg(long, value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    also: Vec<PathBuf>,

    /// All that no named pipeline refers to
    #[arg(long)]
    unreferenced: bool,

    /// What no run has used for so many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,

    /// The longest unused first, until the store is at most so large, e.g. 500MB or 20GB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_size: Option<u64>,

    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Rm {
    #[command(flatten)]
    common: Common,

    /// Names of datasets, spaces or runs; `quarantine` for what was set aside
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl Cache {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        match &self.task {
            Task::Ls(ls) => ls.list(printer),
            Task::Verify(ls) => ls.verify(printer),
            Task::Gc(gc) => gc.execute(printer),
            Task::Rm(rm) => rm.execute(printer),
        }
    }
}

impl Ls {
    fn list(&self, printer: &Printer) -> Result<()> {
        let spec = self.common.load_without_sentences()?;
        let store = Store::open_read(&spec.store)?;
        let found = holdings(&store)?;
        let references = References::of(&spec, &store);
        if let Err(error) = &references {
            printer.note(&format!("warning: what the pipeline uses is not known: {error}"));
        }
        let reuse = |holding: &Holding| match &references {
            Err(_) => "not known".to_owned(),
            Ok(references) => match references.reuse(holding) {
                Reuse::Yes => "yes".to_owned(),
                Reuse::Belongs(why) | Reuse::No(why) => format!("no: {why}"),
            },
        };
        printer.result(&table(&found, reuse))
    }

    fn verify(&self, printer: &Printer) -> Result<()> {
        let store = Store::open_read(&self.common.load_without_sentences()?.store)?;
        let Examined { files, bytes, unsound } = examine(&store)?;
        let lines: Vec<String> = unsound.iter().map(|(path, why)| format!("{}: {why}", files::shown(path))).collect();
        if lines.is_empty() {
            return printer.result(&format!(
                "{}, {}: all as they were written",
                counted(files as u64, "file"),
                in_words(bytes)
            ));
        }
        printer.result(&lines.join("\n"))?;
        let what = format!("{} of {files} files cannot be relied on", lines.len());
        Err(Error::new(Kind::Store, what)
            .hint("the next run sets aside those it needs, and computes what was in them anew"))
    }
}

impl Gc {
    fn execute(&self, printer: &Printer) -> Result<()> {
        let Gc { common, also, unreferenced, older_than, max_size, dry_run } = self;
        if !unreferenced && older_than.is_none() && max_size.is_none() {
            return Err(Error::new(Kind::Usage, "nothing says what is to go")
                .hint("name at least one of --unreferenced, --older-than DAYS and --max-size SIZE"));
        }
        let spec = common.load()?;
        with_store(&spec.store, printer, *dry_run, |store| {
            let mut references = vec![References::of(&spec, store)?];
            for file in also {
                references.push(References::of(&crate::config::load(file, &[])?, store)?);
            }
            let found = holdings(store)?;
            let total: u64 = found.iter().map(|holding| holding.bytes).sum();
            let mut free = unused(&found, &references);
            let now = SystemTime::now();
            let age =
                |holding: &Holding| holding.used.and_then(|used| now.duration_since(used).ok()).unwrap_or_default();
            let readers = readers_of_priors(store)?;
            // A dataset or a run goes as a whole, so its most recently used table counts. A prior
            // is used by the runs that read it, and goes after the last of them.
            let oldest_first = |name: &str| {
                let readers = readers.get(name).into_iter().flatten().map(String::as_str);
                std::iter::once(name).chain(readers).map(|name| free_age(&found, name, age)).min().unwrap_or_default()
            };
            free.sort_by_key(|name| (std::cmp::Reverse(oldest_first(name)), readers.contains_key(*name)));
            let mut excess = max_size.map_or(0, |max| total.saturating_sub(max));
            let goes = |name: &String| {
                let bytes: u64 =
                    found.iter().filter(|holding| &holding.name == name).map(|holding| holding.bytes).sum();
                let aged =
                    older_than.is_some_and(|days| oldest_first(name) >= Duration::from_secs(86_400 * u64::from(days)));
                let goes = *unreferenced || aged || excess > 0;
                excess = if goes { excess.saturating_sub(bytes) } else { excess };
                goes
            };
            let names: BTreeSet<String> = free.iter().map(|name| (*name).to_owned()).filter(goes).collect();
            remove(&found, &names, *dry_run, printer)
        })
    }
}

/// Returns the names that no pipeline refers to.
fn unused<'a>(found: &'a [Holding], references: &[References]) -> Vec<&'a str> {
    let referred = |holding: &Holding| references.iter().any(|r| !matches!(r.reuse(holding), Reuse::No(_)));
    let kept: BTreeSet<&str> = found.iter().filter(|h| referred(h)).map(|h| h.name.as_str()).collect();
    // What was set aside is left for a person to look at.
    let names = found.iter().filter(|h| h.table != crate::store::lock::QUARANTINE).map(|h| h.name.as_str());
    names.filter(|name| !kept.contains(name)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns how long nothing of a name was used.
fn free_age(found: &[Holding], name: &str, age: impl Fn(&Holding) -> Duration) -> Duration {
    found.iter().filter(|holding| holding.name == name).map(age).min().unwrap_or_default()
}

impl Rm {
    fn execute(&self, printer: &Printer) -> Result<()> {
        let spec = self.common.load_without_sentences()?;
        with_store(&spec.store, printer, self.dry_run, |store| {
            let found = holdings(store)?;
            let known: BTreeSet<&str> = found.iter().map(|holding| holding.name.as_str()).collect();
            if let Some(unknown) = self.names.iter().find(|name| !known.contains(name.as_str())) {
                let error = Error::new(Kind::Usage, format!("the store has nothing of the name '{unknown}'"));
                let near = nearest(unknown, known.into_iter().map(|name| (name, name)));
                return Err(error
                    .hint(near.map_or("`cache ls` shows the names".to_owned(), |n| format!("did you mean '{n}'?"))));
            }
            remove(&found, &self.names.iter().cloned().collect(), self.dry_run, printer)
        })
    }
}

/// Does some work on the store, keeping runs away from it meanwhile; it is refused if one works on
/// it, unless the work is only `looking`.
fn with_store(
    path: &std::path::Path,
    printer: &Printer,
    looking: bool,
    work: impl FnOnce(&Store) -> Result<()>,
) -> Result<()> {
    // Opening a store on objects makes its folder.
    if looking || !(path.exists() || Address::in_place_of(path).is_some()) {
        return work(&Store::open_read(path)?);
    }
    let _held = wait_for_lock::alone(path, &printer.progress())?;
    // Opened for reading, since what is removed need not be compared with its checksum first.
    work(&Store::open_read(path)?)
}

/// Removes what has these names, and prints what was removed.
fn remove(found: &[Holding], names: &BTreeSet<String>, dry_run: bool, printer: &Printer) -> Result<()> {
    let (mut all, mut lines) = (Removed::default(), Vec::new());
    for holding in found.iter().filter(|holding| names.contains(&holding.name)) {
        let Holding { table, name, files, bytes, .. } = holding;
        let removed = if dry_run {
            Removed { files: files.len(), bytes: *bytes, left: Vec::new() }
        } else {
            inventory::remove(holding)?
        };
        let size = in_words(removed.bytes);
        lines.push(vec![table.clone(), name.clone(), counted(removed.files as u64, "file"), size]);
        all.files += removed.files;
        all.bytes += removed.bytes;
        all.left.extend(removed.left);
    }
    all.left
        .iter()
        .for_each(|path| printer.note(&format!("left alone, as this program did not write it: {}", path.display())));
    let (done, files) = (if dry_run { "would remove" } else { "removed" }, counted(all.files as u64, "file"));
    let sum = format!("{done} {files}, {}", in_words(all.bytes));
    printer.result(&format!("{}{sum}", align(&[Side::Left, Side::Left, Side::Right, Side::Right], &lines)))
}

/// Writes a line for each holding.
fn table(found: &[Holding], reuse: impl Fn(&Holding) -> String) -> String {
    let titles = ["table", "name", "parts", "rows", "size", "last use", "used by the next run"];
    let mut lines = vec![titles.map(str::to_owned).to_vec()];
    for holding in found {
        let used = holding.used.and_then(|used| Timestamp::try_from(used).ok());
        lines.push(vec![
            holding.table.clone(),
            holding.name.clone(),
            holding.files.len().to_string(),
            holding.rows.map_or("-".to_owned(), |rows| rows.to_string()),
            in_words(holding.bytes),
            used.map_or("-".to_owned(), |used| used.strftime("%Y-%m-%d %H:%M").to_string()),
            reuse(holding),
        ]);
    }
    let sides = [Side::Left, Side::Left, Side::Right, Side::Right, Side::Right, Side::Left, Side::Left];
    let bytes = found.iter().map(|holding| holding.bytes).sum();
    let files: usize = found.iter().map(|holding| holding.files.len()).sum();
    let files = counted(files as u64, "file");
    format!("{}{files}, {}", align(&sides, &lines), in_words(bytes))
}
