//! Cleaning: from the lines of an answer to sentences that the text tower can use. What is set
//! aside is kept with the reason.

use std::collections::HashSet;

use super::settings::Names;
use crate::error::Result;
use crate::text::line::on_one_line;
use crate::text::names::plain;

/// A line of an answer, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The line without numbers, quotes and other marks of lists; never empty.
    pub sentence: String,
    /// Why it is set aside; `None` if it is kept.
    pub reason: Option<String>,
}

/// What a sentence about a class must be.
pub struct Rules<'a> {
    /// The class's name, and those of all classes that sentences must not name.
    own: String,
    others: Vec<String>,
    names: Names,
    /// Returns why the text tower cannot read a sentence whole.
    unreadable: &'a dyn Fn(&str) -> Result<Option<String>>,
}

impl<'a> Rules<'a> {
    /// Makes the rules for a class among all classes.
    pub fn new(
        class: &str,
        classes: &[String],
        names: Names,
        unreadable: &'a dyn Fn(&str) -> Result<Option<String>>,
    ) -> Rules<'a> {
        let own = plain(class);
        // A tiger lily may be called a lily, even where lily is another class.
        let is_other = |name: &String| *name != own && is_told_from_text(name) && !has_words(&own, name);
        let others = classes.iter().map(|name| plain(name)).filter(is_other).collect();
        Rules { own, others, names, unreadable }
    }

    /// Cleans the lines of an answer of which `wanted` sentences were asked for. `seen` has the
    /// letters of sentences that the class has already.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot encode a sentence.
    pub fn clean(&self, lines: &[String], wanted: usize, seen: &mut HashSet<String>) -> Result<Vec<Cleaned>> {
        let (mut cleaned, mut kept) = (Vec::new(), 0);
        for (number, raw) in lines.iter().enumerate() {
            if raw.len() > LONGEST || number >= MOST {
                let sentence = line(&raw.chars().take(SHOWN).collect::<String>());
                let reason =
                    Some(if number < MOST { "too long: no sentence" } else { "more lines than are read" }.to_owned());
                cleaned.extend((!sentence.is_empty()).then_some(Cleaned { sentence, reason }));
                continue;
            }
            let sentence = line(raw);
            if sentence.is_empty() {
                continue;
            }
            let reason = match self.refuse(&sentence)? {
                None if seen.contains(&letters(&sentence)) => Some("double".to_owned()),
                None if kept == wanted => Some(format!("more than the {wanted} that were asked for")),
                reason => reason,
            };
            if reason.is_none() {
                seen.insert(letters(&sentence));
                kept += 1;
            }
            cleaned.push(Cleaned { sentence, reason });
        }
        Ok(cleaned)
    }

    fn refuse(&self, sentence: &str) -> Result<Option<String>> {
        let plainly = plain(sentence).replace('’', "'");
        if REFUSALS.iter().any(|refusal| plainly.starts_with(refusal)) {
            return Ok(Some("refusal".to_owned()));
        }
        if sentence.ends_with(':') {
            return Ok(Some("an introduction".to_owned()));
        }
        Ok(match self.named(&plainly) {
            Some(name) if name == self.own => Some("names the class".to_owned()),
            Some(name) => Some(format!("names another class: {name}")),
            None => (self.unreadable)(sentence)?,
        })
    }

    /// Returns a class that a sentence, in its plain form, names although it must not.
    fn named(&self, sentence: &str) -> Option<&str> {
        if self.names == Names::Any {
            return None;
        }
        if self.names == Names::None && is_told_from_text(&self.own) && has_words(sentence, &self.own) {
            return Some(&self.own);
        }
        // What is left when the class's own name is taken out: it may have another's in it.
        let rest = without_words(sentence, &self.own);
        self.others.iter().map(String::as_str).find(|name| has_words(&rest, name))
    }
}

/// Returns whether a name, where it stands in a sentence, is meant as one: a number, a letter or an
/// article alone may be anything. A sign of a script without capitals is a word.
fn is_told_from_text(name: &str) -> bool {
    let is_letter = name.chars().count() == 1 && name.contains(|c: char| c.is_lowercase() || c.is_uppercase());
    name.contains(char::is_alphabetic) && !is_letter && !["an", "the"].contains(&name)
}

/// Bytes of a line of an answer from which it is no sentence: text towers read far fewer.
const LONGEST: usize = 4_000;

/// Lines of an answer that are looked at.
const MOST: usize = 1_000;

/// Characters that are kept of a line that is not looked at.
const SHOWN: usize = 80;

/// How models begin when they do not answer, in plain form.
const REFUSALS: [&str; 13] = [
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i cannot",
    "i can't",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "i don't have",
    "i do not have",
    "as an ai",
    "unfortunately, i",
];

/// Takes the marks of lists off a line: numbers, bullets, quotes, emphasis, and spaces that are not
/// needed. The result is the same when it is cleaned again; it may be empty.
pub fn line(raw: &str) -> String {
    let mut text = on_one_line(raw);
    loop {
        // Marks before the line are taken off without copying it: there may be very many.
        let plain = text.replace("**", "").replace("__", "").replace('`', "");
        let mut rest = plain.as_str();
        while let Some(less) = stripped(rest) {
            rest = less;
        }
        let next = on_one_line(rest);
        if next == text {
            return text;
        }
        text = next;
    }
}

/// Takes one layer of marks off, if there is one.
fn stripped(text: &str) -> Option<&str> {
    let trimmed = text.trim();
    // A line of JSON that was not read as such.
    let text = trimmed.strip_suffix(',').filter(|text| text.ends_with('"')).unwrap_or(trimmed);
    let bullets = ["- ", "* ", "+ ", "• ", "– ", "— ", "· ", "# ", "> "];
    if let Some(rest) = bullets.iter().find_map(|bullet| text.strip_prefix(bullet)).or_else(|| after_number(text)) {
        return Some(rest);
    }
    for (open, close) in [('"', '"'), ('“', '”'), ('\'', '\''), ('«', '»')] {
        let inside = text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        if let Some(inside) = inside.filter(|inside| !inside.contains([open, close])) {
            return Some(inside);
        }
    }
    (text.len() < trimmed.len()).then_some(text)
}

/// Returns what follows a number as lists have it: `3. `, `3) `, `(3) `, `Sentence 3: `.
fn after_number(text: &str) -> Option<&str> {
    let word = ["Sentence ", "sentence ", "Description ", "description "].iter().find_map(|w| text.strip_prefix(w));
    let (rest, marks): (&str, &[&str]) = match word {
        Some(rest) => (rest, &[": ", ". ", ") "]),
        None => (text.strip_prefix('(').unwrap_or(text), &[". ", ") "]),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let after = &rest[digits..];
    if !(1..=3).contains(&digits) {
        return None;
    }
    marks.iter().find_map(|mark| after.strip_prefix(mark))
}

/// Returns the letters and digits of a sentence, in which two that differ in marks and case alone
/// are the same.
pub(super) fn letters(sentence: &str) -> String {
    plain(sentence).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Returns whether a text has a name as whole words, or its plural.
fn has_words(text: &str, name: &str) -> bool {
    places(text, name).next().is_some()
}

/// Returns where a name stands in a text as whole words.
fn places<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        let ends = |rest: &str| !rest.starts_with(char::is_alphanumeric);
        let plural = ["s", "es", "'s"].iter().any(|end| after.strip_prefix(end).is_some_and(ends));
        !before.ends_with(char::is_alphanumeric) && (ends(after) || plural)
    })
}

/// Returns a text with every place of a name blank.
fn without_words(text: &str, name: &str) -> String {
    let (mut rest, mut from) = (String::new(), 0);
    for at in places(text, name).filter(|_| !name.is_empty()) {
        rest.push_str(&text[from..at]);
        rest.push_str(" . ");
        from = at + name.len();
    }
    rest + &text[from..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn readable(_: &str) -> Result<Option<String>> {
        Ok(None)
    }

    #[test]
    fn marks_of_lists_are_taken_off() {
        for raw in [
            "It has 3 petals.",
            " 1. It has 3 petals. ",
            "12) It has\n3 petals.",
            "(2) It has 3 petals.",
            "- **It has 3 petals.**",
            "• \"It has 3 petals.\"",
            "Sentence 4: It has 3 petals.",
            "  \"It has 3 petals.\",",
            "1. - “It has\t3 petals.”",
        ] {
            assert_eq!(line(raw), "It has 3 petals.", "{raw}");
        }
        // What only looks like a list.
        for whole in ["1.5 m long stems.", "3 petals.", "1950. A car.", "The \"eye\" is dark.", "\"A\" and \"B\""] {
            assert_eq!(line(whole), whole);
        }
    }

    #[test]
    fn what_is_set_aside_says_why() {
        let classes = ["tiger lily", "lily", "rose", "day lily"].map(str::to_owned);
        let reasons = |names, lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let long = |sentence: &str| Ok((sentence.len() > 60).then(|| "too long".to_owned()));
            let cleaned =
                Rules::new("Tiger_Lily", &classes, names, &long).clean(&lines, 3, &mut HashSet::new()).unwrap();
            cleaned.into_iter().map(|cleaned| cleaned.reason.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(
            reasons(
                Names::Own,
                &[
                    "Here are three sentences:",
                    "A tiger lily is orange.",
                    "a TIGER LILY is orange",
                    "The tiger lily's lilies are spotted.",
                    "Unlike a rose, it has spots.",
                    "Smaller than day lilies and day lily plants.",
                    "It is prosecuted by primroses.",
                    "I’m sorry, I cannot see it.",
                    "It has one two three four five six seven eight nine ten petals.",
                    "It is tall.",
                ]
            ),
            [
                "an introduction",
                "",
                "double",
                "",
                "names another class: rose",
                "names another class: day lily",
                "",
                "refusal",
                "too long",
                "more than the 3 that were asked for",
            ]
        );
        assert_eq!(reasons(Names::None, &["Tiger lilies bloom.", "A tiger lily blooms."]), ["", "names the class"]);
        assert_eq!(reasons(Names::Any, &["Unlike a rose, a tiger lily has spots."]), [""]);
    }

    #[test]
    fn letters_and_numbers_are_no_names_in_a_sentence() {
        let classes = ["A", "I", "7", "The", "rose"].map(str::to_owned);
        let lines = ["A sign that I see: the thumb beside 7 folded lines.".to_owned()];
        assert!(!is_told_from_text("é") && is_told_from_text("梅"));
        for (class, names) in [("rose", Names::Own), ("A", Names::None), ("7", Names::None)] {
            let rules = Rules::new(class, &classes, names, &readable);
            let cleaned = rules.clean(&lines, 3, &mut HashSet::new()).unwrap();
            assert_eq!(cleaned[0].reason, None, "{class}");
        }
    }

    #[test]
    fn an_answer_of_marks_alone_takes_no_time() {
        let began = std::time::Instant::now();
        let marks = format!("{}A rose.", "- ".repeat(1_900));
        assert_eq!(line(&marks), "A rose.");
        let lines = vec![marks, format!("{}a", "- ".repeat(2 << 20)), "*_".repeat(900) + &"_*".repeat(900)];
        let lines = [lines, vec!["1. ".repeat(1_000) + "a"; 1_200]].concat();
        let rules = Rules::new("rose", &[], Names::Own, &readable);
        let cleaned = rules.clean(&lines, 3, &mut HashSet::new()).unwrap();
        assert!(cleaned[0].reason.is_none() && cleaned[1].reason.as_deref() == Some("too long: no sentence"));
        assert!(cleaned.iter().all(|cleaned| cleaned.sentence.len() < 100) && began.elapsed().as_secs() < 20);
    }

    proptest! {
        #[test]
        fn cleaning_has_laws(
            lines in prop::collection::vec("([0-9]{1,4}[.)] |[-*\"(“'] ?|Sentence [0-9]: |[*_`]{1,2}|[a-cA-C. ]{0,6}|\\PC{0,4}){0,5}", 0..12),
            wanted in 0_usize..6,
        ) {
            let classes = ["a b".to_owned(), "c".to_owned()];
            let rules = Rules::new("a b", &classes, Names::Own, &readable);
            let clean = |lines: &[String], wanted| rules.clean(lines, wanted, &mut HashSet::new()).unwrap();
            let cleaned = clean(&lines, wanted);
            // It makes no sentence of nothing, and no more than came or were asked for.
            prop_assert!(cleaned.len() <= lines.len());
            prop_assert!(cleaned.iter().all(|cleaned| !cleaned.sentence.trim().is_empty()));
            let kept: Vec<String> =
                cleaned.iter().filter(|cleaned| cleaned.reason.is_none()).map(|cleaned| cleaned.sentence.clone()).collect();
            prop_assert!(kept.len() <= wanted);
            // What was kept stays as it is.
            let again = clean(&kept, wanted);
            prop_assert!(again.iter().all(|cleaned| cleaned.reason.is_none()), "{again:?}");
            prop_assert_eq!(again.into_iter().map(|cleaned| cleaned.sentence).collect::<Vec<_>>(), kept);
            for raw in &lines {
                prop_assert_eq!(line(&line(raw)), line(raw));
                prop_assert!(line(raw).len() <= raw.len());
            }
        }
    }
}
