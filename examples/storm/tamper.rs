//! How each mutant breaks its rule, from outside.

use std::collections::BTreeMap;

use remsync::model::knowledge::{Knowledge, Row, Sent, Word};
use remsync::model::orders::{Act, OrderRow, Orders};
use remsync::model::verdict::{Deletions, Place, Verdict};
use remsync::model::version::{Ancestor, Content};
use remsync::model::{History, Signature, TreePath, Version};
use remsync::rules::decide::{Lineage, decide};
use remsync::rules::learn::{Route, take_in};
use remsync::rules::plan::{Outgoing, With};
use remsync::rules::visit::{Receipt, Visit};

use super::mutant::Mutant;
use super::world::DAY_MS;

/// Before a broadcast is planned.
pub fn before_plan(mutant: Option<Mutant>, knowledge: &mut Knowledge, now_ms: u64) {
    if mutant == Some(Mutant::BackwardsUnseen) {
        for correspondence in &mut knowledge.remotes {
            correspondence.wants_all = false;
            correspondence.seen = correspondence.seen.max(correspondence.last);
        }
    }
    if mutant == Some(Mutant::HearsayStops) {
        let cells = knowledge.rows.values_mut().flat_map(|row| &mut row.cells);
        cells.filter_map(|cell| cell.heard.as_mut()).for_each(|heard: &mut Sent| {
            heard.at_ms = now_ms;
        });
    }
}

/// Once a package is planned.
pub fn after_plan(
    mutant: Option<Mutant>,
    mut outgoing: Outgoing,
    knowledge: &Knowledge,
    now_ms: u64,
) -> Outgoing {
    if mutant == Some(Mutant::SerialAgain) {
        outgoing.serial = now_ms.max(knowledge.clock + 1);
    }
    outgoing
}

/// Once orders are written.
pub fn after_orders(mutant: Option<Mutant>, orders: &mut Orders) {
    match mutant {
        Some(Mutant::WantsUnheard) => {
            orders.wants.clear();
            orders.want_all = false;
        }
        Some(Mutant::TombstonesUntold) => {
            orders.rows.retain(|row| row.version.content != Content::Absent);
        }
        _ => {}
    }
}

/// Returns what a scan sees where this is.
pub fn scanned(mutant: Option<Mutant>, here: Content, row: Content) -> Content {
    match (mutant, here) {
        (Some(Mutant::EditsUnseen), _) => row,
        (Some(Mutant::BitUnseen), Content::File(Signature::Sha256 { digest, .. })) => {
            Content::File(Signature::Sha256 { digest, executable: false })
        }
        _ => here,
    }
}

/// Returns what deletions do here.
pub fn policy(mutant: Option<Mutant>, deletions: Deletions) -> Deletions {
    if mutant == Some(Mutant::DeletionsUnasked) { Deletions::Apply } else { deletions }
}

/// Returns where a path lies.
pub fn place(mutant: Option<Mutant>, place: Place) -> Place {
    if mutant == Some(Mutant::SensitiveUnasked) { Place::Inside } else { place }
}

/// Before a carrier is asked.
pub fn before_sending(mutant: Option<Mutant>, knowledge: &mut Knowledge, outgoing: &Outgoing) {
    if mutant != Some(Mutant::BeliefsEarly) {
        return;
    }
    for listed in outgoing.rows.iter().filter(|row| row.with == With::Contents) {
        if let Some(row) = knowledge.rows.get_mut(&listed.path) {
            let serial = row.cells[outgoing.remote].word.as_ref().map_or(1, |word| word.serial);
            let word = Word { version: row.version, history: History::new(), serial };
            row.cells[outgoing.remote].word = Some(word);
        }
    }
}

/// Tombstones go long before they may.
pub fn forget_early(mutant: Option<Mutant>, knowledge: &mut Knowledge, now_ms: u64) {
    if mutant == Some(Mutant::TombstonesEarly) {
        knowledge.rows.retain(|_, row| {
            row.version.content != Content::Absent || now_ms < row.deleted_ms + DAY_MS
        });
    }
}

/// What arrives, as the mutant reads it.
pub fn before_visit(
    mutant: Option<Mutant>,
    knowledge: &mut Knowledge,
    orders: &mut Orders,
    route: &Route,
) {
    match mutant {
        Some(Mutant::Ties) => insert_lineage(knowledge, orders, |v| matches!(v, Verdict::Ask(_))),
        Some(Mutant::StaleReplaces) => insert_lineage(knowledge, orders, |v| v == Verdict::Stale),
        Some(Mutant::OlderSerial) => {
            knowledge.remotes[route.from].heard = 0;
            let cells = knowledge.rows.values_mut().map(|row| &mut row.cells[route.from]);
            cells.filter_map(|cell| cell.word.as_mut()).for_each(|word| word.serial = 0);
        }
        Some(Mutant::UnlistedIsGone) => unlisted_is_gone(knowledge, orders, route),
        Some(Mutant::LateDropped) if orders.serial < knowledge.remotes[route.from].heard => {
            orders.rows.clear();
        }
        _ => {}
    }
}

/// Names what is here among the ancestors of what arrives, so that it gives way.
fn insert_lineage(knowledge: &Knowledge, orders: &mut Orders, fits: impl Fn(Verdict) -> bool) {
    for order in &mut orders.rows {
        let Some(row) = knowledge.rows.get(&order.path) else { continue };
        let arrived = Lineage::new(&order.version, &order.history);
        if fits(decide(Some(Lineage::of(row)), arrived)) {
            order.history.insert(row.version.ancestor());
            order.history.join(&row.history);
            order.history.remove(&order.version.ancestor());
            order.history.insert(Ancestor { generation: 0, prefix: None });
        }
    }
}

fn unlisted_is_gone(knowledge: &Knowledge, orders: &mut Orders, route: &Route) {
    for (path, row) in &knowledge.rows {
        let is_listed = orders.rows.iter().any(|order| order.path == *path);
        if is_listed || row.cells[route.from].word.is_none() {
            continue;
        }
        let mut history = row.history.clone();
        history.insert(row.version.ancestor());
        let version = Version { generation: row.version.generation + 1, content: Content::Absent };
        let expected = row.version.content.into();
        let act = Act::Remove { expected };
        orders.rows.push(OrderRow { path: path.clone(), version, history, columns: vec![], act });
    }
    orders.rows.sort_by(|a, b| a.path.cmp(&b.path));
}

/// After a package was processed.
pub fn after_visit(
    mutant: Option<Mutant>,
    knowledge: &mut Knowledge,
    visit: &Visit,
    receipt: &mut Receipt,
) {
    match mutant {
        Some(Mutant::GapsIgnored) => {
            let correspondence = &mut knowledge.remotes[visit.route.from];
            correspondence.gaps.clear();
            correspondence.taken = correspondence.taken.max(visit.orders.serial);
        }
        Some(Mutant::FailedSeen) if !receipt.failed.is_empty() => {
            receipt.failed.clear();
            take_in(knowledge, visit.orders, visit.route, visit.now_ms);
        }
        Some(Mutant::AnswersNever) => knowledge.remotes[visit.route.from].owes = false,
        Some(Mutant::AnswersAlways) => knowledge.remotes[visit.route.from].owes = true,
        Some(Mutant::HearsayIsWord) => hearsay_is_word(knowledge, visit),
        Some(Mutant::LearntUnanswered) => learn_unanswered(knowledge, visit, receipt),
        _ => {}
    }
}

/// Those who were sent the same have it, by the originator's word.
fn hearsay_is_word(knowledge: &mut Knowledge, visit: &Visit) {
    let updates = visit.orders.rows.iter().filter(|row| matches!(row.act, Act::Update { .. }));
    for order in updates {
        let Some(row) = knowledge.rows.get_mut(&order.path) else { continue };
        for remote in visit.route.copy.iter().flatten() {
            let (version, history) = (order.version, order.history.clone());
            let serial = row.cells[*remote].word.as_ref().map_or(1, |word| word.serial);
            row.cells[*remote].word = Some(Word { version, history, serial });
        }
    }
}

/// What is asked about counts as chosen against.
fn learn_unanswered(knowledge: &mut Knowledge, visit: &Visit, receipt: &Receipt) {
    let stamp = knowledge.stamp();
    for (path, _) in &receipt.questions {
        let order = visit.orders.rows.iter().find(|row| row.path == *path);
        if let (Some(row), Some(order)) = (knowledge.rows.get_mut(path), order) {
            row.history.insert(order.version.ancestor());
            row.history.join(&order.history);
            row.history.remove(&row.version.ancestor());
            row.changed = stamp;
        }
    }
}

/// Word came that package `serial` was returned, and the rules took it back.
pub fn after_return(mutant: Option<Mutant>, knowledge: &mut Knowledge, remote: usize, serial: u64) {
    match mutant {
        Some(Mutant::ReturnedIsSeen) => {
            let correspondence = &mut knowledge.remotes[remote];
            correspondence.seen = correspondence.seen.max(serial);
        }
        Some(Mutant::ReturnedRewinds) => {
            knowledge.clock = knowledge.clock.min(serial - 1);
            let correspondence = &mut knowledge.remotes[remote];
            correspondence.last = correspondence.last.min(serial - 1);
            correspondence.issued.retain(|issued| *issued < serial);
        }
        _ => {}
    }
}

/// Word came that package `serial` was delivered, which says nothing to the rules.
pub fn after_delivery(
    mutant: Option<Mutant>,
    knowledge: &mut Knowledge,
    remote: usize,
    serial: u64,
) {
    if mutant != Some(Mutant::DeliveredIsWord) {
        return;
    }
    for row in knowledge.rows.values_mut() {
        let version = row.version;
        let cell = &mut row.cells[remote];
        if cell.sent.is_some_and(|s| s.serial == serial && s.version == version.ancestor()) {
            let serial = cell.word.as_ref().map_or(1, |word| word.serial);
            cell.word = Some(Word { version, history: History::new(), serial });
        }
    }
}

/// Returns what [`after_answer`] brings back.
pub fn before_answer(
    mutant: Option<Mutant>,
    knowledge: &Knowledge,
    path: &TreePath,
) -> Option<Row> {
    knowledge.rows.get(path).filter(|_| mutant == Some(Mutant::ChoicesForgotten)).cloned()
}

/// A choice leaves no trace in the history.
pub fn after_answer(
    _mutant: Option<Mutant>,
    knowledge: &mut Knowledge,
    path: &TreePath,
    before: Option<Row>,
) {
    if let (Some(row), Some(before)) = (knowledge.rows.get_mut(path), before) {
        row.history = before.history;
    }
}

/// Returns what [`bring_back`] brings back.
pub fn before_rules(mutant: Option<Mutant>, knowledge: &Knowledge) -> BTreeMap<TreePath, Row> {
    match mutant {
        Some(Mutant::ChoicesUntold | Mutant::HearsayStops | Mutant::NoResend) => {
            knowledge.rows.clone()
        }
        _ => BTreeMap::new(),
    }
}

/// A row whose history alone changed is not listed; what was heard or sent is not taken back.
pub fn bring_back(
    mutant: Option<Mutant>,
    knowledge: &mut Knowledge,
    before: BTreeMap<TreePath, Row>,
) {
    for (path, before) in before {
        let Some(row) = knowledge.rows.get_mut(&path) else { continue };
        if mutant == Some(Mutant::ChoicesUntold) && row.version == before.version {
            row.changed = before.changed;
        }
        for (cell, before) in row.cells.iter_mut().zip(before.cells) {
            match mutant {
                Some(Mutant::HearsayStops) => cell.heard = cell.heard.or(before.heard),
                Some(Mutant::NoResend) => cell.sent = cell.sent.or(before.sent),
                _ => {}
            }
        }
    }
}

/// Takes the generations, or all but the newest ancestors, out of all that a site knows.
pub fn after_rules(mutant: Option<Mutant>, knowledge: &mut Knowledge) {
    if mutant == Some(Mutant::HistoryShort) {
        for row in knowledge.rows.values_mut() {
            row.history =
                row.history.iter().max_by_key(|it| it.generation).copied().into_iter().collect();
        }
    }
    if mutant != Some(Mutant::Generations) {
        return;
    }
    for row in knowledge.rows.values_mut() {
        flatten(&mut row.version, &mut row.history);
        for word in row.cells.iter_mut().filter_map(|cell| cell.word.as_mut()) {
            flatten(&mut word.version, &mut word.history);
        }
    }
    for question in &mut knowledge.questions {
        flatten(&mut question.version, &mut question.history);
    }
}

fn flatten(version: &mut Version, history: &mut History) {
    version.generation = version.generation.min(1);
    let all = history.iter().map(|a| Ancestor { generation: a.generation.min(1), ..*a });
    *history = all.collect();
    history.remove(&version.ancestor());
}
