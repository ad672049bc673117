//! Where a project stands: its tree, which paths belong, and looking at one of them.

use std::path::{Path, PathBuf};

use crate::edge::places::real;
use crate::edge::tree::{Look as LookAt, Root, Unknown};
use crate::model::TreePath;
use crate::model::project::{Format, Identity};
use crate::model::verdict::Place;
use crate::model::version::{Content, Version};
use crate::rules::observe::Look;
use crate::rules::select::{Selection, is_sensitive};
use crate::rules::visit::{Hands, Put, Source};

use super::outcome::Failure;
use super::session::Session;

/// Where a project stands: the tree and what belongs to it. Apart from what is known, so that the
/// one can be looked at while the other changes.
pub struct Ground {
    /// Its top folder.
    pub dir: PathBuf,
    /// The tree.
    pub root: Root,
    /// Which paths belong.
    pub selection: Selection,
    /// The format spoken: how files are signed.
    pub format: Format,
}

impl Ground {
    /// Opens the tree below `directory`; what of our own lies in it is no part of it.
    ///
    /// # Errors
    /// It cannot be opened, or an expression of the project cannot be read.
    pub fn open(
        session: &Session,
        directory: &Path,
        identity: &Identity,
    ) -> Result<Ground, Failure> {
        let mut root = Root::open(directory)?;
        let own = session.places.own(&session.settings, &session.queue_directory());
        root.guard(&real(directory), &own);
        let selection = Selection::compile(&identity.scans, &identity.ignores)?;
        Ok(Ground { dir: directory.to_owned(), root, selection, format: identity.format })
    }
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
        LookAt::Absent => Look::Is(Content::Absent),
        LookAt::File(found) => Look::Is(Content::File(found.signature)),
        LookAt::NotKnown(Unknown::Unreadable(_) | Unknown::Changing) => {
            Look::NotKnown(Place::Unreadable)
        }
        LookAt::NotKnown(Unknown::Folder | Unknown::ParentNotFolder) => Look::Barred,
        LookAt::NotKnown(_) => Look::NotKnown(Place::Blocked),
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

/// Hands that only look: what would be done is said to be done.
pub struct DryHands<'a>(pub &'a Ground);

impl Hands for DryHands<'_> {
    fn place_of(&mut self, path: &TreePath) -> Place {
        place_of(&self.0.selection, path)
    }

    fn look(&mut self, path: &TreePath) -> Look {
        look_at_disk(&self.0.root, self.0.format, path)
    }

    fn put(&mut self, _: &TreePath, _: &Version, _: Source, _: Content) -> Put {
        Put::Done
    }
}
