//! The base, sifted: `.remsync` and the ledger side by side, of which only some rows are kept.
//!
//! What a reading of both, one after the other, gives, less the rows that somebody has no need of: a
//! million files, of which ten changed, are then ten rows in memory. Invariant: every line has to be
//! sound, kept or not, and is read, but for those of a section that was found sound before; what
//! cannot be read so is said to be [`Sifted::Unordered`], and is read the other way.

use std::collections::BTreeSet;
use std::io::{BufRead, Seek};

use super::ledger::{LedgerLines, Reading};
use super::project::Listed;
use super::sections::{Places, Section, Sections, SectionsBuilder};
use super::statement::TextFault;
use crate::model::TreePath;
use crate::model::knowledge::Row;
use crate::model::project::{Format, Project};

/// Says which rows are needed.
pub trait Sieve {
    /// A reading begins, or begins again: who takes part is known, and no row yet.
    fn begin(&mut self, project: &Project);

    /// Whether a row is to be kept; `project` has what was exchanged with the remotes.
    fn keeps(&mut self, project: &Project, path: &TreePath, row: &Row) -> bool;

    /// Whether no row of a section is to be kept: it is not read then, and none of its rows is asked
    /// about.
    fn passes(&mut self, _: &Project, _: &Section) -> bool {
        false
    }
}

/// What a sifted reading came to.
#[derive(Debug)]
pub enum Sifted {
    /// The project, with the rows that were kept, and the sections of the base if all of it was
    /// read.
    Project(Box<Project>, Option<Sections>),
    /// The files of `.remsync` do not ascend, or it speaks format 1.3.
    Unordered,
}

/// Reads `.remsync` and the ledger, each with what people call it, and asks `sieve` about each row.
///
/// `apart` are paths that are not asked about and not kept: a journal has their rows. `sections` are
/// those of just these files, if they are known.
///
/// # Errors
/// The first [`TextFault`] found.
pub fn read(
    (remsync, remsync_file): (impl BufRead + Seek, &str),
    (ledger, ledger_file): (impl BufRead + Seek, &str),
    apart: &BTreeSet<TreePath>,
    sieve: &mut dyn Sieve,
    sections: Option<&Sections>,
) -> Result<Sifted, TextFault> {
    let Some((listed, mut project)) = Listed::begin(remsync, remsync_file)? else {
        return Ok(Sifted::Unordered);
    };
    if project.identity.format != Format::V2_0 {
        return Ok(Sifted::Unordered);
    }
    sieve.begin(&project);
    let mut reader = Reader {
        listed,
        ledger: LedgerLines::new(ledger, ledger_file),
        reading: Reading::sifting(&mut project),
        only_listed: Vec::new(),
        apart,
        sieve,
        building: sections.is_none().then(SectionsBuilder::default),
    };
    let mut next = 0;
    loop {
        if let Some(sections) = sections
            && !reader.pass_sections(sections, &mut next)?
        {
            return Ok(Sifted::Unordered);
        }
        match reader.step()? {
            Step::Line => {}
            Step::Unordered => return Ok(Sifted::Unordered),
            Step::End => break,
        }
    }
    let Some(sections) = reader.finish()? else { return Ok(Sifted::Unordered) };
    Ok(Sifted::Project(Box::new(project), sections))
}

/// What reading a line came to.
enum Step {
    Line,
    Unordered,
    End,
}

/// The two files on their way into a project.
struct Reader<'r, 'p, L, M> {
    listed: Listed<L>,
    ledger: LedgerLines<M>,
    reading: Reading<'p>,
    /// Files that the ledger does not have.
    only_listed: Vec<(TreePath, Row)>,
    apart: &'r BTreeSet<TreePath>,
    sieve: &'r mut dyn Sieve,
    /// The sections, where they are not known.
    building: Option<SectionsBuilder>,
}

impl<L: BufRead + Seek, M: BufRead + Seek> Reader<'_, '_, L, M> {
    /// Goes past the sections that begin here, with number `next`, of which no row is needed; `next`
    /// is then the first that is not judged yet. `false` where the files do not ascend.
    fn pass_sections(&mut self, sections: &Sections, next: &mut usize) -> Result<bool, TextFault> {
        if sections.place(*next).ledger != self.ledger.place() {
            return Ok(true);
        }
        // Rows are asked about in their order.
        self.reading.place_row();
        self.sift_whole();
        let first = *next;
        while sections.get(*next).is_some_and(|section| self.is_passed(section)) {
            *next += 1;
        }
        let Places { remsync, ledger } = sections.place(*next);
        let is_passed = *next > first;
        *next += 1;
        if !is_passed {
            return Ok(true);
        }
        self.ledger.go_to(ledger)?;
        self.listed.go_to(remsync)
    }

    fn is_passed(&mut self, section: &Section) -> bool {
        let is_apart = self.apart.range(&section.first..=&section.last).next().is_some();
        !is_apart && self.sieve.passes(self.reading.project(), section)
    }

    /// Reads a line of the ledger, and what `.remsync` has up to it.
    fn step(&mut self) -> Result<Step, TextFault> {
        let places = Places { remsync: self.listed.place(), ledger: self.ledger.place() };
        let line = self.ledger.next_line()?;
        if let Some(building) = &mut self.building {
            match line.map(|line| line.keyword) {
                Some(b"row") => building.begin(places),
                Some(b"lacking" | b"question" | b"settled") | None => building.end(places),
                Some(_) => {}
            }
        }
        let Some(line) = line else { return Ok(Step::End) };
        if line.keyword == b"row" && !self.listed.pass(&line, &mut self.only_listed)? {
            return Ok(Step::Unordered);
        }
        self.reading.take_in_ledger(&line)?;
        self.sift_whole();
        Ok(Step::Line)
    }

    /// Ends the reading. Returns the sections, where they were not known and there are some; or
    /// nothing at all where the files do not ascend.
    fn finish(mut self) -> Result<Option<Option<Sections>>, TextFault> {
        self.reading.place_row();
        self.sift_whole();
        if !self.listed.pass_rest(&mut self.only_listed)? {
            return Ok(None);
        }
        let is_plain = self.only_listed.is_empty();
        for (path, row) in std::mem::take(&mut self.only_listed) {
            self.sift(path, row);
        }
        Ok(Some(self.building.filter(|_| is_plain).and_then(SectionsBuilder::finish)))
    }

    /// Keeps the row that became whole, if one did and it is needed.
    fn sift_whole(&mut self) {
        let Some((path, row)) = self.reading.take_whole() else { return };
        if let Some(building) = &mut self.building {
            building.add(&path, &row);
        }
        self.sift(path, row);
    }

    fn sift(&mut self, path: TreePath, row: Row) {
        let is_apart = self.apart.contains(&path);
        if !is_apart && self.sieve.keeps(self.reading.project(), &path, &row) {
            self.reading.insert(path, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use super::*;
    use crate::format::sections::FilesDigest;
    use crate::format::{ledger, project};
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
        read(
            (Cursor::new(remsync), ".remsync"),
            (Cursor::new(ledger), "ledger"),
            &apart,
            names,
            None,
        )
    }

    #[test]
    fn what_is_kept_is_what_reading_both_gives() {
        let whole = sample();
        let (remsync, ledger) = (project::print(&whole), ledger::print(&whole));
        let all: Vec<String> = whole.knowledge.rows.keys().map(ToString::to_string).collect();
        for keeps in [vec![], vec!["a.b"], vec!["a", "a/b", "d"], vec!["b", "c\u{e9}"]] {
            let mut names = Names(keeps, Vec::new());
            let Sifted::Project(some, _) = sifted(&remsync, &ledger, &[], &mut names).unwrap()
            else {
                panic!("it ascends");
            };
            let mut expected = whole.clone();
            expected.knowledge.rows.retain(|path, _| names.0.contains(&path.to_string().as_str()));
            assert_eq!(*some, expected);
            assert_eq!(names.1, all);
        }
        let mut names = Names(vec!["a", "b"], Vec::new());
        let Sifted::Project(some, _) = sifted(&remsync, &ledger, &["b"], &mut names).unwrap()
        else {
            panic!("it ascends");
        };
        assert_eq!(some.knowledge.rows.into_keys().collect::<Vec<_>>(), [path("a")]);
        assert!(!names.1.contains(&"b".to_owned()), "a journal has it");
    }

    /// Keeps the rows whose files are not found as they say; goes past sections if it may.
    struct Found {
        files: BTreeMap<TreePath, Signature>,
        goes_past: bool,
        asked: usize,
    }

    impl Sieve for Found {
        fn begin(&mut self, _: &Project) {}

        fn keeps(&mut self, _: &Project, path: &TreePath, row: &Row) -> bool {
            self.asked += 1;
            row.agreed().is_none() || row.agreed() != self.files.get(path).copied()
        }

        fn passes(&mut self, project: &Project, section: &Section) -> bool {
            assert_eq!(project.knowledge.remotes[0].last, 7, "what was exchanged is known");
            let mut found = FilesDigest::default();
            for (path, signature) in self.files.range(&section.first..=&section.last) {
                found.add(path.as_bytes(), signature);
            }
            self.goes_past && section.digest == Some(found.finish())
        }
    }

    /// Rows in so many sections, whose files are where they say; of some a remote knows nothing.
    fn large(sections: usize, is_agreed: impl Fn(usize) -> bool) -> (Project, Found) {
        let mut project = sample();
        let mut files = BTreeMap::new();
        let row =
            Row { cells: vec![Cell::default(); 2], ..project.knowledge.rows[&path("a")].clone() };
        project.knowledge.rows.clear();
        for at in 0..sections * 1024 - 100 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&at.to_le_bytes());
            let signature = Signature::Sha256 { digest, executable: at % 5 == 0 };
            let version = Version { generation: 2, content: Content::File(signature) };
            let word = is_agreed(at).then(|| Word { version, history: History::new(), serial: 3 });
            let cell = Cell { word, ..Cell::default() };
            let row = Row { version, changed: at as u64 % 90, cells: vec![cell; 2], ..row.clone() };
            // Of any length, so that nothing stands where one might guess.
            let name = path(&format!("{at:06}{}", "x y".repeat(at % 7)));
            files.insert(name.clone(), signature);
            project.knowledge.rows.insert(name, row);
        }
        project.knowledge.settled.insert(([1; 32], path("a")));
        project.knowledge.lacking.insert(path("lack"), vec![Cell::default(); 2]);
        (project, Found { files, goes_past: true, asked: 0 })
    }

    fn read_by(
        (remsync, ledger): &(Vec<u8>, Vec<u8>),
        apart: &[TreePath],
        sieve: &mut Found,
        sections: Option<&Sections>,
    ) -> (Project, Option<Sections>) {
        let apart = apart.iter().cloned().collect();
        let remsync = (Cursor::new(remsync), ".remsync");
        match read(remsync, (Cursor::new(ledger), "ledger"), &apart, sieve, sections).unwrap() {
            Sifted::Project(project, sections) => (*project, sections),
            Sifted::Unordered => panic!("it ascends"),
        }
    }

    #[test]
    fn a_section_as_it_was_is_not_read() {
        let (whole, mut found) = large(5, |at| at != 2100);
        let texts = (project::print(&whole), ledger::print(&whole));
        let rows: Vec<TreePath> = whole.knowledge.rows.keys().cloned().collect();
        let (_, sections) = read_by(&texts, &[], &mut found, None);
        let sections = sections.unwrap();
        let key = "a key";
        assert_eq!(Sections::parse(&sections.print(key), key).as_ref(), Some(&sections));
        let section = sections.get(4).unwrap();
        assert_eq!((&section.first, &section.last), (&rows[4096], &rows[5019]));
        assert_eq!((section.files, section.changed), (924, 89));
        assert_eq!(sections.get(2).unwrap().digest, None, "it has a row that is not agreed upon");

        // What changed, and how many rows are asked about then: of their sections, and of the one
        // of which nobody could say that it is agreed upon.
        type Change = fn(&mut BTreeMap<TreePath, Signature>, &[TreePath]);
        let other = Signature::Sha256 { digest: [9; 32], executable: false };
        let changes: [(&str, Change, &[usize], usize); 8] = [
            ("nothing", |_, _| (), &[], 1024),
            ("the first", |files, rows| _ = files.remove(&rows[0]), &[], 2048),
            ("the last", |files, rows| _ = files.remove(&rows[5019]), &[], 1024 + 924),
            (
                "a mode",
                |files, rows| {
                    let Some(Signature::Sha256 { executable, .. }) = files.get_mut(&rows[1023])
                    else {
                        panic!();
                    };
                    *executable = !*executable;
                },
                &[],
                2048,
            ),
            (
                "two",
                |files, rows| {
                    let one = files[&rows[1025]];
                    let other = files.insert(rows[1024].clone(), one).unwrap();
                    files.insert(rows[1025].clone(), other);
                },
                &[],
                2048,
            ),
            (
                "a new one within",
                |files, rows| {
                    let name = [rows[3500].as_bytes(), b"+"].concat();
                    files.insert(TreePath::new(&name).unwrap(), files[&rows[0]]);
                },
                &[],
                2048,
            ),
            ("what the journal has", |_, _| (), &[4000, 4100], 1024 + 924 + 1024 - 2),
            ("all", |files, _| files.clear(), &[], 5020),
        ];
        for (what, change, apart, asked) in changes {
            let apart: Vec<TreePath> = apart.iter().map(|at| rows[*at].clone()).collect();
            let mut files = found.files.clone();
            change(&mut files, &rows);
            files.insert(path("elsewhere"), other);
            let mut plain = Found { files: files.clone(), goes_past: false, asked: 0 };
            let mut quick = Found { files, goes_past: true, asked: 0 };
            let (expected, again) = read_by(&texts, &apart, &mut plain, None);
            assert_eq!(again.as_ref(), Some(&sections), "{what}: however it is read");
            let (some, none) = read_by(&texts, &apart, &mut quick, Some(&sections));
            assert!(some == expected, "{what}");
            assert_eq!((quick.asked, none), (asked, None), "{what}");
        }
    }

    #[test]
    fn a_line_of_a_section_that_is_read_is_said_by_its_number() {
        let (whole, mut found) = large(3, |_| true);
        let mut texts = (project::print(&whole), ledger::print(&whole));
        let sections = read_by(&texts, &[], &mut found, None).1.unwrap();
        found.files.remove(whole.knowledge.rows.keys().nth(2500).unwrap());
        let lines = texts.1.iter().filter(|byte| **byte == b'\n').count();
        // A line of the last section, of the same length.
        let at = texts.1.windows(12).rposition(|text| text == b"\nsettled\t010").unwrap() - 3;
        texts.1[at] = b'\t';
        let apart = BTreeSet::new();
        for sections in [None, Some(&sections)] {
            let remsync = (Cursor::new(&texts.0), ".remsync");
            let ledger = (Cursor::new(&texts.1), "ledger");
            let fault = read(remsync, ledger, &apart, &mut found, sections).unwrap_err();
            assert_eq!(fault.line, lines as u64 - 2, "{fault}");
        }
    }

    #[test]
    fn sections_are_of_one_base_and_whole_or_none() {
        let (whole, mut found) = large(2, |_| true);
        let texts = (project::print(&whole), ledger::print(&whole));
        let sections = read_by(&texts, &[], &mut found, None).1.unwrap();
        let text = sections.print("one");
        assert_eq!(Sections::parse(&text, "one"), Some(sections));
        assert_eq!(Sections::parse(&text, "two"), None);
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            assert_eq!(Sections::parse(&bad, "one"), None, "{at}");
            assert_eq!(Sections::parse(&text[..at], "one"), None, "{at}");
        }
        // A base with files that the ledger does not know has none.
        let first = whole.knowledge.rows.keys().next().unwrap();
        let mut less = whole.clone();
        less.knowledge.rows.remove(first);
        let texts = (project::print(&whole), ledger::print(&less));
        assert_eq!(read_by(&texts, &[], &mut found, None).1, None);
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
                assert!(matches!(some, Sifted::Project(some, _) if *some == both), "{lost}");
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
