//! Packages that are for another project or another site by their names, and may be meant for this
//! one after all: a title that was changed there, an address that is ours too. They wait until a
//! person says so; two projects of the same people have the same sites.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::edge::identities;
use crate::edge::queue::{Entry, EntryState, Queue};
use crate::edge::state::State;
use crate::format::package;
use crate::format::settings::Unsigned;
use crate::model::Address;
use crate::model::identities::Identities;
use crate::model::path::escaped;
use crate::model::project::{Format, Identity};
use crate::rules::reconcile::{Difference, Point, misnamed};

use super::outcome::Failure;
use super::session::Session;
use super::vouch;

/// Packages longer than this are not opened to see which folder they are for.
const OPENED_BYTES_MAX: u64 = 32 << 20;

/// One such package: what it is about, and the entry.
#[derive(Clone, Debug)]
pub struct Misnamed {
    /// Which name is another.
    pub point: Point,
    /// The package.
    pub entry: Entry,
    /// Whether a signature, or the settings, vouch for it.
    pub is_vouched_for: bool,
}

/// Returns those that wait in the queue for the project in `directory`.
///
/// # Errors
/// The queue, or what is remembered, cannot be read.
pub fn entries(
    session: &Session,
    queue: &Queue,
    directory: &Path,
    ours: &Identity,
) -> Result<Vec<Misnamed>, Failure> {
    let known = identities::load(directory)?;
    let mut found = Vec::new();
    for entry in queue.list()? {
        let is_waiting = matches!(entry.state, EntryState::New | EntryState::Held);
        let point = if is_waiting { point_of(&entry, ours, &known) } else { None };
        let Some(point) = point.filter(|_| !entry.sealed) else { continue };
        found.push(Misnamed { point, is_vouched_for: false, entry });
    }
    if found.is_empty() {
        return Ok(found);
    }
    let others = others(session, directory)?;
    found.retain(|one| !others.iter().any(|(other, known)| is_for(&one.entry, other, known)));
    let trust = session.trust()?;
    for Misnamed { entry, is_vouched_for, .. } in &mut found {
        let file = queue.open_entry(entry)?;
        let standing = vouch::standing(session, &trust, queue, entry, &file, &entry.origin)?;
        *is_vouched_for = standing.is_good() || session.unsigned_in(directory) == Unsigned::Accept;
    }
    Ok(found)
}

/// Returns the questions about them, each once: for `pending` and `resolve`.
///
/// # Errors
/// As [`entries`].
pub fn questions(
    session: &Session,
    queue: &Queue,
    directory: &Path,
    ours: &Identity,
) -> Result<Vec<Difference>, Failure> {
    let mut found: BTreeMap<Vec<u8>, Difference> = BTreeMap::new();
    for one in entries(session, queue, directory, ours)?.iter().filter(|one| one.is_vouched_for) {
        let question = question(queue, one, ours);
        let known = found.entry(one.point.mark()).or_insert(question);
        known.at_ms = known.at_ms.max(one.entry.received_ms);
    }
    Ok(found.into_values().collect())
}

/// Returns the question about one. As the program of format 1.3 did, their names are proposed there,
/// a title only where the folder is this one; in 2.0 everything is to stay as it is.
pub fn question(queue: &Queue, one: &Misnamed, ours: &Identity) -> Difference {
    let is_proposed = ours.format == Format::V1_3
        && match &one.point {
            Point::Title(_) => is_for_folder(queue, &one.entry, ours),
            _ => true,
        };
    Difference {
        point: one.point.clone(),
        from: Address::new(&one.entry.origin).into_iter().collect(),
        at_ms: one.entry.received_ms,
        is_proposed,
    }
}

/// Returns why such a package is held.
pub fn reason(point: &Point, ours: &Identity) -> String {
    let name = escaped(&point.name());
    let answer = format!("\"remsync resolve '{name}' take\" or \"keep\" says so");
    match point {
        Point::Title(title) => format!(
            "it is of \"{}\", which may be what \"{}\" is called there: {answer}",
            escaped(title.as_bytes()),
            escaped(ours.title.as_bytes())
        ),
        _ => format!("it is for {name}, which may be {} too: {answer}", ours.here.address),
    }
}

/// Whether an entry says that it is for a project, in the names that are known to mean it.
pub fn is_for(entry: &Entry, ours: &Identity, known: &Identities) -> bool {
    let is_title = entry.title == ours.title || known.knows_title(&entry.title);
    let is_here = entry.visit == ours.here.address.as_str()
        || Address::new(&entry.visit).is_ok_and(|address| known.knows_address(&address));
    is_title && is_here
}

fn point_of(entry: &Entry, ours: &Identity, known: &Identities) -> Option<Point> {
    let from = Address::new(&entry.origin).ok()?;
    let visit = Address::new(&entry.visit).ok()?;
    misnamed(ours, known, &from, &entry.title, &visit)
}

/// The other projects of this account: what is theirs is not ours.
fn others(session: &Session, directory: &Path) -> Result<Vec<(Identity, Identities)>, Failure> {
    let here = std::fs::canonicalize(directory).ok();
    let projects = session.places.register_list()?.into_iter().collect::<BTreeSet<_>>();
    let others = projects.iter().filter(|dir| std::fs::canonicalize(dir).ok() != here);
    let read = |dir: &std::path::PathBuf| {
        let identity = State::read(dir).ok()?.identity;
        Some((identity, identities::load(dir).unwrap_or_default()))
    };
    Ok(others.filter_map(read).collect())
}

/// Whether a package is for the folder that we are in.
fn is_for_folder(queue: &Queue, entry: &Entry, ours: &Identity) -> bool {
    if entry.size_bytes > OPENED_BYTES_MAX {
        return false;
    }
    let package = queue.open_entry(entry).ok().and_then(|file| package::check(file).ok());
    package.is_some_and(|package| {
        let orders = &package.orders;
        let visited = orders.identity.remotes.get(orders.visit);
        visited
            .is_some_and(|site| site.directory.is_some() && site.directory == ours.here.directory)
    })
}
