//! `countersign man`: the pages for man(1), made from what `--help` is made from.

use super::exit::{Exit, Failure};
use super::ui;
use crate::fs::{self, Existing, FsError};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::PathBuf;

/// Print a man page, or write all of them into a directory
///
/// The pages are made anew each time, equal for equal versions of countersign.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  countersign man | man -l -                     # the page of countersign itself
  countersign man key generate | man -l -        # of one command
  countersign man --out ~/.local/share/man/man1  # all, for man countersign-verify")]
pub struct Args {
    /// The command whose page is printed [default: countersign itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write all pages there, over those that are there; the directory is made if there is none
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, program: Command) -> Result<Exit, Failure> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let Some(dir) = &args.out else {
        ui::data(&page(named(&program, &args.command)?)?);
        return Ok(Exit::Yes);
    };
    std::fs::create_dir_all(dir).map_err(|err| FsError::io("create", dir, err))?;
    let all = below(&program);
    for command in &all {
        fs::write(&dir.join(file_name(command)), page(command)?.as_bytes(), 0o644, Existing::Replace)?;
    }
    ui::say(&format!("wrote {} into {}", ui::count(all.len(), "page"), ui::escape(&dir.display().to_string())));
    Ok(Exit::Yes)
}

fn named<'a>(program: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    words.iter().try_fold(program, |command, word| {
        command.find_subcommand(word).ok_or_else(|| {
            Failure::usage(format!("there is no command {:?}", words.join(" "))).hint("`countersign --help` lists them")
        })
    })
}

/// A command and all commands below it.
fn below(command: &Command) -> Vec<&Command> {
    std::iter::once(command).chain(command.get_subcommands().flat_map(below)).collect()
}

fn file_name(command: &Command) -> String {
    format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name()))
}

fn page(command: &Command) -> Result<String, Failure> {
    let man = Man::new(command.clone());
    let usage = command.clone().render_usage().to_string();
    let mut bytes = Vec::new();
    let mut write = || -> io::Result<()> {
        man.render_name_section(&mut bytes)?;
        let mut synopsis = Roff::new();
        synopsis.control("SH", ["SYNOPSIS"]).text([bold(usage.trim_start_matches("Usage: "))]);
        synopsis.to_writer(&mut bytes)?;
        man.render_description_section(&mut bytes)?;
        man.render_options_section(&mut bytes)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut bytes)?;
        }
        let after = command.get_after_long_help().or(command.get_after_help());
        after_help(&after.map(ToString::to_string).unwrap_or_default()).to_writer(&mut bytes)
    };
    let internal = |err: &dyn std::fmt::Display| Failure::new(Exit::Internal, format!("the page: {err}"));
    write().map_err(|err| internal(&err))?;
    let text = String::from_utf8(bytes).map_err(|err| internal(&err))?;
    // Written by every section, and needed once. The date stays empty: equal programs write equal pages.
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("{APOSTROPHE}.TH {title} 1 \"\" \"countersign {version}\"\n{}", text.replace(APOSTROPHE, "")))
}

/// What makes an apostrophe one in every roff.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What stands below the flags in `--help`: a line `Examples:` begins a section, indented lines stay as they are.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    let (mut section, mut literal, mut fresh) = (false, false, false);
    for line in text.lines() {
        let indented = line.starts_with(' ');
        if literal && !indented {
            roff.control("fi", []);
            literal = false;
        }
        let heading = line.strip_suffix(':').filter(|words| words.split(' ').count() <= 2);
        if let Some(heading) = heading {
            roff.control("SH", [heading.to_uppercase().as_str()]);
            (section, fresh) = (true, true);
        } else if indented {
            if !literal {
                if !fresh {
                    roff.control("PP", []);
                }
                roff.control("nf", []);
            }
            (literal, fresh) = (true, false);
            roff.text([roman(line)]);
        } else if !line.is_empty() {
            if !section {
                roff.control("SH", ["NOTES"]);
                section = true;
            } else if !fresh {
                roff.control("PP", []);
            }
            fresh = false;
            roff.text([roman(line)]);
        }
    }
    if literal {
        roff.control("fi", []);
    }
    roff
}
