//! Parts that wait for each other, in any order, doubled and late: volumes of packages, pieces of
//! shell archives, fragments of mails.
//!
//! ```text
//! parts/ID/               a set: the parts of one whole, a file each
//! parts/ID/note           what is known of it
//! parts/ID/*.sig          detached signatures that came with its parts
//! parts/tally, lock.*     how much waits; one set is changed by one process at a time
//! ```
//!
//! It judges no package: what was joined becomes an entry like any other, or is read as a mail. Invariants: a part that
//! was taken is on the disk; a set is joined only when it is complete, and what is joined of
//! volumes has the digest that each of them names; a set that is joined is gone only after its
//! entry is there, so that after a crash at any point the same comes of it.

mod incoming;
mod joint;
mod room;
mod set;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::incoming::What;
pub use self::incoming::{Claim, IncomingPart, SpooledPart};
pub(super) use self::incoming::{is_volume_cut_short, whole_of_volume};
use self::joint::{Joint, begin_of};
use self::set::{Joined, Kept, Share, Slice};
use super::disk::{at, exists, make_dir, names, now_ms, remove_file, sync_dir};
use super::signatures::is_signature;
use super::{
    Arrival, Delivered, HOUR_MS, Judgement, Known, Outcome, Queue, QueueError, Spooled, short_id,
};
use crate::edge::lock::{Lock, LockError};
use crate::format::digest::hex;
use crate::format::message::shar::{self, Decoder, Piece};
use crate::format::message::{self, Fragment, Kind};
use crate::format::note::{text_of, values_of};
use crate::format::statement;
use crate::format::volume::Volume;
use crate::model::limits::{PARTS_BYTES_MAX, PARTS_DAYS_MAX, PARTS_MAX, VOLUMES_MAX};

/// What became of a part.
#[derive(Debug)]
pub enum Taken {
    /// It is kept, and others are missing.
    Waits {
        /// The set.
        id: String,
        /// What is here and what is missing, in words.
        standing: String,
    },
    /// It was the last: here is the whole, to be delivered.
    Whole(Box<Whole>),
    /// It was the last fragment of a mail, to be read as one that came.
    Mail(Box<WholeMail>),
    /// It, or its whole, was here before.
    Already {
        /// The set or the entry.
        id: String,
    },
    /// Kept among the refused.
    Refused {
        /// Its entry.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// Not kept: nobody here knows the sender, and the room for such is full.
    NotKept,
    /// It is none of ours.
    Foreign,
}

/// What became of a volume that lay somewhere as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filed {
    /// Its package is this entry, now or since before.
    Entry(String),
    /// It is kept in this set, and others are missing, as these words say.
    Waits(String, String),
    /// It is not sound, and kept among the refused as this entry, for this reason.
    Refused(String, String),
}

/// What the parts of a set are together; nobody else changes the set as long as this is held.
#[derive(Debug)]
pub struct Whole {
    /// The bytes, judged.
    pub spooled: Spooled,
    /// What the mails of its parts brought.
    pub arrival: Arrival,
    set: [u8; 32],
    _lock: Lock,
}

/// A mail whose fragments are all here; nobody else changes the set as long as this is held.
#[derive(Debug)]
pub struct WholeMail {
    /// What the mails of its fragments brought.
    pub arrival: Arrival,
    lines: Joined,
    set: [u8; 32],
    _lock: Lock,
}

impl WholeMail {
    /// Lets others at the set, once it is read; returns its name.
    pub fn release(self) -> [u8; 32] {
        self.set
    }
}

impl Read for WholeMail {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.lines.read(out)
    }
}

/// Parts of one package that wait for the others: no entry yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSet {
    /// The first 12 hex digits of `sha256`.
    pub id: String,
    /// Digest of the package where volumes name it; else of what tells a shell archive from others.
    pub sha256: [u8; 32],
    /// The folder that holds them.
    pub path: PathBuf,
    /// Bytes of the parts that are here.
    pub size_bytes: u64,
    /// When the first came, in milliseconds since 1970.
    pub received_ms: u64,
    /// Author of the mail that brought the first; proves nothing.
    pub from: String,
    /// Of that mail, without angle brackets.
    pub message_id: String,
    /// Address of the site that wrote the package, as its volumes say; else empty.
    pub origin: String,
    /// What is here and what is missing, in words.
    pub standing: String,
}

/// How much may wait for other parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartBounds {
    /// Parts.
    pub parts_max: usize,
    /// Bytes of them.
    pub bytes_max: u64,
    /// Milliseconds after the last part of a set.
    pub age_ms_max: u64,
}

impl Default for PartBounds {
    fn default() -> PartBounds {
        PartBounds {
            parts_max: PARTS_MAX,
            bytes_max: PARTS_BYTES_MAX,
            age_ms_max: PARTS_DAYS_MAX * 24 * HOUR_MS,
        }
    }
}

impl Queue {
    /// Returns the queue with bounds of its own for parts that wait for each other.
    pub fn with_part_bounds(self, part_bounds: PartBounds) -> Queue {
        Queue { part_bounds, ..self }
    }

    /// Returns the file that a piece holds by itself.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn whole_piece(&self, part: &SpooledPart) -> Result<Spooled, QueueError> {
        let slice = Slice { path: part.path.0.clone(), from: 0, length: part.size_bytes };
        self.decoded(&[slice], part.claims())
    }

    /// Keeps a part with the others of its whole, durably; with the last it returns the whole.
    /// `subject` is that of the mail. Returns also the sets that strangers lose for it.
    ///
    /// # Errors
    /// [`QueueError::Full`] where a known sender's part finds no room; trouble of the disk.
    pub fn take_part(
        &self,
        part: SpooledPart,
        arrival: &Arrival,
        subject: &str,
    ) -> Result<(Taken, Vec<String>), QueueError> {
        let place = match &part.what {
            What::Damaged(reason) => {
                let reason = reason.clone();
                return self.refuse_part(part, arrival, reason).map(|taken| (taken, Vec::new()));
            }
            What::Volume(volume) => Placed::volume(volume),
            What::Piece(piece, edges) => {
                let placed = Placed::piece(piece, *edges, &arrival.from, subject);
                let is_ours = !edges.first || begins_as_ours(&part)?;
                match placed.filter(|_| is_ours) {
                    Some(placed) => placed,
                    None => return Ok((Taken::Foreign, Vec::new())),
                }
            }
            What::Fragment(fragment) => match Placed::fragment(fragment, &arrival.from) {
                Some(placed) => placed,
                None => return Ok((Taken::Foreign, Vec::new())),
            },
        };
        let lock = self.lock_set(&place.set)?;
        if let Some(id) = self.is_done(&place.set, arrival)? {
            return Ok((Taken::Already { id }, Vec::new()));
        }
        let mut dropped = Vec::new();
        let dir = self.set_dir(&place.set);
        let path = dir.join(place.share.file_name(&part.sha256));
        let is_new = !exists(&path);
        if is_new {
            match self.make_room(&place.set, part.size_bytes, arrival.known)? {
                Some(gone) => dropped = gone,
                None => return Ok((Taken::NotKept, dropped)),
            }
        }
        self.note_part(&place, arrival)?;
        if is_new {
            self.place_part(&part, &place.share, &path)?;
        }
        let taken = match self.join(place.set, lock)? {
            Joint::Whole(whole) => Taken::Whole(whole),
            Joint::Mail(mail) => Taken::Mail(mail),
            Joint::Foreign => Taken::Foreign,
            Joint::Waits if is_new => {
                let set = self.set(&place.set)?;
                Taken::Waits { id: short_id(&place.set), standing: set.reason() }
            }
            Joint::Waits => Taken::Already { id: short_id(&place.set) },
        };
        Ok((taken, dropped))
    }

    /// Keeps a volume that lies somewhere as a file, durably; with the last one its package becomes
    /// an entry.
    ///
    /// # Errors
    /// As [`Queue::take_part`] and [`Queue::deliver`].
    pub fn take_volume(&self, file: &File, arrival: &Arrival) -> Result<Filed, QueueError> {
        let mut incoming = self.incoming_part(Claim::Volume, true)?;
        let mut reader = BufReader::with_capacity(64 << 10, file);
        loop {
            let chunk = reader.fill_buf().map_err(at(&self.dir))?;
            if chunk.is_empty() {
                break;
            }
            incoming.write(chunk)?;
            let n = chunk.len();
            reader.consume(n);
        }
        Ok(match self.take_part(incoming.settle()?, arrival, "")?.0 {
            Taken::Whole(whole) => Filed::Entry(self.deliver_whole(*whole, Known::Proved)?.id),
            Taken::Waits { id, standing } => Filed::Waits(id, standing),
            Taken::Refused { id, reason } => Filed::Refused(id, reason),
            Taken::Already { id } => match self.find_waiting(&id)? {
                Some(set) => Filed::Waits(id, set.standing),
                None => Filed::Entry(id),
            },
            // Who brings a file is known, and a volume is never foreign.
            Taken::NotKept | Taken::Foreign | Taken::Mail(_) => {
                Filed::Refused(String::new(), "it is no volume".to_owned())
            }
        })
    }

    /// Puts a whole into the queue, and ends its set.
    ///
    /// # Errors
    /// As [`Queue::deliver`]; the parts stay then.
    pub fn deliver_whole(&self, whole: Whole, known: Known) -> Result<Delivered, QueueError> {
        let Whole { spooled, mut arrival, set, _lock } = whole;
        arrival.known = known;
        let sha256 = spooled.sha256;
        let delivered = self.deliver(spooled, &arrival)?;
        if delivered.outcome == Outcome::NotKept {
            self.change_note(&set, |note| {
                note.reason = "the room for unknown originators is full".to_owned();
            })?;
        } else {
            self.end_set(&set, &sha256)?;
        }
        Ok(delivered)
    }

    /// Ends the set of a mail whose packages are in the queue; a note stays, so that a fragment that
    /// comes late is known. Before that its fragments stay: the last one comes again, and the mail is
    /// read again.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn end_mail(&self, set: &[u8; 32]) -> Result<(), QueueError> {
        let _lock = self.lock_set(set)?;
        self.finish_set(set, set)
    }

    /// Returns the sets that wait for parts, the oldest first.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn waiting(&self) -> Result<Vec<PartSet>, QueueError> {
        let mut sets = Vec::new();
        for id in self.set_ids()? {
            let set = self.set(&id)?;
            if !set.kept.is_empty() {
                sets.push(set.told());
            }
        }
        sets.sort_by_key(|set| (set.received_ms, set.sha256));
        Ok(sets)
    }

    /// Returns the one set whose id begins with `id_prefix`, if there is just one.
    ///
    /// # Errors
    /// Where the sets cannot be read.
    pub fn find_waiting(&self, id_prefix: &str) -> Result<Option<PartSet>, QueueError> {
        let id = id_prefix.to_ascii_lowercase();
        let mut found = self.waiting()?;
        found.retain(|set| !id.is_empty() && hex(&set.sha256).starts_with(&id));
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    /// Forgets a set and its parts.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn drop_waiting(&self, set: &PartSet) -> Result<(), QueueError> {
        let _lock = self.lock_set(&set.sha256)?;
        self.remove_set(&set.sha256)
    }

    /// Ends what crashes left half done, and forgets what has waited too long; whether an entry came
    /// of it.
    pub(super) fn settle_sets(&self) -> Result<bool, QueueError> {
        let ids = self.set_ids()?;
        if ids.is_empty() && !exists(&self.parts_dir().join("tally")) {
            return Ok(false);
        }
        let mut has_delivered = false;
        for id in ids {
            // Whoever changes it now also ends it.
            let Some(lock) = self.try_lock_set(&id)? else { continue };
            let set = self.set(&id)?;
            let is_old = set.note.last_ms.saturating_add(self.part_bounds.age_ms_max) < now_ms();
            let record = if set.kept.is_empty() { None } else { self.record(&id)? };
            let is_ended = match &record {
                Some(record) => !self.are_news(record, true)?,
                None => false,
            };
            if is_old || is_ended {
                self.remove_set(&id)?;
            } else if set.note.reason.is_empty()
                && let Joint::Whole(whole) = self.join(id, lock)?
            {
                let known = whole.arrival.known;
                has_delivered = true;
                match self.deliver_whole(*whole, known) {
                    Err(QueueError::Full { .. }) => {}
                    done => drop(done?),
                }
            }
        }
        let tally = self.count_parts()?;
        self.with_part_tally(|held| {
            // A listing that finds all as it should be changes nothing.
            if !held.counts_as(&tally) {
                *held = tally;
            }
        })?;
        Ok(has_delivered)
    }
}

/// Where a part belongs.
struct Placed {
    set: [u8; 32],
    share: Share,
    /// Parts of the whole, where the mail says so.
    count: Option<u32>,
    origin: String,
}

impl Placed {
    fn volume(volume: &Volume) -> Placed {
        Placed {
            set: volume.whole,
            share: Share::Volume { place: volume.place, total_bytes: volume.total_bytes },
            count: None,
            origin: volume.here.to_string(),
        }
    }

    /// `None` for one of too many.
    fn fragment(fragment: &Fragment, from: &str) -> Option<Placed> {
        let Fragment { id, number, total } = fragment;
        let mut key = Sha256::new();
        for word in ["message/partial", from, id] {
            key.update(word.as_bytes());
            key.update([0]);
        }
        let is_one = (1..=VOLUMES_MAX).contains(number) && (*total == 0 || number <= total);
        (is_one && *total <= VOLUMES_MAX).then(|| Placed {
            set: key.finalize().into(),
            share: Share::Fragment { number: *number, total: *total },
            count: None,
            origin: String::new(),
        })
    }

    /// `None` for one that does not say which part it is.
    fn piece(piece: &Piece, edges: shar::Edges, from: &str, subject: &str) -> Option<Placed> {
        let counted = counted_subject(subject);
        let number = piece.part.or(counted.map(|(number, _)| number))?;
        let count = counted.map(|(_, count)| count).filter(|count| number <= *count);
        let mut key = Sha256::new();
        // Without the name that tells archives apart, the length has to help.
        let length = if piece.archive.is_empty() { count.unwrap_or(0) } else { 0 };
        for word in [from, &piece.archive, &piece.file, &length.to_string()] {
            key.update(word.as_bytes());
            key.update([0]);
        }
        (number <= VOLUMES_MAX).then(|| Placed {
            set: key.finalize().into(),
            share: Share::Piece { number, edges },
            count,
            origin: String::new(),
        })
    }
}

/// Returns the numbers of `shar (2/3): NAME`, the first such pair of a subject.
fn counted_subject(subject: &str) -> Option<(u32, u32)> {
    subject.split('(').skip(1).find_map(|rest| {
        let (pair, _) = rest.split_once(')')?;
        let (number, count) = pair.split_once('/')?;
        let (number, count) = (number.trim().parse().ok()?, count.trim().parse().ok()?);
        (number > 0 && number <= count && count <= VOLUMES_MAX).then_some((number, count))
    })
}

/// Whether an encoded file begins as a package does, or as one that is packed or sealed once more;
/// one that says it is a package may be packed in ways that are not read.
fn begins_as_ours(part: &SpooledPart) -> Result<bool, QueueError> {
    let path = &part.path.0;
    let text = BufReader::new(File::open(path).map_err(at(path))?);
    let head = begin_of(Decoder::new(text)).map_err(at(path))?;
    let is_read = matches!(message::kind(&head), Some(Kind::Gzip | Kind::Sealed));
    Ok(head.is_empty() || is_read || part.claims() && message::unread(&head).is_some())
}

/// What is known of a set.
#[derive(Clone, Debug, Default)]
struct Note {
    from: String,
    message_id: String,
    origin: String,
    first_ms: u64,
    last_ms: u64,
    count: Option<u32>,
    known: Known,
    /// Digest of the entry that its parts became.
    done: Option<[u8; 32]>,
    /// Why its parts, all here, are no whole.
    reason: String,
}

impl Note {
    fn text(&self) -> Vec<u8> {
        text_of(&[
            ("from", self.from.as_bytes()),
            ("message-id", self.message_id.as_bytes()),
            ("origin", self.origin.as_bytes()),
            ("first", self.first_ms.to_string().as_bytes()),
            ("last", self.last_ms.to_string().as_bytes()),
            ("count", self.count.unwrap_or(0).to_string().as_bytes()),
            ("known", self.known.word().as_bytes()),
            ("done", self.done.map_or_else(String::new, |digest| hex(&digest)).as_bytes()),
            ("reason", self.reason.as_bytes()),
        ])
    }

    fn parse(text: &[u8]) -> Note {
        let values = values_of(text);
        let bytes = |keyword: &str| values.get(keyword).unwrap_or_default();
        let text = |keyword: &str| String::from_utf8_lossy(bytes(keyword)).into_owned();
        let number = |keyword: &str| text(keyword).parse().unwrap_or(0);
        Note {
            from: text("from"),
            message_id: text("message-id"),
            origin: text("origin"),
            first_ms: number("first"),
            last_ms: number("last"),
            count: text("count").parse().ok().filter(|count| *count > 0),
            known: Known::of_word(&text("known")),
            done: statement::hex(bytes("done")),
            reason: text("reason"),
        }
    }
}

/// A set as it lies on the disk.
struct Set {
    id: [u8; 32],
    dir: PathBuf,
    note: Note,
    kept: Vec<Kept>,
}

impl Set {
    fn bytes(&self) -> u64 {
        self.kept.iter().map(|part| part.bytes).sum()
    }

    /// Says why it waits.
    fn reason(&self) -> String {
        let standing = set::standing(&self.kept, self.note.count);
        match self.note.reason.as_str() {
            "" => standing,
            why => format!("{standing}: {why}"),
        }
    }

    fn told(&self) -> PartSet {
        PartSet {
            id: short_id(&self.id),
            sha256: self.id,
            path: self.dir.clone(),
            size_bytes: self.bytes(),
            received_ms: self.note.first_ms,
            from: self.note.from.clone(),
            message_id: self.note.message_id.clone(),
            origin: self.note.origin.clone(),
            standing: self.reason(),
        }
    }
}

impl Queue {
    fn parts_dir(&self) -> PathBuf {
        self.dir.join("parts")
    }

    fn set_dir(&self, id: &[u8; 32]) -> PathBuf {
        self.parts_dir().join(hex(id))
    }

    /// The lock of a set and of some others: what is never deleted has to be few.
    fn lock_path(&self, id: &[u8; 32]) -> PathBuf {
        self.parts_dir().join(format!("lock.{:x}", id.first().copied().unwrap_or_default() >> 4))
    }

    fn lock_set(&self, id: &[u8; 32]) -> Result<Lock, QueueError> {
        Ok(Lock::wait(&self.lock_path(id), LOCK_PATIENCE)?)
    }

    fn try_lock_set(&self, id: &[u8; 32]) -> Result<Option<Lock>, QueueError> {
        match Lock::take(&self.lock_path(id)) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Busy { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_ids(&self) -> Result<Vec<[u8; 32]>, QueueError> {
        let names = names(&self.parts_dir())?;
        Ok(names.iter().filter_map(|name| statement::hex(name.as_bytes())).collect())
    }

    /// Reads a set; one that is not there has no parts.
    fn set(&self, id: &[u8; 32]) -> Result<Set, QueueError> {
        let dir = self.set_dir(id);
        let note = match fs::read(dir.join("note")) {
            Ok(text) => Note::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Note::default(),
            Err(error) => return Err(at(&dir.join("note"))(error)),
        };
        let mut kept = Vec::new();
        for name in if dir.is_dir() { names(&dir)? } else { Vec::new() } {
            let path = dir.join(&name);
            let share = name.to_str().and_then(Share::of_file_name);
            if let Some(share) = share
                && let Ok(meta) = fs::symlink_metadata(&path)
                && meta.is_file()
            {
                let came_ns =
                    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
                kept.push(Kept { share, path, bytes: meta.len(), came_ns });
            }
        }
        kept.sort_by(|a, b| (a.came_ns, &a.path).cmp(&(b.came_ns, &b.path)));
        Ok(Set { id: *id, dir, note, kept })
    }

    fn refuse_part(
        &self,
        part: SpooledPart,
        arrival: &Arrival,
        reason: String,
    ) -> Result<Taken, QueueError> {
        let SpooledPart { path, size_bytes, sha256, .. } = part;
        let judgement = Judgement::Refused(reason.clone());
        let spooled = Spooled { path, sha256, size_bytes, judgement, unread: true };
        let delivered = self.deliver(spooled, arrival)?;
        Ok(match delivered.outcome {
            Outcome::Already => Taken::Already { id: delivered.id },
            _ => Taken::Refused { id: delivered.id, reason },
        })
    }

    /// Returns the entry that the set became, if it did; what else came with the part goes there.
    fn is_done(&self, set: &[u8; 32], arrival: &Arrival) -> Result<Option<String>, QueueError> {
        let done = self.set(set)?.note.done;
        if done == Some(*set) {
            // A mail: what was in it has entries of its own.
            return Ok(Some(short_id(set)));
        }
        let done = done.unwrap_or(*set);
        let Some(record) = self.record(&done)? else { return Ok(None) };
        let is_here = exists(&self.waiting_path(&done, record.sealed));
        if record.state.waits() && !is_here {
            // A note without its bytes: they have to come again.
            return Ok(None);
        }
        if is_here {
            self.add_signatures(&done, arrival)?;
        } else if self.are_news(&record, !arrival.signatures.is_empty())? {
            return Ok(None);
        }
        self.end_set(set, &done)?;
        Ok(Some(short_id(&done)))
    }

    /// Notes what a part says of its set, and keeps the signatures that came with it.
    fn note_part(&self, place: &Placed, arrival: &Arrival) -> Result<(), QueueError> {
        let dir = self.set_dir(&place.set);
        make_dir(&dir)?;
        self.change_note(&place.set, |note| {
            note.last_ms = now_ms();
            if note.first_ms == 0 {
                note.first_ms = note.last_ms;
                (note.from, note.message_id) = (arrival.from.clone(), arrival.message_id.clone());
                note.origin.clone_from(&place.origin);
            }
            note.count = place.count.or(note.count);
            note.known = note.known.max(arrival.known);
            // It may be what mends the set.
            note.reason.clear();
        })?;
        self.add_set_signatures(&dir, arrival)
    }

    fn change_note(
        &self,
        set: &[u8; 32],
        change: impl FnOnce(&mut Note),
    ) -> Result<(), QueueError> {
        let path = self.set_dir(set).join("note");
        let mut note = self.set(set)?.note;
        change(&mut note);
        let temporary = self.temporary_with(&note.text())?;
        fs::rename(&temporary.0, &path).map_err(at(&path))
    }

    /// Moves a part to its place; an earlier one for the same place goes.
    fn place_part(&self, part: &SpooledPart, share: &Share, path: &Path) -> Result<(), QueueError> {
        let dir = path.parent().unwrap_or(&self.dir);
        fs::rename(&part.path.0, path).map_err(at(path))?;
        for name in names(dir)? {
            let other = name.to_str().and_then(Share::of_file_name);
            if other.is_some_and(|other| other.is_same_as(share)) && dir.join(&name) != path {
                remove_file(&dir.join(&name))?;
            }
        }
        sync_dir(dir)
    }

    fn arrival_of(&self, set: &Set) -> Result<Arrival, QueueError> {
        let mut signatures = Vec::new();
        for name in names(&set.dir)?.iter().filter(|name| is_signature(name.as_bytes())) {
            let path = set.dir.join(name);
            signatures.push(fs::read(&path).map_err(at(&path))?);
        }
        let Note { from, message_id, known, .. } = set.note.clone();
        Ok(Arrival { from, message_id, signatures, proof: None, known })
    }

    /// Ends a set whose whole is the entry `sha256`: it goes, but for a note where the entry's
    /// digest is another than the set's, so that a part that comes late is known.
    fn end_set(&self, id: &[u8; 32], sha256: &[u8; 32]) -> Result<(), QueueError> {
        if id == sha256 {
            return self.remove_set(id);
        }
        self.finish_set(id, sha256)
    }

    /// Removes all of a set but a note that it is done.
    fn finish_set(&self, id: &[u8; 32], sha256: &[u8; 32]) -> Result<(), QueueError> {
        let set = self.set(id)?;
        if set.note.done != Some(*sha256) {
            self.change_note(id, |note| note.done = Some(*sha256))?;
        }
        for name in names(&set.dir)?.iter().filter(|name| name.as_bytes() != b"note") {
            remove_file(&set.dir.join(name))?;
        }
        self.uncount_parts(&set)
    }

    fn remove_set(&self, id: &[u8; 32]) -> Result<(), QueueError> {
        let set = self.set(id)?;
        match fs::remove_dir_all(&set.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&set.dir)(error)),
            _ => self.uncount_parts(&set),
        }
    }
}

/// How long a delivery waits for another that changes the same set: joining takes seconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);
#[cfg(test)]
mod tests {
    use super::room::{Amount, PartTally};
    use super::*;
    use crate::format::digest::sha256_of;
    use crate::format::volume::{Place, header};
    use crate::model::Address;

    fn queue(parts_max: usize, bytes_max: u64) -> (tempfile::TempDir, Queue) {
        let dir = tempfile::tempdir().unwrap();
        let bounds = PartBounds { parts_max, bytes_max, ..PartBounds::default() };
        let queue = Queue::open(&dir.path().join("q")).unwrap().with_part_bounds(bounds);
        (dir, queue)
    }

    /// The first of two volumes of the package `n`, 1,000 bytes with its header.
    fn first_half(n: u8) -> Vec<u8> {
        volume_of_size(n, 1_000)
    }

    fn volume_of_size(n: u8, size: usize) -> Vec<u8> {
        let make = |length: usize| {
            let bytes = vec![n; length];
            let volume = Volume {
                here: Address::new("a@a.example").unwrap(),
                whole: [n; 32],
                total_bytes: 1_000_000,
                place: Place { number: 1, count: 2, offset: 0, length_bytes: length as u64 },
                sha256: sha256_of(&bytes[..]).unwrap().0,
            };
            [header(&volume), bytes].concat()
        };
        let head = make(size / 2).len() - size / 2;
        make(size - head)
    }

    fn take(queue: &Queue, bytes: &[u8], known: Known) -> Result<(Taken, Vec<String>), QueueError> {
        let mut incoming = queue.incoming_part(Claim::Volume, true).unwrap();
        incoming.write(bytes).unwrap();
        let arrival = Arrival { known, ..Arrival::default() };
        queue.take_part(incoming.settle().unwrap(), &arrival, "")
    }

    fn ids(queue: &Queue) -> Vec<u8> {
        queue.waiting().unwrap().iter().map(|set| set.sha256[0]).collect()
    }

    fn tally(queue: &Queue) -> PartTally {
        let mut copy = PartTally::default();
        queue.with_part_tally(|tally| copy = *tally).unwrap();
        PartTally { counted_ms: 0, ..copy }
    }

    #[test]
    fn strangers_lose_their_oldest_and_known_ones_wait() {
        let (_dir, queue) = queue(100, 1 << 30);
        assert_eq!(first_half(1).len(), 1_000);
        for n in 0..10 {
            let (taken, dropped) = take(&queue, &first_half(n), Known::No).unwrap();
            assert!(matches!(taken, Taken::Waits { .. }) && dropped.is_empty(), "{taken:?}");
        }
        let counted = tally(&queue);
        assert_eq!(counted.unknown, Amount { parts: 10, bytes: 10_000 });
        // One more: the two oldest go, so that a flood is not answered by one dropping each.
        let (taken, dropped) = take(&queue, &first_half(10), Known::No).unwrap();
        assert!(matches!(taken, Taken::Waits { .. }), "{taken:?}");
        assert_eq!(dropped, ["000000000000", "010101010101"]);
        assert_eq!(ids(&queue), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
        // Known ones fill the rest, and then the mail stays with the mail system.
        for (to, known) in [(52, Known::Says), (102, Known::Proved)] {
            for n in to - if known == Known::Says { 41 } else { 50 }..to {
                let taken = take(&queue, &first_half(n), known).unwrap().0;
                assert!(matches!(taken, Taken::Waits { .. }), "{n} {taken:?}");
            }
            let full = take(&queue, &first_half(200), Known::Says);
            assert!(matches!(&full, Err(QueueError::Full { .. })), "{full:?}");
        }
        let full = take(&queue, &first_half(102), Known::Proved);
        assert!(
            matches!(&full, Err(QueueError::Full { bound, .. }) if bound.contains("100 parts"))
        );
        assert!(matches!(
            take(&queue, &first_half(60), Known::Proved).unwrap().0,
            Taken::Already { .. }
        ));
        let counted = tally(&queue);
        queue.listing().unwrap();
        assert_eq!(tally(&queue), counted, "what was counted on the way is what is there");
        assert_eq!(fs::read_dir(queue.dir.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn bytes_have_a_bound_too() {
        let (_dir, queue) = queue(1_000, 10_000);
        assert!(matches!(
            take(&queue, &volume_of_size(1, 1_001), Known::No).unwrap().0,
            Taken::NotKept
        ));
        assert!(ids(&queue).is_empty());
        assert!(matches!(take(&queue, &first_half(2), Known::No).unwrap().0, Taken::Waits { .. }));
        assert!(matches!(
            take(&queue, &volume_of_size(3, 9_000), Known::Proved).unwrap().0,
            Taken::Waits { .. }
        ));
        assert!(matches!(
            take(&queue, &volume_of_size(4, 300), Known::Proved),
            Err(QueueError::Full { .. })
        ));
        queue.drop_waiting(&queue.find_waiting("02").unwrap().unwrap()).unwrap();
        assert!(matches!(
            take(&queue, &volume_of_size(4, 300), Known::Proved).unwrap().0,
            Taken::Waits { .. }
        ));
    }

    #[test]
    fn what_waited_too_long_is_forgotten() {
        let (_dir, queue) = queue(1_000, 1 << 30);
        let day = 24 * HOUR_MS;
        for (n, days) in [(1, PARTS_DAYS_MAX), (2, PARTS_DAYS_MAX - 1)] {
            take(&queue, &first_half(n), Known::Proved).unwrap();
            // A moment more than so many days ago.
            let last_ms = now_ms() - days * day - 1;
            queue.change_note(&[n; 32], |note| note.last_ms = last_ms).unwrap();
        }
        queue.listing().unwrap();
        assert_eq!(ids(&queue), [2]);
        assert_eq!(tally(&queue).proved, Amount { parts: 1, bytes: 1_000 });
    }

    #[test]
    fn a_torn_or_lost_tally_is_counted_anew() {
        let (_dir, queue) = queue(1_000, 1 << 30);
        take(&queue, &first_half(1), Known::Proved).unwrap();
        take(&queue, &first_half(2), Known::No).unwrap();
        let counted = tally(&queue);
        for text in ["", "tally 1 2", "tally 9 9 9 9 9 9 9\n"] {
            fs::write(queue.parts_dir().join("tally"), text).unwrap();
            assert_eq!(tally(&queue), counted, "{text:?}");
        }
    }

    #[test]
    fn subjects_are_counted() {
        for (subject, expected) in [
            ("shar (2/3): .remsync.tar.gz", Some((2, 3))),
            ("Re: (x) shar (02/03): a", Some((2, 3))),
            ("shar: .remsync.tar.gz", None),
            ("shar (4/3): a", None),
            ("shar (0/3): a", None),
            ("shar (1/10001): a", None),
            ("shar (1/10000): a", Some((1, 10_000))),
            ("(", None),
        ] {
            assert_eq!(counted_subject(subject), expected, "{subject}");
        }
    }
}
