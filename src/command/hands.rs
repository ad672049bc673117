//! The hands of a visit: the tree on disk, and the packages that versions come from.

use std::collections::HashMap;
use std::io::Read;

use crate::edge::kept::Kept;
use crate::edge::queue::Queue;
use crate::edge::tree::{Arrival, PlaceFault, Staging, TreeError};
use crate::format::digest::{hex, sha256_of};
use crate::format::package::{self, Member, Package, PackageFault, Sink};
use crate::model::verdict::Place;
use crate::model::version::{Content, Version};
use crate::model::{Signature, TreePath};
use crate::rules::observe::Look;
use crate::rules::visit::{Hands, Put, Source};

use super::session::Ground;
use super::survey::{look_at_disk, place_of};

/// A package whose files lie unpacked beside the tree.
pub struct Staged {
    staging: Staging,
    members: Vec<Member>,
}

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
    let members = package.members.clone();
    Ok((package, Staged { staging, members }))
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
    kept: Kept,
    staged: HashMap<[u8; 32], Staged>,
}

impl<'a> DiskHands<'a> {
    /// Returns hands without any package yet.
    ///
    /// # Errors
    /// The store of kept versions cannot be opened.
    pub fn new(ground: &'a Ground, queue: &'a Queue) -> Result<DiskHands<'a>, TreeError> {
        let kept = Kept::open(&ground.root)?;
        Ok(DiskHands { ground, queue, kept, staged: HashMap::new() })
    }

    /// Gives them a package that is unpacked already.
    pub fn hold(&mut self, package: [u8; 32], staged: Staged) {
        self.staged.insert(package, staged);
    }

    /// Unpacks a package from the queue, unless it is already.
    fn ensure_staged(&mut self, package: [u8; 32]) -> Result<(), String> {
        if !self.staged.contains_key(&package) {
            let entry = self.queue.find(&hex(&package)).map_err(|error| error.to_string())?;
            let file = self.queue.open_entry(&entry).map_err(|error| error.to_string())?;
            let (_, staged) = stage(self.ground, file).map_err(|error| error.to_string())?;
            self.staged.insert(package, staged);
        }
        Ok(())
    }

    fn place(
        &mut self,
        path: &TreePath,
        signature: &Signature,
        from: Source,
        expected: Content,
    ) -> Put {
        let Some(number) = from.member else {
            return Put::Failed("its contents did not come".into());
        };
        if let Err(why) = self.ensure_staged(from.package) {
            return Put::Failed(why);
        }
        let member =
            |staged: &Staged| staged.members.iter().find(|member| member.number == number).cloned();
        let staged = self.staged.get(&from.package);
        let Some((staged, member)) = staged.and_then(|staged| Some((staged, member(staged)?)))
        else {
            return Put::Failed("its package has no such file".into());
        };
        let name = number.to_string();
        let arrival = Arrival {
            staged: staged.staging.staged(&name),
            executable: signature.executable().unwrap_or(member.executable),
            mtime_s: member.mtime_s,
            mtime_ns: member.mtime_ns,
            mode: None,
        };
        let Ground { root, format, .. } = self.ground;
        put(path, root.place(path, &arrival, &expected, *format, &self.kept).map(drop))
    }
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
                let Ground { root, format, .. } = self.ground;
                put(path, root.remove(path, &expected, *format, &self.kept).map(drop))
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

/// Hands that only look: what would be done is said to be done.
pub struct DryHands<'a>(pub &'a Ground);

impl Hands for DryHands<'_> {
    fn place_of(&mut self, path: &TreePath) -> Place {
        place_of(&self.0.selection, path)
    }

    fn look(&mut self, path: &TreePath) -> Look {
        look_at_disk(&self.0.root, self.0.format, path)
    }

    fn put(&mut self, _: &TreePath, _: &Version, _: Source, _: Content) -> Put {
        Put::Done
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
