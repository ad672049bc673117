//! What takes a package to a site.
//!
//! A carrier does not know what a package says. Invariant: what it answers `Ok` for is durably in
//! other hands (a maildir, a folder, a mail system's queue); until then beliefs must not change.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::format::mail::{self, Letter};
use crate::model::Address;

/// sysexits.h, `EX_TEMPFAIL`: try again later.
const EX_TEMPFAIL: i32 = 75;
/// Where a mailer is looked for beside the search path.
const SENDMAIL_PATHS: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "sendmail"];
/// Bytes kept of what a mailer says.
const SAID_BYTES_MAX: u64 = 4 << 10;
/// How many names are tried where others are taken.
const NAMES_MAX: u32 = 1_000;

/// Takes packages to sites.
pub trait Carrier {
    /// Hands over one package, and its signature if there is one; returns the bytes handed over.
    ///
    /// # Errors
    /// A [`Failure`]: nothing was handed over, or it is not known to have been.
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure>;
}

/// Why a carrier did not accept a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// Whether it is worth trying again.
    pub lasts: Lasts,
    /// The reason as the world codes it: an enhanced status (`5.3.4`, RFC 3463), else the three
    /// digits of SMTP (`552`), else a name of sysexits.h (`EX_NOUSER (67)`), else empty.
    pub status: String,
    /// The words of the other side, escaped, in one line.
    pub what: String,
    /// The largest mail that the other side takes, in bytes, where it said so.
    pub limit_bytes: Option<u64>,
}

/// How long a failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// The same may be accepted later.
    Later,
    /// The same will never be accepted.
    Never,
}

/// Puts each message into `DIR/ADDRESS/new/`: no mail system needed.
#[derive(Clone, Debug)]
pub struct MaildirCarrier {
    /// The folder above the maildirs.
    pub dir: PathBuf,
}

/// Puts each package as a file into a folder: a USB stick.
#[derive(Clone, Debug)]
pub struct FolderCarrier {
    /// The folder.
    pub dir: PathBuf,
}

/// Gives each message to the mail system of this machine.
#[derive(Clone, Debug, Default)]
pub struct SendmailCarrier {
    /// The program; where there is none, the usual places are tried.
    pub program: Option<PathBuf>,
}

/// Answers every package with the same failure.
#[derive(Clone, Debug)]
struct NoCarrier(Failure);

/// How mail leaves, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `maildir:DIR`.
    Maildir(PathBuf),
    /// `sendmail`, `sendmail:PATH`.
    Sendmail(Option<PathBuf>),
    /// `smtp://…`, `smtps://…`.
    Smtp(SmtpUrl),
}

/// Where an SMTP server is, and perhaps the password for it: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl(String);

/// Why some text names no transport.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// A word that we do not know.
    #[error(
        "the transport {0:?} is unknown; it is one of sendmail, sendmail:PATH, maildir:DIR, \
         smtp://HOST and smtps://HOST"
    )]
    Unknown(String),
    /// Nothing, or no absolute path, where a path belongs.
    #[error("the transport {0} needs an absolute path after its colon")]
    NoPath(&'static str),
    /// No host in an SMTP URL.
    #[error("the transport {0} needs a host")]
    NoHost(&'static str),
}

/// Reads a transport as settings and `REMSYNC_TRANSPORT` spell it.
///
/// # Errors
/// What is wrong with `text`; a password in it is not repeated.
pub fn parse_transport(text: &str) -> Result<Transport, TransportFault> {
    let text = text.trim();
    let path = |kind, path: &str| match PathBuf::from(path) {
        path if path.is_absolute() => Ok(path),
        _ => Err(TransportFault::NoPath(kind)),
    };
    if text == "sendmail" {
        return Ok(Transport::Sendmail(None));
    }
    if let Some(program) = text.strip_prefix("sendmail:") {
        return Ok(Transport::Sendmail(Some(path("sendmail:", program)?)));
    }
    if let Some(dir) = text.strip_prefix("maildir:") {
        return Ok(Transport::Maildir(path("maildir:", dir)?));
    }
    for scheme in ["smtp://", "smtps://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            let url = SmtpUrl(text.to_owned());
            let has_host = !url.host().is_empty() && !rest.contains(char::is_whitespace);
            return if has_host { Ok(Transport::Smtp(url)) } else { Err(no_host(scheme)) };
        }
    }
    let word: String = text.chars().take_while(|c| *c != ':').take(40).collect();
    Err(TransportFault::Unknown(word))
}

/// Returns the carrier of a transport.
pub fn open(transport: &Transport) -> Box<dyn Carrier> {
    match transport {
        Transport::Maildir(dir) => Box::new(MaildirCarrier { dir: dir.clone() }),
        Transport::Sendmail(program) => Box::new(SendmailCarrier { program: program.clone() }),
        Transport::Smtp(url) => Box::new(NoCarrier(Failure::never(format!(
            "{}: mail over SMTP is not there yet; sendmail and maildir:DIR are",
            url.host()
        )))),
    }
}

impl Failure {
    /// Returns a failure that may pass, and has no code.
    pub fn later(what: impl Into<String>) -> Failure {
        let (status, what) = (String::new(), what.into());
        Failure { lasts: Lasts::Later, status, what, limit_bytes: None }
    }

    /// Returns a failure that lasts, and has no code.
    pub fn never(what: impl Into<String>) -> Failure {
        Failure { lasts: Lasts::Never, ..Failure::later(what) }
    }

    /// Adds the code.
    pub fn with_status(mut self, status: impl Into<String>) -> Failure {
        self.status = status.into();
        self
    }
}

impl Carrier for MaildirCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let maildir = self.dir.join(file_name(&letter.to)?);
        for folder in ["tmp", "new", "cur"] {
            create_folder(&maildir.join(folder))?;
        }
        let name = unique_name();
        let source = open_file(package)?;
        let make = |to: &mut File| write_message(letter, &source, signature, to);
        put(&maildir.join("tmp").join(&name), &maildir.join("new").join(&name), make)
    }
}

impl Carrier for FolderCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        let address = file_name(&letter.to)?;
        let source = open_file(package)?;
        for attempt in 0..NAMES_MAX {
            let attempt = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let stem = format!("{address}.{}{attempt}.remsync.tar.gz", letter.serial);
            let path = self.dir.join(&stem);
            let signature_path = self.dir.join(format!("{stem}.sig"));
            if is_there(&path)? || is_there(&signature_path)? {
                continue;
            }
            // The signature is there first, so that whoever sees the package finds it.
            if let Some(signature) = signature {
                let make = |to: &mut File| io::copy(&mut &*signature, to);
                put(&self.temporary(), &signature_path, make)?;
            }
            return put(&self.temporary(), &path, |to| io::copy(&mut &source, to));
        }
        Err(Failure::never(format!(
            "{}: over {NAMES_MAX} packages for {address} have the same number",
            self.dir.display()
        )))
    }
}

impl FolderCarrier {
    fn temporary(&self) -> PathBuf {
        self.dir.join(format!(".remsync.{}.tmp", unique_name()))
    }
}

impl Carrier for SendmailCarrier {
    fn send(
        &mut self,
        letter: &Letter,
        package: &Path,
        signature: Option<&[u8]>,
    ) -> Result<u64, Failure> {
        // Whatever no header can hold is found before there is somebody to send half a mail.
        mail::size_bytes(letter, 0, signature).map_err(|e| Failure::never(e.to_string()))?;
        let source = open_file(package)?;
        let mut child = self.spawn(letter)?;
        let said = child.stderr.take().map(first_line_of);
        let written = feed(&mut child, |to| write_message(letter, &source, signature, to));
        let status = child.wait().map_err(|error| Failure::later(format!("sendmail: {error}")))?;
        let said = said.and_then(|said| said.join().ok()).filter(|line| !line.is_empty());
        let said = format!("sendmail: {}", said.unwrap_or_else(|| status.to_string()));
        match (status.code(), written) {
            (Some(0), Ok(bytes)) => Ok(bytes),
            // It said yes to a message whose end it never saw.
            (Some(0), Err(error)) => Err(Failure::later(format!("sendmail: {error}"))),
            (Some(EX_TEMPFAIL), _) => Err(Failure::later(said).with_status("EX_TEMPFAIL (75)")),
            (None, _) => Err(Failure::later(said)),
            (Some(code), _) => Err(Failure::never(said).with_status(sysexit(code))),
        }
    }
}

impl SendmailCarrier {
    fn spawn(&self, letter: &Letter) -> Result<Child, Failure> {
        let usual = SENDMAIL_PATHS.map(PathBuf::from);
        let programs = self.program.as_ref().map_or(&usual[..], std::slice::from_ref);
        for program in programs {
            let child = Command::new(program)
                .args(["-i", "-f", letter.from.as_str(), "--", letter.to.as_str()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn();
            match child {
                Ok(child) => return Ok(child),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(later(program, &error)),
            }
        }
        let name = programs.first().map_or_else(String::new, |path| path.display().to_string());
        Err(Failure::later(format!("{name}: there is no such mailer")))
    }
}

impl Carrier for NoCarrier {
    fn send(&mut self, _: &Letter, _: &Path, _: Option<&[u8]>) -> Result<u64, Failure> {
        Err(self.0.clone())
    }
}

impl SmtpUrl {
    /// Returns the host, and the port if one is named; nothing secret.
    pub fn host(&self) -> &str {
        let after_scheme = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// Returns the URL with whatever secret it holds.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpUrl({})", self.host())
    }
}

/// Returns an exit status by its name in sysexits.h.
fn sysexit(code: i32) -> String {
    const NAMES: [&str; 15] = [
        "EX_USAGE",
        "EX_DATAERR",
        "EX_NOINPUT",
        "EX_NOUSER",
        "EX_NOHOST",
        "EX_UNAVAILABLE",
        "EX_SOFTWARE",
        "EX_OSERR",
        "EX_OSFILE",
        "EX_CANTCREAT",
        "EX_IOERR",
        "EX_TEMPFAIL",
        "EX_PROTOCOL",
        "EX_NOPERM",
        "EX_CONFIG",
    ];
    let name = usize::try_from(code - 64).ok().and_then(|at| NAMES.get(at));
    name.map_or_else(|| format!("exit status {code}"), |name| format!("{name} ({code})"))
}

/// Writes to a mailer. If that fails the mailer is ended before its input ends: half a message
/// must not be taken for a whole one.
fn feed(
    child: &mut Child,
    write: impl FnOnce(&mut dyn Write) -> io::Result<u64>,
) -> io::Result<u64> {
    let Some(mut to) = child.stdin.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
    let written = write(&mut to);
    if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        child.kill()?;
    }
    written
}

/// Reads all that a mailer says, so that it never waits for us, and keeps the first line.
fn first_line_of(mut stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = (&mut stderr).take(SAID_BYTES_MAX).read_to_end(&mut said);
        let _ = io::copy(&mut stderr, &mut io::sink());
        let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default();
        crate::model::path::escaped(line)
    })
}

fn no_host(scheme: &str) -> TransportFault {
    TransportFault::NoHost(if scheme == "smtp://" { "smtp://" } else { "smtps://" })
}

/// Writes a whole message, in pieces of a size that pipes and disks like.
fn write_message(
    letter: &Letter,
    package: &File,
    signature: Option<&[u8]>,
    to: &mut dyn Write,
) -> io::Result<u64> {
    let mut to = BufWriter::with_capacity(64 << 10, to);
    let bytes = mail::write(letter, &mut BufReader::new(package), signature, &mut to)?;
    to.flush()?;
    Ok(bytes)
}

/// An address as a name in a folder: the type lets no slash through, and this no `.` or `..`.
fn file_name(address: &Address) -> Result<&str, Failure> {
    match address.as_str() {
        "." | ".." => Err(Failure::never(format!("{address} is no address"))),
        name => Ok(name),
    }
}

/// Makes the file `path` durably: whole, or not at all, and never over another.
fn put(
    temporary: &Path,
    path: &Path,
    make: impl FnOnce(&mut File) -> io::Result<u64>,
) -> Result<u64, Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .map_err(|error| later(temporary, &error))?;
    let made = make(&mut file).and_then(|bytes| file.sync_all().map(|()| bytes));
    let outcome = made
        .map_err(|error| later(temporary, &error))
        .and_then(|bytes| publish(temporary, path).map(|()| bytes).map_err(|e| later(path, &e)));
    if outcome.is_err() {
        // What is left behind is only a name in tmp; the first trouble is the one to tell.
        let _ = fs::remove_file(temporary);
    }
    let bytes = outcome?;
    let folder = path.parent().unwrap_or(Path::new("."));
    sync_folder(folder).map_err(|error| later(folder, &error))?;
    Ok(bytes)
}

fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems of USB sticks do not know how; names there are ours alone.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match is_there_io(path)? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(temporary, path),
        },
        Err(errno) => Err(errno.into()),
    }
}

fn create_folder(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| path.ancestors().skip(1).take(3).try_for_each(sync_folder))
        .map_err(|error| later(path, &error))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn open_file(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| later(path, &error))
}

fn is_there(path: &Path) -> Result<bool, Failure> {
    is_there_io(path).map_err(|error| later(path, &error))
}

/// Whether the name is taken, be it by a link to nowhere.
fn is_there_io(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn later(path: &Path, error: &io::Error) -> Failure {
    let what = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => Failure::never(what),
        _ => Failure::later(what),
    }
}

/// A name that nobody has had: time, process, count.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (s, us, pid) = (now.as_secs(), now.subsec_micros(), std::process::id());
    format!("{s}.M{us}P{pid}Q{count}.remsync")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn letter(to: &str) -> Letter {
        let from = Address::new("ana@ship.example").unwrap();
        Letter {
            message_id: mail::message_id(&[7; 32], 1_790_000_000, &from),
            from,
            to: Address::new(to).unwrap(),
            title: "notes".into(),
            serial: 42,
            visit: 0,
            files: 1,
            date: "2026-11-22T10:00:00+01:00[+01:00]".parse().unwrap(),
            sha256: [7; 32],
            unattended: false,
        }
    }

    /// A folder with a package in it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        fs::write(&package, b"the package").unwrap();
        (dir, package)
    }

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Makes a mailer of a few lines of shell.
    fn mailer(path: &Path, script: &str) {
        // Written under another name: a program that is open for writing cannot be run.
        let new = path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, path).unwrap();
    }

    #[test]
    fn a_maildir_gets_whole_messages_in_new() {
        let (dir, package) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        let bytes = carrier.send(&letter("bo@shore.example"), &package, None).unwrap();
        carrier.send(&letter("bo@shore.example"), &package, None).unwrap();
        let maildir = dir.path().join("mail/bo@shore.example");
        assert_eq!(names(&maildir), ["cur", "new", "tmp"]);
        assert_eq!(names(&maildir.join("tmp")), [""; 0]);
        let new = names(&maildir.join("new"));
        assert_eq!(new.len(), 2);
        let message = fs::read(maildir.join("new").join(&new[0])).unwrap();
        assert_eq!(message.len() as u64, bytes);
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains("dGhlIHBhY2thZ2U=\r\n"), "{text}");
    }

    #[test]
    fn no_address_leads_out_of_the_maildirs() {
        let (dir, package) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        for to in [".", ".."] {
            let answer = carrier.send(&letter(to), &package, None);
            assert!(matches!(answer, Err(Failure { lasts: Lasts::Never, .. })), "{to}: {answer:?}");
        }
        assert_eq!(names(dir.path()), ["package"]);
        let long = carrier.send(&letter(&"a".repeat(300)), &package, None);
        assert!(matches!(long, Err(Failure { lasts: Lasts::Never, .. })), "{long:?}");
    }

    #[test]
    fn a_package_that_cannot_be_read_leaves_nothing() {
        let (dir, _) = place();
        let mut carrier = MaildirCarrier { dir: dir.path().join("mail") };
        let answer = carrier.send(&letter("bo@b"), dir.path(), None);
        assert!(matches!(answer, Err(Failure { lasts: Lasts::Later, .. })), "{answer:?}");
        assert_eq!(names(&dir.path().join("mail/bo@b/tmp")), [""; 0]);
        assert_eq!(names(&dir.path().join("mail/bo@b/new")), [""; 0]);
    }

    #[test]
    fn a_folder_gets_packages_and_never_loses_one() {
        let (dir, package) = place();
        let stick = dir.path().join("stick");
        fs::create_dir(&stick).unwrap();
        let mut carrier = FolderCarrier { dir: stick.clone() };
        fs::write(stick.join("bo@b.42.remsync.tar.gz"), b"another").unwrap();
        assert_eq!(carrier.send(&letter("bo@b"), &package, Some(b"SIG")), Ok(11));
        assert_eq!(
            names(&stick),
            ["bo@b.42-1.remsync.tar.gz", "bo@b.42-1.remsync.tar.gz.sig", "bo@b.42.remsync.tar.gz"]
        );
        assert_eq!(fs::read(stick.join("bo@b.42.remsync.tar.gz")).unwrap(), b"another");
        assert_eq!(fs::read(stick.join("bo@b.42-1.remsync.tar.gz")).unwrap(), b"the package");
        let mut gone = FolderCarrier { dir: dir.path().join("gone") };
        assert!(matches!(
            gone.send(&letter("bo@b"), &package, None),
            Err(Failure { lasts: Lasts::Later, .. })
        ));
    }

    #[test]
    fn a_mailer_s_answer_is_kept() {
        let (dir, package) = place();
        let program = dir.path().join("sendmail");
        for (script, expected) in [
            ("echo \"$@\" > \"$0.args\"; cat > \"$0.mail\"", None),
            (
                "cat >/dev/null; echo try again >&2; exit 75",
                Some("Later EX_TEMPFAIL (75): sendmail: try again"),
            ),
            (
                "echo no such user >&2; exit 67",
                Some("Never EX_NOUSER (67): sendmail: no such user"),
            ),
        ] {
            mailer(&program, script);
            let mut carrier = SendmailCarrier { program: Some(program.clone()) };
            let answer = carrier.send(&letter("bo@b"), &package, None);
            let shown = answer.clone().err().map(|failure| {
                let Failure { lasts, status, what, .. } = failure;
                format!("{lasts:?} {status}: {what}")
            });
            assert_eq!(shown.as_deref(), expected, "{script}");
            if let Ok(bytes) = answer {
                let args = fs::read_to_string(dir.path().join("sendmail.args")).unwrap();
                assert_eq!(args, "-i -f ana@ship.example -- bo@b\n");
                let mail = fs::metadata(dir.path().join("sendmail.mail")).unwrap();
                assert_eq!(mail.len(), bytes);
            }
        }
        let mut nobody = SendmailCarrier { program: Some(dir.path().join("nobody")) };
        assert!(matches!(
            nobody.send(&letter("bo@b"), &package, None),
            Err(Failure { lasts: Lasts::Later, .. })
        ));
    }

    #[test]
    fn half_a_message_is_never_sent() {
        let (dir, _) = place();
        let program = dir.path().join("sendmail");
        mailer(&program, "cat >/dev/null && echo sent > \"$0.done\"");
        let mut carrier = SendmailCarrier { program: Some(program) };
        let answer = carrier.send(&letter("bo@b"), dir.path(), None);
        assert!(matches!(answer, Err(Failure { lasts: Lasts::Later, .. })), "{answer:?}");
        assert!(!dir.path().join("sendmail.done").exists());
    }

    #[test]
    fn transports_are_read() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (text, expected) in [
            ("sendmail", Some(Transport::Sendmail(None))),
            ("sendmail:/x/y", Some(Transport::Sendmail(path("/x/y")))),
            ("maildir:/var/mail d", Some(Transport::Maildir("/var/mail d".into()))),
            ("smtp://h:25", Some(Transport::Smtp(SmtpUrl("smtp://h:25".into())))),
            ("smtps://u:p@h/?x", Some(Transport::Smtp(SmtpUrl("smtps://u:p@h/?x".into())))),
            ("", None),
            ("Sendmail", None),
            ("sendmail:", None),
            ("sendmail:x", None),
            ("maildir:", None),
            ("maildir:x", None),
            ("smtp://", None),
            ("smtp://u:p@", None),
            ("ftp://u:secret@h", None),
        ] {
            let answer = parse_transport(text);
            assert_eq!(answer.clone().ok(), expected, "{text}");
            assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
        }
        let smtp = parse_transport("smtps://u:secret@h:465").unwrap();
        assert_eq!(format!("{smtp:?}"), "Smtp(SmtpUrl(h:465))");
        let (_dir, package) = place();
        let answer = open(&smtp).send(&letter("bo@b"), &package, None);
        assert!(
            matches!(&answer, Err(why) if why.lasts == Lasts::Never && !why.what.contains("secret"))
        );
    }
}
