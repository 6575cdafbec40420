//! What a service said instead of an object, in words of ours: without its credentials, and what to
//! do.

use std::error::Error as _;

use object_store::Error as Theirs;

use super::address::{Address, Service};
use super::listing::NAMES;
use crate::error::{Error, Kind};
use crate::net::escaped;
use crate::text::terminal::in_line;

/// Bytes of what a service said that are shown.
const SHOWN: usize = 400;

/// The length from which the value of a variable is taken for a credential.
const CREDENTIAL: usize = 8;

/// Returns the error of `doing` something with an address of pictures: `cannot list`.
pub(super) fn refused(doing: &str, address: &Address, error: &Theirs) -> Error {
    worded(
        doing,
        address,
        error,
        "Without a network, name what was fetched: of pictures, `images` has the paths; all of it is below `objects` in MICROCLIP_CACHE",
    )
}

/// Returns the error of `doing` something with an object of a store of results.
pub(super) fn refused_to_store(doing: &str, address: &Address, error: &Theirs) -> Error {
    match error {
        Theirs::NotFound { .. } => Error::new(Kind::Store, format!("{doing} {address}: there is no such object"))
            .hint("another process may have removed it: run again"),
        _ => worded(doing, address, error, "Run again once it is: what was written is kept"),
    }
}

fn worded(doing: &str, address: &Address, error: &Theirs, otherwise: &str) -> Error {
    let of_service = match address.service {
        Service::S3 => {
            "credentials are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the region from AWS_REGION, another server \
             than Amazon's from AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true reads a public bucket without any"
        }
        Service::Google => "credentials are read from GOOGLE_SERVICE_ACCOUNT, the path of a key in JSON",
        Service::Azure => {
            "the account is read from AZURE_STORAGE_ACCOUNT_NAME, credentials from AZURE_STORAGE_ACCOUNT_KEY or \
             AZURE_STORAGE_SAS_TOKEN; AZURE_SKIP_SIGNATURE=true reads a public container without any"
        }
        Service::Http => "`curl -I` of that address shows what the server says",
    };
    let said = said(error);
    let is_denied = matches!(error, Theirs::PermissionDenied { .. } | Theirs::Unauthenticated { .. })
        || ["403", "401", "redential", "AccessDenied", "NoSuchBucket", "must be specified"]
            .iter()
            .any(|word| said.contains(word));
    let refused = Error::new(Kind::Network, format!("{doing} {address}: {said}"));
    match error {
        _ if said.contains("NoSuchBucket") => {
            refused.hint("is that its name, at the server that is meant? A bucket is made with the service's own tools")
        }
        Theirs::NotFound { .. } => {
            Error::new(Kind::Input, format!("{doing} {address}: there is no such object, {said}")).hint(NAMES)
        }
        Theirs::InvalidPath { .. } => Error::new(Kind::Input, format!("{doing} {address}: {said}"))
            .hint("an object there has a name that cannot be a file's: rename it, or name a folder without it"),
        Theirs::Precondition { .. } | Theirs::NotModified { .. } => changed(address),
        _ if is_denied => refused.hint(of_service),
        _ => {
            let server = match address.service {
                Service::S3 => "that AWS_ENDPOINT_URL names, or Amazon's",
                Service::Google => "that `gcs_base_url` in the file of GOOGLE_SERVICE_ACCOUNT names, or Google's",
                Service::Azure => "that AZURE_STORAGE_ENDPOINT names, or Azure's",
                Service::Http => return refused.hint(of_service),
            };
            refused.hint(format!("is the server reached {server}? {otherwise}"))
        }
    }
}

/// Says that an object is another one than was listed.
pub(super) fn changed(address: &Address) -> Error {
    Error::new(Kind::Network, format!("{address} has changed while it was fetched")).hint("run again, once it is whole")
}

/// Returns what was said, on a line, without queries and credentials.
fn said(error: &Theirs) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    // How the request was made and how long it took comes before a dash.
    let text = match text.split_once("Error performing ").and_then(|(_, request)| request.split_once(" - ")) {
        Some((_, answer)) => answer.to_owned(),
        None => text,
    };
    let text = without_markup(&without_queries(&text));
    let credentials = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let is_ours = ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|service| name.starts_with(service));
        let is_credential = ["KEY", "SECRET", "TOKEN", "PASSWORD", "SAS"].iter().any(|word| name.contains(word));
        (is_ours && is_credential && value.len() >= CREDENTIAL).then_some(value)
    });
    let text = credentials.fold(text, |text, key| text.replace(&key, "[key]").replace(&escaped(&key), "[key]"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = in_line(&words.join(" ")).into_owned();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Takes the queries out of addresses: a signature or a token of access may be in one.
fn without_queries(text: &str) -> String {
    let mut plain = String::new();
    for (n, part) in text.split("://").enumerate() {
        if n == 0 {
            plain.push_str(part);
            continue;
        }
        let end = part.find(|c: char| c.is_whitespace() || "\"'<>)".contains(c)).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        plain.push_str("://");
        plain.push_str(address.split('?').next().unwrap_or_default());
        plain.push_str(rest);
    }
    plain
}

/// Takes out of an answer in XML or HTML what it says.
fn without_markup(text: &str) -> String {
    let (Some(begin), Some(end)) = (text.find('<'), text.rfind('>')) else { return text.to_owned() };
    if begin > end {
        return text.to_owned();
    }
    let (before, markup, after) = (&text[..begin], &text[begin..=end], &text[end + 1..]);
    let of = |tag: &str| {
        let (_, rest) = markup.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once("</")?.0.trim())
    };
    let words: Vec<&str> = ["Code", "Message", "title"].into_iter().filter_map(of).collect();
    format!("{before}{}{after}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Theirs {
        Theirs::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_a_service_said_is_a_line_without_queries_and_markup() {
        let of = |text: &str| said(&generic(text));
        let denied = "Error performing GET http://h/b in 1.2ms - 403 of http://h/b?list-type=2&sig=abc <?xml version=\"1.0\"?>\n\
                      <Error><Code>AccessDenied</Code><Message>No.</Message><Key>x</Key></Error>";
        assert_eq!(of(denied), "403 of http://h/b AccessDenied, No.");
        assert_eq!(of("a\nb < c"), "Generic S3 error: a b < c");
        assert_eq!(of(&"long ".repeat(200)).len(), SHOWN + 3);
    }

    #[test]
    fn an_error_says_what_is_read_of_the_environment() {
        for (text, names) in [
            ("s3://b/a", "AWS_ACCESS_KEY_ID"),
            ("gs://b/a", "GOOGLE_SERVICE_ACCOUNT"),
            ("az://b/a", "AZURE_STORAGE_ACCOUNT_NAME"),
            ("https://b/a", "curl -I"),
        ] {
            let address = Address::parse(text).unwrap().unwrap();
            let error = refused("cannot list", &address, &generic("403 Forbidden"));
            assert!(error.to_string().starts_with(&format!("cannot list {text}: ")), "{error}");
            assert!(error.own_hint().unwrap().contains(names));
        }
        for (text, names) in [("s3://b/a", "AWS_ENDPOINT_URL"), ("az://b/a", "AZURE_STORAGE_ENDPOINT")] {
            let address = Address::parse(text).unwrap().unwrap();
            let hint = |error: Error| error.own_hint().unwrap().to_owned();
            let refused = hint(refused("cannot list", &address, &generic("connection refused")));
            assert!(refused.contains(names) && refused.contains("name the folder that was fetched"), "{refused}");
            let refused = hint(refused_to_store("cannot list", &address, &generic("connection refused")));
            assert!(refused.contains(names) && refused.ends_with("what was written is kept"), "{refused}");
        }
    }
}
