//! What there is to ask about, and several pipelines.

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables, SqlInfo};
use arrow_flight::{IpcMessage, sql::client::FlightSqlServiceClient};
use tonic::transport::Channel;

use super::{Server, fetched, ingested, json, refused, rows};

async fn tables(client: &mut FlightSqlServiceClient<Channel>, asked: CommandGetTables) -> Vec<RecordBatch> {
    let info = client.get_tables(asked).await.unwrap();
    fetched(client, info).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_schemas_and_tables_are_listed_with_their_columns() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(json(&fetched(&mut client, info).await.unwrap()), "{\"catalog_name\":\"small\"}\n");
    let asked = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None };
    let info = client.get_db_schemas(asked).await.unwrap();
    let schemas = json(&fetched(&mut client, info).await.unwrap());
    assert_eq!(
        schemas,
        "{\"catalog_name\":\"small\",\"db_schema_name\":\"all_runs\"}\n\
         {\"catalog_name\":\"small\",\"db_schema_name\":\"public\"}\n"
    );
    let named = CommandGetTables {
        db_schema_filter_pattern: Some("public".into()),
        table_name_filter_pattern: Some("%ions".into()),
        ..CommandGetTables::default()
    };
    let listed = json(&tables(&mut client, named).await);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("\"table_name\":\"predictions\",\"table_type\":\"TABLE\""), "{listed}");
    let views = CommandGetTables { table_types: vec!["VIEW".into()], ..CommandGetTables::default() };
    let views = json(&tables(&mut client, views).await);
    assert!(views.contains("\"least_certain\"") && !views.contains("\"images\""), "{views}");
    // The columns that are listed are those that a statement returns.
    let with_columns = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let mut seen = 0;
    for batch in tables(&mut client, with_columns).await {
        for row in 0..batch.num_rows() {
            let text = |column: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
            let listed = IpcMessage(batch.column(4).as_binary::<i32>().value(row).to_vec().into());
            let listed = arrow::datatypes::Schema::try_from(listed).unwrap();
            let name = format!("{}.{}.{}", text(0), text(1), text(2));
            let info = client.execute(format!("SELECT * FROM {name}"), None).await.unwrap();
            let types = |schema: &arrow::datatypes::Schema| -> Vec<_> {
                schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone(), f.is_nullable())).collect()
            };
            assert_eq!(types(&info.try_decode_schema().unwrap()), types(&listed), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} tables and views");
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly]).await.unwrap();
    assert_eq!(fetched(&mut client, info).await.unwrap()[0].num_rows(), 2);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(json(&fetched(&mut client, info).await.unwrap()).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_pipelines_is_a_catalog_and_the_first_is_the_default() {
    let pipeline = ingested();
    let spec = std::fs::read_to_string(pipeline.path("pipeline.toml")).unwrap();
    let other = spec.replace("\"small\"", "\"birds\"").replace("\"store\"", "\"other-store\"");
    pipeline.write("birds.toml", &other);
    let birds = pipeline.path("birds.toml");
    let server = Server::start(&pipeline, &[birds.to_str().unwrap()]);
    let mut client = server.client().await;
    let counts = "SELECT (SELECT count(*) FROM images) AS here, (SELECT count(*) FROM small.public.images) AS small, \
                  (SELECT count(*) FROM birds.public.images) AS birds";
    assert_eq!(json(&rows(&mut client, counts).await), "{\"here\":9,\"small\":9,\"birds\":0}\n");
    client.set_header("pipeline", "birds");
    assert_eq!(json(&rows(&mut client, counts).await), "{\"here\":0,\"small\":9,\"birds\":0}\n");
    client.set_header("pipeline", "bird");
    let (_, said) = refused(&mut client, "SELECT 1").await;
    assert_eq!(said, "no pipeline `bird` is served\nhint: did you mean `birds`?");
    drop(server);
    let twice = pipeline.output("serve", &[pipeline.path("pipeline.toml").to_str().unwrap(), "--port", "0"]);
    let said = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(twice.status.code() == Some(2) && said.contains("two of the pipelines are named `small`"), "{said}");
}
