//! `log`: what was done here, run by run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::edge::runs;
use crate::edge::state::State;
use crate::format::digest::hex;
use crate::model::TreePath;
use crate::model::run::{Change, Event, Run};

use super::open::RUNS;
use super::outcome::{Failure, Outcome, answer, answer_json};
use super::session::Session;
use super::words::{describe_why, local_time, why_named};

/// Tells the runs, newest first; of one file, those that it is in.
///
/// # Errors
/// There is no project, or its history cannot be read.
pub fn run(session: &Session, file: Option<&OsString>) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let path = file.map(tree_path).transpose()?;
    let mut all = runs::read(&State::private_folder(&directory).join(RUNS))?;
    if let Some(path) = &path {
        all.iter_mut().for_each(|run| run.events.retain(|event| is_about(event, path)));
        all.retain(|run| run.events.iter().any(|event| !matches!(event, Event::Package { .. })));
    }
    if session.options.json {
        let documents: Vec<Value> = all.iter().rev().map(document).collect();
        answer_json(&json!({ "runs": documents }));
        return Ok(Outcome::Done);
    }
    all.iter().rev().for_each(|run| answer(describe(run)));
    if all.is_empty() && !session.options.quiet {
        answer("nothing was done here yet");
    }
    Ok(Outcome::Done)
}

/// Reads the name of a file as it was typed, from the top of the project.
///
/// # Errors
/// It is no name of a file.
pub fn tree_path(word: &OsString) -> Result<TreePath, Failure> {
    let bytes = word.as_bytes();
    TreePath::new(bytes.strip_prefix(b"./").unwrap_or(bytes))
        .map_err(|fault| Failure::new(format!("{}: {fault}", word.display())))
}

/// Whether an event is about a file; which package it came with is about every one.
fn is_about(event: &Event, wanted: &TreePath) -> bool {
    match event {
        Event::Package { .. } => true,
        Event::Change(Change { path, .. })
        | Event::Void(path)
        | Event::Held { path, .. }
        | Event::Answer { path, .. } => path == wanted,
    }
}

/// Returns a run as a paragraph: its head, and a line for each thing it did.
fn describe(run: &Run) -> String {
    let of = run.of.map(|of| format!(" {of}")).unwrap_or_default();
    let mut text = format!("{}  {}  {}{of}", run.number, local_time(run.began_ms), run.kind.name());
    if let Some(again_ms) = run.again_ms.last() {
        text += &format!(", gone on with {}", local_time(*again_ms));
    }
    if !run.is_ended {
        text += ", not ended";
    }
    for event in &run.events {
        let line = match event {
            Event::Package { package, from } => format!("package {} from {from}", short(package)),
            Event::Held { path, why, from } => {
                let known = why_named(why).map(describe_why);
                let why = known.unwrap_or(why);
                format!("held {path}: {why} (from {from})")
            }
            Event::Answer { path, answer, from } => {
                format!("answered {path}: {answer} (version from {from})")
            }
            // Told below, without what was not made.
            Event::Change(_) | Event::Void(_) => continue,
        };
        text += &format!("\n   {line}");
    }
    for change in run.changes() {
        text += &format!("\n   {} {}", change.word(), change.path);
    }
    text
}

fn document(run: &Run) -> Value {
    let (mut packages, mut held, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for event in &run.events {
        match event {
            Event::Package { package, from } => {
                packages.push(json!({ "package": hex(package), "from": from }));
            }
            Event::Held { path, why, from } => {
                held.push(json!({ "path": path.to_string(), "why": why, "from": from }));
            }
            Event::Answer { path, answer, from } => {
                answers.push(json!({ "path": path.to_string(), "answer": answer, "from": from }));
            }
            Event::Change(_) | Event::Void(_) => {}
        }
    }
    let changes = run.changes().into_iter().map(|change| {
        json!({
            "path": change.path.to_string(),
            "change": change.word(),
            "before": change.before.content.to_string(),
            "after": change.after.to_string(),
            "package": change.package.as_ref().map(|package| hex(package)),
        })
    });
    json!({
        "run": run.number,
        "command": run.kind.name(),
        "of": run.of,
        "at": run.began_ms,
        "again": run.again_ms,
        "ended": run.is_ended,
        "packages": packages,
        "changes": changes.collect::<Vec<_>>(),
        "held": held,
        "answers": answers,
    })
}

fn short(digest: &[u8; 32]) -> String {
    hex(digest).chars().take(12).collect()
}
