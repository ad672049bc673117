//! Notices in the queue: what a mail system said of a mail of ours, until `process` takes it.
//!
//! ```text
//! notices/ID         waits: one KEYWORD TAB value a line
//! notices/ID.done    was taken; empty, kept so that the same notice is not taken again
//! ```
//!
//! ID stands for the mail and for what became of it, not for what the report says in words: one mail
//! can fail once, however often and by whomever that is said. So a forged notice, or a thousand, can
//! make a site send once more and not twice.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::disk::{
    at, exists, make_dir, mtime_ms, names, now_ms, open_checked, remove_file, rename_new, sync_dir,
};
use super::{HOUR_MS, Queue, QueueError};
use crate::edge::sent::SentMail;
use crate::format::digest::hex;
use crate::format::note::{text_of, values_of};
use crate::format::report::Kind;
use crate::format::statement;
use crate::model::Address;
use crate::model::limits::{NOTICES_MAX, SENT_DAYS_MAX};

/// A notice that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedNotice {
    /// The mail that it is about.
    pub mail: SentMail,
    /// What became of it.
    pub kind: Kind,
    /// `5.1.1`, `550` or nothing.
    pub status: String,
    /// Why, escaped, one line.
    pub reason: String,
    /// The address that failed, escaped; empty where it is not said.
    pub recipient: String,
    /// The mail system that says so, escaped; empty where it is not said.
    pub reported_by: String,
    /// The largest mail that the receiver takes, where that is known.
    pub limit_bytes: Option<u64>,
    /// When it came, in ms since 1970.
    pub received_ms: u64,
}

/// What became of the delivery of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// It waits now.
    Queued,
    /// The same was said before.
    Already,
    /// Too many wait.
    NotKept,
}

/// Bytes of a notice's file; all its values are bounded, and a longer file is none of ours.
const NOTICE_BYTES_MAX: u64 = 64 << 10;
const DONE: &str = ".done";

impl Queue {
    /// Puts a notice into the queue, durably.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn deliver_notice(&self, notice: &QueuedNotice) -> Result<NoticeOutcome, QueueError> {
        let path = self.notice_path(notice);
        if exists(&path) || exists(&done(&path)) {
            return Ok(NoticeOutcome::Already);
        }
        let dir = self.notices_dir()?;
        let waiting = names(&dir)?.iter().filter(|name| !is_done(name)).count();
        if waiting >= NOTICES_MAX {
            return Ok(NoticeOutcome::NotKept);
        }
        let temporary = self.temporary_with(&text(notice))?;
        let is_new = rename_new(&temporary.0, &path).map_err(at(&path))?;
        sync_dir(&dir)?;
        Ok(if is_new { NoticeOutcome::Queued } else { NoticeOutcome::Already })
    }

    /// Returns the notices that wait, oldest first; forgets what was taken long ago.
    ///
    /// # Errors
    /// Where the directory cannot be read. What lies in it and is no notice is left alone.
    pub fn notices(&self) -> Result<Vec<QueuedNotice>, QueueError> {
        let dir = self.notices_dir()?;
        // The log of sent mails knows no older ones, so that none of these can come again.
        let oldest_ms = now_ms().saturating_sub((SENT_DAYS_MAX + 1) * 24 * HOUR_MS);
        let mut notices = Vec::new();
        for name in names(&dir)? {
            let path = dir.join(&name);
            if is_done(&name) {
                let is_old = fs::symlink_metadata(&path).is_ok_and(|m| mtime_ms(&m) < oldest_ms);
                if is_old {
                    remove_file(&path)?;
                }
            } else if let Ok(file) = open_checked(&path) {
                let mut text = Vec::new();
                file.take(NOTICE_BYTES_MAX).read_to_end(&mut text).map_err(at(&path))?;
                notices.extend(parse(&text).filter(|notice| self.notice_path(notice) == path));
            }
        }
        notices.sort_by_key(|notice| (notice.received_ms, notice.mail.serial));
        Ok(notices)
    }

    /// Marks a notice taken.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn retire_notice(&self, notice: &QueuedNotice) -> Result<(), QueueError> {
        let path = self.notice_path(notice);
        // Emptied by name: the other end of a crash is the whole notice, taken again.
        let temporary = self.temporary_with(b"")?;
        let done = done(&path);
        fs::rename(&temporary.0, &done).map_err(at(&done))?;
        remove_file(&path)?;
        sync_dir(&self.notices_dir()?)
    }

    fn notices_dir(&self) -> Result<PathBuf, QueueError> {
        let dir = self.dir.join("notices");
        make_dir(&dir)?;
        Ok(dir)
    }

    fn notice_path(&self, notice: &QueuedNotice) -> PathBuf {
        let QueuedNotice { mail, kind, .. } = notice;
        let mut name = Sha256::new();
        name.update(kind.word());
        name.update(mail.sha256);
        name.update(mail.message_id.to_ascii_lowercase());
        let name: [u8; 32] = name.finalize().into();
        self.dir.join("notices").join(hex(&name))
    }
}

fn done(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DONE);
    PathBuf::from(name)
}

fn is_done(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().ends_with(DONE.as_bytes())
}

fn text(notice: &QueuedNotice) -> Vec<u8> {
    let QueuedNotice { mail, kind, status, reason, recipient, reported_by, .. } = notice;
    let number = |n: u64| n.to_string().into_bytes();
    let lines: [(&str, Vec<u8>); 14] = [
        ("kind", kind.word().into()),
        ("status", status.clone().into()),
        ("reason", reason.clone().into()),
        ("recipient", recipient.clone().into()),
        ("reported-by", reported_by.clone().into()),
        ("limit", notice.limit_bytes.map(number).unwrap_or_default()),
        ("received", number(notice.received_ms)),
        ("sent", number(mail.at_ms)),
        ("sha256", hex(&mail.sha256).into()),
        ("message-id", mail.message_id.clone().into()),
        ("serial", number(mail.serial)),
        ("size", number(mail.size_bytes)),
        ("to", mail.to.as_str().into()),
        ("project", mail.project.as_os_str().as_bytes().to_vec()),
    ];
    text_of(&lines.each_ref().map(|(keyword, value)| (*keyword, value.as_slice())))
}

fn parse(text: &[u8]) -> Option<QueuedNotice> {
    let values = values_of(text);
    let value = |keyword: &str| values.get(keyword).map(<[u8]>::to_vec);
    let words = |keyword: &str| String::from_utf8(value(keyword)?).ok();
    let number = |keyword: &str| words(keyword)?.parse().ok();
    Some(QueuedNotice {
        kind: Kind::of_word(&words("kind")?)?,
        status: words("status")?,
        reason: words("reason")?,
        recipient: words("recipient")?,
        reported_by: words("reported-by")?,
        limit_bytes: number("limit"),
        received_ms: number("received")?,
        mail: SentMail {
            at_ms: number("sent")?,
            sha256: statement::hex(&value("sha256")?)?,
            message_id: words("message-id")?,
            serial: number("serial")?,
            size_bytes: number("size")?,
            to: Address::new(&words("to")?).ok()?,
            project: PathBuf::from(OsString::from_vec(value("project")?)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (tempfile::TempDir, Queue) {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(&dir.path().join("queue")).unwrap();
        (dir, queue)
    }

    fn notice(number: u8, kind: Kind) -> QueuedNotice {
        QueuedNotice {
            mail: SentMail {
                at_ms: 1,
                sha256: [number; 32],
                message_id: format!("remsync.{number}.1@a"),
                serial: u64::from(number),
                size_bytes: 9,
                to: Address::new("bob@b.example").unwrap(),
                project: PathBuf::from(OsString::from_vec(b"/a\nb\t%41/\xff".to_vec())),
            },
            kind,
            status: "5.1.1".into(),
            reason: "no\tsuch %41 user\\x1b é".into(),
            recipient: "bob@b.example".into(),
            reported_by: String::new(),
            limit_bytes: Some(10),
            received_ms: 100 - u64::from(number),
        }
    }

    #[test]
    fn a_notice_is_kept_as_it_is() {
        let (_dir, queue) = queue();
        let none = QueuedNotice { limit_bytes: None, ..notice(1, Kind::Failed) };
        for notice in [&notice(2, Kind::Delayed), &none] {
            assert_eq!(queue.deliver_notice(notice).unwrap(), NoticeOutcome::Queued);
        }
        assert_eq!(queue.notices().unwrap(), [notice(2, Kind::Delayed), none], "oldest first");
    }

    #[test]
    fn one_mail_fails_once_whatever_is_said_of_it() {
        let (_dir, queue) = queue();
        let first = notice(1, Kind::Failed);
        let other_words = QueuedNotice { status: "4.4.7".into(), received_ms: 7, ..first.clone() };
        assert_eq!(queue.deliver_notice(&first).unwrap(), NoticeOutcome::Queued);
        assert_eq!(queue.deliver_notice(&other_words).unwrap(), NoticeOutcome::Already);
        let delay = notice(1, Kind::Delayed);
        assert_eq!(queue.deliver_notice(&delay).unwrap(), NoticeOutcome::Queued);
        assert_eq!(queue.notices().unwrap().len(), 2);
        queue.retire_notice(&first).unwrap();
        assert_eq!(queue.notices().unwrap(), [delay]);
        assert_eq!(queue.deliver_notice(&other_words).unwrap(), NoticeOutcome::Already);
        // The same package, sent in another mail, may fail again.
        let mut again = first.clone();
        again.mail.message_id = "remsync.1.2@a".into();
        assert_eq!(queue.deliver_notice(&again).unwrap(), NoticeOutcome::Queued);
    }

    #[test]
    fn too_many_are_not_kept() {
        let (_dir, queue) = queue();
        queue.deliver_notice(&notice(1, Kind::Failed)).unwrap();
        let dir = queue.notices_dir().unwrap();
        for number in 1..NOTICES_MAX {
            fs::write(dir.join(format!("{number}")), "").unwrap();
        }
        let one_more = notice(2, Kind::Failed);
        assert_eq!(queue.deliver_notice(&one_more).unwrap(), NoticeOutcome::NotKept);
        fs::remove_file(dir.join("1")).unwrap();
        assert_eq!(queue.deliver_notice(&one_more).unwrap(), NoticeOutcome::Queued);
        assert_eq!(queue.notices().unwrap().len(), 2, "what is no notice is left alone");
    }
}
