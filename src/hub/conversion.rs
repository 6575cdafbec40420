//! Where a model has only pickles: the pull request in which the hub's bot has converted them.
//!
//! transformers takes the same one. All files are read from it, not only the weights, so that a
//! model is one commit; where a small file of the main revision is another by now, that is said.

use serde::Deserialize;

use super::listing::at;
use super::name::short;
use super::{Found, Hub, Unanswered};
use crate::error::{Kind, Result};

/// Who converts, and what it calls the pull request.
const BOT: &str = "SFconvertbot";
const TITLE: &str = "Adding `safetensors` variant of this model";

/// What the hub's API says of a repository's discussions.
#[derive(Deserialize)]
struct Answer {
    discussions: Vec<Discussion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discussion {
    num: u64,
    title: String,
    status: String,
    #[serde(default)]
    is_pull_request: bool,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    /// There is none once the account is gone.
    #[serde(default)]
    name: String,
}

impl Discussion {
    fn is_conversion(&self) -> bool {
        let by_bot = self.author.as_ref().is_some_and(|author| author.name == BOT);
        by_bot && self.is_pull_request && self.status == "open" && self.title == TITLE
    }
}

impl Hub<'_> {
    /// Finds the pull request in which the hub's bot has converted `pickles`, the weights of a
    /// repository's main revision, and says that it is taken, and which of `companions`, the small
    /// files beside them, are others there. Returns its revision too; `None` if there is none whose
    /// own pickles have the same bytes. Makes two requests, and only one where the cache knows
    /// which it was.
    ///
    /// # Errors
    /// Fails as [`list`](Self::list) does.
    pub fn conversion(
        &self,
        named: &Found,
        pickles: &[String],
        companions: &[&str],
    ) -> Result<Option<(Found, String)>> {
        if self.environment.as_published {
            return Ok(None);
        }
        if let Some(known) = named.repository.stand_in() {
            match self.find(&named.name.at(&known)).and_then(|found| self.list(found)) {
                Ok(found) if found.agrees(named, pickles) => {
                    if !found.folder().is_dir() {
                        self.say_taken(named, pickles, &found, &known);
                    }
                    self.say_others(named, companions, &found, &known);
                    return Ok(Some((found, known)));
                }
                Err(interrupted) if interrupted.kind() == Kind::Interrupted => return Err(interrupted),
                // The main revision has other weights by now, or the pull request is gone.
                _ => {}
            }
        }
        if self.environment.offline {
            return Ok(None);
        }
        for number in self.conversions(named)? {
            let revision = format!("refs/pr/{number}");
            let found = self.list(self.find(&named.name.at(&revision))?)?;
            // It may be older than the weights of the main revision.
            if found.agrees(named, pickles) {
                self.say_taken(named, pickles, &found, &revision);
                self.say_others(named, companions, &found, &revision);
                return Ok(Some((found, revision)));
            }
        }
        Ok(None)
    }

    fn say_taken(&self, named: &Found, pickles: &[String], found: &Found, revision: &str) {
        self.watch.say(&format!(
            "{named} has its weights only as {pickle}, a pickle; {BOT}, the hub's own converter, has added them as safetensors in pull \
             request {number}, which is taken, at commit {commit}; {named}@{revision} names it",
            pickle = pickles.first().map_or("a file", String::as_str),
            number = revision.trim_start_matches("refs/pr/"),
            commit = short(&found.commit),
            named = named.name.anywhere(),
        ));
    }

    /// Warns at every run where what is read is not what the main revision has.
    fn say_others(&self, named: &Found, companions: &[&str], found: &Found, revision: &str) {
        let others: Vec<&str> =
            companions.iter().copied().filter(|file| named.hash_of(file) != found.hash_of(file)).collect();
        if !others.is_empty() {
            self.watch.say(&format!(
                "warning: {} has other bytes in {} than {revision}, from which all files are read; to read the main revision's, convert \
                 its weights yourself: docs/models.md",
                named.name.anywhere(),
                others.join(", "),
            ));
        }
    }

    /// Returns the numbers of the bot's open pull requests, the newest first.
    fn conversions(&self, named: &Found) -> Result<Vec<u64>> {
        let path = format!(
            "/api/{}/{}/discussions?p=0&type=pull_request&status=open&author={BOT}",
            named.name.of().plural(),
            named.name.id()
        );
        let asked = self.api(&named.name, &path, "the list of pull requests", false);
        let (json, _) = asked.map_err(Unanswered::error)?;
        let answer: Answer = serde_json::from_slice(&json).map_err(|error| self.nonsense(&named.name, &at(&error)))?;
        let mut numbers: Vec<u64> =
            answer.discussions.iter().filter(|one| one.is_conversion()).map(|one| one.num).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}
