//! The note that the queue keeps of an entry: text, one KEYWORD TAB value a line.

use std::io;
use std::path::PathBuf;

use super::disk::{at, now_ms};
use super::{Arrival, Entry, EntryState, Judgement, Known, QueueError, Spooled};
use crate::format::digest::hex;
use crate::format::note::{lines_of, text_of};
use crate::format::statement;

/// What `meta/DIGEST` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) state: EntryState,
    pub(super) size_bytes: u64,
    pub(super) received_ms: u64,
    pub(super) from: String,
    pub(super) message_id: String,
    pub(super) title: String,
    pub(super) origin: String,
    pub(super) visit: String,
    pub(super) serial: u64,
    pub(super) reason: String,
    /// Signatures that were there when it was held.
    pub(super) judged: usize,
    pub(super) known: Known,
    pub(super) sealed: bool,
    /// The name under which somebody dropped it into `new/`.
    pub(super) dropped: Vec<u8>,
    /// Refused for the way in which it came: nobody looked at what it is.
    pub(super) unread: bool,
    /// Digest of the entry that it held, where it was sealed and is done.
    pub(super) inside: Option<[u8; 32]>,
}

impl Record {
    pub(super) fn arrived(spooled: &Spooled, arrival: &Arrival) -> Record {
        let mut record = Record {
            size_bytes: spooled.size_bytes,
            received_ms: now_ms(),
            from: arrival.from.clone(),
            message_id: arrival.message_id.clone(),
            known: arrival.known,
            unread: spooled.unread,
            ..Record::default()
        };
        match &spooled.judgement {
            Judgement::Sound { title, origin, visit, serial } => {
                (record.title, record.origin) = (title.clone(), origin.clone());
                (record.visit, record.serial) = (visit.clone(), *serial);
            }
            Judgement::Sealed => record.sealed = true,
            Judgement::NotAPackage => {
                record.state = EntryState::Refused;
                record.reason = "it is no package".to_owned();
            }
            Judgement::Refused(reason) => {
                record.state = EntryState::Refused;
                record.reason.clone_from(reason);
            }
        }
        record
    }

    pub(super) fn text(&self) -> Vec<u8> {
        let (size, received, serial) = (self.size_bytes, self.received_ms, self.serial);
        let inside = self.inside.map_or_else(String::new, |digest| hex(&digest));
        let word = |is_so: bool| if is_so { &b"yes"[..] } else { b"no" };
        let lines: [(&str, &[u8]); 16] = [
            ("state", self.state.word().as_bytes()),
            ("size", &size.to_string().into_bytes()),
            ("received", &received.to_string().into_bytes()),
            ("from", self.from.as_bytes()),
            ("message-id", self.message_id.as_bytes()),
            ("title", self.title.as_bytes()),
            ("origin", self.origin.as_bytes()),
            ("visit", self.visit.as_bytes()),
            ("serial", &serial.to_string().into_bytes()),
            ("reason", self.reason.as_bytes()),
            ("judged", &self.judged.to_string().into_bytes()),
            ("known", self.known.word().as_bytes()),
            ("sealed", word(self.sealed)),
            ("dropped", &self.dropped),
            ("unread", word(self.unread)),
            ("inside", inside.as_bytes()),
        ];
        text_of(&lines)
    }

    /// Returns the note that was `read` at a path, which is asked for where that failed; one that is
    /// not there, or cannot be what is there, is none.
    pub(super) fn read(
        read: io::Result<Vec<u8>>,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<Option<Record>, QueueError> {
        match read {
            Ok(text) => Ok(Record::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path())(error)),
        }
    }

    /// Reads what [`Record::text`] wrote; `None` where that cannot be what is there.
    pub(super) fn parse(text: &[u8]) -> Option<Record> {
        let (mut state, mut size_bytes, mut received_ms) = (None, None, None);
        let mut record = Record::default();
        for (keyword, value) in lines_of(text) {
            let word = || str::from_utf8(&value).unwrap_or_default();
            let text = || String::from_utf8_lossy(&value).into_owned();
            match keyword {
                b"state" => state = EntryState::of_word(word()),
                b"size" => size_bytes = word().parse().ok(),
                b"received" => received_ms = word().parse().ok(),
                b"from" => record.from = text(),
                b"message-id" => record.message_id = text(),
                b"title" => record.title = text(),
                b"origin" => record.origin = text(),
                b"visit" => record.visit = text(),
                b"serial" => record.serial = word().parse().unwrap_or(0),
                b"reason" => record.reason = text(),
                b"judged" => record.judged = word().parse().unwrap_or(0),
                b"known" => record.known = Known::of_word(word()),
                b"sealed" => record.sealed = word() == "yes",
                b"dropped" => record.dropped = value.into_owned(),
                b"unread" => record.unread = word() == "yes",
                b"inside" => record.inside = statement::hex(&value),
                _ => {}
            }
        }
        Some(Record { state: state?, size_bytes: size_bytes?, received_ms: received_ms?, ..record })
    }
}

impl Record {
    pub(super) fn of(entry: &Entry) -> Record {
        Record {
            state: entry.state,
            size_bytes: entry.size_bytes,
            received_ms: entry.received_ms,
            from: entry.from.clone(),
            message_id: entry.message_id.clone(),
            title: entry.title.clone(),
            origin: entry.origin.clone(),
            visit: entry.visit.clone(),
            serial: entry.serial,
            reason: entry.reason.clone(),
            judged: entry.signatures.len(),
            sealed: entry.sealed,
            ..Record::default()
        }
    }
}
