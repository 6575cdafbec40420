//! What there is to ask about: catalogs, schemas, tables, and what the server can do.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo};
use datafusion::execution::context::SessionContext;

use super::catalogue::Opened;
use crate::error::{Context, Error, Kind, Result};
use crate::table::format::schema_without_views;
use crate::table::schema;

/// The kinds of tables: what is stored, and the views over it.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// What the server says of itself.
pub(super) static ABOUT: LazyLock<SqlInfoData> = LazyLock::new(|| {
    let mut about = SqlInfoDataBuilder::new();
    about.append(SqlInfo::FlightSqlServerName, "microclip-pipe");
    about.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    about.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    about.append(SqlInfo::FlightSqlServerReadOnly, true);
    about.append(SqlInfo::FlightSqlServerSql, true);
    about.append(SqlInfo::FlightSqlServerSubstrait, false);
    // None.
    about.append(SqlInfo::FlightSqlServerTransaction, 0i32);
    about.append(SqlInfo::FlightSqlServerCancel, true);
    about.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    about.append(SqlInfo::SqlDdlCatalog, false);
    about.append(SqlInfo::SqlDdlSchema, false);
    about.append(SqlInfo::SqlDdlTable, false);
    about.append(SqlInfo::SqlAllTablesAreSelectable, true);
    about.build().unwrap_or_else(|_| unreachable!("each of them is given once"))
});

/// Returns the catalogs: a pipeline's each.
pub(super) fn catalogs(opened: &Opened, asked: CommandGetCatalogs) -> Result<RecordBatch> {
    let mut rows = asked.into_builder();
    opened.sessions().iter().for_each(|session| rows.append(&session.name));
    rows.build().context(Kind::Internal, cannot_list)
}

/// Returns the schemas of each catalog.
pub(super) fn schemas(opened: &Opened, asked: CommandGetDbSchemas) -> Result<RecordBatch> {
    let mut rows = asked.into_builder();
    for session in opened.sessions() {
        for schema in schema_names(&session.context, &session.name) {
            rows.append(&session.name, schema);
        }
    }
    rows.build().context(Kind::Internal, cannot_list)
}

/// Returns the tables and views of each schema, with their columns if they are asked for.
pub(super) async fn tables(opened: &Opened, asked: CommandGetTables) -> Result<RecordBatch> {
    let mut rows = asked.into_builder();
    for session in opened.sessions() {
        let Some(catalog) = session.context.catalog(&session.name) else { continue };
        for name in schema_names(&session.context, &session.name) {
            let Some(schema) = catalog.schema(&name) else { continue };
            for table in schema.table_names() {
                let found = schema.table(&table).await.context(Kind::Internal, cannot_list)?;
                let Some(provider) = found else { continue };
                let kind = if schema::all().iter().any(|stored| stored.name() == table) { TABLE } else { VIEW };
                let columns = schema_without_views(&provider.schema());
                rows.append(&session.name, &name, &table, kind, &columns).context(Kind::Internal, cannot_list)?;
            }
        }
    }
    rows.build().context(Kind::Internal, cannot_list)
}

/// Returns the kinds of tables.
pub(super) fn table_types(asked: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut rows = asked.into_builder();
    [TABLE, VIEW].iter().for_each(|kind| rows.append(kind));
    rows.build().context(Kind::Internal, cannot_list)
}

fn schema_names(context: &SessionContext, catalog: &str) -> Vec<String> {
    context.catalog(catalog).map(|catalog| catalog.schema_names()).unwrap_or_default()
}

fn cannot_list() -> String {
    "cannot list what there is".to_owned()
}

/// Returns the error for what a server that only reads does not do.
pub(super) fn only_reads() -> Error {
    Error::new(Kind::Query, "the statement is refused: tables can only be read here")
        .hint("send it as a query: SELECT ...")
}
