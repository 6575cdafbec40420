//! Other light on the same picture, and CLIP's normalisation.

use tch::{Device, Kind, Tensor};

/// CLIP's mean and standard deviation of red, green, blue.
pub const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
pub const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// CLIP's mean and standard deviation.
pub fn standard(pixels: &Tensor) -> Tensor {
    let channel = |values: [f64; 3]| Tensor::from_slice(&values.map(|v| v as f32)).view([1, 3, 1, 1]);
    (pixels - channel(MEAN)) / channel(STD)
}

/// Other light on the same picture: mirrored, tinted, faded, with grain, darker or flatter; then
/// standardised.
pub fn vary(pixels: &Tensor) -> Tensor {
    let plates = pixels.size()[0];
    let draw = |channels: i64, low: f64, high: f64| {
        Tensor::rand([plates, channels, 1, 1], (Kind::Float, Device::Cpu)) * (high - low) + low
    };
    let mirror = draw(1, 0.0, 1.0).lt(0.5);
    let x = pixels.flip([3]).where_self(&mirror, pixels) * draw(3, 0.85, 1.15);
    let grey = x.mean_dim([1i64].as_slice(), true, Kind::Float);
    let x = &grey + (&x - &grey) * draw(1, 0.6, 1.15);
    let x = &x + x.randn_like() * draw(1, 0.0, 0.04);
    let x = (x - 0.5) * draw(1, 0.5, 1.2) + 0.5 + draw(1, -0.25, 0.15);
    standard(&x.clamp(0.0, 1.0))
}
