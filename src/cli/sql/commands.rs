//! What the shell does besides SQL: lines that begin with a backslash.

use crate::error::{Error, Kind, Result};
use crate::table::format::Format;
use crate::text::nearest::nearest;

/// The commands: their names, what follows them, and what they do.
pub(super) const COMMANDS: [(&str, &str, &str); 7] = [
    ("\\d", "[TABLE]", "list tables and views, or the columns of one and what they mean"),
    ("\\timing", "", "say, or say no more, how long statements take"),
    ("\\format", "FORMAT", "how rows are written: table, csv or json"),
    ("\\o", "[FILE]", "write rows to this file; without one, here again"),
    ("\\refresh", "", "look again for what runs have written meanwhile"),
    ("\\?", "", "this list"),
    ("\\q", "", "leave, as Ctrl-D does"),
];

/// A command that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Describe(Option<String>),
    Timing,
    Format(Format),
    Output(Option<String>),
    Refresh,
    Help,
    Quit,
}

/// Reads a line that begins with a backslash.
///
/// # Errors
/// Returns [`Kind::Usage`] if there is no such command, or it has too many or too few arguments.
pub(super) fn read(line: &str) -> Result<Command> {
    let line = line.trim().trim_end_matches(';').trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let given = (!rest.is_empty()).then(|| rest.to_owned());
    let command = match (name, &given) {
        ("\\d", _) => Command::Describe(given),
        ("\\o", _) => Command::Output(given),
        ("\\format", Some(format)) => match format.parse()? {
            Format::Parquet => {
                return Err(Error::new(Kind::Usage, "Parquet is a file of one result")
                    .hint("use microclip-pipe sql PIPELINE \"STATEMENT\" --format parquet --output FILE"));
            }
            format => Command::Format(format),
        },
        ("\\format", None) => {
            return Err(Error::new(Kind::Usage, "\\format: which?").hint("the formats here are table, csv, json"));
        }
        ("\\timing", None) => Command::Timing,
        ("\\refresh", None) => Command::Refresh,
        ("\\?", None) => Command::Help,
        ("\\q", None) => Command::Quit,
        _ => return Err(unknown(name)),
    };
    Ok(command)
}

/// Returns the command that a text begins with in the place of SQL: elsewhere than in the shell
/// there are none.
pub(super) fn in_place_of(sql: &str) -> Option<&str> {
    let first = sql.split_whitespace().next()?.trim_end_matches(';');
    first.starts_with('\\').then_some(first)
}

fn unknown(name: &str) -> Error {
    if COMMANDS.iter().any(|(known, _, _)| *known == name) {
        return Error::new(Kind::Usage, format!("nothing follows {name}")).hint("type it alone");
    }
    let error = Error::new(Kind::Usage, format!("there is no command {name}"));
    let near = nearest(name, COMMANDS.iter().map(|(known, _, _)| (*known, *known))).filter(|near| near.len() > 2);
    error.hint(near.map_or("\\? lists them".to_owned(), |near| format!("did you mean {near}?")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_refused() {
        assert_eq!(read("\\d").unwrap(), Command::Describe(None));
        assert_eq!(read("\\d  runs; ").unwrap(), Command::Describe(Some("runs".to_owned())));
        assert_eq!(read("\\format csv").unwrap(), Command::Format(Format::Csv));
        assert_eq!(read("\\o my file.csv").unwrap(), Command::Output(Some("my file.csv".to_owned())));
        for (line, hint) in [("\\timng", "did you mean \\timing?"), ("\\x", "\\? lists them")] {
            assert_eq!(read(line).unwrap_err().hint_text(), Some(hint), "{line}");
        }
        assert!(read("\\q now").is_err() && read("\\format parquet").is_err());
    }
}
