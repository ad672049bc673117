//! What a run of `process` tells at its end: one line, or the JSON document.

use serde_json::{Value, json};

use crate::edge::queue::Entry;
use crate::model::knowledge::Question;
use crate::rules::visit::Receipt;

use super::super::outcome::{Outcome, answer, answer_json, counted};
use super::super::session::Session;
use super::super::words::question_json;

/// What a whole run did.
#[derive(Default)]
pub struct Tally {
    /// How it ended.
    pub outcome: Outcome,
    pub(super) entries: Vec<Value>,
    /// Mails of ours of which word came.
    pub(super) notices: Vec<Value>,
    pub(super) done: usize,
    pub(super) receipts: Receipt,
    pub(super) waiting: usize,
    pub(super) refused: usize,
}

impl Tally {
    /// Prints the answer: a line, or the JSON document.
    pub fn tell(&self, session: &Session) {
        if session.options.json {
            answer_json(&json!({ "entries": self.entries, "notices": self.notices }));
            return;
        }
        if session.options.quiet {
            return;
        }
        let Receipt { replaced, created, removed, redundant, .. } = &self.receipts;
        let mut parts = Vec::new();
        for (count, what) in [
            (*replaced, "replaced"),
            (*created, "created"),
            (*removed, "removed"),
            (*redundant, "there already"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if parts.is_empty() && self.done > 0 {
            parts.push("nothing to change".into());
        }
        if !self.notices.is_empty() {
            parts.push(counted(self.notices.len(), "notice", "notices"));
        }
        if self.refused > 0 {
            parts.push(format!("{} refused", counted(self.refused, "package", "packages")));
        }
        if self.waiting > 0 {
            parts.push(format!("{} for you (remsync pending)", wait(self.waiting)));
        }
        let would = if session.options.dry_run { "would be: " } else { "" };
        let packages = counted(self.done, "package", "packages");
        answer(match parts.as_slice() {
            [] => format!("{would}{packages}"),
            parts => format!("{would}{packages}: {}", parts.join(", ")),
        });
    }

    pub(super) fn add(&mut self, receipt: &Receipt) {
        self.receipts.replaced += receipt.replaced;
        self.receipts.created += receipt.created;
        self.receipts.removed += receipt.removed;
        self.receipts.redundant += receipt.redundant;
    }
}

fn wait(count: usize) -> String {
    if count == 1 { "1 waits".into() } else { format!("{count} wait") }
}
/// One entry of the JSON document: a package that was visited.
pub(super) fn visited_entry(entry: &Entry, receipt: &Receipt, questions: &[&Question]) -> Value {
    let is_done = receipt.failed.is_empty() && questions.is_empty();
    let failed = receipt.failed.iter();
    json!({
        "id": entry.id,
        "outcome": if is_done { "done" } else { "held" },
        "origin": entry.origin,
        "title": entry.title,
        "reason": "",
        "replaced": receipt.replaced,
        "created": receipt.created,
        "removed": receipt.removed,
        "redundant": receipt.redundant,
        "held": questions.len(),
        "questions": questions.iter().map(|question| question_json(question)).collect::<Vec<_>>(),
        "failed": failed
            .map(|(path, why)| json!({ "path": path.to_string(), "why": why }))
            .collect::<Vec<_>>(),
    })
}

/// One entry of the JSON document: a package that was not visited, and why.
pub(super) fn plain_entry(entry: &Entry, outcome: &str, reason: &str) -> Value {
    let mut document = visited_entry(entry, &Receipt::default(), &[]);
    document["outcome"] = outcome.into();
    document["reason"] = reason.into();
    document
}
