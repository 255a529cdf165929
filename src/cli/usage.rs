//! A command line that does not parse: clap's finding in the form of every other error.
//!
//! What clap says quotes what was typed, which may be a file's name: it is escaped before clap puts it among its own words, so that no line
//! can be smuggled in.

use super::exit::{Exit, Failure};
use super::ui;
use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Help and version are data; everything else that clap says is a usage error.
pub fn not_parsed(mut err: clap::Error, program: &Command) -> Result<Exit, Failure> {
    if !err.use_stderr() {
        ui::data(&err.render().to_string());
        return Ok(Exit::Yes);
    }
    if err.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        ui::say(err.render().to_string().trim_end());
        return Ok(Exit::Usage);
    }
    let said: Vec<(ContextKind, ContextValue)> = err.context().map(|(kind, value)| (kind, harmless(value))).collect();
    for (kind, value) in said {
        err.insert(kind, value);
    }
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    Err(failure(&err.render().to_string()).hint(where_to_look(program, &words)))
}

/// The help of the command that was meant, as far as its words are commands.
fn where_to_look(program: &Command, words: &[String]) -> String {
    let (mut command, mut name) = (program, program.get_name().to_owned());
    while let Some(next) = words.get(name.split(' ').count() - 1).and_then(|word| command.find_subcommand(word)) {
        command = next;
        name = format!("{name} {}", next.get_name());
    }
    format!("`{name} --help` {}", if command.has_subcommands() { "lists the commands" } else { "has examples" })
}

fn harmless(value: &ContextValue) -> ContextValue {
    let styled = |text: &StyledStr| StyledStr::from(ui::escape(&text.to_string()));
    match value {
        ContextValue::String(text) => ContextValue::String(ui::escape(text)),
        ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(|text| ui::escape(text)).collect()),
        ContextValue::StyledStr(text) => ContextValue::StyledStr(styled(text)),
        ContextValue::StyledStrs(texts) => ContextValue::StyledStrs(texts.iter().map(styled).collect()),
        other => other.clone(),
    }
}

/// One line of fact, then hints: tips, what is possible, how the command is used.
fn failure(text: &str) -> Failure {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut failure = Failure::usage("");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            failure = failure.hint(tip);
        } else if let Some(used) = line.strip_prefix("Usage: ") {
            failure = failure.hint(format_args!("usage: {used}"));
        } else if let Some(values) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            failure = failure.hint(values);
        } else if failure.hints.is_empty() && !line.starts_with("For more information") {
            let between = if failure.fact.is_empty() || failure.fact.ends_with(':') { "" } else { "," };
            failure.fact = format!("{}{between} {line}", failure.fact).trim_start().to_owned();
        }
    }
    for (theirs, ours) in WORDS {
        failure.fact = failure.fact.replace(theirs, ours);
        for hint in &mut failure.hints {
            *hint = hint.replace(theirs, ours);
        }
    }
    failure
}

/// Words that say more to who typed the line. That they may stand in what was typed too does no harm.
const WORDS: [(&str, &str); 6] = [
    ("unrecognized subcommand", "unknown command"),
    ("similar subcommand", "similar command"),
    (": invalid digit found in string", ": not a whole number"),
    (": number would be zero for non-zero type", ": at least 1 is needed"),
    (": number too large to fit in target type", ": the number is too large"),
    (": cannot parse integer from empty string", ": a number is needed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_and_hints() {
        let text = "error: the following arguments are missing:\n  --key <K>\n  --bundle <B>\n\n  tip: a tip\n\nUsage: x y\n\nFor more information, try '--help'.\n";
        let failure = failure(text);
        assert_eq!(failure.fact, "the following arguments are missing: --key <K>, --bundle <B>");
        assert_eq!(failure.hints, ["a tip", "usage: x y"]);
    }

    #[test]
    fn the_help_of_what_was_meant() {
        let program = Command::new("p").subcommand(Command::new("key").subcommand(Command::new("show")));
        let look =
            |words: &[&str]| where_to_look(&program, &words.iter().map(|word| word.to_string()).collect::<Vec<_>>());
        assert_eq!(look(&["zzz"]), "`p --help` lists the commands");
        assert_eq!(look(&["key", "--x"]), "`p key --help` lists the commands");
        assert_eq!(look(&["key", "show", "key"]), "`p key show --help` has examples");
        assert_eq!(look(&["--x", "key"]), "`p --help` lists the commands");
    }
}
