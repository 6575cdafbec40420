//! What results do not depend on: the order and the names of the pictures, where they come from,
//! what they are batched with, and how many cores compute.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use microclip_pipe::clip::{Clip, ModelSettings};
use microclip_pipe::fusion::class_bias;
use microclip_pipe::stage::frozen::FrozenTower;
use microclip_pipe::stage::pixels::Normaliser;
use microclip_pipe::stop::Stop;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::pipeline::{CLASSES, Pipeline, entries};

const RECIPES: [&str; 4] = ["adapt.tune=head", "adapt.tune=layernorm", "adapt.from_block=2", "adapt.tune=reference"];

/// Eighteen training pictures and six for tests: batches of four do not come out even.
fn pictures() -> Pipeline {
    Pipeline::new(6, 2)
}

/// The weights that a recipe adapts in a store of its own.
fn weights(pipeline: &Pipeline, store: &str, recipe: &str, rest: &[&str]) -> Vec<(String, Vec<u8>)> {
    let store = format!("{store}-{}", recipe.replace(['.', '='], "-"));
    let folder = pipeline.path(&store);
    pipeline.ok("adapt", &[&["--set", recipe, "--store", folder.to_str().unwrap()], rest].concat());
    pipeline.weights(&store)
}

/// Every picture with its split, in an order that has nothing to do with its class.
fn shuffled(pipeline: &Pipeline) -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    for split in ["train", "test"] {
        for class in CLASSES {
            for path in entries(&pipeline.path(&format!("pictures/{split}/{}", class.replace(' ', "_")))) {
                let bytes = std::fs::read(&path).unwrap();
                all.push((split, blake3::hash(&[&bytes[..], b"name"].concat()).to_hex()[..12].to_owned(), bytes));
            }
        }
    }
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all
}

/// Hugging Face's layout: a file for each split, a column of structs with a picture's bytes and
/// name.
fn parquet(folder: &Path, pictures: &[(&str, String, Vec<u8>)]) {
    std::fs::create_dir_all(folder).unwrap();
    for split in ["train", "test"] {
        let of_split = || pictures.iter().filter(|(of, ..)| *of == split);
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(of_split().map(|(.., bytes)| bytes)));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(of_split().map(|(_, name, _)| name)));
        let image = StructArray::from(vec![
            (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes),
            (Arc::new(Field::new("path", DataType::Utf8, true)), names),
        ]);
        let batch = RecordBatch::try_from_iter([("image", Arc::new(image) as ArrayRef)]).unwrap();
        let file = File::create(folder.join(format!("{split}-00000-of-00001.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

#[test]
fn the_same_pictures_in_any_order_under_any_names_and_from_any_source_give_the_same_weights() {
    let pipeline = pictures();
    pipeline.write("classes.txt", &CLASSES.join("\n"));
    let by_class: Vec<_> = RECIPES.iter().map(|recipe| weights(&pipeline, "by-class", recipe, &[])).collect();

    let pictures = shuffled(&pipeline);
    let mut list = "path,split\n".to_owned();
    std::fs::create_dir_all(pipeline.path("flat")).unwrap();
    for (split, name, bytes) in &pictures {
        std::fs::write(pipeline.path(&format!("flat/{name}.png")), bytes).unwrap();
        list += &format!("flat/{name}.png,{split}\n");
    }
    pipeline.write("list.csv", &list);
    parquet(&pipeline.path("parquet"), &pictures);
    for (name, dataset) in
        [("listed", "kind = \"list\"\npath = \"list.csv\""), ("parquet", "kind = \"hf-parquet\"\npath = \"parquet\"")]
    {
        pipeline.spec("small", &format!("{dataset}\nclasses = \"classes.txt\""));
        for (recipe, expected) in RECIPES.iter().zip(&by_class) {
            assert!(weights(&pipeline, name, recipe, &[]) == *expected, "{recipe}: other weights from {name}");
        }
    }
}

/// With a billionth of a gigabyte, every table of numbers lies in a file.
#[test]
fn the_memory_changes_no_bit() {
    let pipeline = pictures();
    let recipes: [&[&str]; 5] = [
        &["adapt.tune=head", "dka.balance=\"auto\"", "transduction.predictions=true"],
        &[
            "adapt.tune=head",
            "fusion.query=\"cls\"",
            "fusion.coarse=\"cls\"",
            "dka.policy=\"revive\"",
            "predict.gamma=0",
        ],
        &["adapt.tune=head", "transduction.prior=true", "transduction.method=\"stata\"", "fusion.heads=\"learnable\""],
        &["adapt.from_block=2", "dka.policy=\"top_k_per_class\"", "adapt.class_prior=\"estimated\""],
        &["adapt.tune=\"none\""],
    ];
    for (n, recipe) in recipes.iter().enumerate() {
        let outcome = |memory: &str| {
            let store = format!("with-{memory}-{n}");
            let folder = pipeline.path(&store).to_str().unwrap().to_owned();
            let memory = format!("device.memory={memory}");
            let rest = ["--store", &folder, "--set", &memory];
            let settings = recipe.iter().flat_map(|setting| ["--set", setting]).chain(rest);
            pipeline.ok("run", &settings.collect::<Vec<_>>());
            let of = |(table, key): (&str, &str)| {
                let sql = format!("SELECT * FROM {table} ORDER BY {key}");
                format!("{:?}", pipeline.sql_in(&sql, &["--store", &folder]))
            };
            let by_picture = ["prior_logits", "predictions"].map(|table| of((table, "image_id")));
            let by_pass = ["fusion_logits", "pseudo_labels"].map(|table| of((table, "pass, image_id")));
            let of_classes = [of(("class_bias", "pass, class_id")), of(("metrics", "model, split, metric"))];
            [by_picture, by_pass, of_classes].concat()
        };
        let (all, none) = (outcome("4"), outcome("1e-9"));
        assert!(all.iter().any(|table| table.len() > 100), "{recipe:?}");
        assert!(all == none, "{recipe:?}: other results from files");
    }
}

#[test]
fn the_number_of_cores_changes_no_bit() {
    let pipeline = pictures();
    let features = |store: &str| {
        let store = pipeline.path(store);
        let rest = ["--store", store.to_str().unwrap()];
        let of = |table: &str| pipeline.sql_in(&format!("SELECT * FROM {table} ORDER BY image_id"), &rest);
        let biases = pipeline.sql_in("SELECT * FROM class_bias ORDER BY pass, class_id", &rest);
        [of("embeddings"), of("composites"), of("prior_logits"), of("predictions"), biases]
    };
    let outcome = |threads: &str| {
        let weights: Vec<_> = RECIPES
            .iter()
            .map(|recipe| weights(&pipeline, &format!("on-{threads}"), recipe, &["--threads", threads]))
            .collect();
        let store = format!("on-{threads}-run");
        let folder = pipeline.path(&store).to_str().unwrap().to_owned();
        let head = [
            ["--set", "adapt.tune=head", "--set", "transduction.predictions=true"],
            ["--set", "dka.balance=0.8", "--set", "dka.policy=balanced"],
        ];
        let head = head.concat();
        pipeline.ok("run", &[&head[..], &["--store", &folder, "--threads", threads]].concat());
        let answers = pipeline
            .ok("predict", &[pipeline.path("pictures").to_str().unwrap(), "--store", &folder, "--threads", threads]);
        (weights, features(&store), answers)
    };
    let on_one = outcome("1");
    for threads in ["2", "4"] {
        let more = outcome(threads);
        for (recipe, (one, other)) in RECIPES.iter().zip(on_one.0.iter().zip(&more.0)) {
            assert!(one == other, "{recipe}: other weights on {threads} cores");
        }
        let runs = |tables: &[Vec<serde_json::Value>; 5]| format!("{tables:?}");
        assert!(runs(&on_one.1) == runs(&more.1), "other features on {threads} cores");
        assert_eq!(on_one.2, more.2, "other answers on {threads} cores");
    }
}

#[test]
fn biases_of_many_pictures_have_the_same_bits_on_any_number_of_cores() {
    let options = (Kind::Float, Device::Cpu);
    tch::manual_seed(2);
    // Enough for several turns of a core.
    let cosines = Tensor::rand([5_000, 700], options) * 0.1 + Tensor::rand([700], options) * 0.1;
    let of = |cores: usize| {
        microclip_pipe::cores::set_limit(cores);
        let found = class_bias::estimate(&cosines.shallow_clone().into(), None, 0.8, 100.0, &Stop::default()).unwrap();
        microclip_pipe::cores::set_limit(0);
        [found.bias, found.before, found.after].map(|numbers| Vec::<f64>::try_from(&numbers).unwrap())
    };
    let on_one = of(1);
    assert!(on_one[0].iter().any(|bias| bias.abs() > 0.5), "there is something to balance");
    for cores in [2, 3, 8] {
        assert_eq!(of(cores), on_one, "{cores} cores");
    }
}

#[test]
fn a_pictures_features_do_not_depend_on_what_is_batched_with_it() {
    const BATCH: usize = 16;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/clip-flora");
    let clip = Clip::open(&ModelSettings::new(folder)).unwrap();
    let size = (clip.preprocess.crop * clip.preprocess.crop * 3) as usize;
    let picture = |n: usize| -> Vec<u8> { (0..size).map(|i| ((i * (7 + n) + i / (n + 3)) % 251) as u8).collect() };
    for number in [Kind::Float, Kind::BFloat16] {
        let tower = clip.vision().unwrap().map(&|t| t.to_kind(number));
        let tower = FrozenTower::new(tower, Normaliser::new(&clip.preprocess, Device::Cpu, number));
        let rows = |places: &[usize]| {
            let _no_grad = tch::no_grad_guard();
            microclip_pipe::cores::one_thread_a_kernel();
            let pixels: Vec<u8> = places.iter().flat_map(|&n| picture(n)).collect();
            let seen = tower.see(&pixels, BATCH).unwrap();
            let flat = |t: &Tensor| t.flatten(1, -1).to_kind(Kind::Float);
            Tensor::cat(&[flat(&seen.cls), flat(&seen.cls_token), flat(&seen.patch_tokens)], 1)
        };
        let forwards: Vec<usize> = (0..40).collect();
        let all = rows(&forwards);
        let backwards: Vec<usize> = (0..40).rev().collect();
        assert!(rows(&backwards).flip([0]).equal(&all), "{number:?}: another order gives other bits");
        for count in [1, 5, 16, 17] {
            let places: Vec<usize> = (20..20 + count).collect();
            assert!(rows(&places).equal(&all.narrow(0, 20, count as i64)), "{number:?}: {count} pictures");
        }
    }
}

/// A picture that lies in both splits is of the test split, whichever of its paths comes first.
#[test]
fn a_picture_in_both_splits_is_not_trained_on_whatever_its_names() {
    let splits = |names: [&str; 2]| {
        let pipeline = Pipeline::new(3, 1);
        let bytes = std::fs::read(pipeline.path("pictures/train/red_rose/0001.png")).unwrap();
        for (split, name) in ["train", "test"].into_iter().zip(names) {
            std::fs::write(pipeline.path("pictures").join(split).join("red_rose").join(name), &bytes).unwrap();
        }
        let output = pipeline.output("ingest", &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("2 of these lie in another split"), "{said}");
        pipeline.sql("SELECT image_id, split FROM images ORDER BY image_id")
    };
    let first = splits(["a.png", "z.png"]);
    assert_eq!(first, splits(["z.png", "a.png"]));
    assert_eq!(first.iter().filter(|row| row["split"] == "test").count(), 4);
}

/// Nothing is merged without a word: what each file says by itself can be asked for.
#[test]
fn equal_files_are_counted_and_listed_with_the_split_and_label_of_each() {
    let pipeline = Pipeline::new(3, 1);
    let picture = |place: &str| pipeline.path("pictures").join(place);
    std::fs::copy(picture("train/red_rose/0001.png"), picture("train/blue_bell/again.png")).unwrap();
    let output = pipeline.output("ingest", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 file has the same bytes"), "{said}");
    assert!(said.contains("1 of these has another label than the first"), "{said}");
    let listed = pipeline.sql(
        "SELECT split_part(path, '/', -2) AS folder, split, name FROM equal_files \
         JOIN classes USING (class_id) ORDER BY folder",
    );
    assert_eq!(
        listed,
        [
            json!({"folder": "blue_bell", "split": "train", "name": "blue bell"}),
            json!({"folder": "red_rose", "split": "train", "name": "red rose"}),
        ]
    );
    let pairs = pipeline.sql("SELECT cosine, truth, other_truth FROM duplicates");
    assert_eq!(pairs, [json!({"cosine": 1.0, "truth": "blue bell", "other_truth": "red rose"})]);
}
