//! `countersign completions`: what makes a shell complete command lines.

use super::exit::{Exit, Failure};
use super::ui;
use clap::{Command, ValueHint};
use clap_complete::{Generator, Shell};

/// Print what makes a shell complete command lines of countersign
///
/// Commands, flags and their values are completed, and files and directories where a command takes one.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  countersign completions bash > ~/.local/share/bash-completion/completions/countersign
  countersign completions zsh > ~/.zfunc/_countersign    # a directory of your fpath
  countersign completions fish > ~/.config/fish/completions/countersign.fish")]
pub struct Args {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: For,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Bash,
    Zsh,
    Fish,
}

/// Runs the command.
pub fn run(args: &Args, program: Command) -> Result<Exit, Failure> {
    let mut text = script(args.shell, program)?;
    match args.shell {
        For::Bash => text.push_str(BASH),
        // clap says that after the first of several files there are no more flags, and gives what is no path no action, which in zsh
        // is not the same as none.
        For::Zsh => text = text.replace("'*::", "'*:").replace(":' \\\n", ": ' \\\n"),
        For::Fish => text.push_str(FISH),
    }
    ui::data(&text);
    Ok(Exit::Yes)
}

fn script(shell: For, program: Command) -> Result<String, Failure> {
    let shell = match shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut program = hinted(program);
    program.set_bin_name("countersign");
    program.build();
    let mut bytes = Vec::new();
    let internal = |err: &dyn std::fmt::Display| Failure::new(Exit::Internal, format!("the completions: {err}"));
    shell.try_generate(&program, &mut bytes).map_err(|err| internal(&err))?;
    String::from_utf8(bytes).map_err(|err| internal(&err))
}

/// Says of every argument what its values are, as its name tells: DIR is a directory, another path a file, and what is no path is not
/// completed as one.
fn hinted(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let directory = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "DIR"));
        let hint = match arg.get_value_hint() {
            ValueHint::AnyPath if directory => ValueHint::DirPath,
            ValueHint::AnyPath => ValueHint::FilePath,
            ValueHint::Unknown if arg.get_action().takes_values() => ValueHint::Other,
            _ => return arg,
        };
        arg.value_hint(hint)
    });
    command.mut_subcommands(hinted)
}

/// clap's script says nothing of the values of arguments without a flag.
const FISH: &str = r#"
complete -c countersign -n "__fish_countersign_using_subcommand completions" -f -a "bash zsh fish"
complete -c countersign -n "__fish_countersign_using_subcommand man" -f
"#;

/// clap's function offers flags where a file is wanted, and then bash completes no file.
const BASH: &str = r#"
# Flags are offered where one was begun; elsewhere what is left over is for bash, which completes files.
_countersign_or_files() {
    _countersign "$@"
    if [[ "$2" != -* ]]; then
        local word words=()
        for word in "${COMPREPLY[@]}"; do
            [[ "$word" == -* ]] || words+=("$word")
        done
        COMPREPLY=("${words[@]}")
    fi
}
complete -F _countersign_or_files -o bashdefault -o default countersign
"#;
