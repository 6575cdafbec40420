//! The biases of the prior's classes: found on the training pictures of a run, kept in the table
//! `class_bias`, and read again to answer other pictures.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array};
use tch::{Kind as Number, Tensor};

use crate::device::guarded;
use crate::dka::Balance;
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::class_bias::{self, ClassBias, Evidence};
use crate::fusion::matrix::Matrix;
use crate::stop::Stop;
use crate::store::layout::Store;
use crate::store::reader;
use crate::table::{self, Dims, arrays};

/// What is known of the training pictures without labels.
pub struct Training<'a> {
    /// Composite features, (rows, d), of unit length.
    pub composite: &'a Matrix,
    /// Their cosines to the frozen head, (rows, C).
    pub cosines: &'a Matrix,
    /// The shares of the classes, (C); `None` if they are even.
    pub shares: Option<Tensor>,
    /// Factor that turns cosines into logits.
    pub scale: f64,
}

/// Finds the biases. `halves` makes the cosines of each half of the pictures' crops, (rows, C);
/// only a pull that is chosen asks for them.
///
/// # Errors
/// Fails if libtorch reports an error, `halves` does, or a stop was requested.
#[tracing::instrument(name = "stage", skip_all, fields(stage = "class_bias"))]
pub fn find(
    balance: Balance,
    training: &Training<'_>,
    halves: impl FnOnce() -> Result<[Matrix; 2]>,
    stop: &Stop,
) -> Result<ClassBias> {
    let Training { composite: features, cosines, scale, .. } = *training;
    let shares = training.shares.as_ref();
    guarded("the biases of the classes", || match balance {
        Balance::Pull(pull) => class_bias::estimate(cosines, shares, pull, scale, stop),
        Balance::Auto => {
            let [one, other] = halves()?;
            class_bias::choose(Evidence { cosines, halves: [&one, &other], features, scale }, shares, stop)
        }
    })
}

/// The part of the prior's biases.
const PRIOR: &str = "prior";

/// Writes the biases of a run's prior into `class_bias`. Those of its passes stay.
///
/// # Errors
/// Fails if the store cannot be written.
pub fn write(run: &str, found: &ClassBias, store: &Store) -> Result<()> {
    write_part(run, PRIOR, -1, found, store)
}

/// Writes the biases that a pass re-estimated, as the part of that name.
///
/// # Errors
/// Fails if the store cannot be written.
pub fn write_pass(run: &str, part: &str, pass: u64, found: &ClassBias, store: &Store) -> Result<()> {
    write_part(run, part, pass as i32, found, store)
}

fn write_part(run: &str, part: &str, pass: i32, found: &ClassBias, store: &Store) -> Result<()> {
    let numbers = |of: &Tensor| -> Result<ArrayRef> {
        let numbers = Vec::<f64>::try_from(of).context(Kind::Torch, || "cannot copy the biases".to_owned())?;
        Ok(Arc::new(Float64Array::from(numbers)))
    };
    let classes = found.bias.size()[0] as usize;
    let schema = table::table("class_bias")?.arrow(&Dims::new())?;
    let columns: [(&str, ArrayRef); 7] = [
        ("run", arrays::repeated(run, classes)),
        ("pass", arrays::repeated_i32(pass, classes)),
        ("class_id", Arc::new(Int32Array::from_iter_values(0..classes as i32))),
        ("pull", Arc::new(Float64Array::from(vec![found.pull; classes]))),
        ("bias", numbers(&found.bias)?),
        ("mass_before", numbers(&found.before)?),
        ("mass_after", numbers(&found.after)?),
    ];
    let batch = table::rows("class_bias", &schema, columns)?;
    store.partition("class_bias", run)?.write_part(part, &schema, &[batch], &[]).map(drop)
}

/// Returns the biases that were found for a run's prior with these `shares` of the classes, or even
/// ones; `None` if the store does not have them.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn found(run: &str, shares: Option<&Tensor>, store: &Store) -> Result<Option<ClassBias>> {
    if !is_written(run, store)? {
        return Ok(None);
    }
    let names = ["pull", "bias", "mass_before", "mass_after"];
    let mut columns = names.map(|_| Vec::new());
    for batch in reader::batches_of(vec![store.partition("class_bias", run)?.part(PRIOR)?], None, 8192) {
        let batch = batch?;
        // Rows of another run in this place do not count.
        if arrays::strings(&batch, "run")?.iter().any(|of| *of != run) {
            return Ok(None);
        }
        for (name, column) in names.iter().zip(&mut columns) {
            column.extend(arrays::floats(&batch, name)?.into_iter().flatten());
        }
    }
    let [pull, bias, before, after] = columns;
    let Some(&pull) = pull.first() else { return Ok(None) };
    let shares = class_bias::wanted(shares, bias.len());
    let [bias, before, after] = [bias, before, after].map(|column: Vec<f64>| Tensor::from_slice(&column));
    Ok(Some(ClassBias { pull, shares, bias, before, after }))
}

/// Returns whether the store has the biases of a run's prior.
///
/// # Errors
/// Fails if the store cannot be read.
pub fn is_written(run: &str, store: &Store) -> Result<bool> {
    let partition = store.partition("class_bias", run)?;
    let prior = partition.part(PRIOR)?;
    Ok(partition.parts()?.contains(&prior))
}

/// Reads the biases of the classes of a run's prior, (C), fp32 on the CPU.
///
/// # Errors
/// Returns [`Kind::Store`] if they are missing, damaged, or not those of so many `classes`.
pub fn read(run: &str, classes: usize, store: &Store) -> Result<Tensor> {
    let partition = store.partition("class_bias", run)?;
    partition.require_sound()?;
    let mut biases = Vec::new();
    let prior = if is_written(run, store)? { vec![partition.part(PRIOR)?] } else { Vec::new() };
    for batch in reader::batches_of(prior, Some(&["bias"]), 8192) {
        biases.extend(arrays::floats(&batch?, "bias")?.into_iter().flatten());
    }
    if biases.len() != classes {
        let what = format!("run '{run}' has the biases of {} classes, not of {classes}", biases.len());
        return Err(Error::new(Kind::Store, what).hint("run the pipeline again: what is missing is computed"));
    }
    Ok(Tensor::from_slice(&biases).to_kind(Number::Float))
}
