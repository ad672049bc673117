//! `resolve` and `pending`: what waits for a person, and the person's word.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::edge::queue::{EntryState, Queue};
use crate::edge::state::State;
use crate::model::TreePath;
use crate::model::knowledge::Question;
use crate::model::project::Format;
use crate::model::verdict::Choice;
use crate::model::version::Version;
use crate::rules::classic;
use crate::rules::visit::{self, Answered, Receipt};

use super::hands::DiskHands;
use super::outbox::{self, Waiting};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::process::{packages_asked_about, retire_settled};
use super::session::{OpenProject, Session};
use super::words::{describe_question, local_time};

/// Answers made durable at once.
const BATCH: usize = 256;

/// Answers every question on the files named.
///
/// # Errors
/// A file on which nothing is asked.
pub fn resolve(session: &Session, files: &[OsString], choice: &str) -> Result<Outcome, Failure> {
    let choice = if choice == "take" { Choice::Take } else { Choice::Keep };
    let queue = session.queue()?;
    let _lock = queue.lock()?;
    let mut open = OpenProject::open(&session.project_directory()?)?;
    let asked = packages_asked_about(&open);
    let mut outcome = Outcome::Done;
    let mut given = Vec::new();
    for file in files {
        let path = TreePath::new(file.as_bytes())
            .map_err(|fault| Failure::new(format!("{}: {fault}", file.display())))?;
        let knowledge = &open.project.knowledge;
        let shown = knowledge.rows.get(&path).map(|row| row.version);
        let before = given.len();
        let questions = knowledge.questions.iter().filter(|question| question.path == path);
        given.extend(questions.map(|question| Given { question: question.clone(), choice, shown }));
        if given.len() == before {
            tell(format_args!("remsync: {path}: nothing is asked about it."));
            outcome = outcome.and(Outcome::Failed);
        }
    }
    let before = open.project.knowledge.questions.len();
    if !session.options.dry_run {
        carry_out(session, &queue, &mut open, &given)?;
        retire_settled(&queue, &mut open, &asked)?;
        open.state.finish(&open.project)?;
    }
    let left = open.project.knowledge.questions.len();
    let settled = before - left;
    if session.options.json {
        answer_json(&json!({ "settled": settled, "left": left }));
    } else if !session.options.quiet {
        let settled = counted(settled, "question", "questions");
        let wait = if left == 1 { "waits" } else { "wait" };
        answer(format_args!("{settled} settled, {left} {wait} for you"));
    }
    Ok(outcome.and(if left > 0 { Outcome::Waits } else { Outcome::Done }))
}

/// A person's answer to one question.
pub struct Given {
    /// The question.
    pub question: Question,
    /// What was chosen.
    pub choice: Choice,
    /// The version of ours that the person was shown; `None` where there was no row.
    pub shown: Option<Version>,
}

/// Carries out answers, durably, and tells what kept one from being done. Many are made durable
/// together: one that is lost in a crash is asked again, and finds its file in place.
pub fn carry_out(
    session: &Session,
    queue: &Queue,
    open: &mut OpenProject,
    given: &[Given],
) -> Result<Receipt, Failure> {
    let answer = match open.project.identity.format {
        Format::V2_0 => visit::answer,
        Format::V1_3 => classic::answer,
    };
    let mut receipt = Receipt::default();
    for batch in given.chunks(BATCH) {
        let mut hands = DiskHands::new(&open.ground, queue)?;
        for Given { question, choice, shown } in batch {
            // The answer before may have settled this one too.
            if !open.project.knowledge.questions.contains(question) {
                continue;
            }
            let it = visit::Answer {
                question,
                choice: *choice,
                shown: *shown,
                deletions: session.deletions(),
                now_ms: session.now_ms,
            };
            match answer(&mut open.project.knowledge, &mut hands, &it, &mut receipt) {
                Answered::Done => {}
                Answered::ChangedMeanwhile => tell(format_args!(
                    "remsync: {}: it changed meanwhile; look again and answer again.",
                    question.path
                )),
                Answered::Failed(why) => tell(format_args!("remsync: {}: {why}.", question.path)),
            }
        }
        drop(hands);
        open.ground.root.sync_touched()?;
        open.state.commit(&open.project, &std::mem::take(&mut receipt.touched))?;
    }
    Ok(receipt)
}

/// Lists what waits for a person: questions, entries of the queue that no project took, and what
/// the outbox holds or was refused.
pub fn pending(session: &Session) -> Result<Outcome, Failure> {
    let project = match session.project_directory_if_any()? {
        Some(directory) => Some(State::read(&directory)?),
        None => None,
    };
    let questions = project.as_ref().map_or(&[][..], |p| &p.knowledge.questions);
    let entries = session.queue()?.list()?;
    let asked = |digest: &[u8; 32]| questions.iter().any(|q| q.package == *digest);
    let held: Vec<_> = entries
        .iter()
        .filter(|entry| entry.state == EntryState::Held && !asked(&entry.sha256))
        .collect();
    let unsent = outbox::for_a_person(session)?;
    if session.options.json {
        let questions = questions.iter().map(|question| {
            json!({
                "path": question.path.to_string(),
                "why": question.why.name(),
                "from": project.as_ref().and_then(|p| p.identity.remotes.get(question.remote))
                    .map(|site| site.address.as_str()),
                "arrived": question.at_ms,
                "version": question.version.to_string(),
                "package": crate::format::digest::hex(&question.package),
            })
        });
        let entries = held.iter().map(|entry| {
            json!({
                "id": entry.id, "origin": entry.origin, "title": entry.title,
                "visit": entry.visit, "reason": entry.reason, "received": entry.received_ms,
            })
        });
        answer_json(&json!({
            "questions": questions.collect::<Vec<_>>(),
            "entries": entries.collect::<Vec<_>>(),
            "outbox": unsent.iter().map(Waiting::json).collect::<Vec<_>>(),
        }));
    } else {
        for question in questions {
            if let Some(project) = &project {
                answer(describe_question(project, question));
            }
        }
        for entry in &held {
            answer(format_args!(
                "package {}: {} (\"{}\" from {}, received {})",
                entry.id,
                entry.reason,
                entry.title,
                entry.origin,
                local_time(entry.received_ms)
            ));
        }
        unsent.iter().for_each(|waiting| answer(format_args!("outbox {}", waiting.line())));
        let is_none = questions.is_empty() && held.is_empty() && unsent.is_empty();
        if is_none && !session.options.quiet {
            answer("nothing waits for you");
        }
    }
    let waits = !questions.is_empty() || !held.is_empty() || !unsent.is_empty();
    Ok(if waits { Outcome::Waits } else { Outcome::Done })
}
