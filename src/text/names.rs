//! Names as people, data sets and file systems spell them: with underscores or spaces, in any case,
//! with letters and their accents composed or apart, and with numbers before them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

use super::terminal::in_line;

/// Returns the form in which two spellings of a class name are the same: in lower case, with spaces
/// for underscores, without spaces around, and composed.
pub(crate) fn plain(name: &str) -> String {
    composed(&name.to_lowercase()).replace('_', " ").trim().to_owned()
}

/// Returns a name with letters and their accents composed (Unicode's NFC), as keyboards write them.
pub(crate) fn composed(name: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(name)
}

/// Returns a name with letters and their accents apart (Unicode's NFD), as macOS names files.
pub(crate) fn decomposed(name: &str) -> Cow<'_, str> {
    DecomposingNormalizerBorrowed::new_nfd().normalize(name)
}

/// Names as classes: those that are spelled alike are one.
pub(crate) struct Apart {
    /// The first name of each spelling.
    pub(crate) names: Vec<String>,
    /// Which of them each name is.
    pub(crate) places: Vec<usize>,
    /// A sentence about each name that another stands for.
    pub(crate) notes: Vec<String>,
}

impl Apart {
    pub(crate) fn of(labels: &[String]) -> Self {
        let mut apart = Apart { names: Vec::new(), places: Vec::new(), notes: Vec::new() };
        let mut alike = HashMap::new();
        for label in labels {
            let place = *alike.entry(plain(label)).or_insert(apart.names.len());
            match apart.names.get(place) {
                None => apart.names.push(label.clone()),
                Some(before) if before == label => {}
                Some(before) => apart.notes.push(format!(
                    "the labels '{}' and '{}' are spelled alike, and are one class",
                    in_line(before),
                    in_line(label)
                )),
            }
            apart.places.push(place);
        }
        apart
    }
}

/// Words that stand before a class's number and say nothing of what the class is.
const COUNTERS: [&str; 7] = ["", "c", "class", "label", "category", "cluster", "n"];

/// Returns whether all labels are numbers or codes, `7`, `class_7` or `n01440764`, about which no
/// language model can say anything.
pub(crate) fn are_numbers(labels: &[String]) -> bool {
    let is_number = |label: &String| {
        let word = label.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = &label[word.len()..];
        let word = word.trim_end_matches(['_', '-', '.', ' ']).trim().to_lowercase();
        // WordNet's numbers have eight digits; `n2` may be a name.
        !number.is_empty() && COUNTERS.contains(&word.as_str()) && (word != "n" || number.len() == 8)
    };
    !labels.is_empty() && labels.iter().all(is_number)
}

/// Returns the names without the numbers before them and with spaces for underscores, as of
/// `001.Black_footed_Albatross`; `None` unless every name has a number, and the numbers only count
/// the names: they are followed by more than a space, are padded with zeros, or run from 0 or 1
/// without a gap, or with gaps if the names still differ without them. A year before a car's name
/// does not count it. WordNet's codes, as of `n02085620-Chihuahua`, are such numbers too.
pub(crate) fn without_numbers(names: &[String]) -> Option<Vec<String>> {
    let rests = after_numbers(names)?;
    let told_apart = rests.iter().map(|rest| plain(rest)).collect::<HashSet<_>>().len() == rests.len();
    told_apart.then_some(rests)
}

/// Like [`without_numbers`], even if two names are the same without their numbers.
pub(crate) fn after_numbers(names: &[String]) -> Option<Vec<String>> {
    let mut numbers = Vec::new();
    let (mut padded, mut marked, mut codes) = (false, true, 0);
    let mut rests = Vec::new();
    for name in names {
        let name = name.trim();
        let (is_code, numbered) = match name.strip_prefix('n').filter(|rest| begins_with_code(rest)) {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let digits = numbered.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = numbered.split_at(digits);
        let text = rest.trim_start_matches(['.', '_', '-', ')', ':', ' ']);
        if text.len() == rest.len() || !text.starts_with(char::is_alphabetic) {
            return None;
        }
        codes += usize::from(is_code);
        padded |= !is_code && number.len() > 1 && number.starts_with('0');
        marked &= !rest[..rest.len() - text.len()].trim_matches([' ', '_']).is_empty();
        numbers.push(number.parse::<u64>().ok()?);
        rests.push(text.replace('_', " ").trim().to_owned());
    }
    numbers.sort_unstable();
    let distinct = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let (least, greatest) = (*numbers.first()?, *numbers.last()?);
    if codes > 0 {
        return (names.len() > 1 && distinct && codes == names.len()).then_some(rests);
    }
    // Of `1 dollar` and `5 dollars`, the number is what tells them apart.
    let singular = |rest: &String| plain(rest).trim_end_matches('s').to_owned();
    let are_apart = || rests.iter().map(singular).collect::<HashSet<_>>().len() == rests.len();
    let counts = least <= 1 && (greatest - least == numbers.len() as u64 - 1 || are_apart());
    (names.len() > 1 && distinct && (padded || marked || counts)).then_some(rests)
}

/// Returns whether a text begins with eight digits, as WordNet's codes have them.
fn begins_with_code(text: &str) -> bool {
    text.bytes().take_while(u8::is_ascii_digit).count() == 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_look_alike_are_one() {
        let apart = "Ga\u{308}nseblu\u{308}mchen";
        assert_eq!(composed(apart), "Gänseblümchen");
        assert_eq!(decomposed("Gänseblümchen"), apart);
        assert_eq!(plain(&apart.to_uppercase()), plain("gänseblümchen"));
        assert_eq!(plain(" Corn_Poppy"), "corn poppy");
    }

    #[test]
    fn numbers_and_codes_are_no_names() {
        let of = |labels: &[&str]| are_numbers(&labels.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
        for labels in
            [&["0", "1", "12"][..], &["class_0", "class_1"], &["n01440764", "n01443537"], &["c0", "c1"], &["-1", "1"]]
        {
            assert!(of(labels), "{labels:?}");
        }
        for labels in [&["707-320", "747-100"][..], &["A4", "A6"], &["1", "rose"], &["Boeing 737"], &["n2", "n3"], &[]]
        {
            assert!(!of(labels), "{labels:?}");
        }
    }

    #[test]
    fn numbers_are_taken_off_where_they_count_the_names() {
        let off = |names: &[&str]| without_numbers(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let rose_lily = Some(vec!["rose".to_owned(), "tiger lily".to_owned()]);
        for numbered in [
            ["001.rose", "017.tiger_lily"],
            ["1-rose", "5-tiger lily"],
            ["0 rose", "1 tiger_lily"],
            ["1_rose", "2_tiger_lily"],
            ["1_rose", "10_tiger_lily"],
            ["n02085620-rose", "n02085782-tiger_lily"],
            ["n02085620_rose", "n02085782_tiger_lily"],
        ] {
            assert_eq!(off(&numbered), rose_lily, "{numbered:?}");
        }
        for other in [
            ["2012 Audi", "2013 BMW"],
            ["1. rose", "1. lily"],
            ["1.rose", "lily"],
            ["707-320", "747-100"],
            ["1.rose", "2.Rose"],
            ["1 dollar", "5 dollars"],
            ["3 musketeers", "7 up"],
            ["n02085620-rose", "2-lily"],
        ] {
            assert_eq!(off(&other), None, "{other:?}");
        }
        assert_eq!(off(&["1.rose"]), None);
    }
}
