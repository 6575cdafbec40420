//! Addresses in the place of a path: pages of the hub mean what they show, and nothing else is read
//! over the network.

use super::name::{Name, RepoType};
use crate::text::shell;

/// The hosts of the hub's pages.
const HOSTS: [&str; 3] = ["huggingface.co", "www.huggingface.co", "hf.co"];

/// Returns the name, as `hf://`, of the repository whose page an address is, or why it is of none;
/// `None` if it is no page of the hub.
pub(super) fn of_page(text: &str) -> Option<Result<String, String>> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, page) = rest.split_once('/').unwrap_or((rest, ""));
    if !HOSTS.contains(&host) {
        return None;
    }
    let page = page.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<&str> = page.split('/').collect();
    let (of, parts) = match parts.as_slice() {
        ["datasets", parts @ ..] => ("datasets/", parts),
        ["spaces" | "buckets" | "kernels", ..] => return Some(Ok(format!("hf://{page}"))),
        parts => ("", parts),
    };
    Some(match parts {
        // A branch with a slash has none in an address, so that what follows it is a folder.
        [org, name, "tree", revision] => {
            Ok(format!("hf://{of}{org}/{name}@{}", revision.replace("%2F", "/").replace("%2f", "/")))
        }
        [org, name, _, ..] => Err(format!("which is a page within a repository, whose name is hf://{of}{org}/{name}")),
        parts => Ok(format!("hf://{of}{}", parts.join("/"))),
    })
}

/// Returns what to do about a text in the place of a path which is the address of something that is
/// not read; `None` if it is none. `of` is what of the hub could stand in that place.
pub fn instead_of_address(text: &str, of: Option<RepoType>) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let of_schemes = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || !scheme.chars().all(of_schemes) || Name::parse(text).is_some() {
        return None;
    }
    if scheme.eq_ignore_ascii_case("file") {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        return Some(format!("name the path itself: {}", shell::word(path)));
    }
    Some(
        match of {
            Some(RepoType::Dataset) => {
                "pictures are read from folders and files of this machine, from stores of objects as s3://BUCKET/FOLDER, \
                 gs:// or az://, and from the hub as hf://datasets/ORG/NAME: fetch them first, or mount what they lie in"
            }
            Some(RepoType::Model) => {
                "a model is read from folders and files of this machine, from stores of objects as s3://BUCKET/FOLDER, \
                 gs:// or az://, and from the hub as ORG/NAME: fetch it first"
            }
            None => "folders and files of this machine are read: fetch it first",
        }
        .to_owned(),
    )
}

/// Returns the name on the hub of a data set that a text means which is no path, `ORG/NAME`: short
/// names are of models alone.
pub fn meant_data_set(text: &str) -> Option<Name> {
    // A folder that is there, or an extension, speaks for a path that was mistyped.
    let (org, name) = text.split_once('/')?;
    let is_path = name.contains('.') || std::path::Path::new(org).exists();
    Name::of_model(text).filter(|_| !is_path)?;
    Name::parse(&format!("hf://datasets/{text}"))?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_hub_is_the_repository_that_it_shows() {
        let named = |text: &str| Name::parse(text).unwrap().map(|name| name.to_string());
        for (page, name) in [
            ("https://huggingface.co/datasets/uoft-cs/cifar10", "hf://datasets/uoft-cs/cifar10"),
            (
                "https://huggingface.co/datasets/uoft-cs/cifar10/tree/refs%2Fpr%2F7",
                "hf://datasets/uoft-cs/cifar10@refs/pr/7",
            ),
            ("https://huggingface.co/datasets/mnist/?row=3#top", "hf://datasets/mnist"),
            ("http://hf.co/openai/clip-vit-base-patch32/tree/main", "hf://openai/clip-vit-base-patch32"),
        ] {
            assert_eq!(named(page).unwrap(), name, "{page}");
        }
        for (page, why) in [
            ("https://huggingface.co/datasets/a/b/blob/main/c.parquet", "whose name is hf://datasets/a/b"),
            ("https://huggingface.co/a/b/tree/main/folder", "whose name is hf://a/b"),
            ("https://huggingface.co/spaces/a/b", "which is of spaces"),
            ("https://huggingface.co", "no name of a repository"),
        ] {
            let refused = named(page).unwrap_err();
            assert!(refused.contains(why), "{page}: {refused}");
        }
        assert_eq!(Name::of_model("https://huggingface.co/a/b").unwrap().to_string(), "hf://a/b");
        assert!(Name::of_model("https://huggingface.co/datasets/a/b").is_none());
        assert!(Name::parse("https://huggingface.co.evil.org/a/b").is_none());
    }

    #[test]
    fn other_addresses_are_told_from_paths() {
        let said = |text: &str| instead_of_address(text, Some(RepoType::Dataset));
        assert_eq!(said("file:///data/my pictures").unwrap(), "name the path itself: '/data/my pictures'");
        for text in ["s3://bucket/birds", "gs://b", "http://example.org/x.zip", "S3://bucket"] {
            assert!(said(text).unwrap().contains("hf://datasets/ORG/NAME"), "{text}");
        }
        for text in ["birds", "a:b//c", "://x", "hf://datasets/a/b", "https://huggingface.co/datasets/a/b", "a b://c"] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(meant_data_set("uoft-cs/cifar10").unwrap().to_string(), "hf://datasets/uoft-cs/cifar10");
        for text in ["src/cifar10", "lists/train.csv", "birds", "a/b/c"] {
            assert_eq!(meant_data_set(text), None, "{text}");
        }
    }
}
