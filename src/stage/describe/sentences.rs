//! The text about the classes: their names in templates, and sentences.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::clip::Tokenizer;
use crate::error::{Context, Error, Kind, Result};
use crate::settings::{Must, Want, choice, settings};
use crate::store::space::Space;
use crate::text::file as text_file;
use crate::text::names::plain;

/// Maximum bytes of a file of descriptions: enough for some hundred sentences about each of ten
/// thousand classes.
const LONGEST: u64 = 256 << 20;

/// Maximum characters of a sentence that a message shows.
const SHOWN: usize = 60;

choice! {
    /// What classifiers are made from.
    Prototypes {
        /// The sentences that a language model wrote about each class, as in the paper.
        Descriptions = "descriptions",
        /// The class names in the templates, as in plain CLIP: what handcrafted prompts are worth.
        Templates = "templates",
    }
}

settings! {
    /// The classes in words.
    Text {
        /// A JSON file `{"class name": ["sentence", ...]}`, as a language model wrote them; needed
        /// unless `prototypes = "templates"`.
        descriptions: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// Prompts for the class name, which takes the place of `{}`.
        templates: Vec<String> = vec!["a photo of a {}.".to_owned()], Want::Templates, ByContent;
        /// What both classifiers are made from.
        prototypes: Prototypes = Prototypes::Descriptions, Prototypes::WANT, ByContent;
    }
}

/// All text about the classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentences {
    /// Class names, by class id.
    pub classes: Vec<String>,
    /// Sentences of each class, by class id.
    pub descriptions: Vec<Vec<String>>,
    /// Prompts, each with `{}` for the name.
    pub templates: Vec<String>,
}

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
                Some(path) => Sentences::read(path, classes, &text.templates),
                None => Err(Error::new(Kind::Usage, "text.descriptions names no file of sentences")
                    .hint("name one, or set text.prototypes = \"templates\"")),
            },
            Prototypes::Templates => Ok(Sentences::of_templates(classes, &text.templates)),
        }
    }

    /// Builds sentences with the filled templates in place of descriptions, to measure handcrafted
    /// prompts.
    pub fn of_templates(classes: &[String], templates: &[String]) -> Self {
        let filled = |class: &String| templates.iter().map(|template| template.replace("{}", class)).collect();
        let descriptions = classes.iter().map(filled).collect();
        Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec() }
    }

    /// Reads the descriptions of `classes` from a JSON file `{class name: [sentence, …]}`. Names
    /// match regardless of case, and `_` matches a space.
    ///
    /// # Errors
    /// Returns [`Kind::Input`], naming the file and the class, if a class is missing or has no
    /// sentence, or if the file cannot be read.
    pub fn read(path: &Path, classes: &[String], templates: &[String]) -> Result<Self> {
        let text = text_file::read(path, Kind::Input, LONGEST)?;
        let parsed: BTreeMap<String, Vec<String>> =
            serde_json::from_str(&text).at(Kind::Input, "not descriptions, {class name: [sentence, ...]}:", path)?;
        let found: HashMap<String, Vec<String>> = parsed.into_iter().map(|(name, s)| (plain(&name), s)).collect();
        let of_class = |class: &String| {
            let sentences = found.get(&plain(class)).map_or(&[][..], Vec::as_slice);
            let kept: Vec<String> = sentences.iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
            if kept.is_empty() {
                return Err(Error::new(Kind::Input, format!("{}: no sentence about '{class}'", path.display()))
                    .hint("every class needs at least one sentence that says what it looks like"));
            }
            Ok(kept)
        };
        let descriptions = classes.iter().map(of_class).collect::<Result<_>>()?;
        Ok(Sentences { classes: classes.to_vec(), descriptions, templates: templates.to_vec() })
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

    /// Like [`too_long`](Self::too_long), but from the token count of each sentence.
    pub(super) fn cut(&self, tokens: &HashMap<String, usize>, context: usize) -> Option<String> {
        let cut = |sentence: &str| tokens.get(sentence).is_some_and(|tokens| *tokens > context);
        let first = self.lines().into_iter().find(|line| cut(&line.sentence))?;
        let class = self.classes.get(first.class as usize).map_or("", String::as_str);
        let mut shown: String = first.sentence.chars().take(SHOWN).collect();
        if shown.len() < first.sentence.len() {
            shown.push('…');
        }
        let many = tokens.keys().filter(|sentence| cut(sentence)).count();
        let are = if many == 1 { "is" } else { "are" };
        Some(format!(
            "{many} of {} sentences {are} longer than the model's {context} tokens and {are} cut; the first: '{class}': '{}'",
            tokens.len(),
            shown.escape_debug()
        ))
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
            (0..).zip(sentences).map(move |(index, s)| Line { class, index, kind: "description", sentence: s.clone() })
        });
        names.chain(sentences).collect()
    }
}
