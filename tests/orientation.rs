//! Pictures that cameras store on their side are seen as every viewer shows them.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::pipeline::Pipeline;

/// Replaces a picture by one of its pixels that is stored on its side, with EXIF data that turns it
/// back.
fn on_its_side(pipeline: &Pipeline, place: &str) {
    let path = pipeline.path(place);
    let upright = image::open(&path).unwrap().into_rgb8();
    // Orientation 6: turned clockwise to be shown.
    let stored = image::imageops::rotate270(&upright);
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec()).unwrap();
    encoder.write_image(&stored, stored.width(), stored.height(), ExtendedColorType::Rgb8).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_turned_picture_has_the_features_of_the_upright_one_unless_it_is_to_be_ignored() {
    const PLACE: &str = "pictures/train/red_rose/0001.png";
    let features = |settings: &[&str], turn: bool| {
        let pipeline = Pipeline::new(2, 1);
        if turn {
            on_its_side(&pipeline, PLACE);
        }
        let output = pipeline.output("embed", settings);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let rows = pipeline.sql(
            "SELECT cls_feature FROM embeddings JOIN images USING (image_id) WHERE path LIKE '%red_rose/0001.png'",
        );
        (rows, said.contains("1 picture is turned as EXIF data asks"))
    };
    let (upright, _) = features(&[], false);
    assert_eq!(features(&[], true), (upright.clone(), true));
    let (ignored, said) = features(&["--set", "dataset.orientation=ignore"], true);
    assert!(ignored != upright && !said);
}
