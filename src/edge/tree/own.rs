//! The program's own folders below a root, and folders private to one run in them.
//!
//! Invariant: a [`RunFolder`] is locked as long as its run lives, so what a crashed run left can
//! be told from what another run is working with.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FlockOperation, Mode};
use rustix::io::Errno;

use super::beneath::{self, Step};
use super::{OWN_FOLDER, Root, TreeError, io_error, scan};

/// Names tried for a run's folder: each is of another process number or count.
const TRIES: u32 = 1_000;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A folder of one run, empty at first, removed when dropped if it is empty again.
pub struct RunFolder {
    parent: OwnedFd,
    fd: OwnedFd,
    name: String,
}

impl Root {
    /// Opens a folder below `.remsync.d/`, making what is missing.
    pub(in crate::edge) fn own_folder(&self, names: &[&[u8]]) -> Result<OwnedFd, TreeError> {
        let mut folder = make_folder(self.fd.as_fd(), OWN_FOLDER, self.device)?;
        for name in names {
            folder = make_folder(folder.as_fd(), name, self.device)?;
        }
        Ok(folder)
    }

    /// Opens the folder `name` below `.remsync.d/` if it is there, and makes nothing.
    pub(in crate::edge) fn own_folder_if_there(
        &self,
        name: &[u8],
    ) -> Result<Option<OwnedFd>, TreeError> {
        let mut folder = beneath::reopen(self.fd.as_fd())
            .map_err(|errno| io_error(".remsync.d".to_owned(), "open it", errno))?;
        for part in [OWN_FOLDER, name] {
            folder = match beneath::open_folder(folder.as_fd(), part, self.device) {
                Step::Folder(folder) => folder,
                Step::Absent => return Ok(None),
                Step::Other(what) => {
                    let path = String::from_utf8_lossy(part).into_owned();
                    return Err(TreeError::NotKnown { path, what });
                }
            };
        }
        Ok(Some(folder))
    }
}

/// Opens the folder `name` of `parent`, ours alone, making it if it is missing.
pub fn make_folder(parent: BorrowedFd<'_>, name: &[u8], device: u64) -> Result<OwnedFd, TreeError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    match beneath::open_folder(parent, name, device) {
        Step::Folder(fd) => return Ok(fd),
        Step::Other(what) => return Err(TreeError::NotKnown { path: shown(), what }),
        Step::Absent => {}
    }
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(io_error(shown(), "make this folder", errno)),
    }
    match beneath::open_folder(parent, name, device) {
        Step::Folder(fd) => Ok(fd),
        Step::Other(what) => Err(TreeError::NotKnown { path: shown(), what }),
        Step::Absent => Err(TreeError::Absent { path: shown() }),
    }
}

impl RunFolder {
    /// Makes a folder in `parent` that no other run uses.
    pub fn create(parent: OwnedFd) -> Result<RunFolder, TreeError> {
        let pid = rustix::process::getpid();
        for _ in 0..TRIES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{count}", pid.as_raw_nonzero());
            match rustix::fs::mkdirat(&parent, name.as_str(), Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(io_error(name, "make this folder", errno)),
            }
            // Somebody who cleans up may have been faster than the lock: then another is made.
            if let Some(fd) = lock(parent.as_fd(), name.as_bytes()) {
                return Ok(RunFolder { parent, fd, name });
            }
        }
        Err(io_error("a private folder".to_owned(), "make one in .remsync.d", Errno::EXIST))
    }

    /// Returns the handle.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Removes all files in it.
    pub fn clear(&self) {
        remove_files(self.fd.as_fd());
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // One that is not empty stays for the next run to see to.
        let _ = rustix::fs::unlinkat(&self.parent, self.name.as_str(), AtFlags::REMOVEDIR);
    }
}

/// Calls `rescue` with each folder in `parent` that a crashed run left, then removes it if that
/// emptied it.
pub fn rescue_each(
    parent: BorrowedFd<'_>,
    mut rescue: impl FnMut(BorrowedFd<'_>) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let names = scan::names(parent)
        .map_err(|errno| io_error(".remsync.d".to_owned(), "list a folder in", errno))?;
    for (name, _) in names {
        let Some(fd) = lock(parent, &name) else { continue };
        rescue(fd.as_fd())?;
        let _ = rustix::fs::unlinkat(parent, name.as_slice(), AtFlags::REMOVEDIR);
    }
    Ok(())
}

/// Removes all files in a folder of our own.
pub fn remove_files(fd: BorrowedFd<'_>) {
    // What cannot be removed only takes room: the next run tries again.
    for (name, _) in scan::names(fd).unwrap_or_default() {
        let _ = rustix::fs::unlinkat(fd, name.as_slice(), AtFlags::empty());
    }
}

/// Opens and locks a run's folder; `None` if another run has it, or it is gone.
fn lock(parent: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    let device = rustix::fs::fstat(parent).ok()?.st_dev;
    let Step::Folder(fd) = beneath::open_folder(parent, name, device) else { return None };
    rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).ok()?;
    let is_linked = rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_nlink > 0);
    is_linked.then_some(fd)
}
