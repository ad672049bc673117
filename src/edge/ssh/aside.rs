//! Keeping what is about to be replaced or removed on a host: in `.remsync.d/kept/` there, by
//! content, as in a project here.
//!
//! Invariant: nothing is replaced that was not kept first and found to be what was decided on. What
//! is kept on a host is never pruned by us.

use crate::format::digest::hex;
use crate::format::sftp::{Code, Reply, Request, Status};

use super::join;
use super::line::{Line, SshFault};
use super::observe::digests;
use super::sftp::{Sftp, Stop, said};
use super::stage::{Each, discard};
use super::walk::{look_at, make_folders};

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
    stop: &Stop,
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
    let mut found = digests(line, sftp, &there, stop)?.into_iter();
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

/// Moves what was put aside to its name in the store, when what was decided is done.
///
/// # Errors
/// The connection ended. What cannot be moved stays in the store under its first name.
pub fn keep_all(sftp: &mut Sftp, top: &[u8], kept: &[Kept]) -> Result<(), SshFault> {
    let store = join(top, KEPT);
    let place = |kept: &Kept| {
        let digits = hex(&kept.sha256);
        let (shard, rest) = digits.split_at_checked(2).unwrap_or((digits.as_str(), ""));
        (join(&store, shard.as_bytes()), rest.to_owned())
    };
    let mut shards: Vec<(Vec<u8>, u32)> = kept.iter().map(|kept| (place(kept).0, 0o700)).collect();
    shards.sort();
    shards.dedup();
    make_folders(sftp, &shards)?;
    let names: Vec<Vec<u8>> = kept
        .iter()
        .map(|kept| {
            let (shard, rest) = place(kept);
            join(&shard, rest.as_bytes())
        })
        .collect();
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
