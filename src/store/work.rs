//! What a process is doing to a store, and with what else that goes together.
//!
//! Processes work on a store at the same time where they write different things. Each says what it
//! does before it begins ([`claim`](super::claim)); this is what it can say.

use std::fmt;

use super::shard::Shard;

/// Something that a process does to a store.
///
/// While it does one thing, it only waits for what comes later in this list, or for several that it
/// claims at once: so no two processes wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Writes the tables of an ablation.
    Ablation(String),
    /// Brings the tables and features of a dataset up to date.
    Dataset(String),
    /// Adapts and measures a run.
    Run(String),
    /// Computes the features of one shard of a dataset's pictures.
    Shard(String, Shard),
    /// Does what all shards of a dataset need: its tables, its sentences, its neighbours.
    Common(String),
    /// Replaces the tables of a dataset by those of other pictures.
    Replacing(String),
    /// Writes the features of sentences in a space, which lists of sentences share.
    Sentences(String),
    /// Relies on the tables of a dataset.
    Relying(String),
    /// Finds a prior, or writes it.
    Prior(String),
    /// Asks a language model, and writes its answers, or the sentences of a dataset.
    Asking(String),
}

impl Work {
    /// Returns whether two processes must not do these at the same time: both would write the same,
    /// or one would write what the other relies on.
    pub fn excludes(&self, other: &Work) -> bool {
        use Work::{Ablation, Asking, Common, Dataset, Prior, Relying, Replacing, Run, Sentences};
        match (self, other) {
            (Work::Shard(one, shard), Work::Shard(two, other)) => one == two && shard.overlaps(*other),
            (Dataset(one), Dataset(two) | Work::Shard(two, _)) | (Work::Shard(one, _), Dataset(two)) => one == two,
            (Replacing(one), Relying(two) | Replacing(two)) | (Relying(one), Replacing(two)) => one == two,
            (Common(one), Common(two))
            | (Sentences(one), Sentences(two))
            | (Prior(one), Prior(two))
            | (Asking(one), Asking(two))
            | (Run(one), Run(two))
            | (Ablation(one), Ablation(two)) => one == two,
            _ => false,
        }
    }

    /// Returns it as part of a file's name.
    pub(super) fn name(&self) -> String {
        match self {
            Work::Shard(dataset, shard) => {
                format!("{}.{dataset}.{}", self.kind(), shard.to_string().replace('/', "-of-"))
            }
            Work::Dataset(name)
            | Work::Common(name)
            | Work::Replacing(name)
            | Work::Relying(name)
            | Work::Sentences(name)
            | Work::Prior(name)
            | Work::Asking(name)
            | Work::Run(name)
            | Work::Ablation(name) => format!("{}.{name}", self.kind()),
        }
    }

    /// Reads what [`name`](Self::name) wrote.
    pub(super) fn parse(name: &str) -> Option<Work> {
        let (kind, of) = name.split_once('.')?;
        let owned = of.to_owned();
        Some(match kind {
            "dataset" => Work::Dataset(owned),
            "shard" => {
                let (dataset, shard) = of.rsplit_once('.')?;
                Work::Shard(dataset.to_owned(), shard.replacen("-of-", "/", 1).parse().ok()?)
            }
            "common" => Work::Common(owned),
            "replacing" => Work::Replacing(owned),
            "relying" => Work::Relying(owned),
            "sentences" => Work::Sentences(owned),
            "prior" => Work::Prior(owned),
            "asking" => Work::Asking(owned),
            "run" => Work::Run(owned),
            "ablation" => Work::Ablation(owned),
            _ => return None,
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Work::Dataset(_) => "dataset",
            Work::Shard(..) => "shard",
            Work::Common(_) => "common",
            Work::Replacing(_) => "replacing",
            Work::Relying(_) => "relying",
            Work::Sentences(_) => "sentences",
            Work::Prior(_) => "prior",
            Work::Asking(_) => "asking",
            Work::Run(_) => "run",
            Work::Ablation(_) => "ablation",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Dataset(dataset) | Work::Common(dataset) | Work::Replacing(dataset) | Work::Relying(dataset) => {
                write!(f, "dataset {dataset}")
            }
            Work::Shard(dataset, shard) => write!(f, "shard {shard} of dataset {dataset}"),
            Work::Sentences(space) => write!(f, "sentences {space}"),
            Work::Prior(prior) => write!(f, "prior {prior}"),
            Work::Asking(of) => write!(f, "answers {of}"),
            Work::Run(run) => write!(f, "run {run}"),
            Work::Ablation(name) => write!(f, "ablation {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str) -> Vec<Work> {
        let own = || name.to_owned();
        let shard = |text: &str| Work::Shard(own(), text.parse().unwrap());
        vec![
            Work::Dataset(own()),
            shard("1/2"),
            shard("2/2"),
            shard("1/3"),
            Work::Common(own()),
            Work::Replacing(own()),
            Work::Relying(own()),
            Work::Sentences(own()),
            Work::Prior(own()),
            Work::Asking(own()),
            Work::Run(own()),
            Work::Ablation(own()),
        ]
    }

    #[test]
    fn work_is_read_from_its_name() {
        for work in all("birds-1.5_x-b45f0a75") {
            assert_eq!(Work::parse(&work.name()), Some(work));
        }
        for name in ["", "dataset", "shard.birds", "shard.birds.3-of-2", "other.birds"] {
            assert_eq!(Work::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_writes_the_same_excludes_each_other_and_nothing_else_does() {
        let (birds, cars) = (all("birds"), all("cars"));
        let excluded = |work: &Work| {
            let others = birds.iter().filter(|other| work.excludes(other));
            others.map(|other| other.name().replace("birds", "x")).collect::<Vec<_>>().join(" ")
        };
        let found: Vec<String> = birds.iter().map(|work| format!("{work}: {}", excluded(work))).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        dataset birds: dataset.x shard.x.1-of-2 shard.x.2-of-2 shard.x.1-of-3
        shard 1/2 of dataset birds: dataset.x shard.x.1-of-2 shard.x.1-of-3
        shard 2/2 of dataset birds: dataset.x shard.x.2-of-2 shard.x.1-of-3
        shard 1/3 of dataset birds: dataset.x shard.x.1-of-2 shard.x.2-of-2 shard.x.1-of-3
        dataset birds: common.x
        dataset birds: replacing.x relying.x
        dataset birds: replacing.x
        sentences birds: sentences.x
        prior birds: prior.x
        answers birds: asking.x
        run birds: run.x
        ablation birds: ablation.x
        ");
        for (one, two) in birds.iter().flat_map(|one| birds.iter().chain(&cars).map(move |two| (one, two))) {
            assert_eq!(one.excludes(two), two.excludes(one), "{one} and {two}");
        }
        assert!(birds.iter().all(|one| cars.iter().all(|two| !one.excludes(two))), "other datasets");
    }
}
