//! `schema`: what tables, views and the pipeline file hold.

use clap::Args;

use super::EXIT_CODES;
use super::align::{Side, align};
use super::printer::Printer;
use crate::config::json_schema::json_schema;
use crate::config::settings_page::settings_page;
use crate::error::{Error, Kind, Result};
use crate::table::schema::{TableSchema, all};
use crate::table::sql_views::VIEWS;
use crate::text::nearest;

const LONG_ABOUT: &str = "\
Without a name, lists the tables and views that SQL sees, with what a row is. With the name of a table, lists its columns: \
type, unit, whether a row may lack it, and meaning. A view is shown as the statement that makes it.

Of pipeline files it prints the JSON schema, by which editors complete and check them while they are written, or the page \
that explains every key.";

const EXAMPLES: &str = "\
Examples:
  microclip-pipe schema
  microclip-pipe schema pseudo_labels
  microclip-pipe schema look_alikes
  microclip-pipe schema --pipeline > pipeline.schema.json
      For the first line `#:schema pipeline.schema.json` of a pipeline file, which editors with Taplo understand.";

/// Show what tables, views and pipeline files hold
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Schema {
    /// A table or a view
    #[arg(value_name = "TABLE")]
    table: Option<String>,

    /// Print the JSON schema of pipeline files
    #[arg(long, conflicts_with_all = ["table", "settings"])]
    pipeline: bool,

    /// Print every key of pipeline files, what it must be, its default and its meaning, in Markdown
    #[arg(long, conflicts_with = "table")]
    settings: bool,
}

impl Schema {
    pub(super) fn execute(&self, printer: &Printer) -> Result<()> {
        let text = match self.table.as_deref() {
            _ if self.pipeline => json_schema()?,
            _ if self.settings => settings_page(),
            Some(name) => about(name)?,
            None => list(),
        };
        printer.result(&text)
    }
}

/// Describes a table or a view.
pub(super) fn about(name: &str) -> Result<String> {
    if let Some(view) = VIEWS.iter().find(|view| view.name == name) {
        return Ok(view.sql.to_owned());
    }
    all().iter().find(|table| table.name() == name).map(columns).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    let names = all().iter().map(TableSchema::name).chain(VIEWS.iter().map(|view| view.name));
    let error = Error::new(Kind::Usage, format!("there is no table or view `{name}`"));
    match nearest::hint("names", name, names) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Writes a line for each table and view.
pub(super) fn list() -> String {
    let tables = all().iter().map(|table| [table.name().to_owned(), "table".to_owned(), table.doc().to_owned()]);
    let views = VIEWS.iter().map(|view| [view.name.to_owned(), "view".to_owned(), view.doc()]);
    let lines: Vec<Vec<String>> = tables.chain(views).map(|line| line.to_vec()).collect();
    align(&[Side::Left; 3], &lines)
}

/// Writes what a row is, then a line for each column.
fn columns(table: &TableSchema) -> String {
    let titles = ["column", "type", "unit", "null", "meaning"].map(str::to_owned).to_vec();
    let lines = table.columns().iter().map(|column| {
        let null = if column.nullable { "yes" } else { "no" };
        // What a statement sees; a moment has no unit.
        let (kind, unit) = match &column.sql {
            Some(kind) => (kind.to_string(), String::new()),
            None => (column.kind.to_string(), column.unit.clone().unwrap_or_default()),
        };
        vec![column.name.clone(), kind, unit, null.to_owned(), column.doc.clone()]
    });
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(lines).collect();
    format!("{}\nKey: {}\n\n{}", table.doc(), table.key().join(", "), align(&[Side::Left; 5], &lines))
}
