//! What a build runs in, and its fingerprint.

mod fingerprint;
mod host;

pub use crate::lock::{DEFAULT_ROOTS, LockError, RootRefused};
pub use fingerprint::{Fingerprint, FingerprintError, serve};
pub use host::{Host, Lock};
