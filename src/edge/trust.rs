//! Whom we trust: `allowed_signers` and the revoked keys, and what the signatures of a package come
//! to by them.
//!
//! It decides no policy. Invariants: a file that others may write is not believed; bytes are hashed
//! only where a key that we know could have signed them; a revoked key never vouches.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::places::Places;
use super::private;
use super::signing::digest_of;
use super::window::Window;
use crate::format::allowed_signers::{self, AllowedSigners};
use crate::format::public_key::PublicKey;
use crate::format::revoked::{Revoked, RevokedFault};
use crate::format::settings::Settings;
use crate::format::sshsig::{self, Hash, NAMESPACE};
use crate::model::limits::TRUST_FILE_BYTES_MAX;
use crate::model::signer::Standing;

/// Whom we trust.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Who may sign for whom.
    pub signers: AllowedSigners,
    /// Keys that are never trusted.
    pub revoked: Revoked,
}

/// Why it cannot be known whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may write it.
    #[error("{}: others may change it; \"chmod go-w\" keeps it yours", .0.display())]
    Open(PathBuf),
    /// It is longer than any.
    #[error("{}: over {TRUST_FILE_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// The settings name a list of revoked keys, and there is none.
    #[error("{}: there is no such list of revoked keys, and the settings name it; an empty file \
             says that none is", .0.display())]
    Missing(PathBuf),
    /// The revoked keys cannot be read.
    #[error("{}: {fault}", path.display())]
    Revoked {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: RevokedFault,
    },
}

impl Trust {
    /// Reads both files; one that does not exist is empty, but for a list of revoked keys that the
    /// settings name: on a disk that is not mounted it would revoke nothing.
    ///
    /// # Errors
    /// Either cannot be read or may be written by others; lines of `allowed_signers` that cannot be
    /// read trust nobody, and are no error.
    pub fn load(places: &Places, settings: &Settings) -> Result<Trust, TrustError> {
        let revoked = &places.revoked_keys(settings);
        if settings.revoked_keys.is_some() && !revoked.exists() {
            return Err(TrustError::Missing(revoked.clone()));
        }
        let text = read(&places.allowed_signers(settings))?;
        let signers = allowed_signers::parse(&String::from_utf8_lossy(&text), &TimeZone::system());
        let revoked_keys = Revoked::parse(&read(revoked)?)
            .map_err(|fault| TrustError::Revoked { path: revoked.to_owned(), fault })?;
        Ok(Trust { signers, revoked: revoked_keys })
    }

    /// Says what the signatures of a package of `origin` come to at the time `now_ms`; any one that
    /// is good vouches for it.
    ///
    /// # Errors
    /// The package cannot be read.
    pub fn standing(
        &self,
        package: &File,
        signatures: &[Vec<u8>],
        origin: &str,
        now_ms: u64,
    ) -> io::Result<Standing> {
        let mut digests = Digests { package: Some(package), sha256: None, sha512: None };
        let mut best = Standing::Unsigned;
        for text in signatures {
            let standing = self.standing_of_one(&mut digests, text, origin, now_ms)?;
            best = best.max(standing);
        }
        Ok(best)
    }

    /// Returns which of the signatures vouches for the package, if one does.
    ///
    /// # Errors
    /// The package cannot be read.
    pub fn proof(
        &self,
        package: &File,
        signatures: &[Vec<u8>],
        origin: &str,
        now_ms: u64,
    ) -> io::Result<Option<usize>> {
        let mut digests = Digests { package: Some(package), sha256: None, sha512: None };
        self.first_good(&mut digests, signatures, origin, now_ms)
    }

    /// As [`Trust::proof`], of a package of which no more than its SHA-256 is here: a signature that
    /// was made of another digest vouches for nothing yet.
    pub fn proof_of_sha256(
        &self,
        sha256: &[u8; 32],
        signatures: &[Vec<u8>],
        origin: &str,
        now_ms: u64,
    ) -> Option<usize> {
        let sha256 = Some(sha256.to_vec());
        let mut digests = Digests { package: None, sha256, sha512: None };
        // What reads no file cannot fail.
        self.first_good(&mut digests, signatures, origin, now_ms).unwrap_or_default()
    }

    fn first_good(
        &self,
        digests: &mut Digests<'_>,
        signatures: &[Vec<u8>],
        origin: &str,
        now_ms: u64,
    ) -> io::Result<Option<usize>> {
        for (at, text) in signatures.iter().enumerate() {
            if self.standing_of_one(digests, text, origin, now_ms)?.is_good() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn standing_of_one(
        &self,
        digests: &mut Digests<'_>,
        text: &[u8],
        origin: &str,
        now_ms: u64,
    ) -> io::Result<Standing> {
        let detached = match sshsig::parse(text) {
            Ok(detached) => detached,
            Err(fault) => return Ok(Standing::Unreadable(fault.to_string())),
        };
        if detached.namespace != NAMESPACE {
            return Ok(Standing::OtherNamespace(detached.namespace));
        }
        let key = &detached.key;
        let standing = match self.revoked.has(key) {
            true => Standing::Revoked { key: key.fingerprint() },
            false => {
                let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
                self.signers.standing(key, origin, NAMESPACE, now_ms)
            }
        };
        // Anybody can make a key, and have us read a GiB for it.
        if matches!(standing, Standing::Unknown(_)) {
            return Ok(standing);
        }
        let holds = detached.is_over(digests.of(detached.hash)?);
        Ok(if holds { standing } else { Standing::Bad { key: key.fingerprint() } })
    }
}

/// Returns the keys that signed a package, trusted or not: each of a signature for our purpose that
/// holds for these bytes.
///
/// # Errors
/// The package cannot be read.
pub fn signers_of(package: &File, signatures: &[Vec<u8>]) -> io::Result<Vec<PublicKey>> {
    let mut digests = Digests { package: Some(package), sha256: None, sha512: None };
    let mut keys = Vec::new();
    let read = signatures.iter().filter_map(|text| sshsig::parse(text).ok());
    for detached in read.filter(|detached| detached.namespace == NAMESPACE) {
        if !keys.contains(&detached.key) && detached.is_over(digests.of(detached.hash)?) {
            keys.push(detached.key);
        }
    }
    Ok(keys)
}

/// Adds a line to the end of a file of this account; makes the file where there is none.
///
/// # Errors
/// It cannot be written.
pub fn append(path: &Path, line: &str) -> Result<(), TrustError> {
    let mut text = read(path)?;
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    replace(path, &text)
}

/// Writes a line in the place of the one with this number, from 1, or at the end.
///
/// # Errors
/// It cannot be written.
pub fn replace_line(path: &Path, number: Option<usize>, line: &str) -> Result<(), TrustError> {
    let Some(number) = number else { return append(path, line) };
    let text = read(path)?;
    let lines = (1..).zip(text.split_inclusive(|byte| *byte == b'\n'));
    let new = [line.as_bytes(), b"\n"].concat();
    let lines = lines.map(|(at, old)| if at == number { new.as_slice() } else { old });
    replace(path, &lines.collect::<Vec<_>>().concat())
}

/// Takes the lines with these numbers, from 1, out of a file.
///
/// # Errors
/// It cannot be written.
pub fn take_out(path: &Path, numbers: &[usize]) -> Result<(), TrustError> {
    let text = read(path)?;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let stays = (1..).zip(lines).filter(|(number, _)| !numbers.contains(number));
    let text: Vec<u8> = stays.flat_map(|(_, line)| line.iter().copied()).collect();
    replace(path, &text)
}

/// Reads a file that nobody else may change; one that does not exist is empty.
///
/// # Errors
/// It cannot be read, others may change it, or it is too long.
pub fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let at = |source| TrustError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(error)),
    };
    let meta = file.metadata().map_err(at)?;
    let ours = [0, rustix::process::geteuid().as_raw()];
    if meta.mode() & 0o022 != 0 || !ours.contains(&meta.uid()) {
        return Err(TrustError::Open(path.to_owned()));
    }
    let mut text = Vec::new();
    file.take(TRUST_FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(at)?;
    if text.len() as u64 > TRUST_FILE_BYTES_MAX {
        return Err(TrustError::TooLong(path.to_owned()));
    }
    Ok(text)
}

/// Writes a file anew, whole or not at all; one that a link leads to stays where it is.
fn replace(path: &Path, text: &[u8]) -> Result<(), TrustError> {
    let at = |source| TrustError::Io { path: path.to_owned(), source };
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = private::create(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(at)
}

/// Whether `key` is one that a line of `signers` trusts for `address` already.
pub fn trusts(signers: &AllowedSigners, address: &crate::model::Address, key: &PublicKey) -> bool {
    signers.of(address).any(|line| line.key == *key)
}

/// The digests of a package, made when they are asked for, and once.
struct Digests<'f> {
    /// `None`: only the digests that are here are known.
    package: Option<&'f File>,
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl Digests<'_> {
    fn of(&mut self, hash: Hash) -> io::Result<&[u8]> {
        let slot = match hash {
            Hash::Sha256 => &mut self.sha256,
            Hash::Sha512 => &mut self.sha512,
        };
        if slot.is_none()
            && let Some(package) = self.package
        {
            let package = Window::new(package, u64::MAX);
            *slot = Some(digest_of(hash, package)?);
        }
        Ok(slot.as_deref().unwrap_or_default())
    }
}
