//! GET over HTTP.

use super::MirrorError;
use crate::fetch::{Network, tls};
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;
use ureq::tls::TlsConfig;

/// Longest answer, in bytes: whoever reads knows how much it wants, and this is for who does not.
const MOST: u64 = 64 << 30;
/// Time until a connection stands, and until an answer begins.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed, never from https to http.
const REDIRECTS: u32 = 5;

/// Connections that are kept from one request to the next, made when they are first wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    network: Network,
    plain: OnceLock<ureq::Agent>,
    encrypted: OnceLock<Result<ureq::Agent, String>>,
}

impl Client {
    pub fn new(network: Network) -> Client {
        Client { network, ..Client::default() }
    }

    /// The body of what is at a URL.
    pub fn get(&self, url: &str) -> Result<Box<dyn Read>, MirrorError> {
        let fail = |why: String| MirrorError::Http { url: url.to_owned(), why };
        let agent = if url.starts_with("https://") {
            let agent = self.encrypted.get_or_init(|| tls(&self.network).map(|tls| agent(Some(tls))));
            agent.as_ref().map_err(|why| fail(why.clone()))?
        } else {
            self.plain.get_or_init(|| agent(None))
        };
        let answer = agent.get(url).call().map_err(|err| fail(err.to_string()))?;
        Ok(Box::new(answer.into_body().into_with_config().limit(MOST).reader()))
    }
}

/// One that began with https stays with it.
fn agent(tls: Option<TlsConfig>) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .max_redirects(REDIRECTS)
        .https_only(tls.is_some())
        .proxy(None)
        // Bytes as they are: what is compressed is what has a digest.
        .accept_encoding("identity")
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    config.build().into()
}
