//! The table `llm_answers`: every answer of a language model, as it came.
//!
//! Each is a part of its own until the call ends, so that a kill loses the answer in hand and no
//! other. All of a model are then brought together in one part.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::question::{Group, Question};
use super::row::{Row, TABLE, batch, read};
use crate::error::Result;
use crate::store::layout::{Partition, Store};

/// The part that has all answers of earlier calls.
const WHOLE: &str = "answers";

/// The answers of one model in a store.
#[derive(Debug)]
pub struct Answers {
    partition: Partition,
    /// The one of each question that counts.
    counts: HashMap<String, Row>,
    parts: usize,
}

/// Returns the name of the partition of a model's answers: its own, as far as files may be called
/// so, and a digest.
pub fn partition_of(model: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = model.chars().map(fits).take(60).collect();
    format!("{}-{}", name.trim_matches(['-', '.']), &blake3::hash(model.as_bytes()).to_hex()[..8])
        .trim_matches('-')
        .to_owned()
}

impl Answers {
    /// Reads the answers of a model.
    ///
    /// # Errors
    /// Returns [`Kind::Store`](crate::error::Kind::Store) if they cannot be read.
    pub fn open(store: &Store, model: &str) -> Result<Answers> {
        let partition = store.partition(TABLE, &partition_of(model))?;
        let parts = partition.parts()?;
        let mut answers = Answers { partition, counts: HashMap::new(), parts: parts.len() };
        for row in read(parts)? {
            answers.remember(row);
        }
        Ok(answers)
    }

    fn remember(&mut self, row: Row) {
        // Asking again may fail: an answer of use, or else a refusal, counts until a newer one
        // came.
        let worth = |row: &Row| (row.problem.is_none(), row.settled, row.asked);
        if self.counts.get(&row.id).is_none_or(|known| worth(known) <= worth(&row)) {
            self.counts.insert(row.id.clone(), row);
        }
    }

    /// Returns the answer to a question that counts, if it was ever asked: the newest of use, or
    /// else the newest refusal, or else what kept it from being answered.
    pub fn of(&self, question: &Question) -> Option<&Row> {
        self.counts.get(&question.id)
    }

    /// Returns whether a question need not be asked.
    pub fn has(&self, question: &Question) -> bool {
        self.of(question).is_some_and(|row| row.settled)
    }

    /// Returns the groups of which no question need be asked.
    pub fn settled(&self, questions: &[Question]) -> HashSet<Group> {
        let open: HashSet<Group> =
            questions.iter().filter(|question| !self.has(question)).map(Question::group).collect();
        questions.iter().map(Question::group).filter(|group| !open.contains(group)).collect()
    }

    /// Returns the pairs of classes that were told apart, each once.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<_> =
            self.counts.values().filter_map(|row| Some((row.class.clone(), row.other.clone()?))).collect();
        pairs.sort();
        pairs.dedup();
        pairs
    }

    /// Returns the mean number of tokens that a sentence of this model's took; `None` if no server
    /// has counted any.
    pub fn tokens_a_sentence(&self) -> Option<f64> {
        let counted = || {
            self.counts.values().filter_map(|row| Some((row.tokens?.1, row.problem.is_none().then_some(row.wanted)?)))
        };
        let sentences: usize = counted().map(|(_, wanted)| wanted).sum();
        let tokens: f64 = counted().map(|(tokens, _)| tokens as f64).sum();
        (sentences > 0).then(|| tokens / sentences as f64)
    }

    /// Stores answers, in a part of their own.
    ///
    /// # Errors
    /// Returns [`Kind::Store`](crate::error::Kind::Store) if the part cannot be written.
    pub fn add(&mut self, rows: Vec<Row>) -> Result<()> {
        let batch = batch(&rows)?;
        let mut writer = self.partition.append(&batch.schema(), &[])?;
        writer.write(&batch)?;
        writer.finish()?;
        self.parts += 1;
        rows.into_iter().for_each(|row| self.remember(row));
        Ok(())
    }

    /// Brings all parts together in one.
    ///
    /// # Errors
    /// Returns [`Kind::Store`](crate::error::Kind::Store) if they cannot be read, or the part not
    /// be written.
    pub fn bring_together(&mut self) -> Result<()> {
        if self.parts < 2 {
            return Ok(());
        }
        // A kill in the middle of this may have left a row in two parts.
        let rows = read(self.partition.parts()?)?.into_iter().map(|row| ((row.asked, row.id.clone()), row));
        let rows: Vec<Row> = rows.collect::<BTreeMap<_, _>>().into_values().collect();
        let batch = batch(&rows)?;
        self.partition.replace(WHOLE, &batch.schema(), &[batch], &[])?;
        self.parts = 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, asked: i64, settled: bool) -> Row {
        Row {
            id: id.to_owned(),
            asked,
            class: "rose".to_owned(),
            other: (asked > 1).then(|| "aster".to_owned()),
            question: "What?".to_owned(),
            wanted: 3,
            model: "m".to_owned(),
            answered_by: None,
            temperature: (asked > 1).then_some(0.5),
            seed: u64::MAX >> 1,
            format: "lines".to_owned(),
            answer: settled.then(|| "It is red.\nIt has \"thorns\".".to_owned()),
            problem: (!settled).then(|| "500".to_owned()),
            settled,
            tokens: settled.then_some((7, 30)),
            requests: 2,
            seconds: 1.5,
        }
    }

    fn question(id: &str) -> Question {
        Question { id: id.to_owned(), class: "rose".to_owned(), other: None, text: "What?".to_owned(), wanted: 3 }
    }

    #[test]
    fn answers_come_back_as_they_were_and_the_newest_of_use_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut answers = Answers::open(&store, "m").unwrap();
        answers.add(vec![row("a", 1, false)]).unwrap();
        answers.add(vec![row("b", 2, true)]).unwrap();
        assert!(!answers.has(&question("a")) && answers.has(&question("b")) && answers.of(&question("c")).is_none());
        answers.add(vec![row("a", 3, true)]).unwrap();
        // It was asked again, and the server failed.
        answers.add(vec![row("a", 4, false)]).unwrap();
        assert_eq!(answers.settled(&[question("a"), question("b")]), HashSet::from([question("a").group()]));
        assert!(answers.settled(&[question("a"), question("c")]).is_empty());
        answers.bring_together().unwrap();
        let again = Answers::open(&store, "m").unwrap();
        assert_eq!((again.parts, again.of(&question("a"))), (1, Some(&row("a", 3, true))));
        assert_eq!(again.pairs(), [("rose".to_owned(), "aster".to_owned())]);
        assert_eq!(again.tokens_a_sentence(), Some(10.0));
        assert_eq!(read(again.partition.parts().unwrap()).unwrap().len(), 4, "earlier answers are kept");
        assert!(Answers::open(&store, "other").unwrap().counts.is_empty());
    }

    #[test]
    fn partitions_are_named_after_models() {
        let store = Store::open_read("/nowhere").unwrap();
        for (model, begins) in [
            ("gpt-4.1-mini", "gpt-4.1-mini-"),
            ("Qwen/Qwen3-8B", "qwen-qwen3-8b-"),
            ("llama3:8b", "llama3-8b-"),
            ("ü", ""),
        ] {
            let name = partition_of(model);
            assert!(name.starts_with(begins) && store.partition(TABLE, &name).is_ok(), "{name}");
        }
    }
}
