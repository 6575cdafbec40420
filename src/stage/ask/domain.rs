//! What is known of each domain, which is a file of the repository, and the questions of a user.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Context, Error, Kind, Result};
use crate::settings::choice;
use crate::text::file;

/// Maximum bytes of a user's file of questions.
const LONGEST: u64 = 1 << 20;
/// What stands for the class's name in a question, and for the name of its look-alike.
pub(super) const CLASS: &str = "{class}";
pub(super) const OTHER: &str = "{other}";

choice! {
    /// What the classes are.
    Domain {
        /// Whatever their names say.
        Generic = "generic",
        /// Species and varieties of plants in bloom.
        Flowers = "flowers",
        /// Species of birds.
        Birds = "birds",
        /// Makes and models of cars.
        Cars = "cars",
        /// Families and variants of aircraft.
        Aircraft = "aircraft",
        /// Breeds of cats and dogs.
        Pets = "pets",
        /// Dishes and ingredients.
        Food = "food",
        /// Words for how surfaces look.
        Textures = "textures",
        /// Land use and land cover from above.
        Satellite = "satellite",
        /// Places, indoors and outdoors.
        Scenes = "scenes",
        /// What people do.
        Actions = "actions",
        /// Articles as a shop shows them.
        Products = "products",
        /// States of manufactured parts, sound or faulty.
        Defects = "defects",
    }
}

/// The questions about a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// What it looks like; each has `{class}`.
    pub describe: Vec<String>,
    /// What tells it from a look-alike; each has `{class}` and `{other}`.
    pub contrast: Vec<String>,
}

/// A user's file of questions. It may have begun as a copy of a domain's, whose other keys are for
/// `init`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    describe: Vec<String>,
    #[serde(default)]
    contrast: Vec<String>,
    #[serde(rename = "template")]
    _template: Option<IgnoredAny>,
    #[serde(rename = "signs")]
    _signs: Option<IgnoredAny>,
}

/// What is known of a domain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The prompt that says what kind of thing a class is; `{}` stands for its name.
    pub template: String,
    describe: Vec<String>,
    contrast: Vec<String>,
    /// How it is recognised; no sign is one of no domain.
    #[serde(default)]
    pub signs: Signs,
}

/// Words that are signs of a domain, in lower case and in the singular.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signs {
    /// Words in the name of the pictures' folder.
    pub folder: Vec<String>,
    /// Last words of the names of classes.
    pub class: Vec<String>,
}

impl Domain {
    /// Returns what is known of the domain.
    ///
    /// # Errors
    /// Fails if the file that the program was built with cannot be read, which a test excludes.
    pub fn about(self) -> Result<About> {
        toml::from_str(self.file()).context(Kind::Internal, || format!("data/questions/{self}.toml cannot be read"))
    }

    /// Returns its file.
    fn file(self) -> &'static str {
        match self {
            Domain::Generic => include_str!("../../../data/questions/generic.toml"),
            Domain::Flowers => include_str!("../../../data/questions/flowers.toml"),
            Domain::Birds => include_str!("../../../data/questions/birds.toml"),
            Domain::Cars => include_str!("../../../data/questions/cars.toml"),
            Domain::Aircraft => include_str!("../../../data/questions/aircraft.toml"),
            Domain::Pets => include_str!("../../../data/questions/pets.toml"),
            Domain::Food => include_str!("../../../data/questions/food.toml"),
            Domain::Textures => include_str!("../../../data/questions/textures.toml"),
            Domain::Satellite => include_str!("../../../data/questions/satellite.toml"),
            Domain::Scenes => include_str!("../../../data/questions/scenes.toml"),
            Domain::Actions => include_str!("../../../data/questions/actions.toml"),
            Domain::Products => include_str!("../../../data/questions/products.toml"),
            Domain::Defects => include_str!("../../../data/questions/defects.toml"),
        }
    }
}

impl Questions {
    /// Returns those of a user's file, or else of a domain. A file without questions about
    /// look-alikes has those of the domain.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the file cannot be read, or a question lacks a name to fill in.
    pub fn of(domain: Domain, own: Option<&Path>) -> Result<Questions> {
        let About { describe, contrast, .. } = domain.about()?;
        let Some(path) = own else { return Ok(Questions { describe, contrast }) };
        let mut read = Questions::parse(&file::read(path, Kind::Usage, LONGEST)?, path)?;
        if read.contrast.is_empty() {
            read.contrast = contrast;
        }
        Ok(read)
    }

    fn parse(text: &str, path: &Path) -> Result<Questions> {
        const LAYOUT: &str = "describe = ['What does \"{class}\" look like?'] and contrast = ['What tells \"{class}\" from \
                              \"{other}\"?']";
        let Own { describe, contrast, .. } =
            toml::from_str(text).at(Kind::Usage, "no questions:", path).map_err(|e| e.hint(LAYOUT))?;
        let questions = Questions { describe, contrast };
        let lacking = |list: &str, of: &[String], what: &[&str]| {
            let lacks = |question: &String| what.iter().copied().find(|name| !question.contains(name));
            (1..).zip(of).find_map(|(n, question)| {
                let name = lacks(question)?;
                Some(Error::new(Kind::Usage, format!("{}: question {n} of '{list}' has no {name}", path.display())))
            })
        };
        if questions.describe.is_empty() {
            return Err(Error::new(Kind::Usage, format!("{}: 'describe' has no question", path.display())).hint(LAYOUT));
        }
        let wrong = lacking("describe", &questions.describe, &[CLASS])
            .or_else(|| lacking("contrast", &questions.contrast, &[CLASS, OTHER]));
        wrong.map_or(Ok(questions), |error| Err(error.hint(LAYOUT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_has_a_prompt_and_questions_to_fill_in() {
        for domain in Domain::ALL {
            let questions = Questions::of(*domain, None).unwrap();
            assert!((3..=6).contains(&questions.describe.len()) && !questions.contrast.is_empty(), "{domain}");
            assert!(questions.describe.iter().all(|question| question.contains(CLASS)), "{domain}");
            let names_both = |question: &String| question.contains(CLASS) && question.contains(OTHER);
            assert!(questions.contrast.iter().all(names_both), "{domain}");
            assert_eq!(domain.about().unwrap().template.matches("{}").count(), 1, "{domain}");
        }
    }

    #[test]
    fn a_users_questions_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Questions::of(Domain::Birds, Some(&path))
        };
        let own = of("describe = ['Which {class}?']").unwrap();
        assert_eq!(own.describe, ["Which {class}?"]);
        assert_eq!(own.contrast, Questions::of(Domain::Birds, None).unwrap().contrast);
        assert_eq!(of(Domain::Birds.file()).unwrap(), Questions::of(Domain::Birds, None).unwrap());
        for (text, said) in [
            ("describe = []", "own.toml: 'describe' has no question"),
            ("describe = ['{class}', 'Which?']", "own.toml: question 2 of 'describe' has no {class}"),
            ("describe = ['{class}']\ncontrast = ['{class}']", "own.toml: question 1 of 'contrast' has no {other}"),
        ] {
            assert!(of(text).unwrap_err().to_string().ends_with(said), "{text}");
        }
        assert!(of("questions = ['{class}']").unwrap_err().to_string().contains("own.toml"));
    }
}
