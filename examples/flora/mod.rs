//! What a flower is and how it is drawn: shared by `draw_flowers`, which makes the pictures of the
//! data set, and `pretrain_clip`, which draws plates of another domain. The scenes (photograph,
//! plate) belong to each of them.

pub mod bloom;
pub mod canvas;
pub mod flower;
pub mod leaf;
pub mod petal;
pub mod species;
