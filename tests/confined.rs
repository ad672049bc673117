//! Nothing leaves the folder of a project, whoever put a link where something of ours belongs, and
//! whatever is swapped meanwhile; and no mode arrives that a person did not set.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::trust::tool;
use support::{Home, World, fingerprint};

/// Edits on both sides, mail to and fro, and every command that writes.
fn days_work(a: &Home, b: &Home, day: u32) {
    let at = |name: &str| format!("{name} of day {day}\n");
    a.write("f", at("f of a"));
    a.write("dir/sub/g", at("g"));
    let _ = a.run(&["broadcast"]);
    b.write("f", at("f of b"));
    b.deliver_all();
    let _ = b.run(&["process", "--batch"]);
    let _ = b.run(&["resolve", "--all", "take"]);
    let _ = b.run(&["undo"]);
    let _ = b.run(&["restore", "f"]);
    let _ = b.run(&["check"]);
    let _ = b.run(&["create", "ignore", &format!("none{day}")]);
    let _ = b.run(&["broadcast", "a@a.example"]);
    a.deliver_all();
    let _ = a.run(&["process", "--batch"]);
    let _ = a.run(&["resolve", "--all", "keep"]);
    let _ = fs::remove_file(a.tree.join("dir/sub/g"));
    let _ = a.run(&["broadcast"]);
    b.deliver_all();
    let _ = b.run(&["process", "--batch"]);
    let _ = b.run(&["resolve", "--all", "take"]);
}

/// Everything below a folder that is not a folder itself, and the folders too.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(all_below(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn a_link_planted_in_our_own_folder_leads_nowhere() {
    let world = World::in_memory();
    let (a, b) = world.pair();
    days_work(&a, &b, 1);
    let own = b.tree.join(".remsync.d");
    let mut places: Vec<PathBuf> = all_below(&own);
    // One version for all, and one folder of them.
    let is_hex = |path: &PathBuf, length: usize| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.len() == length && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    for length in [2, 62] {
        let mut left = 1;
        places.retain(|place| {
            let is_version = is_hex(place, length);
            left -= i32::from(is_version);
            !is_version || left >= 0
        });
    }
    // What is there for a moment only.
    let site = &support::archive::sha256(b"a@a.example")[..12];
    places.extend(
        [
            "pruned",
            "identities.new",
            "runs.new",
            "ledger.new",
            "outbox/draft",
            "outbox/threads.new",
            &format!("outbox/{site}.new"),
            "kept/in",
            "kept/sum",
            "base/in",
            "stage",
            "../.remsync.new",
            "../.remsync.bak",
        ]
        .map(|name| own.join(name)),
    );
    places.push(own.clone());
    places.sort();
    places.dedup();
    assert!(places.len() > 25, "{places:?}");

    let (outside, saved) = (world.path().join("outside"), world.path().join("saved"));
    let copy = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        tool("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    };
    copy(&b.tree, &saved);
    for (place, day) in places.iter().zip(2..) {
        // As it is for somebody who unpacked an archive over the project.
        let _ = fs::remove_dir_all(&outside);
        fs::create_dir(&outside).unwrap();
        let target = outside.join("target");
        if place.is_dir() {
            copy(place, &target);
            fs::write(target.join("precious"), "precious\n").unwrap();
            fs::remove_dir_all(place).unwrap();
        } else {
            fs::write(&target, "precious\n").unwrap();
            let _ = fs::remove_file(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
        }
        symlink(&target, place).unwrap();
        let before = whole(&outside);
        days_work(&a, &b, day);
        assert_eq!(whole(&outside), before, "{}", place.display());
        copy(&saved, &b.tree);
    }
}

/// All of a folder, names that begin as ours too.
fn whole(folder: &Path) -> String {
    let mut all = fingerprint(&[folder]);
    for path in all_below(folder) {
        let found = fs::symlink_metadata(&path).unwrap();
        all += &format!("{} {:o}\n", path.display(), found.permissions().mode());
        if found.is_file() {
            all += &String::from_utf8_lossy(&fs::read(&path).unwrap());
        }
    }
    all
}

/// Every write path but that of `process`, which tests/attacks.rs races.
#[test]
fn restore_undo_resolve_and_what_is_kept_are_raced_in_vain() {
    const ROUNDS: u32 = 4;
    const FILES: u32 = 20;
    let world = World::in_memory();
    let (a, b) = world.pair();
    let name = |n: u32| format!("dir/{n}");
    let outside = world.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for n in 0..FILES {
        a.write(name(n), "one\n");
        fs::write(outside.join(n.to_string()), "one\n").unwrap();
    }
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    let kept = b.tree.join(".remsync.d/kept");
    fs::create_dir(&kept).unwrap_or_default();
    let pairs = [
        (b.tree.join("dir"), b.tree.join("link"), outside.clone()),
        (kept.clone(), b.tree.join(".remsync.d/link"), outside.clone()),
    ];
    for (_, link, to) in &pairs {
        symlink(to, link).unwrap();
    }
    // Times are those of the test, which writes there too.
    let all = || -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = all_below(&outside);
        all.sort();
        all.into_iter().map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
    };
    let before = all();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (folder, link, _) in &pairs {
                    let _ = renameat_with(CWD, folder, CWD, link, RenameFlags::EXCHANGE);
                }
                swaps.fetch_add(1, Ordering::Relaxed);
                // So that some of what is tried succeeds.
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        for round in 0..ROUNDS {
            for n in 0..FILES {
                a.write(name(n), format!("{n} {round} of a\n"));
                let real = if pairs[0].0.is_symlink() { &pairs[0].1 } else { &pairs[0].0 };
                let _ = fs::write(real.join(n.to_string()), format!("{n} {round} of b\n"));
            }
            // The write above may itself have gone through the link.
            for n in 0..FILES {
                fs::write(outside.join(n.to_string()), "one\n").unwrap();
            }
            let _ = a.run(&["broadcast"]);
            b.deliver_all();
            for words in [
                &["process", "--batch"][..],
                &["resolve", "--all", "take"],
                &["undo"],
                &["resolve", "--all", "take"],
                &["restore", "dir/1"],
                &["restore", "dir/2"],
                &["undo"],
                &["check"],
                &["broadcast"],
            ] {
                let _ = b.run(words);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(all(), before);
    let count = swaps.load(Ordering::Relaxed);
    println!("{count} swaps");
    assert!(count > 1_000, "the race was not run: {count}");
}

#[test]
fn no_mode_arrives_that_nobody_set() {
    for umask in ["000", "002", "022", "077"] {
        let world = World::in_memory();
        let (a, b) = (world.home("a"), world.home("b"));
        let run = |words: &str| {
            let script = format!("umask {umask}; exec {} {words}", support::REMSYNC);
            let output = b.command("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{umask} {words} {output:?}");
        };
        let modes = [0o7777, 0o4755, 0o2755, 0o1777, 0o666, 0o777, 0o644];
        for mode in modes {
            let path = format!("dir/{mode:o}/sub/f");
            a.write(&path, "one\n");
            fs::set_permissions(a.tree.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        a.init(&[&b]).done();
        a.run(&["broadcast"]).done();
        b.deliver_all();
        run(&format!("accept {} .", b.first_entry()));
        let check = |what: &str, forbidden: u32, text: &str| {
            let mut all = all_below(&b.tree);
            // What is kept is as it was, in a folder for its owner alone.
            all.retain(|path| !path.starts_with(b.tree.join(".remsync.d/kept")));
            assert!(all.len() > 25, "{all:?}");
            for path in all {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode & forbidden, 0, "{umask} {what} {}: {mode:o}", path.display());
            }
            assert_eq!(b.text("dir/644/sub/f"), text);
        };
        check("created", 0o7002, "one\n");
        // Again, over what is there with modes of its own.
        for mode in modes {
            let path = format!("dir/{mode:o}/sub/f");
            a.write(&path, "two\n");
            let own = if mode & 0o100 == 0 { 0o7666 } else { 0o7777 };
            fs::set_permissions(b.tree.join(path), fs::Permissions::from_mode(own)).unwrap();
        }
        a.run(&["broadcast"]).done();
        b.deliver_all();
        run("process --batch");
        check("replaced", 0o7002, "two\n");
        // What was here before comes back as it was, but for the bits above.
        run("undo");
        check("undone", 0o7000, "one\n");
    }
}
