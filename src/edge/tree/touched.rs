//! Folders that were changed and are not yet durable.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{TreeError, io_error};

/// Folders that may wait: past this many they are synced at once, for each holds a descriptor.
const WAITING_MAX: usize = 64;

/// The folders changed since the last [`Touched::sync`].
#[derive(Default)]
pub struct Touched(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By inode.
    folders: BTreeMap<u64, OwnedFd>,
    /// A folder of the file system that is synced as a whole instead, and whether it has to be.
    whole: Option<(OwnedFd, bool)>,
}

/// A folder about to be changed; `None` where the whole file system is synced.
pub struct Held(Option<(u64, OwnedFd)>);

impl Touched {
    /// Takes hold of a folder before it is changed, so that nothing can fail after.
    pub fn hold(&self, folder: BorrowedFd<'_>) -> Result<Held, TreeError> {
        if self.waiting().whole.is_some() {
            return Ok(Held(None));
        }
        let fail = |errno| io_error("a folder of the tree".to_owned(), "hold it open", errno);
        let inode = rustix::fs::fstat(folder).map_err(fail)?.st_ino;
        let fd = rustix::io::fcntl_dupfd_cloexec(folder, 0).map_err(fail)?;
        let is_full = {
            let folders = &self.waiting().folders;
            folders.len() >= WAITING_MAX && !folders.contains_key(&inode)
        };
        if is_full {
            self.sync()?;
        }
        Ok(Held(Some((inode, fd))))
    }

    /// Notes that a folder was changed.
    pub fn add(&self, held: Held) {
        let mut waiting = self.waiting();
        match (held.0, &mut waiting.whole) {
            (Some((inode, fd)), _) => drop(waiting.folders.insert(inode, fd)),
            (None, Some((_, is_changed))) => *is_changed = true,
            (None, None) => {}
        }
    }

    /// Syncs the whole file system of `folder` from now on, and no single folder: that is less for
    /// the disk where many are changed.
    pub fn sync_as_a_whole(&self, folder: BorrowedFd<'_>) -> Result<(), TreeError> {
        let fail = |errno| io_error("a folder of the tree".to_owned(), "hold it open", errno);
        let fd = rustix::io::fcntl_dupfd_cloexec(folder, 0).map_err(fail)?;
        self.waiting().whole.get_or_insert((fd, false));
        Ok(())
    }

    /// Makes all changes durable. What cannot be synced stays noted.
    pub fn sync(&self) -> Result<(), TreeError> {
        let mut waiting = self.waiting();
        let fail = |errno| io_error("a folder of the tree".to_owned(), "sync it", errno);
        for fd in waiting.folders.values() {
            rustix::fs::fsync(fd.as_fd()).map_err(fail)?;
        }
        waiting.folders.clear();
        if let Some((fd, is_changed @ true)) = &mut waiting.whole {
            rustix::fs::syncfs(fd.as_fd()).map_err(fail)?;
            *is_changed = false;
        }
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
