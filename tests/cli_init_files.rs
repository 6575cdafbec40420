//! What the real binary's `init` writes: over which files, about which classes, and what it says of
//! them.

use crate::cli_init::{init, refused};
use crate::pipeline::Pipeline;

#[test]
fn a_folder_in_the_place_of_the_pipeline_file_is_called_one() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::create_dir(pipeline.path("p.toml")).unwrap();
    let said = refused(&pipeline, &["pictures", "--output", "p.toml"]);
    assert!(said.contains("p.toml is a folder") && !said.contains("--force"), "{said}");
}

#[test]
fn a_pipeline_file_that_is_a_link_is_overwritten_where_it_leads() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::create_dir(pipeline.path("versioned")).unwrap();
    pipeline.write("versioned/mine.toml", "name = \"mine\"\n");
    std::os::unix::fs::symlink("versioned/mine.toml", pipeline.path("p.toml")).unwrap();
    init(&pipeline, "pictures");
    assert!(pipeline.path("p.toml").is_symlink());
    let written = std::fs::read_to_string(pipeline.path("versioned/mine.toml")).unwrap();
    assert!(written.contains("[dataset]"), "{written}");
}
