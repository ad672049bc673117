//! The words of one command: full words, first letters, words run together (`lr`, `listremote`).
//!
//! The manual of 1994 allows a keyword in full or as its first letter, nothing between, and the
//! spaces between keywords may be left out. New commands are full words only.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::outcome::Failure;
use crate::model::verdict::Choice;

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
    /// `create TYPE VALUE`.
    Create(Kind, Vec<OsString>),
    /// `delete TYPE VALUE`.
    Delete(Kind, OsString),
    /// `key new`, `key trust ADDRESS FILE` and the like.
    Key(KeyVerb),
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
    /// `demo`.
    Demo,
    /// `?`.
    Help,
    /// `quit`.
    Quit,
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
    "demo",
];

/// Reads one command; `None` if there are no words.
///
/// # Errors
/// What is no command, or lacks a word, with a hint.
pub fn parse(words: &[OsString]) -> Result<Option<Command>, Failure> {
    let Some((first, rest)) = words.split_first() else { return Ok(None) };
    let command = match first.to_str() {
        Some("?" | "help") => Command::Help,
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
            _ => return Err(Failure::new("log takes one file, or none")),
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
            _ => return Err(Failure::new("push takes one file, or none")),
        },
        Some("find-mailer") => match texts(rest)?.as_slice() {
            [] => Command::FindMailer(None),
            [address] => Command::FindMailer(Some(address.clone())),
            _ => return Err(Failure::new("find-mailer takes one address")),
        },
        _ => parse_classic(words)?,
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

/// A keyword of the 1994 language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyword {
    Broadcast,
    Process,
    List,
    Create,
    Delete,
    Quit,
    Type(Kind),
}

const KEYWORDS: &[(&str, Keyword)] = &[
    ("broadcast", Keyword::Broadcast),
    ("process", Keyword::Process),
    ("list", Keyword::List),
    ("create", Keyword::Create),
    ("delete", Keyword::Delete),
    ("quit", Keyword::Quit),
    ("here", Keyword::Type(Kind::Here)),
    ("local", Keyword::Type(Kind::Here)),
    ("remote", Keyword::Type(Kind::Remote)),
    ("scan", Keyword::Type(Kind::Scan)),
    ("ignore", Keyword::Type(Kind::Ignore)),
    ("files", Keyword::Type(Kind::Files)),
];

fn parse_classic(words: &[OsString]) -> Result<Command, Failure> {
    let (keywords, rest) = keywords(words)?;
    match keywords.as_slice() {
        [Keyword::Broadcast] => Ok(Command::Broadcast(texts(rest)?)),
        [Keyword::Process] => match rest {
            [] => Ok(Command::Process(None)),
            [file] => Ok(Command::Process(Some(file.clone()))),
            _ => Err(Failure::new("process takes one file or one entry of the queue")),
        },
        [Keyword::Quit] => no_more(Command::Quit, rest),
        [Keyword::List] => no_more(Command::List(None), rest),
        [Keyword::List, Keyword::Type(kind)] => no_more(Command::List(Some(*kind)), rest),
        [Keyword::Type(Kind::Files)] => no_more(Command::List(Some(Kind::Files)), rest),
        [Keyword::Type(kind)] if rest.is_empty() => Ok(Command::List(Some(*kind))),
        [Keyword::Create, Keyword::Type(kind)] | [Keyword::Type(kind)] => create(*kind, rest),
        [Keyword::Delete, Keyword::Type(kind)] => match (kind, rest) {
            (Kind::Remote | Kind::Scan | Kind::Ignore, [value]) => {
                Ok(Command::Delete(*kind, value.clone()))
            }
            _ => Err(Failure::new("delete takes remote, scan or ignore, and one value")),
        },
        _ => Err(unknown(words)),
    }
}

fn create(kind: Kind, rest: &[OsString]) -> Result<Command, Failure> {
    match (kind, rest) {
        (Kind::Remote, [_] | [_, _]) | (Kind::Scan | Kind::Ignore, [_]) => {
            Ok(Command::Create(kind, rest.to_vec()))
        }
        (Kind::Remote, _) => Err(Failure::new("create remote takes an address and a directory")),
        (Kind::Scan | Kind::Ignore, _) => Err(Failure::new("create takes one value")),
        (Kind::Here | Kind::Files, _) => {
            Err(Failure::new("create takes remote, scan or ignore, and a value"))
        }
    }
}

/// Splits the leading keywords off, however they are run together, and returns the words after.
fn keywords(words: &[OsString]) -> Result<(Vec<Keyword>, &[OsString]), Failure> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if !found.is_empty() && !takes_another(&found) {
            return Ok((found, &words[at..]));
        }
        match word.to_str().and_then(|word| split(word, &found)) {
            Some(more) => found.extend(more),
            None if found.is_empty() => return Err(unknown(words)),
            None => return Ok((found, &words[at..])),
        }
    }
    Ok((found, &[]))
}

fn takes_another(found: &[Keyword]) -> bool {
    matches!(found, [Keyword::List | Keyword::Create | Keyword::Delete])
}

/// Reads `word` as one or two keywords run together, after those already `found`.
fn split(word: &str, found: &[Keyword]) -> Option<Vec<Keyword>> {
    let is_type = |keyword: &Keyword| matches!(keyword, Keyword::Type(_));
    let whole = |word: &str| {
        let fits = |(name, _): &&(&str, Keyword)| *name == word || name[..1] == *word;
        KEYWORDS.iter().find(fits).map(|(_, keyword)| *keyword)
    };
    if let Some(keyword) = whole(word) {
        return (found.is_empty() || is_type(&keyword)).then(|| vec![keyword]);
    }
    if !found.is_empty() || !word.is_ascii() {
        return None;
    }
    (1..word.len()).find_map(|at| {
        let (first, second) = (whole(&word[..at])?, whole(&word[at..])?);
        (takes_another(&[first]) && is_type(&second)).then(|| vec![first, second])
    })
}

fn parse_accept(rest: &[OsString]) -> Result<Command, Failure> {
    match rest {
        [id, directory] => {
            let id =
                id.to_str().ok_or_else(|| Failure::new("no entry of the queue has that name"))?;
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

fn parse_queue(rest: &[OsString]) -> Result<Command, Failure> {
    let words = texts(rest)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let verb = match words.as_slice() {
        [] | ["list"] => QueueVerb::List,
        ["show", id] => QueueVerb::Show((*id).to_owned()),
        ["drop", id] => QueueVerb::Drop((*id).to_owned()),
        ["retry", id] => QueueVerb::Retry((*id).to_owned()),
        _ => {
            return Err(Failure::new("queue takes list, or show, drop or retry and an entry"));
        }
    };
    Ok(Command::Queue(verb))
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
        Some(word) => Err(Failure::new(format!("\"{}\" is one word too many", shown(word)))),
    }
}

fn texts(words: &[OsString]) -> Result<Vec<String>, Failure> {
    let text = |word: &OsString| {
        let word = String::from_utf8(word.clone().into_vec());
        word.map_err(|_| Failure::new("a word that is not UTF-8"))
    };
    words.iter().map(text).collect()
}

fn unknown(words: &[OsString]) -> Failure {
    let first = words.first().map(|word| shown(word)).unwrap_or_default();
    Failure::new(format!("\"{first}\" is no command")).hinted(
        "a keyword is written in full or as its first letter; \"remsync --help\" lists them",
    )
}

fn shown(word: &OsStr) -> String {
    crate::model::path::escaped(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Command> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words).ok().flatten()
    }

    #[test]
    fn spellings_of_one_command() {
        for line in ["list remote", "l remote", "list r", "l r", "listremote", "lr", "lremote"] {
            assert_eq!(read(line), Some(Command::List(Some(Kind::Remote))), "{line}");
        }
        for line in ["l rem", "lisremote", "lis", "broad", "x", "lrr", "bb"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn commands_and_their_words() {
        let create = |kind, words: &[&str]| {
            Some(Command::Create(kind, words.iter().map(OsString::from).collect()))
        };
        let table = [
            ("b", Some(Command::Broadcast(vec![]))),
            ("broadcast a@x b@x", Some(Command::Broadcast(vec!["a@x".into(), "b@x".into()]))),
            ("p", Some(Command::Process(None))),
            ("p f.tar.gz", Some(Command::Process(Some("f.tar.gz".into())))),
            ("create remote a@x /t", create(Kind::Remote, &["a@x", "/t"])),
            ("remote a@x /t", create(Kind::Remote, &["a@x", "/t"])),
            ("cr a@x /t", create(Kind::Remote, &["a@x", "/t"])),
            ("c i .*~", create(Kind::Ignore, &[".*~"])),
            ("delete scan src", Some(Command::Delete(Kind::Scan, "src".into()))),
            ("ds src", Some(Command::Delete(Kind::Scan, "src".into()))),
            ("d s", None),
            ("f", Some(Command::List(Some(Kind::Files)))),
            ("l", Some(Command::List(None))),
            ("status x", None),
            (
                "resolve a b keep",
                Some(Command::Resolve(vec!["a".into(), "b".into()], Decision::Keep)),
            ),
            ("resolve a merge", Some(Command::Resolve(vec!["a".into()], Decision::Merge))),
            // With --all or --from no file is named.
            ("resolve both", Some(Command::Resolve(vec![], Decision::Both))),
            ("resolve", None),
            ("resolve a", None),
            ("diff a b", Some(Command::Diff(vec!["a".into(), "b".into()]))),
            ("log", Some(Command::Log(None))),
            ("log a b", None),
            ("undo 7", Some(Command::Undo(Some(7)))),
            ("undo", Some(Command::Undo(None))),
            ("undo f", None),
            ("undo 7 8", None),
            ("restore f", Some(Command::Restore("f".into(), None))),
            ("restore f 12ab", Some(Command::Restore("f".into(), Some("12ab".into())))),
            ("restore", None),
            ("resolve a maybe", None),
            ("queue", Some(Command::Queue(QueueVerb::List))),
            ("queue drop 1", Some(Command::Queue(QueueVerb::Drop("1".into())))),
            ("queue drop", None),
            ("key new", Some(Command::Key(KeyVerb::New))),
            ("key trust a@x -", Some(Command::Key(KeyVerb::Trust("a@x".into(), "-".into())))),
            ("key revoke a@x", Some(Command::Key(KeyVerb::Revoke("a@x".into())))),
            ("key seal a@x", Some(Command::Key(KeyVerb::Seal("a@x".into(), None)))),
            ("key seal a@x f", Some(Command::Key(KeyVerb::Seal("a@x".into(), Some("f".into()))))),
            ("key unseal a@x", Some(Command::Key(KeyVerb::Unseal("a@x".into())))),
            ("key", None),
            ("key new x", None),
            ("key trust a@x", None),
            ("accept 1", None),
            ("check", Some(Command::Check)),
            ("check x", None),
            ("display", Some(Command::Display)),
            ("synchro", Some(Command::Synchro(vec![], None))),
            ("synchro a b", Some(Command::Synchro(vec!["a".into(), "b".into()], None))),
            ("synchro a keep", Some(Command::Synchro(vec!["a".into()], Some(Choice::Keep)))),
            ("synchro keep", Some(Command::Synchro(vec!["keep".into()], None))),
            ("push", Some(Command::Push(None))),
            ("push c.ini", Some(Command::Push(Some("c.ini".into())))),
            ("push c.ini d.ini", None),
            ("find-mailer", Some(Command::FindMailer(None))),
            ("find-mailer a@x", Some(Command::FindMailer(Some("a@x".into())))),
            ("find-mailer a@x b@x", None),
        ];
        for (line, command) in table {
            assert_eq!(read(line), command, "{line}");
        }
    }
}
