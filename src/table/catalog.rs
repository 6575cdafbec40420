//! Exposes a table of the store to DataFusion: the parts of some partitions, listed once when the
//! session is opened.
//!
//! Statements see texts as views of the pages that they are read from: a join on ids of 64 letters
//! then copies 16 bytes of each row, and not the letters. Where rows go to other machines they do
//! not: a slice of a view is sent with all the pages that it is of.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result as DataFusionResult, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema as ScannedSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::{ObjectMeta, path::Path as ObjectPath};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::Expr;

use crate::error::{Context, Kind, Result};
use crate::store::replica::Replica;
use crate::store::{Partition, reader};
use crate::table::schema::{RUN, Scope, TableSchema};
use crate::table::session::Content;

/// Maximum bytes of a batch: DataFusion's 8,192 rows would be 600 MB of patch tokens.
const BATCH_BYTES: usize = 16 << 20;

/// A partition that a session sees.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The partition.
    pub(super) partition: Partition,
    /// The run whose rows these are, if the table's parts do not say it ([`Scope::Prior`]).
    pub(super) run: Option<String>,
}

/// The parts of a table, and their common schema.
#[derive(Debug)]
pub(super) struct Parts {
    /// The columns as statements see them.
    schema: SchemaRef,
    /// What is scanned: the columns of parts, then the run if parts do not have it.
    scanned: ScannedSchema,
    /// A part that several runs share is here once for each of them.
    files: Vec<PartitionedFile>,
    /// What has the files, for statements.
    place: ObjectStoreUrl,
    /// Number of rows.
    rows: usize,
    /// Whether that is hidden from the planner.
    is_streamed: bool,
}

impl Parts {
    /// Reads the footers of all parts. The last part determines the length of vectors; a part that
    /// differs (another number of classes, another model) is left out and reported in `warnings`.
    pub(super) fn find(
        table: &TableSchema,
        seen: &[Seen],
        place: &ObjectStoreUrl,
        texts: Texts,
        warnings: &mut Vec<String>,
    ) -> Result<Parts> {
        let (mut found, mut footers) = (Vec::new(), HashMap::new());
        for Seen { partition, run } in seen {
            for part in partition.parts()? {
                if !footers.contains_key(&part) {
                    footers.insert(part.clone(), reader::footer(&part)?);
                }
                found.push((part, run, partition.replica()));
            }
        }
        let newest = found.last().and_then(|(part, ..)| footers.get(part));
        let schema = match newest {
            Some(footer) => stored_schema(table, &footer.schema)?,
            None => table.arrow_of_empty()?,
        };
        let written = scanned(table, &schema);
        let (mut files, mut rows) = (Vec::new(), 0);
        for (part, run, replica) in found {
            let footer = &footers[&part];
            if let Some(why) = difference(written.file_schema(), &footer.schema) {
                let warning = format!("table {}: {} was left out: {why}", table.name(), part.display());
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
                continue;
            }
            rows += usize::try_from(footer.rows).unwrap_or(0);
            let run = run.iter().map(|run| texts.value(run)).collect();
            files.push(PartitionedFile { partition_values: run, ..file(part, footer.bytes, replica)? });
        }
        let schema = texts.of(&schema);
        let scanned = scanned(table, &schema);
        Ok(Parts { scanned, schema, files, place: place.clone(), rows, is_streamed: false })
    }

    /// Returns how much there is of this table.
    pub(super) fn content(&self, table: &'static str) -> Content {
        Content { table, parts: self.files.len(), rows: self.rows }
    }

    /// Hides the number of rows from the planner. A join then streams this table and keeps the
    /// other side in memory, whichever has more rows: rows of patch tokens are too large to keep.
    pub(super) fn streamed(mut self) -> Self {
        self.is_streamed = true;
        self
    }

    /// Returns the number of rows of all parts.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

/// What texts are in statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// Views of the pages that they are read from.
    Views,
    /// Copies.
    Copies,
}

impl Texts {
    fn value(self, text: &str) -> ScalarValue {
        match self {
            Texts::Views => ScalarValue::Utf8View(Some(text.to_owned())),
            Texts::Copies => ScalarValue::Utf8(Some(text.to_owned())),
        }
    }

    /// Returns a schema of the same columns, whose texts are such.
    fn of(self, schema: &SchemaRef) -> SchemaRef {
        match self {
            Texts::Views => with_views(schema),
            Texts::Copies => schema.clone(),
        }
    }
}

/// Returns the table's schema with the lengths that a part has.
fn stored_schema(table: &TableSchema, part: &Schema) -> Result<SchemaRef> {
    let empty = table.arrow_of_empty()?;
    let fields = empty.fields().iter().map(|field| match part.field_with_name(field.name()) {
        Ok(stored) if same_kind(field.data_type(), stored.data_type()) => {
            Arc::new(stored.clone().with_nullable(field.is_nullable()))
        }
        _ => field.clone(),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Returns what is scanned of a table: the columns of its parts, and the run as a value of the
/// whole part if parts do not have it.
fn scanned(table: &TableSchema, schema: &SchemaRef) -> ScannedSchema {
    let (given, stored): (Vec<_>, Vec<_>) =
        schema.fields().iter().cloned().partition(|field| table.scope() == Scope::Prior && field.name() == RUN);
    ScannedSchema::builder(Arc::new(Schema::new(stored))).with_table_partition_cols(given).build()
}

/// Returns a schema of the same columns, in which texts are views.
fn with_views(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Returns whether two types are equal except for their length.
fn same_kind(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::FixedSizeList(a, _), DataType::FixedSizeList(b, _)) => a.data_type() == b.data_type(),
        (DataType::FixedSizeBinary(_), DataType::FixedSizeBinary(_)) => true,
        _ => a == b,
    }
}

/// Returns why a part cannot be read with the schema, or `None` if it can. A nullable column that
/// the part lacks (an older version) is read as null.
fn difference(schema: &Schema, part: &Schema) -> Option<String> {
    schema.fields().iter().find_map(|field| match part.field_with_name(field.name()) {
        Err(_) if field.is_nullable() => None,
        Err(_) => Some(format!("it has no column `{}`", field.name())),
        Ok(stored) if stored.data_type() == field.data_type() => None,
        Ok(stored) => {
            let length = |t: &DataType| match t {
                DataType::FixedSizeList(_, n) => format!("vectors of {n}"),
                DataType::FixedSizeBinary(n) => format!("tensors of {n} bytes"),
                other => other.to_string(),
            };
            let (has, newest) = (length(stored.data_type()), length(field.data_type()));
            Some(format!("its `{}` has {has}, where the newest part has {newest}", field.name()))
        }
    })
}

/// Addresses a part by its metadata rather than by a string, so that no character of the path has a
/// special meaning. Parts above the working folder have `..` in their paths, which this kind of
/// address cannot have.
fn file(part: PathBuf, size: u64, replica: Option<&Arc<Replica>>) -> Result<PartitionedFile> {
    let location = match replica {
        Some(replica) => replica.location(&part),
        None => {
            let place = part.canonicalize().at(Kind::Store, "cannot find", &part)?;
            ObjectPath::from_absolute_path(&place).at(Kind::Store, "cannot address", &part)?
        }
    };
    let meta = ObjectMeta { location, last_modified: Default::default(), size, e_tag: None, version: None };
    Ok(PartitionedFile::new_from_meta(meta))
}

/// Minimum bytes of a part that is worth reading with several threads.
const LARGE: u64 = 4 << 20;

/// Distributes parts over `threads`: each thread gets a share of every large part, and small parts
/// are dealt out whole. This balances the work even if the statement needs only a few of the parts,
/// such as one pass of many: the others are skipped once their footer is read.
fn shared(files: &[PartitionedFile], threads: usize) -> Vec<FileGroup> {
    let threads = threads.max(1);
    let mut groups = vec![Vec::new(); threads];
    for (n, file) in files.iter().enumerate() {
        let size = file.object_meta.size;
        if size < LARGE {
            groups[n % threads].push(file.clone());
            continue;
        }
        let bound = |share: usize| (size as i64) / (threads as i64) * (share as i64);
        for (share, group) in groups.iter_mut().enumerate() {
            // The last share takes the remainder. A row group belongs to the share in which its
            // first page begins.
            let end = if share + 1 == threads { size as i64 } else { bound(share + 1) };
            group.push(file.clone().with_range(bound(share), end));
        }
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(FileGroup::new).collect()
}

/// Returns the number of rows of a batch, from the width of the columns that are read.
fn batch_rows(schema: &Schema, projection: Option<&Vec<usize>>) -> usize {
    let width = |index: usize| match schema.field(index).data_type() {
        DataType::FixedSizeList(_, n) => usize::try_from(*n).unwrap_or(0) * 4,
        DataType::FixedSizeBinary(n) => usize::try_from(*n).unwrap_or(0),
        // A picture, whose size the schema does not give.
        DataType::Binary => 64 << 10,
        _ => 32,
    };
    let row: usize = match projection {
        Some(indices) => indices.iter().map(|i| width(*i)).sum(),
        None => (0..schema.fields().len()).map(width).sum(),
    };
    (BATCH_BYTES / row.max(1)).clamp(1, 8192)
}

#[async_trait]
impl TableProvider for Parts {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema.project(indices)?),
                None => self.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let groups = shared(&self.files, state.config().target_partitions());
        let source = Arc::new(ParquetSource::new(self.scanned.clone()));
        let config = FileScanConfigBuilder::new(self.place.clone(), source)
            .with_file_groups(groups)
            .with_statistics(self.known())
            .with_projection_indices(Some(self.places(projection)?))?
            .with_batch_size(Some(batch_rows(&self.schema, projection)))
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.known())
    }
}

impl Parts {
    /// Returns where the wanted columns, all without a projection, are in what is scanned.
    fn places(&self, projection: Option<&Vec<usize>>) -> DataFusionResult<Vec<usize>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let scanned = self.scanned.table_schema();
        let wanted = projection.unwrap_or(&all).iter();
        wanted.map(|&column| Ok(scanned.index_of(self.schema.field(column).name())?)).collect()
    }

    fn known(&self) -> Statistics {
        let unknown = Statistics::new_unknown(&self.schema);
        if self.is_streamed { unknown } else { unknown.with_num_rows(Precision::Exact(self.rows)) }
    }
}
