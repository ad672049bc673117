//! What `process` begins with: the entry that is named, packages that lie about as files, the
//! projects of this account; and what no project takes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::edge::identities;
use crate::edge::queue::{
    Arrival, Entry, EntryState, Filed, Incoming, Judgement, Known, Queue, is_volume,
};
use crate::edge::state::State;
use crate::format::volume;
use crate::model::identities::Identities;
use crate::model::limits::SIGNATURE_BYTES_MAX;
use crate::model::project::{Format, Identity};

use super::super::misnamed::is_for;
use super::super::outcome::{Failure, Outcome, tell, tell_failure};
use super::super::session::Session;
use super::unpacked::{self, folder_of};
use super::{Run, Tally, plain_entry};

/// What is to be processed.
pub(super) enum Choice {
    /// The entry of this id.
    Entry(String),
    /// Whatever is in the queue.
    All,
    /// Nothing yet: a volume that others are missing to, or none that is sound.
    Nothing(Outcome),
}

/// Returns the entry that is named, if one is; a package file goes into the queue first, so that
/// nothing is applied from a file that may change, and nothing is lost if it cannot be.
#[allow(clippy::disallowed_methods, reason = "it was the person who put it there")]
pub(super) fn choose(
    session: &Session,
    queue: &Queue,
    what: Option<&OsString>,
) -> Result<Choice, Failure> {
    if let Some(word) = what {
        let file = PathBuf::from(word);
        if file.is_file() {
            return choose_file(queue, &file);
        }
        if let Some(folder) = folder_of(&file) {
            return import_unpacked(queue, &folder).map(Choice::Entry);
        }
        if file.is_dir() {
            return Err(Failure::new(format!("{}: no package is unpacked here", file.display()))
                .hinted("one has a folder .remsync-work with a file \"orders\" in it"));
        }
        let id = word.to_string_lossy();
        return match queue.find(&id) {
            Ok(entry) => Ok(Choice::Entry(entry.id)),
            Err(error) => Err(match queue.find_waiting(&id)? {
                Some(set) => Failure::new(format!("{}: {}", set.id, set.standing))
                    .hinted("it is processed when all its parts have come"),
                None => error.into(),
            }),
        };
    }
    let directory = session.directory()?;
    for name in [".remsync.tar.gz", "remsync.tar.gz"] {
        let file = directory.join(name);
        if !file.is_file() || session.options.dry_run {
            continue;
        }
        match import(queue, &file) {
            Ok(_) => std::fs::remove_file(&file)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?,
            // Somebody's own file may be called so.
            Err(failure) => tell_failure(&failure),
        }
    }
    if let Some(folder) = folder_of(&directory).filter(|folder| *folder != directory)
        && !session.options.dry_run
        && let Err(failure) = import_unpacked(queue, &folder)
    {
        tell_failure(&failure);
    }
    Ok(Choice::All)
}

fn choose_file(queue: &Queue, file: &Path) -> Result<Choice, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let opened = File::open(file).map_err(at)?;
    if !is_volume(&opened).map_err(at)? {
        return import(queue, file).map(Choice::Entry);
    }
    let arrival = Arrival {
        known: Known::Proved,
        signatures: signatures_beside(file)?,
        ..Arrival::default()
    };
    Ok(match queue.take_volume(&opened, &arrival)? {
        Filed::Entry(id) => Choice::Entry(id),
        Filed::Waits(id, standing) => {
            tell(format_args!("remsync: {id}: {standing}."));
            Choice::Nothing(Outcome::Waits)
        }
        Filed::Refused(id, reason) => {
            tell(format_args!("remsync: {id}: refused: {reason}."));
            Choice::Nothing(Outcome::Failed)
        }
    })
}

/// Tells of an entry that is named and needs nothing more: done before, or refused.
pub(super) fn tell_ended(session: &Session, entry: &Entry, tally: &mut Tally) -> Option<Outcome> {
    let outcome = match entry.state {
        EntryState::New | EntryState::Held => return None,
        EntryState::Done => Outcome::Done,
        EntryState::Refused => Outcome::Failed,
    };
    match entry.state {
        EntryState::Refused => {
            tell(format_args!("remsync: {}: refused: {}.", entry.id, entry.reason));
            tally.refused += 1;
        }
        _ => tell(format_args!("remsync: {}: it was taken in before.", entry.id)),
    }
    tally.entries.push(plain_entry(entry, entry.state.word(), &entry.reason));
    tally.tell(session);
    Some(outcome)
}

/// Puts a package that lies somewhere as a file into the queue, with the signature beside it.
fn import(queue: &Queue, file: &Path) -> Result<String, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let mut incoming = queue.incoming()?;
    let mut from = File::open(file).map_err(at)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer).map_err(at)? {
            0 => break,
            count => incoming.write(&buffer[..count])?,
        }
    }
    deliver(queue, incoming, file)
}

/// Puts a package that was unpacked into the queue; its folder stays. No signature vouches for what
/// is packed again.
fn import_unpacked(queue: &Queue, folder: &Path) -> Result<String, Failure> {
    deliver(queue, unpacked::pack(queue, folder)?, folder)
}

fn deliver(queue: &Queue, incoming: Incoming, from: &Path) -> Result<String, Failure> {
    let spooled = incoming.settle()?;
    if spooled.judgement == Judgement::NotAPackage {
        return Err(Failure::new(format!("{}: this is no package", from.display())));
    }
    let signatures = if from.is_dir() { Vec::new() } else { signatures_beside(from)? };
    let arrival = Arrival { signatures, known: Known::Proved, ..Arrival::default() };
    Ok(queue.deliver(spooled, &arrival)?.id)
}

/// Reads the signature that lies beside a package, or beside a volume of it.
fn signatures_beside(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let path = beside(file);
    let Ok(signature) = File::open(&path) else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    // One past the bound, so that what is too long is seen to be.
    signature
        .take(SIGNATURE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(vec![bytes])
}

/// Returns where the signature of a package in a file would be: `NAME.sig`, and `NAME.sig.age` for
/// `NAME.age`; that of a volume is that of its whole.
pub(super) fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let name = volume::whole_name(name).unwrap_or(name);
    let (name, end) = match name.strip_suffix(b".age") {
        Some(name) => (name, &b".sig.age"[..]),
        None => (name, &b".sig"[..]),
    };
    file.with_file_name(OsStr::from_bytes(&[name, end].concat()))
}

/// The projects to process: the one of the current folder, else every one known on this account.
pub(super) fn directories(session: &Session) -> Result<Vec<PathBuf>, Failure> {
    if let Some(directory) = session.project_directory_if_any()? {
        return Ok(vec![directory]);
    }
    Ok(session.places.register_list()?)
}

/// Holds what no project took, with the reason: a first package, or one that is nearly for us.
pub(super) fn hold_strangers(
    run: &Run<'_>,
    directories: &[PathBuf],
    routed: &BTreeSet<String>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let Run { session, queue, only, .. } = run;
    let is_everybody_asked =
        session.places.register_list()?.iter().all(|project| directories.contains(project));
    let projects: Vec<(&Path, Identity)> = directories
        .iter()
        .filter_map(|directory| Some((directory.as_path(), State::read(directory).ok()?.identity)))
        .collect();
    let known: Vec<Identities> = projects
        .iter()
        .map(|(directory, _)| identities::load(directory).unwrap_or_default())
        .collect();
    let is_ours = |entry: &Entry| {
        let mut named = projects.iter().zip(&known);
        named.any(|((_, identity), known)| is_for(entry, identity, known))
    };
    for entry in queue.list()?.into_iter().filter(|entry| !entry.sealed) {
        let is_waiting = matches!(entry.state, EntryState::New | EntryState::Held);
        let is_meant = match only {
            Some(id) => *id == entry.id,
            None => is_everybody_asked && !is_ours(&entry),
        };
        if is_waiting && is_meant && !routed.contains(&entry.id) {
            run.hold(&entry, &describe_stranger(&entry, &projects), tally)?;
        }
    }
    Ok(())
}

/// Whether an entry of before format 1.3 names a project's site as one that it was sent to.
pub(super) fn is_oldest_for(entry: &Entry, identity: &Identity) -> bool {
    let here = identity.here.address.as_str();
    identity.format == Format::V1_3
        && is_oldest(entry)
        && entry.visit.split(' ').any(|site| site == here)
}

/// Whether an entry names no project, as those of before format 1.3.
fn is_oldest(entry: &Entry) -> bool {
    entry.title.is_empty() && !entry.sealed && entry.serial == 0 && entry.visit.contains('@')
}

/// Says why no project takes an entry, and which trees were near.
fn describe_stranger(entry: &Entry, projects: &[(&Path, Identity)]) -> String {
    if is_oldest(entry) && projects.iter().any(|(_, identity)| is_oldest_for(entry, identity)) {
        let process = format!("\"remsync process {}\" in the folder", entry.id);
        return format!(
            "it is of before format 1.3 and names no project; {process} of its own takes it"
        );
    }
    let is_near = |identity: &Identity| {
        identity.title == entry.title || identity.here.address.as_str() == entry.visit
    };
    let near: Vec<String> = projects
        .iter()
        .filter(|(_, identity)| is_near(identity))
        .map(|(directory, Identity { title, here, .. })| {
            format!("{} is \"{title}\" of {}", directory.display(), here.address)
        })
        .collect();
    let what = format!("no project here is \"{}\" of {}", entry.title, entry.visit);
    if near.is_empty() {
        format!("{what}; \"remsync accept {} DIR\" makes one", entry.id)
    } else {
        format!("{what}; near: {}", near.join(", "))
    }
}
