//! How far a run has come.

use std::fmt;

use crate::config::Spec;
use crate::error::Result;
use crate::stage::adapt::checkpoint;
use crate::store::layout::Store;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Passes done at its newest checkpoint.
    pub passes: u64,
    /// Passes of the whole run; 0 if nothing is trained.
    pub of: u64,
    /// Whether its last invocation ran to its end.
    pub ended: bool,
}

impl Reached {
    /// Looks up how far a run made by these settings has come; `ended` is what its row says.
    pub(crate) fn of(store: &Store, run: &str, spec: &Spec, ended: bool) -> Result<Self> {
        let passes = checkpoint::passes_done(&store.checkpoints_of(run)?)?;
        Ok(Reached { passes, of: spec.adapt.passes(), ended })
    }

    /// Returns whether all of its passes are done, or its last invocation ended. It may not be
    /// measured yet.
    pub fn is_finished(self) -> bool {
        self.ended || (self.of > 0 && self.has_all_passes())
    }

    /// Returns whether its newest checkpoint is the last one.
    pub fn has_all_passes(self) -> bool {
        self.passes >= self.of
    }
}

/// Writes `after 7 of 15 passes` or `after 15 passes`; `before it was measured` if nothing is
/// trained.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            0 => f.write_str("before it was measured"),
            of if self.passes == of => write!(f, "after {of} passes"),
            of => write!(f, "after {} of {of} passes", self.passes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_finished_by_its_passes_or_its_end() {
        let reached = |passes, of, ended| Reached { passes, of, ended };
        assert_eq!(reached(7, 15, false).to_string(), "after 7 of 15 passes");
        assert_eq!(reached(15, 15, true).to_string(), "after 15 passes");
        assert!(!reached(7, 15, false).is_finished() && !reached(7, 15, false).has_all_passes());
        assert!(reached(15, 15, false).is_finished(), "only its measuring was cut short");
        assert!(!reached(0, 0, false).is_finished() && reached(0, 0, true).is_finished(), "nothing is trained");
        assert!(
            reached(14, 15, true).is_finished() && !reached(14, 15, true).has_all_passes(),
            "a checkpoint was lost"
        );
    }
}
