//! Tests of `unsigned.rs`: one file that is read, and its tampered twins.

use super::*;
use crate::digest::TreeDigest;
use crate::statement::provenance::tests::sample;
use crate::statement::{Host, Log, Tool};

const VERSION: &str = "0.1.0";
const SOURCE: &str = "countersign-tree v1 source\n";

fn listing() -> String {
    let mut text = "countersign-tree v1 output\n040755 0 - out\n".to_owned();
    for (name, bytes) in [("out/a", &b"a"[..]), ("out/hello", b"hello")] {
        text += &format!("100644 {} {} {name}\n", bytes.len(), digest::sha256(bytes));
    }
    text
}

fn tree(text: &str) -> TreeDigest {
    TreeDigest::from_bytes(*digest::sha256(text.as_bytes()).as_bytes())
}

fn provenance() -> Provenance {
    let mut provenance = sample();
    let SourceCommitment::Public { listing: source, .. } = &mut provenance.order.source;
    *source = tree(SOURCE);
    provenance.outputs = tree(&listing());
    provenance
}

fn record(provenance: &Provenance) -> RunRecord {
    RunRecord {
        manifest: statement::payload_digest(&provenance.encode()),
        started_on: "2026-01-01T00:00:00Z".parse().unwrap(),
        finished_on: "2026-01-01T00:01:00Z".parse().unwrap(),
        tool: Tool { name: "countersign".into(), version: VERSION.into() },
        host: Host { system: "Linux".into(), release: "6.1".into(), machine: "x86_64".into(), processors: 2 },
        log: Log { sha256: Sha256::from_bytes([2; 32]), size: 17 },
        steps: vec![1],
    }
}

fn file(provenance: &Provenance) -> Vec<u8> {
    encode(provenance, &record(provenance), SOURCE, &listing())
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    let err = Unsigned::parse(bytes, VERSION).unwrap_err().to_string();
    assert!(err.contains(why), "{why:?} is not in {err:?}");
}

#[test]
fn read_as_it_was_written() {
    let bytes = file(&provenance());
    let back = Unsigned::parse(&bytes, VERSION).unwrap();
    assert_eq!(back.provenance, provenance());
    assert_eq!(back.payload, statement::payload_digest(&provenance().encode()));
    assert_eq!((back.source.as_str(), back.outputs), (SOURCE, listing()));
    assert_eq!(back.expected.lines().map(<[_]>::len), Some(3));
    let seen = Provenance { observation: Observation::Observed, ..provenance() };
    assert_eq!(Unsigned::parse(&file(&seen), VERSION).unwrap().provenance, seen);
}

#[test]
fn cut_off_anywhere_it_is_nothing() {
    let bytes = file(&provenance());
    for end in 0..bytes.len() {
        assert!(Unsigned::parse(&bytes[..end], VERSION).is_err(), "{end}");
    }
    refused(&bytes[..bytes.len() - 1], "four lines");
    refused(&[&bytes[..], b"\n"].concat(), "four lines");
    refused(&[&bytes[..], &bytes[..]].concat(), "four lines");
}

#[test]
fn edited_it_is_refused() {
    let good = provenance();
    let text = String::from_utf8(file(&good)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |number: usize, line: &str| {
        let mut lines: Vec<&str> = lines.clone();
        lines[number - 1] = line;
        (lines.join("\n") + "\n").into_bytes()
    };
    let payload = |bytes: &[u8]| {
        let base64 = STANDARD.encode(bytes);
        format!(r#"{{"_type":"{UNSIGNED_TYPE}","payloadType":"{PAYLOAD_TYPE}","payload":"{base64}"}}"#)
    };
    assert_eq!(with(1, &payload(&good.encode())), text.as_bytes());
    let manifest = String::from_utf8(good.encode()).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(manifest.contains(from));
        with(1, &payload(manifest.replacen(from, to, 1).as_bytes()))
    };
    refused(&edit("steps = [[\\\"make\\\"]]", "steps = [[\\\"evil\\\"]]"), "names the build order");
    refused(&edit(r#""version":"1.0""#, r#""version":"1.1""#), "names the build order");
    refused(
        &edit(&digest::sha256(b"hello").to_string(), &digest::sha256(b"other").to_string()),
        "its run record is of",
    );
    refused(&edit(r#""observation":"isolated""#, r#""observation":"perhaps""#), "unknown variant");
    refused(&edit(r#"{"_type""#, r#"{"x":1,"_type""#), "its run record is of");
    refused(&with(1, lines[1]), "line 1: it is not the statement of a build");
    refused(&with(2, lines[0]), "line 2: it is not a run record");
    refused(&with(2, lines[2]), "line 2: it is no unsigned payload");
    refused(&with(3, lines[3]), "source listing");
    refused(&with(4, lines[2]), "output listing");
    refused(&with(4, &lines[3].replace("100644 5", "100755 5")), "output listing");
    refused(&with(4, &lines[3].replace("\"text\"", "\"texts\"")), "no listing");
    refused(&with(1, &lines[0].replace("unsigned:v1", "unsigned:v2")), "no unsigned payload");
    refused(&with(1, &lines[0].replace("\"payload\"", "\"signatures\":[],\"payload\"")), "no unsigned payload");
    refused(&with(1, &lines[0].replace("\"payload\":\"", "\"payload\":\"!")), "not base64");
    refused(&with(1, &lines[0].replace("{\"_type", "{ \"_type")), "in the form");
    refused(&with(4, &lines[3].replace("{\"_type", "{\"x\":1,\"_type")), "in the form");
    // Everything made to fit again, but what nobody could have observed.
    let record = |tool: Tool| RunRecord { tool, ..record(&good) };
    for (name, version) in [("countersign", "0.0.9"), ("countersigner", VERSION)] {
        let tool = Tool { name: name.into(), version: version.into() };
        refused(&encode(&good, &record(tool), SOURCE, &listing()), "this is countersign 0.1.0");
    }
    let none = Provenance {
        observation: Observation::NotObserved,
        environment: None,
        variables: Default::default(),
        ..provenance()
    };
    refused(&file(&none), "not observed");
    let mut other = provenance();
    other.subjects.pop();
    refused(&file(&other), "disagree about out/hello");
    let mut no_listing = provenance();
    no_listing.outputs = tree(SOURCE);
    refused(&encode(&no_listing, &self::record(&no_listing), SOURCE, SOURCE), "another kind");
}
