//! Putting a staged file in its place, and removing one: compare, swap, compare again.
//!
//! Invariant: nothing that was on the disk is lost. What is displaced goes to the store of kept
//! versions; what turns out not to be what was decided on is put back; and between the two it
//! lies in the store's own folder, where the next run finds it if this one is killed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use thiserror::Error;

use crate::edge::kept::{Aside, Kept};
use crate::model::project::Format;
use crate::model::{Content, Signature, TreePath};

use super::beneath::{self, Spot, Step};
use super::{Look, Moment, Root, Staged, TreeError, Unknown, io_error};

/// A staged file on its way to its place.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// Which.
    pub staged: Staged<'a>,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// When it was modified, in seconds since 1970.
    pub mtime_s: i64,
    /// The nanoseconds of that.
    pub mtime_ns: u32,
    /// Just these permission bits, out of 0777, for what was here before; `None` for what comes
    /// from elsewhere: then they follow the file that it replaces, and the user's umask.
    pub mode: Option<u32>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// There was none, now there is one.
    Created,
    /// It took the place of this one, which is kept.
    Replaced(Signature),
    /// This one is kept and no longer there.
    Removed {
        /// What was there.
        displaced: Signature,
        /// Folders that this emptied, and that were removed with it.
        folders: u32,
    },
    /// It was to be removed and is not there.
    NothingThere,
}

/// Why nothing was done; the tree is as it was, and the staged file still staged.
#[derive(Debug, Error)]
pub enum PlaceFault {
    /// What is there is not what was decided on: judge again.
    #[error("changed meanwhile: now it is {0}")]
    Changed(Content),
    /// What is there is no file, or cannot be told.
    #[error("in the way is something that is {0}")]
    InTheWay(Unknown),
    /// The system refused something.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The place of a file: its folder and its last part.
struct Place<'p> {
    /// The folders below the root, nearest to it first.
    chain: Vec<OwnedFd>,
    name: &'p [u8],
    /// How many of the last of them were made just now.
    made: usize,
}

impl Root {
    /// Puts a staged file at `path`, if what is there now is `expected`.
    ///
    /// Makes the folders that are missing. What it replaces goes to `kept`. The contents are
    /// durable on return; the names are after [`Root::sync_touched`].
    ///
    /// # Errors
    /// A [`PlaceFault`]; then nothing was changed.
    pub fn place(
        &self,
        path: &TreePath,
        arrival: &Arrival<'_>,
        expected: &Content,
        format: Format,
        kept: &Kept,
    ) -> Result<Placed, PlaceFault> {
        let place = self.reach(path, expected)?;
        let placed = self.place_at(&place, path, arrival, expected, format, kept);
        if placed.is_err() {
            self.unmake(&place, path);
        }
        placed
    }

    /// Removes the file at `path`, if what is there now is `expected`, and the folders that this
    /// empties. It goes to `kept`. The names are durable after [`Root::sync_touched`].
    ///
    /// # Errors
    /// A [`PlaceFault`]; then nothing was changed.
    pub fn remove(
        &self,
        path: &TreePath,
        expected: &Content,
        format: Format,
        kept: &Kept,
    ) -> Result<Placed, PlaceFault> {
        let (chain, name) = match self.resolve(path) {
            Spot::Open { chain, name } => (chain, name),
            Spot::Missing { .. } => return nothing_there(expected),
            Spot::Blocked(unknown) => return Err(PlaceFault::InTheWay(unknown)),
        };
        let place = Place { chain, name, made: 0 };
        self.at(Moment::Resolved);
        let parent = self.parent(&place);
        expect(beneath::look(parent, name, self.device, format), expected)?;
        let Content::File(expected) = expected else { return nothing_there(expected) };
        self.at(Moment::Checked);

        let held = self.touched.hold(parent)?;
        let aside = kept.aside();
        match rustix::fs::renameat(parent, name, aside.folder, &*aside.name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(PlaceFault::Changed(Content::Absent)),
            Err(errno) => return Err(io_error(path.to_string(), "move it away", errno).into()),
        }
        self.touched.add(held);
        self.at(Moment::Swapped);
        if let Err(fault) = self.keep(&aside, expected, format, kept) {
            self.put_back(&place, path, &aside, kept)?;
            return Err(fault);
        }
        let folders = self.prune(&place, path);
        Ok(Placed::Removed { displaced: *expected, folders })
    }

    /// Removes the folders above `path` that are empty, where nothing is at `path`: what a removal
    /// that was killed left undone.
    pub fn remove_empty_above(&self, path: &TreePath) {
        let place = match self.resolve(path) {
            Spot::Open { chain, name } => Place { chain, name, made: 0 },
            Spot::Missing { chain } => Place { chain, name: b"", made: 0 },
            Spot::Blocked(_) => return,
        };
        self.prune(&place, path);
    }

    /// Walks to the folder of `path`, making what is missing where a new file is to be.
    fn reach<'p>(&self, path: &'p TreePath, expected: &Content) -> Result<Place<'p>, PlaceFault> {
        let (mut chain, name) = match (self.resolve(path), expected) {
            (Spot::Open { chain, name }, _) => return Ok(Place { chain, name, made: 0 }),
            (Spot::Blocked(unknown), _) => return Err(PlaceFault::InTheWay(unknown)),
            (Spot::Missing { .. }, Content::File(_)) => {
                return Err(PlaceFault::Changed(Content::Absent));
            }
            (Spot::Missing { chain }, Content::Absent) => {
                (chain, path.parts().next_back().unwrap_or_default())
            }
        };
        let there = chain.len();
        let parts = path.parts().count();
        let missing: Vec<&[u8]> = path.parts().take(parts - 1).skip(there).collect();
        for part in missing {
            match self.make(self.tip(&chain), part, path) {
                Ok(folder) => chain.push(folder),
                Err(fault) => {
                    let made = chain.len() - there;
                    self.unmake(&Place { chain, name, made }, path);
                    return Err(fault);
                }
            }
        }
        let made = chain.len() - there;
        Ok(Place { chain, name, made })
    }

    /// Makes one folder of the tree, with the permissions that the user's umask leaves; others than the
    /// user and the group never write to it.
    fn make(
        &self,
        parent: BorrowedFd<'_>,
        part: &[u8],
        path: &TreePath,
    ) -> Result<OwnedFd, PlaceFault> {
        let all = Mode::RWXU | Mode::RWXG | Mode::ROTH | Mode::XOTH;
        let held = self.touched.hold(parent)?;
        match rustix::fs::mkdirat(parent, part, all) {
            Ok(()) => self.touched.add(held),
            // Somebody made it at the same time: as well.
            Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(io_error(path.to_string(), "make a folder for it", errno).into());
            }
        }
        match beneath::open_folder(parent, part, self.device) {
            Step::Folder(folder) => Ok(folder),
            Step::Other(unknown) => Err(PlaceFault::InTheWay(unknown)),
            Step::Absent => Err(PlaceFault::Changed(Content::Absent)),
        }
    }

    /// Removes the folders that were made for a file that then was not placed.
    fn unmake(&self, place: &Place<'_>, path: &TreePath) {
        let first = place.chain.len() - place.made;
        let parts: Vec<&[u8]> = path.parts().take(place.chain.len()).collect();
        for (depth, part) in parts.into_iter().enumerate().skip(first).rev() {
            // Only if it is still empty; otherwise somebody uses it.
            let above = self.tip(place.chain.get(..depth).unwrap_or_default());
            if rustix::fs::unlinkat(above, part, AtFlags::REMOVEDIR).is_err() {
                return;
            }
        }
    }

    fn place_at(
        &self,
        place: &Place<'_>,
        path: &TreePath,
        arrival: &Arrival<'_>,
        expected: &Content,
        format: Format,
        kept: &Kept,
    ) -> Result<Placed, PlaceFault> {
        self.at(Moment::Resolved);
        let parent = self.parent(place);
        expect(beneath::look(parent, place.name, self.device, format), expected)?;
        ready(parent, place.name, arrival, path)?;
        self.at(Moment::Checked);
        match expected {
            Content::Absent => self.create(place, path, arrival, format),
            Content::File(expected) => self.exchange(place, path, arrival, expected, format, kept),
        }
    }

    /// Renames a staged file to where none is.
    fn create(
        &self,
        place: &Place<'_>,
        path: &TreePath,
        arrival: &Arrival<'_>,
        format: Format,
    ) -> Result<Placed, PlaceFault> {
        let parent = self.parent(place);
        let held = self.touched.hold(parent)?;
        let Staged { staging, name } = arrival.staged;
        match rename_to_free(self.swaps, (staging.fd(), name.as_bytes()), (parent, place.name)) {
            Ok(()) => {
                self.touched.add(held);
                self.at(Moment::Swapped);
                Ok(Placed::Created)
            }
            Err(Errno::EXIST) => Err(self.changed(place, format)),
            Err(errno) => Err(io_error(path.to_string(), "put the new file there", errno).into()),
        }
    }

    /// Swaps a staged file with what is there, and judges what came out.
    fn exchange(
        &self,
        place: &Place<'_>,
        path: &TreePath,
        arrival: &Arrival<'_>,
        expected: &Signature,
        format: Format,
        kept: &Kept,
    ) -> Result<Placed, PlaceFault> {
        let parent = self.parent(place);
        let held = self.touched.hold(parent)?;
        let Staged { staging, name } = arrival.staged;
        let aside = kept.aside();
        let fail = |errno| io_error(path.to_string(), "put the new file there", errno);
        // It lies in the store's folder from before the swap: if this run is killed just after
        // it, what was displaced is rescued from there, while staged files are thrown away.
        rustix::fs::renameat(staging.fd(), name, aside.folder, &*aside.name).map_err(fail)?;
        let result = self.exchange_aside(place, path, &aside, expected, format, kept);
        match result {
            Ok(()) => {
                self.touched.add(held);
                Ok(Placed::Replaced(*expected))
            }
            Err(fault) => {
                // Staged again, for another try; unless somebody else took it away meanwhile.
                let _ = rustix::fs::renameat(aside.folder, &*aside.name, staging.fd(), name);
                Err(fault)
            }
        }
    }

    /// The swap itself; on a fault the new file lies aside again, and the old one is in its place.
    fn exchange_aside(
        &self,
        place: &Place<'_>,
        path: &TreePath,
        aside: &Aside<'_>,
        expected: &Signature,
        format: Format,
        kept: &Kept,
    ) -> Result<(), PlaceFault> {
        let fail = |errno| io_error(path.to_string(), "put the new file there", errno);
        let parent = self.parent(place);
        let new = identity(aside.folder, aside.name.as_bytes()).map_err(fail)?;
        match swap(self.swaps, aside, parent, place.name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(PlaceFault::Changed(Content::Absent)),
            Err(Errno::ISDIR | Errno::PERM | Errno::NOTDIR) => {
                return Err(match self.changed(place, format) {
                    PlaceFault::Changed(_) => fail(Errno::PERM).into(),
                    fault => fault,
                });
            }
            Err(errno) => return Err(fail(errno).into()),
        }
        self.at(Moment::Swapped);
        let Err(fault) = self.keep(aside, expected, format, kept) else { return Ok(()) };
        match swap(self.swaps, aside, parent, place.name) {
            // What came back is somebody's own if it is not the new file as we made it.
            Ok(()) if identity(aside.folder, aside.name.as_bytes()) == Ok(new) => {}
            Ok(()) => keep_unnamed(kept, aside)?,
            Err(Errno::NOENT) => self.put_back(place, path, aside, kept)?,
            Err(errno) => {
                keep_unnamed(kept, aside)?;
                return Err(io_error(path.to_string(), "put the old file back", errno).into());
            }
        }
        Err(fault)
    }

    /// Keeps what was displaced, if it is what was expected.
    fn keep(
        &self,
        aside: &Aside<'_>,
        expected: &Signature,
        format: Format,
        kept: &Kept,
    ) -> Result<(), PlaceFault> {
        let displaced = beneath::look(aside.folder, aside.name.as_bytes(), self.device, format);
        expect(displaced, &Content::File(*expected))?;
        Ok(kept.keep(aside.folder, aside.name.as_bytes(), expected)?)
    }

    /// Puts what lies aside back to where nothing is; should something be there by now, what lies
    /// aside is kept.
    fn put_back(
        &self,
        place: &Place<'_>,
        path: &TreePath,
        aside: &Aside<'_>,
        kept: &Kept,
    ) -> Result<(), PlaceFault> {
        let from = (aside.folder, aside.name.as_bytes());
        match rename_to_free(self.swaps, from, (self.parent(place), place.name)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Ok(keep_unnamed(kept, aside)?),
            Err(errno) => Err(io_error(path.to_string(), "put it back", errno).into()),
        }
    }

    /// Removes the folders above `place` that have become empty. Each held something until now,
    /// so none was empty before.
    fn prune(&self, place: &Place<'_>, path: &TreePath) -> u32 {
        let parts: Vec<&[u8]> = path.parts().take(place.chain.len()).collect();
        let mut removed = 0;
        for ((depth, part), folder) in parts.into_iter().enumerate().zip(&place.chain).rev() {
            let above = self.tip(place.chain.get(..depth).unwrap_or_default());
            // Another folder of that name, swapped in meanwhile, is not the one that was emptied.
            let same = match (rustix::fs::fstat(folder), inode(above, part)) {
                (Ok(held), Ok(named)) => held.st_ino == named,
                _ => false,
            };
            let Ok(held) = self.touched.hold(above) else { return removed };
            if !same || rustix::fs::unlinkat(above, part, AtFlags::REMOVEDIR).is_err() {
                return removed;
            }
            self.touched.add(held);
            removed += 1;
        }
        removed
    }

    /// Returns the fault that what is there now makes.
    fn changed(&self, place: &Place<'_>, format: Format) -> PlaceFault {
        match beneath::look(self.parent(place), place.name, self.device, format).content() {
            Ok(content) => PlaceFault::Changed(content),
            Err(unknown) => PlaceFault::InTheWay(unknown),
        }
    }

    fn parent<'a>(&'a self, place: &'a Place<'_>) -> BorrowedFd<'a> {
        self.tip(&place.chain)
    }

    /// Returns the last folder of a chain; the root for none.
    fn tip<'a>(&'a self, chain: &'a [OwnedFd]) -> BorrowedFd<'a> {
        chain.last().map_or(self.fd.as_fd(), AsFd::as_fd)
    }
}

/// Whether what is there is what was expected.
fn expect(there: Look, expected: &Content) -> Result<(), PlaceFault> {
    match there.content() {
        Ok(content) if content == *expected => Ok(()),
        Ok(content) => Err(PlaceFault::Changed(content)),
        Err(unknown) => Err(PlaceFault::InTheWay(unknown)),
    }
}

/// What removing means where nothing is.
fn nothing_there(expected: &Content) -> Result<Placed, PlaceFault> {
    match expected {
        Content::Absent => Ok(Placed::NothingThere),
        Content::File(_) => Err(PlaceFault::Changed(Content::Absent)),
    }
}

/// Gives a staged file its permissions and time, and makes its contents durable.
fn ready(
    parent: BorrowedFd<'_>,
    name: &[u8],
    arrival: &Arrival<'_>,
    path: &TreePath,
) -> Result<(), TreeError> {
    let fail = |errno| io_error(path.to_string(), "prepare the new file", errno);
    let Staged { staging, name: staged } = arrival.staged;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(staging.fd(), staged, flags, Mode::empty()).map_err(fail)?;
    let new = rustix::fs::fstat(&fd).map_err(fail)?;
    let old = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let mut mode = match &old {
        Some(old) => permissions(old.st_mode, arrival.executable),
        None => permissions(0o755 & staging.umasked(), arrival.executable),
    };
    let group = match &old {
        Some(old) => Some(old.st_gid),
        // A folder with this bit hands its group to what is made in it; ours was made elsewhere.
        None => {
            let folder = rustix::fs::fstat(parent).map_err(fail)?;
            (folder.st_mode & 0o2000 != 0).then_some(folder.st_gid)
        }
    };
    // Who reads as a member of the old file's group is not who is in the new one's.
    if let Some(group) = group.filter(|&group| group != new.st_gid)
        && rustix::fs::fchown(&fd, None, Some(Gid::from_raw(group))).is_err()
    {
        mode &= !0o070;
    }
    mode = arrival.mode.map_or(mode, |exact| exact & 0o777);
    if let Some(old) = old.filter(|old| old.st_uid != new.st_uid) {
        // Only the superuser can, and only for the superuser does it matter.
        let _ = rustix::fs::fchown(&fd, Some(Uid::from_raw(old.st_uid)), None);
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(fail)?;
    let last_modification =
        Timespec { tv_sec: arrival.mtime_s, tv_nsec: arrival.mtime_ns.min(999_999_999).into() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    rustix::fs::futimens(&fd, &Timestamps { last_access, last_modification }).map_err(fail)?;
    // Contents that are durable need no more: marks and names are by `sync_touched`.
    if staging.is_durable() { Ok(()) } else { rustix::fs::fsync(&fd).map_err(fail) }
}

/// Returns permission bits that let execute whoever may read, or nobody; never setuid, setgid,
/// sticky or writable for the world.
fn permissions(mode: u32, executable: bool) -> u32 {
    let mode = mode & 0o664;
    // The owner's bit is what travels: it is set even where the owner's own reading is masked.
    if executable { mode | (mode & 0o444) >> 2 | 0o100 } else { mode }
}

/// Exchanges what lies aside with `name` of `parent`.
fn swap(swaps: bool, aside: &Aside<'_>, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    if swaps {
        let flags = RenameFlags::EXCHANGE;
        match rustix::fs::renameat_with(aside.folder, &*aside.name, parent, name, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return result,
        }
    }
    swap_by_link(aside, parent, name)
}

/// The next best thing where names cannot be exchanged: the old file gets a second name first.
/// What somebody renames there between the two looks at its inode is lost.
fn swap_by_link(aside: &Aside<'_>, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let second = format!("{}.old", aside.name);
    rustix::fs::linkat(parent, name, aside.folder, &*second, AtFlags::empty())?;
    let same = inode(parent, name)? == inode(aside.folder, second.as_bytes())?;
    let renamed = match same {
        true => rustix::fs::renameat(aside.folder, &*aside.name, parent, name),
        false => Err(Errno::NOENT),
    };
    match renamed {
        Ok(()) => rustix::fs::renameat(aside.folder, &*second, aside.folder, &*aside.name),
        Err(errno) => {
            rustix::fs::unlinkat(aside.folder, &*second, AtFlags::empty())?;
            Err(errno)
        }
    }
}

/// Renames to a name that must be free: `EEXIST` if it is not.
pub(in crate::edge) fn rename_to_free(
    swaps: bool,
    (from, from_name): (BorrowedFd<'_>, &[u8]),
    (to, to_name): (BorrowedFd<'_>, &[u8]),
) -> Result<(), Errno> {
    if swaps {
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, from_name, to, to_name, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return result,
        }
    }
    match rustix::fs::linkat(from, from_name, to, to_name, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(from, from_name, AtFlags::empty()),
        // A folder has no second name; nor does it take the place of anything but an empty one.
        Err(Errno::PERM) if is_folder(from, from_name) && inode(to, to_name).is_err() => {
            rustix::fs::renameat(from, from_name, to, to_name)
        }
        Err(errno) => Err(errno),
    }
}

/// Keeps what lies aside, whatever it is; what is no file stays where it lies.
fn keep_unnamed(kept: &Kept, aside: &Aside<'_>) -> Result<(), TreeError> {
    kept.rescue(aside.folder, aside.name.as_bytes())
}

/// Which file it is, and whether anybody wrote into it: inode, size, modification time.
fn identity(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(u64, i64, i64, u64), Errno> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec))
}

fn is_folder(folder: BorrowedFd<'_>, name: &[u8]) -> bool {
    beneath::kind(folder, name) == Ok(FileType::Directory)
}

fn inode(folder: BorrowedFd<'_>, name: &[u8]) -> Result<u64, Errno> {
    Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_follow_the_executable_bit_and_nothing_else() {
        let table = [
            ("new", 0o755, false, 0o644),
            ("new program", 0o755, true, 0o755),
            ("private", 0o600, true, 0o700),
            ("a program no more", 0o755, false, 0o644),
            ("for the group", 0o640, true, 0o750),
            ("setuid, setgid, sticky", 0o7755, true, 0o755),
            ("for all to write", 0o777, false, 0o664),
            ("nobody may read", 0o000, true, 0o100),
        ];
        for (name, mode, executable, want) in table {
            let got = permissions(mode, executable);
            assert_eq!(got, want, "{name}: {got:o}, not {want:o}");
        }
    }
}
