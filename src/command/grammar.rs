//! The words of one command.
//!
//! The commands of the manual of 1994 and of the programs after it are read in `classic`: their
//! keywords may be shortened and run together. New commands are full words only. What a line is
//! made of is in `line`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::outcome::Failure;
use crate::model::verdict::Choice;

mod classic;
pub mod expects;
pub mod line;
#[cfg(test)]
mod tests;

use classic::KEYWORDS;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `init`: makes the current folder a project.
    Init,
    /// `accept ID DIR`: makes the tree that a first package proposes.
    Accept(String, OsString),
    /// `broadcast [SITES]`.
    Broadcast(Vec<String>),
    /// `process [FILE or ID]`.
    Process(Option<OsString>),
    /// `status`.
    Status,
    /// `pending`.
    Pending,
    /// `diff [FILE…]`.
    Diff(Vec<OsString>),
    /// `resolve FILE… keep|take|both|merge`; none with `--all` or `--from`.
    Resolve(Vec<OsString>, Decision),
    /// `log [FILE]`.
    Log(Option<OsString>),
    /// `undo [RUN]`.
    Undo(Option<u64>),
    /// `restore FILE [VERSION]`.
    Restore(OsString, Option<String>),
    /// `queue [list]`, `queue show|drop|retry ID`.
    Queue(QueueVerb),
    /// `list [TYPE]`; `None` is all but the files.
    List(Option<Kind>),
    /// What changes who takes part, and which files.
    Edit(Edit),
    /// `! [SHELL COMMAND]`.
    Shell(Option<OsString>),
    /// `chdir [DIR]`; without a folder shows which it is.
    Chdir(Option<OsString>),
    /// `visit DIR`.
    Visit(OsString),
    /// `mode [init|noop|normal]`; `None` shows them.
    Mode(Option<Mode>),
    /// `find-mailer [ADDRESS]`.
    FindMailer(Option<String>),
    /// `push [FILE]`.
    Push(Option<OsString>),
    /// `check`.
    Check,
    /// `display`.
    Display,
    /// `synchro [FILE…] [keep|take]`.
    Synchro(Vec<OsString>, Option<Choice>),
    /// `mail-files …`, with options of its own.
    MailFiles(Vec<OsString>),
    /// `mailshar …`, with options of its own.
    Mailshar(Vec<OsString>),
    /// `upgrade`: from format 1.3 to 2.0.
    Upgrade,
    /// `completions SHELL`.
    Completions(OsString),
    /// `completions words -- WORD…`: what the last may become.
    Complete(Vec<OsString>),
    /// `key new`, `key trust ADDRESS FILE` and the like.
    Key(KeyVerb),
    /// `demo`.
    Demo,
    /// `?`: on one screen.
    Summary,
    /// `help`: all of it.
    Help,
    /// `quit`.
    Quit,
    /// `abort`: ends, and forgets what was not saved.
    Abort,
}

/// A change of who takes part, or of which files belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `create TYPE VALUE`; a remote may have a folder after it.
    Create(Kind, Vec<OsString>),
    /// `delete TYPE VALUE`.
    Delete(Kind, OsString),
    /// `title TEXT`.
    Title(String),
    /// `here ADDRESS [DIR]`; an address `-` leaves it as it is.
    Here(String, Option<OsString>),
    /// `email SITE ADDRESS`.
    Email(SiteName, String),
    /// `home SITE DIR`.
    Home(SiteName, OsString),
}

/// A site as it is named in a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteName {
    /// `local`, or `here`.
    Here,
    /// A remote's address or number.
    Remote(String),
}

/// What holds for the commands after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `broadcast` tells signatures and sends no contents.
    Init,
    /// Nothing is changed, mailed or written.
    Noop,
    /// Neither.
    Normal,
}

/// What a person answers to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// What is here stays.
    Keep,
    /// What arrived takes its place.
    Take,
    /// What arrived is put beside what is here, under a name of its own.
    Both,
    /// One version is made of both.
    Merge,
}

/// What `queue` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueVerb {
    /// Lists every entry.
    List,
    /// Shows one.
    Show(String),
    /// Takes one out for good.
    Drop(String),
    /// Makes one new again.
    Retry(String),
}

/// What `key` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerb {
    /// Makes the key that signs.
    New,
    /// Shows its public half.
    Show,
    /// Trusts the key in a file, or the one that signed an entry, to sign for an address.
    Trust(String, PathBuf),
    /// Lists whom we trust.
    List,
    /// Takes the trust in an address's keys back.
    Revoke(String),
    /// Seals what goes to an address: to the key in a file, or to the one that is trusted.
    Seal(String, Option<PathBuf>),
    /// Seals it no more.
    Unseal(String),
}

/// A kind of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the project is called.
    Title,
    /// This site.
    Here,
    /// The others.
    Remote,
    /// What is looked at.
    Scan,
    /// What is left out.
    Ignore,
    /// The rows.
    Files,
}

/// The full words of the commands that have no abbreviation, with what they do, for the help.
pub const FULL_WORDS: &[&str] = &[
    "init",
    "accept",
    "status",
    "pending",
    "diff",
    "resolve",
    "log",
    "undo",
    "restore",
    "queue",
    "key",
    "check",
    "display",
    "synchro",
    "push",
    "find-mailer",
    "mail-files",
    "mailshar",
    "upgrade",
    "completions",
    "demo",
];

/// Reads one command; `None` if there are no words.
///
/// # Errors
/// What is no command, or lacks a word, with a hint.
pub fn parse(words: &[OsString]) -> Result<Option<Command>, Failure> {
    let Some((first, rest)) = words.split_first() else { return Ok(None) };
    let command = match first.to_str() {
        Some("?") => no_more(Command::Summary, rest)?,
        Some("help") => no_more(Command::Help, rest)?,
        Some("init") => no_more(Command::Init, rest)?,
        Some("status") => no_more(Command::Status, rest)?,
        Some("pending") => no_more(Command::Pending, rest)?,
        Some("demo") => no_more(Command::Demo, rest)?,
        Some("accept") => parse_accept(rest)?,
        Some("diff") => Command::Diff(rest.to_vec()),
        Some("resolve") => parse_resolve(rest)?,
        Some("log") => match rest {
            [] => Command::Log(None),
            [file] => Command::Log(Some(file.clone())),
            _ => {
                return Err(Failure::new("log takes one file, or none")
                    .hinted("a name with spaces in it stands in quotes"));
            }
        },
        Some("undo") => parse_undo(rest)?,
        Some("restore") => parse_restore(rest)?,
        Some("queue") => parse_queue(rest)?,
        Some("key") => parse_key(rest)?,
        Some("check") => no_more(Command::Check, rest)?,
        Some("display") => no_more(Command::Display, rest)?,
        Some("synchro") => parse_synchro(rest),
        Some("push") => match rest {
            [] => Command::Push(None),
            [file] => Command::Push(Some(file.clone())),
            _ => {
                return Err(Failure::new("push takes one file, or none")
                    .hinted("without one it is config.ini in the current folder"));
            }
        },
        Some("find-mailer") => match texts(rest)?.as_slice() {
            [] => Command::FindMailer(None),
            [address] => Command::FindMailer(Some(address.clone())),
            _ => {
                return Err(Failure::new("find-mailer takes one address, or none")
                    .hinted("one of your own, for --self-test"));
            }
        },
        Some("mail-files") => Command::MailFiles(rest.to_vec()),
        Some("mailshar") => Command::Mailshar(rest.to_vec()),
        Some("upgrade") => no_more(Command::Upgrade, rest)?,
        Some("completions") => parse_completions(rest)?,
        _ if first.as_bytes().starts_with(b"!") => shell(words),
        _ => classic::parse(words)?,
    };
    Ok(Some(command))
}

impl Decision {
    /// Reads a word.
    pub fn parse(word: &str) -> Option<Decision> {
        [Decision::Keep, Decision::Take, Decision::Both, Decision::Merge]
            .into_iter()
            .find(|decision| decision.name() == word)
    }

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Decision::Keep => "keep",
            Decision::Take => "take",
            Decision::Both => "both",
            Decision::Merge => "merge",
        }
    }
}

fn parse_accept(rest: &[OsString]) -> Result<Command, Failure> {
    match rest {
        [id, directory] => {
            let id = id.to_str().ok_or_else(|| {
                Failure::new("no entry of the queue has that name")
                    .hinted("\"queue\" lists the entries")
            })?;
            Ok(Command::Accept(id.to_owned(), directory.clone()))
        }
        _ => Err(Failure::new("accept takes an entry of the queue and a folder")
            .hinted("\"remsync queue\" lists the entries")),
    }
}

fn parse_resolve(rest: &[OsString]) -> Result<Command, Failure> {
    let fault = || {
        Failure::new("resolve takes files and then \"keep\", \"take\", \"both\" or \"merge\"")
            .hinted("\"remsync pending\" lists what waits")
    };
    let (decision, files) = rest.split_last().ok_or_else(fault)?;
    let decision = decision.to_str().and_then(Decision::parse).ok_or_else(fault)?;
    Ok(Command::Resolve(files.to_vec(), decision))
}

fn parse_undo(rest: &[OsString]) -> Result<Command, Failure> {
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<u64>().ok());
    match rest {
        [] => Ok(Command::Undo(None)),
        [run] if number(run).is_some() => Ok(Command::Undo(number(run))),
        _ => Err(Failure::new("undo takes the number of a run, or nothing for the last one")
            .hinted("\"remsync log\" lists the runs")),
    }
}

fn parse_restore(rest: &[OsString]) -> Result<Command, Failure> {
    match rest {
        [file] => Ok(Command::Restore(file.clone(), None)),
        [file, version] => Ok(Command::Restore(file.clone(), Some(shown(version)))),
        _ => Err(Failure::new("restore takes a file and a version")
            .hinted("without a version it lists those that are kept")),
    }
}

fn parse_completions(rest: &[OsString]) -> Result<Command, Failure> {
    match rest.split_first() {
        Some((first, words)) if first == "words" => Ok(Command::Complete(words.to_vec())),
        Some((shell, [])) if expects::SHELLS.iter().any(|known| shell == known) => {
            Ok(Command::Completions(shell.clone()))
        }
        _ => Err(Failure::new("completions takes the name of a shell")
            .hinted(format!("there are {}", expects::SHELLS.join(", ")))),
    }
}

fn parse_queue(rest: &[OsString]) -> Result<Command, Failure> {
    let words = texts(rest)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let verb = match words.as_slice() {
        [] | ["list"] => QueueVerb::List,
        ["show", id] => QueueVerb::Show((*id).to_owned()),
        ["drop", id] => QueueVerb::Drop((*id).to_owned()),
        ["retry", id] => QueueVerb::Retry((*id).to_owned()),
        _ => {
            return Err(Failure::new("queue takes list, or show, drop or retry and an entry")
                .hinted("\"queue\" alone lists the entries"));
        }
    };
    Ok(Command::Queue(verb))
}

/// Returns what is behind the `!`, as the shell gets it.
fn shell(words: &[OsString]) -> Command {
    let all = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
    let typed = all.get(1..).unwrap_or_default().trim_ascii();
    Command::Shell((!typed.is_empty()).then(|| OsStr::from_bytes(typed).to_owned()))
}

fn parse_key(rest: &[OsString]) -> Result<Command, Failure> {
    let fault = || {
        let verbs = "new, show, list, trust ADDRESS FILE, revoke ADDRESS, seal ADDRESS [FILE] or \
                     unseal ADDRESS";
        Failure::new(format!("key takes {verbs}")).hinted(
            "FILE holds a public key, or is the entry of a package that is signed with it; - is \
                     standard input",
        )
    };
    let address = |word: &OsString| word.to_str().map(str::to_owned).ok_or_else(fault);
    let (verb, rest) = rest.split_first().ok_or_else(fault)?;
    let verb = match (verb.to_str(), rest) {
        (Some("new"), []) => KeyVerb::New,
        (Some("show"), []) => KeyVerb::Show,
        (Some("list"), []) => KeyVerb::List,
        (Some("trust"), [who, file]) => KeyVerb::Trust(address(who)?, PathBuf::from(file)),
        (Some("revoke"), [who]) => KeyVerb::Revoke(address(who)?),
        (Some("seal"), [who]) => KeyVerb::Seal(address(who)?, None),
        (Some("seal"), [who, file]) => KeyVerb::Seal(address(who)?, Some(file.into())),
        (Some("unseal"), [who]) => KeyVerb::Unseal(address(who)?),
        _ => return Err(fault()),
    };
    Ok(Command::Key(verb))
}

/// The last word settles conflicts; alone it is a file.
fn parse_synchro(rest: &[OsString]) -> Command {
    let (files, choice) = match rest {
        [files @ .., last] if !files.is_empty() && last == "keep" => (files, Some(Choice::Keep)),
        [files @ .., last] if !files.is_empty() && last == "take" => (files, Some(Choice::Take)),
        files => (files, None),
    };
    Command::Synchro(files.to_vec(), choice)
}

fn no_more(command: Command, rest: &[OsString]) -> Result<Command, Failure> {
    match rest.first() {
        None => Ok(command),
        Some(word) => Err(Failure::new(format!("\"{}\" is one word too many", shown(word)))
            .hinted("\";\" stands between two commands, and quotes around a word with spaces")),
    }
}

fn texts(words: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |word: &OsString| {
        let word = String::from_utf8(word.clone().into_vec());
        word.map_err(|_| {
            Failure::new("a word that is not UTF-8")
                .hinted("only names of files and expressions may be of other bytes")
        })
    };
    words.iter().map(text).collect()
}

fn shown(word: &OsStr) -> String {
    crate::model::path::escaped(word.as_bytes())
}
