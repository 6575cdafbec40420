//! Patch tokens of made-up pictures, and how alike two solvers' masks of them are: for the test and
//! the bench of saliency's solver.

use microclip_pipe::fusion::fiedler::Fiedler;
use microclip_pipe::fusion::foreground::{Affinity, Orientation, Saliency, Threshold};
use tch::{Kind, Tensor};

const BATCH: i64 = 64;
const WIDTH: i64 = 64;

/// The default cut but for what is named.
pub fn saliency(affinity: Affinity, threshold: Threshold) -> Saliency {
    Saliency { affinity, threshold, orientation: Orientation::Seed, tau: 0.2, eps: 1e-6 }
}

/// Patch tokens (64, side^2, D) of pictures with a round foreground, larger or smaller, somewhere:
/// a foreground and a background direction with noise, strong enough that no two pictures have the
/// same graph.
pub fn tokens(seed: i64, side: i64) -> Tensor {
    tch::manual_seed(seed);
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

/// A gap below which the eigenvalue sought is there twice: any mixture of its vectors is as good,
/// and no mask is the right one.
const GAP: f64 = 1e-4;

/// The share of mask cells that both solvers give alike, of the pictures that have a cut.
pub fn equal(saliency: &Saliency, theirs: &Fiedler, ours: &Fiedler) -> f64 {
    let mask = |found: &Fiedler| saliency.foreground(&found.vector, found.gap.shallow_clone()).mask;
    let cut = theirs.gap.gt(GAP).nonzero().view([-1]);
    mask(theirs).eq_tensor(&mask(ours)).index_select(0, &cut).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}
