//! A line of commands: its words, the `;` between commands, comments.
//!
//! Words are separated by blanks. A quote, `'` or `"`, at the beginning of a word holds all to the
//! next one together; anywhere else it is a character as any other, and so is a backslash, for
//! expressions are full of them. What follows a `!` that begins a command is a shell's, to the end
//! of the line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::outcome::Failure;

/// The words of one command.
pub type Words = Vec<OsString>;

/// Splits a line into commands; a comment and a blank line are none.
///
/// # Errors
/// A quote that is not closed.
pub fn split(line: &[u8]) -> Result<Vec<Words>, Failure> {
    let mut rest = line.trim_ascii();
    if rest.starts_with(b"#") {
        return Ok(Vec::new());
    }
    let mut commands = Vec::new();
    let mut words = Words::new();
    while let Some(&first) = rest.first() {
        match first {
            b';' => {
                commands.push(std::mem::take(&mut words));
                rest = rest.get(1..).unwrap_or_default();
            }
            b'!' if words.is_empty() => {
                words.push(OsStr::from_bytes(rest).to_owned());
                rest = b"";
            }
            b'\'' | b'"' => {
                let (word, after) = quoted(rest, first)?;
                words.push(word);
                rest = after;
            }
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                words.push(OsStr::from_bytes(word).to_owned());
                rest = after;
            }
        }
        rest = rest.trim_ascii_start();
    }
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    Ok(commands)
}

/// Whether a word of the shell's command line is a line of its own: it has blanks or a `;` in it.
pub fn is_line(word: &OsStr) -> bool {
    word.as_bytes().iter().any(|byte| byte.is_ascii_whitespace() || *byte == b';')
}

/// Returns what the quote that `text` begins with holds together, and what follows.
fn quoted(text: &[u8], quote: u8) -> Result<(OsString, &[u8]), Failure> {
    let inside = text.get(1..).unwrap_or_default();
    let fault = || {
        let quote = char::from(quote);
        Failure::new(format!("a quote ({quote}) that is not closed"))
            .hinted("a quote at the beginning of a word holds all to the next one together")
    };
    let end = inside.iter().position(|&byte| byte == quote).ok_or_else(fault)?;
    let (word, after) = inside.split_at(end);
    let after = after.get(1..).unwrap_or_default();
    match after.first() {
        Some(byte) if !byte.is_ascii_whitespace() && *byte != b';' => {
            Err(Failure::new("something stands right behind a closing quote")
                .hinted("put the whole word into quotes, of the other kind where it has one in it"))
        }
        _ => Ok((OsString::from_vec(word.to_vec()), after)),
    }
}
