//! The reader of mail: no mail stops it, it begins and ends one part at a time, and mail that comes
//! in pieces reads like mail that comes at once (but where a line is longer than any real one: those
//! are looked at in part).
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use remsync::format::message::{self, Envelope, Part, Parts};

#[derive(Default, PartialEq, Debug)]
struct Kept {
    parts: Vec<(Part, Vec<u8>)>,
    open: bool,
}

impl Parts for Kept {
    fn begin(&mut self, part: &Part) -> io::Result<()> {
        assert!(!std::mem::replace(&mut self.open, true), "one part at a time");
        self.parts.push((part.clone(), Vec::new()));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(self.open);
        self.parts.last_mut().expect("a part is open").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        assert!(std::mem::replace(&mut self.open, false));
        Ok(())
    }
}

/// Gives a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.1);
        self.0.read(&mut out[..n])
    }
}

fn read(mail: &[u8], step: usize) -> (Envelope, Kept) {
    let mut kept = Kept::default();
    let envelope = message::read(&mut Slow(mail, step), &mut kept).expect("no mail is an error");
    assert!(!kept.open);
    (envelope, kept)
}

fuzz_target!(|mail: &[u8]| {
    let whole = read(mail, usize::MAX);
    let step = mail.first().map_or(1, |byte| usize::from(*byte) + 1);
    let in_pieces = read(mail, step);
    if mail.split(|byte| *byte == b'\n').all(|line| line.len() < 4_000) {
        assert_eq!(in_pieces, whole);
    }
});
