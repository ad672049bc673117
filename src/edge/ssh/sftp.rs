//! SFTP with many requests on their way at once.
//!
//! Not what is asked: only that every request gets its answer. Invariant: a thread of its own reads
//! the answers, so that neither side waits for the other to read; and it ends a host that owes
//! answers and says nothing.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::format::sftp::{
    Attributes, Code, Greeting, Reply, Request, SftpFault, Status, VERSION, packet_bytes,
    parse_greeting, parse_limits, parse_reply, push_hello,
};

use super::line::{Line, Running, SshFault};

/// Bytes that a write has at least: every server takes them.
const WRITE_BYTES: u64 = 32 << 10;
/// Bytes that a write has at most.
const WRITE_BYTES_MAX: u64 = 255 << 10;
/// Bytes that wait for a system call.
const OUT_BYTES: usize = 64 << 10;
/// Bytes of the pipes to and from ssh.
const PIPE_BYTES: usize = 1 << 20;
/// Seconds for which a host that owes an answer may be silent.
const SILENCE_SECONDS: u64 = 120;
/// Seconds for the first word: ssh itself gives up before.
const GREETING_SECONDS: u64 = 180;

/// Told from outside that work has to end.
pub type Stop = Arc<AtomicBool>;

/// An open session.
pub struct Sftp {
    running: Running,
    stdin: Option<ChildStdin>,
    replies: Receiver<Result<Vec<u8>, SftpFault>>,
    /// Packets that came together, and how far they are read.
    inbox: (Vec<u8>, usize),
    owed: Arc<AtomicU64>,
    is_silent: Arc<AtomicBool>,
    stop: Stop,
    next: u32,
    out: Vec<u8>,
    greeting: Greeting,
    write_bytes: usize,
    read_bytes: u32,
}

impl Sftp {
    /// Opens a session with the host at the other end of `line`; work on it ends when `stop` is set.
    ///
    /// # Errors
    /// The host is not reached, does not let us in, or speaks no SFTP.
    pub fn open(line: &Line, stop: &Stop) -> Result<Sftp, SshFault> {
        let mut running = line.start_sftp()?;
        let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
        let (tell, replies) = channel();
        let owed = Arc::new(AtomicU64::new(1));
        let is_silent = Arc::new(AtomicBool::new(false));
        if let Some(stdout) = stdout {
            let pid = rustix::process::Pid::from_child(&running.child);
            let reader = Reader {
                stdout,
                tell,
                owed: Arc::clone(&owed),
                is_silent: Arc::clone(&is_silent),
                pid,
            };
            std::thread::spawn(move || reader.run());
        }
        if let Some(stdin) = &stdin {
            // Fewer turns between the processes; where it is not allowed, more.
            let _ = rustix::pipe::fcntl_setpipe_size(stdin, PIPE_BYTES);
        }
        let mut sftp = Sftp {
            running,
            stdin,
            replies,
            inbox: (Vec::new(), 0),
            owed,
            is_silent,
            stop: Arc::clone(stop),
            next: 0,
            out: Vec::new(),
            greeting: Greeting::default(),
            write_bytes: WRITE_BYTES as usize,
            read_bytes: WRITE_BYTES as u32,
        };
        push_hello(&mut sftp.out);
        sftp.greeting = sftp.packet(parse_greeting)?;
        if sftp.greeting.version < VERSION {
            return Err(SshFault::NoSftp(format!("only version {}", sftp.greeting.version)));
        }
        sftp.ask_limits()?;
        Ok(sftp)
    }

    /// Returns what the server can.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Returns how many bytes one write may have.
    pub fn write_bytes(&self) -> usize {
        self.write_bytes
    }

    /// Returns how many bytes one read may ask for.
    pub fn read_bytes(&self) -> u32 {
        self.read_bytes
    }

    /// Whether work has to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does work that goes on to its end, though we are told to stop meanwhile.
    pub fn undisturbed<T>(&mut self, work: impl FnOnce(&mut Sftp) -> T) -> T {
        let stop = self.ignore_stop();
        let done = work(self);
        self.heed(stop);
        done
    }

    /// Goes on though we are told to stop, until [`Sftp::heed`] is given what this returns.
    pub fn ignore_stop(&mut self) -> Stop {
        std::mem::take(&mut self.stop)
    }

    /// Ends work when `stop` is set.
    pub fn heed(&mut self, stop: Stop) {
        self.stop = stop;
    }

    /// Returns what tells that work has to end.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Sends a request, at the latest when an answer is waited for; returns its number.
    ///
    /// # Errors
    /// The connection ended.
    pub fn send(&mut self, request: &Request<'_>) -> Result<u32, SshFault> {
        self.next = self.next.wrapping_add(1);
        request.push(self.next, &mut self.out);
        self.owed.fetch_add(1, Ordering::Relaxed);
        if self.out.len() >= OUT_BYTES {
            self.flush()?;
        }
        Ok(self.next)
    }

    /// Returns the next answer, whichever request it is for.
    ///
    /// # Errors
    /// The connection ended, or what came is no answer.
    pub fn receive(&mut self) -> Result<(u32, Reply), SshFault> {
        self.packet(parse_reply)
    }

    /// Sends one request and returns its answer. No other may be on its way.
    ///
    /// # Errors
    /// The connection ended.
    pub fn ask(&mut self, request: &Request<'_>) -> Result<Reply, SshFault> {
        let id = self.send(request)?;
        loop {
            let (answered, reply) = self.receive()?;
            if answered == id {
                return Ok(reply);
            }
        }
    }

    /// Sends many requests and returns their answers, in the order of the requests.
    ///
    /// # Errors
    /// The connection ended.
    pub fn ask_all<'r>(
        &mut self,
        requests: impl ExactSizeIterator<Item = Request<'r>>,
    ) -> Result<Vec<Reply>, SshFault> {
        const WINDOW: usize = 1_024;
        let count = requests.len();
        let first = self.next.wrapping_add(1);
        let mut replies: Vec<Option<Reply>> = vec![None; count];
        let mut missing = 0;
        let mut take = |sftp: &mut Sftp| -> Result<(), SshFault> {
            let (id, reply) = sftp.receive()?;
            let at = id.wrapping_sub(first) as usize;
            if let Some(place) = replies.get_mut(at) {
                *place = Some(reply);
            }
            Ok(())
        };
        for request in requests {
            if missing >= WINDOW {
                take(self)?;
                missing -= 1;
            }
            self.send(&request)?;
            missing += 1;
        }
        for _ in 0..missing {
            take(self)?;
        }
        let none = || Reply::Status(Status { code: Code::Failed, words: "no answer".to_owned() });
        Ok(replies.into_iter().map(|reply| reply.unwrap_or_else(none)).collect())
    }

    /// Sends what waits to be sent.
    ///
    /// # Errors
    /// The connection ended.
    pub fn flush(&mut self) -> Result<(), SshFault> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        if stdin.write_all(&self.out).is_err() {
            return Err(self.ended());
        }
        self.out.clear();
        Ok(())
    }

    /// Reads the next packet.
    fn packet<T>(
        &mut self,
        parse: impl FnOnce(&[u8]) -> Result<T, SftpFault>,
    ) -> Result<T, SshFault> {
        if self.inbox.1 >= self.inbox.0.len() {
            self.inbox = (self.packets()?, 0);
        }
        let (packets, at) = &mut self.inbox;
        let rest = packets.get(*at..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().ok_or(SftpFault::Short)?;
        let bytes = packet_bytes(*length)?;
        *at += 4 + bytes;
        Ok(parse(rest.get(..bytes).ok_or(SftpFault::Short)?)?)
    }

    /// Returns the packets that came, at least one.
    fn packets(&mut self) -> Result<Vec<u8>, SshFault> {
        match self.replies.try_recv() {
            Ok(packets) => return Ok(packets?),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(self.ended()),
        }
        self.flush()?;
        loop {
            match self.replies.recv_timeout(Duration::from_millis(200)) {
                Ok(packets) => return Ok(packets?),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                // The work that is on its way is given its time; a host that is silent is not.
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn ended(&mut self) -> SshFault {
        if self.is_silent.load(Ordering::Relaxed) {
            return SshFault::Silent(SILENCE_SECONDS);
        }
        self.running.fault()
    }

    /// Asks how much one request may carry.
    fn ask_limits(&mut self) -> Result<(), SshFault> {
        if !self.greeting.tells_limits {
            return Ok(());
        }
        if let Reply::Extended(answer) = self.ask(&Request::Limits)? {
            let (write, read) = parse_limits(&answer)?;
            let bound = |bytes: u64| bytes.clamp(WRITE_BYTES, WRITE_BYTES_MAX);
            self.write_bytes = usize::try_from(bound(write)).unwrap_or(self.write_bytes);
            self.read_bytes = u32::try_from(bound(read)).unwrap_or(self.read_bytes);
        }
        Ok(())
    }
}

/// Reads answers until there are no more.
struct Reader {
    stdout: ChildStdout,
    tell: Sender<Result<Vec<u8>, SftpFault>>,
    owed: Arc<AtomicU64>,
    is_silent: Arc<AtomicBool>,
    pid: rustix::process::Pid,
}

impl Reader {
    fn run(mut self) {
        let mut pending = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        let mut last = Instant::now();
        let mut silence_seconds = GREETING_SECONDS;
        loop {
            if !self.is_ready() {
                if self.owed.load(Ordering::Relaxed) == 0 {
                    last = Instant::now();
                } else if last.elapsed().as_secs() > silence_seconds {
                    self.is_silent.store(true, Ordering::Relaxed);
                    let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
                    return;
                }
                continue;
            }
            let Ok(bytes @ 1..) = self.stdout.read(&mut buffer) else { return };
            last = Instant::now();
            silence_seconds = SILENCE_SECONDS;
            pending.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
            if !self.hand_on(&mut pending) {
                return;
            }
        }
    }

    fn is_ready(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.stdout.as_fd(), PollFlags::IN)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        !matches!(poll(&mut fds, Some(&second)), Ok(0) | Err(_))
    }

    /// Hands on the packets that are whole; whether anybody wants more.
    fn hand_on(&self, pending: &mut Vec<u8>) -> bool {
        let (mut at, mut count) = (0, 0);
        while let Some(length) = pending.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let bytes = match packet_bytes(*length) {
                Ok(bytes) => bytes,
                Err(fault) => {
                    let _ = self.tell.send(Err(fault));
                    return false;
                }
            };
            if pending.len() < at + 4 + bytes {
                break;
            }
            at += 4 + bytes;
            count += 1;
        }
        if at == 0 {
            return true;
        }
        let owed = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(count));
        // Else what nobody asked for would fill the memory.
        if owed.is_err() {
            let _ = self.tell.send(Err(SftpFault::Unasked));
            return false;
        }
        let rest = pending.split_off(at);
        self.tell.send(Ok(std::mem::replace(pending, rest))).is_ok()
    }
}

/// Returns the attributes that an answer holds; `None` is no such name.
///
/// # Errors
/// What the server says instead.
pub(super) fn attributes(path: &[u8], reply: Reply) -> Result<Option<Attributes>, SshFault> {
    match reply {
        Reply::Attributes(attributes) => Ok(Some(attributes)),
        Reply::Status(Status { code: Code::NotThere, .. }) => Ok(None),
        reply => Err(refused(path, &reply)),
    }
}

/// Returns the fault of an answer that is not the one hoped for.
pub(super) fn refused(path: &[u8], reply: &Reply) -> SshFault {
    SshFault::Refused { path: path.to_vec(), what: said(reply) }
}

/// What is said of an answer that says nothing.
pub(super) const REFUSED: &str = "the host refuses";

/// Returns what an answer says, in words.
pub(super) fn said(reply: &Reply) -> String {
    match reply {
        Reply::Status(status) => {
            let words = crate::model::path::escaped(status.words.as_bytes());
            match status.code {
                Code::NotThere => "there is no such file or folder".to_owned(),
                Code::Denied => "it is not permitted there".to_owned(),
                _ if words.is_empty() || words == "Failure" => REFUSED.to_owned(),
                _ => words,
            }
        }
        _ => "the host gave another answer than was asked for".to_owned(),
    }
}
