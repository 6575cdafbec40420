//! A request to stop is heard wherever work goes through all pictures: at once where it was made
//! before, and at the next question where it is made in between. What asks within itself is tested
//! beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use microclip_pipe::dka::LOGIT_SCALE;
use microclip_pipe::error::Kind;
use microclip_pipe::fusion::matrix::Matrix;
use microclip_pipe::fusion::transduction::{Method, Transduction};
use microclip_pipe::image::{Decoding, ExifOrientation, Limits};
use microclip_pipe::pipeline::run::{Options, run};
use microclip_pipe::runs::lookup::Upto;
use microclip_pipe::stage::answers::{Mixture, transduced};
use microclip_pipe::stage::describe::Heads;
use microclip_pipe::stage::job::Job;
use microclip_pipe::stage::pictures::Pictures;
use microclip_pipe::stage::progress::{Progress, Silent};
use microclip_pipe::stage::{calibrate, evaluate, features, prior};
use microclip_pipe::stop::Stop;
use microclip_pipe::store::space::Space;
use tch::Tensor;

use crate::pipeline::Pipeline;
use crate::small_store;

/// Does the work until it asks no more: every stop before that is heard. Returns how often it asks.
#[track_caller]
fn questions<T>(work: impl Fn(&Stop) -> microclip_pipe::Result<T>) -> u64 {
    for asked in 0.. {
        match work(&Stop::after(asked)) {
            Ok(_) => return asked,
            Err(error) => assert_eq!(error.kind(), Kind::Interrupted, "after {asked} questions: {error}"),
        }
    }
    unreachable!()
}

#[test]
fn whatever_reads_rows_asks_for_every_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = small_store::build(dir.path());
    let partition = |table: &str, name: &str| store.partition(table, name).unwrap();
    let decoding = Decoding { limits: Limits::default(), orientation: ExifOrientation::Apply };
    let pictures = Pictures::open(&partition("images", "flowers"), decoding).unwrap();
    let all: Vec<usize> = (0..pictures.rows().len()).collect();
    let (whole, composites) = (partition("embeddings", "img-1"), partition("composites", "comp-1"));
    // A batch of ids, then one of vectors.
    assert_eq!(questions(|stop| features::vectors(&whole, "cls_feature", &pictures, stop)), 2);
    assert_eq!(questions(|stop| features::tensors(&whole, "mask", &pictures, stop)), 2);
    assert_eq!(questions(|stop| features::tensors(&whole, "patch_tokens", &pictures, stop)), 2);
    assert_eq!(questions(|stop| features::composites(&composites, &pictures, stop)), 2);
    assert_eq!(questions(|stop| evaluate::labels(&pictures, "flowers", &store, stop)), 1);
    // Two passes, each a part of its own.
    assert_eq!(questions(|stop| calibrate::last_labels("r1", 1, &pictures, &store, stop)), 2);

    let head = || Tensor::eye(2, tch::kind::FLOAT_CPU);
    let heads = Heads { names: head(), descriptions: head(), frozen: head() };
    // Whole pictures and composites, two each, and the products with the classifier.
    assert_eq!(questions(|stop| prior::multi_view(&pictures, &heads, &whole, &composites, stop)), 5);
    let logits = Tensor::rand([all.len() as i64, 3], tch::kind::FLOAT_CPU).into();
    let write = |stop: &Stop| evaluate::write_predictions("r1", &pictures, &logits, &vec![0; all.len()], &store, stop);
    assert_eq!(questions(write), 1);
    // So many classes that two pictures are a block.
    let wide = Tensor::rand([all.len() as i64, 1_500_000], tch::kind::FLOAT_CPU).into();
    let train: Vec<i64> = (0..all.len() as i64).collect();
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let write = |stop: &Stop| {
        let job = Job { store: &store, stop, progress: &progress };
        prior::write(&Space::new("prior"), &pictures, &train, &wide, job).map(drop)
    };
    // Each block is written, and read back.
    assert_eq!(questions(write), 2 * all.len().div_ceil(2) as u64);
}

#[test]
fn whatever_works_on_large_tables_asks_for_every_block() {
    let (pictures, classes, width) = (2_100, 40, 8);
    let random = |rows: i64, columns: i64| Tensor::randn([rows, columns], tch::kind::FLOAT_CPU);
    let (features, head) = (random(pictures, width), random(classes, width));
    let logits = Matrix::from(features.matmul(&head.tr()));
    let features = Matrix::from(features);
    assert_eq!(questions(|stop| evaluate::nearest(&features, &head, stop)), 1);
    // With 100,000 classes, 41 pictures are a block.
    let (few, many) = (random(400, 64).into(), random(100_000, 64));
    assert_eq!(questions(|stop| evaluate::nearest(&few, &many, stop)), 10);

    let stata = Transduction { method: Method::Stata, neighbours: 2, iterations: 1, ..Transduction::default() };
    // Three blocks of neighbours, three tables of the start, one of densities, five of answers and
    // two of a fit: each is small enough for one block. Softmax and logarithms are computed where
    // they are read.
    let transduced = |stop: &Stop| transduced(&features, &logits, &head, stata, 1.0, stop);
    assert_eq!(questions(transduced), 3 + 3 + (1 + 5 + 2));

    // A block of pictures at 40 classes is 104,857, and the best classes of more are found in two.
    let more = Matrix::from(random(104_860, classes));
    let mixed = Mixture { gamma: 0.5, scale: LOGIT_SCALE }.of_all(&more, &more);
    assert_eq!(questions(|stop| evaluate::answers(&mixed, stop)), 2);
}

/// Asks to stop once so many pictures were embedded.
struct StopAfter {
    pictures: u64,
    embedding: AtomicBool,
    embedded: AtomicU64,
    stop: Stop,
}

impl Progress for StopAfter {
    fn begin(&self, stage: &str, _: &'static str, _: u64, _: u64) {
        self.embedding.store(["embed", "views"].contains(&stage), Ordering::Relaxed);
    }
    fn advance(&self, done: u64) {
        let is_embedding = self.embedding.load(Ordering::Relaxed);
        if is_embedding && self.embedded.fetch_add(done, Ordering::Relaxed) + done >= self.pictures {
            self.stop.request();
        }
    }
    fn end(&self, _: &str) {}
    fn say(&self, _: &str) {}
}

/// Pictures and their crops are fed together, in batches of different sizes: none must wait for the
/// other once both are to end.
#[test]
fn embedding_ends_when_it_is_asked_to_and_goes_on_from_there() {
    let pipeline = Pipeline::new(10, 2);
    pipeline.ok("ingest", &[]);
    for (batch, pictures) in [("8", 3), ("16", 5)] {
        let store = pipeline.path(batch);
        crate::pipeline::copy(&pipeline.path("store"), &store);
        let set = [format!("embed.batch={batch}"), "embed.part_rows=64".to_owned(), format!("store={store:?}")];
        let spec = microclip_pipe::config::load(&pipeline.path("pipeline.toml"), &set).unwrap();
        let mut stopped = 0;
        loop {
            let (stop, zero) = (Stop::default(), || AtomicU64::new(0));
            let progress = StopAfter { pictures, embedding: false.into(), embedded: zero(), stop: stop.clone() };
            let options = Options { stop, progress: Arc::new(progress), cluster: None };
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let work = async { tokio::time::timeout(Duration::from_secs(60), run(&spec, Upto::Embed, &options)).await };
            let ended = runtime.block_on(work);
            runtime.shutdown_background();
            match ended.expect("it hangs") {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), Kind::Interrupted, "{error}"),
            }
            stopped += 1;
        }
        assert!(stopped >= 2, "{stopped}");
    }
}
