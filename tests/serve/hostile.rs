//! Clients that mean no good, or know no better.

use std::net::TcpStream;
use std::time::Duration;

use futures::TryStreamExt;
use tonic::Code;

use super::{ENDLESS, Server, ingested, json, refused, rows, status, stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_a_few_messages_and_only_for_its_time() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &["--time-limit", "3"]);
    let mut client = server.client().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let before = server.resident();
    let mut fetching = stream(&mut client, &info).await.unwrap();
    assert!(fetching.try_next().await.unwrap().is_some());
    // It reads no more, and no more is made.
    let made = async {
        let mut made = 0.0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = server.counted()["microclip_bytes_sent_total"];
            if now == made {
                return made;
            }
            made = now;
        }
    };
    let made = made.await;
    assert!(made < 40e6, "{made} bytes were made ahead");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 200_000_000, "{grown} bytes are held");
    server.wait_until(|counted| counted["microclip_statements_total{outcome=\"timed_out\"}"] == 1.0);
    let counted = server.counted();
    assert_eq!((counted["microclip_statements_running"], counted["microclip_memory_bytes"]), (0.0, 0.0));
    // What it reads later ends with the reason, not as if it were whole.
    let rest = async {
        while fetching.try_next().await?.is_some() {}
        Ok(())
    }
    .await;
    let (code, said) = status(rest.unwrap_err());
    assert!(code == Code::DeadlineExceeded && said.contains("longer than 3 s"), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_are_too_many_and_others_are_answered_after_them() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &["--connections", "50"]);
    let mut client = server.client().await;
    assert_eq!(json(&rows(&mut client, "SELECT 1 AS one").await), "{\"one\":1}\n");
    let before = server.resident();
    microclip_pipe::store::open_files::allow_all();
    let connections: Vec<TcpStream> = (0..1_000).map(|_| TcpStream::connect(server.place()).unwrap()).collect();
    let counted = server.wait_until(|counted| counted["microclip_connections_ended_total{why=\"too_many\"}"] == 951.0);
    assert_eq!(counted["microclip_connections"], 50.0);
    assert!(server.resident().saturating_sub(before) < 50_000_000);
    // Who was there before is answered all the same, and so is everyone once they are gone.
    assert_eq!(json(&rows(&mut client, "SELECT 1 AS one").await), "{\"one\":1}\n");
    drop(connections);
    server.wait_until(|counted| counted["microclip_connections"] == 1.0);
    let mut other = server.client().await;
    assert_eq!(json(&rows(&mut other, "SELECT 1 AS one").await), "{\"one\":1}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_statement_is_refused_or_planned_but_harms_nobody() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let (code, said) = refused(&mut client, &format!("SELECT '{}'", "x".repeat(3 << 20))).await;
    assert!(code == Code::OutOfRange && said.contains("too large"), "{code} {said}");
    let (_, said) = refused(&mut client, &format!("SELECT 1{}", " + 1".repeat(100_000))).await;
    assert!(said.contains("more than 1000 operators") && said.contains("hint: "), "{said}");
    let (_, said) = refused(&mut client, &format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))).await;
    assert!(said.contains("too many brackets"), "{said}");
    // A message about a name of a million letters fits into what clients take.
    let (_, said) = refused(&mut client, &format!("SELECT * FROM {}", "x".repeat(1 << 20))).await;
    assert!(said.starts_with("there is no table `xxx") && said.len() < 5_000, "{}", said.len());
    let many = format!("SELECT count(*) AS n FROM (VALUES {}(0))", "(1), ".repeat(20_000));
    assert_eq!(json(&rows(&mut client, &many).await), "{\"n\":20001}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_wait_for_their_turn_and_share_their_memory() {
    let pipeline = ingested();
    let server = Server::start(&pipeline, &["--statements", "1", "--memory-limit", "3MB"]);
    let mut client = server.client().await;
    let sorted = "SELECT a.value, b.value FROM generate_series(1, 2000) a CROSS JOIN generate_series(1, 2000) b ORDER BY a.value * b.value % 977";
    let (code, said) = refused(&mut client, sorted).await;
    assert!(code == Code::ResourceExhausted && said.contains("needs more memory than it may have"), "{code} {said}");
    assert_eq!(server.counted()["microclip_memory_bytes"], 0.0);
    // The second waits until the first is gone.
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut first = stream(&mut client, &info).await.unwrap();
    first.try_next().await.unwrap();
    let mut other = server.client().await;
    let second = tokio::spawn(async move { json(&rows(&mut other, "SELECT 1 AS one").await) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap(), "{\"one\":1}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_messages_that_make_no_sense_are_refused() {
    use arrow_flight::sql::{Any, ProstMessageExt, TicketStatementQuery};
    use arrow_flight::{Action, Ticket};
    use prost::Message;
    let pipeline = ingested();
    let server = Server::start(&pipeline, &[]);
    let mut client = server.client().await;
    let guessed = TicketStatementQuery { statement_handle: vec![0; 16].into() };
    let ticket = Ticket::new(guessed.as_any().encode_to_vec());
    let (code, said) = status(client.do_get(ticket).await.unwrap_err());
    assert!(code == Code::NotFound && said.contains("ask for the statement again"), "{code} {said}");
    let odd = Any { type_url: "type.googleapis.com/nothing".to_owned(), value: vec![1; 9].into() };
    for bytes in [vec![0xff; 64], odd.encode_to_vec(), Vec::new()] {
        assert!(client.do_get(Ticket::new(bytes.clone())).await.is_err());
        let action = Action { r#type: "CancelFlightInfo".to_owned(), body: bytes.into() };
        assert!(client.do_action(action).await.is_err());
    }
    let unknown = Action { r#type: "a".repeat(10_000), body: Vec::new().into() };
    let (code, said) = status(client.do_action(unknown).await.unwrap_err());
    assert!(code == Code::Unimplemented && said.len() < 1_000, "{code} {said}");
    assert_eq!(json(&rows(&mut client, "SELECT 1 AS one").await), "{\"one\":1}\n");
}
