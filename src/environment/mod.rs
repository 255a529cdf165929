//! What a build runs in, and its fingerprint.

mod fingerprint;
mod host;

pub use fingerprint::{Fingerprint, FingerprintError, serve};
pub use host::{DEFAULT_ROOTS, Host, Lock, LockError, RootRefused};
