//! What the folder of one set of parts holds: how its files are named, what is still missing, and
//! in which order the bytes are joined.
//!
//! Each part is a file under a name that says all that has to be known of it, so that a set needs
//! no list that could be torn. Invariant: a cover names each byte of the whole once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::PathBuf;
use std::vec::IntoIter;

use crate::format::digest::hex;
use crate::format::message::shar::Edges;
use crate::format::volume::Place;

/// What a part is of its whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// A run of bytes of so many.
    Volume { place: Place, total_bytes: u64 },
    /// Encoded lines, by their number among the parts of a shell archive.
    Piece { number: u32, edges: Edges },
    /// Lines of a mail, by their number among its fragments; `total` is 0 where it does not say.
    Fragment { number: u32, total: u32 },
}

/// A part that is here.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) share: Share,
    pub(super) path: PathBuf,
    /// Of the file.
    pub(super) bytes: u64,
    /// When it came, in nanoseconds since 1970.
    pub(super) came_ns: i128,
}

/// A run of bytes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) path: PathBuf,
    pub(super) from: u64,
    pub(super) length: u64,
}

/// Slices, read one after the other; one file is open at a time.
#[derive(Debug)]
pub(super) struct Joined {
    slices: IntoIter<Slice>,
    current: Option<Take<File>>,
}

/// Numbers of missing parts that are told.
const TOLD_MAX: usize = 8;

impl Share {
    /// Returns the file's name: the same share of the same bytes has the same.
    pub(super) fn file_name(&self, sha256: &[u8; 32]) -> String {
        let digest: String = hex(sha256).chars().take(16).collect();
        match self {
            Share::Volume { place: Place { number, count, offset, length_bytes }, total_bytes } => {
                format!("volume.{offset}.{length_bytes}.{total_bytes}.{number}.{count}.{digest}")
            }
            Share::Piece { number, edges } => {
                let (first, last) = (u8::from(edges.first), u8::from(edges.last));
                format!("piece.{number}.{first}.{last}.{digest}")
            }
            Share::Fragment { number, total } => format!("fragment.{number}.{total}.{digest}"),
        }
    }

    /// Reads what [`Share::file_name`] made.
    pub(super) fn of_file_name(name: &str) -> Option<Share> {
        let words: Vec<&str> = name.split('.').collect();
        let long = |word: &str| word.parse::<u64>().ok();
        let short = |word: &str| word.parse::<u32>().ok();
        match words.as_slice() {
            ["volume", offset, length, total, number, count, _] => Some(Share::Volume {
                place: Place {
                    number: short(number)?,
                    count: short(count)?,
                    offset: long(offset)?,
                    length_bytes: long(length)?,
                },
                total_bytes: long(total)?,
            }),
            ["piece", number, first, last, _] => Some(Share::Piece {
                number: short(number)?,
                edges: Edges { first: *first == "1", last: *last == "1" },
            }),
            ["fragment", number, total, _] => {
                Some(Share::Fragment { number: short(number)?, total: short(total)? })
            }
            _ => None,
        }
    }

    /// Whether both are the same share: of two that are, the later one counts.
    pub(super) fn is_same_as(&self, other: &Share) -> bool {
        match (self, other) {
            (
                Share::Volume { place, total_bytes },
                Share::Volume { place: other, total_bytes: other_bytes },
            ) => {
                (place.offset, place.length_bytes, total_bytes)
                    == (other.offset, other.length_bytes, other_bytes)
            }
            (Share::Piece { number, .. }, Share::Piece { number: other, .. })
            | (Share::Fragment { number, .. }, Share::Fragment { number: other, .. }) => {
                number == other
            }
            _ => false,
        }
    }
}

/// Returns what to join, in order, where the parts make a whole.
pub(super) fn cover(kept: &[Kept]) -> Option<Vec<Slice>> {
    let totals: BTreeSet<u64> = kept.iter().filter_map(total_of).collect();
    let of_volumes = totals.into_iter().find_map(|total| cover_volumes(kept, total));
    of_volumes.or_else(|| cover_pieces(kept)).or_else(|| cover_fragments(kept))
}

/// Says what is here and what is missing; `count` is how many parts a shell archive has, if that
/// is known.
pub(super) fn standing(kept: &[Kept], count: Option<u32>) -> String {
    let mut numbers = BTreeSet::new();
    let mut counts = BTreeSet::new();
    let mut last = None;
    for part in kept {
        match part.share {
            Share::Volume { place, .. } => {
                numbers.insert(place.number);
                counts.insert(place.count);
            }
            Share::Piece { number, edges } => {
                numbers.insert(number);
                last = last.max(edges.last.then_some(number));
            }
            Share::Fragment { number, total } => {
                numbers.insert(number);
                last = last.max((total > 0).then_some(total));
            }
        }
    }
    let here = numbers.len();
    let known = match counts.len() {
        0 => last.or(count),
        1 => counts.first().copied(),
        // Volumes that were cut anew on the way: their numbers tell nothing together.
        _ => {
            let (covered, total) = covered_bytes(kept);
            return format!("{} parts, {covered} of {total} bytes", kept.len());
        }
    };
    let Some(count) = known.filter(|count| numbers.last().is_none_or(|last| last <= count)) else {
        let parts = if here == 1 { "part" } else { "parts" };
        return format!("{here} {parts}, of how many is not known yet");
    };
    let missing: Vec<u32> = (1..=count).filter(|number| !numbers.contains(number)).collect();
    if missing.is_empty() {
        return format!("all {count} parts");
    }
    let told: Vec<String> = missing.iter().take(TOLD_MAX).map(u32::to_string).collect();
    let more = match missing.len().saturating_sub(TOLD_MAX) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{here} of {count} parts, waits for {}{more}", told.join(", "))
}

impl Joined {
    pub(super) fn new(slices: Vec<Slice>) -> Joined {
        Joined { slices: slices.into_iter(), current: None }
    }
}

impl Read for Joined {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(out)? {
                    0 if out.is_empty() => return Ok(0),
                    // It was shortened by somebody: what is missing is not made up for.
                    0 if current.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    0 => self.current = None,
                    n => return Ok(n),
                }
            } else {
                let Some(slice) = self.slices.next() else { return Ok(0) };
                let mut file = File::open(&slice.path)?;
                file.seek(SeekFrom::Start(slice.from))?;
                self.current = Some(file.take(slice.length));
            }
        }
    }
}

fn total_of(kept: &Kept) -> Option<u64> {
    match kept.share {
        Share::Volume { total_bytes, .. } => Some(total_bytes),
        Share::Piece { .. } | Share::Fragment { .. } => None,
    }
}

/// From place to place, always by the part that came last: it may mend an earlier one.
fn cover_volumes(kept: &[Kept], total: u64) -> Option<Vec<Slice>> {
    let lengths = kept.iter().map(|part| match part.share {
        Share::Volume { place, total_bytes } if total_bytes == total => place.length_bytes,
        _ => 0,
    });
    // Looked at closely only once there is enough: there may be thousands.
    if lengths.fold(0, u64::saturating_add) < total {
        return None;
    }
    let mut slices = Vec::new();
    let mut at = 0;
    while at < total {
        let holds_it = |part: &&Kept| match part.share {
            Share::Volume { place, total_bytes } => {
                total_bytes == total && place.offset <= at && at < place.end()
            }
            Share::Piece { .. } | Share::Fragment { .. } => false,
        };
        let part = kept.iter().filter(holds_it).max_by_key(|part| part.came_ns)?;
        let Share::Volume { place, .. } = part.share else { return None };
        // The header stands before the bytes.
        let header = part.bytes.checked_sub(place.length_bytes)?;
        let slice = Slice {
            path: part.path.clone(),
            from: header + (at - place.offset),
            length: place.end() - at,
        };
        at = place.end();
        slices.push(slice);
    }
    Some(slices)
}

/// All that there are, as the newest that says how many says.
fn cover_fragments(kept: &[Kept]) -> Option<Vec<Slice>> {
    let mut total = 0;
    let mut newest: BTreeMap<u32, &Kept> = BTreeMap::new();
    for part in kept {
        if let Share::Fragment { number, total: said } = part.share {
            total = if said > 0 { said } else { total };
            newest.insert(number, part);
        }
    }
    let whole = |part: &Kept| Slice { path: part.path.clone(), from: 0, length: part.bytes };
    let slices: Vec<Slice> = newest.range(..=total).map(|(_, part)| whole(part)).collect();
    let is_all = total > 0 && slices.len() == usize::try_from(total).unwrap_or(usize::MAX);
    is_all.then_some(slices)
}

/// From the piece that begins the file to the one that ends it, with none left out between.
fn cover_pieces(kept: &[Kept]) -> Option<Vec<Slice>> {
    let mut newest: BTreeMap<u32, (&Kept, Edges)> = BTreeMap::new();
    for part in kept {
        if let Share::Piece { number, edges } = part.share
            && newest.get(&number).is_none_or(|(other, _)| other.came_ns <= part.came_ns)
        {
            newest.insert(number, (part, edges));
        }
    }
    let first = newest.iter().rev().find(|(_, (_, edges))| edges.first);
    let (first, _) = first?;
    let mut slices = Vec::new();
    for number in *first.. {
        let (part, edges) = newest.get(&number)?;
        slices.push(Slice { path: part.path.clone(), from: 0, length: part.bytes });
        if edges.last {
            break;
        }
    }
    Some(slices)
}

/// How many bytes of the whole are here, and of how many.
fn covered_bytes(kept: &[Kept]) -> (u64, u64) {
    let mut places: Vec<Place> = Vec::new();
    let mut total = 0;
    for part in kept {
        if let Share::Volume { place, total_bytes } = part.share {
            places.push(place);
            total = total.max(total_bytes);
        }
    }
    places.sort_by_key(|place| place.offset);
    let (mut covered, mut at) = (0, 0);
    for place in places {
        let from = place.offset.max(at);
        covered += place.end().saturating_sub(from);
        at = at.max(place.end());
    }
    (covered, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(number: u32, count: u32, offset: u64, length_bytes: u64) -> Share {
        Share::Volume { place: Place { number, count, offset, length_bytes }, total_bytes: 10 }
    }

    fn piece(number: u32, first: bool, last: bool) -> Share {
        Share::Piece { number, edges: Edges { first, last } }
    }

    fn fragment(number: u32, total: u32) -> Share {
        Share::Fragment { number, total }
    }

    /// Parts that came in this order, each with a header of 3 bytes.
    fn kept(shares: &[Share]) -> Vec<Kept> {
        let part = |(at, share): (usize, &Share)| {
            let bytes = match share {
                Share::Volume { place, .. } => place.length_bytes + 3,
                Share::Piece { .. } | Share::Fragment { .. } => 7,
            };
            Kept { share: *share, path: at.to_string().into(), bytes, came_ns: at as i128 }
        };
        shares.iter().enumerate().map(part).collect()
    }

    /// File, from and length of each slice.
    fn covered(shares: &[Share]) -> Option<Vec<(usize, u64, u64)>> {
        let slices = cover(&kept(shares))?;
        let slice = |slice: Slice| {
            (slice.path.to_str().unwrap().parse().unwrap(), slice.from, slice.length)
        };
        Some(slices.into_iter().map(slice).collect())
    }

    #[test]
    fn names_are_read_back() {
        for share in
            [volume(3, 12, 5, 4), piece(2, false, true), piece(1, true, false), fragment(2, 3)]
        {
            let name = share.file_name(&[7; 32]);
            assert_eq!(Share::of_file_name(&name), Some(share), "{name}");
        }
        for name in ["note", "piece.x.1.0.d", "volume.1.2", "0707.sig", ""] {
            assert_eq!(Share::of_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_whole_is_found_in_any_order() {
        for (shares, expected) in [
            (vec![], None),
            (vec![volume(1, 1, 0, 10)], Some(vec![(0, 3, 10)])),
            (vec![volume(2, 2, 6, 4), volume(1, 2, 0, 6)], Some(vec![(1, 3, 6), (0, 3, 4)])),
            (vec![volume(2, 2, 6, 4)], None),
            (vec![volume(1, 2, 0, 6)], None),
            // Cut anew after the first: the later cuts count where both hold a byte.
            (
                vec![volume(1, 2, 0, 6), volume(2, 3, 4, 3), volume(3, 3, 7, 3)],
                Some(vec![(0, 3, 6), (1, 5, 1), (2, 3, 3)]),
            ),
            // Sent again after it had been spoiled.
            (vec![volume(1, 1, 0, 10), volume(1, 2, 0, 5)], Some(vec![(1, 3, 5), (0, 8, 5)])),
            (vec![piece(1, true, true)], Some(vec![(0, 0, 7)])),
            (
                vec![piece(3, false, true), piece(1, true, false), piece(2, false, false)],
                Some(vec![(1, 0, 7), (2, 0, 7), (0, 0, 7)]),
            ),
            (vec![piece(3, false, true), piece(1, true, false)], None),
            (vec![piece(1, true, false), piece(2, false, false)], None),
            (vec![piece(2, false, true)], None),
            // Another file ends in the part where this one begins.
            (vec![piece(4, true, false), piece(5, false, true)], Some(vec![(0, 0, 7), (1, 0, 7)])),
            (vec![fragment(2, 2), fragment(1, 0)], Some(vec![(1, 0, 7), (0, 0, 7)])),
            (vec![fragment(2, 0), fragment(1, 0)], None),
            (vec![fragment(3, 3), fragment(1, 3)], None),
            // Sent again, and cut anew.
            (
                vec![fragment(1, 3), fragment(2, 3), fragment(2, 2)],
                Some(vec![(0, 0, 7), (2, 0, 7)]),
            ),
        ] {
            assert_eq!(covered(&shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let two_of_12 = [volume(1, 12, 0, 1), volume(3, 12, 2, 1)];
        for (shares, count, expected) in [
            (&[volume(1, 3, 0, 4), volume(3, 3, 8, 2)][..], None, "2 of 3 parts, waits for 2"),
            (&two_of_12, None, "2 of 12 parts, waits for 2, 4, 5, 6, 7, 8, 9, 10 and 2 more"),
            (&[volume(1, 1, 0, 10)], None, "all 1 parts"),
            (&[volume(1, 2, 0, 5), volume(2, 3, 5, 2)], None, "2 parts, 7 of 10 bytes"),
            (&[piece(1, true, false)], None, "1 part, of how many is not known yet"),
            (&[piece(1, true, false)], Some(3), "1 of 3 parts, waits for 2, 3"),
            (&[piece(1, true, false), piece(3, false, true)], None, "2 of 3 parts, waits for 2"),
            (&[fragment(1, 0), fragment(3, 3)], None, "2 of 3 parts, waits for 2"),
            (&[fragment(1, 0)], None, "1 part, of how many is not known yet"),
            (&[piece(4, true, false)], Some(3), "1 part, of how many is not known yet"),
        ] {
            assert_eq!(standing(&kept(shares), count), expected);
        }
    }

    #[test]
    fn slices_are_read_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let slice = |name: &str, bytes: &[u8], from, length| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Slice { path, from, length }
        };
        let slices =
            vec![slice("a", b"..abc", 2, 2), slice("b", b"", 0, 0), slice("c", b"cde", 0, 3)];
        let read = |slices| io::read_to_string(Joined::new(slices));
        assert_eq!(read(slices).unwrap(), "abcde");
        let short = read(vec![slice("d", b"xy", 1, 2)]).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
