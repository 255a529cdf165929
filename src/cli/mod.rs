//! The command line: one file a command. The only room that knows clap, standard output and error, the environment, the working
//! directory, the clock and exit codes.

pub mod exit;
pub mod ui;

pub mod passphrase;

pub mod key;
