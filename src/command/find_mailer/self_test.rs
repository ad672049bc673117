//! One mail to oneself, by the real way, with a package that holds nothing; and the wait until the
//! filter has put it into the queue.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::edge::carrier::{self, Transport};
use crate::edge::private;
use crate::edge::queue::{Queue, QueueError};
use crate::format::digest::{hex, sha256_of};
use crate::format::mail::{Letter, message_id};
use crate::format::orders as orders_text;
use crate::format::package::{Level, Writer};
use crate::model::Address;
use crate::model::orders::Orders;
use crate::model::project::{Format, Identity};
use crate::model::site::Site;

use super::super::outcome::Failure;
use super::super::session::Session;
use super::super::sites::parse_address;
use super::Findings;

/// The title of a test's package: no project has it, so nothing could ever be applied of it.
const TITLE: &str = "remsync self-test";
/// How long the mail is waited for, in seconds, where nothing else is said.
const WAIT_S: u64 = 60;
/// How often the queue is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// The test's package on disk; gone again when it is dropped.
struct Parcel {
    path: PathBuf,
    sha256: [u8; 32],
}

#[allow(clippy::disallowed_methods, reason = "a file of our own")]
impl Drop for Parcel {
    fn drop(&mut self) {
        // It lies in a folder of our own, and holds nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// Sends the test to `to` and waits for it; returns the document's part.
///
/// # Errors
/// The package cannot be written.
pub(super) fn run(
    session: &Session,
    transport: Option<Transport>,
    to: &Address,
    findings: &mut Findings,
) -> Result<Value, Failure> {
    let mut part = json!({ "to": to.as_str(), "sent": false, "returned_ms": null });
    let Some(transport) = transport else {
        findings.miss("self-test", Failure::new("not sent: first mend what is not ok above"));
        return Ok(part);
    };
    if session.options.dry_run {
        findings.note("self-test", format!("a mail to {to} would be sent"));
        return Ok(part);
    }
    let parcel = pack(session, to)?;
    let letter = letter(session, to, &parcel)?;
    part["sha256"] = json!(hex(&parcel.sha256));
    part["message_id"] = json!(letter.message_id);
    let began = Instant::now();
    let access = session.access(&transport)?;
    if let Err(failure) = carrier::open(&transport, access).send(&letter, &parcel.path, None) {
        findings.miss("sent", Failure::new(failure.what).hinted(failure.hint));
        return Ok(part);
    }
    part["sent"] = json!(true);
    findings.note("sent", format!("a mail to {to}, {}", letter.message_id));
    let is_maildir = matches!(transport, Transport::Maildir(_));
    let wait_s = session.options.wait_s.unwrap_or(if is_maildir { 0 } else { WAIT_S });
    if is_maildir && wait_s == 0 {
        findings.note(
            "returned",
            "not waited for: from maildir:DIR nobody delivers but who was set up to (--wait SECONDS)",
        );
        return Ok(part);
    }
    match wait(&session.queue()?, &parcel.sha256, began, Duration::from_secs(wait_s))? {
        Some(took) => {
            part["returned_ms"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            let s = took.as_secs_f64();
            findings.note("returned", format!("through the filter into the queue, in {s:.1} s"));
        }
        None => findings.miss("returned", missing(session, wait_s)),
    }
    Ok(part)
}

/// Says where to look for a mail that did not come.
fn missing(session: &Session, wait_s: u64) -> Failure {
    let log = session.places.log_file(&session.queue_directory());
    Failure::new(format!("not in the queue after {wait_s} s")).hinted(format!(
        "is the mail on its way? \"mailq\" shows it where this machine sends. Is it in your inbox? \
         Then no recipe gave it to remsync-deliver: remsync-deliver(1) has them. Does the filter's \
         log have it? {} says what became of it, if the recipe's queue is the one above. If it comes \
         later, \"remsync queue drop\" takes it away",
        log.display()
    ))
}

/// Looks into the queue until the package is there, and takes it out again.
fn wait(
    queue: &Queue,
    sha256: &[u8; 32],
    began: Instant,
    time: Duration,
) -> Result<Option<Duration>, Failure> {
    let id = hex(sha256);
    loop {
        match queue.find(&id) {
            Ok(entry) => {
                let took = began.elapsed();
                // Whoever processes just now finds no project for it; it is dropped all the same.
                queue.remove(&entry)?;
                return Ok(Some(took));
            }
            Err(QueueError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if began.elapsed() >= time {
            return Ok(None);
        }
        std::thread::sleep(PAUSE.min(time));
    }
}

#[allow(clippy::disallowed_methods, reason = "a folder of our own")]
fn pack(session: &Session, to: &Address) -> Result<Parcel, Failure> {
    let dir = &session.places.state_dir;
    let path = dir.join(format!("self-test.{}.tar.gz", std::process::id()));
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
    let mut package = Writer::new(Vec::new(), Level::Usual);
    let made_s = i64::try_from(session.now_ms / 1000).unwrap_or(i64::MAX);
    package.orders(&orders_text::print(&orders(session, to)), made_s).map_err(at)?;
    let bytes = package.finish().map_err(at)?;
    let (sha256, _) = sha256_of(bytes.as_slice()).map_err(at)?;
    let mut file = private::create(&path).map_err(at)?;
    file.write_all(&bytes).map_err(at)?;
    Ok(Parcel { path, sha256 })
}

/// From a site to itself, of no project, with no row: nothing can follow from it.
fn orders(session: &Session, to: &Address) -> Orders {
    let site = || Site { address: to.clone(), directory: None };
    Orders {
        is_oldest: false,
        identity: Identity {
            format: Format::V2_0,
            title: TITLE.to_owned(),
            here: site(),
            remotes: vec![site()],
            scans: Vec::new(),
            hosts: Vec::new(),
            ignores: Vec::new(),
        },
        visit: 0,
        copy: vec![0],
        serial: session.now_ms.max(1),
        since: None,
        seen: None,
        want_all: false,
        wants: Vec::new(),
        rows: Vec::new(),
    }
}

fn letter(session: &Session, to: &Address, parcel: &Parcel) -> Result<Letter, Failure> {
    let from = match &session.settings.from {
        Some(from) => parse_address(from)?,
        None => to.clone(),
    };
    let made_s = i64::try_from(session.now_ms / 1000).unwrap_or(i64::MAX);
    Ok(Letter {
        to: to.clone(),
        title: TITLE.to_owned(),
        serial: session.now_ms.max(1),
        visit: 0,
        files: 0,
        date: Timestamp::from_second(made_s)?.to_zoned(TimeZone::system()),
        message_id: message_id(&parcel.sha256, made_s, &from),
        sha256: parcel.sha256,
        sealed: false,
        unattended: !session.may_ask(),
        in_reply_to: None,
        volume: None,
        from,
    })
}
