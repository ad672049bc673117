//! Completion: what the word that is typed may become, at the prompt and, through `completions`, in
//! people's shells.
//!
//! It reads a project, the queue and folders, changes nothing, and is silent about what it cannot
//! read.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::grammar::Kind;
use super::grammar::expects::{Expects, expects, value_of_option};
use super::help;
use super::session::Session;
use crate::edge::state::State;
use crate::model::project::Project;

/// Candidates that are offered at once: nobody reads more.
const CANDIDATES_MAX: usize = 1_000;

/// Returns what `prefix` may become behind `words`, sorted.
pub fn candidates(session: &Session, words: &[OsString], prefix: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let words = match split_options(words) {
        Split::Value(expected) => {
            expected.iter().for_each(|one| collect(session, one, prefix, &mut found));
            return found.into_iter().take(CANDIDATES_MAX).collect();
        }
        Split::Words(words) => words,
    };
    if prefix.starts_with('-') {
        found.extend(options().into_iter().filter(|option| option.starts_with(prefix)));
    } else {
        // A complement of sites begins with its mark.
        let expected = expects(&words);
        let is_complement = prefix.starts_with('!') && expected.contains(&Expects::Sites);
        let (mark, bare) = if is_complement { prefix.split_at(1) } else { ("", prefix) };
        expected.iter().for_each(|one| collect(session, one, bare, &mut found));
        found = found.into_iter().map(|word| format!("{mark}{word}")).collect();
    }
    found.into_iter().take(CANDIDATES_MAX).collect()
}

/// Every option, as the help has them.
pub fn options() -> Vec<String> {
    let words = option_heads().flat_map(|head| head.split([' ', ',']));
    words.filter(|word| word.starts_with('-')).map(str::to_owned).collect()
}

/// Whether a value follows an option.
fn has_value(option: &str) -> bool {
    option_heads().any(|head| {
        let mut words = head.split([' ', ',']).filter(|word| !word.is_empty());
        let is_it = words.clone().any(|word| word == option);
        is_it && words.any(|word| !word.starts_with('-'))
    })
}

/// What the help says before it explains an option: `-q, --quiet`, `-C DIR`.
fn option_heads() -> impl Iterator<Item = &'static str> {
    let lines = help::LONG.lines().skip_while(|line| !line.starts_with("Options")).skip(1);
    let lines = lines.take_while(|line| line.starts_with(' '));
    lines.filter_map(|line| line.trim_start().split("  ").next())
}

enum Split {
    /// The words of a command, options left out.
    Words(Vec<OsString>),
    /// The value of an option comes next.
    Value(Vec<Expects>),
}

fn split_options(words: &[OsString]) -> Split {
    let mut plain = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        if has_value(text) {
            if words.next().is_none() {
                return Split::Value(value_of_option(text));
            }
        } else if text == ";" {
            plain.clear();
        } else if !text.starts_with('-') || text == "-" {
            plain.push(word.clone());
        }
    }
    Split::Words(plain)
}

fn collect(session: &Session, expected: &Expects, prefix: &str, found: &mut BTreeSet<String>) {
    let mut add = |word: &str| {
        if word.starts_with(prefix) {
            found.insert(word.to_owned());
        }
    };
    match expected {
        Expects::Words(words) => words.iter().for_each(|word| add(word)),
        Expects::Sites => {
            let Some(project) = project(session) else { return };
            project.identity.remotes.iter().for_each(|site| add(site.address.as_str()));
        }
        Expects::Statements(kind) => {
            let Some(project) = project(session) else { return };
            let identity = &project.identity;
            match kind {
                Kind::Remote => identity.remotes.iter().for_each(|site| add(site.address.as_str())),
                Kind::Scan => identity.scans.iter().for_each(|s| add(&String::from_utf8_lossy(s))),
                Kind::Ignore => {
                    identity.ignores.iter().for_each(|i| add(&String::from_utf8_lossy(i)));
                }
                Kind::Title | Kind::Here | Kind::Files => {}
            }
        }
        Expects::Files => {
            let Some(project) = project(session) else { return };
            for path in project.knowledge.rows.keys() {
                add_part(path.as_bytes(), prefix, found);
            }
        }
        Expects::Questions => {
            let Some(project) = project(session) else { return };
            for question in &project.knowledge.questions {
                add_part(question.path.as_bytes(), prefix, found);
            }
        }
        Expects::Entries => {
            let entries = session.queue().and_then(|queue| Ok(queue.list_by_names()?));
            entries.unwrap_or_default().iter().for_each(|entry| add(&entry.id));
        }
        Expects::Folders => on_disk(session, prefix, true, found),
        Expects::Paths => on_disk(session, prefix, false, found),
    }
}

fn project(session: &Session) -> Option<Project> {
    let directory = session.project_directory_if_any().ok()??;
    State::read(&directory).ok()
}

/// Adds a path to the end of the part that is being typed, as shells do. One that is not text cannot
/// be typed.
fn add_part(path: &[u8], prefix: &str, found: &mut BTreeSet<String>) {
    let Some(path) = std::str::from_utf8(path).ok().filter(|path| path.starts_with(prefix)) else {
        return;
    };
    let part = path[prefix.len()..].find('/').map_or(path, |at| &path[..=prefix.len() + at]);
    found.insert(part.to_owned());
}

fn on_disk(session: &Session, prefix: &str, is_folder: bool, found: &mut BTreeSet<String>) {
    let (folder, name) = prefix
        .rsplit_once('/')
        .map_or(("", prefix), |(_, name)| (&prefix[..prefix.len() - name.len()], name));
    let home = session.places.home.as_deref();
    let place = match (folder.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ if folder.is_empty() => Path::new(".").to_owned(),
        _ => Path::new(folder).to_owned(),
    };
    for entry in place.read_dir().into_iter().flatten().flatten() {
        let found_name = entry.file_name();
        let Some(text) = found_name.to_str().filter(|text| text.starts_with(name)) else {
            continue;
        };
        let is_hidden = text.starts_with('.') && !name.starts_with('.');
        let is_dir = entry.path().is_dir();
        if is_hidden || is_folder && !is_dir {
            continue;
        }
        found.insert(format!("{folder}{text}{}", if is_dir { "/" } else { "" }));
    }
}

/// Returns a candidate as it has to be typed at the prompt: in quotes where it needs them.
pub fn quoted(word: &str) -> String {
    let needs = |c: char| c.is_ascii_whitespace() || c == ';';
    let is_plain = !word.contains(needs) && !word.starts_with(['\'', '"', '#']);
    match (is_plain, word.contains('\'')) {
        (true, _) => word.to_owned(),
        (false, false) => format!("'{word}'"),
        (false, true) => format!("\"{word}\""),
    }
}

/// Returns where the word begins that is being typed at the end of `line`, and the word without its
/// quote.
pub fn word_at_end(line: &str) -> (usize, &str) {
    let mut quote = None;
    let mut start = 0;
    let mut is_in_word = false;
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => (quote, is_in_word) = (None, false),
            Some(_) => {}
            None if c.is_ascii_whitespace() || c == ';' => is_in_word = false,
            None if !is_in_word => {
                (start, is_in_word) = (at, true);
                quote = matches!(c, '\'' | '"').then_some(c);
            }
            None => {}
        }
    }
    match (is_in_word, quote) {
        (false, _) => (line.len(), ""),
        (true, Some(_)) => (start, &line[start + 1..]),
        (true, None) => (start, &line[start..]),
    }
}

/// Returns the words that a person's shell hands over, the last one apart: that is being typed.
pub fn split_last(words: &[OsString]) -> (&[OsString], &str) {
    match words.split_last() {
        Some((last, before)) => (before, std::str::from_utf8(last.as_bytes()).unwrap_or_default()),
        None => (&[], ""),
    }
}

/// Returns the script that makes a shell ask for candidates.
pub fn script(shell: &OsStr) -> Option<&'static str> {
    match shell.to_str() {
        Some("bash") => Some(include_str!("completion/remsync.bash")),
        Some("zsh") => Some(include_str!("completion/_remsync")),
        Some("fish") => Some(include_str!("completion/remsync.fish")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_is_typed() {
        for (line, start, word) in [
            ("", 0, ""),
            ("li", 0, "li"),
            ("list ", 5, ""),
            ("list re", 5, "re"),
            ("list;qu", 5, "qu"),
            ("diff 'two wo", 5, "two wo"),
            ("diff 'two words'", 16, ""),
            ("diff it's a", 10, "a"),
            ("diff \"a;b", 5, "a;b"),
        ] {
            assert_eq!(word_at_end(line), (start, word), "{line}");
        }
    }

    #[test]
    fn candidates_are_typed_as_they_have_to_be() {
        for (word, typed) in [
            ("a", "a"),
            ("a b", "'a b'"),
            ("it's", "it's"),
            ("it's a", "\"it's a\""),
            ("a;", "'a;'"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }

    #[test]
    fn options_come_from_the_help() {
        let options = options();
        for option in ["-C", "-n", "--dry-run", "--json", "-V", "--remote", "--color"] {
            assert!(options.iter().any(|known| known == option), "{option}: {options:?}");
        }
        for (option, has) in [("-C", true), ("--plan", true), ("-n", false), ("--remote", true)] {
            assert_eq!(has_value(option), has, "{option}");
        }
        assert!(options.iter().all(|option| option.len() > 1 && !option.contains('\'')));
    }

    #[test]
    fn the_value_of_an_option_and_words_between_options() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let plain = |text| match split_options(&words(text)) {
            Split::Words(words) => words,
            Split::Value(_) => panic!("{text}"),
        };
        assert_eq!(plain("-n -C x list --json"), ["list"]);
        assert_eq!(plain("list ; create -v remote a -"), ["create", "remote", "a", "-"]);
        assert!(matches!(split_options(&words("diff --from")), Split::Value(_)));
    }
}
