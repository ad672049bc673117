//! Revoked keys: a list of public keys, or a key revocation list of OpenSSH (PROTOCOL.krl), as
//! `ssh-keygen -r` takes them.
//!
//! Invariant: what cannot be read whole is an error, for a key that is missed would be trusted.
//! Certificates are never trusted here, and so their serials need not be read.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

use super::public_key::PublicKey;
use super::sshsig::{take_string, take_u32};

/// The keys that are never trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// SHA-256 of each.
    digests: HashSet<[u8; 32]>,
}

/// Why a list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokedFault {
    /// A line that is no key.
    #[error("line {0} is no public key")]
    Line(usize),
    /// A binary list that is damaged, or of another version.
    #[error("the key revocation list is damaged, or of a version that is not known")]
    Damaged,
    /// It lists digests that are not read.
    #[error("the key revocation list has SHA-1 fingerprints; make it with \"sha256:\" lines")]
    Sha1,
    /// It has a part that may not be passed over.
    #[error("the key revocation list has a part of the unknown kind {0}")]
    Section(u8),
}

impl Revoked {
    /// Reads a file: one key a line, or binary.
    ///
    /// # Errors
    /// A [`RevokedFault`].
    pub fn parse(bytes: &[u8]) -> Result<Revoked, RevokedFault> {
        match bytes.strip_prefix(MAGIC) {
            Some(rest) => parse_krl(rest),
            None => parse_lines(bytes),
        }
    }

    /// Whether a key is among them.
    pub fn has(&self, key: &PublicKey) -> bool {
        let digest: [u8; 32] = Sha256::digest(key.blob()).into();
        self.digests.contains(&digest)
    }

    /// Returns the fingerprints, `SHA256:…`, in their order.
    pub fn fingerprints(&self) -> Vec<String> {
        let print = |digest: &[u8; 32]| format!("SHA256:{}", STANDARD_NO_PAD.encode(digest));
        let mut prints: Vec<String> = self.digests.iter().map(print).collect();
        prints.sort();
        prints
    }
}

const MAGIC: &[u8] = b"SSHKRL\n\0";
const VERSION: u32 = 1;
/// Sections, PROTOCOL.krl.
const CERTIFICATES: u8 = 1;
const EXPLICIT_KEY: u8 = 2;
const FINGERPRINT_SHA1: u8 = 3;
const SIGNATURE: u8 = 4;
const FINGERPRINT_SHA256: u8 = 5;

fn parse_lines(bytes: &[u8]) -> Result<Revoked, RevokedFault> {
    let mut revoked = Revoked::default();
    let text = String::from_utf8_lossy(bytes);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = PublicKey::parse(line).map_err(|_| RevokedFault::Line(number))?;
        revoked.digests.insert(Sha256::digest(key.blob()).into());
    }
    Ok(revoked)
}

fn parse_krl(bytes: &[u8]) -> Result<Revoked, RevokedFault> {
    let mut revoked = Revoked::default();
    let rest = &mut { bytes };
    if take_u32(rest) != Some(VERSION) {
        return Err(RevokedFault::Damaged);
    }
    // Number of the list, when it was made, flags; then what is reserved, and a comment.
    *rest = rest.get(24..).ok_or(RevokedFault::Damaged)?;
    for _ in 0..2 {
        take_string(rest).ok_or(RevokedFault::Damaged)?;
    }
    while let Some((kind, after)) = rest.split_first() {
        *rest = after;
        let mut section = take_string(rest).ok_or(RevokedFault::Damaged)?;
        match *kind {
            CERTIFICATES => {}
            // Nobody is asked who made the list: it is a file of this account.
            SIGNATURE => {
                take_string(rest).ok_or(RevokedFault::Damaged)?;
            }
            EXPLICIT_KEY | FINGERPRINT_SHA256 => {
                while !section.is_empty() {
                    let item = take_string(&mut section).ok_or(RevokedFault::Damaged)?;
                    let digest = match *kind {
                        EXPLICIT_KEY => Sha256::digest(item).into(),
                        _ => item.try_into().map_err(|_| RevokedFault::Damaged)?,
                    };
                    revoked.digests.insert(digest);
                }
            }
            FINGERPRINT_SHA1 => return Err(RevokedFault::Sha1),
            other => return Err(RevokedFault::Section(other)),
        }
    }
    Ok(revoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn krl(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = [MAGIC, &VERSION.to_be_bytes(), &[0; 24]].concat();
        out.extend([string(b""), string(b"comment")].concat());
        for (kind, bytes) in sections {
            out.push(*kind);
            out.extend(string(bytes));
        }
        out
    }

    #[test]
    fn lists_of_both_kinds() {
        let key = PublicKey::parse(KEY).unwrap();
        let digest: [u8; 32] = Sha256::digest(key.blob()).into();
        for (bytes, expected) in [
            (b"".to_vec(), Ok(false)),
            (b"# none\n\n".to_vec(), Ok(false)),
            (format!("# one\n{KEY} comment\n").into_bytes(), Ok(true)),
            (b"# one\nSHA256:x\n".to_vec(), Err(RevokedFault::Line(2))),
            (krl(&[]), Ok(false)),
            (krl(&[(CERTIFICATES, vec![1; 9])]), Ok(false)),
            (krl(&[(EXPLICIT_KEY, [string(b"x"), string(&key.blob())].concat())]), Ok(true)),
            (krl(&[(FINGERPRINT_SHA256, string(&digest))]), Ok(true)),
            (krl(&[(FINGERPRINT_SHA256, string(b"short"))]), Err(RevokedFault::Damaged)),
            (krl(&[(FINGERPRINT_SHA1, string(&[0; 20]))]), Err(RevokedFault::Sha1)),
            (krl(&[(255, vec![])]), Err(RevokedFault::Section(255))),
            (MAGIC.to_vec(), Err(RevokedFault::Damaged)),
            ([MAGIC, &[0, 0, 0, 2], &[0; 40]].concat(), Err(RevokedFault::Damaged)),
        ] {
            let answer = Revoked::parse(&bytes).map(|revoked| revoked.has(&key));
            assert_eq!(answer, expected, "{bytes:?}");
        }
        let whole = krl(&[(EXPLICIT_KEY, string(&key.blob()))]);
        for end in MAGIC.len()..whole.len() {
            // A list that ends where a part could begin is an empty one; anywhere else is a fault.
            let read = Revoked::parse(&whole[..end]);
            assert!(read.is_err() || read == Ok(Revoked::default()), "{end}");
        }
    }
}
