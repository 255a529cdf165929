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

pub mod build;
pub mod commit_time;
pub mod environment;
pub mod recipe;
pub mod sandbox;

pub mod bundle;
pub mod envelope;
pub mod keys;
pub mod signature;
pub mod statement;

pub mod compare;
pub mod rebuild;

pub mod policy;

pub mod cli;
