//! Quiet rows: files of which there is nothing to say to anybody.
//!
//! Most rows of a large tree are, at any time. A broadcast and a look at the matrix go on without
//! them, to the same end. Invariant: with the quiet rows left out, [`super::plan::plan`] plans the
//! same, and [`super::status::site_standing`] says the same of every remote.

use crate::model::Signature;
use crate::model::knowledge::{Correspondence, Row};

/// Whether a row of format 2.0 is quiet: the file is here as it says, every remote has the same by
/// its own word, and all of them were told whatever changed.
///
/// `found`: what a scan found of the file.
pub fn is_quiet(row: &Row, found: Option<Signature>, remotes: &[Correspondence]) -> bool {
    let agreed = row.agreed();
    agreed.is_some()
        && found == agreed
        && row.cells.len() == remotes.len()
        && are_told(row.changed, remotes)
}

/// Whether all remotes were told of all that changed up to the stamp `changed`.
pub fn are_told(changed: u64, remotes: &[Correspondence]) -> bool {
    let is_told = |with: &Correspondence| {
        !with.wants_all && with.seen > 0 && changed <= with.seen.min(with.last)
    };
    remotes.iter().all(is_told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::knowledge::{Cell, Word};
    use crate::model::version::{Content, History, Version};

    const HERE: Signature = Signature::Sha256 { digest: [1; 32], executable: false };
    const OTHER: Signature = Signature::Sha256 { digest: [1; 32], executable: true };

    fn row() -> Row {
        let version = Version { generation: 2, content: Content::File(HERE) };
        let word = Word { version, history: History::new(), serial: 1 };
        let cell = Cell { word: Some(word), ..Cell::default() };
        Row { version, history: History::new(), changed: 5, deleted_ms: 0, cells: vec![cell; 2] }
    }

    fn remotes() -> Vec<Correspondence> {
        vec![Correspondence { last: 5, seen: 5, ..Correspondence::default() }; 2]
    }

    #[test]
    fn what_has_anything_to_say_is_not_quiet() {
        assert!(is_quiet(&row(), Some(HERE), &remotes()));
        assert!(!is_quiet(&row(), Some(OTHER), &remotes()), "it changed");
        assert!(!is_quiet(&row(), None, &remotes()), "it is gone");
        type Change = fn(&mut Row, &mut Vec<Correspondence>);
        let changes: [(&str, Change); 9] = [
            ("nothing is known of a remote", |row, _| row.cells[1].word = None),
            ("a remote has another", |row, _| {
                row.cells[1].word.as_mut().unwrap().version.content = Content::File(OTHER);
            }),
            ("a remote has none", |row, _| {
                row.cells[1].word.as_mut().unwrap().version.content = Content::Absent;
            }),
            ("it changed since a remote was told", |row, _| row.changed = 6),
            ("a remote has not seen that", |_, remotes| remotes[1].seen = 4),
            ("that was not sent to a remote", |_, remotes| remotes[1].last = 4),
            ("a remote wants everything", |_, remotes| remotes[1].wants_all = true),
            ("a remote has seen nothing", |row, remotes| {
                row.changed = 0;
                remotes[1].seen = 0;
            }),
            ("it is told in no package", |row, _| row.version.generation = 0),
        ];
        for (what, change) in changes {
            let (mut row, mut remotes) = (row(), remotes());
            change(&mut row, &mut remotes);
            assert!(!is_quiet(&row, Some(HERE), &remotes), "{what}");
        }
        let mut deleted = row();
        deleted.version.content = Content::Absent;
        assert!(!is_quiet(&deleted, None, &remotes()), "a deletion is told until it is forgotten");
    }
}
