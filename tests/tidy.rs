//! What the project promises of its own text: the floors of `src/lib.rs`, the manual beside the
//! code, and a few things that never come in.
//!
//! It reads the sources as text and needs nothing to be built. Each check takes the files it
//! judges and returns its complaints, so that a check can be shown to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[path = "tidy/rust_text.rs"]
mod rust_text;

use rust_text::{floor_of, module_of, paths_in, tokens};

/// A text file of the repository.
struct Source {
    /// From the top of the repository, with `/`.
    path: String,
    text: String,
}

/// What a check found wrong, a line each.
type Complaints = Vec<String>;

/// The floors, and what each may see.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &["model"]),
    ("rules", &["model", "rules"]),
    ("format", &["model", "format"]),
    ("edge", &["model", "format", "edge"]),
    ("command", &["model", "rules", "format", "edge", "command"]),
    ("bin", &["command"]),
];

/// The floors where nothing touches the world.
const PURE: &[&str] = &["model", "rules"];

/// What touches the world, asks the time or throws dice.
const WORLDLY: &[&str] = &[
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::env",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::hash::RandomState",
    "std::collections::hash_map::RandomState",
];

/// Dependencies that compute and do nothing else: all that `rules` may see.
const PURE_CRATES: &[&str] = &["fancy_regex", "thiserror"];

/// Modules of one floor that know each other, and why they may. One that is no longer needed is a
/// complaint too.
const KNOTS: &[(&str, &str)] = &[
    // A replaced file goes to the store of kept versions, which is itself beneath the root.
    ("edge", "kept tree"),
    // Answering a question ends a held entry; processing at a terminal asks questions.
    ("command", "process resolve"),
];

/// Lines of one source file, tests and all.
const FILE_LINES_MAX: usize = 1_000;

/// Files that are longer, and by how much they may be.
const LONG_FILES: &[(&str, usize)] = &[];

#[test]
fn no_arrow_points_up() {
    expect_none(check_floors(&sources()));
}

#[test]
fn model_and_rules_are_pure() {
    let manifest = read("Cargo.toml");
    expect_none(check_purity(&sources(), &dependencies(&manifest.text)));
}

#[test]
fn no_module_goes_round_in_circles() {
    expect_none(check_circles(&sources(), KNOTS));
}

#[test]
fn a_tree_path_meets_the_disk_in_one_place() {
    expect_none(check_tree_paths(&sources()));
}

#[test]
fn files_open_with_a_word_and_end_in_time() {
    expect_none(check_files(&sources()));
}

#[test]
fn the_map_names_every_module() {
    expect_none(check_map(&sources(), &read("src/lib.rs").text));
}

#[test]
fn nothing_is_left_lying_about() {
    expect_none(check_leftovers(&rust_files()));
}

#[test]
fn nothing_names_a_machine() {
    expect_none(check_machine_paths(&text_files()));
}

#[test]
fn help_and_manual_say_the_same() {
    let help = read("src/command/help.rs").text;
    let options = read("src/command/options.rs").text;
    let classic = read("src/command/grammar/classic.rs").text;
    let grammar = format!("{}{classic}", read("src/command/grammar.rs").text);
    let page = read("man/remsync.1").text;
    expect_none(check_help(&help, &options, &grammar));
    expect_none(check_manual(&help, &page));
}

#[test]
fn each_old_program_has_a_page_that_says_the_same() {
    let command = read("man/remsync.1");
    for companion in remsync::command::help::COMPANIONS {
        let page = read(&format!("man/{}.1", companion.name));
        let page = Source { text: page.text.replace("\\&", ""), ..page };
        expect_none(check_companion(companion.usage, companion.does, &page));
        let letters = options_of(companion.usage);
        let is_there = |letter: &String| has_word(&command.text, letter);
        let missing: Vec<&String> = letters.iter().filter(|letter| !is_there(letter)).collect();
        assert!(missing.is_empty(), "man/remsync.1: {}: no {missing:?}", companion.name);
    }
}

#[test]
fn the_manual_names_every_bound() {
    let limits = read("src/model/limits.rs").text;
    expect_none(check_bounds(&limits, &read("man/remsync-package.5").text));
}

#[test]
fn the_manual_names_every_statement_setting_and_variable() {
    let package = read("man/remsync-package.5").text;
    let state = read("man/remsync.5").text;
    let command = read("man/remsync.1").text;
    let stages = quoted_on_lines(&read("src/format/orders.rs").text, "=> Stage::");
    expect_none(check_words(&stages, &package, "man/remsync-package.5"));
    let ledger = quoted_on_lines(&read("src/format/ledger.rs").text, "=> self.take_");
    expect_none(check_words(&ledger, &state, "man/remsync.5"));
    let settings = setting_keys(&read("src/format/settings.rs").text);
    expect_none(check_words(&settings, &state, "man/remsync.5"));
    let variables = variables(&read("src/edge/places.rs").text);
    expect_none(check_words(&variables, &command, "man/remsync.1"));
}

#[test]
fn the_examples_in_the_manual_can_be_read() {
    let state = read("man/remsync.5");
    let package = read("man/remsync-package.5");
    let (mut projects, mut orders, mut volumes) = (0, 0, 0);
    for example in examples(&state.text) {
        projects += 1;
        let read = remsync::format::project::parse(example.as_bytes(), &state.path);
        assert!(read.is_ok(), "{read:?}\n{example}");
    }
    for example in examples(&package.text) {
        if example.as_bytes().starts_with(remsync::format::volume::MAGIC) {
            volumes += 1;
            let read = remsync::format::volume::parse(example.as_bytes());
            assert!(read.is_ok(), "{read:?}\n{example}");
            continue;
        }
        orders += 1;
        let read = remsync::format::orders::parse(example.as_bytes(), &package.path);
        assert!(read.is_ok(), "{read:?}\n{example}");
    }
    assert_eq!((projects, orders, volumes), (2, 2, 1));
}

// ---- what the checks say of text that is wrong

#[test]
fn an_arrow_that_points_up_is_seen() {
    let table: &[(&str, &str, usize)] = &[
        ("src/model/a.rs", "use crate::rules::decide;", 1),
        ("src/model/a.rs", "use super::super::edge::tree;", 1),
        ("src/rules/a.rs", "use crate::{model::Path, format::orders};", 1),
        ("src/format/a.rs", "fn f() { crate::rules::decide::decide() }", 1),
        ("src/edge/tree/mod.rs", "use crate::rules::decide;", 1),
        ("src/command/a.rs", "use crate::rules::decide; use crate::edge::queue::Queue;", 0),
        ("src/bin/a.rs", "use remsync::{command, model::Path};", 1),
        ("src/rules/a.rs", "mod tests { use super::*; use super::super::decide; }", 0),
        ("src/rules/a.rs", "mod tests { use super::super::super::edge; }", 1),
        ("src/model/a.rs", "// use crate::edge;\nconst A: &str = \"crate::edge::b\";", 0),
        ("src/model/a.rs", "const A: &str = r#\"crate::edge::\"b\"#; const B: char = '\"';", 0),
    ];
    for (path, text, complaints) in table {
        assert_eq!(check_floors(&[source(path, text)]).len(), *complaints, "{path}: {text}");
    }
}

#[test]
fn what_is_not_pure_is_seen() {
    let crates = ["rustix".to_owned(), "fancy_regex".to_owned()];
    let table: &[(&str, &str, usize)] = &[
        ("src/model/a.rs", "use std::fs;", 1),
        ("src/model/a.rs", "use std::{fmt, time::{Duration, Instant}};", 1),
        ("src/rules/a.rs", "fn f() { std::env::var(\"HOME\"); }", 1),
        ("src/rules/a.rs", "use rustix::fs::openat;", 1),
        ("src/rules/a.rs", "use fancy_regex::Regex;", 0),
        ("src/model/a.rs", "use fancy_regex::Regex;", 1),
        ("src/edge/a.rs", "use std::fs;", 0),
        ("src/model/a.rs", "use std::collections::BTreeMap;", 0),
    ];
    for (path, text, complaints) in table {
        let found = check_purity(&[source(path, text)], &crates);
        assert_eq!(found.len(), *complaints, "{path}: {text}: {found:?}");
    }
}

#[test]
fn a_circle_is_seen() {
    let a = source("src/rules/a.rs", "use super::b::x;");
    let b = source("src/rules/b.rs", "use crate::rules::c::y;");
    let c = source("src/rules/c/mod.rs", "pub fn y() {}");
    let back = source("src/rules/c/deep.rs", "use super::super::a;");
    let of_a_test = source("src/rules/c/deep.rs", "mod tests { use crate::rules::a; }");
    let line = [a, b, c, of_a_test];
    assert_eq!(check_circles(&line, &[]), Complaints::new());
    assert_eq!(check_circles(&line, &[("rules", "a b c")]).len(), 1, "a permit without need");
    let [a, b, c, _] = line;
    let circle = [a, b, c, back];
    assert_eq!(check_circles(&circle, &[]).len(), 1);
    assert_eq!(check_circles(&circle, &[("rules", "a b c")]), Complaints::new());
}

#[test]
fn what_lies_about_is_seen() {
    let mark = ["TO", "DO"].concat();
    let table = [
        (format!("// {mark}: later"), 1),
        (["fn f() { d", "bg!(1); }"].concat(), 1),
        ("// let x = f(y);".to_owned(), 1),
        ("    // self.rows.clear();".to_owned(), 1),
        ("// if x {".to_owned(), 1),
        ("// Who takes part; it is never empty.".to_owned(), 0),
        ("/// let x = f(y);".to_owned(), 0),
        ("let x = f(y); // never empty".to_owned(), 0),
    ];
    for (text, complaints) in table {
        let found = check_leftovers(&[source("src/a.rs", &text)]);
        assert_eq!(found.len(), complaints, "{text}: {found:?}");
    }
    let path = ["/ro", "ot/x"].concat();
    assert_eq!(check_machine_paths(&[source("README.md", &path)]).len(), 1);
    assert_eq!(check_files(&[source("src/rules/a.rs", "fn f() {}\n")]).len(), 1);
    assert_eq!(check_files(&[source("src/rules/a.rs", "//! What it is.\n")]), Complaints::new());
}

#[test]
fn a_manual_that_lags_behind_is_seen() {
    let help = "LONG: &str = \"\\\nCommands:\n  init   makes\n  quit   ends\nOptions:\n  -n, --dry-run  \
                not\n\";";
    let page = ".It Cm init\n.It Cm quit\n.It Fl n , Fl -dry-run\n";
    assert_eq!(check_manual(help, page), Complaints::new());
    assert_eq!(check_manual(help, &page.replace("Cm quit", "Cm quitter")).len(), 1);
    assert_eq!(check_manual(help, &page.replace("Fl -dry-run", "Fl -dry")).len(), 1);
    let options = "Short('n') | Long(\"dry-run\") => x, Long(\"to\") => y";
    assert_eq!(check_help(help, options, "(\"quit\", Keyword::Quit)").len(), 1);
    let limits = "/// Bytes.\npub const A_MAX: u64 = 1 << 10;\npub const B_MAX: usize = 2_000;\n";
    let page = ".It Dv A_MAX Ta 1,024 Ta bytes\n.It Dv B_MAX Ta 2,000 Ta things\n";
    assert_eq!(check_bounds(limits, page), Complaints::new());
    assert_eq!(check_bounds(limits, &page.replace("2,000", "200")).len(), 1);
    assert_eq!(check_bounds(limits, &page.replace("B_MAX", "C_MAX")).len(), 2);
}

#[test]
fn a_page_of_an_old_program_that_lags_behind_is_seen() {
    let page = |text: &str| source("man/x.1", &format!(".Nd it\n{text}"));
    assert_eq!(options_of("x [-a|-b] [--long WORD] FILE"), ["a", "b", "-long"]);
    assert!(check_companion("x [-a]", "it", &page(".It Fl a\n")).is_empty());
    assert_eq!(check_companion("x [-a]", "it", &page("")).len(), 1);
    assert_eq!(check_companion("x", "it", &page(".It Fl a Ar B\n")).len(), 1);
}

#[test]
fn a_tree_path_that_strays_is_seen() {
    let text =
        "use crate::model::TreePath;\nfn f(p: &TreePath) { OsStr::from_bytes(p.as_bytes()); }";
    assert_eq!(check_tree_paths(&[source("src/command/a.rs", text)]).len(), 1);
    assert_eq!(check_tree_paths(&[source("src/edge/tree/a.rs", text)]), Complaints::new());
}

// ---- the checks

/// Holds the floors: what each module names by `crate::`, `super::` or `remsync::`.
fn check_floors(sources: &[Source]) -> Complaints {
    let mut complaints = Complaints::new();
    for source in sources {
        let Some(floor) = floor_of(&source.path) else { continue };
        let Some((_, seen)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            complaints.push(format!("{}: {floor} is no floor", source.path));
            continue;
        };
        for used in paths_in(&source.path, &source.text) {
            let Some(target) = used.own_segments().first() else { continue };
            let is_floor = FLOORS.iter().any(|(name, _)| name == target);
            if is_floor && !seen.contains(&target.as_str()) {
                let shown = used.segments.join("::");
                complaints.push(format!("{}:{}: {floor} sees {shown}", source.path, used.line));
            }
        }
    }
    complaints
}

/// Holds `model` and `rules` to computing: no disk, net, process, environment, clock or dice, and
/// no dependency that has them. `model` sees the standard library only.
fn check_purity(sources: &[Source], crates: &[String]) -> Complaints {
    let mut complaints = Complaints::new();
    for source in sources {
        let Some(floor) = floor_of(&source.path).filter(|floor| PURE.contains(floor)) else {
            continue;
        };
        // A test may take the time of what it tests.
        for used in paths_in(&source.path, &source.text).iter().filter(|used| !used.is_in_tests) {
            let shown = used.segments.join("::");
            let is_worldly = WORLDLY
                .iter()
                .any(|worldly| shown == *worldly || shown.starts_with(&format!("{worldly}::")));
            let first = used.segments.first().map_or("", String::as_str);
            let is_foreign = crates.iter().any(|name| name == first)
                && (floor == "model" || !PURE_CRATES.contains(&first));
            if is_worldly || is_foreign {
                complaints.push(format!("{}:{}: {floor} uses {shown}", source.path, used.line));
            }
        }
    }
    complaints
}

/// Holds that modules of one floor do not know each other in a circle, tests apart.
fn check_circles(sources: &[Source], knots: &[(&str, &str)]) -> Complaints {
    let mut arrows: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let module = module_of(&source.path);
        let [floor, name, ..] = module.as_slice() else { continue };
        let known = arrows.entry((floor.clone(), name.clone())).or_default();
        for used in paths_in(&source.path, &source.text).iter().filter(|used| !used.is_in_tests) {
            if let [to_floor, to, ..] = used.own_segments()
                && to_floor == floor
                && to != name
            {
                known.insert(to.clone());
            }
        }
    }
    let reaches = |floor: &str, from: &str| {
        let mut reached = BTreeSet::new();
        let mut left = vec![from.to_owned()];
        while let Some(name) = left.pop() {
            for next in arrows.get(&(floor.to_owned(), name)).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        reached
    };
    let mut circles = BTreeSet::new();
    for (floor, name) in arrows.keys() {
        let mut circle: Vec<String> = reaches(floor, name)
            .into_iter()
            .filter(|other| reaches(floor, other).contains(name))
            .collect();
        circle.sort();
        if circle.len() > 1 {
            circles.insert((floor.clone(), circle.join(" ")));
        }
    }
    let permitted: BTreeSet<(String, String)> =
        knots.iter().map(|(floor, names)| ((*floor).to_owned(), (*names).to_owned())).collect();
    let seen = circles.difference(&permitted);
    let seen = seen.map(|(floor, names)| format!("{floor}: these go in a circle: {names}"));
    let idle = permitted.difference(&circles);
    let idle = idle.map(|(floor, names)| format!("{floor}: no circle any more: {names}"));
    seen.chain(idle).collect()
}

/// Holds that bytes become a name on the disk only below `edge/tree`, wherever tree paths are.
fn check_tree_paths(sources: &[Source]) -> Complaints {
    const MAKERS: &[&str] = &["from_bytes", "from_vec", "from_encoded_bytes_unchecked"];
    let mut complaints = Complaints::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("src/edge/tree")) {
        let tokens = tokens(&source.text);
        if !tokens.iter().any(|token| token.text == "TreePath") {
            continue;
        }
        for three in tokens.windows(3) {
            let [owner, colons, maker] = three else { continue };
            let is_disk = matches!(owner.text.as_str(), "OsStr" | "OsString" | "PathBuf" | "Path");
            if is_disk && colons.text == "::" && MAKERS.contains(&maker.text.as_str()) {
                let what = format!("{}::{}", owner.text, maker.text);
                complaints.push(format!("{}:{}: {what}", source.path, owner.line));
            }
        }
    }
    complaints
}

/// Holds that every source file says at its top what it is, and is one thought long.
fn check_files(sources: &[Source]) -> Complaints {
    let mut complaints = Complaints::new();
    for Source { path, text } in sources {
        if !text.starts_with("//! ") {
            complaints.push(format!("{path}: it does not open with \"//! \""));
        }
        let lines = text.lines().count();
        let permit = LONG_FILES.iter().find(|(long, _)| long == path).map(|(_, max)| *max);
        let max = permit.unwrap_or(FILE_LINES_MAX);
        if lines > max {
            complaints.push(format!("{path}: {lines} lines, over {max}"));
        }
        if permit.is_some() && lines <= FILE_LINES_MAX {
            complaints.push(format!("{path}: {lines} lines: it needs no permit any more"));
        }
    }
    complaints
}

/// Holds that the map in `lib.rs` has every module that is directly on a floor.
fn check_map(sources: &[Source], lib: &str) -> Complaints {
    let map: String = lib.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let mut modules = BTreeSet::new();
    for source in sources {
        match module_of(&source.path).as_slice() {
            [floor, name, ..] if floor != "bin" => modules.insert(format!("{floor}::{name}")),
            _ => continue,
        };
    }
    let is_missing = |module: &&String| !map.contains(&format!("[`{module}`]"));
    modules.iter().filter(is_missing).map(|m| format!("src/lib.rs: no [`{m}`] in it")).collect()
}

/// Finds what was meant for later, for looking only, or for the bin.
fn check_leftovers(sources: &[Source]) -> Complaints {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|w| w.concat());
    let macros = [["d", "bg!("], ["to", "do!("], ["unimple", "mented!("]].map(|w| w.concat());
    let mut complaints = Complaints::new();
    for Source { path, text } in sources {
        for (number, line) in (1..).zip(text.lines()) {
            let is_marked = words.iter().any(|word| has_word(line, word));
            let is_for_looking = macros.iter().any(|mark| line.contains(mark));
            if is_marked || is_for_looking || is_code_in_a_comment(line) {
                complaints.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    complaints
}

/// Whether a line is a comment that was code.
fn is_code_in_a_comment(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("//") else { return false };
    if comment.starts_with('/') || comment.starts_with('!') {
        return false;
    }
    let comment = comment.trim();
    let opens = ["let ", "use ", "pub ", "fn ", "if ", "for ", "while ", "match ", "return "];
    let ends_like_code = comment.ends_with(';') || comment.ends_with('{');
    let is_call = comment.ends_with(");") || comment.ends_with("?;");
    ends_like_code && (is_call || opens.iter().any(|open| comment.starts_with(open)))
        || comment == "}"
}

/// Finds names of places that only one machine has.
fn check_machine_paths(files: &[Source]) -> Complaints {
    let places = [["/wo", "rk/"], ["/ro", "ot/"], ["/tmp/", "wt"]].map(|place| place.concat());
    let mut complaints = Complaints::new();
    for Source { path, text } in files {
        for (number, line) in (1..).zip(text.lines()) {
            if places.iter().any(|place| line.contains(place)) {
                complaints.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    complaints
}

/// Holds that `--help` has every option that is read and every word that is understood.
fn check_help(help: &str, options: &str, grammar: &str) -> Complaints {
    let long = long_help(help);
    let mut complaints = Complaints::new();
    for text in between(options, "Long(\"", "\")") {
        if !has_word(&long, &format!("--{text}")) {
            complaints.push(format!("--help: no --{text}"));
        }
    }
    for text in between(options, "Short('", "')") {
        if !has_word(&long, &format!("-{text}")) {
            complaints.push(format!("--help: no -{text}"));
        }
    }
    let keywords = grammar.lines().filter(|line| line.contains(", Keyword::"));
    let keywords: Vec<String> = keywords.flat_map(|line| between(line, "(\"", "\",")).collect();
    let full = between(grammar, "FULL_WORDS: &[&str] =", ";").concat();
    let full = between(&full, "\"", "\"");
    for word in keywords.iter().chain(&full) {
        if !has_word(&long, word) {
            complaints.push(format!("--help: no {word}"));
        }
    }
    complaints
}

/// Holds that the page has every command and option of `--help`.
fn check_manual(help: &str, page: &str) -> Complaints {
    let long = long_help(help);
    // What mdoc would take for a punctuation mark is written with "\\&" before it.
    let page = page.replace("\\&", "");
    let mut complaints = Complaints::new();
    let mut commands = false;
    for line in long.lines() {
        if !line.starts_with(' ') {
            commands = line.starts_with("Commands");
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        let is_entry = line.starts_with("  ") && !line.starts_with("   ");
        if commands && is_entry && !has_word(&page, &format!("Cm {first}")) {
            complaints.push(format!("man/remsync.1: no \".It Cm {first}\""));
        }
        if !commands && line.trim_start().starts_with('-') {
            let before_text = line.trim_start().split("  ").next().unwrap_or_default();
            for option in before_text.split([' ', ',']).filter(|word| word.starts_with('-')) {
                let flag = format!("Fl {}", &option[1..]);
                if !has_word(&page, &flag) {
                    complaints.push(format!("man/remsync.1: no \"{flag}\""));
                }
            }
        }
    }
    complaints
}

/// Holds that a page has the options of a usage line, and no others.
fn check_companion(usage: &str, does: &str, page: &Source) -> Complaints {
    let mut complaints = Complaints::new();
    let options = options_of(usage);
    for option in options.iter().filter(|option| !has_word(&page.text, &format!("Fl {option}"))) {
        complaints.push(format!("{}: no \"Fl {option}\"", page.path));
    }
    for line in page.text.lines().filter_map(|line| line.strip_prefix(".It Fl ")) {
        let option = line.split(' ').next().unwrap_or_default();
        if !options.iter().any(|known| known == option) {
            complaints.push(format!("{}: \"Fl {option}\" is no option", page.path));
        }
    }
    if does.is_empty() || !page.text.contains(".Nd ") {
        complaints.push(format!("{}: nothing says what it does", page.path));
    }
    complaints
}

/// Returns the options in a usage line, as mdoc writes them: without the first dash.
fn options_of(usage: &str) -> Vec<String> {
    let words = usage.split([' ', '[', ']', '|']);
    words.filter_map(|word| word.strip_prefix('-')).map(str::to_owned).collect()
}

/// Holds that the page's table has each bound with its number, and nothing that is no bound.
fn check_bounds(limits: &str, page: &str) -> Complaints {
    let mut complaints = Complaints::new();
    let mut names = BTreeSet::new();
    for line in limits.lines().filter_map(|line| line.strip_prefix("pub const ")) {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let value = rest.split_once('=').and_then(|(_, value)| value_of(value));
        let Some(value) = value else {
            complaints.push(format!("limits.rs: {name}: a number that tidy cannot read"));
            continue;
        };
        names.insert(name.to_owned());
        let row = page.lines().find(|line| has_word(line, &format!("Dv {name}")));
        let column = row.and_then(|row| row.split(" Ta ").nth(1)).unwrap_or_default();
        if column.replace(',', "").trim() != value.to_string() {
            complaints.push(format!("man/remsync-package.5: not \"Dv {name} Ta {value}\""));
        }
    }
    for row in page.lines().filter_map(|line| line.strip_prefix(".It Dv ")) {
        let name = row.split(' ').next().unwrap_or_default();
        if !names.contains(name) {
            complaints.push(format!("man/remsync-package.5: {name} is no bound"));
        }
    }
    complaints
}

fn check_words(words: &[String], page: &str, name: &str) -> Complaints {
    let mut complaints = Complaints::new();
    if words.is_empty() {
        complaints.push(format!("{name}: nothing was found to be compared with it"));
    }
    let missing = words.iter().filter(|word| !has_word(page, word));
    complaints.extend(missing.map(|word| format!("{name}: no \"{word}\"")));
    complaints
}

// ---- reading other text

/// Returns the examples of a page that are whole files of ours.
fn examples(page: &str) -> Vec<String> {
    let blocks = between(page, ".Bd -literal -offset indent\n", ".Ed\n");
    blocks.into_iter().filter(|block| block.starts_with("format\t")).collect()
}

/// Returns the text of `LONG` in `help.rs`.
fn long_help(help: &str) -> String {
    between(help, "LONG: &str = \"\\\n", "\";").concat()
}

/// Returns what stands between each `open` and the `close` after it.
fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((inside, more)) = after.split_once(close) else { break };
        found.push(inside.to_owned());
        rest = more;
    }
    found
}

/// Whether `word` stands in `text` and is not a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Returns the words in quotes on the lines that hold `mark`.
fn quoted_on_lines(text: &str, mark: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains(mark));
    lines.flat_map(|line| between(line, "b\"", "\"")).collect()
}

/// Returns the keys of the settings file, by the structs that it is read into.
fn setting_keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut is_raw = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            is_raw = line.starts_with("struct Raw");
        }
        if let (true, Some((key, _))) = (is_raw, line.trim().split_once(": ")) {
            keys.push(key.to_owned());
        }
    }
    keys
}

/// Returns the variables of our own that the code reads.
fn variables(text: &str) -> Vec<String> {
    let names = between(text, "\"REMSYNC_", "\"");
    let names: BTreeSet<String> = names.iter().map(|name| format!("REMSYNC_{name}")).collect();
    names.into_iter().collect()
}

/// Returns the value of `1 << 30`, `16 * 1_024` and the like.
fn value_of(expression: &str) -> Option<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    let expression = expression.trim().trim_end_matches(';');
    if let Some((base, shift)) = expression.split_once("<<") {
        return number(base)?.checked_shl(u32::try_from(number(shift)?).ok()?);
    }
    expression.split('*').try_fold(1_u64, |product, factor| product.checked_mul(number(factor)?))
}

/// Returns the names of the dependencies of the programs, as the code spells them.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_inside = line == "[dependencies]";
        } else if let (true, Some((name, _))) = (is_inside, line.split_once(" = ")) {
            names.push(name.trim().replace('-', "_"));
        }
    }
    names
}

// ---- the repository's files

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// Returns the library and the programs.
fn sources() -> Vec<Source> {
    let sources: Vec<Source> =
        rust_files().into_iter().filter(|file| file.path.starts_with("src/")).collect();
    assert!(sources.len() > 20, "the sources are not where they were");
    sources
}

fn rust_files() -> Vec<Source> {
    text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Returns every text file of the repository but what is built or fetched.
fn text_files() -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(top().join(&folder)).map_err(|error| format!("{folder}: {error}"));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !matches!(name.as_str(), "target" | ".git") {
                folders.push(path);
            } else if !is_folder
                && path != ".git"
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                files.push(Source { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read(path: &str) -> Source {
    match fs::read_to_string(top().join(path)) {
        Ok(text) => Source { path: path.to_owned(), text },
        Err(error) => panic!("{path}: {error}"),
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn expect_none(complaints: Complaints) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
