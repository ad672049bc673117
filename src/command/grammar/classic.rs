//! The language of the manual of 1994, and of the programs that followed it, as one.
//!
//! A keyword is written in full or as its first letter, nothing between, and the spaces between
//! keywords may be left out: `list remote`, `l r`, `listremote`, `lr`. Where first letters clash,
//! `c` is create before a type and chdir before anything else, `h` is here, `l` list, and in the
//! place of a type local; `p` is process.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::super::outcome::Failure;
use super::{Command, Edit, FULL_WORDS, Kind, Mode, SiteName, no_more, shown, texts};

/// A keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// `broadcast`.
    Broadcast,
    /// `process`.
    Process,
    /// `list`.
    List,
    /// `create`.
    Create,
    /// `chdir`, `cd`, `pwd`.
    Chdir,
    /// `visit`.
    Visit,
    /// `delete`.
    Delete,
    /// `email`.
    Email,
    /// `home`.
    Home,
    /// `mode`.
    Mode,
    /// One of the modes.
    OneMode(Mode),
    /// `quit`.
    Quit,
    /// `abort`.
    Abort,
    /// What a statement is of.
    Type(Kind),
}

/// What a command begins with. A letter is the first that has it.
pub const KEYWORDS: &[(&str, Keyword)] = &[
    ("broadcast", Keyword::Broadcast),
    ("process", Keyword::Process),
    ("list", Keyword::List),
    ("create", Keyword::Create),
    ("delete", Keyword::Delete),
    ("email", Keyword::Email),
    ("title", Keyword::Type(Kind::Title)),
    ("here", Keyword::Type(Kind::Here)),
    ("local", Keyword::Type(Kind::Here)),
    ("home", Keyword::Home),
    ("remote", Keyword::Type(Kind::Remote)),
    ("scan", Keyword::Type(Kind::Scan)),
    ("ignore", Keyword::Type(Kind::Ignore)),
    ("files", Keyword::Type(Kind::Files)),
    ("mode", Keyword::Mode),
    ("visit", Keyword::Visit),
    ("chdir", Keyword::Chdir),
    ("cd", Keyword::Chdir),
    ("pwd", Keyword::Chdir),
    ("quit", Keyword::Quit),
    ("abort", Keyword::Abort),
];

/// What may follow `list`, `create` and `delete`.
pub const TYPES: &[(&str, Keyword)] = &[
    ("local", Keyword::Type(Kind::Here)),
    ("here", Keyword::Type(Kind::Here)),
    ("title", Keyword::Type(Kind::Title)),
    ("remote", Keyword::Type(Kind::Remote)),
    ("scan", Keyword::Type(Kind::Scan)),
    ("ignore", Keyword::Type(Kind::Ignore)),
    ("files", Keyword::Type(Kind::Files)),
];

/// What may follow `email` and `home`, beside a remote.
pub(super) const OURSELVES: &[(&str, Keyword)] =
    &[("local", Keyword::Type(Kind::Here)), ("here", Keyword::Type(Kind::Here))];

/// What may follow `mode`.
pub(super) const MODES: &[(&str, Keyword)] = &[
    ("init", Keyword::OneMode(Mode::Init)),
    ("noop", Keyword::OneMode(Mode::Noop)),
    // Of the two in use, that of ours which no program had is written in full.
    ("normal", Keyword::OneMode(Mode::Normal)),
];

/// Commands of the oldest packages, which were fed to the program as they came.
const PACKAGE_WORDS: &[&str] = &["version", "from", "sum", "if"];

/// Reads a command of this language.
///
/// # Errors
/// What is no command, or lacks a word, or has one too many; with a hint.
pub(super) fn parse(words: &[OsString]) -> Result<Command, Failure> {
    let (keywords, rest) = keywords(words)?;
    let first = words.first().and_then(|word| word.to_str()).unwrap_or_default();
    match keywords.as_slice() {
        [Keyword::Broadcast] => Ok(Command::Broadcast(texts(rest)?)),
        [Keyword::Process] => match rest {
            [] => Ok(Command::Process(None)),
            [file] => Ok(Command::Process(Some(file.clone()))),
            _ => Err(Failure::new("process takes one file or one entry of the queue")
                .hinted("without either it takes all that arrived")),
        },
        [Keyword::Quit] => no_more(Command::Quit, rest),
        [Keyword::Abort] => no_more(Command::Abort, rest),
        [Keyword::Create] if first == "c" => chdir(rest),
        [Keyword::Chdir] if first == "pwd" => no_more(Command::Chdir(None), rest),
        [Keyword::Chdir] => chdir(rest),
        [Keyword::Visit] => match rest {
            [directory] => Ok(Command::Visit(directory.clone())),
            _ => Err(Failure::new("visit takes the top folder of a project")
                .hinted("\"pwd\" tells which folder it is now")),
        },
        [Keyword::Mode] => match rest.first() {
            None => Ok(Command::Mode(None)),
            Some(word) => Err(not_one_of(word, "mode", MODES)),
        },
        [Keyword::Mode, Keyword::OneMode(mode)] => no_more(Command::Mode(Some(*mode)), rest),
        [Keyword::Email, ..] => email(&keywords, rest),
        [Keyword::Home, ..] => home(&keywords, rest),
        [Keyword::List] => match rest.first() {
            None => Ok(Command::List(None)),
            Some(word) => Err(not_one_of(word, "type", TYPES)),
        },
        [Keyword::List, Keyword::Type(kind)] => no_more(Command::List(Some(*kind)), rest),
        [Keyword::Type(Kind::Files)] => no_more(Command::List(Some(Kind::Files)), rest),
        [Keyword::Type(kind)] if rest.is_empty() => Ok(Command::List(Some(*kind))),
        [Keyword::Type(Kind::Title)] => Ok(Command::Edit(Edit::Title(texts(rest)?.join(" ")))),
        [Keyword::Type(Kind::Here)] => here(rest),
        [Keyword::Create, Keyword::Type(kind)] | [Keyword::Type(kind)] => create(*kind, rest),
        [Keyword::Delete, Keyword::Type(kind)] => delete(*kind, rest),
        [Keyword::Create] => Err(not_typed("create", rest)),
        [Keyword::Delete] => Err(not_typed("delete", rest)),
        _ => Err(unknown(words)),
    }
}

fn create(kind: Kind, rest: &[OsString]) -> Result<Command, Failure> {
    let quoted = "an expression or a name with spaces in it stands in quotes";
    match (kind, rest) {
        (Kind::Remote, [_] | [_, _]) | (Kind::Scan | Kind::Ignore, [_]) => {
            Ok(Command::Edit(Edit::Create(kind, rest.to_vec())))
        }
        (Kind::Remote, _) => Err(Failure::new("create remote takes an address and a folder")
            .hinted("the folder may be left out, or \"-\", where it is not known")),
        (Kind::Scan, _) => Err(Failure::new("create scan takes one wildcard").hinted(quoted)),
        (Kind::Ignore, _) => Err(Failure::new("create ignore takes one expression").hinted(quoted)),
        (Kind::Title | Kind::Here | Kind::Files, _) => Err(not_typed("create", &[])),
    }
}

fn delete(kind: Kind, rest: &[OsString]) -> Result<Command, Failure> {
    match (kind, rest) {
        (Kind::Remote | Kind::Scan | Kind::Ignore, [value]) => {
            Ok(Command::Edit(Edit::Delete(kind, value.clone())))
        }
        (Kind::Remote | Kind::Scan | Kind::Ignore, _) => {
            Err(Failure::new("delete takes one value, or its number")
                .hinted("\"list\" shows the numbers, in brackets"))
        }
        (Kind::Title | Kind::Here | Kind::Files, _) => Err(not_typed("delete", &[])),
    }
}

fn here(rest: &[OsString]) -> Result<Command, Failure> {
    let (address, directory) = match rest {
        [address] => (address, None),
        [address, directory] => (address, Some(directory.clone())),
        _ => {
            return Err(Failure::new("here takes an address and a folder")
                .hinted("\"-\" for the address leaves it as it is"));
        }
    };
    Ok(Command::Edit(Edit::Here(text(address)?, directory)))
}

fn email(keywords: &[Keyword], rest: &[OsString]) -> Result<Command, Failure> {
    let (site, value) = site_and_value("email", "an address", keywords, rest)?;
    Ok(Command::Edit(Edit::Email(site, text(value)?)))
}

fn home(keywords: &[Keyword], rest: &[OsString]) -> Result<Command, Failure> {
    let (site, value) = site_and_value("home", "a folder", keywords, rest)?;
    Ok(Command::Edit(Edit::Home(site, value.clone())))
}

fn site_and_value<'a>(
    verb: &str,
    what: &str,
    keywords: &[Keyword],
    rest: &'a [OsString],
) -> Result<(SiteName, &'a OsString), Failure> {
    match (keywords, rest) {
        ([_, _], [value]) => Ok((SiteName::Here, value)),
        ([_], [site, value]) => Ok((SiteName::Remote(text(site)?), value)),
        _ => Err(Failure::new(format!("{verb} takes a remote and {what}"))
            .hinted("the remote by its address or number; \"local\" for this site")),
    }
}

fn chdir(rest: &[OsString]) -> Result<Command, Failure> {
    match rest {
        [] => Ok(Command::Chdir(None)),
        [directory] => Ok(Command::Chdir(Some(directory.clone()))),
        _ => Err(Failure::new("chdir takes one folder")
            .hinted("a name with spaces in it stands in quotes")),
    }
}

/// Splits the leading keywords off, however they are run together, and returns the words after.
pub(super) fn keywords(words: &[OsString]) -> Result<(Vec<Keyword>, &[OsString]), Failure> {
    let (first, rest) = words.split_first().ok_or_else(|| unknown(words))?;
    let found = first.to_str().and_then(split).ok_or_else(|| unknown(words))?;
    let &[only] = found.as_slice() else { return Ok((found, rest)) };
    let second = rest
        .split_first()
        .and_then(|(second, after)| Some((whole(second.to_str()?, seconds(only))?, after)));
    match second {
        Some((second, after)) => Ok((vec![only, second], after)),
        None => Ok((found, rest)),
    }
}

/// Reads a word as one keyword, or as two run together.
fn split(word: &str) -> Option<Vec<Keyword>> {
    if let Some(keyword) = whole(word, KEYWORDS) {
        return Some(vec![keyword]);
    }
    (1..word.len()).find_map(|at| {
        let (first, second) = word.split_at_checked(at)?;
        let first = whole(first, KEYWORDS)?;
        Some(vec![first, whole(second, seconds(first))?])
    })
}

/// Returns the keyword that a word is, in full or by its first letter.
fn whole(word: &str, table: &[(&str, Keyword)]) -> Option<Keyword> {
    let fits = |(name, keyword): &&(&str, Keyword)| {
        let has_letter = *keyword != Keyword::OneMode(Mode::Normal);
        *name == word || has_letter && word.len() == 1 && name.starts_with(word)
    };
    table.iter().find(fits).map(|(_, keyword)| *keyword)
}

/// Returns the keywords that may follow one.
fn seconds(first: Keyword) -> &'static [(&'static str, Keyword)] {
    match first {
        Keyword::List | Keyword::Create | Keyword::Delete => TYPES,
        Keyword::Mode => MODES,
        Keyword::Email | Keyword::Home => OURSELVES,
        _ => &[],
    }
}

fn not_typed(verb: &str, rest: &[OsString]) -> Failure {
    match rest.first() {
        Some(word) => not_one_of(word, "type", TYPES),
        None => Failure::new(format!("{verb} takes remote, scan or ignore, and a value"))
            .hinted("\"title\", \"here\", \"email\" and \"home\" change the rest"),
    }
}

/// A word in the place of a type or a mode that is none.
fn not_one_of(word: &OsStr, what: &str, table: &[(&str, Keyword)]) -> Failure {
    let text = word.to_str().unwrap_or_default();
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let meant = names.iter().find(|name| !text.is_empty() && name.starts_with(text));
    let hint = match meant {
        Some(name) => format!("write \"{name}\" in full, or its first letter"),
        None => format!("there are {}", names.join(", ")),
    };
    Failure::new(format!("\"{}\" is no {what}", shown(word))).hinted(hint)
}

fn unknown(words: &[OsString]) -> Failure {
    let first = words.first().map(OsString::as_os_str).unwrap_or_default();
    let text = first.to_str().unwrap_or_default();
    if PACKAGE_WORDS.contains(&text) {
        return Failure::new(format!("\"{text}\" stands in packages only"))
            .hinted("\"process FILE\" reads a package");
    }
    let hint = match meant(text) {
        Some(meant) => format!(
            "did you mean \"{meant}\"? A keyword is written in full or as its first letter; \"?\" \
             lists them"
        ),
        None => "a keyword is written in full or as its first letter; \"?\" lists them".to_owned(),
    };
    Failure::new(format!("\"{}\" is no command", shown(first))).hinted(hint)
}

/// Guesses what a word was meant to be: one that is cut short, two that are, or one misspelt.
fn meant(word: &str) -> Option<String> {
    if word.is_empty() {
        return None;
    }
    let names = || KEYWORDS.iter().map(|(name, _)| *name).chain(FULL_WORDS.iter().copied());
    if let Some(name) = names().find(|name| name.starts_with(word)) {
        return Some(name.to_owned());
    }
    let two = (1..word.len()).rev().find_map(|at| {
        let (first, second) = word.split_at_checked(at)?;
        let (first, keyword) = KEYWORDS.iter().find(|(name, _)| name.starts_with(first))?;
        let (second, _) = seconds(*keyword).iter().find(|(name, _)| name.starts_with(second))?;
        Some(format!("{first} {second}"))
    });
    let close = || {
        let names: Vec<&str> = names().collect();
        similar::get_close_matches(word, &names, 1, 0.75).first().map(|&name| name.to_owned())
    };
    two.or_else(close)
}

fn text(word: &OsString) -> Result<String, Failure> {
    let fault = || {
        Failure::new(format!("\"{}\" is not UTF-8", shown(word)))
            .hinted("only names of files and expressions may be of other bytes")
    };
    let text = std::str::from_utf8(word.as_bytes()).map_err(|_| fault())?;
    Ok(text.to_owned())
}
