//! What holds of a pass whatever the logits are, tried on the statements themselves: they run in
//! the same session as in training.
//!
//! The tables are drawn from a fixed seed, so that a law either holds in every run or in none.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use microclip_pipe::dka::{Parameters, PassInput, Policy, PseudoLabels, Statement, pseudo_labels};
use microclip_pipe::table::session::bare_session;
use microclip_pipe::table::{self, arrays};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::sql_dka::matrix;

/// Logits of both sides over the same pictures, and an order of the pictures and of the classes.
#[derive(Debug, Clone)]
struct Table {
    ids: Vec<String>,
    prior: Vec<f32>,
    fusion: Vec<f32>,
    classes: usize,
    parameters: Parameters,
    pictures: Vec<usize>,
    names: Vec<usize>,
}

impl Table {
    fn pass(&self) -> PassInput<'_> {
        let Table { ids, prior, fusion, classes, parameters, .. } = self;
        let (prior, fusion, parameters) = (matrix(prior, *classes), matrix(fusion, *classes), *parameters);
        PassInput { run: "r", pass: 1, image_ids: ids, prior, fusion, parameters, previous: None }
    }

    fn label(&self, policy: Policy) -> microclip_pipe::Result<PseudoLabels> {
        label(&policy.statement(), self.pass())
    }

    fn at(&self, gamma: f64) -> Table {
        Table { parameters: Parameters { gamma, ..self.parameters }, ..self.clone() }
    }

    /// The same pictures in another order.
    fn turned(&self) -> Table {
        let rows = |side: &[f32]| {
            let row = |picture: &usize| side[picture * self.classes..][..self.classes].to_vec();
            self.pictures.iter().flat_map(row).collect()
        };
        let ids = self.pictures.iter().map(|picture| self.ids[*picture].clone()).collect();
        Table { ids, prior: rows(&self.prior), fusion: rows(&self.fusion), ..self.clone() }
    }

    /// The same classes in another order: number `c` is what was number `names[c]`.
    fn renamed(&self) -> Table {
        let columns = |side: &[f32]| {
            side.chunks(self.classes).flat_map(|row| self.names.iter().map(|class| row[*class])).collect()
        };
        Table { prior: columns(&self.prior), fusion: columns(&self.fusion), ..self.clone() }
    }

    /// Whether two classes of a picture are so close that rounding decides between them.
    fn is_close(&self, logits: &[f32]) -> bool {
        logits.chunks(self.classes).any(|row| {
            let mut row = row.to_vec();
            row.sort_by(f32::total_cmp);
            row.windows(2).any(|pair| pair[1] - pair[0] < 1e-5)
        })
    }
}

fn label(statement: &Statement, pass: PassInput<'_>) -> microclip_pipe::Result<PseudoLabels> {
    block_on(pseudo_labels(statement, pass))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// An expression over the columns `a` and `b`, by SQL.
fn asked(expression: &str, a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let list = |values| arrays::fixed_list_f32(values, width).unwrap();
    let ctx = bare_session();
    ctx.register_batch("t", RecordBatch::try_from_iter([("a", list(a)), ("b", list(b))]).unwrap()).unwrap();
    let sql = format!("SELECT {expression} AS m FROM t");
    let batches = block_on(async { table::query(&ctx, &sql).await.unwrap().collect().await.unwrap() });
    let flat =
        |batch: &RecordBatch| batch.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().clone();
    batches.iter().flat_map(|batch| flat(batch).values().to_vec()).collect()
}

fn figures(labels: &PseudoLabels, column: &str) -> Vec<f32> {
    labels.batch.column_by_name(column).unwrap().as_primitive::<Float32Type>().values().to_vec()
}

/// Cosines as CLIP gives them: close to each other, so that at factors about 100 several classes
/// have a chance.
fn tables() -> impl Strategy<Value = Table> {
    (1usize..=9, 2usize..=6).prop_flat_map(|(n, classes)| {
        let side = || prop::collection::vec(0.15f32..0.2, n * classes);
        // What some classes are short of everywhere, so that a few are dead.
        let handicap = prop::collection::vec(prop::sample::select(vec![0.0f32, 0.0, 0.03]), classes);
        let order = |count: usize| Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        let numbers = (0.0f64..=1.0, 10.0f64..200.0, 1u32..=4, 0.0f64..0.6);
        (side(), side(), handicap, numbers, order(n), order(classes)).prop_map(
            move |(prior, fusion, handicap, (gamma, scale, k, floor), pictures, names)| {
                let less = |side: Vec<f32>| side.iter().zip(handicap.iter().cycle()).map(|(v, h)| v - h).collect();
                let ids = (0..n).map(|i| format!("{i:064x}")).collect();
                let (prior, fusion) = (less(prior), less(fusion));
                let parameters = Parameters { gamma, scale, k, floor };
                Table { ids, prior, fusion, classes, parameters, pictures, names }
            },
        )
    })
}

/// Both did the same: labels, or none at all.
type Both = Option<(PseudoLabels, PseudoLabels)>;

fn both(one: microclip_pipe::Result<PseudoLabels>, other: microclip_pipe::Result<PseudoLabels>) -> Both {
    match (one, other) {
        (Ok(one), Ok(other)) => Some((one, other)),
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string());
            None
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

fn settings() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn at_gamma_1_the_model_has_no_say_and_at_gamma_0_the_prior_has_none(table in tables(), other in tables()) {
        let resized = |side: &[f32]| side.iter().cycle().take(table.prior.len()).copied().collect::<Vec<f32>>();
        let (first, last) = (table.at(0.0), table.at(1.0));
        let another_prior = Table { prior: resized(&other.prior), ..first.clone() };
        let another_model = Table { fusion: resized(&other.fusion), ..last.clone() };
        // Agreement asks each side by itself, whatever gamma is.
        for policy in [Policy::Argmax, Policy::TopKPerClass, Policy::Confident, Policy::Revive] {
            for (one, other) in [(&first, &another_prior), (&last, &another_model)] {
                if let Some((one, other)) = both(one.label(policy), other.label(policy)) {
                    prop_assert_eq!(one.batch, other.batch, "{:?}", policy);
                }
            }
        }
        let best = |side: &[f32]| -> Vec<i32> {
            let place = |row: &[f32]| (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as i32;
            side.chunks(table.classes).map(place).collect()
        };
        prop_assert_eq!(first.label(Policy::Argmax).unwrap().class_ids, best(&table.fusion));
        prop_assert_eq!(last.label(Policy::Argmax).unwrap().class_ids, best(&table.prior));
    }

    #[test]
    fn no_order_of_the_pictures_changes_a_bit(table in tables()) {
        let turned = table.turned();
        for &policy in Policy::ALL {
            let Some((one, other)) = both(table.label(policy), turned.label(policy)) else { continue };
            prop_assert_eq!(&one.batch, &other.batch, "{:?}", policy);
            let place = |picture: &usize| one.class_ids[*picture];
            prop_assert_eq!(table.pictures.iter().map(place).collect::<Vec<_>>(), other.class_ids);
        }
    }

    #[test]
    fn classes_that_change_places_take_their_pictures_along(table in tables()) {
        let mixed = asked(&format!("mix(a, b, {:?})", table.parameters.gamma), &table.prior, &table.fusion, table.classes);
        prop_assume!([&mixed, &table.prior, &table.fusion].iter().all(|side| !table.is_close(side)));
        let renamed = table.renamed();
        for &policy in Policy::ALL {
            let Some((one, other)) = both(table.label(policy), renamed.label(policy)) else { continue };
            let was = |class: &i32| usize::try_from(*class).map_or(-1, |class| table.names[class] as i32);
            prop_assert_eq!(&one.class_ids, &other.class_ids.iter().map(was).collect::<Vec<_>>(), "{:?}", policy);
            for column in ["confidence", "margin"] {
                let differ = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-6;
                prop_assert!(!figures(&one, column).iter().zip(&figures(&other, column)).any(differ), "{:?}", policy);
            }
        }
    }

    #[test]
    fn a_mixture_lies_between_its_sides(table in tables()) {
        let (gamma, width) = (table.parameters.gamma, table.classes);
        let ask = |expression: &str| asked(expression, &table.prior, &table.fusion, width);
        let mixed = ask(&format!("mix(a, b, {gamma:?})"));
        for ((mixed, a), b) in mixed.iter().zip(&table.prior).zip(&table.fusion) {
            prop_assert!(*mixed >= a.min(*b) - 1e-7 && *mixed <= a.max(*b) + 1e-7, "{} of {} and {}", mixed, a, b);
        }
        // Probabilities mix as weighted geometric means, made a distribution again: what both sides
        // believe in a class stays, and may grow past both.
        let [prior, fusion] = ["a", "b"].map(|side| ask(&format!("softmax({side}, 100)")));
        let probabilities = ask(&format!("softmax(mix(a, b, {gamma:?}), 100)"));
        for row in [&prior, &fusion, &probabilities].iter().flat_map(|side| side.chunks(width)) {
            prop_assert!((row.iter().map(|p| f64::from(*p)).sum::<f64>() - 1.0).abs() < 1e-6);
            prop_assert!(row.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        for ((mixed, a), b) in probabilities.iter().zip(&prior).zip(&fusion) {
            prop_assert!(*mixed >= a.min(*b) - 1e-5, "{} of {} and {}", mixed, a, b);
        }
    }

    #[test]
    fn confidence_and_margin_are_those_of_the_mixture(table in tables()) {
        let width = table.classes;
        let Parameters { gamma, scale, .. } = table.parameters;
        let mixture = format!("softmax(mix(a, b, {gamma:?}), {scale:?})");
        let probabilities = asked(&mixture, &table.prior, &table.fusion, width);
        let labels = table.label(Policy::Argmax).unwrap();
        let (confidence, margin) = (figures(&labels, "confidence"), figures(&labels, "margin"));
        for (row, probabilities) in probabilities.chunks(width).enumerate() {
            let best = probabilities[labels.class_ids[row] as usize];
            let second = probabilities.iter().enumerate().filter(|(class, _)| *class as i32 != labels.class_ids[row]);
            let second = second.map(|(_, p)| *p).fold(0.0, f32::max);
            prop_assert_eq!(confidence[row], best);
            prop_assert!((margin[row] - (best - second)).abs() < 1e-6);
            prop_assert!(best >= 1.0 / width as f32 - 1e-6 && (0.0..=best).contains(&margin[row]));
        }
    }

    #[test]
    fn what_both_sides_name_every_mixture_names(table in tables(), gammas in prop::collection::vec(0.0f64..=1.0, 3)) {
        let Ok(agreed) = table.label(Policy::Agreement) else { return Ok(()) };
        for gamma in gammas {
            let labels = table.at(gamma).label(Policy::Argmax).unwrap();
            for (label, agreed) in labels.class_ids.iter().zip(&agreed.class_ids) {
                prop_assert!(*agreed == -1 || label == agreed);
            }
        }
        // A side that is mixed with itself stays what it is.
        let alone = Table { fusion: table.prior.clone(), ..table.clone() };
        prop_assume!(!alone.is_close(&alone.prior));
        prop_assert_eq!(
            alone.label(Policy::Argmax).unwrap().class_ids,
            alone.at(1.0).label(Policy::Argmax).unwrap().class_ids
        );
    }

    #[test]
    fn a_number_added_to_all_classes_of_a_picture_changes_no_label(table in tables(), shifts in prop::collection::vec(-0.2f32..0.2, 9)) {
        let shifted = |side: &[f32]| -> Vec<f32> {
            side.chunks(table.classes).zip(&shifts).flat_map(|(row, by)| row.iter().map(move |v| v + by)).collect()
        };
        let moved = Table { prior: shifted(&table.prior), fusion: shifted(&table.fusion), ..table.clone() };
        let mixed = asked(&format!("mix(a, b, {:?})", table.parameters.gamma), &table.prior, &table.fusion, table.classes);
        prop_assume!([&mixed, &table.prior, &table.fusion].iter().all(|side| !table.is_close(side)));
        for policy in [Policy::Argmax, Policy::Agreement] {
            let Some((one, other)) = both(table.label(policy), moved.label(policy)) else { continue };
            prop_assert_eq!(one.class_ids, other.class_ids, "{:?}", policy);
        }
    }

    #[test]
    fn a_pass_over_its_own_labels_changes_none(table in tables(), before in prop::collection::vec(-1i32..2, 9)) {
        let steady = Statement::new("steady.sql", include_str!("../pipelines/steady.sql"));
        let statements = Policy::ALL.iter().map(|policy| policy.statement()).chain([steady]);
        for statement in statements {
            let pass = PassInput { previous: Some(&before[..table.ids.len()]), ..table.pass() };
            let Ok(first) = label(&statement, pass.clone()) else { continue };
            let again = label(&statement, PassInput { previous: Some(&first.class_ids), ..pass }).unwrap();
            prop_assert_eq!(&again.class_ids, &first.class_ids, "{}", statement.name());
            prop_assert_eq!(again.summary.changed, 0);
            prop_assert_eq!(again.summary.dead_classes, first.summary.dead_classes);
        }
    }
}
