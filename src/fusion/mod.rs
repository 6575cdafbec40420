//! The method on tensors: saliency, SOAP, TokenFusion, heads, loss.
//!
//! Every file is one section of the method; none depends on tables. Shapes: B images, N patch
//! tokens, D the vision tower's width, d the joint width, C classes, V crops.

pub mod adamw;
pub mod blocks;
pub mod class_bias;
pub mod class_prior;
pub mod composite;
pub mod design;
pub mod fiedler;
pub mod foreground;
pub mod graph;
pub mod heads;
pub mod joint_transport;
pub mod loss;
pub mod matrix;
pub mod model;
pub mod nearest_mean;
pub mod neighbours;
pub mod propagation;
pub mod schedule;
pub mod soap;
pub mod stata;
pub mod token_fusion;
pub mod transduction;

use tch::Tensor;

/// Scales the last dimension to unit length, as `torch.nn.functional.normalize` does (a zero vector
/// stays zero).
pub fn normalize(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2, [-1i64].as_slice(), true).clamp_min(1e-12)
}
