//! The brake before anything is applied: whether the tree is there at all.

use crate::model::TreePath;
use crate::model::knowledge::Row;
use crate::model::project::Format;
use crate::model::version::Content;
use crate::rules::brake::is_tree_gone;

use super::super::ask::yes;
use super::super::open::OpenProject;
use super::super::outcome::{Failure, counted, tell};
use super::super::session::Session;

/// What is said of packages that are left alone because the tree may not be there.
pub(super) const TREE_GONE: &str = "most files here are gone: an unmounted disk, or meant?";

/// Rows that are looked for before anything is applied; of more, so many spread evenly.
const LOOKED_FOR_MAX: usize = 1_000;

/// Whether the tree is there, as far as the rows tell, or a person says that it is meant so.
/// Nothing is to be applied to the empty folder that a disk would be mounted on.
///
/// # Errors
/// The top folder cannot be listed.
pub(super) fn is_tree_there(session: &Session, open: &OpenProject) -> Result<bool, Failure> {
    let is_classic = open.project.identity.format == Format::V1_3;
    let rows = open.project.knowledge.rows.iter();
    let is_file = |row: &Row| match row.version.content {
        Content::File(_) => true,
        // In 1.3 what a file is is not known before it was looked at.
        Content::Absent => is_classic && row.version.generation == 0,
    };
    let files: Vec<&TreePath> =
        rows.filter(|(_, row)| is_file(row)).map(|(path, _)| path).collect();
    let step = files.len().div_ceil(LOOKED_FOR_MAX).max(1);
    let looked_for = files.iter().step_by(step);
    let gone = looked_for.clone().filter(|path| open.ground.root.is_absent(path)).count();
    let is_empty = !files.is_empty() && open.ground.root.is_empty()?;
    if !is_tree_gone(gone, looked_for.len()) && !is_empty {
        return Ok(true);
    }
    tell(format_args!(
        "remsync: {}: {} of {} are gone: an unmounted disk, or meant?",
        open.ground.dir.display(),
        (gone * step).min(files.len()),
        counted(files.len(), "file", "files"),
    ));
    if session.may_ask() && yes("Apply what arrived all the same? [y/N] ") {
        return Ok(true);
    }
    tell("remsync: nothing was applied.");
    tell(
        "  hint: if it is meant, say so at a terminal: \"remsync broadcast\", or \"remsync process\".",
    );
    Ok(false)
}
