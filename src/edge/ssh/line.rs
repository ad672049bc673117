//! The line to one host: how ssh is run for it, and what its troubles mean.
//!
//! Invariant: host and user are never taken for options, no forwarding is set up, and no question
//! is put to a terminal.

use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::edge::secret;
use crate::format::settings::{Secret, Settings};
use crate::format::sftp::SftpFault;
use crate::model::Host;
use crate::model::path::escaped;

use super::askpass::{Askpass, SOCKET};
use super::sftp::Stop;

/// Seconds for a connection to come about.
const CONNECT_SECONDS: u32 = 20;
/// Bytes of a Unix socket's name, with what ssh appends to it for a moment.
const SOCKET_NAME_BYTES_MAX: usize = 80;
/// Bytes of what ssh says that are kept: its last words say why it ended.
const WORDS_BYTES_MAX: usize = 8 << 10;
/// How long the last words of ssh are waited for: what it left running may hold its output open.
const WORDS_PATIENCE: Duration = Duration::from_millis(500);

/// How long a command on a host may print nothing: sums of large files on slow disks take their time.
const COMMAND_SILENCE_SECONDS: u64 = 3_600;
/// Bytes that a script of ours prints at most.
const SCRIPT_ANSWER_BYTES_MAX: u64 = 16 << 20;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What holds for all hosts.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// `ssh -F`.
    pub config: Option<PathBuf>,
    /// Whether a host that nobody knows is entered into `known_hosts`, as OpenSSH's `accept-new`.
    pub accept_new: bool,
}

/// How one host is reached. The connection that is made first is shared by those after it.
pub struct Line {
    host: Host,
    terms: Terms,
    folder: Folder,
    askpass: Option<Askpass>,
    is_shared: bool,
}

/// Why a host was not reached, or no longer is.
#[derive(Debug, thiserror::Error)]
pub enum SshFault {
    /// The program is not there, or cannot be run.
    #[error("cannot run ssh: {0}")]
    Start(io::Error),
    /// Something on this machine was refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody answers there, or the name is nobody's.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// Nobody knows its key.
    #[error("its host key is not known: {0}")]
    UnknownKey(String),
    /// It has another key than it should.
    #[error("its host key is not the one that is known: {0}")]
    ChangedKey(String),
    /// Its key was revoked.
    #[error("its host key was revoked: {0}")]
    RevokedKey(String),
    /// Neither key nor password was taken.
    #[error("not let in: {0}")]
    Denied(String),
    /// It offers no SFTP.
    #[error("it offers no SFTP: {0}")]
    NoSftp(String),
    /// The password that is set for it cannot be had.
    #[error("its password cannot be had: {0}")]
    NoPassword(String),
    /// The line went dead.
    #[error("the connection ended: {0}")]
    Ended(String),
    /// It says nothing any more.
    #[error("no answer within {0} s")]
    Silent(u64),
    /// It sends what is no SFTP.
    #[error(transparent)]
    Sftp(#[from] SftpFault),
    /// It says no to something.
    #[error("{}: {what}", escaped(path))]
    Refused {
        /// What it was about, there.
        path: Vec<u8>,
        /// What it says.
        what: String,
    },
    /// A bound was passed.
    #[error("{0}")]
    Bound(String),
    /// We were told to stop.
    #[error("stopped before it was done")]
    Stopped,
}

impl SshFault {
    /// Returns what to do about it with `host`; empty where there is no advice.
    pub fn hint(&self, host: &Host) -> String {
        let name = host.name();
        let user_at = host.user().map_or_else(|| name.to_owned(), |user| format!("{user}@{name}"));
        // Keys of other ports than the usual one stand under such a name.
        let known =
            host.port().map_or_else(|| name.to_owned(), |port| format!("'[{name}]:{port}'"));
        let advice = self.advice().replace("USER@HOST", &user_at).replace("KNOWN", &known);
        match host.port() {
            Some(port) => advice.replace("ssh -o", &format!("ssh -p {port} -o")),
            None => advice,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            SshFault::Start(_) => "install OpenSSH's client; Debian calls it openssh-client",
            SshFault::UnknownKey(_) => {
                "connect once with ssh and compare its key, or --accept-new if you trust the \
                 network now"
            }
            SshFault::ChangedKey(_) => {
                "somebody may be in between; if the key was changed on purpose: ssh-keygen -R KNOWN"
            }
            SshFault::RevokedKey(_) => {
                "whoever has that key may be anybody; the host needs another one, and known_hosts \
                 has to know it"
            }
            SshFault::Denied(_) => {
                "\"ssh -o BatchMode=yes USER@HOST true\" has to work; ssh-copy-id puts a key there"
            }
            SshFault::NoPassword(_) => "it is set below [[host]] in the settings; see remsync(5)",
            SshFault::NoSftp(_) => "its sshd_config needs a line \"Subsystem sftp internal-sftp\"",
            _ => "",
        }
    }

    /// Makes a fault of what ssh said last.
    fn of_words(words: &str) -> SshFault {
        let line = last_words(words);
        let has = |part: &str| words.contains(part);
        if has("REVOKED HOST KEY") {
            SshFault::RevokedKey(line)
        } else if has("IDENTIFICATION HAS CHANGED") {
            SshFault::ChangedKey(line)
        } else if has("Host key verification failed") || has("host key is known for") {
            SshFault::UnknownKey(line)
        } else if has("Permission denied") || has("Too many authentication failures") {
            SshFault::Denied(line)
        } else if has("subsystem request failed") {
            SshFault::NoSftp(line)
        } else if ["Could not resolve", "ssh: connect to host", "Connection timed out"]
            .iter()
            .any(|part| has(part))
            || (has("Connection closed by") || has("kex_exchange_identification"))
        {
            SshFault::Unreachable(line)
        } else {
            SshFault::Ended(line)
        }
    }
}

impl Line {
    /// Prepares the line to `host`; nobody is asked yet. Without a password keys have to do.
    ///
    /// # Errors
    /// ssh cannot be run, or there is no place for sockets.
    pub fn new(host: &Host, password: Option<&Secret>, terms: &Terms) -> Result<Line, SshFault> {
        let folder = Folder::create()?;
        let mut line = Line {
            host: host.clone(),
            terms: terms.clone(),
            folder,
            askpass: None,
            is_shared: false,
        };
        let known = line.configuration()?;
        line.is_shared = !known.lines().any(|line| {
            line.strip_prefix("controlpath ").is_some_and(|path| path.trim() != "none")
        });
        if let Some(password) = password {
            let socket = line.folder.0.join("a");
            let names = names_asked_for(&known, host);
            let askpass = Askpass::listen(socket.clone(), names, password.clone());
            let askpass = askpass.map_err(|source| SshFault::Io { path: socket, source })?;
            line.askpass = Some(askpass);
        }
        Ok(line)
    }

    /// Prepares the line to a site: with the password that the settings have for it, or by keys.
    ///
    /// # Errors
    /// As [`Line::new`], and the password cannot be had.
    pub fn to_site(host: &Host, settings: &Settings, terms: &Terms) -> Result<Line, SshFault> {
        let set = settings.hosts.iter().find(|set| set.host == *host);
        let from_file = set.and_then(|set| set.password_file.as_deref()).map(secret::from_file);
        let from_command =
            || set.and_then(|set| set.password_command.as_deref()).map(secret::from_command);
        let password = from_file.or_else(from_command).transpose();
        let password = password.map_err(|error| SshFault::NoPassword(error.to_string()))?;
        Line::new(host, password.as_ref(), terms)
    }

    /// Returns the host at the other end.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts SFTP.
    pub(super) fn start_sftp(&self) -> Result<Running, SshFault> {
        let mut command = self.ssh();
        command.arg("-s").arg("--").arg(self.host.name()).arg("sftp");
        Running::start(command)
    }

    /// Starts a command there: one of our own, in which nothing stands that came from outside.
    pub(super) fn start_command(&self, words: &'static str) -> Result<Running, SshFault> {
        let mut command = self.ssh();
        command.arg("--").arg(self.host.name()).arg(words);
        Running::start(command)
    }

    /// Starts a command there that names something, quoted by [`quoted`].
    pub(super) fn start_quoted(&self, words: &[u8]) -> Result<Running, SshFault> {
        use std::os::unix::ffi::OsStrExt;
        let mut command = self.ssh();
        command.arg("--").arg(self.host.name()).arg(std::ffi::OsStr::from_bytes(words));
        Running::start(command)
    }

    /// Has a shell there carry out a script that names things, each quoted by [`quoted`]; returns what
    /// it prints.
    pub(super) fn run_script(&self, script: &[u8]) -> Result<Vec<u8>, SshFault> {
        let mut running = self.start_command("sh -s")?;
        running.answer(&[script], b"", SCRIPT_ANSWER_BYTES_MAX, &Stop::default())
    }

    /// Asks ssh what its own settings say of this host.
    fn configuration(&self) -> Result<String, SshFault> {
        let mut command = self.addressed();
        command.arg("-G").arg("--").arg(self.host.name()).stdin(Stdio::null());
        let said = command.output().map_err(SshFault::Start)?;
        if !said.status.success() {
            return Err(SshFault::of_words(&String::from_utf8_lossy(&said.stderr)));
        }
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    fn addressed(&self) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.terms.config {
            command.arg("-F").arg(config);
        }
        if let Some(user) = self.host.user() {
            command.arg("-l").arg(user);
        }
        if let Some(port) = self.host.port() {
            command.arg("-p").arg(port.to_string());
        }
        command
    }

    fn ssh(&self) -> Command {
        let mut command = self.addressed();
        let mut set = |option: String| {
            command.arg("-o").arg(option);
        };
        set(format!("ConnectTimeout={CONNECT_SECONDS}"));
        for option in [
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RequestTTY=no",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
        ] {
            set(option.to_owned());
        }
        if self.terms.accept_new {
            set("StrictHostKeyChecking=accept-new".to_owned());
        }
        if self.is_shared {
            set("ControlMaster=auto".to_owned());
            set("ControlPersist=no".to_owned());
            set(format!("ControlPath={}", self.folder.0.join("c").display()));
        }
        match &self.askpass {
            None => set("BatchMode=yes".to_owned()),
            Some(_) => {
                set("NumberOfPasswordPrompts=1".to_owned());
                set("PreferredAuthentications=password,keyboard-interactive".to_owned());
            }
        }
        // Without a socket nothing is answered: a jump host on the way, which none of the options here
        // is for, asks nobody at the terminal either.
        let socket = self.askpass.as_ref().map_or(Path::new(""), Askpass::socket);
        let program = std::env::current_exe().unwrap_or_else(|_| "remsync".into());
        command.env("SSH_ASKPASS", program).env("SSH_ASKPASS_REQUIRE", "force").env(SOCKET, socket);
        // What is typed at our terminal, Ctrl-C included, is for us: ssh goes when we let it go.
        command.process_group(0);
        command
    }
}

/// A running ssh.
pub(super) struct Running {
    /// The process; its input and output are taken by whoever speaks with it.
    pub child: Child,
    words: Receiver<Vec<u8>>,
}

impl Running {
    /// Writes pieces to its standard input, `end` behind each, and returns what it prints, `most`
    /// bytes of it at most.
    ///
    /// # Errors
    /// `stop` was set, or it prints nothing for [`COMMAND_SILENCE_SECONDS`]; it is ended then.
    pub fn answer(
        &mut self,
        pieces: &[&[u8]],
        end: &[u8],
        most: u64,
        stop: &Stop,
    ) -> Result<Vec<u8>, SshFault> {
        let (stdin, stdout) = (self.child.stdin.take(), self.child.stdout.take());
        let mut answer = Vec::new();
        let read = std::thread::scope(|scope| {
            scope.spawn(move || {
                let Some(mut stdin) = stdin.map(|stdin| BufWriter::with_capacity(1 << 16, stdin))
                else {
                    return;
                };
                for piece in pieces {
                    // A host that does not want to read the names says nothing of them either.
                    if stdin.write_all(piece).and_then(|()| stdin.write_all(end)).is_err() {
                        return;
                    }
                }
            });
            let read = stdout.map_or(Ok(()), |out| read_bounded(out, &mut answer, most, stop));
            if read.is_err() {
                // Then nobody waits for it to take the names either.
                let _ = self.child.kill();
            }
            read
        });
        read.map(|()| answer)
    }

    fn start(mut command: Command) -> Result<Running, SshFault> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(SshFault::Start)?;
        let (tell, words) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || listen(stderr, &tell));
        }
        Ok(Running { child, words })
    }

    /// Ends it, and returns why it had ended before, as far as it said.
    pub fn fault(&mut self) -> SshFault {
        // Its output is closed: it is about to say why.
        let mut words = Vec::new();
        let deadline = std::time::Instant::now() + WORDS_PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.words.recv_timeout(left) {
                Ok(more) => words.extend(more),
                Err(_) => break,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let excess = words.len().saturating_sub(WORDS_BYTES_MAX);
        words.drain(..excess);
        SshFault::of_words(&String::from_utf8_lossy(&words))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something can be read or written, or nobody can there any more.
///
/// # Errors
/// `stop` was set, or nothing happens for so many seconds.
pub(super) fn wait_for(
    end: &impl AsFd,
    flags: PollFlags,
    seconds: u64,
    stop: &Stop,
) -> Result<(), SshFault> {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let began = std::time::Instant::now();
    loop {
        let mut ends = [PollFd::new(end, flags)];
        if !matches!(poll(&mut ends, Some(&TICK)), Ok(0) | Err(_)) {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            return Err(SshFault::Stopped);
        }
        if began.elapsed().as_secs() >= seconds {
            return Err(SshFault::Silent(seconds));
        }
    }
}

fn read_bounded(
    mut stdout: ChildStdout,
    answer: &mut Vec<u8>,
    most: u64,
    stop: &Stop,
) -> Result<(), SshFault> {
    let mut chunk = vec![0; 64 << 10];
    while (answer.len() as u64) < most {
        wait_for(&stdout, PollFlags::IN, COMMAND_SILENCE_SECONDS, stop)?;
        // What cannot be read is the end.
        let bytes = stdout.read(&mut chunk).unwrap_or(0);
        if bytes == 0 {
            return Ok(());
        }
        answer.extend_from_slice(chunk.get(..bytes).unwrap_or_default());
    }
    Ok(())
}

/// Hands on what ssh says, in pieces, as long as anybody wants it.
fn listen(mut stderr: ChildStderr, tell: &std::sync::mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    let mut told = 0_usize;
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => {
                told = told.saturating_add(bytes);
                // A host that talks without end is not listened to without end.
                let is_heard = told < (1 << 20);
                let piece = buffer.get(..bytes).unwrap_or_default().to_vec();
                if is_heard && tell.send(piece).is_err() {
                    return;
                }
            }
        }
    }
}

/// Returns a name as one word for a POSIX shell, and for most others.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in name {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(byte),
        }
    }
    out.push(b'\'');
    out
}

/// Returns the line of what ssh said that says most: the last one that is no advice.
fn last_words(words: &str) -> String {
    let is_said = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && !line.starts_with("debug")
            && !line.starts_with('@')
            && !line.starts_with("mux_client")
            && !line.starts_with("Connection closed")
    };
    let line = words.lines().rev().find(is_said);
    let line = line.or_else(|| words.lines().rev().find(|line| !line.trim().is_empty()));
    line.map_or_else(
        || "ssh did not say why".to_owned(),
        |line| escaped(line.trim().trim_end_matches('.').as_bytes()),
    )
}

/// Returns how OpenSSH names user and host where it asks for a password, cut as it cuts them.
fn names_asked_for(configuration: &str, host: &Host) -> Vec<String> {
    let value = |key: &str| {
        let lines = configuration.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        values.next().map(str::trim)
    };
    let user = value("user").or(host.user()).unwrap_or_default();
    let hosts = [Some(host.name()), value("hostname")];
    let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let mut names: Vec<String> = Vec::new();
    for host in hosts.into_iter().flatten() {
        // For a password it cuts what is long, for other questions it does not.
        names.push(format!("{}@{}", cut(user, 30), cut(host, 128)));
        names.push(format!("{user}@{host}"));
    }
    names
}

/// A folder of our own for sockets, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Folder, SshFault> {
        use std::os::unix::fs::DirBuilderExt;
        let top = std::env::temp_dir();
        let is_short = |path: &Path| path.as_os_str().len() + 40 < SOCKET_NAME_BYTES_MAX;
        let top = if is_short(&top) { top } else { PathBuf::from("/tmp") };
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = top.join(format!("remsync-{}-{count}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count < 10_000 => {}
                Err(source) => return Err(SshFault::Io { path, source }),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_has_a_meaning() {
        let table = [
            ("ssh: Could not resolve hostname x: Name or service not known\r\n", "not reached"),
            ("ssh: connect to host 10.0.0.9 port 22: Connection refused\n", "not reached"),
            ("a@h: Permission denied (publickey,password).\n", "not let in"),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\r\n\
                 Host key verification failed.\r\n",
                "its host key is not known",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "its host key is not the one",
            ),
            (
                "@ WARNING: REVOKED HOST KEY DETECTED! @\nHost key verification failed.",
                "its host key was revoked",
            ),
            ("subsystem request failed on channel 0\n", "it offers no SFTP"),
            ("client_loop: send disconnect: Broken pipe\n", "the connection ended"),
            ("", "ssh did not say why"),
            ("a\x1b[2Jb\n", "a\\x1b[2Jb"),
        ];
        for (words, meaning) in table {
            let fault = SshFault::of_words(words).to_string();
            assert!(fault.contains(meaning), "{words}: {fault}");
        }
    }

    #[test]
    fn advice_names_the_host() {
        let fault = |words: &str| SshFault::of_words(words);
        let (changed, denied) =
            (fault("IDENTIFICATION HAS CHANGED"), fault("Permission denied (publickey)."));
        for (user, port, at, known) in [
            (None, None, "true\" has", "ssh-keygen -R h"),
            (Some("ana"), Some(2222), "\"ssh -p 2222 -o BatchMode=yes ana@h true\"", "'[h]:2222'"),
        ] {
            let host = Host::new(user, "h", port).unwrap();
            assert!(changed.hint(&host).ends_with(known), "{}", changed.hint(&host));
            assert!(denied.hint(&host).contains(at), "{}", denied.hint(&host));
        }
    }

    #[test]
    fn names_are_one_word_for_a_shell() {
        let name = b"a 'b' $(c) `d` \\ \"e\"\n*";
        let script = [b"printf %s ", quoted(name).as_slice()].concat();
        let said = Command::new("sh")
            .arg("-c")
            .arg(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(script))
            .output()
            .unwrap();
        assert_eq!(said.stdout, name);
    }

    #[test]
    fn a_password_is_for_the_host_as_ssh_names_it() {
        let host = Host::new(Some("ana"), "alias", None).unwrap();
        let names = names_asked_for("user ana\nhostname 10.0.0.7\nport 22\n", &host);
        assert!(names.contains(&"ana@10.0.0.7".to_owned()), "{names:?}");
        assert!(names.contains(&"ana@alias".to_owned()), "{names:?}");
    }
}
