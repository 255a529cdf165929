//! The spine through the real program: attest a build, rebuild it blind, verify it, and every way in which that ends otherwise.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod attest;
mod environment;
mod inside;
mod outputs;
mod program;
mod rebuild;
mod refusals;
mod signing;
mod sources;
mod verdicts;
