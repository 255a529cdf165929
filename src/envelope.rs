//! DSSE v1.0 envelopes (docs/spec.md §5).
//!
//! Signatures are over the bytes received; the payload that was verified is the one that is parsed. Nothing is ever
//! serialised again in order to verify it.

use crate::digest::{self, PayloadDigest};
use crate::json;
use crate::signature::{PublicKey, SIGNATURE_LEN};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// The one payload type that is written and read.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 32 << 20;
/// Longest line that holds an envelope or a blob, in bytes.
pub const MAX_LINE: usize = 256 << 20;
/// Most signatures read from one envelope.
pub const MAX_SIGNATURES: usize = 16;

/// An envelope as received: nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What is signed; the payload is its end.
    message: Vec<u8>,
    payload_len: usize,
    signatures: Vec<Signature>,
}

/// One signature as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What the signer calls its key; decides nothing.
    pub keyid: String,
    /// 64 bytes, or it is nobody's.
    pub sig: Vec<u8>,
}

/// A line that is not an envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON of an envelope.
    #[error("not an envelope: {0}")]
    Json(#[from] json::JsonError),
    /// Another payload type.
    #[error("its payload type is {0:?}, not {PAYLOAD_TYPE:?}")]
    PayloadType(String),
    /// Neither standard nor URL-safe base64, or not padded.
    #[error("its {0} is not base64")]
    Base64(&'static str),
    /// No signature, or too many.
    #[error("it has {0} signatures; 1 to {MAX_SIGNATURES} are read")]
    Signatures(usize),
    /// Over [`MAX_PAYLOAD`].
    #[error("its payload is longer than {MAX_PAYLOAD} bytes")]
    PayloadTooLong,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    payload_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    payload: std::borrow::Cow<'a, str>,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default, deserialize_with = "null_is_empty")]
    keyid: String,
    sig: String,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(d)?.unwrap_or_default())
}

impl Envelope {
    /// Reads one line.
    pub fn parse(line: &[u8]) -> Result<Envelope, EnvelopeError> {
        Envelope::read(json::Document::check(line, MAX_LINE)?)
    }

    /// Reads a line that is sound JSON.
    pub(crate) fn read(line: json::Document<'_>) -> Result<Envelope, EnvelopeError> {
        let wire: Wire = line.read()?;
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(wire.payload_type.into_owned()));
        }
        if wire.signatures.is_empty() || wire.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Signatures(wire.signatures.len()));
        }
        let payload = base64(&wire.payload).ok_or(EnvelopeError::Base64("payload"))?;
        if payload.len() > MAX_PAYLOAD {
            return Err(EnvelopeError::PayloadTooLong);
        }
        let signatures = wire.signatures.into_iter().map(|wire| {
            let sig = base64(&wire.sig).ok_or(EnvelopeError::Base64("signature"))?;
            Ok(Signature { keyid: wire.keyid, sig })
        });
        Ok(Envelope::new(&payload, signatures.collect::<Result<_, EnvelopeError>>()?))
    }

    /// Puts a payload and one signature over [`pae`] of it together; `sign` makes the signature.
    pub fn sign(payload: Vec<u8>, key: &PublicKey, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_LEN]) -> Envelope {
        let mut envelope = Envelope::new(&payload, Vec::new());
        let sig = sign(envelope.message()).to_vec();
        envelope.signatures.push(Signature { keyid: key.fingerprint(), sig });
        envelope
    }

    fn new(payload: &[u8], signatures: Vec<Signature>) -> Envelope {
        Envelope { message: pae(PAYLOAD_TYPE, payload), payload_len: payload.len(), signatures }
    }

    /// One line of a bundle, without its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        json::print(&self.wire())
    }

    /// The same, to be put into another document.
    pub fn to_json(&self) -> json::Value {
        json::value(&self.wire())
    }

    fn wire(&self) -> Wire<'_> {
        Wire {
            payload_type: PAYLOAD_TYPE.into(),
            payload: STANDARD.encode(self.unverified_payload()).into(),
            signatures: self
                .signatures
                .iter()
                .map(|s| WireSignature { keyid: s.keyid.clone(), sig: STANDARD.encode(&s.sig) })
                .collect(),
        }
    }

    /// The payload's bytes, **not verified**: for showing what is claimed.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.message[self.message.len() - self.payload_len..]
    }

    /// The signatures as received.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The same payload, in an envelope for each signature.
    pub fn each_signature(&self) -> Vec<Envelope> {
        let one = |signature: &Signature| Envelope { signatures: vec![signature.clone()], ..self.clone() };
        self.signatures.iter().map(one).collect()
    }

    /// SHA-256 of the payload: the identity of the statement.
    pub fn payload_digest(&self) -> PayloadDigest {
        PayloadDigest::from_bytes(*digest::sha256(self.unverified_payload()).as_bytes())
    }

    /// Which of `keys` signed this, each at most once, as indices into `keys`. The keyid orders the attempts and nothing else.
    pub fn signers(&self, keys: &[PublicKey]) -> Vec<usize> {
        let (found, _) = signers(&[self], keys, Budget::FULL);
        found.into_iter().flat_map(|found| found.by).collect()
    }

    /// What is signed.
    fn message(&self) -> &[u8] {
        &self.message
    }
}

/// Who signed one envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// Indices into the keys.
    pub by: BTreeSet<usize>,
    /// Keys that a signature names and is not by.
    pub misnamed: BTreeSet<usize>,
}

/// How much is done for signatures whose keyid does not name the key that they are by. A signature that names its key is always tried with
/// that key; all others may be as many as somebody likes to write, each to be tried with every key, each over a message of 32 MiB.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// How many attempts.
    pub tries: usize,
    /// How many bytes of messages are hashed for them.
    pub bytes: u64,
}

impl Budget {
    /// About half a minute of each.
    pub const FULL: Budget = Budget { tries: 500_000, bytes: 16 << 30 };

    fn spend(&mut self, message: &[u8]) -> bool {
        match (self.tries.checked_sub(1), self.bytes.checked_sub(message.len() as u64)) {
            (Some(tries), Some(bytes)) => {
                *self = Budget { tries, bytes };
                true
            }
            _ => false,
        }
    }
}

/// Which of `keys` signed each envelope, and whether the budget was enough to say so. Each signature is tried with the key that it names.
/// Then the rest takes turns, one try an envelope and round, so that no number of lines can use up the budget before another's turn: with
/// 100,000 lines every line that has one signature is still tried with five keys, and 512 MiB of them with forty.
pub fn signers(envelopes: &[&Envelope], keys: &[PublicKey], mut budget: Budget) -> (Vec<Signers>, bool) {
    let mut named: HashMap<String, usize> = HashMap::new();
    for (at, key) in keys.iter().enumerate() {
        named.entry(key.fingerprint()).or_insert(at);
    }
    // Of equal keys the first.
    let distinct: Vec<usize> = (0..keys.len()).filter(|at| named.get(&keys[*at].fingerprint()) == Some(at)).collect();
    let mut found = vec![Signers::default(); envelopes.len()];
    let mut waiting = Vec::new();
    for (index, envelope) in envelopes.iter().enumerate() {
        let mut rest = Vec::new();
        for signature in &envelope.signatures {
            let tried = named.get(&signature.keyid).copied();
            match tried {
                Some(at) if keys[at].verifies(envelope.message(), &signature.sig) => {
                    found[index].by.insert(at);
                }
                tried => {
                    found[index].misnamed.extend(tried);
                    // One of another length is by no key, and need not be tried.
                    if signature.sig.len() == SIGNATURE_LEN {
                        rest.push((&signature.sig[..], tried));
                    }
                }
            }
        }
        if !rest.is_empty() {
            waiting.push(Waiting { index, rest, at: (0, 0) });
        }
    }
    let mut enough = true;
    while !waiting.is_empty() && enough {
        waiting.retain_mut(|entry| {
            let (envelope, found) = (envelopes[entry.index], &mut found[entry.index]);
            let Some((sig, at)) = entry.next(&distinct, &found.by) else { return false };
            enough &= budget.spend(envelope.message());
            if enough && keys[at].verifies(envelope.message(), sig) {
                found.by.insert(at);
                entry.at = (entry.at.0 + 1, 0);
            }
            true
        });
    }
    (found, enough)
}

/// An envelope with signatures by none of the keys that they name.
struct Waiting<'e> {
    index: usize,
    rest: Vec<(&'e [u8], Option<usize>)>,
    /// The next signature, and the next key for it.
    at: (usize, usize),
}

impl<'e> Waiting<'e> {
    /// The next signature and key to try together.
    fn next(&mut self, keys: &[usize], by: &BTreeSet<usize>) -> Option<(&'e [u8], usize)> {
        while let Some((sig, tried)) = self.rest.get(self.at.0).copied() {
            while let Some(key) = keys.get(self.at.1).copied() {
                self.at.1 += 1;
                if Some(key) != tried && !by.contains(&key) {
                    return Some((sig, key));
                }
            }
            self.at = (self.at.0 + 1, 0);
        }
        None
    }
}

/// DSSE's pre-authentication encoding: what is really signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Standard or URL-safe, padded, canonical; never a mixture.
fn base64(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Digest as _, Signer as _, SigningKey};

    fn key(seed: u8) -> (SigningKey, PublicKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        (key.clone(), PublicKey::from_bytes(key.verifying_key().to_bytes()).unwrap())
    }

    fn signed(payload: &[u8], seed: u8) -> Envelope {
        let (secret, public) = key(seed);
        Envelope::sign(payload.to_vec(), &public, |message| secret.sign(message).to_bytes())
    }

    #[test]
    fn pae_counts_bytes() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("ü", b""), "DSSEv1 2 ü 0 ".as_bytes());
    }

    #[test]
    fn round_trip_and_its_tampered_twins() {
        let envelope = signed(br#"{"a":1}"#, 1);
        let line = envelope.to_line();
        assert_eq!(Envelope::parse(&line).unwrap(), envelope);
        let keys = [key(2).1, key(1).1];
        assert_eq!(envelope.signers(&keys), [1]);
        let mut other = envelope.clone();
        *other.message.last_mut().unwrap() ^= 1;
        assert_eq!(other.signers(&keys), [0usize; 0]);
        let mut other = envelope.clone();
        other.signatures[0].sig[5] ^= 1;
        assert_eq!(other.signers(&keys), [0usize; 0]);
        // A foreign or absent keyid changes nothing; one that names another trusted key does not either.
        for keyid in [String::new(), "nonsense".into(), keys[0].fingerprint()] {
            let mut other = envelope.clone();
            other.signatures[0].keyid = keyid;
            assert_eq!(other.signers(&keys), [1]);
        }
    }

    #[test]
    fn one_key_counts_once() {
        let mut envelope = signed(b"{}", 1);
        let again = envelope.signatures[0].clone();
        envelope.signatures.push(again);
        let (a, b) = (key(1).1, key(1).1);
        assert_eq!(envelope.signers(&[a, b]), [0]);
        // One bad and one good signature: the good one stands, in either order.
        envelope.signatures[0].sig[0] ^= 1;
        assert_eq!(envelope.signers(&[a]), [0]);
        envelope.signatures.swap(0, 1);
        assert_eq!(envelope.signers(&[a]), [0]);
    }

    #[test]
    fn prehashed_ed25519_is_no_signature() {
        let (secret, public) = key(1);
        let message = pae(PAYLOAD_TYPE, b"{}");
        let hash = ed25519_dalek::Sha512::new_with_prefix(&message);
        let sig = secret.sign_prehashed(hash, None).unwrap().to_bytes();
        assert!(!public.verifies(&message, &sig));
    }

    #[test]
    fn what_is_read_and_what_is_not() {
        let sig = STANDARD.encode([7u8; 64]);
        let parse = |text: String| Envelope::parse(text.as_bytes());
        let with = |kind: &str, payload: &str, signatures: String| {
            parse(format!(r#"{{"payloadType":"{kind}","payload":"{payload}","signatures":{signatures},"extra":[1]}}"#))
        };
        let one = format!(r#"[{{"sig":"{sig}"}}]"#);
        assert!(with(PAYLOAD_TYPE, "e30=", one.clone()).is_ok());
        assert_eq!(with(PAYLOAD_TYPE, "-_-_", one.clone()).unwrap().unverified_payload(), [0xfb, 0xff, 0xbf]);
        assert_eq!(with(PAYLOAD_TYPE, "+_-/", one.clone()), Err(EnvelopeError::Base64("payload")));
        assert_eq!(with(PAYLOAD_TYPE, "e30", one.clone()), Err(EnvelopeError::Base64("payload")));
        assert_eq!(with(PAYLOAD_TYPE, "e3 0=", one.clone()), Err(EnvelopeError::Base64("payload")));
        assert_eq!(with(PAYLOAD_TYPE, "e31=", one.clone()), Err(EnvelopeError::Base64("payload")));
        assert_eq!(with(PAYLOAD_TYPE, "e30=", "[]".into()), Err(EnvelopeError::Signatures(0)));
        // A signature of another length is nobody's, and takes nothing from the one beside it.
        let (_, public) = key(1);
        for (strange, good) in [(0, true), (63, true), (65, true), (63, false)] {
            let mut envelope = signed(b"{}", if good { 1 } else { 2 });
            envelope.signatures.insert(0, Signature { keyid: public.fingerprint(), sig: vec![7; strange] });
            let read = Envelope::parse(&envelope.to_line()).unwrap();
            assert_eq!(read, envelope);
            assert_eq!(read.signers(&[public]), vec![0; usize::from(good)], "{strange} bytes");
        }
        assert!(matches!(with("text/plain", "e30=", one.clone()), Err(EnvelopeError::PayloadType(_))));
        assert!(matches!(parse(r#"{"payloadType":"x","payload":""}"#.into()), Err(EnvelopeError::Json(_))));
    }
}
