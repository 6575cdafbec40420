//! Sentences become features: which are cut, what a stop keeps, and that a feature is of its
//! sentence alone.

pub mod server;
mod verb;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use microclip_pipe::clip::{Clip, ModelSettings};
use microclip_pipe::device::Precision;
use microclip_pipe::error::Kind;
use microclip_pipe::fusion::heads;
use microclip_pipe::stage::describe::{About, Heads, SentenceTower, Sentences, describe, missing};
use microclip_pipe::stage::job::Job;
use microclip_pipe::stage::progress::Progress;
use microclip_pipe::stop::Stop;
use microclip_pipe::store::Store;
use microclip_pipe::store::reader;
use microclip_pipe::store::space::Space;
use microclip_pipe::table::arrays;
use tch::{Device, Kind as Number, Tensor};

use crate::pipeline::{CLASSES, Pipeline, entries};
use crate::rows::assert_same_rows;

fn clip() -> Clip {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    Clip::open(&ModelSettings::new(path)).unwrap()
}

/// Hears what a stage says, and asks it to stop once so many sentences are done.
struct Listener {
    said: Mutex<Vec<String>>,
    done: Mutex<u64>,
    enough: u64,
    stop: Stop,
}

impl Listener {
    fn new(enough: u64) -> Arc<Self> {
        Arc::new(Listener { said: Mutex::default(), done: Mutex::default(), enough, stop: Stop::default() })
    }
}

impl Progress for Listener {
    fn begin(&self, _: &str, _: &'static str, _: u64, _: u64) {}
    fn advance(&self, done: u64) {
        let mut all = self.done.lock().unwrap();
        *all += done;
        if *all >= self.enough {
            self.stop.request();
        }
    }
    fn end(&self, _: &str) {}
    fn say(&self, line: &str) {
        self.said.lock().unwrap().push(line.to_owned());
    }
}

fn described(sentences: &Sentences, store: &Path, listener: &Arc<Listener>) -> microclip_pipe::Result<(Heads, u64)> {
    let (clip, store) = (clip(), Store::open(store).unwrap());
    let (space, tokenizer) = (Space::new("txt"), &clip.tokenizer);
    let (about, progress): (About, Arc<dyn Progress>) = (About { sentences, dataset: "words" }, listener.clone());
    let job = Job { store: &store, stop: &listener.stop, progress: &progress };
    describe(about, &space, tokenizer, || Ok(SentenceTower::new(clip.text()?, Device::Cpu, Precision::Fp32)), job)
}

fn sentences(of_classes: &[(&str, Vec<String>)]) -> Sentences {
    Sentences {
        classes: of_classes.iter().map(|(name, _)| (*name).to_owned()).collect(),
        descriptions: of_classes.iter().map(|(_, sentences)| sentences.clone()).collect(),
        templates: vec!["a photo of a {}.".to_owned()],
        written: None,
    }
}

/// A sentence whose tokens, with start and end, are so many.
fn of_tokens(tokens: usize) -> String {
    let sentence = vec!["red"; tokens - 2].join(" ");
    assert_eq!(clip().tokenizer.sequence(&sentence).unwrap().tokens, tokens);
    sentence
}

#[test]
fn sentences_past_the_context_are_counted_said_and_marked() {
    let context = clip().tokenizer.context();
    // OpenAI's rule: a context of 77 has room for 75 tokens between the two marks.
    let (fits, longer) = (of_tokens(context), of_tokens(context + 1));
    let sequence = |sentence: &str| clip().tokenizer.sequence(sentence).unwrap().ids;
    assert_eq!(sequence(&fits).len(), context);
    assert_eq!(sequence(&fits), sequence(&longer), "cut to the same beginning");
    let all = sentences(&[
        ("aster", vec!["It is blue.".to_owned(), fits.clone()]),
        ("rose", vec![longer.clone(), of_tokens(context + 30), "It is red.".to_owned()]),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let shown: String = longer.chars().take(60).collect();
    let (one, thirty) = (context + 1, context + 30);
    let warning = format!(
        "warning: 2 of 7 sentences are longer than the model's {context} tokens and are cut off there: \
         '{shown}…' ('rose', {one} tokens), '{shown}…' ('rose', {thirty} tokens)"
    );
    // The second time nothing is embedded, and it is as true.
    for forwards in [7, 0] {
        let listener = Listener::new(u64::MAX);
        assert_eq!(described(&all, dir.path(), &listener).unwrap().1, forwards);
        assert_eq!(*listener.said.lock().unwrap(), [warning.as_str()]);
    }
    let rows = features(dir.path());
    let marked: Vec<(&str, Option<i32>, Option<bool>)> =
        rows.iter().filter(|row| row.cut != Some(false)).map(|row| (&row.sentence[..], row.tokens, row.cut)).collect();
    let tokens = |n: usize| Some(n as i32);
    assert_eq!(
        marked,
        [
            (&longer[..], tokens(context + 1), Some(true)),
            (&of_tokens(context + 30)[..], tokens(context + 30), Some(true))
        ]
    );
    assert!(rows.iter().any(|row| row.sentence == fits && row.tokens == tokens(context)));

    let short = sentences(&[("aster", vec![fits])]);
    let listener = Listener::new(u64::MAX);
    described(&short, dir.path(), &listener).unwrap();
    assert!(listener.said.lock().unwrap().is_empty());
    assert_eq!(short.too_long(&clip().tokenizer).unwrap(), None);
    assert_eq!(format!("warning: {}", all.too_long(&clip().tokenizer).unwrap().unwrap()), warning);
}

/// Some hundred sentences of many lengths, in no order.
fn many() -> Sentences {
    let words = ["red", "blue", "petals", "round", "a", "small", "eye", "with", "stripes", "leaf"];
    let sentence = |n: usize| -> String {
        let length = 1 + n * 7 % 23;
        let chosen: Vec<&str> = (0..length).map(|i| words[(n * 3 + i * (n % 5 + 1)) % words.len()]).collect();
        format!("{} {n}", chosen.join(" "))
    };
    sentences(&[("aster", (0..350).map(sentence).collect()), ("rose", (350..700).map(sentence).collect())])
}

#[test]
fn a_feature_is_of_its_sentence_alone() {
    let dir = tempfile::tempdir().unwrap();
    described(&many(), dir.path(), &Listener::new(u64::MAX)).unwrap();
    let (clip, _no_grad) = (clip(), tch::no_grad_guard());
    let tower = clip.text().unwrap();
    for row in features(dir.path()).into_iter().step_by(41) {
        let alone = tower.forward(&[clip.tokenizer.sequence(&row.sentence).unwrap().ids], Device::Cpu);
        let alone = microclip_pipe::fusion::normalize(&alone).squeeze();
        let difference = (Tensor::from_slice(&row.feature) - alone).abs().max().to_kind(Number::Double);
        assert!(difference.double_value(&[]) < 1e-6, "{}: {difference:?}", row.sentence);
    }
}

#[test]
fn products_in_bf16_give_nearly_the_same_features() {
    let clip = clip();
    let all: Vec<Vec<i64>> =
        many().descriptions[0][..20].iter().map(|sentence| clip.tokenizer.sequence(sentence).unwrap().ids).collect();
    let of = |precision| SentenceTower::new(clip.text().unwrap(), Device::Cpu, precision).features(&all).unwrap();
    for (exact, bf16) in of(Precision::Fp32).iter().zip(of(Precision::Bf16)) {
        let cosine: f32 = exact.iter().zip(&bf16).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.999 && exact != &bf16, "{cosine}");
    }
}

#[test]
fn a_stop_keeps_what_was_embedded() {
    let (stopped, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Each core has a batch in hand when stopping is asked for.
    microclip_pipe::cores::set_limit(1);
    let listener = Listener::new(300);
    let error = described(&many(), stopped.path(), &listener).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    let done = *listener.done.lock().unwrap();
    assert!((300..500).contains(&done), "stopped after {done}");
    assert_eq!(missing(&many(), &Space::new("txt"), &Store::open(stopped.path()).unwrap()).unwrap(), 702 - done);

    let (heads, forwards) = described(&many(), stopped.path(), &Listener::new(u64::MAX)).unwrap();
    assert_eq!(forwards, 702 - done);
    let (undisturbed, _) = described(&many(), whole.path(), &Listener::new(u64::MAX)).unwrap();
    // To the bit, and in one part, as if it had not been stopped: batches go on where they ended.
    assert_eq!(heads.frozen, undisturbed.frozen);
    assert_eq!(features(stopped.path()).len(), features(whole.path()).len());
}

/// More short sentences than two parts hold.
fn thousands() -> Sentences {
    let sentence = |n: usize| format!("{} {n}", ["red", "a blue leaf", "round"][n % 3]);
    sentences(&[("aster", (0..2_500).map(sentence).collect()), ("rose", (2_500..5_000).map(sentence).collect())])
}

#[test]
fn a_kill_loses_the_part_in_hand_and_no_other() {
    let pipeline = Pipeline::new(1, 1);
    let Sentences { descriptions, .. } = thousands();
    let of_class: BTreeMap<&str, &Vec<String>> = CLASSES.into_iter().zip(descriptions.iter().cycle()).collect();
    pipeline.write("sentences.json", &serde_json::to_string(&of_class).unwrap());
    // 5,000 sentences are in two lists, one of them twice, and each class has a prompt.
    let all = 5_000 + 3;
    let of_space = || {
        let folders = entries(&pipeline.path("store/text_features"));
        folders.iter().flat_map(|folder| entries(folder)).filter(|f| f.extension() == Some("parquet".as_ref())).count()
    };
    let mut run = pipeline.start("embed", &[]);
    while of_space() == 0 && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let kept = Store::open_read(pipeline.path("store")).unwrap();
    let space = kept.partitions("text_features").unwrap().remove(0);
    let kept = reader::count_rows(&kept.partition("text_features", &space).unwrap()).unwrap();
    assert!(kept >= 2_048, "a part was written after {kept} lines");

    let said = String::from_utf8(pipeline.output("embed", &[]).stderr).unwrap();
    let forwards =
        |all: &str| all.split_once(" text forwards")?.0.rsplit(' ').next()?.replace(',', "").parse::<u64>().ok();
    // Every line of the store was one sentence more, but for those of the class that repeats one.
    let left = forwards(&said).unwrap_or(0);
    assert!(left <= all - 2_048 && left >= all.saturating_sub(kept), "{left} of {all} after {kept}: {said}");
    pipeline.ok("embed", &["--store", pipeline.path("whole").to_str().unwrap()]);
    assert_same_rows(&pipeline.path("store"), &pipeline.path("whole"));
}

#[test]
fn heads_are_those_of_all_sentences_at_once() {
    let (dir, all) = (tempfile::tempdir().unwrap(), many());
    let (made, _) = described(&all, dir.path(), &Listener::new(u64::MAX)).unwrap();
    let rows = |template: bool| {
        let rows = features(dir.path()).into_iter().filter(|row| row.template == template);
        let flat: Vec<f32> = rows.flat_map(|row| row.feature).collect();
        Tensor::from_slice(&flat).view([-1, made.names.size()[1]])
    };
    let (descriptions, counts) = (rows(false), [350, 350]);
    let names = heads::class_names(&rows(true), 1);
    assert_eq!(made.frozen, heads::frozen(&descriptions, &counts, &names));
    assert_eq!(made.descriptions, heads::learnable(&descriptions, &counts));
    assert_eq!(made.names, names);
}

/// A row of `text_features`.
struct Row {
    sentence: String,
    template: bool,
    feature: Vec<f32>,
    tokens: Option<i32>,
    cut: Option<bool>,
}

/// The only partition of `text_features`, or all of them.
fn features(store: &Path) -> Vec<Row> {
    let store = Store::open_read(store).unwrap();
    let mut rows = Vec::new();
    for partition in store.partitions("text_features").unwrap() {
        let partition = store.partition("text_features", &partition).unwrap();
        for batch in reader::batches(&partition, None, 1024).unwrap() {
            let batch = batch.unwrap();
            let (values, width) = arrays::rows_f32(&batch, "feature").unwrap();
            let tokens = batch.column_by_name("tokens").unwrap().as_primitive::<Int32Type>();
            let cut = batch.column_by_name("cut").unwrap().as_boolean();
            let kinds = arrays::strings(&batch, "kind").unwrap();
            for (row, sentence) in arrays::strings(&batch, "sentence").unwrap().into_iter().enumerate() {
                rows.push(Row {
                    sentence: sentence.to_owned(),
                    template: kinds[row] == "template",
                    feature: values[row * width..][..width].to_vec(),
                    tokens: tokens.is_valid(row).then(|| tokens.value(row)),
                    cut: cut.is_valid(row).then(|| cut.value(row)),
                });
            }
        }
    }
    rows
}
