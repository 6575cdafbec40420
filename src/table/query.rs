//! Plans statements that read, and rewords errors to say what to write instead.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::error::{Error, Kind, Result};
use crate::table::schema::all;
use crate::table::session::{CATALOG, SCHEMA};
use crate::table::{joins_by_name, statement_depth};
use crate::text::nearest;

/// Plans one statement, which may only read: `SELECT`, `WITH`, `VALUES`, `EXPLAIN`, `SHOW`,
/// `DESCRIBE`.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement cannot be planned; if a table or a column does not
/// exist, the hint is the nearest name.
#[tracing::instrument(name = "plan", level = "debug", skip_all)]
pub async fn query(ctx: &SessionContext, sql: &str) -> Result<DataFrame> {
    statement_depth::check(sql)?;
    let explained = |e| explain(e, Some(ctx));
    let state = ctx.state();
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(sql, &dialect).map_err(explained)?;
    joins_by_name::rewrite(ctx, &state, &mut statement).await?;
    let plan = state.statement_to_plan(statement).await.map_err(explained)?;
    let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reads_only.verify_plan(&plan).map_err(explained)?;
    if plan.schema().fields().is_empty() {
        return Err(Error::new(Kind::Query, "the statement asks for no column").hint("begin it with SELECT *"));
    }
    ctx.execute_logical_plan(plan).await.map_err(explained)
}

/// Returns what memory was missing for, of what DataFusion says of it: a list of all who have some
/// follows.
pub(crate) fn short_of(what: &str) -> &str {
    what.lines().next().unwrap_or_default().split(" with top memory consumers").next().unwrap_or_default()
}

/// Rewords DataFusion's error. `ctx` provides the names of the existing tables.
pub(crate) fn explain(error: DataFusionError, ctx: Option<&SessionContext>) -> Error {
    let root = error.find_root();
    if let DataFusionError::SchemaError(schema_error, _) = root
        && let SchemaError::FieldNotFound { field, valid_fields } = schema_error.as_ref()
    {
        let names: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
        return missing("column", &field.name, &names);
    }
    if let DataFusionError::ResourcesExhausted(what) = root {
        let what = short_of(what);
        return Error::new(Kind::Query, format!("the statement needs more memory than it may have: {what}"))
            .hint("ask for fewer rows or columns at once, or allow more with --memory-limit");
    }
    if let DataFusionError::SQL(error, _) = root
        && matches!(**error, ParserError::RecursionLimitExceeded)
    {
        return Error::new(Kind::Query, "the statement has too many brackets or operators within one another")
            .hint("name its inner parts: WITH part AS (SELECT ...) SELECT ... FROM part");
    }
    // The parser's own message, not the debug form that DataFusion gives it.
    let text = match root {
        DataFusionError::SQL(error, _) => error.to_string(),
        _ => root.strip_backtrace(),
    };
    let text = text.lines().next().unwrap_or_default();
    let text = PREFIXES.iter().fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    let text = of_arguments(text).unwrap_or(text);
    if let Some(name) = text.strip_prefix("table '").and_then(|t| t.strip_suffix("' not found")) {
        let (catalog, schema) = ctx.map(home).unwrap_or((CATALOG.to_owned(), SCHEMA.to_owned()));
        let name = name.strip_prefix(&format!("{catalog}.")).unwrap_or(name);
        let name = name.strip_prefix(&format!("{schema}.")).unwrap_or(name);
        return missing_table(ctx, name);
    }
    if REFUSED.iter().any(|refused| text.starts_with(refused)) {
        return Error::new(Kind::Query, format!("the statement is refused: {text}"))
            .hint("tables can only be read here: use SELECT");
    }
    Error::new(Kind::Query, format!("the statement failed: {text}"))
}

/// Prefixes of DataFusion's messages.
const PREFIXES: [&str; 4] = ["Error during planning: ", "Execution error: ", "sql parser error: ", "Arrow error: "];

/// What DataFusion puts before and after a message of one of this program's functions about its
/// arguments.
const AROUND: (&str, &str) = ("user-defined coercion failed with: Error during planning: ", ". No function matches");

/// Returns a function's message about its arguments, if that is why a statement cannot be planned.
fn of_arguments(text: &str) -> Option<&str> {
    let (_, said) = text.split_once(AROUND.0)?;
    Some(said.split_once(AROUND.1).map_or(said, |(said, _)| said))
}

/// Prefixes of DataFusion's refusal of a statement that does not only read.
const REFUSED: [&str; 3] = ["DDL not supported", "DML not supported", "Statement not supported"];

/// Returns the error for a table that does not exist.
pub(super) fn missing_table(ctx: Option<&SessionContext>, name: &str) -> Error {
    let tables = ctx.map(tables).unwrap_or_default();
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    missing("table", name, &names)
}

/// Returns the error for a table or column that does not exist; the hint is the nearest of the
/// `known` names, or all of them.
pub(super) fn missing(what: &str, name: &str, known: &[&str]) -> Error {
    let error = Error::new(Kind::Query, format!("there is no {what} `{name}`"));
    match nearest::hint(&format!("{what}s"), name, known.iter().copied()) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Returns the catalog and the schema of the tables whose bare names a session knows.
fn home(ctx: &SessionContext) -> (String, String) {
    let config = ctx.copied_config();
    let options = &config.options().catalog;
    (options.default_catalog.clone(), options.default_schema.clone())
}

/// Returns the names of the session's tables: the program's in their order, then all others by
/// name.
pub(super) fn tables(ctx: &SessionContext) -> Vec<String> {
    let (catalog, schema) = home(ctx);
    let schema = ctx.catalog(&catalog).and_then(|catalog| catalog.schema(&schema));
    let mut names = schema.map(|schema| schema.table_names()).unwrap_or_default();
    let order = |name: &String| all().iter().position(|t| t.name() == name).unwrap_or(usize::MAX);
    names.sort_by(|a, b| order(a).cmp(&order(b)).then(a.cmp(b)));
    names
}
