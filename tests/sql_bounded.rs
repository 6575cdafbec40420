//! `top_k_per_class` and `revive` keep a few pictures for each class. Each gives the rows of a
//! statement that ranks all pictures for all classes, which `sql/by_pairs` keeps.

use microclip_pipe::dka::{Parameters, Policy, Statement, pseudo_labels};
use proptest::prelude::*;

use crate::sql_policies::Table;

/// Logits of few different numbers, so that pictures and classes are tied, and classes that are
/// short of something everywhere, so that some are dead. Ids are in another order than pictures.
fn tables(most: usize) -> impl Strategy<Value = Table> {
    (1usize..=most, 2usize..=9).prop_flat_map(|(n, classes)| {
        let side = || prop::collection::vec(0i8..5, n * classes);
        let handicap = prop::collection::vec(0i8..6, classes);
        let order = Just((0..n).collect::<Vec<_>>()).prop_shuffle();
        (side(), side(), handicap, 0.0f64..=1.0, 1u32..=5, order).prop_map(
            move |(prior, fusion, handicap, gamma, k, order)| {
                let logits = |side: &[i8]| {
                    side.iter().zip(handicap.iter().cycle()).map(|(v, less)| f32::from(v - less) * 0.007).collect()
                };
                let ids = order.iter().map(|i| format!("{i:064x}")).collect();
                let parameters = Parameters { gamma, k, ..Parameters::default() };
                Table { ids, prior: logits(&prior), fusion: logits(&fusion), classes, parameters }
            },
        )
    })
}

/// Each policy beside the statement that makes a row for each picture and class.
fn both() -> [(Policy, Statement); 2] {
    let by_pairs = |name, sql| Statement::new(name, sql);
    [
        (Policy::TopKPerClass, by_pairs("top_k_per_class", include_str!("sql/by_pairs/top_k_per_class.sql"))),
        (Policy::Revive, by_pairs("revive", include_str!("sql/by_pairs/revive.sql"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeping_a_few_pictures_a_class_gives_the_rows_of_ranking_all_of_them(table in tables(30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pass = table.pass();
        for (policy, by_pairs) in both() {
            let found = runtime.block_on(pseudo_labels(&policy.statement(), pass.clone())).unwrap();
            let expected = runtime.block_on(pseudo_labels(&by_pairs, pass.clone())).unwrap();
            prop_assert_eq!(found.batch, expected.batch, "{}", policy);
            prop_assert_eq!(found.class_ids, expected.class_ids, "{}", policy);
        }
    }
}
