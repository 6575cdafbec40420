//! The settings of `describe`: whom to ask, and what. None of them changes a result but through the
//! sentences that come of it.

use std::path::PathBuf;
use std::time::Duration;

use super::domain::Domain;
use crate::language_model::{Manner, Prices};
use crate::settings::{ANY_WHOLE, Must, Want, above, choice, from, settings, whole};

choice! {
    /// Which class names sentences may have.
    Names {
        /// The name of the class that they are about, and no other's.
        Own = "own",
        /// None, so that they say only what is seen.
        None = "none",
        /// Any.
        Any = "any",
    }
}

settings! {
    /// What `microclip-pipe describe` asks a language model. Runs read none of it: they read the
    /// sentences, in `text.descriptions`.
    Describe {
        /// The address of an OpenAI-compatible server, such as `http://localhost:8000/v1`; if there
        /// is none, the environment's `OPENAI_BASE_URL`, or else OpenAI's. The key is the
        /// environment's `OPENAI_API_KEY`; it is sent to OpenAI, to this machine, and to the server
        /// that `OPENAI_BASE_URL` names, and to no other, since a pipeline file may come from
        /// anybody.
        endpoint: Option<String> = None, Want::Address, Nothing;
        /// The model's name on the server.
        model: Option<String> = None, Want::Text, Nothing;
        /// What the classes are, which selects the questions.
        domain: Domain = Domain::Generic, Domain::WANT, Nothing;
        /// A file of questions of your own, laid out as `data/questions/generic.toml`.
        questions: Option<PathBuf> = None, Want::Path(Must::BeFile), Nothing;
        /// Sentences asked for about each class, shared by the domain's questions.
        sentences: usize = 12, whole(1, 1000), Nothing;
        /// Sentences asked for by each question that tells two look-alikes apart (`--contrast`).
        contrast_sentences: usize = 4, whole(1, 100), Nothing;
        /// Which class names sentences may have; those with others are set aside.
        names: Names = Names::Own, Names::WANT, Nothing;
        /// Sampling temperature; the server's own if there is none.
        temperature: Option<f64> = None, from(0.0, 2.0), Nothing;
        /// Seed of sampling; another one asks anew.
        seed: u64 = 0, ANY_WHOLE, Nothing;
        /// Tokens that an answer may have, thoughts included.
        max_tokens: u64 = 2000, whole(16, 1_000_000), Nothing;
        /// Questions asked at the same time.
        concurrency: usize = 4, whole(1, 256), Nothing;
        /// Requests a minute at most; unlimited if there is none.
        requests_per_minute: Option<u64> = None, whole(1, 100_000), Nothing;
        /// How often a question is asked again that was not answered, or not with sentences.
        retries: u32 = 5, whole(0, 100), Nothing;
        /// Seconds that an answer may take.
        timeout: f64 = 120.0, above(0.0, 86_400.0), Nothing;
        /// US dollars per million tokens of questions, to show what it costs.
        price_in: Option<f64> = None, from(0.0, 1e6), Nothing;
        /// US dollars per million tokens of answers.
        price_out: Option<f64> = None, from(0.0, 1e6), Nothing;
    }
}

impl Describe {
    /// Returns how a model of this name is asked.
    pub fn manner(&self, model: &str) -> Manner {
        Manner {
            model: model.to_owned(),
            temperature: self.temperature,
            seed: self.seed,
            max_tokens: self.max_tokens,
            timeout: Duration::from_secs_f64(self.timeout),
            retries: self.retries,
            a_minute: self.requests_per_minute,
        }
    }

    /// Returns what tokens cost.
    pub fn prices(&self) -> Prices {
        Prices { read: self.price_in, written: self.price_out }
    }
}
