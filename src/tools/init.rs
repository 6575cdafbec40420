//! Writes a first pipeline file for a set of pictures.

mod domain;
mod model;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config;
use crate::error::{Context, Error, Kind, Result};
use crate::hub::Name;
use crate::source::{self, Dataset, Listing, SourceKind};
use crate::stage::ask::Domain;
use crate::stage::ingest;
use crate::text::file as text_file;
use crate::text::names::without_numbers;
use crate::text::numbers::{count, counted};
use crate::workspace::opened;
use domain::Guess;
use model::Model;

/// What to make a pipeline file from.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder of pictures, the CSV file, or the folder of Parquet files.
    pub pictures: PathBuf,
    /// The CLIP; by default the only one beside the pipeline file.
    pub model: Option<PathBuf>,
    /// The class names; by default the pictures' labels, or a list to fill in if they have none.
    pub classes: Option<PathBuf>,
    /// The sentences; by default a file to fill in.
    pub descriptions: Option<PathBuf>,
    /// The pipeline file; by default `NAME.toml` in the current folder.
    pub output: Option<PathBuf>,
    /// Whether files that exist already are overwritten.
    pub force: bool,
}

/// The files that were written.
#[derive(Debug)]
pub struct Written {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// A class list to fill in.
    pub classes: Option<PathBuf>,
    /// The names of classes whose labels are no good names.
    pub class_names: Option<PathBuf>,
    /// A file of sentences to fill in.
    pub descriptions: Option<PathBuf>,
    /// A copy of the sentences that were overwritten.
    pub kept: Option<PathBuf>,
    /// What was found and taken for granted, a line each.
    pub assumed: Vec<String>,
    /// Why a run would be refused as things are.
    pub trouble: Option<Error>,
}

/// Writes the files: all of them, or none if one cannot be written. Files that exist already are
/// only overwritten if that is wanted.
///
/// # Errors
/// Returns [`Kind::Usage`] if a file exists already, something that was named does not exist, or no
/// model is known; [`Kind::Input`] if there are no pictures, or the class names cannot be read.
pub fn init(wanted: &Wanted) -> Result<Written> {
    if let Some(name) = Name::in_place_of(&wanted.pictures) {
        return Err(Error::new(Kind::Usage, format!("{name} is not on this disk, and `init` looks at pictures")).hint(format!(
            "write a pipeline file with [dataset] kind = \"hf-parquet\" and path = \"{name}\": docs/sources.md has one"
        )));
    }
    let pictures = std::path::absolute(&wanted.pictures).at(Kind::Usage, "cannot find", &wanted.pictures)?;
    let name = name(&pictures);
    let dataset = source::guess(&pictures)?;
    let listing = source::open(&dataset)?.listing().clone();
    let Dataset { kind, path: pictures, .. } = dataset;
    let pipeline = wanted.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    let pipeline = std::path::absolute(&pipeline).at(Kind::Usage, "cannot find", &pipeline)?;
    let folder = pipeline.parent().unwrap_or(Path::new("/")).to_path_buf();
    if !folder.is_dir() {
        return Err(Error::new(Kind::Usage, format!("there is no folder {}", folder.display()))
            .hint("make it, or name another place with --output"));
    }
    if folder.to_str().is_none() {
        let what = format!("the folder {} has a name that is not UTF-8", folder.display());
        return Err(Error::new(Kind::Usage, what).hint("name another place with --output"));
    }
    let model = model::find(wanted.model.as_deref(), &folder)?;
    let classes = match &wanted.classes {
        Some(file) => {
            there("--classes", file, Path::is_file)?;
            source::class_names(file)?
        }
        None => listing.classes.clone(),
    };
    if let Some(file) = &wanted.descriptions {
        there("--descriptions", file, Path::is_file)?;
    }
    let named = if wanted.classes.is_none() { better_names(&classes) } else { None };
    // Named after the pipeline file, so that a second one for the same pictures has its own.
    let stem = self::name(&pipeline);
    let beside = |what: &str| folder.join(format!("{stem}-{what}"));
    let mut written = Written {
        classes: classes.is_empty().then(|| beside("classes.txt")),
        class_names: named.as_ref().map(|_| beside("class-names.csv")),
        descriptions: wanted.descriptions.is_none().then(|| beside("sentences.json")),
        kept: None,
        trouble: None,
        assumed: Vec::new(),
        pipeline,
    };
    let guess = domain::guess(&pictures, named.as_ref().unwrap_or(&classes))?;
    written.assumed = assumed(kind, &listing, &classes, &model, guess.as_ref());
    let domain = guess.map_or(Domain::Generic, |guess| guess.domain);
    let file = |given: &Option<PathBuf>, new: &Option<PathBuf>| {
        given.as_ref().or(new.as_ref()).map(|path| in_file(&folder, path)).transpose()
    };
    let text = pipeline_file(&Parts {
        name: &name,
        kind,
        pictures: in_file(&folder, &pictures)?,
        model: in_file(&folder, &model.path)?,
        classes: file(&wanted.classes, &written.classes)?,
        class_names: file(&None, &written.class_names)?,
        descriptions: file(&wanted.descriptions, &written.descriptions)?.unwrap_or_default(),
        to_be_filled: written.descriptions.is_some(),
        template: domain.about()?.template,
        domain,
        listing: &listing,
    });
    // The pipeline file comes last: where it is, what it names is there too.
    let files = [
        (written.classes.as_ref(), String::new()),
        (written.class_names.as_ref(), map_of(&listing.classes, named.as_deref().unwrap_or_default())?),
        (written.descriptions.as_ref(), no_sentences(named.as_ref().unwrap_or(&classes))?),
        (Some(&written.pipeline), text),
    ];
    let files: Vec<(&PathBuf, String)> = files.into_iter().filter_map(|(path, text)| Some((path?, text))).collect();
    let known: Vec<&PathBuf> = files.iter().map(|(path, _)| *path).filter(|path| path.exists()).collect();
    if let (Some((last, others)), false) = (known.split_last(), wanted.force) {
        return Err(there_already(last, others));
    }
    if let Some(path) = known.iter().find(|path| path.is_dir()) {
        return Err(Error::new(Kind::Usage, format!("{} is a folder", path.display()))
            .hint("--output names another pipeline file, or another folder for it"));
    }
    if let Some(path) = written.descriptions.as_ref().filter(|path| known.contains(path)) {
        written.kept = keep(path)?;
    }
    write(&files, wanted.force)?;
    // A list that is still to be filled in is no trouble, unless other columns may hold the labels.
    written.trouble = match (&written.classes, &listing.unlabelled) {
        (Some(_), None) => None,
        (Some(_), Some(why)) => Some(Error::new(Kind::Input, why.clone())),
        (None, _) => refusal(&written.pipeline).err(),
    };
    Ok(written)
}

/// Says what was found, and what was taken for granted where nobody said it.
fn assumed(
    kind: SourceKind,
    listing: &Listing,
    classes: &[String],
    model: &Model,
    guess: Option<&Guess>,
) -> Vec<String> {
    let Listing { items, training, .. } = *listing;
    let splits = match items.saturating_sub(training) {
        0 => "all for training".to_owned(),
        rest => format!("{} for training and {} for testing", count(training), count(rest)),
    };
    let of = match (classes.len() as u64, listing.has_labels) {
        (0, _) => "without labels".to_owned(),
        (named, true) => format!("of {}, whose labels are for measuring alone", counted(named, "class")),
        (named, false) => format!("without labels, and {} to tell apart", counted(named, "class")),
    };
    let mut lines = vec![format!("dataset.kind = \"{kind}\": {} {of}, {splits}", counted(items, "file"))];
    lines.extend(model.because.map(|why| format!("model.path = \"{}\": {why}", model.path.display())));
    if let Some(Guess { domain, by }) = guess {
        lines.push(format!("describe.domain = \"{domain}\", and a prompt to fit, by {by}"));
    }
    lines
}

/// Copies a file of sentences that is about to be overwritten, if it holds any, and returns the
/// copy's place.
fn keep(path: &Path) -> Result<Option<PathBuf>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let empty = serde_json::from_str::<BTreeMap<String, Vec<String>>>(&text);
    if empty.is_ok_and(|sentences| sentences.values().all(Vec::is_empty)) {
        return Ok(None);
    }
    let mut copy = path.as_os_str().to_owned();
    copy.push(".old");
    let copy = PathBuf::from(copy);
    std::fs::copy(path, &copy).at(Kind::System, "cannot copy", path)?;
    Ok(Some(copy))
}

/// Finds out whether a run of the pipeline would be refused for its pictures.
fn refusal(pipeline: &Path) -> Result<()> {
    let spec = config::load(pipeline, &[])?;
    let (source, settings) = opened::pictures(&spec)?;
    ingest::classes(source.as_ref(), &settings)?;
    ingest::require_training(source.as_ref())
}

/// Refuses a path of the command line that leads to nothing, or to nothing of its kind.
fn there(option: &str, path: &Path, is: fn(&Path) -> bool) -> Result<()> {
    if is(path) {
        return Ok(());
    }
    let what = if path.exists() { "is no file" } else { "does not exist" };
    Err(Error::new(Kind::Usage, format!("{option}: {} {what}", path.display()))
        .hint("relative paths start where the command is typed"))
}

fn there_already(path: &Path, others: &[&PathBuf]) -> Error {
    let more: String = others.iter().map(|other| format!("; so is {}", other.display())).collect();
    Error::new(Kind::Usage, format!("{} is there already, and is left as it is{more}", path.display()))
        .hint("--force overwrites what is there; --output names another pipeline file, or another folder for it")
}

/// Writes files under temporary names beside their places, and then renames them. If one cannot be
/// written or renamed, those that were new are removed again.
fn write(files: &[(&PathBuf, String)], force: bool) -> Result<()> {
    let mut whole = Vec::new();
    for (path, text) in files {
        whole.push((*path, text_file::beside(path, text).at(Kind::System, "cannot write", path)?));
    }
    let mut new: Vec<&PathBuf> = Vec::new();
    for (path, file) in whole {
        let is_new = !path.exists();
        let named = if force { file.persist(path) } else { file.persist_noclobber(path) };
        match named {
            Ok(_) if is_new => new.push(path),
            Ok(_) => {}
            Err(refused) => {
                new.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return match refused.error.kind() {
                    // Somebody else wrote it meanwhile.
                    ErrorKind::AlreadyExists if !force => Err(there_already(path, &[])),
                    _ => Err(refused.error).at(Kind::System, "cannot write", path),
                };
            }
        }
    }
    Ok(())
}

/// Names a pipeline after its pictures.
fn name(pictures: &Path) -> String {
    let stem = pictures.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "pictures".to_owned() } else { name.to_owned() }
}

/// Writes a path for the pipeline file, quoted as TOML: relative if it lies below the file's
/// folder, else absolute; a name on the hub as it is.
fn in_file(folder: &Path, path: &Path) -> Result<String> {
    let whole = match Name::in_place_of(path) {
        Some(_) => path.to_owned(),
        None => std::path::absolute(path).at(Kind::Usage, "cannot find", path)?,
    };
    let shown = whole.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&whole);
    let text = shown.to_str().ok_or_else(|| {
        Error::new(Kind::Usage, format!("{}: the path is not UTF-8, which TOML cannot hold", shown.display()))
            .hint("rename it")
    })?;
    Ok(toml::Value::String(text.to_owned()).to_string())
}

/// Returns names for labels that are names with numbers before them or underscores in them; `None`
/// if the labels do as they are.
fn better_names(labels: &[String]) -> Option<Vec<String>> {
    let spaced = || labels.iter().map(|label| label.replace('_', " ").trim().to_owned()).collect::<Vec<_>>();
    without_numbers(labels).or_else(|| labels.iter().any(|label| label.contains('_')).then(spaced))
}

/// Writes a table of labels and names, as CSV.
fn map_of(labels: &[String], names: &[String]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let lines =
        [("label", "name")].into_iter().chain(labels.iter().map(String::as_str).zip(names.iter().map(String::as_str)));
    let written: Result<(), csv::Error> =
        lines.into_iter().try_for_each(|(label, name)| writer.write_record([label, name]));
    written.context(Kind::Usage, || "cannot write the class names".to_owned())?;
    let bytes = writer.into_inner().unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes an empty list for each class, as JSON.
fn no_sentences(classes: &[String]) -> Result<String> {
    let empty: serde_json::Map<String, serde_json::Value> =
        classes.iter().map(|class| (class.clone(), serde_json::json!([]))).collect();
    let text =
        serde_json::to_string_pretty(&empty).context(Kind::Usage, || "cannot write the class names".to_owned())?;
    Ok(text + "\n")
}

/// What the pipeline file says; paths are quoted.
struct Parts<'a> {
    name: &'a str,
    kind: SourceKind,
    pictures: String,
    model: String,
    classes: Option<String>,
    class_names: Option<String>,
    descriptions: String,
    /// Whether the sentences are still to be written.
    to_be_filled: bool,
    /// What the classes are.
    domain: Domain,
    /// The prompt that says so.
    template: String,
    listing: &'a Listing,
}

fn pipeline_file(parts: &Parts<'_>) -> String {
    let Parts {
        name,
        kind,
        pictures,
        model,
        classes,
        class_names,
        descriptions,
        to_be_filled,
        domain,
        template,
        listing,
    } = parts;
    let found = match listing.classes.len() {
        0 => format!("{} files without labels.", count(listing.items)),
        classes => format!("{} files of {classes} classes. Labels are for evaluation alone.", count(listing.items)),
    };
    let notes = listing.notes.iter().chain(&listing.unlabelled);
    let found: String = std::iter::once(&found)
        .chain(notes)
        .map(|line| format!("# {}\n", line.replace(char::is_control, " ")))
        .collect();
    let classes = match classes.as_ref().or(class_names.as_ref()) {
        Some(names) if class_names.is_some() => format!(
            "class_names = {names}    # what each label is called: numbers and underscores are taken off, correct the rest"
        ),
        Some(classes) => format!("classes = {classes}    # one name a line"),
        None => "# classes = \"classes.txt\"    # one name a line, where the names of the folders are not those of the classes".to_owned(),
    };
    let prototypes = match to_be_filled {
        true => {
            "# The filled templates alone until there are sentences, which `microclip-pipe describe` asks a language model for.\n\
             prototypes = \"auto\"\n"
        }
        false => "",
    };
    format!(
        "# Only what differs from the defaults need be said: `microclip-pipe schema --settings` explains every key.\n\
         # Relative paths start at this file's folder.\n\
         name = \"{name}\"\n\
         # store = \".store\"    # tables and checkpoints; several pipelines may share it\n\
         \n\
         {found}\
         [dataset]\n\
         kind = \"{kind}\"\n\
         path = {pictures}\n\
         {classes}\n\
         # tolerance = 0.05    # the share of files that may be rejected\n\
         \n\
         [model]\n\
         path = {model}\n\
         \n\
         [text]\n\
         # {{\"class name\": [\"a sentence about what it looks like\", ...]}}, as a language model writes them.\n\
         descriptions = {descriptions}\n\
         # Say what kind of thing the classes are: \"a photo of a {{}}, a type of bird.\"\n\
         templates = [\"{template}\"]\n\
         {prototypes}\
         \n\
         [describe]\n\
         # What a language model is asked about the classes; OPENAI_API_KEY, and OPENAI_BASE_URL for another server, say whom.\n\
         domain = \"{domain}\"\n\
         # model = \"NAME\"    # one that the server has\n\
         \n\
         [adapt]\n\
         # \"recommended\" trains on cached features, in seconds; \"paper\" trains the tower, for a GPU or a patient evening.\n\
         recipe = \"recommended\"\n\
         # epochs = 15\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_pipeline_files_allow() {
        for (pictures, expected) in [
            ("/a/Birds of 2024", "birds-of-2024"),
            ("/a/b.csv", "b"),
            ("/a/Blümchen", "bl-mchen"),
            ("/", "pictures"),
            ("/a/___", "pictures"),
        ] {
            assert_eq!(name(Path::new(pictures)), expected);
        }
    }

    #[test]
    fn paths_are_relative_where_they_can_be() {
        let folder = Path::new("/data/mine");
        assert_eq!(in_file(folder, Path::new("/data/mine/pictures")).unwrap(), "\"pictures\"");
        assert_eq!(in_file(folder, Path::new("/data/other")).unwrap(), "\"/data/other\"");
        assert_eq!(in_file(folder, Path::new("/data/mine")).unwrap(), "\"/data/mine\"");
    }
}
