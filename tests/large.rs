//! A project that is too large to be read whole each time: what is left unread changes no answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use support::{Home, World, settle};

/// Names so long that a base of few files is a large one.
const FILES: usize = 2_600;

fn name(number: usize) -> String {
    let folder = "f".repeat(200);
    format!("{:02}{folder}/{folder}/{folder}/{folder}/{number:04}{folder}", number / 300)
}

/// Two sites in step, with a project of which only a part is read.
fn pair(world: &World) -> (Home, Home) {
    let (a, b) = world.pair();
    for number in 0..FILES {
        a.write(name(number), format!("file {number}\n"));
    }
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b), (&b, &a)] {
        assert!(from.run(&["broadcast"]).status() <= 1);
        to.receive();
    }
    let base = [".remsync", ".remsync.d/ledger"].map(|name| a.tree.join(name));
    let bytes: u64 = base.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes > 5 << 20, "{bytes}");
    // Times that are older than any that is written now.
    thread::sleep(Duration::from_secs(4));
    (a, b)
}

fn sections(home: &Home) -> PathBuf {
    home.tree.join(".remsync.d/sections")
}

/// What `status` says of everything, by three ways that have to say the same: from the sections,
/// without them, and from the whole project.
fn status(home: &Home) -> String {
    let run = |words: &[&str]| {
        let ran = home.run(words);
        let status = ran.status();
        assert!(status <= 1, "{}", ran.story());
        (ran.with(status), status)
    };
    let quick = run(&["status"]);
    let known = fs::read(sections(home)).expect("status keeps the sections");
    fs::remove_file(sections(home)).unwrap();
    assert_eq!(quick, run(&["status"]));
    assert_eq!(fs::read(sections(home)).unwrap(), known, "sections of one base are the same");
    // All files are listed here, the ones in step too.
    let (all, _) = run(&["status", "-v"]);
    let differing = all.lines().filter(|line| !line.ends_with(": in step"));
    assert_eq!(quick.0.lines().collect::<Vec<_>>(), differing.collect::<Vec<_>>());
    quick.0
}

/// Lets the homes come to rest, and holds that all is in step then, by every way to say so.
fn end_in_step(homes: &[&Home]) {
    settle(homes);
    for home in homes {
        thread::sleep(Duration::from_secs(4));
        home.run(&["status"]).done();
        assert!(status(home).contains("in step"));
    }
}

#[test]
fn what_is_not_read_changes_no_answer() {
    let world = World::in_memory();
    let (a, b) = pair(&world);
    let first = a.run(&["status"]).done();
    assert!(sections(&a).is_file(), "{first}");
    assert_eq!(status(&a), first);
    assert!(first.contains("in step") && first.contains("2600 files"), "{first}");

    let at = |number| a.tree.join(name(number));
    let mtime = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    type Change<'c> = (&'c str, &'c dyn Fn(), &'c [usize]);
    let old = mtime(&at(1030));
    let changes: [Change<'_>; 6] = [
        ("the first is edited", &|| fs::write(at(0), "new").unwrap(), &[0]),
        ("the last is gone", &|| fs::remove_file(at(FILES - 1)).unwrap(), &[FILES - 1]),
        (
            "a mode is another",
            &|| fs::set_permissions(at(1023), Permissions::from_mode(0o755)).unwrap(),
            &[1023],
        ),
        (
            "one of the same size and time",
            &|| {
                fs::write(at(1030), "FILE 1030\n").unwrap();
                fs::File::options().write(true).open(at(1030)).unwrap().set_modified(old).unwrap();
            },
            &[1030],
        ),
        (
            "two change places",
            &|| {
                fs::rename(at(1500), a.top.join("aside")).unwrap();
                fs::rename(at(1501), at(1500)).unwrap();
                fs::rename(a.top.join("aside"), at(1501)).unwrap();
            },
            &[1500, 1501],
        ),
        ("one is new", &|| a.write("zz", "zz"), &[]),
    ];
    let mut due = 0;
    for (what, change, files) in changes {
        change();
        due += files.len().max(1);
        let said = status(&a);
        for number in files {
            let lines = said.lines().filter(|line| line.contains(&name(*number)));
            assert_eq!(lines.count(), 1, "{what}: {said}");
        }
        assert!(said.contains(&format!("due ({due} file")), "{what}: {said}");
    }
    // All of that goes, and only that; what the journal has meanwhile is not told twice.
    let said = a.run(&["broadcast"]).done();
    assert!(said.contains("6 files and 1 deletion sent"), "{said}");
    status(&a);
    b.receive();
    assert!(b.run(&["pending"]).status() == 1, "a deletion waits");
    b.run(&["resolve", "--all", "take"]).done();
    end_in_step(&[&a, &b]);
    assert_eq!(a.files(), b.files());
}

#[test]
fn another_choice_of_files_is_looked_at_anew() {
    let world = World::in_memory();
    let (a, _) = pair(&world);
    let not_known = |what: &str| {
        let said = a.run(&["status"]).done();
        let index = a.tree.join(".remsync.d/index");
        let known = fs::read(&index).unwrap();
        fs::remove_file(&index).unwrap();
        assert_eq!(a.run(&["status"]).done(), said, "{what}");
        fs::write(&index, known).unwrap();
        let tally = said.lines().last().unwrap().to_owned();
        let (_, rest) = tally.split_once(" files").unwrap();
        match rest {
            "" => 0,
            rest => {
                let count =
                    rest.strip_prefix(", ").and_then(|it| it.strip_suffix(" not known now"));
                count.and_then(|count| count.parse().ok()).expect(rest)
            }
        }
    };
    assert_eq!(not_known("all"), 0);
    a.run(&["create", "ignore", ".*/0007f*"]).done();
    assert_eq!(not_known("an ignore"), 1);
    a.run(&["delete", "ignore", ".*/0007f*"]).done();
    assert_eq!(not_known("none"), 0);
    a.run(&["create", "scan", "*/*/*/*/*[0-4]f*"]).done();
    assert_eq!(not_known("a scan"), FILES / 2);
}

#[test]
fn who_lost_his_state_is_told_of_all() {
    let world = World::in_memory();
    let (a, b) = pair(&world);
    a.run(&["status"]).done();
    assert!(sections(&a).is_file());
    for name in ["ledger", "journal"] {
        fs::remove_file(b.tree.join(".remsync.d").join(name)).unwrap();
    }
    b.run(&["broadcast"]).done();
    // What it has is what it had; but it wants to be told of ours.
    assert!(a.receive() <= 1);
    thread::sleep(Duration::from_secs(4));
    a.run(&["status"]).done();
    status(&a);
    a.run(&["broadcast"]).done();
    let mail = b.mails().pop().expect("a mail goes out");
    assert!(mail.metadata().unwrap().len() > 20_000, "with all rows");
    end_in_step(&[&a, &b]);
}

#[test]
fn sections_that_are_damaged_or_of_another_base_are_none() {
    let world = World::in_memory();
    let (a, b) = pair(&world);
    let said = a.run(&["status"]).done();
    let known = fs::read(sections(&a)).unwrap();
    b.run(&["status"]).done();
    let theirs = fs::read(sections(&b)).unwrap();
    for bad in [&known[..known.len() - 1], &known[1..], &[], &theirs[..], b"format\tsomething\n"] {
        fs::write(sections(&a), bad).unwrap();
        assert_eq!(a.run(&["status"]).done(), said);
        assert_eq!(fs::read(sections(&a)).unwrap(), known, "they are written anew");
    }
    // Where they cannot be written, that is all.
    fs::remove_file(sections(&a)).unwrap();
    fs::create_dir(sections(&a)).unwrap();
    assert_eq!(a.run(&["status"]).done(), said);
    let left = fs::read_dir(a.tree.join(".remsync.d")).unwrap().map(|it| it.unwrap().file_name());
    let left: Vec<_> =
        left.filter(|name| name.to_string_lossy().starts_with("sections.")).collect();
    assert!(left.is_empty(), "{left:?}");
    fs::remove_dir(sections(&a)).unwrap();

    // A base that somebody wrote by hand, of the same size and time, is another one.
    a.run(&["status"]).done();
    let remsync = a.tree.join(".remsync");
    let old = remsync.metadata().unwrap().modified().unwrap();
    let text = fs::read_to_string(&remsync).unwrap();
    let (line, _) = text.split_once('\n').unwrap();
    let text = text.replacen(line, &line.replace("DO NOT", "do not"), 1);
    let written = Instant::now();
    fs::write(&remsync, text).unwrap();
    fs::File::options().write(true).open(&remsync).unwrap().set_modified(old).unwrap();
    assert_eq!(a.run(&["status"]).done(), said);
    let now = fs::read(sections(&a)).unwrap();
    // On a machine that is busy it is old by then.
    if written.elapsed() < Duration::from_secs(2) {
        assert_eq!(now, known, "too young to be told from a later one");
    }
    thread::sleep(Duration::from_secs(4));
    assert_eq!(a.run(&["status"]).done(), said);
    assert!(fs::read(sections(&a)).unwrap() != known);
}
