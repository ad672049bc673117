//! The rules of format 1.3, on beliefs instead of histories.
//!
//! A row's beliefs are what we think that each remote holds; a package tells the originator's
//! beliefs as they were before its broadcast. What the original program did wrong and is done
//! right here: beliefs are learnt when a row is settled, not before; reading a line twice changes
//! nothing; a sender who thinks that we hold what we do not hold, and sends nothing, has lost a
//! package on the way, and the whole row is contested (the guard); a missing line is a deletion
//! only if that site itself once listed the file.
//!
//! A row of generation 0 is a file, one of generation 1 a deletion that some remote was not told.
//! `.remsync` does not say what a file is here: until it was looked at, a file's content is
//! [`Content::Absent`], and such a row rests.
//!
//! Our own sending changes what we believe, not what the remote said: while it is on its way
//! ([`Cell::sent`]), [`Cell::word`] keeps the belief before it. So a remote that repeats its old
//! word has not got our mail yet (it is due again), and one that says something new has changed.

use std::collections::BTreeSet;

use crate::model::knowledge::{Cell, Correspondence, Knowledge, Question, Row, Sent, Why, Word};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::verdict::{Choice, Place, Verdict};
use crate::model::version::{Content, History, Version};
use crate::model::{Belief, Listing, Signature, TreePath};

use super::learn::TakenIn;
use super::observe::{Differences, Look};
use super::plan::{Named, Outgoing, OutgoingRow, Request, What, With, next_serial};
use super::visit::{Answer, Answered, Hands, Put, Receipt, Source, Visit, clear_way, put, unseen};

/// Generation of a row that says a file is here.
const LIVE: u64 = 0;
/// Generation of a row that says it was deleted, until every remote was told.
const TOMBSTONE: u64 = 1;

/// Returns what to do with a packaged file: `expected` is what the sender thought was here.
pub fn decide(expected: Belief, here: Content, packaged: Content) -> Verdict {
    if here == packaged {
        return Verdict::Redundant;
    }
    match (here, expected) {
        (Content::Absent, Belief::Unknown | Belief::Absent) => Verdict::Create,
        (Content::Absent, _) => Verdict::Ask(Why::DeletedHere),
        (Content::File(here), Belief::Holds(expected)) if here == expected => Verdict::Replace,
        (Content::File(_), _) => Verdict::Ask(Why::Conflict),
    }
}

/// Whether a row is a deletion that some remote was not told of yet.
pub fn is_untold(row: &Row) -> bool {
    row.version.generation == TOMBSTONE
}

/// Compares what a scan found with the rows: as [`super::observe::compare`], but what a file was
/// here before is not known, so that every one is looked at as if it had changed.
///
/// `look` is asked of each row whose file the scan did not find.
pub fn compare<F: Copy + Into<Signature>>(
    knowledge: &Knowledge,
    found: &Listing<F>,
    look: &mut dyn FnMut(&TreePath) -> Look,
) -> Differences {
    let mut differences = Differences::default();
    for (path, (_, &signature)) in found.paths().zip(found.iter()) {
        let signature: Signature = signature.into();
        match knowledge.rows.get(&path) {
            Some(row) if row.version == live(Content::File(signature)) => {}
            Some(row) if row.version.generation == LIVE => {
                differences.changed.insert(path, signature);
            }
            _ => {
                differences.new.insert(path, signature);
            }
        }
    }
    let files = knowledge.rows.iter().filter(|(_, row)| row.version.generation == LIVE);
    for (path, _) in files {
        differences.files += 1;
        if !found.contains(path) {
            differences.look_for(path, look);
        }
    }
    differences
}

/// Enters what a scan found.
pub fn record(knowledge: &mut Knowledge, differences: &Differences) {
    let stamp = knowledge.stamp();
    let remotes = knowledge.remotes.len();
    for (path, signature) in differences.new.iter().chain(&differences.changed) {
        let version = live(Content::File(*signature));
        match knowledge.rows.get_mut(path) {
            Some(row) => row.version = version,
            None => {
                let cells = vec![Cell::default(); remotes];
                let row =
                    Row { version, history: History::new(), changed: stamp, deleted_ms: 0, cells };
                knowledge.insert_row(path.clone(), row);
            }
        }
    }
    for path in &differences.gone {
        if let Some(row) = knowledge.rows.get_mut(path) {
            bury(row, stamp);
        }
    }
}

/// Plans the package for one remote: every file is told, those that differ go with it; `None` if
/// it was told all of that.
pub fn plan(
    knowledge: &Knowledge,
    remote: usize,
    request: &Request,
    rests: &dyn Fn(&TreePath) -> bool,
) -> Option<Outgoing> {
    let Correspondence { last, owes, .. } = *knowledge.remotes.get(remote)?;
    let mut is_called_for = request.named == Named::ByName || owes;
    let mut rows = Vec::new();
    for (path, row) in &knowledge.rows {
        if row.version.generation == TOMBSTONE {
            is_called_for |= row.changed > last;
            continue;
        }
        let is_known = row.version.content != Content::Absent && !rests(path);
        let differs = is_known && !row.cells[remote].belief.is(&row.version.content);
        is_called_for |= differs;
        let carries = differs && request.what == What::Contents;
        let with = if carries { With::Contents } else { With::Nothing };
        rows.push(OutgoingRow { path: path.clone(), with });
    }
    is_called_for.then(|| Outgoing {
        remote,
        serial: next_serial(knowledge, request.now_ms),
        since: None,
        seen: None,
        want_all: false,
        wants: Vec::new(),
        rows,
    })
}

/// Lets rows rest, as if their files had not been looked at: those that changed while they were
/// packed, and those that another part of the same plan carries.
pub fn rest<'a>(knowledge: &mut Knowledge, paths: impl IntoIterator<Item = &'a TreePath>) {
    for path in paths {
        if let Some(row) = knowledge.rows.get_mut(path)
            && row.version.generation == LIVE
        {
            row.version = live(Content::Absent);
        }
    }
}

/// Returns what the package says. `knowledge` is that of before the broadcast, so that every
/// receiver reads the same.
///
/// A row that rests has to be listed all the same, or it would count as deleted. It says what the
/// receiver is believed to hold: nothing new.
pub fn orders(
    identity: &crate::model::project::Identity,
    knowledge: &Knowledge,
    outgoing: &Outgoing,
    copy: &[usize],
) -> Orders {
    let mut member = 0;
    let rows = outgoing.rows.iter().filter_map(|listed| {
        let row = knowledge.rows.get(&listed.path)?;
        let expected = row.cells[outgoing.remote].belief;
        let path = listed.path.clone();
        if row.version.content == Content::Absent {
            let columns = copy.iter().map(|site| match *site == outgoing.remote {
                true => expected,
                false => Belief::Unknown,
            });
            let version = live(content_of(expected));
            let columns = columns.collect();
            return Some(OrderRow {
                path,
                version,
                history: History::new(),
                columns,
                act: Act::Tell,
            });
        }
        let act = match listed.with {
            With::Nothing => Act::Tell,
            With::Contents => {
                member += 1;
                Act::Update { expected, member }
            }
        };
        let columns = copy.iter().map(|site| row.cells[*site].belief).collect();
        Some(OrderRow { path, version: row.version, history: History::new(), columns, act })
    });
    Orders {
        is_oldest: false,
        rows: rows.collect(),
        identity: identity.clone(),
        visit: outgoing.remote,
        copy: copy.to_vec(),
        serial: 0,
        since: None,
        seen: None,
        want_all: false,
        wants: Vec::new(),
    }
}

/// Notes that a carrier accepted a package for a remote, and forgets the deletions that all were
/// told. What was sent is what its orders say; its serial is in none of them.
pub fn accepted(
    knowledge: &mut Knowledge,
    remote: usize,
    serial: u64,
    told: &Orders,
    now_ms: u64,
) -> BTreeSet<TreePath> {
    knowledge.clock = knowledge.clock.max(serial);
    let last = &mut knowledge.remotes[remote].last;
    *last = (*last).max(serial);
    knowledge.remotes[remote].owes = false;
    for sent in told.rows.iter().filter(|row| row.act != Act::Tell) {
        if let Some(row) = knowledge.rows.get_mut(&sent.path) {
            believe_sent(&mut row.cells[remote], sent.version, serial, now_ms);
        }
    }
    forget_tombstones(knowledge)
}

/// Takes back that package `serial` was sent to a remote, as [`super::plan::take_back`] does: of what
/// went with it, it is believed what was before. One more package is owed to it in any case, for
/// deletions are told by what a package does not list, and are forgotten once they were.
pub fn take_back(knowledge: &mut Knowledge, remote: usize, serial: u64) -> BTreeSet<TreePath> {
    let mut touched = BTreeSet::new();
    let Some(correspondence) = knowledge.remotes.get_mut(remote) else { return touched };
    if serial == 0 {
        return touched;
    }
    correspondence.owes |= correspondence.last == serial;
    for (path, row) in &mut knowledge.rows {
        let Some(cell) = row.cells.get_mut(remote) else { continue };
        if cell.sent.is_some_and(|sent| sent.serial == serial) {
            *cell = Cell { belief: last_word(cell), listed: cell.listed, ..Cell::default() };
            touched.insert(path.clone());
        }
    }
    touched
}

/// Forgets the deletions that every remote was told.
fn forget_tombstones(knowledge: &mut Knowledge) -> BTreeSet<TreePath> {
    let told = knowledge.remotes.iter().map(|remote| remote.last).min().unwrap_or(0);
    let is_spent = |row: &Row| row.version.generation == TOMBSTONE && row.changed <= told;
    let spent: BTreeSet<TreePath> =
        knowledge.rows.iter().filter(|(_, row)| is_spent(row)).map(|(p, _)| p.clone()).collect();
    knowledge.rows.retain(|path, _| !spent.contains(path));
    spent
}

/// Processes one package. Its rows that carry something are settled once: a package that was held,
/// or that a crash brings back, changes nothing that it did before.
pub fn visit(knowledge: &mut Knowledge, hands: &mut dyn Hands, visit: &Visit) -> Receipt {
    let mut receipt = Receipt::default();
    let is_init = is_inventory(visit.orders);
    let was_here = knowledge.settled.iter().any(|(package, _)| *package == visit.package)
        || knowledge.questions.iter().any(|question| question.package == visit.package);
    if !was_here {
        confirm(knowledge, visit);
    }
    for row in &visit.orders.rows {
        let is_settled = match row.act {
            // What it told was learnt then; something newer may have been learnt since.
            Act::Tell => was_here,
            _ => knowledge.settled.contains(&(visit.package, row.path.clone())),
        };
        if !is_settled {
            arrive(knowledge, hands, visit, row, is_init, &mut receipt);
        }
    }
    if !visit.orders.rows.is_empty() && !was_here {
        missing(knowledge, hands, visit, &mut receipt);
    }
    if receipt.failed.is_empty() {
        let from = &mut knowledge.remotes[visit.route.from];
        from.heard_ms = visit.now_ms;
        receipt.taken = Some(TakenIn { is_newest: true, ..TakenIn::default() });
    }
    receipt
}

/// Withdraws the questions that the tree has answered: what arrived is what is here by now.
pub fn reconsider(knowledge: &mut Knowledge, hands: &mut dyn Hands) -> Receipt {
    let mut receipt = Receipt::default();
    for question in knowledge.questions.to_vec() {
        let from = Source { package: question.package, member: question.member };
        let Look::Is(disk) = hands.look(&question.path) else { continue };
        let is_here = disk == question.version.content
            && (disk == Content::Absent || hands.same_bytes(&question.path, from));
        if is_here {
            see(knowledge, &question.path, disk);
            settle(knowledge, &question, question.version.content.into());
            receipt.touched.insert(question.path.clone());
            receipt.redundant += 1;
        }
    }
    receipt
}

/// Forgets which rows were settled of packages that are not `open`: they never come back.
/// Returns whether there were any.
pub fn forget_settled(knowledge: &mut Knowledge, open: &dyn Fn(&[u8; 32]) -> bool) -> bool {
    let before = knowledge.settled.len();
    knowledge.settled.retain(|(package, _)| open(package));
    knowledge.settled.len() < before
}

/// Carries out a person's answer, and learns the row with it.
pub fn answer(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    answer: &Answer,
    receipt: &mut Receipt,
) -> Answered {
    let question = answer.question;
    let path = &question.path;
    receipt.touched.insert(path.clone());
    let from = Source { package: question.package, member: question.member };
    let arrived = question.version.content;
    let disk = match hands.look(path) {
        Look::Is(disk) => disk,
        // No file is here, and a person says so now.
        Look::Barred if answer.choice == Choice::Keep || arrived == Content::Absent => {
            see(knowledge, path, Content::Absent);
            settle(knowledge, question, arrived.into());
            return Answered::Done;
        }
        // What is in the way stays there; there is nothing to compare.
        Look::NotKnown(_) if answer.choice == Choice::Keep => {
            settle(knowledge, question, arrived.into());
            return Answered::Done;
        }
        look => return unseen(look),
    };
    see(knowledge, path, disk);
    let is_same = disk == arrived && (disk == Content::Absent || hands.same_bytes(path, from));
    let is_free = answer.choice == Choice::Take && disk == Content::Absent;
    if !is_same && !is_free && is_other_than_shown(answer.shown, disk) {
        return Answered::ChangedMeanwhile;
    }
    if answer.choice == Choice::Take && !is_same {
        make_way(knowledge, hands, path, disk, receipt);
        if let Err(answered) = put(hands, path, &question.version, from, disk, receipt) {
            return answered;
        }
        see(knowledge, path, arrived);
    }
    // What is kept and has the sum of what arrived would look the same for ever.
    let is_twin = answer.choice == Choice::Keep && disk == arrived && !is_same;
    settle(knowledge, question, if is_twin { Belief::Contested } else { arrived.into() });
    Answered::Done
}

/// Carries out a merge, as [`super::visit::merge`] does: the originator is believed to hold what
/// arrived, so that the merged file takes its place there.
pub fn merge(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    answer: &Answer,
    merged: Content,
    from: Source,
    receipt: &mut Receipt,
) -> Answered {
    let question = answer.question;
    let path = &question.path;
    receipt.touched.insert(path.clone());
    let disk = match hands.look(path) {
        Look::Is(disk) => disk,
        look => return unseen(look),
    };
    see(knowledge, path, disk);
    if is_other_than_shown(answer.shown, disk) {
        return Answered::ChangedMeanwhile;
    }
    if let Err(answered) = put(hands, path, &live(merged), from, disk, receipt) {
        return answered;
    }
    see(knowledge, path, merged);
    settle(knowledge, question, question.version.content.into());
    Answered::Done
}

/// Enters what is on the disk for one path, as a scan would.
pub fn observe(knowledge: &mut Knowledge, path: &TreePath, disk: Content) {
    see(knowledge, path, disk);
}

/// Whether a person was shown something else; what a file is here is not stored, so that after
/// a restart nothing was shown.
fn is_other_than_shown(shown: Option<Version>, disk: Content) -> bool {
    let shown = match shown {
        None => return false,
        Some(Version { generation: LIVE, content: Content::Absent }) => return false,
        Some(shown) => shown.content,
    };
    shown != disk
}

/// Ends a question: the row is learnt, and its package does not ask it again.
fn settle(knowledge: &mut Knowledge, question: &Question, belief: Belief) {
    if let Some(row) = knowledge.rows.get_mut(&question.path) {
        believe_word(&mut row.cells[question.remote], belief);
    }
    knowledge.settled.insert((question.package, question.path.clone()));
    knowledge.questions.retain_on(&question.path, |open| open != question);
}

fn arrive(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    visit: &Visit,
    order: &OrderRow,
    is_init: bool,
    receipt: &mut Receipt,
) {
    receipt.touched.insert(order.path.clone());
    let look = hands.look(&order.path);
    let disk = match look {
        Look::Is(disk) => Some(disk),
        Look::Barred | Look::NotKnown(_) => None,
    };
    if let (Some(disk), Place::Inside | Place::Sensitive) = (disk, hands.place_of(&order.path)) {
        see(knowledge, &order.path, disk);
    }
    let Act::Update { expected, member } = order.act else {
        return learn(knowledge, visit, order, disk, is_init);
    };
    let from = Source { package: visit.package, member: Some(member) };
    if disk == Some(Content::Absent) {
        make_way(knowledge, hands, &order.path, Content::Absent, receipt);
    }
    match weigh(hands, order, expected, look, from, receipt) {
        Weighed::Settled(now) => {
            see(knowledge, &order.path, now);
            learn(knowledge, visit, order, Some(now), is_init);
            withdraw(knowledge, &order.path, visit.route.from);
            knowledge.settled.insert((visit.package, order.path.clone()));
        }
        Weighed::Ask(why) => ask(knowledge, visit, order, Some(member), why, receipt),
        Weighed::Failed(why) => receipt.failed.push((order.path.clone(), why)),
    }
}

/// What weighing one update ended in; settled, with what is here now.
enum Weighed {
    Settled(Content),
    Ask(Why),
    Failed(String),
}

fn weigh(
    hands: &mut dyn Hands,
    order: &OrderRow,
    expected: Belief,
    look: Look,
    from: Source,
    receipt: &mut Receipt,
) -> Weighed {
    let path = &order.path;
    let disk = match look {
        Look::Is(disk) => disk,
        Look::Barred | Look::NotKnown(Place::Blocked) => return Weighed::Ask(Why::InTheWay),
        Look::NotKnown(_) => return Weighed::Ask(Why::Unreadable),
    };
    let packaged = order.version.content;
    match decide(expected, disk, packaged) {
        // 16 bits are not enough to drop a file for: one edit in 65,536 looks like no edit.
        Verdict::Redundant if !hands.same_bytes(path, from) => Weighed::Ask(Why::Conflict),
        Verdict::Redundant | Verdict::Stale => {
            receipt.redundant += 1;
            Weighed::Settled(disk)
        }
        Verdict::Ask(why) => Weighed::Ask(why),
        Verdict::Create | Verdict::Replace => {
            match hands.place_of(path) {
                Place::Inside => {}
                Place::Ignored => return Weighed::Ask(Why::Ignored),
                Place::OutsideScan => return Weighed::Ask(Why::OutsideScan),
                Place::Sensitive => return Weighed::Ask(Why::Sensitive),
                Place::Blocked => return Weighed::Ask(Why::InTheWay),
                Place::Unreadable => return Weighed::Ask(Why::Unreadable),
            }
            match hands.put(path, &order.version, from, disk) {
                Put::Done => {
                    receipt.count(disk, packaged);
                    Weighed::Settled(packaged)
                }
                Put::Changed => Weighed::Ask(Why::Conflict),
                Put::InTheWay => Weighed::Ask(Why::InTheWay),
                Put::Gone => Weighed::Failed("its package is gone".into()),
                Put::Failed(why) => Weighed::Failed(why),
            }
        }
    }
}

/// Learns one row: the originator's own copy, and what it sent to the others.
fn learn(
    knowledge: &mut Knowledge,
    visit: &Visit,
    order: &OrderRow,
    here: Option<Content>,
    is_init: bool,
) {
    let told = order.version.content;
    // A row that rests at the originator, and of which it knows nothing.
    if told == Content::Absent {
        return;
    }
    let from = visit.route.from;
    let Some(row) = knowledge.rows.get_mut(&order.path) else { return };
    if !is_init && is_lost_on_the_way(&row.cells[from], visit, order, here) {
        contest(row, from);
        return;
    }
    believe_word(&mut row.cells[from], told.into());
    if here == Some(told) && order.act == Act::Tell {
        withdraw(knowledge, &order.path, from);
    }
    if !is_init {
        learn_hearsay(knowledge, visit, order);
    }
}

/// The guard: the originator has something new, thinks that we have it, and sends nothing. Its
/// package is lost; ours, sent in good faith, would undo its change.
fn is_lost_on_the_way(cell: &Cell, visit: &Visit, order: &OrderRow, here: Option<Content>) -> bool {
    let told = order.version.content;
    let is_wrong_of_us = match thought_of_us(visit.orders, order) {
        Belief::Unknown | Belief::Absent => false,
        thought => here.is_some_and(|here| !thought.is(&here)),
    };
    let is_other_here = here.is_some_and(|here| here != told);
    // What it said before is no news: then ours has not arrived there yet.
    order.act == Act::Tell && is_other_here && is_wrong_of_us && last_word(cell) != told.into()
}

/// Returns what the originator believed of us before its broadcast.
fn thought_of_us(orders: &Orders, order: &OrderRow) -> Belief {
    let ours = orders.copy.iter().position(|site| *site == orders.visit);
    ours.and_then(|at| order.columns.get(at)).copied().unwrap_or_default()
}

/// Notes which of our packages the originator has taken in: it has a file that came with one, or
/// knows from it what we have. All that came with that one has been there, as if it had listed it.
fn confirm(knowledge: &mut Knowledge, visit: &Visit) {
    let from = visit.route.from;
    let serial_of = |order: &OrderRow| {
        let sent = knowledge.rows.get(&order.path)?.cells[from].sent?;
        let is_sent = |belief| {
            matches!(belief, Belief::Holds(_))
                && live(content_of(belief)).ancestor() == sent.version
        };
        let has_it = is_sent(order.version.content.into());
        (sent.serial > 0 && (has_it || is_sent(thought_of_us(visit.orders, order))))
            .then_some(sent.serial)
    };
    let taken: BTreeSet<u64> = visit.orders.rows.iter().filter_map(serial_of).collect();
    for row in knowledge.rows.values_mut() {
        let cell = &mut row.cells[from];
        cell.listed |= cell.sent.is_some_and(|sent| taken.contains(&sent.serial));
    }
}

/// Whatever goes out from here next is asked of a person there.
fn contest(row: &mut Row, from: usize) {
    for cell in &mut row.cells {
        if matches!(cell.belief, Belief::Holds(_)) {
            *cell = Cell { belief: Belief::Contested, listed: cell.listed, ..Cell::default() };
        }
    }
    believe_word(&mut row.cells[from], Belief::Contested);
}

/// The other sites of the broadcast were sent the same, or had it.
fn learn_hearsay(knowledge: &mut Knowledge, visit: &Visit, order: &OrderRow) {
    let Some(row) = knowledge.rows.get_mut(&order.path) else { return };
    let told: Belief = order.version.content.into();
    for (site, column) in visit.route.copy.iter().zip(&order.columns) {
        let Some(site) = site.filter(|site| *site != visit.route.from) else { continue };
        let cell = &mut row.cells[site];
        let is_nothing = |belief| matches!(belief, Belief::Unknown | Belief::Absent);
        if cell.belief == told || is_nothing(*column) && !is_nothing(cell.belief) {
            continue;
        }
        if is_nothing(cell.belief) || cell.belief == *column {
            believe_sent(cell, order.version, 0, visit.now_ms);
        } else {
            cell.belief = Belief::Contested;
        }
    }
}

/// Believes what a remote says of itself.
fn believe_word(cell: &mut Cell, belief: Belief) {
    cell.belief = belief;
    cell.word = None;
    cell.sent = None;
    cell.listed = !matches!(belief, Belief::Unknown | Belief::Absent);
}

/// Believes that a remote gets what was sent, by us or by another; what it said itself is kept.
fn believe_sent(cell: &mut Cell, version: Version, serial: u64, at_ms: u64) {
    if cell.sent.is_none() {
        let said = |content| Word { version: live(content), history: History::new(), serial: 0 };
        cell.word = match cell.belief {
            Belief::Holds(signature) => Some(said(Content::File(signature))),
            Belief::Absent => Some(said(Content::Absent)),
            Belief::Unknown | Belief::Contested => None,
        };
    }
    cell.sent = Some(Sent { version: version.ancestor(), serial, at_ms });
    cell.belief = version.content.into();
}

/// Returns what a remote last said of itself. A belief that is not what was sent was changed by
/// the original program since: then it is that.
fn last_word(cell: &Cell) -> Belief {
    let is_sent = |sent: &Sent| live(content_of(cell.belief)).ancestor() == sent.version;
    if !cell.sent.as_ref().is_some_and(is_sent) {
        return cell.belief;
    }
    cell.word.as_ref().map_or(Belief::Unknown, |word| word.version.content.into())
}

fn content_of(belief: Belief) -> Content {
    match belief {
        Belief::Holds(signature) => Content::File(signature),
        Belief::Unknown | Belief::Absent | Belief::Contested => Content::Absent,
    }
}

fn live(content: Content) -> Version {
    Version { generation: LIVE, content }
}

/// Files that the originator lists no more. One that it once listed itself, or took in from us, was
/// deleted there, and a person decides; one that it was only said to have has not come there.
fn missing(knowledge: &mut Knowledge, hands: &mut dyn Hands, visit: &Visit, receipt: &mut Receipt) {
    let told: BTreeSet<&TreePath> = visit.orders.rows.iter().map(|row| &row.path).collect();
    let from = visit.route.from;
    let is_missing = |(path, row): &(&TreePath, &Row)| {
        let is_believed = !matches!(row.cells[from].belief, Belief::Absent | Belief::Unknown);
        is_believed && !told.contains(path)
    };
    let gone: Vec<TreePath> =
        knowledge.rows.iter().filter(is_missing).map(|(path, _)| path.clone()).collect();
    for path in gone {
        miss(knowledge, hands, visit, path, receipt);
    }
    // What was only asked about, and is neither there any more nor here.
    let is_moot = |open: &&Question| {
        let is_file = open.version.content != Content::Absent;
        is_file && open.remote == from && !told.contains(&open.path)
    };
    let moot: Vec<TreePath> =
        knowledge.questions.iter().filter(is_moot).map(|open| open.path.clone()).collect();
    for path in moot {
        if let Look::Is(Content::Absent) | Look::Barred = hands.look(&path) {
            withdraw(knowledge, &path, from);
            receipt.touched.insert(path);
        }
    }
}

/// One file that the originator lists no more.
fn miss(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    visit: &Visit,
    path: TreePath,
    receipt: &mut Receipt,
) {
    let from = visit.route.from;
    let here = match hands.look(&path) {
        Look::Is(here) => here,
        // No file is here: it is gone on both sides.
        Look::Barred => Content::Absent,
        Look::NotKnown(_) => return,
    };
    receipt.touched.insert(path.clone());
    see(knowledge, &path, here);
    let Some(row) = knowledge.rows.get_mut(&path) else { return };
    let cell = &mut row.cells[from];
    if here == Content::Absent || !cell.listed {
        believe_word(cell, Belief::Absent);
        return withdraw(knowledge, &path, from);
    }
    let why = if cell.belief.is(&here) { Why::Deletion } else { Why::DeletedThere };
    let order = OrderRow {
        path,
        version: live(Content::Absent),
        history: History::new(),
        columns: Vec::new(),
        act: Act::Remove { expected: Belief::Unknown },
    };
    ask(knowledge, visit, &order, None, why, receipt);
}

/// Lists a question; a newer one of the same site takes the older one's place.
fn ask(
    knowledge: &mut Knowledge,
    visit: &Visit,
    order: &OrderRow,
    member: Option<u32>,
    why: Why,
    receipt: &mut Receipt,
) {
    let from = visit.route.from;
    withdraw(knowledge, &order.path, from);
    knowledge.settled.remove(&(visit.package, order.path.clone()));
    knowledge.questions.push(Question {
        path: order.path.clone(),
        version: order.version,
        history: History::new(),
        remote: from,
        package: visit.package,
        member,
        why,
        at_ms: visit.now_ms,
    });
    receipt.questions.push((order.path.clone(), why));
}

/// Withdraws what a remote's package asked about a file: something else came of it, and that
/// package, should it be read again, does not ask anew.
fn withdraw(knowledge: &mut Knowledge, path: &TreePath, from: usize) {
    let is_asked = |open: &&Question| open.remote == from;
    let packages: Vec<[u8; 32]> =
        knowledge.questions.on(path).filter(is_asked).map(|open| open.package).collect();
    knowledge.settled.extend(packages.into_iter().map(|package| (package, path.clone())));
    knowledge.questions.retain_on(path, |open| open.remote != from);
}

/// Enters what is on the disk.
fn see(knowledge: &mut Knowledge, path: &TreePath, disk: Content) {
    let stamp = knowledge.stamp();
    let remotes = knowledge.remotes.len();
    match (knowledge.rows.get_mut(path), disk) {
        (Some(row), Content::Absent) if row.version.generation == LIVE => bury(row, stamp),
        (Some(row), Content::File(_)) => row.version = live(disk),
        (Some(_), Content::Absent) | (None, Content::Absent) => {}
        (None, Content::File(_)) => {
            let version = live(disk);
            let cells = vec![Cell::default(); remotes];
            let row =
                Row { version, history: History::new(), changed: stamp, deleted_ms: 0, cells };
            knowledge.insert_row(path.clone(), row);
        }
    }
}

/// Before a file comes where none is, as [`super::visit`] does: what had to make way for it is gone.
fn make_way(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    there: Content,
    receipt: &mut Receipt,
) {
    let is_live = |row: &Row| row.version.generation == LIVE;
    let see_gone =
        |knowledge: &mut Knowledge, other: &TreePath| see(knowledge, other, Content::Absent);
    clear_way(knowledge, hands, path, there, &is_live, &see_gone, receipt);
}

fn bury(row: &mut Row, stamp: u64) {
    row.version = Version { generation: TOMBSTONE, content: Content::Absent };
    row.changed = stamp;
}

/// Whether a package carries no contents by intention (`mode init`): some file that the sender
/// thinks we lack does not come with it.
fn is_inventory(orders: &Orders) -> bool {
    orders.rows.iter().any(|row| {
        let is_known = row.version.content != Content::Absent;
        row.act == Act::Tell && is_known && !thought_of_us(orders, row).is(&row.version.content)
    })
}

#[cfg(test)]
mod tests;
