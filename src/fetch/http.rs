//! Smart HTTP. The only user of ureq and rustls.

use super::{AGENT, MAX_CONNECT, MAX_SILENCE, MAX_TIME, Network, Remote, Scheme, Service, explain};
use std::io::Read;
use std::sync::Arc;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// What is asked first.
const FIRST: &str = "/info/refs?service=git-upload-pack";
/// Most times that a server may name another path for that.
const MAX_REDIRECTS: usize = 4;

pub(super) struct Http {
    agent: Agent,
    /// Scheme and host, which never change.
    origin: String,
    /// Of the repository, without a slash at its end.
    path: String,
}

impl Http {
    pub(super) fn new(remote: &Remote, network: &Network) -> Result<Http, String> {
        let (word, tls) = match remote.scheme {
            Scheme::Https => ("https", Some(tls(network)?)),
            _ => ("http", None),
        };
        let mut config = Agent::config_builder()
            .https_only(tls.is_some())
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(AGENT)
            .accept_encoding("identity")
            .timeout_connect(Some(MAX_CONNECT))
            .timeout_per_read(Some(MAX_SILENCE))
            .timeout_per_write(Some(MAX_SILENCE))
            .timeout_global(Some(MAX_TIME));
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        let (origin, path) = (format!("{word}://{}", remote.authority), remote.path.trim_end_matches('/').to_owned());
        Ok(Http { agent: config.build().into(), origin, path })
    }

    fn first(&mut self) -> Result<Response<Body>, String> {
        for _ in 0..=MAX_REDIRECTS {
            let url = format!("{}{}{FIRST}", self.origin, self.path);
            let answer = self.agent.get(&url).header("Git-Protocol", "version=2").call().map_err(failed)?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let place = answer.headers().get("location").and_then(|place| place.to_str().ok()).unwrap_or_default();
            let path = place.strip_prefix(&self.origin).unwrap_or(place);
            match path.strip_suffix(FIRST) {
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    self.path = path.trim_end_matches('/').to_owned();
                }
                _ => {
                    let place = place.strip_suffix(FIRST).unwrap_or(place);
                    let place = super::protocol::said(place.as_bytes());
                    return Err(format!("it is somewhere else, and that must be asked for: {place}"));
                }
            }
        }
        Err("the server sends one from place to place".to_owned())
    }
}

/// An answer of the type that is meant.
fn good<'a>(answer: Response<Body>, wanted: &str) -> Result<Box<dyn Read + 'a>, String> {
    let status = answer.status();
    if !status.is_success() {
        return Err(match status.as_u16() {
            401 | 403 | 407 => "the server wants to know who asks, and no login is ever sent".to_owned(),
            404 | 410 => "the server has no such repository".to_owned(),
            code => format!("the server answers with status {code}"),
        });
    }
    if answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()) != Some(wanted) {
        return Err("the server does not speak git's protocol there".to_owned());
    }
    Ok(Box::new(answer.into_body().into_reader()))
}

impl Service for Http {
    fn advertised(&mut self) -> Result<Box<dyn Read + '_>, String> {
        good(self.first()?, "application/x-git-upload-pack-advertisement")
    }

    fn ask(&mut self, request: &[u8]) -> Result<Box<dyn Read + '_>, String> {
        let url = format!("{}{}/git-upload-pack", self.origin, self.path);
        let post = self.agent.post(&url).header("Git-Protocol", "version=2");
        let post = post.content_type("application/x-git-upload-pack-request");
        let post = post.header("Accept", "application/x-git-upload-pack-result");
        good(post.send(request).map_err(failed)?, "application/x-git-upload-pack-result")
    }
}

fn failed(err: ureq::Error) -> String {
    match err {
        ureq::Error::Io(err) => explain(&err),
        ureq::Error::Timeout(_) => "the server takes too long".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        err => err.to_string(),
    }
}

/// The authorities that were given, and no others.
pub(crate) fn tls(network: &Network) -> Result<TlsConfig, String> {
    let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&network.authorities)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(
            "no certificate of an authority is known on this machine, against which it could be checked".to_owned()
        );
    }
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}
