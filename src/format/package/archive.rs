//! tar, streamed and strict: every dialect is read (v7, ustar, GNU, pax), and of each only what a
//! package may hold.
//!
//! Our own reader, not the `tar` crate's: that hides the extension headers which it merges, and
//! here it matters that they agree. Invariant: an [`Entry`] is returned only when every header
//! that speaks of it says the same, and its name is one of the grammar's.

use std::io::Read;

use super::gunzip::Gunzip;
use super::{Bound, FOLDER, Limits, PackageFault};
use crate::model::limits::TAR_RECORDS_BYTES_MAX;

const BLOCK_BYTES: usize = 512;
const DRAIN_BYTES: usize = 16 << 10;
/// The highest time that eleven octal digits hold; past it, writers put a stand-in there.
const OCTAL_TIME_MAX: i64 = 0o777_7777_7777;

/// What an entry of a package is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `./`, when somebody packed the folder above.
    Top,
    /// `.remsync-work/` itself.
    Folder,
    /// The orders.
    Orders,
    /// A numbered file, from 1.
    Number(u32),
}

/// One entry, its headers agreed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) size_bytes: u64,
    pub(super) executable: bool,
    pub(super) mtime_s: i64,
    pub(super) mtime_ns: u32,
}

/// The entries of a gzip'd tar, and the bytes of the one at hand.
pub(super) struct Archive<'l, R> {
    gunzip: Gunzip<R>,
    limits: &'l Limits,
    unpacked: u64,
    left: u64,
    padding: usize,
    folders: [bool; 2],
    claims: bool,
}

/// What the headers before an entry's own say of it.
#[derive(Default)]
struct Extension {
    long_name: Option<What>,
    records: Option<Records>,
}

/// What we obey of a pax header.
#[derive(Default)]
struct Records {
    path: Option<What>,
    size: Option<u64>,
    mtime: Option<(i64, u32)>,
}

struct Header([u8; BLOCK_BYTES]);

impl<'l, R: Read> Archive<'l, R> {
    /// Returns the entries in `reader`.
    pub(super) fn new(reader: R, limits: &'l Limits) -> Archive<'l, R> {
        Archive {
            gunzip: Gunzip::new(reader, limits.packed_bytes),
            limits,
            unpacked: 0,
            left: 0,
            padding: 0,
            folders: [false; 2],
            claims: false,
        }
    }

    /// Returns how much of the archive was unpacked.
    pub(super) fn unpacked_bytes(&self) -> u64 {
        self.unpacked
    }

    /// Returns the bounds that hold here.
    pub(super) fn limits(&self) -> &'l Limits {
        self.limits
    }

    /// Returns the next entry, what is left of the one before skipped; `None` at the sound end.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, PackageFault> {
        let mut extension = Extension::default();
        while let Some(header) = self.next_header()? {
            match header.kind() {
                b'x' => self.pax(&header, &mut extension)?,
                b'g' => self.global(&header)?,
                b'L' => self.long_name(&header, &mut extension)?,
                _ => return self.entry(&header, &extension).map(Some),
            }
        }
        if !extension.is_empty() {
            return Err(PackageFault::refused("an extension header stands before no file"));
        }
        Ok(None)
    }

    /// Goes on from header to header, foreign ones too, until one is named as a package's are or
    /// `unpacked_until` bytes of archive are behind. What is unsound on the way ends it.
    pub(super) fn look_for_claim(&mut self, unpacked_until: u64) -> Result<bool, PackageFault> {
        while !self.claims && self.unpacked.saturating_add(self.left) < unpacked_until {
            let header = match self.next_header() {
                Ok(Some(header)) => header,
                // The name may still be read of what is damaged.
                Err(fault) if !self.claims || fault.is_ours() => return Err(fault),
                Ok(None) | Err(_) => break,
            };
            self.left = header.size()?;
            self.padding = padding_of(self.left);
        }
        Ok(self.claims)
    }

    /// Fills the beginning of `out` with bytes of the entry at hand; 0 is its end.
    pub(super) fn read_data(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if want == 0 {
            return Ok(0);
        }
        let n = self.fill(out.get_mut(..want).unwrap_or_default())?;
        if n == 0 {
            return Err(PackageFault::refused("the archive ends in the middle of a file"));
        }
        self.left -= n as u64;
        Ok(n)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        let n = self.gunzip.read(out)?;
        self.unpacked += n as u64;
        let Limits { unpacked_bytes, ratio, ratio_free_bytes, .. } = *self.limits;
        if self.unpacked > unpacked_bytes {
            return Err(PackageFault::Bound { bound: Bound::UnpackedBytes, max: unpacked_bytes });
        }
        let fair = self.gunzip.packed_bytes().saturating_mul(ratio);
        if self.unpacked > ratio_free_bytes && self.unpacked > fair {
            return Err(PackageFault::Bound { bound: Bound::Ratio, max: ratio });
        }
        Ok(n)
    }

    /// Fills all of `out` unless the archive ends, and returns how much.
    fn fill_all(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        let mut at = 0;
        while let Some(rest) = out.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.fill(rest)? {
                0 => break,
                n => at += n,
            }
        }
        Ok(at)
    }

    fn next_header(&mut self) -> Result<Option<Header>, PackageFault> {
        self.skip_rest()?;
        let mut block = [0; BLOCK_BYTES];
        let n = self.fill_all(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            self.expect_zeros()?;
            return Ok(None);
        }
        if n < BLOCK_BYTES {
            return Err(PackageFault::refused("the archive ends in the middle of a header"));
        }
        self.claims |= claims(&Header(block).name());
        Header::new(block).map(Some)
    }

    fn skip_rest(&mut self) -> Result<(), PackageFault> {
        let mut drain = [0; DRAIN_BYTES];
        while self.read_data(&mut drain)? > 0 {}
        let padding = drain.get_mut(..self.padding).unwrap_or_default();
        if self.fill_all(padding)? < self.padding {
            return Err(PackageFault::refused("the archive ends in the middle of a file"));
        }
        self.padding = 0;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(PackageFault::refused("something is hidden behind a file's end"));
        }
        Ok(())
    }

    fn expect_zeros(&mut self) -> Result<(), PackageFault> {
        let mut drain = [0; DRAIN_BYTES];
        loop {
            let n = self.fill(&mut drain)?;
            if n == 0 {
                return Ok(());
            }
            if drain.iter().take(n).any(|byte| *byte != 0) {
                return Err(PackageFault::refused("something follows the end of the archive"));
            }
        }
    }

    fn entry(&mut self, header: &Header, extension: &Extension) -> Result<Entry, PackageFault> {
        let name = header.name();
        let size_bytes = header.size()?;
        self.expect_room(size_bytes)?;
        self.left = size_bytes;
        self.padding = padding_of(size_bytes);
        let what = self.what_of(&name)?;
        header.expect_kind(what, &name)?;
        extension.expect_agreement(what, size_bytes, &name)?;
        self.expect_one_folder(what, size_bytes)?;
        let (mtime_s, mtime_ns) = extension.mtime(header.mtime()?, &name)?;
        Ok(Entry { what, size_bytes, executable: header.mode()? & 0o100 != 0, mtime_s, mtime_ns })
    }

    /// Refuses a size past the bound before a byte of it is read.
    fn expect_room(&self, size_bytes: u64) -> Result<(), PackageFault> {
        let max = self.limits.unpacked_bytes;
        if size_bytes > max.saturating_sub(self.unpacked) {
            return Err(PackageFault::Bound { bound: Bound::UnpackedBytes, max });
        }
        Ok(())
    }

    fn expect_one_folder(&mut self, what: What, size_bytes: u64) -> Result<(), PackageFault> {
        let folder = match what {
            What::Top => self.folders.first_mut(),
            What::Folder => self.folders.last_mut(),
            What::Orders | What::Number(_) => None,
        };
        match folder {
            Some(_) if size_bytes > 0 => Err(PackageFault::refused("a folder in it has contents")),
            Some(seen) if *seen => Err(PackageFault::refused("it holds its folder twice")),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn what_of(&self, name: &[u8]) -> Result<What, PackageFault> {
        let outside = || PackageFault::Refused(format!("it holds {}", quoted(name)));
        if matches!(name, b"." | b"./") {
            return Ok(What::Top);
        }
        let rest = without_dot(name).strip_prefix(FOLDER).ok_or_else(outside)?;
        match rest {
            b"" | b"/" => Ok(What::Folder),
            b"/orders" => Ok(What::Orders),
            [b'/', digits @ ..] => self.number(digits).ok_or_else(outside)?,
            _ => Err(outside()),
        }
    }

    /// Returns `None` where `digits` is no number as a package spells it.
    fn number(&self, digits: &[u8]) -> Option<Result<What, PackageFault>> {
        if !matches!(digits.first(), Some(b'1'..=b'9')) || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let max = self.limits.members;
        Some(match number {
            Some(number) if number <= max => Ok(What::Number(number)),
            _ => Err(PackageFault::Bound { bound: Bound::Members, max: max.into() }),
        })
    }

    fn long_name(&mut self, header: &Header, to: &mut Extension) -> Result<(), PackageFault> {
        let text = self.extension_text(header)?;
        let name = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if text.get(name.len()..).unwrap_or_default().iter().any(|byte| *byte != 0) {
            return Err(PackageFault::refused("a long name in it holds a NUL"));
        }
        match to.long_name.replace(self.what_of(name)?) {
            Some(_) => Err(PackageFault::refused("a file in it has two long names")),
            None => Ok(()),
        }
    }

    fn pax(&mut self, header: &Header, to: &mut Extension) -> Result<(), PackageFault> {
        let text = self.extension_text(header)?;
        let mut records = Records::default();
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = first_record(rest)
                .ok_or_else(|| PackageFault::refused("a pax header in it is malformed"))?;
            self.obey(key, value, &mut records)?;
            rest = after;
        }
        match to.records.replace(records) {
            Some(_) => Err(PackageFault::refused("a file in it has two pax headers")),
            None => Ok(()),
        }
    }

    fn obey(&self, key: &[u8], value: &[u8], to: &mut Records) -> Result<(), PackageFault> {
        let malformed = || PackageFault::Refused(format!("its pax record {} is bad", quoted(key)));
        let is_again = match key {
            b"path" => to.path.replace(self.what_of(value)?).is_some(),
            b"size" => to.size.replace(decimal(value).ok_or_else(malformed)?).is_some(),
            b"mtime" => to.mtime.replace(pax_time(value).ok_or_else(malformed)?).is_some(),
            _ if is_structural(key) => return Err(malformed()),
            _ => false,
        };
        if is_again { Err(malformed()) } else { Ok(()) }
    }

    /// A global header may comment (git archive does), but not say what files are.
    fn global(&mut self, header: &Header) -> Result<(), PackageFault> {
        let text = self.extension_text(header)?;
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let (key, _, after) = first_record(rest)
                .ok_or_else(|| PackageFault::refused("a pax header in it is malformed"))?;
            if is_structural(key) || matches!(key, b"path" | b"size") {
                let key = quoted(key);
                return Err(PackageFault::Refused(format!("a pax header sets {key} for all")));
            }
            rest = after;
        }
        Ok(())
    }

    fn extension_text(&mut self, header: &Header) -> Result<Vec<u8>, PackageFault> {
        let size = header.size()?;
        let max = TAR_RECORDS_BYTES_MAX;
        let Some(size) = usize::try_from(size).ok().filter(|size| *size as u64 <= max) else {
            return Err(PackageFault::Bound { bound: Bound::RecordsBytes, max });
        };
        let mut text = vec![0; size];
        if self.fill_all(&mut text)? < size {
            return Err(PackageFault::refused("the archive ends in the middle of a header"));
        }
        self.padding = padding_of(size as u64);
        Ok(text)
    }
}

impl Extension {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.records.is_none()
    }

    fn expect_agreement(&self, what: What, size: u64, name: &[u8]) -> Result<(), PackageFault> {
        let disagree = |on| {
            let name = quoted(name);
            Err(PackageFault::Refused(format!("the headers of {name} disagree on its {on}")))
        };
        let (path, pax_size) = self.records.as_ref().map_or((None, None), |r| (r.path, r.size));
        if [path, self.long_name].into_iter().flatten().any(|said| said != what) {
            return disagree("name");
        }
        if pax_size.is_some_and(|said| said != size) {
            return disagree("size");
        }
        Ok(())
    }

    /// Returns the finer time, unless it is another than the header's. A header that cannot hold a
    /// time holds a stand-in, which says nothing.
    fn mtime(&self, header_s: i64, name: &[u8]) -> Result<(i64, u32), PackageFault> {
        let Some((s, ns)) = self.records.as_ref().and_then(|records| records.mtime) else {
            return Ok((header_s, 0));
        };
        let fits = (0..=OCTAL_TIME_MAX).contains(&s);
        if fits && s.abs_diff(header_s) > 1 {
            let name = quoted(name);
            return Err(PackageFault::Refused(format!(
                "the headers of {name} disagree on its time"
            )));
        }
        Ok((s, ns))
    }
}

impl Header {
    /// Checks the header's own sum, which some old writers built of signed bytes.
    fn new(block: [u8; BLOCK_BYTES]) -> Result<Header, PackageFault> {
        let header = Header(block);
        let blank = |at: usize| (148..156).contains(&at);
        let bytes = || block.iter().enumerate().map(|(at, b)| if blank(at) { b' ' } else { *b });
        let unsigned: i128 = bytes().map(i128::from).sum();
        let signed: i128 = bytes().map(|byte| i128::from(byte.cast_signed())).sum();
        match octal(&block[148..156]) {
            Some(Some(sum)) if sum == unsigned || sum == signed => header.expect_dialect(),
            _ => Err(PackageFault::refused("a tar header's checksum is wrong")),
        }
    }

    fn expect_dialect(self) -> Result<Header, PackageFault> {
        match &self.0[257..263] {
            b"ustar\0" | b"ustar " | [0, 0, 0, 0, 0, 0] => Ok(self),
            _ => Err(PackageFault::refused("a tar header is of no dialect that is known")),
        }
    }

    /// Returns the name, the prefix of the ustar dialect before it.
    fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        if &self.0[257..263] != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, name].join(&b'/')
    }

    /// Returns the type; v7 has none and marks folders by a final slash.
    fn kind(&self) -> u8 {
        match self.0[156] {
            0 if text(&self.0[..100]).ends_with(b"/") => b'5',
            0 => b'0',
            kind => kind,
        }
    }

    fn expect_kind(&self, what: What, name: &[u8]) -> Result<(), PackageFault> {
        let is_folder = matches!(what, What::Top | What::Folder);
        let is_linked = self.0[157] != 0;
        match self.kind() {
            b'5' if is_folder && !is_linked => Ok(()),
            b'0' if !is_folder && !is_linked => Ok(()),
            b'5' => Err(PackageFault::Refused(format!("{} in it is a folder", quoted(name)))),
            kind => {
                let name = quoted(name);
                let kind = match kind {
                    b'0' if is_folder => "a file",
                    b'0'..=b'2' => "a link",
                    b'3' | b'4' => "a device",
                    b'6' => "a pipe",
                    b'S' => "a file with holes",
                    _ => "no regular file",
                };
                Err(PackageFault::Refused(format!("{name} in it is {kind}")))
            }
        }
    }

    fn size(&self) -> Result<u64, PackageFault> {
        number(&self.0[124..136])
            .flatten()
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| PackageFault::refused("a tar header's size is no number"))
    }

    fn mode(&self) -> Result<i128, PackageFault> {
        number(&self.0[100..108])
            .map(Option::unwrap_or_default)
            .ok_or_else(|| PackageFault::refused("a tar header's mode is no number"))
    }

    fn mtime(&self) -> Result<i64, PackageFault> {
        number(&self.0[136..148])
            .and_then(|mtime| i64::try_from(mtime.unwrap_or_default()).ok())
            .ok_or_else(|| PackageFault::refused("a tar header's time is no number"))
    }
}

/// Whether `name` is in a package's folder, or is the folder.
fn claims(name: &[u8]) -> bool {
    matches!(without_dot(name).strip_prefix(FOLDER), Some([] | [b'/', ..]))
}

fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}

/// Records that say which bytes are a file's, or that it is no plain file.
fn is_structural(key: &[u8]) -> bool {
    key == b"linkpath" || key == b"SCHILY.realsize" || key.starts_with(b"GNU.")
}

/// Splits `LENGTH KEY=VALUE\n` off the beginning: key, value, what follows.
fn first_record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = text.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(text.get(..digits)?)?).ok()?;
    let (record, after) = text.split_at_checked(length)?;
    let body = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (body.get(..equals)?, body.get(equals + 1..)?);
    if key.is_empty() { None } else { Some((key, value, after)) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Parses `[-]SECONDS[.FRACTION]` as seconds rounded down and nanoseconds above them.
fn pax_time(value: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let s = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    decimal(fraction.get(..1)?)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u32::from(fraction.get(at).map_or(0, |byte| byte - b'0'));
    let ns = (0..9).fold(0, |ns, at| ns * 10 + digit(at));
    match (is_negative, ns) {
        (false, _) => Some((s, ns)),
        (true, 0) => Some((-s, 0)),
        (true, _) => Some((-s - 1, 1_000_000_000 - ns)),
    }
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads a number, octal or in base 256: `None` is malformed, `Some(None)` is blank.
fn number(field: &[u8]) -> Option<Option<i128>> {
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            let first = i128::from((first << 1).cast_signed() >> 1);
            Some(Some(rest.iter().fold(first, |n, byte| (n << 8) | i128::from(*byte))))
        }
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<Option<i128>> {
    let is_blank = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().take_while(|byte| **byte == b' ').count();
    let field = field.get(start..)?;
    let digits = field.iter().take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, after) = field.split_at_checked(digits)?;
    if !after.iter().all(is_blank) {
        return None;
    }
    let value = digits.iter().fold(0, |n, digit| n * 8 + i128::from(digit - b'0'));
    Some(if digits.is_empty() { None } else { Some(value) })
}

fn padding_of(size_bytes: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    usize::try_from((block - size_bytes % block) % block).unwrap_or_default()
}

fn quoted(name: &[u8]) -> String {
    const SHOWN_MAX: usize = 120;
    let shown = name.get(..SHOWN_MAX).unwrap_or(name);
    format!("\"{}\"", crate::model::path::escaped(shown))
}
