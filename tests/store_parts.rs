//! A part exists if and only if it is whole.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use microclip_pipe::store::once::Once;
use microclip_pipe::store::{Partition, Store, Turn, reader};
use microclip_pipe::table::{self, Dims, arrays};

fn labels() -> SchemaRef {
    table::table("labels").unwrap().arrow(&Dims::new()).unwrap()
}

fn rows(from: i32, to: i32) -> RecordBatch {
    let ids = arrays::text((from..to).map(|i| format!("{i:064x}")));
    let classes: ArrayRef = Arc::new(Int32Array::from_iter_values(from..to));
    RecordBatch::try_new(labels(), vec![ids, classes]).unwrap()
}

fn files(partition: &Partition) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(partition.dir()) else { return BTreeSet::new() };
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn image_ids(partition: &Partition) -> microclip_pipe::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    reader::each_image_id(partition, |id| ids.extend([id.to_owned()]))?;
    Ok(ids)
}

fn partition(dir: &tempfile::TempDir) -> Partition {
    Store::open(dir.path().join("store")).unwrap().partition("labels", "flowers").unwrap()
}

#[test]
fn a_finished_part_is_read_back_with_its_footer() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    let pair = ("source".to_owned(), "drawn".to_owned());
    let info = partition.write_part("a", &labels(), &[rows(0, 3), rows(3, 5)], &[pair]).unwrap();
    assert_eq!(info.rows, 5);
    assert_eq!(info.bytes, fs::metadata(&info.path).unwrap().len());
    assert_eq!(files(&partition), BTreeSet::from(["a.parquet".to_owned()]));

    let footer = reader::footer(&info.path).unwrap();
    assert_eq!(footer.schema, labels());
    assert_eq!((footer.rows, footer.bytes), (5, info.bytes));
    assert_eq!(footer.pairs["table"], "labels");
    assert_eq!(footer.pairs["schema_version"], "3");
    assert_eq!(footer.pairs["source"], "drawn");

    let read: Vec<RecordBatch> = reader::batches(&partition, None, 4).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [rows(0, 4), rows(4, 5)]);
    assert_eq!(image_ids(&partition).unwrap().len(), 5);
}

#[test]
fn rows_of_some_pictures_are_read_from_the_parts_that_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    for (name, from) in [("a", 0), ("b", 2_000), ("c", 4_000)] {
        partition.write_part(name, &labels(), &[rows(from, from + 2_000)], &[]).unwrap();
    }
    let wanted = [7, 8, 1_999, 4_000];
    let of = |id: &str| wanted.iter().any(|n| id == format!("{n:064x}"));
    let found = reader::rows_with(&partition, &["image_id", "class_id"], of).unwrap();
    let found: Vec<Vec<i32>> =
        found.map(|batch| arrays::int32s(&batch.unwrap(), "class_id").unwrap().to_vec()).collect();
    assert_eq!(found, [vec![7, 8, 1_999], vec![4_000]]);
    assert_eq!(reader::rows_with(&partition, &["class_id"], |_| false).unwrap().count(), 0);
}

#[test]
fn an_unfinished_part_cannot_be_seen_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    partition.write_part("a", &labels(), &[rows(0, 2)], &[]).unwrap();
    let mut writer = partition.writer("a", &labels(), &[]).unwrap();
    writer.write(&rows(2, 9)).unwrap();
    assert_eq!(partition.parts().unwrap().len(), 1);
    assert_eq!(reader::count_rows(&partition).unwrap(), 2);
    drop(writer);
    assert_eq!(files(&partition), BTreeSet::from(["a.parquet".to_owned()]));
    assert_eq!(reader::count_rows(&partition).unwrap(), 2);
}

#[test]
fn writers_at_the_same_time_get_names_of_their_own_and_keep_each_others_temporaries() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    let mut writers: Vec<_> = (0..4).map(|_| partition.append(&labels(), &[]).unwrap()).collect();
    for (i, writer) in (0..).zip(&mut writers) {
        writer.write(&rows(i, i + 1)).unwrap();
    }
    for writer in writers.into_iter().rev() {
        writer.finish().unwrap();
    }
    let names: Vec<String> = (0..4).map(|n| format!("part-{n:05}.parquet")).collect();
    assert_eq!(files(&partition), names.into_iter().collect());
    assert_eq!(image_ids(&partition).unwrap().len(), 4);
}

#[test]
fn what_a_killed_process_left_is_swept_and_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    fs::create_dir_all(partition.dir()).unwrap();
    fs::write(partition.dir().join("4242-0.tmp"), b"half a file").unwrap();
    assert_eq!(partition.parts().unwrap().len(), 0);
    partition.append(&labels(), &[]).unwrap().finish().unwrap();
    assert_eq!(files(&partition), BTreeSet::from(["part-00000.parquet".to_owned()]));
}

#[test]
fn replacing_leaves_only_the_new_rows() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    for name in ["a", "b"] {
        partition.write_part(name, &labels(), &[rows(0, 4)], &[]).unwrap();
    }
    partition.replace("a", &labels(), &[rows(7, 8)], &[]).unwrap();
    assert_eq!(image_ids(&partition).unwrap(), BTreeSet::from([format!("{:064x}", 7)]));
}

#[test]
fn rows_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = partition(&dir).append(&labels(), &[]).unwrap();
    let other = RecordBatch::try_from_iter([("image_id", arrays::text(["a"])), ("class_id", arrays::text(["b"]))]);
    let error = writer.write(&other.unwrap()).unwrap_err().to_string();
    assert!(error.contains("`class_id` Utf8 where the table has `class_id` Int32"), "{error}");
}

#[test]
fn a_damaged_part_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    let info = partition.write_part("a", &labels(), &[rows(0, 2)], &[]).unwrap();
    let bytes = fs::read(&info.path).unwrap();
    fs::write(&info.path, &bytes[..bytes.len() / 2]).unwrap();
    let error = image_ids(&partition).unwrap_err();
    assert!(error.to_string().contains("a.parquet"), "{error}");
    assert!(error.hint_text().unwrap().contains("sets it aside"));
    fs::write(&info.path, b"").unwrap();
    assert!(reader::footer(&info.path).is_err());
}

#[test]
fn a_missing_column_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let partition = partition(&dir);
    partition.write_part("a", &labels(), &[rows(0, 2)], &[]).unwrap();
    let mut batches = reader::batches(&partition, Some(&["name"]), 10).unwrap();
    assert!(batches.next().unwrap().unwrap_err().to_string().contains("no column `name`"));
    assert!(batches.next().is_none());
}

/// Two processes that worked out what is missing before either had written anything.
#[test]
fn a_picture_that_another_process_has_added_meanwhile_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let filling = || Once::new(partition(&dir), labels(), Vec::new(), Box::new(|_: &str| true));
    let (mut one, mut two, mut three) = (filling(), filling(), filling());
    let part = |filling: &Once, from: i32, to: i32| {
        let mut part = filling.begin().unwrap();
        part.write(&rows(from, to)).unwrap();
        part
    };
    let (first, second, third) = (part(&one, 0, 4), part(&two, 2, 6), part(&three, 1, 5));
    one.finish(first).unwrap();
    two.finish(second).unwrap();
    three.finish(third).unwrap();
    let again = part(&one, 5, 8);
    one.finish(again).unwrap();
    let partition = partition(&dir);
    let mut all = Vec::new();
    reader::each_image_id(&partition, |id| all.push(id.to_owned())).unwrap();
    all.sort();
    let expected: Vec<String> = (0..8).map(|n| format!("{n:064x}")).collect();
    assert_eq!(all, expected);
    assert_eq!(files(&partition).len(), 3, "a part without new pictures is none, and nothing else is left");
    assert_eq!(reader::footer(&partition.parts().unwrap()[1]).unwrap().rows, 2);
}

#[test]
fn the_number_of_a_part_that_was_set_aside_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let Turn::Ours(store) = Store::try_share(dir.path().join("store"), Arc::new(|_: &str| {})).unwrap() else {
        panic!()
    };
    let partition = store.partition("labels", "flowers").unwrap();
    let once = || Once::new(partition.clone(), labels(), Vec::new(), Box::new(|_| true));
    let part = |once: &mut Once, from: i32, to: i32| {
        let mut part = once.begin().unwrap();
        part.write(&rows(from, to)).unwrap();
        once.finish(part).unwrap();
    };
    let (mut one, mut other) = (once(), once());
    part(&mut one, 0, 2);
    part(&mut one, 2, 4);
    store.set_aside(&partition.dir().join("part-00001.parquet"), "is of no use").unwrap();
    // The first has looked at the part that goes, and must look at the one that comes in its place.
    part(&mut other, 4, 6);
    part(&mut one, 4, 8);
    assert_eq!(
        files(&partition),
        ["part-00000.parquet", "part-00002.parquet", "part-00003.parquet"].map(str::to_owned).into()
    );
    let mut ids = Vec::new();
    reader::each_image_id(&partition, |id| ids.push(id.to_owned())).unwrap();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (6, 6), "pictures 0, 1 and 4 to 7, once each");
}
