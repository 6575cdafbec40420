//! Writes the model in the layout of a Hugging Face `CLIPModel` directory.

use crate::model::Model;
use crate::vit::light::{MEAN, STD};
use crate::vocabulary::{END, START, Vocabulary};
use microclip_pipe::clip::ClipConfig;
use microclip_pipe::clip::block::{Block, LayerNorm, Linear};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use tch::{Kind, Tensor};

/// Writes `config.json`, `model.safetensors` (fp16), `tokenizer.json`, `tokenizer_config.json`,
/// `preprocessor_config.json`.
pub fn write(folder: &Path, model: &Model, config: &ClipConfig, vocabulary: &Vocabulary) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let save = |name: &str, value: &Value| -> Result<(), Box<dyn Error>> {
        Ok(fs::write(folder.join(name), format!("{value:#}\n"))?)
    };
    save("config.json", &model_config(config))?;
    save("tokenizer.json", &vocabulary.json)?;
    save(
        "tokenizer_config.json",
        &json!({"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END,
                "model_max_length": config.text.context, "tokenizer_class": "CLIPTokenizer"}),
    )?;
    save("preprocessor_config.json", &preprocessor(config))?;
    weights(&folder.join("model.safetensors"), model)
}

fn model_config(config: &ClipConfig) -> Value {
    let (v, t) = (&config.vision, &config.text);
    json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "torch_dtype": "float16",
        "projection_dim": config.joint,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model", "hidden_act": "quick_gelu", "hidden_size": t.width,
            "intermediate_size": t.mlp, "num_hidden_layers": t.layers, "num_attention_heads": t.heads,
            "max_position_embeddings": t.context, "vocab_size": t.vocab, "layer_norm_eps": t.eps,
            "bos_token_id": t.vocab - 2, "eos_token_id": t.vocab - 1, "pad_token_id": t.vocab - 1,
            "projection_dim": config.joint,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_act": "quick_gelu", "hidden_size": v.width,
            "intermediate_size": v.mlp, "num_hidden_layers": v.layers, "num_attention_heads": v.heads,
            "image_size": v.image_size, "patch_size": v.patch, "num_channels": 3, "layer_norm_eps": v.eps,
            "projection_dim": config.joint,
        },
    })
}

fn preprocessor(config: &ClipConfig) -> Value {
    let side = config.vision.image_size;
    json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true, "do_resize": true, "do_center_crop": true, "do_rescale": true, "do_normalize": true,
        "size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side},
        "resample": 3, "rescale_factor": 1.0 / 255.0, "image_mean": MEAN, "image_std": STD,
    })
}

fn weights(file: &Path, model: &Model) -> Result<(), Box<dyn Error>> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut put =
        |name: String, tensor: &Tensor| tensors.push((name, tensor.detach().to_kind(Kind::Half).contiguous()));
    let (v, t) = (&model.vision, &model.text);
    put("logit_scale".into(), &model.log_scale);
    put("visual_projection.weight".into(), &v.projection.tr());
    put("text_projection.weight".into(), &t.projection.tr());
    put("vision_model.embeddings.class_embedding".into(), &v.class_embedding);
    put("vision_model.embeddings.patch_embedding.weight".into(), &v.patch_embedding);
    put("vision_model.embeddings.position_embedding.weight".into(), &v.position_embedding);
    // Misspelt in the original, and so in every file since.
    layer_norm(&mut put, "vision_model.pre_layrnorm", &v.ln_pre);
    layer_norm(&mut put, "vision_model.post_layernorm", &v.ln_post);
    put("text_model.embeddings.token_embedding.weight".into(), &t.token_embedding);
    put("text_model.embeddings.position_embedding.weight".into(), &t.position_embedding);
    layer_norm(&mut put, "text_model.final_layer_norm", &t.ln_final);
    for (tower, blocks) in [("vision_model", &v.blocks), ("text_model", &t.blocks)] {
        for (number, block) in blocks.iter().enumerate() {
            put_block(&mut put, &format!("{tower}.encoder.layers.{number}"), block);
        }
    }

    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| half_bytes(tensor)).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, tensor), bytes) in tensors.iter().zip(&bytes) {
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        views.push((name.as_str(), TensorView::new(Dtype::F16, shape, bytes)?));
    }
    // transformers refuses a file that does not say this.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize_to_file(views, Some(metadata), file)?)
}

fn half_bytes(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; tensor.numel() * 2];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

fn layer_norm(put: &mut impl FnMut(String, &Tensor), name: &str, norm: &LayerNorm) {
    put(format!("{name}.weight"), &norm.weight);
    put(format!("{name}.bias"), &norm.bias);
}

fn put_block(put: &mut impl FnMut(String, &Tensor), at: &str, block: &Block) {
    let (weights, biases) = (block.in_proj.weight.chunk(3, 0), block.in_proj.bias.chunk(3, 0));
    for ((which, weight), bias) in ["q", "k", "v"].iter().zip(&weights).zip(&biases) {
        put(format!("{at}.self_attn.{which}_proj.weight"), weight);
        put(format!("{at}.self_attn.{which}_proj.bias"), bias);
    }
    let mut linear = |name: &str, Linear { weight, bias }: &Linear| {
        put(format!("{at}.{name}.weight"), weight);
        put(format!("{at}.{name}.bias"), bias);
    };
    linear("self_attn.out_proj", &block.out_proj);
    linear("mlp.fc1", &block.fc);
    linear("mlp.fc2", &block.proj);
    layer_norm(put, &format!("{at}.layer_norm1"), &block.ln_1);
    layer_norm(put, &format!("{at}.layer_norm2"), &block.ln_2);
}
