//! The hands of a visit: the tree on disk, and the packages that versions come from.
//!
//! Invariant: a change is noted in the run history before it is made.

use std::collections::HashMap;
use std::io::{Read, Write};

use crate::edge::kept::{Kept, Shelves};
use crate::edge::queue::{Queue, QueueError};
use crate::edge::runs::{RunLog, RunsError};
use crate::edge::tree::{self, Arrival, PlaceFault, Staging, TreeError};
use crate::format::digest::{digests_of, hex, sha256_of};
use crate::format::package::{self, Member, Package, PackageFault, Sink};
use crate::model::project::Format;
use crate::model::run::{Before, Change, Event};
use crate::model::verdict::Place;
use crate::model::version::{Content, Version};
use crate::model::{Signature, TreePath};
use crate::rules::observe::Look;
use crate::rules::visit::{Hands, Put, Source};

use super::ground::{Ground, look_at_disk, place_of};

/// A package whose files lie unpacked beside the tree.
pub struct Staged {
    staging: Staging,
    members: Vec<Member>,
    origin: Origin,
}

/// Where a staged file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A package of the queue.
    Package,
    /// It was made here: a merge.
    Here,
}

/// Why a package cannot be unpacked.
enum Unstaged {
    /// The queue does not have it any more.
    Gone,
    /// Something else, as it says.
    Failed(String),
}

impl From<QueueError> for Unstaged {
    fn from(error: QueueError) -> Unstaged {
        match error {
            QueueError::NotFound { .. } | QueueError::NoBytes { .. } => Unstaged::Gone,
            error => Unstaged::Failed(error.to_string()),
        }
    }
}

/// Files from which on all are synced together.
const MEMBERS_TOGETHER: usize = 32;

/// Unpacks a package beside the tree: nothing in the tree is touched, and what is not a sound
/// package leaves nothing behind.
///
/// # Errors
/// As [`package::read`].
pub fn stage(ground: &Ground, from: impl Read) -> Result<(Package, Staged), PackageFault> {
    let staging =
        ground.root.stage().map_err(|error| PackageFault::Io(std::io::Error::other(error)))?;
    let mut sink = StagingSink(&staging);
    let package = package::read(from, &mut sink).map_err(|fault| match fault {
        PackageFault::Io(error) => {
            let what = format!("{}: cannot unpack the package: {error}", ground.dir.display());
            PackageFault::Io(std::io::Error::new(error.kind(), what))
        }
        fault => fault,
    })?;
    if package.members.len() >= MEMBERS_TOGETHER {
        let fail = |error| PackageFault::Io(std::io::Error::other(error));
        staging.sync_all(&ground.root).map_err(fail)?;
    }
    let members = package.members.clone();
    Ok((package, Staged { staging, members, origin: Origin::Package }))
}

/// Removes the folders that a run which was killed had emptied and not yet removed: the next run
/// of its kind finds the file gone and would take the folder for the user's own.
///
/// # Errors
/// The run history cannot be read.
pub fn finish_removals(ground: &Ground, runs: &RunLog) -> Result<(), RunsError> {
    let changes = runs.killed()?.map(|run| run.sum()).unwrap_or_default();
    for change in changes.iter().filter(|change| change.after == Content::Absent) {
        if ground.root.is_absent(&change.path) {
            ground.root.remove_empty_above(&change.path);
        }
    }
    Ok(())
}

struct StagingSink<'a>(&'a Staging);

impl Sink for StagingSink<'_> {
    fn member(&mut self, number: u32) -> std::io::Result<Box<dyn std::io::Write + '_>> {
        let file = self.0.create(&number.to_string()).map_err(std::io::Error::other)?;
        Ok(Box::new(std::io::BufWriter::with_capacity(1 << 16, file)))
    }
}

/// The disk, for one project.
pub struct DiskHands<'a> {
    ground: &'a Ground,
    queue: &'a Queue,
    runs: &'a RunLog,
    kept: Kept,
    staged: HashMap<[u8; 32], Staged>,
    /// Where versions lie that are put back; each has a number.
    bench: Option<(Staging, u64)>,
}

impl<'a> DiskHands<'a> {
    /// Returns hands without any package yet, whose changes are noted in `runs`.
    ///
    /// # Errors
    /// The store of kept versions cannot be opened.
    pub fn new(
        ground: &'a Ground,
        queue: &'a Queue,
        runs: &'a RunLog,
    ) -> Result<DiskHands<'a>, TreeError> {
        let kept = Kept::open(&ground.root)?;
        Ok(DiskHands { ground, queue, runs, kept, staged: HashMap::new(), bench: None })
    }

    /// Gives them a package that is unpacked already.
    pub fn hold(&mut self, package: [u8; 32], staged: Staged) {
        self.staged.insert(package, staged);
    }

    /// Gives them bytes that were made here; returns where they are, and the signature that the
    /// project's format gives them.
    ///
    /// # Errors
    /// They cannot be written beside the tree.
    pub fn hold_bytes(
        &mut self,
        bytes: &[u8],
        executable: bool,
        now_ms: u64,
    ) -> Result<(Source, Signature), TreeError> {
        let staging = self.ground.root.stage()?;
        write_to(&staging, "1", bytes)?;
        let digests = digests_of(bytes).map_err(|source| io_fault("1", source))?;
        let member = Member {
            number: 1,
            size_bytes: bytes.len() as u64,
            executable,
            mtime_s: i64::try_from(now_ms / 1000).unwrap_or(0),
            mtime_ns: u32::try_from(now_ms % 1000 * 1_000_000).unwrap_or(0),
            sha256: digests.sha256,
            sum: digests.sum,
        };
        let signature = match self.ground.format {
            Format::V1_3 => Signature::Sum(digests.sum),
            Format::V2_0 => Signature::Sha256 { digest: digests.sha256, executable },
        };
        let staged = Staged { staging, members: vec![member], origin: Origin::Here };
        self.staged.insert(digests.sha256, staged);
        Ok((Source { package: digests.sha256, member: Some(1) }, signature))
    }

    /// Puts a path back to what it was, if `there`, with a SHA-256 digest in either format, is
    /// what is there now. The bytes come out of the store, as a copy: the store's own is not one
    /// that somebody may write to.
    pub fn put_back(&mut self, path: &TreePath, wanted: &Before, there: Content) -> Put {
        let before = self.before(path, there);
        let change = Change { path: path.clone(), before, after: wanted.content, package: None };
        let Content::File(signature) = wanted.content else {
            return self.noted(change, |hands| hands.remove(path, there, Format::V2_0));
        };
        let name = match self.bring(&signature) {
            Ok(name) => name,
            Err(why) => return Put::Failed(why),
        };
        self.noted(change, |hands| {
            let Some((staging, _)) = &hands.bench else { return Put::Failed(NOT_KEPT.into()) };
            let arrival = Arrival {
                staged: staging.staged(&name),
                executable: wanted.mode & 0o100 != 0,
                mtime_s: wanted.mtime_s,
                mtime_ns: wanted.mtime_ns,
                mode: Some(wanted.mode),
            };
            let root = &hands.ground.root;
            put(path, root.place(path, &arrival, &there, Format::V2_0, &hands.kept).map(drop))
        })
    }

    /// Unpacks a package from the queue, unless it is already.
    fn ensure_staged(&mut self, package: [u8; 32]) -> Result<(), Unstaged> {
        if !self.staged.contains_key(&package) {
            let entry = self.queue.find(&hex(&package))?;
            let file = self.queue.open_entry(&entry)?;
            let (_, staged) =
                stage(self.ground, file).map_err(|error| Unstaged::Failed(error.to_string()))?;
            self.staged.insert(package, staged);
        }
        Ok(())
    }

    /// Whether the package that holds a question's contents is not here any more.
    pub fn is_gone(&mut self, from: Source) -> bool {
        from.member.is_none() || matches!(self.ensure_staged(from.package), Err(Unstaged::Gone))
    }

    /// Copies a kept version to the bench, where the file system can by sharing its blocks.
    fn bring(&mut self, signature: &Signature) -> Result<String, String> {
        let Signature::Sha256 { digest, .. } = signature else { return Err(NOT_KEPT.into()) };
        let root = &self.ground.root;
        let shelves = Shelves::open(root).map_err(|error| error.to_string())?;
        let found = shelves.open_version(digest).map_err(|error| error.to_string())?;
        let (mut version, _) = found.ok_or(NOT_KEPT)?;
        if self.bench.is_none() {
            self.bench = Some((root.stage().map_err(|error| error.to_string())?, 0));
        }
        let (staging, count) = self.bench.as_mut().ok_or(NOT_KEPT)?;
        *count += 1;
        let name = count.to_string();
        let copy = || {
            use std::io::Seek;
            version.rewind()?;
            let mut file = staging.create(&name).map_err(std::io::Error::other)?;
            std::io::copy(&mut version, &mut file)?;
            file.rewind()?;
            sha256_of(file)
        };
        match { copy }() {
            Ok((copied, _)) if copied == *digest => Ok(name),
            Ok(_) => Err("its kept version changed while it was read".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn place(
        &mut self,
        path: &TreePath,
        signature: &Signature,
        from: Source,
        expected: Content,
    ) -> Put {
        let Some(number) = from.member else { return Put::Gone };
        match self.ensure_staged(from.package) {
            Ok(()) => {}
            Err(Unstaged::Gone) => return Put::Gone,
            Err(Unstaged::Failed(why)) => return Put::Failed(why),
        }
        let staged = self.staged.get(&from.package);
        let member = staged.and_then(|staged| {
            // They are numbered from 1, without a gap.
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            let member = staged.members.get(at).filter(|member| member.number == number)?;
            Some((member.clone(), staged.origin))
        });
        let Some((member, origin)) = member else {
            return Put::Failed("its package has no such file".into());
        };
        let executable = signature.executable().unwrap_or(member.executable);
        let change = Change {
            path: path.clone(),
            before: self.before(path, expected),
            after: Content::File(Signature::Sha256 { digest: member.sha256, executable }),
            package: (origin == Origin::Package).then_some(from.package),
        };
        self.noted(change, |hands| {
            let Some(staged) = hands.staged.get(&from.package) else {
                return Put::Failed("its package is gone".into());
            };
            let name = number.to_string();
            let arrival = Arrival {
                staged: staged.staging.staged(&name),
                executable,
                mtime_s: member.mtime_s,
                mtime_ns: member.mtime_ns,
                mode: None,
            };
            let Ground { root, format, .. } = hands.ground;
            put(path, root.place(path, &arrival, &expected, *format, &hands.kept).map(drop))
        })
    }

    fn remove(&mut self, path: &TreePath, expected: Content, format: Format) -> Put {
        put(path, self.ground.root.remove(path, &expected, format, &self.kept).map(drop))
    }

    /// Makes a change between the note that it is made and, if it is not, the note of that.
    fn noted(&mut self, change: Change, make: impl FnOnce(&mut Self) -> Put) -> Put {
        let path = change.path.clone();
        if let Err(error) = self.runs.note(&Event::Change(change)) {
            return Put::Failed(error.to_string());
        }
        let done = make(self);
        if done != Put::Done {
            // Without it the history only tells of a change too many, which undoes to nothing.
            let _ = self.runs.note(&Event::Void(path));
        }
        done
    }

    /// Returns what is at a path, for the run history.
    fn before(&self, path: &TreePath, expected: Content) -> Before {
        let root = &self.ground.root;
        let content = match expected {
            Content::Absent => return Before::NOTHING,
            Content::File(Signature::Sha256 { .. }) => expected,
            // A sum does not name one version.
            Content::File(Signature::Sum(_)) => match root.look(path, Format::V2_0) {
                tree::Look::File(found) => Content::File(found.signature),
                tree::Look::Absent | tree::Look::NotKnown(_) => return Before::NOTHING,
            },
        };
        let Some(marks) = root.marks(path) else { return Before::NOTHING };
        let tree::Marks { mode, mtime_s, mtime_ns } = marks;
        Before { content, mode, mtime_s, mtime_ns }
    }
}

/// Why a version cannot be put back.
const NOT_KEPT: &str = "that version is no longer kept";

fn write_to(staging: &Staging, name: &str, bytes: &[u8]) -> Result<(), TreeError> {
    let written = staging.create(name)?.write_all(bytes);
    written.map_err(|source| io_fault(name, source))
}

fn io_fault(name: &str, source: std::io::Error) -> TreeError {
    TreeError::Io { path: format!("staged file {name}"), act: "write it", source }
}

impl Hands for DiskHands<'_> {
    fn place_of(&mut self, path: &TreePath) -> Place {
        place_of(&self.ground.selection, path)
    }

    fn look(&mut self, path: &TreePath) -> Look {
        look_at_disk(&self.ground.root, self.ground.format, path)
    }

    fn same_bytes(&mut self, path: &TreePath, from: Source) -> bool {
        let (Some(number), Ok(())) = (from.member, self.ensure_staged(from.package)) else {
            return false;
        };
        let digest = |file: Option<std::fs::File>| file.and_then(|file| sha256_of(file).ok());
        let staged = self.staged.get(&from.package);
        let packaged = staged.and_then(|staged| staged.staging.open(&number.to_string()).ok());
        let here = self.ground.root.open_file(path).ok().map(|(file, _)| file);
        digest(packaged).is_some_and(|packaged| digest(here) == Some(packaged))
    }

    fn put(&mut self, path: &TreePath, version: &Version, from: Source, expected: Content) -> Put {
        match version.content {
            Content::File(signature) => self.place(path, &signature, from, expected),
            Content::Absent => {
                let change = Change {
                    path: path.clone(),
                    before: self.before(path, expected),
                    after: Content::Absent,
                    package: Some(from.package),
                };
                let format = self.ground.format;
                self.noted(change, |hands| hands.remove(path, expected, format))
            }
        }
    }
}

fn put(path: &TreePath, done: Result<(), PlaceFault>) -> Put {
    match done {
        Ok(()) => Put::Done,
        Err(PlaceFault::Changed(_)) => Put::Changed,
        Err(PlaceFault::InTheWay(_)) => Put::InTheWay,
        Err(PlaceFault::Tree(fault)) => {
            // Whoever tells why something failed says of which file.
            let why = fault.to_string();
            let own = format!("{path}: ");
            Put::Failed(why.strip_prefix(&own).unwrap_or(&why).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_not_name_its_file_again() {
        let Ok(path) = TreePath::new(b"d/x") else { panic!("a sound path") };
        let fault = |path: &str| {
            PlaceFault::Tree(TreeError::Io {
                path: path.to_owned(),
                act: "put it there",
                source: std::io::Error::other("why"),
            })
        };
        let failed = |why: &str| Put::Failed(why.into());
        assert_eq!(put(&path, Err(fault("d/x"))), failed("cannot put it there: why"));
        assert_eq!(put(&path, Err(fault("d"))), failed("d: cannot put it there: why"));
    }
}
