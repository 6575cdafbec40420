//! Words of others on one line of ours.

use super::terminal::turns;

/// Returns a text on one line with single spaces, without what steers a terminal: control
/// characters, whole sequences of them, and marks that turn the direction of writing.
pub(crate) fn on_one_line(text: &str) -> String {
    let plain: String = without_sequences(text).chars().filter(|c| !is_unseen(*c)).collect();
    let plain = plain.replace(char::is_control, " ");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns whether a character shows nothing itself, and is of no use in a sentence: marks of
/// direction, and of byte order.
fn is_unseen(c: char) -> bool {
    turns(c) || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// Takes out what terminals read as commands: colours (`ESC [ 31 m`), titles and links (`ESC ] ...
/// BEL`).
fn without_sequences(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain += match (piece.strip_prefix('['), piece.strip_prefix(']')) {
            (Some(rest), _) => {
                let rest = rest.trim_start_matches(|c| matches!(c, ' '..='?'));
                rest.strip_prefix(|c| matches!(c, '@'..='~')).unwrap_or(rest)
            }
            // Up to BEL, or to the ESC \ that the next piece begins with.
            (_, Some(rest)) => rest.split_once('\u{7}').map_or("", |(_, rest)| rest),
            _ => piece.strip_prefix('\\').unwrap_or(piece),
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        for (raw, plain) in [
            ("one\n two\t three ", "one two three"),
            ("\u{1b}[1;31mred\u{1b}[0m rose\u{1b}[2J", "red rose"),
            ("\u{1b}]0;title\u{7}rose \u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{1b}\\", "rose link"),
            ("a\u{9b}31m b\u{7f}\u{8}c", "a 31m b c"),
            ("a \u{202e}evil\u{202c} rose\u{feff}", "a evil rose"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("naïve — “rose”", "naïve — “rose”"),
        ] {
            assert_eq!(on_one_line(raw), plain, "{raw:?}");
        }
    }
}
