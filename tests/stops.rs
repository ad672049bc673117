//! Crashes and failures at every single call that changes the disk: the same command again, and it
//! ends as if nothing had been; at no moment is anything lost.
//!
//! A sample of the calls unless `REMSYNC_STOPS` is `all`; which sample, `REMSYNC_SEED` says. What
//! strace(1) does to the programs is in `support/strace.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]
#![allow(clippy::print_stdout, reason = "what was counted is told with --nocapture")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use remsync::edge::state::State;
use remsync::model::knowledge::Row;
use support::strace::{Fault, Point, Traced, points, run_to};
use support::twins::{Random, copy, edit_thirty, end, in_step, processed, queue, undone};
use support::{DELIVER, Home, REMSYNC, World};

/// Points of one command that are tried unless all are.
const SAMPLE: usize = 14;
/// Faults that are told of one command.
const TOLD_MAX: usize = 8;

/// A command that is stopped in a home, and what has to come of it.
struct Scene<'a> {
    name: &'a str,
    home: &'a Home,
    program: &'a str,
    words: &'a [&'a str],
    /// What is typed after a failure.
    then: &'a [&'a str],
    /// What the filter is given.
    stdin: Option<PathBuf>,
    /// The exit status of the command where nothing stops it.
    status: i32,
    /// The exit statuses that it may end with when it is run again.
    again: &'a [i32],
    /// Tells all that counts of a home afterwards, whatever the moment was.
    tell: &'a (dyn Fn(&Home) -> String + Sync),
    /// Tells more, of one that was killed: where something fails the rest is done all the same.
    tell_killed: &'a (dyn Fn(&Home) -> String + Sync),
}

impl Scene<'_> {
    fn command(&self, twin: &Home) -> Command {
        let mut command = twin.command(self.program);
        command.args(self.words);
        command
    }

    fn again(&self, twin: &Home, fault: Fault) -> support::Ran {
        match (&self.stdin, fault) {
            (Some(mail), _) => twin.deliver(mail),
            (None, Fault::Error(_)) if !self.then.is_empty() => twin.run(self.then),
            (None, _) => twin.run(self.words),
        }
    }
}

#[test]
fn process_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = in_step(&world);
    edit_thirty(&a);
    b.write("folder3/f3", "of b\n");
    a.write("new/one", "new\n");
    a.run(&["broadcast"]).done();
    a.write("new/two", "new too\n");
    a.remove("folder3/f39");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    stop_everywhere(
        &world,
        &Scene {
            name: "process",
            home: &b,
            program: REMSYNC,
            words: &["process", "--batch"],
            then: &[],
            stdin: None,
            status: 1,
            again: &[1],
            tell: &seen,
            tell_killed: &known,
        },
    );
}

/// A processing is killed, and the next to run is not that processing but a broadcast: what lies in
/// the tree by then keeps the name and the past that it came with.
#[test]
fn what_a_killed_process_put_in_place_keeps_its_name() {
    let world = World::in_memory();
    let (a, b) = in_step(&world);
    set(&b, "[policy]\ndeletions = \"apply\"\n");
    edit_thirty(&a);
    b.write("folder3/f3", "of b\n");
    a.write("new/one", "new\n");
    a.remove("folder3/f39");
    a.run(&["broadcast"]).done();
    // The mail is lost, so that what comes is two versions on: one that was written here would be
    // one on, and know nothing of the other.
    b.mails().iter().for_each(|mail| fs::remove_file(mail).unwrap());
    (0..10).for_each(|n| a.write(format!("folder{}/f{n}", n % 4), format!("{n} once more\n")));
    a.write("new/one", "newer\n");
    a.remove("folder2/f38");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let between = killed_then_broadcast(&world, &b, &["process", "--batch"], &[1]);
    assert!(between > 0, "it was never killed between the files and the beliefs");
    // What a person takes.
    assert_eq!(b.run(&["process", "--batch"]).status(), 1);
    let between = killed_then_broadcast(&world, &b, &["resolve", "folder3/f3", "take"], &[0, 2]);
    assert!(between > 0, "it was never killed between the files and the beliefs");
}

/// Kills a command at its points, and broadcasts; then it is run again, and ends with one of these.
/// Returns how often files were in place and not all of them believed.
fn killed_then_broadcast(world: &World, home: &Home, words: &[&str], ends: &[i32]) -> usize {
    let command = |home: &Home| {
        let mut command = home.command(REMSYNC);
        command.args(words);
        command
    };
    let (before, files) = (versions(home), home.files());
    let calm = copy(world, home, "calm");
    let all = points(&command(&calm), None, &log_of(&calm));
    let after = versions(&calm);
    assert!(before != after);
    let mut random = Random::new();
    let stride = stride(all.len(), 3 * SAMPLE);
    let (mut between, mut rounds) = (0, 0);
    for point in all.iter().skip(random.number(stride)).step_by(stride) {
        let what = format!("{words:?}, REMSYNC_SEED={} {point:?}", random.seed);
        let twin = copy(world, home, "killed");
        let traced = run_to(&command(&twin), None, &log_of(&twin), point, Fault::Kill);
        assert!(traced.is_reached, "{what}");
        let intent = twin.tree.join(".remsync.d/intent");
        let is_intended = || fs::metadata(&intent).is_ok_and(|found| found.len() > 0);
        if twin.files() != files && versions(&twin) == before {
            assert!(is_intended(), "{what}");
            between += 1;
        }
        twin.run(&["broadcast", "--batch"]).done();
        assert!(!is_intended(), "{what}");
        for (path, version) in &versions(&twin) {
            // What was written here is a version of its own.
            let is_own = path == "folder3/f3" && version.starts_with("2.");
            let known = [before.get(path), after.get(path)];
            assert!(is_own || known.contains(&Some(version)), "{what}: {path} is {version}");
        }
        let again = twin.run(words);
        assert!(ends.contains(&again.status()), "{what}\n{}", again.story());
        assert_eq!(versions(&twin), after, "{what}");
        rounds += 1;
    }
    println!("{words:?}, then broadcast: {} points, {rounds} killed, {between} midway", all.len());
    between
}

/// Returns the name of each version and what it descends from.
fn versions(home: &Home) -> BTreeMap<String, String> {
    let project = State::read(&home.tree).unwrap();
    let told = |row: &Row| format!("{} of {:?}", row.version, row.history);
    project.knowledge.rows.iter().map(|(path, row)| (path.to_string(), told(row))).collect()
}

#[test]
fn process_that_removes_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    for name in ["one", "two", "d/e/only", "d/other/last", "stays", "stays/too", "d/stays"] {
        a.write(name.replace("stays/", "s/"), name);
    }
    share(&a, &b);
    ["two", "d/e/only", "d/other/last"].iter().for_each(|name| a.remove(name));
    a.run(&["broadcast"]).done();
    set(&b, "[policy]\ndeletions = \"apply\"\n");
    b.deliver_all();
    stop_everywhere(
        &world,
        &Scene {
            name: "process with deletions",
            home: &b,
            program: REMSYNC,
            words: &["process", "--batch"],
            then: &[],
            stdin: None,
            status: 0,
            again: &[0],
            tell: &|twin| seen(twin),
            // A folder that cannot be removed stays.
            tell_killed: &|twin| format!("{} {:?}", known(twin), folders(&twin.tree)),
        },
    );
}

#[test]
fn accept_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    // So many that all are synced at once.
    (0..34).for_each(|n| a.write(format!("d{}/f{n}", n % 2), format!("{n}\n")));
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    stop_everywhere(
        &world,
        &Scene {
            name: "accept",
            home: &b,
            program: REMSYNC,
            words: &["accept", &id, "."],
            then: &[],
            stdin: None,
            status: 0,
            // "It is done already."
            again: &[0, 2],
            tell: &seen,
            tell_killed: &known,
        },
    );
}

#[test]
fn the_filter_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let noise: Vec<u8> =
        (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    a.write("noise", noise);
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    let mail = b.mails().pop().unwrap();
    deliver_everywhere(&world, "the filter", &b, mail);
}

#[test]
fn the_filter_stopped_anywhere_in_the_last_volume() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let mut random = Random::new();
    let noise: Vec<u8> = (0..250_000).map(|_| random.number(256) as u8).collect();
    a.write("noise", noise);
    set(&a, "");
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    let settings = settings.replace("[mail]\n", "[mail]\nsize_max_bytes = 100000\n");
    fs::write(a.top.join("config.toml"), settings).unwrap();
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    let mut mails = b.mails();
    assert!(mails.len() > 2, "{mails:?}");
    let last = mails.pop().unwrap();
    mails.iter().for_each(|mail| assert_eq!(b.deliver(mail).status(), 0));
    deliver_everywhere(&world, "the filter, the last volume", &b, last);
}

fn deliver_everywhere(world: &World, name: &str, home: &Home, mail: PathBuf) {
    stop_everywhere(
        world,
        &Scene {
            name,
            home,
            program: DELIVER,
            words: &[],
            then: &[],
            stdin: Some(mail),
            status: 0,
            again: &[0],
            tell: &|twin| format!("{:?}", queue(twin)),
            tell_killed: &nothing,
        },
    );
}

#[test]
fn broadcast_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    (0..8).for_each(|n| a.write(format!("f{n}"), format!("{n}\n")));
    share(&a, &b);
    // A package that no carrier took lies in the outbox, and no longer says all.
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    fs::write(a.top.join("config.toml"), "[mail]\ntransport = \"sendmail:/bin/false\"\n").unwrap();
    a.write("f1", "edited\n");
    a.remove("f2");
    a.run(&["broadcast"]).with(2);
    fs::write(a.top.join("config.toml"), settings).unwrap();
    a.write("f3", "edited too\n");
    let receives = |twin: &Home| {
        let (mut status, _) = twin.json(&["status"]);
        let site = &mut status["sites"][0];
        (site["sent_since"], site["last_word"]) = Default::default();
        let outbox = twin.json(&["queue", "list", "--out"]).0;
        let receiver = copy(&world, &b, &format!("{}-receiver", name_of(&twin.top)));
        let mails = fs::read_dir(twin.top.join("post").join(&b.address).join("new"));
        for mail in mails.unwrap() {
            receiver.deliver(&mail.unwrap().path()).done();
        }
        receiver.run(&["process", "--batch"]).with(1);
        receiver.run(&["resolve", "f2", "take"]).done();
        assert!(receiver.files() == twin.files(), "{:#?}", receiver.files());
        // What was taken by a carrier that then failed is sent once more.
        fs::remove_dir_all(&receiver.top).unwrap();
        format!("{status:#} {outbox:#}")
    };
    stop_everywhere(
        &world,
        &Scene {
            name: "broadcast",
            home: &a,
            program: REMSYNC,
            words: &["broadcast", "--batch"],
            // Else it waits a while before it tries again.
            then: &["broadcast", "b@b.example", "--batch"],
            stdin: None,
            status: 0,
            again: &[0],
            tell: &receives,
            tell_killed: &nothing,
        },
    );
}

#[test]
fn undo_stopped_anywhere() {
    let world = World::in_memory();
    let (b, before) = processed(&world);
    b.run(&["process", "--batch"]).done();
    let (log, _) = b.json(&["log"]);
    let number = log["runs"][0]["run"].to_string();
    stop_everywhere(
        &world,
        &Scene {
            name: "undo",
            home: &b,
            program: REMSYNC,
            words: &["undo", &number],
            then: &[],
            stdin: None,
            status: 0,
            again: &[0],
            tell: &|twin| {
                assert!(twin.files() == before);
                seen(twin)
            },
            tell_killed: &|twin| format!("{} {:#?}", known(twin), undone(twin)),
        },
    );
}

#[test]
fn resolve_stopped_anywhere() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let text = |n: usize| format!("{n}\ntwo\nthree\nfour\nfive\n");
    (0..6).for_each(|n| a.write(format!("f{n}"), text(n)));
    share(&a, &b);
    for n in 0..6 {
        a.write(format!("f{n}"), text(n) + "of a\n");
        b.write(format!("f{n}"), "of b\n".to_owned() + &text(n));
    }
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    // Times are of the moment in which something is made here.
    let bytes = |twin: &Home| -> Vec<(OsString, Vec<u8>)> {
        twin.files().into_iter().map(|(name, file)| (name, file.bytes)).collect()
    };
    for decision in ["keep", "take", "both", "merge"] {
        let words = ["resolve", "--all", decision];
        stop_everywhere(
            &world,
            &Scene {
                name: &words.join(" "),
                home: &b,
                program: REMSYNC,
                words: &words,
                then: &[],
                stdin: None,
                status: 0,
                again: &[0],
                tell: &|twin| {
                    let (pending, _) = twin.json(&["pending"]);
                    format!("{:?} {pending:#} {:?}", bytes(twin), queue(twin))
                },
                tell_killed: &nothing,
            },
        );
    }
}

#[test]
fn restore_stopped_anywhere() {
    let world = World::in_memory();
    let (b, _) = processed(&world);
    b.run(&["process", "--batch"]).done();
    let (kept, _) = b.json(&["restore", "folder1/f5"]);
    let mut versions = kept["versions"].as_array().unwrap().iter();
    let other = versions.find(|version| version["here"] == false).unwrap();
    stop_everywhere(
        &world,
        &Scene {
            name: "restore",
            home: &b,
            program: REMSYNC,
            words: &["restore", "folder1/f5", other["version"].as_str().unwrap()],
            then: &[],
            stdin: None,
            status: 0,
            again: &[0],
            tell: &seen,
            tell_killed: &known,
        },
    );
}

// ---- how it is done

/// What a person sees of a home: its tree, what waits, what is where.
fn seen(home: &Home) -> String {
    let (files, mut status, _, queue) = end(home);
    let mut parsed: serde_json::Value = serde_json::from_str(&status).unwrap();
    parsed["summary"]["empty_folders"] = Default::default();
    status = format!("{parsed:#}");
    format!("{files:#?}\n{status}\n{queue:#?}")
}

/// What is known of each file: after a failure packages are taken in another order, and then
/// generations are others.
fn known(home: &Home) -> String {
    end(home).2
}

/// Tells no more.
fn nothing(_: &Home) -> String {
    String::new()
}

/// Stops a command at its points, by a crash and by each failure, in turn; compares the ends.
fn stop_everywhere(world: &World, scene: &Scene) {
    let mut random = Random::new();
    let (seed, turn) = (random.seed, random.number(FAULTS.len()));
    let calm = copy(world, scene.home, "calm");
    own_post(&calm);
    let all = points(&scene.command(&calm), scene.stdin.as_deref(), &log_of(&calm));
    let expected = [(scene.tell)(&calm), (scene.tell_killed)(&calm)];
    let wanted = bytes_within(&scene.home.top);
    let (is_whole, stride) = (is_whole(), stride(all.len(), SAMPLE));
    let first = random.number(stride);
    // Every failure at every point, or one of them.
    let mut stops: Vec<(&Point, Fault)> = Vec::new();
    for (number, point) in all.iter().skip(first).step_by(stride).enumerate() {
        stops.push((point, Fault::Kill));
        match is_whole {
            true => stops.extend(FAULTS.iter().map(|errno| (point, Fault::Error(errno)))),
            false => {
                stops.push((point, Fault::Error(FAULTS[(number + turn) % FAULTS.len()])));
            }
        }
    }
    let (next, crashes, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let trouble = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (next, stops, trouble) = (&next, &stops, &trouble);
            let (crashes, failures, expected, wanted) = (&crashes, &failures, &expected, &wanted);
            scope.spawn(move || {
                while let Some((point, fault)) = stops.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let twin = copy(world, scene.home, &format!("stopped{worker}"));
                    own_post(&twin);
                    let said = stop_once(scene, &twin, point, *fault, expected, wanted);
                    let counted = if let Fault::Kill = fault { crashes } else { failures };
                    counted.fetch_add(1, Ordering::Relaxed);
                    if let Err(what) = said {
                        trouble.lock().unwrap().push(format!("{point:?} {fault:?}: {what}"));
                    }
                }
            });
        }
    });
    past_the_end(world, scene, &all);
    println!(
        "{}: {} points; {} crashes, {} failures",
        scene.name,
        all.len(),
        crashes.into_inner(),
        failures.into_inner()
    );
    let trouble = trouble.into_inner().unwrap();
    assert!(
        trouble.is_empty(),
        "{}, REMSYNC_SEED={seed}: {} of {}\n{}",
        scene.name,
        trouble.len(),
        stops.len(),
        trouble.iter().take(TOLD_MAX).cloned().collect::<Vec<String>>().join("\n")
    );
}

/// Whether each point is tried.
fn is_whole() -> bool {
    std::env::var("REMSYNC_STOPS").is_ok_and(|how| how == "all")
}

/// How far apart points are tried, of which there are so many, that `sample` are.
fn stride(points: usize, sample: usize) -> usize {
    if is_whole() { 1 } else { points.div_ceil(sample).max(1) }
}

/// What a call may fail with: no room, no permission, a broken disk.
const FAULTS: [&str; 3] = ["ENOSPC", "EACCES", "EIO"];

/// Stops a command once and runs it again.
fn stop_once(
    scene: &Scene,
    twin: &Home,
    point: &Point,
    fault: Fault,
    [calm, calm_more]: &[String; 2],
    wanted: &BTreeSet<Vec<u8>>,
) -> Result<(), String> {
    let command = scene.command(twin);
    let traced = run_to(&command, scene.stdin.as_deref(), &log_of(twin), point, fault);
    let story =
        |what: &str, traced: &Traced| format!("{what}: {:?}\n{}", traced.status, traced.stderr);
    if !traced.is_reached {
        return Err(story("it did not come there", &traced));
    }
    if let Fault::Error(_) = fault
        && !(0..=2).contains(&traced.code())
        && !(traced.code() == 75 && scene.program == DELIVER)
    {
        return Err(story("it ended in a way of its own", &traced));
    }
    hold_nothing_lost(twin, wanted).map_err(|what| story(&what, &traced))?;
    // Who says that all is done has to have done it.
    let says_done = traced.code() == scene.status;
    if !says_done {
        let again = scene.again(twin, fault);
        if !scene.again.contains(&again.status()) {
            return Err(format!("{}\nagain: {}", story("stopped", &traced), again.story()));
        }
        hold_nothing_lost(twin, wanted)?;
    }
    let (mut told, mut expected) = ((scene.tell)(twin), calm.clone());
    if let Fault::Kill = fault {
        (told, expected) = (told + &(scene.tell_killed)(twin), expected + calm_more);
    }
    if told == expected {
        return Ok(());
    }
    let said = if says_done { "it said that it was done" } else { "it was run again" };
    Err(format!("{}\n{}", story(said, &traced), difference(&expected, &told)))
}

/// Past the last of its points a command is not stopped any more.
fn past_the_end(world: &World, scene: &Scene, all: &[Point]) {
    let calls: BTreeSet<&str> = all.iter().map(|point| point.call).collect();
    for call in calls.into_iter().filter(|call| !["openat", "write"].contains(call)) {
        let number = all.iter().filter(|point| point.call == call).count() as u32 + 1;
        let twin = copy(world, scene.home, "unharmed");
        own_post(&twin);
        let point = Point { call, number };
        let command = scene.command(&twin);
        let traced = run_to(&command, scene.stdin.as_deref(), &log_of(&twin), &point, Fault::Kill);
        assert!(!traced.is_reached, "{}: {point:?} is a point more", scene.name);
    }
}

/// Holds that all contents that were in a home still are, under whatever name.
fn hold_nothing_lost(twin: &Home, wanted: &BTreeSet<Vec<u8>>) -> Result<(), String> {
    let there = bytes_within(&twin.top);
    match wanted.iter().find(|bytes| !there.contains(*bytes)) {
        None => Ok(()),
        Some(lost) => Err(format!("lost: {:?}", String::from_utf8_lossy(lost))),
    }
}

/// Returns the contents of all files of the tree and of the kept versions of a home.
fn bytes_within(top: &Path) -> BTreeSet<Vec<u8>> {
    let mut bytes = BTreeSet::new();
    let mut folders = vec![top.join("tree")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = name_of(&path);
            // What the program writes for itself changes all the time.
            let is_own = name.starts_with(".remsync") && path.is_file()
                || [".remsync-work", "stage", "base", "outbox", "sent"].contains(&name.as_str())
                || path.parent().is_some_and(|folder| folder.ends_with(".remsync.d"))
                    && path.is_file();
            if is_own {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes.insert(fs::read(path).unwrap());
            }
        }
    }
    bytes
}

/// Has the mail of a home go to a folder of its own.
fn own_post(home: &Home) {
    let settings = fs::read_to_string(home.top.join("config.toml")).unwrap();
    let post = format!("maildir:{}\"", home.top.join("post").display());
    let lines = settings.lines().map(|line| match line.strip_prefix("transport = \"maildir:") {
        Some(_) => format!("transport = \"{post}"),
        None => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    fs::write(home.top.join("config.toml"), lines.join("\n") + "\n").unwrap();
}

/// Makes the tree of `a` known to both, and to both that it is.
fn share(a: &Home, b: &Home) {
    a.init(&[b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    b.run(&["broadcast"]).done();
    a.receive();
}

fn set(home: &Home, more: &str) {
    let settings = fs::read_to_string(home.top.join("config.toml")).unwrap();
    fs::write(home.top.join("config.toml"), settings + more).unwrap();
}

fn log_of(home: &Home) -> PathBuf {
    home.top.join("strace.log")
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Returns the folders below `top` that are not the program's own.
fn folders(top: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![top.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !name_of(&path).starts_with(".remsync") {
                found.insert(path.strip_prefix(top).unwrap().to_owned());
                left.push(path);
            }
        }
    }
    found
}

/// Returns the lines in which two texts differ.
fn difference(expected: &str, told: &str) -> String {
    let apart = |text: &str| text.replace("\\n", "\n").replace(",\\\"", ",\n\\\"");
    let (expected, told) = (apart(expected), apart(told));
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), told.lines().collect());
    let gone = a.iter().filter(|line| !b.contains(line)).map(|line| format!("- {line}"));
    let new = b.iter().filter(|line| !a.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new)
        .take(4)
        .map(|line| line.chars().take(160).collect())
        .collect::<Vec<String>>()
        .join("\n")
}
