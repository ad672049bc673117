//! The old SCP protocol (rcp's), for hosts that have nothing else.
//!
//! It has no version, no pipelining and no names with line ends in them, and folders and names have
//! to be words of a command: they are quoted. Invariant as for SFTP: a file goes to a name of ours
//! beside its place, and then takes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};

use super::line::{Line, Running, SshFault, quoted};
use super::sftp::Stop;
use super::stage::{Each, Job, temporary};
use super::{join, split};
use crate::format::cksum::Cksum;
use crate::model::path::escaped;

/// Bytes of one line of the other side.
const LINE_BYTES_MAX: u64 = 4 << 10;
/// Bytes read here at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Makes the folders and copies the files; a fault of one file is in its place. `Ok` has the bytes
/// and their `cksum`.
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
) -> Result<Each<(u64, u32)>, SshFault> {
    make_folders(line, folders)?;
    let mut done: Each<(u64, u32)> = jobs.iter().map(|_| Err("not copied".to_owned())).collect();
    let mut by_folder: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        by_folder.entry(split(&job.target).0).or_default().push(at);
    }
    for (folder, numbers) in by_folder {
        let mut sink = Sink::open(line, folder)?;
        for at in numbers {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(SshFault::Stopped);
            }
            done[at] = open(at)
                .map_err(|error| format!("cannot be read: {error}"))
                .and_then(|file| sink.send(&jobs[at], tag, file).map_err(|e| e.to_string()));
        }
        sink.close();
    }
    let staged: Vec<usize> = (0..jobs.len()).filter(|&at| done[at].is_ok()).collect();
    let moved = move_all(line, &staged.iter().map(|&at| &jobs[at]).collect::<Vec<_>>(), tag)?;
    for (at, is_moved) in staged.into_iter().zip(moved) {
        if !is_moved {
            done[at] = Err("cannot be put in its place".to_owned());
        }
    }
    Ok(done)
}

fn make_folders(line: &Line, folders: &[Vec<u8>]) -> Result<(), SshFault> {
    for few in folders.chunks(100) {
        let mut command = b"mkdir -p --".to_vec();
        for folder in few {
            command.push(b' ');
            command.extend(quoted(folder));
        }
        let mut running = line.start_quoted(&command)?;
        drop(running.child.stdin.take());
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
        script.extend([b"mv -f -- ", from.as_slice(), b" ", &to, b" </dev/null && echo "].concat());
        script.extend_from_slice(format!("moved-{at}\n").as_bytes());
    }
    let mut running = line.start_command("sh -s")?;
    let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
    let mut said = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&script)));
        stdout.map(|stdout| stdout.take(1 << 24).read_to_end(&mut said))
    });
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
        let mut sink = Sink { running, stdin, stdout };
        match sink.answer() {
            Ok(()) => Ok(sink),
            Err(error) if error.kind() == io::ErrorKind::Other => {
                Err(SshFault::Refused { path: folder.to_vec(), what: error.to_string() })
            }
            Err(_) => Err(sink.running.fault()),
        }
    }

    fn send(&mut self, job: &Job, tag: &str, mut file: File) -> io::Result<(u64, u32)> {
        let temporary = temporary(&job.target, tag);
        let (_, name) = split(&temporary);
        let before = file.metadata()?;
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
            let read = file.read(chunk.get_mut(..most).unwrap_or_default())?;
            // So many bytes were promised: what is missing is filled up, and the file is no good.
            is_whole &= read > 0;
            let bytes = if read == 0 { most } else { read };
            let piece = chunk.get(..bytes).unwrap_or_default();
            cksum.update(piece);
            self.write(piece)?;
            left -= bytes as u64;
        }
        self.say(b"\0")?;
        let after = file.metadata()?;
        let is_same = after.modified()? == before.modified()? && after.len() == before.len();
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
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Reads one answer: a zero, or a line that says what is wrong.
    fn answer(&mut self) -> io::Result<()> {
        let Some(stdout) = &mut self.stdout else { return Err(io::ErrorKind::BrokenPipe.into()) };
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

/// Returns the name of a file below a folder, for a host whose folders were not looked at.
pub fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let folder = match folder {
        b"~" => b"",
        folder => folder.strip_prefix(b"~/").unwrap_or(folder),
    };
    join(folder, name)
}
