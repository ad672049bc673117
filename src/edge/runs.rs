//! The run history on disk: `.remsync.d/runs`, appended to while a command changes the tree.
//!
//! Not what a run means: `model::run` says that. Invariant: a change is noted before it is made,
//! and what was noted is durable before the names in the tree are; so whatever a crash leaves
//! changed can be told and undone. A run that was killed is gone on with by the next of its kind.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::private;
use crate::format::runs;
use crate::format::statement::TextFault;
use crate::model::run::{Event, Kind, Run};

/// Bytes of the history; past it the oldest runs are dropped, down to half of it.
pub const RUNS_BYTES_MAX: u64 = 64 << 20;
/// Bytes of its end in which the last run is looked for first.
const END_BYTES: u64 = 64 << 10;

/// Why the history was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// It says what cannot be.
    #[error(transparent)]
    Text(#[from] TextFault),
    /// The system refuses.
    #[error("{}: {act}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        act: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// The history, open for one run; nothing is written before there is something to note.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    kind: Kind,
    of: Option<u64>,
    now_ms: u64,
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    number: u64,
    /// The package that changes come from now, until it is noted.
    announced: Option<([u8; 32], String)>,
    is_synced: bool,
}

impl RunLog {
    /// Opens the history `path` for a run of `kind`, which holds the project's lock; for an undo,
    /// `of` is the run that it undoes.
    pub fn begin(path: &Path, kind: Kind, of: Option<u64>, now_ms: u64) -> RunLog {
        RunLog { path: path.to_owned(), kind, of, now_ms, inner: RefCell::default() }
    }

    /// Says which package the next events come from; it is noted before the first of them.
    pub fn announce(&self, package: [u8; 32], from: &str) {
        self.inner.borrow_mut().announced = Some((package, from.to_owned()));
    }

    /// Notes what is about to happen, or happened. Durable after [`RunLog::sync`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note(&self, event: &Event) -> Result<(), RunsError> {
        let mut lines = Vec::new();
        let mut inner = self.inner.borrow_mut();
        if let Some((package, from)) = inner.announced.take() {
            runs::push_event(&mut lines, &Event::Package { package, from });
        }
        runs::push_event(&mut lines, event);
        self.append(&mut inner, &lines)
    }

    /// Makes durable what was noted.
    ///
    /// # Errors
    /// It cannot be synced: then nothing may be believed of what was noted.
    pub fn sync(&self) -> Result<(), RunsError> {
        let mut inner = self.inner.borrow_mut();
        if let Some(file) = inner.file.as_ref().filter(|_| !inner.is_synced) {
            file.sync_data().map_err(|source| self.fail("cannot be synced", source))?;
            inner.is_synced = true;
        }
        Ok(())
    }

    /// Returns the last run in the history if it is this one, killed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn killed(&self) -> Result<Option<Run>, RunsError> {
        match OpenOptions::new().read(true).append(true).open(&self.path) {
            Ok(mut file) => Ok(self.last(&mut file)?.filter(|last| self.is_killed(last))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.fail("cannot be opened", source)),
        }
    }

    /// Ends the run, if anything was noted, now or before it was killed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&self) -> Result<(), RunsError> {
        let mut inner = self.inner.borrow_mut();
        if inner.file.is_none() && self.killed()?.is_none() {
            return Ok(());
        }
        self.ensure_open(&mut inner)?;
        let mut line = Vec::new();
        runs::push_end(&mut line, inner.number);
        self.append(&mut inner, &line)?;
        inner.file = None;
        Ok(())
    }

    fn ensure_open(&self, inner: &mut Inner) -> Result<(), RunsError> {
        if inner.file.is_none() {
            let (file, number) = self.open()?;
            inner.file = Some(file);
            inner.number = number;
        }
        Ok(())
    }

    fn append(&self, inner: &mut Inner, lines: &[u8]) -> Result<(), RunsError> {
        self.ensure_open(inner)?;
        inner.is_synced = false;
        match inner.file.as_mut() {
            Some(file) => {
                file.write_all(lines).map_err(|source| self.fail("cannot be appended to", source))
            }
            None => Ok(()),
        }
    }

    fn is_killed(&self, last: &Run) -> bool {
        !last.is_ended && (last.kind, last.of) == (self.kind, self.of)
    }

    /// Opens the file, drops what a crash tore off, and begins the run or goes on with it.
    fn open(&self) -> Result<(File, u64), RunsError> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)
            .map_err(|source| self.fail("cannot be opened", source))?;
        if is_new && let Some(folder) = self.path.parent() {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| self.fail("its folder cannot be synced", source))?;
        }
        let last = self.last(&mut file)?;
        let mut line = Vec::new();
        let number = match &last {
            Some(last) if self.is_killed(last) => {
                runs::push_again(&mut line, self.now_ms);
                last.number
            }
            last => {
                let number = last.as_ref().map_or(1, |last| last.number + 1);
                runs::push_run(&mut line, number, self.kind, self.now_ms, self.of);
                number
            }
        };
        file.write_all(&line).map_err(|source| self.fail("cannot be appended to", source))?;
        Ok((file, number))
    }

    /// Returns the last run, after cutting off what a crash left unfinished.
    fn last(&self, file: &mut File) -> Result<Option<Run>, RunsError> {
        let shown = self.path.display().to_string();
        let fail = |source| self.fail("cannot be read", source);
        let length = file.metadata().map_err(fail)?.len();
        let mut bytes = END_BYTES;
        loop {
            let start = length.saturating_sub(bytes);
            file.seek(SeekFrom::Start(start)).map_err(fail)?;
            let mut end = Vec::new();
            file.take(length - start).read_to_end(&mut end).map_err(fail)?;
            let whole = runs::whole(&end);
            let last = runs::last_run(end.get(..whole).unwrap_or_default(), &shown);
            if last.is_none() && start > 0 {
                bytes = bytes.saturating_mul(16);
                continue;
            }
            if last.is_none() && whole > 0 {
                // Not even its first run can be read: a fault is better than a number used twice.
                runs::parse(&end, &shown)?;
            }
            if whole < end.len() {
                file.set_len(start + whole as u64).map_err(fail)?;
            }
            return Ok(last);
        }
    }

    fn fail(&self, act: &'static str, source: io::Error) -> RunsError {
        RunsError::Io { path: self.path.clone(), act, source }
    }
}

/// Reads the history `path`; one that does not exist is empty.
///
/// # Errors
/// It cannot be read, or says what cannot be.
pub fn read(path: &Path) -> Result<Vec<Run>, RunsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(runs::parse(&bytes, &path.display().to_string())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RunsError::Io { path: path.to_owned(), act: "cannot be read", source }),
    }
}

/// Drops the runs that began before `oldest_ms`, and the oldest past `bytes_max`; the last always
/// stays, for the next one's number is one above.
///
/// # Errors
/// It cannot be read or written anew; then it is as it was.
pub fn prune(path: &Path, oldest_ms: u64, bytes_max: u64) -> Result<usize, RunsError> {
    let length = path.metadata().map_or(0, |metadata| metadata.len());
    let mut all = read(path)?;
    let count = all.len();
    let last = all.pop();
    all.retain(|run| run.began_ms >= oldest_ms);
    all.extend(last);
    if length > bytes_max {
        drop_oldest(&mut all, bytes_max / 2);
    }
    if all.len() == count {
        return Ok(0);
    }
    let new = path.with_extension("new");
    let fail = |act, source| RunsError::Io { path: new.clone(), act, source };
    let mut file = private::create(&new).map_err(|source| fail("cannot be written", source))?;
    let written = file.write_all(&runs::print(&all)).and_then(|()| file.sync_all());
    written.map_err(|source| fail("cannot be written", source))?;
    fs::rename(&new, path).map_err(|source| fail("cannot take the old one's place", source))?;
    if let Some(folder) = path.parent() {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| fail("its folder cannot be synced", source))?;
    }
    Ok(count - all.len())
}

/// Drops the oldest runs until the rest takes at most `bytes`, or one is left.
fn drop_oldest(all: &mut Vec<Run>, bytes: u64) {
    let mut room = bytes;
    let mut kept = 0;
    for run in all.iter().rev() {
        let length = runs::print(std::slice::from_ref(run)).len() as u64;
        if kept > 0 && length > room {
            break;
        }
        room = room.saturating_sub(length);
        kept += 1;
    }
    all.drain(..all.len() - kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TreePath;

    fn void(name: &str) -> Event {
        Event::Void(TreePath::new(name.as_bytes()).unwrap())
    }

    #[test]
    fn runs_are_numbered_and_a_killed_one_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        let idle = RunLog::begin(&path, Kind::Process, None, 1);
        idle.end().unwrap();
        assert!(!path.exists(), "who does nothing writes nothing");
        let first = RunLog::begin(&path, Kind::Process, None, 2);
        first.announce([7; 32], "a@x");
        first.note(&void("f")).unwrap();
        first.note(&void("g")).unwrap();
        first.end().unwrap();
        let killed = RunLog::begin(&path, Kind::Process, None, 3);
        killed.note(&void("h")).unwrap();
        killed.sync().unwrap();
        // A line that was cut short.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"void\th").unwrap();
        let again = RunLog::begin(&path, Kind::Process, None, 4);
        again.note(&void("i")).unwrap();
        drop(again);
        // It has nothing more to do, and ends.
        RunLog::begin(&path, Kind::Process, None, 4).end().unwrap();
        RunLog::begin(&path, Kind::Process, None, 4).end().unwrap();
        let other = RunLog::begin(&path, Kind::Undo, Some(2), 5);
        other.note(&void("f")).unwrap();
        other.end().unwrap();
        let runs = read(&path).unwrap();
        let shown: Vec<_> = runs
            .iter()
            .map(|run| (run.number, run.kind, run.again_ms.len(), run.is_ended, run.events.len()))
            .collect();
        assert_eq!(
            shown,
            [
                (1, Kind::Process, 0, true, 3),
                (2, Kind::Process, 2, true, 2),
                (3, Kind::Undo, 0, true, 1)
            ]
        );
        assert!(matches!(&runs[0].events[0], Event::Package { from, .. } if from == "a@x"));
    }

    #[test]
    fn zeros_that_a_power_failure_left_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        let first = RunLog::begin(&path, Kind::Process, None, 1);
        first.note(&void("f")).unwrap();
        first.end().unwrap();
        let sound = fs::read(&path).unwrap();
        // What was written last may be there though what was written before is not.
        for torn in
            [&b"\0\0\0"[..], b"run\t2 undo 5\nvoi\0\0\0\0end\t2\n", b"\0\0\nrun\t3 undo 5\n"]
        {
            fs::write(&path, [&sound, torn].concat()).unwrap();
            assert!(read(&path).is_ok());
            let next = RunLog::begin(&path, Kind::Process, None, 9);
            next.note(&void("g")).unwrap();
            next.end().unwrap();
            let runs = read(&path).unwrap();
            assert!(runs.iter().any(|run| run.events == [void("g")]), "{runs:?}");
            assert!(runs.is_sorted_by(|a, b| a.number < b.number), "{runs:?}");
        }
    }

    #[test]
    fn a_long_run_is_found_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        let long = RunLog::begin(&path, Kind::Process, None, 1);
        let name = "n".repeat(200);
        for _ in 0..1_000 {
            long.note(&void(&name)).unwrap();
        }
        drop(long);
        assert!(path.metadata().unwrap().len() > 2 * END_BYTES);
        let again = RunLog::begin(&path, Kind::Process, None, 2);
        again.note(&void("f")).unwrap();
        again.end().unwrap();
        let next = RunLog::begin(&path, Kind::Process, None, 3);
        next.note(&void("f")).unwrap();
        let numbers: Vec<u64> = read(&path).unwrap().iter().map(|run| run.number).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn what_is_old_or_too_much_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        for at_ms in 1..=10 {
            let run = RunLog::begin(&path, Kind::Process, None, at_ms);
            run.note(&void("f")).unwrap();
            run.end().unwrap();
        }
        let numbers = || read(&path).unwrap().iter().map(|run| run.number).collect::<Vec<_>>();
        assert_eq!(prune(&path, 0, RUNS_BYTES_MAX).unwrap(), 0);
        assert_eq!(prune(&path, 4, RUNS_BYTES_MAX).unwrap(), 3);
        assert_eq!(numbers(), [4, 5, 6, 7, 8, 9, 10]);
        let length = path.metadata().unwrap().len();
        assert_eq!(prune(&path, 0, length).unwrap(), 0, "at the bound");
        assert_eq!(prune(&path, 0, length - 1).unwrap(), 4, "one past it");
        assert_eq!(numbers(), [8, 9, 10]);
        assert_eq!(prune(&path, 99, 0).unwrap(), 2);
        assert_eq!(numbers(), [10], "the last stays");
        let next = RunLog::begin(&path, Kind::Process, None, 11);
        next.note(&void("f")).unwrap();
        assert_eq!(numbers(), [10, 11]);
        assert_eq!(prune(&folder.path().join("none"), 0, 0).unwrap(), 0);
    }
}
