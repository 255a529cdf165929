//! The program before people: terminals, colours, progress, closed pipes, and names that would play tricks.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/pty.rs"]
mod pty;

mod names;
mod pipes;
mod terminal;
