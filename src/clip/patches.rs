//! The first map of a ViT: cuts pixels into patches, and embeds each.

use tch::{Device, Tensor};

/// Returns the embeddings (B, N, D) of the patches of pixels (B, 3, S, S), row by row. `weight` is
/// (D, 3, patch, patch), `bias` (D).
pub(crate) fn embed(pixels: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    match pixels.device() {
        Device::Cpu => by_convolution(pixels, weight, bias),
        _ => by_product(pixels, weight, bias),
    }
}

fn by_convolution(pixels: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let side = [weight.size()[2]; 2];
    pixels.conv2d(weight, bias, side, [0, 0], [1, 1], 1).flatten(2, 3).transpose(1, 2)
}

/// Like [`by_convolution`], but as a product, since patches do not overlap. On a GPU, cuDNN's fp32
/// convolution rounds its factors to TF32, 10 bits; a product keeps all 23.
fn by_product(pixels: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (size, patch) = (pixels.size(), weight.size()[2]);
    let (batch, colours, rows, columns) = (size[0], size[1], size[2] / patch, size[3] / patch);
    // Like a convolution, ignores the rest of a side that no whole patch covers.
    let pixels = pixels.narrow(2, 0, rows * patch).narrow(3, 0, columns * patch);
    let patches = pixels.reshape([batch, colours, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
    let patches = patches.reshape([batch, rows * columns, colours * patch * patch]);
    let embedded = patches.matmul(&weight.view([weight.size()[0], -1]).tr());
    match bias {
        Some(bias) => embedded + bias,
        None => embedded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_the_same_by_a_product_as_by_a_convolution() {
        tch::manual_seed(0);
        let random = |shape: &[i64]| Tensor::randn(shape, tch::kind::FLOAT_CPU);
        let (weight, bias) = (random(&[5, 3, 4, 4]), random(&[5]));
        // The second of two views of each of three pictures, which are not contiguous.
        let pixels = random(&[3, 2, 3, 14, 14]).select(1, 1);
        for bias in [None, Some(&bias)] {
            let (product, convolution) = (by_product(&pixels, &weight, bias), by_convolution(&pixels, &weight, bias));
            assert_eq!(product.size(), [3, 9, 5]);
            assert!(product.allclose(&convolution, 1e-5, 1e-5, false));
        }
    }
}
