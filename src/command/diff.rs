//! `diff`: what is here beside what arrived.

use std::ffi::OsString;

use serde_json::Value;

use crate::edge::state::State;
use crate::model::knowledge::Question;
use crate::model::limits::PACKAGE_BYTES_MAX;
use crate::model::project::Project;

use super::ground::Ground;
use super::outcome::{Failure, Outcome, answer_json, answer_text, tell};
use super::resolve::select;
use super::session::Session;
use super::sides::{Arrivals, Desk, Sides};
use super::words::{describe_difference, label, sides_json, unified_of};

/// Shows the difference that each question is about; without files, of every question.
///
/// # Errors
/// There is no project, or its files cannot be read.
pub fn run(session: &Session, files: &[OsString]) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let project = State::read(&directory)?;
    let ground = Ground::open(session, &directory, &project.identity)?;
    let mut outcome = Outcome::Done;
    let is_all = files.is_empty() && session.options.from_site.is_none();
    let chosen = select(&project, files, session.options.from_site.as_deref(), is_all)?;
    for word in &chosen.missed {
        tell(format_args!("remsync: {word}: nothing is asked about it."));
        outcome = outcome.and(Outcome::Failed);
    }
    let arrivals =
        Arrivals::read(&session.queue()?, chosen.questions.iter().copied(), PACKAGE_BYTES_MAX);
    let desk = Desk::new(&ground, &project.knowledge, &arrivals)?;
    let mut documents = Vec::new();
    for question in &chosen.questions {
        let sides = desk.sides(question);
        if session.options.base && sides.base.is_none() {
            let label = label(&project.knowledge, question);
            tell(format_args!("remsync: {label}: no version that both descend from is kept here."));
            outcome = outcome.and(Outcome::Failed);
        }
        if session.options.json {
            documents.push(document(&project, question, &sides));
        } else {
            answer_text(&describe_difference(&project, question, &sides, session.options.base));
        }
    }
    if session.options.json {
        answer_json(&Value::Array(documents));
    } else if chosen.questions.is_empty() && chosen.missed.is_empty() && !session.options.quiet {
        answer_text("nothing waits for you\n");
    }
    Ok(outcome)
}

fn document(project: &Project, question: &Question, sides: &Sides) -> Value {
    let mut document = sides_json(project, question, sides);
    document["diff"] = unified_of(project, question, sides, false).into();
    document
}
