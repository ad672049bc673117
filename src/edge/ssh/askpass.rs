//! Passwords for ssh: it runs this very program to ask for one, which asks us over a socket.
//!
//! Invariant: a password is in no argument, no variable and no file, and only the host that it is
//! for is given it: a jump host on the way, or a question whether some key is to be trusted, gets
//! no answer.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::format::settings::Secret;

/// The variable that says where we are to be asked.
pub(super) const SOCKET: &str = "REMSYNC_ASKPASS";
/// Bytes of a question: names of users and hosts are in it.
const PROMPT_BYTES_MAX: u64 = 4 << 10;
/// How long an asker may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers for one host, as long as it lives.
pub(super) struct Askpass {
    socket: PathBuf,
    is_over: Arc<AtomicBool>,
}

impl Askpass {
    /// Listens at `socket`, in a folder that is ours alone, and gives `password` to whoever asks
    /// for that of one of `names`, `user@host`.
    pub fn listen(socket: PathBuf, names: Vec<String>, password: Secret) -> io::Result<Askpass> {
        let listener = UnixListener::bind(&socket)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                // Who asks and goes away again only harms itself.
                let _ = answer(&stream, &names, &password);
            }
        });
        Ok(Askpass { socket, is_over })
    }

    /// Returns where it is asked.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Askpass {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is over.
        let _ = UnixStream::connect(&self.socket);
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// What ssh runs to ask for a password: if the variable is set, asks the program that runs ssh, and
/// prints what it says. Returns whether there was an answer; `None` where nobody asks.
pub fn answer_if_asked(arguments: &[OsString]) -> Option<bool> {
    let socket = std::env::var_os(SOCKET)?;
    let [prompt] = arguments else { return Some(false) };
    let ask = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        let mut line = prompt.to_string_lossy().replace(['\n', '\r'], " ");
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut password = String::new();
        stream.read_to_string(&mut password)?;
        Ok(password)
    };
    let password = ask().ok().filter(|password| !password.is_empty());
    let Some(password) = password else { return Some(false) };
    Some(writeln!(io::stdout(), "{password}").is_ok())
}

fn answer(stream: &UnixStream, names: &[String], password: &Secret) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut prompt = String::new();
    BufReader::new(stream.take(PROMPT_BYTES_MAX)).read_line(&mut prompt)?;
    if is_for(&prompt, names) {
        let mut stream = stream;
        stream.write_all(password.expose().as_bytes())?;
    }
    Ok(())
}

/// Whether a question is OpenSSH's own for the password of one of `names`:
/// `ana@host's password: ` or `(ana@host) Password: `.
fn is_for(prompt: &str, names: &[String]) -> bool {
    let prompt = prompt.trim();
    let asks = prompt.strip_suffix(':').is_some_and(|p| p.to_lowercase().ends_with("password"));
    asks && names.iter().any(|name| {
        prompt.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with("'s "))
            || prompt
                .strip_prefix('(')
                .and_then(|rest| rest.strip_prefix(name.as_str()))
                .is_some_and(|rest| rest.starts_with(')'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_itself_is_answered() {
        let names = ["ana@host.example".to_owned()];
        for (prompt, is_answered) in [
            ("ana@host.example's password: ", true),
            ("(ana@host.example) Password: ", true),
            ("(ana@host.example) One-time password: ", true),
            ("ana@jump.example's password: ", false),
            ("ana@host.example.evil's password: ", false),
            ("(ana@host.example.evil) Password: ", false),
            ("Enter passphrase for key '/k': ", false),
            ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", false),
            ("ana@host.example's password, please", false),
            ("", false),
        ] {
            assert_eq!(is_for(prompt, &names), is_answered, "{prompt}");
        }
    }

    #[test]
    fn an_answer_goes_over_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["ana@host".to_owned()];
        let asked = Askpass::listen(folder.path().join("a"), names, "hunter2".into()).unwrap();
        for (prompt, password) in [("ana@host's password:\n", "hunter2"), ("bo@host's x:\n", "")] {
            let mut stream = UnixStream::connect(asked.socket()).unwrap();
            stream.write_all(prompt.as_bytes()).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert_eq!(said, password, "{prompt}");
        }
    }
}
