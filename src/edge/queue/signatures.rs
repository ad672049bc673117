//! The detached signatures of an entry: gathered as they come, judged by others.
//!
//! Invariant: there are never more than [`SIGNATURES_MAX`] beside one entry, and one that was not
//! judged yet never gives way to another.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::disk::{at, exists, make_dir, mtime_ms, open_checked, sync_dir};
use super::{Entry, EntryState, Queue, QueueError, hex, short_id};
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

    /// Adds the signatures that are not there yet, as long as there is room. Of an entry that is
    /// held all were judged, and none was good: the oldest gives way, or whoever sends the package
    /// again with eight false signatures would keep the true one out for ever.
    pub(super) fn add_signatures(
        &self,
        sha256: &[u8; 32],
        signatures: &[Vec<u8>],
    ) -> Result<(), QueueError> {
        let dir = self.signature_dir(sha256);
        for signature in signatures {
            make_dir(&dir)?;
            let digest: [u8; 32] = Sha256::digest(signature).into();
            let path = dir.join(format!("{}.sig", short_id(&digest)));
            if exists(&path) {
                continue;
            }
            let before = self.signatures(sha256)?;
            if before.len() >= SIGNATURES_MAX && !self.make_room_for_signature(sha256, &before)? {
                continue;
            }
            let temporary = self.temporary_with(signature)?;
            fs::rename(&temporary.0, &path).map_err(at(&path))?;
            sync_dir(&dir)?;
        }
        Ok(())
    }

    /// Drops the oldest signature where all were judged; returns whether there is room now.
    fn make_room_for_signature(
        &self,
        sha256: &[u8; 32],
        paths: &[PathBuf],
    ) -> Result<bool, QueueError> {
        let Some(mut record) = self.record(sha256)? else { return Ok(false) };
        if record.state != EntryState::Held || record.judged != paths.len() {
            return Ok(false);
        }
        let age = |path: &&PathBuf| fs::symlink_metadata(path).map_or(0, |meta| mtime_ms(&meta));
        if let Some(oldest) = paths.iter().min_by_key(age) {
            fs::remove_file(oldest).map_err(at(oldest))?;
        }
        // Their number is the same again: only this says that there is one to judge.
        record.judged = 0;
        self.write_record(sha256, &record, true).map(|_| true)
    }
}
