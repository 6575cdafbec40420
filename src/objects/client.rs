//! A client for the service that an address names, by what the environment says of it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

use super::address::{Address, Service};
use super::refused::refused;
use crate::error::{Error, Kind, Result};
use crate::net;

/// How long to try to connect.
const CONNECT: Duration = Duration::from_secs(15);

/// How long a request may take: none asks for more than [`BLOCK`] bytes, of which as many are under
/// way as objects are fetched at once.
const REQUEST: Duration = Duration::from_secs(300);

/// How long a request may take that sends a whole part.
const WHOLE: Duration = Duration::from_secs(1_800);

/// How long a server that is busy, or breaks off, is asked again.
const AGAIN: Duration = Duration::from_secs(600);

/// Bytes that are asked for at once.
pub(super) const BLOCK: u64 = 4 << 20;

/// Returns a client for the bucket, container or host of an address. Makes no request.
///
/// Credentials, the region and another server than the service's own are what `AWS_*`, `GOOGLE_*`
/// and `AZURE_*` say; an empty variable says nothing.
///
/// # Errors
/// Returns [`Kind::Usage`] if a variable cannot be meant.
pub(super) fn open(address: &Address) -> Result<Arc<dyn ObjectStore>> {
    client(address, AGAIN, None)
}

/// Like [`open`], but a server that is busy, or breaks off, is asked again for `again` at most, and
/// connections belong to a runtime, so that threads of several may use them.
///
/// # Errors
/// Fails like [`open`].
pub(super) fn open_on(runtime: &Handle, address: &Address, again: Duration) -> Result<Arc<dyn ObjectStore>> {
    client(address, again, Some(runtime))
}

fn client(address: &Address, again: Duration, runtime: Option<&Handle>) -> Result<Arc<dyn ObjectStore>> {
    let options =
        // Only an address that says http:// leads there.
        ClientOptions::new().with_connect_timeout(CONNECT).with_allow_http(true);
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(15), ..BackoffConfig::default() };
    // A store of results is asked for as long as it may take to start again.
    let (max_retries, longest) = if runtime.is_some() { (40, WHOLE) } else { (8, REQUEST) };
    let options = options.with_timeout(longest);
    let retries = RetryConfig { max_retries, retry_timeout: again, backoff };
    let Address { scheme, service, host, .. } = address;
    let url = format!("{scheme}://{host}");
    // The builders have the same methods, and no trait in common.
    macro_rules! built {
        ($builder:ty, $settings:expr) => {{
            let plain = <$builder>::new().with_url(url).with_client_options(options).with_retry(retries);
            let plain = match runtime {
                Some(runtime) => plain.with_http_connector(SpawnedReqwestConnector::new(runtime.clone())),
                None => plain,
            };
            let set = $settings.into_iter().fold(plain, |builder, (key, value)| builder.with_config(key, value));
            set.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }};
    }
    let built = match service {
        Service::S3 => built!(AmazonS3Builder, settings("AWS_")?),
        Service::Google => built!(GoogleCloudStorageBuilder, settings("GOOGLE_")?),
        Service::Azure => built!(MicrosoftAzureBuilder, settings("AZURE_")?),
        Service::Http => built!(HttpBuilder, Vec::<(ClientConfigKey, String)>::new()),
    };
    built.map_err(|error| refused("cannot reach", address, &error))
}

/// Reads the variables of a service.
fn settings<K: FromStr>(service: &str) -> Result<Vec<(K, String)>> {
    let mut settings = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(service)) else { continue };
        let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
        let value = value.into_string().unwrap_or_else(|_| "\n".to_owned());
        if value.is_empty() {
            continue;
        }
        // The value is not shown: it may be a secret.
        let refused = |what: &str| Error::new(Kind::Usage, format!("{name} {what}"));
        if value.contains(|c: char| c.is_control()) {
            return Err(refused("has a line end, or what is no text, in it").hint("set it to one line"));
        }
        let is_address = net::Address::of(&value).is_some() && !value.contains(char::is_whitespace);
        if name.contains("ENDPOINT") && !is_address {
            return Err(refused("is no address").hint("write it as https://HOST or http://HOST:PORT, or unset it"));
        }
        settings.push((key, value));
    }
    Ok(settings)
}
