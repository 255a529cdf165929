//! GET over HTTP.

use super::MirrorError;
use crate::fetch::{Network, tls};
use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Longest answer, in bytes: whoever reads knows how much it wants, and this is for who does not.
const MOST: u64 = 64 << 30;
/// Time until a connection stands, and until an answer begins.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed, never from https to http.
const REDIRECTS: u32 = 5;
/// Connections to one server that are kept: as many as are used at a time.
const KEPT: usize = 4;

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
        .max_idle_connections_per_host(KEPT)
        .https_only(tls.is_some())
        .proxy(None)
        // Bytes as they are: what is compressed is what has a digest.
        .accept_encoding("identity")
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    ureq::Agent::with_parts(config.build(), DefaultConnector::default(), Remembering::default())
}

/// Asks for each name once. The client asks anew for each request, also where it has a connection; of hundreds of questions in a row some
/// get no answer, and each of those costs five seconds.
#[derive(Debug, Default)]
struct Remembering {
    names: DefaultResolver,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Resolver for Remembering {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.empty();
        if let Some(addresses) = known().get(&name) {
            addresses.iter().for_each(|address| found.push(*address));
            return Ok(found);
        }
        found = self.names.resolve(uri, config, timeout)?;
        known().insert(name, found.to_vec());
        Ok(found)
    }
}
