//! Runs the weather: `cargo build --release && cargo run --release --example weather -- --worlds N`;
//! `--help` says what else. Exits 1 with the story of the first world in which an invariant broke.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::expect_used, reason = "without a folder of its own there is no world")]

#[path = "weather/mod.rs"]
mod weather;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use weather::{KINDS, Outcome, Programs, Weather, sweep};

const USAGE: &str = "usage: weather [--worlds N] [--seconds T] [--sites K] [--seed S]
               [--format 1.3] [--programs DIR] [--threads T] [--keep yes]
  --worlds N      how many worlds (1000; 1 if --seed is given alone)
  --seconds T     no world is begun after T seconds
  --sites K       2 to at most K sites (4)
  --seed S        the first seed (1)
  --format 1.3    all sites speak format 1.3 (2.0)
  --programs DIR  where remsync and remsync-deliver are (beside this program)
  --threads T     how many worlds at once (as many as there are processors)
  --keep yes      leaves a world that broke for a look

Needs strace and libfaketime. A world takes about a second. For a night, with the programs that people
install: cargo build --release, then
  weather --worlds 100000 --seconds 30000 --seed 5000 --programs target/release";

fn main() -> ExitCode {
    let weather = match parse(std::env::args().skip(1)) {
        Ok(Some(weather)) => weather,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("weather: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let outcome = sweep(&weather);
    report(&outcome);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{seconds:.1} s, {:.1} worlds a second", outcome.worlds as f64 / seconds);
    let Some((seed, broken, story)) = &outcome.failure else { return ExitCode::SUCCESS };
    story.iter().for_each(|line| println!("{line}"));
    println!("\nseed {seed} breaks an invariant: {}: {}", broken.invariant, broken.detail);
    let format = if weather.is_classic { " --format 1.3" } else { "" };
    println!("again: --seed {seed} --sites {}{format}", weather.sites_max);
    ExitCode::FAILURE
}

/// Reads the options; `None` if they asked for help only.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Weather>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut seed, mut worlds, mut sites_max, mut keep) = (None, None, 4, false);
    let mut seconds_max = u64::MAX;
    let (mut programs, mut threads, mut is_classic) = (beside()?, threads, false);
    while let Some(option) = arguments.next() {
        if matches!(option.as_str(), "-h" | "--help") {
            println!("{USAGE}");
            return Ok(None);
        }
        let value = arguments.next().ok_or(format!("{option} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is no number"));
        match option.as_str() {
            "--worlds" => worlds = Some(number()?),
            "--sites" => sites_max = number()?.clamp(2, 16) as usize,
            "--seconds" => seconds_max = number()?,
            "--seed" => seed = Some(number()?),
            "--threads" => threads = number()?.clamp(1, 64) as usize,
            "--programs" => programs = PathBuf::from(value),
            "--keep" => keep = true,
            "--format" => is_classic = value == "1.3",
            _ => return Err(format!("no option {option}")),
        }
    }
    Ok(Some(Weather {
        seed: seed.unwrap_or(1),
        worlds: worlds.unwrap_or(if seed.is_some() { 1 } else { 1_000 }),
        sites_max,
        seconds_max,
        is_classic,
        threads,
        programs: Programs::within(&programs)?,
        folder: weather::memory(),
        keep,
    }))
}

/// Returns the folder of the programs of this profile.
fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = own.parent().and_then(|examples| examples.parent());
    Ok(folder.map(PathBuf::from).unwrap_or_default())
}

fn report(outcome: &Outcome) {
    println!("{:>10}  worlds", outcome.worlds);
    for (kind, words) in KINDS {
        println!("{:>10}  {words}", outcome.counts.of(*kind));
    }
    println!("{:>10}  failures", u64::from(outcome.failure.is_some()));
}
