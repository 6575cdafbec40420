//! The layouts of files of sentences that are published: sentences (CuPL), descriptors (DCLIP), and
//! words for all classes alike (WaffleCLIP).

use crate::settings::choice;

choice! {
    /// How a file says what the classes look like.
    Layout {
        /// `{"class name": ["sentence", ...]}`, as CuPL and `microclip-pipe describe` write it.
        Sentences = "sentences",
        /// `{"class name": ["descriptor", ...]}`, as DCLIP writes it: `two legs` becomes `a photo
        /// of a hen, which has two legs.`, by the first of `templates`.
        Descriptors = "descriptors",
        /// `["word", ...]`, or a word a line: the descriptors of every class, as in WaffleCLIP.
        Words = "words",
    }
}

/// Returns the prompt that a descriptor makes of a template.
pub(super) fn prompt(template: &str, class: &str, descriptor: &str) -> String {
    let (photo, descriptor) = (template.replace("{}", class), descriptor.trim_end_matches('.'));
    format!("{}, {} {descriptor}.", photo.trim_end_matches(['.', ' ']), joint(descriptor))
}

/// Returns what joins a descriptor to a name, by DCLIP's rule (`make_descriptor_sentence`), but for
/// words that only begin like an article, such as `antlers`.
fn joint(descriptor: &str) -> &'static str {
    let first = descriptor.split_whitespace().next().unwrap_or_default();
    match first {
        "a" | "an" | "used" => "which is",
        "has" | "have" | "often" | "typically" | "usually" | "may" | "can" | "is" | "are" => "which",
        _ => "which has",
    }
}

/// Returns a note where descriptors are read as sentences: hardly any ends like one.
pub(super) fn looks_like_descriptors(sentences: &[Vec<String>]) -> bool {
    let all = || sentences.iter().flatten();
    let ends = all().filter(|sentence| sentence.ends_with(['.', '!', '"', ';'])).count();
    let short = all().filter(|sentence| sentence.split_whitespace().count() <= 6).count();
    let count = all().count();
    count >= 10 && ends * 10 < count && short * 2 > count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_become_prompts() {
        for (descriptor, expected) in [
            ("two legs", "a photo of a hen, which has two legs."),
            ("a small bird", "a photo of a hen, which is a small bird."),
            ("has feathers.", "a photo of a hen, which has feathers."),
            ("often brown", "a photo of a hen, which often brown."),
            ("used for eggs", "a photo of a hen, which is used for eggs."),
            ("antlers", "a photo of a hen, which has antlers."),
        ] {
            assert_eq!(prompt("a photo of a {}.", "hen", descriptor), expected);
        }
        assert_eq!(prompt("{}", "hen", "two legs"), "hen, which has two legs.");
    }

    #[test]
    fn descriptors_among_sentences_are_noticed() {
        let of = |text: &str| vec![vec![text.to_owned(); 12]];
        assert!(looks_like_descriptors(&of("two legs")));
        assert!(!looks_like_descriptors(&of("A hen has two legs.")));
        assert!(!looks_like_descriptors(&[vec!["two legs".to_owned(); 3]]));
    }
}
