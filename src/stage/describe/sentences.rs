//! The text about the classes: their names in templates, and sentences.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::file;
use super::layout::{self, Layout};
use super::settings::{Prototypes, Text};
use crate::clip::Tokenizer;
use crate::error::{Error, Kind, Result};
use crate::store::space::Space;
use crate::text::list::{self, some_of};
use crate::text::names::plain;
use crate::text::nearest::nearest;
use crate::text::terminal::in_line;

/// Maximum characters of a sentence that a message shows.
const SHOWN: usize = 60;

/// All text about the classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentences {
    /// Class names, by class id.
    pub classes: Vec<String>,
    /// Sentences of each class, by class id.
    pub descriptions: Vec<Vec<String>>,
    /// Prompts, each with `{}` for the name.
    pub templates: Vec<String>,
    /// Where the descriptions are written, if they were read from a file.
    pub written: Option<Written>,
}

/// Where descriptions are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file.
    pub file: PathBuf,
    /// The line of each sentence, from 1, in the order of [`Sentences::descriptions`].
    pub lines: Vec<Vec<usize>>,
    /// Names of the file that are no class of the dataset.
    pub others: Vec<String>,
}

/// The kind of a line that is no filled template.
const DESCRIPTION: &str = "description";

/// A row of `descriptions`.
pub(super) struct Line {
    pub(super) class: i32,
    pub(super) index: i32,
    pub(super) kind: &'static str,
    pub(super) sentence: String,
}

impl Sentences {
    /// Builds the sentences about `classes` from a pipeline's settings.
    ///
    /// # Errors
    /// Fails as [`Sentences::read`] does.
    pub fn of(text: &Text, classes: &[String]) -> Result<Self> {
        match text.prototypes {
            Prototypes::Descriptions => match &text.descriptions {
                Some(path) => Sentences::read_as(text.layout, path, classes, &text.templates),
                None => Err(Error::new(Kind::Usage, "text.descriptions names no file of sentences").hint(
                    "name a JSON file {class name: [sentence, ...]}, or set text.prototypes = \"templates\" to do without",
                )),
            },
            Prototypes::Auto if text.has_sentences()? => {
                Sentences::of(&Text { prototypes: Prototypes::Descriptions, ..text.clone() }, classes)
            }
            Prototypes::Auto | Prototypes::Templates => Ok(Sentences::of_templates(classes, &text.templates)),
        }
    }

    /// Builds sentences with the filled templates in place of descriptions, to measure handcrafted
    /// prompts.
    pub fn of_templates(classes: &[String], templates: &[String]) -> Self {
        let filled = |class: &String| templates.iter().map(|template| template.replace("{}", class)).collect();
        let descriptions = classes.iter().map(filled).collect();
        Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec(), written: None }
    }

    /// Reads a file of any layout.
    ///
    /// # Errors
    /// Fails as [`Sentences::read`] does.
    pub fn read_as(layout: Layout, path: &Path, classes: &[String], templates: &[String]) -> Result<Self> {
        let template = templates.first().map_or("{}", String::as_str);
        let prompts = |class: &String, descriptors: &[String]| -> Vec<String> {
            descriptors.iter().map(|descriptor| layout::prompt(template, class, descriptor)).collect()
        };
        match layout {
            Layout::Sentences => Sentences::read(path, classes, templates),
            Layout::Descriptors => {
                let mut read = Sentences::read(path, classes, templates)?;
                read.descriptions = classes.iter().zip(&read.descriptions).map(|(c, d)| prompts(c, d)).collect();
                Ok(read)
            }
            Layout::Words => {
                let (words, lines): (Vec<String>, Vec<usize>) = file::read_words(path)?.into_iter().unzip();
                let descriptions = classes.iter().map(|class| prompts(class, &words)).collect();
                let lines = vec![lines; classes.len()];
                let written = Some(Written { file: path.to_owned(), lines, others: Vec::new() });
                Ok(Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec(), written })
            }
        }
    }

    /// Returns a note if what is read as sentences are descriptors by their looks.
    pub fn misread(&self) -> Option<String> {
        let Written { file, .. } = self.written.as_ref()?;
        layout::looks_like_descriptors(&self.descriptions).then(|| {
            format!(
                "{}: hardly any of its texts is a sentence; if they are descriptors, as DCLIP has them, text.layout = \
                 \"descriptors\" makes prompts of them",
                file.display()
            )
        })
    }

    /// Reads the descriptions of `classes` from a JSON file `{class name: [sentence, …]}`. Names
    /// match regardless of case, and `_` matches a space.
    ///
    /// # Errors
    /// Returns [`Kind::Input`], naming the file and the classes, if some are missing or have no
    /// sentence, if one stands in the file twice, or if the file cannot be read.
    pub fn read(path: &Path, classes: &[String], templates: &[String]) -> Result<Self> {
        let mut found: HashMap<String, file::Entry> = HashMap::new();
        for entry in file::read(path)? {
            let (line, name) = (entry.line, entry.name.clone());
            if let Some(before) = found.insert(plain(&name), entry) {
                let what = format!("class '{}' stands in line {} already", in_line(&name), before.line);
                return Err(
                    Error::in_line(Kind::Input, path, line as u64, what).hint("put all its sentences into one list")
                );
            }
        }
        let (mut descriptions, mut lines, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for class in classes {
            match found.remove(&plain(class)) {
                Some(entry) if !entry.sentences.is_empty() => {
                    let (sentences, at): (Vec<String>, Vec<usize>) = entry.sentences.into_iter().unzip();
                    descriptions.push(sentences);
                    lines.push(at);
                }
                _ => missing.push(class),
            }
        }
        let mut others: Vec<String> = found.into_values().map(|entry| entry.name).collect();
        others.sort();
        if !missing.is_empty() {
            return Err(without_sentences(path, classes.len(), &missing, &others));
        }
        let written = Some(Written { file: path.to_owned(), lines, others });
        Ok(Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec(), written })
    }

    /// Returns a note on the names in the file that are no class, whose sentences are left aside;
    /// `None` if there are none.
    pub fn left_aside(&self) -> Option<String> {
        let Written { file, others, .. } = self.written.as_ref().filter(|written| !written.others.is_empty())?;
        let (names, are) = match others.len() {
            1 => ("1 name".to_owned(), "is"),
            many => (format!("{many} names"), "are"),
        };
        let named = some_of(others, list::SHOWN);
        Some(format!("{}: {names} {are} no class of the dataset and {are} left aside: {named}", file.display()))
    }

    /// Returns the hash of what the text features depend on besides the text space.
    pub fn identity(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for Line { class, kind, sentence, .. } in self.lines() {
            hasher.update(format!("{class} {kind} {} ", sentence.len()).as_bytes());
            hasher.update(sentence.as_bytes());
        }
        hasher.finalize()
    }

    /// Returns the number of distinct sentences.
    pub fn count(&self) -> u64 {
        self.distinct().len() as u64
    }

    pub(super) fn distinct(&self) -> BTreeSet<String> {
        self.lines().into_iter().map(|line| line.sentence).collect()
    }

    /// Returns the name of the partition of `text_features` in this space.
    pub fn partition(&self, space: &Space) -> String {
        format!("{}-{}", space.id(), &self.identity().to_hex()[..8])
    }

    /// Returns a warning about the sentences that have more tokens than the text tower takes;
    /// `None` if all fit.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode a sentence.
    pub fn too_long(&self, tokenizer: &Tokenizer) -> Result<Option<String>> {
        let distinct = self.distinct();
        let counted = distinct.into_iter().map(|s| tokenizer.sequence(&s).map(|sequence| (s, sequence.tokens)));
        Ok(self.cut(&counted.collect::<Result<_>>()?, tokenizer.context()))
    }

    /// Returns a warning about the sentences that spell out a mark of the tokenizer, where they
    /// are, and what the text tower makes of them; `None` if there are none.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode a sentence.
    pub fn with_marks(&self, tokenizer: &Tokenizer) -> Result<Option<String>> {
        let mut seen = BTreeSet::new();
        let mut places = Vec::new();
        for line in self.lines() {
            if let Some(mark) = tokenizer.mark_in(&line.sentence)?
                && seen.insert(line.sentence.clone())
            {
                places.push(format!("{} ({}, {mark})", self.place(&line), self.class_of(&line)));
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        // Sentences are only counted here, since a run asks for this each time it starts.
        let (many, spell) = (places.len(), if places.len() == 1 { "spells" } else { "spell" });
        let (all, named) = (self.count(), some_of(&places, list::SHOWN));
        Ok(Some(format!(
            "{many} of {all} sentences {spell} out a mark of the tokenizer, and to the model a sentence ends at its first \
             <|endoftext|>: {named}"
        )))
    }

    /// Like [`too_long`](Self::too_long), but from the token count of each sentence.
    pub(super) fn cut(&self, tokens: &HashMap<String, usize>, context: usize) -> Option<String> {
        let cut = |sentence: &str| tokens.get(sentence).copied().filter(|tokens| *tokens > context);
        let mut seen = BTreeSet::new();
        let places: Vec<String> = self
            .lines()
            .iter()
            .filter_map(|line| Some((line, cut(&line.sentence)?)))
            .filter(|(line, _)| seen.insert(line.sentence.clone()))
            .map(|(line, tokens)| format!("{} ({}, {tokens} tokens)", self.place(line), self.class_of(line)))
            .collect();
        let (many, all) = (places.len(), tokens.len());
        let are = if many == 1 { "is" } else { "are" };
        let named = some_of(&places, list::SHOWN);
        (many > 0).then(|| {
            format!(
                "{many} of {all} sentences {are} longer than the model's {context} tokens and {are} cut off there: {named}"
            )
        })
    }

    /// Says where a sentence stands: its file and line, or else how it begins.
    fn place(&self, line: &Line) -> String {
        let written = self.written.as_ref().filter(|_| line.kind == DESCRIPTION);
        let at = written.and_then(|written| {
            let number = written.lines.get(line.class as usize)?.get(line.index as usize)?;
            Some(format!("{}:{number}", written.file.display()))
        });
        at.unwrap_or_else(|| {
            let mut shown: String = line.sentence.chars().take(SHOWN).collect();
            if shown.len() < line.sentence.len() {
                shown.push('…');
            }
            format!("'{}'", shown.escape_debug())
        })
    }

    /// Returns the name of the class that a sentence is about, in quotes.
    fn class_of(&self, line: &Line) -> String {
        format!("'{}'", self.classes.get(line.class as usize).map_or("", String::as_str))
    }

    /// Returns all filled templates of all classes, then all sentences of all classes.
    pub(super) fn lines(&self) -> Vec<Line> {
        let names = (0..).zip(&self.classes).flat_map(|(class, name)| {
            (0..).zip(&self.templates).map(move |(index, template)| {
                let sentence = template.replace("{}", name);
                Line { class, index, kind: "template", sentence }
            })
        });
        let sentences = (0..).zip(&self.descriptions).flat_map(|(class, sentences)| {
            (0..).zip(sentences).map(move |(index, s)| Line { class, index, kind: DESCRIPTION, sentence: s.clone() })
        });
        names.chain(sentences).collect()
    }
}

/// Returns the error about classes without a sentence; `others` are the names in the file that are
/// no class.
fn without_sentences(path: &Path, classes: usize, missing: &[&String], others: &[String]) -> Error {
    let what = match missing {
        [class] => format!("no sentence about '{}'", in_line(class)),
        many => format!("no sentence about {} of {classes} classes: {}", many.len(), some_of(many, list::SHOWN)),
    };
    let meant = missing.iter().find_map(|class| {
        let near = nearest(class, others.iter().map(|other| (other.as_str(), other)))?;
        let (near, class) = (in_line(near), in_line(class));
        Some(format!("the file has '{near}', which is no class: spell '{class}' alike in both"))
    });
    Error::new(Kind::Input, format!("{}: {what}", path.display())).hint(meant.unwrap_or_else(|| {
        "every class needs at least one sentence that says what it looks like: `microclip-pipe describe` asks a language model \
         for them, and text.prototypes = \"templates\" does without"
            .to_owned()
    }))
}
