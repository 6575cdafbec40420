//! The real binary's `init` as a guide: what a newcomer names is found out, or refused with what to
//! name in its place.

use std::process::{Command, Output};

use crate::pipeline::{Pipeline, entries};

pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/clip-flora");

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
pub fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Runs `init`, which must succeed; returns its notes, and the pipeline file.
#[track_caller]
pub fn init(pipeline: &Pipeline, pictures: &str) -> (String, String) {
    let output = pipeline.program(&["init", pictures, "--model", MODEL, "--output", "p.toml", "--force"]);
    ok(&output);
    (text(&output.stderr), std::fs::read_to_string(pipeline.path("p.toml")).unwrap())
}

/// Runs `init`, which must refuse; returns what it says. Nothing is written.
#[track_caller]
pub fn refused(pipeline: &Pipeline, arguments: &[&str]) -> String {
    let before = entries(pipeline.folder.path());
    let output = pipeline.program(&[&["init"], arguments, &["--model", MODEL]].concat());
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert_eq!(entries(pipeline.folder.path()), before, "{arguments:?}");
    text(&output.stderr)
}

/// Counts the pictures by split that come of the file that `init` wrote.
fn ingested(pipeline: &Pipeline) -> String {
    ok(&pipeline.program(&["ingest", "p.toml", "--store", "looked", "--device", "cpu"]));
    let counts = "SELECT split, count(*) AS n FROM images GROUP BY 1 ORDER BY 1";
    let counted = ok(&pipeline.program(&["sql", "p.toml", "--store", "looked", counts, "--format", "csv"]));
    std::fs::remove_dir_all(pipeline.path("looked")).unwrap();
    counted.trim().replace('\n', " ")
}

/// A data set as CoOp lays it out: a list, and its pictures in a folder that no path has.
fn coop(pipeline: &Pipeline, folder: &str, pictures: &str) -> String {
    for n in 0..4 {
        pipeline.picture(&format!("{folder}/{pictures}/a/{n}.png"), n % 3, n);
        pipeline.picture(&format!("{folder}/thumbs/{n}.png"), n % 3, n);
    }
    let list = format!("{folder}/split_zhou_Textures.json");
    pipeline.write(
        &list,
        r#"{"train": [["a/0.png", 0, "banded"], ["a/1.png", 1, "dotted"]], "val": [["a/2.png", 0, "banded"]],
            "test": [["a/3.png", 1, "dotted"]]}"#,
    );
    list
}

#[test]
fn a_list_of_coop_is_found_and_so_is_the_folder_of_its_pictures() {
    let pipeline = Pipeline::new(0, 0);
    for (folder, pictures) in [("dtd", "images"), ("oxford_flowers", "jpg"), ("caltech-101", "101_ObjectCategories")] {
        let list = coop(&pipeline, folder, pictures);
        // The folder, the list, and the folder of the pictures beside the list.
        for named in [folder.to_owned(), list.clone(), format!("{folder}/{pictures}")] {
            let (said, file) = init(&pipeline, &named);
            let keys = format!("kind = \"list\"\npath = \"{list}\"\nroot = \"{folder}/{pictures}\"");
            assert!(file.contains(&keys), "{named}: {file}");
            assert!(said.contains(&format!("{pictures}\": the pictures of the list are found there")), "{said}");
            assert!(said.contains("4 files of 2 classes"), "{said}");
            assert!(said.contains("2 for training, 1 for validation and 1 for testing"), "{said}");
            assert_eq!(said.contains("which says classes and splits"), named != list, "what was chosen is said");
            assert_eq!(ingested(&pipeline), "split,n test,1 train,2 validation,1");
        }
    }
    // A folder of other pictures beside the list is what it is.
    let (_, file) = init(&pipeline, "dtd/thumbs");
    assert!(file.contains("kind = \"folder\""), "{file}");

    // Two of them are two data sets.
    std::fs::copy(pipeline.path("dtd/split_zhou_Textures.json"), pipeline.path("dtd/other.json")).unwrap();
    let said = refused(&pipeline, &["dtd"]);
    assert!(said.contains("several lists in the folder") && said.contains("hint: name one of them"), "{said}");
}

#[test]
fn a_list_whose_pictures_are_found_nowhere_is_refused() {
    let pipeline = Pipeline::new(0, 0);
    std::fs::create_dir(pipeline.path("lists")).unwrap();
    pipeline.write("lists/gone.csv", "path,label\nx/1.jpg,rose\nx/2.jpg,lily\n");
    pipeline.write("lists/web.csv", "path,label\nhttps://a.org/1.jpg,rose\n");
    let said = refused(&pipeline, &["lists/gone.csv"]);
    assert!(said.contains("gone.csv: no picture that it names is found, such as x/1.jpg"), "{said}");
    assert!(said.contains("hint: looked for in "), "{said}");
    assert!(refused(&pipeline, &["lists/web.csv"]).contains("fetch it first"));

    // Paths that start above the list, and beside it.
    for place in ["x/1.jpg", "lists/pictures/x/1.jpg", "pictures/x/1.jpg", "lists/x/1.jpg"] {
        let both = [place.to_owned(), place.replace('1', "2")];
        for picture in &both {
            pipeline.picture(&picture.replace("jpg", "png"), 0, 1);
            std::fs::rename(pipeline.path(&picture.replace("jpg", "png")), pipeline.path(picture)).unwrap();
        }
        let (_, file) = init(&pipeline, "lists/gone.csv");
        let root = place.strip_suffix("/x/1.jpg").unwrap_or_default();
        match root {
            "lists" => assert!(!file.contains("\nroot ="), "where its paths start anyway: {file}"),
            "" => assert!(file.contains(&format!("root = {:?}", pipeline.folder.path())), "{file}"),
            root => assert!(file.contains(&format!("root = \"{root}\"")), "{file}"),
        }
        both.iter().for_each(|picture| std::fs::remove_file(pipeline.path(picture)).unwrap());
    }
}

/// In many data sets, pictures are called by their numbers.
#[test]
fn pictures_of_another_data_set_that_are_called_the_same_are_not_taken() {
    let pipeline = Pipeline::new(0, 0);
    let table = "path,label\n0.png,rose\n1.png,lily\n2.png,rose\n";
    for folder in ["mine/images/all", "mine/images/all_masks", "yours"] {
        (0..3).for_each(|n| pipeline.picture(&format!("{folder}/{n}.png"), n, n));
    }
    pipeline.write("mine/labels.csv", table);
    let (said, file) = init(&pipeline, "mine/labels.csv");
    assert!(file.contains("root = \"mine/images/all\"") && said.contains("as well in"), "{said}{file}");

    // What is missing from its own folder is not made up for by a neighbour's.
    std::fs::remove_dir_all(pipeline.path("mine/images/all_masks")).unwrap();
    std::fs::remove_file(pipeline.path("mine/images/all/0.png")).unwrap();
    let (said, file) = init(&pipeline, "mine/labels.csv");
    assert!(file.contains("root = \"mine/images/all\""), "{file}");
    assert!(said.contains("of the 3 pictures of the list that were looked for, 2 are found there"), "{said}");
    std::fs::remove_dir_all(pipeline.path("mine/images")).unwrap();
    std::fs::remove_file(pipeline.path("yours/0.png")).unwrap();
    assert!(refused(&pipeline, &["mine/labels.csv"]).contains("no picture that it names is found"));

    // Some data sets have their lists in one folder and their pictures in another.
    pipeline.picture("yours/0.png", 0, 0);
    let (said, file) = init(&pipeline, "mine/labels.csv");
    assert!(file.contains("root = \"yours\"") && said.contains("outside the list's own folder: check"), "{said}");
    (0..3).for_each(|n| pipeline.picture(&format!("ours/{n}.png"), n, n));
    let said = refused(&pipeline, &["mine/labels.csv"]);
    assert!(said.contains("in several folders beside it: ") && said.contains("hint: put the list into"), "{said}");
    std::fs::rename(pipeline.path("yours"), pipeline.path("photos")).unwrap();
    assert!(init(&pipeline, "mine/labels.csv").1.contains("root = \"photos\""));
}

#[test]
fn masks_beside_pictures_are_no_pictures_and_a_number_is_no_name() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..3 {
        pipeline.picture(&format!("set/images/{n}.png"), n, n);
        pipeline.picture(&format!("set/annotations/{n}.png"), n, n);
    }
    // The numbers of folds and classes are names of pictures, too.
    pipeline.write("set/breeds.csv", "target,fold,id,breed\n0,0,0,pug\n1,1,1,boxer\n0,1,2,pug\n");
    let (said, file) = init(&pipeline, "set/breeds.csv");
    assert!(file.contains("image_column = \"id\"") && file.contains("root = \"set/images\""), "{said}{file}");
    pipeline.write("set/two.csv", "id,number,breed\n0,2,pug\n1,1,boxer\n2,0,pug\n");
    let said = refused(&pipeline, &["set/two.csv"]);
    assert!(said.contains("the columns id and number both name pictures"), "{said}");
}

#[test]
fn a_folder_without_weights_is_no_model() {
    let pipeline = Pipeline::new(1, 0);
    let said = pipeline.program(&["init", "pictures", "--model", "pictures", "-o", "p.toml"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("no model.safetensors in ") && !pipeline.path("p.toml").exists(), "{said}");
}

#[test]
fn what_lies_beside_folders_of_classes_is_left_aside_and_named() {
    let pipeline = Pipeline::new(2, 0);
    std::fs::rename(pipeline.path("pictures/train"), pipeline.path("sorted")).unwrap();
    // What `sql` writes, what `init` writes, and the history of a training.
    pipeline.write("sorted/answers.parquet", "PAR1");
    pipeline.write("sorted/p-class-names.csv", "label,name\nred_rose,red rose\n");
    pipeline.write("sorted/history.json", "{\"train\": [0.5, 0.25]}");
    let (said, file) = init(&pipeline, "sorted");
    assert!(file.contains("kind = \"folder\"") && said.contains("6 files of 3 classes"), "{said}{file}");
    assert!(said.contains("microclip-pipe init ") && said.contains("answers.parquet takes it"), "{said}");
    assert!(!said.contains("class-names.csv takes") && !said.contains("history"), "{said}");

    std::fs::remove_file(pipeline.path("sorted/answers.parquet")).unwrap();
    assert!(!init(&pipeline, "sorted").0.contains("aside"));
    pipeline.write("sorted/hand_in.csv", "id,breed\nred_rose/0000,0\n");
    pipeline.write("sorted/labels.csv", "id,breed\nred_rose/0000,a\nred_rose/0001,b\n");
    let (said, _) = init(&pipeline, "sorted");
    assert!(said.contains("labels.csv takes the first") && said.contains("hand_in.csv"), "{said}");

    // Without a list that is damaged, pictures for testing would be trained on.
    pipeline.write("sorted/split_zhou_Flowers.json", "{\"train\": [[\"red_rose/0000.png\", 0, \"rose\"],\n[\"x\"]]}");
    let said = refused(&pipeline, &["sorted"]);
    assert!(said.contains("split_zhou_Flowers.json: not a split as CoOp writes it"), "{said}");
    let said = refused(&pipeline, &["sorted/*/*.png"]);
    assert!(said.contains("pictures are named by a folder") && said.contains("hint: name the folder"), "{said}");
}

/// Tables of competitions: pictures beside them, called by an id without an extension.
#[test]
fn a_table_with_labels_in_a_folder_is_taken_where_folders_say_no_classes() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..3 {
        pipeline.picture(&format!("contest/train/{n}.png"), n, n);
        pipeline.picture(&format!("sorted/{}/{n}.png", ["rose", "lily", "ivy"][n as usize]), n, n);
    }
    pipeline.write("contest/train.csv", "image_id,label\n0,rose\n1,lily\n2,rose\n");
    let (said, file) = init(&pipeline, "contest/train.csv");
    assert!(file.contains("root = \"contest/train\"") && file.contains("image_column = \"image_id\""), "{file}");
    assert!(said.contains("dataset.image_column = \"image_id\""), "{said}");
    assert_eq!(ingested(&pipeline), "split,n train,3");
    let (said, _) = init(&pipeline, "contest");
    assert!(said.contains("contest/train.csv takes it"), "{said}");

    std::fs::rename(pipeline.path("contest/train.csv"), pipeline.path("contest/ids.csv")).unwrap();
    pipeline.write("contest/train.csv", "path,label\n0.png,rose\n1.png,lily\n");
    pipeline.write("contest/test.csv", "path,label\n2.png,rose\n");
    let (_, file) = init(&pipeline, "contest");
    assert!(
        file.contains("path = \"contest/{test,train}.csv\"") && file.contains("root = \"contest/train\""),
        "{file}"
    );
    assert_eq!(ingested(&pipeline), "split,n test,1 train,2");

    // Folders that are classes are what was meant; the table is not passed over in silence.
    pipeline.write("sorted/labels.csv", "path,label\nrose/0.png,red\nlily/1.png,white\n");
    let (said, file) = init(&pipeline, "sorted");
    assert!(file.contains("kind = \"folder\""), "{file}");
    assert!(said.contains("sorted/labels.csv takes it"), "{said}");
}

/// Lists of only some folders would leave the pictures of the others out.
#[test]
fn metadata_of_one_of_several_folders_is_not_the_list_of_all() {
    let pipeline = Pipeline::new(1, 0);
    std::fs::rename(pipeline.path("pictures/train"), pipeline.path("sorted")).unwrap();
    pipeline.write("sorted/red_rose/metadata.csv", "file_name,label\n0000.png,tulip\n");
    let (said, file) = init(&pipeline, "sorted");
    assert!(file.contains("kind = \"folder\"") && said.contains("3 files of 3 classes"), "{said}{file}");
}

#[test]
fn where_nothing_says_what_the_classes_are_that_is_said() {
    let pipeline = Pipeline::new(1, 1);
    for (from, to) in [("red_rose", "red"), ("white_lily", "white"), ("blue_bell", "blue")] {
        for split in ["train", "test"] {
            let split = pipeline.path("pictures").join(split);
            std::fs::rename(split.join(from), split.join(to)).unwrap();
        }
    }
    std::fs::rename(pipeline.path("pictures"), pipeline.path("production")).unwrap();
    let (said, file) = init(&pipeline, "production");
    assert!(file.contains("domain = \"generic\"") && file.contains("[\"a photo of a {}.\"]"), "{file}");
    assert!(said.contains("describe.domain = \"generic\", since ") && said.contains("flowers, birds, cars"), "{said}");
}

#[test]
fn classes_that_are_numbers_get_a_table_of_names_before_anything_is_asked_about_them() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..6 {
        pipeline.picture(&format!("digits/{}/{n}.png", n % 3), n % 3, n);
    }
    let (said, file) = init(&pipeline, "digits");
    assert!(file.contains("class_names = \"p-class-names.csv\""), "{file}");
    let read = |name: &str| std::fs::read_to_string(pipeline.path(name)).unwrap();
    assert_eq!(read("p-class-names.csv"), "label,name\n0,0\n1,1\n2,2\n");
    assert_eq!(read("p-sentences.json"), "{}\n", "there is no sentence about a number");
    let first = said.find("next, write what each class is called into p-class-names.csv").expect(&said);
    assert!(said.find("microclip-pipe describe p.toml").is_some_and(|describe| first < describe), "{said}");
    pipeline.write("p-class-names.csv", "label,name\n0,rose\n1,lily\n2,bell\n");
    assert!(ok(&pipeline.program(&["doctor", "p.toml"])).contains("6 files, 3 classes"));
    let named = "SELECT string_agg(name, ' ') AS names FROM (SELECT name FROM classes ORDER BY class_id)";
    ok(&pipeline.program(&["ingest", "p.toml", "--device", "cpu"]));
    assert!(ok(&pipeline.program(&["sql", "p.toml", named])).contains("rose lily bell"));
}

#[test]
fn what_is_no_data_set_is_called_what_it_is_with_what_to_do() {
    let pipeline = Pipeline::new(1, 0);
    for (name, what, hint) in [
        ("my pictures.zip", "is an archive", "pictures.zip' -d '"),
        ("archive.tar.gz", "is compressed as a whole", "`tar xf FILE`"),
        ("one.jpg", "is one picture", "name the folder that holds it: /"),
        ("model.safetensors", "holds the weights of a model", "--model"),
        ("notes.pdf", "is a document", "name the folder of the pictures"),
        ("table.xlsx", "is a spreadsheet", "save it as CSV"),
        ("film.mp4", "is a video", "ffmpeg -i "),
        ("arrays.npz", "is of a format that is not read here", "docs/sources.md"),
        ("boxes.xml", "holds annotations", "columns path and label"),
        ("pipeline.toml", "is a file of settings", "microclip-pipe doctor "),
        ("python/data_batch_1", "is the Python version of CIFAR", "binary version"),
        ("raw/train-images-idx3-ubyte", "holds pictures in the format of MNIST", "Parquet"),
        ("clip/config.json", "holds a model, and no picture", "--model"),
        ("store/classes/small/snapshot.parquet", "is a store of microclip-pipe", "microclip-pipe sql"),
    ] {
        let path = pipeline.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"\0\x01\xff").unwrap();
        let named = name.split('/').next().unwrap();
        let said = refused(&pipeline, &[named]);
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.contains(named) && error.contains(what), "{name}: {said}");
        assert!(said.contains("hint: ") && said.contains(hint), "{name}: {said}");
    }
    std::os::unix::fs::symlink("/nowhere/pictures", pipeline.path("link")).unwrap();
    assert!(refused(&pipeline, &["link"]).contains("link is a link to /nowhere/pictures, which is not there"));
}

/// Addresses, names on the hub, and pipes are no paths of files.
#[test]
fn what_is_no_path_is_called_what_it_is_with_what_is_read() {
    let pipeline = Pipeline::new(1, 0);
    for (text, what, hint) in [
        ("ftp://host/birds", "error: ftp://host/birds is an address, and no path", "hf://datasets/ORG/NAME"),
        ("sftp://host/{00..09}.tar", "is an address, and no path", "fetch them first"),
        ("s3://key:secret@bucket/birds", "has a user or password in it", "from the environment"),
        ("file:///data/my birds", "is an address, and no path", "name the path itself: '/data/my birds'"),
        (
            "uoft-cs/cifar10",
            "does not exist",
            "hint: a data set on the hub is named so: hf://datasets/uoft-cs/cifar10\n",
        ),
        ("hf://datasets/a/b/c", "is no name of a repository", "hint: a data set is hf://datasets/ORG/NAME"),
        (
            "https://huggingface.co/datasets/a/b/blob/main/c.parquet",
            "a page within a repository",
            "hf://datasets/ORG/NAME",
        ),
    ] {
        let said = refused(&pipeline, &[text]);
        assert!(said.contains(what) && said.contains(hint), "{text}: {said}");
    }
    #[cfg(not(feature = "stores"))]
    for text in ["s3://bucket/birds", "gs://bucket/{00..09}.tar", "https://example.org/a.parquet"] {
        let said = refused(&pipeline, &[text]);
        assert!(said.contains("was built without stores of objects") && said.contains("--features stores"), "{said}");
    }
    assert!(Command::new("mkfifo").arg(pipeline.path("fifo.csv")).status().unwrap().success());
    let pipe = "fifo.csv is a pipe, and no file\nhint: write what comes of it into a file, and name that\n";
    for arguments in
        [&["fifo.csv"][..], &["pictures", "--classes", "fifo.csv"], &["pictures", "--descriptions", "fifo.csv"]]
    {
        let said = refused(&pipeline, arguments);
        assert!(said.contains(pipe), "{arguments:?}: {said}");
    }
}

/// The page of a data set, which people copy from their browser, is its name.
#[test]
fn a_page_of_the_hub_is_the_name_that_it_shows() {
    let pipeline = Pipeline::new(1, 0);
    let page = "https://huggingface.co/datasets/uoft-cs/cifar10";
    ok(&pipeline.program(&["init", page, "--model", "https://huggingface.co/openai/clip-vit-base-patch32"]));
    let file = std::fs::read_to_string(pipeline.path("cifar10.toml")).unwrap();
    for line in ["path = \"hf://datasets/uoft-cs/cifar10\"", "path = \"hf://openai/clip-vit-base-patch32\""] {
        assert!(file.contains(line), "{file}");
    }
}

/// A shell expands braces and stars that stand in no quotes.
#[test]
fn a_pattern_that_the_shell_has_expanded_is_shown_in_quotes() {
    let pipeline = Pipeline::new(1, 0);
    let said = refused(&pipeline, &["data/000.tar", "data/001.tar", "data/002.tar", "data/003.tar"]);
    assert!(said.contains("one path is wanted, and 4 were given: data/000.tar, data/001.tar, data/002.tar and 1 more"));
    // What is copied has the options that were typed.
    assert!(said.contains(&format!("microclip-pipe init 'data/{{000..003}}.tar' --model {MODEL}\n")), "{said}");
    let said = refused(&pipeline, &["a.csv", "b.csv", "--classes", "my classes.txt", "--force", "-o", "p.toml"]);
    let options = format!("--model {MODEL} --classes 'my classes.txt' --output p.toml --force\n");
    assert!(said.contains(&format!("microclip-pipe init '{{a,b}}.csv' {options}")), "{said}");
    // No pattern means files of several kinds, nor one file twice.
    let said = refused(&pipeline, &["train-000.tar", "train.csv"]);
    assert!(said.contains("several kinds: name one, such as microclip-pipe init train-000.tar --model "), "{said}");
    let said = refused(&pipeline, &["train-000.tar", "train-000.tar"]);
    assert!(said.contains("it is the same each time: microclip-pipe init train-000.tar --model "), "{said}");
    let said = refused(&pipeline, &["my lists/train.csv", "my lists/test.csv"]);
    assert!(said.contains("microclip-pipe init 'my lists/{train,test}.csv' --model "), "{said}");
    let said = refused(&pipeline, &["train/0.parquet", "train/1.parquet"]);
    assert!(said.contains("hint: name their folder: microclip-pipe init train --model "), "{said}");
    let said = refused(&pipeline, &["train/*.parquet"]);
    assert!(said.contains("Parquet is named by a folder") && said.contains("hint: name the folder: /"), "{said}");
    let said = refused(&pipeline, &["a/1.jpg", "b/2.jpg"]);
    assert!(said.contains("hint: name one folder"), "{said}");
}

/// A list of sentences that is still empty is not taken for sentences, which a run would refuse.
#[test]
fn sentences_that_are_named_and_not_yet_written_are_still_to_be_written() {
    let pipeline = Pipeline::new(1, 1);
    ok(&pipeline.program(&["init", "pictures", "--model", MODEL]));
    let again = ["init", "pictures", "--model", MODEL, "--force", "--descriptions", "pictures-sentences.json"];
    let output = pipeline.program(&again);
    ok(&output);
    let said = text(&output.stderr);
    assert!(said.contains("  microclip-pipe describe pictures.toml\n"), "{said}");
    ok(&pipeline.program(&["doctor", "pictures.toml"]));
    pipeline.write("pictures-sentences.json", &std::fs::read_to_string(pipeline.path("sentences.json")).unwrap());
    let said = text(&pipeline.program(&again).stderr);
    assert!(!said.contains("microclip-pipe describe"), "{said}");
    let file = std::fs::read_to_string(pipeline.path("pictures.toml")).unwrap();
    assert!(!file.contains("prototypes"), "{file}");
}

/// Names that were filled in are work, like sentences, and a second `--force` loses none of it.
#[test]
fn what_is_overwritten_by_force_is_kept_each_time() {
    let pipeline = Pipeline::new(0, 0);
    for n in 0..3 {
        pipeline.picture(&format!("shots/{n}.png"), 0, n);
    }
    let force = || {
        let output = pipeline.program(&["init", "shots", "--model", MODEL, "--force"]);
        ok(&output);
        text(&output.stderr)
    };
    assert!(!force().contains("held before"), "there was nothing");
    let read = |name: &str| std::fs::read_to_string(pipeline.path(name)).unwrap();
    for (names, copy) in [("rose\n", "shots-classes.txt.old"), ("lily\n", "shots-classes.txt.old.1")] {
        pipeline.write("shots-classes.txt", names);
        let said = force();
        assert!(said.lines().any(|line| line == format!("what the files held before is in {copy}")), "{said}");
        assert_eq!(read(copy), names);
    }
    assert_eq!(read("shots-classes.txt.old"), "rose\n");
    assert!(!force().contains("held before"), "what is the same is not kept again");
    // The pipeline file, too, may have been edited.
    pipeline.write("shots.toml", "name = \"mine\"\n");
    assert!(force().contains("shots.toml.old"));
    assert_eq!(read("shots.toml.old"), "name = \"mine\"\n");
}
