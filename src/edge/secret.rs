//! Secrets: passphrases from a private file, a command, a variable or the terminal.
//!
//! A secret has no `Debug` and no `Display`, is wiped when it is dropped, and never passes through
//! a shell. Invariant: a file that holds one belongs to this account and nobody else may read it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Bytes of a secret; nobody types more.
const SECRET_BYTES_MAX: u64 = 4_096;
/// What the terminal sends for an interruption: Control-C.
const INTERRUPT: u8 = 3;

/// What must not be shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

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
    /// Others may read it.
    #[error("{}: others may read it; \"chmod 600\" makes it private", .0.display())]
    NotPrivate(PathBuf),
    /// It belongs to somebody else.
    #[error("{}: it belongs to another account", .0.display())]
    NotOurs(PathBuf),
    /// Nothing, too much, or no text.
    #[error("{0}: its first line is no secret")]
    Shape(String),
    /// The command that prints it did not.
    #[error("{command}: {why}")]
    Command {
        /// The program.
        command: String,
        /// How it ended.
        why: String,
    },
}

impl Secret {
    /// Takes a secret from memory.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
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

/// Returns the first line that a program prints; its arguments are a list, no shell is asked.
///
/// # Errors
/// It cannot be run, fails, or prints nothing.
pub fn from_command(words: &[String]) -> Result<Secret, SecretError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| SecretError::Shape("an empty command".to_owned()))?;
    let fault = |why: String| SecretError::Command { command: program.clone(), why };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| fault(error.to_string()))?;
    let secret = match child.stdout.take() {
        Some(out) => first_line(out).map_err(|error| fault(error.to_string())),
        None => Ok(None),
    };
    let status = child.wait().map_err(|error| fault(error.to_string()))?;
    if !status.success() {
        return Err(fault(format!("it ended with {status}")));
    }
    secret?.ok_or_else(|| SecretError::Shape(program.clone()))
}

/// Returns the value of a variable of the environment; `None` where it is not set or empty.
pub fn from_variable(name: &str) -> Option<Secret> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(Secret::new(value))
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

fn first_line(from: impl Read) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    let mut from = BufReader::new(from.take(SECRET_BYTES_MAX));
    from.read_until(b'\n', &mut line)?;
    // What else a program prints is read, so that it does not fail for it.
    io::copy(&mut from.into_inner().into_inner(), &mut io::sink())?;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    let text = std::str::from_utf8(&line).ok().filter(|text| !text.is_empty());
    Ok(text.map(|text| Secret::new(text.to_owned())))
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
        for (text, mode, expected) in [
            ("horse\nmore\n", 0o600, Some("horse")),
            ("horse\r\n", 0o400, Some("horse")),
            (" two words ", 0o600, Some(" two words ")),
            ("horse\n", 0o640, None),
            ("horse\n", 0o604, None),
            ("\nhorse", 0o600, None),
            ("", 0o600, None),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let secret = from_file(&path);
            let error = secret.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert_eq!(secret.ok().as_ref().map(Secret::expose), expected, "{text:?} {mode:o}");
            assert!(!error.contains("horse"), "{error}");
        }
    }

    #[test]
    fn a_command_prints_one_line() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (command, expected) in [
            (&["printf", "horse\\nmore"][..], Some("horse")),
            (&["echo", "$HOME"], Some("$HOME")),
            (&["true"], None),
            (&["sh", "-c", "echo horse; exit 1"], None),
            (&["/nowhere/x"], None),
            (&[], None),
        ] {
            let secret = from_command(&words(command));
            let error = secret.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert_eq!(secret.ok().as_ref().map(Secret::expose), expected, "{command:?}");
            assert!(!error.contains("horse"), "{error}");
        }
    }
}
