//! What of others a terminal may be shown: a file can be called anything, and so can a class.

use std::borrow::Cow;

/// Returns a text with what steers a terminal written out, `\u{1b}`, so that a name from a data set
/// neither colours nor clears the screen. Line ends and tabs stay.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    written_out(text, steers)
}

/// Like [`harmless`], for a name in a sentence or a cell: line ends and tabs are written out too,
/// `\n`, so that a folder's name neither breaks a note nor looks like two rows of a table.
pub(crate) fn in_line(name: &str) -> Cow<'_, str> {
    written_out(name, |c| steers(c) || c.is_control())
}

fn written_out(text: &str, which: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(which) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if which(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(written).collect())
}

/// Returns whether a terminal obeys a character instead of showing it: control characters, and
/// those that turn the direction of what follows.
fn steers(c: char) -> bool {
    turns(c) || (c.is_control() && c != '\n' && c != '\t')
}

/// Returns whether a character turns the direction of all that follows, so that it reads as
/// something else.
pub(super) fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_nothing_else() {
        for (raw, shown) in [
            ("a\u{1b}[31mb.jpg", "a\\u{1b}[31mb.jpg"),
            ("a\u{9b}2J\u{7f}\r", "a\\u{9b}2J\\u{7f}\\r"),
            ("gnp.\u{202e}exe", "gnp.\\u{202e}exe"),
            ("two\nlines,\ta tab", "two\nlines,\ta tab"),
            ("naïve — “rose” 花 \\u{1b}", "naïve — “rose” 花 \\u{1b}"),
        ] {
            assert_eq!(harmless(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(in_line("red\nrose\tof \u{1b}[31mit"), "red\\nrose\\tof \\u{1b}[31mit");
        assert!(matches!(in_line("naïve “rose” 花"), Cow::Borrowed(_)));
    }
}
