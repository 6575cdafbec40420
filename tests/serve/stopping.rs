//! A server ends when it is told to, and a statement when its client goes.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tonic::Code;

use super::{ENDLESS, Server, ingested, json, refused, rows, status, stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_when_its_client_goes() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &["--statements", "1"]);
    let mut client = server.client().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut fetching = stream(&mut client, &info).await.unwrap();
    assert!(fetching.try_next().await.unwrap().is_some());
    assert_eq!(server.counted()["microclip_statements_running"], 1.0);
    drop(fetching);
    server.wait_until(|counted| {
        counted["microclip_statements_total{outcome=\"cancelled\"}"] == 1.0
            && counted["microclip_statements_running"] == 0.0
    });
    // Its turn is free.
    assert_eq!(json(&rows(&mut client, "SELECT 1 AS one").await), "{\"one\":1}\n");
    // The same if the whole client goes, while nothing is on its way.
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b \
                   WHERE a.value * b.value % 977 = 3";
    let mut other = server.client().await;
    let info = other.execute(endless.to_owned(), None).await.unwrap();
    let mut fetching = stream(&mut other, &info).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), fetching.try_next()).await;
    assert!(waiting.is_err(), "it has no rows yet");
    drop((fetching, other));
    server.wait_until(|counted| counted["microclip_statements_total{outcome=\"cancelled\"}"] == 2.0);
    assert_eq!(json(&rows(&mut client, "SELECT 1 AS one").await), "{\"one\":1}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_when_its_time_is_up() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &["--time-limit", "1"]);
    let mut client = server.client().await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b \
                   WHERE a.value * b.value % 977 = 3";
    let (code, said) = refused(&mut client, endless).await;
    assert!(code == Code::DeadlineExceeded && said.contains("took longer than 1 s\nhint: "), "{code} {said}");
    assert_eq!(server.ended("timed_out"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_server_at_once_with_what_runs() {
    for signal in ["-INT", "-TERM"] {
        let pipeline = ingested();
        let mut server = Server::start(&pipeline, &[]);
        let mut client = server.client().await;
        let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
        let mut fetching = stream(&mut client, &info).await.unwrap();
        fetching.try_next().await.unwrap();
        let began = Instant::now();
        server.signal(signal);
        let code = server.child.wait().unwrap().code();
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
        let said = super::read(server.child.stderr.take().unwrap());
        assert_eq!((code, said.as_str()), (Some(130), "error: stopped on request, with 1 statement running\n"));
        // The client knows that rows are missing.
        let rest = async {
            while fetching.try_next().await?.is_some() {}
            Ok(())
        }
        .await;
        let (code, _) = status(rest.expect_err("an end that looks whole"));
        assert_ne!(code, Code::Ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_ask_for_the_end_of_its_statement() {
    use arrow_flight::{Action, CancelFlightInfoRequest};
    use prost::Message;
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut fetching = stream(&mut client, &info).await.unwrap();
    fetching.try_next().await.unwrap();
    let body = CancelFlightInfoRequest { info: Some(info) }.encode_to_vec();
    let mut other = server.client().await;
    other.do_action(Action { r#type: "CancelFlightInfo".to_owned(), body: body.into() }).await.unwrap();
    let rest = async {
        while fetching.try_next().await?.is_some() {}
        Ok(())
    }
    .await;
    assert_eq!(status(rest.unwrap_err()), (Code::Cancelled, "the statement was cancelled".to_owned()));
    assert_eq!(server.ended("cancelled"), 1.0);
}
