//! A store with four pictures of three classes, one space of each kind, and a run of two passes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use microclip_pipe::store::Store;
use microclip_pipe::table::{self, Dims, Visible, arrays};

/// `aaaa…`, `bbbb…` and so on, 64 digits.
pub fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn ids(letters: &str) -> ArrayRef {
    arrays::text(letters.chars().map(id))
}

fn i32s(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn f32s(values: &[f32]) -> ArrayRef {
    Arc::new(Float32Array::from(values.to_vec()))
}

fn f64s(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    arrays::text(values)
}

fn logits(values: &[f32]) -> ArrayRef {
    arrays::fixed_list_f32(values, 3).unwrap()
}

fn moment(value: Option<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(vec![value]).with_timezone("UTC"))
}

/// Writes it under `root`; the visible is that of the run `r1`.
pub fn build(root: &Path) -> (Store, Visible) {
    let store = Store::open(root.join("store")).unwrap();
    let dims = Dims::from([("d", 2), ("N", 2), ("D", 2), ("T", 3), ("V", 2), ("C", 3), ("E", 2), ("F", 2)]);
    let write = |name: &str, partition: &str, columns: Vec<ArrayRef>| {
        let schema = table::table(name).unwrap().arrow(&dims).unwrap();
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        store
            .partition(name, partition)
            .unwrap()
            .append(&schema, &[])
            .map(|mut w| {
                w.write(&batch).unwrap();
                w.finish().unwrap()
            })
            .unwrap();
    };
    let names = ["iris/1.jpg", "iris/2.jpg", "rose/1.jpg", "tulip/1.png"];
    write(
        "images",
        "flowers",
        vec![
            ids("abcd"),
            texts(&names),
            arrays::text_lists([
                vec!["iris/1.jpg"],
                vec!["iris/2.jpg", "copy/2.jpg"],
                vec!["rose/1.jpg"],
                vec!["tulip/1.png"],
            ]),
            texts(&["train", "train", "train", "test"]),
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"jpeg bytes".as_slice()), None, Some(b"x"), None])),
            arrays::int64(vec![10, 2048, 1, 99]),
            Arc::new(Int64Array::from(vec![None, Some(1_700_000_000_000_000_000), None, None])),
            arrays::optional_text([None::<&str>; 4]),
            Arc::new(Int64Array::new_null(4)),
            Arc::new(Int64Array::new_null(4)),
            texts(&["jpeg", "jpeg", "jpeg", "png"]),
            i32s(&[96, 96, 120, 64]),
            i32s(&[96, 64, 96, 64]),
        ],
    );
    write(
        "rejected",
        "flowers",
        vec![
            texts(&["rose/broken.jpg"]),
            texts(&["ingest"]),
            texts(&["truncated"]),
            texts(&["the file ends in the middle of a scan"]),
            ids("e"),
        ],
    );
    write("labels", "flowers", vec![ids("abcd"), i32s(&[0, 0, 1, 2])]);
    let of_files = Arc::new(Int32Array::from(vec![Some(0), None]));
    let files = texts(&["iris/2.jpg", "copy/2.jpg"]);
    write("equal_files", "flowers", vec![ids("bb"), files, texts(&["train", "test"]), of_files]);
    write("constant_pictures", "flowers", vec![ids("c"), texts(&["#ffffff"])]);
    write(
        "read_files",
        "flowers",
        vec![
            texts(&["rose/2.jpg"]),
            arrays::int64(vec![512]),
            Arc::new(Int64Array::from(vec![1_700_000_000_000_000_000])),
            ids("f"),
            texts(&["jpeg"]),
            i32s(&[96]),
            i32s(&[64]),
            i32s(&[1]),
            texts(&["#ffffff"]),
            Arc::new(StringArray::from(vec![None::<&str>])),
            Arc::new(StringArray::from(vec![None::<&str>])),
        ],
    );
    write("classes", "flowers", vec![i32s(&[0, 1, 2]), texts(&["iris", "rose", "tulip"])]);
    let twice = |value: &str| texts(&[value, value]);
    write(
        "llm_answers",
        "m-1",
        vec![
            twice("q-1"),
            Arc::new(TimestampMillisecondArray::from(vec![1, 2]).with_timezone("UTC")),
            twice("iris"),
            arrays::optional_text([None::<&str>, None]),
            twice("What does \"iris\" look like?"),
            i32s(&[2, 2]),
            twice("m"),
            arrays::optional_text([None, Some("m-2026")]),
            Arc::new(Float64Array::from(vec![None, Some(0.5)])),
            arrays::int64(vec![0, 0]),
            twice("json_schema"),
            arrays::optional_text([None, Some("{}")]),
            arrays::optional_text([Some("500"), None]),
            Arc::new(BooleanArray::from(vec![false, true])),
            Arc::new(Int64Array::from(vec![None, Some(9)])),
            Arc::new(Int64Array::from(vec![None, Some(30)])),
            i32s(&[6, 1]),
            f64s(&[12.0, 1.0]),
        ],
    );
    write(
        "llm_sentences",
        "flowers",
        vec![
            twice("iris"),
            i32s(&[0, 1]),
            arrays::optional_text([None::<&str>, None]),
            texts(&["An iris has three falls.", "an iris has three falls"]),
            arrays::optional_text([None, Some("double")]),
            Arc::new(BooleanArray::from(vec![true, false])),
            twice("q-1"),
        ],
    );
    write(
        "descriptions",
        "flowers",
        vec![
            i32s(&[0, 1]),
            i32s(&[0, 0]),
            texts(&["description", "template"]),
            texts(&["An iris has three falls.", "a photo of a rose."]),
        ],
    );
    write(
        "text_features",
        "txt-1",
        vec![
            texts(&["txt-1", "txt-1"]),
            i32s(&[0, 1]),
            i32s(&[0, 0]),
            texts(&["description", "template"]),
            texts(&["An iris has three falls.", "a photo of a rose."]),
            arrays::fixed_list_f32(&[1.0, 0.0, 0.6, 0.8], 2).unwrap(),
            i32s(&[9, 7]),
            Arc::new(BooleanArray::from(vec![false, false])),
        ],
    );
    // One more than the dataset has: `f` is another dataset's.
    write(
        "embeddings",
        "img-1",
        vec![
            arrays::repeated("img-1", 5),
            ids("abcdf"),
            arrays::fixed_list_f32(&[1.0, 0.0, 0.8, 0.6, 0.0, 1.0, -1.0, 0.0, 0.6, 0.8], 2).unwrap(),
            arrays::fixed_list_f32(&[0.5; 5 * 2], 2).unwrap(),
            arrays::fixed_binary(vec![0; 5 * 2 * 2 * 2], 8).unwrap(),
            f32s(&[0.3, 0.2, 0.1, 0.05, 0.5]),
            arrays::fixed_binary(vec![1, 0, 1, 1, 0, 0, 1, 0, 1, 1], 2).unwrap(),
        ],
    );
    // `a` and `b` have each other, and `f` is not among these pictures.
    write(
        "neighbours",
        "nn-1",
        vec![
            arrays::repeated("nn-1", 8),
            arrays::text("aabbccdd".chars().map(id)),
            i32s(&[1, 2, 1, 2, 1, 2, 1, 2]),
            arrays::text("bcacbaca".chars().map(id)),
            f32s(&[0.995, 0.5, 0.995, 0.6, 0.6, 0.5, 0.992, -1.0]),
        ],
    );
    write(
        "block_tokens",
        "blk-1",
        vec![arrays::repeated("blk-1", 5), ids("abcdf"), arrays::fixed_binary(vec![0; 5 * 3 * 2 * 2], 12).unwrap()],
    );
    write(
        "view_features",
        "view-1",
        vec![
            arrays::repeated("view-1", 5),
            ids("abcdf"),
            arrays::fixed_list_f32(&[0.5; 5 * 2 * 2], 4).unwrap(),
            arrays::fixed_list_f32(&[8.0; 5 * 2 * 4], 8).unwrap(),
        ],
    );
    write(
        "composites",
        "comp-1",
        vec![
            arrays::repeated("comp-1", 5),
            ids("abcdf"),
            arrays::fixed_list_f32(&[0.6, 0.8, 0.8, 0.6, 0.0, 1.0, -1.0, 0.0, 0.6, 0.8], 2).unwrap(),
            arrays::fixed_list_f32(&[[0.6, 0.8]; 5].concat(), 2).unwrap(),
            arrays::fixed_list_f32(&[[0.8, 0.6]; 5].concat(), 2).unwrap(),
        ],
    );
    write(
        "second_features",
        "second-1",
        vec![
            arrays::repeated("second-1", 5),
            ids("abcdf"),
            arrays::fixed_list_f32(&[0.5; 5 * 2], 2).unwrap(),
            arrays::fixed_list_f32(&[0.25; 5 * 2], 2).unwrap(),
        ],
    );
    write(
        "second_classes",
        "r1",
        vec![
            arrays::repeated("r1", 3),
            i32s(&[0, 1, 2]),
            f64s(&[4.0; 3]),
            f64s(&[0.5, -0.5, 0.0]),
            f64s(&[0.3, 0.4, 0.3]),
            arrays::fixed_list_f32(&[1.0, 0.0, 0.0, 1.0, 0.6, 0.8], 2).unwrap(),
            arrays::fixed_list_f32(&[0.1; 3 * 2], 2).unwrap(),
        ],
    );
    let prior = [0.9, 0.1, 0.0, 0.2, 0.3, 0.1, 0.1, 0.5, 0.4, 0.0, 0.2, 0.7];
    write("prior_logits", "r1", vec![arrays::repeated("r1", 4), ids("abcd"), logits(&prior)]);
    let fusion = [0.8, 0.2, 0.0, 0.6, 0.1, 0.2, 0.1, 0.2, 0.6, 0.1, 0.1, 0.8];
    for (pass, fusion) in [(0, prior), (1, fusion)] {
        write(
            "fusion_logits",
            "r1",
            vec![arrays::repeated("r1", 4), arrays::repeated_i32(pass, 4), ids("abcd"), logits(&fusion)],
        );
    }
    for (pass, class, previous) in [(0, [0, 1, 1, 2], None), (1, [0, 0, 2, 2], Some([0, 1, 1, 2]))] {
        write(
            "pseudo_labels",
            "r1",
            vec![
                arrays::repeated("r1", 4),
                arrays::repeated_i32(pass, 4),
                ids("abcd"),
                i32s(&class),
                f32s(&[0.99, 0.6, 0.55, 0.9]),
                f32s(&[0.98, 0.3, 0.2, 0.85]),
                Arc::new(Int32Array::from_iter((0..4).map(|i| previous.map(|p: [i32; 4]| p[i])))),
            ],
        );
        write(
            "passes",
            "r1",
            vec![
                arrays::repeated("r1", 1),
                i32s(&[pass]),
                f64s(&[1.5 - f64::from(pass)]),
                f64s(&[1.25]),
                Arc::new(Float64Array::from(vec![None])),
                arrays::int64(vec![if pass == 0 { 0 } else { 2 }]),
                arrays::int64(vec![i64::from(pass)]),
                f64s(&[0.76]),
                f64s(&[1e-4]),
                arrays::int64(vec![4]),
                arrays::int64(vec![1]),
                f64s(&[0.5]),
                // RandAugment spares all views of the second pass.
                f64s(&[0.75]),
                Arc::new(Float64Array::from(vec![(pass == 0).then_some(0.5)])),
                Arc::new(Float64Array::from(vec![(pass == 0).then_some(0.25)])),
                Arc::new(Int32Array::from(vec![None])),
            ],
        );
    }
    write(
        "top_logits",
        "r1",
        vec![
            arrays::repeated("r1", 1),
            i32s(&[5]),
            ids("a"),
            arrays::number_lists(Int32Array::from(vec![2, 0]), 1).unwrap(),
            arrays::number_lists(Float32Array::from(vec![0.5, 0.25]), 1).unwrap(),
        ],
    );
    write(
        "predictions",
        "r1",
        vec![
            arrays::repeated("r1", 4),
            ids("abcd"),
            texts(&["train", "train", "train", "test"]),
            i32s(&[0, 0, 2, 2]),
            f32s(&[0.99, 0.7, 0.6, 0.95]),
            f32s(&[0.9, 0.5, 0.3, 0.9]),
            i32s(&[0, 1, 1, 2]),
        ],
    );
    write(
        "metrics",
        "r1",
        vec![
            arrays::repeated("r1", 2),
            i32s(&[0, 2]),
            texts(&["zero_shot", "adapted"]),
            texts(&["test", "test"]),
            texts(&["top1", "top1"]),
            f64s(&[0.5, 0.75]),
            arrays::int64(vec![2, 2]),
        ],
    );
    write(
        "runs",
        "r1",
        vec![
            arrays::repeated("r1", 1),
            texts(&["pipelines/flowers.toml"]),
            texts(&["flowers"]),
            texts(&["head"]),
            arrays::int64(vec![7]),
            moment(Some(1_700_000_000_000)),
            moment(None),
            f64s(&[1.5]),
            arrays::int64(vec![4]),
            arrays::int64(vec![0]),
            arrays::int64(vec![0]),
            texts(&["{}"]),
            texts(&["{}"]),
            arrays::int64(vec![1]),
            f64s(&[1.5]),
            f64s(&[0.8]),
            Arc::new(StringArray::from(vec![None::<&str>])),
        ],
    );
    for (ablation, pipeline, run, value) in [("depth", "flowers", "r1", 0.75), ("width", "leaves", "r9", 0.5)] {
        write(
            "ablations",
            ablation,
            vec![
                texts(&[ablation]),
                texts(&[pipeline]),
                texts(&["head"]),
                arrays::int64(vec![7]),
                texts(&["adapted"]),
                texts(&["test"]),
                texts(&["top1"]),
                texts(&["adapt.tune=head"]),
                texts(&[run]),
                f64s(&[value]),
                f64s(&[1.5]),
            ],
        );
    }
    for (ablation, pipeline, standing) in [("depth", "flowers", Some(1.0)), ("width", "leaves", None)] {
        write(
            "criteria",
            ablation,
            vec![
                texts(&[ablation]),
                texts(&[pipeline]),
                texts(&["head"]),
                texts(&["spread"]),
                texts(&["test"]),
                f64s(&[2.5]),
                f64s(&[1.0]),
                Arc::new(Float64Array::from(vec![standing])),
                Arc::new(BooleanArray::from(vec![standing.is_some()])),
            ],
        );
    }
    // An earlier run, when the dataset had two classes.
    let schema = table::table("prior_logits").unwrap().arrow(&Dims::from([("C", 2)])).unwrap();
    let columns = vec![arrays::repeated("two-classes", 1), ids("a"), arrays::fixed_list_f32(&[0.4, 0.6], 2).unwrap()];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    store.partition("prior_logits", "two-classes").unwrap().write_part("a", &schema, &[batch], &[]).unwrap();

    let visible = Visible {
        dataset: "flowers".into(),
        spaces: [
            ("embeddings", "img-1"),
            ("view_features", "view-1"),
            ("composites", "comp-1"),
            ("neighbours", "nn-1"),
            ("block_tokens", "blk-1"),
            ("second_features", "second-1"),
            ("text_features", "txt-1"),
        ]
        .map(|(table, name)| (table, name.to_owned()))
        .into(),
        runs: vec!["r1".into()],
        priors: [].into(),
    };
    (store, visible)
}
