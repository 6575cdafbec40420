//! Classifiers made from sentences (method section 5).

use tch::{Kind as Number, Tensor};

use super::normalize;

/// Returns the class-name embedding (C, d): each class's filled templates, averaged. `features` is
/// (C * T, d) of unit rows, the T templates of class 0 first. The released code averages features
/// that are not normalised.
pub fn class_names(features: &Tensor, templates: i64) -> Tensor {
    let width = features.size()[1];
    normalize(&features.view([-1, templates, width]).mean_dim([1i64].as_slice(), false, Number::Float))
}

/// Returns the learnable head's start, W* (C, d): the mean of each class's sentences. `features` is
/// (S, d) of unit rows, of which `counts[c]` belong to class c, in order.
pub fn learnable(features: &Tensor, counts: &[i64]) -> Tensor {
    per_class(features, counts, |_, sentences| sentences.mean_dim([0i64].as_slice(), false, Number::Float))
}

/// Returns the frozen head, `W_LLM` (C, d): sentences weighted by their cosine to the class-name
/// embedding `names` (C, d).
pub fn frozen(features: &Tensor, counts: &[i64], names: &Tensor) -> Tensor {
    per_class(features, counts, |class, sentences| {
        let weights = sentences.mv(&names.get(class));
        sentences.tr().mv(&weights) / weights.sum(Number::Float)
    })
}

fn per_class(features: &Tensor, counts: &[i64], prototype: impl Fn(i64, &Tensor) -> Tensor) -> Tensor {
    let sentences = features.split_with_sizes(counts, 0);
    let rows: Vec<Tensor> = sentences.iter().enumerate().map(|(class, of)| prototype(class as i64, of)).collect();
    normalize(&Tensor::stack(&rows, 0))
}
