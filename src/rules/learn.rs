//! What a package teaches: the originator's own words, what was seen, what is wanted.
//!
//! Learning is idempotent, and an older package never undoes a newer one: a row's word moves only
//! to a higher serial. Nothing here touches a file or settles a row; that is `decide`.

use crate::model::knowledge::{Cell, Correspondence, Knowledge, Received, Row, Sent, Word};
use crate::model::limits::{GAPS_MAX, RECEIVED_MAX, SERIAL_MAX};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::Identity;
use crate::model::verdict::Verdict;
use crate::model::version::Content;
use crate::model::{Address, TreePath, Version};

use super::decide::{Lineage, decide};

/// A package's sites in our own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The originator, as an index into our remotes.
    pub from: usize,
    /// For each site of `copy`: our remote, or `None` where it is us or a stranger.
    pub copy: Vec<Option<usize>>,
}

/// Why a package is not for a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// It visits another address.
    Address,
    /// It is of a project with another title.
    Title,
    /// Its originator is no remote of ours.
    Originator,
    /// It is written in the project's other format.
    Format,
}

/// Translates a package's sites into ours.
///
/// # Errors
/// The first reason why the package is not for this project: its `visit` must name our address,
/// its title be ours, its originator a remote of ours, its format ours.
pub fn route(orders: &Orders, ours: &Identity) -> Result<Route, NotForUs> {
    let visited = orders.identity.remotes.get(orders.visit).ok_or(NotForUs::Address)?;
    if visited.address != ours.here.address {
        return Err(NotForUs::Address);
    }
    if orders.identity.title != ours.title {
        return Err(NotForUs::Title);
    }
    let index_of =
        |address: &Address| ours.remotes.iter().position(|remote| &remote.address == address);
    let from = index_of(&orders.identity.here.address).ok_or(NotForUs::Originator)?;
    if orders.identity.format != ours.format {
        return Err(NotForUs::Format);
    }
    let translate = |theirs: &usize| {
        orders.identity.remotes.get(*theirs).and_then(|site| index_of(&site.address))
    };
    Ok(Route { from, copy: orders.copy.iter().map(translate).collect() })
}

/// How a package compares with those of its originator that were taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// None with its serial is remembered.
    New,
    /// It is one of them.
    Again,
    /// One of them has its serial and other bytes; this is the beginning of its digest. There are two
    /// of that site, or somebody has its key.
    Twin([u8; 8]),
}

/// What taking a package in showed, beside its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// It is the newest package of this originator so far.
    pub is_newest: bool,
    /// The originator has seen a serial of ours that we never used: this site was restored from a
    /// backup. Said aloud; every row is told anew.
    pub we_went_back: bool,
    /// The originator no longer knows packages of ours that it once took in: it was restored from
    /// a backup, or lost its state.
    pub they_went_back: bool,
    /// It builds on a package that is not taken in: a full inventory will be asked for.
    pub has_gap: bool,
}

/// Learns what `orders` teach, once every row is done or held.
///
/// Rows are settled first. A word on a file that has no row here is kept as lacking: its contents
/// are asked for.
pub fn take_in(knowledge: &mut Knowledge, orders: &Orders, route: &Route, now_ms: u64) -> TakenIn {
    let mut shown = TakenIn::default();
    learn_seen(knowledge, orders, route.from, now_ms, &mut shown);
    learn_wants(knowledge, orders, route.from);
    learn_inventory(knowledge, orders, route.from);
    for order in &orders.rows {
        learn_row(knowledge, order, orders.serial, route, now_ms);
    }
    let correspondence = &mut knowledge.remotes[route.from];
    take_serial(correspondence, orders, &mut shown);
    shown
}

/// Says whether a package was taken in before, in whatever order they came. Of one that is older than
/// all that is remembered it cannot be known; it brings nothing back, for what replaces a version has
/// to descend from it.
pub fn freshness(correspondence: &Correspondence, serial: u64, package: &[u8; 32]) -> Freshness {
    let received = &correspondence.received;
    match received.binary_search_by_key(&serial, |received| received.serial) {
        Ok(at) if received[at].mark == mark_of(package) => Freshness::Again,
        Ok(at) => Freshness::Twin(received[at].mark),
        Err(_) => Freshness::New,
    }
}

/// Remembers that a package was taken in; the oldest are forgotten.
pub fn remember(correspondence: &mut Correspondence, serial: u64, package: &[u8; 32]) {
    let received = &mut correspondence.received;
    if let Err(at) = received.binary_search_by_key(&serial, |received| received.serial) {
        received.insert(at, Received { serial, mark: mark_of(package) });
        let excess = received.len().saturating_sub(RECEIVED_MAX);
        received.drain(..excess);
    }
}

fn mark_of(package: &[u8; 32]) -> [u8; 8] {
    package.first_chunk().copied().unwrap_or_default()
}

/// Whether an old mail speaks of a file that was deleted here so long ago that the tombstone is
/// forgotten: newer packages of its originator were taken in, and none left a row or a word.
pub fn is_forgotten(knowledge: &Knowledge, from: usize, serial: u64, path: &TreePath) -> bool {
    knowledge.forgotten > 0
        && serial <= knowledge.remotes[from].taken_at_most()
        && !knowledge.rows.contains_key(path)
        && !knowledge.lacking.contains_key(path)
}

/// Keeps what the originator says of our serials; only its newest package counts.
fn learn_seen(
    knowledge: &mut Knowledge,
    orders: &Orders,
    from: usize,
    now_ms: u64,
    shown: &mut TakenIn,
) {
    // No honest site has taken in a serial from beyond the ages: our own would leave the bound.
    let seen = orders.seen.filter(|seen| *seen < SERIAL_MAX / 2).unwrap_or(0);
    let clock = knowledge.clock;
    let correspondence = &mut knowledge.remotes[from];
    if orders.serial <= correspondence.heard {
        return;
    }
    shown.is_newest = true;
    correspondence.heard = orders.serial;
    correspondence.heard_ms = now_ms;
    correspondence.wants_all |= orders.want_all;
    if seen < correspondence.seen {
        // From where to tell it is not known; what it takes in next will say.
        shown.they_went_back = true;
        correspondence.wants_all = true;
        correspondence.seen = 0;
    } else if seen > correspondence.seen && correspondence.issued.contains(&seen) {
        correspondence.seen = seen;
        correspondence.issued.retain(|issued| *issued > seen);
    } else if seen > correspondence.seen {
        // A package that we do not remember: we were restored from a backup, or killed before it
        // was noted. What it believes of us may be of then, and rows may have changed since with
        // stamps below that serial.
        shown.we_went_back = true;
        correspondence.wants_all = true;
        knowledge.clock = clock.max(seen);
    }
}

/// What is wanted is due again: no word, nothing sent or heard stands in the way. But a package
/// that crossed our sending (it has not seen it) does not take that back.
fn learn_wants(knowledge: &mut Knowledge, orders: &Orders, from: usize) {
    let seen = orders.seen.unwrap_or(0);
    for path in &orders.wants {
        let row = knowledge.rows.get_mut(path).filter(|row| row.version.generation > 0);
        let Some(row) = row else {
            // What we know nothing of we cannot send: a full inventory says so, and ends the asking.
            knowledge.remotes[from].wants_all |= orders.serial >= knowledge.remotes[from].heard;
            continue;
        };
        let cell = &mut row.cells[from];
        if cell.word.as_ref().is_none_or(|word| word.serial < orders.serial) {
            cell.word = None;
            cell.heard = None;
        }
        if cell.sent.is_some_and(|sent| sent.serial <= seen) {
            cell.sent = None;
        }
    }
}

/// A package that lists every row takes back what older ones said: a remote restored from a backup
/// may not know those rows any more, and would be asked for their contents for ever.
fn learn_inventory(knowledge: &mut Knowledge, orders: &Orders, from: usize) {
    let correspondence = &mut knowledge.remotes[from];
    if orders.since.is_some() || orders.serial <= correspondence.inventory {
        return;
    }
    correspondence.inventory = orders.serial;
    let rows = knowledge.rows.values_mut().map(|row| &mut row.cells);
    for cells in rows.chain(knowledge.lacking.values_mut()) {
        let cell = &mut cells[from];
        cell.word = cell.word.take().filter(|word| word.serial >= orders.serial);
    }
    knowledge.lacking.retain(|_, cells| cells.iter().any(|cell| cell.word.is_some()));
}

fn learn_row(knowledge: &mut Knowledge, order: &OrderRow, serial: u64, route: &Route, now_ms: u64) {
    if is_forgotten(knowledge, route.from, serial, &order.path) {
        return;
    }
    let remotes = knowledge.remotes.len();
    let (ours, cells) = match knowledge.rows.get_mut(&order.path) {
        Some(row) => (Some(row.version), row.cells.as_mut_slice()),
        None => {
            let lacking = knowledge.lacking.entry(order.path.clone());
            (None, lacking.or_insert_with(|| vec![Cell::default(); remotes]).as_mut_slice())
        }
    };
    let word = Word { version: order.version, history: order.history.clone(), serial };
    if serial >= knowledge.remotes[route.from].inventory {
        learn_word(&mut cells[route.from], ours, word);
    }
    if order.act != Act::Tell {
        learn_hearsay(cells, order.version, route, now_ms);
    }
}

/// Keeps a remote's own word, if it is newer than the one we have.
fn learn_word(cell: &mut Cell, ours: Option<Version>, mut word: Word) {
    if cell.word.as_ref().is_some_and(|known| known.serial >= word.serial) {
        return;
    }
    // The history of our own version is the row's own: not kept twice.
    if Some(word.version) == ours {
        word.history = Default::default();
    }
    cell.word = Some(word);
}

/// The originator sent the same contents to the other sites of the broadcast.
fn learn_hearsay(cells: &mut [Cell], version: Version, route: &Route, now_ms: u64) {
    for site in route.copy.iter().flatten().filter(|site| **site != route.from) {
        cells[*site].heard = Some(Sent { version: version.ancestor(), serial: 0, at_ms: now_ms });
    }
}

/// Counts the package as taken in, if it builds on what was; else remembers it as a gap.
fn take_serial(correspondence: &mut Correspondence, orders: &Orders, shown: &mut TakenIn) {
    let since = orders.since.unwrap_or(0);
    // A replay is not answered again; what was lost comes with a new serial.
    if orders.is_weighty() && orders.serial > correspondence.taken {
        correspondence.owes = true;
    }
    if since > correspondence.taken {
        shown.has_gap = true;
        if !correspondence.gaps.contains(&(since, orders.serial)) {
            correspondence.gaps.push((since, orders.serial));
            let excess = correspondence.gaps.len().saturating_sub(GAPS_MAX);
            correspondence.gaps.drain(..excess);
        }
        return;
    }
    correspondence.taken = correspondence.taken.max(orders.serial);
    loop {
        let taken = correspondence.taken;
        let reached = |gap: &&(u64, u64)| gap.0 <= taken && gap.1 > taken;
        match correspondence.gaps.iter().find(reached) {
            Some(gap) => correspondence.taken = gap.1,
            None => break,
        }
    }
    let taken = correspondence.taken;
    correspondence.gaps.retain(|gap| gap.0 > taken);
}

/// Whether a remote's own word on a row is news whose contents are not here.
pub fn is_news(row: &Row, word: &Word) -> bool {
    if word.version.content == Content::Absent {
        return false;
    }
    let verdict = decide(Some(Lineage::of(row)), Lineage::new(&word.version, &word.history));
    !matches!(verdict, Verdict::Redundant | Verdict::Stale)
}

/// Whether a question about `path` already holds what `word` says, or something newer, with its
/// contents.
pub fn is_asked(knowledge: &Knowledge, path: &TreePath, word: &Word) -> bool {
    let mut whole = knowledge.questions.on(path).filter(|question| !question.lacks_contents());
    whole.any(|question| {
        question.version.content == word.version.content || question.history.has(&word.version)
    })
}
