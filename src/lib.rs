//! `countersign` ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so.
//!
//! The rooms, in the order in which data flows; `docs/design.md` says why they are so:
//!
//! - values: digests, strict JSON, paths inside a tree;
//! - a directory, an archive or a commit to a [`tree::Tree`] and its listing, and back to files;
//! - a recipe, what its lock names (mirrors, the store, images of archives, layers or packages) and a source to outputs, in the sandbox;
//! - what was observed as statements in signed envelopes, and those in bundles;
//! - a manifest answered blind, and what differs;
//! - a policy of the verifier's own, and the answer;
//! - the command line: the only room that prints, prompts, exits, or reads the environment, the working directory and the clock.

pub mod digest;
pub mod json;
pub mod path;
pub mod stop;

pub mod archive;
pub mod fetch;
pub mod fs;
pub mod git;
pub mod glob;
pub mod repository;
pub mod scan;
pub mod source;
pub mod tree;

#[cfg(unix)]
pub mod build;
#[cfg(unix)]
pub mod debian;
#[cfg(unix)]
pub mod environment;
pub mod fetched;
pub mod lock;
pub mod mirrors;
#[cfg(unix)]
pub mod oci;
pub mod recipe;
#[cfg(unix)]
pub mod rootfs;
#[cfg(unix)]
pub mod sandbox;
pub mod store;

pub mod bundle;
pub mod envelope;
pub mod keys;
pub mod signature;
pub mod statement;

pub mod compare;
pub mod merge;
pub mod rebuild;
pub mod unsigned;

pub mod policy;
pub mod verify;

pub mod cli;
