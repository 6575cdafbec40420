//! Data sets by their names: their Parquet, or what the hub converted them to.

use std::fs;

use super::{OnHub, ok, said};
use crate::pipeline::entries;
use crate::source_hf_parquet::{plain_images, texts, write};

const SHARD: &str = "data/train-00000-of-00001.parquet";

/// A Parquet file of pictures with these labels.
fn table(hub: &OnHub, labels: &[&str]) -> Vec<u8> {
    let path = hub.pipeline.path("table.parquet");
    write(&path, vec![("image", plain_images(labels.len() as u8)), ("label", texts(labels))], None);
    fs::read(path).unwrap()
}

/// Lets the pipeline name this data set.
fn named(hub: &OnHub, keys: &str) {
    hub.pipeline.spec("small", &format!("kind = \"hf-parquet\"\n{keys}"));
    let words = r#"{"rose": ["a rose."], "aster": ["an aster."], "lily": ["a lily."]}"#;
    hub.pipeline.write("sentences.json", words);
}

fn ingested(hub: &OnHub) -> String {
    ok(&hub.command("ingest", &[]).output().unwrap());
    let sql = "SELECT c.name, i.split, count(*) AS n FROM images i JOIN labels l USING (image_id) \
               JOIN classes c ON c.class_id = l.class_id GROUP BY 1, 2 ORDER BY 1, 2";
    ok(&hub.command("sql", &[sql, "--format", "csv"]).output().unwrap())
}

#[test]
fn the_parquet_of_a_repository_is_read_as_from_a_folder() {
    let hub = OnHub::new();
    let (train, test) = (table(&hub, &["rose", "aster", "rose"]), table(&hub, &["aster"]));
    let files = [(SHARD, train), ("data/test-00000-of-00001.parquet", test), ("README.md", b"#".to_vec())];
    let commit = hub.server.commit("datasets/tiny/flowers", "main", &files);
    named(&hub, "path = \"hf://datasets/tiny/flowers\"");
    let plan = ok(&hub.command("run", &["--dry-run"]).output().unwrap());
    assert!(plan.contains(&format!("hf://datasets/tiny/flowers@{commit}")) && plan.contains("2 files, "), "{plan}");
    let rows = ingested(&hub);
    insta::assert_snapshot!(rows, @r"
    name,split,n
    aster,test,1
    aster,train,1
    rose,train,1
    ");
    hub.server.asked();
    assert_eq!(ingested(&hub), rows);
    assert_eq!(hub.server.paths(), ["/api/datasets/tiny/flowers/revision/main"]);
    ok(&hub.command("ingest", &[]).env("HF_HUB_OFFLINE", "1").output().unwrap());
    assert_eq!(hub.server.paths(), [""; 0]);

    // Another commit is the same data set with other pictures.
    hub.server.commit("datasets/tiny/flowers", "main", &[(SHARD, table(&hub, &["lily", "rose", "lily"]))]);
    insta::assert_snapshot!(ingested(&hub), @r"
    name,split,n
    lily,train,2
    rose,train,1
    ");
    assert_eq!(entries(&hub.pipeline.path("store/images")).len(), 1);
}

#[test]
fn a_configuration_and_splits_are_chosen_by_key_and_nothing_else_is_fetched() {
    let hub = OnHub::new();
    let files = [
        ("large/train-00000-of-00001.parquet", table(&hub, &["rose", "aster", "lily"])),
        ("small/train-00000-of-00001.parquet", table(&hub, &["rose", "aster"])),
        ("small/test-00000-of-00001.parquet", table(&hub, &["rose"])),
    ];
    hub.server.commit("datasets/tiny/flowers", "v1", &files);
    named(&hub, "path = \"hf://datasets/tiny/flowers@v1\"");
    insta::assert_snapshot!(hub.refused(&mut hub.command("ingest", &[])), @r#"
    error: hf://datasets/tiny/flowers@v1 holds several data sets with the same splits, in large, small: they would be mixed
    hint: choose one: dataset.config = "large"
    exit code 1
    "#);
    named(&hub, "path = \"hf://datasets/tiny/flowers@v1\"\nconfig = \"small\"\nsplit = \"train\"");
    hub.server.asked();
    insta::assert_snapshot!(ingested(&hub), @r"
    name,split,n
    aster,train,1
    rose,train,1
    ");
    let paths = hub.server.paths();
    assert_eq!(paths.iter().filter(|path| path.contains("/resolve/")).count(), 1, "{paths:?}");
    named(&hub, "path = \"hf://datasets/tiny/flowers@v1\"\nconfig = \"small\"\nsplit = \"dev\"");
    insta::assert_snapshot!(hub.refused(&mut hub.command("ingest", &[])), @r"
    error: hf://datasets/tiny/flowers@v1 has no split 'dev'
    hint: its splits are test, train
    exit code 1
    ");
    named(&hub, "path = \"hf://datasets/tiny/flowers@v1\"\nconfig = \"huge\"");
    insta::assert_snapshot!(hub.refused(&mut hub.command("ingest", &[])), @r"
    error: hf://datasets/tiny/flowers@v1 has no Parquet files of a configuration 'huge'
    hint: its folders are large, small
    exit code 1
    ");
}

#[test]
fn a_repository_without_parquet_is_read_as_the_hub_converted_it() {
    let hub = OnHub::new();
    hub.server.commit("datasets/tiny/flowers", "main", &[("flowers.zip", vec![7; 9])]);
    named(&hub, "path = \"hf://datasets/tiny/flowers\"");
    insta::assert_snapshot!(hub.refused(&mut hub.command("ingest", &[])), @r#"
    error: hf://datasets/tiny/flowers has no Parquet files, nor has the hub converted it: hf://datasets/tiny/flowers has no revision 'refs/convert/parquet' (404)
    hint: python3 -c "from datasets import load_dataset; [d.to_parquet(f'FOLDER/{s}.parquet') for s, d in load_dataset('tiny/flowers').items()]" writes a folder of Parquet; then name the folder
    exit code 1
    "#);
    let converted = [("default/partial-train/0000.parquet", table(&hub, &["rose", "aster"]))];
    let commit = hub.server.commit("datasets/tiny/flowers", "refs/convert/parquet", &converted);
    let output = hub.command("ingest", &[]).output().unwrap();
    ok(&output);
    assert!(said(&output).contains("partial-train: the hub has converted only a part"), "{}", said(&output));
    let reference = hub.home().join("hub/datasets--tiny--flowers/refs/refs/convert/parquet");
    assert_eq!(fs::read_to_string(reference).unwrap(), commit);
    ok(&hub.command("ingest", &[]).env("HF_HUB_OFFLINE", "1").output().unwrap());

    // What names no commit finds it as well.
    let listed = hub.command("cache ls", &[]).output().unwrap();
    assert!(ok(&listed).contains("images") && !said(&listed).contains("not known"), "{}", said(&listed));
    ok(&hub.command("cache gc", &["--unreferenced", "--dry-run"]).output().unwrap());
    let grid = "name = \"tuning\"\nstore = \"store\"\npipelines = [\"pipeline.toml\"]\nseeds = [0]\nsplit = \"train\"\n\
                [[rows]]\nname = \"zero-shot\"\nmodel = \"zero_shot\"\nset = [\"adapt.tune=none\"]\n";
    hub.pipeline.write("grid.toml", grid);
    ok(&hub.program(&["ablate", "grid.toml"]).output().unwrap());
    let planned = ok(&hub.program(&["ablate", "grid.toml", "--dry-run"]).output().unwrap());
    assert!(planned.contains("cached"), "{planned}");
    // What is broken here is not taken for what is still to be fetched.
    hub.pipeline.write("sentences.json", "{");
    let broken = hub.program(&["ablate", "grid.toml", "--dry-run"]).output().unwrap();
    assert!(!broken.status.success() && said(&broken).contains("sentences.json"), "{}", said(&broken));
}

#[test]
fn a_part_of_a_data_set_is_never_taken_for_the_whole() {
    let hub = OnHub::new();
    let files = [
        ("data/train-00000-of-00002.parquet", table(&hub, &["rose", "aster"])),
        ("data/train-00001-of-00002.parquet", table(&hub, &["lily"])),
    ];
    let commit = hub.server.commit("datasets/tiny/flowers", "main", &files);
    named(&hub, "path = \"hf://datasets/tiny/flowers\"");
    ingested(&hub);
    let folder = hub.home().join("hub/datasets--tiny--flowers");
    let shard = folder.join(format!("snapshots/{commit}/data/train-00001-of-00002.parquet"));
    fs::remove_file(&shard).unwrap();
    let offline = |hub: &OnHub| hub.refused(hub.command("ingest", &[]).env("HF_HUB_OFFLINE", "1"));
    assert!(offline(&hub).contains("data/train-00001-of-00002.parquet is missing"), "{}", offline(&hub));
    // Without a listing, as Python may leave it, their names count the shards.
    fs::remove_dir_all(folder.join("trees")).unwrap();
    assert!(offline(&hub).contains("which files it has is not known"), "{}", offline(&hub));
    ok(&hub.command("ingest", &[]).output().unwrap());
    assert!(shard.exists());
    fs::remove_dir_all(folder.join("trees")).unwrap();
    ok(&hub.command("ingest", &[]).env("HF_HUB_OFFLINE", "1").output().unwrap());
}

#[test]
fn a_configuration_of_the_owner_and_one_of_the_hub_stay_apart() {
    let hub = OnHub::new();
    hub.server.commit("datasets/tiny/flowers", "main", &[("own/train.parquet", table(&hub, &["rose", "aster"]))]);
    let converted = [("other/train/0000.parquet", table(&hub, &["lily", "rose", "lily"]))];
    hub.server.commit("datasets/tiny/flowers", "refs/convert/parquet", &converted);
    let choose = |config: &str| named(&hub, &format!("path = \"hf://datasets/tiny/flowers\"\nconfig = \"{config}\""));
    let held = |rows: &str| {
        let listed = hub.command("cache ls", &[]).output().unwrap();
        let lines = ok(&listed);
        assert!(!said(&listed).contains("not known"), "{}", said(&listed));
        let used: Vec<_> = lines.lines().filter(|line| line.starts_with("images") && line.ends_with("yes")).collect();
        assert!(used.len() == 1 && used[0].split_whitespace().any(|word| word == rows), "{lines}");
    };
    for (config, rows) in [("own", "2"), ("other", "3")] {
        choose(config);
        ok(&hub.command("ingest", &[]).output().unwrap());
        held(rows);
    }
    // The one that was not fetched last means what it meant.
    choose("own");
    held("2");
    ok(&hub.command("ingest", &[]).output().unwrap());
    choose("other");
    held("3");
}
