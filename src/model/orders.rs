//! Orders: what a package says, without its spelling.

use super::belief::Belief;
use super::identities::Identities;
use super::path::TreePath;
use super::project::Identity;
use super::version::{History, Version};

/// What one package says: who speaks to whom, and a row for each file it lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// The originator's own identity: `here` is the originator, not us.
    pub identity: Identity,
    /// The receiver, as an index into the originator's remotes.
    pub visit: usize,
    /// The sites of this broadcast, as indices into the originator's remotes: the columns of every
    /// row. Holds `visit`.
    pub copy: Vec<usize>,
    /// Number of this package among those from the originator to the receiver. 0 in format 1.3.
    pub serial: u64,
    /// The serial above which every change is listed; `None` lists every row. Format 2.0.
    pub since: Option<u64>,
    /// The highest serial of the receiver's packages that the originator took in; `None` for none.
    pub seen: Option<u64>,
    /// `want *`: a full inventory is asked for.
    pub want_all: bool,
    /// `want f`: these contents are asked for. Ascending.
    pub wants: Vec<TreePath>,
    /// They are of before format 1.3 and name neither project nor receiver: `visit` and the title say
    /// nothing before [`Orders::for_project`].
    pub is_oldest: bool,
    /// Ascending by path, each once.
    pub rows: Vec<OrderRow>,
}

/// One file in a package: a `check` line, its `history`, and what is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderRow {
    /// The file.
    pub path: TreePath,
    /// The version at the originator. In format 1.3 the generation is 0.
    pub version: Version,
    /// What it descends from; empty in 1.3.
    pub history: History,
    /// What the originator believes of each site of `copy`.
    pub columns: Vec<Belief>,
    /// What is asked of the receiver.
    pub act: Act,
}

/// What a row asks of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing: the row only tells.
    Tell,
    /// `update`: put a packaged file there.
    Update {
        /// What the originator believes is at the receiver: the prerequisite of format 1.3.
        expected: Belief,
        /// The number of the file in the package, from 1.
        member: u32,
    },
    /// `remove`: the file was deleted. Format 2.0.
    Remove {
        /// What the originator believes is at the receiver.
        expected: Belief,
    },
}

impl Orders {
    /// Whether an acknowledgement is owed for this package: it has rows or wants.
    pub fn is_weighty(&self) -> bool {
        self.want_all || !self.wants.is_empty() || !self.rows.is_empty()
    }

    /// Puts what orders of before format 1.3 lack: the project, ours, and which of their sites we
    /// are. What their sender thinks that we have follows from what it sends. `false` where they are
    /// not for this site.
    pub fn for_project(&mut self, ours: &Identity) -> bool {
        if !self.is_oldest {
            return true;
        }
        let remotes = &self.identity.remotes;
        let Some(visit) = remotes.iter().position(|site| site.address == ours.here.address) else {
            return false;
        };
        self.visit = visit;
        self.identity.title.clone_from(&ours.title);
        for row in &mut self.rows {
            let thought = match row.act {
                Act::Update { expected, .. } | Act::Remove { expected } => expected,
                Act::Tell => row.version.content.into(),
            };
            if let Some(column) = row.columns.get_mut(visit) {
                *column = thought;
            }
        }
        true
    }

    /// Puts our own title and address in the place of those that a person said to mean ours.
    pub fn in_our_names(&mut self, ours: &Identity, known: &Identities) {
        if known.knows_title(&self.identity.title) {
            self.identity.title.clone_from(&ours.title);
        }
        if let Some(visited) = self.identity.remotes.get_mut(self.visit)
            && known.knows_address(&visited.address)
        {
            visited.address = ours.here.address.clone();
        }
    }

    /// Returns the number of packaged files.
    pub fn members(&self) -> u32 {
        let is_update = |row: &&OrderRow| matches!(row.act, Act::Update { .. });
        u32::try_from(self.rows.iter().filter(is_update).count()).unwrap_or(u32::MAX)
    }
}
