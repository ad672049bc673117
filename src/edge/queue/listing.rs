//! The listing: every entry, from its note and from what lies where the note says.
//!
//! A note is read once, however long the queue; the folders are listed, not asked name by name.

use std::collections::HashSet;
use std::mem;
use std::path::{Path, PathBuf};

use super::adopt::Adopted;
use super::disk::{Folder, each_name, exists, now_ms};
use super::notes::{self, Fresh, Notes, Stamp};
use super::record::Record;
use super::room::Tally;
use super::{Entry, EntryState, Listing, Queue, QueueError, SHORT_ID_BYTES, hex, short_id};
use crate::edge::parallel::{in_parallel, side_by_side};
use crate::format::statement;

/// A note, where there is one, and what was read for it where there was no copy.
type Noted = (Option<Box<Record>>, Option<Box<Fresh>>);

/// The notes of the queue, ascending by digest. Boxed, for a note is large, and is moved.
pub(super) type Records = Vec<([u8; 32], Box<Record>)>;

/// What of the packages that wait a listing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    AtFiles,
    AtNames,
}

/// What the folders were seen to hold.
struct Seen {
    /// The digests of what has signatures, ascending.
    signed: Vec<[u8; 32]>,
    /// The digests of what waits, and lies there, ascending.
    settled: Vec<[u8; 32]>,
}

impl Queue {
    /// Returns all entries, oldest first; takes in what others dropped into `new/`.
    ///
    /// What lies there and cannot be used is logged: see [`Queue::listing`].
    ///
    /// # Errors
    /// Where the directories cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, QueueError> {
        self.list_by(Looks::AtFiles)
    }

    /// Does as [`Queue::list`], but believes the names of what waits: that each file is whole and ours is
    /// not looked at. For whoever shows the entries and does nothing with them.
    ///
    /// # Errors
    /// As [`Queue::list`].
    pub fn list_by_names(&self) -> Result<Vec<Entry>, QueueError> {
        self.list_by(Looks::AtNames)
    }

    fn list_by(&self, looks: Looks) -> Result<Vec<Entry>, QueueError> {
        let listing = self.listing_by(looks)?;
        for (path, why) in &listing.strays {
            log::warn!("{}: {why}", path.display());
        }
        Ok(listing.entries)
    }

    /// Returns all entries, oldest first, and the strays of `new/`; takes in what others dropped
    /// there, finishes what a crash left half done and forgets refused bytes that are due.
    ///
    /// # Errors
    /// Where the directories cannot be read.
    pub fn listing(&self) -> Result<Listing, QueueError> {
        self.listing_by(Looks::AtFiles)
    }

    fn listing_by(&self, looks: Looks) -> Result<Listing, QueueError> {
        self.sweep()?;
        let (names, records) = side_by_side(|| self.new_names(), || self.records());
        let mut records = records?;
        let Adopted { strays, settled, is_changed } = self.adopt_all(names?, &records, looks)?;
        if self.settle_sets()? || is_changed {
            records = self.records()?;
        }
        self.prune_refused()?;
        let signed = digests_in(&self.dir.join("sigs"))?;
        let seen = Seen { signed, settled };
        records.sort_by_cached_key(|(sha256, record)| (record.received_ms, *sha256));
        let mut entries = in_parallel(&mut records, |(sha256, record)| {
            self.entry_seen(*sha256, record, Some(&seen))
        })?;
        let mut tally = Tally::default();
        let mut listed = entries.iter().peekable();
        for (sha256, record) in &records {
            if let Some(entry) = listed.next_if(|entry| entry.sha256 == *sha256) {
                tally.count(record, entry.path.is_some(), 1);
            }
        }
        self.with_tally(|held| {
            tally.recounted_ms = now_ms();
            *held = tally;
        })?;
        lengthen_ids(&mut entries);
        Ok(Listing { entries, strays })
    }

    fn records(&self) -> Result<Records, QueueError> {
        let dir = self.dir.join("meta");
        let (digests, known) = side_by_side(|| digests_in(&dir), || Notes::read(&self.dir));
        let mut digests = digests?;
        let meta = Folder::open(dir)?;
        let is_long = digests.len() >= notes::WORTH_MIN;
        // Made before the first note is read; where it cannot be, they are read all the same.
        let draft = if is_long { self.temporary().ok() } else { None };
        let read = in_parallel(&mut digests, |sha256| {
            note_in(&meta, sha256, known.as_ref().filter(|_| is_long)).map(Some)
        })?;
        let (records, fresh): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        if let Some(draft) = draft {
            notes::keep(&self.dir, draft, known.as_ref(), &digests, &fresh);
        }
        let of = |(sha256, record): ([u8; 32], Option<Box<Record>>)| Some((sha256, record?));
        Ok(digests.into_iter().zip(records).filter_map(of).collect())
    }

    /// Returns the entry of a note; `None` where it waits but its file is gone.
    pub(super) fn entry(
        &self,
        sha256: [u8; 32],
        mut record: Record,
    ) -> Result<Option<Entry>, QueueError> {
        self.entry_seen(sha256, &mut record, None)
    }

    /// Does as [`Queue::entry`], and asks nothing again that was just seen. Takes the texts out of the
    /// note.
    fn entry_seen(
        &self,
        sha256: [u8; 32],
        record: &mut Record,
        seen: Option<&Seen>,
    ) -> Result<Option<Entry>, QueueError> {
        let path = match record.state {
            EntryState::New | EntryState::Held => self.waiting_path(&sha256, record.sealed),
            EntryState::Refused => self.refused_path(&sha256, record.sealed),
            EntryState::Done => PathBuf::new(),
        };
        let mut state = record.state;
        let is_there =
            state.waits() && seen.is_some_and(|seen| seen.settled.binary_search(&sha256).is_ok());
        let mut path = (is_there || exists(&path)).then_some(path);
        if path.is_none() && state.waits() {
            // Put back among the refused by a listing that came between two steps of `retry`.
            let refused = self.refused_path(&sha256, record.sealed);
            if !exists(&refused) {
                return Ok(None);
            }
            (state, path) = (EntryState::Refused, Some(refused));
        }
        let signatures = match state {
            EntryState::Done => Vec::new(),
            _ if seen.is_some_and(|seen| seen.signed.binary_search(&sha256).is_err()) => Vec::new(),
            _ => self.signatures(&sha256)?,
        };
        let judged_all = record.judged == signatures.len();
        let again = state == EntryState::Held && !judged_all;
        if again {
            record.reason.clear();
        }
        Ok(Some(Entry {
            id: short_id(&sha256),
            sha256,
            state: if again { EntryState::New } else { state },
            path,
            size_bytes: record.size_bytes,
            received_ms: record.received_ms,
            from: mem::take(&mut record.from),
            message_id: mem::take(&mut record.message_id),
            title: mem::take(&mut record.title),
            origin: mem::take(&mut record.origin),
            visit: mem::take(&mut record.visit),
            serial: record.serial,
            reason: mem::take(&mut record.reason),
            signatures,
            sealed: record.sealed,
        }))
    }
}

/// Returns a note; one that is not there, or cannot be what is there, is none.
fn note_in(meta: &Folder, sha256: &[u8; 32], known: Option<&Notes>) -> Result<Noted, QueueError> {
    let name = hex(sha256);
    if let Some(known) = known
        && let Ok(stat) = meta.look_at(&*name)
        && let Some(text) = known.text(sha256, &Stamp::of(&stat))
    {
        return Ok((Record::parse(text).map(Box::new), None));
    }
    match meta.read_short(&name) {
        Ok((stat, text)) => {
            let record = Record::parse(&text).map(Box::new);
            Ok((record, Some(Box::new((Stamp::of(&stat), text)))))
        }
        Err(error) => {
            let none = Record::read(Err(error), || meta.path_of(&name))?;
            Ok((none.map(Box::new), None))
        }
    }
}

/// Returns the digests that things in a folder are named by, ascending.
fn digests_in(dir: &Path) -> Result<Vec<[u8; 32]>, QueueError> {
    let mut digests = Vec::new();
    each_name(dir, |name| digests.extend(statement::hex(name)))?;
    digests.sort_unstable();
    Ok(digests)
}

/// Gives its whole digest to each entry whose short id another one has too.
pub(super) fn lengthen_ids(entries: &mut [Entry]) {
    let short = |entry: &Entry| entry.sha256.first_chunk::<SHORT_ID_BYTES>().copied();
    let mut seen = HashSet::new();
    let twice: HashSet<_> = entries.iter().map(short).filter(|id| !seen.insert(*id)).collect();
    for entry in entries.iter_mut().filter(|entry| twice.contains(&short(entry))) {
        entry.id = hex(&entry.sha256);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Known;
    use super::super::tests::{ROOMY, deliver, queue, sound};
    use super::*;

    #[test]
    fn a_listing_by_names_knows_what_is_gone_and_takes_in_what_was_dropped() {
        let (_dir, queue) = queue(ROOMY);
        for bytes in [b"x", b"y"] {
            deliver(&queue, bytes, sound(), Known::Proved);
        }
        let mut entries = queue.list_by_names().unwrap();
        assert_eq!(entries, queue.list().unwrap());
        fs::remove_file(entries.remove(0).path.unwrap()).unwrap();
        assert_eq!(queue.list_by_names().unwrap(), entries);
        // A crash between two steps of the processing.
        let path = entries[0].path.clone().unwrap();
        let bytes = fs::read(&path).unwrap();
        queue.retire(&entries[0]).unwrap();
        fs::write(&path, bytes).unwrap();
        let done = queue.list_by_names().unwrap();
        assert_eq!((done.len(), done[0].state), (1, EntryState::Done));
        assert!(!path.exists(), "what was left is gone");
        // What was dropped under the name that the sealed entry would have is none of these.
        fs::write(path.with_extension("gz.age"), b"no package").unwrap();
        assert_eq!(queue.list_by_names().unwrap(), done);
        assert_eq!(queue.listing().unwrap().strays.len(), 1);
    }
}
