//! Which plans are computed by executors: an allow-list of nodes, over units or over the parts of
//! one store, so that no plan writes files or reads others.
//!
//! The driver asks before it sends a plan, and every executor before it runs a piece of one,
//! since other programs may have sent it.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use ballista_core::execution_plans::sort_shuffle::SortShuffleWriterExec;
use ballista_core::execution_plans::{ShuffleReaderExec, ShuffleWriterExec};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, plan_err};
use datafusion::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use datafusion::prelude::SessionConfig;

use super::node::UnitsExec;
use crate::store::Store;
use crate::store::replica::Replica;
use crate::table::schema;

/// What executors are told of a statement, besides its plan.
#[derive(Debug, Clone, Default)]
pub(super) struct OfStatement {
    /// The store whose parts it reads: a folder that all machines have, or an address.
    store: String,
}

/// The setting that says so.
pub(super) const STORE: &str = "microclip.store";

impl ExtensionOptions for OfStatement {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> datafusion::error::Result<()> {
        match key {
            "store" => value.clone_into(&mut self.store),
            _ => return plan_err!("there is no setting {}.{key}", Self::PREFIX),
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let (key, value) = (STORE.to_owned(), Some(self.store.clone()));
        vec![ConfigEntry { key, value, description: "the store whose parts a statement reads" }]
    }
}

impl ConfigExtension for OfStatement {
    const PREFIX: &'static str = "microclip";
}

/// Returns the store that a session's statement reads; empty if it reads none.
pub(super) fn store_of(config: &SessionConfig) -> &str {
    config.options().extensions.get::<OfStatement>().map_or("", |of| of.store.as_str())
}

/// Nodes without effects, of which each task can do its own partitions. A leaf that is not among
/// them would be computed as a whole by every task.
const NODES: [&str; 24] = [
    "AggregateExec",
    "BoundedWindowAggExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CrossJoinExec",
    "EmptyExec",
    "FilterExec",
    "GlobalLimitExec",
    "HashJoinExec",
    "InterleaveExec",
    "LocalLimitExec",
    "NestedLoopJoinExec",
    "PartialSortExec",
    "PlaceholderRowExec",
    "ProjectionExec",
    "RepartitionExec",
    "SortExec",
    "SortExec(TopK)",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
    "UnionExec",
    "UnnestExec",
    "WindowAggExec",
];

/// Returns a plan that is computed right piece by piece, or why there is none.
pub(super) fn prepared(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, String> {
    if let Some(why) = first(&plan, cannot) {
        return Err(why);
    }
    let plan = plan.transform_up(sorted_by_itself).map(|done| done.data).map_err(|error| error.to_string())?;
    let plan = plan.transform_up(with_sorted_windows).map(|done| done.data).map_err(|error| error.to_string())?;
    plan.transform_up(with_one_side_whole).map(|done| done.data).map_err(|error| error.to_string())
}

/// Returns why a node cannot be computed elsewhere.
fn cannot(node: &Arc<dyn ExecutionPlan>) -> Option<String> {
    if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
        let source = scan.data_source();
        let file =
            source.downcast_ref::<FileScanConfig>().is_some_and(|config| config.file_source().is::<ParquetSource>());
        let known = file || source.is::<MemorySourceConfig>();
        return (!known).then(|| "it reads something else than tables".to_owned());
    }
    let is_row = matches!(node.name(), "EmptyExec" | "PlaceholderRowExec");
    // Their number of partitions does not travel.
    if is_row && node.properties().output_partitioning().partition_count() != 1 {
        return Some("it has rows without a table in several partitions".to_owned());
    }
    // Tests have units fail by it.
    let is_chaos = cfg!(test) && node.name() == "ChaosExec";
    (!is_chaos && !NODES.contains(&node.name())).then(|| format!("clusters do not compute {}", node.name()))
}

/// Makes a join compute all rows of its right side in one task, if it gives rows of its left side
/// that found no partner there: of several tasks, each would give those that found none in its own
/// share.
fn with_one_side_whole(node: Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(node)) };
    let by_the_right = matches!(
        join.join_type(),
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
    );
    if by_the_right || join.right().properties().output_partitioning().partition_count() == 1 {
        return Ok(Transformed::no(node));
    }
    let whole = Arc::new(CoalescePartitionsExec::new(join.right().clone()));
    let children = vec![join.left().clone(), whole as Arc<dyn ExecutionPlan>];
    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(children, anew)?))
}

/// Sorts what windows read by all that they want it sorted by. The planner leaves out what it knows
/// to be one value, such as a run that is filtered by; where that is computed by another machine,
/// nobody knows it any more.
fn with_sorted_windows(node: Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if !node.is::<BoundedWindowAggExec>() && !node.is::<WindowAggExec>() {
        return Ok(Transformed::no(node));
    }
    let wanted = node.required_input_ordering().into_iter().next().flatten();
    let order = wanted.and_then(|wanted| LexOrdering::new(wanted.into_single().into_iter().map(Into::into)));
    let (Some(order), Some(input)) = (order, node.children().pop().cloned()) else { return Ok(Transformed::no(node)) };
    let sorted = SortExec::new(order, input).with_preserve_partitioning(true);
    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.clone().replace_children(vec![Arc::new(sorted)], anew)?))
}

/// Makes rows that are dealt out and keep their order lose and regain it: between machines, they
/// lose it anyway, and what comes next would not know.
fn sorted_by_itself(node: Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(dealt) = node.downcast_ref::<RepartitionExec>().filter(|dealt| dealt.preserve_order()) else {
        return Ok(Transformed::no(node));
    };
    let Some(order) = dealt.properties().output_ordering().cloned() else { return Ok(Transformed::no(node)) };
    let dealt = RepartitionExec::try_new(dealt.input().clone(), dealt.partitioning().clone())?;
    Ok(Transformed::yes(Arc::new(SortExec::new(order, Arc::new(dealt)).with_preserve_partitioning(true))))
}

/// Returns why an executor of this session shall not run a piece of a plan.
pub(super) fn refusal(piece: &Arc<dyn ExecutionPlan>, config: &SessionConfig) -> Option<String> {
    let store = store_of(config);
    first(piece, |node| {
        let is_of_clusters = node.is::<UnitsExec>()
            || node.is::<ShuffleReaderExec>()
            || node.is::<ShuffleWriterExec>()
            || node.is::<SortShuffleWriterExec>();
        if is_of_clusters { None } else { cannot(node).or_else(|| reads_elsewhere(node, store)) }
    })
}

/// Returns the first reason that is found in a plan.
fn first(plan: &Arc<dyn ExecutionPlan>, reason: impl Fn(&Arc<dyn ExecutionPlan>) -> Option<String>) -> Option<String> {
    let mut why = None;
    let seen = plan.apply(|node| {
        why = reason(node);
        Ok(if why.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    seen.err().map(|error| error.to_string()).or(why)
}

/// Returns what a scan reads that is no part of the statement's store.
fn reads_elsewhere(node: &Arc<dyn ExecutionPlan>, store: &str) -> Option<String> {
    let scan = node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let files = scan.file_groups.iter().flat_map(|group| group.files());
    let mut paths = files.map(|file| file.object_meta.location.as_ref());
    let of_store = Prefix::of(store);
    let foreign = match &of_store {
        Some(prefix) if prefix.place == scan.object_store_url => paths.find(|path| !prefix.has(path)),
        _ => paths.next(),
    };
    foreign.map(|path| format!("{path} is no part of the store {store:?}"))
}

/// What the parts of a store are addressed by.
struct Prefix {
    place: ObjectStoreUrl,
    /// The folder; empty for one on objects.
    root: String,
}

impl Prefix {
    fn of(store: &str) -> Option<Prefix> {
        if store.is_empty() {
            return None;
        }
        let store = Store::open_read(store).ok()?;
        if let Some((place, _)) = store.replica().map(Replica::for_sql).transpose().ok()? {
            return Some(Prefix { place, root: String::new() });
        }
        let root = Path::new(store.root()).canonicalize().ok()?;
        let root = format!("{}/", root.to_str()?.trim_matches('/'));
        Some(Prefix { place: ObjectStoreUrl::local_filesystem(), root })
    }

    /// Returns whether a path is `TABLE/PARTITION/PART.parquet` in the store.
    fn has(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.root) else { return false };
        let parts: Vec<&str> = rest.split('/').collect();
        matches!(parts[..], [table, partition, part]
            if schema::all().iter().any(|known| known.name() == table)
                && !partition.starts_with('.')
                && part.ends_with(".parquet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_tables_are_in_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = Prefix::of(folder.path().to_str().unwrap()).unwrap();
        let root = prefix.root.clone();
        assert!(prefix.has(&format!("{root}images/flowers/0001.parquet")));
        for path in ["images/flowers/../x.parquet", "secrets/flowers/1.parquet", "images/flowers/x.txt", "1.parquet"] {
            assert!(!prefix.has(&format!("{root}{path}")), "{path}");
        }
        assert!(!prefix.has("etc/images/flowers/0001.parquet"));
        assert!(Prefix::of("").is_none());
    }
}
