//! The outbox: packages that no carrier has accepted, each with the reason.
//!
//! Not when or whether to send: `broadcast` says. In a project's own folder:
//!
//! ```text
//! .remsync.d/outbox/NUMBER.note     a site's note: what waits for it, since when and why
//! .remsync.d/outbox/DIGEST.tar.gz   the package, by its SHA-256; what goes out sealed is beside it,
//!                                   in DIGEST.tar.gz.age
//! .remsync.d/outbox/limits          the largest mail of each site that named one
//! .remsync.d/outbox/threads         the last mail processed of each site: ours answer it
//! ```
//!
//! Invariant: whatever a note names is on the disk before the note is, and goes after it; a note is
//! durable before a carrier is asked. So after a crash a package lies here that may have been sent,
//! and is sent again as the same mail; none is lost, and none is believed sent that was not. Whoever
//! writes has the project's lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::private;
use crate::format::digest::hex;
use crate::format::note::{text_of, unescaped};
use crate::format::statement;
use crate::model::knowledge::Correspondence;
use crate::model::limits::MAIL_LIMIT_BYTES_MIN;
use crate::model::project::Format;
use crate::model::{Address, TreePath};

/// The first pause after a carrier did not accept, in ms; each later one is twice as long.
pub const PAUSE_FIRST_MS: u64 = 5 * MINUTE_MS;
/// The longest pause: a mailer that is back is found within an afternoon.
pub const PAUSE_MAX_MS: u64 = 4 * HOUR_MS;
/// The first pause after a mail came back: it went all the way there, and somebody has to act.
pub const RETURNED_PAUSE_FIRST_MS: u64 = 4 * HOUR_MS;
/// The longest pause after mails that came back.
pub const RETURNED_PAUSE_MAX_MS: u64 = 4 * 24 * HOUR_MS;
/// How long a site's limit is obeyed after it was last named: mail systems are changed.
pub const LIMIT_KEPT_MS: u64 = 30 * 24 * HOUR_MS;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Bytes of a note; a longer one is none.
const NOTE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 1_000;
const FOLDER: &str = "outbox";
const LIMITS: &str = "limits";
const THREADS: &str = "threads";
const DRAFT: &str = "draft";

/// The outbox of one project.
#[derive(Clone, Debug)]
pub struct Outbox {
    dir: PathBuf,
}

/// What waits for one site, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The site.
    pub to: Address,
    /// What it waits for.
    pub state: NoteState,
    /// The reason as the world codes it; empty where there is no code.
    pub status: String,
    /// The reason in words.
    pub reason: String,
    /// How often a carrier was asked since the site last got something; how many mails came back,
    /// where no package is here.
    pub attempts: u32,
    /// How many of the last attempts were never answered: a crash, or a mailer that hangs.
    pub unanswered: u32,
    /// Since when, in ms since 1970.
    pub first_ms: u64,
    /// When the carrier was last asked, or the mail came back.
    pub last_ms: u64,
    /// Not tried before; 0 is at once.
    pub next_ms: u64,
    /// The serial of the package.
    pub serial: u64,
    /// Stands for the carrier that was asked; empty where none was.
    pub carrier: String,
    /// The package; `None` where a carrier took it and something came after.
    pub package: Option<Unsent>,
    /// The largest mail that the site takes, if it was said with this refusal.
    pub limit_bytes: Option<u64>,
    /// Bytes of all mails to the site that a person is asked about.
    pub asked_bytes: u64,
    /// Bytes of mails to the site that a person has allowed; 0 is none.
    pub approved_bytes: u64,
    /// Files that are too big for a mail to this site, and were left out.
    pub left_out: Vec<LeftOut>,
}

/// A package that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Its digest.
    pub sha256: [u8; 32],
    /// Its length.
    pub size_bytes: u64,
    /// The length of the mail with it.
    pub mail_bytes: u64,
    /// The mail's name, the same at each attempt.
    pub message_id: String,
    /// The name of the mail that it answers; empty where there is none.
    pub in_reply_to: String,
    /// When it was made, in ms since 1970: the mail's date.
    pub made_ms: u64,
    /// Files in it.
    pub files: usize,
    /// Deletions in it.
    pub removes: usize,
    /// Others were to follow: it is a part of a plan.
    pub is_part: bool,
    /// What it is sealed in; `None`: it goes as it is.
    pub sealed: Option<Sealed>,
    /// It goes in volumes, and so much is done; `None`: in one mail.
    pub volumes: Option<Volumes>,
}

/// A sealed package. Sealing it again gives other bytes: these are kept, so that the mail is the same
/// at each attempt, and its volumes are of one whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Stands for the key that it is sealed to.
    pub mark: [u8; 32],
    /// Its digest.
    pub sha256: [u8; 32],
    /// Its length.
    pub size_bytes: u64,
}

impl Unsent {
    /// Returns digest and length of what leaves: the package, or what it is sealed in.
    pub fn carried(&self) -> ([u8; 32], u64) {
        let of_sealed = |sealed: &Sealed| (sealed.sha256, sealed.size_bytes);
        self.sealed.as_ref().map_or((self.sha256, self.size_bytes), of_sealed)
    }
}

/// How much of a package went in volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volumes {
    /// Volumes that a carrier took.
    pub sent: u32,
    /// Bytes of the package in them, from its beginning.
    pub sent_bytes: u64,
    /// Bytes of the package that a volume holds at most.
    pub room_bytes: NonZeroU64,
}

/// A file that is too big for a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub path: TreePath,
    /// Its signature then, as it is printed.
    pub signature: String,
    /// The length of a mail with it alone.
    pub mail_bytes: u64,
}

/// What a note waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteState {
    /// It is tried again, from `next_ms` on.
    Waiting,
    /// It waits for a person's word.
    Held,
    /// It will never be accepted as it is.
    Refused,
    /// It was accepted; word came that it is late, or one before it came back.
    Delayed,
}

/// How a broadcast came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A person named the site, or another carrier is there than the one that did not accept.
    Pressing,
    /// A person typed the command.
    Typed,
    /// By a clock.
    Unattended,
}

/// What a broadcast does about a site that has a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Tries the very same package again.
    Again,
    /// Makes a new package.
    Anew,
    /// Asks a person about the package that is here.
    Ask,
    /// Nothing yet.
    NotYet,
}

/// Why the outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Returns what stands for a carrier in a note: another one has another. It tells nothing secret.
pub fn mark_of_carrier(transport: &str) -> String {
    short(&Sha256::digest(transport).into())
}

/// Returns the pause after so many attempts, in ms.
pub fn pause_ms(attempts: u32) -> u64 {
    doubled(PAUSE_FIRST_MS, attempts, PAUSE_MAX_MS)
}

/// Returns the pause after so many mails that came back, in ms.
pub fn returned_pause_ms(attempts: u32) -> u64 {
    doubled(RETURNED_PAUSE_FIRST_MS, attempts, RETURNED_PAUSE_MAX_MS)
}

/// Returns where the sealed form of the package in a file lies, in the outbox and before it is there.
pub fn sealed_beside(package: &Path) -> PathBuf {
    let mut path = package.as_os_str().to_owned();
    path.push(".age");
    PathBuf::from(path)
}

impl NoteState {
    const ALL: [NoteState; 4] =
        [NoteState::Waiting, NoteState::Held, NoteState::Refused, NoteState::Delayed];

    /// Returns the state in one word.
    pub fn word(self) -> &'static str {
        match self {
            NoteState::Waiting => "waiting",
            NoteState::Held => "held",
            NoteState::Refused => "refused",
            NoteState::Delayed => "delayed",
        }
    }
}

impl Note {
    /// Returns a note of nothing yet.
    pub fn new(to: &Address) -> Note {
        Note {
            to: to.clone(),
            state: NoteState::Waiting,
            status: String::new(),
            reason: String::new(),
            attempts: 0,
            unanswered: 0,
            first_ms: 0,
            last_ms: 0,
            next_ms: 0,
            serial: 0,
            carrier: String::new(),
            package: None,
            limit_bytes: None,
            asked_bytes: 0,
            approved_bytes: 0,
            left_out: Vec::new(),
        }
    }

    /// Returns the number by which people name it: of the package, or of the site where there is
    /// none.
    pub fn id(&self) -> String {
        let digest = self.package.as_ref().map_or_else(|| digest_of(&self.to), |p| p.sha256);
        short(&digest)
    }

    /// Whether `name` is the beginning of its number or of its package's digest.
    pub fn is_named(&self, name: &str) -> bool {
        let digest = self.package.as_ref().map_or_else(|| digest_of(&self.to), |p| p.sha256);
        !name.is_empty() && hex(&digest).starts_with(&name.to_ascii_lowercase())
    }

    /// Whether the site got it after all, by what is known of that site now.
    pub fn is_settled(&self, with: &Correspondence, format: Format) -> bool {
        let is_noted = self.package.is_some() && with.last >= self.serial;
        let is_confirmed = match format {
            Format::V2_0 => with.seen >= self.serial,
            // Its serials are in no package; whatever it says later has to do.
            Format::V1_3 => self.package.is_none() && with.heard_ms > self.last_ms,
        };
        let is_about_mail = self.package.is_some() || self.state != NoteState::Held;
        self.serial > 0 && is_about_mail && (is_noted || is_confirmed)
    }

    /// Returns what a broadcast at `now_ms` does about the site. `stands`: its package still says
    /// what there is to say.
    pub fn turn(&self, stands: bool, call: Call, now_ms: u64) -> Turn {
        let is_due = call == Call::Pressing || self.is_due(now_ms);
        match (self.state, &self.package) {
            (_, Some(_)) if !stands => Turn::Anew,
            (NoteState::Held, Some(_)) => Turn::Ask,
            (NoteState::Waiting, Some(_)) if is_due || call == Call::Typed => Turn::Again,
            (NoteState::Refused, Some(_)) if call == Call::Pressing => Turn::Again,
            (NoteState::Waiting | NoteState::Refused, Some(_)) => Turn::NotYet,
            (NoteState::Refused, None) if !is_due => Turn::NotYet,
            _ => Turn::Anew,
        }
    }

    /// Whether the pause is over. One that is longer than any pause is of a clock that was wrong.
    fn is_due(&self, now_ms: u64) -> bool {
        self.next_ms <= now_ms || self.next_ms - now_ms > RETURNED_PAUSE_MAX_MS
    }

    /// Returns what is left when a carrier took all that waited: files that were left out, and that
    /// an earlier mail came back, until the site confirms the one with `serial`.
    pub fn rest(&self, before: Option<&Note>, serial: u64) -> Option<Note> {
        let after = before.filter(|note| note.package.is_none());
        let after =
            after.filter(|note| matches!(note.state, NoteState::Refused | NoteState::Delayed));
        let left_out = self.left_out.clone();
        if let Some(note) = after {
            let serial = if note.state == NoteState::Refused { serial } else { note.serial };
            return Some(Note {
                state: NoteState::Delayed,
                next_ms: 0,
                serial,
                left_out,
                ..note.clone()
            });
        }
        let first = left_out.first()?;
        let others = match left_out.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let reason = format!("too big for a mail: {}{others}", first.path);
        Some(Note {
            state: NoteState::Held,
            reason,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            serial,
            left_out,
            ..Note::new(&self.to)
        })
    }

    /// Whether two notes give the same reason: the codes, or the words but for numbers in them.
    pub fn is_same_reason(&self, other: &Note) -> bool {
        let words = |note: &Note| -> String {
            let is_word = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
            note.reason.split_whitespace().filter(is_word).collect()
        };
        let is_same_code = !self.status.is_empty() || words(self) == words(other);
        self.state == other.state && self.status == other.status && is_same_code
    }
}

impl Outbox {
    /// Returns the outbox in a project's own folder; nothing is made before something is put.
    pub fn open(private: &Path) -> Outbox {
        Outbox { dir: private.join(FOLDER) }
    }

    /// Returns every note, by site. What cannot be read as a note is none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn notes(&self) -> Result<Vec<Note>, OutboxError> {
        let mut notes = Vec::new();
        for name in self.names()?.iter().filter(|name| name.ends_with(".note")) {
            notes.extend(self.read(&self.dir.join(name))?);
        }
        notes.sort_by(|a: &Note, b: &Note| a.to.cmp(&b.to));
        Ok(notes)
    }

    /// Returns the note of one site.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn find(&self, to: &Address) -> Result<Option<Note>, OutboxError> {
        Ok(self.read(&self.note_path(to))?.filter(|note| note.to == *to))
    }

    /// Returns where the bytes of a note's package lie.
    pub fn package_path(&self, note: &Note) -> Option<PathBuf> {
        note.package.as_ref().map(|unsent| self.bytes_path(&unsent.sha256))
    }

    /// Returns where a package may be written, to be given to [`Outbox::put`]; one at a time.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn draft(&self) -> Result<PathBuf, OutboxError> {
        self.make()?;
        Ok(self.dir.join(DRAFT))
    }

    /// Keeps a note, durably, in place of the one of the same site. `package`: a file that becomes
    /// its bytes, and the one beside it its sealed form, if it has one; without, those that are here
    /// stay. A limit that the note names is learnt.
    ///
    /// # Errors
    /// Every failure to write; the note before stands then.
    pub fn put(&self, note: &Note, package: Option<&Path>) -> Result<(), OutboxError> {
        self.make()?;
        if let (Some(from), Some(unsent)) = (package, &note.package) {
            let path = self.bytes_path(&unsent.sha256);
            if unsent.sealed.is_some() {
                move_durably(&sealed_beside(from), &sealed_beside(&path))?;
            }
            move_durably(from, &path)?;
            self.sync()?;
        }
        if let Some(bytes) = note.limit_bytes {
            self.learn_limit(&note.to, bytes, note.last_ms)?;
        }
        self.replace(&self.note_path(&note.to), &note.text())?;
        self.sweep()
    }

    /// Forgets what waits for a site.
    ///
    /// # Errors
    /// Every failure to remove.
    pub fn remove(&self, to: &Address) -> Result<(), OutboxError> {
        let path = self.note_path(to);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(&path)(error)),
            Ok(()) => self.sync()?,
        }
        self.sweep()
    }

    /// Notes that the mail with this serial came back. What waits for the site meanwhile stays.
    ///
    /// # Errors
    /// As [`Outbox::put`].
    pub fn returned(
        &self,
        to: &Address,
        serial: u64,
        status: &str,
        reason: &str,
        limit_bytes: Option<u64>,
        now_ms: u64,
    ) -> Result<(), OutboxError> {
        let known_limit = self.limit(to, now_ms)?;
        if let Some(bytes) = limit_bytes {
            self.learn_limit(to, bytes, now_ms)?;
        }
        let before = self.find(to)?;
        if before.as_ref().is_some_and(|note| note.package.is_some() || note.serial > serial) {
            return before.map_or(Ok(()), |note| self.volume_returned(note, serial));
        }
        // Of a package in volumes each comes back: it failed once.
        if let Some(note) = &before
            && (note.state, note.serial) == (NoteState::Refused, serial)
        {
            return Ok(());
        }
        let mut note = before.unwrap_or_else(|| Note::new(to));
        note.attempts = note.attempts.saturating_add(1);
        // Where a limit is new there is something else to try: smaller mails.
        let is_new_limit = limit_bytes.is_some_and(|new| known_limit.is_none_or(|old| new < old));
        note.next_ms = match is_new_limit {
            true => now_ms,
            false => now_ms.saturating_add(returned_pause_ms(note.attempts)),
        };
        note.state = NoteState::Refused;
        (note.status, note.reason) = (status.to_owned(), reason.to_owned());
        note.first_ms = if note.first_ms == 0 { now_ms } else { note.first_ms };
        (note.last_ms, note.serial, note.limit_bytes) = (now_ms, serial, limit_bytes);
        self.put(&note, None)
    }

    /// A volume of the package that waits came back: all of them go again.
    fn volume_returned(&self, mut note: Note, serial: u64) -> Result<(), OutboxError> {
        let volumes = note.package.as_mut().and_then(|unsent| unsent.volumes.as_mut());
        match volumes.filter(|_| note.serial == serial) {
            Some(volumes) => (volumes.sent, volumes.sent_bytes) = (0, 0),
            None => return Ok(()),
        }
        self.put(&note, None)
    }

    /// Notes that the mail with this serial is late, by a mail system on its way. It stops nothing.
    ///
    /// # Errors
    /// As [`Outbox::put`].
    pub fn delayed(
        &self,
        to: &Address,
        serial: u64,
        status: &str,
        reason: &str,
        now_ms: u64,
    ) -> Result<(), OutboxError> {
        let before = self.find(to)?;
        if before.as_ref().is_some_and(|note| note.state != NoteState::Delayed) {
            return Ok(());
        }
        let mut note = before.unwrap_or_else(|| Note::new(to));
        note.state = NoteState::Delayed;
        (note.status, note.reason) = (status.to_owned(), reason.to_owned());
        note.first_ms = if note.first_ms == 0 { now_ms } else { note.first_ms };
        (note.last_ms, note.serial) = (now_ms, serial);
        self.put(&note, None)
    }

    /// Returns the largest mail that a site takes, in bytes, as far as it said so lately.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn limit(&self, to: &Address, now_ms: u64) -> Result<Option<u64>, OutboxError> {
        let limits = self.table(LIMITS)?;
        let Some((bytes, at_ms)) = limits.get(to.as_str()).and_then(|words| words.split_once('\t'))
        else {
            return Ok(None);
        };
        let is_kept = |at_ms: u64| now_ms.saturating_sub(at_ms) < LIMIT_KEPT_MS;
        let at_ms = at_ms.parse().ok();
        Ok(at_ms.is_some_and(is_kept).then(|| bytes.parse().ok()).flatten())
    }

    /// Returns the name of the last mail of a site that was processed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn thread(&self, to: &Address) -> Result<Option<String>, OutboxError> {
        Ok(self.table(THREADS)?.remove(to.as_str()))
    }

    /// Keeps the names of the last mails that were processed, by their originators: what goes there
    /// next answers them.
    ///
    /// # Errors
    /// Every failure to write; the names before stand then.
    pub fn put_threads(&self, last: &BTreeMap<Address, String>) -> Result<(), OutboxError> {
        let before = self.table(THREADS)?;
        let mut threads = before.clone();
        threads.extend(last.iter().map(|(from, id)| (from.to_string(), id.clone())));
        if threads == before {
            return Ok(());
        }
        self.make()?;
        self.put_table(THREADS, &threads)
    }

    /// Keeps what a site said of the largest mail that it takes.
    fn learn_limit(&self, to: &Address, bytes: u64, now_ms: u64) -> Result<(), OutboxError> {
        self.make()?;
        let mut limits = self.table(LIMITS)?;
        limits.insert(to.to_string(), format!("{}\t{now_ms}", bytes.max(MAIL_LIMIT_BYTES_MIN)));
        self.put_table(LIMITS, &limits)
    }

    /// Reads a file of lines, a site and a TAB before what is known of it.
    fn table(&self, name: &str) -> Result<BTreeMap<String, String>, OutboxError> {
        let text = read_bounded(&self.dir.join(name))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = |line: &str| line.split_once('\t').map(|(to, rest)| (to.into(), rest.into()));
        Ok(text.lines().filter_map(line).collect())
    }

    fn put_table(&self, name: &str, table: &BTreeMap<String, String>) -> Result<(), OutboxError> {
        let lines = table.iter().map(|(to, rest)| format!("{to}\t{rest}\n"));
        self.replace(&self.dir.join(name), lines.collect::<String>().as_bytes())
    }

    fn note_path(&self, to: &Address) -> PathBuf {
        self.dir.join(format!("{}.note", short(&digest_of(to))))
    }

    fn bytes_path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}.tar.gz", hex(sha256)))
    }

    fn read(&self, path: &Path) -> Result<Option<Note>, OutboxError> {
        let note = read_bounded(path)?.and_then(|text| Note::parse(&text));
        // Without its bytes a note would never be rid of. What is sealed is made again.
        let has_bytes = |note: &Note| self.package_path(note).is_none_or(|path| path.is_file());
        Ok(note.filter(has_bytes))
    }

    fn names(&self) -> Result<BTreeSet<String>, OutboxError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(at(&self.dir)(error)),
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.map_err(at(&self.dir));
        entries.map(|entry| Ok(name(entry)?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn make(&self) -> Result<(), OutboxError> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Ok(()) => {
                let above = self.dir.parent().unwrap_or(&self.dir);
                File::open(above).and_then(|dir| dir.sync_all()).map_err(at(above))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                private::check_folder(&self.dir).map_err(at(&self.dir))
            }
            Err(error) => Err(at(&self.dir)(error)),
        }
    }

    /// Writes a small file anew, durably: the old one or the new one is there at any time.
    fn replace(&self, path: &Path, text: &[u8]) -> Result<(), OutboxError> {
        let temporary = path.with_extension("new");
        let write = || {
            let mut file = private::create(&temporary)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(at(path))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), OutboxError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at(&self.dir))
    }

    /// Removes packages that no note names, and what a crash left.
    fn sweep(&self) -> Result<(), OutboxError> {
        match private::check_folder(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            checked => checked.map_err(at(&self.dir))?,
        }
        let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
        for note in self.notes()? {
            let is_sealed = note.package.as_ref().is_some_and(|unsent| unsent.sealed.is_some());
            let path = self.package_path(&note);
            kept.extend(path.as_deref().filter(|_| is_sealed).map(sealed_beside));
            kept.extend(path);
        }
        for name in self.names()? {
            let path = self.dir.join(&name);
            let is_ours = name.ends_with(".note")
                || name == LIMITS
                || name == THREADS
                || kept.contains(&path);
            if !is_ours {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }
}

impl Note {
    fn text(&self) -> Vec<u8> {
        let reason: String = self.reason.chars().take(REASON_BYTES_MAX).collect();
        let mut lines: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut push = |keyword, value: &str| lines.push((keyword, value.as_bytes().to_vec()));
        push("to", self.to.as_str());
        push("state", self.state.word());
        push("status", &self.status);
        push("reason", &reason);
        push("attempts", &self.attempts.to_string());
        push("unanswered", &self.unanswered.to_string());
        push("first", &self.first_ms.to_string());
        push("last", &self.last_ms.to_string());
        push("next", &self.next_ms.to_string());
        push("serial", &self.serial.to_string());
        push("carrier", &self.carrier);
        push("asked", &self.asked_bytes.to_string());
        push("approved", &self.approved_bytes.to_string());
        if let Some(limit) = self.limit_bytes {
            push("limit", &limit.to_string());
        }
        if let Some(unsent) = &self.package {
            push("package", &hex(&unsent.sha256));
            push("size", &unsent.size_bytes.to_string());
            push("mail", &unsent.mail_bytes.to_string());
            push("message-id", &unsent.message_id);
            push("in-reply-to", &unsent.in_reply_to);
            push("made", &unsent.made_ms.to_string());
            push("files", &unsent.files.to_string());
            push("removes", &unsent.removes.to_string());
            push("part", if unsent.is_part { "yes" } else { "no" });
            if let Some(Sealed { mark, sha256, size_bytes }) = &unsent.sealed {
                push("sealed", &format!("{} {} {size_bytes}", hex(mark), hex(sha256)));
            }
            if let Some(Volumes { sent, sent_bytes, room_bytes }) = unsent.volumes {
                push("volumes", &format!("{sent} {sent_bytes} {room_bytes}"));
            }
        }
        for left in &self.left_out {
            let mut value = format!("{} {} ", left.signature, left.mail_bytes).into_bytes();
            value.extend_from_slice(left.path.as_bytes());
            lines.push(("left-out", value));
        }
        let lines: Vec<(&str, &[u8])> =
            lines.iter().map(|(keyword, value)| (*keyword, value.as_slice())).collect();
        text_of(&lines)
    }

    /// Reads what [`Note::text`] wrote; `None` where that cannot be what is there.
    fn parse(text: &[u8]) -> Option<Note> {
        let mut values: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        let mut left_out = Vec::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (keyword, value) = line.split_at(line.iter().position(|byte| *byte == b'\t')?);
            let value = unescaped(value.get(1..)?);
            match keyword {
                b"left-out" => left_out.push(parse_left_out(&value)?),
                keyword => drop(values.insert(keyword, value)),
            }
        }
        let text = |keyword: &str| {
            values.get(keyword.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let number = |keyword: &str| text(keyword)?.parse::<u64>().ok();
        let state = text("state")?;
        let package = match text("package") {
            None => None,
            Some(digest) => Some(Unsent {
                sha256: statement::hex(digest.as_bytes())?,
                size_bytes: number("size")?,
                mail_bytes: number("mail")?,
                message_id: text("message-id")?,
                in_reply_to: text("in-reply-to").unwrap_or_default(),
                made_ms: number("made")?,
                files: usize::try_from(number("files")?).ok()?,
                removes: usize::try_from(number("removes")?).ok()?,
                is_part: text("part")? == "yes",
                sealed: match text("sealed") {
                    None => None,
                    Some(words) => Some(parse_sealed(&words)?),
                },
                volumes: match text("volumes") {
                    None => None,
                    Some(words) => Some(parse_volumes(&words)?),
                },
            }),
        };
        Some(Note {
            to: Address::new(&text("to")?).ok()?,
            state: NoteState::ALL.into_iter().find(|known| known.word() == state)?,
            status: text("status")?,
            reason: text("reason")?,
            attempts: u32::try_from(number("attempts")?).ok()?,
            unanswered: u32::try_from(number("unanswered")?).ok()?,
            first_ms: number("first")?,
            last_ms: number("last")?,
            next_ms: number("next")?,
            serial: number("serial")?,
            carrier: text("carrier")?,
            package,
            limit_bytes: number("limit"),
            asked_bytes: number("asked")?,
            approved_bytes: number("approved")?,
            left_out,
        })
    }
}

fn parse_sealed(words: &str) -> Option<Sealed> {
    let mut words = words.split(' ');
    Some(Sealed {
        mark: statement::hex(words.next()?.as_bytes())?,
        sha256: statement::hex(words.next()?.as_bytes())?,
        size_bytes: words.next()?.parse().ok()?,
    })
}

fn parse_volumes(words: &str) -> Option<Volumes> {
    let mut words = words.split(' ');
    let (sent, sent_bytes, room) = (words.next()?, words.next()?, words.next()?);
    Some(Volumes {
        sent: sent.parse().ok()?,
        sent_bytes: sent_bytes.parse().ok()?,
        room_bytes: room.parse().ok()?,
    })
}

fn parse_left_out(value: &[u8]) -> Option<LeftOut> {
    let mut words = value.splitn(3, |byte| *byte == b' ');
    let signature = String::from_utf8(words.next()?.to_vec()).ok()?;
    let mail_bytes = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    Some(LeftOut { signature, mail_bytes, path: TreePath::new(words.next()?).ok()? })
}

fn doubled(first_ms: u64, attempts: u32, max_ms: u64) -> u64 {
    let doublings = attempts.saturating_sub(1).min(32);
    if attempts == 0 { 0 } else { (first_ms << doublings).min(max_ms) }
}

/// Moves a file, whose bytes are on the disk before its new name is.
fn move_durably(from: &Path, to: &Path) -> Result<(), OutboxError> {
    File::open(from).and_then(|file| file.sync_all()).map_err(at(from))?;
    fs::rename(from, to).map_err(at(to))
}

fn digest_of(to: &Address) -> [u8; 32] {
    Sha256::digest(to.as_str()).into()
}

fn short(digest: &[u8; 32]) -> String {
    hex(digest).chars().take(12).collect()
}

fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, OutboxError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let mut text = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text).map_err(at(path))?;
    Ok(Some(text))
}

fn at(path: &Path) -> impl Fn(io::Error) -> OutboxError {
    let path = path.to_owned();
    move |source| OutboxError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests;
