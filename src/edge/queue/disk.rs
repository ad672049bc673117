//! The queue's own ways with files: durable, private, and never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat, renameat_with};
use rustix::path::Arg;

use super::QueueError;
use crate::edge::names;

/// A file in `tmp/` that is removed when nobody made it something else.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn mtime_ms(meta: &fs::Metadata) -> u64 {
    let ms = meta.mtime().saturating_mul(1_000).saturating_add(meta.mtime_nsec() / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> QueueError {
    let path = path.to_owned();
    move |source| QueueError::Io { path: path.clone(), source }
}

pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

pub(super) fn names(dir: &Path) -> Result<Vec<OsString>, QueueError> {
    let mut names = Vec::new();
    each_name(dir, |name| names.push(OsStr::from_bytes(name).to_owned()))?;
    Ok(names)
}

/// Goes through the names in a folder.
pub(super) fn each_name(dir: &Path, mut each: impl FnMut(&[u8])) -> Result<(), QueueError> {
    let fail = |errno: rustix::io::Errno| at(dir)(errno.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(fail)?;
    let each = |name: &[u8], _| {
        each(name);
        Ok(())
    };
    names::each_name(&fd, each).map_err(fail)
}

/// A folder that is open: what lies in it is reached by its name alone, which is the short way where
/// that is much.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    account: u32,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Folder, QueueError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| at(&path)(e.into()))?;
        Ok(Folder { fd, path, account: rustix::process::geteuid().as_raw() })
    }

    /// Returns the path of what has this name in it.
    pub(super) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a short file of our own, and returns it with what its inode said before.
    pub(super) fn read_short(&self, name: &str) -> io::Result<(Stat, Vec<u8>)> {
        let file = open_short(self.fd.as_fd(), Path::new(name))?;
        let stat = rustix::fs::fstat(&file)?;
        Ok((stat, read_to_end(file)?))
    }

    /// Returns what the inode says that has this name.
    pub(super) fn look_at(&self, name: impl Arg) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether a regular file of ours with no other name, and as long as that, has this name; `None`
    /// where nothing has it.
    pub(super) fn is_ours(&self, name: &OsStr, size_bytes: u64) -> Option<bool> {
        let stat = self.look_at(name).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_ours = is_file && stat.st_nlink == 1 && stat.st_uid == self.account;
        Some(is_ours && u64::try_from(stat.st_size) == Ok(size_bytes))
    }
}

/// Reads a short file of our own: without asking first how long it is, as [`fs::read`] does.
pub(super) fn read_short(path: &Path) -> io::Result<Vec<u8>> {
    read_to_end(open_short(CWD, path)?)
}

fn open_short(folder: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn read_to_end(fd: OwnedFd) -> io::Result<Vec<u8>> {
    const USUAL_BYTES: usize = 2 << 10;
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    // What has a bound is not asked for its length.
    File::from(fd).take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a directory and those above it, for the owner alone, durably.
pub(super) fn make_dir(dir: &Path) -> Result<(), QueueError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dir(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync_dir(dir.parent().unwrap_or(dir)),
        // Twenty deliveries may make the queue at once.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(at(dir)(error)),
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), QueueError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

pub(super) fn remove_file(path: &Path) -> Result<(), QueueError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Rewrites a short file of our own under its own lock, held for no longer than that. What is there
/// may be nothing, or torn.
pub(super) fn rewrite_locked(
    path: &Path,
    change: impl FnOnce(&str) -> io::Result<String>,
) -> Result<(), QueueError> {
    let mut file = open_private(path, OpenOptions::new().read(true).write(true).create(true))?;
    let rewritten = || {
        file.lock()?;
        let mut text = String::new();
        Read::take(&mut file, 1_000).read_to_string(&mut text)?;
        let text = change(&text)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    };
    rewritten().map_err(at(path))
}

/// Opens a file of the queue's own: 0600, never through a link.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File, QueueError> {
    options
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(at(path))
}

/// Opens what somebody put into the queue: a regular file of ours with one name, or nothing.
pub(super) fn open_checked(path: &Path) -> Result<File, QueueError> {
    let refuse = |what| Err(QueueError::Unsafe { path: path.to_owned(), what });
    // A FIFO would make the opening wait for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return refuse("a symbolic link");
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return refuse("no regular file");
        }
        Err(error) => return Err(at(path)(error)),
    };
    let meta = file.metadata().map_err(at(path))?;
    if !meta.is_file() {
        refuse("no regular file")
    } else if meta.nlink() != 1 {
        refuse("it has other names too")
    } else if meta.uid() != rustix::process::geteuid().as_raw() {
        refuse("it belongs to another account")
    } else {
        Ok(file)
    }
}

/// Renames unless something is there already: `false`.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // Some file systems know no such flag; there a race could only make the same note twice.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if exists(to) => Ok(false),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to).map(|()| true),
        Err(error) => Err(error.into()),
    }
}
