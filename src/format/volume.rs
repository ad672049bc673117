//! Volumes: one package too large for a mail, in numbered parts, each in a mail of its own.
//!
//! A volume is a few lines of text, an empty line, and a run of the package's bytes:
//!
//! ```text
//! format  remsync-volume 1
//! here    port@land.example
//! whole   (SHA-256 of the package) (its bytes)
//! volume  3 12
//! bytes   (offset) (length) (SHA-256 of these bytes)
//!
//! ...
//! ```
//!
//! It cuts and describes; it holds no bytes and joins none. Invariant: what is read as a header
//! describes a run that lies within its package, and the header has six lines, always, so that
//! `tail -n +7` gives the bytes.

use std::num::NonZeroU64;

use super::digest::hex;
use super::statement;
use crate::model::Address;
use crate::model::limits::{PACKAGE_BYTES_MAX, VOLUME_HEADER_BYTES_MAX, VOLUMES_MAX};

/// What every volume begins with, whatever its version.
pub const MAGIC: &[u8] = b"format\tremsync-volume ";

/// Where a volume lies in its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub number: u32,
    /// How many there are.
    pub count: u32,
    /// Where its bytes begin.
    pub offset: u64,
    /// How many there are; never 0.
    pub length_bytes: u64,
}

/// What a volume says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The site that wrote the package; not proved.
    pub here: Address,
    /// SHA-256 of the package.
    pub whole: [u8; 32],
    /// Bytes of the package.
    pub total_bytes: u64,
    /// Which of its bytes these are.
    pub place: Place,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
}

/// Why a header is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VolumeFault {
    /// A later version of the format.
    #[error("a volume of a format that is not known here: {0:?}")]
    Version(String),
    /// A line is not what it has to be, or the text ends early.
    #[error("its header is damaged at the line \"{0}\"")]
    Line(&'static str),
    /// A number past a bound of `limits.rs`, or a run outside the package.
    #[error("its header says what cannot be: {0}")]
    Bound(String),
}

impl Place {
    /// Returns where its bytes end.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length_bytes)
    }

    /// Returns the name for people: `remsync.tar.gz.03of12`.
    pub fn file_name(&self, package: &str) -> String {
        let width = self.count.to_string().len();
        format!("{package}.{:0width$}of{}", self.number, self.count)
    }
}

/// Returns the name of the package that a volume called `name` is of: `X` for `X.03of12`; `None` for
/// any other name.
pub fn whole_name(name: &[u8]) -> Option<&[u8]> {
    let at = name.iter().rposition(|byte| *byte == b'.')?;
    let (whole, part) = name.split_at(at);
    let of = part.windows(2).position(|two| two == b"of")?;
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let (number, count) = (part.get(1..of)?, part.get(of + 2..)?);
    (!whole.is_empty() && is_number(number) && is_number(count)).then_some(whole)
}

/// Returns the header with its empty line.
pub fn header(volume: &Volume) -> Vec<u8> {
    let Volume { here, whole, total_bytes, place, sha256 } = volume;
    let Place { number, count, offset, length_bytes } = place;
    let (whole, sha256) = (hex(whole), hex(sha256));
    format!(
        "format\tremsync-volume 1\n\
         here\t{here}\n\
         whole\t{whole} {total_bytes}\n\
         volume\t{number} {count}\n\
         bytes\t{offset} {length_bytes} {sha256}\n\
         \n"
    )
    .into_bytes()
}

/// Reads the header at the beginning of `bytes`; returns also its length.
///
/// # Errors
/// A [`VolumeFault`]; `bytes` that hold no whole header are one.
pub fn parse(bytes: &[u8]) -> Result<(Volume, usize), VolumeFault> {
    let mut header = Header { rest: bytes.get(..VOLUME_HEADER_BYTES_MAX).unwrap_or(bytes) };
    let room = header.rest.len();
    match header.line("format")? {
        "remsync-volume 1" => {}
        other => return Err(VolumeFault::Version(other.chars().take(40).collect())),
    }
    let here = header.line("here")?;
    let here = Address::new(here).map_err(|_| VolumeFault::Line("here"))?;
    let [whole, total_bytes] = header.words("whole")?;
    let [number, count] = header.words("volume")?;
    let [offset, length_bytes, sha256] = header.words("bytes")?;
    header.rest = header.rest.strip_prefix(b"\n").ok_or(VolumeFault::Line(""))?;
    let volume = Volume {
        here,
        whole: digest(whole).ok_or(VolumeFault::Line("whole"))?,
        total_bytes: decimal(total_bytes).ok_or(VolumeFault::Line("whole"))?,
        place: Place {
            number: small(number).ok_or(VolumeFault::Line("volume"))?,
            count: small(count).ok_or(VolumeFault::Line("volume"))?,
            offset: decimal(offset).ok_or(VolumeFault::Line("bytes"))?,
            length_bytes: decimal(length_bytes).ok_or(VolumeFault::Line("bytes"))?,
        },
        sha256: digest(sha256).ok_or(VolumeFault::Line("bytes"))?,
    };
    check(&volume)?;
    Ok((volume, room - header.rest.len()))
}

/// Returns the room that makes volumes of about one size out of `bytes`, as few as with
/// `room_bytes`.
pub fn even_room(bytes: u64, room_bytes: NonZeroU64) -> NonZeroU64 {
    let count = bytes.div_ceil(room_bytes.get()).max(1);
    NonZeroU64::new(bytes.div_ceil(count)).unwrap_or(room_bytes)
}

/// Cuts the bytes from `from` to `total_bytes` of a package into volumes of `room_bytes`, the last
/// one of what is left; `before` were sent already and keep their numbers. `None`: there would be
/// more than [`VOLUMES_MAX`], or nothing is left.
///
/// What is left of a plan is cut as the plan had it, as long as the room is the same: a volume that
/// is sent again is the same volume.
pub fn plan(
    from: u64,
    total_bytes: u64,
    room_bytes: NonZeroU64,
    before: u32,
) -> Option<Vec<Place>> {
    let left = total_bytes.checked_sub(from).filter(|left| *left > 0)?;
    let room = room_bytes.get();
    let more = u32::try_from(left.div_ceil(room)).ok()?;
    let count = more.checked_add(before).filter(|all| *all <= VOLUMES_MAX)?;
    let place = |number: u32| {
        let offset = from + u64::from(number - before - 1) * room;
        Place { number, count, offset, length_bytes: room.min(total_bytes.saturating_sub(offset)) }
    };
    Some((before + 1..=count).map(place).collect())
}

/// What is left of a header.
struct Header<'a> {
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    /// Takes a line; returns what stands behind its keyword.
    fn line(&mut self, keyword: &'static str) -> Result<&'a str, VolumeFault> {
        let fault = || VolumeFault::Line(keyword);
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(fault)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| fault())?;
        line.strip_prefix(keyword).and_then(|rest| rest.strip_prefix('\t')).ok_or_else(fault)
    }

    fn words<const N: usize>(
        &mut self,
        keyword: &'static str,
    ) -> Result<[&'a str; N], VolumeFault> {
        let words: Vec<&str> = self.line(keyword)?.split(' ').collect();
        words.try_into().map_err(|_| VolumeFault::Line(keyword))
    }
}

fn check(volume: &Volume) -> Result<(), VolumeFault> {
    let Volume { total_bytes, place, .. } = volume;
    let fault = if *total_bytes > PACKAGE_BYTES_MAX {
        format!("a package over {PACKAGE_BYTES_MAX} bytes")
    } else if place.count > VOLUMES_MAX {
        format!("more than {VOLUMES_MAX} volumes")
    } else if place.number == 0 || place.number > place.count {
        format!("number {} of {}", place.number, place.count)
    } else if place.length_bytes == 0 {
        "a volume of no bytes".to_owned()
    } else if place.offset.checked_add(place.length_bytes).is_none_or(|end| end > *total_bytes) {
        "bytes past the end of its package".to_owned()
    } else {
        return Ok(());
    };
    Err(VolumeFault::Bound(fault))
}

fn digest(word: &str) -> Option<[u8; 32]> {
    statement::hex(word.as_bytes())
}

/// A number as it is printed: no sign, no leading zero.
fn decimal(word: &str) -> Option<u64> {
    let number: u64 = word.parse().ok()?;
    (number.to_string() == word).then_some(number)
}

fn small(word: &str) -> Option<u32> {
    u32::try_from(decimal(word)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        Volume {
            here: Address::new("port@land.example").unwrap(),
            whole: [0xab; 32],
            total_bytes: 100,
            place: Place { number: 3, count: 12, offset: 20, length_bytes: 10 },
            sha256: [0xcd; 32],
        }
    }

    #[test]
    fn what_is_printed_is_read() {
        let text = [header(&volume()), b"the bytes\n\n".to_vec()].concat();
        let (read, length) = parse(&text).unwrap();
        assert_eq!(read, volume());
        assert_eq!(&text[length..], b"the bytes\n\n");
        assert!(text.starts_with(MAGIC));
        assert_eq!(header(&volume()).iter().filter(|byte| **byte == b'\n').count(), 6);
        for cut in 0..length {
            assert!(parse(&text[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let text = String::from_utf8(header(&volume())).unwrap();
        let total = format!("whole\t{} 100", hex(&[0xab; 32]));
        let past = format!("whole\t{} {}", hex(&[0xab; 32]), PACKAGE_BYTES_MAX + 1);
        let at = format!("whole\t{} {PACKAGE_BYTES_MAX}", hex(&[0xab; 32]));
        for (from, to, word) in [
            ("remsync-volume 1", "remsync-volume 2", "not known here"),
            ("here\tport@land.example", "here\tnobody nowhere", "here"),
            ("here\t", "here ", "here"),
            ("volume\t3 12", "volume\t0 12", "number 0 of 12"),
            ("volume\t3 12", "volume\t13 12", "number 13 of 12"),
            ("volume\t3 12", "volume\t3 10001", "more than 10000 volumes"),
            ("volume\t3 12", "volume\t03 12", "volume"),
            ("volume\t3 12", "volume\t+3 12", "volume"),
            ("volume\t3 12", "volume\t3 12 1", "volume"),
            ("bytes\t20 10", "bytes\t91 10", "past the end"),
            ("bytes\t20 10", "bytes\t20 0", "no bytes"),
            ("bytes\t20 10", "bytes\t20 18446744073709551615", "past the end"),
            ("bytes\t20 10", "bytes\t20 1x", "bytes"),
            (total.as_str(), past.as_str(), "a package over"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            let fault = parse(changed.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(word), "{to}: {fault}");
        }
        for (from, to) in
            [("volume\t3 12", "volume\t3 10000"), ("bytes\t20", "bytes\t90"), (&total, &at)]
        {
            assert!(parse(text.replace(from, to).as_bytes()).is_ok(), "{to}");
        }
    }

    #[test]
    fn a_plan_covers_the_package_once() {
        for (from, total, room, before) in [
            (0, 1, 1, 0),
            (0, 100, 100, 0),
            (0, 101, 100, 0),
            (0, 7, 3, 0),
            (50, 101, 10, 5),
            (0, 10_000, 1, 0),
        ] {
            let places = plan(from, total, NonZeroU64::new(room).unwrap(), before).unwrap();
            let mut at = from;
            for (n, place) in places.iter().enumerate() {
                assert_eq!(place.number, before + 1 + n as u32);
                assert_eq!(place.count, before + places.len() as u32);
                assert_eq!(place.offset, at, "{places:?}");
                assert!((1..=room).contains(&place.length_bytes), "{places:?}");
                at = place.end();
            }
            assert_eq!(at, total);
        }
        let one = NonZeroU64::MIN;
        // The rest of a plan is that of the plan.
        for (total, room) in [(290_737, 70_000), (7, 3), (10, 10), (1, 5), (100, 1)] {
            let even = even_room(total, NonZeroU64::new(room).unwrap());
            assert!(even.get() <= room);
            let all = plan(0, total, even, 0).unwrap();
            assert_eq!(all.len() as u64, total.div_ceil(room));
            let sizes = all.iter().map(|place| place.length_bytes);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= all.len() as u64);
            for (at, place) in all.iter().enumerate().skip(1) {
                let rest = plan(place.offset, total, even, place.number - 1).unwrap();
                assert_eq!(rest, all[at..], "{total} {room}");
            }
        }
        assert_eq!(plan(0, 10_001, one, 0), None);
        assert_eq!(plan(0, 9_999, one, 2), None);
        assert_eq!(plan(5, 5, one, 0), None);
        assert_eq!(plan(6, 5, one, 0), None);
    }

    #[test]
    fn names_sort_as_the_volumes_do() {
        let place = |number, count| Place { number, count, ..volume().place };
        assert_eq!(place(3, 12).file_name("remsync.tar.gz"), "remsync.tar.gz.03of12");
        assert_eq!(place(3, 3).file_name("a"), "a.3of3");
        for (name, whole) in [
            ("remsync.tar.gz.03of12", Some("remsync.tar.gz")),
            ("a.3of3", Some("a")),
            (".3of3", None),
            ("a.of3", None),
            ("a.3of", None),
            ("a.3x3", None),
            ("a3of3", None),
            ("a.3of3.sig", None),
        ] {
            assert_eq!(whole_name(name.as_bytes()), whole.map(str::as_bytes), "{name}");
        }
    }
}
