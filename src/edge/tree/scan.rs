//! The scan: which regular files are in a tree, and what they hold.
//!
//! One thread walks, sorted, so that two scans of one tree tell the same; others hash what it
//! opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

use crate::model::TreePath;
use crate::model::limits::PATH_DEPTH_MAX;
use crate::model::path::is_reserved_part;
use crate::model::project::Format;

use super::beneath::{self, Leaf, Step};
use super::{Found, Root, TreeError, Unknown};

/// Files opened and waiting to be hashed: each holds a descriptor.
const WAITING_MAX: usize = 32;
/// Threads that hash: more than disks can feed would only wait.
const THREADS_MAX: usize = 4;
/// Bytes of names asked for at once.
const NAMES_BYTES: usize = 32 << 10;

/// What a scan asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whether a folder may hold anything wanted.
    Folder,
    /// Whether a file is wanted.
    File,
}

/// What a scan found.
///
/// A path that is not in `files` is not thereby deleted: it may be below something `unknown`, be a
/// link or no longer be wanted. [`Root::look`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The wanted regular files.
    pub files: BTreeMap<TreePath, Found>,
    /// Files and folders that could not be looked at, and why; of a folder, nothing below it is
    /// known either. Ascending; the top folder is the empty name.
    pub unknown: Vec<(Vec<u8>, String)>,
    /// Symbolic links with wanted names: they do not travel.
    pub links: u64,
    /// Devices, sockets and named pipes with wanted names: they do not travel.
    pub specials: u64,
    /// Folders with nothing in them at all: they do not travel.
    pub empty_folders: u64,
    /// Whether the top folder holds nothing but the program's own files.
    pub root_is_empty: bool,
}

/// Whether a path is wanted, or why that cannot be told.
type Wants<'w> = dyn FnMut(&[u8], Kind) -> Result<bool, String> + 'w;

/// A file to be hashed.
type Job = (TreePath, File);
/// What came of it.
type Hashed = (TreePath, Result<Found, Unknown>);

impl Root {
    /// Looks at the whole tree: hashes each regular file that is wanted.
    ///
    /// `wants` is asked about each folder before it is entered and about each file, in order; a
    /// path that it cannot judge is `unknown`. What cannot be read is `unknown` too and does not
    /// stop the scan. The program's own files (`.remsync…`) are not asked about.
    ///
    /// # Errors
    /// The top folder itself cannot be listed.
    pub fn scan(&self, format: Format, wants: &mut Wants<'_>) -> Result<Scan, TreeError> {
        let fail = |errno| self.error("list this folder", errno);
        let top = beneath::reopen(self.fd.as_fd()).map_err(fail)?;
        let entries = names(top.as_fd()).map_err(fail)?;
        let root_is_empty = entries.iter().all(|(name, _)| is_reserved_part(name));

        let (jobs, waiting) = sync_channel::<Job>(WAITING_MAX);
        let waiting = Mutex::new(waiting);
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
        let (mut scan, hashed) = thread::scope(|scope| {
            let hashers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| hash_all(&waiting, format))).collect();
            let mut walk = Walk { device: self.device, wants, jobs, scan: Scan::default() };
            walk.entries(top.as_fd(), entries, &mut Vec::new(), 1);
            // The walk holds the sending end: the hashers end when it goes.
            let scan = walk.scan;
            drop(walk.jobs);
            let hashed: Vec<Hashed> =
                hashers.into_iter().flat_map(|hasher| hasher.join().unwrap_or_default()).collect();
            (scan, hashed)
        });
        scan.root_is_empty = root_is_empty;
        scan.take(hashed);
        Ok(scan)
    }
}

impl Scan {
    /// Adds what was hashed, and brings everything into order.
    fn take(&mut self, hashed: Vec<Hashed>) {
        let mut files = Vec::with_capacity(hashed.len());
        for (path, result) in hashed {
            match result {
                Ok(found) => files.push((path, found)),
                Err(why) => self.unknown.push((path.as_bytes().to_vec(), why.to_string())),
            }
        }
        self.files = files.into_iter().collect();
        self.unknown.sort();
    }
}

/// One walk through a tree.
struct Walk<'a, 'w> {
    device: u64,
    wants: &'a mut Wants<'w>,
    jobs: SyncSender<Job>,
    scan: Scan,
}

impl Walk<'_, '_> {
    /// Looks at all that is in the folder `path`, at the given depth.
    fn entries(
        &mut self,
        folder: BorrowedFd<'_>,
        entries: Vec<(Vec<u8>, FileType)>,
        path: &mut Vec<u8>,
        depth: usize,
    ) {
        let length = path.len();
        for (name, kind) in entries {
            if is_reserved_part(&name) {
                continue;
            }
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(folder, &name, kind, path, depth);
            path.truncate(length);
        }
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
        path: &mut Vec<u8>,
        depth: usize,
    ) {
        // Some file systems do not say it when they list.
        let kind = match kind {
            FileType::Unknown => match beneath::kind(folder, name) {
                Ok(kind) => kind,
                Err(Errno::NOENT) => return,
                Err(errno) => return self.unknown(path, errno),
            },
            kind => kind,
        };
        let asked = if kind == FileType::Directory { Kind::Folder } else { Kind::File };
        match ((self.wants)(path, asked), kind) {
            (Ok(false), _) => {}
            (Err(why), _) => self.unknown(path, why),
            (Ok(true), FileType::Directory) => self.folder(folder, name, path, depth),
            (Ok(true), FileType::RegularFile) => self.file(folder, name, path),
            (Ok(true), FileType::Symlink) => self.scan.links += 1,
            (Ok(true), _) => self.scan.specials += 1,
        }
    }

    fn folder(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &mut Vec<u8>, depth: usize) {
        if depth >= PATH_DEPTH_MAX {
            return self.unknown(path, format!("deeper than {PATH_DEPTH_MAX} parts"));
        }
        let folder = match beneath::open_folder(parent, name, self.device) {
            Step::Folder(folder) => folder,
            Step::Absent => return,
            Step::Other(unknown) => return self.unknown(path, unknown),
        };
        match names(folder.as_fd()) {
            Ok(entries) if entries.is_empty() => self.scan.empty_folders += 1,
            Ok(entries) => self.entries(folder.as_fd(), entries, path, depth + 1),
            Err(errno) => self.unknown(path, beneath::unreadable(errno)),
        }
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &[u8], path: &[u8]) {
        let tree_path = match TreePath::new(path) {
            Ok(tree_path) => tree_path,
            Err(fault) => return self.unknown(path, fault),
        };
        match beneath::open_leaf(folder, name, self.device) {
            Leaf::File(file, _) => {
                if self.jobs.send((tree_path, file)).is_err() {
                    self.unknown(path, "not hashed");
                }
            }
            Leaf::Absent => {}
            Leaf::Other(unknown) => self.unknown(path, unknown),
        }
    }

    fn unknown(&mut self, path: &[u8], why: impl ToString) {
        self.scan.unknown.push((path.to_vec(), why.to_string()));
    }
}

/// Hashes files until no more will come.
fn hash_all(waiting: &Mutex<Receiver<Job>>, format: Format) -> Vec<Hashed> {
    let mut hashed = Vec::new();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((path, file)) = job else { return hashed };
        let found = beneath::found(&file, format);
        hashed.push((path, found));
    }
}

/// Returns the names in a folder, ascending, with what is known of their kinds.
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let fd = beneath::reopen(folder)?;
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}
