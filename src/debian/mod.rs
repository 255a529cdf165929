//! Debian packages as a build environment: from the signed index of a mirror to one root file system.
//!
//! In the order in which data flows:
//! - [`release`]: the `InRelease` file of a suite, its signature checked against the caller's keyring; it names the indices by digest;
//! - [`index`]: `Packages` files, read by [`control`];
//! - [`resolve`]: from wanted names to the exact, closed set of packages, by [`version`] and [`relation`];
//! - [`deb`]: one package file, read as a stream;
//! - [`assemble`]: many of them as one root file system, unpacked and ready for `dpkg --configure -a`.
//!
//! Nothing here fetches or runs anything, or looks at the clock. A mirror is not trusted: what it can do is to withhold.

pub mod assemble;
#[cfg(feature = "debian")]
mod clearsign;
pub mod control;
pub mod deb;
pub mod index;
#[cfg(feature = "debian")]
pub mod openpgp;
pub mod relation;
#[cfg(feature = "debian")]
pub mod release;
pub mod resolve;
pub mod version;

#[cfg(test)]
pub(crate) mod testing;
