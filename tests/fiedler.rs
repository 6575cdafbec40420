//! Saliency's solver finds what `eigh` finds, on graphs such as pictures have.

use microclip_pipe::fusion::fiedler::{by_eigh, fiedler};
use microclip_pipe::fusion::foreground::{Affinity, Threshold};

use crate::patches::{equal, saliency, tokens};

/// Patches of a side: 49, 64 and 196 of a picture.
const SIDES: [i64; 3] = [7, 8, 14];

/// Batches of 64 pictures.
const SEEDS: i64 = 4;

#[test]
fn masks_and_gaps_are_those_of_eigh() {
    for side in SIDES {
        for affinity in [Affinity::Dot, Affinity::Cosine] {
            let mut shares = [0.0; 2];
            for seed in 1..=SEEDS {
                let graphs = saliency(affinity, Threshold::Mean).affinities(&tokens(seed, side));
                let (theirs, ours) = (by_eigh(&graphs), fiedler(&graphs));
                for (share, threshold) in shares.iter_mut().zip([Threshold::Std, Threshold::Mean]) {
                    *share += equal(&saliency(affinity, threshold), &theirs, &ours) / SEEDS as f64;
                }
                let apart = (ours.gap - theirs.gap).abs().max().double_value(&[]);
                assert!(apart < 1e-3, "{} patches, {affinity:?}, seed {seed}: gaps differ by {apart}", side * side);
            }
            let [std, mean] = shares;
            assert!(std >= 0.999 && mean >= 0.999, "{} patches, {affinity:?}: {std} and {mean} are equal", side * side);
        }
    }
}
