//! Bases: copies of what was settled with another site, for the day when both sides edit it.
//!
//! A person's edit overwrites the common ancestor without us; a hard link would change with it, for
//! editors write in place. So what two sites are known to share is cloned, where the file system
//! can share blocks, and else copied if it is a text of at most [`COPY_BYTES_MAX`]. All of it is a
//! cache: nothing is synced, and what is lost costs a merge, never a version.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::edge::tree::{Root, RunFolder, TreeError, make_folder, rescue_each};
use crate::edge::window::Window;
use crate::format::difference::is_text;
use crate::format::digest::{hex, sha256_of};
use crate::model::TreePath;

use super::fail;
use super::shelf::Shelves;

/// Bytes of a text that is copied where it cannot be cloned.
pub const COPY_BYTES_MAX: u64 = 1 << 20;

/// The shelf of bases, open for one run.
pub struct Bases<'r> {
    root: &'r Root,
    shelves: Shelves,
    folder: OwnedFd,
    run: RunFolder,
    clones: Cell<bool>,
    left_bytes: Cell<u64>,
    count: Cell<u64>,
    /// The folders of the shelf that were used, by the first byte of the digest.
    shards: RefCell<BTreeMap<u8, OwnedFd>>,
}

/// What a file takes on the disk at least.
const BLOCK_BYTES: u64 = 4096;

/// What came of copying.
enum Copied {
    /// It shares the blocks of the file.
    Cloned,
    /// It was read and written; of these bytes this is the digest.
    Written([u8; 32]),
    /// It is none that is copied.
    Not,
}

impl<'r> Bases<'r> {
    /// Opens the shelf, making it if there is none; this run adds at most `bytes_max`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: &'r Root, bytes_max: u64) -> Result<Bases<'r>, TreeError> {
        let folder = root.own_folder(&[super::BASE])?;
        let all = root.own_folder(&[super::BASE, b"in"])?;
        rescue_each(all.as_fd(), |left| {
            crate::edge::tree::remove_files(left);
            Ok(())
        })?;
        Ok(Bases {
            root,
            shelves: Shelves::open(root)?,
            folder,
            run: RunFolder::create(all)?,
            clones: Cell::new(true),
            left_bytes: Cell::new(bytes_max),
            count: Cell::new(0),
            shards: RefCell::default(),
        })
    }

    /// Keeps a copy of the file at `path`, if it still is the version of this digest and one can
    /// be had at that price. Whether there is one now.
    ///
    /// # Errors
    /// The shelf cannot be written.
    pub fn keep(&self, path: &TreePath, digest: &[u8; 32]) -> Result<bool, TreeError> {
        if self.shelves.has(digest) {
            return Ok(true);
        }
        let Ok((file, stat)) = self.root.open_file(path) else { return Ok(false) };
        // A million small files take a million blocks.
        let takes_bytes = stat.size_bytes.next_multiple_of(BLOCK_BYTES);
        if takes_bytes > self.left_bytes.get() {
            return Ok(false);
        }
        let name = self.count.replace(self.count.get() + 1).to_string();
        let is_version = match self.copy(&file, stat.size_bytes, &name)? {
            Copied::Cloned => self.is_version(&name, digest),
            Copied::Written(copied) => copied == *digest,
            Copied::Not => false,
        };
        if is_version {
            self.left_bytes.set(self.left_bytes.get() - takes_bytes);
            return self.put(&name, digest).map(|()| true);
        }
        let _ = rustix::fs::unlinkat(self.run.fd(), &*name, AtFlags::empty());
        Ok(false)
    }

    /// Makes the file `name` a clone or a copy.
    fn copy(&self, file: &File, size_bytes: u64, name: &str) -> Result<Copied, TreeError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.run.fd(), name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| fail("copy a base into it", errno))?;
        if self.clones.get() {
            match rustix::fs::ioctl_ficlone(&fd, file) {
                Ok(()) => return Ok(Copied::Cloned),
                // Here no file can be cloned; an empty one, or one just swapped, is no proof.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOTTY) => {
                    self.clones.set(false);
                }
                Err(_) => {}
            }
        }
        if size_bytes > COPY_BYTES_MAX {
            return Ok(Copied::Not);
        }
        let mut bytes = Vec::new();
        let read = io::Read::read_to_end(&mut Window::new(file, COPY_BYTES_MAX + 1), &mut bytes);
        if read.is_err() || !is_text(&bytes) {
            return Ok(Copied::Not);
        }
        let written = io::Write::write_all(&mut File::from(fd), &bytes);
        let io_fault = |source| TreeError::Io {
            path: super::PLACE.to_owned(),
            act: "copy a base into it",
            source,
        };
        written.map(|()| Copied::Written(Sha256::digest(&bytes).into())).map_err(io_fault)
    }

    fn is_version(&self, name: &str, digest: &[u8; 32]) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.run.fd(), name, flags, Mode::empty());
        let read = opened.ok().and_then(|fd| sha256_of(File::from(fd)).ok());
        read.is_some_and(|(found, _)| found == *digest)
    }

    fn put(&self, name: &str, digest: &[u8; 32]) -> Result<(), TreeError> {
        let mut shards = self.shards.borrow_mut();
        let shard = match shards.entry(digest[0]) {
            Entry::Occupied(shard) => shard.into_mut(),
            Entry::Vacant(place) => {
                let name = hex(&digest[..1]);
                let device = self.root.device();
                place.insert(make_folder(self.folder.as_fd(), name.as_bytes(), device)?)
            }
        };
        rustix::fs::renameat(self.run.fd(), name, &*shard, &*hex(&digest[1..]))
            .map_err(|errno| fail("put a base in it", errno))
    }
}

impl Drop for Bases<'_> {
    fn drop(&mut self) {
        self.run.clear();
    }
}
