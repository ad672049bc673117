//! Questions put to a person at the terminal. End of input is "leave it".

use std::io::{BufRead, Write};

use crate::model::knowledge::Question;
use crate::model::verdict::Choice;
use crate::model::version::{Content, Version};

use super::outcome::escaped_lines;
use super::session::OpenProject;
use super::words::{describe_question, local_time};

/// What the person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A choice, in sight of this version of ours.
    Answer(Choice, Option<Version>),
    /// Not now.
    Leave,
    /// Not now, and no more questions.
    LeaveAll,
}

/// Puts one question, with who, when and what; asks again until the reply is one of the choices.
pub fn ask_person(open: &OpenProject, question: &Question) -> Asked {
    let here = open.project.knowledge.rows.get(&question.path).map(|row| row.version);
    say(&format!("\n{}\n", describe_question(&open.project, question)));
    say(&format!("  here:    {}\n", describe_here(open, question)));
    say(&format!("  arrived: {}\n", describe_content(question.version.content)));
    loop {
        say("[k]eep what is here, [t]ake what arrived, [l]eave it, [q]uit asking? ");
        match line().as_deref() {
            Some("k" | "keep") => return Asked::Answer(Choice::Keep, here),
            Some("t" | "take") => return Asked::Answer(Choice::Take, here),
            Some("" | "l" | "leave") => return Asked::Leave,
            None | Some("q" | "quit") => return Asked::LeaveAll,
            Some(_) => {}
        }
    }
}

/// Asks a question whose safe answer is no; end of input is no.
pub fn yes(question: &str) -> bool {
    say(question);
    matches!(line().as_deref(), Some("y" | "yes"))
}

fn describe_here(open: &OpenProject, question: &Question) -> String {
    let path = &question.path;
    match open.ground.root.open_file(path) {
        Ok((_, seen)) => {
            let when = local_time(u64::try_from(seen.mtime_s).unwrap_or(0).saturating_mul(1000));
            format!("a file of {} bytes, changed {when}", seen.size_bytes)
        }
        Err(_) => match open.project.knowledge.rows.get(path).map(|row| row.version.content) {
            None | Some(Content::Absent) => "no file".into(),
            Some(Content::File(_)) => "cannot be read now".into(),
        },
    }
}

fn describe_content(content: Content) -> String {
    match content {
        Content::Absent => "a deletion".into(),
        Content::File(signature) => format!("a file, {}", short(&signature.to_string())),
    }
}

fn short(signature: &str) -> &str {
    signature.get(..16).unwrap_or(signature)
}

#[allow(clippy::print_stderr, reason = "standard error is the talk")]
fn say(text: &str) {
    eprint!("{}", escaped_lines(text));
    let _ = std::io::stderr().flush();
}

fn line() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_lowercase()),
    }
}
