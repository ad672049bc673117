//! The ledger: histories, serials, own words.
//!
//! All that a project knows and `.remsync` does not hold, as text. Not a second `.remsync`: who
//! takes part is never read from here. Each remote stands here under its address, so that a remote
//! that was added to or struck from `.remsync` by other hands shifts nobody's column. Invariant:
//! what is printed is read back the same (but for a word on our very version, whose history is
//! ours and is left out), and a ledger that was cut short is a fault.
//!
//! ```text
//! format   remsync-ledger 1
//! clock    N [FORGOTTEN]
//! remote   ADDRESS [last=N] [seen=N] … [issued=N]… [gap=SINCE:SERIAL]… [received=SERIAL:MARK]… [owes]
//! row      PATH VERSION CHANGED DELETED_MS [ANCESTOR…]
//! lacking  PATH                                         a file that has no row here
//! word     REMOTE SERIAL VERSION|= [ANCESTOR…]          of the file above, as all until the next
//! sent     REMOTE ANCESTOR SERIAL AT_MS
//! heard    REMOTE ANCESTOR SERIAL AT_MS
//! asked    REMOTE AT_MS
//! belief   REMOTE BELIEF
//! listed   REMOTE
//! question PATH REMOTE VERSION PACKAGE MEMBER|- WHY AT_MS [ANCESTOR…]
//! settled  PACKAGE PATH
//! end      LINES
//! ```

use std::collections::HashMap;
use std::io::{self, BufRead, Seek, Write};

use super::digest::hex;
use super::orders::is_writable;
use super::statement::{self, Lines, Place, Statement, TextFault, Words};
use crate::model::knowledge::{Cell, Correspondence, Question, Received, Row, Sent, Why, Word};
use crate::model::limits::{GENERATION_MAX, PACKAGE_MEMBERS_MAX};
use crate::model::project::{Format, Project};
use crate::model::{Belief, Content, History, TreePath, Version};

const FORMAT: &str = "remsync-ledger 1";

/// Returns the ledger of `project`.
pub fn print(project: &Project) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into memory cannot fail.
    let _ = write(project, &mut out);
    out
}

/// Writes the ledger of `project`.
///
/// # Errors
/// What `out` answers.
pub fn write(project: &Project, mut out: impl Write) -> io::Result<()> {
    let mut lines = 0;
    let mut text = format!("format\t{FORMAT}\n").into_bytes();
    push_head(project, &mut text);
    let mut flush = |text: &mut Vec<u8>| {
        lines += text.iter().filter(|&&b| b == b'\n').count();
        let written = out.write_all(text);
        text.clear();
        written.map(|()| lines)
    };
    flush(&mut text)?;
    for (path, row) in &project.knowledge.rows {
        push_row(project.identity.format, path, row, &mut text);
        flush(&mut text)?;
    }
    for (path, cells) in &project.knowledge.lacking {
        push_lacking(path, cells, &mut text);
        flush(&mut text)?;
    }
    push_tail(project, &mut text);
    let lines = flush(&mut text)?;
    out.write_all(format!("end\t{lines}\n").as_bytes())
}

/// Completes `project`, which `.remsync` gave, by the ledger; `file` is what people call it.
///
/// In 2.0 a row of the ledger takes the place of one in `.remsync`. In 1.3 what `.remsync` believes
/// stands, for the original program may have written it since; the ledger only tells *absent* from
/// *unknown* there, and a file that `.remsync` no longer lists is forgotten.
///
/// # Errors
/// The first [`TextFault`] found; `project` is then half completed.
pub fn parse_into(
    project: &mut Project,
    reader: impl BufRead,
    file: &str,
) -> Result<(), TextFault> {
    let mut reading = Reading::new(project);
    let mut lines = LedgerLines::new(reader, file);
    while let Some(line) = lines.next_line()? {
        reading.take_in_ledger(&line)?;
    }
    reading.finish();
    Ok(())
}

/// Appends the lines `clock` and `remote`.
pub(crate) fn push_head(project: &Project, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("clock\t{}", project.knowledge.clock).as_bytes());
    if project.knowledge.forgotten > 0 {
        out.extend_from_slice(format!(" {}", project.knowledge.forgotten).as_bytes());
    }
    out.push(b'\n');
    let nothing = Correspondence::default();
    for (index, site) in project.identity.remotes.iter().enumerate() {
        let correspondence = project.knowledge.remotes.get(index).unwrap_or(&nothing);
        out.extend_from_slice(format!("remote\t{}", site.address).as_bytes());
        push_correspondence(correspondence, out);
        out.push(b'\n');
    }
}

/// Appends the line of one file and those of its cells; nothing when they would tell nothing.
pub(crate) fn push_row(format: Format, path: &TreePath, row: &Row, out: &mut Vec<u8>) {
    let before = out.len();
    let mut version = row.version;
    if format == Format::V1_3 && version.generation == 0 {
        // The old format never stores what is here: it is looked at each time.
        version = Version { generation: 0, content: Content::Absent };
    }
    push_keyword("row", path, out);
    out.push(b' ');
    statement::push_version(out, &version);
    push_numbers(&[row.changed, row.deleted_ms], out);
    push_history(&row.history, out);
    out.push(b'\n');
    let told = out.len();
    for (index, cell) in row.cells.iter().enumerate() {
        push_cell(format, index, cell, &version, out);
    }
    let is_bare = row.changed == 0 && row.deleted_ms == 0 && row.history.is_empty();
    if format == Format::V1_3 && is_bare && out.len() == told {
        out.truncate(before);
    }
}

/// Appends the lines of a file that remotes speak of and that has no row here.
pub(crate) fn push_lacking(path: &TreePath, cells: &[Cell], out: &mut Vec<u8>) {
    push_keyword("lacking", path, out);
    out.push(b'\n');
    let nothing = Version { generation: 0, content: Content::Absent };
    for (index, cell) in cells.iter().enumerate() {
        push_cell(Format::V2_0, index, cell, &nothing, out);
    }
}

/// Appends the lines `question` and `settled`.
pub(crate) fn push_tail(project: &Project, out: &mut Vec<u8>) {
    for question in &project.knowledge.questions {
        push_question(question, out);
    }
    for (package, path) in &project.knowledge.settled {
        out.extend_from_slice(b"settled\t");
        statement::push_hex(out, package);
        out.push(b' ');
        statement::push_bytes(out, Format::V2_0, path.as_bytes());
        out.push(b'\n');
    }
}

/// Appends a keyword, a TAB and a path as all state spells it, whatever the project's format.
pub(crate) fn push_keyword(keyword: &str, path: &TreePath, out: &mut Vec<u8>) {
    out.extend_from_slice(keyword.as_bytes());
    out.push(b'\t');
    statement::push_bytes(out, Format::V2_0, path.as_bytes());
}

/// Lines of a ledger on their way into a project.
pub(crate) struct Reading<'p> {
    project: &'p mut Project,
    /// The text's remotes as the project's; `None` for one that is no longer a remote.
    remotes: Vec<Option<usize>>,
    /// The project's remotes by address, last first.
    unclaimed: HashMap<String, Vec<usize>>,
    row: Option<(TreePath, Row)>,
    /// Whether that is of a file that has no row here.
    is_lacking: bool,
    /// The path of the last row; empty before the first.
    last_path: Vec<u8>,
    last_lacking: Option<TreePath>,
    /// Whether a row that is whole goes to whoever reads, and not into its place.
    is_sifting: bool,
    /// Such a row.
    whole: Option<(TreePath, Row)>,
}

/// The lines of a ledger, but for those that say that it is one and that it is whole.
pub(crate) struct LedgerLines<R> {
    lines: Lines<R>,
    is_ended: bool,
}

impl<R: BufRead> LedgerLines<R> {
    /// Begins a ledger; `file` is what people call it.
    pub(crate) fn new(reader: R, file: &str) -> LedgerLines<R> {
        LedgerLines { lines: Lines::new(reader, file), is_ended: false }
    }

    /// Returns the next line; `None` after the last.
    pub(crate) fn next_line(&mut self) -> Result<Option<Statement<'_>>, TextFault> {
        loop {
            let (is_first, is_last) = match self.lines.next_statement()? {
                None if self.is_ended => return Ok(None),
                None => {
                    let why = "it ends before its last line: it was cut short";
                    return Err(self.lines.fault(why));
                }
                Some(line) if self.is_ended => return Err(line.fault("a line after the last")),
                Some(line) => (line.number == 1, line.keyword == b"end"),
            };
            let line = self.lines.current();
            match (is_first, is_last) {
                (true, _) if line.keyword == b"format" && line.rest == Some(FORMAT.as_bytes()) => {}
                (true, _) => return Err(line.fault(format!("not \"format\" TAB \"{FORMAT}\""))),
                (false, true) => {
                    must_count(&line)?;
                    self.is_ended = true;
                }
                // The borrow of what is returned from within the loop is one of all of it.
                (false, false) => return Ok(Some(self.lines.current())),
            }
        }
    }

    /// Returns the place before the line that is read next.
    pub(crate) fn place(&self) -> Place {
        self.lines.place()
    }

    /// Goes to a place, to read on from there.
    pub(crate) fn go_to(&mut self, place: Place) -> Result<(), TextFault>
    where
        R: Seek,
    {
        self.lines.go_to(place)
    }
}

impl<'p> Reading<'p> {
    /// Starts reading into `project`; questions and settled rows are always told whole.
    pub(crate) fn new(project: &'p mut Project) -> Reading<'p> {
        project.knowledge.questions.clear();
        project.knowledge.settled.clear();
        let mut unclaimed: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, site) in project.identity.remotes.iter().enumerate().rev() {
            unclaimed.entry(site.address.as_str().to_owned()).or_default().push(index);
        }
        Reading {
            project,
            remotes: Vec::new(),
            unclaimed,
            row: None,
            is_lacking: false,
            last_path: Vec::new(),
            last_lacking: None,
            is_sifting: false,
            whole: None,
        }
    }

    /// Starts reading into `project`; each row that is whole goes to [`Reading::take_whole`].
    pub(crate) fn sifting(project: &'p mut Project) -> Reading<'p> {
        Reading { is_sifting: true, ..Reading::new(project) }
    }

    /// Takes the row that became whole with the last line, if one did.
    pub(crate) fn take_whole(&mut self) -> Option<(TreePath, Row)> {
        self.whole.take()
    }

    /// Puts a row in its place.
    pub(crate) fn insert(&mut self, path: TreePath, row: Row) {
        self.project.knowledge.rows.insert(path, row);
    }

    /// Returns what was read so far.
    pub(crate) fn project(&self) -> &Project {
        self.project
    }

    /// Takes one line in; `false` when its keyword is none of a ledger's.
    pub(crate) fn take(&mut self, line: &Statement<'_>) -> Result<bool, TextFault> {
        match line.keyword {
            b"clock" => self.take_clock(line)?,
            b"remote" => self.take_remote(line)?,
            b"row" => self.take_row(line)?,
            b"lacking" => self.take_lacking(line)?,
            b"gone" => self.take_gone(line)?,
            b"word" | b"sent" | b"heard" | b"asked" | b"belief" | b"listed" => {
                self.take_cell(line)?;
            }
            b"question" => self.take_question(line)?,
            b"settled" => self.take_settled(line)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes one line of a ledger in.
    pub(crate) fn take_in_ledger(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        // Only a journal has to say that a row is gone.
        match line.keyword == b"gone" || !self.take(line)? {
            true => Err(line.fault("an unknown keyword")),
            false => Ok(()),
        }
    }

    /// Puts the last row in its place.
    pub(crate) fn finish(mut self) {
        self.place_row();
    }

    fn take_clock(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        self.project.knowledge.clock = words.number("clock", 0, u64::MAX)?;
        if let Some(word) = words.next_word()? {
            let forgotten = statement::number(word, 1, GENERATION_MAX);
            self.project.knowledge.forgotten = line.check(forgotten)?;
        }
        words.end()
    }

    fn take_remote(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        if !self.last_path.is_empty() {
            return Err(line.fault("a remote after the files"));
        }
        let mut words = line.words()?;
        let address = String::from_utf8_lossy(words.need("address")?).into_owned();
        let mut correspondence = Correspondence::default();
        while let Some(word) = words.next_word()? {
            line.check(set_field(&mut correspondence, word))?;
        }
        let index = self.unclaimed.get_mut(&address).and_then(Vec::pop);
        self.remotes.push(index);
        if let Some(place) = index.and_then(|index| self.project.knowledge.remotes.get_mut(index)) {
            *place = correspondence;
        }
        Ok(())
    }

    fn take_row(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let path = self.next_path(line, &mut words)?;
        let version = line.check(statement::version(words.need("version")?, 0))?;
        let changed = words.number("stamp", 0, u64::MAX)?;
        let deleted_ms = words.number("time of deletion", 0, u64::MAX)?;
        let history = words.history(0)?;
        self.place_row();
        let cells = vec![Cell::default(); self.project.identity.remotes.len()];
        self.row = Some((path, Row { version, history, changed, deleted_ms, cells }));
        Ok(())
    }

    fn take_lacking(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let path = line.check(statement::path(Format::V2_0, words.need("file name")?))?;
        words.end()?;
        if self.last_lacking.as_ref().is_some_and(|last| *last >= path) {
            return Err(line.fault("the files do not ascend, each once"));
        }
        self.place_row();
        self.last_lacking = Some(path.clone());
        let row = Row::first(Content::Absent, self.project.identity.remotes.len(), 0);
        let version = Version { generation: 0, content: Content::Absent };
        self.row = Some((path, Row { version, ..row }));
        self.is_lacking = true;
        Ok(())
    }

    fn take_gone(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let path = self.next_path(line, &mut words)?;
        words.end()?;
        self.place_row();
        self.project.knowledge.rows.remove(&path);
        self.project.knowledge.lacking.remove(&path);
        Ok(())
    }

    /// Reads the path of the next row; rows ascend, so that none is told twice.
    fn next_path(
        &mut self,
        line: &Statement<'_>,
        words: &mut Words<'_, '_>,
    ) -> Result<TreePath, TextFault> {
        let path = line.check(statement::path(Format::V2_0, words.need("file name")?))?;
        if *self.last_path >= *path.as_bytes() {
            return Err(line.fault("the files do not ascend, each once"));
        }
        self.last_path.clear();
        self.last_path.extend_from_slice(path.as_bytes());
        Ok(path)
    }

    fn take_cell(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let index = self.remote(line, &mut words)?;
        let format = self.project.identity.format;
        let Some((_, row)) = &mut self.row else {
            return Err(line.fault("not below a row"));
        };
        let version = row.version;
        let mut elsewhere = Cell::default();
        let cell = index.and_then(|index| row.cells.get_mut(index)).unwrap_or(&mut elsewhere);
        match line.keyword {
            b"word" => cell.word = Some(read_word(line, &mut words, version)?),
            b"sent" => cell.sent = Some(read_sent(line, &mut words)?),
            b"heard" => cell.heard = Some(read_sent(line, &mut words)?),
            b"asked" => cell.asked_ms = words.number("time", 0, u64::MAX)?,
            b"belief" => cell.belief = read_belief(line, format, words.need("belief")?)?,
            _ => cell.listed = true,
        }
        words.end()
    }

    fn take_question(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        self.place_row();
        let mut words = line.words()?;
        let path = line.check(statement::path(Format::V2_0, words.need("file name")?))?;
        let remote = self.remote(line, &mut words)?;
        let version = line.check(statement::version(words.need("version")?, 0))?;
        let package = read_digest(line, words.need("digest of the package")?)?;
        let member = match words.need("number of the packaged file")? {
            b"-" => None,
            word => Some(line.check(statement::number(word, 1, u64::from(PACKAGE_MEMBERS_MAX)))?),
        };
        // It holds: the number is at most PACKAGE_MEMBERS_MAX.
        let member = member.map(|member| member as u32);
        let reason = words.need("reason")?;
        let why = Why::ALL.into_iter().find(|why| why.name().as_bytes() == reason);
        let why = why.ok_or_else(|| line.fault("an unknown reason of a question"))?;
        let at_ms = words.number("time", 0, u64::MAX)?;
        let history = words.history(0)?;
        // The questions of a remote that was struck out go with it.
        if let Some(remote) = remote {
            let question = Question { path, version, history, remote, package, member, why, at_ms };
            self.project.knowledge.questions.push(question);
        }
        Ok(())
    }

    fn take_settled(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        self.place_row();
        let mut words = line.words()?;
        let package = read_digest(line, words.need("digest of the package")?)?;
        let path = line.check(statement::path(Format::V2_0, words.need("file name")?))?;
        self.project.knowledge.settled.insert((package, path));
        words.end()
    }

    /// Reads an index into the text's remotes; returns the project's, if it is a remote still.
    fn remote(
        &self,
        line: &Statement<'_>,
        words: &mut Words<'_, '_>,
    ) -> Result<Option<usize>, TextFault> {
        let word = words.need("remote")?;
        let index = statement::number(word, 0, u64::MAX).ok().and_then(|n| usize::try_from(n).ok());
        let remote = index.and_then(|index| self.remotes.get(index));
        remote.copied().ok_or_else(|| line.fault("not an index of one of the remotes above"))
    }

    /// Puts the row in its place to which no line belongs any more.
    pub(crate) fn place_row(&mut self) {
        let Some((path, mut row)) = self.row.take() else { return };
        if std::mem::take(&mut self.is_lacking) {
            self.project.knowledge.rows.remove(&path);
            self.project.knowledge.lacking.insert(path, row.cells);
            return;
        }
        if self.is_sifting {
            self.whole = Some((path, row));
            return;
        }
        self.project.knowledge.lacking.remove(&path);
        let rows = &mut self.project.knowledge.rows;
        if self.project.identity.format == Format::V1_3 {
            match rows.get(&path) {
                Some(listed) => keep_beliefs(&mut row, listed),
                None if is_writable(Format::V1_3, &path) && row.version.generation == 0 => return,
                None => {}
            }
        }
        rows.insert(path, row);
    }
}

/// Gives `row` the beliefs that `.remsync` lists, which in 1.3 has one sign for absent and unknown.
/// A deletion that the ledger knows of is over when the file is listed again.
fn keep_beliefs(row: &mut Row, listed: &Row) {
    if row.version.generation > 0 {
        row.version = listed.version;
        row.changed = listed.changed;
    }
    for (cell, listed) in row.cells.iter_mut().zip(&listed.cells) {
        let is_refined = listed.belief == Belief::Unknown && cell.belief == Belief::Absent;
        if !is_refined {
            cell.belief = listed.belief;
        }
    }
}

fn must_count(line: &Statement<'_>) -> Result<(), TextFault> {
    let mut words = line.words()?;
    let lines = words.number("count of lines", 0, u64::MAX)?;
    words.end()?;
    if lines + 1 == line.number { Ok(()) } else { Err(line.fault("lines are missing above")) }
}

/// Sets one field of a `remote` line.
fn set_field(correspondence: &mut Correspondence, word: &[u8]) -> Result<(), String> {
    let Some(at) = word.iter().position(|&b| b == b'=') else {
        match word {
            b"wants-all" => correspondence.wants_all = true,
            b"owes" => correspondence.owes = true,
            _ => return Err("an unknown field of a remote".to_owned()),
        }
        return Ok(());
    };
    let (name, value) = (&word[..at], &word[at + 1..]);
    if name == b"issued" {
        correspondence.issued.push(statement::number(value, 0, u64::MAX)?);
        return Ok(());
    }
    if name == b"gap" {
        let at = value.iter().position(|&b| b == b':').ok_or("a gap without \":\"")?;
        let since = statement::number(&value[..at], 0, u64::MAX)?;
        let serial = statement::number(&value[at + 1..], 0, u64::MAX)?;
        correspondence.gaps.push((since, serial));
        return Ok(());
    }
    if name == b"received" {
        let at = value.iter().position(|&b| b == b':').ok_or("a package without \":\"")?;
        let serial = statement::number(&value[..at], 0, u64::MAX)?;
        let mark = statement::hex(&value[at + 1..]).ok_or("not 16 lower-case hex digits")?;
        correspondence.received.push(Received { serial, mark });
        return Ok(());
    }
    let field = numbers_mut(correspondence).into_iter().find(|(known, _)| known.as_bytes() == name);
    let (_, place) = field.ok_or("an unknown field of a remote")?;
    *place = statement::number(value, 0, u64::MAX)?;
    Ok(())
}

/// Returns every number of a correspondence, with its name in the text.
fn numbers_mut(correspondence: &mut Correspondence) -> [(&'static str, &mut u64); 9] {
    // Taken apart, so that a field added to the model cannot be forgotten here.
    let Correspondence {
        last,
        last_weighty,
        last_weighty_ms,
        seen,
        issued: _,
        heard,
        heard_ms,
        inventory,
        taken,
        gaps: _,
        received: _,
        wants_all: _,
        owes: _,
        asked_all_ms,
    } = correspondence;
    [
        ("last", last),
        ("last-weighty", last_weighty),
        ("last-weighty-ms", last_weighty_ms),
        ("seen", seen),
        ("heard", heard),
        ("heard-ms", heard_ms),
        ("inventory", inventory),
        ("taken", taken),
        ("asked-all-ms", asked_all_ms),
    ]
}

fn push_correspondence(correspondence: &Correspondence, out: &mut Vec<u8>) {
    for (name, number) in numbers_mut(&mut correspondence.clone()) {
        if *number != 0 {
            out.extend_from_slice(format!(" {name}={number}").as_bytes());
        }
    }
    for issued in &correspondence.issued {
        out.extend_from_slice(format!(" issued={issued}").as_bytes());
    }
    for (since, serial) in &correspondence.gaps {
        out.extend_from_slice(format!(" gap={since}:{serial}").as_bytes());
    }
    for Received { serial, mark } in &correspondence.received {
        out.extend_from_slice(format!(" received={serial}:{}", hex(mark)).as_bytes());
    }
    for (name, is_set) in [("wants-all", correspondence.wants_all), ("owes", correspondence.owes)] {
        if is_set {
            out.extend_from_slice(format!(" {name}").as_bytes());
        }
    }
}

fn push_cell(format: Format, index: usize, cell: &Cell, ours: &Version, out: &mut Vec<u8>) {
    // Taken apart, so that a field added to the model cannot be forgotten here.
    let Cell { word, sent, heard, asked_ms, belief, listed } = cell;
    let index = index as u64;
    if let Some(word) = word {
        out.extend_from_slice(b"word\t");
        statement::push_number(out, index);
        push_numbers(&[word.serial], out);
        out.push(b' ');
        if word.version == *ours {
            out.push(b'=');
        } else {
            statement::push_version(out, &word.version);
            push_history(&word.history, out);
        }
        out.push(b'\n');
    }
    for (keyword, sent) in [("sent", sent), ("heard", heard)] {
        if let Some(sent) = sent {
            out.extend_from_slice(format!("{keyword}\t{index} ").as_bytes());
            statement::push_ancestor(out, &sent.version);
            push_numbers(&[sent.serial, sent.at_ms], out);
            out.push(b'\n');
        }
    }
    if *asked_ms != 0 {
        out.extend_from_slice(format!("asked\t{index} {asked_ms}\n").as_bytes());
    }
    // In 1.3 all other beliefs stand in `.remsync`.
    if *belief == Belief::Absent || format == Format::V2_0 && *belief != Belief::Unknown {
        out.extend_from_slice(format!("belief\t{index} {belief}\n").as_bytes());
    }
    if *listed {
        out.extend_from_slice(format!("listed\t{index}\n").as_bytes());
    }
}

fn push_question(question: &Question, out: &mut Vec<u8>) {
    let Question { path, version, history, remote, package, member, why, at_ms } = question;
    push_keyword("question", path, out);
    push_numbers(&[*remote as u64], out);
    out.push(b' ');
    statement::push_version(out, version);
    out.push(b' ');
    statement::push_hex(out, package);
    match member {
        Some(member) => push_numbers(&[u64::from(*member)], out),
        None => out.extend_from_slice(b" -"),
    }
    out.extend_from_slice(format!(" {} {at_ms}", why.name()).as_bytes());
    push_history(history, out);
    out.push(b'\n');
}

fn push_numbers(numbers: &[u64], out: &mut Vec<u8>) {
    for number in numbers {
        out.push(b' ');
        statement::push_number(out, *number);
    }
}

fn push_history(history: &History, out: &mut Vec<u8>) {
    for ancestor in history.iter() {
        out.push(b' ');
        statement::push_ancestor(out, ancestor);
    }
}

fn read_word(
    line: &Statement<'_>,
    words: &mut Words<'_, '_>,
    ours: Version,
) -> Result<Word, TextFault> {
    let serial = words.number("serial", 0, u64::MAX)?;
    let version = match words.need("version")? {
        b"=" => ours,
        word => line.check(statement::version(word, 0))?,
    };
    let history = words.history(0)?;
    Ok(Word { version, history, serial })
}

fn read_sent(line: &Statement<'_>, words: &mut Words<'_, '_>) -> Result<Sent, TextFault> {
    let version = line.check(statement::ancestor(words.need("version")?, 0))?;
    let serial = words.number("serial", 0, u64::MAX)?;
    let at_ms = words.number("time", 0, u64::MAX)?;
    Ok(Sent { version, serial, at_ms })
}

/// Reads a belief as people see it: four spellings for four meanings, in both formats.
fn read_belief(line: &Statement<'_>, format: Format, word: &[u8]) -> Result<Belief, TextFault> {
    match word {
        b"?" => Ok(Belief::Unknown),
        b"-" => Ok(Belief::Absent),
        b"666" => Ok(Belief::Contested),
        _ => line.check(statement::belief(format, word)),
    }
}

fn read_digest(line: &Statement<'_>, word: &[u8]) -> Result<[u8; 32], TextFault> {
    statement::hex(word).ok_or_else(|| line.fault("not 64 lower-case hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::project;

    const HEAD: &str = "format\tremsync 2.0\ntitle\tT\nhere\ta@x -\n";

    fn project(rest: &str) -> Project {
        project::parse(format!("{HEAD}{rest}").as_bytes(), ".remsync").unwrap()
    }

    /// A whole ledger around `lines`.
    fn ledger(lines: &str) -> String {
        let text = format!("format\t{FORMAT}\n{lines}");
        format!("{text}end\t{}\n", text.lines().count())
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_reason_has_its_own_word() {
        let words: std::collections::BTreeSet<_> = Why::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(words.len(), Why::ALL.len());
    }

    #[test]
    fn a_row_only_in_remsync_stays_and_one_in_the_ledger_wins() {
        let mut read = project("remote\tb@x -\n\tf 3.- -\n\tg 1.- ?\n");
        let text = ledger("clock\t7\nremote\tb@x last=3\nrow\tg 2.- 9 8 1:-\nrow\th 1.- 1 1\n");
        parse_into(&mut read, text.as_bytes(), "ledger").unwrap();
        let rows = &read.knowledge.rows;
        assert_eq!((rows[&path("f")].version.generation, rows[&path("f")].changed), (3, 0));
        assert_eq!((rows[&path("g")].version.generation, rows[&path("g")].history.len()), (2, 1));
        assert_eq!(rows[&path("h")].cells.len(), 1);
        assert_eq!((read.knowledge.clock, read.knowledge.remotes[0].last), (7, 3));
    }

    #[test]
    fn remotes_changed_by_other_hands_shift_nobody() {
        let lines = "clock\t7\nremote\tb@x last=1\nremote\tc@x last=2\nremote\td@x last=3\n\
                     row\tf 1.- 9 8\nword\t0 11 =\nword\t1 12 =\nword\t2 13 =\n\
                     question\tf 1 1.- \
                     abababababababababababababababababababababababababababababababab \
                     - conflict 5\nquestion\tf 2 1.- \
                     abababababababababababababababababababababababababababababababab \
                     - conflict 5\n";
        let mut read = project("remote\td@x -\nremote\te@x -\nremote\tb@x -\n");
        parse_into(&mut read, ledger(lines).as_bytes(), "ledger").unwrap();
        let last: Vec<u64> = read.knowledge.remotes.iter().map(|remote| remote.last).collect();
        assert_eq!(last, [3, 0, 1]);
        let serials: Vec<Option<u64>> = read.knowledge.rows[&path("f")]
            .cells
            .iter()
            .map(|cell| cell.word.as_ref().map(|word| word.serial))
            .collect();
        assert_eq!(serials, [Some(13), None, Some(11)]);
        let asked: Vec<usize> = read.knowledge.questions.iter().map(|q| q.remote).collect();
        assert_eq!(asked, [0]);
    }

    #[test]
    fn what_the_original_program_wrote_since_stands() {
        let text = "format\tremsync 1.3\ntitle\tT\nhere\ta@x -\nremote\tb@x -\nremote\tc@x -\n\
                    \tf - 00001\n\tg 00002 -\n";
        let mut read = project::parse(text.as_bytes(), ".remsync").unwrap();
        let lines = "clock\t0\nremote\tb@x\nremote\tc@x\n\
                     row\tdropped%20by\t\n";
        assert!(parse_into(&mut read.clone(), ledger(lines).as_bytes(), "ledger").is_err());
        let lines = "clock\t0\nremote\tb@x\nremote\tc@x\n\
                     row\tdropped 0.- 0 0\nlisted\t0\n\
                     row\tf 0.- 0 0\nbelief\t0 -\nbelief\t1 -\nlisted\t1\n\
                     row\tg 0.- 0 0\nbelief\t0 -\n";
        parse_into(&mut read, ledger(lines).as_bytes(), "ledger").unwrap();
        let shown = |name| -> Vec<String> {
            let cells = &read.knowledge.rows[&path(name)].cells;
            cells.iter().map(|cell| cell.belief.to_string()).collect()
        };
        assert_eq!(shown("f"), ["-", "00001"]);
        assert_eq!(shown("g"), ["00002", "?"]);
        assert!(read.knowledge.rows[&path("f")].cells[1].listed);
        assert!(!read.knowledge.rows.contains_key(&path("dropped")));
    }

    #[test]
    fn malformed_lines() {
        let hex = "ab".repeat(32);
        let table: Vec<(&str, String, u64, &str)> = vec![
            ("nothing", String::new(), 0, "cut short"),
            ("another format", "format\tremsync-ledger 2\nend\t1\n".into(), 1, "not \"format\""),
            ("no end", format!("format\t{FORMAT}\nclock\t1\n"), 2, "cut short"),
            ("wrong count", format!("format\t{FORMAT}\nclock\t1\nend\t1\n"), 3, "missing above"),
            ("after the end", ledger("") + "clock\t1\n", 3, "after the last"),
            ("unknown keyword", ledger("x-y\tz\n"), 2, "unknown keyword"),
            ("gone", ledger("gone\tf\n"), 2, "unknown keyword"),
            ("blank", ledger("\n"), 2, "unknown keyword"),
            ("clock", ledger("clock\tx\n"), 2, "clock: not a number"),
            ("field", ledger("remote\tb@x first=1\n"), 2, "unknown field"),
            ("flag", ledger("remote\tb@x what\n"), 2, "unknown field"),
            ("value", ledger("remote\tb@x last=x\n"), 2, "not a number"),
            ("gap", ledger("remote\tb@x gap=3\n"), 2, "without \":\""),
            ("received", ledger("remote\tb@x received=3\n"), 2, "without \":\""),
            ("mark", ledger("remote\tb@x received=3:ab\n"), 2, "16 lower"),
            ("late remote", ledger("row\tf 1.- 0 0\nremote\tb@x\n"), 3, "after the files"),
            ("path", ledger("row\t../f 1.- 0 0\n"), 2, "path not allowed"),
            ("version", ledger("row\tf - 0 0\n"), 2, "no \".\""),
            ("no stamp", ledger("row\tf 1.-\n"), 2, "no stamp"),
            ("ancestor", ledger("row\tf 1.- 0 0 1\n"), 2, "no \":\""),
            ("order", ledger("row\tg 1.- 0 0\nrow\tf 1.- 0 0\n"), 3, "ascend"),
            ("twice", ledger("row\tf 1.- 0 0\nrow\tf 1.- 0 0\n"), 3, "ascend"),
            ("cell without row", ledger("remote\tb@x\nlisted\t0\n"), 3, "not below a row"),
            ("cell without remote", ledger("row\tf 1.- 0 0\nlisted\t0\n"), 3, "remotes above"),
            ("word", ledger("remote\tb@x\nrow\tf 1.- 0 0\nword\t0 1\n"), 4, "no version"),
            ("listed", ledger("remote\tb@x\nrow\tf 1.- 0 0\nlisted\t0 1\n"), 4, "too many"),
            ("belief", ledger("remote\tb@x\nrow\tf 1.- 0 0\nbelief\t0 x\n"), 4, "64 lower"),
            ("digest", ledger("settled\tabab f\n"), 2, "64 lower"),
            (
                "why",
                ledger(&format!("remote\tb@x\nquestion\tf 0 1.- {hex} - because 5\n")),
                3,
                "unknown reason",
            ),
            (
                "member",
                ledger(&format!("remote\tb@x\nquestion\tf 0 1.- {hex} 0 conflict 5\n")),
                3,
                "below 1",
            ),
        ];
        for (name, text, line, why) in table {
            let mut read = project("remote\tb@x -\n");
            let fault = parse_into(&mut read, text.as_bytes(), "ledger").expect_err(name);
            assert_eq!((fault.file.as_str(), fault.line), ("ledger", line), "{name}: {fault}");
            assert!(fault.why.contains(why), "{name}: {fault}");
        }
    }
}
