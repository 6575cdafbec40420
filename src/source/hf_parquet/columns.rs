//! Which columns hold the pictures, their labels and their splits: those that the pipeline chooses,
//! or else those whose types and names leave no doubt.
//!
//! A table may have many other columns: ids, addresses, captions, sizes. So a column is taken for
//! labels only if it is called so, is declared to hold classes, or is the one column of text whose
//! name and values speak for nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use serde_json::Value;

use super::types::{self, Pictures};
use crate::error::{Error, Kind, Result};
use crate::source::column_names::{self, Chosen, KEYS, NAMES};
use crate::source::label::ONE_CLASS;
use crate::text::list::some_of;

/// Names of columns of pictures, the usual one first.
const IMAGES: [&str; 4] = ["image", "img", "picture", "photo"];

/// Names of columns of encoded pictures besides [`IMAGES`]: those of `webdataset` are extensions.
const BYTES: [&str; 14] = [
    "bytes",
    "image_bytes",
    "img_bytes",
    "image_data",
    "content",
    "data",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "gif",
    "bmp",
    "tif",
    "tiff",
];

/// Names of columns of labels before those of lists: CIFAR-100 has a fine and a coarse one, and
/// `webdataset` says `cls`.
const LABELS: [&str; 4] = ["label", "labels", "fine_label", "cls"];

/// Words in the names of columns of text that hold no classes.
const OTHER_WORDS: &[&str] = &[
    "id",
    "ids",
    "uuid",
    "guid",
    "key",
    "index",
    "url",
    "urls",
    "uri",
    "link",
    "href",
    "path",
    "file",
    "filename",
    "caption",
    "captions",
    "text",
    "sentence",
    "prompt",
    "description",
    "title",
    "alt",
    "comment",
    "notes",
    "question",
    "answer",
    "license",
    "licence",
    "credit",
    "author",
    "artist",
    "photographer",
    "user",
    "owner",
    "hash",
    "md5",
    "sha1",
    "sha256",
    "date",
    "time",
    "timestamp",
    "mime",
    "format",
    "extension",
];

/// Columns that are worth naming in one message.
const SHOWN: usize = 12;

/// A file's columns, and what `datasets` says of them.
pub(super) struct Described<'a> {
    pub(super) path: &'a Path,
    pub(super) schema: &'a Schema,
    /// The features of `datasets`, by column; null if the file has none.
    pub(super) features: &'a Value,
}

/// The columns of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: String,
    pub(super) label: Option<String>,
    pub(super) split: Option<String>,
    /// Columns of text one of which may hold the labels; only their values can say.
    pub(super) perhaps_labels: Vec<String>,
    /// Whether the split's column was chosen, and so must hold nothing but splits.
    pub(super) split_is_chosen: bool,
    /// What the user should know of the choice.
    pub(super) notes: Vec<String>,
    /// Why there are no labels.
    pub(super) unlabelled: Option<String>,
    /// Which columns may hold them then, as far as their types and values say.
    pub(super) choice: Vec<String>,
}

/// A column as the first file that has it declares it.
struct Column<'a> {
    name: &'a str,
    data_type: &'a DataType,
    /// What `datasets` calls its type.
    declared: Option<&'a str>,
    path: &'a Path,
}

impl Column<'_> {
    fn shown(&self) -> String {
        format!("`{}` ({})", self.name, types::name(self.data_type))
    }

    fn pictures(&self) -> Option<Pictures> {
        types::pictures(self.data_type)
    }

    fn is_called(&self, names: &[&str]) -> bool {
        names.contains(&self.name.to_lowercase().as_str())
    }
}

impl Columns {
    /// Finds the columns of a data set in the schemas of its files.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if a chosen column is missing or of a type that cannot be used, if
    /// no column holds pictures, or if several do and none is chosen.
    pub(super) fn find(files: &[Described<'_>], chosen: Chosen<'_>) -> Result<Self> {
        let columns = columns(files);
        let [image, label, split] = chosen.names;
        let mut notes = Vec::new();
        let has = |name: &str| column_names::position(name, columns.iter().map(|column| column.name)).is_some();
        let image = match image {
            // Other tables than the pipeline's may call it otherwise.
            Some(name) if !chosen.pictures_alone || has(name) => {
                chosen_column(&columns, 0, name, |c| c.pictures().is_some(), "pictures or their paths")?
            }
            _ => image_column(&columns, chosen.pictures_alone, &mut notes)?,
        };
        in_every_file(files, image.name)?;
        let image_alone = Columns {
            image: image.name.to_owned(),
            label: None,
            split: None,
            perhaps_labels: Vec::new(),
            split_is_chosen: split.is_some(),
            notes,
            unlabelled: None,
            choice: Vec::new(),
        };
        if chosen.pictures_alone {
            return Ok(image_alone);
        }
        let others: Vec<&Column<'_>> = columns.iter().filter(|c| c.name != image.name).collect();
        let split = match split {
            Some(name) => Some(chosen_column(&columns, 2, name, |c| types::is_text(c.data_type), "words for splits")?),
            None => others.iter().copied().find(|c| column_names::means_split(c.name) && types::is_text(c.data_type)),
        };
        let mut found = Columns { split: split.map(|column| column.name.to_owned()), ..image_alone };
        let usable = |column: &Column<'_>| types::is_label(column.data_type);
        match label {
            Some(name) => {
                found.label = Some(chosen_column(&columns, 1, name, usable, "one class each")?.name.to_owned())
            }
            None => found.look_for_labels(&others, &columns),
        }
        Ok(found)
    }

    fn look_for_labels(&mut self, others: &[&Column<'_>], all: &[Column<'_>]) {
        let names: Vec<&str> = LABELS.iter().chain(NAMES[1].1).copied().collect();
        let place = |column: &Column<'_>| names.iter().position(|name| *name == column.name.to_lowercase());
        let mut called: Vec<&Column<'_>> = others.iter().copied().filter(|column| place(column).is_some()).collect();
        called.sort_by_key(|column| place(column));
        let (usable, useless): (Vec<&Column<'_>>, Vec<&Column<'_>>) =
            called.into_iter().partition(|column| types::is_label(column.data_type));
        let declared =
            others.iter().copied().filter(|c| c.declared == Some("ClassLabel") && types::is_label(c.data_type));
        let declared: Vec<&Column<'_>> = declared.collect();
        let key = KEYS[1];
        if let [first, rest @ ..] = usable.as_slice() {
            self.label = Some(first.name.to_owned());
            let rest = rest.iter().chain(declared.iter().filter(|c| usable.iter().all(|u| u.name != c.name)));
            let rest: Vec<String> = rest.map(|column| column.shown()).collect();
            if !rest.is_empty() {
                let rest = some_of(&rest, SHOWN);
                self.notes.push(format!("labels are those of column `{}`, not of {rest}; {key} chooses", first.name));
            }
            return;
        }
        match declared.as_slice() {
            [] => {}
            [one] => {
                self.label = Some(one.name.to_owned());
                return;
            }
            several => {
                self.choice = several.iter().map(|column| column.name.to_owned()).collect();
                let several: Vec<String> = several.iter().map(|column| column.shown()).collect();
                let why = format!("several columns hold classes, {}: choose one with {key}", some_of(&several, SHOWN));
                self.unlabelled = Some(why);
                return;
            }
        }
        let perhaps = |c: &&&Column<'_>| {
            types::is_text(c.data_type) && Some(c.name) != self.split.as_deref() && !speaks_of_something_else(c.name)
        };
        self.perhaps_labels = others.iter().filter(perhaps).map(|column| column.name.to_owned()).collect();
        // Of text, the values say it: those of captions do not repeat.
        let numbers = |c: &&&Column<'_>| {
            types::is_label(c.data_type) && !types::is_text(c.data_type) && !speaks_of_something_else(c.name)
        };
        if useless.is_empty() {
            self.choice = others.iter().filter(numbers).map(|column| column.name.to_owned()).collect();
        }
        let shown = |columns: &[&Column<'_>]| some_of(&columns.iter().map(|c| c.shown()).collect::<Vec<_>>(), SHOWN);
        self.unlabelled = Some(match useless.as_slice() {
            [] if others.is_empty() => "there is no column beside the pictures".to_owned(),
            [] => format!(
                "no column is known to hold labels: {key} chooses one of {}",
                shown(&all.iter().filter(|c| c.name != self.image).collect::<Vec<_>>())
            ),
            useless => format!("{} cannot hold labels: {ONE_CLASS}", shown(useless)),
        });
    }
}

/// Returns every column of the files, each once.
fn columns<'a>(files: &[Described<'a>]) -> Vec<Column<'a>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut columns: Vec<Column<'a>> = Vec::new();
    for Described { path, schema, features } in files {
        for field in schema.fields() {
            let declared = features[field.name().as_str()]["_type"].as_str();
            match seen.get(field.name().as_str()) {
                // A split without labels may have a column of nothing.
                Some(place) if *columns[*place].data_type == DataType::Null => {
                    columns[*place].data_type = field.data_type()
                }
                Some(_) => {}
                None => {
                    seen.insert(field.name(), columns.len());
                    columns.push(Column { name: field.name(), data_type: field.data_type(), declared, path });
                }
            }
        }
    }
    columns
}

/// Returns the column that the key of this place names.
fn chosen_column<'c, 'a>(
    columns: &'c [Column<'a>],
    key: usize,
    name: &str,
    usable: impl Fn(&Column<'_>) -> bool,
    what: &str,
) -> Result<&'c Column<'a>> {
    let key = KEYS[key];
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let Some(place) = column_names::position(name, names.iter().copied()) else {
        let path = columns.first().map_or(Path::new(""), |column| column.path);
        return Err(Error::new(Kind::Input, format!("{} has no column `{name}`, which {key} names", path.display()))
            .hint(column_names::instead(name, &names)));
    };
    let column = &columns[place];
    if !usable(column) {
        let (path, column) = (column.path.display(), column.shown());
        return Err(Error::new(
            Kind::Input,
            format!("{path}: column {column}, which {key} names, does not hold {what}"),
        )
        .hint(listed(columns)));
    }
    Ok(column)
}

fn listed(columns: &[Column<'_>]) -> String {
    let columns: Vec<String> = columns.iter().map(Column::shown).collect();
    format!("the columns are {}", some_of(&columns, SHOWN))
}

/// Finds the column of pictures: structs of bytes and paths come first, then bytes whose column has
/// a usual name, and then bytes of another name, and text that has the name of paths. Keys that
/// choose are named unless the pictures are read alone, for a run that is there already.
fn image_column<'c, 'a>(
    columns: &'c [Column<'a>],
    pictures_alone: bool,
    notes: &mut Vec<String>,
) -> Result<&'c Column<'a>> {
    let embedded = |c: &Column<'_>| {
        matches!(c.pictures(), Some(Pictures::Struct { bytes: true, .. }))
            || (c.declared == Some("Image") && c.pictures().is_some())
    };
    let bytes = |c: &Column<'_>| c.pictures() == Some(Pictures::Bytes);
    let usual_bytes = |c: &Column<'_>| bytes(c) && (c.is_called(&IMAGES) || c.is_called(&BYTES));
    let perhaps = |c: &Column<'_>| match c.pictures() {
        Some(Pictures::Struct { .. } | Pictures::Bytes) => true,
        Some(Pictures::Paths) => column_names::means_path(c.name) || c.is_called(&IMAGES),
        None => false,
    };
    let tiers: [&dyn Fn(&Column<'_>) -> bool; 3] = [&embedded, &usual_bytes, &perhaps];
    for (tier, fits) in tiers.iter().enumerate() {
        let found: Vec<&Column<'_>> = columns.iter().filter(|column| fits(column)).collect();
        let usual = IMAGES.iter().find_map(|name| found.iter().find(|column| column.is_called(&[name])));
        match (found.as_slice(), usual) {
            ([], _) => {}
            ([one], _) => return Ok(one),
            // Two columns that may be paths of pictures or something else are no match of names.
            (several, Some(usual)) if tier < 2 => {
                let rest = several.iter().filter(|c| c.name != usual.name).map(|c| c.shown()).collect::<Vec<_>>();
                let chooses = if pictures_alone { String::new() } else { format!("; {} chooses", KEYS[0]) };
                let rest = some_of(&rest, SHOWN);
                notes.push(format!("pictures are those of column `{}`, not of {rest}{chooses}", usual.name));
                return Ok(usual);
            }
            (several, _) => {
                let path = several[0].path.display();
                let shown: Vec<String> = several.iter().map(|column| column.shown()).collect();
                let shown = some_of(&shown, SHOWN);
                return Err(Error::new(Kind::Input, format!("{path}: several columns may hold the pictures: {shown}"))
                    .hint(match pictures_alone {
                        true => "leave out all columns but one of them, or call that one `image`".to_owned(),
                        false => format!("choose one: {} = \"{}\"", KEYS[0], several[0].name),
                    }));
            }
        }
    }
    let path = columns.first().map_or(Path::new(""), |column| column.path).display();
    let shown: Vec<String> = columns.iter().map(Column::shown).collect();
    let shown = some_of(&shown, SHOWN);
    let chooses = match pictures_alone {
        true => String::new(),
        false => format!("; {} chooses a column of another name", KEYS[0]),
    };
    Err(Error::new(Kind::Input, format!("{path} has no column of pictures among {shown}")).hint(format!(
        "pictures are a column `image` of type struct<bytes: binary, path: string>, a column of bytes, or one of \
         paths{chooses}"
    )))
}

/// Checks that every file has the column of pictures, in a type that holds some.
fn in_every_file(files: &[Described<'_>], image: &str) -> Result<()> {
    for Described { path, schema, .. } in files {
        let path = path.display();
        match schema.field_with_name(image) {
            Err(_) => {
                let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let columns = some_of(&columns, SHOWN);
                let what =
                    format!("{path} has no column `{image}`, which holds the pictures in other files: {columns}");
                return Err(Error::new(Kind::Input, what).hint("files of one data set must have the same columns"));
            }
            Ok(field) if types::pictures(field.data_type()).is_none() => {
                let data_type = types::name(field.data_type());
                return Err(Error::new(
                    Kind::Input,
                    format!("{path}: column `{image}` is {data_type}, and holds no pictures"),
                )
                .hint("files of one data set must have the same columns"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Returns whether a column's name says that its text is something other than classes.
fn speaks_of_something_else(name: &str) -> bool {
    let mut words = String::new();
    for letter in name.chars() {
        // `imageUrl` has two words.
        if letter.is_uppercase() && words.ends_with(char::is_lowercase) {
            words.push(' ');
        }
        words.push(letter);
    }
    let words = words.to_lowercase();
    let mut words = words.split(|c: char| !c.is_alphanumeric());
    column_names::means_path(name) || column_names::means_split(name) || words.any(|word| OTHER_WORDS.contains(&word))
}
