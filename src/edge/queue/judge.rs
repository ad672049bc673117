//! What the bytes of a candidate are, found within fixed memory.
//!
//! It keeps nothing and changes nothing; the grammar of packages itself is `format::package`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{GzDecoder, MultiGzDecoder};

use crate::edge::window::Window;
use crate::format::message::{self, Kind};
use crate::format::orders;
use crate::format::package::{self, Bound, Limits, NoSink, PackageFault};
use crate::model::limits::{RATIO_FREE_BYTES, RATIO_MAX, UNPACKED_BYTES_MAX};
use crate::model::orders::Orders;

/// What the bytes of a candidate turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// A sound package, and what it says of itself.
    Sound {
        /// The project's title.
        title: String,
        /// Address of the site that wrote it.
        origin: String,
        /// Address of the site that it is for.
        visit: String,
        /// Its number, or 0.
        serial: u64,
    },
    /// Sealed with age: only who holds the key can tell.
    Sealed,
    /// Other people's business.
    NotAPackage,
    /// It claims to be a package and is not sound, for this reason.
    Refused(String),
}

/// Bytes that tell what a file is.
pub(super) const HEAD_BYTES: u64 = 64;
/// What of a package is judged on delivery; rows and members are held in memory.
const JUDGED_MEMBERS_MAX: u32 = 10_000;
const JUDGED_ORDERS_BYTES_MAX: u64 = 256 << 10;
const JUDGED_ORDERS_LINES_MAX: u64 = 20_000;
/// Unpacked bytes in which orders are looked for that are too long to be judged.
const ORDERS_SEARCH_BYTES: u64 = 256 << 20;

/// Judges the bytes of a candidate as far as fixed memory allows; returns also where what counts
/// of them ends. Orders that are longer than that are left for `process` to read.
///
/// # Errors
/// Trouble in reading; what the bytes hold is no error.
pub fn judge(file: &File) -> io::Result<(Judgement, u64)> {
    let size = file.metadata()?.len();
    match kind_of(file, size)? {
        Some(Kind::Gzip) => {}
        Some(Kind::Sealed) => return Ok((Judgement::Sealed, size)),
        Some(_) | None => return Ok((Judgement::NotAPackage, size)),
    }
    match judge_gzip(file, size)? {
        (Judgement::NotAPackage, _) => Ok((Judgement::NotAPackage, size)),
        (sound @ Judgement::Sound { .. }, unpacked) if ends_itself(file, size, unpacked)? => {
            Ok((sound, size))
        }
        (judgement, _) => match gzip_end(file, size)? {
            GzipEnd::At(end) if end < size => Ok((judge_gzip(file, end)?.0, end)),
            _ => Ok((judgement, size)),
        },
    }
}

/// Whether a sound gzip stream, of which it may be known to how many bytes it unpacks, is all there
/// is: zeros may follow it unseen.
///
/// RFC 1952 section 2.3.1: its last four bytes are the length of what its last member unpacks to,
/// the lowest byte first. Where that is under 16 MiB the last byte is zero; but zeros behind it would
/// move the others, and then they would tell a length that no member can have.
fn ends_itself(file: &File, size: u64, unpacked: Option<u64>) -> io::Result<bool> {
    let mut end = Vec::new();
    Window::from(file, size.saturating_sub(4), size).read_to_end(&mut end)?;
    let told = <[u8; 4]>::try_from(end.as_slice()).map(u32::from_le_bytes);
    let unpacked = unpacked.filter(|bytes| *bytes < 1 << 24);
    let is_told = told.is_ok_and(|told| unpacked == Some(told.into()));
    Ok(is_told || end.last().is_some_and(|byte| *byte != 0))
}

/// Judges what was called a package and shows nothing of one: a gzip stream that cannot be read to
/// its end may have been one, and one within another may be.
pub(super) fn judge_claim(file: &File) -> io::Result<Judgement> {
    let size = file.metadata()?.len();
    if kind_of(file, size)? != Some(Kind::Gzip) {
        return Ok(Judgement::NotAPackage);
    }
    let why = match gzip_end(file, size)? {
        GzipEnd::Missing => "it is cut short, before anything of it could be read",
        GzipEnd::Unsound => "it was damaged on its way, before anything of it could be read",
        GzipEnd::At(_) if is_packed_twice(file, size)? => {
            "something on its way compressed it once more: unpack it once with gzip, and give that \
             to \"remsync process FILE\""
        }
        GzipEnd::At(_) => return Ok(Judgement::NotAPackage),
    };
    Ok(Judgement::Refused(why.to_owned()))
}

fn is_packed_twice(file: &File, size: u64) -> io::Result<bool> {
    let inner = MultiGzDecoder::new(BufReader::new(Window::new(file, size)));
    // What cannot be unpacked is none; the disk was read to its end before.
    Ok(package::peek(inner).unwrap_or(false))
}

/// Returns whether a file that begins so looks like nothing of ours: other people's archives need
/// not be written to the disk.
pub(super) fn is_foreign(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    match kind_of(file, size)? {
        Some(Kind::Gzip) => Ok(!package::peek(Window::new(file, size))?),
        Some(Kind::Sealed) => Ok(false),
        Some(_) | None => Ok(true),
    }
}

/// Returns whether a file begins as a volume of a package does.
///
/// # Errors
/// Trouble in reading.
pub fn is_volume(file: &File) -> io::Result<bool> {
    Ok(kind_of(file, HEAD_BYTES)? == Some(Kind::Volume))
}

fn kind_of(file: &File, size: u64) -> io::Result<Option<Kind>> {
    let mut head = Vec::new();
    Window::new(file, size).take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(message::kind(&head))
}

/// Judges a gzip stream; of one that was read to its end, returns also the bytes of its archive.
fn judge_gzip(file: &File, end: u64) -> io::Result<(Judgement, Option<u64>)> {
    let within = Limits {
        members: JUDGED_MEMBERS_MAX,
        orders_bytes: JUDGED_ORDERS_BYTES_MAX,
        orders_lines: JUDGED_ORDERS_LINES_MAX,
        ..Limits::default()
    };
    match package::read_within(Window::new(file, end), &mut NoSink, &within) {
        Ok(package) => Ok((sound(&package.orders), Some(package.unpacked_bytes))),
        Err(PackageFault::Io(error)) => Err(error),
        Err(PackageFault::NotAPackage(_)) => Ok((Judgement::NotAPackage, None)),
        Err(PackageFault::Bound {
            bound: Bound::Members | Bound::OrdersBytes | Bound::OrdersLines,
            ..
        }) => Ok((orders_head(file, end).map_or_else(unread, |orders| sound(&orders)), None)),
        Err(fault) => {
            let why = fault.to_string();
            let why = why.strip_prefix("the package is refused: ").unwrap_or(&why);
            Ok((Judgement::Refused(why.to_owned()), None))
        }
    }
}

fn sound(orders: &Orders) -> Judgement {
    if orders.is_oldest {
        // They name no project, and one of these is the receiver.
        let sites = orders.identity.remotes.iter().map(|site| site.address.as_str());
        return Judgement::Sound {
            title: String::new(),
            origin: orders.identity.here.address.to_string(),
            visit: sites.collect::<Vec<_>>().join(" "),
            serial: 0,
        };
    }
    let visit = orders.identity.remotes.get(orders.visit);
    Judgement::Sound {
        title: orders.identity.title.clone(),
        origin: orders.identity.here.address.to_string(),
        visit: visit.map(|site| site.address.to_string()).unwrap_or_default(),
        serial: orders.serial,
    }
}

fn unread() -> Judgement {
    let (title, origin, visit) = (String::new(), String::new(), String::new());
    Judgement::Sound { title, origin, visit, serial: 0 }
}

/// Reads the orders above their first row, where a strict reader found nothing wrong before them.
fn orders_head(file: &File, end: u64) -> Option<Orders> {
    let tar = MultiGzDecoder::new(BufReader::new(Window::new(file, end)));
    let mut archive = tar::Archive::new(tar.take(ORDERS_SEARCH_BYTES));
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        let is_orders = entry.path_bytes().ends_with(b".remsync-work/orders");
        if !is_orders {
            continue;
        }
        let mut lines = BufReader::new(entry.take(JUDGED_ORDERS_BYTES_MAX));
        let mut head = Vec::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).ok()? > 0 && !line.starts_with(b"check\t") {
            head.append(&mut line);
        }
        return orders::parse(head.as_slice(), "orders").ok();
    }
    None
}

/// Where a gzip stream of one or more members ends.
enum GzipEnd {
    At(u64),
    /// It is cut short.
    Missing,
    /// It is damaged, or a bomb.
    Unsound,
}

fn gzip_end(file: &File, size: u64) -> io::Result<GzipEnd> {
    let mut reader = BufReader::with_capacity(64 << 10, Window::new(file, size));
    let mut buffer = vec![0; 64 << 10];
    let mut unpacked = 0;
    loop {
        let mut decoder = GzDecoder::new(reader);
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => unpacked += n as u64,
                Err(error) => return unfinished(error),
            }
            let packed = decoder.get_ref().get_ref().place().max(1);
            let bomb = unpacked > RATIO_FREE_BYTES && unpacked / RATIO_MAX > packed;
            if bomb || unpacked > UNPACKED_BYTES_MAX {
                return Ok(GzipEnd::Unsound);
            }
        }
        reader = decoder.into_inner();
        let end = reader.get_ref().place() - reader.buffer().len() as u64;
        // RFC 1952 section 2.2: a file may be several members, one after the other.
        let mut magic = Vec::new();
        Window::from(file, end, size).take(3).read_to_end(&mut magic)?;
        if magic != b"\x1f\x8b\x08" {
            return Ok(GzipEnd::At(end));
        }
    }
}

/// What an error of the decoder says of the stream; trouble of the disk stays an error.
fn unfinished(error: io::Error) -> io::Result<GzipEnd> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(GzipEnd::Missing),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Ok(GzipEnd::Unsound),
        _ => Err(error),
    }
}

pub(super) fn is_cut_short(file: &File) -> io::Result<bool> {
    Ok(matches!(gzip_end(file, file.metadata()?.len())?, GzipEnd::Missing))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(members: &[&[u8]]) -> Vec<u8> {
        let one = |bytes: &&[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        };
        members.iter().flat_map(one).collect()
    }

    #[test]
    fn zeros_behind_a_stream_are_told() {
        for size in [1, 0x100, 0x101, 0x1_0000, 0x1_0100, 0x01_0101, 0xff_ffff, 0x100_0000] {
            let bytes = vec![7; size];
            let (begin, end) = bytes.split_at(size / 256);
            for members in [&[&bytes[..]][..], &[begin, end], &[&bytes, b""]] {
                let mut stream = gzip(members);
                for zeros in 0..6 {
                    let mut file = tempfile::tempfile().unwrap();
                    file.write_all(&stream).unwrap();
                    let ends = ends_itself(&file, stream.len() as u64, Some(size as u64)).unwrap();
                    assert!(zeros == 0 || !ends, "{size} in {}, {zeros} zeros", members.len());
                    assert!(zeros > 0 || members.len() > 1 || ends, "{size}");
                    stream.push(0);
                }
            }
        }
    }
}
