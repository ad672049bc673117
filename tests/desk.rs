//! What a person does with what waits, and with what was done: `pending`, `diff`, `resolve`, `log`,
//! `undo`, `restore`, with the built programs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use support::{Home, ODD_NAMES, REMSYNC, World, questions, settle, start};

const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

/// Two homes that both edited `path` since they agreed on `base`; b has a's edit as a question.
fn conflict(path: &str, base: &str, ours: &str, theirs: &str) -> (World, Home, Home) {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write(path, base);
    start(&[&a, &b]);
    a.write(path, theirs);
    b.write(path, ours);
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    (world, a, b)
}

/// Runs `remsync` at a terminal of its own, with these lines typed; returns what is on the screen.
fn at_a_terminal(home: &Home, environment: &[(&str, &str)], words: &str, typed: &str) -> String {
    let mut command = home.command("script");
    command.args(["-qec", &format!("{REMSYNC} {words}"), "/dev/null"]);
    command.env("PATH", "/usr/bin:/bin").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

// ---- looking

#[test]
fn what_waits_is_told_with_both_sides() {
    let (_world, _a, b) = conflict("f", "one\n", "one of b\nmore\n", "one of a\n");
    let told = b.run(&["pending"]).with(1);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(
        lines[0].starts_with("f: changed here and there (from a@a.example, arrived "),
        "{told}"
    );
    assert!(lines[1].starts_with("  here:  14 bytes, changed "), "{told}");
    assert!(lines[2].starts_with("  there: 9 bytes, changed "), "{told}");
    assert!(lines[2].contains(", lines +1 -2, package "), "{told}");
    let (document, _) = b.json(&["pending"]);
    let question = &document["questions"][0];
    assert_eq!(question["here"]["size"], 14, "{document}");
    assert_eq!(question["there"]["size"], 9, "{document}");
    assert_eq!((&question["added"], &question["removed"]), (&1.into(), &2.into()), "{document}");
    assert_eq!(question["has_base"], true, "{document}");
}

#[test]
fn differences_are_shown() {
    let (_world, _a, b) =
        conflict("f", BASE, "one\ntwo\nthree\nfour\n5\x1b[2J\n", "1\ntwo\nthree\nfour\nfive\n");
    let shown = b.run(&["diff", "f"]).done();
    assert_eq!(
        shown,
        "--- f (here)\n+++ f (from a@a.example)\n@@ -1,5 +1,5 @@\n-one\n+1\n two\n three\n four\n\
         -5\\x1b[2J\n+five\n"
    );
    assert_eq!(b.run(&["diff"]).done(), shown, "without a file, every question");
    let base = b.run(&["diff", "--base", "f"]).done();
    let expected = "--- f (before)\n+++ f (here)\n@@ -2,4 +2,4 @@\n two\n three\n four\n-five\n\
                    +5\\x1b[2J\n--- f (before)\n+++ f (from a@a.example)\n@@ -1,4 +1,4 @@\n-one\n\
                    +1\n two\n three\n four\n";
    assert_eq!(base, expected);
    let (document, _) = b.json(&["diff", "f"]);
    assert!(document[0]["diff"].as_str().unwrap().contains("+five"), "{document}");
    assert_eq!(b.run(&["diff", "g"]).status(), 2);
}

#[test]
fn what_is_no_text_is_told_by_its_size() {
    let (_world, _a, b) = conflict("f", "x", "\0of b\n", "of a\n");
    let shown = b.run(&["diff", "f"]).done();
    assert!(shown.contains("  here:  6 bytes, no text, changed "), "{shown}");
    assert!(shown.contains("  there: 5 bytes, changed "), "{shown}");
    let said = b.run(&["resolve", "f", "merge"]);
    assert_eq!(said.status(), 0, "{}", said.story());
    assert!(said.stderr().contains("f: it is no text: both are kept"), "{}", said.story());
    assert_eq!(b.text("f.from-a@a.example"), "of a\n");
}

// ---- answering

#[test]
fn a_merge_travels_and_nobody_else_is_asked() {
    let world = World::new();
    let homes = ["a", "b", "c"].map(|name| world.home(name));
    let [a, b, c] = &homes;
    a.write("f", BASE);
    start(&[a, b, c]);
    a.write("f", BASE.replace("one", "one of a"));
    b.write("f", BASE.replace("five", "five of b"));
    a.run(&["broadcast"]).done();
    b.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    assert_eq!(c.receive(), 1, "c has both, and is asked about one");
    let both = BASE.replace("one", "one of a").replace("five", "five of b");
    b.run(&["resolve", "f", "merge"]).done();
    assert_eq!(b.text("f"), both);
    settle(&[a, b, c]);
    for home in &homes {
        assert_eq!(home.text("f"), both, "{}", home.address);
        assert_eq!(questions(home), Vec::<String>::new(), "{}", home.address);
    }
}

#[test]
fn what_cannot_be_merged_stays_with_a_hint() {
    let (_world, _a, b) = conflict("f", BASE, "ours\n", "theirs\n");
    let said = b.run(&["resolve", "f", "merge"]);
    assert_eq!(said.status(), 1, "{}", said.story());
    assert!(
        said.stderr().contains("f: both changed the same lines, in 1 place"),
        "{}",
        said.story()
    );
    assert!(said.stderr().contains("hint: see \"remsync diff f\""), "{}", said.story());
    assert_eq!(b.text("f"), "ours\n");
    assert_eq!(questions(&b), ["f"]);
}

#[test]
fn without_the_version_before_a_merge_is_for_a_person() {
    let (_world, _a, b) =
        conflict("f", BASE, &BASE.replace("one", "1"), &BASE.replace("five", "5"));
    fs::remove_dir_all(b.tree.join(".remsync.d/base")).unwrap();
    let said = b.run(&["resolve", "f", "merge"]);
    assert_eq!(said.status(), 1, "{}", said.story());
    assert!(said.stderr().contains("they differ in 2 places"), "{}", said.story());
    assert_eq!(b.run(&["diff", "--base", "f"]).status(), 2);
}

#[test]
fn the_users_own_tool_merges() {
    let (_world, a, b) = conflict("d/f.txt", BASE, "ours\n", "theirs\n");
    let tool = |command: &str| {
        let mut run = b.command(REMSYNC);
        run.args(["resolve", "d/f.txt", "merge"]).env("PATH", "/usr/bin:/bin");
        let output = run.env("REMSYNC_MERGE", command).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = tool("false");
    assert!(status == 1 && said.contains("false did not merge it"), "{said}");
    let (status, said) = tool("true");
    assert!(status == 1 && said.contains("true left no result"), "{said}");
    let (status, said) = tool("no-such-tool %r");
    assert!(status == 1 && said.contains("no-such-tool"), "{said}");
    assert_eq!(b.text("d/f.txt"), "ours\n");
    let (status, said) = tool("sh -c 'cat \"$1\" \"$2\" \"$3\" > \"$4\"; echo $4' sh %o %t %b %r");
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("/.remsync.d/merge/result.txt"), "{said}");
    let joined = format!("ours\ntheirs\n{BASE}");
    assert_eq!(b.text("d/f.txt"), joined);
    assert!(!b.tree.join(".remsync.d/merge").exists());
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 0);
    assert_eq!(a.text("d/f.txt"), joined);
}

#[test]
fn both_stay_and_the_other_one_travels_under_its_own_name() {
    let (_world, a, b) = conflict("d/f.txt", "base\n", "of b\n", "of a\n");
    b.write("d/f.from-a@a.example.txt", "somebody's own\n");
    let said = b.run(&["resolve", "d/f.txt", "both"]);
    assert_eq!(said.status(), 0, "{}", said.story());
    assert!(said.stderr().contains("d/f.from-a@a.example-2.txt"), "{}", said.story());
    assert_eq!(b.text("d/f.txt"), "of b\n");
    assert_eq!(b.text("d/f.from-a@a.example-2.txt"), "of a\n");
    settle(&[&a, &b]);
    assert_eq!(a.files(), b.files());
    assert_eq!(a.text("d/f.from-a@a.example.txt"), "somebody's own\n");
    assert_eq!((questions(&a), questions(&b)), (vec![], vec![]));
}

#[test]
fn many_are_answered_by_a_pattern_by_site_and_all_at_once() {
    let world = World::new();
    let homes = ["a", "b", "c"].map(|name| world.home(name));
    let [a, b, c] = &homes;
    let names = ["x.txt", "d/y.txt", "d/e/z.txt", "d/p.c", "q.c", "only-of-c"];
    names.iter().for_each(|name| a.write(name, "base\n"));
    start(&[a, b, c]);
    for name in names {
        let (with, home) = if name == "only-of-c" { (c, "c") } else { (a, "a") };
        with.write(name, format!("of {home}\n"));
        b.write(name, "of b\n");
    }
    a.run(&["broadcast"]).done();
    c.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    assert_eq!(questions(b).len(), 6);
    b.run(&["resolve", "*.txt", "take"]).with(1);
    assert_eq!(b.text("d/e/z.txt"), "of a\n", "a name matches in every folder");
    assert_eq!(questions(b).len(), 3);
    assert_eq!(b.run(&["resolve", "*.txt", "take"]).status(), 2, "none is left");
    b.run(&["resolve", "d/*", "take"]).with(1);
    assert_eq!(b.text("d/p.c"), "of a\n");
    b.run(&["resolve", "--from", &c.address, "take"]).with(1);
    assert_eq!(b.text("only-of-c"), "of c\n");
    assert_eq!(questions(b), ["q.c"]);
    assert_eq!(b.run(&["resolve", "--from", "nobody@x", "take"]).status(), 2);
    assert_eq!(b.run(&["resolve", "take"]).status(), 2, "nothing is named");
    b.run(&["resolve", "--all", "keep"]).done();
    assert_eq!(b.text("q.c"), "of b\n");
    settle(&[a, b, c]);
    assert!(a.files() == b.files() && b.files() == c.files());
}

#[test]
fn several_versions_of_one_file_have_numbers() {
    let world = World::new();
    let homes = ["a", "b", "c"].map(|name| world.home(name));
    let [a, b, c] = &homes;
    a.write("f", BASE);
    start(&[a, b, c]);
    a.write("f", BASE.replace("one", "of a"));
    b.write("f", BASE.replace("three", "of b"));
    c.write("f", BASE.replace("five", "of c"));
    a.run(&["broadcast", &b.address]).done();
    c.run(&["broadcast", &b.address]).done();
    assert_eq!(b.receive(), 1);
    assert_eq!(questions(b), ["f:1", "f:2"]);
    let told = b.run(&["pending"]).with(1);
    assert!(told.contains("\nf:2: changed here and there (from "), "{told}");
    let first = b.run(&["diff", "f:1"]).done();
    let second = b.run(&["diff", "f:2"]).done();
    assert!(
        first.contains("+++ f:1 (from ") && second.contains("+++ f:2 (from "),
        "{first}{second}"
    );
    let said = b.run(&["resolve", "f", "take"]);
    assert_eq!(said.status(), 2, "{}", said.story());
    assert!(said.stderr().contains("several versions wait: which?"), "{}", said.story());
    assert_eq!(b.run(&["resolve", "f:3", "keep"]).status(), 2);
    // Both are merged, one after the other.
    b.run(&["resolve", "f", "merge"]).done();
    let all = BASE.replace("one", "of a").replace("three", "of b").replace("five", "of c");
    assert_eq!(b.text("f"), all);
    settle(&[a, b, c]);
    assert!(a.text("f") == all && c.text("f") == all);

    a.write("f", "2 of a\n");
    b.write("f", "2 of b\n");
    c.write("f", "2 of c\n");
    a.run(&["broadcast", &b.address]).done();
    c.run(&["broadcast", &b.address]).done();
    assert_eq!(b.receive(), 1);
    let (document, _) = b.json(&["pending"]);
    let second = document["questions"][1]["from"].as_str().unwrap().to_owned();
    b.run(&["resolve", "f:2", "both"]).with(1);
    assert!(b.tree.join(format!("f.from-{second}")).exists());
    assert_eq!(questions(b), ["f"], "one is left, and needs no number");
    b.run(&["resolve", "f", "take"]).done();
    assert!(b.text("f") == "2 of a\n" || b.text("f") == "2 of c\n");
}

#[test]
fn a_person_at_a_terminal_sees_the_difference_and_may_edit() {
    let (_world, _a, b) =
        conflict("f", BASE, &BASE.replace("one", "1"), &BASE.replace("five", "5"));
    let screen = at_a_terminal(&b, &[], "process", "x\nd\nm\n");
    assert!(screen.contains("+five") || screen.contains("-five"), "{screen}");
    assert!(screen.contains("keep [b]oth, [m]erge"), "{screen}");
    assert_eq!(b.text("f"), BASE.replace("one", "1").replace("five", "5"));
    assert_eq!(questions(&b), Vec::<String>::new());

    let (_world, _a, b) = conflict("f", BASE, "ours\n", "theirs\n");
    let editor = [("EDITOR", "sed -i -e '/^[<=>][<=>]*/d'")];
    let unchanged = [("EDITOR", "true")];
    let screen = at_a_terminal(&b, &unchanged, "resolve f merge", "");
    assert!(screen.contains("there still are markers in it"), "{screen}");
    assert_eq!(questions(&b), ["f"]);
    let screen = at_a_terminal(&b, &editor, "resolve f merge", "");
    assert!(screen.contains("1 question settled"), "{screen}");
    assert_eq!(b.text("f"), "ours\ntheirs\n");

    let (_world, _a, b) = conflict("f", BASE, "ours\n", "theirs\n");
    at_a_terminal(&b, &[], "process", "b\n");
    assert_eq!(b.text("f.from-a@a.example"), "theirs\n");
    assert_eq!(questions(&b), Vec::<String>::new());
}

// ---- deletions

#[test]
fn a_refused_deletion_comes_back_and_says_so() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    ["f", "g", "h"].iter().for_each(|name| a.write(name, "x\n"));
    start(&[&a, &b]);
    a.remove("f");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    let said = b.run(&["resolve", "f", "keep"]);
    assert!(
        said.stderr().contains("f: it stays, and the next broadcast brings it back"),
        "{}",
        said.story()
    );
    settle(&[&a, &b]);
    assert_eq!(a.text("f"), "x\n");
}

#[test]
fn many_deletions_at_once_wait_whatever_the_policy() {
    for (files, deleted, applied) in
        [(30, 16, false), (30, 15, true), (12, 9, true), (12, 10, false)]
    {
        let world = World::new();
        let (a, b) = (world.home("a"), world.home("b"));
        let settings = fs::read_to_string(b.top.join("config.toml")).unwrap();
        fs::write(b.top.join("config.toml"), settings + "[policy]\ndeletions = \"apply\"\n")
            .unwrap();
        let name = |n: usize| format!("d/f{n}");
        (0..files).for_each(|n| a.write(name(n), format!("{n}\n")));
        start(&[&a, &b]);
        (0..deleted).for_each(|n| a.remove(&name(n)));
        at_a_terminal(&a, &[], "broadcast", "y\n");
        let status = b.receive();
        let case = format!("{deleted} of {files}");
        if applied {
            assert_eq!((status, b.files().len()), (0, files - deleted), "{case}");
            continue;
        }
        assert_eq!((status, b.files().len()), (1, files), "{case}");
        assert_eq!(b.run(&["process", "--batch"]).status(), 1, "they go on waiting: {case}");
        let (document, _) = b.json(&["pending"]);
        assert_eq!(document["questions"][0]["why"], "many-deletions", "{document}");
        assert_eq!(b.files().len(), files, "{case}");
        b.run(&["resolve", "--all", "take"]).done();
        assert_eq!(b.files().len(), files - deleted, "{case}");
        settle(&[&a, &b]);
    }
}

#[test]
fn nothing_is_applied_to_a_tree_that_is_not_there() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    (0..10).for_each(|n| a.write(format!("data/f{n}"), format!("{n}\n")));
    start(&[&a, &b]);
    a.write("data/f1", "news\n");
    a.write("data/new", "new\n");
    a.run(&["broadcast"]).done();
    let away = b.top.join("away");
    fs::rename(b.tree.join("data"), &away).unwrap();
    b.deliver_all();
    let ran = b.run(&["process", "--batch"]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    assert!(ran.stderr().contains("10 of 10 files are gone"), "{}", ran.story());
    assert!(b.files().is_empty());
    assert_eq!(questions(&b), Vec::<String>::new());
    fs::rename(&away, b.tree.join("data")).unwrap();
    assert_eq!(b.run(&["process", "--batch"]).status(), 0);
    assert_eq!(b.files(), a.files());

    a.write("data/f1", "more news\n");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    fs::rename(b.tree.join("data"), &away).unwrap();
    let screen = at_a_terminal(&b, &[], "process", "y\nq\n");
    assert!(screen.contains("deleted here, changed there"), "{screen}");
}

// ---- what was done

#[test]
fn an_undo_is_byte_for_byte() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    let modes = [0o644, 0o755, 0o600, 0o640, 0o700];
    let mut names = Vec::new();
    for n in 0..320_usize {
        let folder = format!("d{}/e{}/{n} ", n % 5, n % 11).into_bytes();
        let name = std::ffi::OsStr::from_bytes(&[&folder, ODD_NAMES[n % 8]].concat()).to_owned();
        a.write(&name, format!("{n}\n").repeat(n % 7));
        names.push(name);
    }
    start(&[&a, &b]);
    for (n, name) in names.iter().enumerate() {
        let file = b.tree.join(name);
        let mode = modes[n % 5];
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::new(86_400 * n as u64, 123_456_789);
        fs::File::options().append(true).open(&file).unwrap().set_modified(at).unwrap();
    }
    settle(&[&a, &b]);
    let before = exact(&b);
    for (n, name) in names.iter().enumerate() {
        match n % 4 {
            0 => a.write(name, format!("{n} edited\n")),
            1 => fs::remove_file(a.tree.join(name)).unwrap(),
            2 if n % 8 == 2 => {
                let flip = if n % 3 == 0 { 0o755 } else { 0o644 };
                fs::set_permissions(a.tree.join(name), fs::Permissions::from_mode(flip)).unwrap();
            }
            _ => {}
        }
    }
    fs::remove_dir_all(a.tree.join("d0/e0")).unwrap();
    a.write("new/folder/file", "new\n");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    b.run(&["process", "--batch"]).with(1);
    b.run(&["resolve", "--all", "take"]).done();
    // A file where a folder was.
    a.write("d0/e0", "a file now\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    settle(&[&a, &b]);
    assert_eq!(a.files().len(), b.files().len());
    let after = exact(&b);
    assert!(before != after);
    let (log, _) = b.json(&["log"]);
    let runs = log["runs"].as_array().unwrap();
    let last = |command: &str| {
        let run = runs
            .iter()
            .find(|run| run["command"] == command && run["changes"] != serde_json::json!([]));
        run.unwrap()["run"].as_u64().unwrap()
    };
    assert!(last("resolve") > 0 && last("process") > 0);
    // One after the other, youngest first, until the tree is what it was.
    let mut undone = 0;
    while exact(&b) != before {
        let ran = b.run(&["undo"]);
        assert_eq!(ran.status(), 0, "{}", ran.story());
        undone += 1;
        assert!(undone < 6, "{:#?}\n{}", exact(&b), ran.story());
    }
    // An undo of an undo brings it back.
    for _ in 0..undone {
        let (log, _) = b.json(&["log"]);
        let last = log["runs"].as_array().unwrap().iter().find(|run| {
            run["command"] == "undo"
                && run["of"].as_u64().is_some_and(|of| is_of(&log, of) != "undo")
                && !log["runs"].as_array().unwrap().iter().any(|later| later["of"] == run["run"])
        });
        let number = last.unwrap()["run"].as_u64().unwrap().to_string();
        b.run(&["undo", &number]).done();
    }
    assert!(exact(&b) == after);
    // And it travels.
    for _ in 0..undone {
        b.run(&["undo"]).done();
    }
    assert!(exact(&b) == before);
    b.run(&["broadcast"]).done();
    a.deliver_all();
    a.run(&["process", "--batch"]).with(1);
    a.run(&["resolve", "--all", "take"]).done();
    a.run(&["process", "--batch"]).done();
    // Times travel with contents only: what a never lost is of its own time there.
    let told = |home: &Home| {
        let files = home.files().into_iter();
        files.map(|(name, file)| (name, file.bytes, file.executable)).collect::<Vec<_>>()
    };
    assert!(told(&a) == told(&b));
}

/// Returns the command of a run.
fn is_of(log: &serde_json::Value, number: u64) -> String {
    let mut runs = log["runs"].as_array().unwrap().iter();
    let run = runs.find(|run| run["run"] == number).unwrap();
    run["command"].as_str().unwrap().to_owned()
}

/// A tree with every permission bit.
fn exact(home: &Home) -> Vec<(std::ffi::OsString, support::FileValue, u32)> {
    let mode = |name: &std::ffi::OsString| {
        fs::metadata(home.tree.join(name)).unwrap().permissions().mode() & 0o7777
    };
    home.files().into_iter().map(|(name, value)| (name.clone(), value, mode(&name))).collect()
}

#[test]
fn what_changed_since_is_left_as_it_is() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    ["f", "g", "h"].iter().for_each(|name| a.write(name, "1\n"));
    start(&[&a, &b]);
    ["f", "g", "h", "new"].iter().for_each(|name| a.write(name, "2\n"));
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    a.write("h", "3\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    b.write("g", "of b\n");
    let (log, _) = b.json(&["log"]);
    let runs = log["runs"].as_array().unwrap();
    let (newer, older) = (&runs[0]["run"], &runs[1]["run"]);
    assert_eq!(runs[0]["packages"][0]["from"], "a@a.example", "{log}");
    let number = older.to_string();
    let (dry, status) = b.json(&["-n", "undo", &number]);
    assert_eq!((dry["undone"].as_array().unwrap().len(), status), (2, 1), "{dry}");
    assert_eq!(b.text("f"), "2\n");
    let ran = b.run(&["undo", &number]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    let said = ran.stderr();
    assert!(said.contains("g: left as it is: it was changed since"), "{said}");
    assert!(said.contains(&format!("h: left as it is: run {newer} changed it since")), "{said}");
    assert!(said.contains("an undo is an edit"), "{said}");
    assert_eq!(
        (b.text("f"), b.text("g"), b.text("h")),
        ("1\n".into(), "of b\n".into(), "3\n".into())
    );
    assert_eq!(b.read("new"), None);
    assert_eq!(b.run(&["undo", "99"]).status(), 2);
    settle(&[&a, &b]);
    assert_eq!(a.text("f"), "1\n");
    assert_eq!(questions(&a), ["new"], "the deletion waits for a word, as any other");
}

#[test]
fn one_version_is_restored() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for name in ["f", "g", "h", "i"] {
        a.write(name, "1\n");
    }
    fs::set_permissions(a.tree.join("f"), fs::Permissions::from_mode(0o755)).unwrap();
    start(&[&a, &b]);
    fs::set_permissions(b.tree.join("f"), fs::Permissions::from_mode(0o750)).unwrap();
    for text in ["2\n", "3\n"] {
        a.write("f", text);
        a.run(&["broadcast"]).done();
        assert_eq!(b.receive(), 0);
    }
    let first = digest(&b, "1\n");
    let (list, status) = b.json(&["restore", "f"]);
    assert_eq!(status, 0);
    let versions = list["versions"].as_array().unwrap();
    let sizes: Vec<_> =
        versions.iter().map(|v| (v["size"].as_u64(), v["here"].as_bool())).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|(size, _)| *size == Some(2)), "{list}");
    let oldest = versions.iter().find(|v| v["version"].as_str().unwrap().starts_with(&first));
    let oldest = oldest.unwrap_or_else(|| panic!("{list}"))["version"].as_str().unwrap();
    b.write("f", "of b, not sent yet\n");
    b.run(&["-n", "restore", "f", oldest]).done();
    assert_eq!(b.text("f"), "of b, not sent yet\n");
    let ran = b.run(&["restore", "f", &oldest[..12]]);
    assert_eq!(ran.status(), 0, "{}", ran.story());
    assert_eq!(b.text("f"), "1\n");
    assert_eq!(fs::metadata(b.tree.join("f")).unwrap().permissions().mode() & 0o777, 0o750);
    // What was there is kept, and an undo brings it back.
    b.run(&["undo"]).done();
    assert_eq!(b.text("f"), "of b, not sent yet\n");
    b.run(&["restore", "f", &oldest[..12]]).done();
    settle(&[&a, &b]);
    assert_eq!(a.text("f"), "1\n", "it travels");
    // A file that was deleted.
    a.remove("g");
    a.run(&["broadcast"]).done();
    b.receive();
    b.run(&["resolve", "g", "take"]).done();
    assert_eq!(b.read("g"), None);
    let screen = at_a_terminal(&b, &[], "restore g", "1\n");
    assert!(screen.contains("gave way in run"), "{screen}");
    assert_eq!(b.text("g"), "1\n");
    assert_eq!(b.run(&["restore", "g", "abcdef"]).status(), 2);
    assert_eq!(b.run(&["restore", "../g"]).status(), 2);
    assert!(b.run(&["restore", "nothing"]).done().contains("no version of nothing is kept"));
}

/// Returns the digest that a text has.
fn digest(home: &Home, text: &str) -> String {
    let mut command = home.command("sha256sum");
    let mut child = command
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn what_happened_is_told() {
    let (_world, a, b) = conflict("f", "base\n", "of b\n", "of a\n");
    a.write("g", "new\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    b.run(&["resolve", "f", "take"]).done();
    let told = b.run(&["log"]).done();
    let blocks: Vec<&str> = told.lines().collect();
    assert!(blocks[0].contains("  resolve"), "{told}");
    assert!(told.contains("answered f: take (version from a@a.example)"), "{told}");
    assert!(told.contains("held f: changed here and there (from a@a.example)"), "{told}");
    assert!(told.contains("replaced f") && told.contains("created g"), "{told}");
    assert!(told.contains("  accept"), "{told}");
    let of_g = b.run(&["log", "g"]).done();
    assert!(of_g.contains("created g") && !of_g.contains("held"), "{of_g}");
    assert!(b.run(&["log", "nothing"]).done().contains("nothing was done here yet"));
    let before = fs::read(b.tree.join(".remsync.d/runs")).unwrap();
    b.run(&["process", "--batch"]).done();
    b.run(&["broadcast"]).done();
    let after = fs::read(b.tree.join(".remsync.d/runs")).unwrap();
    assert!(before == after, "who changes nothing writes nothing");
}

// ---- what is kept

#[test]
fn what_is_kept_leaves_by_the_stated_policy() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    a.write("g", "1\n");
    start(&[&a, &b]);
    let kept = |home: &Home| shelf(home, "kept");
    let update = |text: &str| {
        a.write("f", text);
        a.run(&["broadcast"]).done();
        assert_eq!(b.receive(), 0);
    };
    update("2\n");
    assert_eq!(kept(&b).len(), 1);
    let settings = fs::read_to_string(b.top.join("config.toml")).unwrap();
    // Nothing that is younger than a day goes for its size.
    fs::write(b.top.join("config.toml"), settings.clone() + "[keep]\nmax_bytes = 0\n").unwrap();
    fs::remove_file(b.tree.join(".remsync.d/pruned")).unwrap();
    update("3\n");
    assert_eq!(kept(&b).len(), 2);
    fs::write(b.top.join("config.toml"), settings.clone() + "[keep]\ndays = 0\n").unwrap();
    update("4\n");
    assert_eq!(kept(&b), Vec::<String>::new());
    let (log, _) = b.json(&["log"]);
    assert_eq!(log["runs"].as_array().unwrap().len(), 1, "the history goes with it: {log}");
    let ran = b.run(&["undo"]);
    assert_eq!(ran.status(), 2, "{}", ran.story());
    assert!(ran.stderr().contains("that version is no longer kept"), "{}", ran.story());
    fs::write(b.top.join("config.toml"), settings + "[keep]\nbase_max_bytes = 0\n").unwrap();
    fs::remove_file(b.tree.join(".remsync.d/pruned")).unwrap();
    update("5\n");
    assert_eq!(shelf(&b, "base"), Vec::<String>::new());
}

#[test]
fn a_base_is_kept_of_a_short_text_only_and_goes_when_all_have_moved_on() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("text", "short\n");
    a.write("binary", "with \0 in it\n");
    a.write("long", "x".repeat((1 << 20) + 1));
    a.write("longest", "y".repeat(1 << 20));
    start(&[&a, &b]);
    // Where the file system clones, all of them are there and cost nothing.
    let count = shelf(&b, "base").len();
    assert!(count == 2 || count == 4, "{count}");
    assert_eq!(shelf(&a, "base").len(), count);
    a.write("text", "shorter\n");
    settle(&[&a, &b]);
    for home in [&a, &b] {
        fs::remove_file(home.tree.join(".remsync.d/pruned")).unwrap();
        home.run(&["process", "--batch"]).done();
        assert_eq!(shelf(home, "base").len(), count, "{}", home.address);
    }
}

/// In a file system of its own that clones: there also a large file and one that is no text is kept,
/// for a merge tool, and takes no room.
#[test]
fn a_base_is_a_clone_where_the_file_system_can() {
    const NAME: &str = "a_base_is_a_clone_where_the_file_system_can";
    const SCRIPT: &str = "PATH=$PATH:/usr/sbin:/sbin; cd \"$REMSYNC_TEST_FOLDER\" && mkdir disk && \
        truncate -s 256M image && mkfs.btrfs -q image || exit 1; \
        mount -o loop image disk || exit 77; \
        TMPDIR=$PWD/disk \"$@\" && : >cloned";
    if std::env::var_os("REMSYNC_TEST_FOLDER").is_some() {
        let world = World::new();
        let (a, b) = (world.home("a"), world.home("b"));
        a.write("text", "short\n");
        a.write("binary", "with \0 in it\n");
        a.write("large", (0..40u64 << 17).flat_map(u64::to_be_bytes).collect::<Vec<_>>());
        start(&[&a, &b]);
        for home in [&a, &b] {
            assert_eq!(shelf(home, "base").len(), 3);
        }
        // The base outlives an edit in place, and is what a merge begins from.
        b.write("text", "edited\n");
        let kept = shelf(&b, "base").into_iter().map(|name| {
            fs::read(b.tree.join(".remsync.d/base").join(&name[..2]).join(&name[2..])).unwrap()
        });
        assert!(kept.into_iter().any(|bytes| bytes == b"short\n"));
        let used = std::process::Command::new("sh")
            .args(["-c", "sync; df --output=used -BM . | tail -1 | tr -dc 0-9"])
            .current_dir(world.path())
            .output()
            .unwrap();
        let used: u64 = String::from_utf8(used.stdout).unwrap().parse().unwrap();
        // Two trees with 40 MB each, and the mail of it; two more copies would be 80 MB more.
        assert!(used < 150, "{used} MB");
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let ran = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", SCRIPT, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env("REMSYNC_TEST_FOLDER", top.path())
        .output();
    match ran {
        Ok(ran) if ran.status.success() => assert!(top.path().join("cloned").exists()),
        Ok(ran) if ran.status.code() == Some(77) => println!("skipped: no image can be mounted"),
        ran if rustix::process::geteuid().is_root() => panic!("{ran:?}"),
        _ => println!("skipped: only root may mount"),
    }
}

/// Returns the names on a shelf of the store.
fn shelf(home: &Home, name: &str) -> Vec<String> {
    let mut names = Vec::new();
    let shelf = home.tree.join(".remsync.d").join(name);
    for shard in fs::read_dir(shelf).into_iter().flatten().flatten() {
        let first = shard.file_name().into_string().unwrap();
        if first.len() == 2 && first != "in" {
            for file in fs::read_dir(shard.path()).unwrap().flatten() {
                names.push(format!("{first}{}", file.file_name().into_string().unwrap()));
            }
        }
    }
    names
}

/// Of a project that is large in text only the files that have something to say are read: what a merge
/// may begin from is kept for the others too.
#[test]
fn what_is_pruned_is_decided_by_all_files() {
    const FILES: usize = 2_500;
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let folder = ["d".repeat(250), "e".repeat(250), "f".repeat(250)].join("/");
    for n in 0..FILES {
        a.write(format!("{folder}/{n:0>250}"), format!("{n}\n"));
    }
    start(&[&a, &b]);
    let own = |name: &str| a.tree.join(".remsync.d").join(name);
    let base_bytes = fs::metadata(a.tree.join(".remsync")).unwrap().len()
        + fs::metadata(own("ledger")).unwrap().len();
    assert!(base_bytes > 4 << 20, "{base_bytes} bytes: it is read whole");
    assert_eq!(shelf(&a, "base").len(), FILES);
    // A day later.
    fs::remove_file(own("pruned")).unwrap();
    a.write("news", "news\n");
    a.run(&["broadcast"]).done();
    assert!(own("pruned").exists(), "it was pruned");
    assert_eq!(shelf(&a, "base").len(), FILES + 1);
}

#[test]
fn a_displaced_version_is_moved_not_copied() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    start(&[&a, &b]);
    let inode = fs::metadata(b.tree.join("f")).unwrap().ino();
    a.write("f", "2\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    let name = shelf(&b, "kept").pop().unwrap();
    let kept = b.tree.join(".remsync.d/kept").join(&name[..2]).join(&name[2..]);
    assert_eq!(fs::metadata(kept).unwrap().ino(), inode);
}

#[test]
fn format_1_3_has_a_desk_too() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for (home, other) in [(&a, &b), (&b, &a)] {
        let remote = format!("{} -", other.address);
        home.run(&[
            "init",
            "--title",
            "Old",
            "--here",
            &home.address,
            "--remote",
            &remote,
            "--format",
            "1.3",
        ])
        .done();
    }
    a.write("f", "1\n");
    a.write("g", "1\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    a.write("f", "of a\nsame\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    b.run(&["undo"]).done();
    assert_eq!(b.text("f"), "1\n");
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 0, "the undo travels");
    assert_eq!(a.text("f"), "1\n");

    a.write("f", "of a\nsame\n");
    b.write("f", "of b\nsame\n");
    a.write("g", "of a\n");
    b.write("g", "of b\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    let shown = b.run(&["diff", "f"]).done();
    assert!(shown.contains("-of b\n+of a\n same\n"), "{shown}");
    let said = b.run(&["resolve", "f", "merge"]);
    assert_eq!(said.status(), 1, "{}", said.story());
    let editor = [("EDITOR", "sed -i -e '/^[<=>][<=>]*/d'")];
    at_a_terminal(&b, &editor, "resolve f merge", "");
    assert_eq!(b.text("f"), "of b\nof a\nsame\n");
    b.run(&["resolve", "g", "both"]).done();
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 0, "nobody is asked again");
    assert_eq!(a.files(), b.files());
    assert_eq!(a.text("g.from-a@a.example"), "of a\n");
    b.run(&["log"]).done();
}
