//! Taking in what others dropped into `new/`: scp, a USB stick, another program.
//!
//! A dropped file is copied, judged and delivered like any other; what is none of ours is left
//! where it is, and reported.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::disk::{
    Folder, at, each_name, mtime_ms, names, now_ms, open_checked, remove_file, sync_dir,
};
use super::judge::{is_cut_short, is_volume};
use super::listing::{Looks, Records};
use super::parts::{is_volume_cut_short, whole_of_volume};
use super::{Arrival, Judgement, Known, Queue, QueueError, digest_in_name, file_name};
use crate::edge::parallel::in_parallel;
use crate::format::statement;
use crate::format::volume;
use crate::model::limits::{PACKAGE_BYTES_MAX, SIGNATURE_BYTES_MAX};

/// A dropped file that ends early and is younger than this may still be being written.
const UNFINISHED_MS: u64 = 60_000;

/// What was found in `new/`.
pub(super) struct Adopted {
    /// What cannot be used, and why.
    pub(super) strays: Vec<(PathBuf, String)>,
    /// The digests of the files that are as their notes say, ascending.
    pub(super) settled: Vec<[u8; 32]>,
    /// Whether anything is other now than the notes had it.
    pub(super) is_changed: bool,
}

/// The names in `new/`.
#[derive(Default)]
pub(super) struct NewNames {
    /// Those that an entry may have, ascending: its digest, and whether it is sealed.
    entries: Vec<([u8; 32], bool)>,
    others: Vec<OsString>,
}

/// What a file in `new/` is that has the name of an entry.
enum Found {
    /// It is as the note says.
    Settled,
    /// Somebody took it away.
    Gone,
    Other,
}

/// Returns the name of the package that a signature called `name` is of: `X.sig` of X, `X.sig.age`
/// of `X.age`; `None` for any other name.
fn signed_name(name: &[u8]) -> Option<Vec<u8>> {
    let sealed = name.strip_suffix(b".sig.age").map(|stem| [stem, b".age"].concat());
    sealed.or_else(|| name.strip_suffix(b".sig").map(<[u8]>::to_vec))
}

impl Queue {
    /// Returns the names in `new/`.
    pub(super) fn new_names(&self) -> Result<NewNames, QueueError> {
        let mut names = NewNames::default();
        each_name(&self.dir.join("new"), |name| match digest_in_name(name) {
            Some(entry) => names.entries.push(entry),
            None => names.others.push(OsStr::from_bytes(name).to_owned()),
        })?;
        names.entries.sort_unstable();
        Ok(names)
    }

    /// Takes in what others dropped into `new/`.
    pub(super) fn adopt_all(
        &self,
        names: NewNames,
        records: &Records,
        looks: Looks,
    ) -> Result<Adopted, QueueError> {
        let dir = self.dir.join("new");
        let NewNames { mut entries, mut others } = names;
        let folder = Folder::open(dir.clone())?;
        let found = in_parallel(&mut entries, |(sha256, is_sealed)| {
            self.look_at(&folder, sha256, *is_sealed, records, looks).map(Some)
        })?;
        let mut settled = Vec::with_capacity(entries.len());
        for ((sha256, is_sealed), found) in entries.iter().zip(found) {
            match found {
                Found::Settled => settled.push(*sha256),
                Found::Gone => {}
                Found::Other => others.push(file_name(sha256, *is_sealed).into()),
            }
        }
        let mut strays = Vec::new();
        let mut signatures = Vec::new();
        let is_changed = !others.is_empty();
        for name in others {
            let path = dir.join(&name);
            if signed_name(name.as_bytes()).is_some() {
                signatures.push(path);
                continue;
            }
            match self.adopt(&path) {
                Ok(None) => {}
                Ok(Some(why)) => strays.push((path, why)),
                Err(QueueError::Unsafe { what, .. }) => strays.push((path, what.to_owned())),
                // What waits already has to be listed, or the queue would never empty.
                Err(error @ QueueError::Full { .. }) => strays.push((path, error.to_string())),
                // Somebody else took it in, or took it away.
                Err(QueueError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if !signatures.is_empty() {
            self.adopt_signatures(signatures, &mut strays)?;
        }
        Ok(Adopted { strays, settled, is_changed })
    }

    /// Whether what has the name of an entry in `new/` is one as it should be; finishes what a crash
    /// left.
    fn look_at(
        &self,
        folder: &Folder,
        sha256: &[u8; 32],
        is_sealed: bool,
        records: &Records,
        looks: Looks,
    ) -> Result<Found, QueueError> {
        let read;
        let record = match records.binary_search_by_key(sha256, |(sha256, _)| *sha256) {
            Ok(at) => &records[at].1,
            // It may have come since.
            Err(_) => {
                read = self.record(sha256)?;
                let Some(record) = &read else { return Ok(Found::Other) };
                record
            }
        };
        if is_sealed != record.sealed {
            return Ok(Found::Other);
        }
        if looks == Looks::AtNames && record.state.waits() {
            return Ok(Found::Settled);
        }
        let name = file_name(sha256, is_sealed);
        let Some(sound) = folder.is_ours(name.as_ref(), record.size_bytes) else {
            return Ok(Found::Gone);
        };
        if sound && !record.state.waits() {
            self.finish(sha256, record)?;
        }
        Ok(if sound { Found::Settled } else { Found::Other })
    }

    /// Copies a dropped file, for whoever wrote it may still hold it open, and delivers the copy.
    fn adopt(&self, path: &Path) -> Result<Option<String>, QueueError> {
        let file = open_checked(path)?;
        let before = file.metadata().map_err(at(path))?;
        if before.len() > PACKAGE_BYTES_MAX {
            return Ok(Some(format!("over {PACKAGE_BYTES_MAX} bytes")));
        }
        if is_volume(&file).map_err(at(path))? {
            return self.adopt_volume(path, &file, &before);
        }
        let mut incoming = self.incoming()?;
        let mut reader = BufReader::with_capacity(64 << 10, &file);
        loop {
            let chunk = reader.fill_buf().map_err(at(path))?;
            if chunk.is_empty() {
                break;
            }
            incoming.write(chunk)?;
            let n = chunk.len();
            reader.consume(n);
            if incoming.foreign {
                break;
            }
        }
        let young = now_ms().saturating_sub(mtime_ms(&before)) < UNFINISHED_MS;
        let spooled = incoming.settle()?;
        match &spooled.judgement {
            Judgement::NotAPackage if young && spooled.size_bytes < 64 << 10 => {
                return Ok(Some("no package, or not yet all of one".to_owned()));
            }
            Judgement::NotAPackage => return Ok(Some("no package".to_owned())),
            Judgement::Refused(_) if young && is_cut_short(&file).map_err(at(path))? => {
                return Ok(Some("not yet all of a package".to_owned()));
            }
            _ => {}
        }
        if is_changed(path, &before)? {
            return Ok(Some("being written".to_owned()));
        }
        let (sha256, sealed) = (spooled.sha256, spooled.judgement == Judgement::Sealed);
        // What a person put here is nobody's flood.
        let arrival = Arrival { known: Known::Proved, ..Arrival::default() };
        self.deliver(spooled, &arrival)?;
        self.note_dropped(&sha256, path.file_name().unwrap_or_default().as_bytes())?;
        if path != self.waiting_path(&sha256, sealed) {
            remove_file(path)?;
            sync_dir(&self.dir.join("new"))?;
        }
        Ok(None)
    }

    /// Puts a dropped volume with the others of its package.
    fn adopt_volume(
        &self,
        path: &Path,
        file: &File,
        before: &Metadata,
    ) -> Result<Option<String>, QueueError> {
        let young = now_ms().saturating_sub(mtime_ms(before)) < UNFINISHED_MS;
        if is_changed(path, before)? || young && is_volume_cut_short(file).map_err(at(path))? {
            return Ok(Some("not yet all of a volume".to_owned()));
        }
        self.take_volume(file, &Arrival { known: Known::Proved, ..Arrival::default() })?;
        let name = path.file_name().unwrap_or_default().as_bytes();
        if let Some(whole) = volume::whole_name(name)
            && let Some(sha256) = whole_of_volume(file).map_err(at(path))?
        {
            self.note_dropped(&sha256, whole)?;
        }
        remove_file(path)?;
        sync_dir(&self.dir.join("new"))?;
        Ok(None)
    }

    /// Notes under which name an entry, if it is one, was dropped: its signature may come later.
    fn note_dropped(&self, sha256: &[u8; 32], name: &[u8]) -> Result<(), QueueError> {
        let record = self.record(sha256)?.filter(|record| record.state.waits());
        let Some(mut record) = record else { return Ok(()) };
        record.dropped = name.to_vec();
        self.write_record(sha256, &record, true).map(drop)
    }

    /// Gives each `NAME.sig` to the entry that lay, or lies, under NAME.
    fn adopt_signatures(
        &self,
        paths: Vec<PathBuf>,
        strays: &mut Vec<(PathBuf, String)>,
    ) -> Result<(), QueueError> {
        let mut by_name: HashMap<Vec<u8>, [u8; 32]> = HashMap::new();
        for name in names(&self.dir.join("meta"))? {
            let Some(sha256) = statement::hex(name.as_bytes()) else { continue };
            let Some(record) = self.record(&sha256)? else { continue };
            by_name.insert(file_name(&sha256, record.sealed).into_bytes(), sha256);
            if !record.dropped.is_empty() {
                by_name.insert(record.dropped, sha256);
            }
        }
        for path in paths {
            let name = path.file_name().unwrap_or_default().as_bytes();
            let of = signed_name(name).unwrap_or_default();
            let Some(sha256) = by_name.get(&of) else {
                strays.push((
                    path,
                    "the signature of nothing that is here, or not all of it".to_owned(),
                ));
                continue;
            };
            let mut bytes = Vec::new();
            let read = open_checked(&path).and_then(|file| {
                file.take(SIGNATURE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at(&path))
            });
            match read {
                Ok(n) if n as u64 <= SIGNATURE_BYTES_MAX => {
                    let signatures = vec![bytes];
                    self.add_signatures(sha256, &Arrival { signatures, ..Arrival::default() })?;
                    remove_file(&path)?;
                }
                Ok(_) => strays.push((path, format!("over {SIGNATURE_BYTES_MAX} bytes"))),
                Err(QueueError::Unsafe { what, .. }) => strays.push((path, what.to_owned())),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether somebody still writes to it, or put another in its place.
fn is_changed(path: &Path, before: &Metadata) -> Result<bool, QueueError> {
    let after = fs::symlink_metadata(path).map_err(at(path))?;
    let now = (after.ino(), after.len(), mtime_ms(&after));
    Ok((before.ino(), before.len(), mtime_ms(before)) != now)
}
