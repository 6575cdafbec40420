//! The paper's data sets: each pipeline of `pipelines/paper` on a miniature of its layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use microclip_pipe::config::{absent, load, load_without_sentences};
use microclip_pipe::image::{ImageId, Limits, decode, probe};
use microclip_pipe::source::{Item, Origin, Split, guess, open};
use microclip_pipe::stage::ingest::{self, IngestSettings};

const NAMES: [&str; 18] = [
    "aid",
    "aircraft",
    "birdsnap",
    "caltech101",
    "cars",
    "cifar10",
    "cifar100",
    "cub200",
    "dtd",
    "eurosat",
    "flowers102",
    "food101",
    "gtsrb",
    "imagenet",
    "pets",
    "resisc45",
    "sun397",
    "ucf101",
];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The project's pipelines in a folder of their own, with the embedded model and no data set.
struct Project {
    folder: tempfile::TempDir,
}

/// A source that was opened, with what its pipeline makes of it.
struct Opened {
    items: Vec<Item>,
    classes: Vec<String>,
    training: u64,
}

impl Project {
    fn new() -> Self {
        let project_of = Project { folder: tempfile::tempdir().unwrap() };
        crate::pipeline::copy(&project("pipelines"), &project_of.path("pipelines"));
        fs::create_dir(project_of.path("data")).unwrap();
        std::os::unix::fs::symlink(project("data/clip-flora"), project_of.path("data/clip-vit-base-patch32")).unwrap();
        project_of
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Small pictures; formats are known by their first bytes.
    fn pictures(&self, folder: &str, names: &[&str]) {
        for (n, name) in names.iter().enumerate() {
            let mut bytes = std::io::Cursor::new(Vec::new());
            let shade = (folder.len() * 7 + n * 31 + name.len()) as u8;
            let picture = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([shade, x as u8 * 20, y as u8 * 20]));
            picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
            self.write(&format!("{folder}/{name}"), bytes.into_inner());
        }
    }

    /// A split as CoOp writes it: pictures 0 and 1 for training, 2 for validation, 3 for test.
    fn coop(&self, folder: &str, split: &str, pictures: &str, classes: [(&str, &str); 2]) {
        let entry = |class: usize, n: usize| (format!("{}/{n}.jpg", classes[class].0), class, classes[class].1);
        let of = |numbers: &[usize]| numbers.iter().flat_map(|n| [entry(0, *n), entry(1, *n)]).collect::<Vec<_>>();
        let split_of = serde_json::json!({"train": of(&[0, 1]), "val": of(&[2]), "test": of(&[3])});
        self.write(&format!("data/{folder}/{split}"), split_of.to_string());
        for (place, _) in classes {
            self.pictures(&format!("data/{folder}/{pictures}/{place}"), &["0.jpg", "1.jpg", "2.jpg", "3.jpg"]);
        }
    }

    fn opened(&self, name: &str) -> Opened {
        let spec = load_without_sentences(&self.path(&format!("pipelines/paper/{name}.toml")), &[]);
        let spec = spec.unwrap_or_else(|error| panic!("{name}: {error}"));
        let source = open(&spec.dataset).unwrap_or_else(|error| panic!("{name}: {error}"));
        let settings = IngestSettings {
            dataset: name.to_owned(),
            decoding: spec.dataset.decoding(),
            classes: spec.dataset.class_list().unwrap(),
            class_map: spec.dataset.class_map().unwrap(),
            part_rows: 64,
            copy: true,
        };
        let classes = ingest::classes(source.as_ref(), &settings).unwrap_or_else(|error| panic!("{name}: {error}"));
        let training = source.listing().training;
        Opened { items: source.items().map(Result::unwrap).collect(), classes, training }
    }

    fn ablate(&self, rest: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microclip-pipe"));
        command.current_dir(self.folder.path()).args(["ablate", "pipelines/paper.toml"]).args(rest);
        command.env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
    }
}

impl Opened {
    /// How many pictures of each split can be decoded.
    fn splits(&self) -> [usize; 3] {
        let readable = |item: &&Item| match &item.origin {
            Origin::File { path, .. } => decode(&fs::read(path).unwrap(), &Limits::default()).is_ok(),
            Origin::Embedded { bytes, .. } => decode(bytes, &Limits::default()).is_ok(),
            _ => false,
        };
        let of = |split: Split| self.items.iter().filter(|item| item.split == Some(split)).filter(readable).count();
        [Split::Train, Split::Validation, Split::Test].map(of)
    }

    /// The label of the picture whose path ends so.
    fn label(&self, end: &str) -> &str {
        let item = self.items.iter().find(|item| item.path.ends_with(end));
        item.unwrap_or_else(|| panic!("no {end}")).label.as_deref().unwrap()
    }
}

#[test]
fn a_split_of_coop_gives_pictures_names_and_splits() {
    let project = Project::new();
    for (name, folder, split, pictures, classes, expected) in [
        (
            "caltech101",
            "caltech-101",
            "split_zhou_Caltech101.json",
            "101_ObjectCategories",
            [("airplanes", "airplane"), ("car_side", "car_side")],
            ["airplane", "car side"],
        ),
        (
            "dtd",
            "dtd",
            "split_zhou_DescribableTextures.json",
            "images",
            [("banded", "banded"), ("blotchy", "blotchy")],
            ["banded", "blotchy"],
        ),
        (
            "eurosat",
            "eurosat",
            "split_zhou_EuroSAT.json",
            "2750",
            [("AnnualCrop", "Annual Crop Land"), ("Forest", "Forest")],
            ["Annual Crop Land", "Forest"],
        ),
        (
            "food101",
            "food-101",
            "split_zhou_Food101.json",
            "images",
            [("apple_pie", "apple_pie"), ("baklava", "baklava")],
            ["apple pie", "baklava"],
        ),
        (
            "flowers102",
            "oxford_flowers",
            "split_zhou_OxfordFlowers.json",
            "jpg",
            [("a", "pink primrose"), ("b", "sweet pea")],
            ["pink primrose", "sweet pea"],
        ),
        (
            "pets",
            "oxford_pets",
            "split_zhou_OxfordPets.json",
            "images",
            [("a", "abyssinian"), ("b", "basset_hound")],
            ["abyssinian", "basset hound"],
        ),
        (
            "sun397",
            "sun397",
            "split_zhou_SUN397.json",
            "SUN397",
            [("a/abbey", "abbey"), ("a/apse/indoor", "indoor apse")],
            ["abbey", "apse (indoor)"],
        ),
        (
            "cars",
            "stanford_cars",
            "split_zhou_StanfordCars.json",
            ".",
            [("cars_train", "2012 Acura RL Sedan"), ("cars_test", "2000 AM General Hummer SUV")],
            ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"],
        ),
        (
            "ucf101",
            "ucf101",
            "split_zhou_UCF101.json",
            "UCF-101-midframes",
            [("Archery", "Archery"), ("Apply_Lipstick", "Apply_Lipstick")],
            ["Apply Lipstick", "Archery"],
        ),
    ] {
        project.coop(folder, split, pictures, classes);
        let opened = project.opened(name);
        let mut found = opened.classes.clone();
        found.sort();
        assert_eq!(found, expected, "{name}");
        assert_eq!((opened.splits(), opened.training), ([4, 2, 2], 4), "{name}");
    }
    assert_eq!(project.opened("sun397").label("a/apse/indoor/3.jpg"), "indoor apse");

    let refused = |text: &str| {
        project.write("data/dtd/split_zhou_DescribableTextures.json", text);
        let spec = load_without_sentences(&project.path("pipelines/paper/dtd.toml"), &[]).unwrap();
        open(&spec.dataset).err().expect(text).to_string()
    };
    let twice = refused(r#"{"train": [["a.jpg", 0, "banded"], ["b.jpg", 0, "blotchy"]]}"#);
    assert!(twice.contains("class 0 is called 'banded', and 'blotchy' at b.jpg"), "{twice}");
    let two = refused(r#"{"train": [["a.jpg", 0, "banded"], ["b.jpg", 1, "banded"]]}"#);
    assert!(two.contains("'banded' is class 0, and 1 at b.jpg"), "{two}");
    let again = refused("{\"train\": [[\"a.jpg\", 0, \"banded\"]],\n\"train\": [[\"b.jpg\", 1, \"blotchy\"]]}");
    assert!(
        again.ends_with("split_zhou_DescribableTextures.json:2: the list `train` stands in line 1 already"),
        "{again}"
    );
    let torn = refused(
        "{\"train\": [[\"a.jpg\", 0, \"banded\"],\n[\"b.jpg\", 1, \"blotchy\"],\n[\"a.jpg\", 1, \"blotchy\"]]}",
    );
    assert!(torn.ends_with(".json:3: a.jpg is 'blotchy', and of another class in line 1"), "{torn}");
    assert!(refused(r#"{"train": [["a.jpg", 0]]}"#).contains("not a split as CoOp writes it"));
    assert!(refused(r#"{"train": [], "holdout": []}"#).contains("a list is called `holdout`"));
    assert!(refused(r#"{"train": []}"#).contains("names no picture"));
}

#[test]
fn the_lists_of_aircraft_are_lines_of_a_number_and_a_name() {
    let project = Project::new();
    let folder = "data/fgvc_aircraft";
    project.pictures(&format!("{folder}/images"), &["0034309.jpg", "0034958.jpg", "1025794.jpg"]);
    project.write(&format!("{folder}/images_variant_train.txt"), "1025794 707-320\n");
    project.write(&format!("{folder}/images_variant_val.txt"), "0034309 Cessna 172\r\n");
    project.write(&format!("{folder}/images_variant_test.txt"), "0034958 707-320\n0000001 Cessna 172\n");
    project.write(&format!("{folder}/images_variant_trainval.txt"), "1025794 707-320\n0034309 Cessna 172\n");
    let opened = project.opened("aircraft");
    assert_eq!(opened.splits(), [1, 1, 1], "one picture of the list for test is missing");
    assert_eq!(opened.classes, ["707-320", "Cessna 172"]);
    assert_eq!(opened.label("images/0034309.jpg"), "Cessna 172");

    project.write("lines/train.txt", "rose/1.jpg\nlily/my 2.jpg\n");
    project.pictures("lines/rose", &["1.jpg"]);
    project.pictures("lines/lily", &["my 2.jpg"]);
    fs::remove_file(project.path(&format!("{folder}/images_variant_val.txt"))).unwrap();
    let spec = load_without_sentences(&project.path("pipelines/paper/aircraft.toml"), &[]).unwrap();
    let refused = open(&spec.dataset).err().unwrap();
    assert!(refused.to_string().contains("1 of 3 do not exist, such as "), "{refused}");
    assert!(refused.hint_text().unwrap().contains("fgvc-aircraft-2013b.tar.gz"), "{refused}");

    let list = microclip_pipe::source::list::List::open(&project.path("lines/train.txt"), None).unwrap();
    use microclip_pipe::source::Source;
    assert_eq!(list.listing().classes, ["lily", "rose"], "without a class in the line it is the folder");
    project.write("lines/train.txt", "Abyssinian_100 1 1 1\n");
    let refused = microclip_pipe::source::list::List::open(&project.path("lines/train.txt"), None).err().unwrap();
    assert!(refused.to_string().contains("train.txt:1: '1 1 1' is no class, but several numbers"), "{refused}");
}

#[test]
fn cub_and_birdsnap_have_their_classes_and_splits_beside_the_list() {
    let project = Project::new();
    let cub = "data/CUB_200_2011";
    let (one, two) = ("001.Black_footed_Albatross/Black_1.jpg", "002.Laysan_Albatross/Laysan_1.jpg");
    project.pictures(&format!("{cub}/images"), &[one, two]);
    project.write(&format!("{cub}/images.txt"), format!("1 {one}\n2 {two}\n"));
    project.write(&format!("{cub}/image_class_labels.txt"), "1 1\n2 2\n");
    project.write(&format!("{cub}/classes.txt"), "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n");
    project.write(&format!("{cub}/train_test_split.txt"), "1 0\n2 1\n");
    let opened = project.opened("cub200");
    assert_eq!(
        (opened.splits(), opened.classes),
        ([1, 0, 1], vec!["Black-footed Albatross".into(), "Laysan Albatross".into()])
    );
    // Each file has a number once, and each class one number.
    let files = [
        ("images.txt", format!("1 {one}\n2 {two}\n")),
        ("image_class_labels.txt", "1 1\n2 2\n".to_owned()),
        ("classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n".to_owned()),
        ("train_test_split.txt", "1 0\n2 1\n".to_owned()),
    ];
    for (file, more, said) in [
        ("images.txt", format!("\n2 {one}\n"), "images.txt:4: 2 stands in line 2 already"),
        (
            "images.txt",
            format!("3 {one}\n"),
            "images.txt:3: 001.Black_footed_Albatross/Black_1.jpg is of class 2, and of class 1 by line 1",
        ),
        ("image_class_labels.txt", "1 2\n".to_owned(), "image_class_labels.txt:3: 1 stands in line 1 already"),
        ("classes.txt", "2 002.Sooty_Albatross\n".to_owned(), "classes.txt:3: 2 stands in line 2 already"),
        (
            "classes.txt",
            "3 002.Laysan_Albatross\n".to_owned(),
            "classes.txt:3: '002.Laysan_Albatross' is class 2, and 3",
        ),
        ("train_test_split.txt", "1 1\n".to_owned(), "train_test_split.txt:3: 1 stands in line 1 already"),
    ] {
        files.iter().for_each(|(file, text)| project.write(&format!("{cub}/{file}"), text));
        for (three, line) in [("image_class_labels.txt", "3 2\n"), ("train_test_split.txt", "3 1\n")] {
            if said.contains("is of class") {
                let (_, text) = files.iter().find(|(file, _)| *file == three).unwrap();
                project.write(&format!("{cub}/{three}"), format!("{text}{line}"));
            }
        }
        let (_, text) = files.iter().find(|(known, _)| *known == file).unwrap();
        project.write(&format!("{cub}/{file}"), format!("{text}{more}"));
        let spec = load_without_sentences(&project.path("pipelines/paper/cub200.toml"), &[]).unwrap();
        let refused = open(&spec.dataset).err().expect(said).to_string();
        assert!(refused.ends_with(said), "{refused}");
    }
    files.iter().for_each(|(file, text)| project.write(&format!("{cub}/{file}"), text));
    project.write(&format!("{cub}/train_test_split.txt"), "1 0\n");
    let spec = load_without_sentences(&project.path("pipelines/paper/cub200.toml"), &[]).unwrap();
    let refused = open(&spec.dataset).err().unwrap().to_string();
    assert!(refused.ends_with("train_test_split.txt has no line for 2"), "{refused}");

    let birds = "data/birdsnap";
    project.pictures(&format!("{birds}/images"), &["Acorn_Woodpecker/1.jpg", "Allens_Hummingbird/2.jpg"]);
    project.write(
        &format!("{birds}/images.txt"),
        "url\tmd5\tpath\tspecies_id\nhttp://a/\"1\tx\tAcorn_Woodpecker/1.jpg\t1\nhttp://b\tx\tAllens_Hummingbird/2.jpg\t2\n\
         http://c\tx\tAcorn_Woodpecker/gone.jpg\t1\n",
    );
    project.write(&format!("{birds}/test_images.txt"), "path\nAllens_Hummingbird/2.jpg\n");
    let opened = project.opened("birdsnap");
    assert_eq!((opened.splits(), opened.items.len()), ([1, 0, 1], 3), "a picture that could not be fetched is a row");
    assert_eq!(opened.classes, ["Acorn Woodpecker", "Allens Hummingbird"]);
    let list = fs::read_to_string(project.path(&format!("{birds}/images.txt"))).unwrap();
    project.write(&format!("{birds}/images.txt"), format!("{list}http://b\tx\tAllens_Hummingbird/2.jpg\t2\n"));
    project.write(&format!("{birds}/test_images.txt"), "path\nAllens_Hummingbird/2.jpg\nAllens_Hummingbird/4.jpg\n");
    let spec = load_without_sentences(&project.path("pipelines/paper/birdsnap.toml"), &[]).unwrap();
    let lost = open(&spec.dataset).err().expect("a picture that stands twice is none that is missing").to_string();
    assert!(lost.contains("1 of the 2 pictures for test are not in"), "{lost}");
    project.write(&format!("{birds}/images.txt"), list);
    project.write(&format!("{birds}/test_images.txt"), "path\nAllens_Hummingbird/3.jpg\n");
    let spec = load_without_sentences(&project.path("pipelines/paper/birdsnap.toml"), &[]).unwrap();
    assert!(open(&spec.dataset).err().unwrap().to_string().contains("1 of the 1 pictures for test are not in"));
}

#[test]
fn folders_are_classes_and_those_for_validation_count_as_test_where_a_pipeline_says_so() {
    let project = Project::new();
    for folder in ["data/imagenet/images/train", "data/imagenet/images/val"] {
        project.pictures(folder, &["n01440764/a_1.JPEG", "n02119789/a_2.JPEG"]);
    }
    project.write("data/imagenet/classnames.txt", "n01440764 tench\nn02119789 kit fox, small\n");
    let opened = project.opened("imagenet");
    assert_eq!((opened.splits(), opened.classes), ([2, 0, 2], vec!["tench".into(), "kit fox, small".into()]));
    for (name, folders, expected) in [
        ("resisc45", ["baseball_diamond", "airport"], ["airport", "baseball diamond"]),
        ("aid", ["BareLand", "Airport"], ["Airport", "Bare Land"]),
    ] {
        for split in ["train", "test"] {
            folders
                .iter()
                .for_each(|class| project.pictures(&format!("data/{name}/{split}/{class}"), &["1.jpg", "2.jpg"]));
        }
        let opened = project.opened(name);
        assert_eq!((opened.splits(), opened.classes), ([4, 0, 4], expected.map(str::to_owned).to_vec()), "{name}");
    }
    let as_what = |word: &str| {
        let set = format!("dataset.validation={word}");
        let spec = load_without_sentences(&project.path("pipelines/paper/imagenet.toml"), &[set]).unwrap();
        let source = open(&spec.dataset).unwrap();
        let (training, print) = (source.listing().training, source.fingerprint().unwrap());
        let splits: Vec<_> = source.items().map(|item| item.unwrap().split.unwrap()).collect();
        (training, splits[3], print)
    };
    let [apart, train, test] = ["apart", "train", "test"].map(as_what);
    assert_eq!([apart.1, train.1, test.1], [Split::Validation, Split::Train, Split::Test]);
    assert_eq!([apart.0, train.0, test.0], [2, 4, 2]);
    assert!(apart.2 != train.2 && train.2 != test.2, "each is another data set");
}

#[test]
fn gtsrb_has_ppm_pictures_and_a_list_in_each_folder() {
    let project = Project::new();
    let ppm = |shade: u8| [b"P6\n4 3\n255\n".as_slice(), &[shade; 36]].concat();
    let head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n";
    for class in [0, 14] {
        let folder = format!("data/gtsrb/GTSRB/Training/{class:05}");
        project.write(&format!("{folder}/00000_00000.ppm"), ppm(class));
        let row = format!("{head}00000_00000.ppm;4;3;0;0;3;2;{class}\n");
        project.write(&format!("{folder}/GT-{class:05}.csv"), row);
    }
    project.write("data/gtsrb/GTSRB/Final_Test/Images/00000.ppm", ppm(200));
    project.write("data/gtsrb/GTSRB/Final_Test/Images/GT-final_test.test.csv", "Filename;Width\n00000.ppm;4\n");
    project.write("data/gtsrb/GT-final_test.csv", format!("{head}00000.ppm;4;3;0;0;3;2;14\n"));
    let opened = project.opened("gtsrb");
    assert_eq!((opened.splits(), opened.classes.len()), ([2, 0, 1], 43));
    assert_eq!((opened.label("00014/00000_00000.ppm"), opened.classes[14].as_str()), ("14", "stop"));
    let header = probe(&ppm(7), &Limits::default()).unwrap();
    assert_eq!((header.format.as_str(), header.width, header.height), ("ppm", 4, 3));
    assert_eq!(decode(&ppm(7), &Limits::default()).unwrap().pixels, [7; 36]);
}

#[test]
fn records_of_cifar_become_pictures_with_the_same_pixels() {
    let project = Project::new();
    let record = |labels: &[u8], shade: u8| {
        let planes = (0..3072_usize).map(|at| shade.wrapping_add((at / 1024) as u8 * 50).wrapping_add(at as u8));
        labels.iter().copied().chain(planes).collect::<Vec<u8>>()
    };
    let ten = "data/cifar-10-batches-bin";
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    project.write(&format!("{ten}/batches.meta.txt"), names);
    for n in 1..=5 {
        project.write(&format!("{ten}/data_batch_{n}.bin"), record(&[n], n * 3));
    }
    project.write(&format!("{ten}/test_batch.bin"), [record(&[9], 90), record(&[0], 91)].concat());
    let opened = project.opened("cifar10");
    assert_eq!((opened.splits(), opened.training, opened.label("test_batch.bin#1")), ([5, 0, 2], 5, "airplane"));
    let item = opened.items.iter().find(|item| item.path.ends_with("data_batch_1.bin#0")).unwrap();
    let Origin::Embedded { bytes, place: None } = &item.origin else { panic!("{item:?}") };
    let pixels = decode(bytes, &Limits::default()).unwrap().pixels;
    let expected: Vec<u8> =
        (0..1024).flat_map(|at| [0, 1, 2].map(|plane| record(&[1], 3)[1 + plane * 1024 + at])).collect();
    assert_eq!(pixels, expected);
    // These bytes are the picture's name in the store: they must not change with a library.
    assert_eq!(
        ImageId::of(bytes).to_string(),
        "0adcc076296d1f654a71d60f0c90d9e10589f8cfc59489f81025f28645576269",
        "a filter or a compression has changed, and with it the name of every picture of CIFAR"
    );

    let hundred = "data/cifar-100-binary";
    let names: Vec<String> = (0..100).map(|n| format!("fine_{n}")).collect();
    project.write(&format!("{hundred}/fine_label_names.txt"), names.join("\n"));
    project.write(&format!("{hundred}/train.bin"), record(&[3, 42], 0));
    project.write(&format!("{hundred}/test.bin"), record(&[3, 99], 1));
    let opened = project.opened("cifar100");
    assert_eq!((opened.splits(), opened.label("train.bin#0")), ([1, 0, 1], "fine 42"));
    assert_eq!(guess(&project.path(hundred)).unwrap().dataset.kind.name(), "cifar");

    let refused = |file: &str, bytes: Vec<u8>| {
        project.write(&format!("{hundred}/{file}"), bytes);
        let spec = load_without_sentences(&project.path("pipelines/paper/cifar100.toml"), &[]).unwrap();
        match open(&spec.dataset) {
            Err(error) => error.to_string(),
            Ok(source) => source.items().find_map(Result::err).expect("an error").to_string(),
        }
    };
    assert!(refused("train.bin", vec![0; 5000]).contains("has 5000 bytes, which are no whole records of 3074"));
    let beyond = refused("train.bin", record(&[0, 100], 0));
    assert!(beyond.contains("train.bin#0: label 100, but there are 100 classes"), "{beyond}");
}

#[test]
fn a_data_set_that_is_not_there_says_where_to_get_it() {
    let project = Project::new();
    for name in NAMES {
        let file = project.path(&format!("pipelines/paper/{name}.toml"));
        let refused = load(&file, &[]).unwrap_err();
        let said = format!("{refused} {}", refused.hint_text().unwrap_or_default());
        let found = absent(&file).unwrap().unwrap_or_else(|| panic!("{name} is there"));
        let obtain = found.obtain.unwrap();
        assert!(said.contains(&obtain), "{name}: {said}");
        assert!(obtain.contains("http") && obtain.contains("data/"), "{name}: {obtain}");
        assert_eq!((found.name.as_str(), obtain.contains('\n')), (name, false));
    }
    let files: Vec<PathBuf> = crate::pipeline::entries(&project.path("pipelines/paper"));
    assert_eq!(files.iter().filter(|path| path.is_file()).count(), NAMES.len());
}

/// The places below the project's folder that a hint puts something at: `data/dtd/images`, and
/// `folder CUB_200_2011 goes into data`.
fn places(obtain: &str) -> Vec<PathBuf> {
    let words: Vec<&str> =
        obtain.split_whitespace().map(|word| word.trim_matches(&['(', ')', ',', ';', ':'][..])).collect();
    let named = words.iter().filter(|word| word.starts_with("data/")).map(PathBuf::from);
    let moved = words.windows(5).filter(|five| five[0] == "folder" && five[2..] == ["goes", "into", "data"]);
    named.chain(moved.map(|five| Path::new("data").join(five[1]))).collect()
}

#[test]
fn what_is_put_where_the_hint_says_is_what_the_pipeline_reads() {
    for name in NAMES {
        let text = fs::read_to_string(project(&format!("pipelines/paper/{name}.toml"))).unwrap();
        let spec: toml::Table = toml::from_str(&text).unwrap();
        let (dataset, sentences) = (&spec["dataset"], spec["text"]["descriptions"].as_str().unwrap());
        let key = |key: &str| dataset.get(key).map(|value| value.as_str().unwrap());
        // Up to the pattern of a path of several lists.
        let below =
            |path: &str| path.strip_prefix("../../").map(|path| PathBuf::from(path.split(['{', '*']).next().unwrap()));
        let read: Vec<PathBuf> =
            ["path", "root", "class_names"].into_iter().filter_map(key).chain([sentences]).filter_map(below).collect();
        // CUB and Birdsnap have their pictures in a folder beside the list.
        let beside = read.iter().filter(|path| path.ends_with("images.txt")).map(|path| path.with_file_name("images"));
        let read: Vec<PathBuf> = read.iter().cloned().chain(beside).collect();
        let obtain = key("obtain").unwrap();
        let placed = places(obtain);
        let along = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
        for path in &read {
            assert!(placed.iter().any(|place| along(path, place)), "{name}: nothing is put at {path:?}: {obtain}");
        }
        for place in &placed {
            assert!(read.iter().any(|path| along(path, place)), "{name}: nothing at {place:?} is read");
        }
        let path = Path::new(key("path").unwrap());
        if let Some(list) = path.file_name().and_then(|list| list.to_str()).filter(|list| list.ends_with(".json")) {
            let root = below(key("root").unwrap()).unwrap();
            assert!(obtain.contains(list) && placed.contains(&root), "{name}: {list}, {root:?}: {obtain}");
        }
        let file = Path::new(sentences).file_name().unwrap().to_str().unwrap();
        assert!(
            obtain.contains(&format!("/{file} of https://github.com/sathiiii/microCLIP")),
            "{name}: {file}: {obtain}"
        );
    }
}

/// Where each data set is to be had, and the folder in the archive that is read: as torchvision,
/// CoOp and the authors' pages say. Where it is empty, pictures are sorted by hand.
const ARCHIVES: [(&str, &str, &str); 22] = [
    ("aid", "AID.zip of https://captain-whu.github.io/AID/", ""),
    ("aircraft", "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz", "images"),
    ("birdsnap", "https://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz", "birdsnap/images.txt"),
    ("caltech101", "caltech-101.zip of https://data.caltech.edu/records/mzrjq-6wc02", "101_ObjectCategories"),
    ("caltech101", "holds 101_ObjectCategories.tar.gz", "101_ObjectCategories"),
    ("cars", "https://github.com/pytorch/vision/issues/7545#issuecomment-1631441616", "stanford_cars"),
    ("cifar10", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "cifar-10-batches-bin"),
    ("cifar100", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "cifar-100-binary"),
    ("cub200", "CUB_200_2011.tgz of https://data.caltech.edu/records/65de6-vp158", "CUB_200_2011/images.txt"),
    ("dtd", "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz", "dtd/images"),
    ("eurosat", "EuroSAT.zip of https://huggingface.co/datasets/torchgeo/eurosat", "2750"),
    ("eurosat", "EuroSAT_RGB of EuroSAT_RGB.zip of https://zenodo.org/records/7711810", "2750"),
    ("flowers102", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz", "jpg"),
    ("food101", "https://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "food-101/images"),
    ("gtsrb", "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/", "GTSRB/Final_Test/Images"),
    ("gtsrb", "GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip of", ""),
    ("imagenet", "https://image-net.org/download.php", ""),
    ("pets", "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz", "images"),
    ("resisc45", "NWPU-RESISC45.rar of https://gcheng-nwpu.github.io/#Datasets", ""),
    ("resisc45", "https://huggingface.co/datasets/torchgeo/resisc45", ""),
    ("sun397", "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz", "SUN397"),
    ("ucf101", "UCF-101-midframes.zip, linked from https://github.com/KaiyangZhou/CoOp/", "UCF-101-midframes"),
];

#[test]
fn each_hint_names_the_archive_that_unpacks_to_what_is_read() {
    for name in NAMES {
        let text = fs::read_to_string(project(&format!("pipelines/paper/{name}.toml"))).unwrap();
        let spec: toml::Table = toml::from_str(&text).unwrap();
        let key = |key: &str| spec["dataset"].get(key).map(|value| value.as_str().unwrap());
        let (obtain, pictures) = (key("obtain").unwrap(), key("root").or(key("path")).unwrap());
        let known: Vec<_> = ARCHIVES.iter().filter(|(of, ..)| *of == name).collect();
        assert!(!known.is_empty(), "nothing says where {name} is to be had");
        for (_, archive, folder) in known {
            assert!(obtain.contains(archive), "{name}: {archive} is not named: {obtain}");
            assert!(Path::new(pictures).ends_with(folder), "{name}: {archive} has {folder}, and {pictures} is read");
        }
        // No other address than these, the split's and the sentences'.
        let of = |word: &&str| word.trim_start_matches('(').starts_with("http");
        for address in obtain.split_whitespace().filter(of) {
            let address = address.trim_matches(['(', ')', ',', ';', ':']);
            let is_known = ARCHIVES.iter().any(|(of, archive, _)| *of == name && archive.contains(address))
                || ARCHIVES.iter().any(|(of, archive, _)| *of == name && address.starts_with(archive))
                || address.starts_with("https://github.com/KaiyangZhou/CoOp/")
                || address == "https://github.com/sathiiii/microCLIP";
            assert!(is_known, "{name}: {address} is in no row of the table");
        }
    }
}

#[test]
fn the_table_of_the_paper_is_made_of_the_data_sets_that_are_there() {
    let project = Project::new();
    let none = project.ablate(&["--dry-run"]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(
        !none.status.success()
            && said.contains("none of the data sets of pipelines/paper.toml is there")
            && said.contains("aid is left out"),
        "{said}"
    );

    project.coop(
        "oxford_flowers",
        "split_zhou_OxfordFlowers.json",
        "jpg",
        [("a", "pink primrose"), ("b", "sweet pea")],
    );
    project.write("data/sentences/flowers.json", r#"{"pink primrose": ["it is pink."], "sweet pea": ["it climbs."]}"#);
    let plan = project.ablate(&["--dry-run"]);
    let (said, printed) = (String::from_utf8(plan.stderr).unwrap(), String::from_utf8(plan.stdout).unwrap());
    assert!(plan.status.success(), "{said}");
    let rows: Vec<&str> = printed.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["zero-shot", "CuPL", "WCA", "reference", "layernorm", "head", "recommended"]);
    for name in NAMES.iter().filter(|name| **name != "flowers102") {
        assert!(said.contains(&format!("{name} is left out, since dataset.")), "{name}: {said}");
    }
    assert!(said.contains("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"), "{said}");

    // The rows of the frozen model alone, since the others take their time.
    let file = fs::read_to_string(project.path("pipelines/paper.toml")).unwrap();
    let (rows, published) = (file.find("# The released recipe").unwrap(), file.find("# Of the published").unwrap());
    project.write("pipelines/paper.toml", format!("{}{}", &file[..rows], &file[published..]));
    let table = project.ablate(&["--quiet"]);
    let printed = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success(), "{}", String::from_utf8_lossy(&table.stderr));
    let cells: BTreeMap<&str, &str> = printed
        .lines()
        .skip(2)
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            (cells.nth(1).unwrap(), cells.next().unwrap())
        })
        .collect();
    assert_eq!((cells["published: microCLIP"], cells["published: zero-shot"]), ("76.2", "66.3"));
    assert!(["zero-shot", "CuPL", "WCA"].iter().all(|row| cells[row].parse::<f64>().is_ok()), "{printed}");
}
