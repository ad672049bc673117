//! The scan: which regular files are in a tree, and what they hold.
//!
//! One thread walks, sorted, so that two scans of one tree tell the same; others hash what it
//! opened. What the index knows is not opened at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;

use crate::model::TreePath;
use crate::model::limits::PATH_DEPTH_MAX;
use crate::model::path::is_reserved_part;
use crate::model::project::Format;

use super::beneath::{self, Leaf, Step};
use super::index::{Index, Marks, NewIndex};
use super::{Found, Root, TreeError, Unknown, hash};

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

/// A file to be hashed, and its place among all that the walk met.
type Job = (usize, File);
/// What came of it.
type Hashed = (usize, Result<(Found, Marks), Unknown>);

/// A file that the walk met.
struct Met {
    path: TreePath,
    /// `None` as long as it is being hashed, and where that failed.
    found: Option<(Found, Marks)>,
}

/// Files that were hashed, from which on an index is written anew.
const NEWS_MIN: usize = 64;
/// Bytes that were hashed, from which on it is.
const NEWS_BYTES_MIN: u64 = 8 << 20;

impl Root {
    /// Looks at the whole tree: hashes each regular file that is wanted.
    ///
    /// `wants` is asked about each folder before it is entered and about each file, in order; a
    /// path that it cannot judge is `unknown`. What cannot be read is `unknown` too and does not
    /// stop the scan. The program's own files (`.remsync…`, and what is guarded) are not asked about.
    ///
    /// In format 2.0 what the index knows by its inode is not read, and the index is brought up to
    /// date.
    ///
    /// # Errors
    /// The top folder itself cannot be listed.
    pub fn scan(&self, format: Format, wants: &mut Wants<'_>) -> Result<Scan, TreeError> {
        let fail = |errno| self.error("list this folder", errno);
        let top = beneath::reopen(self.fd.as_fd()).map_err(fail)?;
        let entries = names(top.as_fd()).map_err(fail)?;
        let root_is_empty = entries.iter().all(|(name, _)| is_reserved_part(name));

        let is_indexed = format == Format::V2_0;
        let new_index = if is_indexed { NewIndex::begin(self) } else { None };
        let index = is_indexed.then(|| Index::open(self));

        let (jobs, waiting) = sync_channel::<Job>(WAITING_MAX);
        let waiting = Mutex::new(waiting);
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
        let (mut scan, met, index, hashed) = thread::scope(|scope| {
            let hashers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| hash_all(&waiting, format))).collect();
            let (met, scan) = (Vec::new(), Scan::default());
            let device = self.device;
            let mut walk = Walk { root: self, device, wants, jobs, index, met, scan };
            walk.entries(top.as_fd(), entries, &mut Vec::new(), 1);
            // The walk holds the sending end: the hashers end when it goes.
            let Walk { jobs, index, met, scan, .. } = walk;
            drop(jobs);
            let hashed: Vec<Hashed> =
                hashers.into_iter().flat_map(|hasher| hasher.join().unwrap_or_default()).collect();
            (scan, met, index, hashed)
        });
        scan.root_is_empty = root_is_empty;
        let news = hashed.len() + index.map_or(0, |index| index.gone);
        let met = scan.judge(met, hashed, news, new_index);
        scan.files = met.into_iter().filter_map(|met| Some((met.path, met.found?.0))).collect();
        scan.unknown.sort();
        Ok(scan)
    }
}

impl Scan {
    /// Adds what was hashed to what the walk met, and writes a new index where that saves enough.
    fn judge(
        &mut self,
        mut met: Vec<Met>,
        hashed: Vec<Hashed>,
        news: usize,
        index: Option<NewIndex>,
    ) -> Vec<Met> {
        let mut bytes = 0;
        for (at, result) in hashed {
            let Some(met) = met.get_mut(at) else { continue };
            match result {
                Ok((found, marks)) => {
                    bytes += found.size_bytes;
                    met.found = Some((found, marks));
                }
                Err(why) => self.unknown.push((met.path.as_bytes().to_vec(), why.to_string())),
            }
        }
        if let Some(index) = index.filter(|_| news >= NEWS_MIN || bytes >= NEWS_BYTES_MIN) {
            // A disk that is full keeps nobody from seeing what is there.
            let _ = write(index, &met);
        }
        met
    }
}

fn write(mut index: NewIndex, met: &[Met]) -> io::Result<()> {
    for Met { path, found } in met {
        if let Some((found, marks)) = found {
            index.add(path.as_bytes(), marks, &found.signature)?;
        }
    }
    index.finish()
}

/// One walk through a tree.
struct Walk<'a, 'w> {
    root: &'a Root,
    device: u64,
    wants: &'a mut Wants<'w>,
    jobs: SyncSender<Job>,
    index: Option<Index>,
    met: Vec<Met>,
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
            if !self.root.is_own(path) {
                self.entry(folder, &name, kind, path, depth);
            }
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
        if let Some(found) = self.known(folder, name, path) {
            return self.met.push(Met { path: tree_path, found: Some(found) });
        }
        match beneath::open_leaf(folder, name, self.device) {
            Leaf::File(file, _) => {
                let at = self.met.len();
                self.met.push(Met { path: tree_path, found: None });
                if self.jobs.send((at, file)).is_err() {
                    self.unknown(path, "not hashed");
                }
            }
            Leaf::Absent => {}
            Leaf::Other(unknown) => self.unknown(path, unknown),
        }
    }

    /// Returns what the index says of a file whose inode says the same as then.
    fn known(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Option<(Found, Marks)> {
        let index = self.index.as_mut()?;
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let marks = Marks::of(&stat);
        let signature = index.find(path, &marks).filter(|_| is_file)?;
        (stat.st_dev == self.device).then(|| (Found::of(signature, &stat), marks))
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
        let Ok((at, file)) = job else { return hashed };
        let found = hash::signature(&file, format);
        let found = found.map(|(signature, stat)| (Found::of(signature, &stat), Marks::of(&stat)));
        hashed.push((at, found));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::model::Signature;

    const LIE: Signature = Signature::Sha256 { digest: [7; 32], executable: false };

    fn scan(root: &Root) -> BTreeMap<TreePath, Found> {
        root.scan(Format::V2_0, &mut |_, _| Ok(true)).unwrap().files
    }

    /// An index that lies shows which files are read: those whose inode says anything else.
    #[test]
    fn what_the_index_knows_is_not_read_and_what_changed_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at(".remsync.d")).unwrap();
        let names = ["chmod", "edited", "grown", "put/there", "renamed", "same", "touched"];
        fs::create_dir(at("put")).unwrap();
        for name in names {
            fs::write(at(name), "text").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        // As they are believed: changed long enough before they are hashed.
        std::thread::sleep(Duration::from_millis(3_100));
        let mut index = NewIndex::begin(&root).unwrap();
        for name in names {
            let marks = Marks::of(&rustix::fs::stat(at(name)).unwrap());
            index.add(name.as_bytes(), &marks, &LIE).unwrap();
        }
        index.finish().unwrap();
        assert!(scan(&root).values().all(|found| found.signature == LIE));

        let times = |name: &str| fs::metadata(at(name)).unwrap().modified().unwrap();
        let restore = |name: &str, time| {
            fs::File::options().write(true).open(at(name)).unwrap().set_modified(time).unwrap();
        };
        // The same size and modification time, as cp -p and some editors leave it.
        let time = times("edited");
        fs::write(at("edited"), "TEXT").unwrap();
        restore("edited", time);
        fs::write(at("new"), "TEXT").unwrap();
        restore("new", times("put/there"));
        fs::rename(at("new"), at("put/there")).unwrap();
        fs::write(at("grown"), "texts").unwrap();
        restore("touched", time + Duration::from_secs(1));
        fs::set_permissions(at("chmod"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(at("renamed"), at("moved")).unwrap();
        let read: Vec<String> = scan(&root)
            .iter()
            .filter(|(_, found)| found.signature != LIE)
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(read, ["chmod", "edited", "grown", "moved", "put/there", "touched"]);
        // Nor is it asked for the other format, whose signatures it does not have.
        let sums = root.scan(Format::V1_3, &mut |_, _| Ok(true)).unwrap().files;
        assert!(sums.values().all(|found| matches!(found.signature, Signature::Sum(_))));
    }
}
