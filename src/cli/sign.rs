//! `countersign sign`: sign what was built on another machine, with its outputs at hand.

use super::exit::{Exit, Failure};
use super::passphrase::{self, PassphraseArgs};
use super::verify::ReleaseDocument;
use super::{places, rehash, ui};
use crate::bundle::{self, Blob, MAX_BUNDLE};
use crate::fs::{self, Existing, FsError, Why};
use crate::recipe::MAX_RECIPE;
use crate::statement;
use crate::unsigned::{Unsigned, UnsignedError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Sign what `build` observed on another machine
///
/// F is what `build --statement` wrote. The outputs are hashed again, and nothing is signed where one of them differs. Who signs here did not
/// see the build, and the signed statement says so: `not-observed`, with what the builder observed as a claim. Policies refuse that unless
/// they name `not-observed` under `observation`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The outputs are hashed again. Who signs here did not see the build: the statement says `not-observed`, with what the builder observed as a
claim, and policies refuse it unless their `observation` names that level.

Exit codes:
  0  signed
  1  the outputs are not those of the statement, or the recipe is another
  2  the command line is wrong
  4  F is not what `build --statement` writes: cut off, changed by hand
  7  a file could not be read, or F was written by another version

Examples:
  countersign build --out hello-1.0 --statement hello.unsigned       # on the machine that builds
  countersign sign hello.unsigned --key vendor --outputs hello-1.0 --bundle hello.intoto.jsonl")]
pub struct Args {
    /// The unsigned statement
    #[arg(value_name = "F")]
    statement: PathBuf,
    /// The private key, as `countersign key generate` or ssh-keygen writes it
    #[arg(long, value_name = "K")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The directory with the outputs, all of them and nothing else
    #[arg(long, value_name = "DIR")]
    outputs: PathBuf,
    /// Write the bundle there (NAME.intoto.jsonl)
    #[arg(long, value_name = "B")]
    bundle: PathBuf,
    /// Sign only a build by this recipe, which is compared byte by byte
    #[arg(long, value_name = "R")]
    recipe: Option<PathBuf>,
    /// Builder id of the signed statement [default: `urn:countersign:builder:` and the fingerprint of the key]
    #[arg(long, value_name = "ID")]
    builder_id: Option<String>,
    /// Replace a bundle that is there
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    places::bundle(&args.bundle, args.force)?;
    for (what, path) in [("bundle", &args.bundle), ("key", &args.key), ("statement", &args.statement)] {
        rehash::not_in_outputs(what, path, &args.outputs)?;
    }
    let unsigned = read(&args.statement)?;
    if let Some(recipe) = &args.recipe {
        let bytes = fs::read(recipe, MAX_RECIPE)?;
        if bytes != unsigned.provenance.order.recipe.as_bytes() {
            let fact = format!("{} was built by another recipe than {}", args.statement.display(), recipe.display());
            return Err(Failure::new(Exit::Differs, fact));
        }
    }
    let key = passphrase::load_key(&args.key, &args.passphrase)?;
    rehash::directory(&args.outputs, &unsigned.expected)?;
    let builder = args.builder_id.clone().unwrap_or_else(|| key.public().default_builder());
    if builder.is_empty() {
        return Err(Failure::usage("--builder-id is empty"));
    }
    let Some(signed) = unsigned.provenance.signed_elsewhere(unsigned.payload, builder) else {
        // Reading it has made sure that there was a build.
        return Err(Failure::new(Exit::Internal, "what was not observed cannot be signed elsewhere"));
    };
    let encoded = signed.encode();
    let payload = statement::payload_digest(&encoded);
    let lines = [
        key.sign_envelope(encoded).to_line(),
        Blob::listing(&unsigned.source).to_line(),
        Blob::listing(&unsigned.outputs).to_line(),
    ];
    let bytes = bundle::append(b"", &lines).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    fs::write(&args.bundle, &bytes, 0o644, existing)?;
    let claimed = unsigned.provenance.observation;
    if args.json {
        ui::document(&json!({
            "schema": "urn:countersign:schema:sign:v1",
            "bundle": args.bundle.to_string_lossy(),
            "payload": { "sha256": payload },
            "statement": { "sha256": unsigned.payload },
            "signer": key.public().fingerprint(),
            "release": ReleaseDocument::of(&signed.order.release),
            "buildOrder": { "sha256": signed.order.digest() },
            "observation": signed.observation,
            "claimed": claimed,
            "builder": signed.builder,
            "outputs": { "sha256": signed.outputs },
            "files": signed.subjects.len(),
        }));
    } else {
        ui::data(&format!("sha256:{payload}\n"));
    }
    let (count, shown) = (ui::count(signed.subjects.len(), "file"), args.bundle.display().to_string());
    ui::say(&format!("signed {}: {count} in {}", signed.order.release, ui::escape(&shown)));
    let (level, claim) = (signed.observation.word(), claimed.word());
    ui::say(&format!(
        "note: the build was not seen here; the statement says `{level}` (claimed: `{claim}`), which policies refuse unless they say otherwise"
    ));
    Ok(Exit::Yes)
}

fn read(path: &Path) -> Result<Unsigned, Failure> {
    let bytes = fs::read(path, MAX_BUNDLE).map_err(|err| match err {
        FsError { why: Why::TooLong(_), .. } => Failure::new(Exit::Broken, err),
        err => err.into(),
    })?;
    Unsigned::parse(&bytes, env!("CARGO_PKG_VERSION")).map_err(|err| {
        let fact = format!("{}: {err}", path.display());
        match err {
            UnsignedError::Version(..) => Failure::new(Exit::CouldNotTell, fact)
                .hint("sign with that version, or build again with this one: `countersign build --statement`"),
            _ => Failure::new(Exit::Broken, fact)
                .hint("`countersign build --statement` writes such a file; it is not changed on the way"),
        }
    })
}
