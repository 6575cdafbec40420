//! ADBC's driver from Python: pandas, Polars and DuckDB, where `FLIGHT_PYTHON` names a Python that
//! has them.

use std::process::Command;

use super::{Server, TOKEN};
use crate::pipeline::Pipeline;

#[test]
#[ignore = "make serve-check runs it with a Python that has the driver"]
fn python_reads_what_sql_prints() {
    let python = std::env::var("FLIGHT_PYTHON").expect("FLIGHT_PYTHON");
    let pipeline = Pipeline::new(4, 2);
    pipeline.ok("run", &[]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve");
    let (certificate, key) = (format!("{folder}/tls/server.pem"), format!("{folder}/tls/server.key"));
    for private in [false, true] {
        let mut command = match private {
            true => pipeline.command("serve", &["--tls-cert", &certificate, "--tls-key", &key]),
            false => pipeline.command("serve", &[]),
        };
        command.env("MICROCLIP_SERVE_TOKEN", TOKEN);
        let server = Server::of(command);
        let mut peer = Command::new(&python);
        peer.arg(format!("{folder}/adbc_client.py")).arg(&server.address).env("TOKEN", TOKEN);
        peer.arg(env!("CARGO_BIN_EXE_microclip-pipe")).arg(pipeline.path("pipeline.toml"));
        peer.arg(format!("{folder}/tls/ca.pem")).env("NO_COLOR", "1");
        let done = peer.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(String::from_utf8_lossy(&done.stdout).lines().last(), Some("all agree"));
        let counted = server.counted();
        assert!(counted["microclip_statements_total{outcome=\"done\"}"] > 10.0, "{counted:#?}");
        let (_, said) = server.stop();
        assert!(!said.contains(TOKEN), "{said}");
    }
}
