//! The dialog: one command after another, typed at the prompt or as words on the shell's line, and
//! what lasts between them: the folder, the mode, changes of a project that are not saved yet.
//!
//! Each command is a run of its own, for a prompt may stay open for days: settings and projects are
//! read when a command needs them, and not before. What was changed by `create`, `title` and the
//! like is saved before another command looks at the project, and at the end; `abort` forgets it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::edge::places::{Places, started_in};
use crate::edge::program;
use crate::edge::state::State;

use super::ask;
use super::edit::{self, Draft};
use super::grammar::{self, Command, Mode, line};
use super::options::{Instead, Options};
use super::outcome::{Failure, Outcome, answer, tell, tell_failure};
use super::session::Session;
use super::{demo, help, init, run_command};

/// A dialog.
#[derive(Debug)]
pub struct Dialog {
    /// What holds for every command.
    options: Options,
    draft: Draft,
}

/// What comes after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next one.
    Go(Outcome),
    /// The end: what was changed is saved.
    Quit,
    /// The end: it is forgotten.
    Abort,
}

impl Dialog {
    /// Begins a dialog; its options have no words. Goes where `-C` says.
    ///
    /// # Errors
    /// The folder cannot be entered.
    pub fn begin(mut options: Options) -> Result<Dialog, Failure> {
        // The folder may change; what options and variables name does not.
        started_in();
        for path in [&mut options.config, &mut options.queue, &mut options.to].into_iter().flatten()
        {
            *path = std::path::absolute(&path)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        }
        if let Some(directory) = options.directory.take() {
            enter(directory.as_os_str())?;
        }
        Ok(Dialog { options, draft: Draft::default() })
    }

    /// Returns what holds for every command.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Runs the commands that the words of the shell's line are: one, or several with a `;` between
    /// them. A word with blanks in it that begins a command is a line as at the prompt.
    ///
    /// # Errors
    /// What is no command.
    pub fn run_words(&mut self, words: Vec<OsString>) -> Result<Outcome, Failure> {
        let mut commands: Vec<(Options, Vec<OsString>)> = Vec::new();
        for words in groups(&words) {
            let Some((first, rest)) = words.split_first() else { continue };
            if is_shell(first) || !line::is_line(first) {
                commands.push((self.options.clone(), words.to_vec()));
                continue;
            }
            let mut lines = line::split(first.as_bytes())?;
            if let Some(last) = lines.last_mut() {
                last.extend_from_slice(rest);
            }
            for words in lines {
                let mut options = self.options.clone().and(words)?;
                let words = std::mem::take(&mut options.words);
                commands.push((options, words));
            }
        }
        if commands.len() > 1 && self.options.json {
            return Err(Failure::new("--json takes one command")
                .hinted("each prints a document of its own: run them one by one"));
        }
        let mut outcome = Outcome::Done;
        for (options, words) in commands {
            let next = match options.instead {
                Some(instead) => Next::Go(say_instead(instead)),
                None => self.run_one(options, &words),
            };
            match next {
                Next::Go(ran) => outcome = outcome.and(ran),
                Next::Quit => break,
                Next::Abort => return Ok(Outcome::Failed),
            }
        }
        Ok(outcome.and(self.save()))
    }

    /// Runs the commands of a line at the prompt; what is wrong is told.
    pub fn run_line(&mut self, line: &[u8]) -> Next {
        let commands = match line::split(line) {
            Ok(commands) => commands,
            Err(failure) => return Next::Go(failed(&failure)),
        };
        let mut outcome = Outcome::Done;
        for words in commands {
            let next = match self.options.clone().and(words) {
                Ok(Options { instead: Some(instead), .. }) => Next::Go(say_instead(instead)),
                Ok(Options { directory: Some(directory), .. }) => Next::Go(failed(
                    &Failure::new("-C does nothing here")
                        .hinted(format!("visit {}", directory.display())),
                )),
                Ok(mut options) => {
                    let words = std::mem::take(&mut options.words);
                    self.run_one(options, &words)
                }
                Err(failure) => Next::Go(failed(&failure)),
            };
            match next {
                Next::Go(ran) => outcome = outcome.and(ran),
                end => return end,
            }
        }
        Next::Go(outcome)
    }

    /// Saves what was changed, and tells what could not be.
    pub fn save(&mut self) -> Outcome {
        if self.draft.is_empty() {
            return Outcome::Done;
        }
        let saved =
            Session::new(self.options.clone()).and_then(|session| self.draft.save(&session));
        saved.unwrap_or_else(|failure| failed(&failure))
    }

    /// Returns what the prompt shows before a line: the modes, as the programs of old did.
    pub fn prompt(&self) -> String {
        match (self.options.inventory, self.options.dry_run) {
            (false, false) => "remsync> ".to_owned(),
            (is_init, is_noop) => {
                let modes = [is_init.then_some("init"), is_noop.then_some("noop")];
                let modes: Vec<&str> = modes.into_iter().flatten().collect();
                format!("{}>> ", modes.join(" "))
            }
        }
    }

    fn run_one(&mut self, options: Options, words: &[OsString]) -> Next {
        let ran = match grammar::parse(words) {
            Ok(Some(Command::Quit)) => return Next::Quit,
            Ok(Some(Command::Abort)) => return Next::Abort,
            Ok(Some(command)) => self.run(options, &command),
            Ok(None) => Ok(Outcome::Done),
            Err(failure) => Err(failure),
        };
        if ask::was_aborted() {
            return Next::Abort;
        }
        Next::Go(ran.unwrap_or_else(|failure| failed(&failure)))
    }

    fn run(&mut self, options: Options, command: &Command) -> Result<Outcome, Failure> {
        match command {
            Command::Summary => answer(help::SHORT.trim_end()),
            Command::Help => answer(help::LONG.trim_end()),
            // It needs no settings.
            Command::Demo => return demo::run(),
            Command::Mode(mode) => self.set_mode(*mode),
            Command::Shell(typed) => return run_shell(&Session::new(options)?, typed.as_deref()),
            Command::Chdir(None) => answer(std::env::current_dir()?.display()),
            Command::Chdir(Some(directory)) => return self.go_to(directory),
            Command::Visit(directory) => return self.visit(options, directory),
            Command::Edit(edit) => {
                let session = Session::new(options)?;
                fill_in(&session)?;
                return self.draft.add(&session, edit);
            }
            Command::List(kind) => {
                let session = Session::new(options)?;
                fill_in(&session)?;
                return Ok(edit::list(&session, &self.draft.project(&session)?, *kind));
            }
            _ => {
                let saved = self.save();
                let session = Session::new(options)?;
                if needs_project(command) {
                    fill_in(&session)?;
                }
                return Ok(saved.and(run_command(&session, command)?));
            }
        }
        Ok(Outcome::Done)
    }

    fn set_mode(&mut self, mode: Option<Mode>) {
        match mode {
            Some(Mode::Init) => self.options.inventory = true,
            Some(Mode::Noop) => self.options.dry_run = true,
            Some(Mode::Normal) => (self.options.inventory, self.options.dry_run) = (false, false),
            None => {
                let on = |is_on: bool| if is_on { "on" } else { "off" };
                answer(format_args!(
                    "init  {}  broadcast tells signatures and sends no contents\n\
                     noop  {}  nothing is changed, mailed or written",
                    on(self.options.inventory),
                    on(self.options.dry_run),
                ));
            }
        }
    }

    /// Changes the folder; what was changed in the project before is saved.
    fn go_to(&mut self, directory: &OsStr) -> Result<Outcome, Failure> {
        let saved = self.save();
        enter(directory)?;
        Ok(saved)
    }

    /// Selects another project.
    fn visit(&mut self, options: Options, directory: &OsStr) -> Result<Outcome, Failure> {
        let session = Session::new(options)?;
        let folder = expanded(directory, session.places.home.as_deref());
        let is_project = State::is_project(Path::new(&folder));
        if !is_project && !session.may_ask() {
            return Err(Failure::new(format!("{}: there is no .remsync", folder.display()))
                .hinted("\"chdir\" goes there all the same, and \"init\" makes it a project"));
        }
        let saved = self.go_to(&folder)?;
        if is_project {
            let title = State::read(Path::new("."))?.identity.title;
            tell(format_args!("  {}: \"{title}\"", std::env::current_dir()?.display()));
        } else {
            tell("  There is no .remsync here; you are asked about it when it is needed.");
        }
        Ok(saved)
    }
}

/// Splits words at each `;`, but not within a shell command, which goes on to the end.
fn groups(words: &[OsString]) -> Vec<&[OsString]> {
    let mut groups = Vec::new();
    let mut rest = words;
    while let Some(first) = rest.first() {
        let end = rest.iter().position(|word| word == ";");
        match end.filter(|_| !is_shell(first)) {
            Some(end) => {
                groups.push(&rest[..end]);
                rest = &rest[end + 1..];
            }
            None => {
                groups.push(rest);
                rest = &[];
            }
        }
    }
    groups
}

fn is_shell(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"!")
}

/// Tells a failure; that is how the command ended.
fn failed(failure: &Failure) -> Outcome {
    tell_failure(failure);
    Outcome::Failed
}

/// Prints what was asked for instead of a command.
pub fn say_instead(instead: Instead) -> Outcome {
    match instead {
        Instead::ShortHelp => answer(help::SHORT.trim_end()),
        Instead::Help => answer(help::LONG.trim_end()),
        Instead::Version => answer(help::VERSION),
    }
    Outcome::Done
}

fn run_shell(session: &Session, typed: Option<&OsStr>) -> Result<Outcome, Failure> {
    let shell = session.places.shell.as_deref().unwrap_or(OsStr::new("sh"));
    let is_well = program::run_shell(shell, typed)
        .map_err(|error| Failure::new(format!("{}: {error}", shell.display())))?;
    // How an interactive shell ended says nothing.
    Ok(if is_well || typed.is_none() { Outcome::Done } else { Outcome::Failed })
}

fn enter(directory: &OsStr) -> Result<(), Failure> {
    let home = Places::from_environment()?.home;
    let folder = expanded(directory, home.as_deref());
    std::env::set_current_dir(&folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
}

/// Puts the home in the place of a `~`: no shell did so at the prompt.
fn expanded(directory: &OsStr, home: Option<&Path>) -> OsString {
    match (directory.as_bytes(), home) {
        (b"~", Some(home)) => home.into(),
        ([b'~', b'/', rest @ ..], Some(home)) => home.join(OsStr::from_bytes(rest)).into(),
        _ => directory.to_owned(),
    }
}

/// Asks a person for what a project needs, where a command needs one and there is none.
fn fill_in(session: &Session) -> Result<(), Failure> {
    if session.may_ask() && session.project_directory_if_any()?.is_none() {
        init::questionnaire(session)?;
    }
    Ok(())
}

/// Whether a command is about a project, and cannot be without one.
fn needs_project(command: &Command) -> bool {
    matches!(
        command,
        Command::Broadcast(_)
            | Command::Status
            | Command::Diff(_)
            | Command::Resolve(..)
            | Command::Log(_)
            | Command::Undo(_)
            | Command::Restore(..)
            | Command::Check
            | Command::Display
            | Command::Synchro(..)
            | Command::Upgrade
    )
}
