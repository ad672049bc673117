//! A package on its way into the queue: written into `tmp/`, hashed on the way, judged at its end.
//!
//! Invariant: what is called [`Spooled`] is on the disk, whole, under its digest, unless it is no
//! package at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::QueueError;
use super::disk::{Temporary, at};
use super::judge::{Judgement, is_foreign, judge, judge_claim};
use crate::edge::window::Window;
use crate::format::digest;
use crate::model::limits::PACKAGE_BYTES_MAX;

/// A package being written into `tmp/`; gone again unless it is delivered.
#[derive(Debug)]
pub struct Incoming {
    path: Temporary,
    file: BufWriter<File>,
    pub(super) digest: Sha256,
    bytes: u64,
    /// Found to be none of ours on the way: the rest was not written.
    pub(super) foreign: bool,
    claims: bool,
}

impl Incoming {
    pub(super) fn new(file: File, path: Temporary) -> Incoming {
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Incoming { path, file, digest: Sha256::new(), bytes: 0, foreign: false, claims: false }
    }

    /// Where it `claims` to be a package by its name or its mail, damage to it is never taken for
    /// other people's business.
    pub fn claiming(self, claims: bool) -> Incoming {
        Incoming { claims, ..self }
    }

    /// Writes the next bytes; none any more once they are known to be other people's.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), QueueError> {
        let before = self.bytes;
        self.bytes += bytes.len() as u64;
        if self.foreign {
            return Ok(());
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(at(&self.path.0))?;
        if !self.claims && before < FOREIGN_BYTES && self.bytes >= FOREIGN_BYTES {
            self.look().map_err(at(&self.path.0))?;
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_ref();
        self.foreign = is_foreign(file)?;
        if self.foreign { file.set_len(0) } else { Ok(()) }
    }

    /// Where it is written.
    pub(super) fn path(&self) -> &Path {
        &self.path.0
    }

    /// Returns the bytes written so far.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the writing: cuts what mail systems hung on behind the gzip stream, judges the rest,
    /// and brings to the disk what will be kept.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn settle(self) -> Result<Spooled, QueueError> {
        self.settle_as(None)
    }

    /// Ends the writing of what is refused unread, for `reason`.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn settle_refused(self, reason: String) -> Result<Spooled, QueueError> {
        self.settle_as(Some(reason))
    }

    fn settle_as(self, refused: Option<String>) -> Result<Spooled, QueueError> {
        let Incoming { path, file, digest, bytes, foreign, claims } = self;
        let file = file.into_inner().map_err(|error| at(&path.0)(error.into_error()))?;
        let unread = refused.is_some();
        let (judgement, end) = match refused {
            Some(reason) => (Judgement::Refused(reason), bytes),
            None if foreign => (Judgement::NotAPackage, bytes),
            None if bytes > PACKAGE_BYTES_MAX => {
                (Judgement::Refused(format!("over {PACKAGE_BYTES_MAX} bytes")), bytes)
            }
            None => match judge(&file).map_err(at(&path.0))? {
                (Judgement::NotAPackage, end) if claims => {
                    (judge_claim(&file).map_err(at(&path.0))?, end)
                }
                judged => judged,
            },
        };
        let mut spooled = Spooled {
            path,
            sha256: digest.finalize().into(),
            size_bytes: bytes,
            judgement,
            unread,
        };
        if end < bytes {
            file.set_len(end).map_err(at(&spooled.path.0))?;
            spooled.size_bytes = end;
            spooled.sha256 =
                digest::sha256_of(Window::new(&file, end)).map_err(at(&spooled.path.0))?.0;
        }
        if spooled.judgement != Judgement::NotAPackage {
            file.sync_all().map_err(at(&spooled.path.0))?;
        }
        Ok(spooled)
    }
}

/// A package in `tmp/`, written and judged; gone again unless it is delivered.
#[derive(Debug)]
pub struct Spooled {
    pub(super) path: Temporary,
    /// Digest of its bytes.
    pub sha256: [u8; 32],
    /// How many.
    pub size_bytes: u64,
    /// What they are.
    pub judgement: Judgement,
    /// Refused for the way in which they came, and not for what they are.
    pub(super) unread: bool,
}

impl Spooled {
    /// Opens its bytes.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn open(&self) -> Result<File, QueueError> {
        File::open(&self.path.0).map_err(at(&self.path.0))
    }
}

/// Packed bytes after which a package has shown itself as one.
const FOREIGN_BYTES: u64 = 256 << 10;
/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::Queue;
    use super::*;

    #[test]
    fn a_package_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(dir.path()).unwrap();
        for (bytes, expected) in [
            (PACKAGE_BYTES_MAX, Judgement::NotAPackage),
            (PACKAGE_BYTES_MAX + 1, Judgement::Refused("over 1073741824 bytes".into())),
        ] {
            let incoming = Incoming { bytes, ..queue.incoming().unwrap() };
            assert_eq!(incoming.settle().unwrap().judgement, expected);
        }
    }
}
