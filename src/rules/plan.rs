//! What to send to whom: for each remote the rows to list, the contents that are due to it, and
//! what is wanted of it.
//!
//! Every plan of one broadcast is made from the same, frozen knowledge; what was sent is noted
//! ([`accepted`]) only when a carrier took it.

use std::collections::BTreeSet;

use crate::model::TreePath;
use crate::model::belief::Belief;
use crate::model::knowledge::{Cell, Correspondence, Knowledge, Row, Sent, Word};
use crate::model::limits::ISSUED_MAX;
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::Identity;
use crate::model::verdict::Verdict;
use crate::model::version::Content;

use super::decide::{Lineage, decide};
use super::learn::{is_asked, is_news};

/// Days after which something unacknowledged is sent again, by default.
pub const RESEND_AFTER_MS: u64 = 3 * DAY_MS;
/// How long a tombstone is kept at least.
pub const TOMBSTONE_MS: u64 = 366 * DAY_MS;
/// Over how many ms the serials of a clock that is behind are spread.
const SPREAD_MS: u64 = 1 << 16;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How a broadcast was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The time, in ms since 1970.
    pub now_ms: u64,
    /// After how many ms something unacknowledged is sent again.
    pub resend_after_ms: u64,
    /// Signatures only, no contents.
    pub what: What,
    /// Whether the sites were named: then a package goes out in any case.
    pub named: Named,
}

/// What a broadcast carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Rows, and the contents that are due.
    Contents,
    /// Rows only.
    Inventory,
}

/// Whether a person named the sites to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By name: a package goes out even if there is nothing to say.
    ByName,
    /// Everybody who has something to be told.
    Everybody,
}

/// One package to be made: what it lists and what it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The receiver, as an index into the remotes.
    pub remote: usize,
    /// Its number.
    pub serial: u64,
    /// From where rows are listed; `None` lists every row.
    pub since: Option<u64>,
    /// The receiver's highest serial that was taken in here.
    pub seen: Option<u64>,
    /// A full inventory is asked for.
    pub want_all: bool,
    /// Contents that are asked for.
    pub wants: Vec<TreePath>,
    /// The rows, ascending.
    pub rows: Vec<OutgoingRow>,
}

/// One row of a package to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRow {
    /// The file.
    pub path: TreePath,
    /// What goes with it.
    pub with: With,
}

/// What goes with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// The file's bytes, or the word that it was deleted.
    Contents,
}

/// Returns the serial for a broadcast at `now_ms`: above all that was ever used here, and a time,
/// so that a site restored from a backup goes on above what it had used.
///
/// Where the clock is behind what was used, the next number would be given a second time after a
/// backup, and the acknowledgement of the one package taken for that of the other: the time spreads
/// it over a minute.
pub fn next_serial(knowledge: &Knowledge, now_ms: u64) -> u64 {
    if now_ms > knowledge.clock { now_ms } else { knowledge.clock + 1 + now_ms % SPREAD_MS }
}

/// Plans the package for one remote; `None` if there is nothing to tell it.
///
/// `rests` says of a path that its file is not known now (unreadable, ignored, in the way): it
/// cannot be packed, and is not asked for.
pub fn plan(
    knowledge: &Knowledge,
    remote: usize,
    request: &Request,
    rests: &dyn Fn(&TreePath) -> bool,
) -> Option<Outgoing> {
    let correspondence = knowledge.remotes.get(remote)?;
    let since = match correspondence.seen {
        _ if correspondence.wants_all => None,
        0 => None,
        seen => Some(seen),
    };
    let mut rows = Vec::new();
    let mut wants = Vec::new();
    let mut is_called_for =
        request.named == Named::ByName || correspondence.owes || correspondence.wants_all;
    for (path, row) in knowledge.rows.iter().filter(|(_, row)| row.version.generation > 0) {
        let cell = &row.cells[remote];
        let due = is_due(row, cell, correspondence, request) && !rests(path);
        is_called_for |= due || row.changed > correspondence.last;
        if due || since.is_none_or(|since| row.changed > since) {
            let carries = due && request.what == What::Contents;
            let with = if carries { With::Contents } else { With::Nothing };
            rows.push(OutgoingRow { path: path.clone(), with });
        }
        let word = cell.word.as_ref();
        if word.is_some_and(|w| is_news(row, w) && !is_asked(knowledge, path, w)) && !rests(path) {
            is_called_for |= !is_recent(cell.asked_ms, request);
            wants.push(path.clone());
        }
    }
    for (path, cells) in &knowledge.lacking {
        let cell = &cells[remote];
        let is_file = |word: &Word| word.version.content != Content::Absent;
        let asked = |word: &Word| is_asked(knowledge, path, word);
        if cell.word.as_ref().is_some_and(|w| is_file(w) && !asked(w)) && !rests(path) {
            is_called_for |= !is_recent(cell.asked_ms, request);
            wants.push(path.clone());
        }
    }
    wants.sort_unstable();
    // What was never acknowledged is told again if there is anything to tell: contents that are due
    // and wants have delays of their own, and an empty package is owed no acknowledgement.
    is_called_for |= is_overdue(correspondence, request) && !rows.is_empty();
    let want_all = !correspondence.gaps.is_empty();
    is_called_for |= want_all && !is_recent(correspondence.asked_all_ms, request);
    is_called_for.then(|| Outgoing {
        remote,
        serial: next_serial(knowledge, request.now_ms),
        since,
        // A remote that lost its state, and its clock's time, learns from it which serials it had
        // used; what is missing here is asked for in the same package.
        seen: Some(correspondence.taken_at_most()).filter(|seen| *seen > 0),
        want_all,
        wants,
        rows,
    })
}

/// Whether the row's contents are due to a remote: by its own word it has another version that
/// does not descend from ours, and ours is not on its way.
pub fn is_due(row: &Row, cell: &Cell, with: &Correspondence, request: &Request) -> bool {
    if let Some(word) = &cell.word {
        let theirs = Lineage::new(&word.version, &word.history);
        if let Verdict::Redundant | Verdict::Stale = decide(Some(theirs), Lineage::of(row)) {
            return false;
        }
    }
    let ours = row.version.ancestor();
    // What was taken in there (done or held) is not sent again for its age; what may be lost is.
    let stands = |sent: &Sent| {
        let is_seen = sent.serial != 0 && sent.serial <= with.seen;
        sent.version == ours && (is_seen || is_recent(sent.at_ms, request))
    };
    !(cell.sent.as_ref().is_some_and(stands) || cell.heard.as_ref().is_some_and(stands))
}

/// Notes that a serial is used, before a carrier is asked: what changes from now on is stamped above
/// it, and a package that was taken although nobody said so is remembered as ours.
pub fn issue(knowledge: &mut Knowledge, remote: usize, serial: u64) {
    knowledge.clock = knowledge.clock.max(serial);
    let issued = &mut knowledge.remotes[remote].issued;
    if !issued.contains(&serial) {
        issued.push(serial);
        let excess = issued.len().saturating_sub(ISSUED_MAX);
        issued.drain(..excess);
    }
}

/// Notes that a package will never be sent, as far as the carrier said: few serials are remembered,
/// and a long time without a carrier must not push out those that were accepted.
pub fn withdraw(knowledge: &mut Knowledge, remote: usize, serial: u64) {
    knowledge.remotes[remote].issued.retain(|issued| *issued != serial);
}

/// Notes that a carrier accepted a package for a remote. What was sent is what its orders say: by
/// now the rows may be others.
pub fn accepted(knowledge: &mut Knowledge, remote: usize, told: &Orders, now_ms: u64) {
    let serial = told.serial;
    issue(knowledge, remote, serial);
    let correspondence = &mut knowledge.remotes[remote];
    correspondence.last = correspondence.last.max(serial);
    correspondence.owes = false;
    correspondence.wants_all &= told.since.is_some();
    if told.want_all {
        correspondence.asked_all_ms = now_ms;
    }
    if told.is_weighty() {
        correspondence.last_weighty = correspondence.last_weighty.max(serial);
        correspondence.last_weighty_ms = now_ms;
    }
    for path in &told.wants {
        let cells = match knowledge.rows.get_mut(path) {
            Some(row) => Some(&mut row.cells),
            None => knowledge.lacking.get_mut(path),
        };
        if let Some(cells) = cells {
            cells[remote].asked_ms = now_ms;
        }
    }
    for sent in told.rows.iter().filter(|row| row.act != Act::Tell) {
        if let Some(row) = knowledge.rows.get_mut(&sent.path) {
            let version = sent.version.ancestor();
            row.cells[remote].sent = Some(Sent { version, serial, at_ms: now_ms });
        }
    }
}

/// Takes back that package `serial` was sent to a remote: a mail system says that it did not arrive.
/// What went with it is due again, and what it said or asked is told and asked anew; returns the
/// files that this touches.
///
/// A notice proves nothing. A forged one costs one sending, for what is sent then has another
/// serial; of a package that the remote has itself taken in it takes back nothing.
pub fn take_back(knowledge: &mut Knowledge, remote: usize, serial: u64) -> BTreeSet<TreePath> {
    let mut touched = BTreeSet::new();
    let Some(correspondence) = knowledge.remotes.get_mut(remote) else { return touched };
    if serial == 0 || correspondence.seen == serial {
        return touched;
    }
    // Its wants were noted at the very time at which it was: they are made again with the rest.
    let asked_ms = (correspondence.last_weighty == serial && correspondence.last_weighty_ms != 0)
        .then_some(correspondence.last_weighty_ms);
    if let Some(asked_ms) = asked_ms {
        correspondence.last_weighty_ms = 0;
        if correspondence.asked_all_ms == asked_ms {
            correspondence.asked_all_ms = 0;
        }
    }
    // It acknowledged too, as far as anything did: what was sent after it did so again.
    correspondence.owes |= correspondence.last == serial && correspondence.heard > 0;
    let rows = knowledge.rows.iter_mut().map(|(path, row)| (path, &mut row.cells));
    for (path, cells) in rows.chain(knowledge.lacking.iter_mut()) {
        let Some(cell) = cells.get_mut(remote) else { continue };
        if cell.sent.is_some_and(|sent| sent.serial == serial) {
            cell.sent = None;
            touched.insert(path.clone());
        }
        if asked_ms.is_some_and(|asked_ms| cell.asked_ms == asked_ms) {
            cell.asked_ms = 0;
            touched.insert(path.clone());
        }
    }
    touched
}

/// Returns what the package says. Numbers its files from 1 in the order of the rows.
///
/// `copy`: the remotes of this broadcast, the receiver among them.
pub fn orders(
    identity: &Identity,
    knowledge: &Knowledge,
    outgoing: &Outgoing,
    copy: &[usize],
) -> Orders {
    let mut member = 0;
    let rows = outgoing.rows.iter().filter_map(|listed| {
        let row = knowledge.rows.get(&listed.path)?;
        let believed = |site: &usize| belief(&row.cells[*site]);
        let expected = believed(&outgoing.remote);
        let act = match (listed.with, row.version.content) {
            (With::Nothing, _) => Act::Tell,
            (With::Contents, Content::Absent) => Act::Remove { expected },
            (With::Contents, Content::File(_)) => {
                member += 1;
                Act::Update { expected, member }
            }
        };
        Some(OrderRow {
            path: listed.path.clone(),
            version: row.version,
            history: row.history.clone(),
            columns: copy.iter().map(believed).collect(),
            act,
        })
    });
    Orders {
        is_oldest: false,
        rows: rows.collect(),
        identity: identity.clone(),
        visit: outgoing.remote,
        copy: copy.to_vec(),
        serial: outgoing.serial,
        since: outgoing.since,
        seen: outgoing.seen,
        want_all: outgoing.want_all,
        wants: outgoing.wants.clone(),
    }
}

/// Forgets the tombstones that every remote has confirmed by its own word, a year old at least;
/// returns them. Forgotten earlier, a site long away brings the file back. Another deletion at a
/// remote confirms nothing: what was created over that one is not newer than ours.
pub fn forget_tombstones(knowledge: &mut Knowledge, now_ms: u64) -> Vec<TreePath> {
    // That a remote has the deletion is not enough: it must have taken in what ours descends from
    // now, a choice made meanwhile included, and no question may hang on it here.
    let is_told = |row: &Row| {
        let mut cells = row.cells.iter().zip(&knowledge.remotes);
        cells.all(|(cell, with)| {
            let is_same = cell.word.as_ref().is_some_and(|word| word.version == row.version);
            is_same && with.seen >= row.changed
        })
    };
    let is_spent = |path: &TreePath, row: &Row| {
        row.version.content == Content::Absent
            && row.deleted_ms != 0
            && now_ms >= row.deleted_ms.saturating_add(TOMBSTONE_MS)
            && is_told(row)
            && knowledge.questions.on(path).next().is_none()
    };
    let spent: Vec<TreePath> = knowledge
        .rows
        .iter()
        .filter(|(path, row)| is_spent(path, row))
        .map(|(path, _)| path.clone())
        .collect();
    for path in &spent {
        if let Some(row) = knowledge.rows.remove(path) {
            knowledge.forgotten = knowledge.forgotten.max(row.version.generation);
        }
    }
    spent
}

/// What a site last said itself.
fn belief(cell: &Cell) -> Belief {
    cell.word.as_ref().map_or(Belief::Unknown, |word| word.version.content.into())
}

/// Whether something with rows or wants was never acknowledged and may be lost.
fn is_overdue(with: &Correspondence, request: &Request) -> bool {
    with.last_weighty > with.seen && !is_recent(with.last_weighty_ms, request)
}

/// Whether `at_ms` is less than `resend_after_ms` away; a clock that was set back counts alike.
fn is_recent(at_ms: u64, request: &Request) -> bool {
    at_ms != 0 && request.now_ms.abs_diff(at_ms) < request.resend_after_ms
}
