//! Saliency's solver finds what `eigh` finds, on graphs such as pictures have.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/patches.rs"]
mod patches;

use microclip_pipe::fusion::fiedler::{by_eigh, fiedler};
use microclip_pipe::fusion::foreground::{Affinity, Threshold};
use patches::{equal, saliency, tokens};

/// Patches of a side: 49, 64 and 196 of a picture.
const SIDES: [i64; 3] = [7, 8, 14];

#[test]
fn masks_and_gaps_are_those_of_eigh() {
    for side in SIDES {
        for affinity in [Affinity::Dot, Affinity::Cosine] {
            for seed in [1, 2, 3] {
                let graphs = saliency(affinity, Threshold::Mean).affinities(&tokens(seed, side));
                let (theirs, ours) = (by_eigh(&graphs), fiedler(&graphs));
                let what = format!("{} patches, {affinity:?}, seed {seed}", side * side);
                for threshold in [Threshold::Std, Threshold::Mean] {
                    let equal = equal(&saliency(affinity, threshold), &theirs, &ours);
                    assert!(equal >= 0.999, "{what}: {equal} of the cells above {threshold:?} are equal");
                }
                let apart = (ours.gap - theirs.gap).abs().max().double_value(&[]);
                assert!(apart < 1e-3, "{what}: gaps differ by {apart}");
            }
        }
    }
}
