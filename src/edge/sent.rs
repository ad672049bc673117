//! The log of sent mails of this account: which mail carried which package to whom, so that a
//! report about one finds its project.
//!
//! One line a mail, in one file for all projects:
//!
//! ```text
//! AT_MS TAB SHA256 TAB MESSAGE_ID TAB SERIAL TAB BYTES TAB RECEIVER TAB PROJECT
//! ```
//!
//! It is no belief: a line that is missing costs a notice, and the mail goes out again by its age.
//! Invariants: bounded by [`SENT_LINES_MAX`] and [`SENT_DAYS_MAX`]; writers of several processes
//! take turns; a line that a crash tore is read as none, and spoils no other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::lock::{Lock, LockError};
use super::private;
use crate::format::digest::hex;
use crate::format::note::{escaped, unescaped};
use crate::format::statement;
use crate::model::Address;
use crate::model::limits::{SENT_DAYS_MAX, SENT_LINES_MAX};

/// One mail that a carrier accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMail {
    /// When, in ms since 1970.
    pub at_ms: u64,
    /// Digest of the package in it.
    pub sha256: [u8; 32],
    /// Without angle brackets.
    pub message_id: String,
    /// The package's number among those from that project to that site.
    pub serial: u64,
    /// Of the whole mail.
    pub size_bytes: u64,
    /// The site that it is for.
    pub to: Address,
    /// The top folder of the project.
    pub project: PathBuf,
}

/// The log.
#[derive(Clone, Debug)]
pub struct SentLog {
    file: PathBuf,
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SentError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// How long to wait for other writers, who need some ms each.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the shortest line: a shorter file has not too many of them.
const LINE_BYTES_MIN: usize = 13 + 64 + 5 + 7;
/// Bytes of a line; a longer one is none.
const LINE_BYTES_MAX: usize = 64 << 10;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl SentLog {
    /// Returns the log in an account's state folder; it need not be there yet.
    pub fn open(state_dir: &Path) -> SentLog {
        SentLog { file: state_dir.join("sent") }
    }

    /// Adds a line, durably; forgets the oldest when there are too many.
    ///
    /// # Errors
    /// Trouble of the disk or with the lock: then a report about this mail will find nothing.
    pub fn append(&self, mail: &SentMail) -> Result<(), SentError> {
        self.append_bounded(mail, SENT_LINES_MAX)
    }

    /// Returns the newest mail of the first of these names (without brackets, in whatever case) that
    /// is known; else the newest that carried the first of these packages that is.
    ///
    /// # Errors
    /// The log is there and cannot be read.
    pub fn find(
        &self,
        message_ids: &[String],
        packages: &[[u8; 32]],
    ) -> Result<Option<SentMail>, SentError> {
        // One reading, however many are named: a stranger may name many.
        let mut found: BTreeMap<usize, SentMail> = BTreeMap::new();
        self.each(&mut |mail, _| {
            let is_it = |name: &String| mail.message_id.eq_ignore_ascii_case(name);
            let by_name = message_ids.iter().position(is_it);
            let by_package = packages.iter().position(|package| *package == mail.sha256);
            let by_package = by_package.map(|at| message_ids.len() + at);
            for at in [by_name, by_package].into_iter().flatten() {
                found.insert(at, mail.clone());
            }
        })?;
        Ok(found.into_values().next())
    }

    /// Hands on every line that can be read, oldest first, as it is meant and as it stands.
    fn each(&self, take: &mut dyn FnMut(SentMail, &[u8])) -> Result<(), SentError> {
        let io = |source| SentError::Io { path: self.file.clone(), source };
        let file = match open(&self.file, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        let mut lines = BufReader::with_capacity(64 << 10, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let max = LINE_BYTES_MAX as u64;
            if Read::take(&mut lines, max).read_until(b'\n', &mut line).map_err(io)? == 0 {
                return Ok(());
            }
            if let Some(mail) = line.strip_suffix(b"\n").and_then(parse) {
                take(mail, &line);
            }
        }
    }

    fn append_bounded(&self, mail: &SentMail, lines_max: usize) -> Result<(), SentError> {
        let dir = self.file.parent().unwrap_or(Path::new("/"));
        let io = |source| SentError::Io { path: self.file.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let _lock = Lock::wait(&self.file.with_extension("lock"), PATIENCE)?;
        let is_new = !self.file.exists();
        let mut options = OpenOptions::new();
        let mut file =
            open(&self.file, options.read(true).append(true).create(true)).map_err(io)?;
        let written = || -> io::Result<u64> {
            let mut bytes = Vec::new();
            if is_torn(&mut file)? {
                bytes.push(b'\n');
            }
            bytes.extend(text(mail));
            file.write_all(&bytes)?;
            file.sync_data()?;
            if is_new {
                File::open(dir)?.sync_all()?;
            }
            Ok(file.metadata()?.len())
        }();
        if written.map_err(io)? > (lines_max * LINE_BYTES_MIN) as u64 {
            self.forget(mail.at_ms, lines_max)?;
        }
        Ok(())
    }

    /// Leaves the newest lines, of the last days only; a tenth fewer than may be, so that not every
    /// mail pays for it.
    fn forget(&self, now_ms: u64, lines_max: usize) -> Result<(), SentError> {
        let oldest_ms = now_ms.saturating_sub(SENT_DAYS_MAX * DAY_MS);
        let (mut all, mut young) = (0, 0);
        self.each(&mut |mail, _| {
            all += 1;
            young += usize::from(mail.at_ms >= oldest_ms);
        })?;
        if all <= lines_max && young == all {
            return Ok(());
        }
        let keep = if young > lines_max { lines_max - lines_max / 10 } else { young };
        let io = |source| SentError::Io { path: self.file.clone(), source };
        let new = self.file.with_extension("new");
        let out = private::create(&new).map_err(io)?;
        let mut out = BufWriter::with_capacity(64 << 10, out);
        let (mut left_out, mut written) = (young - keep, Ok(()));
        self.each(&mut |mail, line| {
            if mail.at_ms < oldest_ms || written.is_err() {
            } else if left_out > 0 {
                left_out -= 1;
            } else {
                written = out.write_all(line);
            }
        })?;
        let place = || -> io::Result<()> {
            written?;
            out.flush()?;
            out.get_ref().sync_all()?;
            fs::rename(&new, &self.file)?;
            File::open(self.file.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        place().map_err(io)
    }
}

/// Opens a file of ours: 0600, never through a link.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// Whether the last line has no end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn text(mail: &SentMail) -> Vec<u8> {
    let SentMail { at_ms, sha256, message_id, serial, size_bytes, to, project } = mail;
    let mut line = format!("{at_ms}\t{}\t", hex(sha256)).into_bytes();
    line.extend(escaped(message_id.as_bytes()));
    line.extend(format!("\t{serial}\t{size_bytes}\t").into_bytes());
    line.extend(escaped(to.as_str().as_bytes()));
    line.push(b'\t');
    line.extend(escaped(project.as_os_str().as_bytes()));
    line.push(b'\n');
    line
}

fn parse(line: &[u8]) -> Option<SentMail> {
    let mut words = line.split(|b| *b == b'\t');
    let mut word = || words.next();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
    let mail = SentMail {
        at_ms: number(word()?)?,
        sha256: statement::hex(word()?)?,
        message_id: String::from_utf8(unescaped(word()?)).ok()?,
        serial: number(word()?)?,
        size_bytes: number(word()?)?,
        to: Address::new(&String::from_utf8(unescaped(word()?)).ok()?).ok()?,
        project: PathBuf::from(OsString::from_vec(unescaped(word()?))),
    };
    word().is_none().then_some(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: u8, at_ms: u64) -> SentMail {
        SentMail {
            at_ms,
            sha256: [number; 32],
            message_id: format!("remsync.{number:012x}.1@A.example"),
            serial: u64::from(number),
            size_bytes: 10,
            to: Address::new("bob@b.example").unwrap(),
            project: PathBuf::from(OsString::from_vec(b"/a tree/\xff\n\t%".to_vec())),
        }
    }

    fn log() -> (tempfile::TempDir, SentLog) {
        let dir = tempfile::tempdir().unwrap();
        let log = SentLog::open(&dir.path().join("state/remsync"));
        (dir, log)
    }

    fn serials(log: &SentLog) -> Vec<u64> {
        let mut serials = Vec::new();
        log.each(&mut |mail, _| serials.push(mail.serial)).unwrap();
        serials
    }

    #[test]
    fn what_was_sent_is_found_by_both_names() {
        let (_dir, log) = log();
        let by_package = |number: u8| log.find(&[], &[[number; 32]]).unwrap();
        let by_name = |name: &str| log.find(&[name.to_owned()], &[]).unwrap();
        assert_eq!(by_package(1), None);
        for number in [1, 2, 3] {
            log.append(&mail(number, 1_000)).unwrap();
        }
        assert_eq!(by_package(2), Some(mail(2, 1_000)));
        let id = "REMSYNC.000000000003.1@a.example";
        assert_eq!(by_name(id), Some(mail(3, 1_000)));
        assert_eq!(by_package(4), None);
        assert_eq!(by_name(""), None);
        // The same package in two mails: the newer one.
        let again = SentMail { message_id: "remsync.2.2@a".into(), ..mail(2, 2_000) };
        log.append(&again).unwrap();
        assert_eq!(by_package(2), Some(again.clone()));
        // Names come before packages, and the first that is known before the others.
        let names = ["none", "remsync.2.2@A", id].map(str::to_owned);
        let packages = [[9; 32], [3; 32], [1; 32]];
        assert_eq!(log.find(&names, &packages).unwrap(), Some(again));
        assert_eq!(log.find(&names[..1], &packages).unwrap(), Some(mail(3, 1_000)));
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let (_dir, log) = log();
        log.append(&mail(1, 1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(&log.file).unwrap();
        file.write_all(b"12\tabcd").unwrap();
        assert_eq!(serials(&log), [1]);
        log.append(&mail(2, 1)).unwrap();
        assert_eq!(serials(&log), [1, 2]);
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound_and_by_age() {
        let (_dir, log) = log();
        let now_ms = 2 * SENT_DAYS_MAX * DAY_MS;
        for number in 1..=20 {
            log.append_bounded(&mail(number, now_ms), 20).unwrap();
        }
        assert_eq!(serials(&log).len(), 20);
        log.append_bounded(&mail(21, now_ms), 20).unwrap();
        assert_eq!(serials(&log), (4..=21).collect::<Vec<u64>>(), "nine tenths are left");
        let later_ms = now_ms + SENT_DAYS_MAX * DAY_MS;
        log.append_bounded(&mail(22, later_ms), 2).unwrap();
        assert!(serials(&log).contains(&22) && serials(&log).len() <= 2, "{:?}", serials(&log));
        log.append_bounded(&mail(23, later_ms + 1 + SENT_DAYS_MAX * DAY_MS), 1).unwrap();
        assert_eq!(serials(&log), [23]);
    }

    #[test]
    fn writers_take_turns() {
        let (_dir, log) = log();
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..10 {
                        log.append(&mail(writer * 10 + number, 1)).unwrap();
                    }
                });
            }
        });
        let mut serials = serials(&log);
        serials.sort_unstable();
        assert_eq!(serials, (0..40).collect::<Vec<u64>>());
    }
}
