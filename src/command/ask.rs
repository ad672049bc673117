//! Questions put to a person at the terminal. End of input is "leave it".

use std::ffi::OsStr;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::edge::places::Places;
use crate::edge::program;
use crate::edge::queue::Queue;
use crate::model::knowledge::Question;
use crate::model::limits::PACKAGE_BYTES_MAX;
use crate::model::version::Version;

use super::grammar::Decision;
use super::open::OpenProject;
use super::outcome::{escaped_lines, talk};
use super::sides::{Arrivals, Desk, Sides};
use super::words::{describe_difference, describe_question, describe_side};

/// Lines of a difference that are shown before anybody asks for it.
const SHOWN_LINES_MAX: usize = 40;

/// What the person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A decision, in sight of this version of ours.
    Answer(Decision, Option<Version>),
    /// Not now.
    Leave,
    /// Not now, and no more questions.
    LeaveAll,
}

/// Puts one question, with who, when and what, and the difference if it is short; asks again until
/// the reply is one of the choices.
pub fn ask_person(queue: &Queue, open: &OpenProject, question: &Question) -> Asked {
    let here = open.project.knowledge.rows.get(&question.path).map(|row| row.version);
    let arrivals = Arrivals::read(queue, [question], PACKAGE_BYTES_MAX);
    let desk = Desk::new(&open.ground, &open.project.knowledge, &arrivals);
    let sides = desk.ok().map(|desk| desk.sides(question));
    say(&format!("\n{}\n", describe_question(&open.project, question)));
    let difference = sides.as_ref().map(|sides| {
        say(&format!("  here:  {}\n", describe_side(&sides.ours)));
        say(&format!("  there: {}\n", describe_side(&sides.theirs)));
        describe_difference(&open.project, question, sides, false)
    });
    let difference = difference.unwrap_or_default();
    let is_two = sides.as_ref().is_some_and(is_two_files);
    if is_two && difference.lines().count() <= SHOWN_LINES_MAX {
        say(&difference);
    }
    let both = match is_two {
        true => "keep [b]oth, [m]erge, show the [d]ifference, ",
        false => "",
    };
    let choices =
        format!("[k]eep what is here, [t]ake what arrived, {both}[l]eave it, [q]uit asking? ");
    loop {
        match reply(&choices).as_deref() {
            Some("k" | "keep") => return Asked::Answer(Decision::Keep, here),
            Some("t" | "take") => return Asked::Answer(Decision::Take, here),
            Some("b" | "both") if is_two => return Asked::Answer(Decision::Both, here),
            Some("m" | "merge") if is_two => return Asked::Answer(Decision::Merge, here),
            Some("d" | "diff" | "difference") if is_two => say(&difference),
            Some("" | "l" | "leave") => return Asked::Leave,
            None | Some("q" | "quit") => return Asked::LeaveAll,
            Some(_) => {}
        }
    }
}

/// Asks a question whose safe answer is no; end of input is no.
pub fn yes(question: &str) -> bool {
    matches!(reply(question).as_deref(), Some("y" | "yes"))
}

/// Asks a question and returns the line that is typed, in lower case; `None` at the end of input.
pub fn reply(question: &str) -> Option<String> {
    reply_as_typed(question).map(|line| line.to_lowercase())
}

/// Asks a question and returns the line that is typed; `None` at the end of input, and for `abort`.
/// As in the programs of old, `!` runs a shell at any question, and `?` says what may be typed.
pub fn reply_as_typed(question: &str) -> Option<String> {
    loop {
        say(question);
        let mut line = String::new();
        if matches!(std::io::stdin().lock().read_line(&mut line), Ok(0) | Err(_)) {
            say("\n");
            return None;
        }
        let line = line.trim();
        if line == "abort" {
            ABORTED.store(true, Ordering::Relaxed);
            return None;
        }
        if let Some(typed) = line.strip_prefix('!') {
            let places = Places::from_environment().ok();
            let shell = places.and_then(|places| places.shell);
            let typed = Some(typed.trim()).filter(|typed| !typed.is_empty());
            let shell = shell.as_deref().unwrap_or(OsStr::new("sh"));
            if let Err(error) = program::run_shell(shell, typed.map(OsStr::new)) {
                say(&format!("remsync: {}: {error}.\n", shell.display()));
            }
        } else if line == "?" {
            say("  One of the answers in brackets, or an empty line for the one in capitals.\n  \
                 \"! COMMAND\" runs a shell, \"abort\" leaves this and everything after it.\n");
        } else {
            return Some(line.to_owned());
        }
    }
}

/// Whether a person typed `abort` in the place of an answer: no question was answered since.
pub fn was_aborted() -> bool {
    ABORTED.load(Ordering::Relaxed)
}

/// `abort` ends the program from within whatever asks, once that has been left in order.
static ABORTED: AtomicBool = AtomicBool::new(false);

/// Whether there are two files, of which both may stay.
fn is_two_files(sides: &Sides) -> bool {
    sides.ours.file().is_some() && sides.theirs.file().is_some()
}

fn say(text: &str) {
    let lines: Vec<String> = text.split('\t').map(escaped_lines).collect();
    talk(&lines.join("\t"));
}
