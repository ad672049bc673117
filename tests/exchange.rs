//! Whole exchanges with the real programs and real mail messages: the wiring, end to end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use support::{ODD_NAMES, World, settle, start};

#[test]
fn two_sites_keep_a_tree_in_step() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "one\n");
    a.write("folder/g", "two\n");
    a.init(&[&b]).done();
    let (sent, status) = a.json(&["broadcast"]);
    assert_eq!((sent["sites"][0]["updates"].as_u64(), status), (Some(2), 0), "{sent}");
    assert_eq!(b.deliver_all(), 1);
    let (processed, status) = b.json(&["process"]);
    assert_eq!(
        (processed["entries"][0]["outcome"].as_str(), status),
        (Some("held"), 1),
        "{processed}"
    );
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    assert_eq!(a.files(), b.files());

    b.write("f", "one and a half\n");
    b.run(&["b"]).done();
    a.deliver_all();
    let (processed, status) = a.json(&["process"]);
    assert_eq!((processed["entries"][0]["replaced"].as_u64(), status), (Some(1), 0), "{processed}");
    assert_eq!(a.text("f"), "one and a half\n");

    settle(&[&a, &b]);
    a.run(&["broadcast"]).done();
    b.run(&["broadcast"]).done();
    assert!(a.mails().is_empty() && b.mails().is_empty(), "nothing changed sends nothing");
    let (status, code) = a.json(&["status"]);
    assert_eq!(code, 0);
    assert!(
        status["files"].as_array().unwrap().iter().all(|f| f["state"] == "in step"),
        "{status}"
    );
}

/// More lines than are written at once.
#[test]
fn a_long_status_has_each_file_once_and_in_order() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    let names: Vec<String> = (0..2_000).map(|n| format!("{}{n:05}", "x".repeat(60))).collect();
    names.iter().for_each(|name| a.write(name, ""));
    a.init(&[&b]).done();
    let ran = a.run(&["status"]);
    let said = String::from_utf8(ran.output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines, names.iter().map(|name| format!("  {name}: due")).collect::<Vec<_>>());
}

#[test]
fn two_thousand_odd_files_go_and_edits_come_back() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    let mut count = 0;
    for folder in 0..112 {
        for (at, name) in ODD_NAMES.iter().enumerate() {
            for twin in 0..2 {
                let mut path = format!("d{}/e{folder}/{twin}", folder % 7).into_bytes();
                path.extend_from_slice(name);
                let bytes = if at == 0 {
                    Vec::new()
                } else {
                    format!("{folder} {at} {twin}\n").repeat(at).into_bytes()
                };
                let path = std::ffi::OsStr::from_bytes(&path).to_owned();
                a.write(&path, bytes);
                let file = a.tree.join(&path);
                if at % 3 == 1 {
                    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
                }
                let old =
                    SystemTime::UNIX_EPOCH + Duration::new(86_400 * folder as u64, 123_456_789);
                fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
                count += 1;
            }
        }
    }
    a.write(vec!["deep"; 60].join("/") + "/file", "deep\n");
    assert!(count >= 2_000);
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    assert!(a.files() == b.files(), "bytes, executable bits and times are the same");
    assert_eq!(b.files().len(), count + 1);

    let edited: Vec<_> = b.files().into_keys().step_by(100).collect();
    for path in &edited {
        b.write(path, "edited at b\n");
    }
    fs::set_permissions(b.tree.join(&edited[1]), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(b.tree.join(&edited[2]), fs::Permissions::from_mode(0o744)).unwrap();
    let (sent, _) = b.json(&["broadcast"]);
    assert_eq!(sent["sites"][0]["updates"].as_u64(), Some(edited.len() as u64));
    assert_eq!(a.receive(), 0);
    assert!(a.files() == b.files());
    settle(&[&a, &b]);
    a.run(&["broadcast"]).done();
    b.run(&["broadcast"]).done();
    assert!(a.mails().is_empty() && b.mails().is_empty(), "nothing changed sends nothing");
}

#[test]
fn a_conflict_is_held_listed_and_answered() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "base\n");
    start(&[&a, &b]);
    a.write("f", "of a\n");
    b.write("f", "of b\n");
    a.run(&["broadcast"]).done();
    b.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    assert_eq!(b.text("f"), "of b\n", "nothing is overwritten");
    let listed = b.run(&["pending"]).with(1);
    assert!(listed.contains("f: changed here and there (from a@a.example"), "{listed}");
    let (queue, _) = b.json(&["queue", "list"]);
    assert!(queue.as_array().unwrap().iter().any(|entry| entry["state"] == "held"), "{queue}");
    assert_eq!(b.run(&["process", "--batch"]).status(), 1, "asked again, still held");
    assert_eq!(b.text("f"), "of b\n");

    b.run(&["resolve", "f", "take"]).done();
    assert_eq!(b.text("f"), "of a\n");
    let (queue, _) = b.json(&["queue", "list"]);
    assert!(queue.as_array().unwrap().iter().all(|entry| entry["state"] == "done"), "{queue}");
    settle(&[&a, &b]);
    assert_eq!((a.text("f"), b.text("f")), ("of a\n".into(), "of a\n".into()));
    let (status, code) = a.json(&["status"]);
    assert_eq!(code, 0, "a is not asked the same question: {status}");
}

#[test]
fn keeping_ours_is_not_asked_about_elsewhere() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "base\n");
    start(&[&a, &b]);
    a.write("f", "of a\n");
    b.write("f", "of b\n");
    a.run(&["broadcast"]).done();
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 1);
    a.run(&["resolve", "f", "keep"]).done();
    a.run(&["broadcast"]).done();
    // Both mails are there: the contents, and the word that a person chose them.
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("f"), "of a\n");
    settle(&[&a, &b]);
    assert_eq!(a.text("f"), "of a\n");
}

#[test]
fn a_deletion_waits_for_a_word() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for name in ["keep", "one", "two", "three", "folder/four"] {
        a.write(name, name);
    }
    start(&[&a, &b]);
    a.remove("one");
    a.remove("folder/four");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    assert!(b.read("one").is_some(), "never applied in batch");
    b.run(&["resolve", "one", "folder/four", "take"]).done();
    assert!(b.read("one").is_none());
    assert!(!b.tree.join("folder").exists(), "a folder emptied by a removal goes too");
    settle(&[&a, &b]);
    assert_eq!(a.files(), b.files());

    b.remove("two");
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 1);
    a.run(&["resolve", "two", "keep"]).done();
    settle(&[&a, &b]);
    assert_eq!(b.text("two"), "two", "a refused deletion brings the file back");
}

#[test]
fn replayed_and_reordered_mail_changes_nothing() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    start(&[&a, &b]);
    let mut mails = Vec::new();
    for text in ["2\n", "3\n"] {
        a.write("f", text);
        a.run(&["broadcast"]).done();
        let mail = b.mails().pop().unwrap();
        let kept = world.path().join(format!("mail{}", mails.len()));
        fs::rename(&mail, &kept).unwrap();
        mails.push(kept);
    }
    for order in [1, 0, 1, 0, 0] {
        b.deliver(&mails[order]).done();
        b.run(&["process", "--batch"]).done();
        assert_eq!(b.text("f"), "3\n");
    }
    settle(&[&a, &b]);
    b.write("f", "4\n");
    b.deliver(&mails[0]).done();
    b.deliver(&mails[1]).done();
    b.run(&["process", "--batch"]).done();
    assert_eq!(b.text("f"), "4\n");
}

#[test]
fn most_files_gone_stops_a_broadcast() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for name in ["1", "2", "3", "4", "5"] {
        a.write(name, name);
    }
    start(&[&a, &b]);
    for name in ["1", "2", "3"] {
        a.remove(name);
    }
    let ran = a.run(&["broadcast"]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    assert!(ran.stderr().contains("3 of 5 files are gone"), "{}", ran.story());
    assert!(b.mails().is_empty());
    a.write("1", "1");
    a.write("2", "2");
    a.run(&["broadcast"]).done();
    assert_eq!(b.mails().len(), 1, "what is not drastic is sent");
}

#[test]
fn a_carrier_that_fails_is_not_believed() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    start(&[&a, &b]);
    a.write("f", "2\n");
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    fs::write(a.top.join("blocked"), "a file, no folder").unwrap();
    let broken = format!("[mail]\ntransport = \"maildir:{}\"\n", a.top.join("blocked/x").display());
    fs::write(a.top.join("config.toml"), broken).unwrap();
    let (sent, status) = a.json(&["broadcast"]);
    assert_eq!(status, 2, "{sent}");
    assert!(sent["sites"][0]["error"].is_string(), "{sent}");
    fs::write(a.top.join("config.toml"), settings).unwrap();
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("f"), "2\n", "the same command run later mends it");
}

#[test]
fn packages_travel_as_files() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    start(&[&a, &b]);
    a.write("f", "2\n");
    let stick = world.path().join("stick");
    a.run(&["broadcast", "--to", stick.to_str().unwrap()]).done();
    let package = fs::read_dir(&stick).unwrap().next().unwrap().unwrap().path();
    b.run(&["process", package.to_str().unwrap()]).done();
    assert_eq!(b.text("f"), "2\n");
    assert!(package.exists(), "a file that is named is left where it is");
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    a.write("f", "1\n");
    start(&[&a, &b]);
    a.write("f", "2\n");
    let before = state(&a);
    a.run(&["-n", "broadcast"]).done();
    assert!(b.mails().is_empty());
    assert!(state(&a) == before);
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let before = state(&b);
    let said = b.run(&["process", "-n"]).done();
    assert!(said.contains("1 replaced"), "{said}");
    assert_eq!(b.text("f"), "1\n");
    assert!(state(&b) == before);
    b.run(&["process"]).done();
    assert_eq!(b.text("f"), "2\n");
}

#[test]
fn two_runs_at_once_exclude_each_other() {
    let world = World::new();
    let (a, _b) = world.pair();
    let lock = fs::File::options().write(true).open(a.tree.join(".remsync.d/lock")).unwrap();
    lock.lock().unwrap();
    let ran = a.run(&["broadcast"]);
    assert_eq!(ran.status(), 2, "{}", ran.story());
    assert!(ran.stderr().contains("another remsync"), "{}", ran.story());
    // Not only closed: a child that another test starts just now has it open too, for a moment.
    lock.unlock().unwrap();
    a.run(&["broadcast"]).done();
}

#[test]
fn scans_and_ignores_choose() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for name in ["src/x.c", "src/x.o", "doc/y.txt", "z", "src/.git/config"] {
        a.write(name, name);
    }
    a.init(&[&b]).done();
    a.run(&["create", "ignore", ".*\\.txt"]).done();
    a.run(&["scan", "src"]).done();
    a.run(&["create", "scan", "d*"]).done();
    assert_eq!(a.run(&["create", "scan", "../up"]).status(), 2);
    assert_eq!(a.run(&["create", "ignore", "(unclosed"]).status(), 2);
    let (status, _) = a.json(&["status"]);
    let names: Vec<_> =
        status["files"].as_array().unwrap().iter().map(|f| f["path"].clone()).collect();
    assert_eq!(names, ["src/x.c"], "*.o is ignored by default, z is in no scan");
    a.run(&["delete", "ignore", ".*\\.txt"]).done();
    a.run(&["ds", "src"]).done();
    let (status, _) = a.json(&["status"]);
    assert_eq!(status["files"].as_array().unwrap().len(), 1, "{status}");
}

/// The project's files and its queue, for telling that nothing was written.
fn state(home: &support::Home) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![home.top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("queue/tally") {
                let bytes = fs::read(&path).unwrap();
                lines.push(format!("{} {}", path.display(), String::from_utf8_lossy(&bytes)));
            }
        }
    }
    lines.sort();
    lines.join("\n")
}
