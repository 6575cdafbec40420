//! Pipelines of an ablation whose data sets are not there.

use super::spec::{Ablation, Missing};
use crate::config::absent;
use crate::error::{Error, Kind, Result};

/// Leaves out the pipelines whose data sets are not there, if the file says so, and passes a line
/// about each to `say`: what is not there, and where it can be had.
///
/// # Errors
/// Returns [`Kind::Input`] if none is there, and [`Kind::Usage`] if a pipeline file cannot be read.
pub fn leave_out_missing(ablation: &mut Ablation, say: impl Fn(&str)) -> Result<()> {
    if ablation.missing == Missing::Refuse {
        return Ok(());
    }
    let mut present = Vec::new();
    for file in std::mem::take(&mut ablation.pipelines) {
        match absent(&file)? {
            None => present.push(file),
            Some(found) => {
                let obtain = found.obtain.map(|obtain| format!(": {obtain}")).unwrap_or_default();
                say(&format!("{} is left out, since {}{obtain}", found.name, found.what));
            }
        }
    }
    ablation.pipelines = present;
    if ablation.pipelines.is_empty() {
        let what = format!("none of the data sets of {} is there", ablation.file.display());
        return Err(Error::new(Kind::Input, what).hint("one is enough: the others are then left out"));
    }
    Ok(())
}
