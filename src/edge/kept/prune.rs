//! Pruning: what leaves the store of kept versions, and when. By a stated policy and nothing else.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::AtFlags;

use crate::edge::tree::{Root, TreeError, names};
use crate::format::digest::hex;

use super::shelf::{self, Item};

/// For how long nothing is dropped for its size alone: a run can be undone the day after, however
/// much it displaced.
pub const FRESH_MS: u64 = DAY_MS;
/// A day.
pub const DAY_MS: u64 = 86_400_000;

/// What may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What was kept for longer than this goes, in ms.
    pub keep_ms: u64,
    /// Past this many bytes the oldest go, but none that is fresh.
    pub bytes_max: u64,
    /// Past this many bytes of bases the oldest go.
    pub base_bytes_max: u64,
    /// The time, in ms since 1970.
    pub now_ms: u64,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Versions.
    pub files: usize,
    /// What they took.
    pub bytes: u64,
}

/// Drops kept versions that are past the policy, but none that is `needed`, and bases that are not.
///
/// # Errors
/// The store cannot be listed, or something in it not removed.
pub fn prune(
    root: &Root,
    policy: &Policy,
    needed: &dyn Fn(&[u8; 32]) -> bool,
    is_base: &dyn Fn(&[u8; 32]) -> bool,
) -> Result<Pruned, TreeError> {
    let device = root.device();
    let mut pruned = Pruned::default();
    if let Some(kept) = root.own_folder_if_there(super::KEPT)? {
        let items = shelf::items(kept.as_fd(), device)?;
        let gone = past(items, policy, needed);
        for item in &gone {
            shelf::remove(kept.as_fd(), &item.digest, device)?;
            pruned.files += 1;
            pruned.bytes += item.size_bytes;
        }
        if !gone.is_empty() {
            drop_sums(root, &gone.iter().map(|item| hex(&item.digest)).collect())?;
        }
    }
    if let Some(base) = root.own_folder_if_there(super::BASE)? {
        let items = shelf::items(base.as_fd(), device)?;
        let (mut wanted, mut gone): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| is_base(&item.digest));
        gone.extend(over(&mut wanted, policy.base_bytes_max, &|_| true));
        for item in gone {
            shelf::remove(base.as_fd(), &item.digest, device)?;
        }
    }
    Ok(pruned)
}

/// Returns what is past the policy: too old first, then the oldest of what is too much.
fn past(items: Vec<Item>, policy: &Policy, needed: &dyn Fn(&[u8; 32]) -> bool) -> Vec<Item> {
    let age_ms = |item: &Item| policy.now_ms.saturating_sub(item.since_ms);
    let is_old = |item: &Item| age_ms(item) >= policy.keep_ms && !needed(&item.digest);
    let (mut gone, mut left): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_old);
    let fresh_ms = FRESH_MS.min(policy.keep_ms);
    let may_go = |item: &Item| age_ms(item) >= fresh_ms && !needed(&item.digest);
    gone.extend(over(&mut left, policy.bytes_max, &may_go));
    gone
}

/// Takes the oldest that may go out of `items` until the rest takes at most `bytes_max`.
fn over(items: &mut Vec<Item>, bytes_max: u64, may_go: &dyn Fn(&Item) -> bool) -> Vec<Item> {
    let mut bytes: u64 = items.iter().map(|item| item.size_bytes).sum();
    items.sort_by_key(|item| item.since_ms);
    let mut gone = Vec::new();
    items.retain(|item| {
        let goes = bytes > bytes_max && may_go(item);
        if goes {
            bytes -= item.size_bytes;
            gone.push(*item);
        }
        !goes
    });
    gone
}

/// Drops the notes of format 1.3 on versions that are gone.
fn drop_sums(root: &Root, gone: &BTreeSet<String>) -> Result<(), TreeError> {
    let Some(kept) = root.own_folder_if_there(super::KEPT)? else { return Ok(()) };
    let device = root.device();
    let Some(sums) = super::folder_in(kept.as_fd(), b"sum", device)? else { return Ok(()) };
    for sum in list(&sums)? {
        let Some(folder) = super::folder_in(sums.as_fd(), &sum, device)? else { continue };
        for name in list(&folder)? {
            if String::from_utf8(name.clone()).is_ok_and(|name| gone.contains(&name)) {
                let _ = rustix::fs::unlinkat(&folder, name.as_slice(), AtFlags::empty());
            }
        }
        let _ = rustix::fs::unlinkat(&sums, sum.as_slice(), AtFlags::REMOVEDIR);
    }
    Ok(())
}

fn list(folder: &OwnedFd) -> Result<Vec<Vec<u8>>, TreeError> {
    let all = names(folder.as_fd()).map_err(|errno| super::fail("list its sums", errno))?;
    Ok(all.into_iter().map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(digit: u8, size_bytes: u64, since_ms: u64) -> Item {
        Item { digest: [digit; 32], size_bytes, since_ms }
    }

    #[test]
    fn what_leaves_and_what_stays() {
        let now_ms = 100 * DAY_MS;
        let day = |n: u64| n * DAY_MS;
        let policy = |keep_days: u64, bytes_max| Policy {
            keep_ms: day(keep_days),
            bytes_max,
            base_bytes_max: 0,
            now_ms,
        };
        // 1 is the oldest; 4 is fresh; 2 is what an open question needs.
        let items = || {
            vec![
                item(1, 10, day(1)),
                item(2, 10, day(5)),
                item(3, 10, day(50)),
                item(4, 10, now_ms),
            ]
        };
        let table: &[(&str, Policy, &[u8])] = &[
            ("nothing is past it", policy(100, 40), &[]),
            ("just old enough", policy(99, 40), &[1]),
            ("a needed one stays, however old", policy(60, 40), &[1]),
            ("one byte too much", policy(1_000, 39), &[1]),
            ("two go, the needed one is passed over", policy(1_000, 20), &[1, 3]),
            ("a fresh one stays, however much", policy(1_000, 0), &[1, 3]),
            ("no days: nothing is fresh", policy(0, 40), &[1, 3, 4]),
        ];
        for (name, policy, gone) in table {
            let past = past(items(), policy, &|digest| digest[0] == 2);
            let digits: BTreeSet<u8> = past.iter().map(|item| item.digest[0]).collect();
            assert_eq!(digits, gone.iter().copied().collect(), "{name}");
        }
    }
}
