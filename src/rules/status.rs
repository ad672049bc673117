//! The matrix: what is here beside what each site is known to have, made displayable.

use std::collections::BTreeSet;

use crate::model::knowledge::{Cell, Correspondence, Row};
use crate::model::project::{Format, Project};
use crate::model::verdict::Verdict;
use crate::model::{Belief, TreePath};

use super::decide::{Lineage, decide};
use super::plan::{Request, is_due};

/// Where one file stands at one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// By its own word it has what is here.
    InStep,
    /// By its own word it has something newer; its contents are not here.
    Newer,
    /// What is here was sent, or a third site says it was; not confirmed.
    Sent,
    /// What is here is due to it.
    Due,
    /// Each has something that the other has not.
    Apart,
}

impl Standing {
    /// Returns the standing as people and the JSON document read it.
    pub fn name(self) -> &'static str {
        match self {
            Standing::InStep => "in step",
            Standing::Newer => "newer there",
            Standing::Sent => "sent",
            Standing::Due => "due",
            Standing::Apart => "apart",
        }
    }
}

/// One row of the matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRow<'a> {
    /// The file.
    pub path: &'a TreePath,
    /// What is here.
    pub row: &'a Row,
    /// Whether a question is open on it.
    pub waits: bool,
    /// Where it stands at each remote, in their order.
    pub standings: Vec<Standing>,
}

/// Returns the matrix, a row for each file and each tombstone that is kept.
pub fn matrix<'a>(
    project: &'a Project,
    request: &'a Request,
) -> impl Iterator<Item = MatrixRow<'a>> {
    let Project { identity, knowledge } = project;
    let asked: BTreeSet<&TreePath> = knowledge.questions.iter().map(|q| &q.path).collect();
    let is_shown = |row: &Row| match identity.format {
        Format::V2_0 => row.version.generation > 0,
        Format::V1_3 => row.version.generation == 0,
    };
    let rows = knowledge.rows.iter().filter(move |(_, row)| is_shown(row));
    rows.map(move |(path, row)| MatrixRow {
        path,
        row,
        waits: asked.contains(path),
        standings: row
            .cells
            .iter()
            .zip(&knowledge.remotes)
            .map(|(cell, with)| match identity.format {
                Format::V2_0 => standing(row, cell, with, request),
                Format::V1_3 => standing_believed(row, cell),
            })
            .collect(),
    })
}

/// Returns what a remote is known to hold.
pub fn holds(format: Format, cell: &Cell) -> Belief {
    match format {
        Format::V1_3 => cell.belief,
        Format::V2_0 => {
            cell.word.as_ref().map_or(Belief::Unknown, |word| word.version.content.into())
        }
    }
}

/// Returns where one file stands at one remote, by histories.
fn standing(row: &Row, cell: &Cell, with: &Correspondence, request: &Request) -> Standing {
    let theirs = cell.word.as_ref().map(|word| Lineage::new(&word.version, &word.history));
    let there = theirs.map(|theirs| decide(Some(theirs), Lineage::of(row)));
    match there {
        Some(Verdict::Redundant) => Standing::InStep,
        Some(Verdict::Stale) => Standing::Newer,
        Some(Verdict::Ask(_)) if !is_due(row, cell, with, request) => Standing::Apart,
        _ if is_due(row, cell, with, request) => Standing::Due,
        _ => Standing::Sent,
    }
}

/// Returns where one file stands at one remote, by format 1.3's beliefs.
fn standing_believed(row: &Row, cell: &Cell) -> Standing {
    match cell.belief {
        Belief::Contested => Standing::Apart,
        belief if belief.is(&row.version.content) => Standing::InStep,
        _ => Standing::Due,
    }
}
