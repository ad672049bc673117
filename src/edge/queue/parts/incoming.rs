//! One part on its way in: written into `tmp/`, told and checked, not yet with its set.
//!
//! Invariant: what settles as a volume has the bytes that its header names, and no others.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::edge::queue::disk::{Temporary, at};
use crate::edge::queue::{Queue, QueueError};
use crate::edge::window::Window;
use crate::format::digest::sha256_of;
use crate::format::message::Fragment;
use crate::format::message::shar::{self, Piece};
use crate::format::volume::{self, Volume};
use crate::model::limits::{PACKAGE_BYTES_MAX, VOLUME_HEADER_BYTES_MAX};

/// A part being written into `tmp/`; gone again unless it is taken.
#[derive(Debug)]
pub struct IncomingPart {
    path: Temporary,
    file: BufWriter<File>,
    bytes: u64,
    claim: Claim,
    claims: bool,
}

/// What the mail says that a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A volume; it says itself of what.
    Volume,
    /// A piece of a shell archive.
    Piece(Piece),
    /// A run of the lines of another mail.
    Fragment(Fragment),
}

/// A part in `tmp/`, written and looked at.
#[derive(Debug)]
pub struct SpooledPart {
    pub(super) path: Temporary,
    /// Bytes of its file.
    pub size_bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) what: What,
    claims: bool,
}

/// What a part turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Volume(Box<Volume>),
    Piece(Piece, shar::Edges),
    Fragment(Fragment),
    /// It claims to be a volume and is not sound, for this reason.
    Damaged(String),
}

impl SpooledPart {
    /// Whether it is a whole file by itself.
    pub fn is_whole(&self) -> bool {
        matches!(&self.what, What::Piece(_, edges) if edges.first && edges.last)
    }

    /// Whether it says that it is ours: a volume always, others by a name or the mail's subject.
    pub fn claims(&self) -> bool {
        match &self.what {
            What::Volume(_) | What::Damaged(_) => true,
            What::Piece(..) | What::Fragment(_) => self.claims,
        }
    }

    /// Returns what a volume says of itself; `None` for another part.
    pub fn volume(&self) -> Option<&Volume> {
        match &self.what {
            What::Volume(volume) => Some(volume),
            What::Piece(..) | What::Fragment(_) | What::Damaged(_) => None,
        }
    }
}

impl IncomingPart {
    /// Writes the next bytes; none any more past the bound of a package.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), QueueError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > PART_BYTES_MAX {
            return Ok(());
        }
        self.file.write_all(bytes).map_err(at(&self.path.0))
    }

    /// Ends the writing: tells what the part is, cuts what hangs on behind a volume, and brings the
    /// rest to the disk.
    ///
    /// # Errors
    /// Trouble of the disk.
    pub fn settle(self) -> Result<SpooledPart, QueueError> {
        let IncomingPart { path, file, bytes, claim, claims } = self;
        let file = file.into_inner().map_err(|error| at(&path.0)(error.into_error()))?;
        let settled = settle(&file, bytes, claim).map_err(at(&path.0))?;
        let (what, sha256, size_bytes) = settled;
        Ok(SpooledPart { path, size_bytes, sha256, what, claims })
    }
}

/// The largest part: as large as a package, encoded.
const PART_BYTES_MAX: u64 = PACKAGE_BYTES_MAX / 2 * 3;

fn settle(file: &File, bytes: u64, claim: Claim) -> io::Result<(What, [u8; 32], u64)> {
    let mut end = bytes.min(PART_BYTES_MAX);
    let what = match claim {
        _ if bytes > PART_BYTES_MAX => What::Damaged(format!("over {PART_BYTES_MAX} bytes")),
        Claim::Fragment(fragment) => What::Fragment(fragment),
        Claim::Piece(piece) => {
            let edges = shar::edges(BufReader::new(Window::new(file, end)))?;
            What::Piece(piece, edges)
        }
        Claim::Volume => match volume_in(file, end)? {
            Ok((volume, header)) => {
                end = end.min(header + volume.place.length_bytes);
                What::Volume(Box::new(volume))
            }
            Err(reason) => What::Damaged(reason),
        },
    };
    file.set_len(end)?;
    file.sync_all()?;
    Ok((what, sha256_of(Window::new(file, end))?.0, end))
}

/// Reads the header of a volume and compares the bytes behind it with it.
fn volume_in(file: &File, end: u64) -> io::Result<Result<(Volume, u64), String>> {
    let mut head = Vec::new();
    Window::new(file, end.min(VOLUME_HEADER_BYTES_MAX as u64)).read_to_end(&mut head)?;
    let (volume, header) = match volume::parse(&head) {
        Ok((volume, header)) => (volume, header as u64),
        Err(fault) => return Ok(Err(fault.to_string())),
    };
    let place = volume.place;
    let (number, count) = (place.number, place.count);
    let here = end.saturating_sub(header);
    if here < place.length_bytes {
        let length = place.length_bytes;
        let why = format!("volume {number} of {count} is cut short: {here} of {length} bytes");
        return Ok(Err(why));
    }
    let (sha256, _) = sha256_of(Window::from(file, header, header + place.length_bytes))?;
    if sha256 != volume.sha256 {
        let why = format!("volume {number} of {count} is damaged: its bytes have another digest");
        return Ok(Err(format!("{why}; sent again it fits in")));
    }
    Ok(Ok((volume, header)))
}

impl Queue {
    /// Begins to write a part, which `claims` to be ours.
    ///
    /// # Errors
    /// Where no file can be made.
    pub fn incoming_part(&self, claim: Claim, claims: bool) -> Result<IncomingPart, QueueError> {
        let (file, path) = self.temporary()?;
        let file = BufWriter::with_capacity(64 << 10, file);
        Ok(IncomingPart { path, file, bytes: 0, claim, claims })
    }
}

/// Whether a volume's file ends before what its header says.
pub(in crate::edge::queue) fn is_volume_cut_short(file: &File) -> io::Result<bool> {
    let end = file.metadata()?.len();
    Ok(match header_of(file)? {
        Some((volume, header)) => end < header as u64 + volume.place.length_bytes,
        None => end < VOLUME_HEADER_BYTES_MAX as u64,
    })
}

/// Returns the digest of the package that a file is a volume of; `None` where its header is damaged.
pub(in crate::edge::queue) fn whole_of_volume(file: &File) -> io::Result<Option<[u8; 32]>> {
    Ok(header_of(file)?.map(|(volume, _)| volume.whole))
}

fn header_of(file: &File) -> io::Result<Option<(Volume, usize)>> {
    let mut head = Vec::new();
    Window::new(file, VOLUME_HEADER_BYTES_MAX as u64).read_to_end(&mut head)?;
    Ok(volume::parse(&head).ok())
}
