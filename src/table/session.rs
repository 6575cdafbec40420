//! Opens the SQL session over a store: every table by its name, the views of [`super::sql_views`]
//! and the functions of [`super::udf`].

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::prelude::{SessionConfig, col, ident};

use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::store::replica::Replica;
use crate::store::{Store, reader};
use crate::table::catalog::{Parts, Seen, Texts};
use crate::table::cooperative_joins::GivingWay;
use crate::table::schema::{self, Scope, TableSchema};
use crate::table::{arrays, same_names, sql_views, udf};

/// The part of a store that a session sees.
#[derive(Debug, Clone, Default)]
pub struct Visible {
    /// The dataset: a session sees its partitions and, in tables of a space, only its pictures.
    pub dataset: String,
    /// The partition of each table of a space, or of a set of pictures in one; a table without one
    /// here is empty.
    pub spaces: BTreeMap<&'static str, String>,
    /// The runs, oldest first.
    pub runs: Vec<String>,
    /// The partition of `prior_logits` that each run shares with others; a run without one here has
    /// one of its own.
    pub priors: BTreeMap<String, String>,
}

/// Bytes of memory that a statement may take by default.
pub const MEMORY: u64 = 4_000_000_000;

/// The catalog that a session's tables are in, unless [`session_in`] is told another.
pub const CATALOG: &str = "datafusion";

/// The schema that they are in.
pub const SCHEMA: &str = "public";

/// What a statement may write to disk while it runs, as a multiple of its memory limit.
const SPILL: u64 = 4;

/// What the statements of some sessions may take together.
#[derive(Debug, Clone)]
pub struct Bounds {
    runtime: Arc<RuntimeEnv>,
    memory: u64,
}

impl Bounds {
    /// Bounds statements to `memory` bytes, shared fairly by those parts of plans that can write to
    /// the disk.
    ///
    /// # Errors
    /// Returns [`Kind::Query`] if the memory cannot be bounded.
    pub fn new(memory: u64) -> Result<Bounds> {
        let pool = FairSpillPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NonZeroUsize::MIN)))
            .with_max_temp_directory_size(memory.saturating_mul(SPILL))
            .build_arc()
            .context(Kind::Query, || "cannot bound the memory of statements".to_owned())?;
        Ok(Bounds { runtime, memory })
    }

    /// Returns the bytes that statements may take.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Returns what computes statements within the bounds.
    #[cfg(feature = "cluster")]
    pub(crate) fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// Returns the bytes that running statements have set aside.
    pub fn taken(&self) -> u64 {
        self.runtime.memory_pool.reserved() as u64
    }
}

/// How much of a table a session sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The table.
    pub table: &'static str,
    /// Number of its parts; one that several runs share counts for each of them.
    pub parts: usize,
    /// Number of its rows.
    pub rows: usize,
}

/// Opens a session over every table and view of the program. A table in which nothing was stored
/// has its columns and no rows.
///
/// Parts are listed now: what is written later is not seen. [`warnings`] returns which parts were
/// left out.
///
/// # Errors
/// Fails if `visible` has names that are not valid partition names, or if a part cannot be read.
pub async fn session(store: &Store, visible: &Visible) -> Result<SessionContext> {
    session_within(MEMORY, store, visible).await
}

/// Like [`session`], but limits a statement to `memory` bytes. A statement that needs more fails
/// instead of slowing down the machine.
///
/// # Errors
/// Fails like [`session`].
pub async fn session_within(memory: u64, store: &Store, visible: &Visible) -> Result<SessionContext> {
    session_in(CATALOG, &Bounds::new(memory)?, store, visible).await
}

/// Like [`session`], but its tables are in a catalog of this name, and what statements may take is
/// shared with other sessions.
///
/// # Errors
/// Fails like [`session`].
pub async fn session_in(catalog: &str, bounds: &Bounds, store: &Store, visible: &Visible) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(cores::limit());
    let ctx =
        open(config.with_default_catalog_and_schema(catalog, SCHEMA), Texts::Views, bounds, store, visible, |_| true);
    complete(ctx.await?, store, visible).await
}

/// Like [`session`], but it plans statements by these settings, for others to compute: their rows
/// can be sent as they are.
///
/// # Errors
/// Fails like [`session`].
pub async fn planning_session(config: SessionConfig, store: &Store, visible: &Visible) -> Result<SessionContext> {
    let config = config.with_default_catalog_and_schema(CATALOG, SCHEMA);
    let ctx = open(config, Texts::Copies, &Bounds::new(MEMORY)?, store, visible, |_| true).await?;
    complete(ctx, store, visible).await
}

/// Adds the names of classes and the views.
async fn complete(ctx: SessionContext, store: &Store, visible: &Visible) -> Result<SessionContext> {
    udf::register_class_name(&ctx, class_names(store, visible)?);
    let newest = visible.runs.last().map(String::as_str);
    sql_views::register(&ctx, newest).await.context(Kind::Query, || "cannot make the views".to_owned())?;
    Ok(ctx)
}

/// Opens the session for training: without the tables that [have
/// answers](TableSchema::has_answers), such as `labels`, and without the views. Querying one of
/// them fails like querying any table that does not exist.
///
/// # Errors
/// Fails like [`session`].
pub async fn training_session(store: &Store, visible: &Visible) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(cores::limit());
    let config = config.with_default_catalog_and_schema(CATALOG, SCHEMA);
    open(config, Texts::Views, &Bounds::new(MEMORY)?, store, visible, |table| !table.has_answers()).await
}

/// Opens a session with the functions and no tables. It runs on one thread, so that rows come out
/// in the order in which they went in.
pub fn bare_session() -> SessionContext {
    context(configured(in_order(), Vec::new()), Arc::new(RuntimeEnv::default()), None)
}

/// Like [`bare_session`], but statements take at most `memory` bytes: what can be written to the
/// disk is, beyond that. `rule` is applied to physical plans before any other.
///
/// # Errors
/// Returns [`Kind::Query`] if the memory cannot be bounded.
pub fn bounded_session(memory: u64, rule: Rule) -> Result<SessionContext> {
    Ok(context(configured(in_order(), Vec::new()), Bounds::new(memory)?.runtime, Some(rule)))
}

fn in_order() -> SessionConfig {
    SessionConfig::new().with_target_partitions(1)
}

/// A rule that changes physical plans.
pub type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// Returns what was left out when the session was opened, one line each.
pub fn warnings(ctx: &SessionContext) -> Vec<String> {
    ctx.copied_config().get_extension::<Warnings>().map(|w| w.0.clone()).unwrap_or_default()
}

struct Warnings(Vec<String>);

/// Returns how much of each table there was when the session was opened.
pub fn contents(ctx: &SessionContext) -> Vec<Content> {
    ctx.copied_config().get_extension::<Contents>().map(|c| c.0.clone()).unwrap_or_default()
}

struct Contents(Vec<Content>);

fn configured(config: SessionConfig, warnings: Vec<String>) -> SessionConfig {
    config.with_information_schema(true).with_extension(Arc::new(Warnings(warnings)))
}

fn context(config: SessionConfig, runtime: Arc<RuntimeEnv>, first: Option<Rule>) -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(first.into_iter().chain(same_names::rules()).collect())
        .with_physical_optimizer_rule(Arc::new(GivingWay))
        .build();
    let ctx = SessionContext::new_with_state(state);
    udf::register(&ctx);
    ctx
}

async fn open(
    config: SessionConfig,
    texts: Texts,
    bounds: &Bounds,
    store: &Store,
    visible: &Visible,
    wanted: impl Fn(&TableSchema) -> bool,
) -> Result<SessionContext> {
    let on_objects = store.replica().map(Replica::for_sql).transpose()?;
    let place = on_objects.as_ref().map_or_else(ObjectStoreUrl::local_filesystem, |(url, _)| url.clone());
    let mut warnings = Vec::new();
    let mut tables = Vec::new();
    for table in schema::all().iter().filter(|table| wanted(table)) {
        let partitions = partitions(store, visible, table)?;
        tables.push((table, Parts::find(table, &partitions, &place, texts, &mut warnings)?));
    }
    let contents = tables.iter().map(|(table, parts)| parts.content(table.name())).collect();
    let config = config.with_extension(Arc::new(Contents(contents)));
    let ctx = context(configured(config, warnings), bounds.runtime.clone(), None);
    if let Some((url, objects)) = on_objects {
        ctx.register_object_store(url.as_ref(), objects);
    }
    for (table, parts) in tables {
        let opened = register(&ctx, table, parts).await;
        opened.context(Kind::Store, || format!("cannot open table {}", table.name()))?;
    }
    Ok(ctx)
}

/// Registers a table. `images` must come before the tables that are restricted to its rows.
async fn register(ctx: &SessionContext, table: &TableSchema, parts: Parts) -> datafusion::common::Result<()> {
    let name = table.name();
    if table.columns().iter().any(|column| column.sql.is_some()) {
        let columns = table.columns().iter().map(|column| column.in_sql().unwrap_or_else(|| ident(&column.name)));
        // The stored columns go by the table's name, so that plans say which table they read.
        let stored = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(parts)), None)?;
        let view = DataFrame::new(ctx.state(), stored.project(columns)?.build()?);
        ctx.register_table(name, view.into_view())?;
        return Ok(());
    }
    if !table.has_pictures_of_a_space() {
        ctx.register_table(name, Arc::new(parts))?;
        return Ok(());
    }
    // A space is shared by all datasets that use the model; this session is about one. The ids are
    // kept in memory, and the features are streamed.
    let images = ctx.table("images").await?.select(vec![col("image_id").alias("known")])?;
    let features = ctx.read_table(Arc::new(parts.streamed()))?;
    let view = images.join(features, JoinType::RightSemi, &["known"], &["image_id"], None)?;
    ctx.register_table(name, view.into_view())?;
    Ok(())
}

/// Returns the names of the dataset's classes, by class id.
fn class_names(store: &Store, visible: &Visible) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for batch in reader::batches(&store.partition("classes", &visible.dataset)?, Some(&["name"]), 4096)? {
        names.extend(arrays::strings(&batch?, "name")?.into_iter().map(str::to_owned));
    }
    Ok(names)
}

fn partitions(store: &Store, visible: &Visible, table: &TableSchema) -> Result<Vec<Seen>> {
    let all;
    let names: Vec<&String> = match table.scope() {
        Scope::Dataset => vec![&visible.dataset],
        Scope::Space | Scope::Pictures => visible.spaces.get(table.name()).into_iter().collect(),
        Scope::Run => visible.runs.iter().collect(),
        Scope::Prior => return of_runs(store, visible, table),
        // These tables compare pipelines, so every pipeline sees the rows of all others.
        Scope::All => {
            all = store.partitions(table.name())?;
            all.iter().collect()
        }
    };
    let seen = |name: &String| Ok(Seen { partition: store.partition(table.name(), name)?, run: None });
    names.into_iter().map(seen).collect()
}

/// Returns the partition of a prior for each run that reads it.
fn of_runs(store: &Store, visible: &Visible, table: &TableSchema) -> Result<Vec<Seen>> {
    let seen = |run: &String| {
        let partition = store.partition(table.name(), visible.priors.get(run).unwrap_or(run))?;
        Ok(Seen { partition, run: Some(run.clone()) })
    };
    visible.runs.iter().map(seen).collect()
}
