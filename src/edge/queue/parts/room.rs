//! How much waits for other parts, and may.
//!
//! A tally in a file of its own is changed by each part, so that none has to look at all sets; it
//! is an estimate that every listing sets right.

use std::io;

use super::{PartBounds, Set};
use crate::edge::queue::disk::{now_ms, rewrite_locked};
use crate::edge::queue::{HOUR_MS, Known, Queue, QueueError, short_id};

/// How much waits, as far as it is known; counted anew by every listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartTally {
    pub(super) unknown: Amount,
    pub(super) says: Amount,
    pub(super) proved: Amount,
    pub(super) counted_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) parts: u64,
    pub(super) bytes: u64,
}

impl Amount {
    fn add(&mut self, parts: u64, bytes: u64) {
        self.parts = self.parts.saturating_add(parts);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn sub(&mut self, parts: u64, bytes: u64) {
        self.parts = self.parts.saturating_sub(parts);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl PartTally {
    /// Whether both count the same, whenever they did.
    pub(super) fn counts_as(&self, other: &PartTally) -> bool {
        *self == PartTally { counted_ms: self.counted_ms, ..*other }
    }

    fn of(&mut self, known: Known) -> &mut Amount {
        match known {
            Known::No => &mut self.unknown,
            Known::Says => &mut self.says,
            Known::Proved => &mut self.proved,
        }
    }

    /// The bound that a part of so many bytes would pass, if any.
    fn bound_passed(&self, bytes: u64, known: Known, bounds: &PartBounds) -> Option<String> {
        let (parts_max, bytes_max) =
            (known.share(bounds.parts_max as u64), known.share(bounds.bytes_max));
        let mut used = Amount { parts: 1, bytes };
        let all =
            [(Known::No, self.unknown), (Known::Says, self.says), (Known::Proved, self.proved)];
        for (_, Amount { parts, bytes }) in all.into_iter().filter(|(other, _)| *other <= known) {
            used.add(parts, bytes);
        }
        if used.parts > parts_max {
            Some(format!("{parts_max} parts of packages"))
        } else if used.bytes > bytes_max {
            Some(format!("{bytes_max} bytes of parts of packages"))
        } else {
            None
        }
    }

    fn text(&self) -> String {
        let amounts = [self.unknown, self.says, self.proved];
        let words = amounts.map(|Amount { parts, bytes }| format!("{parts} {bytes} "));
        format!("tally {}{}\n", words.concat(), self.counted_ms)
    }

    fn parse(text: &str) -> Option<PartTally> {
        let words = text.strip_suffix('\n')?.strip_prefix("tally ")?.split(' ');
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let &[up, ub, sp, sb, pp, pb, counted_ms] = numbers.as_slice() else { return None };
        let amount = |parts, bytes| Amount { parts, bytes };
        let (unknown, says, proved) = (amount(up, ub), amount(sp, sb), amount(pp, pb));
        Some(PartTally { unknown, says, proved, counted_ms })
    }
}

impl Queue {
    /// Makes room for a part of so many bytes, which then counts; returns the strangers' sets that
    /// went for it, or `None` where it is a stranger's and there is no room even so.
    pub(super) fn make_room(
        &self,
        set: &[u8; 32],
        bytes: u64,
        known: Known,
    ) -> Result<Option<Vec<String>>, QueueError> {
        let known = known.max(self.set(set)?.note.known);
        let mut passed = self.admit_part(bytes, known)?;
        if passed.is_some() {
            let counted = self.count_parts()?;
            self.with_part_tally(|tally| *tally = counted)?;
            passed = self.admit_part(bytes, known)?;
        }
        let gone = match passed {
            None => return Ok(Some(Vec::new())),
            Some(bound) if known > Known::No => {
                return Err(QueueError::Full { path: self.parts_dir(), bound });
            }
            Some(_) => self.drop_oldest(set, bytes)?,
        };
        Ok(self.admit_part(bytes, known)?.is_none().then_some(gone))
    }

    /// Counts a part if there is room; else returns the bound.
    fn admit_part(&self, bytes: u64, known: Known) -> Result<Option<String>, QueueError> {
        let mut passed = None;
        self.with_part_tally(|tally| {
            passed = tally.bound_passed(bytes, known, &self.part_bounds);
            if passed.is_none() {
                tally.of(known).add(1, bytes);
            }
        })?;
        Ok(passed)
    }

    /// Drops strangers' sets, the one first that has waited longest since its last part, until a
    /// tenth of the strangers' room is free for a part of so many bytes; never `set` itself.
    fn drop_oldest(&self, set: &[u8; 32], bytes: u64) -> Result<Vec<String>, QueueError> {
        let mut sets = Vec::new();
        for id in self.set_ids()?.into_iter().filter(|id| id != set) {
            sets.push(self.set(&id)?);
        }
        sets.retain(|other| other.note.known == Known::No && !other.kept.is_empty());
        sets.sort_by_key(|other| other.note.last_ms);
        let mut gone = Vec::new();
        for other in sets {
            let tight = PartBounds {
                parts_max: self.part_bounds.parts_max / 10 * 9,
                bytes_max: self.part_bounds.bytes_max / 10 * 9,
                ..self.part_bounds
            };
            let mut is_over = false;
            self.with_part_tally(|tally| {
                is_over = tally.bound_passed(bytes, Known::No, &tight).is_some();
            })?;
            if !is_over {
                break;
            }
            // The lock of our own set may be its lock too.
            let is_ours = self.lock_path(&other.id) == self.lock_path(set);
            let lock = if is_ours { None } else { self.try_lock_set(&other.id)? };
            if is_ours || lock.is_some() {
                self.remove_set(&other.id)?;
                gone.push(short_id(&other.id));
            }
        }
        Ok(gone)
    }

    pub(super) fn uncount_parts(&self, set: &Set) -> Result<(), QueueError> {
        if set.kept.is_empty() {
            return Ok(());
        }
        let (parts, bytes) = (set.kept.len() as u64, set.bytes());
        self.with_part_tally(|tally| tally.of(set.note.known).sub(parts, bytes))
    }

    pub(super) fn count_parts(&self) -> Result<PartTally, QueueError> {
        let mut tally = PartTally { counted_ms: now_ms(), ..PartTally::default() };
        for id in self.set_ids()? {
            let set = self.set(&id)?;
            tally.of(set.note.known).add(set.kept.len() as u64, set.bytes());
        }
        Ok(tally)
    }

    /// Changes the tally under its own lock, held for no longer than that.
    pub(super) fn with_part_tally(
        &self,
        change: impl FnOnce(&mut PartTally),
    ) -> Result<(), QueueError> {
        let is_young = |tally: &PartTally| now_ms().abs_diff(tally.counted_ms) < HOUR_MS;
        rewrite_locked(&self.parts_dir().join("tally"), |text| {
            let mut tally = match PartTally::parse(text).filter(is_young) {
                Some(tally) => tally,
                // Lost, torn or old: only a count can tell.
                None => self.count_parts().map_err(io::Error::other)?,
            };
            change(&mut tally);
            Ok(tally.text())
        })
    }
}
