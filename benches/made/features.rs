//! The frozen tables of pictures that were ingested, with features drawn around their classes.
//!
//! A class lies where its sentences say, and a little beside it: the first is what zero-shot finds,
//! the second what adaptation can learn. Names of tables and spaces are taken from the store, which
//! a real `embed` of a few pictures has to have filled before.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array};
use arrow::datatypes::{DataType, Field};
use microclip_pipe::fusion::normalize;
use microclip_pipe::store::layout::{Partition, Store};
use microclip_pipe::store::reader;
use microclip_pipe::table::{self, arrays, tensor};
use serde_json::json;
use tch::{Kind, Tensor};

/// The tables to fill, as far as the store has them.
const TABLES: [&str; 4] = ["embeddings", "view_features", "composites", "second_features"];
/// How far a class lies from what its sentences say, and a feature from its class; lengths of
/// vectors, where the sentences' has length 1.
const BESIDE: f64 = 0.5;
const NOISE: f64 = 0.9;
/// Rows made at once, and of a part, as `embed.part_rows` has them.
const ROWS: usize = 2048;

/// Fills the frozen tables of a dataset's pictures.
pub fn fill(store: &Path, dataset: &str) -> serde_json::Value {
    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(0);
    let store = Store::open(store).unwrap();
    let classes = Classes::of(&store);
    let images = reader::batches(&store.partition("images", dataset).unwrap(), Some(&["image_id"]), ROWS).unwrap();
    let labels =
        reader::batches(&store.partition("labels", dataset).unwrap(), Some(&["image_id", "class_id"]), ROWS).unwrap();
    let tables: Vec<Table> = TABLES.iter().flat_map(|name| Table::of(&store, name)).collect();
    let mut rows = 0;
    for (images, labels) in images.zip(labels) {
        let (images, labels) = (images.unwrap(), labels.unwrap());
        let ids = arrays::strings(&images, "image_id").unwrap();
        assert_eq!(ids, arrays::strings(&labels, "image_id").unwrap(), "every picture has a label");
        let centres = classes.of_rows(arrays::int32s(&labels, "class_id").unwrap());
        tables.iter().for_each(|table| table.append(&ids, &centres));
        rows += ids.len();
    }
    let names: Vec<String> = tables.iter().map(|table| table.partition.dir().display().to_string()).collect();
    json!({ "pictures": rows, "tables": names })
}

/// Where the classes lie.
struct Classes(Tensor);

impl Classes {
    /// Places the classes where the store's only space of sentences has the means of their
    /// sentences, less what all have in common.
    fn of(store: &Store) -> Self {
        let names = store.partitions("text_features").unwrap();
        let [name] = names.as_slice() else { panic!("one space of sentences, not {names:?}") };
        let (mut classes, mut features) = (Vec::new(), Vec::new());
        let partition = store.partition("text_features", name).unwrap();
        for batch in reader::batches(&partition, Some(&["class_id", "feature"]), ROWS).unwrap() {
            let batch = batch.unwrap();
            classes.extend(arrays::int32s(&batch, "class_id").unwrap().iter().map(|&class| i64::from(class)));
            features.push(tensor::from_vectors(&batch, "feature").unwrap());
        }
        let features = Tensor::cat(&features, 0);
        let count = classes.iter().max().unwrap() + 1;
        let sums = Tensor::zeros([count, features.size()[1]], tch::kind::FLOAT_CPU);
        let sums = normalize(&sums.index_add(0, &Tensor::from_slice(&classes), &features));
        let sentences = normalize(&(&sums - sums.mean_dim(0, true, Kind::Float)));
        Classes(&sentences + noise(&sentences.size(), BESIDE))
    }

    /// Returns the places (rows, d) of the classes of rows.
    fn of_rows(&self, classes: &[i32]) -> Tensor {
        self.0.index_select(0, &Tensor::from_slice(classes))
    }
}

/// A table that is filled, as its first part has it.
struct Table {
    name: &'static str,
    partition: Partition,
    footer: reader::Footer,
}

impl Table {
    /// Returns a table of the store in each of its spaces.
    fn of(store: &Store, name: &'static str) -> Vec<Table> {
        let spaces = store.partitions(name).unwrap().into_iter();
        spaces
            .map(|space| {
                let partition = store.partition(name, &space).unwrap();
                let footer = reader::footer(&partition.parts().unwrap()[0]).unwrap();
                Table { name, partition, footer }
            })
            .collect()
    }

    /// Writes a part of rows whose classes lie at `centres` (rows, d).
    fn append(&self, ids: &[&str], centres: &Tensor) {
        let columns = self.footer.schema.fields().iter().map(|field| {
            let column = match field.name().as_str() {
                "space" => arrays::repeated(self.partition.name(), ids.len()),
                "image_id" => arrays::text(ids),
                _ => self.column(field, centres),
            };
            (field.name().as_str(), column)
        });
        let batch = table::rows(self.name, &self.footer.schema, columns).unwrap();
        // What is not the space's is written anew.
        let pairs = self.footer.pairs.iter().filter(|(key, _)| key.starts_with("space"));
        let pairs: Vec<(String, String)> = pairs.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut part = self.partition.append(&self.footer.schema, &pairs).unwrap();
        part.write(&batch).unwrap();
        part.finish().unwrap();
    }

    /// Returns a column by its type: features one after the other, tokens of which every second one
    /// is of the foreground and of the class, their mask, numbers.
    fn column(&self, field: &Field, centres: &Tensor) -> ArrayRef {
        let [rows, width] = <[i64; 2]>::try_from(centres.size()).unwrap();
        match field.data_type() {
            DataType::FixedSizeList(_, length) if field.name() == "boxes" => {
                tensor::to_vectors(&Tensor::zeros([rows, i64::from(*length)], tch::kind::FLOAT_CPU)).unwrap()
            }
            DataType::FixedSizeList(_, length) => {
                let many = i64::from(*length) / width;
                tensor::to_vectors(&normalize(&around(&centres.unsqueeze(1), &[rows, many, width]))).unwrap()
            }
            DataType::FixedSizeBinary(patches) if field.name() == "mask" => {
                tensor::to_tensors_u8(&foreground(i64::from(*patches)).expand([rows, i64::from(*patches)], false))
                    .unwrap()
            }
            DataType::FixedSizeBinary(bytes) => {
                let patches = i64::from(*bytes) / 2 / width;
                let class = centres.unsqueeze(1) * foreground(patches).unsqueeze(1);
                let tokens = normalize(&around(&class, &[rows, patches, width])) * (width as f64).sqrt();
                tensor::to_tensors_f16(&tokens).unwrap()
            }
            DataType::Float32 => Arc::new(Float32Array::from(vec![0.1; rows as usize])),
            other => panic!("no rule for column `{}` of {other}", field.name()),
        }
    }
}

/// Returns 1 for every second patch, else 0.
fn foreground(patches: i64) -> Tensor {
    Tensor::arange(patches, tch::kind::FLOAT_CPU).remainder(2.0)
}

/// Returns vectors scattered around centres, which are expanded to `size`.
fn around(centres: &Tensor, size: &[i64]) -> Tensor {
    centres.expand(size, false) + noise(size, NOISE)
}

/// Returns vectors of a mean length, in any direction.
fn noise(size: &[i64], length: f64) -> Tensor {
    let width = *size.last().unwrap() as f64;
    Tensor::randn(size, tch::kind::FLOAT_CPU) * (length / width.sqrt())
}
