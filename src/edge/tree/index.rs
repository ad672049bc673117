//! The index: what the last scan found, so that a file whose inode says the same is not read again,
//! nor the names of a folder whose inode says the same.
//!
//! A cache, and nothing else knows of it: without it, or where it is damaged, a scan takes longer and
//! finds the same. Invariant: what it says of a file or a folder is believed only where the inode has
//! the same number, size, modification and change time, and where the last was old enough when the
//! file was hashed, or the folder listed, that a later write must have moved it (what Git calls racily
//! clean is never written here). A program that sets the modification time back moves the change
//! time. Names are believed only on file systems known to keep the times of folders
//! ([`Index::knows_names`]); the files that they name are looked at each time. Whether a name is wanted
//! is believed only where just the same was asked of the same folder ([`Wish`]).
//!
//! ```text
//! .remsync.d/index    "remsync index 4", the device, records of folders, their table, its place
//! ```
//!
//! A record has the names in one folder, in the order of the paths, and what is known of each. The
//! table has, for each folder's inode, where its record is, how long it is, and its CRC-32. A scan
//! reads a record when it comes to the folder, in any order, by any thread: in memory is the table
//! alone, and the records of the folders at hand.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat as InodeStat};

use crate::edge::settled::is_settled;
use crate::format::digest::crc32;
use crate::model::Signature;

use super::beneath::{self, Step};
use super::{Found, OWN_FOLDER, Root};

/// What says that two looks at a file saw the same contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    inode: u64,
    size_bytes: u64,
    executable: bool,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

/// What says that two looks at a folder saw the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    inode: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

/// The index that the last scan left. Many threads may ask it.
pub struct Index {
    file: File,
    /// Ascending by inode.
    table: Vec<Place>,
    knows_names: bool,
}

/// Where the record of a folder is.
#[derive(Clone, Copy, Debug)]
struct Place {
    inode: u64,
    offset: u64,
    length: u32,
    crc: u32,
}

/// What was asked of the names in a folder: a digest of what the answers follow from, the folder's
/// own path included.
pub type Wish = [u8; 16];

/// What is known of one folder: all its names, whether they are wanted, and what the files held that
/// were hashed.
#[derive(Debug)]
pub struct Record {
    bytes: Vec<u8>,
}

/// One name of a record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where in the record the name is.
    pub name: Range<u32>,
    /// What has it.
    pub kind: FileType,
    /// Whether it was wanted, where that was told.
    pub is_wanted: Option<bool>,
    /// Where in the record it stands what the file held; `None` where that is not known.
    pub known: Option<u32>,
}

/// What was hashed of the files of one record: the number of the entry, and what was found.
pub type News = (u32, Option<(Marks, Signature)>);

/// An index being written; it takes the old one's place when it is finished.
pub struct NewIndex {
    folder: OwnedFd,
    name: String,
    file: BufWriter<File>,
    /// When the scan began, by the clock of the file system.
    began_s: i64,
    offset: u64,
    table: Vec<Place>,
    record: Record,
}

/// Bytes written at a time.
const BLOCK_BYTES: usize = 64 << 10;
const MAGIC: &[u8] = b"remsync index 4\n";
const HEAD_BYTES: usize = MAGIC.len() + 8;
/// A line of the table.
const PLACE_BYTES: usize = 8 + 8 + 4 + 4;
/// Where the table begins, and its CRC-32.
const TRAILER_BYTES: usize = 8 + 4;
const TIMES_BYTES: usize = 8 + 4 + 8 + 4;
/// The stamps of the folder, and what was asked of it.
const STAMPS_BYTES: usize = 8 + TIMES_BYTES + size_of::<Wish>();
const MARKS_BYTES: usize = 8 + 8 + 1 + TIMES_BYTES;
/// What is known of a file.
const KNOWN_BYTES: usize = MARKS_BYTES + 32;
const NAME: &str = "index";
/// What else in the folder is a cache, and written as this is: to NAME.PROCESS first.
const CACHES: [&[u8]; 2] = [NAME.as_bytes(), b"sections"];
/// How long the draft of one is left alone, in seconds.
const DRAFT_S: i64 = 3_600;
/// The nanoseconds of stamps that no folder has.
const NEVER_NS: u32 = u32::MAX;
/// File systems that move the times of a folder whenever its names change, and keep them on disk:
/// ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs. FAT, say, has none for its top folder.
const KEEPS_FOLDER_TIMES: [u32; 7] =
    [0x0000_EF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0xCA45_1A4E, 0x0102_1994];

fn nanos(ns: impl TryInto<u32>) -> u32 {
    ns.try_into().unwrap_or(0)
}

impl Marks {
    /// Returns those of an inode.
    pub fn of(stat: &InodeStat) -> Marks {
        Marks {
            inode: stat.st_ino,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            executable: stat.st_mode & 0o100 != 0,
            mtime: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            ctime: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        }
    }

    /// Pairs them with the signature of the file.
    pub fn found(&self, signature: Signature) -> Found {
        let (mtime_s, mtime_ns) = self.mtime;
        Found { signature, size_bytes: self.size_bytes, mtime_s, mtime_ns }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.inode.to_le_bytes());
        out.extend(self.size_bytes.to_le_bytes());
        out.push(u8::from(self.executable));
        write_times([self.mtime, self.ctime], out);
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Marks> {
        Some(Marks {
            inode: u64::from_le_bytes(bytes.array()?),
            size_bytes: u64::from_le_bytes(bytes.array()?),
            executable: bytes.array::<1>()? == [1],
            mtime: bytes.time()?,
            ctime: bytes.time()?,
        })
    }
}

impl Stamps {
    /// Returns those of an inode.
    pub fn of(stat: &InodeStat) -> Stamps {
        let Marks { inode, mtime, ctime, .. } = Marks::of(stat);
        Stamps { inode, mtime, ctime }
    }
}

impl Index {
    /// Opens the index of a tree; `None` where there is none, or it is damaged or of another device.
    pub fn open(root: &Root) -> Option<Index> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(own_folder(root)?, NAME, flags, Mode::empty()).ok()?;
        let file = File::from(fd);
        let table = read_table(&file, root.device)?;
        Some(Index { file, table, knows_names: keeps_folder_times(root.fd.as_fd()) })
    }

    /// Whether the names of a folder whose inode says the same are the same.
    pub fn knows_names(&self) -> bool {
        self.knows_names
    }

    /// Returns how many folders it knows.
    pub fn folders(&self) -> usize {
        self.table.len()
    }

    /// Returns what is known of the folder that has, or had, this inode.
    pub fn folder(&self, stamps: &Stamps) -> Option<Record> {
        let at = self.table.binary_search_by_key(&stamps.inode, |place| place.inode).ok()?;
        let place = self.table.get(at)?;
        let mut bytes = vec![0; usize::try_from(place.length).ok()?];
        self.file.read_exact_at(&mut bytes, place.offset).ok()?;
        let record = Record { bytes };
        (crc32(&record.bytes) == place.crc && record.is_sound()).then_some(record)
    }
}

/// Reads the table of an index.
fn read_table(file: &File, device: u64) -> Option<Vec<Place>> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).ok()?;
    (head.strip_prefix(MAGIC)? == device.to_le_bytes()).then_some(())?;
    let length = file.metadata().ok()?.len();
    let end = length.checked_sub(TRAILER_BYTES as u64)?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, end).ok()?;
    let mut trailer = Bytes { rest: &trailer };
    let begin = u64::from_le_bytes(trailer.array()?);
    let crc = u32::from_le_bytes(trailer.array()?);
    let length = usize::try_from(end.checked_sub(begin)?).ok()?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, begin).ok()?;
    (crc32(&bytes) == crc && length % PLACE_BYTES == 0).then_some(())?;
    let mut bytes = Bytes { rest: &bytes };
    let mut table = Vec::with_capacity(length / PLACE_BYTES);
    while !bytes.rest.is_empty() {
        let place = Place::read(&mut bytes)?;
        // So that no damage has more memory asked for than the file has bytes.
        let is_within =
            place.offset.checked_add(u64::from(place.length)).is_some_and(|to| to <= begin);
        is_within.then_some(())?;
        table.push(place);
    }
    table.is_sorted_by_key(|place| place.inode).then_some(table)
}

impl Place {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.inode.to_le_bytes());
        out.extend(self.offset.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(self.crc.to_le_bytes());
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Place> {
        Some(Place {
            inode: u64::from_le_bytes(bytes.array()?),
            offset: u64::from_le_bytes(bytes.array()?),
            length: u32::from_le_bytes(bytes.array()?),
            crc: u32::from_le_bytes(bytes.array()?),
        })
    }
}

impl Record {
    /// Begins one, of a folder that had these stamps before it was listed, and of which `wish` was
    /// asked.
    pub fn new(stamps: &Stamps, wish: Wish) -> Record {
        let mut bytes = Vec::new();
        bytes.extend(stamps.inode.to_le_bytes());
        write_times([stamps.mtime, stamps.ctime], &mut bytes);
        bytes.extend(wish);
        Record { bytes }
    }

    /// Adds a name, in the order of the paths, and what stands of it in the bytes of `known` at a place,
    /// where one is named.
    pub fn push(
        &mut self,
        name: &[u8],
        kind: FileType,
        is_wanted: Option<bool>,
        known: Option<(&[u8], u32)>,
    ) {
        let known = known.and_then(|(bytes, at)| bytes.get(known_range(at)));
        self.push_raw(name, (kind, is_wanted), known);
    }

    /// Returns the stamps; those of a folder that was changed just then are nobody's.
    pub fn stamps(&self) -> Option<Stamps> {
        let mut bytes = Bytes { rest: &self.bytes };
        let inode = u64::from_le_bytes(bytes.array()?);
        Some(Stamps { inode, mtime: bytes.time()?, ctime: bytes.time()? })
    }

    /// Returns what was asked of the folder.
    pub fn wish(&self) -> Option<Wish> {
        Bytes { rest: self.bytes.get(8 + TIMES_BYTES..)? }.array()
    }

    /// Returns the names, in the order of the paths.
    pub fn entries(&self) -> Entries<'_> {
        Entries { record: self, at: STAMPS_BYTES }
    }

    /// Returns a name.
    pub fn name(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.name.start as usize..entry.name.end as usize).unwrap_or_default()
    }

    /// Returns the bytes in which its names lie where its entries say.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes in which its names lie where its entries say.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn push_raw(
        &mut self,
        name: &[u8],
        (kind, is_wanted): (FileType, Option<bool>),
        known: Option<&[u8]>,
    ) {
        let kind = match (kind, known) {
            (FileType::Directory, _) => b'd',
            (FileType::RegularFile, None) => b'f',
            (FileType::RegularFile, Some(_)) => b'k',
            (FileType::Symlink, _) => b'l',
            _ => b's',
        };
        let answer = match is_wanted {
            None => b'?',
            Some(true) => b'y',
            Some(false) => b'n',
        };
        self.bytes.extend([kind, answer]);
        // No file system has names as long as that.
        self.bytes.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        self.bytes.extend_from_slice(name);
        if kind == b'k' {
            self.bytes.extend_from_slice(known.unwrap_or_default());
        }
    }

    /// Whether it can be read to its end, and its names are names.
    fn is_sound(&self) -> bool {
        let is_name = |entry: Entry| {
            let name = self.name(&entry);
            !matches!(name, b"" | b"." | b"..") && memchr::memchr2(b'/', 0, name).is_none()
        };
        let mut entries = self.entries();
        let are_names = entries.by_ref().all(is_name);
        are_names && entries.at == self.bytes.len()
    }
}

/// Returns what a file held when it was hashed, by what the bytes of a record say at `at`, if its
/// inode says that it does so still.
pub fn known(record: &[u8], at: u32, marks: &Marks) -> Option<Signature> {
    let mut bytes = Bytes { rest: record.get(known_range(at))? };
    let then = Marks::read(&mut bytes)?;
    let digest = bytes.array()?;
    (then == *marks).then_some(Signature::Sha256 { digest, executable: marks.executable })
}

/// The names of a record; they end early where it is damaged.
pub struct Entries<'r> {
    record: &'r Record,
    at: usize,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let all = &self.record.bytes;
        let mut bytes = Bytes { rest: all.get(self.at..)? };
        let [kind, answer] = bytes.array()?;
        let is_wanted = match answer {
            b'?' => None,
            b'y' => Some(true),
            b'n' => Some(false),
            _ => return None,
        };
        let length = u16::from_le_bytes(bytes.array()?);
        let start = u32::try_from(all.len() - bytes.rest.len()).ok()?;
        bytes.take(usize::from(length))?;
        let end = start.checked_add(u32::from(length))?;
        let (kind, known) = match kind {
            b'd' => (FileType::Directory, None),
            b'f' => (FileType::RegularFile, None),
            b'k' => (FileType::RegularFile, Some(end)),
            b'l' => (FileType::Symlink, None),
            b's' => (FileType::Unknown, None),
            _ => return None,
        };
        if known.is_some() {
            bytes.take(KNOWN_BYTES)?;
        }
        self.at = all.len() - bytes.rest.len();
        Some(Entry { name: start..end, kind, is_wanted, known })
    }
}

impl NewIndex {
    /// Begins an index, now that a scan begins; `None` where none can be written.
    pub fn begin(root: &Root) -> Option<NewIndex> {
        let folder = own_folder(root)?;
        let name = format!("{NAME}.{}", rustix::process::getpid().as_raw_nonzero());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(&folder, &name, flags | OFlags::CLOEXEC, mode).ok()?;
        let mut index = NewIndex {
            folder,
            name,
            file: BufWriter::with_capacity(BLOCK_BYTES, File::from(fd)),
            began_s: 0,
            offset: HEAD_BYTES as u64,
            table: Vec::new(),
            record: Record { bytes: Vec::new() },
        };
        let head = [MAGIC, &root.device.to_le_bytes()].concat();
        index.file.write_all(&head).and_then(|()| index.file.flush()).ok()?;
        index.began_s = rustix::fs::fstat(index.file.get_ref()).ok()?.st_mtime;
        index.sweep();
        Some(index)
    }

    /// Removes the drafts of caches that programs left which were killed. One that is still being
    /// written is none that anybody needs.
    fn sweep(&self) {
        let is_draft = |name: &[u8]| {
            let mut parts = name.split(|byte| *byte == b'.');
            let (cache, process) = (parts.next(), parts.next());
            let is_cache = cache.is_some_and(|cache| CACHES.contains(&cache));
            let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
            is_cache && process.is_some_and(is_number) && parts.next().is_none()
        };
        for (name, _) in super::scan::names(self.folder.as_fd()).unwrap_or_default() {
            let is_old = || {
                let stat = rustix::fs::statat(&self.folder, &*name, AtFlags::SYMLINK_NOFOLLOW);
                stat.is_ok_and(|stat| stat.st_mtime < self.began_s - DRAFT_S)
            };
            if is_draft(&name) && is_old() {
                let _ = rustix::fs::unlinkat(&self.folder, &*name, AtFlags::empty());
            }
        }
    }

    /// Whether what has these times was changed long enough ago to be told from a later change.
    pub fn is_settled(&self, stamps: &Stamps) -> bool {
        self.is_old(stamps.mtime, stamps.ctime)
    }

    /// Adds a folder: what `record` says, but for the files that were hashed. What was changed just
    /// now is not told.
    ///
    /// # Errors
    /// It cannot be written: the index is given up.
    pub fn add(&mut self, record: &Record, news: &[News]) -> std::io::Result<()> {
        let Some(stamps) = record.stamps() else { return Ok(()) };
        let never = Stamps { mtime: (0, NEVER_NS), ctime: (0, NEVER_NS), ..stamps };
        let is_settled = self.is_settled(&stamps);
        let mut told = Record { bytes: std::mem::take(&mut self.record.bytes) };
        told.bytes.clear();
        let wish = record.wish().unwrap_or_default();
        told.bytes.extend(Record::new(if is_settled { &stamps } else { &never }, wish).bytes);
        let mut news = news.iter().peekable();
        let mut known = Vec::with_capacity(KNOWN_BYTES);
        for (number, entry) in (0..).zip(record.entries()) {
            let name = record.name(&entry);
            let Some((_, hashed)) = news.next_if(|(at, _)| *at == number) else {
                let known = entry.known.map(|known| (record.bytes(), known));
                told.push(name, entry.kind, entry.is_wanted, known);
                continue;
            };
            known.clear();
            if let Some((marks, Signature::Sha256 { digest, .. })) = hashed
                && self.is_old(marks.mtime, marks.ctime)
            {
                marks.write(&mut known);
                known.extend_from_slice(digest);
            }
            let kind = (entry.kind, entry.is_wanted);
            told.push_raw(name, kind, (!known.is_empty()).then_some(&known));
        }
        self.end_record(stamps.inode, &told.bytes)?;
        self.record = told;
        Ok(())
    }

    /// Puts the index into the old one's place.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn finish(mut self) -> std::io::Result<()> {
        // A folder that is seen at two places has two records, of one content.
        self.table.sort_unstable_by_key(|place| place.inode);
        self.table.dedup_by_key(|place| place.inode);
        let mut table = Vec::with_capacity(self.table.len() * PLACE_BYTES + TRAILER_BYTES);
        self.table.iter().for_each(|place| place.write(&mut table));
        let crc = crc32(&table);
        table.extend(self.offset.to_le_bytes());
        table.extend(crc.to_le_bytes());
        self.file.write_all(&table)?;
        self.file.flush()?;
        // Not synced: what a crash leaves of it has records of another checksum.
        rustix::fs::renameat(&self.folder, &self.name, &self.folder, NAME)?;
        Ok(())
    }

    fn is_old(&self, mtime: (i64, u32), ctime: (i64, u32)) -> bool {
        is_settled(mtime.0, ctime.0, self.began_s)
    }

    fn end_record(&mut self, inode: u64, bytes: &[u8]) -> std::io::Result<()> {
        // One folder of more than 4 GiB of names is listed each time.
        let Ok(length) = u32::try_from(bytes.len()) else { return Ok(()) };
        self.file.write_all(bytes)?;
        let place = Place { inode, offset: self.offset, length, crc: crc32(bytes) };
        self.table.push(place);
        self.offset += u64::from(length);
        Ok(())
    }
}

impl Drop for NewIndex {
    fn drop(&mut self) {
        // Renamed by now, or given up.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// The rest of a text.
struct Bytes<'b> {
    rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn time(&mut self) -> Option<(i64, u32)> {
        Some((i64::from_le_bytes(self.array()?), u32::from_le_bytes(self.array()?)))
    }
}

fn write_times(times: [(i64, u32); 2], out: &mut Vec<u8>) {
    for (s, ns) in times {
        out.extend(s.to_le_bytes());
        out.extend(ns.to_le_bytes());
    }
}

fn known_range(at: u32) -> Range<usize> {
    let at = at as usize;
    at..at.saturating_add(KNOWN_BYTES)
}

/// Whether the file system of a folder is known to keep the times of folders.
fn keeps_folder_times(folder: BorrowedFd<'_>) -> bool {
    let Ok(stat) = rustix::fs::fstatfs(folder) else { return false };
    // The type is wider than what it holds on some machines, and signed on others.
    KEEPS_FOLDER_TIMES.contains(&(stat.f_type as u32))
}

/// The folder of the program's own things, if there is one.
fn own_folder(root: &Root) -> Option<OwnedFd> {
    match beneath::open_folder(root.fd.as_fd(), OWN_FOLDER, root.device) {
        Step::Folder(folder) => Some(folder),
        Step::Absent | Step::Other(_) => None,
    }
}

#[cfg(test)]
mod tests;
