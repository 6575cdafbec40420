//! Which files of a sample hold its picture and its label, and what a label's file says.

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::source::Dataset;
use crate::source::column_names::{KEYS, NAMES};
use crate::source::label::{Label, LikeClasses, of_json};
use crate::text::file::without_mark;
use crate::text::json::Pairs;

/// A kind of file that may hold a label, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    /// `cls`, or the chosen extension: a number or a name.
    Class,
    /// `json`: a key of an object.
    Json,
    /// `txt`: a name, or a caption.
    Text,
}

impl Field {
    /// Returns the most bytes that such a file may have.
    pub(super) fn longest(self) -> u64 {
        match self {
            Field::Class | Field::Text => 4096,
            // Boxes and captions stand in it, too.
            Field::Json => 1 << 20,
        }
    }

    /// Returns what messages call it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Field::Class => "`cls`",
            Field::Json => "`json`",
            Field::Text => "`txt`",
        }
    }
}

/// Which fields of samples are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    /// The extension of pictures, in lower case, if it is chosen.
    pub(super) picture: Option<String>,
    /// The extension of labels, in lower case, and a key of their JSON, if they are chosen.
    pub(super) label: Option<(String, Option<String>)>,
    /// Whether labels are left aside.
    pub(super) pictures_alone: bool,
}

impl Fields {
    /// Returns the fields that a pipeline chooses.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if JSON is chosen without a key.
    pub(super) fn of(dataset: &Dataset) -> Result<Self> {
        let plain = |text: &String| text.trim_start_matches('.').to_owned();
        let label = match dataset.label_column.as_ref().map(plain) {
            Some(chosen) => Some(match chosen.split_once("json.") {
                Some(("", key)) if !key.is_empty() => ("json".to_owned(), Some(key.to_owned())),
                _ if chosen.eq_ignore_ascii_case("json") => {
                    return Err(Error::new(Kind::Input, format!("{} = \"json\" names no key", KEYS[1]))
                        .hint("name the key that holds the label, such as json.label, or json.annotation.class"));
                }
                _ => (chosen.to_lowercase(), None),
            }),
            None => None,
        };
        let picture = dataset.image_column.as_ref().map(|chosen| plain(chosen).to_lowercase());
        Ok(Fields { picture, label, pictures_alone: false })
    }

    /// Returns what messages call the field with the labels.
    pub(super) fn shown(&self, field: Field) -> String {
        match &self.label {
            Some((extension, Some(key))) => format!("`{extension}.{key}`"),
            Some((extension, None)) => format!("`{extension}`"),
            None => field.shown().to_owned(),
        }
    }

    /// Returns which field a file with this extension is, if it may hold a label.
    pub(super) fn label(&self, extension: &str) -> Option<Field> {
        if self.pictures_alone {
            return None;
        }
        match (&self.label, extension) {
            (Some((chosen, key)), _) => {
                let field = if key.is_some() { Field::Json } else { Field::Class };
                (chosen == extension).then_some(field)
            }
            (None, "cls") => Some(Field::Class),
            (None, "json") => Some(Field::Json),
            (None, "txt") => Some(Field::Text),
            _ => None,
        }
    }

    /// Returns the label in a file; `None` if it has none.
    pub(super) fn parse(&self, field: Field, bytes: &[u8]) -> std::result::Result<Option<Label>, String> {
        if field == Field::Json {
            return self.in_json(bytes);
        }
        let text = std::str::from_utf8(without_mark(bytes)).map_err(|_| "not UTF-8".to_owned())?.trim();
        match text.parse() {
            Ok(number) => Ok(Some(Label::Number(number))),
            Err(_) if text.contains(['\n', '\r']) && (field == Field::Class) => Err("more than one line".to_owned()),
            // Of a caption no more is kept than shows that it is one.
            Err(_) if field == Field::Text => {
                Ok(Label::of_text(&text.chars().take(LikeClasses::LONGEST + 1).collect::<String>()))
            }
            Err(_) => Ok(Label::of_text(text)),
        }
    }

    fn in_json(&self, bytes: &[u8]) -> std::result::Result<Option<Label>, String> {
        let mut object: Pairs<Value> = match serde_json::from_slice(without_mark(bytes)) {
            Ok(object) => object,
            // A list, or a word.
            Err(error) if error.is_data() => return Ok(None),
            Err(error) => return Err(format!("not JSON: {error}")),
        };
        let found = match &self.label {
            Some((_, Some(key))) => {
                let mut keys = key.split('.');
                let outer = object.take(keys.next().unwrap_or_default())?;
                keys.fold(outer, |object, key| object.and_then(|mut object| object.get_mut(key).map(Value::take)))
            }
            _ => {
                let known = std::iter::once(&NAMES[1].0).chain(NAMES[1].1);
                known.map(|name| object.take(name)).find_map(Result::transpose).transpose()?
            }
        };
        of_json(found).map_err(|what| format!("the label is {what}"))
    }
}

/// What the files of a sample say of its label, by the field that says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first field that says something.
    first: Option<(Field, std::result::Result<Label, String>)>,
}

impl Found {
    /// Reads a file, unless a field that comes before it has said something.
    pub(super) fn add(&mut self, field: Field, read: impl FnOnce() -> std::result::Result<Option<Label>, String>) {
        match &mut self.first {
            Some((known, found)) if *known == field => {
                *found = Err(format!("its sample has {} twice: which is meant cannot be told", field.shown()));
            }
            Some((known, _)) if *known < field => {}
            _ => {
                // A file without a label leaves room for the next field.
                if let Some(found) = read().transpose() {
                    let found = found.map_err(|why| format!("its label, {}, cannot be read: {why}", field.shown()));
                    self.first = Some((field, found));
                }
            }
        }
    }

    /// Returns the field that says something.
    pub(super) fn field(&self) -> Option<Field> {
        self.first.as_ref().map(|(field, _)| *field)
    }

    /// Returns what a field says.
    pub(super) fn of(&self, field: Field) -> std::result::Result<Option<&Label>, &String> {
        match &self.first {
            Some((known, found)) if *known == field => found.as_ref().map(Some),
            _ => Ok(None),
        }
    }
}

/// Decides which field holds the labels of a data set, by all that its samples say; the second
/// value is why none does, where some may.
pub(super) fn settle<'a>(samples: impl Iterator<Item = &'a Found> + Clone) -> (Option<Field>, Option<String>) {
    let has = |field: Field| samples.clone().any(|found| found.field() == Some(field));
    if let Some(field) = [Field::Class, Field::Json].into_iter().find(|field| has(*field)) {
        return (Some(field), None);
    }
    if !has(Field::Text) {
        return (None, None);
    }
    let mut like = LikeClasses::default();
    let texts = samples.filter_map(|found| found.of(Field::Text).ok().flatten());
    match texts.cloned().all(|label| like.take(label)) && like.are() {
        true => (Some(Field::Text), None),
        false => {
            let why = "the texts of `txt` look like captions, not classes";
            (None, Some(format!("{why}: {} = \"txt\" takes them for labels", KEYS[1])))
        }
    }
}
