//! New sentences and those of the file become one: what a person wrote, changed or took out stays
//! so.

use std::collections::HashMap;

use super::sentences::{Made, Sentence};
use crate::text::names::plain;

/// Puts `sentences` about `classes` into the entries of a file of sentences, (name, sentences) in
/// its order, and notes in each whether it is there.
///
/// - What was not put there earlier (`made`) is a person's, and stays.
/// - What was, and is among the sentences no more, was replaced by another answer, and goes.
/// - What was, and is not in the file, was taken out by a person, and stays out, unless its class
///   has no sentence left.
pub fn merged(
    entries: Vec<(String, Vec<String>)>,
    classes: &[String],
    sentences: &mut [Sentence],
    made: &Made,
) -> Vec<(String, Vec<String>)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut entries = entries;
    for (place, (name, _)) in entries.iter().enumerate() {
        places.entry(plain(name)).or_insert(place);
    }
    let mut of_class: HashMap<String, Vec<&mut Sentence>> = HashMap::new();
    for sentence in sentences {
        of_class.entry(sentence.class.clone()).or_default().push(sentence);
    }
    let nothing = Default::default();
    for class in classes {
        let place = *places.entry(plain(class)).or_insert_with(|| {
            entries.push((class.clone(), Vec::new()));
            entries.len() - 1
        });
        let before = std::mem::take(&mut entries[place].1);
        let (made, mut current) = (made.get(class).unwrap_or(&nothing), of_class.remove(class).unwrap_or_default());
        let is_current =
            |text: &String| current.iter().any(|sentence| sentence.reason.is_none() && sentence.text == *text);
        let mut after: Vec<String> =
            before.iter().filter(|text| !made.contains(*text) || is_current(text)).cloned().collect();
        for sentence in current.iter_mut().filter(|sentence| sentence.reason.is_none()) {
            sentence.written = true;
            if before.contains(&sentence.text) {
                continue;
            }
            if made.contains(&sentence.text) && !before.is_empty() {
                sentence.reason = Some("taken out of the file".to_owned());
                continue;
            }
            after.push(sentence.text.clone());
        }
        entries[place].1 = after;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(class: &str, text: &str) -> Sentence {
        let (class, text, answer) = (class.to_owned(), text.to_owned(), "id".to_owned());
        Sentence { class, other: None, text, reason: None, written: false, answer }
    }

    fn entries(of: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        of.iter().map(|(name, list)| ((*name).to_owned(), owned(list))).collect()
    }

    #[test]
    fn what_a_person_did_stays() {
        let classes = ["corn poppy".to_owned(), "rose".to_owned()];
        let mut first = [sentence("corn poppy", "A"), sentence("corn poppy", "B"), sentence("rose", "C")];
        let file = entries(&[("Corn_Poppy", &["mine"]), ("weed", &["left aside"])]);
        let file = merged(file, &classes, &mut first, &Made::new());
        let expected = entries(&[("Corn_Poppy", &["mine", "A", "B"]), ("weed", &["left aside"]), ("rose", &["C"])]);
        assert_eq!(file, expected);
        assert!(first.iter().all(|sentence| sentence.written));
        let mut made = Made::new();
        for sentence in &first {
            made.entry(sentence.class.clone()).or_default().insert(sentence.text.clone());
        }
        // Again: nothing changes.
        let mut again = first.clone();
        assert_eq!(merged(file.clone(), &classes, &mut again, &made), expected);
        // B was taken out, C changed, and rose has another answer now.
        let edited = entries(&[("Corn_Poppy", &["A", "mine"]), ("rose", &["C, changed"])]);
        let mut next = [sentence("corn poppy", "A"), sentence("corn poppy", "B"), sentence("rose", "D")];
        let file = merged(edited, &classes, &mut next, &made);
        assert_eq!(file, entries(&[("Corn_Poppy", &["A", "mine"]), ("rose", &["C, changed", "D"])]));
        assert_eq!(next[1].reason.as_deref(), Some("taken out of the file"));
        // A is of an answer that was replaced.
        let file = merged(file, &classes, &mut [sentence("corn poppy", "E")], &made);
        assert_eq!(file[0].1, ["mine", "E"]);
        // An emptied class is filled again.
        let file = merged(entries(&[("rose", &[])]), &classes[1..], &mut [sentence("rose", "C")], &made);
        assert_eq!(file, entries(&[("rose", &["C"])]));
    }
}
