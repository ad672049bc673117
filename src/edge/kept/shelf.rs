//! A shelf: files by content, `ab/cdef…` holding the bytes of that SHA-256.
//!
//! There are two below `.remsync.d/`: `kept`, what was displaced, and `base`, copies that a merge
//! may need. Looking makes nothing. Invariant: only what has such a name is ever removed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::edge::tree::{
    Leaf, Root, Stat, Step, TreeError, Unknown, io_error, names, open_folder, open_leaf,
};
use crate::edge::window::Window;
use crate::format::digest::{hex, sha256_of};
use crate::format::statement;

/// Both shelves, to look into.
pub struct Shelves {
    device: u64,
    /// Kept first: bases are copies of what may be there too.
    all: Vec<OwnedFd>,
}

/// One file on a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub digest: [u8; 32],
    pub size_bytes: u64,
    /// When it came to be there, in ms since 1970.
    pub since_ms: u64,
}

impl Shelves {
    /// Opens the shelves of a tree that are there.
    ///
    /// # Errors
    /// One is there and cannot be opened.
    pub fn open(root: &Root) -> Result<Shelves, TreeError> {
        let mut all = Vec::new();
        for name in [super::KEPT, super::BASE] {
            all.extend(root.own_folder_if_there(name)?);
        }
        Ok(Shelves { device: root.device(), all })
    }

    /// Returns the digest on a shelf that begins so.
    ///
    /// # Errors
    /// A shelf cannot be listed.
    pub fn find(&self, prefix: &[u8; 8]) -> Result<Option<[u8; 32]>, TreeError> {
        let (shard, rest) = (hex(&prefix[..1]), hex(&prefix[1..]));
        for shelf in &self.all {
            let Some(shard) = open_shard(shelf.as_fd(), shard.as_bytes(), self.device)? else {
                continue;
            };
            let all = list(shard.as_fd())?;
            let found = all.iter().find(|name| name.starts_with(rest.as_bytes()));
            if let Some(digest) = found.and_then(|name| digest_of(prefix[0], name)) {
                return Ok(Some(digest));
            }
        }
        Ok(None)
    }

    /// Whether the version of this digest is on a shelf.
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        self.all.iter().any(|shelf| {
            matches!(open_item(shelf.as_fd(), digest, self.device), Ok(Some(Leaf::File(..))))
        })
    }

    /// Opens the version of this digest, checking that its bytes are still what they were; one
    /// that was written to since is passed over. `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open_version(&self, digest: &[u8; 32]) -> Result<Option<(File, Stat)>, TreeError> {
        for shelf in &self.all {
            let Some(Leaf::File(file, stat)) = open_item(shelf.as_fd(), digest, self.device)?
            else {
                continue;
            };
            let read = sha256_of(Window::new(&file, u64::MAX));
            let (found, _) = read.map_err(|source| TreeError::Io {
                path: super::shown(&hex(digest)),
                act: "read this version",
                source,
            })?;
            if found == *digest {
                return Ok(Some((file, Stat::from(&stat))));
            }
        }
        Ok(None)
    }
}

/// Lists what is on a shelf.
pub(super) fn items(shelf: BorrowedFd<'_>, device: u64) -> Result<Vec<Item>, TreeError> {
    let mut items = Vec::new();
    for shard in list(shelf)? {
        let Some([first]) = statement::hex::<1>(&shard) else { continue };
        let Some(folder) = open_shard(shelf, &shard, device)? else { continue };
        for name in list(folder.as_fd())? {
            let Some(digest) = digest_of(first, &name) else { continue };
            let stat = match rustix::fs::statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(super::fail("look at a version", errno)),
            };
            items.push(Item {
                digest,
                size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
                // Every rename sets it, and nobody else can.
                since_ms: ms(stat.st_ctime, stat.st_ctime_nsec),
            });
        }
    }
    Ok(items)
}

/// Removes one file from a shelf, and its folder if that empties it.
pub(super) fn remove(
    shelf: BorrowedFd<'_>,
    digest: &[u8; 32],
    device: u64,
) -> Result<(), TreeError> {
    let (shard, rest) = (hex(&digest[..1]), hex(&digest[1..]));
    let Some(folder) = open_shard(shelf, shard.as_bytes(), device)? else { return Ok(()) };
    match rustix::fs::unlinkat(&folder, &*rest, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(super::fail("drop a version", errno)),
    }
    // Only if it is empty; another run may be about to put something in.
    let _ = rustix::fs::unlinkat(shelf, &*shard, AtFlags::REMOVEDIR);
    Ok(())
}

fn open_item(
    shelf: BorrowedFd<'_>,
    digest: &[u8; 32],
    device: u64,
) -> Result<Option<Leaf>, TreeError> {
    let (shard, rest) = (hex(&digest[..1]), hex(&digest[1..]));
    let Some(folder) = open_shard(shelf, shard.as_bytes(), device)? else { return Ok(None) };
    match open_leaf(folder.as_fd(), rest.as_bytes(), device) {
        Leaf::Other(what @ Unknown::Unreadable(_)) => {
            Err(TreeError::NotKnown { path: super::shown(&hex(digest)), what })
        }
        leaf => Ok(Some(leaf)),
    }
}

fn open_shard(
    shelf: BorrowedFd<'_>,
    name: &[u8],
    device: u64,
) -> Result<Option<OwnedFd>, TreeError> {
    match open_folder(shelf, name, device) {
        Step::Folder(folder) => Ok(Some(folder)),
        Step::Absent => Ok(None),
        Step::Other(what) => {
            Err(TreeError::NotKnown { path: super::shown(&String::from_utf8_lossy(name)), what })
        }
    }
}

fn list(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, TreeError> {
    let all = names(folder);
    let all = all.map_err(|errno| io_error(super::PLACE.to_owned(), "list it", errno))?;
    Ok(all.into_iter().map(|(name, _)| name).collect())
}

/// Reads a digest from a file's name, its first byte being the folder's.
fn digest_of(first: u8, name: &[u8]) -> Option<[u8; 32]> {
    let rest = statement::hex::<31>(name)?;
    let mut digest = [first; 32];
    digest[1..].copy_from_slice(&rest);
    Some(digest)
}

fn ms(seconds: i64, nanoseconds: u64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}
