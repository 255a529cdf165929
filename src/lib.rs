//! `countersign` ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so.

pub mod digest;
pub mod json;
pub mod path;

pub mod archive;
pub mod fs;
pub mod git;
pub mod glob;
pub mod scan;
#[cfg(unix)]
pub mod source;
pub mod tree;

#[cfg(unix)]
pub mod build;
pub mod commit_time;
#[cfg(unix)]
pub mod environment;
pub mod lock;
pub mod recipe;
#[cfg(unix)]
pub mod sandbox;

pub mod bundle;
pub mod envelope;
pub mod keys;
pub mod signature;
pub mod statement;

pub mod compare;
#[cfg(unix)]
pub mod rebuild;

pub mod policy;
pub mod verify;

pub mod cli;
