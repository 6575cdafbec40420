//! Checkpoints: everything that the next pass needs from the previous ones, in one safetensors
//! file.
//!
//! A checkpoint is written under a temporary name, sealed, synced and renamed, as parts are: it
//! exists if and only if it is whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::clip::Weights;
use crate::clip::stored::Stored;
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::adamw::AdamW;
use crate::fusion::model::Model;
use crate::store::layout::Store;
use crate::store::{files, seal, sound, temporary};

/// Number of checkpoints kept per run.
const KEPT: usize = 2;

/// Returns the newest checkpoint of a folder.
///
/// # Errors
/// Fails if the folder cannot be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(all(folder)?.pop())
}

/// Returns the number of completed passes, by the newest checkpoint of a folder; 0 if there is
/// none.
///
/// # Errors
/// Fails if the folder cannot be read.
pub fn passes_done(folder: &Path) -> Result<u64> {
    Ok(latest(folder)?.and_then(|path| number(&path)).unwrap_or(0))
}

/// Returns whether a checkpoint belongs to the run and pass that its path says.
///
/// # Errors
/// Fails if the checkpoint cannot be read.
pub fn is_in_place(path: &Path, run: &str) -> Result<bool> {
    let bytes = files::read(path)?;
    Ok(misplaced(path, run, &bytes).is_none())
}

/// Returns the newest checkpoint to resume from, given the number of passes whose tables the store
/// has. Sets aside checkpoints that are damaged, misplaced, or after a pass whose tables were lost.
///
/// # Errors
/// Fails if the store cannot be read, or a file cannot be set aside.
pub(super) fn usable(store: &Store, run: &str, passes: u64) -> Result<Option<PathBuf>> {
    for path in all(&store.checkpoints(run)?)?.into_iter().rev() {
        if let Some(done) = number(&path).filter(|done| *done > passes) {
            store.set_aside(&path, &format!("is after {done} passes, and the tables of only {passes} are there"))?;
        } else if store.verify(&path)? {
            let bytes = files::read(&path)?;
            match misplaced(&path, run, &bytes) {
                Some(other) => store.set_aside(&path, &format!("is {other}"))?,
                None => return Ok(Some(path)),
            }
        }
    }
    Ok(None)
}

fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = files::entries(folder)?.into_iter().filter(|p| number(p).is_some()).collect();
    found.sort_by_key(|path| number(path));
    Ok(found)
}

/// Returns the number of passes in a checkpoint's name: `pass-0007.safetensors` is the state after
/// seven passes.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("pass-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Returns the path of the state after some passes.
pub(super) fn after(folder: &Path, passes: u64) -> PathBuf {
    folder.join(format!("pass-{passes:04}.safetensors"))
}

/// Writes the state after `done` passes, and removes all but the newest few.
///
/// # Errors
/// Returns [`Kind::Store`] if the disk is full or fails.
pub fn write(folder: &Path, run: &str, done: u64, model: &Model, optimiser: &AdamW) -> Result<()> {
    let mut tensors = Vec::new();
    for (n, name) in model.names().iter().enumerate() {
        tensors.push(Stored::of(name, &model.parameters()[n])?);
        let [first, second] = optimiser.moments(n);
        tensors.push(Stored::of(format!("adamw.first.{name}"), first)?);
        tensors.push(Stored::of(format!("adamw.second.{name}"), second)?);
    }
    tensors.push(Stored::of("adamw.step", &Tensor::from(optimiser.steps() as f32))?);
    let views = tensors.iter().map(Stored::view);
    let pairs = [("run", run.to_owned()), ("passes", done.to_string()), (seal::KEY, seal::blank())];
    let metadata = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>();
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))
        .context(Kind::Store, || "cannot make a checkpoint".to_owned())?;

    let path = after(folder, done);
    temporary::write_sealed(&path, bytes)?;
    let older = all(folder)?;
    for path in older.iter().rev().skip(KEPT) {
        files::remove(path)?;
    }
    Ok(())
}

/// Returns what a checkpoint says that it is, if that is not what its path says.
fn misplaced(path: &Path, run: &str, bytes: &[u8]) -> Option<String> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    let says = header.metadata().as_ref()?;
    let (theirs, passes) = (says.get("run")?, says.get("passes")?);
    let placed = theirs == run && number(path).is_some_and(|number| number.to_string() == *passes);
    (!placed).then(|| match theirs == run {
        true => format!("the checkpoint after pass {passes} under the number of another"),
        false => format!("the checkpoint of run '{theirs}' after pass {passes}, in the place of run '{run}'"),
    })
}

/// A checkpoint that was read and verified.
pub struct Checkpoint {
    path: PathBuf,
    weights: Weights,
}

impl Checkpoint {
    /// Reads a checkpoint of a run once, and compares it with its seal, its run and its name.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the file cannot be read, is damaged, is of another version of the
    /// program, or is of another run or pass than its path says.
    pub fn read(path: &Path, run: &str) -> Result<Self> {
        let bytes = files::read(path)?;
        sound::require(path, seal::verdict_in_memory(&bytes))?;
        if let Some(other) = misplaced(path, run, &bytes) {
            let what = format!("{} is {other}", path.display());
            return Err(Error::new(Kind::Store, what).hint("remove it and run again: its passes are done anew"));
        }
        Ok(Checkpoint { path: path.to_owned(), weights: Weights::of_bytes(path, bytes)? })
    }

    /// Returns the number of passes that the checkpoint comes after.
    pub fn passes(&self) -> u64 {
        number(&self.path).unwrap_or(0)
    }

    /// Refuses a checkpoint made for another number of classes.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the number differs.
    pub fn require_classes(&self, classes: usize) -> Result<()> {
        match self.weights.shape_of("classifier", 2) {
            Ok([rows, _]) if *rows != classes as i64 => {
                let what =
                    format!("{} tells {rows} classes apart, and the dataset has {classes} now", self.path.display());
                Err(Error::new(Kind::Input, what).hint("put those classes back, or run the pipeline again"))
            }
            // A frozen classifier is not learned, so the checkpoint does not have it.
            _ => Ok(()),
        }
    }

    /// Restores a model and its optimiser.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the checkpoint is of another model.
    pub fn restore(&self, model: &mut Model, optimiser: &mut AdamW) -> Result<()> {
        let weights = &self.weights;
        let mut restore = || -> Result<()> {
            let device = model.device();
            let get = |prefix: &str, model: &Model| -> Result<Vec<Tensor>> {
                let of = model.names().iter().zip(model.parameters());
                of.map(|(name, p)| Ok(weights.get(&format!("{prefix}{name}"), &p.size())?.to_device(device))).collect()
            };
            let (values, first, second) = (get("", model)?, get("adamw.first.", model)?, get("adamw.second.", model)?);
            model.restore(&values)?;
            optimiser.restore(&first, &second, weights.get("adamw.step", &[])?.double_value(&[]) as i64);
            Ok(())
        };
        let path = self.path.display();
        restore().map_err(|e| e.hint(format!("remove {path} and run again: its passes are done anew")))
    }
}
