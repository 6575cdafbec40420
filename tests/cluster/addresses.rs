//! Pictures and models that lie on a store of objects, as each executor fetches them.

use std::fs;

use super::{Cluster, SMALL};
use crate::objects::{MODEL, put_model};
use crate::rows::rows;

/// What all machines have in the same place, as tables name the pictures that lie there.
const MACHINE: &str = "driver";

#[test]
fn an_executor_fetches_the_model_and_the_pictures_of_its_units() {
    let cluster = Cluster::on_objects(4, 1);
    let server = cluster.objects.as_ref().unwrap();
    let alone = cluster.alone("embed", &SMALL);
    server.put_folder("pictures", &cluster.pipeline.path("pictures"));
    put_model(server);
    cluster.pipeline.spec("small", "kind = \"folder\"\npath = \"s3://birds/pictures\"");
    cluster.pipeline.set_model(MODEL);
    let _scheduler = cluster.scheduler(&[]);
    let mut driver = cluster.driver("embed", &SMALL);
    driver.until_it_says("no executor is there");
    // What an executor on another machine finds there.
    fs::remove_dir_all(cluster.pipeline.path(MACHINE).join("objects")).unwrap();
    server.given();
    let _executor = cluster.executor(MACHINE);
    driver.end().well();

    let given = server.given();
    let of = |prefix: &str| given.iter().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<String>>();
    let mut pictures = of("pictures/");
    pictures.sort_unstable();
    assert_eq!(pictures, server.keys("pictures"), "each picture once");
    let mut models = of("models/");
    models.dedup();
    assert!(models.contains(&"models/flora/model.safetensors".to_owned()) && models.len() == 5, "{models:?}");
    // The pictures have other paths here, and are the same.
    let (store, alone) = (rows(&cluster.store()), rows(&alone));
    for table in ["embeddings", "composites"] {
        assert_eq!(store[table], alone[table], "{table}");
    }
}
