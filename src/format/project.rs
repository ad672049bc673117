//! The `.remsync` file, both formats, and the lines of identity that orders share with it.
//!
//! Not all that a project knows: histories, serials and own words are the ledger's. Invariant:
//! what is printed is read back the same, and in format 1.3 by the program of 1994–2010 too.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead, Seek, Write};

use super::statement::{self, Lines, Place, Statement, TextFault, Words};
use crate::model::knowledge::{Cell, Knowledge, Row};
use crate::model::limits::{PATH_BYTES_MAX, PATTERNS_MAX, REMOTES_MAX, TITLE_BYTES_MAX};
use crate::model::project::{Format, Identity, Project};
use crate::model::{Address, Belief, Content, History, Host, HostSite, Site, TreePath, Version};

/// The first line, to the letter: the original program writes it too.
const WARNING: &[u8] =
    b"# This file is maintained automatically by program `remsync'.  DO NOT EDIT!\n\n";

/// The lines that say who takes part and which files belong, as far as they were read.
#[derive(Debug, Default)]
pub(crate) struct IdentityLines {
    format: Option<Format>,
    /// The keywords are those of before 1.3, whose ignores were not anchored.
    is_oldest: bool,
    title: Option<String>,
    here: Option<Site>,
    remotes: Vec<Site>,
    hosts: Vec<HostSite>,
    scans: Vec<Vec<u8>>,
    ignores: Vec<Vec<u8>>,
}

/// Reads a `.remsync` file that lies in memory; `file` is what people call it.
///
/// # Errors
/// The first [`TextFault`] found.
pub fn parse(bytes: &[u8], file: &str) -> Result<Project, TextFault> {
    read(bytes, file)
}

/// Reads a `.remsync` file as it comes. In 2.0 the rows have no history yet, and no cell knows
/// anything: the ledger completes them.
///
/// # Errors
/// The first [`TextFault`] found.
pub fn read(reader: impl BufRead, file: &str) -> Result<Project, TextFault> {
    let mut lines = Lines::new(reader, file);
    let mut head = IdentityLines::default();
    let mut knowledge = Knowledge::default();
    while let Some(line) = lines.next_statement()? {
        if line.line.is_empty() || line.line.starts_with(b"#") {
            continue;
        }
        if head.take_host(&line)? || head.take(&line)? {
            continue;
        }
        if !line.keyword.is_empty() {
            return Err(line.fault("an unknown keyword"));
        }
        let (path, row) = file_line(head.format(), head.remotes.len(), &line)?;
        match knowledge.rows.entry(path) {
            Entry::Vacant(place) => drop(place.insert(row)),
            Entry::Occupied(_) => return Err(line.fault("a file listed twice")),
        }
    }
    let identity = head.finish(|why| lines.fault(why))?;
    knowledge.remotes.resize_with(identity.remotes.len(), Default::default);
    // A remote may be named after the files: its column is empty in the lines before.
    for row in knowledge.rows.values_mut() {
        row.cells.resize_with(identity.remotes.len(), Cell::default);
    }
    Ok(Project { identity, knowledge })
}

/// The files of a `.remsync` in format 2.0, passed beside the rows of a ledger.
#[derive(Debug)]
pub(crate) struct Listed<R> {
    lines: Lines<R>,
    remotes: usize,
    /// Whether the line that was read last is not passed yet.
    is_waiting: bool,
    /// The path that was passed last, as it is spelled.
    last: Vec<u8>,
}

impl<R: BufRead> Listed<R> {
    /// Reads who takes part, and stops at the first file. `None` where there are no files after it,
    /// or that is not all: such a `.remsync` is to be read whole.
    ///
    /// # Errors
    /// The first [`TextFault`] found.
    pub fn begin(reader: R, file: &str) -> Result<Option<(Listed<R>, Project)>, TextFault> {
        let mut lines = Lines::new(reader, file);
        let mut head = IdentityLines::default();
        loop {
            let Some(line) = lines.next_statement()? else { return Ok(None) };
            if line.line.is_empty() || line.line.starts_with(b"#") {
                continue;
            }
            if line.keyword.is_empty() {
                break;
            }
            if !(head.take_host(&line)? || head.take(&line)?) {
                return Err(line.fault("an unknown keyword"));
            }
        }
        let identity = head.finish(|why| lines.fault(why))?;
        let remotes = identity.remotes.len();
        let knowledge = Knowledge::new(remotes);
        let listed = Listed { lines, remotes, is_waiting: true, last: Vec::new() };
        Ok(Some((listed, Project { identity, knowledge })))
    }

    /// Passes the files up to the one that a line `row` of the ledger is about, whose row counts
    /// more; adds those before it to `only`. `false` where they do not ascend.
    ///
    /// # Errors
    /// The first [`TextFault`] found.
    pub fn pass(
        &mut self,
        row: &Statement<'_>,
        only: &mut Vec<(TreePath, Row)>,
    ) -> Result<bool, TextFault> {
        let text = row.rest.unwrap_or_default();
        let path_end = memchr::memchr(b' ', text).unwrap_or(text.len());
        let word = text.get(..path_end).unwrap_or_default();
        let mut is_ordered = true;
        while self.is_waiting && is_ordered {
            if is_listed_so(text, path_end, self.lines.current().rest, self.remotes) {
                is_ordered = self.step()?;
                break;
            }
            let path = row.check(statement::path(Format::V2_0, word))?;
            let (listed, found) = self.file()?;
            match listed.cmp(&path) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    is_ordered = self.step()?;
                    break;
                }
                Ordering::Less => is_ordered = self.pass_only(listed, found, only)?,
            }
        }
        self.last.clear();
        self.last.extend_from_slice(word);
        Ok(is_ordered)
    }

    /// Passes all files left, and adds them to `only`. `false` where they do not ascend.
    ///
    /// # Errors
    /// The first [`TextFault`] found.
    pub fn pass_rest(&mut self, only: &mut Vec<(TreePath, Row)>) -> Result<bool, TextFault> {
        let mut is_ordered = true;
        while self.is_waiting && is_ordered {
            let (listed, found) = self.file()?;
            is_ordered = self.pass_only(listed, found, only)?;
        }
        Ok(is_ordered)
    }

    /// Returns the place before the next file.
    pub fn place(&self) -> Place {
        if self.is_waiting { self.lines.before_current() } else { self.lines.place() }
    }

    /// Goes to a place that [`Listed::place`] returned, to read on from there. `false` where no file
    /// is there, and not the end.
    ///
    /// # Errors
    /// The first [`TextFault`] found.
    pub fn go_to(&mut self, place: Place) -> Result<bool, TextFault>
    where
        R: Seek,
    {
        self.lines.go_to(place)?;
        self.is_waiting = true;
        self.step()
    }

    fn file(&self) -> Result<(TreePath, Row), TextFault> {
        file_line(Format::V2_0, self.remotes, &self.lines.current())
    }

    /// Passes a file that the ledger does not have.
    fn pass_only(
        &mut self,
        listed: TreePath,
        found: Row,
        only: &mut Vec<(TreePath, Row)>,
    ) -> Result<bool, TextFault> {
        let last = statement::bytes(Format::V2_0, &self.last);
        if *self.lines.current().check(last)? >= *listed.as_bytes() {
            return Ok(false);
        }
        self.last.clear();
        statement::push_bytes(&mut self.last, Format::V2_0, listed.as_bytes());
        only.push((listed, found));
        self.step()
    }

    /// Goes on to the next file; `false` where who takes part is said after one.
    fn step(&mut self) -> Result<bool, TextFault> {
        loop {
            let Some(line) = self.lines.next_statement()? else {
                self.is_waiting = false;
                return Ok(true);
            };
            if !line.line.is_empty() && !line.line.starts_with(b"#") {
                return Ok(line.keyword.is_empty());
            }
        }
    }
}

/// Whether `listed` says of a file, to the letter, what a line `row` of the ledger does, and of the
/// remotes what needs no reading: that they have the same, nothing, or that nothing is known.
fn is_listed_so(row: &[u8], path_end: usize, listed: Option<&[u8]>, remotes: usize) -> bool {
    let after = row.get(path_end + 1..).unwrap_or_default();
    let version = &after[..memchr::memchr(b' ', after).unwrap_or(after.len())];
    let content = memchr::memchr(b'.', version).and_then(|dot| version.get(dot + 1..));
    let Some(content) = content.filter(|word| *word == b"-" || word.len() >= 64) else {
        return false;
    };
    let both = row.get(..path_end + 1 + version.len()).unwrap_or(row);
    let Some(columns) = listed.and_then(|listed| listed.strip_prefix(both)) else { return false };
    let mut words = columns.split(|byte| *byte == b' ');
    let is_whole = words.next() == Some(b"");
    let mut count = 0;
    let are_plain =
        words.inspect(|_| count += 1).all(|word| word == content || word == b"-" || word == b"?");
    is_whole && are_plain && count <= remotes && !version.starts_with(b"0")
}

/// Returns the `.remsync` file of `project`. See [`write()`].
pub fn print(project: &Project) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into memory cannot fail.
    let _ = write(project, &mut out);
    out
}

/// Writes the `.remsync` file of `project`. A file that format 1.3 cannot name
/// ([`is_writable_word`]) is left out.
///
/// # Errors
/// What `out` answers.
pub fn write(project: &Project, mut out: impl Write) -> io::Result<()> {
    let identity = &project.identity;
    let mut line = WARNING.to_vec();
    push_sites(identity, &mut line);
    push_hosts(identity, &mut line);
    line.push(b'\n');
    push_patterns(identity, &mut line);
    out.write_all(&line)?;
    // What only the ledger holds: refused files of 2.0, deletions that 1.3 has yet to tell.
    let is_told = |row: &Row| match identity.format {
        Format::V2_0 => row.version.generation > 0,
        Format::V1_3 => row.version.generation == 0,
    };
    let writable = |(path, row): &(&TreePath, &Row)| {
        is_told(row) && is_writable_word(identity.format, path.as_bytes())
    };
    for (path, row) in project.knowledge.rows.iter().filter(writable) {
        line.clear();
        push_file_line(identity, path, row, &mut line);
        out.write_all(&line)?;
    }
    Ok(())
}

/// Whether `format` can write `bytes` as one parameter: 1.3 has no way to write white space and
/// control characters, nor nothing at all.
pub fn is_writable_word(format: Format, bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && match format {
            Format::V1_3 => !bytes.iter().any(|&b| b <= b' ' || b == 0x7f),
            Format::V2_0 => true,
        }
}

/// Appends the lines `format`, `title`, `here` and `remote`.
pub(crate) fn push_sites(identity: &Identity, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("format\t{}\ntitle\t", identity.format).as_bytes());
    out.extend_from_slice(identity.title.as_bytes());
    out.push(b'\n');
    push_site("here", identity.format, &identity.here, out);
    identity.remotes.iter().for_each(|site| push_site("remote", identity.format, site, out));
}

/// Appends a line `remote` for each host; no package has such lines.
fn push_hosts(identity: &Identity, out: &mut Vec<u8>) {
    for site in identity.hosts.iter().filter(|_| identity.format == Format::V2_0) {
        out.extend_from_slice(b"remote\t");
        out.extend_from_slice(site.host.url().as_bytes());
        out.push(b' ');
        statement::push_bytes(out, identity.format, &site.directory);
        out.push(b'\n');
    }
}

/// Appends the lines `scan` and `ignore`, each sorted by their bytes, as the original does.
///
/// Format 1.3 cannot write white space. Leaving a pattern out would change which files belong, so
/// it is spelled as the nearest that can be written: `?` in a scan, `\xHH` in an ignore.
pub(crate) fn push_patterns(identity: &Identity, out: &mut Vec<u8>) {
    let is_plain = identity.format == Format::V2_0;
    let mut push = |keyword: &[u8], patterns: &[Vec<u8>], spell: fn(&[u8]) -> Vec<u8>| {
        let mut patterns: Vec<Vec<u8>> =
            patterns.iter().map(|p| if is_plain { p.clone() } else { spell(p) }).collect();
        patterns.sort_unstable();
        for pattern in patterns.iter().filter(|pattern| !pattern.is_empty()) {
            out.extend_from_slice(keyword);
            out.push(b'\t');
            statement::push_bytes(out, identity.format, pattern);
            out.push(b'\n');
        }
    };
    push(b"scan", &identity.scans, spelled_scan);
    push(b"ignore", &identity.ignores, spelled_ignore);
}

impl IdentityLines {
    /// Takes one line in, if it is one of identity; `false` when it is none.
    pub(crate) fn take(&mut self, line: &Statement<'_>) -> Result<bool, TextFault> {
        match line.keyword {
            b"format" => self.take_format(line)?,
            b"remsync" | b"version" => self.take_oldest_format(line)?,
            b"title" => {
                let title = title(self.format(), line)?;
                once(line, &mut self.title, title)?;
            }
            b"here" | b"local" => {
                let site = site(self.format(), line)?;
                once(line, &mut self.here, site)?;
            }
            b"remote" => self.take_remote(line)?,
            b"scan" => {
                bounded(line, "scans", &self.scans)?;
                self.scans.push(pattern(self.format(), line)?);
            }
            b"ignore" => {
                bounded(line, "ignores", &self.ignores)?;
                let ignore = pattern(self.format(), line)?;
                self.ignores.push(upgraded_ignore(ignore, self.is_oldest));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns the format named so far; 1.3 is what a file without such a line is.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or(Format::V1_3)
    }

    /// Returns how many remotes were read so far.
    pub(crate) fn remotes(&self) -> usize {
        self.remotes.len()
    }

    /// Returns the identity, if all was there.
    pub(crate) fn finish(
        self,
        fault: impl Fn(&'static str) -> TextFault,
    ) -> Result<Identity, TextFault> {
        let format = self.format();
        let title = match (self.title, format) {
            (Some(title), _) => title,
            (None, Format::V1_3) => String::new(),
            (None, Format::V2_0) => return Err(fault("no \"title\" line")),
        };
        let here = self.here.ok_or_else(|| fault("no \"here\" line"))?;
        let IdentityLines { remotes, hosts, scans, ignores, .. } = self;
        Ok(Identity { format, title, here, remotes, hosts, scans, ignores })
    }

    /// Takes in the line of a remote that is a host; `false` when it is none.
    fn take_host(&mut self, line: &Statement<'_>) -> Result<bool, TextFault> {
        if line.keyword != b"remote" || self.format() != Format::V2_0 {
            return Ok(false);
        }
        let mut words = line.words()?;
        let Ok(address) = std::str::from_utf8(words.need("address")?) else { return Ok(false) };
        if !Host::is_url(address) {
            return Ok(false);
        }
        if self.hosts.len() == REMOTES_MAX {
            return Err(line.fault(format!("more than {REMOTES_MAX} remotes")));
        }
        let host = Host::from_url(address).map_err(|fault| line.fault(fault.to_string()))?;
        let directory = line.check(statement::bytes(self.format(), words.need("directory")?))?;
        words.end()?;
        if directory.len() > PATH_BYTES_MAX || directory.contains(&0) {
            return Err(line.fault("a directory that no host can have"));
        }
        self.hosts.push(HostSite { host, directory: directory.into_boxed_slice() });
        Ok(true)
    }

    fn take_format(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        let format = match line.rest()? {
            b"remsync 1.3" => Format::V1_3,
            b"remsync 2.0" => Format::V2_0,
            _ => return Err(line.fault("a format that is neither remsync 1.3 nor remsync 2.0")),
        };
        self.must_be_first(line)?;
        once(line, &mut self.format, format)
    }

    /// Takes the line that named the format before 1.3.
    fn take_oldest_format(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        match line.only("version")? {
            [b'1', b'.', b'0'..=b'3'] => {}
            _ => return Err(line.fault("a format that is not 1.0 to 1.3")),
        }
        self.must_be_first(line)?;
        self.is_oldest = true;
        once(line, &mut self.format, Format::V1_3)
    }

    /// Names are spelled as the format says, so nothing may stand before it.
    fn must_be_first(&self, line: &Statement<'_>) -> Result<(), TextFault> {
        let is_first = self.title.is_none()
            && self.here.is_none()
            && self.remotes.is_empty()
            && self.scans.is_empty()
            && self.ignores.is_empty();
        if is_first { Ok(()) } else { Err(line.fault("the format is not named first")) }
    }

    fn take_remote(&mut self, line: &Statement<'_>) -> Result<(), TextFault> {
        if self.remotes.len() == REMOTES_MAX {
            return Err(line.fault(format!("more than {REMOTES_MAX} remotes")));
        }
        self.remotes.push(site(self.format(), line)?);
        Ok(())
    }
}

/// Sets `place`, which a line may set only once.
pub(crate) fn once<T>(
    line: &Statement<'_>,
    place: &mut Option<T>,
    value: T,
) -> Result<(), TextFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(line.fault("a line that may stand only once")),
    }
}

fn title(format: Format, line: &Statement<'_>) -> Result<String, TextFault> {
    let bytes = line.rest()?;
    let title = match (std::str::from_utf8(bytes), format) {
        (Ok(title), _) => title.to_owned(),
        // Before UTF-8 a title was Latin-1; what is printed again is UTF-8.
        (Err(_), Format::V1_3) => bytes.iter().map(|&b| char::from(b)).collect(),
        (Err(_), Format::V2_0) => return Err(line.fault("a title that is not UTF-8")),
    };
    if title.len() > TITLE_BYTES_MAX {
        return Err(line.fault(format!("a title over {TITLE_BYTES_MAX} bytes")));
    }
    if title.chars().any(char::is_control) {
        return Err(line.fault("a control character in the title"));
    }
    Ok(title)
}

fn site(format: Format, line: &Statement<'_>) -> Result<Site, TextFault> {
    let mut words = line.words()?;
    let address = words.need("address")?;
    let address =
        std::str::from_utf8(address).map_err(|_| line.fault("an address not in UTF-8"))?;
    let address = Address::new(address).map_err(|fault| line.fault(fault.to_string()))?;
    let directory = match words.need("directory")? {
        b"-" => None,
        word => Some(line.check(statement::bytes(format, word))?.into_boxed_slice()),
    };
    words.end()?;
    let directory_bytes = directory.as_deref().unwrap_or_default();
    if directory_bytes.len() > PATH_BYTES_MAX {
        return Err(line.fault(format!("a directory over {PATH_BYTES_MAX} bytes")));
    }
    if directory_bytes.contains(&0) {
        return Err(line.fault("a NUL in the directory"));
    }
    Ok(Site { address, directory })
}

fn bounded(line: &Statement<'_>, what: &str, patterns: &[Vec<u8>]) -> Result<(), TextFault> {
    if patterns.len() < PATTERNS_MAX {
        return Ok(());
    }
    Err(line.fault(format!("more than {PATTERNS_MAX} {what}")))
}

fn pattern(format: Format, line: &Statement<'_>) -> Result<Vec<u8>, TextFault> {
    let pattern = line.check(statement::bytes(format, line.only("pattern")?))?;
    if pattern.contains(&0) { Err(line.fault("a NUL in a pattern")) } else { Ok(pattern) }
}

/// Returns an ignore as 1.3 means it. Before 1.3 it was not anchored; and the one that the program
/// itself wrote for its own files then named only one of those that there are now.
fn upgraded_ignore(ignore: Vec<u8>, is_oldest: bool) -> Vec<u8> {
    if ignore == br"\.remsync" {
        return br"\.remsync.*".to_vec();
    }
    if !is_oldest {
        return ignore;
    }
    let (sign, expression) = match ignore.strip_prefix(b"!") {
        Some(expression) => (&b"!"[..], expression),
        None => (&b""[..], &ignore[..]),
    };
    [sign, b".*(?:", expression, b").*"].concat()
}

fn file_line(
    format: Format,
    remotes: usize,
    line: &Statement<'_>,
) -> Result<(TreePath, Row), TextFault> {
    let mut words = line.words()?;
    let path = line.check(statement::path(format, words.need("file name")?))?;
    let version = match format {
        Format::V1_3 => Version { generation: 0, content: Content::Absent },
        Format::V2_0 => own_version(line, &mut words)?,
    };
    let mut cells = Vec::with_capacity(remotes);
    while let Some(word) = words.next_raw() {
        // Before a short line is padded, its last value may be empty; without remotes it always is.
        let is_padding = word.is_empty() && format == Format::V1_3;
        let belief =
            if is_padding { Belief::Unknown } else { line.check(statement::belief(format, word))? };
        if is_padding && remotes == 0 {
            continue;
        }
        if cells.len() == remotes {
            return Err(line.fault(format!("more values than the {remotes} remotes before it")));
        }
        cells.push(match format {
            Format::V1_3 => Cell { belief, ..Cell::default() },
            // A word without its history would look like a stranger's: only the ledger has both.
            Format::V2_0 => Cell::default(),
        });
    }
    cells.resize_with(remotes, Cell::default);
    Ok((path, Row { version, history: History::new(), changed: 0, deleted_ms: 0, cells }))
}

fn own_version(line: &Statement<'_>, words: &mut Words<'_, '_>) -> Result<Version, TextFault> {
    let version = line.check(statement::version(words.need("version")?, 1))?;
    match version.content.signature() {
        Some(signature) if signature.executable().is_none() => {
            Err(line.fault("a signature of format 1.3 in a file of format 2.0"))
        }
        _ => Ok(version),
    }
}

fn push_site(keyword: &str, format: Format, site: &Site, out: &mut Vec<u8>) {
    out.extend_from_slice(keyword.as_bytes());
    out.push(b'\t');
    out.extend_from_slice(site.address.as_str().as_bytes());
    out.push(b' ');
    match site.directory.as_deref() {
        Some(directory) if is_writable_word(format, directory) => {
            statement::push_bytes(out, format, directory);
        }
        _ => out.push(b'-'),
    }
    out.push(b'\n');
}

fn push_file_line(identity: &Identity, path: &TreePath, row: &Row, out: &mut Vec<u8>) {
    let format = identity.format;
    out.push(b'\t');
    statement::push_bytes(out, format, path.as_bytes());
    if format == Format::V2_0 {
        out.push(b' ');
        statement::push_version(out, &row.version);
    } else if identity.remotes.is_empty() {
        out.push(b' ');
    }
    for index in 0..identity.remotes.len() {
        out.push(b' ');
        statement::push_belief(out, format, &said(format, row.cells.get(index)));
    }
    out.push(b'\n');
}

/// Returns what the column of a remote says: in 1.3 our belief, in 2.0 its own last word.
fn said(format: Format, cell: Option<&Cell>) -> Belief {
    match (format, cell) {
        (_, None) => Belief::Unknown,
        (Format::V1_3, Some(cell)) => cell.belief,
        (Format::V2_0, Some(cell)) => {
            cell.word.as_ref().map_or(Belief::Unknown, |word| word.version.content.into())
        }
    }
}

fn spelled_scan(scan: &[u8]) -> Vec<u8> {
    scan.iter().map(|&b| if is_writable_word(Format::V1_3, &[b]) { b } else { b'?' }).collect()
}

fn spelled_ignore(ignore: &[u8]) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(ignore.len());
    let mut is_escaped = false;
    for &byte in ignore {
        if is_writable_word(Format::V1_3, &[byte]) {
            spelled.push(byte);
        } else {
            let backslash = if is_escaped { "" } else { "\\" };
            spelled.extend_from_slice(format!("{backslash}x{byte:02x}").as_bytes());
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the real program wrote (observed).
    const OBSERVED: &str =
        "# This file is maintained automatically by program `remsync'.  DO NOT EDIT!

format\tremsync 1.3
title\tZorglub project
here\tspirou@spirou.champignac.land ~/spirou-copy
remote\tfantasio@fantasio.champignac.land ~/fantasio-copy

ignore\t(.*/)?core(\\..*)?
ignore\t.*,v
ignore\t.*/RCS/.*
ignore\t.*\\.(bak|BAK)
ignore\t.*\\.[oa]
ignore\t.*~
ignore\t\\.remsync.*
ignore\t\\\\#.*
\tempty 00000
\tfile1 -
\tsub/file3 08302
";

    const HEAD_1_3: &str = "format\tremsync 1.3\ntitle\tT\nhere\ta@x ~/a\n";
    const HEAD_2_0: &str = "format\tremsync 2.0\ntitle\tT\nhere\ta@x ~/a\nremote\tb@x -\n";

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn hosts_have_no_column_and_are_of_2_0() {
        let line = "remote\tssh://ana@h:22 /d%20e\n";
        let text = format!("{HEAD_2_0}{line}\tf 1.- ?\n");
        let project = parse(text.as_bytes(), "f").unwrap();
        assert_eq!(project.identity.hosts[0].host.to_string(), "ana@h:22");
        assert_eq!(*project.identity.hosts[0].directory, *b"/d e");
        assert_eq!(project.knowledge.rows[&path("f")].cells.len(), 1, "the mail site's");
        assert_eq!(parse(&print(&project), "f"), Ok(project));
        for wrong in ["ssh://h", "ssh://-h /d", "ssh://h:0 /d", "ssh://h /d e", "ssh://h %00"] {
            let text = format!("{HEAD_2_0}remote\t{wrong}\n");
            assert!(parse(text.as_bytes(), "f").is_err(), "{wrong}");
        }
        assert!(parse(format!("{HEAD_1_3}{line}").as_bytes(), "f").is_err());
        let many = |count: usize| {
            let lines = (0..count).map(|n| format!("remote\tssh://h{n} /d\n"));
            format!("{HEAD_2_0}{}", lines.collect::<String>())
        };
        assert!(parse(many(REMOTES_MAX).as_bytes(), "f").is_ok());
        assert!(parse(many(REMOTES_MAX + 1).as_bytes(), "f").is_err());
    }

    #[test]
    fn what_the_original_wrote_is_kept_to_the_byte() {
        let project = parse(OBSERVED.as_bytes(), ".remsync").unwrap();
        assert_eq!(project.identity.title, "Zorglub project");
        assert_eq!(project.identity.ignores.len(), 8);
        let belief = |name| project.knowledge.rows[&path(name)].cells[0].belief;
        assert_eq!(belief("file1"), Belief::Unknown);
        assert_eq!(belief("sub/file3").to_string(), "08302");
        assert_eq!(String::from_utf8(print(&project)).unwrap(), OBSERVED);
    }

    #[test]
    fn crlf_and_a_missing_last_newline() {
        let project = parse(OBSERVED.as_bytes(), ".remsync").unwrap();
        let crlf = OBSERVED.replace('\n', "\r\n");
        assert_eq!(parse(crlf.as_bytes(), ".remsync").unwrap(), project);
        let cut = OBSERVED.trim_end();
        assert_eq!(parse(cut.as_bytes(), ".remsync").unwrap(), project);
    }

    #[test]
    fn short_lines_are_padded() {
        let text =
            format!("{HEAD_1_3}remote\tb@x -\nremote\tc@x -\n\tf 00070\n\tg\n\th \n\ti 666 \n");
        let project = parse(text.as_bytes(), "t").unwrap();
        let beliefs = |name| -> Vec<String> {
            let cells = &project.knowledge.rows[&path(name)].cells;
            cells.iter().map(|cell| cell.belief.to_string()).collect()
        };
        assert_eq!(beliefs("f"), ["00070", "?"]);
        assert_eq!(beliefs("g"), ["?", "?"]);
        assert_eq!(beliefs("h"), ["?", "?"]);
        assert_eq!(beliefs("i"), ["666", "?"]);
    }

    #[test]
    fn without_remotes_a_parameter_is_empty() {
        let text = format!("{HEAD_1_3}\tf \n");
        let project = parse(text.as_bytes(), "t").unwrap();
        assert!(project.knowledge.rows[&path("f")].cells.is_empty());
        assert!(print(&project).ends_with(b"\n\tf \n"));
    }

    #[test]
    fn a_remote_after_the_files() {
        let text = format!("{HEAD_1_3}remote\tb@x -\n\tf 00070\nremote\tc@x -\n");
        let project = parse(text.as_bytes(), "t").unwrap();
        assert_eq!(project.knowledge.rows[&path("f")].cells.len(), 2);
        assert_eq!(project.knowledge.remotes.len(), 2);
    }

    #[test]
    fn the_oldest_spelling() {
        let text = "remsync\t1.2\nlocal\tSpirou@x /home/s\nremote\tf@x /home/f\nignore\t\\.o$\n\
                    ignore\t!^src/\nignore\t\\.remsync\n\tfile1 57445\n\tfile2 -\n";
        let project = parse(text.as_bytes(), "t").unwrap();
        assert_eq!(project.identity.format, Format::V1_3);
        assert_eq!(project.identity.title, "");
        assert_eq!(project.identity.here.address.as_str(), "spirou@x");
        let ignores: Vec<_> =
            project.identity.ignores.iter().map(|i| String::from_utf8_lossy(i)).collect();
        assert_eq!(ignores, [".*(?:\\.o$).*", "!.*(?:^src/).*", "\\.remsync.*"]);
        assert_eq!(project.knowledge.rows.len(), 2);
        assert_eq!(parse(&print(&project), "t").unwrap().knowledge, project.knowledge);
        let newer = format!("{HEAD_1_3}ignore\t\\.remsync\nignore\ta\n");
        let ignores = parse(newer.as_bytes(), "t").unwrap().identity.ignores;
        assert_eq!(ignores, [b"\\.remsync.*".to_vec(), b"a".to_vec()]);
    }

    #[test]
    fn a_latin_1_title_is_understood() {
        let text = b"format\tremsync 1.3\ntitle\tG\xe4nge\nhere\ta@x -\n";
        assert_eq!(parse(text, "t").unwrap().identity.title, "Gänge");
    }

    #[test]
    fn what_1_3_cannot_write() {
        let mut project = parse(HEAD_1_3.as_bytes(), "t").unwrap();
        project.identity.scans = vec![b"my docs".to_vec()];
        project.identity.ignores = vec![b"a b".to_vec(), br"c\ d".to_vec(), b"e\\\\ f".to_vec()];
        project.identity.here.directory = Some((*b"/my home").into());
        let mut row = Row::first(Content::Absent, 0, 0);
        row.version.generation = 0;
        project.knowledge.rows.insert(path("two words"), row.clone());
        project.knowledge.rows.insert(path("x"), row);
        let text = String::from_utf8(print(&project)).unwrap();
        assert!(text.contains("here\ta@x -\n"), "{text}");
        assert!(text.contains("scan\tmy?docs\n"), "{text}");
        assert!(text.contains("ignore\ta\\x20b\nignore\tc\\x20d\nignore\te\\\\\\x20f\n"), "{text}");
        assert!(text.contains("\tx \n") && !text.contains("words"), "{text}");
    }

    #[test]
    fn malformed_lines() {
        let v13 = |line: &str| format!("{HEAD_1_3}remote\tb@x -\n{line}\n").into_bytes();
        let v20 = |line: &str| format!("{HEAD_2_0}{line}\n").into_bytes();
        let sig = "0123456789abcdef".repeat(4);
        let long = format!("title\t{}", "x".repeat(TITLE_BYTES_MAX + 1));
        let table: Vec<(&str, Vec<u8>, u64, &str)> = vec![
            ("unknown keyword", v13("visit\t0"), 5, "unknown keyword"),
            ("x- is for orders only", v20("x-y\tz"), 5, "unknown keyword"),
            ("no keyword, no tab", v13("f 00000"), 5, "unknown keyword"),
            ("format twice", v13("format\tremsync 1.3"), 5, "first"),
            ("other format", b"format\tremsync 1.4\n".to_vec(), 1, "neither"),
            ("other program", b"format\trsync 1.3\n".to_vec(), 1, "neither"),
            ("other old format", b"version\t2.0\n".to_vec(), 1, "1.0 to 1.3"),
            ("format late", b"title\tT\nformat\tremsync 2.0\n".to_vec(), 2, "first"),
            ("title twice", v20("title\tT"), 5, "only once"),
            ("here twice", v20("here\ta@x -"), 5, "only once"),
            ("title without tab", v20("title"), 5, "no TAB"),
            (
                "title too long",
                b"format\tremsync 2.0\n".iter().copied().chain(long.bytes()).collect(),
                2,
                "1000 bytes",
            ),
            ("title control", b"format\tremsync 2.0\ntitle\ta\x1bb".to_vec(), 2, "control"),
            ("title not utf-8", b"format\tremsync 2.0\ntitle\ta\xff".to_vec(), 2, "UTF-8"),
            ("no title", b"format\tremsync 2.0\nhere\ta@x -\n".to_vec(), 2, "no \"title\""),
            ("no here", b"format\tremsync 1.3\ntitle\tT\n".to_vec(), 2, "no \"here\""),
            ("nothing", b"".to_vec(), 0, "no \"here\""),
            ("no directory", v13("remote\tb@x"), 5, "no directory"),
            ("bad address", v13("remote\t-b@x -"), 5, "begins with"),
            ("bad address", v13("remote\ta/b@x -"), 5, "address"),
            ("three words", v13("remote\tb@x a b"), 5, "too many"),
            ("directory spelled otherwise", v20("remote\tb@x %41"), 5, "percent-encoded"),
            ("directory with NUL", v20("remote\tb@x %00"), 5, "NUL"),
            ("two scans on a line", v13("scan\ta b"), 5, "too many"),
            ("empty scan", v13("scan\t"), 5, "no pattern"),
            ("bad scan", v20("scan\t%2f"), 5, "upper-case"),
            ("path up", v13("\t../f 00000"), 5, "path not allowed"),
            ("path absolute", v13("\t/f 00000"), 5, "path not allowed"),
            ("path ours", v13("\ta/.Remsync 00000"), 5, "path not allowed"),
            ("path empty", v13("\t 00000"), 5, "no file name"),
            ("too many values", v13("\tf 00000 00000"), 5, "more values"),
            ("bad value", v13("\tf 0000"), 5, "five digits"),
            ("value of 2.0", v13(&format!("\tf {sig}")), 5, "five digits"),
            ("unknown sign of 2.0", v13("\tf ?"), 5, "five digits"),
            ("no version", v20("\tf"), 5, "no version"),
            ("version without generation", v20(&format!("\tf {sig} -")), 5, "generation"),
            ("generation 0", v20("\tf 0.- -"), 5, "below 1"),
            ("generation too high", v20("\tf 9007199254740993.- -"), 5, "over 9007199254740992"),
            ("signature of 1.3", v20("\tf 1.00000 -"), 5, "format 1.3"),
            ("contested", v20("\tf 1.- 666"), 5, "64 lower-case"),
            ("empty value", v20("\tf 1.- "), 5, "64 lower-case"),
            ("too many values", v20("\tf 1.- - -"), 5, "more values"),
            ("twice", v20("\tf 1.- -\n\tf 1.- -"), 6, "twice"),
        ];
        for (name, text, line, why) in table {
            let fault = parse(&text, ".remsync").expect_err(name);
            assert_eq!((fault.file.as_str(), fault.line), (".remsync", line), "{name}: {fault}");
            assert!(fault.why.contains(why), "{name}: {fault}");
        }
    }

    #[test]
    fn as_many_remotes_as_allowed() {
        let remotes = |n: usize| {
            let lines: String = (0..n).map(|i| format!("remote\tr{i}@x -\n")).collect();
            parse(format!("{HEAD_1_3}{lines}").as_bytes(), "t")
        };
        assert_eq!(remotes(REMOTES_MAX).unwrap().identity.remotes.len(), REMOTES_MAX);
        assert!(remotes(REMOTES_MAX + 1).unwrap_err().why.contains("1000 remotes"));
        for keyword in ["scan", "ignore"] {
            let patterns = |count: usize| {
                let lines: String = (0..count).map(|at| format!("{keyword}\tp{at}\n")).collect();
                parse(format!("{HEAD_1_3}{lines}").as_bytes(), "x")
            };
            assert!(patterns(PATTERNS_MAX).is_ok());
            let why = patterns(PATTERNS_MAX + 1).unwrap_err().why;
            assert!(why.contains(&format!("{PATTERNS_MAX} {keyword}s")), "{why}");
        }
    }

    #[test]
    fn format_2_0() {
        let sig = "0123456789abcdef".repeat(4);
        let text = format!(
            "{}format\tremsync 2.0\ntitle\tT\nhere\ta@x ~/my%20home\nremote\tb@x -\n\n\
             scan\tmy%20docs\nignore\ta%25\n\ta%20b 3.{sig}x ?\n\tg 4.- ?\n",
            std::str::from_utf8(WARNING).unwrap()
        );
        let project = parse(text.as_bytes(), "t").unwrap();
        assert_eq!(project.identity.scans, [b"my docs"]);
        assert_eq!(project.knowledge.rows[&path("g")].version.generation, 4);
        assert_eq!(String::from_utf8(print(&project)).unwrap(), text);
    }
}
