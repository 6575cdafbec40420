//! What a client is told when something cannot be done: our errors, with their hints, as those of
//! gRPC.

use tonic::{Code, Status};

use super::metrics::Outcome;
use crate::error::{Error, Kind};

/// The most letters of a message: it goes into a header, of which clients take a few thousand.
const LONGEST: usize = 2_000;

/// An error, and gRPC's name for it.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    error: Box<Error>,
}

/// `Result` with a [`Refusal`].
pub(super) type Answered<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(code: Code, error: Error) -> Self {
        Refusal { code, error: Box::new(error) }
    }

    /// Returns what a statement that is refused so is counted as.
    pub(super) fn outcome(&self) -> Outcome {
        match self.code {
            Code::DeadlineExceeded => Outcome::TimedOut,
            Code::ResourceExhausted => Outcome::Refused,
            Code::Cancelled => Outcome::Cancelled,
            _ => Outcome::Failed,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            Kind::Usage | Kind::Query => Code::InvalidArgument,
            Kind::Interrupted => Code::Cancelled,
            Kind::Input | Kind::Model | Kind::Store => Code::FailedPrecondition,
            Kind::Torch | Kind::Tolerance | Kind::Network | Kind::System | Kind::Internal => Code::Internal,
        };
        Refusal::new(code, error)
    }
}

impl From<Refusal> for Status {
    fn from(Refusal { code, error }: Refusal) -> Self {
        let mut said: String = error.to_string().chars().take(LONGEST).collect();
        if let Some(hint) = error.hint_text() {
            said.push_str("\nhint: ");
            said.extend(hint.chars().take(LONGEST));
        }
        Status::new(code, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_the_message_and_the_hint() {
        let error = Error::new(Kind::Query, "there is no table `metric`").hint("did you mean `metrics`?");
        let status = Status::from(Refusal::from(error));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "there is no table `metric`\nhint: did you mean `metrics`?");
        let long = Error::new(Kind::Query, "ü".repeat(100_000)).hint("h");
        assert_eq!(Status::from(Refusal::from(long)).message().chars().count(), LONGEST + "\nhint: h".len());
    }
}
