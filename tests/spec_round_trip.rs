//! A pipeline file says what it says: defaults, overrides, paths, and back to TOML.

use microclip_pipe::config::Spec;
use microclip_pipe::device::{DeviceChoice, PrecisionChoice};
use microclip_pipe::dka::{Balance, Policy};
use microclip_pipe::fusion::design::{Coarse, Fusion, MixedHeads, Query, Sink};
use microclip_pipe::fusion::foreground::{Affinity, Orientation, Threshold};
use microclip_pipe::fusion::soap::Pooling;
use microclip_pipe::fusion::transduction::{Method, Transduction};
use microclip_pipe::image::{ExifOrientation, Strong};
use microclip_pipe::source::SourceKind;
use microclip_pipe::stage::adapt::{Adapt, BaseRecipe, ClassPrior, Keep, Tune};
use microclip_pipe::stage::describe::Prototypes;
use proptest::prelude::*;

use crate::spec_folder::{Folder, WHOLE};

#[test]
fn a_file_that_says_nothing_gets_the_recommended_recipe() {
    let spec = Folder::new().load(WHOLE, &[]).unwrap();
    assert_eq!(spec.adapt, Adapt::default());
    assert_eq!((spec.adapt.recipe, spec.adapt.tune), (BaseRecipe::Recommended, Tune::Head));
    assert_eq!((spec.dka.balance, spec.fusion.coarse), (Balance::Auto, Coarse::Auto));
    assert_eq!(spec.dka.statement().unwrap(), Policy::Balanced.statement());
    assert!(spec.transduction.predictions && spec.predict.gamma > 0.0);
    let named = Folder::new().load(&format!("{WHOLE}\n[adapt]\nrecipe = \"recommended\"\n"), &[]).unwrap();
    assert_eq!((named.adapt, named.dka, named.transduction), (spec.adapt, spec.dka, spec.transduction));
}

#[test]
fn the_papers_recipe_has_the_papers_values_and_the_file_wins_over_it() {
    let spec = Folder::new().load(WHOLE, &["adapt.recipe=paper"]).unwrap();
    assert_eq!((spec.adapt.tune, spec.adapt.class_prior), (Tune::LayerNorm, ClassPrior::Uniform));
    assert_eq!((spec.dka.balance, spec.predict.gamma), (Balance::Pull(0.0), 0.0));
    assert_eq!(spec.dka.statement().unwrap(), Policy::Argmax.statement());
    assert_eq!((spec.adapt.epochs, spec.adapt.batch, spec.adapt.lr, spec.adapt.min_lr), (15, 64, 1e-4, 2e-6));
    assert_eq!((spec.views.count, spec.views.scale), (8, [0.5, 0.9]));
    assert_eq!((spec.fusion.ratio, spec.dka.gamma, spec.saliency.tau), (0.5, 0.5, 0.2));
    let own = format!("{WHOLE}\n[adapt]\nrecipe = \"paper\"\nbatch = 8\n");
    let spec = Folder::new().load(&own, &["adapt.tune=head"]).unwrap();
    assert_eq!((spec.adapt.tune, spec.adapt.batch, spec.adapt.head_lr_factor), (Tune::Head, 8, 1.0));
    let released = Folder::new().load(WHOLE, &["adapt.recipe=released"]).unwrap();
    assert_eq!((released.adapt.tune, released.saliency.orientation), (Tune::Reference, Orientation::Raw));
    let slip = Folder::new().mistake(WHOLE, &["adapt.recipe=papers"]);
    assert!(slip.contains("recommended, paper, released"), "{slip}");
}

#[test]
fn words_and_limits_have_their_defaults() {
    let spec = Folder::new().load(WHOLE, &[]).unwrap();
    assert_eq!(spec.text.templates, ["a photo of a {}."]);
    assert_eq!(spec.dataset.tolerance, 0.05);
}

#[test]
fn paths_start_at_the_file_and_become_absolute() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("pipelines")).unwrap();
    let text = WHOLE.replace("\"pictures\"", "\"../pictures\"").replace("\"model\"", "\"./../model/\"");
    let text = text.replace("\"words.json\"", &format!("{:?}", folder.path("words.json")));
    std::fs::write(folder.path("pipelines/a.toml"), text).unwrap();
    let spec = microclip_pipe::config::load(&folder.path("pipelines/a.toml"), &[]).unwrap();
    assert_eq!(spec.dataset.path, folder.path("pictures"));
    assert_eq!(spec.model.path, folder.path("model"));
    assert_eq!(spec.text.descriptions, Some(folder.path("words.json")));
    assert_eq!(spec.store, folder.path("pipelines/.store"));
}

#[test]
fn overrides_win_and_the_last_one_counts() {
    let folder = Folder::new();
    let spec = folder
        .load(
            &format!("{WHOLE}\n[adapt]\nepochs = 7\n"),
            &[
                "adapt.epochs=3",
                "adapt.epochs = 4",
                "adapt.tune=head",
                "views.scale=[0.4, 0.8]",
                "adapt.strong.rand_augment=false",
                "text.templates=[\"a {}\", 'the {}.']",
                "fusion.ratio=1",
                "name=2024",
                "dka.statement='dka.sql'",
                "store=../elsewhere",
                "device.kind=\"cpu\"",
            ],
        )
        .unwrap();
    assert_eq!((spec.adapt.epochs, spec.adapt.tune), (4, Tune::Head));
    assert_eq!((spec.views.scale, spec.fusion.ratio), ([0.4, 0.8], 1.0));
    assert!(!spec.adapt.strong.rand_augment);
    assert_eq!(spec.text.templates, ["a {}", "the {}."]);
    // What must be text is text even where it looks like a number.
    assert_eq!(spec.name, "2024");
    assert_eq!(spec.dka.statement, Some(folder.path("dka.sql")));
    assert_eq!(spec.store, folder.path("").parent().unwrap().join("elsewhere"));
    assert_eq!(spec.device.kind, DeviceChoice::Cpu);
}

#[test]
fn a_policy_and_a_statement_replace_each_other() {
    let folder = Folder::new();
    let spec = folder.load(WHOLE, &[]).unwrap();
    assert_eq!((spec.dka.policy, spec.dka.k, spec.dka.floor, spec.dka.statement), (None, 16, 0.5, None));
    let policy = format!("{WHOLE}\n[dka]\npolicy = \"confident\"\nfloor = 0.9\n");
    let spec = folder.load(&policy, &["dka.k=3"]).unwrap();
    assert_eq!((spec.dka.policy, spec.dka.k, spec.dka.floor), (Some(Policy::Confident), 3, 0.9));
    // An override comes in place of what the file says, though the file says it by the other key.
    let spec = folder.load(&policy, &["dka.statement=dka.sql"]).unwrap();
    assert_eq!((spec.dka.policy, spec.dka.statement), (None, Some(folder.path("dka.sql"))));
    let statement = format!("{WHOLE}\n[dka]\nstatement = \"dka.sql\"\n");
    let spec = folder.load(&statement, &["dka.policy=revive"]).unwrap();
    assert_eq!((spec.dka.policy, spec.dka.statement), (Some(Policy::Revive), None));
}

#[test]
fn sentences_are_not_asked_for_where_classifiers_are_made_from_templates() {
    let folder = Folder::new();
    let without = WHOLE.replace("descriptions = \"words.json\"", "prototypes = \"templates\"");
    assert!(without != WHOLE);
    let spec = folder.load(&without, &[]).unwrap();
    assert_eq!((spec.text.descriptions, spec.text.prototypes), (None, Prototypes::Templates));
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert!(Folder::new().load(&format!("\u{feff}{WHOLE}"), &[]).is_ok());
}

#[test]
fn settings_are_json_for_the_table_of_runs() {
    let spec = Folder::new().load(WHOLE, &[]).unwrap();
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!(json["adapt"]["tune"], "head");
    assert_eq!(serde_json::from_value::<Spec>(json).unwrap(), spec);
}

fn choice<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

/// A share in (0, 1], with many digits.
fn share() -> impl Strategy<Value = f64> {
    (1u64..=1 << 53).prop_map(|n| n as f64 / (1u64 << 53) as f64)
}

fn span() -> impl Strategy<Value = [f64; 2]> {
    (share(), share()).prop_map(|(a, b)| [a.min(b), a.max(b)])
}

fn adapt() -> impl Strategy<Value = Adapt> {
    let strong = (span(), share(), any::<bool>(), 0.0..=10.0, 0.0..=10.0, 1usize..=16).prop_map(
        |(scale, flip, rand_augment, magnitude, magnitude_std, ops)| Strong {
            scale,
            flip,
            rand_augment,
            magnitude,
            magnitude_std,
            ops,
        },
    );
    let sizes = (
        (choice(Tune::ALL), choice(PrecisionChoice::ALL), choice(BaseRecipe::ALL)),
        1u64..=100_000,
        1u64..=100_000,
        1usize..=65_536,
        0usize..=1_000,
    );
    let weights = (0.0..=1e3, 0.0..=1e3, share(), 1e-3..=1e3, 1e-3..=1e3);
    (sizes, span(), share(), weights, strong, choice(ClassPrior::ALL)).prop_map(
        |(
            ((tune, precision, recipe), epochs, epochs_per_pass, batch, block),
            [min_lr, lr],
            weight_decay,
            weights,
            strong,
            class_prior,
        )| {
            Adapt {
                recipe,
                tune,
                precision,
                // Settings that go with one way of tuning only.
                from_block: if tune == Tune::LayerNorm { block } else { 0 },
                head_lr_factor: weights.4,
                class_prior,
                class_shares: None,
                epochs,
                epochs_per_pass,
                batch,
                lr,
                min_lr,
                weight_decay,
                ce_weight: weights.0,
                fairness_weight: weights.1,
                fairness_momentum: weights.2,
                logit_scale: weights.3,
                keep: [Keep::All, Keep::Last, Keep::Top(block as u32 + 1)][epochs as usize % 3],
                strong,
            }
        },
    )
}

fn fusion() -> impl Strategy<Value = Fusion> {
    let parts =
        (choice(Coarse::ALL), choice(Query::ALL), choice(Pooling::ALL), choice(Sink::ALL), choice(MixedHeads::ALL));
    (share(), parts).prop_map(|(ratio, (coarse, query, pooling, sink, heads))| Fusion {
        ratio,
        coarse,
        query,
        pooling,
        sink,
        heads,
    })
}

fn device() -> impl Strategy<Value = DeviceChoice> {
    prop_oneof![
        choice(&[DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda]),
        any::<usize>().prop_map(DeviceChoice::Numbered)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn spec_to_toml_and_back_is_the_same(
        names in ("[a-z0-9-]{1,64}", "[a-z\u{e4}\u{1f339} '\"\\\\]{1,20}", "\\PC{0,20}"),
        seeds in (0..=i64::MAX as u64, 0..=i64::MAX as u64),
        kind in choice(SourceKind::ALL),
        optional in any::<bool>(),
        orientation in choice(ExifOrientation::ALL),
        limits in (1u32..=1_000_000, 1u64..=1_000_000_000_000, 1u64..=1 << 40),
        choices in (choice(PrecisionChoice::ALL), choice(Affinity::ALL), choice(Threshold::ALL), choice(Orientation::ALL)),
        device in (device(), 0usize..=1024),
        sizes in (1usize..=65_536, 1usize..=1_000_000, 1usize..=1024),
        numbers in (share(), -1e6..=1e6, 1e-300..=1.0, share(), share()),
        scale in span(),
        fusion in fusion(),
        transduction in (any::<bool>(), any::<bool>(), choice(Method::ALL), 1usize..=1_000, 1usize..=10_000, 0.0..=0.99),
        kept in 1usize..=100,
        adapt in adapt(),
        policy in proptest::option::of(choice(Policy::ALL)),
        k in 1u32..=1_000_000,
    ) {
        let folder = Folder::new();
        let mut spec = folder.load(WHOLE, &[]).unwrap();
        spec.name = names.0;
        spec.store = folder.path(&names.1);
        spec.text.templates = vec![format!("{{}}{}", names.2), "a {}".to_owned()];
        (spec.seed, spec.views.seed) = seeds;
        spec.dataset.kind = kind;
        if kind == SourceKind::List {
            spec.dataset.path = folder.path("list.csv");
            spec.dataset.root = optional.then(|| folder.path("pictures"));
        }
        spec.dataset.classes = optional.then(|| folder.path("classes.txt"));
        (spec.dataset.tolerance, spec.dataset.orientation) = (numbers.0, orientation);
        let found = &mut spec.dataset.limits;
        (found.max_side, found.max_pixels, found.max_bytes) = limits;
        spec.model.tokenizer = optional.then(|| folder.path("words.json"));
        spec.model.preprocessor = policy.map(|_| folder.path("words.json"));
        spec.dka.statement = optional.then(|| folder.path("dka.sql"));
        spec.dka.policy = policy.filter(|_| !optional);
        (spec.dka.k, spec.dka.floor) = (k, numbers.0);
        spec.model.precision = choices.0;
        (spec.saliency.affinity, spec.saliency.threshold, spec.saliency.orientation) = (choices.1, choices.2, choices.3);
        (spec.device.kind, spec.device.threads) = device;
        (spec.embed.batch, spec.embed.part_rows, spec.views.count) = sizes;
        spec.views.scale = scale;
        (spec.saliency.tau, spec.saliency.eps) = (numbers.1, numbers.2);
        (spec.predict.gamma, spec.dka.gamma) = (numbers.3, numbers.4);
        spec.fusion = fusion;
        if spec.dka.policy == Some(Policy::Balanced) {
            // It needs a pull, and all pictures at once.
            spec.dka.balance = Balance::Auto;
            spec.dka.policy = spec.dka.policy.filter(|_| adapt.tune != Tune::Reference);
        }
        if matches!(adapt.tune, Tune::LayerNorm | Tune::Reference) {
            spec.fusion.coarse = Coarse::Cls;
        }
        spec.adapt = adapt;
        spec.adapt.class_shares = (spec.adapt.class_prior == ClassPrior::Table).then(|| folder.path("words.json"));
        let (prior, predictions, method, neighbours, iterations, alpha) = transduction;
        spec.transduction = Transduction { prior, predictions, method, neighbours, iterations, alpha };
        spec.neighbours.k = kept;
        spec.text.prototypes = if optional { Prototypes::Descriptions } else { Prototypes::Templates };

        let text = toml::to_string(&spec).unwrap();
        prop_assert_eq!(folder.load(&text, &[]).unwrap(), spec);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", set in "\\PC{0,40}") {
        let _ = Folder::new().load(&text, &[&set]);
        let _ = Folder::new().load(WHOLE, &[&set, &format!("adapt.lr={set}"), &format!("store={set}")]);
    }
}
