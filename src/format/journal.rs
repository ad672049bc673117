//! The journal: what changed since the ledger was folded.
//!
//! A log of transactions, only ever appended to. Each holds the whole truth about the rows it
//! touched, in the ledger's own lines, so that replaying one on a base that has it already changes
//! nothing. Invariant: a transaction counts from its `commit` line on and not before; what a crash
//! tore off at the end is dropped and said, and damage anywhere else is a fault.
//!
//! ```text
//! CRC32 begin   remsync-journal 1 N
//! CRC32 clock …, remote …, row … (with its cells), gone PATH, question …, settled …
//! CRC32 fold    LEDGER REMSYNC|-         alone: a new base is whole on the disk (`edge::state`)
//! CRC32 commit  N LINES
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use super::digest::crc32;
use super::ledger::{self, Reading};
use super::statement::{self, Statement, TextFault};
use crate::model::TreePath;
use crate::model::project::{Format, Project};

const FORMAT: &str = "remsync-journal 1";

/// Bytes before a statement: the checksum and a space.
const CHECKSUM_BYTES: usize = 9;

/// The transactions found in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    transactions: Vec<Transaction>,
    /// What the whole transactions take, in bytes from the start; what follows was torn off.
    pub sound_bytes: u64,
    /// Whether anything follows.
    pub is_torn: bool,
    /// The new base that the last transaction names, if it is such a one: all before it is in there.
    pub fold: Option<Fold>,
}

/// A new base: digests of its files, which are written, but perhaps not yet under their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// SHA-256 of the ledger.
    pub ledger: [u8; 32],
    /// SHA-256 of `.remsync`; `None` when it did not change.
    pub remsync: Option<[u8; 32]>,
}

/// Where the lines of one transaction lie, without `begin` and `commit`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transaction {
    bytes: Range<usize>,
    /// The number of the first.
    line: u64,
}

/// What replaying a journal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many transactions it holds.
    pub transactions: u64,
    /// What they take, in bytes from the start: whoever appends cuts the rest off first.
    pub sound_bytes: u64,
    /// Whether an unfinished transaction follows, which was dropped.
    pub is_torn: bool,
}

/// Returns transaction `number`, counted from 1 since the journal was last empty: the rows of
/// `touched` as `project` has them now, or that it has them no longer, and all that is no row.
pub fn transaction(project: &Project, touched: &BTreeSet<TreePath>, number: u64) -> Vec<u8> {
    let mut body = Vec::new();
    ledger::push_head(project, &mut body);
    for path in touched {
        let knowledge = &project.knowledge;
        match (knowledge.rows.get(path), knowledge.lacking.get(path)) {
            (Some(row), _) => ledger::push_row(project.identity.format, path, row, &mut body),
            (None, Some(cells)) => ledger::push_lacking(path, cells, &mut body),
            (None, None) => {
                ledger::push_keyword("gone", path, &mut body);
                body.push(b'\n');
            }
        }
    }
    ledger::push_tail(project, &mut body);
    enclosed(&body, number)
}

/// Returns transaction `number`, which says that a new base is whole on the disk.
pub fn fold(fold: &Fold, number: u64) -> Vec<u8> {
    let mut body = b"fold\t".to_vec();
    statement::push_hex(&mut body, &fold.ledger);
    body.push(b' ');
    match &fold.remsync {
        None => body.push(b'-'),
        Some(digest) => statement::push_hex(&mut body, digest),
    }
    body.push(b'\n');
    enclosed(&body, number)
}

/// Finds the transactions of a journal; `file` is what people call it.
///
/// # Errors
/// A [`TextFault`] for damage that no crash while appending leaves behind.
pub fn parse(bytes: &[u8], file: &str) -> Result<Journal, TextFault> {
    let mut journal = Journal::default();
    let mut lines = LogLines::new(bytes, file);
    while lines.offset < bytes.len() {
        if journal.fold.is_some() {
            return Err(lines.fault_here("something after a new base"));
        }
        let number = journal.transactions.len() as u64 + 1;
        match whole_transaction(&mut lines, number) {
            Ok((transaction, fold)) => {
                journal.transactions.push(transaction);
                journal.sound_bytes = lines.offset as u64;
                journal.fold = fold;
            }
            Err(Broken { offset, fault }) => {
                if !is_torn(bytes, offset, number) {
                    return Err(fault);
                }
                journal.is_torn = true;
                break;
            }
        }
    }
    Ok(journal)
}

/// Brings `project` up to date with the journal `bytes`; `file` is what people call it. A journal
/// that ends with a new base has nothing to add to that.
///
/// # Errors
/// A [`TextFault`] for damage; `project` may then be half up to date.
pub fn replay(project: &mut Project, bytes: &[u8], file: &str) -> Result<Replayed, TextFault> {
    let journal = parse(bytes, file)?;
    journal.replay(project, bytes, file)
}

impl Journal {
    /// Brings `project` up to date with the transactions; `bytes` is what they were found in.
    ///
    /// # Errors
    /// A [`TextFault`] for a line whose checksum holds and that says nothing known.
    pub fn replay(
        &self,
        project: &mut Project,
        bytes: &[u8],
        file: &str,
    ) -> Result<Replayed, TextFault> {
        if self.fold.is_none() {
            for transaction in &self.transactions {
                let body = bytes.get(transaction.bytes.clone()).unwrap_or_default();
                replay_one(project, body, file, transaction.line)?;
            }
        }
        Ok(Replayed {
            transactions: self.transactions.len() as u64,
            sound_bytes: self.sound_bytes,
            is_torn: self.is_torn,
        })
    }

    /// Brings a copy of `project` up to date with each transaction alone; `bytes` is what they were
    /// found in.
    ///
    /// # Errors
    /// As [`Journal::replay`].
    pub fn replay_apart(
        &self,
        project: &Project,
        bytes: &[u8],
        file: &str,
    ) -> Result<Vec<Project>, TextFault> {
        let apart = self.transactions.iter().map(|found| {
            let (body, mut project) = (bytes.get(found.bytes.clone()), project.clone());
            replay_one(&mut project, body.unwrap_or_default(), file, found.line)?;
            Ok(project)
        });
        apart.collect()
    }

    /// Returns the paths that the transactions are about; `bytes` is what they were found in.
    pub fn paths(&self, bytes: &[u8]) -> BTreeSet<TreePath> {
        let bodies = self.transactions.iter().filter_map(|found| bytes.get(found.bytes.clone()));
        let lines = bodies.flat_map(|body| body.split(|&b| b == b'\n'));
        let path = |line: &[u8]| {
            let line = Statement::new("", 0, line.get(CHECKSUM_BYTES..)?);
            let is_told = matches!(line.keyword, b"row" | b"lacking" | b"gone");
            let word = line.rest.filter(|_| is_told)?.split(|&b| b == b' ').next()?;
            statement::path(Format::V2_0, word).ok()
        };
        lines.filter_map(path).collect()
    }

    /// Returns how many transactions it holds.
    pub fn transactions(&self) -> u64 {
        self.transactions.len() as u64
    }
}

/// The lines of a journal that lies in memory.
#[derive(Debug)]
struct LogLines<'a> {
    bytes: &'a [u8],
    file: &'a str,
    offset: usize,
    number: u64,
}

/// Where a transaction is not what it should be.
#[derive(Debug)]
struct Broken {
    offset: usize,
    fault: TextFault,
}

impl<'a> LogLines<'a> {
    fn new(bytes: &'a [u8], file: &'a str) -> LogLines<'a> {
        LogLines { bytes, file, offset: 0, number: 0 }
    }

    /// Returns the next line, if it is whole; the offset then lies after it, and else before it.
    fn next_line(&mut self) -> Result<Statement<'a>, Broken> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let statement = checked(&rest[..length]).filter(|_| length < rest.len());
        let Some(line) = statement else {
            let why = "a line that its checksum does not fit";
            return Err(Broken { offset: self.offset, fault: self.fault_here(why) });
        };
        self.offset += length + 1;
        self.number += 1;
        Ok(Statement::new(self.file, self.number, line))
    }

    fn fault_here(&self, why: &str) -> TextFault {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        Statement::new(self.file, self.number + 1, &rest[..length]).fault(why)
    }
}

/// Puts `body` between `begin` and `commit`, with a checksum before each line.
fn enclosed(body: &[u8], number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() * 5 / 4 + 128);
    push_line(format!("begin\t{FORMAT} {number}").as_bytes(), &mut out);
    let mut lines: u64 = 0;
    for line in body.split_inclusive(|&b| b == b'\n') {
        push_line(line.strip_suffix(b"\n").unwrap_or(line), &mut out);
        lines += 1;
    }
    push_line(format!("commit\t{number} {lines}").as_bytes(), &mut out);
    out
}

fn push_line(line: &[u8], out: &mut Vec<u8>) {
    statement::push_hex(out, &crc32(line).to_be_bytes());
    out.push(b' ');
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// Returns the statement of a line whose checksum holds.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, statement) = line.split_at_checked(CHECKSUM_BYTES)?;
    let sum = u32::from_be_bytes(statement::hex(sum.strip_suffix(b" ")?)?);
    (sum == crc32(statement)).then_some(statement)
}

/// Reads one transaction, from its `begin` to its `commit`.
fn whole_transaction(
    lines: &mut LogLines<'_>,
    number: u64,
) -> Result<(Transaction, Option<Fold>), Broken> {
    let start = lines.offset;
    let broken = |fault| Broken { offset: start, fault };
    let begin = lines.next_line()?;
    if begin.line != format!("begin\t{FORMAT} {number}").as_bytes() {
        return Err(broken(begin.fault(format!("not the begin of transaction {number}"))));
    }
    let (from, first) = (lines.offset, lines.number + 1);
    let mut new_base = None;
    let mut count: u64 = 0;
    loop {
        let to = lines.offset;
        let line = lines.next_line()?;
        match line.keyword {
            b"commit" if line.line == format!("commit\t{number} {count}").as_bytes() => {
                return Ok((Transaction { bytes: from..to, line: first }, new_base));
            }
            b"commit" | b"begin" => {
                return Err(broken(line.fault(format!("not the end of transaction {number}"))));
            }
            b"fold" => new_base = Some(read_fold(&line).map_err(broken)?),
            _ => {}
        }
        count += 1;
    }
}

fn read_fold(line: &Statement<'_>) -> Result<Fold, TextFault> {
    let digest =
        |word| statement::hex(word).ok_or_else(|| line.fault("not 64 lower-case hex digits"));
    let mut words = line.words()?;
    let ledger = digest(words.need("digest")?)?;
    let remsync = match words.need("digest")? {
        b"-" => None,
        word => Some(digest(word)?),
    };
    words.end()?;
    Ok(Fold { ledger, remsync })
}

/// Whether what is broken at `offset` is what a crash leaves while transaction `number` is being
/// appended: the end is missing, or blocks of it never reached the disk and are zeros. The rest of
/// such a transaction may be there, its `commit` too; but nothing of a later one, which is begun
/// only when this one is safe.
fn is_torn(bytes: &[u8], offset: usize, number: u64) -> bool {
    let rest = bytes.get(offset..).unwrap_or_default();
    let later = rest.split(|&b| b == b'\n').filter_map(checked).filter_map(commit_number);
    if later.into_iter().any(|committed| committed > number) {
        return false;
    }
    rest.contains(&0) || is_cut_short(rest)
}

/// Whether every whole line of `rest` is sound, so that only the end is missing.
fn is_cut_short(rest: &[u8]) -> bool {
    let whole = rest.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let commits = |line: &[u8]| checked(line).and_then(commit_number).is_some();
    rest[..whole]
        .split_inclusive(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .all(|line| checked(line).is_some() && !commits(line))
}

fn commit_number(statement: &[u8]) -> Option<u64> {
    let rest = statement.strip_prefix(b"commit\t")?;
    statement::number(rest.split(|&b| b == b' ').next()?, 1, u64::MAX).ok()
}

fn replay_one(
    project: &mut Project,
    body: &[u8],
    file: &str,
    first_line: u64,
) -> Result<(), TextFault> {
    let mut reading = Reading::new(project);
    let lines = body.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    for (number, line) in (first_line..).zip(lines) {
        let statement = line.get(CHECKSUM_BYTES..).unwrap_or_default();
        let line = Statement::new(file, number, statement);
        if !reading.take(&line)? {
            return Err(line.fault("an unknown keyword"));
        }
    }
    reading.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::project;
    use crate::model::knowledge::Row;
    use crate::model::{Content, Version};

    fn base() -> Project {
        let text = "format\tremsync 2.0\ntitle\tT\nhere\ta@x -\nremote\tb@x -\n\tf 1.- -\n";
        let mut project = project::parse(text.as_bytes(), ".remsync").unwrap();
        project.knowledge.remotes[0].last = 1;
        project
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    /// States 0 to `n`, each one transaction on, and the journal that leads there.
    fn history(n: u64) -> (Vec<Project>, Vec<Vec<u8>>) {
        let mut project = base();
        let mut states = vec![project.clone()];
        let mut transactions = Vec::new();
        for number in 1..=n {
            project.knowledge.clock = number;
            let version = Version { generation: number + 1, content: Content::Absent };
            let row = Row { version, ..Row::first(Content::Absent, 1, number) };
            project.knowledge.rows.insert(path("f"), row.clone());
            project.knowledge.rows.insert(path(&format!("new {number}")), row);
            project.knowledge.rows.remove(&path(&format!("new {}", number - 1)));
            let touched = ["f".to_owned(), format!("new {number}"), format!("new {}", number - 1)];
            let touched = touched.iter().map(|name| path(name)).collect();
            transactions.push(transaction(&project, &touched, number));
            states.push(project.clone());
        }
        (states, transactions)
    }

    #[test]
    fn replay_leads_from_any_state_to_the_last() {
        let (states, transactions) = history(3);
        let bytes = transactions.concat();
        for state in &states {
            let mut project = state.clone();
            let replayed = replay(&mut project, &bytes, "journal").unwrap();
            assert_eq!(&project, states.last().unwrap());
            let sound_bytes = bytes.len() as u64;
            assert_eq!(replayed, Replayed { transactions: 3, sound_bytes, is_torn: false });
        }
    }

    #[test]
    fn torn_at_every_byte() {
        let (states, transactions) = history(3);
        let bytes = transactions.concat();
        let ends: Vec<usize> = (0..=3).map(|n| transactions[..n].concat().len()).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().rposition(|&end| end <= cut).unwrap();
            let mut project = states[0].clone();
            let replayed = replay(&mut project, &bytes[..cut], "journal").unwrap();
            assert_eq!(project, states[whole], "cut at {cut}");
            assert_eq!(replayed.sound_bytes, ends[whole] as u64, "cut at {cut}");
            assert_eq!(replayed.is_torn, cut != ends[whole], "cut at {cut}");
        }
    }

    #[test]
    fn blocks_that_never_reached_the_disk() {
        let (states, transactions) = history(3);
        let bytes = transactions.concat();
        let last = bytes.len() - transactions[2].len();
        for (from, to) in [(last, bytes.len()), (last, last + 20), (last + 30, last + 50)] {
            let mut torn = bytes.clone();
            torn[from..to].fill(0);
            let mut project = states[0].clone();
            let replayed = replay(&mut project, &torn, "journal").unwrap();
            assert_eq!((replayed.sound_bytes, replayed.is_torn), (last as u64, true));
            assert_eq!(project, states[2]);
        }
        // The same in the middle is no crash's work.
        let mut damaged = bytes.clone();
        damaged[last - 30..last - 10].fill(0);
        assert!(parse(&damaged, "journal").is_err());
    }

    #[test]
    fn damage_at_every_byte_is_never_silent() {
        let (_, transactions) = history(2);
        let bytes = transactions.concat();
        let last = transactions[0].len();
        for at in 0..bytes.len() {
            for flip in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let found = parse(&damaged, "journal");
                if at + 1 < bytes.len() {
                    let fault = found.expect_err(&format!("byte {at}"));
                    let lines = bytes[..at].iter().filter(|&&b| b == b'\n').count() as u64;
                    assert!(fault.line <= lines + 1, "byte {at}: {fault}");
                } else {
                    // The very last newline: as good as not written.
                    assert_eq!(found.unwrap().sound_bytes, last as u64);
                }
            }
        }
    }

    #[test]
    fn lines_lost_doubled_or_from_elsewhere() {
        let (_, transactions) = history(2);
        let bytes = transactions.concat();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
        for at in 0..lines.len() {
            let mut lost = lines.clone();
            lost.remove(at);
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            // Without its last line it is torn, as any cut is.
            assert_eq!(parse(&lost.concat(), "journal").is_err(), at + 1 < lines.len(), "{at}");
            assert!(parse(&doubled.concat(), "journal").is_err(), "{at}");
        }
        assert!(parse(&transactions[1], "journal").is_err(), "it begins with the second");
    }

    #[test]
    fn a_new_base_ends_a_journal() {
        let (states, transactions) = history(2);
        let noted = Fold { ledger: [1; 32], remsync: Some([2; 32]) };
        let mut bytes = [transactions.concat(), fold(&noted, 3)].concat();
        let mut project = states[0].clone();
        replay(&mut project, &bytes, "journal").unwrap();
        assert_eq!(project, states[0], "all is in the new base");
        assert_eq!(parse(&bytes, "journal").unwrap().fold, Some(noted));
        let torn = parse(&bytes[..bytes.len() - 1], "journal").unwrap();
        assert_eq!((torn.fold, torn.transactions()), (None, 2));
        bytes.extend_from_slice(&transaction(&states[0], &BTreeSet::new(), 4));
        assert!(parse(&bytes, "journal").unwrap_err().why.contains("after a new base"));
        let noted = Fold { ledger: [1; 32], remsync: None };
        assert_eq!(parse(&fold(&noted, 1), "journal").unwrap().fold, Some(noted));
    }

    #[test]
    fn a_sound_line_that_says_nothing_known() {
        let bytes = enclosed(b"clock\t1\nwhat\tever\n", 1);
        let fault = replay(&mut base(), &bytes, "journal").unwrap_err();
        assert_eq!((fault.line, fault.what.as_str()), (3, "what\\tever"));
    }
}
