//! The files of `check`, `display` and `synchro` in a project's own folder.
//!
//! Invariant: each is replaced whole; what cannot be read is told, not taken for nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::{Lock, LockError};
use super::private;
use crate::format::snapshot::{
    SnapshotFault, parse_agreed, parse_plan, parse_snapshot, print_agreed, print_plan,
    print_snapshot,
};
use crate::model::snapshot::{Agreed, Plan, Snapshot};

/// What the last check saw.
const CHECK: &str = "check.json";
/// What a synchro would do.
const SYNCHRO: &str = "synchro.json";
/// What we and each host last agreed on.
const AGREED: &str = "agreed.json";
/// The page.
const PAGE: &str = "display.html";
/// Who is changing what was agreed on.
const LOCK: &str = "agreed.lock";
/// How long somebody who changes it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why one of the files was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It says what cannot be.
    #[error("{}: {fault}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: SnapshotFault,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else is at it.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Where the files of one project are.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    /// Returns the files in `folder`, a project's own; nothing is looked at yet.
    pub fn new(folder: PathBuf) -> Snapshots {
        Snapshots { folder }
    }

    /// Reads what the last check saw; none is `None`.
    ///
    /// # Errors
    /// There is one, and it cannot be read.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, SnapshotError> {
        read(&self.folder.join(CHECK), parse_snapshot)
    }

    /// Writes what a check saw.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_snapshot(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        write(&self.folder.join(CHECK), &print_snapshot(snapshot))
    }

    /// Returns where the plan is.
    pub fn plan_file(&self) -> PathBuf {
        self.folder.join(SYNCHRO)
    }

    /// Reads a plan; none is `None`.
    ///
    /// # Errors
    /// There is one, and it cannot be read.
    pub fn plan(&self, file: &Path) -> Result<Option<Plan>, SnapshotError> {
        read(file, parse_plan)
    }

    /// Writes the plan.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_plan(&self, plan: &Plan) -> Result<(), SnapshotError> {
        write(&self.plan_file(), &print_plan(plan))
    }

    /// Reads what was agreed on with each host, and lets `change` change it, alone.
    ///
    /// # Errors
    /// It cannot be read or written, or somebody else is at it for long.
    pub fn agreed<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Agreed>) -> T,
    ) -> Result<T, SnapshotError> {
        let _lock = Lock::wait(&self.folder.join(LOCK), PATIENCE)?;
        let path = self.folder.join(AGREED);
        let mut agreed = read(&path, parse_agreed)?.unwrap_or_default();
        let before = agreed.clone();
        let answer = change(&mut agreed);
        if agreed != before {
            write(&path, &print_agreed(&agreed))?;
        }
        Ok(answer)
    }

    /// Writes the page; returns where it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_page(&self, page: &[u8]) -> Result<PathBuf, SnapshotError> {
        let path = self.folder.join(PAGE);
        write(&path, page)?;
        Ok(path)
    }
}

fn read<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, SnapshotFault>,
) -> Result<Option<T>, SnapshotError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotError::Io { path: path.to_owned(), source }),
    };
    let fault = |fault| SnapshotError::Fault { path: path.to_owned(), fault };
    parse(&text).map(Some).map_err(fault)
}

fn write(path: &Path, text: &[u8]) -> Result<(), SnapshotError> {
    let new = path.with_extension(format!("new.{}", std::process::id()));
    let write = || {
        let mut file = private::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&new);
        SnapshotError::Io { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_and_what_is_not_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = Snapshots::new(folder.path().to_owned());
        assert!(files.snapshot().unwrap().is_none());
        let snapshot = Snapshot { checked_ms: 7, ..Snapshot::default() };
        files.save_snapshot(&snapshot).unwrap();
        assert_eq!(files.snapshot().unwrap(), Some(snapshot));
        fs::write(folder.path().join(CHECK), "{").unwrap();
        let error = files.snapshot().unwrap_err().to_string();
        assert!(error.contains("check.json: line 1"), "{error}");
        files.agreed(|agreed| agreed.insert("h".into(), Agreed::new())).unwrap();
        assert!(files.agreed(|agreed| agreed.contains_key("h")).unwrap());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "no temporary files: {names:?}");
    }
}
