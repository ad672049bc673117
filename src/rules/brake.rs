//! The brakes: when so much would be deleted at once that a person has to say that it is meant.
//!
//! A disk that is not mounted and an `rm` in the wrong folder look like many deletions. Here is
//! only the counting; what then happens is in `visit`, and in the commands.

use crate::model::knowledge::{Knowledge, Why};
use crate::model::orders::Orders;
use crate::model::verdict::Verdict;
use crate::model::version::Content;

use super::decide::{Lineage, decide};

/// Deletions in one package that are never braked: an everyday tidying up.
pub const DELETIONS_FREE: usize = 9;
/// Files whose loss is never braked in the tree itself: one of two is an everyday deletion.
pub const GONE_FREE: usize = 2;

/// Whether a package would, unasked, delete more than half of the files here, and ten at least.
pub fn is_drastic(knowledge: &Knowledge, orders: &Orders) -> bool {
    let is_file = |content| matches!(content, Content::File(_));
    let would_go = orders.rows.iter().filter(|order| order.version.content == Content::Absent);
    let would_go = would_go.filter(|order| {
        let here = knowledge.rows.get(&order.path).filter(|row| is_file(row.version.content));
        let arrived = Lineage::new(&order.version, &order.history);
        here.is_some_and(|row| decide(Some(Lineage::of(row)), arrived) == Verdict::Replace)
    });
    let gone = would_go.count();
    if gone <= DELETIONS_FREE {
        return false;
    }
    let files = knowledge.rows.values().filter(|row| is_file(row.version.content)).count();
    gone * 2 > files
}

/// Whether so many files of the tree itself are gone that it may not be there at all.
pub fn is_tree_gone(gone: usize, files: usize) -> bool {
    files > GONE_FREE && gone * 2 > files
}

/// Returns why a deletion is a question that was one before for the reason `before`.
pub fn sticky(before: Why) -> Why {
    match before {
        Why::ManyDeletions => Why::ManyDeletions,
        _ => Why::Deletion,
    }
}
