//! The queue of incoming packages: a public directory in the manner of a maildir.
//!
//! ```text
//! tmp/            being written; what is older than 36 hours was left by a crash
//! new/            waiting, new or held: one regular file each, DIGEST.tar.gz; others may drop more
//! refused/        bytes of what is no sound package, for a while
//! meta/DIGEST     what is known of an entry, of every state, one KEYWORD TAB value a line
//! sigs/DIGEST/    its detached signatures
//! notes           copies of what is in meta/, a cache: see `notes`
//! notices/        what came of mails of ours: see `notices`
//! parts/          parts of packages that wait for each other
//! tally, lock     how much waits; held by `process`
//! ```
//!
//! It never applies anything and never asks. Invariants: what is below `new/` under its digest is
//! whole and on the disk; the same bytes are one entry, for ever; delivering takes no lock that
//! processing holds, and its cost does not grow with the queue.

mod adopt;
mod disk;
mod incoming;
mod judge;
mod listing;
mod notes;
mod notices;
mod parts;
mod record;
mod room;
mod signatures;

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use self::disk::{
    Temporary, at, exists, make_dir, mtime_ms, names, now_ms, open_checked, open_private,
    read_short, remove_file, rename_new, sync_dir,
};
pub use self::incoming::{Incoming, Spooled};
pub use self::judge::{Judgement, is_volume, judge};
pub use self::notices::{NoticeOutcome, QueuedNotice};
pub use self::parts::{
    Claim, Filed, IncomingPart, PartBounds, PartSet, SpooledPart, Taken, Whole, WholeMail,
};
use self::record::Record;
pub use self::room::Known;
use super::lock::{Lock, LockError};
use crate::format::digest::hex;
use crate::format::statement;
use crate::model::limits::{QUEUE_BYTES_MAX, QUEUE_ENTRIES_MAX};

/// Where an entry stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// Not looked at since it came, or since another signature came.
    #[default]
    New,
    /// Waits for a person.
    Held,
    /// Taken in; its bytes are gone.
    Done,
    /// No sound package, or not wanted; its bytes go after a while.
    Refused,
}

/// One incoming package on disk: bytes, untrusted, and what was noted of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first 12 hex digits of `sha256`; all of them where two entries share those.
    pub id: String,
    /// Digest of the package's file.
    pub sha256: [u8; 32],
    /// Where it stands.
    pub state: EntryState,
    /// The package's file; `None` once its bytes are gone.
    pub path: Option<PathBuf>,
    /// Bytes of that file.
    pub size_bytes: u64,
    /// When it came, in milliseconds since 1970.
    pub received_ms: u64,
    /// Author of the mail that brought it; empty where none did. Proves nothing.
    pub from: String,
    /// Of that mail, without angle brackets.
    pub message_id: String,
    /// The project's title, as the package says.
    pub title: String,
    /// Address of the site that wrote it, as the package says.
    pub origin: String,
    /// Address of the site that it is for, as the package says.
    pub visit: String,
    /// Its number among those from that site to this; 0 where the format has none.
    pub serial: u64,
    /// Why it is held or refused.
    pub reason: String,
    /// Files of its detached signatures.
    pub signatures: Vec<PathBuf>,
    /// Sealed with age: nothing in it was judged.
    pub sealed: bool,
}

/// Why the queue cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The queue, or a file in it, is not what it has to be.
    #[error("{}: {what}", path.display())]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A bound of the queue is reached.
    #[error("{}: the queue is full: over {bound}", path.display())]
    Full {
        /// The queue.
        path: PathBuf,
        /// The bound.
        bound: String,
    },
    /// Another process works on the queue, or its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// No entry has such an id.
    #[error("{id:?}: no such entry in the queue")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Several entries do.
    #[error("{id:?}: {count} entries begin so")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// How many.
        count: usize,
    },
    /// The entry's bytes are gone.
    #[error("{id}: its bytes are no longer kept")]
    NoBytes {
        /// The entry.
        id: String,
    },
}

/// What a mail (or a person) brought with a package.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Author of the mail.
    pub from: String,
    /// Of the mail.
    pub message_id: String,
    /// Detached signatures that came with it.
    pub signatures: Vec<Vec<u8>>,
    /// Which of them vouches for it, if one does.
    pub proof: Option<usize>,
    /// Whether a project of this account knows its originator.
    pub known: Known,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It waits now.
    Queued,
    /// These bytes were here before, whatever became of them; a new signature was added.
    Already,
    /// Kept among the refused, with its reason.
    Refused,
    /// Not kept: nobody here knows the originator, and the room for such is full.
    NotKept,
}

/// A delivery's answer: what the disk has, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The entry.
    pub id: String,
    /// It was not here before.
    pub fresh: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// All entries, and what lies in `new/` but is none.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// File, and why it was left alone.
    pub strays: Vec<(PathBuf, String)>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries, new and held.
    pub entries_max: usize,
    /// Bytes of them.
    pub bytes_max: u64,
}

/// The queue in a directory.
#[derive(Clone, Debug)]
pub struct Queue {
    dir: PathBuf,
    bounds: Bounds,
    part_bounds: PartBounds,
}

impl Queue {
    /// Opens the queue in `dir`; makes it where it is not there yet, for its owner alone.
    ///
    /// # Errors
    /// Where it cannot be made, or is somebody else's.
    pub fn open(dir: &Path) -> Result<Queue, QueueError> {
        let bounds = Bounds { entries_max: QUEUE_ENTRIES_MAX, bytes_max: QUEUE_BYTES_MAX };
        Queue::open_bounded(dir, bounds)
    }

    /// Opens the queue with bounds of its own.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn open_bounded(dir: &Path, bounds: Bounds) -> Result<Queue, QueueError> {
        let dir = std::path::absolute(dir).map_err(at(dir))?;
        make_dir(&dir)?;
        let meta = fs::metadata(&dir).map_err(at(&dir))?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(QueueError::Unsafe { path: dir, what: "belongs to another account" });
        }
        if meta.mode() & 0o077 != 0 {
            // Some file systems know no modes; there, the way to the queue has to be closed.
            let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        }
        for below in ["tmp", "new", "meta", "refused", "sigs", "parts"] {
            make_dir(&dir.join(below))?;
        }
        Ok(Queue { dir, bounds, part_bounds: PartBounds::default() })
    }

    /// Returns the queue's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the lock that `process` holds, so that only one process at a time works on the
    /// entries; delivering needs none.
    ///
    /// # Errors
    /// [`LockError::Busy`] where another process has it.
    pub fn lock(&self) -> Result<Lock, QueueError> {
        Ok(Lock::take(&self.dir.join("lock"))?)
    }

    /// Returns the one entry whose digest begins with `id_prefix`.
    ///
    /// # Errors
    /// Where there is none or more than one.
    pub fn find(&self, id_prefix: &str) -> Result<Entry, QueueError> {
        let id = id_prefix.to_ascii_lowercase();
        // A whole digest needs no listing.
        if let Some(sha256) = statement::hex(id.as_bytes())
            && let Some(record) = self.record(&sha256)?
            && let Some(entry) = self.entry(sha256, record)?
        {
            return Ok(entry);
        }
        let mut found: Vec<Entry> =
            self.list()?.into_iter().filter(|entry| hex(&entry.sha256).starts_with(&id)).collect();
        match (found.pop(), found.len()) {
            (Some(entry), 0) if !id.is_empty() => Ok(entry),
            (Some(_), more) if !id.is_empty() => {
                Err(QueueError::Ambiguous { id: id_prefix.to_owned(), count: more + 1 })
            }
            _ => Err(QueueError::NotFound { id: id_prefix.to_owned() }),
        }
    }

    /// Opens an entry's bytes: a regular file of ours with one name, never through a link.
    ///
    /// # Errors
    /// Where the bytes are gone, or the file is not such a one.
    pub fn open_entry(&self, entry: &Entry) -> Result<File, QueueError> {
        let path =
            entry.path.as_ref().ok_or_else(|| QueueError::NoBytes { id: entry.id.clone() })?;
        open_checked(path)
    }

    /// Leaves an entry for a person, for `reason`.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn hold(&self, entry: &Entry, reason: &str) -> Result<(), QueueError> {
        self.change(entry, |record| {
            record.state = EntryState::Held;
            record.reason = reason.to_owned();
            // A signature that comes later makes it new again.
            record.judged = entry.signatures.len();
        })
    }

    /// Puts an entry aside for good, for `reason`; its bytes stay for a while.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn refuse(&self, entry: &Entry, reason: &str) -> Result<(), QueueError> {
        self.change(entry, |record| {
            record.state = EntryState::Refused;
            record.reason = reason.to_owned();
        })?;
        if let Some(record) = self.record(&entry.sha256)? {
            self.finish(&entry.sha256, &record)?;
        }
        self.uncount(entry)
    }

    /// Marks an entry done: its bytes go at once, its digest stays.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn retire(&self, entry: &Entry) -> Result<(), QueueError> {
        self.retire_opened(entry, None)
    }

    /// As [`Queue::retire`], of what was sealed: what was `inside` has this digest.
    ///
    /// # Errors
    /// As [`Queue::retire`].
    pub fn retire_opened(&self, entry: &Entry, inside: Option<[u8; 32]>) -> Result<(), QueueError> {
        self.change(entry, |record| {
            record.state = EntryState::Done;
            record.reason.clear();
            record.inside = inside;
        })?;
        if let Some(record) = self.record(&entry.sha256)? {
            self.finish(&entry.sha256, &record)?;
        }
        self.uncount(entry)
    }

    /// Makes a held or refused entry new again.
    ///
    /// # Errors
    /// [`QueueError::NoBytes`] where its bytes are gone.
    pub fn retry(&self, entry: &Entry) -> Result<(), QueueError> {
        let Some(path) = &entry.path else {
            return Err(QueueError::NoBytes { id: entry.id.clone() });
        };
        if entry.state == EntryState::Refused {
            // The file first: a note without its file would be an entry that nobody sees.
            let waiting = self.waiting_path(&entry.sha256, entry.sealed);
            fs::rename(path, &waiting).map_err(at(path))?;
            sync_dir(&self.dir.join("new"))?;
        }
        self.change(entry, |record| {
            record.state = EntryState::New;
            record.reason.clear();
        })?;
        if entry.state == EntryState::Refused
            && let Some(record) = self.record(&entry.sha256)?
        {
            self.with_tally(|tally| {
                tally.count(&Record { state: EntryState::Refused, ..record.clone() }, true, -1);
                tally.count(&record, true, 1);
            })?;
        }
        Ok(())
    }

    /// Forgets an entry, digest and all: the same bytes would be new again.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, entry: &Entry) -> Result<(), QueueError> {
        if let Some(path) = &entry.path {
            remove_file(path)?;
            sync_dir(path.parent().unwrap_or(&self.dir))?;
        }
        let sigs = self.signature_dir(&entry.sha256);
        match fs::remove_dir_all(&sigs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&sigs)(error)),
            _ => {}
        }
        self.uncount(entry)?;
        remove_file(&self.meta_path(&entry.sha256))?;
        sync_dir(&self.dir.join("meta"))
    }

    /// Begins to write a package that comes in; nothing of it is seen before it is delivered.
    ///
    /// # Errors
    /// Where no file can be made.
    pub fn incoming(&self) -> Result<Incoming, QueueError> {
        let (file, path) = self.temporary()?;
        Ok(Incoming::new(file, path))
    }

    /// Makes a file that no name leads to, for what is only passed on.
    ///
    /// # Errors
    /// Where no file can be made.
    pub fn scratch(&self) -> Result<File, QueueError> {
        self.temporary().map(|(file, _)| file)
    }

    /// Puts what was written into the queue, durably. What is no package is not kept.
    ///
    /// # Errors
    /// [`QueueError::Full`] where a known originator's package finds no room; trouble of the disk.
    pub fn deliver(&self, spooled: Spooled, arrival: &Arrival) -> Result<Delivered, QueueError> {
        let delivered =
            |fresh, outcome| Delivered { id: short_id(&spooled.sha256), fresh, outcome };
        let record = Record::arrived(&spooled, arrival);
        // Again, where another delivery of the same bytes came in between.
        for _ in 0..3 {
            let before = self.record(&spooled.sha256)?;
            let here = match &before {
                Some(before) if before.state.waits() => {
                    exists(&self.waiting_path(&spooled.sha256, before.sealed))
                }
                Some(before)
                    if record.state == EntryState::Refused
                        || !self.are_news(before, !arrival.signatures.is_empty())? =>
                {
                    return Ok(delivered(false, Outcome::Already));
                }
                Some(_) | None => false,
            };
            if here {
                self.add_signatures(&spooled.sha256, arrival)?;
                return Ok(delivered(false, Outcome::Already));
            }
            if record.state == EntryState::Refused {
                self.keep_refused(&spooled, &record)?;
                return Ok(delivered(true, Outcome::Refused));
            }
            if !self.admit(&record)? {
                return Ok(delivered(true, Outcome::NotKept));
            }
            self.add_signatures(&spooled.sha256, arrival)?;
            // A note without its file was left by a crash, or the file was taken away by hand.
            if self.write_record(&spooled.sha256, &record, before.is_some())? {
                self.publish(&spooled, &self.waiting_path(&spooled.sha256, record.sealed))?;
                self.forget_refused(&spooled.sha256, before.as_ref())?;
                return Ok(delivered(true, Outcome::Queued));
            }
            self.with_tally(|tally| tally.count(&record, true, -1))?;
        }
        Ok(delivered(false, Outcome::Already))
    }
}

impl EntryState {
    fn waits(self) -> bool {
        matches!(self, EntryState::New | EntryState::Held)
    }

    /// The word for it, in files and in answers.
    pub fn word(self) -> &'static str {
        match self {
            EntryState::New => "new",
            EntryState::Held => "held",
            EntryState::Done => "done",
            EntryState::Refused => "refused",
        }
    }

    fn of_word(word: &str) -> Option<EntryState> {
        [EntryState::New, EntryState::Held, EntryState::Done, EntryState::Refused]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

const HOUR_MS: u64 = 3_600_000;

impl Queue {
    fn waiting_path(&self, sha256: &[u8; 32], sealed: bool) -> PathBuf {
        self.path_of("new", &file_name(sha256, sealed))
    }

    fn refused_path(&self, sha256: &[u8; 32], sealed: bool) -> PathBuf {
        self.path_of("refused", &file_name(sha256, sealed))
    }

    /// Returns a path in the queue, in one piece of memory: of a hundred thousand that counts.
    fn path_of(&self, folder: &str, name: &str) -> PathBuf {
        let bytes = self.dir.as_os_str().len() + folder.len() + name.len() + 2;
        let mut path = PathBuf::with_capacity(bytes);
        path.extend([self.dir.as_path(), folder.as_ref(), name.as_ref()]);
        path
    }

    fn meta_path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.dir.join("meta").join(hex(sha256))
    }

    /// Makes a new, empty file in `tmp/`.
    fn temporary(&self) -> Result<(File, Temporary), QueueError> {
        let random = RandomState::new().hash_one(std::process::id());
        let name = format!("{}.{}.{random:016x}", now_ms(), std::process::id());
        let path = self.dir.join("tmp").join(name);
        let file = open_private(&path, OpenOptions::new().read(true).write(true).create_new(true))?;
        Ok((file, Temporary(path)))
    }

    fn temporary_with(&self, bytes: &[u8]) -> Result<Temporary, QueueError> {
        let (mut file, path) = self.temporary()?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&path.0))?;
        Ok(path)
    }

    /// Moves what was spooled to its place; the same bytes there are the same bytes.
    fn publish(&self, spooled: &Spooled, path: &Path) -> Result<(), QueueError> {
        fs::rename(&spooled.path.0, path).map_err(at(path))?;
        sync_dir(path.parent().unwrap_or(&self.dir))
    }

    /// Returns what is noted of the digest; a note that cannot be read is none.
    fn record(&self, sha256: &[u8; 32]) -> Result<Option<Record>, QueueError> {
        let path = self.meta_path(sha256);
        Record::read(read_short(&path), || path)
    }

    /// Writes the note; without `replace` only where there is none that can be read: `false` says
    /// that there was one.
    fn write_record(
        &self,
        sha256: &[u8; 32],
        record: &Record,
        replace: bool,
    ) -> Result<bool, QueueError> {
        let path = self.meta_path(sha256);
        let temporary = self.temporary_with(&record.text())?;
        let new_only = !replace && (self.record(sha256)?.is_some() || !exists(&path));
        if new_only {
            if !rename_new(&temporary.0, &path).map_err(at(&path))? {
                return Ok(false);
            }
        } else {
            fs::rename(&temporary.0, &path).map_err(at(&path))?;
        }
        sync_dir(&self.dir.join("meta"))?;
        Ok(true)
    }

    fn change(&self, entry: &Entry, change: impl FnOnce(&mut Record)) -> Result<(), QueueError> {
        let mut record = self.record(&entry.sha256)?.unwrap_or_else(|| Record::of(entry));
        change(&mut record);
        self.write_record(&entry.sha256, &record, true).map(|_| ())
    }

    /// Brings the file of an entry where its state says that it is.
    fn finish(&self, sha256: &[u8; 32], record: &Record) -> Result<(), QueueError> {
        let waiting = self.waiting_path(sha256, record.sealed);
        match record.state {
            EntryState::New | EntryState::Held => return Ok(()),
            EntryState::Done => {
                remove_file(&waiting)?;
                remove_file(&self.refused_path(sha256, record.sealed))?;
                let _ = fs::remove_dir_all(self.signature_dir(sha256));
            }
            EntryState::Refused => {
                let refused = self.refused_path(sha256, record.sealed);
                match fs::rename(&waiting, &refused) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(at(&waiting)(error));
                    }
                    _ => {}
                }
                sync_dir(&self.dir.join("refused"))?;
            }
        }
        sync_dir(&self.dir.join("new"))
    }

    /// Removes what crashes left in `tmp/`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn sweep(&self) -> Result<(), QueueError> {
        let dir = self.dir.join("tmp");
        let oldest_ms = now_ms().saturating_sub(36 * HOUR_MS);
        for name in names(&dir)? {
            let path = dir.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|meta| mtime_ms(&meta) < oldest_ms) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

fn file_name(sha256: &[u8; 32], sealed: bool) -> String {
    hex(sha256) + if sealed { ".tar.gz.age" } else { ".tar.gz" }
}

/// Returns what a [`file_name`] was made of.
fn digest_in_name(name: &[u8]) -> Option<([u8; 32], bool)> {
    let (digits, rest) = name.split_at_checked(64)?;
    let sealed = rest == b".tar.gz.age";
    let named = sealed || rest == b".tar.gz";
    if named { Some((statement::hex(digits)?, sealed)) } else { None }
}

/// Bytes of a digest that are an entry's short id.
const SHORT_ID_BYTES: usize = 6;

fn short_id(sha256: &[u8; 32]) -> String {
    hex(sha256.split_at(SHORT_ID_BYTES).0)
}

#[cfg(test)]
mod tests {
    use super::listing::lengthen_ids;
    use super::room::Tally;
    use super::*;
    use crate::model::limits::{REFUSED_BYTES_MAX, SIGNATURE_BYTES_MAX};
    use std::time::{Duration, SystemTime};

    pub(super) const ROOMY: Bounds = Bounds { entries_max: 1_000, bytes_max: 1 << 30 };

    pub(super) fn queue(bounds: Bounds) -> (tempfile::TempDir, Queue) {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open_bounded(&dir.path().join("q"), bounds).unwrap();
        (dir, queue)
    }

    /// Delivers bytes as if they had been judged so.
    pub(super) fn deliver(
        queue: &Queue,
        bytes: &[u8],
        judgement: Judgement,
        known: Known,
    ) -> Outcome {
        let mut spooled = spool(queue, bytes);
        spooled.judgement = judgement;
        let arrival = Arrival { known, ..Arrival::default() };
        queue.deliver(spooled, &arrival).unwrap().outcome
    }

    fn spool(queue: &Queue, bytes: &[u8]) -> Spooled {
        let mut incoming = queue.incoming().unwrap();
        incoming.write(bytes).unwrap();
        incoming.settle().unwrap()
    }

    pub(super) fn sound() -> Judgement {
        let (title, origin, visit) = ("T\n%é".into(), "a@x".into(), "b@x".into());
        Judgement::Sound { title, origin, visit, serial: 7 }
    }

    fn only(queue: &Queue) -> Entry {
        let mut entries = queue.list().unwrap();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    fn tally(queue: &Queue) -> Tally {
        let mut copy = Tally::default();
        queue.with_tally(|tally| copy = *tally).unwrap();
        copy.recounted_ms = 0;
        copy
    }

    #[test]
    fn an_entry_lives_through_its_states() {
        let (_dir, queue) = queue(ROOMY);
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Queued);
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Already);
        let entry = only(&queue);
        assert_eq!((entry.title.as_str(), entry.serial, entry.size_bytes), ("T\n%é", 7, 5));
        queue.hold(&entry, "wait\tfor it").unwrap();
        let entry = only(&queue);
        assert_eq!((entry.state, entry.reason.as_str()), (EntryState::Held, "wait\tfor it"));
        queue.retry(&entry).unwrap();
        let entry = only(&queue);
        assert_eq!((entry.state, entry.reason.as_str()), (EntryState::New, ""));
        queue.refuse(&entry, "no").unwrap();
        let entry = only(&queue);
        assert_eq!((entry.state, entry.reason.as_str()), (EntryState::Refused, "no"));
        assert_eq!(names(&queue.dir.join("new")).unwrap().len(), 0);
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Already);
        queue.retry(&entry).unwrap();
        let entry = only(&queue);
        assert_eq!(entry.state, EntryState::New);
        assert_eq!(io::read_to_string(queue.open_entry(&entry).unwrap()).unwrap(), "bytes");
        queue.retire(&entry).unwrap();
        let entry = only(&queue);
        assert_eq!((entry.state, &entry.path), (EntryState::Done, &None));
        assert!(matches!(queue.open_entry(&entry), Err(QueueError::NoBytes { .. })));
        assert!(matches!(queue.retry(&entry), Err(QueueError::NoBytes { .. })));
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Already);
        queue.remove(&entry).unwrap();
        assert!(queue.list().unwrap().is_empty());
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Queued);
    }

    #[test]
    fn the_tally_follows_every_step() {
        let (_dir, queue) = queue(ROOMY);
        let counted_is_kept = |step: &str| {
            let kept = tally(&queue);
            queue.list().unwrap();
            assert_eq!(tally(&queue), kept, "{step}");
        };
        deliver(&queue, b"one", sound(), Known::Proved);
        deliver(&queue, b"second", sound(), Known::No);
        deliver(&queue, b"bad", Judgement::Refused("x".into()), Known::No);
        counted_is_kept("delivered");
        let entries = queue.list().unwrap();
        queue.refuse(&entries[0], "x").unwrap();
        counted_is_kept("refused");
        queue.retry(&queue.find(&entries[0].id).unwrap()).unwrap();
        counted_is_kept("retried");
        queue.retire(&entries[1]).unwrap();
        counted_is_kept("retired");
        queue.remove(&queue.find(&entries[2].id).unwrap()).unwrap();
        counted_is_kept("removed");
        fs::write(queue.dir.join("tally"), "torn").unwrap();
        counted_is_kept("torn");
    }

    #[test]
    fn bounds_hold_at_the_bound() {
        let (_dir, queue) = queue(Bounds { entries_max: 20, bytes_max: 1_000 });
        for n in 0..2_u8 {
            assert_eq!(deliver(&queue, &[n], sound(), Known::No), Outcome::Queued);
        }
        assert_eq!(deliver(&queue, b"x", sound(), Known::No), Outcome::NotKept);
        assert_eq!(deliver(&queue, &[0], sound(), Known::No), Outcome::Already);
        for n in 2..10_u8 {
            assert_eq!(deliver(&queue, &[n], sound(), Known::Says), Outcome::Queued);
        }
        let says = Arrival { known: Known::Says, ..Arrival::default() };
        let spooled = Spooled { judgement: sound(), ..spool(&queue, b"x") };
        let full = queue.deliver(spooled, &says);
        assert!(matches!(full, Err(QueueError::Full { .. })), "{full:?}");
        for n in 10..20_u8 {
            assert_eq!(deliver(&queue, &[n], sound(), Known::Proved), Outcome::Queued);
        }
        let full = queue.deliver(
            Spooled { judgement: sound(), ..spool(&queue, b"x") },
            &Arrival { known: Known::Proved, ..Arrival::default() },
        );
        assert!(matches!(full, Err(QueueError::Full { .. })), "{full:?}");
        // What somebody took away by hand is noticed, not at once but before long.
        fs::remove_file(queue.list().unwrap()[5].path.as_ref().unwrap()).unwrap();
        queue.with_tally(|tally| tally.recounted_ms = 0).unwrap();
        assert_eq!(deliver(&queue, b"x", sound(), Known::Proved), Outcome::Queued);
        assert_eq!(names(&queue.dir.join("tmp")).unwrap().len(), 0);
    }

    #[test]
    fn bytes_have_a_bound_too() {
        let (_dir, queue) = queue(Bounds { entries_max: 1_000, bytes_max: 1_000 });
        assert_eq!(deliver(&queue, &[0; 101], sound(), Known::No), Outcome::NotKept);
        assert_eq!(deliver(&queue, &[0; 100], sound(), Known::No), Outcome::Queued);
        assert_eq!(deliver(&queue, &[2; 400], sound(), Known::Says), Outcome::Queued);
        assert_eq!(deliver(&queue, &[1; 500], sound(), Known::Proved), Outcome::Queued);
        let one_more = Spooled { judgement: sound(), ..spool(&queue, b"x") };
        let known = Arrival { known: Known::Proved, ..Arrival::default() };
        assert!(matches!(queue.deliver(one_more, &known), Err(QueueError::Full { .. })));
    }

    #[test]
    fn refused_bytes_go_by_age_and_by_size() {
        let (_dir, queue) = queue(ROOMY);
        let day = Duration::from_secs(24 * 3_600);
        for (n, days) in [(0_u8, 31), (1, 29), (2, 0)] {
            let mut spooled = spool(&queue, &[n]);
            spooled.judgement = Judgement::Refused("why".into());
            File::open(&spooled.path.0)
                .unwrap()
                .set_modified(SystemTime::now() - day * days)
                .unwrap();
            queue.deliver(spooled, &Arrival::default()).unwrap();
        }
        let kept: Vec<bool> = queue.list().unwrap().iter().map(|e| e.path.is_some()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 2);
        assert!(queue.list().unwrap().iter().all(|e| e.reason == "why"), "the reason stays");
        // A sparse one that alone fills the room: the others go first.
        let mut large = spool(&queue, b"large");
        large.judgement = Judgement::Refused("why".into());
        large.size_bytes = REFUSED_BYTES_MAX - 1;
        OpenOptions::new()
            .write(true)
            .open(&large.path.0)
            .unwrap()
            .set_len(large.size_bytes)
            .unwrap();
        queue.deliver(large, &Arrival::default()).unwrap();
        assert!(tally(&queue).refused_bytes() <= REFUSED_BYTES_MAX);
        assert!(queue.list().unwrap().iter().filter(|e| e.path.is_some()).count() < 3);
    }

    #[test]
    fn a_crash_between_two_steps_is_made_good() {
        let (_dir, queue) = queue(ROOMY);
        // The note, and not yet the file: the mail comes again.
        deliver(&queue, b"bytes", sound(), Known::No);
        let entry = only(&queue);
        fs::remove_file(entry.path.as_ref().unwrap()).unwrap();
        assert!(queue.list().unwrap().is_empty());
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Queued);
        // Done or refused in the note, and the file still there.
        for (state, left) in [(EntryState::Refused, true), (EntryState::Done, false)] {
            let entry = only(&queue);
            queue.change(&entry, |record| record.state = state).unwrap();
            let entry = only(&queue);
            assert_eq!((entry.state, entry.path.is_some()), (state, left));
            assert!(names(&queue.dir.join("new")).unwrap().is_empty());
            let _ = queue.retry(&entry);
        }
        // A note that is torn is none.
        queue.remove(&only(&queue)).unwrap();
        deliver(&queue, b"bytes", sound(), Known::No);
        fs::write(queue.meta_path(&only(&queue).sha256), "state\tne").unwrap();
        assert_eq!(deliver(&queue, b"bytes", sound(), Known::No), Outcome::Queued);
        assert_eq!(only(&queue).state, EntryState::New);
    }

    #[test]
    fn old_leftovers_are_swept() {
        let (_dir, queue) = queue(ROOMY);
        let hour = Duration::from_secs(3_600);
        for (name, hours) in [("old", 37), ("young", 35)] {
            let file = File::create(queue.dir.join("tmp").join(name)).unwrap();
            file.set_modified(SystemTime::now() - hour * hours).unwrap();
        }
        queue.sweep().unwrap();
        assert_eq!(names(&queue.dir.join("tmp")).unwrap(), ["young"]);
    }

    #[test]
    fn ids_are_found_by_their_beginning() {
        let (_dir, queue) = queue(ROOMY);
        let mut first: std::collections::HashMap<u8, usize> = std::collections::HashMap::new();
        for n in 0..20_u8 {
            deliver(&queue, &[n], sound(), Known::Proved);
        }
        let entries = queue.list().unwrap();
        for entry in &entries {
            *first.entry(entry.id.as_bytes()[0]).or_default() += 1;
            assert_eq!(queue.find(&entry.id.to_uppercase()).unwrap(), *entry);
            assert_eq!(queue.find(&hex(&entry.sha256)).unwrap().sha256, entry.sha256);
        }
        let (digit, count) = first.into_iter().find(|(_, count)| *count > 1).unwrap();
        let prefix = char::from(digit).to_string();
        let found = queue.find(&prefix);
        assert!(matches!(found, Err(QueueError::Ambiguous { count: c, .. }) if c == count));
        for none in ["", "zz", &"0".repeat(64)] {
            assert!(matches!(queue.find(none), Err(QueueError::NotFound { .. })), "{none}");
        }
    }

    #[test]
    fn the_same_beginning_gives_a_longer_id() {
        let (_dir, queue) = queue(ROOMY);
        deliver(&queue, b"x", sound(), Known::Proved);
        let one = only(&queue);
        let mut two = one.clone();
        two.sha256[31] ^= 1;
        let mut entries = [one.clone(), two.clone()];
        lengthen_ids(&mut entries);
        assert_eq!(
            [entries[0].id.clone(), entries[1].id.clone()],
            [one, two].map(|e| hex(&e.sha256))
        );
    }

    #[test]
    fn only_one_processes() {
        let (_dir, queue) = queue(ROOMY);
        let lock = queue.lock().unwrap();
        assert!(matches!(queue.lock(), Err(QueueError::Lock(LockError::Busy { .. }))));
        assert_eq!(
            deliver(&queue, b"x", sound(), Known::Proved),
            Outcome::Queued,
            "delivering goes on"
        );
        drop(lock);
        queue.lock().unwrap();
    }

    #[test]
    fn what_lies_under_an_entry_s_name_is_looked_at() {
        type Change = fn(&Path);
        let table: [(&str, Change, Option<&str>); 4] = [
            ("as it was", |_| {}, None),
            (
                "another name",
                |path| fs::hard_link(path, path.with_extension("other")).unwrap(),
                Some("it has other names too"),
            ),
            (
                "a link",
                |path| {
                    fs::rename(path, path.parent().unwrap().join("../moved")).unwrap();
                    std::os::unix::fs::symlink("../moved", path).unwrap();
                },
                Some("a symbolic link"),
            ),
            (
                "other bytes",
                |path| fs::write(path, b"longer than it was").unwrap(),
                Some("no package, or not yet all of one"),
            ),
        ];
        for (name, change, stray) in table {
            let (_dir, queue) = queue(ROOMY);
            deliver(&queue, b"x", sound(), Known::Proved);
            let path = only(&queue).path.unwrap();
            change(&path);
            // To be shown, it is believed to be what its name says.
            let listed = queue.list_by_names().unwrap();
            assert_eq!(listed.len(), 1, "{name}");
            assert_eq!(listed[0].path.as_ref(), Some(&path), "{name}");
            let strays = queue.listing().unwrap().strays;
            let why = strays.iter().find(|(stray, _)| *stray == path).map(|(_, why)| why.as_str());
            assert_eq!(why, stray, "{name}");
        }
    }

    #[test]
    fn what_was_held_is_new_once_there_is_more_to_judge() {
        let (_dir, queue) = queue(ROOMY);
        deliver(&queue, b"x", sound(), Known::Proved);
        queue.hold(&only(&queue), "not trusted").unwrap();
        assert_eq!(only(&queue).reason, "not trusted");
        let name = format!("{}.sig", only(&queue).path.unwrap().display());
        fs::write(name, b"a signature").unwrap();
        let entry = only(&queue);
        assert_eq!((entry.state, entry.reason.as_str()), (EntryState::New, ""));
    }

    #[test]
    fn a_signature_has_a_bound() {
        let (_dir, queue) = queue(ROOMY);
        deliver(&queue, b"x", sound(), Known::Proved);
        let entry = only(&queue);
        let path = entry.path.clone().unwrap();
        for (bytes, left, count) in [(SIGNATURE_BYTES_MAX + 1, 1, 0), (SIGNATURE_BYTES_MAX, 0, 1)] {
            let name = format!("{}.sig", path.display());
            fs::write(name, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
            let listing = queue.listing().unwrap();
            assert_eq!(listing.strays.len(), left, "{bytes}");
            assert_eq!(listing.entries[0].signatures.len(), count, "{bytes}");
        }
    }
}
