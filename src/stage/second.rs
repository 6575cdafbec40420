//! The classes in the space of the second vision model: found on the training pictures of a run,
//! kept in the table `second_classes`, and read again to answer other pictures.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array};
use tch::{Kind as Number, Tensor};

use crate::clip::SecondFeatures;
use crate::error::{Context, Error, Kind, Result};
use crate::fusion::blocks::Block;
use crate::fusion::joint_transport::Joint;
use crate::fusion::matrix::Matrix;
use crate::fusion::normalize;
use crate::stage::features;
use crate::stage::pictures::Pictures;
use crate::stop::Stop;
use crate::store::layout::{Partition, Store};
use crate::store::reader;
use crate::table::{self, Dims, arrays, tensor};

/// Returns what is compared of the second model's output: `cls` and `patch_mean` are (rows, E), the
/// result is (rows, F).
pub fn compared(which: SecondFeatures, cls: &Tensor, patch_mean: &Tensor) -> Tensor {
    match which {
        SecondFeatures::Cls => normalize(cls),
        SecondFeatures::PatchMean => normalize(patch_mean),
        SecondFeatures::Both => Tensor::cat(&[normalize(cls), normalize(patch_mean)], 1),
    }
}

/// Reads the features (rows, F) of all pictures from a partition of `second_features`, in the order
/// of the pictures.
///
/// # Errors
/// Fails if the store lacks a picture's features, or a stop was requested.
pub fn read_features(which: SecondFeatures, partition: &Partition, pictures: &Pictures, stop: &Stop) -> Result<Matrix> {
    let cls = features::vectors(partition, "cls", pictures, stop)?;
    let mean = features::vectors(partition, "patch_mean", pictures, stop)?;
    let width = compared(which, &cls.block(Block::of_rows(0, 0))?, &mean.block(Block::of_rows(0, 0))?).size()[1];
    Matrix::computed(cls.blocks(), width, stop, |block| Ok(compared(which, &cls.block(block)?, &mean.block(block)?)))
}

/// Writes `second_classes` of a run.
///
/// # Errors
/// Fails if the store cannot be written.
pub fn write(run: &str, found: &Joint, store: &Store) -> Result<()> {
    let (classes, width) = found.prototypes.size2().unwrap_or((0, 0));
    let numbers = |of: &Tensor| -> Result<ArrayRef> {
        let numbers = Vec::<f64>::try_from(of).context(Kind::Torch, || "cannot copy the biases".to_owned())?;
        Ok(Arc::new(Float64Array::from(numbers)))
    };
    let schema = table::table("second_classes")?.arrow(&Dims::new().with("F", width as usize))?;
    let columns: [(&str, ArrayRef); 7] = [
        ("run", arrays::repeated(run, classes as usize)),
        ("class_id", Arc::new(Int32Array::from_iter_values(0..classes as i32))),
        ("sharpness", Arc::new(Float64Array::from(vec![found.sharpness; classes as usize]))),
        ("bias", numbers(&found.bias)?),
        ("mass", numbers(&found.mass)?),
        ("prototype", tensor::to_vectors(&found.prototypes)?),
        ("centre", tensor::to_vectors(&found.centre.unsqueeze(0).expand([classes, width], false).contiguous())?),
    ];
    let batch = table::rows("second_classes", &schema, columns)?;
    store.partition("second_classes", run)?.replace("classes", &schema, &[batch], &[]).map(drop)
}

/// Reads the classes of a run in the second space; fp32 on the CPU.
///
/// # Errors
/// Returns [`Kind::Store`] if they are missing, damaged, or not so many `classes`.
pub fn read(run: &str, classes: usize, store: &Store) -> Result<Joint> {
    let partition = store.partition("second_classes", run)?;
    partition.require_sound()?;
    let (mut bias, mut mass, mut sharpness) = (Vec::new(), Vec::new(), 0.0);
    let (mut prototypes, mut centres) = (Vec::new(), Vec::new());
    for batch in reader::batches(&partition, None, 8192)? {
        let batch = batch?;
        bias.extend(arrays::floats(&batch, "bias")?.into_iter().flatten());
        mass.extend(arrays::floats(&batch, "mass")?.into_iter().flatten());
        sharpness = arrays::floats(&batch, "sharpness")?.first().copied().flatten().unwrap_or(0.0);
        prototypes.push(tensor::from_vectors(&batch, "prototype")?);
        centres.push(tensor::from_vectors(&batch, "centre")?);
    }
    if bias.len() != classes || classes == 0 {
        let what = format!("run '{run}' has {} classes of the second model, not {classes}", bias.len());
        return Err(Error::new(Kind::Store, what).hint("run the pipeline again: what is missing is computed"));
    }
    Ok(Joint {
        centre: Tensor::cat(&centres, 0).get(0),
        prototypes: Tensor::cat(&prototypes, 0),
        sharpness,
        bias: Tensor::from_slice(&bias).to_kind(Number::Double),
        mass: Tensor::from_slice(&mass),
    })
}
