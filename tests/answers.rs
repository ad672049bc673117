//! Every question can be answered in the end, and then the trees are one: where something is in the
//! way, and where the package that a question is about is gone. With the built programs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use support::{Home, World, questions, settle};

const FORMATS: [&str; 2] = ["2.0", "1.3"];

type Files = BTreeMap<String, String>;

/// Two trees of one project, in step, with these files.
fn in_step(world: &World, format: &str, names: &[&str]) -> (Home, Home) {
    let (a, b) = world.pair_in(format);
    for name in names.iter().chain(&["other"]) {
        a.write(name, format!("{name}, as it was\n"));
    }
    settle(&[&a, &b]);
    assert_eq!(a.files(), b.files());
    (a, b)
}

/// Takes a name away from where it is, with all that is below it, and leaves nothing there.
fn move_away(home: &Home, from: &str, to: &str) {
    fs::rename(home.tree.join(from), home.tree.join(to)).unwrap();
}

/// Answers what is asked; returns what was said.
fn resolve(home: &Home, question: &str, answer: &str) -> String {
    let ran = home.run(&["resolve", question, answer]);
    assert!(ran.status() <= 1, "{}", ran.story());
    ran.stderr()
}

/// The names in a tree, with their first words.
fn shown(home: &Home) -> Files {
    let first = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.split(',').next().unwrap_or_default().trim().to_owned()
    };
    let files = home.files().into_iter();
    files.map(|(name, value)| (name.into_string().unwrap(), first(&value.bytes))).collect()
}

fn expect(names: &[(&str, &str)]) -> Files {
    let names = names.iter().chain(&[("other", "other")]);
    names.map(|(name, first)| ((*name).to_owned(), (*first).to_owned())).collect()
}

/// What people do, and what both trees hold then.
type Way = (&'static str, fn(&Home, &Home), &'static [(&'static str, &'static str)]);

/// The first site made `f` a folder, and the second changed the file.
fn ways_of_a_file() -> Vec<Way> {
    vec![
        (
            "the folder stays",
            |a, b| {
                resolve(a, "f", "keep");
                settle(&[a, b]);
                assert_eq!(shown(b)["f"], "of b", "a deletion waits for a word");
                resolve(b, "f", "take");
            },
            &[("f/x", "of a")],
        ),
        (
            "the file makes way where it was changed",
            |a, b| {
                let said = resolve(b, "f/x", "take");
                assert!(said.contains("f is no folder."), "{said}");
                assert!(said.contains("hint: move \"f\" away and answer again"), "{said}");
                move_away(b, "f", "g");
                resolve(b, "f/x", "take");
                settle(&[a, b]);
            },
            &[("f/x", "of a"), ("g", "of b")],
        ),
        (
            "the folder makes way",
            |a, _| {
                let said = resolve(a, "f", "take");
                assert!(said.contains("what is here is a folder, not a file."), "{said}");
                assert!(said.contains("hint: move \"f\" away and answer again"), "{said}");
                move_away(a, "f", "g");
                resolve(a, "f", "take");
            },
            &[("f", "of b"), ("g/x", "of a")],
        ),
        (
            "both stay",
            |a, b| {
                let said = resolve(b, "f/x", "both");
                assert!(said.contains("f is no folder."), "{said}");
                resolve(a, "f", "both");
                settle(&[a, b]);
                resolve(b, "f", "take");
            },
            &[("f/x", "of a"), ("f.from-b@b.example", "of b")],
        ),
    ]
}

/// The first site made the folder `f` a file, and the second changed `f/x`.
fn ways_of_a_folder() -> Vec<Way> {
    vec![
        (
            "the folder makes way where it was changed",
            |a, b| {
                let said = resolve(b, "f", "take");
                assert!(said.contains("what is here is a folder, not a file."), "{said}");
                move_away(b, "f", "g");
                resolve(b, "f", "take");
                settle(&[a, b]);
            },
            &[("f", "of a"), ("g/x", "of b"), ("g/y", "f/y")],
        ),
        (
            "the file makes way",
            |a, b| {
                let said = resolve(a, "f/x", "take");
                assert!(said.contains("f is no folder."), "{said}");
                move_away(a, "f", "g");
                resolve(a, "f/x", "take");
                settle(&[a, b]);
                resolve(b, "f/y", "take");
            },
            &[("f/x", "of b"), ("g", "of a")],
        ),
    ]
}

#[test]
fn what_is_in_the_way_is_asked_about_and_every_answer_makes_the_trees_one() {
    for format in FORMATS {
        for (is_folder, ways) in [(false, ways_of_a_file()), (true, ways_of_a_folder())] {
            for (name, answer, expected) in ways {
                let case = format!("{format}, {name}");
                let world = World::in_memory();
                let names: &[&str] = if is_folder { &["f/x", "f/y"] } else { &["f"] };
                let (a, b) = in_step(&world, format, names);
                if is_folder {
                    fs::remove_dir_all(a.tree.join("f")).unwrap();
                    a.write("f", "of a, a file\n");
                    b.write("f/x", "of b, edited\n");
                } else {
                    a.remove("f");
                    a.write("f/x", "of a, in a folder\n");
                    b.write("f", "of b, edited\n");
                }
                let before = (a.files(), b.files());
                settle(&[&a, &b]);
                assert_eq!((a.files(), b.files()), before, "{case}: nothing is lost");
                let asked = if is_folder { ["f/x", "f"] } else { ["f", "f/x"] };
                assert_eq!([questions(&a), questions(&b)], asked.map(|q| vec![q.to_owned()]));
                for home in [&a, &b] {
                    let told = home.run(&["pending"]).with(1);
                    assert!(told.contains("something else is in the way"), "{case}: {told}");
                }
                answer(&a, &b);
                settle(&[&a, &b]);
                for home in [&a, &b] {
                    let left = questions(home);
                    assert!(left.is_empty(), "{case}: {} is asked {left:?}", home.address);
                    let expected = expect(expected);
                    assert_eq!(shown(home), expected, "{case}: {}", home.address);
                    let said = home.run(&["broadcast"]);
                    assert!(!said.stderr().contains("not known"), "{case}: {}", said.story());
                }
            }
        }
    }
}

/// A way in which the package of an open question is lost, and what it is called.
type Loss = (&'static str, fn(&Home));

fn losses() -> Vec<Loss> {
    vec![
        ("the project's own folder is restored from a backup", |home| {
            let (own, backup) = (home.tree.join(".remsync.d"), home.top.join("backup"));
            let copied = Command::new("cp").arg("-a").args([&own, &backup]).status();
            assert!(copied.unwrap().success());
            home.run(&["resolve", "f", "keep"]).done();
            fs::remove_dir_all(&own).unwrap();
            fs::rename(backup, own).unwrap();
        }),
        ("the queue is gone", |home| {
            fs::remove_dir_all(home.top.join(".local/state/remsync/queue")).unwrap();
        }),
    ]
}

#[test]
fn what_a_question_is_about_comes_again_where_its_package_is_gone() {
    for format in FORMATS {
        for (loss, lose) in losses() {
            for answer in ["take", "both", "merge"] {
                let case = format!("{format}, {loss}, {answer}");
                let world = World::in_memory();
                let (a, b) = in_step(&world, format, &["f"]);
                a.write("f", "of a, edited\n");
                b.write("f", "of b, edited\n");
                a.run(&["broadcast"]).done();
                assert_eq!(b.receive(), 1);
                lose(&b);
                assert_eq!(questions(&b), ["f"], "{case}");
                let said = resolve(&b, "f", answer);
                assert!(said.contains("f: its package is not in the queue any more."), "{said}");
                assert_eq!(questions(&b), ["f"], "{case}: it waits");
                assert_eq!(b.text("f"), "of b, edited\n", "{case}");
                if format == "1.3" {
                    assert!(said.contains("\"remsync -i broadcast a@a.example\" tells"), "{said}");
                    b.run(&["-i", "broadcast", "a@a.example"]).done();
                    a.receive();
                    a.run(&["broadcast"]).done();
                    b.receive();
                } else {
                    assert!(said.contains("\"remsync broadcast\" asks a@a.example"), "{said}");
                    let told = b.run(&["pending"]).with(1);
                    assert!(told.contains("gone, and asked for again"), "{case}: {told}");
                    b.run(&["broadcast"]).done();
                    a.receive();
                    a.run(&["broadcast"]).done();
                    b.receive();
                    assert_eq!(questions(&b), ["f"], "{case}: once");
                    let told = b.run(&["pending"]).with(1);
                    assert!(told.contains("there: 13 bytes"), "{case}: {told}");
                    b.run(&["resolve", "f", "take"]).done();
                }
                settle(&[&a, &b]);
                assert_eq!(questions(&b), [""; 0], "{case}");
                assert_eq!(b.text("f"), "of a, edited\n", "{case}");
                assert_eq!(a.files(), b.files(), "{case}");
            }
        }
    }
}
