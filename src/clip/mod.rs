//! CLIP: configuration, weights, tokenizer and the two towers.
