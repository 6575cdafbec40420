//! Writes a first pipeline file for a set of pictures.

mod domain;
mod files;
mod model;
mod names;
mod pipeline_file;

use std::path::{Path, PathBuf};

use crate::config;
use crate::error::{Context, Error, Kind, Result};
use crate::hub::{Name, RepoType};
use crate::objects::{self, Address};
use crate::source::{self, Dataset, Guess, Listing, SourceKind};
use crate::stage::ask::Domain;
use crate::stage::ingest;
use crate::stage::progress::{Progress, Silent};
use crate::stop::Stop;
use crate::text::names::{Apart, are_numbers};
use crate::text::numbers::{count, counted};
use crate::workspace::{on_hub, opened};
use files::{keep, says_nothing, there_already, write};
use names::{better_names, map_of, no_sentences};
use pipeline_file::{Parts, pipeline_file};

/// What to make a pipeline file from.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder of pictures, the list, the shards, the Parquet, or a data set on the hub.
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
    /// Whether the labels are numbers, so that names are still to be written in their place.
    pub numbered: bool,
    /// Whether the pictures are on the hub, and have not been fetched.
    pub unfetched: bool,
    /// Whether there is no sentence yet.
    pub unwritten: bool,
    /// Copies of files that were overwritten.
    pub kept: Vec<PathBuf>,
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
/// Fails as [`objects::fetch`] does, where the pictures have an address.
pub fn init(wanted: &Wanted, stop: &Stop, progress: &dyn Progress) -> Result<Written> {
    let Found { name, dataset, mut listing, because } = found(&wanted.pictures, stop, progress)?;
    let mut alike = Vec::new();
    if let Some(listing) = &mut listing {
        // Counted as a run counts them.
        let Apart { names, notes, .. } = Apart::of(&listing.classes);
        listing.classes = names;
        listing.notes.extend(notes.iter().cloned());
        alike = notes;
    }
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
    let labels = listing.as_ref().map(|listing| listing.classes.clone()).unwrap_or_default();
    let classes = match &wanted.classes {
        Some(file) => {
            there("--classes", file, Path::is_file)?;
            source::class_names(file)?
        }
        None => labels.clone(),
    };
    let unwritten = match &wanted.descriptions {
        Some(file) => {
            there("--descriptions", file, Path::is_file)?;
            std::fs::read(file).is_ok_and(|bytes| says_nothing(&bytes))
        }
        None => true,
    };
    let numbered = wanted.classes.is_none() && are_numbers(&classes);
    let named = match wanted.classes {
        None if numbered => Some(classes.clone()),
        None => better_names(&classes),
        Some(_) => None,
    };
    // Where a column may hold labels, it is for the user to choose it.
    let lacking = listing.as_ref().filter(|_| classes.is_empty());
    // Named after the pipeline file, so that a second one for the same pictures has its own.
    let stem = self::name(&pipeline);
    let beside = |what: &str| folder.join(format!("{stem}{what}"));
    let mut written = Written {
        classes: lacking.is_some_and(|listing| listing.perhaps_labels.is_empty()).then(|| beside(source::CLASSES_FILE)),
        class_names: named.as_ref().map(|_| beside(source::CLASS_NAMES_FILE)),
        descriptions: wanted.descriptions.is_none().then(|| beside(source::SENTENCES_FILE)),
        numbered,
        unfetched: listing.is_none(),
        unwritten,
        kept: Vec::new(),
        trouble: None,
        assumed: Vec::new(),
        pipeline,
    };
    let guess = domain::guess(&dataset.path, named.as_ref().unwrap_or(&classes))?;
    let domain = guess.as_ref().map_or(Domain::Generic, |guess| guess.domain);
    written.assumed.push(match &listing {
        Some(listing) => seen(dataset.kind, listing, &classes),
        None => format!(
            "dataset.path = \"{}\": its classes and splits are known when it has been fetched",
            dataset.path.display()
        ),
    });
    written.assumed.extend(because);
    written.assumed.extend(listing.as_ref().and_then(|listing| listing.no_classes.clone()));
    written.assumed.extend(alike);
    written.assumed.extend(model.because.map(|why| format!("model.path = \"{}\": {why}", model.path.display())));
    written.assumed.push(domain::in_words(guess.as_ref()));
    let file = |given: &Option<PathBuf>, new: &Option<PathBuf>| {
        given.as_ref().or(new.as_ref()).map(|path| in_file(&folder, path)).transpose()
    };
    let text = pipeline_file(&Parts {
        name: &name,
        kind: dataset.kind,
        pictures: in_file(&folder, &dataset.path)?,
        root: dataset.root.as_ref().map(|root| in_file(&folder, root)).transpose()?,
        image_column: dataset.image_column.clone().map(|column| toml::Value::String(column).to_string()),
        model: in_file(&folder, &model.path)?,
        classes: file(&wanted.classes, &written.classes)?,
        class_names: file(&None, &written.class_names)?,
        descriptions: file(&wanted.descriptions, &written.descriptions)?.unwrap_or_default(),
        numbered,
        to_be_filled: unwritten,
        template: domain.about()?.template,
        domain,
        listing: listing.as_ref(),
    });
    // Sentences are about names; about numbers there are none.
    let about = match numbered {
        true => &[],
        false => named.as_deref().unwrap_or(&classes),
    };
    // The pipeline file comes last: where it is, what it names is there too.
    let files = [
        (written.classes.as_ref(), String::new()),
        (written.class_names.as_ref(), map_of(&labels, named.as_deref().unwrap_or_default())?),
        (written.descriptions.as_ref(), no_sentences(about)?),
        (Some(&written.pipeline), text),
    ];
    let files: Vec<(&PathBuf, String)> = files.into_iter().filter_map(|(path, text)| Some((path?, text))).collect();
    let known: Vec<&(&PathBuf, String)> = files.iter().filter(|(path, _)| path.exists()).collect();
    if let Some((path, _)) = known.iter().find(|(path, _)| path.is_dir()) {
        return Err(Error::new(Kind::Usage, format!("{} is a folder", path.display()))
            .hint("--output names another pipeline file, or another folder for it"));
    }
    if let (Some(((last, _), others)), false) = (known.split_last(), wanted.force) {
        let others: Vec<&PathBuf> = others.iter().map(|(path, _)| *path).collect();
        return Err(there_already(last, &others));
    }
    for (path, text) in known {
        written.kept.extend(keep(path, text)?);
    }
    write(&files, wanted.force)?;
    // A list that is still to be filled in is no trouble.
    written.trouble = match &written.classes {
        Some(_) => None,
        None => refusal(&written.pipeline).err(),
    };
    // A run notes it too; what it refuses says so itself.
    let unlabelled = listing.and_then(|listing| listing.unlabelled).filter(|_| written.trouble.is_none());
    written.assumed.extend(unlabelled.map(|why| format!("the pictures have no labels: {why}")));
    Ok(written)
}

/// What was found of the pictures.
struct Found {
    /// The name of a pipeline for them.
    name: String,
    dataset: Dataset,
    /// `None` if they are on the hub, and have not been fetched.
    listing: Option<Listing>,
    /// What could have been taken otherwise.
    because: Vec<String>,
}

/// Fetches the pictures that a user names by an address, and returns it, and where they are then;
/// `None` if it is none.
fn on_objects(wanted: &Path, stop: &Stop, progress: &dyn Progress) -> Result<Option<(Address, PathBuf)>> {
    let Some(text) = wanted.to_str().filter(|_| !wanted.exists()) else { return Ok(None) };
    let Some(address) = Address::parse(text) else { return Ok(None) };
    let address = address.map_err(|why| {
        // A password is shown to nobody.
        let shown = if text.contains('@') { "this" } else { text };
        Error::new(Kind::Usage, format!("{shown} is an address, {why}")).hint(objects::FORMS)
    })?;
    let name = PathBuf::from(address.to_string());
    objects::fetch(&address, source::wanted(source::kind_by_name(&name)), stop, &progress)?;
    Ok(Some((address, objects::local(&name)?)))
}

/// Refuses a list on a store of objects whose pictures lie elsewhere than the list says.
fn require_root(dataset: &Dataset, address: &Address) -> Result<()> {
    let Some(root) = &dataset.root else { return Ok(()) };
    let (list, root) = (objects::named(&dataset.path, address), objects::named(root, address));
    let what = format!("the pictures of {} lie in {}, and not where the list says", list.display(), root.display());
    Err(Error::new(Kind::Input, what).hint("a list on a store of objects starts where its pictures do: put it there"))
}

/// Finds the pictures that a user names.
fn found(wanted: &Path, stop: &Stop, progress: &dyn Progress) -> Result<Found> {
    if let Some(name) = wanted.to_str().and_then(Name::parse) {
        let refused =
            |what: String| Error::new(Kind::Usage, format!("{} is a name on the hub {what}", wanted.display()));
        let named = name.map_err(refused)?;
        if named.of() == RepoType::Model {
            let other = format!("pictures are named hf://datasets/{}; a model is named with --model", named.id());
            return Err(refused("of a model".to_owned()).hint(other));
        }
        let dataset = Dataset::new(SourceKind::HfParquet, PathBuf::from(named.to_string()));
        // What is whole in the cache is read there.
        let listing = source::open(&dataset).ok().map(|source| source.listing().clone());
        return Ok(Found { name: self::name(Path::new(named.id())), dataset, listing, because: Vec::new() });
    }
    let (address, pictures) = match on_objects(wanted, stop, progress)? {
        Some((address, fetched)) => (Some(address), fetched),
        None => (None, std::path::absolute(wanted).at(Kind::Usage, "cannot find", wanted)?),
    };
    let Guess { dataset, mut because } = source::guess(&pictures)?;
    if let Some(address) = &address {
        require_root(&dataset, address)?;
    }
    let listing = source::open(&dataset)?.listing().clone();
    let found = |mut dataset: Dataset, listing, mut because: Vec<String>| {
        // What is read here is named as the user named it.
        if let Some(address) = &address {
            let (here, there) = (pictures.to_string_lossy(), address.to_string());
            because.iter_mut().for_each(|line| *line = line.replace(&*here, &there));
            dataset.path = objects::named(&dataset.path, address);
        }
        let called = address.as_ref().map_or(pictures.clone(), |address| PathBuf::from(address.to_string()));
        Found { name: name(&called), dataset, listing: Some(listing), because }
    };
    // One class is none: the folders below may be what was meant.
    if let Some(deeper) = &listing.elsewhere {
        let inside = Dataset::new(SourceKind::Folder, deeper.clone());
        if let Ok(source) = source::open(&inside)
            && source.listing().classes.len() > 1
        {
            let (listing, shown) = (source.listing().clone(), deeper.display());
            because.push(format!("dataset.path = \"{shown}\": the first folder with several folders of pictures"));
            return Ok(found(inside, listing, because));
        }
    }
    Ok(found(dataset, listing, because))
}

/// Says what was found.
fn seen(kind: SourceKind, listing: &Listing, classes: &[String]) -> String {
    let Listing { items, training, validation, .. } = *listing;
    let test = items.saturating_sub(training).saturating_sub(validation);
    let parts = [(validation, "for validation"), (test, "for testing")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number)))
        .collect();
    let splits = match parts.as_slice() {
        [] => "all for training".to_owned(),
        [one] => format!("{} for training and {one}", count(training)),
        several => format!("{} for training, {}", count(training), several.join(" and ")),
    };
    let of = match (classes.len() as u64, listing.has_labels) {
        (0, _) => "without labels".to_owned(),
        (named, true) => format!("of {}, whose labels are for measuring alone", counted(named, "class")),
        (named, false) => format!("without labels, and {} to tell apart", counted(named, "class")),
    };
    format!("dataset.kind = \"{kind}\": {} {of}, {splits}", counted(items, "file"))
}

/// Finds out whether a run of the pipeline would be refused for its pictures.
fn refusal(pipeline: &Path) -> Result<()> {
    let spec = config::load(pipeline, &[])?;
    let (stop, silent) = (Stop::default(), Silent);
    let located = on_hub::locate(&spec, on_hub::Need::Pictures, &stop, &silent as &dyn Progress)?;
    if !located.to_fetch().is_empty() {
        return Ok(());
    }
    let (source, settings) = opened::pictures(&located.spec)?;
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
    let is_elsewhere = Name::in_place_of(path).is_some() || Address::in_place_of(path).is_some();
    let whole = match is_elsewhere {
        true => path.to_owned(),
        false => std::path::absolute(path).at(Kind::Usage, "cannot find", path)?,
    };
    let shown = whole.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&whole);
    let text = shown.to_str().ok_or_else(|| {
        Error::new(Kind::Usage, format!("{}: the path is not UTF-8, which TOML cannot hold", shown.display()))
            .hint("rename it")
    })?;
    Ok(toml::Value::String(text.to_owned()).to_string())
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
