//! What a person sees and types: the prompt, its editor and completion, and questions, at a real
//! terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::terminal::Terminal;
use support::{Home, REMSYNC, World};

fn at_terminal(home: &Home, words: &[&str]) -> Terminal {
    let mut command = home.command(REMSYNC);
    command.args(words).env("SHELL", "/bin/sh").env("LOGNAME", "Ann");
    Terminal::start(command)
}

/// A first session, from no project to a broadcast; its transcript reads well.
#[test]
fn a_first_session() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("chart.txt", "a rock\n");
    let mut terminal = at_terminal(&a, &[]);
    terminal.answer("remsync> ", "list remote");
    terminal.answer("Make it one? [Y/n] ", "");
    terminal.answer("A short description, the same at all sites: ", "");
    terminal.answer("A short description, the same at all sites: ", "Expedition notes");
    terminal.answer("The address at which this site gets its mail", "not an address");
    terminal.answer("The address at which this site gets its mail", "a@a.example");
    terminal.answer("remsync> ", "remote b@b.example ~/tree");
    terminal.answer("remsync> ", "lr");
    terminal.answer("remsync> ", "lisremote");
    terminal.answer("remsync> ", "b");
    terminal.answer("remsync> ", "mode noop");
    terminal.answer("noop>> ", "q");
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(2), "a command was wrong\n{seen}");
    let tree = a.tree.display();
    for line in [
        "remsync: \"?\" lists the commands, \"quit\" ends.\n".to_owned(),
        format!("{tree} is not a project yet: there is no .remsync.\nMake it one? [Y/n] "),
        "remsync: a title is some text in one line".to_owned(),
        "  hint: an address is written as for mail: name@place.example\n".to_owned(),
        format!("{tree} is a project now\n"),
        "  \"create remote ADDRESS DIR\" names the other sites, one by one.\n".to_owned(),
        "remote  [1] b@b.example ~/tree\n".to_owned(),
        "remsync: \"lisremote\" is no command.\n  hint: did you mean \"list remote\"?".to_owned(),
        "b@b.example: 1 file sent\n".to_owned(),
    ] {
        assert!(seen.contains(&line), "{line:?}\n{seen}");
    }
    assert_eq!(b.mails().len(), 1);
    let history = a.top.join(".local/state/remsync/history");
    assert!(fs::read_to_string(&history).unwrap().contains("lisremote\n"));
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn words_are_completed_and_lines_come_back() {
    let world = World::new();
    let (a, b) = world.pair();
    a.write("folder/two words.txt", "x\n");
    a.run(&["broadcast"]).done();
    let mut terminal = at_terminal(&a, &[]);
    for (typed, completed) in [
        ("bro\tb@\t", "broadcast b@b.example "),
        ("list re\t", "list remote "),
        ("lr;del\tre\t", "delete remote "),
        ("log fo\ttw\t", "log 'folder/two words.txt' "),
        ("chdir fo\t", "chdir folder/"),
        ("diff --fr\tb\t", "diff --from b@b.example "),
        ("mode in\t", "mode init "),
        ("b !b\t", "!b@b.example "),
    ] {
        terminal.wait_for("remsync> ");
        terminal.press(typed);
        terminal.wait_for(completed);
        // What is on the line is given up.
        terminal.press("\x03");
    }
    terminal.answer("remsync> ", "list title");
    terminal.wait_for("title   Test\n");
    terminal.wait_for("remsync> ");
    // The arrow brings it back.
    terminal.press("\x1b[A\r");
    terminal.wait_for("title   Test\n");
    terminal.wait_for("remsync> ");
    // The end of input ends it.
    terminal.press("\x04");
    assert_eq!(terminal.end().0.code(), Some(0));
    drop(b);
}

/// One changed file at each of two sites: what the receiver is asked.
fn conflict(world: &World) -> (Home, Home) {
    let (a, b) = world.pair();
    for (path, text) in [("f", "one\n"), ("g", "one\n")] {
        a.write(path, text);
    }
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    for (home, text) in [(&a, "of a\n"), (&b, "of b\n")] {
        home.write("f", text);
        home.write("g", text);
    }
    a.run(&["broadcast"]).done();
    b.deliver_all();
    (a, b)
}

#[test]
fn a_question_names_who_when_and_what() {
    let world = World::new();
    let (_a, b) = conflict(&world);
    let mut terminal = at_terminal(&b, &["process"]);
    terminal.answer("[q]uit asking? ", "?");
    terminal.answer("[q]uit asking? ", "!echo from the shell; exit 3");
    terminal.answer("[q]uit asking? ", "t");
    // The end of input is "leave it".
    terminal.wait_for("[q]uit asking? ");
    terminal.press("\x04");
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(1), "{seen}");
    for text in [
        "f: changed here and there (from a@a.example, arrived ",
        "  here:  5 bytes, changed ",
        "-of b\n+of a\n",
        "One of the answers in brackets",
        "from the shell\n",
        "1 replaced, 1 waits for you",
    ] {
        assert!(seen.contains(text), "{text:?}\n{seen}");
    }
    assert_eq!((b.text("f").as_str(), b.text("g").as_str()), ("of a\n", "of b\n"));
}

/// What was answered before stands; the rest stays open.
#[test]
fn abort_at_a_question_leaves_it_and_all_after_it() {
    let world = World::new();
    let (_a, b) = conflict(&world);
    let mut terminal = at_terminal(&b, &[]);
    terminal.answer("remsync> ", "process");
    terminal.answer("[q]uit asking? ", "t");
    terminal.answer("[q]uit asking? ", "abort");
    let (status, seen) = terminal.end();
    assert_eq!(status.code(), Some(2), "{seen}");
    assert_eq!((b.text("f").as_str(), b.text("g").as_str()), ("of a\n", "of b\n"));
    let (pending, _) = b.json(&["pending"]);
    assert_eq!(pending["questions"].as_array().unwrap().len(), 1);
}

#[test]
fn the_questionnaire_may_be_left_and_process_never_begins_it() {
    let world = World::new();
    let a = world.home("a");
    for (words, typed) in [
        (vec!["list"], vec![("[Y/n] ", "n")]),
        (vec!["broadcast"], vec![("[Y/n] ", "y"), ("all sites: ", "abort")]),
        (vec!["process"], vec![]),
        (vec!["status", "--batch"], vec![]),
    ] {
        let mut terminal = at_terminal(&a, &words);
        for (question, line) in typed {
            terminal.answer(question, line);
        }
        let (status, seen) = terminal.end();
        let is_fine = words == ["process"];
        assert_eq!(status.code(), Some(if is_fine { 0 } else { 2 }), "{words:?}\n{seen}");
        assert!(!a.tree.join(".remsync").exists(), "{words:?}\n{seen}");
    }
}

/// A large file takes a while to hash: a person is told how far that is, and nobody else.
#[test]
fn a_long_look_at_the_tree_is_told_at_a_terminal_only() {
    const LINE: &str = "looking at the tree: ";
    let world = World::new();
    let (a, _) = world.pair();
    a.write("f", "short\n");
    let large = fs::File::create(a.tree.join("large")).unwrap();
    // More than any machine hashes in a second; nothing of it is on the disk. What changed just now
    // is hashed each time.
    large.set_len(4 << 30).unwrap();
    let ran = a.run(&["status"]);
    assert!(!ran.stderr().contains(LINE), "{}", ran.stderr());
    large.set_len(0).unwrap();
    large.set_len(4 << 30).unwrap();
    let mut terminal = at_terminal(&a, &["status"]);
    terminal.wait_for(LINE);
    terminal.wait_for(" read");
    terminal.wait();
    let all = String::from_utf8(terminal.all).unwrap();
    let (before, last) = all.rsplit_once(LINE).unwrap();
    assert!(before.ends_with("\r\u{1b}[K"), "{all:?}");
    let (line, after) = last.split_once("\r\u{1b}[K").expect("the line is taken away");
    assert!(line.starts_with("2 files, ") && line.ends_with(" read"), "{all:?}");
    assert!(after.contains("Test, here a@") && !after.contains("\u{1b}[K"), "{all:?}");
    large.set_len(0).unwrap();
    for words in [vec!["status"], vec!["status", "--quiet"]] {
        let mut terminal = at_terminal(&a, &words);
        terminal.wait_for("2 files");
        let (_, seen) = terminal.end();
        assert!(!seen.contains(LINE), "less than a second is not told\n{seen}");
    }
}
