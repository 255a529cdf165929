//! GET over HTTP.

use super::FetchError;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest answer, in bytes: whoever reads knows how much it wants, and this is for who does not.
const MOST: u64 = 64 << 30;
/// Time until a connection stands, and until an answer begins.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed, never from https to http.
const REDIRECTS: u32 = 5;

/// Connections that are kept from one request to the next, made when they are first wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    plain: OnceLock<ureq::Agent>,
    encrypted: OnceLock<ureq::Agent>,
}

impl Client {
    /// The body of what is at a URL.
    pub fn get(&self, url: &str) -> Result<Box<dyn Read>, FetchError> {
        let https = url.starts_with("https://");
        let agent = if https { &self.encrypted } else { &self.plain }.get_or_init(|| agent(https));
        let answer =
            agent.get(url).call().map_err(|err| FetchError::Http { url: url.to_owned(), why: err.to_string() })?;
        Ok(Box::new(answer.into_body().into_with_config().limit(MOST).reader()))
    }
}

/// One that began with https stays with it.
fn agent(https_only: bool) -> ureq::Agent {
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .max_redirects(REDIRECTS)
        .https_only(https_only)
        // Bytes as they are: what is compressed is what has a digest.
        .accept_encoding("identity")
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build();
    ureq::Agent::new_with_config(config)
}
