//! Classes as the means of the pictures that were answered with them: do the answers agree with
//! what the pictures look like? No label is needed to ask.
//!
//! Features are centred first, since CLIP's all share a large mean, and are then of unit length.

use tch::{Kind as Number, Tensor};

use super::blocks::Blocks;
use super::matrix::Matrix;
use super::normalize;
use crate::error::Result;
use crate::stop::Stop;

/// The means of the classes.
pub struct ClassMeans {
    /// Unit means, (C, d); zero where nothing was answered with the class.
    means: Tensor,
    /// How many pictures were answered with the class, (C).
    counts: Tensor,
    /// Squared lengths of the sums of their features, (C).
    squares: Tensor,
    /// Share of the features' squares that the means explain.
    explained: f64,
}

/// Returns features (n, d) less their mean, of unit length.
///
/// # Errors
/// Fails if a file cannot be read or written, and returns [`crate::error::Kind::Interrupted`] if a
/// stop was requested.
pub fn centred(features: &Matrix, stop: &Stop) -> Result<Matrix> {
    let mean = features.mean(stop)?;
    Matrix::computed(features.blocks(), features.size().1, stop, |block| {
        Ok(normalize(&(features.block(block)? - &mean)))
    })
}

impl ClassMeans {
    /// Finds the means of [`centred`] features (n, d) by their answers (n).
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn of(features: &Matrix, answers: &Tensor, classes: i64, stop: &Stop) -> Result<ClassMeans> {
        let (rows, width) = features.size();
        let mut sums = Tensor::zeros([classes, width], tch::kind::FLOAT_CPU);
        Blocks::of_products(rows, classes * width).try_each(stop, |block| {
            let _ = sums.index_add_(0, &block.of(answers), &features.block(block)?);
            Ok(())
        })?;
        let counts = answers.bincount::<&Tensor>(None, classes).to_kind(Number::Float);
        let squares = sums.square().sum_dim_intlist([1i64].as_slice(), false, Number::Double);
        let explained = (&squares / counts.clamp_min(1.0)).sum(Number::Double).double_value(&[]) / rows.max(1) as f64;
        Ok(ClassMeans { means: normalize(&sums), counts, squares: squares.to_kind(Number::Float), explained })
    }

    /// Returns blocks for the cosines of features to the means.
    fn blocks(&self, features: &Matrix) -> Blocks {
        Blocks::of_cosines(features.size().0, self.means.size()[0], self.means.numel() as i64)
    }

    /// Returns the share of the features' variance that is between the classes, not within, from 0
    /// to 1: what k-means makes large.
    pub fn explained(&self) -> f64 {
        self.explained
    }

    /// Returns the class whose mean each of these [`centred`] features (n, d) lies nearest to, (n).
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn nearest(&self, features: &Matrix, stop: &Stop) -> Result<Tensor> {
        self.blocks(features).try_map(stop, |block| {
            let cosines = features.block(block)?.matmul(&self.means.tr());
            // A class that nothing is answered with has no mean, and nothing lies near it.
            Ok(cosines.masked_fill(&self.counts.eq(0.0), f64::NEG_INFINITY).argmax(1, false))
        })
    }

    /// Like [`nearest`](Self::nearest), but of the pictures (n, d) that the means were made of,
    /// with their `answers` (n): none is counted in the mean of its own answer, so that it does not
    /// agree with itself.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn nearest_of_others(&self, features: &Matrix, answers: &Tensor, stop: &Stop) -> Result<Tensor> {
        self.blocks(features).try_map(stop, |block| {
            let cosines = features.block(block)?.matmul(&self.means.tr());
            let answers = block.of(answers);
            let of_own = |numbers: &Tensor| numbers.index_select(0, &answers).unsqueeze(-1);
            let own = answers.unsqueeze(-1);
            let squares = of_own(&self.squares);
            // Less the picture itself, whose square is 1.
            let product = cosines.gather(1, &own, false) * squares.sqrt() - 1.0;
            let length = (squares - &product * 2.0 - 1.0).clamp_min(TINY).sqrt();
            let to_own = (product / length).masked_fill(&of_own(&self.counts).le(1.0), f64::NEG_INFINITY);
            let cosines = cosines.masked_fill(&self.counts.eq(0.0), f64::NEG_INFINITY);
            Ok(cosines.scatter(1, &own, &to_own).argmax(1, false))
        })
    }
}

/// Lower bound of squared lengths, which are divided by.
const TINY: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_nearest_to_the_mean_of_what_they_look_like_and_never_to_an_absent_class() {
        let features = Tensor::from_slice(&[1.0f32, 0.1, 1.0, -0.1, -1.0, 0.1, -1.0, -0.1]).view([4, 2]);
        let stop = Stop::default();
        let features = centred(&features.into(), &stop).unwrap();
        let nearest = |answers: &[i64]| {
            let means = ClassMeans::of(&features, &Tensor::from_slice(answers), 4, &stop).unwrap();
            Vec::<i64>::try_from(means.nearest(&features, &stop).unwrap()).unwrap()
        };
        assert_eq!(nearest(&[1, 1, 3, 3]), [1, 1, 3, 3]);
        // One picture of three is answered with the other side's class, and is found out.
        assert_eq!(nearest(&[1, 1, 3, 1]), [1, 1, 3, 3]);
        let explained =
            |answers: &[i64]| ClassMeans::of(&features, &Tensor::from_slice(answers), 4, &stop).unwrap().explained();
        // All of a cloud's variance but that within it, and none if both are one class.
        assert!(explained(&[1, 1, 3, 3]) > 0.98 && explained(&[1, 1, 1, 1]) < 1e-6);
        assert!((explained(&[0, 1, 2, 3]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_picture_is_not_its_own_witness() {
        let features = normalize(&Tensor::from_slice2(&[[1.0_f32, 0.0], [1.0, 0.1], [0.9, 1.0], [0.0, 1.0]])).into();
        let answers = Tensor::from_slice(&[0_i64, 0, 0, 1]);
        let stop = Stop::default();
        let means = ClassMeans::of(&features, &answers, 3, &stop).unwrap();
        let nearest = means.nearest_of_others(&features, &answers, &stop).unwrap();
        // The last is alone in its class, the third lies nearer to it than to the first two, and
        // class 2 has no picture.
        assert_eq!(Vec::<i64>::try_from(&nearest).unwrap(), [0, 0, 1, 0]);
    }
}
