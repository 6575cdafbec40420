//! The real binary, killed at random moments in every stage: nothing is lost, nothing is there
//! twice, and the end is the same.
//!
//! `MICROCLIP_KILLS` says how often (20 if it does not); `MICROCLIP_SEED` begins another sequence
//! of moments.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::pipeline::Pipeline;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// As progress names them; what comes before the first is `start`.
const STAGES: [&str; 6] = ["start", "ingest", "describe", "embed", "adapt", "evaluate"];

/// A store that was killed so often is let go on to its end.
const KILLS_OF_A_STORE: usize = 7;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// A run under way, and the stages that it says it has come to.
struct Run {
    child: std::process::Child,
    stages: Receiver<usize>,
}

impl Run {
    fn start(pipeline: &Pipeline, store: &str) -> Self {
        let mut child = pipeline.start("run", &["--store", pipeline.path(store).to_str().unwrap()]);
        let (send, stages) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let stage = line.split_whitespace().next().and_then(|word| STAGES.iter().position(|s| *s == word));
                if stage.is_some_and(|stage| send.send(stage).is_err()) {
                    return;
                }
            }
        });
        Run { child, stages }
    }

    /// Waits until it is in that stage, and the time after that; returns the stage that it is in
    /// then. None where it ended before.
    fn until(&mut self, stage: usize, then: Duration) -> Option<usize> {
        let mut now = 0;
        while now < stage {
            now = now.max(self.stages.recv().ok()?);
        }
        let end = Instant::now() + then;
        loop {
            match self.stages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(stage) => now = now.max(stage),
                Err(RecvTimeoutError::Timeout) => return self.child.try_wait().unwrap().is_none().then_some(now),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    fn end(mut self) {
        while self.stages.recv().is_ok() {}
        assert!(self.child.wait().unwrap().success(), "a run after kills fails");
    }
}

/// The pictures into the tables, and nothing else.
fn ingest(pipeline: &Pipeline, store: &str) {
    pipeline.ok("ingest", &["--store", pipeline.path(store).to_str().unwrap()]);
}

/// How long each stage takes when nothing disturbs it.
fn undisturbed(pipeline: &Pipeline, store: &str) -> [Duration; STAGES.len()] {
    let (mut lengths, mut at, mut began) = ([Duration::ZERO; STAGES.len()], 0, Instant::now());
    let run = Run::start(pipeline, store);
    while let Ok(stage) = run.stages.recv() {
        lengths[at] += began.elapsed();
        (at, began) = (stage, Instant::now());
    }
    lengths[at] += began.elapsed();
    run.end();
    lengths
}

#[test]
fn a_run_that_is_killed_at_any_moment_ends_as_an_undisturbed_one() {
    let kills = from_environment("MICROCLIP_KILLS", 20) as usize;
    let counts = killed(&Pipeline::new(4, 1), kills, 0..STAGES.len());
    if kills >= 200 {
        assert!(counts.values().all(|count| *count > 0), "every stage is hit: {counts:?}");
    }
}

#[test]
fn so_does_one_that_removes_logits_of_earlier_passes() {
    let kills = from_environment("MICROCLIP_KILLS", 20) as usize;
    let pipeline = Pipeline::new(4, 1);
    let text = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    pipeline.write("pipeline.toml", &text.replace("epochs = 3", "epochs = 6\ntune = \"head\"\nkeep = \"top:2\""));
    let adapt = STAGES.iter().position(|stage| *stage == "adapt").unwrap();
    killed(&pipeline, kills.div_ceil(2), adapt..adapt + 1);
    let left = crate::rows::rows(&pipeline.path("undisturbed"));
    assert_eq!((left["fusion_logits"].len(), left["top_logits"].len()), (0, 6 * 12));
}

/// Kills runs in these stages, so often in all, and compares what they come to; returns how often
/// each stage was hit.
fn killed(pipeline: &Pipeline, kills: usize, wanted: std::ops::Range<usize>) -> BTreeMap<&'static str, usize> {
    let seed = from_environment("MICROCLIP_SEED", 0);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Pictures are embedded while they are ingested, or, where they are ingested already, in a
    // stage of its own.
    let together = undisturbed(pipeline, "undisturbed");
    ingest(pipeline, "apart");
    let apart = undisturbed(pipeline, "apart");
    crate::rows::assert_same_rows(&pipeline.path("apart"), &pipeline.path("undisturbed"));
    let weights = pipeline.weights("undisturbed");
    let mut counts = BTreeMap::from(STAGES.map(|stage| (stage, 0)));
    let (mut done, mut stores) = (0, 0);
    while done < kills {
        let store = format!("killed-{stores}");
        let path = pipeline.path(&store);
        let lengths = if stores % 2 == 0 { &together } else { &apart };
        if stores % 2 == 1 {
            ingest(pipeline, &store);
        }
        stores += 1;
        for n in 0.. {
            let mut run = Run::start(pipeline, &store);
            if n == KILLS_OF_A_STORE || done == kills {
                run.end();
                break;
            }
            // Each stage as often as any other, however short it is; a little past its end too.
            let stage = rng.random_range(wanted.clone());
            let then = lengths[stage].mul_f64(rng.random_range(0.0..1.1));
            let Some(stage) = run.until(stage, then) else {
                run.end();
                break;
            };
            run.kill();
            done += 1;
            *counts.get_mut(STAGES[stage]).unwrap() += 1;
            pipeline.ok("cache verify", &["--store", path.to_str().unwrap()]);
        }
        crate::rows::assert_same_rows(&path, &pipeline.path("undisturbed"));
        assert!(pipeline.weights(&store) == weights, "other weights after kills (store {store}, seed {seed})");
        std::fs::remove_dir_all(&path).unwrap();
    }
    eprintln!("{done} kills of {stores} stores, seed {seed}: {counts:?}");
    counts
}
