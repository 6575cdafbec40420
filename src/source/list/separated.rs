//! Lists as tables of text: CSV and TSV.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::Row;
use super::columns::Columns;
use crate::error::{Context, Error, Kind, Result};
use crate::source::column_names::{Chosen, means_path};
use crate::source::label::Label;
use crate::text::file as text_file;

/// Separators that lists have: commas, semicolons where a comma is the decimal point, tabs, and
/// bars.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads the lines of a table whose first line names the columns.
///
/// # Errors
/// Returns [`Kind::Input`] if the file cannot be read or one of its lines is wrong.
pub(super) fn rows(mut file: File, chosen: Chosen<'_>, path: &Path) -> Result<(Columns, Vec<Row>)> {
    let separator = separator(&mut file, path)?;
    file.rewind().at(Kind::Input, "cannot read", path)?;
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).delimiter(separator).from_reader(file);
    let names: Vec<String> = reader.headers().map_err(|e| refused(path, &e))?.iter().map(column_name).collect();
    let columns = Columns::find(&names, chosen, path, 1)?;
    let mut rows = Vec::new();
    let mut last = (0, 1);
    for record in reader.records() {
        let record = record.map_err(|e| refused(path, &e))?;
        last = record.position().map_or(last, |position| (position.byte(), position.line()));
        rows.push(row(&record, &columns, names.len(), path)?);
    }
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(last.0)).at(Kind::Input, "cannot read", path)?;
    require_closed(BufReader::new(file), separator, last.1, path)?;
    whole_numbers(&mut rows);
    Ok((columns, rows))
}

/// Returns the names of a table's columns, if none of them says where the pictures are: any may be
/// what is meant. None if the file cannot be read.
pub(in crate::source) fn unknown_columns(path: &Path) -> Vec<String> {
    let names = || {
        let mut file = text_file::open(path).ok()?;
        let separator = separator(&mut file, path).ok()?;
        file.rewind().ok()?;
        let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).delimiter(separator).from_reader(file);
        let names: Vec<String> = reader.headers().ok()?.iter().map(column_name).collect();
        (!names.iter().any(|name| means_path(name))).then_some(names)
    };
    names().unwrap_or_default()
}

/// Returns the name of a column. Spreadsheets write a byte order mark before the first.
fn column_name(written: &str) -> String {
    written.trim_start_matches('\u{feff}').trim_matches('"').trim().to_owned()
}

/// Refuses a last record in which a quoted field has no end: the reader would take the rest of the
/// file for it, and every line there for a part of the field. `line` is where the record begins.
///
/// # Errors
/// Returns [`Kind::Input`] if a quote is not closed, or the record cannot be read.
pub(in crate::source) fn require_closed(record: impl BufRead, separator: u8, line: u64, path: &Path) -> Result<()> {
    let (mut place, mut line, mut opened) = (Place::Start, line, line);
    for byte in record.bytes() {
        let byte = byte.at(Kind::Input, "cannot read", path)?;
        place = match (place, byte) {
            (Place::Start, b'"') => {
                opened = line;
                Place::Quoted
            }
            (Place::Quoted, b'"') => Place::Closed,
            // Two quotes inside a quoted field are one, and leave it open.
            (Place::Closed, b'"') | (Place::Quoted, _) => Place::Quoted,
            (_, b'\n' | b'\r') => Place::Start,
            (_, byte) if byte == separator => Place::Start,
            (Place::Start | Place::Closed | Place::Plain, _) => Place::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    if place != Place::Quoted {
        return Ok(());
    }
    Err(Error::in_line(Kind::Input, path, opened, "a double quote opens a field that has no end")
        .hint("close it on the same line; a quote that is part of the text is written twice, inside a quoted field"))
}

/// Where a byte of a table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a field.
    Start,
    /// In a field that is not quoted.
    Plain,
    /// In a quoted field.
    Quoted,
    /// After a quote in a quoted field, which may be its end.
    Closed,
}

/// Finds the separator: the one that the first line has most of.
fn separator(file: &mut File, path: &Path) -> Result<u8> {
    // No header of columns is longer, and a file of another kind may have no line's end.
    const LONGEST: u64 = 1 << 16;
    let mut line = Vec::new();
    std::io::Read::take(BufReader::new(file), LONGEST).read_until(b'\n', &mut line).at(
        Kind::Input,
        "cannot read",
        path,
    )?;
    Ok(separator_of(&line))
}

/// Returns the separator that a line has most of; a comma if it has none.
pub(in crate::source) fn separator_of(line: &[u8]) -> u8 {
    let count = |separator: &u8| line.iter().filter(|byte| *byte == separator).count();
    SEPARATORS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

fn row(record: &StringRecord, columns: &Columns, width: usize, path: &Path) -> Result<Row> {
    let line = record.position().map_or(0, csv::Position::line);
    let field = |place: Option<usize>| record.get(place?).filter(|text| !text.is_empty()).map(str::to_owned);
    let ours = [Some(columns.path), columns.label, columns.split];
    if let Some(text) = ours.into_iter().filter_map(field).find(|text| text.contains(['\n', '\r'])) {
        let start: String = text.chars().take_while(|&c| c != '\n' && c != '\r').collect();
        let what = format!("the field that begins with '{start}' goes on in the next line");
        return Err(Error::in_line(Kind::Input, path, line, what).hint("close its double quote on the same line"));
    }
    // A separator at the end of a line makes a field with nothing in it.
    let more = record.iter().skip(width).any(|field| !field.is_empty());
    if more || record.len() < width {
        let what = format!("{} fields, but the header has {width}", record.len());
        return Err(Error::in_line(Kind::Input, path, line, what)
            .hint("every line has as many fields as the first; text with a separator stands in double quotes"));
    }
    let label = field(columns.label).and_then(|text| Label::of_text(&text));
    Row::new(field(Some(columns.path)), label, field(columns.split), path, line)
}

/// Takes labels for whole numbers if all are written as `3.0`: pandas writes them so where some are
/// missing.
fn whole_numbers(rows: &mut [Row]) {
    let number = |label: &Label| match label {
        Label::Name(text) if text.contains('.') => text.parse().ok().and_then(Label::of_fraction),
        _ => None,
    };
    let labels = || rows.iter().filter_map(|row| row.label.as_ref());
    if labels().all(|label| number(label).is_some()) {
        rows.iter_mut().for_each(|row| row.label = row.label.as_ref().and_then(number));
    }
}

/// Says which line of a file is not CSV.
pub(in crate::source) fn refused(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let (what, hint) = match error.kind() {
        ErrorKind::Utf8 { .. } => ("not UTF-8".to_owned(), "save it as UTF-8"),
        _ => (error.to_string(), "it must be a CSV file in UTF-8"),
    };
    Error::in_line(Kind::Input, path, line, what).hint(hint)
}
