//! Resolution beneath the root: single components, handle by handle, no link followed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::model::project::Format;
use crate::model::{Signature, TreePath};

use super::{Found, Look, Stat, Unknown, hash};

/// How a folder is opened: to be listed, never through a link.
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How a file is opened: without waiting for the other end, should it be a named pipe after all.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Where a path leads.
pub(super) enum Spot<'p> {
    /// Its folder is open: the folders below the root, nearest to it first, and the last part.
    Open { chain: Vec<OwnedFd>, name: &'p [u8] },
    /// A folder above it does not exist: those that do, below the root.
    Missing { chain: Vec<OwnedFd> },
    /// A folder above it is none, or cannot be entered.
    Blocked(Unknown),
}

/// What one name in a folder is, when folders are wanted.
pub enum Step {
    Folder(OwnedFd),
    Absent,
    Other(Unknown),
}

/// What one name in a folder is, when files are wanted.
pub enum Leaf {
    File(File, rustix::fs::Stat),
    Absent,
    Other(Unknown),
}

/// Walks to the folder that holds `path`.
pub(super) fn resolve<'p>(root: BorrowedFd<'_>, path: &'p TreePath, device: u64) -> Spot<'p> {
    let mut chain: Vec<OwnedFd> = Vec::new();
    let mut parts = path.parts();
    let name = parts.next_back().unwrap_or_default();
    for part in parts {
        let parent = chain.last().map_or(root, AsFd::as_fd);
        match open_folder(parent, part, device) {
            Step::Folder(fd) => chain.push(fd),
            Step::Absent => return Spot::Missing { chain },
            Step::Other(unknown) => return Spot::Blocked(above(unknown)),
        }
    }
    Spot::Open { chain, name }
}

/// Opens the folder `name` of `parent`.
pub fn open_folder(parent: BorrowedFd<'_>, name: &[u8], device: u64) -> Step {
    let errno = match rustix::fs::openat(parent, name, FOLDER, Mode::empty()) {
        Ok(fd) => {
            return match rustix::fs::fstat(&fd) {
                Ok(stat) if stat.st_dev == device => Step::Folder(fd),
                Ok(_) => Step::Other(Unknown::OtherDevice),
                Err(errno) => Step::Other(unreadable(errno)),
            };
        }
        Err(errno) => errno,
    };
    match errno {
        Errno::NOENT => match absent(parent) {
            Ok(()) => Step::Absent,
            Err(unknown) => Step::Other(unknown),
        },
        Errno::NOTDIR | Errno::LOOP => match kind(parent, name) {
            Ok(FileType::Symlink) => Step::Other(Unknown::Link),
            Ok(FileType::RegularFile) => Step::Other(Unknown::ParentNotFolder),
            Ok(_) => Step::Other(Unknown::Special),
            Err(errno) => Step::Other(unreadable(errno)),
        },
        errno => Step::Other(unreadable(errno)),
    }
}

/// Opens the regular file `name` of `parent` for reading.
pub fn open_leaf(parent: BorrowedFd<'_>, name: &[u8], device: u64) -> Leaf {
    // Looked at before it is opened: opening a device can do something.
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            if let Err(unknown) = regular(&stat, device) {
                return Leaf::Other(unknown);
            }
        }
        Err(Errno::NOENT) => return absent_leaf(parent),
        Err(errno) => return Leaf::Other(unreadable(errno)),
    }
    let fd = match rustix::fs::openat(parent, name, FILE, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return absent_leaf(parent),
        Err(Errno::LOOP) => return Leaf::Other(Unknown::Link),
        Err(errno) => return Leaf::Other(unreadable(errno)),
    };
    match rustix::fs::fstat(&fd) {
        Ok(stat) => match regular(&stat, device) {
            Ok(()) => Leaf::File(File::from(fd), stat),
            Err(unknown) => Leaf::Other(unknown),
        },
        Err(errno) => Leaf::Other(unreadable(errno)),
    }
}

/// Looks at `name` in `parent`, hashing it.
pub(super) fn look(parent: BorrowedFd<'_>, name: &[u8], device: u64, format: Format) -> Look {
    match open_leaf(parent, name, device) {
        Leaf::File(file, _) => match hash::signature(&file, format, &AtomicU64::new(0)) {
            Ok((signature, stat)) => Look::File(Found::of(signature, &stat)),
            Err(unknown) => Look::NotKnown(unknown),
        },
        Leaf::Absent => Look::Absent,
        Leaf::Other(unknown) => Look::NotKnown(unknown),
    }
}

/// Returns what kind of thing `name` in `parent` is.
pub(super) fn kind(parent: BorrowedFd<'_>, name: &[u8]) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Opens `fd` again, with a reading position of its own.
pub(super) fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(fd, ".", FOLDER, Mode::empty())
}

pub(super) fn unreadable(errno: Errno) -> Unknown {
    Unknown::Unreadable(errno.to_string())
}

/// What one thing in the place of a folder means for the paths below it.
fn above(unknown: Unknown) -> Unknown {
    match unknown {
        Unknown::Link => Unknown::ParentLink,
        Unknown::Special => Unknown::ParentNotFolder,
        other => other,
    }
}

fn absent_leaf(parent: BorrowedFd<'_>) -> Leaf {
    match absent(parent) {
        Ok(()) => Leaf::Absent,
        Err(unknown) => Leaf::Other(unknown),
    }
}

/// Whether a name missing from `parent` says anything: a folder that was itself removed while it
/// was held open has no names at all.
fn absent(parent: BorrowedFd<'_>) -> Result<(), Unknown> {
    match rustix::fs::fstat(parent) {
        Ok(stat) if stat.st_nlink > 0 => Ok(()),
        Ok(_) => Err(Unknown::Unreadable("its folder was removed meanwhile".to_owned())),
        Err(errno) => Err(unreadable(errno)),
    }
}

fn regular(stat: &rustix::fs::Stat, device: u64) -> Result<(), Unknown> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_dev == device => Ok(()),
        FileType::RegularFile => Err(Unknown::OtherDevice),
        FileType::Directory => Err(Unknown::Folder),
        FileType::Symlink => Err(Unknown::Link),
        _ => Err(Unknown::Special),
    }
}

impl Found {
    /// Pairs a file's signature with what its inode says.
    pub(super) fn of(signature: Signature, stat: &rustix::fs::Stat) -> Found {
        let Stat { size_bytes, mtime_s, mtime_ns, .. } = Stat::from(stat);
        Found { signature, size_bytes, mtime_s, mtime_ns }
    }
}

impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Stat {
        Stat {
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            executable: stat.st_mode & 0o100 != 0,
            mtime_s: stat.st_mtime,
            mtime_ns: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        }
    }
}
