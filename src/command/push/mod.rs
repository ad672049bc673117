//! `push`: copies of files and folders on many hosts at once, where nothing of ours is needed.
//!
//! One host in trouble does not stop the others.

mod host;
mod report;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::edge::push::{Level, Logs, Memory, Push, PushError};
use crate::edge::ssh::{Note, Stop, Terms};
use crate::edge::stop;

use self::host::{Errand, HostResult};
use super::outcome::{Failure, Outcome, answer_json, tell, tell_failure};
use super::progress::Progress;
use super::session::Session;

/// The file that is read where none is named.
const CONFIG: &str = "config.ini";
/// How often it is looked whether the wait for the next push is over.
const TICK: Duration = Duration::from_millis(200);

/// Copies what `config.ini` and the files it names say.
///
/// # Errors
/// One of the files cannot be used, or another push of them is at work.
pub fn run(session: &Session, file: Option<&OsStr>) -> Result<Outcome, Failure> {
    let file = file.map_or_else(|| PathBuf::from(CONFIG), PathBuf::from);
    let stop = stop::flag().map_err(|error| Failure::new(format!("signals: {error}")))?;
    let is_dry = session.options.dry_run;
    let mut logs: Option<Logs> = None;
    let mut again = None;
    loop {
        let pushed = Push::read(&file).map_err(|error| unusable(&file, &error)).and_then(|push| {
            if logs.is_none() && !is_dry {
                logs = Some(Logs::open(&push.settings.log_path)?);
            }
            again = push.settings.again_after_minutes;
            push_once(session, &push, logs.as_ref(), &stop)
        });
        let Some(minutes) = again.filter(|_| !is_dry && !session.options.json) else {
            return pushed;
        };
        let outcome = pushed.unwrap_or_else(|failure| {
            // What is wrong now need not be the next time: nobody sits before it.
            if let Some(logs) = &logs {
                logs.write(Level::Error, &failure.what);
            }
            tell_failure(&failure);
            Outcome::Failed
        });
        if !session.options.quiet {
            tell(format_args!("remsync: again in {minutes} min (autosync); Ctrl-C ends it."));
        }
        if waits_in_vain(Duration::from_secs(minutes.saturating_mul(60)), &stop) {
            if let Some(logs) = &logs {
                logs.write(Level::Info, "stopped");
            }
            return Ok(outcome);
        }
    }
}

fn push_once(
    session: &Session,
    push: &Push,
    logs: Option<&Logs>,
    stop: &Stop,
) -> Result<Outcome, Failure> {
    let mut memory = Memory::open(&session.places.state_dir, &push.file)?;
    let terms = Terms {
        config: session.settings.ssh_config.clone(),
        accept_new: session.options.accept_new,
    };
    let log_all = |level, whats: &[String]| {
        if let Some(logs) = logs {
            logs.write_all(level, whats);
        }
    };
    let log = |level, what: &str| log_all(level, &[what.to_owned()]);
    log(Level::Info, &format!("{}: push begins", push.file.display()));
    for key in &push.settings.unknown {
        log(Level::Warning, &format!("{}: {key}: not known", push.file.display()));
    }
    let mut names = BTreeSet::new();
    let mut chosen = Vec::new();
    for connection in &push.connections {
        let name = host::name_of(connection);
        if session.options.retry_failed && !memory.has_failed(&name) {
            continue;
        }
        // Two at the same files of one host would be in each other's way.
        match names.insert(name.clone()) {
            true => chosen.push(connection),
            false => log(Level::Warning, &format!("{name}: listed twice: done once")),
        }
    }
    if !session.options.dry_run {
        let names: Vec<String> =
            chosen.iter().map(|connection| host::name_of(connection)).collect();
        memory.begin(&names)?;
    }
    let options = &session.options;
    let progress = Progress::begin(0, !options.quiet && !options.json && !options.dry_run);
    let next = Mutex::new(chosen.iter().enumerate());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..push.settings.connections.min(chosen.len()) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, connection)) = taken else { return };
                    let errand = Errand {
                        push,
                        connection,
                        terms: &terms,
                        memory: &memory,
                        stop,
                        is_dry: session.options.dry_run,
                        note: Note::new(&memory.folder, &memory.prefix, &host::name_of(connection)),
                        progress: &progress,
                        log: &log_all,
                    };
                    let result = errand.run();
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((at, result));
                }
            });
        }
    });
    drop(progress);
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    let results: Vec<HostResult> = results.into_iter().map(|(_, result)| result).collect();
    if !session.options.dry_run {
        for result in &results {
            memory.note(&result.name, result.has_failed(), &result.whole);
        }
        memory.save()?;
    }
    let failed = results.iter().filter(|result| result.has_failed()).count();
    log(Level::Info, &format!("push ends: {} hosts, {failed} failed", results.len()));
    if session.options.json {
        answer_json(&report::document(push, logs, &results));
    } else {
        report::print(session, &results);
    }
    Ok(if failed > 0 { Outcome::Failed } else { Outcome::Done })
}

/// Waits; whether work has to end before the time is over.
fn waits_in_vain(time: Duration, stop: &Stop) -> bool {
    let until = std::time::Instant::now() + time;
    while std::time::Instant::now() < until {
        if stop.load(Ordering::Relaxed) {
            return true;
        }
        std::thread::sleep(TICK);
    }
    false
}

fn unusable(file: &Path, error: &PushError) -> Failure {
    let failure = Failure::new(error);
    match error {
        PushError::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            let is_config = path.file_name() == file.file_name();
            failure.hinted(if is_config {
                "push needs a config.ini; remsync(5) shows one"
            } else {
                "connection_info_path in config.ini names the list of hosts; remsync(5)"
            })
        }
        PushError::Password(fault) => {
            let hint = fault.hint();
            failure.hinted(format!("{hint}; or leave \"passkey\" empty and use keys: ssh-copy-id"))
        }
        _ => failure,
    }
}
