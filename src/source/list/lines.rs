//! Lists without a header line, as the authors of many data sets write them: `.txt` files with a
//! picture a line, and its class behind it: `1025794 707-320`. Without a class, it is the
//! picture's folder: `apple_pie/1005649`.

use std::path::Path;

use super::Row;
use super::separated::separator_of;
use crate::error::{Error, Kind, Result};
use crate::source::column_names::{Chosen, means_path};
use crate::source::folder::{class_name, is_picture};
use crate::source::label::Label;
use crate::text::file as text_file;

/// The most bytes of such a list: room for some million pictures.
const LONGEST: u64 = 1 << 28;

/// Reads the lines of a list if it is one without a header: if it is called so, and no word of its
/// first line says that it is one.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read, or a line says more than a class.
pub(super) fn rows(path: &Path, chosen: Chosen<'_>) -> Result<Option<Vec<Row>>> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("txt")) {
        return Ok(None);
    }
    let text = text_file::read(path, Kind::Input, LONGEST)?;
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_name = |word: &str| means_path(word) || chosen.names[0].is_some_and(|name| name.eq_ignore_ascii_case(word));
    let separator = char::from(separator_of(first.as_bytes()));
    if first.split([separator, ' ']).any(|word| is_name(word.trim().trim_matches('"'))) {
        return Ok(None);
    }
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let (picture, label) = parts(line.trim());
        let words = || label.split_whitespace();
        if words().count() > 1 && words().all(|word| word.parse::<f64>().is_ok()) {
            return Err(Error::in_line(Kind::Input, path, number, format!("'{label}' is no class, but several numbers"))
                .hint("a line has a picture and its class; make a CSV list of any other, with a header line: path,label,split"));
        }
        let label = match label.parse() {
            Ok(number) => Some(Label::Number(number)),
            Err(_) => Label::of_text(label),
        };
        rows.push(Row { path: picture.to_owned(), label, split: None });
    }
    // Classes are in the lines, or in the folders of all pictures.
    if rows.iter().all(|row| row.label.is_none()) {
        for row in &mut rows {
            let folder = Path::new(&row.path).parent().and_then(Path::file_name).and_then(|name| name.to_str());
            row.label = folder.and_then(|name| Label::of_text(&class_name(name)));
        }
    }
    Ok(Some(rows))
}

/// Splits a line into the picture and what follows: behind the first word that ends as a picture
/// does, since a path may have spaces, or else behind the first word.
fn parts(line: &str) -> (&str, &str) {
    let ends = line.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at).chain([line.len()]);
    let end = ends.clone().find(|end| is_picture(Path::new(&line[..*end]))).or_else(|| ends.min());
    let (picture, label) = line.split_at(end.unwrap_or(line.len()));
    (picture, label.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_a_picture_does_or_at_the_first_space() {
        assert_eq!(parts("1025794 707-320"), ("1025794", "707-320"));
        assert_eq!(parts("1025794 Cessna 172"), ("1025794", "Cessna 172"));
        assert_eq!(parts("my pictures/a b.jpg\ttiger lily"), ("my pictures/a b.jpg", "tiger lily"));
        assert_eq!(parts("apple_pie/1005649"), ("apple_pie/1005649", ""));
    }
}
