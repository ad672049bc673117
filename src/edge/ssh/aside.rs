//! Keeping what is about to be replaced or removed on a host: in `.remsync.d/kept/` there, by
//! the day and by content.
//!
//! Invariant: nothing is replaced that was not kept first and found to be what was decided on; and
//! what somebody put there in the last moment is put back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::format::digest::hex;
use crate::format::sftp::{Attributes, Code, Reply, Request, Status};

use super::join;
use super::line::{Line, SshFault};
use super::observe::digests;
use super::sftp::{Sftp, said};
use super::stage::{Each, discard, ended_well, replace};
use super::walk::{look_at, make_folders, walk};

/// The folder of the store, below the top.
const KEPT: &[u8] = b".remsync.d/kept";
/// What is said of a file that is not what the check saw.
pub const CHANGED: &str = "it changed there since the check";

/// How a file is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// It gets a second name, and stays in its place until it is replaced.
    Link,
    /// It is moved away.
    Move,
}

/// A file that is to be put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Its name, absolute.
    pub target: Vec<u8>,
    /// What it has to hold.
    pub sha256: [u8; 32],
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// A file that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    aside: Vec<u8>,
    target: Vec<u8>,
    sha256: [u8; 32],
}

/// Puts files below `top` aside, and looks whether they are what they have to be: those that are
/// not are left, or put back, in their places.
///
/// # Errors
/// The connection ended, or there can be no store.
pub fn put_aside(
    line: &Line,
    sftp: &mut Sftp,
    top: &[u8],
    files: &[Displaced],
    how: Aside,
) -> Result<Each<Kept>, SshFault> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let store = join(top, KEPT);
    make_folders(sftp, &[(join(top, b".remsync.d"), 0o700), (store.clone(), 0o700)])?;
    let tag = unique();
    let names: Vec<Vec<u8>> =
        (0..files.len()).map(|at| join(&store, format!("in-{tag}-{at}").as_bytes())).collect();
    let is_linked = how == Aside::Link && sftp.greeting().links;
    let requests = files.iter().zip(&names).map(|(file, name)| match is_linked {
        true => Request::Link { from: &file.target, to: name },
        false => Request::Rename { from: &file.target, to: name },
    });
    let replies = sftp.ask_all(requests)?;
    let is_aside: Vec<Result<(), String>> = replies
        .iter()
        .map(|reply| match reply {
            Reply::Status(Status { code: Code::Done, .. }) => Ok(()),
            Reply::Status(Status { code: Code::NotThere, .. }) => Err(CHANGED.to_owned()),
            reply => Err(format!("it cannot be kept there: {}", said(reply))),
        })
        .collect();
    let there: Vec<Vec<u8>> = names
        .iter()
        .zip(&is_aside)
        .filter(|(_, aside)| aside.is_ok())
        .map(|(name, _)| name.clone())
        .collect();
    let mut found = digests(line, sftp, &there)?.into_iter();
    let mut modes = look_at(sftp, &there)?.into_iter();
    let mut outcomes = Vec::new();
    for ((file, name), aside) in files.iter().zip(names).zip(is_aside) {
        if let Err(why) = aside {
            outcomes.push(Err(why));
            continue;
        }
        let mode = modes.next().and_then(Result::ok).flatten().and_then(|found| found.mode);
        let executable = mode.is_some_and(|mode| mode & 0o100 != 0);
        let digest = found.next().and_then(Result::ok);
        if digest == Some(file.sha256) && executable == file.executable {
            let Displaced { target, sha256, .. } = file.clone();
            outcomes.push(Ok(Kept { aside: name, target, sha256 }));
            continue;
        }
        match is_linked {
            true => discard(sftp, &[&name])?,
            false => put_back(sftp, &name, &file.target)?,
        }
        outcomes.push(Err(CHANGED.to_owned()));
    }
    Ok(outcomes)
}

/// Puts staged files in the place of what was put aside by a link. What is displaced is looked at once
/// more: if it is another file than was put aside, somebody was quicker, and it is put back.
///
/// # Errors
/// The connection ended.
pub fn swap(line: &Line, sftp: &mut Sftp, pairs: &[(&[u8], &Kept)]) -> Result<Each<()>, SshFault> {
    let places: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(temporary, kept)| (*temporary, kept.target.as_slice())).collect();
    if !sftp.greeting().links || !sftp.greeting().replaces {
        return replace(sftp, &places);
    }
    let seconds: Vec<Vec<u8>> =
        pairs.iter().map(|(_, kept)| [kept.aside.as_slice(), b"-last"].concat()).collect();
    // One right behind the other: the host does them in their order.
    let requests: Vec<Request<'_>> = places
        .iter()
        .zip(&seconds)
        .flat_map(|(&(from, to), second)| {
            [Request::Link { from: to, to: second }, Request::Replace { from, to }]
        })
        .collect();
    let replies = sftp.ask_all(requests.into_iter())?;
    let placed = replies.iter().skip(1).step_by(2).cloned().collect();
    let mut outcomes = ended_well(sftp, &places, placed)?;
    let mut displaced = digests(line, sftp, &seconds)?.into_iter();
    let mut done = Vec::new();
    for (((_, kept), second), outcome) in pairs.iter().zip(&seconds).zip(&mut outcomes) {
        let found = displaced.next().and_then(Result::ok);
        if outcome.is_ok() && found.is_some_and(|found| found != kept.sha256) {
            let back = Request::Replace { from: second, to: &kept.target };
            sftp.ask(&back)?;
            *outcome = Err(CHANGED.to_owned());
        } else {
            done.push(second.as_slice());
        }
    }
    discard(sftp, &done)?;
    Ok(outcomes)
}

/// Moves what was put aside to its name in the store, when what was decided is done: below a folder
/// for the `day`, written `2026-11-23`.
///
/// # Errors
/// The connection ended. What cannot be moved stays in the store under its first name.
pub fn keep_all(sftp: &mut Sftp, top: &[u8], kept: &[Kept], day: &str) -> Result<(), SshFault> {
    if kept.is_empty() {
        return Ok(());
    }
    let folder = join(&join(top, KEPT), day.as_bytes());
    make_folders(sftp, &[(folder.clone(), 0o700)])?;
    let name = |kept: &Kept| join(&folder, hex(&kept.sha256).as_bytes());
    let names: Vec<Vec<u8>> = kept.iter().map(name).collect();
    let is_free = look_at(sftp, &names)?;
    for ((kept, name), there) in kept.iter().zip(&names).zip(is_free) {
        match there {
            // The same version was kept before.
            Ok(Some(_)) => discard(sftp, &[&kept.aside])?,
            _ => drop(sftp.ask(&Request::Rename { from: &kept.aside, to: name })?),
        }
    }
    Ok(())
}

/// Lets go of what was put aside when what was decided was not done after all.
///
/// # Errors
/// The connection ended.
pub fn release(sftp: &mut Sftp, kept: &Kept, how: Aside) -> Result<(), SshFault> {
    match how == Aside::Link && sftp.greeting().links {
        true => discard(sftp, &[&kept.aside]),
        false => put_back(sftp, &kept.aside, &kept.target),
    }
}

/// How much of what is kept on a host stays there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// What is kept today, as `2026-11-23`; it stays whatever it is.
    pub today: String,
    /// Of this day and later ones what is kept stays, as far as there is room.
    pub since: String,
    /// Bytes of all of it.
    pub bytes_max: u64,
}

/// Removes what is kept longer than is wanted, and what is too much of it, the oldest days first;
/// returns how many versions went.
///
/// # Errors
/// The connection ended, or the store cannot be listed.
pub fn prune_kept(sftp: &mut Sftp, top: &[u8], keeping: &Keeping) -> Result<usize, SshFault> {
    let store = join(top, KEPT);
    let Some(found) = walk(sftp, &store, &mut |_, _| true)? else { return Ok(0) };
    let going = superfluous(&found.files, keeping);
    let paths: Vec<Vec<u8>> = going.iter().map(|name| join(&store, name)).collect();
    discard(sftp, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    let days: BTreeSet<&[u8]> = going.iter().filter_map(|name| folder_of(name)).collect();
    let days: Vec<Vec<u8>> = days.into_iter().map(|day| join(&store, day)).collect();
    // One that is not empty stays.
    sftp.ask_all(days.iter().map(|day| Request::RemoveFolder(day)))?;
    Ok(going.len())
}

/// Returns what goes of the files of a store, by their names below it.
fn superfluous(files: &BTreeMap<Vec<u8>, Attributes>, keeping: &Keeping) -> Vec<Vec<u8>> {
    let mut dated: Vec<(String, &Vec<u8>, u64)> = files
        .iter()
        .filter_map(|(name, found)| Some((day_of(name)?, name, found.size_bytes.unwrap_or(0))))
        .collect();
    dated.sort_unstable();
    let mut room = keeping.bytes_max;
    let mut is_full = false;
    let mut going = Vec::new();
    // The newest days first.
    for (day, name, bytes) in dated.into_iter().rev() {
        if day >= keeping.today {
            room = room.saturating_sub(bytes);
            continue;
        }
        is_full = is_full || bytes > room;
        if is_full || day < keeping.since {
            going.push(name.clone());
        } else {
            room -= bytes;
        }
    }
    going
}

/// Returns the day that a name in a store is of; what is named otherwise is not ours to judge.
fn day_of(name: &[u8]) -> Option<String> {
    let day = folder_of(name).map(|day| String::from_utf8_lossy(day).into_owned());
    day.or_else(|| day_of_aside(name))
}

/// Returns the day that a name in a store begins with, `2026-11-23/`.
fn folder_of(name: &[u8]) -> Option<&[u8]> {
    let (day, rest) = name.split_at_checked(10)?;
    let is_day = day.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    (is_day && rest.first() == Some(&b'/')).then_some(day)
}

/// Returns the day after that of a first name, `in-PID-NANOSECONDS-NUMBER`, which a run that was killed
/// has left. It may be all that there is of a file: it stays as long as what is kept.
fn day_of_aside(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let mut words = name.strip_prefix("in-")?.split('-');
    let (process, nanos, number) = (words.next()?, words.next()?, words.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_end = matches!((words.next(), words.next()), (None | Some("last"), None));
    if !is_number(process) || !is_number(number) || !is_end {
        return None;
    }
    let put_aside = Timestamp::from_nanosecond(i128::from_str_radix(nanos, 16).ok()?).ok()?;
    let day_after = put_aside.checked_add(Span::new().hours(24)).ok()?;
    Some(day_after.to_zoned(TimeZone::UTC).date().to_string())
}

/// Puts a file back if its place is still free; otherwise it stays in the store.
fn put_back(sftp: &mut Sftp, aside: &[u8], target: &[u8]) -> Result<(), SshFault> {
    sftp.ask(&Request::Rename { from: aside, to: target }).map(drop)
}

/// Returns a word that no other run uses.
fn unique() -> String {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since_1970.map_or(0, |since| since.as_nanos());
    format!("{}-{nanos:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_of_a_store() {
        let day = |day: &str| day.to_owned();
        let keeping =
            |bytes_max| Keeping { today: day("2026-11-23"), since: day("2026-10-24"), bytes_max };
        let files = |names: &[(&str, u64)]| -> BTreeMap<Vec<u8>, Attributes> {
            let entry = |(name, size): &(&str, u64)| {
                let found = Attributes { size_bytes: Some(*size), ..Attributes::default() };
                (name.as_bytes().to_vec(), found)
            };
            names.iter().map(entry).collect()
        };
        let store = files(&[
            ("2026-10-23/a", 1),
            ("2026-10-24/b", 1),
            ("2026-11-22/c", 5),
            ("2026-11-23/d", 5),
            ("2026-11-24/e", 5),
            ("mine", 9),
            ("in-7", 9),
            ("in-7-xyz-0", 9),
            ("in-7-8-0-last-9", 9),
            ("in-7-8-first", 9),
            ("2026-1x-01/f", 9),
            ("2025-01-01", 9),
        ]);
        for (bytes_max, want) in [
            (100, &["2026-10-23/a"][..]),
            (16, &["2026-10-23/a"]),
            (15, &["2026-10-24/b", "2026-10-23/a"]),
            (14, &["2026-11-22/c", "2026-10-24/b", "2026-10-23/a"]),
            (0, &["2026-11-22/c", "2026-10-24/b", "2026-10-23/a"]),
        ] {
            let going = superfluous(&store, &keeping(bytes_max));
            let going: Vec<&str> = going.iter().map(|n| std::str::from_utf8(n).unwrap()).collect();
            assert_eq!(going, want, "{bytes_max}");
        }
        // What a run has put aside and left: of 1 January 2026, and of the day before today.
        let store = files(&[
            ("in-7-1886999c36a18000-0", 1),
            ("in-7-1886999c36a18000-12-last", 1),
            ("in-7-18ea5c38afec8000-0", 1),
            ("2026-11-22/a", 1),
        ]);
        let going = superfluous(&store, &keeping(100));
        let old = [&b"in-7-1886999c36a18000-12-last"[..], b"in-7-1886999c36a18000-0"];
        assert_eq!(going, old);
        assert_eq!(day_of(b"in-7-18ea5c38afec8000-0").as_deref(), Some("2026-11-23"));
    }
}
