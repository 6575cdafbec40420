//! The policies that ship: which pictures get which pseudo-labels, on tables small enough to do by
//! hand, and what holds on every table.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use microclip_pipe::dka::{Parameters, PassInput, Policy, PseudoLabels, Statement, pseudo_labels};
use proptest::prelude::*;

use super::sql_dka::matrix;

/// Two tables of logits over the same pictures, and the numbers of `[dka]`.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) ids: Vec<String>,
    pub(super) prior: Vec<f32>,
    pub(super) fusion: Vec<f32>,
    pub(super) classes: usize,
    pub(super) parameters: Parameters,
}

impl Table {
    /// Both sides believe the same: a row of probabilities, in percent, for each picture.
    fn of<const C: usize>(percent: &[[f64; C]]) -> Table {
        let logits: Vec<f32> = percent.iter().flatten().map(|p| ((p / 100.0).ln() / 100.0) as f32).collect();
        let ids = (0..percent.len()).map(|i| format!("{i:064x}")).collect();
        Table { ids, prior: logits.clone(), fusion: logits, classes: C, parameters: Parameters::default() }
    }

    fn k(mut self, k: u32) -> Table {
        self.parameters.k = k;
        self
    }

    fn floor(mut self, floor: f64) -> Table {
        self.parameters.floor = floor;
        self
    }

    /// The same beliefs of a model whose cosines are multiplied by `scale` before the softmax.
    fn at_scale(&self, scale: f64) -> Table {
        let cosines =
            |side: &[f32]| side.iter().map(|v| (f64::from(*v) * self.parameters.scale / scale) as f32).collect();
        let parameters = Parameters { scale, ..self.parameters };
        Table { prior: cosines(&self.prior), fusion: cosines(&self.fusion), parameters, ..self.clone() }
    }

    pub(super) fn pass(&self) -> PassInput<'_> {
        let Table { ids, prior, fusion, classes, parameters } = self;
        let (prior, fusion, parameters) = (matrix(prior, *classes), matrix(fusion, *classes), *parameters);
        PassInput { run: "r", pass: 0, image_ids: ids, prior, fusion, parameters, previous: None }
    }

    async fn try_label(&self, policy: Policy) -> microclip_pipe::Result<PseudoLabels> {
        pseudo_labels(&policy.statement(), self.pass()).await
    }

    async fn label(&self, policy: Policy) -> PseudoLabels {
        self.try_label(policy).await.unwrap()
    }

    /// The class of each picture; -1 where it has none.
    async fn classes(&self, policy: Policy) -> Vec<i32> {
        self.label(policy).await.class_ids
    }
}

fn figures(labels: &PseudoLabels, column: &str) -> Vec<f32> {
    labels.batch.column_by_name(column).unwrap().as_primitive::<Float32Type>().values().to_vec()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} for {expected:?}");
}

#[tokio::test]
async fn top_k_gives_each_class_its_most_probable_pictures() {
    let table = Table::of(&[
        [90.0, 8.0, 2.0],
        [80.0, 15.0, 5.0],
        [70.0, 20.0, 10.0], // First for class 1, second for class 2.
        [88.0, 1.0, 11.0],  // First for class 2, second for class 0.
    ]);
    assert_eq!(table.clone().k(1).classes(Policy::TopKPerClass).await, [0, -1, 1, 2]);
    // With two each, class 0 wants picture 3 too, and it is more probable; class 2 ends without a
    // picture.
    let two = table.clone().k(2).label(Policy::TopKPerClass).await;
    assert_eq!(two.class_ids, [0, 1, 1, 0]);
    assert_near(&figures(&two, "confidence"), &[0.9, 0.15, 0.2, 0.88]);
    assert_near(&figures(&two, "margin"), &[0.82, -0.65, -0.5, 0.77]);
    // More than there are pictures: every picture is wanted by every class.
    assert_eq!(table.clone().k(99).classes(Policy::TopKPerClass).await, table.classes(Policy::Argmax).await);
}

#[tokio::test]
async fn top_k_breaks_ties_by_picture_and_class() {
    let table = Table::of(&[[50.0, 50.0], [50.0, 50.0], [50.0, 50.0]]);
    assert_eq!(table.clone().k(1).classes(Policy::TopKPerClass).await, [0, -1, -1]);
    assert_eq!(table.k(2).classes(Policy::TopKPerClass).await, [0, 0, -1]);
}

#[tokio::test]
async fn confident_leaves_out_what_is_below_the_floor() {
    let table = Table::of(&[[90.0, 10.0], [40.0, 60.0], [55.0, 45.0]]);
    let labels = table.clone().floor(0.58).label(Policy::Confident).await;
    assert_eq!(labels.class_ids, [0, 1, -1]);
    assert_near(&figures(&labels, "confidence"), &[0.9, 0.6]);
    assert_near(&figures(&labels, "margin"), &[0.8, 0.2]);
    let error = table.floor(1.0).try_label(Policy::Confident).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "DKA statement confident.sql: it returns no row in pass 0: there is nothing to train on"
    );
    assert!(error.hint_text().unwrap().contains("dka.floor"));
}

#[tokio::test]
async fn agreement_wants_both_sides_to_name_the_class() {
    let mut table = Table::of(&[[90.0, 5.0, 5.0], [60.0, 30.0, 10.0], [10.0, 20.0, 70.0]]);
    table.fusion = Table::of(&[[50.0, 40.0, 10.0], [10.0, 80.0, 10.0], [30.0, 10.0, 60.0]]).fusion;
    table.parameters.gamma = 0.5;
    let labels = table.label(Policy::Agreement).await;
    assert_eq!(labels.class_ids, [0, -1, 2]);
    // Half of each logarithm: the geometric mean, made a distribution again.
    let mean = |a: [f64; 3], b: [f64; 3]| {
        let both: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a * b).sqrt()).collect();
        (both.iter().copied().fold(0.0, f64::max) / both.iter().sum::<f64>()) as f32
    };
    let expected = [mean([0.9, 0.05, 0.05], [0.5, 0.4, 0.1]), mean([0.1, 0.2, 0.7], [0.3, 0.1, 0.6])];
    assert_near(&figures(&labels, "confidence"), &expected);
    // Sides that agree on nothing leave nothing to train on.
    table.fusion = Table::of(&[[5.0, 90.0, 5.0], [10.0, 80.0, 10.0], [50.0, 40.0, 10.0]]).fusion;
    assert!(table.try_label(Policy::Agreement).await.unwrap_err().to_string().contains("nothing to train on"));
}

#[tokio::test]
async fn revive_gives_dead_classes_the_pictures_they_are_most_probable_in() {
    // Class 2 is dead. Picture 0 is the surest of class 0, and picture 4 the only one of class 1:
    // neither is taken.
    let table =
        Table::of(&[[85.0, 1.0, 14.0], [80.0, 15.0, 5.0], [70.0, 20.0, 10.0], [81.0, 11.0, 8.0], [6.0, 54.0, 40.0]]);
    assert_eq!(table.classes(Policy::Argmax).await, [0, 0, 0, 0, 1]);
    let one = table.clone().k(1).label(Policy::Revive).await;
    assert_eq!((one.class_ids.as_slice(), one.summary.dead_classes), (&[0, 0, 2, 0, 1][..], 0));
    assert_near(&figures(&one, "confidence"), &[0.85, 0.8, 0.1, 0.81, 0.54]);
    assert_near(&figures(&one, "margin"), &[0.71, 0.65, -0.6, 0.7, 0.14]);
    assert_eq!(table.clone().k(2).classes(Policy::Revive).await, [0, 0, 2, 2, 1]);
    // All that can be taken.
    assert_eq!(table.k(99).classes(Policy::Revive).await, [0, 2, 2, 2, 1]);
}

#[tokio::test]
async fn revive_gives_every_dead_class_one_picture_before_any_gets_two() {
    // Classes 1, 2 and 3 are dead, and want pictures 1, 2, 3, 4 in this order. Class 1 wants
    // picture 1 most, class 2 then picture 2, and class 3, the least of all, comes away with 3;
    // picture 4 is left, and most probable for class 1.
    let table = Table::of(&[
        [97.0, 1.0, 1.0, 1.0],
        [61.0, 17.0, 13.0, 9.0],
        [70.0, 12.0, 11.0, 7.0],
        [80.0, 9.0, 6.0, 5.0],
        [90.0, 5.0, 3.0, 2.0],
    ]);
    assert_eq!(table.clone().k(1).classes(Policy::Revive).await, [0, 1, 2, 3, 0]);
    assert_eq!(table.k(2).classes(Policy::Revive).await, [0, 1, 2, 3, 1]);
}

#[tokio::test]
async fn revive_breaks_ties_by_picture_and_class() {
    // Argmax gives class 0 all; it keeps the first picture.
    let table = Table::of(&[[25.0; 4]; 6]);
    assert_eq!(table.clone().k(1).classes(Policy::Revive).await, [0, 1, 2, 3, 0, 0]);
    // Classes 1, 2 and 3 all want the first that is left, and the first class has it.
    assert_eq!(table.k(2).classes(Policy::Revive).await, [0, 1, 2, 3, 1, 0]);
}

#[tokio::test]
async fn the_example_of_ones_own_keeps_labels_until_another_is_sure() {
    let steady = Statement::new("steady.sql", include_str!("../pipelines/steady.sql"));
    let table = Table::of(&[[52.0, 48.0], [52.0, 48.0], [80.0, 20.0]]);
    let first = pseudo_labels(&steady, table.pass()).await.unwrap();
    assert_eq!(first.class_ids, [0, 0, 0], "argmax in the first pass");
    let again = PassInput { previous: Some(&[1, -1, 1]), ..table.pass() };
    let second = pseudo_labels(&steady, again).await.unwrap();
    assert_eq!(second.class_ids, [1, 0, 0]);
    assert_near(&figures(&second, "confidence"), &[0.48, 0.52, 0.8]);
}

/// The statements that ship: the policies, and the example of one's own.
fn shipped() -> Vec<Statement> {
    let own = Statement::new("steady.sql", include_str!("../pipelines/steady.sql"));
    Policy::ALL.iter().map(|policy| policy.statement()).chain([own]).collect()
}

#[tokio::test]
async fn what_a_model_believes_counts_and_not_its_scale() {
    // `revive` and `top_k_per_class` choose by probabilities, `confident` and `steady` by their
    // floor: class 2 is dead, and picture 3 below the floor.
    let table =
        Table::of(&[[90.0, 8.0, 2.0], [20.0, 75.0, 5.0], [80.0, 5.0, 15.0], [55.0, 40.0, 5.0]]).k(1).floor(0.58);
    for statement in shipped() {
        let expected = pseudo_labels(&statement, table.pass()).await.unwrap();
        for scale in [5.0, 40.0, 300.0] {
            let scaled = table.at_scale(scale);
            let labels = pseudo_labels(&statement, scaled.pass()).await.unwrap();
            assert_eq!(labels.class_ids, expected.class_ids, "{} at {scale}", statement.name());
            assert_near(&figures(&labels, "confidence"), &figures(&expected, "confidence"));
        }
    }
}

#[tokio::test]
async fn a_lower_scale_makes_a_model_less_sure_and_the_floor_knows() {
    let mut table = Table::of(&[[90.0, 10.0], [40.0, 60.0]]).floor(0.58);
    assert_eq!(table.classes(Policy::Confident).await, [0, 1]);
    table.parameters.scale = 50.0;
    let labels = table.label(Policy::Confident).await;
    assert_eq!(labels.class_ids, [0, -1]);
    // Half the scale: the square root of the odds, which were 9 to 1.
    assert_near(&figures(&labels, "confidence"), &[0.75]);
}

#[tokio::test]
async fn policies_manage_many_pictures_and_classes() {
    let (n, classes) = (4_000, 102);
    // A third of the classes is below all others everywhere, so that argmax gives them nothing.
    let noise = |i: usize| ((i * 7919) % 10_007) as f32 / 10_007.0;
    let logits: Vec<f32> =
        (0..n * classes).map(|i| noise(i) * 0.1 + if i % classes < 34 { 0.1 } else { 0.2 }).collect();
    let ids = (0..n).map(|i| format!("{i:064x}")).collect();
    let table = Table { ids, prior: logits.clone(), fusion: logits, classes, parameters: Parameters::default() };
    assert_eq!(table.label(Policy::Argmax).await.summary.dead_classes, 34);
    let revived = table.label(Policy::Revive).await;
    assert_eq!((revived.batch.num_rows(), revived.summary.dead_classes), (n, 0));
    let top = table.label(Policy::TopKPerClass).await;
    assert!(top.batch.num_rows() <= classes * 16 && top.batch.num_rows() > classes);
}

/// Tables with many ties and many dead classes.
fn tables() -> impl Strategy<Value = Table> {
    (1usize..=8, 2usize..=6).prop_flat_map(|(n, classes)| {
        let side = || prop::collection::vec(0i8..5, n * classes);
        // What each class is short of everywhere.
        let handicap = prop::collection::vec(0i8..4, classes);
        (side(), side(), handicap, 0.0f64..=1.0, 1u32..=4, Just((n, classes))).prop_map(
            |(prior, fusion, handicap, gamma, k, (n, classes))| {
                let logits = |side: &[i8]| {
                    side.iter().zip(handicap.iter().cycle()).map(|(v, less)| f32::from(v - less) * 0.01).collect()
                };
                let ids = (0..n).map(|i| format!("{i:064x}")).collect();
                let parameters = Parameters { gamma, k, ..Parameters::default() };
                Table { ids, prior: logits(&prior), fusion: logits(&fusion), classes, parameters }
            },
        )
    })
}

/// How many pictures each class has.
fn sizes(labels: &[i32]) -> BTreeMap<i32, usize> {
    let mut sizes = BTreeMap::new();
    labels.iter().filter(|class| **class >= 0).for_each(|class| *sizes.entry(*class).or_default() += 1);
    sizes
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn top_k_gives_no_class_more_than_k_and_no_picture_twice(table in tables()) {
        let labels = block_on(table.label(Policy::TopKPerClass));
        prop_assert!(sizes(&labels.class_ids).values().all(|size| *size <= table.parameters.k as usize));
        let labelled = labels.class_ids.iter().filter(|class| **class >= 0).count();
        prop_assert_eq!(labels.batch.num_rows(), labelled);
    }

    #[test]
    fn confident_at_floor_0_is_argmax_and_a_higher_floor_is_a_part_of_it(table in tables(), floor in 0.0f64..=1.0) {
        let argmax = block_on(table.label(Policy::Argmax));
        prop_assert_eq!(&block_on(table.clone().floor(0.0).label(Policy::Confident)).batch, &argmax.batch);
        let confidences = figures(&argmax, "confidence");
        match block_on(table.floor(floor).try_label(Policy::Confident)) {
            Ok(labels) => for (row, class) in labels.class_ids.iter().enumerate() {
                let expected = if f64::from(confidences[row]) >= floor { argmax.class_ids[row] } else { -1 };
                prop_assert_eq!(*class, expected);
            },
            Err(_) => prop_assert!(confidences.iter().all(|c| f64::from(*c) < floor)),
        }
    }

    #[test]
    fn agreement_is_argmax_where_each_side_alone_names_the_same(table in tables()) {
        let alone = |side: &[f32]| {
            let table = Table { prior: side.to_vec(), fusion: side.to_vec(), ..table.clone() };
            block_on(table.classes(Policy::Argmax))
        };
        let (prior, fusion, argmax) = (alone(&table.prior), alone(&table.fusion), block_on(table.classes(Policy::Argmax)));
        let expected: Vec<i32> =
            (0..argmax.len()).map(|i| if prior[i] == fusion[i] { argmax[i] } else { -1 }).collect();
        match block_on(table.try_label(Policy::Agreement)) {
            Ok(labels) => prop_assert_eq!(labels.class_ids, expected),
            Err(_) => prop_assert!(expected.iter().all(|class| *class == -1)),
        }
    }

    #[test]
    fn revive_leaves_as_many_classes_alive_as_it_can_and_kills_none(table in tables()) {
        let (before, after) = (block_on(table.label(Policy::Argmax)), block_on(table.label(Policy::Revive)));
        let (was, is) = (sizes(&before.class_ids), sizes(&after.class_ids));
        prop_assert_eq!(after.batch.num_rows(), table.ids.len(), "every picture has a label");
        // With at least as many pictures as classes no class is dead; with fewer, each picture is
        // of a class of its own.
        prop_assert_eq!(is.len(), table.classes.min(table.ids.len()));
        prop_assert!(was.keys().all(|class| is.contains_key(class)), "none is killed");
        for (row, (old, new)) in before.class_ids.iter().zip(&after.class_ids).enumerate() {
            prop_assert!(old == new || !was.contains_key(new), "only a dead class takes picture {}", row);
        }
        for (class, size) in &is {
            prop_assert!(was.contains_key(class) || *size <= table.parameters.k as usize, "at most k for a dead class");
        }
        if was.len() == table.classes {
            prop_assert_eq!(&after.batch, &before.batch, "argmax where no class is dead");
        }
    }

    #[test]
    fn the_order_of_the_pictures_does_not_matter(table in tables()) {
        let rows = |side: &[f32]| side.chunks(table.classes).rev().flatten().copied().collect::<Vec<f32>>();
        let turned = Table {
            ids: table.ids.iter().rev().cloned().collect(),
            prior: rows(&table.prior),
            fusion: rows(&table.fusion),
            ..table.clone()
        };
        for &policy in Policy::ALL {
            let (one, other) = (block_on(table.try_label(policy)), block_on(turned.try_label(policy)));
            match (one, other) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one.batch, other.batch, "{:?}", policy),
                (one, other) => prop_assert!(one.is_err() && other.is_err(), "{:?}", policy),
            }
        }
    }
}
