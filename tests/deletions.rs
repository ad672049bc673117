//! What a deletion is and what is none: only what a listing lacks was deleted. All else is not known:
//! it is said, nothing is told of it, and nothing changes when it is there again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::{Home, World};

const FORMATS: [&str; 2] = ["2.0", "1.3"];

/// Two trees of one project, in step, with these files.
fn pair(world: &World, format: &str) -> (Home, Home) {
    let (a, b) = world.pair_in(format);
    for name in ["f", "folder/f", "folder/g", "other/f", "other/g", "other/h"] {
        a.write(name, format!("{name}\n"));
    }
    pass(&a, &b);
    pass(&b, &a);
    assert_eq!(a.files(), b.files());
    (a, b)
}

/// Lets the one send and the other receive; returns what the one said.
fn pass(from: &Home, to: &Home) -> String {
    let ran = from.run(&["broadcast"]);
    assert!(ran.status() <= 1, "{}", ran.story());
    to.receive();
    ran.stderr()
}

fn questions(home: &Home) -> Vec<(String, String)> {
    let (pending, _) = home.json(&["pending"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let questions = pending["questions"].as_array().unwrap().iter();
    let mut all: Vec<_> = questions.map(|it| (text(&it["path"]), text(&it["why"]))).collect();
    all.sort();
    all
}

/// One way in which a file is no more to be found: what makes it so, and what makes it good again.
type Case = (&'static str, &'static str, fn(&Home), fn(&Home));

/// Something of another kind takes the file's place; the file is in the home's folder meanwhile.
fn aside(home: &Home, name: &str) -> std::path::PathBuf {
    fs::rename(home.tree.join(name), home.top.join("aside")).unwrap();
    home.tree.join(name)
}

fn back(home: &Home, name: &str) {
    let at = home.tree.join(name);
    let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
    fs::rename(home.top.join("aside"), at).unwrap();
}

fn cases() -> Vec<Case> {
    vec![
        (
            "it is ignored now",
            "f",
            |a| drop(a.run(&["create", "ignore", "f"]).done()),
            |a| drop(a.run(&["delete", "ignore", "f"]).done()),
        ),
        (
            "its scan is gone",
            "f",
            |a| drop(a.run(&["create", "scan", "o*"]).done()),
            |a| drop(a.run(&["delete", "scan", "o*"]).done()),
        ),
        ("a link is there", "f", |a| symlink("other/f", aside(a, "f")).unwrap(), |a| back(a, "f")),
        ("a dead link is there", "f", |a| symlink("-", aside(a, "f")).unwrap(), |a| back(a, "f")),
        ("a folder is there", "f", |a| fs::create_dir(aside(a, "f")).unwrap(), |a| back(a, "f")),
        (
            "a named pipe is there",
            "f",
            |a| assert!(Command::new("mkfifo").arg(aside(a, "f")).status().unwrap().success()),
            |a| back(a, "f"),
        ),
        (
            "its folder is a link now",
            "folder/f",
            |a| symlink("other", aside(a, "folder")).unwrap(),
            |a| back(a, "folder"),
        ),
        (
            "its folder is a file now",
            "folder/f",
            |a| fs::write(aside(a, "folder"), "").unwrap(),
            |a| back(a, "folder"),
        ),
    ]
}

#[test]
fn what_is_not_known_is_no_deletion() {
    for format in FORMATS {
        for (case, name, hide, show) in cases() {
            let world = World::in_memory();
            let (a, b) = pair(&world, format);
            let before = b.files();
            hide(&a);
            let (status, _) = a.json(&["status"]);
            let files = status["files"].as_array().unwrap();
            let row = files.iter().find(|row| row["path"] == name).expect(case);
            assert_ne!(row["state"], "in step", "{format}, {case}: {row}");
            a.write("other/f", "news\n");
            let said = pass(&a, &b);
            assert!(said.contains(" not known now"), "{format}, {case}: {said}");
            assert_eq!(b.text("other/f"), "news\n", "{format}, {case}: the others travel");
            let without = |mut files: std::collections::BTreeMap<_, _>| {
                files.remove(std::ffi::OsStr::new("other/f"));
                // The file that took the folder's place is news.
                files.remove(std::ffi::OsStr::new("folder"));
                files
            };
            assert_eq!(without(b.files()), without(before), "{format}, {case}");
            let asked = questions(&b);
            assert!(asked.iter().all(|(_, why)| why != "deletion"), "{format}, {case}: {asked:?}");
            // What the others do with it goes on where it is out of sight here: nothing is lost.
            show(&a);
            for _ in 0..2 {
                pass(&a, &b);
                pass(&b, &a);
            }
            assert_eq!(a.read(name), b.read(name), "{format}, {case}");
            assert_eq!(a.text(name), format!("{name}\n"), "{format}, {case}");
        }
    }
}

#[test]
fn what_a_listing_lacks_is_a_deletion() {
    for format in FORMATS {
        let world = World::in_memory();
        let (a, b) = pair(&world, format);
        a.remove("f");
        fs::remove_dir_all(a.tree.join("folder")).unwrap();
        assert!(!pass(&a, &b).contains("not known"));
        let asked: Vec<_> = ["f", "folder/f", "folder/g"]
            .map(|name| (name.to_owned(), "deletion".to_owned()))
            .into();
        assert_eq!(questions(&b), asked, "{format}");
    }
}

#[test]
fn a_file_that_changes_all_the_time_is_left_out_and_said_so() {
    for format in FORMATS {
        let world = World::in_memory();
        let (a, b) = pair(&world, format);
        let stop = AtomicBool::new(false);
        let log = a.tree.join("log");
        fs::write(&log, vec![b'-'; 8 << 20]).unwrap();
        a.write("f", "news\n");
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut file = fs::File::options().append(true).open(&log).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    file.write_all(b"one more line\n").unwrap();
                    thread::sleep(Duration::from_micros(200));
                }
            });
            let ran = a.run(&["broadcast"]);
            stop.store(true, Ordering::Relaxed);
            assert_eq!(ran.status(), 1, "{format}: {}", ran.story());
            assert!(ran.stderr().contains("log: "), "{format}: {}", ran.story());
        });
        assert_eq!(b.receive(), 0, "{format}: the package is sound");
        assert_eq!(b.text("f"), "news\n", "{format}: what did not change has come");
        assert_eq!(b.read("log"), None, "{format}");
        pass(&a, &b);
        assert!(a.read("log") == b.read("log"), "{format}: now that it rests");
    }
}

#[test]
fn a_site_that_was_restored_from_a_backup_is_told() {
    let world = World::in_memory();
    let (a, b) = pair(&world, "2.0");
    let backup = a.top.join("backup");
    let copied = Command::new("cp").arg("-a").arg(&a.tree).arg(&backup).status().unwrap();
    assert!(copied.success());
    a.write("f", "after the backup\n");
    pass(&a, &b);
    pass(&b, &a);
    fs::remove_dir_all(&a.tree).unwrap();
    fs::rename(&backup, &a.tree).unwrap();
    b.write("other/f", "news\n");
    b.run(&["broadcast"]).done();
    a.deliver_all();
    let ran = a.run(&["process", "--batch"]);
    assert!(ran.stderr().contains("this site was restored from a backup"), "{}", ran.story());
    for _ in 0..3 {
        pass(&a, &b);
        pass(&b, &a);
    }
    assert_eq!(
        (a.text("f"), b.text("f")),
        ("after the backup\n".into(), "after the backup\n".into())
    );
    assert_eq!(a.text("other/f"), "news\n");
    assert_eq!((questions(&a), questions(&b)), (Vec::new(), Vec::new()), "nobody is asked");
}
