//! Tables over the network, by the real binary and arrow's own client.

mod access;
mod answers;
mod catalogue;
mod hostile;
mod metrics;
#[cfg(feature = "stores")]
mod on_objects;
mod parameters;
mod python;
mod stopping;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow_flight::FlightInfo;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use crate::pipeline::Pipeline;

type Client = FlightSqlServiceClient<Channel>;

/// More rows than anyone fetches in a test.
const ENDLESS: &str =
    "SELECT a.value AS a, b.value AS b FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b";

const TOKEN: &str = "canary-0123456789abcdef";

/// A running server, which ends with this.
struct Server {
    child: Child,
    /// The address, as the program has said it.
    address: String,
    /// Where Prometheus is answered.
    monitor: String,
}

impl Server {
    /// Serves the pipeline of a folder, and counts for a monitor.
    fn start(pipeline: &Pipeline, arguments: &[&str]) -> Server {
        Server::of(pipeline.command("serve", arguments))
    }

    fn of(mut command: Command) -> Server {
        command.args(["--port", "0", "--metrics", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (Some(Ok(address)), Some(Ok(monitor))) = (lines.next(), lines.next()) else {
            panic!("it does not start: {}", read(child.stderr.take().unwrap()));
        };
        Server { child, address, monitor }
    }

    /// The host and port.
    fn place(&self) -> &str {
        self.address.rsplit_once('/').unwrap().1
    }

    async fn client(&self) -> Client {
        FlightSqlServiceClient::new(Endpoint::new(format!("http://{}", self.place())).unwrap().connect().await.unwrap())
    }

    /// A client that goes through TLS, and trusts the certificate of the tests.
    async fn private_client(&self) -> Result<Client, tonic::transport::Error> {
        let authority = Certificate::from_pem(include_str!("tls/ca.pem"));
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
        let endpoint = Endpoint::new(format!("https://{}", self.place()))?.tls_config(tls)?;
        Ok(FlightSqlServiceClient::new(endpoint.connect().await?))
    }

    /// What a monitor reads.
    fn monitored(&self, path: &str) -> (String, String) {
        let place = self.monitor.trim_start_matches("http://").split('/').next().unwrap();
        let mut stream = TcpStream::connect(place).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes()).unwrap();
        let said = read(stream);
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// The numbers that are counted, by their names with labels.
    fn counted(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.monitored("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, n)| (name.to_owned(), n.parse().unwrap()))
            .collect()
    }

    /// How many statements ended so.
    fn ended(&self, outcome: &str) -> f64 {
        self.counted()[&format!("microclip_statements_total{{outcome=\"{outcome}\"}}")]
    }

    /// Waits until something that is counted is so.
    #[track_caller]
    fn wait_until(&self, is_so: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let counted = self.counted();
            if is_so(&counted) {
                return counted;
            }
            assert!(Instant::now() < until, "it does not come to it: {counted:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        assert!(kill.args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Stops it, and gives its exit code and what it said to stderr.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let code = self.child.wait().unwrap().code();
        (code, read(self.child.stderr.take().unwrap()))
    }

    /// The memory that it has in use, in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut from: impl Read) -> String {
    let mut text = Vec::new();
    from.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// A pipeline of which only pictures are in the store.
fn ingested() -> Pipeline {
    let pipeline = Pipeline::new(2, 1);
    pipeline.ok("ingest", &[]);
    pipeline
}

async fn stream(client: &mut Client, info: &FlightInfo) -> Result<FlightRecordBatchStream, FlightError> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.do_get(ticket).await
}

/// The rows that a client is told of; both answers promise the same columns.
async fn fetched(client: &mut Client, info: FlightInfo) -> Result<Vec<RecordBatch>, FlightError> {
    let promised = info.clone().try_decode_schema().unwrap();
    let mut stream = stream(client, &info).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    assert_eq!(stream.schema().unwrap().as_ref(), &promised);
    Ok(batches)
}

async fn rows(client: &mut Client, sql: &str) -> Vec<RecordBatch> {
    let info = client.execute(sql.to_owned(), None).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    fetched(client, info).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// What a client reads whose statement is refused or fails.
async fn refused(client: &mut Client, sql: &str) -> (Code, String) {
    let info = match client.execute(sql.to_owned(), None).await {
        Ok(info) => info,
        Err(error) => return status(error),
    };
    status(fetched(client, info).await.expect_err(sql))
}

fn status(error: FlightError) -> (Code, String) {
    let status = Status::from(error);
    (status.code(), status.message().to_owned())
}

/// Rows as `sql --format json` writes them.
fn json(batches: &[RecordBatch]) -> String {
    let mut lines = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    String::from_utf8(lines).unwrap()
}
