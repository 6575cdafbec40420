//! New sentences and those of the file become one: what a person wrote, changed or took out stays
//! so, and no sentence goes before another stands in its place.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::question::Group;
use super::sentences::Sentence;
use crate::text::names::plain;

/// Why a sentence is set aside that a person took out.
const TAKEN_OUT: &str = "taken out of the file";

/// Why a sentence is set aside whose class still has those of earlier answers.
const WAITS: &str = "held back until all questions about its class are answered";

/// What the sentences of the file and those of the answers make together.
#[derive(Debug)]
pub struct Merged {
    /// The file as it is to be: (name, sentences), in its order.
    pub entries: Vec<(String, Vec<String>)>,
    /// The rows of `llm_sentences` once the file is so.
    pub rows: Vec<Sentence>,
    /// The rows of it while the file is written. Whether a kill leaves the old file or the new one,
    /// by these rows no sentence is taken for one that a person wrote or took out.
    pub rows_meanwhile: Vec<Sentence>,
    /// The classes that keep sentences of earlier answers until their questions are answered.
    pub waiting: Vec<String>,
}

/// Puts the sentences of the current answers about `classes`, `new`, into the entries of a file of
/// sentences. `settled` are the groups of questions that need not be asked any more, and `earlier`
/// the rows that the last call left.
///
/// - What no earlier row has is a person's, and stays.
/// - What an earlier row has and the current answers have not was replaced by them, and goes, once
///   all questions of its group are settled and gave a sentence. Until then it stays, and the new
///   sentences of the group wait.
/// - What was put there and is not in the file was taken out by a person, and stays out, unless its
///   class has no sentence left.
pub fn merged(
    entries: Vec<(String, Vec<String>)>,
    classes: &[String],
    new: Vec<Sentence>,
    settled: &HashSet<Group>,
    earlier: Vec<Sentence>,
) -> Merged {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, (name, _)) in entries.iter().enumerate() {
        places.entry(plain(name)).or_insert(place);
    }
    let (mut new, mut earlier) = (by_class(new), by_class(earlier));
    let mut merged = Merged { entries, rows: Vec::new(), rows_meanwhile: Vec::new(), waiting: Vec::new() };
    for class in classes {
        let name = plain(class);
        let place = *places.entry(name.clone()).or_insert_with(|| {
            merged.entries.push((class.clone(), Vec::new()));
            merged.entries.len() - 1
        });
        let before = std::mem::take(&mut merged.entries[place].1);
        let [new, earlier] = [&mut new, &mut earlier].map(|rows| rows.remove(&name).unwrap_or_default());
        merged.entries[place].1 = merged.put(class, before, new, settled, earlier);
    }
    // A class that the dataset lacks may come back.
    for row in earlier.into_values().flatten().filter(is_known) {
        merged.rows_meanwhile.push(row.clone());
        merged.rows.push(row);
    }
    merged
}

fn by_class(sentences: Vec<Sentence>) -> BTreeMap<String, Vec<Sentence>> {
    let mut of_class: BTreeMap<String, Vec<Sentence>> = BTreeMap::new();
    for sentence in sentences {
        of_class.entry(plain(&sentence.class)).or_default().push(sentence);
    }
    of_class
}

/// Returns whether an earlier row is of a sentence that is or was in the file, or was on its way.
fn is_known(row: &Sentence) -> bool {
    matches!(row.reason.as_deref(), None | Some(TAKEN_OUT))
}

impl Merged {
    /// Returns the sentences of a class that the file is to have, and notes what becomes of each
    /// row.
    fn put(
        &mut self,
        class: &str,
        before: Vec<String>,
        mut new: Vec<Sentence>,
        settled: &HashSet<Group>,
        earlier: Vec<Sentence>,
    ) -> Vec<String> {
        let in_file: HashSet<&str> = before.iter().map(String::as_str).collect();
        let current: HashSet<String> =
            new.iter().filter(|row| row.reason.is_none()).map(|row| row.text.clone()).collect();
        let known = earlier.into_iter().filter(is_known).map(|row| Sentence { class: class.to_owned(), ..row });
        let (there, gone): (Vec<Sentence>, Vec<Sentence>) = known.partition(|row| in_file.contains(row.text.as_str()));
        // An emptied class is filled again.
        let gone = gone.into_iter().filter(|row| row.written && !before.is_empty());
        let gone: Vec<Sentence> = gone.map(|row| Sentence { reason: Some(TAKEN_OUT.to_owned()), ..row }).collect();
        let taken_out: HashSet<&str> = gone.iter().map(|row| row.text.as_str()).collect();

        let stands = |row: &Sentence| row.reason.is_none() && !taken_out.contains(row.text.as_str());
        let gave = |other: &Option<String>| new.iter().any(|row| stands(row) && row.other == *other);
        let is_replaced = |row: &Sentence| settled.contains(&(class.to_owned(), row.other.clone())) && gave(&row.other);
        let old = there.iter().filter(|row| !current.contains(&row.text)).cloned();
        let old = old.map(|row| Sentence { reason: None, written: true, ..row });
        let (replaced, kept): (Vec<Sentence>, Vec<Sentence>) = old.partition(is_replaced);
        let waiting: HashSet<Option<String>> = kept.iter().map(|row| row.other.clone()).collect();
        if waiting.contains(&None) {
            self.waiting.push(class.to_owned());
        }

        let goes: HashSet<&str> = replaced.iter().map(|row| row.text.as_str()).collect();
        let mut after: Vec<String> = before.iter().filter(|text| !goes.contains(text.as_str())).cloned().collect();
        for row in new.iter_mut().filter(|row| row.reason.is_none()) {
            if in_file.contains(row.text.as_str()) {
                row.written = true;
            } else if taken_out.contains(row.text.as_str()) {
                (row.written, row.reason) = (true, Some(TAKEN_OUT.to_owned()));
            } else if waiting.contains(&row.other) {
                row.reason = Some(WAITS.to_owned());
            } else {
                row.written = true;
                after.push(row.text.clone());
            }
        }
        let rows: Vec<Sentence> =
            new.into_iter().chain(kept).chain(gone.into_iter().filter(|row| !current.contains(&row.text))).collect();
        // What only one of the two files has is in neither for certain.
        let certain = |row: &Sentence| row.reason.is_some() || in_file.contains(row.text.as_str());
        self.rows_meanwhile
            .extend(rows.iter().map(|row| Sentence { written: row.written && certain(row), ..row.clone() }));
        self.rows_meanwhile.extend(replaced.into_iter().map(|row| Sentence { written: false, ..row }));
        self.rows.extend(rows);
        after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Entries = Vec<(String, Vec<String>)>;

    fn sentence(class: &str, text: &str) -> Sentence {
        let (class, text, answer) = (class.to_owned(), text.to_owned(), "id".to_owned());
        Sentence { class, other: None, text, reason: None, written: false, answer }
    }

    fn entries(of: &[(&str, &[&str])]) -> Entries {
        of.iter().map(|(name, list)| ((*name).to_owned(), texts(list))).collect()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn settled(classes: &[&str]) -> HashSet<Group> {
        classes.iter().map(|class| ((*class).to_owned(), None)).collect()
    }

    fn poppies(new: &[&str]) -> Vec<Sentence> {
        new.iter().map(|text| sentence("corn poppy", text)).collect()
    }

    /// Merges sentences about one class.
    fn poppy(file: &[&str], new: &[&str], is_settled: bool, earlier: &[Sentence]) -> (Vec<String>, Vec<Sentence>) {
        let settled = settled(if is_settled { &["corn poppy"] } else { &[] });
        let Merged { entries, rows, .. } =
            merged(entries(&[("corn poppy", file)]), &texts(&["corn poppy"]), poppies(new), &settled, earlier.to_vec());
        (entries[0].1.clone(), rows)
    }

    #[test]
    fn what_a_person_did_stays() {
        let (classes, all) = (texts(&["corn poppy", "rose"]), settled(&["corn poppy", "rose"]));
        let first = vec![sentence("corn poppy", "A"), sentence("corn poppy", "B"), sentence("rose", "C")];
        let file = entries(&[("Corn_Poppy", &["mine"]), ("weed", &["left aside"])]);
        let made = merged(file, &classes, first.clone(), &all, Vec::new());
        let expected = entries(&[("Corn_Poppy", &["mine", "A", "B"]), ("weed", &["left aside"]), ("rose", &["C"])]);
        assert_eq!(made.entries, expected);
        assert!(made.rows.iter().all(|row| row.written));
        // Again: nothing changes.
        assert_eq!(merged(expected.clone(), &classes, first, &all, made.rows.clone()).entries, expected);
        // B was taken out, C changed, and rose has another answer now.
        let edited = entries(&[("Corn_Poppy", &["A", "mine"]), ("rose", &["C, changed"])]);
        let next = vec![sentence("corn poppy", "A"), sentence("corn poppy", "B"), sentence("rose", "D")];
        let made = merged(edited, &classes, next, &all, made.rows);
        assert_eq!(made.entries, entries(&[("Corn_Poppy", &["A", "mine"]), ("rose", &["C, changed", "D"])]));
        assert_eq!(made.rows[1].reason.as_deref(), Some(TAKEN_OUT));
        // A is of an answer that was replaced. Where it comes back, B is still one taken out.
        let (file, rows) = poppy(&["A", "mine"], &["E"], true, &made.rows);
        assert_eq!(file, ["mine", "E"]);
        let (file, rows) = poppy(&["mine", "E"], &["A", "B"], true, &rows);
        assert_eq!(file, ["mine", "A"]);
        // An emptied class is filled again.
        assert_eq!(poppy(&[], &["A", "B"], true, &rows).0, ["A", "B"]);
    }

    #[test]
    fn a_sentence_goes_once_others_stand_in_its_place() {
        let (file, rows) = poppy(&["mine"], &["A", "B"], true, &[]);
        // Another model has answered nothing yet, one question of two, or with nothing of use.
        for (new, is_settled) in [(&[][..], false), (&["X"], false), (&[], true)] {
            let before: Vec<&str> = file.iter().map(String::as_str).collect();
            let (same, rows) = poppy(&before, new, is_settled, &rows);
            assert_eq!(same, file, "{new:?}");
            // A person may take some out meanwhile, and the first model's answers count again.
            assert_eq!(poppy(&["mine", "B"], &["A", "B"], true, &rows).0, ["mine", "B"]);
            assert_eq!(poppy(&before, &["X", "Y"], true, &rows).0, ["mine", "X", "Y"]);
        }
        // What tells it from a rose is another group of questions.
        let against = |text: &str| Sentence { other: Some("rose".to_owned()), ..sentence("corn poppy", text) };
        let rows = [rows, vec![Sentence { written: true, ..against("R") }]].concat();
        let file = entries(&[("corn poppy", &["A", "B", "R"])]);
        let made = merged(file, &texts(&["corn poppy"]), poppies(&["X"]), &settled(&["corn poppy"]), rows);
        assert_eq!(made.entries[0].1, ["R", "X"]);
        // One that is told apart is added at once, though others wait.
        let new = vec![sentence("corn poppy", "Y"), against("S")];
        let told = HashSet::from([("corn poppy".to_owned(), Some("rose".to_owned()))]);
        let made = merged(made.entries, &texts(&["corn poppy"]), new, &told, made.rows);
        assert_eq!(made.entries[0].1, ["X", "S"]);
        assert_eq!((made.waiting, made.rows[0].reason.as_deref()), (texts(&["corn poppy"]), Some(WAITS)));
    }

    #[test]
    fn a_class_may_leave_the_dataset_and_come_back() {
        let (_, rows) = poppy(&[], &["A"], true, &[]);
        let file = entries(&[("corn poppy", &["A"])]);
        let without = merged(file, &texts(&["rose"]), Vec::new(), &HashSet::new(), rows);
        assert_eq!(without.entries, entries(&[("corn poppy", &["A"]), ("rose", &[])]));
        assert_eq!(poppy(&["A"], &["B"], true, &without.rows).0, ["B"]);
    }

    proptest! {
        /// Whatever a kill leaves, the next call makes the file that it would have been.
        #[test]
        fn a_kill_while_the_file_is_written_changes_nothing(
            mine in prop::collection::vec("[m-n]", 0..2),
            [first, second, third] in prop::array::uniform3(prop::collection::hash_set("[a-f]", 0..5)),
            out in prop::collection::hash_set("[a-f]", 0..2),
            settled in any::<[bool; 3]>(),
        ) {
            let strs = |set: &HashSet<String>| { let mut all: Vec<String> = set.iter().cloned().collect(); all.sort(); all };
            let at = |file: &[String], new: &HashSet<String>, is_settled: bool, rows: &[Sentence]| {
                let (file, new): (Vec<&str>, Vec<String>) = (file.iter().map(String::as_str).collect(), strs(new));
                let set = settled_of(is_settled);
                let new = poppies(&new.iter().map(String::as_str).collect::<Vec<_>>());
                merged(entries(&[("corn poppy", &file)]), &texts(&["corn poppy"]), new, &set, rows.to_vec())
            };
            let one = at(&mine, &first, settled[0], &[]);
            let before: Vec<String> = one.entries[0].1.iter().filter(|text| !out.contains(*text)).cloned().collect();
            let two = at(&before, &second, settled[1], &one.rows);
            let after = &two.entries[0].1;
            prop_assert!(before.iter().all(|text| !mine.contains(text) || after.contains(text)), "a person's went");
            prop_assert!(before.is_empty() || !after.is_empty(), "the class was emptied");
            for (new, is_settled) in [(&second, settled[1]), (&third, settled[2]), (&first, settled[0])] {
                let whole = at(after, new, is_settled, &two.rows);
                let killed = at(after, new, is_settled, &two.rows_meanwhile);
                prop_assert_eq!(&killed.entries, &whole.entries, "the new file was there");
                let whole = at(&before, new, is_settled, &one.rows);
                let killed = at(&before, new, is_settled, &two.rows_meanwhile);
                prop_assert_eq!(&killed.entries, &whole.entries, "the old file was there");
            }
        }
    }

    fn settled_of(is_settled: bool) -> HashSet<Group> {
        settled(if is_settled { &["corn poppy"] } else { &[] })
    }
}
