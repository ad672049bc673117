//! Hashing an open file, and whether it held still meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::edge::window::Window;
use crate::format::digest::signature_of;
use crate::model::Signature;
use crate::model::project::Format;

use super::Unknown;

/// Times that a file that changes under our eyes is read.
const TRIES: u32 = 2;

/// Returns the signature of `file` in `format`, and what its inode says, both of one moment; what is
/// read is added to `seen` as it is.
pub(super) fn signature(
    file: &File,
    format: Format,
    seen: &AtomicU64,
) -> Result<(Signature, rustix::fs::Stat), Unknown> {
    for _ in 0..TRIES {
        let before = stat(file)?;
        let size_bytes = u64::try_from(before.st_size).unwrap_or(0);
        let executable = before.st_mode & 0o100 != 0;
        // One byte more than it had: a log that grows as fast as it is read would never end.
        let window = Window::new(file, size_bytes.saturating_add(1));
        let window = Told { window, seen };
        let (signature, bytes) = signature_of(format, window, executable)
            .map_err(|error| Unknown::Unreadable(error.to_string()))?;
        if bytes == size_bytes && is_unchanged(&before, &stat(file)?) {
            return Ok((signature, before));
        }
    }
    Err(Unknown::Changing)
}

/// A file that tells how much of it was read.
struct Told<'f> {
    window: Window<'f>,
    seen: &'f AtomicU64,
}

impl Read for Told<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.window.read(out)?;
        self.seen.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn stat(file: &File) -> Result<rustix::fs::Stat, Unknown> {
    rustix::fs::fstat(file).map_err(|errno| Unknown::Unreadable(errno.to_string()))
}

/// Whether nobody wrote between two looks. The change time tells where the modification time was
/// set back.
fn is_unchanged(a: &rustix::fs::Stat, b: &rustix::fs::Stat) -> bool {
    (a.st_size, a.st_mtime, a.st_mtime_nsec, a.st_ctime, a.st_ctime_nsec, a.st_mode)
        == (b.st_size, b.st_mtime, b.st_mtime_nsec, b.st_ctime, b.st_ctime_nsec, b.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_the_whole_file_and_no_more() {
        use std::io::{Seek, Write};
        let mut file = tempfile::tempfile().unwrap();
        for text in ["", "x\n", "one\n"] {
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            for (format, executable) in
                [(Format::V1_3, false), (Format::V2_0, false), (Format::V2_0, true)]
            {
                let mode = if executable { 0o700 } else { 0o600 };
                rustix::fs::fchmod(&file, mode.into()).unwrap();
                let seen = AtomicU64::new(1);
                let (signature, stat) = signature(&file, format, &seen).unwrap();
                assert_eq!(seen.into_inner(), 1 + text.len() as u64);
                let (expected, _) = signature_of(format, text.as_bytes(), executable).unwrap();
                assert_eq!((signature, stat.st_size as usize), (expected, text.len()), "{text:?}");
            }
        }
    }
}
