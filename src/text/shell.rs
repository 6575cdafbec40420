//! Words as a shell takes them.

use std::borrow::Cow;

/// Returns a word as it is to be typed: a command that is shown to a user is copied as it stands.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("'{}'", text.replace('\'', "'\\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_the_same_word() {
        for text in ["birds.toml", "a b.toml", "it's.toml", "$HOME/{a,b}*.toml", "größe.toml", "", "-x", "a\nb", "~/x"]
        {
            let said = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", word(text))]).output();
            assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), text);
        }
        assert_eq!(word("../birds.toml"), "../birds.toml");
    }
}
