//! The part of a synchro that changes the tree here: downloads, and deletions.
//!
//! Invariant: a change is noted in the run history before it is made, what it displaces is kept, and
//! nothing is replaced that is not what the plan says.

use crate::edge::kept::Kept;
use crate::edge::runs::RunLog;
use crate::edge::ssh::{Fetched, fetch, join, look_at};
use crate::edge::tree::{Arrival, Look, Marks, PlaceFault, Placed, Root, Staging};
use crate::model::project::Format;
use crate::model::run::{Before, Change, Event, Kind};
use crate::model::snapshot::{Act, Operation};
use crate::model::version::Content;
use crate::model::{Signature, TreePath};

use super::super::open::OpenProject;
use super::super::outcome::Failure;
use super::super::progress::Progress;
use super::super::session::Session;
use super::{End, Ended, Errand};

/// Brings what comes from the hosts, one host after the other; returns what is left for them.
///
/// # Errors
/// The tree or the run history cannot be written.
pub fn bring(
    session: &Session,
    open: &mut OpenProject,
    errands: Vec<Errand>,
    progress: &Progress,
) -> Result<(Vec<Errand>, Vec<Ended>), Failure> {
    let runs = open.runs(Kind::Synchro, session.now_ms);
    let root = &open.ground.root;
    let mut ended = Vec::new();
    let mut left = Vec::new();
    for mut errand in errands {
        let all = std::mem::take(&mut errand.operations);
        let (downloads, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|operation| operation.act == Act::Download);
        let (removals, rest): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|operation| operation.act == Act::DeleteHere);
        errand.operations = rest;
        if !downloads.is_empty() || !removals.is_empty() {
            let hands = Hands { root, runs: &runs, kept: Kept::open(root)? };
            for operation in removals {
                let end = hands.remove(&operation);
                ended.push((operation, end));
            }
            let is_alive = hands.download(&mut errand, downloads, progress, &mut ended)?;
            if !is_alive {
                let lost = std::mem::take(&mut errand.operations);
                let why = || End::Failed("the connection ended".to_owned());
                ended.extend(lost.into_iter().map(|operation| (operation, why())));
                continue;
            }
        }
        left.push(errand);
    }
    runs.sync()?;
    root.sync_touched()?;
    Ok((left, ended))
}

struct Hands<'h> {
    root: &'h Root,
    runs: &'h RunLog,
    kept: Kept,
}

impl Hands<'_> {
    /// Downloads; whether the host is still there afterwards.
    fn download(
        &self,
        errand: &mut Errand,
        operations: Vec<Operation>,
        progress: &Progress,
        ended: &mut Vec<Ended>,
    ) -> Result<bool, Failure> {
        let staging = self.root.stage()?;
        let names: Vec<Vec<u8>> =
            operations.iter().map(|o| join(&errand.top, o.path.as_bytes())).collect();
        let paths: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let sizes = look_at(&mut errand.sftp, &names).unwrap_or_default();
        let sizes = sizes.iter().filter_map(|found| found.as_ref().ok()?.as_ref()?.size_bytes);
        progress.expect(sizes.fold(0, u64::saturating_add));
        let mut sink =
            |at: usize| staging.create(&at.to_string()).map(Some).map_err(std::io::Error::other);
        let mut told = |bytes| progress.add(bytes);
        let fetched = match fetch(&mut errand.sftp, &paths, &mut sink, &mut told) {
            Ok(fetched) => fetched,
            Err(fault) => {
                let why = fault.to_string();
                let failed = |operation| (operation, End::Failed(why.clone()));
                ended.extend(operations.into_iter().map(failed));
                return Ok(false);
            }
        };
        for (at, (operation, fetched)) in operations.into_iter().zip(fetched).enumerate() {
            let end = match fetched {
                Ok(fetched) => self.place(&operation, &fetched, &staging, &at.to_string()),
                Err(why) => End::Failed(why),
            };
            ended.push((operation, end));
        }
        Ok(true)
    }

    fn place(
        &self,
        operation: &Operation,
        fetched: &Fetched,
        staging: &Staging,
        name: &str,
    ) -> End {
        let executable = fetched.mode & 0o100 != 0;
        let came = Content::File(Signature::Sha256 { digest: fetched.sha256, executable });
        if came != operation.there {
            return End::Held("it changed there since the check".to_owned());
        }
        let arrival = Arrival {
            staged: staging.staged(name),
            executable,
            mtime_s: fetched.mtime_s,
            mtime_ns: 0,
            mode: None,
        };
        let Operation { path, here, .. } = operation;
        self.noted(path, *here, came, || {
            self.root.place(path, &arrival, here, Format::V2_0, &self.kept)
        })
    }

    fn remove(&self, operation: &Operation) -> End {
        let Operation { path, here, .. } = operation;
        self.noted(path, *here, Content::Absent, || {
            self.root.remove(path, here, Format::V2_0, &self.kept)
        })
    }

    /// Makes a change between the note that it is made and, if it is not, the note of that.
    fn noted(
        &self,
        path: &TreePath,
        here: Content,
        after: Content,
        make: impl FnOnce() -> Result<Placed, PlaceFault>,
    ) -> End {
        let is_as_planned = match self.root.look(path, Format::V2_0) {
            Look::Absent => here == Content::Absent,
            Look::File(found) => here == Content::File(found.signature),
            Look::NotKnown(unknown) => return End::Failed(unknown.to_string()),
        };
        if !is_as_planned {
            return End::Held(CHANGED.to_owned());
        }
        let change =
            Change { path: path.clone(), before: self.before(path, here), after, package: None };
        if let Err(error) = self.runs.note(&Event::Change(change)) {
            return End::Failed(error.to_string());
        }
        match make() {
            Ok(_) => End::Done,
            Err(fault) => {
                // Without it the history only tells of a change too many.
                let _ = self.runs.note(&Event::Void(path.clone()));
                match fault {
                    PlaceFault::Changed(_) => End::Held(CHANGED.to_owned()),
                    fault => End::Failed(fault.to_string()),
                }
            }
        }
    }

    fn before(&self, path: &TreePath, content: Content) -> Before {
        if content == Content::Absent {
            return Before::NOTHING;
        }
        let Some(Marks { mode, mtime_s, mtime_ns }) = self.root.marks(path) else {
            return Before::NOTHING;
        };
        Before { content, mode, mtime_s, mtime_ns }
    }
}

/// What is said of a file that is not what the check saw.
const CHANGED: &str = "it changed here since the check";
