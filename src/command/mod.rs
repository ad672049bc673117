//! Floor 3: what people ask for. One verb a file, glue only: decides nothing, parses nothing.

pub mod ask;
pub mod broadcast;
pub mod check;
pub mod companions;
pub mod completion;
pub mod deliver;
#[allow(clippy::disallowed_methods, reason = "it makes a world of its own")]
pub mod demo;
pub mod dialog;
pub mod diff;
pub mod display;
pub mod edit;
pub mod find_mailer;
pub mod grammar;
pub mod ground;
pub mod hands;
pub mod help;
pub mod identity;
pub mod init;
pub mod keep;
pub mod key;
pub mod log;
pub mod mail_files;
pub mod mailshar;
pub mod merge;
pub mod misnamed;
pub mod open;
pub mod options;
pub mod outbox;
pub mod outcome;
pub mod pending;
pub mod process;
pub mod progress;
pub mod prompt;
pub mod push;
pub mod queue;
pub mod resolve;
pub mod restore;
pub mod session;
pub mod sides;
pub mod sites;
pub mod status;
pub mod survey;
pub mod synchro;
pub mod undo;
pub mod upgrade;
pub mod vouch;
pub mod words;
pub mod wrap;

use std::ffi::OsString;

use crate::edge::ssh::answer_if_asked;

use dialog::Dialog;
use grammar::Command;
use options::Options;
use outcome::{Failure, Outcome, answer};
use session::Session;

/// Runs the program by the name that it was called by.
///
/// # Errors
/// As [`run`].
pub fn run_as(
    name: &std::ffi::OsStr,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Outcome, Failure> {
    let given: Vec<OsString> = arguments.into_iter().collect();
    if let Some(said) = help::companion_says(name, &given) {
        answer(said);
        return Ok(Outcome::Done);
    }
    run(companions::arguments(name, given)?)
}

/// Runs `remsync` with its arguments, the program's name left out.
///
/// # Errors
/// What ends the run, to be told with its hint; exit status 2.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<Outcome, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // ssh asks for a password by running this program.
    match answer_if_asked(&arguments) {
        None => {}
        Some(true) => return Ok(Outcome::Done),
        Some(false) => return Ok(Outcome::Failed),
    }
    let mut options = Options::parse(arguments)?;
    if let Some(instead) = options.instead {
        return Ok(dialog::say_instead(instead));
    }
    let words = std::mem::take(&mut options.words);
    let mut dialog = Dialog::begin(options)?;
    if words.is_empty() { prompt::run(&mut dialog) } else { dialog.run_words(words) }
}

/// Runs one command that needs nothing of those before it.
///
/// # Errors
/// What keeps the command from being done.
pub fn run_command(session: &Session, command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::Init => init::init(session),
        Command::Accept(id, directory) => init::accept(session, id, directory),
        Command::Broadcast(sites) => broadcast::run(session, sites),
        Command::Process(what) => process::run(session, what.as_ref()),
        Command::Status => status::run(session),
        Command::Pending => pending::run(session),
        Command::Diff(files) => diff::run(session, files),
        Command::Resolve(files, decision) => resolve::resolve(session, files, *decision),
        Command::Log(file) => log::run(session, file.as_ref()),
        Command::Undo(run) => undo::run(session, *run),
        Command::Restore(file, version) => restore::run(session, file, version.as_deref()),
        Command::Queue(verb) => queue::run(session, verb),
        Command::Key(verb) => key::run(session, verb),
        Command::FindMailer(address) => find_mailer::run(session, address.as_deref()),
        Command::Check => check::run(session),
        Command::Display => display::run(session),
        Command::Synchro(files, choice) => synchro::run(session, files, *choice),
        Command::Push(file) => push::run(session, file.as_deref()),
        Command::MailFiles(words) => mail_files::run(session, words),
        Command::Mailshar(words) => mailshar::run(session, words),
        Command::Upgrade => upgrade::run(session),
        Command::Completions(shell) => {
            answer(completion::script(shell).unwrap_or_default().trim_end());
            Ok(Outcome::Done)
        }
        Command::Complete(words) => {
            let (before, last) = completion::split_last(words);
            completion::candidates(session, before, last).iter().for_each(answer);
            Ok(Outcome::Done)
        }
        // What is between commands is the dialog's.
        Command::List(_)
        | Command::Edit(_)
        | Command::Shell(_)
        | Command::Chdir(_)
        | Command::Visit(_)
        | Command::Mode(_)
        | Command::Demo
        | Command::Summary
        | Command::Help
        | Command::Quit
        | Command::Abort => Ok(Outcome::Done),
    }
}
