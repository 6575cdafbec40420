//! Pictures that change between ingest and a later stage: nothing is kept of them under the id of
//! what was there before.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use microclip_pipe::Error;
use microclip_pipe::image::{Decoding, ExifOrientation, Limits};
use microclip_pipe::pipeline::run::{Options, run};
use microclip_pipe::runs::lookup::Upto;
use microclip_pipe::stage::pictures::Pictures;
use microclip_pipe::stage::progress::Progress;
use microclip_pipe::stop::Stop;
use microclip_pipe::store::{Partition, Store, reader};
use parquet::arrow::ArrowWriter;

use crate::pipeline::{CLASSES, Pipeline, entries};
use crate::rows;

type Act = Box<dyn FnOnce() + Send>;

/// Does something as soon as a stage of that name begins, or a line is said that begins so.
struct When {
    moment: String,
    act: Mutex<Option<Act>>,
}

impl When {
    fn new(moment: &str, act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(When { moment: moment.to_owned(), act: Mutex::new(Some(Box::new(act))) })
    }

    fn happens(&self, what: &str) {
        if what.starts_with(&self.moment)
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
    }
}

impl Progress for When {
    fn begin(&self, stage: &str, _: &'static str, _: u64, _: u64) {
        self.happens(stage);
    }
    fn advance(&self, _: u64) {}
    fn end(&self, _: &str) {}
    fn say(&self, line: &str) {
        self.happens(line);
    }
}

/// Runs the pipeline in this process.
fn run_here(pipeline: &Pipeline, set: &[String], upto: Upto, progress: Arc<When>) -> Result<(), Error> {
    let spec = microclip_pipe::config::load(&pipeline.path("pipeline.toml"), set)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&spec, upto, &Options { stop: Stop::default(), progress, cluster: None })).map(drop)
}

/// Nothing happens meanwhile.
fn undisturbed() -> Arc<When> {
    When::new("never", || {})
}

/// A picture that is put aside for another file, until it is put back as it was.
struct Exchanged {
    path: PathBuf,
    aside: PathBuf,
}

impl Exchanged {
    fn of(path: &Path) -> Self {
        Exchanged { path: path.to_owned(), aside: path.with_extension("aside") }
    }

    fn put_aside(&self) {
        fs::rename(&self.path, &self.aside).unwrap();
    }

    /// Another picture, which looks different and is of another length.
    fn for_another(&self, other: &Path) {
        self.put_aside();
        fs::copy(other, &self.path).unwrap();
    }

    fn put_back(&self) {
        fs::rename(&self.aside, &self.path).unwrap();
    }
}

fn train(pipeline: &Pipeline) -> PathBuf {
    entries(&pipeline.path("pictures/train/red_rose")).remove(1)
}

fn test(pipeline: &Pipeline) -> PathBuf {
    entries(&pipeline.path("pictures/test/red_rose")).remove(0)
}

/// A picture of another class.
fn other(pipeline: &Pipeline) -> PathBuf {
    entries(&pipeline.path("pictures/train/blue_bell")).remove(0)
}

/// A stage that reads pictures.
struct Stage {
    set: &'static [&'static str],
    /// What is done before the picture is exchanged, and with which settings.
    before: Option<(Upto, &'static [&'static str])>,
    /// When it is exchanged.
    moment: &'static str,
    /// Which one is.
    picture: fn(&Pipeline) -> PathBuf,
}

const LAYERNORM: &[&str] = &["adapt.tune=layernorm", "adapt.epochs=2"];
const LATER_BLOCK: &[&str] = &["adapt.tune=layernorm", "adapt.epochs=1", "adapt.from_block=2"];
const REFERENCE: &[&str] = &["adapt.tune=reference", "adapt.epochs=1"];
const HEAD: &[&str] = &["adapt.tune=head"];

/// All of them but training epochs, which begin unannounced.
const STAGES: [Stage; 7] = [
    Stage { set: HEAD, before: Some((Upto::Ingest, HEAD)), moment: "embed", picture: train },
    Stage { set: HEAD, before: Some((Upto::Pictures, HEAD)), moment: "views", picture: train },
    Stage { set: LATER_BLOCK, before: Some((Upto::Embed, HEAD)), moment: "block tokens", picture: train },
    Stage { set: LAYERNORM, before: None, moment: "adapt", picture: train },
    Stage { set: LAYERNORM, before: None, moment: "pass 0", picture: train },
    Stage { set: LAYERNORM, before: None, moment: "evaluate", picture: test },
    Stage { set: REFERENCE, before: None, moment: "adapt", picture: train },
];

/// Settings as `--set` takes them, with a store.
fn set(pipeline: &Pipeline, settings: &[&str], store: &str) -> Vec<String> {
    let store = format!("store={}", pipeline.path(store).display());
    settings.iter().map(|&setting| setting.to_owned()).chain([store]).collect()
}

/// Exchanges a picture at a moment: the run must end with an error that names it. Once it is put
/// back, the next run must leave behind what an undisturbed one does.
#[track_caller]
fn refuses(pipeline: &Pipeline, stage: &Stage, store: &str) {
    let settings = set(pipeline, stage.set, store);
    if let Some((upto, settings)) = stage.before {
        run_here(pipeline, &set(pipeline, settings, store), upto, undisturbed()).unwrap();
    }
    let picture = (stage.picture)(pipeline);
    let (exchanged, another) = (Arc::new(Exchanged::of(&picture)), other(pipeline));
    let exchange = exchanged.clone();
    let progress = When::new(stage.moment, move || exchange.for_another(&another));
    let refused = run_here(pipeline, &settings, Upto::Evaluate, progress).expect_err(stage.moment);
    let said = format!("{} has changed since it was ingested", picture.display());
    assert_eq!(refused.to_string(), said, "{}", stage.moment);
    assert!(refused.hint_text().unwrap().starts_with("run again to ingest what is there now"));

    exchanged.put_back();
    run_here(pipeline, &settings, Upto::Evaluate, undisturbed()).unwrap();
    let whole = format!("{store}-undisturbed");
    run_here(pipeline, &set(pipeline, stage.set, &whole), Upto::Evaluate, undisturbed()).unwrap();
    rows::assert_same_rows(&pipeline.path(store), &pipeline.path(&whole));
    assert!(pipeline.weights(store) == pipeline.weights(&whole), "{}", stage.moment);
}

#[test]
fn no_stage_takes_another_picture_for_the_one_that_was_ingested() {
    let pipeline = Pipeline::new(4, 1);
    for (n, stage) in STAGES.iter().enumerate() {
        refuses(&pipeline, stage, &format!("store-{n}"));
    }
}

/// Ingest, embedding, crops and block tokens share one decode: once pictures are ingested, nothing
/// that is cached reads them again.
#[test]
fn a_first_run_reads_each_picture_once() {
    let pipeline = Pipeline::new(4, 1);
    let (pictures, aside) = (pipeline.path("pictures"), pipeline.path("aside"));
    for (n, settings) in [HEAD, LATER_BLOCK].into_iter().enumerate() {
        let settings = set(&pipeline, settings, &format!("store-{n}"));
        let (from, to) = (pictures.clone(), aside.clone());
        let progress = When::new("describe", move || fs::rename(from, to).unwrap());
        run_here(&pipeline, &settings, Upto::Adapt, progress).unwrap();
        fs::rename(&aside, &pictures).unwrap();
        run_here(&pipeline, &settings, Upto::Evaluate, undisturbed()).unwrap();
    }
}

#[test]
fn nor_do_pictures_of_a_list() {
    let pipeline = Pipeline::new(3, 1);
    let mut list = "path,label,split\n".to_owned();
    for split in ["train", "test"] {
        for class in CLASSES {
            let folder = format!("pictures/{split}/{}", class.replace(' ', "_"));
            for path in entries(&pipeline.path(&folder)) {
                list.push_str(&format!("{},{class},{split}\n", path.display()));
            }
        }
    }
    pipeline.write("list.csv", &list);
    pipeline.spec("small", "kind = \"list\"\npath = \"list.csv\"");
    refuses(&pipeline, &STAGES[0], "embed");
    refuses(&pipeline, &STAGES[1], "views");
}

#[test]
fn a_training_epoch_does_not_learn_from_another_picture() {
    let pipeline = Pipeline::new(4, 1);
    // One pass: once its pseudo-labels are written, all that reads pictures are its epochs.
    let settings = set(&pipeline, &["adapt.tune=layernorm", "adapt.epochs=12", "adapt.epochs_per_pass=12"], "store");
    let (exchanged, another) = (Arc::new(Exchanged::of(&train(&pipeline))), other(&pipeline));
    let (exchange, labels) = (exchanged.clone(), pipeline.path("store/pseudo_labels"));
    let progress = When::new("adapt", move || {
        std::thread::spawn(move || {
            let written = || {
                entries(&labels).iter().flat_map(|run| entries(run)).any(|f| f.extension() == Some("parquet".as_ref()))
            };
            while !written() {
                std::thread::sleep(Duration::from_millis(1));
            }
            exchange.for_another(&another);
        });
    });
    let refused = run_here(&pipeline, &settings, Upto::Adapt, progress).unwrap_err();
    assert!(refused.to_string().ends_with("has changed since it was ingested"), "{refused}");
    assert!(entries(&pipeline.path("store/passes")).is_empty(), "it was an epoch of the first pass");
    exchanged.put_back();
    run_here(&pipeline, &settings, Upto::Adapt, undisturbed()).unwrap();
}

/// Writes another picture to a path, of the same length and with the same time of change.
fn exchange_unseen(path: &Path, other: &Path) {
    let (before, mut bytes) = (fs::metadata(path).unwrap(), fs::read(other).unwrap());
    assert!(bytes.len() as u64 <= before.len(), "what follows the end of a PNG is not looked at");
    bytes.resize(before.len() as usize, 0);
    fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

#[test]
fn a_change_that_the_source_does_not_show_is_ingested_by_the_next_run() {
    let pipeline = Pipeline::new(4, 1);
    pipeline.ok("embed", &[]);
    let mut pictures = entries(&pipeline.path("pictures/train/red_rose"));
    pictures.extend(entries(&pipeline.path("pictures/train/blue_bell")));
    pictures.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let (smallest, largest) = (pictures.first().unwrap(), pictures.last().unwrap());
    exchange_unseen(largest, smallest);
    fs::remove_dir_all(pipeline.path("store/composites")).unwrap();

    let refused = pipeline.output("embed", &[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: {} has changed since it was ingested", largest.display())), "{said}");
    let warning = format!("snapshot.parquet does not show that {} has changed: it was set aside as", largest.display());
    assert_eq!(said.matches(&warning).count(), 1, "{said}");

    pipeline.ok("embed", &[]);
    pipeline.ok("embed", &["--store", pipeline.path("anew").to_str().unwrap()]);
    let (ours, anew) = (rows::rows(&pipeline.path("store")), rows::rows(&pipeline.path("anew")));
    for table in ["images", "labels", "composites"] {
        assert!(!ours[table].is_empty() && ours[table] == anew[table], "{table}");
    }
}

/// A dataset's pictures as they are in a store.
fn ingested(store: &Path) -> Arc<Pictures> {
    let decoding = Decoding { limits: Limits::default(), orientation: ExifOrientation::Apply };
    Pictures::open(&images(store), decoding).unwrap()
}

#[test]
fn whatever_a_picture_has_become_reading_it_ends_with_an_error() {
    let pipeline = Pipeline::new(1, 1);
    pipeline.ok("ingest", &[]);
    let pictures = ingested(&pipeline.path("store"));
    let exchanged = Exchanged::of(Path::new(&pictures.rows()[0].path));
    let path = exchanged.path.clone();
    let whole = fs::read(&path).unwrap();
    let became: [(&str, &dyn Fn()); 8] = [
        ("cannot read", &|| {}),
        ("not an ordinary file", &|| assert!(Command::new("mkfifo").arg(&path).status().unwrap().success())),
        ("Is a directory", &|| fs::create_dir(&path).unwrap()),
        ("not an ordinary file", &|| symlink("/dev/zero", &path).unwrap()),
        ("has changed since", &|| fs::write(&path, "").unwrap()),
        ("has changed since", &|| fs::write(&path, &whole[1..]).unwrap()),
        ("has changed since", &|| fs::write(&path, [&whole[..], b"\0"].concat()).unwrap()),
        // More than fits into memory, and no byte of it on disk.
        ("has changed since", &|| File::create(&path).unwrap().set_len(1 << 40).unwrap()),
    ];
    for (what, become_it) in &became {
        exchanged.put_aside();
        become_it();
        let error = pictures.load(0).expect_err(what);
        assert!(error.to_string().contains(what) && error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.hint_text().unwrap().starts_with("run again to ingest what is there now"), "{error}");
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir(&path).unwrap(),
            Ok(_) => fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
        exchanged.put_back();
        pictures.load(0).unwrap();
    }
}

/// The same pictures in a Parquet file for each split.
fn parquet(pipeline: &Pipeline, folder: &str) {
    fs::create_dir_all(pipeline.path(folder)).unwrap();
    for split in ["train", "test"] {
        let (mut pictures, mut labels) = (Vec::new(), Vec::new());
        for class in CLASSES {
            for path in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_")))) {
                pictures.push(fs::read(path).unwrap());
                labels.push(class);
            }
        }
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(&pictures));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..pictures.len()).map(|n| format!("{n}.png"))));
        let fields =
            Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
        let images: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes, names], None));
        let columns: [(&str, ArrayRef); 2] = [("image", images), ("label", Arc::new(StringArray::from(labels)))];
        let schema =
            Schema::new(columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect::<Vec<_>>());
        let batch = RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, a)| a).collect()).unwrap();
        let file = File::create(pipeline.path(&format!("{folder}/{split}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

fn from_parquet(copy: bool) -> Pipeline {
    let pipeline = Pipeline::new(3, 1);
    parquet(&pipeline, "parquet");
    pipeline.spec("small", &format!("kind = \"hf-parquet\"\npath = \"parquet\"\ncopy = {copy}"));
    pipeline
}

/// The dataset's partition of `images`.
fn images(store: &Path) -> Partition {
    let store = Store::open_read(store).unwrap();
    let dataset = store.partitions("images").unwrap().remove(0);
    store.partition("images", &dataset).unwrap()
}

#[test]
fn pictures_of_a_parquet_file_are_read_where_they_are_as_if_they_were_copied() {
    let pipeline = from_parquet(false);
    for (store, copy) in [("place", "dataset.copy=false"), ("copy", "dataset.copy=true")] {
        let settings = set(&pipeline, &[LAYERNORM, &[copy]].concat(), store);
        run_here(&pipeline, &settings, Upto::Evaluate, undisturbed()).unwrap();
    }
    let copied = |store: &str| {
        let mut bytes = reader::batches(&images(&pipeline.path(store)), Some(&["bytes"]), 1024).unwrap();
        bytes.all(|batch| batch.unwrap().column(0).is_valid(0))
    };
    assert_eq!(["place", "copy"].map(copied), [false, true]);
    assert!(pipeline.weights("place") == pipeline.weights("copy"));
    let kept = |store: &str| rows::rows(&pipeline.path(store));
    let (place, copy) = (kept("place"), kept("copy"));
    for table in ["labels", "embeddings", "composites", "pseudo_labels", "predictions"] {
        assert!(!place[table].is_empty() && place[table] == copy[table], "{table}");
    }
    // The setting takes effect on what is there too, and what was copied stays.
    for (copy, is) in [("true", true), ("false", true)] {
        let settings = set(&pipeline, &[LAYERNORM, &[&format!("dataset.copy={copy}")]].concat(), "place");
        run_here(&pipeline, &settings, Upto::Evaluate, undisturbed()).unwrap();
        assert_eq!(copied("place"), is);
    }
    assert!(kept("place")["images"] == copy["images"]);
}

#[test]
fn a_parquet_file_that_is_gone_or_has_changed_is_an_error_that_says_what_to_do() {
    let pipeline = from_parquet(false);
    pipeline.ok("ingest", &[]);
    let file = pipeline.path("parquet/train.parquet");
    let whole = fs::read(&file).unwrap();
    let (exchanged, modified) = (Exchanged::of(&file), fs::metadata(&file).unwrap().modified().unwrap());
    let as_before = || File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let became: [(&str, &dyn Fn()); 4] = [
        ("cannot read", &|| {}),
        ("has changed since it was ingested", &|| fs::write(&file, &whole).unwrap()),
        ("cannot read as Parquet", &|| {
            fs::write(&file, &whole[..whole.len() / 2]).unwrap();
            as_before();
        }),
        ("has changed since it was ingested", &|| {
            fs::copy(pipeline.path("parquet/test.parquet"), &file).unwrap();
            as_before();
        }),
    ];
    for (what, become_it) in became {
        exchanged.put_aside();
        become_it();
        let pictures = ingested(&pipeline.path("store"));
        let first = pictures.rows().iter().position(|row| row.path.ends_with("train.parquet#0/0.png")).unwrap();
        let error = pictures.load(first).expect_err(what);
        assert!(error.to_string().contains(what) && error.to_string().contains(file.to_str().unwrap()), "{error}");
        let hint = error.hint_text().unwrap();
        assert!(hint.starts_with("run again to ingest what is there now") && hint.contains("dataset.copy"), "{hint}");
        let _ = fs::remove_file(&file);
        exchanged.put_back();
    }
    pipeline.ok("embed", &[]);
}

#[test]
fn copied_pictures_of_a_parquet_file_are_there_whatever_becomes_of_the_file() {
    let pipeline = from_parquet(true);
    let settings = |store| set(&pipeline, HEAD, store);
    run_here(&pipeline, &settings("whole"), Upto::Evaluate, undisturbed()).unwrap();
    let (file, another) = (pipeline.path("parquet/train.parquet"), pipeline.path("parquet/test.parquet"));
    for (moment, before) in [("embed", Upto::Ingest), ("views", Upto::Pictures)] {
        let store = moment;
        run_here(&pipeline, &settings(store), before, undisturbed()).unwrap();
        let exchanged = Arc::new(Exchanged::of(&file));
        let (exchange, another) = (exchanged.clone(), another.clone());
        let progress = When::new(moment, move || exchange.for_another(&another));
        run_here(&pipeline, &settings(store), Upto::Evaluate, progress).unwrap();
        exchanged.put_back();
        rows::assert_same_rows(&pipeline.path(store), &pipeline.path("whole"));
    }
}

/// Gives the first two pictures of `images` each other's bytes. The part is as whole as any.
fn swap_bytes(store: &Path) {
    let store = Store::open(store).unwrap();
    let dataset = store.partitions("images").unwrap().remove(0);
    let partition = store.partition("images", &dataset).unwrap();
    let part = partition.parts().unwrap().remove(0);
    let snapshot = reader::footer(&part).unwrap().pairs["snapshot"].clone();
    let mut batches: Vec<RecordBatch> = reader::batches(&partition, None, 1024).unwrap().map(Result::unwrap).collect();
    let (at, _) = batches[0].schema_ref().column_with_name("bytes").unwrap();
    let bytes = batches[0].column(at).as_binary::<i32>();
    let swapped = (0..bytes.len()).map(|row| bytes.value(if row < 2 { 1 - row } else { row }));
    let mut columns = batches[0].columns().to_vec();
    columns[at] = Arc::new(BinaryArray::from_iter_values(swapped));
    batches[0] = RecordBatch::try_new(batches[0].schema(), columns).unwrap();
    partition.replace("snapshot", &batches[0].schema(), &batches, &[("snapshot".to_owned(), snapshot)]).unwrap();
}

#[test]
fn bytes_in_the_store_are_compared_with_their_id_too() {
    let pipeline = from_parquet(true);
    pipeline.ok("ingest", &[]);
    swap_bytes(&pipeline.path("store"));
    let refused = pipeline.output("embed", &[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("has other bytes of") && said.contains("it was set aside as"), "{said}");
    assert!(said.contains("hint: run again: the dataset is read anew"), "{said}");

    pipeline.ok("embed", &[]);
    pipeline.ok("embed", &["--store", pipeline.path("anew").to_str().unwrap()]);
    rows::assert_same_rows(&pipeline.path("store"), &pipeline.path("anew"));
}

#[test]
fn a_report_shows_no_picture_in_the_place_of_another() {
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &["--set", "adapt.tune=head"]);
    let page = |name: &str| {
        let path = pipeline.path(name);
        pipeline.ok("report", &["--output", path.to_str().unwrap(), "--quiet"]);
        fs::read_to_string(path).unwrap()
    };
    let whole = page("whole.html");
    let gone = "no longer there, or changed";
    assert!(!whole.contains(gone));
    let picture = test(&pipeline);
    let (exchanged, another) = (Exchanged::of(&picture), other(&pipeline));
    exchanged.for_another(&another);
    let changed = page("changed.html");
    assert!(changed.contains(gone));
    assert!(changed.contains("pictures whose files are gone or have changed since are left out"));
    let pictures = |page: &str| page.matches("data:image/jpeg;base64,").count();
    assert!(pictures(&changed) < pictures(&whole));
    exchanged.put_back();
    assert_eq!(pictures(&page("again.html")), pictures(&whole));
}
