//! SIGKILL at random moments, the same command again: the same end as without a crash.
//!
//! `REMSYNC_SEED` replays a run; the seed is printed when one fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::twins::{Random, copy, edit_thirty, end, in_step, processed, queue, undone};
use support::{DELIVER, Home, REMSYNC, World};

/// Kills that were in time: the program was still running.
const KILLS: usize = 200;
/// The same for an undo, whose rounds are longer.
const UNDO_KILLS: usize = 50;
/// And for what is undone or merged after it.
const OTHER_KILLS: usize = 25;

#[test]
fn process_killed_anywhere_ends_the_same() {
    let world = World::in_memory();
    let (a, b) = in_step(&world);
    // Replacements, creations, a conflict and a deletion, in two packages.
    edit_thirty(&a);
    b.write("folder3/f3", "of b\n");
    a.write("new/one", "new\n");
    a.run(&["broadcast"]).done();
    a.write("new/two", "new too\n");
    a.remove("folder3/f39");
    a.run(&["broadcast"]).done();
    b.deliver_all();

    let expected = {
        let twin = copy(&world, &b, "calm");
        assert_eq!(twin.run(&["process", "--batch"]).status(), 1);
        end(&twin)
    };
    let twin = copy(&world, &b, "timed");
    let start = Instant::now();
    let _ = twin.run(&["process", "--batch"]).status();
    let mut moments = Moments::below(start.elapsed(), KILLS);
    let mut random = Random::new();
    for round in 0.. {
        let Some(delay) = moments.next(&mut random) else { break };
        let twin = copy(&world, &b, "killed");
        let mut command = twin.command(REMSYNC);
        moments.count(kill_after(command.args(["process", "--batch"]), delay));
        let ran = twin.run(&["process", "--batch"]);
        assert!(ran.status() <= 1, "round {round} of seed {}\n{}", random.seed, ran.story());
        let ended = end(&twin);
        assert!(
            ended == expected,
            "round {round} of seed {}:\n{ended:#?}\n--- without a crash\n{expected:#?}",
            random.seed
        );
    }
}

#[test]
fn the_filter_killed_anywhere_ends_the_same() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let noise: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    a.write("noise", noise);
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    let mail = b.mails().pop().unwrap();
    let calm = copy(&world, &b, "calm");
    let start = Instant::now();
    calm.deliver(&mail).done();
    let mut moments = Moments::below(start.elapsed(), KILLS);
    let expected = queue(&calm);
    let mut random = Random::new();
    for round in 0.. {
        let Some(delay) = moments.next(&mut random) else { break };
        let twin = copy(&world, &b, "killed");
        let mut command = twin.command(DELIVER);
        command.stdin(fs::File::open(&mail).unwrap());
        moments.count(kill_after(&mut command, delay));
        let half = queue(&twin);
        assert!(half.is_empty() || half == expected, "round {round} of seed {}", random.seed);
        twin.deliver(&mail).done();
        assert_eq!(queue(&twin), expected, "round {round} of seed {}", random.seed);
    }
}

#[test]
fn broadcast_killed_anywhere_ends_the_same() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    for n in 0..20 {
        a.write(format!("f{n}"), format!("{n}\n"));
    }
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    b.run(&["broadcast"]).done();
    a.receive();
    a.run(&["broadcast"]).done();
    b.receive();
    // A package that no carrier took lies in the outbox; in one world it still says all.
    let settings = fs::read_to_string(a.top.join("config.toml")).unwrap();
    fs::write(a.top.join("config.toml"), "[mail]\ntransport = \"sendmail:/bin/false\"\n").unwrap();
    a.write("f1", "edited\n");
    a.remove("f2");
    a.run(&["broadcast"]).with(2);
    fs::write(a.top.join("config.toml"), settings).unwrap();
    let changed = copy(&world, &a, "changed");
    changed.write("f3", "edited too\n");
    let sent = |home: &Home| {
        let (mut status, _) = home.json(&["status"]);
        (status["sites"][0]["sent_since"], status["sites"][0]["last_word"]) = Default::default();
        (status.to_string(), home.json(&["queue", "list", "--out"]).0.to_string())
    };
    let mut random = Random::new();
    for from in [&a, &changed] {
        let twin = copy(&world, from, "calm");
        let start = Instant::now();
        twin.run(&["broadcast", "--batch"]).done();
        let mut moments = Moments::below(start.elapsed(), KILLS / 8);
        let expected = sent(&twin);
        b.mails().iter().for_each(|mail| fs::remove_file(mail).unwrap());
        let mut mails = 0;
        for round in 0.. {
            let Some(delay) = moments.next(&mut random) else { break };
            let twin = copy(&world, from, "killed");
            let mut command = twin.command(REMSYNC);
            moments.count(kill_after(command.args(["broadcast", "--batch"]), delay));
            // Once more at least: a crash makes a package due, not more.
            twin.run(&["broadcast", "--batch"]).done();
            let story = format!("round {round} of seed {}", random.seed);
            assert_eq!(sent(&twin), expected, "{story}");
            let receiver = copy(&world, &b, "receiver");
            let before = queue(&receiver).len();
            mails += b.mails().len();
            for mail in b.mails() {
                receiver.deliver(&mail).done();
                fs::remove_file(mail).unwrap();
            }
            assert_eq!(queue(&receiver).len(), before + 1, "{story}");
            assert_eq!(receiver.run(&["process", "--batch"]).status(), 1, "{story}");
            receiver.run(&["resolve", "f2", "take"]).done();
            assert!(receiver.files() == twin.files(), "{story}");
        }
        assert!(mails >= moments.rounds);
    }
}

#[test]
fn an_undo_killed_anywhere_ends_the_same() {
    let world = World::in_memory();
    let (b, before) = processed(&world);
    b.run(&["process", "--batch"]).done();
    let (log, _) = b.json(&["log"]);
    let number = log["runs"][0]["run"].to_string();
    let calm = copy(&world, &b, "calm");
    let start = Instant::now();
    calm.run(&["undo", &number]).done();
    let mut moments = Moments::below(start.elapsed(), UNDO_KILLS);
    assert!(calm.files() == before);
    let expected = (end(&calm), undone(&calm));
    let mut random = Random::new();
    for round in 0.. {
        let Some(delay) = moments.next(&mut random) else { break };
        let twin = copy(&world, &b, "killed");
        let mut command = twin.command(REMSYNC);
        moments.count(kill_after(command.args(["undo", &number]), delay));
        let ran = twin.run(&["undo", &number]);
        assert_eq!(ran.status(), 0, "round {round} of seed {}\n{}", random.seed, ran.story());
        let ended = end(&twin);
        assert!(
            ended == expected.0,
            "round {round} of seed {}:\n{ended:#?}\n--- without a crash\n{:#?}",
            random.seed,
            expected.0
        );
        assert_eq!(undone(&twin), expected.1, "round {round} of seed {}", random.seed);
    }
}

#[test]
fn what_a_killed_process_did_can_be_undone() {
    let world = World::in_memory();
    let (b, before) = processed(&world);
    let calm = copy(&world, &b, "calm");
    let start = Instant::now();
    calm.run(&["process", "--batch"]).done();
    let mut moments = Moments::below(start.elapsed(), OTHER_KILLS);
    calm.run(&["undo"]).done();
    assert!(calm.files() == before);
    let mut random = Random::new();
    for round in 0.. {
        let Some(delay) = moments.next(&mut random) else { break };
        let twin = copy(&world, &b, "killed");
        let mut command = twin.command(REMSYNC);
        moments.count(kill_after(command.args(["process", "--batch"]), delay));
        // Undone as it was left, or when it was run to its end.
        if round % 2 == 0 {
            twin.run(&["process", "--batch"]).done();
        }
        let ran = twin.run(&["undo"]);
        assert_eq!(ran.status(), 0, "round {round} of seed {}\n{}", random.seed, ran.story());
        let is_accept_undone = round % 2 == 1 && twin.files().is_empty();
        assert!(
            twin.files() == before || is_accept_undone,
            "round {round} of seed {}\n{}\n{:#?}",
            random.seed,
            ran.story(),
            twin.files()
        );
    }
}

#[test]
fn a_merge_killed_anywhere_ends_the_same() {
    let world = World::in_memory();
    let (a, b) = (world.home("a"), world.home("b"));
    let text = |n: usize| format!("{n}\ntwo\nthree\nfour\nfive\n");
    (0..12).for_each(|n| a.write(format!("f{n}"), text(n)));
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    b.run(&["broadcast"]).done();
    a.receive();
    for n in 0..12 {
        a.write(format!("f{n}"), text(n) + "of a\n");
        b.write(format!("f{n}"), "of b\n".to_owned() + &text(n));
    }
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 1);
    // Every file both ways: a merge, and one beside.
    let commands = [["resolve", "f?", "merge"], ["resolve", "f1?", "both"]];
    let bytes = |home: &Home| -> Vec<(OsString, Vec<u8>)> {
        home.files().into_iter().map(|(name, file)| (name, file.bytes)).collect()
    };
    let calm = copy(&world, &b, "calm");
    let start = Instant::now();
    calm.run(&commands[0]).with(1);
    let mut moments = Moments::below(start.elapsed(), OTHER_KILLS);
    calm.run(&commands[1]).done();
    let expected = bytes(&calm);
    assert_eq!(expected.len(), 14);
    let mut random = Random::new();
    for round in 0.. {
        let Some(delay) = moments.next(&mut random) else { break };
        let twin = copy(&world, &b, "killed");
        let (first, second) = (commands[round % 2], commands[(round + 1) % 2]);
        let mut command = twin.command(REMSYNC);
        moments.count(kill_after(command.args(first), delay));
        // What it had answered is not asked any more.
        let ran = twin.run(&first);
        assert!(ran.status() >= 0, "{}", ran.story());
        let _ = twin.run(&second).status();
        let (pending, status) = twin.json(&["pending"]);
        assert_eq!(status, 0, "round {round} of seed {}: {pending:#}", random.seed);
        let ended = bytes(&twin);
        assert!(ended == expected, "round {round} of seed {}:\n{ended:#?}", random.seed);
    }
}

/// Runs a command and kills it after `delay`; whether it was still running.
fn kill_after(command: &mut Command, delay: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(delay);
    let is_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    is_running
}

/// Moments at which to kill, until enough kills were in time.
struct Moments {
    kills: usize,
    most: Duration,
    rounds: usize,
    in_time: usize,
}

impl Moments {
    fn below(most: Duration, kills: usize) -> Moments {
        Moments { kills, most, rounds: 0, in_time: 0 }
    }

    /// Returns the next delay; `None` once enough were in time.
    fn next(&mut self, random: &mut Random) -> Option<Duration> {
        assert!(
            self.rounds < 5 * self.kills,
            "only {} of {} were in time",
            self.in_time,
            self.rounds
        );
        (self.in_time < self.kills).then(|| random.below(self.most))
    }

    fn count(&mut self, in_time: bool) {
        self.rounds += 1;
        self.in_time += usize::from(in_time);
        // The machine is faster now than when it was timed.
        self.most = if in_time { self.most.mul_f64(1.01) } else { self.most.mul_f64(0.97) };
    }
}
