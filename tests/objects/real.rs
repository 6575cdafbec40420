//! The same by servers that others wrote: moto, an S3 in Python, and SeaweedFS, a store of files.
//! They come with the Python that `STORES_PYTHON` names.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::results::{each_once, end};
use super::server::{ID, SECRET};
use super::{OnStore, ok, said};
use crate::pipeline::Pipeline;
use crate::rows::assert_same_rows;

/// Puts the files of a folder into the bucket `birds`.
const PUT: &str = "
import sys, pathlib, boto3
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1')
s3.create_bucket(Bucket='birds')
root = pathlib.Path(sys.argv[2])
for path in root.rglob('*'):
    if path.is_file():
        s3.upload_file(str(path), 'birds', str(path.relative_to(root)))
for n in range(1100):
    s3.put_object(Bucket='birds', Key=f'many/{n:04}.txt', Body=b'x')
";

/// Fetches the objects of the bucket `birds` below a prefix into a folder.
const GET: &str = "
import sys, pathlib, boto3
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1')
for page in s3.get_paginator('list_objects_v2').paginate(Bucket='birds', Prefix=sys.argv[2]):
    for one in page.get('Contents', []):
        path = pathlib.Path(sys.argv[3]) / one['Key'][len(sys.argv[2]):]
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file('birds', one['Key'], str(path))
";

/// Makes the bucket `birds`, once the server answers.
const MAKE: &str = "
import sys, time, boto3
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1')
for n in range(300):
    try:
        s3.create_bucket(Bucket='birds')
        break
    except Exception as error:
        time.sleep(0.2)
else:
    raise error
";

/// A server, and where it answers. It ends with the test.
struct Service {
    child: Child,
    address: String,
    python: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    /// Starts a server by a command that is given a free port, and waits until it answers.
    fn start(command: impl FnOnce(&Path, u16) -> Command) -> Service {
        let python = std::env::var("STORES_PYTHON").expect("STORES_PYTHON");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = command(Path::new(&python), port);
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let service = Service { child, address: format!("http://127.0.0.1:{port}"), python };
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the server does not start");
            thread::sleep(Duration::from_millis(100));
        }
        service
    }

    fn moto() -> Service {
        Service::start(|python, port| {
            let mut command = Command::new(python);
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        })
    }

    /// With its files in a folder.
    fn seaweed(folder: &Path) -> Service {
        let keys = folder.join("keys.json");
        let credentials = format!("[{{\"accessKey\": \"{ID}\", \"secretKey\": \"{SECRET}\"}}]");
        let rights = "[\"Admin\", \"Read\", \"Write\", \"List\", \"Tagging\"]";
        let text = format!(
            "{{\"identities\": [{{\"name\": \"test\", \"credentials\": {credentials}, \"actions\": {rights}}}]}}"
        );
        fs::write(&keys, text).unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Service::start(|python, port| {
            let mut command = Command::new(python.with_file_name("weed"));
            command.args(["server", "-ip=127.0.0.1", "-s3", &format!("-s3.port={port}")]);
            // Each has a port of 10,000 more for its own protocol.
            for part in ["master", "volume", "filer"] {
                command.arg(format!("-{part}.port={}", free() % 30_000 + 20_000));
            }
            command.arg(format!("-dir={}", folder.display())).arg(format!("-s3.config={}", keys.display()));
            command
        })
    }

    /// Runs a script of Python that speaks to it.
    fn python(&self, script: &str, arguments: &[&str]) {
        let mut command = Command::new(&self.python);
        command.args(["-c", script, &self.address]).args(arguments);
        command.env("AWS_ACCESS_KEY_ID", ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        ok(&command.output().unwrap());
    }
}

/// Shards on two machines, kills on both, and the run that goes on: the rows are those of a folder.
#[track_caller]
fn holds_results(service: &Service) {
    service.python(MAKE, &[]);
    let pipeline = Pipeline::new(9, 2);
    let command = |machine: &str, verb: &str, rest: &[&str]| {
        let mut command = pipeline.command(verb, rest);
        command
            .args(["--store", "s3://birds/results"])
            .env("AWS_ENDPOINT_URL", &service.address)
            .env("AWS_ACCESS_KEY_ID", ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("MICROCLIP_CACHE", pipeline.path(machine))
            .env("MICROCLIP_LEASE_SECONDS", "2")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let shards =
        [("one", "1/2"), ("two", "2/2")].map(|(at, shard)| command(at, "embed", &["--shard", shard]).spawn().unwrap());
    shards.into_iter().for_each(|child| drop(end(child)));
    for (machine, after) in [("one", 700), ("two", 1_500), ("one", 2_500), ("two", 4_000)] {
        let mut child = command(machine, "run", &[]).spawn().unwrap();
        thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Whoever is first does it, and the other finds it done.
    let both = ["three", "four"].map(|machine| command(machine, "run", &[]).spawn().unwrap());
    both.into_iter().for_each(|child| drop(end(child)));
    let (alone, copied) = (pipeline.path("alone"), pipeline.path("copied"));
    pipeline.ok("run", &["--store", alone.to_str().unwrap()]);
    service.python(GET, &["results/", copied.to_str().unwrap()]);
    assert!(each_once(&copied, "embeddings"));
    assert_same_rows(&copied, &alone);
    let asked = command("five", "sql", &["SELECT count(*) FROM predictions", "--format", "csv"])
        .stdout(Stdio::piped())
        .output();
    let asked = asked.unwrap();
    assert!(ok(&asked).contains("33"), "{}", said(&asked));
}

#[test]
#[ignore = "make stores-check runs it with a Python that has moto"]
fn moto_holds_the_results_of_several_machines() {
    holds_results(&Service::moto());
}

#[test]
#[ignore = "make stores-check runs it with a Python that has SeaweedFS"]
fn seaweedfs_holds_the_results_of_several_machines() {
    let folder = tempfile::tempdir().unwrap();
    holds_results(&Service::seaweed(folder.path()));
}

#[test]
#[ignore = "make stores-check runs it with a Python that has moto"]
fn moto_gives_what_the_store_of_the_other_tests_gives() {
    let moto = Service::moto();
    let address = &moto.address;
    let store = OnStore::new();
    let rows = store.ingested();
    let folder = store.fetched("");
    let command = |verb: &str, rest: &[&str]| {
        let mut command = store.command(verb, rest);
        command.env("AWS_ENDPOINT_URL", address).env("MICROCLIP_CACHE", store.pipeline.path("moto"));
        command.current_dir(store.pipeline.folder.path());
        command
    };
    moto.python(PUT, &[folder.to_str().unwrap()]);
    ok(&command("ingest", &["--store", "moto-store"]).output().unwrap());
    let sql = "SELECT c.name, i.split, count(*) AS n FROM images i JOIN labels l USING (image_id) \
               JOIN classes c ON c.class_id = l.class_id GROUP BY 1, 2 ORDER BY 1, 2";
    let theirs = command("sql", &[sql, "--format", "csv", "--store", "moto-store"]).output().unwrap();
    assert_eq!(ok(&theirs), rows);
    // More objects than a page has.
    store.pipeline.spec("many", "kind = \"folder\"\npath = \"s3://birds/many\"");
    let plan = command("run", &["--dry-run"]).output().unwrap();
    assert!(ok(&plan).contains("1,100 files"), "{plan:?}");
    let missing = command("ingest", &["--set", "dataset.path=s3://birds/none"]).output().unwrap();
    assert!(said(&missing).contains("there is nothing at s3://birds/none"), "{missing:?}");
    let missing = command("ingest", &["--set", "dataset.path=s3://nobirds/none"]).output().unwrap();
    assert!(said(&missing).contains("NoSuchBucket"), "{missing:?}");
}
