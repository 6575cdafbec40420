//! Statements that a cluster computes: those that read much, if one was named.

use std::io::Write;
use std::time::Duration;

use arrow::array::RecordBatch;
use clap::Args;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use tokio::sync::OnceCell;

use crate::cli::cluster::ByCluster;
use crate::cli::printer::Printer;
use crate::cluster::{Driver, Joining, Statement, Watch};
use crate::error::{Error, Kind, Result};
use crate::runs::sql_scope::SqlScope;
use crate::stop::Stop;
use crate::store::Store;
use crate::table::format::{self, Format, Sink};
use crate::table::query::explain;
use crate::table::rows_read::rows_read;
use crate::table::{Visible, planning_session, query};
use crate::text::numbers::counted;

/// The rows from which on a statement is worth a cluster by default. One core reads and groups some
/// ten million rows in a second; a cluster takes a second or two for the steps alone.
const WORTH: usize = 5_000_000;

/// How long a statement that is abandoned may take to have the cluster forget it.
const END: Duration = Duration::from_secs(6);

/// Which statements go to which cluster.
#[derive(Debug, Clone, Args)]
pub(super) struct Choice {
    #[command(flatten)]
    cluster: ByCluster,

    /// Rows that a statement must read to go to the cluster; one that reads fewer runs here, and
    /// says so
    #[arg(long, value_name = "N", requires = "cluster", default_value_t = WORTH, help_heading = "Cluster")]
    cluster_rows: usize,
}

impl Choice {
    /// Returns how the statements over these tables are answered by a cluster, if one was named.
    pub(super) fn elsewhere(&self, scope: &SqlScope, printer: &Printer) -> Result<Option<Elsewhere>> {
        let Some(joining) = self.cluster.joining()? else { return Ok(None) };
        let place = scope.store.place().canonicalize().unwrap_or_else(|_| scope.store.place());
        let place = place.into_os_string().into_string().map_err(|_| {
            Error::new(Kind::Usage, "the path of the store is not UTF-8, and cannot be told to a cluster")
                .hint("give the folder another name")
        })?;
        Ok(Some(Elsewhere {
            joining,
            worth: self.cluster_rows,
            place,
            store: Store::open_read(scope.store.place())?,
            visible: scope.visible.clone(),
            session: OnceCell::new(),
            printer: *printer,
        }))
    }

    /// Returns how long a statement that is abandoned has to end.
    pub(super) fn end(&self) -> Duration {
        if self.cluster.is_named() { END } else { Duration::ZERO }
    }
}

/// A cluster, and what is asked of it.
pub(super) struct Elsewhere {
    joining: Joining,
    worth: usize,
    /// The store, as executors find it.
    place: String,
    store: Store,
    visible: Visible,
    /// What plans statements for it, once there was one.
    session: OnceCell<SessionContext>,
    printer: Printer,
}

/// Writes the rows of a statement, by a cluster if it goes to one, and returns their number.
pub(super) async fn written(
    elsewhere: Option<&Elsewhere>,
    statement: &str,
    found: DataFrame,
    stop: &Stop,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<u64> {
    if let Some(elsewhere) = elsewhere
        && let Some(rows) = elsewhere.answer(statement, &found, stop, format, out).await?
    {
        return Ok(rows);
    }
    format::write(found, format, out).await
}

impl Elsewhere {
    /// Answers a statement by the cluster, and returns the number of its rows; `None` if it is to
    /// run here. `found` is the statement as it is planned here.
    async fn answer(
        &self,
        statement: &str,
        found: &DataFrame,
        stop: &Stop,
        format: Format,
        out: &mut (dyn Write + Send),
    ) -> Result<Option<u64>> {
        let reads = rows_read(found)?;
        let here = |why: &str| self.printer.note(&format!("the statement runs here: {why}"));
        if reads < self.worth.max(1) {
            let reads = counted(reads as u64, "row");
            here(&format!("it reads {reads}, and a cluster is worth {} (--cluster-rows)", self.worth));
            return Ok(None);
        }
        let mut driver = Driver::connect(&self.joining, |text| self.printer.note(text)).await?;
        let open = || planning_session(driver.planning(), &self.store, &self.visible);
        let session = self.session.get_or_try_init(open).await?;
        let planned = query(session, statement).await?;
        let schema = std::sync::Arc::new(planned.schema().as_arrow().clone());
        let plan = planned.create_physical_plan().await.map_err(|e| explain(e, Some(session)))?;
        let plan = match driver.travelling(plan) {
            Ok(plan) => plan,
            Err(why) => {
                here(&why.to_string());
                return Ok(None);
            }
        };
        let (mut rows, mut sink) = (0, Sink::new(format, schema, out)?);
        let mut give = |batch: &RecordBatch| {
            rows += batch.num_rows() as u64;
            sink.write(batch)
        };
        let settings = session.copied_config();
        let asked = Statement { plan, settings: &settings, store: &self.place };
        driver.answer(asked, stop, &Saying(self.printer), &mut give).await?;
        sink.finish()?;
        Ok(Some(rows))
    }
}

/// Tells a user how the statement goes on.
struct Saying(Printer);

impl Watch for Saying {
    fn units(&self, _: usize, _: usize) {}

    fn say(&self, text: &str) {
        self.0.note(text);
    }
}
