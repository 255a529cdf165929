//! Statements on their way to be signed on another machine (docs/spec.md §5.1). Pure.
//!
//! What `build` observed, and what travels with it: the payload that says so, the run record, and the listings of source and outputs, a line
//! each. Nothing is signed, so nothing of it is believed: whoever signs hashes the outputs again, and says that it did not see the build. The
//! file has one form. What was cut off, written by hand, or does not fit together is refused, and so is another version's: what is signed
//! should be what this version writes.

use crate::bundle::Blob;
use crate::digest::{self, PayloadDigest, Sha256};
use crate::envelope::{MAX_LINE, MAX_PAYLOAD, PAYLOAD_TYPE};
use crate::json;
use crate::rebuild::{Expected, Inconsistent, Reference};
use crate::statement::{self, Observation, Provenance, RunRecord, SourceCommitment, Statement, StatementError};
use crate::tree::{Listing, TreeKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The `_type` of a payload without signature.
pub const UNSIGNED_TYPE: &str = "urn:countersign:unsigned:v1";

/// What was observed, and what goes with it.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// The statement.
    pub provenance: Provenance,
    /// Its payload digest.
    pub payload: PayloadDigest,
    /// The listing of the source.
    pub source: String,
    /// The listing of the outputs.
    pub outputs: String,
    /// The same for comparing with what is at hand.
    pub expected: Expected,
}

/// A file that is not what `build` writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsignedError {
    /// Cut off, or something else altogether.
    #[error("it has not the four lines of an unsigned statement")]
    Lines,
    /// A line that is not what belongs there.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// A statement that cannot be read, or does not fit itself.
    #[error("line {0}: {1}")]
    Statement(usize, StatementError),
    /// Nobody observed it.
    #[error("it says that the build was not observed")]
    NotObserved,
    /// The run record is of another build.
    #[error("its run record is of sha256:{0}, and not of its statement sha256:{1}")]
    OtherRecord(PayloadDigest, PayloadDigest),
    /// A listing with another digest than the statement has.
    #[error("its {0} listing is not the one that its statement names")]
    OtherListing(&'static str),
    /// A listing that is none, or not of the files that the statement is about.
    #[error("{0}")]
    Inconsistent(#[from] Inconsistent),
    /// Of another program, or another version.
    #[error("it was written by {0} {1}, and this is countersign {2}")]
    Version(String, String, String),
    /// The same said in another way.
    #[error("it is not in the form in which it was written: somebody changed it")]
    Form,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    payload_type: String,
    payload: String,
}

/// The file's bytes.
pub fn encode(provenance: &Provenance, record: &RunRecord, source: &str, outputs: &str) -> Vec<u8> {
    let payload = |bytes: Vec<u8>| {
        json::print(&Wire {
            kind: UNSIGNED_TYPE.into(),
            payload_type: PAYLOAD_TYPE.into(),
            payload: STANDARD.encode(bytes),
        })
    };
    let lines = [
        payload(provenance.encode()),
        payload(record.encode()),
        Blob::listing(source).to_line(),
        Blob::listing(outputs).to_line(),
    ];
    lines.into_iter().flat_map(|line| line.into_iter().chain([b'\n'])).collect()
}

impl Unsigned {
    /// Reads a file that this `version` wrote.
    pub fn parse(bytes: &[u8], version: &str) -> Result<Unsigned, UnsignedError> {
        let body = bytes.strip_suffix(b"\n").ok_or(UnsignedError::Lines)?;
        let lines: Vec<&[u8]> = body.split(|b| *b == b'\n').take(5).collect();
        let [first, second, third, fourth] = lines[..] else { return Err(UnsignedError::Lines) };
        let manifest = payload_of(1, first)?;
        let provenance = match Statement::decode(&manifest) {
            Ok(Statement::Provenance(provenance)) => *provenance,
            Ok(_) => return Err(UnsignedError::Line(1, "it is not the statement of a build".into())),
            Err(err) => return Err(UnsignedError::Statement(1, err)),
        };
        let payload = statement::payload_digest(&manifest);
        let record = match Statement::decode(&payload_of(2, second)?) {
            Ok(Statement::RunRecord(record)) => *record,
            Ok(_) => return Err(UnsignedError::Line(2, "it is not a run record".into())),
            Err(err) => return Err(UnsignedError::Statement(2, err)),
        };
        if provenance.observation == Observation::NotObserved {
            return Err(UnsignedError::NotObserved);
        }
        if record.manifest != payload {
            return Err(UnsignedError::OtherRecord(record.manifest, payload));
        }
        if (record.tool.name.as_str(), record.tool.version.as_str()) != ("countersign", version) {
            let tool = record.tool;
            return Err(UnsignedError::Version(tool.name, tool.version, version.to_owned()));
        }
        let SourceCommitment::Public { listing, .. } = provenance.order.source;
        let source = listing_of(3, third, "source", TreeKind::Source, *listing.as_bytes())?;
        let outputs = listing_of(4, fourth, "output", TreeKind::Output, *provenance.outputs.as_bytes())?;
        let (_, expected) = Reference::split(payload, provenance.clone(), Some(&outputs))?;
        // Whatever else could be added or said twice: there is one file for what was read.
        if encode(&provenance, &record, &source, &outputs) != bytes {
            return Err(UnsignedError::Form);
        }
        Ok(Unsigned { provenance, payload, source, outputs, expected })
    }
}

fn payload_of(number: usize, line: &[u8]) -> Result<Vec<u8>, UnsignedError> {
    let bad = |why: String| UnsignedError::Line(number, why);
    let wire: Wire = json::Document::check(line, MAX_LINE)
        .and_then(|document| document.read())
        .map_err(|err| bad(format!("it is no unsigned payload: {err}")))?;
    if wire.kind != UNSIGNED_TYPE || wire.payload_type != PAYLOAD_TYPE {
        return Err(bad("it is no unsigned payload".into()));
    }
    let payload = STANDARD.decode(&wire.payload).map_err(|_| bad("its payload is not base64".into()))?;
    match payload.len() {
        0..=MAX_PAYLOAD => Ok(payload),
        _ => Err(bad(format!("its payload is longer than {MAX_PAYLOAD} bytes"))),
    }
}

fn listing_of(
    number: usize,
    line: &[u8],
    what: &'static str,
    kind: TreeKind,
    named: [u8; 32],
) -> Result<String, UnsignedError> {
    let bad = |why: String| UnsignedError::Line(number, why);
    let document = json::Document::check(line, MAX_LINE).map_err(|err| bad(err.to_string()))?;
    let blob: Blob = document.read().map_err(|err| bad(format!("it is no listing: {err}")))?;
    if digest::sha256(blob.text.as_bytes()) != Sha256::from_bytes(named) {
        return Err(UnsignedError::OtherListing(what));
    }
    match Listing::parse(&blob.text) {
        Ok(listing) if listing.kind == kind => Ok(blob.text.into_owned()),
        Ok(_) => Err(bad("it is a listing of another kind".into())),
        Err(err) => Err(bad(err.to_string())),
    }
}

#[cfg(test)]
mod tests;
