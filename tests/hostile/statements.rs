//! Statements whose planning would take more stack than there is: a chain of operators or tables is
//! a call within a call.

use microclip_pipe::error::Kind;
use microclip_pipe::table::{query, session::bare_session};

/// The stack that statements are planned on.
const STACK: usize = 8 << 20;

/// Chains of that many links, of every kind that the planner follows by calls within calls.
fn chains(links: usize) -> Vec<String> {
    let values: Vec<String> = (0..links).map(|n| format!("x = {n}")).collect();
    let repeat = |head: &str, link: &str| format!("{head}{}", link.repeat(links));
    let numbered = |head: &str, link: &str, between: &str| {
        let all: Vec<String> = (1..links).map(|n| link.replace('#', &n.to_string())).collect();
        format!("{head}{}", all.join(between))
    };
    vec![
        format!("SELECT x FROM (VALUES (1)) AS t (x) WHERE {}", values.join(" OR ")),
        repeat("SELECT 1", " + 1"),
        repeat("SELECT 'a'", " || 'b'"),
        repeat("SELECT 1", "::INT"),
        repeat("SELECT 1", " IS NULL"),
        repeat("SELECT now()", " AT TIME ZONE 'UTC'"),
        repeat("SELECT 1", " UNION ALL SELECT 1"),
        numbered("SELECT 1 FROM (VALUES (1)) AS t0 (x), ", "(VALUES (1)) AS t# (x)", ", "),
        numbered("SELECT 1 FROM (VALUES (1)) AS t0 (x) ", "JOIN (VALUES (1)) AS t# (x) ON true", " "),
        numbered("SELECT x FROM (VALUES (1)) AS t0 (x) ", "JOIN (VALUES (1)) AS t# (x) USING (x)", " "),
        format!("SELECT x FROM (VALUES (1)) AS t (x) NATURAL JOIN (VALUES (1)) AS u (x) WHERE {}", values.join(" OR ")),
        repeat("SELECT x FROM (VALUES (1)) AS t (x) NATURAL JOIN (VALUES (1)) AS u (x)", " UNION ALL SELECT 1"),
    ]
}

fn plan(sql: String) -> microclip_pipe::Result<()> {
    let planning = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(query(&bare_session(), &sql)).map(drop)
    };
    std::thread::Builder::new().stack_size(STACK).spawn(planning).unwrap().join().unwrap()
}

#[test]
fn a_chain_that_is_too_long_is_refused_and_one_of_some_hundred_links_is_planned() {
    for sql in chains(300) {
        let shown = sql.chars().take(60).collect::<String>();
        plan(sql).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    for sql in chains(100_000) {
        let shown = sql.chars().take(60).collect::<String>();
        let error = plan(sql).expect_err(&shown);
        assert_eq!(error.kind(), Kind::Query);
        assert_eq!(error.to_string(), "the statement has more than 1000 operators or tables in a row", "{shown}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("IN (")));
    }
}

#[test]
fn brackets_are_bounded_by_the_parser_and_lists_by_nothing() {
    for sql in [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}1", "- ".repeat(900)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(900), ")".repeat(900)),
    ] {
        let error = plan(sql).unwrap_err();
        assert_eq!(error.to_string(), "the statement has too many brackets or operators within one another");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("WITH part AS")));
    }
    plan(format!("SELECT 1 IN ({}1)", "2, ".repeat(50_000))).unwrap();
}

#[test]
fn a_column_of_many_full_joins_does_not_grow_without_bound() {
    let joins = |n: usize| -> String {
        (1..n).map(|n| format!(" FULL JOIN (VALUES (1)) AS t{n} (x) USING (x)")).collect::<Vec<_>>().concat()
    };
    plan(format!("SELECT x FROM (VALUES (1)) AS t0 (x){}", joins(20))).unwrap();
    let error = plan(format!("SELECT x FROM (VALUES (1)) AS t0 (x){}", joins(200))).unwrap_err();
    assert_eq!(error.to_string(), "more than 64 tables are joined in full by `x`");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("WITH part AS")));
}
