//! One bundle from several (docs/spec.md §5.2). Pure; nothing is verified here.
//!
//! Rebuilders add to copies of one bundle, each to their own. Merging is the union of the lines: all of the first file in its order, then of each
//! further one what is not there yet, in its order. No line is left out but a second one that is the same to the byte, so that nobody's dissent
//! is lost here, and what is no line of a bundle is kept too: a verifier passes over it. Bundles that are not about the same manifest are refused,
//! because their union would be about neither.

use crate::bundle::{Bundle, BundleError, Line, MAX_BUNDLE, MAX_LINES};
use crate::digest::PayloadDigest;
use crate::envelope::Envelope;
use crate::statement::Statement;
use std::collections::{BTreeSet, HashSet};

/// The union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The bundle.
    pub bytes: Vec<u8>,
    /// Its lines.
    pub lines: usize,
    /// What came from each.
    pub from: Vec<Part>,
    /// The manifests that all have.
    pub manifests: BTreeSet<PayloadDigest>,
}

/// What one bundle brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Lines that it has.
    pub lines: usize,
    /// Of them, those that none before it had.
    pub new: usize,
    /// Lines that are neither envelopes nor listings, by number, and why. They are kept.
    pub strange: Vec<(usize, String)>,
}

/// Which statements must be the same in all bundles.
pub enum Manifests<'a> {
    /// Any provenance: one of them at least is in all. Nobody's signature is looked at.
    Claimed,
    /// Provenance of these envelopes, which are a vendor's: all have the same.
    Of(&'a dyn Fn(&Envelope) -> bool),
}

/// Bundles that cannot be merged, by their places in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    /// One is over a limit.
    Bundle(usize, BundleError),
    /// One holds no manifest.
    NoManifest(usize),
    /// Two are not about the same manifest.
    OtherManifest(usize, usize),
    /// The union is over a limit.
    TooMuch(BundleError),
}

/// Makes one bundle of several.
pub fn merge(bundles: &[&[u8]], manifests: &Manifests<'_>) -> Result<Merged, MergeError> {
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut merged = Merged { bytes: Vec::new(), lines: 0, from: Vec::new(), manifests: BTreeSet::new() };
    for (at, bytes) in bundles.iter().enumerate() {
        let bundle = Bundle::parse(bytes).map_err(|err| MergeError::Bundle(at, err))?;
        let own = manifests_of(&bundle, manifests);
        if own.is_empty() {
            return Err(MergeError::NoManifest(at));
        }
        match (at, manifests) {
            (0, _) => merged.manifests = own,
            (_, Manifests::Claimed) => merged.manifests.retain(|payload| own.contains(payload)),
            (_, Manifests::Of(_)) if own == merged.manifests => {}
            (_, Manifests::Of(_)) => return Err(MergeError::OtherManifest(0, at)),
        }
        if merged.manifests.is_empty() {
            return Err(MergeError::OtherManifest(0, at));
        }
        let mut part = Part { lines: 0, new: 0, strange: Vec::new() };
        let numbered = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, raw)| !raw.is_empty());
        for ((number, raw), line) in numbered.zip(bundle.lines()) {
            part.lines += 1;
            if let Line::Other(why) = line {
                part.strange.push((number + 1, why.to_string()));
            }
            if seen.insert(raw) {
                part.new += 1;
                merged.bytes.extend_from_slice(raw);
                merged.bytes.push(b'\n');
                if merged.bytes.len() as u64 > MAX_BUNDLE {
                    return Err(MergeError::TooMuch(BundleError::TooLong));
                }
            }
        }
        merged.lines += part.new;
        if merged.lines > MAX_LINES {
            return Err(MergeError::TooMuch(BundleError::TooManyLines));
        }
        merged.from.push(part);
    }
    Ok(merged)
}

fn manifests_of(bundle: &Bundle<'_>, which: &Manifests<'_>) -> BTreeSet<PayloadDigest> {
    let counts = |envelope: &&Envelope| match which {
        Manifests::Claimed => true,
        Manifests::Of(vendor) => vendor(envelope),
    };
    let provenance =
        |envelope: &&Envelope| matches!(Statement::decode(envelope.unverified_payload()), Ok(Statement::Provenance(_)));
    bundle.envelopes().filter(provenance).filter(counts).map(Envelope::payload_digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::PublicKey;
    use crate::statement::Provenance;
    use crate::statement::provenance::tests::sample;
    use ed25519_dalek::{Signer as _, SigningKey};

    fn public(seed: u8) -> PublicKey {
        PublicKey::from_bytes(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()).unwrap()
    }

    fn built(seed: u8) -> Vec<u8> {
        let provenance = Provenance { builder: public(seed).default_builder(), ..sample() };
        let secret = SigningKey::from_bytes(&[seed; 32]);
        Envelope::sign(provenance.encode(), &public(seed), |message| secret.sign(message).to_bytes()).to_line()
    }

    fn bundle(lines: &[&[u8]]) -> Vec<u8> {
        lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
    }

    fn union(bundles: &[&[u8]]) -> Vec<u8> {
        merge(bundles, &Manifests::Claimed).unwrap().bytes
    }

    #[test]
    fn the_first_in_its_order_and_then_what_is_new() {
        let (vendor, one, two) = (built(1), built(2), built(3));
        let (a, b) = (bundle(&[&vendor, &one]), bundle(&[&two, b"", b"nonsense", &vendor]));
        let b = &b[..b.len() - 1];
        let merged = merge(&[&a, b], &Manifests::Claimed).unwrap();
        assert_eq!(merged.bytes, bundle(&[&vendor, &one, &two, b"nonsense"]));
        assert_eq!((merged.lines, merged.manifests.len()), (4, 1));
        assert_eq!((merged.from[1].lines, merged.from[1].new), (3, 2));
        assert_eq!(merged.from[1].strange.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3]);
        // Again, and with the parts again, nothing is added; the other way round the same lines.
        let bytes = merged.bytes;
        assert_eq!(union(&[&bytes, &a, b, &bytes]), bytes);
        assert_eq!(union(&[&bytes]), bytes);
        let lines = |bytes: &[u8]| bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        assert_eq!(lines(&union(&[b, &a])), lines(&bytes));
        assert_eq!(union(&[&bundle(&[&vendor, &vendor]), &a]), bundle(&[&vendor, &one]), "once is enough");
    }

    #[test]
    fn what_is_not_about_the_same_manifest() {
        let (vendor, other, one) = (built(1), built(7), built(2));
        let (a, b, none) = (bundle(&[&vendor, &one]), bundle(&[&other]), bundle(&[b"{}"]));
        assert_eq!(merge(&[&a, &a, &b], &Manifests::Claimed), Err(MergeError::OtherManifest(0, 2)));
        assert_eq!(merge(&[&a, &none], &Manifests::Claimed), Err(MergeError::NoManifest(1)));
        // A rebuild that two have in common is no manifest, for who knows the vendor.
        let with = bundle(&[&other, &one]);
        assert!(merge(&[&a, &with], &Manifests::Claimed).is_ok());
        let (keys, two) = ([public(1), public(7)], [public(1)]);
        let of = |envelope: &Envelope| !envelope.signers(&keys).is_empty();
        assert_eq!(merge(&[&a, &with], &Manifests::Of(&of)), Err(MergeError::OtherManifest(0, 1)));
        let of = |envelope: &Envelope| !envelope.signers(&two).is_empty();
        assert_eq!(merge(&[&a, &with], &Manifests::Of(&of)), Err(MergeError::NoManifest(1)));
        assert!(merge(&[&a, &bundle(&[&vendor])], &Manifests::Of(&of)).is_ok());
    }

    #[test]
    fn limits_hold_for_each_and_for_all() {
        let vendor = built(1);
        let many = |from: usize| {
            let lines = (from..from + MAX_LINES / 2).map(|n| n.to_string() + "\n").collect::<String>();
            [bundle(&[&vendor]), lines.into_bytes()].concat()
        };
        let too_many = MergeError::TooMuch(BundleError::TooManyLines);
        assert_eq!(merge(&[&many(0), &many(MAX_LINES)], &Manifests::Claimed), Err(too_many));
        assert!(merge(&[&many(0), &many(0)], &Manifests::Claimed).is_ok());
        let over = vec![b'\n'; MAX_LINES + 1];
        assert_eq!(
            merge(&[&vendor, &over], &Manifests::Claimed),
            Err(MergeError::Bundle(1, BundleError::TooManyLines))
        );
    }
}
