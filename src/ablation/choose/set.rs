//! The pictures of one pipeline, as all rows of the ablation are judged by them: in the space of
//! the frozen model, which no run changes.

use std::collections::HashMap;

use tch::Tensor;

use crate::config::Spec;
use crate::error::{Error, Kind, Result};
use crate::fusion::matrix::Matrix;
use crate::fusion::nearest_mean::centred;
use crate::fusion::neighbours::Neighbours;
use crate::source::Split;
use crate::stage::features;
use crate::stage::frozen::FrozenTable;
use crate::stage::job::Job;
use crate::stage::pictures::Pictures;
use crate::workspace::Opened;

/// What is known of a pipeline's n pictures.
pub(super) struct Set {
    /// Number of classes, C.
    pub(super) classes: i64,
    /// Composite features of the pictures' crops, (n, d): less their mean, of unit length.
    pub(super) features: Matrix,
    /// The same of each half of the crops.
    pub(super) halves: [Matrix; 2],
    /// Places of the training pictures.
    pub(super) train: Tensor,
    /// Places of the m pictures that rows are judged by: those of the ablation's split.
    pub(super) measured: Tensor,
    /// Places of the nearest pictures of each measured one, (m, k).
    pub(super) neighbours: Tensor,
    places: HashMap<String, i64>,
}

/// How many neighbours of a picture are asked.
const NEIGHBOURS: usize = 5;

impl Set {
    /// Reads the features that the runs of a pipeline left in the store.
    ///
    /// # Errors
    /// Fails if the store lacks a picture's features, or a stop was requested.
    pub(super) fn open(opened: &Opened, spec: &Spec, split: Split, job: Job<'_>) -> Result<Set> {
        let (workspace, store, stop) = (&opened.workspace, job.store, job.stop);
        let pictures = Pictures::open(&store.partition("images", &workspace.dataset)?, spec.dataset.decoding())?;
        let composites = workspace.frozen.composites.partition(store)?;
        let features = centred(&features::composites(&composites, &pictures, stop)?, stop)?;
        let [one, other] = features::half_composites(&composites, &pictures, stop)?;
        let halves = [centred(&one, stop)?, centred(&other, stop)?];
        let places = |split| Tensor::from_slice(&pictures.places(split));
        let measured = places(split);
        if measured.numel() == 0 {
            let what = format!("pipeline '{}' has no {} pictures to judge its rows by", spec.name, split.name());
            return Err(Error::new(Kind::Input, what)
                .hint("split = \"train\" in the ablation file takes those that are adapted to"));
        }
        Ok(Set {
            classes: opened.classes.len() as i64,
            neighbours: Neighbours::of_some(&features, &measured, NEIGHBOURS, stop)?.places,
            features,
            halves,
            train: places(Split::Train),
            measured,
            places: pictures.rows().iter().map(|picture| picture.image_id.clone()).zip(0..).collect(),
        })
    }

    /// Returns the features of the pictures that rows are judged by, (m, d).
    pub(super) fn measured_features(&self) -> Matrix {
        self.features.picked(&self.measured)
    }

    /// Returns the place of a picture, if it is one of the set's.
    pub(super) fn place(&self, image_id: &str) -> Option<i64> {
        self.places.get(image_id).copied()
    }

    /// Returns the number of pictures, n.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
impl Set {
    /// Makes a set of features (n, d), of which the first `train` pictures are for training and the
    /// others are measured; the halves of the crops are the whole.
    pub(super) fn of(features: &Tensor, classes: i64, train: i64) -> Set {
        let (stop, pictures) = (crate::stop::Stop::default(), features.size()[0]);
        let features = centred(&features.shallow_clone().into(), &stop).unwrap();
        let measured = Tensor::arange_start(train, pictures, tch::kind::INT64_CPU);
        Set {
            classes,
            neighbours: Neighbours::of_some(&features, &measured, NEIGHBOURS, &stop).unwrap().places,
            halves: [features.clone(), features.clone()],
            features,
            train: Tensor::arange(train, tch::kind::INT64_CPU),
            measured,
            places: HashMap::new(),
        }
    }
}
