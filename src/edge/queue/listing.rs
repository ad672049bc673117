//! The listing: every entry, from its note and from what lies where the note says.
//!
//! A note is read once, however long the queue; the folders are listed, not asked name by name.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::thread;

use super::adopt::Adopted;
use super::disk::{Folder, each_name, exists, now_ms};
use super::notes::{self, Fresh, Notes, Stamp};
use super::record::Record;
use super::room::Tally;
use super::{Entry, EntryState, Listing, Queue, QueueError, SHORT_ID_BYTES, hex, short_id};
use crate::format::statement;

/// Threads that read notes.
const THREADS_MAX: usize = 4;
/// Notes for which a thread is worth its while.
const SHARE_MIN: usize = 256;

/// The notes of the queue, by digest. Boxed, for a note is large, and is moved.
pub(super) type Records = HashMap<[u8; 32], Box<Record>>;

/// What the folders were seen to hold.
struct Seen {
    /// The digests of what has signatures.
    signed: HashSet<[u8; 32]>,
    /// The digests of what waits, and lies there.
    settled: HashSet<[u8; 32]>,
}

impl Queue {
    /// Returns all entries, oldest first, and the strays of `new/`; takes in what others dropped
    /// there, finishes what a crash left half done and forgets refused bytes that are due.
    ///
    /// # Errors
    /// Where the directories cannot be read.
    pub fn listing(&self) -> Result<Listing, QueueError> {
        self.sweep()?;
        let mut records = self.records()?;
        let Adopted { strays, settled, is_changed } = self.adopt_all(&records)?;
        if self.settle_sets()? || is_changed {
            records = self.records()?;
        }
        self.prune_refused()?;
        let signed = digests_in(&self.dir.join("sigs"))?.into_iter().collect();
        let seen = Seen { signed, settled };
        let mut records: Vec<([u8; 32], Box<Record>)> = records.into_iter().collect();
        records.sort_unstable_by_key(|(sha256, record)| (record.received_ms, *sha256));
        let entries = in_parallel(&mut records, |(sha256, record)| {
            self.entry_seen(*sha256, record, Some(&seen))
        })?;
        let mut tally = Tally::default();
        for ((_, record), entry) in records.iter().zip(&entries) {
            if let Some(entry) = entry {
                tally.count(record, entry.path.is_some(), 1);
            }
        }
        self.with_tally(|held| {
            tally.recounted_ms = now_ms();
            *held = tally;
        })?;
        let mut entries: Vec<Entry> = entries.into_iter().flatten().collect();
        lengthen_ids(&mut entries);
        Ok(Listing { entries, strays })
    }

    fn records(&self) -> Result<Records, QueueError> {
        let dir = self.dir.join("meta");
        let mut digests = digests_in(&dir)?;
        let meta = Folder::open(dir)?;
        let is_long = digests.len() >= notes::WORTH_MIN;
        // Made before the first note is read; where it cannot be, they are read all the same.
        let draft = if is_long { self.temporary().ok() } else { None };
        let known = if is_long { Notes::read(&self.dir) } else { None };
        let read = in_parallel(&mut digests, |sha256| {
            let name = hex(&*sha256);
            if let Some(known) = &known
                && let Ok(stat) = meta.look_at(&*name)
                && let Some(text) = known.text(sha256, &Stamp::of(&stat))
            {
                return Ok((Record::parse(text).map(Box::new), None));
            }
            match meta.read_short(&name) {
                Ok((stat, text)) => {
                    let record = Record::parse(&text).map(Box::new);
                    Ok((record, is_long.then(|| (Stamp::of(&stat), text))))
                }
                Err(error) => {
                    let none = Record::read(Err(error), || meta.path_of(&name))?;
                    Ok((none.map(Box::new), None))
                }
            }
        })?;
        let (records, fresh): (Vec<_>, Vec<Option<Fresh>>) = read.into_iter().unzip();
        if let Some(draft) = draft {
            notes::keep(&self.dir, draft, known.as_ref(), &digests, &fresh);
        }
        let mut found = Records::with_capacity(digests.len());
        for (sha256, record) in digests.into_iter().zip(records) {
            found.extend(record.map(|record| (sha256, record)));
        }
        Ok(found)
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
        let is_there = state.waits() && seen.is_some_and(|seen| seen.settled.contains(&sha256));
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
            _ if seen.is_some_and(|seen| !seen.signed.contains(&sha256)) => Vec::new(),
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

/// Returns the digests that things in a folder are named by.
fn digests_in(dir: &Path) -> Result<Vec<[u8; 32]>, QueueError> {
    let mut digests = Vec::new();
    each_name(dir, |name| digests.extend(statement::hex(name)))?;
    Ok(digests)
}

/// Does something for each item, in its order, on as many processors as that is worth.
pub(super) fn in_parallel<T: Send, R: Send>(
    items: &mut [T],
    each: impl Fn(&mut T) -> Result<R, QueueError> + Sync,
) -> Result<Vec<R>, QueueError> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let share = items.len().div_ceil(threads).max(SHARE_MIN);
    let each = &each;
    thread::scope(|scope| {
        let mut shares = items.chunks_mut(share);
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> = shares
            .map(|items| {
                scope.spawn(move || items.iter_mut().map(each).collect::<Result<Vec<_>, _>>())
            })
            .collect();
        let mut done = first.iter_mut().map(each).collect::<Result<Vec<_>, _>>()?;
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(done)
    })
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
