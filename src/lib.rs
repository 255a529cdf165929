//! `countersign` ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so.

pub mod digest;
pub mod json;
pub mod path;

pub mod git;
pub mod glob;
pub mod tree;

pub mod archive;
pub mod fs;
pub mod scan;
#[cfg(unix)]
pub mod source;

pub mod bundle;
pub mod envelope;
pub mod signature;
pub mod statement;

pub mod policy;
pub mod verify;

pub mod cli;
