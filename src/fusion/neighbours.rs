//! The nearest neighbours of every picture by the cosine of unit features, exactly.
//!
//! Cosines come a tile at a time, so that n x n numbers never exist: memory is n x k numbers, and a
//! tile for each core at work.
//!
//! Shapes: n pictures, d the joint width, k neighbours.

use tch::{Device, Kind as Number, Tensor};

use super::blocks::{Block, Blocks};
use super::matrix::Matrix;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::stop::Stop;

/// The most rows of a tile.
const ROWS: i64 = 1024;

/// The most columns of a tile, which then takes 16 MB.
const COLUMNS: i64 = 4096;

/// Cosines that are compared at once with the worst of those that are kept; most often none of them
/// is better.
const AT_ONCE: usize = 64;

/// The nearest neighbours of each picture, the nearest first; of equally near ones, the first in
/// order.
#[derive(Debug)]
pub struct Neighbours {
    /// The neighbours' places, (n, k).
    pub places: Tensor,
    /// Their cosines, (n, k).
    pub cosines: Tensor,
}

impl Neighbours {
    /// Finds the `k` nearest neighbours of each picture, or all others if there are fewer, from
    /// features (n, d) of unit length. No picture is its own neighbour.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn of(features: &Matrix, k: usize, stop: &Stop) -> Result<Self> {
        Self::of_some(features, &everywhere(features), k, stop)
    }

    /// Like [`of`](Self::of), but of the pictures at the places `of` (m) alone, among all: (m, k).
    ///
    /// # Errors
    /// Fails like [`of`](Self::of).
    pub fn of_some(features: &Matrix, of: &Tensor, k: usize, stop: &Stop) -> Result<Self> {
        let mut bands = Vec::new();
        for band in bands_of(of, features.size().1) {
            bands.push(Self::of_band(features, &band.of(of), k, stop)?);
        }
        Ok(Self::joined(&bands))
    }

    /// Like [`of`](Self::of), but on all cores; `advance` is told of pictures that are done. The
    /// caller must not hold a turn.
    ///
    /// # Errors
    /// Fails like [`of`](Self::of).
    pub fn on_all_cores(
        features: &Matrix,
        k: usize,
        stop: &Stop,
        advance: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Self> {
        let stop = stop.clone();
        let all = everywhere(features);
        let bands = bands_of(&all, features.size().1).map(|band| (features.clone(), band.of(&all))).collect();
        let found = cores::map(bands, move |(features, own)| {
            let found = Self::of_band(&features, &own, k, &stop)?;
            advance(own.size()[0].cast_unsigned());
            Ok(found)
        })?;
        Ok(Self::joined(&found))
    }

    /// Returns how many neighbours each picture has.
    pub fn count(&self) -> i64 {
        self.places.size()[1]
    }

    /// Finds the neighbours of the pictures of a band, at the places `own`.
    fn of_band(features: &Matrix, own: &Tensor, k: usize, stop: &Stop) -> Result<Self> {
        let _no_grad = tch::no_grad_guard();
        let (pictures, width) = features.size();
        let k = k.min(usize::try_from(pictures - 1).unwrap_or(0));
        let places = Vec::<i64>::try_from(own).context(Kind::Torch, || "cannot copy places of pictures".to_owned())?;
        let mut nearest: Vec<Nearest> = places.into_iter().map(|own| Nearest::of(own, k)).collect();
        let rows = features.rows(own)?;
        let mut numbers = Vec::new();
        Blocks::of_products(pictures, ROWS * width).at_most(COLUMNS).try_each(stop, |columns| {
            let tile = rows.matmul(&features.block(columns)?.tr());
            let (first, end) = columns.range();
            let across = (end - first) as usize;
            numbers.resize(nearest.len() * across, 0.0);
            tile.contiguous().copy_data(&mut numbers, nearest.len() * across);
            for (nearest, cosines) in nearest.iter_mut().zip(numbers.chunks_exact(across)) {
                nearest.see(first, cosines);
            }
            Ok(())
        })?;
        let shape = [nearest.len() as i64, k as i64];
        let places: Vec<i64> = nearest.iter().flat_map(|nearest| nearest.places.iter().copied()).collect();
        let cosines: Vec<f32> = nearest.iter().flat_map(|nearest| nearest.cosines.iter().copied()).collect();
        Ok(Neighbours {
            places: Tensor::from_slice(&places).view(shape),
            cosines: Tensor::from_slice(&cosines).view(shape),
        })
    }

    fn joined(bands: &[Self]) -> Self {
        let all = |of: fn(&Self) -> &Tensor, none| match bands.iter().map(of).collect::<Vec<_>>().as_slice() {
            [] => Tensor::empty([0, 0], (none, Device::Cpu)),
            bands => Tensor::cat(bands, 0),
        };
        Neighbours {
            places: all(|band| &band.places, Number::Int64),
            cosines: all(|band| &band.cosines, Number::Float),
        }
    }
}

/// Returns the pictures, a band of tiles at a time.
fn bands_of(of: &Tensor, width: i64) -> impl Iterator<Item = Block> {
    Blocks::of_products(of.size()[0], width).at_most(ROWS).iter()
}

/// Returns the places of all pictures.
fn everywhere(features: &Matrix) -> Tensor {
    Tensor::arange(features.size().0, tch::kind::INT64_CPU)
}

/// The nearest neighbours of one picture among those that were seen.
struct Nearest {
    own: i64,
    k: usize,
    /// The places, the nearest first.
    places: Vec<i64>,
    /// The cosines, of the places.
    cosines: Vec<f32>,
}

impl Nearest {
    fn of(own: i64, k: usize) -> Self {
        Nearest { own, k, places: Vec::with_capacity(k + 1), cosines: Vec::with_capacity(k + 1) }
    }

    /// Sees the cosines to the pictures from place `first` on; earlier ones were seen before.
    fn see(&mut self, first: i64, cosines: &[f32]) {
        let mut place = first;
        for cosines in cosines.chunks(AT_ONCE) {
            if self.any_is_nearer(cosines) {
                for (place, &cosine) in (place..).zip(cosines) {
                    self.meet(place, cosine);
                }
            }
            place += cosines.len() as i64;
        }
    }

    fn any_is_nearer(&self, cosines: &[f32]) -> bool {
        match self.cosines.last() {
            // A count is computed many at a time, where a search would be one by one.
            Some(&worst) if self.cosines.len() == self.k => {
                cosines.iter().map(|&cosine| u32::from(cosine > worst)).sum::<u32>() > 0
            }
            _ => self.k > 0,
        }
    }

    fn meet(&mut self, place: i64, cosine: f32) {
        // A feature that is not a number is far from all others.
        let cosine = if cosine.is_nan() { f32::NEG_INFINITY } else { cosine };
        let full = self.cosines.len() == self.k;
        if place == self.own || (full && self.cosines.last().is_some_and(|&worst| cosine <= worst)) {
            return;
        }
        let rank = self.cosines.partition_point(|&nearer| nearer >= cosine);
        self.cosines.insert(rank, cosine);
        self.places.insert(rank, place);
        self.cosines.truncate(self.k);
        self.places.truncate(self.k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::normalize;

    fn random(pictures: i64, width: i64) -> Matrix {
        tch::manual_seed(5);
        normalize(&Tensor::randn([pictures, width], tch::kind::FLOAT_CPU)).into()
    }

    fn numbers(x: &Tensor) -> Vec<Vec<f64>> {
        Vec::<Vec<f64>>::try_from(x.to_kind(Number::Double)).unwrap()
    }

    /// Returns the neighbours by sorting all others.
    fn sorted(features: &Matrix, k: usize) -> Vec<Vec<f64>> {
        let features = features.in_memory(&Stop::default()).unwrap();
        let all = numbers(&features.matmul(&features.tr()));
        let nearest = |(own, cosines): (usize, &Vec<f64>)| {
            let mut others: Vec<usize> = (0..cosines.len()).filter(|&other| other != own).collect();
            others.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
            others.iter().take(k).map(|&other| other as f64).collect()
        };
        all.iter().enumerate().map(nearest).collect()
    }

    #[test]
    fn they_are_those_of_sorting_all_others_whatever_the_tiles() {
        // More pictures than a tile has rows, and than it has columns.
        for (pictures, width, k) in [(2, 3, 1), (40, 3, 5), (1_100, 8, 3), (4_200, 4, 7)] {
            let features = random(pictures, width);
            let found = Neighbours::of(&features, k, &Stop::default()).unwrap();
            assert_eq!(numbers(&found.places), sorted(&features, k), "{pictures} pictures");
        }
    }

    #[test]
    fn all_cores_find_what_one_finds() {
        let features = random(2_100, 8);
        let one = Neighbours::of(&features, 4, &Stop::default()).unwrap();
        let all = Neighbours::on_all_cores(&features, 4, &Stop::default(), |_| ()).unwrap();
        assert_eq!((all.places, all.cosines), (one.places, one.cosines));
    }

    #[test]
    fn of_equal_pictures_the_first_are_the_nearest_and_none_is_its_own() {
        let features = random(1, 8).in_memory(&Stop::default()).unwrap().repeat([5_000, 1]).into();
        let found = Neighbours::of(&features, 2, &Stop::default()).unwrap();
        let places = numbers(&found.places);
        assert_eq!(places[0], [1.0, 2.0]);
        assert_eq!(places[1], [0.0, 2.0]);
        assert!(places[2..].iter().all(|places| places == &[0.0, 1.0]));
    }

    #[test]
    fn fewer_pictures_than_neighbours_have_all_others() {
        for (pictures, each) in [(0, 0), (1, 0), (3, 2)] {
            let found = Neighbours::of(&random(pictures, 8), 10, &Stop::default()).unwrap();
            assert_eq!((found.places.size(), found.count()), (vec![pictures, each], each));
        }
    }

    #[test]
    fn a_feature_that_is_not_a_number_is_nobodys_neighbour_while_there_are_others() {
        let features = random(6, 8);
        let _ = features.in_memory(&Stop::default()).unwrap().get(2).fill_(f64::NAN);
        let found = numbers(&Neighbours::of(&features, 4, &Stop::default()).unwrap().places);
        assert!((0..6).filter(|&own| own != 2).all(|own| !found[own].contains(&2.0)), "{found:?}");
    }

    #[test]
    fn it_asks_before_every_tile_whether_to_stop() {
        let features = random(5_000, 4);
        let error = Neighbours::of(&features, 3, &Stop::after(9)).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        assert!(Neighbours::of(&features, 3, &Stop::after(10)).is_ok());
        assert!(Neighbours::on_all_cores(&features, 3, &Stop::after(9), |_| ()).is_err());
    }
}
