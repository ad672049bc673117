//! Trees on disk: every look at one and every write into one, beneath a root that is held open.
//!
//! Not a judge: it never decides whether a file should change, it only does so, or says why not.
//! Invariant: a path is resolved one component at a time from the root's own handle, never through
//! a symbolic link and never onto another device, and every call names a single component below a
//! handle that is held. So whatever other programs swap meanwhile, nothing outside is touched.

mod beneath;
mod hash;
mod index;
mod own;
mod replace;
mod scan;
mod stage;
mod touched;
mod walk;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use thiserror::Error;

use crate::model::path::{escaped, folded, is_reserved_part};
use crate::model::project::Format;
use crate::model::{Content, Signature, TreePath};

use beneath::Spot;

pub(super) use beneath::{Leaf, Step, open_folder, open_leaf};
pub(super) use own::{RunFolder, make_folder, remove_files, rescue_each};
pub(super) use replace::rename_to_free;
pub use replace::{Arrival, PlaceFault, Placed};
pub(super) use scan::names;
pub use scan::{Kind, Scan, Scanning, Seen, Wanted, Wants};
pub use stage::{Staged, Staging};
pub(super) use touched::Touched;

/// The folder of the program's own things, below the root.
pub const OWN_FOLDER: &[u8] = b".remsync.d";

/// The top folder of a tree, held open.
pub struct Root {
    fd: OwnedFd,
    device: u64,
    shown: String,
    touched: Arc<Touched>,
    hook: Option<Hook>,
    swaps: bool,
    /// What of our own lies in the tree, part by part, folded.
    own: Vec<Vec<String>>,
}

/// A file that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes, and in format 2.0 its executable bit.
    pub signature: Signature,
    /// Its size when it was hashed.
    pub size_bytes: u64,
    /// When it was last modified, in seconds since 1970.
    pub mtime_s: i64,
    /// The nanoseconds of that.
    pub mtime_ns: u32,
}

/// What a file's inode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its size.
    pub size_bytes: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// When it was last modified, in seconds since 1970.
    pub mtime_s: i64,
    /// The nanoseconds of that.
    pub mtime_ns: u32,
}

/// What putting a file back as it was needs beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Its permission bits, out of 0777.
    pub mode: u32,
    /// When it was last modified, in seconds since 1970.
    pub mtime_s: i64,
    /// The nanoseconds of that.
    pub mtime_ns: u32,
}

/// What looking for one path found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is none: a folder that could be listed has no such name.
    Absent,
    /// A regular file.
    File(Found),
    /// It cannot be told; never to be taken for a deletion.
    NotKnown(Unknown),
}

/// Why it cannot be told what a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A symbolic link is there: it is not followed.
    Link,
    /// A folder is there.
    Folder,
    /// A device, socket or named pipe is there.
    Special,
    /// A folder above is a symbolic link: it is not followed.
    ParentLink,
    /// What should be a folder above is a file.
    ParentNotFolder,
    /// It, or a folder above, is on another device than the root.
    OtherDevice,
    /// It is ours: a key, settings, the queue.
    Own,
    /// It changed each time that it was read.
    Changing,
    /// It, or a folder above, could not be read: why.
    Unreadable(String),
}

/// What went wrong with a tree.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The system refused something.
    #[error("{path}: cannot {act}: {source}")]
    Io {
        /// What it was about, fit for a terminal.
        path: String,
        /// What was tried.
        act: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no such file.
    #[error("{path}: there is no such file")]
    Absent {
        /// Which, fit for a terminal.
        path: String,
    },
    /// What is there is not a file that can be read.
    #[error("{path}: {what}")]
    NotKnown {
        /// Which, fit for a terminal.
        path: String,
        /// What is there.
        what: Unknown,
    },
    /// A kept version whose bytes are no longer what its name says.
    #[error("{path}: this kept version was written to after it was kept")]
    Damaged {
        /// Which, as its signature.
        path: String,
    },
    /// A staged file's name that is not one plain component.
    #[error("{name:?} is no name for a staged file")]
    StagedName {
        /// The name.
        name: String,
    },
}

/// A moment between the steps of a replacement, at which a test may interfere.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The folder is held open, nothing was looked at.
    Resolved,
    /// What is there is what was expected; nothing was changed.
    Checked,
    /// The new file is in place, what it displaced is not yet judged.
    Swapped,
}

type Hook = Box<dyn Fn(Moment) + Send + Sync>;

impl Root {
    /// Opens the folder `path`, which may itself be reached through symbolic links: it is the
    /// user's word, not a stranger's.
    ///
    /// # Errors
    /// The folder cannot be opened and listed.
    pub fn open(path: &Path) -> Result<Root, TreeError> {
        let shown = escaped(path.as_os_str().as_bytes());
        let fail = |source| io_error(shown.clone(), "open this folder", source);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        #[allow(clippy::disallowed_methods, reason = "all else is opened beneath it")]
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(fail)?;
        let device = rustix::fs::fstat(&fd).map_err(fail)?.st_dev;
        Ok(Root {
            fd,
            device,
            shown,
            touched: Arc::default(),
            hook: None,
            swaps: true,
            own: Vec::new(),
        })
    }

    /// Looks at one path now, hashing the file that is there.
    pub fn look(&self, path: &TreePath, format: Format) -> Look {
        match self.resolve(path) {
            Spot::Open { chain, name } => beneath::look(
                chain.last().map_or(self.fd.as_fd(), AsFd::as_fd),
                name,
                self.device,
                format,
            ),
            Spot::Missing { .. } => Look::Absent,
            Spot::Blocked(unknown) => Look::NotKnown(unknown),
        }
    }

    /// Opens a regular file for reading: for packing, so that the bytes packed can be checked
    /// against the bytes hashed.
    ///
    /// # Errors
    /// There is no such file, it is no regular file, or it cannot be opened.
    pub fn open_file(&self, path: &TreePath) -> Result<(File, Stat), TreeError> {
        let absent = || TreeError::Absent { path: path.to_string() };
        let (chain, name) = match self.resolve(path) {
            Spot::Open { chain, name } => (chain, name),
            Spot::Missing { .. } => return Err(absent()),
            Spot::Blocked(what) => {
                return Err(TreeError::NotKnown { path: path.to_string(), what });
            }
        };
        let parent = chain.last().map_or(self.fd.as_fd(), AsFd::as_fd);
        match beneath::open_leaf(parent, name, self.device) {
            Leaf::File(file, stat) => Ok((file, Stat::from(&stat))),
            Leaf::Absent => Err(absent()),
            Leaf::Other(what) => Err(TreeError::NotKnown { path: path.to_string(), what }),
        }
    }

    /// Returns what the inode at `path` says; `None` where no regular file can be seen.
    pub fn marks(&self, path: &TreePath) -> Option<Marks> {
        let Spot::Open { chain, name } = self.resolve(path) else { return None };
        let parent = chain.last().map_or(self.fd.as_fd(), AsFd::as_fd);
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then(|| Marks {
            mode: stat.st_mode & 0o777,
            mtime_s: stat.st_mtime,
            mtime_ns: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        })
    }

    /// Whether nothing at all is at `path`, in a folder that could be looked into.
    pub fn is_absent(&self, path: &TreePath) -> bool {
        match self.resolve(path) {
            Spot::Open { chain, name } => {
                let parent = chain.last().map_or(self.fd.as_fd(), AsFd::as_fd);
                beneath::kind(parent, name) == Err(rustix::io::Errno::NOENT)
            }
            Spot::Missing { .. } => true,
            Spot::Blocked(_) => false,
        }
    }

    /// Whether the top folder holds nothing but the program's own files.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn is_empty(&self) -> Result<bool, TreeError> {
        let names =
            names(self.fd.as_fd()).map_err(|errno| self.error("list this folder", errno))?;
        Ok(names.iter().all(|(name, _)| is_reserved_part(name)))
    }

    /// Makes the folders that [`Root::place`] and [`Root::remove`] changed durable.
    ///
    /// To be called after a batch of them and before any belief about it is committed; contents
    /// were synced one by one.
    ///
    /// # Errors
    /// A folder cannot be synced: then nothing may be believed of the batch.
    pub fn sync_touched(&self) -> Result<(), TreeError> {
        self.touched.sync()
    }

    /// Never reads nor writes `places`, nor what is below them: what of them lies within the tree,
    /// whose top folder is `top`. Both are without links in their names.
    pub fn guard(&mut self, top: &Path, places: &[PathBuf]) {
        let parts = |place: &Path| -> Vec<String> {
            place.iter().map(|part| folded(part.as_bytes())).collect()
        };
        let within = places.iter().filter_map(|place| place.strip_prefix(top).ok());
        self.own = within.map(parts).filter(|parts| !parts.is_empty()).collect();
    }

    /// Whether a path is one of those that are guarded.
    fn is_own(&self, path: &[u8]) -> bool {
        !self.own.is_empty() && {
            let parts: Vec<String> = path.split(|byte| *byte == b'/').map(folded).collect();
            self.own.iter().any(|own| parts.starts_with(own))
        }
    }

    /// Has `hook` called at each [`Moment`]: for tests of what happens between the steps.
    #[doc(hidden)]
    pub fn set_hook(&mut self, hook: impl Fn(Moment) + Send + Sync + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Does as on a file system that can neither exchange two names nor rename without replacing.
    #[doc(hidden)]
    pub fn without_swaps(&mut self) {
        self.swaps = false;
    }

    /// Returns the device that the tree is on.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// Whether names can be exchanged.
    pub(super) fn swaps(&self) -> bool {
        self.swaps
    }

    /// Returns the folders that wait to be synced.
    pub(super) fn touched(&self) -> Arc<Touched> {
        Arc::clone(&self.touched)
    }

    /// Walks to the folder that holds `path`, one component at a time.
    fn resolve<'p>(&self, path: &'p TreePath) -> Spot<'p> {
        if self.is_own(path.as_bytes()) {
            return Spot::Blocked(Unknown::Own);
        }
        beneath::resolve(self.fd.as_fd(), path, self.device)
    }

    /// Lets a test interfere.
    fn at(&self, moment: Moment) {
        if let Some(hook) = &self.hook {
            hook(moment);
        }
    }

    /// Returns an error about the root itself.
    fn error(&self, act: &'static str, errno: rustix::io::Errno) -> TreeError {
        io_error(self.shown.clone(), act, errno)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.shown)
    }
}

impl From<Found> for Signature {
    fn from(found: Found) -> Signature {
        found.signature
    }
}

impl Look {
    /// Returns what is there, or why that cannot be told.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn content(self) -> Result<Content, Unknown> {
        match self {
            Look::Absent => Ok(Content::Absent),
            Look::File(found) => Ok(Content::File(found.signature)),
            Look::NotKnown(unknown) => Err(unknown),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unknown::Link => "a symbolic link, which is not followed",
            Unknown::Folder => "a folder, not a file",
            Unknown::Special => "a device, socket or named pipe, not a file",
            Unknown::ParentLink => "below a symbolic link, which is not followed",
            Unknown::ParentNotFolder => "below what is a file, not a folder",
            Unknown::OtherDevice => "on another device than the top of the tree",
            Unknown::Own => "one of remsync's own files, which it neither sends nor writes",
            Unknown::Changing => "changing while it is read",
            Unknown::Unreadable(why) => return write!(f, "not readable: {why}"),
        })
    }
}

/// Returns the error of a system call about `path`.
pub(super) fn io_error(path: String, act: &'static str, errno: rustix::io::Errno) -> TreeError {
    TreeError::Io { path, act, source: errno.into() }
}
