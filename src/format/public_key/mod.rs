//! Public keys of SSH: one line of text, a fingerprint, and words that two people can compare.
//!
//! It trusts nobody; who may sign for whom is `allowed_signers`. Invariant: a key of a kind that
//! cannot verify anything here (a certificate, DSA, one that we do not know) is no key.

mod words;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1v15;
use rsa::sha2::{Sha256, Sha512};
use rsa::signature::Verifier;
use sha2::Digest;
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{Algorithm, HashAlg, Mpint, Signature};

use crate::model::limits::SIGNATURE_BYTES_MAX;
use crate::model::path::escaped;
use words::WORDS;

/// Words that a fingerprint is shown as: 64 bits, too many to find another key with the same.
const FINGERPRINT_WORDS: usize = 8;
/// Bits of the longest RSA modulus that OpenSSH takes.
const RSA_BITS_MAX: usize = 16_384;
/// Bits of the shortest one that is worth anything.
const RSA_BITS_MIN: usize = 2_048;

/// A public key that can verify signatures. Two are equal that are the same key, whatever is noted
/// beside them.
#[derive(Clone, Debug)]
pub struct PublicKey {
    data: KeyData,
    comment: String,
}

/// Why some text or bytes are no public key for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not one line of a kind, base64 and perhaps a comment.
    #[error("it is no public key as OpenSSH writes it")]
    NotAKey,
    /// A private key, where a public one belongs.
    #[error("it is a private key: never hand it to anybody; the public one is in the .pub file")]
    Private,
    /// A kind of key that can sign nothing here.
    #[error("a key of the kind {0} cannot sign here")]
    Kind(String),
    /// An RSA key of a length that no signature is taken from.
    #[error("an RSA key has between {RSA_BITS_MIN} and {RSA_BITS_MAX} bits")]
    RsaBits,
}

impl PublicKey {
    /// Reads one line as in `id_ed25519.pub`.
    ///
    /// # Errors
    /// A [`KeyFault`].
    pub fn parse(line: &str) -> Result<PublicKey, KeyFault> {
        let line = line.trim();
        if line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") {
            return Err(KeyFault::Private);
        }
        let mut words = line.splitn(3, [' ', '\t']);
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else {
            return Err(KeyFault::NotAKey);
        };
        let blob = STANDARD.decode(base64).map_err(|_| KeyFault::NotAKey)?;
        let key = PublicKey::from_blob(&blob)?;
        if key.data.algorithm().as_str() != kind {
            return Err(KeyFault::NotAKey);
        }
        let comment = words.next().unwrap_or_default().trim();
        Ok(PublicKey { comment: comment.chars().filter(|c| !c.is_control()).collect(), ..key })
    }

    /// Reads the form that travels in signatures and to agents.
    ///
    /// # Errors
    /// A [`KeyFault`].
    pub fn from_blob(blob: &[u8]) -> Result<PublicKey, KeyFault> {
        if blob.len() as u64 > SIGNATURE_BYTES_MAX {
            return Err(KeyFault::NotAKey);
        }
        let key = ssh_key::PublicKey::from_bytes(blob).map_err(|_| KeyFault::NotAKey)?;
        let data = KeyData::from(key);
        match &data {
            KeyData::Ed25519(_)
            | KeyData::Ecdsa(_)
            | KeyData::SkEd25519(_)
            | KeyData::SkEcdsaSha2NistP256(_) => {}
            KeyData::Rsa(rsa) => {
                let bits = rsa.n.as_positive_bytes().map_or(0, <[u8]>::len) * 8;
                if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                    return Err(KeyFault::RsaBits);
                }
            }
            other => return Err(KeyFault::Kind(escaped(other.algorithm().as_str().as_bytes()))),
        }
        let key = PublicKey { data, comment: String::new() };
        // One key, one spelling: whoever compares bytes and whoever compares keys must agree.
        if key.blob() == blob { Ok(key) } else { Err(KeyFault::NotAKey) }
    }

    /// Returns the form that travels in signatures and to agents.
    pub fn blob(&self) -> Vec<u8> {
        let key = ssh_key::PublicKey::from(self.data.clone());
        // Writing into memory what was read from memory: there is nothing that could fail.
        key.to_bytes().unwrap_or_default()
    }

    /// Returns kind and base64 of the key, without its comment.
    pub fn bare_line(&self) -> String {
        format!("{} {}", self.data.algorithm().as_str(), STANDARD.encode(self.blob()))
    }

    /// Returns the line as OpenSSH writes it.
    pub fn line(&self) -> String {
        match self.comment.as_str() {
            "" => self.bare_line(),
            comment => format!("{} {comment}", self.bare_line()),
        }
    }

    /// Returns what is noted beside the key; whoever made it may have written anything.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Returns the key with another comment.
    pub fn with_comment(self, comment: &str) -> PublicKey {
        PublicKey { comment: comment.to_owned(), ..self }
    }

    /// Returns the kind, as `ssh-ed25519`.
    pub fn kind(&self) -> String {
        self.data.algorithm().as_str().to_owned()
    }

    /// Whether the key lives in hardware (FIDO).
    pub fn is_hardware(&self) -> bool {
        matches!(self.data, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
    }

    /// Returns the fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.data.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Returns the beginning of the same fingerprint as words, for the telephone.
    pub fn words(&self) -> String {
        let digest = Sha256::digest(self.blob());
        let words = digest.iter().take(FINGERPRINT_WORDS).map(|byte| WORDS[usize::from(*byte)]);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether `signature`, as RFC 4253 section 6.6 and its successors write it, is this key's of
    /// `message`. RSA with SHA-1 is no signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::try_from(signature) else { return false };
        match &self.data {
            KeyData::Rsa(rsa) => verifies_rsa(rsa, message, &signature),
            data => data.verify(message, &signature).is_ok(),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.data == other.data
    }
}

impl Eq for PublicKey {}

/// As `ssh-keygen -l` prints it, but for the bits: fingerprint, comment, kind.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comment = if self.comment.is_empty() { "no comment" } else { &self.comment };
        write!(f, "{} {comment} ({})", self.fingerprint(), self.kind())
    }
}

/// Returns a big number of SSH as one of the `rsa` crate.
pub(crate) fn big_number(number: &Mpint) -> Option<rsa::BigUint> {
    number.as_positive_bytes().map(rsa::BigUint::from_bytes_be)
}

/// `ssh-key` verifies RSA too, but no key above 4,096 bits.
fn verifies_rsa(key: &RsaPublicKey, message: &[u8], signature: &Signature) -> bool {
    let key = big_number(&key.n)
        .zip(big_number(&key.e))
        .and_then(|(n, e)| rsa::RsaPublicKey::new_with_max_size(n, e, RSA_BITS_MAX).ok());
    let Some(key) = key else { return false };
    let Ok(raw) = pkcs1v15::Signature::try_from(signature.as_bytes()) else { return false };
    match signature.algorithm() {
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) } => {
            pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(message, &raw).is_ok()
        }
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) } => {
            pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &raw).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti ann@ship";

    #[test]
    fn a_key_is_one_line() {
        let key = PublicKey::parse(ED25519).unwrap();
        assert_eq!(key.line(), ED25519);
        assert_eq!(key.fingerprint(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
        assert_eq!(PublicKey::from_blob(&key.blob()).unwrap(), key);
        for (text, fault) in [
            ("", KeyFault::NotAKey),
            ("ssh-ed25519", KeyFault::NotAKey),
            ("ssh-ed25519 AAAA", KeyFault::NotAKey),
            (&ED25519.replace("ssh-ed25519 ", "ssh-rsa "), KeyFault::NotAKey),
            (&ED25519.replace("Sqti ", "Sqt "), KeyFault::NotAKey),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", KeyFault::Private),
        ] {
            assert_eq!(PublicKey::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn kinds_that_verify_nothing_are_no_keys() {
        let string = |text: &[u8]| [&(text.len() as u32).to_be_bytes()[..], text].concat();
        let certificate =
            [string(b"ssh-ed25519-cert-v01@openssh.com"), string(&[7; 32]), string(&[8; 32])];
        let rsa = |bits: usize| {
            [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&vec![0x7f; bits / 8])].concat()
        };
        let fault = |blob: &[u8]| PublicKey::from_blob(blob).err();
        assert!(fault(&certificate.concat()).is_some());
        assert_eq!(fault(&rsa(2_048)), None);
        assert_eq!(fault(&rsa(2_040)), Some(KeyFault::RsaBits));
        assert_eq!(fault(&rsa(16_384)), None);
        assert_eq!(fault(&rsa(16_392)), Some(KeyFault::RsaBits));
        assert_eq!(fault(&rsa(1 << 20)), Some(KeyFault::NotAKey));
    }

    #[test]
    fn a_key_in_hardware_signs_with_its_counter() {
        use rsa::signature::Signer;
        let string = |text: &[u8]| [&(text.len() as u32).to_be_bytes()[..], text].concat();
        let kind = b"sk-ssh-ed25519@openssh.com";
        let inside = ssh_key::private::Ed25519Keypair::from_seed(&[7; 32]);
        let key = [string(kind), string(inside.public.as_ref()), string(b"ssh:")].concat();
        let key = PublicKey::from_blob(&key).unwrap();
        assert!(key.is_hardware());
        // OpenSSH, PROTOCOL.u2f: application, flags, counter, message.
        let (application, message) = (Sha256::digest(b"ssh:"), Sha256::digest(b"message"));
        let end = [1, 0, 0, 0, 9];
        let signed = [&application[..], &end, &message[..]].concat();
        let raw: Signature = inside.try_sign(&signed).unwrap();
        let signature = [string(kind), string(raw.as_bytes()), end.to_vec()].concat();
        assert!(key.verifies(b"message", &signature));
        assert!(!key.verifies(b"another", &signature));
        let other_count = [&signature[..signature.len() - 1], &[8]].concat();
        assert!(!key.verifies(b"message", &other_count));
    }

    #[test]
    fn words_are_those_of_the_fingerprint() {
        let words = PublicKey::parse(ED25519).unwrap().words();
        // The fingerprint in hex begins 50 25 22.
        let expected = [WORDS[0x50], WORDS[0x25], WORDS[0x22]].join(" ");
        assert!(words.starts_with(&expected), "{words}");
        assert_eq!(words.split(' ').count(), FINGERPRINT_WORDS);
        assert!(WORDS.is_sorted());
        for pair in WORDS.windows(2) {
            assert!(!pair[1].starts_with(pair[0]), "{pair:?}");
        }
    }
}
