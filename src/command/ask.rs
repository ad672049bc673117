//! Questions put to a person at the terminal. End of input is "leave it".

use std::io::{BufRead, Write};

use crate::edge::queue::Queue;
use crate::model::knowledge::Question;
use crate::model::limits::PACKAGE_BYTES_MAX;
use crate::model::version::Version;

use super::grammar::Decision;
use super::outcome::escaped_lines;
use super::session::OpenProject;
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
    loop {
        say(&format!(
            "[k]eep what is here, [t]ake what arrived, {both}[l]eave it, [q]uit asking? "
        ));
        match reply("").as_deref() {
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
    say(question);
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_lowercase()),
    }
}

/// Whether there are two files, of which both may stay.
fn is_two_files(sides: &Sides) -> bool {
    sides.ours.file().is_some() && sides.theirs.file().is_some()
}

#[allow(clippy::print_stderr, reason = "standard error is the talk")]
fn say(text: &str) {
    let lines: Vec<String> = text.split('\t').map(escaped_lines).collect();
    eprint!("{}", lines.join("\t"));
    let _ = std::io::stderr().flush();
}
