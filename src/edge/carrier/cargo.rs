//! What of a package's file goes with a letter: all of it, or a volume, read where it lies.

use std::fs::File;
use std::io::{Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::path::Path;

use super::failure::Failure;
use super::put::open_file;
use crate::format::mail::Letter;
use crate::format::volume;

/// What a mail carries: the header of a volume, if it is one, and bytes of the package.
pub(super) type Cargo = Chain<Cursor<Vec<u8>>, Take<File>>;

/// Opens what a letter carries; returns also how many bytes they are.
pub(super) fn open_cargo(letter: &Letter, package: &Path) -> Result<(Cargo, u64), Failure> {
    let mut file = open_file(package)?;
    let whole = file.metadata().map_err(|error| Failure::of_file(package, &error))?.len();
    let (head, from, length) = match &letter.volume {
        Some(volume) => (volume::header(volume), volume.place.offset, volume.place.length_bytes),
        None => (Vec::new(), 0, whole),
    };
    file.seek(SeekFrom::Start(from)).map_err(|error| Failure::of_file(package, &error))?;
    let bytes = head.len() as u64 + length;
    Ok((Cursor::new(head).chain(file.take(length)), bytes))
}
