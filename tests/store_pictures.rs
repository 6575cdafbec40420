//! Pictures are read one at a time, in any order, without their neighbours.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use microclip_pipe::store::{PictureReader, Store, reader};
use microclip_pipe::table::{self, Dims, arrays};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn images() -> SchemaRef {
    table::table("images").unwrap().arrow(&Dims::new()).unwrap()
}

fn batch(pictures: &[Option<Vec<u8>>]) -> RecordBatch {
    let n = pictures.len();
    let names = || arrays::text((0..n).map(|i| format!("flowers/{i}.jpg")));
    let side: ArrayRef = Arc::new(Int32Array::from(vec![96; n]));
    let columns: Vec<ArrayRef> = vec![
        arrays::text((0..n).map(|i| format!("{i:064x}"))),
        names(),
        arrays::text_lists((0..n).map(|i| [format!("flowers/{i}.jpg")])),
        arrays::repeated("train", n),
        Arc::new(BinaryArray::from_iter(pictures)),
        arrays::int64(pictures.iter().map(|p| p.as_ref().map_or(0, Vec::len) as i64).collect()),
        Arc::new(Int64Array::new_null(n)),
        arrays::optional_text(vec![None::<&str>; n]),
        Arc::new(Int64Array::new_null(n)),
        Arc::new(Int64Array::new_null(n)),
        arrays::repeated("jpeg", n),
        side.clone(),
        side,
    ];
    RecordBatch::try_new(images(), columns).unwrap()
}

fn random_pictures(n: usize, bytes: usize) -> Vec<Option<Vec<u8>>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut picture = || {
        let mut bytes = vec![0; bytes + rng.random_range(0..100)];
        rng.fill_bytes(&mut bytes);
        Some(bytes)
    };
    (0..n).map(|_| picture()).collect()
}

#[test]
fn a_thousand_pictures_are_read_in_random_order() {
    let dir = tempfile::tempdir().unwrap();
    let partition = Store::open(dir.path()).unwrap().partition("images", "flowers").unwrap();
    let pictures = random_pictures(10_000, 8_000);
    let mut writer = partition.append(&images(), &[]).unwrap();
    for chunk in pictures.chunks(500) {
        writer.write(&batch(chunk)).unwrap();
    }
    let info = writer.finish().unwrap();
    assert!(info.bytes < 10_000 * 8_400, "the pictures are stored once: {}", info.bytes);

    let pictures_of = PictureReader::open(&info.path).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let rows: Vec<usize> = (0..1_000).map(|_| rng.random_range(0..pictures.len())).collect();
    for row in rows {
        assert_eq!(pictures_of.read(row).unwrap(), pictures[row], "row {row}");
    }
}

#[test]
fn rows_without_a_picture_and_all_row_groups_are_read_from_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let partition = Store::open(dir.path()).unwrap().partition("images", "flowers").unwrap();
    // More than one row group of 32 MiB, pictures of very different sizes, and runs of rows without
    // one.
    let mut pictures = random_pictures(60, 1_000_000);
    for row in [0, 1, 2, 17, 40, 41, 59] {
        pictures[row] = None;
    }
    pictures[5] = Some(vec![]);
    pictures[6] = Some(vec![9]);
    let info = partition.write_part("a", &images(), &[batch(&pictures)], &[]).unwrap();
    let pictures_of = PictureReader::open(&info.path).unwrap();
    assert_eq!(pictures_of.rows(), 60);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pictures, pictures_of) = (&pictures, &pictures_of);
            scope.spawn(move || {
                for i in 0..60 {
                    let row = (i * 7 + thread * 13) % 60;
                    assert_eq!(pictures_of.read(row).unwrap(), pictures[row], "row {row}");
                }
            });
        }
    });
    assert!(pictures_of.read(60).unwrap_err().to_string().contains("there is no row 60"));

    // The same part in order, as any other.
    let rows: usize = reader::batches(&partition, Some(&["bytes"]), 16).unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(rows, 60);
}

#[test]
fn a_part_of_another_table_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let partition = Store::open(dir.path()).unwrap().partition("classes", "flowers").unwrap();
    let schema = table::table("classes").unwrap().arrow(&Dims::new()).unwrap();
    let info = partition.write_part("a", &schema, &[], &[]).unwrap();
    assert!(PictureReader::open(&info.path).unwrap_err().to_string().contains("no column `bytes`"));
}
