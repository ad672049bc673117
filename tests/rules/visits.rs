//! Whole packages and answers, over a tree in memory.

use std::collections::BTreeMap;

use remsync::model::knowledge::Intent;
use remsync::rules::decide::create;
use remsync::rules::intent::{chosen, intended, recognise};
use remsync::rules::observe::Look;
use remsync::rules::settle::ask_again;
use remsync::rules::visit::{
    Answer, Answered, Hands, Put, Receipt, Source, Visit, answer, reconsider, visit,
};

use super::*;

/// A tree in memory: no file has another's name as its folder.
#[derive(Default)]
struct Tree {
    files: BTreeMap<TreePath, Content>,
    /// Where every path lies.
    place: Place,
    /// Whether the disk is full.
    is_full: bool,
}

impl Tree {
    fn of(files: &[(&str, u8)]) -> Tree {
        let files = files.iter().map(|(name, letter)| (path(name), content(*letter))).collect();
        Tree { files, ..Tree::default() }
    }

    fn shown(&self) -> String {
        let letter = |content: &Content| match content.signature() {
            Some(Signature::Sha256 { digest, .. }) => char::from(digest[0]),
            _ => '-',
        };
        let files: Vec<String> = self
            .files
            .iter()
            .map(|(path, content)| format!("{path}={}", letter(content)))
            .collect();
        files.join(" ")
    }
}

impl Hands for Tree {
    fn place_of(&mut self, _: &TreePath) -> Place {
        self.place
    }

    fn look(&mut self, path: &TreePath) -> Look {
        match self.files.get(path) {
            Some(content) => Look::Is(*content),
            None if self.files.keys().any(|it| it.is_below(path) || path.is_below(it)) => {
                Look::Barred
            }
            None => Look::Is(Content::Absent),
        }
    }

    fn put(&mut self, path: &TreePath, version: &Version, from: Source, expected: Content) -> Put {
        match self.look(path) {
            Look::Is(there) if there != expected => return Put::Changed,
            Look::Is(_) => {}
            Look::Barred | Look::NotKnown(_) => return Put::InTheWay,
        }
        if self.is_full {
            return Put::Failed("no space".into());
        }
        match version.content {
            Content::Absent => drop(self.files.remove(path)),
            Content::File(_) if from.member.is_none() => return Put::Gone,
            content => drop(self.files.insert(path.clone(), content)),
        }
        Put::Done
    }
}

fn path(name: &str) -> TreePath {
    TreePath::new(name.as_bytes()).unwrap()
}

/// Rows as they are here, and as `f=2a: 1b` prints them.
fn rows(texts: &[(&str, &str)]) -> Knowledge {
    let mut knowledge = Knowledge::new(1);
    knowledge.rows.extend(texts.iter().map(|(name, text)| (path(name), row(text, 1))));
    knowledge
}

fn rows_shown(knowledge: &Knowledge) -> Vec<String> {
    let rows = knowledge.rows.iter();
    rows.map(|(path, row)| format!("{path}={}", shown(&row.version, &row.history))).collect()
}

/// A package comes whose rows carry what they tell.
fn arrives(
    knowledge: &mut Knowledge,
    tree: &mut Tree,
    told: &[(&str, &str)],
    deletions: Deletions,
) -> Receipt {
    let mut orders = orders(10, None, None, told);
    for (row, number) in orders.rows.iter_mut().zip(1..) {
        let expected = Belief::Unknown;
        row.act = match row.version.content {
            Content::Absent => Act::Remove { expected },
            Content::File(_) => Act::Update { expected, member: number },
        };
    }
    let route = route(&orders, &identity("a@x", "b@x")).unwrap();
    let it = Visit { orders: &orders, route: &route, package: [9; 32], deletions, now_ms: 1_000 };
    visit(knowledge, tree, &it)
}

#[test]
fn a_file_and_a_folder_make_way_for_each_other() {
    type Case<'a> =
        (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, u8)], &'a [(&'a str, &'a str)]);
    type Line<'a> = (Case<'a>, &'a str, &'a [&'a str], &'a [(&'a str, Why)]);
    let table: [Line; 7] = [
        (
            (
                "removes go before updates",
                &[("f", "1a")],
                &[("f", A)],
                &[("f", "2-: 1a"), ("f/x", "1b")],
            ),
            "f/x=b",
            &["f=2-: 1a", "f/x=1b:"],
            &[],
        ),
        (
            (
                "the deepest first",
                &[("f/x", "1a"), ("f/y/z", "1a")],
                &[("f/x", A), ("f/y/z", A)],
                &[("f", "1b"), ("f/x", "2-: 1a"), ("f/y/z", "2-: 1a")],
            ),
            "f=b",
            &["f=1b:", "f/x=2-: 1a", "f/y/z=2-: 1a"],
            &[],
        ),
        (
            ("a file in the way", &[("f", "1a")], &[("f", A)], &[("f/x", "1b")]),
            "f=a",
            &["f=1a:"],
            &[("f/x", Why::InTheWay)],
        ),
        (
            ("a folder in the way", &[("f", "1a")], &[("f/x", B)], &[("f", "2c: 1a")]),
            "f/x=b",
            &["f=1a:"],
            &[("f", Why::InTheWay)],
        ),
        (
            ("what was moved away is gone", &[("f", "1a")], &[], &[("f/x", "1b")]),
            "f/x=b",
            &["f=2-: 1a", "f/x=1b:"],
            &[],
        ),
        (
            (
                "and so is what was below, and that alone",
                &[("f-", "1a"), ("f/x", "1a"), ("f/y/z", "1a"), ("f0", "1a")],
                &[("f-", A), ("f0", A)],
                &[("f", "1b")],
            ),
            "f=b f-=a f0=a",
            &["f=1b:", "f-=1a:", "f/x=2-: 1a", "f/y/z=2-: 1a", "f0=1a:"],
            &[],
        ),
        (
            (
                "a deletion finds nothing to remove",
                &[("f", "1a")],
                &[("f/x", B)],
                &[("f", "2-: 1a")],
            ),
            "f/x=b",
            &["f=2-: 1a"],
            &[],
        ),
    ];
    for ((name, here, files, told), tree_after, rows_after, asked) in table {
        let (mut knowledge, mut tree) = (rows(here), Tree::of(files));
        let receipt = arrives(&mut knowledge, &mut tree, told, Deletions::Apply);
        assert_eq!(tree.shown(), tree_after, "{name}");
        assert_eq!(rows_shown(&knowledge), rows_after, "{name}");
        let asked: Vec<_> = asked.iter().map(|(name, why)| (path(name), *why)).collect();
        assert_eq!(receipt.questions, asked, "{name}");
        let before = rows(here).rows;
        let is_as_before = |path: &TreePath| before.get(path) == knowledge.rows.get(path);
        let untold = |path: &&TreePath| !is_as_before(path) && !receipt.touched.contains(*path);
        assert_eq!(knowledge.rows.keys().find(untold), None, "{name}: it is made durable");
    }
    // What is no file is no deletion that waits for a word.
    let (mut knowledge, mut tree) = (rows(&[("f", "1a")]), Tree::of(&[("f/x", B)]));
    let receipt = arrives(&mut knowledge, &mut tree, &[("f", "2-: 1a")], Deletions::Ask);
    assert!(receipt.questions.is_empty());
}

/// A row of a package without its contents.
fn is_told(knowledge: &mut Knowledge, tree: &mut Tree, told: &[(&str, &str)]) -> Receipt {
    let orders = orders(10, None, None, told);
    let route = route(&orders, &identity("a@x", "b@x")).unwrap();
    let deletions = Deletions::Ask;
    visit(
        knowledge,
        tree,
        &Visit { orders: &orders, route: &route, package: [9; 32], deletions, now_ms: 1 },
    )
}

/// What a package does to a file that is here, and to the questions on it.
#[test]
fn a_row_that_arrives_or_is_told_is_settled_or_a_question() {
    type Act = fn(&mut Knowledge, &mut Tree, &[(&str, &str)]) -> Receipt;
    let comes: Act = |knowledge, tree, told| arrives(knowledge, tree, told, Deletions::Ask);
    // Name, here, open question, how and what arrives, then the row and the questions.
    type Case<'a> = (&'a str, &'a str, Option<&'a str>, Act, &'a str, &'a str, &'a [&'a str]);
    let table: [Case; 13] = [
        ("replaced", "1a", None, comes, "2b: 1a", "2b: 1a", &[]),
        ("asked", "2a: 1o", None, comes, "2b: 1o", "2a: 1o", &["2b: 1o"]),
        ("a deletion waits", "1a", None, comes, "2-: 1a", "1a:", &["2-: 1a"]),
        ("what is told as deleted does too", "1a", None, is_told, "2-: 1a", "1a:", &["2-: 1a"]),
        ("what is only told waits for its contents", "1a", None, is_told, "2b: 1a", "1a:", &[]),
        ("the same is joined", "2a: 1o", None, is_told, "3a: 2c", "3a: 1o 2a 2c", &[]),
        ("an ancestor is joined", "3a: 1o 2c", None, is_told, "2c: 1e", "3a: 1e 1o 2c", &[]),
        (
            "what covers a question",
            "2a: 1o",
            Some("2b: 1o"),
            comes,
            "3c: 1o 2a 2b",
            "3c: 1o 2a 2b",
            &[],
        ),
        (
            "a newer version",
            "2a: 1o",
            Some("2b: 1o 1e"),
            comes,
            "3c: 2b",
            "2a: 1o",
            &["3c: 1e 1o 2b"],
        ),
        (
            "a newer version of what is here",
            "2a: 1o",
            Some("1a"),
            comes,
            "2c: 1a",
            "2a: 1a 1o",
            &["2c: 1a"],
        ),
        ("an older one", "2a: 1o", Some("3c: 2b"), comes, "2b: 1e", "2a: 1o", &["3c: 1e 2b"]),
        (
            "told of what waits",
            "2a: 1o",
            Some("2b: 1o"),
            is_told,
            "2b: 1e",
            "2a: 1o",
            &["2b: 1e 1o"],
        ),
        (
            "told that it was chosen",
            "2a: 1o",
            Some("2b: 1o"),
            is_told,
            "2b: 1o 2a",
            "2b: 1o 2a",
            &[],
        ),
    ];
    for (name, here, open, act, arrived, row, questions) in table {
        let letter = lineage(here).0.content.signature().map(|_| here.as_bytes()[1]).unwrap();
        let (mut knowledge, mut tree) = (rows(&[("f", here)]), Tree::of(&[("f", letter)]));
        if let Some(open) = open {
            ask(&mut knowledge, question(open, 1));
        }
        act(&mut knowledge, &mut tree, &[("f", arrived)]);
        assert_eq!(rows_shown(&knowledge), [format!("f={row}")], "{name}");
        let shown: Vec<String> =
            knowledge.questions.iter().map(|open| shown(&open.version, &open.history)).collect();
        assert_eq!(shown, questions, "{name}");
        let there = knowledge.rows[&f()].version.content;
        assert_eq!(tree.files[&f()], there, "{name}");
    }
}

/// A person put there by hand what an open question is about, and then a newer version comes.
#[test]
fn what_a_question_is_about_is_seen_where_it_lies() {
    for (arrived, row, questions) in [("2c: 1a", "2c: 1a 1o", 0), ("2c: 1b", "1a: 1o", 1)] {
        let (mut knowledge, mut tree) = (rows(&[("f", "1o")]), Tree::of(&[("f", A)]));
        ask(&mut knowledge, question("1a", 1));
        arrives(&mut knowledge, &mut tree, &[("f", arrived)], Deletions::Ask);
        assert_eq!(rows_shown(&knowledge), [format!("f={row}")], "{arrived}");
        assert_eq!(knowledge.questions.len(), questions, "{arrived}");
    }
}

/// A scan is no other: an answer that was killed may have put it there.
#[test]
fn what_a_question_is_about_is_found_by_a_scan() {
    for (here, row) in [("1o", "1a: 1o"), ("2o: 1a", "3a: 1a 2o")] {
        let mut knowledge = knowing(here);
        ask(&mut knowledge, question("1a", 1));
        assert!(observe(&mut knowledge, &f(), content(A), 1));
        assert_eq!(rows_shown(&knowledge), [format!("f={row}")], "{here}");
    }
}

/// What lies where a killed run put it is what arrives; what a person brought back is news.
#[test]
fn old_contents_that_a_person_wrote_again_do_not_give_way() {
    for (here, arrived, row) in [
        ("2a: 1o", "3b: 1o 2a", "3b: 1o 2a"),
        ("1a", "1b", "2b: 1a 1b"),
        ("2a: 1o", "2b: 1o", "3b: 1o 2a 2b"),
    ] {
        let (mut knowledge, mut tree) = (rows(&[("f", here)]), Tree::of(&[("f", B)]));
        arrives(&mut knowledge, &mut tree, &[("f", arrived)], Deletions::Ask);
        assert_eq!(rows_shown(&knowledge), [format!("f={row}")], "{here}");
    }
}

/// A person wrote what a question is about, a newer version came over that, and the run was killed.
#[test]
fn what_came_over_a_question_is_what_arrives() {
    let (mut knowledge, mut tree) = (rows(&[("f", "2a: 1o")]), Tree::of(&[("f", B)]));
    ask(&mut knowledge, question("1e", 1));
    arrives(&mut knowledge, &mut tree, &[("f", "2b: 1e")], Deletions::Ask);
    assert_eq!(rows_shown(&knowledge), ["f=2b: 1e 1o 2a"]);
    assert!(knowledge.questions.is_empty());
}

/// A processing was killed after it wrote down what it was about to put in place: how far it came is
/// told by the tree.
#[test]
fn what_was_about_to_come_is_known_by_what_lies_there() {
    // Name, here, what was to come, what lies there, then the row and whether it changed.
    type Case<'a> = (&'a str, Option<&'a str>, &'a str, Option<u8>, Option<&'a str>, bool);
    let table: [Case; 13] = [
        ("it came", Some("1a"), "3b: 1a 2c", Some(B), Some("3b: 1a 2c"), true),
        ("it was not reached", Some("1a"), "3b: 1a 2c", Some(A), Some("1a:"), false),
        ("another wrote since", Some("1a"), "3b: 1a 2c", Some(b'z'), Some("1a:"), false),
        ("a deletion came", Some("1a"), "3-: 1a 2c", None, Some("3-: 1a 2c"), true),
        ("a deletion was not reached", Some("1a"), "2-: 1a", Some(A), Some("1a:"), false),
        ("removed since", Some("1a"), "2b: 1a", None, Some("1a:"), false),
        ("a new file came", None, "3b: 2c", Some(B), Some("3b: 2c"), true),
        ("a new file did not", None, "3b: 2c", None, None, false),
        ("nor its deletion", None, "3-: 2c", None, None, false),
        // It would have been asked about: who wrote the same is for the next scan.
        ("a person's own", Some("2a: 1o"), "2b: 1o", Some(B), Some("2a: 1o"), false),
        ("it is believed by now", Some("3b: 1a"), "3b: 1a", Some(B), Some("3b: 1a"), false),
        ("left since", Some("4a: 3b"), "3b: 1o", Some(B), Some("4a: 3b"), false),
        ("a bit", Some("1b"), "2B: 1b", Some(b'B'), Some("2B: 1b"), true),
    ];
    for (name, here, told, there, row, is_new) in table {
        let here: Vec<(&str, &str)> = here.map(|text| ("f", text)).into_iter().collect();
        let there: Vec<(&str, u8)> = there.map(|letter| ("f", letter)).into_iter().collect();
        let (mut knowledge, mut tree) = (rows(&here), Tree::of(&there));
        let (version, history) = lineage(told);
        let to_come = create(Lineage::new(&version, &history), 0, 0, 0);
        let mut intent = Intent::from([(f(), to_come)]);
        let touched = recognise(&mut knowledge, &mut tree, &mut intent, 1_000);
        let row: Vec<String> = row.map(|row| format!("f={row}")).into_iter().collect();
        assert_eq!(rows_shown(&knowledge), row, "{name}");
        assert_eq!(touched.contains(&f()), is_new, "{name}");
        assert!(intent.is_empty(), "{name}");
        // The next look at the tree finds nothing new in what came.
        if is_new {
            let disk = content(there.first().map_or(b'-', |(_, letter)| *letter));
            assert!(!observe(&mut knowledge, &f(), disk, 1_000), "{name}");
            assert_eq!(knowledge.rows[&f()].cells.len(), 1, "{name}");
        }
    }
}

/// What cannot be looked at now stays intended; where a folder is, nothing came.
#[test]
fn what_was_about_to_come_waits_until_it_can_be_looked_at() {
    struct Veiled(Look);
    impl Hands for Veiled {
        fn place_of(&mut self, _: &TreePath) -> Place {
            Place::Inside
        }
        fn look(&mut self, _: &TreePath) -> Look {
            self.0
        }
        fn put(&mut self, _: &TreePath, _: &Version, _: Source, _: Content) -> Put {
            panic!("it only looks")
        }
    }
    let unreadable = Look::NotKnown(Place::Unreadable);
    for (look, left) in [(unreadable, 1), (Look::Barred, 0), (Look::Is(content(B)), 0)] {
        let mut knowledge = knowing("1a");
        let mut intent = Intent::from([(f(), row("2b: 1a", 0))]);
        let touched = recognise(&mut knowledge, &mut Veiled(look), &mut intent, 1);
        assert_eq!(
            (intent.len(), touched.len()),
            (left, usize::from(look == Look::Is(content(B))))
        );
    }
}

/// What a package may put in place is written down, and nothing else; so is what a person takes.
#[test]
fn what_may_come_is_intended() {
    let here = [("asked", "2a: 1o"), ("gone", "1a"), ("old", "3a: 2b"), ("same", "1b")];
    let told = [
        ("asked", "2b: 1o"),
        ("gone", "2-: 1a"),
        ("new", "1b"),
        ("old", "2b"),
        ("only-told", "1b"),
        ("same", "1b"),
    ];
    let mut orders = orders(10, None, None, &told);
    for row in orders.rows.iter_mut().filter(|row| *row.path.as_bytes() != *b"only-told") {
        row.act = match row.version.content {
            // A deletion needs no contents.
            Content::Absent => Act::Tell,
            Content::File(_) => Act::Update { expected: Belief::Unknown, member: 1 },
        };
    }
    let route = route(&orders, &identity("a@x", "b@x")).unwrap();
    let intent = intended(&rows(&here), &orders, &route);
    let intended: Vec<String> = intent
        .iter()
        .map(|(path, row)| format!("{path}={}", shown(&row.version, &row.history)))
        .collect();
    assert_eq!(intended, ["asked=2b: 1o", "gone=2-: 1a", "new=1b:"]);

    let knowledge = knowing("2a: 1o");
    let taken = question("2b: 1o", 1);
    let intent = chosen(&knowledge, std::iter::once(&taken));
    let row = &intent[&f()];
    assert_eq!(shown(&row.version, &row.history), "2b: 1o 2a");
    let nothing = chosen(&Knowledge::new(1), std::iter::once(&taken));
    assert_eq!(shown(&nothing[&f()].version, &nothing[&f()].history), "2b: 1o");
}

/// A file that is written while it would be replaced, and what else is asked about it.
#[test]
fn what_changed_under_our_hands_is_judged_by_nothing_older() {
    struct Writing(Tree);
    impl Hands for Writing {
        fn place_of(&mut self, path: &TreePath) -> Place {
            self.0.place_of(path)
        }
        fn look(&mut self, path: &TreePath) -> Look {
            self.0.look(path)
        }
        fn put(&mut self, path: &TreePath, _: &Version, _: Source, _: Content) -> Put {
            self.0.files.insert(path.clone(), content(b'e'));
            Put::Changed
        }
    }
    let mut knowledge = Knowledge::new(1);
    ask(&mut knowledge, Question { why: Why::OutsideScan, ..question("1a", 1) });
    ask(&mut knowledge, Question { why: Why::OutsideScan, ..question("2-: 1b", 2) });
    let mut tree = Writing(Tree::of(&[]));
    reconsider(&mut knowledge, &mut tree, Deletions::Apply, 1);
    reconsider(&mut knowledge, &mut tree, Deletions::Apply, 1);
    assert_eq!(rows_shown(&knowledge), ["f=1e:"], "it was not written over that deletion");
    assert_eq!(knowledge.questions.len(), 2);
}

#[test]
fn a_package_that_could_not_be_applied_is_not_taken_in() {
    for is_full in [true, false] {
        let (mut knowledge, mut tree) = (rows(&[("f", "1a")]), Tree::of(&[("f", A)]));
        tree.is_full = is_full;
        let receipt = arrives(&mut knowledge, &mut tree, &[("f", "2b: 1a")], Deletions::Ask);
        assert_eq!((receipt.failed.len(), receipt.taken.is_none()), (is_full.into(), is_full));
        assert_eq!(knowledge.remotes[0].taken, if is_full { 0 } else { 10 });
        assert_eq!(
            knowledge.rows[&f()].cells[0].word.is_none(),
            is_full,
            "nothing is learnt of it"
        );
        assert_eq!(knowledge.remotes[0].received.is_empty(), is_full, "and it may come again");
    }
}

#[test]
fn a_braked_package_deletes_nothing_unasked() {
    let names: Vec<String> = (0..10).map(|n| format!("f{n}")).collect();
    let all = |text| names.iter().map(|name| (name.as_str(), text)).collect::<Vec<_>>();
    let files: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), A)).collect();
    for (many, why) in [(10, Some(Why::ManyDeletions)), (9, None)] {
        let (mut knowledge, mut tree) = (rows(&all("1a")), Tree::of(&files));
        let told = &all("2-: 1a")[..many];
        let receipt = arrives(&mut knowledge, &mut tree, told, Deletions::Apply);
        assert_eq!(tree.files.len(), if why.is_some() { 10 } else { 1 }, "{many}");
        assert!(receipt.questions.iter().all(|(_, asked)| Some(*asked) == why), "{many}");
        assert!(knowledge.questions.iter().all(|open| Some(open.why) == why), "{many}");
    }
}

/// Other questions on a file are judged when one is answered, and all of them by every run.
#[test]
fn open_questions_are_judged_anew() {
    let both = |tree: &Tree| {
        let mut knowledge = rows(&[("f", "2a: 1o")]);
        ask(&mut knowledge, question("2b: 1o", 1));
        ask(&mut knowledge, question("3c: 1o 2e", 2));
        (knowledge, tree.files.clone())
    };
    let tree = Tree::of(&[("f", A)]);
    // The one taken is over the other.
    let (mut knowledge, files) = both(&tree);
    let mut tree = Tree { files, ..Tree::default() };
    for open in &mut knowledge.questions {
        if open.package == [2; 32] {
            open.history.insert(version("2b").ancestor());
        }
    }
    let taken = knowledge.questions.iter().find(|open| open.package == [2; 32]).unwrap().clone();
    let given = Answer {
        question: &taken,
        choice: Choice::Take,
        shown: Some(version("2a")),
        deletions: Deletions::Ask,
        now_ms: 1,
    };
    let answered = answer(&mut knowledge, &mut tree, &given, &mut Receipt::default());
    assert_eq!((answered, knowledge.questions.len()), (Answered::Done, 0));
    // The way is free, and a person put there by hand what was asked about.
    for (name, files, after, row) in [
        ("the way is free", Tree::of(&[]), "f=b", "f=2b: 1a"),
        ("it is there already", Tree::of(&[("f", B)]), "f=b", "f=2b: 1a"),
        ("the way is not free", Tree::of(&[("f/x", A)]), "f/x=a", "f=1a:"),
    ] {
        let mut knowledge = rows(&[("f", "1a")]);
        let why = Why::InTheWay;
        ask(&mut knowledge, Question { why, ..question("2b: 1a", 1) });
        let mut tree = files;
        if name == "the way is free" {
            knowledge.rows.clear();
        }
        reconsider(&mut knowledge, &mut tree, Deletions::Ask, 1);
        assert_eq!(tree.shown(), after, "{name}");
        assert_eq!(rows_shown(&knowledge), [row], "{name}");
        assert_eq!(knowledge.questions.is_empty(), after == "f=b", "{name}");
    }
    // What is here already is joined before it gives way: what it descends from goes along.
    let mut knowledge = rows(&[("f", "1a")]);
    ask(&mut knowledge, question("2b: 1a", 1));
    ask(&mut knowledge, question("3a: 2c", 2));
    let mut tree = Tree::of(&[("f", A)]);
    reconsider(&mut knowledge, &mut tree, Deletions::Ask, 1);
    assert_eq!((rows_shown(&knowledge), tree.shown()), (vec!["f=3a: 1a 2c".into()], "f=a".into()));
    assert_eq!(knowledge.questions.len(), 1, "the other version was not written over that");
    // What could come silently now, and whose package is gone, is asked for again.
    let mut knowledge = rows(&[("f", "1a")]);
    ask(&mut knowledge, Question { member: None, ..question("2b: 1a", 1) });
    reconsider(&mut knowledge, &mut Tree::of(&[("f", A)]), Deletions::Ask, 1);
    let word = knowledge.rows[&f()].cells[0].word.as_ref().map(|word| word.version);
    assert_eq!(word, Some(version("2b")));
}

/// What comes where nothing is any more takes nothing from anybody; all else is shown again.
#[test]
fn what_was_deleted_since_it_was_shown_may_be_taken() {
    for (choice, there, expected) in [
        (Choice::Take, None, Answered::Done),
        (Choice::Keep, None, Answered::ChangedMeanwhile),
        (Choice::Take, Some(b'e'), Answered::ChangedMeanwhile),
    ] {
        let mut knowledge = rows(&[("f", "2a: 1o")]);
        ask(&mut knowledge, question("2b: 1o", 1));
        let mut tree = Tree::of(&there.map(|letter| ("f", letter)).into_iter().collect::<Vec<_>>());
        let question = question("2b: 1o", 1);
        let shown = Some(version("2a"));
        let given =
            Answer { question: &question, choice, shown, deletions: Deletions::Ask, now_ms: 1 };
        let answered = answer(&mut knowledge, &mut tree, &given, &mut Receipt::default());
        assert_eq!(answered, expected, "{choice:?} {there:?}");
    }
}

/// A place that a person chose says more than what stands in the way there.
#[test]
fn where_a_path_lies_is_the_reason_that_is_told() {
    let mut tree = Tree { place: Place::Ignored, ..Tree::of(&[("f/x", B)]) };
    let mut knowledge = rows(&[("f", "1a")]);
    let receipt = arrives(&mut knowledge, &mut tree, &[("f", "2b: 1a")], Deletions::Ask);
    assert_eq!(receipt.questions, [(f(), Why::Ignored)]);
}

#[test]
fn what_an_inventory_takes_back_is_made_durable() {
    let mut knowledge = rows(&[("f", "1a")]);
    is_told(&mut knowledge, &mut Tree::of(&[("f", A)]), &[("f", "1a")]);
    let later = orders(11, None, None, &[]);
    let route = route(&later, &identity("a@x", "b@x")).unwrap();
    let deletions = Deletions::Ask;
    let it = Visit { orders: &later, route: &route, package: [8; 32], deletions, now_ms: 1 };
    let receipt = visit(&mut knowledge, &mut Tree::of(&[("f", A)]), &it);
    assert_eq!(knowledge.rows[&f()].cells[0].word, None);
    assert_eq!(receipt.touched, [f()].into());
}

#[test]
fn a_tombstone_s_year_begins_when_the_file_goes() {
    let mut knowledge = knowing("1a");
    let deleted = |knowledge: &Knowledge| knowledge.rows[&f()].deleted_ms;
    observe(&mut knowledge, &f(), Content::Absent, 50);
    assert_eq!(deleted(&knowledge), 50);
    let other = lineage("3-: 1e");
    settle(&mut knowledge, &f(), Lineage::new(&other.0, &other.1), Settled::Stays, 90);
    assert_eq!(deleted(&knowledge), 50, "it is no other deletion");
    observe(&mut knowledge, &f(), content(B), 100);
    assert_eq!(deleted(&knowledge), 0);
    observe(&mut knowledge, &f(), Content::Absent, 120);
    assert_eq!(deleted(&knowledge), 120);
}

#[test]
fn what_is_in_the_way_is_kept_and_nothing_is_taken_over_it() {
    let (mut knowledge, mut tree) = (rows(&[("f", "1a")]), Tree::of(&[("f/x", B)]));
    arrives(&mut knowledge, &mut tree, &[("f", "2c: 1a")], Deletions::Apply);
    let question = knowledge.questions.first().unwrap().clone();
    let shown = Some(version("1a"));
    let given = |choice| Answer {
        question: &question,
        choice,
        shown,
        deletions: Deletions::Apply,
        now_ms: 1,
    };
    let mut receipt = Receipt::default();
    let taken = answer(&mut knowledge, &mut tree, &given(Choice::Take), &mut receipt);
    assert_eq!((taken, knowledge.questions.len()), (Answered::InTheWay, 1));
    let mut late = knowledge.clone();
    let other = Answer { shown: Some(version("5e")), ..given(Choice::Keep) };
    let kept = answer(&mut late, &mut tree, &other, &mut receipt);
    assert_eq!(kept, Answered::ChangedMeanwhile, "it was another file that was shown");
    let kept = answer(&mut knowledge, &mut tree, &given(Choice::Keep), &mut receipt);
    assert_eq!((kept, knowledge.questions.len()), (Answered::Done, 0));
    assert_eq!(rows_shown(&knowledge), ["f=3-: 1a 2c"], "a person says that it is deleted");
    assert_eq!(tree.shown(), "f/x=b");
}

#[test]
fn contents_that_are_gone_are_wanted_again() {
    let everybody = |now_ms| Request { named: Named::Everybody, ..by_name(now_ms) };
    let wants = |knowledge: &Knowledge| {
        plan(knowledge, 0, &everybody(300), &|_| false).map_or(Vec::new(), |it| it.wants)
    };
    let word = |text: &str, serial| {
        let (version, history) = lineage(text);
        Some(Word { version, history, serial })
    };
    for (name, here, known, learnt) in [
        ("by its own word", Some("2b: 1o"), word("2a: 1o", 10), word("2a: 1o", 10)),
        ("by a newer word", Some("2b: 1o"), word("3c: 1o 2a", 11), word("3c: 1o 2a", 11)),
        ("no word is left", Some("2b: 1o"), None, word("2a: 1o", 0)),
        ("no row", None, None, word("2a: 1o", 0)),
    ] {
        let mut knowledge = here.map_or(Knowledge::new(1), knowing);
        if let Some(row) = knowledge.rows.get_mut(&f()) {
            row.cells[0] = Cell { word: known, asked_ms: 200, ..Cell::default() };
        }
        let question = question("2a: 1o", 1);
        ask(&mut knowledge, question.clone());
        let is_newer = name == "by a newer word";
        assert_eq!(wants(&knowledge).is_empty(), !is_newer, "{name}: it is here");
        ask_again(&mut knowledge, &question);
        assert_eq!(wants(&knowledge), [f()], "{name}");
        let rows = knowledge.rows.values().map(|row| &row.cells);
        let cells = rows.chain(knowledge.lacking.values()).next().unwrap();
        assert_eq!(cells[0].word, learnt, "{name}");
        let open = knowledge.questions.first().unwrap();
        assert!(open.lacks_contents() && open.why == question.why, "{name}");
        // What a person would take is not there; what comes, comes to the open question.
        let mut tree = Tree::of(&[("f", B)]);
        let given = Answer {
            question: &open.clone(),
            choice: Choice::Take,
            shown: here.map(|text| lineage(text).0),
            deletions: Deletions::Ask,
            now_ms: 1,
        };
        let mut again = knowledge.clone();
        let taken = answer(&mut again, &mut tree, &given, &mut Receipt::default());
        assert_eq!(taken, if here.is_some() { Answered::Gone } else { Answered::ChangedMeanwhile });
        assert!(!ask(&mut knowledge, question_of(2)), "{name}: it is listed");
        let open: Vec<_> = knowledge.questions.iter().map(|q| (q.package, q.member)).collect();
        assert_eq!(open, [([2; 32], Some(1))], "{name}");
        // What is here is not taken from another package.
        assert!(!ask(&mut knowledge, question_of(3)), "{name}");
        assert_eq!(knowledge.questions.first().unwrap().package, [2; 32], "{name}");
    }
}

fn question_of(package: u8) -> Question {
    question("2a: 1o", package)
}
