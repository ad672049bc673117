//! The scan: which regular files are in a tree, and what they hold.
//!
//! Threads list folders and look at inodes ([`super::walk`]); one goes through what they listed, in
//! the order of the paths, so that two scans of one tree tell the same, and asks the index. What
//! that does not know goes back to the threads, to be hashed.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

use crate::model::path::is_reserved_part;
use crate::model::project::Format;
use crate::model::{Listing, Signature};

use super::beneath;
use super::index::{Index, Marks, NewIndex};
use super::walk::{self, Hashed, Listed, Yard};
use super::{Found, Root, TreeError};

/// Bytes of names asked for at once.
const NAMES_BYTES: usize = 32 << 10;

/// What a scan asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whether a folder may hold anything wanted.
    Folder,
    /// Whether a file is wanted.
    File,
}

/// What a scan found.
///
/// A path that is not in `files` is not thereby deleted: it may be below something `unknown`, be a
/// link or no longer be wanted. [`Root::look`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The wanted regular files.
    pub files: Listing<Found>,
    /// Files and folders that could not be looked at, and why; of a folder, nothing below it is
    /// known either. Ascending; the top folder is the empty name.
    pub unknown: Vec<(Vec<u8>, String)>,
    /// Symbolic links with wanted names: they do not travel.
    pub links: u64,
    /// Devices, sockets and named pipes with wanted names: they do not travel.
    pub specials: u64,
    /// Folders with nothing in them at all: they do not travel.
    pub empty_folders: u64,
    /// Whether the top folder holds nothing but the program's own files.
    pub root_is_empty: bool,
}

/// Whether a path is wanted, or why that cannot be told. Many threads ask.
pub type Wants<'w> = dyn Fn(&[u8], Kind) -> Result<bool, String> + Sync + 'w;

/// Files that were hashed, from which on an index is written anew.
const NEWS_MIN: usize = 64;
/// Bytes that were hashed, from which on it is.
const NEWS_BYTES_MIN: u64 = 8 << 20;

impl Root {
    /// Looks at the whole tree: hashes each regular file that is wanted.
    ///
    /// `wants` is asked about each folder before it is entered and about each file; a path that it
    /// cannot judge is `unknown`. What cannot be read is `unknown` too and does not stop the scan.
    /// The program's own files (`.remsync…`, and what is guarded) are not asked about.
    ///
    /// In format 2.0 what the index knows by its inode is not read, and the index is brought up to
    /// date.
    ///
    /// # Errors
    /// The top folder itself cannot be listed.
    pub fn scan(&self, format: Format, wants: &Wants<'_>) -> Result<Scan, TreeError> {
        let fail = |errno| self.error("list this folder", errno);
        let top = beneath::reopen(self.fd.as_fd()).map_err(fail)?;
        let names = names(top.as_fd()).map_err(fail)?;
        let root_is_empty = names.iter().all(|(name, _)| is_reserved_part(name));

        let is_indexed = format == Format::V2_0;
        let new_index = if is_indexed { NewIndex::begin(self) } else { None };
        let index = is_indexed.then(|| Index::open(self));
        let scan = Scan { root_is_empty, ..Scan::default() };
        let (mut gathering, hashed) = walk::walk(self, format, top, wants, |yard| {
            let mut gathering = Gathering { scan, index, failed: Vec::new() };
            gathering.go(yard);
            gathering
        });
        let gone = gathering.index.take().map_or(0, |index| index.gone);
        let Gathering { mut scan, mut failed, .. } = gathering;
        let news = scan.enter(hashed, &mut failed);
        if let Some(new_index) = new_index.filter(|_| news.is_enough(gone)) {
            // A disk that is full keeps nobody from seeing what is there.
            let _ = news.write(new_index, Index::open(self), &scan.files);
        }
        failed.sort_unstable();
        scan.files.retain(|at| failed.binary_search(&at).is_err());
        scan.unknown.sort();
        Ok(scan)
    }
}

/// What goes through the folders in order.
struct Gathering {
    scan: Scan,
    index: Option<Index>,
    /// Places in the listing of what turned out to be nothing.
    failed: Vec<usize>,
}

/// A folder that is gone through, and how far.
struct Folder {
    listed: Listed,
    at: usize,
    /// How much of the path is its own.
    length: usize,
}

/// Stands in the listing for what is being hashed.
const NOT_YET: Found =
    Found { signature: Signature::Sum(0), size_bytes: 0, mtime_s: 0, mtime_ns: 0 };

impl Gathering {
    fn go(&mut self, yard: &Yard<'_, '_>) {
        let mut path = Vec::new();
        let mut folders: Vec<Folder> = Vec::new();
        let mut entered = Some(0);
        loop {
            if let Some(place) = entered.take() {
                let length = path.len();
                let Some(mut listed) = yard.wait_for(place) else {
                    return self.unknown(&[], "the walk through the tree broke off");
                };
                self.count(&mut listed);
                folders.push(Folder { listed, at: 0, length });
            }
            let Some(folder) = folders.last_mut() else { return };
            path.truncate(folder.length);
            let Some(thing) = folder.listed.things.get(folder.at) else {
                folders.pop();
                continue;
            };
            folder.at += 1;
            if folder.length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(folder.listed.name(thing));
            match &thing.kind {
                walk::What::Folder(place) => entered = Some(*place),
                walk::What::File(marks) => {
                    let known = marks.as_ref().and_then(|marks| {
                        let signature = self.index.as_mut()?.find(&path, marks)?;
                        Some(marks.found(signature))
                    });
                    let at = self.scan.files.len();
                    match self.scan.files.push(&path, known.unwrap_or(NOT_YET)) {
                        Ok(true) if known.is_none() => yard.hash(&folder.listed, thing, at),
                        Ok(true) => {}
                        Ok(false) => self.unknown(&path, "a name that is there twice"),
                        Err(fault) => self.unknown(&path, fault),
                    }
                }
            }
        }
    }

    fn count(&mut self, listed: &mut Listed) {
        self.scan.links += listed.links;
        self.scan.specials += listed.specials;
        self.scan.empty_folders += listed.empty_folders;
        self.scan.unknown.append(&mut listed.unknown);
    }

    fn unknown(&mut self, path: &[u8], why: impl ToString) {
        self.scan.unknown.push((path.to_vec(), why.to_string()));
    }
}

/// What was hashed.
struct News {
    /// Their places in the listing, ascending.
    marks: Vec<(usize, Marks)>,
    bytes: u64,
}

impl Scan {
    /// Enters what was hashed; adds to `failed` what could not be.
    fn enter(&mut self, hashed: Vec<Hashed>, failed: &mut Vec<usize>) -> News {
        let mut news = News { marks: Vec::new(), bytes: 0 };
        for (at, result) in hashed {
            match result {
                Ok(Some((found, marks))) => {
                    news.bytes += found.size_bytes;
                    news.marks.push((at, marks));
                    if let Some(place) = self.files.found_mut(at) {
                        *place = found;
                    }
                }
                Ok(None) => failed.push(at),
                Err(why) => {
                    failed.push(at);
                    self.unknown.push((self.files.path(at).to_vec(), why.to_string()));
                }
            }
        }
        news.marks.sort_unstable_by_key(|(at, _)| *at);
        news
    }
}

impl News {
    /// Whether writing the index anew saves more than it takes.
    fn is_enough(&self, gone: usize) -> bool {
        self.marks.len() + gone >= NEWS_MIN || self.bytes >= NEWS_BYTES_MIN
    }

    /// Writes what the old index had of these files, and what was hashed now.
    fn write(
        &self,
        mut index: NewIndex,
        mut old: Index,
        files: &Listing<Found>,
    ) -> std::io::Result<()> {
        let mut news = self.marks.iter().peekable();
        for (at, (path, found)) in files.iter().enumerate() {
            match news.next_if(|(news, _)| *news == at) {
                Some((_, marks)) => index.add(path, marks, &found.signature)?,
                None => {
                    if let Some((marks, signature)) = old.entry_of(path) {
                        index.add(path, &marks, &signature)?;
                    }
                }
            }
        }
        index.finish()
    }
}

/// Returns the names in a folder, ascending, with what is known of their kinds.
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let fd = beneath::reopen(folder)?;
    let mut buffer = Vec::with_capacity(NAMES_BYTES);
    let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::model::Signature;

    const LIE: Signature = Signature::Sha256 { digest: [7; 32], executable: false };

    fn scan(root: &Root) -> Listing<Found> {
        root.scan(Format::V2_0, &|_, _| Ok(true)).unwrap().files
    }

    /// An index that lies shows which files are read: those whose inode says anything else.
    #[test]
    fn what_the_index_knows_is_not_read_and_what_changed_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at(".remsync.d")).unwrap();
        let names = ["chmod", "edited", "grown", "put/there", "renamed", "same", "touched"];
        fs::create_dir(at("put")).unwrap();
        for name in names {
            fs::write(at(name), "text").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        // As they are believed: changed long enough before they are hashed.
        std::thread::sleep(Duration::from_millis(3_100));
        let mut index = NewIndex::begin(&root).unwrap();
        for name in names {
            let marks = Marks::of(&rustix::fs::stat(at(name)).unwrap());
            index.add(name.as_bytes(), &marks, &LIE).unwrap();
        }
        index.finish().unwrap();
        assert!(scan(&root).iter().all(|(_, found)| found.signature == LIE));

        let times = |name: &str| fs::metadata(at(name)).unwrap().modified().unwrap();
        let restore = |name: &str, time| {
            fs::File::options().write(true).open(at(name)).unwrap().set_modified(time).unwrap();
        };
        // The same size and modification time, as cp -p and some editors leave it.
        let time = times("edited");
        fs::write(at("edited"), "TEXT").unwrap();
        restore("edited", time);
        fs::write(at("new"), "TEXT").unwrap();
        restore("new", times("put/there"));
        fs::rename(at("new"), at("put/there")).unwrap();
        fs::write(at("grown"), "texts").unwrap();
        restore("touched", time + Duration::from_secs(1));
        fs::set_permissions(at("chmod"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(at("renamed"), at("moved")).unwrap();
        let read: Vec<String> = scan(&root)
            .iter()
            .filter(|(_, found)| found.signature != LIE)
            .map(|(path, _)| String::from_utf8_lossy(path).into_owned())
            .collect();
        assert_eq!(read, ["chmod", "edited", "grown", "moved", "put/there", "touched"]);
        // Nor is it asked for the other format, whose signatures it does not have.
        let sums = root.scan(Format::V1_3, &|_, _| Ok(true)).unwrap().files;
        assert!(sums.iter().all(|(_, found)| matches!(found.signature, Signature::Sum(_))));
    }
}
