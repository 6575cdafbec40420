//! Rows of a statement as values of a type: a field for each column.

use datafusion::execution::context::SessionContext;
use serde::de::DeserializeOwned;

use crate::error::{Context, Kind, Result};
use crate::table::format::{self, Format};
use crate::table::query;

/// Runs a statement of the program's own. Null and NaN are `None`.
///
/// # Errors
/// Returns [`Kind::Query`] if the statement fails, or its columns are not the fields of `T`.
pub async fn rows<T: DeserializeOwned>(ctx: &SessionContext, statement: &str) -> Result<Vec<T>> {
    let mut lines = Vec::new();
    format::write(query(ctx, statement).await?, Format::Json, &mut lines).await?;
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context(Kind::Query, || "a row cannot be read".to_owned())).collect()
}
