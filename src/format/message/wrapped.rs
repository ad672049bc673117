//! Files within files: S/MIME that is signed and not clear, TNEF (`winmail.dat`), AppleSingle, and
//! the driver for these and for `zip`.
//!
//! Nothing is kept of what is passed over, and nothing is trusted: no signature and no checksum is
//! looked at, for what comes out is judged by itself. Invariant: a format says how many bytes it
//! wants together ([`GATHER_MAX`] at most), how many passed over, how many handed on; it never
//! sees more.

use std::collections::VecDeque;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::content::{Content, Label};
use super::reader::Reader;
use super::zip::{self, Zip};
use super::{Mail, Past, Unread};
use crate::model::limits::{RATIO_FREE_BYTES, RATIO_MAX, UNPACKED_BYTES_MAX};

/// The most bytes that a format asks for together: a zip's name and extra field.
pub(super) const GATHER_MAX: usize = 2 * 0xffff;
const CHUNK_BYTES: usize = 16 << 10;

/// What a format wants to happen next.
pub(super) enum Next {
    /// Give me so many bytes together; nothing follows this in a plan.
    Gather(usize),
    /// Pass over so many.
    Skip(u64),
    /// A file begins, of this name; with why it cannot be read, if so.
    Open(Vec<u8>, Option<Unread>),
    /// A part of a mail begins, header and all.
    OpenMail,
    /// Hand on so many bytes to the file that is open.
    Take(u64),
    /// Hand on what a deflate stream holds.
    Inflate,
    /// The file that is open ends.
    Close,
    /// Nothing of interest follows.
    End,
}

/// How files lie in some kind of file.
pub(super) trait Format {
    /// Says what comes next, one after the other; `gathered` is what was asked for last.
    fn next(&mut self, gathered: &[u8]) -> Vec<Next>;
}

/// A file that holds others, taken apart as it comes.
pub(super) struct Wrapped {
    format: Box<dyn Format>,
    next: Next,
    plan: VecDeque<Next>,
    gathered: Vec<u8>,
    inflate: Option<Box<Decompress>>,
    inside: Option<Content>,
    label: Label,
    wraps: usize,
    packed: u64,
    unpacked: u64,
}

/// Returns the format of a file that begins so, where it is one that may hold others.
pub(super) fn format_of(head: &[u8]) -> Option<Box<dyn Format>> {
    if head.starts_with(zip::MAGIC) {
        Some(Box::new(Zip::default()))
    } else if head.starts_with(b"\x78\x9f\x3e\x22") {
        Some(Box::new(Tnef::default()))
    } else if head.starts_with(&[0, 5, 0x16, 0]) {
        Some(Box::new(AppleSingle::default()))
    } else if pkcs7_type(head) == Some(PKCS7_SIGNED) {
        Some(Box::new(Pkcs7::default()))
    } else {
        None
    }
}

/// Returns why a file that begins so cannot be read, where it is known to be such a one.
pub(super) fn unread(head: &[u8]) -> Option<Unread> {
    let magics: [(&[u8], &str); 6] = [
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x1f\x9d", "compress"),
    ];
    if let Some((_, name)) = magics.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(Unread::Archive(name));
    }
    if head.trim_ascii_start().starts_with(b"-----BEGIN PGP MESSAGE-----") || is_openpgp(head) {
        Some(Unread::OpenPgp)
    } else if matches!(pkcs7_type(head), Some(PKCS7_ENVELOPED | PKCS7_SMIME)) {
        Some(Unread::Smime)
    } else if is_unpacked(head) {
        Some(Unread::Unpacked)
    } else {
        zip::unread(head)
    }
}

/// A tar archive of ours without its gzip layer: the name of its first member.
fn is_unpacked(head: &[u8]) -> bool {
    let name = head.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = name.strip_prefix(b"./").unwrap_or(name);
    name.len() < head.len() && matches!(name, b".remsync-work/" | b".remsync-work/orders")
}

/// The first packet holds a session key (RFC 9580 sections 4.2, 5.1 and 5.3).
fn is_openpgp(head: &[u8]) -> bool {
    matches!(head, [0x84 | 0xc1, _, 3 | 6, ..] | [0x85, _, _, 3, ..] | [0x8c | 0xc3, _, 4..=6, ..])
}

const PKCS7_SIGNED: u8 = 2;
const PKCS7_ENVELOPED: u8 = 3;
/// Arcs below 1.2.840.113549.1.9.16.1, of which the one that matters is enveloped too.
const PKCS7_SMIME: u8 = 16;

/// The type of a CMS message (RFC 5652 section 3): a sequence that begins with its identifier.
fn pkcs7_type(head: &[u8]) -> Option<u8> {
    const PKCS7: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
    const AUTH_ENVELOPED: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";
    let (&0x30, rest) = head.split_first()? else { return None };
    let length_bytes = match rest.first()? {
        short @ ..0x80 => usize::from(*short == 0),
        long => usize::from(long & 0x7f),
    };
    let body = rest.get(1 + length_bytes..)?;
    if body.starts_with(AUTH_ENVELOPED) {
        return Some(PKCS7_SMIME);
    }
    body.strip_prefix(PKCS7)?.first().copied()
}

impl Wrapped {
    /// Returns the reader of a file of this format; `wraps` counts it in.
    pub(super) fn new(format: Box<dyn Format>, label: Label, wraps: usize) -> Wrapped {
        Wrapped {
            format,
            next: Next::Skip(0),
            plan: VecDeque::new(),
            gathered: Vec::new(),
            inflate: None,
            inside: None,
            label,
            wraps,
            packed: 0,
            unpacked: 0,
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mail: &mut Mail) -> io::Result<()> {
        self.packed += bytes.len() as u64;
        loop {
            let used = match &mut self.next {
                Next::End => return Ok(()),
                Next::Gather(n) => {
                    let want = (*n).min(GATHER_MAX).saturating_sub(self.gathered.len());
                    let (now, _) = bytes.split_at(want.min(bytes.len()));
                    self.gathered.extend_from_slice(now);
                    now.len()
                }
                Next::Skip(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= n as u64;
                    n
                }
                Next::Take(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= n as u64;
                    if let Some(inside) = &mut self.inside {
                        inside.feed(bytes.get(..n).unwrap_or_default(), mail)?;
                    }
                    n
                }
                Next::Inflate => self.inflate(bytes, mail)?,
                Next::Open(..) | Next::OpenMail | Next::Close => 0,
            };
            bytes = bytes.get(used..).unwrap_or_default();
            if !self.is_done() {
                return Ok(());
            }
            self.step(mail)?;
        }
    }

    /// Whether the format may say what comes next.
    fn is_done(&self) -> bool {
        match &self.next {
            Next::Gather(n) => self.gathered.len() >= (*n).min(GATHER_MAX),
            Next::Skip(left) | Next::Take(left) => *left == 0,
            Next::Inflate => self.inflate.is_none(),
            Next::Open(..) | Next::OpenMail | Next::Close => true,
            Next::End => false,
        }
    }

    fn step(&mut self, mail: &mut Mail) -> io::Result<()> {
        if self.plan.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.plan = self.format.next(&gathered).into();
        }
        self.next = self.plan.pop_front().unwrap_or(Next::End);
        match &self.next {
            Next::Open(name, unread) => {
                let label = self.label.inside(name);
                let content = match unread {
                    _ if !mail.count_part() => Content::skipped(),
                    Some(why) => Content::aside(*why, label, self.wraps),
                    None => Content::new(label, self.wraps),
                };
                self.inside = Some(content);
            }
            Next::OpenMail => {
                let reader = Reader::part(self.wraps, &self.label);
                self.inside = Some(Content::nested(reader, self.wraps));
            }
            Next::Close | Next::End => {
                if let Some(inside) = self.inside.take() {
                    inside.finish(mail)?;
                }
            }
            Next::Inflate => self.inflate = Some(Box::new(Decompress::new(false))),
            Next::Gather(_) | Next::Skip(_) | Next::Take(_) => {}
        }
        Ok(())
    }

    /// Unpacks some of `bytes`; returns how many were used. The stream is dropped at its end.
    fn inflate(&mut self, bytes: &[u8], mail: &mut Mail) -> io::Result<usize> {
        let Some(inflate) = &mut self.inflate else { return Ok(0) };
        let mut out = vec![0; CHUNK_BYTES];
        let mut used = 0;
        loop {
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let input = bytes.get(used..).unwrap_or_default();
            let status = inflate.decompress(input, &mut out, FlushDecompress::None);
            let took = usize::try_from(inflate.total_in() - before_in).unwrap_or_default();
            let gave = usize::try_from(inflate.total_out() - before_out).unwrap_or_default();
            used += took;
            self.unpacked += gave as u64;
            if let Some(inside) = &mut self.inside {
                inside.feed(out.get(..gave).unwrap_or_default(), mail)?;
            }
            let is_bomb = self.unpacked > UNPACKED_BYTES_MAX
                || self.unpacked > RATIO_FREE_BYTES && self.unpacked / RATIO_MAX > self.packed;
            match status {
                _ if is_bomb => {
                    mail.past(Past::Unpacked);
                    return self.give_up(mail).map(|()| used);
                }
                Ok(Status::StreamEnd) => {
                    self.inflate = None;
                    return Ok(used);
                }
                Ok(_) if took > 0 || gave > 0 => {}
                Ok(_) if used >= bytes.len() => return Ok(used),
                // Damaged: what came of the file is judged by itself.
                Ok(_) | Err(_) => return self.give_up(mail).map(|()| used),
            }
        }
    }

    fn give_up(&mut self, mail: &mut Mail) -> io::Result<()> {
        self.next = Next::End;
        self.inside.take().map_or(Ok(()), |inside| inside.finish(mail))
    }

    /// Ends it, wherever it stands.
    pub(super) fn finish(self, mail: &mut Mail) -> io::Result<()> {
        self.inside.map_or(Ok(()), |inside| inside.finish(mail))
    }
}

/// TNEF (MS-OXTNEF): a row of attributes, some of which are the bytes of attachments.
#[derive(Default)]
struct Tnef {
    begun: bool,
}

impl Format for Tnef {
    fn next(&mut self, gathered: &[u8]) -> Vec<Next> {
        const ATTACHMENT_DATA: [u8; 4] = 0x0006_800f_u32.to_le_bytes();
        if !std::mem::replace(&mut self.begun, true) {
            // Signature and key.
            return vec![Next::Skip(6), Next::Gather(9)];
        }
        // Level, identifier, length; a checksum of two bytes follows the value.
        let &[1 | 2, i, j, k, l, a, b, c, d] = gathered else { return vec![Next::End] };
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let mut value = match [i, j, k, l] {
            ATTACHMENT_DATA => {
                vec![Next::Open(Vec::new(), None), Next::Take(length), Next::Close]
            }
            _ => vec![Next::Skip(length)],
        };
        value.extend([Next::Skip(2), Next::Gather(9)]);
        value
    }
}

/// AppleSingle (RFC 1740, appendix A): a table of entries, one of which is the data fork.
#[derive(Default)]
struct AppleSingle {
    begun: bool,
    table_bytes: Option<usize>,
}

const APPLE_HEADER_BYTES: usize = 26;
const APPLE_ENTRY_BYTES: usize = 12;
/// Entries that are looked at: there are 15 kinds.
const APPLE_ENTRIES_MAX: usize = 64;

impl Format for AppleSingle {
    fn next(&mut self, gathered: &[u8]) -> Vec<Next> {
        if !std::mem::replace(&mut self.begun, true) {
            return vec![Next::Gather(APPLE_HEADER_BYTES)];
        }
        let Some(table_bytes) = self.table_bytes else {
            let Some(&[high, low]) = gathered.last_chunk::<2>() else { return vec![Next::End] };
            let entries = usize::from(u16::from_be_bytes([high, low])).min(APPLE_ENTRIES_MAX);
            self.table_bytes = Some(entries * APPLE_ENTRY_BYTES);
            return vec![Next::Gather(entries * APPLE_ENTRY_BYTES)];
        };
        let before = (APPLE_HEADER_BYTES + table_bytes) as u64;
        let data_fork = gathered.chunks_exact(APPLE_ENTRY_BYTES).find_map(|entry| match entry {
            &[0, 0, 0, 1, a, b, c, d, e, f, g, h] => {
                let offset = u64::from(u32::from_be_bytes([a, b, c, d]));
                Some((offset.checked_sub(before)?, u32::from_be_bytes([e, f, g, h])))
            }
            _ => None,
        });
        let Some((skip, length)) = data_fork else { return vec![Next::End] };
        vec![
            Next::Skip(skip),
            Next::Open(Vec::new(), None),
            Next::Take(length.into()),
            Next::Close,
            Next::End,
        ]
    }
}

/// CMS signed data (RFC 5652 section 5), BER or DER: the first octet string in it is a part of a
/// mail, whole or in pieces. Sets before it name digests.
#[derive(Default)]
struct Pkcs7 {
    /// Of the element whose length is being read.
    tag: Option<u8>,
    begun: bool,
    in_pieces: bool,
}

impl Format for Pkcs7 {
    fn next(&mut self, gathered: &[u8]) -> Vec<Next> {
        if !std::mem::replace(&mut self.begun, true) {
            return vec![Next::Gather(2)];
        }
        match (self.tag.take(), gathered) {
            (Some(tag), length) => {
                let length = length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                self.element(tag, Some(length))
            }
            (None, &[tag, short @ ..0x80]) => self.element(tag, Some(short.into())),
            (None, &[tag, 0x80]) => self.element(tag, None),
            (None, &[tag, long]) if long <= 0x88 => {
                self.tag = Some(tag);
                vec![Next::Gather(usize::from(long & 0x7f))]
            }
            _ => vec![Next::End],
        }
    }
}

impl Pkcs7 {
    /// One element; its length is `None` where an end mark will come.
    fn element(&mut self, tag: u8, length: Option<u64>) -> Vec<Next> {
        const OCTETS: u8 = 0x04;
        const OCTETS_IN_PIECES: u8 = 0x24;
        const SET: u8 = 0x31;
        const CONSTRUCTED: u8 = 0x20;
        match (tag, length) {
            (OCTETS, Some(length)) if self.in_pieces => {
                vec![Next::Take(length), Next::Gather(2)]
            }
            (OCTETS_IN_PIECES, _) if self.in_pieces => vec![Next::Gather(2)],
            _ if self.in_pieces => vec![Next::Close, Next::End],
            (OCTETS, Some(length)) => {
                vec![Next::OpenMail, Next::Take(length), Next::Close, Next::End]
            }
            (OCTETS_IN_PIECES, _) => {
                self.in_pieces = true;
                vec![Next::OpenMail, Next::Gather(2)]
            }
            (SET, Some(length)) => vec![Next::Skip(length), Next::Gather(2)],
            (tag, _) if tag & CONSTRUCTED != 0 => vec![Next::Gather(2)],
            (_, Some(length)) => vec![Next::Skip(length), Next::Gather(2)],
            (_, None) => vec![Next::End],
        }
    }
}
