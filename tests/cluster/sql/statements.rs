//! What a cluster answers is what one machine does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::flight_service_client::FlightServiceClient;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlan;
use microclip_pipe::cluster::{Driver, Statement, Watch};
use microclip_pipe::config;
use microclip_pipe::dka::Policy;
use microclip_pipe::error::Kind;
use microclip_pipe::runs::sql_scope::{SqlScope, scope};
use microclip_pipe::stop::Stop;
use microclip_pipe::table::format::{self, Format, Sink};
use microclip_pipe::table::sql_views::VIEWS;
use microclip_pipe::table::{self, schema};
use tonic::Code;
use tonic::transport::Endpoint;

use super::{Answering, TOKEN};
use crate::pipeline::Pipeline;

/// Remembers what was said.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Watch for Heard {
    fn units(&self, _: usize, _: usize) {}

    fn say(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// The tables of a pipeline, for one machine and for a cluster.
struct Tables {
    here: SessionContext,
    there: SessionContext,
    place: String,
    heard: Heard,
}

impl Tables {
    async fn open(pipeline: &Pipeline, driver: &Driver) -> Tables {
        let spec = config::load_without_sentences(&pipeline.path("pipeline.toml"), &[]).unwrap();
        let SqlScope { store, visible, .. } = scope(&spec).unwrap();
        Tables {
            here: table::session(&store, &visible).await.unwrap(),
            there: table::planning_session(driver.planning(), &store, &visible).await.unwrap(),
            place: store.place().to_str().unwrap().to_owned(),
            heard: Heard::default(),
        }
    }

    async fn here(&self, statement: &str) -> String {
        let mut rows = Vec::new();
        let found = bound(table::query(&self.here, statement).await.unwrap(), statement);
        format::write(found, Format::Json, &mut rows).await.unwrap();
        String::from_utf8(rows).unwrap()
    }

    /// The rows of a cluster; the reason if it does not compute such statements.
    async fn there(&self, driver: &mut Driver, statement: &str) -> Result<String, microclip_pipe::Error> {
        let found = bound(table::query(&self.there, statement).await.unwrap(), statement);
        let schema = Arc::new(found.schema().as_arrow().clone());
        let plan = driver.travelling(found.create_physical_plan().await.unwrap())?;
        let mut rows = Vec::new();
        let mut sink = Sink::new(Format::Json, schema, &mut rows).unwrap();
        self.answer(driver, plan, &mut |batch| sink.write(batch)).await?;
        sink.finish().unwrap();
        Ok(String::from_utf8(rows).unwrap())
    }

    async fn answer(
        &self,
        driver: &mut Driver,
        plan: Arc<dyn ExecutionPlan>,
        give: &mut (dyn FnMut(&RecordBatch) -> microclip_pipe::Result<bool> + Send),
    ) -> microclip_pipe::Result<()> {
        let settings = self.there.copied_config();
        let asked = Statement { plan, settings: &settings, store: &self.place };
        driver.answer(asked, &Stop::default(), &self.heard, give).await
    }
}

/// A statement with the values that a pass binds, if it has parameters.
fn bound(found: DataFrame, statement: &str) -> DataFrame {
    if !statement.contains('$') {
        return found;
    }
    let bias = ScalarValue::List(ScalarValue::new_list_nullable(
        &[0.0_f32, 0.01, -0.01].map(ScalarValue::from),
        &arrow::datatypes::DataType::Float32,
    ));
    let values = vec![
        ("gamma", ScalarValue::from(0.5)),
        ("scale", ScalarValue::from(100.0)),
        ("k", ScalarValue::from(2_i64)),
        ("floor", ScalarValue::from(0.1)),
        ("bias", bias),
    ];
    found.with_param_values(values).unwrap()
}

/// Rows in an order of their own, since some statements leave it open. Where `digits` are given,
/// numbers are only looked at to so many: sums of them depend on their order in the last bits.
fn comparable(rows: &str, digits: Option<usize>) -> Vec<String> {
    let rounded = |line: &str| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let cells = row.iter().map(|(name, value)| match (digits, value.as_f64()) {
            (Some(digits), Some(number)) if !value.is_i64() => format!("{name}={number:.digits$e}"),
            _ => format!("{name}={value}"),
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = rows.lines().map(rounded).collect();
    lines.sort();
    lines
}

/// The statements that a page shows.
fn shown(page: &str) -> Vec<String> {
    let fenced = page.split("```sql\n").skip(1);
    fenced.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The statement of a policy over the tables of a store, of which it is given one pass.
fn over_a_store(sql: &str) -> String {
    sql.replace("FROM prior_logits\n", "FROM (SELECT * FROM prior_logits) prior_logits\n")
        .replace("JOIN fusion_logits ON", "JOIN (SELECT * FROM fusion_logits WHERE pass = 1) fusion_logits ON")
        .replace("JOIN previous ON", "JOIN (SELECT * FROM pseudo_labels WHERE pass = 0) previous ON")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_statement_view_and_policy_is_answered_as_by_one_machine() {
    let pipeline = Pipeline::new(8, 4);
    pipeline.ok("run", &[]);
    let cluster = Answering::start(2);
    let mut driver = cluster.driver().await;
    let tables = Tables::open(&pipeline, &driver).await;
    let views = VIEWS.iter().map(|view| format!("SELECT * FROM {}", view.name));
    let added = shown(include_str!("../../../docs/sql.md")).into_iter().chain(views).map(|sql| (sql, Some(9)));
    let policies = Policy::ALL.iter().map(|policy| policy.statement().sql().to_owned());
    let own = [include_str!("../../../pipelines/steady.sql").to_owned()];
    let policies = policies.chain(own).map(|sql| (over_a_store(&sql), None));
    let whole = schema::all().iter().map(|table| (format!("SELECT * FROM {}", table.name()), None));
    // Joins that give rows without a partner, of which none may be given twice.
    let joins = [
        "SELECT a.image_id, b.image_id AS other FROM embeddings a LEFT JOIN composites b ON a.image_id < b.image_id",
        "SELECT a.image_id FROM embeddings a FULL JOIN composites b ON a.image_id > b.image_id AND b.image_id < '5'",
        "SELECT image_id FROM embeddings a WHERE NOT EXISTS (SELECT 1 FROM composites b WHERE b.image_id < a.image_id)",
        "SELECT image_id FROM images WHERE image_id NOT IN (SELECT image_id FROM labels WHERE class_id = 1)",
        "SELECT a.image_id, b.class_id FROM embeddings a LEFT JOIN labels b ON a.image_id = b.image_id AND b.class_id = 1",
        "SELECT image_id FROM images UNION ALL SELECT image_id FROM embeddings UNION ALL SELECT min(image_id) FROM labels",
        "SELECT class_name(class_id) AS class, array_agg(image_id ORDER BY image_id) AS ids FROM labels GROUP BY 1",
        "SELECT image_id, row_number() OVER (ORDER BY image_id) AS n FROM embeddings",
        "SELECT image_id FROM embeddings ORDER BY image_id DESC LIMIT 5 OFFSET 3",
        "VALUES (1, 'rose'), (2, NULL)",
    ];
    let joins = joins.iter().map(|sql| ((*sql).to_owned(), None));
    let (mut filled, mut here) = (0, Vec::new());
    for (statement, digits) in added.chain(policies).chain(whole).chain(joins) {
        let expected = tables.here(&statement).await;
        let given = match tables.there(&mut driver, &statement).await {
            Ok(given) => given,
            Err(why) if why.kind() == Kind::Query && why.to_string().starts_with("clusters do not") => {
                here.push(why.to_string());
                continue;
            }
            Err(why) => panic!("{statement}: {why}\n{}", cluster.said()),
        };
        assert_eq!(comparable(&given, digits), comparable(&expected, digits), "{statement}");
        // One that ends with an order keeps it.
        if statement.contains("ORDER BY image_id\n") || statement.contains("LIMIT 5 OFFSET 3") {
            assert_eq!(given, expected, "{statement}");
        }
        filled += usize::from(!given.is_empty());
    }
    assert!(filled > 50, "only {filled} statements have rows");
    // `revive` repeats a step until nothing changes.
    assert_eq!(here, ["clusters do not compute RecursiveQueryExec"]);
}

#[test]
fn the_verb_says_where_a_statement_runs() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let cluster = Answering::start(2);
    let statement = "SELECT class_name(class_id) AS class, count(*) AS images FROM labels GROUP BY class_id ORDER BY 1";
    let (address, token) = (cluster.address(), cluster.token());
    let named = ["--cluster", &address, "--cluster-token-file", token.to_str().unwrap(), "--format", "csv"];
    let run = |statement: &str, more: &[&str]| {
        let done = pipeline.output("sql", &[&[statement], named.as_slice(), more].concat());
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap(), done.status.code())
    };
    let rows = "class,images\nblue bell,3\nred rose,3\nwhite lily,3\n";
    let (given, said, _) = run(statement, &[]);
    assert_eq!(given, rows);
    assert!(said.contains("the statement runs here: it reads 9 rows"), "{said}");
    assert_eq!(run(statement, &["--cluster-rows", "1"]), (rows.to_owned(), String::new(), Some(0)));
    // What a cluster cannot do runs here, too.
    let (given, said, _) = run("SELECT count(*) AS n FROM labels, generate_series(1, 2)", &["--cluster-rows", "1"]);
    assert_eq!(given, "n\n18\n");
    assert!(said.contains("the statement runs here: clusters do not compute LazyMemoryExec"), "{said}");
    let (given, _, _) = run("EXPLAIN SELECT * FROM labels", &["--cluster-rows", "1"]);
    assert!(given.starts_with("plan_type"), "{given}");
    // A mistake of a row is one of the statement.
    let (_, said, code) = run("SELECT 1 / (class_id - class_id) FROM labels", &["--cluster-rows", "1"]);
    assert!(said.contains("error: the statement failed on the cluster: ") && said.contains("DivideByZero"), "{said}");
    assert_eq!(code, Some(1));
}

/// Takes some seconds: pairs of pictures, many times over.
const LONG: &str = "SELECT a.image_id, count(*) AS n, sum(b.width + c.width + d.width) AS w \
                    FROM embeddings a CROSS JOIN images b CROSS JOIN images c CROSS JOIN images d CROSS JOIN classes e \
                    GROUP BY a.image_id";

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_is_killed_changes_no_row() {
    let pipeline = Pipeline::new(8, 4);
    pipeline.ok("embed", &[]);
    let mut cluster = Answering::start(2);
    let mut driver = cluster.driver().await;
    let tables = Tables::open(&pipeline, &driver).await;
    let expected = comparable(&tables.here(LONG).await, None);
    for wait in [200, 700] {
        let asked = tables.there(&mut driver, LONG);
        let killed = async {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            cluster.executors[0].kill();
        };
        let (given, ()) = tokio::join!(asked, killed);
        match given {
            Ok(given) => assert_eq!(comparable(&given, None), expected),
            Err(error) => assert!(matches!(error.kind(), Kind::Network | Kind::Query), "{error:?}"),
        }
        cluster.executors.remove(0);
        cluster.join();
    }
    assert_eq!(comparable(&tables.there(&mut driver, LONG).await.unwrap(), None), expected);
    let said = tables.heard.0.lock().unwrap().clone();
    assert_eq!(said.first().map(String::as_str), Some("an executor was lost: the statement begins again"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_gives_rows_to_those_with_the_token_alone() {
    let cluster = Answering::start(1);
    let ports = cluster.ports(0);
    assert_eq!(ports.len(), 1, "{ports:?}");
    for agent in ["", "curl", "microclip-pipe/", TOKEN, &format!("microclip-pipe/{TOKEN}")] {
        let endpoint = Endpoint::new(format!("http://127.0.0.1:{}", ports[0])).unwrap();
        let channel = endpoint.user_agent(agent).unwrap().connect().await.unwrap();
        let status = FlightServiceClient::new(channel).do_get(Ticket::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{agent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_refuse_plans_that_write_or_read_elsewhere_whoever_sends_them() {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    let cluster = Answering::start(1);
    let mut driver = cluster.driver().await;
    let tables = Tables::open(&pipeline, &driver).await;
    let file = pipeline.path("rows.parquet");
    let copy = format!("COPY (SELECT image_id FROM images) TO '{}' STORED AS PARQUET", file.display());
    let writing = tables.there.sql(&copy).await.unwrap().create_physical_plan().await.unwrap();
    assert_eq!(driver.travelling(writing.clone()).unwrap_err().kind(), Kind::Query);
    // Another program may not ask.
    let error = tables.answer(&mut driver, writing, &mut |_| Ok(true)).await.unwrap_err();
    assert!(error.to_string().contains("a plan is refused: clusters do not compute DataSinkExec"), "{error}");
    assert!(!file.exists());

    table::query(&tables.here, "SELECT image_id FROM images").await.unwrap();
    tables.here.sql(&copy).await.unwrap().collect().await.unwrap();
    let reading = tables.there.read_parquet(file.to_str().unwrap(), Default::default()).await.unwrap();
    let reading = reading.create_physical_plan().await.unwrap();
    let error = tables.answer(&mut driver, reading, &mut |_| Ok(true)).await.unwrap_err();
    assert!(error.to_string().contains("rows.parquet is no part of the store"), "{error}");
    assert!(cluster.said().contains("a plan is refused"), "{}", cluster.said());
}

#[test]
fn a_statement_that_is_interrupted_is_not_gone_on_with() {
    let pipeline = Pipeline::new(8, 4);
    pipeline.ok("embed", &[]);
    let cluster = Answering::start(1);
    let (address, token) = (cluster.address(), cluster.token());
    let endless = LONG.replace("GROUP BY", "CROSS JOIN images f CROSS JOIN images g CROSS JOIN images h GROUP BY");
    let named = ["--cluster", &address, "--cluster-token-file", token.to_str().unwrap(), "--cluster-rows", "1"];
    let busy = || {
        let id = cluster.executors[0].id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap()
    };
    let idle = busy();
    let mut child = pipeline.start("sql", &[&[endless.as_str()], named.as_slice()].concat());
    let until = Instant::now() + Duration::from_secs(20);
    while busy() < idle + 50 {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        assert!(Instant::now() < until, "it does not begin: {}", cluster.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Its pieces end when they next yield.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let before = busy();
        std::thread::sleep(Duration::from_millis(500));
        if busy() < before + 5 {
            break;
        }
        assert!(Instant::now() < until, "the executor goes on");
    }
}
