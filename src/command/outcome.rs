//! How a command ends: the one table of exit statuses, errors with their hints, the tally line.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::process::ExitCode;

use crate::model::path::escaped;

/// Bytes of lines that are printed together.
const LINES_BYTES: usize = 64 << 10;

/// How a command ended, worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All is done: exit status 0.
    #[default]
    Done,
    /// Done, and something waits for a person: 1.
    Waits,
    /// Something failed: 2.
    Failed,
}

impl Outcome {
    /// Returns the worse of two.
    pub fn and(self, other: Outcome) -> Outcome {
        self.max(other)
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Waits => 1,
            Outcome::Failed => 2,
        })
    }
}

/// What went wrong, and what the person can do about it.
#[derive(Debug)]
pub struct Failure {
    /// What, and where.
    pub what: String,
    /// What to do; empty where there is no advice.
    pub hint: String,
}

impl Failure {
    /// Returns a failure without advice.
    pub fn new(what: impl fmt::Display) -> Failure {
        Failure { what: what.to_string(), hint: String::new() }
    }

    /// Adds advice.
    pub fn hinted(mut self, hint: impl fmt::Display) -> Failure {
        self.hint = hint.to_string();
        self
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error)
    }
}

/// Tells a failure on standard error: `remsync: WHAT.` and `  hint: …`.
pub fn tell_failure(failure: &Failure) {
    let what = escaped_lines(&failure.what);
    talk(&format!("remsync: {}.\n", what.trim_end_matches('.')));
    if !failure.hint.is_empty() {
        talk(&format!("  hint: {}\n", escaped_lines(&failure.hint)));
    }
}

/// Tells something on standard error; what could drive a terminal is escaped.
pub fn tell(line: impl fmt::Display) {
    talk(&format!("{}\n", escaped_lines(&line.to_string())));
}

/// Writes on standard error, as it is. Where nobody hears it what is being done is done all the same.
pub fn talk(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints the answer on standard output, what could drive a terminal escaped; a reader that has
/// gone away ends the program quietly.
pub fn answer(text: impl fmt::Display) {
    print(&escaped_lines(&text.to_string()));
}

/// Prints lines as [`answer`] does, many at once: each that is printed alone is a system call.
pub fn answer_lines<L: fmt::Display>(lines: impl IntoIterator<Item = L>) {
    let mut text = String::new();
    for line in lines {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a string never fails.
        let _ = write!(text, "{line}");
        if text.len() >= LINES_BYTES {
            answer(std::mem::take(&mut text));
        }
    }
    if !text.is_empty() {
        answer(text);
    }
}

/// Prints a text of many lines on standard output, as it ends; what could drive a terminal is
/// escaped, tabs are not.
pub fn answer_text(text: &str) {
    let lines: Vec<String> = text.split('\t').map(escaped_lines).collect();
    let text = lines.join("\t");
    print(text.strip_suffix('\n').unwrap_or(&text));
}

/// Prints one JSON document on standard output; what could drive a terminal is escaped as JSON
/// escapes it.
pub fn answer_json(value: &serde_json::Value) {
    let text = format!("{value:#}");
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_escaped(c) {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe += &format!("\\u{unit:04x}");
            }
        }
    }
    print(&safe);
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(Outcome::Failed as i32);
    }
}

/// Returns `count` things in words: `1 file`, `2 files`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Escapes what could drive a terminal; lines stay lines, and what is escaped already stays so.
pub fn escaped_lines(text: &str) -> String {
    // Nearly all that is told, and told at once.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '\\') || !is_escaped(c) {
            out.push(c);
        } else {
            out += &escaped(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// Whether a character is not shown as it is.
fn is_escaped(c: char) -> bool {
    !matches!(c, ' '..='~') && escaped(c.encode_utf8(&mut [0; 4]).as_bytes()).starts_with('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped_and_nothing_twice() {
        for (text, shown) in [
            ("plain: \"x\" \u{e9}\u{65e5}\n  hint", "plain: \"x\" \u{e9}\u{65e5}\n  hint"),
            ("a\u{1b}[2Jb\r\u{7f}\u{9b}", "a\\x1b[2Jb\\r\\x7f\\u{9b}"),
            ("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}"),
            ("escaped\\x1b before, \\\\", "escaped\\x1b before, \\\\"),
        ] {
            assert_eq!(escaped_lines(text), shown);
        }
    }
}
