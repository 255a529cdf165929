//! What a build runs in, and its fingerprint.

mod cache;
mod depot;
mod fingerprint;
mod shape;
mod view;

pub use crate::lock::DEFAULT_ROOTS;
pub use cache::MAX_CACHE;
pub use depot::{Depot, DepotError, MOST, are_materials};
pub use fingerprint::{Cache, Counts, Fingerprint, FingerprintError, serve};
pub use view::View;
