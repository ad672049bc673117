//! Where passwords and passphrases come from: a private file, a command, a variable, the terminal.
//!
//! Invariants: a secret is part of no error and passes through no shell; a file that holds one
//! belongs to this account (or to the administrator, who owns the machine) and nobody else may read
//! it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::program::wait;
use crate::format::settings::Secret;

/// Bytes of a secret; a token of OAuth2 fits.
const SECRET_BYTES_MAX: u64 = 16 << 10;
/// How long a command may take: it may ask a person for a passphrase.
const COMMAND_TIME: Duration = Duration::from_secs(180);
/// How long its output may stay open when it has ended.
const LAST_WORDS_TIME: Duration = Duration::from_secs(2);
/// What the terminal sends for an interruption: Control-C.
const INTERRUPT: u8 = 3;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Reading failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("{}: others may read this file, and a secret is in it", .0.display())]
    NotPrivate(PathBuf),
    /// The file is another account's.
    #[error("{}: this file with a secret belongs to another account", .0.display())]
    NotOurs(PathBuf),
    /// Nothing, too much, or no text.
    #[error("{0}: there is no password in its first line")]
    Shape(String),
    /// The program that prints it did not.
    #[error("{program}: {what}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// What is wrong.
        what: String,
    },
}

impl SecretError {
    /// Returns what to do; empty where that is said already.
    pub fn hint(&self) -> String {
        match self {
            SecretError::Io { .. } => "the file named has the secret in its first line".into(),
            SecretError::NotPrivate(path) => format!("chmod 600 {}", path.display()),
            SecretError::NotOurs(path) => {
                format!("make one of your own, or chown it: {}", path.display())
            }
            SecretError::Shape(_) => String::new(),
            SecretError::Command { .. } => {
                "run it by hand: it has to print the secret and to end with 0".into()
            }
        }
    }
}

/// Returns the first line of a private file.
///
/// # Errors
/// It cannot be read, or by others too.
pub fn from_file(path: &Path) -> Result<Secret, SecretError> {
    let at = |source| SecretError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(at)?;
    check_private(&file, path)?;
    first_line(file).map_err(at)?.ok_or_else(|| SecretError::Shape(path.display().to_string()))
}

/// Returns the first line that a program prints, its errors shown where ours are; its arguments are
/// a list, no shell is asked.
///
/// # Errors
/// It cannot be run, fails, takes too long, or prints nothing.
pub fn from_command(words: &[String]) -> Result<Secret, SecretError> {
    of_command(words, COMMAND_TIME)
}

/// Returns the value of a variable of the environment; `None` where it is not set or empty.
pub fn from_variable(name: &str) -> Option<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(Secret::from(value))
}

/// Asks at the terminal, and shows nothing of what is typed.
///
/// # Errors
/// There is no terminal, or nothing was typed.
pub fn from_terminal(question: &str) -> Result<Secret, SecretError> {
    let path = Path::new("/dev/tty");
    let at = |source| SecretError::Io { path: path.to_owned(), source };
    let mut terminal = OpenOptions::new().read(true).write(true).open(path).map_err(at)?;
    let before = tcgetattr(&terminal).map_err(|errno| at(errno.into()))?;
    let mut silent = before.clone();
    // Without signals: whoever interrupts is not left with a terminal that shows nothing.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ICANON);
    silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|errno| at(errno.into()))?;
    let asked = terminal.write_all(question.as_bytes()).and_then(|()| typed_line(&mut terminal));
    let ended = terminal.write_all(b"\n");
    tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(|errno| at(errno.into()))?;
    ended.map_err(at)?;
    asked.map_err(at)?.ok_or_else(|| SecretError::Shape("the terminal".to_owned()))
}

/// Holds that an open file is this account's (or root's), and that others cannot read it.
///
/// # Errors
/// They can.
pub fn check_private(file: &File, path: &Path) -> Result<(), SecretError> {
    let meta =
        file.metadata().map_err(|source| SecretError::Io { path: path.to_owned(), source })?;
    check_private_meta(&meta, path)
}

/// As [`check_private`], of what was asked of a file already.
///
/// # Errors
/// As [`check_private`].
pub fn check_private_meta(meta: &Metadata, path: &Path) -> Result<(), SecretError> {
    let ours = [0, rustix::process::geteuid().as_raw()];
    if meta.is_file() && !ours.contains(&meta.uid()) {
        Err(SecretError::NotOurs(path.to_owned()))
    } else if meta.is_file() && meta.mode() & 0o077 != 0 {
        Err(SecretError::NotPrivate(path.to_owned()))
    } else {
        Ok(())
    }
}

/// Reads one line as it is typed; `None` where it was interrupted, or is empty.
fn typed_line(terminal: &mut File) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize));
    let mut buffer = Zeroizing::new([0; 256]);
    loop {
        let count = terminal.read(&mut buffer[..])?;
        line.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match line.last() {
            Some(b'\n') | None => break,
            Some(&INTERRUPT) => return Ok(None),
            Some(_) if count == 0 || line.len() as u64 >= SECRET_BYTES_MAX => break,
            Some(_) => {}
        }
    }
    first_line(&line[..])
}

fn of_command(words: &[String], time: Duration) -> Result<Secret, SecretError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| SecretError::Shape("an empty command".to_owned()))?;
    let fault = |what: String| SecretError::Command { program: program.clone(), what };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| fault(error.to_string()))?;
    let (tell, told) = channel();
    if let Some(mut out) = child.stdout.take() {
        std::thread::spawn(move || {
            let line = first_line(&mut out);
            // What else a program prints is read, so that it does not fail for it.
            let _ = io::copy(&mut out, &mut io::sink());
            let _ = tell.send(line);
        });
    }
    match wait(&mut child, time).map_err(|error| fault(error.to_string()))? {
        None => return Err(fault(format!("no answer within {} s", time.as_secs()))),
        Some(status) if !status.success() => return Err(fault(format!("it ended with {status}"))),
        Some(_) => {}
    }
    let line = told.recv_timeout(LAST_WORDS_TIME);
    let line = line.map_err(|_| fault("it left its output open".into()))?;
    let line = line.map_err(|error| fault(error.to_string()))?;
    line.ok_or_else(|| SecretError::Shape(program.clone()))
}

/// A line that is too long is none; a control character cannot be typed, and would end a command of
/// SMTP.
fn first_line(from: impl Read) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    BufReader::new(from.take(SECRET_BYTES_MAX + 2)).read_until(b'\n', &mut line)?;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    let text = std::str::from_utf8(&line).ok();
    let is_one = |text: &&str| {
        let fits = text.len() as u64 <= SECRET_BYTES_MAX;
        fits && !text.is_empty() && !text.contains(char::is_control)
    };
    Ok(text.filter(is_one).map(Secret::from))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_private_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let bound = "x".repeat(SECRET_BYTES_MAX as usize);
        let (bound_line, past) = (format!("{bound}\n"), format!("{bound}x\n"));
        for (text, mode, expected) in [
            ("horse\nmore\n", 0o600, Some("horse")),
            ("horse\r\n", 0o400, Some("horse")),
            (" two words ", 0o600, Some(" two words ")),
            ("horse\n", 0o640, None),
            ("horse\n", 0o604, None),
            ("horse\n", 0o620, None),
            ("\nhorse", 0o600, None),
            ("ho\x01rse\n", 0o600, None),
            ("", 0o600, None),
            (&bound, 0o600, Some(bound.as_str())),
            (&bound_line, 0o600, Some(bound.as_str())),
            (&past, 0o600, None),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let secret = from_file(&path);
            let said = secret.as_ref().err().map(|error| format!("{error} {error:?}"));
            let hint = secret.as_ref().err().map(SecretError::hint).unwrap_or_default();
            assert_eq!(hint.starts_with("chmod 600 "), mode & 0o077 != 0, "{mode:o} {hint}");
            assert_eq!(secret.ok().as_ref().map(Secret::expose), expected, "{mode:o}");
            assert!(!said.unwrap_or_default().contains("horse"), "{mode:o}");
        }
    }

    #[test]
    fn a_command_prints_one_line() {
        for (command, time_ms, expected) in [
            (&["printf", "horse\\nmore"][..], 5_000, Ok("horse")),
            (&["echo", "$HOME"], 5_000, Ok("$HOME")),
            (&["sh", "-c", "echo horse; seq 100000"], 5_000, Ok("horse")),
            (&["true"], 5_000, Err("no password")),
            (&["sh", "-c", "echo horse; exit 3"], 5_000, Err("exit status: 3")),
            (&["sh", "-c", "exec sleep 30"], 100, Err("no answer")),
            (&["/nowhere/x"], 5_000, Err("No such file")),
            (&[], 5_000, Err("an empty command")),
        ] {
            let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let secret = of_command(&words, Duration::from_millis(time_ms));
            match (&secret, expected) {
                (Ok(secret), Ok(expected)) => assert_eq!(secret.expose(), expected),
                (Err(error), Err(what)) => {
                    assert!(error.to_string().contains(what), "{command:?}: {error}");
                    assert!(!format!("{error} {error:?}").contains("horse"), "{error:?}");
                }
                _ => panic!("{command:?}: {:?}", secret.err()),
            }
        }
    }
}
