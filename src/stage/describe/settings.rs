//! The settings of what is said about the classes.

use std::path::PathBuf;

use super::file;
use super::layout::Layout;
use crate::error::Result;
use crate::settings::{Must, Want, choice, settings};

choice! {
    /// What classifiers are made from.
    Prototypes {
        /// The sentences that a language model wrote about each class, as in the paper.
        Descriptions = "descriptions",
        /// The class names in the templates, as in plain CLIP: what handcrafted prompts are worth.
        Templates = "templates",
        /// The sentences, or the templates as long as the file has none about any class.
        Auto = "auto",
    }
}

settings! {
    /// The classes in words.
    Text {
        /// A JSON file `{"class name": ["sentence", ...]}`, as a language model wrote them; needed
        /// unless `prototypes = "templates"`. `microclip-pipe describe` fills it.
        descriptions: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
        /// How that file is laid out.
        layout: Layout = Layout::Sentences, Layout::WANT, ByContent;
        /// Prompts for the class name, which takes the place of `{}`.
        templates: Vec<String> = vec!["a photo of a {}.".to_owned()], Want::Templates, ByContent;
        /// What both classifiers are made from.
        prototypes: Prototypes = Prototypes::Descriptions, Prototypes::WANT, ByContent;
    }
}

impl Text {
    /// Returns whether the file of sentences has any.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub fn has_sentences(&self) -> Result<bool> {
        match (&self.descriptions, self.layout) {
            (Some(path), Layout::Sentences | Layout::Descriptors) => {
                Ok(file::entries(path)?.iter().any(|(_, sentences)| !sentences.is_empty()))
            }
            (path, Layout::Words) => Ok(path.is_some()),
            (None, _) => Ok(false),
        }
    }
}
