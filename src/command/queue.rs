//! `queue`: the entries, and a person's word on one.

use serde_json::{Value, json};

use crate::edge::queue::{Entry, EntryState};
use crate::format::digest::hex;

use super::grammar::QueueVerb;
use super::outcome::{Failure, Outcome, answer, answer_json};
use super::session::Session;
use super::words::local_time;

/// Lists, shows, drops or retries.
///
/// # Errors
/// The queue cannot be read, or no entry has that name.
pub fn run(session: &Session, verb: &QueueVerb) -> Result<Outcome, Failure> {
    let queue = session.queue()?;
    match verb {
        QueueVerb::List => {
            let entries = queue.list()?;
            if session.options.json {
                answer_json(&Value::Array(entries.iter().map(entry_json).collect()));
            } else {
                entries.iter().for_each(|entry| answer(line(entry)));
                if entries.is_empty() && !session.options.quiet {
                    answer("the queue is empty");
                }
            }
        }
        QueueVerb::Show(id) => {
            let entry = queue.find(id)?;
            if session.options.json {
                answer_json(&entry_json(&entry));
            } else {
                show(&entry);
            }
        }
        QueueVerb::Drop(id) => {
            let _lock = queue.lock()?;
            let entry = queue.find(id)?;
            if !session.options.dry_run {
                queue.remove(&entry)?;
            }
            let done = if session.options.dry_run { "would be dropped" } else { "dropped" };
            tell_one(session, &entry, done);
        }
        QueueVerb::Retry(id) => {
            let _lock = queue.lock()?;
            let entry = queue.find(id)?;
            if entry.state == EntryState::Done {
                return Err(Failure::new(format!("{}: it is done", entry.id)));
            }
            if !session.options.dry_run {
                queue.retry(&entry)?;
            }
            let done = if session.options.dry_run { "would be new again" } else { "new again" };
            tell_one(session, &entry, done);
        }
    }
    Ok(Outcome::Done)
}

/// Says what became of one entry: a line, or the JSON document.
fn tell_one(session: &Session, entry: &Entry, done: &str) {
    if session.options.json {
        answer_json(&json!({ "id": entry.id, "done": done }));
    } else if !session.options.quiet {
        answer(format_args!("{}: {done}", entry.id));
    }
}

fn line(entry: &Entry) -> String {
    let when = local_time(entry.received_ms);
    let mut line = format!("{}  {when}  {}", entry.id, entry.state.word());
    // What was refused unread, or is sealed, says nothing of itself; the mail may.
    if !entry.origin.is_empty() {
        line += &format!("  \"{}\" from {}", entry.title, entry.origin);
    } else if !entry.from.is_empty() {
        line += &format!("  by mail from {}", entry.from);
    }
    if !entry.reason.is_empty() {
        line += &format!(": {}", entry.reason);
    }
    line
}

fn show(entry: &Entry) {
    answer(format_args!("id          {}", entry.id));
    answer(format_args!("state       {}", entry.state.word()));
    answer(format_args!("sha256      {}", hex(&entry.sha256)));
    answer(format_args!("size        {} bytes", entry.size_bytes));
    answer(format_args!("received    {}", local_time(entry.received_ms)));
    answer(format_args!("from        {}", entry.from));
    answer(format_args!("message-id  {}", entry.message_id));
    answer(format_args!("title       {}", entry.title));
    answer(format_args!("origin      {}", entry.origin));
    answer(format_args!("visit       {}", entry.visit));
    answer(format_args!("signatures  {}", entry.signatures.len()));
    if let Some(path) = &entry.path {
        answer(format_args!("path        {}", path.display()));
    }
    if !entry.reason.is_empty() {
        answer(format_args!("reason      {}", entry.reason));
    }
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "state": entry.state.word(),
        "path": entry.path.as_ref().map(|path| path.to_string_lossy()),
        "sha256": hex(&entry.sha256),
        "size": entry.size_bytes,
        "received": entry.received_ms,
        "from": entry.from,
        "message_id": entry.message_id,
        "title": entry.title,
        "origin": entry.origin,
        "visit": entry.visit,
        "reason": entry.reason,
        "signatures": entry.signatures.len(),
    })
}
