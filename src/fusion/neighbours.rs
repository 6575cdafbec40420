//! The nearest neighbours of every picture by the cosine of unit features.
//!
//! Up to [`COMPARED`] pictures, all are compared, and neighbours are exact. More are put into
//! [`cells`], and a picture is compared with those of the cells that are nearest: time then grows
//! with the number of pictures, not with its square. Cosines come a tile at a time: memory is n x k
//! numbers, and a tile for each core at work.
//!
//! Shapes: n pictures, d the joint width, k neighbours.

mod cells;

use tch::Tensor;

use cells::Cells;

use super::blocks::Blocks;
use super::matrix::Matrix;
use crate::cores;
use crate::error::{Context, Kind, Result};
use crate::stop::Stop;

/// The most pictures that are all compared with each other.
const COMPARED: i64 = 1 << 16;

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
        let found = searches(features, COMPARED, stop)?.map(|search| search.find(features, k, stop));
        Ok(Self::joined(found.collect::<Result<_>>()?))
    }

    /// Like [`of`](Self::of), but of the pictures at the places `of` (m) alone, among all, with
    /// each of which they are compared: (m, k).
    ///
    /// # Errors
    /// Fails like [`of`](Self::of).
    pub fn of_some(features: &Matrix, of: &Tensor, k: usize, stop: &Stop) -> Result<Self> {
        let places = Vec::<i64>::try_from(of).context(Kind::Torch, || "cannot copy places of pictures".to_owned())?;
        let rows = tile_rows(features);
        let found = places.chunks(rows).map(|own| Search { own: own.to_vec(), cells: None }.find(features, k, stop));
        let found: Vec<Nearest> = found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        Ok(Self::of_each(&found))
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
        let searches = searches(features, COMPARED, stop)?.map(|search| (features.clone(), search)).collect();
        let stop = stop.clone();
        let found = cores::map(searches, move |(features, search)| {
            let found = search.find(&features, k, &stop)?;
            advance(found.len() as u64);
            Ok(found)
        })?;
        Ok(Self::joined(found))
    }

    /// Returns how many neighbours each picture has.
    pub fn count(&self) -> i64 {
        self.places.size()[1]
    }

    /// Puts what was found of all pictures into their order.
    fn joined(found: Vec<Vec<Nearest>>) -> Self {
        let mut found: Vec<Nearest> = found.into_iter().flatten().collect();
        found.sort_unstable_by_key(|nearest| nearest.own);
        Self::of_each(&found)
    }

    fn of_each(found: &[Nearest]) -> Self {
        let shape = [found.len() as i64, found.first().map_or(0, |nearest| nearest.k as i64)];
        let places: Vec<i64> = found.iter().flat_map(|nearest| nearest.places.iter().copied()).collect();
        let cosines: Vec<f32> = found.iter().flat_map(|nearest| nearest.cosines.iter().copied()).collect();
        Neighbours {
            places: Tensor::from_slice(&places).view(shape),
            cosines: Tensor::from_slice(&cosines).view(shape),
        }
    }
}

/// Some pictures that look for their neighbours at the same time.
struct Search {
    /// Their places.
    own: Vec<i64>,
    /// The cells to look in, if not among all pictures. The pictures are then of one cell.
    cells: Option<Cells>,
}

/// Returns the searches of all pictures, in cells if there are more than `compared`.
fn searches(features: &Matrix, compared: i64, stop: &Stop) -> Result<impl Iterator<Item = Search> + use<>> {
    let (pictures, rows) = (features.size().0, tile_rows(features));
    let cells = match pictures > compared {
        true => Some(Cells::of(features, stop)?),
        false => None,
    };
    let own: Vec<Vec<i64>> = match &cells {
        Some(cells) => cells.members().flat_map(|members| members.chunks(rows).map(<[i64]>::to_vec)).collect(),
        None => {
            let all: Vec<i64> = (0..pictures).collect();
            all.chunks(rows).map(<[i64]>::to_vec).collect()
        }
    };
    Ok(own.into_iter().map(move |own| Search { own, cells: cells.as_ref().map(Cells::shallow_clone) }))
}

impl Search {
    /// Finds the `k` nearest neighbours of the pictures.
    fn find(&self, features: &Matrix, k: usize, stop: &Stop) -> Result<Vec<Nearest>> {
        let _no_grad = tch::no_grad_guard();
        let (pictures, width) = features.size();
        let k = k.min(usize::try_from(pictures - 1).unwrap_or(0));
        let mut nearest: Vec<Nearest> = self.own.iter().map(|&own| Nearest::of(own, k)).collect();
        let rows = features.rows(&Tensor::from_slice(&self.own))?;
        let among = self.cells.as_ref().map(|cells| cells.near(&rows)).transpose()?.filter(|among| among.len() > k);
        let count = among.as_ref().map_or(pictures, |among| among.len() as i64);
        let mut numbers = Vec::new();
        Blocks::of_products(count, ROWS * width).at_most(COLUMNS).try_each(stop, |columns| {
            let (first, end) = columns.range();
            let among = among.as_deref().map(|among| &among[first as usize..end as usize]);
            let columns = match among {
                Some(places) => features.rows(&Tensor::from_slice(places))?,
                None => features.block(columns)?,
            };
            let tile = rows.matmul(&columns.tr());
            let across = (end - first) as usize;
            numbers.resize(nearest.len() * across, 0.0);
            tile.contiguous().copy_data(&mut numbers, nearest.len() * across);
            for (nearest, cosines) in nearest.iter_mut().zip(numbers.chunks_exact(across)) {
                nearest.see(first, among, cosines);
            }
            Ok(())
        })?;
        Ok(nearest)
    }
}

/// Returns how many pictures look for their neighbours at the same time.
fn tile_rows(features: &Matrix) -> usize {
    let (pictures, width) = features.size();
    let band = Blocks::of_products(pictures.max(1), width).at_most(ROWS).iter().next();
    band.map_or(1, |band| (band.range().1 - band.range().0) as usize)
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

    /// Sees the cosines to the pictures from place `first` on or, if they are given, at `places`;
    /// earlier ones were seen before.
    fn see(&mut self, first: i64, places: Option<&[i64]>, cosines: &[f32]) {
        for (begin, cosines) in (0..).step_by(AT_ONCE).zip(cosines.chunks(AT_ONCE)) {
            if self.any_is_nearer(cosines) {
                for (n, &cosine) in (begin..).zip(cosines) {
                    self.meet(places.map_or(first + n as i64, |places| places[n]), cosine);
                }
            }
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
    use tch::Kind as Number;

    use super::*;
    use crate::fusion::normalize;

    fn drawn(pictures: i64, width: i64) -> Tensor {
        tch::manual_seed(5);
        normalize(&Tensor::randn([pictures, width], tch::kind::FLOAT_CPU))
    }

    fn random(pictures: i64, width: i64) -> Matrix {
        drawn(pictures, width).into()
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
        let features = drawn(1, 8).repeat([5_000, 1]).into();
        let found = Neighbours::of(&features, 2, &Stop::default()).unwrap();
        let places = numbers(&found.places);
        assert_eq!(places[0], [1.0, 2.0]);
        assert_eq!(places[1], [0.0, 2.0]);
        assert!(places[2..].iter().all(|places| places == &[0.0, 1.0]));
    }

    /// Returns features of pictures that are scattered around as many kinds, and how many
    /// neighbours of all are found in cells, where all are looked for.
    fn found_in_cells(pictures: i64, kinds: i64, k: usize) -> f64 {
        tch::manual_seed(6);
        let kind = Tensor::randint(kinds, [pictures], tch::kind::INT64_CPU);
        let scattered = drawn(kinds, 16).index_select(0, &kind) + drawn(pictures, 16) * 0.8;
        let features = normalize(&scattered).into();
        let exact = Neighbours::of(&features, k, &Stop::default()).unwrap();
        let searches = searches(&features, 0, &Stop::default()).unwrap();
        let found = searches.map(|search| search.find(&features, k, &Stop::default()).unwrap()).collect();
        let found = Neighbours::joined(found);
        assert_eq!(found.places.size(), exact.places.size());
        let (found, exact) = (found.places.unsqueeze(2), exact.places.unsqueeze(1));
        found.eq_tensor(&exact).sum(Number::Double).double_value(&[]) / (pictures * k as i64) as f64
    }

    #[test]
    fn in_cells_nearly_all_neighbours_are_found() {
        // 40 cells, of which a picture is compared with 24; with few, all are looked into.
        let share = found_in_cells(20_000, 100, 10);
        assert!(share > 0.95, "{share}");
        assert_eq!(found_in_cells(2_000, 5, 10), 1.0);
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
        let features = drawn(6, 8);
        let _ = features.get(2).fill_(f64::NAN);
        let features = features.into();
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
