//! Learns a byte-pair vocabulary from the captions and writes it as transformers' CLIP tokenizer
//! reads it.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior, Trainer,
};

/// CLIP's division of a text into words.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
pub const START: &str = "<|startoftext|>";
pub const END: &str = "<|endoftext|>";

/// A learnt vocabulary.
pub struct Vocabulary {
    /// The contents of `tokenizer.json`.
    pub json: Value,
    /// Number of entries; the last two are the start and the end mark.
    pub len: i64,
}

/// Learns at most `size` entries. The order is CLIP's: bytes, bytes at the end of a word, merges,
/// marks.
pub fn learn(captions: &[String], size: usize) -> Result<Vocabulary, Box<dyn Error + Send + Sync>> {
    let normalizer = Sequence::new(vec![
        NFC.into(),
        Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned()), " ")?.into(),
        Lowercase.into(),
    ]);
    let split = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    let words = |caption: &str| -> tokenizers::Result<Vec<String>> {
        let mut text = NormalizedString::from(caption);
        normalizer.normalize(&mut text)?;
        let mut text = PreTokenizedString::from(text);
        split.pre_tokenize(&mut text)?;
        bytes.pre_tokenize(&mut text)?;
        let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
    };
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .end_of_word_suffix("</w>".to_owned())
        .build();
    trainer.feed(captions.iter(), words)?;
    let mut model = BPE::default();
    trainer.train(&mut model)?;
    debug_assert!(model.get_vocab_size() > 0);

    let learnt = serde_json::to_value(&model)?;
    let merges = learnt["merges"].as_array().cloned().unwrap_or_default();
    let mut alphabet: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    alphabet.sort();
    let mut entries = alphabet.clone();
    entries.extend(alphabet.iter().map(|letter| format!("{letter}</w>")));
    for merge in &merges {
        let part = |at: usize| merge[at].as_str().unwrap_or_default();
        entries.push(format!("{}{}", part(0), part(1)));
    }
    entries.extend([START.to_owned(), END.to_owned()]);
    let mut vocabulary: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let next = vocabulary.len();
        vocabulary.entry(entry).or_insert(next);
    }
    Ok(Vocabulary { len: vocabulary.len() as i64, json: tokenizer_json(&vocabulary, &merges) })
}

fn tokenizer_json(vocabulary: &HashMap<String, usize>, merges: &[Value]) -> Value {
    let mark = |content: &str| {
        json!({"id": vocabulary[content], "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    // By id, so that the file is the same each time and can be read.
    let mut entries: Vec<(&String, usize)> = vocabulary.iter().map(|(entry, &id)| (entry, id)).collect();
    entries.sort_by_key(|&(_, id)| id);
    let entries: serde_json::Map<String, Value> = entries.into_iter().map(|(e, id)| (e.clone(), json!(id))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [mark(START), mark(END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, vocabulary[END]],
            "cls": [START, vocabulary[START]], "trim_offsets": false, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": entries, "merges": merges},
    })
}

impl Vocabulary {
    /// The tokenizer as the product reads it, by way of a file.
    pub fn tokenizer(&self, context: i64) -> Result<microclip_pipe::clip::Tokenizer, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, self.json.to_string())?;
        Ok(microclip_pipe::clip::Tokenizer::from_file(&file, context, self.len)?)
    }
}
