//! Floor 3: what people ask for. One verb a file, glue only: decides nothing, parses nothing.

pub mod ask;
pub mod broadcast;
pub mod check;
pub mod deliver;
pub mod demo;
pub mod diff;
pub mod display;
pub mod edit;
pub mod find_mailer;
pub mod grammar;
pub mod hands;
pub mod help;
pub mod init;
pub mod keep;
pub mod key;
pub mod log;
pub mod merge;
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
pub mod status;
pub mod survey;
pub mod synchro;
pub mod undo;
pub mod vouch;
pub mod words;
pub mod wrap;

use std::ffi::OsString;

use crate::edge::ssh::answer_if_asked;

use grammar::Command;
use options::{Instead, Options};
use outcome::{Failure, Outcome, answer};
use session::Session;

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
    let options = Options::parse(arguments)?;
    match options.instead {
        Some(Instead::ShortHelp) => answer(help::SHORT.trim_end()),
        Some(Instead::Help) => answer(help::LONG.trim_end()),
        Some(Instead::Version) => answer(help::VERSION),
        None => return run_words(options),
    }
    Ok(Outcome::Done)
}

fn run_words(mut options: Options) -> Result<Outcome, Failure> {
    let words = std::mem::take(&mut options.words);
    if let Some(directory) = &options.directory {
        std::env::set_current_dir(directory)
            .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
    }
    match grammar::parse(&words)? {
        None => prompt::run(&Session::new(options)?),
        Some(Command::Demo) => demo::run(),
        Some(command) => run_command(&Session::new(options)?, &command),
    }
}

/// Runs one command.
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
        Command::List(kind) => edit::list(session, *kind),
        Command::Create(kind, words) => edit::create(session, *kind, words),
        Command::Delete(kind, value) => edit::delete(session, *kind, value),
        Command::Key(verb) => key::run(session, verb),
        Command::FindMailer(address) => find_mailer::run(session, address.as_deref()),
        Command::Check => check::run(session),
        Command::Display => display::run(session),
        Command::Synchro(files, choice) => synchro::run(session, files, *choice),
        Command::Push(file) => push::run(session, file.as_deref()),
        Command::Demo => demo::run(),
        Command::Help => {
            answer(help::LONG.trim_end());
            Ok(Outcome::Done)
        }
        Command::Quit => Ok(Outcome::Done),
    }
}
