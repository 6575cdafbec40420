//! The SQL session over a store: every table by its name, the views of [`super::sql_views`] and the functions of [`super::udf`].

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, col};

use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::store::{Partition, Store, reader};
use crate::table::catalog::Parts;
use crate::table::giving_way::GivingWay;
use crate::table::schema::{self, TableSchema};
use crate::table::{arrays, same_names, sql_views, udf};

/// What of the store a session sees.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The dataset: `images`, `rejected`, `labels`, `classes`, `descriptions` of its partition, and of the spaces the rows
    /// of its images alone.
    pub dataset: String,
    /// The space of `embeddings`; none leaves the table empty.
    pub image_space: Option<String>,
    /// The space of `view_features`; none leaves the table empty.
    pub view_space: Option<String>,
    /// The space of `block_tokens`; none leaves the table empty.
    pub block_space: Option<String>,
    /// The partition of `text_features`; none leaves the table empty.
    pub text_partition: Option<String>,
    /// The runs, oldest first: their `prior_logits`, `fusion_logits`, `pseudo_labels`, `passes`, `predictions`, `metrics`
    /// and `runs`.
    pub runs: Vec<String>,
}

/// Tables that say what is right. A session of training does not have them: adaptation is label-free by construction.
const ANSWERS: [&str; 4] = ["labels", "metrics", "predictions", "ablations"];

/// Bytes that a statement may take in memory, where nobody says otherwise.
pub const MEMORY: u64 = 4_000_000_000;

/// What a statement may write to disk while it runs, in multiples of what it may take in memory.
const SPILL: u64 = 4;

/// A session over every table and view of the program. A table that nothing was stored in is there, with its columns and no rows.
///
/// Parts are found now: what is written later is not seen. [`warnings`] tells which parts were left out.
///
/// # Errors
/// Where the scope's names are no partition names, or a part cannot be read.
pub async fn session(store: &Store, scope: &Scope) -> Result<SessionContext> {
    session_within(MEMORY, store, scope).await
}

/// The same, where a statement may take so many bytes. It fails where it needs more, and does not slow down the machine.
///
/// # Errors
/// As [`session`].
pub async fn session_within(memory: u64, store: &Store, scope: &Scope) -> Result<SessionContext> {
    let ctx = open(memory, store, scope, |_| true).await?;
    udf::register_class_name(&ctx, class_names(store, scope)?);
    let newest = scope.runs.last().map(String::as_str);
    sql_views::register(&ctx, newest).await.context(Kind::Query, || "cannot make the views".to_owned())?;
    Ok(ctx)
}

/// The session that training has: without `labels`, `metrics`, `predictions`, `ablations`, and the views. Asking for one of them
/// fails as asking for any table that does not exist.
///
/// # Errors
/// As [`session`].
pub async fn training_session(store: &Store, scope: &Scope) -> Result<SessionContext> {
    open(MEMORY, store, scope, |table| !ANSWERS.contains(&table)).await
}

/// A session with the functions and no table, that runs on one thread: rows come in the order in which they went in.
pub fn bare_session() -> SessionContext {
    let config = configured(SessionConfig::new().with_target_partitions(1), Vec::new());
    context(config, Arc::new(RuntimeEnv::default()))
}

/// What was left out when the session was made, one line each.
pub fn warnings(ctx: &SessionContext) -> Vec<String> {
    ctx.copied_config().get_extension::<Warnings>().map(|w| w.0.clone()).unwrap_or_default()
}

struct Warnings(Vec<String>);

fn configured(config: SessionConfig, warnings: Vec<String>) -> SessionConfig {
    config.with_information_schema(true).with_extension(Arc::new(Warnings(warnings)))
}

fn context(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(same_names::rules())
        .with_physical_optimizer_rule(Arc::new(GivingWay))
        .build();
    let ctx = SessionContext::new_with_state(state);
    udf::register(&ctx);
    ctx
}

async fn open(memory: u64, store: &Store, scope: &Scope, visible: impl Fn(&str) -> bool) -> Result<SessionContext> {
    let mut warnings = Vec::new();
    let mut tables = Vec::new();
    for table in schema::all().iter().filter(|t| visible(t.name())) {
        let partitions = partitions(store, scope, table)?;
        tables.push((table.name(), Parts::find(table, &partitions, &mut warnings)?));
    }
    let bounds = RuntimeEnvBuilder::new()
        .with_memory_limit(usize::try_from(memory).unwrap_or(usize::MAX), 1.0)
        .with_max_temp_directory_size(memory.saturating_mul(SPILL))
        .build_arc()
        .context(Kind::Query, || "cannot bound the memory of statements".to_owned())?;
    let ctx = context(configured(SessionConfig::new().with_target_partitions(cores::limit()), warnings), bounds);
    for (name, parts) in tables {
        register(&ctx, name, parts).await.context(Kind::Store, || format!("cannot open table {name}"))?;
    }
    Ok(ctx)
}

/// `images` comes before the tables that are restricted to its rows.
async fn register(ctx: &SessionContext, name: &str, parts: Parts) -> datafusion::common::Result<()> {
    if !matches!(name, "embeddings" | "block_tokens" | "view_features") {
        ctx.register_table(name, Arc::new(parts))?;
        return Ok(());
    }
    // A space is shared by all datasets that use the model; this session is about one. The ids are kept in memory, the
    // features stream past them.
    let images = ctx.table("images").await?.select(vec![col("image_id").alias("known")])?;
    let features = ctx.read_table(Arc::new(parts.streamed()))?;
    let view = images.join(features, JoinType::RightSemi, &["known"], &["image_id"], None)?;
    ctx.register_table(name, view.into_view())?;
    Ok(())
}

/// Names of the dataset's classes, by their ids.
fn class_names(store: &Store, scope: &Scope) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for batch in reader::batches(&store.partition("classes", &scope.dataset)?, Some(&["name"]), 4096)? {
        names.extend(arrays::strings(&batch?, "name")?.into_iter().map(str::to_owned));
    }
    Ok(names)
}

fn partitions(store: &Store, scope: &Scope, table: &TableSchema) -> Result<Vec<Partition>> {
    let ablations;
    let names: Vec<&String> = match table.name() {
        "images" | "rejected" | "labels" | "classes" | "descriptions" => vec![&scope.dataset],
        "embeddings" => scope.image_space.iter().collect(),
        "block_tokens" => scope.block_space.iter().collect(),
        "view_features" => scope.view_space.iter().collect(),
        "text_features" => scope.text_partition.iter().collect(),
        // They compare pipelines, so no pipeline hides those of others.
        "ablations" => {
            ablations = store.partitions("ablations")?;
            ablations.iter().collect()
        }
        _ => scope.runs.iter().collect(),
    };
    names.into_iter().map(|name| store.partition(table.name(), name)).collect()
}
