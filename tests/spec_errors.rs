//! What a user reads who made a mistake in a pipeline file or in `--set`.

use insta::assert_snapshot;
use microclip_pipe::dka::Balance;
use microclip_pipe::error::Kind;

use crate::spec_folder::{Folder, WHOLE};

#[test]
fn unknown_keys_name_their_line_and_the_nearest_key() {
    let folder = Folder::new();
    let text = format!("{WHOLE}\n[adapt]\nlr = 1e-3\nepoch = 15\n");
    assert_snapshot!(folder.mistake(&text, &[]), @r"
    DIR/flowers.toml:15: unknown key 'adapt.epoch'
    hint: did you mean 'adapt.epochs'?
    ");
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let folder = Folder::new();
    let text = format!("{WHOLE}\n[adapt]\ngamma = 0.5\n");
    assert_snapshot!(folder.mistake(&text, &[]), @r"
    DIR/flowers.toml:14: unknown key 'adapt.gamma'
    hint: did you mean 'dka.gamma'?
    ");
}

#[test]
fn a_mistyped_table_is_one_mistake() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(&WHOLE.replace("[model]", "[modle]"), &[]), @r"
    DIR/flowers.toml:7: unknown table 'modle'
    hint: did you mean 'model'?
    ");
}

#[test]
fn unknown_names_list_those_that_there_are() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(&format!("{WHOLE}\n[adapt]\ntune = \"heads\"\n"), &[]), @r"
    DIR/flowers.toml:14: unknown value 'heads' for adapt.tune; one of layernorm, head, reference, none
    hint: did you mean 'head'?
    ");
    assert_snapshot!(folder.mistake(&format!("{WHOLE}\n[device]\nkind = \"tpu\"\n"), &[]), @r"
    DIR/flowers.toml:14: unknown value 'tpu' for device.kind; one of auto, cpu, cuda, cuda:N
    hint: did you mean 'cpu'?
    ");
    assert_snapshot!(folder.mistake(&format!("{WHOLE}\n[device]\nkind = \"cuda:-1\"\n"), &[]), @r"
    DIR/flowers.toml:14: unknown value 'cuda:-1' for device.kind; one of auto, cpu, cuda, cuda:N
    hint: did you mean 'cuda:N'?
    ");
}

#[test]
fn many_mistakes_are_listed_at_once() {
    let folder = Folder::new();
    let text = r#"
name = "Flowers 102"
sotre = "x"
[dataset]
kind = "folder"
path = "none"
tolerance = 1.5
[dataset.limits]
max_side = 0
max_bytes = 1e9
[model]
path = "model"
tokenizer = "model"
[text]
descriptions = ""
templates = ["a {}", "a photo"]
[views]
count = 0
scale = [0.9, 0.5]
[saliency]
eps = 0
[fusion]
ratio = nan
[dka]
gamma = -0.1
statement = "missing.sql"
[adapt]
epochs = "15"
lr = inf
"quoted key" = 1
[adapt.strong]
rand_augment = 1
[[device]]
"#;
    assert_snapshot!(folder.mistake(text, &[]), @r#"
    20 mistakes in DIR/flowers.toml
      DIR/flowers.toml:2: 'name' must be a name of lower-case letters, digits and hyphens, not "Flowers 102"
      DIR/flowers.toml:3: unknown key 'sotre' (did you mean 'store'?)
      DIR/flowers.toml:6: 'dataset.path' names none, which does not exist (looked for DIR/none; relative paths start at the pipeline file)
      DIR/flowers.toml:7: 'dataset.tolerance' must be a number in [0, 1], not 1.5
      DIR/flowers.toml:9: 'dataset.limits.max_side' must be a whole number from 1 to 1000000, not 0
      DIR/flowers.toml:10: 'dataset.limits.max_bytes' must be a whole number from 1 to 1099511627776, not 1000000000.0
      DIR/flowers.toml:13: 'model.tokenizer' names model, which is not a file
      DIR/flowers.toml:15: 'text.descriptions' must be the path of a file, not ""
      DIR/flowers.toml:16: 'text.templates' must be a list of sentences, each with {} where the class name goes, not "a photo"
      DIR/flowers.toml:18: 'views.count' must be a whole number from 1 to 1024, not 0
      DIR/flowers.toml:19: 'views.scale' must be [least, greatest] with 0 < least <= greatest <= 1, not [0.9, 0.5]
      DIR/flowers.toml:21: 'saliency.eps' must be a number in (0, 1], not 0
      DIR/flowers.toml:23: 'fusion.ratio' must be a number in [0, 1], not nan
      DIR/flowers.toml:25: 'dka.gamma' must be a number in [0, 1], not -0.1
      DIR/flowers.toml:26: 'dka.statement' names missing.sql, which does not exist (looked for DIR/missing.sql; relative paths start at the pipeline file)
      DIR/flowers.toml:28: 'adapt.epochs' must be a whole number from 1 to 100000, not "15"
      DIR/flowers.toml:29: 'adapt.lr' must be a number in (0, 1], not inf
      DIR/flowers.toml:30: unknown key 'adapt."quoted key"' ([adapt] has recipe, tune, from_block, precision, epochs, epochs_per_pass, batch, lr, head_lr_factor, min_lr, weight_decay, ce_weight, fairness_weight, fairness_momentum, class_prior, class_shares, logit_scale, keep)
      DIR/flowers.toml:32: 'adapt.strong.rand_augment' must be true or false, not 1
      DIR/flowers.toml:33: 'device' must be a table, not a list (begin it with a line [device])
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
}

#[test]
fn missing_keys_say_what_they_must_be() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake("[dataset]\nkind = \"list\"\n", &[]), @r#"
    4 mistakes in DIR/flowers.toml
      DIR/flowers.toml:1: missing key 'dataset.path' (add path under [dataset]: a path, or a name on the hub: hf://datasets/ORG/NAME)
      DIR/flowers.toml: missing key 'name' (add name at the top: a name of lower-case letters, digits and hyphens)
      DIR/flowers.toml: missing key 'model.path' (add path under [model]: a path, or a name on the hub: ORG/NAME)
      DIR/flowers.toml: missing key 'text.descriptions' (add descriptions under [text]: the path of a file, or prototypes = "templates" to do without sentences)
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
}

#[test]
fn a_missing_file_is_named_as_written_and_as_looked_for() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(&WHOLE.replace("words.json", "./wrods.json"), &[]), @r"
    DIR/flowers.toml:11: 'text.descriptions' names ./wrods.json, which does not exist
    hint: looked for DIR/wrods.json; relative paths start at the pipeline file
    ");
}

#[test]
fn what_depends_on_two_keys_is_checked() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(&format!("{WHOLE}\n[adapt]\nlr = 1e-7\n"), &[]), @"
    DIR/flowers.toml:14: 'adapt.min_lr' (2e-6) must not exceed 'adapt.lr' (1e-7)
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    assert_snapshot!(folder.mistake(&WHOLE.replace("\"folder\"", "\"list\""), &[]), @r#"
    DIR/flowers.toml:5: 'dataset.path' must be a file for kind = "list"
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
    assert_snapshot!(folder.mistake(&WHOLE.replace("\"folder\"", "\"folder\"\nroot = \".\""), &[]), @r#"
    DIR/flowers.toml:5: 'dataset.root' is for kind = "list" and "hf-parquet", not for "folder"
    hint: remove it
    "#);
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.label_column=species"]), @r#"
    --set dataset.label_column=species: 'dataset.label_column' is for kind = "list", "hf-parquet" and "webdataset", not for "folder"
    hint: remove it
    "#);
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.image_column="]), @r#"
    --set dataset.image_column=: 'dataset.image_column' must be a text that is not empty, not ""
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
}

#[test]
fn a_policy_beside_a_statement_is_a_mistake() {
    let folder = Folder::new();
    let both = "\n[dka]\nstatement = \"dka.sql\"\npolicy = \"revive\"\n";
    assert_snapshot!(folder.mistake(&format!("{WHOLE}{both}"), &[]), @r#"
    DIR/flowers.toml:15: 'dka.policy' ("revive") and 'dka.statement' cannot both say how pictures are labelled
    hint: remove one of them; dka.gamma, dka.k and dka.floor go with either
    "#);
    assert_snapshot!(folder.mistake(WHOLE, &["dka.policy=argmax", "dka.statement=dka.sql"]), @r#"
    --set dka.policy=argmax: 'dka.policy' ("argmax") and 'dka.statement' cannot both say how pictures are labelled
    hint: remove one of them; dka.gamma, dka.k and dka.floor go with either
    "#);
    assert_snapshot!(folder.mistake(&format!("{WHOLE}\n[dka]\npolicy = \"revival\"\nk = 0\nfloor = 1.5\n"), &[]), @"
    3 mistakes in DIR/flowers.toml
      DIR/flowers.toml:14: unknown value 'revival' for dka.policy; one of argmax, balanced, top_k_per_class, confident, agreement, revive (did you mean 'revive'?)
      DIR/flowers.toml:15: 'dka.k' must be a whole number from 1 to 1000000, not 0
      DIR/flowers.toml:16: 'dka.floor' must be a number in [0, 1], not 1.5
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
}

#[test]
fn balanced_labels_need_a_pull_and_all_pictures_at_once() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(WHOLE, &["dka.policy=balanced", "dka.balance=0"]), @r#"
    --set dka.policy=balanced: 'dka.policy' = "balanced" needs a 'dka.balance' above 0: nothing is balanced
    hint: set dka.balance = "auto", or a pull such as 0.8; policy = "argmax" needs none
    "#);
    let reference = ["dka.policy=balanced", "dka.balance=auto", "adapt.tune=reference"];
    assert_snapshot!(folder.mistake(WHOLE, &reference), @r#"
    --set dka.policy=balanced: 'dka.policy' = "balanced" is not for adapt.tune = "reference"
    hint: its labels are made a batch at a time, and a batch is too few pictures to balance
    "#);
    assert_eq!(
        folder.load(WHOLE, &["dka.policy=balanced", "dka.balance=0.8"]).unwrap().dka.balance,
        Balance::Pull(0.8)
    );
}

#[test]
fn syntax_errors_name_their_line() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake("name = \"a\"\nname = \"b\"\n[dataset\n", &[]), @"
    2 mistakes in DIR/flowers.toml
      DIR/flowers.toml:2: not valid TOML: duplicate key
      DIR/flowers.toml:3: not valid TOML: unclosed table, expected `]`
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    assert_snapshot!(folder.mistake("seed = 99999999999999999999\n", &[]), @"
    DIR/flowers.toml:1: not valid TOML: invalid type: integer `99999999999999999999` as i128, expected any valid TOML value
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    assert_snapshot!(folder.mistake("name = flowers\n", &[]), @r#"
    DIR/flowers.toml:1: not valid TOML: invalid boolean, expected `false`
    hint: text stands in quotes: name = "flowers"
    "#);
}

#[test]
fn overrides_are_checked_like_the_file() {
    let folder = Folder::new();
    assert_snapshot!(folder.mistake(WHOLE, &["adapt.epoch=3"]), @r"
    --set adapt.epoch=3: unknown key 'adapt.epoch'
    hint: did you mean 'adapt.epochs'?
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["adapt.epochs=0"]), @"
    --set adapt.epochs=0: 'adapt.epochs' must be a whole number from 1 to 100000, not 0
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["adapt.epochs=many", "adapt.tune=heads", "seed=-1"]), @r#"
    3 mistakes in --set
      --set adapt.epochs=many: 'adapt.epochs' must be a whole number from 1 to 100000, not "many"
      --set adapt.tune=heads: unknown value 'heads' for adapt.tune; one of layernorm, head, reference, none (did you mean 'head'?)
      --set seed=-1: 'seed' must be a whole number of at least 0, not -1
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    "#);
    assert_snapshot!(folder.mistake(WHOLE, &["adapt={}"]), @r"
    --set adapt={}: 'adapt' is a table, not a key
    hint: set its keys one by one: --set adapt.KEY=VALUE
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["adapt.epochs"]), @r"
    --set adapt.epochs: expected KEY=VALUE
    hint: write --set KEY=VALUE, e.g. --set adapt.epochs=3
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.path=nowhere"]), @r"
    --set dataset.path=nowhere: 'dataset.path' names nowhere, which does not exist
    hint: looked for DIR/nowhere; relative paths start at the pipeline file
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.path=ftp://host/birds"]), @"
    --set dataset.path=ftp://host/birds: 'dataset.path' is ftp://host/birds, which is an address, and no path
    hint: pictures are read from folders and files of this machine, from stores of objects as s3://BUCKET/FOLDER, gs:// or az://, and from the hub as hf://datasets/ORG/NAME: fetch them first, or mount what they lie in
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.path=s3://key:secret@bucket/birds"]), @r"
    --set dataset.path=s3://key:secret@bucket/birds: 'dataset.path' is an address, which has a user or password in it: credentials are read from the environment
    hint: pictures are at s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or https://HOST/FILE.parquet
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.path=https://host/birds/"]), @r#"
    --set dataset.path=https://host/birds/: 'dataset.path' must be on a store that lists its objects for kind = "folder"
    hint: a server of HTTP does not say which files it has: name Parquet files or shards there
    "#);
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.path=uoft-cs/cifar10"]), @"
    --set dataset.path=uoft-cs/cifar10: 'dataset.path' names uoft-cs/cifar10, which does not exist
    hint: looked for DIR/uoft-cs/cifar10; relative paths start at the pipeline file; on the hub, that data set is named hf://datasets/uoft-cs/cifar10
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["model.path=https://example.org/clip.safetensors"]), @"
    --set model.path=https://example.org/clip.safetensors: 'model.path' is https://example.org/clip.safetensors, which is an address, and no path
    hint: a model is read from folders and files of this machine, from stores of objects as s3://BUCKET/FOLDER, gs:// or az://, and from the hub as ORG/NAME: fetch it first
    ");
    assert_snapshot!(folder.mistake(WHOLE, &["dataset.classes=/dev/null"]), @"
    --set dataset.classes=/dev/null: 'dataset.classes' names /dev/null, which is a device, and no file
    hint: write what comes of it into a file, and name that
    ");
}

#[test]
fn what_is_no_pipeline_file_is_refused() {
    let folder = Folder::new();
    std::fs::write(folder.path("latin1.toml"), b"name = \"a\"\n# caf\xe9\n").unwrap();
    std::fs::write(folder.path("huge.toml"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    std::fs::write(folder.path("deep.toml"), format!("a = {}", "[".repeat(100_000))).unwrap();
    for (name, kind) in [("latin1.toml", "utf-8"), ("huge.toml", "huge"), ("none.toml", "none"), (".", "folder")] {
        let error = microclip_pipe::config::load(&folder.path(name), &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{kind}");
    }
    assert_snapshot!(folder.refusal("latin1.toml"), @"
    DIR/latin1.toml:2: not UTF-8 text
    hint: save it as UTF-8
    ");
    assert_snapshot!(folder.refusal("huge.toml"), @"
    DIR/huge.toml is longer than 1 MiB, so it is no pipeline file
    hint: name the .toml file
    ");
    assert_snapshot!(folder.refusal("none.toml"), @"
    pipeline file DIR/none.toml does not exist
    hint: `microclip-pipe init PICTURES` writes a first one
    ");
    assert_snapshot!(folder.refusal("."), @r"
    DIR/. is a folder, not a pipeline file
    hint: name the .toml file in it
    ");
    assert_snapshot!(folder.refusal("deep.toml"), @"
    2 mistakes in DIR/deep.toml
      DIR/deep.toml:1: not valid TOML: cannot recurse further; max recursion depth met
      DIR/deep.toml:1: not valid TOML: unclosed array, expected `]`
    hint: `microclip-pipe schema --settings` lists every key, and --help every argument
    ");
}

#[test]
fn settings_that_need_another_say_which() {
    let folder = Folder::new();
    let set = |settings: &[&str]| folder.mistake(WHOLE, settings);
    assert_snapshot!(set(&["adapt.tune=layernorm", "fusion.coarse=composite"]), @r#"
    --set fusion.coarse=composite: 'fusion.coarse' = "composite" is not for adapt.tune = "layernorm"
    hint: the crops are cached features of the frozen tower: set adapt.tune = "head"
    "#);
    assert_snapshot!(set(&["adapt.tune=head", "adapt.from_block=2"]), @r#"
    --set adapt.from_block=2: 'adapt.from_block' is for adapt.tune = "layernorm", not for "head"
    hint: remove it
    "#);
    assert_snapshot!(set(&["adapt.class_prior=table"]), @r#"
    --set adapt.class_prior=table: 'adapt.class_prior' = "table" needs 'adapt.class_shares'
    hint: name a JSON file {class name: share}
    "#);
}
