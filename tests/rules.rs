//! The table of `decide`, its laws, and what the storm has broken: every rule that was changed
//! because of it has its least case here.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

#[path = "rules/letters.rs"]
mod letters;
#[path = "rules/visits.rs"]
mod visits;

use remsync::model::knowledge::{Cell, Correspondence, Knowledge, Question, Row, Why, Word};
use remsync::model::limits::{HISTORY_MAX, RECEIVED_MAX};
use remsync::model::orders::{Act, OrderRow, Orders};
use remsync::model::project::{Format, Identity};
use remsync::model::verdict::{Choice, Deletions, Place, Verdict};
use remsync::model::version::{Ancestor, Content};
use remsync::model::{Address, Belief, History, Signature, Site, TreePath, Version};
use remsync::rules::brake::{is_drastic, is_tree_gone};
use remsync::rules::decide::{Lineage, adopt, bring_up_to_date, decide, join, judge};
use remsync::rules::learn::{Freshness, Route, freshness, remember, route, take_in};
use remsync::rules::observe::observe;
use remsync::rules::plan::{
    Named, Outgoing, RESEND_AFTER_MS, Request, TOMBSTONE_MS, What, With, accepted,
    forget_tombstones, issue, next_serial, orders as written, plan, take_back,
};
use remsync::rules::settle::{self, Settled, ask, choose, judge_anew, settle};

const A: u8 = b'a';
const B: u8 = b'b';

/// `a` is a file, `A` the same bytes, executable, `-` nothing.
fn content(letter: u8) -> Content {
    match letter {
        b'-' => Content::Absent,
        letter => Content::File(Signature::Sha256 {
            digest: [letter.to_ascii_lowercase(); 32],
            executable: letter.is_ascii_uppercase(),
        }),
    }
}

/// Reads `3a`: generation 3 of file a.
fn version(text: &str) -> Version {
    let (generation, letter) = text.split_at(text.len() - 1);
    Version { generation: generation.parse().unwrap(), content: content(letter.as_bytes()[0]) }
}

/// Reads `3a: 1a 2-`: a version and its history.
fn lineage(text: &str) -> (Version, History) {
    let (itself, history) = text.split_once(':').unwrap_or((text, ""));
    let history = history.split_whitespace().map(|word| version(word).ancestor());
    (version(itself), history.collect())
}

fn shown(version: &Version, history: &History) -> String {
    let letter = |prefix: Option<remsync::model::Prefix>| match prefix {
        None => '-',
        Some(prefix) if prefix.executable => char::from(prefix.digits[0]).to_ascii_uppercase(),
        Some(prefix) => char::from(prefix.digits[0]),
    };
    let one = |a: &Ancestor| format!("{}{}", a.generation, letter(a.prefix));
    let all: Vec<String> = history.iter().map(one).collect();
    format!("{}: {}", one(&version.ancestor()), all.join(" ")).trim_end().to_owned()
}

fn row(text: &str, remotes: usize) -> Row {
    let (version, history) = lineage(text);
    Row { version, history, ..Row::first(Content::Absent, remotes, 1) }
}

fn f() -> TreePath {
    TreePath::new(b"f").unwrap()
}

fn knowing(text: &str) -> Knowledge {
    let mut knowledge = Knowledge::new(1);
    knowledge.rows.insert(f(), row(text, 1));
    knowledge
}

fn question(text: &str, package: u8) -> Question {
    let (version, history) = lineage(text);
    let (path, package, why) = (f(), [package; 32], Why::Conflict);
    Question { path, version, history, remote: 0, package, member: Some(1), why, at_ms: 1 }
}

#[test]
fn the_table_of_decide() {
    let conflict = Verdict::Ask(Why::Conflict);
    let table = [
        ("same contents", "1a", "1a", Verdict::Redundant),
        ("same contents, later", "1a", "3a: 1a 2b", Verdict::Redundant),
        ("a descendant arrives", "1a", "2b: 1a", Verdict::Replace),
        ("an ancestor arrives", "2b: 1a", "1a", Verdict::Stale),
        ("two edits", "2b: 1a", "2c: 1a", conflict),
        ("unrelated", "1a", "1b", conflict),
        ("back to old contents is news", "2b: 1a", "3a: 1a 2b", Verdict::Replace),
        ("and the old ones are old", "3a: 1a 2b", "2b: 1a", Verdict::Stale),
        ("a deletion", "1a", "2-: 1a", Verdict::Replace),
        ("an edit and a deletion", "2b: 1a", "2-: 1a", Verdict::Ask(Why::DeletedThere)),
        ("a deletion and an edit", "2-: 1a", "2b: 1a", Verdict::Ask(Why::DeletedHere)),
        ("old mail after a deletion", "2-: 1a", "1a", Verdict::Stale),
        ("only the x differs", "2a: 1b", "2A: 1b", conflict),
        ("the x is in histories", "1A", "2b: 1a", conflict),
        ("opposite choices, a tie", "1a: 1b", "1b: 1a", conflict),
        ("opposite choices, they chose over more", "1a: 1b", "1b: 1a 1c", Verdict::Replace),
        ("opposite choices, we chose over more", "1a: 1b 1c", "1b: 1a", Verdict::Stale),
        ("not over a deletion", "2-: 1a", "1a: 2- 1c", Verdict::Ask(Why::DeletedHere)),
        ("nor by one", "1a: 2-", "2-: 1a 1c", Verdict::Ask(Why::DeletedThere)),
    ];
    for (name, here, arrived, verdict) in table {
        let (here, arrived) = (lineage(here), lineage(arrived));
        let here = Lineage::new(&here.0, &here.1);
        let arrived = Lineage::new(&arrived.0, &arrived.1);
        assert_eq!(decide(Some(here), arrived), verdict, "{name}");
        assert_eq!(decide(None, arrived), Verdict::Create, "{name}: nothing here");
    }
}

/// Every pair of small lineages: three contents and a deletion, two generations, all histories.
fn small_world() -> Vec<(Version, History)> {
    let names: Vec<Version> = ["1a", "1b", "1-", "2a", "2b", "2-"].map(version).to_vec();
    let mut all = Vec::new();
    for itself in &names {
        for set in 0..1 << names.len() {
            let named = (0..names.len()).filter(|at| set >> at & 1 == 1);
            let history: History = named.map(|at| names[at].ancestor()).collect();
            if !history.has(itself) {
                all.push((*itself, history));
            }
        }
    }
    all
}

#[test]
fn decide_is_fair_on_a_small_world() {
    let world = small_world();
    for (here, here_history) in &world {
        for (arrived, arrived_history) in &world {
            let one = Lineage::new(here, here_history);
            let other = Lineage::new(arrived, arrived_history);
            let verdicts = (decide(Some(one), other), decide(Some(other), one));
            let is_fair = match verdicts {
                (Verdict::Redundant, Verdict::Redundant) => here.content == arrived.content,
                (Verdict::Replace, Verdict::Stale) => arrived_history.has(here),
                (Verdict::Stale, Verdict::Replace) => here_history.has(arrived),
                (Verdict::Ask(_), Verdict::Ask(_)) => here.content != arrived.content,
                _ => false,
            };
            assert!(
                is_fair,
                "{} and {}: {verdicts:?}",
                shown(here, here_history),
                shown(arrived, arrived_history)
            );
        }
    }
}

#[test]
fn a_settled_verdict_is_settled_for_good() {
    for (here, history) in &small_world() {
        for (arrived, arrived_history) in &small_world() {
            let other = Lineage::new(arrived, arrived_history);
            let mut row = Row::first(Content::Absent, 0, 1);
            (row.version, row.history) = (*here, history.clone());
            match decide(Some(Lineage::of(&row)), other) {
                Verdict::Replace => assert!(adopt(&mut row, other, 2, 1)),
                Verdict::Redundant | Verdict::Stale => _ = join(&mut row, other, 2, 1),
                _ => continue,
            }
            let again = decide(Some(Lineage::of(&row)), other);
            assert!(matches!(again, Verdict::Redundant | Verdict::Stale), "{row:?} {again:?}");
            assert!(!row.history.has(&row.version), "its own ancestor: {row:?}");
            let once = row.clone();
            assert!(!join(&mut row, other, 3, 1), "joined twice is joined once");
            assert_eq!(row, once);
        }
    }
}

#[test]
fn a_place_and_a_policy_only_turn_silence_into_a_question() {
    let places = [
        (Place::Ignored, Why::Ignored),
        (Place::OutsideScan, Why::OutsideScan),
        (Place::Sensitive, Why::Sensitive),
        (Place::Blocked, Why::InTheWay),
        (Place::Unreadable, Why::Unreadable),
    ];
    let (here, update, old, gone) =
        (lineage("2a: 1b"), lineage("3c: 1b 2a"), lineage("1b"), lineage("3-: 1b 2a"));
    let judged =
        |here: Option<&(Version, History)>, arrived: &(Version, History), place, policy| {
            let here = here.map(|(version, history)| Lineage::new(version, history));
            judge(here, Lineage::new(&arrived.0, &arrived.1), place, policy)
        };
    for (place, why) in places {
        let apply = Deletions::Apply;
        assert_eq!(judged(Some(&here), &update, place, apply), Verdict::Ask(why));
        assert_eq!(judged(None, &update, place, apply), Verdict::Ask(why));
        assert_eq!(judged(None, &gone, place, apply), Verdict::Ask(why), "unseen, not noted");
        assert_eq!(judged(Some(&here), &old, place, apply), Verdict::Stale);
    }
    let deletion = Verdict::Ask(Why::Deletion);
    assert_eq!(judged(Some(&here), &gone, Place::Inside, Deletions::Ask), deletion);
    assert_eq!(judged(Some(&here), &gone, Place::Inside, Deletions::Apply), Verdict::Replace);
    assert_eq!(judged(None, &gone, Place::Inside, Deletions::Ask), Verdict::Create);
}

#[test]
fn what_a_scan_finds_is_one_above_all_that_the_row_knows() {
    let table = [
        ("an edit", "1a", 'b', "2b: 1a"),
        ("a deletion", "3a: 1b 2c", '-', "4-: 1b 2c 3a"),
        ("a return", "2b: 1a", 'a', "3a: 1a 2b"),
        ("a choice of a low generation", "1a: 4b", 'c', "5c: 1a 4b"),
        ("a refusal is no ancestor", "0-: 3a", 'b', "4b: 3a"),
    ];
    for (name, before, disk, after) in table {
        let mut row = row(before, 1);
        assert!(bring_up_to_date(&mut row, content(disk as u8), None, 9, 1), "{name}");
        assert_eq!(shown(&row.version, &row.history), after, "{name}");
        assert_eq!(row.changed, 9, "{name}");
        assert!(!bring_up_to_date(&mut row, content(disk as u8), None, 10, 1), "{name}");
    }
    let mut row = row("1a", 1);
    let version = version("7b");
    row.cells[0].word = Some(Word { version, history: History::new(), serial: 1 });
    bring_up_to_date(&mut row, content(b'c'), None, 1, 1);
    assert_eq!(row.version.generation, 8, "above what remotes say too");
}

#[test]
fn what_arrives_and_is_here_already_is_that_version() {
    let table = [
        ("killed before it was noted", "1a", "2b: 1a", "2b: 1a"),
        ("by its own name", "1a", "5b: 1e 4c", "5b: 1a 1e 4c"),
        ("not what was left since", "1a: 3-", "2-: 1b", "4-: 1a 3-"),
        ("not the very one that was left", "1a: 2-", "2-: 1b", "3-: 1a 2-"),
    ];
    for (name, before, arriving, after) in table {
        let mut row = row(before, 0);
        let arriving = lineage(arriving);
        let arriving = Lineage::new(&arriving.0, &arriving.1);
        bring_up_to_date(&mut row, arriving.version.content, Some(arriving), 2, 1);
        assert_eq!(shown(&row.version, &row.history), after, "{name}");
    }
}

#[test]
fn choices() {
    let table = [
        ("keep", "1a", "1b", Choice::Keep, "1a: 1b"),
        ("take", "1a", "1b: 1c", Choice::Take, "1b: 1a 1c"),
        ("keep, of two that differ in the x", "2a", "2A", Choice::Keep, "2a: 2A"),
        ("keep against a deletion", "1a", "2-: 1a", Choice::Keep, "3a: 1a 2-"),
        ("keep against an opposite choice", "1a: 1b", "1b: 1a", Choice::Keep, "2a: 1a 1b"),
        ("take against our own choice", "1a: 1b", "1b: 1a", Choice::Take, "2b: 1a 1b"),
        ("take what was left since", "4c: 3-", "2-: 1a", Choice::Take, "5-: 1a 2- 3- 4c"),
        ("keep what is here already", "2a: 1c", "3a: 1b", Choice::Keep, "3a: 1b 1c 2a"),
        ("take what is here already", "3a: 1c", "2a: 1b", Choice::Take, "3a: 1b 1c 2a"),
        ("refuse again", "0-: 1a", "3b: 1a 2-", Choice::Keep, "0-: 1a 2- 3b"),
        ("want what was refused", "0-: 1a", "2b: 1a", Choice::Take, "2b: 1a"),
    ];
    for (name, before, arrived, choice, after) in table {
        let mut knowledge = knowing(before);
        let arrived = lineage(arrived);
        choose(&mut knowledge, &f(), Lineage::new(&arrived.0, &arrived.1), choice, 1);
        let row = &knowledge.rows[&f()];
        assert_eq!(shown(&row.version, &row.history), after, "{name}");
        let again = decide(Some(Lineage::of(row)), Lineage::new(&arrived.0, &arrived.1));
        assert!(matches!(again, Verdict::Redundant | Verdict::Stale), "{name}: asked again");
    }
}

#[test]
fn a_merge_descends_from_both() {
    for (name, before, arrived, after) in [
        ("of two edits", "2a: 1o", "2b: 1o", "3c: 1o 2a 2b"),
        ("where theirs is older", "5a: 1o", "2b: 1o", "6c: 1o 2b 5a"),
        ("where theirs is younger", "2a: 1o", "9b: 1o 8d", "10c: 1o 2a 8d 9b"),
        ("into the bytes of ours", "2c: 1o", "2b: 1o", "3c: 1o 2b 2c"),
    ] {
        let mut knowledge = knowing(before);
        let (here, there) = (lineage(before), lineage(arrived));
        let arrived = Lineage::new(&there.0, &there.1);
        settle::merge(&mut knowledge, &f(), arrived, content(b'c'), 1);
        let row = &knowledge.rows[&f()];
        assert_eq!(shown(&row.version, &row.history), after, "{name}");
        for side in [&here, &there] {
            let at_that_side = decide(Some(Lineage::new(&side.0, &side.1)), Lineage::of(row));
            let is_silent = matches!(at_that_side, Verdict::Replace | Verdict::Redundant);
            assert!(is_silent, "{name}: {at_that_side:?}");
        }
    }
}

#[test]
fn a_package_that_deletes_most_files_is_braked() {
    let name = |n: usize| format!("f{n:02}");
    for (files, deleted, stale, is_braked) in [
        (19, 10, 0, true),
        (20, 10, 0, false),
        (10, 9, 0, false),
        (10, 10, 0, true),
        // What would not be deleted silently does not count.
        (19, 10, 1, false),
        (1_000, 501, 0, true),
        (1_000, 500, 0, false),
    ] {
        let mut knowledge = Knowledge::new(1);
        for n in 0..files {
            let text = if n < stale { "3a: 1o" } else { "1o" };
            let path = TreePath::new(name(n).as_bytes()).unwrap();
            knowledge.rows.insert(path, row(text, 1));
        }
        let names: Vec<String> = (0..deleted).map(name).collect();
        let rows: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "2-: 1o")).collect();
        let orders = orders(1, None, None, &rows);
        assert_eq!(is_drastic(&knowledge, &orders), is_braked, "{deleted} of {files}, {stale}");
    }
    for (gone, files, is_gone) in [(2, 2, false), (2, 3, true), (2, 4, false), (0, 0, false)] {
        assert_eq!(is_tree_gone(gone, files), is_gone, "{gone} of {files}");
    }
}

#[test]
fn what_the_brake_held_waits_whatever_the_policy() {
    let mut knowledge = knowing("1a");
    for (why, verdict) in
        [(Why::Deletion, Verdict::Replace), (Why::ManyDeletions, Verdict::Ask(Why::ManyDeletions))]
    {
        knowledge.questions.clear();
        knowledge.questions.push(Question { why, member: None, ..question("2-: 1a", 1) });
        let judged = judge_anew(&knowledge, &f(), &|_| (Place::Inside, Deletions::Apply));
        assert_eq!(judged[0].1, verdict, "{why:?}");
    }
}

#[test]
fn refusals_where_nothing_was() {
    let mut knowledge = Knowledge::new(1);
    let (file, gone) = (lineage("1a"), lineage("2-: 1a"));
    assert!(choose(&mut knowledge, &f(), Lineage::new(&file.0, &file.1), Choice::Keep, 1));
    assert_eq!(knowledge.rows[&f()].version.generation, 0);
    knowledge.clock = 5;
    let outgoing = plan(&knowledge, 0, &by_name(9), &|_| false).unwrap();
    assert!(outgoing.rows.is_empty(), "told to nobody");
    settle(&mut knowledge, &f(), Lineage::new(&gone.0, &gone.1), Settled::Stays, 1);
    assert_eq!(shown(&knowledge.rows[&f()].version, &knowledge.rows[&f()].history), "2-: 1a");
}

/// Seeds 58005 and 69016 of seven sites: older mail brought the file, or what came after the deletion
/// was asked about.
#[test]
fn a_refused_deletion_of_the_unknown_is_known() {
    let mut knowledge = Knowledge::new(1);
    let (file, gone, anew) = (lineage("1a"), lineage("2-: 1a"), lineage("3b: 1a 2-"));
    assert!(choose(&mut knowledge, &f(), Lineage::new(&gone.0, &gone.1), Choice::Keep, 1));
    let here =
        |knowledge: &Knowledge| shown(&knowledge.rows[&f()].version, &knowledge.rows[&f()].history);
    assert_eq!(here(&knowledge), "2-: 1a");
    let of_row = Some(Lineage::of(&knowledge.rows[&f()]));
    assert_eq!(decide(of_row, Lineage::new(&file.0, &file.1)), Verdict::Stale);
    assert_eq!(decide(of_row, Lineage::new(&anew.0, &anew.1)), Verdict::Replace);
    // What was kept unseen comes to sight: it is newer than the deletion.
    observe(&mut knowledge, &f(), content(b'c'), 2);
    assert_eq!(here(&knowledge), "3c: 1a 2-");
}

#[test]
fn questions_cover_each_other() {
    let table: &[(&str, &[&str], bool, &[&str])] = &[
        ("the same twice", &["1a", "1a"], false, &["1a:"]),
        ("a newer one", &["1a", "2b: 1a"], true, &["2b: 1a"]),
        ("an older one", &["2b: 1a", "1a"], false, &["2b: 1a"]),
        ("another", &["1a", "1b"], true, &["1a:", "1b:"]),
        ("the same with more behind it", &["1b", "1a", "1a: 1b"], false, &["1a: 1b"]),
        ("what an older one covers", &["1c", "2b: 1a", "1a: 1c"], false, &["2b: 1a 1c"]),
        ("the same, later", &["1a: 1c", "3a: 2b"], false, &["3a: 1a 1c 2b"]),
        ("together they are a tie", &["1a", "3-: 2a", "2a: 3-"], false, &["3-: 2a", "2a: 1a 3-"]),
    ];
    for (name, asked, is_listed, open) in table {
        let mut knowledge = Knowledge::new(1);
        let mut listed = false;
        for (at, text) in asked.iter().enumerate() {
            listed = ask(&mut knowledge, question(text, at as u8));
        }
        let now: Vec<String> =
            knowledge.questions.iter().map(|q| shown(&q.version, &q.history)).collect();
        let open: Vec<String> = open.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!((listed, now), (*is_listed, open), "{name}");
    }
}

#[test]
fn histories_are_trimmed_from_below_but_not_what_a_remote_holds() {
    let long = |n: u64| -> History {
        (1..=n).map(|generation| Version { generation, content: content(A) }.ancestor()).collect()
    };
    for (named, kept) in [(HISTORY_MAX - 1, HISTORY_MAX), (HISTORY_MAX, HISTORY_MAX)] {
        let mut row = row("1b", 1);
        row.version.generation = named as u64 + 1;
        row.history = long(named as u64);
        let held = Version { generation: 1, content: content(A) };
        row.cells[0].word = Some(Word { version: held, history: History::new(), serial: 1 });
        bring_up_to_date(&mut row, content(B + 1), None, 1, 1);
        assert_eq!(row.history.len(), kept);
        assert!(row.history.has(&held), "the remote holds it");
        let second = Version { generation: 2, content: content(A) };
        assert_eq!(row.history.has(&second), named < HISTORY_MAX, "the lowest goes first");
    }
}

/// A question is told of its contents time and again, each time with other ancestors.
#[test]
fn the_history_of_a_question_is_bounded_as_that_of_a_row() {
    let ancestors = |from: u64| -> History {
        let many = from..from + HISTORY_MAX as u64;
        many.map(|generation| Version { generation, content: content(A) }.ancestor()).collect()
    };
    let here = version("2c");
    let mut knowledge = knowing("2c: 1o");
    let mut asked = question("9000b", 1);
    asked.history = ancestors(5_000);
    asked.history.insert(here.ancestor());
    knowledge.rows.get_mut(&f()).unwrap().history = ancestors(7_000);
    assert!(ask(&mut knowledge, asked.clone()));
    for (name, times) in [("it arrives again", 0..3), ("it is told", 3..6)] {
        for time in times {
            let told = ancestors(10 + time * 300);
            if name == "it is told" {
                settle::hear(&mut knowledge, &f(), Lineage::new(&asked.version, &told));
            } else {
                ask(&mut knowledge, Question { history: told, ..asked.clone() });
            }
            let open = knowledge.questions.first().unwrap();
            assert_eq!(open.history.len(), HISTORY_MAX, "{name}");
            assert!(open.history.has(&here), "{name}: what is here is not asked about again");
        }
    }
    let mut knowledge = Knowledge::new(1);
    let (file, full) = (version("900b"), ancestors(10));
    choose(&mut knowledge, &f(), Lineage::new(&file, &full), Choice::Keep, 1);
    let row = &knowledge.rows[&f()];
    assert_eq!((row.history.len(), row.history.has(&file)), (HISTORY_MAX, true), "refused");
}

fn identity(here: &str, remote: &str) -> Identity {
    let site = |text: &str| Site { address: Address::new(text).unwrap(), directory: None };
    Identity {
        format: Format::V2_0,
        title: "t".into(),
        here: site(here),
        remotes: vec![site(remote)],
        scans: vec![],
        hosts: vec![],
        ignores: vec![],
    }
}

fn orders(serial: u64, since: Option<u64>, seen: Option<u64>, rows: &[(&str, &str)]) -> Orders {
    let row = |(path, text): &(&str, &str)| {
        let (version, history) = lineage(text);
        let path = TreePath::new(path.as_bytes()).unwrap();
        OrderRow { path, version, history, columns: vec![Belief::Unknown], act: Act::Tell }
    };
    Orders {
        is_oldest: false,
        identity: identity("b@x", "a@x"),
        visit: 0,
        copy: vec![0],
        serial,
        since,
        seen,
        want_all: false,
        wants: vec![],
        rows: rows.iter().map(row).collect(),
    }
}

fn learn(knowledge: &mut Knowledge, orders: &Orders) -> remsync::rules::learn::TakenIn {
    let route: Route = route(orders, &identity("a@x", "b@x")).unwrap();
    take_in(knowledge, orders, &route, 1_000)
}

/// A carrier took a package, and it is noted by what its orders say.
fn accept(knowledge: &mut Knowledge, outgoing: &Outgoing, now_ms: u64) {
    let told = written(&identity("a@x", "b@x"), knowledge, outgoing, &[outgoing.remote]);
    accepted(knowledge, outgoing.remote, &told, now_ms);
}

fn by_name(now_ms: u64) -> Request {
    let resend_after_ms = RESEND_AFTER_MS;
    Request { now_ms, resend_after_ms, what: What::Contents, named: Named::ByName }
}

#[test]
fn learning_twice_is_learning_once_in_any_order() {
    let packages = [
        orders(10, None, None, &[("f", "1a")]),
        orders(20, Some(10), None, &[("f", "2b: 1a")]),
        orders(30, Some(20), None, &[("f", "3c: 1a 2b"), ("g", "1a")]),
    ];
    let mut ended: Option<Knowledge> = None;
    for turns in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut knowledge = knowing("1a");
        for at in turns {
            learn(&mut knowledge, &packages[at]);
        }
        let once = knowledge.clone();
        for at in turns {
            learn(&mut knowledge, &packages[at]);
        }
        assert_eq!(knowledge, once, "{turns:?}: learnt twice");
        let word = knowledge.rows[&f()].cells[0].word.clone().unwrap();
        assert_eq!((word.version, word.serial), (version("3c"), 30), "{turns:?}");
        assert_eq!(knowledge.remotes[0].taken, 30, "{turns:?}");
        let ended = ended.get_or_insert(knowledge.clone());
        assert_eq!(ended.rows[&f()].cells, knowledge.rows[&f()].cells, "{turns:?}");
    }
}

#[test]
fn a_package_is_taken_in_once_in_any_order() {
    let package = |serial: u64, twin: u8| {
        let mut digest = [twin; 32];
        digest[..8].copy_from_slice(&serial.to_be_bytes());
        digest[7] ^= twin;
        digest
    };
    let of = |serial, twin| *package(serial, twin).first_chunk().unwrap();
    // Every order of a few, doubled, ends the same.
    let mut ends = Vec::new();
    for order in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]] {
        let mut with = Correspondence::default();
        for serial in order.into_iter().chain(order) {
            let expected = match with.received.iter().any(|received| received.serial == serial) {
                true => Freshness::Again,
                false => Freshness::New,
            };
            assert_eq!(freshness(&with, serial, &package(serial, 0)), expected, "{order:?}");
            remember(&mut with, serial, &package(serial, 0));
            assert_eq!(
                freshness(&with, serial, &package(serial, 9)),
                Freshness::Twin(of(serial, 0))
            );
            remember(&mut with, serial, &package(serial, 9));
        }
        ends.push(with);
    }
    assert!(ends.iter().all(|end| *end == ends[0]));
    // The window slides: the oldest are forgotten, whatever comes, and never the newest.
    let mut with = Correspondence::default();
    let max = RECEIVED_MAX as u64;
    (0..=max).rev().for_each(|serial| remember(&mut with, serial, &package(serial, 0)));
    assert_eq!(with.received.len(), RECEIVED_MAX);
    for (serial, twin, expected) in [
        (0, 1, Freshness::New),
        (1, 0, Freshness::Again),
        (1, 1, Freshness::Twin(of(1, 0))),
        (max, 1, Freshness::Twin(of(max, 0))),
        (max + 1, 1, Freshness::New),
    ] {
        assert_eq!(freshness(&with, serial, &package(serial, twin)), expected, "{serial}");
    }
}

#[test]
fn a_full_inventory_takes_back_what_older_packages_said() {
    for turns in [[0, 1], [1, 0]] {
        let packages =
            [orders(10, None, None, &[("f", "1a"), ("g", "1b")]), orders(20, None, None, &[])];
        let mut knowledge = knowing("1a");
        for at in turns {
            learn(&mut knowledge, &packages[at]);
        }
        assert_eq!(knowledge.rows[&f()].cells[0].word, None, "{turns:?}");
        let outgoing = plan(&knowledge, 0, &by_name(50), &|_| false).unwrap();
        assert!(outgoing.wants.is_empty(), "{turns:?}: what nobody has is not wanted");
    }
}

#[test]
fn what_a_remote_has_seen_counts_if_we_remember_sending_it() {
    let sent = |knowledge: &mut Knowledge, now_ms| {
        let outgoing = plan(knowledge, 0, &by_name(now_ms), &|_| false).unwrap();
        accept(knowledge, &outgoing, now_ms);
        outgoing
    };
    let mut knowledge = knowing("1a");
    assert_eq!(sent(&mut knowledge, 100).serial, 100);
    assert_eq!(sent(&mut knowledge, 200).since, None, "nothing seen yet");
    let table = [
        ("the first", 10, Some(100), 100, false, false, Some(100)),
        ("the second", 20, Some(200), 200, false, false, Some(200)),
        ("one that we forgot", 30, Some(250), 200, true, false, None),
        ("they went back", 40, Some(100), 0, false, true, None),
    ];
    for (name, serial, seen, expected, ours, theirs, since) in table {
        let shown = learn(&mut knowledge, &orders(serial, None, seen, &[]));
        assert_eq!((shown.we_went_back, shown.they_went_back), (ours, theirs), "{name}");
        assert_eq!(knowledge.remotes[0].seen, expected, "{name}");
        let outgoing = plan(&knowledge, 0, &by_name(300), &|_| false).unwrap();
        assert_eq!(outgoing.since, since, "{name}");
    }
    assert_eq!(next_serial(&knowledge, 0), 251, "above what a former life of ours has used");
}

#[test]
fn what_was_sent_is_what_the_package_said() {
    let mut knowledge = knowing("1a");
    let outgoing = plan(&knowledge, 0, &by_name(100), &|_| false).unwrap();
    let told = written(&identity("a@x", "b@x"), &knowledge, &outgoing, &[0]);
    issue(&mut knowledge, 0, outgoing.serial);
    assert_eq!(knowledge.stamp(), 101, "what changes now is above what the package lists");
    knowledge.rows.insert(f(), Row { changed: 101, ..row("2b: 1a", 1) });
    accepted(&mut knowledge, 0, &told, 150);
    let sent = knowledge.rows[&f()].cells[0].sent.unwrap();
    assert_eq!((sent.version, sent.serial), (version("1a").ancestor(), 100));
    let next = plan(&knowledge, 0, &by_name(200), &|_| false).unwrap();
    assert_eq!(next.rows.len(), 1);
    assert_eq!(next.rows[0].with, With::Contents, "what changed since is due");
}

#[test]
fn a_package_that_nobody_confirmed_taking_is_remembered_as_ours() {
    let mut knowledge = knowing("1a");
    issue(&mut knowledge, 0, 100);
    issue(&mut knowledge, 0, 100);
    assert_eq!(knowledge.remotes[0].issued, [100]);
    let shown = learn(&mut knowledge, &orders(10, None, Some(100), &[("f", "1a")]));
    assert!(!shown.we_went_back, "it was in truth taken");
    assert_eq!(knowledge.remotes[0].seen, 100);
}

#[test]
fn a_network_with_nothing_new_is_silent() {
    let everybody = |now_ms| Request { named: Named::Everybody, ..by_name(now_ms) };
    let mut knowledge = knowing("1a");
    let outgoing = plan(&knowledge, 0, &everybody(100), &|_| false).unwrap();
    accept(&mut knowledge, &outgoing, 100);
    assert_eq!(plan(&knowledge, 0, &everybody(200), &|_| false), None, "on its way");
    let late = 100 + RESEND_AFTER_MS;
    assert_eq!(plan(&knowledge, 0, &everybody(late - 1), &|_| false), None);
    assert!(plan(&knowledge, 0, &everybody(late), &|_| false).is_some(), "it may be lost");
    learn(&mut knowledge, &orders(10, None, Some(100), &[("f", "1a")]));
    let thanks = plan(&knowledge, 0, &everybody(late), &|_| false).unwrap();
    assert!(thanks.rows.is_empty(), "an acknowledgement is owed");
    accept(&mut knowledge, &thanks, late);
    assert_eq!(plan(&knowledge, 0, &everybody(late * 9), &|_| false), None, "for good");
}

#[test]
fn what_came_back_is_due_again_once() {
    let everybody = |now_ms| Request { named: Named::Everybody, ..by_name(now_ms) };
    let never = |knowledge: &Knowledge, now_ms| plan(knowledge, 0, &everybody(now_ms), &|_| false);
    let sent = |knowledge: &mut Knowledge, now_ms| {
        let outgoing = never(knowledge, now_ms).expect("something is due");
        accept(knowledge, &outgoing, now_ms);
        outgoing
    };
    let mut knowledge = knowing("1a");
    sent(&mut knowledge, 100);
    let before = knowledge.clone();
    for (name, remote, serial) in [("another", 0, 99), ("none", 0, 0), ("a site unknown", 7, 100)] {
        assert!(take_back(&mut knowledge, remote, serial).is_empty(), "{name}");
        assert_eq!(knowledge, before, "{name}");
    }
    assert_eq!(take_back(&mut knowledge, 0, 100), [f()].into());
    assert_eq!(knowledge.rows[&f()].cells[0].sent, None);
    let again = sent(&mut knowledge, 200);
    assert_eq!(again.rows.len(), 1, "its contents go again at once");
    // The same notice, or a forged one of it: that serial is not the one on its way.
    let before = knowledge.clone();
    assert!(take_back(&mut knowledge, 0, 100).is_empty());
    assert_eq!(knowledge, before);
    assert_eq!(never(&knowledge, 300), None);
    // What the remote has itself taken in did not come back, whoever says so.
    learn(&mut knowledge, &orders(10, None, Some(200), &[("f", "1a")]));
    let thanks = sent(&mut knowledge, 400);
    assert!(thanks.rows.is_empty());
    let before = knowledge.clone();
    assert!(take_back(&mut knowledge, 0, 200).is_empty());
    assert_eq!(knowledge, before);
    assert_eq!(never(&knowledge, 500), None);
}

#[test]
fn what_a_package_said_and_asked_comes_back_with_it() {
    let everybody = |now_ms| Request { named: Named::Everybody, ..by_name(now_ms) };
    // The remote has what is not here: it is wanted, and an acknowledgement is owed.
    let mut knowledge = knowing("1a");
    learn(&mut knowledge, &orders(10, None, None, &[("f", "1a"), ("g", "1b")]));
    let g = TreePath::new(b"g").unwrap();
    let first = plan(&knowledge, 0, &everybody(100), &|_| false).unwrap();
    assert_eq!((first.wants.as_slice(), first.seen), ([g.clone()].as_slice(), Some(10)));
    accept(&mut knowledge, &first, 100);
    assert_eq!(plan(&knowledge, 0, &everybody(200), &|_| false), None);
    assert_eq!(take_back(&mut knowledge, 0, 100), [g].into());
    let again = plan(&knowledge, 0, &everybody(200), &|_| false).unwrap();
    assert_eq!((again.wants, again.seen), (first.wants, first.seen));
    // An older one than the last takes nothing of the last back.
    let named = plan(&knowledge, 0, &by_name(200), &|_| false).unwrap();
    accept(&mut knowledge, &named, 200);
    assert!(take_back(&mut knowledge, 0, 100).is_empty());
    assert!(!knowledge.remotes[0].owes);
    // An acknowledgement alone is owed again too.
    let mut knowledge = knowing("1a");
    learn(&mut knowledge, &orders(10, None, None, &[("f", "1a")]));
    let thanks = plan(&knowledge, 0, &everybody(100), &|_| false).unwrap();
    accept(&mut knowledge, &thanks, 100);
    take_back(&mut knowledge, 0, 100);
    assert!(plan(&knowledge, 0, &everybody(200), &|_| false).is_some());
}

#[test]
fn tombstones_go_when_everybody_has_said_so_and_what_follows_is_above_them() {
    let gone = |word: Option<&str>| {
        let mut knowledge = knowing("4-: 3a");
        let row = knowledge.rows.get_mut(&f()).unwrap();
        row.deleted_ms = 1;
        let word = word.map(lineage);
        row.cells[0].word = word.map(|(version, history)| Word { version, history, serial: 1 });
        row.changed = 7;
        knowledge.remotes[0].seen = 7;
        knowledge
    };
    let year = 1 + TOMBSTONE_MS;
    let table = [
        ("confirmed", Some("4-: 3a"), year, true),
        ("too early", Some("4-: 3a"), year - 1, false),
        ("silence", None, year, false),
        ("still there", Some("3a"), year, false),
        ("another deletion", Some("2-: 1b"), year, false),
    ];
    for (name, word, now_ms, is_forgotten) in table {
        let mut knowledge = gone(word);
        assert_eq!(
            forget_tombstones(&mut knowledge, now_ms).len(),
            usize::from(is_forgotten),
            "{name}"
        );
        assert_eq!(knowledge.rows.is_empty(), is_forgotten, "{name}");
    }
    let mut knowledge = gone(Some("4-: 3a"));
    ask(&mut knowledge, question("5b: 3a", 1));
    assert!(forget_tombstones(&mut knowledge, year).is_empty(), "a question hangs on it");
    // The deletion is confirmed, but not what a person chose about it since.
    let mut knowledge = gone(Some("4-: 3a"));
    knowledge.remotes[0].seen = 6;
    assert!(forget_tombstones(&mut knowledge, year).is_empty(), "the choice is not told");
    let mut knowledge = gone(Some("4-: 3a"));
    forget_tombstones(&mut knowledge, year);
    assert!(observe(&mut knowledge, &f(), content(A), year));
    assert_eq!(knowledge.rows[&f()].version, version("5a"), "not taken for what was deleted");
}

#[test]
fn cells_are_one_for_each_remote() {
    let mut knowledge = knowing("1a");
    knowledge.add_remote();
    assert_eq!(knowledge.rows[&f()].cells, vec![Cell::default(); 2]);
    knowledge.remove_remote(0);
    assert_eq!(knowledge.rows[&f()].cells.len(), 1);
}

/// So much work for so many questions as for a part of them, and no more for each: measured against
/// itself in one run, with room for a busy machine.
#[test]
fn ten_thousand_questions_cost_each_what_few_do() {
    let path = |at: usize| TreePath::new(format!("folder/file{at:06}").as_bytes()).unwrap();
    let time = |count: usize| {
        let mut knowledge = Knowledge::new(1);
        let began = std::time::Instant::now();
        for at in 0..count {
            assert!(ask(&mut knowledge, Question { path: path(at), ..question("2b: 1a", 1) }));
            assert!(!ask(&mut knowledge, Question { path: path(at), ..question("2b: 1a", 2) }));
        }
        assert_eq!(knowledge.questions.len(), count);
        for question in knowledge.questions.to_vec() {
            let named = remsync::command::words::label(&knowledge, &question);
            assert_eq!(named, question.path.to_string());
        }
        for question in knowledge.questions.to_vec() {
            settle::withdraw(&mut knowledge, &question);
        }
        assert!(knowledge.questions.is_empty());
        began.elapsed()
    };
    let least = |count: usize| (0..3).map(|_| time(count)).min().unwrap();
    let (few, many) = (least(500), least(10_000));
    assert!(many < few * 100, "{few:?} for 500, {many:?} for 10,000: 20 times as many");
}
