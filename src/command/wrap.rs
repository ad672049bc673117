//! What a package gets around it before it leaves: a signature, and a seal where its receiver has
//! one.
//!
//! First it is signed, then both are sealed: so nobody but the receiver learns who signed what.
//! Invariant: what is to be sealed goes out sealed or not at all.

use std::fmt::Display;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use crate::edge::seal::seal;
use crate::edge::signing::{Signer, sha512_of};
use crate::edge::trust;
use crate::format::digest::sha256_of;
use crate::format::public_key::PublicKey;
use crate::format::revoked::Revoked;
use crate::format::seal_keys::SealKeys;
use crate::model::Address;
use crate::model::limits::PACKAGE_BYTES_MAX;
use crate::model::project::Format;

use super::outcome::Failure;
use super::session::Session;

/// Bytes that sealing adds at most before what is sealed: an RSA key's stanza, and the rest.
const SEAL_BYTES: usize = 4 << 10;

/// Signs and seals what one run sends.
pub struct Wrapper {
    signer: Option<Signer>,
    seal_keys: SealKeys,
    revoked: Revoked,
}

/// What goes out with a package, or in its place.
pub struct Wrapped {
    /// The detached signature, sealed as well where the package is.
    pub signature: Option<Vec<u8>>,
    /// SHA-256 of what the package is sealed in; `None` where it is not.
    pub sealed: Option<[u8; 32]>,
}

impl Wrapper {
    /// Opens the key that signs, and reads to whom is sealed.
    ///
    /// # Errors
    /// Either cannot be read; then nothing may go out.
    pub fn open(session: &Session, format: Format) -> Result<Wrapper, Failure> {
        let signer = match format {
            Format::V2_0 => session.signer()?,
            // GNU remsync knows no signatures.
            Format::V1_3 => None,
        };
        let revoked = session.trust()?.revoked;
        Ok(Wrapper { signer, seal_keys: seal_keys(session)?, revoked })
    }

    /// Whether what goes to an address is sealed.
    pub fn seals(&self, to: &Address) -> bool {
        self.seal_keys.key_of(to).is_some()
    }

    /// Returns how long a package of so many bytes is when it leaves, at most, and a signature as
    /// long as the one that goes with it.
    pub fn room(&self, to: &Address, package_bytes: u64) -> (u64, Option<Vec<u8>>) {
        let signature = self.signer.as_ref().map(|signer| {
            // A signature is not longer than its key by more than what is around both.
            let blob_bytes = signer.public_key().blob().len() * 2 + 300;
            vec![b'A'; blob_bytes * 3 / 2]
        });
        if !self.seals(to) {
            return (package_bytes, signature);
        }
        let sealed = |mut signature: Vec<u8>| {
            signature.resize(signature.len() + SEAL_BYTES, b'A');
            signature
        };
        // age puts 16 bytes to each 64 KiB.
        let bytes = package_bytes + package_bytes / 4_096 + SEAL_BYTES as u64;
        (bytes, signature.map(sealed))
    }

    /// Signs a package, and seals it into the file `out` where `to` gets sealed packages.
    ///
    /// # Errors
    /// It cannot be signed or sealed; then it may not go out.
    pub fn wrap(&self, package: &Path, to: &Address, out: &Path) -> Result<Wrapped, Failure> {
        let signature = self.sign(package)?;
        let Some(key) = self.seal_keys.key_of(to) else {
            return Ok(Wrapped { signature, sealed: None });
        };
        if PublicKey::parse(key).is_ok_and(|key| self.revoked.has(&key)) {
            return Err(Failure::new(format!("{to}: the key that it is sealed to was revoked"))
                .hinted(format_args!("\"remsync key seal {to} FILE\" seals to another")));
        }
        let fault = |error: &dyn Display| Failure::new(format!("{}: {error}", out.display()));
        let mut from = File::open(package)
            .map_err(|error| Failure::new(format!("{}: {error}", package.display())))?;
        let file = File::create(out).map_err(|error| fault(&error))?;
        let mut file = BufWriter::with_capacity(1 << 16, file);
        seal(key, &mut from, &mut file).map_err(|error| fault(&error))?;
        drop(file);
        let (sha256, bytes) = File::open(out).and_then(sha256_of).map_err(|error| fault(&error))?;
        if bytes > PACKAGE_BYTES_MAX {
            return Err(fault(&format_args!("over {PACKAGE_BYTES_MAX} bytes when sealed")));
        }
        let seal_signature = |signature: Vec<u8>| {
            let mut sealed = Vec::new();
            let done = seal(key, &mut signature.as_slice(), &mut sealed);
            done.map(|()| sealed).map_err(|error| fault(&error))
        };
        let signature = signature.map(seal_signature).transpose()?;
        Ok(Wrapped { signature, sealed: Some(sha256) })
    }

    fn sign(&self, package: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let at = |error: std::io::Error| Failure::new(format!("{}: {error}", package.display()));
        let digest = sha512_of(File::open(package).map_err(at)?).map_err(at)?;
        Ok(Some(signer.sign(&digest)?.into_bytes()))
    }
}

/// Reads to whom packages are sealed.
///
/// # Errors
/// The file cannot be read, not even one line of it, or others may change it.
pub fn seal_keys(session: &Session) -> Result<SealKeys, Failure> {
    let path = session.places.seal_keys(&session.settings);
    let text = trust::read(&path)?;
    SealKeys::parse(&String::from_utf8_lossy(&text))
        .map_err(|fault| Failure::new(format!("{}: {fault}", path.display())))
}
