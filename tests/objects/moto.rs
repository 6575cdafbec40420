//! The same by moto, an S3 in Python, where `STORES_PYTHON` names a Python that has it.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::OnStore;

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

struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "make stores-check runs it with a Python that has moto"]
fn moto_gives_what_the_store_of_the_other_tests_gives() {
    let python = std::env::var("STORES_PYTHON").expect("STORES_PYTHON");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://127.0.0.1:{port}");
    let mut server = Command::new(&python);
    server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    let _moto = Moto(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "moto does not start");
        thread::sleep(Duration::from_millis(100));
    }
    let store = OnStore::new();
    let rows = store.ingested();
    let folder = store.fetched("");
    let command = |verb: &str, rest: &[&str]| {
        let mut command = store.command(verb, rest);
        command.env("AWS_ENDPOINT_URL", &address).env("MICROCLIP_CACHE", store.pipeline.path("moto"));
        command.current_dir(store.pipeline.folder.path());
        command
    };
    let mut put = Command::new(&python);
    put.args(["-c", PUT, &address]).arg(&folder).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    super::ok(&put.output().unwrap());
    super::ok(&command("ingest", &["--store", "moto-store"]).output().unwrap());
    let sql = "SELECT c.name, i.split, count(*) AS n FROM images i JOIN labels l USING (image_id) \
               JOIN classes c ON c.class_id = l.class_id GROUP BY 1, 2 ORDER BY 1, 2";
    let theirs = command("sql", &[sql, "--format", "csv", "--store", "moto-store"]).output().unwrap();
    assert_eq!(super::ok(&theirs), rows);
    // More objects than a page has.
    store.pipeline.spec("many", "kind = \"folder\"\npath = \"s3://birds/many\"");
    let plan = command("run", &["--dry-run"]).output().unwrap();
    assert!(super::ok(&plan).contains("1,100 files"), "{plan:?}");
    let missing = command("ingest", &["--set", "dataset.path=s3://birds/none"]).output().unwrap();
    assert!(super::said(&missing).contains("there is nothing at s3://birds/none"), "{missing:?}");
    let missing = command("ingest", &["--set", "dataset.path=s3://nobirds/none"]).output().unwrap();
    assert!(super::said(&missing).contains("NoSuchBucket"), "{missing:?}");
}
