//! A package that somebody unpacked: packed again, so that it goes the way of every other.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::edge::queue::{Incoming, Queue};
use crate::format::package::{Level, Limits, Writer};

use super::super::outcome::Failure;

/// The folder that a package is unpacked into.
const FOLDER: &str = ".remsync-work";

/// Returns the folder with the orders, if `path` is it or has it.
pub(super) fn folder_of(path: &Path) -> Option<PathBuf> {
    let has_orders = |folder: &PathBuf| folder.join("orders").is_file();
    [path.join(FOLDER), path.to_owned()].into_iter().find(has_orders)
}

/// Packs what is in `folder` on its way into the queue.
///
/// # Errors
/// What is no file of a package, or cannot be read; trouble of the disk.
pub(super) fn pack(queue: &Queue, folder: &Path) -> Result<Incoming, Failure> {
    Ok(packed(folder, || Ok(ToQueue(queue.incoming()?)))?.0)
}

/// Packs it into a file that has no name and is gone with this run.
///
/// # Errors
/// As [`pack`].
#[allow(clippy::disallowed_methods, reason = "a file without a name is nobody else's")]
pub(super) fn pack_aside(folder: &Path) -> Result<File, Failure> {
    let place = std::env::temp_dir();
    let at = |error: io::Error| Failure::new(format!("{}: {error}", place.display()));
    let flags = i32::try_from(OFlags::TMPFILE.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags).mode(0o600);
    let mut file = packed(folder, || options.open(&place).map_err(at))?;
    file.rewind().map_err(at)?;
    Ok(file)
}

/// Packs it into what `make` makes; once more into another, and only stored, where its receivers
/// would take it for a bomb.
fn packed<W: Write>(folder: &Path, make: impl Fn() -> Result<W, Failure>) -> Result<W, Failure> {
    let mut to = make()?;
    if !write(folder, Level::Usual, &mut to)? {
        to = make()?;
        write(folder, Level::Stored, &mut to)?;
    }
    Ok(to)
}

/// Writes a package of what is in `folder`; whether its receivers would take it so well packed.
fn write(folder: &Path, level: Level, to: &mut dyn Write) -> Result<bool, Failure> {
    let (orders, members) = files(folder)?;
    let at = |path: &Path, error: io::Error| Failure::new(format!("{}: {error}", path.display()));
    let stat = fs::metadata(&orders).map_err(|error| at(&orders, error))?;
    let text = fs::read(&orders).map_err(|error| at(&orders, error))?;
    let mut writer = Writer::new(to, level);
    let into = |error: io::Error| Failure::new(format!("packing {}: {error}", folder.display()));
    writer.orders(&text, stat.mtime()).map_err(into)?;
    for (number, path) in &members {
        let mut file = File::open(path).map_err(|error| at(path, error))?;
        let stat = file.metadata().map_err(|error| at(path, error))?;
        let nanoseconds = u32::try_from(stat.mtime_nsec()).unwrap_or_default();
        let written = writer
            .member(
                *number,
                stat.len(),
                stat.mode() & 0o100 != 0,
                stat.mtime(),
                nanoseconds,
                &mut file,
            )
            .map_err(into)?;
        if let Some(trouble) = written.trouble {
            return Err(at(path, trouble));
        }
    }
    let (_, counts) = writer.finish_counted().map_err(into)?;
    Ok(counts.keeps_ratio)
}

/// Returns the orders and the numbered files; what an editor left beside them is passed over.
fn files(folder: &Path) -> Result<(PathBuf, BTreeMap<u32, PathBuf>), Failure> {
    let at = |error: io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let mut members = BTreeMap::new();
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder).map_err(at)? {
        let entry = entry.map_err(at)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "orders~" {
            continue;
        }
        let number = name.to_str().filter(|name| !name.starts_with(['0', '+']));
        let number = number.and_then(|name| name.parse::<u32>().ok());
        let stat = fs::symlink_metadata(&path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        if !stat.is_file() || (number.is_none() && name != "orders") {
            return Err(Failure::new(format!("{}: this is no file of a package", path.display()))
                .hinted("a package is unpacked into a folder of its own, by \"tar xzf\""));
        }
        bytes = bytes.saturating_add(stat.len());
        if let Some(number) = number {
            members.insert(number, path);
        }
    }
    let max = Limits::default().unpacked_bytes;
    if bytes > max {
        return Err(Failure::new(format!("{}: over {max} bytes", folder.display())));
    }
    Ok((folder.join("orders"), members))
}

/// Writes into a file of the queue.
struct ToQueue(Incoming);

impl Write for ToQueue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
