//! Runs: what one command did to the tree, so that it can be told and undone.
//!
//! Not knowledge: nothing is decided by it. Invariant: a [`Change`] names what was there before
//! with all that putting it back needs.

use super::path::TreePath;
use super::version::Content;

/// What one command did here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number, from 1, never used twice.
    pub number: u64,
    /// Which command.
    pub kind: Kind,
    /// For [`Kind::Undo`]: the run that it undid.
    pub of: Option<u64>,
    /// When it began, in ms since 1970.
    pub began_ms: u64,
    /// When it was gone on with after it had been killed, in ms since 1970.
    pub again_ms: Vec<u64>,
    /// Whether it came to its end.
    pub is_ended: bool,
    /// What it did, in order.
    pub events: Vec<Event>,
}

/// A command that changes the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `process`.
    Process,
    /// `accept`.
    Accept,
    /// `resolve`.
    Resolve,
    /// `undo`.
    Undo,
    /// `restore`.
    Restore,
    /// `synchro`.
    Synchro,
}

/// One thing that a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It took this package in.
    Package {
        /// Its digest.
        package: [u8; 32],
        /// Its originator's address.
        from: String,
    },
    /// It changed, or was about to change, a file.
    Change(Change),
    /// The last change noted of this file was not made.
    Void(TreePath),
    /// It left a file for a person.
    Held {
        /// Which.
        path: TreePath,
        /// Why, as one word.
        why: String,
        /// Whose version waits.
        from: String,
    },
    /// A person answered.
    Answer {
        /// On which file.
        path: TreePath,
        /// With which word.
        answer: String,
        /// Whose version it was about.
        from: String,
    },
}

/// One file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub path: TreePath,
    /// What was there.
    pub before: Before,
    /// What is there since; with a SHA-256 digest in either format.
    pub after: Content,
    /// The package that it came with; `None` where it was made here.
    pub package: Option<[u8; 32]>,
}

/// What was at a path, with all that putting it back needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its content; with a SHA-256 digest in either format.
    pub content: Content,
    /// Its permission bits, out of 0777; 0 where there was no file.
    pub mode: u32,
    /// When it was last modified, in seconds since 1970.
    pub mtime_s: i64,
    /// The nanoseconds of that.
    pub mtime_ns: u32,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] =
        [Kind::Process, Kind::Accept, Kind::Resolve, Kind::Undo, Kind::Restore, Kind::Synchro];

    /// Returns the command's word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Process => "process",
            Kind::Accept => "accept",
            Kind::Resolve => "resolve",
            Kind::Undo => "undo",
            Kind::Restore => "restore",
            Kind::Synchro => "synchro",
        }
    }
}

impl Before {
    /// There was no file.
    pub const NOTHING: Before =
        Before { content: Content::Absent, mode: 0, mtime_s: 0, mtime_ns: 0 };
}

impl Change {
    /// Returns what the change did, in a word.
    pub fn word(&self) -> &'static str {
        match (self.before.content, self.after) {
            (Content::Absent, Content::File(_)) => "created",
            (Content::File(_), Content::Absent) => "removed",
            _ => "replaced",
        }
    }
}

impl Run {
    /// Returns every change that was made, in order; what was noted and then not made is left out.
    pub fn changes(&self) -> Vec<&Change> {
        let mut made: Vec<&Change> = Vec::new();
        for event in &self.events {
            match event {
                Event::Change(change) => made.push(change),
                Event::Void(path) => {
                    if let Some(at) = made.iter().rposition(|change| change.path == *path) {
                        made.remove(at);
                    }
                }
                Event::Package { .. } | Event::Held { .. } | Event::Answer { .. } => {}
            }
        }
        made
    }

    /// Returns what the run did to each file in all: what was there before its first change of it,
    /// and what is there since its last. Files that ended as they began are left out.
    pub fn sum(&self) -> Vec<Change> {
        let mut sum: Vec<Change> = Vec::new();
        let mut places = std::collections::BTreeMap::new();
        for change in self.changes() {
            match places.get(&change.path) {
                Some(&at) => {
                    let known: &mut Change = &mut sum[at];
                    known.after = change.after;
                    known.package = change.package;
                }
                None => {
                    places.insert(&change.path, sum.len());
                    sum.push(change.clone());
                }
            }
        }
        sum.retain(|change| change.before.content != change.after);
        sum
    }
}

/// Returns the run that an undo without a number is about: the last one that changed files, is no
/// undo itself and was not undone; one whose undoing was killed comes first.
pub fn last_to_undo(runs: &[Run]) -> Option<u64> {
    if let Some(last) = runs.last()
        && last.kind == Kind::Undo
        && !last.is_ended
    {
        return last.of;
    }
    let mut undone = std::collections::BTreeSet::new();
    for run in runs.iter().filter(|run| run.kind == Kind::Undo) {
        let Some(of) = run.of else { continue };
        // Undoing an undo brings back what that one undid.
        let undid = runs.iter().find(|run| run.number == of && run.kind == Kind::Undo);
        match undid.and_then(|undid| undid.of) {
            Some(again) => undone.remove(&again),
            None => undone.insert(of),
        };
    }
    let is_open = |run: &&Run| run.kind != Kind::Undo && !undone.contains(&run.number);
    runs.iter().rev().filter(is_open).find(|run| !run.sum().is_empty()).map(|run| run.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    fn path(name: &str) -> TreePath {
        TreePath::new(name.as_bytes()).unwrap()
    }

    fn content(digit: u8) -> Content {
        match digit {
            0 => Content::Absent,
            digit => Content::File(Signature::Sha256 { digest: [digit; 32], executable: false }),
        }
    }

    fn change(name: &str, before: u8, after: u8) -> Event {
        let before = Before { content: content(before), ..Before::NOTHING };
        Event::Change(Change { path: path(name), before, after: content(after), package: None })
    }

    fn run(number: u64, kind: Kind, of: Option<u64>, events: Vec<Event>) -> Run {
        Run { number, kind, of, began_ms: number, again_ms: vec![], is_ended: true, events }
    }

    #[test]
    fn a_run_in_all() {
        let events = vec![
            change("f", 1, 2),
            change("g", 0, 3),
            change("f", 2, 4),
            change("h", 5, 6),
            Event::Void(path("h")),
            change("g", 3, 0),
        ];
        let run = run(1, Kind::Process, None, events);
        let sum = run.sum();
        assert_eq!(sum.len(), 1, "{sum:?}");
        assert_eq!((sum[0].before.content, sum[0].after), (content(1), content(4)));
        assert_eq!(run.changes().len(), 4);
    }

    #[test]
    fn what_is_undone_next() {
        let did = |number| run(number, Kind::Process, None, vec![change("f", 1, 2)]);
        let undo = |number, of| run(number, Kind::Undo, Some(of), vec![change("f", 2, 1)]);
        let idle = |number| run(number, Kind::Process, None, vec![]);
        let killed = |number, of| Run { is_ended: false, ..undo(number, of) };
        for (name, runs, next) in [
            ("none", vec![], None),
            ("the last", vec![did(1), did(2)], Some(2)),
            ("what did nothing is passed over", vec![did(1), idle(2)], Some(1)),
            ("the one before", vec![did(1), did(2), undo(3, 2)], Some(1)),
            ("all are undone", vec![did(1), undo(2, 1)], None),
            ("an undo undone", vec![did(1), undo(2, 1), undo(3, 2)], Some(1)),
            ("an undo that was killed", vec![did(1), did(2), killed(3, 1)], Some(1)),
        ] {
            assert_eq!(last_to_undo(&runs), next, "{name}");
        }
    }
}
