//! The prompt: one command a line, until `quit` or the end of input.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, IsTerminal};
use std::os::unix::ffi::OsStrExt;

use super::grammar::{self, Command};
use super::outcome::{Failure, Outcome, tell, tell_failure};
use super::session::Session;

/// Reads commands from standard input and runs them; one that fails does not end the others.
///
/// # Errors
/// Standard input cannot be read.
#[allow(clippy::print_stderr, reason = "the prompt is talk")]
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        tell("remsync: \"?\" lists the commands, \"quit\" ends.");
    }
    let mut outcome = Outcome::Done;
    loop {
        if is_terminal {
            eprint!("remsync> ");
        }
        // Bytes: the name of a file need not be UTF-8.
        let mut line = Vec::new();
        if std::io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            return Ok(outcome);
        }
        if line.trim_ascii().starts_with(b"#") {
            continue;
        }
        let words: Vec<OsString> = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .map(|word| OsStr::from_bytes(word).to_owned())
            .collect();
        let read = session.options.clone().and(words).and_then(|mut options| {
            let words = std::mem::take(&mut options.words);
            Ok((options, grammar::parse(&words)?))
        });
        let ran = match read {
            Ok((_, Some(Command::Quit))) => return Ok(outcome),
            // Each command is a run of its own: a prompt may stay open for days.
            Ok((options, Some(command))) => {
                Session::new(options).and_then(|session| super::run_command(&session, &command))
            }
            Ok((_, None)) => Ok(Outcome::Done),
            Err(failure) => Err(failure),
        };
        outcome = outcome.and(ran.unwrap_or_else(|failure| {
            tell_failure(&failure);
            Outcome::Failed
        }));
    }
}
