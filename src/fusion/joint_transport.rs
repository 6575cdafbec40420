//! Carries class assignments of one space over to a second one, without training and without
//! labels, and answers in both at once.
//!
//! A vision model without text sees which pictures are alike, but not what they are called; the
//! prior knows names. From the prior's soft answers `z` (n, C), with the biases of its classes
//! ([`class_bias`]), a class's prototype in the second space is the mean of the features `f` (n, F)
//! that are given to it. Logits of both spaces are added, so that the scores are multiplied, and
//! relaxed transport to the classes' shares gives the next answers:
//!
//! ```text
//! mu_k = normalize(sum_i z_ik f_i)
//! l_ik = L_ik + t cos(f_i, mu_k)
//! z_i  = softmax(l_i + b)      b = the biases of l with the same pull
//! ```
//!
//! After OTFusion (arXiv 2506.13723), which transports between a vision-language model and a vision
//! model, and NoLA (arXiv 2411.19346), which labels pictures for a DINO by a CLIP. The sharpness
//! `t` is measured, not set: prototypes of one half of the pictures answer the other half, and `t`
//! is what makes the first answers likeliest there, as in the scaling of temperatures (Guo et al.,
//! arXiv 1706.04599). A space that says nothing about the classes gets a sharpness near 0.
//! [`SHARE`] of it is used, since both spaces err on the same pictures.
//!
//! Pictures that come later are answered with the prototypes, `t`, `b` and the centre alone.

use tch::{Kind as Number, Tensor};

use super::blocks::Blocks;
use super::class_bias;
use super::matrix::{Matrix, products};
use super::normalize;
use crate::error::Result;
use crate::stop::Stop;

/// The classes in the second space.
#[derive(Debug)]
pub struct Joint {
    /// Mean feature of the pictures, which features are seen from, (F).
    pub centre: Tensor,
    /// Prototypes of the classes, (C, F), of unit length; zeros where a class has no pictures.
    pub prototypes: Tensor,
    /// What cosines in the second space are multiplied with.
    pub sharpness: f64,
    /// What is added to the logits of both spaces, (C), with mean 0; `f64` on the CPU.
    pub bias: Tensor,
    /// Mean probability of each class, (C); `f64` on the CPU.
    pub mass: Tensor,
}

/// How the answers of the first space are made into shares.
#[derive(Debug, Clone, Copy)]
pub struct Transport<'a> {
    /// The shares of the classes, (C); `None` if they are even.
    pub shares: Option<&'a Tensor>,
    /// How strongly the answers are pulled towards them, from 0 to 1.
    pub pull: f64,
    /// Factor that turns the first space's cosines into logits.
    pub scale: f64,
}

/// The rounds of prototypes and transport; answers hardly change after that.
const ROUNDS: usize = 5;

/// The part of the measured sharpness that is used.
const SHARE: f64 = 0.5;

/// Bounds of the sharpness, and the halvings of what lies between.
const SHARPNESS: (f64, f64) = (1e-3, 1e3);
const HALVINGS: usize = 30;

/// Returns the classes in the second space, from the first one's cosines (n, C) with the biases
/// `prior` (C) of its classes, and the second one's features (n, F).
///
/// # Errors
/// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
pub fn carry_over(
    cosines: &Matrix,
    prior: &Tensor,
    features: &Matrix,
    transport: Transport<'_>,
    stop: &Stop,
) -> Result<Joint> {
    let _no_grad = tch::no_grad_guard();
    let Transport { shares, pull, scale } = transport;
    let classes = cosines.size().1;
    let centre = features.mean(stop)?.squeeze_dim(0);
    let seen = from_centre(features, &centre, stop)?;
    let sharpness = SHARE * sharpness(cosines, prior, &seen, scale, stop)?;
    let (mut logits, mut bias) = (cosines.clone(), prior.shallow_clone());
    let mut prototypes = Tensor::zeros([classes, seen.size().1], tch::kind::FLOAT_CPU);
    let mut mass = Tensor::zeros([classes], (Number::Double, tch::Device::Cpu));
    for _ in 0..ROUNDS {
        prototypes = means(&logits, &bias, &seen, scale, stop)?;
        logits = together(cosines, &seen, &prototypes, sharpness / scale, stop)?;
        let found = class_bias::estimate(&logits, shares, pull, scale, stop)?;
        (bias, mass) = (found.bias, found.after);
    }
    Ok(Joint { centre, prototypes, sharpness, bias, mass })
}

impl Joint {
    /// Returns the cosine-like logits (rows, C) of pictures in both spaces, from the first one's
    /// cosines (rows, C) and the second one's features (rows, F).
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn answer(&self, cosines: &Matrix, features: &Matrix, scale: f64, stop: &Stop) -> Result<Matrix> {
        let _no_grad = tch::no_grad_guard();
        let seen = from_centre(features, &self.centre, stop)?;
        let logits = together(cosines, &seen, &self.prototypes, self.sharpness / scale, stop)?;
        Ok(class_bias::applied(&logits, &self.bias, scale))
    }

    /// Returns a copy for another thread, which shares the tensors.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Joint {
            centre: self.centre.shallow_clone(),
            prototypes: self.prototypes.shallow_clone(),
            sharpness: self.sharpness,
            bias: self.bias.shallow_clone(),
            mass: self.mass.shallow_clone(),
        }
    }
}

/// Returns features (rows, F) as seen from their centre, of unit length.
fn from_centre(features: &Matrix, centre: &Tensor, stop: &Stop) -> Result<Matrix> {
    Matrix::computed(features.blocks(), features.size().1, stop, |block| {
        Ok(normalize(&(features.block(block)? - centre)))
    })
}

/// Returns cosine-like logits (rows, C) of both spaces; `weight` turns the second one's cosines
/// into those of the first.
fn together(cosines: &Matrix, seen: &Matrix, prototypes: &Tensor, weight: f64, stop: &Stop) -> Result<Matrix> {
    let blocks = Blocks::of_cosines(seen.size().0, cosines.size().1, prototypes.numel() as i64);
    Matrix::computed(blocks, cosines.size().1, stop, |block| {
        Ok(cosines.block(block)? + seen.block(block)?.matmul(&prototypes.tr()) * weight)
    })
}

/// Returns the soft answers (rows, C) of some rows of cosine-like logits.
fn softened(logits: &Tensor, bias: &Tensor, scale: f64) -> Tensor {
    (class_bias::apply(logits, bias, scale) * scale).softmax(-1, Number::Float)
}

/// Returns the prototypes (C, F) that soft answers give the classes.
fn means(logits: &Matrix, bias: &Tensor, seen: &Matrix, scale: f64, stop: &Stop) -> Result<Tensor> {
    let ((rows, classes), width) = (logits.size(), seen.size().1);
    let mut sums = Tensor::zeros([classes, width], tch::kind::FLOAT_CPU);
    Blocks::of_cosines(rows, classes, classes * width).try_each(stop, |block| {
        sums += softened(&logits.block(block)?, bias, scale).tr().matmul(&seen.block(block)?);
        Ok(())
    })?;
    Ok(normalize(&sums))
}

/// Returns the sharpness with which the second space's cosines make the first answers likeliest,
/// where those of each half of the pictures come from prototypes of the other.
fn sharpness(cosines: &Matrix, prior: &Tensor, seen: &Matrix, scale: f64, stop: &Stop) -> Result<f64> {
    let rows = cosines.size().0;
    if rows < 2 {
        return Ok(SHARPNESS.0);
    }
    let [one, two] = halves_of(rows);
    let mut halves = Vec::new();
    for (own, other) in [(&one, &two), (&two, &one)] {
        let prototypes = means(&cosines.picked(other), prior, &seen.picked(other), scale, stop)?;
        halves.push((cosines.picked(own), products(&seen.picked(own), &prototypes, stop)?));
    }
    // The slope of the likelihood in the sharpness, which never increases.
    let slope = |sharpness: f64| -> Result<f64> {
        let mut sum = 0.0;
        for (cosines, second) in &halves {
            second.blocks().try_each(stop, |block| {
                let second = second.block(block)?;
                let answers =
                    softened(&cosines.block(block)?, prior, scale) - (&second * sharpness).softmax(-1, Number::Float);
                sum += (answers * second).sum(Number::Double).double_value(&[]);
                Ok(())
            })?;
        }
        Ok(sum)
    };
    let (mut low, mut high) = SHARPNESS;
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        if slope(middle)? > 0.0 { low = middle } else { high = middle }
    }
    Ok((low * high).sqrt())
}

/// Returns the places of two halves of so many pictures. They are drawn by a hash of the place,
/// since datasets whose classes come by turns have no class in both every other picture and the
/// rest.
fn halves_of(rows: i64) -> [Tensor; 2] {
    // Knuth's multiplicative hash; a place below 2^31 overflows nothing.
    let hash = (Tensor::arange(rows, tch::kind::INT64_CPU) * 2_654_435_761_i64).remainder(1_i64 << 32);
    let second = hash.ge(1_i64 << 31);
    [second.logical_not(), second].map(|half| half.nonzero().view([-1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const SCALE: f64 = 100.0;
    const CLASSES: i64 = 6;

    /// Pictures of six kinds: the first space names them with errors, the second shows them with
    /// this much noise. The first half is for training, the second for answering.
    struct Drawn {
        truth: Tensor,
        cosines: Tensor,
        features: Tensor,
    }

    impl Drawn {
        fn new(noise: f64) -> Self {
            tch::manual_seed(7);
            let options = tch::kind::FLOAT_CPU;
            let truth = Tensor::arange(600, tch::kind::INT64_CPU).remainder(CLASSES);
            let named = truth.one_hot(CLASSES).to_kind(Number::Float) * 0.02;
            let cosines = named + Tensor::randn([600, CLASSES], options) * 0.01 + 0.2;
            let centres = Tensor::randn([CLASSES, 16], options);
            let features = centres.index_select(0, &truth) + Tensor::randn([600, 16], options) * noise + 3.0;
            Drawn { truth, cosines, features }
        }

        /// Returns what was carried over from the first half, and the share of the second that is
        /// then answered rightly, in the first space and in both.
        fn carried(&self) -> (Joint, f64, f64) {
            let first = |t: &Tensor| Matrix::from(t.narrow(0, 0, 300));
            let second = |t: &Tensor| t.narrow(0, 300, 300);
            let none = Tensor::zeros([CLASSES], (Number::Double, tch::Device::Cpu));
            let transport = Transport { shares: None, pull: 0.8, scale: SCALE };
            let stop = Stop::default();
            let joint = carry_over(&first(&self.cosines), &none, &first(&self.features), transport, &stop).unwrap();
            let (cosines, features) = (second(&self.cosines).into(), second(&self.features).into());
            let both = joint.answer(&cosines, &features, SCALE, &stop).unwrap().in_memory(&stop).unwrap();
            let right = |logits: &Tensor| {
                let right = logits.argmax(1, false).eq_tensor(&second(&self.truth));
                right.to_kind(Number::Double).mean(Number::Double).double_value(&[])
            };
            let alone = right(&second(&self.cosines));
            (joint, alone, right(&both))
        }
    }

    #[test]
    fn a_space_that_shows_the_kinds_mends_what_the_other_names_wrongly() {
        // Classes come by turns, as in many datasets.
        let (joint, alone, both) = Drawn::new(0.5).carried();
        assert!(alone < 0.85 && both > alone + 0.08, "{alone}, then {both}");
        assert!((joint.mass.sum(Number::Double).double_value(&[]) - 1.0).abs() < 1e-5);
        assert!(joint.bias.mean(Number::Double).double_value(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_space_that_shows_nothing_does_no_harm() {
        let (sharp, ..) = Drawn::new(0.5).carried();
        let (joint, alone, both) = Drawn::new(50.0).carried();
        assert!(joint.sharpness < sharp.sharpness / 3.0, "{} and {}", joint.sharpness, sharp.sharpness);
        assert!(both > alone - 0.03, "{alone}, then {both}");
    }

    #[test]
    fn both_halves_have_pictures_of_every_class_also_where_classes_come_by_turns() {
        for classes in [2, 3, 6, 24, 100] {
            for half in halves_of(classes * 20) {
                let found = half.remainder(classes).bincount::<&Tensor>(None, classes);
                assert!(found.min().int64_value(&[]) >= 3, "{classes} classes: {found}");
            }
        }
        assert_eq!(halves_of(0).map(|half| half.size()[0]), [0, 0]);
    }

    #[test]
    fn a_class_without_pictures_and_a_single_picture_give_numbers() {
        let none = Tensor::zeros([CLASSES], (Number::Double, tch::Device::Cpu));
        for rows in [1, 2, 3] {
            let drawn = Drawn::new(0.5);
            let first = |of: &Tensor| Matrix::from(of.narrow(0, 0, rows));
            let (cosines, features) = (first(&drawn.cosines), first(&drawn.features));
            let transport = Transport { shares: None, pull: 1.0, scale: SCALE };
            let joint = carry_over(&cosines, &none, &features, transport, &Stop::default()).unwrap();
            let answers = joint.answer(&cosines, &features, SCALE, &Stop::default()).unwrap();
            let answers = answers.in_memory(&Stop::default()).unwrap();
            assert!(bool::try_from(answers.isfinite().all()).unwrap(), "{rows} pictures");
        }
    }

    #[test]
    fn it_can_be_stopped_in_every_round() {
        let Drawn { cosines, features, .. } = Drawn::new(0.5);
        let (cosines, features) = (cosines.into(), features.into());
        let none = Tensor::zeros([CLASSES], (Number::Double, tch::Device::Cpu));
        for asked in [0, 1, 9, 40, 80] {
            let transport = Transport { shares: None, pull: 0.8, scale: SCALE };
            let stopped = carry_over(&cosines, &none, &features, transport, &Stop::after(asked));
            assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
        }
    }
}
