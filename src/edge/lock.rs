//! Kernel locks that die with their holder.
//!
//! Not a lock file in the old sense: that the file exists says nothing, so none is ever left behind
//! by a crash. Invariant: the file is never deleted, for a lock on a deleted file excludes nobody.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long to sleep between two tries: no kernel call waits for a lock and looks at a clock too.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another remsync is at work on {}", worked_on(path).display())]
    Busy {
        /// The lock's file.
        path: PathBuf,
    },
    /// The file cannot be opened or locked.
    #[error("{}: cannot be locked: {source}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock on the file `path`, which is created when it is missing, or answers at once
    /// that somebody has it.
    ///
    /// # Errors
    /// [`LockError::Busy`] when another process, or this one, holds it.
    pub fn take(path: &Path) -> Result<Lock, LockError> {
        let file = open(path).map_err(|source| LockError::Io { path: path.into(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path: path.into(), source }),
        }
    }

    /// Takes the lock on the file `path`, waiting for whoever has it up to `patience`.
    ///
    /// # Errors
    /// [`LockError::Busy`] when it is still held then.
    pub fn wait(path: &Path, patience: Duration) -> Result<Lock, LockError> {
        let start = Instant::now();
        loop {
            match Lock::take(path) {
                Err(LockError::Busy { .. }) if start.elapsed() < patience => {
                    thread::sleep(TRY_AGAIN_AFTER.min(patience));
                }
                answer => return answer,
            }
        }
    }
}

impl LockError {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LockError::Busy { .. } => {
                Some("wait for it to end, or end it; the lock goes with the process that holds it")
            }
            LockError::Io { .. } => None,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Returns what people know: the folder that the lock is for, not the lock.
fn worked_on(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(path);
    match folder.file_name() {
        Some(name) if name == ".remsync.d" => folder.parent().unwrap_or(folder),
        _ => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join(".remsync.d");
        std::fs::create_dir(&private).unwrap();
        let path = private.join("lock");
        let lock = Lock::take(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let busy = Lock::take(&path).unwrap_err();
        assert_eq!(
            busy.to_string(),
            format!("another remsync is at work on {}", dir.path().display())
        );
        assert!(busy.hint().is_some());
        assert!(matches!(
            Lock::wait(&path, Duration::from_millis(30)),
            Err(LockError::Busy { .. })
        ));
        drop(lock);
        assert!(path.exists());
        Lock::take(&path).unwrap();
    }

    #[test]
    fn waiting_ends_with_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let holder = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(lock);
        });
        Lock::wait(&path, Duration::from_secs(30)).unwrap();
        holder.join().unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("lock")).unwrap();
        assert!(matches!(Lock::take(&dir.path().join("lock")), Err(LockError::Io { .. })));
        assert!(!dir.path().join("elsewhere").exists());
    }
}
