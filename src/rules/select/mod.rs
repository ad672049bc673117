//! The selection: which paths of a tree belong to the project.
//!
//! Scans select (shell wildcards), ignores leave out (Perl regular expressions), and some names
//! are sensitive, whatever they say. Not a walk: it judges names, and sees no disk. Invariant: a
//! pattern that cannot be read exactly as its language reads it is refused when compiled; a path
//! that an expression gives up on is an error, never "no match".

mod perl;
mod sensitive;
mod wildcard;

use std::borrow::Cow;

use fancy_regex::{Regex, RegexBuilder};
use thiserror::Error;

use crate::model::TreePath;
use crate::model::path::escaped;
use crate::model::verdict::Place;

pub use sensitive::is_sensitive;
use wildcard::Scan;

/// Steps back that an expression may take on one path: honest ones take a few hundred, and this
/// many take a few milliseconds.
const BACKTRACK_MAX: usize = 100_000;

/// Which rules these are: another number for other answers to the same patterns, for the answers are
/// remembered ([`Selection::text`]).
const RULES: &[u8] = b"select 1\n";

/// Scans and ignores, compiled.
#[derive(Debug)]
pub struct Selection {
    /// None selects everything.
    scans: Vec<Scan>,
    ignores: Vec<Ignore>,
    /// Those of the ignores that are plain, as one expression: a million names are each asked once.
    union: Option<Regex>,
    /// See [`Selection::text`].
    text: Vec<u8>,
}

/// One ignore expression.
#[derive(Debug)]
struct Ignore {
    pattern: Vec<u8>,
    /// Whether what does *not* match is left out: a leading `!`.
    inverted: bool,
    regex: Regex,
    /// What the engine was given, if it means the same as a part of another expression, and takes
    /// no steps back: no inverted one, no look around, no group that is named or referred to.
    plain: Option<String>,
}

/// Which kind of pattern a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// A `scan` line.
    Scan,
    /// An `ignore` line.
    Ignore,
}

/// Why a pattern cannot be used, or what it cannot judge.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} \"{}\": {why}", word(*.which), escaped(.pattern))]
pub struct SelectFault {
    /// Its kind.
    pub which: Which,
    /// The pattern as written.
    pub pattern: Vec<u8>,
    /// What is wrong.
    pub why: String,
    /// What to do about it; empty where nothing can be said.
    pub hint: String,
}

/// What is wrong with a pattern, before it is said with which.
struct Fault {
    why: String,
    hint: String,
}

impl Selection {
    /// Reads the patterns of a project.
    ///
    /// # Errors
    /// The first pattern that cannot be read.
    pub fn compile(scans: &[Vec<u8>], ignores: &[Vec<u8>]) -> Result<Selection, SelectFault> {
        let blame = |which, pattern: &[u8], Fault { why, hint }| SelectFault {
            which,
            pattern: pattern.to_vec(),
            why,
            hint,
        };
        let mut text = RULES.to_vec();
        let patterns = scans.iter().map(|scan| (b's', scan));
        for (keyword, pattern) in patterns.chain(ignores.iter().map(|ignore| (b'i', ignore))) {
            text.push(keyword);
            text.extend(pattern.len().to_le_bytes());
            text.extend_from_slice(pattern);
        }
        let scans: Result<_, _> = scans
            .iter()
            .map(|scan| Scan::compile(scan).map_err(|fault| blame(Which::Scan, scan, fault)))
            .collect();
        let ignores: Result<Vec<Ignore>, _> = ignores
            .iter()
            .map(|ignore| {
                Ignore::compile(ignore).map_err(|fault| blame(Which::Ignore, ignore, fault))
            })
            .collect();
        let mut ignores = ignores?;
        let union = union_of(&ignores);
        if union.is_some() {
            ignores.retain(|ignore| ignore.plain.is_none());
        }
        Ok(Selection { scans: scans?, ignores, union, text })
    }

    /// Returns a text that is the same where the same paths are selected by the same patterns.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Tells whether a path belongs to the project: [`Place::Inside`], [`Place::OutsideScan`] or
    /// [`Place::Ignored`].
    ///
    /// # Errors
    /// An ignore expression gave up on this path.
    pub fn place(&self, path: &TreePath) -> Result<Place, SelectFault> {
        self.place_of(path.as_bytes())
    }

    /// Does as [`Selection::place`] for the bytes of a path that a scan came upon.
    ///
    /// # Errors
    /// An ignore expression gave up on this path.
    pub fn place_of(&self, path: &[u8]) -> Result<Place, SelectFault> {
        if !self.scans.is_empty() && !self.is_scanned(path, Scan::selects) {
            return Ok(Place::OutsideScan);
        }
        let text = characters(path);
        if let Some(union) = &self.union
            && union
                .is_match(&*text)
                .map_err(|error| undecided(union.as_str().as_bytes(), &text, &error))?
        {
            return Ok(Place::Ignored);
        }
        for ignore in &self.ignores {
            if ignore.drops(&text)? {
                return Ok(Place::Ignored);
            }
        }
        Ok(Place::Inside)
    }

    /// Whether any path below `folder` may be selected: what a scan need not enter otherwise.
    /// Ignores do not count, for none says anything about all that is below.
    pub fn may_hold(&self, folder: &[u8]) -> bool {
        self.scans.is_empty() || self.is_scanned(folder, Scan::may_hold)
    }

    fn is_scanned(&self, path: &[u8], says: impl Fn(&Scan, &[&[u8]]) -> bool) -> bool {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        self.scans.iter().any(|scan| says(scan, &parts))
    }
}

impl Ignore {
    fn compile(pattern: &[u8]) -> Result<Ignore, Fault> {
        let (inverted, expression) = match pattern.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let translated = perl::translate(&characters(expression))?;
        let plain = (!inverted && is_plain(&translated)).then(|| translated.clone());
        let regex = RegexBuilder::new(&format!("^(?:{translated})$"))
            .backtrack_limit(BACKTRACK_MAX)
            .build()
            .map_err(|error| Fault {
                why: format!("the expression cannot be used: {error}"),
                hint: String::new(),
            })?;
        Ok(Ignore { pattern: pattern.to_vec(), inverted, regex, plain })
    }

    /// Whether this one leaves out the path.
    fn drops(&self, text: &str) -> Result<bool, SelectFault> {
        match self.regex.is_match(text) {
            Ok(matches) => Ok(matches != self.inverted),
            Err(error) => Err(undecided(&self.pattern, text, &error)),
        }
    }
}

/// Of a path that an expression gave up on nobody says that it does not match.
fn undecided(pattern: &[u8], text: &str, error: &fancy_regex::Error) -> SelectFault {
    SelectFault {
        which: Which::Ignore,
        pattern: pattern.to_vec(),
        why: format!("cannot be decided for \"{}\": {error}", escaped(text.as_bytes())),
        hint: "write it so that it has fewer ways to match the same text".to_owned(),
    }
}

impl Fault {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { why: why.into(), hint: hint.into() }
    }
}

/// Whether what the engine is given has nothing that needs more than one pass, or that depends on
/// what stands before it.
fn is_plain(translated: &str) -> bool {
    let bytes = translated.as_bytes();
    let refers =
        |pair: &[u8]| pair[0] == b'\\' && matches!(pair[1], b'0'..=b'9' | b'k' | b'g' | b'G');
    let is_special = |three: &[u8]| three.starts_with(b"(?") && three[2] != b':';
    !bytes.windows(2).any(refers) && !bytes.windows(3).any(is_special)
}

/// Returns one expression that matches what any of the plain ones does; `None` for none or one, and
/// where all of them together are too much for the engine.
fn union_of(ignores: &[Ignore]) -> Option<Regex> {
    let plain: Vec<String> =
        ignores.iter().filter_map(|i| Some(format!("(?:{})", i.plain.as_ref()?))).collect();
    let union = format!("^(?:{})$", plain.join("|"));
    (plain.len() > 1).then(|| RegexBuilder::new(&union).build().ok()).flatten()
}

/// Returns the ignores of a fresh tree: those of GNU remsync 4.x, of which one was misquoted and
/// missed the autosaves (`#…`) that it was meant for, and the folders of version control.
pub fn default_ignores() -> Vec<&'static str> {
    vec![
        r"(.*/)?core(\..*)?",
        r".*,v",
        r".*/RCS/.*",
        r".*\.(bak|BAK)",
        r".*\.[oa]",
        r".*~",
        r"\.remsync.*",
        r"(.*/)?#.*",
        r"(.*/)?\.git(/.*)?",
        r"(.*/)?\.hg(/.*)?",
        r"(.*/)?\.svn(/.*)?",
    ]
}

/// Returns bytes as characters: each byte that is no part of well-formed UTF-8 as the Latin-1
/// character of its number, so that every name can be matched.
fn characters(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    Cow::Owned(text)
}

fn word(which: Which) -> &'static str {
    match which {
        Which::Scan => "scan",
        Which::Ignore => "ignore",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(patterns: &[&str]) -> Selection {
        let patterns: Vec<Vec<u8>> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
        Selection::compile(&[], &patterns).unwrap()
    }

    fn place(selection: &Selection, path: &[u8]) -> Place {
        selection.place(&TreePath::new(path).unwrap()).unwrap()
    }

    #[test]
    fn each_default_ignore_by_itself() {
        // In the order of the list: what it leaves out, what it does not.
        let table: [(&[&str], &[&str]); 11] = [
            (&["core", "core.1234", "a/core", "a/core.c"], &["score", "core/a", "hardcore"]),
            (&["a.c,v", "a/b,v"], &["a,vv"]),
            (&["a/RCS/x", "a/b/RCS/c/d"], &["RCS/x", "RCS"]),
            (&["a.bak", "a/b.BAK"], &["bak", "a.Bak"]),
            (&["a.o", "a/b.a"], &["a.oa", "o", "a.c"]),
            (&["a~", "a/b~"], &["a~b"]),
            (&[], &["remsync", "a/remsync"]),
            (&["#a#", "a/#b", "#", "#a/b"], &["a#", "\\#a", "a/b#c"]),
            (&[".git/config", "a/.git/b/c", ".git"], &[".gitignore", "a.git/b", ".github/a"]),
            (&[".hg/store"], &[".hgignore"]),
            (&["a/.svn/entries"], &["svn/a"]),
        ];
        let defaults = default_ignores();
        assert_eq!(defaults.len(), table.len());
        for (pattern, (dropped, kept)) in defaults.iter().zip(table) {
            let selection = ignores(&[pattern]);
            for path in dropped {
                assert_eq!(place(&selection, path.as_bytes()), Place::Ignored, "{pattern} {path}");
            }
            for path in kept {
                assert_eq!(place(&selection, path.as_bytes()), Place::Inside, "{pattern} {path}");
            }
        }
        assert_eq!(ignores(&[defaults[6]]).place_of(b".remsync.bak"), Ok(Place::Ignored));
    }

    #[test]
    fn the_whole_path_any_of_several_and_inverted() {
        let table: &[(&[&str], &str, Place)] = &[
            (&["a"], "ab", Place::Inside),
            (&["a|b"], "ab", Place::Inside),
            (&["a|b"], "b", Place::Ignored),
            (&["x", "b"], "b", Place::Ignored),
            (&["!src/.*"], "src/a", Place::Inside),
            (&["!src/.*"], "doc/a", Place::Ignored),
            (&["!src/.*", "!.*\\.c"], "src/a.h", Place::Ignored),
            (&["!src/.*", "!.*\\.c"], "src/a.c", Place::Inside),
            (&["\\!a"], "!a", Place::Ignored),
            (&["(?i)readme"], "ReadMe", Place::Ignored),
            (&["(?!keep).*"], "keep.c", Place::Inside),
            (&["(?!keep).*"], "drop.c", Place::Ignored),
            (&["(.)\\1"], "aa", Place::Ignored),
            (&["(.)\\1"], "ab", Place::Inside),
            (&[".*"], "a\nb", Place::Inside),
        ];
        for (patterns, path, want) in table {
            assert_eq!(place(&ignores(patterns), path.as_bytes()), *want, "{patterns:?} {path}");
        }
    }

    #[test]
    fn names_that_are_not_utf8() {
        let selection = ignores(&["caf\u{e9}", "x.y"]);
        assert_eq!(place(&selection, b"caf\xe9"), Place::Ignored, "Latin-1");
        assert_eq!(place(&selection, "café".as_bytes()), Place::Ignored, "UTF-8");
        assert_eq!(place(&selection, b"x\xffy"), Place::Ignored, "a byte is one character");
        assert_eq!(place(&selection, b"x\xff\xffy"), Place::Inside);
        let bytes = Selection::compile(&[], &[b"caf\xe9".to_vec()]).unwrap();
        assert_eq!(place(&bytes, b"caf\xe9"), Place::Ignored, "both in Latin-1");
    }

    #[test]
    fn what_reads_otherwise_is_refused() {
        let refused = [
            "",
            "!",
            "(?R)",
            "(?1)",
            "(?&n)",
            "a++",
            "a*+",
            "a?+",
            "a{1,2}+",
            "\\Qa.b\\E",
            "(?|a|b)",
            "\\012",
            "\\0",
            "(a)\\10",
            "\\cA",
            "\\x4",
            "\\xg1",
            "\\x{110000}",
            "\\h",
            "\\v",
            "\\R",
            "\\N",
            "\\K",
            "\\G",
            "\\Z",
            "\\X",
            "\\g1",
            "\\1",
            "(a\\1)",
            "\\p{Greek}",
            "\\p{L",
            "\\b{wb}",
            "(?x)a",
            "(?^:a)",
            "(?#a)",
            "(?{1})",
            "(??{1})",
            "(*FAIL)",
            "(?(1)a)",
            "(?P=n)",
            "(?'n'a)",
            "(?<n>a)(?<n>b)",
            "(?<1>a)",
            "(",
            ")",
            "a)|(b",
            "[a",
            "[]",
            "[b-a]",
            "[a-\\d]",
            "[\\d-a]",
            "[a-b-c]",
            "[[:foo:]]",
            "[[.a.]]",
            "*",
            "+a",
            "a**",
            "^*",
            "(?=a)*",
            "a{",
            "a{,2}",
            "{2}",
            "\\",
            "a{2,1}",
            "(?i",
            "(?)",
            "(?-)",
            "(?",
        ];
        for pattern in refused {
            let fault = Selection::compile(&[], &[pattern.as_bytes().to_vec()]).err();
            let fault = fault.unwrap_or_else(|| panic!("{pattern:?} was accepted"));
            assert_eq!(
                (fault.which, fault.pattern.as_slice()),
                (Which::Ignore, pattern.as_bytes())
            );
            assert!(fault.to_string().starts_with("ignore \""), "{fault}");
        }
    }

    #[test]
    fn together_they_leave_out_what_each_does() {
        let mut patterns = default_ignores();
        patterns.extend([
            "(a|b)\\1.*",
            "(?>a+)b",
            "x(?=y).*",
            "(?i)shout",
            "A|B",
            "^c$",
            "!.*[^!]",
        ]);
        let all = ignores(&patterns);
        assert!(all.union.is_some() && all.ignores.len() == 5, "{:?}", all.ignores);
        let paths = [
            "core",
            "a/core.1",
            "scored",
            "f,v",
            "x/RCS/y",
            "a.bak",
            "a.o",
            "a.op",
            "a~",
            "#a#",
            ".git/x",
            "a/.git/x",
            ".gitignore",
            "aa",
            "ab",
            "aab",
            "xy",
            "xz",
            "shout",
            "SHOUT",
            "A",
            "B",
            "AB",
            "c",
            "cc",
            "wow!",
            "plain",
        ];
        for path in paths {
            let alone = patterns
                .iter()
                .any(|pattern| place(&ignores(&[pattern]), path.as_bytes()) == Place::Ignored);
            assert_eq!(place(&all, path.as_bytes()) == Place::Ignored, alone, "{path}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_decided_is_an_error() {
        for pattern in ["((?!b)a|a)*", "!((?!b)a|a)*"] {
            let selection = ignores(&[pattern]);
            let path = TreePath::new(&[b"a".repeat(60), b"c".to_vec()].concat()).unwrap();
            assert!(selection.place(&path).is_err(), "{pattern}");
        }
    }

    /// One that tried all ways would not end.
    #[test]
    fn bombs_are_refused_or_quick() {
        for pattern in ["(a{1000}){1000}", "\\w{5000}", "(a+)+", "(a|a)*", "(?:.*a){20}"] {
            let path = TreePath::new(&[b"a".repeat(200), b"c".to_vec()].concat()).unwrap();
            if let Ok(selection) = Selection::compile(&[], &[pattern.as_bytes().to_vec()]) {
                let _ = selection.place(&path);
            }
        }
    }

    #[test]
    fn scans_come_first() {
        let scans = [b"src/*.c".to_vec(), b"./doc".to_vec()];
        let selection = Selection::compile(&scans, &[b".*~".to_vec()]).unwrap();
        let table: &[(&str, Place)] = &[
            ("src/a.c", Place::Inside),
            ("src/a.h", Place::OutsideScan),
            ("doc/a/b", Place::Inside),
            ("doc/a~", Place::Ignored),
            ("a~", Place::OutsideScan),
        ];
        for (path, want) in table {
            assert_eq!(place(&selection, path.as_bytes()), *want, "{path}");
        }
        let folders: &[(&str, bool)] =
            &[("src", true), ("doc", true), ("doc/a", true), ("other", false), ("src/x", false)];
        for (folder, want) in folders {
            assert_eq!(selection.may_hold(folder.as_bytes()), *want, "{folder}");
        }
        assert!(ignores(&[".*"]).may_hold(b"anything"), "ignores do not prune");
        let fault = Selection::compile(&[b"../x".to_vec()], &[]).unwrap_err();
        assert_eq!(fault.to_string(), "scan \"../x\": it leads out of the tree (\"..\")");
    }
}
