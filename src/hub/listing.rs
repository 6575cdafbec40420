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
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Listing {
    /// Reads what the API says of a revision: its commit and its files.
    ///
    /// # Errors
    /// Returns what is wrong with the answer.
    pub(super) fn of_answer(json: &[u8]) -> Result<(String, Listing), String> {
        let answer: Answer = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !is_commit(&answer.sha) {
            return Err("its commit is no commit".to_owned());
        }
        let mut files = BTreeMap::new();
        for Sibling { rfilename, size, blob_id, lfs } in answer.siblings {
            let (Some(size), Some(blob_id)) = (size.or(lfs.as_ref().map(|lfs| lfs.size)), blob_id) else {
                return Err("it lacks the sizes and hashes of the files".to_owned());
            };
            let (lfs_sha256, lfs_size) = lfs.map(|lfs| (lfs.sha256, lfs.size)).unzip();
            files.insert(rfilename, Listed { size, blob_id, lfs_sha256, lfs_size, xet_hash: None });
        }
        let listing = Listing { format_version: FORMAT, files };
        listing.is_sound().then_some((answer.sha, listing)).ok_or_else(|| "it names files as no repository can".into())
    }

    /// Reads the cache's file of a listing; `None` if it is of another version or damaged.
    pub(super) fn of_file(text: &str) -> Option<Listing> {
        let listing: Listing = serde_json::from_str(text).ok()?;
        (listing.format_version == FORMAT && listing.is_sound()).then_some(listing)
    }

    /// Returns whether no file leads out of the repository, and no hash is anything else.
    fn is_sound(&self) -> bool {
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        let leads_inside = |path: &String| path.split('/').all(is_part) && !path.contains(['\\', '\0']);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn answer(path: &str) -> Vec<u8> {
        let small = json!({"rfilename": path, "size": 3, "blobId": COMMIT});
        let sha256 = "ab".repeat(32);
        let large = json!({
            "rfilename": "model.safetensors", "size": 9, "blobId": COMMIT,
            "lfs": {"sha256": sha256, "size": 9, "pointerSize": 134},
        });
        json!({"sha": COMMIT, "siblings": [small, large], "private": false}).to_string().into_bytes()
    }

    #[test]
    fn the_hubs_answer_becomes_the_file_that_python_keeps() {
        let (commit, listing) = Listing::of_answer(&answer("config.json")).unwrap();
        assert_eq!((commit.as_str(), listing.paths().count()), (COMMIT, 2));
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
    fn a_file_that_would_lie_elsewhere_is_refused() {
        for path in ["../config.json", "/etc/passwd", "a/../../b", "a//b", "a\\b", ""] {
            assert!(Listing::of_answer(&answer(path)).is_err(), "{path}");
        }
        assert!(Listing::of_answer(b"<html>").is_err());
        let bare = json!({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}).to_string();
        assert!(Listing::of_answer(bare.as_bytes()).unwrap_err().contains("sizes"));
    }
}
