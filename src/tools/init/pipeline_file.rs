//! The text of a first pipeline file.

use crate::source::{Listing, SourceKind};
use crate::stage::ask::Domain;
use crate::text::list::{SHOWN, some_of};
use crate::text::numbers::count;

/// What the pipeline file says; paths are quoted.
pub(super) struct Parts<'a> {
    pub(super) name: &'a str,
    pub(super) kind: SourceKind,
    pub(super) pictures: String,
    /// The folder in which the paths of a list start, if not in its own.
    pub(super) root: Option<String>,
    /// The column of a list that has its paths, if it is not called so.
    pub(super) image_column: Option<String>,
    pub(super) model: String,
    pub(super) classes: Option<String>,
    pub(super) class_names: Option<String>,
    pub(super) descriptions: String,
    /// Whether the labels are numbers, so that names are still to be written.
    pub(super) numbered: bool,
    /// Whether the sentences are still to be written.
    pub(super) to_be_filled: bool,
    /// What the classes are.
    pub(super) domain: Domain,
    /// The prompt that says so.
    pub(super) template: String,
    /// What was found; `None` if the pictures have not been fetched.
    pub(super) listing: Option<&'a Listing>,
}

/// Writes the file.
pub(super) fn pipeline_file(parts: &Parts<'_>) -> String {
    let Parts {
        name,
        kind,
        pictures,
        root,
        image_column,
        model,
        classes,
        class_names,
        descriptions,
        numbered,
        to_be_filled,
        domain,
        template,
        listing,
    } = parts;
    let found = match listing {
        None => "On the hub: its classes and splits are known when a run has fetched it.".to_owned(),
        Some(found) if found.classes.is_empty() => format!("{} files without labels.", count(found.items)),
        Some(Listing { items, classes, .. }) => {
            format!("{} files of {} classes. Labels are for evaluation alone.", count(*items), classes.len())
        }
    };
    let notes =
        listing.iter().flat_map(|listing| listing.no_classes.iter().chain(&listing.notes).chain(&listing.unlabelled));
    let found: String = std::iter::once(&found)
        .chain(notes)
        .map(|line| format!("# {}\n", line.replace(char::is_control, " ")))
        .collect();
    let root = match root {
        Some(root) => format!("root = {root}    # where the paths of the list start\n"),
        None => String::new(),
    };
    let image_column = match image_column {
        Some(column) => format!("image_column = {column}    # the column with the paths\n"),
        None => String::new(),
    };
    let label_column = match listing.map_or(&[][..], |listing| &listing.perhaps_labels) {
        [] => String::new(),
        [first, others @ ..] => {
            let or = match others {
                [] => String::new(),
                others => format!("; others are {}", some_of(others, SHOWN)),
            };
            let first = toml::Value::String(first.clone()).to_string();
            format!(
                "# label_column = {first}    # uncomment it if it holds the labels, which are for measuring alone{or}\n"
            )
        }
    };
    let classes = match classes.as_ref().or(class_names.as_ref()) {
        Some(names) if *numbered => format!(
            "class_names = {names}    # what each label is called: write a name in place of its number"
        ),
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
         {root}{image_column}{label_column}\
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
