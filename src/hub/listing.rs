//! The files of a repository at a commit, with their sizes and hashes: as the hub's API gives them,
//! and as `huggingface_hub` keeps them in the cache.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::is_commit;

/// The version of the cache's file of a listing that is read and written here.
const FORMAT: u64 = 1;

/// The files of a commit, by their paths in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    format_version: u64,
    files: BTreeMap<String, Listed>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    size: u64,
    /// Git's SHA-1 of the file, or of the pointer of LFS in its place.
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl Listed {
    /// Returns what the file's bytes are called in the cache: their SHA-256 for a large file, Git's
    /// SHA-1 for a small one. The hub gives it as the entity tag.
    pub(super) fn etag(&self) -> &str {
        self.sha256().unwrap_or(&self.blob_id)
    }

    /// Returns the SHA-256 of the bytes, which is known of large files.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.lfs_sha256.as_deref()
    }

    /// Returns the length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.lfs_size.unwrap_or(self.size)
    }

    /// Returns whether hashes are hashes: they become names of files.
    fn is_sound(&self) -> bool {
        let hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex(&self.blob_id, 40) && self.lfs_sha256.as_ref().is_none_or(|hash| hex(hash, 64))
    }
}

/// What the hub's API says of a revision.
#[derive(Deserialize)]
struct Revision {
    sha: String,
}

/// A line of what the API says of a commit's tree.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: String,
    size: u64,
    lfs: Option<Lfs>,
    #[serde(rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Reads the commit in what the API says of a revision.
///
/// # Errors
/// Returns what is wrong with the answer.
pub(super) fn commit_of_answer(json: &[u8]) -> Result<String, String> {
    let Revision { sha } = serde_json::from_slice(json).map_err(|error| at(&error))?;
    if is_commit(&sha) { Ok(sha) } else { Err("its commit is no commit".to_owned()) }
}

/// Says where an answer is not as expected. What stands there may be a secret that was sent.
pub(super) fn at(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "another kind of value than expected" } else { "no JSON" };
    format!("{what} at line {}, column {}", error.line(), error.column())
}

impl Listing {
    /// Returns a listing of no files.
    pub(super) fn empty() -> Listing {
        Listing { format_version: FORMAT, files: BTreeMap::new() }
    }

    /// Adds what the API says of a commit's tree, a page of it.
    ///
    /// # Errors
    /// Returns what is wrong with the answer.
    pub(super) fn add_page(&mut self, json: &[u8]) -> Result<(), String> {
        let entries: Vec<Entry> = serde_json::from_slice(json).map_err(|error| at(&error))?;
        for Entry { path, oid, size, lfs, xet_hash, .. } in entries.into_iter().filter(|entry| entry.kind == "file") {
            let (lfs_sha256, lfs_size) = lfs.map(|lfs| (lfs.oid, lfs.size)).unzip();
            let file = Listed { size, blob_id: oid, lfs_sha256, lfs_size, xet_hash };
            if !leads_inside(&path) || !file.is_sound() {
                return Err("it names files as no repository can".to_owned());
            }
            self.files.insert(path, file);
        }
        Ok(())
    }

    /// Reads the cache's file of a listing; `None` if it is of another version or damaged.
    pub(super) fn of_file(text: &str) -> Option<Listing> {
        let listing: Listing = serde_json::from_str(text).ok()?;
        (listing.format_version == FORMAT && listing.is_sound()).then_some(listing)
    }

    /// Returns whether no file leads out of the repository, and no hash is anything else.
    fn is_sound(&self) -> bool {
        self.files.iter().all(|(path, file)| leads_inside(path) && file.is_sound())
    }

    /// Returns the paths of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Returns whether there is a file at this path.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Returns the file at this path.
    pub(super) fn file(&self, path: &str) -> Option<&Listed> {
        self.files.get(path)
    }
}

/// Returns whether a path stays in its repository, and can be shown: a terminal obeys control
/// characters.
fn leads_inside(path: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_part) && !path.contains(|c: char| c == '\\' || c.is_control())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn page(path: &str) -> Vec<u8> {
        let small = json!({"type": "file", "path": path, "size": 3, "oid": COMMIT});
        let folder = json!({"type": "directory", "path": "data", "size": 0, "oid": COMMIT});
        let sha256 = "ab".repeat(32);
        let large = json!({
            "type": "file", "path": "model.safetensors", "size": 9, "oid": COMMIT,
            "lfs": {"oid": sha256, "size": 9, "pointerSize": 134},
        });
        json!([small, folder, large]).to_string().into_bytes()
    }

    #[test]
    fn the_hubs_answer_becomes_the_file_that_python_keeps() {
        let mut listing = Listing::empty();
        listing.add_page(&page("config.json")).unwrap();
        listing.add_page(&page("tokenizer.json")).unwrap();
        assert_eq!(listing.paths().collect::<Vec<_>>(), ["config.json", "model.safetensors", "tokenizer.json"]);
        let large = listing.file("model.safetensors").unwrap();
        assert_eq!((large.etag(), large.bytes()), ("ab".repeat(32).as_str(), 9));
        assert_eq!(listing.file("config.json").unwrap().etag(), COMMIT);
        let kept = serde_json::to_string(&listing).unwrap();
        assert!(
            kept.starts_with("{\"format_version\":1,\"files\":{\"config.json\":{\"size\":3,\"blob_id\":"),
            "{kept}"
        );
        assert_eq!(Listing::of_file(&kept), Some(listing));
        assert_eq!(Listing::of_file(&kept.replace("version\":1", "version\":2")), None);
    }

    #[test]
    fn a_file_that_would_lie_elsewhere_or_steer_a_terminal_is_refused() {
        for path in ["../config.json", "/etc/passwd", "a/../../b", "a//b", "a\\b", "", "a\u{1b}[31mb", "a\nb"] {
            assert!(Listing::empty().add_page(&page(path)).is_err(), "{path}");
        }
        assert_eq!(Listing::empty().add_page(b"<html>").unwrap_err(), "no JSON at line 1, column 1");
        let secret = json!([{"type": "Bearer hf_secret", "path": 7}]).to_string();
        let said = Listing::empty().add_page(secret.as_bytes()).unwrap_err();
        assert!(said.starts_with("another kind of value") && !said.contains("secret"), "{said}");
        assert!(commit_of_answer(json!({"sha": "main"}).to_string().as_bytes()).is_err());
    }
}
