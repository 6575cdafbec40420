//! Flipped bytes: found by checksum, named, set aside and computed anew.
//!
//! `MICROCLIP_FLIPS` says how many bytes are flipped in each file (40 if it does not), and
//! `MICROCLIP_SEED` which.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pipeline::{Pipeline, entries};
use crate::server::{Reply, Server};
use microclip_pipe::stage::adapt::checkpoint::Checkpoint;
use microclip_pipe::store::inventory::{self, examine};
use microclip_pipe::store::seal::Verdict;
use microclip_pipe::store::{Store, reader};
use microclip_pipe::table::schema;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rng() -> ChaCha8Rng {
    let seed = std::env::var("MICROCLIP_SEED").map_or(0, |seed| seed.parse().unwrap());
    ChaCha8Rng::seed_from_u64(seed)
}

/// One file of each kind: the newest of every table, and the newest checkpoint.
fn one_of_each_kind(store: &Path) -> Vec<PathBuf> {
    let tables: Vec<&str> = schema::all().iter().map(|table| table.name()).collect();
    let found = inventory::holdings(&Store::open_read(store).unwrap(), &tables).unwrap();
    let mut kinds: Vec<PathBuf> = Vec::new();
    for holding in found {
        if kinds.iter().all(|kind| !kind.starts_with(store.join(&holding.table))) {
            kinds.push(holding.files.last().unwrap().clone());
        }
    }
    kinds
}

fn flip(path: &Path, rng: &mut ChaCha8Rng) {
    let mut bytes = fs::read(path).unwrap();
    let at = rng.random_range(0..bytes.len());
    bytes[at] ^= 1 << rng.random_range(0..8);
    fs::write(path, bytes).unwrap();
}

/// The name of the folder that a file lies in.
fn folder_name(path: &Path) -> String {
    path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn no_flipped_byte_of_any_kind_of_file_goes_unseen() {
    let flips: usize = std::env::var("MICROCLIP_FLIPS").map_or(40, |flips| flips.parse().unwrap());
    let mut rng = rng();
    let pipeline = Pipeline::new(3, 1);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    // This run has the largest logits of its passes in place of all.
    pipeline.ok("run", &["--set", "adapt.tune=head", "--set", "adapt.keep=top:2", "--seed", "1"]);
    // Answers that were paid for are to be trusted like everything else.
    let server = Server::new(|_, _| Reply::Well);
    let endpoint = format!("describe.endpoint={}", server.endpoint());
    pipeline.ok("describe", &["--set", &endpoint, "--set", "describe.model=m"]);
    let kinds = one_of_each_kind(&pipeline.path("store"));
    // All tables but `ablations`, `criteria`, `block_tokens`, `view_features` and the second
    // model's two, which this pipeline does not write, and `read_files`, which it removes; and the
    // checkpoints.
    assert_eq!(kinds.len(), schema::all().len() - 7 + 1);
    fs::create_dir(pipeline.path("copies")).unwrap();
    for kind in &kinds {
        let whole = fs::read(kind).unwrap();
        // A checkpoint is known by its name and its run as well.
        let copy = pipeline.path("copies").join(kind.file_name().unwrap());
        let run = folder_name(kind);
        let is_checkpoint = kind.extension() == Some("safetensors".as_ref());
        fs::write(&copy, &whole).unwrap();
        assert_eq!(Checkpoint::read(&copy, &run).is_ok(), is_checkpoint, "{}", kind.display());
        assert_eq!(examine(kind).unwrap(), Verdict::Sound, "{}", kind.display());
        // The ends have the lengths that everything else is found by.
        let ends = (0..12).chain(whole.len() - 12..whole.len());
        let places = ends.chain((0..flips).map(|_| rng.random_range(0..whole.len()))).collect::<Vec<_>>();
        for at in places {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << rng.random_range(0..8);
            fs::write(&copy, &bytes).unwrap();
            let verdict = examine(&copy).unwrap();
            assert!(matches!(verdict, Verdict::Damaged(_)), "{}, byte {at}: {verdict:?}", kind.display());
            if is_checkpoint {
                assert!(Checkpoint::read(&copy, &run).is_err(), "byte {at} of a checkpoint that is read into memory");
            }
        }
        for length in [0, 1, 8, whole.len() / 2, whole.len() - 1] {
            fs::write(&copy, &whole[..length]).unwrap();
            assert!(matches!(examine(&copy).unwrap(), Verdict::Damaged(_)), "{} cut at {length}", kind.display());
            assert!(Checkpoint::read(&copy, &run).is_err());
        }
        fs::write(&copy, [&whole[..], b"\0"].concat()).unwrap();
        assert!(matches!(examine(&copy).unwrap(), Verdict::Damaged(_)), "{} with a byte more", kind.display());
    }
}

#[test]
fn reading_a_damaged_part_never_panics() {
    let mut rng = rng();
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("embed", &[]);
    let copy = pipeline.path("copy.parquet");
    for kind in one_of_each_kind(&pipeline.path("store")) {
        for _ in 0..40 {
            fs::copy(&kind, &copy).unwrap();
            flip(&copy, &mut rng);
            let read = reader::batches_of(vec![copy.clone()], None, 64).collect::<Result<Vec<_>, _>>();
            if let Err(error) = read {
                assert!(error.to_string().contains("copy.parquet"), "{error}");
            }
        }
    }
}

#[test]
fn what_is_damaged_is_named_set_aside_and_computed_anew() {
    let mut rng = rng();
    let pipeline = Pipeline::new(4, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    pipeline.ok("run", &["--store", &at("whole")]);
    pipeline.ok("run", &[]);
    let store = pipeline.path("store");
    assert!(pipeline.ok("cache verify", &[]).contains("all as they were written"));
    let kinds = one_of_each_kind(&store);
    kinds.iter().for_each(|kind| flip(kind, &mut rng));

    let found = pipeline.output("cache verify", &[]);
    let named = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1));
    for kind in &kinds {
        assert!(named.contains(&format!("{}: damaged", kind.display())), "{}\n{named}", kind.display());
    }
    assert_eq!(named.lines().count(), kinds.len());

    let damaged: Vec<Vec<u8>> = kinds.iter().map(|kind| fs::read(kind).unwrap()).collect();
    let again = pipeline.output("run", &[]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}");
    for (kind, bytes) in kinds.iter().zip(damaged) {
        // The tables of a dataset are replaced together as soon as one is lost, and a run's results
        // whenever it is done.
        let replaced = [
            "rejected",
            "labels",
            "equal_files",
            "constant_pictures",
            "images",
            "descriptions",
            "prior_logits",
            "predictions",
            "metrics",
        ];
        let place = kind.strip_prefix(&store).unwrap();
        if replaced.iter().any(|table| place.starts_with(table)) {
            continue;
        }
        // The last pass is done again because its tables are lost; its checkpoint is damaged as
        // well.
        let why = if place.starts_with("checkpoints") {
            "is after 3 passes, and the tables of only 2 are there"
        } else {
            "is damaged"
        };
        assert!(said.contains(&format!("warning: {} {why}", kind.display())), "{}\n{said}", kind.display());
        assert!(fs::read(store.join("quarantine").join(place)).unwrap() == bytes, "{} is kept", kind.display());
    }
    assert!(pipeline.ok("cache verify", &[]).contains("all as they were written"));
    crate::rows::assert_same_rows(&store, &pipeline.path("whole"));
    assert!(pipeline.weights("store") == pipeline.weights("whole"));
    let quiet = pipeline.output("run", &[]);
    assert!(!String::from_utf8_lossy(&quiet.stderr).contains("warning"), "all is well again");
}

#[test]
fn a_lost_table_of_a_pass_takes_later_checkpoints_with_it() {
    let pipeline = Pipeline::new(4, 1);
    let at = |name: &str| pipeline.path(name).to_str().unwrap().to_owned();
    let epochs = ["--set", "adapt.epochs=4", "--set", "adapt.tune=head"];
    pipeline.ok("run", &[&epochs[..], &["--store", &at("whole")]].concat());
    pipeline.ok("run", &epochs);
    let labels = entries(&entries(&pipeline.path("store/pseudo_labels"))[0]);
    fs::remove_file(&labels[1]).unwrap();
    let again = pipeline.output("run", &epochs);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && said.contains("and the tables of only 1 are there"), "{said}");
    crate::rows::assert_same_rows(&pipeline.path("store"), &pipeline.path("whole"));
    assert!(pipeline.weights("store") == pipeline.weights("whole"));
}

#[test]
fn weights_that_changed_on_disk_are_noticed_and_nothing_is_mixed() {
    let pipeline = Pipeline::new(2, 1);
    let model = pipeline.path("model");
    fs::create_dir(&model).unwrap();
    for path in entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora")) {
        fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    let set = format!("model.path={}", model.display());
    let arguments = ["--set", "adapt.tune=none", "--set", &set];
    pipeline.ok("run", &arguments);
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let output = pipeline.output("run", &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("warning: the weights in {} are not those", model.display())), "{said}");
    assert_eq!(entries(&pipeline.path("store/embeddings")).len(), 2, "each has a space of its own");
    let again = pipeline.output("run", &arguments);
    assert!(!String::from_utf8_lossy(&again.stderr).contains("warning"), "said once");
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_one_before_it_gone_on_from() {
    let pipeline = Pipeline::new(3, 1);
    let head = ["--set", "adapt.tune=head"];
    pipeline.ok("run", &head);
    let weights = pipeline.weights("store");
    flip(&pipeline.checkpoint("store"), &mut rng());
    let output = pipeline.output("run", &head);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("pass-0003.safetensors is damaged") && said.contains("2 of them done before"), "{said}");
    assert!(pipeline.weights("store") == weights);
}
