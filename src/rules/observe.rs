//! What a scan found, beside what the rows say: new versions of ours, and what is not known.
//!
//! A file is deleted only if looking for it said that nothing is there, below a folder that could
//! be listed. Whatever else keeps it from being seen (unreadable, ignored now, another device, a
//! link in its place) is not known: the row rests, and nothing is told of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::knowledge::{Knowledge, Question};
use crate::model::verdict::Place;
use crate::model::version::Content;
use crate::model::{Listing, Signature, TreePath};

use super::brake::is_tree_gone;
use super::decide::{Lineage, bring_up_to_date, create};

/// What looking at one path said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// This is there, for sure.
    Is(Content),
    /// No file can be there: a folder has its name, or a file has that of its folder. Nobody deleted
    /// it for sure, and the row rests; but what would remove it finds nothing to remove.
    Barred,
    /// It could not be told, for this reason; never [`Place::Inside`].
    NotKnown(Place),
}

/// How the tree differs from the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Files that have no row, or whose row is a tombstone.
    pub new: BTreeMap<TreePath, Signature>,
    /// Files whose contents are not the row's.
    pub changed: BTreeMap<TreePath, Signature>,
    /// Files that are gone, for sure.
    pub gone: BTreeSet<TreePath>,
    /// Rows that rest: what they have on the disk is not known.
    pub resting: BTreeSet<TreePath>,
    /// Rows that say a file is here, gone ones included.
    pub files: usize,
}

/// Compares what a scan found with the rows.
///
/// `look` is asked of each row whose file the scan did not find.
pub fn compare<F: Copy + Into<Signature>>(
    knowledge: &Knowledge,
    found: &Listing<F>,
    look: &mut dyn FnMut(&TreePath) -> Look,
) -> Differences {
    let mut differences = Differences::default();
    let mut files = found.iter().peekable();
    for (path, row) in &knowledge.rows {
        while let Some((new, found)) = files.next_if(|(file, _)| *file < path.as_bytes()) {
            differences.enter_new(new, (*found).into());
        }
        let there = files.next_if(|(file, _)| *file == path.as_bytes());
        let there: Option<Signature> = there.map(|(_, found)| (*found).into());
        match (row.version.content, there) {
            (Content::Absent, None) => {}
            (Content::Absent, Some(signature)) => {
                differences.new.insert(path.clone(), signature);
            }
            (Content::File(known), Some(signature)) => {
                differences.files += 1;
                if known != signature {
                    differences.changed.insert(path.clone(), signature);
                }
            }
            (Content::File(_), None) => {
                differences.files += 1;
                differences.look_for(path, look);
            }
        }
    }
    for (new, found) in files {
        differences.enter_new(new, (*found).into());
    }
    differences
}

impl Differences {
    /// Whether so much is gone that a person has to say that it is meant: everything, or more than
    /// half of the rows (an unmounted disk, a `rm` in the wrong folder).
    pub fn is_drastic(&self) -> bool {
        is_tree_gone(self.gone.len(), self.files)
    }

    /// Notes a file that has no row.
    fn enter_new(&mut self, path: &[u8], signature: Signature) {
        // It is a path: it comes from a listing.
        if let Ok(path) = TreePath::new(path) {
            self.new.insert(path, signature);
        }
    }

    /// Notes what looking for a file says that was not found.
    pub(super) fn look_for(&mut self, path: &TreePath, look: &mut dyn FnMut(&TreePath) -> Look) {
        match look(path) {
            Look::Is(Content::Absent) => self.gone.insert(path.clone()),
            // It came between the scan and the look: the next scan will tell.
            Look::Is(Content::File(_)) | Look::Barred | Look::NotKnown(_) => {
                self.resting.insert(path.clone())
            }
        };
    }

    /// Returns the paths whose rows [`record`] changes.
    pub fn touched(&self) -> BTreeSet<TreePath> {
        let files = self.new.keys().chain(self.changed.keys());
        files.chain(self.gone.iter()).cloned().collect()
    }
}

/// Enters the differences as new versions of ours.
pub fn record(knowledge: &mut Knowledge, differences: &Differences, now_ms: u64) {
    let files = differences.new.iter().chain(&differences.changed);
    for (path, signature) in files {
        observe(knowledge, path, Content::File(*signature), now_ms);
    }
    for path in &differences.gone {
        observe(knowledge, path, Content::Absent, now_ms);
    }
}

/// Enters what is on the disk for one path; whether the row changed. Where an open question is about
/// just that, it is that version: an answer that was killed may have put it there, or a person.
pub fn observe(knowledge: &mut Knowledge, path: &TreePath, disk: Content, now_ms: u64) -> bool {
    let is_it = |open: &&Question| open.version.content == disk;
    let question = knowledge.questions.on(path).find(is_it).cloned();
    see(knowledge, path, disk, question.as_ref().map(Lineage::from), now_ms)
}

/// Enters what is on the disk for one path, as what arrives where that is just it; whether the row
/// changed.
pub(super) fn see(
    knowledge: &mut Knowledge,
    path: &TreePath,
    disk: Content,
    arriving: Option<Lineage>,
    now_ms: u64,
) -> bool {
    let stamp = knowledge.stamp();
    let remotes = knowledge.remotes.len();
    match (knowledge.rows.get_mut(path), disk) {
        (Some(row), _) => bring_up_to_date(row, disk, arriving, stamp, now_ms),
        (None, Content::Absent) => false,
        (None, Content::File(_)) => {
            let row = match arriving.filter(|arriving| arriving.version.content == disk) {
                Some(arriving) => create(arriving, remotes, stamp, now_ms),
                None => knowledge.first_row(disk, stamp),
            };
            knowledge.insert_row(path.clone(), row);
            true
        }
    }
}
