//! Reads both tables of a pass side by side where a statement joins them by `image_id`: they have
//! the same pictures in the same order, so that a join needs no hash table of all rows of logits.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinSide, JoinType, NullEquality, Result, internal_err};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::dka::logits_table::Scan;

type Expression = Arc<dyn PhysicalExpr>;

/// Replaces an inner join of the two tables by `image_id` by a scan of both. The rule comes before
/// all others, which would distribute the sides of a join over the cores.
#[derive(Debug)]
pub(super) struct SideBySide;

impl PhysicalOptimizerRule for SideBySide {
    fn name(&self) -> &'static str {
        "logits_side_by_side"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|plan| {
            let read = plan.downcast_ref::<HashJoinExec>().map(side_by_side).transpose()?.flatten();
            Ok(read.map_or_else(|| Transformed::no(plan), Transformed::yes))
        })?;
        Ok(done.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// One side of a join: expressions over the columns of a scan, and what rows must fulfil.
struct Side<'a> {
    scan: &'a Scan,
    columns: Vec<Expression>,
    conditions: Vec<Expression>,
}

impl<'a> Side<'a> {
    /// Returns the side that a plan is, if it only computes from single rows of one of the tables.
    fn of(plan: &'a Arc<dyn ExecutionPlan>) -> Result<Option<Side<'a>>> {
        if let Some(scan) = plan.downcast_ref::<Scan>() {
            let schema = scan.schema();
            let columns = schema.fields().iter().enumerate();
            let columns = columns.map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Expression).collect();
            return Ok(Some(Side { scan, columns, conditions: Vec::new() }));
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let Some(side) = Side::of(projection.input())? else { return Ok(None) };
            // What is random must be computed once, and is put into several places here.
            if projection.expr().iter().any(|column| is_volatile(&column.expr)) {
                return Ok(None);
            }
            let columns = projection.expr().iter().map(|column| put_in(&column.expr, &side.columns));
            let columns = columns.collect::<Result<_>>()?;
            return Ok(Some(Side { columns, ..side }));
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>().filter(|filter| filter.projection().is_none()) {
            let Some(mut side) = Side::of(filter.input())? else { return Ok(None) };
            side.conditions.push(put_in(filter.predicate(), &side.columns)?);
            return Ok(Some(side));
        }
        Ok(None)
    }

    /// Returns whether a key of a join is the picture's id.
    fn is_picture(&self, key: &Expression) -> Result<bool> {
        Ok(put_in(key, &self.columns)?.downcast_ref::<Column>().is_some_and(|column| column.name() == "image_id"))
    }

    /// Returns the side as the second half of the columns of a scan of both, after `width` others.
    fn after(self, width: usize) -> Result<Side<'a>> {
        let moved = |expressions: Vec<Expression>| -> Result<Vec<Expression>> {
            expressions.iter().map(|expression| shifted(expression, width)).collect()
        };
        Ok(Side { scan: self.scan, columns: moved(self.columns)?, conditions: moved(self.conditions)? })
    }
}

/// Returns what reads the rows of a join, if both sides are the two tables and pictures are joined
/// to themselves.
fn side_by_side(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    // Rows that are joined although a key is null are left to the join itself.
    if *join.join_type() != JoinType::Inner || join.null_equality() != NullEquality::NullEqualsNothing {
        return Ok(None);
    }
    let (Some(left), Some(right)) = (Side::of(join.left())?, Side::of(join.right())?) else { return Ok(None) };
    let mut by_picture = false;
    for (one, other) in join.on() {
        by_picture |= left.is_picture(one)? && right.is_picture(other)?;
    }
    if !by_picture {
        return Ok(None);
    }
    let scan: Arc<dyn ExecutionPlan> = Arc::new(Scan::beside(left.scan, right.scan)?);
    let right = right.after(left.scan.schema().fields().len())?;
    let mut conditions = [left.conditions, right.conditions].concat();
    for (one, other) in join.on() {
        let (one, other) = (put_in(one, &left.columns)?, put_in(other, &right.columns)?);
        let is_picture = |key: &Expression| key.downcast_ref::<Column>().is_some_and(|key| key.name() == "image_id");
        if !(is_picture(&one) && is_picture(&other)) {
            conditions.push(Arc::new(BinaryExpr::new(one, Operator::Eq, other)));
        }
    }
    if let Some(filter) = join.filter() {
        let of_filter = filter.column_indices().iter().map(|place| match place.side {
            JoinSide::Left => left.columns.get(place.index).cloned(),
            _ => right.columns.get(place.index).cloned(),
        });
        let Some(of_filter) = of_filter.collect::<Option<Vec<_>>>() else { return Ok(None) };
        conditions.push(put_in(filter.expression(), &of_filter)?);
    }
    let read = match conditions.is_empty() {
        true => scan,
        false => Arc::new(FilterExec::try_new(conjunction(conditions), scan)?),
    };
    let columns = [left.columns, right.columns].concat();
    let chosen: Vec<usize> = match &join.projection {
        Some(chosen) => chosen.to_vec(),
        None => (0..columns.len()).collect(),
    };
    let schema = join.schema();
    let named = chosen.iter().zip(schema.fields());
    let named = named.map(|(&at, field)| ProjectionExpr::new(columns[at].clone(), field.name().clone()));
    Ok(Some(Arc::new(ProjectionExec::try_new(named.collect::<Vec<_>>(), read)?)))
}

/// Puts expressions in the place of an expression's columns, by their indices.
fn put_in(expression: &Expression, columns: &[Expression]) -> Result<Expression> {
    let done = expression.clone().transform_up(|expression| {
        let Some(column) = expression.downcast_ref::<Column>() else { return Ok(Transformed::no(expression)) };
        let Some(put) = columns.get(column.index()) else { return internal_err!("there is no such column") };
        // From the bottom up, the columns of what is put in are not replaced in turn.
        Ok(Transformed::yes(put.clone()))
    })?;
    Ok(done.data)
}

/// Moves the columns of an expression to the right by `width`.
fn shifted(expression: &Expression, width: usize) -> Result<Expression> {
    let done = expression.clone().transform_up(|expression| {
        let Some(column) = expression.downcast_ref::<Column>() else { return Ok(Transformed::no(expression)) };
        let moved = Column::new(column.name(), column.index() + width);
        Ok(Transformed::yes(Arc::new(moved) as Expression))
    })?;
    Ok(done.data)
}
