//! A part of an open file, read by position.
//!
//! Not the file's own cursor, which others who hold it may move. Invariant: no byte at `end` or
//! past it is given, however much the file grows meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// What stands in a file between two places.
#[derive(Debug)]
pub struct Window<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl<'f> Window<'f> {
    /// Returns the first `end` bytes of a file, or all where it has fewer.
    pub fn new(file: &'f File, end: u64) -> Window<'f> {
        Window::from(file, 0, end)
    }

    /// Returns the bytes of a file from the place `at` to before `end`.
    pub fn from(file: &'f File, at: u64, end: u64) -> Window<'f> {
        Window { file, at, end }
    }

    /// Returns the place in the file that is read next.
    pub fn place(&self) -> u64 {
        self.at
    }
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = out.len().min(left);
        let n = self.file.read_at(out.get_mut(..room).unwrap_or_default(), self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn no_byte_outside_is_given_and_no_cursor_moves() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for (at, end, expected) in [
            (0, 10, "0123456789"),
            (0, 11, "0123456789"),
            (3, 4, "3"),
            (3, 3, ""),
            (4, 3, ""),
            (10, 12, ""),
        ] {
            let mut text = String::new();
            let mut window = Window::from(&file, at, end);
            window.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected, "{at} {end}");
            assert_eq!(window.place(), at + text.len() as u64, "{at} {end}");
        }
        assert_eq!(file.stream_position().unwrap(), 10);
    }
}
