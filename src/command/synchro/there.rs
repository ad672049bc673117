//! The part of a synchro that changes hosts: uploads, and deletions.
//!
//! Invariant: what is displaced there is kept there first, and found to be what the plan says.

use std::collections::BTreeSet;

use crate::edge::ssh::{
    Aside, Asker, CHANGED, Displaced, Each, Job, Keeping, Kept, Manner, Note, SshFault, Staged,
    create, discard, join, keep_all, look_at, make_folders, prune_kept, put_aside, release, split,
    stage, swap, verifier, verify,
};
use crate::edge::state::State;
use crate::format::sftp::Kind;
use crate::model::Signature;
use crate::model::path::escaped;
use crate::model::snapshot::{Act, Operation};
use crate::model::version::Content;

use super::super::ground::Ground;
use super::super::progress::Progress;
use super::{End, Ended, Errand};

/// Permissions of a folder that is made there.
const FOLDER_MODE: u32 = 0o755;

/// Does all that is to be done on hosts, all of them at the same time.
pub fn send_all(
    ground: &Ground,
    errands: Vec<Errand>,
    keeping: &Keeping,
    progress: &Progress,
) -> Vec<Ended> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = errands
            .into_iter()
            .map(|errand| scope.spawn(move || send(ground, errand, keeping, progress)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn send(ground: &Ground, mut errand: Errand, keeping: &Keeping, progress: &Progress) -> Vec<Ended> {
    let operations = std::mem::take(&mut errand.operations);
    let (uploads, removals): (Vec<_>, Vec<_>) =
        operations.into_iter().partition(|operation| operation.act == Act::Upload);
    let mut ended = Vec::new();
    let note = note_of(ground, &errand);
    let mut hand = Hand { ground, errand, keeping, progress, note };
    if let Err(fault) = hand.note.remove_left(&mut hand.errand.sftp) {
        log::warn!("{}: what an earlier run left there stays: {fault}", hand.errand.line.host());
    }
    // Removals first: a file may have to give way to a folder of its name.
    type Part<'h> = fn(&mut Hand<'h>, &[Operation]) -> Result<Vec<End>, SshFault>;
    let parts: [(Part<'_>, Vec<Operation>); 2] =
        [(Hand::remove, removals), (Hand::upload, uploads)];
    for (part, operations) in parts {
        if operations.is_empty() {
            continue;
        }
        let ends = match part(&mut hand, &operations) {
            Ok(ends) => ends,
            Err(fault) => vec![End::Failed(fault.to_string()); operations.len()],
        };
        ended.extend(operations.into_iter().zip(ends));
    }
    let Errand { sftp, top, line, .. } = &mut hand.errand;
    if !ended.is_empty()
        && let Err(fault) = prune_kept(sftp, top, keeping)
    {
        log::warn!("{}: what is kept there was not pruned: {fault}", line.host());
    }
    ended
}

struct Hand<'h> {
    ground: &'h Ground,
    errand: Errand,
    keeping: &'h Keeping,
    progress: &'h Progress,
    note: Note,
}

/// Returns where it is noted what lies on a host until it has its name.
fn note_of(ground: &Ground, errand: &Errand) -> Note {
    let host = format!("{} {}", errand.line.host(), escaped(&errand.top));
    Note::new(&State::private_folder(&ground.dir), "upload-", &host)
}

impl Hand<'_> {
    fn target(&self, operation: &Operation) -> Vec<u8> {
        join(&self.errand.top, operation.path.as_bytes())
    }

    fn remove(&mut self, operations: &[Operation]) -> Result<Vec<End>, SshFault> {
        let files: Vec<Displaced> =
            operations.iter().filter_map(|operation| self.displaced(operation)).collect();
        let Errand { line, sftp, top, .. } = &mut self.errand;
        // What is moved aside is not left there half judged, whoever wants an end.
        let outcomes = sftp.undisturbed(|sftp| {
            let outcomes = put_aside(line, sftp, top, &files, Aside::Move)?;
            let kept: Vec<Kept> = outcomes.iter().flatten().cloned().collect();
            keep_all(sftp, top, &kept, &self.keeping.today)?;
            Ok::<_, SshFault>(outcomes)
        })?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map_or_else(held, |_| End::Done)).collect())
    }

    fn displaced(&self, operation: &Operation) -> Option<Displaced> {
        let Content::File(Signature::Sha256 { digest, executable }) = operation.there else {
            return None;
        };
        Some(Displaced { target: self.target(operation), sha256: digest, executable })
    }

    fn upload(&mut self, operations: &[Operation]) -> Result<Vec<End>, SshFault> {
        self.make_folders(operations)?;
        let jobs: Vec<Job> = operations.iter().map(|operation| self.job(operation)).collect();
        let root = &self.ground.root;
        let mut open = |at: usize| {
            let file = root.open_file(&operations[at].path);
            file.map(|(file, _)| file).map_err(std::io::Error::other)
        };
        let tag = format!("{} synchro", self.ground.dir.display());
        let manner = Manner { tag: &tag, with_sha256: true };
        let mut told = |bytes| self.progress.add(bytes);
        let Errand { line, sftp, .. } = &mut self.errand;
        self.note.write(&jobs, &tag)?;
        let asker = verifier(line, jobs.len())?;
        let staged = stage(sftp, &jobs, &manner, &mut open, &mut told)?;
        // What is on its way arrives, whoever wants an end.
        let stop = sftp.ignore_stop();
        let arrived = self.place(operations, &jobs, asker, staged);
        self.errand.sftp.heed(stop);
        if arrived.is_ok() {
            self.note.clear();
        }
        arrived
    }

    /// Puts what was staged into its places, where it is what it should be.
    fn place(
        &mut self,
        operations: &[Operation],
        jobs: &[Job],
        asker: Asker,
        mut staged: Each<Staged>,
    ) -> Result<Vec<End>, SshFault> {
        let mut ends: Vec<End> = operations.iter().map(|_| End::Done).collect();
        let Errand { sftp, top, .. } = &mut self.errand;
        verify(asker, sftp, &mut staged)?;
        let mut ready: Vec<(usize, Staged)> = Vec::new();
        for (at, staged) in staged.into_iter().enumerate() {
            match staged {
                Ok(staged) if is_planned(&staged, &operations[at]) => ready.push((at, staged)),
                Ok(staged) => {
                    discard(sftp, &[&staged.temporary])?;
                    ends[at] = End::Held("it changed here since the check".to_owned());
                }
                Err(why) => ends[at] = End::Failed(why),
            }
        }
        let top = top.clone();
        let (new, old): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|(at, _)| operations[*at].there == Content::Absent);
        self.create(&new, jobs, &mut ends)?;
        self.replace(&top, &old, operations, &mut ends)?;
        Ok(ends)
    }

    /// Puts files where nothing is.
    fn create(
        &mut self,
        new: &[(usize, Staged)],
        jobs: &[Job],
        ends: &mut [End],
    ) -> Result<(), SshFault> {
        let pairs: Vec<(&[u8], &[u8])> = new
            .iter()
            .map(|(at, staged)| (staged.temporary.as_slice(), jobs[*at].target.as_slice()))
            .collect();
        let targets: Vec<Vec<u8>> = pairs.iter().map(|(_, target)| target.to_vec()).collect();
        let placed = create(&mut self.errand.sftp, &pairs)?;
        let failed: Vec<usize> = (0..placed.len()).filter(|&at| placed[at].is_err()).collect();
        let names: Vec<Vec<u8>> = failed.iter().map(|&at| targets[at].clone()).collect();
        let there = look_at(&mut self.errand.sftp, &names)?;
        for (at, there) in failed.into_iter().zip(there) {
            let why = placed[at].clone().err().unwrap_or_default();
            ends[new[at].0] = match there {
                Ok(Some(_)) => End::Held(CHANGED.to_owned()),
                _ => End::Failed(why),
            };
        }
        Ok(())
    }

    /// Puts files in the place of others, which are kept.
    fn replace(
        &mut self,
        top: &[u8],
        old: &[(usize, Staged)],
        operations: &[Operation],
        ends: &mut [End],
    ) -> Result<(), SshFault> {
        let files: Vec<Displaced> =
            old.iter().filter_map(|(at, _)| self.displaced(&operations[*at])).collect();
        let Errand { line, sftp, .. } = &mut self.errand;
        let outcomes = put_aside(line, sftp, top, &files, Aside::Link)?;
        let mut kept = Vec::new();
        let mut going = Vec::new();
        for ((at, staged), outcome) in old.iter().zip(outcomes) {
            match outcome {
                Ok(aside) => {
                    going.push((*at, staged));
                    kept.push(aside);
                }
                Err(why) => {
                    discard(sftp, &[&staged.temporary])?;
                    ends[*at] = held(why);
                }
            }
        }
        let pairs: Vec<(&[u8], &Kept)> = going
            .iter()
            .zip(&kept)
            .map(|((_, staged), kept)| (staged.temporary.as_slice(), kept))
            .collect();
        let placed = swap(line, sftp, &pairs)?;
        let mut done = Vec::new();
        for (((at, _), aside), placed) in going.iter().zip(kept).zip(placed) {
            match placed {
                Ok(()) => done.push(aside),
                Err(why) => {
                    release(sftp, &aside, Aside::Link)?;
                    ends[*at] = held(why);
                }
            }
        }
        keep_all(sftp, top, &done, &self.keeping.today)
    }

    fn job(&self, operation: &Operation) -> Job {
        let marks = self.ground.root.marks(&operation.path);
        let file = self.ground.root.open_file(&operation.path);
        Job {
            target: self.target(operation),
            mode: marks.map_or(0o644, |marks| marks.mode & 0o777),
            mtime_s: marks.map_or(0, |marks| marks.mtime_s),
            size_bytes: file.map_or(0, |(_, stat)| stat.size_bytes),
        }
    }

    /// Makes the folders that files go into. One that is a link there is not gone through.
    fn make_folders(&mut self, operations: &[Operation]) -> Result<(), SshFault> {
        let Errand { sftp, top, .. } = &mut self.errand;
        let mut above: Vec<(Vec<u8>, u32)> = Vec::new();
        let mut folder = top.as_slice();
        while folder != b"/" && folder != b"." {
            above.insert(0, (folder.to_vec(), FOLDER_MODE));
            folder = split(folder).0;
        }
        let is_there = look_at(sftp, &[join(top, b".")])?;
        if !matches!(is_there.first(), Some(Ok(Some(_)))) {
            make_folders(sftp, &above)?;
        }
        let below: BTreeSet<_> = operations.iter().flat_map(|o| o.path.folders()).collect();
        let below: Vec<(Vec<u8>, u32)> =
            below.into_iter().map(|path| (join(top, path.as_bytes()), FOLDER_MODE)).collect();
        let paths: Vec<Vec<u8>> = below.iter().map(|(path, _)| path.clone()).collect();
        let mut missing = Vec::new();
        for (folder, found) in below.into_iter().zip(look_at(sftp, &paths)?) {
            match found {
                Ok(Some(found)) if found.kind().is_none_or(|kind| kind == Kind::Folder) => {}
                Ok(Some(_)) => {
                    let what = "something that is no folder is in the way there".to_owned();
                    return Err(SshFault::Refused { path: folder.0, what });
                }
                Ok(None) => missing.push(folder),
                Err(what) => return Err(SshFault::Refused { path: folder.0, what }),
            }
        }
        make_folders(sftp, &missing).map(drop)
    }
}

/// What changed meanwhile waits for the next check; what cannot be kept has failed.
fn held(why: String) -> End {
    if why == CHANGED { End::Held(why) } else { End::Failed(why) }
}

/// Whether what was sent is what the plan says is here.
fn is_planned(staged: &Staged, operation: &Operation) -> bool {
    match operation.here {
        Content::File(Signature::Sha256 { digest, .. }) => staged.sha256 == Some(digest),
        _ => false,
    }
}
