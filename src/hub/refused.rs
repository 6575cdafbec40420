//! What the hub's refusals mean, and what to do about each.

use ureq::http::HeaderMap;

use super::client::Client;
use super::name::{Name, RepoType};
use crate::error::{Error, Kind};
use crate::net;

/// Returns the error for an answer with a status that is no success, to a request about `what` of
/// the repository `name`.
pub(super) fn refused(status: u16, headers: &HeaderMap, what: &str, name: &Name, client: &Client) -> Error {
    let code = headers.get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default();
    let of = name.of();
    let path = if of == RepoType::Dataset { format!("datasets/{}", name.id()) } else { name.id().to_owned() };
    let page = format!("{}/{path}", client.endpoint);
    let token = client.has_token();
    let error = |what: String| Error::new(Kind::Network, what);
    match (status, code) {
        (401 | 403, "GatedRepo") => error(format!(
            "{name} is gated: the hub gives it only to those who agreed to its terms ({status})"
        ))
        .hint(match token {
            true => format!(
                "agree to them at {page} with the account of this token; where that is granted by hand, wait for it"
            ),
            false => format!("agree to them at {page}, then set HF_TOKEN, or log in with `hf auth login`"),
        }),
        (401, _) if !token => error(format!("the hub has no {} {name} that everyone may see (401)", of.in_words()))
            .hint(format!(
                "check the name at {page}; if it is private or gated, set HF_TOKEN, or log in with `hf auth login`{}",
                if of == RepoType::Model { FOLDER } else { "" }
            )),
        (401, _) => error(format!("the hub does not accept this token for {name} (401)")).hint(
            "`hf auth whoami` says whether it is still valid; HF_TOKEN, or the file that HF_TOKEN_PATH names, holds it",
        ),
        (403, _) => error(format!("the hub does not give {what} of {name} to this user (403)"))
            .hint(format!("{page} says who may read it; a fine-grained token must name the repository")),
        (404, "RevisionNotFound") => error(format!("{} has no revision '{}' (404)", name.anywhere(), name.revision()))
            .hint(format!("{page}/tree/main lists its branches and tags")),
        (404, "EntryNotFound") => {
            error(format!("{name} has no {what} (404)")).hint(format!("{page}/tree/main lists its files"))
        }
        (404, _) => error(format!("the hub has no {} {name} (404)", of.in_words())).hint(format!(
            "check the name at {page}; one that is private needs HF_TOKEN{}",
            if of == RepoType::Model { FOLDER } else { "" }
        )),
        (429, _) => error(format!("the hub asks for fewer requests, and did not give {what} of {name} (429)"))
            .hint("wait some minutes and run again: what has come is kept; with HF_TOKEN more requests are allowed"),
        (500.., _) => error(format!("the hub failed at {what} of {name} ({status})"))
            .hint("run again later: what has come is kept; https://status.huggingface.co says how the hub is"),
        _ => error(format!("the hub answered {status} when asked for {what} of {name}"))
            .hint(format!("is {} a hub? HF_ENDPOINT names it", client.endpoint)),
    }
}

/// What else may have been meant by the name of a model.
const FOLDER: &str = "; if a folder was meant, there is none of that name: relative paths start at the pipeline file";

/// Returns the error for an answer that did not come, or not whole.
pub(super) fn unanswered(what: &str, name: &Name, client: &Client, cause: ureq::Error) -> Error {
    let hint = match &cause {
        ureq::Error::TlsRequired => {
            "a redirect leads from https to http: a proxy between here and the hub may do that".to_owned()
        }
        _ => format!(
            "run again: what has come is kept; `curl -I {}` shows whether this machine reaches the hub, HTTPS_PROXY names a proxy, \
             and HF_HUB_OFFLINE=1 works with what the cache has",
            client.endpoint
        ),
    };
    net::failed(format!("cannot fetch {what} of {name} from {}", client.endpoint), cause).hint(hint)
}
