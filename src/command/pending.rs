//! `pending`: what waits for a person.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::edge::queue::{Entry, EntryState};
use crate::edge::state::State;
use crate::format::digest::hex;
use crate::model::knowledge::Question;
use crate::model::project::Project;

use super::ground::Ground;
use super::identity;
use super::misnamed;
use super::outbox::{self, Waiting};
use super::outcome::{Failure, Outcome, answer, answer_json};
use super::session::Session;
use super::sides::{Arrivals, Desk, Sides};
use super::words::{describe_question, describe_side, local_time, sides_json};

/// Packages longer than this are not opened to say more of what waits in them: a listing has to
/// be quick.
const OPENED_BYTES_MAX: u64 = 32 << 20;

/// Lists what waits for a person: questions, entries of the queue that no project took, and what
/// the outbox holds or was refused.
///
/// # Errors
/// The project or the queue cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let queue = session.queue()?;
    let project = match session.project_directory_if_any()? {
        Some(directory) => Some((State::read(&directory)?, directory)),
        None => None,
    };
    let questions = match &project {
        Some((project, directory)) => {
            let questions = &project.knowledge.questions;
            let ground = Ground::open(session, directory, &project.identity)?;
            let arrivals = Arrivals::read(&queue, questions, OPENED_BYTES_MAX);
            let desk = Desk::new(&ground, &project.knowledge, &arrivals)?;
            questions.iter().map(|question| (project, question, desk.sides(question))).collect()
        }
        None => Vec::new(),
    };
    let differences = match &project {
        Some((project, directory)) => {
            let mut found = misnamed::questions(session, &queue, directory, &project.identity)?;
            found.extend(identity::open_differences(directory, &project.identity)?);
            found
        }
        None => Vec::new(),
    };
    let asked: BTreeSet<[u8; 32]> = questions.iter().map(|(_, q, _)| q.package).collect();
    let entries = queue.list()?;
    let is_held =
        |entry: &&Entry| entry.state == EntryState::Held && !asked.contains(&entry.sha256);
    let held: Vec<&Entry> = entries.iter().filter(is_held).collect();
    let unsent = outbox::for_a_person(session)?;
    if session.options.json {
        let documents = questions
            .iter()
            .map(|(project, question, sides)| question_document(project, question, sides));
        answer_json(&json!({
            "questions": documents.collect::<Vec<_>>(),
            "identity": differences.iter().map(identity::document).collect::<Vec<_>>(),
            "entries": held.iter().map(|entry| entry_document(entry)).collect::<Vec<_>>(),
            "outbox": unsent.iter().map(Waiting::json).collect::<Vec<_>>(),
        }));
    } else {
        for (project, question, sides) in &questions {
            answer(describe(project, question, sides));
        }
        let points = differences.iter().map(identity::describe_with_answers);
        points.for_each(answer);
        held.iter().for_each(|entry| answer(describe_entry(entry)));
        unsent.iter().for_each(|waiting| answer(format_args!("outbox {}", waiting.line())));
        let is_none =
            questions.is_empty() && differences.is_empty() && held.is_empty() && unsent.is_empty();
        if is_none && !session.options.quiet {
            answer("nothing waits for you");
        }
    }
    let waits =
        !questions.is_empty() || !differences.is_empty() || !held.is_empty() || !unsent.is_empty();
    Ok(if waits { Outcome::Waits } else { Outcome::Done })
}

/// Returns a question in three lines: what and who, and the two sides.
fn describe(project: &Project, question: &Question, sides: &Sides) -> String {
    let lines = sides.counts().map_or_else(String::new, |counts| {
        format!(", lines +{} -{}", counts.added, counts.removed)
    });
    let package: String = hex(&question.package).chars().take(12).collect();
    format!(
        "{}\n  here:  {}\n  there: {}{lines}, package {package}",
        describe_question(project, question),
        describe_side(&sides.ours),
        describe_side(&sides.theirs),
    )
}

fn describe_entry(entry: &Entry) -> String {
    format!(
        "package {}: {} (\"{}\" from {}, received {})",
        entry.id,
        entry.reason,
        entry.title,
        entry.origin,
        local_time(entry.received_ms)
    )
}

fn question_document(project: &Project, question: &Question, sides: &Sides) -> Value {
    let mut document = sides_json(project, question, sides);
    document["arrived"] = question.at_ms.into();
    document["version"] = question.version.to_string().into();
    document["package"] = hex(&question.package).into();
    document
}

fn entry_document(entry: &Entry) -> Value {
    json!({
        "id": entry.id, "origin": entry.origin, "title": entry.title,
        "visit": entry.visit, "reason": entry.reason, "received": entry.received_ms,
    })
}
