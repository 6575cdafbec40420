//! Checkpoints: everything a pass leaves behind that the next one needs, in one safetensors file.
//!
//! Written under a temporary name, synced and renamed, as parts are: a checkpoint exists if and only if it is whole.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind as Number, Tensor};

use crate::clip::Weights;
use crate::error::{Context, Kind, Result};
use crate::fusion::adamw::AdamW;
use crate::fusion::adapter::Adapter;

/// How many checkpoints of a run are kept.
const KEPT: usize = 2;

/// The newest checkpoint of a folder.
///
/// # Errors
/// Where the folder cannot be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(all(folder)?.pop())
}

/// Passes that are done, by the newest checkpoint of a folder; 0 where there is none.
///
/// # Errors
/// Where the folder cannot be read.
pub fn passes_done(folder: &Path) -> Result<u64> {
    Ok(latest(folder)?.and_then(|path| number(&path)).unwrap_or(0))
}

fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(Kind::Store, "cannot read", folder)?,
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| number(p).is_some()).collect();
    found.sort_by_key(|path| number(path));
    Ok(found)
}

/// `pass-0007.safetensors` is the state after seven passes.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("pass-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Writes the state after `done` passes, and removes all but the newest few.
///
/// # Errors
/// [`Kind::Store`] where the disk is full or failed.
pub fn write(folder: &Path, run: &str, done: u64, adapter: &Adapter, optimiser: &AdamW) -> Result<()> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: String, tensor: &Tensor| {
        let flat = tensor.detach().to_device(Device::Cpu).to_kind(Number::Float).contiguous();
        let mut bytes = vec![0u8; flat.numel() * 4];
        flat.copy_data_u8(&mut bytes, flat.numel());
        tensors.push((name, flat.size().iter().map(|&n| n as usize).collect(), bytes));
    };
    for (n, name) in adapter.names().iter().enumerate() {
        add(name.clone(), &adapter.parameters()[n]);
        add(format!("adamw.first.{name}"), &optimiser.first[n]);
        add(format!("adamw.second.{name}"), &optimiser.second[n]);
    }
    add("adamw.step".to_owned(), &Tensor::from(optimiser.step as f32));
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.clone(), view)).context(Kind::Store, || format!("cannot store tensor {name}"))
    });
    let metadata = HashMap::from([("run".to_owned(), run.to_owned()), ("passes".to_owned(), done.to_string())]);
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))
        .context(Kind::Store, || "cannot make a checkpoint".to_owned())?;

    let path = folder.join(format!("pass-{done:04}.safetensors"));
    let mut file =
        tempfile::Builder::new().suffix(".tmp").tempfile_in(folder).at(Kind::Store, "cannot write to", folder)?;
    file.write_all(&bytes).at(Kind::Store, "cannot write", &path)?;
    file.as_file().sync_all().at(Kind::Store, "cannot write", &path)?;
    file.persist(&path).at(Kind::Store, "cannot name", &path)?;
    File::open(folder).and_then(|f| f.sync_all()).at(Kind::Store, "cannot sync", folder)?;
    let older = all(folder)?;
    for path in older.iter().rev().skip(KEPT) {
        fs::remove_file(path).at(Kind::Store, "cannot remove", path)?;
    }
    Ok(())
}

/// Reads a checkpoint into a model and its optimiser; returns the number of passes it is after.
///
/// # Errors
/// [`Kind::Model`] or [`Kind::Store`] where the file is damaged or of another model.
pub fn restore(path: &Path, adapter: &mut Adapter, optimiser: &mut AdamW) -> Result<u64> {
    let mut read = || -> Result<()> {
        let weights = Weights::open(path)?;
        let device = adapter.device();
        let get = |prefix: &str, adapter: &Adapter| -> Result<Vec<Tensor>> {
            let of = adapter.names().iter().zip(adapter.parameters());
            of.map(|(name, p)| Ok(weights.get(&format!("{prefix}{name}"), &p.size())?.to_device(device))).collect()
        };
        let (values, first, second) =
            (get("", adapter)?, get("adamw.first.", adapter)?, get("adamw.second.", adapter)?);
        adapter.restore(&values)?;
        (optimiser.first, optimiser.second) = (first, second);
        optimiser.step = weights.get("adamw.step", &[])?.double_value(&[]) as i64;
        Ok(())
    };
    read().map_err(|e| e.hint(format!("remove {} and run again: its passes are done anew", path.display())))?;
    Ok(number(path).unwrap_or(0))
}
