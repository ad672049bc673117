//! Folders that were changed and are not yet durable.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use super::{TreeError, io_error};

/// Folders that may wait: past this many they are synced at once, for each holds a descriptor.
const WAITING_MAX: usize = 64;

/// The folders changed since the last [`Touched::sync`], by inode.
#[derive(Default)]
pub struct Touched(Mutex<BTreeMap<u64, OwnedFd>>);

/// A folder about to be changed.
pub struct Held {
    inode: u64,
    fd: OwnedFd,
}

impl Touched {
    /// Takes hold of a folder before it is changed, so that nothing can fail after.
    pub fn hold(&self, folder: BorrowedFd<'_>) -> Result<Held, TreeError> {
        let fail = |errno| io_error("a folder of the tree".to_owned(), "hold it open", errno);
        let inode = rustix::fs::fstat(folder).map_err(fail)?.st_ino;
        let fd = rustix::io::fcntl_dupfd_cloexec(folder, 0).map_err(fail)?;
        let is_full = {
            let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.len() >= WAITING_MAX && !waiting.contains_key(&inode)
        };
        if is_full {
            self.sync()?;
        }
        Ok(Held { inode, fd })
    }

    /// Notes that a folder was changed.
    pub fn add(&self, held: Held) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(held.inode, held.fd);
    }

    /// Makes all changes durable. What cannot be synced stays noted.
    pub fn sync(&self) -> Result<(), TreeError> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fd in waiting.values() {
            rustix::fs::fsync(fd.as_fd())
                .map_err(|errno| io_error("a folder of the tree".to_owned(), "sync it", errno))?;
        }
        waiting.clear();
        Ok(())
    }
}
