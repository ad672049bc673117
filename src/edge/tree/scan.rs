//! The scan: which regular files are in a tree, and what they hold.
//!
//! Threads list folders and look at inodes ([`super::walk`]); one goes through what they listed, in
//! the order of the paths, so that two scans of one tree tell the same. What the index does not know
//! goes back to the threads, to be hashed.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::FileType;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::edge::names::each_name;
use crate::model::path::is_reserved_part;
use crate::model::project::Format;
use crate::model::{Listing, Signature};

use super::beneath;
use super::index::{self, Index, Marks, NewIndex, Wish};
use super::walk::{self, Hashed, Listed, Source, Yard};
use super::{Found, Root, TreeError};

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

/// How far a scan is, for whoever watches it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Wanted files that were met.
    pub files: AtomicU64,
    /// Bytes that were read of them, to be hashed.
    pub bytes: AtomicU64,
}

/// Whether a path is wanted, or why that cannot be told. Many threads ask.
pub type Wants<'w> = dyn Fn(&[u8], Kind) -> Result<bool, String> + Sync + 'w;

/// What is wanted.
pub struct Wanted<'w> {
    /// Asked of each path.
    pub wants: &'w Wants<'w>,
    /// All that the answers follow from, beside the path: where that is the same, what was answered
    /// once is not asked again. `None` where it cannot be said.
    pub follows_from: Option<&'w [u8]>,
}

impl Wanted<'_> {
    /// Returns what is asked of the names in the folder `path`; nothing but zeros where that cannot be
    /// said.
    pub(super) fn wish(&self, path: &[u8]) -> Wish {
        let Some(rules) = self.follows_from else { return Wish::default() };
        let length = (rules.len() as u64).to_le_bytes();
        let sha256 = Sha256::new().chain_update(length).chain_update(rules).chain_update(path);
        sha256.finalize().first_chunk().copied().unwrap_or_default()
    }
}

/// Files that were hashed, and folders that were listed, from which on an index is written anew.
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
        let wanted = Wanted { wants, follows_from: None };
        Ok(self.scan_along(format, (&wanted, &Seen::default()), |_| ())?.1)
    }

    /// Does as [`Root::scan`], tells `seen` how far it is, and meanwhile has `along` ask for what was
    /// found so far. Returns what that returns, what was found, and how many files were left out of it
    /// because `along` said so.
    ///
    /// # Errors
    /// As [`Root::scan`].
    pub fn scan_along<T>(
        &self,
        format: Format,
        (wanted, seen): (&Wanted<'_>, &Seen),
        along: impl FnOnce(&mut Scanning<'_, '_, '_>) -> T,
    ) -> Result<(T, Scan, usize), TreeError> {
        let fail = |errno| self.error("list this folder", errno);
        let top = beneath::reopen(self.fd.as_fd()).map_err(fail)?;
        let names = names(top.as_fd()).map_err(fail)?;
        let root_is_empty = names.iter().all(|(name, _)| is_reserved_part(name));

        let is_indexed = format == Format::V2_0;
        let new_index = if is_indexed { NewIndex::begin(self) } else { None };
        let index = if is_indexed { Index::open(self) } else { None };
        let asked = (wanted, index.as_ref(), seen);
        let (told, gathered) = walk::walk(self, format, top, asked, |yard| {
            let scan = Scan { root_is_empty, ..Scan::default() };
            let mut scanning = Scanning { yard, gathered: Gathered::new(scan), is_finished: false };
            let told = along(&mut scanning);
            scanning.finish();
            (told, scanning.gathered)
        });
        let Gathered { mut scan, noted, mut failed, news, left_out, .. } = gathered;
        if let Some(new_index) = new_index.filter(|new| news.is_enough(&noted, index.as_ref(), new))
        {
            // A disk that is full keeps nobody from seeing what is there.
            let _ = news.write(new_index, index.as_ref(), &noted, &scan.files);
        }
        failed.sort_unstable();
        let is_left_out = |at: usize| left_out.get(at).is_some_and(|is_so| *is_so);
        let count = (0..left_out.len()).filter(|at| is_left_out(*at)).count();
        scan.files.retain(|at| !is_left_out(at) && failed.binary_search(&at).is_err());
        scan.unknown.sort();
        Ok((told, scan, count))
    }
}

/// A scan that goes on: what it found so far, in the order of the paths.
pub struct Scanning<'y, 'a, 'w> {
    yard: &'y Yard<'a, 'w>,
    gathered: Gathered,
    is_finished: bool,
}

impl Scanning<'_, '_, '_> {
    /// Returns the files found so far. Of those that are not hashed yet it says nothing true.
    pub fn files(&self) -> &Listing<Found> {
        &self.gathered.scan.files
    }

    /// Goes on until a file after `path` is found, or there is none.
    pub fn go_past(&mut self, path: &[u8]) {
        let files = |gathered: &Gathered| gathered.scan.files.len();
        let is_past =
            |gathered: &Gathered| gathered.scan.files.path(files(gathered).wrapping_sub(1)) > path;
        while !is_past(&self.gathered) && self.gathered.step(self.yard) {}
    }

    /// Whether what the file at this place holds is known by now.
    pub fn is_hashed(&self, at: usize) -> bool {
        self.files().found(at) != Some(&NOT_YET)
    }

    /// Goes on to the end, and waits until all is hashed.
    pub fn finish(&mut self) {
        if mem::replace(&mut self.is_finished, true) {
            return;
        }
        while self.gathered.step(self.yard) {}
        self.gathered.enter(self.yard.finish());
    }

    /// Leaves the file at this place out of what is returned.
    pub fn leave_out(&mut self, at: usize) {
        let left_out = &mut self.gathered.left_out;
        if left_out.len() <= at {
            left_out.resize(self.gathered.scan.files.len().max(at + 1), false);
        }
        if let Some(place) = left_out.get_mut(at) {
            *place = true;
        }
    }

    /// Leaves no file out.
    pub fn leave_none_out(&mut self) {
        self.gathered.left_out.clear();
    }
}

/// What goes through the folders in order.
struct Gathered {
    scan: Scan,
    noted: Vec<Noted>,
    /// Places in the listing of what turned out to be nothing.
    failed: Vec<usize>,
    news: News,
    /// Whether the file at this place is left out.
    left_out: Vec<bool>,
    path: Vec<u8>,
    folders: Vec<Folder>,
    /// The folder that is gone into next.
    entered: Option<usize>,
}

/// What a new index needs of a folder.
struct Noted {
    source: Source,
    /// The numbers of the names of files that are hashed, and their places in the listing.
    hashed: Vec<(u32, usize)>,
}

/// A folder that is gone through, and how far.
struct Folder {
    listed: Listed,
    at: usize,
    /// Its place among what is noted.
    noted: usize,
    /// How much of the path is its own.
    length: usize,
}

/// Stands in the listing for what is being hashed.
const NOT_YET: Found =
    Found { signature: Signature::Sum(0), size_bytes: 0, mtime_s: 0, mtime_ns: 0 };

impl Gathered {
    fn new(scan: Scan) -> Gathered {
        Gathered {
            scan,
            noted: Vec::new(),
            failed: Vec::new(),
            news: News { marks: Vec::new(), bytes: 0 },
            left_out: Vec::new(),
            path: Vec::new(),
            folders: Vec::new(),
            entered: Some(0),
        }
    }

    /// Goes on by one thing, into a folder or out of one; `false` at the end.
    fn step(&mut self, yard: &Yard<'_, '_>) -> bool {
        if let Some(place) = self.entered.take() {
            let length = self.path.len();
            let Some(mut listed) = yard.wait_for(place) else {
                self.unknown(&[], "the walk through the tree broke off");
                self.folders.clear();
                return false;
            };
            self.count(&mut listed);
            let noted = self.noted.len();
            let source = mem::replace(&mut listed.source, Source::None);
            self.noted.push(Noted { source, hashed: Vec::new() });
            self.folders.push(Folder { listed, at: 0, noted, length });
        }
        let Some(folder) = self.folders.last_mut() else { return false };
        self.path.truncate(folder.length);
        let Some(thing) = folder.listed.things.get(folder.at) else {
            self.folders.pop();
            return true;
        };
        folder.at += 1;
        if folder.length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(folder.listed.name(thing));
        match &thing.kind {
            walk::What::Folder(place) => self.entered = Some(*place),
            walk::What::File(known) => {
                let at = self.scan.files.len();
                let why = match self.scan.files.push(&self.path, known.unwrap_or(NOT_YET)) {
                    Ok(true) if known.is_none() => {
                        yard.hash(&folder.listed, thing, at);
                        if let Some(noted) = self.noted.get_mut(folder.noted) {
                            noted.hashed.push((thing.number, at));
                        }
                        return true;
                    }
                    Ok(true) => return true,
                    Ok(false) => "a name that is there twice".to_owned(),
                    Err(fault) => fault.to_string(),
                };
                self.scan.unknown.push((self.path.clone(), why));
            }
        }
        true
    }

    /// Enters what was hashed.
    fn enter(&mut self, hashed: Vec<Hashed>) {
        for (at, result) in hashed {
            match result {
                Ok(Some((found, marks))) => {
                    self.news.bytes += found.size_bytes;
                    self.news.marks.push((at, marks));
                    if let Some(place) = self.scan.files.found_mut(at) {
                        *place = found;
                    }
                }
                Ok(None) => self.failed.push(at),
                Err(why) => {
                    self.failed.push(at);
                    self.scan.unknown.push((self.scan.files.path(at).to_vec(), why.to_string()));
                }
            }
        }
        self.news.marks.sort_unstable_by_key(|(at, _)| *at);
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

impl News {
    /// Whether writing the index anew saves more than it takes.
    fn is_enough(&self, noted: &[Noted], old: Option<&Index>, new: &NewIndex) -> bool {
        let count = |is_so: &dyn Fn(&Source) -> bool| {
            noted.iter().filter(|noted| is_so(&noted.source)).count()
        };
        let knows_names = old.is_none_or(Index::knows_names);
        let listed = count(&|source| match source {
            Source::New(record) if knows_names => {
                record.stamps().is_some_and(|stamps| new.is_settled(&stamps))
            }
            _ => false,
        });
        let met = count(&|source| !matches!(source, Source::None));
        let gone = old.map_or(0, Index::folders).saturating_sub(met);
        self.marks.len() + listed + gone >= NEWS_MIN || self.bytes >= NEWS_BYTES_MIN
    }

    /// Writes what the old index had of these folders, and what was found and hashed now.
    fn write(
        &self,
        mut index: NewIndex,
        old: Option<&Index>,
        noted: &[Noted],
        files: &Listing<Found>,
    ) -> std::io::Result<()> {
        for Noted { source, hashed } in noted {
            let kept;
            let record = match source {
                Source::None => continue,
                Source::New(record) => record,
                Source::Old(stamps) => {
                    kept = old.and_then(|old| old.folder(stamps));
                    let Some(record) = &kept else { continue };
                    record
                }
            };
            let news: Vec<index::News> =
                hashed.iter().map(|(number, at)| (*number, self.of(*at, files))).collect();
            index.add(record, &news)?;
        }
        index.finish()
    }

    /// Returns what was found of the file at this place of the listing, if it could be hashed.
    fn of(&self, at: usize, files: &Listing<Found>) -> Option<(Marks, Signature)> {
        let news = self.marks.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        let (_, marks) = self.marks.get(news)?;
        Some((*marks, files.found(at)?.signature))
    }
}

/// Returns the names in a folder, ascending, with what is known of their kinds.
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let fd = beneath::reopen(folder)?;
    let mut names = Vec::new();
    each_name(&fd, |name, kind| {
        names.push((name.to_vec(), kind));
        Ok(())
    })?;
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}

#[cfg(test)]
mod tests;
