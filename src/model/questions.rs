//! Questions, and the list of those that are open: in the order in which they were asked, and found
//! by their files.
//!
//! Ten thousand may wait at once, and each that comes, goes or is named is looked for among those on
//! its own file only. Invariant: the two views hold the same questions; none changes its path.

use std::collections::BTreeMap;
use std::collections::btree_map::{Values, ValuesMut};

use super::path::TreePath;
use super::version::{Content, History, Version};

/// What only a person can settle: one version that arrived, beside the one that is here.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The file.
    pub path: TreePath,
    /// The version that arrived. In format 1.3 the generation is 0.
    pub version: Version,
    /// What it descends from.
    pub history: History,
    /// The remote that it came from, as an index into the remotes.
    pub remote: usize,
    /// The package that holds it, by its digest.
    pub package: [u8; 32],
    /// Its number in the package; `None` for a deletion, and where its contents are gone and asked for
    /// again.
    pub member: Option<u32>,
    /// Why it is a question.
    pub why: Why,
    /// When it arose, in ms since 1970.
    pub at_ms: u64,
}

impl Question {
    /// Whether a file arrived whose contents are gone: it can be kept from, and not taken.
    pub fn lacks_contents(&self) -> bool {
        self.member.is_none() && self.version.content != Content::Absent
    }
}

/// Why a verdict is a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Both sides changed the file: neither version descends from the other.
    Conflict,
    /// It was changed here and deleted there.
    DeletedThere,
    /// It was deleted here and changed there.
    DeletedHere,
    /// A deletion that would be silent, but deletions wait for a person.
    Deletion,
    /// The same, in a package that deletes most files: it waits whatever the policy.
    ManyDeletions,
    /// The path is ignored here.
    Ignored,
    /// The path is outside the scans here.
    OutsideScan,
    /// The path is a name that other programs obey (`.git/…`, `.profile`, …).
    Sensitive,
    /// A file is where a folder would have to be, or a folder or special file is in the way.
    InTheWay,
    /// What is on the disk could not be read, or changed while it was looked at.
    Unreadable,
}

impl Why {
    /// Every reason.
    pub const ALL: [Why; 10] = [
        Why::Conflict,
        Why::DeletedThere,
        Why::DeletedHere,
        Why::Deletion,
        Why::ManyDeletions,
        Why::Ignored,
        Why::OutsideScan,
        Why::Sensitive,
        Why::InTheWay,
        Why::Unreadable,
    ];

    /// Returns the reason's one-word name, as the ledger and the JSON documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Why::Conflict => "conflict",
            Why::DeletedThere => "deleted-there",
            Why::DeletedHere => "deleted-here",
            Why::Deletion => "deletion",
            Why::ManyDeletions => "many-deletions",
            Why::Ignored => "ignored",
            Why::OutsideScan => "outside-scan",
            Why::Sensitive => "sensitive",
            Why::InTheWay => "in-the-way",
            Why::Unreadable => "unreadable",
        }
    }
}

/// Open questions, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// By a number that each gets when it is listed.
    listed: BTreeMap<u64, Question>,
    /// For each file the numbers of those on it, ascending; never none.
    on_file: BTreeMap<TreePath, Vec<u64>>,
    /// The number of the next.
    next: u64,
}

impl Questions {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Returns the oldest.
    pub fn first(&self) -> Option<&Question> {
        self.listed.values().next()
    }

    /// Returns all, oldest first.
    pub fn iter(&self) -> Values<'_, u64, Question> {
        self.listed.values()
    }

    /// Returns all, oldest first; their paths must stay as they are.
    pub fn iter_mut(&mut self) -> ValuesMut<'_, u64, Question> {
        self.listed.values_mut()
    }

    /// Returns all, oldest first, as a list of its own.
    pub fn to_vec(&self) -> Vec<Question> {
        self.iter().cloned().collect()
    }

    /// Returns those on one file, oldest first.
    pub fn on(&self, path: &TreePath) -> impl Iterator<Item = &Question> {
        self.on_file.get(path).into_iter().flatten().filter_map(|number| self.listed.get(number))
    }

    /// Whether this very question is listed.
    pub fn contains(&self, question: &Question) -> bool {
        self.on(&question.path).any(|open| open == question)
    }

    /// Adds one at the end.
    pub fn push(&mut self, question: Question) {
        self.on_file.entry(question.path.clone()).or_default().push(self.next);
        self.listed.insert(self.next, question);
        self.next += 1;
    }

    /// Takes off the oldest on one file for which `is_it` holds, and returns it.
    pub fn take(&mut self, path: &TreePath, is_it: impl Fn(&Question) -> bool) -> Option<Question> {
        let is_it = |number: &&u64| self.listed.get(*number).is_some_and(&is_it);
        let number = *self.on_file.get(path)?.iter().find(is_it)?;
        let taken = self.listed.remove(&number);
        self.forget(path);
        taken
    }

    /// Leaves of those on one file the ones for which `stays` holds; it may change them, but for their
    /// paths.
    pub fn retain_on(&mut self, path: &TreePath, mut stays: impl FnMut(&mut Question) -> bool) {
        let Some(numbers) = self.on_file.get(path) else { return };
        for number in numbers {
            if self.listed.get_mut(number).is_some_and(|question| !stays(question)) {
                self.listed.remove(number);
            }
        }
        self.forget(path);
    }

    /// Leaves the ones for which `stays` holds.
    pub fn retain(&mut self, mut stays: impl FnMut(&Question) -> bool) {
        self.listed.retain(|_, question| stays(question));
        self.on_file.retain(|_, numbers| {
            numbers.retain(|number| self.listed.contains_key(number));
            !numbers.is_empty()
        });
    }

    /// Takes all off.
    pub fn clear(&mut self) {
        *self = Questions::default();
    }

    /// Forgets the numbers of what is listed no more on one file.
    fn forget(&mut self, path: &TreePath) {
        if let Some(numbers) = self.on_file.get_mut(path) {
            numbers.retain(|number| self.listed.contains_key(number));
            if numbers.is_empty() {
                self.on_file.remove(path);
            }
        }
    }
}

/// The same questions in the same order.
impl PartialEq for Questions {
    fn eq(&self, other: &Questions) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<Question> for Questions {
    fn from_iter<I: IntoIterator<Item = Question>>(all: I) -> Questions {
        let mut questions = Questions::default();
        all.into_iter().for_each(|question| questions.push(question));
        questions
    }
}

impl<'a> IntoIterator for &'a Questions {
    type Item = &'a Question;
    type IntoIter = Values<'a, u64, Question>;

    fn into_iter(self) -> Values<'a, u64, Question> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Questions {
    type Item = &'a mut Question;
    type IntoIter = ValuesMut<'a, u64, Question>;

    fn into_iter(self) -> ValuesMut<'a, u64, Question> {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Content;

    fn question(path: &str, remote: usize) -> Question {
        Question {
            path: TreePath::new(path.as_bytes()).unwrap(),
            version: Version { generation: 1, content: Content::Absent },
            history: History::new(),
            remote,
            package: [0; 32],
            member: None,
            why: Why::Conflict,
            at_ms: 0,
        }
    }

    fn shown(questions: &Questions) -> String {
        questions.iter().map(|question| format!("{}{} ", question.path, question.remote)).collect()
    }

    /// Both views, after each change.
    #[test]
    fn what_is_listed_is_found_by_its_file() {
        let names = [("b", 1), ("a", 1), ("b", 2), ("c", 1), ("b", 3)];
        let all = || names.iter().map(|(path, remote)| question(path, *remote)).collect();
        let (b, none) = (question("b", 2), question("d", 1));
        type Change = fn(&mut Questions, &Question);
        let table: [(&str, Change, &str); 7] = [
            ("nothing", |_, _| {}, "b1 a1 b2 c1 b3 "),
            ("one is added", |all, b| all.push(b.clone()), "b1 a1 b2 c1 b3 b2 "),
            ("one is taken", |all, b| drop(all.take(&b.path, |q| q.remote == 2)), "b1 a1 c1 b3 "),
            ("none fits", |all, b| drop(all.take(&b.path, |q| q.remote == 9)), "b1 a1 b2 c1 b3 "),
            (
                "some of a file stay",
                |all, b| all.retain_on(&b.path, |q| q.remote == 2),
                "a1 b2 c1 ",
            ),
            ("some stay", |all, _| all.retain(|q| q.remote == 1), "b1 a1 c1 "),
            ("none stays", |all, _| all.clear(), ""),
        ];
        for (name, change, want) in table {
            let mut questions: Questions = all();
            change(&mut questions, &b);
            assert_eq!(shown(&questions), want, "{name}");
            assert_eq!(questions.len(), want.split_whitespace().count(), "{name}");
            for one in questions.to_vec() {
                assert!(questions.contains(&one), "{name}");
                let on_file: Questions = questions.on(&one.path).cloned().collect();
                let by_hand: Questions =
                    questions.iter().filter(|open| open.path == one.path).cloned().collect();
                assert_eq!(on_file, by_hand, "{name}");
            }
            assert!(!questions.contains(&none) && questions.on(&none.path).next().is_none());
            let files: std::collections::BTreeSet<_> = questions.iter().map(|q| &q.path).collect();
            assert_eq!(questions.on_file.len(), files.len(), "{name}: nothing is left over");
        }
    }
}
