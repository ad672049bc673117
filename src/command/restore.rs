//! `restore`: one file as it was once, out of the store of kept versions.

use std::collections::BTreeSet;
use std::ffi::OsString;

use serde_json::{Value, json};

use crate::edge::kept::Shelves;
use crate::edge::runs::{self, RunLog};
use crate::edge::tree::{Look, TreeError};
use crate::format::digest::hex;
use crate::model::project::Format;
use crate::model::run::{Before, Kind, Run};
use crate::model::version::Content;
use crate::model::{Signature, TreePath};
use crate::rules::visit::Put;

use super::hands::DiskHands;
use super::keep::tidy_up;
use super::log::tree_path;
use super::open::{OpenProject, RUNS};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::Session;
use super::undo::enter_all;
use super::words::local_time;

/// Characters of a version's digest that are shown.
const SHOWN_DIGITS: usize = 12;
/// Characters of one that have to be typed.
const DIGITS_MIN: usize = 4;

/// Puts one version of a file back, as an edit; without a version lists those that are kept, and
/// asks at a terminal.
///
/// # Errors
/// There is no such version, or it cannot be put there.
pub fn run(session: &Session, file: &OsString, version: Option<&str>) -> Result<Outcome, Failure> {
    let path = tree_path(file)?;
    let mut open = OpenProject::open(session, &session.project_directory()?)?;
    let all = runs::read(&open.state.private(RUNS))?;
    let there = match open.ground.root.look(&path, Format::V2_0) {
        Look::Absent => Content::Absent,
        Look::File(found) => Content::File(found.signature),
        Look::NotKnown(unknown) => return Err(Failure::new(format!("{path}: {unknown}"))),
    };
    let versions = versions(&open, &all, &path)?;
    let chosen = match version {
        Some(word) => choose(&path, &versions, word)?,
        None => {
            list(session, &path, &versions, there);
            let asked = if session.may_ask() { ask(&path, &versions)? } else { None };
            let Some(chosen) = asked else { return Ok(Outcome::Done) };
            chosen
        }
    };
    put(session, &mut open, &path, chosen, there)
}

/// A version that is kept.
#[derive(Clone, Debug)]
struct KeptVersion {
    digest: [u8; 32],
    size_bytes: u64,
    /// As it was, to be put back.
    before: Before,
    /// The run that it gave way in, if the history still tells.
    gave_way: Option<(u64, u64)>,
}

/// Returns the versions of a file that are kept, youngest first: what the history tells of, then
/// what else its row descends from.
fn versions(
    open: &OpenProject,
    all: &[Run],
    path: &TreePath,
) -> Result<Vec<KeptVersion>, TreeError> {
    let shelves = Shelves::open(&open.ground.root)?;
    let mut known: BTreeSet<[u8; 32]> = BTreeSet::new();
    let mut versions = Vec::new();
    for run in all.iter().rev() {
        for change in run.changes().into_iter().rev().filter(|change| change.path == *path) {
            let gave_way = (change.before, Some((run.number, run.began_ms)));
            // What a run put there may have given way to an edit since.
            let came = (Before { content: change.after, ..Before::NOTHING }, None);
            for (before, gave_way) in [came, gave_way] {
                let Some(digest) = digest_of(&before.content) else { continue };
                if known.insert(digest) {
                    versions.extend(kept(&shelves, digest, before, gave_way)?);
                }
            }
        }
    }
    let row = open.project.knowledge.rows.get(path);
    let ancestors = row.into_iter().flat_map(|row| row.history.iter().rev());
    for prefix in ancestors.filter_map(|ancestor| ancestor.prefix) {
        let Some(digest) = shelves.find(&prefix.digits)?.filter(|digest| known.insert(*digest))
        else {
            continue;
        };
        let signature = Signature::Sha256 { digest, executable: prefix.executable };
        let before = Before { content: Content::File(signature), ..Before::NOTHING };
        versions.extend(kept(&shelves, digest, before, None)?);
    }
    Ok(versions)
}

/// Looks for a version in the store; what the history does not tell of it, its file there does.
fn kept(
    shelves: &Shelves,
    digest: [u8; 32],
    mut before: Before,
    gave_way: Option<(u64, u64)>,
) -> Result<Option<KeptVersion>, TreeError> {
    const USUAL: u32 = 0o644;
    let Some((_, seen)) = shelves.open_version(&digest)? else { return Ok(None) };
    if before.mode == 0 {
        let executable = before.content.signature().and_then(Signature::executable);
        before.mode = if executable == Some(true) { USUAL | 0o111 } else { USUAL };
        (before.mtime_s, before.mtime_ns) = (seen.mtime_s, seen.mtime_ns);
    }
    Ok(Some(KeptVersion { digest, size_bytes: seen.size_bytes, before, gave_way }))
}

fn digest_of(content: &Content) -> Option<[u8; 32]> {
    match content {
        Content::File(Signature::Sha256 { digest, .. }) => Some(*digest),
        _ => None,
    }
}

/// Returns the version that a word names: its number in the list, or the beginning of its digest.
fn choose<'v>(
    path: &TreePath,
    versions: &'v [KeptVersion],
    word: &str,
) -> Result<&'v KeptVersion, Failure> {
    let number = word.parse::<usize>().ok().filter(|_| word.len() < DIGITS_MIN);
    if let Some(found) = number.and_then(|number| versions.get(number.checked_sub(1)?)) {
        return Ok(found);
    }
    let digits = word.trim_end_matches('x').to_lowercase();
    let fits = |version: &&KeptVersion| {
        digits.len() >= DIGITS_MIN && hex(&version.digest).starts_with(&digits)
    };
    let mut found = versions.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Failure::new(format!("{path}: several versions begin {word}"))),
        (None, _) => Err(Failure::new(format!("{path}: no version {word} is kept"))
            .hinted(format!("\"remsync restore {path}\" lists them"))),
    }
}

fn list(session: &Session, path: &TreePath, versions: &[KeptVersion], there: Content) {
    if session.options.json {
        let documents: Vec<Value> = versions.iter().map(|v| document(v, there)).collect();
        answer_json(&json!({ "path": path.to_string(), "versions": documents }));
        return;
    }
    for (at, version) in versions.iter().enumerate() {
        answer(format_args!("{:3}  {}", at + 1, describe(version, there)));
    }
    if versions.is_empty() && !session.options.quiet {
        answer(format_args!("no version of {path} is kept"));
    }
}

fn describe(version: &KeptVersion, there: Content) -> String {
    let changed_ms = u64::try_from(version.before.mtime_s).unwrap_or(0).saturating_mul(1000);
    let size = usize::try_from(version.size_bytes).unwrap_or(usize::MAX);
    let mut text = format!(
        "{}  {}, changed {}",
        short(&version.digest),
        counted(size, "byte", "bytes"),
        local_time(changed_ms)
    );
    if let Some((run, at_ms)) = version.gave_way {
        text += &format!(", gave way in run {run}, {}", local_time(at_ms));
    }
    if digest_of(&there) == Some(version.digest) {
        text += ", here now";
    }
    text
}

fn document(version: &KeptVersion, there: Content) -> Value {
    json!({
        "version": version.before.content.to_string(),
        "size": version.size_bytes,
        "modified": version.before.mtime_s.saturating_mul(1000),
        "mode": format!("{:04o}", version.before.mode),
        "run": version.gave_way.map(|(run, _)| run),
        "at": version.gave_way.map(|(_, at_ms)| at_ms),
        "here": digest_of(&there) == Some(version.digest),
    })
}

fn ask<'v>(
    path: &TreePath,
    versions: &'v [KeptVersion],
) -> Result<Option<&'v KeptVersion>, Failure> {
    if versions.is_empty() {
        return Ok(None);
    }
    match super::ask::reply("Which one is put back? [number, or nothing for none] ").as_deref() {
        None | Some("") => Ok(None),
        Some(word) => choose(path, versions, word).map(Some),
    }
}

fn put(
    session: &Session,
    open: &mut OpenProject,
    path: &TreePath,
    chosen: &KeptVersion,
    there: Content,
) -> Result<Outcome, Failure> {
    let shown = short(&chosen.digest);
    let runs = open.runs(Kind::Restore, session.now_ms);
    let is_there = chosen.before.content == there;
    // One that was killed may have put it there and not noted it.
    if is_there && !session.options.dry_run && runs.killed()?.is_some() {
        enter(session, open, path, &runs)?;
    }
    if is_there || session.options.dry_run {
        let what = if is_there { "is what is there" } else { "would be put back" };
        answer(format_args!("{path}: version {shown} {what}"));
        return Ok(Outcome::Done);
    }
    let queue = session.queue()?;
    let mut hands = DiskHands::new(&open.ground, &queue, &runs)?;
    match hands.put_back(path, &chosen.before, there) {
        Put::Done => {}
        Put::Changed => return Err(Failure::new(format!("{path}: it was changed just now"))),
        Put::InTheWay => return Err(Failure::new(format!("{path}: something is in the way"))),
        Put::Gone => return Err(Failure::new(format!("{path}: its package is gone"))),
        Put::Failed(why) => return Err(Failure::new(format!("{path}: {why}"))),
    }
    drop(hands);
    enter(session, open, path, &runs)?;
    if session.options.json {
        let version = chosen.before.content.to_string();
        answer_json(&json!({ "path": path.to_string(), "restored": version }));
    } else if !session.options.quiet {
        answer(format_args!("{path}: version {shown} is back"));
        tell("remsync: this is an edit: the next broadcast tells the others.");
    }
    Ok(Outcome::Done)
}

/// Enters what was put back as a version of ours, durably: contents, history, names, beliefs.
fn enter(
    session: &Session,
    open: &mut OpenProject,
    path: &TreePath,
    runs: &RunLog,
) -> Result<(), Failure> {
    runs.sync()?;
    open.ground.root.sync_touched()?;
    enter_all(session, open, &BTreeSet::from([path.clone()]))?;
    runs.end()?;
    open.state.finish(&open.project)?;
    tidy_up(session, open);
    Ok(())
}

fn short(digest: &[u8; 32]) -> String {
    hex(digest).chars().take(SHOWN_DIGITS).collect()
}
