//! The numbers that a statement may use.

use super::Dka;
use crate::error::{Error, Kind, Result};

/// The factor by which CLIP multiplies cosines: the bound that its learned temperature reaches.
pub const LOGIT_SCALE: f64 = 100.0;

/// The values of `$gamma`, `$scale`, `$k` and `$floor` in every statement, built in or the user's
/// own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// The prior's share, from 0 to 1.
    pub gamma: f64,
    /// The factor of cosines before the softmax, above 0: the scale at which the model is trained
    /// and predicts, so that a probability means the same in pseudo-labels as elsewhere.
    pub scale: f64,
    /// The number of pictures for each class, at least 1.
    pub k: u32,
    /// The least probability, from 0 to 1.
    pub floor: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Dka::default().parameters(LOGIT_SCALE)
    }
}

impl Parameters {
    /// Checks the values' ranges.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a value is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::new(Kind::Store, what));
        for (name, share) in [("gamma", self.gamma), ("floor", self.floor)] {
            if !(0.0..=1.0).contains(&share) {
                return refuse(format!("{name} is {share}, which is not from 0 to 1"));
            }
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return refuse(format!("scale is {}, which is not above 0", self.scale));
        }
        if self.k == 0 {
            return refuse("k is 0, which is not at least 1".into());
        }
        Ok(())
    }
}
