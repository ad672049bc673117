//! The walk: threads that list folders, look at inodes and hash files, for one that goes through
//! the tree in order.
//!
//! Not a judge: it keeps and compares nothing. Invariant: of what waits, the folder that comes first
//! in the tree is listed first, so that whoever waits for it gets it, however few folders may be
//! listed ahead of him; and what is to be hashed goes before all listing, so that little waits.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::edge::names::each_name;
use crate::model::limits::PATH_DEPTH_MAX;
use crate::model::path::is_reserved_part;
use crate::model::project::Format;

use super::beneath::{self, Leaf, Step};
use super::index::{self, Entry, Index, Marks, Record, Stamps, Wish};
use super::scan::{Kind, Seen, Wanted};
use super::{Found, Root, Unknown, hash};

/// Folders that are listed ahead and hold a descriptor each, for there is something to hash in them.
const AHEAD_OPEN_MAX: usize = 64;
/// Folders that are listed ahead, and what is in them.
const AHEAD_THINGS_MAX: usize = 16 << 10;
/// Folders and what is in them, listed, for which it is worth while to go on.
const WORTH_THINGS_MIN: usize = AHEAD_THINGS_MAX / 4;
/// Threads: more than disks can feed would only wait.
const THREADS_MAX: usize = 4;
/// Files that are hashed by one thread, one after the other.
const BATCH_FILES: usize = 32;

/// A folder that was listed.
pub(super) struct Listed {
    /// The folder itself, where there is something in it to hash.
    folder: Option<Arc<OwnedFd>>,
    names: Vec<u8>,
    /// What is wanted in it, in the order of the paths.
    pub things: Vec<Thing>,
    /// What the index is to know of it.
    pub source: Source,
    /// What could not be looked at, and why.
    pub unknown: Vec<(Vec<u8>, String)>,
    /// Symbolic links with wanted names.
    pub links: u64,
    /// Devices, sockets and named pipes with wanted names.
    pub specials: u64,
    /// One, where the folder has nothing in it at all.
    pub empty_folders: u64,
}

/// What the index is to know of a folder.
pub(super) enum Source {
    /// Nothing.
    None,
    /// What it knows already of the folder with these stamps.
    Old(Stamps),
    /// This, but for what is hashed.
    New(Record),
}

/// One thing in a folder.
pub(super) struct Thing {
    name: Range<u32>,
    /// The number of its name, of all in the folder.
    pub number: u32,
    /// What it is.
    pub kind: What,
}

/// A name in a folder.
struct Name {
    at: Range<u32>,
    kind: FileType,
    /// Whether it is wanted, where that is known.
    is_wanted: Option<bool>,
    /// Where in the record of the folder it stands what the file held.
    known: Option<u32>,
}

/// The names in a folder, in the order of the paths, and what the index had of them.
struct Names {
    names: Vec<Name>,
    /// Of the folder, before it was listed.
    stamps: Option<Stamps>,
    /// What was asked of it now.
    wish: Wish,
    /// Whether the index has it as it is.
    is_known: bool,
    /// The record that has what the files held, if that is another text than the names.
    old: Option<Record>,
}

/// What a thing in a folder is.
pub(super) enum What {
    /// A folder; by this number its listing is asked for.
    Folder(usize),
    /// A regular file, and what it holds; `None` where it has to be hashed.
    File(Option<Found>),
}

/// What came of hashing the file with this number: `None` where it is gone.
pub(super) type Hashed = (usize, Result<Option<(Found, Marks)>, Unknown>);

/// Where the threads and the one that goes in order meet.
pub(super) struct Yard<'a, 'w> {
    root: &'a Root,
    format: Format,
    wanted: &'a Wanted<'w>,
    index: Option<&'a Index>,
    seen: &'a Seen,
    board: Mutex<Board>,
    /// Something may be done.
    work: Condvar,
    /// A folder was listed.
    listed: Condvar,
}

#[derive(Default)]
struct Board {
    /// Files to be hashed; the last is what more are added to.
    files: Vec<Vec<FileJob>>,
    /// Folders to be listed, by their paths, each with a final slash.
    folders: BTreeMap<Vec<u8>, FolderJob>,
    /// Folders that were listed and are not gone through yet.
    ready: HashMap<usize, Listed>,
    /// Of those, how many hold a descriptor.
    ready_open: usize,
    /// Those, and what is in them.
    ready_things: usize,
    /// Threads that have nothing to do.
    idle: usize,
    /// Which folder is waited for.
    awaited: Option<usize>,
    /// What was hashed, of the threads that have ended.
    hashed: Vec<Hashed>,
    /// Threads that have not.
    working: usize,
    /// The number of the next folder.
    next: usize,
    /// Nothing more will come.
    is_over: bool,
    /// A thread broke off.
    is_broken: bool,
}

struct FolderJob {
    number: usize,
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    depth: usize,
}

struct FileJob {
    folder: Arc<OwnedFd>,
    name: Vec<u8>,
    number: usize,
}

enum Job {
    Files(Vec<FileJob>),
    Folder(Vec<u8>, FolderJob),
}

/// Walks through the tree below `top`, which is open to be read from its start. `go` is handed
/// what was listed; returns what it returns.
pub(super) fn walk<T>(
    root: &Root,
    format: Format,
    top: OwnedFd,
    (wanted, index, seen): (&Wanted<'_>, Option<&Index>, &Seen),
    go: impl FnOnce(&Yard<'_, '_>) -> T,
) -> T {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let board = Mutex::new(Board { next: 1, working: threads, ..Board::default() });
    let (work, listed) = (Condvar::new(), Condvar::new());
    let yard = Yard { root, format, wanted, index, seen, board, work, listed };
    thread::scope(|scope| {
        let yard = &yard;
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| yard.work())).collect();
        let gone = {
            let _closing = Closing(yard);
            yard.post(0, yard.list(top, &mut Vec::new(), 1));
            go(yard)
        };
        // What a thread that broke off had to hash would be listed as if it were hashed.
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        gone
    })
}

impl Yard<'_, '_> {
    /// Returns folder `number`, as soon as it is listed; `None` if it never will be.
    pub fn wait_for(&self, number: usize) -> Option<Listed> {
        let mut board = self.board();
        loop {
            if let Some(listed) = board.ready.remove(&number) {
                board.awaited = None;
                board.ready_open -= usize::from(listed.folder.is_some());
                board.ready_things -= listed.things.len() + 1;
                // Not for each one: that would wake a thread for each.
                if board.may_list(2) {
                    self.wake(&board);
                }
                return Some(listed);
            }
            if board.is_broken {
                return None;
            }
            if board.awaited.replace(number) != Some(number) {
                self.wake(&board);
            }
            board = self.listed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has a file hashed, which is to be known by `number` then.
    pub fn hash(&self, listed: &Listed, thing: &Thing, number: usize) {
        let Some(folder) = &listed.folder else { return };
        let name = listed.name(thing).to_vec();
        let job = FileJob { folder: Arc::clone(folder), name, number };
        let mut board = self.board();
        match board.files.last_mut() {
            Some(batch) if batch.len() < BATCH_FILES => batch.push(job),
            _ => {
                board.files.push(vec![job]);
                self.wake(&board);
            }
        }
    }

    /// Wakes the threads that have nothing to do.
    fn wake(&self, board: &Board) {
        if board.idle > 0 {
            self.work.notify_all();
        }
    }

    /// Waits until all is hashed that is to be, and returns it, in no order; nothing may be asked for
    /// after that.
    pub fn finish(&self) -> Vec<Hashed> {
        let mut board = self.board();
        board.is_over = true;
        self.work.notify_all();
        while board.working > 0 && !board.is_broken {
            board = self.listed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut board.hashed)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what there is to be done until nothing more will come.
    fn work(&self) {
        let _alarm = Alarm(self);
        let mut hashed = Vec::new();
        while let Some(job) = self.next_job() {
            match job {
                Job::Files(files) => hashed.extend(files.into_iter().map(|job| self.hash_one(job))),
                Job::Folder(mut path, job) => {
                    path.pop();
                    let listed = self.open(&mut path, &job);
                    self.post(job.number, listed);
                }
            }
        }
        let mut board = self.board();
        board.hashed.append(&mut hashed);
        board.working -= 1;
        self.listed.notify_all();
    }

    fn next_job(&self) -> Option<Job> {
        let mut board = self.board();
        loop {
            if let Some(batch) = board.files.pop() {
                return Some(Job::Files(batch));
            }
            let first = board.folders.first_key_value().map(|(_, job)| job.number);
            let may_list = board.may_list(1) || first == board.awaited;
            if let Some((path, job)) = may_list.then(|| board.folders.pop_first()).flatten() {
                return Some(Job::Folder(path, job));
            }
            if board.is_over {
                return None;
            }
            self.tell(&board);
            board.idle += 1;
            board = self.work.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.idle -= 1;
        }
    }

    fn hash_one(&self, job: FileJob) -> Hashed {
        let found = match beneath::open_leaf(job.folder.as_fd(), &job.name, self.root.device) {
            Leaf::File(file, _) => hash::signature(&file, self.format, &self.seen.bytes)
                .map(|(signature, stat)| Some((Found::of(signature, &stat), Marks::of(&stat)))),
            Leaf::Absent => Ok(None),
            Leaf::Other(unknown) => Err(unknown),
        };
        (job.number, found)
    }

    fn post(&self, number: usize, listed: Listed) {
        let mut board = self.board();
        board.ready_open += usize::from(listed.folder.is_some());
        board.ready_things += listed.things.len() + 1;
        board.ready.insert(number, listed);
        // Not for each folder: that would wake whoever goes in order as often.
        if board.ready_things >= WORTH_THINGS_MIN {
            self.tell(&board);
        }
    }

    /// Wakes whoever waits for a folder, if it is listed.
    fn tell(&self, board: &Board) {
        if board.awaited.is_some_and(|number| board.ready.contains_key(&number)) {
            self.listed.notify_one();
        }
    }

    fn open(&self, path: &mut Vec<u8>, job: &FolderJob) -> Listed {
        let mut listed = Listed::new();
        if job.depth > PATH_DEPTH_MAX {
            listed.unknown(path, format!("deeper than {PATH_DEPTH_MAX} parts"));
            return listed;
        }
        match beneath::open_folder(job.parent.as_fd(), &job.name, self.root.device) {
            Step::Folder(folder) => return self.list(folder, path, job.depth),
            Step::Absent => {}
            Step::Other(unknown) => listed.unknown(path, unknown),
        }
        listed
    }

    /// Lists an open folder, whose name is `path`, and has the folders in it listed.
    fn list(&self, folder: OwnedFd, path: &mut Vec<u8>, depth: usize) -> Listed {
        let mut listed = Listed::new();
        let folder = Arc::new(folder);
        let mut read = match self.names(&mut listed, &folder, path) {
            Ok(read) => read,
            Err(errno) => {
                listed.unknown(path, beneath::unreadable(errno));
                return listed;
            }
        };
        listed.empty_folders = u64::from(read.names.is_empty() && !path.is_empty());
        listed.things.reserve(read.names.len());
        let length = path.len();
        let (mut folders, mut files) = (Vec::new(), 0);
        for (number, name) in (0..).zip(&mut read.names) {
            if name.is_wanted.is_none() && is_reserved_part(listed.at(&name.at)) {
                continue;
            }
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(listed.at(&name.at));
            if !self.root.is_own(path) && self.is_wanted(&mut listed, path, name) {
                match name.kind {
                    FileType::Directory => {
                        folders.push((listed.things.len(), [&path[..], b"/"].concat()));
                        listed.push(name.at.clone(), number, What::Folder(0));
                    }
                    FileType::RegularFile => {
                        files += 1;
                        let found = self.found(&listed, &folder, name, read.old.as_ref());
                        listed.push(name.at.clone(), number, What::File(found));
                    }
                    FileType::Symlink => listed.links += 1,
                    _ => listed.specials += 1,
                }
            }
            path.truncate(length);
        }
        listed.note(&read);
        self.seen.files.fetch_add(files, Ordering::Relaxed);
        self.list_later(&folder, folders, depth + 1, &mut listed);
        let is_news = |thing: &Thing| matches!(thing.kind, What::File(None));
        listed.folder = listed.things.iter().any(is_news).then_some(folder);
        listed
    }

    /// Returns the names in a folder. The index knows them where the folder is as it was.
    fn names(&self, listed: &mut Listed, folder: &OwnedFd, path: &[u8]) -> Result<Names, Errno> {
        let wish = self.wanted.wish(path);
        let nothing = Names { names: Vec::new(), stamps: None, wish, is_known: false, old: None };
        if self.format == Format::V1_3 {
            return Ok(Names { names: listed.read(folder)?, ..nothing });
        }
        // Before it is listed: what changes meanwhile moves the stamps.
        let stamps = Stamps::of(&rustix::fs::fstat(folder)?);
        let nothing = Names { stamps: Some(stamps), ..nothing };
        let old = self.index.and_then(|index| Some((index, index.folder(&stamps)?)));
        let Some((index, old)) = old else {
            return Ok(Names { names: listed.read(folder)?, ..nothing });
        };
        // Nobody who says not what he asks for can be answered from memory.
        let is_same_wish = wish != Wish::default() && old.wish() == Some(wish);
        if index.knows_names() && old.stamps() == Some(stamps) {
            let of_entry = |entry| {
                let Entry { name: at, kind, is_wanted, known } = entry;
                Name { at, kind, is_wanted: is_wanted.filter(|_| is_same_wish), known }
            };
            let names = old.entries().map(of_entry).collect();
            listed.names = old.into_bytes();
            let is_known = is_same_wish || wish == Wish::default();
            return Ok(Names { names, is_known, ..nothing });
        }
        let mut names = listed.read(folder)?;
        let known: HashMap<&[u8], Entry> =
            old.entries().map(|entry| (old.name(&entry), entry)).collect();
        for name in &mut names {
            if let Some(entry) = known.get(listed.at(&name.at)) {
                name.known = entry.known;
                name.is_wanted =
                    entry.is_wanted.filter(|_| is_same_wish && entry.kind == name.kind);
            }
        }
        Ok(Names { names, old: Some(old), ..nothing })
    }

    fn is_wanted(&self, listed: &mut Listed, path: &[u8], name: &mut Name) -> bool {
        if let Some(is_wanted) = name.is_wanted {
            return is_wanted;
        }
        let asked = if name.kind == FileType::Directory { Kind::Folder } else { Kind::File };
        match (self.wanted.wants)(path, asked) {
            Ok(is_wanted) => {
                name.is_wanted = Some(is_wanted);
                is_wanted
            }
            Err(why) => {
                listed.unknown(path, why);
                false
            }
        }
    }

    /// Returns what a file holds, if its inode says what it said when it was hashed.
    fn found(
        &self,
        listed: &Listed,
        folder: &OwnedFd,
        name: &Name,
        old: Option<&Record>,
    ) -> Option<Found> {
        let known = name.known?;
        let record = old.map_or(&*listed.names, Record::bytes);
        let name = listed.at(&name.at);
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        (is_file && stat.st_dev == self.root.device).then_some(())?;
        let marks = Marks::of(&stat);
        Some(marks.found(index::known(record, known, &marks)?))
    }

    fn list_later(
        &self,
        folder: &Arc<OwnedFd>,
        folders: Vec<(usize, Vec<u8>)>,
        depth: usize,
        listed: &mut Listed,
    ) {
        if folders.is_empty() {
            return;
        }
        let mut board = self.board();
        for (at, path) in folders {
            let number = board.next;
            board.next += 1;
            let Some(thing) = listed.things.get_mut(at) else { continue };
            thing.kind = What::Folder(number);
            let name = thing.name.clone();
            let name = listed.at(&name).to_vec();
            let parent = Arc::clone(folder);
            board.folders.insert(path, FolderJob { number, parent, name, depth });
        }
        self.wake(&board);
    }
}

impl Board {
    /// Whether less than one `part`th is listed ahead of what may be.
    fn may_list(&self, part: usize) -> bool {
        self.ready_open < AHEAD_OPEN_MAX / part && self.ready_things < AHEAD_THINGS_MAX / part
    }
}

/// Sends the threads home, whatever there is left to do.
struct Closing<'y, 'a, 'w>(&'y Yard<'a, 'w>);

impl Drop for Closing<'_, '_, '_> {
    fn drop(&mut self) {
        let mut board = self.0.board();
        board.is_over = true;
        board.files.clear();
        board.folders.clear();
        self.0.work.notify_all();
    }
}

/// Wakes whoever waits for a thread that broke off.
struct Alarm<'y, 'a, 'w>(&'y Yard<'a, 'w>);

impl Drop for Alarm<'_, '_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.board().is_broken = true;
            self.0.listed.notify_all();
        }
    }
}

impl Listed {
    fn new() -> Listed {
        Listed {
            folder: None,
            names: Vec::new(),
            things: Vec::new(),
            source: Source::None,
            unknown: Vec::new(),
            links: 0,
            specials: 0,
            empty_folders: 0,
        }
    }

    /// Returns the name of a thing.
    pub fn name(&self, thing: &Thing) -> &[u8] {
        self.at(&thing.name)
    }

    fn at(&self, name: &Range<u32>) -> &[u8] {
        let Range { start, end } = *name;
        // usize has at least 32 bits wherever there are trees.
        self.names.get(start as usize..end as usize).unwrap_or_default()
    }

    fn unknown(&mut self, path: &[u8], why: impl ToString) {
        self.unknown.push((path.to_vec(), why.to_string()));
    }

    fn push(&mut self, name: Range<u32>, number: u32, kind: What) {
        self.things.push(Thing { name, number, kind });
    }

    /// Notes for the index what was read, and what is known of it.
    fn note(&mut self, read: &Names) {
        let Some(stamps) = &read.stamps else { return };
        if read.is_known {
            self.source = Source::Old(*stamps);
            return;
        }
        let known = read.old.as_ref().map_or(&*self.names, Record::bytes);
        let mut record = Record::new(stamps, read.wish);
        for name in &read.names {
            let known = name.known.map(|at| (known, at));
            record.push(self.at(&name.at), name.kind, name.is_wanted, known);
        }
        self.source = Source::New(record);
    }

    /// Reads the names in a folder, and returns them in the order of the paths: a folder as if its
    /// name had the slash that follows.
    fn read(&mut self, folder: &OwnedFd) -> Result<Vec<Name>, Errno> {
        let mut entries = Vec::new();
        each_name(folder, |name, kind| {
            // Some file systems do not say it when they list.
            let kind = match kind {
                FileType::Unknown => match beneath::kind(folder.as_fd(), name) {
                    Ok(kind) => kind,
                    Err(Errno::NOENT) => return Ok(()),
                    Err(errno) => return Err(errno),
                },
                kind => kind,
            };
            let start = u32::try_from(self.names.len()).map_err(|_| Errno::OVERFLOW)?;
            self.names.extend_from_slice(name);
            let end = u32::try_from(self.names.len()).map_err(|_| Errno::OVERFLOW)?;
            entries.push(Name { at: start..end, kind, is_wanted: None, known: None });
            Ok(())
        })?;
        entries.sort_unstable_by(|one, other| {
            let (a, b) = (self.at(&one.at), self.at(&other.at));
            let shared = a.len().min(b.len());
            // Where one name begins another, what follows decides: a slash, or nothing.
            let next = |name: &[u8], kind: FileType| match name.get(shared) {
                Some(byte) => Some(*byte),
                None => (kind == FileType::Directory).then_some(b'/'),
            };
            let (a_head, b_head) = (a.get(..shared), b.get(..shared));
            a_head.cmp(&b_head).then_with(|| next(a, one.kind).cmp(&next(b, other.kind)))
        });
        Ok(entries)
    }
}
