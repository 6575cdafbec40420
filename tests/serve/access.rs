//! Who is let in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tonic::Code;

use super::{ENDLESS, Server, TOKEN, ingested, json, refused, rows, status};
use crate::pipeline::Pipeline;

const ONE: &str = "SELECT 1 AS one";

/// The arguments of a server with TLS, by the certificate of the tests.
fn tls(pipeline: &Pipeline) -> Vec<String> {
    let own = |name: &str| format!("{}/tests/serve/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let token = pipeline.path("token").to_str().unwrap().to_owned();
    pipeline.write("token", &format!("{TOKEN}\n"));
    ["--tls-cert", &own("server.pem"), "--tls-key", &own("server.key"), "--token-file", &token]
        .map(str::to_owned)
        .to_vec()
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_the_token_are_answered_and_it_is_in_no_output() {
    let pipeline = ingested();
    let trace = pipeline.path("trace.json");
    let mut command = pipeline.command("serve", &["--verbose", "--trace", trace.to_str().unwrap()]);
    command.env("MICROCLIP_SERVE_TOKEN", TOKEN);
    let server = Server::of(command);
    let mut client = server.client().await;
    for wrong in ["", "canary-0123456789abcdeg", "canary", &format!("{TOKEN}0"), &TOKEN.to_uppercase()] {
        match wrong {
            "" => client.clear_token(),
            wrong => client.set_token(wrong.to_owned()),
        }
        let (code, said) = status(client.execute(ONE.to_owned(), None).await.unwrap_err());
        assert_eq!(code, Code::Unauthenticated, "{wrong}");
        assert!(said.contains("hint: send `authorization: Bearer TOKEN`") && !said.contains("canary"), "{said}");
    }
    client.clear_token();
    assert!(client.get_catalogs().await.is_err() && client.prepare(ONE.to_owned(), None).await.is_err());
    client.set_token(TOKEN.to_owned());
    assert_eq!(json(&rows(&mut client, ONE).await), "{\"one\":1}\n");
    refused(&mut client, "SELECT * FROM nothing").await;
    // Drivers that know only names and passwords get the token back.
    client.clear_token();
    assert!(client.handshake("anybody", "canary-0123456789abcdeg").await.is_err());
    client.handshake("anybody", TOKEN).await.unwrap();
    assert_eq!(json(&rows(&mut client, ONE).await), "{\"one\":1}\n");
    let counted = server.monitored("/metrics").1;
    assert!(!counted.contains("microclip_unauthenticated_total 0"), "{counted}");
    let (code, said) = server.stop();
    let traced = std::fs::read_to_string(trace).unwrap();
    assert_eq!(code, Some(130), "{said}");
    assert!(traced.contains("statement"), "{traced}");
    for output in [said, traced, counted] {
        assert!(!output.contains("canary"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_by_those_who_were_given_the_certificate() {
    let pipeline = ingested();
    let arguments = [refs(&tls(&pipeline)), vec!["--listen", "0.0.0.0"]].concat().join("\n");
    let mut server = Server::start(&pipeline, &arguments.lines().collect::<Vec<_>>());
    assert!(server.address.starts_with("grpc+tls://0.0.0.0:"), "{}", server.address);
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    let mut client = server.private_client().await.unwrap();
    client.set_token(TOKEN.to_owned());
    assert_eq!(json(&rows(&mut client, ONE).await), "{\"one\":1}\n");
    client.set_token("canary-0123456789abcdeg".to_owned());
    assert_eq!(refused(&mut client, ONE).await.0, Code::Unauthenticated);

    // Plain text is no TLS: it ends at once, and others are answered as before.
    for text in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\0\0\0\0\0"] {
        let mut stream = TcpStream::connect(server.place()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut said = Vec::new();
        // What it says is an alert, or nothing.
        let _ = stream.read_to_end(&mut said).map_err(|e| assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock));
        assert!(said.len() < 20, "{said:?}");
    }
    let plain = tonic::transport::Endpoint::new(format!("http://{}", server.place())).unwrap();
    if let Ok(channel) = plain.connect().await {
        let mut client = arrow_flight::sql::client::FlightSqlServiceClient::new(channel);
        assert!(client.execute(ONE.to_owned(), None).await.is_err());
    }
    client.set_token(TOKEN.to_owned());
    assert_eq!(json(&rows(&mut client, ONE).await), "{\"one\":1}\n");
}

#[test]
fn other_machines_are_not_let_in_by_mistake() {
    let pipeline = Pipeline::new(1, 0);
    let token = |text: &str| pipeline.write("token", text);
    token(&format!("{TOKEN}\n"));
    let file = pipeline.path("token").to_str().unwrap().to_owned();
    let own = |name: &str| format!("{}/tests/serve/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let said = |arguments: &[&str]| {
        let output = pipeline.output("serve", &[arguments, &["--port", "0"]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        said
    };
    for open in ["0.0.0.0", "::", "10.0.0.1"] {
        let refused = said(&["--listen", open]);
        assert!(refused.contains(&format!("other machines can reach {open}, and there is no token")), "{refused}");
        assert!(refused.contains("--token-file") && refused.contains("--allow-anyone"), "{refused}");
    }
    let plain = said(&["--listen", "0.0.0.0", "--token-file", &file]);
    assert!(plain.contains("could be read on the way") && plain.contains("--allow-plaintext"), "{plain}");
    assert!(said(&["--listen", "0.0.0.0", "--allow-anyone"]).contains("could be read on the way"));
    assert!(said(&["--tls-cert", &own("server.pem")]).contains("--tls-key"));
    let swapped = said(&["--tls-cert", &own("server.key"), "--tls-key", &own("server.pem")]);
    assert!(swapped.contains("server.key has no line of PEM that begins a certificate"), "{swapped}");
    let mut other = pipeline.command("serve", &["--token-file", &file, "--port", "0"]);
    let both = other.env("MICROCLIP_SERVE_TOKEN", TOKEN).output().unwrap();
    assert!(String::from_utf8_lossy(&both.stderr).contains("and one in MICROCLIP_SERVE_TOKEN"));
    for bad in ["", "short", "two words and more of them", "canary-0123456789abcdef\nand another line"] {
        token(bad);
        let refused = said(&["--token-file", &file]);
        assert!(refused.contains("openssl rand -hex 32") && !refused.contains("canary"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_token_holds_nothing() {
    let pipeline = ingested();
    let mut command = pipeline.command("serve", &["--statements", "1"]);
    command.env("MICROCLIP_SERVE_TOKEN", TOKEN);
    let server = Server::of(command);
    let mut stranger = server.client().await;
    for _ in 0..20 {
        assert!(stranger.execute(ENDLESS.to_owned(), None).await.is_err());
    }
    let counted = server.counted();
    assert_eq!((counted["microclip_unauthenticated_total"], counted["microclip_statement_seconds_count"]), (20.0, 0.0));
}
