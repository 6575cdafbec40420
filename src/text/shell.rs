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

/// Splits a line into words as a shell does, by spaces that are in no quotes; nothing in them is
/// expanded. Returns `None` if a quote does not end. The reverse of [`word`].
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match letter {
            '\\' => word.push(letters.next()?),
            '\'' | '"' => loop {
                match letters.next()? {
                    end if end == letter => break,
                    '\\' if letter == '"' => match letters.next()? {
                        escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    inside => word.push(inside),
                }
            },
            plain => word.push(plain),
        }
    }
    words.extend(word);
    Some(words)
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

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        for line in
            ["a  b", "sh -c 'echo got %s > f'", r#"a" b"'c' \'d "\"\x\$" ''"#, r#"one\ word "it's" "#, "", "a\tb\nc"]
        {
            // Lines are joined where the shell would begin another command.
            let printed = format!("printf '%s\\0' {}", line.replace('\n', " "));
            let said = std::process::Command::new("sh").args(["-c", &printed]).output().unwrap().stdout;
            let said = String::from_utf8(said).unwrap();
            let mut expected: Vec<&str> = said.split_terminator('\0').collect();
            // Of no words, printf makes one.
            expected.retain(|_| !line.is_empty());
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert_eq!((words("a 'b"), words("a\\"), words("\"")), (None, None, None));
        for text in ["it's a {rose}", "", "$HOME", "a\"b"] {
            assert_eq!(words(&word(text)).unwrap(), [text]);
        }
    }
}
