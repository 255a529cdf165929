//! Provenance, run record and two listings, parted by NUL, as an unsigned statement in which all digests are right: it is refused only for what
//! it says. What comes fifth says where, and how, that file is changed: place in two bytes, how many bytes go, and what stands there instead.
#![no_main]

use countersign::digest::{TreeDigest, sha256};
use countersign::statement::{SourceCommitment, Statement, payload_digest};
use countersign::unsigned::{Unsigned, UnsignedError, encode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let parts: Vec<&[u8]> = data.splitn(5, |byte| *byte == 0).collect();
    let ([provenance, record, source, outputs], change) = match parts[..] {
        [a, b, c, d] => ([a, b, c, d], None),
        [a, b, c, d, change] => ([a, b, c, d], Some(change)),
        _ => return,
    };
    let (Ok(source), Ok(outputs)) = (std::str::from_utf8(source), std::str::from_utf8(outputs)) else { return };
    let (Ok(Statement::Provenance(mut provenance)), Ok(Statement::RunRecord(mut record))) =
        (Statement::decode(provenance), Statement::decode(record))
    else {
        return;
    };
    let digest = |text: &str| TreeDigest::from_bytes(*sha256(text.as_bytes()).as_bytes());
    let SourceCommitment::Public { listing, .. } = &mut provenance.order.source;
    (*listing, provenance.outputs) = (digest(source), digest(outputs));
    record.manifest = payload_digest(&provenance.encode());
    let file = encode(&provenance, &record, source, outputs);
    if let Some(&[high, low, gone, ref new @ ..]) = change {
        let at = usize::from(u16::from_be_bytes([high, low])).min(file.len());
        let changed = [&file[..at], new, &file[(at + usize::from(gone)).min(file.len())..]].concat();
        if let Ok(read) = Unsigned::parse(&changed, &record.tool.version) {
            assert_eq!(payload_digest(&read.provenance.encode()), read.payload);
        }
        return;
    }
    match Unsigned::parse(&file, &record.tool.version) {
        Ok(read) => {
            assert_eq!((read.provenance, read.source, read.outputs), (*provenance, source.into(), outputs.into()))
        }
        Err(UnsignedError::Line(3 | 4, _) | UnsignedError::Inconsistent(_) | UnsignedError::NotObserved) => {}
        Err(UnsignedError::Version(name, ..)) => assert_ne!(name, "countersign"),
        Err(err) => panic!("{err}"),
    }
});
