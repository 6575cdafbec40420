//! Golden tensors and how closely ours must match them.

use std::path::PathBuf;

use microclip_pipe::clip::Weights;
use tch::{Kind, Tensor};

/// A file below `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Tensors by name out of one golden file.
pub struct Golden(Weights);

impl Golden {
    pub fn open(name: &str) -> Self {
        Golden(Weights::open(&golden(name)).unwrap())
    }

    /// A float tensor with the rank it was written with.
    pub fn get(&self, name: &str, rank: usize) -> Tensor {
        let shape = self.0.shape_of(name, rank).unwrap().to_vec();
        self.0.get(name, &shape).unwrap()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }
}

/// A tensor of any number type, straight out of a golden file.
pub fn raw(file: &str, name: &str, kind: Kind) -> Tensor {
    let bytes = std::fs::read(golden(file)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    Tensor::from_data_size(view.data(), &shape, kind)
}

/// CLIP's mean and deviation per channel, with which golden pixels are normalised.
pub fn normalise_pixels(images: &Tensor) -> Tensor {
    let mean = Tensor::from_slice(&[0.481_454_66_f32, 0.457_827_5, 0.408_210_72]).view([3, 1, 1]);
    let std = Tensor::from_slice(&[0.268_629_54_f32, 0.261_302_6, 0.275_777_1]).view([3, 1, 1]);
    (images - mean) / std
}

/// `|ours - theirs| / |theirs|`, both as one long vector.
pub fn relative_error(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size(), "shapes differ");
    let (ours, theirs) = (ours.detach().to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    let difference = (ours - &theirs).norm().double_value(&[]);
    difference / theirs.norm().double_value(&[]).max(1e-12)
}

/// Fails with the name of what differs.
#[track_caller]
pub fn assert_close(what: &str, ours: &Tensor, theirs: &Tensor) {
    let error = relative_error(ours, theirs);
    assert!(error <= 1e-4, "{what}: relative error {error:.2e} exceeds 1e-4");
}

/// Numbers that depend on a name and on nothing else, as tests/golden/models/generate.py makes
/// them.
pub fn mixed(name: &str) -> impl Iterator<Item = u32> + use<> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..).map(move |at: u32| {
        let h = at.wrapping_mul(2_654_435_761).wrapping_add(seed);
        let h = (h ^ h >> 16).wrapping_mul(0x7feb_352d);
        let h = (h ^ h >> 15).wrapping_mul(0x846c_a68b);
        h ^ h >> 16
    })
}

/// The tensor of this name, by the same formula.
pub fn by_formula(name: &str, shape: &[i64]) -> Tensor {
    let inputs: i64 = shape[1..].iter().product();
    let (scale, offset) = match shape.len() {
        1 => (0.2, if name.ends_with(".weight") { 1.0 } else { 0.0 }),
        _ => (1.5 * (3.0 / inputs as f64).sqrt(), 0.0),
    };
    let unit = |number: u32| f64::from(number >> 8) / f64::from(1 << 23) - 1.0;
    let count: i64 = shape.iter().product();
    let values: Vec<f32> =
        mixed(name).take(count as usize).map(|number| (unit(number) * scale + offset) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}
