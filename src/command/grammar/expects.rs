//! What may come next: for completion, at the prompt and in people's shells.
//!
//! It follows the tables that commands are read by, so that what is offered is understood.

use std::ffi::OsString;

use super::classic::{self, Keyword, MODES, OURSELVES, TYPES};
use super::{Decision, FULL_WORDS, KEYWORDS, Kind};

/// One kind of thing that the next word may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expects {
    /// One of these words.
    Words(Vec<&'static str>),
    /// A remote.
    Sites,
    /// A statement of the project.
    Statements(Kind),
    /// A file of the project.
    Files,
    /// A file that a question is about.
    Questions,
    /// An entry of the queue.
    Entries,
    /// A folder on the disk.
    Folders,
    /// A file or a folder on the disk.
    Paths,
}

/// Returns what may follow `words`, options left out.
pub fn expects(words: &[OsString]) -> Vec<Expects> {
    let Some((first, rest)) = words.split_first() else { return vec![commands()] };
    let first = first.to_str().unwrap_or_default();
    match (first, rest.len()) {
        ("accept", 0) => vec![Expects::Entries],
        ("accept", 1) => vec![Expects::Folders],
        ("diff", _) => vec![Expects::Questions],
        ("resolve", _) => {
            let decisions = [Decision::Keep, Decision::Take, Decision::Both, Decision::Merge];
            let decisions = decisions.map(Decision::name).to_vec();
            vec![Expects::Questions, Expects::Words(decisions)]
        }
        ("log" | "restore", 0) => vec![Expects::Files],
        ("queue", 0) => vec![Expects::Words(vec!["list", "show", "drop", "retry"])],
        ("queue", 1) if rest[0] != "list" => vec![Expects::Entries],
        ("key", 0) => {
            vec![Expects::Words(vec!["new", "show", "list", "trust", "revoke", "seal", "unseal"])]
        }
        ("key", 1) => vec![Expects::Sites],
        ("key", 2) => vec![Expects::Entries, Expects::Paths],
        ("synchro", _) => vec![Expects::Files, Expects::Words(vec!["keep", "take"])],
        ("push", 0) => vec![Expects::Paths],
        ("mail-files" | "mailshar", _) => vec![Expects::Sites, Expects::Paths],
        ("completions", 0) => vec![Expects::Words(SHELLS.to_vec())],
        ("help" | "?", _) => Vec::new(),
        _ if FULL_WORDS.contains(&first) || first.starts_with('!') => Vec::new(),
        _ => after_keywords(words),
    }
}

/// The shells that are completed for.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// Returns what the value of an option may be, as far as it can be known.
pub fn value_of_option(option: &str) -> Vec<Expects> {
    match option {
        "-C" | "--queue" | "--to" => vec![Expects::Folders],
        "--config" | "--plan" => vec![Expects::Paths],
        "--from" => vec![Expects::Sites],
        "--color" => vec![Expects::Words(vec!["always", "never", "auto"])],
        "--format" => vec![Expects::Words(vec!["2.0", "1.3"])],
        _ => Vec::new(),
    }
}

fn commands() -> Expects {
    let names = KEYWORDS.iter().map(|(name, _)| *name).chain(FULL_WORDS.iter().copied());
    let mut names: Vec<&str> = names.chain(["help"]).collect();
    names.sort_unstable();
    Expects::Words(names)
}

fn after_keywords(words: &[OsString]) -> Vec<Expects> {
    let Ok((keywords, rest)) = classic::keywords(words) else { return Vec::new() };
    match (keywords.as_slice(), rest.len()) {
        ([Keyword::Broadcast], _) => vec![Expects::Sites],
        ([Keyword::Process], 0) => vec![Expects::Entries, Expects::Paths],
        ([Keyword::List], 0) => vec![words_of(TYPES, |_| true)],
        ([Keyword::Create], 0) if words[0] == "c" => {
            vec![words_of(TYPES, is_plural), Expects::Folders]
        }
        ([Keyword::Create | Keyword::Delete], 0) => vec![words_of(TYPES, is_plural)],
        ([Keyword::Delete, Keyword::Type(kind)], 0) if is_plural(Keyword::Type(*kind)) => {
            vec![Expects::Statements(*kind)]
        }
        ([.., Keyword::Type(Kind::Remote)], 0) => vec![Expects::Sites],
        ([.., Keyword::Type(Kind::Scan)], 0) => vec![Expects::Paths],
        ([Keyword::Type(Kind::Here)], 1) => vec![Expects::Folders],
        ([Keyword::Mode], 0) => vec![words_of(MODES, |_| true)],
        ([Keyword::Email | Keyword::Home], 0) => {
            vec![words_of(OURSELVES, |_| true), Expects::Sites]
        }
        ([Keyword::Home, Keyword::Type(_)], 0) | ([Keyword::Visit | Keyword::Chdir], 0) => {
            vec![Expects::Folders]
        }
        _ => Vec::new(),
    }
}

/// Whether there may be many statements of a type.
fn is_plural(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::Type(Kind::Remote | Kind::Scan | Kind::Ignore))
}

fn words_of(table: &'static [(&'static str, Keyword)], is: fn(Keyword) -> bool) -> Expects {
    Expects::Words(table.iter().filter(|(_, k)| is(*k)).map(|(name, _)| *name).collect())
}
