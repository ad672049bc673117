//! Staging: where a package's files are unpacked before they are put in their places.
//!
//! On the root's own file system, so that putting in place is a rename. What is staged can be
//! unpacked again: leftovers of crashed runs are removed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::own::{self, RunFolder};
use super::{Root, TreeError, io_error, rescue_each};

/// A private folder of one run, emptied when dropped.
pub struct Staging {
    folder: RunFolder,
    /// The permission bits that the user lets new files have, out of 0777.
    umasked: u32,
    /// The contents of all files in it are durable.
    is_durable: AtomicBool,
}

/// A file in a [`Staging`].
#[derive(Clone, Copy)]
pub struct Staged<'a> {
    pub(super) staging: &'a Staging,
    pub(super) name: &'a str,
}

impl Root {
    /// Makes a private folder below `.remsync.d/`, after removing what crashed runs left there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn stage(&self) -> Result<Staging, TreeError> {
        let all = self.own_folder(&[b"stage"])?;
        rescue_each(all.as_fd(), |left| {
            own::remove_files(left);
            Ok(())
        })?;
        let folder = RunFolder::create(all)?;
        let umasked = umasked(folder.fd())?;
        Ok(Staging { folder, umasked, is_durable: AtomicBool::new(false) })
    }
}

impl Staging {
    /// Creates a new, empty file that nobody else may read.
    ///
    /// # Errors
    /// `name` is not one plain component, is taken, or the file cannot be made.
    pub fn create(&self, name: &str) -> Result<File, TreeError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(TreeError::StagedName { name: name.to_owned() });
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd(), name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| io_error(format!("staged file {name}"), "make it", errno))?;
        Ok(File::from(fd))
    }

    /// Names a file made by [`Staging::create`], for [`Root::place`].
    pub fn staged<'a>(&'a self, name: &'a str) -> Staged<'a> {
        Staged { staging: self, name }
    }

    /// Opens a staged file for reading, from its start.
    ///
    /// # Errors
    /// There is none of this name (any more: it was placed).
    pub fn open(&self, name: &str) -> Result<File, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd(), name, flags, Mode::empty())
            .map_err(|errno| io_error(format!("staged file {name}"), "open it", errno))?;
        Ok(File::from(fd))
    }

    /// Makes the contents of all files in it durable at once, and has the tree's names synced at once
    /// too: with many files that is far less for the disk than one after the other.
    ///
    /// # Errors
    /// The file system cannot be synced: then nothing may be placed.
    pub fn sync_all(&self, root: &Root) -> Result<(), TreeError> {
        let fail = |errno| io_error("staged files".to_owned(), "sync them", errno);
        root.touched().sync_as_a_whole(root.fd.as_fd())?;
        rustix::fs::syncfs(self.fd()).map_err(fail)?;
        self.is_durable.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the contents of its files are durable.
    pub(super) fn is_durable(&self) -> bool {
        self.is_durable.load(Ordering::Relaxed)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.folder.fd()
    }

    pub(super) fn umasked(&self) -> u32 {
        self.umasked
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.folder.clear();
    }
}

/// Returns 0777 less the process's umask, by what a new file gets: asking for the umask itself
/// means to set it, under the feet of other threads.
fn umasked(folder: BorrowedFd<'_>) -> Result<u32, TreeError> {
    const NAME: &str = ".umask";
    let fail = |errno| io_error("staging folder".to_owned(), "make a file in it", errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    let fd = rustix::fs::openat(folder, NAME, flags, all).map_err(fail)?;
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    rustix::fs::unlinkat(folder, NAME, AtFlags::empty()).map_err(fail)?;
    Ok(stat.st_mode & 0o777)
}
