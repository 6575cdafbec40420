//! Loads the schemas of all tables from `schemas/*.toml`, the single source of every Arrow schema
//! in the program.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::{Expr, cast, ident};
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::table::column_type::{ColumnType, tensor_field, vector_type};
use crate::table::dims::{Dims, Length};
use crate::text::nearest;

const SOURCES: [&str; 29] = [
    include_str!("../../schemas/images.toml"),
    include_str!("../../schemas/rejected.toml"),
    include_str!("../../schemas/labels.toml"),
    include_str!("../../schemas/equal_files.toml"),
    include_str!("../../schemas/constant_pictures.toml"),
    include_str!("../../schemas/read_files.toml"),
    include_str!("../../schemas/classes.toml"),
    include_str!("../../schemas/llm_answers.toml"),
    include_str!("../../schemas/llm_sentences.toml"),
    include_str!("../../schemas/descriptions.toml"),
    include_str!("../../schemas/text_features.toml"),
    include_str!("../../schemas/embeddings.toml"),
    include_str!("../../schemas/neighbours.toml"),
    include_str!("../../schemas/block_tokens.toml"),
    include_str!("../../schemas/composites.toml"),
    include_str!("../../schemas/view_features.toml"),
    include_str!("../../schemas/second_features.toml"),
    include_str!("../../schemas/class_bias.toml"),
    include_str!("../../schemas/second_classes.toml"),
    include_str!("../../schemas/prior_logits.toml"),
    include_str!("../../schemas/fusion_logits.toml"),
    include_str!("../../schemas/top_logits.toml"),
    include_str!("../../schemas/pseudo_labels.toml"),
    include_str!("../../schemas/passes.toml"),
    include_str!("../../schemas/predictions.toml"),
    include_str!("../../schemas/metrics.toml"),
    include_str!("../../schemas/runs.toml"),
    include_str!("../../schemas/ablations.toml"),
    include_str!("../../schemas/criteria.toml"),
];

/// A table: its name, what a row is, its key, what its partitions belong to, and its columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSchema {
    name: String,
    key: Vec<String>,
    scope: Scope,
    #[serde(default)]
    answers: bool,
    doc: String,
    columns: Vec<Column>,
}

/// What a partition of a table belongs to, and is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A dataset.
    Dataset,
    /// A space of the frozen model; all datasets that use it share the rows.
    Space,
    /// A set of pictures in a space of the frozen model; all datasets that have exactly these
    /// pictures share the rows.
    Pictures,
    /// A run.
    Run,
    /// A prior: what the frozen model believes by some settings. All runs that these settings make
    /// share the rows, and SQL shows them once for each run, by its id in the column [`RUN`].
    Prior,
    /// None of these: the rows are about several runs, of any pipeline, or about no run at all.
    All,
}

/// The column of a run's id.
pub const RUN: &str = "run";

/// A column of a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The column's type, with lengths still as symbols.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Unit of the values as they are stored, if they have one.
    pub unit: Option<String>,
    /// The column's type in SQL, if it is another than the stored one: a moment, stored as a
    /// number.
    pub sql: Option<ColumnType>,
    /// Whether a row may have no value.
    #[serde(default)]
    pub nullable: bool,
    /// What the column means.
    pub doc: String,
}

impl Column {
    /// Returns the Arrow field, with symbols replaced by their values.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a length cannot be bound.
    pub fn field(&self, dims: &Dims) -> Result<Field> {
        Ok(match &self.kind {
            ColumnType::Plain(t) => Field::new(&self.name, t.clone(), self.nullable),
            ColumnType::Vector(length) => Field::new(&self.name, vector_type(length.bind(dims)?), self.nullable),
            ColumnType::Tensor(dtype, lengths) => {
                let shape = lengths.iter().map(|l| l.bind(dims)).collect::<Result<Vec<_>>>()?;
                tensor_field(&self.name, *dtype, &shape, self.nullable)?
            }
        })
    }

    /// Returns what makes the column's values in SQL out of the stored ones, or `None` if they are
    /// the same: the number counts from 1970 UTC, in the column's unit.
    pub(super) fn in_sql(&self) -> Option<Expr> {
        let Some(ColumnType::Plain(DataType::Timestamp(unit, zone))) = &self.sql else { return None };
        let stored = match self.unit.as_deref() {
            Some("ns") => TimeUnit::Nanosecond,
            _ => *unit,
        };
        let moment = cast(ident(&self.name), DataType::Timestamp(stored, zone.clone()));
        Some(cast(moment, DataType::Timestamp(*unit, zone.clone())).alias(&self.name))
    }

    /// Returns the symbols in the column's type.
    pub fn symbols(&self) -> Vec<&str> {
        match &self.kind {
            ColumnType::Plain(_) => Vec::new(),
            ColumnType::Vector(length) => length.symbols().collect(),
            ColumnType::Tensor(_, lengths) => lengths.iter().flat_map(Length::symbols).collect(),
        }
    }
}

impl TableSchema {
    /// Returns the table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what a row is.
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// Returns the columns that identify a row.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// Returns what the table's partitions belong to.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns whether the table holds labels or results of evaluation. Adaptation is label-free by
    /// construction: its session lacks such tables.
    pub fn has_answers(&self) -> bool {
        self.answers
    }

    /// Returns whether the rows are pictures of a space, which several datasets may share.
    pub fn has_pictures_of_a_space(&self) -> bool {
        self.scope == Scope::Space && self.key.iter().any(|column| column == "image_id")
    }

    /// Returns the columns, in the order of the table.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the Arrow schema as SQL sees it, with symbols replaced by their values.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if `dims` has no value for a symbol of the table; the message names
    /// it.
    pub fn arrow(&self, dims: &Dims) -> Result<SchemaRef> {
        self.arrow_of(dims, |_| true)
    }

    /// Returns the Arrow schema of parts, with symbols replaced by their values: rows that several
    /// runs share do not say which run they are of.
    ///
    /// # Errors
    /// Fails like [`arrow`](Self::arrow).
    pub fn arrow_of_parts(&self, dims: &Dims) -> Result<SchemaRef> {
        self.arrow_of(dims, |column| self.scope != Scope::Prior || column.name != RUN)
    }

    fn arrow_of(&self, dims: &Dims, wanted: impl Fn(&Column) -> bool) -> Result<SchemaRef> {
        let fields = self
            .columns
            .iter()
            .filter(|column| wanted(column))
            .map(|c| {
                c.field(dims).map_err(|e| {
                    Error::new(Kind::Store, format!("column `{}` of table `{}`", c.name, self.name)).cause(e)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Returns the symbols that [`arrow`](Self::arrow) needs values for.
    pub fn symbols(&self) -> BTreeSet<&str> {
        self.columns.iter().flat_map(Column::symbols).collect()
    }

    /// Returns the Arrow schema of the table before anything is stored: every symbol is 1.
    pub(crate) fn arrow_of_empty(&self) -> Result<SchemaRef> {
        self.arrow(&self.symbols().into_iter().fold(Dims::new(), |dims, symbol| dims.with(symbol, 1)))
    }
}

#[expect(clippy::panic, reason = "the files are part of the program; the test below parses each of them")]
static TABLES: LazyLock<Vec<TableSchema>> = LazyLock::new(|| {
    let parse = |source: &&str| match toml::from_str::<TableSchema>(source) {
        Ok(table) => table,
        Err(e) => panic!("schemas/: {e}"),
    };
    SOURCES.iter().map(parse).collect()
});

/// Returns all tables, in the order in which the pipeline fills them.
pub fn all() -> &'static [TableSchema] {
    &TABLES
}

/// Returns the table with that name.
///
/// # Errors
/// Returns [`Kind::Usage`] if there is none; the hint is the nearest name.
pub fn table(name: &str) -> Result<&'static TableSchema> {
    all().iter().find(|t| t.name == name).ok_or_else(|| {
        let error = Error::new(Kind::Usage, format!("there is no table `{name}`"));
        match nearest::hint("tables", name, all().iter().map(TableSchema::name)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;
    use crate::table::column_type::{DTYPE, SHAPE};

    #[test]
    fn every_schema_parses_and_its_key_is_among_its_columns() {
        assert_eq!(all().len(), SOURCES.len());
        for t in all() {
            assert!(!t.doc().is_empty() && !t.key().is_empty(), "{}", t.name());
            for key in t.key() {
                let column = t.columns().iter().find(|c| &c.name == key);
                assert!(column.is_some_and(|c| !c.nullable), "{}: key {key}", t.name());
            }
            assert!(t.columns().iter().all(|c| !c.doc.is_empty()), "{}", t.name());
        }
    }

    #[test]
    fn symbols_are_bound_and_tensors_say_their_shape() {
        let schema = table("embeddings").unwrap().arrow(&Dims::from([("d", 4), ("N", 9), ("D", 16)])).unwrap();
        assert_eq!(schema.field_with_name("cls_feature").unwrap().data_type(), &vector_type(4));
        let tokens = schema.field_with_name("patch_tokens").unwrap();
        assert_eq!(tokens.data_type(), &DataType::FixedSizeBinary(9 * 16 * 2));
        assert_eq!(tokens.metadata()[SHAPE], "9,16");
        assert_eq!(tokens.metadata()[DTYPE], "f16");
    }

    #[test]
    fn a_missing_symbol_is_named() {
        let error = table("view_features").unwrap().arrow(&Dims::from([("d", 4)])).unwrap_err();
        assert!(error.to_string().contains("`features` of table `view_features`"), "{error}");
        assert!(error.to_string().contains("`V`"), "{error}");
        assert_eq!(table("view_features").unwrap().symbols(), BTreeSet::from(["V", "d"]));
    }

    #[test]
    fn a_misspelt_table_gets_the_nearest_name() {
        assert_eq!(table("pseudo_label").unwrap_err().hint_text(), Some("did you mean `pseudo_labels`?"));
        assert!(table("nothing_like_it").unwrap_err().hint_text().unwrap().contains("images, rejected"));
    }

    #[test]
    fn a_type_of_sql_is_one_that_can_be_made() {
        for column in all().iter().flat_map(TableSchema::columns) {
            assert_eq!(column.in_sql().is_some(), column.sql.is_some(), "{}", column.name);
        }
    }
}
