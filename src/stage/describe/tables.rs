//! The tables of sentences, and of their features.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::embed;
use super::known::{Embedded, Known};
use super::sentences::Line;
use crate::error::Result;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::store::space::Space;
use crate::table::{self, Dims, arrays};

pub(super) fn write_descriptions(lines: &[Line], dataset: &str, store: &Store) -> Result<()> {
    let schema = table::table("descriptions")?.arrow(&Dims::new())?;
    let lines: Vec<&Line> = lines.iter().collect();
    let batch = table::rows("descriptions", &schema, line_columns(&lines))?;
    store.partition("descriptions", dataset)?.replace("snapshot", &schema, &[batch], &[]).map(drop)
}

/// The part that has every sentence; others hold some, and exist only until all are embedded.
const WHOLE: &str = "features";

/// The features of one set of sentences.
pub(super) struct Features<'a> {
    pub(super) partition: Partition,
    pub(super) space: &'a Space,
}

impl Features<'_> {
    /// Stores the lines that have one of these sentences, in a new part.
    pub(super) fn append(&self, lines: &[Line], sentences: &[&String], known: &Known, context: usize) -> Result<()> {
        let some: HashSet<&String> = sentences.iter().copied().collect();
        let lines: Vec<&Line> = lines.iter().filter(|line| some.contains(&line.sentence)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let batch = self.batch(&lines, known, context)?;
        let mut writer = self.partition.append(batch.schema_ref(), &self.space.footer())?;
        writer.write(&batch)?;
        writer.finish().map(drop)
    }

    /// Stores all lines in one part, unless that part exists with every column and is the only one.
    pub(super) fn complete(&self, lines: &[Line], known: &Known, context: usize) -> Result<()> {
        let parts = self.partition.parts()?;
        if parts == [self.partition.part(WHOLE)?] && reader::footer(&parts[0])?.schema.index_of("tokens").is_ok() {
            return Ok(());
        }
        let schema = schema(known)?;
        let mut writer = self.partition.writer(WHOLE, &schema, &self.space.footer())?;
        for lines in lines.chunks(embed::PART) {
            writer.write(&self.batch(&lines.iter().collect::<Vec<_>>(), known, context)?)?;
        }
        let whole = writer.finish()?;
        self.partition.retain(|part| part == whole.path)
    }

    fn batch(&self, lines: &[&Line], known: &Known, context: usize) -> Result<RecordBatch> {
        let of_lines: Vec<Embedded<'_>> = lines.iter().map(|line| known.of(&line.sentence)).collect();
        let flat: Vec<f32> = of_lines.iter().flat_map(|embedded| embedded.feature.iter().copied()).collect();
        let (schema, width) = (schema(known)?, known.width());
        let own: [(&str, ArrayRef); 4] = [
            ("space", arrays::repeated(&self.space.id(), lines.len())),
            ("feature", arrays::fixed_list_f32(&flat, width)?),
            ("tokens", Arc::new(Int32Array::from_iter_values(of_lines.iter().map(|e| e.tokens as i32)))),
            ("cut", Arc::new(of_lines.iter().map(|e| Some(e.tokens > context)).collect::<BooleanArray>())),
        ];
        table::rows("text_features", &schema, line_columns(lines).into_iter().chain(own))
    }
}

/// Returns the schema of `text_features` with features of this width.
fn schema(known: &Known) -> Result<SchemaRef> {
    table::table("text_features")?.arrow(&Dims::new().with("d", known.width()))
}

/// Returns the columns `class_id`, `index`, `kind`, `sentence`, which both tables have.
fn line_columns(lines: &[&Line]) -> [(&'static str, ArrayRef); 4] {
    [
        ("class_id", Arc::new(Int32Array::from_iter_values(lines.iter().map(|l| l.class)))),
        ("index", Arc::new(Int32Array::from_iter_values(lines.iter().map(|l| l.index)))),
        ("kind", arrays::text(lines.iter().map(|l| l.kind))),
        ("sentence", arrays::text(lines.iter().map(|l| &l.sentence))),
    ]
}
