//! `countersign key`: make, show and take over keys.

use super::exit::{Exit, Failure};
use super::passphrase::{self, PassphraseArgs};
use super::ui;
use crate::fs::{FsError, Why};
use crate::keys::file::{self, Contents};
use crate::keys::{Passphrase, SigningKey};
use crate::signature::{BadKey, PublicKey};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make, show and take over signing keys
///
/// Keys are Ed25519, in OpenSSH's own files: ssh-keygen reads what this writes, and the other way round. A private key is
/// encrypted unless you say otherwise.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Generate(Generate),
    Show(Show),
    Import(Import),
}

/// Make a key pair: K, private (mode 0600), and K.pub, the line to give to others
///
/// The public line is printed. It is what a policy names as `key`; the fingerprint that goes with it is in every signature and in the
/// default builder id.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    countersign key generate --out release.key\n  \
    countersign key generate --out ci.key --passphrase-file /run/secrets/key-passphrase\n  \
    ssh-keygen -y -f release.key    # the same public line, by OpenSSH")]
struct Generate {
    /// Where the private key goes; nothing may be there, nor at K.pub
    #[arg(long, value_name = "K")]
    out: PathBuf,
    /// Write the private key unencrypted: whoever reads the file can sign
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
    /// Text beside the key, for people; it is not signed
    #[arg(long, value_name = "C", default_value = "", hide_default_value = true)]
    comment: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Show a key's public line, fingerprint and default builder id; no passphrase is needed
///
/// K is a private key, K.pub or any file with one OpenSSH public key line. The public part stands in clear in an encrypted private key; it
/// is shown as the file states it, and checked against the private part only where that can be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    countersign key show release.key.pub\n  \
    countersign key show --pem release.key.pub > release.pem    # for openssl pkeyutl -pubin -inkey")]
struct Show {
    /// The key file, private or public
    #[arg(value_name = "K")]
    file: PathBuf,
    /// Print the public key as PEM (SubjectPublicKeyInfo), as OpenSSL reads it
    #[arg(long, conflicts_with = "json")]
    pem: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Copy an OpenSSH private key to K and K.pub, encrypted
///
/// F stays as it is. If F is encrypted, K gets the same passphrase, unless --new-passphrase-file or --no-passphrase say otherwise; if it
/// is not, the passphrase that is given or asked for is the one of K.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    countersign key import ~/.ssh/id_ed25519 --out release.key\n  \
    countersign key import old.key --out new.key --passphrase-file old --new-passphrase-file new")]
struct Import {
    /// An OpenSSH private key file (Ed25519)
    #[arg(value_name = "F")]
    file: PathBuf,
    /// Where the private key goes; nothing may be there, nor at K.pub
    #[arg(long, value_name = "K")]
    out: PathBuf,
    /// Write the private key unencrypted: whoever reads the file can sign
    #[arg(long, conflicts_with = "new_passphrase_file")]
    no_passphrase: bool,
    /// File whose first line is the passphrase of K
    #[arg(long, value_name = "N")]
    new_passphrase_file: Option<PathBuf>,
    /// Text beside the key, for people [default: the one in F]
    #[arg(long, value_name = "C")]
    comment: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What `--json` prints, for each of the three.
#[derive(Serialize)]
struct Document {
    schema: &'static str,
    fingerprint: String,
    public: String,
    builder: String,
    private: Private,
    /// Whether the public key was seen to belong to the private one.
    checked: bool,
}

/// What the file holds besides the public key.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Private {
    Encrypted,
    Unencrypted,
    Absent,
}

/// Runs `countersign key`.
pub fn run(args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Generate(args) => generate(args),
        Command::Show(args) => show(args),
        Command::Import(args) => import(args),
    }
}

fn generate(args: Generate) -> Result<Exit, Failure> {
    can_be_written(&args.out)?;
    check_comment(&args.comment)?;
    let passphrase = if args.no_passphrase { None } else { Some(passphrase::new(&args.out, &args.passphrase)?) };
    let key = SigningKey::generate().map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    write(&key, &args.out, passphrase, &args.comment, args.json)
}

fn import(args: Import) -> Result<Exit, Failure> {
    can_be_written(&args.out)?;
    let contents = Contents::read(&args.file)?;
    let new = PassphraseArgs { passphrase_file: args.new_passphrase_file };
    // A file that is not encrypted leaves --passphrase-file for the new one.
    let encrypted = passphrase::parse(&args.file, &contents)?.needs_passphrase();
    let (for_old, for_new) = match (encrypted, args.no_passphrase) {
        (false, false) if new.passphrase_file.is_none() => (PassphraseArgs::default(), args.passphrase),
        _ => (args.passphrase, new),
    };
    let (unlocked, old) = passphrase::unlock(&args.file, &contents, &for_old)?;
    let comment = args.comment.unwrap_or(unlocked.comment);
    check_comment(&comment)?;
    let passphrase = match old {
        _ if args.no_passphrase => None,
        Some(old) if for_new.passphrase_file.is_none() => Some(old),
        _ => Some(passphrase::new(&args.out, &for_new)?),
    };
    write(&unlocked.key, &args.out, passphrase, &comment, args.json)
}

fn show(args: Show) -> Result<Exit, Failure> {
    let contents = Contents::read(&args.file)?;
    let (public, private, checked) = if contents.looks_private() {
        let file = passphrase::parse(&args.file, &contents)?;
        match file.needs_passphrase() {
            true => (file.stated_public(), Private::Encrypted, false),
            false => {
                let (unlocked, _) = passphrase::unlock(&args.file, &contents, &PassphraseArgs::default())?;
                (unlocked.key.public(), Private::Unencrypted, true)
            }
        }
    } else {
        (read_public(&args.file, contents.bytes())?, Private::Absent, false)
    };
    if args.pem {
        ui::data(&public.to_pem());
    } else if args.json {
        print_json(&public, &public.to_string(), private, checked);
    } else {
        let private = match private {
            Private::Encrypted => {
                "encrypted; the public part is as the file states it, not checked against the private part"
            }
            Private::Unencrypted => "not encrypted",
            Private::Absent => "not in this file",
        };
        ui::data(&format!(
            "public       {public}\nfingerprint  {}\nbuilder      {}\nprivate key  {private}\n",
            public.fingerprint(),
            public.default_builder()
        ));
    }
    Ok(Exit::Yes)
}

/// Reads a file with one public key line.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    Ok(public_line(path)?.0)
}

/// The same with the file's text, which may hold a comment.
pub(super) fn public_line(path: &Path) -> Result<(PublicKey, String), Failure> {
    let bytes = crate::fs::read(path, MAX_PUBLIC)?;
    let key = read_public(path, &bytes)?;
    Ok((key, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Longest file with a public key, in bytes.
const MAX_PUBLIC: u64 = 16 << 10;

fn read_public(path: &Path, bytes: &[u8]) -> Result<PublicKey, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadKey::Malformed);
    text.and_then(|text| text.parse::<PublicKey>())
        .map_err(|err| {
            let hint = match &err {
                BadKey::Private => "the public key is the file with .pub at its end",
                _ => "countersign key generate writes K and K.pub; ssh-keygen -y -f K prints the public line of a key that is there",
            };
            Failure::usage(format_args!("cannot use the key {}: {err}", path.display())).hint(hint)
        })
}

/// Says so before a passphrase is asked for; the writing itself takes no notice of this.
fn can_be_written(out: &Path) -> Result<(), Failure> {
    if out.extension().is_some_and(|extension| extension == "pub") {
        let fact = format!("--out {} names the private key; .pub is put after it for the public one", out.display());
        return Err(Failure::usage(fact).hint("leave .pub out"));
    }
    file::is_free(out).map_err(not_over)
}

fn not_over(err: FsError) -> Failure {
    match err.why {
        Why::Exists => Failure::usage(err).hint("a key is never written over; give another name"),
        _ => err.into(),
    }
}

/// One line that every reader of public keys takes, and that does nothing to a terminal.
fn check_comment(comment: &str) -> Result<(), Failure> {
    let plain = comment.len() <= 256 && comment.trim() == comment && ui::escape(comment) == comment;
    if plain && !comment.contains("PRIVATE KEY") {
        return Ok(());
    }
    let fact = format!("the comment {comment:?} is not plain text on one line, of at most 256 bytes");
    Err(Failure::usage(fact).hint("give another one: --comment C"))
}

fn write(
    key: &SigningKey,
    out: &Path,
    passphrase: Option<Passphrase>,
    comment: &str,
    json: bool,
) -> Result<Exit, Failure> {
    let text = key.to_openssh(passphrase.as_ref(), comment).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    let public = key.public();
    let line = if comment.is_empty() { public.to_string() } else { format!("{public} {comment}") };
    file::write_pair(out, &text, &format!("{line}\n")).map_err(not_over)?;
    let private = if passphrase.is_some() { Private::Encrypted } else { Private::Unencrypted };
    match json {
        true => print_json(&public, &line, private, true),
        false => ui::data(&format!("{line}\n")),
    }
    let (out, beside) = (out.display().to_string(), file::public_path(out).display().to_string());
    ui::say(&match private {
        Private::Encrypted => format!("wrote {} (private, encrypted) and {}", ui::escape(&out), ui::escape(&beside)),
        _ => format!("wrote {} (private, NOT encrypted) and {}", ui::escape(&out), ui::escape(&beside)),
    });
    Ok(Exit::Yes)
}

fn print_json(public: &PublicKey, line: &str, private: Private, checked: bool) {
    let document = Document {
        schema: "urn:countersign:schema:key:v1",
        fingerprint: public.fingerprint(),
        public: line.to_owned(),
        builder: public.default_builder(),
        private,
        checked,
    };
    ui::document(&document);
}
