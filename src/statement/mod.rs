//! Statements: in-toto Statement v1 in, in-toto Statement v1 out (docs/spec.md §6). Pure.
//!
//! [`Statement::decode`] takes the payload of an envelope. Whoever calls it decides whether a signature over those very bytes was checked
//! before; nothing here says that a statement is true. What is read is strict where a second reading could mean something else: names,
//! digests, the parameters of a build, the build order. Fields that other tools add are passed over, but never in
//! `externalParameters`, where ignoring one would be answering another question than was asked.

pub mod approval;
pub mod order;
pub mod provenance;
pub mod run_record;
pub mod verdict;

pub use crate::lock::Kind as EnvironmentKind;
pub use approval::Approval;
pub use order::{BuildOrder, Release, SWHID, SourceCommitment, SourceIds, Word};
pub use provenance::{CONTROLS, Claimed, Control, Observation, Provenance};
pub use run_record::{Host, Log, RunRecord, Tool};
pub use verdict::{Artifact, ArtifactVerdict, SignerCheck, Supersedes, Verdict, VerdictKind};

use crate::digest::{self, Blake3, Content, OrderDigest, PayloadDigest, Sha256};
use crate::envelope::MAX_PAYLOAD;
use crate::json::{self, JsonError};
use crate::path::{PathRefused, TreePath};
use crate::recipe::RecipeError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// SLSA provenance v1.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// The `buildType` of our provenance: a recipe run as docs/spec.md §4 says.
pub const BUILD_TYPE: &str = "urn:countersign:buildtype:recipe:v1";
/// What was volatile about a run.
pub const RUN_RECORD: &str = "urn:countersign:predicate:run-record:v1";
/// A verdict: identical.
pub const REPRODUCED: &str = "urn:countersign:predicate:reproduced:v1";
/// A verdict: equal in a weaker sense.
pub const EQUIVALENT: &str = "urn:countersign:predicate:equivalent:v1";
/// A verdict: source, recipe and environment are equal, the outputs are not.
pub const NOT_REPRODUCED: &str = "urn:countersign:predicate:not-reproduced:v1";
/// A verdict: nothing can be said.
pub const INCONCLUSIVE: &str = "urn:countersign:predicate:inconclusive:v1";
/// Somebody else than the builder read the outputs and approves the manifest.
pub const APPROVAL: &str = "urn:countersign:predicate:approval:v1";

/// Most subjects of one statement.
pub const MAX_SUBJECTS: usize = 65_536;
/// Most digests of one subject.
pub const MAX_DIGESTS: usize = 16;

/// What a payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Somebody built something.
    Provenance(Box<Provenance>),
    /// What was volatile about that.
    RunRecord(Box<RunRecord>),
    /// Somebody compared.
    Verdict(Box<Verdict>),
    /// Somebody approves what somebody else signed.
    Approval(Box<Approval>),
    /// A statement of a type, or provenance of a build type, that this version does not read. It counts for nothing.
    Other {
        /// Its predicate type.
        predicate_type: String,
    },
}

/// A payload that is not a statement of ours, although it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not the JSON of such a statement.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// Another `_type`.
    #[error("its _type is {0:?}, not {STATEMENT_TYPE:?}")]
    Type(String),
    /// Subjects: none, or too many.
    #[error("it has {0} subjects; 1 to {MAX_SUBJECTS} are read")]
    Subjects(usize),
    /// A subject whose name is not the path of an output.
    #[error("the subject {0:?} is not an output's path: {1}")]
    Name(String, PathRefused),
    /// Two subjects that are, or may become, one file.
    #[error("subjects: {0}")]
    Names(String),
    /// A digest set that cannot be used.
    #[error("{0}: {1}")]
    Digest(String, String),
    /// A dependency or byproduct that must be there once.
    #[error("it has {1} entries {0:?}; {2} needed")]
    Count(&'static str, usize, &'static str),
    /// An entry that is not what its name says.
    #[error("the entry {0:?}: {1}")]
    Entry(&'static str, String),
    /// The statement names another build order than it describes.
    #[error("it names the build order {stated}, but what it describes has {computed}")]
    Order {
        /// What it says.
        stated: OrderDigest,
        /// What docs/spec.md §6.2 gives.
        computed: OrderDigest,
    },
    /// The recipe cannot be read.
    #[error("its recipe: {0}")]
    Recipe(#[from] RecipeError),
    /// The release or the lock is not the recipe's.
    #[error("{0} is not what its recipe says: {1}")]
    NotTheRecipe(&'static str, String),
    /// A field with a value that has no meaning.
    #[error("{0}: {1:?} is not {2}")]
    Value(&'static str, String, &'static str),
}

impl Statement {
    /// Reads a payload. The caller has verified the signature over these bytes, or shows the result as a mere claim.
    pub fn decode(payload: &[u8]) -> Result<Statement, StatementError> {
        let payload = json::Document::check(payload, MAX_PAYLOAD)?;
        let head: Head = payload.read()?;
        if head.kind != STATEMENT_TYPE {
            return Err(StatementError::Type(head.kind));
        }
        if let Some(kind) = VerdictKind::of_predicate(&head.predicate_type) {
            return Ok(Statement::Verdict(Box::new(verdict::decode(kind, payload)?)));
        }
        match head.predicate_type.as_str() {
            PROVENANCE => match provenance::decode(payload)? {
                Some(provenance) => Ok(Statement::Provenance(Box::new(provenance))),
                None => Ok(Statement::Other { predicate_type: head.predicate_type }),
            },
            APPROVAL => Ok(Statement::Approval(Box::new(approval::decode(payload)?))),
            RUN_RECORD => Ok(Statement::RunRecord(Box::new(run_record::decode(payload)?))),
            _ => Ok(Statement::Other { predicate_type: head.predicate_type }),
        }
    }
}

impl Statement {
    /// How many subjects it has, where that is known.
    pub fn subjects(&self) -> usize {
        match self {
            Statement::Provenance(provenance) => provenance.subjects.len(),
            Statement::Verdict(verdict) => verdict.subjects.len(),
            Statement::Approval(approval) => approval.subjects.len(),
            Statement::RunRecord(_) => 1,
            Statement::Other { .. } => 0,
        }
    }
}

/// An output that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its path relative to the build directory.
    pub name: TreePath,
    /// Always there.
    pub sha256: Sha256,
    /// There in all that we write.
    pub blake3: Option<Blake3>,
}

impl Subject {
    /// Whether a file is this subject: every digest that the subject has is the file's. A digest that the subject has and that was not
    /// computed for the file does not agree.
    pub fn agrees(&self, content: &Content) -> bool {
        self.sha256 == content.sha256 && self.blake3.is_none_or(|blake3| content.blake3 == Some(blake3))
    }

    fn to_wire(&self) -> WireSubject {
        WireSubject { name: self.name.escaped(), digest: digests(self.sha256, self.blake3) }
    }
}

/// A time as RFC 3339 in one form, `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(String);

impl Time {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Time {
    type Err = StatementError;

    fn from_str(text: &str) -> Result<Time, StatementError> {
        let shape = text.len() == 20
            && text.bytes().zip(b"0000-00-00T00:00:00Z").all(|(is, want)| match want {
                b'0' => is.is_ascii_digit(),
                want => is == *want,
            });
        let number = |at: usize| text.get(at..at + 2).and_then(|n| n.parse::<u8>().ok()).unwrap_or(u8::MAX);
        if shape
            && (1..=12).contains(&number(5))
            && (1..=31).contains(&number(8))
            && number(11) < 24
            && number(14) < 60
            && number(17) <= 60
        {
            Ok(Time(text.to_owned()))
        } else {
            Err(StatementError::Value("time", text.to_owned(), "YYYY-MM-DDTHH:MM:SSZ"))
        }
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    predicate_type: String,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
struct WireSubject {
    name: String,
    digest: Digests,
}

/// A digest set: name of the algorithm to hex.
type Digests = BTreeMap<String, String>;

/// `{"sha256":"…"}` where nothing else has a meaning.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Only<D> {
    sha256: D,
}

/// `{"payload":{"sha256":"…"}}`.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Payload {
    payload: Only<PayloadDigest>,
}

impl Payload {
    fn of(digest: PayloadDigest) -> Payload {
        Payload { payload: Only { sha256: digest } }
    }
}

fn encode<P: Serialize>(predicate_type: &str, subjects: Vec<WireSubject>, predicate: P) -> Vec<u8> {
    json::print(&Wire {
        kind: STATEMENT_TYPE.into(),
        subject: subjects,
        predicate_type: predicate_type.into(),
        predicate,
    })
}

fn decode<P: DeserializeOwned>(payload: json::Document<'_>) -> Result<(Vec<WireSubject>, P), StatementError> {
    let wire: Wire<P> = payload.read()?;
    if wire.subject.is_empty() || wire.subject.len() > MAX_SUBJECTS {
        return Err(StatementError::Subjects(wire.subject.len()));
    }
    Ok((wire.subject, wire.predicate))
}

fn subjects(wire: Vec<WireSubject>) -> Result<Vec<Subject>, StatementError> {
    let read = |wire: WireSubject| {
        let name = TreePath::from_escaped(&wire.name).map_err(|why| StatementError::Name(wire.name.clone(), why))?;
        let (sha256, blake3) = read_digests(&wire.name, &wire.digest)?;
        Ok(Subject { name, sha256, blake3 })
    };
    let subjects = wire.into_iter().map(read).collect::<Result<Vec<Subject>, StatementError>>()?;
    let mut seen = HashSet::new();
    if let Some(twice) = subjects.iter().find(|subject| !seen.insert(&subject.name)) {
        return Err(StatementError::Names(format!("{} is there twice", twice.name)));
    }
    Ok(subjects)
}

fn digests(sha256: Sha256, blake3: Option<Blake3>) -> Digests {
    let blake3 = blake3.map(|blake3| ("blake3".to_owned(), blake3.to_string()));
    [("sha256".to_owned(), sha256.to_string())].into_iter().chain(blake3).collect()
}

/// The digests that have a meaning for a file. Names that have none are passed over, but they cannot replace `sha256`.
fn read_digests(what: &str, set: &Digests) -> Result<(Sha256, Option<Blake3>), StatementError> {
    let bad = |why: String| StatementError::Digest(what.to_owned(), why);
    if set.len() > MAX_DIGESTS {
        return Err(bad(format!("{} digests; at most {MAX_DIGESTS} are read", set.len())));
    }
    let sha256 = set.get("sha256").ok_or_else(|| bad("no sha256 among its digests".into()))?;
    let sha256 = Sha256::from_any_case(sha256).map_err(|err| bad(err.to_string()))?;
    let blake3 = set.get("blake3").map(|hex| Blake3::from_any_case(hex)).transpose();
    Ok((sha256, blake3.map_err(|err| bad(err.to_string()))?))
}

/// `sha256:<hex>`.
fn prefixed(digest: &PayloadDigest) -> String {
    format!("sha256:{digest}")
}

/// SHA-256 of a payload: the identity of the statement in it.
pub fn payload_digest(payload: &[u8]) -> PayloadDigest {
    PayloadDigest::from_bytes(*digest::sha256(payload).as_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `decode` says of `payload` with the first `from` in it replaced.
    pub(crate) fn tampered(payload: &[u8], from: &str, to: &str) -> Result<Statement, StatementError> {
        let text = std::str::from_utf8(payload).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        Statement::decode(text.replacen(from, to, 1).as_bytes())
    }

    #[test]
    fn times_have_one_form() {
        assert!("2026-01-31T23:59:60Z".parse::<Time>().is_ok());
        for text in
            ["", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z"]
        {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        assert!("2026-01-01t00:00:00z".parse::<Time>().is_err());
        assert!("2026-01-01T00:00:0é".parse::<Time>().is_err());
    }

    #[test]
    fn other_types_are_named_and_nothing_else() {
        let other = |text: &str| Statement::decode(text.as_bytes());
        let text =
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://x/y","predicate":7}"#;
        assert_eq!(other(text), Ok(Statement::Other { predicate_type: "https://x/y".into() }));
        for (from, to) in [("Statement/v1", "Statement/v2"), ("Statement/v1", "Statement/v0.1")] {
            assert!(matches!(other(&text.replace(from, to)), Err(StatementError::Type(_))));
        }
        assert!(matches!(other(&text.replace("_type", "_Type")), Err(StatementError::Json(_))));
        assert!(matches!(other("{}"), Err(StatementError::Json(_))));
        let foreign = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://x/z"}}}"#;
        assert_eq!(other(foreign), Ok(Statement::Other { predicate_type: PROVENANCE.into() }));
        assert!(matches!(other(&foreign.replace("https://x/z", BUILD_TYPE)), Err(StatementError::Json(_))));
        assert!(matches!(other(&foreign.replace("\"https://x/z\"", "7")), Err(StatementError::Json(_))));
    }
}
