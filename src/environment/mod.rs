//! What a build runs in, and its fingerprint.

mod host;

pub use host::{DEFAULT_ROOTS, Fingerprint, FingerprintError, Host, Lock, LockError, RootRefused, serve};
