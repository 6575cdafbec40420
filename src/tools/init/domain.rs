//! What kind of thing the classes are, by the names of the folder and of the classes: which
//! questions a language model is asked about them, and how prompts call them.

use std::path::Path;

use crate::stage::ask::Domain;
use crate::text::names::plain;

/// How a domain is recognised.
struct Sign {
    domain: Domain,
    /// Beginnings of words in the names of the folders.
    folder: &'static [&'static str],
    /// Words that end the names of its classes.
    classes: &'static [&'static str],
}

const SIGNS: [Sign; 12] = [
    Sign {
        domain: Domain::Flowers,
        folder: &["flower", "flora", "blossom", "orchid"],
        classes: &[
            "lily",
            "rose",
            "iris",
            "daisy",
            "orchid",
            "poppy",
            "primrose",
            "tulip",
            "dahlia",
            "geranium",
            "sunflower",
            "carnation",
            "anemone",
            "thistle",
            "bellflower",
            "buttercup",
            "starwort",
            "violet",
            "bell",
        ],
    },
    Sign {
        domain: Domain::Birds,
        folder: &["bird", "avian", "cub"],
        classes: &[
            "warbler",
            "sparrow",
            "gull",
            "tern",
            "woodpecker",
            "finch",
            "hummingbird",
            "jay",
            "crow",
            "raven",
            "vireo",
            "wren",
            "flycatcher",
            "albatross",
            "hawk",
            "owl",
            "duck",
            "grebe",
            "kingfisher",
            "swallow",
            "oriole",
            "cuckoo",
        ],
    },
    Sign {
        domain: Domain::Cars,
        folder: &["car", "cars", "automobile", "vehicle"],
        classes: &["sedan", "coupe", "suv", "convertible", "wagon", "hatchback", "minivan", "cab", "roadster", "van"],
    },
    Sign { domain: Domain::Aircraft, folder: &["aircraft", "airplane", "planes"], classes: &["jet", "airliner"] },
    Sign {
        domain: Domain::Pets,
        folder: &["pet", "pets", "dog", "dogs", "cat", "cats"],
        classes: &[
            "terrier",
            "retriever",
            "spaniel",
            "hound",
            "beagle",
            "shepherd",
            "poodle",
            "pug",
            "shiba",
            "siamese",
            "shorthair",
            "persian",
            "ragdoll",
            "bulldog",
            "chihuahua",
        ],
    },
    Sign {
        domain: Domain::Food,
        folder: &["food", "dish", "meal", "recipe"],
        classes: &[
            "soup", "salad", "cake", "pie", "rice", "sandwich", "curry", "pizza", "pasta", "stew", "bread", "noodles",
            "pudding", "sushi", "steak", "burger",
        ],
    },
    Sign { domain: Domain::Textures, folder: &["texture", "dtd"], classes: &["dotted", "striped", "woven", "braided"] },
    Sign {
        domain: Domain::Satellite,
        folder: &["satellite", "aerial", "landuse", "eurosat", "resisc"],
        classes: &["crop", "pasture", "farmland", "wetland"],
    },
    Sign {
        domain: Domain::Scenes,
        folder: &["scene", "places", "indoor"],
        classes: &["room", "hall", "street", "office", "kitchen", "beach", "bridge", "station"],
    },
    Sign {
        domain: Domain::Actions,
        folder: &["action", "activit", "ucf"],
        classes: &["dancing", "riding", "throwing"],
    },
    Sign { domain: Domain::Products, folder: &["product", "shop", "retail"], classes: &["bottle", "pack", "tin"] },
    Sign {
        domain: Domain::Defects,
        folder: &["defect", "fault", "inspection", "anomal"],
        classes: &["scratch", "crack", "dent", "corrosion", "hole", "stain", "scratches", "inclusion"],
    },
];

/// A quarter of the classes must end like a domain's: a rose among cars is no sign of flowers.
const ENOUGH: f64 = 0.25;

/// What a guess went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) domain: Domain,
    /// In words.
    pub(super) by: String,
}

/// Guesses what the classes of these pictures are: by the name of their folder or list, the one
/// around it, or else by the names of the classes. `None` if neither says.
pub(super) fn guess(pictures: &Path, classes: &[String]) -> Option<Guess> {
    let names = pictures.iter().rev().take(2).filter_map(|name| name.to_str());
    for name in names {
        let words = plain(name);
        let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        for word in words {
            // Short beginnings are whole words: `carpets` has nothing to do with cars.
            let is = |sign: &&str| if sign.len() <= 3 { word == *sign } else { word.starts_with(sign) };
            if let Some(sign) = SIGNS.iter().find(|sign| sign.folder.iter().any(is)) {
                return Some(Guess { domain: sign.domain, by: format!("the name '{name}'") });
            }
        }
    }
    let last = |class: &String| plain(class).rsplit(' ').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = classes.iter().map(last).collect();
    let named = |sign: &Sign| lasts.iter().filter(|last| sign.classes.contains(&last.as_str())).count();
    let (most, sign) = SIGNS.iter().map(|sign| (named(sign), sign)).max_by_key(|(count, _)| *count)?;
    let enough = most > 1 && most as f64 >= ENOUGH * classes.len() as f64;
    enough.then(|| Guess { domain: sign.domain, by: format!("the names of {most} of {} classes", classes.len()) })
}

/// Returns the prompt that says what kind of thing a class is.
pub(super) fn template(domain: Domain) -> &'static str {
    match domain {
        Domain::Generic | Domain::Products | Domain::Scenes => "a photo of a {}.",
        Domain::Flowers => "a photo of a {}, a type of flower.",
        Domain::Birds => "a photo of a {}, a type of bird.",
        Domain::Cars => "a photo of a {}, a type of car.",
        Domain::Aircraft => "a photo of a {}, a type of aircraft.",
        Domain::Pets => "a photo of a {}, a type of pet.",
        Domain::Food => "a photo of {}, a type of food.",
        Domain::Textures => "a photo of a {} texture.",
        Domain::Satellite => "a satellite photo of {}.",
        Domain::Actions => "a photo of a person doing {}.",
        Domain::Defects => "a photo of a part with {}.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(path: &str, classes: &[&str]) -> Option<Domain> {
        let classes: Vec<String> = classes.iter().map(|name| (*name).to_owned()).collect();
        guess(Path::new(path), &classes).map(|guess| guess.domain)
    }

    #[test]
    fn names_of_folders_say_it_and_those_of_classes_otherwise() {
        assert_eq!(guessed("/data/oxford_flowers/jpg", &[]), Some(Domain::Flowers));
        assert_eq!(guessed("/data/CUB_200_2011/images", &[]), Some(Domain::Birds));
        assert_eq!(guessed("/data/my-cars", &["corn poppy", "rose"]), Some(Domain::Cars));
        assert_eq!(guessed("/data/pictures", &["Corn_Poppy", "tiger lily", "wall"]), Some(Domain::Flowers));
        assert_eq!(guessed("/data/pictures", &["Herring Gull", "blue jay"]), Some(Domain::Birds));
        for (path, classes) in [
            ("/data/pictures", &["a", "b"][..]),
            // No more than a word begins alike, or one class ends so.
            ("/data/carpets", &["red", "blue"]),
            ("/data/pictures", &["rose", "wall"]),
            ("/data/pictures", &[]),
        ] {
            assert_eq!(guessed(path, classes), None, "{path}");
        }
    }

    #[test]
    fn every_prompt_has_a_place_for_the_name() {
        for domain in Domain::ALL {
            assert_eq!(template(*domain).matches("{}").count(), 1, "{domain:?}");
        }
    }
}
