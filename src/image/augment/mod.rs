//! Random views for training: the strong view that the loss sees, and the weak view of the released
//! recipe.

mod affine;
mod colour;
mod enhance;
mod rand_augment;
mod random_resized_crop;
mod strong_view;
mod weak_view;

pub use rand_augment::Op;
pub use random_resized_crop::random_resized_crop;
pub use strong_view::{Alterations, Strong, StrongView, Touched};
pub use weak_view::weak_view;
