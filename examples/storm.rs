//! Runs the storm: `cargo run --release --example storm -- --seeds N --sites K [--seed S]
//! [--mutant NAME]`. Exits 1 with the trace of the smallest failing seed when an invariant breaks.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "storm/mod.rs"]
mod storm;

use std::process::ExitCode;
use std::time::Instant;

use storm::{KINDS, Kind, MUTANTS, Mutant, Outcome, Storm, sweep, trace};

const USAGE: &str = "usage: storm [--seeds N] [--sites K] [--seed S] [--mutant NAME] [--threads T]
  --seeds N      how many seeds are run (10000; 1 if --seed is given alone)
  --sites K      2 to at most K sites (7)
  --seed S       the first seed (1)
  --mutant NAME  with a rule broken on purpose; `list` names them
  --threads T    how many threads (as many as there are processors)";

fn main() -> ExitCode {
    let storm = match parse(std::env::args().skip(1)) {
        Ok(Some(storm)) => storm,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("storm: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let outcome = sweep(&storm);
    report(&outcome);
    eprintln!("{:.1} s", began.elapsed().as_secs_f64());
    let Some((seed, broken)) = &outcome.failure else { return ExitCode::SUCCESS };
    println!("\nseed {seed} breaks an invariant: {}: {}\n", broken.invariant, broken.detail);
    for line in trace(&storm, *seed, broken) {
        println!("{line}");
    }
    println!("\nagain: --seed {seed} --sites {}", storm.sites_max);
    ExitCode::FAILURE
}

/// Reads the options; `None` if they asked for a list only.
fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Storm>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut storm =
        Storm { seed: 1, seeds: 10_000, sites_max: 7, mutant: None, threads, notices: true };
    let (mut has_seed, mut has_seeds) = (false, false);
    let mut arguments = arguments;
    while let Some(option) = arguments.next() {
        if matches!(option.as_str(), "-h" | "--help") {
            println!("{USAGE}");
            return Ok(None);
        }
        let value = arguments.next().ok_or(format!("{option} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is no number"));
        match option.as_str() {
            "--seeds" => (storm.seeds, has_seeds) = (number()?, true),
            "--sites" => storm.sites_max = number()?.clamp(2, 64) as usize,
            "--seed" => (storm.seed, has_seed) = (number()?, true),
            "--threads" => storm.threads = number()?.clamp(1, 256) as usize,
            "--mutant" if value == "list" => {
                MUTANTS.iter().for_each(|(_, name, _)| println!("{name}"));
                return Ok(None);
            }
            "--mutant" => {
                let named = Mutant::named(&value);
                storm.mutant = Some(named.ok_or(format!("no mutant is called {value}"))?);
            }
            _ => return Err(format!("no option {option}")),
        }
    }
    if has_seed && !has_seeds {
        storm.seeds = 1;
    }
    Ok(Some(storm))
}

fn report(outcome: &Outcome) {
    let counts = &outcome.counts;
    println!("{:>12}  seeds", outcome.seeds);
    for (kind, words) in KINDS {
        println!("{:>12}  {words}", counts.of(*kind));
    }
    let questions = counts.of(Kind::Questions).max(1);
    let after = counts.of(Kind::AfterOpposed) as f64 * 100.0 / questions as f64;
    println!("{after:>11.3}%  of the questions are false ones after opposite choices");
    let (rounds, seed) = (counts.rounds_max, counts.rounds_max_seed);
    println!("{rounds:>12}  rounds at most until silence (seed {seed})");
    println!("{:>12}  failures", u64::from(outcome.failure.is_some()));
}
