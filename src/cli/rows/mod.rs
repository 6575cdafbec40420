//! Writing the rows of a query: in which form, and where to.

mod csv;
mod json;
mod parquet;
mod table;
mod target;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;

use crate::error::{Error, Kind, Result};
use target::Target;

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for reading
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// JSON lines: an object per row
    Json,
    /// A Parquet file
    Parquet,
}

/// Where rows go to, before it is known what they are.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    file: Option<PathBuf>,
}

/// Takes rows in one form.
pub(super) trait Form {
    /// Writes some rows.
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;

    /// Writes what can only be written once all rows are known.
    fn finish(self: Box<Self>, out: &mut dyn Write) -> Result<()>;
}

/// Rows on their way out.
pub(super) struct Sink {
    form: Box<dyn Form>,
    target: Target,
}

impl Output {
    /// # Errors
    /// Where binary rows would go to a terminal.
    pub(super) fn new(format: Format, file: Option<PathBuf>) -> Result<Self> {
        if format == Format::Parquet && file.is_none() && std::io::stdout().is_terminal() {
            return Err(Error::new(Kind::Usage, "Parquet is binary and standard output is a terminal")
                .hint("name a file: --output rows.parquet"));
        }
        Ok(Output { format, file })
    }

    /// Opens the output for rows of `schema`.
    pub(super) fn open(self, schema: SchemaRef) -> Result<Sink> {
        let target = Target::open(self.file)?;
        Ok(Sink { form: form(self.format, schema)?, target })
    }
}

impl Sink {
    /// Writes some rows. False where nobody reads them any more.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<bool> {
        self.form.write(batch, &mut self.target)?;
        Ok(!self.target.closed())
    }

    /// Writes the end; a file gets its name only now.
    pub(super) fn finish(mut self) -> Result<()> {
        self.form.finish(&mut self.target)?;
        self.target.finish()
    }
}

fn form(format: Format, schema: SchemaRef) -> Result<Box<dyn Form>> {
    Ok(match format {
        Format::Table => Box::new(table::Table::new(schema)),
        Format::Csv => Box::new(csv::Csv::new(schema)),
        Format::Json => Box::new(json::Json),
        Format::Parquet => Box::new(parquet::Parquet::new(schema)?),
    })
}

/// What is said where rows cannot be written.
fn cannot_write() -> String {
    "cannot write the rows".to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
    use arrow::array::{
        ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Int64Array, StringArray, StringViewArray,
        TimestampMillisecondArray,
    };
    use arrow::datatypes::Float32Type;

    use super::*;

    /// The kinds of column that the tables have.
    fn rows() -> RecordBatch {
        let feature =
            FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(0.5), Some(-1.0)]), None], 2);
        let columns: [(&str, ArrayRef); 6] = [
            ("path", Arc::new(StringArray::from(vec!["a, \"b\".jpg", "c\nd.jpg"]))),
            ("name", Arc::new(StringViewArray::from(vec![Some("rose"), None]))),
            ("class_id", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("confidence", Arc::new(Float32Array::from(vec![0.25, f32::NAN]))),
            ("feature", Arc::new(feature)),
            ("started", Arc::new(TimestampMillisecondArray::from(vec![0, 1]).with_timezone("UTC"))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows");
        let mut sink = Output::new(format, Some(file.clone())).unwrap().open(rows().schema()).unwrap();
        for batch in batches {
            assert!(sink.write(batch).unwrap());
        }
        assert!(!file.exists(), "a file that is not whole has no name");
        sink.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        std::fs::read(file).unwrap()
    }

    fn text(format: Format, batches: &[RecordBatch]) -> String {
        String::from_utf8(written(format, batches)).unwrap()
    }

    #[test]
    fn tables_are_for_reading() {
        insta::assert_snapshot!(text(Format::Table, &[rows()]), @r#"
        +------------+------+----------+------------+-------------+--------------------------+
        | path       | name | class_id | confidence | feature     | started                  |
        +------------+------+----------+------------+-------------+--------------------------+
        | a, "b".jpg | rose | 7        | 0.25       | [0.5, -1.0] | 1970-01-01T00:00:00Z     |
        | c\nd.jpg   |      |          | NaN        |             | 1970-01-01T00:00:00.001Z |
        +------------+------+----------+------------+-------------+--------------------------+
        "#);
        insta::assert_snapshot!(text(Format::Table, &[]), @r"
        +------+------+----------+------------+---------+---------+
        | path | name | class_id | confidence | feature | started |
        +------+------+----------+------------+---------+---------+
        +------+------+----------+------------+---------+---------+
        ");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        insta::assert_snapshot!(text(Format::Csv, &[rows().slice(0, 1)]), @r#"
        path,name,class_id,confidence,feature,started
        "a, ""b"".jpg",rose,7,0.25,"[0.5, -1.0]",1970-01-01T00:00:00Z
        "#);
        let whole = text(Format::Csv, &[rows(), rows()]);
        let records: Vec<::csv::StringRecord> =
            ::csv::Reader::from_reader(whole.as_bytes()).records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 4);
        assert_eq!(&records[3][0], "c\nd.jpg");
        assert_eq!(text(Format::Csv, &[]), "path,name,class_id,confidence,feature,started\n");
    }

    #[test]
    fn json_has_an_object_per_row_with_every_key() {
        let lines = text(Format::Json, &[rows(), rows()]);
        let objects: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 4);
        assert_eq!(objects[0]["feature"], serde_json::json!([0.5, -1.0]));
        assert_eq!(objects[0]["started"], "1970-01-01T00:00:00Z");
        assert_eq!(objects[1].as_object().unwrap().len(), 6);
        assert!(objects[1]["class_id"].is_null() && objects[1]["confidence"].is_null());
        assert_eq!(text(Format::Json, &[]), "");
    }

    #[test]
    fn parquet_reads_back_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&written(Format::Parquet, &[rows(), rows().slice(0, 1)])).unwrap();
        let mut reader = ParquetRecordBatchReader::try_new(file, 10).unwrap();
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.num_rows(), 3);
        // As text: NaN is not equal to itself.
        assert_eq!(text(Format::Csv, &[read.slice(0, 2)]), text(Format::Csv, &[rows()]));
        assert_eq!(read.schema(), rows().schema());
    }

    #[test]
    fn patch_tokens_are_cut_in_tables_only() {
        let tokens = FixedSizeBinaryArray::try_from_iter([vec![0u8; 200]].into_iter()).unwrap();
        let batch = RecordBatch::try_from_iter([("patch_tokens", Arc::new(tokens) as ArrayRef)]).unwrap();
        for (format, cut) in [(Format::Table, true), (Format::Csv, false), (Format::Json, false)] {
            let mut form = form(format, batch.schema()).unwrap();
            let mut out = Vec::new();
            form.write(&batch, &mut out).unwrap();
            form.finish(&mut out).unwrap();
            let widest = String::from_utf8(out).unwrap().lines().map(|line| line.chars().count()).max();
            assert_eq!(widest < Some(100), cut, "{format:?}");
        }
    }
}
