//! The SQL that makes pseudo-labels: a policy's, or the user's own.

use std::path::Path;
use std::sync::Arc;

use arrow::array::ListArray;
use arrow::datatypes::{DataType, Float32Type, Schema};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use tch::Tensor;

use crate::dka::parameters::Parameters;
use crate::dka::pass;
use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::table;
use crate::table::query::explain;
use crate::text::file as text_file;

/// A statement that returns `image_id` and `class_id`, and may return `confidence` and `margin`.
///
/// It sees the current pass's `prior_logits` and `fusion_logits`, and `previous` (`image_id`,
/// `class_id`), the labels of the pass before. `$run` and `$pass` are the pass's values, `$gamma`,
/// `$scale`, `$k` and `$floor` the [`Parameters`], `$bias` the biases that balance the classes.
/// Pictures that it does not return have no pseudo-label, and the pass does not train on them. It
/// cannot see `labels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    name: String,
    sql: String,
}

/// The most bytes of a statement's file: room for the ids of half a million pictures.
const LONGEST: u64 = 64 << 20;

/// The columns a statement may return, and whether each is required.
const COLUMNS: [(&str, bool); 4] = [("image_id", true), ("class_id", true), ("confidence", false), ("margin", false)];

impl Statement {
    /// Reads the user's own statement; [`validate`](Self::validate) checks it.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the file cannot be read as text.
    pub fn from_file(path: &Path) -> Result<Statement> {
        let sql = text_file::read(path, Kind::Input, LONGEST)?;
        Ok(Statement { name: path.display().to_string(), sql })
    }

    /// Returns a statement given as text; errors call it `name`.
    pub fn new(name: &str, sql: &str) -> Statement {
        Statement { name: name.into(), sql: sql.into() }
    }

    /// Returns the name used in errors: the file's path, for one read from a file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the statement's text, which the run's identity depends on.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Plans the statement over empty tables, so that a mistake is found before anything is
    /// trained.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if the statement cannot be planned, does more than read, or returns
    /// wrong columns.
    pub async fn validate(&self) -> Result<()> {
        let none = Matrix::from(Tensor::zeros([0, 1], tch::kind::FLOAT_CPU));
        let ctx = pass::session(&pass::PassInput {
            run: "run",
            pass: 0,
            image_ids: &[],
            prior: none.clone(),
            fusion: none,
            parameters: Parameters::default(),
            previous: None,
        })?;
        self.plan(&ctx, "run", 0, Parameters::default(), &[0.0]).await.map(drop)
    }

    /// Plans the statement with the pass's values, and checks its columns.
    pub(super) async fn plan(
        &self,
        ctx: &SessionContext,
        run: &str,
        pass: i32,
        parameters: Parameters,
        bias: &[f32],
    ) -> Result<DataFrame> {
        let Parameters { gamma, scale, k, floor } = parameters;
        let df = table::query(ctx, &self.sql).await.map_err(|e| self.named(e))?;
        let biases = bias.iter().copied().map(Some);
        let values = vec![
            ("gamma", ScalarValue::from(gamma)),
            ("scale", ScalarValue::from(scale)),
            ("k", ScalarValue::from(i64::from(k))),
            ("floor", ScalarValue::from(floor)),
            ("run", ScalarValue::from(run)),
            ("pass", ScalarValue::from(pass)),
            ("bias", ScalarValue::List(Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([Some(biases)])))),
        ];
        let df = df.with_param_values(values).map_err(|e| self.named(explain(e, Some(ctx))))?;
        self.check_columns(df.schema().as_arrow())?;
        Ok(df)
    }

    /// Adds the statement's name to an error.
    pub(super) fn named(&self, error: Error) -> Error {
        Error::new(error.kind(), format!("DKA statement {}", self.name)).cause(error)
    }

    fn check_columns(&self, schema: &Schema) -> Result<()> {
        let refuse_with = |what: String, hint: &str| Err(self.named(Error::new(Kind::Query, what).hint(hint)));
        let refuse =
            |what| refuse_with(what, "it must return image_id and class_id, and may return confidence and margin");
        for (column, needed) in COLUMNS {
            let mut fields = schema.fields().iter().filter(|f| f.name() == column);
            match fields.next().map(|f| f.data_type()) {
                None if needed => return refuse(format!("it returns no column `{column}`")),
                None => {}
                // `row_number() - 1` gives this: a decimal without a fraction.
                Some(t) if !fits(column, t) && column == "class_id" && t.is_numeric() => {
                    let what = format!("its column `class_id` is {t}, which is not a type of whole numbers");
                    return refuse_with(what, "write CAST(... AS INT) AS class_id");
                }
                Some(t) if !fits(column, t) => return refuse(format!("its column `{column}` is {t}")),
                Some(_) if fields.next().is_some() => return refuse(format!("it returns `{column}` twice")),
                Some(_) => {}
            }
        }
        match schema.fields().iter().find(|f| COLUMNS.iter().all(|(column, _)| f.name() != column)) {
            Some(unknown) => refuse(format!("it returns a column `{}`, which is not known", unknown.name())),
            None => Ok(()),
        }
    }
}

fn fits(column: &str, t: &DataType) -> bool {
    match column {
        "image_id" => matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        "class_id" => t.is_integer(),
        _ => t.is_numeric() || t == &DataType::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(sql: &str) -> Error {
        Statement::new("own.sql", sql).validate().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_floor_and_the_pass_before_can_be_used() {
        let sql = "SELECT p.image_id, coalesce(b.class_id, argmax(p.logits)) AS class_id \
                   FROM prior_logits p LEFT JOIN previous b ON b.image_id = p.image_id \
                   WHERE max_of(p.logits) > 0.2 * $gamma AND $pass >= 0 AND p.run = $run";
        Statement::new("own.sql", sql).validate().await.unwrap();
    }

    #[tokio::test]
    async fn wrong_columns_are_refused_before_anything_runs() {
        let error = refusal("SELECT image_id FROM prior_logits").await;
        assert_eq!(error.to_string(), "DKA statement own.sql: it returns no column `class_id`");
        assert!(error.hint_text().unwrap().contains("image_id and class_id"));
        let error = refusal("SELECT image_id, 0.5 AS class_id FROM prior_logits").await;
        assert!(
            error.to_string().contains("its column `class_id` is Float64, which is not a type of whole"),
            "{error}"
        );
        assert_eq!(error.hint_text(), Some("write CAST(... AS INT) AS class_id"));
        let error = refusal("SELECT 1 AS image_id, 1 AS class_id FROM prior_logits").await;
        assert!(error.to_string().contains("its column `image_id` is Int64"), "{error}");
        let error = refusal("SELECT image_id, 1 AS class_id, 2 AS weight FROM prior_logits").await;
        assert!(error.to_string().contains("a column `weight`, which is not known"), "{error}");
    }

    #[tokio::test]
    async fn it_can_neither_see_labels_nor_write() {
        let error = refusal("SELECT image_id, class_id FROM labels").await;
        assert_eq!(error.to_string(), "DKA statement own.sql: there is no table `labels`");
        let error = refusal("DROP TABLE prior_logits").await;
        assert!(error.to_string().contains("refused"), "{error}");
        let error = refusal("SELECT image_id, argmax(logit) AS class_id FROM prior_logits").await;
        assert_eq!(error.hint_text(), Some("did you mean `logits`?"));
        assert!(refusal("").await.to_string().starts_with("DKA statement own.sql: "));
    }
}
