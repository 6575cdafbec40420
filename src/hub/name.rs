//! Names of repositories: `ORG/NAME` and `hf://ORG/NAME@REVISION` of models,
//! `hf://datasets/ORG/NAME@REVISION` of data sets.
//!
//! A pipeline's settings hold a name in the place of a path, always as `hf://`, which no absolute
//! path begins with.

use std::fmt;
use std::path::Path;

use super::address;

/// The revision that is meant where none is named.
pub(super) const MAIN: &str = "main";

/// What a name begins with.
const SCHEME: &str = "hf://";

/// The branch to which the hub converts data sets of every form.
pub(crate) const CONVERTED: &str = "refs/convert/parquet";

/// What a repository holds; `repo_type` of Python's `huggingface_hub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepoType {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl RepoType {
    /// Returns what addresses and folders of the cache call it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            RepoType::Model => "models",
            RepoType::Dataset => "datasets",
        }
    }

    /// Returns what messages call it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            RepoType::Model => "model",
            RepoType::Dataset => "data set",
        }
    }
}

/// A repository of the hub at a revision: a branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    of: RepoType,
    id: String,
    revision: String,
}

impl Name {
    /// Reads a name that begins with `hf://`, or the address of a repository's page; `None` if the
    /// text is neither.
    ///
    /// # Errors
    /// Returns what is wrong with it, as the end of a sentence: `... , which has no ...`.
    pub fn parse(text: &str) -> Option<Result<Name, String>> {
        let of_page = match address::of_page(text) {
            Some(Ok(name)) => name,
            Some(Err(why)) => return Some(Err(why)),
            None => text.to_owned(),
        };
        let rest = of_page.strip_prefix(SCHEME)?;
        let (of, rest) = match rest.split_once('/') {
            Some(("datasets", rest)) => (RepoType::Dataset, rest),
            Some(("models", rest)) => (RepoType::Model, rest),
            Some((other @ ("spaces" | "buckets" | "kernels"), _)) => {
                return Some(Err(format!("which is of {other}, not of models or data sets")));
            }
            _ => (RepoType::Model, rest),
        };
        let (id, revision) = rest.split_once('@').unwrap_or((rest, MAIN));
        // Data sets of before organisations have a name alone.
        if !is_id(id) || (of == RepoType::Model && !id.contains('/')) {
            let form = if of == RepoType::Dataset { "hf://datasets/ORG/NAME" } else { "hf://ORG/NAME" };
            return Some(Err(format!("which is no name of a repository: {form}, or {form}@REVISION")));
        }
        if !is_revision(revision) {
            return Some(Err("whose revision is no branch, tag or commit".to_owned()));
        }
        Some(Ok(Name { of, id: id.to_owned(), revision: revision.to_owned() }))
    }

    /// Reads the short name of a model, `ORG/NAME`, as transformers takes it, or the address of its
    /// page.
    pub fn of_model(text: &str) -> Option<Name> {
        if address::of_page(text).is_some() {
            return Name::parse(text)?.ok().filter(|name| name.of == RepoType::Model);
        }
        let is_file = |extension: &str| text.rsplit_once('.').is_some_and(|(_, last)| last == extension);
        let file = ["safetensors", "bin", "pt", "pth", "ckpt", "json", "git"].into_iter().any(is_file);
        // No organisation can have one of these names, and folders often do.
        let reserved = text.split_once('/').is_none_or(|(org, _)| ["models", "datasets", "spaces"].contains(&org));
        (is_id(text) && !file && !reserved).then(|| Name {
            of: RepoType::Model,
            id: text.to_owned(),
            revision: MAIN.to_owned(),
        })
    }

    /// Returns the name that settings hold in the place of a path, if it is one.
    pub fn in_place_of(path: &Path) -> Option<Name> {
        Name::parse(path.to_str()?)?.ok()
    }

    /// Reads the name of a folder of the cache, `models--ORG--NAME`.
    pub(super) fn of_folder(folder: &str, revision: &str) -> Option<Name> {
        let (of, id) = [RepoType::Model, RepoType::Dataset].into_iter().find_map(|of| {
            let rest = folder.strip_prefix(of.plural())?.strip_prefix("--")?;
            Some((of, rest.replace("--", "/")))
        })?;
        is_id(&id).then(|| Name { of, id, revision: revision.to_owned() })
    }

    /// Returns the name of the folder of the cache that the repository has.
    pub(super) fn folder(&self) -> String {
        format!("{}--{}", self.of.plural(), self.id.replace('/', "--"))
    }

    /// Returns what the repository holds.
    pub fn of(&self) -> RepoType {
        self.of
    }

    /// Returns `ORG/NAME`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the revision: a branch, a tag, or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns whether no revision was named.
    pub(crate) fn is_main(&self) -> bool {
        self.revision == MAIN
    }

    /// Returns the commit, if the revision is one.
    pub fn commit(&self) -> Option<&str> {
        Some(self.revision.as_str()).filter(|revision| is_commit(revision))
    }

    /// Returns the name of the same repository at another revision.
    pub(crate) fn at(&self, revision: &str) -> Name {
        Name { revision: revision.to_owned(), ..self.clone() }
    }

    /// Returns the name of the repository, whatever its revision.
    pub(crate) fn anywhere(&self) -> Name {
        self.at(MAIN)
    }
}

/// Returns a commit as people read it: its first eight digits.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.of == RepoType::Dataset { "datasets/" } else { "" };
        write!(f, "{SCHEME}{of}{}", self.id)?;
        if self.is_main() { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

/// Returns whether a text is the name of a commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// Returns whether a text is `ORG/NAME`, or the `NAME` of a repository of before organisations, by
/// the hub's rules.
fn is_id(text: &str) -> bool {
    let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(of_names) && !part.starts_with(['-', '.']) && !part.ends_with(['-', '.'])
    };
    let parts: Vec<&str> = text.split('/').collect();
    text.len() <= 96
        && parts.len() <= 2
        && parts.into_iter().all(is_part)
        && !text.contains("--")
        && !text.contains("..")
}

/// Returns whether a text may be a branch or tag, by Git's rules; it becomes a path of the cache.
pub(super) fn is_revision(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\\~^:?*[@#%\"'<>|&;$`".contains(c);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    text.len() <= 200 && !text.contains(odd) && !text.contains("..") && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let of = |text: &str| Name::parse(text).unwrap().unwrap();
        for text in [
            "hf://openai/clip-vit-base-patch32",
            "hf://openai/clip-vit-base-patch32@refs/pr/7",
            "hf://datasets/uoft-cs/cifar10@v1.0",
            "hf://datasets/cifar10",
        ] {
            assert_eq!(of(text).to_string(), text);
        }
        assert_eq!(of("hf://models/openai/clip@main").to_string(), "hf://openai/clip");
        let pinned = of("hf://datasets/a/b@0123456789abcdef0123456789abcdef01234567");
        assert_eq!((pinned.commit().map(short), pinned.folder()), (Some("01234567"), "datasets--a--b".to_owned()));
        assert_eq!(Name::of_folder("datasets--a--b", "main"), Some(pinned.anywhere()));
        assert_eq!(Name::of_model("openai/clip").unwrap().to_string(), "hf://openai/clip");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "clip",
            "models/clip",
            "a/b/c",
            "../clip",
            "~/clip",
            "./clip",
            "a b/c",
            "a/b.safetensors",
            "/a/b",
            "a--b/c",
            "",
        ] {
            assert_eq!(Name::of_model(text), None, "{text}");
        }
        for text in [
            "hf://",
            "hf://clip",
            "hf://a/b/c",
            "hf://spaces/a/b",
            "hf://datasets/",
            "hf://a/../b",
            "hf://a/b@",
            "hf://a/b@../../etc",
            "hf://a/b@x y",
            "hf://a/b@.hidden",
            "hf://a/b@/etc",
        ] {
            assert!(Name::parse(text).unwrap().is_err(), "{text}");
        }
        assert!(Name::parse("/models/clip").is_none());
    }
}
