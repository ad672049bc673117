//! `undo`: the files of one run as they were before it.
//!
//! An undo is an edit: what is put back is a new version, which travels. Invariant: a file that is
//! not just what the run left there is not touched.

use std::collections::BTreeSet;

use serde_json::json;

use crate::edge::runs::{self, RunLog};
use crate::edge::tree::Look;
use crate::model::TreePath;
use crate::model::project::Format;
use crate::model::run::{Change, Kind, Run, last_to_undo};
use crate::model::verdict::Place;
use crate::model::version::Content;
use crate::rules::visit::Put;

use super::ground::{look_at_disk, place_of};
use super::hands::DiskHands;
use super::keep::tidy_up;
use super::open::{OpenProject, RUNS};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::resolve::observe_in;
use super::session::Session;

/// Undoes a run, or the last one that changed files.
///
/// # Errors
/// There is no such run, or the project or its history cannot be read.
pub fn run(session: &Session, number: Option<u64>) -> Result<Outcome, Failure> {
    let mut open = OpenProject::open(session, &session.project_directory()?)?;
    let path = open.state.private(RUNS);
    let all = runs::read(&path)?;
    let Some(number) = number.or_else(|| last_to_undo(&all)) else {
        answer_nothing(session);
        return Ok(Outcome::Done);
    };
    let run = all.iter().find(|run| run.number == number).ok_or_else(|| {
        Failure::new(format!("no run {number} is known")).hinted("\"remsync log\" lists the runs")
    })?;
    let log = RunLog::begin(&path, Kind::Undo, Some(number), session.now_ms);
    let mut undone = Undone::default();
    if session.options.dry_run {
        look_only(&open, run, &all, &mut undone);
    } else {
        put_back(session, &open, &log, run, &all, &mut undone)?;
        enter(session, &mut open, &undone, &log)?;
    }
    Ok(conclude(session, run, &undone))
}

/// What came of an undo.
#[derive(Default)]
struct Undone {
    /// Files that are as they were.
    put_back: Vec<TreePath>,
    /// Those of them that were so before.
    as_before: usize,
    /// Files that were left alone, and why.
    refused: Vec<(TreePath, String)>,
    has_failed: bool,
}

/// What is to be done with one file of a run.
enum Step {
    PutBack(Content),
    Nothing,
    Refuse(String),
}

/// Returns the changes in the order in which they are undone: what was created goes first, deepest
/// first, so that a folder makes way for the file that it took the place of.
fn in_order(run: &Run) -> Vec<Change> {
    let mut sum = run.sum();
    sum.sort_by(|a, b| a.path.cmp(&b.path));
    let (mut created, others): (Vec<Change>, Vec<Change>) =
        sum.into_iter().partition(|change| change.before.content == Content::Absent);
    created.reverse();
    created.extend(others);
    created
}

fn step(open: &OpenProject, run: &Run, all: &[Run], change: &Change) -> Step {
    let there = match open.ground.root.look(&change.path, Format::V2_0) {
        Look::Absent => Content::Absent,
        Look::File(found) => Content::File(found.signature),
        Look::NotKnown(unknown) => return Step::Refuse(unknown.to_string()),
    };
    if there == change.before.content {
        return Step::Nothing;
    }
    if there == change.after {
        return Step::PutBack(there);
    }
    let left_it_so = |later: &&Run| {
        later.number > run.number
            && later.sum().iter().any(|c| c.path == change.path && c.after == there)
    };
    Step::Refuse(match all.iter().rev().find(left_it_so) {
        Some(later) => format!("run {} changed it since; undo that first", later.number),
        None => "it was changed since".into(),
    })
}

fn look_only(open: &OpenProject, run: &Run, all: &[Run], undone: &mut Undone) {
    for change in in_order(run) {
        match step(open, run, all, &change) {
            Step::PutBack(_) => undone.put_back.push(change.path),
            Step::Nothing => undone.as_before += 1,
            Step::Refuse(why) => undone.refused.push((change.path, why)),
        }
    }
}

fn put_back(
    session: &Session,
    open: &OpenProject,
    log: &RunLog,
    run: &Run,
    all: &[Run],
    undone: &mut Undone,
) -> Result<(), Failure> {
    let queue = session.queue()?;
    let mut hands = DiskHands::new(&open.ground, &queue, log)?;
    let is_killed_undo =
        |last: &Run| last.kind == Kind::Undo && last.of == Some(run.number) && !last.is_ended;
    let was_killed = all.last().is_some_and(is_killed_undo);
    for change in in_order(run) {
        let there = match step(open, run, all, &change) {
            Step::PutBack(there) => there,
            Step::Nothing => {
                if was_killed && change.before.content == Content::Absent {
                    open.ground.root.remove_empty_above(&change.path);
                }
                undone.as_before += 1;
                undone.put_back.push(change.path);
                continue;
            }
            Step::Refuse(why) => {
                undone.refused.push((change.path, why));
                continue;
            }
        };
        match hands.put_back(&change.path, &change.before, there) {
            Put::Done => undone.put_back.push(change.path),
            Put::Changed => undone.refused.push((change.path, "it was changed just now".into())),
            Put::InTheWay => undone.refused.push((change.path, "something is in the way".into())),
            Put::Gone => undone.refused.push((change.path, "its package is gone".into())),
            Put::Failed(why) => {
                undone.has_failed = true;
                undone.refused.push((change.path, why));
            }
        }
    }
    Ok(())
}

/// Enters what was put back as versions of ours, durably: contents, history, names, beliefs.
fn enter(
    session: &Session,
    open: &mut OpenProject,
    undone: &Undone,
    log: &RunLog,
) -> Result<(), Failure> {
    log.sync()?;
    open.ground.root.sync_touched()?;
    let touched: BTreeSet<TreePath> = undone.put_back.iter().cloned().collect();
    enter_all(session, open, &touched)?;
    log.end()?;
    open.state.finish(&open.project)?;
    tidy_up(session, open);
    Ok(())
}

/// Enters what is on the disk at these paths as versions of ours, as far as they belong to the
/// project.
///
/// # Errors
/// The state cannot be written.
pub fn enter_all(
    session: &Session,
    open: &mut OpenProject,
    paths: &BTreeSet<TreePath>,
) -> Result<(), Failure> {
    use crate::rules::observe::Look as Seen;
    for path in paths {
        let place = place_of(&open.ground.selection, path);
        let disk = look_at_disk(&open.ground.root, open.ground.format, path);
        if let (Place::Inside | Place::Sensitive, Seen::Is(disk)) = (place, disk) {
            observe_in(&mut open.project, path, disk, session.now_ms);
        }
    }
    Ok(open.state.commit(&open.project, paths)?)
}

fn answer_nothing(session: &Session) {
    if session.options.json {
        answer_json(&json!({ "run": null, "undone": [], "refused": [] }));
    } else if !session.options.quiet {
        answer("nothing to undo");
    }
}

fn conclude(session: &Session, run: &Run, undone: &Undone) -> Outcome {
    let Undone { put_back, as_before, refused, has_failed } = undone;
    for (path, why) in refused {
        tell(format_args!("remsync: {path}: left as it is: {why}."));
    }
    let number = run.number;
    if session.options.json {
        let undone: Vec<String> = put_back.iter().map(ToString::to_string).collect();
        let refused = refused.iter();
        let refused: Vec<_> =
            refused.map(|(path, why)| json!({ "path": path.to_string(), "why": why })).collect();
        answer_json(&json!({ "run": number, "undone": undone, "refused": refused }));
    } else if !session.options.quiet {
        let files = counted(put_back.len(), "file is", "files are");
        let verb = if session.options.dry_run { "would be: " } else { "" };
        let left = match refused.len() {
            0 => String::new(),
            count => format!(", {count} left as {}", if count == 1 { "it is" } else { "they are" }),
        };
        answer(format_args!("{verb}run {number}: {files} as before{left}"));
        if put_back.len() > *as_before && !session.options.dry_run {
            tell("remsync: an undo is an edit: the next broadcast tells the others.");
        }
    }
    match (refused.is_empty(), has_failed) {
        (true, _) => Outcome::Done,
        (false, false) => Outcome::Waits,
        (false, true) => Outcome::Failed,
    }
}
