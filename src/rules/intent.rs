//! What a run means to put in place, written down before it does: whoever is killed between
//! the files and the beliefs leaves a tree of which nobody knows how it came about.
//!
//! What runs next need not be that processing. A `broadcast` would take what lies there for what
//! somebody wrote here, and send it with a name of its own and without its past: a version that no
//! person made, and that others would weigh as one. So the intent is looked at before all else.

use std::collections::BTreeSet;

use crate::model::TreePath;
use crate::model::knowledge::{Intent, Knowledge, Question};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::verdict::{Deletions, Place, Verdict};
use crate::model::version::Content;

use super::decide::{Lineage, create, judge};
use super::learn::{Route, is_forgotten};
use super::visit::{Hands, look_for};

/// Returns the versions that a visit of `orders` may put in place, as far as the rows tell: all but
/// those that are here or older. Not all are: some will be asked about.
pub fn intended(knowledge: &Knowledge, orders: &Orders, route: &Route) -> Intent {
    let may_come = |order: &&OrderRow| {
        let is_deletion = order.version.content == Content::Absent;
        let is_told = order.act == Act::Tell && !is_deletion;
        let is_old = is_forgotten(knowledge, route.from, orders.serial, &order.path);
        !is_told && !is_old && is_news(knowledge, &order.path, of(order))
    };
    let rows = orders.rows.iter().filter(may_come);
    rows.map(|order| (order.path.clone(), create(of(order), 0, 0, 0))).collect()
}

/// Returns the versions that answers are about to put in place: what a person takes descends from
/// what is here.
pub fn chosen<'q>(knowledge: &Knowledge, questions: impl Iterator<Item = &'q Question>) -> Intent {
    let taken = |question: &Question| {
        let mut row = create(question.into(), 0, 0, 0);
        let here = knowledge.rows.get(&question.path).map(|row| row.version.ancestor());
        here.into_iter().for_each(|here| row.history.insert(here));
        (question.path.clone(), row)
    };
    questions.map(taken).collect()
}

/// Enters what of `intent` is in place, as the version that it is; returns the files whose rows
/// changed by that, and leaves in `intent` those that could not be looked at.
///
/// Where something else is there, the processing did not come so far, or somebody changed the file
/// since: that is for the next scan. What lies there may be a person's, too, who wrote just what
/// was about to come: then it is the same version, as it would be in a visit.
pub fn recognise(
    knowledge: &mut Knowledge,
    hands: &mut dyn Hands,
    intent: &mut Intent,
    now_ms: u64,
) -> BTreeSet<TreePath> {
    let mut touched = BTreeSet::new();
    intent.retain(|path, row| {
        let arrived = Lineage::of(row);
        if !is_news(knowledge, path, arrived) {
            return false;
        }
        let Some(change) = look_for(knowledge, hands, path, arrived, now_ms) else { return true };
        touched.extend(change.then(|| path.clone()));
        false
    });
    touched
}

fn of(order: &OrderRow) -> Lineage<'_> {
    Lineage::new(&order.version, &order.history)
}

/// Whether what arrives is neither here nor older than what is.
fn is_news(knowledge: &Knowledge, path: &TreePath, arrived: Lineage) -> bool {
    let row = knowledge.rows.get(path).map(Lineage::of);
    let verdict = judge(row, arrived, Place::Inside, Deletions::Apply);
    !matches!(verdict, Verdict::Redundant | Verdict::Stale)
}
