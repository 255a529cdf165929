//! Environments that are unpacked, through the real program: locked, built in, handed over, rebuilt from what was handed over, and every
//! way in which what is there is not what was locked.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "debian")]
#[path = "../../src/debian/testing/mod.rs"]
mod debs;
mod fetched;
mod hostile;
mod image;
mod kills;
mod kinds;
mod materials;
#[cfg(feature = "debian")]
mod vouchers;
