//! Files on their way to a host: first beside their places, under names of ours, then into them.
//!
//! Invariant: whoever reads a place there sees the old file or the whole new one. What is not put
//! in its place is removed again; what a broken connection leaves has a name that the next run for
//! the same place uses again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::format::cksum::Cksum;
use crate::format::digest::hex;
use crate::format::sftp::{
    Attributes, Code, OPEN_NEW, OPEN_READ, Reply, Request, Status, parse_room,
};

use super::fetch::{Fetched, fetch};
use super::line::{Line, SshFault};
use super::sftp::{REFUSED, Sftp, said};
use super::sums::{Asker, Sums, Tool};
use super::{join, split};

/// Files that are on their way at once: old servers have a hundred open.
const FILES_MAX: usize = 96;
/// Requests that are.
const REQUESTS_MAX: usize = 512;
/// Bytes that are.
const BYTES_MAX: usize = 8 << 20;
/// Files that are brought to the disk one by one, as they come; more of them all at once.
const SYNCED_EACH_MAX: usize = 32;
/// Files that a host refuses, for no reason that it says, before no more are tried.
const REFUSED_MAX: usize = 16;

/// One file for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name there, absolute.
    pub target: Vec<u8>,
    /// Its permissions there, out of 0777.
    pub mode: u32,
    /// When it was modified, in seconds since 1970.
    pub mtime_s: i64,
    /// How long it is, as far as it is known.
    pub size_bytes: u64,
}

/// A file that lies beside its place on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Where it lies, absolute.
    pub temporary: Vec<u8>,
    /// Its bytes.
    pub size_bytes: u64,
    /// Their sum, as `cksum` prints it.
    pub cksum: u32,
    /// Their digest, if it was asked for.
    pub sha256: Option<[u8; 32]>,
}

/// What became of each of many files: why not, in words.
pub type Each<T> = Vec<Result<T, String>>;

/// How files are staged.
pub struct Manner<'m> {
    /// Distinguishes our names from those of others who copy to the same places.
    pub tag: &'m str,
    /// Whether digests are wanted.
    pub with_sha256: bool,
}

/// Copies files beside their places; `open` opens the file of a job by its number, and `told` is
/// told of bytes that went out. A fault of one file is in its place; the others go on.
///
/// # Errors
/// The connection ended. What was staged is then left there.
pub fn stage(
    sftp: &mut Sftp,
    jobs: &[Job],
    manner: &Manner<'_>,
    open: &mut dyn FnMut(usize) -> io::Result<File>,
    told: &mut dyn FnMut(u64),
) -> Result<Each<Staged>, SshFault> {
    let stager = Stager {
        jobs,
        manner,
        done: jobs.iter().map(|_| Err("not copied".to_owned())).collect(),
        flights: Vec::new(),
        waiting: HashMap::new(),
        bytes: 0,
        next: 0,
        chunk: vec![0; sftp.write_bytes()],
        refused: Vec::new(),
    };
    stager.run(sftp, open, told)
}

/// Puts staged files into their places, all of them at once; what cannot be is removed.
///
/// # Errors
/// The connection ended.
pub fn replace(sftp: &mut Sftp, pairs: &[(&[u8], &[u8])]) -> Result<Each<()>, SshFault> {
    if sftp.greeting().replaces {
        let requests = pairs.iter().map(|&(from, to)| Request::Replace { from, to });
        let replies = sftp.ask_all(requests)?;
        return ended_well(sftp, pairs, replies);
    }
    // Without the extension a name has to be free: for a moment there is no file.
    let requests = pairs.iter().map(|&(from, to)| Request::Rename { from, to });
    let mut replies = sftp.ask_all(requests)?;
    let is_done = |reply: &Reply| matches!(reply, Reply::Status(Status { code: Code::Done, .. }));
    for (&(from, to), reply) in pairs.iter().zip(&mut replies).filter(|(_, r)| !is_done(r)) {
        sftp.ask(&Request::Remove(to))?;
        *reply = sftp.ask(&Request::Rename { from, to })?;
    }
    ended_well(sftp, pairs, replies)
}

/// Puts staged files where nothing is; where something is meanwhile they are removed.
///
/// # Errors
/// The connection ended.
pub fn create(sftp: &mut Sftp, pairs: &[(&[u8], &[u8])]) -> Result<Each<()>, SshFault> {
    let requests = pairs.iter().map(|&(from, to)| Request::Rename { from, to });
    let replies = sftp.ask_all(requests)?;
    ended_well(sftp, pairs, replies)
}

/// Starts what [`verify`] asks about so many files: that takes as long as a login, and can be done while
/// they are on their way.
///
/// # Errors
/// ssh cannot be run.
pub fn verifier(line: &Line, files: usize) -> Result<Asker, SshFault> {
    let tool = if files > SYNCED_EACH_MAX { Tool::CksumAndSync } else { Tool::Cksum };
    Asker::start(line, tool)
}

/// Asks the host, by a [`verifier`], what arrived; what is not what was sent is removed there, and
/// what is, is on the disk there afterwards.
///
/// # Errors
/// The connection ended.
pub fn verify(
    asker: Asker,
    sftp: &mut Sftp,
    staged: &mut [Result<Staged, String>],
) -> Result<(), SshFault> {
    let paths: Vec<Vec<u8>> = staged.iter().flatten().map(|s| s.temporary.clone()).collect();
    let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
    let (there, is_on_disk) = match asker.ask(&paths, sftp.stop())? {
        Sums::Cksums { sums, is_on_disk } => (sums, is_on_disk),
        // Where no command may be run, it is read back.
        _ => {
            let read = fetch(sftp, &paths, &mut |_| Ok(None), &mut |_| {})?;
            let sum = |read: Fetched| (read.cksum, read.size_bytes);
            (read.into_iter().map(|read| read.ok().map(sum)).collect(), false)
        }
    };
    let mut there = there.into_iter();
    let mut bad = Vec::new();
    for place in staged.iter_mut() {
        let Ok(file) = place else { continue };
        if there.next().flatten() != Some((file.cksum, file.size_bytes)) {
            bad.push(file.temporary.clone());
            *place = Err("it did not arrive whole".to_owned());
        }
    }
    discard(sftp, &bad.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    if staged.len() > SYNCED_EACH_MAX && !is_on_disk {
        let sound: Vec<&[u8]> = staged.iter().flatten().map(|s| s.temporary.as_slice()).collect();
        sync_each(sftp, &sound)?;
    }
    Ok(())
}

/// Brings files to the disk one by one, where no command can bring all of them.
fn sync_each(sftp: &mut Sftp, files: &[&[u8]]) -> Result<(), SshFault> {
    if !sftp.greeting().syncs {
        return Ok(());
    }
    let attributes = Attributes::default();
    let open = |path| Request::Open { path, flags: OPEN_READ, attributes };
    for some in files.chunks(FILES_MAX) {
        let opened = sftp.ask_all(some.iter().map(|path| open(*path)))?;
        let handles: Vec<Vec<u8>> = opened
            .into_iter()
            .filter_map(|reply| if let Reply::Handle(handle) = reply { Some(handle) } else { None })
            .collect();
        sftp.ask_all(handles.iter().map(|handle| Request::Sync(handle)))?;
        sftp.ask_all(handles.iter().map(|handle| Request::Close(handle)))?;
    }
    Ok(())
}

/// Removes what was staged and is not wanted.
///
/// # Errors
/// The connection ended.
pub fn discard(sftp: &mut Sftp, temporaries: &[&[u8]]) -> Result<(), SshFault> {
    sftp.ask_all(temporaries.iter().map(|path| Request::Remove(path))).map(drop)
}

/// Says what became of files that were to be put in their places; what was not is removed.
pub(super) fn ended_well(
    sftp: &mut Sftp,
    pairs: &[(&[u8], &[u8])],
    replies: Vec<Reply>,
) -> Result<Each<()>, SshFault> {
    let outcome = |reply: &Reply| match reply {
        Reply::Status(Status { code: Code::Done, .. }) => Ok(()),
        reply => Err(format!("cannot be put in its place: {}", said(reply))),
    };
    let outcomes: Vec<_> = replies.iter().map(outcome).collect();
    let failed = pairs.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_err());
    let left: Vec<&[u8]> = failed.map(|((from, _), _)| *from).collect();
    discard(sftp, &left)?;
    Ok(outcomes)
}

/// A request on its way: for which file, and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open { is_second: bool },
    Write(usize),
    Finish,
    Close,
}

/// A file on its way.
struct Flight {
    job: usize,
    file: File,
    before: std::fs::Metadata,
    temporary: Vec<u8>,
    handle: Vec<u8>,
    offset: u64,
    is_read: bool,
    cksum: Cksum,
    sha256: Option<Sha256>,
    fault: Option<String>,
}

struct Stager<'s> {
    jobs: &'s [Job],
    manner: &'s Manner<'s>,
    done: Each<Staged>,
    flights: Vec<Option<Flight>>,
    waiting: HashMap<u32, (usize, Step)>,
    bytes: usize,
    next: usize,
    chunk: Vec<u8>,
    refused: Vec<usize>,
}

impl Stager<'_> {
    fn run(
        mut self,
        sftp: &mut Sftp,
        open: &mut dyn FnMut(usize) -> io::Result<File>,
        told: &mut dyn FnMut(u64),
    ) -> Result<Each<Staged>, SshFault> {
        loop {
            self.begin(sftp, open)?;
            self.feed(sftp, told)?;
            if self.waiting.is_empty() {
                break;
            }
            let (id, reply) = sftp.receive()?;
            if let Some((slot, step)) = self.waiting.remove(&id) {
                self.answered(sftp, slot, step, reply)?;
            }
        }
        self.tell_of_room(sftp)?;
        Ok(self.done)
    }

    /// Begins as many files as may be on their way.
    fn begin(
        &mut self,
        sftp: &mut Sftp,
        open: &mut dyn FnMut(usize) -> io::Result<File>,
    ) -> Result<(), SshFault> {
        while self.next < self.jobs.len() && self.waiting.len() < REQUESTS_MAX {
            let slot = match self.flights.iter().position(Option::is_none) {
                Some(slot) => slot,
                None if self.flights.len() < FILES_MAX => {
                    self.flights.push(None);
                    self.flights.len() - 1
                }
                None => return Ok(()),
            };
            let job = self.next;
            self.next += 1;
            let is_hopeless = self.refused.len() >= REFUSED_MAX;
            if sftp.is_stopped() || is_hopeless {
                let why = if is_hopeless { "not tried, for others failed" } else { STOPPED };
                self.done[job] = Err(why.to_owned());
                continue;
            }
            let opened = open(job).and_then(|file| Ok((file.metadata()?, file)));
            match opened {
                Err(error) => self.done[job] = Err(format!("cannot be read: {error}")),
                Ok((before, file)) => {
                    let temporary = temporary(&self.jobs[job].target, self.manner.tag);
                    self.flights[slot] = Some(Flight {
                        job,
                        file,
                        before,
                        temporary,
                        handle: Vec::new(),
                        offset: 0,
                        is_read: false,
                        cksum: Cksum::default(),
                        sha256: self.manner.with_sha256.then(Sha256::new),
                        fault: None,
                    });
                    self.open_there(sftp, slot, false)?;
                }
            }
        }
        Ok(())
    }

    fn open_there(&mut self, sftp: &mut Sftp, slot: usize, again: bool) -> Result<(), SshFault> {
        let Some(flight) = self.flights.get(slot).and_then(Option::as_ref) else { return Ok(()) };
        let request = Request::Open {
            path: &flight.temporary,
            flags: OPEN_NEW,
            // Nobody else reads it before it is whole.
            attributes: Attributes::of_mode(0o600),
        };
        let id = sftp.send(&request)?;
        self.waiting.insert(id, (slot, Step::Open { is_second: again }));
        Ok(())
    }

    /// Sends what may be sent of the files that are open there.
    fn feed(&mut self, sftp: &mut Sftp, told: &mut dyn FnMut(u64)) -> Result<(), SshFault> {
        for slot in 0..self.flights.len() {
            while self.waiting.len() < REQUESTS_MAX && self.bytes < BYTES_MAX {
                let Some(flight) = self.flights.get_mut(slot).and_then(Option::as_mut) else {
                    break;
                };
                if flight.handle.is_empty() || flight.is_read {
                    break;
                }
                let bytes = if flight.fault.is_some() {
                    0
                } else {
                    let left = flight.left();
                    match read_full(&mut flight.file, &mut self.chunk, left) {
                        Ok(bytes) => bytes,
                        Err(error) => {
                            flight.fault = Some(format!("cannot be read: {error}"));
                            0
                        }
                    }
                };
                let chunk = self.chunk.get(..bytes).unwrap_or_default();
                flight.cksum.update(chunk);
                if let Some(sha256) = &mut flight.sha256 {
                    sha256.update(chunk);
                }
                if bytes > 0 {
                    let (handle, offset) = (&flight.handle, flight.offset);
                    let id = sftp.send(&Request::Write { handle, offset, bytes: chunk })?;
                    flight.offset += bytes as u64;
                    self.bytes += bytes;
                    self.waiting.insert(id, (slot, Step::Write(bytes)));
                    told(bytes as u64);
                }
                flight.is_read = flight.left() == 0 || bytes == 0;
                if flight.is_read {
                    self.finish(sftp, slot)?;
                }
            }
        }
        Ok(())
    }

    /// Sends what comes after the last byte.
    fn finish(&mut self, sftp: &mut Sftp, slot: usize) -> Result<(), SshFault> {
        let syncs = sftp.greeting().syncs;
        let Some(flight) = self.flights.get(slot).and_then(Option::as_ref) else { return Ok(()) };
        let handle = &flight.handle;
        if flight.fault.is_none() {
            let job = &self.jobs[flight.job];
            let mtime_s = u32::try_from(job.mtime_s.max(0)).unwrap_or(u32::MAX);
            let attributes = Attributes {
                size_bytes: None,
                mode: Some(job.mode & 0o777),
                times_s: Some((mtime_s, mtime_s)),
            };
            let id = sftp.send(&Request::Set { handle, attributes })?;
            self.waiting.insert(id, (slot, Step::Finish));
            if syncs && self.jobs.len() <= SYNCED_EACH_MAX {
                let id = sftp.send(&Request::Sync(handle))?;
                self.waiting.insert(id, (slot, Step::Finish));
            }
        }
        let id = sftp.send(&Request::Close(handle))?;
        self.waiting.insert(id, (slot, Step::Close));
        Ok(())
    }

    fn answered(
        &mut self,
        sftp: &mut Sftp,
        slot: usize,
        step: Step,
        reply: Reply,
    ) -> Result<(), SshFault> {
        if let Step::Write(bytes) = step {
            self.bytes -= bytes;
        }
        let Some(flight) = self.flights.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        match (step, reply) {
            (Step::Open { .. }, Reply::Handle(handle)) if !handle.is_empty() => {
                flight.handle = handle;
            }
            // An earlier run was cut off here: what it left is in the way.
            (Step::Open { is_second: false }, Reply::Status(Status { code: Code::Failed, .. })) => {
                let id = sftp.send(&Request::Remove(&flight.temporary))?;
                self.waiting.insert(id, (slot, Step::Finish));
                self.open_there(sftp, slot, true)?;
            }
            (Step::Open { .. }, reply) => {
                let why = flight.fault.take().unwrap_or_else(|| said(&reply));
                let job = flight.job;
                self.flights[slot] = None;
                self.failed(job, why);
            }
            (Step::Close, reply) => {
                let is_closed = is_done(&reply);
                if let Some(mut flight) = self.flights.get_mut(slot).and_then(Option::take) {
                    if !is_closed && flight.fault.is_none() {
                        flight.fault = Some(said(&reply));
                    }
                    self.landed(sftp, flight)?;
                }
            }
            // What was left by an earlier run need not have been there.
            (Step::Finish, Reply::Status(_)) if flight.handle.is_empty() => {}
            (Step::Write(_) | Step::Finish, reply) => {
                // A server without that extension, or a disk without that call: not a failure.
                let is_harmless = matches!(
                    reply,
                    Reply::Status(Status { code: Code::Done | Code::Unsupported, .. })
                );
                if !is_harmless && flight.fault.is_none() {
                    flight.fault = Some(said(&reply));
                }
            }
        }
        Ok(())
    }

    /// Notes how a file ended whose handle is closed.
    fn landed(&mut self, sftp: &mut Sftp, flight: Flight) -> Result<(), SshFault> {
        let job = flight.job;
        let fault = flight.fault.clone().or_else(|| flight.change());
        let Some(why) = fault else {
            self.done[job] = Ok(Staged {
                temporary: flight.temporary,
                size_bytes: flight.offset,
                cksum: flight.cksum.value(),
                sha256: flight.sha256.map(|digest| digest.finalize().into()),
            });
            return Ok(());
        };
        self.failed(job, why);
        // Whatever the answer: there is nobody to tell it to.
        let id = sftp.send(&Request::Remove(&flight.temporary))?;
        self.waiting.insert(id, (usize::MAX, Step::Finish));
        Ok(())
    }

    fn failed(&mut self, job: usize, why: String) {
        if why == REFUSED {
            self.refused.push(job);
        }
        self.done[job] = Err(format!("cannot be written there: {why}"));
    }

    /// Says that the disk there is full where that is what was wrong: OpenSSH does not say it.
    fn tell_of_room(&mut self, sftp: &mut Sftp) -> Result<(), SshFault> {
        if !sftp.greeting().tells_room {
            return Ok(());
        }
        for &job in &self.refused {
            let (folder, _) = split(&self.jobs[job].target);
            let Reply::Extended(answer) = sftp.ask(&Request::Room(folder))? else { continue };
            if parse_room(&answer).unwrap_or(u64::MAX) < self.jobs[job].size_bytes.max(1 << 16) {
                self.done[job] = Err(NO_ROOM.to_owned());
            }
        }
        Ok(())
    }
}

/// What is said of a full disk.
const NO_ROOM: &str = "no room left on its disk";
/// What is said of a file that was not begun when work had to end.
const STOPPED: &str = "stopped before it was copied";

impl Flight {
    /// Returns how many bytes are still to be read.
    fn left(&self) -> u64 {
        self.before.len().saturating_sub(self.offset)
    }

    /// Says so if the file changed while it was read.
    fn change(&self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let marks = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.ctime_nsec());
        let after = self.file.metadata().map(|after| marks(&after));
        let is_same = after.is_ok_and(|after| after == marks(&self.before));
        let is_whole = self.offset == self.before.len();
        (!is_same || !is_whole).then(|| "it changed while it was copied".to_owned())
    }
}

fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Status(Status { code: Code::Done, .. }))
}

/// Reads as much as fits, or as there is of `left`.
fn read_full(file: &mut File, chunk: &mut [u8], left: u64) -> io::Result<usize> {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
    let mut bytes = 0;
    while let Some(rest) = chunk.get_mut(bytes..most).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => bytes += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Returns a name beside `target`, the same each time.
pub(super) fn temporary(target: &[u8], tag: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(tag.as_bytes());
    digest.update([0]);
    digest.update(target);
    let digest: [u8; 32] = digest.finalize().into();
    let short = hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]));
    join(split(target).0, format!(".remsync-{short}.tmp").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_lie_beside_and_differ() {
        let a = temporary(b"/d/a", "x");
        assert!(a.starts_with(b"/d/.remsync-"), "{a:?}");
        assert_eq!(a, temporary(b"/d/a", "x"), "found again by the next run");
        for other in [temporary(b"/d/b", "x"), temporary(b"/d/a", "y")] {
            assert_ne!(a, other);
        }
        assert!(temporary(b"/a", "x").starts_with(b"/.remsync-"));
    }
}
