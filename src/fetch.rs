//! Fetching one commit from a git server: protocol version 2 over smart HTTP or `git://`, and nothing else. The only user of the network.
//!
//! The server may be anybody. No `git` is run, no configuration is read, no login is sent, and no redirection leads to another server or scheme.
//! Everything that comes is counted against a limit, and has to come in time. What was fetched counts for nothing until its objects are hashed
//! and its tree is the one that is wanted.

mod url;

#[cfg(feature = "fetch")]
mod daemon;
#[cfg(feature = "fetch")]
mod http;
#[cfg(feature = "fetch")]
mod line;
#[cfg(feature = "fetch")]
mod protocol;

pub use url::{Remote, Scheme, Url, UrlRefused};

/// What is used of the network's surroundings.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Certificates of the authorities that `https` servers are checked against, in PEM.
    pub authorities: Vec<u8>,
}

#[cfg(feature = "fetch")]
pub(crate) use http::tls;
#[cfg(feature = "fetch")]
pub(crate) use protocol::Server;

/// Time for all of it.
#[cfg(feature = "fetch")]
const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(3600);
/// Time in which something must come.
#[cfg(feature = "fetch")]
const MAX_SILENCE: std::time::Duration = std::time::Duration::from_secs(120);
/// Time to reach a server.
#[cfg(feature = "fetch")]
const MAX_CONNECT: std::time::Duration = std::time::Duration::from_secs(30);
/// As git does; some servers answer nobody else.
#[cfg(feature = "fetch")]
const AGENT: &str = concat!("git/countersign-", env!("CARGO_PKG_VERSION"));

/// Who can be asked: capabilities first, then one request after the other.
#[cfg(feature = "fetch")]
trait Service {
    /// What the server says of itself.
    fn advertised(&mut self) -> Result<Box<dyn std::io::Read + '_>, String>;
    /// Sends a request; the answer ends with a flush.
    fn ask(&mut self, request: &[u8]) -> Result<Box<dyn std::io::Read + '_>, String>;
}

/// What one of these answers with an error of reading.
#[cfg(feature = "fetch")]
fn explain(err: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match err.kind() {
        ErrorKind::UnexpectedEof => "the answer is cut off".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "the server takes too long".to_owned(),
        _ => crate::fs::reason(err),
    }
}
