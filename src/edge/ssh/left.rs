//! What an upload that was killed leaves on a host: noted here before it begins, removed there by the
//! next one.
//!
//! Not what a single file in trouble leaves: that goes at once. Invariant: nothing is removed on a host
//! but what a note of ours names, and what has the name of a temporary file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::edge::private;
use crate::format::digest::hex;
use crate::format::sftp::Request;
use crate::model::limits::PATH_BYTES_MAX;

use super::line::{Line, SshFault, quoted};
use super::sftp::Sftp;
use super::split;
use super::stage::{Job, temporary};

/// Bytes of a note that are read: the names of as many files as are on their way at once.
const NOTE_BYTES_MAX: u64 = 256 << 20;

/// Where it is noted what lies on one host until it has its name.
#[derive(Clone, Debug)]
pub struct Note {
    file: PathBuf,
}

impl Note {
    /// Returns the note for one `host` in `folder`, one of our own; `prefix` begins its name.
    pub fn new(folder: &std::path::Path, prefix: &str, host: &str) -> Note {
        let digest: [u8; 32] = Sha256::digest(host.as_bytes()).into();
        let name = hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]));
        Note { file: folder.join(format!("{prefix}{name}.left")) }
    }

    /// Notes that files are about to be staged for these jobs. It is not waited for the disk: what a
    /// power failure takes along stays on the host.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, jobs: &[Job], tag: &str) -> Result<(), SshFault> {
        let mut text = Vec::new();
        for job in jobs {
            text.extend(temporary(&job.target, tag));
            text.push(0);
        }
        private::create(&self.file)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|source| SshFault::Io { path: self.file.clone(), source })
    }

    /// Notes that nothing lies there any more.
    pub fn clear(&self) {
        // One that stays only has names looked for once more.
        let _ = fs::remove_file(&self.file);
    }

    /// Removes from a host what an earlier run left there; returns how many names were tried.
    ///
    /// # Errors
    /// The connection ended.
    pub fn remove_left(&self, sftp: &mut Sftp) -> Result<usize, SshFault> {
        let names = self.read();
        // What has its name since then, or was never made, is not there.
        sftp.ask_all(names.iter().map(|name| Request::Remove(name)))?;
        self.clear();
        Ok(names.len())
    }

    /// The same on a host without SFTP.
    ///
    /// # Errors
    /// ssh cannot be run.
    pub fn remove_left_by_command(&self, line: &Line) -> Result<usize, SshFault> {
        let names = self.read();
        if names.is_empty() {
            return Ok(0);
        }
        let mut script = Vec::new();
        for name in &names {
            script.extend([b"rm -f -- ", quoted(name).as_slice(), b"\n"].concat());
        }
        line.run_script(&script)?;
        self.clear();
        Ok(names.len())
    }

    fn read(&self) -> Vec<Vec<u8>> {
        let mut text = Vec::new();
        let read = File::open(&self.file)
            .and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut text));
        if read.is_err() {
            return Vec::new();
        }
        let names = text.split(|&byte| byte == 0);
        names.filter(|name| is_temporary(name)).map(<[u8]>::to_vec).collect()
    }
}

/// Whether a name is one that [`temporary`] makes.
fn is_temporary(path: &[u8]) -> bool {
    let (_, name) = split(path);
    let digits = name.strip_prefix(b".remsync-").and_then(|rest| rest.strip_suffix(b".tmp"));
    path.len() <= PATH_BYTES_MAX
        && digits.is_some_and(|digits| {
            digits.len() == 16 && digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_temporary_files_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::new(folder.path(), "x-", "ana@host");
        assert_eq!(note.read(), Vec::<Vec<u8>>::new(), "none is written yet");
        let job =
            |target: &[u8]| Job { target: target.to_vec(), mode: 0o644, mtime_s: 0, size_bytes: 0 };
        let jobs = [job(b"/d/a"), job(b"/d/\xff\nb")];
        note.write(&jobs, "tag").unwrap();
        assert_eq!(note.read(), [temporary(b"/d/a", "tag"), temporary(b"/d/\xff\nb", "tag")]);
        let more = b"/d/a\0/d/.remsync-0123456789abcdef.tmp\0/d/.remsync-0123456789abcdeg.tmp\0\
                     /d/.remsync-0123.tmp\0/d/.remsync\0/d/x.tmp\0";
        fs::write(&note.file, more).unwrap();
        assert_eq!(note.read(), [b"/d/.remsync-0123456789abcdef.tmp"]);
        note.clear();
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
