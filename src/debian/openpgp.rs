//! OpenPGP (RFC 9580): who signed a text, by a keyring of the caller's. The only user of the crate `pgp`, of which it uses the packets and the
//! arithmetic; which keys and signatures count is decided here, and more narrowly than GnuPG does:
//!
//! - a signature must be of text, of version 4 or 6, with SHA-2 or SHA-3 of at least 256 bits, not from the future and not expired;
//! - a key that has a revocation beside it, in whichever of several keyrings, is revoked, from the beginning, whoever made that and whatever the
//!   reason, and its subkeys with it;
//! - a key must be bound by a signature of its own or of its primary key, must be meant for signing, and must not have expired at the time for
//!   which the caller asks. Of several bindings the newest counts. A subkey must have signed its primary key, which must hold itself;
//! - RSA of at least 2048 bits, EdDSA, and ECDSA; no DSA.

use super::clearsign::{self, NotSigned};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    Packet, PacketParser, PacketTrait, PublicKey, PublicSubkey, Signature, SignatureType, SignatureVersion, UserId,
};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};
use std::collections::HashMap;
use std::fmt;

/// Most bytes of a keyring.
const MAX_KEYRING: usize = 16 << 20;
/// Most packets of a keyring, and signatures of a text.
const MAX_PACKETS: usize = 10_000;
const MAX_SIGNATURES: usize = 16;
/// Fewest bits of an RSA key.
const MIN_RSA: u16 = 2048;

/// The fingerprint of a key: 20 bytes, or 32 for version 6.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(Vec<u8>);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A good signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key that made it.
    pub key: Fingerprint,
    /// The primary key of that one: the same, or the one that vouches for it.
    pub primary: Fingerprint,
    /// When, in seconds since 1970, as the signature says.
    pub created: i64,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key of the keyring made it.
    #[error("the key {0} is not in the keyring")]
    UnknownKey(String),
    /// It was not made over this text.
    #[error("the signature of {0} is not of this text")]
    Wrong(Fingerprint),
    /// A hash function in which texts with the same hash can be made.
    #[error("the signature of {0} is by {1}, which is too weak")]
    WeakHash(Fingerprint, String),
    /// A kind of signature that is not one of text.
    #[error("the signature of {0} is of an unexpected kind or version")]
    Kind(Fingerprint),
    /// A signature with an end.
    #[error("the signature of {0} expired")]
    Expired(Fingerprint),
    /// Made later than now.
    #[error("the signature of {0} is from the future, or older than its key")]
    Time(Fingerprint),
    /// A key with an end.
    #[error("the key {0} expired")]
    KeyExpired(Fingerprint),
    /// A revoked key.
    #[error("the key {0} is revoked")]
    KeyRevoked(Fingerprint),
    /// A key that is not for signing, or too short.
    #[error("the key {0} is not one to sign with")]
    KeyUse(Fingerprint),
    /// A key for which nothing vouches.
    #[error("the key {0} is not bound by a valid signature of its primary key")]
    KeyUnbound(Fingerprint),
}

/// A keyring, or packets of signatures, that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It is neither binary nor text.
    #[error("not a keyring: {0}")]
    Text(#[from] NotSigned),
    /// One of its packets.
    #[error("not a keyring: {0}")]
    Packet(String),
    /// There is no key in it.
    #[error("not a keyring: there is no key in it")]
    Empty,
    /// More than the limit.
    #[error("the keyring is larger than {MAX_KEYRING} bytes or {MAX_PACKETS} packets")]
    TooLarge,
}

/// Public keys that the caller trusts to sign.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<Certificate>,
}

/// At which time neither key nor signature may have come to its end. A revocation counts at every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// Now.
    Now,
    /// When the signature was made, as it says itself: of something old, that is used again.
    Then,
}

/// A primary key and what belongs to it.
#[derive(Debug)]
struct Certificate {
    primary: PublicKey,
    /// Direct signatures and revocations.
    direct: Vec<Signature>,
    users: Vec<(UserId, Vec<Signature>)>,
    subkeys: Vec<(PublicSubkey, Vec<Signature>)>,
}

/// Signatures stand behind what they are of.
enum Last {
    Key,
    User,
    Subkey,
    Other,
}

impl Keyring {
    /// Reads a keyring: packets as they are (`.gpg`), or as text (`.asc`).
    pub fn read(bytes: &[u8]) -> Result<Keyring, KeyringError> {
        if bytes.len() > MAX_KEYRING {
            return Err(KeyringError::TooLarge);
        }
        let mut keys: Vec<Certificate> = Vec::new();
        let mut last = Last::Other;
        // The first byte of a packet has its highest bit set, and text has not.
        let packets = match bytes.first() {
            Some(byte) if *byte < 0x80 => {
                let text = std::str::from_utf8(bytes).map_err(|_| NotSigned { line: 1, why: "it is not UTF-8" })?;
                clearsign::keys(text)?
            }
            _ => bytes.to_vec(),
        };
        for (number, packet) in PacketParser::new(&packets[..]).enumerate() {
            if number == MAX_PACKETS {
                return Err(KeyringError::TooLarge);
            }
            match (packet.map_err(|err| KeyringError::Packet(err.to_string()))?, keys.last_mut()) {
                (Packet::PublicKey(primary), _) => {
                    last = Last::Key;
                    keys.push(Certificate { primary, direct: Vec::new(), users: Vec::new(), subkeys: Vec::new() });
                }
                (Packet::UserId(user), Some(key)) => {
                    last = Last::User;
                    key.users.push((user, Vec::new()));
                }
                (Packet::PublicSubkey(subkey), Some(key)) => {
                    last = Last::Subkey;
                    key.subkeys.push((subkey, Vec::new()));
                }
                (Packet::Signature(signature), Some(key)) => {
                    // Wherever it stands.
                    let revokes = signature.typ() == Some(SignatureType::KeyRevocation);
                    let list = match last {
                        Last::User if !revokes => key.users.last_mut().map(|(_, list)| list),
                        Last::Subkey if !revokes => key.subkeys.last_mut().map(|(_, list)| list),
                        Last::Other if !revokes => None,
                        _ => Some(&mut key.direct),
                    };
                    list.into_iter().for_each(|list| list.push(signature.clone()));
                }
                // Pictures, and what is signed of them.
                (Packet::UserAttribute(_), Some(_)) => last = Last::Other,
                // What GnuPG keeps for itself, between a name and its signatures too.
                (Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_), _) => {}
                (other, _) => {
                    return Err(KeyringError::Packet(format!("there is a packet of type {:?}", other.tag())));
                }
            }
        }
        if keys.is_empty() { Err(KeyringError::Empty) } else { Ok(Keyring::default().with(keys)) }
    }

    /// The keys of another keyring too. Of a key that is in both, what either says of it counts: a revocation in one is one of its subkeys in
    /// the other.
    pub fn and(self, other: Keyring) -> Keyring {
        self.with(other.keys)
    }

    fn with(mut self, certificates: Vec<Certificate>) -> Keyring {
        let known = self.keys.iter().enumerate().map(|(at, key)| (fingerprint(&key.primary), at));
        let mut known: HashMap<Fingerprint, usize> = known.collect();
        for certificate in certificates {
            let at = *known.entry(fingerprint(&certificate.primary)).or_insert(self.keys.len());
            match self.keys.get_mut(at) {
                Some(same) => same.join(certificate),
                None => self.keys.push(certificate),
            }
        }
        self
    }

    /// Who signed `text`, whose lines end with a line feed, as known at the time `at`, in seconds since 1970: the good signatures, and why
    /// others are not.
    pub(super) fn check(
        &self,
        text: &str,
        signatures: &[u8],
        at: i64,
        alive: Alive,
    ) -> Result<(Vec<Signer>, Vec<Refused>), KeyringError> {
        let (mut good, mut refused) = (Vec::new(), Vec::new());
        for (number, packet) in PacketParser::new(signatures).enumerate() {
            let packet = packet.map_err(|err| KeyringError::Packet(err.to_string()))?;
            let Packet::Signature(signature) = packet else {
                return Err(KeyringError::Packet("a packet is not a signature".into()));
            };
            if number == MAX_SIGNATURES {
                return Err(KeyringError::TooLarge);
            }
            match self.one(text, &signature, at, alive) {
                Ok(signer) => good.push(signer),
                Err(why) => refused.push(why),
            }
        }
        Ok((good, refused))
    }

    fn one(&self, text: &str, signature: &Signature, at: i64, alive: Alive) -> Result<Signer, Refused> {
        let mut why = Refused::UnknownKey(issuer(signature));
        let mut good = None;
        for certificate in &self.keys {
            let primary = fingerprint(&certificate.primary);
            let keys = std::iter::once(Candidate::Primary)
                .chain(certificate.subkeys.iter().map(|(key, bindings)| Candidate::Subkey(key, bindings)));
            for candidate in keys {
                let outcome = match candidate {
                    Candidate::Primary => attempt(&certificate.primary, text, signature, at, alive),
                    Candidate::Subkey(key, _) => attempt(key, text, signature, at, alive),
                };
                let Some(outcome) = outcome else { continue };
                let outcome = outcome.and_then(|(key, created)| {
                    certificate.holds(candidate, at, if alive == Alive::Then { created } else { at })?;
                    Ok(Signer { key, primary: primary.clone(), created })
                });
                match outcome {
                    Ok(signer) => good = good.or(Some(signer)),
                    // Whatever other primary key may have bound it too.
                    Err(revoked @ Refused::KeyRevoked(_)) => return Err(revoked),
                    // Another key of the keyring may be the one. What a key says of itself counts for more than that it is the wrong one.
                    Err(other) => why = other,
                }
            }
        }
        good.ok_or(why)
    }
}

/// A key of a certificate.
#[derive(Clone, Copy)]
enum Candidate<'a> {
    Primary,
    Subkey(&'a PublicSubkey, &'a [Signature]),
}

impl Certificate {
    /// What another one of the same primary key has.
    fn join(&mut self, other: Certificate) {
        self.direct.extend(other.direct);
        let mut at: HashMap<Vec<u8>, usize> =
            self.users.iter().enumerate().map(|(at, (user, _))| (user.id().to_vec(), at)).collect();
        for (user, signatures) in other.users {
            let at = *at.entry(user.id().to_vec()).or_insert(self.users.len());
            match self.users.get_mut(at) {
                Some((_, list)) => list.extend(signatures),
                None => self.users.push((user, signatures)),
            }
        }
        let mut at: HashMap<Fingerprint, usize> =
            self.subkeys.iter().enumerate().map(|(at, (key, _))| (fingerprint(key), at)).collect();
        for (key, signatures) in other.subkeys {
            let at = *at.entry(fingerprint(&key)).or_insert(self.subkeys.len());
            match self.subkeys.get_mut(at) {
                Some((_, list)) => list.extend(signatures),
                None => self.subkeys.push((key, signatures)),
            }
        }
    }

    /// Whether a key of it, by what is known of it at the time `at`, may sign at the time `alive`.
    fn holds(&self, candidate: Candidate<'_>, at: i64, alive: i64) -> Result<(), Refused> {
        let name = fingerprint(&self.primary);
        if self.direct.iter().any(|signature| signature.typ() == Some(SignatureType::KeyRevocation)) {
            return Err(Refused::KeyRevoked(name));
        }
        let own = newest(self.own(at)).ok_or_else(|| Refused::KeyUnbound(name.clone()))?;
        within(&self.primary, own, alive)?;
        let Candidate::Subkey(key, bindings) = candidate else {
            return usable(&self.primary, own);
        };
        let name = fingerprint(key);
        if bindings.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
            return Err(Refused::KeyRevoked(name));
        }
        let good = bindings.iter().filter(|signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && counts(signature, at)
                && signature.verify_subkey_binding(&self.primary, key).is_ok()
        });
        let binding = newest(good).ok_or_else(|| Refused::KeyUnbound(name.clone()))?;
        within(key, binding, alive)?;
        usable(key, binding)?;
        // Else somebody's signing key could be claimed as a subkey.
        let back = binding.embedded_signature().filter(|back| {
            back.typ() == Some(SignatureType::KeyBinding)
                && counts(back, at)
                && back.verify_primary_key_binding(key, &self.primary).is_ok()
        });
        back.map(|_| ()).ok_or(Refused::KeyUnbound(name))
    }

    /// What the primary key says of itself: signatures of it alone, and of it with a name that it did not take back.
    fn own(&self, at: i64) -> impl Iterator<Item = &Signature> {
        let direct = self.direct.iter().filter(move |signature| {
            signature.typ() == Some(SignatureType::Key)
                && counts(signature, at)
                && signature.verify_key(&self.primary).is_ok()
        });
        let names = self.users.iter().flat_map(move |(user, signatures)| {
            let good = move |signature: &&Signature| {
                counts(signature, at) && signature.verify_certification(&self.primary, Tag::UserId, user).is_ok()
            };
            let good: Vec<&Signature> = signatures.iter().filter(good).collect();
            let revoked = good.iter().any(|signature| signature.typ() == Some(SignatureType::CertRevocation));
            if revoked { Vec::new() } else { good }
        });
        direct.chain(names)
    }
}

/// Whether `key` made the signature; `None` when it says that another did.
fn attempt<K: VerifyingKey>(
    key: &K,
    text: &str,
    signature: &Signature,
    at: i64,
    alive: Alive,
) -> Option<Result<(Fingerprint, i64), Refused>> {
    let fingerprints = signature.issuer_fingerprint();
    let named = match fingerprints.is_empty() {
        true => signature.issuer_key_id().contains(&&key.legacy_key_id()),
        false => fingerprints.iter().all(|named| **named == key.fingerprint()),
    };
    named.then(|| {
        let name = fingerprint(key);
        if signature.typ() != Some(SignatureType::Text) || !is_current(signature) {
            return Err(Refused::Kind(name));
        }
        if let Some(hash) = signature.hash_alg().filter(|hash| !is_strong(*hash)) {
            return Err(Refused::WeakHash(name, hash.to_string()));
        }
        let Some(created) = time(signature).filter(|created| *created <= at && *created >= born(key)) else {
            return Err(Refused::Time(name));
        };
        if alive == Alive::Now && expired(signature, at) {
            return Err(Refused::Expired(name));
        }
        // The crate makes the line ends of text those that are signed.
        match signature.verify(key, text.as_bytes()) {
            Ok(()) => Ok((name, created)),
            Err(_) => Err(Refused::Wrong(name)),
        }
    })
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    // Of two made in the same second, that which ends sooner.
    let ends = |signature: &Signature| lifetime(signature).unwrap_or(i64::MAX);
    signatures.max_by_key(|signature| (time(signature), std::cmp::Reverse(ends(signature))))
}

/// Whether the life of a key, by its newest binding, includes this time.
fn within<K: KeyDetails>(key: &K, binding: &Signature, at: i64) -> Result<(), Refused> {
    let ended = lifetime(binding).is_some_and(|life| at >= born(key) + life);
    if ended || at < born(key) { Err(Refused::KeyExpired(fingerprint(key))) } else { Ok(()) }
}

fn usable<K: KeyDetails>(key: &K, binding: &Signature) -> Result<(), Refused> {
    let strong = match key.public_params() {
        PublicParams::RSA(rsa) => bits(rsa) >= MIN_RSA,
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            true
        }
        _ => false,
    };
    if strong && binding.key_flags().sign() { Ok(()) } else { Err(Refused::KeyUse(fingerprint(key))) }
}

/// The length of the modulus, which stands before it.
fn bits(rsa: &impl Serialize) -> u16 {
    match rsa.to_bytes().as_deref() {
        Ok([high, low, ..]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// Whether a signature about a key is to be looked at.
fn counts(signature: &Signature, at: i64) -> bool {
    is_current(signature)
        && signature.hash_alg().is_some_and(is_strong)
        && time(signature).is_some_and(|created| created <= at)
        && !expired(signature, at)
}

fn is_current(signature: &Signature) -> bool {
    matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6)
}

fn is_strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

fn expired(signature: &Signature, at: i64) -> bool {
    let life = signature.signature_expiration_time().map(|life| i64::from(life.as_secs())).filter(|life| *life != 0);
    life.is_some_and(|life| time(signature).is_none_or(|created| at >= created + life))
}

fn lifetime(binding: &Signature) -> Option<i64> {
    binding.key_expiration_time().map(|life| i64::from(life.as_secs())).filter(|life| *life != 0)
}

fn time(signature: &Signature) -> Option<i64> {
    signature.created().map(|created| i64::from(created.as_secs()))
}

fn born<K: KeyDetails>(key: &K) -> i64 {
    i64::from(key.created_at().as_secs())
}

fn fingerprint<K: KeyDetails>(key: &K) -> Fingerprint {
    Fingerprint(key.fingerprint().as_bytes().to_vec())
}

/// The key that a signature says it is by.
fn issuer(signature: &Signature) -> String {
    let fingerprint =
        signature.issuer_fingerprint().first().map(|named| Fingerprint(named.as_bytes().to_vec()).to_string());
    fingerprint
        .or_else(|| signature.issuer_key_id().first().map(|named| named.to_string().to_uppercase()))
        .unwrap_or_else(|| "that it does not name".into())
}
