//! `countersign inspect`: what a bundle says. It decides nothing; `verify` does.

use super::exit::{Exit, Failure};
use super::verify::{ReleaseDocument, SourceDocument};
use super::{policy, ui};
use crate::bundle::{Bundle, Line};
use crate::digest::{self, Blake3, OrderDigest, PayloadDigest, Sha256, TreeDigest};
use crate::envelope::Envelope;
use crate::policy::Policy;
use crate::signature::PublicKey;
use crate::statement::{
    Artifact, Control, Host, Observation, Provenance, SignerCheck, Statement, Subject, Tool, Verdict,
};
use crate::tree::Listing;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Show what a bundle says, and who signed it
///
/// Without a policy every signer is shown as it names itself: claimed, not checked. With one, signatures are checked against its keys.
/// Either way this shows and does not decide; `countersign verify` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign inspect hello.intoto.jsonl
  countersign inspect hello.intoto.jsonl --policy policy.toml --json")]
pub struct Args {
    /// The bundle
    bundle: PathBuf,
    /// Check the signatures against the keys of this policy
    #[arg(long, value_name = "P")]
    policy: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// For who gave a file of another kind.
pub(super) const NO_BUNDLE: &str = "a bundle is what `countersign attest` writes: one JSON object a line";

/// Files and artifacts of one statement that are shown to people; JSON has all.
const SHOWN: usize = 20;

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let policy = args.policy.as_deref().map(policy::load).transpose()?;
    let bytes = super::verify::read_bundle(&args.bundle)?;
    let broken = |why: &str| Failure::new(Exit::Broken, format!("{}: {why}", args.bundle.display()));
    let bundle = Bundle::parse(&bytes).map_err(|err| broken(&err.to_string()))?;
    if bundle.envelopes().next().is_none() {
        return Err(broken("it holds no envelope").hint(NO_BUNDLE));
    }
    let checked = policy.as_ref().map(Checked::new);
    let numbers = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()).map(|(at, _)| at + 1);
    let entries = numbers.zip(bundle.lines()).map(|(number, line)| Entry::of(number, line, checked.as_ref()));
    if args.json {
        let document = Document { schema: "urn:countersign:schema:inspect:v1", lines: entries.collect() };
        ui::document(&document);
    } else {
        for entry in entries {
            ui::data(&entry.text());
        }
        if policy.is_none() {
            ui::say("note: no signature was checked; --policy checks them against the keys that you trust");
        }
    }
    Ok(Exit::Yes)
}

/// A policy and its keys.
struct Checked<'p> {
    policy: &'p Policy,
    keys: Vec<PublicKey>,
    fingerprints: Vec<String>,
}

impl<'p> Checked<'p> {
    fn new(policy: &'p Policy) -> Checked<'p> {
        let keys: Vec<PublicKey> = policy.signers().iter().map(|signer| signer.key).collect();
        let fingerprints = keys.iter().map(PublicKey::fingerprint).collect();
        Checked { policy, keys, fingerprints }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    lines: Vec<Entry<'a>>,
}

/// One line of the bundle.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<PayloadDigest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signers: Vec<SignerEntry<'a>>,
    #[serde(flatten)]
    says: Says,
}

#[derive(Serialize)]
struct SignerEntry<'a> {
    keyid: &'a str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// There was no policy to check with.
    Claimed,
    /// The signature is by this key of the policy.
    OfPolicy,
    /// It names a key of the policy and is by none of them.
    Broken,
    /// By no key of the policy.
    Unknown,
}

/// What a line says.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Says {
    Provenance {
        release: ReleaseDocument,
        build_order: OrderDigest,
        source: Box<SourceDocument>,
        recipe: String,
        builder: String,
        observation: Observation,
        controls: BTreeMap<String, Control>,
        environment: Option<TreeDigest>,
        #[serde(skip_serializing_if = "Option::is_none")]
        claimed: Option<Box<ClaimedEntry>>,
        outputs: TreeDigest,
        subjects: Vec<SubjectEntry>,
    },
    Verdict {
        says: &'static str,
        build_order: OrderDigest,
        reference: PayloadDigest,
        rebuild: Option<PayloadDigest>,
        rebuilder: String,
        compared_at: String,
        reason: String,
        artifacts: Vec<Artifact>,
        supersedes: Option<PayloadDigest>,
    },
    Approval {
        manifest: PayloadDigest,
        signer: SignerCheck,
        outputs: Option<TreeDigest>,
        subjects: Vec<SubjectEntry>,
    },
    RunRecord {
        manifest: PayloadDigest,
        started_on: String,
        finished_on: String,
        tool: Tool,
        host: Host,
    },
    Other {
        predicate_type: String,
    },
    Listing {
        sha256: Sha256,
        entries: Option<usize>,
    },
    Unreadable {
        why: String,
    },
}

/// What a builder said that it saw, where another one signed.
#[derive(Serialize)]
struct ClaimedEntry {
    statement: PayloadDigest,
    builder: String,
    observation: Observation,
    controls: BTreeMap<String, Control>,
    environment: TreeDigest,
}

#[derive(Serialize)]
struct SubjectEntry {
    name: String,
    sha256: Sha256,
    blake3: Option<Blake3>,
}

impl<'a> Entry<'a> {
    fn of(line: usize, read: &'a Line<'_>, checked: Option<&'a Checked<'a>>) -> Entry<'a> {
        match read {
            Line::Envelope(envelope) => Entry {
                line,
                payload: Some(envelope.payload_digest()),
                signers: signers(envelope, checked),
                says: Says::of(envelope.unverified_payload()),
            },
            Line::Blob(blob) => {
                let sha256 = digest::sha256(blob.text.as_bytes());
                let entries = Listing::parse(&blob.text).ok().map(|listing| listing.lines.len());
                let says = Says::Listing { sha256, entries };
                Entry { line, payload: None, signers: Vec::new(), says }
            }
            Line::Other(err) => {
                Entry { line, payload: None, signers: Vec::new(), says: Says::Unreadable { why: err.to_string() } }
            }
        }
    }

    fn text(&self) -> String {
        let mut rows: Vec<(&str, String)> = Vec::new();
        let title = match &self.says {
            Says::Provenance {
                release,
                source,
                build_order,
                builder,
                observation,
                environment,
                outputs,
                claimed,
                ..
            } => {
                rows.push(("release", release.to_string()));
                rows.push(("source", format!("sha256:{}", source.listing())));
                rows.extend(source.ids().map(|(what, id)| (what, format!("{id} (the signer's word)"))));
                rows.push(("build order", format!("sha256:{build_order}")));
                rows.push(("builder", builder.clone()));
                rows.push(("observation", observation.word().into()));
                rows.extend(claimed.as_ref().map(|claimed| {
                    let (level, builder) = (claimed.observation.word(), &claimed.builder);
                    (
                        "claimed",
                        format!(
                            "{level}, by {builder}, which did not sign; environment sha256:{}",
                            claimed.environment
                        ),
                    )
                }));
                rows.extend(environment.map(|digest| ("environment", format!("sha256:{digest}"))));
                rows.push(("outputs", format!("sha256:{outputs}")));
                "provenance".to_owned()
            }
            Says::Verdict {
                says, reference, rebuild, rebuilder, compared_at, reason, supersedes, artifacts, ..
            } => {
                rows.push(("reference", format!("sha256:{reference}")));
                rows.extend(rebuild.map(|digest| ("rebuild", format!("sha256:{digest}"))));
                rows.push(("rebuilder", rebuilder.clone()));
                rows.push(("compared", compared_at.clone()));
                rows.push(("reason", reason.clone()));
                rows.extend(supersedes.map(|digest| ("supersedes", format!("sha256:{digest}"))));
                let shown = artifacts.iter().take(SHOWN);
                rows.extend(
                    shown.map(|artifact| ("artifact", format!("{} {}", artifact.verdict.word(), artifact.name))),
                );
                rows.extend(more(artifacts.len()));
                format!("verdict {says}")
            }
            Says::Approval { manifest, signer, outputs, .. } => {
                let checked = match signer {
                    SignerCheck::Checked => "its signer was checked",
                    SignerCheck::Claimed => "its signer was not checked",
                };
                rows.push(("approves", format!("sha256:{manifest} ({checked})")));
                rows.extend(outputs.map(|digest| ("outputs", format!("sha256:{digest}"))));
                "approval".into()
            }
            Says::RunRecord { manifest, started_on, finished_on, tool, host } => {
                rows.push(("of", format!("sha256:{manifest}")));
                rows.push(("time", format!("{started_on} to {finished_on}")));
                rows.push(("tool", format!("{} {}", tool.name, tool.version)));
                rows.push(("host", format!("{} {} {}", host.system, host.release, host.machine)));
                "run record".into()
            }
            Says::Other { predicate_type } => format!("a statement that is not read, {predicate_type}"),
            Says::Listing { sha256, entries: Some(entries) } => format!("listing sha256:{sha256}, {entries} entries"),
            Says::Listing { sha256, entries: None } => format!("sha256:{sha256}, called a listing, is none"),
            Says::Unreadable { why } => format!("ignored: {why}"),
        };
        let payload = self.payload.map_or(String::new(), |digest| format!(" sha256:{digest}"));
        let mut text = format!("line {}: {}{payload}\n", self.line, ui::escape(&title));
        for signer in &self.signers {
            let _ = writeln!(text, "  {:<12} {}", "signed by", ui::escape(&signer.text()));
        }
        if let Says::Provenance { subjects, .. } | Says::Approval { subjects, .. } = &self.says {
            let shown = subjects.iter().take(SHOWN);
            rows.extend(shown.map(|subject| ("file", format!("sha256:{} {}", subject.sha256, subject.name))));
            rows.extend(more(subjects.len()));
        }
        for (name, value) in rows {
            let _ = writeln!(text, "  {name:<12} {}", ui::escape(&value));
        }
        text
    }
}

fn more(len: usize) -> Option<(&'static str, String)> {
    (len > SHOWN).then(|| ("", format!("and {} more", len - SHOWN)))
}

impl SignerEntry<'_> {
    fn text(&self) -> String {
        match (self.state, self.name) {
            (State::Claimed, _) => format!("{} (claimed, not checked)", self.keyid),
            (State::OfPolicy, Some(name)) => format!("{name} ({} of the policy)", self.role.unwrap_or_default()),
            (State::Broken, Some(name)) => {
                format!("nobody of the policy: it names the key of {name}, which did not sign this")
            }
            _ => format!("nobody of the policy (it names {:?})", self.keyid),
        }
    }
}

fn signers<'a>(envelope: &'a Envelope, checked: Option<&'a Checked<'a>>) -> Vec<SignerEntry<'a>> {
    let claim = |signature: &'a crate::envelope::Signature| SignerEntry {
        keyid: &signature.keyid,
        state: State::Claimed,
        name: None,
        role: None,
    };
    let Some(checked) = checked else { return envelope.signatures().iter().map(claim).collect() };
    let found = envelope.signers(&checked.keys);
    let mut entries: Vec<SignerEntry> = found
        .iter()
        .map(|at| {
            let signer = &checked.policy.signers()[*at];
            SignerEntry {
                keyid: &checked.fingerprints[*at],
                state: State::OfPolicy,
                name: Some(&signer.name),
                role: Some(signer.role.word()),
            }
        })
        .collect();
    if entries.is_empty() {
        entries.extend(envelope.signatures().iter().map(|signature| {
            let named = checked.fingerprints.iter().position(|fingerprint| *fingerprint == signature.keyid);
            let name = named.map(|at| checked.policy.signers()[at].name.as_str());
            let state = if name.is_some() { State::Broken } else { State::Unknown };
            SignerEntry { state, name, ..claim(signature) }
        }));
    }
    entries
}

fn subjects(subjects: Vec<Subject>) -> Vec<SubjectEntry> {
    let one = |subject: Subject| SubjectEntry {
        name: subject.name.escaped(),
        sha256: subject.sha256,
        blake3: subject.blake3,
    };
    subjects.into_iter().map(one).collect()
}

impl Says {
    fn of(payload: &[u8]) -> Says {
        match Statement::decode(payload) {
            Ok(Statement::Provenance(provenance)) => Says::provenance(*provenance),
            Ok(Statement::Verdict(verdict)) => Says::verdict(*verdict),
            Ok(Statement::Approval(approval)) => Says::Approval {
                manifest: approval.manifest,
                signer: approval.signer,
                outputs: approval.outputs,
                subjects: subjects(approval.subjects),
            },
            Ok(Statement::RunRecord(record)) => Says::RunRecord {
                manifest: record.manifest,
                started_on: record.started_on.to_string(),
                finished_on: record.finished_on.to_string(),
                tool: record.tool,
                host: record.host,
            },
            Ok(Statement::Other { predicate_type }) => Says::Other { predicate_type },
            Err(err) => Says::Unreadable { why: err.to_string() },
        }
    }

    fn provenance(provenance: Provenance) -> Says {
        let build_order = provenance.order.digest();
        Says::Provenance {
            release: ReleaseDocument::of(&provenance.order.release),
            build_order,
            source: Box::new(SourceDocument::of(&provenance.order.source)),
            recipe: provenance.order.recipe,
            builder: provenance.builder,
            observation: provenance.observation,
            controls: provenance.controls,
            environment: provenance.environment,
            claimed: provenance.claimed.map(|claimed| {
                Box::new(ClaimedEntry {
                    statement: claimed.statement,
                    builder: claimed.builder,
                    observation: claimed.observation,
                    controls: claimed.controls,
                    environment: claimed.environment,
                })
            }),
            outputs: provenance.outputs,
            subjects: subjects(provenance.subjects),
        }
    }

    fn verdict(verdict: Verdict) -> Says {
        Says::Verdict {
            says: verdict.kind.word(),
            build_order: verdict.order,
            reference: verdict.reference,
            rebuild: verdict.rebuild,
            rebuilder: verdict.rebuilder,
            compared_at: verdict.compared_at.to_string(),
            reason: verdict.reason,
            artifacts: verdict.artifacts,
            supersedes: verdict.supersedes.map(|old| old.payload),
        }
    }
}
