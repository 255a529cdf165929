//! OpenPGP keys that sign release files, for tests; those of the whole program include this file too.

#![allow(dead_code, missing_docs)] // each test program uses its part

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgp::crypto::ed25519::{Mode, SecretKey as Ed25519};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, PacketTrait, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SignatureConfig, SignatureType, Subpacket,
    SubpacketData, UserId,
};
use pgp::types::{
    Duration, KeyDetails as _, KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams,
    SecretParams, Tag, Timestamp,
};

/// When keys are made, and in seconds after that: when texts are signed.
pub const BORN: u32 = 1_500_000_000;
pub const SIGNED: u32 = 1000;

/// A key that can sign, and how it says so.
pub struct Key {
    pub secret: SecretKey,
    pub public: PublicKey,
    inner: PubKeyInner,
}

impl Key {
    pub fn new(seed: u8) -> Key {
        let secret = Ed25519::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
        let params = PublicParams::Ed25519((&secret).into());
        let born = Timestamp::from_secs(BORN);
        let inner = PubKeyInner::new(KeyVersion::V4, PublicKeyAlgorithm::Ed25519, born, None, params).unwrap();
        let public = PublicKey::from_inner(inner.clone()).unwrap();
        let plain = SecretParams::Plain(PlainSecretParams::Ed25519(secret));
        Key { secret: SecretKey::new(public.clone(), plain).unwrap(), public, inner }
    }

    pub fn subkey(&self) -> PublicSubkey {
        PublicSubkey::from_inner(self.inner.clone()).unwrap()
    }

    pub fn name(&self) -> String {
        self.public.fingerprint().to_string().to_uppercase()
    }

    /// A signature to be made by it, so many seconds after it was born.
    pub fn config(&self, kind: SignatureType, after: u32, more: Vec<SubpacketData>) -> SignatureConfig {
        let mut config = SignatureConfig::v4(kind, PublicKeyAlgorithm::Ed25519, HashAlgorithm::Sha256);
        let first = [
            SubpacketData::SignatureCreationTime(Timestamp::from_secs(BORN + after)),
            SubpacketData::IssuerFingerprint(self.public.fingerprint()),
        ];
        config.hashed_subpackets =
            first.into_iter().chain(more).map(|data| Subpacket::regular(data).unwrap()).collect();
        config
    }

    /// Says that its primary key is its own.
    pub fn own(&self, config: SignatureConfig) -> Vec<u8> {
        let signed = config.sign_certification(&self.secret, &self.public, &Password::empty(), Tag::UserId, &user());
        packet(&signed.unwrap())
    }

    pub fn of_itself(&self, config: SignatureConfig) -> Vec<u8> {
        packet(&config.sign_key(&self.secret, &Password::empty(), &self.public).unwrap())
    }

    pub fn binds(&self, sub: &Key, config: SignatureConfig) -> Vec<u8> {
        packet(&config.sign_subkey_binding(&self.secret, &self.public, &Password::empty(), &sub.subkey()).unwrap())
    }

    /// What a subkey says of its primary key.
    pub fn back(&self, primary: &Key) -> SubpacketData {
        let config = self.config(SignatureType::KeyBinding, 1, vec![]);
        let signed = config.sign_primary_key_binding(&self.secret, &self.subkey(), &Password::empty(), &primary.public);
        SubpacketData::EmbeddedSignature(Box::new(signed.unwrap()))
    }

    pub fn signs(&self, text: &str, config: SignatureConfig) -> Vec<u8> {
        let text = text.replace('\n', "\r\n");
        packet(&config.sign(&self.secret, &Password::empty(), text.as_bytes()).unwrap())
    }

    pub fn text(&self) -> SignatureConfig {
        self.config(SignatureType::Text, SIGNED, vec![])
    }

    /// The usual keyring of a key alone.
    pub fn ring(&self) -> Vec<u8> {
        [packet(&self.public), packet(&user()), self.own(self.config(POSITIVE, 1, vec![flags(true)]))].concat()
    }
}

pub const POSITIVE: SignatureType = SignatureType::CertPositive;

pub fn user() -> UserId {
    UserId::from_str(PacketHeaderVersion::New, "archive").unwrap()
}

pub fn packet(packet: &impl PacketTrait) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.to_writer_with_header(&mut bytes).unwrap();
    bytes
}

pub fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_sign(sign);
    flags.set_certify(true);
    SubpacketData::KeyFlags(flags)
}

pub fn life(seconds: u32) -> SubpacketData {
    SubpacketData::KeyExpirationTime(Duration::from_secs(seconds))
}

pub fn file(text: &str, signatures: &[u8]) -> Vec<u8> {
    let text: String =
        text.split('\n').map(|line| format!("{}{line}\n", if line.starts_with('-') { "- " } else { "" })).collect();
    let signatures = STANDARD.encode(signatures);
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}-----BEGIN PGP SIGNATURE-----\n\n{signatures}\n-----END PGP SIGNATURE-----\n"
    )
    .into_bytes()
}
