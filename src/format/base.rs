//! The base, sifted: `.remsync` and the ledger side by side, of which only some rows are kept.
//!
//! What a reading of both, one after the other, gives, less the rows that somebody has no need of: a
//! million files, of which ten changed, are then ten rows in memory. Invariant: every line is read
//! and has to be sound, kept or not; what cannot be read so is said to be [`Sifted::Unordered`], and
//! is read the other way.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::ledger::{self, Keeps, Reading};
use super::project::Listed;
use super::statement::{Statement, TextFault};
use crate::model::TreePath;
use crate::model::knowledge::Row;
use crate::model::project::{Format, Project};

/// Says which rows are needed.
pub trait Sieve {
    /// A reading begins, or begins again: who takes part is known, and no row yet.
    fn begin(&mut self, project: &Project);

    /// Whether a row is to be kept; `project` has what was exchanged with the remotes.
    fn keeps(&mut self, project: &Project, path: &TreePath, row: &Row) -> bool;
}

/// What a sifted reading came to.
#[derive(Debug)]
pub enum Sifted {
    /// The project, with the rows that were kept.
    Project(Box<Project>),
    /// The files of `.remsync` do not ascend, or it speaks format 1.3.
    Unordered,
}

/// Reads `.remsync` and the ledger, each with what people call it, and asks `sieve` about each row.
///
/// `apart` are paths that are not asked about and not kept: a journal has their rows.
///
/// # Errors
/// The first [`TextFault`] found.
pub fn read(
    (remsync, remsync_file): (impl BufRead, &str),
    (ledger, ledger_file): (impl BufRead, &str),
    apart: &BTreeSet<TreePath>,
    sieve: &mut dyn Sieve,
) -> Result<Sifted, TextFault> {
    let Some((mut listed, mut project)) = Listed::begin(remsync, remsync_file)? else {
        return Ok(Sifted::Unordered);
    };
    if project.identity.format != Format::V2_0 {
        return Ok(Sifted::Unordered);
    }
    sieve.begin(&project);
    let mut only_listed = Vec::new();
    let keeps: Keeps<'_> =
        Box::new(|project, path, row| !apart.contains(path) && sieve.keeps(project, path, row));
    let mut reading = Reading::sifting(&mut project, keeps);
    let mut is_ordered = true;
    ledger::read_into(&mut reading, ledger, ledger_file, &mut |line: &Statement<'_>| {
        if is_ordered {
            is_ordered = listed.pass(line, &mut only_listed)?;
        }
        Ok(())
    })?;
    is_ordered = is_ordered && listed.pass_rest(&mut only_listed)?;
    if !is_ordered {
        return Ok(Sifted::Unordered);
    }
    for (path, row) in only_listed {
        reading.place(path, row);
    }
    reading.finish();
    Ok(Sifted::Project(Box::new(project)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::project;
    use crate::model::knowledge::{Cell, Word};
    use crate::model::{Content, History, Signature, Version};

    /// Keeps the rows whose paths it names, and notes what it was asked.
    struct Names(Vec<&'static str>, Vec<String>);

    impl Sieve for Names {
        fn begin(&mut self, project: &Project) {
            assert!(project.knowledge.rows.is_empty());
        }

        fn keeps(&mut self, project: &Project, path: &TreePath, _: &Row) -> bool {
            assert_eq!(project.knowledge.remotes.len(), 2);
            assert_eq!(project.knowledge.remotes[0].last, 7, "what was exchanged is known");
            self.1.push(path.to_string());
            self.0.contains(&path.to_string().as_str())
        }
    }

    fn path(name: &str) -> TreePath {
        TreePath::new(name.as_bytes()).unwrap()
    }

    /// Rows of all kinds: in step, apart, deleted, with a history, with odd names.
    fn sample() -> Project {
        let head = "format\tremsync 2.0\ntitle\tT\nhere\ta@x -\nremote\tb@x -\nremote\tc@x -\n";
        let mut project = project::parse(head.as_bytes(), ".remsync").unwrap();
        project.knowledge.remotes[0].last = 7;
        for (at, name) in ["a", "a b", "a.b", "a/b", "b", "c\u{e9}", "d"].into_iter().enumerate() {
            let digest = [u8::try_from(at).unwrap(); 32];
            let file = Content::File(Signature::Sha256 { digest, executable: at == 2 });
            let content = if at == 4 { Content::Absent } else { file };
            let version = Version { generation: 1 + at as u64, content };
            let older = Version { generation: at as u64, content: Content::Absent };
            let theirs = if at == 3 { older } else { version };
            let word = Word { version: theirs, history: History::new(), serial: 3 };
            let history = (0..at).map(|_| older.ancestor()).collect();
            let cells = vec![Cell { word: Some(word), ..Cell::default() }, Cell::default()];
            let row = Row { version, history, changed: at as u64, deleted_ms: 0, cells };
            project.knowledge.rows.insert(path(name), row);
        }
        project
    }

    fn sifted(
        remsync: &[u8],
        ledger: &[u8],
        apart: &[&str],
        names: &mut Names,
    ) -> Result<Sifted, TextFault> {
        let apart = apart.iter().map(|name| path(name)).collect();
        read((remsync, ".remsync"), (ledger, "ledger"), &apart, names)
    }

    #[test]
    fn what_is_kept_is_what_reading_both_gives() {
        let whole = sample();
        let (remsync, ledger) = (project::print(&whole), ledger::print(&whole));
        let all: Vec<String> = whole.knowledge.rows.keys().map(ToString::to_string).collect();
        for keeps in [vec![], vec!["a.b"], vec!["a", "a/b", "d"], vec!["b", "c\u{e9}"]] {
            let mut names = Names(keeps, Vec::new());
            let Sifted::Project(some) = sifted(&remsync, &ledger, &[], &mut names).unwrap() else {
                panic!("it ascends");
            };
            let mut expected = whole.clone();
            expected.knowledge.rows.retain(|path, _| names.0.contains(&path.to_string().as_str()));
            assert_eq!(*some, expected);
            assert_eq!(names.1, all);
        }
        let mut names = Names(vec!["a", "b"], Vec::new());
        let Sifted::Project(some) = sifted(&remsync, &ledger, &["b"], &mut names).unwrap() else {
            panic!("it ascends");
        };
        assert_eq!(some.knowledge.rows.into_keys().collect::<Vec<_>>(), [path("a")]);
        assert!(!names.1.contains(&"b".to_owned()), "a journal has it");
    }

    #[test]
    fn either_may_have_files_that_the_other_has_not() {
        let whole = sample();
        let names = || Names(vec!["a", "a b", "a.b", "a/b", "b", "c\u{e9}", "d"], Vec::new());
        for lost in whole.knowledge.rows.keys() {
            let mut less = whole.clone();
            less.knowledge.rows.remove(lost);
            for (listed, known) in [(&whole, &less), (&less, &whole)] {
                let (remsync, ledger) = (project::print(listed), ledger::print(known));
                let mut both = project::parse(&remsync, ".remsync").unwrap();
                ledger::parse_into(&mut both, &*ledger, "ledger").unwrap();
                let some = sifted(&remsync, &ledger, &[], &mut names()).unwrap();
                assert!(matches!(some, Sifted::Project(some) if *some == both), "{lost}");
            }
        }
    }

    #[test]
    fn what_does_not_ascend_is_read_the_other_way() {
        let whole = sample();
        let text = String::from_utf8(project::print(&whole)).unwrap();
        let ledger = ledger::print(&whole);
        let at = text.find("\ta%20b").unwrap();
        let (head, files) = text.split_at(at);
        let first = files.find('\n').unwrap() + 1;
        let late = format!("{head}{}{}", &files[first..], &files[..first]);
        let twice = format!("{text}{}", &files[..first]);
        let remote = format!("{text}remote\td@x -\n");
        for text in [late, twice, remote] {
            let some = sifted(text.as_bytes(), &ledger, &[], &mut Names(vec![], Vec::new()));
            assert!(matches!(some, Ok(Sifted::Unordered)), "{text}");
        }
        let head = "format\tremsync 1.3\nhere\ta@x -\nremote\tb@x -\n\tf 00070\n";
        let some = sifted(head.as_bytes(), &ledger, &[], &mut Names(vec![], Vec::new()));
        assert!(matches!(some, Ok(Sifted::Unordered)));
    }

    #[test]
    fn a_line_that_nobody_needs_has_to_be_sound_too() {
        let whole = sample();
        let text = String::from_utf8(project::print(&whole)).unwrap();
        let ledger = String::from_utf8(ledger::print(&whole)).unwrap();
        let broken = [
            (text.replacen("\ta 1.", "\ta x.", 1), ledger.clone()),
            (text.replacen("\ta 1.0", "\ta 1.g", 1), ledger.clone()),
            (text.replacen(" ?\n", " ? ?\n", 1), ledger.clone()),
            (text.replacen(" ?\n", " ! \n", 1), ledger.clone()),
            (text.clone(), ledger.replacen("row\ta 1.0", "row\ta 1.g", 1)),
            (text.clone(), ledger.replacen("word\t0 3", "word\t9 3", 1)),
            (text.clone(), ledger.replacen("end\t", "end\t1", 1)),
        ];
        for (remsync, broken) in broken {
            assert!(remsync != text || broken != ledger);
            let names = &mut Names(vec![], Vec::new());
            let some = sifted(remsync.as_bytes(), broken.as_bytes(), &[], names);
            assert!(some.is_err(), "{remsync}{broken}");
        }
    }
}
