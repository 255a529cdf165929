//! What a build runs in, and its fingerprint.

mod cache;
mod fingerprint;
mod host;
mod shape;

pub use crate::lock::{DEFAULT_ROOTS, LockError, RootRefused};
pub use cache::MAX_CACHE;
pub use fingerprint::{Cache, Counts, Fingerprint, FingerprintError, serve};
pub use host::{Host, Lock};
