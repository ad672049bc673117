//! Runs the storm: `cargo run --release --example storm -- --seeds N --sites K [--seed S]
//! [--mutant NAME]`; or every small world, `--exhaustive EVENTS`. Exits 1 with the trace of the
//! smallest failing seed when an invariant breaks.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "storm/mod.rs"]
mod storm;

use std::process::ExitCode;
use std::time::Instant;

use remsync::model::verdict::Deletions;
use storm::{
    Beginning, KINDS, Kind, MUTANTS, Mutant, ON_DISK, Outcome, Storm, Tally, exhaust, gain, sweep,
    trace,
};

const USAGE: &str = "usage: storm [--seeds N] [--sites K] [--seed S] [--mutant NAME] [--threads T]
  --seeds N      how many seeds are run (10000; 1 if --seed is given alone)
  --sites K      2 to at most K sites (7)
  --seed S       the first seed (1)
  --mutant NAME  with a rule broken on purpose; `list` names them
  --exhaustive N every world of two sites, two files and three contents of at most N events:
                 writes, deletions, sendings, mails that come, come twice, are lost or processed by
                 a program that is killed, answers (5: 850,000 worlds, 1 to 2 minutes; 6: fifteen times that)
  --mutants      instead: every broken rule with the first seed that finds it, and the tests that hold
                 the rules that only a disk can break; exits 1 if one is not found
  --threads T    how many threads (as many as there are processors)
  --gain         instead: how often people are asked under the rules of 2.0, and how often under those
                 of 1.3 with the same seeds, in fair weather (nothing is lost, mail is late and out of
                 turn: 1.3 sends nothing again)";

fn main() -> ExitCode {
    let storm = match parse(std::env::args().skip(1)) {
        Ok(Some((storm, None))) => storm,
        Ok(Some((storm, Some(events)))) => return exhaustive(&storm, events),
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

/// Runs every small world, under either policy of deletions.
fn exhaustive(storm: &Storm, events: usize) -> ExitCode {
    let beginnings = [Beginning::Nothing, Beginning::InStep];
    let policies = [Deletions::Ask, Deletions::Apply];
    let all = beginnings.into_iter().flat_map(|it| policies.map(|deletions| (it, deletions)));
    for (beginning, deletions) in all {
        let began = Instant::now();
        let extent = exhaust(events, beginning, deletions, storm.mutant, storm.threads);
        println!("begun with {beginning:?}, deletions {deletions:?}:");
        println!("{:>12}  worlds; by events: {:?}", extent.worlds, extent.by_depth);
        println!("{:>12}  worlds for which these stand, with other names", extent.stand_for);
        println!("{:>12}  failures", u64::from(extent.failure.is_some()));
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("{seconds:.1} s, {:.0} worlds a second", extent.worlds as f64 / seconds);
        if let Some((events, broken)) = extent.failure {
            println!("\n{}: {}", broken.invariant, broken.detail);
            events.iter().for_each(|event| println!("  {event}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Reads the options, and to how many events small worlds are wanted; `None` if they asked for a
/// list only.
fn parse(
    arguments: impl Iterator<Item = String>,
) -> Result<Option<(Storm, Option<usize>)>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut storm =
        Storm { seed: 1, seeds: 10_000, sites_max: 7, mutant: None, threads, notices: true };
    let (mut has_seed, mut has_seeds, mut events) = (false, false, None);
    let (mut compares, mut finds) = (false, false);
    let mut arguments = arguments;
    while let Some(option) = arguments.next() {
        if matches!(option.as_str(), "-h" | "--help") {
            println!("{USAGE}");
            return Ok(None);
        }
        if option == "--mutants" {
            (finds, has_seeds) = (true, true);
            continue;
        }
        if option == "--gain" {
            compares = true;
            continue;
        }
        let value = arguments.next().ok_or(format!("{option} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is no number"));
        match option.as_str() {
            "--seeds" => (storm.seeds, has_seeds) = (number()?, true),
            "--sites" => storm.sites_max = number()?.clamp(2, 64) as usize,
            "--seed" => (storm.seed, has_seed) = (number()?, true),
            "--threads" => storm.threads = number()?.clamp(1, 256) as usize,
            "--exhaustive" => events = Some(number()?.clamp(1, 9) as usize),
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
    if finds {
        return report_mutants(&storm);
    }
    if compares {
        report_gain(&gain(storm.seed, storm.seeds, storm.sites_max));
        return Ok(None);
    }
    Ok(Some((storm, events)))
}

/// Prints which seed finds each mutant, and how.
fn report_mutants(storm: &Storm) -> Result<Option<(Storm, Option<usize>)>, String> {
    let mut living = Vec::new();
    for (mutant, name, words) in MUTANTS {
        let outcome = sweep(&Storm { mutant: Some(*mutant), ..*storm });
        match outcome.failure {
            Some((seed, broken)) => {
                println!("{seed:>6}  {name:<18}  {words}\n{:>28}{}", "", broken.invariant);
            }
            None => {
                println!("  none  {name:<18}  {words}");
                living.push(*name);
            }
        }
    }
    println!("\nOnly a disk can break these; the test beside each fails without it:");
    for (rule, file, test) in ON_DISK {
        println!("        {rule}\n{:>28}tests/{file}.rs: {test}", "");
    }
    if living.is_empty() { Ok(None) } else { Err(format!("not found: {}", living.join(" "))) }
}

/// Prints both sets of rules beside each other.
fn report_gain([histories, beliefs]: &[Tally; 2]) {
    println!("{:>10}  {:>10}", "2.0", "1.3");
    type Figure = fn(&Tally) -> f64;
    let figures: [(&str, usize, Figure); 10] = [
        ("edits", 0, |tally| tally.edits as f64),
        ("packages", 0, |tally| tally.packages as f64),
        ("questions", 0, |tally| tally.questions as f64),
        ("… per 1,000 edits", 1, |tally| tally.per_thousand(tally.questions)),
        ("… though one version descends from the other", 0, |tally| tally.needless as f64),
        ("… per 1,000 edits", 1, |tally| tally.per_thousand(tally.needless)),
        ("deletions that waited", 0, |tally| tally.deletions as f64),
        ("files replaced in silence that were not understood", 0, |tally| tally.losses as f64),
        ("runs that ended with unlike trees", 0, |tally| tally.unlike as f64),
        ("runs that did not fall silent", 0, |tally| tally.restless as f64),
    ];
    for (words, digits, figure) in figures {
        println!("{:>10.digits$}  {:>10.digits$}  {words}", figure(histories), figure(beliefs));
    }
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
