//! The detached signatures of an entry: gathered as they come, judged by others.
//!
//! Invariant: there are never more than [`SIGNATURES_MAX`] beside one entry, and one that was not
//! judged yet never gives way to another.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::disk::{at, exists, make_dir, mtime_ms, names, open_checked, remove_file, sync_dir};
use super::record::Record;
use super::{Arrival, Entry, EntryState, Queue, QueueError, hex, short_id};
use crate::model::limits::{SIGNATURE_BYTES_MAX, SIGNATURES_MAX};

impl Queue {
    /// Returns the detached signatures of an entry. One that is no plain file of ours any more, or
    /// has grown past the bound, is left out: it vouches for nothing.
    pub fn signatures_of(&self, entry: &Entry) -> Vec<Vec<u8>> {
        let read = |path: &PathBuf| {
            let mut bytes = Vec::new();
            let file = open_checked(path).ok()?;
            file.take(SIGNATURE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
            (bytes.len() as u64 <= SIGNATURE_BYTES_MAX).then_some(bytes)
        };
        entry.signatures.iter().filter_map(read).collect()
    }

    pub(super) fn signature_dir(&self, sha256: &[u8; 32]) -> PathBuf {
        self.dir.join("sigs").join(hex(sha256))
    }

    pub(super) fn signatures(&self, sha256: &[u8; 32]) -> Result<Vec<PathBuf>, QueueError> {
        let dir = self.signature_dir(sha256);
        let mut paths: Vec<PathBuf> = match fs::read_dir(&dir) {
            Ok(names) => names.filter_map(|name| Some(name.ok()?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(&dir)(error)),
        };
        paths.sort();
        Ok(paths)
    }

    /// Adds the signatures that are not there yet, as long as there is room. The one that vouches for
    /// the bytes has room always, and of an entry that is held all were judged, and none was good:
    /// then the oldest gives way, or whoever sends the package with eight false signatures would keep
    /// the true one out for ever.
    pub(super) fn add_signatures(
        &self,
        sha256: &[u8; 32],
        arrival: &Arrival,
    ) -> Result<(), QueueError> {
        let dir = self.signature_dir(sha256);
        for (number, signature) in arrival.signatures.iter().enumerate() {
            make_dir(&dir)?;
            let path = dir.join(file_name(signature));
            if exists(&path) {
                continue;
            }
            let before = self.signatures(sha256)?;
            let is_proof = arrival.proof == Some(number);
            if before.len() >= SIGNATURES_MAX
                && !self.make_room_for_signature(sha256, &before, is_proof)?
            {
                continue;
            }
            let temporary = self.temporary_with(signature)?;
            fs::rename(&temporary.0, &path).map_err(at(&path))?;
            sync_dir(&dir)?;
        }
        Ok(())
    }

    /// Drops the oldest signature where all were judged, or for one that `is_proof`; returns whether
    /// there is room now.
    fn make_room_for_signature(
        &self,
        sha256: &[u8; 32],
        paths: &[PathBuf],
        is_proof: bool,
    ) -> Result<bool, QueueError> {
        let record = self.record(sha256)?;
        let are_judged = record
            .as_ref()
            .is_some_and(|record| record.state == EntryState::Held && record.judged == paths.len());
        if !are_judged && !is_proof {
            return Ok(false);
        }
        let age = |path: &&PathBuf| fs::symlink_metadata(path).map_or(0, |meta| mtime_ms(&meta));
        if let Some(oldest) = paths.iter().min_by_key(age) {
            fs::remove_file(oldest).map_err(at(oldest))?;
        }
        // Their number is the same again: only this says that there is one to judge.
        match record {
            Some(record) => self.write_record(sha256, &Record { judged: 0, ..record }, true)?,
            None => true,
        };
        Ok(true)
    }

    /// Whether bytes that are noted as done or refused are news all the same. They are where nobody
    /// looked at them when they came, for then anybody who has them could keep them out; and where
    /// they were sealed, what they held still waits, and signatures come with them.
    pub(super) fn are_news(&self, before: &Record, is_signed: bool) -> Result<bool, QueueError> {
        match (before.state, before.inside) {
            (EntryState::Refused, _) => Ok(before.unread),
            (EntryState::Done, Some(inside)) if is_signed => {
                Ok(self.record(&inside)?.is_some_and(|inside| inside.state.waits()))
            }
            _ => Ok(false),
        }
    }

    /// Adds the signatures that came with a part to those of its set, as far as there is room; the
    /// one that vouches for the whole has room always.
    pub(super) fn add_set_signatures(
        &self,
        dir: &Path,
        arrival: &Arrival,
    ) -> Result<(), QueueError> {
        for (number, signature) in arrival.signatures.iter().enumerate() {
            let path = dir.join(file_name(signature));
            if exists(&path) {
                continue;
            }
            let all = names(dir)?;
            let here: Vec<_> = all.iter().filter(|name| is_signature(name.as_bytes())).collect();
            match here.first() {
                Some(_) if here.len() < SIGNATURES_MAX => {}
                Some(other) if arrival.proof == Some(number) => remove_file(&dir.join(other))?,
                Some(_) => continue,
                None => {}
            }
            fs::rename(&self.temporary_with(signature)?.0, &path).map_err(at(&path))?;
        }
        Ok(())
    }
}

/// Whether a file of a set is a signature.
pub(super) fn is_signature(name: &[u8]) -> bool {
    name.ends_with(b".sig")
}

/// Returns the name of a signature's file.
fn file_name(signature: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(signature).into();
    format!("{}.sig", short_id(&digest))
}
