//! Saliency's solver against `eigh`, on one core, in turns: `cargo bench --bench fiedler`.
//!
//! Prints, for each number of patches and each affinity, the median time of a batch of 64 graphs by
//! both, their ratio, and the share of mask cells that are equal for both thresholds, vectors
//! oriented by their seed.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/patches.rs"]
mod patches;

use std::time::Instant;

use microclip_pipe::fusion::fiedler::{Fiedler, by_eigh, fiedler};
use microclip_pipe::fusion::foreground::{Affinity, Threshold};
use patches::{equal, saliency, tokens};

const ROUNDS: usize = 15;

fn main() {
    tch::set_num_threads(1);
    println!("patches  affinity  eigh ms  ours ms  ratio  equal (std)  equal (mean)");
    for side in [7, 8, 14] {
        for affinity in [Affinity::Dot, Affinity::Cosine] {
            let graphs = saliency(affinity, Threshold::Mean).affinities(&tokens(side, side));
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs.push(milliseconds(|| by_eigh(&graphs)));
                ours.push(milliseconds(|| fiedler(&graphs)));
            }
            let (theirs, ours) = (median(theirs), median(ours));
            let (by_eigh, by_us) = (by_eigh(&graphs), fiedler(&graphs));
            let equal = |threshold| 100.0 * equal(&saliency(affinity, threshold), &by_eigh, &by_us);
            println!(
                "{:>7}  {:>8}  {theirs:>7.2}  {ours:>7.2}  {:>5.1}  {:>10.3}%  {:>11.3}%",
                side * side,
                format!("{affinity:?}").to_lowercase(),
                theirs / ours,
                equal(Threshold::Std),
                equal(Threshold::Mean)
            );
        }
    }
}

fn milliseconds(solve: impl FnOnce() -> Fiedler) -> f64 {
    let began = Instant::now();
    drop(solve());
    1e3 * began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
