//! Files on their way from a host: their bytes into files here, or only their digests.
//!
//! Invariant: what is returned for a file is of bytes that were read in order, each once, from a
//! file that was the same before and after.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::format::cksum::Cksum;
use crate::format::sftp::{Attributes, Code, Kind, OPEN_READ, Reply, Request, Status};

use super::line::SshFault;
use super::sftp::{Sftp, said};
use super::stage::Each;

/// Files that are on their way at once.
const FILES_MAX: usize = 64;
/// Requests that are.
const REQUESTS_MAX: usize = 128;
/// Of one file.
const READS_MAX: usize = 32;

/// A file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Their sum, as `cksum` prints it.
    pub cksum: u32,
    /// How many.
    pub size_bytes: u64,
    /// Its permissions there, out of 0777.
    pub mode: u32,
    /// When it was modified, in seconds since 1970.
    pub mtime_s: i64,
}

/// Reads files of a host; `sink` returns where the bytes of one go, by its number, or nowhere. A
/// fault of one file is in its place.
///
/// # Errors
/// The connection ended.
pub fn fetch(
    sftp: &mut Sftp,
    paths: &[&[u8]],
    sink: &mut dyn FnMut(usize) -> io::Result<Option<File>>,
    told: &mut dyn FnMut(u64),
) -> Result<Each<Fetched>, SshFault> {
    let mut reader = Reader {
        paths,
        done: paths.iter().map(|_| Err("not read".to_owned())).collect(),
        flights: Vec::new(),
        waiting: HashMap::new(),
        next: 0,
    };
    loop {
        reader.begin(sftp)?;
        reader.feed(sftp)?;
        if reader.waiting.is_empty() {
            return Ok(reader.done);
        }
        let (id, reply) = sftp.receive()?;
        if let Some((slot, step)) = reader.waiting.remove(&id) {
            reader.answered(sftp, slot, step, reply, sink, told)?;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Before,
    Read { offset: u64, bytes: u32, turn: u32 },
    After,
    Close,
}

struct Flight {
    job: usize,
    handle: Vec<u8>,
    sink: Option<File>,
    before: Option<Attributes>,
    /// Up to where reads were sent.
    asked: u64,
    /// Up to where bytes came.
    read: u64,
    /// Reads that are on their way.
    reads: VecDeque<u64>,
    /// Counts the times that reading began anew after an answer that was short.
    turn: u32,
    is_ending: bool,
    sha256: Sha256,
    cksum: Cksum,
    fault: Option<String>,
}

struct Reader<'r> {
    paths: &'r [&'r [u8]],
    done: Each<Fetched>,
    flights: Vec<Option<Flight>>,
    waiting: HashMap<u32, (usize, Step)>,
    next: usize,
}

impl Reader<'_> {
    fn begin(&mut self, sftp: &mut Sftp) -> Result<(), SshFault> {
        while self.next < self.paths.len() && self.waiting.len() < REQUESTS_MAX {
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
            if sftp.is_stopped() {
                self.done[job] = Err("stopped before it was read".to_owned());
                continue;
            }
            let path = self.paths[job];
            let attributes = Attributes::default();
            let id = sftp.send(&Request::Open { path, flags: OPEN_READ, attributes })?;
            self.waiting.insert(id, (slot, Step::Open));
            self.flights[slot] = Some(Flight::new(job));
        }
        Ok(())
    }

    fn feed(&mut self, sftp: &mut Sftp) -> Result<(), SshFault> {
        for (slot, flight) in self.flights.iter_mut().enumerate() {
            let Some(flight) = flight else { continue };
            let Some(size_bytes) = flight.before.and_then(|before| before.size_bytes) else {
                continue;
            };
            if flight.is_ending {
                continue;
            }
            while flight.fault.is_none()
                && flight.asked < size_bytes
                && flight.reads.len() < READS_MAX
                && self.waiting.len() < REQUESTS_MAX
            {
                let left = size_bytes - flight.asked;
                let bytes = u32::try_from(left).unwrap_or(u32::MAX).min(sftp.read_bytes());
                let (handle, offset) = (&flight.handle, flight.asked);
                let id = sftp.send(&Request::Read { handle, offset, bytes })?;
                let step = Step::Read { offset, bytes, turn: flight.turn };
                self.waiting.insert(id, (slot, step));
                flight.reads.push_back(offset);
                flight.asked += u64::from(bytes);
            }
            let is_read = flight.read >= size_bytes && flight.reads.is_empty();
            if is_read || (flight.fault.is_some() && flight.reads.is_empty()) {
                flight.is_ending = true;
                let id = sftp.send(&Request::LookAtOpen(&flight.handle))?;
                self.waiting.insert(id, (slot, Step::After));
                let id = sftp.send(&Request::Close(&flight.handle))?;
                self.waiting.insert(id, (slot, Step::Close));
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        sftp: &mut Sftp,
        slot: usize,
        step: Step,
        reply: Reply,
        sink: &mut dyn FnMut(usize) -> io::Result<Option<File>>,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), SshFault> {
        let Some(flight) = self.flights.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        match (step, reply) {
            (Step::Open, Reply::Handle(handle)) => {
                flight.handle = handle;
                let id = sftp.send(&Request::LookAtOpen(&flight.handle))?;
                self.waiting.insert(id, (slot, Step::Before));
                match sink(flight.job) {
                    Ok(file) => flight.sink = file,
                    Err(error) => flight.fault = Some(error.to_string()),
                }
            }
            (Step::Open, reply) => {
                self.done[flight.job] = Err(said(&reply));
                self.flights[slot] = None;
            }
            (Step::Before, Reply::Attributes(attributes)) => {
                flight.before = Some(attributes);
                if attributes.kind().is_some_and(|kind| kind != Kind::File) {
                    flight.fault = Some("it is no plain file any more".to_owned());
                }
            }
            (Step::Read { offset, bytes, turn }, reply) => {
                flight.reads.pop_front();
                if turn == flight.turn && flight.fault.is_none() {
                    flight.take(offset, bytes, reply, told);
                }
            }
            (Step::After, Reply::Attributes(after)) => {
                let marks = |a: &Attributes| (a.size_bytes, a.times_s.map(|(_, mtime)| mtime));
                if flight.before.as_ref().map(marks) != Some(marks(&after)) {
                    flight.fault.get_or_insert("it changed while it was read".to_owned());
                }
            }
            (Step::Before | Step::After, reply) => {
                flight
                    .before
                    .get_or_insert(Attributes { size_bytes: Some(0), ..Attributes::default() });
                flight.fault.get_or_insert(said(&reply));
            }
            (Step::Close, _) => {
                if let Some(flight) = self.flights.get_mut(slot).and_then(Option::take) {
                    let job = flight.job;
                    self.done[job] = flight.end();
                }
            }
        }
        Ok(())
    }
}

impl Flight {
    fn new(job: usize) -> Flight {
        Flight {
            job,
            handle: Vec::new(),
            sink: None,
            before: None,
            asked: 0,
            read: 0,
            reads: VecDeque::new(),
            turn: 0,
            is_ending: false,
            sha256: Sha256::new(),
            cksum: Cksum::default(),
            fault: None,
        }
    }

    /// Takes in the answer to a read.
    fn take(&mut self, offset: u64, bytes: u32, reply: Reply, told: &mut dyn FnMut(u64)) {
        let data = match reply {
            Reply::Data(data) if offset == self.read && data.len() <= bytes as usize => data,
            Reply::Status(Status { code: Code::End, .. }) => {
                self.fault = Some("it became shorter while it was read".to_owned());
                return;
            }
            reply => {
                self.fault = Some(said(&reply));
                return;
            }
        };
        self.sha256.update(&data);
        self.cksum.update(&data);
        if let Some(sink) = &mut self.sink
            && let Err(error) = sink.write_all(&data)
        {
            self.fault = Some(format!("cannot be written here: {error}"));
        }
        self.read += data.len() as u64;
        told(data.len() as u64);
        if data.len() < bytes as usize {
            // Those after it are for places too far on: they are asked for again.
            self.turn += 1;
            self.asked = self.read;
        }
        if data.is_empty() {
            self.fault = Some("the host sends nothing of it".to_owned());
        }
    }

    fn end(self) -> Result<Fetched, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let before = self.before.unwrap_or_default();
        Ok(Fetched {
            sha256: self.sha256.finalize().into(),
            cksum: self.cksum.value(),
            size_bytes: self.read,
            mode: before.mode.unwrap_or(0o644) & 0o777,
            mtime_s: before.times_s.map_or(0, |(_, mtime)| i64::from(mtime)),
        })
    }
}
