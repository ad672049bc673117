//! How much the queue holds and may hold.
//!
//! A tally in a file of its own is changed by each delivery, so that none has to list the queue;
//! it is an estimate that every listing sets right.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::disk::{exists, mtime_ms, names, now_ms, remove_file, rewrite_locked};
use super::record::Record;
use super::{Bounds, Entry, EntryState, HOUR_MS, Queue, QueueError, Spooled, digest_in_name};
use crate::model::limits::{REFUSED_BYTES_MAX, REFUSED_DAYS_MAX};

/// Whether whoever sent something is one that a project of this account has as a remote: how much
/// room there is for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// No project has the address: such share a tenth of the room.
    #[default]
    No,
    /// The address is a remote's, and anybody can write it: such share a half.
    Says,
    /// A key that is trusted vouches for it, or a person brought it: all that is left.
    Proved,
}

/// How much the queue holds, as far as it is known; counted anew by every listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    unknown: Amount,
    says: Amount,
    proved: Amount,
    refused: Amount,
    pub(super) recounted_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    entries: u64,
    bytes: u64,
}

impl Known {
    const ALL: [Known; 3] = [Known::No, Known::Says, Known::Proved];

    /// The word for it, in files.
    pub(super) fn word(self) -> &'static str {
        match self {
            Known::No => "no",
            Known::Says => "says",
            Known::Proved => "yes",
        }
    }

    pub(super) fn of_word(word: &str) -> Known {
        Known::ALL.into_iter().find(|known| known.word() == word).unwrap_or_default()
    }

    /// Returns how much of a bound such have, together with all that are less well known.
    pub(super) fn share(self, bound: u64) -> u64 {
        match self {
            Known::No => bound / 10,
            Known::Says => bound / 2,
            Known::Proved => bound,
        }
    }
}

impl Tally {
    pub(super) fn count(&mut self, record: &Record, has_bytes: bool, sign: i64) {
        let amount = match record.state {
            EntryState::New | EntryState::Held => match record.known {
                Known::No => &mut self.unknown,
                Known::Says => &mut self.says,
                Known::Proved => &mut self.proved,
            },
            EntryState::Refused if has_bytes => &mut self.refused,
            EntryState::Refused | EntryState::Done => return,
        };
        let add = |value: u64, by: u64| {
            if sign < 0 { value.saturating_sub(by) } else { value.saturating_add(by) }
        };
        amount.entries = add(amount.entries, 1);
        amount.bytes = add(amount.bytes, record.size_bytes);
    }

    /// The bound that one package more would pass, if any.
    fn bound_passed(&self, record: &Record, bounds: &Bounds) -> Option<String> {
        let entries_max = record.known.share(bounds.entries_max as u64);
        let bytes_max = record.known.share(bounds.bytes_max);
        let all =
            [(Known::No, self.unknown), (Known::Says, self.says), (Known::Proved, self.proved)];
        let shared = all.into_iter().filter(|(known, _)| *known <= record.known);
        let (mut entries, mut bytes) = (1_u64, record.size_bytes);
        for (_, amount) in shared {
            entries = entries.saturating_add(amount.entries);
            bytes = bytes.saturating_add(amount.bytes);
        }
        if entries > entries_max {
            Some(format!("{entries_max} entries"))
        } else if bytes > bytes_max {
            Some(format!("{bytes_max} bytes"))
        } else {
            None
        }
    }

    #[cfg(test)]
    pub(super) fn refused_bytes(&self) -> u64 {
        self.refused.bytes
    }

    fn text(&self) -> String {
        let numbers = [
            self.unknown.entries,
            self.unknown.bytes,
            self.says.entries,
            self.says.bytes,
            self.proved.entries,
            self.proved.bytes,
            self.refused.entries,
            self.refused.bytes,
            self.recounted_ms,
        ];
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        format!("tally {}\n", words.join(" "))
    }

    fn parse(text: &str) -> Option<Tally> {
        let words = text.strip_suffix('\n')?.strip_prefix("tally ")?.split(' ');
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let &[ue, ub, se, sb, pe, pb, re, rb, recounted_ms] = numbers.as_slice() else {
            return None;
        };
        let amount = |entries, bytes| Amount { entries, bytes };
        Some(Tally {
            unknown: amount(ue, ub),
            says: amount(se, sb),
            proved: amount(pe, pb),
            refused: amount(re, rb),
            recounted_ms,
        })
    }
}

/// A counting that is older than this is done again before a delivery is turned away.
const RECOUNT_MS: u64 = 60_000;

impl Queue {
    /// The bytes before the note: bytes without a note are forgotten by age, a note without its
    /// bytes would keep them from coming again.
    pub(super) fn keep_refused(
        &self,
        spooled: &Spooled,
        record: &Record,
    ) -> Result<(), QueueError> {
        self.publish(spooled, &self.refused_path(&spooled.sha256, record.sealed))?;
        self.write_record(&spooled.sha256, record, true)?;
        let mut over = false;
        self.with_tally(|tally| {
            tally.count(record, true, 1);
            over = tally.refused.bytes > REFUSED_BYTES_MAX
                || tally.refused.entries > refused_entries_max(&self.bounds);
        })?;
        if over { self.prune_refused() } else { Ok(()) }
    }

    /// Forgets the bytes of refused packages that are too old or too many, the oldest first.
    pub(super) fn prune_refused(&self) -> Result<(), QueueError> {
        let dir = self.dir.join("refused");
        let mut files = Vec::new();
        for name in names(&dir)? {
            let path = dir.join(name);
            if let Ok(meta) = fs::symlink_metadata(&path) {
                files.push((mtime_ms(&meta), meta.len(), path));
            }
        }
        files.sort();
        let mut left = Amount {
            entries: files.len() as u64,
            bytes: files.iter().map(|(_, bytes, _)| bytes).sum(),
        };
        // Room for a tenth more, so that a flood is not answered by one pruning each.
        let (mut bytes_max, mut entries_max) =
            (REFUSED_BYTES_MAX, refused_entries_max(&self.bounds));
        if left.bytes > bytes_max || left.entries > entries_max {
            (bytes_max, entries_max) = (bytes_max / 10 * 9, entries_max / 10 * 9);
        }
        let oldest_ms = now_ms().saturating_sub(REFUSED_DAYS_MAX * 24 * HOUR_MS);
        for (modified_ms, bytes, path) in files {
            let over = left.bytes > bytes_max || left.entries > entries_max;
            if modified_ms >= oldest_ms && !over {
                break;
            }
            remove_file(&path)?;
            left = Amount { entries: left.entries - 1, bytes: left.bytes - bytes };
        }
        self.with_tally(|tally| tally.refused = left)
    }

    /// Makes room for one package: `false` where it is a stranger's and there is none.
    pub(super) fn admit(&self, record: &Record) -> Result<bool, QueueError> {
        let mut passed = None;
        let mut recount = false;
        let mut try_once = |tally: &mut Tally| {
            passed = tally.bound_passed(record, &self.bounds);
            recount = passed.is_some() && now_ms().abs_diff(tally.recounted_ms) > RECOUNT_MS;
            if passed.is_none() {
                tally.count(record, true, 1);
            }
        };
        self.with_tally(&mut try_once)?;
        if recount {
            let counted = self.recount()?;
            let mut again = |tally: &mut Tally| {
                *tally = counted;
                passed = tally.bound_passed(record, &self.bounds);
                if passed.is_none() {
                    tally.count(record, true, 1);
                }
            };
            self.with_tally(&mut again)?;
        }
        match passed {
            None => Ok(true),
            Some(bound) if record.known > Known::No => {
                Err(QueueError::Full { path: self.dir.clone(), bound })
            }
            Some(_) => Ok(false),
        }
    }

    /// Forgets the bytes that were refused `before` the same came again, and wait now.
    pub(super) fn forget_refused(
        &self,
        sha256: &[u8; 32],
        before: Option<&Record>,
    ) -> Result<(), QueueError> {
        let Some(before) = before.filter(|before| before.state == EntryState::Refused) else {
            return Ok(());
        };
        let path = self.refused_path(sha256, before.sealed);
        let is_there = exists(&path);
        remove_file(&path)?;
        self.with_tally(|tally| tally.count(before, is_there, -1))
    }

    fn recount(&self) -> Result<Tally, QueueError> {
        let mut tally = Tally { recounted_ms: now_ms(), ..Tally::default() };
        for name in names(&self.dir.join("new"))? {
            let Some((sha256, _)) = digest_in_name(name.as_bytes()) else { continue };
            if let Some(record) = self.record(&sha256)? {
                tally.count(&record, true, 1);
            }
        }
        for name in names(&self.dir.join("refused"))? {
            if let Ok(meta) = fs::symlink_metadata(self.dir.join("refused").join(name)) {
                tally.refused.entries += 1;
                tally.refused.bytes += meta.len();
            }
        }
        Ok(tally)
    }

    pub(super) fn uncount(&self, entry: &Entry) -> Result<(), QueueError> {
        let known = self.record(&entry.sha256)?.map(|record| record.known).unwrap_or_default();
        let record = Record { known, ..Record::of(entry) };
        self.with_tally(|tally| {
            tally.count(&record, entry.path.is_some(), -1);
            let now_refused = self.refused_path(&entry.sha256, entry.sealed);
            if entry.state.waits() && exists(&now_refused) {
                tally.count(&Record { state: EntryState::Refused, ..record }, true, 1);
            }
        })
    }

    /// Changes the tally under its own lock, held for no longer than that.
    pub(super) fn with_tally(&self, change: impl FnOnce(&mut Tally)) -> Result<(), QueueError> {
        rewrite_locked(&self.dir.join("tally"), |text| {
            let mut tally = match Tally::parse(text) {
                Some(tally) => tally,
                // Lost or torn: only a count can tell.
                None => self.recount().map_err(io::Error::other)?,
            };
            change(&mut tally);
            Ok(tally.text())
        })
    }
}

/// A tenth of what may wait.
fn refused_entries_max(bounds: &Bounds) -> u64 {
    bounds.entries_max as u64 / 10
}
