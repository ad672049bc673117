//! The old SCP protocol (rcp's), for hosts that have nothing else.
//!
//! It has no version, no pipelining and no names with line ends in them, and folders and names have
//! to be words of a command: they are quoted. Invariant as for SFTP: a file goes to a name of ours
//! beside its place, and then takes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::Ordering;

use rustix::event::PollFlags;

use super::line::{Line, Running, SshFault, quoted, wait_for};
use super::sftp::Stop;
use super::stage::{Each, Job, temporary};
use super::sums::{Sums, Tool, sums};
use super::{join, split};
use crate::format::cksum::Cksum;
use crate::model::path::escaped;

/// Bytes of one line of the other side.
const LINE_BYTES_MAX: u64 = 4 << 10;
/// Bytes of what a login script says.
const GREETING_BYTES_MAX: u64 = 1 << 20;
/// Seconds for which a host that has to answer, or to take bytes, may do nothing.
const SILENCE_SECONDS: u64 = 120;
/// Bytes read here at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Makes the folders and copies the files; a fault of one file is in its place. `Ok` has the bytes.
/// What arrived is compared, where the host can sum it, before it takes its place. When `stop` is set no
/// more files are begun.
///
/// # Errors
/// The host is not reached, a folder cannot be made, or it has no `scp`.
pub fn copy_by_scp(
    line: &Line,
    folders: &[Vec<u8>],
    jobs: &[Job],
    tag: &str,
    open: &mut dyn FnMut(usize) -> io::Result<File>,
    stop: &Stop,
) -> Result<Each<u64>, SshFault> {
    make_folders(line, folders, stop)?;
    let none = || Err("stopped before it was copied".to_owned());
    let mut sent: Each<(u64, u32)> = jobs.iter().map(|_| none()).collect();
    let mut by_folder: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        by_folder.entry(split(&job.target).0).or_default().push(at);
    }
    for (folder, numbers) in by_folder {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut sink = Sink::open(line, folder)?;
        for at in numbers {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            sent[at] = match open(at) {
                Ok(file) => sink.send(&jobs[at], tag, file)?,
                Err(error) => Err(format!("cannot be read: {error}")),
            };
        }
        sink.close();
    }
    compare(line, jobs, tag, &mut sent)?;
    let whole: Vec<usize> = (0..jobs.len()).filter(|&at| sent[at].is_ok()).collect();
    let moved = move_all(line, &whole.iter().map(|&at| &jobs[at]).collect::<Vec<_>>(), tag)?;
    for (at, is_moved) in whole.into_iter().zip(moved) {
        if !is_moved {
            sent[at] = Err("cannot be put in its place".to_owned());
        }
    }
    Ok(sent.into_iter().map(|sent| sent.map(|(bytes, _)| bytes)).collect())
}

/// Asks the host what arrived: what is not what was sent is not whole.
fn compare(
    line: &Line,
    jobs: &[Job],
    tag: &str,
    sent: &mut Each<(u64, u32)>,
) -> Result<(), SshFault> {
    let names: Vec<Vec<u8>> = jobs
        .iter()
        .zip(&*sent)
        .filter(|(_, sent)| sent.is_ok())
        .map(|(job, _)| temporary(&job.target, tag))
        .collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let Sums::Cksums { sums: there, .. } = sums(line, &names, Tool::Cksum, &Stop::default())?
    else {
        return Ok(());
    };
    let mut there = there.into_iter();
    for place in sent.iter_mut() {
        let Ok((bytes, sum)) = *place else { continue };
        if there.next().flatten() != Some((sum, bytes)) {
            *place = Err("it did not arrive whole".to_owned());
        }
    }
    Ok(())
}

fn make_folders(line: &Line, folders: &[Vec<u8>], stop: &Stop) -> Result<(), SshFault> {
    for few in folders.chunks(100) {
        let mut command = b"mkdir -p --".to_vec();
        for folder in few {
            command.push(b' ');
            command.extend(quoted(folder));
        }
        let mut running = line.start_quoted(&command)?;
        // What a login script says there is read, or it would wait for us.
        running.answer(&[], b"", GREETING_BYTES_MAX, stop)?;
        let status = running.child.wait().map_err(SshFault::Start)?;
        if !status.success() {
            return Err(running.fault());
        }
    }
    Ok(())
}

/// Gives the files that arrived their names; whether each has it.
fn move_all(line: &Line, jobs: &[&Job], tag: &str) -> Result<Vec<bool>, SshFault> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut script = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let from = quoted(&temporary(&job.target, tag));
        let to = quoted(&job.target);
        script.extend([b"[ ! -d ", to.as_slice(), b" ] && mv -f -- ", &from, b" ", &to].concat());
        script.extend_from_slice(format!(" </dev/null && echo moved-{at}\n").as_bytes());
    }
    let said = line.run_script(&script)?;
    let said = String::from_utf8_lossy(&said);
    let moved: std::collections::BTreeSet<&str> = said.lines().collect();
    Ok((0..jobs.len()).map(|at| moved.contains(format!("moved-{at}").as_str())).collect())
}

/// `scp -t` at the other end.
struct Sink {
    running: Running,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Sink {
    fn open(line: &Line, folder: &[u8]) -> Result<Sink, SshFault> {
        let command = [b"scp -p -t -- ", quoted(folder).as_slice()].concat();
        let mut running = line.start_quoted(&command)?;
        let stdin = running.child.stdin.take();
        let stdout = running.child.stdout.take().map(BufReader::new);
        if let Some(stdin) = &stdin {
            // A host that takes nothing is not waited for in a call that nothing ends.
            let flags = rustix::fs::fcntl_getfl(stdin).map_err(|e| SshFault::Start(e.into()))?;
            rustix::fs::fcntl_setfl(stdin, flags | rustix::fs::OFlags::NONBLOCK)
                .map_err(|error| SshFault::Start(error.into()))?;
        }
        let mut sink = Sink { running, stdin, stdout };
        match sink.answer() {
            Ok(()) => Ok(sink),
            Err(error) if error.kind() == io::ErrorKind::Other => {
                Err(SshFault::Refused { path: folder.to_vec(), what: error.to_string() })
            }
            Err(_) => Err(sink.running.fault()),
        }
    }

    /// Sends a file; why not, if that is a matter of this file alone.
    fn send(
        &mut self,
        job: &Job,
        tag: &str,
        file: File,
    ) -> Result<Result<(u64, u32), String>, SshFault> {
        self.try_to_send(job, tag, file).map_or_else(
            |error| match error.kind() {
                // The host's own words, or ours: the line is as it was.
                io::ErrorKind::Other => Ok(Err(error.to_string())),
                io::ErrorKind::TimedOut => Err(SshFault::Silent(SILENCE_SECONDS)),
                _ => Err(self.running.fault()),
            },
            |sent| Ok(Ok(sent)),
        )
    }

    fn try_to_send(&mut self, job: &Job, tag: &str, mut file: File) -> io::Result<(u64, u32)> {
        let temporary = temporary(&job.target, tag);
        let (_, name) = split(&temporary);
        let before = file.metadata().map_err(io::Error::other)?;
        let mtime_s = job.mtime_s.max(0);
        self.say(format!("T{mtime_s} 0 {mtime_s} 0\n").as_bytes())?;
        let head = format!("C{:04o} {} ", job.mode & 0o777, before.len());
        self.say(&[head.as_bytes(), name, b"\n"].concat())?;
        let mut cksum = Cksum::default();
        let mut left = before.len();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut is_whole = true;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let read = file.read(chunk.get_mut(..most).unwrap_or_default()).unwrap_or(0);
            // So many bytes were promised: what is missing is filled up, and the file is no good.
            is_whole &= read > 0;
            let bytes = if read == 0 { most } else { read };
            let piece = chunk.get(..bytes).unwrap_or_default();
            cksum.update(piece);
            self.write(piece)?;
            left -= bytes as u64;
        }
        self.say(b"\0")?;
        let is_same = file.metadata().is_ok_and(|after| {
            after.modified().ok() == before.modified().ok() && after.len() == before.len()
        });
        if !is_whole || !is_same {
            return Err(io::Error::other("it changed while it was copied"));
        }
        Ok((before.len(), cksum.value()))
    }

    fn say(&mut self, words: &[u8]) -> io::Result<()> {
        self.write(words)?;
        self.answer()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut left = bytes;
        while !left.is_empty() {
            patient(wait_for(stdin, PollFlags::OUT, SILENCE_SECONDS, &Stop::default()))?;
            match stdin.write(left) {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads one answer: a zero, or a line that says what is wrong.
    fn answer(&mut self) -> io::Result<()> {
        let Some(stdout) = &mut self.stdout else { return Err(io::ErrorKind::BrokenPipe.into()) };
        if stdout.buffer().is_empty() {
            let end = stdout.get_ref();
            patient(wait_for(end, PollFlags::IN, SILENCE_SECONDS, &Stop::default()))?;
        }
        let mut first = [0];
        stdout.read_exact(&mut first)?;
        if first == [0] {
            return Ok(());
        }
        let mut line = Vec::new();
        stdout.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let words = escaped(line.trim_ascii());
        Err(io::Error::other(words.strip_prefix("scp: ").unwrap_or(&words).to_owned()))
    }

    fn close(&mut self) {
        self.stdin = None;
        let _ = self.running.child.wait();
    }
}

/// What was waited for in vain.
fn patient(waited: Result<(), SshFault>) -> io::Result<()> {
    waited.map_err(|fault| io::Error::new(io::ErrorKind::TimedOut, fault.to_string()))
}

/// Returns the name of a file below a folder, for a host whose folders were not looked at.
pub fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let folder = match folder {
        b"~" => b"",
        folder => folder.strip_prefix(b"~/").unwrap_or(folder),
    };
    join(folder, name)
}
