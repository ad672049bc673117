//! The orders of a package, both formats; those of before them are read in `oldest`.
//!
//! Not what is done about them: `rules` says. Invariant: what is read here is whole — every index
//! in range, every packaged file numbered once — and what is printed is read back the same.

use std::io::{self, BufRead, Write};

mod oldest;

use self::oldest::Oldest;
use super::project::{self, IdentityLines, once};
use super::statement::{self, Lines, Statement, TextFault, Words};
use crate::model::limits::{
    GENERATION_MAX, HISTORY_MAX, ORDERS_BYTES_MAX, ORDERS_LINES_MAX, PACKAGE_MEMBERS_MAX,
    SERIAL_MAX,
};
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::Format;
use crate::model::{Belief, Content, History, TreePath, Version};

/// Reads orders; `file` is what people call them.
///
/// # Errors
/// The first [`TextFault`] found; a bound that was passed is named.
pub fn parse(reader: impl BufRead, file: &str) -> Result<Orders, TextFault> {
    let mut lines = Lines::new(reader, file).bounded(ORDERS_LINES_MAX, ORDERS_BYTES_MAX);
    let mut reading = Reading::default();
    let mut oldest: Option<Oldest> = None;
    // Only the oldest orders may begin with a comment or a blank line.
    let mut idle = None;
    while let Some(line) = lines.next_statement()? {
        match &mut oldest {
            Some(oldest) => oldest.take(&line)?,
            None if reading.stage > Stage::Start => reading.take(&line)?,
            None if oldest::is_idle(&line) => {
                idle.get_or_insert_with(|| line.fault(NOT_FORMAT));
            }
            None if oldest::begins(&line) => oldest.insert(Oldest::default()).take(&line)?,
            None => match idle.take() {
                Some(fault) => return Err(fault),
                None => reading.take(&line)?,
            },
        }
    }
    match oldest {
        Some(oldest) => oldest.finish(|why| lines.fault(why)),
        None => reading.finish(|why| lines.fault(why)),
    }
}

/// Returns the text of `orders`. See [`write()`].
pub fn print(orders: &Orders) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into memory cannot fail.
    let _ = write(orders, &mut out);
    out
}

/// Writes the text of `orders`. A file that the format cannot name ([`is_writable`]) is left out.
///
/// # Errors
/// What `out` answers.
pub fn write(orders: &Orders, mut out: impl Write) -> io::Result<()> {
    let format = orders.identity.format;
    let mut line = Vec::new();
    project::push_sites(&orders.identity, &mut line);
    project::push_patterns(&orders.identity, &mut line);
    push_envelope(orders, &mut line);
    out.write_all(&line)?;
    for row in orders.rows.iter().filter(|row| is_writable(format, &row.path)) {
        line.clear();
        push_row(format, row, &mut line);
        out.write_all(&line)?;
    }
    Ok(())
}

/// Whether `format` can name `path`: 1.3 cannot write white space and control characters.
pub fn is_writable(format: Format, path: &TreePath) -> bool {
    project::is_writable_word(format, path.as_bytes())
}

const NOT_FORMAT: &str = "the first line is not \"format\"";

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    stage: Stage,
    identity: IdentityLines,
    visit: Option<usize>,
    copy: Option<Vec<usize>>,
    serial: Option<u64>,
    since: Option<u64>,
    seen: Option<u64>,
    want_all: bool,
    wants: Vec<TreePath>,
    rows: Vec<OrderRow>,
    /// Which of the numbers that were named belong to an `update`; `[0]` is number 1.
    members: Vec<bool>,
}

/// How far the reading has come. No line may stand after one of a later stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Start,
    Format,
    Title,
    Here,
    Remote,
    Scan,
    Ignore,
    Visit,
    Copy,
    Serial,
    Since,
    Seen,
    Want,
    /// Only now are all of the lines above known: the first `check`.
    Rows,
}

impl Stage {
    /// Returns the stage that a keyword belongs to; `None` for one that the format does not have.
    fn of(format: Format, keyword: &[u8]) -> Option<Stage> {
        let is_2_0 = format == Format::V2_0;
        Some(match keyword {
            b"format" => Stage::Format,
            // The original reads these in any order, and prints scans first; its manual has them
            // last.
            b"title" | b"here" | b"remote" | b"scan" | b"ignore" if !is_2_0 => Stage::Ignore,
            b"title" => Stage::Title,
            b"here" => Stage::Here,
            b"remote" => Stage::Remote,
            b"scan" => Stage::Scan,
            b"ignore" => Stage::Ignore,
            b"visit" => Stage::Visit,
            b"copy" => Stage::Copy,
            b"serial" if is_2_0 => Stage::Serial,
            b"since" if is_2_0 => Stage::Since,
            b"seen" if is_2_0 => Stage::Seen,
            b"want" if is_2_0 => Stage::Want,
            b"history" | b"remove" if is_2_0 => Stage::Rows,
            b"check" | b"update" => Stage::Rows,
            _ => return None,
        })
    }
}

impl Reading {
    fn take(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        if self.stage == Stage::Start {
            must_name_the_format(line)?;
        }
        let format = self.identity.format();
        if format == Format::V2_0 && line.keyword.starts_with(b"x-") {
            return Ok(());
        }
        let stage = Stage::of(format, line.keyword)
            .ok_or_else(|| line.fault(format!("a keyword that {format} does not have")))?;
        self.enter(stage, line)?;
        if self.identity.take(line)? {
            return Ok(());
        }
        match stage {
            Stage::Visit => self.take_visit(line),
            Stage::Copy => self.take_copy(line),
            Stage::Serial => take_serial(line, &mut self.serial),
            Stage::Since => take_serial(line, &mut self.since),
            Stage::Seen => take_serial(line, &mut self.seen),
            Stage::Want => self.take_want(line),
            _ => self.take_row(format, line),
        }
    }

    /// Goes on to `stage`, if what has to stand before it was there.
    fn enter(&mut self, stage: Stage, line: &Statement<'_>) -> Result<(), TextFault> {
        if stage < self.stage {
            return Err(line.fault("a line that stands too late"));
        }
        if stage > Stage::Visit && self.visit.is_none() {
            return Err(line.fault("a line before \"visit\""));
        }
        if stage > Stage::Copy && self.copy.is_none() {
            return Err(line.fault("a line before \"copy\""));
        }
        self.stage = stage;
        Ok(())
    }

    fn take_visit(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let visit = self.index(line, words.need("index")?)?;
        words.end()?;
        once(line, &mut self.visit, visit)
    }

    fn take_copy(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut is_copied = vec![false; self.identity.remotes()];
        let mut copy = Vec::new();
        let mut words = line.words()?;
        while let Some(word) = words.next_word()? {
            let index = self.index(line, word)?;
            if std::mem::replace(&mut is_copied[index], true) {
                return Err(line.fault("a site is named twice"));
            }
            copy.push(index);
        }
        if !self.visit.is_some_and(|visit| is_copied[visit]) {
            return Err(line.fault("the site of \"visit\" is not among those of \"copy\""));
        }
        once(line, &mut self.copy, copy)
    }

    /// Reads an index into the remotes.
    fn index(&self, line: &Statement<'_>, word: &[u8]) -> Result<usize, TextFault> {
        let remotes = self.identity.remotes();
        let index = statement::number(word, 0, u64::MAX).ok().and_then(|n| usize::try_from(n).ok());
        match index {
            Some(index) if index < remotes => Ok(index),
            _ => Err(line.fault(format!("not an index of one of the {remotes} remotes"))),
        }
    }

    fn take_want(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let word = line.only("file name")?;
        if word != b"*" {
            self.wants.push(line.check(statement::path(Format::V2_0, word))?);
            return Ok(());
        }
        if std::mem::replace(&mut self.want_all, true) {
            return Err(line.fault("a line that may stand only once"));
        }
        Ok(())
    }

    fn take_row(&mut self, format: Format, line: &Statement<'_>) -> Result<(), TextFault> {
        let mut words = line.words()?;
        let path = line.check(statement::path(format, words.need("file name")?))?;
        if line.keyword == b"check" {
            return self.take_check(format, line, path, words);
        }
        let row = match self.rows.last_mut() {
            Some(row) if row.path == path => row,
            _ => return Err(line.fault("not right after the \"check\" of the same file")),
        };
        if row.act != Act::Tell {
            return Err(line.fault("nothing of a file may follow its \"update\" or \"remove\""));
        }
        match line.keyword {
            b"history" => take_history(row, line, words),
            b"remove" => take_remove(row, line, words),
            _ => take_update(row, &mut self.members, format, line, words),
        }
    }

    fn take_check(
        &mut self,
        format: Format,
        line: &Statement<'_>,
        path: TreePath,
        mut words: Words<'_, '_>,
    ) -> Result<(), TextFault> {
        let is_after = self.rows.last().is_none_or(|row| row.path < path);
        if format == Format::V2_0 && !is_after {
            return Err(line.fault("the files do not ascend, each once"));
        }
        let content = line.check(statement::content(format, words.need("signature")?))?;
        let wanted = self.copy.as_ref().map_or(0, Vec::len);
        let mut columns = Vec::with_capacity(wanted);
        while let Some(word) = words.next_word()? {
            columns.push(line.check(statement::belief(format, word))?);
        }
        if columns.len() != wanted {
            let why = format!("{} columns for the {wanted} sites of \"copy\"", columns.len());
            return Err(line.fault(why));
        }
        // The generation is 1 until a `history` line says more.
        let generation = u64::from(format == Format::V2_0);
        let version = Version { generation, content };
        let history = History::new();
        self.rows.push(OrderRow { path, version, history, columns, act: Act::Tell });
        Ok(())
    }

    fn finish(self, fault: impl Fn(String) -> TextFault) -> Result<Orders, TextFault> {
        let format = self.identity.format();
        let missing = |keyword: &str| fault(format!("no \"{keyword}\" line"));
        if self.stage == Stage::Start {
            return Err(missing("format"));
        }
        let identity = self.identity.finish(|why| fault(why.to_owned()))?;
        let visit = self.visit.ok_or_else(|| missing("visit"))?;
        let copy = self.copy.ok_or_else(|| missing("copy"))?;
        let serial = match format {
            Format::V1_3 => 0,
            Format::V2_0 => self.serial.ok_or_else(|| missing("serial"))?,
        };
        if let Some(at) = self.members.iter().position(|&is_named| !is_named) {
            return Err(fault(format!("no \"update\" for the packaged file {}", at + 1)));
        }
        let Reading { since, seen, want_all, mut wants, mut rows, .. } = self;
        let wants_read = wants.len();
        wants.sort_unstable();
        wants.dedup();
        if wants.len() < wants_read {
            return Err(fault("a file is wanted twice".to_owned()));
        }
        // The original's files ascend too, but nothing ever asked that of it.
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(fault(format!("more than one \"check\" of {}", pair[0].path)));
        }
        Ok(Orders {
            identity,
            visit,
            copy,
            serial,
            since,
            seen,
            want_all,
            wants,
            is_oldest: false,
            rows,
        })
    }
}

/// Refuses a first line that is not the format's; nothing after it can be understood without.
fn must_name_the_format(line: &Statement<'_>) -> Result<(), TextFault> {
    match line.keyword {
        b"format" => Ok(()),
        _ => Err(line.fault(NOT_FORMAT)),
    }
}

fn take_serial(line: &Statement<'_>, place: &mut Option<u64>) -> Result<(), TextFault> {
    let mut words = line.words()?;
    let serial = words.number("serial", 1, SERIAL_MAX)?;
    words.end()?;
    once(line, place, serial)
}

fn take_history(
    row: &mut OrderRow,
    line: &Statement<'_>,
    mut words: Words<'_, '_>,
) -> Result<(), TextFault> {
    if row.version.generation != 1 || !row.history.is_empty() {
        return Err(line.fault("a line that may stand only once"));
    }
    let generation = words.number("generation", 1, GENERATION_MAX)?;
    let version = Version { generation, content: row.version.content };
    let history = words.history(1)?;
    if history.len() > HISTORY_MAX {
        return Err(line.fault(format!("a history of more than {HISTORY_MAX} versions")));
    }
    if history.has(&version) {
        return Err(line.fault("a version among its own ancestors"));
    }
    row.version = version;
    row.history = history;
    Ok(())
}

fn take_remove(
    row: &mut OrderRow,
    line: &Statement<'_>,
    mut words: Words<'_, '_>,
) -> Result<(), TextFault> {
    if row.version.content != Content::Absent {
        return Err(line.fault("\"remove\" of a file that its \"check\" says is there"));
    }
    let expected = match words.next_word()? {
        Some(word) => line.check(statement::belief(Format::V2_0, word))?,
        None => Belief::Unknown,
    };
    words.end()?;
    row.act = Act::Remove { expected };
    Ok(())
}

fn take_update(
    row: &mut OrderRow,
    members: &mut Vec<bool>,
    format: Format,
    line: &Statement<'_>,
    mut words: Words<'_, '_>,
) -> Result<(), TextFault> {
    if row.version.content == Content::Absent {
        return Err(line.fault("\"update\" of a file that its \"check\" says is not there"));
    }
    let expected = words.need("expected signature")?;
    let expected = line.check(statement::belief(format, expected))?;
    let number = words.number("number of the packaged file", 1, u64::from(PACKAGE_MEMBERS_MAX))?;
    words.end()?;
    // Both conversions hold: the number is at most PACKAGE_MEMBERS_MAX.
    let (at, member) = (number as usize - 1, number as u32);
    if members.len() <= at {
        members.resize(at + 1, false);
    }
    if std::mem::replace(&mut members[at], true) {
        return Err(line.fault("a packaged file is named twice"));
    }
    row.act = Act::Update { expected, member };
    Ok(())
}

/// Appends the lines from `visit` to `want`.
fn push_envelope(orders: &Orders, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("visit\t{}\ncopy\t", orders.visit).as_bytes());
    let copy: Vec<String> = orders.copy.iter().map(usize::to_string).collect();
    out.extend_from_slice(copy.join(" ").as_bytes());
    out.push(b'\n');
    if orders.identity.format == Format::V1_3 {
        return;
    }
    let serials = [("serial", Some(orders.serial)), ("since", orders.since), ("seen", orders.seen)];
    for (keyword, serial) in serials {
        if let Some(serial) = serial {
            out.extend_from_slice(format!("{keyword}\t{serial}\n").as_bytes());
        }
    }
    if orders.want_all {
        out.extend_from_slice(b"want\t*\n");
    }
    for path in &orders.wants {
        push_keyword("want", Format::V2_0, path, out);
        out.push(b'\n');
    }
}

fn push_row(format: Format, row: &OrderRow, out: &mut Vec<u8>) {
    push_keyword("check", format, &row.path, out);
    out.push(b' ');
    statement::push_content(out, &row.version.content);
    for belief in &row.columns {
        out.push(b' ');
        statement::push_belief(out, format, belief);
    }
    out.push(b'\n');
    if format == Format::V2_0 && !(row.history.is_empty() && row.version.generation == 1) {
        push_keyword("history", format, &row.path, out);
        out.push(b' ');
        statement::push_number(out, row.version.generation);
        // One that is still too long after trimming loses its lowest generations here.
        for ancestor in row.history.iter().skip(row.history.len().saturating_sub(HISTORY_MAX)) {
            out.push(b' ');
            statement::push_ancestor(out, ancestor);
        }
        out.push(b'\n');
    }
    push_act(format, row, out);
}

fn push_act(format: Format, row: &OrderRow, out: &mut Vec<u8>) {
    match (&row.act, format) {
        (Act::Tell, _) | (Act::Remove { .. }, Format::V1_3) => return,
        (Act::Update { expected, member }, _) => {
            push_keyword("update", format, &row.path, out);
            out.push(b' ');
            statement::push_belief(out, format, expected);
            out.push(b' ');
            statement::push_number(out, u64::from(*member));
        }
        (Act::Remove { expected }, Format::V2_0) => {
            push_keyword("remove", format, &row.path, out);
            out.push(b' ');
            statement::push_belief(out, format, expected);
        }
    }
    out.push(b'\n');
}

fn push_keyword(keyword: &str, format: Format, path: &TreePath, out: &mut Vec<u8>) {
    out.extend_from_slice(keyword.as_bytes());
    out.push(b'\t');
    statement::push_bytes(out, format, path.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_1_3: &str = "format\tremsync 1.3\ntitle\tT\nhere\ta@x ~/a\nremote\tb@x ~/b\n\
                            remote\td@x ~/d\nignore\t\\.remsync.*\nvisit\t0\ncopy\t0 1\n";
    const HEAD_2_0: &str = "format\tremsync 2.0\ntitle\tT\nhere\ta@x ~/a\nremote\tb@x ~/b\n\
                            remote\td@x ~/d\nignore\ta\nvisit\t0\ncopy\t0 1\nserial\t5\n";

    fn sig(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn v13(lines: &str) -> Result<Orders, TextFault> {
        parse(format!("{HEAD_1_3}{lines}").as_bytes(), "orders")
    }

    fn v20(lines: &str) -> Result<Orders, TextFault> {
        parse(format!("{HEAD_2_0}{lines}").as_bytes(), "orders")
    }

    #[test]
    fn what_the_original_wrote_is_kept_to_the_byte() {
        let text = format!(
            "{HEAD_1_3}check\tf 32832 00064 00064\nupdate\tf 00064 1\n\
             check\tg 32876 - -\nupdate\tg - 2\ncheck\th 00070 666 -\n"
        );
        let orders = parse(text.as_bytes(), "orders").unwrap();
        assert_eq!((orders.visit, &orders.copy[..], orders.serial), (0, &[0, 1][..], 0));
        assert_eq!(orders.members(), 2);
        assert_eq!(orders.rows[0].version.generation, 0);
        assert_eq!(orders.rows[1].columns, [Belief::Unknown, Belief::Unknown]);
        assert_eq!(orders.rows[1].act, Act::Update { expected: Belief::Unknown, member: 2 });
        assert_eq!(orders.rows[2].columns, [Belief::Contested, Belief::Unknown]);
        assert_eq!(String::from_utf8(print(&orders)).unwrap(), text);
    }

    #[test]
    fn old_orders_come_in_any_order() {
        let text = "format\tremsync 1.3\nignore\tx\nhere\ta@x -\nscan\ty\nremote\tb@x -\n\
                    title\tT\nvisit\t0\ncopy\t0\ncheck\tz 00001 -\ncheck\ta 00001 -\n";
        let orders = parse(text.as_bytes(), "orders").unwrap();
        assert_eq!(orders.rows[0].path.as_bytes(), b"a");
        assert!(parse(text.replace("check\tz", "check\ta").as_bytes(), "orders").is_err());
    }

    #[test]
    fn what_may_be_left_out_and_what_is_skipped() {
        let orders = v20(&format!(
            "x-note\tanything  at all \nx-bare\ncheck\tf - ? -\nx-y\tz\nremove\tf\n\
             check\tg {} ? ?\n",
            sig('a')
        ))
        .unwrap();
        assert_eq!(orders.rows[0].act, Act::Remove { expected: Belief::Unknown });
        assert_eq!(orders.rows[0].columns, [Belief::Unknown, Belief::Absent]);
        assert_eq!(orders.rows[1].version.generation, 1);
        assert_eq!((orders.since, orders.seen, orders.want_all), (None, None, false));
        assert!(!String::from_utf8(print(&orders)).unwrap().contains("x-"));
    }

    #[test]
    fn updates_are_numbered_in_any_order() {
        let row =
            |path: &str, n: u32| format!("check\t{path} {} ? ?\nupdate\t{path} ? {n}\n", sig('a'));
        assert_eq!(v20(&(row("a", 2) + &row("b", 3) + &row("c", 1))).unwrap().members(), 3);
        let fault = v20(&(row("a", 1) + &row("b", 3))).unwrap_err();
        assert!(fault.why.contains("no \"update\" for the packaged file 2"), "{fault}");
        let fault = v20(&(row("a", 1) + &row("b", 1))).unwrap_err();
        assert!(fault.why.contains("named twice"), "{fault}");
    }

    #[test]
    fn bounds() {
        let history = |n: usize| {
            let versions: String = (1..=n).map(|g| format!(" {g}:-")).collect();
            v20(&format!("check\tf {} ? ?\nhistory\tf {}{versions}\n", sig('a'), n + 1))
        };
        assert_eq!(history(HISTORY_MAX).unwrap().rows[0].history.len(), HISTORY_MAX);
        assert!(history(HISTORY_MAX + 1).unwrap_err().why.contains("256"));
        let generation =
            |g: u64| v20(&format!("check\tf {} ? ?\nhistory\tf {g}\n", sig('a'))).is_ok();
        assert!(generation(GENERATION_MAX) && !generation(GENERATION_MAX + 1) && !generation(0));
        let since = |n: u64| v20(&format!("since\t{n}\n")).is_ok();
        assert!(since(1) && since(SERIAL_MAX) && !since(0) && !since(SERIAL_MAX + 1));
        let member = |n: u32| {
            let fault = v20(&format!("check\tf {} ? ?\nupdate\tf ? {n}\n", sig('a'))).unwrap_err();
            fault.why.contains("over 100000")
        };
        assert!(!member(PACKAGE_MEMBERS_MAX) && member(PACKAGE_MEMBERS_MAX + 1));
    }

    #[test]
    fn as_many_lines_as_allowed() {
        let head = HEAD_2_0.lines().count() as u64;
        let text = |lines: u64| HEAD_2_0.to_owned() + &"x-\n".repeat((lines - head) as usize);
        assert!(parse(text(ORDERS_LINES_MAX).as_bytes(), "orders").is_ok());
        let fault = parse(text(ORDERS_LINES_MAX + 1).as_bytes(), "orders").unwrap_err();
        assert_eq!(fault.why, "more than 2000000 lines");
    }

    #[test]
    fn a_history_that_is_too_long_loses_its_lowest_generations() {
        let mut orders = v20(&format!("check\tf {} ? ?\nhistory\tf 900\n", sig('a'))).unwrap();
        orders.rows[0].history = (1..=HISTORY_MAX as u64 + 7)
            .map(|generation| crate::model::Ancestor { generation, prefix: None })
            .collect();
        let again = parse(&print(&orders)[..], "orders").unwrap();
        assert_eq!(again.rows[0].history.len(), HISTORY_MAX);
        assert_eq!(again.rows[0].history.iter().next().unwrap().generation, 8);
    }

    #[test]
    fn what_1_3_cannot_name_is_left_out() {
        let mut orders = v13("check\tf 00001 - -\n").unwrap();
        for name in ["a b", "a\nupdate\tf - 1", "a\x7f", "tab\t"] {
            let path = TreePath::new(name.as_bytes()).unwrap();
            assert!(!is_writable(Format::V1_3, &path) && is_writable(Format::V2_0, &path));
            orders.rows.insert(0, OrderRow { path, ..orders.rows[0].clone() });
        }
        assert_eq!(parse(&print(&orders)[..], "orders").unwrap().rows.len(), 1);
    }

    #[test]
    fn malformed_heads() {
        let without = |head: &str, keyword: &str| -> String {
            let keep = |line: &&str| !line.starts_with(keyword);
            head.lines().filter(keep).map(|line| format!("{line}\n")).collect()
        };
        let with = |line: &str, instead: &str| HEAD_2_0.replace(line, instead);
        let table: Vec<(&str, String, u64, &str)> = vec![
            ("nothing", String::new(), 0, "no \"format\""),
            ("no format", without(HEAD_2_0, "format"), 1, "not \"format\""),
            ("other format", with("2.0", "3.0"), 1, "neither"),
            ("a comment", format!("# x\n{HEAD_1_3}"), 1, "not \"format\""),
            ("no title", without(HEAD_2_0, "title"), 8, "no \"title\""),
            ("no here", without(HEAD_1_3, "here"), 7, "no \"here\""),
            ("no visit", without(HEAD_2_0, "visit"), 7, "before \"visit\""),
            ("no copy", without(HEAD_2_0, "copy"), 8, "before \"copy\""),
            ("no serial", without(HEAD_2_0, "serial"), 8, "no \"serial\""),
            ("only visit", with("copy\t0 1\nserial\t5\n", ""), 7, "no \"copy\""),
            ("no remotes", without(HEAD_2_0, "remote"), 5, "one of the 0 remotes"),
            ("late remote", format!("{HEAD_2_0}remote\tc@x -\n"), 10, "too late"),
            ("late remote in 1.3", format!("{HEAD_1_3}remote\tc@x -\n"), 9, "too late"),
            ("scan after ignore", with("visit", "scan\tx\nvisit"), 7, "too late"),
            ("title twice", with("here", "title\tT\nhere"), 3, "only once"),
            ("visit twice", with("copy", "visit\t1\ncopy"), 8, "only once"),
            ("serial twice", format!("{HEAD_2_0}serial\t6\n"), 10, "only once"),
            ("visit out of range", with("visit\t0", "visit\t2"), 7, "one of the 2 remotes"),
            ("visit huge", with("visit\t0", "visit\t99999999999999999999"), 7, "one of the 2"),
            ("visit -1", with("visit\t0", "visit\t-1"), 7, "one of the 2 remotes"),
            ("two visits", with("visit\t0", "visit\t0 1"), 7, "too many"),
            ("copy out of range", with("copy\t0 1", "copy\t0 2"), 8, "one of the 2 remotes"),
            ("copy repeats", with("copy\t0 1", "copy\t0 0"), 8, "twice"),
            ("copy without visit", with("copy\t0 1", "copy\t1"), 8, "not among"),
            ("copy empty", with("copy\t0 1", "copy\t"), 8, "empty parameter"),
            ("copy with two spaces", with("copy\t0 1", "copy\t0  1"), 8, "empty parameter"),
            ("serial 0", with("serial\t5", "serial\t0"), 9, "below 1"),
            ("serial 05", with("serial\t5", "serial\t05"), 9, "leading zeros"),
            ("seen before since", format!("{HEAD_2_0}seen\t1\nsince\t1\n"), 11, "too late"),
            ("serial in 1.3", format!("{HEAD_1_3}serial\t5\n"), 9, "remsync 1.3 does not have"),
            ("want in 1.3", format!("{HEAD_1_3}want\t*\n"), 9, "remsync 1.3 does not have"),
            ("x- in 1.3", format!("{HEAD_1_3}x-y\tz\n"), 9, "remsync 1.3 does not have"),
        ];
        for (name, text, line, why) in table {
            let fault = parse(text.as_bytes(), "orders").expect_err(name);
            assert_eq!((fault.file.as_str(), fault.line), ("orders", line), "{name}: {fault}");
            assert!(fault.why.contains(why), "{name}: {fault}");
        }
    }

    #[test]
    fn malformed_rows() {
        let (a, b) = (sig('a'), sig('b'));
        let check = format!("check\tf {a} ? ?\n");
        let gone = "check\tf - ? ?\n".to_owned();
        let table: Vec<(&str, String, u64, &str)> = vec![
            ("blank line", "\n".into(), 10, "does not have"),
            ("comment", "# x\n".into(), 10, "does not have"),
            ("empty keyword", "\tf x\n".into(), 10, "does not have"),
            ("unknown keyword", "cheque\tf\n".into(), 10, "does not have"),
            ("upper case", "CHECK\tf\n".into(), 10, "does not have"),
            ("no tab", format!("check f {a} ? ?\n"), 10, "does not have"),
            ("only the keyword", "check\n".into(), 10, "no TAB"),
            ("want twice all", "want\t*\nwant\t*\n".into(), 11, "only once"),
            ("want twice", "want\tf\nwant\tf\n".into(), 11, "wanted twice"),
            ("want after check", format!("{check}want\tg\n"), 11, "too late"),
            ("want up", "want\t../f\n".into(), 10, "path not allowed"),
            ("no name", "check\t\n".into(), 10, "no file name"),
            ("no signature", "check\tf\n".into(), 10, "no signature"),
            ("path up", format!("check\ta/../b {a} ? ?\n"), 10, "path not allowed"),
            ("path absolute", format!("check\t/f {a} ? ?\n"), 10, "path not allowed"),
            ("path ours", format!("check\t.RemSync.d/x {a} ? ?\n"), 10, "path not allowed"),
            ("path with NUL", format!("check\ta%00 {a} ? ?\n"), 10, "path not allowed"),
            ("path encoded up", format!("check\t%2E%2E/f {a} ? ?\n"), 10, "percent-encoded"),
            ("lower-case hex", format!("check\ta%0a {a} ? ?\n"), 10, "upper-case"),
            ("sum of 1.3", "check\tf 00000 ? ?\n".into(), 10, "64 lower-case"),
            ("signature unknown", "check\tf ? ? ?\n".into(), 10, "64 lower-case"),
            ("column contested", format!("check\tf {a} 666 ?\n"), 10, "64 lower-case"),
            ("columns missing", format!("check\tf {a} ?\n"), 10, "1 columns for the 2"),
            ("columns too many", format!("check\tf {a} ? ? ?\n"), 10, "3 columns for the 2"),
            ("trailing space", format!("check\tf {a} ? ? \n"), 10, "empty parameter"),
            ("twice", format!("{check}{check}"), 11, "ascend"),
            ("descending", format!("{check}check\te {a} ? ?\n"), 11, "ascend"),
            ("history alone", "history\tf 2\n".into(), 10, "right after"),
            ("history of another", format!("{check}history\tg 2\n"), 11, "right after"),
            ("history twice", format!("{check}history\tf 2\nhistory\tf 2\n"), 12, "only once"),
            ("history late", format!("{check}update\tf ? 1\nhistory\tf 2\n"), 12, "may follow"),
            ("history without generation", format!("{check}history\tf\n"), 11, "no generation"),
            (
                "history of itself",
                format!("{check}history\tf 2 2:aaaaaaaaaaaaaaaa\n"),
                11,
                "own ancestors",
            ),
            ("history doubled", format!("{check}history\tf 2 1:- 1:-\n"), 11, "named twice"),
            ("history without colon", format!("{check}history\tf 2 1\n"), 11, "no \":\""),
            ("history too short", format!("{check}history\tf 2 1:aaaa\n"), 11, "16 lower-case"),
            ("history generation 0", format!("{check}history\tf 2 0:-\n"), 11, "below 1"),
            ("update alone", "update\tf ? 1\n".into(), 10, "right after"),
            ("update of another", format!("{check}update\tg ? 1\n"), 11, "right after"),
            ("update twice", format!("{check}update\tf ? 1\nupdate\tf ? 2\n"), 12, "may follow"),
            ("update of nothing", format!("{gone}update\tf ? 1\n"), 11, "is not there"),
            ("update without number", format!("{check}update\tf {b}\n"), 11, "no number"),
            ("update 0", format!("{check}update\tf {b} 0\n"), 11, "below 1"),
            ("update with more", format!("{check}update\tf {b} 1 2\n"), 11, "too many"),
            ("update contested", format!("{check}update\tf 666 1\n"), 11, "64 lower-case"),
            ("update without 1", format!("{check}update\tf ? 2\n"), 11, "packaged file 1"),
            ("remove of a file", format!("{check}remove\tf ?\n"), 11, "says is there"),
            ("remove with more", format!("{gone}remove\tf ? ?\n"), 11, "too many"),
            ("remove and update", format!("{gone}remove\tf\nupdate\tf ? 1\n"), 12, "may follow"),
        ];
        for (name, text, line, why) in table {
            let fault = v20(&text).expect_err(name);
            assert_eq!((fault.file.as_str(), fault.line), ("orders", line), "{name}: {fault}");
            assert!(fault.why.contains(why), "{name}: {fault}");
        }
        let table: Vec<(&str, &str, u64, &str)> = vec![
            ("remove in 1.3", "check\tf - - -\nremove\tf -\n", 10, "does not have"),
            ("history in 1.3", "check\tf - - -\nhistory\tf 2\n", 10, "does not have"),
            ("name with a space", "check\ttwo words 00000 - -\n", 9, "five digits"),
            ("unknown in 1.3", "check\tf 00000 ? -\n", 9, "five digits"),
            ("contested at home", "check\tf 666 - -\n", 9, "five digits"),
            ("too high", "check\tf 65536 - -\n", 9, "five digits"),
        ];
        for (name, text, line, why) in table {
            let fault = v13(text).expect_err(name);
            assert_eq!(fault.line, line, "{name}: {fault}");
            assert!(fault.why.contains(why), "{name}: {fault}");
        }
    }
}
