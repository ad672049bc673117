//! Looking at the whole tree here: scan, compare with the rows, and the brake.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::tree::{Kind, Look as Seen, Root, Scan, Unknown};
use crate::format::orders::is_writable;
use crate::model::project::{Format, Project};
use crate::model::verdict::Place;
use crate::model::version::Content;
use crate::model::{Signature, TreePath};
use crate::rules::classic;
use crate::rules::observe::{Differences, Look, compare};
use crate::rules::select::{Selection, is_sensitive};

use super::outcome::{Failure, Outcome, counted, tell};

/// What a scan found, and how it differs from the rows.
pub struct Survey {
    /// The tree.
    pub scan: Scan,
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
pub fn survey(root: &Root, selection: &Selection, project: &Project) -> Result<Survey, Failure> {
    let format = project.identity.format;
    let mut wants = |name: &[u8], kind: Kind| belongs(selection, name, kind);
    let scan = root.scan(format, &mut wants)?;
    let found: BTreeMap<TreePath, Signature> =
        scan.files.iter().map(|(path, found)| (path.clone(), found.signature)).collect();
    let mut look = |path: &TreePath| look(root, selection, format, path);
    let compare = match format {
        Format::V2_0 => compare,
        Format::V1_3 => classic::compare,
    };
    let mut differences = compare(&project.knowledge, &found, &mut look);
    let is_unwritable = |path: &&TreePath| !is_writable(format, path);
    let unwritable: Vec<TreePath> = differences.new.keys().filter(is_unwritable).cloned().collect();
    differences.new.retain(|path, _| is_writable(format, path));
    Ok(Survey { scan, differences, unwritable })
}

/// Looks at one path as far as this site's choice of files lets it be seen.
pub fn look(root: &Root, selection: &Selection, format: Format, path: &TreePath) -> Look {
    match place_of(selection, path) {
        Place::Inside | Place::Sensitive => look_at_disk(root, format, path),
        place => Look::NotKnown(place),
    }
}

/// Looks at one path on the disk, wherever it lies.
pub fn look_at_disk(root: &Root, format: Format, path: &TreePath) -> Look {
    match root.look(path, format) {
        Seen::Absent => Look::Is(Content::Absent),
        Seen::File(found) => Look::Is(Content::File(found.signature)),
        Seen::NotKnown(Unknown::Unreadable(_) | Unknown::Changing) => {
            Look::NotKnown(Place::Unreadable)
        }
        Seen::NotKnown(_) => Look::NotKnown(Place::Blocked),
    }
}

/// Returns where a path lies. An expression that hits its bound leaves it unreadable: a question,
/// never a silent verdict.
pub fn place_of(selection: &Selection, path: &TreePath) -> Place {
    match selection.place(path) {
        Ok(Place::Inside) if is_sensitive(path) => Place::Sensitive,
        Ok(place) => place,
        Err(_) => Place::Unreadable,
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
            let path = TreePath::new(name).map_err(|fault| fault.to_string())?;
            let place = selection.place(&path).map_err(|fault| fault.to_string())?;
            Ok(place == Place::Inside)
        }
    }
}
