//! A worker's error on its way to the driver.
//!
//! Ballista carries errors as text, wrapped in texts of its own. So an error travels as a word of
//! letters and digits inside that text, from which the driver makes it again.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// What stands before the word.
const BEGIN: &str = "microclip-error:";

/// What stands after it.
const END: char = ';';

/// An error as it travels.
#[derive(Serialize, Deserialize)]
struct Sent {
    kind: u8,
    message: String,
    hint: Option<String>,
}

/// The kinds, by the number that they travel as.
const KINDS: [Kind; 11] = [
    Kind::Usage,
    Kind::Input,
    Kind::Model,
    Kind::Store,
    Kind::Query,
    Kind::Torch,
    Kind::Tolerance,
    Kind::Interrupted,
    Kind::Network,
    Kind::System,
    Kind::Internal,
];

/// Returns whether another try, on this machine or another, may succeed.
fn may_pass(kind: Kind) -> bool {
    match kind {
        Kind::Network | Kind::Torch | Kind::System | Kind::Store | Kind::Interrupted => true,
        Kind::Usage | Kind::Input | Kind::Model | Kind::Query | Kind::Tolerance | Kind::Internal => false,
    }
}

/// Wraps a worker's error, so that the scheduler has the unit tried again if that may help, and the
/// driver learns the error if not. `executor` is where it happened.
pub(super) fn sent(error: &Error, executor: &str) -> DataFusionError {
    let sent = Sent {
        kind: KINDS.iter().position(|kind| *kind == error.kind()).unwrap_or(KINDS.len() - 1) as u8,
        message: format!("{error} (on executor {executor})"),
        hint: error.own_hint().map(str::to_owned),
    };
    let word = serde_json::to_vec(&sent).map(|json| BASE64_URL_SAFE_NO_PAD.encode(json)).unwrap_or_default();
    let text = format!("{BEGIN}{word}{END}");
    // Ballista tries again what is an error of input or output, and nothing else.
    if may_pass(error.kind()) {
        DataFusionError::IoError(std::io::Error::other(text))
    } else {
        DataFusionError::Execution(text)
    }
}

/// Returns whether a job's text of failure has an error of ours in it.
pub(super) fn has_word(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Returns the error that a job's text of failure has in it; one of the cluster if it has none.
pub(super) fn received(text: &str) -> Error {
    let word = text.rsplit_once(BEGIN).and_then(|(_, rest)| Some(rest.split_once(END)?.0));
    let sent = word
        .and_then(|word| BASE64_URL_SAFE_NO_PAD.decode(word).ok())
        .and_then(|json| serde_json::from_slice::<Sent>(&json).ok());
    match sent {
        Some(Sent { kind, message, hint }) => {
            let kind = KINDS.get(usize::from(kind)).copied().unwrap_or(Kind::Internal);
            let error = Error::new(kind, message);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
        None => Error::new(Kind::Network, format!("the cluster could not do a job: {}", text.trim()))
            .hint("the executors' own messages say more; what they have committed is kept: run again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_as_it_was_sent_whatever_is_said_around_it() {
        for kind in KINDS {
            let error = Error::new(kind, "cannot read \"a;b\"\nin /ü").hint("mend it");
            let text = format!("Job failed due to stage 1 failed: {:?}, {END} twice", sent(&error, "x").to_string());
            let found = received(&text);
            assert_eq!((found.kind(), found.own_hint()), (kind, Some("mend it")));
            assert_eq!(found.to_string(), "cannot read \"a;b\"\nin /ü (on executor x)");
        }
        let odd = received("Job failed: microclip-error:???; and more");
        assert_eq!(odd.kind(), Kind::Network);
        assert!(odd.to_string().contains("and more"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let tried = |kind| matches!(sent(&Error::new(kind, ""), ""), DataFusionError::IoError(_));
        let again: Vec<Kind> = KINDS.into_iter().filter(|kind| tried(*kind)).collect();
        assert_eq!(again, [Kind::Store, Kind::Torch, Kind::Interrupted, Kind::Network, Kind::System]);
    }
}
