//! Sealing: a stream that only the holder of a key can read, as age(1) writes and reads it.
//!
//! It is the `age` crate with our keys and bounds. Invariants: memory does not grow with what is
//! sealed; what is opened is whole or an error at its end, so nothing of it may be used before.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use ssh_key::LineEnding;
use zeroize::Zeroizing;

use super::signing::{Passphrase, SigningError, is_private, private_key, read_private};
use super::window::Window;
use crate::model::limits::SEAL_HEADER_BYTES_MAX;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key is none that can be sealed to.
    #[error("a key that age cannot seal to")]
    Key,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// None of our keys opens it.
    #[error("it is sealed, and none of our keys opens it")]
    NotForUs,
    /// It is damaged, or its beginning is longer than any.
    #[error("it is sealed, and damaged")]
    Damaged,
    /// A key of ours cannot be read.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A file holds neither a key of SSH nor one of age.
    #[error("{}: it holds no key that opens anything", .0.display())]
    NoIdentity(PathBuf),
}

/// Seals all of `from` to the key in `recipient`, as [`crate::format::seal_keys`] checked it.
///
/// # Errors
/// The key cannot be sealed to; trouble in reading or writing.
pub fn seal(recipient: &str, from: &mut dyn Read, out: &mut dyn Write) -> Result<(), SealError> {
    let recipient = parse_recipient(recipient).ok_or(SealError::Key)?;
    let one = std::iter::once(recipient.as_ref() as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(one).map_err(|_| SealError::Key)?;
    let mut sealed = encryptor.wrap_output(out)?;
    io::copy(from, &mut sealed)?;
    sealed.finish()?.flush()?;
    Ok(())
}

/// The keys that open what is sealed to us.
#[derive(Default)]
pub struct Opener {
    identities: Vec<Box<dyn age::Identity>>,
}

impl Opener {
    /// Adds the keys of a file: a private key of SSH (ed25519 or RSA), or keys of age.
    ///
    /// # Errors
    /// It cannot be read, or by others too; its passphrase is not to be had; it holds no such key.
    pub fn add(&mut self, path: PathBuf, passphrase: &mut Passphrase<'_>) -> Result<(), SealError> {
        let text = read_private(&path)?;
        if !is_private(&text) {
            let file = age::IdentityFile::from_buffer(&text[..]);
            let keys = file.ok().and_then(|file| file.into_identities().ok());
            let keys = keys.filter(|keys| !keys.is_empty());
            for key in keys.ok_or(SealError::NoIdentity(path))? {
                self.identities.push(key);
            }
            return Ok(());
        }
        let key = private_key(&path, passphrase)?;
        let open: Zeroizing<String> =
            key.to_openssh(LineEnding::LF).map_err(|_| SealError::NoIdentity(path.clone()))?;
        match age::ssh::Identity::from_buffer(open.as_bytes(), None)? {
            identity @ age::ssh::Identity::Unencrypted(_) => {
                self.identities.push(Box::new(identity));
                Ok(())
            }
            _ => Err(SealError::NoIdentity(path)),
        }
    }

    /// Whether there is a key at all.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Returns what is sealed in a file. Reading ends with an error where it was cut short or
    /// changed; what came before that is no proof of anything.
    ///
    /// # Errors
    /// None of our keys opens it, or its beginning cannot be read.
    pub fn open<'f>(&self, sealed: &'f File) -> Result<impl Read + use<'f>, SealError> {
        check_header(unarmored(Window::new(sealed, u64::MAX)))?;
        self.open_stream(unarmored(Window::new(sealed, u64::MAX)))
    }

    /// As [`Opener::open`], of bytes in memory.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub fn open_bytes(&self, sealed: &[u8], bytes_max: u64) -> Result<Vec<u8>, SealError> {
        check_header(unarmored(sealed))?;
        let mut bytes = Vec::new();
        self.open_stream(unarmored(sealed))?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open_stream<R: Read>(&self, sealed: R) -> Result<impl Read + use<R>, SealError> {
        let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(64 << 10, sealed))
            .map_err(|error| match error {
                age::DecryptError::Io(error) if !is_of_content(&error) => SealError::Io(error),
                _ => SealError::Damaged,
            })?;
        let keys = self.identities.iter().map(AsRef::as_ref);
        decryptor.decrypt(keys).map_err(|error| match error {
            age::DecryptError::Io(error) if !is_of_content(&error) => SealError::Io(error),
            age::DecryptError::NoMatchingKeys | age::DecryptError::ExcessiveWork { .. } => {
                SealError::NotForUs
            }
            _ => SealError::Damaged,
        })
    }
}

/// Whether an error of reading tells of what was read, and not of the disk.
pub fn is_of_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other)
        && error.raw_os_error().is_none()
}

fn parse_recipient(text: &str) -> Option<Box<dyn age::Recipient>> {
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Some(Box::new(recipient));
    }
    let recipient = text.parse::<age::ssh::Recipient>().ok()?;
    Some(Box::new(recipient))
}

/// Takes the text form of age off, where there is one: mail programs may have put it on.
fn unarmored<R: Read>(sealed: R) -> impl Read + use<R> {
    age::armor::ArmoredReader::new(sealed)
}

/// Holds that the text before what is sealed ends within its bound: who parses it may hold all of
/// it in memory.
fn check_header(sealed: impl Read) -> Result<(), SealError> {
    let mut bytes = Vec::new();
    match sealed.take(SEAL_HEADER_BYTES_MAX).read_to_end(&mut bytes) {
        Err(error) if !is_of_content(&error) => return Err(SealError::Io(error)),
        // Armour that breaks off later is found when what it holds is opened.
        _ => {}
    }
    let ends = bytes.windows(5).any(|window| window == b"\n--- ");
    if ends { Ok(()) } else { Err(SealError::Damaged) }
}
