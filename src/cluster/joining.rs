//! Connecting to a scheduler, as an executor or a driver.

use std::path::Path;
use std::time::Duration;

use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use rustls::CertificateError;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::{Joining, token};
use crate::error::{Context, Error, Kind, Result};
use crate::net::server::pem;

/// How long to try to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// How long to wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// How often a connection without traffic is tried, so that a cut one is found out.
const ALIVE: Duration = Duration::from_secs(10);

/// A client of the scheduler, whose requests have the token.
pub(super) type Client = SchedulerGrpcClient<InterceptedService<Channel, Signed>>;

/// Adds the token to requests.
#[derive(Clone)]
pub(super) struct Signed(MetadataValue<Ascii>);

impl Interceptor for Signed {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Joining {
    /// Returns the token that is sent to the scheduler.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if there is none, or it cannot be used.
    pub(super) fn sent_token(&self, note: impl Fn(&str)) -> Result<String> {
        token::of_client(self.token.as_deref(), self.scheduler.is_on_this_machine(), note)
    }

    /// Makes a client, which connects once it asks for something, and again when it has to.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if the token or a certificate cannot be used.
    pub(super) fn client(&self, note: impl Fn(&str)) -> Result<Client> {
        let token = self.sent_token(note)?;
        let signed = MetadataValue::try_from(format!("Bearer {token}"));
        let mut signed = signed.context(Kind::Usage, || "the cluster's token cannot be sent".to_owned())?;
        signed.set_sensitive(true);
        let endpoint = Endpoint::from_shared(self.scheduler.url());
        let endpoint = endpoint.context(Kind::Usage, || format!("{} is no address", self.scheduler))?;
        let mut endpoint = endpoint
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ANSWER)
            .keep_alive_while_idle(true);
        if let Some(tls) = self.client_tls()? {
            endpoint = endpoint.tls_config(tls.domain_name(self.scheduler.host())).map_err(|cause| {
                let file = self.authority.as_deref().unwrap_or(Path::new(""));
                Error::new(Kind::Usage, format!("{} has no certificate that can be used", file.display())).cause(cause)
            })?;
        }
        Ok(SchedulerGrpcClient::with_interceptor(endpoint.connect_lazy(), Signed(signed)))
    }

    /// Returns what the certificates of a cluster's processes are checked against, if it has TLS.
    ///
    /// # Errors
    /// Returns [`Kind::Usage`] if that cannot be read, or there is one and no TLS, or the other way
    /// round.
    pub(super) fn client_tls(&self) -> Result<Option<ClientTlsConfig>> {
        match (&self.authority, self.scheduler.has_tls()) {
            (Some(authority), true) => {
                let pem = pem(authority, "CERTIFICATE").map_err(|error| {
                    error.hint("--cluster-ca takes the certificates that signed the scheduler's own, as PEM")
                })?;
                Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
            }
            (None, true) => {
                Err(Error::new(Kind::Usage, format!("{} has TLS, and nothing to check it against", self.scheduler))
                    .hint("--cluster-ca takes the certificates that signed its own, as PEM; those of the system are in /etc/ssl/certs/ca-certificates.crt"))
            }
            (Some(_), false) => {
                Err(Error::new(Kind::Usage, format!("{} has no TLS, and certificates to check it", self.scheduler))
                    .hint("write df+tls://HOST:PORT, or leave the certificates out"))
            }
            (None, false) => Ok(None),
        }
    }
}

/// Asks the scheduler whether it is one, and admits us.
///
/// # Errors
/// Returns [`Kind::Usage`] if it does not admit us or is none, [`Kind::Network`] if it is not
/// reached.
pub(super) async fn ask(client: &mut Client, joining: &Joining) -> Result<()> {
    let asked = client.get_job_status(GetJobStatusParams { job_id: "none".to_owned() }).await;
    asked.map(drop).map_err(|status| failed(joining, status))
}

/// Returns the error of a request that was not answered.
pub(super) fn failed(joining: &Joining, status: Status) -> Error {
    let place = &joining.scheduler;
    match status.code() {
        Code::Unauthenticated => Error::new(Kind::Usage, format!("the scheduler {place} wants another token"))
            .hint("it is the one that `cluster scheduler` was given, or says where it has made it"),
        Code::PermissionDenied => {
            Error::new(Kind::Query, format!("the scheduler {place} refuses statements: {}", status.message()))
                .hint("docs/cluster.md says what an executor needs for them; without that one, others take them")
        }
        Code::Unimplemented | Code::InvalidArgument | Code::FailedPrecondition => {
            Error::new(Kind::Usage, format!("{place} is no scheduler of this version: {}", status.message()))
                .hint("`cluster scheduler` prints its address; all processes of a cluster are of one version")
        }
        _ => match innermost(&status) {
            Some(Innermost::Tls(error)) => {
                Error::new(Kind::Usage, format!("cannot trust the scheduler {place}: {error}")).hint(distrust(&error))
            }
            innermost => {
                let reason = match innermost {
                    Some(Innermost::Other(reason)) => reason,
                    _ => status.message().to_owned(),
                };
                let error = Error::new(Kind::Network, format!("the scheduler {place} does not answer: {reason}"));
                error.hint(if place.has_tls() || status.code() == Code::Unavailable {
                    "`microclip-pipe cluster scheduler` starts one; what was committed is kept"
                } else {
                    "if it prints df+tls://, that is its address, too; what was committed is kept"
                })
            }
        },
    }
}

/// Returns what to do about a certificate that is not trusted.
fn distrust(error: &rustls::Error) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    match error {
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => "start the scheduler with a certificate that is valid now; is this machine's clock right?",
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "connect by a name or address that the scheduler's certificate has, or give it one that has this one"
        }
        _ => "--cluster-ca takes the certificates that signed its own; write df:// for one that prints that",
    }
}

/// Why a request was not answered, without the words of each layer that it came through.
enum Innermost {
    /// What was said is no TLS, or not by whom it should have been.
    Tls(rustls::Error),
    Other(String),
}

fn innermost(status: &Status) -> Option<Innermost> {
    let causes = std::iter::successors(std::error::Error::source(status), |cause| cause.source());
    causes.last().map(|cause| {
        let carried = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match carried.and_then(|carried| carried.downcast_ref::<rustls::Error>()) {
            Some(error) => Innermost::Tls(error.clone()),
            None => Innermost::Other(cause.to_string()),
        }
    })
}

/// Returns whether asking again may help.
pub(super) fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled | Code::Internal | Code::Aborted
    )
}
