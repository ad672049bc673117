//! Zip archives as a stream: local headers and what follows them, stored or deflated.
//!
//! The directory at the end is not looked at, for it comes last: what it alone could say is not
//! needed. Invariant: an entry that cannot be read ends nothing but itself.

use super::Unread;
use super::wrapped::{Format, Next};

/// What a zip archive begins with: the first local header.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// A local header without its signature, name and extra field.
const HEADER_BYTES: usize = 26;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const LOCKED: u16 = 1;
/// Lengths follow the data.
const STREAMED: u16 = 8;

/// Where the reading of an archive is.
#[derive(Default)]
pub(super) struct Zip {
    at: At,
}

#[derive(Clone, Copy, Default)]
enum At {
    #[default]
    Start,
    Signature,
    Header,
    Names(Header),
    /// After data whose length is not known: the last four bytes.
    Seeking([u8; 4]),
}

/// A local header (APPNOTE 4.3.7).
#[derive(Clone, Copy)]
struct Header {
    flags: u16,
    method: u16,
    packed_bytes: u32,
    unpacked_bytes: u32,
    name_bytes: usize,
    extra_bytes: usize,
}

/// Returns why the first entry of an archive cannot be read, if so.
pub(super) fn unread(head: &[u8]) -> Option<Unread> {
    let header = head.strip_prefix(MAGIC)?.get(..HEADER_BYTES)?;
    Header::of(header)?.unread()
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        let u16_at = |at: usize| bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two));
        let u32_at =
            |at: usize| bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four));
        Some(Header {
            flags: u16_at(2)?,
            method: u16_at(4)?,
            packed_bytes: u32_at(14)?,
            unpacked_bytes: u32_at(18)?,
            name_bytes: u16_at(22)?.into(),
            extra_bytes: u16_at(24)?.into(),
        })
    }

    fn is_streamed(&self) -> bool {
        self.flags & STREAMED != 0 && self.packed_bytes == 0
    }

    fn unread(&self) -> Option<Unread> {
        match self.method {
            _ if self.flags & LOCKED != 0 => Some(Unread::ZipLocked),
            STORED | DEFLATED => None,
            _ => Some(Unread::Zip),
        }
    }

    /// Returns the length of the data, which may stand in the extra field (APPNOTE 4.5.3).
    fn packed_bytes(&self, mut extra: &[u8]) -> u64 {
        if self.packed_bytes != u32::MAX {
            return self.packed_bytes.into();
        }
        while let Some((&[a, b, c, d], rest)) = extra.split_first_chunk::<4>() {
            let length = usize::from(u16::from_le_bytes([c, d]));
            let (value, after) = rest.split_at_checked(length).unwrap_or((rest, b""));
            if [a, b] == [1, 0] {
                let at = if self.unpacked_bytes == u32::MAX { 8 } else { 0 };
                let bytes = value.get(at..).and_then(<[u8]>::first_chunk);
                return bytes.map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
            }
            extra = after;
        }
        u64::MAX
    }
}

impl Format for Zip {
    fn next(&mut self, gathered: &[u8]) -> Vec<Next> {
        match self.at {
            At::Start => {
                self.at = At::Signature;
                vec![Next::Gather(MAGIC.len())]
            }
            At::Signature if gathered == MAGIC => self.header(),
            At::Signature => vec![Next::End],
            At::Header => match Header::of(gathered) {
                Some(header) => {
                    self.at = At::Names(header);
                    vec![Next::Gather(header.name_bytes + header.extra_bytes)]
                }
                None => vec![Next::End],
            },
            At::Names(header) => self.entry(&header, gathered),
            At::Seeking([_, a, b, c]) => {
                let last = [a, b, c, gathered.first().copied().unwrap_or_default()];
                self.at = At::Seeking(last);
                match &last {
                    last if last == MAGIC => self.header(),
                    b"PK\x01\x02" | b"PK\x05\x06" => vec![Next::End],
                    _ => vec![Next::Gather(1)],
                }
            }
        }
    }
}

impl Zip {
    fn header(&mut self) -> Vec<Next> {
        self.at = At::Header;
        vec![Next::Gather(HEADER_BYTES)]
    }

    fn entry(&mut self, header: &Header, names: &[u8]) -> Vec<Next> {
        let (name, extra) = names.split_at_checked(header.name_bytes).unwrap_or((names, b""));
        let unread = header.unread();
        let data = match header.method {
            DEFLATED if unread.is_none() => Next::Inflate,
            // It cannot be told where it ends; gzip tells of itself.
            _ if header.is_streamed() => Next::Take(u64::MAX),
            _ => Next::Take(header.packed_bytes(extra)),
        };
        let open = Next::Open(name.to_vec(), unread);
        let mut plan = vec![open, data, Next::Close];
        if header.flags & STREAMED != 0 {
            self.at = At::Seeking([0; 4]);
            plan.push(Next::Gather(1));
        } else {
            self.at = At::Signature;
            plan.push(Next::Gather(MAGIC.len()));
        }
        plan
    }
}
