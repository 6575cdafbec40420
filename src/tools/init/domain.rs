//! What kind of thing the classes are, by the names of the folder and of the classes.

use std::path::Path;

use crate::error::Result;
use crate::stage::ask::{Domain, Signs};
use crate::text::names::plain;

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

fn by_folder(pictures: &Path, signs: &[(Domain, Signs)]) -> Option<Guess> {
    pictures.iter().rev().take(2).filter_map(|name| name.to_str()).find_map(|name| {
        let words = plain(name);
        let mut words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.find_map(|word| {
            // Short beginnings are whole words: `carpets` has nothing to do with cars.
            let is = |sign: &String| if sign.len() <= 3 { word == sign } else { word.starts_with(sign.as_str()) };
            let (domain, _) = signs.iter().find(|(_, signs)| signs.folder.iter().any(is))?;
            Some(Guess { domain: *domain, by: format!("the name '{name}'") })
        })
    })
}

fn by_classes(classes: &[String], signs: &[(Domain, Signs)]) -> Option<Guess> {
    let last = |class: &String| plain(class).rsplit(' ').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = classes.iter().map(last).collect();
    let named = |signs: &Signs| lasts.iter().filter(|last| signs.class.contains(last)).count();
    let (most, domain) = signs.iter().map(|(domain, signs)| (named(signs), *domain)).max_by_key(|(count, _)| *count)?;
    let enough = most > 1 && most as f64 >= ENOUGH * classes.len() as f64;
    enough.then(|| Guess { domain, by: format!("the names of {most} of {} classes", classes.len()) })
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
}
