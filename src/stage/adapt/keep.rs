//! What is kept of the logits of a run's passes: `adapt.keep`.
//!
//! `fusion_logits` is the largest table of a run, and no pass reads those of an earlier one. Once a
//! pass is committed, what need not stay of the passes before it goes. The column `kept` of
//! `passes` says what is left of each: it is written after what it names, and before anything is
//! removed. So wherever that is cut short, what it says is there, and the next call does the rest.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Int32Array, ListArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Float32Type, Int32Type};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tables::part;
use crate::error::{Error, Kind, Result};
use crate::settings::{NameOrCount, Want};
use crate::stage::job::Job;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays};
use crate::text::numbers::counted;

/// What is kept of the logits of a run's passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of every pass.
    All,
    /// All of the last pass that is done.
    Last,
    /// The so many largest of each picture; all of the last pass that is done, until the run ends.
    Top(u32),
}

/// The name of [`Keep::Top`], before the number.
const TOP: &str = "top";

impl Keep {
    /// What a pipeline file must say.
    pub const WANT: Want =
        Want::NameOrCount(NameOrCount { names: &["all", "last"], counted: TOP, least: 1, most: 1_000_000 });

    /// Returns how many of a picture's logits are to stay of a pass, after `done` passes of `of`.
    fn logits(self, pass: u64, done: u64, of: u64) -> u32 {
        let is_last = pass + 1 == done;
        match self {
            Keep::All => ALL,
            Keep::Last if is_last => ALL,
            Keep::Last => 0,
            Keep::Top(_) if is_last && done < of => ALL,
            Keep::Top(most) => most,
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::All => f.write_str("all"),
            Keep::Last => f.write_str("last"),
            Keep::Top(most) => write!(f, "{TOP}:{most}"),
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.split_once(':').filter(|(name, _)| *name == TOP).and_then(|(_, number)| number.parse().ok());
        match (text.as_str(), number) {
            ("all", _) => Ok(Keep::All),
            ("last", _) => Ok(Keep::Last),
            (_, Some(most)) => Ok(Keep::Top(most)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is not \"all\", \"last\" or \"{TOP}:K\""))),
        }
    }
}

/// More logits of a picture than there can be classes: those of a pass are all there.
const ALL: u32 = u32::MAX;

/// Whole logits, and the largest of those that went.
const TABLES: [&str; 2] = ["fusion_logits", "top_logits"];

/// Returns how many of a picture's logits the store is said to have of each pass, from the first
/// on.
fn kept(store: &Store, run: &str) -> Result<Vec<u32>> {
    let partition = store.partition("passes", run)?;
    let parts: BTreeSet<PathBuf> = partition.parts()?.into_iter().collect();
    let mut kept = Vec::new();
    loop {
        let path = partition.part(&part(kept.len() as u64))?;
        if !parts.contains(&path) {
            return Ok(kept);
        }
        kept.push(kept_of(&path)?);
    }
}

/// Returns how many of a picture's logits the row of a pass says to be there.
fn kept_of(path: &Path) -> Result<u32> {
    let row = row(path)?;
    // Older versions had no such column, and removed nothing.
    let said = arrays::optional_int32s(&row, "kept").ok().and_then(|said| said.first().copied().flatten());
    Ok(said.map_or(ALL, |said| said.max(0).cast_unsigned()))
}

/// Reads the row of a pass.
fn row(path: &Path) -> Result<RecordBatch> {
    let none = || Error::new(Kind::Store, format!("{} has no row", path.display()));
    reader::batches_of(vec![path.to_owned()], None, 16).next().ok_or_else(none)?
}

/// Returns of how many passes, from the first on, the store has the logits that it is said to have;
/// `list` gives the parts of a partition.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn passes_with_logits(store: &Store, run: &str, list: impl Fn(&Partition) -> Result<Vec<PathBuf>>) -> Result<u64> {
    let kept = kept(store, run)?;
    let mut there = BTreeSet::new();
    for table in TABLES {
        there.extend(list(&store.partition(table, run)?)?);
    }
    let has = |table: &str, pass: u64| Ok::<_, Error>(there.contains(&store.partition(table, run)?.part(&part(pass))?));
    for pass in 0.. {
        let whole = match kept.get(pass as usize) {
            Some(0) => true,
            Some(&ALL) | None => has(TABLES[0], pass)?,
            Some(_) => has(TABLES[1], pass)?,
        };
        if !whole {
            return Ok(pass);
        }
    }
    Ok(kept.len() as u64)
}

/// Removes the logits that need not stay after `done` passes of `of`, as [`thin`] does, and says so
/// if there are fewer than are to stay.
///
/// # Errors
/// Fails like [`thin`].
pub fn settle(run: &str, keep: Keep, done: u64, of: u64, job: Job<'_>) -> Result<()> {
    thin(run, keep, 0..done, of, job)?;
    let fewer = (0..done).zip(kept(job.store, run)?).filter(|&(pass, has)| has < keep.logits(pass, done, of)).count();
    if fewer > 0 {
        let passes = counted(fewer as u64, "pass");
        job.progress.say(&format!(
            "of {passes}, fewer logits are there than adapt.keep = \"{keep}\" keeps: they were removed \
             before, and are not brought back"
        ));
    }
    Ok(())
}

/// Removes the logits of these passes that need not stay after the last of them, of `of` in all.
///
/// # Errors
/// Fails if the store cannot be read or written, or a stop was requested; the next call does the
/// rest.
pub(super) fn thin(run: &str, keep: Keep, passes: Range<u64>, of: u64, Job { store, stop, .. }: Job<'_>) -> Result<()> {
    let partition = store.partition("passes", run)?;
    let done = passes.end;
    for pass in passes {
        let has = kept_of(&partition.part(&part(pass))?)?;
        let wanted = keep.logits(pass, done, of);
        // The row never says more than is there: a table that is narrowed in its place is marked
        // before, one that is made beside that of all logits after it.
        let narrows = has != ALL && wanted < has;
        if narrows {
            mark(store, run, pass, wanted)?;
        }
        let fewer = wanted < has && (wanted == 0 || write_top(store, run, pass, has, wanted, stop)?);
        if fewer && !narrows {
            mark(store, run, pass, wanted)?;
        }
        let left = if fewer { wanted } else { has };
        for (table, stays) in TABLES.into_iter().zip([left == ALL, left != ALL && left > 0]) {
            if !stays {
                remove(&store.partition(table, run)?, pass)?;
            }
        }
    }
    Ok(())
}

/// Removes a pass's part of a partition.
fn remove(partition: &Partition, pass: u64) -> Result<()> {
    let path = partition.part(&part(pass))?;
    partition.retain(|other| other != path)?;
    if partition.listed()?.is_empty() { partition.clear() } else { Ok(()) }
}

/// Says in the row of a pass how many of a picture's logits are left.
fn mark(store: &Store, run: &str, pass: u64, left: u32) -> Result<()> {
    let partition = store.partition("passes", run)?;
    let row = row(&partition.part(&part(pass))?)?;
    let schema = table::table("passes")?.arrow(&Dims::new())?;
    let columns = schema.fields().iter().map(|field| {
        let column: ArrayRef = match row.column_by_name(field.name()) {
            _ if field.name() == "kept" => Arc::new(Int32Array::from(vec![left.cast_signed(); row.num_rows()])),
            Some(column) => column.clone(),
            None => new_null_array(field.data_type(), row.num_rows()),
        };
        (field.name().as_str(), column)
    });
    let row = table::rows("passes", &schema, columns)?;
    partition.write_part(&part(pass), &schema, &[row], &[]).map(drop)
}

/// Numbers read at a time.
const AT_ONCE: usize = 1 << 22;

/// Writes the `wanted` largest logits of each picture in a pass, of the `has` that are there.
/// Returns whether that is fewer.
fn write_top(store: &Store, run: &str, pass: u64, has: u32, wanted: u32, stop: &Stop) -> Result<bool> {
    let from = store.partition(TABLES[usize::from(has != ALL)], run)?.part(&part(pass))?;
    let all = match reader::footer(&from)?.schema.field_with_name("logits").map(|field| field.data_type().clone()) {
        Ok(DataType::FixedSizeList(_, classes)) => classes.max(1).cast_unsigned(),
        _ => has,
    };
    if wanted >= all {
        return Ok(false);
    }
    let schema = table::table(TABLES[1])?.arrow(&Dims::new())?;
    let mut writer = store.partition(TABLES[1], run)?.writer(&part(pass), &schema, &[])?;
    for batch in reader::batches_of(vec![from], None, (AT_ONCE / all as usize).clamp(1, 8192)) {
        stop.check()?;
        let batch = batch?;
        let mut top = Top::default();
        match batch.column_by_name("class_ids") {
            Some(classes) => top.narrow(classes.as_list::<i32>(), &batch, wanted as usize)?,
            None => top.choose(&batch, wanted as usize)?,
        }
        let others = ["run", "pass", "image_id"].map(|name| batch.column_by_name(name).cloned().map(|c| (name, c)));
        let columns = others.into_iter().flatten().chain([
            ("class_ids", arrays::number_lists(Int32Array::from(top.classes), batch.num_rows())?),
            ("logits", arrays::number_lists(Float32Array::from(top.logits), batch.num_rows())?),
        ]);
        writer.write(&table::rows(TABLES[1], &schema, columns)?)?;
    }
    writer.finish().map(|_| true)
}

/// The largest logits of some pictures, one picture after the other, each with the largest first.
#[derive(Default)]
struct Top {
    classes: Vec<i32>,
    logits: Vec<f32>,
}

impl Top {
    /// Adds the largest of all logits; of equal ones, those of the first classes, as `argmax` does.
    fn choose(&mut self, batch: &RecordBatch, wanted: usize) -> Result<()> {
        let (logits, width) = arrays::rows_f32(batch, "logits")?;
        let mut classes: Vec<i32> = Vec::with_capacity(width);
        for row in logits.chunks_exact(width.max(1)) {
            classes.clear();
            classes.extend(0..width as i32);
            let larger = |a: &i32, b: &i32| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b));
            classes.select_nth_unstable_by(wanted - 1, larger);
            classes.truncate(wanted);
            classes.sort_unstable_by(larger);
            self.classes.extend_from_slice(&classes);
            self.logits.extend(classes.iter().map(|&class| row[class as usize]));
        }
        Ok(())
    }

    /// Adds the first of what was chosen before.
    fn narrow(&mut self, classes: &ListArray, batch: &RecordBatch, wanted: usize) -> Result<()> {
        let missing = || Error::new(Kind::Store, "largest logits without their numbers");
        let logits =
            batch.column_by_name("logits").and_then(|column| column.as_list_opt::<i32>()).ok_or_else(missing)?;
        for row in 0..batch.num_rows() {
            let (classes, logits) = (classes.value(row), logits.value(row));
            let (classes, logits) = (classes.as_primitive::<Int32Type>(), logits.as_primitive::<Float32Type>());
            self.classes.extend(classes.values().iter().take(wanted));
            self.logits.extend(logits.values().iter().take(wanted));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        for (text, keep) in [("all", Keep::All), ("last", Keep::Last), ("top:32", Keep::Top(32))] {
            assert_eq!(serde_json::from_str::<Keep>(&format!("{text:?}")).unwrap(), keep);
            assert_eq!(serde_json::to_string(&keep).unwrap(), format!("{text:?}"));
        }
        for wrong in ["first", "top", "top:", "top:x", "last:3", ""] {
            assert!(serde_json::from_str::<Keep>(&format!("{wrong:?}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_pass_that_is_done_last_stays_whole_while_the_run_goes_on() {
        let after = |keep: Keep, done: u64| (0..done).map(|pass| keep.logits(pass, done, 3)).collect::<Vec<_>>();
        assert_eq!(after(Keep::All, 3), [ALL; 3]);
        assert_eq!((after(Keep::Last, 2), after(Keep::Last, 3)), (vec![0, ALL], vec![0, 0, ALL]));
        assert_eq!((after(Keep::Top(5), 2), after(Keep::Top(5), 3)), (vec![5, ALL], vec![5; 3]));
    }

    #[test]
    fn the_largest_come_first_and_of_equal_ones_the_first_class() {
        let logits = arrays::fixed_list_f32(&[0.1, 0.5, 0.3, 0.5, -1.0, -2.0, -1.0, -3.0], 4).unwrap();
        let batch = RecordBatch::try_from_iter([("logits", logits)]).unwrap();
        let mut top = Top::default();
        top.choose(&batch, 3).unwrap();
        assert_eq!(top.classes, [1, 3, 2, 0, 2, 1]);
        assert_eq!(top.logits, [0.5, 0.5, 0.3, -1.0, -1.0, -2.0]);
    }
}
