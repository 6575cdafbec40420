//! Pictures that are one colour all over are counted and can be listed.

use image::{ImageBuffer, Luma};
use serde_json::json;

use crate::pipeline::Pipeline;

/// Writes 16-bit grey, all of it above 255: white, as in Pillow.
fn white(pipeline: &Pipeline, place: &str) {
    let tone = |x: u32, y: u32| Luma([(9_000 + 700 * x + 300 * y) as u16]);
    ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(32, 24, tone).save(pipeline.path(place)).unwrap();
}

fn ingested(pipeline: &Pipeline) -> String {
    let output = pipeline.output("ingest", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn pictures_of_one_colour_are_counted_and_listed_whether_decoded_or_known() {
    let pipeline = Pipeline::new(3, 1);
    assert!(!ingested(&pipeline).contains("one colour"));
    white(&pipeline, "pictures/train/red_rose/white.png");
    let said = ingested(&pipeline);
    assert!(said.contains("warning: 1 picture is one colour all over, such as "), "{said}");
    assert!(said.contains("red_rose/white.png (#ffffff); the table `constant_pictures` lists them"), "{said}");
    let listed = || {
        pipeline
            .sql("SELECT split_part(path, '/', -1) AS file, colour FROM constant_pictures JOIN images USING (image_id)")
    };
    assert_eq!(listed(), [json!({"file": "white.png", "colour": "#ffffff"})]);
    // Read again with one picture more: the white one is known, and not decoded.
    pipeline.picture("pictures/train/red_rose/0100.png", 1, 100);
    assert!(ingested(&pipeline).contains("1 picture is one colour"));
    assert_eq!(listed().len(), 1);
    // A store of before there was such a table: all pictures are looked at again.
    std::fs::remove_dir_all(pipeline.path("store/constant_pictures")).unwrap();
    assert!(ingested(&pipeline).contains("1 picture is one colour"));
    assert_eq!(listed().len(), 1);
}
