//! How names get into captions: seldom, and often the wrong one, as under pictures on the web.

use crate::flora::species::ALL;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Species per group of look-alikes: species `i` belongs to group `i / GROUP`.
const GROUP: usize = 4;

/// The share and the quality of captions that name a species.
pub struct Namer {
    /// How many of the plates have a name at all; the others of the corpus are not used.
    pub plates: usize,
    /// Share of the captions of a species' plate that name it.
    pub named: f64,
    /// Share of the names that are wrong: another of the group.
    pub wrong: f64,
    /// Share of the wrong names that are the group's best known species, its first.
    pub common: f64,
}

const FORMS: [&str; 6] =
    ["{}", "a {}", "a picture of a {}", "a drawing of a {}, a kind of flower", "{} in bloom", "a photo of a {}"];

impl Namer {
    /// The caption by attributes as it is, or one with a name in it.
    pub fn caption(&self, species: Option<usize>, by_attributes: &str, rng: &mut impl Rng) -> String {
        match species {
            Some(species) if rng.random_bool(self.named) => {
                let name = ALL[self.believed(species, rng)].name;
                match FORMS.choose(rng) {
                    Some(form) if rng.random_bool(6.0 / 7.0) => form.replace("{}", name),
                    _ => format!("{name}, {by_attributes}"),
                }
            }
            _ => by_attributes.to_owned(),
        }
    }

    /// What the writer of the caption takes the species for.
    fn believed(&self, species: usize, rng: &mut impl Rng) -> usize {
        if !rng.random_bool(self.wrong) {
            return species;
        }
        let first = species / GROUP * GROUP;
        if rng.random_bool(self.common) { first } else { first + rng.random_range(0..GROUP) }
    }

    /// All the words that names bring into the vocabulary.
    pub fn sentences() -> Vec<String> {
        ALL.iter().flat_map(|species| FORMS.map(|form| form.replace("{}", species.name))).collect()
    }
}
