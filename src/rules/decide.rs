//! One arriving version beside what is here: what to do about it, and what is known afterwards.
//!
//! `decide` cannot fail, asks nothing and touches nothing; where only a person can tell it returns
//! the question. The histories with generations are hash histories (Kang, Wilensky, Kubiatowicz,
//! ICDCS 2003): bare signatures would let two sites swap two versions for ever and let old mail
//! undo a deletion.

use std::collections::BTreeSet;

use crate::model::knowledge::{Cell, Row, Why};
use crate::model::limits::GENERATION_MAX;
use crate::model::verdict::{Choice, Deletions, Place, Verdict};
use crate::model::version::{Ancestor, Content, History, Version};

/// A version and what it descends from.
#[derive(Clone, Copy, Debug)]
pub struct Lineage<'a> {
    /// The version.
    pub version: &'a Version,
    /// What it descends from.
    pub history: &'a History,
}

impl<'a> Lineage<'a> {
    /// Pairs a version with its history.
    pub fn new(version: &'a Version, history: &'a History) -> Lineage<'a> {
        Lineage { version, history }
    }

    /// Returns what the row says is here.
    pub fn of(row: &'a Row) -> Lineage<'a> {
        Lineage { version: &row.version, history: &row.history }
    }
}

/// Returns what to do with `arrived` where `here` is; `None` is no row at all.
///
/// The table of format 2.0: the first line that fits, and a tie asks.
pub fn decide(here: Option<Lineage>, arrived: Lineage) -> Verdict {
    let Some(here) = here else { return Verdict::Create };
    if here.version.content == arrived.version.content {
        return Verdict::Redundant;
    }
    match (arrived.history.has(here.version), here.history.has(arrived.version)) {
        (true, false) => Verdict::Replace,
        (false, true) => Verdict::Stale,
        (true, true) => decide_mutual(here, arrived),
        (false, false) => Verdict::Ask(why(here.version, arrived.version)),
    }
}

/// Each is in the other's history, after people chose oppositely: who chose over more wins. But not
/// over a deletion, nor a deletion: deletions of different files may share a name, and then the
/// choice over one would undo the other.
fn decide_mutual(here: Lineage, arrived: Lineage) -> Verdict {
    let ours_within = here.history.is_within(here.version, arrived.history, arrived.version);
    let theirs_within = arrived.history.is_within(arrived.version, here.history, here.version);
    let is_deletion = [here, arrived].iter().any(|l| l.version.content == Content::Absent);
    match (ours_within, theirs_within) {
        _ if is_deletion => Verdict::Ask(why(here.version, arrived.version)),
        (true, false) => Verdict::Replace,
        (false, true) => Verdict::Stale,
        _ => Verdict::Ask(why(here.version, arrived.version)),
    }
}

fn why(here: &Version, arrived: &Version) -> Why {
    match (here.content, arrived.content) {
        (Content::Absent, _) => Why::DeletedHere,
        (_, Content::Absent) => Why::DeletedThere,
        _ => Why::Conflict,
    }
}

/// Returns the verdict where the path lies in `place` and deletions are treated as `deletions`.
///
/// Both can only turn a silent verdict into a question. A deletion of what was never known is noted
/// only where the disk could be seen: what is there unseen was not written over that deletion.
pub fn judge(
    here: Option<Lineage>,
    arrived: Lineage,
    place: Place,
    deletions: Deletions,
) -> Verdict {
    let verdict = decide(here, arrived);
    let file_here = here.is_some_and(|h| h.version.content != Content::Absent);
    let file_arrives = arrived.version.content != Content::Absent;
    let touches_the_tree = match verdict {
        Verdict::Create | Verdict::Replace => file_here || file_arrives || here.is_none(),
        _ => false,
    };
    if !touches_the_tree {
        return verdict;
    }
    match place {
        Place::Inside => {}
        Place::Ignored => return Verdict::Ask(Why::Ignored),
        Place::OutsideScan => return Verdict::Ask(Why::OutsideScan),
        Place::Sensitive => return Verdict::Ask(Why::Sensitive),
        Place::Blocked => return Verdict::Ask(Why::InTheWay),
        Place::Unreadable => return Verdict::Ask(Why::Unreadable),
    }
    if file_here && !file_arrives && deletions == Deletions::Ask {
        return Verdict::Ask(Why::Deletion);
    }
    verdict
}

/// Brings `row` up to date with what is on the disk; whether anything changed.
///
/// What is not the row's own content is a new version of ours, one generation above the highest
/// that the row knows; a deletion and a return to old contents are no exception. But where the
/// disk holds just what arrives (`arriving`), that is the version that is here: so a processing
/// that was killed between the file and the beliefs ends, when it is run again, as if it had not
/// been, and no version is invented that no person wrote.
pub fn bring_up_to_date(
    row: &mut Row,
    disk: Content,
    arriving: Option<Lineage>,
    stamp: u64,
    now_ms: u64,
) -> bool {
    if row.version.content == disk {
        return false;
    }
    // But not where the row has left those contents since: then somebody came back to them.
    let is_arriving = |a: &Lineage| a.version.content == disk && !row.history.has_since(a.version);
    if let Some(arriving) = arriving.filter(is_arriving) {
        adopt(row, arriving, stamp, now_ms);
        return true;
    }
    let version = Version { generation: highest_generation(row) + 1, content: disk };
    // Past the last generation there is none: it stays, and a tie asks.
    let version = Version { generation: version.generation.min(GENERATION_MAX), ..version };
    let old = row.version.ancestor();
    row.version = version;
    row.history.insert(old);
    finish(row, stamp, now_ms);
    true
}

/// What arrived is here already, or is an ancestor, or a person kept what is here: the row stays
/// and knows of it. Whether anything changed.
pub fn join(row: &mut Row, arrived: Lineage, stamp: u64, now_ms: u64) -> bool {
    let before = (row.version, row.history.clone());
    let same = row.version.content == arrived.version.content;
    if same && arrived.version.generation > row.version.generation {
        row.history.insert(row.version.ancestor());
        row.version = *arrived.version;
    } else {
        row.history.insert(arrived.version.ancestor());
    }
    row.history.join(arrived.history);
    settle_row(row, before, stamp, now_ms)
}

/// What arrived takes the place of what is here. Whether anything changed.
pub fn adopt(row: &mut Row, arrived: Lineage, stamp: u64, now_ms: u64) -> bool {
    let before = (row.version, row.history.clone());
    row.history.insert(row.version.ancestor());
    row.history.join(arrived.history);
    row.version = *arrived.version;
    settle_row(row, before, stamp, now_ms)
}

/// A person chose a version that the other descends from: it is a new version, of both.
pub fn overrule(row: &mut Row, arrived: Lineage, choice: Choice, stamp: u64, now_ms: u64) {
    let content = match choice {
        Choice::Keep => row.version.content,
        Choice::Take => arrived.version.content,
    };
    merge(row, arrived, content, stamp, now_ms);
}

/// A person made `content` of both: it is a new version, which descends from either.
pub fn merge(row: &mut Row, arrived: Lineage, content: Content, stamp: u64, now_ms: u64) {
    row.history.insert(row.version.ancestor());
    row.history.insert(arrived.version.ancestor());
    row.history.join(arrived.history);
    let generation = (highest_generation(row) + 1).min(GENERATION_MAX);
    row.version = Version { generation, content };
    finish(row, stamp, now_ms);
}

/// Returns the row of a file that nothing was known of here, as it arrived.
pub fn create(arrived: Lineage, remotes: usize, stamp: u64, now_ms: u64) -> Row {
    let mut row = Row {
        version: *arrived.version,
        history: arrived.history.clone(),
        changed: stamp,
        deleted_ms: 0,
        cells: vec![Cell::default(); remotes],
    };
    finish(&mut row, stamp, now_ms);
    row
}

fn settle_row(row: &mut Row, before: (Version, History), stamp: u64, now_ms: u64) -> bool {
    let changed = row.changed;
    finish(row, stamp, now_ms);
    let is_news = before.0 != row.version || before.1 != row.history;
    if !is_news {
        row.changed = changed;
    }
    is_news
}

/// Restores what every row keeps: no version is its own ancestor, the nothing of a refused file is
/// nobody's ancestor (each site that refuses has the same), the history is bounded.
fn finish(row: &mut Row, stamp: u64, now_ms: u64) {
    row.history.remove(&row.version.ancestor());
    row.history.remove(&Ancestor { generation: 0, prefix: None });
    row.history.trim(&held(row));
    row.changed = stamp;
    row.deleted_ms = match row.version.content {
        Content::Absent if row.deleted_ms == 0 => now_ms.max(1),
        Content::Absent => row.deleted_ms,
        Content::File(_) => 0,
    };
}

/// Returns the versions that remotes have by their own word: a history keeps them.
fn held(row: &Row) -> BTreeSet<Ancestor> {
    row.cells.iter().flat_map(|cell| &cell.word).map(|word| word.version.ancestor()).collect()
}

/// Bounds the history of what waits beside `row`, as that of a row: what is here is kept too.
pub fn trim_beside(history: &mut History, row: Option<&Row>) {
    let held = row.map(|row| held(row).into_iter().chain([row.version.ancestor()]));
    history.trim(&held.into_iter().flatten().collect());
}

fn highest_generation(row: &Row) -> u64 {
    let words = row.cells.iter().flat_map(|cell| &cell.word).map(|word| word.version.generation);
    let ancestors = row.history.iter().map(|ancestor| ancestor.generation);
    words.chain(ancestors).fold(row.version.generation, u64::max)
}
