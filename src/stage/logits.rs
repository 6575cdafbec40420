//! Tables of logits, with a row of C numbers for each picture. They are written in blocks, since a
//! large table takes long and a stop may be requested meanwhile, and read from the store.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use tch::Tensor;

use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::stop::Stop;
use crate::store::layout::Partition;
use crate::store::part::PartWriter;
use crate::table::{self, Dims, tensor};

/// A part of a table with a column `logits`, in the making.
pub(super) struct Part {
    table: &'static str,
    schema: SchemaRef,
    writer: PartWriter,
}

impl Part {
    /// Begins a part of a partition, about so many classes.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn begin(partition: &Partition, part: &str, classes: i64, footer: &[(String, String)]) -> Result<Part> {
        let table = table::table(partition.table())?;
        let schema = table.arrow_of_parts(&Dims::new().with("C", classes as usize))?;
        let writer = partition.writer(part, &schema, footer)?;
        Ok(Part { table: table.name(), schema, writer })
    }

    /// Adds logits (m, C), with their other columns.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub(super) fn add<const N: usize>(&mut self, logits: &Tensor, others: [(&'static str, ArrayRef); N]) -> Result<()> {
        let logits = ("logits", tensor::to_vectors(logits)?);
        self.writer.write(&table::rows(self.table, &self.schema, others.into_iter().chain([logits]))?)
    }

    /// Completes the part, and returns its logits (rows, C): in memory if they are few, in the
    /// store otherwise.
    ///
    /// # Errors
    /// Fails if the store cannot be written or read, or a stop was requested.
    pub(super) fn finish(self, stop: &Stop) -> Result<Matrix> {
        let part = self.writer.finish()?.path;
        let none = || Error::new(Kind::Internal, "logits were not written plainly");
        Matrix::stored(&[part], "logits")?.ok_or_else(none)?.in_memory_if_small(stop)
    }
}
