//! Packages, written: gzip'd ustar, one gzip member, the same bytes for the same input.
//!
//! Who packs, where and when does not show: no names, no user or group, no time of packing.
//! Invariant: every member has just the length that its header says, whatever its source yields.

use std::io::{self, Read, Write};

use super::super::digest::{BothHasher, Digests};
use super::gzip::Gzip;
use super::{CHUNK_BYTES, Limits};
use crate::model::project::Format;

const BLOCK_BYTES: usize = 512;
/// The highest number that eleven octal digits hold.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// How hard to pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// What gzip does when not told otherwise.
    #[default]
    Usual,
    /// Not at all: for what packs so well that a receiver would take it for a bomb.
    Stored,
}

/// A package on its way to `W`: orders first, then the files from 1.
pub struct Writer<W: Write> {
    tar: Gzip<W>,
    /// The only format that signatures are wanted of, where that is known.
    format: Option<Format>,
    members: u32,
    has_orders: bool,
}

/// What was written of one member.
#[derive(Debug)]
pub struct Written {
    /// SHA-256 of the bytes in the package.
    pub sha256: [u8; 32],
    /// BSD `sum` of them.
    pub sum: u16,
    /// Whether the source had just as many bytes as were announced. If not, the file changed while
    /// it was read: the package is not to be sent with it.
    pub complete: bool,
    /// What the source answered, if it could not be read.
    pub trouble: Option<io::Error>,
}

/// What a package came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Bytes written.
    pub packed_bytes: u64,
    /// Bytes of the archive in it.
    pub unpacked_bytes: u64,
    /// Whether it stays, at every point, within the ratio that receivers allow; if not, it is to
    /// be written again with [`Level::Stored`].
    pub keeps_ratio: bool,
}

struct Entry<'a> {
    name: &'a str,
    kind: u8,
    mode: u64,
    size_bytes: u64,
    mtime_s: i64,
}

impl<W: Write> Writer<W> {
    /// Returns the writer of an empty package; nothing is written yet.
    pub fn new(to: W, level: Level) -> Writer<W> {
        Writer::within(to, level, Limits::default())
    }

    /// Does what [`Writer::new`] does, for receivers that have other bounds.
    pub fn within(to: W, level: Level, limits: Limits) -> Writer<W> {
        let tar = Gzip::new(to, level, limits);
        Writer { tar, format: None, members: 0, has_orders: false }
    }

    /// Tells that only signatures of `format` are wanted: of 2.0, [`Written::sum`] is then 0.
    pub fn speaking(self, format: Format) -> Writer<W> {
        Writer { format: Some(format), ..self }
    }

    /// Writes the orders, once and before any member; `mtime_s` is the package's own time.
    ///
    /// # Errors
    /// What the destination answers; `InvalidInput` for a second call.
    pub fn orders(&mut self, text: &[u8], mtime_s: i64) -> io::Result<()> {
        if std::mem::replace(&mut self.has_orders, true) {
            return Err(out_of_order("orders come once"));
        }
        let (size_bytes, mtime_s) = (text.len() as u64, clamped(mtime_s));
        let folder =
            Entry { name: ".remsync-work/", kind: b'5', mode: 0o700, size_bytes: 0, mtime_s };
        self.tar.put(&folder.block())?;
        let name = ".remsync-work/orders";
        self.tar.put(&Entry { name, kind: b'0', mode: 0o600, size_bytes, mtime_s }.block())?;
        self.tar.put(text)?;
        self.pad(size_bytes)
    }

    /// Writes the next member, `number` counted from 1: just `size_bytes` bytes of `from`, zeros
    /// for what it lacks.
    ///
    /// # Errors
    /// What the destination answers (the source's troubles are in [`Written`]); `InvalidInput` for
    /// a number out of order.
    pub fn member(
        &mut self,
        number: u32,
        size_bytes: u64,
        executable: bool,
        mtime_s: i64,
        mtime_ns: u32,
        from: &mut dyn Read,
    ) -> io::Result<Written> {
        if !self.has_orders || self.members.checked_add(1) != Some(number) {
            return Err(out_of_order("members follow the orders, from 1, without a gap"));
        }
        self.members = number;
        self.fine_time(number, mtime_s, mtime_ns)?;
        let name = format!(".remsync-work/{number}");
        let mode = if executable { 0o755 } else { 0o644 };
        let entry = Entry { name: &name, kind: b'0', mode, size_bytes, mtime_s: clamped(mtime_s) };
        self.tar.put(&entry.block())?;
        let written = self.contents(size_bytes, from)?;
        self.pad(size_bytes)?;
        Ok(written)
    }

    /// Writes the end and returns the destination.
    ///
    /// # Errors
    /// What the destination answers.
    pub fn finish(self) -> io::Result<W> {
        self.finish_counted().map(|(to, _)| to)
    }

    /// Writes the end and returns the destination and what the package came to.
    ///
    /// # Errors
    /// What the destination answers.
    pub fn finish_counted(mut self) -> io::Result<(W, Counts)> {
        self.tar.put(&[0; 2 * BLOCK_BYTES])?;
        let unpacked_bytes = self.tar.unpacked_bytes();
        let (counted, keeps_ratio) = self.tar.finish()?;
        let counts = Counts { packed_bytes: counted.bytes, unpacked_bytes, keeps_ratio };
        Ok((counted.to, counts))
    }

    /// Returns how many bytes of archive are written so far.
    pub fn unpacked_bytes(&self) -> u64 {
        self.tar.unpacked_bytes()
    }

    /// Returns how many bytes have left for the destination so far; some more wait to be packed.
    pub fn packed_bytes(&self) -> u64 {
        self.tar.packed_bytes()
    }

    fn contents(&mut self, size_bytes: u64, from: &mut dyn Read) -> io::Result<Written> {
        let mut hasher = BothHasher::of(self.format);
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = size_bytes;
        let mut trouble = None;
        let mut complete = true;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let want = chunk.get_mut(..want).unwrap_or_default();
            let n = match complete.then(|| read_some(from, want)) {
                Some(Ok(n)) if n > 0 => n,
                ended => {
                    trouble = trouble.or(ended.and_then(Result::err));
                    complete = false;
                    want.fill(0);
                    want.len()
                }
            };
            let bytes = chunk.get(..n).unwrap_or_default();
            hasher.update(bytes);
            self.tar.put(bytes)?;
            left -= n as u64;
        }
        complete = complete && matches!(read_some(from, &mut [0]), Ok(0));
        let Digests { sha256, sum } = hasher.finish();
        Ok(Written { sha256, sum, complete, trouble })
    }

    /// Writes a pax header where whole seconds from 1970 do not tell the time.
    fn fine_time(&mut self, number: u32, s: i64, ns: u32) -> io::Result<()> {
        if ns == 0 && clamped(s) == s {
            return Ok(());
        }
        let record = pax_record("mtime", &pax_time(s, ns));
        let name = format!(".remsync-work/PaxHeaders/{number}");
        let size_bytes = record.len() as u64;
        let header =
            Entry { name: &name, kind: b'x', mode: 0o644, size_bytes, mtime_s: clamped(s) };
        self.tar.put(&header.block())?;
        self.tar.put(record.as_bytes())?;
        self.pad(size_bytes)
    }

    fn pad(&mut self, size_bytes: u64) -> io::Result<()> {
        let over = size_bytes % BLOCK_BYTES as u64;
        let padding = (BLOCK_BYTES as u64 - over) % BLOCK_BYTES as u64;
        let zeros = [0; BLOCK_BYTES];
        let padding = usize::try_from(padding).unwrap_or_default();
        self.tar.put(zeros.get(..padding).unwrap_or_default())
    }
}

impl Entry<'_> {
    fn block(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut set = |at: usize, bytes: &[u8]| {
            block.iter_mut().skip(at).zip(bytes).for_each(|(to, byte)| *to = *byte);
        };
        set(0, self.name.as_bytes());
        set(100, format!("{:07o}", self.mode).as_bytes());
        set(108, b"0000000");
        set(116, b"0000000");
        set(124, &size_field(self.size_bytes));
        set(136, format!("{:011o}", self.mtime_s).as_bytes());
        set(148, b"        ");
        set(156, &[self.kind]);
        set(257, b"ustar\x0000");
        set(329, b"0000000");
        set(337, b"0000000");
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        let sum = format!("{sum:06o}\0");
        block.iter_mut().skip(148).zip(sum.as_bytes()).for_each(|(to, byte)| *to = *byte);
        block
    }
}

/// Octal digits, or base 256 past 8 GiB, which no bound of ours allows.
fn size_field(size_bytes: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size_bytes <= OCTAL_MAX {
        let digits = format!("{size_bytes:011o}");
        field.iter_mut().zip(digits.as_bytes()).for_each(|(to, digit)| *to = *digit);
    } else {
        let bytes = size_bytes.to_be_bytes();
        field.iter_mut().skip(4).zip(bytes).for_each(|(to, byte)| *to = byte);
        field[0] = 0x80;
    }
    field
}

/// Returns the nearest time that a header can hold.
fn clamped(mtime_s: i64) -> i64 {
    mtime_s.clamp(0, OCTAL_MAX.cast_signed())
}

/// Prints seconds and the nanoseconds above them as a decimal number.
fn pax_time(s: i64, ns: u32) -> String {
    let is_negative = s < 0;
    let (whole, ns) = match (is_negative, ns) {
        (true, 1..) => (s.unsigned_abs() - 1, 1_000_000_000_u32.saturating_sub(ns)),
        _ => (s.unsigned_abs(), ns),
    };
    let sign = if is_negative { "-" } else { "" };
    let fraction = format!(".{ns:09}");
    format!("{sign}{whole}{}", fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// A pax record begins with its own length, the digits of it included.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn read_some(from: &mut dyn Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

fn out_of_order(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
