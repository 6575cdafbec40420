//! What kind of thing the classes are, by the names of the folder and of the classes.

use std::path::Path;

use crate::error::Result;
use crate::stage::ask::{Domain, Signs};
use crate::text::names::composed;

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
///
/// # Errors
/// Fails as [`Domain::about`] does.
pub(super) fn guess(pictures: &Path, classes: &[String]) -> Result<Option<Guess>> {
    let signs: Vec<(Domain, Signs)> =
        Domain::ALL.iter().map(|domain| Ok((*domain, domain.about()?.signs))).collect::<Result<_>>()?;
    Ok(by_folder(pictures, &signs).or_else(|| by_classes(classes, &signs)))
}

/// Says what was guessed, or that nothing was, and what there is to choose from.
pub(super) fn in_words(guess: Option<&Guess>) -> String {
    match guess {
        Some(Guess { domain, by }) => format!("describe.domain = \"{domain}\", and a prompt to fit, by {by}"),
        None => {
            let others: Vec<String> =
                Domain::ALL.iter().filter(|domain| **domain != Domain::Generic).map(ToString::to_string).collect();
            format!(
                "describe.domain = \"generic\", since the names of the folder and the classes do not say what they are; others \
                 are {}",
                others.join(", ")
            )
        }
    }
}

fn by_folder(pictures: &Path, signs: &[(Domain, Signs)]) -> Option<Guess> {
    pictures.iter().rev().take(2).filter_map(|name| name.to_str()).find_map(|name| {
        words(name).into_iter().find_map(|word| {
            let (domain, _) = signs.iter().find(|(_, signs)| signs.folder.iter().any(|sign| is(&word, sign)))?;
            Some(Guess { domain: *domain, by: format!("the name '{name}'") })
        })
    })
}

fn by_classes(classes: &[String], signs: &[(Domain, Signs)]) -> Option<Guess> {
    let lasts: Vec<String> = classes.iter().filter_map(|class| words(class).pop()).collect();
    let named = |signs: &Signs| lasts.iter().filter(|last| signs.class.iter().any(|sign| is(last, sign))).count();
    let (most, domain) = signs.iter().map(|(domain, signs)| (named(signs), *domain)).max_by_key(|(count, _)| *count)?;
    let enough = most > 1 && most as f64 >= ENOUGH * classes.len() as f64;
    enough.then(|| Guess { domain, by: format!("the names of {most} of {} classes", classes.len()) })
}

/// Returns the words of a name, in lower case: `OxfordFlowers102` has two. A number is no word.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = composed(name).chars().collect();
    let (mut words, mut word) = (Vec::new(), String::new());
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).map(|place| letters[place]);
        let after = letters.get(place + 1);
        // `FGVCAircraft` goes on in its last capital.
        let begins = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || (before.is_some_and(char::is_uppercase) && after.is_some_and(|after| after.is_lowercase())));
        if begins || !letter.is_alphabetic() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Returns whether a word is a sign, in the singular or the plural: `production` is no product.
fn is(word: &str, sign: &str) -> bool {
    let singulars = [Some(word), word.strip_suffix('s'), word.strip_suffix("es")];
    let of_y = word.strip_suffix("ies").is_some_and(|stem| sign.strip_suffix('y') == Some(stem));
    of_y || singulars.contains(&Some(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(path: &str, classes: &[&str]) -> Option<Domain> {
        let classes: Vec<String> = classes.iter().map(|name| (*name).to_owned()).collect();
        guess(Path::new(path), &classes).unwrap().map(|guess| guess.domain)
    }

    #[test]
    fn names_of_folders_say_it_and_those_of_classes_otherwise() {
        assert_eq!(guessed("/data/oxford_flowers/jpg", &[]), Some(Domain::Flowers));
        assert_eq!(guessed("/data/CUB_200_2011/images", &[]), Some(Domain::Birds));
        assert_eq!(guessed("/data/my-cars", &["corn poppy", "rose"]), Some(Domain::Cars));
        assert_eq!(guessed("/data/pictures", &["Corn_Poppy", "tiger lily", "wall"]), Some(Domain::Flowers));
        assert_eq!(guessed("/data/pictures", &["Herring Gull", "blue jay"]), Some(Domain::Birds));
        for (name, domain) in [
            ("flowers102", Domain::Flowers),
            ("split_zhou_OxfordFlowers.json", Domain::Flowers),
            ("FGVCAircraft", Domain::Aircraft),
            ("StanfordCars", Domain::Cars),
            ("oxford-iiit-pet", Domain::Pets),
            ("Dishes of 2024", Domain::Food),
            ("surface anomalies", Domain::Defects),
            ("UCF-101-midframes", Domain::Actions),
            ("our_products", Domain::Products),
        ] {
            assert_eq!(guessed(&format!("/data/{name}"), &["a", "b"]), Some(domain), "{name}");
        }
        assert_eq!(guessed("/data/pictures", &["deep scratches", "hairline cracks"]), Some(Domain::Defects));
        for (path, classes) in [
            ("/data/pictures", &["a", "b"][..]),
            // No more than a word begins or ends alike, or one class ends so.
            ("/data/carpets", &["red", "blue"]),
            ("/data/production", &["red", "blue"]),
            ("/data/foodball", &["red", "blue"]),
            ("/data/birdsong/spectrograms", &["red", "blue"]),
            ("/data/catalogue", &["red", "blue"]),
            ("/data/pictures", &["rose", "wall"]),
            ("/data/pictures", &[]),
        ] {
            assert_eq!(guessed(path, classes), None, "{path}");
        }
    }
}
