//! `synchro`: carries out what the display showed, from the saved plan, for what is ticked.
//!
//! Both sides are compared again at the moment of replacing, and what is replaced is kept first,
//! here and there. Afterwards everything is checked anew.

mod here;
mod there;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::edge::snapshot::Snapshots;
use crate::edge::ssh::{Keeping, Line, Sftp, SshFault, Stop, absolute};
use crate::edge::state::State;
use crate::edge::stop;
use crate::format::snapshot::parse_path;
use crate::model::knowledge::Why;
use crate::model::run::Kind;
use crate::model::snapshot::{Act, Agreed, Operation, Plan};
use crate::model::verdict::Choice;
use crate::model::version::Content;
use crate::model::{HostSite, TreePath};
use crate::rules::select::Selection;

use super::check::{agreed_key, check, operation_json, terms};
use super::keep::tidy_up;
use super::open::OpenProject;
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::progress::Progress;
use super::session::Session;
use super::undo::enter_all;
use super::words::describe_why;

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// It waits for a person: why.
    Held(String),
    /// It failed: why.
    Failed(String),
}

/// One operation, and what became of it.
pub type Ended = (Operation, End);

/// Carries out the saved plan, or that of `--plan`: what is ticked, or the files that are named.
///
/// # Errors
/// There is no project, the plan cannot be read, or names no such file.
pub fn run(
    session: &Session,
    files: &[OsString],
    choice: Option<Choice>,
) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let stop = stop::flag().map_err(|error| Failure::new(format!("signals: {error}")))?;
    let mut plan = saved_plan(session, &directory, &stop)?;
    tick(&mut plan, files, choice)?;
    if session.may_ask() {
        ask_for_deletions(&mut plan);
    }
    let ended = carry_out(session, &directory, &plan, &stop)?;
    conclude(session, &directory, &ended, &stop)
}

/// Reads the plan; without one, checks.
fn saved_plan(session: &Session, directory: &Path, stop: &Stop) -> Result<Plan, Failure> {
    let files = Snapshots::new(State::private_folder(directory));
    if let Some(file) = &session.options.plan {
        let plan = files.plan(file)?;
        return plan.ok_or_else(|| Failure::new(format!("{}: there is no plan", file.display())));
    }
    match files.plan(&files.plan_file())? {
        Some(plan) => Ok(plan),
        None => Ok(check(session, directory, false, stop)?.plan),
    }
}

/// Leaves only the files that are named, if any are, and ticks them; a choice settles conflicts.
fn tick(plan: &mut Plan, files: &[OsString], choice: Option<Choice>) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let mut named = vec![false; plan.operations.len()];
    for file in files {
        let selects = selector(file)?;
        let mut is_found = false;
        for (operation, named) in plan.operations.iter().zip(&mut named) {
            *named |= selects(&operation.path);
            is_found |= selects(&operation.path);
        }
        if !is_found {
            let what = format!("{}: nothing is to be done for it", file.display());
            return Err(Failure::new(what).hinted("\"remsync display\" shows what is"));
        }
    }
    let mut named = named.into_iter();
    plan.operations.retain(|_| named.next().unwrap_or(false));
    for operation in &mut plan.operations {
        operation.is_ticked = true;
        match (operation.act, choice) {
            (Act::Conflict, Some(choice)) => settle(operation, choice),
            (Act::Conflict, None) => {}
            _ => operation.why = None,
        }
    }
    Ok(())
}

/// Says that a conflict is to end so.
fn settle(operation: &mut Operation, choice: Choice) {
    operation.act = match (choice, operation.here, operation.there) {
        (Choice::Keep, Content::Absent, _) => Act::DeleteThere,
        (Choice::Keep, _, _) => Act::Upload,
        (Choice::Take, _, Content::Absent) => Act::DeleteHere,
        (Choice::Take, _, _) => Act::Download,
    };
    operation.why = None;
}

/// Returns what a word on the command line selects: a path, all below a folder, or a wildcard.
fn selector(word: &OsString) -> Result<impl Fn(&TreePath) -> bool, Failure> {
    let bytes = word.as_bytes();
    let bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes).to_vec();
    let encoded = std::str::from_utf8(&bytes).ok().and_then(|text| parse_path(text).ok());
    let selection = Selection::compile(std::slice::from_ref(&bytes), &[])
        .map_err(|fault| Failure::new(format!("{}: {fault}", word.display())))?;
    let path = TreePath::new(&bytes).ok();
    Ok(move |candidate: &TreePath| {
        path.as_ref().is_some_and(|path| candidate == path || candidate.is_below(path))
            || encoded.as_ref() == Some(candidate)
            || selection.place(candidate).is_ok_and(|p| p == crate::model::verdict::Place::Inside)
    })
}

/// Asks a person about the deletions that wait.
fn ask_for_deletions(plan: &mut Plan) {
    let waits = |operation: &Operation| {
        matches!(operation.act, Act::DeleteHere | Act::DeleteThere) && operation.why.is_some()
    };
    let waiting: Vec<&Operation> = plan.operations.iter().filter(|o| waits(o)).collect();
    if waiting.is_empty() {
        return;
    }
    for operation in &waiting {
        tell(format_args!("  {}: {}", operation.path, describe_act(operation)));
    }
    let count = counted(waiting.len(), "deletion", "deletions");
    let reply = super::ask::reply(&format!("Carry out {count}? [y, or nothing for no] "));
    if reply.is_some_and(|reply| matches!(reply.trim(), "y" | "yes")) {
        for operation in plan.operations.iter_mut().filter(|operation| waits(operation)) {
            operation.why = None;
            operation.is_ticked = true;
        }
    }
}

/// Carries out what is ticked and needs no person's word; what is only held is returned too.
///
/// # Errors
/// The project cannot be opened or written.
pub fn carry_out(
    session: &Session,
    directory: &Path,
    plan: &Plan,
    stop: &Stop,
) -> Result<Vec<Ended>, Failure> {
    let mut ended = Vec::new();
    let mut by_site: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for operation in &plan.operations {
        let held = match operation.act {
            Act::Conflict => Some(operation.why.unwrap_or(Why::Conflict)),
            // A person who ticked it in the plan has said so.
            _ => operation.why.filter(|_| !operation.is_ticked),
        };
        match held {
            Some(why) => {
                ended.push((operation.clone(), End::Held(describe_why(why).to_owned())));
            }
            None if operation.is_ticked => {
                by_site.entry(&operation.site).or_default().push(operation.clone());
            }
            None => {}
        }
    }
    if session.options.dry_run || by_site.is_empty() {
        ended.extend(by_site.into_values().flatten().map(|operation| (operation, End::Done)));
        return Ok(ended);
    }
    let mut open = OpenProject::open(session, directory)?;
    let is_shown = !session.options.quiet && !session.options.json;
    let progress = Progress::begin(total_bytes(&open, &by_site), is_shown);
    let (errands, lost) = connect(session, &open, by_site, stop);
    ended.extend(lost);
    let (errands, done) = here::bring(session, &mut open, errands, &progress)?;
    ended.extend(done);
    ended.extend(there::send_all(&open.ground, errands, &keeping(session)?, &progress));
    drop(progress);
    let touched: BTreeSet<TreePath> = ended
        .iter()
        .filter(|(o, end)| *end == End::Done && matches!(o.act, Act::Download | Act::DeleteHere))
        .map(|(operation, _)| operation.path.clone())
        .collect();
    if !touched.is_empty() {
        enter_all(session, &mut open, &touched)?;
        open.runs(Kind::Synchro, session.now_ms).end()?;
        open.state.finish(&open.project)?;
        tidy_up(session, &open);
    }
    agree(&open, &ended)?;
    Ok(ended)
}

/// Returns how much of what was displaced stays on a host: as much as here.
fn keeping(session: &Session) -> Result<Keeping, Failure> {
    let day = |ms: u64| -> Result<String, Failure> {
        let at = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))?;
        Ok(at.to_zoned(TimeZone::UTC).date().to_string())
    };
    Ok(Keeping {
        today: day(session.now_ms)?,
        since: day(session.now_ms.saturating_sub(session.keep_ms()))?,
        bytes_max: session.keep_bytes_max(),
    })
}

/// The work for one host.
pub struct Errand {
    line: Line,
    sftp: Sftp,
    top: Vec<u8>,
    operations: Vec<Operation>,
}

/// Connects to the hosts, all at the same time; the operations of those that are down have failed.
fn connect(
    session: &Session,
    open: &OpenProject,
    by_site: BTreeMap<&str, Vec<Operation>>,
    stop: &Stop,
) -> (Vec<Errand>, Vec<Ended>) {
    let hosts = &open.project.identity.hosts;
    let terms = terms(session);
    let reach = |site: &HostSite| -> Result<(Line, Sftp, Vec<u8>), SshFault> {
        let line = Line::to_site(&site.host, &session.settings, &terms)?;
        let mut sftp = Sftp::open(&line, stop)?;
        let top = absolute(&mut sftp, &site.directory)?;
        Ok((line, sftp, top))
    };
    let reached: Vec<_> = std::thread::scope(|scope| {
        let reaching: Vec<_> = by_site
            .into_iter()
            .map(|(url, operations)| {
                let site = hosts.iter().find(|site| site.host.url() == url);
                (operations, site.map(|site| scope.spawn(move || reach(site))))
            })
            .collect();
        let join = |(operations, thread): (_, Option<std::thread::ScopedJoinHandle<_>>)| {
            (operations, thread.and_then(|thread| thread.join().ok()))
        };
        reaching.into_iter().map(join).collect()
    });
    let (mut errands, mut lost) = (Vec::new(), Vec::new());
    for (operations, reached) in reached {
        let why = match reached {
            Some(Ok((line, sftp, top))) => {
                errands.push(Errand { line, sftp, top, operations });
                continue;
            }
            Some(Err(fault)) => fault.to_string(),
            None => "it is no site of this project any more".to_owned(),
        };
        lost.extend(operations.into_iter().map(|o| (o, End::Failed(why.clone()))));
    }
    (errands, lost)
}

/// Returns how many bytes are to be moved, as far as that is known.
fn total_bytes(open: &OpenProject, by_site: &BTreeMap<&str, Vec<Operation>>) -> u64 {
    let uploads = by_site.values().flatten().filter(|operation| operation.act == Act::Upload);
    let size = |operation: &Operation| {
        open.ground.root.open_file(&operation.path).map_or(0, |(_, stat)| stat.size_bytes)
    };
    uploads.map(size).sum()
}

/// Notes what both sides have now.
fn agree(open: &OpenProject, ended: &[Ended]) -> Result<(), Failure> {
    let files = Snapshots::new(State::private_folder(open.state.dir()));
    let hosts = &open.project.identity.hosts;
    files.agreed(|agreed| {
        for (operation, end) in ended {
            let site = hosts.iter().find(|site| site.host.url() == operation.site);
            let (Some(site), End::Done) = (site, end) else { continue };
            let agreed: &mut Agreed = agreed.entry(agreed_key(site)).or_default();
            let both = match operation.act {
                Act::Upload => operation.here,
                Act::Download => operation.there,
                Act::DeleteHere | Act::DeleteThere => Content::Absent,
                Act::Conflict => continue,
            };
            match both {
                Content::Absent => agreed.remove(&operation.path),
                Content::File(_) => agreed.insert(operation.path.clone(), both),
            };
        }
    })?;
    Ok(())
}

/// Says what was done, and checks everything anew.
fn conclude(
    session: &Session,
    directory: &Path,
    ended: &[Ended],
    stop: &Stop,
) -> Result<Outcome, Failure> {
    let is_dry = session.options.dry_run;
    let has_worked = ended.iter().any(|(_, end)| !matches!(end, End::Held(_)));
    if has_worked && !is_dry && !stop.load(Ordering::Relaxed) {
        // A host that went down meanwhile is told by the next check, too.
        if let Err(failure) = check(session, directory, true, stop) {
            super::outcome::tell_failure(&failure);
        }
    }
    if session.options.json {
        answer_json(&document(ended));
    } else {
        print(session, ended);
    }
    let worst = ended.iter().map(|(_, end)| match end {
        End::Done => Outcome::Done,
        End::Held(_) => Outcome::Waits,
        End::Failed(_) => Outcome::Failed,
    });
    Ok(worst.max().unwrap_or_default())
}

fn print(session: &Session, ended: &[Ended]) {
    for (operation, end) in ended {
        let Operation { site, path, .. } = operation;
        match end {
            End::Done if session.options.verbose > 0 || session.options.dry_run => {
                answer(format_args!("{path}: {} ({site})", describe_act(operation)));
            }
            End::Done => {}
            End::Held(why) => tell(format_args!("remsync: {path}: held: {why} ({site}).")),
            End::Failed(why) => tell(format_args!("remsync: {path}: {why} ({site}).")),
        }
    }
    if !session.options.quiet {
        answer(tally(ended, session.options.dry_run));
    }
}

/// Returns the line at the end.
pub fn tally(ended: &[Ended], is_dry: bool) -> String {
    let count = |act: Act| {
        ended.iter().filter(|(operation, end)| operation.act == act && *end == End::Done).count()
    };
    let mut parts = Vec::new();
    for (act, word) in [
        (Act::Upload, "uploaded"),
        (Act::Download, "downloaded"),
        (Act::DeleteThere, "deleted there"),
        (Act::DeleteHere, "deleted here"),
    ] {
        let done = count(act);
        if done > 0 {
            parts.push(format!("{done} {word}"));
        }
    }
    if parts.is_empty() {
        parts.push("nothing done".to_owned());
    }
    let held = ended.iter().filter(|(_, end)| matches!(end, End::Held(_))).count();
    if held > 0 {
        let verb = if held == 1 { "waits" } else { "wait" };
        parts.push(format!("{held} {verb} for you (remsync display)"));
    }
    let failed = ended.iter().filter(|(_, end)| matches!(end, End::Failed(_))).count();
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    let line = parts.join(", ");
    if is_dry { format!("would be: {line}") } else { line }
}

fn document(ended: &[Ended]) -> Value {
    let operations = ended.iter().map(|(operation, end)| {
        let (outcome, why) = match end {
            End::Done => ("done", None),
            End::Held(why) => ("held", Some(why)),
            End::Failed(why) => ("failed", Some(why)),
        };
        let mut document = operation_json(operation);
        document["outcome"] = outcome.into();
        document["reason"] = why.cloned().into();
        document
    });
    let count = |word: &str| {
        let is = |end: &End| match end {
            End::Done => word == "done",
            End::Held(_) => word == "held",
            End::Failed(_) => word == "failed",
        };
        ended.iter().filter(|(_, end)| is(end)).count()
    };
    json!({
        "operations": operations.collect::<Vec<_>>(),
        "summary": { "done": count("done"), "held": count("held"), "failed": count("failed") },
    })
}

/// Says what an operation does.
pub fn describe_act(operation: &Operation) -> &'static str {
    match operation.act {
        Act::Upload if operation.there == Content::Absent => "goes there, new",
        Act::Upload => "goes there",
        Act::Download if operation.here == Content::Absent => "comes here, new",
        Act::Download => "comes here",
        Act::DeleteThere => "is deleted there",
        Act::DeleteHere => "is deleted here",
        Act::Conflict => "conflict",
    }
}
