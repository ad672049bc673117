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

/// Where one remote stands as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteStanding {
    /// Files and deletions that are due to it.
    pub due: usize,
    /// Files of which it has something newer that is not here.
    pub newer: usize,
    /// Files of which each has something that the other has not.
    pub apart: usize,
    /// Questions that came from there.
    pub questions: usize,
    /// When the oldest thing was sent that it did not confirm, in ms since 1970; 0 is none.
    pub sent_since_ms: u64,
    /// When its newest package was read, in ms since 1970; 0 is never.
    pub last_word_ms: u64,
}

/// Returns where one remote stands, by all files.
pub fn site_standing(project: &Project, remote: usize, request: &Request) -> SiteStanding {
    let Project { identity, knowledge } = project;
    let Some(with) = knowledge.remotes.get(remote) else { return SiteStanding::default() };
    let questions = knowledge.questions.iter().filter(|question| question.remote == remote);
    let mut shown = SiteStanding {
        questions: questions.count(),
        last_word_ms: with.heard_ms,
        ..SiteStanding::default()
    };
    let mut sent = Vec::new();
    for matrix_row in matrix(project, request) {
        let cell = &matrix_row.row.cells[remote];
        match matrix_row.standings[remote] {
            Standing::Due => shown.due += 1,
            Standing::Newer => shown.newer += 1,
            Standing::Apart => shown.apart += 1,
            Standing::Sent => sent.extend(cell.sent.or(cell.heard)),
            // In 1.3 it is believed to have what was sent; it may not have said so.
            Standing::InStep if identity.format == Format::V1_3 && !cell.listed => {
                sent.extend(cell.sent);
            }
            Standing::InStep => {}
        }
    }
    let is_owed = with.last_weighty > with.seen;
    let owed_ms = is_owed.then_some(with.last_weighty_ms);
    let since_ms = sent.iter().map(|sent| sent.at_ms).chain(owed_ms).min();
    SiteStanding { sent_since_ms: since_ms.unwrap_or(0), ..shown }
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
