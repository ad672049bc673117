//! A destination that counts what it took.
//!
//! Invariant: only what the destination behind it took is counted.

use std::io::{self, Write};

/// `W`, and how many bytes it took.
#[derive(Debug)]
pub struct Counted<W> {
    /// The destination.
    pub to: W,
    /// What it took so far.
    pub bytes: u64,
}

impl<W: Write> Counted<W> {
    /// Returns `to`, nothing counted yet.
    pub fn new(to: W) -> Counted<W> {
        Counted { to, bytes: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_taken_counts() {
        let mut room = [0; 3];
        let mut counted = Counted::new(&mut room[..]);
        assert_eq!(counted.write(b"ab").unwrap(), 2);
        assert!(counted.write_all(b"cd").is_err());
        assert_eq!((counted.bytes, room), (3, *b"abc"));
    }
}
