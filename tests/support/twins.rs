//! Twins: copies of a home in which the same command ends differently, or the same.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{FileValue, Home, World};

/// Two homes with the same forty files, and both know it.
pub fn in_step(world: &World) -> (Home, Home) {
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
    (a, b)
}

pub fn edit_thirty(a: &Home) {
    for n in 0..30 {
        a.write(format!("folder{}/f{n}", n % 4), format!("{n} edited\n").repeat(n));
    }
}

/// A home that has processed replacements, creations and a deletion; and its tree before that.
pub fn processed(world: &World) -> (Home, BTreeMap<OsString, FileValue>) {
    let (a, b) = in_step(world);
    let before = b.files();
    edit_thirty(&a);
    a.write("new/one", "new\n");
    a.remove("folder3/f39");
    a.run(&["broadcast"]).done();
    let settings = fs::read_to_string(b.top.join("config.toml")).unwrap();
    fs::write(b.top.join("config.toml"), settings + "[policy]\ndeletions = \"apply\"\n").unwrap();
    b.deliver_all();
    (b, before)
}

/// What the history tells of the last run, told once however often it was gone on with.
pub fn undone(home: &Home) -> Vec<String> {
    let (log, _) = home.json(&["log"]);
    let run = &log["runs"][0];
    assert_eq!((&run["command"], &run["ended"]), (&"undo".into(), &true.into()), "{log:#}");
    let mut lines: Vec<String> =
        run["changes"].as_array().unwrap().iter().map(ToString::to_string).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// What a person can see of a home: its tree, what it knows, what waits.
pub fn end(home: &Home) -> (BTreeMap<OsString, FileValue>, String, String, Vec<String>) {
    let (mut status, _) = home.json(&["status"]);
    for site in status["sites"].as_array_mut().unwrap() {
        // Each run is at another time.
        (site["last_word"], site["sent_since"]) = Default::default();
    }
    let files = home.run(&["list", "files"]).done();
    (home.files(), status.to_string(), files, queue(home))
}

/// Every entry with its state.
pub fn queue(home: &Home) -> Vec<String> {
    let (entries, _) = home.json(&["queue", "list"]);
    let entries = entries.as_array().unwrap().iter();
    let mut lines: Vec<String> =
        entries.map(|e| format!("{} {} {}", e["sha256"], e["state"], e["size"])).collect();
    lines.sort();
    lines
}

/// Makes a copy of a home under another folder, with the same address.
pub fn copy(world: &World, home: &Home, name: &str) -> Home {
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

/// Numbers from a seed that is printed when a test fails.
pub struct Random {
    pub seed: u64,
    state: u64,
}

impl Random {
    /// Begins with `REMSYNC_SEED`, else with the clock.
    pub fn new() -> Random {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Random::from(clock.as_nanos() as u64)
    }

    /// Begins with `REMSYNC_SEED`, else with this seed.
    pub fn from(seed: u64) -> Random {
        let given = std::env::var("REMSYNC_SEED");
        let seed = given.map_or(seed, |given| given.parse().unwrap());
        Random { seed, state: seed }
    }

    /// Returns a part of `most`.
    pub fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.part())
    }

    /// Returns a number below `bound`; 0 if that is 0.
    pub fn number(&mut self, bound: usize) -> usize {
        (self.part() * bound as f64) as usize
    }

    /// Returns a number from 0 to 1, 1 left out.
    fn part(&mut self) -> f64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f64 / (1 << 24) as f64
    }
}
