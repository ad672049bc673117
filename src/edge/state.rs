//! Load, lock and save a project's state without a gap.
//!
//! Not what the state means: `format` reads and writes it. The files:
//!
//! ```text
//! .remsync              who takes part, and each file's last word: for people, and for 1.3
//! .remsync.bak          the .remsync before
//! .remsync.d/ledger     all else that is known
//! .remsync.d/journal    what was committed since those two were written
//! .remsync.d/intent     what a run is about to put in place
//! .remsync.d/lock       who is at work
//! ```
//!
//! Invariant: at every instant the files load to the last state committed. A new base is written
//! beside the old one (`.remsync.new`, `.remsync.d/ledger.new`); the one append to the journal that
//! names it makes it count; from then on it is only renamed into place, by whoever comes first.
//! (Renaming two files cannot be one step, and a `.remsync` of one state with the ledger of another
//! would give each remote its neighbour's words.)

mod intent;
mod sections;
mod some;

use intent::Intended;
pub use some::Locked;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::lock::{Lock, LockError};
use crate::format::journal::{self, Fold, Journal};
use crate::format::statement::TextFault;
use crate::format::{ledger, project};
use crate::model::TreePath;
use crate::model::project::{Format, Identity, Project};

const REMSYNC: &str = ".remsync";
const REMSYNC_NEW: &str = ".remsync.new";
const REMSYNC_BAK: &str = ".remsync.bak";
const PRIVATE: &str = ".remsync.d";
const LEDGER: &str = "ledger";
const LEDGER_NEW: &str = "ledger.new";
const JOURNAL: &str = "journal";
const INTENT: &str = "intent";
const LOCK: &str = "lock";

/// A base below this is written anew at each end: it is fast, and people see the truth in `.remsync`.
const SMALL_BASE_BYTES: u64 = 4 << 20;
/// A journal over this part of the base is folded at the end of a run.
const TINY_PART: u64 = 8;
/// A journal over this, and over its base, is folded at once: it is read into memory as a whole.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// How often a reader without the lock looks again when the files change below it.
const LOOKS_MAX: u32 = 50;
/// How long it waits before it looks again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The open project on disk. Whoever has it has its lock.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
    journal: File,
    /// Transactions in the journal.
    transactions: u64,
    /// What they take.
    journal_bytes: u64,
    /// What `.remsync` and the ledger take.
    base_bytes: u64,
    /// As the base has it: a journal cannot tell it.
    identity: Option<Identity>,
    /// Digest of `.remsync`, so that it is not written, and its backup not lost, for nothing.
    remsync: Option<[u8; 32]>,
    unfinished: Unfinished,
    is_committed: bool,
    /// Whether only some rows were read.
    is_part: bool,
    intended: Intended,
    lock: Lock,
}

/// Why a project's state was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no `.remsync`.
    #[error("{}: not a project: it has no .remsync", dir.display())]
    NotAProject {
        /// The folder.
        dir: PathBuf,
    },
    /// There is a `.remsync` where one was to be created.
    #[error("{}: is there already", path.display())]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// The lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file says what cannot be.
    #[error(transparent)]
    Text(#[from] TextFault),
    /// A file that was written whole is not what was written.
    #[error("{}: damaged: its digest is not the one noted in the journal", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Only some rows were read, and all were to be written.
    #[error("{}: only a part of its files was read, and all would be written", dir.display())]
    Part {
        /// The folder.
        dir: PathBuf,
    },
    /// Somebody writes all the time.
    #[error("{}: changes faster than it can be read", dir.display())]
    Restless {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refuses.
    #[error("{}: {act}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        act: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// What a failed write left to be put right before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfinished {
    Nothing,
    /// The journal may have more bytes than it should.
    Append,
    /// The new base counts, but is not wholly in its place.
    Fold,
}

/// What the files say.
#[derive(Debug)]
struct Loaded {
    project: Project,
    journal: Journal,
    /// Digest of `.remsync`; `None` is not known.
    remsync: Option<[u8; 32]>,
    base_bytes: u64,
    /// Whether only some rows were read.
    is_part: bool,
}

/// A file just written or read: its digest and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    digest: [u8; 32],
    bytes: u64,
}

impl State {
    /// Whether `dir` is the top of a project.
    pub fn is_project(dir: &Path) -> bool {
        dir.join(REMSYNC).is_file()
    }

    /// Creates a project in `dir`, and takes its lock.
    ///
    /// # Errors
    /// [`StateError::AlreadyThere`] where a `.remsync` is, and every failure to write.
    pub fn create(dir: &Path, project: &Project) -> Result<State, StateError> {
        must_be_free(dir)?;
        let lock = lock(dir)?;
        // Only now is nobody else creating it.
        must_be_free(dir)?;
        remove(&private(dir, INTENT))?;
        let mut state = State {
            dir: dir.to_owned(),
            journal: open_log(dir, JOURNAL)?,
            transactions: 0,
            journal_bytes: 0,
            base_bytes: 0,
            identity: None,
            remsync: None,
            // What an earlier project may have left behind.
            unfinished: Unfinished::Append,
            is_committed: false,
            is_part: false,
            intended: Intended::default(),
            lock,
        };
        state.save(project)?;
        Ok(state)
    }

    /// Opens the project in `dir`: takes its lock, reads it, and ends what a crash left undone.
    ///
    /// # Errors
    /// [`StateError::Lock`] when another process is at work on it, [`StateError::Text`] when a file
    /// says what cannot be: nothing is ever reset silently.
    pub fn open(dir: &Path) -> Result<(State, Project), StateError> {
        Locked::take(dir)?.open()
    }

    /// Goes on from what was read, under the lock: ends what a crash left undone.
    fn of(dir: &Path, lock: Lock, loaded: Loaded) -> Result<(State, Project), StateError> {
        let Loaded { project, journal, remsync, base_bytes, is_part } = loaded;
        let unfinished = match (&journal.fold, journal.is_torn) {
            (Some(_), _) => Unfinished::Fold,
            (None, true) => Unfinished::Append,
            (None, false) => Unfinished::Nothing,
        };
        let mut state = State {
            dir: dir.to_owned(),
            journal: open_log(dir, JOURNAL)?,
            transactions: journal.transactions(),
            journal_bytes: journal.sound_bytes,
            base_bytes,
            identity: Some(project.identity.clone()),
            remsync,
            unfinished,
            is_committed: false,
            is_part,
            intended: Intended::read(dir, &project.identity)?,
            lock,
        };
        state.put_right()?;
        Ok((state, project))
    }

    /// Reads the project in `dir` without its lock: to look at it only, and to be outdated at once.
    ///
    /// # Errors
    /// [`StateError::Restless`] when somebody writes all the while, and what [`State::open`] says.
    pub fn read(dir: &Path) -> Result<Project, StateError> {
        State::read_by(dir, &mut |dir| load(dir))
    }

    fn read_by(
        dir: &Path,
        load: &mut dyn FnMut(&Path) -> Result<Loaded, StateError>,
    ) -> Result<Project, StateError> {
        must_be_project(dir)?;
        for _ in 0..LOOKS_MAX {
            let before = stamps(dir);
            let loaded = load(dir);
            // An error may come from looking while files change places, too.
            if stamps(dir) == before {
                return loaded.map(|loaded| loaded.project);
            }
            thread::sleep(LOOK_AGAIN_AFTER);
        }
        Err(StateError::Restless { dir: dir.to_owned() })
    }

    /// Makes what `project` knows now durable: the rows of `touched`, and all that is no row. In
    /// 2.0 that is one append to the journal; in 1.3, and when who takes part has changed, all is
    /// written.
    ///
    /// # Errors
    /// Every failure to write; the state on disk is then the one before.
    pub fn commit(
        &mut self,
        project: &Project,
        touched: &BTreeSet<TreePath>,
    ) -> Result<(), StateError> {
        let is_new_base = project.identity.format == Format::V1_3
            || self.identity.as_ref() != Some(&project.identity)
            || self.journal_bytes > JOURNAL_BYTES_MAX.max(self.base_bytes);
        if is_new_base {
            let whole = self.whole(project, touched)?;
            return self.save_whole(whole.as_ref().unwrap_or(project));
        }
        self.put_right()?;
        self.append(&journal::transaction(project, touched, self.transactions + 1))?;
        self.transactions += 1;
        self.is_committed = true;
        Ok(())
    }

    /// Writes all that `project` knows as a new base, and empties the journal.
    ///
    /// # Errors
    /// Every failure to write; the state on disk is then the one before, or, when only putting the
    /// files in their places failed, this one.
    pub fn save(&mut self, project: &Project) -> Result<(), StateError> {
        let whole = self.whole(project, &BTreeSet::new())?;
        self.save_whole(whole.as_ref().unwrap_or(project))
    }

    fn save_whole(&mut self, project: &Project) -> Result<(), StateError> {
        self.put_right()?;
        let (fold, bytes) = self.write_new_base(project)?;
        self.append(&journal::fold(&fold, self.transactions + 1))?;
        self.unfinished = Unfinished::Fold;
        self.base_bytes = bytes;
        self.identity = Some(project.identity.clone());
        self.remsync = fold.remsync.or(self.remsync);
        self.is_committed = false;
        self.put_right()
    }

    /// Ends a run: folds the journal when it has grown or that is cheap, if anything was committed.
    ///
    /// # Errors
    /// As [`State::save`].
    pub fn finish(&mut self, project: &Project) -> Result<(), StateError> {
        let is_grown = self.journal_bytes.saturating_mul(TINY_PART) > self.base_bytes;
        if self.is_committed && (is_grown || self.base_bytes < SMALL_BASE_BYTES) {
            return self.save(project);
        }
        Ok(())
    }

    /// Whether only some rows were read: the others had nothing to say to anybody.
    pub fn is_part(&self) -> bool {
        self.is_part
    }

    /// Goes back to where nothing is read yet; the lock stays ours.
    pub fn into_locked(self) -> Locked {
        Locked { dir: self.dir, lock: self.lock }
    }

    /// Returns the top of the project.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the folder of the project in `dir` that is the project's own.
    pub fn private_folder(dir: &Path) -> PathBuf {
        dir.join(PRIVATE)
    }

    /// Returns the path of `name` in the project's own folder, where no package reaches.
    pub fn private(&self, name: &str) -> PathBuf {
        private(&self.dir, name)
    }

    /// Ends what a failure or a crash left undone.
    fn put_right(&mut self) -> Result<(), StateError> {
        match self.unfinished {
            Unfinished::Nothing => return Ok(()),
            Unfinished::Append => {}
            Unfinished::Fold => {
                place_new_base(&self.dir)?;
                self.transactions = 0;
                self.journal_bytes = 0;
            }
        }
        let path = self.private(JOURNAL);
        cut(&self.journal, self.journal_bytes, &path)?;
        self.journal.sync_all().map_err(io_error(&path, "cannot be synced"))?;
        self.unfinished = Unfinished::Nothing;
        Ok(())
    }

    /// Appends to the journal, durably or not at all.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.unfinished = Unfinished::Append;
        append_to(&mut self.journal, bytes, &private(&self.dir, JOURNAL))?;
        self.journal_bytes += bytes.len() as u64;
        self.unfinished = Unfinished::Nothing;
        Ok(())
    }

    /// Writes the files of a new base beside those of the old, durably; returns what the journal
    /// has to say about them, and their length together.
    fn write_new_base(&self, project: &Project) -> Result<(Fold, u64), StateError> {
        let ledger_new = self.private(LEDGER_NEW);
        let ledger = write_new(&ledger_new, 0o600, |out| ledger::write(project, out))?;
        let remsync_new = self.dir.join(REMSYNC_NEW);
        let remsync = write_new(&remsync_new, 0o664, |out| project::write(project, out))?;
        let path = self.dir.join(REMSYNC);
        let is_same = self.remsync == Some(remsync.digest) && path.is_file();
        if is_same {
            remove(&remsync_new)?;
        } else if let Ok(old) = path.metadata() {
            let mode = fs::Permissions::from_mode(old.mode() & 0o777);
            let set = fs::set_permissions(&remsync_new, mode);
            set.map_err(io_error(&remsync_new, "cannot be given the mode of the old one"))?;
        }
        sync_folders(&self.dir)?;
        let fold = Fold { ledger: ledger.digest, remsync: (!is_same).then_some(remsync.digest) };
        Ok((fold, ledger.bytes + remsync.bytes))
    }
}

impl StateError {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StateError::NotAProject { .. } => {
                Some("name the project's top folder with -C, or make one with \"remsync init\"")
            }
            StateError::AlreadyThere { .. } => Some("this folder is a project already"),
            StateError::Lock(error) => error.hint(),
            StateError::Text(_) | StateError::Damaged { .. } => Some(
                "put the file back from a backup (.remsync.bak); without ledger, journal and intent a \
                 project still opens, and what they knew becomes unknown",
            ),
            StateError::Restless { .. } => Some("try again when the other remsync has ended"),
            StateError::Part { .. } | StateError::Io { .. } => None,
        }
    }
}

fn private(dir: &Path, name: &str) -> PathBuf {
    dir.join(PRIVATE).join(name)
}

/// Makes of the system's answer one that names the file.
fn io_error(path: &Path, act: &'static str) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { path, act, source }
}

fn must_be_project(dir: &Path) -> Result<(), StateError> {
    if State::is_project(dir) {
        return Ok(());
    }
    Err(StateError::NotAProject { dir: dir.to_owned() })
}

fn must_be_free(dir: &Path) -> Result<(), StateError> {
    let path = dir.join(REMSYNC);
    match path.symlink_metadata() {
        Ok(_) => Err(StateError::AlreadyThere { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StateError::Io { path, act: "cannot be looked at", source }),
    }
}

/// Takes the project's lock, in its own folder, which is made when it is missing.
fn lock(dir: &Path) -> Result<Lock, StateError> {
    let path = dir.join(PRIVATE);
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => sync_folder(dir)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(StateError::Io { path, act: "cannot be created", source }),
    }
    let found = path.symlink_metadata().map_err(io_error(&path, "cannot be looked at"))?;
    if !found.is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(StateError::Io { path, act: "cannot be used", source });
    }
    Ok(Lock::take(&private(dir, LOCK))?)
}

/// Opens a file of the project's own folder, to append to; it is made where there is none.
fn open_log(dir: &Path, name: &str) -> Result<File, StateError> {
    let path = private(dir, name);
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(io_error(&path, "cannot be opened"))?;
    if is_new {
        sync_folder(&dir.join(PRIVATE))?;
    }
    Ok(file)
}

/// Cuts off what follows the first `bytes` of a file.
fn cut(file: &File, bytes: u64, path: &Path) -> Result<(), StateError> {
    file.set_len(bytes).map_err(io_error(path, "cannot be cut"))
}

/// Appends to a file, durably.
fn append_to(file: &mut File, bytes: &[u8], path: &Path) -> Result<(), StateError> {
    file.write_all(bytes).map_err(io_error(path, "cannot be appended to"))?;
    file.sync_data().map_err(io_error(path, "cannot be synced"))
}

fn load(dir: &Path) -> Result<Loaded, StateError> {
    let (bytes, shown) = journal_bytes(dir)?;
    let journal = journal::parse(&bytes, &shown)?;
    let new_remsync = journal.fold.and_then(|fold| fold.remsync);
    let new_ledger = journal.fold.map(|fold| fold.ledger);

    let (remsync, new) = current(dir.join(REMSYNC), dir.join(REMSYNC_NEW), new_remsync);
    let opened = File::open(&remsync).map_err(io_error(&remsync, "cannot be read"))?;
    let (mut project, remsync) =
        read_whole(&remsync, opened, new, |reader, file| project::read(reader, file))?;

    let (ledger, new) = current(private(dir, LEDGER), private(dir, LEDGER_NEW), new_ledger);
    let ledger_bytes = match File::open(&ledger) {
        Ok(opened) => {
            let read =
                |reader: Reader<'_>, file: &str| ledger::parse_into(&mut project, reader, file);
            read_whole(&ledger, opened, new, read)?.1.bytes
        }
        // Lost is unknown.
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(io_error(&ledger, "cannot be read")(error)),
    };
    journal.replay(&mut project, &bytes, &shown)?;
    let base_bytes = remsync.bytes + ledger_bytes;
    Ok(Loaded { project, journal, remsync: Some(remsync.digest), base_bytes, is_part: false })
}

/// Returns the journal, and what people call it.
fn journal_bytes(dir: &Path) -> Result<(Vec<u8>, String), StateError> {
    let path = private(dir, JOURNAL);
    match fs::read(&path) {
        Ok(bytes) => Ok((bytes, path.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((Vec::new(), path.display().to_string()))
        }
        Err(source) => Err(StateError::Io { path, act: "cannot be read", source }),
    }
}

/// Returns the file that counts: the new one, if the journal names it and it still waits to be put
/// in its place. A new one that the journal does not name was never finished.
fn current(old: PathBuf, new: PathBuf, digest: Option<[u8; 32]>) -> (PathBuf, Option<[u8; 32]>) {
    match digest {
        Some(digest) if new.exists() => (new, Some(digest)),
        _ => (old, None),
    }
}

type Reader<'a> = BufReader<&'a mut Summed<File>>;

/// Reads a file to its end by `parse`, and sums it up on the way.
fn read_whole<T>(
    path: &Path,
    file: File,
    digest: Option<[u8; 32]>,
    parse: impl FnOnce(Reader<'_>, &str) -> Result<T, TextFault>,
) -> Result<(T, Sum), StateError> {
    let mut summed = Summed::new(file);
    let parsed = parse(BufReader::with_capacity(1 << 16, &mut summed), &path.display().to_string());
    let sum = summed.sum();
    match digest {
        Some(digest) if parsed.is_ok() && digest != sum.digest => {
            Err(StateError::Damaged { path: path.to_owned() })
        }
        _ => Ok((parsed?, sum)),
    }
}

/// Writes a new file, durably; one left there by a crash is removed first.
fn write_new(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<Summed<File>>) -> io::Result<()>,
) -> Result<Sum, StateError> {
    remove(path)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let file = file.map_err(io_error(path, "cannot be created"))?;
    let mut out = BufWriter::with_capacity(1 << 16, Summed::new(file));
    let written = write(&mut out).and_then(|()| out.into_inner().map_err(io::Error::from));
    let summed = written.map_err(io_error(path, "cannot be written"))?;
    summed.inner.sync_all().map_err(io_error(path, "cannot be synced"))?;
    Ok(summed.sum())
}

/// Puts the files of a new base in their places, as far as they are not there yet.
fn place_new_base(dir: &Path) -> Result<(), StateError> {
    let remsync_new = dir.join(REMSYNC_NEW);
    if remsync_new.exists() {
        let remsync = dir.join(REMSYNC);
        keep_backup(&remsync, &dir.join(REMSYNC_BAK))?;
        rename(&remsync_new, &remsync)?;
    }
    let ledger_new = private(dir, LEDGER_NEW);
    if ledger_new.exists() {
        rename(&ledger_new, &private(dir, LEDGER))?;
    }
    sync_folders(dir)
}

/// Keeps `old` as `backup`: by a second name, or where there are none (FAT), by a copy.
fn keep_backup(old: &Path, backup: &Path) -> Result<(), StateError> {
    if !old.exists() {
        return Ok(());
    }
    remove(backup)?;
    let kept = fs::hard_link(old, backup).or_else(|_| fs::copy(old, backup).map(drop));
    kept.map_err(io_error(backup, "cannot be written"))
}

fn rename(from: &Path, to: &Path) -> Result<(), StateError> {
    fs::rename(from, to).map_err(io_error(to, "cannot be replaced"))
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(path, "cannot be removed")(error))
        }
        _ => Ok(()),
    }
}

fn sync_folders(dir: &Path) -> Result<(), StateError> {
    sync_folder(&dir.join(PRIVATE))?;
    sync_folder(dir)
}

fn sync_folder(path: &Path) -> Result<(), StateError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(io_error(path, "cannot be synced"))
}

/// Returns what changes whenever one of the files does.
fn stamps(dir: &Path) -> Vec<Option<(u64, u64, i64, i64)>> {
    let paths = [
        dir.join(REMSYNC),
        dir.join(REMSYNC_NEW),
        private(dir, LEDGER),
        private(dir, LEDGER_NEW),
        private(dir, JOURNAL),
    ];
    let stamp = |path: &PathBuf| {
        let found = path.metadata().ok()?;
        Some((found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
    };
    paths.iter().map(stamp).collect()
}

/// A file whose bytes are summed up as they pass.
#[derive(Debug)]
struct Summed<F> {
    inner: F,
    digest: Sha256,
    bytes: u64,
}

impl<F> Summed<F> {
    fn new(inner: F) -> Summed<F> {
        Summed { inner, digest: Sha256::new(), bytes: 0 }
    }

    fn sum(self) -> Sum {
        Sum { digest: self.digest.finalize().into(), bytes: self.bytes }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<F: Read> Read for Summed<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.add(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

impl<F: Write> Write for Summed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.add(bytes.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
