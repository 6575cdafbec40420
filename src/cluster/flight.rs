//! The port of an executor, where others fetch the rows that it has: other executors between two
//! steps of a statement, and the driver at its end.
//!
//! Ballista's service asks nothing of those who connect, and its client sends nothing but the name
//! of the program that it is. So that name has in it a word that follows from the cluster's token,
//! by which the token itself cannot be found.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::extension::EndpointOverrideFn;
use ballista_executor::flight_service::BallistaFlightService;
use tokio::net::{TcpListener, TcpStream};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Status};

use super::address::Host;
use super::scheduler::LONGEST;
use super::{Executing, Joining, Serving};
use crate::error::{Context, Error, Kind, Result};
use crate::net::server::{Access, Guarding, listen};

/// What the program is called, before the word.
const NAME: &str = "microclip-pipe/";

/// What the word is for: another use of the token has another text here.
const USE: &str = "microclip-pipe 2026-11 the rows that executors have";

/// How long to try to connect to an executor, and to wait until it begins to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(60);

/// How often a connection without traffic is tried, so that a cut one is found out.
const ALIVE: Duration = Duration::from_secs(10);

/// Returns the word that follows from a token.
fn word(token: &str) -> String {
    blake3::Hash::from_bytes(blake3::derive_key(USE, token.as_bytes())).to_hex().to_string()
}

/// Returns how connections to executors are made.
///
/// # Errors
/// Returns [`Kind::Usage`] if the token or a certificate cannot be used.
pub(super) fn endpoint(joining: &Joining) -> Result<EndpointOverrideFn> {
    let name = format!("{NAME}{}", word(&joining.sent_token(|_| {})?));
    let tls = joining.client_tls()?;
    Ok(Arc::new(move |endpoint: Endpoint| {
        let endpoint = endpoint
            .user_agent(name.as_str())?
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ANSWER);
        match &tls {
            // Whoever asks for it: rows of a cluster that has TLS are fetched through it alone.
            Some(_) if endpoint.uri().scheme_str() != Some("https") => Err("the cluster has TLS".into()),
            // The certificate is of the host that is connected to.
            Some(tls) => Ok(endpoint.tls_config(tls.clone())?),
            None => Ok(endpoint),
        }
    }))
}

/// A port that is listened to.
pub(super) struct Port {
    listener: TcpListener,
    access: Access,
    /// What others reach it by.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Port {
    /// Listens, on the address by which the scheduler is reached unless another was named. Returns
    /// why not if nothing may be sent from there.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if a certificate or the address cannot be used.
    pub(super) async fn open(settings: &Executing) -> Result<std::result::Result<Port, String>> {
        let Serving { listen: named, host, tls, allow_plaintext } = &settings.serving;
        let joining = &settings.joining;
        let ip = match named {
            Some(ip) => *ip,
            None => own_address(joining).await?,
        };
        if joining.scheduler.has_tls() != tls.is_some() {
            let why = match tls {
                None => "its scheduler has TLS and it has no certificate: --tls-cert and --tls-key name one",
                Some(_) => "it has a certificate and its scheduler has no TLS: all of a cluster have it, or none",
            };
            return Ok(Err(why.to_owned()));
        }
        let token = joining.sent_token(|_| {})?;
        let access = Access::of(&Guarding {
            address: ip,
            token: Some(&token),
            tls: tls.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())),
            allow_anyone: false,
            allow_plaintext: *allow_plaintext,
            hints: [String::new(), String::new()],
        });
        let access = match access {
            Ok(access) => access,
            Err(error) if tls.is_none() => return Ok(Err(format!("{error}: --allow-plaintext lets it"))),
            Err(error) => return Err(error),
        };
        let (listener, address) = listen(SocketAddr::new(ip, 0)).await?;
        let host = match (host, address.ip()) {
            (Some(host), _) => host.to_string(),
            (None, ip) if ip.is_unspecified() => {
                return Err(Error::new(Kind::Usage, format!("{ip} is no address that others reach"))
                    .hint("--host says what they do reach"));
            }
            (None, ip) => Host::from(ip).to_string(),
        };
        Ok(Ok(Port { listener, access, host, port: address.port() }))
    }

    /// Gives the rows in a folder to those who have the token, for as long as it is awaited.
    ///
    /// # Errors
    /// Returns [`Kind::System`] if it cannot.
    pub(super) async fn serve(self, folder: String, joining: &Joining) -> Result<()> {
        let expected = blake3::hash(word(&joining.sent_token(|_| {})?).as_bytes());
        let admit = move |request: Request<()>| {
            let agent = request.metadata().get("user-agent").and_then(|agent| agent.to_str().ok());
            let word = agent.and_then(|agent| agent.strip_prefix(NAME)?.split(' ').next());
            // Comparing two digests takes the same time wherever they differ.
            match word.is_some_and(|word| blake3::hash(word.as_bytes()) == expected) {
                true => Ok(request),
                false => Err(Status::unauthenticated("this executor wants the cluster's token")),
            }
        };
        let mut server = self.access.secured(Server::builder())?;
        let service = FlightServiceServer::new(BallistaFlightService::new(folder))
            .max_decoding_message_size(LONGEST)
            .max_encoding_message_size(LONGEST);
        let connections = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let served = server.add_service(InterceptedService::new(service, admit)).serve_with_incoming(connections);
        served.await.context(Kind::System, || "cannot give rows to others".to_owned())
    }
}

/// Returns the address of this machine by which the scheduler is reached.
async fn own_address(joining: &Joining) -> Result<IpAddr> {
    let place = (joining.scheduler.host().to_owned(), joining.scheduler.port());
    let reached = tokio::time::timeout(CONNECT, TcpStream::connect(place)).await;
    let address = reached.ok().and_then(std::result::Result::ok).and_then(|stream| stream.local_addr().ok());
    let address = address.ok_or_else(|| {
        Error::new(Kind::Network, format!("the scheduler {} is not reached", joining.scheduler))
            .hint("--listen names the address of this machine that others reach")
    })?;
    Ok(address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_follows_from_the_token_and_does_not_have_it() {
        let [one, other] = ["0123456789abcdef", "0123456789abcdeg"].map(word);
        assert_eq!(one, word("0123456789abcdef"));
        assert_ne!(one, other);
        assert!(!one.contains("0123456789abcdef"));
    }
}
