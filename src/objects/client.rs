//! A client for the service that an address names, by what the environment says of it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::address::{Address, Service};

/// How long to try to connect, and how long a request may take: none asks for more than [`BLOCK`]
/// bytes.
const CONNECT: Duration = Duration::from_secs(15);
const REQUEST: Duration = Duration::from_secs(120);

/// Bytes that are asked for at once.
pub(super) const BLOCK: u64 = 16 << 20;

/// Returns a client for the bucket, container or host of an address. Makes no request.
///
/// Credentials, the region and another server than the service's own are what `AWS_*`, `GOOGLE_*`
/// and `AZURE_*` say; a server that is busy, or breaks off, is asked again for two minutes.
///
/// # Errors
/// Fails if the environment cannot be meant.
pub(super) fn open(address: &Address) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        // Only an address that says http:// leads there.
        .with_allow_http(true);
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(15), ..BackoffConfig::default() };
    let retries = RetryConfig { max_retries: 8, retry_timeout: REQUEST, backoff };
    let Address { scheme, service, host, .. } = address;
    let url = format!("{scheme}://{host}");
    Ok(match service {
        Service::S3 => Arc::new(
            AmazonS3Builder::from_env().with_url(url).with_client_options(options).with_retry(retries).build()?,
        ),
        Service::Google => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_url(url)
                .with_client_options(options)
                .with_retry(retries)
                .build()?,
        ),
        Service::Azure => Arc::new(
            MicrosoftAzureBuilder::from_env().with_url(url).with_client_options(options).with_retry(retries).build()?,
        ),
        Service::Http => {
            Arc::new(HttpBuilder::new().with_url(url).with_client_options(options).with_retry(retries).build()?)
        }
    })
}
