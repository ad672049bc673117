//! What a package gets around it before it leaves: a signature, and a seal where its receiver has
//! one.
//!
//! First it is signed, then both are sealed: so nobody but the receiver learns who signed what.
//! Invariant: what is to be sealed goes out sealed or not at all.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::edge::outbox::Sealed;
use crate::edge::private;
use crate::edge::seal::seal;
use crate::edge::signing::{Signer, digest_of};
use crate::edge::trust;
use crate::format::digest::sha256_of;
use crate::format::public_key::PublicKey;
use crate::format::revoked::Revoked;
use crate::format::seal_keys::SealKeys;
use crate::format::sshsig::Hash;
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

    /// Returns a text as long as the signature that goes with a package to `to`, at most; `None`
    /// where none does.
    pub fn signature_room(&self, to: &Address) -> Option<Vec<u8>> {
        let signer = self.signer.as_ref()?;
        // A signature is not longer than its key by more than what is around both.
        let blob_bytes = signer.public_key().blob().len() * 2 + 300;
        let seal_bytes = if self.seal_keys.key_of(to).is_some() { SEAL_BYTES } else { 0 };
        Some(vec![b'A'; blob_bytes * 3 / 2 + seal_bytes])
    }

    /// Signs a package; what goes to a site that gets sealed packages is sealed. `None` where no key
    /// signs. One that goes in volumes is signed by the digest that they name, so that each of them
    /// is vouched for before the others have come.
    ///
    /// # Errors
    /// It cannot be signed or sealed; then it may not go out.
    pub fn sign(
        &self,
        package: &Path,
        to: &Address,
        in_volumes: bool,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let at = |error: io::Error| Failure::new(format!("{}: {error}", package.display()));
        let hash = if in_volumes { Hash::Sha256 } else { Hash::Sha512 };
        let digest = digest_of(hash, File::open(package).map_err(at)?).map_err(at)?;
        let signature = signer.sign(hash, &digest)?.into_bytes();
        let Some(key) = self.seal_key(to)? else { return Ok(Some(signature)) };
        let mut sealed = Vec::new();
        seal(key, &mut signature.as_slice(), &mut sealed)
            .map_err(|error| Failure::new(format!("{to}: {error}")))?;
        Ok(Some(sealed))
    }

    /// Seals a package into the file `out` where `to` gets sealed packages.
    ///
    /// # Errors
    /// It cannot be sealed; then it may not go out.
    pub fn seal(
        &self,
        package: &Path,
        to: &Address,
        out: &Path,
    ) -> Result<Option<Sealed>, Failure> {
        let Some(key) = self.seal_key(to)? else { return Ok(None) };
        let fault = |error: &dyn Display| Failure::new(format!("{}: {error}", out.display()));
        let mut from = File::open(package)
            .map_err(|error| Failure::new(format!("{}: {error}", package.display())))?;
        let file = private::create(out).map_err(|error| fault(&error))?;
        let mut file = BufWriter::with_capacity(1 << 16, file);
        seal(key, &mut from, &mut file).map_err(|error| fault(&error))?;
        drop(file);
        let (sha256, size_bytes) =
            File::open(out).and_then(sha256_of).map_err(|error| fault(&error))?;
        if size_bytes > PACKAGE_BYTES_MAX {
            return Err(fault(&format_args!("over {PACKAGE_BYTES_MAX} bytes when sealed")));
        }
        Ok(Some(Sealed { mark: mark_of(key), sha256, size_bytes }))
    }

    /// Whether a package for `to` may still leave as it was sealed, or not sealed, before; `out` has
    /// its sealed form.
    pub fn is_sealed_so(&self, before: Option<&Sealed>, to: &Address, out: &Path) -> bool {
        match (before, self.seal_keys.key_of(to)) {
            (None, None) => true,
            (Some(sealed), Some(key)) => {
                let is_there = || File::open(out).and_then(sha256_of).ok();
                sealed.mark == mark_of(key)
                    && is_there() == Some((sealed.sha256, sealed.size_bytes))
            }
            _ => false,
        }
    }

    /// The key that packages for `to` are sealed to.
    fn seal_key(&self, to: &Address) -> Result<Option<&str>, Failure> {
        let Some(key) = self.seal_keys.key_of(to) else { return Ok(None) };
        if PublicKey::parse(key).is_ok_and(|key| self.revoked.has(&key)) {
            return Err(Failure::new(format!("{to}: the key that it is sealed to was revoked"))
                .hinted(format_args!("\"remsync key seal {to} FILE\" seals to another")));
        }
        Ok(Some(key))
    }
}

fn mark_of(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
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
