//! One version made of two: by lines, by the user's own tool, or by the user in an editor.
//!
//! Nothing in the tree is touched here: it returns what the two make together.

use std::ffi::OsStr;

use crate::edge::program::{Attended, Bench, run};
use crate::edge::state::State;
use crate::format::difference::{
    self, Labels, MERGE_LINES_MAX, Merged, TEXT_BYTES_MAX, has_markers, is_mergeable, is_text,
};
use crate::model::knowledge::Question;
use crate::model::project::Project;
use crate::model::verdict::Choice;

use super::outcome::{Failure, counted, tell};
use super::session::Session;
use super::sides::{FileSide, Sides};
use super::words::{address_of, label};

/// The folder in the project's own where a merge is worked on.
const BENCH: &str = "merge";

/// What a merge ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is one of the two.
    Same(Choice),
    /// A version of its own.
    Made {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// It cannot be merged, for this reason: both are to be kept.
    Both(String),
    /// Only a person can go on, for this reason.
    Stays(String),
}

/// Merges the two sides of a question.
///
/// # Errors
/// The files for a program cannot be written.
pub fn merge(
    session: &Session,
    state: &State,
    project: &Project,
    question: &Question,
    sides: &Sides,
) -> Result<End, Failure> {
    let (Some(ours), Some(theirs)) = (sides.ours.file(), sides.theirs.file()) else {
        return Ok(End::Stays("there are not two files to be merged: \"keep\" or \"take\"".into()));
    };
    let executable = merged_bit(sides, ours, theirs);
    let (Some(our_bytes), Some(their_bytes)) = (&ours.bytes, &theirs.bytes) else {
        return Ok(End::Both(format!("a file of over {TEXT_BYTES_MAX} bytes is not merged")));
    };
    let made = match &session.places.merge_command {
        Some(command) => by_tool(session, state, question, sides, command)?,
        None if !is_text(our_bytes) || !is_text(their_bytes) => {
            return Ok(End::Both("it is no text".into()));
        }
        None if !is_mergeable(our_bytes) || !is_mergeable(their_bytes) => {
            return Ok(End::Both(format!("a text of over {MERGE_LINES_MAX} lines is not merged")));
        }
        None => by_lines(session, state, project, question, sides, our_bytes, their_bytes)?,
    };
    Ok(match made {
        Err(why) => End::Stays(why),
        Ok(bytes) if bytes == *our_bytes && executable == ours.executable => {
            End::Same(Choice::Keep)
        }
        Ok(bytes) if bytes == *their_bytes && executable == theirs.executable => {
            End::Same(Choice::Take)
        }
        Ok(bytes) => End::Made { bytes, executable },
    })
}

/// Returns the executable bit of the merged file: the one that a side changed.
fn merged_bit(sides: &Sides, ours: &FileSide, theirs: &FileSide) -> bool {
    match &sides.base {
        Some(base) if ours.executable == base.executable => theirs.executable,
        _ => ours.executable,
    }
}

fn by_lines(
    session: &Session,
    state: &State,
    project: &Project,
    question: &Question,
    sides: &Sides,
    ours: &[u8],
    theirs: &[u8],
) -> Result<Result<Vec<u8>, String>, Failure> {
    let from = format!("from {}", address_of(project, question));
    let labels = Labels { ours: "here", theirs: &from };
    let base =
        sides.base.as_ref().map(|base| base.bytes.as_slice()).filter(|base| is_mergeable(base));
    let (text, conflicts) = match difference::merge(base, ours, theirs, labels) {
        Merged::Clean(text) => return Ok(Ok(text)),
        Merged::Conflicted { text, conflicts } => (text, conflicts),
    };
    let label = label(&project.knowledge, question);
    let places = counted(conflicts, "place", "places");
    let why = match base {
        Some(_) => format!("both changed the same lines, in {places}"),
        None => format!("no version that both descend from is kept here; they differ in {places}"),
    };
    let Some(editor) = session.places.editor.as_ref().filter(|_| session.may_ask()) else {
        return Ok(Err(format!(
            "{why}\n  hint: see \"remsync diff {label}\"; \"both\" keeps both; at a terminal, with \
             EDITOR set, \"merge\" lets you edit it"
        )));
    };
    tell(format_args!("remsync: {label}: {why}."));
    by_hand(state, question, &text, labels, editor)
}

/// Lets the person edit a text with markers.
fn by_hand(
    state: &State,
    question: &Question,
    text: &[u8],
    labels: Labels<'_>,
    editor: &OsStr,
) -> Result<Result<Vec<u8>, String>, Failure> {
    const NAME: &str = "merged";
    let bench = bench(state, question)?;
    bench.write(NAME, text)?;
    let shown = editor.to_string_lossy();
    match run(editor, &[('r', &bench.path(NAME))], Attended::Yes) {
        Ok(true) => {}
        Ok(false) => return Ok(Err(format!("{shown} did not end well"))),
        Err(error) => return Ok(Err(format!("{shown}: {error}"))),
    }
    let edited = bench.read(NAME, TEXT_BYTES_MAX)?;
    Ok(if has_markers(&edited, labels) {
        Err("there still are markers in it".into())
    } else {
        Ok(edited)
    })
}

/// Lets the user's own tool merge: with 0 it says that its result is one.
fn by_tool(
    session: &Session,
    state: &State,
    question: &Question,
    sides: &Sides,
    command: &OsStr,
) -> Result<Result<Vec<u8>, String>, Failure> {
    let bench = bench(state, question)?;
    let bytes = |side: Option<&FileSide>| side.and_then(|file| file.bytes.clone());
    let base = sides.base.as_ref().map(|base| base.bytes.clone());
    bench.write("base", &base.unwrap_or_default())?;
    bench.write("ours", &bytes(sides.ours.file()).unwrap_or_default())?;
    bench.write("theirs", &bytes(sides.theirs.file()).unwrap_or_default())?;
    let names = ["base", "ours", "theirs", "result"].map(|name| bench.path(name));
    let [base, ours, theirs, result] = &names;
    let files = [('b', &**base), ('o', &**ours), ('t', &**theirs), ('r', &**result)];
    let attended = if session.may_ask() { Attended::Yes } else { Attended::No };
    let shown = command.to_string_lossy();
    match run(command, &files, attended) {
        Ok(true) => Ok(bench
            .read("result", TEXT_BYTES_MAX)
            .map_err(|error| format!("{shown} left no result: {error}"))),
        Ok(false) => Ok(Err(format!("{shown} did not merge it"))),
        Err(error) => Ok(Err(format!("{shown}: {error}"))),
    }
}

fn bench(state: &State, question: &Question) -> Result<Bench, Failure> {
    let dir = state.private(BENCH);
    Bench::create(&dir, question.path.as_bytes())
        .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))
}
