//! The store of kept versions: what was displaced or deleted, by content.
//!
//! Not a history: it knows contents, not when or why. Invariant: a file `ab/cdef…` held the bytes
//! of that SHA-256 when it was moved in, and nothing is moved in before it is durable. A version
//! is moved, never copied, unless its file has another name through which somebody may write.
//!
//! Below `.remsync.d/kept/`: `ab/cdef…` the versions; `sum/12345/` for format 1.3 an empty file
//! for each digest whose BSD sum that is (sums alone would let one version take another's place);
//! `in/` a folder for each run, for what is displaced but not yet kept. What a killed run left
//! there is kept by the next. Looking is in `shelf`, what leaves again in `prune`, and copies of
//! what was not displaced yet in `base`.

mod base;
mod prune;
mod shelf;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::format::digest::{self, Digests, digests_of, hex};
use crate::model::Signature;

pub use base::{Bases, COPY_BYTES_MAX};
pub use prune::{DAY_MS, FRESH_MS, Policy, Pruned, prune};
pub use shelf::Shelves;

use super::tree::{
    Leaf, Root, RunFolder, Step, Touched, TreeError, io_error, make_folder, names, open_folder,
    open_leaf, rename_to_free, rescue_each,
};
use super::window::Window;

/// The folder of what was displaced, below `.remsync.d/`.
const KEPT: &[u8] = b"kept";
/// The folder of copies for merges.
const BASE: &[u8] = b"base";

/// The store of one tree, open for one run.
pub struct Kept {
    folder: OwnedFd,
    device: u64,
    swaps: bool,
    run: RunFolder,
    count: AtomicU64,
    touched: Arc<Touched>,
}

/// A free name in the store's own folder, for something displaced.
pub(super) struct Aside<'k> {
    /// The folder.
    pub folder: BorrowedFd<'k>,
    /// The name.
    pub name: String,
}

impl Kept {
    /// Opens the store of a tree, making it if there is none, and keeps what killed runs left
    /// half done.
    ///
    /// # Errors
    /// It cannot be made, or what was left cannot be kept.
    pub fn open(root: &Root) -> Result<Kept, TreeError> {
        let folder = root.own_folder(&[KEPT])?;
        let all = root.own_folder(&[KEPT, b"in"])?;
        let run = RunFolder::create(rustix::io::dup(&all).map_err(|e| fail("open it", e))?)?;
        let kept = Kept {
            folder,
            device: root.device(),
            swaps: root.swaps(),
            run,
            count: AtomicU64::new(0),
            touched: root.touched(),
        };
        rescue_each(all.as_fd(), |left| {
            let all = names(left).map_err(|errno| fail("list what was left in it", errno))?;
            all.iter().try_for_each(|(name, _)| kept.rescue(left, name))
        })?;
        Ok(kept)
    }

    /// Opens a kept version, checking that its bytes are still what they were; `None` if none is
    /// kept. Of several with one BSD sum (format 1.3), the one kept last.
    ///
    /// # Errors
    /// It cannot be read, or somebody who had it open wrote to it.
    pub fn open_version(&self, signature: &Signature) -> Result<Option<File>, TreeError> {
        let hex = match signature {
            Signature::Sha256 { digest, .. } => hex(digest),
            Signature::Sum(sum) => match self.last_of_sum(*sum)? {
                Some(hex) => hex,
                None => return Ok(None),
            },
        };
        let Some((shard, rest)) = hex.split_at_checked(2) else { return Ok(None) };
        let Some(shard) = self.folder_in(self.folder.as_fd(), shard.as_bytes())? else {
            return Ok(None);
        };
        let file = match open_leaf(shard.as_fd(), rest.as_bytes(), self.device) {
            Leaf::File(file, _) => file,
            Leaf::Absent => return Ok(None),
            Leaf::Other(what) => return Err(TreeError::NotKnown { path: shown(&hex), what }),
        };
        let Digests { sha256, .. } = read_digests(&file)?;
        let is_whole = digest::hex(&sha256) == hex;
        if is_whole { Ok(Some(file)) } else { Err(TreeError::Damaged { path: shown(&hex) }) }
    }

    /// Moves the file `name` of `from`, on the same file system, into the store. It must have
    /// been found to have this signature. Durable after [`Root::sync_touched`].
    ///
    /// # Errors
    /// It cannot be moved; then it is where it was.
    pub fn keep(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
        signature: &Signature,
    ) -> Result<(), TreeError> {
        let (file, stat) = match open_leaf(from, name, self.device) {
            Leaf::File(file, stat) => (file, stat),
            Leaf::Absent => return Err(fail("keep a file that is gone", Errno::NOENT)),
            Leaf::Other(what) => {
                return Err(TreeError::NotKnown { path: signature.to_string(), what });
            }
        };
        let digest = match signature {
            Signature::Sha256 { digest, .. } => *digest,
            Signature::Sum(sum) => {
                let Digests { sha256, .. } = read_digests(&file)?;
                self.note_sum(*sum, &hex(&sha256))?;
                sha256
            }
        };
        self.put(from, name, &file, &stat, &hex(&digest))
    }

    /// Keeps what lies in a folder of ours and whose signature nobody knows; what is no file stays
    /// where it is.
    pub(super) fn rescue(&self, from: BorrowedFd<'_>, name: &[u8]) -> Result<(), TreeError> {
        let Leaf::File(file, stat) = open_leaf(from, name, self.device) else { return Ok(()) };
        let Digests { sha256, sum } = read_digests(&file)?;
        self.note_sum(sum, &hex(&sha256))?;
        self.put(from, name, &file, &stat, &hex(&sha256))
    }

    /// Returns a free name in the store's own folder.
    pub(super) fn aside(&self) -> Aside<'_> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        Aside { folder: self.run.fd(), name: count.to_string() }
    }

    /// Moves an open file to its name in the store.
    fn put(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
        file: &File,
        stat: &rustix::fs::Stat,
        hex: &str,
    ) -> Result<(), TreeError> {
        rustix::fs::fsync(file).map_err(|errno| fail("sync what is kept", errno))?;
        let (shard, rest) = hex.split_at_checked(2).unwrap_or((hex, ""));
        let rest = rest.as_bytes();
        let above = self.touched.hold(self.folder.as_fd())?;
        let shard = make_folder(self.folder.as_fd(), shard.as_bytes(), self.device)?;
        let held = self.touched.hold(shard.as_fd())?;
        let copy;
        let source = if stat.st_nlink > 1 {
            // It has other names, through which somebody may write to it: the store has its own.
            copy = self.copy(file)?;
            (copy.folder, copy.name.as_bytes())
        } else {
            (from, name)
        };
        match rename_to_free(self.swaps, source, (shard.as_fd(), rest)) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.has(shard.as_fd(), rest, stat) => {
                remove(source)?;
                renew(shard.as_fd(), rest)?;
            }
            // Cut short, or written to since: what is at hand is whole.
            Err(Errno::EXIST) => rustix::fs::renameat(source.0, source.1, &shard, rest)
                .map_err(|errno| fail("put a version in it", errno))?,
            Err(errno) => return Err(fail("put a version in it", errno)),
        }
        self.touched.add(above);
        self.touched.add(held);
        if stat.st_nlink > 1 { remove((from, name)) } else { Ok(()) }
    }

    /// Copies an open file to a name of our own.
    fn copy(&self, file: &File) -> Result<Aside<'_>, TreeError> {
        let aside = self.aside();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(aside.folder, &*aside.name, flags, mode)
            .map_err(|errno| fail("copy a version into it", errno))?;
        let mut from = file;
        let mut to = File::from(fd);
        let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
        copied.map_err(|source| TreeError::Io {
            path: PLACE.to_owned(),
            act: "copy a version into it",
            source,
        })?;
        Ok(aside)
    }

    /// Whether the version is there already, as far as its size tells.
    fn has(&self, shard: BorrowedFd<'_>, rest: &[u8], stat: &rustix::fs::Stat) -> bool {
        match open_leaf(shard, rest, self.device) {
            Leaf::File(_, there) => there.st_size == stat.st_size,
            Leaf::Absent | Leaf::Other(_) => false,
        }
    }

    /// Notes that the version `hex` has this sum.
    fn note_sum(&self, sum: u16, hex: &str) -> Result<(), TreeError> {
        let sums = make_folder(self.folder.as_fd(), b"sum", self.device)?;
        let folder = make_folder(sums.as_fd(), format!("{sum:05}").as_bytes(), self.device)?;
        let held = self.touched.hold(folder.as_fd())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&folder, hex, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| fail("note a sum in it", errno))?;
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
        rustix::fs::futimens(&fd, &times).map_err(|errno| fail("note a sum in it", errno))?;
        self.touched.add(held);
        Ok(())
    }

    /// Returns the version of this sum that was noted last.
    fn last_of_sum(&self, sum: u16) -> Result<Option<String>, TreeError> {
        let Some(sums) = self.folder_in(self.folder.as_fd(), b"sum")? else { return Ok(None) };
        let name = format!("{sum:05}");
        let Some(folder) = self.folder_in(sums.as_fd(), name.as_bytes())? else {
            return Ok(None);
        };
        let all = names(folder.as_fd()).map_err(|errno| fail("list its sums", errno))?;
        let dated = all.into_iter().filter_map(|(name, _)| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let stat = rustix::fs::statat(&folder, name.as_slice(), flags).ok()?;
            Some(((stat.st_mtime, stat.st_mtime_nsec), String::from_utf8(name).ok()?))
        });
        Ok(dated.max().map(|(_, name)| name))
    }

    /// Opens a folder of the store, if it is there.
    fn folder_in(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<OwnedFd>, TreeError> {
        folder_in(parent, name, self.device)
    }
}

fn folder_in(
    parent: BorrowedFd<'_>,
    name: &[u8],
    device: u64,
) -> Result<Option<OwnedFd>, TreeError> {
    match open_folder(parent, name, device) {
        Step::Folder(folder) => Ok(Some(folder)),
        Step::Absent => Ok(None),
        Step::Other(what) => Err(TreeError::NotKnown { path: PLACE.to_owned(), what }),
    }
}

/// Makes a version that was displaced once more as young as one that was displaced now: setting
/// any time sets the one of the last change.
fn renew(shard: BorrowedFd<'_>, name: &[u8]) -> Result<(), TreeError> {
    let last_access = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let last_modification = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = rustix::fs::Timestamps { last_access, last_modification };
    rustix::fs::utimensat(shard, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| fail("renew a version", errno))
}

/// What errors of the store are about.
const PLACE: &str = "the store of kept versions";

fn fail(act: &'static str, errno: Errno) -> TreeError {
    io_error(PLACE.to_owned(), act, errno)
}

fn shown(hex: &str) -> String {
    format!("{PLACE}: {hex}")
}

fn remove((folder, name): (BorrowedFd<'_>, &[u8])) -> Result<(), TreeError> {
    rustix::fs::unlinkat(folder, name, AtFlags::empty())
        .map_err(|errno| fail("drop a second copy", errno))
}

fn read_digests(file: &File) -> Result<Digests, TreeError> {
    digests_of(Window::new(file, u64::MAX)).map_err(|source| TreeError::Io {
        path: PLACE.to_owned(),
        act: "read a version",
        source,
    })
}
