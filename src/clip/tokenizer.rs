//! Turns text into token ids.
//!
//! A Hugging Face directory has its own `tokenizer.json`, read by the library that transformers
//! uses. Weights in OpenAI's naming come without one: for them, OpenAI's vocabulary of 49,408
//! entries is built in.

use std::path::Path;

use crate::clip::{openai_text, text_of};
use crate::error::{Error, Kind, Result};
use crate::panics::caught;

/// Turns sentences into token sequences for a [`crate::clip::TextTower`].
pub struct Tokenizer {
    vocabulary: Vocabulary,
    start: i64,
    end: i64,
    /// The largest id of the vocabulary.
    largest: i64,
    read_at: ReadAt,
    context: usize,
    identity: blake3::Hash,
}

/// The token at which the text tower reads the feature of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAt {
    /// The first end mark.
    End,
    /// The first of those with the largest id, as OpenAI's code does: the end mark, unless tokens
    /// were added to the vocabulary behind it.
    Largest,
}

/// A sentence as the text tower's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Start mark, words, end mark; no longer than the context. A sentence that spells out an end
    /// mark ends there.
    pub ids: Vec<i64>,
    /// The number of ids up to the end mark, marks included: more than the context if the sentence
    /// was cut.
    pub tokens: usize,
}

enum Vocabulary {
    HuggingFace(Box<tokenizers::Tokenizer>),
    OpenAi(Box<instant_clip_tokenizer::Tokenizer>),
}

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// The number of marks in every sequence.
const MARKS: usize = 2;

impl Tokenizer {
    /// Reads a `tokenizer.json`; `context` is the tower's longest sequence, `vocab` its number of
    /// entries.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the file is not a CLIP's tokenizer or has ids that the tower has
    /// no embedding for.
    pub fn from_file(path: &Path, context: i64, vocab: i64) -> Result<Self> {
        let bad = |what: String| Error::new(Kind::Model, format!("{}: {what}", path.display()));
        let text = text_of(path)?;
        // The library panics on some files that it should refuse.
        let mut inner = caught(|| tokenizers::Tokenizer::from_bytes(&text))
            .map_err(|_| bad("damaged, or not a tokenizer.json".into()))?
            .map_err(|e| bad(format!("not a tokenizer.json that this version reads: {e}")))?;
        // We choose the sequence's length: a padding or truncation saved with the tokenizer would
        // interfere.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let special = |token: &str| {
            inner
                .token_to_id(token)
                .map(i64::from)
                .ok_or_else(|| bad(format!("no token '{token}': not a CLIP's tokenizer")))
        };
        let (start, end) = (special(START)?, special(END)?);
        let largest = inner.get_vocab(true).into_values().max().map_or(0, i64::from);
        if largest >= vocab {
            return Err(bad(format!("has token id {largest}, but the text tower has {vocab} embeddings"))
                .hint("tokenizer.json and the weights are not of the same model"));
        }
        let identity = blake3::hash(text.as_bytes());
        Ok(Tokenizer {
            vocabulary: Vocabulary::HuggingFace(Box::new(inner)),
            start,
            end,
            largest,
            read_at: ReadAt::End,
            context: context as usize,
            identity,
        })
    }

    /// Returns a tokenizer with OpenAI's own vocabulary.
    ///
    /// # Errors
    /// Returns [`Kind::Model`] if the text tower has fewer embeddings than that vocabulary.
    pub fn openai(context: i64, vocab: i64) -> Result<Self> {
        let inner = instant_clip_tokenizer::Tokenizer::new();
        let (start, end) = (i64::from(inner.start_of_text().to_u16()), i64::from(inner.end_of_text().to_u16()));
        if end >= vocab {
            return Err(Error::new(
                Kind::Model,
                format!("the text tower has {vocab} embeddings, OpenAI's vocabulary {}", end + 1),
            )
            .hint("name the model's own tokenizer.json as model.tokenizer"));
        }
        Ok(Tokenizer {
            vocabulary: Vocabulary::OpenAi(Box::new(inner)),
            start,
            end,
            largest: end,
            read_at: ReadAt::Largest,
            context: context as usize,
            identity: blake3::hash(b"openai bpe_simple_vocab_16e6"),
        })
    }

    /// Returns the tokenizer for a text tower that reads features at another token.
    #[must_use]
    pub fn read_at(mut self, read_at: ReadAt) -> Self {
        // Only then is there a difference.
        if read_at == ReadAt::Largest && self.largest > self.end && self.read_at == ReadAt::End {
            self.identity = blake3::hash(format!("{} read at the largest id", self.identity).as_bytes());
        }
        self.read_at = read_at;
        self
    }

    /// Returns the id of the end mark.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Returns the first mark that a text spells out: `<|endoftext|>`, at which the sentence ends
    /// for the text tower, rather than `<|startoftext|>`, which is no word either.
    ///
    /// # Errors
    /// Fails as [`Tokenizer::ids`] does.
    pub fn mark_in(&self, text: &str) -> Result<Option<&'static str>> {
        // Spares most sentences the look at their tokens.
        if !text.contains("oftext") {
            return Ok(None);
        }
        let ids = self.ids(text)?;
        Ok([(self.end, END), (self.start, START)].into_iter().find(|(id, _)| ids.contains(id)).map(|(_, mark)| mark))
    }

    /// Returns a hash that distinguishes this tokenizer from others: part of a text space.
    pub fn identity(&self) -> blake3::Hash {
        self.identity
    }

    /// Returns the ids of a text without start and end marks, however many there are.
    ///
    /// # Errors
    /// Returns [`Kind::Input`] if the library cannot encode the text.
    pub fn ids(&self, text: &str) -> Result<Vec<i64>> {
        match &self.vocabulary {
            Vocabulary::HuggingFace(inner) => {
                let refuse = |why: String| Error::new(Kind::Input, format!("cannot turn {text:?} into tokens{why}"));
                // It panics in some parts of a tokenizer that loads but makes no sense.
                let encoding = caught(|| inner.encode_fast(text, false))
                    .map_err(|_| refuse(": the tokenizer.json makes no sense".into()))?
                    .map_err(|e| refuse(format!(": {e}")))?;
                Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
            }
            Vocabulary::OpenAi(inner) => {
                let mut tokens = Vec::new();
                // Marks that a text spells out are tokens too; the library knows plain words only.
                for (piece, mark) in openai_text::split_marks(&openai_text::clean(text), START, END) {
                    inner.encode(piece, &mut tokens);
                    match mark {
                        Some(START) => tokens.push(inner.start_of_text()),
                        Some(_) => tokens.push(inner.end_of_text()),
                        None => {}
                    }
                }
                Ok(tokens.into_iter().map(|t| i64::from(t.to_u16())).collect())
            }
        }
    }

    /// Returns a sequence for the text tower: start mark, ids cut to the context, end mark. What
    /// follows the token that the tower reads is left out, as it has no effect: attention is
    /// causal.
    ///
    /// # Errors
    /// Fails as [`Tokenizer::ids`] does.
    pub fn sequence(&self, text: &str) -> Result<Sequence> {
        let words = self.ids(text)?;
        let whole = words.len() + MARKS;
        let room = self.context.saturating_sub(MARKS);
        let mut ids = Vec::with_capacity(words.len().min(room) + MARKS);
        ids.push(self.start);
        ids.extend(words.into_iter().take(room));
        ids.push(self.end);
        let read = match self.read_at {
            ReadAt::End => self.end,
            ReadAt::Largest => ids.iter().skip(1).copied().max().unwrap_or(self.end),
        };
        let length = ids.iter().skip(1).position(|id| *id == read).map_or(ids.len(), |at| at + MARKS);
        let tokens = if length < ids.len() { length } else { whole };
        ids.truncate(length);
        Ok(Sequence { ids, tokens })
    }

    /// Returns the length of the longest sequence, start and end marks included.
    pub fn context(&self) -> usize {
        self.context
    }
}
