//! Knowledge: what is known of every file at every site; files × sites, a row each.
//!
//! Invariant: every row has one cell for each remote, in the order of the remotes.

use std::collections::BTreeMap;

use super::belief::Belief;
use super::limits::GENERATION_MAX;
use super::path::TreePath;
use super::questions::Questions;
use super::signature::Signature;
use super::version::{Ancestor, Content, History, Version};

pub use super::questions::{Question, Why};

/// All that a project knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knowledge {
    /// The highest serial that was ever issued here, to anybody; rows that change are stamped one
    /// above it.
    pub clock: u64,
    /// The highest generation of the tombstones that were forgotten here; 0 is none. What is first
    /// seen is one above: else it could be taken for what was deleted long ago.
    pub forgotten: u64,
    /// What was exchanged with each remote, in the order of the remotes.
    pub remotes: Vec<Correspondence>,
    /// The files, tombstones included.
    pub rows: BTreeMap<TreePath, Row>,
    /// Files that remotes speak of and that have no row here: their contents did not come.
    pub lacking: BTreeMap<TreePath, Vec<Cell>>,
    /// What only a person can settle.
    pub questions: Questions,
    /// Rows of held packages that are settled and are not judged again (format 1.3, whose rules
    /// cannot see it from the row): digest of the package, path.
    pub settled: std::collections::BTreeSet<([u8; 32], TreePath)>,
}

/// Versions that a run is about to put in place, each with what it descends from; without
/// cells and stamps.
pub type Intent = BTreeMap<TreePath, Row>;

/// What was exchanged with one remote. Serials count from 1; 0 is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correspondence {
    /// Serial of the last package that a carrier accepted from us for it.
    pub last: u64,
    /// Serial of the last of those that is owed an acknowledgement (it had rows or wants).
    pub last_weighty: u64,
    /// When that one was accepted, in ms since 1970.
    pub last_weighty_ms: u64,
    /// The highest serial of ours that it has taken in, by its newest package.
    pub seen: u64,
    /// Serials of ours above that one which a carrier accepted; the newest
    /// [`super::limits::ISSUED_MAX`]. What it says it has seen and is not here is of a time that we
    /// do not remember.
    pub issued: Vec<u64>,
    /// The highest serial among its packages that were read here; the one that `seen` is from.
    pub heard: u64,
    /// When that one was read, in ms since 1970; 0 is never.
    pub heard_ms: u64,
    /// The serial of its newest package that listed every row: what an older one says is void, and
    /// of a row that it does not list nothing is known.
    pub inventory: u64,
    /// The highest serial of its packages that we have taken in with all that they build on; see
    /// [`Correspondence::taken_at_most`].
    pub taken: u64,
    /// Packages read whose `since` we had not taken in: (since, serial).
    pub gaps: Vec<(u64, u64)>,
    /// The packages taken in with the highest serials, [`super::limits::RECEIVED_MAX`] of them, by
    /// serial: one site gives no two packages the same.
    pub received: Vec<Received>,
    /// It asked for a full inventory (`want *`), or has gone back in time.
    pub wants_all: bool,
    /// We owe it an acknowledgement.
    pub owes: bool,
    /// When we last asked it for a full inventory, in ms since 1970; 0 is never.
    pub asked_all_ms: u64,
}

/// A package that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its serial.
    pub serial: u64,
    /// The first bytes of its digest.
    pub mark: [u8; 8],
}

/// One file: our own version of it, and what each remote is known to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Our own last version. In format 1.3 the generation is 0.
    pub version: Version,
    /// What it descends from.
    pub history: History,
    /// The stamp of the last change of version or history: such a row is listed in every package
    /// whose `since` is lower.
    pub changed: u64,
    /// When the file was seen to be gone, in ms since 1970; 0 where there is one.
    pub deleted_ms: u64,
    /// One for each remote.
    pub cells: Vec<Cell>,
}

/// One file at one remote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What the remote itself last said.
    pub word: Option<Word>,
    /// What a carrier accepted from us for it.
    pub sent: Option<Sent>,
    /// What a third site says it sent there.
    pub heard: Option<Sent>,
    /// When we last asked it for the contents, in ms since 1970; 0 is never.
    pub asked_ms: u64,
    /// Format 1.3: what we believe that it holds.
    pub belief: Belief,
    /// Format 1.3: whether it once listed the file itself.
    pub listed: bool,
}

/// A remote's own word on one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The version that it says it has.
    pub version: Version,
    /// What that descends from.
    pub history: History,
    /// The serial of the package that says so.
    pub serial: u64,
}

/// A version on its way to a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub version: Ancestor,
    /// In which package of ours; 0 when another site sent it.
    pub serial: u64,
    /// When, in ms since 1970.
    pub at_ms: u64,
}

impl Correspondence {
    /// Returns the highest serial of its packages that was taken in, those included that build on
    /// something unknown: what our `seen` says.
    pub fn taken_at_most(&self) -> u64 {
        self.gaps.iter().map(|(_, serial)| *serial).fold(self.taken, u64::max)
    }
}

impl Row {
    /// Returns the row of a file first seen: generation 1, no history.
    pub fn first(content: Content, remotes: usize, changed: u64) -> Row {
        Row {
            version: Version { generation: 1, content },
            history: History::new(),
            changed,
            deleted_ms: 0,
            cells: vec![Cell::default(); remotes],
        }
    }

    /// Returns what the file holds, here and by its own word at every remote; `None` where they
    /// differ, or have none.
    pub fn agreed(&self) -> Option<Signature> {
        let Content::File(signature) = self.version.content else { return None };
        let has_it = |cell: &Cell| {
            cell.word.as_ref().is_some_and(|word| word.version.content == self.version.content)
        };
        (self.version.generation > 0 && self.cells.iter().all(has_it)).then_some(signature)
    }
}

impl Knowledge {
    /// Returns knowledge of nothing, about `remotes` remotes.
    pub fn new(remotes: usize) -> Knowledge {
        Knowledge { remotes: vec![Correspondence::default(); remotes], ..Knowledge::default() }
    }

    /// Adds a column for a remote just created.
    pub fn add_remote(&mut self) {
        self.remotes.push(Correspondence::default());
        self.rows.values_mut().for_each(|row| row.cells.push(Cell::default()));
        self.lacking.values_mut().for_each(|cells| cells.push(Cell::default()));
    }

    /// Removes the column of the remote `index`, and the questions that came from there.
    pub fn remove_remote(&mut self, index: usize) {
        self.remotes.remove(index);
        for row in self.rows.values_mut() {
            row.cells.remove(index);
        }
        for cells in self.lacking.values_mut() {
            cells.remove(index);
        }
        self.questions.retain(|question| question.remote != index);
        for question in &mut self.questions {
            question.remote -= usize::from(question.remote > index);
        }
    }

    /// Returns the stamp for a change made now: above every serial issued so far, so that every
    /// later package lists it.
    pub fn stamp(&self) -> u64 {
        self.clock + 1
    }

    /// Returns the row of a file first seen: no history, and a generation that no version had that
    /// was forgotten here.
    pub fn first_row(&self, content: Content, changed: u64) -> Row {
        let mut row = Row::first(content, self.remotes.len(), changed);
        row.version.generation = (self.forgotten + 1).min(GENERATION_MAX);
        row
    }

    /// Enters a row for a file that had none; what remotes said of it goes along.
    pub fn insert_row(&mut self, path: TreePath, mut row: Row) {
        if let Some(cells) = self.lacking.remove(&path) {
            row.cells = cells;
        }
        self.rows.insert(path, row);
    }
}
