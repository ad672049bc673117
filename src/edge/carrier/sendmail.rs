//! Mail through the sendmail program of this machine: Postfix, Exim, msmtp and all that answer to
//! that name.
//!
//! It is started by us, with arguments and never a shell, so that its exit status is known: lettre
//! does not tell it. Invariants: half a message is never taken for a whole one; a mailer that says
//! much, says nothing, hangs or leaves early does not stop us.

use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::Carrier;
use super::cargo::open_cargo;
use super::failure::{Failure, SMALLER, one_line};
use crate::edge::program::wait;
use crate::format::mail::post::Post;
use crate::format::mail::{self, Letter};

/// How long a mailer may do nothing: take no byte, or not end after the last. One that delivers
/// over a slow link while we wait (msmtp) has RFC 5321's ten minutes to wait itself, several times.
pub const MAILER_SILENCE: Duration = Duration::from_secs(3_600);
/// Where a mailer is looked for, the last along the search path.
const SENDMAIL_PATHS: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "sendmail"];
/// Bytes kept of what a mailer says.
const SAID_BYTES_MAX: u64 = 4 << 10;
/// How long a mailer's words are waited for when it has ended: what it started may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Gives each message to the mail system of this machine.
#[derive(Clone, Debug)]
pub struct SendmailCarrier {
    /// The program; where there is none, the usual places are tried.
    pub program: Option<PathBuf>,
    /// How long it may do nothing; [`MAILER_SILENCE`] unless a test is in a hurry.
    pub silence: Duration,
}

impl SendmailCarrier {
    /// Returns a carrier for `program`, or for the mailer in the usual places.
    pub fn new(program: Option<PathBuf>) -> SendmailCarrier {
        SendmailCarrier { program, silence: MAILER_SILENCE }
    }

    /// Returns the program that is run.
    ///
    /// # Errors
    /// There is none, or it cannot be run.
    pub fn find(&self) -> Result<PathBuf, Failure> {
        let usual = SENDMAIL_PATHS.map(PathBuf::from);
        let programs = self.program.as_ref().map_or(&usual[..], std::slice::from_ref);
        let found = programs.iter().flat_map(|program| along_path(program));
        let mut unfit = None;
        for program in found {
            match fs::metadata(&program) {
                Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                    return Ok(program);
                }
                Ok(_) => unfit = Some(program),
                Err(_) => {}
            }
        }
        let what = match (unfit, programs.first()) {
            (Some(program), _) => format!("{}: no program that can be run", program.display()),
            (None, first) => {
                let name = first.map_or_else(String::new, |path| path.display().to_string());
                format!("{name}: there is no such mailer")
            }
        };
        Err(Failure::later(what).hinted(
            "install a mail system (postfix, exim4) or a mailer (msmtp-mta), or set \"transport\" \
             under [mail] in the settings: see remsync(5)",
        ))
    }
}

impl Carrier for SendmailCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let unfit = |error: io::Error| Failure::never(error.to_string());
        let (source, length) = open_cargo(letter, package)?;
        // Whatever no header can hold is found before there is somebody to send half a mail.
        let size = mail::size_bytes(letter, length, signature).map_err(unfit)?;
        let from = mail::envelope_address(&letter.from).map_err(unfit)?;
        let to = mail::envelope_address(&letter.to).map_err(unfit)?;
        self.run(&from, &to, size, |out| {
            mail::write(letter, &mut BufReader::new(source), signature, out).map(drop)
        })
    }

    fn post(&mut self, post: &Post, message: Vec<u8>) -> Result<u64, Failure> {
        let unfit = |error: io::Error| Failure::never(error.to_string());
        let from = mail::envelope_address(&post.from).map_err(unfit)?;
        let to = mail::envelope_address(&post.to).map_err(unfit)?;
        self.run(&from, &to, message.len() as u64, |out| out.write_all(&message))
    }
}

impl SendmailCarrier {
    /// Runs the mailer on a message that `write` writes, of `size` bytes.
    fn run(
        &self,
        from: &str,
        to: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let program = self.find()?;
        let mut run = Run::start(&program, &["-i", "-f", from, "--", to], self.silence)?;
        let written = run.feed(|out| {
            // Programs of this name take the lines that files have here, and make CRLF of them.
            let mut out = BufWriter::with_capacity(64 << 10, Lf { out, bytes: 0 });
            write(&mut out)?;
            out.flush()?;
            Ok(out.get_ref().bytes)
        });
        run.conclude(written, size)
    }
}

/// A mailer that runs.
struct Run<'a> {
    program: &'a Path,
    child: Child,
    said: Said,
    silence: Duration,
}

impl Run<'_> {
    fn start<'a>(
        program: &'a Path,
        arguments: &[&str],
        silence: Duration,
    ) -> Result<Run<'a>, Failure> {
        let trouble = |error: io::Error| Failure::of_file(program, &error);
        let (said, says) = io::pipe().map_err(trouble)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(says.try_clone().map_err(trouble)?)
            .stderr(says);
        let child = command.spawn().map_err(trouble)?;
        // With the command goes our end of its output; or the reader would never see the last.
        drop(command);
        Ok(Run { program, child, said: Said::listen(said), silence })
    }

    /// Writes the message. If that fails the mailer is ended before its input ends: half a message
    /// must not be taken for a whole one.
    fn feed(&mut self, write: impl FnOnce(&mut Feed) -> io::Result<u64>) -> io::Result<u64> {
        let Some(stdin) = self.child.stdin.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        fcntl_setfl(&stdin, fcntl_getfl(&stdin)? | OFlags::NONBLOCK)?;
        let mut feed = Feed { stdin, silence: self.silence, hangs: false };
        let written = write(&mut feed);
        if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            self.child.kill()?;
        }
        written
    }

    /// Returns what the mailer's end means for the mail of `size` bytes.
    fn conclude(mut self, written: io::Result<u64>, size: u64) -> Result<u64, Failure> {
        let program = self.program.display();
        let hung = || {
            let minutes = self.silence.as_secs().div_ceil(60);
            let what = format!("{program}: it hangs: it did nothing for {minutes} min");
            Failure::later(what).hinted("it was ended; run it by hand to see what it waits for")
        };
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            let _ = self.child.wait();
            return Err(hung());
        }
        let status = match wait(&mut self.child, self.silence) {
            Ok(Some(status)) => status,
            Ok(None) => return Err(hung()),
            Err(error) => return Err(Failure::of_file(self.program, &error)),
        };
        match (status.code(), written) {
            (Some(0), Ok(bytes)) => Ok(bytes),
            // It said yes to a message whose end it never saw.
            (Some(0), Err(error)) => {
                let what = format!("{program}: it ended before it had read the mail: {error}");
                Err(Failure::later(what))
            }
            (None, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::later(format!("the package: {error}")))
            }
            _ => Err(refusal(status, &self.said.words(), size)),
        }
    }
}

/// Returns what an exit status other than 0 means, with the mailer's words.
fn refusal(status: ExitStatus, words: &str, size: u64) -> Failure {
    let meaning = Meaning::of(status);
    let what = match words {
        "" => format!("sendmail: it ended with {}", meaning.name),
        words => format!("sendmail: {words}"),
    };
    if is_too_big(words) {
        let limit = Some(size.saturating_sub(1));
        return Failure::never(what).with_status(meaning.name).hinted(SMALLER).with_limit(limit);
    }
    let failure = if meaning.later { Failure::later(what) } else { Failure::never(what) };
    failure.with_status(meaning.name).hinted(meaning.hint)
}

/// Whether a mailer's words say that the mail is over a limit of size.
fn is_too_big(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["5.3.4", "message file too big", "message size exceeds", "message too large"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// What an exit status says, sysexits.h.
struct Meaning {
    name: String,
    later: bool,
    hint: &'static str,
}

impl Meaning {
    /// Later is what says something of this machine or of the way out, and nothing of the mail:
    /// msmtp without a network ends with `EX_NOHOST`, with a wrong password with `EX_NOPERM`.
    fn of(status: ExitStatus) -> Meaning {
        let Some(code) = status.code() else {
            let name = format!("signal {}", status.signal().unwrap_or_default());
            return Meaning { name, later: true, hint: "" };
        };
        let (name, later, hint) = match code {
            64 => ("EX_USAGE", false, "it does not know \"-i -f FROM -- TO\": is it a sendmail?"),
            65 => ("EX_DATAERR", false, ""),
            66 => ("EX_NOINPUT", false, ""),
            67 => ("EX_NOUSER", false, "is the site's address right? \"remsync list remote\""),
            68 => ("EX_NOHOST", true, "is the network there, and the host's name right?"),
            69 => ("EX_UNAVAILABLE", false, ""),
            70 => ("EX_SOFTWARE", false, ""),
            71 => ("EX_OSERR", true, ""),
            72 => ("EX_OSFILE", false, ""),
            73 => ("EX_CANTCREAT", true, ""),
            74 => ("EX_IOERR", true, ""),
            75 => ("EX_TEMPFAIL", true, ""),
            76 => ("EX_PROTOCOL", false, ""),
            77 => ("EX_NOPERM", true, "the mailer was refused: look at its user and password"),
            78 => ("EX_CONFIG", true, "the mailer's own settings are wrong"),
            _ => return Meaning { name: format!("exit status {code}"), later: false, hint: "" },
        };
        Meaning { name: format!("{name} ({code})"), later, hint }
    }
}

/// A mailer's standard input, which may not block for longer than the silence that is allowed.
struct Feed {
    stdin: ChildStdin,
    silence: Duration,
    /// It was waited for once; whoever flushes on the way out does not wait again.
    hangs: bool,
}

impl Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while !self.hangs {
            match self.stdin.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let timeout = Timespec::try_from(self.silence).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&self.stdin, PollFlags::OUT)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => self.hangs = true,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the carriage returns out: our text has them at the ends of lines only.
struct Lf<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Lf<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let plain: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
        self.out.write_all(&plain)?;
        self.bytes += plain.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What a mailer says while it runs: all of it is read, so that it never waits for us, and the
/// beginning kept.
struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Said {
    fn listen(mut from: io::PipeReader) -> Said {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = channel();
        let kept = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 10];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (SAID_BYTES_MAX as usize).saturating_sub(kept.len());
                kept.extend(buffer.iter().take(n.min(room)));
            }
            // Nobody listens any more where the mailer was not waited for.
            let _ = end.send(());
        });
        Said { bytes, ended }
    }

    fn words(&self) -> String {
        let _ = self.ended.recv_timeout(LAST_WORDS);
        one_line(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns where a program may be: a bare name in every folder of the search path.
fn along_path(program: &Path) -> Vec<PathBuf> {
    if program.components().count() > 1 {
        return vec![program.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::super::failure::Lasts;
    use super::super::testing::{letter, place};
    use super::*;

    /// Makes a mailer of a few lines of shell.
    fn mailer(path: &Path, script: &str) {
        // Written under another name: a program that is open for writing cannot be run.
        let new = path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, path).unwrap();
    }

    fn carrier(program: PathBuf) -> SendmailCarrier {
        SendmailCarrier { program: Some(program), silence: Duration::from_secs(20) }
    }

    #[test]
    fn every_exit_status_is_understood() {
        use Lasts::{Later, Never};
        let (dir, package) = place();
        let program = dir.path().join("sendmail");
        for (code, name, lasts) in [
            (1, "exit status 1", Never),
            (64, "EX_USAGE (64)", Never),
            (65, "EX_DATAERR (65)", Never),
            (66, "EX_NOINPUT (66)", Never),
            (67, "EX_NOUSER (67)", Never),
            (68, "EX_NOHOST (68)", Later),
            (69, "EX_UNAVAILABLE (69)", Never),
            (70, "EX_SOFTWARE (70)", Never),
            (71, "EX_OSERR (71)", Later),
            (72, "EX_OSFILE (72)", Never),
            (73, "EX_CANTCREAT (73)", Later),
            (74, "EX_IOERR (74)", Later),
            (75, "EX_TEMPFAIL (75)", Later),
            (76, "EX_PROTOCOL (76)", Never),
            (77, "EX_NOPERM (77)", Later),
            (78, "EX_CONFIG (78)", Later),
            (127, "exit status 127", Never),
        ] {
            mailer(&program, &format!("cat >/dev/null; exit {code}"));
            let failure = carrier(program.clone()).send(&letter("bo@b"), &package, None);
            let failure = failure.unwrap_err();
            assert_eq!((failure.status.as_str(), failure.lasts), (name, lasts), "{failure:?}");
            assert!(
                failure.what.ends_with(&format!("sendmail: it ended with {name}")),
                "{failure}"
            );
            assert_eq!(failure.limit_bytes, None);
        }
        mailer(&program, "cat >/dev/null; kill -9 $$");
        let failure = carrier(program).send(&letter("bo@b"), &package, None).unwrap_err();
        assert_eq!((failure.status.as_str(), failure.lasts), ("signal 9", Later));
    }

    #[test]
    fn a_mailer_s_words_are_the_reason() {
        let (dir, package) = place();
        let program = dir.path().join("sendmail");
        for (script, words) in [
            ("cat >/dev/null; echo no such user >&2; exit 67", "no such user"),
            ("cat >/dev/null; echo out; echo err >&2; exit 65", "out; err"),
            // It leaves before it has read anything, and what it says is not lost for that.
            ("exec <&-; printf 'a\\033[2Jb\\n' >&2; exit 69", "a\\x1b[2Jb"),
            // What it started holds its output; nobody waits for that.
            ("cat >/dev/null; echo gone >&2; sleep 30 & exit 65", "gone"),
        ] {
            mailer(&program, script);
            let began = Instant::now();
            let failure = carrier(program.clone()).send(&letter("bo@b"), &package, None);
            let failure = failure.unwrap_err();
            assert!(failure.what.ends_with(&format!("sendmail: {words}")), "{script}: {failure}");
            assert_eq!(failure.lasts, Lasts::Never, "{failure:?}");
            assert!(began.elapsed() < Duration::from_secs(15), "{script}");
        }
        mailer(&program, "cat >/dev/null; yes 0123456789 | head -c 9000000 >&2; exit 65");
        let failure = carrier(program).send(&letter("bo@b"), &package, None).unwrap_err();
        assert!(failure.what.len() < 1_000 && failure.what.ends_with('…'), "{failure}");
    }

    #[test]
    fn a_big_mail_meets_a_mailer_that_leaves_or_hangs() {
        let (dir, package) = place();
        fs::write(&package, vec![7; 4 << 20]).unwrap();
        let program = dir.path().join("sendmail");
        mailer(&program, "head -c 10 >/dev/null; echo mailbox unknown >&2; exit 67");
        let failure = carrier(program.clone()).send(&letter("bo@b"), &package, None).unwrap_err();
        assert!(failure.what.ends_with("sendmail: mailbox unknown"), "{failure}");
        mailer(&program, "exit 0");
        let failure = carrier(program.clone()).send(&letter("bo@b"), &package, None).unwrap_err();
        assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
        assert!(failure.what.contains("before it had read the mail"), "{failure}");
        for script in ["exec sleep 60", "cat >/dev/null; exec sleep 60"] {
            mailer(&program, script);
            let silence = Duration::from_millis(300);
            let mut carrier = SendmailCarrier { program: Some(program.clone()), silence };
            let began = Instant::now();
            let failure = carrier.send(&letter("bo@b"), &package, None).unwrap_err();
            assert!(failure.what.contains("it hangs"), "{script}: {failure}");
            assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "{script}");
        }
    }

    #[test]
    fn a_mail_that_is_too_big_tells_the_limit() {
        let (dir, package) = place();
        let program = dir.path().join("sendmail");
        mailer(&program, "cat >/dev/null; echo 'fatal: ana(1000): message file too big'; exit 75");
        let failure = carrier(program).send(&letter("bo@b"), &package, None).unwrap_err();
        let size = mail::size_bytes(&letter("bo@b"), 11, None).unwrap();
        assert_eq!((failure.lasts, failure.limit_bytes), (Lasts::Never, Some(size - 1)));
    }

    #[test]
    fn the_text_is_a_file_of_this_machine_and_nothing_is_a_shell_s() {
        let (dir, package) = place();
        let program = dir.path().join("sendmail");
        mailer(&program, "printf '%s|' \"$@\" > \"$0.args\"; cat > \"$0.mail\"");
        let to = "a,b;$(id)&*@b.example";
        let bytes = carrier(program).send(&letter(to), &package, Some(b"SIG")).unwrap();
        let args = fs::read_to_string(dir.path().join("sendmail.args")).unwrap();
        assert_eq!(args, "-i|-f|ana@ship.example|--|\"a,b;$(id)&*\"@b.example|");
        let text = fs::read_to_string(dir.path().join("sendmail.mail")).unwrap();
        assert_eq!(text.len() as u64, bytes);
        let mut expected = Vec::new();
        mail::write(&letter(to), &mut &b"the package"[..], Some(b"SIG"), &mut expected).unwrap();
        assert_eq!(text, String::from_utf8(expected).unwrap().replace("\r\n", "\n"));
    }

    #[test]
    fn half_a_message_is_never_sent() {
        let (dir, _) = place();
        let program = dir.path().join("sendmail");
        mailer(&program, "cat >/dev/null && echo sent > \"$0.done\"");
        let failure = carrier(program).send(&letter("bo@b"), dir.path(), None).unwrap_err();
        assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
        assert!(!dir.path().join("sendmail.done").exists());
    }

    #[test]
    fn a_mailer_that_is_not_there_is_said() {
        let (dir, package) = place();
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        for (program, words) in [
            (dir.path().join("nobody"), "no such mailer"),
            (plain, "no program that can be run"),
            (dir.path().to_owned(), "no program that can be run"),
        ] {
            let failure = carrier(program).send(&letter("bo@b"), &package, None).unwrap_err();
            assert!(failure.what.contains(words), "{failure}");
            assert_eq!(failure.lasts, Lasts::Later);
            assert!(failure.hint.contains("transport"), "{failure:?}");
        }
    }
}
