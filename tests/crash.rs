//! SIGKILL at random moments, the same command again: the same end as without a crash.
//!
//! `REMSYNC_SEED` replays a run; the seed is printed when one fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use support::{DELIVER, Home, REMSYNC, World};

/// Kills that were in time: the program was still running.
const KILLS: usize = 200;

#[test]
fn process_killed_anywhere_ends_the_same() {
    let world = World::new();
    let (a, b) = (world.home("a"), world.home("b"));
    for n in 0..40 {
        a.write(format!("folder{}/f{n}", n % 4), format!("{n}\n"));
    }
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    b.run(&["accept", &id, "."]).done();
    b.run(&["broadcast"]).done();
    a.receive();
    // Replacements, creations, a conflict and a deletion, in two packages.
    for n in 0..30 {
        a.write(format!("folder{}/f{n}", n % 4), format!("{n} edited\n").repeat(n));
    }
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
    let mut moments = Moments::below(start.elapsed());
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
    let world = World::new();
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
    let mut moments = Moments::below(start.elapsed());
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
    let world = World::new();
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
        let mut moments = Moments::below(start.elapsed());
        moments.kills = KILLS / 8;
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

/// What a person can see of a home: its tree, what it knows, what waits.
fn end(
    home: &Home,
) -> (BTreeMap<std::ffi::OsString, support::FileValue>, String, String, Vec<String>) {
    let (mut status, _) = home.json(&["status"]);
    for site in status["sites"].as_array_mut().unwrap() {
        // Each run is at another time.
        (site["last_word"], site["sent_since"]) = Default::default();
    }
    let files = home.run(&["list", "files"]).done();
    (home.files(), status.to_string(), files, queue(home))
}

/// Every entry with its state.
fn queue(home: &Home) -> Vec<String> {
    let (entries, _) = home.json(&["queue", "list"]);
    let entries = entries.as_array().unwrap().iter();
    let mut lines: Vec<String> =
        entries.map(|e| format!("{} {} {}", e["sha256"], e["state"], e["size"])).collect();
    lines.sort();
    lines
}

/// Makes a copy of a home under another folder, with the same address.
fn copy(world: &World, home: &Home, name: &str) -> Home {
    let twin = world.home(name);
    fs::remove_dir_all(&twin.top).unwrap();
    let copied = Command::new("cp").arg("-a").arg(&home.top).arg(&twin.top).status().unwrap();
    assert!(copied.success());
    let settings = fs::read_to_string(home.top.join("config.toml")).unwrap();
    fs::write(twin.top.join("config.toml"), settings).unwrap();
    move_register(&twin.top, &home.top);
    twin
}

/// The register of projects holds absolute folders: the twin's is made to name the twin.
fn move_register(twin: &Path, home: &Path) {
    let register = twin.join(".local/state/remsync/projects");
    if let Ok(text) = fs::read_to_string(&register) {
        let (from, to) = (home.display().to_string(), twin.display().to_string());
        fs::write(register, text.replace(&from, &to)).unwrap();
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
    fn below(most: Duration) -> Moments {
        Moments { kills: KILLS, most, rounds: 0, in_time: 0 }
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

struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Random {
        let clock =
            || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed =
            std::env::var("REMSYNC_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
        Random { seed, state: seed }
    }

    fn below(&mut self, most: Duration) -> Duration {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        most.mul_f64((self.state >> 40) as f64 / (1 << 24) as f64)
    }
}
