//! KEYWORD TAB parameter SP parameter: the line that all formats share, and the values in it.
//!
//! Not a format itself: which keywords there are, and in which order, is for `orders`, `project`,
//! `ledger` and `journal` to say. Invariant: a line is bounded before it is kept, and everything
//! malformed is answered with file, line, what and why.

use std::io::{BufRead, Read, Seek, SeekFrom, Write};

use super::digest::hex_digits;
use super::percent;
use crate::model::limits::{GENERATION_MAX, LINE_BYTES_MAX};
use crate::model::path::escaped;
use crate::model::project::Format;
use crate::model::{Ancestor, Belief, Content, History, Prefix, Signature, TreePath, Version};

/// Characters of a malformed line that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// What is wrong with a text: where, what and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}{}", after_colon(what))]
pub struct TextFault {
    /// The file, as it is shown to people.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The text at fault, escaped and shortened; empty where something is missing.
    pub what: String,
    /// Why it is a fault.
    pub why: String,
}

/// The lines of a text, one at a time, in bounded memory.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    file: String,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    /// Bytes before the line that was read last.
    begin: u64,
    lines_max: u64,
    bytes_max: u64,
}

/// A place in a text, before a line or at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Bytes before it.
    pub bytes: u64,
    /// Lines before it.
    pub lines: u64,
}

/// One line: its keyword, and the rest after the TAB.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The file, as it is shown to people.
    pub file: &'a str,
    /// The line's number, from 1.
    pub number: u64,
    /// The line without its end.
    pub line: &'a [u8],
    /// What stands before the first TAB; the whole line when there is none.
    pub keyword: &'a [u8],
    /// What stands after the first TAB; `None` when there is none.
    pub rest: Option<&'a [u8]>,
}

/// The parameters of a statement, from left to right.
#[derive(Debug)]
pub struct Words<'s, 'a> {
    statement: &'s Statement<'a>,
    rest: Option<&'a [u8]>,
}

impl<R: BufRead> Lines<R> {
    /// Returns the lines of `reader`, which people know as `file`; only a line's length is bounded.
    pub fn new(reader: R, file: &str) -> Lines<R> {
        Lines {
            reader,
            file: file.to_owned(),
            line: Vec::new(),
            number: 0,
            bytes: 0,
            begin: 0,
            lines_max: u64::MAX,
            bytes_max: u64::MAX,
        }
    }

    /// Bounds how many lines and bytes are read.
    pub fn bounded(self, lines_max: u64, bytes_max: u64) -> Lines<R> {
        Lines { lines_max, bytes_max, ..self }
    }

    /// Reads the next line; LF and CRLF both end one, and the last needs no end.
    ///
    /// # Errors
    /// A [`TextFault`] when a bound is passed (it is named) or the reader fails.
    pub fn next_statement(&mut self) -> Result<Option<Statement<'_>>, TextFault> {
        self.line.clear();
        let most = LINE_BYTES_MAX as u64 + 2;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line);
        let length = read.map_err(|error| self.fault_after(format!("cannot be read: {error}")))?;
        if length == 0 {
            return Ok(None);
        }
        self.begin = self.bytes;
        self.bytes += length as u64;
        self.number += 1;
        strip_end(&mut self.line);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(self.statement().fault(format!("a line over {LINE_BYTES_MAX} bytes")));
        }
        if self.number > self.lines_max {
            return Err(self.statement().fault(format!("more than {} lines", self.lines_max)));
        }
        if self.bytes > self.bytes_max {
            return Err(self.statement().fault(format!("more than {} bytes", self.bytes_max)));
        }
        Ok(Some(self.statement()))
    }

    /// Returns the line that was read last.
    pub(crate) fn current(&self) -> Statement<'_> {
        self.statement()
    }

    /// Returns the place before the line that was read last.
    pub(crate) fn before_current(&self) -> Place {
        Place { bytes: self.begin, lines: self.number.saturating_sub(1) }
    }

    /// Returns the place before the line that is read next.
    pub(crate) fn place(&self) -> Place {
        Place { bytes: self.bytes, lines: self.number }
    }

    /// Returns the fault that something is missing at the line reached.
    pub fn fault(&self, why: impl Into<String>) -> TextFault {
        let file = self.file.clone();
        TextFault { file, line: self.number, what: String::new(), why: why.into() }
    }

    /// Goes to a place, to read on from there.
    ///
    /// # Errors
    /// A [`TextFault`] when the reader fails.
    pub(crate) fn go_to(&mut self, place: Place) -> Result<(), TextFault>
    where
        R: Seek,
    {
        let gone = self.reader.seek(SeekFrom::Start(place.bytes));
        gone.map_err(|error| self.fault_after(format!("cannot be read: {error}")))?;
        (self.bytes, self.number) = (place.bytes, place.lines);
        Ok(())
    }

    fn fault_after(&self, why: String) -> TextFault {
        TextFault { line: self.number + 1, ..self.fault(why) }
    }

    fn statement(&self) -> Statement<'_> {
        Statement::new(&self.file, self.number, &self.line)
    }
}

impl<'a> Statement<'a> {
    /// Returns `line`, which is `number` of `file`, cut at its first TAB.
    pub fn new(file: &'a str, number: u64, line: &'a [u8]) -> Statement<'a> {
        let (keyword, rest) = match memchr::memchr(b'\t', line) {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        Statement { file, number, line, keyword, rest }
    }

    /// Returns the fault that this line is, for the reason `why`.
    pub fn fault(&self, why: impl Into<String>) -> TextFault {
        let shown = escaped(&self.line[..self.line.len().min(4 * SHOWN_CHARS_MAX)]);
        let mut what: String = shown.chars().take(SHOWN_CHARS_MAX).collect();
        if what.len() < shown.len() || self.line.len() > 4 * SHOWN_CHARS_MAX {
            what.push('…');
        }
        TextFault { file: self.file.to_owned(), line: self.number, what, why: why.into() }
    }

    /// Returns the rest of the line, spaces and all.
    ///
    /// # Errors
    /// A fault when no TAB follows the keyword.
    pub fn rest(&self) -> Result<&'a [u8], TextFault> {
        self.rest.ok_or_else(|| self.fault("no TAB after the keyword"))
    }

    /// Returns the parameters.
    ///
    /// # Errors
    /// A fault when no TAB follows the keyword.
    pub fn words(&self) -> Result<Words<'_, 'a>, TextFault> {
        Ok(Words { statement: self, rest: Some(self.rest()?) })
    }

    /// Returns the one parameter.
    ///
    /// # Errors
    /// A fault when there is none, or more than one.
    pub fn only(&self, name: &str) -> Result<&'a [u8], TextFault> {
        let mut words = self.words()?;
        let word = words.need(name)?;
        words.end()?;
        Ok(word)
    }

    /// Gives `value` this line as its place when it is a fault.
    ///
    /// # Errors
    /// The fault of `value`.
    pub fn check<T>(&self, value: Result<T, String>) -> Result<T, TextFault> {
        value.map_err(|why| self.fault(why))
    }
}

impl<'a> Words<'_, 'a> {
    /// Returns the next parameter, or `None` after the last.
    ///
    /// # Errors
    /// A fault when it is empty: two spaces in a row, or one at the end of the line.
    pub fn next_word(&mut self) -> Result<Option<&'a [u8]>, TextFault> {
        match self.next_raw() {
            Some([]) => Err(self.statement.fault("an empty parameter: a space too many")),
            word => Ok(word),
        }
    }

    /// Returns the next parameter, be it empty, or `None` after the last.
    pub fn next_raw(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match memchr::memchr(b' ', rest) {
            None => Some(rest),
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
        }
    }

    /// Returns the next parameter, which people call `name`.
    ///
    /// # Errors
    /// A fault when there is none, or it is empty.
    pub fn need(&mut self, name: &str) -> Result<&'a [u8], TextFault> {
        match self.next_raw() {
            Some(word) if !word.is_empty() => Ok(word),
            _ => Err(self.statement.fault(format!("no {name}"))),
        }
    }

    /// Returns the next parameter as a number from `least` to `most`.
    ///
    /// # Errors
    /// A fault when it is no such number.
    pub fn number(&mut self, name: &str, least: u64, most: u64) -> Result<u64, TextFault> {
        let word = self.need(name)?;
        let value = number(word, least, most);
        self.statement.check(value.map_err(|why| format!("{name}: {why}")))
    }

    /// Returns all parameters left as versions of a history.
    ///
    /// # Errors
    /// A fault when one is no such version, or is named twice.
    pub fn history(&mut self, generation_least: u64) -> Result<History, TextFault> {
        let mut ancestors = Vec::new();
        while let Some(word) = self.next_word()? {
            ancestors.push(self.statement.check(ancestor(word, generation_least))?);
        }
        let named = ancestors.len();
        let history: History = ancestors.into_iter().collect();
        if history.len() < named {
            return Err(self.statement.fault("a version is named twice"));
        }
        Ok(history)
    }

    /// Ends the parameters.
    ///
    /// # Errors
    /// A fault when one is left.
    pub fn end(self) -> Result<(), TextFault> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(self.statement.fault("a parameter too many")),
        }
    }
}

/// Reads a number from `least` to `most`: digits, no leading zero, so that it has one spelling.
///
/// # Errors
/// Why it is none.
pub fn number(word: &[u8], least: u64, most: u64) -> Result<u64, String> {
    let is_number = !word.is_empty()
        && word.iter().all(u8::is_ascii_digit)
        && (word.len() == 1 || word.first() != Some(&b'0'));
    if !is_number {
        return Err("not a number without leading zeros".to_owned());
    }
    let digit = |value: u64, digit: &u8| value.checked_mul(10)?.checked_add((digit - b'0').into());
    let value = word.iter().try_fold(0, digit);
    match value {
        Some(value) if value < least => Err(format!("a number below {least}")),
        Some(value) if value <= most => Ok(value),
        _ => Err(format!("a number over {most}")),
    }
}

/// Reads a path: percent-encoded in 2.0, as it is in 1.3.
///
/// # Errors
/// Why it is none.
pub fn path(format: Format, word: &[u8]) -> Result<TreePath, String> {
    if percent::is_plain(word) {
        return TreePath::new(word).map_err(|fault| format!("a path not allowed: {fault}"));
    }
    TreePath::new(&bytes(format, word)?).map_err(|fault| format!("a path not allowed: {fault}"))
}

/// Reads a name: percent-encoded in 2.0, as it is in 1.3.
///
/// # Errors
/// Why it is none.
pub fn bytes(format: Format, word: &[u8]) -> Result<Vec<u8>, String> {
    match format {
        Format::V1_3 => Ok(word.to_vec()),
        Format::V2_0 => percent::decode(word).map_err(|fault| fault.to_string()),
    }
}

/// Reads what a site has: a signature of the format's kind, or `-`.
///
/// # Errors
/// Why it is neither.
pub fn content(format: Format, word: &[u8]) -> Result<Content, String> {
    if word == b"-" {
        return Ok(Content::Absent);
    }
    let signature = match format {
        Format::V1_3 => sum(word).ok_or("neither five digits below 65536 nor \"-\""),
        Format::V2_0 => digest(word).ok_or("neither 64 lower-case hex digits nor \"-\""),
    };
    Ok(Content::File(signature?))
}

/// Reads a belief: what [`content`] reads, and `?` in 2.0; in 1.3 `-` is [`Belief::Unknown`].
///
/// # Errors
/// Why it is none.
pub fn belief(format: Format, word: &[u8]) -> Result<Belief, String> {
    match (format, word) {
        (Format::V1_3, b"-") | (Format::V2_0, b"?") => Ok(Belief::Unknown),
        (Format::V1_3, b"666") => Ok(Belief::Contested),
        _ => content(format, word).map(Belief::from),
    }
}

/// Reads a version, `3.<signature>` or `4.-`, with a signature of either kind.
///
/// # Errors
/// Why it is none.
pub fn version(word: &[u8], generation_least: u64) -> Result<Version, String> {
    let at = word.iter().position(|&b| b == b'.').ok_or("no \".\" after the generation")?;
    let generation = generation(&word[..at], generation_least)?;
    let content = content(Format::V2_0, &word[at + 1..])
        .or_else(|why| content(Format::V1_3, &word[at + 1..]).map_err(|_| why))?;
    Ok(Version { generation, content })
}

/// Reads a version as histories name it: `3:<first 16 hex digits>`, the same and `x`, or `4:-`.
///
/// # Errors
/// Why it is none.
pub fn ancestor(word: &[u8], generation_least: u64) -> Result<Ancestor, String> {
    let at = word.iter().position(|&b| b == b':').ok_or("no \":\" after the generation")?;
    let generation = generation(&word[..at], generation_least)?;
    let prefix = match &word[at + 1..] {
        b"-" => None,
        signature => {
            let digits = signature.strip_suffix(b"x");
            let executable = digits.is_some();
            let digits = hex(digits.unwrap_or(signature))
                .ok_or("neither 16 lower-case hex digits, and perhaps \"x\", nor \"-\"")?;
            Some(Prefix { digits, executable })
        }
    };
    Ok(Ancestor { generation, prefix })
}

/// Reads just `2 * N` lower-case hex digits.
pub fn hex<const N: usize>(word: &[u8]) -> Option<[u8; N]> {
    if word.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    let mut bad = 0;
    for (byte, pair) in out.iter_mut().zip(word.chunks_exact(2)) {
        let (high, low) = (HEX_DIGITS[usize::from(pair[0])], HEX_DIGITS[usize::from(pair[1])]);
        bad |= high | low;
        *byte = high << 4 | low & 15;
    }
    (bad < NO_DIGIT).then_some(out)
}

/// Appends a number.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{number}");
}

/// Appends bytes as lower-case hex digits.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(hex_digits(bytes));
}

/// Appends a name: percent-encoded in 2.0, as it is in 1.3.
pub fn push_bytes(out: &mut Vec<u8>, format: Format, bytes: &[u8]) {
    match format {
        Format::V1_3 => out.extend_from_slice(bytes),
        Format::V2_0 => percent::encode(bytes, out),
    }
}

/// Appends a signature, or `-`.
pub fn push_content(out: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Absent => out.push(b'-'),
        Content::File(Signature::Sum(sum)) => {
            // Writing into memory cannot fail.
            let _ = write!(out, "{sum:05}");
        }
        Content::File(Signature::Sha256 { digest, executable }) => {
            push_hex(out, digest);
            if *executable {
                out.push(b'x');
            }
        }
    }
}

/// Appends a belief; 1.3 has one sign for *unknown* and *absent*, and 2.0 none for *contested*.
pub fn push_belief(out: &mut Vec<u8>, format: Format, belief: &Belief) {
    match (format, belief) {
        (_, Belief::Holds(signature)) => push_content(out, &Content::File(*signature)),
        (_, Belief::Absent) | (Format::V1_3, Belief::Unknown) => out.push(b'-'),
        (Format::V1_3, Belief::Contested) => out.extend_from_slice(b"666"),
        (Format::V2_0, Belief::Unknown | Belief::Contested) => out.push(b'?'),
    }
}

/// Appends a version, as [`version`] reads it.
pub fn push_version(out: &mut Vec<u8>, version: &Version) {
    push_number(out, version.generation);
    out.push(b'.');
    push_content(out, &version.content);
}

/// Appends a version, as [`ancestor`] reads it.
pub fn push_ancestor(out: &mut Vec<u8>, ancestor: &Ancestor) {
    push_number(out, ancestor.generation);
    out.push(b':');
    match &ancestor.prefix {
        None => out.push(b'-'),
        Some(Prefix { digits, executable }) => {
            push_hex(out, digits);
            out.extend_from_slice(if *executable { b"x" } else { b"" });
        }
    }
}

fn after_colon(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(": {what}") }
}

fn strip_end(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
}

fn generation(word: &[u8], least: u64) -> Result<u64, String> {
    number(word, least, GENERATION_MAX).map_err(|why| format!("the generation: {why}"))
}

fn sum(word: &[u8]) -> Option<Signature> {
    if word.len() != 5 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok().map(Signature::Sum)
}

fn digest(word: &[u8]) -> Option<Signature> {
    let (digits, executable) = match word.strip_suffix(b"x") {
        Some(digits) => (digits, true),
        None => (word, false),
    };
    Some(Signature::Sha256 { digest: hex(digits)?, executable })
}

/// The value of each lower-case hex digit; of every other byte [`NO_DIGIT`].
static HEX_DIGITS: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < NO_DIGIT {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut lines = Lines::new(text, "t");
        let mut all = Vec::new();
        while let Some(s) = lines.next_statement().unwrap() {
            all.push((s.keyword.to_vec(), s.rest.map(<[u8]>::to_vec)));
        }
        all
    }

    #[test]
    fn line_ends() {
        let expected =
            vec![(b"a".to_vec(), Some(b"1 2".to_vec())), (b"b".to_vec(), Some(b"".to_vec()))];
        for text in ["a\t1 2\nb\t\n", "a\t1 2\r\nb\t\r\n", "a\t1 2\nb\t", "a\t1 2\r\nb\t\r"] {
            assert_eq!(lines(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(lines(b""), vec![]);
        assert_eq!(lines(b"\n"), vec![(b"".to_vec(), None)]);
    }

    #[test]
    fn bounds() {
        for (end, extra, good) in [
            ("\n", 0, true),
            ("\r\n", 0, true),
            ("", 0, true),
            ("\n", 1, false),
            ("\r\n", 1, false),
            ("", 1, false),
        ] {
            let mut text = vec![b'a'; LINE_BYTES_MAX + extra];
            text.extend_from_slice(end.as_bytes());
            text.extend_from_slice(if end.is_empty() { b"" } else { b"b\n" });
            let mut lines = Lines::new(&text[..], "t");
            let first = lines.next_statement();
            assert_eq!(first.is_ok(), good, "{end:?} {extra}");
            if let Err(fault) = first {
                assert!(fault.why.contains("1048576 bytes"), "{fault}");
            }
        }
        let read = |lines_max, bytes_max| {
            let mut lines = Lines::new(&b"a\nb\nc\n"[..], "t").bounded(lines_max, bytes_max);
            let mut count = 0;
            loop {
                match lines.next_statement() {
                    Ok(None) => return Ok(count),
                    Ok(Some(_)) => count += 1,
                    Err(fault) => return Err(fault.why),
                }
            }
        };
        assert_eq!(read(3, 6), Ok(3));
        assert_eq!(read(2, 6), Err("more than 2 lines".to_owned()));
        assert_eq!(read(3, 5), Err("more than 5 bytes".to_owned()));
    }

    #[test]
    fn a_fault_says_where_what_and_why() {
        let text = format!("ok\nx\ta\x1b[2J{}\n", "y".repeat(200));
        let mut lines = Lines::new(text.as_bytes(), "orders");
        lines.next_statement().unwrap();
        let fault = lines.next_statement().unwrap().unwrap().fault("no good");
        let shown = fault.to_string();
        assert!(shown.starts_with("orders:2: no good: x\\ta\\x1b[2Jyyy"), "{shown}");
        assert!(shown.ends_with("y…") && shown.len() < 120, "{shown}");
        assert_eq!(lines.fault("no visit").to_string(), "orders:2: no visit");
    }

    #[test]
    fn numbers_have_one_spelling() {
        let table: &[(&[u8], Option<u64>)] = &[
            (b"1", Some(1)),
            (b"10", Some(10)),
            (b"11", None),
            (b"0", None),
            (b"01", None),
            (b"+1", None),
            (b"-1", None),
            (b"", None),
            (b"1a", None),
            (b"99999999999999999999999", None),
        ];
        for (word, value) in table {
            assert_eq!(number(word, 1, 10).ok(), *value, "{}", escaped(word));
        }
        assert_eq!(number(b"0", 0, 10), Ok(0));
        assert_eq!(number(b"18446744073709551615", 0, u64::MAX), Ok(u64::MAX));
    }

    #[test]
    fn signatures() {
        let hex64 = "0123456789abcdef".repeat(4);
        let with_x = format!("{hex64}x");
        let table: &[(Format, &str, bool)] = &[
            (Format::V1_3, "00000", true),
            (Format::V1_3, "65535", true),
            (Format::V1_3, "65536", false),
            (Format::V1_3, "0000", false),
            (Format::V1_3, "000000", false),
            (Format::V1_3, "+0000", false),
            (Format::V1_3, "666", false),
            (Format::V1_3, &hex64, false),
            (Format::V2_0, &hex64, true),
            (Format::V2_0, &with_x, true),
            (Format::V2_0, "00000", false),
            (Format::V2_0, &hex64[1..], false),
            (Format::V2_0, &hex64.to_uppercase(), false),
            (Format::V2_0, "?", false),
            (Format::V2_0, "x", false),
        ];
        for (format, text, good) in table {
            let read = content(*format, text.as_bytes());
            assert_eq!(read.is_ok(), *good, "{format} {text}");
            if let Ok(read) = read {
                let mut out = Vec::new();
                push_content(&mut out, &read);
                assert_eq!(out, text.as_bytes());
                assert_eq!(read.to_string(), *text);
            }
        }
    }

    #[test]
    fn words_are_split_by_single_spaces() {
        let statement = Statement::new("t", 1, b"k\ta  b ");
        let mut words = statement.words().unwrap();
        assert_eq!(words.next_word().unwrap(), Some(&b"a"[..]));
        assert!(words.next_word().is_err());
        assert_eq!(words.next_word().unwrap(), Some(&b"b"[..]));
        assert!(words.next_word().is_err());
        assert_eq!(words.next_word().unwrap(), None);
        assert!(Statement::new("t", 1, b"k a").words().is_err());
    }
}
