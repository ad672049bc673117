//! The weather: the real programs on real trees, while everything goes wrong. One seed is one world.
//!
//! The storm runs the rules; here is what is around them. Each site is a home with a tree, a queue
//! and its own settings, in a temporary folder. People write, rename, delete, make folders of files
//! and links of folders, even while a program runs; mails are lost, doubled, shuffled, cut, flipped,
//! forged and returned; programs are killed, and told that the disk is full or not theirs; the power
//! goes, and what was not synced with it; clocks go wrong and states are taken from backups. What truly happened is kept apart from what the sites
//! know, and after every step the disks are held against it.

mod blackout;
mod calm;
#[path = "../storm/counting.rs"]
#[macro_use]
mod counting;
mod counts;
mod edits;
mod post;
#[allow(dead_code, reason = "the storm uses all of it")]
#[path = "../storm/prng.rs"]
mod prng;
mod record;
mod site;
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use the rest, and fail so")]
#[path = "../../tests/support/strace.rs"]
mod strace;
mod truth;
mod world;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub use counts::{Counts, KINDS};
pub use site::Programs;
pub use world::Broken;

use prng::Prng;
use world::World;

/// What to run.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The first seed.
    pub seed: u64,
    /// How many worlds.
    pub worlds: u64,
    /// At most so many sites.
    pub sites_max: usize,
    /// Whether all sites speak format 1.3.
    pub is_classic: bool,
    /// How many threads.
    pub threads: usize,
    /// After how long no world is begun any more, in seconds.
    pub seconds_max: u64,
    /// The programs.
    pub programs: Programs,
    /// Where worlds are made.
    pub folder: PathBuf,
    /// Whether a world that broke is left for a look.
    pub keep: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Worlds that were run.
    pub worlds: u64,
    /// What happened in them.
    pub counts: Counts,
    /// The seed of the first world that broke, how, and what led there.
    pub failure: Option<(u64, Broken, Vec<String>)>,
}

/// Runs all worlds, on several threads, until one breaks.
pub fn sweep(weather: &Weather) -> Outcome {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let whole = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..weather.threads.max(1) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = began.elapsed().as_secs() >= weather.seconds_max;
                    if number >= weather.worlds || is_late {
                        return;
                    }
                    let seed = weather.seed.wrapping_add(number);
                    let (counts, broken, story) = run(weather, seed);
                    let Ok(mut whole) = whole.lock() else { return };
                    whole.worlds += 1;
                    whole.counts.join(&counts);
                    let is_first = whole.failure.as_ref().is_none_or(|(other, ..)| seed < *other);
                    if let Some(broken) = broken.filter(|_| is_first) {
                        whole.failure = Some((seed, broken, story));
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    whole.into_inner().unwrap_or_default()
}

/// Runs one world.
fn run(weather: &Weather, seed: u64) -> (Counts, Option<Broken>, Vec<String>) {
    let mut world = World::new(weather, seed);
    for step in 0..world.climate.steps {
        if world.broken.is_some() {
            break;
        }
        world.step(&mut Prng::new(seed, step));
    }
    if world.broken.is_none() {
        world.calm_down(&mut Prng::new(seed, u64::MAX));
    }
    world.end(weather.keep)
}

/// Returns a folder on a disk that is none, where there is one.
pub fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
