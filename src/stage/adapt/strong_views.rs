//! What training says about the strong views that it sees: how many the model answers with their
//! pseudo-label, by what RandAugment did to them.
//!
//! RandAugment draws its operations for each view, and some views are spared (a quarter, with two
//! operations), some only moved, some only recoloured. All are of the same pictures, and the same
//! model answers them, so that any two kinds compare fairly. An operation that the model has not
//! seen costs answers, whether it moves or recolours; but where colours tell the classes apart,
//! recoloured views are answered far less often than moved ones, because nothing is left in them to
//! be right about. The logits of the training steps say so at no further cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::error::Result;
use crate::image::augment::Touched;
use crate::image::{Rgb, StrongView};
use crate::stage::adapt::Images;

/// How much more of the moved views than of the recoloured ones must be answered with their label
/// for a note, by the lower end of the difference, two standard errors below: less than on drawings
/// whose colours tell the classes apart, more than on photographs (docs/ablations.md).
const TOO_MUCH: f64 = 0.2;

/// What RandAugment did to the strong views of an epoch's pictures. The threads that make views
/// write it before a batch is sent, and the step that is given the batch reads it.
#[derive(Clone)]
pub(super) struct Drawn(Arc<[AtomicU8]>);

impl Drawn {
    /// Returns what is known of the views of `images` before any is drawn.
    pub(super) fn of(images: &Images) -> Self {
        let rows = images.rows().iter().max().map_or(0, |last| last + 1);
        Drawn((0..rows).map(|_| AtomicU8::new(0)).collect())
    }

    /// Returns the strong view of the picture in this row of the dataset, and keeps what was done
    /// to it.
    ///
    /// # Errors
    /// Fails if the picture cannot be resized.
    pub(super) fn strong_view(
        &self,
        strong: &StrongView,
        picture: &Rgb,
        row: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<u8>> {
        let drawn = strong.draw(picture.width, picture.height, rng);
        if let Some(kept) = self.0.get(row) {
            kept.store(drawn.touched() as u8, Ordering::Relaxed);
        }
        strong.view_of(picture, &drawn)
    }

    /// Returns what was done to the views of the pictures at `places` in `images`, as numbers of
    /// [`Touched`].
    pub(super) fn at(&self, images: &Images, places: &[i64]) -> Vec<i64> {
        let kept = |place: &i64| self.0.get(images.rows()[*place as usize]).map(|kept| kept.load(Ordering::Relaxed));
        places.iter().map(|place| i64::from(kept(place).unwrap_or(0))).collect()
    }
}

/// Returns which views of a batch are answered with their label, (B), bool, on the logits' device.
/// `logits` is (B, C), `labels` (B).
pub(super) fn answered(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.argmax(-1, false).eq_tensor(labels)
}

/// Views that are answered with their pseudo-label, and how many views there are.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Answered {
    pub(super) alike: u64,
    pub(super) views: u64,
}

impl Answered {
    /// Returns the share that is answered with the pseudo-label; NaN without views.
    pub(super) fn share(self) -> f64 {
        self.alike as f64 / self.views as f64
    }

    /// Returns the square of the share's standard error. Two more views are counted, one of them
    /// answered, so that a few views that all agree are not taken for certainty.
    fn variance(self) -> f64 {
        let views = self.views as f64 + 2.0;
        let share = (self.alike as f64 + 1.0) / views;
        share * (1.0 - share) / views
    }
}

/// The strong views of a pass, for each of [`Touched::SINGLE`].
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct StrongViews([Answered; 3]);

impl StrongViews {
    /// Adds those of another epoch.
    pub(super) fn add(&mut self, other: &StrongViews) {
        for (sum, other) in self.0.iter_mut().zip(other.0) {
            sum.alike += other.alike;
            sum.views += other.views;
        }
    }

    /// Counts views, which were answered with their label where `alike` says so; `touched` is as in
    /// [`Drawn::at`].
    pub(super) fn count(&mut self, touched: &[i64], alike: &[bool]) {
        for (sum, kind) in self.0.iter_mut().zip(Touched::SINGLE) {
            for (_, alike) in touched.iter().zip(alike).filter(|(touched, _)| **touched == kind as i64) {
                sum.views += 1;
                sum.alike += u64::from(*alike);
            }
        }
    }

    /// Returns the shares that were answered with their label: of spared, of moved and of
    /// recoloured views. NaN without such views.
    pub(super) fn shares(&self) -> [f64; 3] {
        self.0.map(Answered::share)
    }

    /// Returns a note if RandAugment takes away what tells the classes apart.
    pub(super) fn note(&self) -> Option<String> {
        let [_, moved, recoloured] = self.0;
        if moved.views == 0 || recoloured.views == 0 {
            return None;
        }
        let gap = moved.share() - recoloured.share();
        let certain = gap - 2.0 * (moved.variance() + recoloured.variance()).sqrt();
        (certain > TOO_MUCH).then(|| {
            format!(
                "note: colours seem to tell the classes apart, and RandAugment changes them: of the strong views that \
                 it only recolours, {:.0} % are answered with their pseudo-label, of those that it only moves {:.0} %; \
                 try --set adapt.strong.rand_augment=false",
                100.0 * recoloured.share(),
                100.0 * moved.share(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind as Number;

    use super::*;

    fn views(alike_and_views: [(u64, u64); 3]) -> StrongViews {
        StrongViews(alike_and_views.map(|(alike, views)| Answered { alike, views }))
    }

    #[test]
    fn views_answered_with_their_label_are_counted_by_what_was_done_to_them() {
        // Answers are 0, 1, 2, 0, 1, 1.
        let logits = Tensor::from_slice(&[5, 1, 0, 1, 5, 0, 0, 1, 5, 5, 1, 0, 1, 5, 0, 0, 5, 1_i64])
            .view([6, 3])
            .to_kind(Number::Float);
        let touched =
            [Touched::Nothing, Touched::Places, Touched::Places, Touched::Colours, Touched::Colours, Touched::More];
        let touched = touched.map(|kind| kind as i64);
        let labels = Tensor::from_slice(&[0_i64, 1, 0, 0, 1, 1]);
        let alike = Vec::<bool>::try_from(answered(&logits, &labels)).unwrap();
        let mut strong = StrongViews::default();
        strong.count(&touched, &alike);
        assert_eq!(strong, views([(1, 1), (1, 2), (2, 2)]));
        let mut twice = strong;
        twice.add(&strong);
        assert_eq!(twice, views([(2, 2), (2, 4), (4, 4)]));
        assert_eq!(twice.shares(), [1.0, 0.5, 1.0]);
    }

    #[test]
    fn a_note_needs_a_wide_gap_and_views_enough_to_be_sure_of_it() {
        let note = views([(200, 280), (147, 230), (185, 579)]).note().unwrap();
        assert!(note.contains("32 %") && note.contains("64 %"), "{note}");
        assert!(note.ends_with("--set adapt.strong.rand_augment=false"), "{note}");
        // The same shares of fewer views.
        assert_eq!(views([(6, 9), (7, 11), (9, 28)]).note(), None);
        // A gap that pictures have whose colours matter less.
        assert_eq!(views([(800, 1000), (590, 1000), (450, 1000)]).note(), None);
        // Recolouring is what costs less, or RandAugment is off.
        assert_eq!(views([(200, 280), (74, 230), (370, 579)]).note(), None);
        assert_eq!(views([(200, 280), (0, 0), (0, 0)]).note(), None);
        assert_eq!(StrongViews::default().note(), None);
    }
}
