//! Looking at names on a host: a whole tree, or some names; and making folders.
//!
//! It reads no contents. Invariant: links are not followed below the top, and a name that a host
//! sends is one plain part of a path, or is left out.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::format::sftp::{Attributes, Code, Kind, Reply, Request, Status};
use crate::model::limits::{HOST_FILES_MAX, PATH_DEPTH_MAX};

use super::join;
use super::line::SshFault;
use super::sftp::{Sftp, attributes, refused, said};
use super::stage::Each;

/// Folders that are listed at once.
const FOLDERS_MAX: usize = 16;
/// Requests for names of one folder that are on their way.
const READS_AHEAD: usize = 2;

/// What is below a folder of a host. Names are relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The plain files that are wanted.
    pub files: BTreeMap<Vec<u8>, Attributes>,
    /// Folders.
    pub folders: Vec<Vec<u8>>,
    /// Whatever else has a name that is wanted, as a file or as a folder: links, devices, sockets,
    /// pipes, and files where only a folder is wanted.
    pub others: BTreeMap<Vec<u8>, Kind>,
    /// What could not be looked at, and why.
    pub unknown: Vec<(Vec<u8>, String)>,
}

/// Returns the absolute name of a folder that a person named: `~`, `~/x`, `x` and `/x`.
///
/// # Errors
/// The connection ended, or the host does not say where we are.
pub fn absolute(sftp: &mut Sftp, named: &[u8]) -> Result<Vec<u8>, SshFault> {
    let named = match named {
        b"~" => b"",
        named => named.strip_prefix(b"~/").unwrap_or(named),
    };
    if named.first() == Some(&b'/') {
        return Ok(trimmed(named));
    }
    match sftp.ask(&Request::RealPath(b"."))? {
        Reply::Names(names) if names.len() == 1 => {
            let home = names.into_iter().next().unwrap_or_default().0;
            Ok(trimmed(&join(&home, named)))
        }
        reply => Err(refused(b".", &reply)),
    }
}

/// Looks at names, following no links; `None` is no such name.
///
/// # Errors
/// The connection ended. What cannot be looked at is said in its place.
pub fn look_at(sftp: &mut Sftp, paths: &[Vec<u8>]) -> Result<Each<Option<Attributes>>, SshFault> {
    let replies = sftp.ask_all(paths.iter().map(|path| Request::LookAt(path)))?;
    let looked = paths.iter().zip(replies).map(|(path, reply)| match attributes(path, reply) {
        Ok(found) => Ok(found),
        Err(SshFault::Refused { what, .. }) => Err(what),
        Err(other) => Err(other.to_string()),
    });
    Ok(looked.collect())
}

/// Makes folders that are missing, those above before those below; returns how many were made.
///
/// # Errors
/// The connection ended, or one cannot be made.
pub fn make_folders(sftp: &mut Sftp, folders: &[(Vec<u8>, u32)]) -> Result<usize, SshFault> {
    let mut made = 0;
    for ((path, _), outcome) in folders.iter().zip(try_folders(sftp, folders)?) {
        made +=
            usize::from(outcome.map_err(|what| SshFault::Refused { path: path.clone(), what })?);
    }
    Ok(made)
}

/// Makes folders that are missing, those above before those below: whether one was made, or why it
/// cannot be.
///
/// # Errors
/// The connection ended.
pub fn try_folders(sftp: &mut Sftp, folders: &[(Vec<u8>, u32)]) -> Result<Each<bool>, SshFault> {
    let requests = folders
        .iter()
        .map(|(path, mode)| Request::MakeFolder { path, attributes: Attributes::of_mode(*mode) });
    let replies = sftp.ask_all(requests)?;
    let mut outcomes = Vec::new();
    for ((path, _), reply) in folders.iter().zip(replies) {
        if matches!(reply, Reply::Status(Status { code: Code::Done, .. })) {
            outcomes.push(Ok(true));
            continue;
        }
        // Most servers only say "failure" of what is there already.
        let there = sftp.ask(&Request::LookThrough(path))?;
        outcomes.push(match attributes(path, there) {
            Ok(Some(found)) if found.kind().is_none_or(|kind| kind == Kind::Folder) => Ok(false),
            Ok(Some(_)) => Err("something that is no folder is in the way".to_owned()),
            Ok(None) => Err(format!("this folder cannot be made: {}", said(&reply))),
            Err(SshFault::Refused { what, .. }) => Err(what),
            Err(fault) => return Err(fault),
        });
    }
    Ok(outcomes)
}

/// Sets permissions and modification times of files whose contents are right already.
///
/// # Errors
/// The connection ended. A file whose marks cannot be set keeps its own.
pub fn set_marks(sftp: &mut Sftp, marks: &[(Vec<u8>, u32, i64)]) -> Result<(), SshFault> {
    let requests = marks.iter().map(|(path, mode, mtime_s)| {
        let mtime_s = u32::try_from((*mtime_s).max(0)).unwrap_or(u32::MAX);
        let attributes = Attributes {
            size_bytes: None,
            mode: Some(mode & 0o777),
            times_s: Some((mtime_s, mtime_s)),
        };
        Request::SetAt { path, attributes }
    });
    sftp.ask_all(requests).map(drop)
}

/// Lists all that is below the folder `top`; `wants` is asked of each name before it is taken or
/// entered. A top folder that is not there is `None`.
///
/// # Errors
/// The connection ended, the top cannot be listed, or there is more than [`HOST_FILES_MAX`].
pub fn walk(
    sftp: &mut Sftp,
    top: &[u8],
    wants: &mut dyn FnMut(&[u8], Kind) -> bool,
) -> Result<Option<Walked>, SshFault> {
    let found = sftp.ask(&Request::LookThrough(top))?;
    match attributes(top, found)? {
        None => return Ok(None),
        Some(found) if found.kind().is_some_and(|kind| kind != Kind::Folder) => {
            let what = "it is no folder".to_owned();
            return Err(SshFault::Refused { path: top.to_vec(), what });
        }
        Some(_) => {}
    }
    let mut walker = Walker {
        top,
        wants,
        walked: Walked::default(),
        left: VecDeque::from([Vec::new()]),
        open: HashMap::new(),
        waiting: HashMap::new(),
        unclear: Vec::new(),
        told: 0,
    };
    loop {
        walker.begin(sftp)?;
        if walker.waiting.is_empty() {
            break;
        }
        let (id, reply) = sftp.receive()?;
        if let Some((folder, step)) = walker.waiting.remove(&id) {
            walker.answered(sftp, folder, step, reply)?;
        }
        if sftp.is_stopped() {
            return Err(SshFault::Stopped);
        }
    }
    walker.clear_up(sftp)?;
    walker.walked.unknown.sort();
    Ok(Some(walker.walked))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Read,
    Close,
}

struct Listing {
    handle: Vec<u8>,
    is_at_end: bool,
    reads: usize,
}

struct Walker<'w> {
    top: &'w [u8],
    wants: &'w mut dyn FnMut(&[u8], Kind) -> bool,
    walked: Walked,
    left: VecDeque<Vec<u8>>,
    open: HashMap<Vec<u8>, Listing>,
    waiting: HashMap<u32, (Vec<u8>, Step)>,
    unclear: Vec<Vec<u8>>,
    /// Names that the host has sent.
    told: usize,
}

impl Walker<'_> {
    fn begin(&mut self, sftp: &mut Sftp) -> Result<(), SshFault> {
        while self.open.len() < FOLDERS_MAX
            && let Some(folder) = self.left.pop_front()
        {
            let path = join(self.top, &folder);
            let path = if folder.is_empty() { self.top } else { &path };
            let id = sftp.send(&Request::OpenFolder(path))?;
            let listing = Listing { handle: Vec::new(), is_at_end: false, reads: 0 };
            self.open.insert(folder.clone(), listing);
            self.waiting.insert(id, (folder, Step::Open));
        }
        Ok(())
    }

    fn answered(
        &mut self,
        sftp: &mut Sftp,
        folder: Vec<u8>,
        step: Step,
        reply: Reply,
    ) -> Result<(), SshFault> {
        let Some(listing) = self.open.get_mut(&folder) else { return Ok(()) };
        match (step, reply) {
            (Step::Open, Reply::Handle(handle)) => listing.handle = handle,
            (Step::Open, reply) => {
                if folder.is_empty() {
                    return Err(refused(self.top, &reply));
                }
                self.open.remove(&folder);
                self.walked.unknown.push((folder, said(&reply)));
                return Ok(());
            }
            (Step::Read, reply) => {
                listing.reads -= 1;
                match reply {
                    Reply::Names(names) if !names.is_empty() => self.take(&folder, names)?,
                    Reply::Status(Status { code: Code::End, .. }) => listing.is_at_end = true,
                    reply => {
                        listing.is_at_end = true;
                        self.walked.unknown.push((folder.clone(), said(&reply)));
                    }
                }
            }
            (Step::Close, _) => {
                self.open.remove(&folder);
                return Ok(());
            }
        }
        self.read_on(sftp, folder)
    }

    fn read_on(&mut self, sftp: &mut Sftp, folder: Vec<u8>) -> Result<(), SshFault> {
        let Some(listing) = self.open.get_mut(&folder) else { return Ok(()) };
        while !listing.is_at_end && listing.reads < READS_AHEAD {
            let id = sftp.send(&Request::ReadFolder(&listing.handle))?;
            listing.reads += 1;
            self.waiting.insert(id, (folder.clone(), Step::Read));
        }
        if listing.is_at_end && listing.reads == 0 {
            let id = sftp.send(&Request::Close(&listing.handle))?;
            self.waiting.insert(id, (folder, Step::Close));
        }
        Ok(())
    }

    fn take(&mut self, folder: &[u8], names: Vec<(Vec<u8>, Attributes)>) -> Result<(), SshFault> {
        // Whatever they are: a host that never comes to an end is not listened to without one.
        self.told = self.told.saturating_add(names.len());
        if self.told > HOST_FILES_MAX {
            return Err(SshFault::Bound(format!("over {HOST_FILES_MAX} files and folders")));
        }
        for (name, attributes) in names {
            if name == b"." || name == b".." {
                continue;
            }
            let is_plain = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
            let path = if folder.is_empty() { name } else { join(folder, &name) };
            if !is_plain {
                self.walked.unknown.push((path, "a name that no file can have".to_owned()));
                continue;
            }
            match attributes.kind() {
                Some(kind) => self.enter(path, kind, attributes),
                None => self.unclear.push(path),
            }
        }
        Ok(())
    }

    fn enter(&mut self, path: Vec<u8>, kind: Kind, attributes: Attributes) {
        let is_wanted = (self.wants)(&path, kind);
        match kind {
            Kind::File if is_wanted => {
                self.walked.files.insert(path, attributes);
            }
            Kind::Folder if !is_wanted => {}
            Kind::File | Kind::Link | Kind::Special => {
                if is_wanted || (self.wants)(&path, Kind::Folder) {
                    self.walked.others.insert(path, kind);
                }
            }
            Kind::Folder if path.iter().filter(|&&b| b == b'/').count() + 1 >= PATH_DEPTH_MAX => {
                let why = format!("deeper than {PATH_DEPTH_MAX} parts");
                self.walked.unknown.push((path, why));
            }
            Kind::Folder => {
                self.left.push_back(path.clone());
                self.walked.folders.push(path);
            }
        }
    }

    /// Looks at the names whose kind the server did not say when it listed them.
    fn clear_up(&mut self, sftp: &mut Sftp) -> Result<(), SshFault> {
        while !self.unclear.is_empty() {
            let names = std::mem::take(&mut self.unclear);
            let paths: Vec<Vec<u8>> = names.iter().map(|name| join(self.top, name)).collect();
            for (name, looked) in names.into_iter().zip(look_at(sftp, &paths)?) {
                match looked.map(|found| found.and_then(|found| Some((found.kind()?, found)))) {
                    Ok(Some((Kind::Folder, _))) => {
                        self.walked.unknown.push((name, "a folder that was not listed".into()));
                    }
                    Ok(Some((kind, found))) => self.enter(name, kind, found),
                    Ok(None) => {}
                    Err(why) => self.walked.unknown.push((name, why)),
                }
            }
        }
        Ok(())
    }
}

/// Takes slashes at the end off.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(1, |at| at + 1);
    path.get(..end.min(path.len())).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end() {
        for (path, trim) in
            [(&b"/a//"[..], &b"/a"[..]), (b"/", b"/"), (b"//", b"/"), (b"/a", b"/a")]
        {
            assert_eq!(trimmed(path), trim);
        }
    }
}
