//! Where the password for an SMTP server comes from.
//!
//! Invariant: a password is never part of an error; a file that others can read is no place for
//! one, and is refused.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::sendmail::wait;
use crate::format::settings::Secret;

/// Bytes of a password; a token of OAuth2 fits.
const PASSWORD_BYTES_MAX: u64 = 16 << 10;
/// How long `password_command` may take: it may ask a person for a passphrase.
const COMMAND_TIME: Duration = Duration::from_secs(180);

/// Where a password may be; the first that is there is it.
#[derive(Clone, Debug, Default)]
pub struct PasswordSources {
    /// `REMSYNC_SMTP_PASSWORD`.
    pub variable: Option<Secret>,
    /// In the transport's URL.
    pub url: Option<Secret>,
    /// `[mail] password_file`.
    pub file: Option<PathBuf>,
    /// `[mail] password_command`.
    pub command: Option<Vec<String>>,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFault {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("{}: others may read this file, and a password is in it", path.display())]
    Shared {
        /// The file.
        path: PathBuf,
    },
    /// The file is another account's.
    #[error("{}: this file with the password belongs to another account", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// What was read begins with no password.
    #[error("{place}: there is no password in its first line")]
    Empty {
        /// The file, or the program.
        place: String,
    },
    /// The program did not answer.
    #[error("password_command: {program}: {what}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// What is wrong.
        what: String,
    },
}

impl PasswordFault {
    /// Returns what to do.
    pub fn hint(&self) -> String {
        match self {
            PasswordFault::Io { .. } => {
                "password_file under [mail] names a file with the password in its first line".into()
            }
            PasswordFault::Shared { path } => format!("chmod 600 {}", path.display()),
            PasswordFault::Foreign { path } => {
                format!("make one of your own, or chown it: {}", path.display())
            }
            PasswordFault::Empty { .. } => String::new(),
            PasswordFault::Command { .. } => {
                "run it by hand: it has to print the password and to end with 0".into()
            }
        }
    }
}

impl PasswordSources {
    /// Returns where the password is, in words; nothing where there is none.
    pub fn place(&self) -> Option<&'static str> {
        match self {
            PasswordSources { variable: Some(_), .. } => Some("REMSYNC_SMTP_PASSWORD"),
            PasswordSources { url: Some(_), .. } => Some("the transport"),
            PasswordSources { file: Some(_), .. } => Some("password_file"),
            PasswordSources { command: Some(_), .. } => Some("password_command"),
            _ => None,
        }
    }

    /// Returns the password, if one was set.
    ///
    /// # Errors
    /// It was set, and cannot be had.
    pub fn password(&self) -> Result<Option<Secret>, PasswordFault> {
        if let Some(password) = self.variable.as_ref().or(self.url.as_ref()) {
            return Ok(Some(password.clone()));
        }
        if let Some(path) = &self.file {
            return of_file(path).map(Some);
        }
        self.command.as_deref().map(|words| of_command(words, COMMAND_TIME)).transpose()
    }
}

fn of_file(path: &Path) -> Result<Secret, PasswordFault> {
    let io = |source| PasswordFault::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(io(io::Error::other("not a file")));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(PasswordFault::Shared { path: path.to_owned() });
    }
    if !is_ours(&meta) {
        return Err(PasswordFault::Foreign { path: path.to_owned() });
    }
    let text = bounded(file).map_err(io)?;
    first_line(&text).ok_or_else(|| PasswordFault::Empty { place: path.display().to_string() })
}

/// What belongs to the administrator is as good as ours: who owns the machine owns the account.
fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() || meta.uid() == 0
}

/// Runs a program, its errors shown where ours are, and takes the first line that it prints.
fn of_command(words: &[String], time: Duration) -> Result<Secret, PasswordFault> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(PasswordFault::Empty { place: "password_command".into() });
    };
    let fault = |what: String| PasswordFault::Command { program: program.clone(), what };
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
            let text = bounded(&mut out);
            let _ = io::copy(&mut out, &mut io::sink());
            let _ = tell.send(text);
        });
    }
    match wait(&mut child, time).map_err(|error| fault(error.to_string()))? {
        None => return Err(fault(format!("no answer within {} s", time.as_secs()))),
        Some(status) if !status.success() => return Err(fault(format!("it ended with {status}"))),
        Some(_) => {}
    }
    let text = told.recv_timeout(Duration::from_secs(2));
    let text = text.map_err(|_| fault("it left its output open".into()))?;
    let text = text.map_err(|error| fault(error.to_string()))?;
    first_line(&text).ok_or_else(|| PasswordFault::Empty { place: program.clone() })
}

/// Reads as much as a password may be; the first bytes of more are none.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(PASSWORD_BYTES_MAX + 1).read_to_end(&mut text)?;
    let line = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    if line as u64 > PASSWORD_BYTES_MAX {
        return Err(io::Error::other(format!("a line of over {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// A control character cannot be typed into a password, and would end a command of SMTP.
fn first_line(text: &[u8]) -> Option<Secret> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    (!line.is_empty() && !line.contains(char::is_control)).then(|| Secret::from(line))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sources() -> PasswordSources {
        PasswordSources::default()
    }

    #[test]
    fn the_first_source_is_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        fs::write(&file, "of file\r\nmore\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut all = PasswordSources {
            variable: Some("of variable".into()),
            url: Some("of url".into()),
            file: Some(file),
            command: Some(vec!["printf".into(), "of command\\nmore".into()]),
        };
        let mut had = Vec::new();
        while let Some(password) = all.password().unwrap() {
            had.push(format!("{}: {}", all.place().unwrap(), password.expose()));
            if all.variable.take().is_some() || all.url.take().is_some() {
                continue;
            }
            if all.file.take().is_none() {
                all.command = None;
            }
        }
        assert_eq!(
            had,
            [
                "REMSYNC_SMTP_PASSWORD: of variable",
                "the transport: of url",
                "password_file: of file",
                "password_command: of command",
            ]
        );
        assert_eq!(all.place(), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        fs::write(&file, "hunter2\n").unwrap();
        for (mode, words) in
            [(0o600, ""), (0o400, ""), (0o640, "chmod 600"), (0o604, "chmod 600"), (0o620, "chmod")]
        {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let answer = PasswordSources { file: Some(file.clone()), ..sources() }.password();
            assert_eq!(answer.is_ok(), words.is_empty(), "{mode:o}: {answer:?}");
            let Err(fault) = answer else { continue };
            assert!(fault.hint().contains(words), "{mode:o}: {fault:?}");
            assert!(!format!("{fault} {fault:?}").contains("hunter"), "{fault:?}");
        }
    }

    #[test]
    fn what_is_no_password_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        let bound = PASSWORD_BYTES_MAX as usize;
        for (text, is_one) in [
            (String::new(), false),
            ("\nhunter2\n".into(), false),
            ("hun\x01ter2\n".into(), false),
            ("x".repeat(bound), true),
            ("x".repeat(bound) + "\n", true),
            ("x".repeat(bound + 1), false),
        ] {
            fs::write(&file, &text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let answer = PasswordSources { file: Some(file.clone()), ..sources() }.password();
            assert_eq!(answer.is_ok(), is_one, "{} bytes: {answer:?}", text.len());
        }
    }

    #[test]
    fn a_command_that_fails_is_said_without_its_output() {
        for (words, time, what) in [
            (vec!["/nowhere/pass"], 5_000, "No such file"),
            (vec!["sh", "-c", "echo hunter2; exit 3"], 5_000, "exit status: 3"),
            (vec!["sh", "-c", "exec sleep 30"], 100, "no answer"),
            (vec!["true"], 5_000, "no password"),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            let fault = of_command(&words, Duration::from_millis(time)).unwrap_err();
            assert!(fault.to_string().contains(what), "{fault}");
            assert!(!format!("{fault} {fault:?}").contains("hunter"), "{fault:?}");
        }
    }
}
