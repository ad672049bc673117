//! Looking at the whole tree here: scan, compare with the rows, and the brake.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::edge::state::{State, StateError};
use crate::edge::tree::{Kind, Root, Scan, Scanning, Seen, Wanted};
use crate::format::base::Sieve;
use crate::format::orders::is_writable;
use crate::format::sections::{FilesDigest, Section};
use crate::model::TreePath;
use crate::model::knowledge::Row;
use crate::model::project::{Format, Identity, Project};
use crate::model::verdict::Place;
use crate::rules::classic;
use crate::rules::observe::{Differences, compare};
use crate::rules::quiet::{are_told, is_quiet};
use crate::rules::select::Selection;

use super::ground::{Ground, look, place_of};
use super::outcome::{Failure, Outcome, counted, tell};
use super::progress::watched;
use super::session::Session;
use super::words::size_words;

/// What a scan found, and how it differs from the rows.
pub struct Survey {
    /// The tree, less the files whose rows are quiet and were not read.
    pub scan: Scan,
    /// Files in the tree.
    pub files: usize,
    /// How it differs.
    pub differences: Differences,
    /// Files whose names the project's format cannot write: they do not travel.
    pub unwritable: Vec<TreePath>,
}

impl Survey {
    /// Tells what the scan could not see, and what cannot travel.
    pub fn tell(&self) {
        for (name, why) in &self.scan.unknown {
            tell(format_args!("remsync: {}: {why}.", crate::model::path::escaped(name)));
        }
        for path in &self.unwritable {
            tell(format_args!("remsync: {path}: format 1.3 cannot write this name: left out."));
        }
    }

    /// Tells how many files rest: a deletion is not believed of what cannot be looked for.
    pub fn tell_resting(&self) {
        let count = self.differences.resting.len();
        if count > 0 {
            let are = if count == 1 { "is" } else { "are" };
            tell(format_args!(
                "remsync: {} {are} not known now (ignored, in no scan, or not to be looked at): no \
                 word of that goes out.",
                counted(count, "file", "files"),
            ));
            tell("  hint: \"remsync status\" lists what is not known.");
        }
    }

    /// Returns how a command ends that had to leave something out.
    pub fn outcome(&self) -> Outcome {
        let is_whole = self.unwritable.is_empty() && self.scan.unknown.is_empty();
        if is_whole { Outcome::Done } else { Outcome::Waits }
    }
}

/// Scans the tree and compares it with what the project knows; changes nothing.
///
/// # Errors
/// The root cannot be read, or an ignore expression hits its bound.
pub fn survey(
    session: &Session,
    root: &Root,
    selection: &Selection,
    project: &Project,
) -> Result<Survey, Failure> {
    let scan = scan(session, root, selection, project.identity.format)?;
    compare_with(scan, 0, root, selection, project)
}

/// Scans the tree, and tells at a terminal how far that is.
fn scan(
    session: &Session,
    root: &Root,
    selection: &Selection,
    format: Format,
) -> Result<Scan, Failure> {
    Ok(scan_along(session, root, selection, format, |_| ())?.1)
}

/// Does as [`scan`], while `along` asks what was found so far: see [`Root::scan_along`].
fn scan_along<T>(
    session: &Session,
    root: &Root,
    selection: &Selection,
    format: Format,
    along: impl FnOnce(&mut Scanning<'_, '_, '_>) -> T,
) -> Result<(T, Scan, usize), Failure> {
    let seen = Seen::default();
    let options = &session.options;
    let is_wanted = !(options.quiet || options.json || options.batch);
    let wants = |name: &[u8], kind| belongs(selection, name, kind);
    let wanted = Wanted { wants: &wants, follows_from: Some(selection.text()) };
    let scanned = || root.scan_along(format, (&wanted, &seen), along);
    Ok(watched(is_wanted, || seen_words(&seen), scanned)?)
}

/// Says how far a scan is.
fn seen_words(seen: &Seen) -> String {
    let files = usize::try_from(seen.files.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    let line = format!("looking at the tree: {}", counted(files, "file", "files"));
    match seen.bytes.load(Ordering::Relaxed) {
        0 => line,
        bytes => format!("{line}, {} read", size_words(bytes)),
    }
}

/// Compares what a scan found, less the files of so many quiet rows, with what the project knows.
fn compare_with(
    scan: Scan,
    quiet: usize,
    root: &Root,
    selection: &Selection,
    project: &Project,
) -> Result<Survey, Failure> {
    let format = project.identity.format;
    let mut look = |path: &TreePath| look(root, selection, format, path);
    let mut differences = match format {
        Format::V2_0 => compare(&project.knowledge, &scan.files, &mut look),
        Format::V1_3 => classic::compare(&project.knowledge, &scan.files, &mut look),
    };
    differences.files += quiet;
    let is_unwritable = |path: &&TreePath| !is_writable(format, path);
    let unwritable: Vec<TreePath> = differences.new.keys().filter(is_unwritable).cloned().collect();
    differences.new.retain(|path, _| is_writable(format, path));
    let files = scan.files.len() + quiet;
    Ok(Survey { scan, files, differences, unwritable })
}

/// Rows that are kept because their files are not hashed yet, before that is waited for.
const UNJUDGED_MAX: usize = 1 << 10;

/// What was read of a project, where it stands, and what a look at its tree found.
pub struct Sifted<S> {
    /// What `read` returned beside the project.
    pub state: S,
    /// The project, less the rows that are quiet.
    pub project: Project,
    /// Where it stands.
    pub ground: Ground,
    /// How the tree differs from it.
    pub survey: Survey,
}

/// Reads a project by `read`, less the rows that are quiet, while its tree is scanned; then compares
/// them. Whoever changes the project holds its lock already.
///
/// # Errors
/// It cannot be read, or its tree cannot be scanned.
pub fn sift<S>(
    session: &Session,
    directory: &Path,
    read: impl FnOnce(&mut dyn Sieve) -> Result<(S, Project), StateError>,
) -> Result<Sifted<S>, Failure> {
    let known = State::identity(directory).filter(|known| known.format == Format::V2_0);
    let Some(identity) = known else {
        let (state, project) = read(&mut Everything)?;
        return sifted_anew(session, directory, state, project);
    };
    let ground = Ground::open(session, directory, &identity)?;
    let Ground { root, selection, .. } = &ground;
    let ((is_other, read), scan, quiet) =
        scan_along(session, root, selection, identity.format, |scanning| {
            let (next, unjudged) = (0, 0);
            let mut sifting =
                Sifting { scanning, identity: &identity, is_other: false, next, unjudged };
            let read = read(&mut sifting);
            (sifting.is_other, read)
        })?;
    let (state, project) = read?;
    if is_other {
        // Somebody changed who takes part, or which files belong, or had begun to.
        return sifted_anew(session, directory, state, project);
    }
    let survey = compare_with(scan, quiet, root, selection, &project)?;
    Ok(Sifted { state, project, ground, survey })
}

/// Scans the tree of a project of which all was read.
fn sifted_anew<S>(
    session: &Session,
    directory: &Path,
    state: S,
    project: Project,
) -> Result<Sifted<S>, Failure> {
    let ground = Ground::open(session, directory, &project.identity)?;
    let survey = survey(session, &ground.root, &ground.selection, &project)?;
    Ok(Sifted { state, project, ground, survey })
}

/// Keeps all rows.
struct Everything;

impl Sieve for Everything {
    fn begin(&mut self, _: &Project) {}

    fn keeps(&mut self, _: &Project, _: &TreePath, _: &Row) -> bool {
        true
    }
}

/// Keeps the rows that are not quiet, by a scan that goes on meanwhile: rows ascend as files do.
struct Sifting<'s, 'y, 'a, 'w> {
    scanning: &'s mut Scanning<'y, 'a, 'w>,
    /// By which the tree is scanned.
    identity: &'s Identity,
    /// Whether the project that is read has another.
    is_other: bool,
    /// Where the next row is looked for first.
    next: usize,
    /// Rows that were kept because their files are not hashed yet.
    unjudged: usize,
}

impl Sieve for Sifting<'_, '_, '_, '_> {
    fn begin(&mut self, project: &Project) {
        self.is_other = *self.identity != project.identity;
        self.scanning.leave_none_out();
        (self.next, self.unjudged) = (0, 0);
    }

    fn keeps(&mut self, project: &Project, path: &TreePath, row: &Row) -> bool {
        if self.is_other {
            return true;
        }
        self.scanning.go_past(path.as_bytes());
        let files = self.scanning.files();
        let at = match files.path(self.next) == path.as_bytes() {
            true => Ok(self.next),
            false => files.search(path.as_bytes()),
        };
        self.next = at.map_or_else(|at| at, |at| at + 1);
        let Ok(at) = at else { return true };
        if !self.scanning.is_hashed(at) {
            self.unjudged += 1;
            if self.unjudged <= UNJUDGED_MAX {
                return true;
            }
            self.scanning.finish();
        }
        let found = self.scanning.files().found(at).map(|found| found.signature);
        let is_quiet = is_quiet(row, found, &project.knowledge.remotes);
        if is_quiet {
            self.scanning.leave_out(at);
        }
        !is_quiet
    }

    fn passes(&mut self, project: &Project, section: &Section) -> bool {
        let Some(digest) = section.digest else { return false };
        if self.is_other || !are_told(section.changed, &project.knowledge.remotes) {
            return false;
        }
        self.scanning.go_past(section.last.as_bytes());
        let files = self.scanning.files();
        let from = files.search(section.first.as_bytes()).unwrap_or_else(|at| at);
        let to = files.search(section.last.as_bytes()).map_or_else(|at| at, |at| at + 1);
        if (to - from) as u64 != section.files {
            return false;
        }
        let mut found = FilesDigest::default();
        for at in from..to {
            // What is not hashed yet has a signature that no file of this format has.
            if let Some(file) = files.found(at) {
                found.add(files.path(at), &file.signature);
            }
        }
        let is_quiet = found.finish() == digest;
        if is_quiet {
            (from..to).for_each(|at| self.scanning.leave_out(at));
            self.next = to;
        }
        is_quiet
    }
}

/// Returns the rows that rest, as a test for `plan`.
pub fn rests<'a>(
    resting: &'a BTreeSet<TreePath>,
    selection: &'a Selection,
) -> impl Fn(&TreePath) -> bool + 'a {
    move |path| {
        resting.contains(path)
            || !matches!(place_of(selection, path), Place::Inside | Place::Sensitive)
    }
}

/// Whether a name that a scan met belongs, or why that cannot be told.
pub fn belongs(selection: &Selection, name: &[u8], kind: Kind) -> Result<bool, String> {
    match kind {
        Kind::Folder => Ok(selection.may_hold(name)),
        Kind::File => {
            TreePath::check(name).map_err(|fault| fault.to_string())?;
            let place = selection.place_of(name).map_err(|fault| fault.to_string())?;
            Ok(place == Place::Inside)
        }
    }
}
