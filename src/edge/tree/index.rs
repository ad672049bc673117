//! The index: what the last scan hashed, so that a file whose inode says the same is not read again.
//!
//! A cache, and nothing else knows of it: without it, or where it is damaged, a scan takes longer and
//! finds the same. Invariant: an entry is believed only where the inode has the same number, size,
//! modification and change time, and where the last was old enough when the file was hashed that a
//! later write must have moved it (what Git calls racily clean is never written here). A program that
//! sets the modification time back moves the change time.
//!
//! ```text
//! .remsync.d/index    "remsync index 2", the device, and blocks of entries, ascending by path
//! ```
//!
//! A block has its length, its CRC-32 and its entries; each entry says how much of its path is that of
//! the one before. Reading and writing hold one block in memory, whatever the tree.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, Stat as InodeStat};

use crate::model::Signature;
use crate::model::limits::PATH_BYTES_MAX;

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

/// The index that the last scan left, read along with a scan.
pub struct Index {
    blocks: Option<BufReader<File>>,
    block: Vec<u8>,
    at: usize,
    entry: Option<Entry>,
    /// Entries that no file of this scan has.
    pub gone: usize,
}

/// An index being written; it takes the old one's place when it is finished.
pub struct NewIndex {
    folder: OwnedFd,
    name: String,
    file: BufWriter<File>,
    /// When the scan began, by the clock of the file system.
    began_s: i64,
    block: Vec<u8>,
    path: Vec<u8>,
}

struct Entry {
    path: Vec<u8>,
    marks: Marks,
    digest: [u8; 32],
}

/// Bytes of a block that is written; a larger one is none.
const BLOCK_BYTES: usize = 64 << 10;
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + PATH_BYTES_MAX + ENTRY_BYTES_MAX;
/// Bytes of an entry beside its path.
const ENTRY_BYTES_MAX: usize = 2 + 2 + NUMBERS_BYTES + 32;
const NUMBERS_BYTES: usize = 8 + 8 + 1 + 8 + 4 + 8 + 4;
const MAGIC: &[u8] = b"remsync index 2\n";
const NAME: &str = "index";
/// The coarsest times that file systems keep, in seconds (FAT).
const GRAIN_S: i64 = 2;

impl Marks {
    /// Returns those of an inode.
    pub fn of(stat: &InodeStat) -> Marks {
        let nanos = |ns| u32::try_from(ns).unwrap_or(0);
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
        for (s, ns) in [self.mtime, self.ctime] {
            out.extend(s.to_le_bytes());
            out.extend(ns.to_le_bytes());
        }
    }

    fn read(bytes: &mut Bytes<'_>) -> Option<Marks> {
        Some(Marks {
            inode: u64::from_le_bytes(bytes.array()?),
            size_bytes: u64::from_le_bytes(bytes.array()?),
            executable: bytes.array::<1>()? == [1],
            mtime: (i64::from_le_bytes(bytes.array()?), u32::from_le_bytes(bytes.array()?)),
            ctime: (i64::from_le_bytes(bytes.array()?), u32::from_le_bytes(bytes.array()?)),
        })
    }
}

impl Index {
    /// Opens the index of a tree; one that is not there, or of another device, knows nothing.
    pub fn open(root: &Root) -> Index {
        let mut index = Index { blocks: None, block: Vec::new(), at: 0, entry: None, gone: 0 };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Some(folder) = own_folder(root) else { return index };
        let Ok(fd) = rustix::fs::openat(&folder, NAME, flags, Mode::empty()) else { return index };
        let mut blocks = BufReader::with_capacity(BLOCK_BYTES, File::from(fd));
        let mut head = [0; MAGIC.len() + 8];
        let is_ours = blocks.read_exact(&mut head).is_ok()
            && head.strip_prefix(MAGIC) == Some(&root.device.to_le_bytes()[..]);
        if is_ours {
            index.blocks = Some(blocks);
            index.step();
        }
        index
    }

    /// Returns what the file held when it was hashed, if its inode says that it does so still. To be
    /// asked in ascending order.
    pub fn find(&mut self, path: &[u8], marks: &Marks) -> Option<Signature> {
        self.entry_of(path).filter(|(then, _)| then == marks).map(|(_, signature)| signature)
    }

    /// Returns what the file held when it was hashed, and what its inode said then. To be asked in
    /// ascending order.
    pub fn entry_of(&mut self, path: &[u8]) -> Option<(Marks, Signature)> {
        while self.entry.as_ref().is_some_and(|entry| *entry.path < *path) {
            self.gone += 1;
            self.step();
        }
        let entry = self.entry.as_ref().filter(|entry| entry.path == path)?;
        let (marks, digest) = (entry.marks, entry.digest);
        self.step();
        Some((marks, Signature::Sha256 { digest, executable: marks.executable }))
    }

    /// Goes on to the next entry; damage ends the index.
    fn step(&mut self) {
        let before = self.entry.take().map(|entry| entry.path).unwrap_or_default();
        if self.at >= self.block.len() {
            if self.next_block().is_none() {
                (self.blocks, self.block, self.at) = (None, Vec::new(), 0);
                return;
            }
            self.entry = self.read_entry(Vec::new());
        } else {
            self.entry = self.read_entry(before);
        }
        if self.entry.is_none() {
            (self.blocks, self.block, self.at) = (None, Vec::new(), 0);
        }
    }

    fn next_block(&mut self) -> Option<()> {
        let blocks = self.blocks.as_mut()?;
        let mut head = [0; 8];
        blocks.read_exact(&mut head).ok()?;
        let (length, crc) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        if length == 0 || length > BLOCK_BYTES_MAX {
            return None;
        }
        self.block.resize(length, 0);
        blocks.read_exact(&mut self.block).ok()?;
        self.at = 0;
        (crc_of(&self.block).to_le_bytes() == crc).then_some(())
    }

    fn read_entry(&mut self, mut path: Vec<u8>) -> Option<Entry> {
        let mut bytes = Bytes { rest: self.block.get(self.at..)? };
        let shared = usize::from(u16::from_le_bytes(bytes.array()?));
        let length = usize::from(u16::from_le_bytes(bytes.array()?));
        (shared <= path.len() && length <= PATH_BYTES_MAX).then_some(())?;
        path.truncate(shared);
        path.extend_from_slice(bytes.take(length)?);
        let marks = Marks::read(&mut bytes)?;
        let digest = bytes.array()?;
        self.at = self.block.len() - bytes.rest.len();
        Some(Entry { path, marks, digest })
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
            block: Vec::with_capacity(BLOCK_BYTES_MAX),
            path: Vec::new(),
        };
        let head = [MAGIC, &root.device.to_le_bytes()].concat();
        index.file.write_all(&head).and_then(|()| index.file.flush()).ok()?;
        index.began_s = rustix::fs::fstat(index.file.get_ref()).ok()?.st_mtime;
        Some(index)
    }

    /// Adds a file, in ascending order; one that was changed just now is left out.
    ///
    /// # Errors
    /// It cannot be written: the index is given up.
    pub fn add(
        &mut self,
        path: &[u8],
        marks: &Marks,
        signature: &Signature,
    ) -> std::io::Result<()> {
        let Signature::Sha256 { digest, .. } = signature else { return Ok(()) };
        let newest = marks.mtime.0.max(marks.ctime.0);
        if newest >= self.began_s - GRAIN_S {
            return Ok(());
        }
        let alike = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let shared = if self.block.is_empty() { 0 } else { alike };
        let rest = path.get(shared..).unwrap_or_default();
        self.block.extend(u16::try_from(shared).unwrap_or(0).to_le_bytes());
        self.block.extend(u16::try_from(rest.len()).unwrap_or(0).to_le_bytes());
        self.block.extend_from_slice(rest);
        marks.write(&mut self.block);
        self.block.extend_from_slice(digest);
        self.path.clear();
        self.path.extend_from_slice(path);
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Puts the index into the old one's place.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn finish(mut self) -> std::io::Result<()> {
        self.end_block()?;
        self.file.flush()?;
        // Not synced: what a crash leaves of it has blocks of another checksum.
        rustix::fs::renameat(&self.folder, &self.name, &self.folder, NAME)?;
        Ok(())
    }

    fn end_block(&mut self) -> std::io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.block.len()).unwrap_or(0);
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&crc_of(&self.block).to_le_bytes())?;
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl Drop for NewIndex {
    fn drop(&mut self) {
        // Renamed by now, or given up.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// The rest of a block.
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
}

/// The folder of the program's own things, if there is one.
fn own_folder(root: &Root) -> Option<OwnedFd> {
    match beneath::open_folder(root.fd.as_fd(), OWN_FOLDER, root.device) {
        Step::Folder(folder) => Some(folder),
        Step::Absent | Step::Other(_) => None,
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn marks(inode: u64) -> Marks {
        Marks { inode, size_bytes: 3, executable: true, mtime: (5, 6), ctime: (7, 8) }
    }

    fn signature(n: u64) -> Signature {
        Signature::Sha256 { digest: [n as u8; 32], executable: true }
    }

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".remsync.d")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    /// Paths that ascend, enough for some blocks.
    fn paths() -> Vec<Vec<u8>> {
        let mut paths = vec![b"a.b".to_vec(), b"a/b".to_vec(), b"a/b.c".to_vec()];
        paths.extend((0..3_000).map(|n| format!("folder/file {n:05}").into_bytes()));
        paths.push(vec![b'x'; PATH_BYTES_MAX]);
        paths
    }

    fn write(root: &Root) {
        let mut index = NewIndex::begin(root).unwrap();
        for (n, path) in (1..).zip(paths()) {
            index.add(&path, &marks(n), &signature(n)).unwrap();
        }
        index.finish().unwrap();
    }

    #[test]
    fn what_is_written_is_found_in_ascending_order() {
        let (dir, root) = tree();
        assert_eq!(Index::open(&root).find(b"a/b", &marks(1)), None);
        write(&root);
        let mut index = Index::open(&root);
        for (n, path) in (1..).zip(paths()) {
            assert_eq!(index.find(&path, &marks(n)), Some(signature(n)), "{n}");
        }
        assert_eq!((index.find(b"y", &marks(1)), index.gone), (None, 0));
        // New files between, files that are gone, files that are others now.
        let mut index = Index::open(&root);
        assert_eq!(index.find(b"a", &marks(1)), None);
        assert_eq!(index.find(b"a/b", &marks(9)), None);
        assert_eq!(index.find(b"a/b.b", &marks(1)), None);
        assert_eq!(index.find(b"folder/file 00007", &marks(11)), Some(signature(11)));
        assert_eq!(index.gone, 9);
        let left = fs::read_dir(dir.path().join(".remsync.d")).unwrap().count();
        assert_eq!(left, 1, "no draft is left");
    }

    #[test]
    fn each_mark_counts() {
        let (_dir, root) = tree();
        write(&root);
        let same = marks(1);
        for other in [
            Marks { inode: 2, ..same },
            Marks { size_bytes: 4, ..same },
            Marks { executable: false, ..same },
            Marks { mtime: (5, 7), ..same },
            Marks { mtime: (4, 6), ..same },
            Marks { ctime: (7, 9), ..same },
            Marks { ctime: (8, 8), ..same },
        ] {
            assert_eq!(Index::open(&root).find(b"a.b", &other), None, "{other:?}");
        }
        assert!(Index::open(&root).find(b"a.b", &same).is_some());
    }

    #[test]
    fn what_changed_just_now_is_not_believed() {
        let (_dir, root) = tree();
        let mut index = NewIndex::begin(&root).unwrap();
        let began = index.began_s;
        let at =
            |mtime: i64, ctime: i64| Marks { mtime: (mtime, 0), ctime: (ctime, 0), ..marks(1) };
        let cases = [
            ("1", at(began, 0), false),
            ("2", at(0, began), false),
            ("3", at(0, began - GRAIN_S), false),
            ("4", at(0, began - GRAIN_S - 1), true),
            ("5", at(began + 100, 0), false),
        ];
        for (path, marks, _) in &cases {
            index.add(path.as_bytes(), marks, &signature(1)).unwrap();
        }
        index.finish().unwrap();
        for (path, marks, is_kept) in &cases {
            let found = Index::open(&root).find(path.as_bytes(), marks);
            assert_eq!(found.is_some(), *is_kept, "{path}");
        }
    }

    #[test]
    fn damage_costs_time_and_nothing_else() {
        let (dir, root) = tree();
        write(&root);
        let path = dir.path().join(".remsync.d/index");
        let sound = fs::read(&path).unwrap();
        let all = paths();
        for n in 0..200 {
            let at = n * (sound.len() / 200);
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (n % 8);
            for bytes in [&flipped[..], &sound[..at]] {
                fs::write(&path, bytes).unwrap();
                let mut index = Index::open(&root);
                for (n, path) in (1..).zip(&all) {
                    let found = index.find(path, &marks(n));
                    assert!(found.is_none() || found == Some(signature(n)), "{at}");
                }
            }
        }
    }
}
