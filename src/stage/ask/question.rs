//! The questions about classes, and what their answers are cached by.

use super::domain::{CLASS, OTHER, Questions};
use super::settings::{Describe, Names};

/// Raised whenever the same questions are put to a model in other words, so that its answers are
/// not those of before.
const WORDING: u32 = 1;

/// The questions that are answered together: those about a class, or about what tells it from
/// another.
pub type Group = (String, Option<String>);

/// A question about a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Digest of all that decides its answer but chance: the key of the cache.
    pub id: String,
    /// The class that it is about.
    pub class: String,
    /// The class that it is to be told from, if that is what is asked.
    pub other: Option<String>,
    /// The question as the model reads it.
    pub text: String,
    /// Number of sentences that are asked for.
    pub wanted: usize,
}

impl Question {
    /// Returns the questions that it belongs to.
    pub fn group(&self) -> Group {
        (self.class.clone(), self.other.clone())
    }
}

/// All that decides which questions are asked.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// The name of the model.
    pub model: &'a str,
    /// The settings.
    pub settings: &'a Describe,
    /// The questions of the domain.
    pub questions: &'a Questions,
}

impl Asking<'_> {
    /// Returns the questions about what a class looks like: its sentences are shared by all of
    /// them, or by the first few if there are fewer sentences.
    pub fn about(&self, class: &str) -> Vec<Question> {
        let (all, sentences) = (self.questions.describe.len(), self.settings.sentences);
        let share = |n: usize| sentences / all + usize::from(n < sentences % all);
        let asked = self.questions.describe.iter().enumerate().filter(|(n, _)| share(*n) > 0);
        asked.map(|(n, question)| self.question(question, class, None, share(n))).collect()
    }

    /// Returns the questions about what tells a class from another.
    pub fn between(&self, class: &str, other: &str) -> Vec<Question> {
        let wanted = self.settings.contrast_sentences;
        self.questions.contrast.iter().map(|question| self.question(question, class, Some(other), wanted)).collect()
    }

    fn question(&self, template: &str, class: &str, other: Option<&str>, wanted: usize) -> Question {
        // Both at once, since a name may look like a place to fill in.
        let mut text: String = template
            .split_inclusive('}')
            .map(|piece| match (piece.strip_suffix(CLASS), piece.strip_suffix(OTHER), other) {
                (Some(before), _, _) => format!("{before}{class}"),
                (_, Some(before), Some(other)) => format!("{before}{other}"),
                _ => piece.to_owned(),
            })
            .collect();
        text.push_str(&match wanted {
            1 => "\n\nWrite 1 sentence.".to_owned(),
            n => format!("\n\nWrite {n} different sentences."),
        });
        if other.is_some() {
            text.push_str(" Say what there is to see, without comparing and without naming the other.");
        }
        Question { id: self.id(&text), class: class.to_owned(), other: other.map(str::to_owned), text, wanted }
    }

    fn id(&self, text: &str) -> String {
        let Describe { temperature, seed, names, .. } = self.settings;
        let temperature = temperature.map_or("the server's".to_owned(), |temperature| temperature.to_string());
        let (wording, seed) = (WORDING.to_string(), seed.to_string());
        let mut hasher = blake3::Hasher::new();
        // Lengths are hashed too, so that no two different lists of parts give the same bytes.
        for part in [&wording, self.model, &temperature, &seed, names.name(), text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// Returns what the model is told before each question.
pub fn task(names: Names) -> String {
    let names = match names {
        Names::Own => "Call the class by the name it is given in quotation marks, or by none, and name no other class.",
        Names::None => "Do not name the class, nor any other.",
        Names::Any => "Call the class by the name it is given in quotation marks.",
    };
    format!(
        "You describe things for a program that compares photographs with sentences. Say only what can be seen in a \
         photograph: shapes, colours, patterns, parts, surroundings; no sounds, uses, history or opinions. Each sentence stands \
         on its own and has at most 30 words. {names}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::ask::Domain;

    fn questions() -> Questions {
        Questions::of(Domain::Flowers, None).unwrap()
    }

    #[test]
    fn sentences_are_shared_by_the_questions() {
        let questions = questions();
        let wanted = |sentences| {
            let settings = Describe { sentences, ..Describe::default() };
            let asking = Asking { model: "m", settings: &settings, questions: &questions };
            asking.about("rose").iter().map(|question| question.wanted).collect::<Vec<_>>()
        };
        assert_eq!(wanted(12), [3, 3, 3, 3]);
        assert_eq!(wanted(10), [3, 3, 2, 2]);
        assert_eq!(wanted(2), [1, 1]);
    }

    #[test]
    fn an_answer_is_asked_for_anew_where_it_would_be_another() {
        let (questions, settings) = (questions(), Describe::default());
        let id = |model: &str, settings: &Describe, class: &str| {
            Asking { model, settings, questions: &questions }.about(class)[0].id.clone()
        };
        let first = id("m", &settings, "rose");
        for other in [
            id("n", &settings, "rose"),
            id("m", &settings, "aster"),
            id("m", &Describe { seed: 1, ..settings.clone() }, "rose"),
            id("m", &Describe { temperature: Some(0.5), ..settings.clone() }, "rose"),
            id("m", &Describe { names: Names::None, ..settings.clone() }, "rose"),
            id("m", &Describe { sentences: 20, ..settings.clone() }, "rose"),
        ] {
            assert_ne!(first, other);
        }
        // How it is sent changes no answer.
        let faster =
            Describe { concurrency: 9, timeout: 5.0, endpoint: Some("http://a/v1".into()), ..settings.clone() };
        assert_eq!(first, id("m", &faster, "rose"));
    }

    #[test]
    fn names_are_filled_in_as_they_are() {
        let (questions, settings) = (questions(), Describe::default());
        let asking = Asking { model: "m", settings: &settings, questions: &questions };
        let text = &asking.between("{other} lily", "{class}")[0].text;
        assert!(text.starts_with("The flower \"{other} lily\" is easily taken for \"{class}\"."), "{text}");
    }
}
