//! Detached signatures as `ssh-keygen -Y sign` writes them (OpenSSH, PROTOCOL.sshsig).
//!
//! It says what a signature claims and whether it holds for a digest, never whom to trust. What is
//! signed is the digest of the package's bytes, so nobody has to hold a package in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::public_key::{KeyFault, PublicKey};
use crate::model::limits::SIGNATURE_BYTES_MAX;
use crate::model::path::escaped;

/// What our signatures are for; one that was made for another purpose says nothing here.
pub const NAMESPACE: &str = "remsync";

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Columns of base64, as ssh-keygen breaks its lines.
const COLUMNS: usize = 70;
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;

/// The digest that a signature was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256, which volumes name.
    Sha256,
    /// SHA-512, which ssh-keygen takes unless it is told otherwise.
    Sha512,
}

/// A detached signature, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The key that it says it was made with.
    pub key: PublicKey,
    /// What it is for.
    pub namespace: String,
    /// The digest that it was made of.
    pub hash: Hash,
    signature: Vec<u8>,
}

/// Why some bytes are no detached signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Longer than any.
    #[error("it is over {SIGNATURE_BYTES_MAX} bytes")]
    TooLong,
    /// The lines at its beginning and end are not there, or what is between is no base64.
    #[error("it is not as ssh-keygen writes it, or cut short")]
    Armor,
    /// What the base64 holds is no SSHSIG.
    #[error("it is damaged")]
    Damaged,
    /// Of a version that is not known.
    #[error("it is of version {0}")]
    Version(u32),
    /// The digest has a name that is not known.
    #[error("it is of the digest {0}")]
    Digest(String),
    /// The key is none that can sign here.
    #[error("{0}")]
    Key(KeyFault),
}

impl Hash {
    fn name(self) -> &'static [u8] {
        match self {
            Hash::Sha256 => b"sha256",
            Hash::Sha512 => b"sha512",
        }
    }
}

impl Detached {
    /// Whether it is a signature of the bytes with this digest.
    pub fn is_over(&self, digest: &[u8]) -> bool {
        let message = message(self.namespace.as_bytes(), self.hash, digest);
        self.key.verifies(&message, &self.signature)
    }
}

/// Reads a signature; what mail hangs on before and behind it is passed over.
///
/// # Errors
/// A [`SignatureFault`].
pub fn parse(text: &[u8]) -> Result<Detached, SignatureFault> {
    if text.len() as u64 > SIGNATURE_BYTES_MAX {
        return Err(SignatureFault::TooLong);
    }
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once(BEGIN).ok_or(SignatureFault::Armor)?;
    let (inside, _) = rest.split_once(END).ok_or(SignatureFault::Armor)?;
    let base64: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let blob = STANDARD.decode(base64).map_err(|_| SignatureFault::Armor)?;
    parse_blob(&blob)
}

/// Reads what stands between the lines of a signature, its base64 taken off.
///
/// # Errors
/// A [`SignatureFault`].
pub fn parse_blob(blob: &[u8]) -> Result<Detached, SignatureFault> {
    let mut rest = blob.strip_prefix(MAGIC).ok_or(SignatureFault::Damaged)?;
    let rest = &mut rest;
    let string =
        |rest: &mut &[u8]| take_string(rest).map(<[u8]>::to_vec).ok_or(SignatureFault::Damaged);
    match take_u32(rest) {
        Some(VERSION) => {}
        Some(other) => return Err(SignatureFault::Version(other)),
        None => return Err(SignatureFault::Damaged),
    }
    let key = string(rest)?;
    let namespace = String::from_utf8(string(rest)?).map_err(|_| SignatureFault::Damaged)?;
    let reserved = string(rest)?;
    let hash = string(rest)?;
    let signature = string(rest)?;
    // PROTOCOL.sshsig: the namespace is not empty; what is reserved is empty in version 1.
    if !rest.is_empty() || namespace.is_empty() || !reserved.is_empty() {
        return Err(SignatureFault::Damaged);
    }
    let hash = [Hash::Sha256, Hash::Sha512]
        .into_iter()
        .find(|known| known.name() == hash)
        .ok_or_else(|| SignatureFault::Digest(escaped(&hash)))?;
    let key = PublicKey::from_blob(&key).map_err(SignatureFault::Key)?;
    Ok(Detached { key, namespace: escaped(namespace.as_bytes()), hash, signature })
}

/// Returns what a key signs for the bytes with this digest.
pub fn message_to_sign(hash: Hash, digest: &[u8]) -> Vec<u8> {
    message(NAMESPACE.as_bytes(), hash, digest)
}

/// Writes the signature that `key` made of [`message_to_sign`].
pub fn print(key: &PublicKey, hash: Hash, signature: &[u8]) -> String {
    let mut blob = MAGIC.to_vec();
    blob.extend(VERSION.to_be_bytes());
    for field in [&key.blob(), NAMESPACE.as_bytes(), b"", hash.name(), signature] {
        push_string(field, &mut blob);
    }
    let base64 = STANDARD.encode(blob);
    let mut text = format!("{BEGIN}\n");
    for line in base64.as_bytes().chunks(COLUMNS) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + END + "\n"
}

/// Writes a string of SSH: its length in four bytes, and it; RFC 4251 section 5.
pub fn push_string(bytes: &[u8], out: &mut Vec<u8>) {
    // What is written here is a few KiB.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Takes a string of SSH from the beginning of `rest`; `None` where it is cut short.
pub fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u32(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// Takes a number of four bytes from the beginning of `rest`.
pub fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

/// PROTOCOL.sshsig, "signed data".
fn message(namespace: &[u8], hash: Hash, digest: &[u8]) -> Vec<u8> {
    let mut message = MAGIC.to_vec();
    for field in [namespace, b"", hash.name(), digest] {
        push_string(field, &mut message);
    }
    message
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha512};

    use super::*;

    // ssh-keygen -Y sign -n remsync -f id_ed25519, of "the package\n".
    const KEY: &str = include_str!("../../tests/golden/trust/id_ed25519.pub");
    const TEXT: &str = include_str!("../../tests/golden/trust/package.sig");
    const PACKAGE: &[u8] = b"the package\n";

    #[test]
    fn what_ssh_keygen_signed_is_read_and_holds() {
        let detached = parse(TEXT.as_bytes()).unwrap();
        assert_eq!(detached.key, PublicKey::parse(KEY).unwrap());
        assert_eq!((detached.namespace.as_str(), detached.hash), (NAMESPACE, Hash::Sha512));
        assert!(detached.is_over(&Sha512::digest(PACKAGE)));
        assert!(!detached.is_over(&Sha512::digest(b"the package")));
        // What we write is what ssh-keygen wrote.
        assert_eq!(print(&detached.key, Hash::Sha512, &detached.signature), TEXT);
    }

    #[test]
    fn mail_may_hang_something_on() {
        let crlf = TEXT.replace('\n', "\r\n");
        for text in [crlf.clone(), format!("\n\n{TEXT}-- \nlist\n"), format!("{crlf}\r\nfooter")] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_damaged_is_no_signature() {
        let cut = |bytes: usize| TEXT[..bytes].to_owned();
        let blob = |blob: &[u8]| format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(blob));
        let whole = STANDARD
            .decode(TEXT.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .unwrap();
        let mut version = whole.clone();
        version[9] = 2;
        for (text, fault) in [
            (String::new(), SignatureFault::Armor),
            (cut(60), SignatureFault::Armor),
            (cut(TEXT.len() - 2), SignatureFault::Armor),
            (TEXT.replace("U1NI", "U1N*"), SignatureFault::Armor),
            (blob(b""), SignatureFault::Damaged),
            (blob(&whole[..whole.len() - 1]), SignatureFault::Damaged),
            (blob(&[&whole[..], b"x"].concat()), SignatureFault::Damaged),
            (blob(&version), SignatureFault::Version(2)),
            ("x".repeat(SIGNATURE_BYTES_MAX as usize + 1), SignatureFault::TooLong),
            ("x".repeat(SIGNATURE_BYTES_MAX as usize), SignatureFault::Armor),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(fault), "{text:.80}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let holds = parse(blob(&changed).as_bytes())
                .is_ok_and(|detached| detached.is_over(&Sha512::digest(PACKAGE)));
            assert!(!holds, "byte {at}");
        }
    }
}
