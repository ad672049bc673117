//! `find-mailer`: how mail leaves here, how it comes in, and whether both work: a line a fact.
//!
//! It sends nothing but with `--self-test`, and changes nothing but that the queue is made.

mod self_test;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::edge::carrier::{self, Transport};
use crate::edge::queue::QueueError;
use crate::edge::state::State;
use crate::model::Address;

use super::outcome::{Failure, Outcome, answer, answer_json, counted};
use super::session::Session;
use super::sites::parse_address;
use super::words::local_time;

/// What was found, in order.
#[derive(Default)]
struct Findings {
    facts: Vec<Fact>,
    is_json: bool,
}

/// One thing that was looked at.
struct Fact {
    name: &'static str,
    ok: bool,
    what: String,
    hint: String,
}

/// Says what is found, and with `--self-test` sends a mail to `address` (this site's, if none is
/// given) and waits for it.
///
/// # Errors
/// An address without `--self-test`, or none where one is needed; what is found not to work is no
/// error, but the outcome.
pub fn run(session: &Session, address: Option<&str>) -> Result<Outcome, Failure> {
    if !session.options.self_test && (address.is_some() || session.options.wait_s.is_some()) {
        return Err(Failure::new("an address or --wait, and nothing to send")
            .hinted("\"remsync find-mailer --self-test ADDRESS\" sends a mail there"));
    }
    let mut findings = Findings { is_json: session.options.json, ..Findings::default() };
    let here = here(session)?;
    findings.settings(session);
    let (transport, limit_bytes) = findings.way_out(session);
    let from = findings.from(session, here.as_ref());
    findings.way_in(session);
    let mut document = json!({
        "transport": transport.as_ref().map(ToString::to_string),
        "limit_bytes": limit_bytes,
        "from": from,
        "queue": session.queue_directory().to_string_lossy(),
    });
    if session.options.self_test {
        let to = match address {
            Some(address) => parse_address(address)?,
            None => here.ok_or_else(|| {
                Failure::new("no address to send a test to: there is no project here")
                    .hinted("\"remsync find-mailer --self-test ADDRESS\" names one of your own")
            })?,
        };
        let way_out = transport.filter(|_| findings.is_ok());
        document["self_test"] = self_test::run(session, way_out, &to, &mut findings)?;
    }
    Ok(findings.conclude(document))
}

/// Returns the address of the project that the current folder is in.
fn here(session: &Session) -> Result<Option<Address>, Failure> {
    let Some(dir) = session.project_directory_if_any()? else { return Ok(None) };
    Ok(Some(State::read(&dir)?.identity.here.address))
}

impl Findings {
    fn note(&mut self, name: &'static str, what: impl Into<String>) {
        self.add(Fact { name, ok: true, what: what.into(), hint: String::new() });
    }

    fn miss(&mut self, name: &'static str, failure: Failure) {
        self.add(Fact { name, ok: false, what: failure.what, hint: failure.hint });
    }

    /// Says it at once: what comes next may take a while.
    fn add(&mut self, fact: Fact) {
        if !self.is_json {
            let mark = if fact.ok { "ok" } else { "not ok" };
            answer(format_args!("{mark:<6}  {:<10}{}", fact.name, fact.what));
            if !fact.hint.is_empty() {
                answer(format_args!("{:18}hint: {}", "", fact.hint));
            }
        }
        self.facts.push(fact);
    }

    fn is_ok(&self) -> bool {
        self.facts.iter().all(|fact| fact.ok)
    }

    fn settings(&mut self, session: &Session) {
        let file = &session.places.config_file;
        let is_there = if file.exists() { "" } else { ", which is not there: nothing is set" };
        self.note("settings", format!("{}{is_there}", file.display()));
    }

    /// Looks how mail leaves; returns the transport, and the largest mail where that was said.
    fn way_out(&mut self, session: &Session) -> (Option<Transport>, Option<u64>) {
        let transport = match session.transport() {
            Ok(transport) => transport,
            Err(failure) => {
                self.miss("transport", failure);
                return (None, None);
            }
        };
        let origin = match (&session.places.transport_override, &session.settings.transport) {
            (Some(_), _) => "from REMSYNC_TRANSPORT",
            (None, Some(_)) => "from the settings",
            (None, None) => "as nothing else is set",
        };
        self.note("transport", format!("{transport}, {origin}"));
        let access = match session.access(&transport) {
            Ok(access) => access,
            Err(failure) => {
                self.miss("login", failure);
                return (Some(transport), None);
            }
        };
        if let Some((user, _)) = &access.login {
            let place = session.password_sources(&transport).place().unwrap_or_default();
            self.note("login", format!("{user}, with a password from {place}"));
        }
        let name = match transport {
            Transport::Smtp(_) => "server",
            Transport::Sendmail(_) => "mailer",
            Transport::Maildir(_) => "maildirs",
        };
        let found = match carrier::probe(&transport, access) {
            Ok(found) => found,
            // The first mail makes them.
            Err(failure) if matches!(transport, Transport::Maildir(_)) => {
                self.note(name, format!("{}; {}", failure.what, failure.hint));
                return (Some(transport), None);
            }
            Err(failure) => {
                self.miss(name, Failure::new(failure.what).hinted(failure.hint));
                return (Some(transport), None);
            }
        };
        self.note(name, found.what);
        match (found.limit_bytes, &transport) {
            (Some(limit), _) => self.note("size", format!("mails of up to {limit} bytes")),
            (None, Transport::Smtp(_)) => self.note("size", "the server names no limit"),
            (None, _) => {}
        }
        (Some(transport), found.limit_bytes)
    }

    fn from(&mut self, session: &Session, here: Option<&Address>) -> Option<String> {
        let (from, what) = match (&session.settings.from, here) {
            (Some(from), _) => (from.clone(), format!("{from}, from the settings")),
            (None, Some(here)) => (here.to_string(), format!("{here}, this site's address")),
            (None, None) => {
                self.note("from", "the address of each project's site; there is no project here");
                return None;
            }
        };
        match parse_address(&from) {
            Ok(_) => self.note("from", what),
            Err(failure) => self.miss("from", failure.hinted("set \"from\" under [mail]")),
        }
        Some(from)
    }

    /// Looks at what the filter needs: itself, and the queue.
    fn way_in(&mut self, session: &Session) {
        let dir = session.queue_directory();
        if session.options.dry_run && !dir.exists() {
            self.note("queue", format!("{}: not there yet", dir.display()));
        } else {
            match try_queue(session) {
                Ok(waiting) => {
                    let waiting = counted(waiting, "package", "packages");
                    self.note("queue", format!("{}: can be written, {waiting}", dir.display()));
                }
                Err(failure) => self.miss("queue", failure),
            }
        }
        match find_filter() {
            Some(filter) => {
                let log = session.places.log_file(&dir);
                self.note("filter", format!("{}, {}", filter.display(), last_run(&log)));
            }
            None => self.miss(
                "filter",
                Failure::new("remsync-deliver is not on the search path").hinted(
                    "cargo install puts it beside remsync; mail systems need its whole path",
                ),
            ),
        }
    }

    fn conclude(&self, mut document: Value) -> Outcome {
        if self.is_json {
            let fact = |fact: &Fact| json!({ "name": fact.name, "ok": fact.ok, "what": fact.what, "hint": fact.hint });
            document["ok"] = json!(self.is_ok());
            document["facts"] = self.facts.iter().map(fact).collect();
            answer_json(&document);
        }
        if self.is_ok() { Outcome::Done } else { Outcome::Failed }
    }
}

/// Writes into the queue what nobody sees; returns how many packages are in it.
fn try_queue(session: &Session) -> Result<usize, Failure> {
    let failed = |error: QueueError| {
        Failure::new(error).hinted("the filter could not write there either: mail would wait")
    };
    let queue = session.queue().map_err(|failure| {
        failure.hinted("the filter could not write there either: mail would wait")
    })?;
    drop(queue.incoming().map_err(failed)?);
    Ok(queue.list().map_err(failed)?.len())
}

/// Returns the filter's program: beside ours, or on the search path.
fn find_filter() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join("remsync-deliver")).find(|program| program.is_file())
}

/// Says when the filter last wrote its log.
fn last_run(log: &Path) -> String {
    let written = fs::metadata(log).and_then(|meta| meta.modified());
    match written.map(|at| at.duration_since(UNIX_EPOCH)) {
        Ok(Ok(at)) => {
            let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            format!("last had a mail {} ({})", local_time(ms), ago(&at))
        }
        _ => "never had a mail for this queue".into(),
    }
}

fn ago(at: &Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let s = now.saturating_sub(*at).as_secs();
    match s {
        0..120 => format!("{s} s ago"),
        120..7_200 => format!("{} min ago", s / 60),
        7_200..172_800 => format!("{} h ago", s / 3_600),
        _ => format!("{} days ago", s / 86_400),
    }
}
