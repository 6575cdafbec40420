//! A pass of Dynamic Knowledge Aggregation gives the numbers of the paper's released code, and
//! refuses rows that are wrong.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use microclip_pipe::Error;
use microclip_pipe::cores;
use microclip_pipe::dka::{Parameters, PassInput, Policy, PseudoLabels, Statement, pseudo_labels};
use microclip_pipe::fusion::matrix::Matrix;
use microclip_pipe::table::session::bare_session;
use microclip_pipe::table::{self, arrays};
use proptest::prelude::*;
use safetensors::SafeTensors;
use tch::Tensor;

const GOLDEN: &[u8] = include_bytes!("golden/dka.safetensors");

fn golden(name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let bytes = file.tensor(name).unwrap().data();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn ids(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{i:064x}")).collect()
}

fn input<'a>(ids: &'a [String], prior: &[f32], fusion: &[f32], gamma: f64) -> PassInput<'a> {
    let classes = prior.len() / ids.len();
    let parameters = Parameters { gamma, ..Parameters::default() };
    let (prior, fusion) = (matrix(prior, classes), matrix(fusion, classes));
    PassInput { run: "r1", pass: 3, image_ids: ids, prior, fusion, parameters, previous: None }
}

/// Logits of pictures, `classes` for each in turn.
pub(super) fn matrix(logits: &[f32], classes: usize) -> Matrix {
    Tensor::from_slice(logits).view([-1, classes as i64]).into()
}

/// `mix` by SQL, over columns of vectors.
async fn mixed(a: &[f32], b: &[f32], width: usize, gamma: f64) -> Vec<f32> {
    let list = |values| arrays::fixed_list_f32(values, width).unwrap();
    let ctx = bare_session();
    ctx.register_batch("t", RecordBatch::try_from_iter([("a", list(a)), ("b", list(b))]).unwrap()).unwrap();
    let df = table::query(&ctx, &format!("SELECT mix(a, b, {gamma:?}) AS m FROM t")).await.unwrap();
    let batches = df.collect().await.unwrap();
    let flat =
        |batch: &RecordBatch| batch.column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().clone();
    batches.iter().flat_map(|b| flat(b).values().to_vec()).collect()
}

fn float(labels: &PseudoLabels, column: &str) -> Vec<f32> {
    labels.batch.column_by_name(column).unwrap().as_primitive::<Float32Type>().values().to_vec()
}

#[tokio::test]
async fn mixed_logits_and_labels_are_those_of_the_released_code() {
    let (prior, fusion) = (golden("dka/prior_logits"), golden("dka/fusion_logits"));
    let ids = ids(6);
    for gamma in [0.0, 0.3, 0.5, 1.0] {
        let expected = golden(&format!("dka/pseudo_logits@{gamma:.1}"));
        let logits = mixed(&prior, &fusion, 5, gamma).await;
        for (value, expected) in logits.iter().zip(&expected) {
            assert!((value - expected).abs() <= 1e-6 * expected.abs().max(0.01), "{gamma}: {value} for {expected}");
        }
        let labels = pseudo_labels(&Policy::Argmax.statement(), input(&ids, &prior, &fusion, gamma)).await.unwrap();
        for (row, logits) in expected.chunks(5).enumerate() {
            let mut sorted: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let class = logits.iter().position(|v| f64::from(*v) == sorted[0]).unwrap();
            assert_eq!(labels.class_ids[row], class as i32, "gamma {gamma}, row {row}");
            let sum: f64 = sorted.iter().map(|v| (100.0 * (v - sorted[0])).exp()).sum();
            let (first, second) = (1.0 / sum, (100.0 * (sorted[1] - sorted[0])).exp() / sum);
            assert!((f64::from(float(&labels, "confidence")[row]) - first).abs() < 1e-4);
            assert!((f64::from(float(&labels, "margin")[row]) - (first - second)).abs() < 1e-4);
        }
    }
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    let expected: Vec<i32> = file
        .tensor("dka/pseudo_labels@0.5")
        .unwrap()
        .data()
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as i32)
        .collect();
    let labels = pseudo_labels(&Policy::Argmax.statement(), input(&ids, &prior, &fusion, 0.5)).await.unwrap();
    assert_eq!(labels.class_ids, expected);
}

#[tokio::test]
async fn a_pass_says_what_changed_and_which_classes_are_dead() {
    // Not in the order of their ids: the table is, whatever the input's order.
    let ids: Vec<String> = ["c", "a", "b"].map(|l| l.repeat(64)).to_vec();
    let prior = [0.9, 0.1, 0.0, 0.0, 0.8, 0.1, 0.1, 0.3, 0.2];
    let mut pass = input(&ids, &prior, &prior, 0.5);
    let first = pseudo_labels(&Policy::Argmax.statement(), pass.clone()).await.unwrap();
    assert_eq!(first.class_ids, [0, 1, 1]);
    assert_eq!((first.summary.changed, first.summary.dead_classes), (0, 1));
    assert_eq!(arrays::strings(&first.batch, "image_id").unwrap(), [&ids[1], &ids[2], &ids[0]]);
    assert_eq!(arrays::int32s(&first.batch, "class_id").unwrap(), [1, 1, 0]);
    assert_eq!(arrays::optional_int32s(&first.batch, "previous_class_id").unwrap(), [None; 3]);
    let mean = float(&first, "confidence").iter().map(|c| f64::from(*c)).sum::<f64>() / 3.0;
    assert!((first.summary.mean_confidence - mean).abs() < 1e-12);

    pass.previous = Some(&[0, 2, -1]);
    let second = pseudo_labels(&Policy::Argmax.statement(), pass.clone()).await.unwrap();
    assert_eq!(second.summary.changed, 2);
    assert_eq!(arrays::optional_int32s(&second.batch, "previous_class_id").unwrap(), [Some(2), None, Some(0)]);
    assert_eq!(arrays::int32s(&second.batch, "pass").unwrap(), [3; 3]);

    // The same again, to the bit.
    assert_eq!(pseudo_labels(&Policy::Argmax.statement(), pass).await.unwrap().batch, second.batch);
}

#[tokio::test]
async fn a_statement_may_leave_pictures_out_and_columns_too() {
    let ids = ids(3);
    let prior = [0.9, 0.1, 0.2, 0.3, 0.1, 0.8];
    let own = Statement::new(
        "floor.sql",
        "SELECT image_id, argmax(logits) AS class_id FROM prior_logits WHERE max_of(logits) > 0.5",
    );
    own.validate().await.unwrap();
    let mut pass = input(&ids, &prior, &prior, 0.5);
    pass.previous = Some(&[0, 1, 1]);
    let labels = pseudo_labels(&own, pass).await.unwrap();
    assert_eq!(labels.class_ids, [0, -1, 1]);
    assert_eq!(labels.summary.changed, 1, "the picture that was left out had a label before");
    assert!(labels.summary.mean_confidence.is_nan());
    assert_eq!(labels.batch.column_by_name("confidence").unwrap().null_count(), 2);
}

async fn refusal(sql: &str) -> String {
    let ids = ids(3);
    let prior = [0.9, 0.1, 0.2, 0.3, 0.1, 0.8];
    let statement = Statement::new("own.sql", sql);
    pseudo_labels(&statement, input(&ids, &prior, &prior, 0.5)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn wrong_rows_are_refused_and_named() {
    let error = refusal("SELECT image_id, class + 1 AS class_id FROM (SELECT image_id, argmax(logits) AS class FROM prior_logits) ORDER BY image_id").await;
    assert_eq!(error, format!("DKA statement own.sql: row 2: picture {:064x} has class 2; the classes are 0 to 1", 1));
    let error = refusal("SELECT image_id, -1 AS class_id FROM prior_logits").await;
    assert!(error.contains("has class -1"), "{error}");
    let error = refusal("SELECT image_id, 0 AS class_id FROM prior_logits UNION ALL SELECT image_id, 1 FROM prior_logits ORDER BY image_id").await;
    assert!(error.contains("row 2: picture") && error.contains("is returned twice"), "{error}");
    let error = refusal("SELECT 'rose' AS image_id, 0 AS class_id").await;
    assert!(error.contains("row 1: picture rose is not in this pass"), "{error}");
    let error = refusal("SELECT image_id, CAST(NULL AS INT) AS class_id FROM prior_logits").await;
    assert!(error.contains("has no class_id"), "{error}");
    let error = refusal("SELECT CAST(NULL AS VARCHAR) AS image_id, 0 AS class_id").await;
    assert_eq!(error, "DKA statement own.sql: row 1: image_id is null");
    // More than any whole number that a class could be.
    let error =
        refusal("SELECT image_id, CAST(18446744073709551615 AS BIGINT UNSIGNED) AS class_id FROM prior_logits").await;
    assert!(
        error.contains("row 1: picture") && error.contains("has class 18446744073709551615; the classes"),
        "{error}"
    );
    for (figure, shown) in [("CAST('NaN' AS DOUBLE)", "NaN"), ("-1e300", "-inf"), ("CAST('inf' AS REAL)", "inf")] {
        for column in ["confidence", "margin"] {
            let second = format!("CASE WHEN image_id = '{:064x}' THEN {figure} ELSE NULL END", 1);
            let sql =
                format!("SELECT image_id, 0 AS class_id, {second} AS {column} FROM prior_logits ORDER BY image_id");
            let expected = format!("row 2: picture {:064x} has {column} {shown}, which is not finite", 1);
            let error = refusal(&sql).await;
            assert!(error.contains(&expected), "{error}");
        }
    }
    let error = refusal("SELECT image_id, $other AS class_id FROM prior_logits").await;
    assert!(error.contains("own.sql") && error.contains("other"), "{error}");
}

#[tokio::test]
async fn a_statement_may_join_by_the_picture_alone() {
    let (ids, prior, fusion) = (ids(3), [0.9, 0.1, 0.2, 0.8, 0.6, 0.4], [0.1, 0.9, 0.3, 0.7, 0.8, 0.2]);
    let own = Statement::new(
        "own.sql",
        "SELECT image_id, coalesce(b.class_id, argmax(mix(p.logits, f.logits, $gamma))) AS class_id \
         FROM prior_logits p JOIN fusion_logits f USING (image_id) FULL JOIN previous b USING (image_id) \
              JOIN (SELECT image_id FROM prior_logits) AS known USING (image_id) \
         WHERE image_id >= (SELECT min(image_id) FROM prior_logits JOIN fusion_logits USING (image_id, run))",
    );
    own.validate().await.unwrap();
    let input = PassInput { previous: Some(&[1, -1, -1]), ..input(&ids, &prior, &fusion, 1.0) };
    let labels = pseudo_labels(&own, input).await.unwrap();
    assert_eq!(labels.class_ids, [1, 1, 0]);
}

#[tokio::test]
async fn a_statement_that_labels_nothing_is_refused() {
    let error = refusal("SELECT image_id, 0 AS class_id FROM prior_logits WHERE max_of(logits) > 2").await;
    assert_eq!(error, "DKA statement own.sql: it returns no row in pass 3: there is nothing to train on");
}

#[tokio::test]
async fn without_an_order_the_same_row_is_named_each_time() {
    let sql = "SELECT p.image_id, argmax(p.logits) + 7 AS class_id FROM prior_logits p \
               JOIN fusion_logits f ON f.image_id = p.image_id";
    let first = refusal(sql).await;
    assert!(first.contains("row 1: picture 0000"), "{first}");
    for _ in 0..8 {
        assert_eq!(refusal(sql).await, first);
    }
}

#[tokio::test]
async fn every_statement_may_use_the_numbers_of_the_pipeline_file() {
    let ids = ids(3);
    let prior = [0.9, 0.1, 0.2, 0.3, 0.1, 0.8];
    let own = Statement::new(
        "own.sql",
        "SELECT image_id, CAST($k - 1 AS INT) AS class_id, $floor AS confidence, $gamma + $scale AS margin \
         FROM prior_logits WHERE $pass = 3 AND $run = 'r1'",
    );
    own.validate().await.unwrap();
    let mut pass = input(&ids, &prior, &prior, 0.25);
    (pass.parameters.scale, pass.parameters.k, pass.parameters.floor) = (40.0, 2, 0.75);
    let labels = pseudo_labels(&own, pass).await.unwrap();
    assert_eq!(labels.class_ids, [1, 1, 1]);
    assert_eq!((float(&labels, "confidence")[0], float(&labels, "margin")[0]), (0.75, 40.25));
}

#[tokio::test]
async fn input_that_does_not_fit_is_refused() {
    let ids = ids(2);
    let refused =
        async |input: PassInput<'_>| -> Error { pseudo_labels(&Policy::Argmax.statement(), input).await.unwrap_err() };
    let good = [0.1, 0.2, 0.3, 0.4];
    let error = refused(input(&ids, &good, &[0.1, 0.2, f32::NAN, 0.4], 0.5)).await;
    assert_eq!(error.to_string(), format!("the fusion logit of picture {:064x} for class 0 is NaN", 1));
    let error = refused(input(&ids, &good, &good[..2], 0.5)).await;
    assert_eq!(error.to_string(), "1 x 2 fusion logits are not those of 2 pictures and 2 classes");
    assert!(refused(input(&ids, &good, &good, 1.5)).await.to_string().contains("gamma"));
    let mut wrong = input(&ids, &good, &good, 0.5);
    wrong.parameters.k = 0;
    assert_eq!(refused(wrong.clone()).await.to_string(), "k is 0, which is not at least 1");
    wrong.parameters = Parameters { floor: f64::NAN, ..Parameters::default() };
    assert!(refused(wrong.clone()).await.to_string().contains("floor is NaN"));
    for scale in [0.0, -100.0, f64::NAN, f64::INFINITY] {
        wrong.parameters = Parameters { scale, ..Parameters::default() };
        assert_eq!(refused(wrong.clone()).await.to_string(), format!("scale is {scale}, which is not above 0"));
    }
    let twice = vec![ids[0].clone(), ids[0].clone()];
    assert!(refused(input(&twice, &good, &good, 0.5)).await.to_string().contains("twice"));
}

#[tokio::test]
async fn many_pictures_and_classes_each_get_a_label() {
    let (n, classes) = (10_000, 102);
    let ids = ids(n);
    let logits: Vec<f32> = (0..n * classes).map(|i| ((i * 7919) % 10_007) as f32 / 10_007.0).collect();
    let labels = pseudo_labels(&Policy::Argmax.statement(), input(&ids, &logits, &logits, 0.5)).await.unwrap();
    assert_eq!(labels.batch.num_rows(), n);
}

/// All policies, and statements whose result depends on the order in which rows are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_number_of_cores_changes_no_label() {
    let (n, classes) = (24_000, 120);
    let ids: Vec<String> = (0..n).map(|i| format!("{:064x}", (i * 7_919) % 24_001)).collect();
    let side = |seed: usize| -> Vec<f32> {
        (0..n * classes).map(|i| ((i * 7_919 + i / classes * seed) % 10_007) as f32 / 50_000.0).collect()
    };
    let (prior, fusion) = (side(31), side(57));
    let previous: Vec<i32> = (0..n).map(|i| (i % (classes + 1)) as i32 - 1).collect();
    let own = "SELECT image_id, argmax(mix(p.logits, f.logits, 0.3)) AS class_id, \
               avg(max_of(p.logits)) OVER () AS confidence \
               FROM prior_logits p JOIN fusion_logits f USING (image_id) LEFT JOIN previous b USING (image_id) \
               WHERE coalesce(b.class_id, 0) < 90";
    let limited = "SELECT image_id, 1 AS class_id FROM prior_logits LIMIT 100";
    let statements = Policy::ALL.iter().map(|policy| policy.statement());
    for statement in statements.chain([own, limited].map(|sql| Statement::new("own.sql", sql))) {
        let mut found = Vec::new();
        for cores in [1, 2, 5] {
            cores::set_limit(cores);
            let mut input = PassInput { previous: Some(&previous), ..input(&ids, &prior, &fusion, 0.4) };
            input.parameters.floor = 0.012;
            found.push(pseudo_labels(&statement, input).await.unwrap());
        }
        cores::set_limit(0);
        assert!(found[0].batch.num_rows() > 50, "{}", statement.name());
        assert!(found[1..].iter().all(|other| other.batch == found[0].batch), "{}", statement.name());
    }
}

fn lists(classes: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<usize>)> {
    let values = || prop::collection::vec(-1.0f32..1.0, 4 * classes);
    (values(), values(), Just((0..classes).collect::<Vec<_>>()).prop_shuffle())
}

fn permuted(values: &[f32], order: &[usize]) -> Vec<f32> {
    values.chunks(order.len()).flat_map(|row| order.iter().map(|i| row[*i])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mixing_with_nothing_is_the_other_side((a, b, _) in lists(5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(&runtime.block_on(mixed(&a, &b, 5, 0.0)), &b);
        prop_assert_eq!(&runtime.block_on(mixed(&a, &b, 5, 1.0)), &a);
    }

    #[test]
    fn the_order_of_classes_does_not_matter((a, b, order) in lists(6), gamma in 0.0f64..=1.0) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let straight = runtime.block_on(mixed(&a, &b, 6, gamma));
        let (a2, b2) = (permuted(&a, &order), permuted(&b, &order));
        prop_assert_eq!(permuted(&straight, &order), runtime.block_on(mixed(&a2, &b2, 6, gamma)));

        let ids = ids(4);
        let label = |a: &[f32], b: &[f32]| runtime.block_on(pseudo_labels(&Policy::Argmax.statement(), input(&ids, a, b, gamma))).unwrap();
        let (before, after) = (label(&a, &b), label(&a2, &b2));
        for row in 0..4 {
            // Of equal logits the first wins, and which is first depends on the order.
            let row_logits = &straight[row * 6..][..6];
            let best = row_logits[before.class_ids[row] as usize];
            if row_logits.iter().filter(|v| **v == best).count() == 1 {
                prop_assert_eq!(before.class_ids[row], order[after.class_ids[row] as usize] as i32);
            }
            prop_assert!((float(&before, "confidence")[row] - float(&after, "confidence")[row]).abs() < 1e-6);
        }
    }
}
