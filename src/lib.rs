//! `countersign` ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so.

pub mod digest;
pub mod json;
pub mod path;

pub mod tree;

pub mod scan;

pub mod environment;
pub mod sandbox;

pub mod fs;

pub mod cli;
