//! Writes the model as transformers' `Dinov2Model` stores it.

use crate::vit::light::{MEAN, STD};
use crate::{EPS, HEADS, LAYERS, MLP, PATCH, SIDE, WIDTH};
use microclip_pipe::clip::block::{LayerNorm, Linear};
use microclip_pipe::clip::hugging_face::{self, Named};
use microclip_pipe::dino::{Positions, Tower};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;
use tch::{Kind, Tensor};

/// Writes `config.json`, `model.safetensors` and `preprocessor_config.json`.
pub fn write(folder: &Path, tower: &Tower) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let save = |name: &str, value: &Value| fs::write(folder.join(name), format!("{value:#}\n"));
    save(
        "config.json",
        &json!({
            "architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "mlp_ratio": MLP / WIDTH, "hidden_act": "gelu", "layer_norm_eps": EPS,
            "image_size": SIDE, "patch_size": PATCH, "num_channels": 3, "qkv_bias": true, "use_swiglu_ffn": false,
        }),
    )?;
    save(
        "preprocessor_config.json",
        &json!({
            "image_processor_type": "BitImageProcessor", "do_resize": true, "size": {"shortest_edge": SIDE},
            "do_center_crop": true, "crop_size": {"height": SIDE, "width": SIDE}, "resample": 3, "do_rescale": true,
            "rescale_factor": 1.0 / 255.0, "do_normalize": true, "image_mean": MEAN, "image_std": STD,
        }),
    )?;
    Ok(hugging_face::write(&folder.join("model.safetensors"), &tensors(tower), &[])?)
}

fn tensors(tower: &Tower) -> Named {
    let mut all = Named::new();
    let mut put = |name: String, tensor: Tensor| drop(all.insert(name, tensor));
    put("embeddings.cls_token".into(), tower.cls_token.view([1, 1, WIDTH]));
    put("embeddings.patch_embeddings.projection.weight".into(), tower.patch_weight.shallow_clone());
    put("embeddings.patch_embeddings.projection.bias".into(), tower.patch_bias.shallow_clone());
    if let Positions::Added(positions) = &tower.positions {
        put("embeddings.position_embeddings".into(), positions.unsqueeze(0));
    }
    let norm = |put: &mut dyn FnMut(String, Tensor), name: &str, norm: &LayerNorm| {
        put(format!("{name}.weight"), norm.weight.shallow_clone());
        put(format!("{name}.bias"), norm.bias.shallow_clone());
    };
    norm(&mut put, "layernorm", &tower.norm);
    for (number, block) in tower.blocks.iter().enumerate() {
        let at = format!("encoder.layer.{number}");
        norm(&mut put, &format!("{at}.norm1"), &block.ln_1);
        norm(&mut put, &format!("{at}.norm2"), &block.ln_2);
        let (weights, biases) = (block.in_proj.weight.chunk(3, 0), block.in_proj.bias.chunk(3, 0));
        for ((which, weight), bias) in ["query", "key", "value"].iter().zip(weights).zip(biases) {
            put(format!("{at}.attention.attention.{which}.weight"), weight);
            put(format!("{at}.attention.attention.{which}.bias"), bias);
        }
        for (name, Linear { weight, bias }) in
            [("attention.output.dense", &block.out_proj), ("mlp.fc1", &block.fc), ("mlp.fc2", &block.proj)]
        {
            put(format!("{at}.{name}.weight"), weight.shallow_clone());
            put(format!("{at}.{name}.bias"), bias.shallow_clone());
        }
        for scale in ["layer_scale1", "layer_scale2"] {
            put(format!("{at}.{scale}.lambda1"), Tensor::ones([WIDTH], (Kind::Float, tch::Device::Cpu)));
        }
    }
    all
}
