//! The prompt: one line of commands after another, until `quit` or the end of input.
//!
//! At a terminal with an editor, history and completion; elsewhere line by line, bytes as they are.

use std::cell::RefCell;
use std::fs::DirBuilder;
use std::io::{BufRead, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::completion::{candidates, quoted, word_at_end};
use super::dialog::{Dialog, Next};
use super::grammar::line;
use super::options::Options;
use super::outcome::{Failure, Outcome, talk, tell, tell_failure};
use super::session::Session;

/// Lines that the history keeps.
const HISTORY_LINES_MAX: usize = 1_000;

/// Reads commands from standard input and runs them; one that fails does not end the others.
///
/// # Errors
/// Standard input cannot be read.
pub fn run(dialog: &mut Dialog) -> Result<Outcome, Failure> {
    let has_terminal = std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal();
    let mut lines = match has_terminal && !dialog.options().batch {
        true => Lines::edited(dialog.options())?,
        false => Lines::Plain,
    };
    if std::io::stdin().is_terminal() {
        tell("remsync: \"?\" lists the commands, \"quit\" ends.");
    }
    let mut outcome = Outcome::Done;
    while let Some(line) = lines.next(dialog)? {
        match dialog.run_line(&line) {
            Next::Go(ran) => outcome = outcome.and(ran),
            Next::Quit => break,
            Next::Abort => return Ok(Outcome::Failed),
        }
    }
    Ok(outcome.and(dialog.save()))
}

/// Where lines come from.
enum Lines {
    /// Standard input, whatever it is.
    Plain,
    /// A terminal, through the editor; the history's file.
    Edited(Box<Editor<Assistant, FileHistory>>, PathBuf),
}

impl Lines {
    fn edited(options: &Options) -> Result<Lines, Failure> {
        let session = Session::new(options.clone())?;
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(Failure::new)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(Failure::new)?;
        editor.set_helper(Some(Assistant { options: RefCell::new(options.clone()) }));
        let history = session.places.state_dir.join("history");
        // Without a history there is none to load.
        let _ = editor.load_history(&history);
        Ok(Lines::Edited(Box::new(editor), history))
    }

    /// Returns the next line; `None` at the end of input.
    fn next(&mut self, dialog: &Dialog) -> Result<Option<Vec<u8>>, Failure> {
        let (editor, history) = match self {
            Lines::Edited(editor, history) => (editor, history),
            Lines::Plain => {
                if std::io::stdin().is_terminal() {
                    talk(&dialog.prompt());
                }
                // Bytes: the name of a file need not be UTF-8.
                let mut line = Vec::new();
                let count = std::io::stdin().lock().read_until(b'\n', &mut line)?;
                return Ok((count > 0).then_some(line));
            }
        };
        if let Some(assistant) = editor.helper() {
            assistant.options.replace(dialog.options().clone());
        }
        loop {
            match editor.readline(&dialog.prompt()) {
                Ok(line) => {
                    let is_new = editor.add_history_entry(line.as_str()).unwrap_or(false);
                    if is_new && let Err(error) = keep(editor, history) {
                        tell_failure(&Failure::new(format!("{}: {error}", history.display())));
                    }
                    return Ok(Some(line.into_bytes()));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                // What is on the line is given up, no more.
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(error) => return Err(Failure::new(error)),
            }
        }
    }
}

/// Keeps the history, for its owner only.
#[allow(clippy::disallowed_methods, reason = "a file of our own")]
fn keep(editor: &mut Editor<Assistant, FileHistory>, history: &Path) -> Result<(), ReadlineError> {
    if let Some(folder) = history.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    editor.append_history(history)
}

/// Completes what is typed.
struct Assistant {
    options: RefCell<Options>,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..at).unwrap_or(line);
        let (start, word) = word_at_end(typed);
        let before = typed.get(..start).unwrap_or_default();
        let is_begun = before.trim_end().ends_with(';');
        let words = line::split(before.as_bytes()).ok().and_then(|mut commands| commands.pop());
        let words = words.filter(|_| !is_begun).unwrap_or_default();
        let Ok(session) = Session::new(self.options.borrow().clone()) else {
            return Ok((start, Vec::new()));
        };
        let pairs = candidates(&session, &words, word).into_iter().map(|word| {
            let end = if word.ends_with('/') { "" } else { " " };
            Pair { replacement: format!("{}{end}", quoted(&word)), display: word }
        });
        Ok((start, pairs.collect()))
    }
}

impl Helper for Assistant {}
impl Highlighter for Assistant {}
impl Validator for Assistant {}
impl Hinter for Assistant {
    type Hint = String;
}
