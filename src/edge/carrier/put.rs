//! Making a file durably: whole, or not at all, and never over another.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::failure::Failure;
use crate::model::Address;

/// Makes the file `path`, by way of `temporary` in the same file system; returns what `make` did.
pub(super) fn put(
    temporary: &Path,
    path: &Path,
    make: impl FnOnce(&mut File) -> io::Result<u64>,
) -> Result<u64, Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .map_err(|error| Failure::of_file(temporary, &error))?;
    let made = make(&mut file).and_then(|bytes| file.sync_all().map(|()| bytes));
    let published = |bytes| match publish(temporary, path) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::of_file(path, &error)),
    };
    let outcome = made.map_err(|error| Failure::of_file(temporary, &error)).and_then(published);
    if outcome.is_err() {
        // What is left behind is only a name in tmp; the first trouble is the one to tell.
        let _ = fs::remove_file(temporary);
    }
    let bytes = outcome?;
    let folder = path.parent().unwrap_or(Path::new("."));
    sync_folder(folder).map_err(|error| Failure::of_file(folder, &error))?;
    Ok(bytes)
}

fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems of USB sticks do not know how; names there are ours alone.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match is_there_io(path)? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(temporary, path),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a folder, for its owner alone, and those above it.
pub(super) fn create_folder(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| path.ancestors().skip(1).take(3).try_for_each(sync_folder))
        .map_err(|error| Failure::of_file(path, &error))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Opens a file to be read.
pub(super) fn open_file(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::of_file(path, &error))
}

/// Whether the name is taken, be it by a link to nowhere.
pub(super) fn is_there(path: &Path) -> Result<bool, Failure> {
    is_there_io(path).map_err(|error| Failure::of_file(path, &error))
}

fn is_there_io(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An address as a name in a folder: the type lets no slash through, and this no `.` or `..`.
pub(super) fn file_name(address: &Address) -> Result<&str, Failure> {
    match address.as_str() {
        "." | ".." => Err(Failure::never(format!("{address} is no address"))),
        name => Ok(name),
    }
}

/// A name that nobody has had: time, process, count.
pub(super) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (s, us, pid) = (now.as_secs(), now.subsec_micros(), std::process::id());
    format!("{s}.M{us}P{pid}Q{count}.remsync")
}
