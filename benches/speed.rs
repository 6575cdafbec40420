//! Our side of what `make bench` measures inside a process; whole processes it measures from
//! outside. See `benches/README.md`.
//!
//! `cargo bench --bench speed -- forward MODEL PRECISION[,PRECISION] BATCH SECONDS`, or
//! `sentences MODEL PRECISION FILE`, `decode FOLDER`, `parquet FOLDER`,
//! `labels STORE DATASET IMAGES CLASSES`, `ask PIPELINE STATEMENT`, `floor`,
//! `made-pictures FILE COUNT CLASSES`, `made-features STORE DATASET`. Each prints one line of JSON.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod made;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use microclip_pipe::clip::model::{Clip, ModelSettings};
use microclip_pipe::config::load;
use microclip_pipe::cores;
use microclip_pipe::device::Precision;
use microclip_pipe::image::{CropBox, Crops, Filter, ImageId, Limits, Preprocess, crops, decode};
use microclip_pipe::runs::sql_scope::scope;
use microclip_pipe::stage::describe::{About, SentenceTower, Sentences, describe};
use microclip_pipe::stage::job::Job;
use microclip_pipe::stage::progress::{Progress, Silent};
use microclip_pipe::stop::Stop;
use microclip_pipe::store::layout::Store;
use microclip_pipe::store::reader;
use microclip_pipe::store::space::Space;
use microclip_pipe::table::query::query;
use microclip_pipe::table::session::session;
use microclip_pipe::table::{self, Dims, arrays, tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tch::{Device, Kind, Tensor};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = match words[..] {
        ["forward", model, precisions, batch, seconds] => {
            forward(Path::new(model), precisions, batch.parse().unwrap(), seconds.parse().unwrap())
        }
        ["sentences", model, precision, file] => sentences(Path::new(model), precision, Path::new(file)),
        ["decode", folder] => pictures(Path::new(folder)),
        ["parquet", folder] => parquet(Path::new(folder)),
        ["labels", store, dataset, images, classes] => {
            labels(Path::new(store), dataset, images.parse().unwrap(), classes.parse().unwrap())
        }
        ["ask", pipeline, statement] => ask(Path::new(pipeline), statement),
        ["floor"] => floor(),
        ["made-pictures", file, count, classes] => {
            made::pictures::write(Path::new(file), count.parse().unwrap(), classes.parse().unwrap())
        }
        ["made-features", store, dataset] => made::features::fill(Path::new(store), dataset),
        _ => return eprintln!("nothing to do: see the head of benches/speed.rs"),
    };
    println!("{found}");
}

/// Pictures a second through the vision tower, a batch on each core as in a run, in turns where
/// there are two precisions, and how far their features agree.
fn forward(model: &Path, precisions: &str, batch: i64, seconds: f64) -> serde_json::Value {
    let _no_grad = tch::no_grad_guard();
    let cores = cores::limit();
    let clip = Clip::open(&ModelSettings::new(model.into())).unwrap();
    let side = clip.config.vision.image_size;
    tch::manual_seed(0);
    // Coarse structure and some noise: what a normalised photograph looks like from afar.
    let coarse =
        Tensor::randn([batch, 3, 12, 12], tch::kind::FLOAT_CPU).upsample_bicubic2d([side, side], false, None, None);
    let pixels = coarse + Tensor::randn([batch, 3, side, side], tch::kind::FLOAT_CPU) * 0.3;
    let mut towers = Vec::new();
    for name in precisions.split(',') {
        let precision = of(name);
        let tower = clip.vision().unwrap().map(&|t| t.to_kind(precision.number()));
        towers.push((name, tower, pixels.to_kind(precision.number()), Vec::new(), None));
    }
    // The first round warms up, and the next is timed however slow the machine is.
    let mut round = 0;
    let mut end = Instant::now();
    while round < 2 || Instant::now() < end {
        for (_, tower, pixels, times, features) in &mut towers {
            let copies = (0..cores).map(|_| (tower.shallow_clone(), pixels.shallow_clone())).collect();
            let began = Instant::now();
            let mut seen = cores::map(copies, |(tower, pixels)| {
                let _no_grad = tch::no_grad_guard();
                Ok(tower.forward(&pixels))
            })
            .unwrap();
            if round > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
            *features = seen.pop().map(|seen| seen.cls.to_kind(Kind::Float));
        }
        if round == 0 {
            end = Instant::now() + Duration::from_secs_f64(seconds);
        }
        round += 1;
    }
    let rates: BTreeMap<&str, f64> = towers
        .iter_mut()
        .map(|(name, _, _, times, _)| (*name, (batch as usize * cores) as f64 / median(times)))
        .collect();
    let first = towers[0].4.as_ref().unwrap();
    let cosine = Tensor::cosine_similarity(first, towers[towers.len() - 1].4.as_ref().unwrap(), 1, 1e-8);
    json!({ "rates": rates, "least_cosine": cosine.min().double_value(&[]) })
}

fn of(name: &str) -> Precision {
    [Precision::Fp32, Precision::Bf16].into_iter().find(|precision| precision.as_str() == name).unwrap()
}

/// Sentences a second from a file of descriptions into the store, all cores, as a run embeds them.
fn sentences(model: &Path, precision: &str, file: &Path) -> serde_json::Value {
    let clip = Clip::open(&ModelSettings::new(model.into())).unwrap();
    let text: BTreeMap<String, Vec<String>> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (classes, descriptions) = text.into_iter().unzip();
    let templates = vec!["a photo of a {}.".to_owned()];
    let sentences = Sentences { classes, descriptions, templates, written: None };
    let folder = tempfile::tempdir().unwrap();
    let (store, stop) = (Store::open(folder.path()).unwrap(), Stop::default());
    let (about, progress): (About<'_>, Arc<dyn Progress>) =
        (About { sentences: &sentences, dataset: "bench" }, Arc::new(Silent));
    let job = Job { store: &store, stop: &stop, progress: &progress };
    let began = Instant::now();
    let tower = || Ok(SentenceTower::new(clip.text()?, Device::Cpu, of(precision)));
    let (_, count) = describe(about, &Space::new("txt"), &clip.tokenizer, tower, job).unwrap();
    json!({ "sentences": count, "rate": count as f64 / began.elapsed().as_secs_f64() })
}

/// Milliseconds a picture on one core: decoding it, the centre view, and eight crops of the one
/// decoded picture.
fn pictures(folder: &Path) -> serde_json::Value {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let bytes: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    let (limits, preprocess) = (Limits::default(), Preprocess::openai(224));
    let spec = Crops::default();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..7 {
        let mut spent = [0.0; 3];
        let mut time = |part: usize, began: Instant| spent[part] += began.elapsed().as_secs_f64();
        for bytes in &bytes {
            let began = Instant::now();
            let picture = decode(bytes, &limits).unwrap();
            time(0, began);
            let began = Instant::now();
            black_box(preprocess.centre_view(&picture).unwrap());
            time(1, began);
            let began = Instant::now();
            let cuts: Vec<CropBox> = crops::boxes(&spec, &ImageId::of(bytes), picture.width, picture.height);
            for cut in cuts {
                black_box(crops::crop(&picture, &cut, 224, Filter::Bicubic).unwrap());
            }
            time(2, began);
        }
        times.iter_mut().zip(spent).for_each(|(all, spent)| all.push(1e3 * spent / bytes.len() as f64));
    }
    let [decode, centre, crops] = times.each_mut().map(|t| median(t));
    json!({ "decode_ms": decode, "centre_view_ms": centre, "crops_ms": crops, "rate": 1e3 / (decode + centre) })
}

/// Megabytes a second of B/32's patch tokens, from tensors into a part that is synced, and back
/// into tensors.
fn parquet(folder: &Path) -> serde_json::Value {
    tch::set_num_threads(1);
    let dims = Dims::new().with("D", 768).with("T", 50);
    let schema = table::table("block_tokens").unwrap().arrow(&dims).unwrap();
    let partition = Store::open(folder).unwrap().partition("block_tokens", "bench").unwrap();
    let (batch, batches) = (128, 32);
    let tokens = Tensor::randn([batch, 50, 768], tch::kind::FLOAT_CPU).to_kind(Kind::Half);
    let ids: Vec<String> = (0..batch).map(|n| format!("{n:064}")).collect();
    let megabytes = (batch * batches * 50 * 768 * 2) as f64 / 1e6;
    let (mut written, mut read) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let began = Instant::now();
        let mut writer = partition.writer("bench", &schema, &[]).unwrap();
        for _ in 0..batches {
            let columns = vec![
                arrays::repeated("bench", ids.len()),
                arrays::text(&ids),
                tensor::to_tensors_f16(&tokens).unwrap(),
            ];
            writer.write(&RecordBatch::try_new(schema.clone(), columns).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        written.push(megabytes / began.elapsed().as_secs_f64());
        let began = Instant::now();
        for batch in reader::batches(&partition, Some(&["image_id", "tokens"]), 256).unwrap() {
            drop(black_box(tensor::from_tensors(&batch.unwrap(), "tokens").unwrap()));
        }
        read.push(megabytes / began.elapsed().as_secs_f64());
    }
    std::fs::remove_dir_all(partition.dir()).unwrap();
    json!({ "write_mb_s": median(&mut written), "read_mb_s": median(&mut read) })
}

/// Fills a store with the tables that questions about two passes over many pictures read: every
/// tenth label changes, and four of five are right.
fn labels(store: &Path, dataset: &str, images: usize, classes: i32) -> serde_json::Value {
    let store = Store::open(store).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let truth: Vec<i32> = (0..images).map(|_| rng.random_range(0..classes)).collect();
    let first: Vec<i32> =
        truth.iter().map(|&c| if rng.random::<f64>() < 0.8 { c } else { rng.random_range(0..classes) }).collect();
    let second: Vec<i32> =
        first.iter().map(|&c| if rng.random::<f64>() < 0.9 { c } else { rng.random_range(0..classes) }).collect();
    let ids: Vec<String> = (0..images as u64).map(|n| blake3::hash(&n.to_le_bytes()).to_hex().to_string()).collect();
    let write = |name: &str, partition: &str, part: &str, columns: Vec<ArrayRef>| {
        let schema = table::table(name).unwrap().arrow(&Dims::new()).unwrap();
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        store.partition(name, partition).unwrap().write_part(part, &schema, &[batch], &[]).unwrap();
    };
    let names = (0..classes).map(|c| format!("class {c}"));
    write(
        "classes",
        "bench",
        "snapshot",
        vec![Arc::new(Int32Array::from_iter_values(0..classes)), arrays::text(names)],
    );
    write("labels", dataset, "snapshot", vec![arrays::text(&ids), Arc::new(Int32Array::from(truth))]);
    for (pass, chosen, previous) in [(0, &first, None), (1, &second, Some(&first))] {
        let mut numbers =
            || -> ArrayRef { Arc::new(Float32Array::from_iter_values((0..images).map(|_| rng.random::<f32>()))) };
        let columns: Vec<ArrayRef> = vec![
            arrays::repeated("bench", images),
            arrays::repeated_i32(pass, images),
            arrays::text(&ids),
            Arc::new(Int32Array::from(chosen.clone())),
            numbers(),
            numbers(),
            Arc::new(Int32Array::from_iter((0..images).map(|n| previous.map(|p: &Vec<i32>| p[n])))),
        ];
        write("pseudo_labels", "bench", &format!("pass-{pass:05}"), columns);
    }
    // Without its row in `runs` nobody would see the run; all that is asked for of it are these
    // names.
    let pipeline = store.root().parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
    let schema = table::table("runs").unwrap().arrow(&Dims::new()).unwrap();
    let nothing = Int64Array::from(vec![0]);
    let columns = schema.fields().iter().map(|field| match (field.name().as_str(), field.data_type()) {
        ("run", _) => arrays::repeated("bench", 1),
        ("pipeline", _) => arrays::repeated(&pipeline, 1),
        ("dataset", _) => arrays::repeated(dataset, 1),
        // Its prior would be its own, if it had one.
        ("prior", _) => arrays::repeated("bench", 1),
        (_, DataType::Utf8) => arrays::repeated("", 1),
        (_, number) => cast(&nothing, number).unwrap(),
    });
    write("runs", "bench", "run", columns.collect());
    json!({ "images": images, "classes": classes })
}

/// Seconds from the pipeline file to the last row of a statement, and of the statement alone. The
/// start of the process is not in them.
fn ask(pipeline: &Path, statement: &str) -> serde_json::Value {
    let began = Instant::now();
    let seen = scope(&load(pipeline, &[]).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (rows, alone) = runtime.block_on(async {
        let session = session(&seen.store, &seen.visible).await.unwrap();
        let began = Instant::now();
        let batches = query(&session, statement).await.unwrap().collect().await.unwrap();
        (batches.iter().map(RecordBatch::num_rows).sum::<usize>(), began.elapsed())
    });
    json!({ "seconds": began.elapsed().as_secs_f64(), "statement": alone.as_secs_f64(), "rows": rows })
}

/// What the machine can do: products of B/32's largest shape, all cores, and copying, one core.
fn floor() -> serde_json::Value {
    tch::set_num_threads(cores::limit() as i32);
    let _no_grad = tch::no_grad_guard();
    let (rows, input, output) = (3200, 768, 3072);
    let mut rates = BTreeMap::new();
    for (name, kind) in [("fp32", Kind::Float), ("bf16", Kind::BFloat16)] {
        let (x, w) = (
            Tensor::randn([rows, input], (Kind::Float, Device::Cpu)).to_kind(kind),
            Tensor::randn([output, input], (Kind::Float, Device::Cpu)).to_kind(kind),
        );
        let image = x.view([1, 1, rows, input]).permute([0, 3, 1, 2]);
        let kernel = w.view([output, input, 1, 1]);
        let mut times: Vec<f64> = (0..20)
            .map(|_| {
                let began = Instant::now();
                drop(black_box(image.mkldnn_convolution::<Tensor>(&kernel, None, [0, 0], [1, 1], [1, 1], 1)));
                began.elapsed().as_secs_f64()
            })
            .collect();
        rates.insert(name, 2e-9 * (rows * input * output) as f64 / median(&mut times));
    }
    let (from, mut to) = (vec![1u8; 256 << 20], vec![0u8; 256 << 20]);
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let began = Instant::now();
            black_box(&mut to).copy_from_slice(black_box(&from));
            began.elapsed().as_secs_f64()
        })
        .collect();
    // Read once and written once.
    json!({ "gflops": rates, "gb_s": 2e-9 * (256 << 20) as f64 / median(&mut times) })
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
