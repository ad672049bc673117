//! One package at its receiver: every row judged, what is settled applied, the rest listed as
//! questions, and then, only then, learnt.
//!
//! The order of things is here, the things themselves are in `decide`, `settle` and `learn`; the
//! disk is behind [`Hands`], so that the simulator runs this very code.

use std::collections::BTreeSet;

use crate::model::TreePath;
use crate::model::knowledge::{Knowledge, Question, Row, Why};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::verdict::{Choice, Deletions, Place, Verdict};
use crate::model::version::{Content, Version};

use super::brake;
use super::decide::{Lineage, decide, judge};
use super::learn::{Route, TakenIn, is_forgotten, remember, take_in};
use super::observe::{Look, observe, see};
use super::settle::{self, Settled, ask, ask_again, choose, hear, judge_anew, settle, withdraw};

/// How often a row is judged again when its file changes under our hands.
const TRIES_MAX: usize = 3;

/// What reaches into the tree.
pub trait Hands {
    /// Returns where the path lies, as far as the choice of files goes.
    fn place_of(&mut self, path: &TreePath) -> Place;
    /// Looks at what is on the disk now.
    fn look(&mut self, path: &TreePath) -> Look;
    /// Whether the file on the disk and a packaged one hold the same bytes: 16-bit sums are not
    /// enough (format 1.3).
    fn same_bytes(&mut self, _path: &TreePath, _from: Source) -> bool {
        true
    }
    /// Puts a version there, or removes the file, if `expected` is what is there.
    fn put(&mut self, path: &TreePath, version: &Version, from: Source, expected: Content) -> Put;
}

/// Where a version's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The package, by its digest.
    pub package: [u8; 32],
    /// The number in it; `None` for a deletion.
    pub member: Option<u32>,
}

/// What became of a change to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is done.
    Done,
    /// Something else was there than expected; nothing is done.
    Changed,
    /// Something else is in the way; nothing is done.
    InTheWay,
    /// The package that holds the contents is not here any more; nothing is done.
    Gone,
    /// It could not be done, for this reason; nothing is done.
    Failed(String),
}

/// What one package did.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    /// Files replaced.
    pub replaced: usize,
    /// Files created.
    pub created: usize,
    /// Files removed.
    pub removed: usize,
    /// Updates and removes whose version was here already, or was older.
    pub redundant: usize,
    /// Rows that wait for a person.
    pub questions: Vec<(TreePath, Why)>,
    /// Rows that could not be applied, and why: the package is not taken in.
    pub failed: Vec<(TreePath, String)>,
    /// What taking it in showed; `None` if something failed.
    pub taken: Option<TakenIn>,
    /// Rows that changed in any way.
    pub touched: BTreeSet<TreePath>,
}

impl Receipt {
    /// Counts one change of the tree.
    pub fn count(&mut self, there: Content, arrived: Content) {
        match (there, arrived) {
            (Content::Absent, Content::Absent) => self.redundant += 1,
            (Content::Absent, Content::File(_)) => self.created += 1,
            (Content::File(_), Content::Absent) => self.removed += 1,
            (Content::File(_), Content::File(_)) => self.replaced += 1,
        }
    }
}

/// The circumstances of a visit.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// What the package says.
    pub orders: &'a Orders,
    /// Its sites in our numbers.
    pub route: &'a Route,
    /// Its digest.
    pub package: [u8; 32],
    /// What deletions that are sure do.
    pub deletions: Deletions,
    /// The time, in ms since 1970.
    pub now_ms: u64,
}

/// Processes one package. Removes go before updates. One that deletes most files deletes none
/// unasked, whatever the policy.
pub fn visit(knowledge: &mut Knowledge, hands: &mut dyn Hands, visit: &Visit) -> Receipt {
    let mut receipt = Receipt::default();
    let is_braked =
        visit.deletions == Deletions::Apply && brake::is_drastic(knowledge, visit.orders);
    let deletions = if is_braked { Deletions::Ask } else { visit.deletions };
    let visit = &Visit { deletions, ..*visit };
    let (gone, there): (Vec<&OrderRow>, Vec<&OrderRow>) =
        visit.orders.rows.iter().partition(|row| row.version.content == Content::Absent);
    // Deepest first, so that a folder is empty when it is its turn.
    for row in gone.into_iter().rev().chain(there) {
        arrive(knowledge, hands, visit, row, &mut receipt);
    }
    if is_braked {
        brake_deletions(knowledge, visit.orders, &mut receipt);
    }
    if receipt.failed.is_empty() {
        if visit.orders.since.is_none() {
            receipt.touched.extend(spoken_of(knowledge, visit.route.from));
        }
        receipt.taken = Some(take_in(knowledge, visit.orders, visit.route, visit.now_ms));
        let correspondence = &mut knowledge.remotes[visit.route.from];
        remember(correspondence, visit.orders.serial, &visit.package);
        receipt.touched.extend(visit.orders.rows.iter().map(|row| row.path.clone()));
        receipt.touched.extend(visit.orders.wants.iter().cloned());
    }
    receipt
}

/// Says of the deletions of a braked package that a person has to answer them, from now on.
fn brake_deletions(knowledge: &mut Knowledge, orders: &Orders, receipt: &mut Receipt) {
    let deleted = orders.rows.iter().filter(|order| order.version.content == Content::Absent);
    let deleted: BTreeSet<&TreePath> = deleted.map(|order| &order.path).collect();
    for question in &mut knowledge.questions {
        let is_deletion = question.why == Why::Deletion && deleted.contains(&question.path);
        if is_deletion && question.version.content == Content::Absent {
            question.why = Why::ManyDeletions;
        }
    }
    for (path, why) in &mut receipt.questions {
        if *why == Why::Deletion && deleted.contains(path) {
            *why = Why::ManyDeletions;
        }
    }
}

/// Returns the files that a remote has a word on: a package that lists every row may take it back.
fn spoken_of(knowledge: &Knowledge, remote: usize) -> BTreeSet<TreePath> {
    let rows = knowledge.rows.iter().map(|(path, row)| (path, &row.cells));
    let spoken = rows.chain(&knowledge.lacking).filter(|(_, cells)| cells[remote].word.is_some());
    spoken.map(|(path, _)| path.clone()).collect()
}

/// Judges every open question anew: the way may be free, a scan may have been added.
pub fn reconsider(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    deletions: Deletions,
    now_ms: u64,
) -> Receipt {
    let mut receipt = Receipt::default();
    let paths: BTreeSet<TreePath> =
        knowledge.questions.iter().map(|question| question.path.clone()).collect();
    for path in paths {
        judge_questions(knowledge, hands, &path, deletions, now_ms, &mut receipt);
    }
    receipt
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is done.
    Done,
    /// The file is no longer what the person was shown; the question stays.
    ChangedMeanwhile,
    /// Something else is where the file would be, or where its folder would; the question stays.
    InTheWay,
    /// The contents are gone, and asked for again; the question waits for them.
    Gone,
    /// It could not be done, for this reason; the question stays.
    Failed(String),
}

/// A person's answer to a question.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The question.
    pub question: &'a Question,
    /// What the person chose.
    pub choice: Choice,
    /// The version of ours that the person was shown; `None` where there was no row.
    pub shown: Option<Version>,
    /// What deletions that are sure do: other questions on the path are judged anew.
    pub deletions: Deletions,
    /// The time, in ms since 1970.
    pub now_ms: u64,
}

/// Carries out a person's answer.
pub fn answer(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    answer: &Answer,
    receipt: &mut Receipt,
) -> Answered {
    let Answer { question, choice, mut shown, deletions, now_ms } = *answer;
    let path = &question.path;
    receipt.touched.insert(path.clone());
    let look = hands.look(path);
    match look {
        Look::Is(disk) => {
            see(knowledge, path, disk, Some(question.into()), now_ms);
        }
        // What is kept is that no file is here: a person says so now.
        Look::Barred if choice == Choice::Keep && shown == version_of(knowledge, path) => {
            see(knowledge, path, Content::Absent, None, now_ms);
            shown = version_of(knowledge, path);
        }
        Look::Barred | Look::NotKnown(_) => {}
    }
    let here = version_of(knowledge, path);
    let is_settled_meanwhile = here.is_some_and(|here| here.content == question.version.content);
    // What comes where nothing is any more takes nothing from anybody.
    let is_free = choice == Choice::Take && look == Look::Is(Content::Absent);
    if here != shown && !is_settled_meanwhile && !is_free {
        return Answered::ChangedMeanwhile;
    }
    if choice == Choice::Take && !is_settled_meanwhile {
        let arrived = question.version.content;
        let disk = match look {
            Look::Is(disk) => disk,
            Look::Barred if arrived == Content::Absent => Content::Absent,
            look => return unseen(look),
        };
        make_way(knowledge, hands, path, disk, arrived, now_ms, receipt);
        let from = Source { package: question.package, member: question.member };
        if arrived != disk
            && let Err(answered) = put(hands, path, &question.version, from, disk, receipt)
        {
            if answered == Answered::Gone {
                ask_again(knowledge, question);
            }
            return answered;
        }
    }
    choose(knowledge, path, question.into(), choice, now_ms);
    withdraw(knowledge, question);
    judge_questions(knowledge, hands, path, deletions, now_ms, receipt);
    Answered::Done
}

/// Carries out a merge that a person asked for: `merged`, which lies in `from`, takes the place of
/// what is here, as a new version that descends from both. The answer's choice does not count.
pub fn merge(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    answer: &Answer,
    merged: Content,
    from: Source,
    receipt: &mut Receipt,
) -> Answered {
    let Answer { question, shown, deletions, now_ms, .. } = *answer;
    let path = &question.path;
    receipt.touched.insert(path.clone());
    let disk = match hands.look(path) {
        Look::Is(disk) => disk,
        look => return unseen(look),
    };
    see(knowledge, path, disk, Some(question.into()), now_ms);
    if version_of(knowledge, path) != shown {
        return Answered::ChangedMeanwhile;
    }
    let version = Version { generation: question.version.generation, content: merged };
    if let Err(answered) = put(hands, path, &version, from, disk, receipt) {
        return answered;
    }
    settle::merge(knowledge, path, question.into(), merged, now_ms);
    withdraw(knowledge, question);
    judge_questions(knowledge, hands, path, deletions, now_ms, receipt);
    Answered::Done
}

/// Why nothing can be put where this is.
pub(super) fn unseen(look: Look) -> Answered {
    match look {
        Look::Barred | Look::NotKnown(Place::Blocked) => Answered::InTheWay,
        Look::Is(_) | Look::NotKnown(_) => Answered::Failed("it cannot be read".into()),
    }
}

fn version_of(knowledge: &Knowledge, path: &TreePath) -> Option<Version> {
    knowledge.rows.get(path).map(|row| row.version)
}

/// Puts a version where a person wants it, and counts it; where that cannot be done, what becomes of
/// the answer.
pub(super) fn put(
    hands: &mut dyn Hands,
    path: &TreePath,
    version: &Version,
    from: Source,
    expected: Content,
    receipt: &mut Receipt,
) -> Result<(), Answered> {
    match hands.put(path, version, from, expected) {
        Put::Done => {
            receipt.count(expected, version.content);
            Ok(())
        }
        Put::Changed => Err(Answered::ChangedMeanwhile),
        Put::InTheWay => Err(Answered::InTheWay),
        Put::Gone => Err(Answered::Gone),
        Put::Failed(why) => Err(Answered::Failed(why)),
    }
}

/// Judges one row of a package and does what is settled.
fn arrive(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    visit: &Visit,
    order: &OrderRow,
    receipt: &mut Receipt,
) {
    let arrived = Lineage::new(&order.version, &order.history);
    let member = match order.act {
        Act::Update { member, .. } => Some(member),
        Act::Remove { .. } => None,
        Act::Tell => return tell(knowledge, hands, visit, order, receipt),
    };
    if is_forgotten(knowledge, visit.route.from, visit.orders.serial, &order.path) {
        receipt.redundant += 1;
        return;
    }
    let from = Source { package: visit.package, member };
    let outcome = weigh(knowledge, hands, &order.path, arrived, from, visit, receipt);
    after(knowledge, hands, visit, order, from, outcome, receipt);
}

/// A row without contents: the same version and older ones are joined, a deletion is judged as one
/// (it needs no contents), news will be asked for.
fn tell(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    visit: &Visit,
    order: &OrderRow,
    receipt: &mut Receipt,
) {
    let arrived = Lineage::new(&order.version, &order.history);
    if order.version.content == Content::Absent
        && !is_forgotten(knowledge, visit.route.from, visit.orders.serial, &order.path)
    {
        let from = Source { package: visit.package, member: None };
        let outcome = weigh(knowledge, hands, &order.path, arrived, from, visit, receipt);
        return after(knowledge, hands, visit, order, from, outcome, receipt);
    }
    // Its contents may have come before, and wait with a question; a row may never have been here.
    let row = knowledge.rows.get(&order.path).map(Lineage::of);
    let verdict = row.map(|row| decide(Some(row), arrived));
    let mut is_news = hear(knowledge, &order.path, arrived);
    if let Some(Verdict::Redundant | Verdict::Stale) = verdict {
        is_news |= settle(knowledge, &order.path, arrived, Settled::Stays, visit.now_ms);
    }
    if is_news {
        judge_questions(knowledge, hands, &order.path, visit.deletions, visit.now_ms, receipt);
    }
}

/// What weighing one arrival ended in.
enum Outcome {
    Settled,
    Ask(Why),
    Failed(String),
}

/// Decides one arrival against the disk and the row, and carries it out if it is settled.
fn weigh(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    arrived: Lineage,
    from: Source,
    visit: &Visit,
    receipt: &mut Receipt,
) -> Outcome {
    for _ in 0..TRIES_MAX {
        // What the row says is enough for what changes nothing: no file is read for it.
        let row = knowledge.rows.get(path).map(Lineage::of);
        let by_row = judge(row, arrived, Place::Inside, Deletions::Apply);
        if let Verdict::Redundant | Verdict::Stale = by_row {
            receipt.redundant += 1;
            settle(knowledge, path, arrived, Settled::Stays, visit.now_ms);
            return Outcome::Settled;
        }
        let spot = spot_of(hands, path);
        see_spot(knowledge, path, spot, Some(arrived), visit.now_ms);
        let row = knowledge.rows.get(path).map(Lineage::of);
        let (place, deletions) = spot.as_it_counts(&arrived, visit.deletions);
        match judge(row, arrived, place, deletions) {
            Verdict::Redundant | Verdict::Stale => {
                receipt.redundant += 1;
                settle(knowledge, path, arrived, Settled::Stays, visit.now_ms);
                return Outcome::Settled;
            }
            Verdict::Ask(why) => return Outcome::Ask(why),
            Verdict::Create | Verdict::Replace => {
                let there = spot.disk.unwrap_or(Content::Absent);
                let content = arrived.version.content;
                make_way(knowledge, hands, path, there, content, visit.now_ms, receipt);
                match change(hands, path, arrived.version, from, there) {
                    Put::Done => {
                        receipt.count(there, arrived.version.content);
                        settle(knowledge, path, arrived, Settled::Arrived, visit.now_ms);
                        return Outcome::Settled;
                    }
                    Put::Changed => continue,
                    Put::InTheWay => return Outcome::Ask(Why::InTheWay),
                    Put::Gone => return Outcome::Failed("its package is gone".into()),
                    Put::Failed(why) => return Outcome::Failed(why),
                }
            }
        }
    }
    Outcome::Ask(Why::Unreadable)
}

/// Lists what was not settled, and judges the open questions on the path anew.
fn after(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    visit: &Visit,
    order: &OrderRow,
    from: Source,
    outcome: Outcome,
    receipt: &mut Receipt,
) {
    receipt.touched.insert(order.path.clone());
    match outcome {
        Outcome::Settled => {}
        Outcome::Failed(why) => receipt.failed.push((order.path.clone(), why)),
        Outcome::Ask(why) => {
            join_what_is_here(knowledge, &order.path, visit.now_ms);
            let question = Question {
                path: order.path.clone(),
                version: order.version,
                history: order.history.clone(),
                remote: visit.route.from,
                package: from.package,
                member: from.member,
                why,
                at_ms: visit.now_ms,
            };
            if ask(knowledge, question) {
                receipt.questions.push((order.path.clone(), why));
            }
        }
    }
    judge_questions(knowledge, hands, &order.path, visit.deletions, visit.now_ms, receipt);
}

/// Joins the open question that is about what is here: another may be about to take its place.
fn join_what_is_here(knowledge: &mut Knowledge, path: &TreePath, now_ms: u64) {
    let here = version_of(knowledge, path).map(|version| version.content);
    let is_here = |open: &Question| Some(open.version.content) == here;
    if let Some(question) = knowledge.questions.take(path, is_here) {
        settle(knowledge, path, (&question).into(), Settled::Stays, now_ms);
    }
}

/// Judges the open questions on one path anew; what the table has come to answer is carried out
/// and withdrawn.
fn judge_questions(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    deletions: Deletions,
    now_ms: u64,
    receipt: &mut Receipt,
) {
    if knowledge.questions.on(path).next().is_none() {
        return;
    }
    receipt.touched.insert(path.clone());
    let spot = spot_of(hands, path);
    see_spot(knowledge, path, spot, None, now_ms);
    let as_it_counts = |arrived: &Lineage| spot.as_it_counts(arrived, deletions);
    let mut judged = judge_anew(knowledge, path, &as_it_counts);
    // What is here already is joined before it gives way: what it descends from goes along.
    judged.sort_by_key(|(_, verdict)| !matches!(verdict, Verdict::Redundant | Verdict::Stale));
    for (question, verdict) in judged {
        let settled = match verdict {
            Verdict::Redundant | Verdict::Stale => Settled::Stays,
            Verdict::Ask(why) => {
                knowledge.questions.retain_on(path, |open| {
                    if *open == question {
                        open.why = why;
                    }
                    true
                });
                continue;
            }
            Verdict::Create | Verdict::Replace => {
                let from = Source { package: question.package, member: question.member };
                let there = spot.disk.unwrap_or(Content::Absent);
                let content = question.version.content;
                make_way(knowledge, hands, path, there, content, now_ms, receipt);
                match change(hands, path, &question.version, from, there) {
                    Put::Done => {}
                    Put::Gone => {
                        ask_again(knowledge, &question);
                        continue;
                    }
                    // What the others were judged by is there no more: the next run judges them.
                    Put::Changed => return,
                    Put::InTheWay | Put::Failed(_) => continue,
                }
                receipt.count(there, question.version.content);
                Settled::Arrived
            }
        };
        settle(knowledge, path, (&question).into(), settled, now_ms);
        withdraw(knowledge, &question);
        return judge_questions(knowledge, hands, path, deletions, now_ms, receipt);
    }
}

/// Where a path lies, and what is there.
#[derive(Clone, Copy)]
struct Spot {
    /// Where it cannot be looked at, that is where it lies.
    place: Place,
    /// What is there, where that could be told.
    disk: Option<Content>,
    /// Whether no file can be there, for something else is.
    is_barred: bool,
}

fn spot_of(hands: &mut dyn Hands, path: &TreePath) -> Spot {
    let place = hands.place_of(path);
    let (unseen, disk, is_barred) = match hands.look(path) {
        Look::Is(content) => (Place::Inside, Some(content), false),
        Look::Barred => (Place::Blocked, None, true),
        Look::NotKnown(unseen) => (unseen, None, false),
    };
    Spot { place: if place == Place::Inside { unseen } else { place }, disk, is_barred }
}

/// Enters what is on the disk where it can be seen. It may be what arrives, where that is newer than
/// the row or than what an open question is about, or that itself: a processing that was killed may
/// have put it there, or a person. Else it is a version of a person here: who wrote older contents
/// again wants them.
fn see_spot(
    knowledge: &mut Knowledge,
    path: &TreePath,
    spot: Spot,
    arriving: Option<Lineage>,
    now_ms: u64,
) {
    let Some(disk) = spot.seen() else { return };
    let is_it = |it: &Lineage| it.version.content == disk && is_over(knowledge, path, it);
    match arriving.filter(is_it) {
        Some(arriving) => see(knowledge, path, disk, Some(arriving), now_ms),
        None => observe(knowledge, path, disk, now_ms),
    };
}

/// Whether what arrives is newer than the row, or than what an open question is about.
fn is_over(knowledge: &Knowledge, path: &TreePath, arriving: &Lineage) -> bool {
    let has = |version| arriving.history.has(version);
    knowledge.rows.get(path).is_none_or(|row| has(&row.version))
        || knowledge.questions.on(path).any(|open| has(&open.version))
}

/// Enters what is on the disk if it is what `arrived`, and newer than what is known; whether the row
/// changed, and `None` where it cannot be looked at now.
pub(super) fn look_for(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    arrived: Lineage,
    now_ms: u64,
) -> Option<bool> {
    let spot = spot_of(hands, path);
    if spot.disk.is_none() && !spot.is_barred {
        return None;
    }
    let content = arrived.version.content;
    let is_it = spot.seen() == Some(content) && is_over(knowledge, path, &arrived);
    Some(is_it && see(knowledge, path, content, Some(arrived), now_ms))
}

impl Spot {
    /// What is there, where this site looks.
    fn seen(&self) -> Option<Content> {
        self.disk.filter(|_| matches!(self.place, Place::Inside | Place::Sensitive))
    }

    /// Returns the place and the policy as they count for what arrives: nothing is done where nothing
    /// is, and what is no file is not deleted.
    fn as_it_counts(&self, arrived: &Lineage, deletions: Deletions) -> (Place, Deletions) {
        let is_nothing = arrived.version.content == Content::Absent;
        if is_nothing && self.is_barred {
            (Place::Inside, Deletions::Apply)
        } else if is_nothing && self.disk == Some(Content::Absent) {
            (Place::Inside, deletions)
        } else {
            (self.place, deletions)
        }
    }
}

/// Before a file comes where none is: what had its folder's name, or lay below its own, is gone, for
/// sure, and could not be looked for afterwards.
fn make_way(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    there: Content,
    arrived: Content,
    now_ms: u64,
    receipt: &mut Receipt,
) {
    if arrived != Content::Absent {
        let is_live = |row: &Row| row.version.content != Content::Absent;
        let see_gone = |knowledge: &mut Knowledge, other: &TreePath| {
            see(knowledge, other, Content::Absent, None, now_ms);
        };
        clear_way(knowledge, hands, path, there, &is_live, &see_gone, receipt);
    }
}

/// Enters by `see_gone`, where nothing is `there`, what has to make way for a file at `path` and is
/// gone, of the rows that are live.
pub(super) fn clear_way(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    path: &TreePath,
    there: Content,
    is_live: &dyn Fn(&Row) -> bool,
    see_gone: &dyn Fn(&mut Knowledge, &TreePath),
    receipt: &mut Receipt,
) {
    if there != Content::Absent {
        return;
    }
    for other in in_its_way(knowledge, path, is_live) {
        let is_inside = matches!(hands.place_of(&other), Place::Inside | Place::Sensitive);
        if is_inside && hands.look(&other) == Look::Is(Content::Absent) {
            see_gone(knowledge, &other);
            receipt.touched.insert(other);
        }
    }
}

/// Returns the files that cannot be beside one at `path`, as the rows have them.
fn in_its_way(
    knowledge: &Knowledge,
    path: &TreePath,
    is_live: &dyn Fn(&Row) -> bool,
) -> Vec<TreePath> {
    let above = path.folders().filter(|folder| knowledge.rows.get(folder).is_some_and(is_live));
    // The least path below it.
    let first = TreePath::new(&[path.as_bytes(), b"/\x01"].concat());
    let below = first.ok().map(|first| knowledge.rows.range(first..));
    let below = below.into_iter().flatten().take_while(|(other, _)| other.is_below(path));
    above.chain(below.filter(|(_, row)| is_live(row)).map(|(other, _)| other.clone())).collect()
}

/// Changes the tree, unless it is so already (a tombstone where nothing is).
fn change(
    hands: &mut dyn Hands,
    path: &TreePath,
    version: &Version,
    from: Source,
    there: Content,
) -> Put {
    if version.content == there {
        return Put::Done;
    }
    hands.put(path, version, from, there)
}
