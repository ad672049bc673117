//! Questions about who takes part and which files belong, where what a remote says differs from what
//! holds here. They hold no row up, and nothing changes before a person says so.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use crate::edge::identities;
use crate::edge::state::StateError;
use crate::model::identities::Identities;
use crate::model::orders::Orders;
use crate::model::path::escaped;
use crate::model::project::{Identity, Project};
use crate::rules::reconcile::{Difference, Point, Statement, differences, forget_strangers, hear};
use crate::rules::select::Selection;

use super::ask::reply;
use super::edit::apply;
use super::grammar::{Decision, Edit, Kind, SiteName};
use super::open::OpenProject;
use super::outcome::{Failure, tell_failure};
use super::session::Session;
use super::words::local_time;

/// Remembers what a package says of who takes part.
///
/// # Errors
/// It cannot be written.
pub fn remember(open: &OpenProject, orders: &Orders, now_ms: u64) -> Result<(), StateError> {
    let mut remembered = identities::load(open.state.dir())?;
    forget_strangers(&mut remembered, &open.project.identity);
    if hear(&mut remembered, &orders.identity, now_ms) {
        identities::save(&open.state, &remembered)?;
    }
    Ok(())
}

/// Returns what is open in the project in `dir`.
///
/// # Errors
/// What is remembered cannot be read.
pub fn open_differences(
    dir: &std::path::Path,
    ours: &Identity,
) -> Result<Vec<Difference>, StateError> {
    Ok(differences(ours, &identities::load(dir)?))
}

/// Answers one: `take` does as the others, `keep` leaves all as it is and is remembered.
///
/// # Errors
/// What would be taken over cannot be used here, or nothing can be written.
pub fn settle(
    session: &Session,
    open: &mut OpenProject,
    difference: &Difference,
    decision: Decision,
) -> Result<(), Failure> {
    match decision {
        Decision::Take => {
            let mut project = open.project.clone();
            take(session, &mut project, &difference.point)?;
            let Identity { scans, ignores, .. } = &project.identity;
            let selection = Selection::compile(scans, ignores)
                .map_err(|fault| Failure::new(&fault).hinted(&fault.hint))?;
            open.state.save(&project)?;
            open.project = project;
            open.ground.selection = selection;
        }
        Decision::Keep => {
            let mut remembered: Identities = identities::load(open.state.dir())?;
            remembered.declined.insert(difference.point.mark());
            identities::save(&open.state, &remembered)?;
        }
        Decision::Both | Decision::Merge => {
            let name = escaped(&difference.point.name());
            return Err(Failure::new(format!("{name}: it can be taken, or kept as it is here"))
                .hinted("\"pending\" says what either means"));
        }
    }
    Ok(())
}

/// Puts every open one to the person at the terminal, until one is left by the end of the input.
///
/// # Errors
/// What is remembered cannot be read or written.
pub fn ask(session: &Session, open: &mut OpenProject) -> Result<(), Failure> {
    for difference in open_differences(open.state.dir(), &open.project.identity)? {
        let choices = if difference.is_proposed { "[Y/n/later]" } else { "[y/N/later]" };
        let question = format!("\n{}\n{} {choices} ", describe(&difference), proposal(&difference));
        let decision = match reply(&question).as_deref() {
            None => return Ok(()),
            Some("y" | "yes") => Decision::Take,
            Some("n" | "no") => Decision::Keep,
            Some("") if difference.is_proposed => Decision::Take,
            Some("") => Decision::Keep,
            Some(_) => continue,
        };
        if let Err(failure) = settle(session, open, &difference, decision) {
            tell_failure(&failure);
        }
    }
    Ok(())
}

/// Puts one that a package waits for to the person; whether it is settled. Not to say anything is to
/// do what is proposed, or to leave the package where it is.
///
/// # Errors
/// What is remembered cannot be read or written.
pub fn ask_one(
    session: &Session,
    open: &mut OpenProject,
    difference: &Difference,
) -> Result<bool, Failure> {
    let choices = if difference.is_proposed { "[Take/keep/later]" } else { "[take/keep/Later]" };
    let told = describe_with_answers(difference);
    let decision = match reply(&format!("\n{told}\nWhich? {choices} ")).as_deref() {
        Some("t" | "take") => Decision::Take,
        Some("k" | "keep") => Decision::Keep,
        Some("") if difference.is_proposed => Decision::Take,
        _ => return Ok(false),
    };
    match settle(session, open, difference, decision) {
        Ok(()) => Ok(true),
        Err(failure) => {
            tell_failure(&failure);
            Ok(false)
        }
    }
}

/// Returns the open ones that words name, those that packages wait for with them, and the words that
/// name none.
///
/// # Errors
/// What is remembered cannot be read.
pub fn named(
    open: &OpenProject,
    misnamed: Vec<Difference>,
    words: &[OsString],
) -> Result<(Vec<Difference>, Vec<OsString>), Failure> {
    let mut left = open_differences(open.state.dir(), &open.project.identity)?;
    left.extend(misnamed);
    let questions = &open.project.knowledge.questions;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for word in words {
        let bytes = word.as_bytes();
        let is_file = questions.iter().any(|question| question.path.as_bytes() == bytes);
        match left.iter().position(|difference| difference.point.name() == bytes) {
            Some(at) if !is_file => found.push(left.remove(at)),
            _ => others.push(word.clone()),
        }
    }
    Ok((found, others))
}

/// Returns one in two lines: what, who, when; and what the answers do.
pub fn describe_with_answers(difference: &Difference) -> String {
    format!("{}\n  {}", describe(difference), answers(difference))
}

/// Returns one in a line: what, who, when.
fn describe(difference: &Difference) -> String {
    let from: Vec<&str> = difference.from.iter().map(|address| address.as_str()).collect();
    let what = match &difference.point {
        Point::Home(..) => "another folder",
        Point::Learn(_) => "there and not here",
        Point::Forget(_) => "here and not there",
        Point::Title(_) => "another title, and a package under it waits",
        Point::Here(_) => "another address, and a package for it waits",
    };
    format!(
        "{}: {what} (from {}, arrived {})",
        escaped(&difference.point.name()),
        from.join(", "),
        local_time(difference.at_ms)
    )
}

fn answers(difference: &Difference) -> String {
    match &difference.point {
        Point::Home(_, folder) => {
            format!("take: its folder is {}; keep: as it is here", escaped(folder))
        }
        Point::Learn(Statement::Remote(site)) => {
            let folder = site.directory.as_deref().unwrap_or(b"-");
            format!("take: a remote here too, folder {}; keep: no remote", escaped(folder))
        }
        Point::Learn(Statement::Scan(_)) => "take: scanned here too; keep: not".into(),
        Point::Learn(Statement::Ignore(_)) => "take: ignored here too; keep: not".into(),
        Point::Forget(Statement::Remote(_)) => {
            "take: no remote here any more, with all that is known of it; keep: as it is".into()
        }
        Point::Forget(_) => "take: deleted here too; keep: as it is".into(),
        Point::Title(title) => format!(
            "take: it is this project, and called {} here too; keep: it is this project, and its title \
             here stays",
            escaped(title.as_bytes())
        ),
        Point::Here(address) => format!(
            "take: it is this site, and {address} is its address from now on; keep: it is this site, \
             and its address stays"
        ),
    }
}

fn proposal(difference: &Difference) -> String {
    match &difference.point {
        Point::Home(address, folder) => {
            format!("Is {} the folder of {address}?", escaped(folder))
        }
        Point::Learn(Statement::Remote(site)) => format!("Add {} here?", site.address),
        Point::Learn(Statement::Scan(_)) => "Scan it here too?".into(),
        Point::Learn(Statement::Ignore(_)) => "Ignore it here too?".into(),
        Point::Forget(_) => "Delete it here?".into(),
        Point::Title(_) => "Call it so here?".into(),
        Point::Here(_) => "Is it the address of this site?".into(),
    }
}

/// Returns one as JSON.
pub fn document(difference: &Difference) -> Value {
    let kind = match &difference.point {
        Point::Home(..) => "home",
        Point::Learn(_) => "learn",
        Point::Forget(_) => "forget",
        Point::Title(_) => "title",
        Point::Here(_) => "here",
    };
    let value = match &difference.point {
        Point::Home(_, folder) => String::from_utf8_lossy(folder).into_owned(),
        Point::Learn(Statement::Remote(site)) | Point::Forget(Statement::Remote(site)) => {
            let folder = site.directory.as_deref().unwrap_or(b"-");
            format!("{} {}", site.address, String::from_utf8_lossy(folder))
        }
        Point::Learn(Statement::Scan(text) | Statement::Ignore(text))
        | Point::Forget(Statement::Scan(text) | Statement::Ignore(text)) => {
            String::from_utf8_lossy(text).into_owned()
        }
        Point::Title(title) => title.clone(),
        Point::Here(address) => address.to_string(),
    };
    json!({
        "question": String::from_utf8_lossy(&difference.point.name()),
        "kind": kind,
        "value": value,
        "from": difference.from.iter().map(|address| address.as_str()).collect::<Vec<_>>(),
        "arrived": difference.at_ms,
        "proposed": if difference.is_proposed { "take" } else { "keep" },
    })
}

fn take(session: &Session, project: &mut Project, point: &Point) -> Result<(), Failure> {
    let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let edit = match point {
        Point::Home(address, folder) => {
            Edit::Home(SiteName::Remote(address.to_string()), word(folder))
        }
        Point::Learn(Statement::Remote(site)) => {
            let folder = site.directory.as_deref().unwrap_or(b"-");
            Edit::Create(Kind::Remote, vec![site.address.as_str().into(), word(folder)])
        }
        Point::Learn(Statement::Scan(scan)) => Edit::Create(Kind::Scan, vec![word(scan)]),
        Point::Learn(Statement::Ignore(ignore)) => Edit::Create(Kind::Ignore, vec![word(ignore)]),
        Point::Forget(Statement::Remote(site)) => {
            Edit::Delete(Kind::Remote, site.address.as_str().into())
        }
        Point::Forget(Statement::Scan(scan)) => Edit::Delete(Kind::Scan, word(scan)),
        Point::Forget(Statement::Ignore(ignore)) => Edit::Delete(Kind::Ignore, word(ignore)),
        Point::Title(title) => Edit::Title(title.clone()),
        Point::Here(address) => Edit::Here(address.to_string(), None),
    };
    apply(session, project, &edit)
}
