//! Where passphrases come from, and private keys for the commands that sign.
//!
//! In this order: `--passphrase-file`, `COUNTERSIGN_PASSPHRASE`, a question on the terminal. The first that is there is the one
//! that is used: a variable that is set but empty is an empty passphrase, not a missing one, since a pipeline whose secret
//! did not arrive must not go on to something else. A missing or wrong passphrase is exit code 2, as any wrong argument is: the key file is there, and no
//! evidence was looked at.

use super::exit::{Exit, Failure};
use super::ui;
use crate::fs;
use crate::keys::file::{Contents, Exposure, KeyFileError};
use crate::keys::{KeyError, KeyFile, Passphrase, SigningKey, Unlocked};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable that holds a passphrase.
const VARIABLE: &str = "COUNTERSIGN_PASSPHRASE";
/// Longest file whose first line is a passphrase, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// How a command that signs is told its passphrase.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PassphraseArgs {
    /// File whose first line is the key's passphrase [default: $COUNTERSIGN_PASSPHRASE, else asked for on the terminal]
    #[arg(long, value_name = "F")]
    pub passphrase_file: Option<PathBuf>,
}

/// Reads a private key, asking for a passphrase only if it is encrypted.
pub fn load_key(path: &Path, args: &PassphraseArgs) -> Result<SigningKey, Failure> {
    Ok(unlock(path, &Contents::read(path)?, args)?.0.key)
}

/// Opens a private key file; the passphrase that opened it comes along.
pub(super) fn unlock(
    path: &Path,
    contents: &Contents,
    args: &PassphraseArgs,
) -> Result<(Unlocked, Option<Passphrase>), Failure> {
    let file = parse(path, contents)?;
    let passphrase = if file.needs_passphrase() {
        Some(existing(path, args)?)
    } else if args.passphrase_file.is_some() {
        let fact = format!("{} is not encrypted; --passphrase-file has nothing to open", path.display());
        return Err(
            Failure::usage(fact).hint("leave --passphrase-file out, or encrypt the key: countersign key import")
        );
    } else {
        None
    };
    let unlocked = file.unlock(passphrase.as_ref()).map_err(|err| {
        let wrong = matches!(err, KeyError::WrongPassphrase);
        let failure = refuse(path, err);
        if wrong { failure.hint(origin(args)) } else { failure }
    })?;
    Ok((unlocked, passphrase))
}

/// Reads the clear part of a private key file that other users cannot get at.
pub(super) fn parse(path: &Path, contents: &Contents) -> Result<KeyFile, Failure> {
    // What it is before who can read it: "chmod 600" is no help with a public key.
    let file = KeyFile::parse(contents.bytes()).map_err(|err| refuse(path, err))?;
    contents.check_private()?;
    Ok(file)
}

/// A passphrase for a key that is about to be written: never empty, and asked for twice.
pub(super) fn new(path: &Path, args: &PassphraseArgs) -> Result<Passphrase, Failure> {
    let given = match given(args)? {
        Some(given) => given,
        None => {
            let first = ask(path, &format!("New passphrase for {}: ", shown(path)))?;
            if !first.is_empty() && !first.is(&ask(path, "The same again: ")?) {
                return Err(Failure::usage("the two passphrases are not the same; nothing was written"));
            }
            first
        }
    };
    if given.is_empty() {
        return Err(empty(path, args).hint("to write the key unencrypted, say so: --no-passphrase"));
    }
    Ok(given)
}

fn existing(path: &Path, args: &PassphraseArgs) -> Result<Passphrase, Failure> {
    let given = match given(args)? {
        Some(given) => given,
        None => ask(path, &format!("Passphrase of {}: ", shown(path)))?,
    };
    if given.is_empty() { Err(empty(path, args)) } else { Ok(given) }
}

/// No key is encrypted with an empty passphrase, so the reason is where it came from.
fn empty(path: &Path, args: &PassphraseArgs) -> Failure {
    let key = path.display();
    Failure::usage(match (&args.passphrase_file, std::env::var_os(VARIABLE)) {
        (Some(file), _) => {
            format!("the first line of {} is empty; a passphrase for {key} is needed", file.display())
        }
        (None, Some(_)) => format!("{VARIABLE} is set but empty; a passphrase for {key} is needed"),
        (None, None) => format!("the passphrase for {key} is empty"),
    })
}

fn given(args: &PassphraseArgs) -> Result<Option<Passphrase>, Failure> {
    if let Some(path) = &args.passphrase_file {
        return first_line(path).map(Some);
    }
    Ok(std::env::var_os(VARIABLE).map(|text| Passphrase::new(text.into_encoded_bytes())))
}

/// Where a passphrase came from, for whoever wonders why it is wrong.
fn origin(args: &PassphraseArgs) -> String {
    match (&args.passphrase_file, std::env::var_os(VARIABLE)) {
        (Some(file), _) => format!("it is the first line of {}", file.display()),
        (None, Some(_)) => format!("it was taken from the environment: {VARIABLE}"),
        (None, None) => "run it again, and type it anew".to_owned(),
    }
}

fn first_line(path: &Path) -> Result<Passphrase, Failure> {
    let bytes = Zeroizing::new(fs::read(path, MAX_FILE)?);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = if line.len() < bytes.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    Ok(Passphrase::new(line.to_vec()))
}

fn ask(path: &Path, question: &str) -> Result<Passphrase, Failure> {
    let key = path.display();
    let two_other_ways = |failure: Failure| {
        failure
            .hint("--passphrase-file F takes it from the first line of a file")
            .hint(format!("{VARIABLE} takes it from the environment"))
    };
    let terminal = Terminal::open().map_err(|err| {
        let fact =
            format!("a passphrase for {key} is needed and there is no terminal to ask for it ({})", fs::reason(&err));
        two_other_ways(Failure::usage(fact))
    })?;
    match terminal.ask(question) {
        Ok(text) => Ok(Passphrase::new(text.into_bytes())),
        Err(err) => {
            Err(two_other_ways(Failure::usage(format!("no passphrase for {key} was typed ({})", fs::reason(&err)))))
        }
    }
}

/// The terminal without echo; put back as it was in the end.
#[cfg(unix)]
struct Terminal {
    tty: std::fs::File,
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Terminal {
    fn open() -> io::Result<Terminal> {
        let tty = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
        let before = rustix::termios::tcgetattr(&tty)?;
        Ok(Terminal { tty, before })
    }

    /// `rpassword` reads and edits the line; the modes are set here, because it lets Ctrl-C end the program before it puts
    /// them back, and the user's shell is then without echo.
    fn ask(&self, question: &str) -> io::Result<String> {
        use io::Write as _;
        use rustix::termios::{LocalModes, OptionalActions, tcsetattr};
        (&self.tty).write_all(question.as_bytes())?;
        let mut quiet = self.before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&self.tty, OptionalActions::Now, &quiet)?;
        let keys = Keys(self.tty.try_clone()?);
        let config =
            rpassword::ConfigBuilder::new().input_reader(keys).output_discard().password_feedback_hide().build();
        let typed = rpassword::read_password_with_config(config);
        (&self.tty).write_all(b"\n")?;
        typed
    }
}

#[cfg(unix)]
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(&self.tty, rustix::termios::OptionalActions::Now, &self.before);
    }
}

/// What is typed. Ctrl-C and the end of the terminal are errors: neither may pass for a passphrase.
#[cfg(unix)]
struct Keys(std::fs::File);

#[cfg(unix)]
impl io::Read for Keys {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One at a time: what follows the line belongs to the next question.
        let n = self.0.read(buffer.get_mut(..1).unwrap_or_default())?;
        match buffer[..n] {
            [] => Err(io::Error::other("the terminal was closed")),
            [3] => Err(io::Error::other("interrupted")),
            _ => Ok(n),
        }
    }
}

#[cfg(not(unix))]
struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    fn open() -> io::Result<Terminal> {
        Ok(Terminal)
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        rpassword::prompt_password(question)
    }
}

fn shown(path: &Path) -> String {
    ui::escape(&path.display().to_string())
}

fn refuse(path: &Path, err: KeyError) -> Failure {
    let hint = match &err {
        KeyError::Public => Some("the private key is the file without .pub"),
        KeyError::Format(_) | KeyError::Algorithm(_) | KeyError::NotAKey => Some(
            "countersign key generate makes a key; ssh-keygen -t ed25519 makes one that countersign key import reads",
        ),
        KeyError::Cipher(_) | KeyError::Rounds(_) => {
            Some("ssh-keygen -p -f K writes the key anew with its own defaults")
        }
        KeyError::Mismatch => Some("somebody has changed the file; do not use the key"),
        _ => None,
    };
    let failure = Failure::usage(format_args!("cannot use the key {}: {err}", path.display()));
    hint.into_iter().fold(failure, Failure::hint)
}

impl From<KeyFileError> for Failure {
    fn from(err: KeyFileError) -> Failure {
        let fact = err.to_string();
        match err {
            KeyFileError::Fs(err) => err.into(),
            KeyFileError::Exposed { path, why: Exposure::Mode(_) } => Failure::usage(fact)
                .hint(format_args!("chmod 600 {}", path.display()))
                .hint("somebody may have copied it: consider a new key"),
            KeyFileError::Exposed { why: Exposure::Owner(_), .. } => {
                Failure::new(Exit::Usage, fact).hint("a key is used by the user that owns it; root's are taken too")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_without_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (text, line) in [
            ("pass", "pass"),
            ("pass\n", "pass"),
            ("pass\r\n", "pass"),
            ("pass\r", "pass\r"),
            (" pass \nmore\n", " pass "),
            ("\npass", ""),
            ("", ""),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(first_line(&path).unwrap().is(&Passphrase::new(line.as_bytes().to_vec())), "{text:?}");
        }
        assert_eq!(first_line(&dir.path().join("none")).unwrap_err().exit, Exit::CouldNotTell);
        assert_eq!(first_line(dir.path()).unwrap_err().exit, Exit::CouldNotTell);
    }

    #[test]
    fn a_key_and_the_passphrase_that_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            fs::write(&dir.path().join(name), text.as_bytes(), 0o600, fs::Existing::Refuse).unwrap();
            dir.path().join(name)
        };
        let key = SigningKey::generate().unwrap();
        let pass = Passphrase::new(b"p".to_vec());
        let clear = put("clear", &key.to_openssh(None, "").unwrap());
        let locked = put("locked", &key.to_openssh(Some(&pass), "").unwrap());
        let load = |key: &Path, file: Option<&Path>| {
            load_key(key, &PassphraseArgs { passphrase_file: file.map(Path::to_owned) })
        };
        let (right, wrong, none) = (put("right", "p\n"), put("wrong", "q\n"), put("none", "\n"));
        assert_eq!(load(&clear, None).unwrap().public(), key.public());
        assert_eq!(load(&locked, Some(&right)).unwrap().public(), key.public());
        for (key, file, why) in [
            (&locked, &wrong, "wrong passphrase"),
            (&locked, &none, "locked is needed"),
            (&clear, &right, "is not encrypted"),
            (&right, &right, "not an OpenSSH private key"),
        ] {
            let failure = load(key, Some(file)).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.fact.contains(why), "{}", failure.fact);
        }
    }
}
