//! The storm: a deterministic simulator over the rules. One seed is one run.
//!
//! Sites with trees in memory write, delete, broadcast, process and answer, while mail is lost,
//! doubled, reordered, delayed and replayed, states are lost and rolled back and processing is
//! killed. What truly happened is kept apart from what the sites know; what the rules did is held
//! against it after every step, and when the weather calms. It runs the program's own rules with a
//! tree in memory; nothing of them is copied here. Beside each such run the same seed has one of sites
//! that speak format 1.3, in fair weather: `mesh` says what they are held to, and what not.

mod acts;
mod calm;
#[macro_use]
mod counting;
mod counts;
mod exhaustive;
mod gain;
mod mesh;
mod mount;
mod mutant;
mod notice;
mod prng;
mod tamper;
mod truth;
mod weather;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub use counts::{Counts, KINDS, Kind};
pub use exhaustive::{Beginning, exhaust};
pub use gain::{Tally, gain};
use mesh::mesh;
pub use mutant::{MUTANTS, Mutant, ON_DISK};
pub use world::Broken;

use prng::Prng;
use weather::Weather;
use world::World;

/// Seeds that are run before the counts are joined: a failure is looked for no further.
const BLOCK: u64 = 512;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// The first seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// At most so many sites.
    pub sites_max: usize,
    /// The rule that is broken on purpose.
    pub mutant: Option<Mutant>,
    /// How many threads.
    pub threads: usize,
    /// Whether word comes of mails that did not arrive.
    pub notices: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Seeds that were run.
    pub seeds: u64,
    /// What happened, up to the failure's block.
    pub counts: Counts,
    /// The smallest seed that broke an invariant, and how.
    pub failure: Option<(u64, Broken)>,
}

/// Runs one seed; without the steps in `left_out`.
fn run(
    storm: &Storm,
    seed: u64,
    left_out: &[u64],
    traced: bool,
) -> (Counts, Option<Broken>, Vec<String>) {
    let weather = Weather::draw(seed, storm.sites_max);
    let mut world = World::new(seed, &weather, storm.mutant, traced);
    for step in 0..weather.steps {
        if world.broken.is_some() {
            break;
        }
        if !left_out.contains(&step) {
            world.say(|world| format!("-- step {step}, hour {}", world.now_ms / world::HOUR_MS));
            world.step(&mut Prng::new(seed, step));
            world.miss_tree(&mut Prng::new(seed.rotate_left(32), step));
            if storm.notices {
                world.hear(&mut Prng::new(!seed, step));
            }
        }
    }
    if world.broken.is_none() && left_out.is_empty() {
        world.broken = mesh(seed, storm.sites_max, storm.mutant);
    }
    if world.broken.is_none() {
        if storm.notices {
            world.hear_all(&mut Prng::new(!seed, u64::MAX));
        }
        world.calm_down(&mut Prng::new(seed, u64::MAX - 2));
        if storm.notices && world.broken.is_none() {
            world.forge_in_the_calm(&mut Prng::new(!seed, u64::MAX - 1));
        }
    }
    (world.counts, world.broken, world.trace.unwrap_or_default())
}

/// Runs all seeds, on several threads; what comes of it does not depend on how many.
pub fn sweep(storm: &Storm) -> Outcome {
    let next = AtomicU64::new(0);
    let failing = AtomicU64::new(u64::MAX);
    let blocks = storm.seeds.div_ceil(BLOCK);
    let done: Mutex<Vec<(u64, Outcome)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..storm.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    if block >= blocks || block > failing.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run_block(storm, block);
                    if outcome.failure.is_some() {
                        failing.fetch_min(block, Ordering::Relaxed);
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((block, outcome));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(block, _)| *block);
    let mut whole = Outcome::default();
    for (_, outcome) in done {
        if whole.failure.is_some() {
            break;
        }
        whole.seeds += outcome.seeds;
        whole.counts.join(&outcome.counts);
        whole.failure = outcome.failure;
    }
    whole
}

fn run_block(storm: &Storm, block: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let first = block * BLOCK;
    for number in first..(first + BLOCK).min(storm.seeds) {
        let seed = storm.seed.wrapping_add(number);
        let (counts, broken, _) = run(storm, seed, &[], false);
        outcome.seeds += 1;
        outcome.counts.join(&counts);
        if let Some(broken) = broken {
            outcome.failure = Some((seed, broken));
            return outcome;
        }
    }
    outcome
}

/// Returns the trace of a failing seed, without the steps that it fails without.
pub fn trace(storm: &Storm, seed: u64, broken: &Broken) -> Vec<String> {
    if mesh(seed, storm.sites_max, storm.mutant).as_ref() == Some(broken) {
        return vec![format!("BROKEN: {}: {}", broken.invariant, broken.detail)];
    }
    let fails = |left_out: &[u64]| {
        let (_, other, _) = run(storm, seed, left_out, false);
        other.is_some_and(|other| other.invariant == broken.invariant)
    };
    let steps = Weather::draw(seed, storm.sites_max).steps;
    let mut left_out: Vec<u64> = Vec::new();
    let mut size = steps / 2;
    while size > 0 {
        let mut first = 0;
        while first < steps {
            let mut more = left_out.clone();
            more.extend((first..(first + size).min(steps)).filter(|s| !left_out.contains(s)));
            if more.len() > left_out.len() && fails(&more) {
                left_out = more;
            }
            first += size;
        }
        size /= 2;
    }
    let (_, _, lines) = run(storm, seed, &left_out, true);
    lines
}
