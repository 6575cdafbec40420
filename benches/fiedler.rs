//! Saliency's solver against `eigh`, on one core, in turns: `cargo bench --bench fiedler`.
//!
//! Prints, for each number of patches and each affinity, the median time of a batch of 64 graphs by both, their ratio, and the share
//! of mask cells that are equal for both thresholds, vectors oriented by their seed. Tokens are a foreground and a background
//! direction with noise, strong enough that no two pictures have the same graph.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Instant;

use microclip_pipe::fusion::fiedler::{Fiedler, by_eigh, fiedler};
use microclip_pipe::fusion::foreground::{Affinity, Orientation, Saliency, Threshold};
use tch::{Kind, Tensor};

const BATCH: i64 = 64;
const WIDTH: i64 = 64;
const ROUNDS: usize = 15;

fn main() {
    tch::set_num_threads(1);
    println!("patches  affinity  eigh ms  ours ms  ratio  equal (std)  equal (mean)");
    for side in [7, 8, 14] {
        for affinity in [Affinity::Dot, Affinity::Cosine] {
            let settings =
                |threshold| Saliency { affinity, threshold, orientation: Orientation::Seed, tau: 0.2, eps: 1e-6 };
            let graphs = settings(Threshold::Mean).affinities(&tokens(side));
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs.push(milliseconds(|| by_eigh(&graphs)));
                ours.push(milliseconds(|| fiedler(&graphs)));
            }
            let (theirs, ours) = (median(theirs), median(ours));
            let (by_eigh, by_us) = (by_eigh(&graphs), fiedler(&graphs));
            let equal = |threshold| equal(&settings(threshold), &by_eigh, &by_us);
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

/// Per cent of mask cells that both solvers give alike.
fn equal(settings: &Saliency, theirs: &Fiedler, ours: &Fiedler) -> f64 {
    let mask = |found: &Fiedler| settings.foreground(&found.vector, found.gap.shallow_clone()).mask;
    100.0 * mask(theirs).eq_tensor(&mask(ours)).to_kind(Kind::Float).mean(Kind::Float).double_value(&[])
}

/// Patch tokens (64, side^2, D) of pictures with a round foreground, larger or smaller, somewhere.
fn tokens(side: i64) -> Tensor {
    tch::manual_seed(side);
    let options = tch::kind::FLOAT_CPU;
    let n = side * side;
    let place = Tensor::arange(n, options);
    let (row, column) = (place.divide_scalar_mode(side, "floor"), place.remainder(side));
    let centre = Tensor::rand([2, BATCH, 1], options) * (side - 1) as f64;
    let radius = Tensor::rand([BATCH, 1], options) * (side as f64 / 4.0) + side as f64 / 5.0;
    let distance = ((row - centre.get(0)).square() + (column - centre.get(1)).square()).sqrt();
    let inside = (radius - distance).sigmoid().unsqueeze(2);
    let kinds = Tensor::randn([2, BATCH, 1, WIDTH], options);
    let noise = Tensor::randn([BATCH, n, WIDTH], options) * 1.5;
    kinds.get(0) * &inside + kinds.get(1) * (1.0 - &inside) + noise
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
