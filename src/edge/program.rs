//! Programs of the user's: an editor, a merge tool, a shell, and how long one may take; and the private
//! folder they work in.
//!
//! No shell but the one that a person asks for by `!`: what is set is split into words, quotes
//! respected, and the files are arguments. Invariant: a [`Bench`] holds nothing but files named by us.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::private;

/// A folder for one merge, removed when dropped.
#[derive(Debug)]
pub struct Bench {
    dir: PathBuf,
    /// With the dot, so that programs know the kind of file; or nothing.
    extension: String,
}

/// Whether a program may talk to the person at the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attended {
    /// It has the terminal.
    Yes,
    /// It has no input.
    No,
}

impl Bench {
    /// Makes the folder `dir`, which is ours alone, anew; its files end like `name`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(dir: &Path, name: &[u8]) -> io::Result<Bench> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(dir)?;
        Ok(Bench { dir: dir.to_owned(), extension: extension(name) })
    }

    /// Returns the path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{}", self.extension))
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        private::create(&self.path(name))?.write_all(bytes)
    }

    /// Reads one of its files, up to `bytes_max`.
    ///
    /// # Errors
    /// It cannot be read, or is longer.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(name))?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::Error::other(format!("over {bytes_max} bytes")));
        }
        Ok(bytes)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What stays is removed by the next.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs `command` on files; whether it ended with 0. `%x` in a word stands for the file of that
/// letter and `%%` for `%`; where no word has one, the files follow as arguments, in order. What it
/// prints goes to standard error: standard output is ours.
///
/// # Errors
/// There is no such program, or it cannot be started.
pub fn run(command: &OsStr, files: &[(char, &Path)], attended: Attended) -> io::Result<bool> {
    let mut words = arguments(command, files).into_iter();
    let program = words.next().ok_or_else(|| io::Error::other("no program is named"))?;
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    let stdin = match attended {
        Attended::Yes => Stdio::inherit(),
        Attended::No => Stdio::null(),
    };
    let status = Command::new(program).args(words).stdin(stdin).stdout(stderr).status()?;
    Ok(status.success())
}

/// Waits for a process to end; one that does not within `limit` is ended, and nothing returned.
///
/// # Errors
/// What the system answers.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause.min(limit));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Pipes bytes through a program and returns what it writes; what it complains of is told.
///
/// # Errors
/// There is no such program, or it failed.
pub fn filter(program: &str, words: &[&str], bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{program}: {error}"));
    let mut child = command.spawn().map_err(at)?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // It writes while it reads: neither may wait for the other.
        scope.spawn(move || input.map(|mut input| input.write_all(bytes)));
        child.wait_with_output()
    });
    let output = output.map_err(at)?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{program} failed")));
    }
    Ok(output.stdout)
}

/// Has the desktop open a page, and does not wait for it.
///
/// # Errors
/// There is no desktop that could.
pub fn open_with_desktop(place: &str) -> io::Result<()> {
    let nowhere = Stdio::null;
    let mut command = Command::new("xdg-open");
    command.arg(place).stdin(nowhere()).stdout(nowhere()).stderr(nowhere());
    match command.spawn() {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot run xdg-open: {error}"))),
    }
}

/// Runs the user's shell: with a command that was typed, or for typing at; whether it ended with 0.
///
/// # Errors
/// There is no such shell, or it cannot be started.
pub fn run_shell(shell: &OsStr, typed: Option<&OsStr>) -> io::Result<bool> {
    let mut command = Command::new(shell);
    if let Some(typed) = typed {
        command.arg("-c").arg(typed);
    }
    Ok(command.status()?.success())
}

/// Returns the words of a command with the files in their places.
fn arguments(command: &OsStr, files: &[(char, &Path)]) -> Vec<OsString> {
    let mut is_placed = false;
    let mut words: Vec<OsString> = Vec::new();
    for word in split(command.as_bytes()) {
        let mut filled = Vec::new();
        let mut bytes = word.iter();
        while let Some(&byte) = bytes.next() {
            let letter = if byte == b'%' { bytes.as_slice().first().copied() } else { None };
            let file = letter.and_then(|letter| {
                files.iter().find(|(name, _)| *name == char::from(letter)).map(|(_, file)| file)
            });
            match (file, letter) {
                (Some(file), _) => {
                    filled.extend_from_slice(file.as_os_str().as_bytes());
                    is_placed = true;
                    bytes.next();
                }
                (None, Some(b'%')) => {
                    filled.push(b'%');
                    bytes.next();
                }
                _ => filled.push(byte),
            }
        }
        words.push(OsString::from_vec(filled));
    }
    if !is_placed && !words.is_empty() {
        words.extend(files.iter().map(|(_, file)| file.as_os_str().to_owned()));
    }
    words
}

/// Splits at white space, but not within quotes; a backslash makes the next byte an ordinary one,
/// but not within single quotes.
fn split(command: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = command.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(open), close) if open == close => quote = None,
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (None | Some(b'"'), b'\\') => word.get_or_insert_default().extend(bytes.next()),
            (None, byte) if byte.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// Returns the ending of a name if it is a plain one.
fn extension(name: &[u8]) -> String {
    const LENGTH_MAX: usize = 16;
    let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let at = name.iter().rposition(|&byte| byte == b'.').filter(|at| *at > 0);
    let ending = at.and_then(|at| name.get(at + 1..)).unwrap_or_default();
    let is_plain = !ending.is_empty()
        && ending.len() <= LENGTH_MAX
        && ending.iter().all(u8::is_ascii_alphanumeric);
    if is_plain { format!(".{}", String::from_utf8_lossy(ending)) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_files() {
        let (base, ours) = (Path::new("/d/base.txt"), Path::new("/d/ours.txt"));
        let files = [('b', base), ('o', ours)];
        let table: &[(&str, &[&str])] = &[
            ("merge", &["merge", "/d/base.txt", "/d/ours.txt"]),
            ("  merge   -q ", &["merge", "-q", "/d/base.txt", "/d/ours.txt"]),
            ("merge %o --base=%b", &["merge", "/d/ours.txt", "--base=/d/base.txt"]),
            ("merge 100%% %o %x %", &["merge", "100%", "/d/ours.txt", "%x", "%"]),
            ("'my merge' \"a b\" ''%o", &["my merge", "a b", "/d/ours.txt"]),
            ("m\\ x '\\' \"\\\"\" %o", &["m x", "\\", "\"", "/d/ours.txt"]),
            ("sh -c 'x; y' %o", &["sh", "-c", "x; y", "/d/ours.txt"]),
            ("m; rm $HOME `x` %o", &["m;", "rm", "$HOME", "`x`", "/d/ours.txt"]),
            ("m ''", &["m", "", "/d/base.txt", "/d/ours.txt"]),
            ("", &[]),
        ];
        for (command, words) in table {
            assert_eq!(arguments(OsStr::new(command), &files), *words, "{command:?}");
        }
    }

    #[test]
    fn endings() {
        for (name, ending) in [
            ("a/b.txt", ".txt"),
            ("a.d/b", ""),
            (".profile", ""),
            ("a.tar.gz", ".gz"),
            ("a.", ""),
            ("a.x y", ""),
            ("a.aaaaaaaaaaaaaaaaa", ""),
        ] {
            assert_eq!(extension(name.as_bytes()), ending, "{name}");
        }
    }

    #[test]
    fn a_bench_is_made_anew_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("merge");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("left"), "over").unwrap();
        let bench = Bench::create(&dir, b"f.txt").unwrap();
        bench.write("ours", b"12345").unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert_eq!(bench.read("ours", 5).unwrap(), b"12345");
        assert!(bench.read("ours", 4).is_err());
        assert!(
            run(OsStr::new("test -e %o"), &[('o', &bench.path("ours"))], Attended::No).unwrap()
        );
        assert!(!run(OsStr::new("false"), &[], Attended::No).unwrap());
        assert!(run(OsStr::new("no-such-program-at-all"), &[], Attended::No).is_err());
        drop(bench);
        assert!(!dir.exists());
    }
}
