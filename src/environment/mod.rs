//! What a build runs in, and its fingerprint.

mod cache;
mod configure;
mod depot;
mod fingerprint;
mod image;
mod materials;
mod pin;
mod shape;
mod view;
mod vouched;

pub use crate::lock::DEFAULT_ROOTS;
pub use cache::MAX_CACHE;
pub use depot::{Depot, DepotError, MOST, are_materials};
pub use fingerprint::{Cache, Counts, Fingerprint, FingerprintError, serve};
pub use image::{Doing, ImageError, Unpacking, furnish, tree_of};
pub use materials::{BUNDLE, Collected, MaterialsError, SOURCE, Unpacked, unpack};
pub use pin::{Archive, DependencyError, PinError, Pinning};
pub use view::View;
pub use vouched::{ByWhom, Doubt, Open, Signed, VouchError, Vouched, check as vouched, claimed, evidence};
